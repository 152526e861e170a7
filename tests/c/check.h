/* Shared by the C tests: checks, the fake Clerk API, helpers for clients and results. */
#ifndef CHECK_H
#define CHECK_H

#include "clerk_auth.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- checks: the first that fails ends the program with 1 --------------------------------------------------------- */

#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, __func__, #condition))
#define CHECK_INT(got, want) check_int(__FILE__, __LINE__, __func__, #got, (int64_t)(got), (int64_t)(want))
/* A call that has to return `CLERK_OK`. */
#define CHECK_OK(call) CHECK_STATUS(call, CLERK_OK)
#define CHECK_STATUS(got, want) check_status(__FILE__, __LINE__, __func__, #got, (got), (want))
/* `*error` after a call that returned `status`: set if and only if it failed. Frees it. */
#define CHECK_ERROR(error, status) check_error(__FILE__, __LINE__, __func__, (error), (status))
/* A `const char *` or NULL. */
#define CHECK_CSTR(got, want) check_cstr(__FILE__, __LINE__, __func__, #got, (got), (want))
/* A `clerk_str`: the same bytes, followed by a NUL; `want` NULL: NULL data. */
#define CHECK_STR(got, want) check_str(__FILE__, __LINE__, __func__, #got, (got), (want))

_Noreturn void check_failed(const char *file, int line, const char *function, const char *what);
void check_int(const char *file, int line, const char *function, const char *what, int64_t got, int64_t want);
void check_status(const char *file, int line, const char *function, const char *what, int32_t got, int32_t want);
void check_error(const char *file, int line, const char *function, clerk_error **error, int32_t status);
void check_cstr(const char *file, int line, const char *function, const char *what, const char *got,
                const char *want);
void check_str(const char *file, int line, const char *function, const char *what, clerk_str got, const char *want);

/* Checks a status against its result: `CLERK_OK` if and only if signed in. */
void check_outcome(int32_t status, const clerk_result *result);

/* --- fake Clerk API; its strings live until the program ends ------------------------------------------------------ */

const char *sim_url(void);
const char *sim_https_url(void);
/* The certificate authority for HTTPS, as PEM. */
const char *sim_ca(void);
/* Calls the admin API; returns the body. Any status but 200 ends the program. */
const char *sim_admin(const char *method, const char *path, const char *body);
void sim_put(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Count of requests since the last `sim_reset`: "/jwks", "/users/{id}", … */
int64_t sim_count(const char *pattern);
/* Up, without faults, with the first key, all counts at 0. Users stay. */
void sim_reset(void);
void sim_down(bool down);
/* A session token; the format makes a token specification such as `{"user":"user_1"}`. */
const char *sim_token(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A string of a JSON object, by the name of its member. */
const char *json_string(const char *json, const char *name);

/* --- clients and results ------------------------------------------------------------------------------------------ */

/* Settings for the fake Clerk API: its URL and a secret key. */
clerk_config *sim_config(void);
void set(clerk_config *config, const char *name, const char *value);
/* Creates a client and frees the config. */
clerk_client *client_of(clerk_config *config);
clerk_client *sim_client(void);
/* A request with this `Authorization` header. */
clerk_request bearer(const char *line);

/* Authenticates with a token, or without a credential for NULL. Returns "signed_in verified", "signed_in cache",
 * "signed_out <reason>", "no_credentials <reason>", "unavailable <reason>", or the name of another status. The string
 * lives until the thread's next call. */
const char *outcome_of(const clerk_client *client, const char *token);
const char *cached_outcome_of(const clerk_client *client, const char *token);
/* The same for an existing result, which is freed. */
const char *outcome_and_free(int32_t status, clerk_result **result);
/* Authenticates; the caller frees the result. */
clerk_result *sign_in(const clerk_client *client, const char *token);

/* Counts events by kind, and calls of the destroy function. */
typedef struct {
    atomic_int events[32];
    atomic_int destroyed;
} counter;

void count_event(void *userdata, const clerk_event *event);
void count_destroyed(void *userdata);

#endif
