#include "request.h"

#include "values.h"

static bool add_header(napi_env env, struct request *request, clerk_str name, napi_value value, struct arena *arena)
{
    clerk_str string;
    if (!get_header_value(env, name, value, arena, &string))
        return false;
    if (string.data != NULL)
        request->headers[request->core.header_count++] = (clerk_header){ name, string };
    return true;
}

bool request_from_arguments(napi_env env, size_t count, const napi_value *arguments, struct arena *arena,
                            struct request *request)
{
    uint32_t others = 0;
    bool is_array = false;

    request->core = (clerk_request)CLERK_REQUEST_INIT;
    request->core.headers = request->headers;
    if (count < 6)
        return throw_type_error(env, "a request takes six arguments");
    if (!add_header(env, request, CLERK_STR("authorization"), arguments[0], arena) ||
        !add_header(env, request, CLERK_STR("cookie"), arguments[1], arena) ||
        !get_string(env, arguments[2], arena, &request->core.method) ||
        !add_header(env, request, CLERK_STR("sec-fetch-dest"), arguments[3], arena) ||
        !add_header(env, request, CLERK_STR("accept"), arguments[4], arena))
        return false;
    if (count >= REQUEST_ARGUMENTS && (!get_string(env, arguments[6], arena, &request->core.scheme) ||
                                       !get_string(env, arguments[7], arena, &request->core.target)))
        return false;
    TRY(napi_is_array(env, arguments[5], &is_array));
    if (!is_array)
        return true;
    TRY(napi_get_array_length(env, arguments[5], &others));
    if (others > 2 * (MAX_HEADERS - 4))
        return throw_type_error(env, "request.headers contains too many headers");
    for (uint32_t i = 0; i + 1 < others; i += 2) {
        napi_value name_value, value;
        clerk_str name;
        TRY(napi_get_element(env, arguments[5], i, &name_value));
        TRY(napi_get_element(env, arguments[5], i + 1, &value));
        if (!get_string(env, name_value, arena, &name) || !add_header(env, request, name, value, arena))
            return false;
    }
    return true;
}
