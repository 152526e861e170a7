/* Stepwise authentications: same outcomes as with callbacks, on any thread, cancelled at any step. */
#include "table.h"

/* The user store callback is not called in stepwise authentications. */
static int32_t never(void *userdata, const clerk_store_request *request, clerk_store_response *response) {
    (void)userdata, (void)request, (void)response;
    check_failed(__FILE__, __LINE__, __func__, "the user store callback was called");
}

static clerk_client *stepwise_client(counter *counted) {
    clerk_config *config = sim_config();
    CHECK_OK(clerk_config_set_user_store(config, never, counted, count_destroyed));
    CHECK_OK(clerk_config_set_event_callback(config, count_event, counted, NULL));
    return client_of(config);
}

/* Returns a pending authentication, or NULL and the outcome. */
static clerk_pending *begin_pending(const clerk_client *client, const char *token, const char **outcome) {
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", token ? token : "");
    clerk_request request = CLERK_REQUEST_INIT;
    if (token != NULL) request = bearer(line);
    clerk_result *result = (clerk_result *)&request;
    clerk_pending *pending = (clerk_pending *)&request;
    int32_t status = clerk_authenticate_begin(client, &request, &result, &pending, NULL);
    /* The request is not needed any more. */
    memset(line, 'x', sizeof line);
    memset(&request, 0xff, sizeof request);
    CHECK((status == CLERK_PENDING) == (pending != NULL));
    if (pending != NULL) CHECK(result == NULL);
    else *outcome = outcome_and_free(status, &result);
    return pending;
}

/* Executes one step with the table; false when all are done. */
static bool execute_step(clerk_pending *pending, table *table) {
    int32_t kind = clerk_pending_next_action(pending);
    const clerk_store_request *request = clerk_pending_request(pending);
    clerk_store_response *response = clerk_pending_response(pending);
    CHECK(kind != CLERK_STORE_REQUEST_KIND_BEGIN && kind != CLERK_STORE_REQUEST_KIND_COMMIT &&
          kind != CLERK_STORE_REQUEST_KIND_ROLLBACK);
    CHECK((kind == CLERK_STORE_REQUEST_KIND_DONE) == (request == NULL) && (request == NULL) == (response == NULL));
    CHECK_INT(clerk_store_request_get_kind(request), kind);
    if (kind == CLERK_STORE_REQUEST_KIND_DONE) {
        CHECK_STATUS(clerk_pending_submit(pending, CLERK_STORE_OK), CLERK_E_STATE);
        CHECK_STATUS(clerk_pending_fetch(pending), CLERK_E_STATE);
        return false;
    }
    if (kind == CLERK_STORE_REQUEST_KIND_FETCH_USER) {
        CHECK_STATUS(clerk_pending_submit(pending, CLERK_STORE_OK), CLERK_E_STATE);
        CHECK_STATUS(clerk_pending_fetch(pending), CLERK_OK);
    } else {
        CHECK_STATUS(clerk_pending_fetch(pending), CLERK_E_STATE);
        int32_t returned = table_execute(table, request, response);
        CHECK_STATUS(clerk_pending_submit(pending, returned), CLERK_OK);
    }
    return true;
}

static const char *finish(clerk_pending *pending) {
    clerk_result *result = (clerk_result *)&pending;
    return outcome_and_free(clerk_pending_finish(pending, &result, NULL), &result);
}

static const char *authenticate_stepwise(const clerk_client *client, const char *token, table *table) {
    const char *outcome = NULL;
    clerk_pending *pending = begin_pending(client, token, &outcome);
    if (pending == NULL) return outcome;
    while (execute_step(pending, table)) {}
    return finish(pending);
}

static void put_users(void) {
    sim_put("/users/user_1", "{\"username\":\"ada\",\"first_name\":\"Ada\",\"email_addresses\":[\"ada@example.com\"],"
            "\"primary_email_address_id\":\"idn_0001\"}");
    sim_put("/users/user_2", "{\"username\":\"ADA\",\"banned\":true}");
}

/* Only callbacks get transactions. */
static const char *without_transactions(const char *log) {
    static char plain[4096];
    plain[0] = 0;
    char outcome[4096];
    strcpy(outcome, log);
    char *rest = NULL;
    for (char *word = strtok_r(outcome, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (strcmp(word, "begin") && strcmp(word, "commit") && strcmp(word, "rollback")) {
            strcat(strcat(plain, word), " ");
        }
    }
    return plain;
}

/* Each case twice: with callbacks and in steps. */
static void steps_and_callbacks_agree(void) {
    sim_reset();
    put_users();
    static table tables[2] = {TABLE_INIT, TABLE_INIT};
    counter counted[2] = {0};
    clerk_config *config = sim_config();
    CHECK_OK(clerk_config_set_user_store(config, table_execute, &tables[0], NULL));
    CHECK_OK(clerk_config_set_event_callback(config, count_event, &counted[0], NULL));
    clerk_client *with_callbacks = client_of(config), *with_steps = stepwise_client(&counted[1]);
    for (int i = 0; i < 2; i++) table_add(&tables[i], NULL, "Ada@example.com", "boss");
    const char *ada = sim_token("{\"user\":\"user_1\"}"), *banned = sim_token("{\"user\":\"user_2\"}");
    const char *unknown = sim_token("{\"user\":\"user_404\"}"), *tampered = sim_token("{\"spoil\":\"tampered\"}");
    const struct {
        const char *token, *outcome;
    } cases[] = {
        {ada, "signed_in verified"},
        {ada, "signed_in cache"},
        {banned, "signed_out user-inactive"},
        {unknown, "signed_out user-not-found"},
        {tampered, "signed_out token-invalid-signature"},
        {NULL, "no_credentials session-token-missing"},
        {"nonsense", "signed_out token-invalid"},
        {ada, "signed_in cache"},
        /* The row is deactivated. */
        {ada, "signed_out user-inactive"},
        {ada, "signed_out user-inactive"},
        /* The row is deleted. */
        {ada, "signed_in verified"},
        {ada, "signed_in cache"},
        /* Deleted while the result is cached. */
        {ada, "signed_in verified"},
        /* The table fails. */
        {ada, "unavailable store-error"},
        {ada, "signed_in cache"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int j = 0; j < 2; j++) {
            table_row *row = table_of(&tables[j], "user_1");
            if (i == 8) row->numbers[CLERK_COLUMN_IS_ACTIVE] = 0;
            if (i == 10 || i == 12) tables[j].count = 0;
            tables[j].failing = i == 13 ? CLERK_STORE_REQUEST_KIND_FIND_BY_KEY : 0;
            tables[j].code = -9;
        }
        CHECK_CSTR(outcome_of(with_callbacks, cases[i].token), cases[i].outcome);
        CHECK_CSTR(authenticate_stepwise(with_steps, cases[i].token, &tables[1]), cases[i].outcome);
        char first[4096];
        strcpy(first, without_transactions(table_log(&tables[0])));
        CHECK_CSTR(without_transactions(table_log(&tables[1])), first);
        for (int kind = 0; kind < 32; kind++) CHECK_INT(counted[0].events[kind], counted[1].events[kind]);
    }
    clerk_client_free(with_callbacks);
    clerk_client_free(with_steps);
    CHECK_INT(counted[1].destroyed, 1);
}

/* The outcome from the cache and the row; else "CLERK_WOULD_BLOCK". */
static const char *authenticate_stepwise_cached(const clerk_client *client, const char *token, table *table) {
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", token);
    clerk_request request = bearer(line);
    clerk_result *result = NULL;
    clerk_pending *pending = NULL;
    int32_t status = clerk_authenticate_begin_cached(client, &request, &result, &pending);
    CHECK((status == CLERK_PENDING) == (pending != NULL) && (pending == NULL || result == NULL));
    if (status == CLERK_WOULD_BLOCK) {
        CHECK(result == NULL);
        return "CLERK_WOULD_BLOCK";
    }
    if (pending == NULL) return outcome_and_free(status, &result);
    while (execute_step(pending, table)) {}
    return finish(pending);
}

static void cached_begin_never_blocks(void) {
    sim_reset();
    put_users();
    table table = TABLE_INIT;
    counter counted = {0};
    clerk_client *client = stepwise_client(&counted);
    const char *first = sim_token("{\"user\":\"user_1\"}"), *second;
    second = sim_token("{\"user\":\"user_1\",\"sid\":\"sess_2\"}");
    const char *other = sim_token("{\"user\":\"user_2\"}"), *tampered = sim_token("{\"spoil\":\"tampered\"}");
    CHECK_CSTR(authenticate_stepwise_cached(client, first, &table), "CLERK_WOULD_BLOCK");
    CHECK_INT(counted.events[CLERK_EVENT_KIND_CACHE_MISS], 0);
    CHECK_CSTR(authenticate_stepwise(client, first, &table), "signed_in verified");
    sim_admin("DELETE", "/counts", "");
    sim_down(true);
    /* Token and user are cached: the row is looked up, and no request is sent. */
    CHECK_CSTR(authenticate_stepwise_cached(client, first, &table), "signed_in cache");
    CHECK_CSTR(authenticate_stepwise_cached(client, second, &table), "signed_in verified");
    CHECK_CSTR(authenticate_stepwise_cached(client, second, &table), "signed_in cache");
    CHECK_CSTR(authenticate_stepwise_cached(client, other, &table), "CLERK_WOULD_BLOCK");
    CHECK_CSTR(authenticate_stepwise_cached(client, "nonsense", &table), "signed_out token-invalid");
    CHECK(strncmp(authenticate_stepwise_cached(client, tampered, &table), "signed_in", 9) != 0);
    table_of(&table, "user_1")->numbers[CLERK_COLUMN_IS_ACTIVE] = 0;
    CHECK_CSTR(authenticate_stepwise_cached(client, second, &table), "signed_out user-inactive");
    CHECK_CSTR(authenticate_stepwise_cached(client, first, &table), "signed_out user-inactive");
    sim_down(false);
    clerk_client_free(client);
}

/* A table that creates new rows inactive responds with the row, and the request is rejected. */
static void created_row_may_be_inactive(void) {
    sim_reset();
    put_users();
    for (int active = 0; active < 2; active++) {
        for (int who = 0; who < 2; who++) {
            counter counted = {0};
            clerk_client *client = stepwise_client(&counted);
            const char *token = sim_token("{\"user\":\"user_1\"}"), *outcome = NULL;
            clerk_pending *pending = begin_pending(client, token, &outcome);
            for (int32_t kind; (kind = clerk_pending_next_action(pending)) != CLERK_STORE_REQUEST_KIND_DONE;) {
                clerk_store_response *response = clerk_pending_response(pending);
                if (kind == CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN) {
                    CHECK_OK(clerk_store_response_set_username_taken(response, 0));
                }
                if (kind == CLERK_STORE_REQUEST_KIND_CREATE) {
                    CHECK_OK(clerk_store_response_add_row(response, CLERK_STR("7")));
                    CHECK_OK(clerk_store_response_set_string_column(response, CLERK_COLUMN_CLERK_ID,
                                                                    clerk_str_of(who == 0 ? "user_1" : "user_9")));
                    CHECK_OK(clerk_store_response_set_int_column(response, CLERK_COLUMN_IS_ACTIVE, active));
                }
                CHECK_STATUS(clerk_pending_submit(pending, CLERK_STORE_OK), CLERK_OK);
            }
            CHECK_CSTR(finish(pending),
                       who == 1 ? "signed_out link-conflict"
                       : active ? "signed_in verified"
                                : "signed_out user-inactive");
            CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_CREATED], who == 0);
            clerk_client_free(client);
        }
    }
}

static void unexpected_calls_are_refused(void) {
    sim_reset();
    put_users();
    counter counted = {0};
    clerk_client *client = stepwise_client(&counted);
    const char *token = sim_token("{\"user\":\"user_1\"}"), *outcome = NULL;
    /* Finished too early: unavailable. */
    clerk_pending *pending = begin_pending(client, token, &outcome);
    CHECK_CSTR(finish(pending), "unavailable store-error");
    CHECK_INT(counted.events[CLERK_EVENT_KIND_AUTH_FAILED], 1);

    /* An unexpected response ends it; later calls change nothing. */
    for (int i = 0; i < 5; i++) {
        pending = begin_pending(client, token, &outcome);
        CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID);
        CHECK_STR(clerk_store_request_value(clerk_pending_request(pending)), "user_1");
        CHECK_STR(clerk_store_request_key(clerk_pending_request(pending)), NULL);
        clerk_store_response *response = clerk_pending_response(pending);
        CHECK(response == clerk_pending_response(pending));
        if (i == 0) CHECK_OK(clerk_store_response_add_row(response, CLERK_STR("9")));
        if (i == 1) {
            CHECK_STATUS(clerk_store_response_add_row(response, CLERK_STR("")), CLERK_E_ARGUMENT);
            CHECK_OK(clerk_store_response_add_row(response, CLERK_STR("9")));
        }
        static const int32_t returned[] = {0, 0, CLERK_STORE_CONFLICT, CLERK_STORE_DECLINE, 77};
        CHECK_STATUS(clerk_pending_submit(pending, returned[i]), CLERK_OK);
        CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_DONE);
        CHECK_STATUS(clerk_pending_submit(pending, 0), CLERK_E_STATE);
        CHECK(clerk_pending_request(pending) == NULL && clerk_pending_response(pending) == NULL);
        CHECK_CSTR(finish(pending), i == 0 ? "signed_out link-conflict" : "unavailable store-error");
    }
    CHECK_CSTR(cached_outcome_of(client, token), "CLERK_WOULD_BLOCK");

    /* The application's message is returned. */
    pending = begin_pending(client, token, &outcome);
    CHECK_OK(clerk_store_response_set_error(clerk_pending_response(pending), CLERK_STR("disk full")));
    CHECK_STATUS(clerk_pending_submit(pending, -28), CLERK_OK);
    clerk_result *result = NULL;
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_pending_finish(pending, &result, &error), CLERK_UNAVAILABLE);
    CHECK_STR(clerk_error_message(error), "disk full");
    CHECK_INT(clerk_error_store_code(error), -28);
    clerk_error_free(error);
    CHECK_CSTR(outcome_and_free(CLERK_UNAVAILABLE, &result), "unavailable store-error");
    clerk_client_free(client);
}

static void cancelled_at_every_step(void) {
    sim_reset();
    put_users();
    counter counted = {0};
    table table = TABLE_INIT;
    clerk_client *client = stepwise_client(&counted);
    const char *token = sim_token("{\"user\":\"user_1\"}"), *outcome = NULL;
    for (int steps = 0;; steps++) {
        clerk_pending *pending = begin_pending(client, token, &outcome);
        CHECK(pending != NULL);
        bool more = true;
        for (int i = 0; i < steps && more; i++) more = execute_step(pending, &table);
        if (!more) {
            CHECK(steps > 3);
            CHECK_CSTR(finish(pending), "signed_in verified");
            break;
        }
        clerk_pending_free(pending);
        table.count = 0;
    }

    /* It has a reference to its client. */
    clerk_pending *pending = begin_pending(client, token, &outcome);
    CHECK(pending != NULL);
    clerk_client_free(client);
    CHECK_INT(counted.destroyed, 0);
    while (execute_step(pending, &table)) {}
    CHECK_CSTR(finish(pending), "signed_in cache");
    CHECK_INT(counted.destroyed, 1);
    client = stepwise_client(&counted);
    pending = begin_pending(client, token, &outcome);
    clerk_client_free(client);
    CHECK_INT(counted.destroyed, 1);
    clerk_pending_free(pending);
    CHECK_INT(counted.destroyed, 2);
}

struct step_in_thread {
    clerk_pending *pending;
    table *table;
    bool more;
};

static void *step_in_thread(void *argument) {
    struct step_in_thread *own = argument;
    own->more = execute_step(own->pending, own->table);
    return NULL;
}

static void steps_may_change_threads(void) {
    sim_reset();
    put_users();
    counter counted = {0};
    table table = TABLE_INIT;
    clerk_client *client = stepwise_client(&counted);
    const char *token = sim_token("{\"user\":\"user_1\"}"), *outcome = NULL;
    for (int round = 0; round < 2; round++) {
        struct step_in_thread own = {begin_pending(client, token, &outcome), &table, true};
        CHECK(own.pending != NULL);
        int threads = 0;
        for (; own.more; threads++) {
            pthread_t thread;
            CHECK(pthread_create(&thread, NULL, step_in_thread, &own) == 0);
            CHECK(pthread_join(thread, NULL) == 0);
        }
        CHECK(threads > 1);
        CHECK_CSTR(finish(own.pending), round == 0 ? "signed_in verified" : "signed_in cache");
    }
    clerk_client_free(client);
}

static void deleted_row_is_fetched_again(void) {
    sim_reset();
    put_users();
    counter counted = {0};
    table table = TABLE_INIT;
    clerk_config *config = sim_config();
    set(config, "timeout_ms", "300");
    set(config, "user_ttl_s", "0");
    set(config, "user_stale_if_error_s", "0");
    CHECK_OK(clerk_config_set_user_store(config, never, &counted, count_destroyed));
    clerk_client *client = client_of(config);
    const char *token = sim_token("{\"user\":\"user_1\"}"), *outcome = NULL;
    CHECK_CSTR(authenticate_stepwise(client, token, &table), "signed_in verified");
    CHECK_INT(sim_count("/users/{id}"), 1);
    for (int round = 0; round < 3; round++) {
        table.count = 0;
        clerk_pending *pending = begin_pending(client, token, &outcome);
        CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_FIND_BY_KEY);
        CHECK(clerk_store_request_key(clerk_pending_request(pending)).len > 0);
        CHECK(execute_step(pending, &table));
        CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_FETCH_USER);
        if (round == 0) {
            while (execute_step(pending, &table)) {}
            CHECK_CSTR(finish(pending), "signed_in verified");
            CHECK_INT(sim_count("/users/{id}"), 2);
            CHECK_INT(table.count, 1);
        } else if (round == 1) {
            /* Clerk is down during the fetch. */
            sim_down(true);
            CHECK_STATUS(clerk_pending_fetch(pending), CLERK_OK);
            CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_DONE);
            CHECK_CSTR(finish(pending), "unavailable server-error");
            sim_down(false);
            CHECK_CSTR(authenticate_stepwise(client, token, &table), "signed_in verified");
        } else {
            /* Not fetched at all. */
            CHECK_CSTR(finish(pending), "unavailable store-error");
        }
    }
    clerk_client_free(client);
    CHECK_INT(counted.destroyed, 1);
}

int main(void) {
    cached_begin_never_blocks();
    created_row_may_be_inactive();
    steps_and_callbacks_agree();
    unexpected_calls_are_refused();
    cancelled_at_every_step();
    steps_may_change_threads();
    deleted_row_is_fetched_again();
    return 0;
}
