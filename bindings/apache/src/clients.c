/* Clients: created in the children, one for each distinct set of settings, and freed when the child exits. */

#include "mod_auth_clerk.h"

#include <ap_mpm.h>
#include <pthread.h>
#include <signal.h>

static apr_pool_t *child_pool;
static server_rec *child_server;
static apr_thread_mutex_t *lock; /* guards what follows, and what is allocated from child_pool */
static apr_hash_t *clients;      /* settings as a string -> mac_client */
static apr_time_t failed_at;
static pthread_t warm_up_thread;
static int has_warm_up_thread;

static __thread request_rec *current;

/* --- logging ------------------------------------------------------------------------------------------------------ */

void mac_enter(request_rec *r)
{
    current = r;
}

void mac_leave(void)
{
    current = NULL;
}

static int apache_level(int32_t level)
{
    switch (level) {
    case CLERK_LOG_LEVEL_ERROR:
        return APLOG_ERR;
    case CLERK_LOG_LEVEL_WARN:
        return APLOG_WARNING;
    case CLERK_LOG_LEVEL_INFO:
        return APLOG_INFO;
    default:
        return APLOG_DEBUG;
    }
}

static void log_line(void *userdata, int32_t level, clerk_str message)
{
    int apache = apache_level(level), len = message.len > 4096 ? 4096 : (int)message.len;

    (void)userdata;
    if (current)
        ap_log_rerror(APLOG_MARK, apache, 0, current, "clerk: %.*s%s", len, message.data, mac_request_id(current));
    else
        ap_log_error(APLOG_MARK, apache, 0, child_server, "clerk: %.*s", len, message.data);
}

/* The most verbose level of all servers. */
static int32_t wanted_level(void)
{
    int level = APLOG_EMERG;
    const server_rec *s;

    for (s = child_server; s; s = s->next) {
        int its = ap_get_server_module_loglevel(s, APLOG_MODULE_INDEX);

        if (its > level)
            level = its;
    }
    return level >= APLOG_DEBUG ? CLERK_LOG_LEVEL_DEBUG
         : level >= APLOG_INFO ? CLERK_LOG_LEVEL_INFO
         : level >= APLOG_WARNING ? CLERK_LOG_LEVEL_WARN
                                  : CLERK_LOG_LEVEL_ERROR;
}

/* --- creating them ------------------------------------------------------------------------------------------------- */

static const char *secrets_of(apr_pool_t *p, const apr_array_header_t *settings)
{
    apr_array_header_t *secrets = apr_array_make(p, 2, sizeof(mac_setting));
    int i;

    for (i = 0; i < settings->nelts; i++)
        if (!strcmp(APR_ARRAY_IDX(settings, i, mac_setting).name, "webhook_secrets"))
            APR_ARRAY_PUSH(secrets, mac_setting) = APR_ARRAY_IDX(settings, i, mac_setting);
    return secrets->nelts ? mac_settings_key(p, secrets) : NULL;
}

static void tag_secrets(apr_pool_t *p, mac_client *client, const apr_array_header_t *settings)
{
    int i;

    client->tags = apr_palloc(p, (apr_size_t)(settings->nelts + 1) * sizeof(*client->tags));
    client->revocations = apr_pcalloc(p, (apr_size_t)(settings->nelts + 1) * sizeof(*client->revocations));
    for (i = 0; i < settings->nelts; i++)
        if (!strcmp(APR_ARRAY_IDX(settings, i, mac_setting).name, "webhook_secrets"))
            client->tags[client->tag_count++] = mac_tag_of(APR_ARRAY_IDX(settings, i, mac_setting).value);
}

static apr_array_header_t *copy_settings(apr_pool_t *p, const apr_array_header_t *settings)
{
    apr_array_header_t *copy = apr_array_copy(p, settings);
    int i;

    for (i = 0; i < copy->nelts; i++) {
        mac_setting *setting = &APR_ARRAY_IDX(copy, i, mac_setting);

        setting->name = apr_pstrdup(p, setting->name);
        setting->value = apr_pstrdup(p, setting->value);
    }
    return copy;
}

static const char *make_handle(apr_pool_t *p, const apr_array_header_t *settings, const char *database, clerk_client **handle)
{
    clerk_error *error = NULL;
    const char *wrong;
    clerk_config *config = mac_new_config(p, settings, &wrong);

    if (!wrong && clerk_config_set_log_callback(config, wanted_level(), log_line, NULL, NULL) != CLERK_OK)
        wrong = "internal error of the library";
    if (!wrong && database && clerk_config_set_database(config, mac_str(database), &error) != CLERK_OK)
        wrong = mac_config_error(p, error);
    if (!wrong && clerk_client_new(config, handle, &error) != CLERK_OK)
        wrong = mac_config_error(p, error);
    clerk_config_free(config);
    return wrong;
}

static int is_threaded(void);

/* With the setting shared_cache: a thread of the library applies what other processes change, until the client is shut down. */
static void start_poller(const mac_client *client)
{
    sigset_t all, before;
    clerk_error *error = NULL;
    int32_t status;

    /* Signals must be handled by the threads of Apache. */
    sigfillset(&all);
    if (!is_threaded() || pthread_sigmask(SIG_SETMASK, &all, &before))
        return;
    status = clerk_client_start_poller(client->handle, &error);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != CLERK_OK && status != CLERK_E_CONFIG) {
        clerk_str message = clerk_error_message(error);

        ap_log_error(APLOG_MARK, APLOG_ERR, 0, child_server, "mod_auth_clerk: changes of other processes are not applied: %.*s",
                     (int)message.len, message.data ? message.data : "");
    }
    clerk_error_free(error);
}

/* A child of prefork has no such thread: it applies the changes before a request. */
void mac_poll(mac_client *client, apr_time_t now)
{
    int32_t status;

    /* The clock may have been set back. */
    if (is_threaded() || !client->is_polled || (now >= client->polled_at && now - client->polled_at < MAC_POLL_INTERVAL))
        return;
    client->polled_at = now;
    status = clerk_client_poll(client->handle, 0);
    if (status == CLERK_E_CONFIG)
        client->is_polled = 0;
}

/* Call it with `lock` locked. Returns NULL and logs the cause on failure; the next attempt is a second later. */
static mac_client *find_or_make(const mac_server_conf *server, const apr_array_header_t *dir_settings)
{
    apr_pool_t *p;
    apr_array_header_t *settings;
    const char *key, *wrong;
    mac_client *client;

    if (apr_time_now() - failed_at < apr_time_from_sec(1) || apr_pool_create(&p, child_pool) != APR_SUCCESS)
        return NULL;
    settings = dir_settings ? mac_merge_settings(p, server->settings, dir_settings) : server->settings;
    key = apr_pstrcat(p, mac_settings_key(p, settings), server->database, NULL);
    if ((client = apr_hash_get(clients, key, APR_HASH_KEY_STRING))) {
        apr_pool_destroy(p);
        return client;
    }
    client = apr_pcalloc(p, sizeof(*client));
    if ((wrong = make_handle(p, settings, server->database, &client->handle))
        || apr_thread_mutex_create(&client->lock, APR_THREAD_MUTEX_DEFAULT, p) != APR_SUCCESS) {
        failed_at = apr_time_now();
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, child_server, "mod_auth_clerk: no client: %s", wrong ? wrong : "no mutex");
        clerk_client_free(client->handle);
        apr_pool_destroy(p);
        return NULL;
    }
    /* Settings of a directory are part of the configuration of a request. */
    if (dir_settings)
        settings = copy_settings(p, settings);
    mac_read_page_settings(client, settings);
    client->webhook_secrets = secrets_of(p, settings);
    tag_secrets(p, client, settings);
    /* In this order: a delivery is counted after its revocations were shared. */
    client->deliveries_applied = mac_last_delivery();
    mac_share_revocations(client, child_server, 1);
    apr_hash_set(clients, key, APR_HASH_KEY_STRING, client);
    client->is_polled = 1;
    start_poller(client);
    return client;
}

/* --- finding them -------------------------------------------------------------------------------------------------- */

mac_client *mac_client_of_server(const server_rec *s)
{
    return mac_server_conf_of(s)->client;
}

/* A directory with its own settings, or a server whose client could not be created before. */
static mac_client *find_slowly(mac_server_conf *server, const mac_dir_conf *dir)
{
    mac_client *client;

    apr_thread_mutex_lock(lock);
    if (!dir->settings_key) {
        client = server->client ? server->client : find_or_make(server, NULL);
        server->client = client;
    } else if (!(client = apr_hash_get(server->dir_clients, dir->settings_key, APR_HASH_KEY_STRING))) {
        client = find_or_make(server, dir->settings);
        if (client)
            apr_hash_set(server->dir_clients, apr_pstrdup(child_pool, dir->settings_key), APR_HASH_KEY_STRING, client);
    }
    apr_thread_mutex_unlock(lock);
    return client;
}

mac_client *mac_client_of_request(request_rec *r)
{
    mac_server_conf *server = mac_server_conf_of(r->server);
    const mac_dir_conf *dir = mac_dir_conf_of(r);
    mac_client *client = server->client;

    if (client && !dir->settings_key)
        return client;
    if (!lock || !server->dir_clients) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "mod_auth_clerk: this server has no verification key configured");
        return NULL;
    }
    mac_enter(r);
    client = find_slowly(server, dir);
    mac_leave();
    if (!client)
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "mod_auth_clerk: no client; the cause was logged earlier");
    return client;
}

static void each_client(void (*function)(mac_client *client, void *data), void *data)
{
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, clients); i; i = apr_hash_next(i))
        function(apr_hash_this_val(i), data);
}

void mac_each_client(void (*function)(mac_client *client, void *data), void *data)
{
    if (!lock)
        return;
    apr_thread_mutex_lock(lock);
    each_client(function, data);
    apr_thread_mutex_unlock(lock);
}

/* --- start and exit of a child------------------------------------------------------------------------------------------ */

/* Prefork ends a child inside a signal handler, at any point: then no function that takes a lock may be called, and no thread of
 * this module may be running. */
static int is_threaded(void)
{
    int threaded = 0;

    return ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded) == APR_SUCCESS && threaded;
}

/* Fetches the key sets, so that the first request does not wait for them. */
static void *warm_up(void *unused)
{
    server_rec *s;

    (void)unused;
    for (s = child_server; s; s = s->next) {
        mac_client *client = mac_client_of_server(s);
        clerk_error *error = NULL;

        if (client && clerk_client_warm_up(client->handle, &error) != CLERK_OK) {
            clerk_str message = clerk_error_message(error);

            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "mod_auth_clerk: the key set could not be fetched yet: %.*s",
                         (int)message.len, message.data ? message.data : "");
            clerk_error_free(error);
        }
    }
    return NULL;
}

/* Signals must be handled by the threads of Apache, not by this one. */
static void start_warm_up(void)
{
    sigset_t all, before;

    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before))
        return;
    has_warm_up_thread = !pthread_create(&warm_up_thread, NULL, warm_up, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void shut_down(mac_client *client, void *unused)
{
    int32_t status = clerk_client_shutdown(client->handle);

    (void)unused;
    if (status != CLERK_OK)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, child_server, "mod_auth_clerk: calls to Clerk could not be cancelled: %s",
                     clerk_status_name(status));
}

static void free_client(mac_client *client, void *unused)
{
    (void)unused;
    mac_flush_stats(client, apr_time_now());
    mac_retire_stats(client);
    clerk_client_free(client->handle);
    client->handle = NULL;
}

static void retire(mac_client *client, void *unused)
{
    (void)unused;
    mac_retire_stats(client);
}

static apr_status_t end_child(void *unused)
{
    (void)unused;
    if (!is_threaded()) {
        /* Takes no lock and allocates nothing; the kernel frees the rest when the process exits. */
        each_client(retire, NULL);
        return APR_SUCCESS;
    }
    mac_each_client(shut_down, NULL);
    if (has_warm_up_thread)
        pthread_join(warm_up_thread, NULL);
    has_warm_up_thread = 0;
    mac_each_client(free_client, NULL);
    lock = NULL;
    return APR_SUCCESS;
}

/* Calls that wait for Clerk must not delay a server that stops. */
void mac_child_stopping(apr_pool_t *p, int graceful)
{
    (void)p;
    if (!graceful && is_threaded())
        mac_each_client(shut_down, NULL);
}

void mac_child_init(apr_pool_t *p, server_rec *main_server)
{
    server_rec *s;
    int needs_warm_up = 0;

    child_pool = p;
    child_server = main_server;
    failed_at = 0;
    clients = apr_hash_make(p);
    if (apr_thread_mutex_create(&lock, APR_THREAD_MUTEX_DEFAULT, p) != APR_SUCCESS) {
        lock = NULL;
        return;
    }
    mac_cache_child_init(p, main_server);
    /* Registered before any client is created, so it runs after everything that uses clients. */
    apr_pool_pre_cleanup_register(p, NULL, end_child);
    for (s = main_server; s; s = s->next) {
        mac_server_conf *conf = mac_server_conf_of(s);

        if (!mac_has_key(conf))
            continue;
        conf->dir_clients = apr_hash_make(p);
        failed_at = 0;
        conf->client = find_or_make(conf, NULL);
        needs_warm_up |= conf->client != NULL;
    }
    if (needs_warm_up && is_threaded())
        start_warm_up();
}
