/* The module: its state, and what it exports. */
#include "addon.h"

#include <stdio.h>
#include <stdlib.h>

static void break_off_all(void *data)
{
    addon *state = data;
    for (client *each = state->open; each != NULL; each = each->next)
        client_break_off(each);
}

/* Before the process ends: a thread that waits for Clerk would hold it up. */
static napi_value shutdown_all(napi_env env, napi_callback_info info)
{
    addon *state = NULL;
    (void)info;
    TRY(napi_get_instance_data(env, (void **)&state));
    break_off_all(state);
    return undefined(env);
}

static void addon_free(napi_env env, void *data, void *hint)
{
    addon *state = data;
    (void)env, (void)hint;
    /* Wrapped objects may be finalized later than this. */
    for (client *each = state->open; each != NULL; each = each->next)
        each->owner = NULL;
    free(state);
}

NAPI_MODULE_INIT()
{
    uint32_t abi = clerk_abi_version();
    if (abi >> 16 != CLERK_ABI_MAJOR || (abi & 0xffff) < CLERK_ABI_MINOR) {
        char message[128];
        snprintf(message, sizeof message, "the library has the binary interface %u.%u, the addon was built for %d.%d",
                 (unsigned)(abi >> 16), (unsigned)(abi & 0xffff), CLERK_ABI_MAJOR, CLERK_ABI_MINOR);
        napi_throw_error(env, "CLERK_LOAD", message);
        return NULL;
    }
    addon *state = calloc(1, sizeof *state);
    if (state == NULL || napi_set_instance_data(env, state, addon_free, NULL) != napi_ok) {
        free(state);
        return fail(env);
    }
    TRY(napi_add_env_cleanup_hook(env, break_off_all, state));
    state->threads = threads_new(env);
    if (state->threads == NULL)
        return fail(env);
    bool done = method(env, exports, "shutdownAll", shutdown_all) &&
                method(env, exports, "setMostThreads", threads_limit) && client_define(env, exports) &&
                result_define(env, exports) && pending_define(env, exports) && words_define(env, exports) &&
                set(env, exports, "version", words(env, clerk_version())) &&
                set(env, exports, "builtFor", words(env, CLERK_NODE_VERSION));
    return done ? exports : NULL;
}
