#include "event_queue.h"

#include "values.h"

#include <stdlib.h>
#include <string.h>

#define MAX_QUEUED 4096

struct queued_event {
    struct queued_event *next;
    int32_t kind; /* a clerk_event_kind; 0 is a log message */
    int32_t level, reason, source;
    int64_t retry_after_ms;
    int32_t handshake_source;
    int64_t dropped_lines;
    clerk_str strings[3]; /* user key, Clerk id, token hash; or the log message */
    char bytes[];
};


void event_queue_init(struct event_queue *queue)
{
    pthread_mutex_init(&queue->lock, NULL);
    atomic_store(&queue->mask, 1);
    queue->first = queue->last = NULL;
    queue->count = 0;
}

static void free_all(struct queued_event *first)
{
    for (struct queued_event *next, *event = first; event != NULL; event = next) {
        next = event->next;
        free(event);
    }
}

void event_queue_destroy(struct event_queue *queue)
{
    free_all(queue->first);
    pthread_mutex_destroy(&queue->lock);
}

static bool append(struct event_queue *queue, struct queued_event *event)
{
    pthread_mutex_lock(&queue->lock);
    bool has_room = queue->count < MAX_QUEUED;
    if (has_room) {
        if (queue->first == NULL)
            queue->first = event;
        else
            queue->last->next = event;
        queue->last = event;
        queue->count++;
    }
    pthread_mutex_unlock(&queue->lock);
    return has_room;
}

static void append_copy(struct event_queue *queue, struct queued_event header, const clerk_str strings[3])
{
    size_t size = 0;
    for (int i = 0; i < 3; i++)
        size += strings[i].len;
    struct queued_event *copy = malloc(sizeof *copy + size);
    if (copy == NULL)
        return;
    *copy = header;
    char *next = copy->bytes;
    for (int i = 0; i < 3; i++) {
        copy->strings[i] = (clerk_str){ strings[i].data != NULL ? next : NULL, strings[i].len };
        if (strings[i].len > 0)
            memcpy(next, strings[i].data, strings[i].len);
        next += strings[i].len;
    }
    if (!append(queue, copy))
        free(copy);
}

void event_queue_add_event(struct event_queue *queue, const clerk_event *event)
{
    int32_t kind = clerk_event_get_kind(event);
    uint32_t mask = atomic_load_explicit(&queue->mask, memory_order_relaxed);

    if (kind <= 0 || kind > 31 || (mask >> kind & 1) == 0)
        return;
    struct queued_event header = {
        .kind = kind,
        .reason = clerk_event_reason(event),
        .source = clerk_event_source(event),
        .retry_after_ms = clerk_event_retry_after_ms(event),
        .handshake_source = clerk_event_handshake_source(event),
        .dropped_lines = clerk_event_dropped_lines(event),
    };
    const clerk_str strings[] = { clerk_event_user_key(event), clerk_event_clerk_id(event),
                                  clerk_event_token_hash(event) };
    append_copy(queue, header, strings);
}

void event_queue_add_log(struct event_queue *queue, int32_t level, clerk_str message)
{
    if ((atomic_load_explicit(&queue->mask, memory_order_relaxed) & 1) == 0)
        return;
    const clerk_str strings[] = { message, { NULL, 0 }, { NULL, 0 } };
    append_copy(queue, (struct queued_event){ .level = level }, strings);
}

static bool call(napi_env env, const struct queued_event *event, napi_value callback)
{
    bool is_log = event->kind == 0;
    size_t count = is_log ? 3 : 9;
    napi_value self = get_undefined(env), arguments[9];

    arguments[0] = create_int64(env, event->kind);
    if (is_log) {
        arguments[1] = create_int64(env, event->level);
        arguments[2] = create_string(env, event->strings[0]);
    } else {
        arguments[1] = create_string(env, event->strings[0]);
        arguments[2] = create_string(env, event->strings[1]);
        arguments[3] = create_string(env, event->strings[2]);
        arguments[4] = create_int64(env, event->reason);
        arguments[5] = create_int64(env, event->source);
        arguments[6] = create_int64(env, event->retry_after_ms);
        arguments[7] = create_int64(env, event->handshake_source);
        arguments[8] = create_int64(env, event->dropped_lines);
    }
    for (size_t i = 0; i < count; i++) {
        if (arguments[i] == NULL)
            return false;
    }
    TRY(napi_call_function(env, self, callback, count, arguments, NULL));
    return true;
}

napi_value event_queue_take(napi_env env, struct event_queue *queue, napi_value callback)
{
    pthread_mutex_lock(&queue->lock);
    struct queued_event *first = queue->first;
    queue->first = queue->last = NULL;
    queue->count = 0;
    pthread_mutex_unlock(&queue->lock);

    bool done = true;
    for (const struct queued_event *event = first; done && event != NULL; event = event->next)
        done = call(env, event, callback);
    free_all(first);
    return done ? get_undefined(env) : NULL;
}
