/* Calls that wait for Clerk: on a thread, with a Promise for JavaScript. */
#include "addon.h"

#include <stdlib.h>
#include <time.h>

typedef enum { BEGIN, VERIFY, WARM_UP, FETCH } verb;

typedef struct {
    job job; /* first */
    verb verb;
    client *own;
    clerk_client *core;
    napi_deferred deferred;
    napi_ref handle; /* keeps the pending authentication while it is fetched for */
    pending *fetched;

    arena room;
    request_lines lines;
    clerk_str token;

    outcome ended;
    int64_t queued_ms;
    char bytes[2048];
} work;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void run(work *own)
{
    outcome *ended = &own->ended;
    if (now_ms() - own->queued_ms > own->own->timeout_ms) {
        ended->status = NOT_SERVED;
        return;
    }
    switch (own->verb) {
    case BEGIN:
        ended->status = clerk_authenticate_begin(own->core, &own->lines.request, &ended->result, &ended->pending,
                                                 &ended->error);
        break;
    case VERIFY:
        ended->status = clerk_verify_token(own->core, own->token, &ended->result, &ended->error);
        break;
    case WARM_UP:
        ended->status = clerk_client_warm_up(own->core, &ended->error);
        break;
    case FETCH:
        ended->status = clerk_pending_fetch(own->fetched->core);
        break;
    }
}

static void execute(job *job)
{
    work *own = (work *)job;
    pthread_mutex_lock(&own->own->lock);
    own->own->executing++;
    pthread_mutex_unlock(&own->own->lock);
    /* Once closing is said, whoever breaks calls off sees this one counted, or this one sees the word. */
    if (!atomic_load(&own->own->closing))
        run(own);
    pthread_mutex_lock(&own->own->lock);
    own->own->executing--;
    pthread_cond_broadcast(&own->own->idle);
    pthread_mutex_unlock(&own->own->lock);
}

static void work_free(napi_env env, work *own)
{
    if (own->handle != NULL && env != NULL)
        napi_delete_reference(env, own->handle);
    outcome_free(&own->ended);
    arena_free(&own->room);
    clerk_client_free(own->core);
    client_release(own->own);
    free(own);
}

static void complete(napi_env env, job *job)
{
    work *own = (work *)job;
    napi_value value, exception;

    if (env == NULL) {
        work_free(NULL, own);
        return;
    }
    client_leave(own->own);
    if (own->fetched != NULL)
        own->fetched->busy = false;
    value = outcome_object(env, own->own, &own->ended);
    if (value != NULL) {
        napi_resolve_deferred(env, own->deferred, value);
    } else if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
        napi_reject_deferred(env, own->deferred, exception);
    }
    work_free(env, own);
}

static work *work_new(verb verb, client *held)
{
    work *own = calloc(1, sizeof *own);
    if (own == NULL)
        return NULL;
    own->job = (job){ NULL, execute, complete };
    own->verb = verb;
    own->ended.status = NOT_RUN;
    own->own = client_retain(held);
    own->core = clerk_client_retain(held->core);
    own->room = (arena){ own->bytes, own->bytes + sizeof own->bytes, NULL };
    return own;
}

static napi_value queue(napi_env env, work *own)
{
    napi_value promise = NULL;
    addon *state = NULL;
    if (napi_get_instance_data(env, (void **)&state) != napi_ok ||
        napi_create_promise(env, &own->deferred, &promise) != napi_ok) {
        fail(env);
        work_free(env, own);
        return NULL;
    }
    client_enter(own->own);
    own->queued_ms = now_ms();
    if (own->fetched != NULL)
        own->fetched->busy = true;
    if (!threads_queue(env, state->threads, &own->job)) {
        own->ended.status = NOT_SERVED;
        complete(env, &own->job);
    }
    return promise;
}

/* Whether all that remains is a look at the table, or not even that: then no thread is needed. */
static bool looks_up(work *own)
{
    outcome *ended = &own->ended;
    if (!own->own->has_store)
        return false;
    int32_t status = clerk_authenticate_begin_cached(own->core, &own->lines.request, &ended->result, &ended->pending);
    if (status == CLERK_WOULD_BLOCK)
        return false;
    ended->status = status;
    return true;
}

static napi_value begun(napi_env env, work *own)
{
    napi_value object = outcome_object(env, own->own, &own->ended);
    work_free(env, own);
    return object;
}

/* begin(authorization, cookie, method, dest, accept, others): {status, result, pending, error}, or a Promise of it. */
napi_value work_begin(napi_env env, napi_callback_info info)
{
    size_t count = 6;
    napi_value arguments[6];
    client *held = client_this(env, info, &count, arguments);
    if (held == NULL)
        return NULL;
    work *own = work_new(BEGIN, held);
    if (own == NULL)
        return throw_status(env, CLERK_E_PANIC);
    if (!request_of(env, count, arguments, &own->room, &own->lines)) {
        work_free(env, own);
        return NULL;
    }
    return looks_up(own) ? begun(env, own) : queue(env, own);
}

napi_value work_verify(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    client *held = client_this(env, info, &count, &argument);
    if (held == NULL)
        return NULL;
    work *own = work_new(VERIFY, held);
    if (own == NULL)
        return throw_status(env, CLERK_E_PANIC);
    if (!text_of(env, argument, &own->room, &own->token)) {
        work_free(env, own);
        return NULL;
    }
    return queue(env, own);
}

napi_value work_warm_up(napi_env env, napi_callback_info info)
{
    size_t count = 0;
    client *held = client_this(env, info, &count, NULL);
    if (held == NULL)
        return NULL;
    work *own = work_new(WARM_UP, held);
    return own != NULL ? queue(env, own) : throw_status(env, CLERK_E_PANIC);
}

/* fetch(pending) */
napi_value work_fetch(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    TRY(napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
    pending *waiting = pending_of(env, argument);
    if (waiting == NULL)
        return NULL;
    work *own = work_new(FETCH, waiting->own);
    if (own == NULL)
        return throw_status(env, CLERK_E_PANIC);
    if (napi_create_reference(env, argument, 1, &own->handle) != napi_ok) {
        fail(env);
        work_free(env, own);
        return NULL;
    }
    own->fetched = waiting;
    return queue(env, own);
}
