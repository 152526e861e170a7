#include "call_result.h"

#include "pending.h"
#include "result.h"
#include "values.h"

void call_result_free(struct call_result *call_result)
{
    clerk_result_free(call_result->result);
    clerk_pending_free(call_result->pending);
    clerk_error_free(call_result->error);
    *call_result = (struct call_result){ .status = NOT_RUN };
}

/* Replaces the library's error. */
static napi_value no_thread_error(napi_env env)
{
    napi_value object = NULL;
    TRY(napi_create_object(env, &object));
    bool done = set_property(env, object, "status", create_name(env, clerk_status_name(CLERK_UNAVAILABLE))) &&
                set_property(env, object, "message",
                             create_name(env, "no worker thread available before the deadline")) &&
                set_property(env, object, "retryAfterMs", create_int64(env, -1));
    return done ? object : NULL;
}

static const char *status_name(int32_t status)
{
    if (status == NOT_RUN)
        return "CLERK_CLOSED";
    return clerk_status_name(status == NO_THREAD ? CLERK_UNAVAILABLE : status);
}

napi_value call_result_object(napi_env env, struct client *client, struct call_result *call_result)
{
    napi_value object = NULL;
    struct call_result taken = *call_result;
    *call_result = (struct call_result){ .status = NOT_RUN };
    bool had_thread = taken.status != NO_THREAD;
    /* Created first, and all three: each takes over its part, even if another one fails. */
    napi_value result = taken.result != NULL || !had_thread ? result_create(env, taken.result) : get_undefined(env);
    napi_value pending = taken.pending != NULL ? pending_create(env, taken.pending, client) : get_undefined(env);
    napi_value error = had_thread ? create_error_object(env, taken.error) : no_thread_error(env);
    TRY(napi_create_object(env, &object));
    bool done = set_property(env, object, "status", create_name(env, status_name(taken.status))) &&
                set_property(env, object, "result", result) && set_property(env, object, "pending", pending) &&
                set_property(env, object, "error", error);
    return done ? object : NULL;
}
