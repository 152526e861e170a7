/* Webhook deliveries: begun on JavaScript's thread, for beginning never waits; their steps are those of pending.c. */
#include "addon.h"

#define MOST_HEADERS 16

static bool headers_of(napi_env env, napi_value array, arena *room, clerk_header *headers, uint32_t *count)
{
    TRY(napi_get_array_length(env, array, count));
    *count /= 2;
    if (*count > MOST_HEADERS)
        return throw_type(env, "request.headers: more signature headers than any delivery has");
    for (uint32_t i = 0; i < *count; i++) {
        napi_value name, value;
        TRY(napi_get_element(env, array, 2 * i, &name));
        TRY(napi_get_element(env, array, 2 * i + 1, &value));
        if (!text_of(env, name, room, &headers[i].name) ||
            !header_of(env, headers[i].name, value, room, &headers[i].value))
            return false;
    }
    return true;
}

/* webhook([name, value, ...], body): {status, pending, error} */
napi_value webhook_begin(napi_env env, napi_callback_info info)
{
    size_t given = 2, len = 0;
    napi_value arguments[2];
    clerk_header headers[MOST_HEADERS];
    uint32_t count = 0;
    void *body = NULL;
    outcome begun = { .status = CLERK_E_ARGUMENT };
    ARENA(room, 4096);

    client *own = client_this(env, info, &given, arguments);
    if (own == NULL)
        return NULL;
    TRY(napi_get_buffer_info(env, arguments[1], &body, &len));
    bool read = headers_of(env, arguments[0], &room, headers, &count);
    if (read)
        begun.status = clerk_webhook_begin(own->core, headers, count, (clerk_str){ body, len }, &begun.pending,
                                           &begun.error);
    arena_free(&room);
    return read ? outcome_object(env, own, &begun) : NULL;
}
