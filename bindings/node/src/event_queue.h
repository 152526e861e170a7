/* A client's queue of events and log messages.
 *
 * The library's callbacks copy them into the queue on any thread. JavaScript takes them at the end of each call: every event
 * occurs during a call, so the event loop never has to be woken for one. */
#ifndef CLERK_NODE_EVENT_QUEUE_H
#define CLERK_NODE_EVENT_QUEUE_H

#include <clerk_auth.h>
#include <node_api.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct queued_event;

struct event_queue {
    /* A bit `1 << clerk_event_kind` for each kind with a listener; bit 0 is the log. */
    _Atomic uint32_t mask;
    pthread_mutex_t lock;
    struct queued_event *first, *last;
    int count;
};

void event_queue_init(struct event_queue *queue);
void event_queue_destroy(struct event_queue *queue);
/* Copies the event if its kind has a listener. A full queue drops it. Any thread may call these two. */
void event_queue_add_event(struct event_queue *queue, const clerk_event *event);
void event_queue_add_log(struct event_queue *queue, int32_t level, clerk_str message);
/* Empties the queue and calls `callback` for each entry: (0, level, message) for a log message, else
 * (kind, userKey, clerkId, tokenHash, reason, source, retryAfterMs). Returns undefined. */
napi_value event_queue_take(napi_env env, struct event_queue *queue, napi_value callback);

#endif
