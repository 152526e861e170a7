/* Names of request headers, with nginx's pool, strings and lists only: which are reserved, and their removal. */

#include "ngx_http_clerk_auth.h"

/* Applications convert header names to variables: letter case is lost, and other characters than letters and digits become "_". */
ngx_uint_t
ngx_http_clerk_auth_is_reserved(const u_char *name, size_t len)
{
    static const u_char prefix[] = "x_clerk_";
    size_t i;
    u_char c;

    if (len < sizeof(prefix) - 1) {
        return 0;
    }
    for (i = 0; i < sizeof(prefix) - 1; i++) {
        c = ngx_tolower(name[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) {
            c = '_';
        }
        if (c != prefix[i]) {
            return 0;
        }
    }
    return 1;
}

/*
 * Removes all reserved request headers. nginx has pointers to elements of this list, so none may move: a part is
 * shortened or split, and an empty part is unlinked, since the usual loop reads the first element of a part unchecked.
 */
ngx_int_t
ngx_http_clerk_auth_unlink_headers(ngx_list_t *list)
{
    ngx_list_part_t *part = &list->part, *prev = NULL, *tail;
    ngx_table_elt_t *h;
    ngx_uint_t i = 0, is_changed = 0;
    void *base = list->part.elts;

    for (;;) {
        if (i >= part->nelts) {
            if (part->nelts == 0 && prev != NULL) {
                prev->next = part->next;
            } else {
                prev = part;
            }
            part = part->next;
            i = 0;
            if (part == NULL) {
                break;
            }
            continue;
        }
        h = part->elts;
        if (!ngx_http_clerk_auth_is_reserved(h[i].key.data, h[i].key.len)) {
            i++;
            continue;
        }
        is_changed = 1;
        if (i == 0) {
            part->elts = h + 1;
        } else if (i < part->nelts - 1) {
            tail = ngx_palloc(list->pool, sizeof(ngx_list_part_t));
            if (tail == NULL) {
                return NGX_ERROR;
            }
            tail->elts = &h[i + 1];
            tail->nelts = part->nelts - i - 1;
            tail->next = part->next;
            part->next = tail;
            part->nelts = i;
            continue;
        }
        part->nelts--;
    }
    if (!is_changed) {
        return NGX_OK;
    }
    /* The next push must not write after a shortened part. */
    list->last = prev;
    if (list->last == &list->part && list->part.nelts == 0) {
        list->part.elts = base;
    } else {
        list->nalloc = list->last->nelts;
    }
    return NGX_OK;
}

/* The next name in a `Connection` header. Some proxies split at spaces and semicolons, too. */
static ngx_str_t
ngx_http_clerk_auth_next_token(u_char **p, u_char *last)
{
    static const char separators[] = " \t,;\"";
    ngx_str_t token;

    while (*p < last && ngx_strchr(separators, **p) != NULL) {
        (*p)++;
    }
    token.data = *p;
    while (*p < last && ngx_strchr(separators, **p) == NULL) {
        (*p)++;
    }
    token.len = *p - token.data;
    return token;
}

/* Whether a `Connection` header names a reserved header. */
ngx_uint_t
ngx_http_clerk_auth_names_reserved(ngx_str_t *connection)
{
    u_char *p = connection->data, *last = p + connection->len;
    ngx_str_t token;

    do {
        token = ngx_http_clerk_auth_next_token(&p, last);
        if (ngx_http_clerk_auth_is_reserved(token.data, token.len)) {
            return 1;
        }
    } while (token.len > 0);
    return 0;
}

/* Writes the other names to `kept`, which has space for twice the length, and one more byte. */
void
ngx_http_clerk_auth_drop_reserved(ngx_str_t *connection, ngx_str_t *kept)
{
    u_char *p = connection->data, *last = p + connection->len, *out = kept->data;
    ngx_str_t token;

    for (;;) {
        token = ngx_http_clerk_auth_next_token(&p, last);
        if (token.len == 0) {
            break;
        }
        if (ngx_http_clerk_auth_is_reserved(token.data, token.len)) {
            continue;
        }
        /* A separator becomes two characters at most. */
        if (out > kept->data) {
            out = ngx_cpymem(out, ", ", 2);
        }
        out = ngx_cpymem(out, token.data, token.len);
    }
    *out = '\0';
    kept->len = out - kept->data;
}
