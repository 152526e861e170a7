/* From header lines to a result: inline if the cache is enough, in a thread if Clerk or the user store is needed. */

#include "ngx_http_clerk_auth.h"

/* The number of lines that are collected without an allocation. */
#define NGX_HTTP_CLERK_AUTH_LINES 16

typedef struct {
    clerk_header *lines;
    ngx_uint_t count;
    clerk_str method;
} ngx_http_clerk_auth_found_t;

typedef struct {
    ngx_http_clerk_auth_ctx_t *ctx;
    clerk_client *client;
    clerk_request request;
    int32_t status;
    clerk_result *result;
    clerk_error *error;
    const char *refusal;
    int64_t deadline; /* in milliseconds of the monotonic clock: after it no thread begins with the job */
    ngx_http_clerk_auth_log_t log;
} ngx_http_clerk_auth_job_t;

ngx_http_clerk_auth_counters_t ngx_http_clerk_auth_counters;

static void
ngx_http_clerk_auth_cleanup(void *data)
{
    ngx_http_clerk_auth_ctx_t *ctx = data;

    clerk_result_free(ctx->result);
    ctx->result = NULL;
}

static ngx_http_clerk_auth_ctx_t *
ngx_http_clerk_auth_find_own_ctx(ngx_http_request_t *r)
{
    ngx_http_clerk_auth_ctx_t *ctx;
    ngx_pool_cleanup_t *cln;

    ctx = ngx_http_get_module_ctx(r, ngx_http_clerk_auth_module);
    if (ctx != NULL) {
        return ctx;
    }
    if (!r->internal && !r->filter_finalize && r == r->main) {
        return NULL;
    }
    /* An internal redirect has cleared it. Subrequests share the pool, so the owner is compared. */
    for (cln = r->pool->cleanup; cln != NULL; cln = cln->next) {
        if (cln->handler == ngx_http_clerk_auth_cleanup
            && ((ngx_http_clerk_auth_ctx_t *) cln->data)->request == r)
        {
            ngx_http_set_ctx(r, cln->data, ngx_http_clerk_auth_module);
            return cln->data;
        }
    }
    return NULL;
}

/* Returns the state of this request; for a subrequest that was not verified itself, that of the main request. */
ngx_http_clerk_auth_ctx_t *
ngx_http_clerk_auth_find_ctx(ngx_http_request_t *r)
{
    ngx_http_clerk_auth_ctx_t *ctx = ngx_http_clerk_auth_find_own_ctx(r);

    if (ctx == NULL && r != r->main) {
        ctx = ngx_http_clerk_auth_find_own_ctx(r->main);
    }
    return ctx == NULL || ctx->state != NGX_HTTP_CLERK_AUTH_DONE ? NULL : ctx;
}

/* Returns this request's own state; creates it if needed. */
ngx_http_clerk_auth_ctx_t *
ngx_http_clerk_auth_get_ctx(ngx_http_request_t *r)
{
    ngx_http_clerk_auth_ctx_t *ctx = ngx_http_clerk_auth_find_own_ctx(r);
    ngx_pool_cleanup_t *cln;

    if (ctx != NULL) {
        return ctx;
    }
    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_clerk_auth_ctx_t));
    if (cln == NULL) {
        return NULL;
    }
    ctx = cln->data;
    ngx_memzero(ctx, sizeof(*ctx));
    ctx->request = r;
    cln->handler = ngx_http_clerk_auth_cleanup;
    ngx_http_set_ctx(r, ctx, ngx_http_clerk_auth_module);
    return ctx;
}

/* The credential, and what shows whether a page of the same origin made the request. */
typedef struct {
    ngx_uint_t source;
    ngx_uint_t is_forwarded; /* in an endpoint: the proxy's headers name the host */
    ngx_uint_t is_page; /* what the browser handshake reads is needed, too */
    ngx_uint_t is_websocket;
    ngx_uint_t is_of_browser;
} ngx_http_clerk_auth_selection_t;

/* The same for a line that only the browser handshake reads. */
static const char *
ngx_http_clerk_auth_select_for_page(ngx_table_elt_t *h)
{
    static const char *names[] = { "accept", "referer", "user-agent", "sec-fetch-dest", "x-forwarded-for",
        "x-forwarded-host", "x-forwarded-proto" };
    ngx_uint_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (ngx_http_clerk_auth_is_named(h, names[i], ngx_strlen(names[i]))) {
            return names[i];
        }
    }
    return NULL;
}

/* The library's name of a header line; NULL if it does not need the line. */
static const char *
ngx_http_clerk_auth_select(ngx_http_clerk_auth_selection_t *selection, ngx_table_elt_t *h)
{
    const char *name = selection->is_page ? ngx_http_clerk_auth_select_for_page(h) : NULL;

    if (name != NULL) {
        return name;
    }
    switch (h->key.len) {
    case 4:
        return !selection->is_forwarded && ngx_http_clerk_auth_is_named(h, "host", 4) ? "host" : NULL;
    case 6:
        if (ngx_http_clerk_auth_is_named(h, "origin", 6)) {
            selection->is_of_browser = 1;
            return "origin";
        }
        return (selection->source & NGX_HTTP_CLERK_AUTH_FROM_COOKIE) && ngx_http_clerk_auth_is_named(h, "cookie", 6)
                   ? "cookie" : NULL;
    case 7:
        selection->is_websocket |= ngx_http_clerk_auth_is_named(h, "upgrade", 7)
                                   && ngx_strlcasestrn(h->value.data, h->value.data + h->value.len,
                                          (u_char *) "websocket", 9 - 1) != NULL;
        return NULL;
    case 13:
        return (selection->source & NGX_HTTP_CLERK_AUTH_FROM_HEADER)
                       && ngx_http_clerk_auth_is_named(h, "authorization", 13) ? "authorization" : NULL;
    case 14:
        if (ngx_http_clerk_auth_is_named(h, "sec-fetch-site", 14)) {
            selection->is_of_browser = 1;
            return "sec-fetch-site";
        }
        return NULL;
    case 16:
        return selection->is_forwarded && ngx_http_clerk_auth_is_named(h, "x-forwarded-host", 16) ? "host" : NULL;
    default:
        return NULL;
    }
}

static clerk_str
ngx_http_clerk_auth_method(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf,
    ngx_http_clerk_auth_selection_t *selection)
{
    clerk_str method = { (const char *) r->main->method_name.data, r->main->method_name.len }, unknown = { NULL, 0 };
    ngx_uint_t count = 0;
    ngx_table_elt_t *h;

    if (!(r->main->method & (NGX_HTTP_GET | NGX_HTTP_HEAD | NGX_HTTP_OPTIONS | NGX_HTTP_TRACE))) {
        return method;
    }
    if (lcf->serves == NGX_HTTP_CLERK_AUTH_SERVES_ENDPOINT) {
        h = ngx_http_clerk_auth_find_header(r, "x-forwarded-method", &count);
        if (count > 1) {
            return unknown;
        }
        if (h != NULL) {
            method.data = (const char *) h->value.data;
            method.len = h->value.len;
        }
    }
    /* A page of another site can open a WebSocket. In HTTP/2 the method is CONNECT (RFC 8441), which is not safe. */
    return selection->is_websocket && selection->is_of_browser ? CLERK_STR("CONNECT") : method;
}

static ngx_int_t
ngx_http_clerk_auth_collect(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf, ngx_uint_t is_page,
    ngx_http_clerk_auth_found_t *found)
{
    ngx_http_clerk_auth_lines_t all = { &r->headers_in.headers.part, 0 };
    ngx_http_clerk_auth_selection_t selection = { lcf->token_source, 0, is_page, 0, 0 };
    ngx_uint_t n = found->count, capacity = NGX_HTTP_CLERK_AUTH_LINES;
    ngx_table_elt_t *h;
    clerk_header *grown;
    const char *name;

    selection.is_forwarded = lcf->serves == NGX_HTTP_CLERK_AUTH_SERVES_ENDPOINT
                             && ngx_http_clerk_auth_find_header(r, "x-forwarded-host", NULL) != NULL;
    while ((h = ngx_http_clerk_auth_next_line(&all)) != NULL) {
        name = ngx_http_clerk_auth_select(&selection, h);
        if (name == NULL) {
            continue;
        }
        if (n == capacity) {
            grown = ngx_palloc(r->pool, 2 * capacity * sizeof(clerk_header));
            if (grown == NULL) {
                return NGX_ERROR;
            }
            ngx_memcpy(grown, found->lines, n * sizeof(clerk_header));
            found->lines = grown;
            capacity *= 2;
        }
        found->lines[n].name = clerk_str_of(name);
        found->lines[n].value.data = (const char *) h->value.data;
        found->lines[n].value.len = h->value.len;
        n++;
    }
    found->count = n;
    found->method = ngx_http_clerk_auth_method(r, lcf, &selection);
    return NGX_OK;
}

/* The token of a variable is passed as a bearer token; that of a cookie as a cookie, since browsers send it unasked. */
static ngx_int_t
ngx_http_clerk_auth_collect_token(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf,
    ngx_http_clerk_auth_found_t *found)
{
    ngx_str_t value;
    size_t prefix_len = lcf->token_is_cookie ? 10 : 7;
    u_char *line;

    if (lcf->token == NULL) {
        return NGX_OK;
    }
    if (ngx_http_complex_value(r, lcf->token, &value) != NGX_OK) {
        return NGX_ERROR;
    }
    if (value.len == 0) {
        return NGX_OK;
    }
    line = ngx_pnalloc(r->pool, prefix_len + value.len);
    if (line == NULL) {
        return NGX_ERROR;
    }
    found->lines[0].name = lcf->token_is_cookie ? CLERK_STR("cookie") : CLERK_STR("authorization");
    found->lines[0].value.data = (const char *) line;
    found->lines[0].value.len = prefix_len + value.len;
    ngx_memcpy(ngx_cpymem(line, lcf->token_is_cookie ? "__session=" : "Bearer ", prefix_len), value.data, value.len);
    found->count = 1;
    return NGX_OK;
}

static void
ngx_http_clerk_auth_conclude(ngx_http_clerk_auth_ctx_t *ctx, int32_t status, clerk_result *result, const char *refusal)
{
    ctx->state = NGX_HTTP_CLERK_AUTH_DONE;
    /* With the handshake a request whose token was not read, or that has none, is signed out, too. */
    ctx->status = status == CLERK_SIGNED_OUT && clerk_result_is_anonymous(result) ? CLERK_NO_CREDENTIALS : status;
    ctx->result = result;
    ctx->refusal = refusal;
    if (ngx_http_clerk_auth_keep_lines(ctx) != NGX_OK) {
        clerk_result_free(ctx->result);
        ctx->result = NULL;
        ctx->status = CLERK_E_PANIC;
    }
}

static int64_t
ngx_http_clerk_auth_monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* In a thread: uses the job and the client, not the request. A job may have waited for the thread. */
static void
ngx_http_clerk_auth_job_run(ngx_http_clerk_auth_work_t *work, ngx_log_t *log)
{
    ngx_http_clerk_auth_job_t *job = work->data;

    if (work->is_abandoned || ngx_http_clerk_auth_monotonic_ms() >= job->deadline) {
        job->refusal = "thread-timeout";
        return;
    }
    ngx_http_clerk_auth_log_begin(&job->log);
    job->status = clerk_authenticate(job->client, &job->request, &job->result, &job->error);
    ngx_http_clerk_auth_log_end();
}

static void
ngx_http_clerk_auth_job_done(ngx_http_clerk_auth_work_t *work)
{
    ngx_http_clerk_auth_job_t *job = work->data;

    job->ctx->work = NULL;
    ngx_http_clerk_auth_log_write(&job->log, work->request);
    if (job->error != NULL) {
        ngx_http_clerk_auth_log_error(work->request->connection->log,
            job->status == CLERK_UNAVAILABLE ? NGX_LOG_WARN : NGX_LOG_ERR, clerk_status_name(job->status), job->error);
        clerk_error_free(job->error);
    }
    ngx_http_clerk_auth_conclude(job->ctx, job->status, job->result, job->refusal);
}

static ngx_int_t
ngx_http_clerk_auth_offload(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf,
    ngx_http_clerk_auth_ctx_t *ctx, clerk_request *request)
{
    ngx_http_clerk_auth_work_t *work;
    ngx_http_clerk_auth_job_t *job;
    clerk_header *lines;
    ngx_uint_t i;
    size_t size;
    u_char *p;

    size = request->header_count * sizeof(clerk_header) + request->method.len + request->target.len;
    for (i = 0; i < request->header_count; i++) {
        size += request->headers[i].value.len;
    }
    work = ngx_http_clerk_auth_work_create(r, sizeof(ngx_http_clerk_auth_job_t) + size);
    if (work == NULL) {
        return NGX_ERROR;
    }
    job = work->data;
    lines = (clerk_header *) (job + 1);
    p = (u_char *) (lines + request->header_count);
    job->ctx = ctx;
    job->client = lcf->client->client;
    job->status = CLERK_UNAVAILABLE;
    job->deadline = ngx_http_clerk_auth_monotonic_ms() + lcf->client->timeout;
    job->request = *request;
    job->request.headers = lines;
    /* A request that waits for a thread shares the fetch of those that began before it. */
    job->request.mark = clerk_client_mark(job->client);
    for (i = 0; i < request->header_count; i++) {
        lines[i].name = request->headers[i].name;
        lines[i].value.data = (const char *) p;
        lines[i].value.len = request->headers[i].value.len;
        p = ngx_cpymem(p, request->headers[i].value.data, request->headers[i].value.len);
    }
    job->request.method.data = (const char *) p;
    p = ngx_cpymem(p, request->method.data, request->method.len);
    job->request.target.data = (const char *) p;
    ngx_memcpy(p, request->target.data, request->target.len);
    work->run = ngx_http_clerk_auth_job_run;
    work->done = ngx_http_clerk_auth_job_done;

    ctx->cache = NGX_HTTP_CLERK_AUTH_CACHE_OFFLOAD;
    if (ngx_http_clerk_auth_work_post(work, lcf->thread_pool) != NGX_OK) {
        ngx_http_clerk_auth_conclude(ctx, CLERK_UNAVAILABLE, NULL, "queue-full");
        return NGX_OK;
    }
    ctx->work = work;
    ctx->state = NGX_HTTP_CLERK_AUTH_SUSPENDED;
    return NGX_AGAIN;
}

/*
 * NGX_OK: `*ctx` has the result. NGX_AGAIN: suspended; the phase runs again with the result. A request is not verified
 * again with the same settings after an internal redirect.
 */
ngx_int_t
ngx_http_clerk_auth_verify(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf,
    ngx_http_clerk_auth_ctx_t **found_ctx)
{
    ngx_http_clerk_auth_found_t found;
    ngx_http_clerk_auth_ctx_t *ctx;
    clerk_header lines[NGX_HTTP_CLERK_AUTH_LINES];
    clerk_request request = CLERK_REQUEST_INIT;
    clerk_result *result = NULL;
    ngx_http_clerk_auth_log_t log = { NULL, NULL, 0, 0 };
    int32_t status;

    ctx = ngx_http_clerk_auth_get_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }
    *found_ctx = ctx;
    if (ctx->state == NGX_HTTP_CLERK_AUTH_SUSPENDED) {
        return NGX_AGAIN;
    }
    if (ctx->state == NGX_HTTP_CLERK_AUTH_DONE && ctx->client == lcf->client && ctx->token == lcf->token
        && ctx->token_source == lcf->token_source)
    {
        return NGX_OK;
    }
    ctx->is_verified_again = ctx->state == NGX_HTTP_CLERK_AUTH_DONE;
    clerk_result_free(ctx->result);
    ctx->result = NULL;
    ctx->client = lcf->client;
    ctx->token = lcf->token;
    ctx->token_source = lcf->token_source;

    if (lcf->client->client == NULL) {
        ngx_http_clerk_auth_conclude(ctx, CLERK_UNAVAILABLE, NULL, "client-unavailable");
        return NGX_OK;
    }
    found.lines = lines;
    found.count = 0;
    ngx_http_clerk_auth_page_of(r, lcf, ctx, &request);
    if (ngx_http_clerk_auth_collect_token(r, lcf, &found) != NGX_OK
        || ngx_http_clerk_auth_collect(r, lcf, request.target.len > 0, &found) != NGX_OK)
    {
        return NGX_ERROR;
    }
    request.headers = found.lines;
    request.header_count = found.count;
    request.method = found.method;

    log.request = r;
    ngx_http_clerk_auth_log_begin(&log);
    status = clerk_authenticate_cached(lcf->client->client, &request, &result);
    ngx_http_clerk_auth_log_end();
    if (status == CLERK_WOULD_BLOCK) {
        return ngx_http_clerk_auth_offload(r, lcf, ctx, &request);
    }
    ctx->cache = clerk_result_source(result) == CLERK_SOURCE_CACHE ? NGX_HTTP_CLERK_AUTH_CACHE_HIT
                                                                   : NGX_HTTP_CLERK_AUTH_CACHE_MISS;
    ngx_http_clerk_auth_conclude(ctx, status, result, NULL);
    return NGX_OK;
}
