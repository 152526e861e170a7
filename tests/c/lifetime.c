/* Lifetimes: userdata is destroyed exactly once and never too early, a client may be freed anywhere, and a callback
 * that calls the library gets a status instead of a deadlock. */
#include "table.h"

#include <time.h>

enum callback { EVENT, LOG, CLOCK, STORE, CALLBACKS };
enum function { AUTHENTICATE, CACHED, BEGIN, VERIFY, WARM_UP, STATS, INVALIDATE, WEBHOOK, FUNCTIONS };

/* The userdata of one callback. */
typedef struct fixture fixture;
typedef struct {
    fixture *fixture;
    int destroyed;
    bool is_absent;
} state;

struct fixture {
    table table;
    state states[CALLBACKS];
    clerk_client *client, *other;
    const char *token;
    /* `act` runs in the first call of this callback. */
    enum callback where;
    void (*act)(fixture *);
    int acted, depth;
};

static void on_callback(state *own, enum callback which) {
    fixture *fixture = own->fixture;
    /* No userdata is destroyed while it is in use. */
    for (int i = 0; i < CALLBACKS; i++) CHECK_INT(fixture->states[i].destroyed, 0);
    if (fixture->act == NULL || fixture->where != which || fixture->depth > 0) return;
    fixture->depth++;
    void (*act)(struct fixture *) = fixture->act;
    fixture->act = NULL;
    fixture->acted++;
    act(fixture);
    fixture->depth--;
    for (int i = 0; i < CALLBACKS; i++) CHECK_INT(fixture->states[i].destroyed, 0);
}

static void on_event(void *userdata, const clerk_event *event) {
    on_callback(userdata, EVENT);
    clerk_str id = clerk_event_clerk_id(event);
    CHECK_STR(id, id.data);
}

static void on_log(void *userdata, int32_t level, clerk_str message) {
    on_callback(userdata, LOG);
    CHECK(level >= CLERK_LOG_LEVEL_ERROR && level <= CLERK_LOG_LEVEL_DEBUG);
    CHECK_STR(message, message.data);
}

static int64_t on_clock(void *userdata) {
    on_callback(userdata, CLOCK);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int32_t on_store(void *userdata, const clerk_store_request *store_request, clerk_store_response *response) {
    state *own = userdata;
    on_callback(own, STORE);
    return table_execute(&own->fixture->table, store_request, response);
}

static void on_destroy(void *userdata) {
    state *own = userdata;
    own->destroyed++;
}

static clerk_config *config_of(fixture *fixture) {
    clerk_config *config = sim_config();
    set(config, "webhook_secrets", "whsec_Y2xlcmstc2ltLXdlYmhvb2stc2VjcmV0LTAwMDE=");
    for (int i = 0; i < CALLBACKS; i++) fixture->states[i] = (state){.fixture = fixture};
    CHECK_STATUS(clerk_config_set_event_callback(config, on_event, &fixture->states[EVENT], on_destroy), CLERK_OK);
    CHECK_STATUS(clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_DEBUG, on_log, &fixture->states[LOG],
                                               on_destroy), CLERK_OK);
    CHECK_STATUS(clerk_config_set_clock_callback(config, on_clock, &fixture->states[CLOCK], on_destroy), CLERK_OK);
    CHECK_STATUS(clerk_config_set_user_store(config, on_store, &fixture->states[STORE], on_destroy), CLERK_OK);
    return config;
}

/* Removes all callbacks but one, and the user store. */
static void remove_all_but(fixture *fixture, clerk_config *config, enum callback which) {
    if (which != EVENT) CHECK_OK(clerk_config_set_event_callback(config, NULL, NULL, NULL));
    if (which != LOG) CHECK_OK(clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_WARN, NULL, NULL, NULL));
    if (which != CLOCK) CHECK_OK(clerk_config_set_clock_callback(config, NULL, NULL, NULL));
    for (int i = 0; i < STORE; i++) {
        fixture->states[i].is_absent = i != (int)which;
        CHECK_INT(fixture->states[i].destroyed, fixture->states[i].is_absent);
        fixture->states[i].destroyed = 0;
    }
}

static void check_destroyed(const fixture *fixture, int times) {
    for (int i = 0; i < CALLBACKS; i++) CHECK_INT(fixture->states[i].destroyed,
                                                  fixture->states[i].is_absent ? 0 : times);
}

/* --- exactly once ------------------------------------------------------------------------------------------------- */

static void userdata_destroyed_with_last_owner(void) {
    fixture fixture = {.table = TABLE_INIT};
    clerk_config_free(config_of(&fixture));
    check_destroyed(&fixture, 1);

    clerk_config *config = config_of(&fixture);
    clerk_client *first = NULL, *second = NULL;
    CHECK_STATUS(clerk_client_new(config, &first, NULL), CLERK_OK);
    CHECK_STATUS(clerk_client_new(config, &second, NULL), CLERK_OK);
    clerk_config_free(config);
    CHECK(clerk_client_retain(first) == first);
    clerk_client_free(first);
    clerk_client_free(second);
    check_destroyed(&fixture, 0);
    clerk_client_free(first);
    check_destroyed(&fixture, 1);

    config = config_of(&fixture);
    CHECK_STATUS(clerk_client_new(config, &first, NULL), CLERK_OK);
    clerk_client_free(first);
    check_destroyed(&fixture, 0);
    clerk_config_free(config);
    check_destroyed(&fixture, 1);

    /* A client that cannot be created owns nothing. */
    config = config_of(&fixture);
    set(config, "secret_key", "");
    CHECK_STATUS(clerk_client_new(config, &first, NULL), CLERK_E_CONFIG);
    check_destroyed(&fixture, 0);
    set(config, "secret_key", "sk_test_simulated");
    CHECK_STATUS(clerk_client_new(config, &first, NULL), CLERK_OK);
    clerk_config_free(config);
    clerk_client_free(first);
    check_destroyed(&fixture, 1);
}

static void userdata_destroyed_when_replaced_or_refused(void) {
    fixture fixture = {.table = TABLE_INIT};
    state next[CALLBACKS] = {0};
    clerk_config *config = config_of(&fixture);
    clerk_client *client = NULL;
    CHECK_STATUS(clerk_client_new(config, &client, NULL), CLERK_OK);
    for (int round = 0; round < 2; round++) {
        /* The second round replaces the first; the client keeps its own. */
        for (int i = 0; i < CALLBACKS; i++) CHECK_INT(next[i].destroyed, 0);
        CHECK_OK(clerk_config_set_event_callback(config, on_event, &next[EVENT], on_destroy));
        CHECK_OK(clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_WARN, on_log, &next[LOG], on_destroy));
        CHECK_OK(clerk_config_set_clock_callback(config, on_clock, &next[CLOCK], on_destroy));
        CHECK_OK(clerk_config_set_user_store(config, on_store, &next[STORE], on_destroy));
        check_destroyed(&fixture, 0);
        for (int i = 0; i < CALLBACKS; i++) CHECK_INT(next[i].destroyed, round);
        for (int i = 0; i < CALLBACKS; i++) next[i].destroyed = 0;
    }
    clerk_client_free(client);
    check_destroyed(&fixture, 1);
    /* Removed; the userdata is destroyed as well. */
    state given[CALLBACKS] = {0};
    CHECK_OK(clerk_config_set_event_callback(config, NULL, &given[EVENT], on_destroy));
    CHECK_OK(clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_WARN, NULL, &given[LOG], on_destroy));
    CHECK_OK(clerk_config_set_clock_callback(config, NULL, &given[CLOCK], on_destroy));
    CHECK_OK(clerk_config_set_user_store(config, NULL, &given[STORE], on_destroy));
    for (int i = 0; i < CALLBACKS; i++) CHECK(next[i].destroyed == 1 && given[i].destroyed == 1);
    clerk_config_free(config);
    for (int i = 0; i < CALLBACKS; i++) CHECK(next[i].destroyed == 1 && given[i].destroyed == 1);

    /* A call that fails owns the userdata, too. */
    state failed = {0};
    CHECK_STATUS(clerk_config_set_event_callback(NULL, on_event, &failed, on_destroy), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_log_callback(NULL, CLERK_LOG_LEVEL_WARN, on_log, &failed, on_destroy), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_clock_callback(NULL, on_clock, &failed, on_destroy), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_user_store(NULL, on_store, &failed, on_destroy), CLERK_E_NULL);
    CHECK_INT(failed.destroyed, 4);
    config = config_of(&fixture);
    CHECK_STATUS(clerk_config_set_log_callback(config, 9, on_log, &failed, on_destroy), CLERK_E_ARGUMENT);
    CHECK_INT(failed.destroyed, 5);
    check_destroyed(&fixture, 0);
    CHECK_STATUS(clerk_config_set_sqlite_path(config, CLERK_STR("/nowhere/at/all"), NULL), CLERK_E_CONFIG);
    check_destroyed(&fixture, 0);
    clerk_config_free(config);
    check_destroyed(&fixture, 1);
}

/* --- callbacks that call the library ------------------------------------------------------------------------------ */

/* Calls a function outside of any callback. */
static const char *run(fixture *fixture, enum function function) {
    clerk_client *client = fixture->client;
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", fixture->token);
    clerk_request request = bearer(line);
    clerk_result *result = NULL;
    clerk_pending *pending = NULL;
    clerk_stats stats = CLERK_STATS_INIT;
    switch (function) {
    case AUTHENTICATE:
        return outcome_of(client, fixture->token);
    case CACHED:
        return cached_outcome_of(client, fixture->token);
    case BEGIN: {
        int32_t status = clerk_authenticate_begin(client, &request, &result, &pending, NULL);
        if (status != CLERK_PENDING) return outcome_and_free(status, &result);
        for (int32_t kind; (kind = clerk_pending_next_action(pending)) != CLERK_STORE_REQUEST_KIND_DONE;) {
            const clerk_store_request *store_request = clerk_pending_request(pending);
            if (kind == CLERK_STORE_REQUEST_KIND_FETCH_USER) CHECK_OK(clerk_pending_fetch(pending));
            else CHECK_OK(clerk_pending_submit(pending,
                                               table_execute(&fixture->table, store_request,
                                                             clerk_pending_response(pending))));
        }
        status = clerk_pending_finish(pending, &result, NULL);
        return outcome_and_free(status, &result);
    }
    case VERIFY:
        return outcome_and_free(clerk_verify_token(client, clerk_str_of(fixture->token), &result, NULL), &result);
    case WARM_UP:
        return clerk_status_name(clerk_client_warm_up(client, NULL));
    case STATS:
        return clerk_status_name(clerk_client_stats(client, &stats));
    case INVALIDATE:
        return clerk_status_name(clerk_client_invalidate_all(client));
    default: {
        const char *made = sim_admin("POST", "/webhook", "{\"type\":\"user.updated\",\"id\":\"user_ada\"}");
        clerk_header lines[3];
        static const char *const names[] = {"svix-id", "svix-timestamp", "svix-signature"};
        for (int i = 0; i < 3; i++) {
            lines[i] = (clerk_header){clerk_str_of(names[i]), clerk_str_of(json_string(made, names[i]))};
        }
        return clerk_status_name(clerk_webhook_handle(client, lines, 3, clerk_str_of(json_string(made, "body")), NULL));
    }
    }
}

/* The outcome of each function without calls in callbacks, and which callbacks it runs. */
static const char *const outcomes[FUNCTIONS] = {
    "signed_in verified", "signed_in verified", "signed_in verified", "signed_in verified",
    "CLERK_OK",           "CLERK_OK",           "CLERK_OK",           "CLERK_OK",
};
static const bool runs[FUNCTIONS][CALLBACKS] = {
    [AUTHENTICATE] = {true, true, true, true}, [CACHED] = {true, false, true, false},
    [BEGIN] = {true, true, true, false},       [VERIFY] = {true, true, true, false},
    [WARM_UP] = {true, true, true, false},     [STATS] = {false, false, true, false},
    [INVALIDATE] = {false, false, false, false}, [WEBHOOK] = {true, false, true, true},
};

static void call_back(fixture *fixture);
static void shut_down(fixture *fixture);

/* A shutdown ends the call whose callback it runs in, if the call still needs Clerk. */
static bool is_ended(const char *outcome) {
    return strncmp(outcome, "unavailable ", strlen("unavailable ")) == 0 || strcmp(outcome, "CLERK_UNAVAILABLE") == 0;
}

/* Calls a function; `act` runs in one of its callbacks. */
static void run_with(enum function function, enum callback where, bool alone, void (*act)(fixture *), bool frees) {
    sim_reset();
    sim_put("/users/user_ada", "{\"username\":\"ada\",\"first_name\":\"Ada\"}");
    fixture fixture = {.table = TABLE_INIT, .where = where};
    clerk_config *config = config_of(&fixture);
    if (alone) remove_all_but(&fixture, config, where);
    set(config, "row_check_ttl_s", "60");
    if (function == CACHED) set(config, "user_mode", "claims");
    fixture.client = client_of(config);
    fixture.other = sim_client();
    fixture.token = sim_token("{\"user\":\"user_ada\"}");
    CHECK_STATUS(clerk_client_warm_up(fixture.other, NULL), CLERK_OK);
    /* A cached call needs the keys; a log line needs a fault. */
    if (function == CACHED) CHECK_STATUS(clerk_client_warm_up(fixture.client, NULL), CLERK_OK);
    bool fails = where == LOG && runs[function][LOG];
    if (fails) sim_put("/faults", "[{\"path\":\"/jwks\",\"status\":401}]");
    fixture.act = act;
    const char *outcome = run(&fixture, function);
    if (act == shut_down && is_ended(outcome)) CHECK(fixture.acted > 0);
    else if (fails) CHECK_CSTR(outcome, function == WARM_UP ? "CLERK_E_API" : "unavailable secret-key-invalid");
    /* The clock callback runs first, and what it authenticates is cached afterwards. */
    else if (function == CACHED && where == CLOCK && act == call_back) CHECK_CSTR(outcome, "signed_in cache");
    else CHECK_CSTR(outcome, outcomes[function]);
    CHECK_INT(fixture.acted, runs[function][where]);
    bool freed = frees && fixture.acted > 0;
    check_destroyed(&fixture, freed);
    if (!freed) clerk_client_free(fixture.client);
    check_destroyed(&fixture, 1);
    clerk_client_free(fixture.other);
}

static void free_client(fixture *fixture) {
    clerk_client_free(fixture->client);
}

static void retain_and_free(fixture *fixture) {
    clerk_client *client = clerk_client_retain(fixture->client);
    clerk_client_free(client);
    clerk_client_free(client);
}

/* Calls every function that must not be called with the same client, and every one that may. */
static void call_back(fixture *fixture) {
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", fixture->token);
    clerk_request request = bearer(line);
    for (int i = 0; i < 2; i++) {
        clerk_result *result = (clerk_result *)fixture;
        clerk_pending *pending = (clerk_pending *)fixture;
        clerk_error *error = (clerk_error *)fixture;
        CHECK_STATUS(clerk_authenticate(fixture->client, &request, &result, &error), CLERK_E_REENTRANT);
        CHECK(result == NULL);
        CHECK_ERROR(&error, CLERK_E_REENTRANT);
        result = (clerk_result *)fixture;
        CHECK_STATUS(clerk_authenticate_begin(fixture->client, &request, &result, &pending, &error), CLERK_E_REENTRANT);
        CHECK(result == NULL && pending == NULL);
        CHECK_ERROR(&error, CLERK_E_REENTRANT);
        result = (clerk_result *)fixture;
        CHECK_STATUS(clerk_verify_token(fixture->client, clerk_str_of(fixture->token), &result, NULL),
                     CLERK_E_REENTRANT);
        CHECK(result == NULL);
        CHECK_STATUS(clerk_client_warm_up(fixture->client, NULL), CLERK_E_REENTRANT);
        CHECK_STATUS(clerk_webhook_handle(fixture->client, NULL, 0, CLERK_STR("{}"), NULL), CLERK_E_REENTRANT);
        /* These calls do not end the outer call. */
        int32_t status = clerk_authenticate_cached(fixture->client, &request, &result);
        CHECK(status == CLERK_OK || status == CLERK_WOULD_BLOCK);
        outcome_and_free(status, &result);
        clerk_stats stats = CLERK_STATS_INIT;
        CHECK_STATUS(clerk_client_stats(fixture->client, &stats), CLERK_OK);
        CHECK(clerk_client_retain(fixture->client) == fixture->client);
        clerk_client_free(fixture->client);
    }
    /* Another client may be used. */
    CHECK_CSTR(outcome_of(fixture->other, fixture->token), "signed_in verified");
    CHECK_CSTR(outcome_of(fixture->other, fixture->token), "signed_in cache");
    clerk_result *result = NULL;
    CHECK_STATUS(clerk_authenticate(fixture->client, &request, &result, NULL), CLERK_E_REENTRANT);
}

static void invalidate_everything(fixture *fixture) {
    CHECK_STATUS(clerk_client_invalidate_token(fixture->client, clerk_str_of(fixture->token)), CLERK_OK);
    CHECK_STATUS(clerk_client_invalidate_user(fixture->client, CLERK_STR("user_ada")), CLERK_OK);
    CHECK_STATUS(clerk_client_invalidate_session(fixture->client, CLERK_STR("sess_ada")), CLERK_OK);
    CHECK_STATUS(clerk_client_invalidate_all(fixture->client), CLERK_OK);
}

static void shut_down(fixture *fixture) {
    CHECK_STATUS(clerk_client_shutdown(fixture->client), CLERK_OK);
}

static void callbacks_may_call_client(void) {
    for (int function = 0; function < FUNCTIONS; function++) {
        for (int i = 0; i < CALLBACKS * 2; i++) {
            /* Among others, and as the only callback. */
            enum callback where = (enum callback)(i / 2);
            run_with((enum function)function, where, i % 2, free_client, true);
            run_with((enum function)function, where, i % 2, retain_and_free, true);
            run_with((enum function)function, where, i % 2, call_back, false);
            run_with((enum function)function, where, i % 2, invalidate_everything, false);
            run_with((enum function)function, where, i % 2, shut_down, false);
        }
    }
}

/* A stepwise authentication runs event callbacks when it finishes. */
static clerk_pending *other_pending;

static void continue_in_callback(fixture *fixture) {
    clerk_pending *other = other_pending;
    other_pending = NULL;
    clerk_result *result = (clerk_result *)fixture;
    CHECK_STATUS(clerk_pending_submit(other, CLERK_STORE_OK), CLERK_E_REENTRANT);
    CHECK_STATUS(clerk_pending_fetch(other), CLERK_E_REENTRANT);
    CHECK_STATUS(clerk_pending_finish(other, &result, NULL), CLERK_E_REENTRANT);
    CHECK(result == NULL);
    call_back(fixture);
}

static clerk_pending *begin_pending(const fixture *fixture) {
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", fixture->token);
    clerk_request request = bearer(line);
    clerk_result *result = NULL;
    clerk_pending *pending = NULL;
    CHECK_STATUS(clerk_authenticate_begin(fixture->client, &request, &result, &pending, NULL), CLERK_PENDING);
    return pending;
}

static void stepwise_callbacks_may_call_client(void) {
    for (int act = 0; act < 3; act++) {
        for (int early = 0; early < 2; early++) {
            sim_reset();
            sim_put("/users/user_ada", "{\"username\":\"ada\"}");
            fixture fixture = {.table = TABLE_INIT, .where = EVENT};
            fixture.client = client_of(config_of(&fixture));
            fixture.other = sim_client();
            fixture.token = sim_token("{\"user\":\"user_ada\"}");
            clerk_pending *pending = begin_pending(&fixture);
            other_pending = begin_pending(&fixture);
            if (act != 0) clerk_pending_free(other_pending);
            static void (*const acts[])(struct fixture *) = {continue_in_callback, call_back, free_client};
            fixture.act = acts[act];
            while (!early && clerk_pending_next_action(pending) != CLERK_STORE_REQUEST_KIND_DONE) {
                const clerk_store_request *store_request = clerk_pending_request(pending);
                int32_t returned = table_execute(&fixture.table, store_request, clerk_pending_response(pending));
                CHECK_STATUS(clerk_pending_submit(pending, returned), CLERK_OK);
            }
            clerk_result *result = NULL;
            const char *outcome = outcome_and_free(clerk_pending_finish(pending, &result, NULL), &result);
            CHECK_CSTR(outcome, early ? "unavailable store-error" : "signed_in verified");
            CHECK_INT(fixture.acted, 1);
            check_destroyed(&fixture, act == 2);
            if (act != 2) clerk_client_free(fixture.client);
            check_destroyed(&fixture, 1);
            clerk_client_free(fixture.other);
        }
    }
}

/* Two clients whose callbacks call each other. */
static void ping(fixture *fixture);

static struct fixture *sides[2];

static void ping(fixture *fixture) {
    int own = fixture == sides[1];
    struct fixture *other = sides[!own];
    if (own == 0) {
        other->act = ping;
        CHECK_CSTR(outcome_of(other->client, other->token), "signed_in verified");
        CHECK_INT(other->acted, 1);
    }
    CHECK_CSTR(outcome_of(fixture->client, fixture->token), "CLERK_E_REENTRANT");
    if (own == 1) CHECK_CSTR(outcome_of(other->client, other->token), "CLERK_E_REENTRANT");
}

static void two_clients_may_call_each_other(void) {
    sim_reset();
    sim_put("/users/user_ada", "{\"username\":\"ada\"}");
    fixture first = {.table = TABLE_INIT, .where = STORE}, second = {.table = TABLE_INIT, .where = STORE};
    first.client = client_of(config_of(&first));
    second.client = client_of(config_of(&second));
    first.token = second.token = sim_token("{\"user\":\"user_ada\"}");
    sides[0] = &first, sides[1] = &second;
    first.act = ping;
    CHECK_CSTR(outcome_of(first.client, first.token), "signed_in verified");
    CHECK_CSTR(outcome_of(first.client, first.token), "signed_in cache");
    CHECK_CSTR(outcome_of(second.client, second.token), "signed_in cache");
    clerk_client_free(first.client);
    clerk_client_free(second.client);
    check_destroyed(&first, 1);
    check_destroyed(&second, 1);
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

typedef struct {
    const clerk_client *client;
    const char *token;
    pthread_t thread;
    char outcome[128];
} caller;

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void *call(void *argument) {
    caller *own = argument;
    snprintf(own->outcome, sizeof own->outcome, "%s", outcome_of(own->client, own->token));
    return NULL;
}

static void client_freed_during_calls(void) {
    enum { CALLERS = 6 };
    for (int round = 0; round < 2; round++) {
        sim_reset();
        sim_put("/users/user_ada", "{\"username\":\"ada\"}");
        sim_put("/faults", "[{\"path\":\"%s\",\"delay_ms\":1000}]", round == 0 ? "/jwks" : "/users/*");
        counter counted = {0};
        clerk_config *config = sim_config();
        set(config, "user_mode", "profile");
        CHECK_OK(clerk_config_set_event_callback(config, count_event, &counted, count_destroyed));
        clerk_client *client = client_of(config);
        caller callers[CALLERS];
        for (int i = 0; i < CALLERS; i++) {
            callers[i] = (caller){.client = client, .token = sim_token("{\"user\":\"user_ada\"}")};
            CHECK(pthread_create(&callers[i].thread, NULL, call, &callers[i]) == 0);
        }
        while (counted.events[CLERK_EVENT_KIND_CACHE_MISS] < CALLERS) pause_ms(1);
        clerk_client_free(client);
        CHECK_INT(counted.destroyed, 0);
        for (int i = 0; i < CALLERS; i++) {
            CHECK(pthread_join(callers[i].thread, NULL) == 0);
            CHECK_CSTR(callers[i].outcome, "signed_in verified");
        }
        CHECK_INT(counted.destroyed, 1);
        CHECK_INT(counted.events[CLERK_EVENT_KIND_AUTH_SUCCESS], CALLERS);
    }
}

static void shutdown_cancels_call_in_progress(void) {
    sim_reset();
    sim_put("/faults", "[{\"path\":\"/jwks\",\"delay_ms\":20000,\"times\":1}]");
    counter counted = {0};
    clerk_config *config = sim_config();
    set(config, "timeout_ms", "20000");
    CHECK_OK(clerk_config_set_event_callback(config, count_event, &counted, count_destroyed));
    clerk_client *client = client_of(config);
    caller waiting = {.client = client, .token = sim_token("{\"user\":\"user_ada\"}")};
    CHECK(pthread_create(&waiting.thread, NULL, call, &waiting) == 0);
    while (sim_count("/jwks") < 1) pause_ms(5);
    time_t before = time(NULL);
    CHECK_STATUS(clerk_client_shutdown(client), CLERK_OK);
    CHECK(pthread_join(waiting.thread, NULL) == 0);
    CHECK(time(NULL) - before <= 2);
    CHECK_CSTR(waiting.outcome, "unavailable jwk-failed-to-load");
    clerk_client_free(client);
    CHECK_INT(counted.destroyed, 1);
}

/* When a thread exits, the library's thread-local storage no longer exists; a destructor of the application may still call. */
static pthread_key_t exit_key;
static atomic_int exits;

static void destructor(void *value) {
    fixture *fixture = value;
    CHECK_CSTR(cached_outcome_of(fixture->client, fixture->token), "signed_in cache");
    CHECK_CSTR(outcome_of(fixture->client, fixture->token), "signed_in cache");
    CHECK_STATUS(clerk_client_invalidate_all(fixture->client), CLERK_OK);
    CHECK_CSTR(outcome_of(fixture->client, fixture->token), "signed_in verified");
    clerk_config *config = sim_config();
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_config_set(config, CLERK_STR("x"), CLERK_STR("y"), &error), CLERK_E_CONFIG);
    clerk_error_free(error);
    clerk_client_free(client_of(config));
    clerk_client_free(fixture->client);
    check_destroyed(fixture, 1);
    atomic_fetch_add(&exits, 1);
}

static void *use_and_exit(void *argument) {
    fixture *fixture = argument;
    CHECK_CSTR(outcome_of(fixture->client, fixture->token), "signed_in verified");
    CHECK(pthread_setspecific(exit_key, fixture) == 0);
    return NULL;
}

static void thread_exit_destructor_may_call(void) {
    sim_reset();
    sim_put("/users/user_ada", "{\"username\":\"ada\"}");
    fixture fixture = {.table = TABLE_INIT};
    clerk_config *config = config_of(&fixture);
    set(config, "row_check_ttl_s", "60");
    fixture.client = client_of(config);
    fixture.other = sim_client();
    fixture.token = sim_token("{\"user\":\"user_ada\"}");
    CHECK(pthread_key_create(&exit_key, destructor) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, use_and_exit, &fixture) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_INT(exits, 1);
    clerk_client_free(fixture.other);
}

static clerk_client *called_by_clock;

static int64_t calling_clock(void *userdata) {
    *(int *)userdata += 1;
    clerk_stats stats = CLERK_STATS_INIT;
    if (called_by_clock != NULL) {
        CHECK_STATUS(clerk_client_stats(called_by_clock, &stats), CLERK_OK);
        CHECK_CSTR(cached_outcome_of(called_by_clock, "garbage"), "signed_out token-invalid");
    }
    return (int64_t)time(NULL) * 1000;
}

/* A clock callback that calls a function that needs the time does not recurse. */
static void clock_callback_may_call_client(void) {
    int calls = 0;
    clerk_config *config = sim_config();
    CHECK_STATUS(clerk_config_set_clock_callback(config, calling_clock, &calls, NULL), CLERK_OK);
    called_by_clock = client_of(config);
    calls = 0;
    clerk_stats stats = CLERK_STATS_INIT;
    CHECK_STATUS(clerk_client_stats(called_by_clock, &stats), CLERK_OK);
    CHECK_INT(calls, 1);
    clerk_client_free(called_by_clock);
}

int main(void) {
    clock_callback_may_call_client();
    userdata_destroyed_with_last_owner();
    userdata_destroyed_when_replaced_or_refused();
    callbacks_may_call_client();
    stepwise_callbacks_may_call_client();
    two_clients_may_call_each_other();
    client_freed_during_calls();
    shutdown_cancels_call_in_progress();
    thread_exit_destructor_may_call();
    return 0;
}
