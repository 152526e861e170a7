/* Rejections: status, challenge (RFC 6750 section 3), Retry-After, redirect to a sign-in page, log line. */

#include "ngx_http_clerk_auth.h"

/* Sets a response header once: a rejection after an internal redirect reuses the line of the first one. */
ngx_int_t
ngx_http_clerk_auth_set_header(ngx_http_request_t *r, ngx_table_elt_t **line, const char *name, ngx_str_t *value)
{
    ngx_table_elt_t *h = *line;

    if (h == NULL) {
        h = ngx_list_push(&r->headers_out.headers);
        if (h == NULL) {
            return NGX_ERROR;
        }
        *line = h;
        ngx_str_set(&h->key, "");
        h->key.data = (u_char *) name;
        h->key.len = ngx_strlen(name);
#if (nginx_version >= 1023000)
        h->next = NULL;
#endif
    }
    h->hash = 1;
    h->value = *value;
    return NGX_OK;
}

static ngx_uint_t
ngx_http_clerk_auth_is_printable(ngx_str_t *value)
{
    size_t i;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < 0x20 || value->data[i] == 0x7f) {
            return 0;
        }
    }
    return 1;
}

/* `Bearer realm="...", error="...", error_description="..."`; `error` and `reason` are static and safe. */
static ngx_int_t
ngx_http_clerk_auth_build_challenge(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf, const char *error,
    const char *reason, ngx_str_t *value)
{
    static ngx_str_t default_realm = ngx_string("clerk");
    ngx_str_t realm = default_realm;
    size_t i;
    u_char *p;

    if (lcf->challenge != NULL) {
        if (ngx_http_complex_value(r, lcf->challenge, value) != NGX_OK) {
            return NGX_ERROR;
        }
        if (!ngx_http_clerk_auth_is_printable(value)) {
            value->len = 0;
        }
        return NGX_OK;
    }
    if (lcf->realm != NULL && ngx_http_complex_value(r, lcf->realm, &realm) != NGX_OK) {
        return NGX_ERROR;
    }
    p = ngx_pnalloc(r->pool, 2 * realm.len + 256);
    if (p == NULL) {
        return NGX_ERROR;
    }
    value->data = p;
    p = ngx_cpymem(p, "Bearer realm=\"", 14);
    for (i = 0; i < realm.len; i++) {
        if (realm.data[i] == '"' || realm.data[i] == '\\') {
            *p++ = '\\';
        }
        *p++ = realm.data[i] < 0x20 || realm.data[i] > 0x7e ? '?' : realm.data[i];
    }
    *p++ = '"';
    if (error != NULL) {
        p = ngx_sprintf(p, ", error=\"%s\"", error);
        if (reason != NULL && *reason != '\0') {
            p = ngx_slprintf(p, p + 128, ", error_description=\"%s\"", reason);
        }
    }
    value->len = p - value->data;
    return NGX_OK;
}

static ngx_int_t
ngx_http_clerk_auth_add_challenge(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf,
    ngx_http_clerk_auth_ctx_t *ctx, const char *error, const char *reason)
{
    ngx_str_t value;

    if (!lcf->www_authenticate) {
        return NGX_OK;
    }
    if (ngx_http_clerk_auth_build_challenge(r, lcf, error, reason, &value) != NGX_OK) {
        return NGX_ERROR;
    }
    if (value.len == 0) {
        return NGX_OK;
    }
    if (ngx_http_clerk_auth_set_header(r, &ctx->challenge, "WWW-Authenticate", &value) != NGX_OK) {
        return NGX_ERROR;
    }
    /* `satisfy any` may remove it again. */
#if (nginx_version >= 1023000)
    if (ctx->challenge != r->headers_out.www_authenticate) {
        ctx->challenge->next = r->headers_out.www_authenticate;
    }
#endif
    r->headers_out.www_authenticate = ctx->challenge;
    return NGX_OK;
}

static ngx_int_t
ngx_http_clerk_auth_add_retry_after(ngx_http_request_t *r, ngx_http_clerk_auth_ctx_t *ctx)
{
    int64_t ms = clerk_result_retry_after_ms(ctx->result);
    ngx_str_t value;

    value.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }
    value.len = ngx_sprintf(value.data, "%L", ms > 1000 ? (ms + 999) / 1000 : (int64_t) 1) - value.data;
    return ngx_http_clerk_auth_set_header(r, &ctx->retry_after, "Retry-After", &value);
}

/* Returns whether a browser navigates to a page; false for requests of scripts. */
static ngx_uint_t
ngx_http_clerk_auth_is_page_request(ngx_http_request_t *r)
{
    ngx_table_elt_t *accept;

    if (r != r->main || !(r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD))) {
        return 0;
    }
    accept = ngx_http_clerk_auth_find_header(r, "accept", NULL);
    return accept != NULL && ngx_strlcasestrn(accept->value.data, accept->value.data + accept->value.len,
                                 (u_char *) "text/html", 9 - 1) != NULL;
}

static ngx_int_t
ngx_http_clerk_auth_redirect(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf, ngx_http_clerk_auth_ctx_t *ctx)
{
    ngx_http_core_loc_conf_t *clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    static ngx_str_t no_store = ngx_string("no-store");
    ngx_table_elt_t *location = NULL, *cache_control = NULL;
    ngx_str_t url;

    /* With `satisfy any` another module may still grant access. */
    if (lcf->login_redirect == NULL || clcf->satisfy == NGX_HTTP_SATISFY_ANY || !ngx_http_clerk_auth_is_page_request(r)
        || (lcf->client->has_pages && !ngx_http_clerk_auth_may_sign_in(ctx)))
    {
        return NGX_DECLINED;
    }
    if (ngx_http_complex_value(r, lcf->login_redirect, &url) != NGX_OK) {
        return NGX_ERROR;
    }
    if (url.len == 0 || !ngx_http_clerk_auth_is_printable(&url)) {
        return NGX_DECLINED;
    }
    /* The URL may contain the requested one. */
    if (ngx_http_clerk_auth_set_header(r, &location, "Location", &url) != NGX_OK
        || ngx_http_clerk_auth_set_header(r, &cache_control, "Cache-Control", &no_store) != NGX_OK)
    {
        return NGX_ERROR;
    }
    r->headers_out.location = location;
    return NGX_HTTP_MOVED_TEMPORARILY;
}

static void
ngx_http_clerk_auth_log_refusal(ngx_http_request_t *r, ngx_uint_t status, const char *reason)
{
    u_char line[128], *p;

    p = ngx_snprintf(line, sizeof(line), "rejected with %ui: %s", status, reason);
    ngx_http_clerk_auth_log_request(r, NGX_LOG_INFO, (const char *) line, p - line);
}

/* Returns the status to end the request with. `error` is NULL where RFC 6750 has no error code; `reason` is static. */
ngx_int_t
ngx_http_clerk_auth_refuse(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf, ngx_http_clerk_auth_ctx_t *ctx,
    ngx_uint_t status, const char *error, const char *reason)
{
    ngx_int_t rc;

    ngx_http_clerk_auth_log_refusal(r, status, reason);

    switch (status) {
    case NGX_HTTP_UNAUTHORIZED:
        rc = ngx_http_clerk_auth_redirect(r, lcf, ctx);
        if (rc != NGX_DECLINED) {
            return rc;
        }
        rc = ngx_http_clerk_auth_add_challenge(r, lcf, ctx, error, reason);
        break;
    case NGX_HTTP_FORBIDDEN:
        rc = error == NULL ? NGX_OK : ngx_http_clerk_auth_add_challenge(r, lcf, ctx, error, reason);
        break;
    case NGX_HTTP_SERVICE_UNAVAILABLE:
        rc = ngx_http_clerk_auth_add_retry_after(r, ctx);
        break;
    default:
        rc = NGX_OK;
    }
    return rc == NGX_OK ? (ngx_int_t) status : NGX_HTTP_INTERNAL_SERVER_ERROR;
}

/* Sends a complete response from memory; for content handlers. */
ngx_int_t
ngx_http_clerk_auth_send(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t *type, ngx_str_t *body)
{
    ngx_chain_t out;
    ngx_buf_t *b;
    ngx_int_t rc;

    r->headers_out.status = status;
    r->headers_out.content_length_n = body->len;
    if (body->len == 0) {
        r->header_only = 1;
    } else {
        r->headers_out.content_type = *type;
        r->headers_out.content_type_len = type->len;
    }
    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }
    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }
    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = 1;
    b->last_buf = r == r->main;
    b->last_in_chain = 1;
    out.buf = b;
    out.next = NULL;
    return ngx_http_output_filter(r, &out);
}
