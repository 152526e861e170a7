/* From settings as JavaScript has prepared them to a clerk_config. */
#include "addon.h"

#include <string.h>

static bool element(napi_env env, napi_value array, uint32_t place, napi_value *value)
{
    TRY(napi_get_element(env, array, place, value));
    return true;
}

/* One `[how, name, value]`. A wrong setting is in `*error`. */
static bool apply(napi_env env, clerk_config *config, napi_value entry, clerk_error **error)
{
    ARENA(room, 4096);
    napi_value how_value, name_value, value;
    clerk_str how, name, words;
    int64_t integer = 0;
    bool done = element(env, entry, 0, &how_value) && element(env, entry, 1, &name_value) &&
                element(env, entry, 2, &value) && text_of(env, how_value, &room, &how) &&
                text_of(env, name_value, &room, &name);

    if (done && how.len == 3 && memcmp(how.data, "int", 3) == 0) {
        done = napi_get_value_int64(env, value, &integer) == napi_ok || fail(env);
        if (done)
            ignore_status(clerk_config_set_int(config, name, integer, error));
    } else if (done && text_of(env, value, &room, &words)) {
        if (how.len == 3 && memcmp(how.data, "add", 3) == 0)
            ignore_status(clerk_config_add(config, name, words, error));
        else
            ignore_status(clerk_config_set(config, name, words, error));
    } else {
        done = false;
    }
    arena_free(&room);
    return done;
}

static bool fill(napi_env env, clerk_config *config, napi_value options, clerk_error **error)
{
    napi_value settings, lengths, columns;
    uint32_t count = 0, mask = 0;

    TRY(napi_get_named_property(env, options, "settings", &settings));
    TRY(napi_get_array_length(env, settings, &count));
    for (uint32_t i = 0; i < count && *error == NULL; i++) {
        napi_value entry;
        if (!element(env, settings, i, &entry) || !apply(env, config, entry, error))
            return false;
    }
    TRY(napi_get_named_property(env, options, "columns", &columns));
    TRY(napi_get_value_uint32(env, columns, &mask));
    if (clerk_config_set_user_columns(config, mask) != CLERK_OK)
        return throw_type(env, "options.columns: a table needs `clerkId` or `email`");
    TRY(napi_get_named_property(env, options, "lengths", &lengths));
    TRY(napi_get_array_length(env, lengths, &count));
    for (uint32_t i = 0; i + 1 < count; i += 2) {
        napi_value column_value, length_value;
        int32_t column = 0;
        uint32_t length = 0;
        if (!element(env, lengths, i, &column_value) || !element(env, lengths, i + 1, &length_value))
            return false;
        TRY(napi_get_value_int32(env, column_value, &column));
        TRY(napi_get_value_uint32(env, length_value, &length));
        if (clerk_config_set_user_column_length(config, column, length) != CLERK_OK)
            return throw_type(env, "options.columnLengths: text columns only, and at least 8 for `username`");
    }
    return true;
}

clerk_config *config_of(napi_env env, napi_value options, clerk_error **error)
{
    clerk_config *config = clerk_config_new();
    if (config == NULL) {
        throw_status(env, CLERK_E_PANIC);
        return NULL;
    }
    if (!fill(env, config, options, error)) {
        clerk_config_free(config);
        return NULL;
    }
    return config;
}
