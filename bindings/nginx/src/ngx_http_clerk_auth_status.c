/* `clerk_auth_status`: statistics of all workers, as text or for Prometheus. */

#include "ngx_http_clerk_auth.h"

static const struct {
    const char *name;
    const char *help;
    ngx_uint_t is_gauge;
} ngx_http_clerk_auth_rows[NGX_HTTP_CLERK_AUTH_STATISTICS] = {
    { "cache_hits", "Results from the cache.", 0 },
    { "cache_misses", "Tokens that had to be verified.", 0 },
    { "signed_in", "Requests signed in after verification.", 0 },
    { "signed_out", "Requests rejected.", 0 },
    { "unavailable", "Requests whose result could not be determined.", 0 },
    { "jwks_fetches", "Fetches of the key set.", 0 },
    { "user_fetches", "Fetches of users.", 0 },
    { "cached_tokens", "Verified tokens in the caches.", 1 },
    { "cached_users", "Users in the caches.", 1 },
    { "offloaded", "Requests that were suspended while a thread ran.", 0 },
    { "queue_full", "Requests rejected because the queue of the thread pool was full.", 0 },
    { "csrf_rejected", "Requests with a cookie that were rejected by the CSRF check.", 0 },
    { "requirement_failed", "Requests that did not meet a requirement of their location.", 0 },
    { "webhooks_applied", "Webhook events applied.", 0 },
    { "webhooks_rejected", "Webhook events rejected.", 0 },
    { "clients_unavailable", "Sets of settings without a client.", 1 },
};

ngx_uint_t
ngx_http_clerk_auth_statistic_is_gauge(ngx_uint_t number)
{
    return ngx_http_clerk_auth_rows[number].is_gauge;
}

/* Of this worker, in the order of the rows. */
void
ngx_http_clerk_auth_statistics(ngx_http_clerk_auth_main_conf_t *mcf, uint64_t values[NGX_HTTP_CLERK_AUTH_STATISTICS])
{
    ngx_http_clerk_auth_client_t **clients = mcf->clients.elts;
    ngx_http_clerk_auth_counters_t *counters = &ngx_http_clerk_auth_counters;
    uint64_t sums[NGX_HTTP_CLERK_AUTH_STATISTICS];
    clerk_stats stats = CLERK_STATS_INIT;
    ngx_uint_t i;

    ngx_memzero(sums, sizeof(sums));
    for (i = 0; i < mcf->clients.nelts; i++) {
        if (clients[i]->client == NULL || clerk_client_stats(clients[i]->client, &stats) != CLERK_OK) {
            sums[15]++;
            continue;
        }
        sums[0] += stats.cache_hits;
        sums[1] += stats.cache_misses;
        sums[2] += stats.signed_in;
        sums[3] += stats.signed_out;
        sums[4] += stats.unavailable;
        sums[5] += stats.jwks_fetches;
        sums[6] += stats.user_fetches;
        sums[7] += stats.cached_tokens;
        sums[8] += stats.cached_users;
    }
    sums[9] = counters->offloaded;
    sums[10] = counters->queue_full;
    sums[11] = counters->csrf_rejected;
    sums[12] = counters->requirement_failed;
    sums[13] = counters->webhooks_applied;
    sums[14] = counters->webhooks_rejected;
    ngx_memcpy(values, sums, sizeof(sums));
}

ngx_int_t
ngx_http_clerk_auth_status_handler(ngx_http_request_t *r)
{
    static ngx_str_t text = ngx_string("text/plain"), prometheus = ngx_string("text/plain; version=0.0.4");
    ngx_http_clerk_auth_loc_conf_t *lcf = ngx_http_get_module_loc_conf(r, ngx_http_clerk_auth_module);
    uint64_t values[NGX_HTTP_CLERK_AUTH_STATISTICS];
    ngx_uint_t i, workers;
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
    workers = ngx_http_clerk_auth_zone_statistics(ngx_http_get_module_main_conf(r, ngx_http_clerk_auth_module), values);
    body.data = p = ngx_pnalloc(r->pool, (NGX_HTTP_CLERK_AUTH_STATISTICS + 1) * 320);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    for (i = 0; i < NGX_HTTP_CLERK_AUTH_STATISTICS; i++) {
        const char *name = ngx_http_clerk_auth_rows[i].name, *help = ngx_http_clerk_auth_rows[i].help;

        if (!lcf->status_format) {
            p = ngx_sprintf(p, "%s %uL\n", name, values[i]);
        } else if (ngx_http_clerk_auth_rows[i].is_gauge) {
            p = ngx_sprintf(p, "# HELP clerk_auth_%s %s\n# TYPE clerk_auth_%s gauge\nclerk_auth_%s %uL\n", name, help,
                name, name, values[i]);
        } else {
            p = ngx_sprintf(p, "# HELP clerk_auth_%s_total %s\n# TYPE clerk_auth_%s_total counter\n"
                               "clerk_auth_%s_total %uL\n", name, help, name, name, values[i]);
        }
    }
    p = !lcf->status_format ? ngx_sprintf(p, "workers %ui\n", workers)
                            : ngx_sprintf(p, "# HELP clerk_auth_workers Workers that are counted.\n"
                                             "# TYPE clerk_auth_workers gauge\nclerk_auth_workers %ui\n", workers);
    body.len = p - body.data;
    return ngx_http_clerk_auth_send(r, NGX_HTTP_OK, lcf->status_format ? &prometheus : &text, &body);
}
