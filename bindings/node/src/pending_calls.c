#include "pending_calls.h"

#include "async_call.h"
#include "call_result.h"
#include "pending.h"
#include "values.h"

#define STRING_COLUMNS 6
#define COLUMNS 10

static const char *const column_names[COLUMNS] = {
    "clerkId", "email", "username", "firstName", "lastName", "imageUrl", "lastActiveAtMs", "isActive", "bannedByClerk",
    "clerkUpdatedAtMs",
};

static const char *const request_names[] = {
    "done", "findByKey", "findByClerkId", "findByEmail", "usernameTaken", "create", "update", "begin", "commit",
    "rollback", "fetch",
};

/* Returns the columns to write. A column that is absent stays unchanged. */
static napi_value columns_object(napi_env env, const clerk_store_request *request)
{
    napi_value object = NULL, value = NULL;
    TRY(napi_create_object(env, &object));
    for (int32_t i = 0; i < COLUMNS; i++) {
        clerk_str string;
        int64_t integer = 0;
        int32_t state = i < STRING_COLUMNS ? clerk_store_request_string_column(request, i, &string)
                                          : clerk_store_request_int_column(request, i, &integer);
        if (state == 0)
            continue;
        if (i < STRING_COLUMNS)
            value = create_string(env, string);
        else if (state == 2)
            TRY(napi_get_null(env, &value));
        else if (i == CLERK_COLUMN_LAST_ACTIVE_AT_MS || i == CLERK_COLUMN_CLERK_UPDATED_AT_MS)
            value = create_int64(env, integer);
        else
            TRY(napi_get_boolean(env, integer == 1, &value));
        if (!set_property(env, object, column_names[i], value))
            return NULL;
    }
    return object;
}

/* Returns the condition of an update: {onlyIfUnlinked, maxVersion, onlyIfActive, onlyIfBanned}. */
static napi_value condition_object(napi_env env, const clerk_store_request *request)
{
    napi_value object = NULL, unlinked = NULL, active = NULL, banned = NULL;
    int64_t version = 0;
    bool has_version = clerk_store_request_max_version(request, &version) == 1;
    TRY(napi_create_object(env, &object));
    TRY(napi_get_boolean(env, clerk_store_request_only_if_unlinked(request) == 1, &unlinked));
    TRY(napi_get_boolean(env, clerk_store_request_only_if_active(request) == 1, &active));
    TRY(napi_get_boolean(env, clerk_store_request_only_if_banned(request) == 1, &banned));
    bool done = set_property(env, object, "onlyIfUnlinked", unlinked) &&
                set_property(env, object, "maxVersion", has_version ? create_int64(env, version) : get_null(env)) &&
                set_property(env, object, "onlyIfActive", active) && set_property(env, object, "onlyIfBanned", banned);
    return done ? object : NULL;
}

static napi_value request_object(napi_env env, const clerk_store_request *request)
{
    napi_value object = NULL;
    int32_t kind = clerk_store_request_get_kind(request);
    TRY(napi_create_object(env, &object));
    bool done = set_property(env, object, "kind", create_name(env, request_names[kind])) &&
                set_property(env, object, "value", create_string(env, clerk_store_request_value(request))) &&
                set_property(env, object, "key", create_string(env, clerk_store_request_key(request)));
    if (kind == CLERK_STORE_REQUEST_KIND_CREATE || kind == CLERK_STORE_REQUEST_KIND_UPDATE)
        done = done && set_property(env, object, "columns", columns_object(env, request));
    if (kind == CLERK_STORE_REQUEST_KIND_UPDATE)
        done = done && set_property(env, object, "condition", condition_object(env, request));
    return done ? object : NULL;
}

/* request(pending): the next request, or null when no more is needed. */
static napi_value request(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    TRY(napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
    struct pending *pending = pending_from_value(env, argument);
    if (pending == NULL)
        return NULL;
    const clerk_store_request *next = clerk_pending_request(pending->core);
    return next != NULL ? request_object(env, next) : get_null(env);
}

/* Adds a row given as [key, clerkId, email, username, firstName, lastName, imageUrl, lastActiveAtMs, isActive, bannedByClerk,
 * clerkUpdatedAtMs]. A setter that fails invalidates the response: the library then treats it as a store failure. */
static bool add_row(napi_env env, napi_value row, clerk_store_response *response)
{
    ARENA(arena, 4096);
    napi_value value;
    clerk_str string;
    int64_t integer = 0;
    bool done = napi_get_element(env, row, 0, &value) == napi_ok && get_string(env, value, &arena, &string);

    if (done)
        ignore_status(clerk_store_response_add_row(response, string));
    for (int32_t i = 0; done && i < COLUMNS; i++) {
        napi_valuetype type = napi_null;
        done = napi_get_element(env, row, (uint32_t)i + 1, &value) == napi_ok;
        done = done && napi_typeof(env, value, &type) == napi_ok;
        if (!done || type == napi_undefined || type == napi_null)
            continue;
        if (i < STRING_COLUMNS) {
            done = get_string(env, value, &arena, &string);
            if (done)
                ignore_status(clerk_store_response_set_string_column(response, i, string));
        } else {
            done = napi_get_value_int64(env, value, &integer) == napi_ok;
            if (done)
                ignore_status(clerk_store_response_set_int_column(response, i, integer));
        }
    }
    arena_free(&arena);
    return done;
}

static bool is_string(napi_env env, napi_value value)
{
    napi_valuetype type = napi_undefined;
    return napi_typeof(env, value, &type) == napi_ok && type == napi_string;
}

/* Fills the response from {failed: message} | {conflict: true} | {rows: [...]} | {taken: 0 | 1} | {created: key} | {}, and
 * returns the code that a user store callback would return. */
static int32_t fill_response(napi_env env, napi_value object, clerk_store_response *response)
{
    static const int32_t FAILED = -1;
    ARENA(arena, 1024);
    napi_value value;
    bool is_conflict = false;
    int32_t integer = 0;
    clerk_str string = { NULL, 0 };

    if (napi_has_named_property(env, object, "conflict", &is_conflict) != napi_ok)
        return FAILED;
    if (is_conflict)
        return CLERK_STORE_CONFLICT;
    if (napi_get_named_property(env, object, "failed", &value) != napi_ok)
        return FAILED;
    if (is_string(env, value)) {
        if (get_string(env, value, &arena, &string))
            ignore_status(clerk_store_response_set_error(response, string));
        arena_free(&arena);
        return FAILED;
    }
    if (napi_get_named_property(env, object, "created", &value) != napi_ok)
        return FAILED;
    if (is_string(env, value)) {
        bool is_read = get_string(env, value, &arena, &string);
        if (is_read)
            ignore_status(clerk_store_response_set_created_key(response, string));
        arena_free(&arena);
        return is_read ? CLERK_STORE_OK : FAILED;
    }
    if (napi_get_named_property(env, object, "taken", &value) != napi_ok)
        return FAILED;
    if (napi_get_value_int32(env, value, &integer) == napi_ok) {
        ignore_status(clerk_store_response_set_username_taken(response, integer));
        return CLERK_STORE_OK;
    }
    uint32_t count = 0;
    if (napi_get_named_property(env, object, "rows", &value) != napi_ok)
        return FAILED;
    napi_get_array_length(env, value, &count); /* without an array: no rows */
    for (uint32_t i = 0; i < count; i++) {
        napi_value row;
        if (napi_get_element(env, value, i, &row) != napi_ok || !add_row(env, row, response))
            return FAILED;
    }
    return CLERK_STORE_OK;
}

/* submit(pending, response) */
static napi_value submit(napi_env env, napi_callback_info info)
{
    size_t count = 2;
    napi_value arguments[2];
    TRY(napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
    struct pending *pending = pending_from_value(env, arguments[0]);
    if (pending == NULL)
        return NULL;
    clerk_store_response *response = clerk_pending_response(pending->core);
    int32_t status = CLERK_E_STATE;
    if (response != NULL)
        status = clerk_pending_submit(pending->core, fill_response(env, arguments[1], response));
    bool has_exception = false;
    TRY(napi_is_exception_pending(env, &has_exception));
    if (has_exception)
        return NULL;
    return status == CLERK_OK ? get_undefined(env) : throw_status(env, status);
}

/* finish(pending): {status, result, error}, without a result for a webhook */
static napi_value finish(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    struct call_result call_result = { .status = CLERK_E_ARGUMENT };
    TRY(napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
    struct pending *pending = pending_from_value(env, argument);
    if (pending == NULL)
        return NULL;
    call_result.status = clerk_pending_finish(pending->core, &call_result.result, &call_result.error);
    pending->core = NULL;
    return call_result_object(env, pending->client, &call_result);
}

bool pending_calls_define(napi_env env, napi_value exports)
{
    napi_value object = NULL, columns = NULL;
    TRY(napi_create_object(env, &object));
    TRY(napi_create_array_with_length(env, COLUMNS, &columns));
    for (uint32_t i = 0; i < COLUMNS; i++)
        TRY(napi_set_element(env, columns, i, create_name(env, column_names[i])));
    return set_method(env, object, "request", request) && set_method(env, object, "submit", submit) &&
           set_method(env, object, "finish", finish) && set_method(env, object, "fetch", async_call_fetch) &&
           set_property(env, exports, "pending", object) && set_property(env, exports, "columns", columns);
}
