/* Completed jobs return through one threadsafe function. Only the environment ends it: `completions` is NULL from then on, and
 * completed jobs are only freed. */
#include "thread_pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define MAX_THREADS 64
#define IDLE_TIMEOUT_S 5

struct thread_pool {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int references; /* the environment, and each thread */
    int threads, idle, queued;
    int max_threads;
    struct job *first, *last;
    napi_threadsafe_function completions;
    int outstanding; /* used on the environment's thread only */
};

/* Called with the lock held; releases it. */
static void release(struct thread_pool *pool)
{
    bool last = --pool->references == 0;
    pthread_mutex_unlock(&pool->lock);
    if (!last)
        return;
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* Called with the lock held. Returns NULL after the idle timeout, or once the environment has ended. */
static struct job *next_job(struct thread_pool *pool)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += IDLE_TIMEOUT_S;
    pool->idle++;
    while (pool->first == NULL) {
        bool is_over = pool->completions == NULL || pthread_cond_timedwait(&pool->wake, &pool->lock, &until) != 0;
        if (is_over && pool->first == NULL) {
            pool->idle--;
            return NULL;
        }
    }
    pool->idle--;
    struct job *job = pool->first;
    pool->first = job->next;
    pool->queued--;
    return job;
}

static void *thread_main(void *data)
{
    struct thread_pool *pool = data;
    struct job *job;

    pthread_mutex_lock(&pool->lock);
    while ((job = next_job(pool)) != NULL) {
        pthread_mutex_unlock(&pool->lock);
        job->run(job);
        pthread_mutex_lock(&pool->lock);
        bool is_sent = pool->completions != NULL &&
                       napi_call_threadsafe_function(pool->completions, job, napi_tsfn_nonblocking) == napi_ok;
        if (is_sent)
            continue;
        pthread_mutex_unlock(&pool->lock);
        job->complete(NULL, job);
        pthread_mutex_lock(&pool->lock);
    }
    pool->threads--;
    release(pool);
    return NULL;
}

/* Called on the environment's thread; `env` is NULL while it is being torn down. */
static void on_completion(napi_env env, napi_value function, void *context, void *data)
{
    struct thread_pool *pool = context;
    struct job *job = data;
    (void)function;
    if (env != NULL && --pool->outstanding == 0)
        napi_unref_threadsafe_function(env, pool->completions);
    job->complete(env, job);
}

static void on_environment_end(napi_env env, void *data, void *hint)
{
    struct thread_pool *pool = data;
    (void)env, (void)hint;
    pthread_mutex_lock(&pool->lock);
    pool->completions = NULL;
    pthread_cond_broadcast(&pool->wake);
    release(pool);
}

struct thread_pool *thread_pool_new(napi_env env)
{
    napi_value name;
    struct thread_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->references = 1;
    pool->max_threads = MAX_THREADS;
    if (napi_create_string_utf8(env, "clerk-auth", NAPI_AUTO_LENGTH, &name) == napi_ok &&
        napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, pool, on_environment_end, pool, on_completion,
                                        &pool->completions) == napi_ok &&
        napi_unref_threadsafe_function(env, pool->completions) == napi_ok)
        return pool;
    if (pool->completions == NULL)
        free(pool);
    return NULL;
}

/* Called with the lock held. The thread blocks all signals: they belong to Node's own threads. */
static bool start_thread(struct thread_pool *pool)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool is_started = pthread_create(&thread, NULL, thread_main, pool) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (is_started) {
        pthread_detach(thread);
        pool->threads++;
        pool->references++;
    }
    return is_started;
}

bool thread_pool_submit(napi_env env, struct thread_pool *pool, struct job *job)
{
    pthread_mutex_lock(&pool->lock);
    bool is_accepted = pool->max_threads > 0 &&
                       (pool->queued < pool->idle || (pool->threads < pool->max_threads && start_thread(pool)) ||
                        pool->threads > 0);
    if (is_accepted) {
        job->next = NULL;
        if (pool->first == NULL)
            pool->first = job;
        else
            pool->last->next = job;
        pool->last = job;
        pool->queued++;
        pthread_cond_signal(&pool->wake);
    }
    pthread_mutex_unlock(&pool->lock);
    /* An outstanding job keeps the event loop alive. */
    if (is_accepted && pool->outstanding++ == 0)
        napi_ref_threadsafe_function(env, pool->completions);
    return is_accepted;
}

void thread_pool_set_max_threads(struct thread_pool *pool, int max_threads)
{
    pthread_mutex_lock(&pool->lock);
    pool->max_threads = max_threads;
    pthread_mutex_unlock(&pool->lock);
}
