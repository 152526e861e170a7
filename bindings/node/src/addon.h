/* The state of one environment (the main thread or a worker): nothing in the addon is static but constants. */
#ifndef CLERK_NODE_ADDON_H
#define CLERK_NODE_ADDON_H

#include "thread_pool.h"

#include <node_api.h>

struct client;

struct addon {
    struct client *clients; /* the list of open clients */
    struct thread_pool *pool;
};

/* Returns the instance data; NULL with an exception pending. */
struct addon *addon_get(napi_env env);

#endif
