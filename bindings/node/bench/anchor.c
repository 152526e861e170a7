// The library of benches/anchor for Node: what every implementation needs, in the same process as the packages that are compared.
#include <dlfcn.h>
#include <node_api.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef const void *(*new_fn)(const char *, size_t, const char *, size_t);
typedef void (*repeat_fn)(const void *, uint64_t);

static const void *anchor;
static repeat_fn functions[2];

static char *string(napi_env env, napi_value value)
{
    size_t len = 0;
    char *copy;
    if (napi_get_value_string_utf8(env, value, NULL, 0, &len) != napi_ok || (copy = malloc(len + 1)) == NULL) abort();
    napi_get_value_string_utf8(env, value, copy, len + 1, &len);
    return copy;
}

// load(path, pem, token)
static napi_value load(napi_env env, napi_callback_info info)
{
    napi_value arguments[3];
    size_t count = 3;
    if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 3) abort();
    char *path = string(env, arguments[0]), *pem = string(env, arguments[1]), *token = string(env, arguments[2]);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library != NULL) {
        anchor = ((new_fn)dlsym(library, "anchor_new"))(pem, strlen(pem), token, strlen(token));
        functions[0] = (repeat_fn)dlsym(library, "anchor_sha256");
        functions[1] = (repeat_fn)dlsym(library, "anchor_rs256");
    }
    free(path);
    free(pem);
    free(token);
    if (anchor == NULL) napi_throw_error(env, NULL, "CLERK_ANCHOR cannot be loaded");
    return NULL;
}

// repeat(function, times): 0 is SHA-256 of the token, 1 is RSA.
static napi_value repeat(napi_env env, napi_callback_info info)
{
    napi_value arguments[2];
    size_t count = 2;
    uint32_t function = 0, times = 0;
    napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
    napi_get_value_uint32(env, arguments[0], &function);
    napi_get_value_uint32(env, arguments[1], &times);
    functions[function & 1](anchor, times);
    return NULL;
}

NAPI_MODULE_INIT()
{
    const napi_property_descriptor properties[] = {
        {"load", NULL, load, NULL, NULL, NULL, napi_default, NULL},
        {"repeat", NULL, repeat, NULL, NULL, NULL, napi_default, NULL},
    };
    napi_define_properties(env, exports, sizeof(properties) / sizeof(*properties), properties);
    return exports;
}
