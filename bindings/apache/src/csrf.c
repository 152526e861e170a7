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

/* The length of `host` without the scheme's own port. */
static size_t host_len(const char *scheme, const char *host)
{
    const char *port = !strcasecmp(scheme, "https") ? ":443" : ":80";
    size_t len = strlen(host), port_len = strlen(port);

    return len > port_len && !strcmp(host + len - port_len, port) ? len - port_len : len;
}

static int is_own_origin(const mac_csrf_request *request)
{
    size_t scheme_len, len;
    const char *origin = request->origin;

    if (!request->scheme || !request->host || !*request->host)
        return 0;
    scheme_len = strlen(request->scheme);
    if (strncasecmp(origin, request->scheme, scheme_len) || strncmp(origin + scheme_len, "://", 3))
        return 0;
    origin += scheme_len + 3;
    len = host_len(request->scheme, request->host);
    return host_len(request->scheme, origin) == len && !strncasecmp(origin, request->host, len);
}

int mac_csrf_passes(const mac_csrf_request *request)
{
    static const char *const safe[] = { "GET", "HEAD", "OPTIONS", "TRACE", NULL };

    if (request->is_websocket) {
        /* Browsers always send Origin here, whatever else they leave out. */
        if (!request->origin && !request->sec_fetch_site)
            return 1;
    } else if (request->method && is_one_of(request->method, safe)) {
        return 1;
    }
    if (request->sec_fetch_site
        && (!strcmp(request->sec_fetch_site, "same-origin") || !strcmp(request->sec_fetch_site, "none")))
        return 1;
    return request->origin && (is_own_origin(request) || is_one_of(request->origin, request->trusted));
}
