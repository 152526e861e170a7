/* Between JavaScript values and texts, numbers and errors. */
#include "addon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct spill {
    struct spill *next;
    char bytes[];
} spill;

static char *arena_take(arena *room, size_t size)
{
    if ((size_t)(room->end - room->next) >= size) {
        char *taken = room->next;
        room->next += size;
        return taken;
    }
    spill *made = malloc(sizeof(spill) + size);
    if (made == NULL)
        return NULL;
    made->next = room->spilled;
    room->spilled = made;
    return made->bytes;
}

void arena_free(arena *room)
{
    for (spill *next, *each = room->spilled; each != NULL; each = next) {
        next = each->next;
        free(each);
    }
    room->spilled = NULL;
}

void *fail(napi_env env)
{
    const napi_extended_error_info *info = NULL;
    bool pending = false;

    napi_get_last_error_info(env, &info);
    const char *message = info != NULL && info->error_message != NULL ? info->error_message : "Node-API failed";
    if (napi_is_exception_pending(env, &pending) == napi_ok && !pending)
        napi_throw_error(env, "CLERK_INTERNAL", message);
    return NULL;
}

void *throw_type(napi_env env, const char *message)
{
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
    return NULL;
}

void *throw_status(napi_env env, int32_t status)
{
    napi_throw_error(env, clerk_status_name(status), "clerk-auth refuses the call");
    return NULL;
}

bool text_of(napi_env env, napi_value value, arena *room, clerk_str *text)
{
    size_t len = 0, left = (size_t)(room->end - room->next);
    napi_valuetype type;

    *text = (clerk_str){ NULL, 0 };
    if (napi_typeof(env, value, &type) != napi_ok)
        return fail(env);
    if (type == napi_undefined || type == napi_null)
        return true;
    if (type != napi_string)
        return throw_type(env, "a text is expected");
    /* Into what is left, without asking for the length first: one that fills it up may have been cut. */
    if (left > 4) {
        if (napi_get_value_string_utf8(env, value, room->next, left, &len) != napi_ok)
            return fail(env);
        if (len < left - 4) {
            *text = (clerk_str){ room->next, len };
            room->next += len + 1;
            return true;
        }
    }
    if (napi_get_value_string_utf8(env, value, NULL, 0, &len) != napi_ok)
        return fail(env);
    char *bytes = arena_take(room, len + 1);
    if (bytes == NULL)
        return throw_status(env, CLERK_E_PANIC);
    if (napi_get_value_string_utf8(env, value, bytes, len + 1, &len) != napi_ok)
        return fail(env);
    *text = (clerk_str){ bytes, len };
    return true;
}

static bool is_ascii(const unsigned char *bytes, size_t len)
{
    uint64_t all = 0, eight;
    size_t i = 0;
    /* Tokens are long, and a compiler need not do this by itself. */
    for (; i + sizeof eight <= len; i += sizeof eight) {
        memcpy(&eight, bytes + i, sizeof eight);
        all |= eight;
    }
    for (; i < len; i++)
        all |= bytes[i];
    return (all & 0x8080808080808080) == 0;
}

static bool not_a_header(napi_env env, clerk_str name)
{
    char message[128];
    snprintf(message, sizeof message, "request.headers.%.*s holds a character that no header can hold", (int)name.len,
             name.data);
    return throw_type(env, message);
}

bool header_of(napi_env env, clerk_str name, napi_value value, arena *room, clerk_str *text)
{
    if (!text_of(env, value, room, text))
        return false;
    unsigned char *bytes = (unsigned char *)text->data;
    if (text->len == 0 || is_ascii(bytes, text->len))
        return true;
    /* Node decodes headers as Latin-1: U+0080 to U+00FF are two bytes here and were one on the way. */
    size_t len = 0;
    for (size_t i = 0; i < text->len; i++) {
        if (bytes[i] < 0x80)
            bytes[len++] = bytes[i];
        else if ((bytes[i] & 0xfe) == 0xc2 && i + 1 < text->len)
            bytes[len++] = (unsigned char)(bytes[i] << 6 | (bytes[i + 1] & 0x3f)), i++;
        else
            return not_a_header(env, name);
    }
    text->len = len;
    return true;
}

napi_value external(napi_env env, void *owned, napi_finalize finalize)
{
    napi_value made = NULL;
    if (napi_create_external(env, owned, finalize, NULL, &made) != napi_ok) {
        finalize(env, owned, NULL);
        return fail(env);
    }
    return made;
}

napi_value undefined(napi_env env)
{
    napi_value made = NULL;
    TRY(napi_get_undefined(env, &made));
    return made;
}

napi_value text(napi_env env, clerk_str text)
{
    napi_value made = NULL;
    if (text.data == NULL)
        TRY(napi_get_null(env, &made));
    else
        TRY(napi_create_string_utf8(env, text.data, text.len, &made));
    return made;
}

napi_value words(napi_env env, const char *words)
{
    return text(env, words[0] != '\0' ? clerk_str_of(words) : (clerk_str){ NULL, 0 });
}

napi_value number(napi_env env, int64_t value)
{
    napi_value made = NULL;
    TRY(napi_create_int64(env, value, &made));
    return made;
}

bool set(napi_env env, napi_value object, const char *name, napi_value value)
{
    if (value == NULL)
        return false;
    TRY(napi_set_named_property(env, object, name, value));
    return true;
}

bool method(napi_env env, napi_value object, const char *name, napi_callback function)
{
    napi_value made = NULL;
    TRY(napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &made));
    return set(env, object, name, made);
}

static napi_value described(napi_env env, const clerk_error *error)
{
    napi_value object = NULL;
    TRY(napi_create_object(env, &object));
    bool done = set(env, object, "status", words(env, clerk_status_name(clerk_error_status(error)))) &&
                set(env, object, "message", text(env, clerk_error_message(error))) &&
                set(env, object, "setting", text(env, clerk_error_setting(error))) &&
                set(env, object, "traceId", text(env, clerk_error_trace_id(error))) &&
                set(env, object, "httpStatus", number(env, clerk_error_http_status(error))) &&
                set(env, object, "retryAfterMs", number(env, clerk_error_retry_after_ms(error)));
    return done ? object : NULL;
}

napi_value error_object(napi_env env, clerk_error *error)
{
    napi_value made = NULL;
    if (error == NULL) {
        TRY(napi_get_null(env, &made));
        return made;
    }
    made = described(env, error);
    clerk_error_free(error);
    return made;
}
