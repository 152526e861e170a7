#include "csrf.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static int is_one_of(const char *value, const char *const *list)
{
    for (; list && *list; list++)
        if (!strcmp(value, *list))
            return 1;
    return 0;
}

/* The length of `host` without `port`. */
static size_t host_len(const char *host, const char *port)
{
    size_t len = strlen(host), port_len = strlen(port);

    return len > port_len && !strcmp(host + len - port_len, port) ? len - port_len : len;
}

/* The scheme is not compared: TLS may be terminated by a proxy. */
static int is_own_origin(const char *origin, const char *host)
{
    int is_https = !strncasecmp(origin, "https://", 8);
    const char *port = is_https ? ":443" : ":80";
    size_t len;

    if (!host || !*host || (!is_https && strncasecmp(origin, "http://", 7)))
        return 0;
    origin += is_https ? 8 : 7;
    len = host_len(host, port);
    return host_len(origin, port) == len && !strncasecmp(origin, host, len);
}

int mac_csrf_passes(const mac_csrf_request *request)
{
    static const char *const safe[] = { "GET", "HEAD", "OPTIONS", "TRACE", NULL };

    if (request->is_websocket) {
        /* Browsers always send Origin with a WebSocket upgrade. */
        if (!request->origin && !request->sec_fetch_site)
            return 1;
    } else if (request->method && is_one_of(request->method, safe)) {
        return 1;
    }
    if (request->sec_fetch_site
        && (!strcmp(request->sec_fetch_site, "same-origin") || !strcmp(request->sec_fetch_site, "none")))
        return 1;
    return request->origin && (is_own_origin(request->origin, request->host) || is_one_of(request->origin, request->trusted));
}
