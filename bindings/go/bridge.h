/* C functions that each make one cgo call do the work of several: a cgo call costs more than most functions of the library. */
#ifndef CLERKGO_BRIDGE_H
#define CLERKGO_BRIDGE_H

#ifdef __linux__
#include <features.h>
#endif
#if !defined(__linux__) && !defined(CLERKGO_SHARED)
#error "clerkauth needs linux/amd64 or linux/arm64: build in a container, or for one with GOOS=linux, CGO_ENABLED=1 and a C compiler for it"
#elif !defined(__GLIBC__) && !defined(CLERKGO_SHARED)
#error "clerkauth links an archive for glibc: with musl, as on Alpine Linux, install the library and build with -tags clerk_shared"
#elif defined(__has_include)
#if !__has_include(<clerk_auth.h>)
#error "clerk_auth.h is missing: run bindings/go/lib/copy.sh in a checkout of clerk-auth, or build with -tags clerk_shared against an installed library"
#endif
#endif
#include <clerk_auth.h>

enum { CLERKGO_ATTRIBUTES = CLERK_ATTRIBUTE_TOKEN_NAME + 1, CLERKGO_STRING_COLUMNS = 6, CLERKGO_INT_COLUMNS = 4 };

/* What a function of the library returned, with its out parameters. */
typedef struct {
    int32_t status;
    clerk_result *result;
    clerk_pending *pending;
    clerk_error *error;
} clerkgo_call_result;

/* All fields of a result. The strings live as long as the result. */
typedef struct {
    int32_t status;
    int32_t reason;
    int32_t category;
    int32_t http_status;
    int32_t source;
    int32_t token_kind;
    int32_t handshake_recommended;
    int32_t is_anonymous;
    int32_t has_factor_ages;
    int64_t first_factor_age;
    int64_t second_factor_age;
    int64_t retry_after_ms;
    int64_t expires_at_ms;
    clerk_str user_id;
    clerk_str token_hash;
    clerk_str redirect;
    size_t set_cookie_count;
    clerk_str attributes[CLERKGO_ATTRIBUTES];
} clerkgo_result_view;

/* All fields of an error. The strings live as long as the error. */
typedef struct {
    int32_t status;
    int32_t http_status;
    int64_t retry_after_ms;
    clerk_str message;
    clerk_str setting;
    clerk_str trace_id;
} clerkgo_error_view;

/* A request to the user store. `writes[column]` is what clerk_store_request_string_column or _int_column returned. */
typedef struct {
    int32_t kind;
    clerk_str value;
    clerk_str key;
    int32_t writes[CLERKGO_STRING_COLUMNS + CLERKGO_INT_COLUMNS];
    clerk_str strings[CLERKGO_STRING_COLUMNS];
    int64_t ints[CLERKGO_INT_COLUMNS];
    int32_t only_if_unlinked;
    int32_t only_if_active;
    int32_t only_if_banned;
    int32_t has_max_version;
    int64_t max_version;
} clerkgo_store_request;

/* A row of the user table. `ends` holds where the key and each string column end in the bytes passed beside it. */
typedef struct {
    uint32_t ends[1 + CLERKGO_STRING_COLUMNS];
    uint8_t is_null[1 + CLERKGO_STRING_COLUMNS];
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
    int32_t handshake_source;
    int64_t dropped_lines;
} clerkgo_event;

/* The parts of a request that the library reads. `authorization2` is a second Authorization header; the library rejects
 * such requests. `page` holds scheme, target, Referer, User-Agent and X-Forwarded-For, -Host and -Proto, separated by NUL. */
#define CLERKGO_REQUEST                                                                                                \
    const char *authorization, size_t authorization_len, const char *authorization2, size_t authorization2_len,        \
        int32_t has_authorization2, const char *cookie, size_t cookie_len, const char *method, size_t method_len,      \
        const char *fetch_dest, size_t fetch_dest_len, const char *accept, size_t accept_len, const char *host,        \
        size_t host_len, const char *origin, size_t origin_len, const char *fetch_site, size_t fetch_site_len,         \
        const char *page, size_t page_len

/* Which function authenticates: from the cache only, blocking, and both as the start of a stepwise authentication. */
enum { CLERKGO_CACHED, CLERKGO_BLOCKING, CLERKGO_BEGIN_CACHED, CLERKGO_BEGIN };

/* The status of a call during which the clock callback failed. Its result, pending authentication and error are freed. */
enum { CLERKGO_E_CLOCK = -9001 };

/* `mark` is 0 or what clerk_client_mark returned when the request began. */
clerkgo_call_result clerkgo_authenticate(int32_t mode, const clerk_client *client, uint64_t mark, CLERKGO_REQUEST);
/* Where the token of a request is: `offset` in the Authorization header or the cookies, by `source`. */
typedef struct {
    int32_t status;
    int32_t source;
    size_t offset;
    size_t len;
} clerkgo_credential;

clerkgo_credential clerkgo_find_credential(const clerk_client *client, CLERKGO_REQUEST);
clerkgo_call_result clerkgo_verify_token(const clerk_client *client, const char *token, size_t token_len);
clerkgo_call_result clerkgo_warm_up(const clerk_client *client);
int32_t clerkgo_poll(const clerk_client *client, int64_t timeout_ms);

/* The first two return a status. The third frees `pending`, whatever it returns. */
int32_t clerkgo_submit(clerk_pending *pending, int32_t returned);
int32_t clerkgo_fetch(clerk_pending *pending);
clerkgo_call_result clerkgo_finish(clerk_pending *pending);

/* The first starts a stepwise delivery, for a user store in Go. The second is for clients without one. */
clerkgo_call_result clerkgo_begin_webhook(const clerk_client *client, const clerk_header *headers, size_t header_count,
                                          const char *body, size_t body_len);
clerkgo_call_result clerkgo_handle_webhook(const clerk_client *client, const clerk_header *headers, size_t header_count,
                                           const char *body, size_t body_len);

/* Frees `references` references to one result. */
void clerkgo_free_results(clerk_result *result, size_t references);

void clerkgo_read_result(const clerk_result *result, clerkgo_result_view *view);
void clerkgo_read_error(const clerk_error *error, clerkgo_error_view *view);
int32_t clerkgo_has(const clerk_result *result, int32_t check, const char *value, size_t value_len);

/* Returns the kind of the next action, and fills `request` unless that is DONE or FETCH_USER. */
int32_t clerkgo_next_action(const clerk_pending *pending, clerkgo_store_request *request);
int32_t clerkgo_add_row(clerk_store_response *response, const clerkgo_row *row, const char *bytes);

/* Each takes ownership of one reference to a Go handle and releases it with the client. */
int32_t clerkgo_set_event_callback(clerk_config *config, uintptr_t handle);
int32_t clerkgo_set_log_callback(clerk_config *config, int32_t level, uintptr_t handle);
int32_t clerkgo_set_clock_callback(clerk_config *config, uintptr_t handle);
/* Enables sync mode. The store callback itself is never used: Go executes store requests between calls. */
int32_t clerkgo_set_user_store(clerk_config *config);

/* Reports whether this thread is in a callback that was set with the handle. */
int32_t clerkgo_in_callback(uintptr_t handle);

/* Sets the Go handle of the context for what is logged on this thread, 0 for none. Returns the one before. */
uintptr_t clerkgo_set_context(uintptr_t context);

#endif
