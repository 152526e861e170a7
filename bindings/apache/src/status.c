/* `SetHandler clerk-status`: statistics of all processes since the server was started. */

#include "mod_auth_clerk.h"

#include <apr_lib.h>

/* `clerk_stats` after its size, as numbers that can be added without a lock. */
typedef union {
    clerk_stats stats;
    apr_uint64_t words[MAC_STAT_WORDS];
} mac_stats;

/* Adds a change of each number; the first word has the size. */
static void add_change(const clerk_stats *after, const clerk_stats *before)
{
    mac_stats now = { .stats = *after }, then = { .stats = *before };
    int i;

    for (i = 1; i < MAC_STAT_WORDS; i++)
        if (now.words[i] != then.words[i])
            __atomic_add_fetch(&mac_shared_state->stats[i], now.words[i] - then.words[i], __ATOMIC_RELAXED);
}

/* Adds the changes since the last call. */
void mac_flush_stats(mac_client *client, apr_time_t now)
{
    clerk_stats current = CLERK_STATS_INIT;

    if (!mac_shared_state || apr_thread_mutex_trylock(client->lock) != APR_SUCCESS)
        return;
    if (clerk_client_stats(client->handle, &current) == CLERK_OK) {
        add_change(&current, &client->flushed);
        client->flushed = current;
        __atomic_store_n(&client->flushed_at, now, __ATOMIC_RELAXED);
    }
    apr_thread_mutex_unlock(client->lock);
}

/* What is no counter ends with the client. */
void mac_retire_stats(mac_client *client)
{
    clerk_stats counters = CLERK_STATS_INIT;

    if (mac_shared_state && client->flushed.struct_size && clerk_stats_add(&counters, &client->flushed, 1) == CLERK_OK)
        add_change(&counters, &client->flushed);
}

int mac_log_transaction(request_rec *r)
{
    mac_request *state = ap_get_module_config(r->request_config, &auth_clerk_module);
    mac_client *client = state && state->outcome ? state->outcome->client : NULL;

    if (client && r->request_time - __atomic_load_n(&client->flushed_at, __ATOMIC_RELAXED) > apr_time_from_msec(100))
        mac_flush_stats(client, r->request_time);
    return DECLINED;
}

static void flush(mac_client *client, void *now)
{
    mac_flush_stats(client, *(const apr_time_t *)now);
}

/* Reduces the format of Prometheus to lines of a name and a value. */
static void send_plain(request_rec *r, char *text)
{
    char *line, *rest = NULL, *total;

    for (line = apr_strtok(text, "\n", &rest); line; line = apr_strtok(NULL, "\n", &rest)) {
        if (*line == '#' || strncmp(line, "clerk_auth_", 11))
            continue;
        line += 11;
        total = strstr(line, "_total");
        if (total && (total[6] == ' ' || total[6] == '{'))
            ap_rprintf(r, "%.*s%s\n", (int)(total - line), line, total + 6);
        else
            ap_rprintf(r, "%s\n", line);
    }
}

int mac_status_handler(request_rec *r)
{
    int prometheus, i;
    apr_time_t now = apr_time_now();
    const mac_client *client;
    mac_stats sum;
    clerk_stats current = CLERK_STATS_INIT;
    apr_size_t needed = 0;
    char *text;

    if (!r->handler || strcmp(r->handler, "clerk-status"))
        return DECLINED;
    r->allowed |= AP_METHOD_BIT << M_GET;
    if (r->method_number != M_GET)
        return HTTP_METHOD_NOT_ALLOWED;
    prometheus = r->args && !strcmp(r->args, "format=prometheus");
    mac_each_client(flush, &now);
    for (i = 0; i < MAC_STAT_WORDS; i++)
        sum.words[i] = __atomic_load_n(&mac_shared_state->stats[i], __ATOMIC_RELAXED);
    sum.stats.struct_size = sizeof(sum.stats);
    sum.stats.reserved = 0;
    /* Ages cannot be added: that of the process that responds. */
    client = mac_client_of_server(r->server);
    sum.stats.jwks_age_ms = client && clerk_client_stats(client->handle, &current) == CLERK_OK ? current.jwks_age_ms : -1;
    if (clerk_stats_metrics_text(&sum.stats, NULL, 0, &needed) != CLERK_E_ARGUMENT)
        return HTTP_INTERNAL_SERVER_ERROR;
    text = apr_palloc(r->pool, needed + 1);
    if (clerk_stats_metrics_text(&sum.stats, text, needed + 1, NULL) != CLERK_OK)
        return HTTP_INTERNAL_SERVER_ERROR;
    ap_set_content_type(r, prometheus ? "text/plain; version=0.0.4; charset=utf-8" : "text/plain; charset=utf-8");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    if (prometheus)
        ap_rputs(text, r);
    else {
        ap_rprintf(r, "clerk-auth %s\n", clerk_version());
        send_plain(r, text);
    }
    return OK;
}
