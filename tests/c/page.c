/* The browser handshake: redirect, cookies and cache control of a result, and requests of older programs. */
#include "check.h"

#include <stddef.h>

#define KEY "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k"

static clerk_client *page_client(void) {
    clerk_config *config = sim_config();
    set(config, "handshake", "on");
    set(config, "publishable_key", KEY);
    set(config, "public_origin", "https://app.example.com");
    return client_of(config);
}

static clerk_request page(const char *cookie) {
    clerk_request request = CLERK_REQUEST_INIT;
    request.method = CLERK_STR("GET");
    request.scheme = CLERK_STR("https");
    request.host = CLERK_STR("app.example.com");
    request.target = CLERK_STR("/a?b=c%20d");
    request.sec_fetch_dest = CLERK_STR("document");
    request.cookie = clerk_str_of(cookie);
    return request;
}

static clerk_result *authenticate(const clerk_client *client, const clerk_request *request) {
    clerk_result *result = NULL;
    int32_t status = clerk_authenticate(client, request, &result, NULL);
    CHECK(result != NULL);
    CHECK_STATUS(clerk_result_status(result), status);
    return result;
}

/* Whether `clerk_result_redirect` and the others say that there is nothing to add. */
static void check_plain(clerk_result *result, int32_t http_status) {
    clerk_str value = CLERK_STR("x");
    CHECK_STATUS(clerk_result_redirect(result, &value), CLERK_E_NOT_FOUND);
    CHECK(value.data == NULL);
    CHECK_INT(clerk_result_set_cookie_count(result), 0);
    CHECK_STATUS(clerk_result_set_cookie(result, 0, &value), CLERK_E_NOT_FOUND);
    CHECK_STATUS(clerk_result_cache_control(result, &value), CLERK_E_NOT_FOUND);
    CHECK_INT(clerk_result_http_status(result), http_status);
    clerk_result_free(result);
}

static void stale_page_is_redirected_and_comes_back(void) {
    sim_reset();
    clerk_client *client = page_client();
    clerk_str value;
    clerk_request request = page("__client_uat=1700000000");
    clerk_result *result = NULL;

    /* Without waiting. */
    CHECK_STATUS(clerk_authenticate_cached(client, &request, &result), CLERK_SIGNED_OUT);
    CHECK_INT(clerk_result_http_status(result), 307);
    CHECK_OK(clerk_result_redirect(result, &value));
    CHECK_STR(value, "https://clerk.example.com/v1/client/handshake?redirect_url=https%3A%2F%2Fapp.example.com%2Fa%3Fb%3Dc%2520d"
                     "&__clerk_api_version=2026-05-12&suffixed_cookies=false&__clerk_hs_reason=client-uat-but-no-session-token"
                     "&format=nonce");
    CHECK_INT(clerk_result_set_cookie_count(result), 1);
    CHECK_OK(clerk_result_set_cookie(result, 0, &value));
    CHECK_STR(value, "__clerk_redirect_count=1; SameSite=Lax; HttpOnly; Max-Age=2");
    CHECK_STATUS(clerk_result_set_cookie(result, 1, &value), CLERK_E_NOT_FOUND);
    CHECK_STATUS(clerk_result_set_cookie(result, SIZE_MAX, &value), CLERK_E_NOT_FOUND);
    CHECK_OK(clerk_result_cache_control(result, &value));
    CHECK_STR(value, "no-store");
    CHECK_STATUS(clerk_result_redirect(result, NULL), CLERK_E_NULL);
    CHECK_INT(clerk_result_reason(result), CLERK_REASON_CLIENT_UAT_BUT_NO_SESSION_TOKEN);
    clerk_result_free(result);

    sim_put("/state", "{\"nonces\": {\"n1\": [\"__session=%s; Path=/\", \"evil=1\", \"__client_uat=5; Path=/\"]}}",
            sim_token("{\"user\":\"user_1\"}"));
    request = page("__clerk_handshake_nonce=n1");
    CHECK_STATUS(clerk_authenticate_cached(client, &request, &result), CLERK_WOULD_BLOCK);
    result = authenticate(client, &request);
    CHECK_INT(clerk_result_http_status(result), 200);
    CHECK_STR(clerk_result_user_id(result), "user_1");
    CHECK_INT(clerk_result_set_cookie_count(result), 2);
    clerk_client_free(client); /* strings live as long as the result */
    CHECK_OK(clerk_result_set_cookie(result, 1, &value));
    CHECK_STR(value, "__client_uat=5; Path=/");
    CHECK_STATUS(clerk_result_redirect(result, &value), CLERK_E_NOT_FOUND);
    clerk_result_free(result);
}

static void pending_authentication_has_the_cookies_at_its_end(void) {
    sim_reset();
    clerk_client *client = page_client();
    clerk_result *result = NULL;
    clerk_pending *pending = NULL;
    clerk_request request = page("__clerk_handshake_nonce=n1");

    sim_put("/state", "{\"nonces\": {\"n1\": [\"__session=; Path=/\"]}}");
    CHECK_STATUS(clerk_authenticate_begin_cached(client, &request, &result, &pending), CLERK_WOULD_BLOCK);
    CHECK_STATUS(clerk_authenticate_begin(client, &request, &result, &pending, NULL), CLERK_NO_CREDENTIALS);
    CHECK_INT(clerk_result_set_cookie_count(result), 1);
    clerk_result_free(result);
    clerk_client_free(client);
}

static void missing_parts_and_foreign_hosts_get_no_redirect(void) {
    sim_reset();
    clerk_client *client = page_client();
    const clerk_str none = {NULL, 0};
    clerk_request request = page("__client_uat=1700000000");

    request.scheme = none;
    check_plain(authenticate(client, &request), 401);
    request = page("__client_uat=1700000000"), request.host = none;
    check_plain(authenticate(client, &request), 401);
    request = page("__client_uat=1700000000"), request.host = CLERK_STR("evil.example");
    check_plain(authenticate(client, &request), 401);
    request = page("__client_uat=1700000000"), request.target = CLERK_STR("http://app.example.com/a");
    check_plain(authenticate(client, &request), 401);
    request = page("__client_uat=1700000000"), request.target = CLERK_STR("*");
    check_plain(authenticate(client, &request), 401);
    request = page("__client_uat=1700000000"), request.method = CLERK_STR("POST");
    check_plain(authenticate(client, &request), 401);
    /* Of an older program, whose structure ends before the new members. */
    request = page("__client_uat=1700000000"), request.struct_size = offsetof(clerk_request, scheme);
    check_plain(authenticate(client, &request), 401);
    clerk_client_free(client);
}

static void request_without_session_cookie_is_anonymous(void) {
    sim_reset();
    clerk_client *client = page_client();
    static const struct { const char *cookie; int32_t status, is_anonymous; } cases[] = {
        {NULL, CLERK_NO_CREDENTIALS, 1},
        {"__client_uat=1700000000", CLERK_SIGNED_OUT, 1},
        {"__session=a.b.c; __client_uat=1700000000", CLERK_SIGNED_OUT, 0},
        {"__session=a.b.c", CLERK_SIGNED_OUT, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clerk_request request = page(cases[i].cookie);
        request.sec_fetch_dest = CLERK_STR("image");
        clerk_result *result = authenticate(client, &request);
        CHECK_STATUS(clerk_result_status(result), cases[i].status);
        CHECK_INT(clerk_result_is_anonymous(result), cases[i].is_anonymous);
        clerk_result_free(result);
    }
    clerk_client_free(client);
}

static void members_count_instead_of_header_lines(void) {
    sim_reset();
    clerk_client *client = page_client();
    clerk_header lines[] = {{CLERK_STR("Sec-Fetch-Dest"), CLERK_STR("empty")},
                            {CLERK_STR("Cookie"), CLERK_STR("__client_uat=1700000000")},
                            {CLERK_STR("Host"), CLERK_STR("app.example.com")}};
    clerk_request request = page(NULL);
    clerk_str value;

    request.headers = lines, request.header_count = 3;
    request.host.data = NULL, request.host.len = 0;
    clerk_result *result = authenticate(client, &request);
    CHECK_OK(clerk_result_redirect(result, &value));
    clerk_result_free(result);
    request.sec_fetch_dest.data = NULL, request.sec_fetch_dest.len = 0;
    check_plain(authenticate(client, &request), 401);
    clerk_client_free(client);
}

int main(void) {
    stale_page_is_redirected_and_comes_back();
    pending_authentication_has_the_cookies_at_its_end();
    missing_parts_and_foreign_hosts_get_no_redirect();
    request_without_session_cookie_is_anonymous();
    members_count_instead_of_header_lines();
    return 0;
}
