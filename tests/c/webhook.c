/* Webhooks: a valid one is applied once, an invalid one changes nothing. */
#include "table.h"

static const char SECRET[] = "whsec_Y2xlcmstc2ltLXdlYmhvb2stc2VjcmV0LTAwMDE=";
static const char ADA[] = "{\"username\":\"ada\",\"first_name\":\"Ada\",\"email_addresses\":[\"ada@example.com\"],"
                          "\"primary_email_address_id\":\"idn_0001\"}";

typedef struct {
    const char *body;
    clerk_header headers[5];
} delivery;

static delivery signed_webhook(const char *spec) {
    const char *answer = sim_admin("POST", "/webhook", spec);
    delivery signed_webhook = {.body = json_string(answer, "body")};
    static const char *const names[] = {"svix-id", "svix-timestamp", "svix-signature"};
    for (int i = 0; i < 3; i++) {
        signed_webhook.headers[i] = (clerk_header){clerk_str_of(names[i]), clerk_str_of(json_string(answer, names[i]))};
    }
    signed_webhook.headers[3] = (clerk_header){CLERK_STR("Content-Type"), CLERK_STR("application/json")};
    return signed_webhook;
}

static int32_t handle(const clerk_client *client, const delivery *given) {
    clerk_error *error = (clerk_error *)&given;
    int32_t status = clerk_webhook_handle(client, given->headers, 4, clerk_str_of(given->body), &error);
    CHECK((error != NULL) == (status != CLERK_OK && status != CLERK_WEBHOOK_IGNORED));
    CHECK(error == NULL || (clerk_error_status(error) == status && clerk_error_message(error).len > 10));
    clerk_error_free(error);
    return status;
}

static clerk_client *client_of_table(table *table, counter *counted) {
    clerk_config *config = sim_config();
    set(config, "webhook_secrets", SECRET);
    CHECK_OK(clerk_config_set_event_callback(config, count_event, counted, NULL));
    CHECK_OK(clerk_config_set_user_store(config, table_execute, table, NULL));
    CHECK_OK(clerk_config_set_user_columns(config, (1 << COLUMNS) - 1));
    return client_of(config);
}

static void webhook_applies_immediately(void) {
    sim_reset();
    sim_put("/users/user_ada", "%s", ADA);
    table table = TABLE_INIT;
    counter counted = {0};
    clerk_client *client = client_of_table(&table, &counted);
    const char *token = sim_token("{\"user\":\"user_ada\",\"sid\":\"sess_ada\"}");
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");
    delivery first = signed_webhook("{\"type\":\"user.updated\",\"id\":\"user_ada\"}");
    sim_admin("PATCH", "/users/user_ada", "{\"first_name\":\"Augusta\",\"banned\":true,\"updated_at\":1800000000000}");
    delivery ban = signed_webhook("{\"type\":\"user.updated\",\"id\":\"user_ada\"}");
    sim_admin("DELETE", "/counts", "");

    /* The user store fails: the webhook is applied when it is sent again. */
    table.failing = CLERK_STORE_REQUEST_KIND_UPDATE;
    table.code = -28;
    table.message = CLERK_STR("disk full");
    clerk_error *error = NULL;
    int32_t status = clerk_webhook_handle(client, ban.headers, 4, clerk_str_of(ban.body), &error);
    CHECK_STATUS(status, CLERK_UNAVAILABLE);
    CHECK_INT(clerk_error_store_code(error), -28);
    CHECK_STR(clerk_error_message(error), "disk full");
    clerk_error_free(error);
    table.failing = 0;
    CHECK_STATUS(handle(client, &ban), CLERK_OK);
    CHECK_CSTR(column(table_of(&table, "user_ada"), CLERK_COLUMN_FIRST_NAME), "Augusta");
    CHECK_STATUS(handle(client, &ban), CLERK_WEBHOOK_IGNORED);
    /* An older one that arrives late. */
    CHECK_STATUS(handle(client, &first), CLERK_WEBHOOK_IGNORED);
    CHECK_CSTR(outcome_of(client, token), "signed_out user-inactive");
    CHECK_INT(sim_count("/users/{id}"), 0);
    CHECK_INT(table.unbalanced, 0);

    delivery gone = signed_webhook("{\"type\":\"user.deleted\",\"id\":\"user_ada\"}");
    CHECK_STATUS(handle(client, &gone), CLERK_OK);
    CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_DELETED], 1);
    CHECK_CSTR(outcome_of(client, token), "signed_out user-not-found");
    clerk_client_free(client);
}

static void invalid_webhook_changes_nothing(void) {
    sim_reset();
    sim_put("/users/user_ada", "%s", ADA);
    table table = TABLE_INIT;
    counter counted = {0};
    clerk_client *client = client_of_table(&table, &counted);
    delivery forged = signed_webhook("{\"type\":\"user.deleted\",\"id\":\"user_ada\",\"bad_signature\":true}");
    CHECK_STATUS(handle(client, &forged), CLERK_E_WEBHOOK);
    delivery late = signed_webhook("{\"type\":\"user.deleted\",\"id\":\"user_ada\",\"timestamp\":1000000000}");
    CHECK_STATUS(handle(client, &late), CLERK_E_WEBHOOK);
    delivery good = signed_webhook("{\"type\":\"user.deleted\",\"id\":\"user_ada\"}");
    for (int i = 0; i < 3; i++) {
        delivery changed = good;
        changed.headers[i].name = CLERK_STR("x");
        CHECK_STATUS(handle(client, &changed), CLERK_E_WEBHOOK);
        changed = good;
        changed.headers[3] = good.headers[i];
        CHECK_STATUS(handle(client, &changed), CLERK_E_WEBHOOK);
        changed = good;
        changed.headers[i].value.len--;
        CHECK_STATUS(handle(client, &changed), CLERK_E_WEBHOOK);
    }
    char body[4096];
    snprintf(body, sizeof body, "%s ", good.body);
    delivery changed = good;
    changed.body = body;
    CHECK_STATUS(handle(client, &changed), CLERK_E_WEBHOOK);
    CHECK_CSTR(outcome_of(client, sim_token("{\"user\":\"user_ada\"}")), "signed_in verified");
    CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_DELETED], 0);
    CHECK_STATUS(handle(client, &good), CLERK_OK);
    clerk_client_free(client);

    /* Without a secret every webhook is rejected. */
    client = sim_client();
    CHECK_STATUS(handle(client, &good), CLERK_E_WEBHOOK);
    clerk_client_free(client);
    clerk_config *config = sim_config();
    clerk_error *error = NULL;
    set(config, "webhook_secrets", "whsec_*");
    CHECK_STATUS(clerk_client_new(config, &client, &error), CLERK_E_CONFIG);
    CHECK_STR(clerk_error_setting(error), "webhook_secrets");
    clerk_error_free(error);
    clerk_config_free(config);
}

static const clerk_store_request *begin_pending(const clerk_client *client, const delivery *given,
                                                clerk_pending **pending) {
    CHECK_STATUS(clerk_webhook_begin(client, given->headers, 4, clerk_str_of(given->body), pending, NULL),
                 CLERK_PENDING);
    CHECK_STATUS(clerk_pending_fetch(*pending), CLERK_E_STATE);
    return clerk_pending_request(*pending);
}

/* Executes the requests of a stepwise webhook. */
static int32_t execute_stepwise(table *table, clerk_pending *pending) {
    const clerk_store_request *request;
    while ((request = clerk_pending_request(pending)) != NULL) {
        if (clerk_pending_next_action(pending) == CLERK_STORE_REQUEST_KIND_FETCH_USER) {
            CHECK_STATUS(clerk_pending_submit(pending, CLERK_STORE_OK), CLERK_E_STATE);
            CHECK_OK(clerk_pending_fetch(pending));
            continue;
        }
        int32_t returned = table_execute(table, request, clerk_pending_response(pending));
        CHECK_STATUS(clerk_pending_submit(pending, returned), CLERK_OK);
    }
    CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_DONE);
    return clerk_pending_finish(pending, NULL, NULL);
}

static int32_t never(void *userdata, const clerk_store_request *request, clerk_store_response *response) {
    (void)userdata, (void)request, (void)response;
    check_failed(__FILE__, __LINE__, __func__, "the user store callback was called");
    return -1;
}

static void stepwise_webhook_updates_row(void) {
    sim_reset();
    sim_put("/users/user_ada", "%s", ADA);
    table table = TABLE_INIT;
    counter counted = {0};
    clerk_config *config = sim_config();
    set(config, "webhook_secrets", SECRET);
    CHECK_OK(clerk_config_set_event_callback(config, count_event, &counted, NULL));
    CHECK_OK(clerk_config_set_user_store(config, never, NULL, NULL));
    clerk_client *client = client_of(config);
    delivery created = signed_webhook("{\"type\":\"user.created\",\"id\":\"user_ada\"}");
    clerk_pending *pending = NULL;

    /* Cancelled, finished too early, or failed: applied when it is sent again. */
    CHECK(begin_pending(client, &created, &pending) != NULL);
    clerk_pending_free(pending);
    CHECK(begin_pending(client, &created, &pending) != NULL);
    CHECK_STATUS(clerk_pending_finish(pending, NULL, NULL), CLERK_UNAVAILABLE);
    table.failing = CLERK_STORE_REQUEST_KIND_CREATE;
    table.code = -28;
    table.message = CLERK_STR("disk full");
    CHECK(begin_pending(client, &created, &pending) != NULL);
    CHECK_STATUS(execute_stepwise(&table, pending), CLERK_UNAVAILABLE);
    table.failing = 0;
    CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_CREATED], 0);
    CHECK(begin_pending(client, &created, &pending) != NULL);
    CHECK_STATUS(execute_stepwise(&table, pending), CLERK_OK);
    CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_CREATED], 1);
    CHECK_CSTR(column(table_of(&table, "user_ada"), CLERK_COLUMN_FIRST_NAME), "Ada");

    /* Applied once; a webhook that needs no row is complete at once. */
    clerk_str body = clerk_str_of(created.body);
    CHECK_STATUS(clerk_webhook_begin(client, created.headers, 4, body, &pending, NULL), CLERK_WEBHOOK_IGNORED);
    CHECK(pending == NULL);
    delivery gone = signed_webhook("{\"type\":\"user.deleted\",\"id\":\"user_ada\"}");
    body = clerk_str_of(gone.body);
    CHECK_STATUS(clerk_webhook_begin(client, gone.headers, 4, body, &pending, NULL), CLERK_OK);
    CHECK(pending == NULL);
    clerk_client_free(client);
}

int main(void) {
    stepwise_webhook_updates_row();
    webhook_applies_immediately();
    invalid_webhook_changes_nothing();
    return 0;
}
