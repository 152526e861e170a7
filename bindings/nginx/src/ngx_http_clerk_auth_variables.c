/* $clerk_*: never cached by nginx, since subrequests share the cache of the main request. */

#include "ngx_http_clerk_auth.h"

enum {
    NGX_HTTP_CLERK_AUTH_VAR_STATUS = 100,
    NGX_HTTP_CLERK_AUTH_VAR_REASON,
    NGX_HTTP_CLERK_AUTH_VAR_CACHE,
    NGX_HTTP_CLERK_AUTH_VAR_EXP,
    NGX_HTTP_CLERK_AUTH_VAR_USER_ID,
    NGX_HTTP_CLERK_AUTH_VAR_RETURN_URL
};

static ngx_int_t ngx_http_clerk_auth_get_attribute(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_clerk_auth_get_other(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_clerk_auth_get_named_claim(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);

static ngx_http_variable_t ngx_http_clerk_auth_variables[] = {
#define ATTRIBUTE(name, which) \
    { ngx_string(name), NULL, ngx_http_clerk_auth_get_attribute, which, NGX_HTTP_VAR_NOCACHEABLE, 0 }
#define OTHER(name, which) { ngx_string(name), NULL, ngx_http_clerk_auth_get_other, which, NGX_HTTP_VAR_NOCACHEABLE, 0 }
    OTHER("clerk_status", NGX_HTTP_CLERK_AUTH_VAR_STATUS),
    OTHER("clerk_reason", NGX_HTTP_CLERK_AUTH_VAR_REASON),
    OTHER("clerk_cache", NGX_HTTP_CLERK_AUTH_VAR_CACHE),
    OTHER("clerk_exp", NGX_HTTP_CLERK_AUTH_VAR_EXP),
    OTHER("clerk_user_id", NGX_HTTP_CLERK_AUTH_VAR_USER_ID),
    OTHER("clerk_return_url", NGX_HTTP_CLERK_AUTH_VAR_RETURN_URL),
    ATTRIBUTE("clerk_subject", CLERK_ATTRIBUTE_SUBJECT),
    ATTRIBUTE("clerk_local_user_id", CLERK_ATTRIBUTE_USER_KEY),
    ATTRIBUTE("clerk_session_id", CLERK_ATTRIBUTE_SESSION_ID),
    ATTRIBUTE("clerk_org_id", CLERK_ATTRIBUTE_ORG_ID),
    ATTRIBUTE("clerk_org_slug", CLERK_ATTRIBUTE_ORG_SLUG),
    ATTRIBUTE("clerk_org_role", CLERK_ATTRIBUTE_ORG_ROLE),
    ATTRIBUTE("clerk_org_permissions", CLERK_ATTRIBUTE_ORG_PERMISSIONS),
    ATTRIBUTE("clerk_azp", CLERK_ATTRIBUTE_AUTHORIZED_PARTY),
    ATTRIBUTE("clerk_email", CLERK_ATTRIBUTE_EMAIL),
    ATTRIBUTE("clerk_username", CLERK_ATTRIBUTE_USERNAME),
    ATTRIBUTE("clerk_scopes", CLERK_ATTRIBUTE_SCOPES),
    ATTRIBUTE("clerk_claims", CLERK_ATTRIBUTE_CLAIMS),
    { ngx_string("clerk_claim_"), NULL, ngx_http_clerk_auth_get_named_claim, 0,
      NGX_HTTP_VAR_NOCACHEABLE|NGX_HTTP_VAR_PREFIX, 0 },
    ngx_http_null_variable
};

/* Static strings, for logs and responses. */
const char *
ngx_http_clerk_auth_reason(ngx_http_clerk_auth_ctx_t *ctx)
{
    if (ctx->refusal != NULL) {
        return ctx->refusal;
    }
    return ctx->result != NULL ? clerk_result_reason_name(ctx->result) : "internal-error";
}

const char *
ngx_http_clerk_auth_status_name(ngx_http_clerk_auth_ctx_t *ctx)
{
    switch (ctx->status) {
    case CLERK_OK:
        return "signed-in";
    case CLERK_NO_CREDENTIALS:
        return "signed-out";
    case CLERK_SIGNED_OUT:
        return "invalid";
    default:
        return "unavailable";
    }
}

static ngx_int_t
ngx_http_clerk_auth_variable_value(ngx_http_variable_value_t *v, const void *data, size_t len)
{
    v->data = (u_char *) data;
    v->len = len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    return NGX_OK;
}

static ngx_int_t
ngx_http_clerk_auth_not_found(ngx_http_variable_value_t *v)
{
    v->not_found = 1;
    return NGX_OK;
}

static ngx_int_t
ngx_http_clerk_auth_get_attribute(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_clerk_auth_ctx_t *ctx = ngx_http_clerk_auth_find_ctx(r);
    clerk_str value;
    size_t i;

    if (ctx == NULL || ctx->status != CLERK_OK) {
        return ngx_http_clerk_auth_not_found(v);
    }
    value = clerk_result_get(ctx->result, (int32_t) data);
    for (i = 0; i < value.len; i++) {
        if ((u_char) value.data[i] < 0x20 || value.data[i] == 0x7f) {
            /* It would split a header that contains it. */
            return ngx_http_clerk_auth_not_found(v);
        }
    }
    return value.data == NULL ? ngx_http_clerk_auth_not_found(v)
                              : ngx_http_clerk_auth_variable_value(v, value.data, value.len);
}

static ngx_int_t
ngx_http_clerk_auth_get_other(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    static const char *caches[] = { "", "hit", "miss", "offload" };
    ngx_http_clerk_auth_ctx_t *ctx = ngx_http_clerk_auth_find_ctx(r);
    const char *word = NULL;
    clerk_str value;
    ngx_str_t url;
    u_char *p;

    if (data == NGX_HTTP_CLERK_AUTH_VAR_RETURN_URL) {
        if (ngx_http_clerk_auth_return_url(r, &url) != NGX_OK) {
            return NGX_ERROR;
        }
        return ngx_http_clerk_auth_variable_value(v, url.data, url.len);
    }
    if (ctx == NULL) {
        return ngx_http_clerk_auth_not_found(v);
    }
    switch (data) {
    case NGX_HTTP_CLERK_AUTH_VAR_STATUS:
        word = ngx_http_clerk_auth_status_name(ctx);
        break;
    case NGX_HTTP_CLERK_AUTH_VAR_REASON:
        word = ctx->status == CLERK_OK && ctx->refusal == NULL ? "" : ngx_http_clerk_auth_reason(ctx);
        break;
    case NGX_HTTP_CLERK_AUTH_VAR_CACHE:
        word = caches[ctx->cache];
        break;
    case NGX_HTTP_CLERK_AUTH_VAR_USER_ID:
        value = clerk_result_user_id(ctx->result);
        return value.data == NULL ? ngx_http_clerk_auth_not_found(v)
                                  : ngx_http_clerk_auth_variable_value(v, value.data, value.len);
    default:
        if (clerk_result_expires_at_ms(ctx->result) == 0) {
            return ngx_http_clerk_auth_not_found(v);
        }
        p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }
        return ngx_http_clerk_auth_variable_value(v, p,
            ngx_sprintf(p, "%L", clerk_result_expires_at_ms(ctx->result) / 1000) - p);
    }
    return *word == '\0' ? ngx_http_clerk_auth_not_found(v) : ngx_http_clerk_auth_variable_value(v, word, ngx_strlen(word));
}

/* `path` is a claim's name or a JSON pointer. */
static ngx_int_t
ngx_http_clerk_auth_claim_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, ngx_str_t *path)
{
    ngx_http_clerk_auth_ctx_t *ctx = ngx_http_clerk_auth_find_ctx(r);
    clerk_str name = { (const char *) path->data, path->len };
    ngx_str_t json, value;
    size_t needed = 0;
    ngx_int_t rc;

    if (ctx == NULL || ctx->status != CLERK_OK
        || clerk_result_claim(ctx->result, name, NULL, 0, &needed) != CLERK_E_ARGUMENT || needed == 0)
    {
        return ngx_http_clerk_auth_not_found(v);
    }
    json.data = ngx_pnalloc(r->pool, needed + 1);
    if (json.data == NULL) {
        return NGX_ERROR;
    }
    if (clerk_result_claim(ctx->result, name, (char *) json.data, needed + 1, &json.len) != CLERK_OK) {
        return ngx_http_clerk_auth_not_found(v);
    }
    rc = ngx_http_clerk_auth_claim_value(r->pool, &json, &value);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }
    return rc == NGX_OK ? ngx_http_clerk_auth_variable_value(v, value.data, value.len) : ngx_http_clerk_auth_not_found(v);
}

static ngx_int_t
ngx_http_clerk_auth_get_named_claim(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    static const size_t prefix = sizeof("clerk_claim_") - 1;
    ngx_str_t *variable = (ngx_str_t *) data, name;

    name.data = variable->data + prefix;
    name.len = variable->len - prefix;
    return name.len == 0 ? ngx_http_clerk_auth_not_found(v) : ngx_http_clerk_auth_claim_variable(r, v, &name);
}

static ngx_int_t
ngx_http_clerk_auth_get_pointed_claim(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    return ngx_http_clerk_auth_claim_variable(r, v, (ngx_str_t *) data);
}

/*
 * The URL of the request, percent-encoded, for the query of a sign-in page. In an endpoint for forward authentication, the
 * URL in the proxy's headers.
 */
ngx_int_t
ngx_http_clerk_auth_return_url(ngx_http_request_t *r, ngx_str_t *url)
{
    ngx_http_clerk_auth_loc_conf_t *lcf = ngx_http_get_module_loc_conf(r, ngx_http_clerk_auth_module);
    static const char *names[] = { "x-forwarded-proto", "x-forwarded-host", "x-forwarded-uri" };
    ngx_str_t parts[3], plain;
    ngx_table_elt_t *h;
    ngx_uint_t i;
    u_char *p;

    ngx_str_set(&parts[0], "http");
#if (NGX_HTTP_SSL)
    if (r->connection->ssl) {
        ngx_str_set(&parts[0], "https");
    }
#endif
    parts[1] = r->headers_in.host != NULL ? r->headers_in.host->value : r->headers_in.server;
    parts[2] = r->main->unparsed_uri;
    for (i = 0; lcf->serves == NGX_HTTP_CLERK_AUTH_SERVES_ENDPOINT && i < 3; i++) {
        h = ngx_http_clerk_auth_find_header(r, names[i], NULL);
        if (h != NULL) {
            parts[i] = h->value;
        }
    }
    plain.len = parts[0].len + parts[1].len + parts[2].len + 3;
    plain.data = ngx_pnalloc(r->pool, plain.len);
    url->data = ngx_pnalloc(r->pool, 3 * plain.len);
    if (plain.data == NULL || url->data == NULL) {
        return NGX_ERROR;
    }
    ngx_sprintf(plain.data, "%V://%V%V", &parts[0], &parts[1], &parts[2]);
    p = (u_char *) ngx_escape_uri(url->data, plain.data, plain.len, NGX_ESCAPE_URI_COMPONENT);
    url->len = p - url->data;
    return NGX_OK;
}

ngx_int_t
ngx_http_clerk_auth_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t *row, *added;

    for (row = ngx_http_clerk_auth_variables; row->name.len > 0; row++) {
        added = ngx_http_add_variable(cf, &row->name, row->flags);
        if (added == NULL) {
            return NGX_ERROR;
        }
        added->get_handler = row->get_handler;
        added->data = row->data;
    }
    return NGX_OK;
}

/* `clerk_auth_set $variable claim.path`: the path becomes a JSON pointer. */
char *
ngx_http_clerk_auth_set_variable(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t *value = cf->args->elts, name, *pointer;
    ngx_http_variable_t *added;
    size_t i;
    u_char *p;

    if (value[1].len < 2 || value[1].data[0] != '$') {
        return "takes a variable and the path of a claim";
    }
    name.data = value[1].data + 1;
    name.len = value[1].len - 1;
    if (value[2].len == 0 || value[2].data[0] == '.' || value[2].data[value[2].len - 1] == '.') {
        return "takes the path of a claim, such as sub or metadata.plan";
    }
    pointer = ngx_palloc(cf->pool, sizeof(ngx_str_t));
    p = ngx_pnalloc(cf->pool, 2 * value[2].len + 1);
    added = ngx_http_add_variable(cf, &name, NGX_HTTP_VAR_NOCACHEABLE);
    if (pointer == NULL || p == NULL || added == NULL) {
        return NGX_CONF_ERROR;
    }
    pointer->data = p;
    *p++ = '/';
    for (i = 0; i < value[2].len; i++) {
        switch (value[2].data[i]) {
        case '.':
            *p++ = '/';
            break;
        case '~':
            p = ngx_cpymem(p, "~0", 2);
            break;
        case '/':
            p = ngx_cpymem(p, "~1", 2);
            break;
        default:
            *p++ = value[2].data[i];
        }
    }
    pointer->len = p - pointer->data;
    added->get_handler = ngx_http_clerk_auth_get_pointed_claim;
    added->data = (uintptr_t) pointer;
    return NGX_CONF_OK;
}
