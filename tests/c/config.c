/* Settings: an invalid one is reported before the first request, by its name and without any secret. */
#include "check.h"

#include <stdarg.h>

/* Must not be in any message. */
#define SECRET "Hx9hidden7Qp"
static const char PUBLISHABLE[] = "pk_test_Y2xlcmsuY2xlcmsuZGV2JA";

/* Sets only these settings. */
static clerk_error *refused(const char *first, va_list rest) {
    clerk_config *config = clerk_config_new();
    clerk_error *error = NULL;
    int32_t status = CLERK_OK;
    for (const char *name = first; name != NULL && status == CLERK_OK; name = va_arg(rest, const char *)) {
        const char *value = va_arg(rest, const char *);
        status = clerk_config_set(config, clerk_str_of(name), clerk_str_of(value), &error);
    }
    if (status == CLERK_OK) {
        clerk_client *client = (clerk_client *)&error;
        status = clerk_client_new(config, &client, &error);
        CHECK(client == NULL);
    }
    clerk_config_free(config);
    CHECK_STATUS(status, CLERK_E_CONFIG);
    CHECK(error != NULL);
    return error;
}

/* Takes names and values of settings, then NULL; the error must name `setting`. */
static void check_invalid(const char *setting, const char *first, ...) {
    va_list rest;
    va_start(rest, first);
    clerk_error *error = refused(first, rest);
    va_end(rest);
    clerk_str message = clerk_error_message(error);
    CHECK_STATUS(clerk_error_status(error), CLERK_E_CONFIG);
    CHECK_STR(clerk_error_setting(error), setting);
    CHECK_STR(message, message.data);
    CHECK(strncmp(message.data, setting, strlen(setting)) == 0 && message.len > strlen(setting) + 10);
    CHECK(strstr(message.data, SECRET) == NULL);
    CHECK_STR(clerk_error_trace_id(error), NULL);
    CHECK_INT(clerk_error_http_status(error), 0);
    CHECK_INT(clerk_error_store_code(error), 0);
    CHECK_INT(clerk_error_retry_after_ms(error), -1);
    clerk_error_free(error);
}

static void invalid_keys(void) {
    const char *key = sim_admin("GET", "/keys/k1", "");
    check_invalid("secret_key", "timeout_ms", "100", NULL);
    check_invalid("jwt_key", "jwt_key", "-----BEGIN PUBLIC KEY-----\n" SECRET "\n-----END PUBLIC KEY-----", NULL);
    check_invalid("jwt_key", "jwt_key", SECRET, NULL);
    check_invalid("jwt_key", "jwt_key", "{\"kty\":\"oct\",\"k\":\"" SECRET "\"}", NULL);
    check_invalid("jwt_key", "jwt_key", json_string(key, "private_pem"), NULL);
    check_invalid("jwt_key", "jwt_key", sim_ca(), NULL);
    check_invalid("jwks", "jwks", "{\"keys\":[]}", NULL);
    check_invalid("jwks", "jwks", SECRET, NULL);
    check_invalid("secret_key", "secret_key", PUBLISHABLE, NULL);
    check_invalid("secret_key", "secret_key", "pk_live_" SECRET, NULL);
    check_invalid("secret_key", "secret_key", "whsec_" SECRET, NULL);
    check_invalid("secret_key", "secret_key", "sk_live_" SECRET " and more", NULL);
    check_invalid("secret_key", "secret_key", "sk_live_" SECRET "\x7f", NULL);
    check_invalid("machine_secret_key", "secret_key", "sk_test_x", "machine_secret_key", PUBLISHABLE, NULL);
    check_invalid("publishable_key", "secret_key", "sk_test_x", "publishable_key", "pk_test_nonsense", NULL);
    check_invalid("publishable_key", "secret_key", "sk_test_x", "publishable_key", "sk_live_" SECRET, NULL);
    check_invalid("expected_machine_id", "secret_key", "sk_test_x", "expected_machine_id", "user_1", NULL);
}

static void invalid_urls(void) {
    check_invalid("ca_pem", "secret_key", "sk_test_x", "ca_pem", "/etc/ssl/certs/ca.pem", NULL);
    check_invalid("ca_pem", "secret_key", "sk_test_x", "ca_pem",
          "-----BEGIN CERTIFICATE-----\n" SECRET "\n-----END CERTIFICATE----", NULL);
    static const char *const urls[] = {
        "http://api.clerk.com", "http://10.0.0.1", "http://localhost.example.com", "http://127.0.0.1.example.com",
        "https://user:" SECRET "@api.clerk.com", "https://api.clerk.com/?x=1", "ftp://api.clerk.com", "api.clerk.com",
        "https://", "", "https://a b",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        check_invalid("api_url", "secret_key", "sk_test_x", "api_url", urls[i], NULL);
    }
    check_invalid("jwks_url", "jwks_url", "http://clerk.example.com/.well-known/jwks.json", NULL);
    check_invalid("proxy", "secret_key", "sk_test_x", "proxy", "socks:/" SECRET, NULL);
    check_invalid("user_agent", "secret_key", "sk_test_x", "user_agent", "a\r\nX-Evil: 1", NULL);
}

static void invalid_names_and_values(void) {
    check_invalid("unknown setting", "secretkey", "x", NULL);
    check_invalid("unknown setting", "SECRET_KEY", "x", NULL);
    check_invalid("unknown setting", "", "x", NULL);
    check_invalid("timeout_ms", "timeout_ms", "0", NULL);
    check_invalid("timeout_ms", "timeout_ms", "60001", NULL);
    check_invalid("timeout_ms", "timeout_ms", "99999999999999999999", NULL);
    check_invalid("timeout_ms", "timeout_ms", "1.5", NULL);
    check_invalid("timeout_ms", "timeout_ms", "", NULL);
    check_invalid("clock_skew_ms", "clock_skew_ms", "300001", NULL);
    check_invalid("cache_capacity", "cache_capacity", "0", NULL);
    check_invalid("user_mode", "user_mode", "synch", NULL);
    check_invalid("user_mode", "user_mode", "claims,sync", NULL);
    check_invalid("accepts_token", "accepts_token", "session_token,cookie", NULL);
    check_invalid("check_client_uat", "check_client_uat", "", NULL);
    check_invalid("allow_bare_token", "allow_bare_token", "yes", NULL);
    check_invalid("user_mode", "secret_key", "sk_test_x", "user_mode", "sync", NULL);
    const char *pem = json_string(sim_admin("GET", "/keys/k1", ""), "pem");
    check_invalid("secret_key", "jwt_key", pem, "user_mode", "profile", NULL);
    check_invalid("session_check_ttl_s", "jwt_key", pem, "session_check_ttl_s", "10", NULL);

    clerk_config *config = clerk_config_new();
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_config_set_int(config, CLERK_STR("timeout_ms"), 60001, &error), CLERK_E_CONFIG);
    CHECK_STR(clerk_error_setting(error), "timeout_ms");
    clerk_error_free(error);
    CHECK_STATUS(clerk_config_set_int(config, CLERK_STR("secret_key"), 1, &error), CLERK_E_CONFIG);
    CHECK_STR(clerk_error_setting(error), "secret_key");
    clerk_error_free(error);
    CHECK_STATUS(clerk_config_set_int(config, CLERK_STR("allow_bare_token"), 2, NULL), CLERK_E_CONFIG);
    CHECK_STATUS(clerk_config_set_int(config, CLERK_STR("allow_bare_token"), 1, &error), CLERK_OK);
    CHECK(error == NULL);
    CHECK_STATUS(clerk_config_add(config, CLERK_STR("secret_key"), CLERK_STR("x"), &error), CLERK_E_CONFIG);
    CHECK_STR(clerk_error_setting(error), "secret_key");
    clerk_error_free(error);
    CHECK_STATUS(clerk_config_set_sqlite_path(config, CLERK_STR("/nowhere/at/all.db"), &error), CLERK_E_CONFIG);
    CHECK_STR(clerk_error_setting(error), "sqlite");
    clerk_error_free(error);
    static const char *const urls[] = { "oracle://app:hidden@h/db", "postgres:app:hidden@h/db", "users.db", "mysql" };
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        CHECK_STATUS(clerk_config_set_database(config, clerk_str_of(urls[i]), &error), CLERK_E_CONFIG);
        CHECK_STR(clerk_error_setting(error), "database");
        CHECK(strstr(clerk_error_message(error).data, "hidden") == NULL);
        clerk_error_free(error);
    }
    clerk_config_free(config);
    /* Nothing listens there. */
    check_invalid("database", "secret_key", "sk_test_x", "database", "postgres://app:hidden@127.0.0.1:1/db", NULL);
    check_invalid("database", "secret_key", "sk_test_x", "database", "mysql://app:hidden@127.0.0.1:1/db", NULL);
    check_invalid("database", "secret_key", "sk_test_x", "database", "mysql://app:hidden@h/db?sslmode=allow", NULL);
}

/* A user store implies `user_mode = sync`, which needs the secret key. */
static int32_t no_rows(void *userdata, const clerk_store_request *request, clerk_store_response *response) {
    (void)userdata, (void)request, (void)response;
    return -1;
}

static void user_store_requires_secret_key(void) {
    clerk_config *config = clerk_config_new();
    clerk_client *client = NULL;
    clerk_error *error = NULL;
    set(config, "jwt_key", json_string(sim_admin("GET", "/keys/k1", ""), "pem"));
    CHECK_STATUS(clerk_config_set_user_store(config, no_rows, NULL, NULL), CLERK_OK);
    CHECK_STATUS(clerk_client_new(config, &client, &error), CLERK_E_CONFIG);
    CHECK_STR(clerk_error_setting(error), "secret_key");
    clerk_error_free(error);
    set(config, "user_mode", "claims");
    CHECK_STATUS(clerk_client_new(config, &client, &error), CLERK_OK);
    clerk_client_free(client);
    clerk_config_free(config);
}

/* The outcome for a token with this `azp`. */
static const char *outcome_for_azp(clerk_config *config, const char *azp) {
    set(config, "jwt_key", json_string(sim_admin("GET", "/keys/k1", ""), "pem"));
    clerk_client *client = client_of(config);
    const char *outcome = outcome_of(client, sim_token("{\"user\":\"user_1\",\"azp\":\"%s\"}", azp));
    clerk_client_free(client);
    return outcome;
}

static void list_settings_take_commas_and_items(void) {
    static const char parties[] = "authorized_parties", wrong_party[] = "signed_out token-invalid-authorized-parties";
    for (int request = 0; request < 6; request++) {
        clerk_config *config = clerk_config_new();
        clerk_str name = clerk_str_of(parties);
        set(config, parties, "https://a.example, https://b.example,,");
        switch (request) {
        case 0: CHECK_CSTR(outcome_for_azp(config, "https://a.example"), "signed_in verified"); break;
        case 1: CHECK_CSTR(outcome_for_azp(config, "https://b.example"), "signed_in verified"); break;
        case 2: CHECK_CSTR(outcome_for_azp(config, "https://c.example"), wrong_party); break;
        case 3:
            CHECK_STATUS(clerk_config_add(config, name, CLERK_STR(" https://c.example "), NULL), CLERK_OK);
            CHECK_CSTR(outcome_for_azp(config, "https://c.example"), "signed_in verified");
            break;
        case 4:
            /* An item that is added may contain commas. */
            CHECK_STATUS(clerk_config_add(config, name, CLERK_STR("c,d"), NULL), CLERK_OK);
            CHECK_CSTR(outcome_for_azp(config, "c,d"), "signed_in verified");
            break;
        case 5:
            /* An empty list disables the check. */
            set(config, parties, "");
            CHECK_CSTR(outcome_for_azp(config, "https://c.example"), "signed_in verified");
            break;
        }
    }
}

static void client_copies_config(void) {
    clerk_config *config = sim_config();
    clerk_client *first = NULL, *second = NULL;
    CHECK_STATUS(clerk_client_new(config, &first, NULL), CLERK_OK);
    set(config, "issuer", "https://other.example");
    CHECK_STATUS(clerk_client_new(config, &second, NULL), CLERK_OK);
    clerk_config_free(config);
    const char *token = sim_token("{\"user\":\"user_1\"}");
    CHECK_CSTR(outcome_of(first, token), "signed_in verified");
    CHECK_CSTR(outcome_of(second, token), "signed_out token-invalid-issuer");
    clerk_client_free(first);
    clerk_client_free(second);
}

static void environment_is_read_once(void) {
    setenv("CLERK_API_URL", sim_url(), 1);
    setenv("CLERK_SECRET_KEY", "sk_test_simulated", 1);
    setenv("CLERK_AUTH_PARTIES", "https://a.example,https://b.example", 1);
    setenv("CLERK_AUDIENCE", "  ", 1);
    clerk_config *config = clerk_config_new();
    CHECK_STATUS(clerk_config_from_env(config, NULL), CLERK_OK);
    /* Later changes of the environment have no effect. */
    setenv("CLERK_AUTH_PARTIES", "https://c.example", 1);
    clerk_client *client = client_of(config);
    CHECK_CSTR(outcome_of(client, sim_token("{\"azp\":\"https://b.example\"}")), "signed_in verified");
    CHECK_CSTR(outcome_of(client, sim_token("{\"azp\":\"https://c.example\"}")),
               "signed_out token-invalid-authorized-parties");
    clerk_client_free(client);

    config = clerk_config_new();
    clerk_error *error = NULL;
    setenv("CLERK_TIMEOUT_MS", "soon", 1);
    CHECK_STATUS(clerk_config_from_env(config, &error), CLERK_E_CONFIG);
    CHECK_STR(clerk_error_setting(error), "timeout_ms");
    CHECK(strstr(clerk_error_message(error).data, "CLERK_TIMEOUT_MS") != NULL);
    clerk_error_free(error);
    unsetenv("CLERK_TIMEOUT_MS");
    setenv("CLERK_SECRET_KEY", "sk_\xff" SECRET, 1);
    CHECK_STATUS(clerk_config_from_env(config, &error), CLERK_E_CONFIG);
    CHECK_STR(clerk_error_setting(error), "secret_key");
    CHECK(strstr(clerk_error_message(error).data, SECRET) == NULL);
    clerk_error_free(error);
    static const char *const names[] = {"CLERK_API_URL", "CLERK_SECRET_KEY", "CLERK_AUTH_PARTIES", "CLERK_AUDIENCE"};
    for (size_t i = 0; i < 4; i++) unsetenv(names[i]);
    CHECK_STATUS(clerk_config_from_env(config, NULL), CLERK_OK);
    clerk_config_free(config);
}

/* Counts log lines; none may contain a secret. */
static void on_log(void *userdata, int32_t level, clerk_str message) {
    int *lines = userdata;
    ++*lines;
    CHECK_INT(level, CLERK_LOG_LEVEL_WARN);
    CHECK_STR(message, message.data);
    CHECK(strstr(message.data, "sk_test") == NULL);
}

static void suspicious_settings_are_logged(void) {
    int lines = 0;
    clerk_config *config = sim_config();
    CHECK_STATUS(clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_WARN, on_log, &lines, NULL), CLERK_OK);
    clerk_client_free(client_of(config));
    CHECK_INT(lines, 1);
    config = sim_config();
    set(config, "authorized_parties", "https://App.example/path");
    CHECK_STATUS(clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_DEBUG, on_log, &lines, NULL), CLERK_OK);
    clerk_client_free(client_of(config));
    CHECK_INT(lines, 2);
}

int main(void) {
    sim_reset();
    invalid_keys();
    invalid_urls();
    invalid_names_and_values();
    user_store_requires_secret_key();
    list_settings_take_commas_and_items();
    client_copies_config();
    environment_is_read_once();
    suspicious_settings_are_logged();
    return 0;
}
