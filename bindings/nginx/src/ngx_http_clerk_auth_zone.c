/*
 * Shared memory: a ring of webhook deliveries that every worker applies, the revocations for workers that start later, and
 * each worker's statistics. It survives a reload.
 */

#include "ngx_http_clerk_auth.h"

#define NGX_HTTP_CLERK_AUTH_POLL_MS 250
/* At least one of the largest deliveries. */
#define NGX_HTTP_CLERK_AUTH_MIN_ZONE (1024 * 1024)
#define NGX_HTTP_CLERK_AUTH_SLOTS 128
/* Changes with the structures in the zone: a reload may load another version of this module. */
#define NGX_HTTP_CLERK_AUTH_LAYOUT 0x636c65726b0002

/* A signed delivery; followed by svix-id, svix-timestamp, svix-signature and body. */
typedef struct {
    uint64_t size; /* with the parts, a multiple of 8 */
    uint64_t worker;
    uint32_t lengths[4];
} ngx_http_clerk_auth_record_t;

typedef struct {
    ngx_pid_t pid; /* 0: free */
    ngx_http_clerk_auth_statistics_t statistics;
} ngx_http_clerk_auth_slot_t;

typedef struct {
    uint64_t layout;
    uint64_t head; /* bytes written since the zone was created */
    uint64_t tail; /* start of the oldest record */
    uint64_t capacity;
    uint64_t workers; /* numbers assigned */
    u_char *ring;
    ngx_http_clerk_auth_revocations_t *revocations;
    ngx_http_clerk_auth_statistics_t retired; /* of workers that have ended */
    ngx_http_clerk_auth_slot_t slots[NGX_HTTP_CLERK_AUTH_SLOTS];
} ngx_http_clerk_auth_shared_t;

/* The smallest zone has room for the largest delivery beside this structure and the revocations. */
_Static_assert(sizeof(ngx_http_clerk_auth_shared_t) + 2 * NGX_HTTP_CLERK_AUTH_MAX_WEBHOOK < NGX_HTTP_CLERK_AUTH_MIN_ZONE - 128 * 1024,
    "NGX_HTTP_CLERK_AUTH_MIN_ZONE is too small");

struct ngx_http_clerk_auth_zone_s {
    ngx_http_clerk_auth_shared_t *shared;
    ngx_slab_pool_t *pool;
};

/* Of this worker. */
static ngx_http_clerk_auth_main_conf_t *ngx_http_clerk_auth_main;
static ngx_http_clerk_auth_slot_t *ngx_http_clerk_auth_slot;
static uint64_t ngx_http_clerk_auth_worker;
static uint64_t ngx_http_clerk_auth_position;
static ngx_event_t ngx_http_clerk_auth_tick_event;
static ngx_connection_t ngx_http_clerk_auth_tick_connection;

static ngx_http_clerk_auth_zone_t *
ngx_http_clerk_auth_zone(ngx_http_clerk_auth_main_conf_t *mcf)
{
    return mcf->zone == NULL ? NULL : mcf->zone->data;
}

/* The zone of the running configuration, if a reload changes its name or size: nginx then creates another one. */
static ngx_http_clerk_auth_zone_t *
ngx_http_clerk_auth_replaced_zone(ngx_shm_zone_t *shm_zone)
{
    ngx_list_part_t *part = &((ngx_cycle_t *) ngx_cycle)->shared_memory.part;
    ngx_http_clerk_auth_zone_t *zone;
    ngx_shm_zone_t *zones;
    ngx_uint_t i;

    for (; part != NULL; part = part->next) {
        zones = part->elts;
        for (i = 0; i < part->nelts; i++) {
            if (zones[i].tag == &ngx_http_clerk_auth_module && &zones[i] != shm_zone) {
                zone = zones[i].data;
                return zone->shared != NULL && zone->shared->layout == NGX_HTTP_CLERK_AUTH_LAYOUT ? zone : NULL;
            }
        }
    }
    return NULL;
}

static ngx_int_t
ngx_http_clerk_auth_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    static const ngx_http_clerk_auth_statistics_t empty = { CLERK_STATS_INIT, { 0 } };
    ngx_http_clerk_auth_zone_t *zone = shm_zone->data, *old = data;
    ngx_http_clerk_auth_shared_t *shared;

    if (old != NULL) {
        if (old->shared->layout != NGX_HTTP_CLERK_AUTH_LAYOUT) {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                "\"clerk_auth_zone\" is of another version of this module: restart nginx instead of reloading it");
            return NGX_ERROR;
        }
        *zone = *old;
        return NGX_OK;
    }
    zone->pool = (ngx_slab_pool_t *) shm_zone->shm.addr;
    if (shm_zone->shm.exists) {
        zone->shared = zone->pool->data;
        return NGX_OK;
    }
    shared = ngx_slab_calloc(zone->pool, sizeof(ngx_http_clerk_auth_shared_t));
    if (shared == NULL) {
        return NGX_ERROR;
    }
    shared->layout = NGX_HTTP_CLERK_AUTH_LAYOUT;
    shared->retired = empty;
    /* The other half is for revocations. */
    zone->pool->log_nomem = 0;
    shared->capacity = zone->pool->pfree / 2 * ngx_pagesize;
    shared->ring = ngx_slab_alloc(zone->pool, shared->capacity);
    if (shared->ring == NULL) {
        return NGX_ERROR;
    }
    zone->shared = shared;
    zone->pool->data = shared;
    old = ngx_http_clerk_auth_replaced_zone(shm_zone);
    if (old == NULL) {
        return NGX_OK;
    }
    if (ngx_http_clerk_auth_revocations_copy(zone->pool, &shared->revocations, old->pool, old->shared->revocations) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0, "\"clerk_auth_zone\" is too small for the present revocations");
        return NGX_ERROR;
    }
    return NGX_OK;
}

/* `clerk_auth_zone name:size`. */
char *
ngx_http_clerk_auth_set_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_clerk_auth_main_conf_t *mcf = conf;
    ngx_http_clerk_auth_zone_t *zone;
    ngx_str_t *value = cf->args->elts, name, digits;
    ssize_t size;
    u_char *colon;

    if (mcf->zone != NULL) {
        return "is duplicate";
    }
    colon = (u_char *) ngx_strchr(value[1].data, ':');
    if (colon == NULL || colon == value[1].data) {
        return "takes name:size, such as clerk:1m";
    }
    name.data = value[1].data;
    name.len = colon - value[1].data;
    digits.data = colon + 1;
    digits.len = value[1].data + value[1].len - digits.data;
    size = ngx_parse_size(&digits);
    if (size < NGX_HTTP_CLERK_AUTH_MIN_ZONE) {
        return "takes name:size with a size of at least 1m";
    }
    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_clerk_auth_zone_t));
    mcf->zone = ngx_shared_memory_add(cf, &name, size, &ngx_http_clerk_auth_module);
    if (zone == NULL || mcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }
    mcf->zone->init = ngx_http_clerk_auth_init_zone;
    mcf->zone->data = zone;
    return NGX_CONF_OK;
}

static void
ngx_http_clerk_auth_ring_write(ngx_http_clerk_auth_shared_t *shared, uint64_t at, const void *data, size_t len)
{
    size_t begin = at % shared->capacity, first = ngx_min(len, shared->capacity - begin);

    ngx_memcpy(shared->ring + begin, data, first);
    ngx_memcpy(shared->ring, (const u_char *) data + first, len - first);
}

static void
ngx_http_clerk_auth_ring_read(ngx_http_clerk_auth_shared_t *shared, uint64_t at, void *data, size_t len)
{
    size_t begin = at % shared->capacity, first = ngx_min(len, shared->capacity - begin);

    ngx_memcpy(data, shared->ring + begin, first);
    ngx_memcpy((u_char *) data + first, shared->ring, len - first);
}

/* Any thread. `is_start`: the client is new, or has missed deliveries. */
void
ngx_http_clerk_auth_zone_share(ngx_shm_zone_t *shm_zone, ngx_http_clerk_auth_client_t *client, ngx_uint_t is_start,
    ngx_log_t *log)
{
    ngx_http_clerk_auth_zone_t *zone = shm_zone == NULL ? NULL : shm_zone->data;

    if (zone != NULL && client->client != NULL && client->secrets->values != NULL) {
        ngx_http_clerk_auth_revocations_share(zone->pool, &zone->shared->revocations, client, is_start, log);
    }
}

void
ngx_http_clerk_auth_zone_publish(ngx_shm_zone_t *shm_zone, ngx_str_t parts[4], ngx_log_t *log)
{
    ngx_http_clerk_auth_zone_t *zone = shm_zone->data;
    ngx_http_clerk_auth_shared_t *shared = zone->shared;
    ngx_http_clerk_auth_record_t record, oldest;
    ngx_uint_t i;
    uint64_t at;
    size_t size = sizeof(record);

    for (i = 0; i < 4; i++) {
        record.lengths[i] = (uint32_t) parts[i].len;
        size += parts[i].len;
    }
    if (ngx_align(size, 8) > shared->capacity) {
        ngx_log_error(NGX_LOG_ALERT, log, 0, "clerk_auth: a webhook event does not fit into \"clerk_auth_zone\"");
        return;
    }
    record.size = ngx_align(size, 8);
    record.worker = ngx_http_clerk_auth_worker;

    ngx_shmtx_lock(&zone->pool->mutex);
    while (shared->capacity - (shared->head - shared->tail) < record.size) {
        ngx_http_clerk_auth_ring_read(shared, shared->tail, &oldest, sizeof(oldest));
        shared->tail += oldest.size;
    }
    at = shared->head;
    ngx_http_clerk_auth_ring_write(shared, at, &record, sizeof(record));
    at += sizeof(record);
    for (i = 0; i < 4; i++) {
        ngx_http_clerk_auth_ring_write(shared, at, parts[i].data, parts[i].len);
        at += parts[i].len;
    }
    shared->head += record.size;
    ngx_shmtx_unlock(&zone->pool->mutex);
}

/* The caches of this worker: the shared cache and other workers have missed nothing. */
static void
ngx_http_clerk_auth_clear_caches(ngx_log_t *log)
{
    ngx_http_clerk_auth_client_t **clients = ngx_http_clerk_auth_main->clients.elts;
    ngx_uint_t i;

    for (i = 0; i < ngx_http_clerk_auth_main->clients.nelts; i++) {
        ngx_http_clerk_auth_zone_share(ngx_http_clerk_auth_main->zone, clients[i], 1, log);
        if (clients[i]->client != NULL && clerk_client_clear_cache(clients[i]->client) != CLERK_OK) {
            ngx_log_error(NGX_LOG_ERR, log, 0, "clerk_auth: a cache could not be cleared");
        }
    }
}

static void
ngx_http_clerk_auth_apply_record(ngx_http_clerk_auth_record_t *record, ngx_log_t *log)
{
    u_char *p = (u_char *) (record + 1);
    ngx_str_t parts[4];
    ngx_uint_t i;

    if (record->worker == ngx_http_clerk_auth_worker) {
        return;
    }
    for (i = 0; i < 4; i++) {
        parts[i].data = p;
        parts[i].len = record->lengths[i];
        p += parts[i].len;
    }
    ngx_http_clerk_auth_webhook_replay(ngx_http_clerk_auth_main, parts, log);
}

/* Copies new deliveries from the ring, so that they are applied without the lock. */
static void
ngx_http_clerk_auth_apply_records(ngx_http_clerk_auth_zone_t *zone, ngx_log_t *log)
{
    ngx_http_clerk_auth_shared_t *shared = zone->shared;
    ngx_http_clerk_auth_record_t *record;
    ngx_uint_t is_behind;
    u_char *copy = NULL, *p;
    size_t len;

    if (shared->head == ngx_http_clerk_auth_position) {
        return;
    }
    ngx_shmtx_lock(&zone->pool->mutex);
    is_behind = ngx_http_clerk_auth_position < shared->tail;
    if (is_behind) {
        ngx_http_clerk_auth_position = shared->tail;
    }
    len = shared->head - ngx_http_clerk_auth_position;
    if (len > 0) {
        copy = ngx_alloc(len, log);
        if (copy != NULL) {
            ngx_http_clerk_auth_ring_read(shared, ngx_http_clerk_auth_position, copy, len);
            ngx_http_clerk_auth_position = shared->head;
        }
    }
    ngx_shmtx_unlock(&zone->pool->mutex);

    if (is_behind) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
            "clerk_auth: webhook events arrived faster than this worker applied them; its caches are cleared");
        ngx_http_clerk_auth_clear_caches(log);
    }
    for (p = copy; p != NULL && p < copy + len; p += record->size) {
        record = (ngx_http_clerk_auth_record_t *) p;
        ngx_http_clerk_auth_apply_record(record, log);
    }
    if (copy != NULL) {
        ngx_free(copy);
    }
}

static void
ngx_http_clerk_auth_tick(ngx_event_t *ev)
{
    ngx_http_clerk_auth_zone_t *zone = ngx_http_clerk_auth_zone(ngx_http_clerk_auth_main);

    ngx_http_clerk_auth_clients_retry((ngx_cycle_t *) ngx_cycle, ngx_http_clerk_auth_main);
    if (zone != NULL) {
        ngx_http_clerk_auth_apply_records(zone, ev->log);
        if (ngx_http_clerk_auth_slot != NULL) {
            ngx_http_clerk_auth_statistics(ngx_http_clerk_auth_main, &ngx_http_clerk_auth_slot->statistics);
        }
    }
    ngx_add_timer(ev, NGX_HTTP_CLERK_AUTH_POLL_MS);
}

static void
ngx_http_clerk_auth_release_slot(ngx_http_clerk_auth_shared_t *shared, ngx_http_clerk_auth_slot_t *slot)
{
    ngx_http_clerk_auth_statistics_add(&shared->retired, &slot->statistics, 1);
    ngx_memzero(slot, sizeof(*slot));
}

ngx_int_t
ngx_http_clerk_auth_zone_start(ngx_cycle_t *cycle, ngx_http_clerk_auth_main_conf_t *mcf)
{
    ngx_http_clerk_auth_zone_t *zone = ngx_http_clerk_auth_zone(mcf);
    ngx_http_clerk_auth_shared_t *shared;
    ngx_event_t *ev = &ngx_http_clerk_auth_tick_event;
    ngx_uint_t i;

    ngx_http_clerk_auth_main = mcf;
    if (zone != NULL) {
        shared = zone->shared;
        ngx_shmtx_lock(&zone->pool->mutex);
        ngx_http_clerk_auth_worker = ++shared->workers;
        ngx_http_clerk_auth_position = shared->tail;
        for (i = 0; i < NGX_HTTP_CLERK_AUTH_SLOTS && ngx_http_clerk_auth_slot == NULL; i++) {
            if (shared->slots[i].pid != 0 && kill(shared->slots[i].pid, 0) == -1 && ngx_errno == NGX_ESRCH) {
                ngx_http_clerk_auth_release_slot(shared, &shared->slots[i]);
            }
            if (shared->slots[i].pid == 0) {
                ngx_http_clerk_auth_slot = &shared->slots[i];
                ngx_http_clerk_auth_statistics(mcf, &ngx_http_clerk_auth_slot->statistics);
                ngx_http_clerk_auth_slot->pid = ngx_pid;
            }
        }
        ngx_shmtx_unlock(&zone->pool->mutex);
        ngx_http_clerk_auth_apply_records(zone, cycle->log);
    }
    ngx_http_clerk_auth_tick_connection.fd = (ngx_socket_t) -1;
    ev->handler = ngx_http_clerk_auth_tick;
    ev->data = &ngx_http_clerk_auth_tick_connection;
    ev->log = cycle->log;
    ev->cancelable = 1;
    ngx_add_timer(ev, NGX_HTTP_CLERK_AUTH_POLL_MS);
    return NGX_OK;
}

void
ngx_http_clerk_auth_zone_stop(ngx_http_clerk_auth_main_conf_t *mcf)
{
    ngx_http_clerk_auth_zone_t *zone = ngx_http_clerk_auth_zone(mcf);

    if (zone != NULL && ngx_http_clerk_auth_slot != NULL) {
        ngx_http_clerk_auth_statistics(mcf, &ngx_http_clerk_auth_slot->statistics);
        ngx_shmtx_lock(&zone->pool->mutex);
        ngx_http_clerk_auth_release_slot(zone->shared, ngx_http_clerk_auth_slot);
        ngx_shmtx_unlock(&zone->pool->mutex);
        ngx_http_clerk_auth_slot = NULL;
    }
}

/* Adds up the statistics of all workers. Returns the number of workers; without a zone, only this one. */
ngx_uint_t
ngx_http_clerk_auth_zone_statistics(ngx_http_clerk_auth_main_conf_t *mcf,
    ngx_http_clerk_auth_statistics_t *sum)
{
    ngx_http_clerk_auth_zone_t *zone = ngx_http_clerk_auth_zone(mcf);
    ngx_uint_t i, workers = 0;

    ngx_http_clerk_auth_statistics(mcf, sum);
    if (zone == NULL || ngx_http_clerk_auth_slot == NULL) {
        return 1;
    }
    ngx_shmtx_lock(&zone->pool->mutex);
    ngx_http_clerk_auth_slot->statistics = *sum;
    *sum = zone->shared->retired;
    for (i = 0; i < NGX_HTTP_CLERK_AUTH_SLOTS; i++) {
        if (zone->shared->slots[i].pid != 0) {
            workers++;
            ngx_http_clerk_auth_statistics_add(sum, &zone->shared->slots[i].statistics, 0);
        }
    }
    ngx_shmtx_unlock(&zone->pool->mutex);
    return workers;
}
