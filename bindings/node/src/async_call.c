#include "async_call.h"

#include "addon.h"
#include "call_result.h"
#include "client.h"
#include "pending.h"
#include "request.h"
#include "values.h"
#include "webhook.h"

#include <stdlib.h>
#include <time.h>

enum function { AUTHENTICATE, VERIFY_TOKEN, WARM_UP, FETCH, WEBHOOK };

struct async_call {
    struct job job; /* must be first */
    enum function function;
    struct client *client;
    clerk_client *core;
    napi_deferred deferred;
    napi_ref pending_ref; /* keeps the pending call alive during a fetch */
    struct pending *pending;

    struct arena arena;
    struct request request;
    clerk_str token;
    struct webhook webhook;

    struct call_result call_result;
    int64_t submitted_ms;
    char buffer[2048];
};

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void call_library(struct async_call *call)
{
    struct call_result *out = &call->call_result;
    if (monotonic_ms() - call->submitted_ms > call->client->timeout_ms) {
        out->status = NO_THREAD;
        return;
    }
    switch (call->function) {
    case AUTHENTICATE:
        out->status = clerk_authenticate_begin(call->core, &call->request.core, &out->result, &out->pending, &out->error);
        break;
    case VERIFY_TOKEN:
        out->status = clerk_verify_token(call->core, call->token, &out->result, &out->error);
        break;
    case WARM_UP:
        out->status = clerk_client_warm_up(call->core, &out->error);
        break;
    case FETCH:
        out->status = clerk_pending_fetch(call->pending->core);
        break;
    case WEBHOOK:
        out->status = clerk_webhook_begin(call->core, call->webhook.headers, call->webhook.header_count, call->webhook.body,
                                          &out->pending, &out->error);
        break;
    }
}

static void run(struct job *job)
{
    struct async_call *call = (struct async_call *)job;
    struct client *client = call->client;
    pthread_mutex_lock(&client->lock);
    client->running++;
    pthread_mutex_unlock(&client->lock);
    /* Counted before `closing` is read: either this call sees it set, or client_cancel_calls sees this call. */
    if (!atomic_load(&client->closing))
        call_library(call);
    pthread_mutex_lock(&client->lock);
    client->running--;
    pthread_cond_broadcast(&client->idle);
    pthread_mutex_unlock(&client->lock);
}

static void async_call_free(napi_env env, struct async_call *call)
{
    if (call->pending_ref != NULL && env != NULL)
        napi_delete_reference(env, call->pending_ref);
    call_result_free(&call->call_result);
    arena_free(&call->arena);
    clerk_client_free(call->core);
    client_release(call->client);
    free(call);
}

static void complete(napi_env env, struct job *job)
{
    struct async_call *call = (struct async_call *)job;
    napi_value exception;

    if (env == NULL) {
        async_call_free(NULL, call);
        return;
    }
    client_end_call(call->client);
    if (call->pending != NULL)
        call->pending->busy = false;
    napi_value object = call_result_object(env, call->client, &call->call_result);
    if (object != NULL) {
        napi_resolve_deferred(env, call->deferred, object);
    } else if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
        napi_reject_deferred(env, call->deferred, exception);
    }
    async_call_free(env, call);
}

static struct async_call *async_call_new(enum function function, struct client *client)
{
    struct async_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return NULL;
    call->job = (struct job){ NULL, run, complete };
    call->function = function;
    call->call_result.status = NOT_RUN;
    call->client = client_retain(client);
    call->core = clerk_client_retain(client->core);
    call->arena = (struct arena){ call->buffer, call->buffer + sizeof call->buffer, NULL };
    return call;
}

/* Returns the Promise, and takes over the call. */
static napi_value submit(napi_env env, struct async_call *call)
{
    napi_value promise = NULL;
    struct addon *addon = addon_get(env);
    if (addon == NULL || napi_create_promise(env, &call->deferred, &promise) != napi_ok) {
        throw_last_error(env);
        async_call_free(env, call);
        return NULL;
    }
    client_begin_call(call->client);
    call->submitted_ms = monotonic_ms();
    if (call->pending != NULL)
        call->pending->busy = true;
    if (!thread_pool_submit(env, addon->pool, &call->job)) {
        call->call_result.status = NO_THREAD;
        complete(env, &call->job);
    }
    return promise;
}

/* Returns whether the call needs no thread: at most a query of the user store remains. */
static bool authenticate_cached(struct async_call *call)
{
    struct call_result *out = &call->call_result;
    if (!call->client->has_store)
        return false;
    int32_t status = clerk_authenticate_begin_cached(call->core, &call->request.core, &out->result, &out->pending);
    if (status == CLERK_WOULD_BLOCK)
        return false;
    out->status = status;
    return true;
}

static napi_value finish_now(napi_env env, struct async_call *call)
{
    napi_value object = call_result_object(env, call->client, &call->call_result);
    async_call_free(env, call);
    return object;
}

napi_value async_call_authenticate(napi_env env, napi_callback_info info)
{
    size_t count = REQUEST_ARGUMENTS;
    napi_value arguments[REQUEST_ARGUMENTS];
    struct client *client = open_client_of_this(env, info, &count, arguments);
    if (client == NULL)
        return NULL;
    struct async_call *call = async_call_new(AUTHENTICATE, client);
    if (call == NULL)
        return throw_status(env, CLERK_E_PANIC);
    if (!request_from_arguments(env, count, arguments, &call->arena, &call->request)) {
        async_call_free(env, call);
        return NULL;
    }
    call->request.core.mark = client->mark;
    return authenticate_cached(call) ? finish_now(env, call) : submit(env, call);
}

napi_value async_call_verify_token(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    struct client *client = open_client_of_this(env, info, &count, &argument);
    if (client == NULL)
        return NULL;
    struct async_call *call = async_call_new(VERIFY_TOKEN, client);
    if (call == NULL)
        return throw_status(env, CLERK_E_PANIC);
    if (!get_string(env, argument, &call->arena, &call->token)) {
        async_call_free(env, call);
        return NULL;
    }
    return submit(env, call);
}

napi_value async_call_warm_up(napi_env env, napi_callback_info info)
{
    size_t count = 0;
    struct client *client = open_client_of_this(env, info, &count, NULL);
    if (client == NULL)
        return NULL;
    struct async_call *call = async_call_new(WARM_UP, client);
    return call != NULL ? submit(env, call) : throw_status(env, CLERK_E_PANIC);
}

napi_value async_call_fetch(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    TRY(napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
    struct pending *pending = pending_from_value(env, argument);
    if (pending == NULL)
        return NULL;
    struct async_call *call = async_call_new(FETCH, pending->client);
    if (call == NULL)
        return throw_status(env, CLERK_E_PANIC);
    if (napi_create_reference(env, argument, 1, &call->pending_ref) != napi_ok) {
        throw_last_error(env);
        async_call_free(env, call);
        return NULL;
    }
    call->pending = pending;
    return submit(env, call);
}

napi_value async_call_process_webhook(napi_env env, napi_callback_info info)
{
    size_t count = 2;
    napi_value arguments[2];
    struct client *client = open_client_of_this(env, info, &count, arguments);
    if (client == NULL)
        return NULL;
    struct async_call *call = async_call_new(WEBHOOK, client);
    if (call == NULL)
        return throw_status(env, CLERK_E_PANIC);
    if (!webhook_from_arguments(env, arguments, &call->arena, &call->webhook)) {
        async_call_free(env, call);
        return NULL;
    }
    return submit(env, call);
}
