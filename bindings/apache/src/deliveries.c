/* Webhook deliveries for all processes. One process receives a delivery, verifies it and publishes it through mod_socache; each
 * other process verifies it again and applies it before the next request that it authenticates. So a forged entry of the
 * shared cache cannot sign a user in. */

#include "mod_auth_clerk.h"

#include <ap_provider.h>
#include <ap_socache.h>
#include <mpm_common.h>
#include <apr_global_mutex.h>
#include <scoreboard.h>
#include <util_mutex.h>

#define CACHE_ID "auth-clerk"
#define CHUNK 4096
#define MAX_CHUNKS 64
/* Svix signatures are valid for five minutes: older deliveries could not be verified. */
#define LIFETIME apr_time_from_sec(300)
/* How many past deliveries a new process applies, and a reload copies. */
#define MAX_KEPT 256

static ap_socache_provider_t *provider;
static ap_socache_instance_t *instance;
static apr_global_mutex_t *mutex;
static server_rec *cache_server;
static int is_ready;

/* --- records: a delivery as bytes ----------------------------------------------------------------------------------- */

typedef struct {
    unsigned char *data;
    apr_size_t len;
} record;

static apr_uint64_t tag_of(const char *secrets)
{
    apr_uint64_t hash = 14695981039346656037u;

    for (; *secrets; secrets++)
        hash = (hash ^ (unsigned char)*secrets) * 1099511628211u;
    return hash;
}

static void put(record *out, const void *data, apr_size_t len)
{
    if (len)
        memcpy(out->data + out->len, data, len);
    out->len += len;
}

static void put_str(record *out, clerk_str value)
{
    apr_uint32_t len = (apr_uint32_t)value.len;

    put(out, &len, sizeof(len));
    put(out, value.data, value.len);
}

static record make_record(apr_pool_t *p, apr_uint64_t tag, const clerk_header *headers, int count, clerk_str body)
{
    apr_size_t size = sizeof(tag) + 2 * sizeof(apr_uint32_t) + body.len;
    apr_uint32_t lines = (apr_uint32_t)count;
    record made = { NULL, 0 };
    int i;

    for (i = 0; i < count; i++)
        size += 2 * sizeof(apr_uint32_t) + headers[i].name.len + headers[i].value.len;
    made.data = apr_palloc(p, size);
    put(&made, &tag, sizeof(tag));
    put(&made, &lines, sizeof(lines));
    for (i = 0; i < count; i++) {
        put_str(&made, headers[i].name);
        put_str(&made, headers[i].value);
    }
    put_str(&made, body);
    return made;
}

static int take(const record *in, apr_size_t *at, void *out, apr_size_t len)
{
    if (in->len - *at < len)
        return 0;
    memcpy(out, in->data + *at, len);
    *at += len;
    return 1;
}

static int take_str(const record *in, apr_size_t *at, clerk_str *out)
{
    apr_uint32_t len;

    if (!take(in, at, &len, sizeof(len)) || in->len - *at < len)
        return 0;
    out->data = (const char *)in->data + *at;
    out->len = len;
    *at += len;
    return 1;
}

static int read_record(apr_pool_t *p, const record *in, apr_uint64_t *tag, clerk_header **headers, apr_uint32_t *count, clerk_str *body)
{
    apr_size_t at = 0;
    apr_uint32_t i;

    if (!take(in, &at, tag, sizeof(*tag)) || !take(in, &at, count, sizeof(*count)) || *count > in->len)
        return 0;
    *headers = apr_pcalloc(p, (*count + 1) * sizeof(clerk_header));
    for (i = 0; i < *count; i++)
        if (!take_str(in, &at, &(*headers)[i].name) || !take_str(in, &at, &(*headers)[i].value))
            return 0;
    return take_str(in, &at, body);
}

/* --- the cache; the mutex is locked ---------------------------------------------------------------------------------- */

typedef struct {
    unsigned char first; /* spreads chunks over the parts of a shmcb cache */
    char name[3];
    unsigned char run[8];
    apr_uint64_t number;
    apr_uint32_t chunk;
} __attribute__((packed)) chunk_id;

static chunk_id id_of(apr_uint64_t number, apr_uint32_t chunk)
{
    chunk_id id = { (unsigned char)(number * 7 + chunk), { 'c', 'l', 'k' }, { 0 }, number, chunk };

    memcpy(id.run, mac_shared_state->run_id, sizeof(id.run));
    return id;
}

static apr_status_t store(apr_pool_t *p, apr_uint64_t number, const record *whole, apr_time_t expires)
{
    apr_uint32_t i, chunks = (apr_uint32_t)((whole->len + CHUNK - 1) / CHUNK);

    if (chunks > MAX_CHUNKS)
        return APR_ENOSPC;
    for (i = 0; i <= chunks; i++) {
        chunk_id id = id_of(number, i);
        /* The first chunk contains the total length. */
        unsigned char *data = i ? whole->data + (i - 1) * CHUNK : (unsigned char *)&whole->len;
        apr_size_t len = !i ? sizeof(whole->len) : i < chunks ? CHUNK : whole->len - (apr_size_t)(chunks - 1) * CHUNK;
        apr_status_t rv = provider->store(instance, cache_server, (unsigned char *)&id, sizeof(id), expires, data, (unsigned)len, p);

        if (rv != APR_SUCCESS)
            return rv;
    }
    return APR_SUCCESS;
}

static apr_status_t retrieve(apr_pool_t *p, apr_uint64_t number, record *whole)
{
    chunk_id id = id_of(number, 0);
    unsigned int len = sizeof(whole->len);
    apr_status_t rv = provider->retrieve(instance, cache_server, (unsigned char *)&id, sizeof(id), (unsigned char *)&whole->len, &len, p);
    apr_size_t got = 0;
    apr_uint32_t i;

    if (rv != APR_SUCCESS || len != sizeof(whole->len) || whole->len > (apr_size_t)MAX_CHUNKS * CHUNK)
        return rv != APR_SUCCESS ? rv : APR_NOTFOUND;
    whole->data = apr_palloc(p, whole->len + CHUNK);
    for (i = 1; got < whole->len; i++, got += len) {
        id = id_of(number, i);
        len = CHUNK;
        rv = provider->retrieve(instance, cache_server, (unsigned char *)&id, sizeof(id), whole->data + got, &len, p);
        if (rv != APR_SUCCESS || !len)
            return rv != APR_SUCCESS ? rv : APR_NOTFOUND;
    }
    return got == whole->len ? APR_SUCCESS : APR_NOTFOUND;
}

static apr_uint64_t last_number(void)
{
    return __atomic_load_n(&mac_shared_state->deliveries, __ATOMIC_ACQUIRE);
}

/* --- reloads: the old cache is copied to the new one    ----------------------------------------------------- */

static struct {
    apr_pool_t *pool;
    apr_uint64_t first;
    record records[MAX_KEPT];
    int count;
} carried;

static apr_status_t carry_over(void *unused)
{
    apr_uint64_t last = last_number(), number;

    (void)unused;
    if (!is_ready || !last || apr_global_mutex_lock(mutex) != APR_SUCCESS)
        return APR_SUCCESS;
    carried.first = last > MAX_KEPT ? last - MAX_KEPT + 1 : 1;
    carried.count = 0;
    if (apr_pool_create(&carried.pool, cache_server->process->pool) == APR_SUCCESS)
        for (number = carried.first; number <= last; number++) {
            record *kept = &carried.records[carried.count++];

            if (retrieve(carried.pool, number, kept) != APR_SUCCESS)
                kept->len = 0;
        }
    apr_global_mutex_unlock(mutex);
    return APR_SUCCESS;
}

static void bring_back(apr_pool_t *p)
{
    int i;

    for (i = 0; i < carried.count; i++)
        if (carried.records[i].len
            && store(p, carried.first + (apr_uint64_t)i, &carried.records[i], apr_time_now() + LIFETIME) != APR_SUCCESS)
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, cache_server, "mod_auth_clerk: a webhook delivery was lost during this reload");
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

int mac_deliveries_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
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

int mac_deliveries_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
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

void mac_deliveries_child_init(apr_pool_t *p, server_rec *s)
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

/* --- publishing and applying -------------------------------------------------------------------------------------------- */

/* At a reload, new processes start with the deliveries that were published before it. */
static int is_outdated_process(void)
{
    int generation = 0;

    return ap_mpm_query(AP_MPMQ_GENERATION, &generation) == APR_SUCCESS && ap_scoreboard_image
        && ap_scoreboard_image->global->running_generation != generation;
}

apr_status_t mac_publish_delivery(request_rec *r, const char *secrets, const clerk_header *headers, int count, clerk_str body)
{
    record made = make_record(r->pool, tag_of(secrets), headers, count, body);
    apr_status_t rv;

    if (!is_ready)
        return APR_EGENERAL;
    if ((rv = apr_global_mutex_lock(mutex)) != APR_SUCCESS)
        return rv;
    rv = store(r->pool, last_number() + 1, &made, apr_time_now() + LIFETIME);
    if (rv == APR_SUCCESS)
        __atomic_add_fetch(&mac_shared_state->deliveries, 1, __ATOMIC_RELEASE);
    apr_global_mutex_unlock(mutex);
    return rv == APR_SUCCESS && is_outdated_process() ? APR_EAGAIN : rv;
}

/* Returns 0 if the client may have missed a delivery. */
static int apply(request_rec *r, apr_pool_t *p, mac_client *client, apr_uint64_t number)
{
    clerk_header *headers;
    clerk_str body;
    apr_uint32_t count;
    apr_uint64_t tag;
    record whole;
    apr_status_t rv = apr_global_mutex_lock(mutex);
    int32_t status;

    if (rv != APR_SUCCESS)
        return 0;
    rv = retrieve(p, number, &whole);
    apr_global_mutex_unlock(mutex);
    if (rv != APR_SUCCESS || !read_record(p, &whole, &tag, &headers, &count, &body))
        return 0;
    if (tag != tag_of(client->webhook_secrets))
        return 1;
    status = clerk_webhook_handle(client->handle, headers, count, body, NULL);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "mod_auth_clerk: webhook delivery %" APR_UINT64_T_FMT " of another process: %s",
                  number, clerk_status_name(status));
    return status == CLERK_OK || status == CLERK_WEBHOOK_IGNORED;
}

void mac_apply_deliveries(request_rec *r, mac_client *client)
{
    apr_uint64_t last, number;
    apr_pool_t *p;
    int missed = 0;

    if (!is_ready || !client->webhook_secrets
        || __atomic_load_n(&client->deliveries_applied, __ATOMIC_ACQUIRE) == last_number())
        return;
    /* Requests that arrive now wait: none may be accepted with an outdated result. */
    apr_thread_mutex_lock(client->lock);
    last = last_number();
    number = client->deliveries_applied;
    if (last - number > MAX_KEPT) {
        number = last - MAX_KEPT;
        missed = number > client->deliveries_at_start;
    }
    while (number < last) {
        if (apr_pool_create(&p, r->pool) != APR_SUCCESS)
            break;
        number++;
        /* A new client has no results that an earlier delivery could invalidate. */
        missed |= !apply(r, p, client, number) && number > client->deliveries_at_start;
        apr_pool_destroy(p);
    }
    if (missed) {
        if (clerk_client_invalidate_all(client->handle) == CLERK_OK)
            ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "mod_auth_clerk: webhook deliveries were missed; all cached results are dropped");
    }
    __atomic_store_n(&client->deliveries_applied, number, __ATOMIC_RELEASE);
    apr_thread_mutex_unlock(client->lock);
}

apr_uint64_t mac_last_delivery(void)
{
    return mac_shared_state ? last_number() : 0;
}
