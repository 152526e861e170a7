/* Every exported function with invalid arguments: NULL, strings that are too long or not UTF-8, unknown sizes and
 * numbers. The outcome is a status, never a crash. run.sh checks that no function is missing. */
#include "check.h"

#include <limits.h>
#include <stddef.h>

static clerk_client *client;

#define DIRTY(type) ((type *)&client)

/* Invalid strings, and the status of a function that needs UTF-8. */
static const char not_utf8[] = {'a', (char)0xff, 'b', 0};
static const struct {
    clerk_str text;
    int32_t status;
} invalid[] = {
    {{NULL, 1}, CLERK_E_NULL},
    {{NULL, SIZE_MAX}, CLERK_E_NULL},
    {{"a", SIZE_MAX}, CLERK_E_ARGUMENT},
    {{"a", (size_t)PTRDIFF_MAX + 1}, CLERK_E_ARGUMENT},
    {{not_utf8, 3}, CLERK_E_UTF8},
};
#define INVALIDS (sizeof invalid / sizeof invalid[0])

static const int32_t unknown[] = {-1, 99, 1 << 20, INT32_MIN, INT32_MAX};
#define UNKNOWNS (sizeof unknown / sizeof unknown[0])

static const clerk_str none = {NULL, 0};
static const clerk_str with_nul = {"a\0b", 3};

static void strings_and_names(void) {
    CHECK_STR(clerk_str_of(NULL), NULL);
    CHECK_STR(clerk_str_of("x"), "x");
    CHECK(clerk_version()[0] != 0);
    CHECK(clerk_abi_version() != 0);
    for (size_t i = 0; i < UNKNOWNS; i++) {
        CHECK_CSTR(clerk_status_name(unknown[i]), "CLERK_E_UNKNOWN");
        CHECK_CSTR(clerk_reason_name(unknown[i]), "");
        CHECK_INT(clerk_reason_category(unknown[i]), 0);
        CHECK_CSTR(clerk_category_name(unknown[i]), "");
        CHECK_CSTR(clerk_source_name(unknown[i]), "");
        CHECK_CSTR(clerk_handshake_source_name(unknown[i]), "");
        CHECK_CSTR(clerk_token_kind_name(unknown[i]), "");
        CHECK_CSTR(clerk_event_kind_name(unknown[i]), "");
        CHECK_CSTR(clerk_endpoint_name(unknown[i]), "");
        CHECK_CSTR(clerk_call_status_name(unknown[i]), "");
        CHECK_CSTR(clerk_shared_cache_state_name(unknown[i]), "");
    }
    CHECK(clerk_setting_info(0, NULL) == CLERK_E_NULL);
    CHECK_CSTR(clerk_reason_name(0), "");
    CHECK_INT(clerk_reason_category(0), 0);
}

static void configs(void) {
    clerk_config_free(NULL);
    clerk_str name = CLERK_STR("issuer"), value = CLERK_STR("1");
    clerk_error *error = DIRTY(clerk_error);
    CHECK_STATUS(clerk_config_set(NULL, name, value, &error), CLERK_E_NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set(NULL, none, none, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_int(NULL, none, 0, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_add(NULL, none, none, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_from_env(NULL, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_event_callback(NULL, NULL, NULL, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_log_callback(NULL, CLERK_LOG_LEVEL_WARN, NULL, NULL, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_clock_callback(NULL, NULL, NULL, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_user_store(NULL, NULL, NULL, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_shared_cache(NULL, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_user_columns(NULL, 1), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_user_column_length(NULL, CLERK_COLUMN_EMAIL, 9), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_sqlite_path(NULL, CLERK_STR("x"), NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_config_set_database(NULL, CLERK_STR("sqlite:x"), NULL), CLERK_E_NULL);

    clerk_config *config = clerk_config_new();
    for (size_t i = 0; i < INVALIDS; i++) {
        error = DIRTY(clerk_error);
        CHECK_STATUS(clerk_config_set(config, invalid[i].text, value, &error), invalid[i].status);
        CHECK_ERROR(&error, invalid[i].status);
        CHECK_STATUS(clerk_config_set(config, name, invalid[i].text, NULL), invalid[i].status);
        CHECK_STATUS(clerk_config_set_int(config, invalid[i].text, 1, NULL), invalid[i].status);
        CHECK_STATUS(clerk_config_add(config, invalid[i].text, value, NULL), invalid[i].status);
        CHECK_STATUS(clerk_config_add(config, name, invalid[i].text, NULL), invalid[i].status);
        CHECK_STATUS(clerk_config_set_sqlite_path(config, invalid[i].text, NULL), invalid[i].status);
        CHECK_STATUS(clerk_config_set_database(config, invalid[i].text, NULL), invalid[i].status);
    }
    CHECK_STATUS(clerk_config_set(config, none, none, NULL), CLERK_E_CONFIG);
    CHECK_STATUS(clerk_config_set(config, name, with_nul, NULL), CLERK_E_CONFIG);
    CHECK_STATUS(clerk_config_add(config, name, with_nul, NULL), CLERK_E_CONFIG);
    CHECK_STATUS(clerk_config_add(config, name, none, NULL), CLERK_E_CONFIG);
    CHECK_STATUS(clerk_config_set_int(config, CLERK_STR("timeout_ms"), INT64_MIN, NULL), CLERK_E_CONFIG);
    CHECK_STATUS(clerk_config_set_int(config, CLERK_STR("timeout_ms"), INT64_MAX, NULL), CLERK_E_CONFIG);
    CHECK_STATUS(clerk_sqlite_backup(none, CLERK_STR("/nowhere/copy"), NULL), CLERK_E_CONFIG);
    CHECK_STATUS(clerk_sqlite_backup(CLERK_STR("/nowhere/at/all"), none, NULL), CLERK_E_CONFIG);
    CHECK_STATUS(clerk_config_set_sqlite_path(config, none, NULL), CLERK_E_CONFIG);
    CHECK_STATUS(clerk_config_set_sqlite_path(config, with_nul, NULL), CLERK_E_CONFIG);
    CHECK_STATUS(clerk_config_from_env(config, NULL), CLERK_OK);
    for (size_t i = 0; i < UNKNOWNS; i++) {
        CHECK_STATUS(clerk_config_set_log_callback(config, unknown[i], NULL, NULL, NULL), CLERK_E_ARGUMENT);
        CHECK_STATUS(clerk_config_set_user_column_length(config, unknown[i], 9), CLERK_E_ARGUMENT);
    }
    CHECK_STATUS(clerk_config_set_log_callback(config, 0, NULL, NULL, NULL), CLERK_E_ARGUMENT);
    CHECK_STATUS(clerk_config_set_user_column_length(config, CLERK_COLUMN_IS_ACTIVE, 9), CLERK_E_ARGUMENT);
    CHECK_STATUS(clerk_config_set_user_column_length(config, CLERK_COLUMN_USERNAME, 7), CLERK_E_ARGUMENT);
    CHECK_STATUS(clerk_config_set_user_column_length(config, CLERK_COLUMN_USERNAME, 8), CLERK_OK);
    CHECK_STATUS(clerk_config_set_user_column_length(config, CLERK_COLUMN_EMAIL, UINT32_MAX), CLERK_OK);
    /* No columns; neither column that identifies a row; an unknown column. */
    for (size_t i = 0; i < 4; i++) {
        static const uint32_t columns[] = {0, 4, 1u << 10 | 1, UINT32_MAX};
        CHECK_STATUS(clerk_config_set_user_columns(config, columns[i]), CLERK_E_ARGUMENT);
    }
    CHECK_STATUS(clerk_config_set_event_callback(config, NULL, NULL, NULL), CLERK_OK);
    CHECK_STATUS(clerk_config_set_clock_callback(config, NULL, NULL, NULL), CLERK_OK);
    CHECK_STATUS(clerk_config_set_user_store(config, NULL, NULL, NULL), CLERK_OK);
    CHECK_STATUS(clerk_config_set_shared_cache(config, NULL), CLERK_OK);

    clerk_client *made = DIRTY(clerk_client);
    error = DIRTY(clerk_error);
    CHECK_STATUS(clerk_client_new(NULL, &made, &error), CLERK_E_NULL);
    CHECK(made == NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    CHECK_STATUS(clerk_client_new(config, NULL, &error), CLERK_E_NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    made = DIRTY(clerk_client);
    CHECK_STATUS(clerk_client_new(config, &made, NULL), CLERK_E_CONFIG);
    CHECK(made == NULL);
    CHECK_STATUS(clerk_client_new(NULL, NULL, NULL), CLERK_E_NULL);
    clerk_config_free(config);
}

static void errors(void) {
    clerk_error_free(NULL);
    CHECK_STATUS(clerk_error_status(NULL), CLERK_OK);
    CHECK_STR(clerk_error_message(NULL), NULL);
    CHECK_STR(clerk_error_setting(NULL), NULL);
    CHECK_STR(clerk_error_trace_id(NULL), NULL);
    CHECK_INT(clerk_error_http_status(NULL), 0);
    CHECK_INT(clerk_error_store_code(NULL), 0);
    CHECK_INT(clerk_error_retry_after_ms(NULL), -1);
}

static void metrics(const clerk_client *client) {
    clerk_stats stats = CLERK_STATS_INIT, sum = CLERK_STATS_INIT, bad = CLERK_STATS_INIT;
    struct {
        uint32_t struct_size, reserved;
        uint64_t cache_hits, behind;
    } old = {16, 0, 5, 6};
    char text[16384];
    size_t needed = 0;

    CHECK_STATUS(clerk_client_metrics_text(NULL, text, sizeof text, &needed), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_metrics_text(client, NULL, 0, &needed), CLERK_E_ARGUMENT);
    CHECK(needed > 100);
    CHECK_STATUS(clerk_client_metrics_text(client, text, needed, NULL), CLERK_E_ARGUMENT);
    CHECK_STATUS(clerk_client_metrics_text(client, NULL, sizeof text, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_metrics_text(client, text, needed + 1, &needed), CLERK_OK);
    CHECK(strlen(text) == needed && strstr(text, "clerk_auth_cache_hits_total ") != NULL);
    CHECK_STATUS(clerk_stats_metrics_text(NULL, text, sizeof text, &needed), CLERK_E_NULL);
    CHECK_STATUS(clerk_stats_metrics_text(&stats, NULL, 0, NULL), CLERK_E_ARGUMENT);
    bad.struct_size = 0;
    CHECK_STATUS(clerk_stats_metrics_text(&bad, text, sizeof text, NULL), CLERK_E_STRUCT_SIZE);
    CHECK_STATUS(clerk_stats_add(NULL, &stats, 0), CLERK_E_NULL);
    CHECK_STATUS(clerk_stats_add(&sum, NULL, 0), CLERK_E_NULL);
    CHECK_STATUS(clerk_stats_add(&bad, &stats, 0), CLERK_E_STRUCT_SIZE);
    CHECK_STATUS(clerk_stats_add(&sum, &bad, 0), CLERK_E_STRUCT_SIZE);

    stats.cache_hits = 2;
    stats.cached_tokens = 3;
    stats.jwks_age_ms = 1500;
    stats.calls[CLERK_ENDPOINT_USERS][CLERK_CALL_STATUS_RATE_LIMITED] = 4;
    CHECK_STATUS(clerk_stats_add(&sum, &stats, 1), CLERK_OK);
    CHECK(sum.cache_hits == 2 && sum.cached_tokens == 0 && sum.jwks_age_ms == -1);
    CHECK_STATUS(clerk_stats_add(&sum, &stats, 0), CLERK_OK);
    CHECK(sum.cache_hits == 4 && sum.cached_tokens == 3 && sum.struct_size == sizeof sum);
    CHECK_STATUS(clerk_stats_metrics_text(&sum, text, sizeof text, NULL), CLERK_OK);
    CHECK(strstr(text, "\nclerk_auth_clerk_calls_total{endpoint=\"users\",status=\"rate_limited\"} 8\n") != NULL);
    CHECK(strstr(text, "\nclerk_auth_jwks_age_seconds 1.500\n") != NULL);

    /* A structure of an application that was compiled with fewer members. */
    CHECK_STATUS(clerk_stats_add(&sum, (const clerk_stats *)&old, 0), CLERK_OK);
    CHECK(sum.cache_hits == 9 && sum.cache_misses == 0);
    CHECK_STATUS(clerk_stats_add((clerk_stats *)&old, &sum, 0), CLERK_OK);
    CHECK(old.cache_hits == 14 && old.behind == 6);
}

static void client_functions(void) {
    CHECK(clerk_client_retain(NULL) == NULL);
    clerk_client_free(NULL);
    clerk_request request = CLERK_REQUEST_INIT;
    clerk_result *result = DIRTY(clerk_result);
    clerk_pending *pending = DIRTY(clerk_pending);
    clerk_error *error = DIRTY(clerk_error);
    CHECK_STATUS(clerk_authenticate(NULL, &request, &result, &error), CLERK_E_NULL);
    CHECK(result == NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    CHECK_STATUS(clerk_authenticate(client, NULL, &result, &error), CLERK_E_NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    CHECK_STATUS(clerk_authenticate(client, &request, NULL, &error), CLERK_E_NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    CHECK_STATUS(clerk_authenticate(NULL, NULL, NULL, NULL), CLERK_E_NULL);
    result = DIRTY(clerk_result);
    CHECK_STATUS(clerk_authenticate_cached(NULL, &request, &result), CLERK_E_NULL);
    CHECK(result == NULL);
    CHECK_STATUS(clerk_authenticate_cached(client, NULL, &result), CLERK_E_NULL);
    CHECK_STATUS(clerk_authenticate_cached(client, &request, NULL), CLERK_E_NULL);
    result = DIRTY(clerk_result);
    error = DIRTY(clerk_error);
    CHECK_STATUS(clerk_authenticate_begin(NULL, &request, &result, &pending, &error), CLERK_E_NULL);
    CHECK(result == NULL && pending == NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    CHECK_STATUS(clerk_authenticate_begin(client, NULL, &result, &pending, &error), CLERK_E_NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    CHECK_STATUS(clerk_authenticate_begin(client, &request, NULL, &pending, &error), CLERK_E_NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    CHECK_STATUS(clerk_authenticate_begin(client, &request, &result, NULL, &error), CLERK_E_NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    result = DIRTY(clerk_result);
    pending = DIRTY(clerk_pending);
    CHECK_STATUS(clerk_authenticate_begin_cached(NULL, &request, &result, &pending), CLERK_E_NULL);
    CHECK(result == NULL && pending == NULL);
    CHECK_STATUS(clerk_authenticate_begin_cached(client, NULL, &result, &pending), CLERK_E_NULL);
    CHECK_STATUS(clerk_authenticate_begin_cached(client, &request, NULL, &pending), CLERK_E_NULL);
    CHECK_STATUS(clerk_authenticate_begin_cached(client, &request, &result, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_verify_token(NULL, none, &result, &error), CLERK_E_NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    CHECK_STATUS(clerk_verify_token(client, none, NULL, &error), CLERK_E_NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    CHECK_STATUS(clerk_client_warm_up(NULL, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_warm_up(client, NULL), CLERK_OK);
    CHECK_STATUS(clerk_client_invalidate_token(NULL, none), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_invalidate_user(NULL, none), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_invalidate_session(NULL, none), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_revoke_session(NULL, none), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_revoke_user(NULL, none), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_export_revocations(NULL, NULL, 0, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_import_revocations(NULL, none, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_request_credential(NULL, NULL, NULL, NULL), CLERK_E_NULL);
    CHECK_INT(clerk_client_mark(NULL), 0);
    CHECK(clerk_client_mark(client) > 0);
    CHECK_STATUS(clerk_explain(NULL, none, NULL, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_explain(client, none, NULL, NULL), CLERK_E_NULL);
    clerk_explanation *explanation = DIRTY(clerk_explanation);
    CHECK_STATUS(clerk_explain(NULL, none, &explanation, NULL), CLERK_E_NULL);
    CHECK(explanation == NULL);
    CHECK_STR(clerk_explanation_json(NULL), NULL);
    CHECK_STR(clerk_explanation_text(NULL), NULL);
    clerk_explanation_free(NULL);
    CHECK_STR(clerk_result_token_hash(NULL), NULL);
    CHECK_STATUS(clerk_client_invalidate_all(NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_clear_cache(NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_poll(NULL, 0), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_start_poller(NULL, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_shutdown(NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_stats(NULL, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_stats(client, NULL), CLERK_E_NULL);
    metrics(client);

    for (size_t i = 0; i < INVALIDS; i++) {
        int32_t of_bytes = invalid[i].status == CLERK_E_UTF8 ? CLERK_SIGNED_OUT : invalid[i].status;
        result = DIRTY(clerk_result);
        CHECK_CSTR(outcome_and_free(clerk_verify_token(client, invalid[i].text, &result, NULL), &result),
                   of_bytes == CLERK_SIGNED_OUT ? "signed_out token-invalid" : clerk_status_name(of_bytes));
        CHECK_STATUS(clerk_client_invalidate_token(client, invalid[i].text), invalid[i].status);
        CHECK_STATUS(clerk_client_invalidate_user(client, invalid[i].text), invalid[i].status);
        CHECK_STATUS(clerk_client_invalidate_session(client, invalid[i].text), invalid[i].status);

        /* Header lines are bytes: a line that is not UTF-8 is not a credential, and not an invalid argument. */
        for (int place = 0; place < 5; place++) {
            clerk_header header = {CLERK_STR("cookie"), CLERK_STR("a=b")};
            clerk_str *places[] = {&header.name, &header.value, &request.method, &request.cookie,
                                   &request.authorization};
            request = (clerk_request)CLERK_REQUEST_INIT;
            request.headers = &header;
            request.header_count = 1;
            *places[place] = invalid[i].text;
            result = DIRTY(clerk_result);
            int32_t status = clerk_authenticate(client, &request, &result, NULL);
            if (invalid[i].status == CLERK_E_UTF8) CHECK(status == CLERK_NO_CREDENTIALS || status == CLERK_SIGNED_OUT);
            else CHECK_STATUS(status, invalid[i].status);
            outcome_and_free(status, &result);
        }
    }
    CHECK_OK(clerk_client_invalidate_user(client, with_nul));

    request = (clerk_request)CLERK_REQUEST_INIT;
    request.header_count = 1;
    CHECK_STATUS(clerk_authenticate(client, &request, &result, NULL), CLERK_E_NULL);
    clerk_header header = {none, none};
    request.headers = &header;
    for (size_t i = 0; i < 3; i++) {
        static const size_t counts[] = {4097, PTRDIFF_MAX, SIZE_MAX};
        request.header_count = counts[i];
        CHECK_STATUS(clerk_authenticate(client, &request, &result, NULL), CLERK_E_ARGUMENT);
        CHECK_STATUS(clerk_authenticate_cached(client, &request, &result), CLERK_E_ARGUMENT);
        CHECK_STATUS(clerk_authenticate_begin(client, &request, &result, &pending, NULL), CLERK_E_ARGUMENT);
        CHECK_STATUS(clerk_authenticate_begin_cached(client, &request, &result, &pending), CLERK_E_ARGUMENT);
    }
    request = (clerk_request)CLERK_REQUEST_INIT;
    request.flags = 1;
    CHECK_STATUS(clerk_authenticate(client, &request, &result, NULL), CLERK_E_ARGUMENT);
}

static void webhooks(void) {
    clerk_header line = {CLERK_STR("svix-id"), CLERK_STR("x")};
    clerk_str body = CLERK_STR("{}");
    clerk_error *error = DIRTY(clerk_error);
    CHECK_STATUS(clerk_webhook_handle(NULL, &line, 1, body, &error), CLERK_E_NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    CHECK_STATUS(clerk_webhook_handle(client, NULL, 1, body, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_webhook_handle(client, NULL, 0, none, NULL), CLERK_E_WEBHOOK);
    CHECK_STATUS(clerk_webhook_handle(client, &line, 4097, body, NULL), CLERK_E_ARGUMENT);
    CHECK_STATUS(clerk_webhook_handle(client, &line, SIZE_MAX, body, NULL), CLERK_E_ARGUMENT);
    CHECK_STATUS(clerk_webhook_handle(client, &line, 1, body, NULL), CLERK_E_WEBHOOK);
    error = DIRTY(clerk_error);
    CHECK_STATUS(clerk_webhook_replay(NULL, &line, 1, body, &error), CLERK_E_NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    CHECK_STATUS(clerk_webhook_replay(client, NULL, 1, body, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_webhook_replay(client, &line, 4097, body, NULL), CLERK_E_ARGUMENT);
    CHECK_STATUS(clerk_webhook_replay(client, &line, 1, body, NULL), CLERK_E_WEBHOOK);
    clerk_pending *pending = DIRTY(clerk_pending);
    error = DIRTY(clerk_error);
    CHECK_STATUS(clerk_webhook_begin(NULL, &line, 1, body, &pending, &error), CLERK_E_NULL);
    CHECK(pending == NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    CHECK_STATUS(clerk_webhook_begin(client, &line, 1, body, NULL, NULL), CLERK_E_NULL);
    pending = DIRTY(clerk_pending);
    CHECK_STATUS(clerk_webhook_begin(client, NULL, 1, body, &pending, NULL), CLERK_E_NULL);
    CHECK(pending == NULL);
    CHECK_STATUS(clerk_webhook_begin(client, NULL, 0, none, &pending, NULL), CLERK_E_WEBHOOK);
    CHECK_STATUS(clerk_webhook_begin(client, &line, 4097, body, &pending, NULL), CLERK_E_ARGUMENT);
    CHECK_STATUS(clerk_webhook_begin(client, &line, 1, body, &pending, &error), CLERK_E_WEBHOOK);
    CHECK(pending == NULL && error != NULL);
    clerk_error_free(error);
    for (size_t i = 0; i < INVALIDS; i++) {
        int32_t status = invalid[i].status == CLERK_E_UTF8 ? CLERK_E_WEBHOOK : invalid[i].status;
        CHECK_STATUS(clerk_webhook_begin(client, &line, 1, invalid[i].text, &pending, NULL), status);
        CHECK_STATUS(clerk_webhook_handle(client, &line, 1, invalid[i].text, NULL), status);
        line.value = invalid[i].text;
        CHECK_STATUS(clerk_webhook_handle(client, &line, 1, body, NULL), status);
        line.value = body;
        line.name = invalid[i].text;
        CHECK_STATUS(clerk_webhook_handle(client, &line, 1, body, NULL), status);
        line.name = body;
    }
}

/* Authenticates with a structure of any size, in memory of exactly that size. */
static int32_t of_size(uint32_t given, size_t size, char tail) {
    unsigned char *memory = calloc(1, size < 4 ? 4 : size);
    memcpy(memory, &given, sizeof given);
    if (tail) memory[size - 1] = (unsigned char)tail;
    clerk_result *result = NULL;
    int32_t status = clerk_authenticate(client, (const clerk_request *)(void *)memory, &result, NULL);
    outcome_and_free(status, &result);
    result = NULL;
    CHECK_STATUS(clerk_authenticate_cached(client, (const clerk_request *)(void *)memory, &result), status);
    outcome_and_free(status, &result);
    free(memory);
    return status;
}

static void struct_sizes(void) {
    uint32_t known = sizeof(clerk_request), first = offsetof(clerk_request, method);
    static const uint32_t wrong[] = {0, 1, 4, 7, 8, 16, 24, 4097, 5000, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_STATUS(of_size(wrong[i], 8, 0), CLERK_E_STRUCT_SIZE);
    }
    CHECK_STATUS(of_size(first - 1, first - 1, 0), CLERK_E_STRUCT_SIZE);
    CHECK_STATUS(of_size(first, first, 0), CLERK_NO_CREDENTIALS);
    CHECK_STATUS(of_size(known, known, 0), CLERK_NO_CREDENTIALS);
    for (uint32_t more = known + 1; more <= 4096; more += 61) {
        CHECK_STATUS(of_size(more, more, 0), CLERK_NO_CREDENTIALS);
        CHECK_STATUS(of_size(more, more, 1), CLERK_E_STRUCT_SIZE);
    }

    union {
        clerk_stats stats;
        uint32_t size;
        unsigned char bytes[5000];
    } given;
    for (uint32_t size = 0; size <= 5000; size++) {
        memset(&given, 0x5a, sizeof given);
        given.size = size;
        bool fits = size >= 16 && size <= 4096;
        CHECK_STATUS(clerk_client_stats(client, &given.stats), fits ? CLERK_OK : CLERK_E_STRUCT_SIZE);
        CHECK_INT(given.size, size);
        /* No byte is written beyond the size of the caller or of the library. */
        size_t written = !fits ? 4 : size < sizeof(clerk_stats) ? size : sizeof(clerk_stats);
        for (size_t i = written; i < sizeof given; i++) CHECK(given.bytes[i] == 0x5a);
        CHECK(!fits || given.stats.reserved == 0);
    }
}

static void results(void) {
    clerk_result_free(NULL);
    int64_t first = 7, second = 7;
    size_t needed = 7;
    char buffer[8] = "canary";
    CHECK_STATUS(clerk_result_status(NULL), CLERK_E_NULL);
    CHECK_INT(clerk_result_reason(NULL), 0);
    CHECK_CSTR(clerk_result_reason_name(NULL), "");
    CHECK_CSTR(clerk_result_public_reason(NULL), "unavailable");
    CHECK_INT(clerk_result_http_status(NULL), 500);
    CHECK_INT(clerk_result_retry_after_ms(NULL), -1);
    CHECK_INT(clerk_result_handshake_recommended(NULL), 0);
    CHECK_INT(clerk_result_is_anonymous(NULL), 0);
    clerk_str page = CLERK_STR("x");
    CHECK_STATUS(clerk_result_redirect(NULL, &page), CLERK_E_NULL);
    CHECK_STATUS(clerk_result_redirect(NULL, NULL), CLERK_E_NULL);
    CHECK_INT(clerk_result_set_cookie_count(NULL), 0);
    CHECK_STATUS(clerk_result_set_cookie(NULL, 0, &page), CLERK_E_NULL);
    CHECK_STATUS(clerk_result_cache_control(NULL, &page), CLERK_E_NULL);
    CHECK(page.data == NULL);
    CHECK_INT(clerk_result_source(NULL), 0);
    CHECK_INT(clerk_result_token_kind(NULL), 0);
    CHECK_STR(clerk_result_get(NULL, CLERK_ATTRIBUTE_SUBJECT), NULL);
    CHECK_STR(clerk_result_user_id(NULL), NULL);
    CHECK_STR(clerk_result_user_key(NULL), NULL);
    CHECK_STR(clerk_result_session_id(NULL), NULL);
    CHECK_STR(clerk_result_claims_json(NULL), NULL);
    CHECK_INT(clerk_result_expires_at_ms(NULL), 0);
    CHECK_INT(clerk_result_factor_verification_age(NULL, &first, &second), 0);
    CHECK_INT(clerk_result_factor_verification_age(NULL, NULL, NULL), 0);
    CHECK(first == 7 && second == 7);
    CHECK_INT(clerk_result_has(NULL, CLERK_CHECK_ROLE, CLERK_STR("admin")), 0);
    CHECK_STATUS(clerk_result_claim(NULL, CLERK_STR("sub"), buffer, sizeof buffer, &needed), CLERK_E_NULL);
    CHECK_STATUS(clerk_result_www_authenticate(NULL, none, buffer, sizeof buffer, &needed), CLERK_E_NULL);
    CHECK_CSTR(buffer, "canary");
    CHECK_INT(needed, 7);

    const char *token = sim_token("{\"user\":\"user_nulls\",\"org\":{\"id\":\"org_1\",\"role\":\"org:admin\"}}");
    clerk_result *result = NULL;
    CHECK_STATUS(clerk_verify_token(client, clerk_str_of(token), &result, NULL), CLERK_OK);
    for (size_t i = 0; i < UNKNOWNS; i++) {
        CHECK_STR(clerk_result_get(result, unknown[i]), NULL);
        CHECK_INT(clerk_result_has(result, unknown[i], CLERK_STR("org:admin")), 0);
    }
    CHECK_INT(clerk_result_has(result, 0, CLERK_STR("org:admin")), 0);
    for (int32_t dimension = CLERK_CHECK_ROLE; dimension <= CLERK_CHECK_REVERIFICATION; dimension++) {
        for (size_t i = 0; i < INVALIDS; i++) CHECK_INT(clerk_result_has(result, dimension, invalid[i].text), 0);
        CHECK_INT(clerk_result_has(result, dimension, none), 0);
        CHECK_INT(clerk_result_has(result, dimension, with_nul), 0);
    }
    CHECK_INT(clerk_result_factor_verification_age(result, NULL, NULL), 1);
    for (size_t i = 0; i < INVALIDS; i++) {
        CHECK_STATUS(clerk_result_claim(result, invalid[i].text, buffer, sizeof buffer, NULL), invalid[i].status);
        CHECK_STATUS(clerk_result_www_authenticate(result, invalid[i].text, buffer, sizeof buffer, NULL),
                     invalid[i].status);
    }
    CHECK_STATUS(clerk_result_claim(result, none, buffer, sizeof buffer, NULL), CLERK_E_NOT_FOUND);
    CHECK_STATUS(clerk_result_claim(result, CLERK_STR("v"), NULL, 0, NULL), CLERK_E_ARGUMENT);
    CHECK_STATUS(clerk_result_claim(result, CLERK_STR("v"), NULL, SIZE_MAX, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_result_claim(result, CLERK_STR("v"), buffer, 1, &needed), CLERK_E_ARGUMENT);
    CHECK_INT(needed, 1);
    CHECK_CSTR(buffer, "canary");
    CHECK_STATUS(clerk_result_www_authenticate(result, none, buffer, sizeof buffer, NULL), CLERK_E_NOT_FOUND);
    clerk_result_free(result);

    /* Not signed in: no attribute, no claim. */
    CHECK_STATUS(clerk_verify_token(client, CLERK_STR("x"), &result, NULL), CLERK_SIGNED_OUT);
    for (int32_t which = -1; which < 30; which++) CHECK_STR(clerk_result_get(result, which), NULL);
    CHECK_STATUS(clerk_result_claim(result, CLERK_STR("sub"), buffer, sizeof buffer, NULL), CLERK_E_NOT_FOUND);
    CHECK_STATUS(clerk_result_www_authenticate(result, none, NULL, 0, &needed), CLERK_E_ARGUMENT);
    CHECK_STATUS(clerk_result_www_authenticate(result, none, NULL, SIZE_MAX, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_result_www_authenticate(result, CLERK_STR("a\nb"), buffer, sizeof buffer, NULL),
                 CLERK_E_ARGUMENT);
    CHECK(needed > sizeof buffer);
    clerk_result_free(result);
}

static int events;

static void on_event(void *userdata, const clerk_event *event) {
    (void)userdata;
    events++;
    CHECK(clerk_event_get_kind(event) != 0);
}

static void null_events(void) {
    CHECK_INT(clerk_event_get_kind(NULL), 0);
    CHECK_STR(clerk_event_user_key(NULL), NULL);
    CHECK_STR(clerk_event_clerk_id(NULL), NULL);
    CHECK_STR(clerk_event_token_hash(NULL), NULL);
    CHECK_INT(clerk_event_reason(NULL), 0);
    CHECK_INT(clerk_event_source(NULL), 0);
    CHECK_INT(clerk_event_retry_after_ms(NULL), -1);
    CHECK_INT(clerk_event_handshake_source(NULL), 0);
    CHECK_INT(clerk_event_dropped_lines(NULL), 0);
}

static int32_t never(void *userdata, const clerk_store_request *request, clerk_store_response *response) {
    (void)userdata, (void)request, (void)response;
    check_failed(__FILE__, __LINE__, __func__, "the user store callback was called");
}

/* Begins an authentication that looks for a row. */
static clerk_pending *begin_pending(const clerk_client *with_store, const char *token) {
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", token);
    clerk_request request = bearer(line);
    clerk_result *result = NULL;
    clerk_pending *pending = NULL;
    CHECK_STATUS(clerk_authenticate_begin(with_store, &request, &result, &pending, NULL), CLERK_PENDING);
    CHECK(result == NULL && pending != NULL);
    return pending;
}

static void store_requests_and_responses(void) {
    CHECK_INT(clerk_store_request_get_kind(NULL), 0);
    CHECK_STR(clerk_store_request_value(NULL), NULL);
    CHECK_STR(clerk_store_request_key(NULL), NULL);
    clerk_str text = CLERK_STR("canary");
    int64_t number = 7;
    CHECK_INT(clerk_store_request_string_column(NULL, CLERK_COLUMN_EMAIL, &text), 0);
    CHECK_INT(clerk_store_request_int_column(NULL, CLERK_COLUMN_IS_ACTIVE, &number), 0);
    CHECK_INT(clerk_store_request_only_if_unlinked(NULL), 0);
    CHECK_INT(clerk_store_request_max_version(NULL, &number), 0);
    CHECK_INT(clerk_store_request_only_if_active(NULL), 0);
    CHECK_INT(clerk_store_request_only_if_banned(NULL), 0);
    CHECK_STATUS(clerk_store_response_add_row(NULL, CLERK_STR("1")), CLERK_E_NULL);
    CHECK_STATUS(clerk_store_response_set_string_column(NULL, CLERK_COLUMN_EMAIL, none), CLERK_E_NULL);
    CHECK_STATUS(clerk_store_response_set_int_column(NULL, CLERK_COLUMN_IS_ACTIVE, 1), CLERK_E_NULL);
    CHECK_STATUS(clerk_store_response_set_username_taken(NULL, 0), CLERK_E_NULL);
    CHECK_STATUS(clerk_store_response_set_created_key(NULL, CLERK_STR("1")), CLERK_E_NULL);
    CHECK_STATUS(clerk_store_response_set_error(NULL, CLERK_STR("1")), CLERK_E_NULL);
    CHECK_INT(clerk_pending_next_action(NULL), 0);
    CHECK(clerk_pending_request(NULL) == NULL);
    CHECK(clerk_pending_response(NULL) == NULL);
    CHECK_STATUS(clerk_pending_submit(NULL, 0), CLERK_E_NULL);
    CHECK_STATUS(clerk_pending_fetch(NULL), CLERK_E_NULL);
    clerk_result *result = DIRTY(clerk_result);
    clerk_error *error = DIRTY(clerk_error);
    CHECK_STATUS(clerk_pending_finish(NULL, &result, &error), CLERK_E_NULL);
    CHECK(result == NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    CHECK_STATUS(clerk_pending_finish(NULL, NULL, NULL), CLERK_E_NULL);
    clerk_pending_free(NULL);

    clerk_config *config = sim_config();
    CHECK_OK(clerk_config_set_user_store(config, never, NULL, NULL));
    CHECK_OK(clerk_config_set_event_callback(config, on_event, NULL, NULL));
    clerk_client *with_store = client_of(config);
    sim_put("/users/user_nulls", "{\"username\":\"nulls\"}");
    const char *token = sim_token("{\"user\":\"user_nulls\"}");

    clerk_pending *pending = begin_pending(with_store, token);
    const clerk_store_request *request = clerk_pending_request(pending);
    CHECK_INT(clerk_store_request_get_kind(request), CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID);
    for (size_t i = 0; i < UNKNOWNS; i++) {
        CHECK_INT(clerk_store_request_string_column(request, unknown[i], &text), 0);
        CHECK_INT(clerk_store_request_int_column(request, unknown[i], &number), 0);
    }
    CHECK_INT(clerk_store_request_string_column(request, CLERK_COLUMN_EMAIL, NULL), 0);
    CHECK_STR(text, "canary");
    CHECK_INT(number, 7);
    /* Finishing without a result frees it, too. */
    CHECK_STATUS(clerk_pending_finish(pending, NULL, NULL), CLERK_E_NULL);

    /* A setter that fails makes the whole response invalid, also if a later call is valid. */
    for (int bad = 0; bad < 16; bad++) {
        pending = begin_pending(with_store, token);
        clerk_store_response *response = clerk_pending_response(pending);
        int32_t status = 0;
        if (bad < (int)INVALIDS) status = clerk_store_response_add_row(response, invalid[bad].text);
        else if (bad == 5) status = clerk_store_response_add_row(response, none);
        else if (bad == 6) status = clerk_store_response_add_row(response, with_nul);
        else if (bad == 7) status = clerk_store_response_set_string_column(response, CLERK_COLUMN_EMAIL,
                                                                           none) /* no row yet */;
        else if (bad == 8) status = clerk_store_response_set_int_column(response, CLERK_COLUMN_IS_ACTIVE,
                                                                        1) /* no row yet */;
        else if (bad == 9) status = clerk_store_response_set_username_taken(response, 2);
        else if (bad == 10) status = clerk_store_response_set_created_key(response, none);
        else if (bad == 11) status = clerk_store_response_set_error(response, invalid[0].text);
        CHECK_STATUS(clerk_store_response_add_row(response, CLERK_STR("1")), CLERK_OK);
        if (bad == 12) status = clerk_store_response_set_int_column(response, CLERK_COLUMN_IS_ACTIVE, 2);
        if (bad == 13) status = clerk_store_response_set_int_column(response, CLERK_COLUMN_EMAIL, 1);
        if (bad == 14) status = clerk_store_response_set_string_column(response, CLERK_COLUMN_IS_ACTIVE,
                                                                       CLERK_STR("1"));
        if (bad == 15) status = clerk_store_response_set_string_column(response, unknown[0], CLERK_STR("1"));
        CHECK(status < 0);
        CHECK_STATUS(clerk_store_response_set_string_column(response, CLERK_COLUMN_CLERK_ID, CLERK_STR("user_nulls")),
                     CLERK_OK);
        CHECK_STATUS(clerk_pending_submit(pending, CLERK_STORE_OK), CLERK_OK);
        CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_DONE);
        CHECK_CSTR(outcome_and_free(clerk_pending_finish(pending, &result, NULL), &result), "unavailable store-error");
    }
    CHECK(events > 0);
    clerk_client_free(with_store);
}

int main(void) {
    sim_reset();
    client = sim_client();
    strings_and_names();
    configs();
    errors();
    client_functions();
    webhooks();
    struct_sizes();
    results();
    null_events();
    store_requests_and_responses();
    clerk_client_free(client);
    return 0;
}
