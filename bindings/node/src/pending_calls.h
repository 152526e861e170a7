/* The functions that drive a pending call: JavaScript reads each request to the user store and submits the response. */
#ifndef CLERK_NODE_PENDING_CALLS_H
#define CLERK_NODE_PENDING_CALLS_H

#include <node_api.h>

#include <stdbool.h>

/* Defines `exports.pending` and `exports.columns`. */
bool pending_calls_define(napi_env env, napi_value exports);

#endif
