/* Writes what the library logs to the log of the request that caused it: the one of its server, with its request id. */

#include "ngx_http_clerk_auth.h"

/* Longer lines are cut. */
#define NGX_HTTP_CLERK_AUTH_MAX_LINE 1024
/* What a thread keeps for one request. */
#define NGX_HTTP_CLERK_AUTH_MAX_LINES (64 * 1024)

typedef struct {
    uint32_t level;
    uint32_t len;
} ngx_http_clerk_auth_kept_line_t;

/* Of the call of the library that this thread makes; NULL if it is made for no request. */
static __thread ngx_http_clerk_auth_log_t *ngx_http_clerk_auth_current_log;

void
ngx_http_clerk_auth_log_begin(ngx_http_clerk_auth_log_t *log)
{
    ngx_http_clerk_auth_current_log = log;
}

void
ngx_http_clerk_auth_log_end(void)
{
    ngx_http_clerk_auth_current_log = NULL;
}

static ngx_uint_t
ngx_http_clerk_auth_nginx_level(int32_t level)
{
    switch (level) {
    case CLERK_LOG_LEVEL_ERROR:
        return NGX_LOG_ERR;
    case CLERK_LOG_LEVEL_WARN:
        return NGX_LOG_WARN;
    case CLERK_LOG_LEVEL_INFO:
        return NGX_LOG_INFO;
    default:
        return NGX_LOG_DEBUG;
    }
}

/* The library's level for the lines that a log takes. */
int32_t
ngx_http_clerk_auth_log_level(ngx_log_t *log)
{
    return log->log_level >= NGX_LOG_DEBUG  ? CLERK_LOG_LEVEL_DEBUG
           : log->log_level >= NGX_LOG_INFO ? CLERK_LOG_LEVEL_INFO
           : log->log_level >= NGX_LOG_WARN ? CLERK_LOG_LEVEL_WARN
                                            : CLERK_LOG_LEVEL_ERROR;
}

/* nginx writes lines as they are: a control character could forge a line. */
static size_t
ngx_http_clerk_auth_copy_line(u_char *out, const char *line, size_t len)
{
    size_t i;

    len = ngx_min(len, NGX_HTTP_CLERK_AUTH_MAX_LINE);
    for (i = 0; i < len; i++) {
        out[i] = (u_char) line[i] < 0x20 || line[i] == 0x7f ? '?' : (u_char) line[i];
    }
    return len;
}

void
ngx_http_clerk_auth_log_request(ngx_http_request_t *r, ngx_uint_t level, const char *line, size_t len)
{
    ngx_http_clerk_auth_main_conf_t *mcf = ngx_http_get_module_main_conf(r, ngx_http_clerk_auth_module);
    ngx_http_variable_value_t *id;
    u_char copy[NGX_HTTP_CLERK_AUTH_MAX_LINE];

    if (r->connection->log->log_level < level) {
        return;
    }
    len = ngx_http_clerk_auth_copy_line(copy, line, len);
    id = ngx_http_get_indexed_variable(r, mcf->request_id);
    if (id == NULL || id->not_found || !id->valid) {
        ngx_log_error(level, r->connection->log, 0, "clerk_auth: %*s", len, copy);
    } else {
        ngx_log_error(level, r->connection->log, 0, "clerk_auth: %*s, request id %v", len, copy, id);
    }
}

static ngx_int_t
ngx_http_clerk_auth_keep_line(ngx_http_clerk_auth_log_t *log, ngx_uint_t level, clerk_str message)
{
    ngx_http_clerk_auth_kept_line_t head = { (uint32_t) level, (uint32_t) ngx_min(message.len, NGX_HTTP_CLERK_AUTH_MAX_LINE) };
    size_t needed = log->len + sizeof(head) + head.len;
    u_char *grown;

    if (needed > NGX_HTTP_CLERK_AUTH_MAX_LINES) {
        return NGX_DECLINED;
    }
    if (needed > log->size) {
        grown = realloc(log->lines, 2 * needed);
        if (grown == NULL) {
            return NGX_DECLINED;
        }
        log->lines = grown;
        log->size = 2 * needed;
    }
    ngx_memcpy(log->lines + log->len, &head, sizeof(head));
    ngx_memcpy(log->lines + log->len + sizeof(head), message.data, head.len);
    log->len = needed;
    return NGX_OK;
}

/* Any thread. A request is used in the event loop only; `userdata` is the worker's log. */
void
ngx_http_clerk_auth_log_callback(void *userdata, int32_t level, clerk_str message)
{
    ngx_http_clerk_auth_log_t *current = ngx_http_clerk_auth_current_log;
    ngx_uint_t nginx_level = ngx_http_clerk_auth_nginx_level(level);
    u_char copy[NGX_HTTP_CLERK_AUTH_MAX_LINE];
    size_t len;

    if (current != NULL && current->request != NULL) {
        ngx_http_clerk_auth_log_request(current->request, nginx_level, message.data, message.len);
    } else if (current == NULL || ngx_http_clerk_auth_keep_line(current, nginx_level, message) != NGX_OK) {
        len = ngx_http_clerk_auth_copy_line(copy, message.data, message.len);
        ngx_log_error(nginx_level, (ngx_log_t *) userdata, 0, "clerk_auth: %*s", len, copy);
    }
}

/* In the event loop: writes what a thread has kept. */
void
ngx_http_clerk_auth_log_write(ngx_http_clerk_auth_log_t *log, ngx_http_request_t *r)
{
    ngx_http_clerk_auth_kept_line_t head;
    u_char *p = log->lines, *last = log->lines + log->len;

    while (p < last) {
        ngx_memcpy(&head, p, sizeof(head));
        p += sizeof(head);
        ngx_http_clerk_auth_log_request(r, head.level, (const char *) p, head.len);
        p += head.len;
    }
    free(log->lines);
    ngx_memzero(log, sizeof(*log));
}

void
ngx_http_clerk_auth_log_error(ngx_log_t *log, ngx_uint_t level, const char *what, const clerk_error *error)
{
    clerk_str message = clerk_error_message(error), trace = clerk_error_trace_id(error);
    u_char copy[NGX_HTTP_CLERK_AUTH_MAX_LINE];
    size_t len = ngx_http_clerk_auth_copy_line(copy, message.data, message.len);

    ngx_log_error(level, log, 0, "clerk_auth: %s: %*s%s%*s", what, len, copy, trace.len > 0 ? ", trace id " : "", trace.len,
        trace.data == NULL ? "" : trace.data);
}
