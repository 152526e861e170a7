/* Where the credential of a request is, the hash of its token, and cross-site requests with a cookie. */
#include "check.h"

#include <stddef.h>

static clerk_client *checking_client(void) {
    clerk_config *config = sim_config();
    set(config, "csrf", "check");
    set(config, "authorized_parties", "https://app.example.com");
    return client_of(config);
}

static const char *outcome(const clerk_client *client, const clerk_request *request) {
    clerk_result *result = NULL;
    int32_t status = clerk_authenticate(client, request, &result, NULL);
    return outcome_and_free(status, &result);
}

static clerk_request cookie_request(const char *token, const char *method) {
    static char line[8192];
    clerk_request request = CLERK_REQUEST_INIT;
    snprintf(line, sizeof line, "__session=%s", token);
    request.cookie = clerk_str_of(line);
    request.method = clerk_str_of(method);
    return request;
}

static void cookie_needs_evidence_of_same_origin(void) {
    sim_reset();
    clerk_client *client = checking_client();
    clerk_request request = cookie_request(sim_token("{\"user\":\"user_1\"}"), "POST");
    CHECK_CSTR(outcome(client, &request), "signed_out csrf-failed");
    request.host = CLERK_STR("shop.example.com");
    CHECK_CSTR(outcome(client, &request), "signed_out csrf-failed");
    request.origin = CLERK_STR("https://evil.example.com");
    CHECK_CSTR(outcome(client, &request), "signed_out csrf-failed");
    request.origin = CLERK_STR("https://shop.example.com");
    CHECK_CSTR(outcome(client, &request), "signed_in verified");
    request.host.data = NULL, request.host.len = 0;
    CHECK_CSTR(outcome(client, &request), "signed_out csrf-failed");
    request.origin = CLERK_STR("https://app.example.com");
    CHECK_CSTR(outcome(client, &request), "signed_in cache");
    request.origin.data = NULL, request.origin.len = 0;
    request.sec_fetch_site = CLERK_STR("same-origin");
    CHECK_CSTR(outcome(client, &request), "signed_in cache");
    request.sec_fetch_site = CLERK_STR("cross-site");
    CHECK_CSTR(outcome(client, &request), "signed_out csrf-failed");
    request.method = CLERK_STR("GET");
    CHECK_CSTR(outcome(client, &request), "signed_in cache");

    /* The same as header lines, and from a program that knows neither of the new members. */
    clerk_header lines[] = {
        {CLERK_STR("Origin"), CLERK_STR("https://shop.example.com")}, {CLERK_STR("Host"), CLERK_STR("shop.example.com")}};
    request.method = CLERK_STR("POST");
    request.struct_size = offsetof(clerk_request, host);
    CHECK_CSTR(outcome(client, &request), "signed_out csrf-failed");
    request.headers = lines, request.header_count = 2;
    CHECK_CSTR(outcome(client, &request), "signed_in cache");
    /* A line passed both ways counts as two. */
    request.struct_size = sizeof request;
    request.sec_fetch_site.data = NULL, request.sec_fetch_site.len = 0;
    CHECK_CSTR(outcome(client, &request), "signed_in cache");
    request.host = CLERK_STR("shop.example.com");
    CHECK_CSTR(outcome(client, &request), "signed_out csrf-failed");

    clerk_result *result = NULL;
    CHECK_STATUS(clerk_authenticate(client, &request, &result, NULL), CLERK_SIGNED_OUT);
    CHECK_INT(clerk_result_reason(result), CLERK_REASON_CSRF_FAILED);
    CHECK_INT(clerk_result_http_status(result), 403);
    clerk_result_free(result);
    clerk_client_free(client);
}

static void credential_is_a_view_of_the_lines(void) {
    sim_reset();
    clerk_client *client = sim_client();
    clerk_str token = CLERK_STR("x");
    int32_t source = -1;
    clerk_request request = CLERK_REQUEST_INIT;
    CHECK_OK(clerk_request_credential(client, &request, &token, &source));
    CHECK(token.data == NULL && token.len == 0);
    CHECK_INT(source, CLERK_TOKEN_SOURCE_NONE);

    request.authorization = CLERK_STR("Bearer abc");
    request.cookie = CLERK_STR("__session=def");
    CHECK_OK(clerk_request_credential(client, &request, &token, &source));
    CHECK(token.data == request.authorization.data + 7 && token.len == 3);
    CHECK_INT(source, CLERK_TOKEN_SOURCE_HEADER);
    CHECK_OK(clerk_request_credential(client, &request, NULL, NULL));

    request.authorization = CLERK_STR("Basic abc");
    CHECK_OK(clerk_request_credential(client, &request, &token, &source));
    CHECK(token.data == request.cookie.data + 10 && token.len == 3);
    CHECK_INT(source, CLERK_TOKEN_SOURCE_COOKIE);

    request.authorization = CLERK_STR("Bearer");
    CHECK_OK(clerk_request_credential(client, &request, &token, &source));
    CHECK(token.data == NULL);
    CHECK_INT(source, CLERK_TOKEN_SOURCE_HEADER);

    CHECK_STATUS(clerk_request_credential(NULL, &request, &token, &source), CLERK_E_NULL);
    CHECK_STATUS(clerk_request_credential(client, NULL, &token, &source), CLERK_E_NULL);
    CHECK(token.data == NULL && source == CLERK_TOKEN_SOURCE_NONE);
    request.struct_size = 1;
    CHECK_STATUS(clerk_request_credential(client, &request, &token, &source), CLERK_E_STRUCT_SIZE);
    clerk_client_free(client);
}

static void hash_is_on_every_result_with_a_token(void) {
    sim_reset();
    clerk_client *client = sim_client();
    clerk_result *result = NULL;
    clerk_request request = bearer("Bearer abc");
    CHECK_STATUS(clerk_authenticate(client, &request, &result, NULL), CLERK_SIGNED_OUT);
    CHECK_STR(clerk_result_token_hash(result),
              "clerk:auth:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    clerk_result_free(result);
    const char *token = sim_token("{\"user\":\"user_1\"}");
    clerk_result *first = sign_in(client, token), *second = sign_in(client, token);
    CHECK_STR(clerk_result_token_hash(first), clerk_result_token_hash(second).data);
    CHECK_INT(clerk_result_token_hash(first).len, 75);
    clerk_result_free(first);
    clerk_result_free(second);
    clerk_request empty = CLERK_REQUEST_INIT;
    CHECK_STATUS(clerk_authenticate(client, &empty, &result, NULL), CLERK_NO_CREDENTIALS);
    CHECK_STR(clerk_result_token_hash(result), NULL);
    clerk_result_free(result);
    CHECK_STR(clerk_result_token_hash(NULL), NULL);
    clerk_client_free(client);
}

int main(void) {
    cookie_needs_evidence_of_same_origin();
    credential_is_a_view_of_the_lines();
    hash_is_on_every_result_with_a_token();
    return 0;
}
