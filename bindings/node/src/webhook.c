#include "webhook.h"

#include "call_result.h"
#include "client.h"
#include "values.h"

#define MAX_HEADERS 16

static bool read_headers(napi_env env, napi_value array, struct arena *arena, clerk_header *headers, uint32_t *count)
{
    TRY(napi_get_array_length(env, array, count));
    *count /= 2;
    if (*count > MAX_HEADERS)
        return throw_type_error(env, "request.headers contains too many signature headers");
    for (uint32_t i = 0; i < *count; i++) {
        napi_value name, value;
        TRY(napi_get_element(env, array, 2 * i, &name));
        TRY(napi_get_element(env, array, 2 * i + 1, &value));
        if (!get_string(env, name, arena, &headers[i].name) ||
            !get_header_value(env, headers[i].name, value, arena, &headers[i].value))
            return false;
    }
    return true;
}

napi_value webhook_process(napi_env env, napi_callback_info info)
{
    size_t argument_count = 2, len = 0;
    napi_value arguments[2];
    clerk_header headers[MAX_HEADERS];
    uint32_t header_count = 0;
    void *body = NULL;
    struct call_result call_result = { .status = CLERK_E_ARGUMENT };
    ARENA(arena, 4096);

    struct client *client = open_client_of_this(env, info, &argument_count, arguments);
    if (client == NULL)
        return NULL;
    TRY(napi_get_buffer_info(env, arguments[1], &body, &len));
    bool is_read = read_headers(env, arguments[0], &arena, headers, &header_count);
    if (is_read)
        call_result.status = clerk_webhook_begin(client->core, headers, header_count, (clerk_str){ body, len },
                                                 &call_result.pending, &call_result.error);
    arena_free(&arena);
    return is_read ? call_result_object(env, client, &call_result) : NULL;
}
