/* Revocations by call, and from one client to another. */
#include "check.h"

/* The caller frees it. */
static char *exported(const clerk_client *client) {
    size_t needed = 0;
    CHECK_STATUS(clerk_client_export_revocations(client, NULL, 0, &needed), CLERK_E_ARGUMENT);
    char *json = malloc(needed + 1);
    CHECK(json != NULL && needed > 0);
    CHECK_STATUS(clerk_client_export_revocations(client, json, needed, NULL), CLERK_E_ARGUMENT);
    CHECK_OK(clerk_client_export_revocations(client, json, needed + 1, &needed));
    CHECK_INT(strlen(json), needed);
    return json;
}

static void revoked_tokens_are_rejected_in_both_clients(void) {
    sim_reset();
    clerk_client *first = sim_client(), *second = sim_client();
    const char *of_session = sim_token("{\"user\":\"user_1\",\"sid\":\"sess_1\"}");
    const char *of_user = sim_token("{\"user\":\"user_2\",\"sid\":\"sess_2\"}");
    const char *other = sim_token("{\"user\":\"user_1\",\"sid\":\"sess_3\"}");
    for (int i = 0; i < 2; i++) {
        clerk_client *client = i == 0 ? first : second;
        CHECK_CSTR(outcome_of(client, of_session), "signed_in verified");
        CHECK_CSTR(outcome_of(client, of_user), "signed_in verified");
        CHECK_CSTR(outcome_of(client, other), "signed_in verified");
    }
    CHECK_OK(clerk_client_revoke_session(first, CLERK_STR("sess_1")));
    CHECK_OK(clerk_client_revoke_user(first, CLERK_STR("user_2")));
    CHECK_CSTR(outcome_of(second, of_session), "signed_in cache");
    char *json = exported(first);
    clerk_error *error = NULL;
    CHECK_OK(clerk_client_import_revocations(second, clerk_str_of(json), &error));
    CHECK_ERROR(&error, CLERK_OK);
    free(json);
    for (int i = 0; i < 2; i++) {
        clerk_client *client = i == 0 ? first : second;
        CHECK_CSTR(outcome_of(client, of_session), "signed_out session-revoked");
        CHECK_CSTR(outcome_of(client, of_user), "signed_out session-revoked");
        CHECK_CSTR(outcome_of(client, other), "signed_in cache");
    }
    clerk_result *result = NULL;
    CHECK_STATUS(clerk_verify_token(second, clerk_str_of(of_user), &result, NULL), CLERK_SIGNED_OUT);
    clerk_result_free(result);
    clerk_client_free(first);
    clerk_client_free(second);
}

static void invalid_arguments_change_nothing(void) {
    sim_reset();
    clerk_client *client = sim_client();
    char *before = exported(client);
    CHECK_STATUS(clerk_client_revoke_session(client, CLERK_STR("user_1")), CLERK_E_ARGUMENT);
    CHECK_STATUS(clerk_client_revoke_user(client, CLERK_STR("sess_1")), CLERK_E_ARGUMENT);
    CHECK_STATUS(clerk_client_revoke_user(client, CLERK_STR("user_\xff")), CLERK_E_UTF8);
    CHECK_STATUS(clerk_client_revoke_session(NULL, CLERK_STR("sess_1")), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_revoke_user(NULL, CLERK_STR("user_1")), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_export_revocations(NULL, NULL, 0, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_client_export_revocations(client, NULL, 4096, NULL), CLERK_E_NULL);
    static const char *const malformed[] = {"", "{}", "null", "{\"version\":2}"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        clerk_error *error = NULL;
        CHECK_STATUS(clerk_client_import_revocations(client, clerk_str_of(malformed[i]), &error), CLERK_E_ARGUMENT);
        CHECK_ERROR(&error, CLERK_E_ARGUMENT);
        CHECK_STATUS(clerk_client_import_revocations(client, clerk_str_of(malformed[i]), NULL), CLERK_E_ARGUMENT);
    }
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_client_import_revocations(NULL, clerk_str_of(before), &error), CLERK_E_NULL);
    CHECK_ERROR(&error, CLERK_E_NULL);
    char *after = exported(client);
    CHECK_CSTR(after, before);
    free(before);
    free(after);
    clerk_client_free(client);
}

int main(void) {
    revoked_tokens_are_rejected_in_both_clients();
    invalid_arguments_change_nothing();
    return 0;
}
