#include "addon.h"

#include "values.h"

struct addon *addon_get(napi_env env)
{
    struct addon *addon = NULL;
    TRY(napi_get_instance_data(env, (void **)&addon));
    return addon;
}
