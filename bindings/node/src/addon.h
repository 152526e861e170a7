/* What the files of the addon share. Nothing is static but constants: each environment (main thread, worker) has its own
 * state in its instance data. */
#ifndef CLERK_NODE_ADDON_H
#define CLERK_NODE_ADDON_H

#include <clerk_auth.h>
#include <node_api.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct client client;
typedef struct threads threads;
typedef struct notice notice;

typedef struct {
    notice *first, *last;
    int count;
} notice_list;

/* For calls whose failure shows elsewhere: a failed setter makes the whole response invalid, a failed setting sets the
 * error. */
static inline void ignore_status(int32_t status)
{
    (void)status;
}

/* The library answers a remembered token with the same result each time: its handle need not be made each time either. */
#define KNOWN_RESULTS 256

typedef struct {
    clerk_result *core;
    napi_ref handle;
} known_result;

/* Of one environment. */
typedef struct {
    client *open;
    threads *threads;
} addon;

/* What the library's hooks know of. Counted: the JS object, each call under way and each registered hook hold it. */
struct client {
    atomic_int references;

    /* Only the environment's own thread touches these. */
    clerk_client *core; /* NULL once closed and no call is under way any more */
    bool closed;
    int64_t timeout_ms;
    bool has_store; /* the host's table is asked */
    int calls; /* begun, and not told of their end */
    known_result known[KNOWN_RESULTS];
    client *previous, *next;
    addon *owner;

    /* Tests set the time; 0 is the system's. */
    _Atomic int64_t now_ms;

    /* The events that somebody listens to, a sum of `1 << clerk_event_kind`; bit 0 is the log. */
    _Atomic uint32_t wanted;
    _Atomic bool closing;

    pthread_mutex_t lock;
    pthread_cond_t idle;
    int executing;
    notice_list notices;
};

/* --- values.c ---------------------------------------------------------------------------------------------------- */

/* Leaves the function with a pending exception when a Node-API call fails. */
#define TRY(call)                               \
    do {                                        \
        if ((call) != napi_ok) return fail(env); \
    } while (0)

/* Room for the texts of one call; what does not fit in is allocated. */
typedef struct {
    char *next, *end;
    void *spilled;
} arena;

#define ARENA(name, size)  \
    char name##_room[size]; \
    arena name = { name##_room, name##_room + (size), NULL }

void arena_free(arena *room);

/* NULL, or false, with an exception pending in any case. */
void *fail(napi_env env);
void *throw_type(napi_env env, const char *message);
void *throw_status(napi_env env, int32_t status);

/* The text in UTF-8; `NULL` data for undefined and null. False with an exception pending. */
bool text_of(napi_env env, napi_value value, arena *room, clerk_str *text);
/* The bytes of a header line's value, one for each character, as Node decodes them. */
bool header_of(napi_env env, clerk_str name, napi_value value, arena *room, clerk_str *text);

/* A handle that owns something; without one, it is finalized at once. */
napi_value external(napi_env env, void *owned, napi_finalize finalize);
napi_value undefined(napi_env env);
napi_value text(napi_env env, clerk_str text); /* null for a text that is not there */
napi_value words(napi_env env, const char *words); /* null for the empty one */
napi_value number(napi_env env, int64_t value);
napi_value error_object(napi_env env, clerk_error *error); /* frees the error; null for NULL */
bool set(napi_env env, napi_value object, const char *name, napi_value value);
bool method(napi_env env, napi_value object, const char *name, napi_callback function);

/* --- config.c ---------------------------------------------------------------------------------------------------- */

/* A config with the settings and columns of `{settings, columns, lengths}`; NULL with an exception pending. */
clerk_config *config_of(napi_env env, napi_value options, clerk_error **error);

/* --- client.c ---------------------------------------------------------------------------------------------------- */

bool client_define(napi_env env, napi_value exports);
client *client_retain(client *own);
void client_release(void *own);
/* The open client behind `this`; NULL with an exception pending when it is closed or something else. */
client *client_this(napi_env env, napi_callback_info info, size_t *count, napi_value *arguments);
/* A call has begun; a call has ended, and with the last one what was closed is freed. */
void client_enter(client *own);
void client_leave(client *own);
/* Breaks off what is under way and waits until it has ended: calls that are begun later end at once. */
void client_break_off(client *own);

/* --- memory.c ---------------------------------------------------------------------------------------------------- */

napi_value memory_invalidate_token(napi_env env, napi_callback_info info);
napi_value memory_invalidate_user(napi_env env, napi_callback_info info);
napi_value memory_invalidate_session(napi_env env, napi_callback_info info);
napi_value memory_invalidate_all(napi_env env, napi_callback_info info);
napi_value memory_stats(napi_env env, napi_callback_info info);

/* --- request.c --------------------------------------------------------------------------------------------------- */

#define MOST_LINES 64

typedef struct {
    clerk_request request;
    clerk_header lines[MOST_LINES];
} request_lines;

/* From (authorization, cookie, method, sec-fetch-dest, accept, [name, value, ...]). */
bool request_of(napi_env env, size_t count, const napi_value *arguments, arena *room, request_lines *lines);

/* --- outcome.c --------------------------------------------------------------------------------------------------- */

/* What a call has come to. */
typedef struct {
    int32_t status;
    clerk_result *result;
    clerk_pending *pending;
    clerk_error *error;
} outcome;

/* The status of a call that was not run, because its client was closed before. */
#define NOT_RUN INT32_MAX
/* The status of a call for which no thread was to be had, or not in time. */
#define NOT_SERVED (INT32_MAX - 1)

void outcome_free(outcome *own);
/* {status, result, pending, error}, to which all of it is handed over. */
napi_value outcome_object(napi_env env, client *held, outcome *own);

/* --- result.c ---------------------------------------------------------------------------------------------------- */

bool result_define(napi_env env, napi_value exports);
/* A handle that owns the result; NULL stands for one that says that nobody can tell. */
napi_value result_handle(napi_env env, clerk_result *result);
/* The same, out of memory if it is there. */
napi_value result_known(napi_env env, client *own, clerk_result *result);
void results_forget(napi_env env, client *own);

/* --- pending.c --------------------------------------------------------------------------------------------------- */

typedef struct {
    const void *kind;
    clerk_pending *core; /* NULL once it is finished */
    client *own;
    bool busy; /* with the library, on another thread */
} pending;

bool pending_define(napi_env env, napi_value exports);
napi_value pending_handle(napi_env env, clerk_pending *core, client *own);
pending *pending_of(napi_env env, napi_value value);

/* --- threads.c --------------------------------------------------------------------------------------------------- */

typedef struct job job;

struct job {
    job *next;
    void (*run)(job *);            /* on a thread */
    void (*done)(napi_env, job *); /* on the environment's; without one, anywhere */
};

threads *threads_new(napi_env env);
/* False when no thread is to be had. */
bool threads_queue(napi_env env, threads *own, job *added);
napi_value threads_limit(napi_env env, napi_callback_info info);

/* --- work.c ------------------------------------------------------------------------------------------------------ */

napi_value work_begin(napi_env env, napi_callback_info info);
napi_value work_verify(napi_env env, napi_callback_info info);
napi_value work_warm_up(napi_env env, napi_callback_info info);
napi_value work_fetch(napi_env env, napi_callback_info info);

/* --- notices.c --------------------------------------------------------------------------------------------------- */

void notice_event(void *own, const clerk_event *event);
void notice_log(void *own, int32_t level, clerk_str message);
napi_value notices_take(napi_env env, client *own, napi_value told);
void notices_free(notice_list *list);

/* --- webhook.c --------------------------------------------------------------------------------------------------- */

napi_value webhook_begin(napi_env env, napi_callback_info info);

/* --- words.c ----------------------------------------------------------------------------------------------------- */

bool words_define(napi_env env, napi_value exports);

#endif
