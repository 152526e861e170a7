/* Directives for locations. */

#include "ngx_http_clerk_auth.h"

/* Like nginx's own function, with the directive in the message. */
char *
ngx_http_clerk_auth_set_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_uint_t *place = (ngx_uint_t *) ((char *) conf + cmd->offset);
    ngx_str_t *value = cf->args->elts;
    ngx_conf_enum_t *e;

    if (*place != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }
    for (e = cmd->post; e->name.len > 0; e++) {
        if (e->name.len == value[1].len && ngx_strcmp(e->name.data, value[1].data) == 0) {
            *place = e->value;
            return NGX_CONF_OK;
        }
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\" in \"%V\" directive", &value[1], &value[0]);
    return NGX_CONF_ERROR;
}

static ngx_int_t
ngx_http_clerk_auth_compile(ngx_conf_t *cf, ngx_str_t *value, ngx_http_complex_value_t *compiled)
{
    ngx_http_compile_complex_value_t ccv;

    ngx_memzero(&ccv, sizeof(ccv));
    ccv.cf = cf;
    ccv.value = value;
    ccv.complex_value = compiled;
    return ngx_http_compile_complex_value(&ccv);
}

/* Browsers of other sites cannot send a header or an argument with a token; what any other variable holds may be a cookie. */
static ngx_uint_t
ngx_http_clerk_auth_is_bearer(ngx_str_t *variable)
{
    ngx_str_t name = { variable->len - 1, variable->data + 1 };
    size_t i;

    if (name.len > 2 && name.data[0] == '{' && name.data[name.len - 1] == '}') {
        name.data++;
        name.len -= 2;
    }
    for (i = 0; i < name.len; i++) {
        if (!((name.data[i] >= 'a' && name.data[i] <= 'z') || (name.data[i] >= 'A' && name.data[i] <= 'Z')
              || (name.data[i] >= '0' && name.data[i] <= '9') || name.data[i] == '_'))
        {
            return 0;
        }
    }
    if (name.len == 11 && ngx_strncasecmp(name.data, (u_char *) "http_cookie", 11) == 0) {
        return 0;
    }
    return (name.len > 5 && ngx_strncasecmp(name.data, (u_char *) "http_", 5) == 0)
           || (name.len > 4 && ngx_strncasecmp(name.data, (u_char *) "arg_", 4) == 0);
}

char *
ngx_http_clerk_auth_set_token_source(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_clerk_auth_loc_conf_t *lcf = conf;
    ngx_str_t *value = cf->args->elts;
    ngx_uint_t i, bit;

    if (lcf->token_source != 0 || lcf->token != NULL) {
        return "is duplicate";
    }
    if (cf->args->nelts == 2 && value[1].len > 1 && value[1].data[0] == '$') {
        lcf->token = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
        if (lcf->token == NULL || ngx_http_clerk_auth_compile(cf, &value[1], lcf->token) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
        lcf->token_is_cookie = !ngx_http_clerk_auth_is_bearer(&value[1]);
        return NGX_CONF_OK;
    }
    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_strcmp(value[i].data, "header") == 0) {
            bit = NGX_HTTP_CLERK_AUTH_FROM_HEADER;
        } else if (ngx_strcmp(value[i].data, "cookie") == 0) {
            bit = NGX_HTTP_CLERK_AUTH_FROM_COOKIE;
        } else {
            return "takes \"header\", \"cookie\", both, or one variable";
        }
        if (lcf->token_source & bit) {
            return "names a source twice";
        }
        lcf->token_source |= bit;
    }
    return NGX_CONF_OK;
}

char *
ngx_http_clerk_auth_set_require(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_clerk_auth_loc_conf_t *lcf = conf;
    ngx_http_clerk_auth_require_t *require;
    ngx_http_complex_value_t *compiled;
    ngx_str_t *value = cf->args->elts;
    ngx_uint_t i, last = cf->args->nelts - 1;

    if (lcf->require == NULL) {
        lcf->require = ngx_array_create(cf->pool, 2, sizeof(ngx_http_clerk_auth_require_t));
        if (lcf->require == NULL) {
            return NGX_CONF_ERROR;
        }
    }
    require = ngx_array_push(lcf->require);
    if (require == NULL || ngx_array_init(&require->values, cf->pool, last, sizeof(*compiled)) != NGX_OK) {
        return NGX_CONF_ERROR;
    }
    require->error = NGX_HTTP_FORBIDDEN;
    if (ngx_strncmp(value[last].data, "error=", 6) == 0) {
        if (ngx_strcmp(value[last].data + 6, "401") == 0) {
            require->error = NGX_HTTP_UNAUTHORIZED;
        } else if (ngx_strcmp(value[last].data + 6, "403") != 0) {
            return "takes \"error=401\" or \"error=403\"";
        }
        last--;
    }
    if (last == 0) {
        return "needs at least one variable";
    }
    for (i = 1; i <= last; i++) {
        compiled = ngx_array_push(&require->values);
        if (compiled == NULL || ngx_http_clerk_auth_compile(cf, &value[i], compiled) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
        if (compiled->lengths == NULL) {
            return "takes variables; a constant is either always or never fulfilled";
        }
    }
    return NGX_CONF_OK;
}

char *
ngx_http_clerk_auth_set_check(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_clerk_auth_check_t *check = (ngx_http_clerk_auth_check_t *) ((char *) conf + cmd->offset);
    ngx_str_t *value = cf->args->elts, *name;
    ngx_array_t *group;
    ngx_uint_t i;

    if (check->groups == NULL) {
        check->groups = ngx_array_create(cf->pool, 2, sizeof(ngx_array_t));
        if (check->groups == NULL) {
            return NGX_CONF_ERROR;
        }
    }
    group = ngx_array_push(check->groups);
    if (group == NULL || ngx_array_init(group, cf->pool, cf->args->nelts, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_CONF_ERROR;
    }
    for (i = 1; i < cf->args->nelts; i++) {
        if (value[i].len == 0) {
            return "takes no empty value";
        }
        name = ngx_array_push(group);
        if (name == NULL) {
            return NGX_CONF_ERROR;
        }
        *name = value[i];
    }
    return NGX_CONF_OK;
}

char *
ngx_http_clerk_auth_set_www_authenticate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_clerk_auth_loc_conf_t *lcf = conf;
    ngx_str_t *value = cf->args->elts;

    if (lcf->www_authenticate != NGX_CONF_UNSET) {
        return "is duplicate";
    }
    lcf->www_authenticate = ngx_strcmp(value[1].data, "off") != 0;
    if (lcf->www_authenticate && ngx_strcmp(value[1].data, "on") != 0) {
        lcf->challenge = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
        if (lcf->challenge == NULL || ngx_http_clerk_auth_compile(cf, &value[1], lcf->challenge) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }
    return NGX_CONF_OK;
}

char *
ngx_http_clerk_auth_set_thread_pool(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_clerk_auth_loc_conf_t *lcf = conf;
    ngx_str_t *value = cf->args->elts;

    if (lcf->thread_pool != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }
    lcf->thread_pool = ngx_thread_pool_add(cf, &value[1]);
    return lcf->thread_pool == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}

char *
ngx_http_clerk_auth_set_serves(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_clerk_auth_loc_conf_t *lcf = conf;
    ngx_http_core_loc_conf_t *clcf;
    ngx_str_t *value = cf->args->elts;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    if (lcf->serves != NGX_HTTP_CLERK_AUTH_SERVES_NOTHING || clcf->handler != NULL) {
        return "does not fit with what this location serves already";
    }
    if (cf->args->nelts == 2) {
        if (ngx_strcmp(value[1].data, "prometheus") == 0) {
            lcf->status_format = 1;
        } else if (ngx_strcmp(value[1].data, "text") != 0) {
            return "takes \"text\" or \"prometheus\"";
        }
    }
    lcf->serves = cmd->offset;
    clcf->handler = (ngx_http_handler_pt) cmd->post;
    return NGX_CONF_OK;
}
