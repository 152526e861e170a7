#include "bridge.h"
#include "_cgo_export.h"

static clerk_str text(const char *data, size_t len)
{
    clerk_str made = { data, len };
    return made;
}

static clerk_request request_of(clerk_header own[2], CLERKGO_LINES)
{
    clerk_request request = CLERK_REQUEST_INIT;
    request.method = text(method, method_len);
    if (headers != NULL) {
        request.headers = headers;
        request.header_count = header_count;
        return request;
    }
    request.authorization = text(authorization, authorization_len);
    request.cookie = text(cookie, cookie_len);
    request.headers = own;
    if (fetch_dest_len > 0)
        own[request.header_count++] = (clerk_header){ CLERK_STR("sec-fetch-dest"), text(fetch_dest, fetch_dest_len) };
    if (accept_len > 0)
        own[request.header_count++] = (clerk_header){ CLERK_STR("accept"), text(accept, accept_len) };
    return request;
}

#define REQUEST(own)                                                                                                   \
    request_of(own, headers, header_count, authorization, authorization_len, cookie, cookie_len, method, method_len,   \
               fetch_dest, fetch_dest_len, accept, accept_len)

clerkgo_outcome clerkgo_from_memory(const clerk_client *client, CLERKGO_LINES)
{
    clerkgo_outcome made = { 0, NULL, NULL, NULL };
    clerk_header own[2];
    clerk_request request = REQUEST(own);
    made.status = clerk_authenticate_cached(client, &request, &made.result);
    return made;
}

clerkgo_outcome clerkgo_authenticate(const clerk_client *client, CLERKGO_LINES)
{
    clerkgo_outcome made = { 0, NULL, NULL, NULL };
    clerk_header own[2];
    clerk_request request = REQUEST(own);
    made.status = clerk_authenticate(client, &request, &made.result, &made.error);
    return made;
}

clerkgo_outcome clerkgo_begin(const clerk_client *client, CLERKGO_LINES)
{
    clerkgo_outcome made = { 0, NULL, NULL, NULL };
    clerk_header own[2];
    clerk_request request = REQUEST(own);
    made.status = clerk_authenticate_begin(client, &request, &made.result, &made.pending, &made.error);
    return made;
}

clerkgo_outcome clerkgo_finish(clerk_pending *pending)
{
    clerkgo_outcome made = { 0, NULL, NULL, NULL };
    made.status = clerk_pending_finish(pending, &made.result, &made.error);
    return made;
}

clerkgo_outcome clerkgo_verify_token(const clerk_client *client, const char *token, size_t token_len)
{
    clerkgo_outcome made = { 0, NULL, NULL, NULL };
    made.status = clerk_verify_token(client, text(token, token_len), &made.result, &made.error);
    return made;
}

clerkgo_outcome clerkgo_begin_webhook(const clerk_client *client, const clerk_header *headers, size_t header_count,
                                      const char *body, size_t body_len)
{
    clerkgo_outcome made = { 0, NULL, NULL, NULL };
    made.status = clerk_webhook_begin(client, headers, header_count, text(body, body_len), &made.pending, &made.error);
    return made;
}

clerkgo_outcome clerkgo_handle_webhook(const clerk_client *client, const clerk_header *headers, size_t header_count,
                                       const char *body, size_t body_len)
{
    clerkgo_outcome made = { 0, NULL, NULL, NULL };
    made.status = clerk_webhook_handle(client, headers, header_count, text(body, body_len), &made.error);
    return made;
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
    view->has_factor_ages = clerk_result_factor_ages(result, &view->first_factor_age, &view->second_factor_age);
    view->retry_after_ms = clerk_result_retry_after_ms(result);
    view->expires_at_ms = clerk_result_expires_at_ms(result);
    view->user_id = clerk_result_user_id(result);
    for (int32_t which = 0; which < CLERKGO_TEXTS; which++)
        view->texts[which] = clerk_result_text(result, which);
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

static void read_step(const clerk_step *from, clerkgo_step *step)
{
    step->kind = clerk_step_get_kind(from);
    step->text = clerk_step_text(from);
    step->key = clerk_step_key(from);
    for (int32_t i = 0; i < CLERKGO_TEXT_COLUMNS; i++)
        step->writes[i] = clerk_step_text_column(from, i, &step->texts[i]);
    for (int32_t i = 0; i < CLERKGO_INT_COLUMNS; i++)
        step->writes[CLERKGO_TEXT_COLUMNS + i] = clerk_step_int_column(from, CLERKGO_TEXT_COLUMNS + i, &step->ints[i]);
}

int32_t clerkgo_wants(const clerk_pending *pending, clerkgo_step *step)
{
    int32_t kind = clerk_pending_wants(pending);
    if (kind != CLERK_STEP_KIND_DONE && kind != CLERK_STEP_KIND_FETCH)
        read_step(clerk_pending_step(pending), step);
    return kind;
}

int32_t clerkgo_reply_row(clerk_reply *reply, const clerkgo_row *row, const char *bytes)
{
    int32_t status = clerk_reply_row(reply, text(bytes, row->ends[0]));
    for (int32_t i = 1; i <= CLERKGO_TEXT_COLUMNS && status == CLERK_OK; i++)
        if (!row->is_null[i])
            status = clerk_reply_text_column(reply, i - 1, text(bytes + row->ends[i - 1], row->ends[i] - row->ends[i - 1]));
    for (int32_t i = 0; i < CLERKGO_INT_COLUMNS && status == CLERK_OK; i++)
        if (row->has_int[i])
            status = clerk_reply_int_column(reply, CLERKGO_TEXT_COLUMNS + i, row->ints[i]);
    return status;
}

int32_t clerkgo_reply_created(clerk_reply *reply, const char *key, size_t key_len)
{
    return clerk_reply_created(reply, text(key, key_len));
}

/* --- Hooks ------------------------------------------------------------------------------------------------------- */

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
    clerkgoEvent((uintptr_t)userdata, &view);
}

static void tell_log(void *userdata, int32_t level, clerk_str message)
{
    clerkgoLog((uintptr_t)userdata, level, (char *)message.data, message.len);
}

static int64_t ask_clock(void *userdata)
{
    return clerkgoClock((uintptr_t)userdata);
}

/* Go takes the steps itself, between calls; whatever calls the hook all the same gets nobody in. */
static int32_t refuse(void *userdata, const clerk_step *step, clerk_reply *reply)
{
    (void)userdata, (void)step, (void)reply;
    return -1;
}

int32_t clerkgo_on_event(clerk_config *config, uintptr_t handle)
{
    return clerk_config_on_event(config, tell_event, userdata_of(handle), forget);
}

int32_t clerkgo_on_log(clerk_config *config, int32_t level, uintptr_t handle)
{
    return clerk_config_on_log(config, level, tell_log, userdata_of(handle), forget);
}

int32_t clerkgo_on_clock(clerk_config *config, uintptr_t handle)
{
    return clerk_config_on_clock(config, ask_clock, userdata_of(handle), forget);
}

int32_t clerkgo_on_user_store(clerk_config *config)
{
    return clerk_config_on_user_store(config, refuse, NULL, NULL);
}
