/* Removes X-Clerk-* headers of clients, in every spelling that a backend may treat as the same. */

#include "mod_auth_clerk.h"

#include <util_filter.h>

#include "names.h"

/* Returns whether there were any. */
static int strip_table(apr_pool_t *p, apr_table_t *table)
{
    const apr_array_header_t *lines = apr_table_elts(table), *copy;
    const apr_table_entry_t *line = (const apr_table_entry_t *)lines->elts;
    int i, found = 0;

    for (i = 0; i < lines->nelts && !found; i++)
        found = mac_is_identity_name(line[i].key, strlen(line[i].key));
    if (!found)
        return 0;
    /* Removing them one by one would move the others each time. */
    copy = apr_array_copy(p, lines);
    line = (const apr_table_entry_t *)copy->elts;
    apr_table_clear(table);
    for (i = 0; i < copy->nelts; i++)
        if (!mac_is_identity_name(line[i].key, strlen(line[i].key)))
            apr_table_addn(table, line[i].key, line[i].val);
    return 1;
}

/* A proxy removes the headers that `Connection` names, also those that this module adds. */
void mac_strip_headers(request_rec *r)
{
    const char *connection;
    char *kept;

    strip_table(r->pool, r->headers_in);
    connection = apr_table_get(r->headers_in, "Connection");
    if (!connection || !mac_has_identity_name(connection))
        return;
    /* Apache has joined several lines to one. */
    kept = apr_palloc(r->pool, 2 * strlen(connection) + 1);
    mac_remove_identity_names(connection, kept);
    if (*kept)
        apr_table_setn(r->headers_in, "Connection", kept);
    else
        apr_table_unset(r->headers_in, "Connection");
}

/* Runs before every location, subrequest and proxy. */
int mac_strip_request_headers(request_rec *r)
{
    if (mac_flag(mac_server_conf_of(r->server)->strip_headers, 1))
        mac_strip_headers(r);
    return DECLINED;
}

/* --- trailers ------------------------------------------------------------------------------------------------------ */

static ap_filter_rec_t *trailer_filter;

static int add_line(void *table, const char *name, const char *value)
{
    apr_table_addn(table, name, value);
    return 1;
}

static int add_identity_line(void *table, const char *name, const char *value)
{
    return mac_is_identity_name(name, strlen(name)) ? add_line(table, name, value) : 1;
}

/* With `MergeTrailers On` Apache adds the lines after a chunked body to the headers, also those that this module has set, and
 * mod_proxy_fcgi reads the body before it passes the headers on. */
static apr_status_t strip_trailers(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block,
                                   apr_off_t readbytes)
{
    apr_status_t rv = ap_get_brigade(f->next, bb, mode, block, readbytes);
    request_rec *r = f->r;

    if (strip_table(r->pool, r->trailers_in)) {
        strip_table(r->pool, r->headers_in);
        apr_table_do(add_line, r->headers_in, f->ctx, NULL);
    }
    return rv;
}

void mac_register_trailer_filter(void)
{
    trailer_filter = ap_register_input_filter("CLERK_TRAILERS", strip_trailers, NULL, AP_FTYPE_CONTENT_SET);
}

/* Runs after the fixups: the headers are as the application shall see them. */
void mac_insert_trailer_filter(request_rec *r)
{
    apr_table_t *lines;

    /* In HTTP/2 a body of any kind may have trailers. */
    if (r->main || (r->proto_num < HTTP_VERSION(2, 0) && !apr_table_get(r->headers_in, "Transfer-Encoding")))
        return;
    lines = apr_table_make(r->pool, 16);
    apr_table_do(add_identity_line, lines, r->headers_in, NULL);
    ap_add_input_filter_handle(trailer_filter, lines, r, r->connection);
}
