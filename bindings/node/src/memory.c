/* What a client remembers: forgotten, and counted. */
#include "addon.h"

/* Calls that take one text and only forget something. */
static napi_value forget(napi_env env, napi_callback_info info, int32_t (*function)(const clerk_client *, clerk_str))
{
    size_t count = 1;
    napi_value argument;
    clerk_str given;
    ARENA(room, 4096);

    client *own = client_this(env, info, &count, &argument);
    if (own == NULL)
        return NULL;
    int32_t status = CLERK_E_ARGUMENT;
    bool read = text_of(env, argument, &room, &given);
    if (read && given.data != NULL)
        status = function(own->core, given);
    arena_free(&room);
    if (!read)
        return NULL;
    return status == CLERK_OK ? undefined(env) : throw_status(env, status);
}

napi_value memory_invalidate_token(napi_env env, napi_callback_info info)
{
    return forget(env, info, clerk_client_invalidate_token);
}

napi_value memory_invalidate_user(napi_env env, napi_callback_info info)
{
    return forget(env, info, clerk_client_invalidate_user);
}

napi_value memory_invalidate_session(napi_env env, napi_callback_info info)
{
    return forget(env, info, clerk_client_invalidate_session);
}

napi_value memory_invalidate_all(napi_env env, napi_callback_info info)
{
    size_t count = 0;
    client *own = client_this(env, info, &count, NULL);
    if (own == NULL)
        return NULL;
    int32_t status = clerk_client_invalidate_all(own->core);
    return status == CLERK_OK ? undefined(env) : throw_status(env, status);
}

napi_value memory_stats(napi_env env, napi_callback_info info)
{
    size_t count = 0;
    clerk_stats now = CLERK_STATS_INIT;
    napi_value object = NULL;
    client *own = client_this(env, info, &count, NULL);
    if (own == NULL)
        return NULL;
    int32_t status = clerk_client_stats(own->core, &now);
    if (status != CLERK_OK)
        return throw_status(env, status);
    TRY(napi_create_object(env, &object));
    bool done = set(env, object, "cacheHits", number(env, (int64_t)now.cache_hits)) &&
                set(env, object, "cacheMisses", number(env, (int64_t)now.cache_misses)) &&
                set(env, object, "signedIn", number(env, (int64_t)now.signed_in)) &&
                set(env, object, "signedOut", number(env, (int64_t)now.signed_out)) &&
                set(env, object, "unavailable", number(env, (int64_t)now.unavailable)) &&
                set(env, object, "jwksFetches", number(env, (int64_t)now.jwks_fetches)) &&
                set(env, object, "userFetches", number(env, (int64_t)now.user_fetches)) &&
                set(env, object, "cachedTokens", number(env, (int64_t)now.cached_tokens)) &&
                set(env, object, "cachedUsers", number(env, (int64_t)now.cached_users)) &&
                set(env, object, "jwksAgeMs", number(env, now.jwks_age_ms));
    return done ? object : NULL;
}
