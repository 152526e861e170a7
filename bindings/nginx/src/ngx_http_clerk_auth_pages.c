/* The browser handshake: what the library needs of a page's request, the redirect, and cookies on the response. */

#include "ngx_http_clerk_auth.h"

static ngx_int_t ngx_http_clerk_auth_filter_init(ngx_conf_t *cf);

static ngx_http_module_t ngx_http_clerk_auth_filter_module_ctx = {
    NULL,                            /* preconfiguration */
    ngx_http_clerk_auth_filter_init, /* postconfiguration */
    NULL,                            /* create main configuration */
    NULL,                            /* init main configuration */
    NULL,                            /* create server configuration */
    NULL,                            /* merge server configuration */
    NULL,                            /* create location configuration */
    NULL                             /* merge location configuration */
};

ngx_module_t ngx_http_clerk_auth_filter_module = {
    NGX_MODULE_V1,
    &ngx_http_clerk_auth_filter_module_ctx, /* module context */
    NULL,                                   /* module directives */
    NGX_HTTP_MODULE,                        /* module type */
    NULL,                                   /* init master */
    NULL,                                   /* init module */
    NULL,                                   /* init process */
    NULL,                                   /* init thread */
    NULL,                                   /* exit thread */
    NULL,                                   /* exit process */
    NULL,                                   /* exit master */
    NGX_MODULE_V1_PADDING
};

static ngx_http_output_header_filter_pt ngx_http_clerk_auth_next_header_filter;

/* nginx frees its own array once the configuration was read. */
ngx_int_t
ngx_http_clerk_auth_copy_server_names(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t *cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_http_core_srv_conf_t **servers = cmcf->servers.elts;
    ngx_http_clerk_auth_srv_conf_t *scf;
    ngx_array_t *names;
    ngx_uint_t i;

    for (i = 0; i < cmcf->servers.nelts; i++) {
        scf = servers[i]->ctx->srv_conf[ngx_http_clerk_auth_module.ctx_index];
        names = &servers[i]->server_names;
        scf->names = ngx_palloc(cf->pool, names->nelts * sizeof(ngx_http_server_name_t));
        if (scf->names == NULL) {
            return NGX_ERROR;
        }
        ngx_memcpy(scf->names, names->elts, names->nelts * sizeof(ngx_http_server_name_t));
        scf->name_count = names->nelts;
    }
    return NGX_OK;
}

/* `host` is in lower case; so is a name of `server_name`. */
static ngx_uint_t
ngx_http_clerk_auth_name_matches(ngx_http_server_name_t *name, ngx_str_t *host)
{
    u_char *pattern = name->name.data;
    size_t len = name->name.len;

#if (NGX_PCRE)
    if (name->regex != NULL) {
        /* Without captures: `$1` belongs to the location. */
        return ngx_regex_exec(name->regex->regex, host, NULL, 0) >= 0;
    }
#endif
    if (len > 1 && pattern[0] == '.' && host->len == len - 1 && ngx_memcmp(pattern + 1, host->data, host->len) == 0) {
        return 1;
    }
    if (len > 2 && pattern[0] == '*') {
        pattern++;
        len--;
    }
    if (len > 1 && pattern[0] == '.') {
        return host->len > len && ngx_memcmp(host->data + host->len - len, pattern, len) == 0;
    }
    if (len > 2 && pattern[len - 1] == '*') {
        return host->len > len - 1 && ngx_memcmp(host->data, pattern, len - 1) == 0;
    }
    return host->len == len && ngx_memcmp(host->data, pattern, len) == 0;
}

/* Returns whether the `Host` line names this server: one of its names, and its port. */
static ngx_uint_t
ngx_http_clerk_auth_is_own_host(ngx_http_request_t *r)
{
    ngx_http_clerk_auth_srv_conf_t *scf = ngx_http_get_module_srv_conf(r, ngx_http_clerk_auth_module);
    ngx_str_t *host = &r->headers_in.server, port;
    ngx_table_elt_t *line;
    ngx_uint_t i, count = 0;

    line = ngx_http_clerk_auth_find_header(r, "host", &count);
    /* `headers_in.server` is the host without port and trailing dot. */
    if (count != 1 || host->len == 0 || line->value.len < host->len
        || ngx_strncasecmp(line->value.data, host->data, host->len) != 0)
    {
        return 0;
    }
    port.data = line->value.data + host->len;
    port.len = line->value.len - host->len;
    if (port.len > 0
        && (port.data[0] != ':' || ngx_connection_local_sockaddr(r->connection, NULL, 0) != NGX_OK
            || ngx_atoi(port.data + 1, port.len - 1) != ngx_inet_get_port(r->connection->local_sockaddr)))
    {
        return 0;
    }
    for (i = 0; i < scf->name_count; i++) {
        if (ngx_http_clerk_auth_name_matches(&scf->names[i], host)) {
            return 1;
        }
    }
    return 0;
}

/* Returns the scheme of a request that may be redirected, else an empty string. */
static clerk_str
ngx_http_clerk_auth_page_scheme(ngx_http_request_t *r, ngx_http_clerk_auth_client_t *client)
{
    ngx_http_core_loc_conf_t *clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    clerk_str none = { NULL, 0 };

    /* `error_page` and X-Accel-Redirect turn other methods into GET; the request line keeps the browser's. */
    if (r != r->main || r->error_page || r->request_line.len < 4 || ngx_strncmp(r->request_line.data, "GET ", 4) != 0) {
        return none;
    }
    /* With `satisfy any` another module may still grant access. */
    if (clcf->satisfy == NGX_HTTP_SATISFY_ANY) {
        return none;
    }
    /* The host of an absolute request target is not that of the `Host` line. */
    if (r->http_version < NGX_HTTP_VERSION_20 && r->host_start != NULL) {
        return none;
    }
    if (client->checks_host && !ngx_http_clerk_auth_is_own_host(r)) {
        return none;
    }
#if (NGX_HTTP_SSL)
    if (r->connection->ssl) {
        return CLERK_STR("https");
    }
#endif
    return CLERK_STR("http");
}

/*
 * Adds what the browser handshake needs to `request`. Without a target the library does without the handshake: where no
 * cookies are read, for proxies, which cannot pass cookies on, and when a location with other settings verifies again.
 */
void
ngx_http_clerk_auth_page_of(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf, ngx_http_clerk_auth_ctx_t *ctx,
    clerk_request *request)
{
    if (!lcf->client->has_pages || lcf->serves == NGX_HTTP_CLERK_AUTH_SERVES_ENDPOINT || ctx->is_verified_again
        || !(lcf->token_source & NGX_HTTP_CLERK_AUTH_FROM_COOKIE))
    {
        return;
    }
    request->scheme = ngx_http_clerk_auth_page_scheme(r, lcf->client);
    request->target.data = (const char *) r->unparsed_uri.data;
    request->target.len = r->unparsed_uri.len;
}

/* Copies what the handshake adds to the response: the result may be freed before the response is sent. */
ngx_int_t
ngx_http_clerk_auth_keep_lines(ngx_http_clerk_auth_ctx_t *ctx)
{
    ngx_pool_t *pool = ctx->request->pool;
    size_t i, count = clerk_result_set_cookie_count(ctx->result);
    clerk_str value;
    ngx_str_t *line;

    if (clerk_result_cache_control(ctx->result, &value) == CLERK_OK) {
        ctx->is_not_stored = 1;
    }
    if (count == 0) {
        return NGX_OK;
    }
    if (ctx->lines == NULL) {
        ctx->lines = ngx_array_create(pool, count, sizeof(ngx_str_t));
        if (ctx->lines == NULL) {
            return NGX_ERROR;
        }
    }
    for (i = 0; i < count; i++) {
        if (clerk_result_set_cookie(ctx->result, i, &value) != CLERK_OK) {
            continue;
        }
        line = ngx_array_push(ctx->lines);
        if (line == NULL) {
            return NGX_ERROR;
        }
        line->len = value.len;
        line->data = ngx_pnalloc(pool, value.len);
        if (line->data == NULL) {
            return NGX_ERROR;
        }
        ngx_memcpy(line->data, value.data, value.len);
    }
    return NGX_OK;
}

/* Returns NGX_DECLINED if there is no redirect, else the status of the response. A signed-in request may be redirected, too. */
ngx_int_t
ngx_http_clerk_auth_redirect_page(ngx_http_request_t *r, ngx_http_clerk_auth_ctx_t *ctx)
{
    static const char refusal[] = "no redirect: not for this host, port or location";
    ngx_table_elt_t *location = NULL;
    ngx_str_t copy;
    clerk_str url;
    u_char line[128], *p;

    if (!ctx->client->has_pages || r != r->main || r->error_page) {
        return NGX_DECLINED;
    }
    if (clerk_result_redirect(ctx->result, &url) != CLERK_OK) {
        if (clerk_result_handshake_recommended(ctx->result) == 1) {
            ngx_http_clerk_auth_log_request(r, NGX_LOG_INFO, refusal, sizeof(refusal) - 1);
        }
        return NGX_DECLINED;
    }
    copy.len = url.len;
    copy.data = ngx_pnalloc(r->pool, url.len);
    if (copy.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_memcpy(copy.data, url.data, url.len);
    if (ngx_http_clerk_auth_set_header(r, &location, "Location", &copy) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    r->headers_out.location = location;
    p = ngx_snprintf(line, sizeof(line), "redirected: %s", ctx->status == CLERK_OK ? "signed-in" : ngx_http_clerk_auth_reason(ctx));
    ngx_http_clerk_auth_log_request(r, NGX_LOG_INFO, (const char *) line, p - line);
    return NGX_HTTP_TEMPORARY_REDIRECT;
}

/*
 * Returns whether a sign-in page helps: the browser is signed out. With any other reason Clerk may consider it signed in, and
 * its sign-in page would send it back at once, for ever.
 */
ngx_uint_t
ngx_http_clerk_auth_may_sign_in(ngx_http_clerk_auth_ctx_t *ctx)
{
    switch (clerk_result_reason(ctx->result)) {
    case CLERK_REASON_SESSION_TOKEN_AND_UAT_MISSING:
        return 1;
    case CLERK_REASON_SESSION_TOKEN_MISSING:
        /* Without cookies it is a nonce that was used before, which stays in the browser. */
        return clerk_result_set_cookie_count(ctx->result) > 0;
    default:
        return 0;
    }
}

/* Returns whether an earlier pass of this response has added the line. */
static ngx_uint_t
ngx_http_clerk_auth_has_line(ngx_http_request_t *r, ngx_str_t *value)
{
    ngx_http_clerk_auth_lines_t all = { &r->headers_out.headers.part, 0 };
    ngx_table_elt_t *h;

    while ((h = ngx_http_clerk_auth_next_line(&all)) != NULL) {
        if (h->value.data == value->data) {
            return 1;
        }
    }
    return 0;
}

/* Adds cookies and Cache-Control to any response of the main request, also to error pages and those of an application. */
static ngx_int_t
ngx_http_clerk_auth_header_filter(ngx_http_request_t *r)
{
    static ngx_str_t no_store = ngx_string("no-store");
    ngx_http_clerk_auth_ctx_t *ctx = NULL;
    ngx_table_elt_t *h;
    ngx_str_t *lines;
    ngx_uint_t i, count;

    if (r == r->main) {
        ctx = ngx_http_clerk_auth_find_ctx(r);
    }
    /* Every response with cookies has Cache-Control, and a redirect without cookies, too. */
    if (ctx == NULL || !ctx->is_not_stored || ngx_http_clerk_auth_has_line(r, &no_store)) {
        return ngx_http_clerk_auth_next_header_filter(r);
    }
    lines = ctx->lines ? ctx->lines->elts : NULL;
    count = ctx->lines ? ctx->lines->nelts : 0;
    for (i = 0; i < count; i++) {
        h = NULL;
        if (ngx_http_clerk_auth_set_header(r, &h, "Set-Cookie", &lines[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    h = NULL;
    if (ngx_http_clerk_auth_set_header(r, &h, "Cache-Control", &no_store) != NGX_OK) {
        return NGX_ERROR;
    }
    return ngx_http_clerk_auth_next_header_filter(r);
}

static ngx_int_t
ngx_http_clerk_auth_filter_init(ngx_conf_t *cf)
{
    ngx_http_clerk_auth_main_conf_t *mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_clerk_auth_module);

    if (!mcf->is_used) {
        return NGX_OK;
    }
    ngx_http_clerk_auth_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_clerk_auth_header_filter;
    return NGX_OK;
}
