/* The table of directives, merging, phases, processes. */

#include "ngx_http_clerk_auth.h"

static void *ngx_http_clerk_auth_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_clerk_auth_create_srv_conf(ngx_conf_t *cf);
static void *ngx_http_clerk_auth_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_clerk_auth_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t ngx_http_clerk_auth_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_clerk_auth_init_process(ngx_cycle_t *cycle);
static void ngx_http_clerk_auth_exit_process(ngx_cycle_t *cycle);

#define H NGX_HTTP_MAIN_CONF
#define S NGX_HTTP_SRV_CONF
#define L NGX_HTTP_LOC_CONF
#define E NGX_HTTP_LMT_CONF
#define LOC(member) NGX_HTTP_LOC_CONF_OFFSET, offsetof(ngx_http_clerk_auth_loc_conf_t, member)
/* `post` is the name of the library's setting. */
#define SETTING(name) NGX_HTTP_LOC_CONF_OFFSET, 0, (void *) name

static ngx_conf_enum_t ngx_http_clerk_auth_modes[] = {
    { ngx_string("off"), NGX_HTTP_CLERK_AUTH_OFF },
    { ngx_string("on"), NGX_HTTP_CLERK_AUTH_ON },
    { ngx_string("optional"), NGX_HTTP_CLERK_AUTH_OPTIONAL },
    { ngx_null_string, 0 }
};

static ngx_conf_enum_t ngx_http_clerk_auth_unavailable[] = {
    { ngx_string("503"), 503 }, { ngx_string("401"), 401 }, { ngx_string("500"), 500 }, { ngx_null_string, 0 }
};

static ngx_command_t ngx_http_clerk_auth_commands[] = {
    { ngx_string("clerk_auth"), H|S|L|E|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_enum, LOC(mode), ngx_http_clerk_auth_modes },
    { ngx_string("clerk_auth_realm"), H|S|L|E|NGX_CONF_TAKE1, ngx_http_set_complex_value_slot, LOC(realm), NULL },
    { ngx_string("clerk_auth_token_source"), H|S|L|NGX_CONF_TAKE12, ngx_http_clerk_auth_set_token_source,
      NGX_HTTP_LOC_CONF_OFFSET, 0, NULL },
    { ngx_string("clerk_auth_thread_pool"), H|S|L|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_thread_pool,
      NGX_HTTP_LOC_CONF_OFFSET, 0, NULL },
    { ngx_string("clerk_auth_csrf"), H|S|L|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_csrf, SETTING("csrf") },
    { ngx_string("clerk_auth_pages"), H|S|L|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_pages, SETTING("handshake") },
    { ngx_string("clerk_auth_public_origin"), H|S|L|NGX_CONF_1MORE, ngx_http_clerk_auth_set_list,
      SETTING("public_origin") },
    { ngx_string("clerk_auth_pass_headers"), H|S|L|NGX_CONF_FLAG, ngx_conf_set_flag_slot, LOC(pass_headers), NULL },
    { ngx_string("clerk_auth_pass_claims"), H|S|L|NGX_CONF_FLAG, ngx_conf_set_flag_slot, LOC(pass_claims), NULL },
    { ngx_string("clerk_auth_strip_headers"), H|S|L|NGX_CONF_FLAG, ngx_conf_set_flag_slot, LOC(strip_headers), NULL },
    { ngx_string("clerk_auth_www_authenticate"), H|S|L|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_www_authenticate,
      NGX_HTTP_LOC_CONF_OFFSET, 0, NULL },
    { ngx_string("clerk_auth_unavailable"), H|S|L|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_enum, LOC(unavailable),
      ngx_http_clerk_auth_unavailable },
    { ngx_string("clerk_auth_login_redirect"), H|S|L|NGX_CONF_TAKE1, ngx_http_set_complex_value_slot,
      LOC(login_redirect), NULL },

    { ngx_string("clerk_auth_require"), H|S|L|E|NGX_CONF_1MORE, ngx_http_clerk_auth_set_require,
      NGX_HTTP_LOC_CONF_OFFSET, 0, NULL },
    { ngx_string("clerk_auth_require_role"), H|S|L|E|NGX_CONF_1MORE, ngx_http_clerk_auth_set_check,
      LOC(checks[NGX_HTTP_CLERK_AUTH_REQUIRE_ROLE]), NULL },
    { ngx_string("clerk_auth_require_permission"), H|S|L|E|NGX_CONF_1MORE, ngx_http_clerk_auth_set_check,
      LOC(checks[NGX_HTTP_CLERK_AUTH_REQUIRE_PERMISSION]), NULL },
    { ngx_string("clerk_auth_require_org"), H|S|L|E|NGX_CONF_1MORE, ngx_http_clerk_auth_set_check,
      LOC(checks[NGX_HTTP_CLERK_AUTH_REQUIRE_ORG]), NULL },
    { ngx_string("clerk_auth_require_feature"), H|S|L|E|NGX_CONF_1MORE, ngx_http_clerk_auth_set_check,
      LOC(checks[NGX_HTTP_CLERK_AUTH_REQUIRE_FEATURE]), NULL },
    { ngx_string("clerk_auth_require_plan"), H|S|L|E|NGX_CONF_1MORE, ngx_http_clerk_auth_set_check,
      LOC(checks[NGX_HTTP_CLERK_AUTH_REQUIRE_PLAN]), NULL },

    { ngx_string("clerk_auth_secret_key"), H|S|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_value, SETTING("secret_key") },
    { ngx_string("clerk_auth_publishable_key"), H|S|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_value,
      SETTING("publishable_key") },
    { ngx_string("clerk_auth_jwt_key"), H|S|L|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_value, SETTING("jwt_key") },
    { ngx_string("clerk_auth_jwks_file"), H|S|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_file, SETTING("jwks") },
    { ngx_string("clerk_auth_jwks_url"), H|S|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_value, SETTING("jwks_url") },
    { ngx_string("clerk_auth_issuer"), H|S|L|NGX_CONF_1MORE, ngx_http_clerk_auth_set_list, SETTING("issuer") },
    { ngx_string("clerk_auth_audience"), H|S|L|NGX_CONF_1MORE, ngx_http_clerk_auth_set_list, SETTING("audience") },
    { ngx_string("clerk_auth_authorized_parties"), H|S|L|NGX_CONF_1MORE, ngx_http_clerk_auth_set_list,
      SETTING("authorized_parties") },
    { ngx_string("clerk_auth_leeway"), H|S|L|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_msec, SETTING("clock_skew_ms") },
    { ngx_string("clerk_auth_accept_token"), H|S|L|NGX_CONF_1MORE, ngx_http_clerk_auth_set_words,
      SETTING("accepts_token") },
    { ngx_string("clerk_auth_fetch_user"), H|S|L|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_fetch_user,
      SETTING("user_mode") },
    { ngx_string("clerk_auth_user_store"), H|S|L|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_user_store, SETTING("") },
    { ngx_string("clerk_auth_api_url"), H|S|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_value, SETTING("api_url") },
    { ngx_string("clerk_auth_timeout"), H|S|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_msec, SETTING("timeout_ms") },
    { ngx_string("clerk_auth_cache"), H|S|NGX_CONF_TAKE12, ngx_http_clerk_auth_set_cache, SETTING("cache_ttl_s") },
    { ngx_string("clerk_auth_webhook_secret"), H|S|NGX_CONF_1MORE, ngx_http_clerk_auth_set_list,
      SETTING("webhook_secrets") },
    { ngx_string("clerk_auth_setting"), H|S|L|NGX_CONF_TAKE2, ngx_http_clerk_auth_set_setting,
      NGX_HTTP_LOC_CONF_OFFSET, 0, NULL },

    { ngx_string("clerk_auth_set"), H|NGX_CONF_TAKE2, ngx_http_clerk_auth_set_variable, 0, 0, NULL },
    { ngx_string("clerk_auth_zone"), H|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_zone, NGX_HTTP_MAIN_CONF_OFFSET, 0,
      NULL },
    { ngx_string("clerk_auth_endpoint"), L|NGX_CONF_NOARGS, ngx_http_clerk_auth_set_serves,
      NGX_HTTP_LOC_CONF_OFFSET, NGX_HTTP_CLERK_AUTH_SERVES_ENDPOINT, ngx_http_clerk_auth_endpoint_handler },
    { ngx_string("clerk_auth_webhook"), L|NGX_CONF_NOARGS, ngx_http_clerk_auth_set_serves,
      NGX_HTTP_LOC_CONF_OFFSET, NGX_HTTP_CLERK_AUTH_SERVES_WEBHOOK, ngx_http_clerk_auth_webhook_handler },
    { ngx_string("clerk_auth_status"), L|NGX_CONF_NOARGS|NGX_CONF_TAKE1, ngx_http_clerk_auth_set_serves,
      NGX_HTTP_LOC_CONF_OFFSET, NGX_HTTP_CLERK_AUTH_SERVES_STATUS, ngx_http_clerk_auth_status_handler },
    ngx_null_command
};

static ngx_http_module_t ngx_http_clerk_auth_module_ctx = {
    ngx_http_clerk_auth_add_variables,    /* preconfiguration */
    ngx_http_clerk_auth_init,             /* postconfiguration */
    ngx_http_clerk_auth_create_main_conf, /* create main configuration */
    NULL,                                 /* init main configuration */
    ngx_http_clerk_auth_create_srv_conf,  /* create server configuration */
    NULL,                                 /* merge server configuration */
    ngx_http_clerk_auth_create_loc_conf,  /* create location configuration */
    ngx_http_clerk_auth_merge_loc_conf    /* merge location configuration */
};

ngx_module_t ngx_http_clerk_auth_module = {
    NGX_MODULE_V1,
    &ngx_http_clerk_auth_module_ctx,  /* module context */
    ngx_http_clerk_auth_commands,     /* module directives */
    NGX_HTTP_MODULE,                  /* module type */
    NULL,                             /* init master */
    NULL,                             /* init module */
    ngx_http_clerk_auth_init_process, /* init process */
    NULL,                             /* init thread */
    NULL,                             /* exit thread */
    ngx_http_clerk_auth_exit_process, /* exit process */
    NULL,                             /* exit master */
    NGX_MODULE_V1_PADDING
};

/* Returns whether a directive is named after a setting of the library. */
ngx_uint_t
ngx_http_clerk_auth_has_directive(clerk_str setting)
{
    static const size_t prefix = sizeof("clerk_auth_") - 1;
    ngx_command_t *cmd;

    for (cmd = ngx_http_clerk_auth_commands; cmd->name.len > 0; cmd++) {
        if (cmd->name.len == prefix + setting.len && ngx_memcmp(cmd->name.data + prefix, setting.data, setting.len) == 0) {
            return 1;
        }
    }
    return 0;
}

static void *
ngx_http_clerk_auth_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_clerk_auth_main_conf_t *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_clerk_auth_main_conf_t));
    if (mcf == NULL
        || ngx_array_init(&mcf->clients, cf->pool, 4, sizeof(ngx_http_clerk_auth_client_t *)) != NGX_OK)
    {
        return NULL;
    }
    return mcf;
}

static void *
ngx_http_clerk_auth_create_srv_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_clerk_auth_srv_conf_t));
}

static void *
ngx_http_clerk_auth_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_clerk_auth_loc_conf_t *lcf;

    lcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_clerk_auth_loc_conf_t));
    if (lcf == NULL) {
        return NULL;
    }
    lcf->settings = ngx_http_clerk_auth_settings_create(cf->pool);
    if (lcf->settings == NULL) {
        return NULL;
    }
    lcf->mode = NGX_CONF_UNSET_UINT;
    lcf->realm = NGX_CONF_UNSET_PTR;
    lcf->login_redirect = NGX_CONF_UNSET_PTR;
    lcf->thread_pool = NGX_CONF_UNSET_PTR;
    lcf->unavailable = NGX_CONF_UNSET_UINT;
    lcf->www_authenticate = NGX_CONF_UNSET;
    lcf->pass_headers = NGX_CONF_UNSET;
    lcf->pass_claims = NGX_CONF_UNSET;
    lcf->strip_headers = NGX_CONF_UNSET;
    return lcf;
}

static char *
ngx_http_clerk_auth_merge_client(ngx_conf_t *cf, ngx_http_clerk_auth_main_conf_t *mcf,
    ngx_http_clerk_auth_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t *clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->thread_pool == NULL) {
        conf->thread_pool = ngx_thread_pool_add(cf, NULL);
        if (conf->thread_pool == NULL) {
            return NGX_CONF_ERROR;
        }
    }
    conf->client = ngx_http_clerk_auth_settings_intern(cf, mcf, conf->settings);
    if (conf->client == NULL) {
        return NGX_CONF_ERROR;
    }
    if (conf->client->thread_pool == NULL) {
        conf->client->thread_pool = conf->thread_pool;
    }
    if (conf->client->log == NULL || conf->client->log->log_level < clcf->error_log->log_level) {
        conf->client->log = clcf->error_log;
    }
    if (conf->serves == NGX_HTTP_CLERK_AUTH_SERVES_WEBHOOK) {
        if (mcf->zone == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                "\"clerk_auth_webhook\" needs \"clerk_auth_zone\": without it other workers do not get the events");
            return NGX_CONF_ERROR;
        }
        if (conf->client->secrets->values == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "\"clerk_auth_webhook\" needs \"clerk_auth_webhook_secret\"");
            return NGX_CONF_ERROR;
        }
    }
    return NGX_CONF_OK;
}

/* A block of `if` or `limit_except` serves what its location serves. */
static void
ngx_http_clerk_auth_merge_serves(ngx_http_core_loc_conf_t *clcf, ngx_http_clerk_auth_loc_conf_t *prev,
    ngx_http_clerk_auth_loc_conf_t *conf)
{
    static const ngx_http_handler_pt handlers[] = { NULL, ngx_http_clerk_auth_endpoint_handler,
        ngx_http_clerk_auth_webhook_handler, ngx_http_clerk_auth_status_handler };

    if (clcf->noname && clcf->handler == NULL && prev->serves != NGX_HTTP_CLERK_AUTH_SERVES_NOTHING) {
        conf->serves = prev->serves;
        conf->status_format = prev->status_format;
        clcf->handler = handlers[conf->serves];
    }
}

/* Returns a directive of this location that would have no effect without `clerk_auth`, or NULL. */
static const char *
ngx_http_clerk_auth_unused_requirement(ngx_http_core_loc_conf_t *clcf, ngx_http_clerk_auth_loc_conf_t *conf)
{
    static const char *names[] = { "_role", "_permission", "_feature", "_plan", "_org" };
    ngx_uint_t i;

    /* An outer level may have requirements for its locations, and `clerk_auth off` is explicit. */
    if (conf->mode != NGX_CONF_UNSET_UINT || (clcf->name.len == 0 && !clcf->noname)) {
        return NULL;
    }
    for (i = 0; i < NGX_HTTP_CLERK_AUTH_REQUIREMENTS; i++) {
        if (conf->checks[i].groups != NULL) {
            return names[i];
        }
    }
    return conf->require != NULL ? "" : NULL;
}

static char *
ngx_http_clerk_auth_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_clerk_auth_loc_conf_t *prev = parent;
    ngx_http_clerk_auth_loc_conf_t *conf = child;
    ngx_http_clerk_auth_main_conf_t *mcf;
    ngx_http_clerk_auth_srv_conf_t *scf;
    ngx_http_core_loc_conf_t *clcf;
    const char *requirement;
    ngx_uint_t i;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_clerk_auth_module);
    scf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_clerk_auth_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    ngx_http_clerk_auth_merge_serves(clcf, prev, conf);
    requirement = ngx_http_clerk_auth_unused_requirement(clcf, conf);

    ngx_conf_merge_uint_value(conf->mode, prev->mode, NGX_HTTP_CLERK_AUTH_OFF);
    ngx_conf_merge_ptr_value(conf->realm, prev->realm, NULL);
    ngx_conf_merge_ptr_value(conf->login_redirect, prev->login_redirect, NULL);
    ngx_conf_merge_ptr_value(conf->thread_pool, prev->thread_pool, NULL);
    ngx_conf_merge_uint_value(conf->unavailable, prev->unavailable, NGX_HTTP_SERVICE_UNAVAILABLE);
    ngx_conf_merge_value(conf->pass_headers, prev->pass_headers, 0);
    ngx_conf_merge_value(conf->pass_claims, prev->pass_claims, 0);
    ngx_conf_merge_value(conf->strip_headers, prev->strip_headers, 1);
    if (conf->www_authenticate == NGX_CONF_UNSET) {
        conf->challenge = prev->challenge;
    }
    ngx_conf_merge_value(conf->www_authenticate, prev->www_authenticate, 1);
    if (conf->token_source == 0 && conf->token == NULL) {
        conf->token = prev->token;
        conf->token_is_cookie = prev->token_is_cookie;
        conf->token_source = prev->token_source;
        if (conf->token_source == 0 && conf->token == NULL) {
            conf->token_source = NGX_HTTP_CLERK_AUTH_FROM_HEADER | NGX_HTTP_CLERK_AUTH_FROM_COOKIE;
        }
    }
    if (conf->require == NULL) {
        conf->require = prev->require;
    }
    for (i = 0; i < NGX_HTTP_CLERK_AUTH_REQUIREMENTS; i++) {
        if (conf->checks[i].groups == NULL) {
            conf->checks[i].groups = prev->checks[i].groups;
        }
    }
    ngx_http_clerk_auth_settings_merge(prev->settings, conf->settings);

    if (!conf->strip_headers) {
        scf->keeps_headers_somewhere = 1;
    }
    for (i = 0; i < ngx_http_clerk_auth_setting_count(); i++) {
        mcf->is_used |= conf->settings[i].values != NULL;
    }
    if (conf->serves == NGX_HTTP_CLERK_AUTH_SERVES_ENDPOINT && conf->mode == NGX_HTTP_CLERK_AUTH_OFF) {
        conf->mode = NGX_HTTP_CLERK_AUTH_ON;
    }
    if (conf->mode == NGX_HTTP_CLERK_AUTH_OFF && requirement != NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "\"clerk_auth_require%s\" in location \"%V\" needs \"clerk_auth on\"",
            requirement, &clcf->name);
        return NGX_CONF_ERROR;
    }
    if (conf->mode == NGX_HTTP_CLERK_AUTH_OFF && conf->serves != NGX_HTTP_CLERK_AUTH_SERVES_WEBHOOK) {
        mcf->is_used |= conf->serves;
        return NGX_CONF_OK;
    }
    mcf->is_used = 1;
    return ngx_http_clerk_auth_merge_client(cf, mcf, conf);
}

static ngx_int_t
ngx_http_clerk_auth_add_handler(ngx_http_core_main_conf_t *cmcf, ngx_uint_t phase, ngx_http_handler_pt handler)
{
    ngx_http_handler_pt *h;

    h = ngx_array_push(&cmcf->phases[phase].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    *h = handler;
    return NGX_OK;
}

static ngx_int_t
ngx_http_clerk_auth_init(ngx_conf_t *cf)
{
    static ngx_str_t request_id = ngx_string("request_id");
    ngx_http_core_main_conf_t *cmcf;
    ngx_http_clerk_auth_main_conf_t *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_clerk_auth_module);
    if (!mcf->is_used) {
        return NGX_OK;
    }
    mcf->request_id = ngx_http_get_variable_index(cf, &request_id);
    if (mcf->request_id == NGX_ERROR) {
        return NGX_ERROR;
    }
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    if (ngx_http_clerk_auth_copy_server_names(cf) != NGX_OK
        || ngx_http_clerk_auth_add_handler(cmcf, NGX_HTTP_POST_READ_PHASE, ngx_http_clerk_auth_strip_handler) != NGX_OK
        || ngx_http_clerk_auth_add_handler(cmcf, NGX_HTTP_REWRITE_PHASE, ngx_http_clerk_auth_strip_handler) != NGX_OK
        || ngx_http_clerk_auth_add_handler(cmcf, NGX_HTTP_PREACCESS_PHASE, ngx_http_clerk_auth_preaccess_handler)
               != NGX_OK)
    {
        return NGX_ERROR;
    }
    return ngx_http_clerk_auth_add_handler(cmcf, NGX_HTTP_ACCESS_PHASE, ngx_http_clerk_auth_access_handler);
}

/* Also called in helper processes, which serve no requests. No client is created there or in the master. */
static ngx_int_t
ngx_http_clerk_auth_init_process(ngx_cycle_t *cycle)
{
    ngx_http_clerk_auth_main_conf_t *mcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE) {
        return NGX_OK;
    }
    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_clerk_auth_module);
    if (mcf == NULL || !mcf->is_used) {
        return NGX_OK;
    }
    if (ngx_http_clerk_auth_clients_start(cycle, mcf) != NGX_OK) {
        return NGX_ERROR;
    }
    return ngx_http_clerk_auth_zone_start(cycle, mcf);
}

static void
ngx_http_clerk_auth_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_clerk_auth_main_conf_t *mcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE) {
        return;
    }
    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_clerk_auth_module);
    if (mcf == NULL || !mcf->is_used) {
        return;
    }
    ngx_http_clerk_auth_zone_stop(mcf);
    ngx_http_clerk_auth_clients_stop(mcf);
}
