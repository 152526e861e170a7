/* Without a log callback, warnings are written to standard error; CLERK_LOG selects the level. */
#include "check.h"

#include <fcntl.h>
#include <unistd.h>

static int captured[2], saved;
static char lines[65536];

static void capture(void) {
    fflush(stderr);
    saved = dup(STDERR_FILENO);
    CHECK(saved >= 0 && pipe(captured) == 0);
    CHECK(fcntl(captured[0], F_SETFL, O_NONBLOCK) == 0);
    CHECK(dup2(captured[1], STDERR_FILENO) == STDERR_FILENO);
}

static const char *captured_lines(void) {
    CHECK(dup2(saved, STDERR_FILENO) == STDERR_FILENO);
    close(saved);
    close(captured[1]);
    size_t length = 0;
    for (ssize_t got; (got = read(captured[0], lines + length, sizeof lines - 1 - length)) > 0;) length += (size_t)got;
    lines[length] = '\0';
    close(captured[0]);
    return lines;
}

static int count(const char *text, const char *part) {
    int found = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) found++;
    return found;
}

static clerk_client *new_client(void) {
    clerk_config *config = sim_config();
    clerk_client *client = NULL;
    CHECK_OK(clerk_client_new(config, &client, NULL));
    clerk_config_free(config);
    return client;
}

/* What a client writes while it is created and rejects three expired tokens, or cannot reach Clerk for their keys. */
static const char *lines_of(const char *level, bool is_down) {
    level == NULL ? unsetenv("CLERK_LOG") : setenv("CLERK_LOG", level, 1);
    sim_reset();
    const char *tokens[3];
    for (int i = 0; i < 3; i++) tokens[i] = sim_token("{\"user\":\"user_%d\",\"exp_in\":-600,\"iat_in\":-660}", i);
    capture();
    sim_down(is_down);
    clerk_client *client = new_client();
    for (int i = 0; i < 3; i++) {
        clerk_result *result = NULL;
        char header[8192];
        snprintf(header, sizeof header, "Bearer %s", tokens[i]);
        clerk_header headers[] = {{CLERK_STR("Authorization"), {header, strlen(header)}}};
        clerk_request request = CLERK_REQUEST_INIT;
        request.headers = headers;
        request.header_count = 1;
        CHECK(clerk_authenticate(client, &request, &result, NULL) != CLERK_OK);
        clerk_result_free(result);
    }
    clerk_client_free(client);
    const char *written = captured_lines();
    unsetenv("CLERK_LOG");
    for (int i = 0; i < 3; i++) CHECK(strstr(written, tokens[i]) == NULL);
    CHECK(strstr(written, "sk_test") == NULL);
    return written;
}

static void warnings_are_written_once(void) {
    const char *written = lines_of(NULL, true);
    CHECK_INT(count(written, "clerk-auth: warn: authorized_parties is empty"), 1);
    CHECK_INT(count(written, "clerk-auth: warn: request to Clerk for the JWK set failed"), 1);
    CHECK_INT(count(written, "\n"), 2);
}

static void variable_selects_the_level(void) {
    CHECK_INT(count(lines_of("off", true), "\n"), 0);
    CHECK_INT(count(lines_of("error", true), "\n"), 0);
    CHECK_INT(count(lines_of("warn", false), "\n"), 1);
    CHECK_INT(count(lines_of("debug", false), "clerk-auth: debug: rejected: token-expired"), 3);
    CHECK_INT(count(lines_of("debug", true), "clerk-auth: debug: unavailable: "), 3);
}

static void unknown_level_is_refused(void) {
    setenv("CLERK_LOG", "loud", 1);
    clerk_config *config = sim_config();
    clerk_client *client = NULL;
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_client_new(config, &client, &error), CLERK_E_CONFIG);
    CHECK(client == NULL);
    CHECK_STR(clerk_error_setting(error), "CLERK_LOG");
    clerk_error_free(error);
    clerk_config_free(config);
    unsetenv("CLERK_LOG");
}

static void on_log(void *userdata, int32_t level, clerk_str line) {
    (void)level, (void)line;
    ++*(int *)userdata;
}

static void callback_receives_the_lines_instead(void) {
    int received = 0;
    clerk_config *config = sim_config();
    clerk_client *client = NULL;
    setenv("CLERK_LOG", "debug", 1);
    CHECK_OK(clerk_config_set_log_callback(config, CLERK_LOG_LEVEL_WARN, on_log, &received, NULL));
    capture();
    CHECK_OK(clerk_client_new(config, &client, NULL));
    clerk_client_free(client);
    CHECK_INT(count(captured_lines(), "\n"), 0);
    CHECK_INT(received, 1);
    clerk_config_free(config);
    unsetenv("CLERK_LOG");
}

static void closed_standard_error_is_no_failure(void) {
    capture();
    close(STDERR_FILENO);
    clerk_client *client = new_client();
    (void)captured_lines();
    clerk_client_free(client);
}

int main(void) {
    warnings_are_written_once();
    variable_selects_the_level();
    unknown_level_is_refused();
    callback_receives_the_lines_instead();
    closed_standard_error_is_no_failure();
    return 0;
}
