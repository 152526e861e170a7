#ifndef CLERK_NODE_WEBHOOK_H
#define CLERK_NODE_WEBHOOK_H

#include <node_api.h>

/* processWebhook([name, value, ...], body): {status, pending, error}. It never blocks, and runs on JavaScript's thread. */
napi_value webhook_process(napi_env env, napi_callback_info info);

#endif
