/* The names of the library's enumerations and settings, as JavaScript arrays. */
#ifndef CLERK_NODE_ENUMS_H
#define CLERK_NODE_ENUMS_H

#include <node_api.h>

#include <stdbool.h>

bool enums_define(napi_env env, napi_value exports);

#endif
