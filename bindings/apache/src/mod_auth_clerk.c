/* mod_auth_clerk: `AuthType Clerk`. Registers the module's functions. */

#include "mod_auth_clerk.h"

#include <ap_config.h>
#include <http_connection.h>
#include <mpm_common.h>

static void register_hooks(apr_pool_t *p)
{
    /* Token verification needs no user database, but must run after mod_ssl has checked the connection. */
    static const char *const after[] = { "mod_ssl.c", NULL };

    ap_hook_pre_config(mac_cache_pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(mac_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(mac_cache_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(mac_child_init, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_child_stopping(mac_child_stopping, NULL, NULL, APR_HOOK_MIDDLE);

    ap_hook_post_read_request(mac_strip_request_headers, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_force_authn(mac_force_authn, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_authn(mac_check_authn, after, NULL, APR_HOOK_MIDDLE, AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_check_authz(mac_check_authz, NULL, NULL, APR_HOOK_FIRST, AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_note_auth_failure(mac_note_auth_failure, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_insert_error_filter(mac_restore_cookies, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_fixups(mac_fixups, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(mac_webhook_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(mac_status_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_log_transaction(mac_log_transaction, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_insert_filter(mac_insert_trailer_filter, NULL, NULL, APR_HOOK_LAST);
    mac_register_trailer_filter();
    mac_register_authz(p);
}

module AP_MODULE_DECLARE_DATA auth_clerk_module = {
    STANDARD20_MODULE_STUFF,
    mac_create_dir_conf,
    mac_merge_dir_conf,
    mac_create_server_conf,
    mac_merge_server_conf,
    mac_directives,
    register_hooks,
    AP_MODULE_FLAG_NONE,
};
