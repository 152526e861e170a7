#include "result.h"

#include "values.h"

#include <stdlib.h>

static const char TAG;

struct result {
    const void *tag;
    clerk_result *core; /* NULL: unavailable, without details */
};

static void finalize(napi_env env, void *data, void *hint)
{
    struct result *result = data;
    (void)env, (void)hint;
    clerk_result_free(result->core);
    free(result);
}

napi_value result_create(napi_env env, clerk_result *core)
{
    struct result *result = malloc(sizeof *result);
    if (result == NULL) {
        clerk_result_free(core);
        return throw_status(env, CLERK_E_PANIC);
    }
    *result = (struct result){ &TAG, core };
    return create_external(env, result, finalize);
}

static void remove_entry(napi_env env, struct result_cache *cache, size_t i)
{
    if (cache->entries[i].core == NULL)
        return;
    napi_delete_reference(env, cache->entries[i].handle);
    cache->entries[i].core = NULL;
    cache->entries[i].handle = NULL;
}

napi_value result_cache_get(napi_env env, struct result_cache *cache, clerk_result *core)
{
    napi_value handle = NULL;
    if (clerk_result_source(core) != CLERK_SOURCE_CACHE)
        return result_create(env, core);
    size_t i = ((uintptr_t)core >> 5) % CACHED_HANDLES;
    if (cache->entries[i].core == core) {
        clerk_result_free(core);
        TRY(napi_get_reference_value(env, cache->entries[i].handle, &handle));
        return handle;
    }
    remove_entry(env, cache, i);
    handle = result_create(env, core);
    if (handle != NULL && napi_create_reference(env, handle, 1, &cache->entries[i].handle) == napi_ok)
        cache->entries[i].core = core;
    return handle;
}

void result_cache_clear(napi_env env, struct result_cache *cache)
{
    for (size_t i = 0; i < CACHED_HANDLES; i++)
        remove_entry(env, cache, i);
}

static const struct result *result_from_arguments(napi_env env, napi_callback_info info, size_t count,
                                                  napi_value *arguments)
{
    size_t actual = count;
    struct result *result = NULL;
    TRY(napi_get_cb_info(env, info, &actual, arguments, NULL, NULL));
    if (actual < count || napi_get_value_external(env, arguments[0], (void **)&result) != napi_ok ||
        result->tag != &TAG) {
        throw_type_error(env, "must be a result");
        return NULL;
    }
    return result;
}

static int32_t reason_of(const clerk_result *core)
{
    return core != NULL ? clerk_result_reason(core) : CLERK_REASON_SERVER_ERROR;
}

#define GETTER(name, expression)                                                      \
    static napi_value name(napi_env env, napi_callback_info info)                     \
    {                                                                                 \
        napi_value arguments[1];                                                      \
        const struct result *result = result_from_arguments(env, info, 1, arguments); \
        if (result == NULL)                                                           \
            return NULL;                                                              \
        const clerk_result *core = result->core;                                      \
        return expression;                                                            \
    }

GETTER(status, create_int64(env, core != NULL ? clerk_result_status(core) : CLERK_UNAVAILABLE))
GETTER(reason, create_name(env, clerk_reason_name(reason_of(core))))
GETTER(public_reason, create_name(env, clerk_result_public_reason(core)))
GETTER(category, create_name(env, clerk_category_name(clerk_reason_category(reason_of(core)))))
GETTER(source, create_name(env, clerk_source_name(clerk_result_source(core))))
GETTER(token_type, create_name(env, clerk_token_kind_name(clerk_result_token_kind(core))))
GETTER(http_status, create_int64(env, core != NULL ? clerk_result_http_status(core) : 503))
GETTER(retry_after_ms, create_int64(env, core != NULL ? clerk_result_retry_after_ms(core) : -1))
GETTER(handshake_recommended, create_int64(env, clerk_result_handshake_recommended(core)))
GETTER(is_anonymous, create_int64(env, clerk_result_is_anonymous(core)))
GETTER(user_id, create_string(env, clerk_result_user_id(core)))
GETTER(token_hash, create_string(env, clerk_result_token_hash(core)))
GETTER(expires_at_ms, create_int64(env, clerk_result_expires_at_ms(core)))

/* redirect(result): the value of `Location`, or null. */
static napi_value redirect(napi_env env, napi_callback_info info)
{
    napi_value arguments[1];
    clerk_str url = { NULL, 0 };
    const struct result *result = result_from_arguments(env, info, 1, arguments);
    if (result == NULL)
        return NULL;
    return clerk_result_redirect(result->core, &url) == CLERK_OK ? create_string(env, url) : get_null(env);
}

/* setCookies(result): the values of the `Set-Cookie` lines. */
static napi_value set_cookies(napi_env env, napi_callback_info info)
{
    napi_value arguments[1], lines = NULL;
    const struct result *result = result_from_arguments(env, info, 1, arguments);
    if (result == NULL)
        return NULL;
    size_t count = clerk_result_set_cookie_count(result->core);
    TRY(napi_create_array_with_length(env, count, &lines));
    for (size_t i = 0; i < count; i++) {
        clerk_str line = { NULL, 0 };
        ignore_status(clerk_result_set_cookie(result->core, i, &line));
        TRY(napi_set_element(env, lines, (uint32_t)i, create_string(env, line)));
    }
    return lines;
}

/* cacheControl(result): the value of `Cache-Control`, or null. */
static napi_value cache_control(napi_env env, napi_callback_info info)
{
    napi_value arguments[1];
    clerk_str value = { NULL, 0 };
    const struct result *result = result_from_arguments(env, info, 1, arguments);
    if (result == NULL)
        return NULL;
    return clerk_result_cache_control(result->core, &value) == CLERK_OK ? create_string(env, value) : get_null(env);
}

/* get(result, attribute) */
static napi_value get(napi_env env, napi_callback_info info)
{
    napi_value arguments[2];
    int32_t attribute = -1;
    const struct result *result = result_from_arguments(env, info, 2, arguments);
    if (result == NULL)
        return NULL;
    TRY(napi_get_value_int32(env, arguments[1], &attribute));
    return create_string(env, clerk_result_get(result->core, attribute));
}

/* factorVerificationAge(result): [first factor, second factor] in minutes, or null. */
static napi_value factor_verification_age(napi_env env, napi_callback_info info)
{
    napi_value arguments[1], ages = NULL;
    int64_t first = -1, second = -1;
    const struct result *result = result_from_arguments(env, info, 1, arguments);
    if (result == NULL)
        return NULL;
    if (clerk_result_factor_verification_age(result->core, &first, &second) != 1)
        return get_null(env);
    TRY(napi_create_array_with_length(env, 2, &ages));
    TRY(napi_set_element(env, ages, 0, create_int64(env, first)));
    TRY(napi_set_element(env, ages, 1, create_int64(env, second)));
    return ages;
}

/* has(result, check, value) */
static napi_value has(napi_env env, napi_callback_info info)
{
    napi_value arguments[3], boolean = NULL;
    int32_t check = 0;
    clerk_str value;
    ARENA(arena, 1024);
    const struct result *result = result_from_arguments(env, info, 3, arguments);
    if (result == NULL)
        return NULL;
    TRY(napi_get_value_int32(env, arguments[1], &check));
    bool is_read = get_string(env, arguments[2], &arena, &value);
    bool is_granted = is_read && clerk_result_has(result->core, check, value) == 1;
    arena_free(&arena);
    if (!is_read)
        return NULL;
    TRY(napi_get_boolean(env, is_granted, &boolean));
    return boolean;
}

/* challenge(result, realm): the value of a WWW-Authenticate header, or null. */
static napi_value challenge(napi_env env, napi_callback_info info)
{
    napi_value arguments[2];
    clerk_str realm;
    char value[1024];
    size_t len = 0;
    ARENA(arena, 512);
    const struct result *result = result_from_arguments(env, info, 2, arguments);
    if (result == NULL)
        return NULL;
    bool is_read = get_string(env, arguments[1], &arena, &realm);
    int32_t status = CLERK_E_ARGUMENT;
    if (is_read)
        status = clerk_result_www_authenticate(result->core, realm, value, sizeof value, &len);
    arena_free(&arena);
    if (!is_read)
        return NULL;
    if (status == CLERK_E_ARGUMENT)
        return throw_type_error(env, "realm must be printable ASCII, and not too long");
    return status == CLERK_OK ? create_string(env, (clerk_str){ value, len }) : get_null(env);
}

bool result_define(napi_env env, napi_value exports)
{
    napi_value object = NULL;
    TRY(napi_create_object(env, &object));
    return set_method(env, object, "status", status) && set_method(env, object, "reason", reason) &&
           set_method(env, object, "publicReason", public_reason) && set_method(env, object, "category", category) && set_method(env, object, "source", source) &&
           set_method(env, object, "tokenType", token_type) && set_method(env, object, "httpStatus", http_status) &&
           set_method(env, object, "retryAfterMs", retry_after_ms) &&
           set_method(env, object, "handshakeRecommended", handshake_recommended) &&
           set_method(env, object, "isAnonymous", is_anonymous) &&
           set_method(env, object, "userId", user_id) && set_method(env, object, "expiresAtMs", expires_at_ms) &&
           set_method(env, object, "tokenHash", token_hash) &&
           set_method(env, object, "redirect", redirect) && set_method(env, object, "setCookies", set_cookies) &&
           set_method(env, object, "cacheControl", cache_control) &&
           set_method(env, object, "get", get) &&
           set_method(env, object, "factorVerificationAge", factor_verification_age) &&
           set_method(env, object, "has", has) && set_method(env, object, "challenge", challenge) &&
           set_property(env, exports, "result", object);
}
