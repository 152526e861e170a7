/* Events and log lines: copied where they happen, taken by JavaScript at the end of a call. Every one of them happens
 * inside a call, so there is nobody to be woken up. */
#include "addon.h"

#include <stdlib.h>
#include <string.h>

/* Beyond that many that were not fetched, new ones are dropped. */
#define MOST_NOTICES 4096

struct notice {
    notice *next;
    int32_t kind; /* a clerk_event_kind, 0 for a log line */
    int32_t level, reason, source;
    int64_t retry_after_ms;
    clerk_str texts[3]; /* user key, Clerk id, hash of the token; or the message */
    char room[];
};

static bool append(client *own, notice *added)
{
    notice_list *list = &own->notices;
    pthread_mutex_lock(&own->lock);
    bool fits = list->count < MOST_NOTICES;
    if (fits) {
        if (list->first == NULL)
            list->first = added;
        else
            list->last->next = added;
        list->last = added;
        list->count++;
    }
    pthread_mutex_unlock(&own->lock);
    return fits;
}

void notices_free(notice_list *list)
{
    for (notice *next, *each = list->first; each != NULL; each = next) {
        next = each->next;
        free(each);
    }
    *list = (notice_list){ NULL, NULL, 0 };
}

static void put(client *own, notice made, const clerk_str texts[3])
{
    size_t size = 0;
    for (int i = 0; i < 3; i++)
        size += texts[i].len;
    notice *copy = malloc(sizeof *copy + size);
    if (copy == NULL)
        return;
    *copy = made;
    char *next = copy->room;
    for (int i = 0; i < 3; i++) {
        copy->texts[i] = (clerk_str){ texts[i].data != NULL ? next : NULL, texts[i].len };
        if (texts[i].len > 0)
            memcpy(next, texts[i].data, texts[i].len);
        next += texts[i].len;
    }
    if (!append(own, copy))
        free(copy);
}

void notice_event(void *data, const clerk_event *event)
{
    client *own = data;
    int32_t kind = clerk_event_get_kind(event);
    uint32_t wanted = atomic_load_explicit(&own->wanted, memory_order_relaxed);

    if (kind <= 0 || kind > 31 || (wanted >> kind & 1) == 0)
        return;
    notice made = {
        .kind = kind,
        .reason = clerk_event_reason(event),
        .source = clerk_event_source(event),
        .retry_after_ms = clerk_event_retry_after_ms(event),
    };
    const clerk_str texts[] = { clerk_event_user_key(event), clerk_event_clerk_id(event),
                                clerk_event_token_hash(event) };
    put(own, made, texts);
}

void notice_log(void *data, int32_t level, clerk_str message)
{
    client *own = data;
    if ((atomic_load_explicit(&own->wanted, memory_order_relaxed) & 1) == 0)
        return;
    const clerk_str texts[] = { message, { NULL, 0 }, { NULL, 0 } };
    put(own, (notice){ .level = level }, texts);
}

/* told(0, level, message), or told(kind, user key, Clerk id, hash, reason, source, milliseconds): names are JavaScript's
 * matter. */
static bool tell(napi_env env, const notice *each, napi_value told)
{
    bool is_log = each->kind == 0;
    size_t count = is_log ? 3 : 7;
    napi_value self = undefined(env), values[7];

    values[0] = number(env, each->kind);
    if (is_log) {
        values[1] = number(env, each->level);
        values[2] = text(env, each->texts[0]);
    } else {
        values[1] = text(env, each->texts[0]);
        values[2] = text(env, each->texts[1]);
        values[3] = text(env, each->texts[2]);
        values[4] = number(env, each->reason);
        values[5] = number(env, each->source);
        values[6] = number(env, each->retry_after_ms);
    }
    for (size_t i = 0; i < count; i++) {
        if (values[i] == NULL)
            return false;
    }
    TRY(napi_call_function(env, self, told, count, values, NULL));
    return true;
}

/* takeNotices(told) */
napi_value notices_take(napi_env env, client *own, napi_value told)
{
    pthread_mutex_lock(&own->lock);
    notice_list taken = own->notices;
    own->notices = (notice_list){ NULL, NULL, 0 };
    pthread_mutex_unlock(&own->lock);

    bool done = true;
    for (const notice *each = taken.first; done && each != NULL; each = each->next)
        done = tell(env, each, told);
    notices_free(&taken);
    return done ? undefined(env) : NULL;
}
