/* Pending authentications and webhooks: externals that own a clerk_pending. */
#ifndef CLERK_NODE_PENDING_H
#define CLERK_NODE_PENDING_H

#include "client.h"

#include <clerk_auth.h>
#include <node_api.h>

#include <stdbool.h>

struct pending {
    const void *tag;
    clerk_pending *core; /* NULL once finished */
    struct client *client;
    bool busy; /* in use by the library on another thread */
};

/* Returns an external that owns `core`; frees `core` on failure. */
napi_value pending_create(napi_env env, clerk_pending *core, struct client *client);
/* Returns the pending call of an external; NULL with an exception pending if it is none, finished or busy. */
struct pending *pending_from_value(napi_env env, napi_value value);

#endif
