#ifndef CLERK_NODE_REQUEST_H
#define CLERK_NODE_REQUEST_H

#include "arena.h"

#include <clerk_auth.h>
#include <node_api.h>

#include <stdbool.h>
#include <stddef.h>

#define MAX_HEADERS 64

struct request {
    clerk_request core;
    clerk_header headers[MAX_HEADERS];
};

#define REQUEST_ARGUMENTS 8

/* Reads a request from (authorization, cookie, method, secFetchDest, accept, [name, value, ...], scheme, target), of which the last
 * two may be absent. Its strings are in the arena. Returns false with an exception pending. */
bool request_from_arguments(napi_env env, size_t count, const napi_value *arguments, struct arena *arena,
                            struct request *request);

#endif
