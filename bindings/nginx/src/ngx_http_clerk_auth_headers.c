/* X-Clerk-* headers: removes those of clients, adds those of verified requests. */

#include "ngx_http_clerk_auth.h"

/* A subrequest shares the parts of its list with the main request, whose headers must not change: creates a new list. */
static ngx_int_t
ngx_http_clerk_auth_copy_headers(ngx_http_request_t *r)
{
    ngx_list_part_t shared = r->headers_in.headers.part;
    ngx_http_clerk_auth_lines_t all = { &shared, 0 };
    ngx_table_elt_t *h, *kept;

    if (ngx_list_init(&r->headers_in.headers, r->pool, 20, sizeof(ngx_table_elt_t)) != NGX_OK) {
        return NGX_ERROR;
    }
    while ((h = ngx_http_clerk_auth_next_line(&all)) != NULL) {
        if (ngx_http_clerk_auth_is_reserved(h->key.data, h->key.len)) {
            continue;
        }
        kept = ngx_list_push(&r->headers_in.headers);
        if (kept == NULL) {
            return NGX_ERROR;
        }
        *kept = *h;
    }
    return NGX_OK;
}

/* If `Connection` named a reserved header, the next proxy would remove it. */
static ngx_int_t
ngx_http_clerk_auth_clean_connection(ngx_http_request_t *r, ngx_table_elt_t *h)
{
    ngx_str_t kept;

    if (!ngx_http_clerk_auth_names_reserved(&h->value)) {
        return NGX_OK;
    }
    kept.data = ngx_pnalloc(r->pool, 2 * h->value.len + 1);
    if (kept.data == NULL) {
        return NGX_ERROR;
    }
    ngx_http_clerk_auth_drop_reserved(&h->value, &kept);
    h->value = kept;
    return NGX_OK;
}

ngx_int_t
ngx_http_clerk_auth_remove_headers(ngx_http_request_t *r)
{
    ngx_http_clerk_auth_lines_t all = { &r->headers_in.headers.part, 0 };
    ngx_uint_t is_reserved = 0;
    ngx_table_elt_t *h;

    while ((h = ngx_http_clerk_auth_next_line(&all)) != NULL) {
        is_reserved |= ngx_http_clerk_auth_is_reserved(h->key.data, h->key.len);
        if (ngx_http_clerk_auth_is_named(h, "connection", 10) && ngx_http_clerk_auth_clean_connection(r, h) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    if (!is_reserved) {
        return NGX_OK;
    }
    return r == r->main ? ngx_http_clerk_auth_unlink_headers(&r->headers_in.headers)
                        : ngx_http_clerk_auth_copy_headers(r);
}

/*
 * Runs before the location is known, so that subrequests, unprotected locations and rewrites do not see them;
 * in a server that has a location with `clerk_auth_strip_headers off`, as soon as the location is known.
 */
ngx_int_t
ngx_http_clerk_auth_strip_handler(ngx_http_request_t *r)
{
    ngx_http_clerk_auth_loc_conf_t *lcf = ngx_http_get_module_loc_conf(r, ngx_http_clerk_auth_module);
    ngx_http_clerk_auth_srv_conf_t *scf = ngx_http_get_module_srv_conf(r, ngx_http_clerk_auth_module);
    ngx_http_core_main_conf_t *cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);
    ngx_http_clerk_auth_ctx_t *ctx;
    ngx_uint_t is_early;

    is_early = r->phase_handler < (ngx_int_t) cmcf->phase_engine.server_rewrite_index;
    if (is_early == scf->keeps_headers_somewhere) {
        return NGX_DECLINED;
    }
    ctx = is_early ? NULL : ngx_http_clerk_auth_find_ctx(r);
    if (!is_early && (!lcf->strip_headers || (ctx != NULL && ctx->has_added_headers))) {
        return NGX_DECLINED;
    }
    return ngx_http_clerk_auth_remove_headers(r) == NGX_OK ? NGX_DECLINED : NGX_HTTP_INTERNAL_SERVER_ERROR;
}

/* Returns the first line with this name; `*count`, if not NULL, is the number of lines. */
ngx_table_elt_t *
ngx_http_clerk_auth_find_header(ngx_http_request_t *r, const char *name, ngx_uint_t *count)
{
    ngx_http_clerk_auth_lines_t all = { &r->headers_in.headers.part, 0 };
    ngx_table_elt_t *h, *first = NULL;
    size_t len = ngx_strlen(name);
    ngx_uint_t found = 0;

    while ((h = ngx_http_clerk_auth_next_line(&all)) != NULL) {
        if (ngx_http_clerk_auth_is_named(h, name, len)) {
            first = found++ == 0 ? h : first;
        }
    }
    if (count != NULL) {
        *count = found;
    }
    return first;
}

static ngx_int_t
ngx_http_clerk_auth_push_header(ngx_list_t *headers, const char *name, const char *lowcase_name, ngx_str_t *value)
{
    ngx_table_elt_t *h;

    h = ngx_list_push(headers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->lowcase_key = (u_char *) lowcase_name;
    h->hash = ngx_hash_key(h->lowcase_key, h->key.len);
    h->value = *value;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
    return NGX_OK;
}

static ngx_uint_t
ngx_http_clerk_auth_is_encoded(clerk_str in, size_t i)
{
    u_char c = (u_char) in.data[i];

    return c < 0x20 || c > 0x7e || c == '%' || (c == ' ' && (i == 0 || i == in.len - 1));
}

/* Percent-encodes characters that are not allowed in a header value, and "%". */
static ngx_int_t
ngx_http_clerk_auth_encode(ngx_pool_t *pool, clerk_str in, ngx_str_t *out)
{
    static const u_char hex[] = "0123456789ABCDEF";
    size_t i, odd = 0;
    u_char c, *p;

    for (i = 0; i < in.len; i++) {
        odd += ngx_http_clerk_auth_is_encoded(in, i);
    }
    out->data = (u_char *) in.data;
    out->len = in.len;
    if (odd == 0) {
        return NGX_OK;
    }
    out->data = p = ngx_pnalloc(pool, in.len + 2 * odd);
    if (p == NULL) {
        return NGX_ERROR;
    }
    for (i = 0; i < in.len; i++) {
        c = (u_char) in.data[i];
        if (ngx_http_clerk_auth_is_encoded(in, i)) {
            *p++ = '%';
            *p++ = hex[c >> 4];
            *p++ = hex[c & 0xf];
        } else {
            *p++ = c;
        }
    }
    out->len = p - out->data;
    return NGX_OK;
}

static ngx_int_t
ngx_http_clerk_auth_push_claims(ngx_http_request_t *r, ngx_list_t *headers, clerk_str claims)
{
    ngx_str_t json = { claims.len, (u_char *) claims.data }, encoded;

    encoded.data = ngx_pnalloc(r->pool, ngx_base64_encoded_length(json.len));
    if (encoded.data == NULL) {
        return NGX_ERROR;
    }
    ngx_encode_base64url(&encoded, &json);
    return ngx_http_clerk_auth_push_header(headers, "X-Clerk-Claims", "x-clerk-claims", &encoded);
}

ngx_int_t
ngx_http_clerk_auth_pass_headers(ngx_http_request_t *r, ngx_list_t *headers, ngx_http_clerk_auth_ctx_t *ctx,
    ngx_uint_t with_claims)
{
    static const struct {
        const char *name;
        const char *lowcase_name;
        int32_t attribute;
    } rows[] = {
        { "X-Clerk-User-Id", "x-clerk-user-id", CLERK_ATTRIBUTE_SUBJECT },
        { "X-Clerk-Session-Id", "x-clerk-session-id", CLERK_ATTRIBUTE_SESSION_ID },
        { "X-Clerk-Org-Id", "x-clerk-org-id", CLERK_ATTRIBUTE_ORG_ID },
        { "X-Clerk-Org-Slug", "x-clerk-org-slug", CLERK_ATTRIBUTE_ORG_SLUG },
        { "X-Clerk-Org-Role", "x-clerk-org-role", CLERK_ATTRIBUTE_ORG_ROLE },
        { "X-Clerk-Org-Permissions", "x-clerk-org-permissions", CLERK_ATTRIBUTE_ORG_PERMISSIONS },
        { "X-Clerk-Actor", "x-clerk-actor", CLERK_ATTRIBUTE_ACTOR },
        { "X-Clerk-Scopes", "x-clerk-scopes", CLERK_ATTRIBUTE_SCOPES },
        { "X-Clerk-Local-User-Id", "x-clerk-local-user-id", CLERK_ATTRIBUTE_USER_KEY },
        { "X-Clerk-Email", "x-clerk-email", CLERK_ATTRIBUTE_EMAIL },
        { "X-Clerk-Username", "x-clerk-username", CLERK_ATTRIBUTE_USERNAME },
    };
    const char *name = ngx_http_clerk_auth_status_name(ctx);
    ngx_str_t value;
    clerk_str attribute;
    ngx_uint_t i;

    value.data = (u_char *) name;
    value.len = ngx_strlen(name);
    if (ngx_http_clerk_auth_push_header(headers, "X-Clerk-Auth-Status", "x-clerk-auth-status", &value) != NGX_OK) {
        return NGX_ERROR;
    }
    for (i = 0; ctx->status == CLERK_OK && i < sizeof(rows) / sizeof(rows[0]); i++) {
        attribute = rows[i].attribute == CLERK_ATTRIBUTE_SUBJECT ? clerk_result_user_id(ctx->result)
                                                                 : clerk_result_get(ctx->result, rows[i].attribute);
        if (attribute.len == 0) {
            continue;
        }
        if (ngx_http_clerk_auth_encode(r->pool, attribute, &value) != NGX_OK
            || ngx_http_clerk_auth_push_header(headers, rows[i].name, rows[i].lowcase_name, &value) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }
    if (ctx->status == CLERK_OK) {
        value.data = (u_char *) clerk_token_kind_name(clerk_result_token_kind(ctx->result));
        value.len = ngx_strlen(value.data);
        if (ngx_http_clerk_auth_push_header(headers, "X-Clerk-Token-Kind", "x-clerk-token-kind", &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    attribute = clerk_result_claims_json(ctx->result);
    if (with_claims && ctx->status == CLERK_OK && attribute.len > 0) {
        return ngx_http_clerk_auth_push_claims(r, headers, attribute);
    }
    return NGX_OK;
}
