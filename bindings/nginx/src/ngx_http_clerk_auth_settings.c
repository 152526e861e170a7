/* Directives to settings of the library; merged by name; equal sets share one client. */

#include "ngx_http_clerk_auth.h"

/* The library's name of a setting, NULL after the last. */
const char *
ngx_http_clerk_auth_setting_name(ngx_uint_t number)
{
    clerk_setting info = CLERK_SETTING_INIT;

    return clerk_setting_info(number, &info) == CLERK_OK ? info.name.data : NULL;
}

/* One slot for each setting of the library, one more for the user store. */
ngx_uint_t
ngx_http_clerk_auth_setting_count(void)
{
    static ngx_uint_t count;

    while (count == 0 || ngx_http_clerk_auth_setting_name(count - 1) != NULL) {
        count++;
    }
    return count;
}

static ngx_uint_t
ngx_http_clerk_auth_setting_number(const char *name)
{
    ngx_uint_t i, store = ngx_http_clerk_auth_setting_count() - 1;

    for (i = 0; i < store && ngx_strcmp(ngx_http_clerk_auth_setting_name(i), name) != 0; i++) {
    }
    return i;
}

ngx_http_clerk_auth_setting_t *
ngx_http_clerk_auth_settings_create(ngx_pool_t *pool)
{
    return ngx_pcalloc(pool, ngx_http_clerk_auth_setting_count() * sizeof(ngx_http_clerk_auth_setting_t));
}

void
ngx_http_clerk_auth_settings_merge(ngx_http_clerk_auth_setting_t *parent, ngx_http_clerk_auth_setting_t *child)
{
    ngx_uint_t i;

    for (i = 0; i < ngx_http_clerk_auth_setting_count(); i++) {
        if (child[i].values == NULL) {
            child[i] = parent[i];
        }
    }
}

static clerk_str
ngx_http_clerk_auth_str(ngx_str_t *string)
{
    clerk_str view = { (const char *) string->data, string->len };
    return view;
}

static int32_t
ngx_http_clerk_auth_setting_apply(ngx_http_clerk_auth_setting_t *setting, const char *name, clerk_config *config,
    clerk_error **error)
{
    clerk_str view = clerk_str_of(name);
    ngx_uint_t i;
    int32_t status;

    if (!setting->is_list) {
        return clerk_config_set(config, view, ngx_http_clerk_auth_str(&setting->values[0]), error);
    }
    status = clerk_config_set(config, view, clerk_str_of(""), error);
    for (i = 0; i < setting->count && status == CLERK_OK; i++) {
        status = clerk_config_add(config, view, ngx_http_clerk_auth_str(&setting->values[i]), error);
    }
    return status;
}

/* Checks one setting by itself, so that the message names the line. */
static char *
ngx_http_clerk_auth_setting_check(ngx_conf_t *cf, ngx_http_clerk_auth_setting_t *setting, const char *name)
{
    clerk_error *error = NULL;
    clerk_config *config = clerk_config_new();
    clerk_str message;
    int32_t status;

    status = ngx_http_clerk_auth_setting_apply(setting, name, config, &error);
    clerk_config_free(config);
    if (status == CLERK_OK) {
        return NGX_CONF_OK;
    }
    message = clerk_error_message(error);
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\": %*s", &setting->directive, message.len, message.data);
    clerk_error_free(error);
    return NGX_CONF_ERROR;
}

static ngx_http_clerk_auth_setting_t *
ngx_http_clerk_auth_setting_take(ngx_conf_t *cf, void *conf, const char *name, ngx_uint_t count)
{
    ngx_http_clerk_auth_loc_conf_t *lcf = conf;
    ngx_http_clerk_auth_setting_t *setting;
    ngx_str_t *value = cf->args->elts;

    setting = &lcf->settings[ngx_http_clerk_auth_setting_number(name)];
    if (setting->values != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" is duplicate: it was set by \"%V\"", &value[0],
            &setting->directive);
        return NULL;
    }
    setting->values = ngx_pcalloc(cf->pool, count * sizeof(ngx_str_t));
    setting->count = count;
    setting->directive = value[0];
    setting->file = cf->conf_file->file.name;
    setting->line = cf->conf_file->line;
    return setting->values == NULL ? NULL : setting;
}

static char *
ngx_http_clerk_auth_setting_put(ngx_conf_t *cf, void *conf, const char *name, ngx_str_t *in, ngx_uint_t count,
    ngx_uint_t is_list)
{
    ngx_http_clerk_auth_setting_t *setting;
    ngx_uint_t i;

    setting = ngx_http_clerk_auth_setting_take(cf, conf, name, count);
    if (setting == NULL) {
        return NGX_CONF_ERROR;
    }
    setting->is_list = is_list;
    for (i = 0; i < count; i++) {
        if (ngx_http_clerk_auth_read_value(cf, &in[i], &setting->values[i]) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }
    return ngx_http_clerk_auth_setting_check(cf, setting, name);
}

char *
ngx_http_clerk_auth_set_value(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t *value = cf->args->elts;

    return ngx_http_clerk_auth_setting_put(cf, conf, cmd->post, &value[1], 1, 0);
}

char *
ngx_http_clerk_auth_set_list(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t *value = cf->args->elts;

    return ngx_http_clerk_auth_setting_put(cf, conf, cmd->post, &value[1], cf->args->nelts - 1, 1);
}

/* Several names of a closed list. */
char *
ngx_http_clerk_auth_set_words(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t *value = cf->args->elts, joined;
    ngx_uint_t i;
    size_t size = 0;
    u_char *p;

    for (i = 1; i < cf->args->nelts; i++) {
        size += value[i].len + 1;
    }
    joined.data = p = ngx_pnalloc(cf->pool, size);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }
    for (i = 1; i < cf->args->nelts; i++) {
        p = ngx_cpymem(p, value[i].data, value[i].len);
        *p++ = ',';
    }
    joined.len = size - 1;
    return ngx_http_clerk_auth_setting_put(cf, conf, cmd->post, &joined, 1, 0);
}

char *
ngx_http_clerk_auth_set_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_clerk_auth_setting_t *setting;
    ngx_str_t *value = cf->args->elts;

    setting = ngx_http_clerk_auth_setting_take(cf, conf, cmd->post, 1);
    if (setting == NULL || ngx_http_clerk_auth_read_file(cf, &value[1], &setting->values[0]) != NGX_OK) {
        return NGX_CONF_ERROR;
    }
    return ngx_http_clerk_auth_setting_check(cf, setting, cmd->post);
}

static char *
ngx_http_clerk_auth_setting_number_put(ngx_conf_t *cf, void *conf, const char *name, ngx_int_t number)
{
    ngx_str_t digits;

    digits.data = ngx_pnalloc(cf->pool, NGX_INT_T_LEN);
    if (digits.data == NULL) {
        return NGX_CONF_ERROR;
    }
    digits.len = ngx_sprintf(digits.data, "%i", number) - digits.data;
    return ngx_http_clerk_auth_setting_put(cf, conf, name, &digits, 1, 0);
}

char *
ngx_http_clerk_auth_set_msec(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t *value = cf->args->elts;
    ngx_int_t msec = ngx_parse_time(&value[1], 0);

    if (msec == NGX_ERROR) {
        return "takes a time, such as 3s or 500ms";
    }
    return ngx_http_clerk_auth_setting_number_put(cf, conf, cmd->post, msec);
}

/* `entries=N`, `ttl=TIME`, or `off`. */
char *
ngx_http_clerk_auth_set_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t *value = cf->args->elts, rest;
    ngx_uint_t i;
    ngx_int_t number;
    char *rv = NGX_CONF_OK;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return ngx_http_clerk_auth_setting_number_put(cf, conf, "cache_ttl_s", 0);
    }
    for (i = 1; i < cf->args->nelts && rv == NGX_CONF_OK; i++) {
        if (ngx_strncmp(value[i].data, "entries=", 8) == 0) {
            number = ngx_atoi(value[i].data + 8, value[i].len - 8);
            rv = ngx_http_clerk_auth_setting_number_put(cf, conf, "cache_capacity", number);
        } else if (ngx_strncmp(value[i].data, "ttl=", 4) == 0) {
            rest.data = value[i].data + 4;
            rest.len = value[i].len - 4;
            number = ngx_parse_time(&rest, 1);
            rv = ngx_http_clerk_auth_setting_number_put(cf, conf, "cache_ttl_s", number);
        } else {
            return "takes \"entries=number\", \"ttl=time\" or \"off\"";
        }
    }
    return rv;
}

/* `on` or `off`, as a value of the setting. */
static char *
ngx_http_clerk_auth_set_switch(ngx_conf_t *cf, void *conf, const char *name, const char *on, const char *off)
{
    ngx_str_t *value = cf->args->elts, chosen;

    if (ngx_strcmp(value[1].data, "on") == 0) {
        chosen.data = (u_char *) on;
    } else if (ngx_strcmp(value[1].data, "off") == 0) {
        chosen.data = (u_char *) off;
    } else {
        return "takes \"on\" or \"off\"";
    }
    chosen.len = ngx_strlen(chosen.data);
    /* Values are wiped with the configuration. */
    chosen.data = ngx_pstrdup(cf->pool, &chosen);
    return chosen.data == NULL ? NGX_CONF_ERROR : ngx_http_clerk_auth_setting_put(cf, conf, name, &chosen, 1, 0);
}

char *
ngx_http_clerk_auth_set_csrf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_clerk_auth_set_switch(cf, conf, cmd->post, "check", "off");
}

char *
ngx_http_clerk_auth_set_pages(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_clerk_auth_set_switch(cf, conf, cmd->post, "on", "off");
}

char *
ngx_http_clerk_auth_set_fetch_user(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_clerk_auth_set_switch(cf, conf, cmd->post, "profile", "claims");
}

/* `sqlite:PATH`, the URL of a database server, or `off`. Opened by the workers, with their user. */
char *
ngx_http_clerk_auth_set_user_store(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_clerk_auth_setting_t *setting;
    ngx_str_t *value = cf->args->elts, path;

    setting = ngx_http_clerk_auth_setting_take(cf, conf, "", 1);
    if (setting == NULL) {
        return NGX_CONF_ERROR;
    }
    if (ngx_strcmp(value[1].data, "off") == 0) {
        ngx_str_null(&setting->values[0]);
        return NGX_CONF_OK;
    }
    if (ngx_strncmp(value[1].data, "postgres://", 11) == 0 || ngx_strncmp(value[1].data, "postgresql://", 13) == 0
        || ngx_strncmp(value[1].data, "mysql://", 8) == 0)
    {
        setting->values[0] = value[1];
        return NGX_CONF_OK;
    }
    if (value[1].len <= 7 || ngx_strncmp(value[1].data, "sqlite:", 7) != 0) {
        return "takes \"sqlite:path\", \"postgres://...\", \"mysql://...\" or \"off\"";
    }
    path.data = value[1].data + 7;
    path.len = value[1].len - 7;
    if (ngx_conf_full_name(cf->cycle, &path, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }
    setting->values[0].len = 7 + path.len;
    setting->values[0].data = ngx_pnalloc(cf->pool, setting->values[0].len + 1);
    if (setting->values[0].data == NULL) {
        return NGX_CONF_ERROR;
    }
    ngx_sprintf(setting->values[0].data, "sqlite:%V%Z", &path);
    return NGX_CONF_OK;
}

char *
ngx_http_clerk_auth_set_setting(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t *value = cf->args->elts;
    const char *name = (const char *) value[1].data;

    if (value[1].len == 0 || ngx_http_clerk_auth_setting_name(ngx_http_clerk_auth_setting_number(name)) == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"clerk_auth_setting\": unknown setting \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }
    return ngx_http_clerk_auth_setting_put(cf, conf, name, &value[2], 1, 0);
}

/* The URL of the key set, from a publishable key ("pk_test_" and the base64 of the host and "$"). */
static ngx_int_t
ngx_http_clerk_auth_jwks_url(ngx_str_t *key, u_char *url, size_t size)
{
    ngx_str_t encoded, host;
    u_char buffer[512];

    if (key->len <= 8 || key->len > 512 || ngx_strncmp(key->data, "pk_", 3) != 0) {
        return NGX_DECLINED;
    }
    encoded.data = key->data + 8;
    encoded.len = key->len - 8;
    host.data = buffer;
    if (ngx_decode_base64(&host, &encoded) != NGX_OK || host.len < 2 || host.data[host.len - 1] != '$') {
        return NGX_DECLINED;
    }
    host.len--;
    *ngx_snprintf(url, size - 1, "https://%V/.well-known/jwks.json", &host) = '\0';
    return NGX_OK;
}

/* Writes all settings into `config`. On failure `*wrong` is the setting, if known. */
ngx_int_t
ngx_http_clerk_auth_settings_apply(ngx_http_clerk_auth_client_t *client, clerk_config *config, ngx_uint_t with_store,
    clerk_error **error, ngx_http_clerk_auth_setting_t **wrong)
{
    ngx_http_clerk_auth_setting_t *settings = client->settings, *key;
    ngx_uint_t i, store = ngx_http_clerk_auth_setting_count() - 1;
    int32_t status;
    u_char url[1024];
    clerk_str mode;

#define NGX_HTTP_CLERK_AUTH_IS_SET(name) (settings[ngx_http_clerk_auth_setting_number(name)].values != NULL)
    /* A session token is valid for a minute, and systemd waits five seconds for a server to stop. */
    if (clerk_config_set_int(config, CLERK_STR("cache_ttl_s"), 60, error) != CLERK_OK
        || clerk_config_set_int(config, CLERK_STR("timeout_ms"), NGX_HTTP_CLERK_AUTH_TIMEOUT, error) != CLERK_OK
        || clerk_config_set(config, CLERK_STR("csrf"), CLERK_STR("check"), error) != CLERK_OK)
    {
        return NGX_ERROR;
    }
    for (i = 0; i < store; i++) {
        if (settings[i].values == NULL) {
            continue;
        }
        *wrong = &settings[i];
        status = ngx_http_clerk_auth_setting_apply(&settings[i], ngx_http_clerk_auth_setting_name(i), config, error);
        if (status != CLERK_OK) {
            return NGX_ERROR;
        }
    }
    key = &settings[ngx_http_clerk_auth_setting_number("publishable_key")];
    if (key->values != NULL && !NGX_HTTP_CLERK_AUTH_IS_SET("secret_key") && !NGX_HTTP_CLERK_AUTH_IS_SET("jwt_key")
        && !NGX_HTTP_CLERK_AUTH_IS_SET("jwks") && !NGX_HTTP_CLERK_AUTH_IS_SET("jwks_url")
        && ngx_http_clerk_auth_jwks_url(&key->values[0], url, sizeof(url)) == NGX_OK)
    {
        *wrong = key;
        if (clerk_config_set(config, CLERK_STR("jwks_url"), clerk_str_of((char *) url), error) != CLERK_OK) {
            return NGX_ERROR;
        }
    }
    if (settings[store].values != NULL && settings[store].values[0].len > 0) {
        *wrong = &settings[store];
        /* Without the store, a mode that needs the same settings. */
        mode = with_store ? clerk_str_of("sync") : clerk_str_of("profile");
        if (clerk_config_set(config, CLERK_STR("user_mode"), mode, error) != CLERK_OK
            || (with_store
                && clerk_config_set_database(config, ngx_http_clerk_auth_str(&settings[store].values[0]), error)
                       != CLERK_OK))
        {
            return NGX_ERROR;
        }
    }
    *wrong = NULL;
    return NGX_OK;
}

static ngx_uint_t
ngx_http_clerk_auth_settings_equal(ngx_http_clerk_auth_setting_t *a, ngx_http_clerk_auth_setting_t *b)
{
    ngx_uint_t i, j;

    for (i = 0; i < ngx_http_clerk_auth_setting_count(); i++) {
        if (a[i].values == b[i].values) {
            continue;
        }
        if (a[i].values == NULL || b[i].values == NULL || a[i].count != b[i].count) {
            return 0;
        }
        for (j = 0; j < a[i].count; j++) {
            if (a[i].values[j].len != b[i].values[j].len
                || ngx_memcmp(a[i].values[j].data, b[i].values[j].data, a[i].values[j].len) != 0)
            {
                return 0;
            }
        }
    }
    return 1;
}

static ngx_uint_t
ngx_http_clerk_auth_setting_is(ngx_http_clerk_auth_setting_t *settings, const char *name, const char *value)
{
    ngx_http_clerk_auth_setting_t *setting = &settings[ngx_http_clerk_auth_setting_number(name)];

    return setting->values != NULL && setting->count == 1 && setting->values[0].len == ngx_strlen(value)
           && ngx_memcmp(setting->values[0].data, value, setting->values[0].len) == 0;
}

static ngx_uint_t
ngx_http_clerk_auth_setting_has_value(ngx_http_clerk_auth_setting_t *settings, const char *name)
{
    ngx_http_clerk_auth_setting_t *setting = &settings[ngx_http_clerk_auth_setting_number(name)];
    ngx_uint_t i;

    for (i = 0; setting->values != NULL && i < setting->count; i++) {
        if (setting->values[i].len > 0) {
            return 1;
        }
    }
    return 0;
}

/* What the browser handshake needs to know of the settings. */
static char *
ngx_http_clerk_auth_settings_pages(ngx_conf_t *cf, ngx_http_clerk_auth_client_t *client)
{
    ngx_http_clerk_auth_setting_t *settings = client->settings, *forwarded;

    client->has_pages = ngx_http_clerk_auth_setting_is(settings, "handshake", "on");
    client->checks_host = !ngx_http_clerk_auth_setting_has_value(settings, "public_origin")
                          && !ngx_http_clerk_auth_setting_has_value(settings, "authorized_parties");
    if (client->has_pages && client->checks_host) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
            "\"clerk_auth_pages\" without \"clerk_auth_public_origin\": browsers are sent back to the names of \"server_name\" only");
    }
    if (!client->has_pages || !client->checks_host || !ngx_http_clerk_auth_setting_has_value(settings, "trust_forwarded")
        || ngx_http_clerk_auth_setting_is(settings, "trust_forwarded", "false")
        || ngx_http_clerk_auth_setting_is(settings, "trust_forwarded", "0"))
    {
        return NGX_CONF_OK;
    }
    /* The host of a proxy's header cannot be compared with `server_name`. */
    forwarded = &settings[ngx_http_clerk_auth_setting_number("trust_forwarded")];
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
        "\"%V\": trust_forwarded with \"clerk_auth_pages\" needs \"clerk_auth_public_origin\" in %V:%ui",
        &forwarded->directive, &forwarded->file, forwarded->line);
    return NGX_CONF_ERROR;
}

ngx_http_clerk_auth_client_t *
ngx_http_clerk_auth_settings_intern(ngx_conf_t *cf, ngx_http_clerk_auth_main_conf_t *mcf,
    ngx_http_clerk_auth_setting_t *settings)
{
    ngx_http_clerk_auth_client_t **known = mcf->clients.elts, **place, *client;
    ngx_http_clerk_auth_setting_t *timeout;
    ngx_uint_t i;

    for (i = 0; i < mcf->clients.nelts; i++) {
        if (ngx_http_clerk_auth_settings_equal(known[i]->settings, settings)) {
            return known[i];
        }
    }
    client = ngx_pcalloc(cf->pool, sizeof(ngx_http_clerk_auth_client_t));
    place = ngx_array_push(&mcf->clients);
    if (client == NULL || place == NULL) {
        return NULL;
    }
    *place = client;
    client->settings = settings;
    client->number = mcf->clients.nelts;
    timeout = &settings[ngx_http_clerk_auth_setting_number("timeout_ms")];
    client->timeout = timeout->values == NULL ? NGX_ERROR : ngx_atoi(timeout->values[0].data, timeout->values[0].len);
    client->timeout = client->timeout == NGX_ERROR ? NGX_HTTP_CLERK_AUTH_TIMEOUT : client->timeout;
    client->secrets = &settings[ngx_http_clerk_auth_setting_number("webhook_secrets")];
    if (ngx_http_clerk_auth_settings_pages(cf, client) != NGX_CONF_OK) {
        return NULL;
    }
    return ngx_http_clerk_auth_client_check(cf, client) == NGX_CONF_OK ? client : NULL;
}
