/* The module's entry point: creates the environment's state and the exports. */
#include "addon.h"

#include "client.h"
#include "client_class.h"
#include "enums.h"
#include "pending_calls.h"
#include "result.h"
#include "values.h"

#include <clerk_auth.h>

#include <stdio.h>
#include <stdlib.h>

static void cancel_all_calls(void *data)
{
    struct addon *addon = data;
    for (struct client *client = addon->clients; client != NULL; client = client->next)
        client_cancel_calls(client);
}

/* shutdownAll(): called before the process exits, which a thread that waits for Clerk would delay. */
static napi_value shutdown_all(napi_env env, napi_callback_info info)
{
    struct addon *addon = addon_get(env);
    (void)info;
    if (addon == NULL)
        return NULL;
    cancel_all_calls(addon);
    return get_undefined(env);
}

/* setMaxThreads(maxThreads): for tests. */
static napi_value set_max_threads(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    int32_t max_threads = 0;
    struct addon *addon = addon_get(env);
    if (addon == NULL)
        return NULL;
    TRY(napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
    TRY(napi_get_value_int32(env, argument, &max_threads));
    thread_pool_set_max_threads(addon->pool, max_threads);
    return get_undefined(env);
}

static void addon_free(napi_env env, void *data, void *hint)
{
    struct addon *addon = data;
    (void)env, (void)hint;
    /* Wrapped objects may be finalized after this. */
    for (struct client *client = addon->clients; client != NULL; client = client->next)
        client->addon = NULL;
    free(addon);
}

static bool has_compatible_abi(uint32_t abi)
{
    return abi >> 16 == CLERK_ABI_MAJOR && (abi & 0xffff) >= CLERK_ABI_MINOR;
}

NAPI_MODULE_INIT()
{
    uint32_t abi = clerk_abi_version();
    if (!has_compatible_abi(abi)) {
        char message[128];
        snprintf(message, sizeof message, "incompatible library: its ABI is %u.%u, the addon needs %d.%d",
                 (unsigned)(abi >> 16), (unsigned)(abi & 0xffff), CLERK_ABI_MAJOR, CLERK_ABI_MINOR);
        napi_throw_error(env, "CLERK_LOAD", message);
        return NULL;
    }
    struct addon *addon = calloc(1, sizeof *addon);
    if (addon == NULL || napi_set_instance_data(env, addon, addon_free, NULL) != napi_ok) {
        free(addon);
        return throw_last_error(env);
    }
    TRY(napi_add_env_cleanup_hook(env, cancel_all_calls, addon));
    addon->pool = thread_pool_new(env);
    if (addon->pool == NULL)
        return throw_last_error(env);
    bool done = set_method(env, exports, "shutdownAll", shutdown_all) &&
                set_method(env, exports, "setMaxThreads", set_max_threads) && client_class_define(env, exports) &&
                result_define(env, exports) && pending_calls_define(env, exports) && enums_define(env, exports) &&
                set_property(env, exports, "version", create_name(env, clerk_version())) &&
                set_property(env, exports, "packageVersion", create_name(env, CLERK_NODE_VERSION));
    return done ? exports : NULL;
}
