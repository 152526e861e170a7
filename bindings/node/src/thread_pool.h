/* The threads of one environment (the main thread or a worker) for calls that wait for Clerk.
 *
 * libuv's pool is not used: its few threads also serve files and DNS, which an outage at Clerk must not block. And an
 * environment waits for that pool before it runs its cleanup hooks: a terminated worker would live as long as its calls. */
#ifndef CLERK_NODE_THREAD_POOL_H
#define CLERK_NODE_THREAD_POOL_H

#include <node_api.h>

#include <stdbool.h>

struct thread_pool;

struct job {
    struct job *next;
    /* Called on a thread of the pool. */
    void (*run)(struct job *);
    /* Called on the environment's thread, or on any thread with a NULL environment once that is torn down. */
    void (*complete)(napi_env, struct job *);
};

/* Returns NULL on failure. The environment owns the pool and ends it. */
struct thread_pool *thread_pool_new(napi_env env);
/* Queues the job. Returns false when no thread can be started; the job is then not run. */
bool thread_pool_submit(napi_env env, struct thread_pool *pool, struct job *job);
/* Sets the maximum number of threads, for tests. With 0 every submission fails. */
void thread_pool_set_max_threads(struct thread_pool *pool, int max_threads);

#endif
