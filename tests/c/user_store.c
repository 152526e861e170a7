/* The host's user table behind the hook: what is asked of it and in which order, its failures in its own words, its
 * schema, and hooks that do what they should not. Whatever a hook does, nobody comes in as somebody else. */
#include "table.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char ADA[] = "{\"username\":\"ada\",\"first_name\":\"Ada\",\"last_name\":null,"
                          "\"last_active_at\":1700000000123,"
                          "\"email_addresses\":[\"ada@example.com\"],\"primary_email_address_id\":\"idn_0001\"}";

static const char *fresh(void) {
    return sim_token("{\"user\":\"user_ada\"}");
}

static void begin(void) {
    sim_reset();
    sim_put("/users/user_ada", "%s", ADA);
}

static void in_order(const table *table) {
    CHECK_INT(table->disorder, 0);
    CHECK_INT(table->open, 0);
}

static void a_row_is_made_kept_up_to_date_and_looked_at_again(void) {
    begin();
    counter counted = {0};
    table table = TABLE_INIT;
    clerk_config *config = sim_config();
    clerk_config_set_event_callback(config, count_event, &counted, NULL);
    clerk_config_set_user_store(config, table_answer, &table, NULL);
    clerk_client *client = client_of(config);
    const char *token = fresh();
    clerk_result *result = signed_in(client, token);
    CHECK_WORD(table_diary(&table), "by_clerk_id by_email taken begin create commit");
    CHECK_TEXT(clerk_result_user_key(result), "1");
    CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_USER_KEY), "1");
    CHECK_TEXT(clerk_result_user_id(result), "user_ada");
    clerk_result_free(result);
    const table_row *row = table_of(&table, "user_ada");
    CHECK_WORD(column(row, CLERK_COLUMN_EMAIL), "ada@example.com");
    CHECK_WORD(column(row, CLERK_COLUMN_USERNAME), "ada");
    CHECK_WORD(column(row, CLERK_COLUMN_FIRST_NAME), "Ada");
    CHECK_WORD(column(row, CLERK_COLUMN_LAST_NAME), "");
    CHECK_INT(row->numbers[CLERK_COLUMN_LAST_ACTIVE_AT_MS], 1700000000123);
    CHECK(row->has[CLERK_COLUMN_IS_ACTIVE] && row->numbers[CLERK_COLUMN_IS_ACTIVE] == 1);
    CHECK(row->has[CLERK_COLUMN_BANNED_BY_CLERK] && row->numbers[CLERK_COLUMN_BANNED_BY_CLERK] == 0);

    CHECK_WORD(ask(client, token), "in cache");
    CHECK_WORD(table_diary(&table), "by_key");
    CHECK_WORD(ask(client, fresh()), "in verified");
    CHECK_WORD(table_diary(&table), "by_key");
    sim_admin("PATCH", "/users/user_ada", "{\"first_name\":\"Augusta\",\"image_url\":null,\"last_active_at\":null}");
    clerk_client_invalidate_user(client, CLERK_STR("user_ada"));
    CHECK_WORD(ask(client, token), "in verified");
    CHECK_WORD(table_diary(&table), "by_clerk_id begin update commit");
    CHECK_WORD(column(row, CLERK_COLUMN_FIRST_NAME), "Augusta");
    CHECK_WORD(column(row, CLERK_COLUMN_IMAGE_URL), NULL);
    CHECK(!row->has[CLERK_COLUMN_LAST_ACTIVE_AT_MS]);
    clerk_client_invalidate_user(client, CLERK_STR("user_ada"));
    CHECK_WORD(ask(client, token), "in verified");
    CHECK_WORD(table_diary(&table), "by_clerk_id");
    CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_CREATED], 1);
    CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_UPDATED], 1);

    /* The host keeps her out; then the row goes, and is made again. */
    table_of(&table, "user_ada")->numbers[CLERK_COLUMN_IS_ACTIVE] = 0;
    CHECK_WORD(ask(client, token), "out user-inactive");
    table.count = 0;
    table_diary(&table);
    CHECK_WORD(ask(client, token), "in verified");
    CHECK_INT(table.count, 1);
    in_order(&table);
    clerk_client_free(client);
}

static void rows_are_linked_and_names_numbered(void) {
    begin();
    counter counted = {0};
    table table = TABLE_INIT;
    table_add(&table, NULL, "ADA@example.com", "boss");
    table_add(&table, "user_other", "other@example.com", "Ada");
    clerk_config *config = sim_config();
    clerk_config_set_event_callback(config, count_event, &counted, NULL);
    clerk_config_set_user_store(config, table_answer, &table, table_destroy);
    clerk_client *client = client_of(config);
    CHECK_WORD(ask(client, fresh()), "in verified");
    CHECK_WORD(table_diary(&table), "by_clerk_id by_email taken taken begin update commit");
    CHECK_INT(table.count, 2);
    CHECK_INT(table_of(&table, "user_ada")->key, 1);
    CHECK_WORD(column(table_of(&table, "user_ada"), CLERK_COLUMN_USERNAME), "ada-2");
    CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_LINKED], 1);

    /* A row with the address that is somebody's is left alone, an unverified address links nothing. */
    sim_put("/users/user_eve", "{\"username\":\"eve\",\"email_addresses\":[\"other@example.com\"],"
            "\"primary_email_address_id\":\"idn_0001\"}");
    CHECK_WORD(ask(client, sim_token("{\"user\":\"user_eve\"}")), "in verified");
    CHECK_WORD(column(table_of(&table, "user_other"), CLERK_COLUMN_EMAIL), "other@example.com");
    CHECK_INT(table_of(&table, "user_eve")->key, 3);
    CHECK_INT(counted.events[CLERK_EVENT_KIND_LINK_CONFLICT], 1);
    in_order(&table);
    clerk_client_free(client);
    CHECK_INT(table.destroyed, 1);
}

/* At the first `CREATE` somebody else was faster. */
static int32_t somebody_is_faster(void *userdata, const clerk_store_request *step, clerk_store_response *reply) {
    table *own = userdata;
    if (clerk_store_request_get_kind(step) == CLERK_STORE_REQUEST_KIND_CREATE && own->count == 0) table_add(own, "user_ada", NULL, "ada");
    return table_answer(userdata, step, reply);
}

static void conflicts(void) {
    begin();
    table table = TABLE_INIT;
    clerk_config *config = sim_config();
    clerk_config_set_user_store(config, somebody_is_faster, &table, NULL);
    clerk_client *client = client_of(config);
    CHECK_WORD(ask(client, fresh()), "in verified");
    CHECK_WORD(table_diary(&table), "by_clerk_id by_email taken begin create rollback by_clerk_id begin update commit");
    CHECK_INT(table.count, 1);
    in_order(&table);

    /* Without end. */
    begin();
    table.count = 0;
    table_add(&table, "user_none", NULL, NULL);
    table.failing = CLERK_STORE_REQUEST_KIND_CREATE;
    table.code = CLERK_STORE_CONFLICT;
    clerk_client_invalidate_all(client);
    CHECK_WORD(ask(client, fresh()), "out link-conflict");
    CHECK(table.asked[CLERK_STORE_REQUEST_KIND_CREATE] < 10);
    in_order(&table);
    clerk_client_free(client);
}

static char heard[1 << 14];

static void listen(void *userdata, const clerk_event *event) {
    clerk_str id = clerk_event_clerk_id(event), key = clerk_event_user_key(event);
    size_t len = strlen(heard);
    snprintf(heard + len, sizeof heard - len, "%s %s %s|", id.data ? id.data : "", key.data ? key.data : "",
             clerk_reason_name(clerk_event_reason(event)));
    (void)userdata;
}

static void listen_to_log(void *userdata, int32_t level, clerk_str message) {
    size_t len = strlen(heard);
    snprintf(heard + len, sizeof heard - len, "%d %s|", level, message.data);
    (void)userdata;
}

static void a_failure_passes_through_untouched_and_is_not_remembered(void) {
    static const int32_t codes[] = {-1, -77, INT32_MIN, CLERK_E_PANIC, 3, 99, INT32_MAX};
    static const struct {
        int32_t kind;
        const char *diary;
    } failing[] = {
        {CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID, "by_clerk_id"},
        {CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL, "by_clerk_id by_email"},
        {CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN, "by_clerk_id by_email taken"},
        {CLERK_STORE_REQUEST_KIND_BEGIN, "by_clerk_id by_email taken begin"},
        {CLERK_STORE_REQUEST_KIND_CREATE, "by_clerk_id by_email taken begin create rollback"},
        {CLERK_STORE_REQUEST_KIND_COMMIT, "by_clerk_id by_email taken begin create commit rollback"},
    };
    begin();
    table table = TABLE_INIT;
    clerk_config *config = sim_config();
    clerk_config_set_event_callback(config, listen, NULL, NULL);
    clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_DEBUG, listen_to_log, NULL, NULL);
    clerk_config_set_user_store(config, table_answer, &table, NULL);
    clerk_client *client = client_of(config);
    const char *token = fresh();
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", token);
    clerk_request request = bearer(line);
    for (size_t i = 0; i < sizeof failing / sizeof failing[0]; i++) {
        for (size_t j = 0; j < sizeof codes / sizeof codes[0]; j++) {
            table.failing = failing[i].kind;
            table.code = codes[j];
            table.words = j % 2 ? CLERK_STR("Platte voll: /var/db, 100 %") : (clerk_str){NULL, 0};
            table.count = 0;
            heard[0] = 0;
            clerk_result *result = NULL;
            clerk_error *error = NULL;
            CHECK_STATUS(clerk_authenticate(client, &request, &result, &error), CLERK_UNAVAILABLE);
            CHECK_INT(clerk_error_store_code(error), codes[j]);
            if (j % 2) CHECK_TEXT(clerk_error_message(error), "Platte voll: /var/db, 100 %");
            CHECK(clerk_error_message(error).len > 0);
            CHECK_INT(clerk_error_http_status(error), 0);
            clerk_error_free(error);
            CHECK_INT(clerk_result_reason(result), CLERK_REASON_STORE_ERROR);
            CHECK_INT(clerk_result_http_status(result), 503);
            CHECK_WORD(ended(CLERK_UNAVAILABLE, &result), "unavailable store-error");
            CHECK(strstr(heard, "Platte") == NULL && strstr(heard, "store-error") != NULL);
            CHECK_WORD(table_diary(&table), failing[i].diary);
            clerk_stats stats = CLERK_STATS_INIT;
            clerk_client_stats(client, &stats);
            CHECK_INT(stats.cached_tokens, 0);
            CHECK_WORD(ask_cached(client, token), "CLERK_WOULD_BLOCK");
            in_order(&table);
        }
    }
    table.failing = 0;
    table.count = 0;
    CHECK_WORD(ask(client, token), "in verified");
    /* A remembered answer whose row cannot be looked at lets nobody in, and is good again afterwards. */
    table.failing = CLERK_STORE_REQUEST_KIND_FIND_BY_KEY;
    CHECK_WORD(ask(client, token), "unavailable store-error");
    table.failing = 0;
    CHECK_WORD(ask(client, token), "in cache");
    /* An update that fails, too. */
    sim_admin("PATCH", "/users/user_ada", "{\"first_name\":\"Augusta\"}");
    clerk_client_invalidate_user(client, CLERK_STR("user_ada"));
    table.failing = CLERK_STORE_REQUEST_KIND_UPDATE;
    CHECK_WORD(ask(client, token), "unavailable store-error");
    table.failing = 0;
    CHECK_WORD(ask(client, token), "in verified");
    in_order(&table);

    /* Words that are too long or no text are cut or mended, not refused: it is a failure already. */
    static char endless[1 << 20];
    memset(endless, 'x', sizeof endless);
    endless[5] = (char)0xfe;
    endless[7] = 0;
    table.failing = CLERK_STORE_REQUEST_KIND_FIND_BY_KEY;
    table.code = -5;
    table.words = (clerk_str){endless, sizeof endless};
    clerk_result *result = NULL;
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_authenticate(client, &request, &result, &error), CLERK_UNAVAILABLE);
    CHECK_TEXT(clerk_error_message(error), "xxxxx\xef\xbf\xbdx");
    clerk_error_free(error);
    clerk_result_free(result);
    clerk_client_free(client);
}

/* --- hooks that do what they should not --------------------------------------------------------------------------- */

/* What is done wrong, and at which step. */
enum wrong {
    NOTHING,
    TWO_ROWS,
    SOMEBODY_ELSES_ROW,
    SOMEBODY_ELSES_ROW_UNDER_HER_KEY,
    NOBODYS_ROW,
    EMPTY_KEY,
    EMPTY_KEY_MENDED,
    HUGE_KEY,
    HUGE_TEXT,
    NO_UTF8,
    NUL_INSIDE,
    UNKNOWN_COLUMN,
    COLUMN_BEFORE_ROW,
    TOO_MANY_ROWS,
    HALF_ACTIVE,
    NO_REPLY,
    OTHER_REPLY,
    TAKEN_TWICE,
    DECLINES,
    CONFLICTS,
    WRONGS,
};

typedef struct {
    table table;
    enum wrong wrong;
    int32_t kind;
    int done;
} evil;

static char huge[70000];

static int32_t row_of(clerk_store_response *reply, const char *key, const char *clerk_id) {
    int32_t status = clerk_store_response_add_row(reply, clerk_str_of(key));
    return status ? status : clerk_store_response_set_string_column(reply, CLERK_COLUMN_CLERK_ID, clerk_str_of(clerk_id));
}

static int32_t evil_answer(void *userdata, const clerk_store_request *step, clerk_store_response *reply) {
    evil *own = userdata;
    int32_t kind = clerk_store_request_get_kind(step);
    if (kind != own->kind) return table_answer(&own->table, step, reply);
    own->done++;
    switch (own->wrong) {
    case TWO_ROWS:
        row_of(reply, "1", "user_ada"), row_of(reply, "2", "user_ada");
        return CLERK_STORE_OK;
    case SOMEBODY_ELSES_ROW:
        row_of(reply, "9", "user_boss");
        clerk_store_response_set_string_column(reply, CLERK_COLUMN_EMAIL, CLERK_STR("ada@example.com"));
        return CLERK_STORE_OK;
    case SOMEBODY_ELSES_ROW_UNDER_HER_KEY:
        row_of(reply, "1", "user_boss");
        return CLERK_STORE_OK;
    case NOBODYS_ROW:
        clerk_store_response_add_row(reply, CLERK_STR("9"));
        return CLERK_STORE_OK;
    case EMPTY_KEY:
        CHECK_STATUS(clerk_store_response_add_row(reply, CLERK_STR("")), CLERK_E_ARGUMENT);
        CHECK_STATUS(clerk_store_response_set_created_key(reply, CLERK_STR("")), CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case EMPTY_KEY_MENDED:
        CHECK_STATUS(clerk_store_response_set_created_key(reply, CLERK_STR("")), CLERK_E_ARGUMENT);
        table_answer(&own->table, step, reply);
        return CLERK_STORE_OK;
    case HUGE_KEY:
        CHECK_STATUS(clerk_store_response_set_created_key(reply, clerk_str_of(huge)), CLERK_E_ARGUMENT);
        CHECK_STATUS(clerk_store_response_add_row(reply, clerk_str_of(huge)), CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case HUGE_TEXT:
        row_of(reply, "1", "user_ada");
        CHECK_STATUS(clerk_store_response_set_string_column(reply, CLERK_COLUMN_FIRST_NAME, clerk_str_of(huge)), CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case NO_UTF8:
        row_of(reply, "1", "user_ada");
        CHECK_STATUS(clerk_store_response_set_string_column(reply, CLERK_COLUMN_EMAIL, CLERK_STR("a\xff")), CLERK_E_UTF8);
        return CLERK_STORE_OK;
    case NUL_INSIDE:
        row_of(reply, "1", "user_ada");
        CHECK_STATUS(clerk_store_response_set_string_column(reply, CLERK_COLUMN_CLERK_ID, CLERK_STR("user_ada\0x")), CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case UNKNOWN_COLUMN:
        row_of(reply, "1", "user_ada");
        CHECK_STATUS(clerk_store_response_set_string_column(reply, 99, CLERK_STR("x")), CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case COLUMN_BEFORE_ROW:
        CHECK_STATUS(clerk_store_response_set_int_column(reply, CLERK_COLUMN_IS_ACTIVE, 1), CLERK_E_STATE);
        row_of(reply, "1", "user_ada");
        return CLERK_STORE_OK;
    case TOO_MANY_ROWS:
        for (int i = 0; i < 16; i++) CHECK_STATUS(clerk_store_response_add_row(reply, CLERK_STR("1")), CLERK_OK);
        CHECK_STATUS(clerk_store_response_add_row(reply, CLERK_STR("1")), CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case HALF_ACTIVE:
        row_of(reply, "1", "user_ada");
        CHECK_STATUS(clerk_store_response_set_int_column(reply, CLERK_COLUMN_IS_ACTIVE, 2), CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case NO_REPLY:
        return CLERK_STORE_OK;
    case OTHER_REPLY:
        clerk_store_response_set_created_key(reply, CLERK_STR("9"));
        clerk_store_response_set_username_taken(reply, 0);
        row_of(reply, "9", "user_boss");
        return CLERK_STORE_OK;
    case TAKEN_TWICE:
        clerk_store_response_set_username_taken(reply, 0);
        CHECK_STATUS(clerk_store_response_set_username_taken(reply, -1), CLERK_E_ARGUMENT);
        return CLERK_STORE_OK;
    case DECLINES:
        row_of(reply, "9", "user_boss");
        return CLERK_STORE_DECLINE;
    case CONFLICTS:
        row_of(reply, "9", "user_boss");
        return CLERK_STORE_CONFLICT;
    default:
        return table_answer(&own->table, step, reply);
    }
}

static void h1_whatever_a_hook_does_nobody_is_somebody_else(void) {
    memset(huge, 'h', sizeof huge - 1);
    int let_in = 0, kept_out = 0;
    for (int32_t kind = CLERK_STORE_REQUEST_KIND_FIND_BY_KEY; kind <= CLERK_STORE_REQUEST_KIND_ROLLBACK; kind++) {
        for (int wrong = NOTHING; wrong < WRONGS; wrong++) {
            begin();
            evil own = {.table = TABLE_INIT, .wrong = (enum wrong)wrong, .kind = kind};
            /* Looks by key, updates and rollbacks come later in a row's life. */
            bool is_known = kind == CLERK_STORE_REQUEST_KIND_FIND_BY_KEY || kind == CLERK_STORE_REQUEST_KIND_UPDATE;
            clerk_config *config = sim_config();
            clerk_config_set_user_store(config, evil_answer, &own, table_destroy);
            clerk_client *client = client_of(config);
            const char *token = fresh();
            if (is_known) {
                own.kind = 0;
                CHECK_WORD(ask(client, token), "in verified");
                own.kind = kind;
            }
            if (kind == CLERK_STORE_REQUEST_KIND_UPDATE) {
                sim_admin("PATCH", "/users/user_ada", "{\"first_name\":\"Augusta\"}");
                clerk_client_invalidate_user(client, CLERK_STR("user_ada"));
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
            CHECK_INT(own.done > 0, true);
            if (status == CLERK_OK) {
                /* Then as herself, and with the row that is hers. */
                const table_row *row = table_of(&own.table, "user_ada");
                char key[16];
                /* Whether a row was made that a hook says it made, only the host can know. */
                bool only_said = kind == CLERK_STORE_REQUEST_KIND_CREATE && wrong == OTHER_REPLY;
                snprintf(key, sizeof key, "%d", only_said ? 9 : row ? row->key : -1);
                CHECK_TEXT(clerk_result_user_id(result), "user_ada");
                CHECK_TEXT(clerk_result_user_key(result), key);
                let_in++;
            } else {
                CHECK(status == CLERK_UNAVAILABLE || status == CLERK_SIGNED_OUT);
                kept_out++;
            }
            if (wrong == NOTHING) CHECK_INT(status, kind == CLERK_STORE_REQUEST_KIND_ROLLBACK ? CLERK_UNAVAILABLE : CLERK_OK);
            CHECK(table_of(&own.table, "user_boss") == NULL);
            clerk_result_free(result);
            clerk_client_free(client);
        }
    }
    printf("%d wrongs let her in as herself, %d kept her out\n", let_in, kept_out);
    CHECK(kept_out > let_in);
}

static int32_t slow(void *userdata, const clerk_store_request *step, clerk_store_response *reply) {
    nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL);
    return table_answer(userdata, step, reply);
}

static void the_stores_time_is_its_own(void) {
    begin();
    table table = TABLE_INIT;
    clerk_config *config = sim_config();
    set(config, "timeout_ms", "200");
    clerk_config_set_user_store(config, slow, &table, NULL);
    clerk_client *client = client_of(config);
    CHECK_WORD(ask(client, fresh()), "in verified");
    clerk_client_free(client);
}

/* --- which columns there are, and how much fits ------------------------------------------------------------------- */

static void schemas(void) {
    begin();
    table table = TABLE_INIT;
    clerk_config *config = sim_config();
    uint32_t columns = 1 << CLERK_COLUMN_CLERK_ID | 1 << CLERK_COLUMN_FIRST_NAME;
    CHECK_STATUS(clerk_config_set_user_columns(config, columns), CLERK_OK);
    CHECK_STATUS(clerk_config_set_user_column_length(config, CLERK_COLUMN_FIRST_NAME, 2), CLERK_OK);
    clerk_config_set_user_store(config, table_answer, &table, NULL);
    clerk_client *client = client_of(config);
    CHECK_WORD(ask(client, fresh()), "in verified");
    CHECK_WORD(table_diary(&table), "by_clerk_id begin create commit");
    const table_row *row = table_of(&table, "user_ada");
    CHECK_WORD(column(row, CLERK_COLUMN_FIRST_NAME), "Ad");
    for (int which = 0; which < COLUMNS; which++) {
        CHECK(row->has[which] == (which == CLERK_COLUMN_CLERK_ID || which == CLERK_COLUMN_FIRST_NAME));
    }
    clerk_client_free(client);

    /* A table of addresses: rows are found by them alone, and nothing writes who they belong to. */
    config = sim_config();
    table.count = 0;
    table_diary(&table);
    table_add(&table, NULL, "ada@example.com", NULL);
    CHECK_STATUS(clerk_config_set_user_columns(config, 1 << CLERK_COLUMN_EMAIL), CLERK_OK);
    clerk_config_set_user_store(config, table_answer, &table, NULL);
    client = client_of(config);
    clerk_result *result = signed_in(client, fresh());
    CHECK_WORD(table_diary(&table), "by_email");
    CHECK_TEXT(clerk_result_user_key(result), "2");
    clerk_result_free(result);
    clerk_client_free(client);

    /* What does not fit is left out, and the name makes room. */
    config = sim_config();
    table.count = 0;
    table_diary(&table);
    sim_put("/users/user_ada", "{\"username\":\"augusta_ada_king\",\"email_addresses\":[\"ada@example.com\"],"
            "\"primary_email_address_id\":\"idn_0001\"}");
    CHECK_STATUS(clerk_config_set_user_column_length(config, CLERK_COLUMN_EMAIL, 14), CLERK_OK);
    CHECK_STATUS(clerk_config_set_user_column_length(config, CLERK_COLUMN_IMAGE_URL, 10), CLERK_OK);
    CHECK_STATUS(clerk_config_set_user_column_length(config, CLERK_COLUMN_USERNAME, 8), CLERK_OK);
    clerk_config_set_user_store(config, table_answer, &table, NULL);
    client = client_of(config);
    CHECK_WORD(ask(client, fresh()), "in verified");
    CHECK_WORD(table_diary(&table), "by_clerk_id taken begin create commit");
    row = table_of(&table, "user_ada");
    CHECK_WORD(column(row, CLERK_COLUMN_EMAIL), NULL);
    CHECK_WORD(column(row, CLERK_COLUMN_IMAGE_URL), NULL);
    CHECK_INT(strlen(column(row, CLERK_COLUMN_USERNAME)), 8);
    clerk_client_free(client);
}

static void a_store_that_is_not_needed_is_not_asked(void) {
    begin();
    table table = TABLE_INIT;
    clerk_config *config = sim_config();
    set(config, "user_mode", "claims");
    clerk_config_set_user_store(config, table_answer, &table, NULL);
    clerk_client *client = client_of(config);
    clerk_result *result = signed_in(client, fresh());
    CHECK_TEXT(clerk_result_user_key(result), NULL);
    CHECK_WORD(table_diary(&table), "");
    clerk_result_free(result);
    clerk_client_free(client);

    /* Within the recheck time its word is trusted, without waiting, too. */
    client = client_with(&table, "60");
    const char *token = fresh();
    CHECK_WORD(ask(client, token), "in verified");
    table_diary(&table);
    CHECK_WORD(ask_cached(client, token), "in cache");
    CHECK_WORD(ask_cached(client, fresh()), "in verified");
    CHECK_WORD(table_diary(&table), "");
    clerk_client_free(client);
    CHECK_INT(table.destroyed, 1);
    table.count = 0;
    client = client_with(&table, "0");
    CHECK_WORD(ask(client, token), "in verified");
    CHECK_WORD(ask_cached(client, token), "CLERK_WOULD_BLOCK");
    clerk_client_free(client);
}

static void users_in_sqlite(void) {
    begin();
    char folder[] = "/tmp/clerk-store-XXXXXX", path[64];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/users.db", folder);
    for (int run = 0; run < 2; run++) {
        clerk_config *config = sim_config();
        CHECK_STATUS(clerk_config_set_sqlite_path(config, clerk_str_of(path), NULL), CLERK_OK);
        clerk_client *client = client_of(config);
        clerk_result *result = signed_in(client, fresh());
        CHECK_TEXT(clerk_result_user_key(result), "1");
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
    a_row_is_made_kept_up_to_date_and_looked_at_again();
    rows_are_linked_and_names_numbered();
    conflicts();
    a_failure_passes_through_untouched_and_is_not_remembered();
    h1_whatever_a_hook_does_nobody_is_somebody_else();
    the_stores_time_is_its_own();
    schemas();
    a_store_that_is_not_needed_is_not_asked();
    users_in_sqlite();
    return 0;
}
