/* From header lines to a result: inline if the cache is enough, in a thread if Clerk or the user store is needed. */

#include "ngx_http_clerk_auth.h"

/* The number of lines that are collected without an allocation. */
#define NGX_HTTP_CLERK_AUTH_LINES 8

typedef struct {
    clerk_header *lines;
    ngx_uint_t count;
    ngx_uint_t has_bearer;
    ngx_uint_t has_cookie;
} ngx_http_clerk_auth_found_t;

typedef struct {
    ngx_http_clerk_auth_ctx_t *ctx;
    clerk_client *client;
    clerk_request request;
    int32_t status;
    clerk_result *result;
    clerk_error *error;
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

static ngx_uint_t
ngx_http_clerk_auth_is_bearer(ngx_str_t *value)
{
    u_char *p = value->data, *last = value->data + value->len;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }
    return last - p >= 6 && ngx_strncasecmp(p, (u_char *) "bearer", 6) == 0;
}

static ngx_int_t
ngx_http_clerk_auth_collect(ngx_http_request_t *r, ngx_uint_t source, ngx_http_clerk_auth_found_t *found)
{
    ngx_http_clerk_auth_lines_t all = { &r->headers_in.headers.part, 0 };
    ngx_uint_t is_cookie, n = 0, capacity = NGX_HTTP_CLERK_AUTH_LINES;
    ngx_table_elt_t *h;
    clerk_header *grown;

    found->has_bearer = found->has_cookie = 0;
    while ((h = ngx_http_clerk_auth_next_line(&all)) != NULL) {
        is_cookie = (source & NGX_HTTP_CLERK_AUTH_FROM_COOKIE) && ngx_http_clerk_auth_is_named(h, "cookie", 6);
        if (!is_cookie
            && !((source & NGX_HTTP_CLERK_AUTH_FROM_HEADER) && ngx_http_clerk_auth_is_named(h, "authorization", 13)))
        {
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
        found->lines[n].name = is_cookie ? CLERK_STR("cookie") : CLERK_STR("authorization");
        found->lines[n].value.data = (const char *) h->value.data;
        found->lines[n].value.len = h->value.len;
        n++;
        found->has_cookie |= is_cookie;
        found->has_bearer |= !is_cookie && ngx_http_clerk_auth_is_bearer(&h->value);
    }
    found->count = n;
    return NGX_OK;
}

/* The token of a variable is passed as a bearer token. */
static ngx_int_t
ngx_http_clerk_auth_collect_variable(ngx_http_request_t *r, ngx_http_complex_value_t *token,
    ngx_http_clerk_auth_found_t *found)
{
    ngx_str_t value;
    u_char *line;

    found->count = found->has_bearer = found->has_cookie = 0;
    if (ngx_http_complex_value(r, token, &value) != NGX_OK) {
        return NGX_ERROR;
    }
    if (value.len == 0) {
        return NGX_OK;
    }
    line = ngx_pnalloc(r->pool, 7 + value.len);
    if (line == NULL) {
        return NGX_ERROR;
    }
    found->lines[0].name = CLERK_STR("authorization");
    found->lines[0].value.data = (const char *) line;
    found->lines[0].value.len = 7 + value.len;
    ngx_memcpy(ngx_cpymem(line, "Bearer ", 7), value.data, value.len);
    found->count = found->has_bearer = 1;
    return NGX_OK;
}

static void
ngx_http_clerk_auth_conclude(ngx_http_clerk_auth_ctx_t *ctx, int32_t status, clerk_result *result, const char *refusal)
{
    ctx->state = NGX_HTTP_CLERK_AUTH_DONE;
    ctx->status = status;
    ctx->result = result;
    ctx->refusal = refusal;
}

/* In a thread: uses the job and the client, not the request. */
static void
ngx_http_clerk_auth_job_run(ngx_http_clerk_auth_work_t *work, ngx_log_t *log)
{
    ngx_http_clerk_auth_job_t *job = work->data;

    job->status = clerk_authenticate(job->client, &job->request, &job->result, &job->error);
}

static void
ngx_http_clerk_auth_job_done(ngx_http_clerk_auth_work_t *work)
{
    ngx_http_clerk_auth_job_t *job = work->data;

    if (job->error != NULL) {
        ngx_http_clerk_auth_log_error(work->request->connection->log,
            job->status == CLERK_UNAVAILABLE ? NGX_LOG_WARN : NGX_LOG_ERR, clerk_status_name(job->status), job->error);
        clerk_error_free(job->error);
    }
    ngx_http_clerk_auth_conclude(job->ctx, job->status, job->result, NULL);
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

    size = request->header_count * sizeof(clerk_header) + request->method.len;
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
    job->request = *request;
    job->request.headers = lines;
    for (i = 0; i < request->header_count; i++) {
        lines[i].name = request->headers[i].name;
        lines[i].value.data = (const char *) p;
        lines[i].value.len = request->headers[i].value.len;
        p = ngx_cpymem(p, request->headers[i].value.data, request->headers[i].value.len);
    }
    job->request.method.data = (const char *) p;
    ngx_memcpy(p, request->method.data, request->method.len);
    work->run = ngx_http_clerk_auth_job_run;
    work->done = ngx_http_clerk_auth_job_done;

    ctx->cache = NGX_HTTP_CLERK_AUTH_CACHE_OFFLOAD;
    if (ngx_http_clerk_auth_work_post(work, lcf->thread_pool) != NGX_OK) {
        ngx_http_clerk_auth_conclude(ctx, CLERK_UNAVAILABLE, NULL, "queue-full");
        return NGX_OK;
    }
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
    ngx_int_t rc;
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
    rc = lcf->token != NULL ? ngx_http_clerk_auth_collect_variable(r, lcf->token, &found)
                            : ngx_http_clerk_auth_collect(r, lcf->token_source, &found);
    if (rc != NGX_OK) {
        return NGX_ERROR;
    }
    /* If the header is a bearer token, the cookie is ignored. */
    ctx->has_cookie_credential = found.has_cookie && !found.has_bearer;
    request.headers = found.lines;
    request.header_count = found.count;
    request.method.data = (const char *) r->main->method_name.data;
    request.method.len = r->main->method_name.len;

    status = clerk_authenticate_cached(lcf->client->client, &request, &result);
    if (status == CLERK_WOULD_BLOCK) {
        return ngx_http_clerk_auth_offload(r, lcf, ctx, &request);
    }
    ctx->cache = clerk_result_source(result) == CLERK_SOURCE_CACHE ? NGX_HTTP_CLERK_AUTH_CACHE_HIT
                                                                   : NGX_HTTP_CLERK_AUTH_CACHE_MISS;
    ngx_http_clerk_auth_conclude(ctx, status, result, NULL);
    return NGX_OK;
}
