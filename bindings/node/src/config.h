#ifndef CLERK_NODE_CONFIG_H
#define CLERK_NODE_CONFIG_H

#include <clerk_auth.h>
#include <node_api.h>

/* Returns a config made from `{settings, columns, lengths}`; NULL with an exception pending. An invalid setting is reported in
 * `*error`, and the config is returned nevertheless. The caller frees both. */
clerk_config *config_from_options(napi_env env, napi_value options, clerk_error **error);

#endif
