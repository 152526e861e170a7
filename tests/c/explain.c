/* A rejected token is explained by the log at debug level and by `clerk_explain`, in the same words. */
#include "check.h"

#include <stdbool.h>

static char logged[4096];

static void on_log(void *userdata, int32_t level, clerk_str line) {
    (void)userdata;
    if (level == CLERK_LOG_LEVEL_DEBUG) snprintf(logged, sizeof logged, "%.*s", (int)line.len, line.data);
}

static clerk_client *logging_client(void) {
    clerk_config *config = sim_config();
    clerk_client *client = NULL;
    CHECK_OK(clerk_config_set(config, CLERK_STR("authorized_parties"), CLERK_STR("https://a.example"), NULL));
    CHECK_OK(clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_DEBUG, on_log, NULL, NULL));
    CHECK_OK(clerk_client_new(config, &client, NULL));
    clerk_config_free(config);
    CHECK_OK(clerk_client_warm_up(client, NULL));
    return client;
}

/* Whether the JSON and the text of the explanation contain the string. */
static bool explains(const clerk_client *client, clerk_str token, const char *expected) {
    clerk_explanation *explanation = NULL;
    clerk_error *error = NULL;
    CHECK_OK(clerk_explain(client, token, &explanation, &error));
    CHECK_ERROR(&error, CLERK_OK);
    clerk_str json = clerk_explanation_json(explanation), text = clerk_explanation_text(explanation);
    CHECK(strlen(json.data) == json.len && strlen(text.data) == text.len);
    CHECK(json.data[0] == '{' && json.data[json.len - 1] == '}');
    bool found = strstr(text.data, expected) != NULL;
    if (token.len > 100) {
        char part[64] = "";
        memcpy(part, token.data + token.len - 60, 60);
        CHECK(strstr(json.data, part) == NULL && strstr(text.data, part) == NULL);
    }
    clerk_explanation_free(explanation);
    return found;
}

static void rejected_token_is_explained(void) {
    sim_reset();
    clerk_client *client = logging_client();
    const char *token = sim_token("{\"user\":\"user_1\",\"azp\":\"https://b.example\"}");
    CHECK_CSTR(outcome_of(client, token), "signed_out token-invalid-authorized-parties");
    static const char *const expected = "azp \"https://b.example\" not in authorized_parties";
    CHECK(strstr(logged, expected) != NULL && strstr(logged, token) == NULL);
    CHECK(explains(client, clerk_str_of(token), expected));
    CHECK(explains(client, clerk_str_of(token), "ok      signature: verified"));
    clerk_client_free(client);
}

static void any_bytes_are_explained(void) {
    clerk_client *client = logging_client();
    CHECK(explains(client, (clerk_str){NULL, 0}, "the credential is empty"));
    CHECK(explains(client, (clerk_str){"\0\xff.\x80.", 5}, "rejected: token-invalid"));
    CHECK(explains(client, CLERK_STR("sk_live_x"), "this is a secret key"));
    CHECK(explains(client, CLERK_STR("ak_0123456789"), "api_key not in accepts_token"));
    clerk_client_free(client);
}

static void on_event(void *userdata, const clerk_event *event) {
    clerk_explanation *explanation = NULL;
    (void)event;
    CHECK_OK(clerk_explain(*(clerk_client **)userdata, CLERK_STR("x"), &explanation, NULL));
    clerk_explanation_free(explanation);
}

static void explained_in_a_callback(void) {
    clerk_config *config = sim_config();
    clerk_client *client = NULL;
    CHECK_OK(clerk_config_set_event_callback(config, on_event, &client, NULL));
    CHECK_OK(clerk_client_new(config, &client, NULL));
    clerk_config_free(config);
    CHECK_CSTR(outcome_of(client, "x"), "signed_out token-invalid");
    clerk_client_free(client);
}

int main(void) {
    rejected_token_is_explained();
    any_bytes_are_explained();
    explained_in_a_callback();
    return 0;
}
