/* Conversions between JavaScript values and C strings, numbers and errors.
 *
 * A function that returns NULL or false has left a JavaScript exception pending. */
#ifndef CLERK_NODE_VALUES_H
#define CLERK_NODE_VALUES_H

#include "arena.h"

#include <clerk_auth.h>
#include <node_api.h>

#include <stdbool.h>
#include <stdint.h>

/* Returns NULL or false from the calling function when a Node-API call fails; the exception is pending. */
#define TRY(call)                                          \
    do {                                                   \
        if ((call) != napi_ok) return throw_last_error(env); \
    } while (0)

/* For calls whose failure shows elsewhere: an invalid value makes the whole response invalid, a failed setter sets the error. */
static inline void ignore_status(int32_t status)
{
    (void)status;
}

/* Each throws unless an exception is pending already, and returns NULL. */
void *throw_last_error(napi_env env);
void *throw_type_error(napi_env env, const char *message);
void *throw_status(napi_env env, int32_t status);

/* Copies a string as UTF-8 into the arena. undefined and null give NULL data; any other type is a TypeError. */
bool get_string(napi_env env, napi_value value, struct arena *arena, clerk_str *string);
/* Copies a header's value into the arena, one byte for each character: Node decodes headers as Latin-1. */
bool get_header_value(napi_env env, clerk_str name, napi_value value, struct arena *arena, clerk_str *string);

/* Returns an external that owns `data`. On failure `data` is finalized before the function returns. */
napi_value create_external(napi_env env, void *data, napi_finalize finalize);
napi_value get_undefined(napi_env env);
napi_value get_null(napi_env env);
/* Returns null for NULL data. */
napi_value create_string(napi_env env, clerk_str string);
/* Returns null for the empty string, which the library returns for a number without a name. */
napi_value create_name(napi_env env, const char *name);
napi_value create_int64(napi_env env, int64_t value);
/* Returns an object that describes the error and frees the error; null for NULL. */
napi_value create_error_object(napi_env env, clerk_error *error);
/* Sets a property. Fails without another exception when `value` is NULL. */
bool set_property(napi_env env, napi_value object, const char *name, napi_value value);
bool set_method(napi_env env, napi_value object, const char *name, napi_callback function);

#endif
