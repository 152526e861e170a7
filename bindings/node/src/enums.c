/* The names of the enumerations and of the settings, read from the library. */
#include "enums.h"
#include "values.h"

/* Larger than any number of an enumeration. */
#define MAX_NUMBER 256

static bool list(napi_env env, napi_value exports, const char *name, const char *(*word)(int32_t))
{
    napi_value array = NULL;
    TRY(napi_create_array(env, &array));
    for (int32_t i = 1; i < MAX_NUMBER; i++) {
        if (word(i)[0] != '\0')
            TRY(napi_set_element(env, array, (uint32_t)i, create_name(env, word(i))));
    }
    return set_property(env, exports, name, array);
}

static bool settings(napi_env env, napi_value exports)
{
    napi_value array = NULL;
    TRY(napi_create_array(env, &array));
    clerk_setting info = CLERK_SETTING_INIT;
    for (uint32_t i = 0; clerk_setting_info(i, &info) == CLERK_OK; i++)
        TRY(napi_set_element(env, array, i, create_name(env, info.name.data)));
    return set_property(env, exports, "settings", array);
}

bool enums_define(napi_env env, napi_value exports)
{
    return list(env, exports, "reasons", clerk_reason_name) &&
           list(env, exports, "categories", clerk_category_name) && list(env, exports, "sources", clerk_source_name) &&
           list(env, exports, "handshakeSources", clerk_handshake_source_name) &&
           list(env, exports, "tokenTypes", clerk_token_kind_name) && list(env, exports, "events", clerk_event_kind_name) &&
           settings(env, exports);
}
