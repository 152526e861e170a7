/* Who is calling, over TCP: every way an authentication ends, what the answer says, and what Clerk was asked for it. */
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

static void the_second_time_it_comes_from_memory(void) {
    sim_reset();
    clerk_client *client = sim_client();
    const char *token = token_of("user_1");
    CHECK_INT(stats_of(client).jwks_age_ms, -1);
    CHECK_WORD(ask(client, token), "in verified");
    CHECK_INT(sim_count("/jwks"), 1);
    CHECK_WORD(ask(client, token), "in cache");
    CHECK_WORD(ask_cached(client, token), "in cache");
    CHECK_WORD(ask(client, token_of("user_2")), "in verified");
    CHECK_WORD(ask(client, "nonsense"), "out token-invalid");
    CHECK_WORD(ask(client, NULL), "none session-token-missing");
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

static void the_answer_outlives_the_client(void) {
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
    clerk_result *first = signed_in(client, token), *second = signed_in(client, token);
    CHECK_INT(sim_count("/users/{id}"), 1);
    clerk_client_free(client);

    for (int i = 0; i < 2; i++) {
        const clerk_result *result = i == 0 ? first : second;
        CHECK_INT(clerk_result_source(result), i == 0 ? CLERK_SOURCE_VERIFIED : CLERK_SOURCE_CACHE);
        CHECK_INT(clerk_result_token_kind(result), CLERK_TOKEN_KIND_SESSION_TOKEN);
        CHECK_INT(clerk_result_retry_after_ms(result), -1);
        CHECK_INT(clerk_result_handshake_recommended(result), 0);
        CHECK_TEXT(clerk_result_user_id(result), "user_ada");
        CHECK_TEXT(clerk_result_session_id(result), "sess_9");
        CHECK_TEXT(clerk_result_user_key(result), NULL);
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_SUBJECT), "user_ada");
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_SESSION_STATUS), "active");
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_ISSUER), "https://clerk.example.com");
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_AUTHORIZED_PARTY), "https://a.example");
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_ORG_ID), "org_1");
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_ORG_SLUG), "acme");
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_ORG_ROLE), "org:admin");
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_ORG_PERMISSIONS), "org:invoices:create,org:invoices:read");
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_ACTOR), "user_boss");
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_CLIENT_ID), NULL);
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_EMAIL), "ada@example.com");
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_USERNAME), "ada");
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_FIRST_NAME), "Ada");
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_LAST_NAME), NULL);
        CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_EXTERNAL_ID), "77");
        for (int32_t which = 0; which <= CLERK_ATTRIBUTE_EXTERNAL_ID; which++) {
            clerk_str text = clerk_result_get(result, which);
            CHECK_TEXT(text, text.data);
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
    CHECK_TEXT(all, all.data);
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
        CHECK_WORD(buffer, claims[i].json ? claims[i].json : "");
        CHECK_INT(needed, claims[i].json ? strlen(claims[i].json) : 999);
        /* To the byte: with room for the text and not for its NUL it does not fit. */
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

static void tokens_that_are_no_good(void) {
    sim_reset();
    clerk_config *config = sim_config();
    set(config, "authorized_parties", "https://app.example.com");
    set(config, "audience", "api");
    clerk_client *client = client_of(config);
    static const struct {
        const char *spec, *words;
    } cases[] = {
        {"{\"aud\":\"api\"}", "in verified"},
        {"{\"aud\":\"api\",\"spoil\":\"expired\"}", "out token-expired"},
        {"{\"aud\":\"api\",\"spoil\":\"not-yet\"}", "out token-not-active-yet"},
        {"{\"aud\":\"api\",\"iat_in\":3600,\"nbf_in\":0}", "out token-iat-in-the-future"},
        {"{\"aud\":\"api\",\"spoil\":\"wrong-key\"}", "out token-invalid-signature"},
        {"{\"aud\":\"api\",\"spoil\":\"tampered\"}", "out token-invalid-signature"},
        {"{\"aud\":\"api\",\"spoil\":\"alg-none\"}", "out token-invalid"},
        {"{\"aud\":\"api\",\"azp\":\"https://evil.example\"}", "out token-invalid-authorized-parties"},
        {"{\"aud\":\"other\"}", "out token-invalid-audience"},
        {"{}", "out token-invalid-audience"},
        {"{\"aud\":\"api\",\"key\":\"k2\"}", "out jwk-kid-mismatch"},
        {"{\"aud\":\"api\",\"sts\":\"pending\"}", "out session-pending"},
        {"{\"aud\":\"api\",\"kind\":\"oauth-jwt\"}", "out token-type-not-supported"},
        {"{\"aud\":\"api\",\"kind\":\"m2m-jwt\"}", "out token-type-not-supported"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *token = sim_token("%s", cases[i].spec);
        CHECK_WORD(ask(client, token), cases[i].words);
        /* Refusals are not remembered, and do not become anything else by being asked for again. */
        CHECK_WORD(ask_cached(client, token), i == 0 ? "in cache" : cases[i].words);
    }
    CHECK_WORD(ask(client, "ak_opaque"), "out token-type-not-supported");
    clerk_client_free(client);
}

/* Authenticates with these lines. */
static const char *lines(const clerk_client *client, const clerk_header *headers, size_t count, const char *method) {
    clerk_request request = CLERK_REQUEST_INIT;
    request.headers = headers;
    request.header_count = count;
    request.method = clerk_str_of(method);
    clerk_result *result = NULL;
    return ended(clerk_authenticate(client, &request, &result, NULL), &result);
}

static clerk_header line(const char *name, const char *value) {
    return (clerk_header){clerk_str_of(name), clerk_str_of(value)};
}

static void lines_of_a_request(void) {
    sim_reset();
    clerk_client *client = sim_client();
    char bearer_line[4096], cookie[4096];
    snprintf(bearer_line, sizeof bearer_line, "bEaReR   %s", token_of("user_1"));
    snprintf(cookie, sizeof cookie, "a=b; __session=%s; c=\"d", token_of("user_2"));
    clerk_header all[] = {line("Accept", "text/html"), line("AUTHORIZATION", bearer_line), line("cookie", cookie)};
    CHECK_WORD(lines(client, all, 3, "GET"), "in verified");
    CHECK_WORD(lines(client, all, 2, NULL), "in cache");
    CHECK_WORD(lines(client, all, 1, NULL), "none session-token-missing");
    CHECK_WORD(lines(client, NULL, 0, NULL), "none session-token-missing");
    clerk_header by_cookie = line("Cookie", cookie);
    CHECK_WORD(lines(client, &by_cookie, 1, NULL), "in verified");
    clerk_header basic[] = {line("Authorization", "Basic dXNlcjpwYXNz"), by_cookie};
    CHECK_WORD(lines(client, basic, 1, NULL), "none session-token-missing");
    CHECK_WORD(lines(client, basic, 2, NULL), "in cache");
    /* Two lines of it, or one given twice, are a smuggling attempt or a broken proxy. */
    clerk_header twice[] = {all[1], all[1]};
    CHECK_WORD(lines(client, twice, 2, NULL), "out token-invalid");
    clerk_request request = bearer(bearer_line);
    clerk_result *result = NULL;
    request.headers = all;
    request.header_count = 3;
    CHECK_WORD(ended(clerk_authenticate(client, &request, &result, NULL), &result), "out token-invalid");
    /* The short way. */
    request = (clerk_request)CLERK_REQUEST_INIT;
    request.cookie = clerk_str_of(cookie);
    CHECK_WORD(ended(clerk_authenticate(client, &request, &result, NULL), &result), "in cache");

    /* A page load with a token that has run out could be settled by a redirect; a call from a script could not. */
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
        CHECK_STATUS(clerk_result_www_authenticate(result, CLERK_STR("a \"b\""), challenge, sizeof challenge, NULL), CLERK_OK);
        CHECK_WORD(challenge, "Bearer realm=\"a \\\"b\\\"\", "
                              "error=\"invalid_token\", error_description=\"token-expired\"");
        clerk_result_free(result);
    }
    clerk_client_free(client);
}

/* Authenticates when nobody can tell; checks the error behind it. */
static void nobody_can_tell(const clerk_client *client, const char *token, const char *words, int32_t http,
                            int64_t wait) {
    char text[4096];
    snprintf(text, sizeof text, "Bearer %s", token);
    clerk_request request = bearer(text);
    clerk_result *result = NULL;
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_authenticate(client, &request, &result, &error), CLERK_UNAVAILABLE);
    bool misconfigured = strcmp(words, "unavailable secret-key-invalid") == 0;
    CHECK_INT(clerk_result_http_status(result), misconfigured ? 500 : 503);
    CHECK_INT(clerk_result_retry_after_ms(result), wait);
    CHECK(error != NULL);
    CHECK_STATUS(clerk_error_status(error), CLERK_UNAVAILABLE);
    CHECK_INT(clerk_error_http_status(error), http);
    CHECK_INT(clerk_error_retry_after_ms(error), wait);
    CHECK_INT(clerk_error_store_code(error), 0);
    CHECK_TEXT(clerk_error_setting(error), NULL);
    CHECK(clerk_error_message(error).len > 10);
    CHECK_TEXT(clerk_error_message(error), clerk_error_message(error).data);
    CHECK(strstr(clerk_error_message(error).data, "sk_test") == NULL);
    clerk_error_free(error);
    CHECK_WORD(ended(CLERK_UNAVAILABLE, &result), words);
}

static void clerk_is_down(void) {
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
    nobody_can_tell(client, token, "unavailable jwk-failed-to-load", 0, -1);
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_client_warm_up(client, &error), CLERK_E_API);
    CHECK_STATUS(clerk_error_status(error), CLERK_E_API);
    clerk_error_free(error);
    CHECK_WORD(ask_cached(client, token), "CLERK_WOULD_BLOCK");
    sim_down(false);
    CHECK_STATUS(clerk_client_warm_up(client, &error), CLERK_OK);
    CHECK(error == NULL);
    CHECK_WORD(ask(client, token), "in verified");

    /* The keys are known, and the token is remembered; new ones need the user. */
    sim_down(true);
    CHECK_WORD(ask(client, token), "in cache");
    nobody_can_tell(client, token_of("user_1"), "unavailable server-error", 0, -1);
    sim_down(false);

    /* One answer of 503 is tried again within the call. */
    sim_admin("DELETE", "/counts", "");
    sim_put("/faults", "[{\"path\":\"/users/*\",\"status\":503,\"times\":1}]");
    CHECK_WORD(ask(client, token_of("user_1")), "in verified");
    CHECK_INT(sim_count("/users/{id}"), 2);
    sim_put("/faults", "[{\"path\":\"/users/*\",\"status\":503,\"headers\":{\"Retry-After\":\"2\"}}]");
    nobody_can_tell(client, token_of("user_1"), "unavailable server-error", 503, 2000);
    sim_put("/faults", "[{\"path\":\"/users/*\",\"status\":401,\"headers\":{\"Clerk-Trace-Id\":\"t1\"}}]");
    nobody_can_tell(client, token_of("user_1"), "unavailable secret-key-invalid", 401, -1);
    sim_put("/faults", "[{\"path\":\"/users/*\",\"status\":429,\"headers\":{\"Retry-After\":\"1\"}}]");
    nobody_can_tell(client, token_of("user_1"), "unavailable server-error", 429, 1000);
    clerk_stats stats = stats_of(client);
    CHECK_INT(stats.unavailable, 5);
    CHECK_INT(stats.signed_out, 0);
    clerk_client_free(client);
}

static void one_token_and_nothing_else(void) {
    sim_reset();
    counter counted = {0};
    clerk_config *config = sim_config();
    clerk_config_set_event_callback(config, count_event, &counted, NULL);
    clerk_client *client = client_of(config);
    const char *token = token_of("user_1");
    clerk_result *result = NULL;
    clerk_error *error = NULL;
    for (int i = 0; i < 2; i++) {
        CHECK_WORD(ended(clerk_verify_token(client, clerk_str_of(token), &result, &error), &result), "in verified");
        CHECK(error == NULL);
    }
    token = sim_token("{\"spoil\":\"expired\"}");
    CHECK_WORD(ended(clerk_verify_token(client, clerk_str_of(token), &result, NULL), &result), "out token-expired");
    CHECK_WORD(ended(clerk_verify_token(client, clerk_str_of(""), &result, NULL), &result), "out token-invalid");
    CHECK_INT(stats_of(client).cached_tokens, 0);
    for (int kind = 0; kind < 32; kind++) CHECK_INT(counted.events[kind], kind == CLERK_EVENT_KIND_JWKS_REFRESHED);
    clerk_client_free(client);
}

static void from_memory_without_waiting(void) {
    sim_reset();
    clerk_config *config = sim_config();
    set(config, "accepts_token", "any");
    clerk_client *client = client_of(config);
    const char *token = token_of("user_1");
    CHECK_WORD(ask_cached(client, token), "CLERK_WOULD_BLOCK");
    CHECK_WORD(ask_cached(client, NULL), "none session-token-missing");
    CHECK_INT(sim_count("/jwks"), 0);
    CHECK_STATUS(clerk_client_warm_up(client, NULL), CLERK_OK);
    CHECK_INT(sim_count("/jwks"), 1);
    CHECK_WORD(ask_cached(client, token), "in verified");
    CHECK_WORD(ask_cached(client, token), "in cache");
    CHECK_WORD(ask_cached(client, sim_token("{\"spoil\":\"expired\"}")), "out token-expired");
    CHECK_WORD(ask_cached(client, "garbage"), "out token-invalid");
    CHECK_INT(sim_count("/jwks"), 1);
    /* An opaque token is Clerk's to judge. */
    sim_put("/state", "{\"api_keys\":{\"ak_good\":{\"subject\":\"user_1\",\"scopes\":[\"read\",\"write\"]}}}");
    CHECK_WORD(ask_cached(client, "ak_good"), "CLERK_WOULD_BLOCK");
    char good[] = "ak_good";
    clerk_result *result = signed_in(client, good);
    CHECK_INT(clerk_result_token_kind(result), CLERK_TOKEN_KIND_API_KEY);
    CHECK_TEXT(clerk_result_get(result, CLERK_ATTRIBUTE_SCOPES), "read write");
    CHECK_INT(clerk_result_has(result, CLERK_CHECK_ROLE, CLERK_STR("admin")), 0);
    clerk_result_free(result);
    CHECK_WORD(ask(client, "ak_bad"), "out token-invalid");
    clerk_client_free(client);
}

static void what_is_forgotten_is_asked_for_again(void) {
    sim_reset();
    sim_put("/users/user_1", "{\"first_name\":\"Ada\"}");
    clerk_config *config = sim_config();
    set(config, "user_mode", "profile");
    clerk_client *client = client_of(config);
    const char *one = sim_token("{\"user\":\"user_1\",\"sid\":\"sess_a\"}");
    const char *two = sim_token("{\"user\":\"user_1\",\"sid\":\"sess_b\"}");
    ask(client, one), ask(client, two);
    CHECK_WORD(ask(client, one), "in cache");
    CHECK_WORD(ask(client, two), "in cache");
    CHECK_STATUS(clerk_client_invalidate_token(client, clerk_str_of(one)), CLERK_OK);
    CHECK_WORD(ask(client, one), "in verified");
    CHECK_WORD(ask(client, two), "in cache");
    CHECK_STATUS(clerk_client_invalidate_session(client, CLERK_STR("sess_b")), CLERK_OK);
    CHECK_WORD(ask(client, one), "in cache");
    CHECK_WORD(ask(client, two), "in verified");
    CHECK_INT(sim_count("/users/{id}"), 1);
    CHECK_STATUS(clerk_client_invalidate_user(client, CLERK_STR("user_1")), CLERK_OK);
    CHECK_INT(stats_of(client).cached_users, 0);
    CHECK_WORD(ask(client, one), "in verified");
    CHECK_WORD(ask(client, two), "in verified");
    CHECK_INT(sim_count("/users/{id}"), 2);
    CHECK_STATUS(clerk_client_invalidate_all(client), CLERK_OK);
    CHECK_INT(stats_of(client).cached_tokens, 0);
    CHECK_WORD(ask(client, one), "in verified");
    CHECK_INT(sim_count("/users/{id}"), 3);
    CHECK_INT(sim_count("/jwks"), 1);
    /* Later calls connect anew. */
    CHECK_STATUS(clerk_client_shutdown(client), CLERK_OK);
    CHECK_STATUS(clerk_client_invalidate_all(client), CLERK_OK);
    CHECK_WORD(ask(client, one), "in verified");
    clerk_client_free(client);
}

static void over_tls(void) {
    sim_reset();
    const char *token = token_of("user_1");
    clerk_config *config = sim_config();
    set(config, "api_url", sim_https_url());
    clerk_client *stranger = client_of(config);
    nobody_can_tell(stranger, token, "unavailable jwk-failed-to-load", 0, -1);
    clerk_client_free(stranger);
    CHECK_INT(sim_count("/jwks"), 0);

    config = sim_config();
    set(config, "api_url", sim_https_url());
    set(config, "ca_pem", sim_ca());
    clerk_client *client = client_of(config);
    CHECK_WORD(ask(client, token), "in verified");
    CHECK_INT(sim_count("/jwks"), 1);
    clerk_client_free(client);
}

/* The time, told by the host. */
static int64_t told(void *userdata) {
    return *(int64_t *)userdata;
}

static char diary[4096];

static void write_diary(void *userdata, const clerk_event *event) {
    clerk_str hash = clerk_event_token_hash(event), again = clerk_event_token_hash(event);
    int32_t kind = clerk_event_get_kind(event);
    bool of_token = kind <= CLERK_EVENT_KIND_CACHE_MISS;
    CHECK_TEXT(hash, of_token ? hash.data : NULL);
    CHECK(again.data == hash.data);
    if (of_token) CHECK(hash.len == 75 && strncmp(hash.data, "clerk:auth:", 11) == 0);
    clerk_str id = clerk_event_clerk_id(event);
    CHECK_TEXT(id, id.data);
    CHECK_TEXT(clerk_event_user_key(event), NULL);
    size_t len = strlen(diary);
    snprintf(diary + len, sizeof diary - len, "%d %s %d %d %lld, ", kind, id.data ? id.data : "-",
             clerk_event_reason(event), clerk_event_source(event), (long long)clerk_event_retry_after_ms(event));
    (void)userdata;
}

static void clocks_and_events_are_the_hosts(void) {
    sim_reset();
    int64_t now = 1800000000000;
    clerk_config *config = sim_config();
    clerk_config_set_clock_callback(config, told, &now, NULL);
    clerk_config_set_event_callback(config, write_diary, NULL, NULL);
    clerk_client *client = client_of(config);
    const char *token = sim_token("{\"user\":\"user_1\",\"exp_in\":60,\"now\":1800000000}");
    CHECK_WORD(ask(client, token), "in verified");
    CHECK_WORD(diary, "3 - 0 0 -1, 8 - 0 0 -1, 1 user_1 0 2 -1, ");
    diary[0] = 0;
    now += 64999;
    CHECK_WORD(ask(client, token), "in cache");
    CHECK_WORD(diary, "1 user_1 0 1 -1, ");
    diary[0] = 0;
    now += 1;
    CHECK_WORD(ask(client, token), "out token-expired");
    CHECK_WORD(diary, "3 - 0 0 -1, 2 - 4 0 -1, ");
    diary[0] = 0;
    ask(client, NULL);
    CHECK_WORD(diary, "");
    clerk_client_free(client);
}

int main(void) {
    the_second_time_it_comes_from_memory();
    the_answer_outlives_the_client();
    tokens_that_are_no_good();
    lines_of_a_request();
    clerk_is_down();
    one_token_and_nothing_else();
    from_memory_without_waiting();
    what_is_forgotten_is_asked_for_again();
    over_tls();
    clocks_and_events_are_the_hosts();
    return 0;
}
