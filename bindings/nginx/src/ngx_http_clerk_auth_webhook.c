/* `clerk_auth_webhook`: receives deliveries, applies them in a thread, and shares them with the other workers. */

#include "ngx_http_clerk_auth.h"

/* Svix's own names and those of Standard Webhooks are equivalent. */
static const char *ngx_http_clerk_auth_webhook_headers[2][3] = {
    { "svix-id", "svix-timestamp", "svix-signature" },
    { "webhook-id", "webhook-timestamp", "webhook-signature" },
};

typedef struct {
    ngx_shm_zone_t *zone;
    ngx_http_clerk_auth_client_t **clients; /* the location's own is first: its status determines the response */
    ngx_uint_t count;
    ngx_str_t parts[4];
    int32_t status;
    clerk_error *error;
    ngx_http_clerk_auth_log_t log;
    unsigned is_done : 1;
} ngx_http_clerk_auth_delivery_t;

static void
ngx_http_clerk_auth_webhook_lines(ngx_str_t parts[4], clerk_header lines[3], clerk_str *body)
{
    ngx_uint_t i;

    for (i = 0; i < 3; i++) {
        lines[i].name = clerk_str_of(ngx_http_clerk_auth_webhook_headers[0][i]);
        lines[i].value.data = (const char *) parts[i].data;
        lines[i].value.len = parts[i].len;
    }
    body->data = (const char *) parts[3].data;
    body->len = parts[3].len;
}

/* In a thread. Clients with other secrets reject the delivery. */
static void
ngx_http_clerk_auth_delivery_run(ngx_http_clerk_auth_work_t *work, ngx_log_t *log)
{
    ngx_http_clerk_auth_delivery_t *delivery = work->data;
    clerk_header lines[3];
    clerk_str body;
    ngx_uint_t i;
    int32_t status;

    ngx_http_clerk_auth_webhook_lines(delivery->parts, lines, &body);
    ngx_http_clerk_auth_log_begin(&delivery->log);
    delivery->status = clerk_webhook_handle(delivery->clients[0]->client, lines, 3, body, &delivery->error);
    for (i = 1; i < delivery->count && delivery->status >= CLERK_OK; i++) {
        status = clerk_webhook_handle(delivery->clients[i]->client, lines, 3, body, NULL);
        if (status == CLERK_UNAVAILABLE || (status == CLERK_OK && delivery->status == CLERK_WEBHOOK_IGNORED)) {
            delivery->status = status;
        }
    }
    for (i = 0; i < delivery->count && delivery->status >= CLERK_OK; i++) {
        ngx_http_clerk_auth_zone_share(delivery->zone, delivery->clients[i], 0, log);
    }
    ngx_http_clerk_auth_log_end();
}

/* Also after the sender closed the connection: the other workers need an event that was applied here. */
static void
ngx_http_clerk_auth_delivery_done(ngx_http_clerk_auth_work_t *work)
{
    ngx_http_clerk_auth_delivery_t *delivery = work->data;
    ngx_log_t *log = work->request->connection->log;

    delivery->is_done = 1;
    ngx_http_clerk_auth_log_write(&delivery->log, work->request);
    if (delivery->error != NULL) {
        ngx_http_clerk_auth_log_error(log, delivery->status == CLERK_E_WEBHOOK ? NGX_LOG_INFO : NGX_LOG_ERR,
            "webhook event rejected", delivery->error);
        clerk_error_free(delivery->error);
    }
    if (delivery->status == CLERK_OK || delivery->status == CLERK_UNAVAILABLE) {
        ngx_http_clerk_auth_zone_publish(delivery->zone, delivery->parts, log);
    }
    if (delivery->status < CLERK_OK) {
        ngx_http_clerk_auth_counters.webhooks_rejected++;
    } else {
        ngx_http_clerk_auth_counters.webhooks_applied++;
    }
}

/* 503 with `Retry-After`: the sender tries again. */
static ngx_int_t
ngx_http_clerk_auth_retry_later(ngx_http_request_t *r, ngx_http_clerk_auth_ctx_t *ctx, const char *reason)
{
    return ngx_http_clerk_auth_refuse(r, ngx_http_get_module_loc_conf(r, ngx_http_clerk_auth_module), ctx,
        NGX_HTTP_SERVICE_UNAVAILABLE, NULL, reason);
}

static void
ngx_http_clerk_auth_webhook_resume(ngx_http_request_t *r)
{
    ngx_http_clerk_auth_ctx_t *ctx = ngx_http_get_module_ctx(r, ngx_http_clerk_auth_module);
    ngx_http_clerk_auth_delivery_t *delivery = ctx->delivery;
    ngx_str_t nothing = ngx_null_string;

    if (!delivery->is_done) {
        return;
    }
    r->write_event_handler = ngx_http_request_empty_handler;
    switch (delivery->status) {
    case CLERK_OK:
    case CLERK_WEBHOOK_IGNORED:
        ngx_http_finalize_request(r, ngx_http_clerk_auth_send(r, NGX_HTTP_OK, &nothing, &nothing));
        return;
    case CLERK_UNAVAILABLE:
        ngx_http_finalize_request(r, ngx_http_clerk_auth_retry_later(r, ctx, "unavailable"));
        return;
    case CLERK_E_WEBHOOK:
        ngx_http_finalize_request(r, NGX_HTTP_BAD_REQUEST);
        return;
    default:
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
    }
}

/* Returns the body as one string, from memory or the temporary file. */
static ngx_int_t
ngx_http_clerk_auth_read_body(ngx_http_request_t *r, ngx_str_t *body)
{
    ngx_chain_t *cl;
    off_t size = 0;
    ssize_t n;
    u_char *p;

    for (cl = r->request_body == NULL ? NULL : r->request_body->bufs; cl != NULL; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }
    if (size > NGX_HTTP_CLERK_AUTH_MAX_WEBHOOK) {
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    body->len = size;
    body->data = p = ngx_pnalloc(r->pool, size + 1);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    for (cl = r->request_body == NULL ? NULL : r->request_body->bufs; cl != NULL; cl = cl->next) {
        if (!cl->buf->in_file) {
            p = ngx_cpymem(p, cl->buf->pos, cl->buf->last - cl->buf->pos);
            continue;
        }
        size = cl->buf->file_last - cl->buf->file_pos;
        n = ngx_read_file(cl->buf->file, p, size, cl->buf->file_pos);
        if (n != size) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
        p += n;
    }
    return NGX_OK;
}

static ngx_int_t
ngx_http_clerk_auth_list_clients(ngx_http_request_t *r, ngx_http_clerk_auth_client_t *own,
    ngx_http_clerk_auth_delivery_t *delivery)
{
    ngx_http_clerk_auth_main_conf_t *mcf = ngx_http_get_module_main_conf(r, ngx_http_clerk_auth_module);
    ngx_http_clerk_auth_client_t **clients = mcf->clients.elts;
    ngx_uint_t i;

    delivery->zone = mcf->zone;
    delivery->clients = ngx_palloc(r->pool, mcf->clients.nelts * sizeof(ngx_http_clerk_auth_client_t *));
    if (delivery->clients == NULL) {
        return NGX_ERROR;
    }
    delivery->clients[0] = own;
    delivery->count = 1;
    for (i = 0; i < mcf->clients.nelts; i++) {
        if (clients[i]->client != NULL && clients[i] != own && clients[i]->secrets->values != NULL) {
            delivery->clients[delivery->count++] = clients[i];
        }
    }
    return NGX_OK;
}

/* Finds id, timestamp and signature: each has to be there once. */
static ngx_int_t
ngx_http_clerk_auth_find_signature(ngx_http_request_t *r, ngx_str_t parts[3])
{
    ngx_uint_t i, count, family = ngx_http_clerk_auth_find_header(r, "svix-id", NULL) == NULL;
    ngx_table_elt_t *h;

    for (i = 0; i < 3; i++) {
        count = 0;
        h = ngx_http_clerk_auth_find_header(r, ngx_http_clerk_auth_webhook_headers[family][i], &count);
        if (count != 1) {
            return NGX_ERROR;
        }
        parts[i] = h->value;
    }
    return NGX_OK;
}

static ngx_int_t
ngx_http_clerk_auth_take_delivery(ngx_http_request_t *r)
{
    ngx_http_clerk_auth_loc_conf_t *lcf = ngx_http_get_module_loc_conf(r, ngx_http_clerk_auth_module);
    ngx_http_clerk_auth_ctx_t *ctx = ngx_http_clerk_auth_get_ctx(r);
    ngx_http_clerk_auth_delivery_t *delivery;
    ngx_http_clerk_auth_work_t *work;
    ngx_int_t rc;

    work = ngx_http_clerk_auth_work_create(r, sizeof(ngx_http_clerk_auth_delivery_t));
    if (ctx == NULL || work == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (lcf->client->client == NULL) {
        return ngx_http_clerk_auth_retry_later(r, ctx, "client-unavailable");
    }
    delivery = work->data;
    delivery->status = CLERK_UNAVAILABLE;
    if (ngx_http_clerk_auth_find_signature(r, delivery->parts) != NGX_OK) {
        return NGX_HTTP_BAD_REQUEST;
    }
    rc = ngx_http_clerk_auth_read_body(r, &delivery->parts[3]);
    if (rc != NGX_OK) {
        return rc;
    }
    if (ngx_http_clerk_auth_list_clients(r, lcf->client, delivery) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    work->run = ngx_http_clerk_auth_delivery_run;
    work->done = ngx_http_clerk_auth_delivery_done;
    if (ngx_http_clerk_auth_work_post(work, lcf->thread_pool) != NGX_OK) {
        return ngx_http_clerk_auth_retry_later(r, ctx, "queue-full");
    }
    ctx->delivery = delivery;
    r->write_event_handler = ngx_http_clerk_auth_webhook_resume;
    return NGX_DONE;
}

static void
ngx_http_clerk_auth_webhook_body(ngx_http_request_t *r)
{
    ngx_int_t rc = ngx_http_clerk_auth_take_delivery(r);

    if (rc != NGX_DONE) {
        ngx_http_finalize_request(r, rc);
    }
}

ngx_int_t
ngx_http_clerk_auth_webhook_handler(ngx_http_request_t *r)
{
    ngx_str_t parts[3];
    ngx_int_t rc;

    if (r->method != NGX_HTTP_POST || r != r->main) {
        return NGX_HTTP_NOT_ALLOWED;
    }
    /* Before the body is read. */
    if (ngx_http_clerk_auth_find_signature(r, parts) != NGX_OK) {
        ngx_http_clerk_auth_counters.webhooks_rejected++;
        return NGX_HTTP_BAD_REQUEST;
    }
    if (r->headers_in.content_length_n > NGX_HTTP_CLERK_AUTH_MAX_WEBHOOK) {
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    rc = ngx_http_read_client_request_body(r, ngx_http_clerk_auth_webhook_body);
    return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}

/*
 * Applies a delivery that another worker received, in memory only: that worker has updated the user store and the shared cache. One whose
 * signature is too old is not needed by a new worker: its caches are empty, and it has imported the revocations.
 */
void
ngx_http_clerk_auth_webhook_replay(ngx_http_clerk_auth_main_conf_t *mcf, ngx_str_t parts[4], ngx_log_t *log)
{
    ngx_http_clerk_auth_client_t **clients = mcf->clients.elts;
    clerk_header lines[3];
    clerk_str body;
    ngx_uint_t i;
    int32_t status;

    ngx_http_clerk_auth_webhook_lines(parts, lines, &body);
    for (i = 0; i < mcf->clients.nelts; i++) {
        if (clients[i]->client == NULL || clients[i]->secrets->values == NULL) {
            continue;
        }
        status = clerk_webhook_replay(clients[i]->client, lines, 3, body, NULL);
        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, log, 0, "clerk_auth: delivery of another worker: %s",
            clerk_status_name(status));
    }
}
