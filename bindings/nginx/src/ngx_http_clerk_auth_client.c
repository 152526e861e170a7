/* One clerk_client per distinct set of settings and worker. Created in workers only, after the fork. */

#include "ngx_http_clerk_auth.h"

/* Checks the settings together, at `nginx -t`: creates a client and frees it at once. It opens no connection. */
char *
ngx_http_clerk_auth_client_check(ngx_conf_t *cf, ngx_http_clerk_auth_client_t *client)
{
    ngx_http_clerk_auth_setting_t *wrong = NULL;
    clerk_error *error = NULL;
    clerk_config *config = clerk_config_new();
    clerk_client *trial = NULL;
    clerk_str message, name;
    ngx_uint_t i;
    ngx_int_t rc;

    rc = ngx_http_clerk_auth_settings_apply(client, config, 0, &error, &wrong);
    if (rc == NGX_OK && clerk_client_new(config, &trial, &error) != CLERK_OK) {
        rc = NGX_ERROR;
    }
    clerk_client_free(trial);
    clerk_config_free(config);
    if (rc == NGX_OK) {
        return NGX_CONF_OK;
    }
    message = clerk_error_message(error);
    name = clerk_error_setting(error);
    for (i = 0; wrong == NULL && name.data != NULL && ngx_http_clerk_auth_setting_name(i) != NULL; i++) {
        if (ngx_strcmp(ngx_http_clerk_auth_setting_name(i), name.data) == 0 && client->settings[i].values != NULL) {
            wrong = &client->settings[i];
        }
    }
    if (wrong != NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "\"%V\": %*s in %V:%ui", &wrong->directive, message.len, message.data,
            &wrong->file, wrong->line);
    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"clerk_auth_%s%*s\": %*s",
            name.data == NULL || ngx_http_clerk_auth_has_directive(name) ? "" : "setting ", name.len,
            name.data == NULL ? "" : name.data, message.len, message.data);
    }
    clerk_error_free(error);
    return NGX_CONF_ERROR;
}

/* With the setting shared_cache: a thread of the library applies what other processes change, until the client is freed. */
static void
ngx_http_clerk_auth_client_poll(ngx_cycle_t *cycle, ngx_http_clerk_auth_client_t *client)
{
    sigset_t all, before;
    clerk_error *error = NULL;
    int32_t status;

    /* Signals are for the thread that runs the event loop. */
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) {
        return;
    }
    status = clerk_client_start_poller(client->client, &error);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != CLERK_OK && status != CLERK_E_CONFIG) {
        ngx_http_clerk_auth_log_error(cycle->log, NGX_LOG_ERR, "changes of other processes are not applied", error);
    }
    clerk_error_free(error);
}

static ngx_int_t
ngx_http_clerk_auth_client_make(ngx_cycle_t *cycle, ngx_http_clerk_auth_main_conf_t *mcf,
    ngx_http_clerk_auth_client_t *client)
{
    ngx_http_clerk_auth_setting_t *wrong = NULL;
    clerk_error *error = NULL;
    clerk_config *config = clerk_config_new();
    int32_t level;
    ngx_int_t rc;

    level = ngx_max(ngx_http_clerk_auth_log_level(cycle->log), ngx_http_clerk_auth_log_level(client->log));
    rc = ngx_http_clerk_auth_settings_apply(client, config, 1, &error, &wrong);
    if (rc == NGX_OK
        && (clerk_config_set_log_callback(config, level, ngx_http_clerk_auth_log_callback, cycle->log, NULL) != CLERK_OK
            || clerk_client_new(config, &client->client, &error) != CLERK_OK))
    {
        rc = NGX_ERROR;
    }
    clerk_config_free(config);
    if (rc != NGX_OK) {
        ngx_http_clerk_auth_log_error(cycle->log, NGX_LOG_ERR,
            "no client, its locations are unavailable; next attempt in five seconds", error);
        clerk_error_free(error);
        return rc;
    }
    ngx_http_clerk_auth_zone_share(mcf->zone, client, 1, cycle->log);
    ngx_http_clerk_auth_client_poll(cycle, client);
    return NGX_OK;
}

typedef struct {
    clerk_client *client;
} ngx_http_clerk_auth_warm_up_t;

static void
ngx_http_clerk_auth_warm_up(void *data, ngx_log_t *log)
{
    ngx_http_clerk_auth_warm_up_t *warm_up = data;
    clerk_error *error = NULL;

    if (!ngx_terminate && clerk_client_warm_up(warm_up->client, &error) != CLERK_OK) {
        ngx_http_clerk_auth_log_error(log, NGX_LOG_WARN, "the key set could not be fetched", error);
    }
    clerk_error_free(error);
    clerk_client_free(warm_up->client);
    warm_up->client = NULL;
}

static void
ngx_http_clerk_auth_warm_up_done(ngx_event_t *ev)
{
    ngx_destroy_pool(ev->data);
}

/* Fetches the key set in a thread, so that the first request does not wait for it. */
static void
ngx_http_clerk_auth_client_warm_up(ngx_cycle_t *cycle, ngx_http_clerk_auth_client_t *client)
{
    ngx_http_clerk_auth_warm_up_t *warm_up;
    ngx_thread_task_t *task;
    ngx_pool_t *pool;

    pool = ngx_create_pool(1024, cycle->log);
    if (pool == NULL) {
        return;
    }
    task = ngx_thread_task_alloc(pool, sizeof(ngx_http_clerk_auth_warm_up_t));
    if (task == NULL) {
        ngx_destroy_pool(pool);
        return;
    }
    warm_up = task->ctx;
    warm_up->client = clerk_client_retain(client->client);
    task->handler = ngx_http_clerk_auth_warm_up;
    task->event.handler = ngx_http_clerk_auth_warm_up_done;
    task->event.data = pool;
    task->event.log = cycle->log;
    if (ngx_thread_task_post(client->thread_pool, task) != NGX_OK) {
        clerk_client_free(warm_up->client);
        ngx_destroy_pool(pool);
    }
}

ngx_int_t
ngx_http_clerk_auth_clients_start(ngx_cycle_t *cycle, ngx_http_clerk_auth_main_conf_t *mcf)
{
    ngx_http_clerk_auth_client_t **clients = mcf->clients.elts;
    ngx_uint_t i;

    if (clerk_abi_version() >> 16 != CLERK_ABI_MAJOR || (clerk_abi_version() & 0xffff) < CLERK_ABI_MINOR) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0, "clerk_auth: built for another version of the library than %s",
            clerk_version());
        return NGX_ERROR;
    }
    for (i = 0; i < mcf->clients.nelts; i++) {
        if (ngx_http_clerk_auth_client_make(cycle, mcf, clients[i]) == NGX_OK) {
            ngx_http_clerk_auth_client_warm_up(cycle, clients[i]);
        }
    }
    return NGX_OK;
}

/* Tries again to create a client, for example when its user store could not be opened. */
void
ngx_http_clerk_auth_clients_retry(ngx_cycle_t *cycle, ngx_http_clerk_auth_main_conf_t *mcf)
{
    static time_t last;
    ngx_http_clerk_auth_client_t **clients = mcf->clients.elts;
    ngx_uint_t i;

    if (last == 0 || ngx_time() - last < 5) {
        last = last == 0 ? ngx_time() : last;
        return;
    }
    last = ngx_time();
    for (i = 0; i < mcf->clients.nelts; i++) {
        if (clients[i]->client == NULL && ngx_http_clerk_auth_client_make(cycle, mcf, clients[i]) == NGX_OK) {
            ngx_http_clerk_auth_client_warm_up(cycle, clients[i]);
        }
    }
}

/* The thread pools were drained before: no call is in progress. */
void
ngx_http_clerk_auth_clients_stop(ngx_http_clerk_auth_main_conf_t *mcf)
{
    ngx_http_clerk_auth_client_t **clients = mcf->clients.elts;
    ngx_uint_t i;

    for (i = 0; i < mcf->clients.nelts; i++) {
        /* Sends what other processes do not know yet. */
        if (clerk_client_shutdown(clients[i]->client) == CLERK_OK) {
            clerk_client_free(clients[i]->client);
        }
        clients[i]->client = NULL;
    }
}
