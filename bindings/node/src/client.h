/* The client's state and lifetime. */
#ifndef CLERK_NODE_CLIENT_H
#define CLERK_NODE_CLIENT_H

#include "addon.h"
#include "event_queue.h"
#include "result.h"

#include <clerk_auth.h>
#include <node_api.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Counted: the JavaScript object, each call in flight and each registered callback hold a reference. */
struct client {
    atomic_int references;

    /* Used on the environment's thread only. */
    clerk_client *core; /* NULL once closed, with no call in flight */
    bool closed;
    int64_t timeout_ms;
    bool has_store;
    uint64_t mark; /* when the requests of this turn of the event loop began */
    int calls_in_flight;
    bool is_polled;
    struct result_cache results;
    struct client *previous, *next;
    struct addon *addon; /* NULL unless in its list */

    /* Used on any thread. */
    _Atomic int64_t now_ms; /* set by tests; 0 is the system's time */
    _Atomic bool closing;
    struct event_queue events;
    pthread_mutex_t lock;
    pthread_cond_t idle;
    int running; /* calls inside the library; guarded by the lock */
};

/* Returns a client with one reference; NULL without memory. */
struct client *client_new(void);
struct client *client_retain(struct client *client);
/* Takes `void *` because it is also the `release` of the callbacks. */
void client_release(void *client);

/* Adds the client to the environment's list of open clients. */
void client_link(struct client *client, struct addon *addon);
/* Marks the beginning and the end of a call. The last call of a closed client frees the library's client. */
void client_begin_call(struct client *client);
void client_end_call(struct client *client);
/* Closes the client and cancels its calls without waiting for them. Called again, it cancels the calls begun since. */
void client_close(napi_env env, struct client *client);
/* Cancels the calls inside the library and waits until they have returned; later calls return at once. */
void client_cancel_calls(struct client *client);

/* Makes `object` the owner of one more reference, dropped when it is collected. */
bool client_wrap(napi_env env, napi_value object, struct client *client);
/* Returns the client of `this`, open or closed; NULL with an exception pending if `this` is not a client. */
struct client *client_of_this(napi_env env, napi_callback_info info, size_t *count, napi_value *arguments);
/* The same, with an exception pending if the client is closed. */
struct client *open_client_of_this(napi_env env, napi_callback_info info, size_t *count, napi_value *arguments);

#endif
