/*
 * Checks that a browser sent a request from a page of the same origin. Needed for cookies, because browsers add them to
 * requests that other sites make.
 */

#include "ngx_http_clerk_auth.h"

static ngx_uint_t
ngx_http_clerk_auth_equals(ngx_str_t *string, const char *literal)
{
    return string->len == ngx_strlen(literal) && ngx_strncmp(string->data, literal, string->len) == 0;
}

/* Safe methods (RFC 9110 section 9.2.1); methods are case-sensitive. */
ngx_uint_t
ngx_http_clerk_auth_is_safe_method(ngx_str_t *method)
{
    return ngx_http_clerk_auth_equals(method, "GET") || ngx_http_clerk_auth_equals(method, "HEAD")
           || ngx_http_clerk_auth_equals(method, "OPTIONS") || ngx_http_clerk_auth_equals(method, "TRACE");
}

/* Without the default port of the scheme. */
static size_t
ngx_http_clerk_auth_host_len(u_char *host, size_t len, const char *port)
{
    size_t port_len = ngx_strlen(port);

    return len > port_len && ngx_strncmp(host + len - port_len, port, port_len) == 0 ? len - port_len : len;
}

static ngx_uint_t
ngx_http_clerk_auth_is_own_origin(ngx_str_t *origin, ngx_str_t *host)
{
    const char *port;
    size_t scheme, origin_len, host_len;

    if (origin->len > 8 && ngx_strncmp(origin->data, "https://", 8) == 0) {
        scheme = 8;
        port = ":443";
    } else if (origin->len > 7 && ngx_strncmp(origin->data, "http://", 7) == 0) {
        scheme = 7;
        port = ":80";
    } else {
        return 0;
    }
    origin_len = ngx_http_clerk_auth_host_len(origin->data + scheme, origin->len - scheme, port);
    host_len = ngx_http_clerk_auth_host_len(host->data, host->len, port);
    return host_len > 0 && origin_len == host_len
           && ngx_strncasecmp(origin->data + scheme, host->data, host_len) == 0;
}

ngx_uint_t
ngx_http_clerk_auth_is_same_origin(ngx_str_t *sec_fetch_site, ngx_str_t *origin, ngx_str_t *host, ngx_str_t *parties,
    ngx_uint_t party_count)
{
    ngx_uint_t i;

    if (ngx_http_clerk_auth_equals(sec_fetch_site, "same-origin")
        || ngx_http_clerk_auth_equals(sec_fetch_site, "none"))
    {
        return 1;
    }
    for (i = 0; i < party_count; i++) {
        if (origin->len > 0 && origin->len == parties[i].len
            && ngx_strncmp(origin->data, parties[i].data, origin->len) == 0)
        {
            return 1;
        }
    }
    return ngx_http_clerk_auth_is_own_origin(origin, host);
}
