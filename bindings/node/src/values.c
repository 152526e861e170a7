#include "values.h"

#include <stdio.h>
#include <string.h>

void *throw_last_error(napi_env env)
{
    const napi_extended_error_info *info = NULL;
    bool pending = false;

    napi_get_last_error_info(env, &info);
    const char *message = info != NULL && info->error_message != NULL ? info->error_message : "Node-API failed";
    if (napi_is_exception_pending(env, &pending) == napi_ok && !pending)
        napi_throw_error(env, "CLERK_INTERNAL", message);
    return NULL;
}

void *throw_type_error(napi_env env, const char *message)
{
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
    return NULL;
}

void *throw_status(napi_env env, int32_t status)
{
    napi_throw_error(env, clerk_status_name(status), "the clerk-auth library rejected the call");
    return NULL;
}

bool get_string(napi_env env, napi_value value, struct arena *arena, clerk_str *string)
{
    size_t len = 0, left = (size_t)(arena->end - arena->next);
    napi_valuetype type;

    *string = (clerk_str){ NULL, 0 };
    if (napi_typeof(env, value, &type) != napi_ok)
        return throw_last_error(env);
    if (type == napi_undefined || type == napi_null)
        return true;
    if (type != napi_string)
        return throw_type_error(env, "must be a string");
    /* Asking for the length first would cost a second pass. A string that fills the buffer may be truncated. */
    if (left > 4) {
        if (napi_get_value_string_utf8(env, value, arena->next, left, &len) != napi_ok)
            return throw_last_error(env);
        if (len < left - 4) {
            *string = (clerk_str){ arena->next, len };
            arena->next += len + 1;
            return true;
        }
    }
    if (napi_get_value_string_utf8(env, value, NULL, 0, &len) != napi_ok)
        return throw_last_error(env);
    char *bytes = arena_alloc(arena, len + 1);
    if (bytes == NULL)
        return throw_status(env, CLERK_E_PANIC);
    if (napi_get_value_string_utf8(env, value, bytes, len + 1, &len) != napi_ok)
        return throw_last_error(env);
    *string = (clerk_str){ bytes, len };
    return true;
}

static bool is_ascii(const unsigned char *bytes, size_t len)
{
    uint64_t all = 0, eight;
    size_t i = 0;
    /* Tokens are long, and compilers do not reliably vectorize the byte loop. */
    for (; i + sizeof eight <= len; i += sizeof eight) {
        memcpy(&eight, bytes + i, sizeof eight);
        all |= eight;
    }
    for (; i < len; i++)
        all |= bytes[i];
    return (all & 0x8080808080808080) == 0;
}

static bool throw_invalid_character(napi_env env, clerk_str name)
{
    char message[128];
    snprintf(message, sizeof message, "request.headers.%.*s contains a character outside Latin-1", (int)name.len,
             name.data);
    return throw_type_error(env, message);
}

bool get_header_value(napi_env env, clerk_str name, napi_value value, struct arena *arena, clerk_str *string)
{
    if (!get_string(env, value, arena, string))
        return false;
    unsigned char *bytes = (unsigned char *)string->data;
    if (string->len == 0 || is_ascii(bytes, string->len))
        return true;
    /* U+0080 to U+00FF take two bytes in UTF-8 and one in the header. */
    size_t len = 0;
    for (size_t i = 0; i < string->len; i++) {
        if (bytes[i] < 0x80)
            bytes[len++] = bytes[i];
        else if ((bytes[i] & 0xfe) == 0xc2 && i + 1 < string->len)
            bytes[len++] = (unsigned char)(bytes[i] << 6 | (bytes[i + 1] & 0x3f)), i++;
        else
            return throw_invalid_character(env, name);
    }
    string->len = len;
    return true;
}

napi_value create_external(napi_env env, void *data, napi_finalize finalize)
{
    napi_value value = NULL;
    if (napi_create_external(env, data, finalize, NULL, &value) != napi_ok) {
        finalize(env, data, NULL);
        return throw_last_error(env);
    }
    return value;
}

napi_value get_undefined(napi_env env)
{
    napi_value value = NULL;
    TRY(napi_get_undefined(env, &value));
    return value;
}

napi_value get_null(napi_env env)
{
    napi_value value = NULL;
    TRY(napi_get_null(env, &value));
    return value;
}

napi_value create_string(napi_env env, clerk_str string)
{
    napi_value value = NULL;
    if (string.data == NULL)
        return get_null(env);
    TRY(napi_create_string_utf8(env, string.data, string.len, &value));
    return value;
}

napi_value create_name(napi_env env, const char *name)
{
    return name[0] != '\0' ? create_string(env, clerk_str_of(name)) : get_null(env);
}

napi_value create_int64(napi_env env, int64_t integer)
{
    napi_value value = NULL;
    TRY(napi_create_int64(env, integer, &value));
    return value;
}

bool set_property(napi_env env, napi_value object, const char *name, napi_value value)
{
    if (value == NULL)
        return false;
    TRY(napi_set_named_property(env, object, name, value));
    return true;
}

bool set_method(napi_env env, napi_value object, const char *name, napi_callback function)
{
    napi_value value = NULL;
    TRY(napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value));
    return set_property(env, object, name, value);
}

static napi_value describe_error(napi_env env, const clerk_error *error)
{
    napi_value object = NULL;
    TRY(napi_create_object(env, &object));
    bool done = set_property(env, object, "status", create_name(env, clerk_status_name(clerk_error_status(error)))) &&
                set_property(env, object, "message", create_string(env, clerk_error_message(error))) &&
                set_property(env, object, "setting", create_string(env, clerk_error_setting(error))) &&
                set_property(env, object, "traceId", create_string(env, clerk_error_trace_id(error))) &&
                set_property(env, object, "httpStatus", create_int64(env, clerk_error_http_status(error))) &&
                set_property(env, object, "retryAfterMs", create_int64(env, clerk_error_retry_after_ms(error)));
    return done ? object : NULL;
}

napi_value create_error_object(napi_env env, clerk_error *error)
{
    if (error == NULL)
        return get_null(env);
    napi_value object = describe_error(env, error);
    clerk_error_free(error);
    return object;
}
