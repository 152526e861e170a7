/* Webhook deliveries for all processes. One process receives a delivery, verifies it and publishes it through mod_socache; each
 * other process verifies it again and applies it before the next request that it authenticates. So a forged entry of the
 * shared cache cannot sign a user in. */

#include "mod_auth_clerk.h"

#include <ap_mpm.h>
#include <scoreboard.h>

/* Svix signatures are valid for five minutes: older deliveries could not be verified. */
#define LIFETIME apr_time_from_sec(300)
/* How many deliveries a process applies before a request. After more it clears its cache, and imports the revocations. */
#define MAX_BEHIND 256

/* --- records: a delivery as bytes ----------------------------------------------------------------------------------- */

apr_uint64_t mac_tag_of(const char *secrets)
{
    apr_uint64_t hash = 14695981039346656037u;

    for (; *secrets; secrets++)
        hash = (hash ^ (unsigned char)*secrets) * 1099511628211u;
    return hash;
}

static void put(mac_record *out, const void *data, apr_size_t len)
{
    if (len)
        memcpy(out->data + out->len, data, len);
    out->len += len;
}

static void put_str(mac_record *out, clerk_str value)
{
    apr_uint32_t len = (apr_uint32_t)value.len;

    put(out, &len, sizeof(len));
    put(out, value.data, value.len);
}

static mac_record make_record(apr_pool_t *p, apr_uint64_t tag, const clerk_header *headers, int count, clerk_str body)
{
    apr_size_t size = sizeof(tag) + 2 * sizeof(apr_uint32_t) + body.len;
    apr_uint32_t lines = (apr_uint32_t)count;
    mac_record made = { NULL, 0 };
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

static int take(const mac_record *in, apr_size_t *at, void *out, apr_size_t len)
{
    if (in->len - *at < len)
        return 0;
    memcpy(out, in->data + *at, len);
    *at += len;
    return 1;
}

static int take_str(const mac_record *in, apr_size_t *at, clerk_str *out)
{
    apr_uint32_t len;

    if (!take(in, at, &len, sizeof(len)) || in->len - *at < len)
        return 0;
    out->data = (const char *)in->data + *at;
    out->len = len;
    *at += len;
    return 1;
}

static int read_record(apr_pool_t *p, const mac_record *in, apr_uint64_t *tag, clerk_header **headers, apr_uint32_t *count, clerk_str *body)
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

static apr_uint64_t last_number(void)
{
    return __atomic_load_n(&mac_shared_state->deliveries, __ATOMIC_ACQUIRE);
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
    mac_record made = make_record(r->pool, mac_tag_of(secrets), headers, count, body);
    apr_status_t rv;

    if (!mac_cache_is_ready())
        return APR_EGENERAL;
    if ((rv = mac_cache_lock()) != APR_SUCCESS)
        return rv;
    rv = mac_cache_store(r->pool, MAC_DELIVERY, last_number() + 1, &made, apr_time_now() + LIFETIME);
    if (rv == APR_SUCCESS)
        __atomic_add_fetch(&mac_shared_state->deliveries, 1, __ATOMIC_RELEASE);
    mac_cache_unlock();
    return rv == APR_SUCCESS && is_outdated_process() ? APR_EAGAIN : rv;
}

/* Returns 0 if the client may have missed a delivery. Applies it in memory only: the process that received it has updated the
 * user table and the shared cache, for which requests must not wait here. */
static int apply(request_rec *r, apr_pool_t *p, mac_client *client, apr_uint64_t number)
{
    clerk_header *headers;
    clerk_str body;
    apr_uint32_t count;
    apr_uint64_t tag;
    mac_record whole;
    apr_status_t rv = mac_cache_lock();
    int32_t status;

    if (rv != APR_SUCCESS)
        return 0;
    rv = mac_cache_retrieve(p, MAC_DELIVERY, number, &whole);
    mac_cache_unlock();
    if (rv != APR_SUCCESS || !read_record(p, &whole, &tag, &headers, &count, &body))
        return 0;
    if (tag != mac_tag_of(client->webhook_secrets))
        return 1;
    status = clerk_webhook_replay(client->handle, headers, count, body, NULL);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "mod_auth_clerk: webhook delivery %" APR_UINT64_T_FMT " of another process: %s",
                  number, clerk_status_name(status));
    /* CLERK_UNAVAILABLE: this process is processing it, because the sender has sent it again. */
    return status == CLERK_OK || status == CLERK_WEBHOOK_IGNORED || status == CLERK_UNAVAILABLE;
}

void mac_apply_deliveries(request_rec *r, mac_client *client)
{
    apr_uint64_t last, number;
    apr_pool_t *p;
    int missed = 0;

    if (!mac_cache_is_ready() || !client->webhook_secrets
        || __atomic_load_n(&client->deliveries_applied, __ATOMIC_ACQUIRE) == last_number())
        return;
    /* Requests that arrive now wait: none may be accepted with an outdated result. */
    apr_thread_mutex_lock(client->lock);
    last = last_number();
    number = client->deliveries_applied;
    if (last - number > MAX_BEHIND) {
        number = last - MAX_BEHIND;
        missed = 1;
    }
    while (number < last) {
        if (apr_pool_create(&p, r->pool) != APR_SUCCESS)
            break;
        number++;
        missed |= !apply(r, p, client, number);
        apr_pool_destroy(p);
    }
    if (missed) {
        /* Only here: the shared cache and other processes have missed nothing. */
        int32_t status = clerk_client_clear_cache(client->handle);

        mac_share_revocations(client, r->server, 1);
        ap_log_rerror(APLOG_MARK, status == CLERK_OK ? APLOG_INFO : APLOG_ERR, 0, r,
                      "mod_auth_clerk: webhook deliveries were missed; the cached results of this process are removed: %s", clerk_status_name(status));
    }
    __atomic_store_n(&client->deliveries_applied, number, __ATOMIC_RELEASE);
    apr_thread_mutex_unlock(client->lock);
}

apr_uint64_t mac_last_delivery(void)
{
    return mac_shared_state ? last_number() : 0;
}
