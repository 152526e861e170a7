/* The lines of a request that matter. */
#include "addon.h"

static bool add(napi_env env, request_lines *lines, clerk_str name, napi_value value, arena *room)
{
    clerk_str read;
    if (!header_of(env, name, value, room, &read))
        return false;
    if (read.data != NULL)
        lines->lines[lines->request.header_count++] = (clerk_header){ name, read };
    return true;
}

bool request_of(napi_env env, size_t count, const napi_value *arguments, arena *room, request_lines *lines)
{
    uint32_t others = 0;
    bool is_array = false;

    lines->request = (clerk_request)CLERK_REQUEST_INIT;
    lines->request.headers = lines->lines;
    if (count < 6)
        return throw_type(env, "six arguments are expected");
    if (!add(env, lines, CLERK_STR("authorization"), arguments[0], room) ||
        !add(env, lines, CLERK_STR("cookie"), arguments[1], room) ||
        !text_of(env, arguments[2], room, &lines->request.method) ||
        !add(env, lines, CLERK_STR("sec-fetch-dest"), arguments[3], room) ||
        !add(env, lines, CLERK_STR("accept"), arguments[4], room))
        return false;
    TRY(napi_is_array(env, arguments[5], &is_array));
    if (!is_array)
        return true;
    TRY(napi_get_array_length(env, arguments[5], &others));
    if (others > 2 * (MOST_LINES - 4))
        return throw_type(env, "request.headers holds more lines of credentials than any request does");
    for (uint32_t i = 0; i + 1 < others; i += 2) {
        napi_value name_value, value;
        clerk_str name;
        TRY(napi_get_element(env, arguments[5], i, &name_value));
        TRY(napi_get_element(env, arguments[5], i + 1, &value));
        if (!text_of(env, name_value, room, &name) || !add(env, lines, name, value, room))
            return false;
    }
    return true;
}
