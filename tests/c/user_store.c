/* The user store callback: order of requests, failures, columns, and faulty callbacks. No faulty callback signs in
 * another user. */
#include "table.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char ADA[] = "{\"username\":\"ada\",\"first_name\":\"Ada\",\"last_name\":null,"
                          "\"last_active_at\":1700000000123,"
                          "\"email_addresses\":[\"ada@example.com\"],\"primary_email_address_id\":\"idn_0001\"}";

static const char *new_token(void) {
    return sim_token("{\"user\":\"user_ada\"}");
}

static void reset(void) {
    sim_reset();
    sim_put("/users/user_ada", "%s", ADA);
}

static void check_transactions(const table *table) {
    CHECK_INT(table->unbalanced, 0);
    CHECK_INT(table->open, 0);
}

static void row_is_created_updated_and_rechecked(void) {
    reset();
    counter counted = {0};
    table table = TABLE_INIT;
    clerk_config *config = sim_config();
    CHECK_OK(clerk_config_set_event_callback(config, count_event, &counted, NULL));
    CHECK_OK(clerk_config_set_user_store(config, table_execute, &table, NULL));
    clerk_client *client = client_of(config);
    const char *token = new_token();
    clerk_result *result = sign_in(client, token);
    CHECK_CSTR(table_log(&table), "by_clerk_id by_email taken begin create commit");
    CHECK_STR(clerk_result_user_key(result), "1");
    CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_USER_KEY), "1");
    CHECK_STR(clerk_result_user_id(result), "user_ada");
    clerk_result_free(result);
    const table_row *row = table_of(&table, "user_ada");
    CHECK_CSTR(column(row, CLERK_COLUMN_EMAIL), "ada@example.com");
    CHECK_CSTR(column(row, CLERK_COLUMN_USERNAME), "ada");
    CHECK_CSTR(column(row, CLERK_COLUMN_FIRST_NAME), "Ada");
    CHECK_CSTR(column(row, CLERK_COLUMN_LAST_NAME), "");
    CHECK_INT(row->numbers[CLERK_COLUMN_LAST_ACTIVE_AT_MS], 1700000000123);
    CHECK(row->has[CLERK_COLUMN_IS_ACTIVE] && row->numbers[CLERK_COLUMN_IS_ACTIVE] == 1);
    CHECK(row->has[CLERK_COLUMN_BANNED_BY_CLERK] && row->numbers[CLERK_COLUMN_BANNED_BY_CLERK] == 0);

    CHECK_CSTR(outcome_of(client, token), "signed_in cache");
    CHECK_CSTR(table_log(&table), "by_key");
    CHECK_CSTR(outcome_of(client, new_token()), "signed_in verified");
    CHECK_CSTR(table_log(&table), "by_key");
    sim_admin("PATCH", "/users/user_ada", "{\"first_name\":\"Augusta\",\"image_url\":null,\"last_active_at\":null}");
    CHECK_OK(clerk_client_invalidate_user(client, CLERK_STR("user_ada")));
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");
    CHECK_CSTR(table_log(&table), "by_clerk_id begin update commit");
    CHECK_CSTR(column(row, CLERK_COLUMN_FIRST_NAME), "Augusta");
    CHECK_CSTR(column(row, CLERK_COLUMN_IMAGE_URL), NULL);
    CHECK(!row->has[CLERK_COLUMN_LAST_ACTIVE_AT_MS]);
    CHECK_OK(clerk_client_invalidate_user(client, CLERK_STR("user_ada")));
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");
    CHECK_CSTR(table_log(&table), "by_clerk_id");
    CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_CREATED], 1);
    CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_UPDATED], 1);

    /* The row is deactivated; then deleted, and created again. */
    table_of(&table, "user_ada")->numbers[CLERK_COLUMN_IS_ACTIVE] = 0;
    CHECK_CSTR(outcome_of(client, token), "signed_out user-inactive");
    table.count = 0;
    table_log(&table);
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");
    CHECK_INT(table.count, 1);
    check_transactions(&table);
    clerk_client_free(client);
}

static void rows_are_linked_and_usernames_numbered(void) {
    reset();
    counter counted = {0};
    table table = TABLE_INIT;
    table_add(&table, NULL, "ADA@example.com", "boss");
    table_add(&table, "user_other", "other@example.com", "Ada");
    clerk_config *config = sim_config();
    CHECK_OK(clerk_config_set_event_callback(config, count_event, &counted, NULL));
    CHECK_OK(clerk_config_set_user_store(config, table_execute, &table, table_destroy));
    clerk_client *client = client_of(config);
    CHECK_CSTR(outcome_of(client, new_token()), "signed_in verified");
    CHECK_CSTR(table_log(&table), "by_clerk_id by_email taken taken begin update commit");
    CHECK_INT(table.count, 2);
    CHECK_INT(table_of(&table, "user_ada")->key, 1);
    CHECK_CSTR(column(table_of(&table, "user_ada"), CLERK_COLUMN_USERNAME), "ada-2");
    CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_LINKED], 1);

    /* A row that is linked to another user is not changed; an unverified e-mail address does not link. */
    sim_put("/users/user_eve", "{\"username\":\"eve\",\"email_addresses\":[\"other@example.com\"],"
            "\"primary_email_address_id\":\"idn_0001\"}");
    CHECK_CSTR(outcome_of(client, sim_token("{\"user\":\"user_eve\"}")), "signed_in verified");
    CHECK_CSTR(column(table_of(&table, "user_other"), CLERK_COLUMN_EMAIL), "other@example.com");
    CHECK_INT(table_of(&table, "user_eve")->key, 3);
    CHECK_INT(counted.events[CLERK_EVENT_KIND_LINK_CONFLICT], 1);
    check_transactions(&table);
    clerk_client_free(client);
    CHECK_INT(table.destroyed, 1);
}

/* Another request inserts the row before the first `CREATE`. */
static int32_t concurrent_insert(void *userdata, const clerk_store_request *request, clerk_store_response *response) {
    table *own = userdata;
    bool is_create = clerk_store_request_get_kind(request) == CLERK_STORE_REQUEST_KIND_CREATE;
    if (is_create && own->count == 0) table_add(own, "user_ada", NULL, "ada");
    return table_execute(userdata, request, response);
}

static void conflict_looks_for_row_again(void) {
    reset();
    table table = TABLE_INIT;
    clerk_config *config = sim_config();
    CHECK_OK(clerk_config_set_user_store(config, concurrent_insert, &table, NULL));
    clerk_client *client = client_of(config);
    CHECK_CSTR(outcome_of(client, new_token()), "signed_in verified");
    CHECK_CSTR(table_log(&table), "by_clerk_id by_email taken begin create rollback by_clerk_id begin update commit");
    CHECK_INT(table.count, 1);
    check_transactions(&table);

    /* Conflicts forever. */
    reset();
    table.count = 0;
    table_add(&table, "user_none", NULL, NULL);
    table.failing = CLERK_STORE_REQUEST_KIND_CREATE;
    table.code = CLERK_STORE_CONFLICT;
    CHECK_OK(clerk_client_invalidate_all(client));
    CHECK_CSTR(outcome_of(client, new_token()), "unavailable store-error");
    CHECK(table.counts[CLERK_STORE_REQUEST_KIND_CREATE] < 10);
    check_transactions(&table);
    clerk_client_free(client);
}

static char recorded[1 << 14];

static void record_event(void *userdata, const clerk_event *event) {
    clerk_str id = clerk_event_clerk_id(event), key = clerk_event_user_key(event);
    size_t len = strlen(recorded);
    snprintf(recorded + len, sizeof recorded - len, "%s %s %s|", id.data ? id.data : "", key.data ? key.data : "",
             clerk_reason_name(clerk_event_reason(event)));
    (void)userdata;
}

static void record_log(void *userdata, int32_t level, clerk_str message) {
    size_t len = strlen(recorded);
    snprintf(recorded + len, sizeof recorded - len, "%d %s|", level, message.data);
    (void)userdata;
}

static void store_failure_is_returned_and_not_cached(void) {
    static const int32_t codes[] = {-1, -77, INT32_MIN, CLERK_E_PANIC, 3, 99, INT32_MAX};
    static const struct {
        int32_t kind;
        const char *log;
    } failing[] = {
        {CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID, "by_clerk_id"},
        {CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL, "by_clerk_id by_email"},
        {CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN, "by_clerk_id by_email taken"},
        {CLERK_STORE_REQUEST_KIND_BEGIN, "by_clerk_id by_email taken begin"},
        {CLERK_STORE_REQUEST_KIND_CREATE, "by_clerk_id by_email taken begin create rollback"},
        {CLERK_STORE_REQUEST_KIND_COMMIT, "by_clerk_id by_email taken begin create commit rollback"},
    };
    reset();
    table table = TABLE_INIT;
    clerk_config *config = sim_config();
    CHECK_OK(clerk_config_set_event_callback(config, record_event, NULL, NULL));
    CHECK_OK(clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_DEBUG, record_log, NULL, NULL));
    CHECK_OK(clerk_config_set_user_store(config, table_execute, &table, NULL));
    clerk_client *client = client_of(config);
    const char *token = new_token();
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", token);
    clerk_request request = bearer(line);
    for (size_t i = 0; i < sizeof failing / sizeof failing[0]; i++) {
        for (size_t j = 0; j < sizeof codes / sizeof codes[0]; j++) {
            table.failing = failing[i].kind;
            table.code = codes[j];
            table.message = j % 2 ? CLERK_STR("Platte voll: /var/db, 100 %") : (clerk_str){NULL, 0};
            table.count = 0;
            recorded[0] = 0;
            clerk_result *result = NULL;
            clerk_error *error = NULL;
            CHECK_STATUS(clerk_authenticate(client, &request, &result, &error), CLERK_UNAVAILABLE);
            CHECK_INT(clerk_error_store_code(error), codes[j]);
            if (j % 2) CHECK_STR(clerk_error_message(error), "Platte voll: /var/db, 100 %");
            CHECK(clerk_error_message(error).len > 0);
            CHECK_INT(clerk_error_http_status(error), 0);
            clerk_error_free(error);
            CHECK_INT(clerk_result_reason(result), CLERK_REASON_STORE_ERROR);
            CHECK_INT(clerk_result_http_status(result), 503);
            CHECK_CSTR(outcome_and_free(CLERK_UNAVAILABLE, &result), "unavailable store-error");
            CHECK(strstr(recorded, "Platte") == NULL && strstr(recorded, "store-error") != NULL);
            CHECK_CSTR(table_log(&table), failing[i].log);
            clerk_stats stats = CLERK_STATS_INIT;
            CHECK_OK(clerk_client_stats(client, &stats));
            CHECK_INT(stats.cached_tokens, 0);
            CHECK_CSTR(cached_outcome_of(client, token), "CLERK_WOULD_BLOCK");
            check_transactions(&table);
        }
    }
    table.failing = 0;
    table.count = 0;
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");
    /* A cached result whose row cannot be read is unavailable, and valid again afterwards. */
    table.failing = CLERK_STORE_REQUEST_KIND_FIND_BY_KEY;
    CHECK_CSTR(outcome_of(client, token), "unavailable store-error");
    table.failing = 0;
    CHECK_CSTR(outcome_of(client, token), "signed_in cache");
    /* A failed update, too. */
    sim_admin("PATCH", "/users/user_ada", "{\"first_name\":\"Augusta\"}");
    CHECK_OK(clerk_client_invalidate_user(client, CLERK_STR("user_ada")));
    table.failing = CLERK_STORE_REQUEST_KIND_UPDATE;
    CHECK_CSTR(outcome_of(client, token), "unavailable store-error");
    table.failing = 0;
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");
    check_transactions(&table);

    /* A message that is too long or not UTF-8 is truncated or repaired, not rejected. */
    static char oversized[1 << 20];
    memset(oversized, 'x', sizeof oversized);
    oversized[5] = (char)0xfe;
    oversized[7] = 0;
    table.failing = CLERK_STORE_REQUEST_KIND_FIND_BY_KEY;
    table.code = -5;
    table.message = (clerk_str){oversized, sizeof oversized};
    clerk_result *result = NULL;
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_authenticate(client, &request, &result, &error), CLERK_UNAVAILABLE);
    CHECK_STR(clerk_error_message(error), "xxxxx\xef\xbf\xbdx");
    clerk_error_free(error);
    clerk_result_free(result);
    clerk_client_free(client);
}

/* --- faulty callbacks --------------------------------------------------------------------------------------------- */

/* What goes wrong, and for which kind of request. */
enum fault {
    NO_FAULT,
    TWO_ROWS,
    OTHER_USERS_ROW,
    OTHER_USERS_ROW_WITH_OWN_KEY,
    UNLINKED_ROW,
    EMPTY_KEY,
    EMPTY_KEY_THEN_VALID,
    HUGE_KEY,
    HUGE_STRING,
    NOT_UTF8,
    NUL_INSIDE,
    UNKNOWN_COLUMN,
    COLUMN_BEFORE_ROW,
    TOO_MANY_ROWS,
    INVALID_IS_ACTIVE,
    NO_RESPONSE,
    UNRELATED_RESPONSE,
    TAKEN_TWICE,
    DECLINES,
    CONFLICTS,
    FAULTS,
};

typedef struct {
    table table;
    enum fault fault;
    int32_t kind;
    int calls;
} faulty;

static char huge[70000];

static int32_t row_of(clerk_store_response *response, const char *key, const char *clerk_id) {
    int32_t status = clerk_store_response_add_row(response, clerk_str_of(key));
    return status ? status : clerk_store_response_set_string_column(response, CLERK_COLUMN_CLERK_ID,
                                                                    clerk_str_of(clerk_id));
}

static int32_t execute_faulty(void *userdata, const clerk_store_request *request, clerk_store_response *response) {
    faulty *own = userdata;
    int32_t kind = clerk_store_request_get_kind(request);
    if (kind != own->kind) return table_execute(&own->table, request, response);
    own->calls++;
    switch (own->fault) {
    case TWO_ROWS:
        row_of(response, "1", "user_ada"), row_of(response, "2", "user_ada");
        return CLERK_STORE_OK;
    case OTHER_USERS_ROW:
        row_of(response, "9", "user_boss");
        CHECK_OK(clerk_store_response_set_string_column(response, CLERK_COLUMN_EMAIL, CLERK_STR("ada@example.com")));
        return CLERK_STORE_OK;
    case OTHER_USERS_ROW_WITH_OWN_KEY:
        row_of(response, "1", "user_boss");
        return CLERK_STORE_OK;
    case UNLINKED_ROW:
        CHECK_OK(clerk_store_response_add_row(response, CLERK_STR("9")));
        return CLERK_STORE_OK;
    case EMPTY_KEY:
        CHECK_STATUS(clerk_store_response_add_row(response, CLERK_STR("")), CLERK_E_ARGUMENT);
        CHECK_STATUS(clerk_store_response_set_created_key(response, CLERK_STR("")), CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case EMPTY_KEY_THEN_VALID:
        CHECK_STATUS(clerk_store_response_set_created_key(response, CLERK_STR("")), CLERK_E_ARGUMENT);
        table_execute(&own->table, request, response);
        return CLERK_STORE_OK;
    case HUGE_KEY:
        CHECK_STATUS(clerk_store_response_set_created_key(response, clerk_str_of(huge)), CLERK_E_ARGUMENT);
        CHECK_STATUS(clerk_store_response_add_row(response, clerk_str_of(huge)), CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case HUGE_STRING:
        row_of(response, "1", "user_ada");
        CHECK_STATUS(clerk_store_response_set_string_column(response, CLERK_COLUMN_FIRST_NAME, clerk_str_of(huge)),
                     CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case NOT_UTF8:
        row_of(response, "1", "user_ada");
        CHECK_STATUS(clerk_store_response_set_string_column(response, CLERK_COLUMN_EMAIL, CLERK_STR("a\xff")),
                     CLERK_E_UTF8);
        return CLERK_STORE_OK;
    case NUL_INSIDE:
        row_of(response, "1", "user_ada");
        CHECK_STATUS(clerk_store_response_set_string_column(response, CLERK_COLUMN_CLERK_ID, CLERK_STR("user_ada\0x")),
                     CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case UNKNOWN_COLUMN:
        row_of(response, "1", "user_ada");
        CHECK_STATUS(clerk_store_response_set_string_column(response, 99, CLERK_STR("x")), CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case COLUMN_BEFORE_ROW:
        CHECK_STATUS(clerk_store_response_set_int_column(response, CLERK_COLUMN_IS_ACTIVE, 1), CLERK_E_STATE);
        row_of(response, "1", "user_ada");
        return CLERK_STORE_OK;
    case TOO_MANY_ROWS:
        for (int i = 0; i < 16; i++) CHECK_STATUS(clerk_store_response_add_row(response, CLERK_STR("1")), CLERK_OK);
        CHECK_STATUS(clerk_store_response_add_row(response, CLERK_STR("1")), CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case INVALID_IS_ACTIVE:
        row_of(response, "1", "user_ada");
        CHECK_STATUS(clerk_store_response_set_int_column(response, CLERK_COLUMN_IS_ACTIVE, 2), CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case NO_RESPONSE:
        return CLERK_STORE_OK;
    case UNRELATED_RESPONSE:
        CHECK_OK(clerk_store_response_set_created_key(response, CLERK_STR("9")));
        CHECK_OK(clerk_store_response_set_username_taken(response, 0));
        row_of(response, "9", "user_boss");
        return CLERK_STORE_OK;
    case TAKEN_TWICE:
        CHECK_OK(clerk_store_response_set_username_taken(response, 0));
        CHECK_STATUS(clerk_store_response_set_username_taken(response, -1), CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case DECLINES:
        row_of(response, "9", "user_boss");
        return CLERK_STORE_DECLINE;
    case CONFLICTS:
        row_of(response, "9", "user_boss");
        return CLERK_STORE_CONFLICT;
    default:
        return table_execute(&own->table, request, response);
    }
}

static void faulty_store_never_signs_in_another_user(void) {
    memset(huge, 'h', sizeof huge - 1);
    int accepted = 0, rejected = 0;
    for (int32_t kind = CLERK_STORE_REQUEST_KIND_FIND_BY_KEY; kind <= CLERK_STORE_REQUEST_KIND_ROLLBACK; kind++) {
        for (int fault = NO_FAULT; fault < FAULTS; fault++) {
            reset();
            faulty own = {.table = TABLE_INIT, .fault = (enum fault)fault, .kind = kind};
            /* These requests need an existing row. */
            bool is_known = kind == CLERK_STORE_REQUEST_KIND_FIND_BY_KEY || kind == CLERK_STORE_REQUEST_KIND_UPDATE;
            clerk_config *config = sim_config();
            CHECK_OK(clerk_config_set_user_store(config, execute_faulty, &own, table_destroy));
            clerk_client *client = client_of(config);
            const char *token = new_token();
            if (is_known) {
                own.kind = 0;
                CHECK_CSTR(outcome_of(client, token), "signed_in verified");
                own.kind = kind;
            }
            if (kind == CLERK_STORE_REQUEST_KIND_UPDATE) {
                sim_admin("PATCH", "/users/user_ada", "{\"first_name\":\"Augusta\"}");
                CHECK_OK(clerk_client_invalidate_user(client, CLERK_STR("user_ada")));
            }
            if (kind == CLERK_STORE_REQUEST_KIND_ROLLBACK) {
                own.table.failing = CLERK_STORE_REQUEST_KIND_CREATE;
                own.table.code = -1;
            }
            char line[4096];
            snprintf(line, sizeof line, "Bearer %s", token);
            clerk_request request = bearer(line);
            clerk_result *result = NULL;
            int32_t status = clerk_authenticate(client, &request, &result, NULL);
            check_outcome(status, result);
            CHECK_INT(own.calls > 0, true);
            if (status == CLERK_OK) {
                /* Signed in as the right user, with the right row. */
                const table_row *row = table_of(&own.table, "user_ada");
                char key[16];
                /* The library cannot know whether a claimed row exists. */
                bool is_claimed_only = kind == CLERK_STORE_REQUEST_KIND_CREATE && fault == UNRELATED_RESPONSE;
                snprintf(key, sizeof key, "%d", is_claimed_only ? 9 : row ? row->key : -1);
                CHECK_STR(clerk_result_user_id(result), "user_ada");
                CHECK_STR(clerk_result_user_key(result), key);
                accepted++;
            } else {
                CHECK(status == CLERK_UNAVAILABLE || status == CLERK_SIGNED_OUT);
                rejected++;
            }
            if (fault == NO_FAULT) CHECK_INT(status,
                                             kind == CLERK_STORE_REQUEST_KIND_ROLLBACK ? CLERK_UNAVAILABLE : CLERK_OK);
            CHECK(table_of(&own.table, "user_boss") == NULL);
            clerk_result_free(result);
            clerk_client_free(client);
        }
    }
    printf("%d faults were harmless, %d were rejected\n", accepted, rejected);
    CHECK(rejected > accepted);
}

static int32_t slow(void *userdata, const clerk_store_request *request, clerk_store_response *response) {
    nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL);
    return table_execute(userdata, request, response);
}

static void store_time_does_not_count_for_timeout(void) {
    reset();
    table table = TABLE_INIT;
    clerk_config *config = sim_config();
    set(config, "timeout_ms", "200");
    CHECK_OK(clerk_config_set_user_store(config, slow, &table, NULL));
    clerk_client *client = client_of(config);
    CHECK_CSTR(outcome_of(client, new_token()), "signed_in verified");
    clerk_client_free(client);
}

/* --- columns and lengths ------------------------------------------------------------------------------------------ */

static void columns_and_lengths_are_respected(void) {
    reset();
    table table = TABLE_INIT;
    clerk_config *config = sim_config();
    uint32_t columns = 1 << CLERK_COLUMN_CLERK_ID | 1 << CLERK_COLUMN_FIRST_NAME;
    CHECK_STATUS(clerk_config_set_user_columns(config, columns), CLERK_OK);
    CHECK_STATUS(clerk_config_set_user_column_length(config, CLERK_COLUMN_FIRST_NAME, 2), CLERK_OK);
    CHECK_OK(clerk_config_set_user_store(config, table_execute, &table, NULL));
    clerk_client *client = client_of(config);
    CHECK_CSTR(outcome_of(client, new_token()), "signed_in verified");
    CHECK_CSTR(table_log(&table), "by_clerk_id begin create commit");
    const table_row *row = table_of(&table, "user_ada");
    CHECK_CSTR(column(row, CLERK_COLUMN_FIRST_NAME), "Ad");
    for (int which = 0; which < COLUMNS; which++) {
        CHECK(row->has[which] == (which == CLERK_COLUMN_CLERK_ID || which == CLERK_COLUMN_FIRST_NAME));
    }
    clerk_client_free(client);

    /* A table with e-mail addresses only. */
    config = sim_config();
    table.count = 0;
    table_log(&table);
    table_add(&table, NULL, "ada@example.com", NULL);
    CHECK_STATUS(clerk_config_set_user_columns(config, 1 << CLERK_COLUMN_EMAIL), CLERK_OK);
    CHECK_OK(clerk_config_set_user_store(config, table_execute, &table, NULL));
    client = client_of(config);
    clerk_result *result = sign_in(client, new_token());
    CHECK_CSTR(table_log(&table), "by_email");
    CHECK_STR(clerk_result_user_key(result), "2");
    clerk_result_free(result);
    clerk_client_free(client);

    /* Values that are too long are omitted, the username is truncated. */
    config = sim_config();
    table.count = 0;
    table_log(&table);
    sim_put("/users/user_ada", "{\"username\":\"augusta_ada_king\",\"email_addresses\":[\"ada@example.com\"],"
            "\"primary_email_address_id\":\"idn_0001\"}");
    CHECK_STATUS(clerk_config_set_user_column_length(config, CLERK_COLUMN_EMAIL, 14), CLERK_OK);
    CHECK_STATUS(clerk_config_set_user_column_length(config, CLERK_COLUMN_IMAGE_URL, 10), CLERK_OK);
    CHECK_STATUS(clerk_config_set_user_column_length(config, CLERK_COLUMN_USERNAME, 8), CLERK_OK);
    CHECK_OK(clerk_config_set_user_store(config, table_execute, &table, NULL));
    client = client_of(config);
    CHECK_CSTR(outcome_of(client, new_token()), "signed_in verified");
    CHECK_CSTR(table_log(&table), "by_clerk_id taken begin create commit");
    row = table_of(&table, "user_ada");
    CHECK_CSTR(column(row, CLERK_COLUMN_EMAIL), NULL);
    CHECK_CSTR(column(row, CLERK_COLUMN_IMAGE_URL), NULL);
    CHECK_INT(strlen(column(row, CLERK_COLUMN_USERNAME)), 8);
    clerk_client_free(client);
}

static void unneeded_store_is_not_called(void) {
    reset();
    table table = TABLE_INIT;
    clerk_config *config = sim_config();
    set(config, "user_mode", "claims");
    CHECK_OK(clerk_config_set_user_store(config, table_execute, &table, NULL));
    clerk_client *client = client_of(config);
    clerk_result *result = sign_in(client, new_token());
    CHECK_STR(clerk_result_user_key(result), NULL);
    CHECK_CSTR(table_log(&table), "");
    clerk_result_free(result);
    clerk_client_free(client);

    /* Within row_check_ttl_s the row is not checked again. */
    client = client_with(&table, "60");
    const char *token = new_token();
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");
    table_log(&table);
    CHECK_CSTR(cached_outcome_of(client, token), "signed_in cache");
    CHECK_CSTR(cached_outcome_of(client, new_token()), "signed_in verified");
    CHECK_CSTR(table_log(&table), "");
    clerk_client_free(client);
    CHECK_INT(table.destroyed, 1);
    table.count = 0;
    client = client_with(&table, "0");
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");
    CHECK_CSTR(cached_outcome_of(client, token), "CLERK_WOULD_BLOCK");
    clerk_client_free(client);
}

static void sqlite_store_keeps_users(void) {
    reset();
    char folder[] = "/tmp/clerk-store-XXXXXX", path[64];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/users.db", folder);
    for (int run = 0; run < 2; run++) {
        clerk_config *config = sim_config();
        CHECK_STATUS(clerk_config_set_sqlite_path(config, clerk_str_of(path), NULL), CLERK_OK);
        clerk_client *client = client_of(config);
        clerk_result *result = sign_in(client, new_token());
        CHECK_STR(clerk_result_user_key(result), "1");
        clerk_result_free(result);
        clerk_client_free(client);
    }
    struct stat about;
    CHECK(stat(path, &about) == 0 && (about.st_mode & 0777) == 0600);
    clerk_config *config = clerk_config_new();
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_config_set_sqlite_path(config, clerk_str_of(folder), &error), CLERK_E_CONFIG);
    CHECK(error != NULL && clerk_error_message(error).len > 10);
    clerk_error_free(error);
    clerk_config_free(config);
    char rest[80];
    unlink(path);
    snprintf(rest, sizeof rest, "%s-wal", path), unlink(rest);
    snprintf(rest, sizeof rest, "%s-shm", path), unlink(rest);
    CHECK(rmdir(folder) == 0);
}

int main(void) {
    row_is_created_updated_and_rechecked();
    rows_are_linked_and_usernames_numbered();
    conflict_looks_for_row_again();
    store_failure_is_returned_and_not_cached();
    faulty_store_never_signs_in_another_user();
    store_time_does_not_count_for_timeout();
    columns_and_lengths_are_respected();
    unneeded_store_is_not_called();
    sqlite_store_keeps_users();
    return 0;
}
