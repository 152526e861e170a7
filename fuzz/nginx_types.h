/* What the pure files of the nginx module use of nginx: types, and functions of its strings, pools and lists. */

#ifndef NGX_HTTP_CLERK_AUTH_H
#define NGX_HTTP_CLERK_AUTH_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef intptr_t ngx_int_t;
typedef uintptr_t ngx_uint_t;
typedef unsigned char u_char;

typedef struct {
    size_t len;
    u_char *data;
} ngx_str_t;

/* Allocations that end together. */
typedef struct {
    void **all;
    size_t count, total;
} ngx_pool_t;

typedef struct ngx_list_part_s ngx_list_part_t;
struct ngx_list_part_s {
    void *elts;
    ngx_uint_t nelts;
    ngx_list_part_t *next;
};

typedef struct {
    ngx_list_part_t *last;
    ngx_list_part_t part;
    size_t size;
    ngx_uint_t nalloc;
    ngx_pool_t *pool;
} ngx_list_t;

typedef struct {
    ngx_str_t key, value;
} ngx_table_elt_t;

#define NGX_OK 0
#define NGX_ERROR -1
#define NGX_DECLINED -5

#define ngx_strchr(string, c) strchr((const char *)(string), (int)(c))
#define ngx_strncmp(a, b, n) strncmp((const char *)(a), (const char *)(b), n)
#define ngx_cpymem(to, from, n) ((u_char *)memcpy(to, from, n) + (n))
#define ngx_tolower(c) ((u_char)((c) >= 'A' && (c) <= 'Z' ? (c) | 0x20 : (c)))

static void *ngx_palloc(ngx_pool_t *pool, size_t size)
{
    pool->all = realloc(pool->all, (pool->count + 1) * sizeof(void *));
    pool->total += size;
    return pool->all[pool->count++] = malloc(size);
}

#define ngx_pnalloc ngx_palloc

static ngx_int_t ngx_hextoi(u_char *digits, size_t n)
{
    char copy[8] = "", *end;

    memcpy(copy, digits, n);
    if (strspn(copy, "0123456789abcdefABCDEF") != n)
        return NGX_ERROR;
    return (ngx_int_t)strtol(copy, &end, 16);
}

static void *ngx_list_push(ngx_list_t *list)
{
    ngx_list_part_t *last = list->last;

    if (last->nelts == list->nalloc) {
        last = ngx_palloc(list->pool, sizeof(*last));
        last->elts = ngx_palloc(list->pool, list->nalloc * list->size);
        last->nelts = 0;
        last->next = NULL;
        list->last->next = last;
        list->last = last;
    }
    return (char *)last->elts + list->size * last->nelts++;
}

ngx_uint_t ngx_http_clerk_auth_is_reserved(const u_char *name, size_t len);
ngx_uint_t ngx_http_clerk_auth_names_reserved(ngx_str_t *connection);
void ngx_http_clerk_auth_drop_reserved(ngx_str_t *connection, ngx_str_t *kept);
ngx_int_t ngx_http_clerk_auth_unlink_headers(ngx_list_t *list);
ngx_int_t ngx_http_clerk_auth_claim_value(ngx_pool_t *pool, ngx_str_t *json, ngx_str_t *value);

#endif
