#include "cache.h"

#include "client.h"
#include "values.h"

#include <stdlib.h>

static napi_value invalidate(napi_env env, napi_callback_info info, int32_t (*function)(const clerk_client *, clerk_str))
{
    size_t count = 1;
    napi_value argument;
    clerk_str string;
    ARENA(arena, 4096);

    struct client *client = open_client_of_this(env, info, &count, &argument);
    if (client == NULL)
        return NULL;
    int32_t status = CLERK_E_ARGUMENT;
    bool is_read = get_string(env, argument, &arena, &string);
    if (is_read && string.data != NULL)
        status = function(client->core, string);
    arena_free(&arena);
    if (!is_read)
        return NULL;
    return status == CLERK_OK ? get_undefined(env) : throw_status(env, status);
}

napi_value cache_invalidate_token(napi_env env, napi_callback_info info)
{
    return invalidate(env, info, clerk_client_invalidate_token);
}

napi_value cache_invalidate_user(napi_env env, napi_callback_info info)
{
    return invalidate(env, info, clerk_client_invalidate_user);
}

napi_value cache_invalidate_session(napi_env env, napi_callback_info info)
{
    return invalidate(env, info, clerk_client_invalidate_session);
}

napi_value cache_invalidate_all(napi_env env, napi_callback_info info)
{
    size_t count = 0;
    struct client *client = open_client_of_this(env, info, &count, NULL);
    if (client == NULL)
        return NULL;
    int32_t status = clerk_client_invalidate_all(client->core);
    return status == CLERK_OK ? get_undefined(env) : throw_status(env, status);
}

napi_value cache_revoke_session(napi_env env, napi_callback_info info)
{
    return invalidate(env, info, clerk_client_revoke_session);
}

napi_value cache_revoke_user(napi_env env, napi_callback_info info)
{
    return invalidate(env, info, clerk_client_revoke_user);
}

static int32_t import_revocations(const clerk_client *client, clerk_str json)
{
    return clerk_client_import_revocations(client, json, NULL);
}

napi_value cache_import_revocations(napi_env env, napi_callback_info info)
{
    return invalidate(env, info, import_revocations);
}

/* Returns the string that a function copies into a buffer. */
static napi_value copied(napi_env env, napi_callback_info info,
                         int32_t (*copy)(const clerk_client *, char *, size_t, size_t *))
{
    size_t count = 0, capacity = 0, needed = 16384;
    char *string = NULL;
    int32_t status;
    struct client *client = open_client_of_this(env, info, &count, NULL);
    if (client == NULL)
        return NULL;
    do {
        free(string);
        capacity = needed + 1;
        string = malloc(capacity);
        status = string == NULL ? CLERK_E_PANIC : copy(client->core, string, capacity, &needed);
    } while (string != NULL && status == CLERK_E_ARGUMENT && needed >= capacity);
    napi_value made =
        status == CLERK_OK ? create_string(env, (clerk_str){ string, needed }) : throw_status(env, status);
    free(string);
    return made;
}

napi_value cache_export_revocations(napi_env env, napi_callback_info info)
{
    return copied(env, info, clerk_client_export_revocations);
}

napi_value cache_metrics_text(napi_env env, napi_callback_info info)
{
    return copied(env, info, clerk_client_metrics_text);
}

napi_value cache_explain(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument, object = NULL;
    clerk_str token;
    clerk_explanation *explanation = NULL;
    ARENA(arena, 4096);

    struct client *client = open_client_of_this(env, info, &count, &argument);
    if (client == NULL)
        return NULL;
    int32_t status = CLERK_E_ARGUMENT;
    bool is_read = get_string(env, argument, &arena, &token);
    if (is_read && token.data != NULL)
        status = clerk_explain(client->core, token, &explanation, NULL);
    arena_free(&arena);
    if (!is_read)
        return NULL;
    if (status != CLERK_OK)
        return throw_status(env, status);
    bool is_created = napi_create_object(env, &object) == napi_ok &&
                      set_property(env, object, "json", create_string(env, clerk_explanation_json(explanation))) &&
                      set_property(env, object, "text", create_string(env, clerk_explanation_text(explanation)));
    clerk_explanation_free(explanation);
    return is_created ? object : NULL;
}

/* The calls to Clerk that have happened, by endpoint and status. */
static napi_value create_calls(napi_env env, const clerk_stats *stats)
{
    napi_value array, object;
    uint32_t made = 0;

    TRY(napi_create_array(env, &array));
    for (int32_t endpoint = 0; endpoint < 16; endpoint++) {
        for (int32_t status = 0; status < 8; status++) {
            uint64_t count = stats->calls[endpoint][status];
            if (count == 0)
                continue;
            TRY(napi_create_object(env, &object));
            if (!set_property(env, object, "endpoint", create_string(env, clerk_str_of(clerk_endpoint_name(endpoint)))) ||
                !set_property(env, object, "status", create_string(env, clerk_str_of(clerk_call_status_name(status)))) ||
                !set_property(env, object, "count", create_int64(env, (int64_t)count)))
                return NULL;
            TRY(napi_set_element(env, array, made++, object));
        }
    }
    return array;
}

/* The names of the endpoints that are marked. */
static napi_value create_endpoints(napi_env env, const uint64_t marks[16])
{
    napi_value array;
    uint32_t made = 0;

    TRY(napi_create_array(env, &array));
    for (int32_t endpoint = 0; endpoint < 16; endpoint++) {
        if (marks[endpoint] == 0)
            continue;
        napi_value name = create_string(env, clerk_str_of(clerk_endpoint_name(endpoint)));
        if (name == NULL)
            return NULL;
        TRY(napi_set_element(env, array, made++, name));
    }
    return array;
}

/* An object of numbers. */
struct number {
    const char *name;
    int64_t value;
};

static napi_value create_numbers(napi_env env, const struct number numbers[], size_t count)
{
    napi_value object;

    TRY(napi_create_object(env, &object));
    for (size_t i = 0; i < count; i++) {
        if (!set_property(env, object, numbers[i].name, create_int64(env, numbers[i].value)))
            return NULL;
    }
    return object;
}

static napi_value create_shared_cache(napi_env env, const clerk_stats *stats)
{
    const struct number numbers[] = {
        { "hits", (int64_t)stats->shared_cache_hits },
        { "misses", (int64_t)stats->shared_cache_misses },
        { "errors", (int64_t)stats->shared_cache_errors },
        { "rejected", (int64_t)stats->shared_cache_rejected },
        { "revocationLagMs", stats->revocation_lag_ms },
    };
    clerk_str state = clerk_str_of(clerk_shared_cache_state_name((int32_t)stats->shared_cache_state));
    napi_value object = create_numbers(env, numbers, sizeof numbers / sizeof numbers[0]);
    return object != NULL && set_property(env, object, "state", create_string(env, state)) ? object : NULL;
}

napi_value cache_stats(napi_env env, napi_callback_info info)
{
    size_t count = 0;
    clerk_stats stats = CLERK_STATS_INIT;
    napi_value object;
    struct client *client = open_client_of_this(env, info, &count, NULL);
    if (client == NULL)
        return NULL;
    int32_t status = clerk_client_stats(client->core, &stats);
    if (status != CLERK_OK)
        return throw_status(env, status);
    const struct number numbers[] = {
        { "cacheHits", (int64_t)stats.cache_hits },
        { "cacheMisses", (int64_t)stats.cache_misses },
        { "signedIn", (int64_t)stats.signed_in },
        { "signedOut", (int64_t)stats.signed_out },
        { "unavailable", (int64_t)stats.unavailable },
        { "jwksFetches", (int64_t)stats.jwks_fetches },
        { "userFetches", (int64_t)stats.user_fetches },
        { "cachedTokens", (int64_t)stats.cached_tokens },
        { "cachedUsers", (int64_t)stats.cached_users },
        { "jwksAgeMs", stats.jwks_age_ms },
        { "noCredentials", (int64_t)stats.no_credentials },
        { "wouldBlock", (int64_t)stats.would_block },
        { "storeErrors", (int64_t)stats.store_errors },
    };
    object = create_numbers(env, numbers, sizeof numbers / sizeof numbers[0]);
    bool is_complete = object != NULL && set_property(env, object, "calls", create_calls(env, &stats)) &&
                       set_property(env, object, "openCircuits", create_endpoints(env, stats.open_circuits)) &&
                       set_property(env, object, "rateLimited", create_endpoints(env, stats.rate_limited)) &&
                       set_property(env, object, "sharedCache", create_shared_cache(env, &stats));
    return is_complete ? object : NULL;
}
