/* What a call has come to, on whatever thread. */
#include "addon.h"

void outcome_free(outcome *own)
{
    clerk_result_free(own->result);
    clerk_pending_free(own->pending);
    clerk_error_free(own->error);
    *own = (outcome){ .status = NOT_RUN };
}

/* In place of an error of the library. */
static napi_value not_served(napi_env env)
{
    napi_value object = NULL;
    TRY(napi_create_object(env, &object));
    bool done = set(env, object, "status", words(env, clerk_status_name(CLERK_UNAVAILABLE))) &&
                set(env, object, "message", words(env, "no thread was to be had in time")) &&
                set(env, object, "retryAfterMs", number(env, -1));
    return done ? object : NULL;
}

napi_value outcome_object(napi_env env, client *held, outcome *own)
{
    napi_value object = NULL;
    outcome given = *own;
    *own = (outcome){ .status = NOT_RUN };
    bool served = given.status != NOT_SERVED;
    const char *status = given.status == NOT_RUN ? "CLERK_CLOSED"
                                                 : clerk_status_name(served ? given.status : CLERK_UNAVAILABLE);
    /* All three first, whatever becomes of the object: each takes over what it is made of. */
    napi_value result = given.result != NULL || !served ? result_handle(env, given.result) : undefined(env);
    napi_value waiting = given.pending != NULL ? pending_handle(env, given.pending, held) : undefined(env);
    napi_value error = served ? error_object(env, given.error) : not_served(env);
    TRY(napi_create_object(env, &object));
    bool done = set(env, object, "status", words(env, status)) && set(env, object, "result", result) &&
                set(env, object, "pending", waiting) && set(env, object, "error", error);
    return done ? object : NULL;
}
