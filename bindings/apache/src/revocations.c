/* Revocations for processes that start later: one record for each webhook secret, so that instances do not affect each other,
 * and so that a secret can be rotated. Each is what the library exports. */

#include "mod_auth_clerk.h"

/* Returns the place of a tag, which is empty if the tag is new; MAC_MAX_TAGS if there is none left. */
static int place_of(apr_uint64_t tag)
{
    int i;

    for (i = 0; i < MAC_MAX_TAGS && mac_shared_state->revocation_tags[i]; i++)
        if (mac_shared_state->revocation_tags[i] == tag)
            break;
    return i;
}

static int find_tag(apr_uint64_t tag)
{
    int i = place_of(tag);

    /* With more tags than are kept, each one may have had a record. */
    return i == MAC_MAX_TAGS || mac_shared_state->revocation_tags[i];
}

/* Returns how often the record of a tag was stored; 0 if that is not known. */
static apr_uint64_t version_of(apr_uint64_t tag)
{
    int i = place_of(tag);

    return i < MAC_MAX_TAGS ? mac_shared_state->revocation_versions[i] : 0;
}

static void add_tag(apr_uint64_t tag)
{
    int i = place_of(tag);

    if (i < MAC_MAX_TAGS) {
        mac_shared_state->revocation_tags[i] = tag;
        mac_shared_state->revocation_versions[i]++;
    }
}

static void import(mac_client *client, server_rec *s, clerk_str json)
{
    clerk_error *error = NULL;

    if (clerk_client_import_revocations(client->handle, json, &error) != CLERK_OK) {
        clerk_str message = clerk_error_message(error);

        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "mod_auth_clerk: revocations could not be imported: %.*s", (int)message.len,
                     message.data ? message.data : "");
        clerk_error_free(error);
    }
}

/* The record was evicted, or there was no room for it: rejects every token that was issued before now. */
static void reject_older_tokens(apr_pool_t *p, mac_client *client, server_rec *s)
{
    apr_int64_t now = apr_time_as_msec(apr_time_now());
    const char *table = apr_psprintf(p, "{\"evicted_at_ms\":%" APR_INT64_T_FMT ",\"entries\":[]}", now);

    ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                 "mod_auth_clerk: ClerkSOCache: too small for all revocations: this process rejects tokens that were issued before it started");
    import(client, s, mac_str(apr_psprintf(p, "{\"version\":1,\"sessions\":%s,\"users\":%s}", table, table)));
}

static int export_all(apr_pool_t *p, mac_client *client, mac_record *made)
{
    size_t capacity = 0, needed = 0;
    char *json = NULL;
    int tries;

    for (tries = 0; tries < 16; tries++) {
        if (clerk_client_export_revocations(client->handle, json, capacity, &needed) == CLERK_OK) {
            made->data = (unsigned char *)json;
            made->len = needed;
            return 1;
        }
        capacity = needed + 4096;
        json = apr_palloc(p, capacity);
    }
    return 0;
}

static void unite(apr_pool_t *p, mac_client *client, server_rec *s, int is_start)
{
    mac_record record, stored;
    int i;

    for (i = 0; i < client->tag_count; i++) {
        apr_uint64_t version = version_of(client->tags[i]);

        if (!is_start && version && version == client->revocations[i])
            continue;
        if (mac_cache_retrieve(p, MAC_REVOCATIONS, client->tags[i], &record) == APR_SUCCESS) {
            clerk_str json = { (const char *)record.data, record.len };

            import(client, s, json);
        } else if (is_start && find_tag(client->tags[i])) {
            reject_older_tokens(p, client, s);
        }
    }
    if (!export_all(p, client, &record)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "mod_auth_clerk: revocations could not be exported");
        return;
    }
    for (i = 0; i < client->tag_count; i++) {
        apr_status_t rv = mac_cache_store(p, MAC_REVOCATIONS, client->tags[i], &record, apr_time_now() + MAC_REVOCATIONS_LIFETIME);

        /* A full cache evicts, also the first chunks of this record. */
        if (rv == APR_SUCCESS)
            rv = mac_cache_retrieve(p, MAC_REVOCATIONS, client->tags[i], &stored);
        add_tag(client->tags[i]);
        client->revocations[i] = version_of(client->tags[i]);
        if (rv != APR_SUCCESS)
            ap_log_error(APLOG_MARK, APLOG_ERR, rv, s, "mod_auth_clerk: ClerkSOCache: too small for all revocations");
    }
}

void mac_share_revocations(mac_client *client, server_rec *s, int is_start)
{
    apr_pool_t *p;

    if (!mac_cache_is_ready() || !client->tag_count || apr_pool_create(&p, NULL) != APR_SUCCESS)
        return;
    if (mac_cache_lock() == APR_SUCCESS) {
        unite(p, client, s, is_start);
        mac_cache_unlock();
    }
    apr_pool_destroy(p);
}
