/*
 * ngx_http_clerk_auth_module: verifies Clerk tokens before a request reaches a location.
 *
 * The parts: module (merging, phases, processes), directives and value (reading the configuration), settings (directives
 * to settings of the library), client (one clerk_client per distinct set of settings and worker), log (lines of the library),
 * verify (header lines to a result, inline or offloaded), access (result and requirements to a decision), pages (the browser
 * handshake), offload (thread pool), headers, names (pure), response, variables, claim (pure), webhook, zone (shared
 * memory), revocations (in the zone), status.
 */

#ifndef NGX_HTTP_CLERK_AUTH_H
#define NGX_HTTP_CLERK_AUTH_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#if !(NGX_THREADS)
#error "ngx_http_clerk_auth_module needs an nginx that was configured --with-threads"
#endif

#include <ngx_thread_pool.h>
#include <clerk_auth.h>

enum {
    NGX_HTTP_CLERK_AUTH_OFF = 0,
    NGX_HTTP_CLERK_AUTH_ON,
    NGX_HTTP_CLERK_AUTH_OPTIONAL
};

/* The content handler of a location. */
enum {
    NGX_HTTP_CLERK_AUTH_SERVES_NOTHING = 0,
    NGX_HTTP_CLERK_AUTH_SERVES_ENDPOINT,
    NGX_HTTP_CLERK_AUTH_SERVES_WEBHOOK,
    NGX_HTTP_CLERK_AUTH_SERVES_STATUS
};

#define NGX_HTTP_CLERK_AUTH_FROM_HEADER 0x0001
#define NGX_HTTP_CLERK_AUTH_FROM_COOKIE 0x0002

/* The largest webhook event; Clerk's are a few kilobytes. */
#define NGX_HTTP_CLERK_AUTH_MAX_WEBHOOK (256 * 1024)

/* The default of `clerk_auth_timeout`, in milliseconds. */
#define NGX_HTTP_CLERK_AUTH_TIMEOUT 3000

/* One setting of the library. `values` is NULL if no directive set it. */
typedef struct {
    ngx_str_t *values;
    ngx_uint_t count;
    unsigned is_list : 1;
    ngx_str_t directive;
    ngx_str_t file;
    ngx_uint_t line;
} ngx_http_clerk_auth_setting_t;

/* A distinct set of settings. Everything but `client` and `revocations` is immutable after the configuration was read. */
typedef struct {
    ngx_http_clerk_auth_setting_t *settings;
    ngx_uint_t number;
    ngx_http_clerk_auth_setting_t *secrets; /* of webhooks; without values if there are none */
    ngx_log_t *log; /* the most verbose one of its locations */
    ngx_thread_pool_t *thread_pool; /* for the key set at start */
    clerk_client *client; /* this worker's; NULL in the master, and if it could not be created */
    uint64_t revocations; /* the version of those in the zone that it has; guarded by the zone's mutex */
    ngx_int_t timeout;    /* `clerk_auth_timeout`, in milliseconds */
    unsigned has_pages : 1; /* `clerk_auth_pages on` */
    unsigned checks_host : 1; /* no setting names the origins that a browser is sent back to */
} ngx_http_clerk_auth_client_t;

/* Requirements: every group must be met, by one of its values. */
typedef struct {
    ngx_array_t *groups; /* of ngx_array_t of ngx_str_t */
} ngx_http_clerk_auth_check_t;

enum {
    NGX_HTTP_CLERK_AUTH_REQUIRE_ROLE = 0,
    NGX_HTTP_CLERK_AUTH_REQUIRE_PERMISSION,
    NGX_HTTP_CLERK_AUTH_REQUIRE_FEATURE,
    NGX_HTTP_CLERK_AUTH_REQUIRE_PLAN,
    NGX_HTTP_CLERK_AUTH_REQUIRE_ORG,
    NGX_HTTP_CLERK_AUTH_REQUIREMENTS
};

/* `clerk_auth_require`: all values must be neither empty nor "0". */
typedef struct {
    ngx_array_t values; /* of ngx_http_complex_value_t */
    ngx_uint_t error;
} ngx_http_clerk_auth_require_t;

typedef struct ngx_http_clerk_auth_zone_s ngx_http_clerk_auth_zone_t;

typedef struct {
    ngx_array_t clients; /* of ngx_http_clerk_auth_client_t * */
    ngx_shm_zone_t *zone;
    ngx_int_t request_id; /* index of $request_id: without one, each use would have another value */
    unsigned is_used : 1; /* a directive of this module is used */
} ngx_http_clerk_auth_main_conf_t;

typedef struct {
    unsigned keeps_headers_somewhere : 1; /* a location of this server does not remove X-Clerk-* request headers */
    ngx_http_server_name_t *names; /* of `server_name` */
    ngx_uint_t name_count;
} ngx_http_clerk_auth_srv_conf_t;

typedef struct {
    ngx_http_clerk_auth_setting_t *settings;
    ngx_http_clerk_auth_client_t *client;

    ngx_uint_t mode;
    ngx_uint_t serves;
    ngx_uint_t status_format;
    ngx_uint_t token_source;
    ngx_http_complex_value_t *token;
    ngx_uint_t token_is_cookie;
    ngx_thread_pool_t *thread_pool;

    ngx_http_complex_value_t *realm;
    ngx_flag_t www_authenticate;
    ngx_http_complex_value_t *challenge;
    ngx_uint_t unavailable;
    ngx_http_complex_value_t *login_redirect;

    ngx_array_t *require; /* of ngx_http_clerk_auth_require_t */
    ngx_http_clerk_auth_check_t checks[NGX_HTTP_CLERK_AUTH_REQUIREMENTS];

    ngx_flag_t pass_headers;
    ngx_flag_t pass_claims;
    ngx_flag_t strip_headers;
} ngx_http_clerk_auth_loc_conf_t;

enum {
    NGX_HTTP_CLERK_AUTH_NEW = 0,
    NGX_HTTP_CLERK_AUTH_SUSPENDED,
    NGX_HTTP_CLERK_AUTH_DONE
};

enum {
    NGX_HTTP_CLERK_AUTH_CACHE_HIT = 1,
    NGX_HTTP_CLERK_AUTH_CACHE_MISS,
    NGX_HTTP_CLERK_AUTH_CACHE_OFFLOAD
};

/* The state of a request. Found through the pool's cleanups after internal redirects, which clear r->ctx. */
typedef struct {
    ngx_http_request_t *request;
    ngx_http_clerk_auth_client_t *client;
    ngx_uint_t token_source;
    ngx_http_complex_value_t *token;
    ngx_uint_t state;
    ngx_uint_t cache;
    int32_t status; /* CLERK_OK, _SIGNED_OUT, _NO_CREDENTIALS, _UNAVAILABLE, or negative */
    clerk_result *result;
    const char *refusal; /* this module's own reason, static; NULL to use the result's */
    ngx_table_elt_t *challenge;
    ngx_table_elt_t *retry_after;
    struct ngx_http_clerk_auth_work_s *work; /* of a request that is suspended, and useless if its client has gone */
    void *delivery; /* of a webhook location, which verifies nothing */
    ngx_array_t *lines; /* of ngx_str_t: values of Set-Cookie for the response, whatever it is; NULL if there are none */
    unsigned has_added_headers : 1;
    unsigned is_verified_again : 1; /* with other settings, after an internal redirect */
    unsigned is_not_stored : 1;     /* the response gets Cache-Control: no-store */
} ngx_http_clerk_auth_ctx_t;

/* Counters of a worker that the library does not have. */
typedef struct {
    ngx_atomic_uint_t offloaded;
    ngx_atomic_uint_t queue_full;
    ngx_atomic_uint_t csrf_rejected;
    ngx_atomic_uint_t requirement_failed;
    ngx_atomic_uint_t webhooks_applied;
    ngx_atomic_uint_t webhooks_rejected;
} ngx_http_clerk_auth_counters_t;

/* Work for a thread. `run` must not touch the request; `done` runs in the event loop, also after an abort. */
typedef struct ngx_http_clerk_auth_work_s ngx_http_clerk_auth_work_t;
struct ngx_http_clerk_auth_work_s {
    void (*run)(ngx_http_clerk_auth_work_t *work, ngx_log_t *log);
    void (*done)(ngx_http_clerk_auth_work_t *work);
    ngx_http_request_t *request;
    void *data;
    ngx_atomic_t is_abandoned; /* the client has closed the connection */
};

extern ngx_module_t ngx_http_clerk_auth_module;
extern ngx_module_t ngx_http_clerk_auth_filter_module;
extern ngx_http_clerk_auth_counters_t ngx_http_clerk_auth_counters;

/* directives */
char *ngx_http_clerk_auth_set_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_token_source(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_require(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_check(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_www_authenticate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_thread_pool(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_serves(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* value: the value of a directive, from the configuration, the environment or a file */
ngx_int_t ngx_http_clerk_auth_read_file(ngx_conf_t *cf, ngx_str_t *path, ngx_str_t *out);
ngx_int_t ngx_http_clerk_auth_read_value(ngx_conf_t *cf, ngx_str_t *in, ngx_str_t *out);

/* settings */
const char *ngx_http_clerk_auth_setting_name(ngx_uint_t number);
ngx_uint_t ngx_http_clerk_auth_setting_count(void);
ngx_http_clerk_auth_setting_t *ngx_http_clerk_auth_settings_create(ngx_pool_t *pool);
void ngx_http_clerk_auth_settings_merge(ngx_http_clerk_auth_setting_t *parent, ngx_http_clerk_auth_setting_t *child);
char *ngx_http_clerk_auth_set_value(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_list(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_words(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_msec(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_csrf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_pages(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_fetch_user(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_user_store(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_clerk_auth_set_setting(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_http_clerk_auth_client_t *ngx_http_clerk_auth_settings_intern(ngx_conf_t *cf,
    ngx_http_clerk_auth_main_conf_t *mcf, ngx_http_clerk_auth_setting_t *settings);
ngx_int_t ngx_http_clerk_auth_settings_apply(ngx_http_clerk_auth_client_t *client, clerk_config *config,
    ngx_uint_t with_store, clerk_error **error, ngx_http_clerk_auth_setting_t **wrong);

/* client */
ngx_uint_t ngx_http_clerk_auth_has_directive(clerk_str setting);
char *ngx_http_clerk_auth_client_check(ngx_conf_t *cf, ngx_http_clerk_auth_client_t *client);
ngx_int_t ngx_http_clerk_auth_clients_start(ngx_cycle_t *cycle, ngx_http_clerk_auth_main_conf_t *mcf);
void ngx_http_clerk_auth_clients_retry(ngx_cycle_t *cycle, ngx_http_clerk_auth_main_conf_t *mcf);
void ngx_http_clerk_auth_clients_stop(ngx_http_clerk_auth_main_conf_t *mcf);

/* log: lines of the library, in the log of the request that caused them */
typedef struct {
    ngx_http_request_t *request; /* in the event loop */
    u_char *lines; /* in a thread: kept until the event loop writes them; freed by `_write` */
    size_t len;
    size_t size;
} ngx_http_clerk_auth_log_t;

void ngx_http_clerk_auth_log_begin(ngx_http_clerk_auth_log_t *log);
void ngx_http_clerk_auth_log_end(void);
void ngx_http_clerk_auth_log_write(ngx_http_clerk_auth_log_t *log, ngx_http_request_t *r);
void ngx_http_clerk_auth_log_callback(void *userdata, int32_t level, clerk_str message);
int32_t ngx_http_clerk_auth_log_level(ngx_log_t *log);
void ngx_http_clerk_auth_log_error(ngx_log_t *log, ngx_uint_t level, const char *what, const clerk_error *error);
void ngx_http_clerk_auth_log_request(ngx_http_request_t *r, ngx_uint_t level, const char *line, size_t len);

/* verify */
ngx_http_clerk_auth_ctx_t *ngx_http_clerk_auth_get_ctx(ngx_http_request_t *r);
ngx_http_clerk_auth_ctx_t *ngx_http_clerk_auth_find_ctx(ngx_http_request_t *r);
ngx_int_t ngx_http_clerk_auth_verify(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf,
    ngx_http_clerk_auth_ctx_t **ctx);

/* access */
ngx_int_t ngx_http_clerk_auth_access_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_clerk_auth_preaccess_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_clerk_auth_endpoint_handler(ngx_http_request_t *r);

/* pages */
ngx_int_t ngx_http_clerk_auth_copy_server_names(ngx_conf_t *cf);
void ngx_http_clerk_auth_page_of(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf, ngx_http_clerk_auth_ctx_t *ctx,
    clerk_request *request);
ngx_int_t ngx_http_clerk_auth_redirect_page(ngx_http_request_t *r, ngx_http_clerk_auth_ctx_t *ctx);
ngx_int_t ngx_http_clerk_auth_keep_lines(ngx_http_clerk_auth_ctx_t *ctx);
ngx_uint_t ngx_http_clerk_auth_may_sign_in(ngx_http_clerk_auth_ctx_t *ctx);

/* offload */
ngx_http_clerk_auth_work_t *ngx_http_clerk_auth_work_create(ngx_http_request_t *r, size_t size);
ngx_int_t ngx_http_clerk_auth_work_post(ngx_http_clerk_auth_work_t *work, ngx_thread_pool_t *pool);

/* headers */
typedef struct {
    ngx_list_part_t *part;
    ngx_uint_t next;
} ngx_http_clerk_auth_lines_t;

/* The next request header, NULL after the last; begin with `{ &r->headers_in.headers.part, 0 }`. */
static ngx_inline ngx_table_elt_t *
ngx_http_clerk_auth_next_line(ngx_http_clerk_auth_lines_t *lines)
{
    while (lines->next >= lines->part->nelts) {
        if (lines->part->next == NULL) {
            return NULL;
        }
        lines->part = lines->part->next;
        lines->next = 0;
    }
    return (ngx_table_elt_t *) lines->part->elts + lines->next++;
}

static ngx_inline ngx_uint_t
ngx_http_clerk_auth_is_named(ngx_table_elt_t *line, const char *name, size_t len)
{
    return line->key.len == len && ngx_strncasecmp(line->key.data, (u_char *) name, len) == 0;
}

/* names: no I/O, uses only nginx's pool, strings and lists */
ngx_uint_t ngx_http_clerk_auth_is_reserved(const u_char *name, size_t len);
ngx_uint_t ngx_http_clerk_auth_names_reserved(ngx_str_t *connection);
void ngx_http_clerk_auth_drop_reserved(ngx_str_t *connection, ngx_str_t *kept);
ngx_int_t ngx_http_clerk_auth_unlink_headers(ngx_list_t *list);

ngx_int_t ngx_http_clerk_auth_strip_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_clerk_auth_remove_headers(ngx_http_request_t *r);
ngx_int_t ngx_http_clerk_auth_pass_headers(ngx_http_request_t *r, ngx_list_t *headers, ngx_http_clerk_auth_ctx_t *ctx,
    ngx_uint_t with_claims);
ngx_table_elt_t *ngx_http_clerk_auth_find_header(ngx_http_request_t *r, const char *lowcase_name, ngx_uint_t *count);

/* response */
ngx_int_t ngx_http_clerk_auth_refuse(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf,
    ngx_http_clerk_auth_ctx_t *ctx, ngx_uint_t status, const char *error, const char *reason);
ngx_int_t ngx_http_clerk_auth_set_header(ngx_http_request_t *r, ngx_table_elt_t **line, const char *name, ngx_str_t *value);
ngx_int_t ngx_http_clerk_auth_send(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t *type, ngx_str_t *body);

/* variables */
ngx_int_t ngx_http_clerk_auth_add_variables(ngx_conf_t *cf);
char *ngx_http_clerk_auth_set_variable(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
const char *ngx_http_clerk_auth_reason(ngx_http_clerk_auth_ctx_t *ctx);
const char *ngx_http_clerk_auth_status_name(ngx_http_clerk_auth_ctx_t *ctx);
ngx_int_t ngx_http_clerk_auth_return_url(ngx_http_request_t *r, ngx_str_t *url);

/* claim: no I/O, uses only nginx's pool and strings */
ngx_int_t ngx_http_clerk_auth_claim_value(ngx_pool_t *pool, ngx_str_t *json, ngx_str_t *value);

/* webhook */
ngx_int_t ngx_http_clerk_auth_webhook_handler(ngx_http_request_t *r);
void ngx_http_clerk_auth_webhook_replay(ngx_http_clerk_auth_main_conf_t *mcf, ngx_str_t parts[4], ngx_log_t *log);

/* zone */
char *ngx_http_clerk_auth_set_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_int_t ngx_http_clerk_auth_zone_start(ngx_cycle_t *cycle, ngx_http_clerk_auth_main_conf_t *mcf);
void ngx_http_clerk_auth_zone_stop(ngx_http_clerk_auth_main_conf_t *mcf);
void ngx_http_clerk_auth_zone_publish(ngx_shm_zone_t *zone, ngx_str_t parts[4], ngx_log_t *log);
void ngx_http_clerk_auth_zone_share(ngx_shm_zone_t *zone, ngx_http_clerk_auth_client_t *client, ngx_uint_t is_start,
    ngx_log_t *log);

/* revocations: of all workers, in the zone; any thread */
typedef struct ngx_http_clerk_auth_revocations_s ngx_http_clerk_auth_revocations_t;
void ngx_http_clerk_auth_revocations_share(ngx_slab_pool_t *pool, ngx_http_clerk_auth_revocations_t **list,
    ngx_http_clerk_auth_client_t *client, ngx_uint_t is_start, ngx_log_t *log);
ngx_int_t ngx_http_clerk_auth_revocations_copy(ngx_slab_pool_t *pool, ngx_http_clerk_auth_revocations_t **list,
    ngx_slab_pool_t *old_pool, ngx_http_clerk_auth_revocations_t *old);

/* status */
#define NGX_HTTP_CLERK_AUTH_OWN_STATISTICS 7
typedef struct {
    clerk_stats library;
    uint64_t own[NGX_HTTP_CLERK_AUTH_OWN_STATISTICS];
} ngx_http_clerk_auth_statistics_t;
ngx_int_t ngx_http_clerk_auth_status_handler(ngx_http_request_t *r);
void ngx_http_clerk_auth_statistics(ngx_http_clerk_auth_main_conf_t *mcf, ngx_http_clerk_auth_statistics_t *statistics);
void ngx_http_clerk_auth_statistics_add(ngx_http_clerk_auth_statistics_t *sum,
    const ngx_http_clerk_auth_statistics_t *other, ngx_uint_t counters_only);
ngx_uint_t ngx_http_clerk_auth_zone_statistics(ngx_http_clerk_auth_main_conf_t *mcf,
    ngx_http_clerk_auth_statistics_t *sum);

#endif /* NGX_HTTP_CLERK_AUTH_H */
