/* `*error` is set if and only if a call fails: for every function that takes one, for each invalid value of each
 * argument, outside and inside callbacks, and in a child process. The calls are generated from the header. */
#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

static clerk_config *config;
static clerk_client *client, *parents, *made;
static clerk_pending *pending;
static clerk_result *result;
static clerk_explanation *explanation;
static clerk_error *error;

static clerk_str string, null_string, huge_string, not_utf8, empty, with_nul;
static clerk_header lines[1], odd_lines[1];
static clerk_request request, no_size, unknown_flags, no_lines, odd_line;
static struct {
    clerk_request request;
    uint64_t more;
} newer;
#define unknown_size (*(clerk_request *)&larger)
#define unknown_field newer.request
static uint32_t larger[20] = {4097};

/* Calls that failed, by status; and those that did not. */
static int failures[1000], successes;

static void prepare(void) {
    string = CLERK_STR("/nowhere/x");
    null_string = (clerk_str){NULL, 1};
    huge_string = (clerk_str){"x", SIZE_MAX};
    not_utf8 = CLERK_STR("\xff");
    empty = (clerk_str){NULL, 0};
    with_nul = (clerk_str){"a\0b", 3};
    lines[0] = (clerk_header){CLERK_STR("accept"), CLERK_STR("text/html")};
    odd_lines[0] = (clerk_header){null_string, huge_string};
    request = (clerk_request)CLERK_REQUEST_INIT;
    no_size = unknown_flags = no_lines = odd_line = newer.request = request;
    no_size.struct_size = 0;
    newer.request.struct_size = sizeof newer;
    newer.more = 1;
    unknown_flags.flags = 1;
    no_lines.header_count = 1;
    odd_line.headers = odd_lines;
    odd_line.header_count = 1;
}

/* An authentication that waits for a row; NULL where there can be none. */
static clerk_pending *begin(void) {
    static char line[4096];
    if (line[0] == 0) snprintf(line, sizeof line, "Bearer %s", sim_token("{\"user\":\"user_1\"}"));
    clerk_request with_token = bearer(line);
    clerk_result *none = NULL;
    clerk_pending *begun = NULL;
    int32_t status = clerk_authenticate_begin(client, &with_token, &none, &begun, NULL);
    CHECK((status == CLERK_PENDING) == (begun != NULL));
    clerk_result_free(none);
    return begun;
}

/* An old error must not stay in `error`. */
static void before(void) {
    error = (clerk_error *)&failures;
}

static void after(const char *call, int32_t status) {
    check_error(__FILE__, __LINE__, call, &error, status);
    if (status < 0) failures[-status]++;
    else if (status == CLERK_UNAVAILABLE) failures[0]++;
    else successes++;
    clerk_result_free(result);
    clerk_pending_free(pending);
    clerk_client_free(made);
    clerk_explanation_free(explanation);
    explanation = NULL;
    result = NULL;
    pending = NULL;
    made = NULL;
}

#define CALL(call) (before(), after(#call, (call)))
#include "error_calls.h"

static int32_t no_rows(void *userdata, const clerk_store_request *ignored, clerk_store_response *response) {
    (void)userdata, (void)ignored, (void)response;
    return -1;
}

/* Calls every function in the first event. */
static void on_event(void *userdata, const clerk_event *event) {
    int *calls = userdata;
    (void)event;
    if ((*calls)++ == 0) call_every_function();
}

static void every_function_outside_callbacks(void) {
    memset(failures, 0, sizeof failures);
    call_every_function();
    static const int expected[] = {CLERK_E_NULL, CLERK_E_ARGUMENT, CLERK_E_UTF8, CLERK_E_STRUCT_SIZE, CLERK_E_CONFIG,
                                   CLERK_E_WEBHOOK};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) CHECK(failures[-expected[i]] > 0);
    CHECK(failures[0] > 0 && successes > 0 && failures[-CLERK_E_PANIC] == 0);
}

static void every_function_in_a_callback(void) {
    memset(failures, 0, sizeof failures);
    CHECK_CSTR(outcome_of(client, "x"), "signed_out token-invalid");
    CHECK(failures[-CLERK_E_REENTRANT] > 20 && failures[-CLERK_E_STRUCT_SIZE] == 0);
}

/* The functions that need a request to Clerk. */
static void functions_in_a_child_process(void) {
    parents = client;
    client = sim_client();
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", sim_token("{\"user\":\"user_1\"}"));
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        memset(failures, 0, sizeof failures);
        request = bearer(line);
        string = clerk_str_of(line + strlen("Bearer "));
        CALL(clerk_authenticate(client, &request, &result, &error));
        CALL(clerk_authenticate_begin(client, &request, &result, &pending, &error));
        CALL(clerk_verify_token(client, string, &result, &error));
        CHECK_INT(failures[-CLERK_E_FORKED], 3);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_INT(status, 0);
    clerk_client_free(client);
    client = parents;
}

int main(void) {
    sim_reset();
    sim_put("/users/user_1", "{\"username\":\"ada\"}");
    prepare();
    int calls = 1;
    config = sim_config();
    CHECK_OK(clerk_config_set_user_store(config, no_rows, NULL, NULL));
    CHECK_OK(clerk_config_set_event_callback(config, on_event, &calls, NULL));
    CHECK_OK(clerk_client_new(config, &client, NULL));
    clerk_config_free(config);
    config = clerk_config_new();
    every_function_outside_callbacks();
    calls = 0;
    every_function_in_a_callback();
    functions_in_a_child_process();
    clerk_client_free(client);
    clerk_config_free(config);
    return 0;
}
