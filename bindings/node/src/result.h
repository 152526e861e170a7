/* Results: externals that own a clerk_result, and the functions that read them. */
#ifndef CLERK_NODE_RESULT_H
#define CLERK_NODE_RESULT_H

#include <clerk_auth.h>
#include <node_api.h>

#include <stdbool.h>

#define CACHED_HANDLES 256

/* The library returns the same result for each hit of a cached token; reusing its external saves an allocation per hit. An
 * entry keeps its external alive, and the external its result, so no other result can have the same address. */
struct result_cache {
    struct {
        clerk_result *core;
        napi_ref handle;
    } entries[CACHED_HANDLES];
};

/* Defines `exports.result`. */
bool result_define(napi_env env, napi_value exports);
/* Returns an external that owns `core`. NULL means an unavailable result without any details. */
napi_value result_create(napi_env env, clerk_result *core);
/* The same, but reuses the external of a cached result. */
napi_value result_cache_get(napi_env env, struct result_cache *cache, clerk_result *core);
void result_cache_clear(napi_env env, struct result_cache *cache);

#endif
