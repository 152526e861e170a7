/* What Go asks of the C library in one call each: crossing between the two costs more than most of what is asked. */
#ifndef CLERKGO_BRIDGE_H
#define CLERKGO_BRIDGE_H

#ifdef __has_include
#if !__has_include(<clerk_auth.h>)
#error "clerk_auth.h is missing: run bindings/go/lib/copy.sh in a checkout of clerk-auth, or build with -tags clerk_shared against an installed library"
#endif
#endif
#include <clerk_auth.h>

enum { CLERKGO_TEXTS = CLERK_ATTRIBUTE_EXTERNAL_ID + 1, CLERKGO_TEXT_COLUMNS = 6, CLERKGO_INT_COLUMNS = 3 };

/* What an authentication came to. */
typedef struct {
    int32_t status;
    clerk_result *result;
    clerk_pending *pending;
    clerk_error *error;
} clerkgo_outcome;

/* All that a result says, for one copy. The texts live as long as the result. */
typedef struct {
    int32_t status;
    int32_t reason;
    int32_t category;
    int32_t http_status;
    int32_t source;
    int32_t token_kind;
    int32_t handshake_recommended;
    int32_t has_factor_ages;
    int64_t first_factor_age;
    int64_t second_factor_age;
    int64_t retry_after_ms;
    int64_t expires_at_ms;
    clerk_str user_id;
    clerk_str texts[CLERKGO_TEXTS];
} clerkgo_result_view;

typedef struct {
    int32_t status;
    int32_t http_status;
    int64_t retry_after_ms;
    clerk_str message;
    clerk_str setting;
    clerk_str trace_id;
} clerkgo_error_view;

/* A question to the user table. `writes[column]` is what clerk_store_request_string_column and clerk_store_request_int_column return. */
typedef struct {
    int32_t kind;
    clerk_str text;
    clerk_str key;
    int32_t writes[CLERKGO_TEXT_COLUMNS + CLERKGO_INT_COLUMNS];
    clerk_str texts[CLERKGO_TEXT_COLUMNS];
    int64_t ints[CLERKGO_INT_COLUMNS];
} clerkgo_step;

/* A row of the user table: `ends` are the ends of the key and the text columns in the bytes that come with it. */
typedef struct {
    uint32_t ends[1 + CLERKGO_TEXT_COLUMNS];
    uint8_t is_null[1 + CLERKGO_TEXT_COLUMNS];
    uint8_t has_int[CLERKGO_INT_COLUMNS];
    int64_t ints[CLERKGO_INT_COLUMNS];
} clerkgo_row;

typedef struct {
    int32_t kind;
    clerk_str user_key;
    clerk_str clerk_id;
    clerk_str token_hash;
    int32_t reason;
    int32_t source;
    int64_t retry_after_ms;
} clerkgo_event;

/* The lines that matter. Two lines of credentials are no good; when `is_doubled`, `second` is the other one. */
#define CLERKGO_LINES                                                                                                  \
    const char *authorization, size_t authorization_len, const char *second, size_t second_len, int32_t is_doubled,    \
        const char *cookie, size_t cookie_len, const char *method, size_t method_len, const char *fetch_dest,          \
        size_t fetch_dest_len, const char *accept, size_t accept_len

/* How to ask: from memory alone, whatever it takes, and both for a user table that Go asks. */
enum { CLERKGO_CACHED, CLERKGO_WHOLE, CLERKGO_BEGIN_CACHED, CLERKGO_BEGIN };

/* The status of calls during which the clock hook failed: whatever they came to is freed. */
enum { CLERKGO_E_CLOCK = -9001 };

clerkgo_outcome clerkgo_ask(int32_t how, const clerk_client *client, CLERKGO_LINES);
clerkgo_outcome clerkgo_verify_token(const clerk_client *client, const char *token, size_t token_len);
clerkgo_outcome clerkgo_warm_up(const clerk_client *client);

/* The first two return a status alone; the last frees `pending`, whatever it returns. */
int32_t clerkgo_answer(clerk_pending *pending, int32_t returned);
int32_t clerkgo_fetch(clerk_pending *pending);
clerkgo_outcome clerkgo_finish(clerk_pending *pending);

/* The first is for a user table that Go asks, the second for all others. */
clerkgo_outcome clerkgo_begin_webhook(const clerk_client *client, const clerk_header *headers, size_t header_count,
                                      const char *body, size_t body_len);
clerkgo_outcome clerkgo_handle_webhook(const clerk_client *client, const clerk_header *headers, size_t header_count,
                                       const char *body, size_t body_len);

/* Gives up so many references to one result. */
void clerkgo_free_results(clerk_result *result, size_t references);

void clerkgo_view_result(const clerk_result *result, clerkgo_result_view *view);
void clerkgo_view_error(const clerk_error *error, clerkgo_error_view *view);
int32_t clerkgo_has(const clerk_result *result, int32_t dimension, const char *value, size_t value_len);

/* What is wanted next; the step is filled for all kinds but DONE and FETCH. */
int32_t clerkgo_wants(const clerk_pending *pending, clerkgo_step *step);
int32_t clerkgo_reply_row(clerk_store_response *reply, const clerkgo_row *row, const char *bytes);

/* Each takes a handle of the Go side, which is given back when nobody needs it any more. */
int32_t clerkgo_on_event(clerk_config *config, uintptr_t handle);
int32_t clerkgo_on_log(clerk_config *config, int32_t level, uintptr_t handle);
int32_t clerkgo_on_clock(clerk_config *config, uintptr_t handle);
/* Says that there is a user table; it is never asked through a hook. */
int32_t clerkgo_on_user_store(clerk_config *config);

/* Whether this thread is inside a hook that was set with the handle. */
int32_t clerkgo_is_inside(uintptr_t handle);

#endif
