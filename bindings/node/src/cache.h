/* Methods of `Client` that never wait: invalidation, revocations, explanations, counters. */
#ifndef CLERK_NODE_CACHE_H
#define CLERK_NODE_CACHE_H

#include <node_api.h>

napi_value cache_invalidate_token(napi_env env, napi_callback_info info);
napi_value cache_invalidate_user(napi_env env, napi_callback_info info);
napi_value cache_invalidate_session(napi_env env, napi_callback_info info);
napi_value cache_invalidate_all(napi_env env, napi_callback_info info);
napi_value cache_revoke_session(napi_env env, napi_callback_info info);
napi_value cache_revoke_user(napi_env env, napi_callback_info info);
napi_value cache_export_revocations(napi_env env, napi_callback_info info);
napi_value cache_import_revocations(napi_env env, napi_callback_info info);
napi_value cache_explain(napi_env env, napi_callback_info info);
napi_value cache_stats(napi_env env, napi_callback_info info);
napi_value cache_metrics_text(napi_env env, napi_callback_info info);

#endif
