/* A thread that applies what other processes change in the shared cache. */
#ifndef CLERK_NODE_POLLER_H
#define CLERK_NODE_POLLER_H

#include <node_api.h>

/* Starts it, unless it is running. */
napi_value poller_start(napi_env env, napi_callback_info info);

#endif
