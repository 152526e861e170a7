/* What a call of the library returned, on any thread, and its JavaScript form. */
#ifndef CLERK_NODE_CALL_RESULT_H
#define CLERK_NODE_CALL_RESULT_H

#include "client.h"

#include <clerk_auth.h>
#include <node_api.h>

#include <stdint.h>

struct call_result {
    int32_t status;
    clerk_result *result;
    clerk_pending *pending;
    clerk_error *error;
};

/* The status of a call that was not run because its client was closed. */
#define NOT_RUN INT32_MAX
/* The status of a call for which no thread was available before the deadline. */
#define NO_THREAD (INT32_MAX - 1)

void call_result_free(struct call_result *call_result);
/* Returns {status, result, pending, error}, which takes over all that `call_result` owns. */
napi_value call_result_object(napi_env env, struct client *client, struct call_result *call_result);

#endif
