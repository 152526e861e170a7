#include "client.h"

#include "values.h"

#include <stdlib.h>
#include <time.h>

static const napi_type_tag CLIENT_TAG = { 0x6a1c5f2e0d9b4c37, 0x9be2713fd05a8e64 };

struct client *client_new(void)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    pthread_mutex_init(&client->lock, NULL);
    pthread_cond_init(&client->idle, NULL);
    event_queue_init(&client->events);
    atomic_store(&client->references, 1);
    return client;
}

struct client *client_retain(struct client *client)
{
    atomic_fetch_add_explicit(&client->references, 1, memory_order_relaxed);
    return client;
}

void client_release(void *data)
{
    struct client *client = data;
    if (atomic_fetch_sub_explicit(&client->references, 1, memory_order_acq_rel) != 1)
        return;
    event_queue_destroy(&client->events);
    pthread_cond_destroy(&client->idle);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

void client_link(struct client *client, struct addon *addon)
{
    client->addon = addon;
    client->next = addon->clients;
    if (client->next != NULL)
        client->next->previous = client;
    addon->clients = client;
}

static void unlink_client(struct client *client)
{
    if (client->addon == NULL)
        return;
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        client->addon->clients = client->next;
    if (client->next != NULL)
        client->next->previous = client->previous;
    client->previous = client->next = NULL;
    client->addon = NULL;
}

static void free_core(struct client *client)
{
    clerk_client *core = client->core;
    unlink_client(client);
    client->core = NULL;
    clerk_client_free(core);
}

void client_begin_call(struct client *client)
{
    client->calls_in_flight++;
}

void client_end_call(struct client *client)
{
    client->calls_in_flight--;
    if (client->closed && client->calls_in_flight == 0)
        free_core(client);
}

void client_close(napi_env env, struct client *client)
{
    if (!client->closed)
        result_cache_clear(env, &client->results);
    client->closed = true;
    atomic_store(&client->closing, true);
    if (client->core != NULL)
        ignore_status(clerk_client_shutdown(client->core));
    if (client->core != NULL && client->calls_in_flight == 0)
        free_core(client);
}

/* A call in flight has its own references to the library's client and to this one. */
static void finalize(napi_env env, void *data, void *hint)
{
    struct client *client = data;
    (void)hint;
    result_cache_clear(env, &client->results);
    atomic_store(&client->closing, true);
    client->closed = true;
    free_core(client);
    client_release(client);
}

void client_cancel_calls(struct client *client)
{
    atomic_store(&client->closing, true);
    if (client->core == NULL)
        return;
    pthread_mutex_lock(&client->lock);
    while (client->running > 0) {
        struct timespec until;
        pthread_mutex_unlock(&client->lock);
        /* Repeated: a call that read `closing` before it was set may connect only after a shutdown. */
        ignore_status(clerk_client_shutdown(client->core));
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 2 * 1000 * 1000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&client->lock);
        if (client->running > 0)
            pthread_cond_timedwait(&client->idle, &client->lock, &until);
    }
    pthread_mutex_unlock(&client->lock);
}

bool client_wrap(napi_env env, napi_value object, struct client *client)
{
    TRY(napi_wrap(env, object, client, finalize, NULL, NULL));
    client_retain(client);
    TRY(napi_type_tag_object(env, object, &CLIENT_TAG));
    return true;
}

struct client *client_of_this(napi_env env, napi_callback_info info, size_t *count, napi_value *arguments)
{
    napi_value self;
    bool is_client = false;
    struct client *client = NULL;
    TRY(napi_get_cb_info(env, info, count, arguments, &self, NULL));
    if (napi_check_object_type_tag(env, self, &CLIENT_TAG, &is_client) != napi_ok || !is_client) {
        bool pending = false;
        napi_is_exception_pending(env, &pending);
        if (!pending)
            throw_type_error(env, "`this` must be a Client");
        return NULL;
    }
    TRY(napi_unwrap(env, self, (void **)&client));
    return client;
}

struct client *open_client_of_this(napi_env env, napi_callback_info info, size_t *count, napi_value *arguments)
{
    struct client *client = client_of_this(env, info, count, arguments);
    if (client != NULL && client->closed) {
        napi_throw_error(env, "CLERK_CLOSED", "this ClerkClient is closed");
        return NULL;
    }
    return client;
}
