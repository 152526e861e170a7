#include "poller.h"

#include "client.h"
#include "values.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

/* How long one call of the library waits. */
#define POLL_MS 250

struct poller {
    struct client *client;
    clerk_client *core;
};

/* Ends when the client is closed. Counts as a running call, for which the end of the environment waits. */
static void *run(void *data)
{
    struct poller *poller = data;
    struct client *client = poller->client;
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};

    while (!atomic_load(&client->closing)) {
        /* Whatever failed may be over next time. */
        if (clerk_client_poll(poller->core, POLL_MS) < CLERK_OK)
            nanosleep(&pause, NULL);
    }
    clerk_client_free(poller->core);
    free(poller);
    pthread_mutex_lock(&client->lock);
    client->running--;
    pthread_cond_broadcast(&client->idle);
    pthread_mutex_unlock(&client->lock);
    client_release(client);
    return NULL;
}

static bool start(struct client *client)
{
    struct poller *poller = malloc(sizeof *poller);
    sigset_t all, before;
    pthread_t thread;

    if (poller == NULL)
        return false;
    *poller = (struct poller){ client_retain(client), clerk_client_retain(client->core) };
    pthread_mutex_lock(&client->lock);
    client->running++;
    pthread_mutex_unlock(&client->lock);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool is_started = pthread_create(&thread, NULL, run, poller) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (is_started) {
        pthread_detach(thread);
        return true;
    }
    pthread_mutex_lock(&client->lock);
    client->running--;
    pthread_mutex_unlock(&client->lock);
    clerk_client_free(poller->core);
    client_release(client);
    free(poller);
    return false;
}

napi_value poller_start(napi_env env, napi_callback_info info)
{
    size_t count = 0;
    clerk_stats stats = CLERK_STATS_INIT;
    struct client *client = open_client_of_this(env, info, &count, NULL);
    if (client == NULL)
        return NULL;
    int32_t status = clerk_client_stats(client->core, &stats);
    if (status == CLERK_OK && stats.shared_cache_state == 0)
        status = CLERK_E_CONFIG;
    if (status == CLERK_OK && !client->is_polled && !start(client))
        status = CLERK_E_STATE;
    if (status != CLERK_OK)
        return throw_status(env, status);
    client->is_polled = true;
    return get_undefined(env);
}
