/* The directives. The library checks each value when it is read, so that Apache reports the line. */

#include "mod_auth_clerk.h"

#include <apr_file_io.h>
#include <apr_lib.h>

#define MAX_FILE_SIZE (1024 * 1024)

static const struct {
    const char *setting, *directive;
} settings_of[] = {
    { "secret_key", "ClerkSecretKey" },
    { "publishable_key", "ClerkPublishableKey" },
    { "machine_secret_key", "ClerkMachineSecretKeyFile" },
    { "jwt_key", "ClerkJWTKeyFile" },
    { "jwks", "ClerkJWKSFile" },
    { "jwks_url", "ClerkJWKSURL" },
    { "api_url", "ClerkAPIURL" },
    { "ca_pem", "ClerkCAFile" },
    { "timeout_ms", "ClerkTimeout" },
    { "cache_capacity", "ClerkCache" },
    { "cache_ttl_s", "ClerkCache" },
    { "webhook_secrets", "ClerkWebhookSecret" },
    { "authorized_parties", "ClerkAuthorizedParties" },
    { "audience", "ClerkAudience" },
    { "issuer", "ClerkIssuer" },
    { "clock_skew_ms", "ClerkLeeway" },
    { "accepts_token", "ClerkAcceptToken" },
    { "user_mode", "ClerkFetchUser" },
    { "csrf", "ClerkCSRF" },
    { "handshake", "ClerkPages" },
    { "public_origin", "ClerkPublicOrigin" },
    { "database", "ClerkUserStore" },
};

const char *mac_directive_of_setting(const char *setting)
{
    size_t i;

    for (i = 0; i < sizeof(settings_of) / sizeof(*settings_of); i++)
        if (!strcmp(settings_of[i].setting, setting))
            return settings_of[i].directive;
    return NULL;
}

/* --- settings of the library -------------------------------------------------------------------------------------- */

static const char *add_setting(cmd_parms *cmd, void *dir_conf, const char *name, const char *value, int is_item)
{
    mac_setting setting = { name, value, is_item };
    mac_dir_conf *dir = dir_conf;
    mac_server_conf *server = mac_server_conf_of(cmd->server);
    apr_array_header_t *settings = cmd->path ? dir->settings : server->settings;
    apr_array_header_t *one = apr_array_make(cmd->temp_pool, 1, sizeof(mac_setting));
    clerk_config *scratch;
    const char *wrong;
    int i, kept = 0;

    if (!*value)
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": a value is required", NULL);
    if (strstr(value, "${"))
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": the value uses a variable that is not defined", NULL);
    APR_ARRAY_PUSH(one, mac_setting) = setting;
    if (!(scratch = clerk_config_new()))
        return "internal error of the library";
    wrong = mac_apply_settings(cmd->pool, scratch, one);
    clerk_config_free(scratch);
    if (wrong)
        return wrong;
    if (!is_item) {
        for (i = 0; i < settings->nelts; i++)
            if (strcmp(APR_ARRAY_IDX(settings, i, mac_setting).name, name))
                APR_ARRAY_IDX(settings, kept++, mac_setting) = APR_ARRAY_IDX(settings, i, mac_setting);
        settings->nelts = kept;
    }
    APR_ARRAY_PUSH(settings, mac_setting) = setting;
    if (cmd->path) {
        mac_update_settings_key(cmd->pool, dir);
        mac_remember_dir(cmd, dir);
    }
    return NULL;
}

static const char *set_value(cmd_parms *cmd, void *conf, const char *value)
{
    return add_setting(cmd, conf, cmd->info, value, 0);
}

static const char *add_item(cmd_parms *cmd, void *conf, const char *value)
{
    return add_setting(cmd, conf, cmd->info, value, 1);
}

static const char *read_file(cmd_parms *cmd, const char *arg, const char **content)
{
    const char *path = ap_server_root_relative(cmd->temp_pool, arg);
    apr_file_t *file;
    apr_size_t len = MAX_FILE_SIZE;
    apr_status_t rv;
    char message[120], *buffer;

    if (!path)
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": invalid path ", arg, NULL);
    rv = apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, APR_OS_DEFAULT, cmd->temp_pool);
    if (rv != APR_SUCCESS)
        return apr_psprintf(cmd->pool, "%s: cannot open %s: %s", cmd->cmd->name, path,
                            apr_strerror(rv, message, sizeof(message)));
    buffer = apr_palloc(cmd->temp_pool, MAX_FILE_SIZE);
    rv = apr_file_read_full(file, buffer, len, &len);
    apr_file_close(file);
    if (rv != APR_SUCCESS && rv != APR_EOF)
        return apr_psprintf(cmd->pool, "%s: cannot read %s: %s", cmd->cmd->name, path,
                            apr_strerror(rv, message, sizeof(message)));
    if (len == MAX_FILE_SIZE)
        return apr_psprintf(cmd->pool, "%s: %s is too large", cmd->cmd->name, path);
    if (memchr(buffer, 0, len))
        return apr_psprintf(cmd->pool, "%s: %s is not a text file", cmd->cmd->name, path);
    while (len > 0 && apr_isspace(buffer[len - 1]))
        len--;
    if (!len)
        return apr_psprintf(cmd->pool, "%s: %s is empty", cmd->cmd->name, path);
    *content = apr_pstrmemdup(cmd->pool, buffer, len);
    return NULL;
}

/* Files of secrets are read while Apache is still root. */
static void warn_if_public(cmd_parms *cmd, const char *arg)
{
    const char *path = ap_server_root_relative(cmd->temp_pool, arg);
    apr_finfo_t info;

    if (path && apr_stat(&info, path, APR_FINFO_PROT, cmd->temp_pool) == APR_SUCCESS && info.protection & APR_FPROT_WREAD)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, cmd->server, "mod_auth_clerk: %s: all users can read %s", cmd->cmd->name, path);
}

static const char *set_file(cmd_parms *cmd, void *conf, const char *arg)
{
    const char *content = NULL, *wrong = read_file(cmd, arg, &content);

    return wrong ? wrong : add_setting(cmd, conf, cmd->info, content, 0);
}

static const char *set_secret_file(cmd_parms *cmd, void *conf, const char *arg)
{
    warn_if_public(cmd, arg);
    return set_file(cmd, conf, arg);
}

static const char *add_secret_file(cmd_parms *cmd, void *conf, const char *arg)
{
    const char *content = NULL, *wrong = read_file(cmd, arg, &content);

    warn_if_public(cmd, arg);
    return wrong ? wrong : add_setting(cmd, conf, cmd->info, content, 1);
}

static const char *set_ms(cmd_parms *cmd, void *conf, const char *arg)
{
    apr_interval_time_t time;

    /* Without a number Apache would take it for 0. */
    if (!apr_isdigit(*arg) || ap_timeout_parameter_parse(arg, &time, "s") != APR_SUCCESS || time < 0)
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": must be a time, such as 3, 3s or 500ms", NULL);
    return add_setting(cmd, conf, cmd->info, apr_psprintf(cmd->pool, "%" APR_TIME_T_FMT, apr_time_as_msec(time)), 0);
}

static const char *set_cache(cmd_parms *cmd, void *conf, const char *entries, const char *ttl)
{
    const char *wrong = add_setting(cmd, conf, "cache_capacity", entries, 0);

    return wrong || !ttl ? wrong : add_setting(cmd, conf, "cache_ttl_s", ttl, 0);
}

static const char *set_fetch_user(cmd_parms *cmd, void *conf, int on)
{
    return add_setting(cmd, conf, "user_mode", on ? "profile" : "claims", 0);
}

static const char *set_csrf(cmd_parms *cmd, void *conf, int on)
{
    return add_setting(cmd, conf, "csrf", on ? "check" : "off", 0);
}

static const char *set_pages(cmd_parms *cmd, void *conf, int on)
{
    return add_setting(cmd, conf, "handshake", on ? "on" : "off", 0);
}

/* This setting is not a list for the library: it is set as a whole. */
static const char *add_token_kind(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    const mac_dir_conf *dir = dir_conf;
    const char *before = mac_setting_value(cmd->path ? dir->settings : mac_server_conf_of(cmd->server)->settings, cmd->info);

    return add_setting(cmd, dir_conf, cmd->info, before ? apr_pstrcat(cmd->pool, before, ",", arg, NULL) : arg, 0);
}

static const char *set_any(cmd_parms *cmd, void *conf, const char *name, const char *value)
{
    return add_setting(cmd, conf, name, value, 0);
}

static const char *set_user_store(cmd_parms *cmd, void *conf, const char *arg)
{
    mac_server_conf *server = mac_server_conf_of(cmd->server);

    (void)conf;
    const char *path;

    server->database = arg;
    if (!strncmp(arg, "postgres://", 11) || !strncmp(arg, "postgresql://", 13) || !strncmp(arg, "mysql://", 8))
        return NULL;
    if (strncmp(arg, "sqlite:", 7) || !arg[7])
        return "ClerkUserStore: must be sqlite:PATH, postgres://... or mysql://...";
    if (!(path = ap_server_root_relative(cmd->pool, arg + 7)))
        return "ClerkUserStore: invalid path";
    server->database = apr_pstrcat(cmd->pool, "sqlite:", path, NULL);
    return NULL;
}

/* --- use of a result --------------------------------------------------------------------------------------------- */

static const char *set_strip_headers(cmd_parms *cmd, void *conf, int on)
{
    (void)conf;
    mac_server_conf_of(cmd->server)->strip_headers = on;
    return NULL;
}

static const char *set_token_source(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    mac_dir_conf *conf = dir_conf;
    int source = !ap_cstr_casecmp(arg, "header") ? MAC_SOURCE_HEADER : !ap_cstr_casecmp(arg, "cookie") ? MAC_SOURCE_COOKIE : 0;

    if (!source)
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": must be header, cookie, or both", NULL);
    conf->token_source = mac_flag(conf->token_source, 0) | source;
    return NULL;
}

static const char *set_unavailable(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    mac_dir_conf *conf = dir_conf;

    conf->unavailable = !strcmp(arg, "503") ? 503 : !strcmp(arg, "500") ? 500 : !strcmp(arg, "401") ? 401 : MAC_UNSET;
    return conf->unavailable == MAC_UNSET ? apr_pstrcat(cmd->pool, cmd->cmd->name, ": must be 503, 500 or 401", NULL) : NULL;
}

static const char *set_remote_user(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    static const struct {
        const char *name;
        mac_remote_user value;
    } names[] = {
        { "user_id", MAC_REMOTE_USER_ID },
        { "local_user_id", MAC_REMOTE_USER_LOCAL_ID },
        { "email", MAC_REMOTE_USER_EMAIL },
        { "username", MAC_REMOTE_USER_USERNAME },
    };
    mac_dir_conf *conf = dir_conf;
    size_t i;

    conf->remote_user_claim = NULL;
    if (!strncmp(arg, "claim:", 6) && arg[6]) {
        conf->remote_user = MAC_REMOTE_USER_CLAIM;
        conf->remote_user_claim = apr_pstrdup(cmd->pool, arg + 6);
        return NULL;
    }
    for (i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (!strcmp(arg, names[i].name)) {
            conf->remote_user = names[i].value;
            return NULL;
        }
    return apr_pstrcat(cmd->pool, cmd->cmd->name, ": must be user_id, local_user_id, email, username or claim:NAME", NULL);
}

static const char *set_login_url(cmd_parms *cmd, void *dir_conf, const char *arg, const char *parameter)
{
    mac_dir_conf *conf = dir_conf;
    const char *wrong = NULL;

    if (parameter && parameter[strspn(parameter, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")])
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": the parameter must be a plain name", NULL);
    conf->login_parameter = parameter;
    conf->login_url = ap_expr_parse_cmd(cmd, arg, AP_EXPR_FLAG_STRING_RESULT | AP_EXPR_FLAG_DONT_VARY, &wrong, NULL);
    return wrong ? apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", wrong, NULL) : NULL;
}

#define DIR_FLAG(name, field, help) \
    AP_INIT_FLAG(name, ap_set_flag_slot, (void *)APR_OFFSETOF(mac_dir_conf, field), POLICY, help)
/* Everywhere; in .htaccess with `AllowOverride AuthConfig`. */
#define POLICY (RSRC_CONF | OR_AUTHCFG)
/* In the server and in directories, but never in .htaccess: clients are made from them. */
#define VERIFIER (RSRC_CONF | ACCESS_CONF)

const command_rec mac_directives[] = {
    AP_INIT_TAKE1("ClerkSecretKey", set_value, (void *)"secret_key", RSRC_CONF, "Clerk's secret key"),
    AP_INIT_TAKE1("ClerkSecretKeyFile", set_secret_file, (void *)"secret_key", RSRC_CONF, "file with Clerk's secret key"),
    AP_INIT_TAKE1("ClerkMachineSecretKeyFile", set_secret_file, (void *)"machine_secret_key", RSRC_CONF,
                  "file with a machine's secret key"),
    AP_INIT_TAKE1("ClerkPublishableKey", set_value, (void *)"publishable_key", RSRC_CONF, "Clerk's publishable key"),
    AP_INIT_TAKE1("ClerkJWTKeyFile", set_file, (void *)"jwt_key", RSRC_CONF, "PEM file of the public key"),
    AP_INIT_TAKE1("ClerkJWKSFile", set_file, (void *)"jwks", RSRC_CONF, "file with the JWK set"),
    AP_INIT_TAKE1("ClerkJWKSURL", set_value, (void *)"jwks_url", RSRC_CONF, "public URL of the JWK set"),
    AP_INIT_TAKE1("ClerkAPIURL", set_value, (void *)"api_url", RSRC_CONF, "URL of the Backend API"),
    AP_INIT_TAKE1("ClerkCAFile", set_file, (void *)"ca_pem", RSRC_CONF, "certificates to trust instead of the system's"),
    AP_INIT_TAKE1("ClerkTimeout", set_ms, (void *)"timeout_ms", RSRC_CONF, "time limit of calls to Clerk"),
    AP_INIT_TAKE12("ClerkCache", set_cache, NULL, RSRC_CONF, "number of verified tokens to cache, and seconds"),
    AP_INIT_ITERATE("ClerkWebhookSecret", add_item, (void *)"webhook_secrets", RSRC_CONF, "signing secrets of webhooks"),
    AP_INIT_ITERATE("ClerkWebhookSecretFile", add_secret_file, (void *)"webhook_secrets", RSRC_CONF,
                    "files with signing secrets of webhooks"),
    AP_INIT_TAKE1("ClerkUserStore", set_user_store, NULL, RSRC_CONF, "sqlite:PATH, postgres://... or mysql://...: database of the user table"),
    AP_INIT_TAKE2("ClerkSetting", set_any, NULL, RSRC_CONF, "any setting of the library by its name"),
    AP_INIT_TAKE1("ClerkSOCache", mac_set_socache, NULL, RSRC_CONF,
                  "socache provider that distributes webhook deliveries to all processes"),
    AP_INIT_FLAG("ClerkStripHeaders", set_strip_headers, NULL, RSRC_CONF, "remove X-Clerk-* request headers of clients"),

    AP_INIT_ITERATE("ClerkAuthorizedParties", add_item, (void *)"authorized_parties", VERIFIER, "origins for azp"),
    AP_INIT_ITERATE("ClerkAudience", add_item, (void *)"audience", VERIFIER, "audiences for aud"),
    AP_INIT_ITERATE("ClerkIssuer", add_item, (void *)"issuer", VERIFIER, "issuers for iss"),
    AP_INIT_TAKE1("ClerkLeeway", set_ms, (void *)"clock_skew_ms", VERIFIER, "tolerated clock skew"),
    AP_INIT_ITERATE("ClerkAcceptToken", add_token_kind, (void *)"accepts_token", VERIFIER, "kinds of tokens that are accepted"),
    AP_INIT_FLAG("ClerkCSRF", set_csrf, NULL, VERIFIER, "CSRF protection for requests with a cookie"),
    AP_INIT_FLAG("ClerkPages", set_pages, NULL, VERIFIER, "redirect pages with a stale session cookie to Clerk and back"),
    AP_INIT_ITERATE("ClerkPublicOrigin", add_item, (void *)"public_origin", VERIFIER, "origins that browsers are sent back to"),
    AP_INIT_FLAG("ClerkFetchUser", set_fetch_user, NULL, VERIFIER, "fetch the user from Clerk"),

    DIR_FLAG("ClerkOptional", optional, "accept requests without credentials"),
    DIR_FLAG("ClerkPassHeaders", pass_headers, "pass the identity on in X-Clerk-* request headers"),
    DIR_FLAG("ClerkPassEnv", pass_env, "pass the identity on in CLERK_* variables"),
    DIR_FLAG("ClerkPassClaims", pass_claims, "also pass all claims on"),
    AP_INIT_ITERATE("ClerkTokenSource", set_token_source, NULL, POLICY, "header, cookie"),
    AP_INIT_TAKE1("ClerkUnavailable", set_unavailable, NULL, POLICY, "status when Clerk cannot be reached"),
    AP_INIT_TAKE1("ClerkRemoteUser", set_remote_user, NULL, POLICY, "value of REMOTE_USER"),
    AP_INIT_TAKE12("ClerkLoginURL", set_login_url, NULL, VERIFIER,
                   "sign-in page for browsers without a session, and the query parameter for the page's URL"),
    { NULL, { NULL }, NULL, 0, RAW_ARGS, NULL }
};
