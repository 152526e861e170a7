/* Configuration: inheritance, and conversion to settings of the library. */

#include "mod_auth_clerk.h"

void *mac_create_server_conf(apr_pool_t *p, server_rec *s)
{
    mac_server_conf *conf = apr_pcalloc(p, sizeof(*conf));

    (void)s;
    conf->settings = apr_array_make(p, 8, sizeof(mac_setting));
    conf->strip_headers = MAC_UNSET;
    return conf;
}

void *mac_create_dir_conf(apr_pool_t *p, char *path)
{
    mac_dir_conf *conf = apr_pcalloc(p, sizeof(*conf));

    (void)path;
    conf->settings = apr_array_make(p, 0, sizeof(mac_setting));
    conf->optional = conf->pass_headers = conf->pass_env = conf->pass_claims = MAC_UNSET;
    conf->token_source = conf->unavailable = MAC_UNSET;
    return conf;
}

static int has_setting(const apr_array_header_t *settings, const char *name)
{
    return mac_setting_value(settings, name) != NULL;
}

const char *mac_setting_value(const apr_array_header_t *settings, const char *name)
{
    int i;

    for (i = 0; i < settings->nelts; i++)
        if (!strcmp(APR_ARRAY_IDX(settings, i, mac_setting).name, name))
            return APR_ARRAY_IDX(settings, i, mac_setting).value;
    return NULL;
}

/* A setting of `add` replaces all values of the same name in `base`, also lists. */
apr_array_header_t *mac_merge_settings(apr_pool_t *p, const apr_array_header_t *base, const apr_array_header_t *add)
{
    apr_array_header_t *merged = apr_array_make(p, base->nelts + add->nelts, sizeof(mac_setting));
    int i;

    for (i = 0; i < base->nelts; i++) {
        const mac_setting *setting = &APR_ARRAY_IDX(base, i, mac_setting);

        if (!has_setting(add, setting->name))
            APR_ARRAY_PUSH(merged, mac_setting) = *setting;
    }
    apr_array_cat(merged, add);
    return merged;
}

const char *mac_settings_key(apr_pool_t *p, const apr_array_header_t *settings)
{
    apr_array_header_t *parts = apr_array_make(p, settings->nelts, sizeof(const char *));
    int i;

    for (i = 0; i < settings->nelts; i++) {
        const mac_setting *setting = &APR_ARRAY_IDX(settings, i, mac_setting);

        APR_ARRAY_PUSH(parts, const char *) = apr_psprintf(p, "%s%c%" APR_SIZE_T_FMT ":%s;", setting->name,
                                                           setting->is_item ? '+' : '=', strlen(setting->value), setting->value);
    }
    return apr_array_pstrcat(p, parts, 0);
}

void mac_update_settings_key(apr_pool_t *p, mac_dir_conf *conf)
{
    conf->settings_key = conf->settings->nelts ? mac_settings_key(p, conf->settings) : NULL;
}

static int merged(int base, int add)
{
    return add == MAC_UNSET ? base : add;
}

void *mac_merge_server_conf(apr_pool_t *p, void *base_conf, void *add_conf)
{
    const mac_server_conf *base = base_conf, *add = add_conf;
    mac_server_conf *conf = apr_pcalloc(p, sizeof(*conf));

    conf->settings = mac_merge_settings(p, base->settings, add->settings);
    conf->database = add->database ? add->database : base->database;
    conf->strip_headers = merged(base->strip_headers, add->strip_headers);
    return conf;
}

/* Also runs for each request: nothing is copied unless both sides have settings that differ from the server's. */
void *mac_merge_dir_conf(apr_pool_t *p, void *base_conf, void *add_conf)
{
    const mac_dir_conf *base = base_conf, *add = add_conf;
    mac_dir_conf *conf = apr_pmemdup(p, add, sizeof(*conf));

    if (!add->settings_key) {
        conf->settings = base->settings;
        conf->settings_key = base->settings_key;
    } else if (base->settings_key) {
        conf->settings = mac_merge_settings(p, base->settings, add->settings);
        mac_update_settings_key(p, conf);
    }
    conf->optional = merged(base->optional, add->optional);
    conf->pass_headers = merged(base->pass_headers, add->pass_headers);
    conf->pass_env = merged(base->pass_env, add->pass_env);
    conf->pass_claims = merged(base->pass_claims, add->pass_claims);
    conf->token_source = merged(base->token_source, add->token_source);
    conf->unavailable = merged(base->unavailable, add->unavailable);
    if (add->remote_user == MAC_REMOTE_USER_UNSET) {
        conf->remote_user = base->remote_user;
        conf->remote_user_claim = base->remote_user_claim;
    }
    if (!add->login_url) {
        conf->login_url = base->login_url;
        conf->login_parameter = base->login_parameter;
    }
    return conf;
}

const char *mac_config_error(apr_pool_t *p, clerk_error *error)
{
    clerk_str message = clerk_error_message(error), setting = clerk_error_setting(error);
    const char *directive = setting.data ? mac_directive_of_setting(setting.data) : NULL;
    const char *said = message.data && message.len ? apr_pstrmemdup(p, message.data, message.len) : "wrong setting";

    if (directive)
        said = apr_pstrcat(p, directive, ": ", said, NULL);
    else if (setting.data)
        said = apr_pstrcat(p, "ClerkSetting ", setting.data, ": ", said, NULL);
    clerk_error_free(error);
    return said;
}

const char *mac_apply_settings(apr_pool_t *p, clerk_config *config, const apr_array_header_t *settings)
{
    int i;

    for (i = 0; i < settings->nelts; i++) {
        const mac_setting *setting = &APR_ARRAY_IDX(settings, i, mac_setting);
        clerk_error *error = NULL;
        int32_t status = (setting->is_item ? clerk_config_add : clerk_config_set)(config, mac_str(setting->name),
                                                                               mac_str(setting->value), &error);

        if (status != CLERK_OK)
            return mac_config_error(p, error);
    }
    return NULL;
}

/* systemd gives a server five seconds to stop. */
#define DEFAULT_TIMEOUT_MS 3000
/* A session token is valid for a minute. */
#define DEFAULT_CACHE_TTL_S 60

clerk_config *mac_new_config(apr_pool_t *p, const apr_array_header_t *settings, const char **wrong)
{
    clerk_config *config = clerk_config_new();

    if (!config || clerk_config_set_int(config, CLERK_STR("timeout_ms"), DEFAULT_TIMEOUT_MS, NULL) != CLERK_OK
        || clerk_config_set_int(config, CLERK_STR("cache_ttl_s"), DEFAULT_CACHE_TTL_S, NULL) != CLERK_OK
        || clerk_config_set(config, CLERK_STR("csrf"), CLERK_STR("check"), NULL) != CLERK_OK)
        *wrong = "internal error of the library";
    else
        *wrong = mac_apply_settings(p, config, settings);
    return config;
}

/* Directories with settings of their own, which exist while the configuration is read. */
typedef struct {
    const server_rec *server;
    const mac_dir_conf *dir;
} known_dir;

static apr_array_header_t *known_dirs;

static apr_status_t forget_dirs(void *unused)
{
    (void)unused;
    known_dirs = NULL;
    return APR_SUCCESS;
}

void mac_remember_dir(cmd_parms *cmd, const mac_dir_conf *dir)
{
    known_dir *place;
    int i;

    if (!known_dirs) {
        known_dirs = apr_array_make(cmd->pool, 8, sizeof(known_dir));
        apr_pool_cleanup_register(cmd->pool, NULL, forget_dirs, apr_pool_cleanup_null);
    }
    for (i = 0; i < known_dirs->nelts; i++)
        if (APR_ARRAY_IDX(known_dirs, i, known_dir).dir == dir)
            return;
    place = apr_array_push(known_dirs);
    place->server = cmd->server;
    place->dir = dir;
}

static int32_t no_store(void *userdata, const clerk_store_request *request, clerk_store_response *response)
{
    (void)userdata, (void)request, (void)response;
    return -1;
}

/* Creates a client to check its settings, and frees it at once: the children create their own. They also open the SQLite
 * file, because the parent may run as another user. */
static const char *check_settings(apr_pool_t *p, apr_hash_t *checked, const server_rec *s, const apr_array_header_t *settings)
{
    const char *database = mac_server_conf_of(s)->database;
    const char *key = apr_pstrcat(p, mac_settings_key(p, settings), database, NULL);
    clerk_client *client = NULL;
    clerk_error *error = NULL;
    const char *wrong;
    clerk_config *config;

    if (apr_hash_get(checked, key, APR_HASH_KEY_STRING))
        return NULL;
    apr_hash_set(checked, key, APR_HASH_KEY_STRING, key);
    if (mac_sends_back_to_names(settings))
        ap_log_error(APLOG_MARK, APLOG_WARNING | APLOG_STARTUP, 0, s, "mod_auth_clerk: ClerkPages without ClerkPublicOrigin: browsers are "
                     "sent back to ServerName and ServerAlias only");
    config = mac_new_config(p, settings, &wrong);
    if (!wrong)
        wrong = mac_check_page_settings(settings);
    if (!wrong && database && clerk_config_set_user_store(config, no_store, NULL, NULL) != CLERK_OK)
        wrong = "ClerkUserStore: internal error of the library";
    if (!wrong && clerk_client_new(config, &client, &error) != CLERK_OK)
        wrong = mac_config_error(p, error);
    clerk_client_free(client);
    clerk_config_free(config);
    return wrong;
}

int mac_has_key(const mac_server_conf *conf)
{
    static const char *const sources[] = { "secret_key", "jwt_key", "jwks", "jwks_url", "machine_secret_key", NULL };
    int i;

    for (i = 0; sources[i]; i++)
        if (has_setting(conf->settings, sources[i]))
            return 1;
    return 0;
}

/* The settings of a server, then with those of each directory that applies to it. */
static const char *check_server(apr_pool_t *p, apr_hash_t *checked, const server_rec *s, const server_rec *main_server)
{
    const mac_server_conf *conf = mac_server_conf_of(s);
    const char *wrong = check_settings(p, checked, s, conf->settings);
    int i;

    for (i = 0; !wrong && known_dirs && i < known_dirs->nelts; i++) {
        const known_dir *known = &APR_ARRAY_IDX(known_dirs, i, known_dir);

        if (known->server == s || known->server == main_server)
            wrong = check_settings(p, checked, s, mac_merge_settings(p, conf->settings, known->dir->settings));
    }
    return wrong;
}

/* Runs at every start and reload, and for `apachectl configtest`. The main server needs no key if only virtual hosts use the module. */
int mac_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server)
{
    apr_hash_t *checked = apr_hash_make(ptemp);
    server_rec *s, *without_key = NULL;

    (void)pconf, (void)plog;
    for (s = main_server; s; s = s->next) {
        const mac_server_conf *conf = mac_server_conf_of(s);
        const char *wrong;

        if (!conf->settings->nelts && !conf->database)
            continue;
        if (!mac_has_key(conf)) {
            without_key = s;
            continue;
        }
        if ((wrong = check_server(ptemp, checked, s, main_server))) {
            ap_log_error(APLOG_MARK, APLOG_ERR | APLOG_STARTUP, 0, s, "mod_auth_clerk: %s (server defined at %s:%u)",
                         wrong, s->defn_name ? s->defn_name : "the main configuration", s->defn_line_number);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    if (without_key && !apr_hash_count(checked)) {
        ap_log_error(APLOG_MARK, APLOG_ERR | APLOG_STARTUP, 0, without_key,
                     "mod_auth_clerk: no verification key configured; one of ClerkSecretKeyFile, ClerkSecretKey, "
                     "ClerkJWTKeyFile, ClerkJWKSFile, ClerkJWKSURL is required");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}
