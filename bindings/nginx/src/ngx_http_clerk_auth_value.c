/* Values of directives: literal, from the environment, or from a file. */

#include "ngx_http_clerk_auth.h"

/* The largest file a directive reads: a key set, a key, a secret. */
#define NGX_HTTP_CLERK_AUTH_MAX_FILE (256 * 1024)

static void
ngx_http_clerk_auth_erase(void *data)
{
    ngx_str_t *value = data;

    ngx_explicit_memzero(value->data, value->len);
}

ngx_int_t
ngx_http_clerk_auth_read_file(ngx_conf_t *cf, ngx_str_t *path, ngx_str_t *out)
{
    ngx_file_t file;
    ngx_file_info_t info;
    ssize_t n;

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NGX_ERROR;
    }
    ngx_memzero(&file, sizeof(file));
    file.name = *path;
    file.log = cf->log;
    file.fd = ngx_open_file(path->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno, "\"%V\": cannot open \"%V\"", cf->args->elts, path);
        return NGX_ERROR;
    }
    n = NGX_ERROR;
    if (ngx_fd_info(file.fd, &info) != NGX_FILE_ERROR && ngx_is_file(&info)
        && ngx_file_size(&info) <= NGX_HTTP_CLERK_AUTH_MAX_FILE)
    {
        out->len = ngx_file_size(&info);
        out->data = ngx_pnalloc(cf->pool, out->len + 1);
        n = out->data == NULL ? NGX_ERROR : ngx_read_file(&file, out->data, out->len, 0);
    }
    ngx_close_file(file.fd);
    if (n < 0 || (size_t) n != out->len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\": \"%V\" is not a regular file of at most 256k",
            cf->args->elts, path);
        return NGX_ERROR;
    }
    if (ngx_strstr(((ngx_str_t *) cf->args->elts)->data, "secret") != NULL && (ngx_file_access(&info) & S_IROTH)) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0, "\"%V\": all users can read \"%V\"", cf->args->elts, path);
    }
    while (out->len > 0 && (out->data[out->len - 1] == '\n' || out->data[out->len - 1] == '\r')) {
        out->len--;
    }
    out->data[out->len] = '\0';
    return NGX_OK;
}

/*
 * A value, `env:NAME` or `file:PATH`. Read in the master, while the configuration is parsed: workers have neither
 * the environment nor, usually, permission to read the file. Wiped with the configuration, so `in` must be writable.
 */
ngx_int_t
ngx_http_clerk_auth_read_value(ngx_conf_t *cf, ngx_str_t *in, ngx_str_t *out)
{
    ngx_pool_cleanup_t *cln;
    ngx_str_t path;
    char *value;

    if (in->len > 4 && ngx_strncmp(in->data, "env:", 4) == 0) {
        value = getenv((char *) in->data + 4);
        if (value == NULL || *value == '\0') {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\": no environment variable \"%s\"",
                cf->args->elts, in->data + 4);
            return NGX_ERROR;
        }
        out->len = ngx_strlen(value);
        out->data = ngx_pnalloc(cf->pool, out->len + 1);
        if (out->data == NULL) {
            return NGX_ERROR;
        }
        ngx_memcpy(out->data, value, out->len + 1);
    } else if (in->len > 5 && ngx_strncmp(in->data, "file:", 5) == 0) {
        path.data = in->data + 5;
        path.len = in->len - 5;
        if (ngx_http_clerk_auth_read_file(cf, &path, out) != NGX_OK) {
            return NGX_ERROR;
        }
    } else {
        *out = *in;
    }
    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }
    cln->handler = ngx_http_clerk_auth_erase;
    cln->data = out;
    return NGX_OK;
}
