/*
 * Revocations in the zone, so that workers that start later know them: a list with one entry for each webhook secret, so that
 * instances do not affect each other, and so that a secret can be rotated. Each entry is what the library exports.
 */

#include "ngx_http_clerk_auth.h"

/* Workers that publish at the same time start over; each time one of them succeeds. */
#define NGX_HTTP_CLERK_AUTH_ATTEMPTS 64

struct ngx_http_clerk_auth_revocations_s {
    ngx_http_clerk_auth_revocations_t *next;
    uint64_t tag;     /* of the secret */
    uint64_t version; /* changes with `json` */
    u_char *json;
    size_t len;
    ngx_uint_t is_partial; /* it replaces revocations for which there is no room */
};

static uint64_t
ngx_http_clerk_auth_tag(ngx_str_t *secret)
{
    uint64_t hash = 14695981039346656037u;
    size_t i;

    for (i = 0; i < secret->len; i++) {
        hash = (hash ^ secret->data[i]) * 1099511628211u;
    }
    return hash;
}

static ngx_http_clerk_auth_revocations_t *
ngx_http_clerk_auth_revocations_find(ngx_http_clerk_auth_revocations_t *entry, ngx_str_t *secret)
{
    uint64_t tag = ngx_http_clerk_auth_tag(secret);

    while (entry != NULL && entry->tag != tag) {
        entry = entry->next;
    }
    return entry;
}

/* The sum of the versions changes when one of them does. */
static uint64_t
ngx_http_clerk_auth_revocations_version(ngx_http_clerk_auth_revocations_t *list, ngx_http_clerk_auth_setting_t *secrets)
{
    ngx_http_clerk_auth_revocations_t *entry;
    uint64_t sum = 0;
    ngx_uint_t i;

    for (i = 0; i < secrets->count; i++) {
        entry = ngx_http_clerk_auth_revocations_find(list, &secrets->values[i]);
        sum += entry == NULL ? 0 : entry->version;
    }
    return sum;
}

static void
ngx_http_clerk_auth_revocations_import(clerk_client *client, u_char *json, size_t len, ngx_log_t *log)
{
    clerk_str view = { (const char *) json, len };
    clerk_error *error = NULL;

    if (clerk_client_import_revocations(client, view, &error) != CLERK_OK) {
        ngx_http_clerk_auth_log_error(log, NGX_LOG_ALERT, "revocations could not be imported", error);
        clerk_error_free(error);
    }
}

/* Imports the entries of all secrets, unless the client has them, and returns their version. Only a worker that starts needs
   those that are partial. */
static ngx_int_t
ngx_http_clerk_auth_revocations_read(ngx_slab_pool_t *pool, ngx_http_clerk_auth_revocations_t **list,
    ngx_http_clerk_auth_client_t *client, ngx_uint_t is_start, ngx_log_t *log, uint64_t *version)
{
    ngx_http_clerk_auth_setting_t *secrets = client->secrets;
    ngx_http_clerk_auth_revocations_t *entry;
    ngx_uint_t i, is_known;
    u_char *copy;
    size_t len;

    ngx_shmtx_lock(&pool->mutex);
    *version = ngx_http_clerk_auth_revocations_version(*list, secrets);
    is_known = !is_start && client->revocations == *version;
    ngx_shmtx_unlock(&pool->mutex);
    if (is_known) {
        return NGX_OK;
    }
    for (i = 0; i < secrets->count; i++) {
        ngx_shmtx_lock(&pool->mutex);
        entry = ngx_http_clerk_auth_revocations_find(*list, &secrets->values[i]);
        len = entry == NULL || (entry->is_partial && !is_start) ? 0 : entry->len;
        copy = len > 0 ? ngx_alloc(len, log) : NULL;
        if (copy != NULL) {
            ngx_memcpy(copy, entry->json, len);
        }
        ngx_shmtx_unlock(&pool->mutex);
        if (len > 0 && copy == NULL) {
            return NGX_ERROR;
        }
        if (copy != NULL) {
            ngx_http_clerk_auth_revocations_import(client->client, copy, len, log);
            ngx_free(copy);
        }
    }
    return NGX_OK;
}

static u_char *
ngx_http_clerk_auth_revocations_export(clerk_client *client, size_t *len, ngx_log_t *log)
{
    ngx_uint_t i;
    size_t capacity = 0;
    u_char *json = NULL;

    for (i = 0; i < NGX_HTTP_CLERK_AUTH_ATTEMPTS; i++) {
        if (clerk_client_export_revocations(client, (char *) json, capacity, len) == CLERK_OK) {
            return json;
        }
        if (json != NULL) {
            ngx_free(json);
        }
        capacity = *len + 4096;
        json = ngx_alloc(capacity, log);
        if (json == NULL) {
            break;
        }
    }
    return NULL;
}

static ngx_http_clerk_auth_revocations_t *
ngx_http_clerk_auth_revocations_add(ngx_slab_pool_t *pool, ngx_http_clerk_auth_revocations_t **list, ngx_str_t *secret)
{
    ngx_http_clerk_auth_revocations_t *entry = ngx_http_clerk_auth_revocations_find(*list, secret);

    if (entry == NULL) {
        entry = ngx_slab_calloc_locked(pool, sizeof(*entry));
        if (entry != NULL) {
            entry->tag = ngx_http_clerk_auth_tag(secret);
            entry->next = *list;
            *list = entry;
        }
    }
    return entry;
}

static ngx_int_t
ngx_http_clerk_auth_revocations_put(ngx_slab_pool_t *pool, ngx_http_clerk_auth_revocations_t *entry, u_char *json,
    size_t len)
{
    u_char *place;

    if (entry->len == len && ngx_memcmp(entry->json, json, len) == 0) {
        return NGX_OK;
    }
    place = ngx_slab_alloc_locked(pool, len);
    if (entry->json != NULL && place == NULL) {
        ngx_slab_free_locked(pool, entry->json);
        entry->json = NULL;
        entry->len = 0;
        place = ngx_slab_alloc_locked(pool, len);
    } else if (entry->json != NULL) {
        ngx_slab_free_locked(pool, entry->json);
    }
    entry->version++;
    entry->json = place;
    entry->len = place == NULL ? 0 : len;
    entry->is_partial = 0;
    if (place == NULL) {
        return NGX_ERROR;
    }
    ngx_memcpy(place, json, len);
    return NGX_OK;
}

/* Without room for all revocations: those who import this reject every token that was issued before now. */
static ngx_int_t
ngx_http_clerk_auth_revocations_put_all(ngx_slab_pool_t *pool, ngx_http_clerk_auth_revocations_t *entry)
{
    u_char json[256];
    int64_t now = (int64_t) time(NULL) * 1000;
    size_t len;
    ngx_int_t rc;

    len = ngx_sprintf(json, "{\"version\":1,\"sessions\":{\"evicted_at_ms\":%L,\"entries\":[]},"
                            "\"users\":{\"evicted_at_ms\":%L,\"entries\":[]}}", now, now) - json;
    rc = ngx_http_clerk_auth_revocations_put(pool, entry, json, len);
    entry->is_partial = 1;
    return rc;
}

/* Unites the revocations of a client and those in the zone, in both. A worker calls it when it starts, and after each delivery. */
void
ngx_http_clerk_auth_revocations_share(ngx_slab_pool_t *pool, ngx_http_clerk_auth_revocations_t **list,
    ngx_http_clerk_auth_client_t *owner, ngx_uint_t is_start, ngx_log_t *log)
{
    ngx_http_clerk_auth_setting_t *secrets = owner->secrets;
    clerk_client *client = owner->client;
    ngx_http_clerk_auth_revocations_t *entry;
    ngx_uint_t i, j, has_changed = 1, is_small = 0;
    uint64_t version;
    u_char *json;
    size_t len;

    for (i = 0; i < NGX_HTTP_CLERK_AUTH_ATTEMPTS && has_changed; i++) {
        if (ngx_http_clerk_auth_revocations_read(pool, list, owner, is_start, log, &version) != NGX_OK) {
            break;
        }
        json = ngx_http_clerk_auth_revocations_export(client, &len, log);
        if (json == NULL) {
            break;
        }
        ngx_shmtx_lock(&pool->mutex);
        has_changed = ngx_http_clerk_auth_revocations_version(*list, secrets) != version;
        for (j = 0; j < secrets->count && !has_changed; j++) {
            entry = ngx_http_clerk_auth_revocations_add(pool, list, &secrets->values[j]);
            if (entry == NULL || ngx_http_clerk_auth_revocations_put(pool, entry, json, len) != NGX_OK) {
                is_small = 1;
                has_changed = entry == NULL || ngx_http_clerk_auth_revocations_put_all(pool, entry) != NGX_OK;
            }
        }
        if (!has_changed) {
            owner->revocations = ngx_http_clerk_auth_revocations_version(*list, secrets);
        }
        ngx_shmtx_unlock(&pool->mutex);
        ngx_free(json);
    }
    if (is_small) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "clerk_auth: \"clerk_auth_zone\" is too small for all revocations: workers that "
                                           "start later reject all tokens that were issued before");
    }
    if (has_changed) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "clerk_auth: the revocations of this worker could not be shared");
    }
}

/* Copies all entries to another zone. */
ngx_int_t
ngx_http_clerk_auth_revocations_copy(ngx_slab_pool_t *pool, ngx_http_clerk_auth_revocations_t **list,
    ngx_slab_pool_t *old_pool, ngx_http_clerk_auth_revocations_t *old)
{
    ngx_http_clerk_auth_revocations_t *entry;
    ngx_int_t rc = NGX_OK;

    ngx_shmtx_lock(&old_pool->mutex);
    for (; old != NULL && rc == NGX_OK; old = old->next) {
        entry = ngx_slab_calloc(pool, sizeof(*entry));
        if (entry == NULL) {
            rc = NGX_ERROR;
            break;
        }
        *entry = *old;
        entry->json = old->len == 0 ? NULL : ngx_slab_alloc(pool, old->len);
        if (old->len > 0) {
            if (entry->json == NULL) {
                rc = NGX_ERROR;
                break;
            }
            ngx_memcpy(entry->json, old->json, old->len);
        }
        entry->next = *list;
        *list = entry;
    }
    ngx_shmtx_unlock(&old_pool->mutex);
    return rc;
}
