/* What the C tests share: checks, the stand-in for Clerk, and short ways to clients and answers. */
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
#define CHECK_STATUS(got, want) check_status(__FILE__, __LINE__, __func__, #got, (got), (want))
/* A `const char *` or NULL. */
#define CHECK_WORD(got, want) check_word(__FILE__, __LINE__, __func__, #got, (got), (want))
/* A `clerk_str`: the same bytes, and a NUL behind them; `want` NULL: a text that is not there. */
#define CHECK_TEXT(got, want) check_text(__FILE__, __LINE__, __func__, #got, (got), (want))

_Noreturn void check_failed(const char *file, int line, const char *function, const char *what);
void check_int(const char *file, int line, const char *function, const char *what, int64_t got, int64_t want);
void check_status(const char *file, int line, const char *function, const char *what, int32_t got, int32_t want);
void check_word(const char *file, int line, const char *function, const char *what, const char *got,
                const char *want);
void check_text(const char *file, int line, const char *function, const char *what, clerk_str got, const char *want);

/* What must hold between a verb's status and its result: 0 means signed in, and nothing else does. */
void check_outcome(int32_t status, const clerk_result *result);

/* --- the stand-in for Clerk; texts that come from here live until the program ends -------------------------------- */

const char *sim_url(void);
const char *sim_https_url(void);
/* The authority to trust for HTTPS, as PEM. */
const char *sim_ca(void);
/* One call of the admin API; the answer's body. Every answer but 200 ends the program. */
const char *sim_admin(const char *method, const char *path, const char *body);
void sim_put(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* How often something was asked since the last `sim_reset`: "/jwks", "/users/{id}", … */
int64_t sim_count(const char *pattern);
/* Up, without faults, with the first key, all counts at 0. Users stay. */
void sim_reset(void);
void sim_down(bool down);
/* A session token; the format makes a token specification such as `{"user":"user_1"}`. */
const char *sim_token(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A text of a JSON object, by the name of its member. */
const char *json_text(const char *json, const char *name);

/* --- clients and answers ------------------------------------------------------------------------------------------ */

/* Settings for the stand-in: its address and a secret key. */
clerk_config *sim_config(void);
void set(clerk_config *config, const char *name, const char *value);
/* Makes a client and frees the config. */
clerk_client *client_of(clerk_config *config);
clerk_client *sim_client(void);
/* A request with this line as `Authorization`. */
clerk_request bearer(const char *line);

/* Authenticates with a token, or with nothing for NULL, and says how it ended: "in verified", "in cache",
 * "out <reason>", "none <reason>", "unavailable <reason>", or the name of another status. The text lives until the
 * thread's next call. */
const char *ask(const clerk_client *client, const char *token);
const char *ask_cached(const clerk_client *client, const char *token);
/* The same words for an answer that is there; frees the result. */
const char *ended(int32_t status, clerk_result **result);
/* Authenticates, and keeps the result for the caller to free. */
clerk_result *signed_in(const clerk_client *client, const char *token);

/* Counts events by their kind, and how often it was destroyed. */
typedef struct {
    atomic_int events[32];
    atomic_int destroyed;
} counter;

void count_event(void *userdata, const clerk_event *event);
void count_destroyed(void *userdata);

#endif
