/* `clerk_auth_status`: statistics of all workers, as text or for Prometheus. */

#include "ngx_http_clerk_auth.h"

/* The longest text: that of the library, and a row for each statistic of the module. */
#define NGX_HTTP_CLERK_AUTH_TEXT (32 * 1024)

static const struct {
    const char *name;
    const char *help;
    ngx_uint_t is_gauge;
} ngx_http_clerk_auth_rows[NGX_HTTP_CLERK_AUTH_OWN_STATISTICS] = {
    { "offloaded", "Requests that were suspended while a thread ran.", 0 },
    { "queue_full", "Requests rejected because the queue of the thread pool was full.", 0 },
    { "csrf_rejected", "Requests with a cookie that were rejected by the CSRF check.", 0 },
    { "requirement_failed", "Requests that did not meet a requirement of their location.", 0 },
    { "webhooks_applied", "Webhook events applied.", 0 },
    { "webhooks_rejected", "Webhook events rejected.", 0 },
    { "clients_unavailable", "Sets of settings without a client.", 1 },
};

/* Of this worker. */
void
ngx_http_clerk_auth_statistics(ngx_http_clerk_auth_main_conf_t *mcf, ngx_http_clerk_auth_statistics_t *statistics)
{
    ngx_http_clerk_auth_client_t **clients = mcf->clients.elts;
    ngx_http_clerk_auth_counters_t *counters = &ngx_http_clerk_auth_counters;
    ngx_http_clerk_auth_statistics_t now = { CLERK_STATS_INIT, { 0 } };
    clerk_stats stats = CLERK_STATS_INIT;
    ngx_uint_t i;

    for (i = 0; i < mcf->clients.nelts; i++) {
        if (clients[i]->client == NULL || clerk_client_stats(clients[i]->client, &stats) != CLERK_OK
            || clerk_stats_add(&now.library, &stats, 0) != CLERK_OK)
        {
            now.own[6]++;
        }
    }
    now.own[0] = counters->offloaded;
    now.own[1] = counters->queue_full;
    now.own[2] = counters->csrf_rejected;
    now.own[3] = counters->requirement_failed;
    now.own[4] = counters->webhooks_applied;
    now.own[5] = counters->webhooks_rejected;
    *statistics = now;
}

/* Counters outlive their worker; gauges do not. */
void
ngx_http_clerk_auth_statistics_add(ngx_http_clerk_auth_statistics_t *sum, const ngx_http_clerk_auth_statistics_t *other,
    ngx_uint_t counters_only)
{
    ngx_uint_t i;

    /* Both are from CLERK_STATS_INIT. */
    (void) !clerk_stats_add(&sum->library, &other->library, (int32_t) counters_only);
    for (i = 0; i < NGX_HTTP_CLERK_AUTH_OWN_STATISTICS; i++) {
        if (!counters_only || !ngx_http_clerk_auth_rows[i].is_gauge) {
            sum->own[i] += other->own[i];
        }
    }
}

static u_char *
ngx_http_clerk_auth_row(u_char *p, const char *name, const char *help, ngx_uint_t is_gauge, uint64_t value)
{
    const char *suffix = is_gauge ? "" : "_total";

    return ngx_sprintf(p, "# HELP clerk_auth_%s%s %s\n# TYPE clerk_auth_%s%s %s\nclerk_auth_%s%s %uL\n", name, suffix, help,
        name, suffix, is_gauge ? "gauge" : "counter", name, suffix, value);
}

/* Reduces the format of Prometheus to lines of a name and a value. */
static u_char *
ngx_http_clerk_auth_plain(u_char *text, u_char *last)
{
    u_char *p = text, *line, *end, *to = text;
    size_t prefix = sizeof("clerk_auth_") - 1, total = sizeof("_total") - 1;

    for (line = text; line < last; line = end + 1) {
        end = ngx_strlchr(line, last, '\n');
        if (end == NULL) {
            break;
        }
        if (*line == '#') {
            continue;
        }
        for (p = line + prefix; p <= end; p++) {
            if (end - p > (ssize_t) total && ngx_strncmp(p, "_total", total) == 0 && (p[total] == ' ' || p[total] == '{')) {
                p += total;
            }
            *to++ = *p;
        }
    }
    return to;
}

ngx_int_t
ngx_http_clerk_auth_status_handler(ngx_http_request_t *r)
{
    static ngx_str_t text = ngx_string("text/plain"), prometheus = ngx_string("text/plain; version=0.0.4");
    ngx_http_clerk_auth_loc_conf_t *lcf = ngx_http_get_module_loc_conf(r, ngx_http_clerk_auth_module);
    ngx_http_clerk_auth_statistics_t statistics;
    ngx_uint_t i, workers;
    size_t len = 0;
    ngx_str_t body;
    ngx_int_t rc;
    u_char *p;

    if (!(r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }
    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }
    workers = ngx_http_clerk_auth_zone_statistics(ngx_http_get_module_main_conf(r, ngx_http_clerk_auth_module), &statistics);
    body.data = ngx_pnalloc(r->pool, NGX_HTTP_CLERK_AUTH_TEXT);
    if (body.data == NULL
        || clerk_stats_metrics_text(&statistics.library, (char *) body.data,
               NGX_HTTP_CLERK_AUTH_TEXT - (NGX_HTTP_CLERK_AUTH_OWN_STATISTICS + 1) * 320, &len)
               != CLERK_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    p = body.data + len;
    for (i = 0; i < NGX_HTTP_CLERK_AUTH_OWN_STATISTICS; i++) {
        p = ngx_http_clerk_auth_row(p, ngx_http_clerk_auth_rows[i].name, ngx_http_clerk_auth_rows[i].help,
            ngx_http_clerk_auth_rows[i].is_gauge, statistics.own[i]);
    }
    p = ngx_http_clerk_auth_row(p, "workers", "Workers that are counted.", 1, workers);
    if (!lcf->status_format) {
        p = ngx_http_clerk_auth_plain(body.data, p);
    }
    body.len = p - body.data;
    return ngx_http_clerk_auth_send(r, NGX_HTTP_OK, lcf->status_format ? &prometheus : &text, &body);
}
