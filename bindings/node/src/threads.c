/* Threads of an environment's own, for calls that wait for Clerk.
 *
 * Not libuv's pool: its few threads belong to files and names, too, which an outage at Clerk must not hold up; and an
 * environment that is torn down waits for libuv's pool before it tells anybody that it is, so that a terminated worker
 * would last as long as its calls. The way back is one threadsafe function, which only its environment ever ends: from
 * then on `back` is NULL, and what is finished is only freed. */
#include "addon.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define MOST_THREADS 64
#define IDLE_S 5

struct threads {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int references; /* the environment, and each thread */
    int count, idle, waiting;
    int most;
    job *first, *last;
    napi_threadsafe_function back;
    int unanswered; /* only the environment's own thread touches it */
};

/* With the lock held; gives it back. */
static void release(threads *own)
{
    bool last = --own->references == 0;
    pthread_mutex_unlock(&own->lock);
    if (!last)
        return;
    pthread_cond_destroy(&own->wake);
    pthread_mutex_destroy(&own->lock);
    free(own);
}

/* With the lock held. NULL after a while without work, or when no more is to come. */
static job *next_job(threads *own)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += IDLE_S;
    own->idle++;
    while (own->first == NULL) {
        bool late = own->back == NULL || pthread_cond_timedwait(&own->wake, &own->lock, &until) != 0;
        if (late && own->first == NULL) {
            own->idle--;
            return NULL;
        }
    }
    own->idle--;
    job *taken = own->first;
    own->first = taken->next;
    own->waiting--;
    return taken;
}

static void *serve(void *data)
{
    threads *own = data;
    job *taken;

    pthread_mutex_lock(&own->lock);
    while ((taken = next_job(own)) != NULL) {
        pthread_mutex_unlock(&own->lock);
        taken->run(taken);
        pthread_mutex_lock(&own->lock);
        bool told = own->back != NULL && napi_call_threadsafe_function(own->back, taken, napi_tsfn_nonblocking) == napi_ok;
        if (told)
            continue;
        pthread_mutex_unlock(&own->lock);
        taken->done(NULL, taken);
        pthread_mutex_lock(&own->lock);
    }
    own->count--;
    release(own);
    return NULL;
}

/* On the environment's thread; `env` is NULL when it is being torn down. */
static void answer(napi_env env, napi_value function, void *context, void *data)
{
    threads *own = context;
    job *ended = data;
    (void)function;
    if (env != NULL && --own->unanswered == 0)
        napi_unref_threadsafe_function(env, own->back);
    ended->done(env, ended);
}

static void end(napi_env env, void *data, void *hint)
{
    threads *own = data;
    (void)env, (void)hint;
    pthread_mutex_lock(&own->lock);
    own->back = NULL;
    pthread_cond_broadcast(&own->wake);
    release(own);
}

threads *threads_new(napi_env env)
{
    napi_value name;
    threads *own = calloc(1, sizeof *own);
    if (own == NULL)
        return NULL;
    pthread_mutex_init(&own->lock, NULL);
    pthread_cond_init(&own->wake, NULL);
    own->references = 1;
    own->most = MOST_THREADS;
    if (napi_create_string_utf8(env, "clerk-auth", NAPI_AUTO_LENGTH, &name) == napi_ok &&
        napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, own, end, own, answer, &own->back) == napi_ok &&
        napi_unref_threadsafe_function(env, own->back) == napi_ok)
        return own;
    if (own->back == NULL)
        free(own);
    return NULL;
}

/* With the lock held. Signals are for Node's own threads. */
static bool start(threads *own)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, NULL, serve, own) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) {
        pthread_detach(thread);
        own->count++;
        own->references++;
    }
    return started;
}

bool threads_queue(napi_env env, threads *own, job *added)
{
    pthread_mutex_lock(&own->lock);
    bool served = own->most > 0 &&
                  (own->waiting < own->idle || (own->count < own->most && start(own)) || own->count > 0);
    if (served) {
        added->next = NULL;
        if (own->first == NULL)
            own->first = added;
        else
            own->last->next = added;
        own->last = added;
        own->waiting++;
        pthread_cond_signal(&own->wake);
    }
    pthread_mutex_unlock(&own->lock);
    /* The process goes on as long as an answer is awaited. */
    if (served && own->unanswered++ == 0)
        napi_ref_threadsafe_function(env, own->back);
    return served;
}

/* setMostThreads(most): for tests; with 0 no thread is to be had. */
napi_value threads_limit(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    addon *state = NULL;
    int32_t most = 0;
    TRY(napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
    TRY(napi_get_value_int32(env, argument, &most));
    TRY(napi_get_instance_data(env, (void **)&state));
    pthread_mutex_lock(&state->threads->lock);
    state->threads->most = most;
    pthread_mutex_unlock(&state->threads->lock);
    return undefined(env);
}
