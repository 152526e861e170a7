#include "bridge.h"
#include "_cgo_export.h"

#include <string.h>

static clerk_str str(const char *data, size_t len)
{
    clerk_str made = { data, len };
    return made;
}

/* Whether the clock callback failed during the current call. Callbacks run on the thread of the call. */
static _Thread_local int32_t clock_failed;

/* Saves the flag of an outer call: a callback may call the library again. */
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

/* Drops everything that was decided without a clock. */
static clerkgo_call_result end_call(int32_t before, clerkgo_call_result call)
{
    call.status = clock_end(before, call.status);
    if (call.status == CLERKGO_E_CLOCK) {
        clerk_result_free(call.result);
        clerk_pending_free(call.pending);
        clerk_error_free(call.error);
        call = (clerkgo_call_result){ CLERKGO_E_CLOCK, NULL, NULL, NULL };
    }
    return call;
}

enum { CLERKGO_HEADERS = 9, CLERKGO_PAGE_FIELDS = 7 };

/* Adds the parts that a redirect needs. */
static void add_page(clerk_request *request, clerk_header *headers, const char *page, size_t page_len)
{
    static const char *const names[CLERKGO_PAGE_FIELDS] = {
        NULL, NULL, "referer", "user-agent", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
    };
    const char *end = page + page_len;
    for (int i = 0; i < CLERKGO_PAGE_FIELDS && page < end; i++) {
        const char *next = memchr(page, 0, (size_t)(end - page));
        clerk_str field = str(page, (size_t)((next != NULL ? next : end) - page));
        if (i == 0)
            request->scheme = field;
        else if (i == 1)
            request->target = field;
        else if (field.len > 0)
            headers[request->header_count++] = (clerk_header){ str(names[i], strlen(names[i])), field };
        page = next != NULL ? next + 1 : end;
    }
}

/* Fills a request, which borrows `headers` and the caller's strings. */
static clerk_request make_request(clerk_header headers[CLERKGO_HEADERS], CLERKGO_REQUEST)
{
    clerk_request request = CLERK_REQUEST_INIT;
    request.headers = headers;
    request.method = str(method, method_len);
    request.cookie = str(cookie, cookie_len);
    request.host = str(host, host_len);
    request.origin = str(origin, origin_len);
    request.sec_fetch_site = str(fetch_site, fetch_site_len);
    if (has_authorization2) {
        headers[request.header_count++] = (clerk_header){ CLERK_STR("authorization"), str(authorization, authorization_len) };
        headers[request.header_count++] = (clerk_header){ CLERK_STR("authorization"), str(authorization2, authorization2_len) };
    } else {
        request.authorization = str(authorization, authorization_len);
    }
    if (fetch_dest_len > 0)
        headers[request.header_count++] = (clerk_header){ CLERK_STR("sec-fetch-dest"), str(fetch_dest, fetch_dest_len) };
    if (accept_len > 0)
        headers[request.header_count++] = (clerk_header){ CLERK_STR("accept"), str(accept, accept_len) };
    if (page_len > 0)
        add_page(&request, headers, page, page_len);
    return request;
}

#define CLERKGO_ARGUMENTS                                                                                              \
    authorization, authorization_len, authorization2, authorization2_len, has_authorization2, cookie, cookie_len,      \
        method, method_len, fetch_dest, fetch_dest_len, accept, accept_len, host, host_len, origin, origin_len,        \
        fetch_site, fetch_site_len, page, page_len

clerkgo_credential clerkgo_find_credential(const clerk_client *client, CLERKGO_REQUEST)
{
    clerkgo_credential found = { CLERK_E_ARGUMENT, CLERK_TOKEN_SOURCE_NONE, 0, 0 };
    clerk_header headers[CLERKGO_HEADERS];
    clerk_request request = make_request(headers, CLERKGO_ARGUMENTS);
    clerk_str token = { NULL, 0 };
    int32_t before = clock_begin();
    found.status = clock_end(before, clerk_request_credential(client, &request, &token, &found.source));
    if (token.data != NULL) {
        found.offset = (size_t)(token.data - (found.source == CLERK_TOKEN_SOURCE_HEADER ? authorization : cookie));
        found.len = token.len;
    }
    return found;
}

clerkgo_call_result clerkgo_authenticate(int32_t mode, const clerk_client *client, uint64_t mark, CLERKGO_REQUEST)
{
    clerkgo_call_result call = { CLERK_E_ARGUMENT, NULL, NULL, NULL };
    clerk_header headers[CLERKGO_HEADERS];
    clerk_request request = make_request(headers, CLERKGO_ARGUMENTS);
    request.mark = mark;
    int32_t before = clock_begin();
    switch (mode) {
    case CLERKGO_CACHED:
        call.status = clerk_authenticate_cached(client, &request, &call.result);
        break;
    case CLERKGO_BLOCKING:
        call.status = clerk_authenticate(client, &request, &call.result, &call.error);
        break;
    case CLERKGO_BEGIN_CACHED:
        call.status = clerk_authenticate_begin_cached(client, &request, &call.result, &call.pending);
        break;
    case CLERKGO_BEGIN:
        call.status = clerk_authenticate_begin(client, &request, &call.result, &call.pending, &call.error);
        break;
    }
    return end_call(before, call);
}

clerkgo_call_result clerkgo_verify_token(const clerk_client *client, const char *token, size_t token_len)
{
    clerkgo_call_result call = { 0, NULL, NULL, NULL };
    int32_t before = clock_begin();
    call.status = clerk_verify_token(client, str(token, token_len), &call.result, &call.error);
    return end_call(before, call);
}

clerkgo_call_result clerkgo_warm_up(const clerk_client *client)
{
    clerkgo_call_result call = { 0, NULL, NULL, NULL };
    int32_t before = clock_begin();
    call.status = clerk_client_warm_up(client, &call.error);
    return end_call(before, call);
}

int32_t clerkgo_poll(const clerk_client *client, int64_t timeout_ms)
{
    int32_t before = clock_begin();
    return clock_end(before, clerk_client_poll(client, timeout_ms));
}

int32_t clerkgo_submit(clerk_pending *pending, int32_t returned)
{
    int32_t before = clock_begin();
    return clock_end(before, clerk_pending_submit(pending, returned));
}

int32_t clerkgo_fetch(clerk_pending *pending)
{
    int32_t before = clock_begin();
    return clock_end(before, clerk_pending_fetch(pending));
}

clerkgo_call_result clerkgo_finish(clerk_pending *pending)
{
    clerkgo_call_result call = { 0, NULL, NULL, NULL };
    int32_t before = clock_begin();
    call.status = clerk_pending_finish(pending, &call.result, &call.error);
    return end_call(before, call);
}

clerkgo_call_result clerkgo_begin_webhook(const clerk_client *client, const clerk_header *headers, size_t header_count,
                                          const char *body, size_t body_len)
{
    clerkgo_call_result call = { 0, NULL, NULL, NULL };
    int32_t before = clock_begin();
    call.status = clerk_webhook_begin(client, headers, header_count, str(body, body_len), &call.pending, &call.error);
    return end_call(before, call);
}

clerkgo_call_result clerkgo_handle_webhook(const clerk_client *client, const clerk_header *headers, size_t header_count,
                                           const char *body, size_t body_len)
{
    clerkgo_call_result call = { 0, NULL, NULL, NULL };
    int32_t before = clock_begin();
    call.status = clerk_webhook_handle(client, headers, header_count, str(body, body_len), &call.error);
    return end_call(before, call);
}

void clerkgo_free_results(clerk_result *result, size_t references)
{
    while (references-- > 0)
        clerk_result_free(result);
}

void clerkgo_read_result(const clerk_result *result, clerkgo_result_view *view)
{
    view->status = clerk_result_status(result);
    view->reason = clerk_result_reason(result);
    view->category = clerk_reason_category(view->reason);
    view->http_status = clerk_result_http_status(result);
    view->source = clerk_result_source(result);
    view->token_kind = clerk_result_token_kind(result);
    view->handshake_recommended = clerk_result_handshake_recommended(result);
    view->is_anonymous = clerk_result_is_anonymous(result);
    view->has_factor_ages = clerk_result_factor_verification_age(result, &view->first_factor_age, &view->second_factor_age);
    view->retry_after_ms = clerk_result_retry_after_ms(result);
    view->expires_at_ms = clerk_result_expires_at_ms(result);
    view->user_id = clerk_result_user_id(result);
    view->token_hash = clerk_result_token_hash(result);
    view->redirect = str(NULL, 0);
    if (clerk_result_redirect(result, &view->redirect) != CLERK_OK)
        view->redirect = str(NULL, 0);
    view->set_cookie_count = clerk_result_set_cookie_count(result);
    for (int32_t i = 0; i < CLERKGO_ATTRIBUTES; i++)
        view->attributes[i] = clerk_result_get(result, i);
}

void clerkgo_read_error(const clerk_error *error, clerkgo_error_view *view)
{
    view->status = clerk_error_status(error);
    view->http_status = clerk_error_http_status(error);
    view->retry_after_ms = clerk_error_retry_after_ms(error);
    view->message = clerk_error_message(error);
    view->setting = clerk_error_setting(error);
    view->trace_id = clerk_error_trace_id(error);
}

int32_t clerkgo_has(const clerk_result *result, int32_t check, const char *value, size_t value_len)
{
    return clerk_result_has(result, check, str(value, value_len));
}

static void read_request(const clerk_store_request *from, clerkgo_store_request *request)
{
    request->kind = clerk_store_request_get_kind(from);
    request->value = clerk_store_request_value(from);
    request->key = clerk_store_request_key(from);
    for (int32_t i = 0; i < CLERKGO_STRING_COLUMNS; i++)
        request->writes[i] = clerk_store_request_string_column(from, i, &request->strings[i]);
    for (int32_t i = 0; i < CLERKGO_INT_COLUMNS; i++)
        request->writes[CLERKGO_STRING_COLUMNS + i] = clerk_store_request_int_column(from, CLERKGO_STRING_COLUMNS + i, &request->ints[i]);
    request->only_if_unlinked = clerk_store_request_only_if_unlinked(from);
    request->only_if_active = clerk_store_request_only_if_active(from);
    request->only_if_banned = clerk_store_request_only_if_banned(from);
    request->has_max_version = clerk_store_request_max_version(from, &request->max_version);
}

int32_t clerkgo_next_action(const clerk_pending *pending, clerkgo_store_request *request)
{
    int32_t kind = clerk_pending_next_action(pending);
    if (kind != CLERK_STORE_REQUEST_KIND_DONE && kind != CLERK_STORE_REQUEST_KIND_FETCH_USER)
        read_request(clerk_pending_request(pending), request);
    return kind;
}

int32_t clerkgo_add_row(clerk_store_response *response, const clerkgo_row *row, const char *bytes)
{
    int32_t status = clerk_store_response_add_row(response, str(bytes, row->ends[0]));
    for (int32_t i = 1; i <= CLERKGO_STRING_COLUMNS && status == CLERK_OK; i++)
        if (!row->is_null[i])
            status = clerk_store_response_set_string_column(response, i - 1, str(bytes + row->ends[i - 1], row->ends[i] - row->ends[i - 1]));
    for (int32_t i = 0; i < CLERKGO_INT_COLUMNS && status == CLERK_OK; i++)
        if (row->has_int[i])
            status = clerk_store_response_set_int_column(response, CLERKGO_STRING_COLUMNS + i, row->ints[i]);
    return status;
}

/* --- Callbacks --------------------------------------------------------------------------------------------------- */

/* The callbacks that are running on this thread, innermost first. */
static _Thread_local struct callback_frame {
    uintptr_t handle;
    const struct callback_frame *outer;
} const *innermost;

int32_t clerkgo_in_callback(uintptr_t handle)
{
    for (const struct callback_frame *frame = innermost; frame != NULL; frame = frame->outer)
        if (frame->handle == handle)
            return 1;
    return 0;
}

/* The context of the current call. Callbacks run on the thread of the call. */
static _Thread_local uintptr_t current_context;

uintptr_t clerkgo_set_context(uintptr_t context)
{
    uintptr_t before = current_context;
    current_context = context;
    return before;
}

static void *userdata_of(uintptr_t handle)
{
    return (void *)handle; /* never dereferenced: a runtime/cgo handle */
}

static void release(void *userdata)
{
    clerkgoRelease((uintptr_t)userdata);
}

static void on_event(void *userdata, const clerk_event *event)
{
    clerkgo_event view = {
        clerk_event_get_kind(event), clerk_event_user_key(event), clerk_event_clerk_id(event),
        clerk_event_token_hash(event), clerk_event_reason(event), clerk_event_source(event),
        clerk_event_retry_after_ms(event), clerk_event_handshake_source(event), clerk_event_dropped_lines(event),
    };
    struct callback_frame frame = { (uintptr_t)userdata, innermost };
    innermost = &frame;
    clerkgoEvent(frame.handle, current_context, &view);
    innermost = frame.outer;
}

static void on_log(void *userdata, int32_t level, clerk_str message)
{
    struct callback_frame frame = { (uintptr_t)userdata, innermost };
    innermost = &frame;
    clerkgoLog(frame.handle, current_context, level, (char *)message.data, message.len);
    innermost = frame.outer;
}

/* A failed clock returns INT64_MAX: every token that has an `exp` is expired then. */
static int64_t on_clock(void *userdata)
{
    int64_t ms = INT64_MAX;
    struct callback_frame frame = { (uintptr_t)userdata, innermost };
    innermost = &frame;
    if (!clerkgoClock(frame.handle, &ms)) {
        clock_failed = 1;
        ms = INT64_MAX;
    }
    innermost = frame.outer;
    return ms;
}

/* Never called in stepwise authentication; fails closed if it is. */
static int32_t on_store_request(void *userdata, const clerk_store_request *request, clerk_store_response *response)
{
    (void)userdata, (void)request, (void)response;
    return -1;
}

int32_t clerkgo_set_event_callback(clerk_config *config, uintptr_t handle)
{
    return clerk_config_set_event_callback(config, on_event, userdata_of(handle), release);
}

int32_t clerkgo_set_log_callback(clerk_config *config, int32_t level, uintptr_t handle)
{
    return clerk_config_set_log_callback(config, level, on_log, userdata_of(handle), release);
}

int32_t clerkgo_set_clock_callback(clerk_config *config, uintptr_t handle)
{
    return clerk_config_set_clock_callback(config, on_clock, userdata_of(handle), release);
}

int32_t clerkgo_set_user_store(clerk_config *config)
{
    return clerk_config_set_user_store(config, on_store_request, NULL, NULL);
}
