/* Records that all processes share, through mod_socache. A reload ends a cache: what later processes need is copied. */

#include "mod_auth_clerk.h"

#include <ap_provider.h>
#include <ap_socache.h>
#include <apr_global_mutex.h>
#include <util_mutex.h>

#define CACHE_ID "auth-clerk"
#define CHUNK 4096
#define MAX_CHUNKS 1024

static ap_socache_provider_t *provider;
static ap_socache_instance_t *instance;
static apr_global_mutex_t *mutex;
static server_rec *cache_server;
static int is_ready;

int mac_cache_is_ready(void)
{
    return is_ready;
}

apr_status_t mac_cache_lock(void)
{
    return apr_global_mutex_lock(mutex);
}

void mac_cache_unlock(void)
{
    apr_global_mutex_unlock(mutex);
}

/* --- records in chunks; the mutex is locked ------------------------------------------------------------------------- */

typedef struct {
    unsigned char first; /* spreads chunks over the parts of a shmcb cache */
    char name[2];
    char kind;
    unsigned char run[8];
    apr_uint64_t number;
    apr_uint32_t chunk;
} __attribute__((packed)) chunk_id;

static chunk_id id_of(mac_record_kind kind, apr_uint64_t number, apr_uint32_t chunk)
{
    chunk_id id = { (unsigned char)(number * 7 + chunk), { 'c', 'k' }, (char)kind, { 0 }, number, chunk };

    memcpy(id.run, mac_shared_state->run_id, sizeof(id.run));
    return id;
}

apr_status_t mac_cache_store(apr_pool_t *p, mac_record_kind kind, apr_uint64_t number, const mac_record *whole, apr_time_t expires)
{
    apr_uint32_t i, chunks = (apr_uint32_t)((whole->len + CHUNK - 1) / CHUNK);

    if (chunks > MAX_CHUNKS)
        return APR_ENOSPC;
    for (i = 0; i <= chunks; i++) {
        chunk_id id = id_of(kind, number, i);
        /* The first chunk contains the total length. */
        unsigned char *data = i ? whole->data + (i - 1) * CHUNK : (unsigned char *)&whole->len;
        apr_size_t len = !i ? sizeof(whole->len) : i < chunks ? CHUNK : whole->len - (apr_size_t)(chunks - 1) * CHUNK;
        apr_status_t rv = provider->store(instance, cache_server, (unsigned char *)&id, sizeof(id), expires, data, (unsigned)len, p);

        if (rv != APR_SUCCESS)
            return rv;
    }
    return APR_SUCCESS;
}

apr_status_t mac_cache_retrieve(apr_pool_t *p, mac_record_kind kind, apr_uint64_t number, mac_record *whole)
{
    chunk_id id = id_of(kind, number, 0);
    unsigned int len = sizeof(whole->len);
    apr_status_t rv = provider->retrieve(instance, cache_server, (unsigned char *)&id, sizeof(id), (unsigned char *)&whole->len, &len, p);
    apr_size_t got = 0;
    apr_uint32_t i;

    if (rv != APR_SUCCESS || len != sizeof(whole->len) || whole->len > (apr_size_t)MAX_CHUNKS * CHUNK)
        return rv != APR_SUCCESS ? rv : APR_NOTFOUND;
    whole->data = apr_palloc(p, whole->len + CHUNK);
    for (i = 1; got < whole->len; i++, got += len) {
        id = id_of(kind, number, i);
        len = CHUNK;
        rv = provider->retrieve(instance, cache_server, (unsigned char *)&id, sizeof(id), whole->data + got, &len, p);
        if (rv != APR_SUCCESS || !len)
            return rv != APR_SUCCESS ? rv : APR_NOTFOUND;
    }
    return got == whole->len ? APR_SUCCESS : APR_NOTFOUND;
}

/* --- reloads ----------------------------------------------------------------------------------------------------------- */

static struct {
    apr_pool_t *pool;
    mac_record records[MAC_MAX_TAGS];
} carried;

static apr_status_t carry_over(void *unused)
{
    int i;

    (void)unused;
    if (!is_ready || mac_cache_lock() != APR_SUCCESS)
        return APR_SUCCESS;
    if (apr_pool_create(&carried.pool, cache_server->process->pool) == APR_SUCCESS)
        for (i = 0; i < MAC_MAX_TAGS && mac_shared_state->revocation_tags[i]; i++)
            if (mac_cache_retrieve(carried.pool, MAC_REVOCATIONS, mac_shared_state->revocation_tags[i], &carried.records[i])
                != APR_SUCCESS)
                carried.records[i].len = 0;
    mac_cache_unlock();
    return APR_SUCCESS;
}

static void bring_back(apr_pool_t *p)
{
    int i;

    for (i = 0; i < MAC_MAX_TAGS && mac_shared_state->revocation_tags[i]; i++)
        if (carried.records[i].len
            && mac_cache_store(p, MAC_REVOCATIONS, mac_shared_state->revocation_tags[i], &carried.records[i],
                               apr_time_now() + MAC_REVOCATIONS_LIFETIME) != APR_SUCCESS)
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, cache_server,
                         "mod_auth_clerk: revocations were lost during this reload: tokens that were issued before are rejected");
    if (carried.pool)
        apr_pool_destroy(carried.pool);
    memset(&carried, 0, sizeof(carried));
}

static apr_status_t destroy_cache(void *unused)
{
    (void)unused;
    is_ready = 0;
    provider->destroy(instance, cache_server);
    return APR_SUCCESS;
}

/* --- start ------------------------------------------------------------------------------------------------------------- */

const char *mac_set_socache(cmd_parms *cmd, void *conf, const char *arg)
{
    const char *wrong = ap_check_cmd_context(cmd, GLOBAL_ONLY), *colon = ap_strchr_c(arg, ':');
    const char *name = colon ? apr_pstrmemdup(cmd->temp_pool, arg, (apr_size_t)(colon - arg)) : arg;

    (void)conf;
    if (wrong)
        return wrong;
    provider = ap_lookup_provider(AP_SOCACHE_PROVIDER_GROUP, name, AP_SOCACHE_PROVIDER_VERSION);
    if (!provider)
        return apr_psprintf(cmd->pool, "ClerkSOCache: unknown socache provider '%s'; load mod_socache_%s", name, name);
    wrong = provider->create(&instance, colon ? colon + 1 : NULL, cmd->temp_pool, cmd->pool);
    return wrong ? apr_pstrcat(cmd->pool, "ClerkSOCache: ", wrong, NULL) : NULL;
}

int mac_cache_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)plog, (void)ptemp;
    provider = NULL;
    instance = NULL;
    is_ready = 0;
    return ap_mutex_register(pconf, CACHE_ID, NULL, APR_LOCK_DEFAULT, 0) == APR_SUCCESS ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

static int takes_webhooks(server_rec *s)
{
    for (; s; s = s->next)
        if (mac_setting_value(mac_server_conf_of(s)->settings, "webhook_secrets"))
            return 1;
    return 0;
}

static int failed(server_rec *s, apr_status_t rv, const char *what)
{
    ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "mod_auth_clerk: ClerkSOCache: %s", what);
    return HTTP_INTERNAL_SERVER_ERROR;
}

int mac_cache_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    static const struct ap_socache_hints hints = { sizeof(chunk_id), 2048, apr_time_from_sec(60) };
    const char *wrong;
    apr_status_t rv;

    (void)plog;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG)
        return OK;
    if (mac_shared_init(s) != OK)
        return HTTP_INTERNAL_SERVER_ERROR;
    if (!takes_webhooks(s))
        return OK;
    cache_server = s;
    if (!provider)
        provider = ap_lookup_provider(AP_SOCACHE_PROVIDER_GROUP, "shmcb", AP_SOCACHE_PROVIDER_VERSION);
    if (!provider)
        return failed(s, 0, "webhooks need a cache for all processes; load mod_socache_shmcb");
    if (!instance && (wrong = provider->create(&instance, NULL, ptemp, pconf)))
        return failed(s, 0, wrong);
    if ((rv = ap_global_mutex_create(&mutex, NULL, CACHE_ID, NULL, s, pconf, 0)) != APR_SUCCESS)
        return failed(s, rv, "no mutex");
    if ((rv = provider->init(instance, CACHE_ID, &hints, s, pconf)) != APR_SUCCESS)
        return failed(s, rv, "the cache cannot be created");
    is_ready = 1;
    apr_pool_cleanup_register(pconf, NULL, destroy_cache, apr_pool_cleanup_null);
    apr_pool_cleanup_register(pconf, NULL, carry_over, apr_pool_cleanup_null);
    bring_back(ptemp);
    return OK;
}

void mac_cache_child_init(apr_pool_t *p, server_rec *s)
{
    apr_status_t rv;

    if (!is_ready)
        return;
    rv = apr_global_mutex_child_init(&mutex, apr_global_mutex_lockfile(mutex), p);
    if (rv != APR_SUCCESS) {
        is_ready = 0;
        failed(s, rv, "the mutex cannot be used in this process");
    }
}
