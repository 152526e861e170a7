/* mod_auth_clerk: shared declarations. Configuration is read-only while the server runs; clients exist in children only. */

#ifndef MOD_AUTH_CLERK_H
#define MOD_AUTH_CLERK_H

#include <httpd.h>
#include <ap_mmn.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <ap_expr.h>
#include <apr_hash.h>
#include <apr_strings.h>
#include <apr_tables.h>
#include <apr_thread_mutex.h>

#include <clerk_auth.h>

#include "claims.h"

#if !AP_MODULE_MAGIC_AT_LEAST(20120211, 110)
#error "mod_auth_clerk needs Apache 2.4.49 or newer"
#endif

extern module AP_MODULE_DECLARE_DATA auth_clerk_module;
APLOG_USE_MODULE(auth_clerk);

#define MAC_AUTH_TYPE "Clerk"
#define MAC_UNSET (-1)

/* --- configuration (config.c, directives.c) --------------------------------------------------------------------- */

/* One setting of the library. */
typedef struct {
    const char *name;
    const char *value;
    int is_item; /* one item of a list, added to those before it */
} mac_setting;

typedef struct {
    apr_array_header_t *settings; /* of mac_setting */
    const char *database;
    int strip_headers;
    /* In children only: */
    struct mac_client *client;
    apr_hash_t *dir_clients; /* settings_key of a directory -> mac_client; NULL: this server has no key */
} mac_server_conf;

enum { MAC_SOURCE_HEADER = 1, MAC_SOURCE_COOKIE = 2 };

typedef enum {
    MAC_REMOTE_USER_UNSET,
    MAC_REMOTE_USER_ID,
    MAC_REMOTE_USER_LOCAL_ID,
    MAC_REMOTE_USER_EMAIL,
    MAC_REMOTE_USER_USERNAME,
    MAC_REMOTE_USER_CLAIM
} mac_remote_user;

typedef struct {
    apr_array_header_t *settings; /* of mac_setting: those that differ from the server's */
    const char *settings_key;     /* the same as one string; NULL without any */
    int optional, pass_headers, pass_env, pass_claims;
    int token_source; /* sum of MAC_SOURCE_* */
    int unavailable;  /* HTTP status */
    mac_remote_user remote_user;
    const char *remote_user_claim;
    ap_expr_info_t *login_url;
    const char *login_parameter; /* of the URL: receives the requested page */
} mac_dir_conf;

extern const command_rec mac_directives[];

void *mac_create_server_conf(apr_pool_t *p, server_rec *s);
void *mac_merge_server_conf(apr_pool_t *p, void *base, void *add);
void *mac_create_dir_conf(apr_pool_t *p, char *path);
void *mac_merge_dir_conf(apr_pool_t *p, void *base, void *add);
void mac_update_settings_key(apr_pool_t *p, mac_dir_conf *conf);

/* The directive that sets a setting, for messages. */
const char *mac_directive_of_setting(const char *setting);
/* All settings as one string: clients with equal strings are equal. */
const char *mac_settings_key(apr_pool_t *p, const apr_array_header_t *settings);
apr_array_header_t *mac_merge_settings(apr_pool_t *p, const apr_array_header_t *base, const apr_array_header_t *add);
const char *mac_setting_value(const apr_array_header_t *settings, const char *name);
/* Returns a message if the settings are invalid, or NULL. */
const char *mac_apply_settings(apr_pool_t *p, clerk_config *config, const apr_array_header_t *settings);
/* A config with these settings over this module's defaults; `*wrong` is a message if they are invalid, or NULL. The caller frees it. */
clerk_config *mac_new_config(apr_pool_t *p, const apr_array_header_t *settings, const char **wrong);
const char *mac_config_error(apr_pool_t *p, clerk_error *error);
int mac_has_key(const mac_server_conf *conf);
/* Settings of a directory, to be checked together with those of its server. */
void mac_remember_dir(cmd_parms *cmd, const mac_dir_conf *dir);
int mac_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

static inline mac_server_conf *mac_server_conf_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &auth_clerk_module);
}

static inline mac_dir_conf *mac_dir_conf_of(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &auth_clerk_module);
}

static inline int mac_flag(int value, int unset)
{
    return value == MAC_UNSET ? unset : value;
}

/* --- clients (clients.c) ---------------------------------------------------------------------------------------- */

/* A client of this child. Requests with equal settings share one. */
typedef struct mac_client {
    clerk_client *handle;
    int has_pages;                        /* ClerkPages On */
    int checks_host;                      /* no setting names the origins that a browser is sent back to */
    const char *webhook_secrets;          /* NULL: receives no webhook deliveries */
    apr_uint64_t *tags;                   /* of its webhook secrets */
    apr_uint64_t *revocations;            /* for each tag, the version of its record that it has; guarded by the cache's mutex */
    int tag_count;
    apr_thread_mutex_t *lock;             /* guards what follows */
    apr_uint64_t deliveries_applied;      /* number of the last shared delivery that it has applied; read without lock, too */
    clerk_stats flushed;                  /* what it has added to the shared statistics */
    apr_time_t flushed_at;
    int is_polled;                        /* of prefork: has a shared cache, or it is not known yet */
    apr_time_t polled_at;
} mac_client;

void mac_child_init(apr_pool_t *p, server_rec *main_server);
void mac_child_stopping(apr_pool_t *p, int graceful);
/* The client for a request; NULL, with the cause logged, if there is none. */
mac_client *mac_client_of_request(request_rec *r);
/* The client of a server, without the settings of its directories; NULL if it has none. */
mac_client *mac_client_of_server(const server_rec *s);
#define MAC_POLL_INTERVAL apr_time_from_msec(250)
/* Applies what other processes have changed in the shared cache, where no thread does. */
void mac_poll(mac_client *client, apr_time_t now);
void mac_each_client(void (*function)(mac_client *client, void *data), void *data);
/* Around every call of the library that may log or block: log lines are written to the request's log. */
void mac_enter(request_rec *r);
void mac_leave(void);

/* --- the outcome of a request (authn.c) -------------------------------------------------------------------------- */

/* The outcome of one verification; shared by a request, its subrequests and internal redirects. */
typedef struct {
    mac_client *client;
    int token_source;
    int32_t status;        /* of the library */
    clerk_result *result;  /* NULL only with a negative status */
} mac_outcome;

/* The state of a request. */
typedef struct {
    mac_outcome *outcome;
    int in_authz;
    int is_anonymous; /* accepted without credentials (ClerkOptional) */
} mac_request;

const char *mac_request_id(const request_rec *r);
int mac_check_authn(request_rec *r);
int mac_check_authz(request_rec *r);
int mac_force_authn(request_rec *r);
int mac_note_auth_failure(request_rec *r, const char *auth_type);

/* The browser's own request, which a redirect or a subrequest comes from. */
const request_rec *mac_first_request(const request_rec *r);
/* The result if this request itself is signed in, or NULL. */
const clerk_result *mac_identity(const request_rec *r);
/* The state of this request, of the one it was redirected from, or of the one it is part of. */
mac_request *mac_request_of(const request_rec *r);

/* --- the rest ---------------------------------------------------------------------------------------------------- */

/* pages.c: the browser handshake */
void mac_read_page_settings(mac_client *client, const apr_array_header_t *settings);
/* Whether pages are redirected and no setting names the origins that browsers are sent back to. */
int mac_sends_back_to_names(const apr_array_header_t *settings);
const char *mac_check_page_settings(const apr_array_header_t *settings);
/* Adds what the library needs of a page's request; `headers` has room for MAC_PAGE_HEADERS lines. */
#define MAC_PAGE_HEADERS 4
void mac_add_page(request_rec *r, const mac_client *client, int token_source, clerk_request *request, clerk_header *headers);
/* Adds the cookies of a result to the response. */
void mac_send_cookies(request_rec *r, const clerk_result *result);
void mac_restore_cookies(request_rec *r);
/* The status of a redirect, or 0. */
int mac_redirect_page(request_rec *r, const mac_outcome *outcome);
/* Whether a sign-in page helps. */
int mac_may_sign_in(const mac_outcome *outcome);
int mac_strip_request_headers(request_rec *r); /* headers.c */
void mac_strip_headers(request_rec *r);
void mac_register_trailer_filter(void);
void mac_insert_trailer_filter(request_rec *r);
int mac_fixups(request_rec *r); /* identity.c */
/* REMOTE_USER of a signed-in caller; NULL if the result has no such value. */
const char *mac_remote_user_of(request_rec *r, const mac_dir_conf *conf, const clerk_result *result);
void mac_set_outcome_env(request_rec *r, const mac_outcome *outcome);
char *mac_claim(apr_pool_t *p, const clerk_result *result, const char *path);
void mac_register_authz(apr_pool_t *p); /* authz.c */
int mac_webhook_handler(request_rec *r); /* webhook.c */
int mac_status_handler(request_rec *r); /* status.c */
void mac_flush_stats(mac_client *client, apr_time_t now);
void mac_retire_stats(mac_client *client);
int mac_log_transaction(request_rec *r);

/* --- shared between processes (shared.c, cache.c, deliveries.c, revocations.c) ------------------------------------------ */

#define MAC_MAX_TAGS 64
/* Some providers take no more than 30 days. */
#define MAC_REVOCATIONS_LIFETIME apr_time_from_sec(29 * 86400)

#define MAC_STAT_WORDS ((int)(sizeof(clerk_stats) / sizeof(apr_uint64_t)))

/* One for the whole server, across reloads. Fields are read and written atomically. */
typedef struct {
    apr_uint64_t deliveries; /* number of the last webhook delivery that was published */
    unsigned char run_id[8];
    apr_uint64_t revocation_tags[MAC_MAX_TAGS]; /* records of revocations that were stored; guarded by the cache's mutex */
    apr_uint64_t revocation_versions[MAC_MAX_TAGS]; /* how often each was stored */
    apr_uint64_t stats[MAC_STAT_WORDS]; /* sums of `clerk_stats` */
} mac_shared;

extern mac_shared *mac_shared_state;

int mac_shared_init(server_rec *s);

typedef struct {
    unsigned char *data;
    apr_size_t len;
} mac_record;

typedef enum { MAC_DELIVERY = 'd', MAC_REVOCATIONS = 'r' } mac_record_kind;

int mac_cache_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp);
int mac_cache_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);
void mac_cache_child_init(apr_pool_t *p, server_rec *s);
const char *mac_set_socache(cmd_parms *cmd, void *conf, const char *arg);
/* No server of this process receives webhooks unless it is ready. */
int mac_cache_is_ready(void);
apr_status_t mac_cache_lock(void);
void mac_cache_unlock(void);
/* With the cache locked. */
apr_status_t mac_cache_store(apr_pool_t *p, mac_record_kind kind, apr_uint64_t number, const mac_record *whole, apr_time_t expires);
apr_status_t mac_cache_retrieve(apr_pool_t *p, mac_record_kind kind, apr_uint64_t number, mac_record *whole);

/* A number for one or more webhook secrets. */
apr_uint64_t mac_tag_of(const char *secrets);
/* Unites the revocations of a client and those in the cache, in both: after each delivery, and when a client is new or has
 * missed deliveries (`is_start`). */
void mac_share_revocations(mac_client *client, server_rec *s, int is_start);
/* The number of the last delivery that was published; 0: none. */
apr_uint64_t mac_last_delivery(void);
/* Publishes a verified delivery to all processes of this server. */
apr_status_t mac_publish_delivery(request_rec *r, const char *secrets, const clerk_header *headers, int count, clerk_str body);
/* Applies to a client the deliveries of other processes; fast if there are none. */
void mac_apply_deliveries(request_rec *r, mac_client *client);

static inline clerk_str mac_str(const char *s)
{
    return clerk_str_of(s);
}

#endif
