/* The class Client: makes it, asks its memory, closes it. */
#include "addon.h"

#include <stdlib.h>
#include <time.h>

static const napi_type_tag CLIENT_TAG = { 0x6a1c5f2e0d9b4c37, 0x9be2713fd05a8e64 };

client *client_retain(client *own)
{
    atomic_fetch_add_explicit(&own->references, 1, memory_order_relaxed);
    return own;
}

void client_release(void *data)
{
    client *own = data;
    if (atomic_fetch_sub_explicit(&own->references, 1, memory_order_acq_rel) != 1)
        return;
    notices_free(&own->notices);
    pthread_cond_destroy(&own->idle);
    pthread_mutex_destroy(&own->lock);
    free(own);
}

static int64_t clock_now(void *data)
{
    client *own = data;
    int64_t now_ms = atomic_load_explicit(&own->now_ms, memory_order_relaxed);
    struct timespec now;
    if (now_ms != 0)
        return now_ms;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void client_unlink(client *own)
{
    if (own->owner == NULL)
        return;
    if (own->previous != NULL)
        own->previous->next = own->next;
    else
        own->owner->open = own->next;
    if (own->next != NULL)
        own->next->previous = own->previous;
    own->previous = own->next = NULL;
    own->owner = NULL;
}

void client_break_off(client *own)
{
    atomic_store(&own->closing, true);
    if (own->core == NULL)
        return;
    pthread_mutex_lock(&own->lock);
    while (own->executing > 0) {
        struct timespec soon;
        pthread_mutex_unlock(&own->lock);
        /* A call that has looked at `closing` before may connect after this: so until none is under way any more. */
        ignore_status(clerk_client_shutdown(own->core));
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 2 * 1000 * 1000;
        soon.tv_sec += soon.tv_nsec / 1000000000;
        soon.tv_nsec %= 1000000000;
        pthread_mutex_lock(&own->lock);
        if (own->executing > 0)
            pthread_cond_timedwait(&own->idle, &own->lock, &soon);
    }
    pthread_mutex_unlock(&own->lock);
}

static void client_dispose(client *own)
{
    clerk_client *core = own->core;
    client_unlink(own);
    own->core = NULL;
    clerk_client_free(core);
}

void client_enter(client *own)
{
    own->calls++;
}

void client_leave(client *own)
{
    own->calls--;
    if (own->closed && own->calls == 0)
        client_dispose(own);
}

/* The object is gone; a call that goes on all the same has references of its own to the library's client and to this. */
static void finalize(napi_env env, void *data, void *hint)
{
    client *own = data;
    (void)hint;
    results_forget(env, own);
    atomic_store(&own->closing, true);
    own->closed = true;
    client_dispose(own);
    client_release(own);
}

static client *client_new(void)
{
    client *own = calloc(1, sizeof *own);
    if (own == NULL)
        return NULL;
    pthread_mutex_init(&own->lock, NULL);
    pthread_cond_init(&own->idle, NULL);
    atomic_store(&own->references, 1);
    atomic_store(&own->wanted, 1);
    return own;
}

/* A client of `user_mode` sync has to have a user store; every call here asks JavaScript's, step by step, instead. */
static int32_t never_asked(void *data, const clerk_store_request *step, clerk_store_response *reply)
{
    (void)data, (void)step;
    ignore_status(clerk_store_response_set_error(reply, CLERK_STR("the user store can be asked by JavaScript only")));
    return -1;
}

/* Hooks and what options say about them. */
static bool attach(napi_env env, client *own, clerk_config *config, napi_value options)
{
    napi_value value;
    bool has_clock = false;
    int64_t now_ms = 0;

    TRY(napi_get_named_property(env, options, "hasStore", &value));
    TRY(napi_get_value_bool(env, value, &own->has_store));
    TRY(napi_get_named_property(env, options, "timeoutMs", &value));
    TRY(napi_get_value_int64(env, value, &own->timeout_ms));
    TRY(napi_get_named_property(env, options, "hasClock", &value));
    TRY(napi_get_value_bool(env, value, &has_clock));
    TRY(napi_get_named_property(env, options, "nowMs", &value));
    TRY(napi_get_value_int64(env, value, &now_ms));
    atomic_store(&own->now_ms, now_ms);
    int32_t status = clerk_config_set_event_callback(config, notice_event, client_retain(own), client_release);
    if (status == CLERK_OK)
        status = clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_INFO, notice_log, client_retain(own), client_release);
    if (status == CLERK_OK && has_clock)
        status = clerk_config_set_clock_callback(config, clock_now, client_retain(own), client_release);
    if (status == CLERK_OK && own->has_store)
        status = clerk_config_set_user_store(config, never_asked, NULL, NULL);
    return status == CLERK_OK || throw_status(env, status);
}

static bool wrap(napi_env env, napi_value self, client *own)
{
    addon *state = NULL;
    TRY(napi_get_instance_data(env, (void **)&state));
    TRY(napi_wrap(env, self, own, finalize, NULL, NULL));
    client_retain(own);
    TRY(napi_type_tag_object(env, self, &CLIENT_TAG));
    own->owner = state;
    own->next = state->open;
    if (own->next != NULL)
        own->next->previous = own;
    state->open = own;
    return true;
}

/* new Client(options, made): `made` is called with the error object of a wrong setting, or with null. */
static napi_value construct(napi_env env, napi_callback_info info)
{
    size_t count = 2;
    napi_value self, arguments[2], told[1], target = NULL;
    clerk_error *error = NULL;

    TRY(napi_get_cb_info(env, info, &count, arguments, &self, NULL));
    TRY(napi_get_new_target(env, info, &target));
    if (target == NULL || count < 2)
        return throw_type(env, "new Client(options, made)");
    client *own = client_new();
    if (own == NULL)
        return throw_status(env, CLERK_E_PANIC);
    clerk_config *config = config_of(env, arguments[0], &error);
    bool done = config != NULL && (error != NULL || attach(env, own, config, arguments[0]));
    if (done && error == NULL)
        ignore_status(clerk_client_new(config, &own->core, &error));
    clerk_config_free(config);
    done = done && (own->core == NULL || wrap(env, self, own));
    if (!done) {
        clerk_client_free(own->core);
        own->core = NULL;
    }
    client_release(own);
    if (!done) {
        clerk_error_free(error);
        return NULL;
    }
    told[0] = error_object(env, error);
    if (told[0] == NULL)
        return NULL;
    TRY(napi_call_function(env, self, arguments[1], 1, told, NULL));
    return self;
}

/* The client behind `this`, open or closed. */
static client *this_client(napi_env env, napi_callback_info info, size_t *count, napi_value *arguments)
{
    napi_value self;
    bool is_client = false;
    client *own = NULL;
    TRY(napi_get_cb_info(env, info, count, arguments, &self, NULL));
    if (napi_check_object_type_tag(env, self, &CLIENT_TAG, &is_client) != napi_ok || !is_client) {
        bool pending = false;
        napi_is_exception_pending(env, &pending);
        if (!pending)
            throw_type(env, "a Client is expected");
        return NULL;
    }
    TRY(napi_unwrap(env, self, (void **)&own));
    return own;
}

client *client_this(napi_env env, napi_callback_info info, size_t *count, napi_value *arguments)
{
    client *own = this_client(env, info, count, arguments);
    if (own != NULL && own->closed) {
        napi_throw_error(env, "CLERK_CLOSED", "this ClerkClient is closed");
        return NULL;
    }
    return own;
}

/* cached(authorization, cookie, method, dest, accept, others): a result, or undefined when it would have to wait. */
static napi_value cached(napi_env env, napi_callback_info info)
{
    size_t count = 6;
    napi_value arguments[6];
    clerk_result *result = NULL;
    ARENA(room, 8192);
    request_lines lines;

    client *own = client_this(env, info, &count, arguments);
    if (own == NULL)
        return NULL;
    int32_t status = CLERK_E_ARGUMENT;
    bool read = request_of(env, count, arguments, &room, &lines);
    if (read)
        status = clerk_authenticate_cached(own->core, &lines.request, &result);
    arena_free(&room);
    if (!read)
        return NULL;
    if (status == CLERK_WOULD_BLOCK)
        return undefined(env);
    return result != NULL ? result_known(env, own, result) : throw_status(env, status);
}

static napi_value take_notices(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value told;
    client *own = this_client(env, info, &count, &told);
    return own != NULL ? notices_take(env, own, told) : NULL;
}

static napi_value listen(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    uint32_t wanted = 0;
    client *own = this_client(env, info, &count, &argument);
    if (own == NULL)
        return NULL;
    TRY(napi_get_value_uint32(env, argument, &wanted));
    atomic_store(&own->wanted, wanted);
    return undefined(env);
}

static napi_value set_time(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    int64_t now_ms = 0;
    client *own = client_this(env, info, &count, &argument);
    if (own == NULL)
        return NULL;
    TRY(napi_get_value_int64(env, argument, &now_ms));
    atomic_store(&own->now_ms, now_ms);
    return undefined(env);
}

/* Closes it; called again, it breaks off what has begun since. */
static napi_value close_client(napi_env env, napi_callback_info info)
{
    size_t count = 0;
    client *own = this_client(env, info, &count, NULL);
    if (own == NULL)
        return NULL;
    if (!own->closed)
        results_forget(env, own);
    own->closed = true;
    atomic_store(&own->closing, true);
    if (own->core != NULL)
        ignore_status(clerk_client_shutdown(own->core));
    if (own->core != NULL && own->calls == 0)
        client_dispose(own);
    return undefined(env);
}

bool client_define(napi_env env, napi_value exports)
{
#define METHOD(name, function) { name, NULL, function, NULL, NULL, NULL, napi_default, NULL }
    const napi_property_descriptor methods[] = {
        METHOD("cached", cached),
        METHOD("begin", work_begin),
        METHOD("verify", work_verify),
        METHOD("warmUp", work_warm_up),
        METHOD("webhook", webhook_begin),
        METHOD("invalidateToken", memory_invalidate_token),
        METHOD("invalidateUser", memory_invalidate_user),
        METHOD("invalidateSession", memory_invalidate_session),
        METHOD("invalidateAll", memory_invalidate_all),
        METHOD("stats", memory_stats),
        METHOD("takeNotices", take_notices),
        METHOD("listen", listen),
        METHOD("setTime", set_time),
        METHOD("close", close_client),
    };
    napi_value made = NULL;
    size_t count = sizeof methods / sizeof methods[0];
    TRY(napi_define_class(env, "Client", NAPI_AUTO_LENGTH, construct, NULL, count, methods, &made));
    return set(env, exports, "Client", made);
}
