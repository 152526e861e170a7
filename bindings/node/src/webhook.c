#include "webhook.h"

#include "values.h"

#include <string.h>

static bool read_headers(napi_env env, napi_value array, struct arena *arena, struct webhook *webhook)
{
    uint32_t count = 0;
    TRY(napi_get_array_length(env, array, &count));
    count /= 2;
    if (count > MAX_WEBHOOK_HEADERS)
        return throw_type_error(env, "request.headers contains too many signature headers");
    for (uint32_t i = 0; i < count; i++) {
        clerk_header *header = &webhook->headers[i];
        napi_value name, value;
        TRY(napi_get_element(env, array, 2 * i, &name));
        TRY(napi_get_element(env, array, 2 * i + 1, &value));
        if (!get_string(env, name, arena, &header->name) || !get_header_value(env, header->name, value, arena, &header->value))
            return false;
    }
    webhook->header_count = count;
    return true;
}

bool webhook_from_arguments(napi_env env, const napi_value arguments[2], struct arena *arena, struct webhook *webhook)
{
    void *data = NULL;
    size_t len = 0;
    TRY(napi_get_buffer_info(env, arguments[1], &data, &len));
    /* JavaScript may change the Buffer while a thread reads it. */
    char *body = arena_alloc(arena, len);
    if (body == NULL)
        return throw_status(env, CLERK_E_PANIC);
    if (len > 0)
        memcpy(body, data, len);
    webhook->body = (clerk_str){ body, len };
    return read_headers(env, arguments[0], arena, webhook);
}
