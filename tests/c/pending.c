/* Authentications whose steps the host takes itself: they end as those with hooks do, in any thread, or not at all. */
#include "table.h"

/* The store's hook is not called for the host's own steps. */
static int32_t never(void *userdata, const clerk_store_request *step, clerk_store_response *reply) {
    (void)userdata, (void)step, (void)reply;
    check_failed(__FILE__, __LINE__, __func__, "a hook was called");
}

static clerk_client *client_of_steps(counter *counted) {
    clerk_config *config = sim_config();
    clerk_config_set_user_store(config, never, counted, count_destroyed);
    clerk_config_set_event_callback(config, count_event, counted, NULL);
    return client_of(config);
}

/* Begins; a pending authentication, or NULL and `*words` say how it ended. */
static clerk_pending *begun(const clerk_client *client, const char *token, const char **words) {
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", token ? token : "");
    clerk_request request = CLERK_REQUEST_INIT;
    if (token != NULL) request = bearer(line);
    clerk_result *result = (clerk_result *)&request;
    clerk_pending *pending = (clerk_pending *)&request;
    int32_t status = clerk_authenticate_begin(client, &request, &result, &pending, NULL);
    /* Nothing of the request is needed any more. */
    memset(line, 'x', sizeof line);
    memset(&request, 0xff, sizeof request);
    CHECK((status == CLERK_PENDING) == (pending != NULL));
    if (pending != NULL) CHECK(result == NULL);
    else *words = ended(status, &result);
    return pending;
}

/* One step by the table; false when nothing is wanted any more. */
static bool step_by(clerk_pending *pending, table *table) {
    int32_t kind = clerk_pending_next_action(pending);
    const clerk_store_request *step = clerk_pending_request(pending);
    clerk_store_response *reply = clerk_pending_response(pending);
    CHECK(kind != CLERK_STORE_REQUEST_KIND_BEGIN && kind != CLERK_STORE_REQUEST_KIND_COMMIT && kind != CLERK_STORE_REQUEST_KIND_ROLLBACK);
    CHECK((kind == CLERK_STORE_REQUEST_KIND_DONE) == (step == NULL) && (step == NULL) == (reply == NULL));
    CHECK_INT(clerk_store_request_get_kind(step), kind);
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
        int32_t returned = table_answer(table, step, reply);
        CHECK_STATUS(clerk_pending_submit(pending, returned), CLERK_OK);
    }
    return true;
}

static const char *finished(clerk_pending *pending) {
    clerk_result *result = (clerk_result *)&pending;
    return ended(clerk_pending_finish(pending, &result, NULL), &result);
}

static const char *by_hand(const clerk_client *client, const char *token, table *table) {
    const char *words = NULL;
    clerk_pending *pending = begun(client, token, &words);
    if (pending == NULL) return words;
    while (step_by(pending, table)) {}
    return finished(pending);
}

static void users(void) {
    sim_put("/users/user_1", "{\"username\":\"ada\",\"first_name\":\"Ada\",\"email_addresses\":[\"ada@example.com\"],"
            "\"primary_email_address_id\":\"idn_0001\"}");
    sim_put("/users/user_2", "{\"username\":\"ADA\",\"banned\":true}");
}

/* Hooks have transactions, steps taken by hand have none. */
static const char *without_transactions(const char *diary) {
    static char plain[4096];
    plain[0] = 0;
    char words[4096];
    strcpy(words, diary);
    char *rest = NULL;
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (strcmp(word, "begin") && strcmp(word, "commit") && strcmp(word, "rollback")) {
            strcat(strcat(plain, word), " ");
        }
    }
    return plain;
}

/* The same story told twice: once with hooks, once by hand. */
static void both_ways_end_alike(void) {
    sim_reset();
    users();
    static table tables[2] = {TABLE_INIT, TABLE_INIT};
    counter counted[2] = {0};
    clerk_config *config = sim_config();
    clerk_config_set_user_store(config, table_answer, &tables[0], NULL);
    clerk_config_set_event_callback(config, count_event, &counted[0], NULL);
    clerk_client *with_hooks = client_of(config), *with_steps = client_of_steps(&counted[1]);
    for (int i = 0; i < 2; i++) table_add(&tables[i], NULL, "Ada@example.com", "boss");
    const char *ada = sim_token("{\"user\":\"user_1\"}"), *banned = sim_token("{\"user\":\"user_2\"}");
    const char *nobody = sim_token("{\"user\":\"user_404\"}"), *spoilt = sim_token("{\"spoil\":\"tampered\"}");
    const struct {
        const char *token, *words;
    } story[] = {
        {ada, "in verified"},
        {ada, "in cache"},
        {banned, "out user-inactive"},
        {nobody, "out user-not-found"},
        {spoilt, "out token-invalid-signature"},
        {NULL, "none session-token-missing"},
        {"nonsense", "out token-invalid"},
        {ada, "in cache"},
        /* The host keeps her out. */
        {ada, "out user-inactive"},
        {ada, "out user-inactive"},
        /* Her row is gone. */
        {ada, "in verified"},
        {ada, "in cache"},
        /* Gone while the answer is remembered. */
        {ada, "in verified"},
        /* The table fails. */
        {ada, "unavailable store-error"},
        {ada, "in cache"},
    };
    for (size_t i = 0; i < sizeof story / sizeof story[0]; i++) {
        for (int j = 0; j < 2; j++) {
            table_row *row = table_of(&tables[j], "user_1");
            if (i == 8) row->numbers[CLERK_COLUMN_IS_ACTIVE] = 0;
            if (i == 10 || i == 12) tables[j].count = 0;
            tables[j].failing = i == 13 ? CLERK_STORE_REQUEST_KIND_FIND_BY_KEY : 0;
            tables[j].code = -9;
        }
        CHECK_WORD(ask(with_hooks, story[i].token), story[i].words);
        CHECK_WORD(by_hand(with_steps, story[i].token, &tables[1]), story[i].words);
        char first[4096];
        strcpy(first, without_transactions(table_diary(&tables[0])));
        CHECK_WORD(without_transactions(table_diary(&tables[1])), first);
        for (int kind = 0; kind < 32; kind++) CHECK_INT(counted[0].events[kind], counted[1].events[kind]);
    }
    clerk_client_free(with_hooks);
    clerk_client_free(with_steps);
    CHECK_INT(counted[1].destroyed, 1);
}

/* What memory and a look at the row can tell; "CLERK_WOULD_BLOCK" for all else. */
static const char *by_hand_cached(const clerk_client *client, const char *token, table *table) {
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
    if (pending == NULL) return ended(status, &result);
    while (step_by(pending, table)) {}
    return finished(pending);
}

static void without_waiting(void) {
    sim_reset();
    users();
    table table = TABLE_INIT;
    counter counted = {0};
    clerk_client *client = client_of_steps(&counted);
    const char *first = sim_token("{\"user\":\"user_1\"}"), *second = sim_token("{\"user\":\"user_1\",\"sid\":\"sess_2\"}");
    const char *other = sim_token("{\"user\":\"user_2\"}"), *spoilt = sim_token("{\"spoil\":\"tampered\"}");
    CHECK_WORD(by_hand_cached(client, first, &table), "CLERK_WOULD_BLOCK");
    CHECK_INT(counted.events[CLERK_EVENT_KIND_CACHE_MISS], 0);
    CHECK_WORD(by_hand(client, first, &table), "in verified");
    sim_admin("DELETE", "/counts", "");
    sim_down(true);
    /* The token is remembered, the user is known: the row is looked at, and nobody else is asked. */
    CHECK_WORD(by_hand_cached(client, first, &table), "in cache");
    CHECK_WORD(by_hand_cached(client, second, &table), "in verified");
    CHECK_WORD(by_hand_cached(client, second, &table), "in cache");
    CHECK_WORD(by_hand_cached(client, other, &table), "CLERK_WOULD_BLOCK");
    CHECK_WORD(by_hand_cached(client, "nonsense", &table), "out token-invalid");
    CHECK(strncmp(by_hand_cached(client, spoilt, &table), "in", 2) != 0);
    table_of(&table, "user_1")->numbers[CLERK_COLUMN_IS_ACTIVE] = 0;
    CHECK_WORD(by_hand_cached(client, second, &table), "out user-inactive");
    CHECK_WORD(by_hand_cached(client, first, &table), "out user-inactive");
    sim_down(false);
    clerk_client_free(client);
}

/* A table that makes inactive rows of new users answers with the row, and nobody comes in. */
static void a_row_that_waits_for_approval(void) {
    sim_reset();
    users();
    for (int active = 0; active < 2; active++) {
        for (int who = 0; who < 2; who++) {
            counter counted = {0};
            clerk_client *client = client_of_steps(&counted);
            const char *token = sim_token("{\"user\":\"user_1\"}"), *words = NULL;
            clerk_pending *pending = begun(client, token, &words);
            for (int32_t kind; (kind = clerk_pending_next_action(pending)) != CLERK_STORE_REQUEST_KIND_DONE;) {
                clerk_store_response *reply = clerk_pending_response(pending);
                if (kind == CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN) clerk_store_response_set_username_taken(reply, 0);
                if (kind == CLERK_STORE_REQUEST_KIND_CREATE) {
                    clerk_store_response_add_row(reply, CLERK_STR("7"));
                    clerk_store_response_set_string_column(reply, CLERK_COLUMN_CLERK_ID, clerk_str_of(who == 0 ? "user_1" : "user_9"));
                    clerk_store_response_set_int_column(reply, CLERK_COLUMN_IS_ACTIVE, active);
                }
                CHECK_STATUS(clerk_pending_submit(pending, CLERK_STORE_OK), CLERK_OK);
            }
            CHECK_WORD(finished(pending), who == 1 ? "out link-conflict" : active ? "in verified" : "out user-inactive");
            CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_CREATED], who == 0);
            clerk_client_free(client);
        }
    }
}

static void out_of_order(void) {
    sim_reset();
    users();
    counter counted = {0};
    clerk_client *client = client_of_steps(&counted);
    const char *token = sim_token("{\"user\":\"user_1\"}"), *words = NULL;
    /* Finished before its time: nobody can tell. */
    clerk_pending *pending = begun(client, token, &words);
    CHECK_WORD(finished(pending), "unavailable store-error");
    CHECK_INT(counted.events[CLERK_EVENT_KIND_AUTH_FAILED], 1);

    /* Answers that do not fit the question end it; whatever comes after changes nothing. */
    for (int i = 0; i < 5; i++) {
        pending = begun(client, token, &words);
        CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID);
        CHECK_TEXT(clerk_store_request_value(clerk_pending_request(pending)), "user_1");
        CHECK_TEXT(clerk_store_request_key(clerk_pending_request(pending)), NULL);
        clerk_store_response *reply = clerk_pending_response(pending);
        CHECK(reply == clerk_pending_response(pending));
        if (i == 0) clerk_store_response_add_row(reply, CLERK_STR("9"));
        if (i == 1) clerk_store_response_add_row(reply, CLERK_STR("")), clerk_store_response_add_row(reply, CLERK_STR("9"));
        static const int32_t returned[] = {0, 0, CLERK_STORE_CONFLICT, CLERK_STORE_DECLINE, 77};
        CHECK_STATUS(clerk_pending_submit(pending, returned[i]), CLERK_OK);
        CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_DONE);
        CHECK_STATUS(clerk_pending_submit(pending, 0), CLERK_E_STATE);
        CHECK(clerk_pending_request(pending) == NULL && clerk_pending_response(pending) == NULL);
        CHECK_WORD(finished(pending), i == 0 ? "out link-conflict" : "unavailable store-error");
    }
    CHECK_WORD(ask_cached(client, token), "CLERK_WOULD_BLOCK");

    /* The host's failure comes back in its own words. */
    pending = begun(client, token, &words);
    clerk_store_response_set_error(clerk_pending_response(pending), CLERK_STR("disk full"));
    CHECK_STATUS(clerk_pending_submit(pending, -28), CLERK_OK);
    clerk_result *result = NULL;
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_pending_finish(pending, &result, &error), CLERK_UNAVAILABLE);
    CHECK_TEXT(clerk_error_message(error), "disk full");
    CHECK_INT(clerk_error_store_code(error), -28);
    clerk_error_free(error);
    CHECK_WORD(ended(CLERK_UNAVAILABLE, &result), "unavailable store-error");
    clerk_client_free(client);
}

static void given_up_in_the_middle(void) {
    sim_reset();
    users();
    counter counted = {0};
    table table = TABLE_INIT;
    clerk_client *client = client_of_steps(&counted);
    const char *token = sim_token("{\"user\":\"user_1\"}"), *words = NULL;
    for (int steps = 0;; steps++) {
        clerk_pending *pending = begun(client, token, &words);
        CHECK(pending != NULL);
        bool more = true;
        for (int i = 0; i < steps && more; i++) more = step_by(pending, &table);
        if (!more) {
            CHECK(steps > 3);
            CHECK_WORD(finished(pending), "in verified");
            break;
        }
        clerk_pending_free(pending);
        table.count = 0;
    }

    /* It outlives the host's reference to its client, and is the last to go. */
    clerk_pending *pending = begun(client, token, &words);
    CHECK(pending != NULL);
    clerk_client_free(client);
    CHECK_INT(counted.destroyed, 0);
    while (step_by(pending, &table)) {}
    CHECK_WORD(finished(pending), "in cache");
    CHECK_INT(counted.destroyed, 1);
    client = client_of_steps(&counted);
    pending = begun(client, token, &words);
    clerk_client_free(client);
    CHECK_INT(counted.destroyed, 1);
    clerk_pending_free(pending);
    CHECK_INT(counted.destroyed, 2);
}

struct hop {
    clerk_pending *pending;
    table *table;
    bool more;
};

static void *hop(void *argument) {
    struct hop *own = argument;
    own->more = step_by(own->pending, own->table);
    return NULL;
}

static void each_step_in_another_thread(void) {
    sim_reset();
    users();
    counter counted = {0};
    table table = TABLE_INIT;
    clerk_client *client = client_of_steps(&counted);
    const char *token = sim_token("{\"user\":\"user_1\"}"), *words = NULL;
    for (int round = 0; round < 2; round++) {
        struct hop own = {begun(client, token, &words), &table, true};
        CHECK(own.pending != NULL);
        int hops = 0;
        for (; own.more; hops++) {
            pthread_t thread;
            CHECK(pthread_create(&thread, NULL, hop, &own) == 0);
            CHECK(pthread_join(thread, NULL) == 0);
        }
        CHECK(hops > 1);
        CHECK_WORD(finished(own.pending), round == 0 ? "in verified" : "in cache");
    }
    clerk_client_free(client);
}

static void a_row_that_is_gone_is_fetched_anew(void) {
    sim_reset();
    users();
    counter counted = {0};
    table table = TABLE_INIT;
    clerk_config *config = sim_config();
    set(config, "timeout_ms", "300");
    set(config, "user_ttl_s", "0");
    set(config, "user_stale_if_error_s", "0");
    clerk_config_set_user_store(config, never, &counted, count_destroyed);
    clerk_client *client = client_of(config);
    const char *token = sim_token("{\"user\":\"user_1\"}"), *words = NULL;
    CHECK_WORD(by_hand(client, token, &table), "in verified");
    CHECK_INT(sim_count("/users/{id}"), 1);
    for (int round = 0; round < 3; round++) {
        table.count = 0;
        clerk_pending *pending = begun(client, token, &words);
        CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_FIND_BY_KEY);
        CHECK(clerk_store_request_key(clerk_pending_request(pending)).len > 0);
        CHECK(step_by(pending, &table));
        CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_FETCH_USER);
        if (round == 0) {
            while (step_by(pending, &table)) {}
            CHECK_WORD(finished(pending), "in verified");
            CHECK_INT(sim_count("/users/{id}"), 2);
            CHECK_INT(table.count, 1);
        } else if (round == 1) {
            /* Clerk is down when it is fetched. */
            sim_down(true);
            CHECK_STATUS(clerk_pending_fetch(pending), CLERK_OK);
            CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_DONE);
            CHECK_WORD(finished(pending), "unavailable server-error");
            sim_down(false);
            CHECK_WORD(by_hand(client, token, &table), "in verified");
        } else {
            /* Not fetched at all. */
            CHECK_WORD(finished(pending), "unavailable store-error");
        }
    }
    clerk_client_free(client);
    CHECK_INT(counted.destroyed, 1);
}

int main(void) {
    without_waiting();
    a_row_that_waits_for_approval();
    both_ways_end_alike();
    out_of_order();
    given_up_in_the_middle();
    each_step_in_another_thread();
    a_row_that_is_gone_is_fetched_anew();
    return 0;
}
