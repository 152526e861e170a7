#include "bridge.h"
#include "_cgo_export.h"

static clerk_str text(const char *data, size_t len)
{
    clerk_str made = { data, len };
    return made;
}

/* Hooks run on the thread of the call that needs them. */
static _Thread_local int32_t clock_failed;

/* For calls that are made from inside a hook of another call: each has failures of its own. */
static int32_t clock_begin(void)
{
    int32_t before = clock_failed;
    clock_failed = 0;
    return before;
}

static int32_t clock_end(int32_t before, int32_t status)
{
    int32_t failed = clock_failed;
    clock_failed = before;
    return failed ? CLERKGO_E_CLOCK : status;
}

/* What was found out without knowing the time counts for nothing. */
static clerkgo_outcome outcome_end(int32_t before, clerkgo_outcome made)
{
    made.status = clock_end(before, made.status);
    if (made.status == CLERKGO_E_CLOCK) {
        clerk_result_free(made.result);
        clerk_pending_free(made.pending);
        clerk_error_free(made.error);
        made = (clerkgo_outcome){ CLERKGO_E_CLOCK, NULL, NULL, NULL };
    }
    return made;
}

clerkgo_outcome clerkgo_ask(int32_t how, const clerk_client *client, CLERKGO_LINES)
{
    clerkgo_outcome made = { CLERK_E_ARGUMENT, NULL, NULL, NULL };
    clerk_header own[4];
    clerk_request request = CLERK_REQUEST_INIT;
    request.headers = own;
    request.method = text(method, method_len);
    request.cookie = text(cookie, cookie_len);
    if (is_doubled) {
        own[request.header_count++] = (clerk_header){ CLERK_STR("authorization"), text(authorization, authorization_len) };
        own[request.header_count++] = (clerk_header){ CLERK_STR("authorization"), text(second, second_len) };
    } else {
        request.authorization = text(authorization, authorization_len);
    }
    if (fetch_dest_len > 0)
        own[request.header_count++] = (clerk_header){ CLERK_STR("sec-fetch-dest"), text(fetch_dest, fetch_dest_len) };
    if (accept_len > 0)
        own[request.header_count++] = (clerk_header){ CLERK_STR("accept"), text(accept, accept_len) };
    int32_t before = clock_begin();
    switch (how) {
    case CLERKGO_CACHED:
        made.status = clerk_authenticate_cached(client, &request, &made.result);
        break;
    case CLERKGO_WHOLE:
        made.status = clerk_authenticate(client, &request, &made.result, &made.error);
        break;
    case CLERKGO_BEGIN_CACHED:
        made.status = clerk_authenticate_begin_cached(client, &request, &made.result, &made.pending);
        break;
    case CLERKGO_BEGIN:
        made.status = clerk_authenticate_begin(client, &request, &made.result, &made.pending, &made.error);
        break;
    }
    return outcome_end(before, made);
}

clerkgo_outcome clerkgo_verify_token(const clerk_client *client, const char *token, size_t token_len)
{
    clerkgo_outcome made = { 0, NULL, NULL, NULL };
    int32_t before = clock_begin();
    made.status = clerk_verify_token(client, text(token, token_len), &made.result, &made.error);
    return outcome_end(before, made);
}

clerkgo_outcome clerkgo_warm_up(const clerk_client *client)
{
    clerkgo_outcome made = { 0, NULL, NULL, NULL };
    int32_t before = clock_begin();
    made.status = clerk_client_warm_up(client, &made.error);
    return outcome_end(before, made);
}

int32_t clerkgo_answer(clerk_pending *pending, int32_t returned)
{
    int32_t before = clock_begin();
    return clock_end(before, clerk_pending_submit(pending, returned));
}

int32_t clerkgo_fetch(clerk_pending *pending)
{
    int32_t before = clock_begin();
    return clock_end(before, clerk_pending_fetch(pending));
}

clerkgo_outcome clerkgo_finish(clerk_pending *pending)
{
    clerkgo_outcome made = { 0, NULL, NULL, NULL };
    int32_t before = clock_begin();
    made.status = clerk_pending_finish(pending, &made.result, &made.error);
    return outcome_end(before, made);
}

clerkgo_outcome clerkgo_begin_webhook(const clerk_client *client, const clerk_header *headers, size_t header_count,
                                      const char *body, size_t body_len)
{
    clerkgo_outcome made = { 0, NULL, NULL, NULL };
    int32_t before = clock_begin();
    made.status = clerk_webhook_begin(client, headers, header_count, text(body, body_len), &made.pending, &made.error);
    return outcome_end(before, made);
}

clerkgo_outcome clerkgo_handle_webhook(const clerk_client *client, const clerk_header *headers, size_t header_count,
                                       const char *body, size_t body_len)
{
    clerkgo_outcome made = { 0, NULL, NULL, NULL };
    int32_t before = clock_begin();
    made.status = clerk_webhook_handle(client, headers, header_count, text(body, body_len), &made.error);
    return outcome_end(before, made);
}

void clerkgo_free_results(clerk_result *result, size_t references)
{
    while (references-- > 0)
        clerk_result_free(result);
}

void clerkgo_view_result(const clerk_result *result, clerkgo_result_view *view)
{
    view->status = clerk_result_status(result);
    view->reason = clerk_result_reason(result);
    view->category = clerk_reason_category(view->reason);
    view->http_status = clerk_result_http_status(result);
    view->source = clerk_result_source(result);
    view->token_kind = clerk_result_token_kind(result);
    view->handshake_recommended = clerk_result_handshake_recommended(result);
    view->has_factor_ages = clerk_result_factor_verification_age(result, &view->first_factor_age, &view->second_factor_age);
    view->retry_after_ms = clerk_result_retry_after_ms(result);
    view->expires_at_ms = clerk_result_expires_at_ms(result);
    view->user_id = clerk_result_user_id(result);
    for (int32_t which = 0; which < CLERKGO_TEXTS; which++)
        view->texts[which] = clerk_result_get(result, which);
}

void clerkgo_view_error(const clerk_error *error, clerkgo_error_view *view)
{
    view->status = clerk_error_status(error);
    view->http_status = clerk_error_http_status(error);
    view->retry_after_ms = clerk_error_retry_after_ms(error);
    view->message = clerk_error_message(error);
    view->setting = clerk_error_setting(error);
    view->trace_id = clerk_error_trace_id(error);
}

int32_t clerkgo_has(const clerk_result *result, int32_t dimension, const char *value, size_t value_len)
{
    return clerk_result_has(result, dimension, text(value, value_len));
}

static void read_step(const clerk_store_request *from, clerkgo_step *step)
{
    step->kind = clerk_store_request_get_kind(from);
    step->text = clerk_store_request_value(from);
    step->key = clerk_store_request_key(from);
    for (int32_t i = 0; i < CLERKGO_TEXT_COLUMNS; i++)
        step->writes[i] = clerk_store_request_string_column(from, i, &step->texts[i]);
    for (int32_t i = 0; i < CLERKGO_INT_COLUMNS; i++)
        step->writes[CLERKGO_TEXT_COLUMNS + i] = clerk_store_request_int_column(from, CLERKGO_TEXT_COLUMNS + i, &step->ints[i]);
}

int32_t clerkgo_wants(const clerk_pending *pending, clerkgo_step *step)
{
    int32_t kind = clerk_pending_next_action(pending);
    if (kind != CLERK_STORE_REQUEST_KIND_DONE && kind != CLERK_STORE_REQUEST_KIND_FETCH_USER)
        read_step(clerk_pending_request(pending), step);
    return kind;
}

int32_t clerkgo_reply_row(clerk_store_response *reply, const clerkgo_row *row, const char *bytes)
{
    int32_t status = clerk_store_response_add_row(reply, text(bytes, row->ends[0]));
    for (int32_t i = 1; i <= CLERKGO_TEXT_COLUMNS && status == CLERK_OK; i++)
        if (!row->is_null[i])
            status = clerk_store_response_set_string_column(reply, i - 1, text(bytes + row->ends[i - 1], row->ends[i] - row->ends[i - 1]));
    for (int32_t i = 0; i < CLERKGO_INT_COLUMNS && status == CLERK_OK; i++)
        if (row->has_int[i])
            status = clerk_store_response_set_int_column(reply, CLERKGO_TEXT_COLUMNS + i, row->ints[i]);
    return status;
}

/* --- Hooks ------------------------------------------------------------------------------------------------------- */

/* The hooks that this thread is inside of, the innermost first. */
static _Thread_local struct inside {
    uintptr_t handle;
    const struct inside *outer;
} const *innermost;

int32_t clerkgo_is_inside(uintptr_t handle)
{
    for (const struct inside *each = innermost; each != NULL; each = each->outer)
        if (each->handle == handle)
            return 1;
    return 0;
}

static void *userdata_of(uintptr_t handle)
{
    return (void *)handle; /* never followed: it is a number that Go gives a meaning to */
}

static void forget(void *userdata)
{
    clerkgoForget((uintptr_t)userdata);
}

static void tell_event(void *userdata, const clerk_event *event)
{
    clerkgo_event view = {
        clerk_event_get_kind(event), clerk_event_user_key(event), clerk_event_clerk_id(event),
        clerk_event_token_hash(event), clerk_event_reason(event), clerk_event_source(event),
        clerk_event_retry_after_ms(event),
    };
    struct inside own = { (uintptr_t)userdata, innermost };
    innermost = &own;
    clerkgoEvent(own.handle, &view);
    innermost = own.outer;
}

static void tell_log(void *userdata, int32_t level, clerk_str message)
{
    struct inside own = { (uintptr_t)userdata, innermost };
    innermost = &own;
    clerkgoLog(own.handle, level, (char *)message.data, message.len);
    innermost = own.outer;
}

/* Without the time no token is good: each is over at the end of all days. */
static int64_t ask_clock(void *userdata)
{
    int64_t ms = INT64_MAX;
    struct inside own = { (uintptr_t)userdata, innermost };
    innermost = &own;
    if (!clerkgoClock(own.handle, &ms)) {
        clock_failed = 1;
        ms = INT64_MAX;
    }
    innermost = own.outer;
    return ms;
}

/* Go takes the steps itself, between calls; whatever calls the hook all the same gets nobody in. */
static int32_t refuse(void *userdata, const clerk_store_request *step, clerk_store_response *reply)
{
    (void)userdata, (void)step, (void)reply;
    return -1;
}

int32_t clerkgo_on_event(clerk_config *config, uintptr_t handle)
{
    return clerk_config_set_event_callback(config, tell_event, userdata_of(handle), forget);
}

int32_t clerkgo_on_log(clerk_config *config, int32_t level, uintptr_t handle)
{
    return clerk_config_set_log_callback(config, level, tell_log, userdata_of(handle), forget);
}

int32_t clerkgo_on_clock(clerk_config *config, uintptr_t handle)
{
    return clerk_config_set_clock_callback(config, ask_clock, userdata_of(handle), forget);
}

int32_t clerkgo_on_user_store(clerk_config *config)
{
    return clerk_config_set_user_store(config, refuse, NULL, NULL);
}
