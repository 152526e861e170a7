/*
 * clerk-auth: verifies Clerk session tokens, OAuth tokens, API keys and machine-to-machine tokens in any server.
 *
 * Generated from src/ffi and include/clerk_auth.h.in by `make header`; do not edit.
 *
 * Contents
 *
 *     Version          version of the header and of the loaded library
 *     String           clerk_str
 *     Status           clerk_status, clerk_error
 *     Config           clerk_config: settings and callbacks
 *     Client           clerk_client: keys, caches, connections
 *     Request          clerk_request: the header lines of a request
 *     Authenticate     blocking, from the cache, one token
 *     Result           clerk_result: status, reason, attributes, checks
 *     Explanation      clerk_explanation: why a token is accepted or rejected
 *     User store       the application's user table: callback, asynchronous, or SQLite
 *     Events and log   callbacks
 *     Webhooks         Clerk's webhooks
 *
 * Conventions
 *
 * - Ownership. An object from `clerk_x_new` or from an out parameter belongs to the caller and is freed with
 *   `clerk_x_free`, once. Freeing NULL does nothing. Strings and structures passed to a function are copied if needed.
 * - NULL. A pointer must not be NULL unless its documentation allows it. NULL gives `CLERK_E_NULL`, 0, -1 or NULL data.
 * - Out parameters. They are set to NULL first, and to a value only as documented.
 * - Errors. A function with a parameter `error` sets `*error` if and only if it returns a negative status or
 *   `CLERK_UNAVAILABLE`; else `*error` is NULL. `error` itself may be NULL. The caller frees `*error`.
 * - Threads. "Any thread" means from several threads at once. "One thread at a time" means per object.
 * - Callbacks. They run on the thread of the call that needs them, with no lock held, and several may run at once. They
 *   must not throw an exception, call `longjmp` or panic. Inside a callback, only functions documented with "also in
 *   callbacks" may be called with the same client; others return `CLERK_E_REENTRANT`.
 * - Panics. A panic inside the library is caught and gives `CLERK_E_PANIC`.
 * - Fork. In a child process, call `clerk_client_warm_up` first. Until then, calls that need a request to Clerk return
 *   `CLERK_E_FORKED`; cached results are still served. A multi-threaded server forks first and creates its clients in
 *   the children: a cache entry that another thread of the parent used during the fork is not available in the child,
 *   and a request that this entry might reject is `CLERK_UNAVAILABLE`.
 * - Enumerations. Signatures use `int32_t`; the documentation names the enumeration.
 */

#ifndef CLERK_AUTH_H
#define CLERK_AUTH_H

#include <stddef.h>
#include <stdint.h>

/* The compiler warns if the value is ignored. */
#if defined(__cplusplus) && __cplusplus >= 201703L
#define CLERK_NODISCARD [[nodiscard]]
#elif defined(__GNUC__) || defined(__clang__)
#define CLERK_NODISCARD __attribute__((warn_unused_result))
#else
#define CLERK_NODISCARD
#endif

/* Enumerations have 32 bits in language versions with an underlying type. */
#if defined(__cplusplus) || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L)
#define CLERK_INT32_ENUM : int32_t
#else
#define CLERK_INT32_ENUM
#endif

#ifdef __cplusplus
extern "C" {
#endif

/**********************************************************************************************************************
 * Section - Version
 *
 *     if (clerk_abi_version() >> 16 != CLERK_ABI_MAJOR || (clerk_abi_version() & 0xffff) < CLERK_ABI_MINOR)
 *         fprintf(stderr, "clerk-auth %s does not match this program\n", clerk_version());
 **********************************************************************************************************************/

/** Version of this header. `clerk_version` returns that of the loaded library. */
#define CLERK_VERSION_MAJOR 0
#define CLERK_VERSION_MINOR 1
#define CLERK_VERSION_PATCH 0
#define CLERK_VERSION_NUMBER ((CLERK_VERSION_MAJOR << 16) | (CLERK_VERSION_MINOR << 8) | CLERK_VERSION_PATCH)

/** Major version of the binary interface. It changes when something is removed or changed. */
#define CLERK_ABI_MAJOR 0

/** Minor version of the binary interface. It changes when something is added. */
#define CLERK_ABI_MINOR 1

/**
 * Returns the version of the loaded library, such as "0.1.0".
 *
 * The string is static and never NULL. Any thread.
 */
const char *clerk_version(void);

/**
 * Returns `CLERK_ABI_MAJOR << 16 | CLERK_ABI_MINOR` of the loaded library.
 *
 * A program must not continue if the major version differs from that of its header, or if the minor version is
 * smaller. Any thread.
 */
uint32_t clerk_abi_version(void);

/**********************************************************************************************************************
 * Section - String
 *
 *     clerk_str name = CLERK_STR("secret_key");
 *     clerk_str value = clerk_str_of(getenv("CLERK_SECRET_KEY"));
 *     printf("%s has %zu bytes\n", name.data, value.len);
 **********************************************************************************************************************/

/**
 * A string: a pointer and a length in bytes. It does not own its bytes.
 *
 * A string from the library is UTF-8, lives as long as the object it came from, and is followed by a NUL byte that
 * `len` does not count. `data` is NULL if there is no value. A string from the application need not end with a NUL;
 * with `len` 0, `data` is ignored.
 */
typedef struct {
    /** The first byte, or NULL. */
    const char *data;
    /** Length in bytes. */
    size_t len;
} clerk_str;

/** A `clerk_str` of a string literal. Anything else does not compile: use `clerk_str_of` for a pointer or an array. */
#ifdef __cplusplus
#define CLERK_STR(literal) (clerk_str{ "" literal "", sizeof("" literal "") - 1 })
#else
#define CLERK_STR(literal) ((clerk_str){ "" literal "", sizeof("" literal "") - 1 })
#endif

/**
 * Returns a view of a NUL-terminated string.
 *
 * NULL gives a string with NULL data. The view lives as long as `string`. Any thread.
 */
clerk_str clerk_str_of(const char *string);

/**********************************************************************************************************************
 * Section - Status
 *
 *     clerk_error *error = NULL;
 *     int32_t status = clerk_client_warm_up(client, &error);
 *     if (status != CLERK_OK)
 *         fprintf(stderr, "%s: %s\n", clerk_status_name(status), clerk_error_message(error).data);
 *     clerk_error_free(error);
 **********************************************************************************************************************/

/**
 * A return value. Zero is success, a positive number is an expected outcome, a negative number is a failure.
 *
 * Numbers are never reused. A later version may add some: treat an unknown number as a failure.
 */
typedef enum clerk_status CLERK_INT32_ENUM {
    /** Success. An authentication returns it if and only if the request is signed in. */
    CLERK_OK = 0,
    /** A credential was presented and rejected. `clerk_result_reason` says why. */
    CLERK_SIGNED_OUT = 1,
    /** No credential was presented. The application may continue with a session of its own. */
    CLERK_NO_CREDENTIALS = 2,
    /** The result cannot be determined now. Respond with 503, never with 401. */
    CLERK_UNAVAILABLE = 3,
    /**
     * The cached data is not sufficient. Call `clerk_authenticate` or `clerk_authenticate_begin` on a thread that may
     * block.
     */
    CLERK_WOULD_BLOCK = 4,
    /** The application has to query its user table. See `clerk_pending`. */
    CLERK_PENDING = 5,
    /** A valid webhook that changes nothing here. Respond with 200. */
    CLERK_WEBHOOK_IGNORED = 6,
    /** A required pointer is NULL. */
    CLERK_E_NULL = -101,
    /** An argument is out of range, unknown or too long. */
    CLERK_E_ARGUMENT = -102,
    /** A string is not valid UTF-8. */
    CLERK_E_UTF8 = -103,
    /** `struct_size` is not supported, or a field that is unknown to this version of the library is set. */
    CLERK_E_STRUCT_SIZE = -104,
    /** The call is not allowed in the object's current state. */
    CLERK_E_STATE = -105,
    /** The requested value does not exist. */
    CLERK_E_NOT_FOUND = -106,
    /** A setting is invalid. `clerk_error_setting` names it. */
    CLERK_E_CONFIG = -201,
    /** The process was forked after the client was created. Call `clerk_client_warm_up` in the child. */
    CLERK_E_FORKED = -301,
    /** A request to Clerk failed. */
    CLERK_E_API = -302,
    /** Called from inside a callback of the same client. */
    CLERK_E_REENTRANT = -401,
    /** The webhook is invalid. Respond with 400. */
    CLERK_E_WEBHOOK = -501,
    /** Internal error of the library. Treat it as "not signed in". */
    CLERK_E_PANIC = -901,
} clerk_status;

/**
 * Returns the name of a status, such as "CLERK_SIGNED_OUT".
 *
 * The string is static and never NULL; an unknown number gives "CLERK_E_UNKNOWN". Any thread.
 */
const char *clerk_status_name(int32_t status);

/** Details of a failure, for the application and its log. Immutable; any thread may read it. The caller frees it. */
typedef struct clerk_error clerk_error;

/** Returns the status that the failed call returned, a `clerk_status`; `CLERK_OK` for NULL. Any thread. */
CLERK_NODISCARD int32_t clerk_error_status(const clerk_error *error);

/**
 * Returns a message for the log of the server. Do not send it to clients.
 *
 * The string lives as long as the error; NULL data for NULL. Any thread.
 */
clerk_str clerk_error_message(const clerk_error *error);

/**
 * Returns the name of the invalid setting; NULL data if the failure is not about a setting.
 *
 * The string lives as long as the error. Any thread.
 */
clerk_str clerk_error_setting(const clerk_error *error);

/**
 * Returns Clerk's trace id of the failed request, to quote to Clerk's support; NULL data if there is none.
 *
 * The string lives as long as the error. Any thread.
 */
clerk_str clerk_error_trace_id(const clerk_error *error);

/** Returns the HTTP status of Clerk's response; 0 if there was no response. Any thread. */
int32_t clerk_error_http_status(const clerk_error *error);

/**
 * Returns the negative number that the user store returned, unchanged; 0 if the user store did not fail. Any thread.
 */
int32_t clerk_error_store_code(const clerk_error *error);

/** Returns how many milliseconds to wait before the next attempt; -1 if unknown. Any thread. */
int64_t clerk_error_retry_after_ms(const clerk_error *error);

/** Frees an error. NULL is ignored. Any thread. */
void clerk_error_free(clerk_error *error);

/**********************************************************************************************************************
 * Section - Config
 *
 * The callbacks of a config are set by functions of the sections "User store" and "Events and log".
 *
 *     clerk_config *config = clerk_config_new();
 *     clerk_error *error = NULL;
 *     int32_t status = clerk_config_from_env(config, &error);
 *     if (status == CLERK_OK)
 *         status = clerk_config_add(config, CLERK_STR("authorized_parties"), CLERK_STR("https://example.com"), &error);
 *     if (status != CLERK_OK)
 *         fprintf(stderr, "%s\n", clerk_error_message(error).data);
 *     clerk_error_free(error);
 *     clerk_config_free(config);
 **********************************************************************************************************************/

/** Settings and callbacks to create clients from. One thread at a time. A client copies it; the caller frees it. */
typedef struct clerk_config clerk_config;

/**
 * Creates a config with all settings at their defaults.
 *
 * Returns the config, which the caller frees with `clerk_config_free`; NULL after an internal error. Any thread.
 */
clerk_config *clerk_config_new(void);

/** Frees a config. NULL is ignored. Clients created from it stay valid. One thread at a time. */
void clerk_config_free(clerk_config *config);

/**
 * Sets a setting by its name. The README lists all settings.
 *
 * Items of a list are separated by commas. An empty value clears an optional setting. Both strings are copied.
 *
 * Returns `CLERK_OK`, or a negative status and sets `*error`: `CLERK_E_CONFIG` for an unknown name or an invalid
 * value. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_config_set(clerk_config *config, clerk_str name, clerk_str value, clerk_error **error);

/**
 * Sets an integer setting by its name. A boolean setting takes 0 or 1.
 *
 * Returns as `clerk_config_set` does. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_config_set_int(clerk_config *config, clerk_str name, int64_t value, clerk_error **error);

/**
 * Appends one item to a list setting by its name. The item may contain commas.
 *
 * Returns as `clerk_config_set` does. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_config_add(clerk_config *config, clerk_str name, clerk_str item, clerk_error **error);

/**
 * Sets every setting whose environment variable is set and not empty. The README lists the variables.
 *
 * No other function reads settings from the environment. Must not run while another thread calls `setenv`.
 *
 * Returns as `clerk_config_set` does. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_config_from_env(clerk_config *config, clerk_error **error);

/** The type of a setting's value. */
typedef enum clerk_setting_type CLERK_INT32_ENUM {
    /** A UTF-8 string. */
    CLERK_SETTING_TYPE_STRING = 1,
    /** Strings, separated by commas; `clerk_config_add` appends one. */
    CLERK_SETTING_TYPE_LIST = 2,
    /** An integer from `minimum` to `maximum`; `clerk_config_set_int` takes it as a number. */
    CLERK_SETTING_TYPE_INTEGER = 3,
    /** "true" or "false"; 1 or 0 for `clerk_config_set_int`. */
    CLERK_SETTING_TYPE_BOOLEAN = 4,
    /** One of the allowed values. */
    CLERK_SETTING_TYPE_ENUMERATION = 5,
    /** One or more of the allowed values, separated by commas. */
    CLERK_SETTING_TYPE_ENUMERATION_SET = 6,
} clerk_setting_type;

/**
 * The description of a setting. The strings are static and followed by a NUL byte; `data` is NULL where there is none.
 */
typedef struct {
    /** `sizeof(clerk_setting)`, set by the caller. */
    uint32_t struct_size;
    /** A `clerk_setting_type`. */
    int32_t value_type;
    /** The name that `clerk_config_set` takes. */
    clerk_str name;
    /** The group of the README's table, such as "token_checks". */
    clerk_str group;
    /** The default, as `clerk_config_set` takes it. */
    clerk_str default_value;
    /** The smallest value of an `INTEGER`, else 0. */
    int64_t minimum;
    /** The largest value of an `INTEGER`, else 0. */
    int64_t maximum;
    /** The variable that `clerk_config_from_env` reads. */
    clerk_str environment;
    /** The allowed values of an `ENUMERATION` or `ENUMERATION_SET`, separated by commas. */
    clerk_str allowed_values;
    /** The description, in one line of Markdown. */
    clerk_str description;
    /** 1 if the value must not be shown, else 0. */
    int32_t is_secret;
    /** 0. */
    uint32_t reserved;
} clerk_setting;

/** Initializes a `clerk_setting`. */
#define CLERK_SETTING_INIT \
    { sizeof(clerk_setting), 0, { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, 0, 0, { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, \
      0, 0 }

/**
 * Describes the setting at `index`, from 0 in the order of the README's tables.
 *
 * Fills `*info` up to its `struct_size`.
 *
 * Returns `CLERK_OK`, `CLERK_E_NOT_FOUND` after the last setting, `CLERK_E_NULL` or `CLERK_E_STRUCT_SIZE`. Any thread.
 */
CLERK_NODISCARD int32_t clerk_setting_info(size_t index, clerk_setting *info);

/**
 * Destroys the userdata of a callback.
 *
 * Called exactly once: when the callback is replaced, or when the last config or client that uses it has been freed
 * and no call is in progress. Runs on the thread that does so.
 */
typedef void (*clerk_destroy_fn)(void *userdata);

/**********************************************************************************************************************
 * Section - Client
 *
 * A server creates one client when it starts; all its threads share it.
 *
 *     clerk_client *client = NULL;
 *     clerk_error *error = NULL;
 *     if (clerk_client_new(config, &client, &error) != CLERK_OK)
 *         fprintf(stderr, "%s\n", clerk_error_message(error).data);
 *     clerk_error_free(error);
 *     clerk_client_free(client);
 **********************************************************************************************************************/

/**
 * A client: keys, caches and connections. Any number of threads may use it at once. Reference-counted: every
 * `clerk_client_new` and `clerk_client_retain` needs one `clerk_client_free`.
 */
typedef struct clerk_client clerk_client;

/**
 * Creates a client from a copy of the config. Opens no connection, except to the shared cache and to the database if
 * they are set.
 *
 * Returns `CLERK_OK` and sets `*client`, which the caller frees with `clerk_client_free`. Otherwise returns a
 * negative status, sets `*client` to NULL and sets `*error`: `CLERK_E_CONFIG` names an invalid or missing setting.
 * One thread at a time per config.
 */
CLERK_NODISCARD int32_t clerk_client_new(const clerk_config *config, clerk_client **client, clerk_error **error);

/**
 * Adds a reference to a client.
 *
 * Returns the same pointer, which needs a `clerk_client_free` of its own; NULL for NULL. Any thread, also in
 * callbacks.
 */
clerk_client *clerk_client_retain(const clerk_client *client);

/**
 * Drops a reference to a client. The last one frees it. NULL is ignored.
 *
 * A callback may drop the reference of the call that it runs in. A thread needs its own reference if another thread
 * may drop the last one during its calls. Any thread, also in callbacks.
 */
void clerk_client_free(clerk_client *client);

/**
 * Fetches the JWK set now, so that the first request does not wait for it. Blocks for at most `timeout_ms`.
 *
 * In a child process after `fork` it must be called before any function that may send a request to Clerk.
 *
 * Returns `CLERK_OK`, or a negative status and sets `*error`: `CLERK_E_API` if the request failed,
 * `CLERK_E_REENTRANT` in a callback of the same client. Any thread.
 */
CLERK_NODISCARD int32_t clerk_client_warm_up(const clerk_client *client, clerk_error **error);

/**
 * Removes one token from the cache. The next request with it verifies it again.
 *
 * Returns `CLERK_OK` or a negative status. Any thread, also in callbacks.
 */
CLERK_NODISCARD int32_t clerk_client_invalidate_token(const clerk_client *client, clerk_str token);

/**
 * Removes a Clerk user and all tokens of this user from the cache. The next request fetches the user again.
 *
 * Returns `CLERK_OK` or a negative status. Any thread, also in callbacks.
 */
CLERK_NODISCARD int32_t clerk_client_invalidate_user(const clerk_client *client, clerk_str clerk_id);

/**
 * Removes all tokens of a session from the cache.
 *
 * Returns `CLERK_OK` or a negative status. Any thread, also in callbacks.
 */
CLERK_NODISCARD int32_t clerk_client_invalidate_session(const clerk_client *client, clerk_str session_id);

/**
 * Clears all caches except the JWK set, in all processes that share a cache.
 *
 * Returns `CLERK_OK` or a negative status. Any thread, also in callbacks.
 */
CLERK_NODISCARD int32_t clerk_client_invalidate_all(const clerk_client *client);

/**
 * Clears the caches of this process, the JWK set and the revocations excepted. Other processes, and the shared cache,
 * keep theirs: for a process that may have missed webhooks which another one has received. Never blocks.
 *
 * Returns `CLERK_OK` or a negative status. Any thread, also in callbacks.
 */
CLERK_NODISCARD int32_t clerk_client_clear_cache(const clerk_client *client);

/**
 * Rejects all tokens of a session from now on, for `revocation_ttl_s`, as the webhook event `session.ended` does.
 *
 * Other processes learn of it through the shared cache, see `clerk_client_poll`; without one, revocations are stored in
 * this client only, and `clerk_client_export_revocations` copies them for other processes.
 *
 * Returns `CLERK_OK` or a negative status: `CLERK_E_ARGUMENT` if the string is not a session id. Any thread,
 * also in callbacks.
 */
CLERK_NODISCARD int32_t clerk_client_revoke_session(const clerk_client *client, clerk_str session_id);

/**
 * Rejects all tokens of a Clerk user from now on, for `revocation_ttl_s`, also tokens of sessions that begin later.
 *
 * Returns as `clerk_client_revoke_session` does. Any thread, also in callbacks.
 */
CLERK_NODISCARD int32_t clerk_client_revoke_user(const clerk_client *client, clerk_str clerk_id);

/**
 * Copies all revocations as JSON into `buffer`, followed by a NUL, for `clerk_client_import_revocations` in another
 * process. The JSON contains ids and times, but no tokens.
 *
 * `*needed` receives the length without the NUL. `needed` may be NULL. The length may grow between two calls.
 *
 * Returns `CLERK_OK` or a negative status: `CLERK_E_ARGUMENT` if `capacity` is too small; with a `capacity` of 0,
 * `buffer` may be NULL. `CLERK_E_STATE` in a forked child if a thread of the parent was using them at the fork. Any
 * thread, also in callbacks.
 */
CLERK_NODISCARD
int32_t clerk_client_export_revocations(const clerk_client *client,
                                        char *buffer,
                                        size_t capacity,
                                        size_t *needed);

/**
 * Merges the revocations of another process into those of this client. Each keeps its expiry.
 *
 * Idempotent: an export may be imported repeatedly, and processes may import from each other.
 *
 * Returns `CLERK_OK`, or a negative status and sets `*error`: `CLERK_E_ARGUMENT` if the JSON is malformed or of another
 * version; then nothing is imported. Any thread, also in callbacks.
 */
CLERK_NODISCARD
int32_t clerk_client_import_revocations(const clerk_client *client,
                                        clerk_str json,
                                        clerk_error **error);

/**
 * Applies what other processes have changed: revocations, webhook events and invalidations. Waits at most `timeout_ms`
 * milliseconds for the first change; 0 does not wait.
 *
 * To be called in a loop, on a thread that may wait; or `clerk_client_start_poller` does so. Without it, a revocation
 * by another process takes effect for tokens that are not cached here. While the shared cache cannot be used, a call
 * waits until it is tried again, at most `timeout_ms`. `clerk_client_shutdown` ends a call within half a second.
 *
 * Returns `CLERK_OK`; `CLERK_UNAVAILABLE` if the shared cache cannot be used; or a negative status: `CLERK_E_CONFIG`
 * without the setting `shared_cache`, `CLERK_E_ARGUMENT` for a negative timeout. Runs callbacks. Any thread.
 */
CLERK_NODISCARD int32_t clerk_client_poll(const clerk_client *client, int64_t timeout_ms);

/**
 * Starts a thread that calls `clerk_client_poll` until `clerk_client_shutdown`, or until the client is freed, which
 * waits for it, half a second at most. It is the only thread that the library leaves running, and runs
 * callbacks.
 *
 * Starts none if it is running already. The thread has the signal mask of the caller. A forked child has none; there
 * `clerk_client_warm_up` starts it again. What the thread of the parent was using stays allocated in the child: there
 * `destroy` of callbacks is not called.
 *
 * Returns `CLERK_OK`, or a negative status and sets `*error`: `CLERK_E_CONFIG` without the setting `shared_cache`,
 * `CLERK_E_STATE` if the system has no thread left. Any thread, also in callbacks.
 */
CLERK_NODISCARD int32_t clerk_client_start_poller(const clerk_client *client, clerk_error **error);

/**
 * Cancels all requests to Clerk that are in progress, and stops the poller. Calls that wait return `CLERK_UNAVAILABLE`;
 * in a callback, also the call that runs it, if it still needs Clerk.
 * Sends changes that other processes do not know yet to the shared cache, for at most a second.
 *
 * Call it before the process exits. The client stays usable: later calls connect again.
 *
 * Returns `CLERK_OK` or a negative status. Any thread, also in callbacks.
 */
CLERK_NODISCARD int32_t clerk_client_shutdown(const clerk_client *client);

/**********************************************************************************************************************
 * Section - Metrics
 *
 *     char text[16384];
 *     size_t len = 0;
 *     if (clerk_client_metrics_text(client, text, sizeof text, &len) == CLERK_OK)
 *         fwrite(text, 1, len, stdout);
 **********************************************************************************************************************/

/** The endpoints of Clerk's Backend API that the library calls. */
typedef enum clerk_endpoint CLERK_INT32_ENUM {
    /** `GET /jwks` */
    CLERK_ENDPOINT_JWKS = 0,
    /** `GET /users/{id}` */
    CLERK_ENDPOINT_USERS = 1,
    /** `GET /sessions/{id}` */
    CLERK_ENDPOINT_SESSIONS = 2,
    /** `POST /m2m_tokens/verify` */
    CLERK_ENDPOINT_M2M_TOKENS = 3,
    /** `POST /oauth_applications/access_tokens/verify` */
    CLERK_ENDPOINT_OAUTH_TOKENS = 4,
    /** `POST /api_keys/verify` */
    CLERK_ENDPOINT_API_KEYS = 5,
    /** `GET /clients/handshake_payload` */
    CLERK_ENDPOINT_HANDSHAKE_PAYLOAD = 6,
    /** `POST /sessions/{id}/refresh` */
    CLERK_ENDPOINT_SESSION_REFRESH = 7,
} clerk_endpoint;

/**
 * Returns the name of an endpoint of Clerk, such as "users"; "" for an unknown number.
 *
 * The string is static and never NULL. Any thread.
 */
const char *clerk_endpoint_name(int32_t endpoint);

/** The kind of Clerk's response to a call. */
typedef enum clerk_call_status CLERK_INT32_ENUM {
    /** 2xx */
    CLERK_CALL_STATUS_SUCCESS = 0,
    /** 3xx, and what is not an HTTP status. */
    CLERK_CALL_STATUS_OTHER = 1,
    /** 4xx, except 429. */
    CLERK_CALL_STATUS_CLIENT_ERROR = 2,
    /** 429 */
    CLERK_CALL_STATUS_RATE_LIMITED = 3,
    /** 5xx */
    CLERK_CALL_STATUS_SERVER_ERROR = 4,
    /** No complete response: the connection failed, or the deadline passed. */
    CLERK_CALL_STATUS_NO_RESPONSE = 5,
} clerk_call_status;

/**
 * Returns the name of the status of a call, such as "rate_limited"; "" for an unknown number.
 *
 * The string is static and never NULL. Any thread.
 */
const char *clerk_call_status_name(int32_t status);

/** Whether the engine of the shared cache is used. */
typedef enum clerk_shared_cache_state CLERK_INT32_ENUM {
    /** There is no shared cache. */
    CLERK_SHARED_CACHE_STATE_OFF = 0,
    /** It is used. */
    CLERK_SHARED_CACHE_STATE_AVAILABLE = 1,
    /** It fails and is not used for a while; the process goes on without it. */
    CLERK_SHARED_CACHE_STATE_UNAVAILABLE = 2,
} clerk_shared_cache_state;

/**
 * Returns the name of the state of a shared cache, such as "available"; "" for an unknown number.
 *
 * The string is static and never NULL. Any thread.
 */
const char *clerk_shared_cache_state_name(int32_t state);

/** Counters of a client since it was created. Initialize with `CLERK_STATS_INIT`. */
typedef struct {
    /** `sizeof(clerk_stats)`, set by `CLERK_STATS_INIT`. */
    uint32_t struct_size;
    /** Always 0. */
    uint32_t reserved;
    /** Results from the cache. */
    uint64_t cache_hits;
    /** Tokens that had to be verified. */
    uint64_t cache_misses;
    /** Requests signed in after verification. */
    uint64_t signed_in;
    /** Requests rejected. */
    uint64_t signed_out;
    /** Requests whose result could not be determined. */
    uint64_t unavailable;
    /** Requests for the JWK set. */
    uint64_t jwks_fetches;
    /** Requests for a user. */
    uint64_t user_fetches;
    /** Tokens in the cache now. */
    uint64_t cached_tokens;
    /** Users in the cache now. */
    uint64_t cached_users;
    /** Age of the JWK set in milliseconds; -1 if there is none. */
    int64_t jwks_age_ms;
    /** Requests without a credential. */
    uint64_t no_credentials;
    /** Calls that returned `CLERK_WOULD_BLOCK`. */
    uint64_t would_block;
    /** Requests whose result could not be determined because the user store failed; also counted in `unavailable`. */
    uint64_t store_errors;
    /**
     * Calls to Clerk, each attempt counted, by `clerk_endpoint` and `clerk_call_status`. There is room for later ones.
     */
    uint64_t calls[16][8];
    /** By `clerk_endpoint`: 1 while no calls are sent to it after failures, else 0. */
    uint64_t open_circuits[16];
    /** By `clerk_endpoint`: 1 while no calls are sent to it after a 429, else 0. Also counted in `open_circuits`. */
    uint64_t rate_limited[16];
    /** Users that were found in the shared cache. */
    uint64_t shared_cache_hits;
    /** Users that were looked for in the shared cache and not found. */
    uint64_t shared_cache_misses;
    /** Operations on the shared cache that failed. */
    uint64_t shared_cache_errors;
    /** Entries of the shared cache that were ignored: damaged, of another instance or secret, or replayed. */
    uint64_t shared_cache_rejected;
    /**
     * How long the last change by another process took to be applied here after it was sent, in milliseconds; -1 if
     * there was none. A process that cannot use the shared cache sends its changes later: see `shared_cache_state`.
     */
    int64_t revocation_lag_ms;
    /** `clerk_shared_cache_state`: whether the shared cache is used. */
    int64_t shared_cache_state;
} clerk_stats;

/** Initializes a `clerk_stats`. */
#define CLERK_STATS_INIT                                                                                               \
    {                                                                                                                  \
        sizeof(clerk_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 0, 0, 0, { { 0 } }, { 0 }, { 0 }, 0, 0, 0, 0, -1,       \
            0                                                                                                          \
    }

/**
 * Fills `*stats` up to its `struct_size`.
 *
 * Returns `CLERK_OK` or a negative status: `CLERK_E_STRUCT_SIZE` if `*stats` was not initialized with
 * `CLERK_STATS_INIT`. Any thread, also in callbacks.
 */
CLERK_NODISCARD int32_t clerk_client_stats(const clerk_client *client, clerk_stats *stats);

/**
 * Copies the counters of a client into `buffer` as `clerk_stats_metrics_text` does.
 *
 * Returns `CLERK_OK` or a negative status: `CLERK_E_ARGUMENT` if `capacity` is too small; with a `capacity` of 0,
 * `buffer` may be NULL. Any thread, also in callbacks.
 */
CLERK_NODISCARD
int32_t clerk_client_metrics_text(const clerk_client *client,
                                  char *buffer,
                                  size_t capacity,
                                  size_t *needed);

/**
 * Copies counters into `buffer` in the text exposition format 0.0.4 of Prometheus, followed by a NUL. Its content
 * type is `text/plain; version=0.0.4`.
 *
 * `*needed` receives the length without the NUL. `needed` may be NULL. The length depends on the counters: reserve
 * 16 KiB.
 *
 * Returns `CLERK_OK` or a negative status: `CLERK_E_ARGUMENT` if `capacity` is too small; with a `capacity` of 0,
 * `buffer` may be NULL. Any thread.
 */
CLERK_NODISCARD
int32_t clerk_stats_metrics_text(const clerk_stats *stats,
                                 char *buffer,
                                 size_t capacity,
                                 size_t *needed);

/**
 * Adds the counters of another client, such as that of another process, to `*sum`.
 *
 * `counters_only` other than 0 leaves out what ends with the other client: cached results and users, circuits,
 * ages. Ages are not added: the larger one counts. Begin with a structure from `CLERK_STATS_INIT`.
 *
 * Returns `CLERK_OK` or a negative status: `CLERK_E_STRUCT_SIZE` if a structure was not initialized with
 * `CLERK_STATS_INIT`. One thread at a time for each `sum`.
 */
CLERK_NODISCARD int32_t clerk_stats_add(clerk_stats *sum, const clerk_stats *other, int32_t counters_only);

/**********************************************************************************************************************
 * Section - Request
 *
 *     clerk_header lines[] = { { CLERK_STR("Cookie"), CLERK_STR("__session=eyJ...") } };
 *     clerk_request request = CLERK_REQUEST_INIT;
 *     request.headers = lines;
 *     request.header_count = 1;
 *     request.method = CLERK_STR("GET");
 **********************************************************************************************************************/

/** One header line. */
typedef struct {
    /** The name, in any case. */
    clerk_str name;
    /** The value, as received. */
    clerk_str value;
} clerk_header;

/**
 * The header lines of a request. Initialize with `CLERK_REQUEST_INIT`.
 *
 * Set either `headers` to all lines, or the other members to the values of their lines. A line that is passed both
 * ways counts as two. The library copies what it keeps: nothing has to outlive the call.
 */
typedef struct {
    /** `sizeof(clerk_request)`, set by `CLERK_REQUEST_INIT`. */
    uint32_t struct_size;
    /** Must be 0. */
    uint32_t flags;
    /** `header_count` lines, or NULL. */
    const clerk_header *headers;
    /** Number of lines in `headers`. */
    size_t header_count;
    /** Value of the `Authorization` header, or empty. */
    clerk_str authorization;
    /** Value of the `Cookie` header, or empty. */
    clerk_str cookie;
    /** Method of the request, or empty. */
    clerk_str method;
    /**
     * Value of the `Host` header (or `:authority`), or empty. Needed with `authorization` and `cookie` if the setting
     * `csrf` is on, like the next two.
     */
    clerk_str host;
    /** Value of the `Origin` header, or empty. */
    clerk_str origin;
    /** Value of the `Sec-Fetch-Site` header, or empty. */
    clerk_str sec_fetch_site;
    /**
     * Scheme of the request, "https" or "http", as the browser used it; or empty. The setting `handshake` needs this
     * and the next two, and `host` unless `headers` has the line; without them no request is redirected.
     */
    clerk_str scheme;
    /** Request target: path and query exactly as the browser sent them, beginning with "/"; or empty. */
    clerk_str target;
    /** Value of the `Accept` header, or empty. This and the next two count instead of lines in `headers`. */
    clerk_str accept;
    /** Value of the `Sec-Fetch-Dest` header, or empty. */
    clerk_str sec_fetch_dest;
    /** Value of the `Referer` header, or empty. */
    clerk_str referer;
    /**
     * Value of `clerk_client_mark` when the request began; or 0: it begins with the call. For applications that pass
     * requests to other threads.
     */
    uint64_t mark;
} clerk_request;

/** Initializes a `clerk_request` without header lines. */
#define CLERK_REQUEST_INIT                                                                                             \
    {                                                                                                                  \
        sizeof(clerk_request), 0, NULL, 0, { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { NULL, 0 },            \
        { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, 0                                \
    }

/** Where the token of a request was found. */
typedef enum clerk_token_source CLERK_INT32_ENUM {
    /** There is no credential. */
    CLERK_TOKEN_SOURCE_NONE = 0,
    /** The `Authorization` header. */
    CLERK_TOKEN_SOURCE_HEADER = 1,
    /** A session cookie. */
    CLERK_TOKEN_SOURCE_COOKIE = 2,
} clerk_token_source;

/**
 * Finds the credential of a request, as `clerk_authenticate` would. Verifies nothing and emits no event.
 *
 * Sets `*token` to a slice of the request's own lines, not followed by a NUL; NULL data if there is no credential or
 * it is malformed. Sets `*source` to a `clerk_token_source`. `token` and `source` may be NULL.
 *
 * Returns `CLERK_OK` or a negative status. Any thread, also in callbacks.
 */
CLERK_NODISCARD
int32_t clerk_request_credential(const clerk_client *client,
                                 const clerk_request *request,
                                 clerk_str *token,
                                 int32_t *source);

/**
 * Returns a mark of this moment, for `mark` of a `clerk_request` that another thread will authenticate. A user that
 * Clerk returns after it counts as fetched for that request: requests that begin together share one fetch.
 *
 * Returns 0 if `client` is NULL. Any thread, also in callbacks.
 */
uint64_t clerk_client_mark(const clerk_client *client);

/**********************************************************************************************************************
 * Section - Authenticate
 *
 *     clerk_request request = CLERK_REQUEST_INIT;
 *     clerk_result *result = NULL;
 *     request.authorization = clerk_str_of(authorization); // "Bearer eyJ..."
 *     if (clerk_authenticate(client, &request, &result, NULL) == CLERK_OK)
 *         printf("signed in: %s\n", clerk_result_user_id(result).data);
 *     else
 *         printf("not signed in: %s\n", clerk_result_reason_name(result));
 *     clerk_result_free(result);
 **********************************************************************************************************************/

/**
 * The outcome of an authentication. Immutable; any thread may read it. Its strings live until it is freed, also after
 * the client was freed. The caller frees it, once.
 */
typedef struct clerk_result clerk_result;

/**
 * Authenticates a request. Blocks for at most `timeout_ms` while it fetches keys and users.
 *
 * Calls the user store, event, log and clock callbacks on this thread.
 *
 * Returns `CLERK_OK` if and only if the request is signed in. `CLERK_SIGNED_OUT`, `CLERK_NO_CREDENTIALS` and
 * `CLERK_UNAVAILABLE` also set `*result`; a negative status sets it to NULL. The caller frees `*result` with
 * `clerk_result_free`. `*error` is set for `CLERK_UNAVAILABLE` and negative statuses: `CLERK_E_FORKED` after a
 * `fork`, `CLERK_E_REENTRANT` in a callback of the same client. Any thread.
 */
CLERK_NODISCARD
int32_t clerk_authenticate(const clerk_client *client,
                           const clerk_request *request,
                           clerk_result **result,
                           clerk_error **error);

/**
 * Authenticates a request from the cache. Never blocks: no request to Clerk, no user store. For event loops.
 *
 * Verifies a token that is not in the cache if its key is cached and no user has to be looked up. With a user store,
 * there is a result only if the user's row was confirmed less than `row_check_ttl_s` ago by a call that may block. The
 * default is 0, with which there is none: for an event loop set it, for example to 5. After the application has changed
 * a row, `clerk_client_invalidate_user` makes the change take effect at once.
 *
 * Returns `CLERK_WOULD_BLOCK` without a result if more is needed: then call `clerk_authenticate` or
 * `clerk_authenticate_begin` on a thread that may block. Otherwise returns as `clerk_authenticate` does, and the
 * caller frees `*result`. Any thread, also in callbacks.
 */
CLERK_NODISCARD
int32_t clerk_authenticate_cached(const clerk_client *client,
                                  const clerk_request *request,
                                  clerk_result **result);

/**
 * Verifies one JWT: fetches no user, queries no user store, caches nothing, emits no event. Blocks for at most
 * `timeout_ms` if keys are fetched.
 *
 * Rejects tokens of users and sessions that this client has recorded as deleted, banned or revoked.
 *
 * Returns as `clerk_authenticate` does; the caller frees `*result`. Any thread.
 */
CLERK_NODISCARD
int32_t clerk_verify_token(const clerk_client *client,
                           clerk_str token,
                           clerk_result **result,
                           clerk_error **error);

/**********************************************************************************************************************
 * Section - Result
 *
 *     if (clerk_result_status(result) != CLERK_OK)
 *         printf("HTTP %d: %s\n", clerk_result_http_status(result), clerk_result_public_reason(result));
 *     else if (clerk_result_has(result, CLERK_CHECK_PERMISSION, CLERK_STR("org:invoices:create")) == 0)
 *         printf("HTTP 403\n");
 *     else
 *         printf("%s\n", clerk_result_get(result, CLERK_ATTRIBUTE_ORG_ID).data);
 **********************************************************************************************************************/

/**
 * Why a request was not signed in. The names are those of Clerk's SDKs where they have one.
 *
 * Numbers are never reused and never change. A reason never contains data of a token, a response or an error.
 */
typedef enum clerk_reason CLERK_INT32_ENUM {
    /** The request has neither an `Authorization: Bearer` header nor a session cookie. */
    CLERK_REASON_SESSION_TOKEN_MISSING = 1,
    /** The credential or the token is malformed or unsupported, or a claim has the wrong type. */
    CLERK_REASON_TOKEN_INVALID = 2,
    /** No key of this instance verifies the signature. */
    CLERK_REASON_TOKEN_INVALID_SIGNATURE = 3,
    /** `exp` plus the clock skew has passed. */
    CLERK_REASON_TOKEN_EXPIRED = 4,
    /** `nbf` is in the future. */
    CLERK_REASON_TOKEN_NOT_ACTIVE_YET = 5,
    /** `iat` is in the future. */
    CLERK_REASON_TOKEN_IAT_IN_THE_FUTURE = 6,
    /** `azp` is missing or not among the authorized parties. */
    CLERK_REASON_TOKEN_INVALID_AUTHORIZED_PARTIES = 7,
    /** `aud` is missing or names none of the configured audiences. */
    CLERK_REASON_TOKEN_INVALID_AUDIENCE = 8,
    /** `iss` is not among the configured issuers. */
    CLERK_REASON_TOKEN_INVALID_ISSUER = 9,
    /** The type of the token is not accepted, for example an OAuth token where only session tokens are. */
    CLERK_REASON_TOKEN_TYPE_NOT_SUPPORTED = 10,
    /** No key of this instance has the token's key id. */
    CLERK_REASON_JWK_KID_MISMATCH = 11,
    /** No verification key is configured for this token. */
    CLERK_REASON_JWK_FAILED_TO_RESOLVE = 12,
    /** The JWK set could not be fetched. */
    CLERK_REASON_JWK_FAILED_TO_LOAD = 13,
    /** The fetched document is not a valid JWK set. */
    CLERK_REASON_JWK_REMOTE_INVALID = 14,
    /** Clerk rejects the secret key. */
    CLERK_REASON_SECRET_KEY_INVALID = 15,
    /** The Backend API is unavailable, rate-limited, or sends an unexpected response. */
    CLERK_REASON_SERVER_ERROR = 16,
    /** The user does not exist at Clerk. */
    CLERK_REASON_USER_NOT_FOUND = 17,
    /** The user is banned at Clerk, or inactive in the application's user table. */
    CLERK_REASON_USER_INACTIVE = 18,
    /** The session has pending tasks (`sts: pending`). */
    CLERK_REASON_SESSION_PENDING = 19,
    /** The session has ended or was revoked. */
    CLERK_REASON_SESSION_REVOKED = 20,
    /** The user's row is ambiguous or belongs to another Clerk user. */
    CLERK_REASON_LINK_CONFLICT = 21,
    /** The user store failed. */
    CLERK_REASON_STORE_ERROR = 22,
    /** `check_client_uat`: no session cookie, and the browser is signed out. */
    CLERK_REASON_SESSION_TOKEN_AND_UAT_MISSING = 23,
    /** `check_client_uat`: a session cookie, but the browser is signed out. */
    CLERK_REASON_SESSION_TOKEN_BUT_NO_CLIENT_UAT = 24,
    /** `check_client_uat`: the browser is signed in, but there is no session cookie. */
    CLERK_REASON_CLIENT_UAT_BUT_NO_SESSION_TOKEN = 25,
    /** `check_client_uat`: the token was issued before the browser's last sign-in or sign-out. */
    CLERK_REASON_SESSION_TOKEN_IAT_BEFORE_CLIENT_UAT = 26,
    /** Internal error of this library. */
    CLERK_REASON_INTERNAL_ERROR = 27,
    /** `csrf`: a cookie on an unsafe method, without evidence that the request comes from the same origin. */
    CLERK_REASON_CSRF_FAILED = 28,
    /** `handshake`: the address carries a development browser, which has to be passed on to Clerk. */
    CLERK_REASON_DEV_BROWSER_SYNC = 29,
    /** `handshake`: a browser that the development instance does not know. */
    CLERK_REASON_DEV_BROWSER_MISSING = 30,
    /** `handshake`: a satellite has to ask the primary domain whether the browser is signed in. */
    CLERK_REASON_SATELLITE_NEEDS_SYNCING = 31,
    /** `handshake`: a satellite asks the primary domain of a development instance. */
    CLERK_REASON_PRIMARY_RESPONDS_TO_SYNCING = 32,
    /** `cross_origin_sync`: the visitor follows a link from another site. */
    CLERK_REASON_PRIMARY_DOMAIN_CROSS_ORIGIN_SYNC = 33,
    /** `organization_patterns`: the path belongs to another organization than the active one. */
    CLERK_REASON_ACTIVE_ORGANIZATION_MISMATCH = 34,
    /** `shared_cache_required`: the shared cache cannot be used. */
    CLERK_REASON_SHARED_CACHE_UNAVAILABLE = 35,
} clerk_reason;

/** The category of a reason; it determines the HTTP status. */
typedef enum clerk_category CLERK_INT32_ENUM {
    /** No credential was presented. The application may continue with a session of its own. */
    CLERK_CATEGORY_NO_CREDENTIALS = 1,
    /** The credential was rejected: 401. */
    CLERK_CATEGORY_INVALID_TOKEN = 2,
    /** The user is known and has no access: 403. */
    CLERK_CATEGORY_FORBIDDEN = 3,
    /** The server is misconfigured, for example with a rejected secret key: 500. */
    CLERK_CATEGORY_MISCONFIGURED = 4,
    /** The result cannot be determined: 503, retry later. */
    CLERK_CATEGORY_UNAVAILABLE = 5,
} clerk_category;

/**
 * Returns the status of the authentication: `CLERK_OK`, `CLERK_SIGNED_OUT`, `CLERK_NO_CREDENTIALS` or
 * `CLERK_UNAVAILABLE`; `CLERK_E_NULL` for NULL. Any thread.
 */
CLERK_NODISCARD int32_t clerk_result_status(const clerk_result *result);

/** Returns why the request is not signed in, a `clerk_reason`; 0 if it is. Any thread. */
int32_t clerk_result_reason(const clerk_result *result);

/**
 * Returns the name of the reason, such as "token-expired", for the log; "" if the request is signed in.
 *
 * The string is static and never NULL. Send `clerk_result_public_reason` to clients instead. Any thread.
 */
const char *clerk_result_reason_name(const clerk_result *result);

/**
 * Returns the reason in a form that may be sent to clients; "" if the request is signed in.
 *
 * The name of the reason for 401 and 403. For 500 and 503, and for NULL, the name of its category: "misconfigured" or
 * "unavailable", because the reason describes the server. The string is static and never NULL. Any thread.
 */
const char *clerk_result_public_reason(const clerk_result *result);

/**
 * Returns the HTTP status to respond with: 200, 401, 403, 500 or 503; 307 with `clerk_result_redirect`; 500 for NULL.
 * Any thread.
 */
int32_t clerk_result_http_status(const clerk_result *result);

/** Returns how many milliseconds to wait before the next attempt, for `Retry-After`; -1 if unknown. Any thread. */
int64_t clerk_result_retry_after_ms(const clerk_result *result);

/**
 * Copies the value of a `WWW-Authenticate` header (RFC 6750) for a 401 or 403 into `buffer`, followed by a NUL.
 *
 * The value has no `error` if no credential was presented; else `invalid_token` or `insufficient_scope`. `realm` may be
 * empty.
 *
 * Returns as `clerk_result_claim` does; `CLERK_E_NOT_FOUND` if the HTTP status is neither 401 nor 403. Any thread.
 */
CLERK_NODISCARD
int32_t clerk_result_www_authenticate(const clerk_result *result,
                                      clerk_str realm,
                                      char *buffer,
                                      size_t capacity,
                                      size_t *needed);

/**
 * Returns 1 if Clerk's frontend libraries would resolve this request with a handshake (a redirect to Clerk and back);
 * else 0. Any thread.
 */
int32_t clerk_result_handshake_recommended(const clerk_result *result);

/**
 * Returns 1 if the request showed no token, so that an application that serves anonymous requests may serve this one:
 * without credentials, and with the setting `handshake` on also where no session cookie was read, for which the status
 * is `CLERK_SIGNED_OUT`; else 0. Call `clerk_result_redirect` first: such a request may be redirected. Any thread.
 */
int32_t clerk_result_is_anonymous(const clerk_result *result);

/**
 * Reads where to redirect the browser, with the setting `handshake` on: the value of `Location` for a 307.
 *
 * To be called before the status is looked at: a request that is signed in may be redirected, too, to remove Clerk's
 * response from the address. An application that does not redirect serves or refuses the request by its status as
 * usual. With a redirect, also send the `Set-Cookie` lines and `clerk_result_cache_control`.
 *
 * Returns `CLERK_OK` and sets `*url`, or `CLERK_E_NOT_FOUND` if there is no redirect, or another negative status. The
 * string is printable ASCII, is followed by a NUL and lives as long as the result. Do not log it: it may hold a token.
 * Any thread.
 */
CLERK_NODISCARD int32_t clerk_result_redirect(const clerk_result *result, clerk_str *url);

/**
 * Returns the number of `Set-Cookie` lines that belong to the response; 0 for NULL.
 *
 * There may be some with any status: a browser that was signed out elsewhere has its cookies removed. Any thread.
 */
size_t clerk_result_set_cookie_count(const clerk_result *result);

/**
 * Reads the value of a `Set-Cookie` line; `index` is less than `clerk_result_set_cookie_count`.
 *
 * Add each line to the response by itself, in this order, whatever the status is; do not join them.
 *
 * Returns `CLERK_OK` and sets `*line`, or `CLERK_E_NOT_FOUND` if there is no such line, or another negative status.
 * The string is printable ASCII, is followed by a NUL and lives as long as the result. Any thread.
 */
CLERK_NODISCARD int32_t clerk_result_set_cookie(const clerk_result *result, size_t index, clerk_str *line);

/**
 * Reads the value of a `Cache-Control` line to be added to the response: "no-store" with a redirect or cookies.
 *
 * Returns `CLERK_OK` and sets `*value`, or `CLERK_E_NOT_FOUND` if there is none, or another negative status. The
 * string is static and followed by a NUL. Any thread.
 */
CLERK_NODISCARD int32_t clerk_result_cache_control(const clerk_result *result, clerk_str *value);

/**
 * Returns the name of a reason, such as "token-expired"; "" for an unknown number.
 *
 * The string is static and never NULL. Any thread.
 */
const char *clerk_reason_name(int32_t reason);

/** Returns the `clerk_category` of a reason; 0 for an unknown number. Any thread. */
int32_t clerk_reason_category(int32_t reason);

/**
 * Returns the name of a category, such as "invalid_token"; "" for an unknown number.
 *
 * The string is static and never NULL. Any thread.
 */
const char *clerk_category_name(int32_t category);

/** Where a result came from. */
typedef enum clerk_source CLERK_INT32_ENUM {
    /** The token was verified earlier, and the result was cached. */
    CLERK_SOURCE_CACHE = 1,
    /** The token was verified by this call. */
    CLERK_SOURCE_VERIFIED = 2,
} clerk_source;

/** The types of tokens that Clerk issues. */
typedef enum clerk_token_kind CLERK_INT32_ENUM {
    /** A signed-in user's short-lived session JWT. */
    CLERK_TOKEN_KIND_SESSION_TOKEN = 1,
    /** An opaque API key, `ak_…`. */
    CLERK_TOKEN_KIND_API_KEY = 2,
    /** An OAuth access token, `oat_…` or an `at+jwt` JWT. */
    CLERK_TOKEN_KIND_OAUTH_TOKEN = 3,
    /** A machine-to-machine token, `mt_…` or a JWT whose subject is a machine. */
    CLERK_TOKEN_KIND_M2M_TOKEN = 4,
} clerk_token_kind;

/** The attributes of an identity. */
typedef enum clerk_attribute CLERK_INT32_ENUM {
    /** `sub`: the Clerk user, or the machine. */
    CLERK_ATTRIBUTE_SUBJECT = 0,
    /** The application's key of the user's row. */
    CLERK_ATTRIBUTE_USER_KEY = 1,
    /** `sid` */
    CLERK_ATTRIBUTE_SESSION_ID = 2,
    /** `sts` */
    CLERK_ATTRIBUTE_SESSION_STATUS = 3,
    /** `iss` */
    CLERK_ATTRIBUTE_ISSUER = 4,
    /** `azp` */
    CLERK_ATTRIBUTE_AUTHORIZED_PARTY = 5,
    /** The active organization's id. */
    CLERK_ATTRIBUTE_ORG_ID = 6,
    /** The active organization's slug. */
    CLERK_ATTRIBUTE_ORG_SLUG = 7,
    /** The role in the active organization, with the prefix `org:`. */
    CLERK_ATTRIBUTE_ORG_ROLE = 8,
    /** The permissions in the active organization, separated by commas. */
    CLERK_ATTRIBUTE_ORG_PERMISSIONS = 9,
    /** `fea` */
    CLERK_ATTRIBUTE_FEATURES = 10,
    /** `pla` */
    CLERK_ATTRIBUTE_PLANS = 11,
    /** `sub` of `act`: the impersonator. */
    CLERK_ATTRIBUTE_ACTOR = 12,
    /** Id of a machine token (`jti` of a JWT). */
    CLERK_ATTRIBUTE_TOKEN_ID = 13,
    /** The OAuth application. */
    CLERK_ATTRIBUTE_CLIENT_ID = 14,
    /** Scopes of a machine token, separated by spaces. */
    CLERK_ATTRIBUTE_SCOPES = 15,
    /** The claims as JSON. */
    CLERK_ATTRIBUTE_CLAIMS = 16,
    /** The user's primary e-mail address if Clerk has verified it, in `profile` and `sync` mode. */
    CLERK_ATTRIBUTE_EMAIL = 17,
    /** The username. */
    CLERK_ATTRIBUTE_USERNAME = 18,
    /** The first name. */
    CLERK_ATTRIBUTE_FIRST_NAME = 19,
    /** The last name. */
    CLERK_ATTRIBUTE_LAST_NAME = 20,
    /** The URL of the profile image. */
    CLERK_ATTRIBUTE_IMAGE_URL = 21,
    /** `external_id`: the application's id of the user, stored at Clerk. */
    CLERK_ATTRIBUTE_EXTERNAL_ID = 22,
    /** The name of an API key. */
    CLERK_ATTRIBUTE_TOKEN_NAME = 23,
} clerk_attribute;

/** What `clerk_result_has` checks. */
typedef enum clerk_check CLERK_INT32_ENUM {
    /** A role in the active organization: `org:admin`, or without the prefix. */
    CLERK_CHECK_ROLE = 1,
    /** A permission in the active organization: `org:invoices:create`, or without the prefix. */
    CLERK_CHECK_PERMISSION = 2,
    /** A feature. The prefix `org:` or `user:` restricts it to the organization's or the user's. */
    CLERK_CHECK_FEATURE = 3,
    /** A plan. The prefix is as for a feature. */
    CLERK_CHECK_PLAN = 4,
    /**
     * A recent verification: `strict_mfa`, `strict`, `moderate`, `lax`, or a level and an age in minutes, such as
     * `first_factor:10` (levels: `first_factor`, `second_factor`, `multi_factor`).
     */
    CLERK_CHECK_REVERIFICATION = 5,
} clerk_check;

/** Returns where the result came from, a `clerk_source`; 0 if the request is not signed in. Any thread. */
int32_t clerk_result_source(const clerk_result *result);

/**
 * Returns the hash of the request's token, as events have it: `clerk:auth:` and the SHA-256 in hexadecimal digits.
 *
 * Also for a request that is not signed in; NULL data if it carries no token or a malformed credential. The string
 * lives as long as the result. Any thread.
 */
clerk_str clerk_result_token_hash(const clerk_result *result);

/** Returns the type of the token, a `clerk_token_kind`; 0 if the request is not signed in. Any thread. */
int32_t clerk_result_token_kind(const clerk_result *result);

/**
 * Returns the id of the Clerk user, `user_…`; NULL data for a machine or if the request is not signed in.
 *
 * The string lives as long as the result. Any thread.
 */
clerk_str clerk_result_user_id(const clerk_result *result);

/**
 * Returns the application's key of the user's row, with a user store; else NULL data.
 *
 * The string lives as long as the result. Any thread.
 */
clerk_str clerk_result_user_key(const clerk_result *result);

/**
 * Returns the id of the session, `sess_…`; NULL data if the token has none.
 *
 * The string lives as long as the result. Any thread.
 */
clerk_str clerk_result_session_id(const clerk_result *result);

/**
 * Returns when the token expires, in milliseconds since 1970-01-01 UTC; 0 if it does not expire or the request is not
 * signed in. Any thread.
 */
int64_t clerk_result_expires_at_ms(const clerk_result *result);

/**
 * Returns a string attribute, a `clerk_attribute`; NULL data if there is none or the request is not signed in.
 *
 * The string lives as long as the result. Any thread.
 */
clerk_str clerk_result_get(const clerk_result *result, int32_t which);

/**
 * Copies one claim as JSON into `buffer`, followed by a NUL.
 *
 * `path` is the name of a claim, or a JSON Pointer (RFC 6901) such as `/o/id`. `*needed` receives the length without
 * the NUL. `needed` may be NULL.
 *
 * Returns `CLERK_OK` or a negative status: `CLERK_E_NOT_FOUND`, or `CLERK_E_ARGUMENT` if `capacity` is too small.
 * With a `capacity` of 0, `buffer` may be NULL. Any thread.
 */
CLERK_NODISCARD
int32_t clerk_result_claim(const clerk_result *result,
                           clerk_str path,
                           char *buffer,
                           size_t capacity,
                           size_t *needed);

/**
 * Returns all claims as a JSON object; NULL data if there are none.
 *
 * The string lives as long as the result. Any thread.
 */
clerk_str clerk_result_claims_json(const clerk_result *result);

/**
 * Checks an authorization of the user's session. `check` is a `clerk_check`.
 *
 * Returns 1 if the check passes. Returns 0 otherwise, also for an unknown check, an invalid value, a machine token
 * and a request that is not signed in. Combine several checks with `&&`. Any thread.
 */
int32_t clerk_result_has(const clerk_result *result, int32_t check, clerk_str value);

/**
 * Reads how many minutes ago the first and the second factor were verified; -1 means never.
 *
 * Returns 1 and sets `*first` and `*second`, either of which may be NULL; returns 0 and sets neither if the token
 * has no claim `fva`. Any thread.
 */
int32_t clerk_result_factor_verification_age(const clerk_result *result, int64_t *first, int64_t *second);

/**
 * Returns the name of a source, "cache" or "verified"; "" for an unknown number.
 *
 * The string is static and never NULL. Any thread.
 */
const char *clerk_source_name(int32_t source);

/**
 * Returns the name of a token type, such as "session_token"; "" for an unknown number.
 *
 * The string is static and never NULL. Any thread.
 */
const char *clerk_token_kind_name(int32_t kind);

/** Frees a result. NULL is ignored. Any thread. */
void clerk_result_free(clerk_result *result);

/**********************************************************************************************************************
 * Section - Explanation
 *
 *     clerk_explanation *explanation = NULL;
 *     if (clerk_explain(client, token, &explanation, NULL) == CLERK_OK)
 *         printf("%s\n", clerk_explanation_text(explanation).data);
 *     clerk_explanation_free(explanation);
 **********************************************************************************************************************/

/**
 * Why a token is accepted or rejected, check by check. Immutable; any thread may read it. The caller frees it, once.
 */
typedef struct clerk_explanation clerk_explanation;

/**
 * Explains why a token is accepted or rejected, check by check, without trusting it. The token may be any bytes.
 *
 * For operators and tests; it must not be sent to clients. It contains neither the token nor its signature; values of
 * the token are truncated and escaped. It rests on what is in memory: no request is sent, the user store is not
 * queried, and no event is emitted. If the JWK set was not fetched yet, the signature is not checked: call
 * `clerk_client_warm_up` first.
 *
 * Returns `CLERK_OK` and sets `*explanation`, which the caller frees with `clerk_explanation_free`, also for a token
 * that is rejected. Otherwise returns a negative status, sets `*explanation` to NULL and sets `*error`. Any thread,
 * also in callbacks.
 */
CLERK_NODISCARD
int32_t clerk_explain(const clerk_client *client,
                      clerk_str token,
                      clerk_explanation **explanation,
                      clerk_error **error);

/**
 * Returns the explanation as a JSON object; NULL data for NULL.
 *
 * Its members: `rejected`, a boolean; `reason`, the name of a `clerk_reason` or null; `summary`, the failure that
 * decides, as in the log at debug level; `kind`, the name of a `clerk_token_kind` or null; `verified`, whether the
 * signature was verified: if not, a token that no check rejects may be forged; `checks`, an array in the order of
 * verification. A check has `name`, `status` (`ok`, `failed` or `skipped`), `expected` and `found`; if it failed
 * `failure`, and if there is one `hint`. The string lives as long as the explanation. Any thread.
 */
clerk_str clerk_explanation_json(const clerk_explanation *explanation);

/**
 * Returns the explanation as text for people, one line for each check; NULL data for NULL.
 *
 * The string lives as long as the explanation. Any thread.
 */
clerk_str clerk_explanation_text(const clerk_explanation *explanation);

/** Frees an explanation. NULL is ignored. Any thread. */
void clerk_explanation_free(clerk_explanation *explanation);

/**********************************************************************************************************************
 * Section - User store
 *
 * The library finds, creates and updates the row of each user in the application's own table: through a callback, or
 * asynchronously (next section). Or it stores the users in an SQLite database of its own.
 *
 * Several processes may use one table: an update has conditions, which must be part of its statement; if no row meets
 * them, the outcome is CLERK_STORE_CONFLICT. A column for CLERK_UPDATED_AT_MS, a 64-bit integer or NULL, prevents that
 * a process overwrites newer data with older.
 *
 *     static int32_t execute(void *userdata, const clerk_store_request *request, clerk_store_response *response)
 *     {
 *         int32_t status = CLERK_STORE_OK;
 *         (void)userdata; // the connection to the database
 *         switch (clerk_store_request_get_kind(request)) {
 *         case CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID: // SELECT id, clerk_id FROM account WHERE clerk_id = :value
 *             status = clerk_store_response_add_row(response, CLERK_STR("42"));
 *             if (status == CLERK_OK)
 *                 status = clerk_store_response_set_string_column(response, CLERK_COLUMN_CLERK_ID,
 *                                                                 clerk_store_request_value(request));
 *             return status;
 *         case CLERK_STORE_REQUEST_KIND_UPDATE:
 *             // UPDATE account SET ... WHERE id = :key AND (NOT :only_if_unlinked OR clerk_id IS NULL)
 *             //     AND (:max_version IS NULL OR updated_at IS NULL OR updated_at <= :max_version)
 *             //     AND (NOT :only_if_active OR is_active)
 *             //     AND (NOT :only_if_banned OR (banned_by_clerk AND NOT is_active))
 *             return CLERK_STORE_CONFLICT; // if no row was updated
 *         case CLERK_STORE_REQUEST_KIND_BEGIN:
 *         case CLERK_STORE_REQUEST_KIND_COMMIT:
 *         case CLERK_STORE_REQUEST_KIND_ROLLBACK:
 *             return CLERK_STORE_DECLINE; // no transactions
 *         default:
 *             return -1; // examples/accounts.h executes all requests
 *         }
 *     }
 *
 *     static int32_t attach(clerk_config *config)
 *     {
 *         return clerk_config_set_user_store(config, execute, NULL, NULL);
 *     }
 **********************************************************************************************************************/

/**
 * The kind of a store request, and the next action of a `clerk_pending`.
 *
 * "value" and "key" are `clerk_store_request_value` and `clerk_store_request_key`. A query without a match gets an
 * empty response.
 */
typedef enum clerk_store_request_kind CLERK_INT32_ENUM {
    /** Only from `clerk_pending_next_action`: nothing is left to do. */
    CLERK_STORE_REQUEST_KIND_DONE = 0,
    /** Find the row with this key. Respond with `clerk_store_response_add_row`. */
    CLERK_STORE_REQUEST_KIND_FIND_BY_KEY = 1,
    /** Find the row of the Clerk user with the id in "value", compared exactly. Respond as above. */
    CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID = 2,
    /**
     * Find the rows with the e-mail address in "value", compared case-insensitively, at least two if there are several:
     * first those that the application has deactivated. Respond as above.
     */
    CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL = 3,
    /**
     * Check whether a row other than "key" has the username in "value", compared case-insensitively. Respond with
     * `clerk_store_response_set_username_taken`.
     */
    CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN = 4,
    /**
     * Insert a row with the given columns. Respond with `clerk_store_response_set_created_key`, or with the whole row
     * if the application stores other values, for example `IS_ACTIVE` 0 until an approval.
     */
    CLERK_STORE_REQUEST_KIND_CREATE = 5,
    /**
     * Update the given columns of the row "key", in one statement with the conditions
     * `clerk_store_request_only_if_unlinked`, `clerk_store_request_max_version`, `clerk_store_request_only_if_active`
     * and `clerk_store_request_only_if_banned`. Respond with nothing, or with the whole row. Return
     * `CLERK_STORE_CONFLICT` if no row was updated.
     */
    CLERK_STORE_REQUEST_KIND_UPDATE = 6,
    /**
     * Only to a callback: begin a transaction, `CREATE` or `UPDATE` follows. Return `CLERK_STORE_DECLINE` if the
     * store has no transactions.
     */
    CLERK_STORE_REQUEST_KIND_BEGIN = 7,
    /** Only to a callback: commit the transaction. */
    CLERK_STORE_REQUEST_KIND_COMMIT = 8,
    /**
     * Only to a callback: roll the transaction back, after a failed change or a failed `COMMIT`. Not sent after a
     * failed `BEGIN`.
     */
    CLERK_STORE_REQUEST_KIND_ROLLBACK = 9,
    /** Only from `clerk_pending_next_action`: call `clerk_pending_fetch`. */
    CLERK_STORE_REQUEST_KIND_FETCH_USER = 10,
} clerk_store_request_kind;

/** A column of the application's user table. */
typedef enum clerk_column CLERK_INT32_ENUM {
    /** String, unique: the id of the Clerk user that the row is linked to. */
    CLERK_COLUMN_CLERK_ID = 0,
    /** String or NULL. */
    CLERK_COLUMN_EMAIL = 1,
    /** String, unique, compared case-insensitively. */
    CLERK_COLUMN_USERNAME = 2,
    /** String, never NULL. */
    CLERK_COLUMN_FIRST_NAME = 3,
    /** String, never NULL. */
    CLERK_COLUMN_LAST_NAME = 4,
    /** String or NULL. */
    CLERK_COLUMN_IMAGE_URL = 5,
    /** Integer or NULL: milliseconds since 1970-01-01 UTC. */
    CLERK_COLUMN_LAST_ACTIVE_AT_MS = 6,
    /** Integer: 0 or 1. A row with 0 is rejected. */
    CLERK_COLUMN_IS_ACTIVE = 7,
    /** Integer: 1 if the row is inactive because of a ban at Clerk, 0 if the application deactivated it. */
    CLERK_COLUMN_BANNED_BY_CLERK = 8,
    /**
     * Integer or NULL: the version of the Clerk user that the row was last written from, in milliseconds since
     * 1970-01-01 UTC. Optional: without it, rows are written only from a user that was just fetched.
     */
    CLERK_COLUMN_CLERK_UPDATED_AT_MS = 9,
} clerk_column;

/**
 * What a user store callback returns, and what `clerk_pending_submit` takes.
 *
 * A negative number is an error code of the application.
 */
typedef enum clerk_store_status CLERK_INT32_ENUM {
    /** The request was executed. The response contains its outcome. */
    CLERK_STORE_OK = 0,
    /** The store has no transactions. Only for `BEGIN`, `COMMIT` and `ROLLBACK`. */
    CLERK_STORE_DECLINE = 1,
    /**
     * A unique constraint was violated, or an `UPDATE` matched no row. Only for `CREATE` and `UPDATE`. The row is
     * looked up again.
     */
    CLERK_STORE_CONFLICT = 2,
} clerk_store_status;

/** A query or change of the application's user table. Valid during the callback, or until `clerk_pending_submit`. */
typedef struct clerk_store_request clerk_store_request;

/** The outcome of a store request. All strings are copied. One thread at a time. */
typedef struct clerk_store_response clerk_store_response;

/**
 * Executes a store request and fills the response.
 *
 * Returns a `clerk_store_status`, or a negative error code of the application (for example a negated code of the
 * database): then the request is not signed in, and `clerk_error_store_code` returns the code.
 *
 * Runs on the thread of the call that needs it, several at once, with no lock held. Two calls for the same user may
 * run at the same time.
 */
typedef int32_t (*clerk_user_store_fn)(void *userdata,
                                       const clerk_store_request *request,
                                       clerk_store_response *response);

/**
 * Sets the user store callback. NULL removes it.
 *
 * The config takes ownership of `userdata`, also when the call fails: `destroy`, which may be NULL, frees it.
 *
 * Returns `CLERK_OK` or a negative status. One thread at a time.
 */
CLERK_NODISCARD
int32_t clerk_config_set_user_store(clerk_config *config,
                                    clerk_user_store_fn function,
                                    void *userdata,
                                    clerk_destroy_fn destroy);

/**
 * Sets which columns the application's user table has: the sum of `1 << clerk_column` for each. Default: all but
 * `CLERK_UPDATED_AT_MS`.
 *
 * Without `CLERK_ID`, rows are found by verified e-mail addresses only. Without `BANNED_BY_CLERK`, a row stays
 * inactive when a ban at Clerk is lifted. Without `CLERK_UPDATED_AT_MS`, webhooks fetch the user before they change a
 * row, except to deactivate it.
 *
 * Returns `CLERK_OK` or a negative status: `CLERK_E_ARGUMENT` for an unknown column, or if both `CLERK_ID` and
 * `EMAIL` are missing. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_config_set_user_columns(clerk_config *config, uint32_t columns);

/**
 * Sets the maximum length of a string column, a `clerk_column`, in characters; 0, the default, means no limit.
 *
 * Names are truncated. E-mail addresses and image URLs that are too long are omitted. `FIRST_NAME` and `LAST_NAME`
 * share one limit; that of `USERNAME` is at least 8.
 *
 * Returns `CLERK_OK` or a negative status: `CLERK_E_ARGUMENT` for another column or limit. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_config_set_user_column_length(clerk_config *config, int32_t column, uint32_t characters);

/**
 * Stores users in the table `clerk_user` of the SQLite database at `path`, instead of calling a user store callback.
 *
 * Creates the database, readable by its owner only, if it does not exist, and closes it again; clients open it at
 * their first use. Symbolic links and a relative path are resolved now. A database without other tables is used in
 * WAL mode; the journal mode of the application's own database stays as it is. `path` is UTF-8 and is copied.
 *
 * No other copy of SQLite in this process may open the database: locks belong to the process, so that two copies do
 * not see each other's, and the file is corrupted. The shared library uses the SQLite library of the system, so an
 * application that uses that, too, may open the database as well. The archive and the bindings contain a copy: then
 * only other processes may open it, and the functions fail once they find it opened by another copy.
 *
 * No connection is open across `fork`: idle ones are closed before it, and those in use are waited for, at most 250
 * ms. If one is open all the same, requests of the child are unavailable, because it would lose rows. The
 * application's own connections must be closed before a fork as well.
 *
 * Returns `CLERK_OK`, or a negative status and sets `*error`: `CLERK_E_CONFIG` if the database cannot be opened. One
 * thread at a time.
 */
CLERK_NODISCARD int32_t clerk_config_set_sqlite_path(clerk_config *config, clerk_str path, clerk_error **error);

/**
 * Stores users in the table `clerk_user` of the database at `url`, instead of calling a user store callback:
 * `sqlite:path`, `postgres://user:password@host/database` or `mysql://user:password@host/database`.
 *
 * The same as `clerk_config_set` with the setting `database`. `clerk_client_new` connects to the database, creates or
 * migrates the table and checks it, within `timeout_ms`. Later, calls use at most `pool_size` connections (8, unless
 * the URL has the parameter), opened when they are needed and not carried across `fork`. TLS with a verified
 * certificate is required unless the URL's `sslmode` permits less. `sqlite:path` is opened as
 * `clerk_config_set_sqlite_path` does. `url` is UTF-8 and is copied; no message contains it.
 *
 * Returns `CLERK_OK`, or a negative status and sets `*error`: `CLERK_E_CONFIG` for a scheme that is unknown or that
 * this library was built without. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_config_set_database(clerk_config *config, clerk_str url, clerk_error **error);

/**
 * Copies the SQLite database at `path`, which may be in use, into a new file that only its owner can read.
 *
 * The copy is the database at one moment, with all its tables, and needs no other file. A plain copy of the file is not
 * enough: without its `-wal` file it may lack rows, or be empty. Both paths are UTF-8.
 *
 * Returns `CLERK_OK`, or a negative status and sets `*error`: `CLERK_E_CONFIG` if there is no database at `path`, if it
 * has no table `clerk_user`, if `destination` exists, or if the copy cannot be written. Then there is no file
 * `destination`; a process that is killed leaves a file beside it, with `.partial-` after the name. Any thread.
 */
CLERK_NODISCARD int32_t clerk_sqlite_backup(clerk_str path, clerk_str destination, clerk_error **error);

/** Returns the kind of the request, a `clerk_store_request_kind`; 0 for NULL. One thread at a time. */
int32_t clerk_store_request_get_kind(const clerk_store_request *request);

/**
 * Returns the Clerk id, e-mail address or username to look for; NULL data if there is none.
 *
 * The string lives as long as the request. One thread at a time.
 */
clerk_str clerk_store_request_value(const clerk_store_request *request);

/**
 * Returns the key of the row; NULL data if there is none.
 *
 * The string lives as long as the request. One thread at a time.
 */
clerk_str clerk_store_request_key(const clerk_store_request *request);

/**
 * Reads the new value of a string column, a `clerk_column`.
 *
 * Returns 1 and sets `*value`, which may be NULL, if the column is to be written; NULL data means NULL. Returns 0 if
 * the column keeps its value. The string lives as long as the request. One thread at a time.
 */
int32_t clerk_store_request_string_column(const clerk_store_request *request, int32_t column, clerk_str *value);

/**
 * Reads the new value of an integer column, a `clerk_column`.
 *
 * Returns 1 and sets `*value`, which may be NULL, if the column is to be written; returns 2 if it is to be set to
 * NULL. Returns 0 if the column keeps its value. One thread at a time.
 */
int32_t clerk_store_request_int_column(const clerk_store_request *request, int32_t column, int64_t *value);

/**
 * Returns 1 if `UPDATE` must change the row only while its column `CLERK_ID` is NULL, else 0.
 *
 * The condition must be part of the statement that updates. One thread at a time.
 */
int32_t clerk_store_request_only_if_unlinked(const clerk_store_request *request);

/**
 * Reads the highest version of a row that `UPDATE` may change.
 *
 * Returns 1 and sets `*version`, which may be NULL, if `UPDATE` must change the row only while its column
 * `CLERK_UPDATED_AT_MS` is NULL or at most `*version`. Returns 0 if there is no such condition, as for a table without
 * the column. The condition must be part of the statement that updates. One thread at a time.
 */
int32_t clerk_store_request_max_version(const clerk_store_request *request, int64_t *version);

/**
 * Returns 1 if `UPDATE` must change the row only while its column `IS_ACTIVE` is true, else 0.
 *
 * Then a row that the application has deactivated meanwhile is not marked as banned by Clerk. The condition has to be
 * in the statement that updates. One thread at a time.
 */
int32_t clerk_store_request_only_if_active(const clerk_store_request *request);

/**
 * Returns 1 if `UPDATE` must change the row only while its column `IS_ACTIVE` is false and `BANNED_BY_CLERK` is true,
 * else 0.
 *
 * Then a row that the application has deactivated meanwhile is not activated. The condition has to be in the statement
 * that updates. One thread at a time.
 */
int32_t clerk_store_request_only_if_banned(const clerk_store_request *request);

/**
 * Adds a row. `key` is the application's key of the row; it must not be empty. The column setters then apply to it.
 *
 * A row is active unless `IS_ACTIVE` is set to 0. `key` is copied.
 *
 * Returns `CLERK_OK` or a negative status, which makes the whole response invalid. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_store_response_add_row(clerk_store_response *response, clerk_str key);

/**
 * Sets a string column, a `clerk_column`, of the row that was added last. NULL data means NULL, which is the default.
 *
 * `value` is copied.
 *
 * Returns `CLERK_OK` or a negative status, which makes the whole response invalid: `CLERK_E_STATE` if no row was
 * added. One thread at a time.
 */
CLERK_NODISCARD
int32_t clerk_store_response_set_string_column(clerk_store_response *response,
                                               int32_t column,
                                               clerk_str value);

/**
 * Sets an integer column, a `clerk_column`, of the row that was added last. A column that is NULL is not set.
 *
 * Returns as `clerk_store_response_set_string_column` does. One thread at a time.
 */
CLERK_NODISCARD
int32_t clerk_store_response_set_int_column(clerk_store_response *response,
                                            int32_t column,
                                            int64_t value);

/**
 * Responds to `USERNAME_TAKEN` with 1 or 0.
 *
 * Returns `CLERK_OK` or a negative status, which makes the whole response invalid. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_store_response_set_username_taken(clerk_store_response *response, int32_t taken);

/**
 * Responds to `CREATE` with the key of the new row, which must not be empty. `key` is copied.
 *
 * Returns `CLERK_OK` or a negative status, which makes the whole response invalid. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_store_response_set_created_key(clerk_store_response *response, clerk_str key);

/**
 * Sets a message for a failure, before the callback returns a negative number. `message` is copied.
 *
 * The message is in `clerk_error_message`, the number in `clerk_error_store_code`; neither is in an event or a
 * reason.
 *
 * Returns `CLERK_OK` or a negative status, which makes the whole response invalid. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_store_response_set_error(clerk_store_response *response, clerk_str message);

/**********************************************************************************************************************
 * Section - Asynchronous user store
 *
 * For event loops and asynchronous database drivers. An event loop runs the body of this loop once for each action.
 *
 *     clerk_pending *pending = NULL;
 *     clerk_result *result = NULL;
 *     int32_t status = clerk_authenticate_begin_cached(client, &request, &result, &pending);
 *     while (status == CLERK_PENDING && clerk_pending_next_action(pending) != CLERK_STORE_REQUEST_KIND_DONE) {
 *         if (clerk_pending_next_action(pending) == CLERK_STORE_REQUEST_KIND_FETCH_USER)
 *             status = clerk_pending_fetch(pending); // on a thread that may block
 *         else
 *             status = clerk_pending_submit(pending, execute(NULL, clerk_pending_request(pending),
 *                                                            clerk_pending_response(pending)));
 *         if (status == CLERK_OK)
 *             status = CLERK_PENDING;
 *     }
 *     if (pending != NULL)
 *         status = clerk_pending_finish(pending, &result, NULL);
 *     printf("%s\n", clerk_status_name(status));
 *     clerk_result_free(result);
 **********************************************************************************************************************/

/**
 * An authentication or a webhook that waits for the application to query its user table.
 *
 * May move between threads; one thread at a time. Ends with `clerk_pending_finish` or `clerk_pending_free`. Holds a
 * reference to its client.
 */
typedef struct clerk_pending clerk_pending;

/**
 * Begins an authentication for an application that queries its user table itself. Blocks for at most `timeout_ms`.
 *
 * Does everything that needs no user table; never calls the user store callback.
 *
 * Returns `CLERK_PENDING` without a result and sets `*pending`, which the caller ends with `clerk_pending_finish` or
 * `clerk_pending_free`. Otherwise returns as `clerk_authenticate` does, with `*pending` NULL. Any thread.
 */
CLERK_NODISCARD
int32_t clerk_authenticate_begin(const clerk_client *client,
                                 const clerk_request *request,
                                 clerk_result **result,
                                 clerk_pending **pending,
                                 clerk_error **error);

/**
 * Begins an authentication from the cache. Never blocks: no request to Clerk, no user store. For event loops.
 *
 * Returns `CLERK_PENDING` if only the user's row has to be looked up; a later action may still be `FETCH_USER`.
 * Returns `CLERK_WOULD_BLOCK` without a result and without `*pending` if more is needed: then call
 * `clerk_authenticate_begin` on a thread that may block. Otherwise returns as `clerk_authenticate_cached` does. The
 * caller frees `*result` and ends `*pending`. `CLERK_E_REENTRANT` in a callback of the same client. Any thread.
 */
CLERK_NODISCARD
int32_t clerk_authenticate_begin_cached(const clerk_client *client,
                                        const clerk_request *request,
                                        clerk_result **result,
                                        clerk_pending **pending);

/**
 * Returns what to do next, a `clerk_store_request_kind`.
 *
 * `DONE`: call `clerk_pending_finish`. `FETCH_USER`: call `clerk_pending_fetch`. Any other: execute the request and
 * call `clerk_pending_submit`. `DONE` for NULL. One thread at a time.
 */
int32_t clerk_pending_next_action(const clerk_pending *pending);

/**
 * Returns the request to execute; NULL if the next action is `DONE`.
 *
 * The request belongs to `pending` and lives until `clerk_pending_submit`. One thread at a time.
 */
const clerk_store_request *clerk_pending_request(const clerk_pending *pending);

/**
 * Returns the response to fill; NULL if the next action is `DONE`.
 *
 * The response belongs to `pending` and lives until `clerk_pending_submit`. One thread at a time.
 */
clerk_store_response *clerk_pending_response(clerk_pending *pending);

/**
 * Submits the response as it was filled, and `outcome` as a user store callback would return it: a
 * `clerk_store_status`, or a negative error code of the application. Never blocks.
 *
 * Returns `CLERK_OK`, also for a failed outcome, or a negative status: `CLERK_E_STATE` if no request is to be
 * executed, `CLERK_E_REENTRANT` in a callback of the same client. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_pending_submit(clerk_pending *pending, int32_t outcome);

/**
 * Fetches the user from Clerk when the next action is `FETCH_USER`. Blocks for at most `timeout_ms`.
 *
 * Returns `CLERK_OK`, also when the fetch failed, or a negative status: `CLERK_E_STATE` if the next action is
 * another, `CLERK_E_REENTRANT` in a callback of the same client. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_pending_fetch(clerk_pending *pending);

/**
 * Finishes an authentication or a webhook. Always frees `pending`.
 *
 * Returns as `clerk_authenticate` or `clerk_webhook_handle` does; the caller frees `*result`. `CLERK_UNAVAILABLE` if
 * the next action is not `DONE`. `result` may be NULL only for a webhook. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_pending_finish(clerk_pending *pending, clerk_result **result, clerk_error **error);

/** Cancels an authentication or a webhook and frees it. Nothing is cached. NULL is ignored. One thread at a time. */
void clerk_pending_free(clerk_pending *pending);

/**********************************************************************************************************************
 * Section - Events and log
 *
 *     static void on_event(void *userdata, const clerk_event *event)
 *     {
 *         (void)userdata;
 *         if (clerk_event_get_kind(event) == CLERK_EVENT_KIND_AUTH_FAILED)
 *             printf("%s\n", clerk_reason_name(clerk_event_reason(event)));
 *     }
 *
 *     static int32_t listen_to(clerk_config *config)
 *     {
 *         return clerk_config_set_event_callback(config, on_event, NULL, NULL);
 *     }
 **********************************************************************************************************************/

/** The kind of an event. */
typedef enum clerk_event_kind CLERK_INT32_ENUM {
    /** A request was signed in. Every request with a credential emits one such event or one `AUTH_FAILED`. */
    CLERK_EVENT_KIND_AUTH_SUCCESS = 1,
    /** A request with a credential was not signed in. */
    CLERK_EVENT_KIND_AUTH_FAILED = 2,
    /** A token was not in the cache. Precedes its `AUTH_SUCCESS` or `AUTH_FAILED`. */
    CLERK_EVENT_KIND_CACHE_MISS = 3,
    /** A row was created. */
    CLERK_EVENT_KIND_USER_CREATED = 4,
    /** A row was updated. */
    CLERK_EVENT_KIND_USER_UPDATED = 5,
    /** An existing row without a Clerk user was linked to one by its verified e-mail address. */
    CLERK_EVENT_KIND_USER_LINKED = 6,
    /** A row with the user's e-mail address or username belongs to another user. It was not changed. */
    CLERK_EVENT_KIND_LINK_CONFLICT = 7,
    /** The JWK set was fetched. */
    CLERK_EVENT_KIND_JWKS_REFRESHED = 8,
    /** Clerk rate-limited the library (429). No requests are sent until the wait is over. */
    CLERK_EVENT_KIND_RATE_LIMITED = 9,
    /** Clerk could not be reached. A stale cached user was used. */
    CLERK_EVENT_KIND_STALE_USER_SERVED = 10,
    /** A webhook reported that a user was deleted. The application decides what happens to the row. */
    CLERK_EVENT_KIND_USER_DELETED = 11,
    /** Clerk rejected the secret key. Cached results may still be served for a while. */
    CLERK_EVENT_KIND_SECRET_KEY_REJECTED = 12,
    /**
     * A token's key is not in the key set, which is not fetched again before `clerk_event_retry_after_ms`, because it
     * was just fetched for another token. After a rotation of Clerk's keys, tokens are rejected until then.
     */
    CLERK_EVENT_KIND_JWKS_FETCH_LIMITED = 13,
    /** A browser is redirected to Clerk. */
    CLERK_EVENT_KIND_HANDSHAKE_STARTED = 14,
    /** A browser came back from Clerk, or its session was refreshed. The response sets Clerk's cookies. */
    CLERK_EVENT_KIND_HANDSHAKE_RESOLVED = 15,
    /** Clerk's response to a handshake was not accepted or could not be fetched. */
    CLERK_EVENT_KIND_HANDSHAKE_FAILED = 16,
    /** The shared cache cannot be used. Until `SHARED_CACHE_AVAILABLE` the process goes on without it. */
    CLERK_EVENT_KIND_SHARED_CACHE_UNAVAILABLE = 17,
    /** The shared cache can be used again. */
    CLERK_EVENT_KIND_SHARED_CACHE_AVAILABLE = 18,
} clerk_event_kind;

/** Where Clerk's response to a handshake came from. */
typedef enum clerk_handshake_source CLERK_INT32_ENUM {
    /** A nonce was exchanged at Clerk. */
    CLERK_HANDSHAKE_SOURCE_NONCE = 1,
    /** A handshake token was verified. */
    CLERK_HANDSHAKE_SOURCE_TOKEN = 2,
    /** The session was refreshed with its refresh cookie. */
    CLERK_HANDSHAKE_SOURCE_REFRESH = 3,
} clerk_handshake_source;

/** The severity of a log line. Smaller is more severe. */
typedef enum clerk_log_level CLERK_INT32_ENUM {
    /** Requests fail because of this. */
    CLERK_LOG_LEVEL_ERROR = 1,
    /** A problem that does not fail requests. */
    CLERK_LOG_LEVEL_WARN = 2,
    /** Informational. */
    CLERK_LOG_LEVEL_INFO = 3,
    /** For debugging. */
    CLERK_LOG_LEVEL_DEBUG = 4,
} clerk_log_level;

/** An event. Valid only during the callback. */
typedef struct clerk_event clerk_event;

/**
 * Called for every event.
 *
 * Runs on the thread of the call that caused the event, several at once, with no lock held.
 */
typedef void (*clerk_event_fn)(void *userdata, const clerk_event *event);

/**
 * Called for every log line. `level` is a `clerk_log_level`.
 *
 * `message` is valid only during the callback and contains neither tokens nor secrets. Runs as `clerk_event_fn` does.
 */
typedef void (*clerk_log_fn)(void *userdata, int32_t level, clerk_str message);

/**
 * Returns the time in milliseconds since 1970-01-01 UTC.
 *
 * Called once or twice per library call, from any thread. Library calls inside the callback use the system
 * time.
 */
typedef int64_t (*clerk_clock_fn)(void *userdata);

/**
 * Sets the event callback. NULL removes it.
 *
 * The config takes ownership of `userdata`, also when the call fails: `destroy`, which may be NULL, frees it.
 *
 * Returns `CLERK_OK` or a negative status. One thread at a time.
 */
CLERK_NODISCARD
int32_t clerk_config_set_event_callback(clerk_config *config,
                                        clerk_event_fn function,
                                        void *userdata,
                                        clerk_destroy_fn destroy);

/**
 * Sets the log callback for lines at `level`, a `clerk_log_level`, or above. NULL removes it.
 *
 * Without one, warnings and errors are written to standard error, each once a minute at most. The environment variable
 * `CLERK_LOG` (`off`, `error`, `warn`, `info`, `debug`) selects the level; every line is written then. Another value is
 * refused by `clerk_client_new` with `CLERK_E_CONFIG`.
 *
 * Ownership of `userdata` is as for `clerk_config_set_event_callback`.
 *
 * Returns `CLERK_OK` or a negative status: `CLERK_E_ARGUMENT` for an unknown level. One thread at a time.
 */
CLERK_NODISCARD
int32_t clerk_config_set_log_callback(clerk_config *config,
                                      int32_t level,
                                      clerk_log_fn function,
                                      void *userdata,
                                      clerk_destroy_fn destroy);

/**
 * Sets the clock, for tests. NULL restores the system time.
 *
 * Ownership of `userdata` is as for `clerk_config_set_event_callback`.
 *
 * Returns `CLERK_OK` or a negative status. One thread at a time.
 */
CLERK_NODISCARD
int32_t clerk_config_set_clock_callback(clerk_config *config,
                                        clerk_clock_fn function,
                                        void *userdata,
                                        clerk_destroy_fn destroy);

/** Returns the kind of the event, a `clerk_event_kind`; 0 for NULL. Any thread, during the callback. */
int32_t clerk_event_get_kind(const clerk_event *event);

/**
 * Returns the application's key of the user's row; NULL data if there is none.
 *
 * The string lives as long as the event. Any thread, during the callback.
 */
clerk_str clerk_event_user_key(const clerk_event *event);

/**
 * Returns the id of the Clerk user; NULL data if there is none.
 *
 * The string lives as long as the event. Any thread, during the callback.
 */
clerk_str clerk_event_clerk_id(const clerk_event *event);

/**
 * Returns "clerk:auth:" and the token's SHA-256 in hexadecimal; NULL data if there was no token.
 *
 * The string lives as long as the event. One thread at a time, during the callback.
 */
clerk_str clerk_event_token_hash(const clerk_event *event);

/**
 * Returns why the request was not signed in, or a handshake was started or failed, a `clerk_reason`; 0 for other kinds.
 * Any thread, during the callback.
 */
int32_t clerk_event_reason(const clerk_event *event);

/** Returns where the result came from, a `clerk_source`; 0 for other kinds. Any thread, during the callback. */
int32_t clerk_event_source(const clerk_event *event);

/**
 * Returns the time to wait, in milliseconds, of `RATE_LIMITED` and `JWKS_FETCH_LIMITED`; -1 for other kinds. Any
 * thread, during the callback.
 */
int64_t clerk_event_retry_after_ms(const clerk_event *event);

/**
 * Returns where Clerk's response to a handshake came from, a `clerk_handshake_source`; 0 for other kinds. Any thread,
 * during the callback.
 */
int32_t clerk_event_handshake_source(const clerk_event *event);

/**
 * Returns how many `Set-Cookie` lines of Clerk's response to a handshake were not passed on, because they are malformed
 * or not for Clerk's cookies; 0 for other kinds. Any thread, during the callback.
 */
int64_t clerk_event_dropped_lines(const clerk_event *event);

/**
 * Returns the name of an event kind, such as "auth_success"; "" for an unknown number.
 *
 * The string is static and never NULL. Any thread.
 */
const char *clerk_event_kind_name(int32_t kind);

/**
 * Returns the name of a handshake's source: "nonce", "token" or "refresh"; "" for an unknown number.
 *
 * The string is static and never NULL. Any thread.
 */
const char *clerk_handshake_source_name(int32_t source);

/**********************************************************************************************************************
 * Section - Shared cache
 *
 *     static int32_t remove_value(void *userdata, clerk_str key, int64_t timeout_ms)
 *     {
 *         (void)userdata, (void)timeout_ms;
 *         printf("delete a key of %zu bytes\n", key.len);
 *         return CLERK_CACHE_STATUS_OK;
 *     }
 *
 *     static void describe_engine(clerk_shared_cache *engine)
 *     {
 *         clerk_shared_cache empty = CLERK_SHARED_CACHE_INIT;
 *         *engine = empty;
 *         engine->remove = remove_value; // and get and set
 *     }
 **********************************************************************************************************************/

/** What a function of a `clerk_shared_cache` returns. Any other number means that the operation failed. */
typedef enum clerk_cache_status CLERK_INT32_ENUM {
    /** The operation was executed. */
    CLERK_CACHE_STATUS_OK = 0,
    /** There is no such value, no entry yet, or with `only_if_absent` a value exists already. */
    CLERK_CACHE_STATUS_NONE = 1,
    /** Only of `read`: entries after the given one were dropped. */
    CLERK_CACHE_STATUS_GAP = 2,
} clerk_cache_status;

/** A place for bytes that a function of a `clerk_shared_cache` returns. */
typedef struct {
    /** Where the bytes are to be copied. */
    char *data;
    /** How many bytes there is room for. */
    size_t capacity;
    /** How many bytes the function has copied. */
    size_t len;
} clerk_buffer;

/**
 * The functions of an engine that several processes share, such as memcached or the shared memory of a web server.
 * Initialize with `CLERK_SHARED_CACHE_INIT`.
 *
 * Keys are printable ASCII of at most 96 bytes, values any bytes up to 64 KiB. Values are sealed: the engine can
 * neither read nor change them. Each function returns a `clerk_cache_status`, and should return within its timeout.
 * They run on the thread of the call that needs them, or of the poller, several at once, with no lock held; they must
 * not call functions of the client. Strings are valid only during the call.
 */
typedef struct {
    /** `sizeof(clerk_shared_cache)`, set by `CLERK_SHARED_CACHE_INIT`. */
    uint32_t struct_size;
    /** Always 0. */
    uint32_t reserved;
    /** Passed to each function. */
    void *userdata;
    /** Frees `userdata`; may be NULL. */
    clerk_destroy_fn destroy;
    /** Copies a value. `NONE` if there is none. */
    int32_t (*get)(void *userdata, clerk_str key, clerk_buffer *value, int64_t timeout_ms);
    /**
     * Stores a value for `ttl_ms`. If `only_if_absent` is 1 and the key has a value, it stays: `NONE`. That must be
     * atomic between processes.
     */
    int32_t (*set)(void *userdata,
                   clerk_str key,
                   clerk_str value,
                   int64_t ttl_ms,
                   int32_t only_if_absent,
                   int64_t timeout_ms);
    /** Removes a value, if there is one. */
    int32_t (*remove)(void *userdata, clerk_str key, int64_t timeout_ms);
    /**
     * Appends an entry to a stream and copies its id, at most 64 printable bytes. A stream keeps at least its newest
     * 10 000 entries. `append` and `read` may both be NULL: then changes reach other processes only when they look up
     * a value.
     */
    int32_t (*append)(void *userdata, clerk_str stream, clerk_str value, clerk_buffer *id, int64_t timeout_ms);
    /**
     * Copies id and value of the first entry after the one with the id `after`, for which it waits at most `wait_ms`;
     * `NONE` if there is none, `GAP` if the entry `after` does not exist any more, even if it was removed meanwhile.
     * With an empty `after`, copies the id of the newest entry, without waiting.
     */
    int32_t (*read)(void *userdata,
                    clerk_str stream,
                    clerk_str after,
                    clerk_buffer *id,
                    clerk_buffer *value,
                    int64_t wait_ms);
} clerk_shared_cache;

/** Initializes a `clerk_shared_cache`. */
#define CLERK_SHARED_CACHE_INIT { sizeof(clerk_shared_cache), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/**
 * Sets the engine of the shared cache, instead of the setting `shared_cache`. NULL removes it.
 *
 * The config takes ownership of `engine->userdata`, also when the call fails, except with `CLERK_E_STRUCT_SIZE`:
 * `engine->destroy` frees it. The structure itself is copied.
 *
 * Returns `CLERK_OK` or a negative status: `CLERK_E_STRUCT_SIZE` if `*engine` was not initialized with
 * `CLERK_SHARED_CACHE_INIT`; `CLERK_E_NULL` if `get`, `set` or `remove` is NULL; `CLERK_E_ARGUMENT` if only one of
 * `append` and `read` is. One thread at a time.
 */
CLERK_NODISCARD int32_t clerk_config_set_shared_cache(clerk_config *config, const clerk_shared_cache *engine);

/**********************************************************************************************************************
 * Section - Webhooks
 *
 *     int32_t status = clerk_webhook_handle(client, lines, line_count, body, NULL);
 *     if (status == CLERK_OK || status == CLERK_WEBHOOK_IGNORED)
 *         printf("HTTP 200\n");
 *     else
 *         printf("HTTP %d\n", status == CLERK_E_WEBHOOK ? 400 : 503);
 **********************************************************************************************************************/

/**
 * Verifies and applies a webhook. Blocks in the user store and event callbacks, and for at most `timeout_ms` each time
 * that it fetches the user from Clerk.
 *
 * The user is fetched to create or link a row, to lift a ban if the event is not newer than the row, and to change a
 * row of a table without `CLERK_UPDATED_AT_MS`.
 *
 * Takes all header lines and the body exactly as received. Checks the Svix signature against `webhook_secrets`, the
 * timestamp, and that this message was not processed before. Then updates the user, also in the user store; rejects
 * ended sessions and deleted users from now on; removes outdated entries from the caches.
 *
 * Returns `CLERK_OK` or `CLERK_WEBHOOK_IGNORED`: respond with 200. Otherwise sets `*error`: for `CLERK_E_WEBHOOK`
 * respond with 400; for `CLERK_UNAVAILABLE`, when the user store or Clerk failed, the same webhook is being
 * processed, or a shared cache that is required has not stored a revocation, with 503, and Clerk sends the webhook
 * again. `CLERK_E_REENTRANT` in a callback of the same client. Any thread.
 */
CLERK_NODISCARD
int32_t clerk_webhook_handle(const clerk_client *client,
                             const clerk_header *headers,
                             size_t header_count,
                             clerk_str body,
                             clerk_error **error);

/**
 * Begins to process a webhook for an application that queries its user table itself. With the setting `shared_cache`,
 * blocks in the cache for at most `timeout_ms`; else never.
 *
 * Does everything that `clerk_webhook_handle` does, except for the user's row; never calls the user store callback.
 * The next action may be `FETCH_USER`.
 *
 * Returns `CLERK_PENDING` and sets `*pending`, which the caller ends with `clerk_pending_finish` (its `result` may be
 * NULL) or `clerk_pending_free`. Otherwise returns as `clerk_webhook_handle` does, with `*pending` NULL. Any thread.
 */
CLERK_NODISCARD
int32_t clerk_webhook_begin(const clerk_client *client,
                            const clerk_header *headers,
                            size_t header_count,
                            clerk_str body,
                            clerk_pending **pending,
                            clerk_error **error);

/**
 * Applies a webhook that another process of this server has received, in memory only. Never blocks, uses neither the
 * user store nor a shared cache: `clerk_webhook_handle` has updated both in the process that has received it.
 *
 * Verifies the signature as `clerk_webhook_handle` does. A webhook that comes to this process later is processed as if
 * it had not been replayed.
 *
 * Returns `CLERK_OK` or `CLERK_WEBHOOK_IGNORED`. Otherwise sets `*error`: `CLERK_E_WEBHOOK`, or `CLERK_UNAVAILABLE`
 * while this process is processing the same webhook. Runs event callbacks. Any thread.
 */
CLERK_NODISCARD
int32_t clerk_webhook_replay(const clerk_client *client,
                             const clerk_header *headers,
                             size_t header_count,
                             clerk_str body,
                             clerk_error **error);

#ifdef __cplusplus
} // extern "C"
#endif

#endif /* CLERK_AUTH_H */
