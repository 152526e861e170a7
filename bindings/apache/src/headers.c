/* Removes X-Clerk-* headers of clients, in every spelling that a backend may treat as the same. */

#include "mod_auth_clerk.h"

#include <apr_lib.h>

/* Backends treat `X_Clerk_User_Id` and `x-clerk-user-id` as the same name: other characters than letters and digits count as `-`. */
static int is_identity_name(const char *name, size_t len)
{
    static const char prefix[] = "x-clerk-";
    size_t i;

    if (len < sizeof(prefix) - 1)
        return 0;
    for (i = 0; i < sizeof(prefix) - 1; i++) {
        char c = apr_isalnum(name[i]) ? (char)apr_tolower(name[i]) : '-';

        if (c != prefix[i])
            return 0;
    }
    return 1;
}

/* A proxy removes the headers that `Connection` names, also those that this module adds. Some proxies split the names at spaces
 * and semicolons, too. */
static const char *without_identity_names(apr_pool_t *p, const char *connection)
{
    static const char separators[] = " \t,;\"";
    const char *kept = "", *token = connection;
    int dropped = 0;

    while (*(token += strspn(token, separators))) {
        size_t len = strcspn(token, separators);

        if (is_identity_name(token, len))
            dropped = 1;
        else
            kept = apr_psprintf(p, "%s%s%.*s", kept, *kept ? ", " : "", (int)len, token);
        token += len;
    }
    return dropped ? kept : connection;
}

void mac_strip_headers(request_rec *r)
{
    const apr_array_header_t *lines = apr_table_elts(r->headers_in);
    const char *connection, *kept;
    int i = 0;

    while (i < lines->nelts) {
        const char *name = APR_ARRAY_IDX(lines, i, apr_table_entry_t).key;

        if (name && is_identity_name(name, strlen(name))) {
            /* Removes every line of that name; the others move up. */
            apr_table_unset(r->headers_in, apr_pstrdup(r->pool, name));
            i = 0;
        } else {
            i++;
        }
    }
    connection = apr_table_get(r->headers_in, "Connection");
    if (!connection)
        return;
    /* Apache has joined several lines to one. */
    kept = without_identity_names(r->pool, connection);
    if (!*kept)
        apr_table_unset(r->headers_in, "Connection");
    else if (kept != connection)
        apr_table_setn(r->headers_in, "Connection", kept);
}

/* Runs before every location, subrequest and proxy. */
int mac_strip_request_headers(request_rec *r)
{
    if (mac_flag(mac_server_conf_of(r->server)->strip_headers, 1))
        mac_strip_headers(r);
    return DECLINED;
}
