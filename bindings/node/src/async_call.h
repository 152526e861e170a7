/* Calls that wait for Clerk or for a shared cache: they run on a thread of the pool and return a Promise of {status, result, pending, error}. */
#ifndef CLERK_NODE_ASYNC_CALL_H
#define CLERK_NODE_ASYNC_CALL_H

#include <node_api.h>

/* authenticate(authorization, cookie, method, secFetchDest, accept, others). Returns the object itself, not a Promise, when the
 * cache and the user store suffice. */
napi_value async_call_authenticate(napi_env env, napi_callback_info info);
/* verifyToken(token) */
napi_value async_call_verify_token(napi_env env, napi_callback_info info);
/* warmUp() */
napi_value async_call_warm_up(napi_env env, napi_callback_info info);
/* processWebhook([name, value, ...], body) */
napi_value async_call_process_webhook(napi_env env, napi_callback_info info);
/* fetch(pending): a function, not a method of `Client`. */
napi_value async_call_fetch(napi_env env, napi_callback_info info);

#endif
