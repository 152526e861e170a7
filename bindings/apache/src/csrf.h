/* The cross-site request check, without any I/O. */

#ifndef MAC_CSRF_H
#define MAC_CSRF_H

/* What a request says about where it comes from. NULL: no such line. */
typedef struct {
    const char *method;
    const char *host;           /* with its port, if any */
    const char *origin;         /* `Origin` */
    const char *sec_fetch_site; /* `Sec-Fetch-Site` */
    int is_websocket;           /* an upgrade to WebSocket */
    const char *const *trusted; /* other origins; ends with NULL; may be NULL */
} mac_csrf_request;

/* Returns 1 if a request with a cookie credential may go on, 0 if it may be forged by another site. */
int mac_csrf_passes(const mac_csrf_request *request);

#endif
