/* The cross-site request check, without any I/O. */

#ifndef MAC_CSRF_H
#define MAC_CSRF_H

/* The headers of a request that show its origin. NULL: no such header. */
typedef struct {
    const char *method;
    const char *host;           /* with its port, if any */
    const char *origin;         /* `Origin` */
    const char *sec_fetch_site; /* `Sec-Fetch-Site` */
    int is_websocket;           /* an upgrade to WebSocket */
    const char *const *trusted; /* other origins; ends with NULL; may be NULL */
} mac_csrf_request;

/* Returns 1 if a request with a cookie credential is accepted, 0 if another site may have forged it. */
int mac_csrf_passes(const mac_csrf_request *request);

#endif
