/* What a call has come to, on whatever thread. */
#include "addon.h"

void outcome_free(outcome *own)
{
    clerk_result_free(own->result);
    clerk_pending_free(own->pending);
    clerk_error_free(own->error);
    *own = (outcome){ .status = NOT_RUN };
}

napi_value outcome_object(napi_env env, client *held, outcome *own)
{
    napi_value object = NULL;
    outcome given = *own;
    *own = (outcome){ .status = NOT_RUN };
    const char *status = given.status == NOT_RUN ? "CLERK_CLOSED" : clerk_status_name(given.status);
    /* All three first, whatever becomes of the object: each takes over what it is made of. */
    napi_value result = given.result != NULL ? result_handle(env, given.result) : undefined(env);
    napi_value waiting = given.pending != NULL ? pending_handle(env, given.pending, held) : undefined(env);
    napi_value error = error_object(env, given.error);
    TRY(napi_create_object(env, &object));
    bool done = set(env, object, "status", words(env, status)) && set(env, object, "result", result) &&
                set(env, object, "pending", waiting) && set(env, object, "error", error);
    return done ? object : NULL;
}
