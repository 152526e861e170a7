/* What waits for the host's user table: one step after another, asked and answered on JavaScript's thread. */
#include "addon.h"

#include <stdlib.h>

static const char KIND;

#define TEXT_COLUMNS 6
#define COLUMNS 9

static const char *const column_names[COLUMNS] = {
    "clerkId", "email", "username", "firstName", "lastName", "imageUrl", "lastActiveAtMs", "isActive", "bannedByClerk",
};

static const char *const step_names[] = {
    "done", "findByKey", "findByClerkId", "findByEmail", "usernameTaken", "create", "update", "begin", "commit",
    "rollback", "fetch",
};

static void finalize(napi_env env, void *data, void *hint)
{
    pending *own = data;
    (void)env, (void)hint;
    clerk_pending_free(own->core);
    client_release(own->own);
    free(own);
}

napi_value pending_handle(napi_env env, clerk_pending *core, client *held)
{
    pending *own = malloc(sizeof *own);
    if (own == NULL) {
        clerk_pending_free(core);
        return throw_status(env, CLERK_E_PANIC);
    }
    *own = (pending){ &KIND, core, client_retain(held), false };
    return external(env, own, finalize);
}

pending *pending_of(napi_env env, napi_value value)
{
    pending *own = NULL;
    if (napi_get_value_external(env, value, (void **)&own) != napi_ok || own->kind != &KIND) {
        throw_type(env, "a pending call is expected");
        return NULL;
    }
    if (own->core == NULL || own->busy) {
        throw_status(env, CLERK_E_STATE);
        return NULL;
    }
    return own;
}

/* The columns to be written: those that are not there stay as they are. */
static napi_value columns_of(napi_env env, const clerk_store_request *step)
{
    napi_value object = NULL, value = NULL;
    TRY(napi_create_object(env, &object));
    for (int32_t i = 0; i < COLUMNS; i++) {
        clerk_str words;
        int64_t integer = 0;
        int32_t wanted = i < TEXT_COLUMNS ? clerk_store_request_string_column(step, i, &words)
                                          : clerk_store_request_int_column(step, i, &integer);
        if (wanted == 0)
            continue;
        if (i < TEXT_COLUMNS)
            value = text(env, words);
        else if (wanted == 2)
            TRY(napi_get_null(env, &value));
        else if (i == CLERK_COLUMN_LAST_ACTIVE_AT_MS)
            value = number(env, integer);
        else
            TRY(napi_get_boolean(env, integer == 1, &value));
        if (!set(env, object, column_names[i], value))
            return NULL;
    }
    return object;
}

static napi_value step_object(napi_env env, const clerk_store_request *step)
{
    napi_value object = NULL;
    int32_t kind = clerk_store_request_get_kind(step);
    TRY(napi_create_object(env, &object));
    bool done = set(env, object, "kind", words(env, step_names[kind])) &&
                set(env, object, "text", text(env, clerk_store_request_value(step))) &&
                set(env, object, "key", text(env, clerk_store_request_key(step)));
    if (kind == CLERK_STORE_REQUEST_KIND_CREATE || kind == CLERK_STORE_REQUEST_KIND_UPDATE)
        done = done && set(env, object, "columns", columns_of(env, step));
    return done ? object : NULL;
}

/* step(pending): what is wanted; null when it is over. */
static napi_value step(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    TRY(napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
    pending *own = pending_of(env, argument);
    if (own == NULL)
        return NULL;
    const clerk_store_request *wanted = clerk_pending_request(own->core);
    return wanted != NULL ? step_object(env, wanted) : text(env, (clerk_str){ NULL, 0 });
}

/* A row comes as [key, clerkId, email, username, firstName, lastName, imageUrl, lastActiveAtMs, isActive, bannedByClerk]. A
 * setter that fails spoils the reply: the library then takes it for a failure of the store. */
static bool row(napi_env env, napi_value row, clerk_store_response *reply)
{
    ARENA(room, 4096);
    napi_value value;
    clerk_str words;
    int64_t integer = 0;
    bool done = napi_get_element(env, row, 0, &value) == napi_ok && text_of(env, value, &room, &words);

    if (done)
        ignore_status(clerk_store_response_add_row(reply, words));
    for (int32_t i = 0; done && i < COLUMNS; i++) {
        napi_valuetype type = napi_null;
        done = napi_get_element(env, row, (uint32_t)i + 1, &value) == napi_ok;
        done = done && napi_typeof(env, value, &type) == napi_ok;
        if (!done || type == napi_undefined || type == napi_null)
            continue;
        if (i < TEXT_COLUMNS) {
            done = text_of(env, value, &room, &words);
            if (done)
                ignore_status(clerk_store_response_set_string_column(reply, i, words));
        } else {
            done = napi_get_value_int64(env, value, &integer) == napi_ok;
            if (done)
                ignore_status(clerk_store_response_set_int_column(reply, i, integer));
        }
    }
    arena_free(&room);
    return done;
}

static bool is_string(napi_env env, napi_value value)
{
    napi_valuetype type = napi_undefined;
    return napi_typeof(env, value, &type) == napi_ok && type == napi_string;
}

/* Fills the reply, and returns what a hook would, from
 * {failed: words} | {conflict: true} | {rows: [...]} | {taken: 0 | 1} | {created: key} | {} */
static int32_t reply_with(napi_env env, napi_value answer, clerk_store_response *reply)
{
    static const int32_t FAILED = -1;
    ARENA(room, 1024);
    napi_value value;
    bool there = false;
    int32_t integer = 0;
    clerk_str words = { NULL, 0 };

    if (napi_has_named_property(env, answer, "conflict", &there) != napi_ok)
        return FAILED;
    if (there)
        return CLERK_STORE_CONFLICT;
    if (napi_get_named_property(env, answer, "failed", &value) != napi_ok)
        return FAILED;
    if (is_string(env, value)) {
        if (text_of(env, value, &room, &words))
            ignore_status(clerk_store_response_set_error(reply, words));
        arena_free(&room);
        return FAILED;
    }
    if (napi_get_named_property(env, answer, "created", &value) != napi_ok)
        return FAILED;
    if (is_string(env, value)) {
        bool read = text_of(env, value, &room, &words);
        if (read)
            ignore_status(clerk_store_response_set_created_key(reply, words));
        arena_free(&room);
        return read ? CLERK_STORE_OK : FAILED;
    }
    if (napi_get_named_property(env, answer, "taken", &value) != napi_ok)
        return FAILED;
    if (napi_get_value_int32(env, value, &integer) == napi_ok) {
        ignore_status(clerk_store_response_set_username_taken(reply, integer));
        return CLERK_STORE_OK;
    }
    uint32_t count = 0;
    if (napi_get_named_property(env, answer, "rows", &value) != napi_ok)
        return FAILED;
    napi_get_array_length(env, value, &count); /* no array: no rows */
    for (uint32_t i = 0; i < count; i++) {
        napi_value each;
        if (napi_get_element(env, value, i, &each) != napi_ok || !row(env, each, reply))
            return FAILED;
    }
    return CLERK_STORE_OK;
}

/* answer(pending, answer) */
static napi_value answer(napi_env env, napi_callback_info info)
{
    size_t count = 2;
    napi_value arguments[2];
    TRY(napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
    pending *own = pending_of(env, arguments[0]);
    if (own == NULL)
        return NULL;
    clerk_store_response *reply = clerk_pending_response(own->core);
    int32_t status = CLERK_E_STATE;
    if (reply != NULL)
        status = clerk_pending_submit(own->core, reply_with(env, arguments[1], reply));
    bool thrown = false;
    TRY(napi_is_exception_pending(env, &thrown));
    if (thrown)
        return NULL;
    return status == CLERK_OK ? undefined(env) : throw_status(env, status);
}

/* finish(pending): {status, result, error}, without a result for a webhook delivery */
static napi_value finish(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument;
    outcome ended = { .status = CLERK_E_ARGUMENT };
    TRY(napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
    pending *own = pending_of(env, argument);
    if (own == NULL)
        return NULL;
    ended.status = clerk_pending_finish(own->core, &ended.result, &ended.error);
    own->core = NULL;
    return outcome_object(env, own->own, &ended);
}

bool pending_define(napi_env env, napi_value exports)
{
    napi_value object = NULL, columns = NULL;
    TRY(napi_create_object(env, &object));
    TRY(napi_create_array_with_length(env, COLUMNS, &columns));
    for (uint32_t i = 0; i < COLUMNS; i++)
        TRY(napi_set_element(env, columns, i, words(env, column_names[i])));
    return method(env, object, "step", step) && method(env, object, "answer", answer) &&
           method(env, object, "finish", finish) && method(env, object, "fetch", work_fetch) &&
           set(env, exports, "pending", object) && set(env, exports, "columns", columns);
}
