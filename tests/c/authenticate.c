/* Authentication over TCP: every outcome, what the result contains, and which requests Clerk received. */
#include "check.h"

#include <time.h>

static const char *token_of(const char *user) {
    return sim_token("{\"user\":\"%s\"}", user);
}

static clerk_stats stats_of(const clerk_client *client) {
    clerk_stats stats = CLERK_STATS_INIT;
    CHECK_STATUS(clerk_client_stats(client, &stats), CLERK_OK);
    return stats;
}

static void repeated_token_comes_from_cache(void) {
    sim_reset();
    clerk_client *client = sim_client();
    const char *token = token_of("user_1");
    CHECK_INT(stats_of(client).jwks_age_ms, -1);
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");
    CHECK_INT(sim_count("/jwks"), 1);
    CHECK_CSTR(outcome_of(client, token), "signed_in cache");
    CHECK_CSTR(cached_outcome_of(client, token), "signed_in cache");
    CHECK_CSTR(outcome_of(client, token_of("user_2")), "signed_in verified");
    CHECK_CSTR(outcome_of(client, "nonsense"), "signed_out token-invalid");
    CHECK_CSTR(outcome_of(client, NULL), "no_credentials session-token-missing");
    CHECK_INT(sim_count("/jwks"), 1);
    CHECK_INT(sim_count("/users/{id}"), 0);
    clerk_stats stats = stats_of(client);
    CHECK_INT(stats.cache_hits, 2);
    CHECK_INT(stats.cache_misses, 3);
    CHECK_INT(stats.signed_in, 2);
    CHECK_INT(stats.signed_out, 1);
    CHECK_INT(stats.unavailable, 0);
    CHECK_INT(stats.jwks_fetches, 1);
    CHECK_INT(stats.user_fetches, 0);
    CHECK_INT(stats.cached_tokens, 2);
    CHECK(stats.jwks_age_ms >= 0);
    clerk_client_free(client);
}

static void result_outlives_client(void) {
    sim_reset();
    sim_put("/users/user_ada", "{\"username\":\"ada\",\"first_name\":\"Ada\",\"external_id\":\"77\","
            "\"email_addresses\":[\"ada@example.com\"],\"primary_email_address_id\":\"idn_0001\"}");
    clerk_config *config = sim_config();
    set(config, "user_mode", "profile");
    clerk_client *client = client_of(config);
    const char *token = sim_token("{\"user\":\"user_ada\",\"sid\":\"sess_9\",\"azp\":\"https://a.example\","
                                  "\"org\":{\"id\":\"org_1\",\"slug\":\"acme\",\"role\":\"org:admin\","
                                  "\"permissions\":[\"org:invoices:create\",\"org:invoices:read\"]},"
                                  "\"claims\":{\"act\":{\"sub\":\"user_boss\"},\"odd\":{\"a/b\":[1,\"\\u00e9\"]}}}");
    clerk_result *first = sign_in(client, token), *second = sign_in(client, token);
    CHECK_INT(sim_count("/users/{id}"), 1);
    clerk_client_free(client);

    for (int i = 0; i < 2; i++) {
        const clerk_result *result = i == 0 ? first : second;
        CHECK_INT(clerk_result_source(result), i == 0 ? CLERK_SOURCE_VERIFIED : CLERK_SOURCE_CACHE);
        CHECK_INT(clerk_result_token_kind(result), CLERK_TOKEN_KIND_SESSION_TOKEN);
        CHECK_INT(clerk_result_retry_after_ms(result), -1);
        CHECK_INT(clerk_result_handshake_recommended(result), 0);
        CHECK_STR(clerk_result_user_id(result), "user_ada");
        CHECK_STR(clerk_result_session_id(result), "sess_9");
        CHECK_STR(clerk_result_user_key(result), NULL);
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_SUBJECT), "user_ada");
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_SESSION_STATUS), "active");
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_ISSUER), "https://clerk.example.com");
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_AUTHORIZED_PARTY), "https://a.example");
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_ORG_ID), "org_1");
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_ORG_SLUG), "acme");
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_ORG_ROLE), "org:admin");
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_ORG_PERMISSIONS), "org:invoices:create,org:invoices:read");
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_ACTOR), "user_boss");
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_CLIENT_ID), NULL);
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_EMAIL), "ada@example.com");
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_USERNAME), "ada");
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_FIRST_NAME), "Ada");
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_LAST_NAME), NULL);
        CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_EXTERNAL_ID), "77");
        for (int32_t which = 0; which <= CLERK_ATTRIBUTE_TOKEN_NAME; which++) {
            clerk_str text = clerk_result_get(result, which);
            CHECK_STR(text, text.data);
        }

        int64_t first_age = -7, second_age = -7, left = clerk_result_expires_at_ms(result) - (int64_t)time(NULL) * 1000;
        CHECK(left > 0 && left <= 61000);
        CHECK_INT(clerk_result_factor_verification_age(result, &first_age, &second_age), 1);
        CHECK(first_age == 0 && second_age == -1);

        CHECK_INT(clerk_result_has(result, CLERK_CHECK_ROLE, CLERK_STR("org:admin")), 1);
        CHECK_INT(clerk_result_has(result, CLERK_CHECK_ROLE, CLERK_STR("admin")), 1);
        CHECK_INT(clerk_result_has(result, CLERK_CHECK_ROLE, CLERK_STR("member")), 0);
        CHECK_INT(clerk_result_has(result, CLERK_CHECK_PERMISSION, CLERK_STR("org:invoices:read")), 1);
        CHECK_INT(clerk_result_has(result, CLERK_CHECK_PERMISSION, CLERK_STR("org:invoices:delete")), 0);
        CHECK_INT(clerk_result_has(result, CLERK_CHECK_FEATURE, CLERK_STR("org:invoices")), 1);
        CHECK_INT(clerk_result_has(result, CLERK_CHECK_FEATURE, CLERK_STR("user:invoices")), 0);
        CHECK_INT(clerk_result_has(result, CLERK_CHECK_PLAN, CLERK_STR("free_org")), 1);
        CHECK_INT(clerk_result_has(result, CLERK_CHECK_REVERIFICATION, CLERK_STR("first_factor:10")), 1);
        CHECK_INT(clerk_result_has(result, CLERK_CHECK_REVERIFICATION, CLERK_STR("any:10")), 0);
    }

    clerk_str all = clerk_result_claims_json(first);
    CHECK_STR(all, all.data);
    CHECK(all.data[0] == '{' && strstr(all.data, "\"sid\":\"sess_9\"") != NULL);
    static const struct {
        const char *path, *json;
    } claims[] = {
        {"sub", "\"user_ada\""},      {"/sub", "\"user_ada\""}, {"/o/id", "\"org_1\""},   {"fva", "[0,-1]"},
        {"/fva/1", "-1"},             {"/odd/a~1b/0", "1"},     {"/odd/a~1b/1", "\"é\""}, {"/odd/none", NULL},
        {"org_role", NULL},           {"/", NULL},              {"o/id", NULL},           {"/fva/-1", NULL},
        {"/act", "{\"sub\":\"user_boss\"}"},
    };
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        char buffer[64] = "";
        size_t needed = 999;
        int32_t status = clerk_result_claim(first, clerk_str_of(claims[i].path), buffer, sizeof buffer, &needed);
        CHECK_STATUS(status, claims[i].json ? CLERK_OK : CLERK_E_NOT_FOUND);
        CHECK_CSTR(buffer, claims[i].json ? claims[i].json : "");
        CHECK_INT(needed, claims[i].json ? strlen(claims[i].json) : 999);
        /* The buffer needs room for the NUL. */
        if (claims[i].json == NULL) continue;
        CHECK_STATUS(clerk_result_claim(first, clerk_str_of(claims[i].path), NULL, 0, &needed), CLERK_E_ARGUMENT);
        memset(buffer, 'x', sizeof buffer);
        CHECK_STATUS(clerk_result_claim(first, clerk_str_of(claims[i].path), buffer, needed, NULL), CLERK_E_ARGUMENT);
        CHECK_STATUS(clerk_result_claim(first, clerk_str_of(claims[i].path), buffer, needed + 1, NULL), CLERK_OK);
        CHECK(buffer[needed] == 0 && buffer[needed + 1] == 'x');
    }
    clerk_result_free(first);
    clerk_result_free(second);
}

static void invalid_tokens_are_rejected(void) {
    sim_reset();
    clerk_config *config = sim_config();
    set(config, "authorized_parties", "https://app.example.com");
    set(config, "audience", "api");
    clerk_client *client = client_of(config);
    static const struct {
        const char *spec, *outcome;
    } cases[] = {
        {"{\"aud\":\"api\"}", "signed_in verified"},
        {"{\"aud\":\"api\",\"spoil\":\"expired\"}", "signed_out token-expired"},
        {"{\"aud\":\"api\",\"spoil\":\"not-yet\"}", "signed_out token-not-active-yet"},
        {"{\"aud\":\"api\",\"iat_in\":3600,\"nbf_in\":0}", "signed_out token-iat-in-the-future"},
        {"{\"aud\":\"api\",\"spoil\":\"wrong-key\"}", "signed_out token-invalid-signature"},
        {"{\"aud\":\"api\",\"spoil\":\"tampered\"}", "signed_out token-invalid-signature"},
        {"{\"aud\":\"api\",\"spoil\":\"alg-none\"}", "signed_out token-invalid"},
        {"{\"aud\":\"api\",\"azp\":\"https://evil.example\"}", "signed_out token-invalid-authorized-parties"},
        {"{\"aud\":\"other\"}", "signed_out token-invalid-audience"},
        {"{}", "signed_out token-invalid-audience"},
        {"{\"aud\":\"api\",\"key\":\"k2\"}", "signed_out jwk-kid-mismatch"},
        {"{\"aud\":\"api\",\"sts\":\"pending\"}", "signed_out session-pending"},
        {"{\"aud\":\"api\",\"kind\":\"oauth-jwt\"}", "signed_out token-type-not-supported"},
        {"{\"aud\":\"api\",\"kind\":\"m2m-jwt\"}", "signed_out token-type-not-supported"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *token = sim_token("%s", cases[i].spec);
        CHECK_CSTR(outcome_of(client, token), cases[i].outcome);
        /* Rejections are not cached, and stay the same when repeated. What no key verifies and comes again may be of a new key. */
        const char *again = i == 0 ? "signed_in cache" : cases[i].outcome;
        if (strcmp(again, "signed_out jwk-kid-mismatch") == 0) again = "CLERK_WOULD_BLOCK";
        const char *cached = cached_outcome_of(client, token);
        /* A fetch for the first such token has found no key; for later ones there was none. */
        if (strcmp(again, "signed_out token-invalid-signature") == 0 && strcmp(cached, "CLERK_WOULD_BLOCK") == 0) again = cached;
        CHECK_CSTR(cached, again);
    }
    CHECK_CSTR(outcome_of(client, "ak_opaque"), "signed_out token-type-not-supported");
    clerk_client_free(client);
}

/* Authenticates with these header lines. */
static const char *outcome_of_lines(const clerk_client *client, const clerk_header *headers, size_t count,
                                    const char *method) {
    clerk_request request = CLERK_REQUEST_INIT;
    request.headers = headers;
    request.header_count = count;
    request.method = clerk_str_of(method);
    clerk_result *result = NULL;
    return outcome_and_free(clerk_authenticate(client, &request, &result, NULL), &result);
}

static clerk_header line(const char *name, const char *value) {
    return (clerk_header){clerk_str_of(name), clerk_str_of(value)};
}

static void header_lines_select_credential(void) {
    sim_reset();
    clerk_client *client = sim_client();
    char bearer_line[4096], cookie[4096];
    snprintf(bearer_line, sizeof bearer_line, "bEaReR   %s", token_of("user_1"));
    snprintf(cookie, sizeof cookie, "a=b; __session=%s; c=\"d", token_of("user_2"));
    clerk_header all[] = {line("Accept", "text/html"), line("AUTHORIZATION", bearer_line), line("cookie", cookie)};
    CHECK_CSTR(outcome_of_lines(client, all, 3, "GET"), "signed_in verified");
    CHECK_CSTR(outcome_of_lines(client, all, 2, NULL), "signed_in cache");
    CHECK_CSTR(outcome_of_lines(client, all, 1, NULL), "no_credentials session-token-missing");
    CHECK_CSTR(outcome_of_lines(client, NULL, 0, NULL), "no_credentials session-token-missing");
    clerk_header by_cookie = line("Cookie", cookie);
    CHECK_CSTR(outcome_of_lines(client, &by_cookie, 1, NULL), "signed_in verified");
    clerk_header basic[] = {line("Authorization", "Basic dXNlcjpwYXNz"), by_cookie};
    CHECK_CSTR(outcome_of_lines(client, basic, 1, NULL), "no_credentials session-token-missing");
    CHECK_CSTR(outcome_of_lines(client, basic, 2, NULL), "signed_in cache");
    /* A duplicate header line is request smuggling or a broken proxy. */
    clerk_header twice[] = {all[1], all[1]};
    CHECK_CSTR(outcome_of_lines(client, twice, 2, NULL), "signed_out token-invalid");
    clerk_request request = bearer(bearer_line);
    clerk_result *result = NULL;
    request.headers = all;
    request.header_count = 3;
    CHECK_CSTR(outcome_and_free(clerk_authenticate(client, &request, &result, NULL), &result),
               "signed_out token-invalid");
    /* Without a list of header lines. */
    request = (clerk_request)CLERK_REQUEST_INIT;
    request.cookie = clerk_str_of(cookie);
    CHECK_CSTR(outcome_and_free(clerk_authenticate(client, &request, &result, NULL), &result), "signed_in cache");

    /* A redirect can renew an expired token of a page load, but not that of a script. */
    snprintf(cookie, sizeof cookie, "__session=%s", sim_token("{\"spoil\":\"expired\"}"));
    request.cookie = clerk_str_of(cookie);
    clerk_header accept = line("Accept", "text/html,application/xhtml+xml");
    request.headers = &accept;
    for (int i = 0; i < 2; i++) {
        request.header_count = 1;
        request.method = clerk_str_of(i == 0 ? "GET" : "POST");
        CHECK_STATUS(clerk_authenticate(client, &request, &result, NULL), CLERK_SIGNED_OUT);
        CHECK_INT(clerk_result_handshake_recommended(result), i == 0);
        CHECK_INT(clerk_result_http_status(result), 401);
        char challenge[256];
        CHECK_STATUS(clerk_result_www_authenticate(result, CLERK_STR("a \"b\""), challenge, sizeof challenge, NULL),
                     CLERK_OK);
        CHECK_CSTR(challenge, "Bearer realm=\"a \\\"b\\\"\", "
                              "error=\"invalid_token\", error_description=\"token-expired\"");
        clerk_result_free(result);
    }
    clerk_client_free(client);
}

/* Authenticates during an outage; checks the error. */
static void check_unavailable(const clerk_client *client, const char *token, const char *outcome, int32_t http,
                            int64_t wait) {
    char text[4096];
    snprintf(text, sizeof text, "Bearer %s", token);
    clerk_request request = bearer(text);
    clerk_result *result = NULL;
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_authenticate(client, &request, &result, &error), CLERK_UNAVAILABLE);
    bool misconfigured = strcmp(outcome, "unavailable secret-key-invalid") == 0;
    CHECK_INT(clerk_result_http_status(result), misconfigured ? 500 : 503);
    CHECK_INT(clerk_result_retry_after_ms(result), wait);
    CHECK(error != NULL);
    CHECK_STATUS(clerk_error_status(error), CLERK_UNAVAILABLE);
    CHECK_INT(clerk_error_http_status(error), http);
    CHECK_INT(clerk_error_retry_after_ms(error), wait);
    CHECK_INT(clerk_error_store_code(error), 0);
    CHECK_STR(clerk_error_setting(error), NULL);
    CHECK(clerk_error_message(error).len > 10);
    CHECK_STR(clerk_error_message(error), clerk_error_message(error).data);
    CHECK(strstr(clerk_error_message(error).data, "sk_test") == NULL);
    clerk_error_free(error);
    CHECK_CSTR(outcome_and_free(CLERK_UNAVAILABLE, &result), outcome);
}

static void outage_returns_unavailable(void) {
    sim_reset();
    sim_put("/users/user_1", "{\"first_name\":\"Ada\"}");
    clerk_config *config = sim_config();
    set(config, "timeout_ms", "300");
    set(config, "user_mode", "profile");
    set(config, "user_ttl_s", "0");
    set(config, "user_stale_if_error_s", "0");
    clerk_client *client = client_of(config);
    const char *token = token_of("user_1");
    sim_down(true);
    check_unavailable(client, token, "unavailable jwk-failed-to-load", 0, -1);
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_client_warm_up(client, &error), CLERK_E_API);
    CHECK_STATUS(clerk_error_status(error), CLERK_E_API);
    clerk_error_free(error);
    CHECK_CSTR(cached_outcome_of(client, token), "CLERK_WOULD_BLOCK");
    sim_down(false);
    CHECK_STATUS(clerk_client_warm_up(client, &error), CLERK_OK);
    CHECK(error == NULL);
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");

    /* The keys and the token are cached; a new token needs the user. */
    sim_down(true);
    CHECK_CSTR(outcome_of(client, token), "signed_in cache");
    check_unavailable(client, token_of("user_1"), "unavailable server-error", 0, -1);
    sim_down(false);

    /* A single 503 is retried within the call. */
    sim_admin("DELETE", "/counts", "");
    sim_put("/faults", "[{\"path\":\"/users/*\",\"status\":503,\"times\":1}]");
    CHECK_CSTR(outcome_of(client, token_of("user_1")), "signed_in verified");
    CHECK_INT(sim_count("/users/{id}"), 2);
    sim_put("/faults", "[{\"path\":\"/users/*\",\"status\":503,\"headers\":{\"Retry-After\":\"2\"}}]");
    check_unavailable(client, token_of("user_1"), "unavailable server-error", 503, 2000);
    sim_put("/faults", "[{\"path\":\"/users/*\",\"status\":401,\"headers\":{\"Clerk-Trace-Id\":\"t1\"}}]");
    check_unavailable(client, token_of("user_1"), "unavailable secret-key-invalid", 401, -1);
    sim_put("/faults", "[{\"path\":\"/users/*\",\"status\":429,\"headers\":{\"Retry-After\":\"1\"}}]");
    check_unavailable(client, token_of("user_1"), "unavailable server-error", 429, 1000);
    clerk_stats stats = stats_of(client);
    CHECK_INT(stats.unavailable, 5);
    CHECK_INT(stats.signed_out, 0);
    clerk_client_free(client);
}

static void verify_token_uses_no_cache(void) {
    sim_reset();
    counter counted = {0};
    clerk_config *config = sim_config();
    CHECK_OK(clerk_config_set_event_callback(config, count_event, &counted, NULL));
    clerk_client *client = client_of(config);
    const char *token = token_of("user_1");
    clerk_result *result = NULL;
    clerk_error *error = NULL;
    for (int i = 0; i < 2; i++) {
        CHECK_CSTR(outcome_and_free(clerk_verify_token(client, clerk_str_of(token), &result, &error), &result),
                   "signed_in verified");
        CHECK(error == NULL);
    }
    token = sim_token("{\"spoil\":\"expired\"}");
    CHECK_CSTR(outcome_and_free(clerk_verify_token(client, clerk_str_of(token), &result, NULL), &result),
               "signed_out token-expired");
    CHECK_CSTR(outcome_and_free(clerk_verify_token(client, clerk_str_of(""), &result, NULL), &result),
               "signed_out token-invalid");
    CHECK_INT(stats_of(client).cached_tokens, 0);
    for (int kind = 0; kind < 32; kind++) CHECK_INT(counted.events[kind], kind == CLERK_EVENT_KIND_JWKS_REFRESHED);
    clerk_client_free(client);
}

static void cached_call_never_blocks(void) {
    sim_reset();
    clerk_config *config = sim_config();
    set(config, "accepts_token", "any");
    clerk_client *client = client_of(config);
    const char *token = token_of("user_1");
    CHECK_CSTR(cached_outcome_of(client, token), "CLERK_WOULD_BLOCK");
    CHECK_CSTR(cached_outcome_of(client, NULL), "no_credentials session-token-missing");
    CHECK_INT(sim_count("/jwks"), 0);
    CHECK_STATUS(clerk_client_warm_up(client, NULL), CLERK_OK);
    CHECK_INT(sim_count("/jwks"), 1);
    CHECK_CSTR(cached_outcome_of(client, token), "signed_in verified");
    CHECK_CSTR(cached_outcome_of(client, token), "signed_in cache");
    CHECK_CSTR(cached_outcome_of(client, sim_token("{\"spoil\":\"expired\"}")), "signed_out token-expired");
    CHECK_CSTR(cached_outcome_of(client, "garbage"), "signed_out token-invalid");
    CHECK_INT(sim_count("/jwks"), 1);
    /* An opaque token is verified by Clerk. */
    sim_put("/state", "{\"api_keys\":{\"ak_good\":{\"subject\":\"user_1\",\"scopes\":[\"read\",\"write\"]}}}");
    CHECK_CSTR(cached_outcome_of(client, "ak_good"), "CLERK_WOULD_BLOCK");
    char good[] = "ak_good";
    clerk_result *result = sign_in(client, good);
    CHECK_INT(clerk_result_token_kind(result), CLERK_TOKEN_KIND_API_KEY);
    CHECK_STR(clerk_result_get(result, CLERK_ATTRIBUTE_SCOPES), "read write");
    CHECK_INT(clerk_result_has(result, CLERK_CHECK_ROLE, CLERK_STR("admin")), 0);
    clerk_result_free(result);
    CHECK_CSTR(outcome_of(client, "ak_bad"), "signed_out token-invalid");
    clerk_client_free(client);
}

static void invalidated_entries_are_fetched_again(void) {
    sim_reset();
    sim_put("/users/user_1", "{\"first_name\":\"Ada\"}");
    clerk_config *config = sim_config();
    set(config, "user_mode", "profile");
    clerk_client *client = client_of(config);
    const char *one = sim_token("{\"user\":\"user_1\",\"sid\":\"sess_a\"}");
    const char *two = sim_token("{\"user\":\"user_1\",\"sid\":\"sess_b\"}");
    outcome_of(client, one), outcome_of(client, two);
    CHECK_CSTR(outcome_of(client, one), "signed_in cache");
    CHECK_CSTR(outcome_of(client, two), "signed_in cache");
    CHECK_STATUS(clerk_client_invalidate_token(client, clerk_str_of(one)), CLERK_OK);
    CHECK_CSTR(outcome_of(client, one), "signed_in verified");
    CHECK_CSTR(outcome_of(client, two), "signed_in cache");
    CHECK_STATUS(clerk_client_invalidate_session(client, CLERK_STR("sess_b")), CLERK_OK);
    CHECK_CSTR(outcome_of(client, one), "signed_in cache");
    CHECK_CSTR(outcome_of(client, two), "signed_in verified");
    CHECK_INT(sim_count("/users/{id}"), 1);
    CHECK_STATUS(clerk_client_invalidate_user(client, CLERK_STR("user_1")), CLERK_OK);
    CHECK_INT(stats_of(client).cached_users, 0);
    CHECK_CSTR(outcome_of(client, one), "signed_in verified");
    CHECK_CSTR(outcome_of(client, two), "signed_in verified");
    CHECK_INT(sim_count("/users/{id}"), 2);
    CHECK_OK(clerk_client_invalidate_all(client));
    CHECK_INT(stats_of(client).cached_tokens, 0);
    CHECK_CSTR(outcome_of(client, one), "signed_in verified");
    CHECK_INT(sim_count("/users/{id}"), 3);
    CHECK_INT(sim_count("/jwks"), 1);
    /* Later calls connect again. */
    CHECK_STATUS(clerk_client_shutdown(client), CLERK_OK);
    CHECK_OK(clerk_client_invalidate_all(client));
    CHECK_CSTR(outcome_of(client, one), "signed_in verified");
    clerk_client_free(client);
}

static void tls_requires_trusted_authority(void) {
    sim_reset();
    const char *token = token_of("user_1");
    clerk_config *config = sim_config();
    set(config, "api_url", sim_https_url());
    clerk_client *untrusting = client_of(config);
    check_unavailable(untrusting, token, "unavailable jwk-failed-to-load", 0, -1);
    clerk_client_free(untrusting);
    CHECK_INT(sim_count("/jwks"), 0);

    config = sim_config();
    set(config, "api_url", sim_https_url());
    set(config, "ca_pem", sim_ca());
    clerk_client *client = client_of(config);
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");
    CHECK_INT(sim_count("/jwks"), 1);
    clerk_client_free(client);
}

/* A clock callback. */
static int64_t fixed_clock(void *userdata) {
    return *(int64_t *)userdata;
}

static char event_log[4096];

static void append_event(void *userdata, const clerk_event *event) {
    clerk_str hash = clerk_event_token_hash(event), again = clerk_event_token_hash(event);
    int32_t kind = clerk_event_get_kind(event);
    bool of_token = kind <= CLERK_EVENT_KIND_CACHE_MISS;
    CHECK_STR(hash, of_token ? hash.data : NULL);
    CHECK(again.data == hash.data);
    if (of_token) CHECK(hash.len == 75 && strncmp(hash.data, "clerk:auth:", 11) == 0);
    clerk_str id = clerk_event_clerk_id(event);
    CHECK_STR(id, id.data);
    CHECK_STR(clerk_event_user_key(event), NULL);
    size_t len = strlen(event_log);
    snprintf(event_log + len, sizeof event_log - len, "%d %s %d %d %lld, ", kind, id.data ? id.data : "-",
             clerk_event_reason(event), clerk_event_source(event), (long long)clerk_event_retry_after_ms(event));
    (void)userdata;
}

static void clock_and_event_callbacks_are_used(void) {
    sim_reset();
    int64_t now = 1800000000000;
    clerk_config *config = sim_config();
    CHECK_OK(clerk_config_set_clock_callback(config, fixed_clock, &now, NULL));
    CHECK_OK(clerk_config_set_event_callback(config, append_event, NULL, NULL));
    clerk_client *client = client_of(config);
    const char *token = sim_token("{\"user\":\"user_1\",\"exp_in\":60,\"now\":1800000000}");
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");
    CHECK_CSTR(event_log, "3 - 0 0 -1, 8 - 0 0 -1, 1 user_1 0 2 -1, ");
    event_log[0] = 0;
    now += 64999;
    CHECK_CSTR(outcome_of(client, token), "signed_in cache");
    CHECK_CSTR(event_log, "1 user_1 0 1 -1, ");
    event_log[0] = 0;
    now += 1;
    CHECK_CSTR(outcome_of(client, token), "signed_out token-expired");
    CHECK_CSTR(event_log, "3 - 0 0 -1, 2 - 4 0 -1, ");
    event_log[0] = 0;
    outcome_of(client, NULL);
    CHECK_CSTR(event_log, "");
    clerk_client_free(client);
}

int main(void) {
    repeated_token_comes_from_cache();
    result_outlives_client();
    invalid_tokens_are_rejected();
    header_lines_select_credential();
    outage_returns_unavailable();
    verify_token_uses_no_cache();
    cached_call_never_blocks();
    invalidated_entries_are_fetched_again();
    tls_requires_trusted_authority();
    clock_and_event_callbacks_are_used();
    return 0;
}
