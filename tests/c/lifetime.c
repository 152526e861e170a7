/* Who lives how long: userdata is destroyed exactly once and never too early, clients may be freed from anywhere, and a
 * hook that calls back gets an answer instead of a deadlock. */
#include "table.h"

#include <time.h>

enum hook { EVENT, LOG, CLOCK, STORE, HOOKS };
enum verb { AUTHENTICATE, CACHED, BEGIN, VERIFY, WARM_UP, STATS, INVALIDATE, WEBHOOK, VERBS };

/* What one hook holds. */
typedef struct host host;
typedef struct {
    host *host;
    int destroyed;
    bool is_absent;
} data;

struct host {
    table table;
    data data[HOOKS];
    clerk_client *client, *other;
    const char *token;
    /* In this hook, when it is called for the first time, this is done. */
    enum hook where;
    void (*act)(host *);
    int acted, depth;
};

static void on_hook(data *own, enum hook which) {
    host *host = own->host;
    /* Nothing is destroyed while it is in use. */
    for (int i = 0; i < HOOKS; i++) CHECK_INT(host->data[i].destroyed, 0);
    if (host->act == NULL || host->where != which || host->depth > 0) return;
    host->depth++;
    void (*act)(struct host *) = host->act;
    host->act = NULL;
    host->acted++;
    act(host);
    host->depth--;
    for (int i = 0; i < HOOKS; i++) CHECK_INT(host->data[i].destroyed, 0);
}

static void on_event(void *userdata, const clerk_event *event) {
    on_hook(userdata, EVENT);
    clerk_str id = clerk_event_clerk_id(event);
    CHECK_TEXT(id, id.data);
}

static void on_log(void *userdata, int32_t level, clerk_str message) {
    on_hook(userdata, LOG);
    CHECK(level >= CLERK_LOG_LEVEL_ERROR && level <= CLERK_LOG_LEVEL_DEBUG);
    CHECK_TEXT(message, message.data);
}

static int64_t on_clock(void *userdata) {
    on_hook(userdata, CLOCK);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int32_t on_store(void *userdata, const clerk_store_request *step, clerk_store_response *reply) {
    data *own = userdata;
    on_hook(own, STORE);
    return table_answer(&own->host->table, step, reply);
}

static void on_destroy(void *userdata) {
    data *own = userdata;
    own->destroyed++;
}

static clerk_config *hooked(host *host) {
    clerk_config *config = sim_config();
    set(config, "webhook_secrets", "whsec_Y2xlcmstc2ltLXdlYmhvb2stc2VjcmV0LTAwMDE=");
    for (int i = 0; i < HOOKS; i++) host->data[i] = (data){.host = host};
    CHECK_STATUS(clerk_config_set_event_callback(config, on_event, &host->data[EVENT], on_destroy), CLERK_OK);
    CHECK_STATUS(clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_DEBUG, on_log, &host->data[LOG], on_destroy), CLERK_OK);
    CHECK_STATUS(clerk_config_set_clock_callback(config, on_clock, &host->data[CLOCK], on_destroy), CLERK_OK);
    CHECK_STATUS(clerk_config_set_user_store(config, on_store, &host->data[STORE], on_destroy), CLERK_OK);
    return config;
}

/* Leaves one hook, and the store. */
static void leave_only(host *host, clerk_config *config, enum hook which) {
    if (which != EVENT) clerk_config_set_event_callback(config, NULL, NULL, NULL);
    if (which != LOG) clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_WARN, NULL, NULL, NULL);
    if (which != CLOCK) clerk_config_set_clock_callback(config, NULL, NULL, NULL);
    for (int i = 0; i < STORE; i++) {
        host->data[i].is_absent = i != (int)which;
        CHECK_INT(host->data[i].destroyed, host->data[i].is_absent);
        host->data[i].destroyed = 0;
    }
}

static void destroyed(const host *host, int times) {
    for (int i = 0; i < HOOKS; i++) CHECK_INT(host->data[i].destroyed, host->data[i].is_absent ? 0 : times);
}

/* --- exactly once ------------------------------------------------------------------------------------------------- */

static void with_the_last_of_config_and_clients(void) {
    host host = {.table = TABLE_INIT};
    clerk_config_free(hooked(&host));
    destroyed(&host, 1);

    clerk_config *config = hooked(&host);
    clerk_client *first = NULL, *second = NULL;
    CHECK_STATUS(clerk_client_new(config, &first, NULL), CLERK_OK);
    CHECK_STATUS(clerk_client_new(config, &second, NULL), CLERK_OK);
    clerk_config_free(config);
    CHECK(clerk_client_retain(first) == first);
    clerk_client_free(first);
    clerk_client_free(second);
    destroyed(&host, 0);
    clerk_client_free(first);
    destroyed(&host, 1);

    config = hooked(&host);
    CHECK_STATUS(clerk_client_new(config, &first, NULL), CLERK_OK);
    clerk_client_free(first);
    destroyed(&host, 0);
    clerk_config_free(config);
    destroyed(&host, 1);

    /* A client that cannot be made takes nothing along. */
    config = hooked(&host);
    set(config, "secret_key", "");
    CHECK_STATUS(clerk_client_new(config, &first, NULL), CLERK_E_CONFIG);
    destroyed(&host, 0);
    set(config, "secret_key", "sk_test_simulated");
    CHECK_STATUS(clerk_client_new(config, &first, NULL), CLERK_OK);
    clerk_config_free(config);
    clerk_client_free(first);
    destroyed(&host, 1);
}

static void when_it_is_replaced_or_refused(void) {
    host host = {.table = TABLE_INIT};
    data next[HOOKS] = {0};
    clerk_config *config = hooked(&host);
    clerk_client *client = NULL;
    CHECK_STATUS(clerk_client_new(config, &client, NULL), CLERK_OK);
    for (int round = 0; round < 2; round++) {
        /* The first round's go to the second; the client keeps its own. */
        for (int i = 0; i < HOOKS; i++) CHECK_INT(next[i].destroyed, 0);
        clerk_config_set_event_callback(config, on_event, &next[EVENT], on_destroy);
        clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_WARN, on_log, &next[LOG], on_destroy);
        clerk_config_set_clock_callback(config, on_clock, &next[CLOCK], on_destroy);
        clerk_config_set_user_store(config, on_store, &next[STORE], on_destroy);
        destroyed(&host, 0);
        for (int i = 0; i < HOOKS; i++) CHECK_INT(next[i].destroyed, round);
        for (int i = 0; i < HOOKS; i++) next[i].destroyed = 0;
    }
    clerk_client_free(client);
    destroyed(&host, 1);
    /* Taken away, with data that is given all the same. */
    data given[HOOKS] = {0};
    clerk_config_set_event_callback(config, NULL, &given[EVENT], on_destroy);
    clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_WARN, NULL, &given[LOG], on_destroy);
    clerk_config_set_clock_callback(config, NULL, &given[CLOCK], on_destroy);
    clerk_config_set_user_store(config, NULL, &given[STORE], on_destroy);
    for (int i = 0; i < HOOKS; i++) CHECK(next[i].destroyed == 1 && given[i].destroyed == 1);
    clerk_config_free(config);
    for (int i = 0; i < HOOKS; i++) CHECK(next[i].destroyed == 1 && given[i].destroyed == 1);

    /* A call that fails has taken the data as well. */
    data failed = {0};
    CHECK_STATUS(clerk_config_set_event_callback(NULL, on_event, &failed, on_destroy), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_log_callback(NULL, CLERK_LOG_LEVEL_WARN, on_log, &failed, on_destroy), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_clock_callback(NULL, on_clock, &failed, on_destroy), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_user_store(NULL, on_store, &failed, on_destroy), CLERK_E_NULL);
    CHECK_INT(failed.destroyed, 4);
    config = hooked(&host);
    CHECK_STATUS(clerk_config_set_log_callback(config, 9, on_log, &failed, on_destroy), CLERK_E_ARGUMENT);
    CHECK_INT(failed.destroyed, 5);
    destroyed(&host, 0);
    clerk_config_set_sqlite_path(config, CLERK_STR("/nowhere/at/all"), NULL);
    destroyed(&host, 0);
    clerk_config_free(config);
    destroyed(&host, 1);
}

/* --- hooks that call back ----------------------------------------------------------------------------------------- */

/* A verb, as it is called from outside. */
static const char *run(host *host, enum verb verb) {
    clerk_client *client = host->client;
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", host->token);
    clerk_request request = bearer(line);
    clerk_result *result = NULL;
    clerk_pending *pending = NULL;
    clerk_stats stats = CLERK_STATS_INIT;
    switch (verb) {
    case AUTHENTICATE:
        return ask(client, host->token);
    case CACHED:
        return ask_cached(client, host->token);
    case BEGIN: {
        int32_t status = clerk_authenticate_begin(client, &request, &result, &pending, NULL);
        if (status != CLERK_PENDING) return ended(status, &result);
        for (int32_t kind; (kind = clerk_pending_next_action(pending)) != CLERK_STORE_REQUEST_KIND_DONE;) {
            const clerk_store_request *step = clerk_pending_request(pending);
            if (kind == CLERK_STORE_REQUEST_KIND_FETCH_USER) clerk_pending_fetch(pending);
            else clerk_pending_submit(pending, table_answer(&host->table, step, clerk_pending_response(pending)));
        }
        status = clerk_pending_finish(pending, &result, NULL);
        return ended(status, &result);
    }
    case VERIFY:
        return ended(clerk_verify_token(client, clerk_str_of(host->token), &result, NULL), &result);
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
            lines[i] = (clerk_header){clerk_str_of(names[i]), clerk_str_of(json_text(made, names[i]))};
        }
        return clerk_status_name(clerk_webhook_handle(client, lines, 3, clerk_str_of(json_text(made, "body")), NULL));
    }
    }
}

/* What a verb does when no hook calls back, and which hooks it runs. */
static const char *const words[VERBS] = {"in verified", "in verified", "in verified", "in verified", "CLERK_OK", "CLERK_OK", "CLERK_OK",
                                         "CLERK_OK"};
static const bool runs[VERBS][HOOKS] = {
    [AUTHENTICATE] = {true, true, true, true}, [CACHED] = {true, false, true, false},
    [BEGIN] = {true, true, true, false},       [VERIFY] = {true, true, true, false},
    [WARM_UP] = {true, true, true, false},     [STATS] = {false, false, true, false},
    [INVALIDATE] = {false, false, false, false}, [WEBHOOK] = {true, false, true, true},
};

static void call_back(host *host);

/* Runs a verb with something being done in one of its hooks. */
static void run_with(enum verb verb, enum hook where, bool alone, void (*act)(host *), bool frees) {
    sim_reset();
    sim_put("/users/user_ada", "{\"username\":\"ada\",\"first_name\":\"Ada\"}");
    host host = {.table = TABLE_INIT, .where = where};
    clerk_config *config = hooked(&host);
    if (alone) leave_only(&host, config, where);
    set(config, "row_check_ttl_s", "60");
    if (verb == CACHED) set(config, "user_mode", "claims");
    host.client = client_of(config);
    host.other = sim_client();
    host.token = sim_token("{\"user\":\"user_ada\"}");
    CHECK_STATUS(clerk_client_warm_up(host.other, NULL), CLERK_OK);
    /* Answers from memory need the keys; a log line needs a fault. */
    if (verb == CACHED) CHECK_STATUS(clerk_client_warm_up(host.client, NULL), CLERK_OK);
    bool fails = where == LOG && runs[verb][LOG];
    if (fails) sim_put("/faults", "[{\"path\":\"/jwks\",\"status\":401}]");
    host.act = act;
    const char *said = run(&host, verb);
    if (fails) CHECK_WORD(said, verb == WARM_UP ? "CLERK_E_API" : "unavailable secret-key-invalid");
    /* The clock is asked first: what its hook asks from memory is remembered by then. */
    else if (verb == CACHED && where == CLOCK && act == call_back) CHECK_WORD(said, "in cache");
    else CHECK_WORD(said, words[verb]);
    CHECK_INT(host.acted, runs[verb][where]);
    bool freed = frees && host.acted > 0;
    destroyed(&host, freed);
    if (!freed) clerk_client_free(host.client);
    destroyed(&host, 1);
    clerk_client_free(host.other);
}

static void free_it(host *host) {
    clerk_client_free(host->client);
}

static void retain_and_free_it(host *host) {
    clerk_client *client = clerk_client_retain(host->client);
    clerk_client_free(client);
    clerk_client_free(client);
}

/* All that may not be called on the same client, and all that may. */
static void call_back(host *host) {
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", host->token);
    clerk_request request = bearer(line);
    for (int i = 0; i < 2; i++) {
        clerk_result *result = (clerk_result *)host;
        clerk_pending *pending = (clerk_pending *)host;
        clerk_error *error = (clerk_error *)host;
        CHECK_STATUS(clerk_authenticate(host->client, &request, &result, &error), CLERK_E_REENTRANT);
        CHECK(result == NULL && error == NULL);
        result = (clerk_result *)host;
        CHECK_STATUS(clerk_authenticate_begin(host->client, &request, &result, &pending, &error), CLERK_E_REENTRANT);
        CHECK(result == NULL && pending == NULL && error == NULL);
        result = (clerk_result *)host;
        CHECK_STATUS(clerk_verify_token(host->client, clerk_str_of(host->token), &result, NULL), CLERK_E_REENTRANT);
        CHECK(result == NULL);
        CHECK_STATUS(clerk_client_warm_up(host->client, NULL), CLERK_E_REENTRANT);
        CHECK_STATUS(clerk_webhook_handle(host->client, NULL, 0, CLERK_STR("{}"), NULL), CLERK_E_REENTRANT);
        /* What may be called leaves the thread inside. */
        int32_t status = clerk_authenticate_cached(host->client, &request, &result);
        CHECK(status == CLERK_OK || status == CLERK_WOULD_BLOCK);
        ended(status, &result);
        clerk_stats stats = CLERK_STATS_INIT;
        CHECK_STATUS(clerk_client_stats(host->client, &stats), CLERK_OK);
        CHECK(clerk_client_retain(host->client) == host->client);
        clerk_client_free(host->client);
    }
    /* Another client is another matter. */
    CHECK_WORD(ask(host->other, host->token), "in verified");
    CHECK_WORD(ask(host->other, host->token), "in cache");
    clerk_result *result = NULL;
    CHECK_STATUS(clerk_authenticate(host->client, &request, &result, NULL), CLERK_E_REENTRANT);
}

static void forget_everything(host *host) {
    CHECK_STATUS(clerk_client_invalidate_token(host->client, clerk_str_of(host->token)), CLERK_OK);
    CHECK_STATUS(clerk_client_invalidate_user(host->client, CLERK_STR("user_ada")), CLERK_OK);
    CHECK_STATUS(clerk_client_invalidate_session(host->client, CLERK_STR("sess_ada")), CLERK_OK);
    CHECK_STATUS(clerk_client_invalidate_all(host->client), CLERK_OK);
    CHECK_STATUS(clerk_client_shutdown(host->client), CLERK_OK);
}

static void every_hook_of_every_verb_may_call_back(void) {
    for (int verb = 0; verb < VERBS; verb++) {
        for (int i = 0; i < HOOKS * 2; i++) {
            /* Among others, and as the only one that there is. */
            enum hook where = (enum hook)(i / 2);
            run_with((enum verb)verb, where, i % 2, free_it, true);
            run_with((enum verb)verb, where, i % 2, retain_and_free_it, true);
            run_with((enum verb)verb, where, i % 2, call_back, false);
            run_with((enum verb)verb, where, i % 2, forget_everything, false);
        }
    }
}

/* Steps taken by hand run hooks, too: at their end, or when they are given up. */
static clerk_pending *in_hand;

static void go_on_in_the_hook(host *host) {
    clerk_pending *other = in_hand;
    in_hand = NULL;
    clerk_result *result = (clerk_result *)host;
    CHECK_STATUS(clerk_pending_submit(other, CLERK_STORE_OK), CLERK_E_REENTRANT);
    CHECK_STATUS(clerk_pending_fetch(other), CLERK_E_REENTRANT);
    CHECK_STATUS(clerk_pending_finish(other, &result, NULL), CLERK_E_REENTRANT);
    CHECK(result == NULL);
    call_back(host);
}

static clerk_pending *begun(const host *host) {
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", host->token);
    clerk_request request = bearer(line);
    clerk_result *result = NULL;
    clerk_pending *pending = NULL;
    CHECK_STATUS(clerk_authenticate_begin(host->client, &request, &result, &pending, NULL), CLERK_PENDING);
    return pending;
}

static void hooks_of_steps_taken_by_hand(void) {
    for (int act = 0; act < 3; act++) {
        for (int early = 0; early < 2; early++) {
            sim_reset();
            sim_put("/users/user_ada", "{\"username\":\"ada\"}");
            host host = {.table = TABLE_INIT, .where = EVENT};
            host.client = client_of(hooked(&host));
            host.other = sim_client();
            host.token = sim_token("{\"user\":\"user_ada\"}");
            clerk_pending *pending = begun(&host);
            in_hand = begun(&host);
            if (act != 0) clerk_pending_free(in_hand);
            static void (*const acts[])(struct host *) = {go_on_in_the_hook, call_back, free_it};
            host.act = acts[act];
            while (!early && clerk_pending_next_action(pending) != CLERK_STORE_REQUEST_KIND_DONE) {
                const clerk_store_request *step = clerk_pending_request(pending);
                int32_t returned = table_answer(&host.table, step, clerk_pending_response(pending));
                CHECK_STATUS(clerk_pending_submit(pending, returned), CLERK_OK);
            }
            clerk_result *result = NULL;
            const char *said = ended(clerk_pending_finish(pending, &result, NULL), &result);
            CHECK_WORD(said, early ? "unavailable store-error" : "in verified");
            CHECK_INT(host.acted, 1);
            destroyed(&host, act == 2);
            if (act != 2) clerk_client_free(host.client);
            destroyed(&host, 1);
            clerk_client_free(host.other);
        }
    }
}

/* Two clients whose hooks call one another: each is left before it is entered again. */
static void ping(host *host);

static struct host *sides[2];

static void ping(host *host) {
    int own = host == sides[1];
    struct host *other = sides[!own];
    if (own == 0) {
        other->act = ping;
        CHECK_WORD(ask(other->client, other->token), "in verified");
        CHECK_INT(other->acted, 1);
    }
    CHECK_WORD(ask(host->client, host->token), "CLERK_E_REENTRANT");
    if (own == 1) CHECK_WORD(ask(other->client, other->token), "CLERK_E_REENTRANT");
}

static void two_clients_that_call_one_another(void) {
    sim_reset();
    sim_put("/users/user_ada", "{\"username\":\"ada\"}");
    host first = {.table = TABLE_INIT, .where = STORE}, second = {.table = TABLE_INIT, .where = STORE};
    first.client = client_of(hooked(&first));
    second.client = client_of(hooked(&second));
    first.token = second.token = sim_token("{\"user\":\"user_ada\"}");
    sides[0] = &first, sides[1] = &second;
    first.act = ping;
    CHECK_WORD(ask(first.client, first.token), "in verified");
    CHECK_WORD(ask(first.client, first.token), "in cache");
    CHECK_WORD(ask(second.client, second.token), "in cache");
    clerk_client_free(first.client);
    clerk_client_free(second.client);
    destroyed(&first, 1);
    destroyed(&second, 1);
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

typedef struct {
    const clerk_client *client;
    const char *token;
    pthread_t thread;
    char said[128];
} caller;

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void *call(void *argument) {
    caller *own = argument;
    snprintf(own->said, sizeof own->said, "%s", ask(own->client, own->token));
    return NULL;
}

static void freed_while_others_are_inside(void) {
    enum { CALLERS = 6 };
    for (int round = 0; round < 2; round++) {
        sim_reset();
        sim_put("/users/user_ada", "{\"username\":\"ada\"}");
        sim_put("/faults", "[{\"path\":\"%s\",\"delay_ms\":300}]", round == 0 ? "/jwks" : "/users/*");
        counter counted = {0};
        clerk_config *config = sim_config();
        set(config, "user_mode", "profile");
        clerk_config_set_event_callback(config, count_event, &counted, count_destroyed);
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
            CHECK_WORD(callers[i].said, "in verified");
        }
        CHECK_INT(counted.destroyed, 1);
        CHECK_INT(counted.events[CLERK_EVENT_KIND_AUTH_SUCCESS], CALLERS);
    }
}

static void broken_off_from_another_thread(void) {
    sim_reset();
    sim_put("/faults", "[{\"path\":\"/jwks\",\"delay_ms\":20000,\"times\":1}]");
    counter counted = {0};
    clerk_config *config = sim_config();
    set(config, "timeout_ms", "20000");
    clerk_config_set_event_callback(config, count_event, &counted, count_destroyed);
    clerk_client *client = client_of(config);
    caller waiting = {.client = client, .token = sim_token("{\"user\":\"user_ada\"}")};
    CHECK(pthread_create(&waiting.thread, NULL, call, &waiting) == 0);
    while (sim_count("/jwks") < 1) pause_ms(5);
    time_t before = time(NULL);
    CHECK_STATUS(clerk_client_shutdown(client), CLERK_OK);
    CHECK(pthread_join(waiting.thread, NULL) == 0);
    CHECK(time(NULL) - before <= 2);
    CHECK_WORD(waiting.said, "unavailable jwk-failed-to-load");
    clerk_client_free(client);
    CHECK_INT(counted.destroyed, 1);
}

/* At a thread's end the library's own memory of it is gone already; a host's clean-up may still call. */
static pthread_key_t at_end;
static atomic_int ends;

static void clean_up(void *value) {
    host *host = value;
    CHECK_WORD(ask_cached(host->client, host->token), "in cache");
    CHECK_WORD(ask(host->client, host->token), "in cache");
    CHECK_STATUS(clerk_client_invalidate_all(host->client), CLERK_OK);
    CHECK_WORD(ask(host->client, host->token), "in verified");
    clerk_config *config = sim_config();
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_config_set(config, CLERK_STR("x"), CLERK_STR("y"), &error), CLERK_E_CONFIG);
    clerk_error_free(error);
    clerk_client_free(client_of(config));
    clerk_client_free(host->client);
    destroyed(host, 1);
    atomic_fetch_add(&ends, 1);
}

static void *live_and_end(void *argument) {
    host *host = argument;
    CHECK_WORD(ask(host->client, host->token), "in verified");
    CHECK(pthread_setspecific(at_end, host) == 0);
    return NULL;
}

static void at_a_threads_end(void) {
    sim_reset();
    sim_put("/users/user_ada", "{\"username\":\"ada\"}");
    host host = {.table = TABLE_INIT};
    clerk_config *config = hooked(&host);
    set(config, "row_check_ttl_s", "60");
    host.client = client_of(config);
    host.other = sim_client();
    host.token = sim_token("{\"user\":\"user_ada\"}");
    CHECK(pthread_key_create(&at_end, clean_up) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, live_and_end, &host) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_INT(ends, 1);
    clerk_client_free(host.other);
}

static clerk_client *asked_by_clock;

static int64_t clock_that_asks(void *userdata) {
    *(int *)userdata += 1;
    clerk_stats stats = CLERK_STATS_INIT;
    if (asked_by_clock != NULL) {
        CHECK_STATUS(clerk_client_stats(asked_by_clock, &stats), CLERK_OK);
        CHECK_WORD(ask_cached(asked_by_clock, "garbage"), "out token-invalid");
    }
    return (int64_t)time(NULL) * 1000;
}

/* A clock that asks what has to look at the clock comes to an end. */
static void a_clock_may_ask_its_own_client(void) {
    int asked = 0;
    clerk_config *config = sim_config();
    CHECK_STATUS(clerk_config_set_clock_callback(config, clock_that_asks, &asked, NULL), CLERK_OK);
    asked_by_clock = client_of(config);
    asked = 0;
    clerk_stats stats = CLERK_STATS_INIT;
    CHECK_STATUS(clerk_client_stats(asked_by_clock, &stats), CLERK_OK);
    CHECK_INT(asked, 1);
    clerk_client_free(asked_by_clock);
}

int main(void) {
    a_clock_may_ask_its_own_client();
    with_the_last_of_config_and_clients();
    when_it_is_replaced_or_refused();
    every_hook_of_every_verb_may_call_back();
    hooks_of_steps_taken_by_hand();
    two_clients_that_call_one_another();
    freed_while_others_are_inside();
    broken_off_from_another_thread();
    at_a_threads_end();
    return 0;
}
