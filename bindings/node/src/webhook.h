/* The arguments of processWebhook([name, value, ...], body). */
#ifndef CLERK_NODE_WEBHOOK_H
#define CLERK_NODE_WEBHOOK_H

#include "arena.h"

#include <clerk_auth.h>
#include <node_api.h>

#include <stdbool.h>
#include <stdint.h>

#define MAX_WEBHOOK_HEADERS 16

struct webhook {
    clerk_header headers[MAX_WEBHOOK_HEADERS];
    uint32_t header_count;
    clerk_str body;
};

/* Copies them into the arena. On failure an exception is pending. */
bool webhook_from_arguments(napi_env env, const napi_value arguments[2], struct arena *arena, struct webhook *webhook);

#endif
