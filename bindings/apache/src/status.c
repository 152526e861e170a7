/* `SetHandler clerk-status`: statistics of all processes since the server was started. */

#include "mod_auth_clerk.h"

#include <apr_lib.h>

static const struct {
    const char *name, *help;
    int is_gauge;
} stats[MAC_STAT_COUNT] = {
    [MAC_STAT_CACHE_HITS] = { "cache_hits", "Results from the cache.", 0 },
    [MAC_STAT_CACHE_MISSES] = { "cache_misses", "Tokens that had to be verified.", 0 },
    [MAC_STAT_SIGNED_IN] = { "signed_in", "Requests accepted after verification.", 0 },
    [MAC_STAT_SIGNED_OUT] = { "signed_out", "Requests rejected.", 0 },
    [MAC_STAT_UNAVAILABLE] = { "unavailable", "Requests whose result could not be determined.", 0 },
    [MAC_STAT_JWKS_FETCHES] = { "jwks_fetches", "Fetches of the key set.", 0 },
    [MAC_STAT_USER_FETCHES] = { "user_fetches", "Fetches of a user.", 0 },
    [MAC_STAT_CACHED_TOKENS] = { "cached_tokens", "Tokens in the caches of all processes.", 1 },
    [MAC_STAT_CACHED_USERS] = { "cached_users", "Users in the caches of all processes.", 1 },
};

static apr_uint64_t value_of(const clerk_stats *from, int which)
{
    switch (which) {
    case MAC_STAT_CACHE_HITS:
        return from->cache_hits;
    case MAC_STAT_CACHE_MISSES:
        return from->cache_misses;
    case MAC_STAT_SIGNED_IN:
        return from->signed_in;
    case MAC_STAT_SIGNED_OUT:
        return from->signed_out;
    case MAC_STAT_UNAVAILABLE:
        return from->unavailable;
    case MAC_STAT_JWKS_FETCHES:
        return from->jwks_fetches;
    case MAC_STAT_USER_FETCHES:
        return from->user_fetches;
    case MAC_STAT_CACHED_TOKENS:
        return from->cached_tokens;
    default:
        return from->cached_users;
    }
}

/* Adds the changes since the last call. */
void mac_flush_stats(mac_client *client, apr_time_t now)
{
    clerk_stats current = CLERK_STATS_INIT;
    int i;

    if (!mac_shared_state || apr_thread_mutex_trylock(client->lock) != APR_SUCCESS)
        return;
    if (clerk_client_stats(client->handle, &current) == CLERK_OK) {
        for (i = 0; i < MAC_STAT_COUNT; i++)
            __atomic_add_fetch(&mac_shared_state->stats[i], value_of(&current, i) - value_of(&client->flushed, i), __ATOMIC_RELAXED);
        client->flushed = current;
        __atomic_store_n(&client->flushed_at, now, __ATOMIC_RELAXED);
    }
    apr_thread_mutex_unlock(client->lock);
}

/* The cache ends with the client. */
void mac_retire_stats(mac_client *client)
{
    int i;

    if (mac_shared_state)
        for (i = 0; i < MAC_STAT_COUNT; i++)
            if (stats[i].is_gauge)
                __atomic_sub_fetch(&mac_shared_state->stats[i], value_of(&client->flushed, i), __ATOMIC_RELAXED);
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

int mac_status_handler(request_rec *r)
{
    int prometheus, i;
    apr_time_t now = apr_time_now();
    const mac_client *client;
    clerk_stats current = CLERK_STATS_INIT;

    if (!r->handler || strcmp(r->handler, "clerk-status"))
        return DECLINED;
    r->allowed |= AP_METHOD_BIT << M_GET;
    if (r->method_number != M_GET)
        return HTTP_METHOD_NOT_ALLOWED;
    prometheus = r->args && !strcmp(r->args, "format=prometheus");
    mac_each_client(flush, &now);
    ap_set_content_type(r, prometheus ? "text/plain; version=0.0.4; charset=utf-8" : "text/plain; charset=utf-8");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    if (!prometheus)
        ap_rprintf(r, "clerk-auth %s\n", clerk_version());
    for (i = 0; i < MAC_STAT_COUNT; i++) {
        apr_uint64_t value = __atomic_load_n(&mac_shared_state->stats[i], __ATOMIC_RELAXED);
        const char *suffix = stats[i].is_gauge ? "" : "_total";

        if (prometheus)
            ap_rprintf(r, "# HELP clerk_auth_%s%s %s\n# TYPE clerk_auth_%s%s %s\nclerk_auth_%s%s %" APR_UINT64_T_FMT "\n", stats[i].name,
                       suffix, stats[i].help, stats[i].name, suffix, stats[i].is_gauge ? "gauge" : "counter", stats[i].name, suffix, value);
        else
            ap_rprintf(r, "%s %" APR_UINT64_T_FMT "\n", stats[i].name, value);
    }
    client = mac_client_of_server(r->server);
    if (client && clerk_client_stats(client->handle, &current) == CLERK_OK && current.jwks_age_ms >= 0)
        ap_rprintf(r, prometheus ? "# HELP clerk_auth_jwks_age_seconds Age of the key set in the process that responds.\n"
                                   "# TYPE clerk_auth_jwks_age_seconds gauge\nclerk_auth_jwks_age_seconds %.3f\n"
                                 : "jwks_age_s %.3f\n",
                   (double)current.jwks_age_ms / 1000);
    return OK;
}
