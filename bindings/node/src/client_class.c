#include "client_class.h"

#include "addon.h"
#include "async_call.h"
#include "cache.h"
#include "client.h"
#include "config.h"
#include "poller.h"
#include "request.h"
#include "values.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void on_event(void *data, const clerk_event *event)
{
    struct client *client = data;
    event_queue_add_event(&client->events, event);
}

static void on_log(void *data, int32_t level, clerk_str message)
{
    struct client *client = data;
    event_queue_add_log(&client->events, level, message);
}

static int64_t on_clock(void *data)
{
    struct client *client = data;
    int64_t now_ms = atomic_load_explicit(&client->now_ms, memory_order_relaxed);
    struct timespec now;
    if (now_ms != 0)
        return now_ms;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The library requires a user store in sync mode. Each call here is stepwise and lets JavaScript query the store instead. */
static int32_t on_store_request(void *data, const clerk_store_request *request, clerk_store_response *response)
{
    (void)data, (void)request;
    ignore_status(clerk_store_response_set_error(response, CLERK_STR("the user store is only available to stepwise calls")));
    return -1;
}

/* Listeners receive lines for debugging only if the environment asks for them: each costs a call into JavaScript. */
static int32_t log_level(void)
{
    const char *level = getenv("CLERK_LOG");
    return level != NULL && strcmp(level, "debug") == 0 ? CLERK_LOG_LEVEL_DEBUG : CLERK_LOG_LEVEL_INFO;
}

static bool set_callbacks(napi_env env, struct client *client, clerk_config *config, napi_value options)
{
    napi_value value;
    bool has_clock = false;
    int64_t now_ms = 0;

    TRY(napi_get_named_property(env, options, "hasStore", &value));
    TRY(napi_get_value_bool(env, value, &client->has_store));
    TRY(napi_get_named_property(env, options, "timeoutMs", &value));
    TRY(napi_get_value_int64(env, value, &client->timeout_ms));
    TRY(napi_get_named_property(env, options, "hasClock", &value));
    TRY(napi_get_value_bool(env, value, &has_clock));
    TRY(napi_get_named_property(env, options, "nowMs", &value));
    TRY(napi_get_value_int64(env, value, &now_ms));
    atomic_store(&client->now_ms, now_ms);
    int32_t status = clerk_config_set_event_callback(config, on_event, client_retain(client), client_release);
    if (status == CLERK_OK)
        status = clerk_config_set_log_callback(config, log_level(), on_log, client_retain(client), client_release);
    if (status == CLERK_OK && has_clock)
        status = clerk_config_set_clock_callback(config, on_clock, client_retain(client), client_release);
    if (status == CLERK_OK && client->has_store)
        status = clerk_config_set_user_store(config, on_store_request, NULL, NULL);
    return status == CLERK_OK || throw_status(env, status);
}

static bool wrap(napi_env env, napi_value self, struct client *client)
{
    struct addon *addon = addon_get(env);
    if (addon == NULL || !client_wrap(env, self, client))
        return false;
    client_link(client, addon);
    return true;
}

/* new Client(options, callback): calls `callback` with an error object for an invalid setting, else with null. */
static napi_value construct(napi_env env, napi_callback_info info)
{
    size_t count = 2;
    napi_value self, arguments[2], target = NULL;
    clerk_error *error = NULL;

    TRY(napi_get_cb_info(env, info, &count, arguments, &self, NULL));
    TRY(napi_get_new_target(env, info, &target));
    if (target == NULL || count < 2)
        return throw_type_error(env, "usage: new Client(options, callback)");
    struct client *client = client_new();
    if (client == NULL)
        return throw_status(env, CLERK_E_PANIC);
    clerk_config *config = config_from_options(env, arguments[0], &error);
    bool done = config != NULL && (error != NULL || set_callbacks(env, client, config, arguments[0]));
    if (done && error == NULL)
        ignore_status(clerk_client_new(config, &client->core, &error));
    clerk_config_free(config);
    done = done && (client->core == NULL || wrap(env, self, client));
    if (!done) {
        clerk_client_free(client->core);
        client->core = NULL;
    }
    client_release(client);
    if (!done) {
        clerk_error_free(error);
        return NULL;
    }
    napi_value described = create_error_object(env, error);
    if (described == NULL)
        return NULL;
    TRY(napi_call_function(env, self, arguments[1], 1, &described, NULL));
    return self;
}

/* authenticateCached(authorization, cookie, method, secFetchDest, accept, others): a result, or undefined when the call would
 * block. */
static napi_value authenticate_cached(napi_env env, napi_callback_info info)
{
    size_t count = REQUEST_ARGUMENTS;
    napi_value arguments[REQUEST_ARGUMENTS];
    clerk_result *result = NULL;
    ARENA(arena, 8192);
    struct request request;

    struct client *client = open_client_of_this(env, info, &count, arguments);
    if (client == NULL)
        return NULL;
    int32_t status = CLERK_E_ARGUMENT;
    bool is_read = request_from_arguments(env, count, arguments, &arena, &request);
    if (is_read)
        status = clerk_authenticate_cached(client->core, &request.core, &result);
    arena_free(&arena);
    if (!is_read)
        return NULL;
    if (status == CLERK_WOULD_BLOCK)
        return get_undefined(env);
    return result != NULL ? result_cache_get(env, &client->results, result) : throw_status(env, status);
}

static napi_value credential_object(napi_env env, clerk_str token, int32_t source)
{
    static const char *const names[] = { [CLERK_TOKEN_SOURCE_NONE] = "none",
                                         [CLERK_TOKEN_SOURCE_HEADER] = "header",
                                         [CLERK_TOKEN_SOURCE_COOKIE] = "cookie" };
    napi_value object = NULL, string = get_null(env);
    TRY(napi_create_object(env, &object));
    /* Header values are Latin-1 in Node. */
    if (token.data != NULL)
        TRY(napi_create_string_latin1(env, token.data, token.len, &string));
    bool done =
        set_property(env, object, "token", string) && set_property(env, object, "source", create_name(env, names[source]));
    return done ? object : NULL;
}

/* credential(authorization, cookie, method, secFetchDest, accept, others): {token, source}. */
static napi_value credential(napi_env env, napi_callback_info info)
{
    size_t count = 6;
    napi_value arguments[6], object = NULL;
    clerk_str token;
    int32_t source;
    ARENA(arena, 8192);
    struct request request;

    struct client *client = open_client_of_this(env, info, &count, arguments);
    if (client == NULL)
        return NULL;
    if (request_from_arguments(env, count, arguments, &arena, &request)) {
        int32_t status = clerk_request_credential(client->core, &request.core, &token, &source);
        /* The token is a view of the arena's copy. */
        object = status == CLERK_OK ? credential_object(env, token, source) : throw_status(env, status);
    }
    arena_free(&arena);
    return object;
}

/* takeEvents(callback) */
static napi_value take_events(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value callback;
    struct client *client = client_of_this(env, info, &count, &callback);
    return client != NULL ? event_queue_take(env, &client->events, callback) : NULL;
}

/* setEventMask(mask) */
static napi_value set_event_mask(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    uint32_t mask = 0;
    struct client *client = client_of_this(env, info, &count, &argument);
    if (client == NULL)
        return NULL;
    TRY(napi_get_value_uint32(env, argument, &mask));
    atomic_store(&client->events.mask, mask);
    return get_undefined(env);
}

/* setTime(nowMs) */
static napi_value set_time(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    int64_t now_ms = 0;
    struct client *client = open_client_of_this(env, info, &count, &argument);
    if (client == NULL)
        return NULL;
    TRY(napi_get_value_int64(env, argument, &now_ms));
    atomic_store(&client->now_ms, now_ms);
    return get_undefined(env);
}

/* mark(): the requests that follow begin now. */
static napi_value mark(napi_env env, napi_callback_info info)
{
    size_t count = 0;
    struct client *client = open_client_of_this(env, info, &count, NULL);
    if (client == NULL)
        return NULL;
    client->mark = clerk_client_mark(client->core);
    return get_undefined(env);
}

static napi_value close_client(napi_env env, napi_callback_info info)
{
    size_t count = 0;
    struct client *client = client_of_this(env, info, &count, NULL);
    if (client == NULL)
        return NULL;
    client_close(env, client);
    return get_undefined(env);
}

bool client_class_define(napi_env env, napi_value exports)
{
#define METHOD(name, function) { name, NULL, function, NULL, NULL, NULL, napi_default, NULL }
    const napi_property_descriptor methods[] = {
        METHOD("authenticate", async_call_authenticate),
        METHOD("authenticateCached", authenticate_cached),
        METHOD("credential", credential),
        METHOD("verifyToken", async_call_verify_token),
        METHOD("warmUp", async_call_warm_up),
        METHOD("processWebhook", async_call_process_webhook),
        METHOD("invalidateToken", cache_invalidate_token),
        METHOD("invalidateUser", cache_invalidate_user),
        METHOD("invalidateSession", cache_invalidate_session),
        METHOD("invalidateAll", cache_invalidate_all),
        METHOD("revokeSession", cache_revoke_session),
        METHOD("revokeUser", cache_revoke_user),
        METHOD("explain", cache_explain),
        METHOD("exportRevocations", cache_export_revocations),
        METHOD("importRevocations", cache_import_revocations),
        METHOD("stats", cache_stats),
        METHOD("metricsText", cache_metrics_text),
        METHOD("takeEvents", take_events),
        METHOD("setEventMask", set_event_mask),
        METHOD("setTime", set_time),
        METHOD("startPoller", poller_start),
        METHOD("mark", mark),
        METHOD("close", close_client),
    };
    napi_value class = NULL;
    size_t count = sizeof methods / sizeof methods[0];
    TRY(napi_define_class(env, "Client", NAPI_AUTO_LENGTH, construct, NULL, count, methods, &class));
    return set_property(env, exports, "Client", class);
}
