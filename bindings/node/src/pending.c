#include "pending.h"

#include "values.h"

#include <stdlib.h>

static const char TAG;

static void finalize(napi_env env, void *data, void *hint)
{
    struct pending *pending = data;
    (void)env, (void)hint;
    clerk_pending_free(pending->core);
    client_release(pending->client);
    free(pending);
}

napi_value pending_create(napi_env env, clerk_pending *core, struct client *client)
{
    struct pending *pending = malloc(sizeof *pending);
    if (pending == NULL) {
        clerk_pending_free(core);
        return throw_status(env, CLERK_E_PANIC);
    }
    *pending = (struct pending){ &TAG, core, client_retain(client), false };
    return create_external(env, pending, finalize);
}

struct pending *pending_from_value(napi_env env, napi_value value)
{
    struct pending *pending = NULL;
    if (napi_get_value_external(env, value, (void **)&pending) != napi_ok || pending->tag != &TAG) {
        throw_type_error(env, "must be a pending call");
        return NULL;
    }
    if (pending->core == NULL || pending->busy) {
        throw_status(env, CLERK_E_STATE);
        return NULL;
    }
    return pending;
}
