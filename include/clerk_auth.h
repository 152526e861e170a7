/* clerk-auth: who is calling? See the README for a ten-line use.
 *
 * Made by cbindgen from src/ffi; do not edit.
 *
 * Conventions
 * - `clerk_x_new` and `clerk_x_free` belong together; freeing NULL is fine; nothing is freed twice.
 * - Every pointer may be NULL where the text says so; elsewhere NULL gives `CLERK_E_NULL` (or 0, or a NULL text).
 * - Out parameters are set to NULL first and written only on success.
 * - A function that takes `const clerk_client *` may run on any number of threads at once. Other objects: one thread at
 *   a time, unless their text says more.
 * - Hooks run on the thread of the call that needs them, with no lock held. They must not throw, `longjmp` or unwind out.
 *   From inside a hook, only what says so may be called on the same client; the rest gives `CLERK_E_REENTRANT`.
 * - A panic inside the library never leaves it: the call returns `CLERK_E_PANIC`.
 * - After `fork`, the child calls `clerk_client_warm_up` before anything that may reach Clerk; until then such calls give
 *   `CLERK_E_FORKED`. Answers from memory go on. Servers with many threads fork first and make clients in the children:
 *   what other threads of the parent held at the fork is out of the child's reach and has to be verified anew.
 * - Names in lower case that end in `_kind`, or are a plain noun, are enums whose values travel as `int32_t`.
 */

#ifndef CLERK_AUTH_H
#define CLERK_AUTH_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define CLERK_NODISCARD __attribute__((warn_unused_result))
#else
#define CLERK_NODISCARD
#endif

/* The version of this header; compare with clerk_version() and clerk_abi_version() of the library that is loaded. */
#define CLERK_VERSION_MAJOR 0
#define CLERK_VERSION_MINOR 1
#define CLERK_VERSION_PATCH 0
#define CLERK_VERSION_NUMBER ((CLERK_VERSION_MAJOR << 16) | (CLERK_VERSION_MINOR << 8) | CLERK_VERSION_PATCH)

/* An empty request. */
#define CLERK_REQUEST_INIT \
    { (uint32_t)sizeof(clerk_request), 0, NULL, 0, { NULL, 0 }, { NULL, 0 }, { NULL, 0 } }
/* Statistics to be filled. */
#define CLERK_STATS_INIT { (uint32_t)sizeof(clerk_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
/* A text from a literal; see clerk_str_of() for others. */
#ifdef __cplusplus
#define CLERK_STR(literal) (clerk_str{ (literal), sizeof(literal) - 1 })
#else
#define CLERK_STR(literal) ((clerk_str){ (literal), sizeof(literal) - 1 })
#endif

// Signed in, and nothing else: `if (clerk_authenticate(...) == CLERK_OK)` fails closed.
#define CLERK_OK 0

// Something was presented, and it is no good; the result says why.
#define CLERK_SIGNED_OUT 1

// Nothing was presented; the host may go on with a session of its own.
#define CLERK_NO_CREDENTIALS 2

// Nobody can tell right now: answer 503, never 401.
#define CLERK_UNAVAILABLE 3

// Memory does not hold the answer; `clerk_authenticate` or `clerk_authenticate_begin` can tell.
#define CLERK_WOULD_BLOCK 4

// The store has to be asked; see `clerk_pending`.
#define CLERK_PENDING 5

// A webhook delivery that is Clerk's and changes nothing here: answer 200.
#define CLERK_WEBHOOK_IGNORED 6

// A pointer that must not be NULL is NULL.
#define CLERK_E_NULL -101

// An argument is out of range, unknown or too long.
#define CLERK_E_ARGUMENT -102

// A text that must be UTF-8 is not.
#define CLERK_E_UTF8 -103

// `struct_size` is wrong, or a newer caller asks for something this library does not know.
#define CLERK_E_STRUCT_SIZE -104

// The call does not fit the object's state (an answer to a question that was not asked).
#define CLERK_E_STATE -105

// What was asked for is not there.
#define CLERK_E_NOT_FOUND -106

// A setting is wrong; the error names it.
#define CLERK_E_CONFIG -201

// The process was forked since the client was made; call `clerk_client_warm_up` in the child.
#define CLERK_E_FORKED -301

// Clerk could not be asked.
#define CLERK_E_API -302

// Called from inside a hook of the same client.
#define CLERK_E_REENTRANT -401

// A webhook delivery that is not Clerk's: answer 400.
#define CLERK_E_WEBHOOK -501

// A fault of this library; nobody is signed in.
#define CLERK_E_PANIC -901

// Major number of the binary interface: moves only when something is taken away or changed.
#define CLERK_ABI_MAJOR 0

// Minor number of the binary interface: moves when something is added.
#define CLERK_ABI_MINOR 1

// The hook did as asked, and the reply holds the answer.
#define CLERK_STORE_OK 0

// The hook has nothing to do here; for `BEGIN`, `COMMIT` and `ROLLBACK`.
#define CLERK_STORE_DECLINE 1

// A unique column already holds such a value; for `CREATE` and `UPDATE`. The row is looked for again.
#define CLERK_STORE_CONFLICT 2

// The maximum number of keys in a set.
#define MAX_KEYS 1024

// The maximum length of a body.
#define MAX_BODY (1 << 20)

// Why a request was not signed in. The words are Clerk's own where it has one.
//
// Numbers are never used twice and never change. A reason never carries text from a token, a response body or an error.
enum clerk_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Neither an `Authorization: Bearer` header nor a session cookie was there.
    CLERK_REASON_SESSION_TOKEN_MISSING = 1,
    // The credential or the token is malformed, unsupported, or holds a claim of the wrong type.
    CLERK_REASON_TOKEN_INVALID = 2,
    // The signature does not hold under any key of this instance.
    CLERK_REASON_TOKEN_INVALID_SIGNATURE = 3,
    // `exp` has passed, the clock skew allowed for.
    CLERK_REASON_TOKEN_EXPIRED = 4,
    // `nbf` has not come yet.
    CLERK_REASON_TOKEN_NOT_ACTIVE_YET = 5,
    // `iat` lies in the future.
    CLERK_REASON_TOKEN_IAT_IN_THE_FUTURE = 6,
    // `azp` is missing or not among the authorized parties.
    CLERK_REASON_TOKEN_INVALID_AUTHORIZED_PARTIES = 7,
    // `aud` is missing or names none of the configured audiences.
    CLERK_REASON_TOKEN_INVALID_AUDIENCE = 8,
    // `iss` is not among the configured issuers.
    CLERK_REASON_TOKEN_INVALID_ISSUER = 9,
    // A token of a kind that is not accepted here (an OAuth token where sessions are asked for, say).
    CLERK_REASON_TOKEN_TYPE_NOT_SUPPORTED = 10,
    // No key of this instance has the token's key id.
    CLERK_REASON_JWK_KID_MISMATCH = 11,
    // There is no source of keys to verify this token with.
    CLERK_REASON_JWK_FAILED_TO_RESOLVE = 12,
    // The key set could not be fetched.
    CLERK_REASON_JWK_FAILED_TO_LOAD = 13,
    // The key set was fetched and is no JWK set.
    CLERK_REASON_JWK_REMOTE_INVALID = 14,
    // Clerk refuses the secret key.
    CLERK_REASON_SECRET_KEY_INVALID = 15,
    // The Backend API is out of reach, over its rate limit, or answers nonsense.
    CLERK_REASON_SERVER_ERROR = 16,
    // Clerk knows no such user.
    CLERK_REASON_USER_NOT_FOUND = 17,
    // The user is banned at Clerk or deactivated in the host's own table.
    CLERK_REASON_USER_INACTIVE = 18,
    // The session still has tasks to do (`sts: pending`).
    CLERK_REASON_SESSION_PENDING = 19,
    // The session has ended or was revoked.
    CLERK_REASON_SESSION_REVOKED = 20,
    // The local row that matches belongs to another Clerk user.
    CLERK_REASON_LINK_CONFLICT = 21,
    // The host's user store failed.
    CLERK_REASON_STORE_ERROR = 22,
    // Strict cookie policy: no session cookie and the browser is signed out.
    CLERK_REASON_SESSION_TOKEN_AND_UAT_MISSING = 23,
    // Strict cookie policy: a session cookie, but the browser is signed out.
    CLERK_REASON_SESSION_TOKEN_BUT_NO_CLIENT_UAT = 24,
    // Strict cookie policy: the browser is signed in, but there is no session cookie.
    CLERK_REASON_CLIENT_UAT_BUT_NO_SESSION_TOKEN = 25,
    // Strict cookie policy: the token is older than the browser's last sign-in or sign-out.
    CLERK_REASON_SESSION_TOKEN_IAT_BEFORE_CLIENT_UAT = 26,
    // A fault of this library; nobody is signed in.
    CLERK_REASON_INTERNAL_ERROR = 27,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum clerk_reason clerk_reason;
#else
typedef int32_t clerk_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What kind of trouble a [`Reason`] is, so that a host can choose between 401, 403, 500 and 503.
enum clerk_category
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Nothing was presented: the host may go on with a session of its own.
    CLERK_CATEGORY_NO_CREDENTIALS = 1,
    // What was presented is no good: 401.
    CLERK_CATEGORY_INVALID_TOKEN = 2,
    // The caller is known and may not come in: 403.
    CLERK_CATEGORY_FORBIDDEN = 3,
    // The server is set up wrongly (a refused secret key, for one): 500.
    CLERK_CATEGORY_MISCONFIGURED = 4,
    // Nobody can tell right now: 503, retry later.
    CLERK_CATEGORY_UNAVAILABLE = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum clerk_category clerk_category;
#else
typedef int32_t clerk_category;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Where an answer came from.
enum clerk_source
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The token had been verified before.
    CLERK_SOURCE_CACHE = 1,
    // The token was verified now.
    CLERK_SOURCE_VERIFIED = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum clerk_source clerk_source;
#else
typedef int32_t clerk_source;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How grave a log line is. Smaller is graver.
enum clerk_log_level
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Requests fail because of it.
    CLERK_LOG_LEVEL_ERROR = 1,
    // Something to look into.
    CLERK_LOG_LEVEL_WARN = 2,
    // Worth knowing.
    CLERK_LOG_LEVEL_INFO = 3,
    // For those who look for a fault.
    CLERK_LOG_LEVEL_DEBUG = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum clerk_log_level clerk_log_level;
#else
typedef int32_t clerk_log_level;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The kinds of tokens Clerk issues.
enum clerk_token_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // A signed-in user's short-lived session JWT.
    CLERK_TOKEN_KIND_SESSION_TOKEN = 1,
    // An opaque API key, `ak_…`.
    CLERK_TOKEN_KIND_API_KEY = 2,
    // An OAuth access token, `oat_…` or an `at+jwt` JWT.
    CLERK_TOKEN_KIND_OAUTH_TOKEN = 3,
    // A machine-to-machine token, `mt_…` or a JWT whose subject is a machine.
    CLERK_TOKEN_KIND_M2M_TOKEN = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum clerk_token_kind clerk_token_kind;
#else
typedef int32_t clerk_token_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The attributes of an identity.
enum clerk_attribute
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // `sub`: the Clerk user, or the machine.
    CLERK_ATTRIBUTE_SUBJECT = 0,
    // The application's key of the user's row.
    CLERK_ATTRIBUTE_USER_KEY = 1,
    // `sid`
    CLERK_ATTRIBUTE_SESSION_ID = 2,
    // `sts`
    CLERK_ATTRIBUTE_SESSION_STATUS = 3,
    // `iss`
    CLERK_ATTRIBUTE_ISSUER = 4,
    // `azp`
    CLERK_ATTRIBUTE_AUTHORIZED_PARTY = 5,
    // The active organization's id.
    CLERK_ATTRIBUTE_ORG_ID = 6,
    // The active organization's slug.
    CLERK_ATTRIBUTE_ORG_SLUG = 7,
    // The role in it, with the prefix `org:`.
    CLERK_ATTRIBUTE_ORG_ROLE = 8,
    // The permissions in it, separated by commas.
    CLERK_ATTRIBUTE_ORG_PERMISSIONS = 9,
    // `fea`
    CLERK_ATTRIBUTE_FEATURES = 10,
    // `pla`
    CLERK_ATTRIBUTE_PLANS = 11,
    // `sub` of `act`: the impersonator.
    CLERK_ATTRIBUTE_ACTOR = 12,
    // Id of a machine token (`jti` of a JWT).
    CLERK_ATTRIBUTE_TOKEN_ID = 13,
    // The OAuth application.
    CLERK_ATTRIBUTE_CLIENT_ID = 14,
    // Scopes of a machine token, separated by spaces.
    CLERK_ATTRIBUTE_SCOPES = 15,
    // The claims as JSON.
    CLERK_ATTRIBUTE_CLAIMS = 16,
    // The user's e-mail address, in `profile` and `sync` mode.
    CLERK_ATTRIBUTE_EMAIL = 17,
    // The username.
    CLERK_ATTRIBUTE_USERNAME = 18,
    // The first name.
    CLERK_ATTRIBUTE_FIRST_NAME = 19,
    // The last name.
    CLERK_ATTRIBUTE_LAST_NAME = 20,
    // The URL of the profile image.
    CLERK_ATTRIBUTE_IMAGE_URL = 21,
    // The application's id of the user, stored at Clerk.
    CLERK_ATTRIBUTE_EXTERNAL_ID = 22,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum clerk_attribute clerk_attribute;
#else
typedef int32_t clerk_attribute;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What happened.
enum clerk_event_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // A request was signed in. One such event, or one `AUTH_FAILED`, for each request with a credential.
    CLERK_EVENT_KIND_AUTH_SUCCESS = 1,
    // A request was not signed in, though something was presented.
    CLERK_EVENT_KIND_AUTH_FAILED = 2,
    // A token was not in the cache; comes before its `AUTH_SUCCESS` or `AUTH_FAILED`.
    CLERK_EVENT_KIND_CACHE_MISS = 3,
    // A row was made.
    CLERK_EVENT_KIND_USER_CREATED = 4,
    // A row was brought up to date.
    CLERK_EVENT_KIND_USER_UPDATED = 5,
    // A row that was nobody's was given to a Clerk user because of a verified address.
    CLERK_EVENT_KIND_USER_LINKED = 6,
    // A row with the user's address or name belongs to somebody else; it was left alone.
    CLERK_EVENT_KIND_LINK_CONFLICT = 7,
    // The key set was fetched.
    CLERK_EVENT_KIND_JWKS_REFRESHED = 8,
    // Clerk asks for patience; until then nothing is asked.
    CLERK_EVENT_KIND_RATE_LIMITED = 9,
    // Clerk is out of reach; the user as last known was served.
    CLERK_EVENT_KIND_STALE_USER_SERVED = 10,
    // A webhook told that a user is no more; the row is the host's to deal with.
    CLERK_EVENT_KIND_USER_DELETED = 11,
    // Clerk refuses the secret key: the server is set up wrongly, whoever may still be let in for a while.
    CLERK_EVENT_KIND_SECRET_KEY_REJECTED = 12,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum clerk_event_kind clerk_event_kind;
#else
typedef int32_t clerk_event_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What is wanted of the host's user table.
enum clerk_store_request_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Nothing: it is over. Only from `clerk_pending_next_action`.
    CLERK_STORE_REQUEST_KIND_DONE = 0,
    // The row with the key `clerk_store_request_key`; answer with `clerk_store_response_add_row`, or with nothing.
    CLERK_STORE_REQUEST_KIND_FIND_BY_KEY = 1,
    // The row of the Clerk user `clerk_store_request_value`, compared exactly; answer as above.
    CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID = 2,
    // All rows with the address `clerk_store_request_value`, compared without case; two are enough.
    CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL = 3,
    // Whether a row other than `clerk_store_request_key` has the unique name `clerk_store_request_value`, compared without case; answer with
    // `clerk_store_response_set_username_taken`.
    CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN = 4,
    // A new row with the columns of `clerk_store_request_string_column` and `clerk_store_request_int_column`; answer with `clerk_store_response_set_created_key`,
    // or, where the table may make another row of it (one that waits for approval, say), with the whole row as it is now.
    CLERK_STORE_REQUEST_KIND_CREATE = 5,
    // A change of the row `clerk_store_request_key`, these columns only. Answer with nothing, or with the whole row as it is now.
    CLERK_STORE_REQUEST_KIND_UPDATE = 6,
    // `CREATE` or `UPDATE` follows. `CLERK_STORE_DECLINE` if there is nothing to do. Only to a hook.
    CLERK_STORE_REQUEST_KIND_BEGIN = 7,
    // It went well. As above.
    CLERK_STORE_REQUEST_KIND_COMMIT = 8,
    // It did not, or `COMMIT` failed. As above.
    CLERK_STORE_REQUEST_KIND_ROLLBACK = 9,
    // `clerk_pending_fetch` must be called. Only from `clerk_pending_next_action`.
    CLERK_STORE_REQUEST_KIND_FETCH_USER = 10,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum clerk_store_request_kind clerk_store_request_kind;
#else
typedef int32_t clerk_store_request_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A column of the host's user table.
enum clerk_column
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Text, unique: the Clerk user that the row belongs to.
    CLERK_COLUMN_CLERK_ID = 0,
    // Text or NULL.
    CLERK_COLUMN_EMAIL = 1,
    // Text, unique without case.
    CLERK_COLUMN_USERNAME = 2,
    // Text, never NULL.
    CLERK_COLUMN_FIRST_NAME = 3,
    // Text, never NULL.
    CLERK_COLUMN_LAST_NAME = 4,
    // Text or NULL.
    CLERK_COLUMN_IMAGE_URL = 5,
    // Number or NULL: milliseconds since 1970-01-01 UTC.
    CLERK_COLUMN_LAST_ACTIVE_AT_MS = 6,
    // Number: 0 or 1.
    CLERK_COLUMN_IS_ACTIVE = 7,
    // Number: 1 if it was a ban at Clerk that made the row inactive. A row the host made inactive has 0 here.
    CLERK_COLUMN_BANNED_BY_CLERK = 8,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum clerk_column clerk_column;
#else
typedef int32_t clerk_column;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What `clerk_result_has` can be asked for.
enum clerk_check
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // A role in the active organization: `org:admin`, or without the prefix.
    CLERK_CHECK_ROLE = 1,
    // A permission there: `org:invoices:create`, or without the prefix.
    CLERK_CHECK_PERMISSION = 2,
    // A feature; `org:` or `user:` in front looks only there.
    CLERK_CHECK_FEATURE = 3,
    // A plan; `org:` or `user:` in front looks only there.
    CLERK_CHECK_PLAN = 4,
    // A verification of late: `strict_mfa`, `strict`, `moderate`, `lax`, or `<first_factor|second_factor|multi_factor>:<minutes>`.
    CLERK_CHECK_REVERIFICATION = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum clerk_check clerk_check;
#else
typedef int32_t clerk_check;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A client: shared by all threads, every call at once. Counted: each `clerk_client_new` and `clerk_client_retain` needs
// one `clerk_client_free`.
typedef struct clerk_client clerk_client;

// Settings and hooks, to make clients from. One thread at a time. A client copies it: the caller frees it.
typedef struct clerk_config clerk_config;

// What went wrong. Immutable; any thread may read it; the caller frees it.
typedef struct clerk_error clerk_error;

// Something that happened. Lives only during the hook's call.
typedef struct clerk_event clerk_event;

// An authentication, or a webhook delivery, that waits for the host's user table. May move from thread to thread; one at
// a time. Ended by `clerk_pending_finish` or `clerk_pending_free`. It keeps its client alive.
typedef struct clerk_pending clerk_pending;

// An answer: an immutable snapshot that any thread may read. Its texts live until it is freed, whatever becomes of the
// client. The caller frees it, once.
typedef struct clerk_result clerk_result;

// A question to the host's user table. Lives during the hook's call, or until the pending authentication goes on.
typedef struct clerk_store_request clerk_store_request;

// The host's answer to a step.
typedef struct clerk_store_response clerk_store_response;

// A text: not owned, not necessarily terminated when it comes from a caller. Texts that the library hands out are UTF-8,
// live as long as the object they came from, and are followed by a NUL byte that `len` does not count. `data` is NULL
// for a text that is not there. With `len` 0, `data` is not looked at.
typedef struct {
    // The first byte.
    const char *data;
    // How many bytes.
    size_t len;
} clerk_str;

// One header line.
typedef struct {
    // The name, in any case.
    clerk_str name;
    // The value, as it came.
    clerk_str value;
} clerk_header;

// The lines of a request. Begin with `clerk_request r = CLERK_REQUEST_INIT;`. Either put all header lines into
// `headers`, or just the two that matter into `authorization` and `cookie`; a line must not be given both ways. Nothing
// is kept after the call.
typedef struct {
    // `sizeof(clerk_request)`, set by `CLERK_REQUEST_INIT`.
    uint32_t struct_size;
    // 0.
    uint32_t flags;
    // `header_count` lines, or NULL.
    const clerk_header *headers;
    // How many lines `headers` points to.
    size_t header_count;
    // The value of the `Authorization` line, or empty.
    clerk_str authorization;
    // The value of the `Cookie` line, or empty.
    clerk_str cookie;
    // The request's method, or empty.
    clerk_str method;
} clerk_request;

// What a client has done since it was made. Begin with `clerk_stats s = CLERK_STATS_INIT;`.
typedef struct {
    // `sizeof(clerk_stats)`, set by `CLERK_STATS_INIT`.
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // Answers from the cache.
    uint64_t cache_hits;
    // Tokens that had to be verified.
    uint64_t cache_misses;
    // Requests signed in after verification.
    uint64_t signed_in;
    // Requests refused.
    uint64_t signed_out;
    // Requests that nobody could judge.
    uint64_t unavailable;
    // Times the key set was asked for.
    uint64_t jwks_fetches;
    // Times a user was asked for.
    uint64_t user_fetches;
    // Tokens remembered now.
    uint64_t cached_tokens;
    // Users remembered now.
    uint64_t cached_users;
    // Age of the key set in milliseconds, -1 without one.
    int64_t jwks_age_ms;
} clerk_stats;

// Told of each event. Runs on the thread of the call, several at once, with no lock held. Must return.
typedef void (*clerk_event_fn)(void *userdata, const clerk_event *event);

// Called exactly once with a hook's userdata, when the hook was replaced or the last config and client that hold it are
// freed and no call is under way any more; on the thread that does so.
typedef void (*clerk_destroy_fn)(void *userdata);

// Given each log line; `level` is a `clerk_log_level`. Runs as `clerk_event_fn` does. Lines hold no token and no secret.
typedef void (*clerk_log_fn)(void *userdata, int32_t level, clerk_str message);

// Returns milliseconds since 1970-01-01 UTC. Asked once or twice a call, from any thread. What it calls itself goes by
// the system's time.
typedef int64_t (*clerk_clock_fn)(void *userdata);

// Answers a step: fills the reply and returns `CLERK_STORE_OK`, `CLERK_STORE_CONFLICT` or `CLERK_STORE_DECLINE`; a negative
// number is the host's own failure (negate a database's code), comes back untouched, and signs nobody in. Runs on the thread of the call, several
// at once, with no lock held; two calls may ask about one user at the same time. Must return: no exception, no
// `longjmp`, no panic may leave it.
typedef int32_t (*clerk_user_store_fn)(void *userdata, const clerk_store_request *step, clerk_store_response *reply);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Makes a client from a copy of the config. Everything that is wrong with the settings is found here: then `*client` is
// NULL and `*error`, if wanted, names the setting and says what to do. Connects to nothing yet.
int32_t clerk_client_new(const clerk_config *config, clerk_client **client, clerk_error **error);

// One more reference to the same client; returns it. NULL for NULL. May be called from a hook.
clerk_client *clerk_client_retain(const clerk_client *client);

// Gives up one reference. NULL is fine. Calls that are under way end as they would have. May be called from a hook.
void clerk_client_free(clerk_client *client);

// Answers from memory: never waits, asks neither Clerk nor the user store; event loops may call it. A token is verified
// here, too, if its key is in memory and nothing has to be found out about the user. `CLERK_WOULD_BLOCK`, without a
// result: ask `clerk_authenticate` or `clerk_authenticate_begin`. Otherwise as `clerk_authenticate`. May be called from
// a hook.
CLERK_NODISCARD
int32_t clerk_authenticate_cached(const clerk_client *client,
                                  const clerk_request *request,
                                  clerk_result **result);

// Answers, whatever it takes: fetches keys and users, within `timeout_ms` in all; asks the user store on this thread.
// Returns `CLERK_OK` (signed in), `CLERK_SIGNED_OUT`, `CLERK_NO_CREDENTIALS` or `CLERK_UNAVAILABLE` with a result, or a
// negative status without one. `*error`, if wanted, says what stands behind `CLERK_UNAVAILABLE` and negative statuses.
// `result` must not be NULL. `CLERK_E_REENTRANT` from inside a hook of the same client.
CLERK_NODISCARD
int32_t clerk_authenticate(const clerk_client *client,
                           const clerk_request *request,
                           clerk_result **result,
                           clerk_error **error);

// Verifies one JWT and nothing else: no user, no cache, no event; keys may be fetched. Otherwise as `clerk_authenticate`.
CLERK_NODISCARD
int32_t clerk_verify_token(const clerk_client *client,
                           clerk_str token,
                           clerk_result **result,
                           clerk_error **error);

// Fetches the key set now, so that the first request need not wait. In a child after `fork` it must be called before
// anything else that may reach Clerk. `CLERK_OK`, or `CLERK_E_API` with `*error`, if wanted.
int32_t clerk_client_warm_up(const clerk_client *client, clerk_error **error);

// Forgets what is remembered of one token: the next request with it is verified anew. May be called from a hook.
int32_t clerk_client_invalidate_token(const clerk_client *client, clerk_str token);

// Forgets all tokens of a Clerk user, and the user: the next request asks Clerk. May be called from a hook.
int32_t clerk_client_invalidate_user(const clerk_client *client, clerk_str clerk_id);

// Forgets all tokens of a session. May be called from a hook.
int32_t clerk_client_invalidate_session(const clerk_client *client, clerk_str session_id);

// Forgets everything but the key set. May be called from a hook.
int32_t clerk_client_invalidate_all(const clerk_client *client);

// Breaks off calls to Clerk that are under way; those who wait for them get `CLERK_UNAVAILABLE`. Call it before the
// process ends. The client stays usable: later calls connect anew. May be called from a hook.
int32_t clerk_client_shutdown(const clerk_client *client);

// Fills `*stats` as far as its `struct_size` goes. May be called from a hook.
int32_t clerk_client_stats(const clerk_client *client, clerk_stats *stats);

// The defaults. Free it with `clerk_config_free`. NULL only when the library itself is at fault.
clerk_config *clerk_config_new(void);

// Frees a config. NULL is fine. Clients made from it live on.
void clerk_config_free(clerk_config *config);

// Sets any setting by its name; the README lists them all. Lists are separated by commas, an empty value clears an
// optional setting. Everything is copied. `*error`, if wanted, names the setting and says what to do.
int32_t clerk_config_set(clerk_config *config, clerk_str name, clerk_str value, clerk_error **error);

// Sets a number (or, with 0 and 1, a yes-or-no) by its name. Otherwise as `clerk_config_set`.
int32_t clerk_config_set_int(clerk_config *config, clerk_str name, int64_t value, clerk_error **error);

// Adds one item to a list by its name; the item may hold commas. Otherwise as `clerk_config_set`.
int32_t clerk_config_add(clerk_config *config, clerk_str name, clerk_str item, clerk_error **error);

// Takes over every setting whose environment variable is set and not empty (the README lists them). The environment
// is read only here. Must not run while another thread calls `setenv`.
int32_t clerk_config_from_env(clerk_config *config, clerk_error **error);

// The word for a reason, such as "token-expired"; "" for a number that is none. Static; never NULL. Any thread.
const char *clerk_reason_name(int32_t reason);

// The `clerk_category` of a reason: what kind of trouble it is; 0 for a number that is none. Any thread.
int32_t clerk_reason_category(int32_t reason);

// The word for a `clerk_category`, such as "invalid_token"; "" for a number that is none. Static; never NULL. Any thread.
const char *clerk_category_name(int32_t category);

// The word for a `clerk_source`: "cache" or "verified"; "" for a number that is none. Static; never NULL. Any thread.
const char *clerk_source_name(int32_t source);

// The word for a `clerk_token_kind`, such as "session_token"; "" for a number that is none. Static; never NULL. Any
// thread.
const char *clerk_token_kind_name(int32_t kind);

// The word for a `clerk_event_kind`, such as "auth_success"; "" for a number that is none. Static; never NULL. Any
// thread.
const char *clerk_event_kind_name(int32_t kind);

// The name of a setting, by its place in the README's table, from 0; NULL behind the last. Static. Any thread.
const char *clerk_setting_name(size_t place);

// The status that the failed call returned.
int32_t clerk_error_status(const clerk_error *error);

// What went wrong, in words for the person who runs the server; not for clients. Lives as long as the error.
clerk_str clerk_error_message(const clerk_error *error);

// The name of the setting that is wrong; NULL data if none is. Lives as long as the error.
clerk_str clerk_error_setting(const clerk_error *error);

// Clerk's name for the call that failed, for its support; NULL data if there is none. Lives as long as the error.
clerk_str clerk_error_trace_id(const clerk_error *error);

// The HTTP status of Clerk's answer; 0 if there was none.
int32_t clerk_error_http_status(const clerk_error *error);

// The number that the host's own hook failed with, untouched; 0 if no hook failed.
int32_t clerk_error_store_code(const clerk_error *error);

// How many milliseconds to wait before asking again; -1 if that is not known.
int64_t clerk_error_retry_after_ms(const clerk_error *error);

// Frees an error. NULL is fine.
void clerk_error_free(clerk_error *error);

// Has `function` told of events. NULL takes the hook away. See `clerk_destroy_fn` for `destroy`, which may be NULL; it
// runs also when this call fails or `function` is NULL.
int32_t clerk_config_set_event_callback(clerk_config *config,
                                        clerk_event_fn function,
                                        void *userdata,
                                        clerk_destroy_fn destroy);

// Has `function` given log lines that are as grave as `level` (a `clerk_log_level`) or graver. Otherwise as
// `clerk_config_set_event_callback`.
int32_t clerk_config_set_log_callback(clerk_config *config,
                                      int32_t level,
                                      clerk_log_fn function,
                                      void *userdata,
                                      clerk_destroy_fn destroy);

// Has the time told by `function` instead of the system; for tests. Otherwise as `clerk_config_set_event_callback`.
int32_t clerk_config_set_clock_callback(clerk_config *config,
                                        clerk_clock_fn function,
                                        void *userdata,
                                        clerk_destroy_fn destroy);

// What happened: a `clerk_event_kind`; 0 for NULL.
int32_t clerk_event_get_kind(const clerk_event *event);

// The host's key of the user's row; NULL data if there is none. Lives during the hook's call.
clerk_str clerk_event_user_key(const clerk_event *event);

// The Clerk user; NULL data if there is none. Lives during the hook's call.
clerk_str clerk_event_clerk_id(const clerk_event *event);

// "clerk:auth:" and the SHA-256 of the token in hex; NULL data if there was no token. Lives during the hook's call.
clerk_str clerk_event_token_hash(const clerk_event *event);

// Why nobody was signed in: a `clerk_reason`; 0 for other events.
int32_t clerk_event_reason(const clerk_event *event);

// Where the answer came from: a `clerk_source`; 0 for other events.
int32_t clerk_event_source(const clerk_event *event);

// For how long Clerk asks for patience, in milliseconds; -1 for other events.
int64_t clerk_event_retry_after_ms(const clerk_event *event);

// Begins an authentication for a host that asks its user table itself: all that needs no user store is done, waiting for
// Clerk if need be; no user store hook is called. `CLERK_PENDING`: `*pending` says what is wanted, and there is no result
// yet. Otherwise it is over: as `clerk_authenticate`, and `*pending` is NULL.
CLERK_NODISCARD
int32_t clerk_authenticate_begin(const clerk_client *client,
                                 const clerk_request *request,
                                 clerk_result **result,
                                 clerk_pending **pending,
                                 clerk_error **error);

// The same without waiting for Clerk: event loops may call it. `CLERK_PENDING` when all that remains is a look at the
// user's row (it may turn out that Clerk must be asked: then `FETCH_USER` is wanted). `CLERK_WOULD_BLOCK`, without a result and
// without `*pending`: ask `clerk_authenticate_begin`. Otherwise as `clerk_authenticate_cached`.
CLERK_NODISCARD
int32_t clerk_authenticate_begin_cached(const clerk_client *client,
                                        const clerk_request *request,
                                        clerk_result **result,
                                        clerk_pending **pending);

// What is to be done next, a `clerk_store_request_kind`: a step for the host's table, `FETCH_USER`, or `DONE`.
int32_t clerk_pending_next_action(const clerk_pending *pending);

// The step for the host's table; NULL when none is wanted. Lives until `clerk_pending_submit`.
const clerk_store_request *clerk_pending_request(const clerk_pending *pending);

// The reply to fill for the step; NULL when none is wanted. Lives until `clerk_pending_submit`.
clerk_store_response *clerk_pending_response(clerk_pending *pending);

// Answers the step: the reply as it was filled, and what a user store hook would return (`CLERK_STORE_OK`,
// `CLERK_STORE_CONFLICT`, or a negative number of the host's own). Never waits. `CLERK_E_STATE` when no step is wanted.
int32_t clerk_pending_submit(clerk_pending *pending, int32_t returned);

// Waits for Clerk, at most `timeout_ms`, when `FETCH_USER` is wanted (the row of a remembered answer is gone). `CLERK_E_STATE`
// when it is not.
int32_t clerk_pending_fetch(clerk_pending *pending);

// Ends it: hands out the result and frees `pending`, whatever is returned. As `clerk_authenticate`, or, without a result,
// as `clerk_webhook_handle`; one that still wants something ends as `CLERK_UNAVAILABLE`.
CLERK_NODISCARD
int32_t clerk_pending_finish(clerk_pending *pending,
                             clerk_result **result,
                             clerk_error **error);

// Gives it up: nobody is signed in, nothing is remembered. NULL is fine.
void clerk_pending_free(clerk_pending *pending);

// The status that came with the result: `CLERK_OK`, `CLERK_SIGNED_OUT`, `CLERK_NO_CREDENTIALS` or `CLERK_UNAVAILABLE`;
// `CLERK_E_NULL` for NULL.
int32_t clerk_result_status(const clerk_result *result);

// Why nobody is signed in: a `clerk_reason`; 0 when somebody is.
int32_t clerk_result_reason(const clerk_result *result);

// The word for `clerk_result_reason`; "" when somebody is signed in. Static; never NULL.
const char *clerk_result_reason_name(const clerk_result *result);

// The HTTP status that fits: 200, 401 (nothing good was presented), 403, 500 (the server is set up wrongly) or 503.
int32_t clerk_result_http_status(const clerk_result *result);

// How many milliseconds to wait before asking again (for `Retry-After`); -1 if that is not known.
int64_t clerk_result_retry_after_ms(const clerk_result *result);

// 1 if Clerk's own front-end libraries would send this browser to Clerk and back to settle its session, else 0.
int32_t clerk_result_handshake_recommended(const clerk_result *result);

// Where the answer came from: a `clerk_source`; 0 when nobody is signed in.
int32_t clerk_result_source(const clerk_result *result);

// The kind of token: a `clerk_token_kind`; 0 when nobody is signed in.
int32_t clerk_result_token_kind(const clerk_result *result);

// One of the identity's texts, a `clerk_attribute`; NULL data if it is not there or nobody is signed in.
clerk_str clerk_result_get(const clerk_result *result, int32_t which);

// The Clerk user's id, `user_…`; NULL data for machines, or when nobody is signed in.
clerk_str clerk_result_user_id(const clerk_result *result);

// The host's own key of the user's row, in `sync` mode; else NULL data.
clerk_str clerk_result_user_key(const clerk_result *result);

// The session's id; NULL data if the token has none.
clerk_str clerk_result_session_id(const clerk_result *result);

// All claims as JSON; NULL data if there are none.
clerk_str clerk_result_claims_json(const clerk_result *result);

// The end of the token in milliseconds since 1970-01-01 UTC; 0 if it has none or nobody is signed in.
int64_t clerk_result_expires_at_ms(const clerk_result *result);

// How many minutes ago the user's first and second factor were verified, -1 for never. Returns 1, or 0 if the token does
// not say. Either pointer may be NULL.
int32_t clerk_result_factor_verification_age(const clerk_result *result,
                                             int64_t *first,
                                             int64_t *second);

// Whether a user's session holds something: 1 or 0. `dimension` is a `clerk_check`. Unknown dimensions, odd values,
// machine tokens and results without an identity give 0. Several demands are several calls joined by `&&`.
int32_t clerk_result_has(const clerk_result *result, int32_t dimension, clerk_str value);

// Copies one claim as JSON into `buffer`, with a NUL behind it. `path` is a claim's name, or a JSON Pointer (RFC 6901)
// such as `/o/id`. `*needed`, if wanted, is the size without the NUL. `CLERK_OK`; `CLERK_E_NOT_FOUND`;
// `CLERK_E_ARGUMENT` when `capacity` is too small (with 0, `buffer` may be NULL).
int32_t clerk_result_claim(const clerk_result *result, clerk_str path, char *buffer, size_t capacity, size_t *needed);

// Copies the value of a `WWW-Authenticate` line for a 401 or 403 into `buffer`, with a NUL behind it (RFC 6750 section
// 3): the bare scheme when nothing was presented, `invalid_token` for what is no good, `insufficient_scope` for callers
// who may not come in. `realm` may be empty. Otherwise as `clerk_result_claim`; `CLERK_E_NOT_FOUND` when the result is
// neither 401 nor 403.
int32_t clerk_result_www_authenticate(const clerk_result *result,
                                      clerk_str realm,
                                      char *buffer,
                                      size_t capacity,
                                      size_t *needed);

// Frees a result. NULL is fine.
void clerk_result_free(clerk_result *result);

// The name of a status, such as "CLERK_SIGNED_OUT". Static; never NULL. Any thread.
const char *clerk_status_name(int32_t status);

// The library's version, such as "0.1.0". Static; never NULL. Any thread.
const char *clerk_version(void);

// `CLERK_ABI_MAJOR << 16 | CLERK_ABI_MINOR` of the library that is loaded. A caller compiled against another major number,
// or a larger minor one, must not go on. Any thread.
uint32_t clerk_abi_version(void);

// What is wanted: a `clerk_store_request_kind`; 0 for NULL.
int32_t clerk_store_request_get_kind(const clerk_store_request *step);

// The Clerk id, the address or the name that is asked about; NULL data if none is.
clerk_str clerk_store_request_value(const clerk_store_request *step);

// The key of the row that is asked about; NULL data if none is.
clerk_str clerk_store_request_key(const clerk_store_request *step);

// Whether a text column (a `clerk_column`) is to be written: 1, and `*value` is what (NULL data: NULL), or 0, and the
// column stays as it is. `value` may be NULL.
int32_t clerk_store_request_string_column(const clerk_store_request *step, int32_t column, clerk_str *value);

// Whether a number column (a `clerk_column`) is to be written: 1, and `*value` is what, or 2, and it is to be NULL, or 0,
// and the column stays as it is. `value` may be NULL.
int32_t clerk_store_request_int_column(const clerk_store_request *step,
                                       int32_t column,
                                       int64_t *value);

// Begins a row with the host's own key for it, as text, not empty. The column setters that follow are about this row.
// It is active unless `IS_ACTIVE` says otherwise.
int32_t clerk_store_response_add_row(clerk_store_response *reply, clerk_str key);

// Sets a text column (a `clerk_column`) of the row. NULL columns need not be set; NULL data sets NULL.
int32_t clerk_store_response_set_string_column(clerk_store_response *reply, int32_t column, clerk_str value);

// Sets a number column (a `clerk_column`) of the row. NULL columns need not be set.
int32_t clerk_store_response_set_int_column(clerk_store_response *reply, int32_t column, int64_t value);

// Answers `USERNAME_TAKEN`: 1 or 0.
int32_t clerk_store_response_set_username_taken(clerk_store_response *reply, int32_t taken);

// Answers `CREATE` with the new row's key, as text, not empty.
int32_t clerk_store_response_set_created_key(clerk_store_response *reply, clerk_str key);

// Says in the host's own words why the hook will return a negative number. The words come back untouched in
// `clerk_error_message`, the number in `clerk_error_store_code`; neither reaches an event or a reason.
int32_t clerk_store_response_set_error(clerk_store_response *reply, clerk_str message);

// A view of a text that ends with a NUL; NULL gives a text that is not there. Lives as long as the text does.
clerk_str clerk_str_of(const char *terminated);

// Has the host's user table asked and changed through `function`. NULL takes the store away. See `clerk_destroy_fn` for
// `destroy`, which may be NULL; it runs also when this call fails or `function` is NULL.
int32_t clerk_config_set_user_store(clerk_config *config,
                                    clerk_user_store_fn function,
                                    void *userdata,
                                    clerk_destroy_fn destroy);

// Says which columns the host's table has: a sum of `1 << clerk_column`. All of them, unless this is called. A table
// without `CLERK_ID` is matched by verified addresses alone; one without `BANNED_BY_CLERK` gets nobody back in after a
// ban.
int32_t clerk_config_set_user_columns(clerk_config *config, uint32_t columns);

// Says how many characters fit into a text column (a `clerk_column`); 0 is no limit. Names are cut, addresses and
// pictures that do not fit are left out. The limit of `FIRST_NAME` and `LAST_NAME` is one and the same.
int32_t clerk_config_set_user_column_length(clerk_config *config, int32_t column, uint32_t characters);

// Keeps the users in the table `clerk_user` of the SQLite file at `path` (UTF-8), which is made if need be, readable by
// its owner only. Opened at once; `*error`, if wanted, says why it cannot be.
int32_t clerk_config_set_sqlite_path(clerk_config *config, clerk_str path, clerk_error **error);

// Takes a webhook delivery: all its header lines and its body as it came, byte by byte. The delivery is checked against
// `webhook_secrets` (Svix signature, time, once only) and applied: users are brought up to date, in the user store too;
// ended sessions and deleted users are no longer let in; what is no longer true is no longer remembered. Answer the
// delivery with 200 for `CLERK_OK` and `CLERK_WEBHOOK_IGNORED`, 400 for `CLERK_E_WEBHOOK`, and 503 for
// `CLERK_UNAVAILABLE` (the user store failed; Clerk delivers again). May call hooks. `CLERK_E_REENTRANT` from inside a
// hook of the same client.
CLERK_NODISCARD
int32_t clerk_webhook_handle(const clerk_client *client,
                             const clerk_header *headers,
                             size_t header_count,
                             clerk_str body,
                             clerk_error **error);

// Begins with a webhook delivery for a host that asks its user table itself: everything but the user's row is done; no
// user store hook is called. `CLERK_PENDING`: `*pending` says what is wanted of the table; `clerk_pending_finish`, whose
// `result` may be NULL then, says in the end what `clerk_webhook_handle` would. Otherwise it is over: as
// `clerk_webhook_handle`, and `*pending` is NULL. Never waits.
CLERK_NODISCARD
int32_t clerk_webhook_begin(const clerk_client *client,
                            const clerk_header *headers,
                            size_t header_count,
                            clerk_str body,
                            clerk_pending **pending,
                            clerk_error **error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CLERK_AUTH_H */
