/* The JavaScript class `Client`. */
#ifndef CLERK_NODE_CLIENT_CLASS_H
#define CLERK_NODE_CLIENT_CLASS_H

#include <node_api.h>

#include <stdbool.h>

/* Defines `exports.Client`. */
bool client_class_define(napi_env env, napi_value exports);

#endif
