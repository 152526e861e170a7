/* Results: handles that own one, and what can be read from them. */
#include "addon.h"

#include <stdlib.h>

static const char KIND;

typedef struct {
    const void *kind;
    clerk_result *core; /* NULL: nobody can tell */
} result;

static void finalize(napi_env env, void *data, void *hint)
{
    result *own = data;
    (void)env, (void)hint;
    clerk_result_free(own->core);
    free(own);
}

napi_value result_handle(napi_env env, clerk_result *core)
{
    result *own = malloc(sizeof *own);
    if (own == NULL) {
        clerk_result_free(core);
        return throw_status(env, CLERK_E_PANIC);
    }
    *own = (result){ &KIND, core };
    return external(env, own, finalize);
}

static void forget(napi_env env, known_result *known)
{
    if (known->core == NULL)
        return;
    napi_delete_reference(env, known->handle);
    *known = (known_result){ NULL, NULL };
}

/* What is known holds its handle, and the handle its result: no other one can have the same address. */
napi_value result_known(napi_env env, client *own, clerk_result *core)
{
    napi_value handle = NULL;
    if (clerk_result_source(core) != CLERK_SOURCE_CACHE)
        return result_handle(env, core);
    known_result *known = &own->known[((uintptr_t)core >> 5) % KNOWN_RESULTS];
    if (known->core == core) {
        clerk_result_free(core);
        TRY(napi_get_reference_value(env, known->handle, &handle));
        return handle;
    }
    forget(env, known);
    handle = result_handle(env, core);
    if (handle != NULL && napi_create_reference(env, handle, 1, &known->handle) == napi_ok)
        known->core = core;
    return handle;
}

void results_forget(napi_env env, client *own)
{
    for (int i = 0; i < KNOWN_RESULTS; i++)
        forget(env, &own->known[i]);
}

static const result *result_of(napi_env env, napi_callback_info info, size_t count, napi_value *arguments)
{
    size_t given = count;
    result *own = NULL;
    TRY(napi_get_cb_info(env, info, &given, arguments, NULL, NULL));
    if (given < count || napi_get_value_external(env, arguments[0], (void **)&own) != napi_ok || own->kind != &KIND) {
        throw_type(env, "a result is expected");
        return NULL;
    }
    return own;
}

static int32_t reason_of(const clerk_result *core)
{
    return core != NULL ? clerk_result_reason(core) : CLERK_REASON_SERVER_ERROR;
}

#define GETTER(name, expression)                                     \
    static napi_value name(napi_env env, napi_callback_info info)    \
    {                                                                \
        napi_value arguments[1];                                     \
        const result *own = result_of(env, info, 1, arguments);      \
        if (own == NULL)                                             \
            return NULL;                                             \
        const clerk_result *core = own->core;                        \
        return expression;                                           \
    }

GETTER(status, number(env, core != NULL ? clerk_result_status(core) : CLERK_UNAVAILABLE))
GETTER(reason, words(env, clerk_reason_name(reason_of(core))))
GETTER(category, words(env, clerk_category_name(clerk_reason_category(reason_of(core)))))
GETTER(source, words(env, clerk_source_name(clerk_result_source(core))))
GETTER(token_type, words(env, clerk_token_kind_name(clerk_result_token_kind(core))))
GETTER(http_status, number(env, core != NULL ? clerk_result_http_status(core) : 503))
GETTER(retry_after_ms, number(env, core != NULL ? clerk_result_retry_after_ms(core) : -1))
GETTER(handshake_recommended, number(env, clerk_result_handshake_recommended(core)))
GETTER(user_id, text(env, clerk_result_user_id(core)))
GETTER(expires_at_ms, number(env, clerk_result_expires_at_ms(core)))

/* text(result, which) */
static napi_value text_by_number(napi_env env, napi_callback_info info)
{
    napi_value arguments[2];
    int32_t which = -1;
    const result *own = result_of(env, info, 2, arguments);
    if (own == NULL)
        return NULL;
    TRY(napi_get_value_int32(env, arguments[1], &which));
    return text(env, clerk_result_get(own->core, which));
}

/* factorAges(result): [first, second], or null. */
static napi_value factor_ages(napi_env env, napi_callback_info info)
{
    napi_value arguments[1], ages = NULL;
    int64_t first = -1, second = -1;
    const result *own = result_of(env, info, 1, arguments);
    if (own == NULL)
        return NULL;
    if (clerk_result_factor_verification_age(own->core, &first, &second) != 1)
        return text(env, (clerk_str){ NULL, 0 });
    TRY(napi_create_array_with_length(env, 2, &ages));
    TRY(napi_set_element(env, ages, 0, number(env, first)));
    TRY(napi_set_element(env, ages, 1, number(env, second)));
    return ages;
}

/* has(result, dimension, value) */
static napi_value has(napi_env env, napi_callback_info info)
{
    napi_value arguments[3], answer = NULL;
    int32_t dimension = 0;
    clerk_str value;
    ARENA(room, 1024);
    const result *own = result_of(env, info, 3, arguments);
    if (own == NULL)
        return NULL;
    TRY(napi_get_value_int32(env, arguments[1], &dimension));
    bool read = text_of(env, arguments[2], &room, &value);
    bool holds = read && clerk_result_has(own->core, dimension, value) == 1;
    arena_free(&room);
    if (!read)
        return NULL;
    TRY(napi_get_boolean(env, holds, &answer));
    return answer;
}

/* challenge(result, realm): the value of a WWW-Authenticate line, or null. */
static napi_value challenge(napi_env env, napi_callback_info info)
{
    napi_value arguments[2];
    clerk_str realm;
    char line[1024];
    size_t len = 0;
    ARENA(room, 512);
    const result *own = result_of(env, info, 2, arguments);
    if (own == NULL)
        return NULL;
    bool read = text_of(env, arguments[1], &room, &realm);
    int32_t status = read ? clerk_result_www_authenticate(own->core, realm, line, sizeof line, &len) : CLERK_E_ARGUMENT;
    arena_free(&room);
    if (!read)
        return NULL;
    if (status == CLERK_E_ARGUMENT)
        return throw_type(env, "realm: too long, or not to be written into a header");
    return text(env, status == CLERK_OK ? (clerk_str){ line, len } : (clerk_str){ NULL, 0 });
}

bool result_define(napi_env env, napi_value exports)
{
    napi_value object = NULL;
    TRY(napi_create_object(env, &object));
    return method(env, object, "status", status) && method(env, object, "reason", reason) &&
           method(env, object, "category", category) && method(env, object, "source", source) &&
           method(env, object, "tokenType", token_type) && method(env, object, "httpStatus", http_status) &&
           method(env, object, "retryAfterMs", retry_after_ms) &&
           method(env, object, "handshakeRecommended", handshake_recommended) &&
           method(env, object, "userId", user_id) && method(env, object, "expiresAtMs", expires_at_ms) &&
           method(env, object, "text", text_by_number) && method(env, object, "factorAges", factor_ages) &&
           method(env, object, "has", has) && method(env, object, "challenge", challenge) &&
           set(env, exports, "result", object);
}
