#include "config.h"

#include "values.h"

#include <string.h>

static bool get_element(napi_env env, napi_value array, uint32_t index, napi_value *value)
{
    TRY(napi_get_element(env, array, index, value));
    return true;
}

/* Applies one `[function, name, value]`. An invalid setting is reported in `*error`, not as an exception. */
static bool apply_setting(napi_env env, clerk_config *config, napi_value entry, clerk_error **error)
{
    ARENA(arena, 4096);
    napi_value function_value, name_value, value;
    clerk_str function, name, string;
    int64_t integer = 0;
    bool done = get_element(env, entry, 0, &function_value) && get_element(env, entry, 1, &name_value) &&
                get_element(env, entry, 2, &value) && get_string(env, function_value, &arena, &function) &&
                get_string(env, name_value, &arena, &name);

    if (done && function.len == 3 && memcmp(function.data, "int", 3) == 0) {
        done = napi_get_value_int64(env, value, &integer) == napi_ok || throw_last_error(env);
        if (done)
            ignore_status(clerk_config_set_int(config, name, integer, error));
    } else if (done && get_string(env, value, &arena, &string)) {
        if (function.len == 3 && memcmp(function.data, "add", 3) == 0)
            ignore_status(clerk_config_add(config, name, string, error));
        else
            ignore_status(clerk_config_set(config, name, string, error));
    } else {
        done = false;
    }
    arena_free(&arena);
    return done;
}

static bool apply_options(napi_env env, clerk_config *config, napi_value options, clerk_error **error)
{
    napi_value settings, lengths, columns;
    uint32_t count = 0, mask = 0;

    TRY(napi_get_named_property(env, options, "settings", &settings));
    TRY(napi_get_array_length(env, settings, &count));
    for (uint32_t i = 0; i < count && *error == NULL; i++) {
        napi_value entry;
        if (!get_element(env, settings, i, &entry) || !apply_setting(env, config, entry, error))
            return false;
    }
    TRY(napi_get_named_property(env, options, "columns", &columns));
    TRY(napi_get_value_uint32(env, columns, &mask));
    if (clerk_config_set_user_columns(config, mask) != CLERK_OK)
        return throw_type_error(env, "options.users.columns must contain `clerkId` or `email`");
    TRY(napi_get_named_property(env, options, "lengths", &lengths));
    TRY(napi_get_array_length(env, lengths, &count));
    for (uint32_t i = 0; i + 1 < count; i += 2) {
        napi_value column_value, length_value;
        int32_t column = 0;
        uint32_t length = 0;
        if (!get_element(env, lengths, i, &column_value) || !get_element(env, lengths, i + 1, &length_value))
            return false;
        TRY(napi_get_value_int32(env, column_value, &column));
        TRY(napi_get_value_uint32(env, length_value, &length));
        if (clerk_config_set_user_column_length(config, column, length) != CLERK_OK)
            return throw_type_error(env, "options.users.columnLengths: string columns only; `username` must be at least 8");
    }
    return true;
}

clerk_config *config_from_options(napi_env env, napi_value options, clerk_error **error)
{
    clerk_config *config = clerk_config_new();
    if (config == NULL) {
        throw_status(env, CLERK_E_PANIC);
        return NULL;
    }
    if (!apply_options(env, config, options, error)) {
        clerk_config_free(config);
        return NULL;
    }
    return config;
}
