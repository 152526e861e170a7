/* Webhook deliveries: those that are Clerk's count once, all others change nothing. */
#include "table.h"

static const char SECRET[] = "whsec_Y2xlcmstc2ltLXdlYmhvb2stc2VjcmV0LTAwMDE=";
static const char ADA[] = "{\"username\":\"ada\",\"first_name\":\"Ada\",\"email_addresses\":[\"ada@example.com\"],"
                          "\"primary_email_address_id\":\"idn_0001\"}";

typedef struct {
    const char *body;
    clerk_header headers[5];
} delivery;

static delivery made(const char *spec) {
    const char *answer = sim_admin("POST", "/webhook", spec);
    delivery made = {.body = json_text(answer, "body")};
    static const char *const names[] = {"svix-id", "svix-timestamp", "svix-signature"};
    for (int i = 0; i < 3; i++) {
        made.headers[i] = (clerk_header){clerk_str_of(names[i]), clerk_str_of(json_text(answer, names[i]))};
    }
    made.headers[3] = (clerk_header){CLERK_STR("Content-Type"), CLERK_STR("application/json")};
    return made;
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
    clerk_config_set_event_callback(config, count_event, counted, NULL);
    clerk_config_set_user_store(config, table_answer, table, NULL);
    return client_of(config);
}

static void what_clerk_says_counts_at_once(void) {
    sim_reset();
    sim_put("/users/user_ada", "%s", ADA);
    table table = TABLE_INIT;
    counter counted = {0};
    clerk_client *client = client_of_table(&table, &counted);
    const char *token = sim_token("{\"user\":\"user_ada\",\"sid\":\"sess_ada\"}");
    CHECK_WORD(ask(client, token), "in verified");
    delivery first = made("{\"type\":\"user.updated\",\"id\":\"user_ada\"}");
    sim_admin("PATCH", "/users/user_ada", "{\"first_name\":\"Augusta\",\"banned\":true,\"updated_at\":1800000000000}");
    delivery ban = made("{\"type\":\"user.updated\",\"id\":\"user_ada\"}");
    sim_admin("DELETE", "/counts", "");

    /* The table fails: the delivery has to come again, and then it counts. */
    table.failing = CLERK_STORE_REQUEST_KIND_UPDATE;
    table.code = -28;
    table.words = CLERK_STR("disk full");
    clerk_error *error = NULL;
    int32_t status = clerk_webhook_handle(client, ban.headers, 4, clerk_str_of(ban.body), &error);
    CHECK_STATUS(status, CLERK_UNAVAILABLE);
    CHECK_INT(clerk_error_store_code(error), -28);
    CHECK_TEXT(clerk_error_message(error), "disk full");
    clerk_error_free(error);
    table.failing = 0;
    CHECK_STATUS(handle(client, &ban), CLERK_OK);
    CHECK_WORD(column(table_of(&table, "user_ada"), CLERK_COLUMN_FIRST_NAME), "Augusta");
    CHECK_STATUS(handle(client, &ban), CLERK_WEBHOOK_IGNORED);
    /* An older one that comes late. */
    CHECK_STATUS(handle(client, &first), CLERK_WEBHOOK_IGNORED);
    CHECK_WORD(ask(client, token), "out user-inactive");
    CHECK_INT(sim_count("/users/{id}"), 0);
    CHECK_INT(table.disorder, 0);

    delivery gone = made("{\"type\":\"user.deleted\",\"id\":\"user_ada\"}");
    CHECK_STATUS(handle(client, &gone), CLERK_OK);
    CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_DELETED], 1);
    CHECK_WORD(ask(client, token), "out user-not-found");
    clerk_client_free(client);
}

static void what_is_not_clerks_changes_nothing(void) {
    sim_reset();
    sim_put("/users/user_ada", "%s", ADA);
    table table = TABLE_INIT;
    counter counted = {0};
    clerk_client *client = client_of_table(&table, &counted);
    delivery forged = made("{\"type\":\"user.deleted\",\"id\":\"user_ada\",\"bad_signature\":true}");
    CHECK_STATUS(handle(client, &forged), CLERK_E_WEBHOOK);
    delivery late = made("{\"type\":\"user.deleted\",\"id\":\"user_ada\",\"timestamp\":1000000000}");
    CHECK_STATUS(handle(client, &late), CLERK_E_WEBHOOK);
    delivery good = made("{\"type\":\"user.deleted\",\"id\":\"user_ada\"}");
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
    CHECK_WORD(ask(client, sim_token("{\"user\":\"user_ada\"}")), "in verified");
    CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_DELETED], 0);
    CHECK_STATUS(handle(client, &good), CLERK_OK);
    clerk_client_free(client);

    /* Without a secret nothing is believed. */
    client = sim_client();
    CHECK_STATUS(handle(client, &good), CLERK_E_WEBHOOK);
    clerk_client_free(client);
    clerk_config *config = sim_config();
    clerk_error *error = NULL;
    set(config, "webhook_secrets", "whsec_*");
    CHECK_STATUS(clerk_client_new(config, &client, &error), CLERK_E_CONFIG);
    CHECK_TEXT(clerk_error_setting(error), "webhook_secrets");
    clerk_error_free(error);
    clerk_config_free(config);
}

static const clerk_store_request *begun(const clerk_client *client, const delivery *given, clerk_pending **pending) {
    CHECK_STATUS(clerk_webhook_begin(client, given->headers, 4, clerk_str_of(given->body), pending, NULL), CLERK_PENDING);
    CHECK_STATUS(clerk_pending_fetch(*pending), CLERK_E_STATE);
    return clerk_pending_request(*pending);
}

/* A host that asks its table itself: the hook is never called. */
static int32_t by_hand(table *table, clerk_pending *pending) {
    const clerk_store_request *step;
    while ((step = clerk_pending_request(pending)) != NULL) {
        int32_t returned = table_answer(table, step, clerk_pending_response(pending));
        CHECK_STATUS(clerk_pending_submit(pending, returned), CLERK_OK);
    }
    CHECK_INT(clerk_pending_next_action(pending), CLERK_STORE_REQUEST_KIND_DONE);
    return clerk_pending_finish(pending, NULL, NULL);
}

static int32_t never(void *userdata, const clerk_store_request *step, clerk_store_response *reply) {
    (void)userdata, (void)step, (void)reply;
    check_failed(__FILE__, __LINE__, __func__, "the host drives the steps itself");
    return -1;
}

static void a_host_may_ask_its_table_itself(void) {
    sim_reset();
    sim_put("/users/user_ada", "%s", ADA);
    table table = TABLE_INIT;
    counter counted = {0};
    clerk_config *config = sim_config();
    set(config, "webhook_secrets", SECRET);
    clerk_config_set_event_callback(config, count_event, &counted, NULL);
    clerk_config_set_user_store(config, never, NULL, NULL);
    clerk_client *client = client_of(config);
    delivery created = made("{\"type\":\"user.created\",\"id\":\"user_ada\"}");
    clerk_pending *pending = NULL;

    /* Given up, cut short, or failed: it counts only when it comes again. */
    CHECK(begun(client, &created, &pending) != NULL);
    clerk_pending_free(pending);
    CHECK(begun(client, &created, &pending) != NULL);
    CHECK_STATUS(clerk_pending_finish(pending, NULL, NULL), CLERK_UNAVAILABLE);
    table.failing = CLERK_STORE_REQUEST_KIND_CREATE;
    table.code = -28;
    table.words = CLERK_STR("disk full");
    CHECK(begun(client, &created, &pending) != NULL);
    CHECK_STATUS(by_hand(&table, pending), CLERK_UNAVAILABLE);
    table.failing = 0;
    CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_CREATED], 0);
    CHECK(begun(client, &created, &pending) != NULL);
    CHECK_STATUS(by_hand(&table, pending), CLERK_OK);
    CHECK_INT(counted.events[CLERK_EVENT_KIND_USER_CREATED], 1);
    CHECK_WORD(column(table_of(&table, "user_ada"), CLERK_COLUMN_FIRST_NAME), "Ada");

    /* Once is enough, and what needs no row is over at once. */
    clerk_str body = clerk_str_of(created.body);
    CHECK_STATUS(clerk_webhook_begin(client, created.headers, 4, body, &pending, NULL), CLERK_WEBHOOK_IGNORED);
    CHECK(pending == NULL);
    delivery gone = made("{\"type\":\"user.deleted\",\"id\":\"user_ada\"}");
    body = clerk_str_of(gone.body);
    CHECK_STATUS(clerk_webhook_begin(client, gone.headers, 4, body, &pending, NULL), CLERK_OK);
    CHECK(pending == NULL);
    clerk_client_free(client);
}

int main(void) {
    a_host_may_ask_its_table_itself();
    what_clerk_says_counts_at_once();
    what_is_not_clerks_changes_nothing();
    return 0;
}
