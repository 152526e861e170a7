#include "clerk_auth.h"
#include "clerk_auth.h"

#include <memory>
#include <string_view>

extern "C" int32_t from_cpp(clerk_config *config) {
    clerk_request request = CLERK_REQUEST_INIT;
    clerk_stats stats = CLERK_STATS_INIT;
    static_assert(CLERK_STORE_REQUEST_KIND_FETCH_USER == 10 && sizeof(clerk_store_request_kind) == 4);
    if (request.struct_size != sizeof request || stats.struct_size != sizeof stats) return CLERK_E_STRUCT_SIZE;
    clerk_error *error = nullptr;
    const int32_t status = clerk_config_set(config, CLERK_STR("timeout_ms"), CLERK_STR("0"), &error);
    const std::unique_ptr<clerk_error, decltype(&clerk_error_free)> owned(error, clerk_error_free);
    const clerk_str setting = clerk_error_setting(owned.get());
    return std::string_view(setting.data, setting.len) == "timeout_ms" ? status : CLERK_E_STATE;
}
