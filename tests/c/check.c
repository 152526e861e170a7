#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

void check_failed(const char *file, int line, const char *function, const char *what) {
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, function, what);
    fflush(stderr);
    _exit(1);
}

void check_int(const char *file, int line, const char *function, const char *what, int64_t got, int64_t want) {
    if (got != want) {
        char text[512];
        snprintf(text, sizeof text, "%s is %lld, not %lld", what, (long long)got, (long long)want);
        check_failed(file, line, function, text);
    }
}

void check_status(const char *file, int line, const char *function, const char *what, int32_t got, int32_t want) {
    if (got != want) {
        char text[512];
        const char *got_name = clerk_status_name(got), *want_name = clerk_status_name(want);
        snprintf(text, sizeof text, "%s is %s (%d), not %s", what, got_name, got, want_name);
        check_failed(file, line, function, text);
    }
}

void check_error(const char *file, int line, const char *function, clerk_error **error, int32_t status) {
    bool failed = status < 0 || status == CLERK_UNAVAILABLE;
    if ((*error != NULL) != failed) check_failed(file, line, function, failed ? "no error" : "an error on success");
    if (failed) {
        check_status(file, line, function, "clerk_error_status", clerk_error_status(*error), status);
        if (clerk_error_message(*error).len <= 10) check_failed(file, line, function, "an error without a message");
    }
    clerk_error_free(*error);
    *error = NULL;
}

void check_cstr(const char *file, int line, const char *function, const char *what, const char *got,
                const char *want) {
    if (got == want || (got != NULL && want != NULL && strcmp(got, want) == 0)) return;
    char text[2048];
    snprintf(text, sizeof text, "%s is \"%s\", not \"%s\"", what, got ? got : "(none)", want ? want : "(none)");
    check_failed(file, line, function, text);
}

void check_str(const char *file, int line, const char *function, const char *what, clerk_str got, const char *want) {
    const char *wrong = NULL;
    if (got.data == NULL && got.len != 0) wrong = "a length without data";
    if (got.data != NULL && got.data[got.len] != 0) wrong = "a string without a NUL at its end";
    if (got.data != NULL && wrong == NULL && strlen(got.data) != got.len) wrong = "a string with a NUL inside";
    if (wrong != NULL) check_failed(file, line, function, wrong);
    check_cstr(file, line, function, what, got.data, want);
}

void check_outcome(int32_t status, const clerk_result *result) {
    if (status < CLERK_OK || status > CLERK_UNAVAILABLE) {
        CHECK(result == NULL);
        return;
    }
    bool in = status == CLERK_OK;
    CHECK(result != NULL);
    CHECK_STATUS(clerk_result_status(result), status);
    CHECK((clerk_result_reason(result) == 0) == in);
    CHECK((clerk_result_reason_name(result)[0] == 0) == in);
    CHECK((clerk_result_http_status(result) == 200) == in);
    CHECK((clerk_result_source(result) != 0) == in);
    CHECK((clerk_result_token_kind(result) != 0) == in);
    CHECK((clerk_result_get(result, CLERK_ATTRIBUTE_SUBJECT).data != NULL) == in);
    CHECK(in || clerk_result_user_id(result).data == NULL);
    /* The reason if the client caused it, else only the category. */
    const char *public_reason = clerk_result_public_reason(result);
    bool is_servers = clerk_result_http_status(result) >= 500;
    const char *category = clerk_category_name(clerk_reason_category(clerk_result_reason(result)));
    CHECK_CSTR(public_reason, is_servers ? category : clerk_result_reason_name(result));
    CHECK(!is_servers || strcmp(public_reason, "misconfigured") == 0 || strcmp(public_reason, "unavailable") == 0);
}

/* --- strings that live until the end ------------------------------------------------------------------------------ */

struct retained {
    struct retained *next;
    char text[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct retained *all;

static char *retain_string(const char *text, size_t len) {
    struct retained *one = malloc(sizeof *one + len + 1);
    CHECK(one != NULL);
    memcpy(one->text, text, len);
    one->text[len] = 0;
    pthread_mutex_lock(&lock);
    one->next = all;
    all = one;
    pthread_mutex_unlock(&lock);
    return one->text;
}

static const char *format_string(const char *format, va_list arguments) {
    static _Thread_local char text[65536];
    int len = vsnprintf(text, sizeof text, format, arguments);
    CHECK(len >= 0 && (size_t)len < sizeof text);
    return text;
}

const char *json_string(const char *json, const char *name) {
    char member[64];
    snprintf(member, sizeof member, "\"%s\":\"", name);
    const char *at = strstr(json, member);
    CHECK(at != NULL);
    at += strlen(member);
    char *text = retain_string(at, strlen(at));
    char *to = text;
    for (; *at != '"'; at++) {
        CHECK(*at != 0);
        bool escaped = *at == '\\';
        at += escaped;
        *to++ = escaped && *at == 'n' ? '\n' : *at;
    }
    *to = 0;
    return text;
}

/* --- fake Clerk API ----------------------------------------------------------------------------------------------- */

/* Reads the ready file; run.sh sets its path. */
static const char *ready(const char *name) {
    static _Thread_local char text[2048];
    if (text[0] == 0) {
        const char *path = getenv("CLERK_SIM_READY");
        FILE *file = path ? fopen(path, "r") : NULL;
        if (file == NULL) check_failed(__FILE__, __LINE__, __func__, "CLERK_SIM_READY names no file; use run.sh");
        size_t len = fread(text, 1, sizeof text - 1, file);
        text[len] = 0;
        fclose(file);
    }
    return json_string(text, name);
}

const char *sim_url(void) {
    return ready("url");
}

const char *sim_https_url(void) {
    return ready("https_url");
}

const char *sim_ca(void) {
    return json_string(sim_admin("GET", "/ca", ""), "pem");
}

const char *sim_admin(const char *method, const char *path, const char *body) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)atoi(strrchr(ready("admin_url"), ':') + 1));
    int to = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(to >= 0 && connect(to, (struct sockaddr *)&address, sizeof address) == 0);
    char head[1024];
    const char *lines = "%s %s HTTP/1.1\r\nHost: sim\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n";
    int head_len = snprintf(head, sizeof head, lines, method, path, strlen(body));
    CHECK(head_len > 0 && (size_t)head_len < sizeof head);
    CHECK(write(to, head, (size_t)head_len) == head_len);
    CHECK(write(to, body, strlen(body)) == (ssize_t)strlen(body));
    static _Thread_local char answer[1 << 18];
    size_t len = 0;
    for (ssize_t got; (got = read(to, answer + len, sizeof answer - 1 - len)) > 0;) len += (size_t)got;
    close(to);
    answer[len] = 0;
    const char *start = strstr(answer, "\r\n\r\n");
    if (strncmp(answer, "HTTP/1.1 200", 12) != 0 || start == NULL) {
        fprintf(stderr, "%s %s %s\n", method, path, body);
        check_failed(__FILE__, __LINE__, __func__, answer);
    }
    return retain_string(start + 4, strlen(start + 4));
}

int64_t sim_count(const char *pattern) {
    char name[128];
    snprintf(name, sizeof name, "\"%s\":", pattern);
    const char *at = strstr(sim_admin("GET", "/counts", ""), name);
    return at ? atoll(at + strlen(name)) : 0;
}

void sim_put(const char *path, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *body = format_string(format, arguments);
    va_end(arguments);
    sim_admin("PUT", path, body);
}

void sim_down(bool down) {
    sim_put("/down", "{\"down\":%s}", down ? "true" : "false");
}

void sim_reset(void) {
    sim_down(false);
    sim_admin("DELETE", "/faults", "");
    sim_put("/state", "{\"jwks\":[\"k1\"],\"signing_key\":\"k1\",\"secret_keys\":[\"*\"]}");
    sim_admin("DELETE", "/counts", "");
}

const char *sim_token(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *spec = format_string(format, arguments);
    va_end(arguments);
    return json_string(sim_admin("POST", "/mint", spec), "token");
}

/* --- clients and results ------------------------------------------------------------------------------------------ */

void set(clerk_config *config, const char *name, const char *value) {
    clerk_error *error = NULL;
    if (clerk_config_set(config, clerk_str_of(name), clerk_str_of(value), &error) != CLERK_OK) {
        check_failed(__FILE__, __LINE__, __func__, clerk_error_message(error).data);
    }
}

clerk_config *sim_config(void) {
    clerk_config *config = clerk_config_new();
    set(config, "api_url", sim_url());
    set(config, "secret_key", "sk_test_simulated");
    /* Each request sees the row as it is. */
    set(config, "row_check_ttl_s", "0");
    return config;
}

clerk_client *client_of(clerk_config *config) {
    clerk_client *client = NULL;
    clerk_error *error = NULL;
    if (clerk_client_new(config, &client, &error) != CLERK_OK) {
        check_failed(__FILE__, __LINE__, __func__, clerk_error_message(error).data);
    }
    CHECK(client != NULL && error == NULL);
    clerk_config_free(config);
    return client;
}

clerk_client *sim_client(void) {
    return client_of(sim_config());
}

clerk_request bearer(const char *line) {
    clerk_request request = CLERK_REQUEST_INIT;
    request.authorization = clerk_str_of(line);
    return request;
}

const char *outcome_and_free(int32_t status, clerk_result **result) {
    static _Thread_local char outcome[128];
    check_outcome(status, *result);
    const char *reason = clerk_result_reason_name(*result);
    switch (status) {
    case CLERK_OK:
        snprintf(outcome, sizeof outcome, "signed_in %s", clerk_source_name(clerk_result_source(*result)));
        break;
    case CLERK_SIGNED_OUT:
        snprintf(outcome, sizeof outcome, "signed_out %s", reason);
        break;
    case CLERK_NO_CREDENTIALS:
        snprintf(outcome, sizeof outcome, "no_credentials %s", reason);
        break;
    case CLERK_UNAVAILABLE:
        snprintf(outcome, sizeof outcome, "unavailable %s", reason);
        break;
    default:
        snprintf(outcome, sizeof outcome, "%s", clerk_status_name(status));
    }
    clerk_result_free(*result);
    *result = NULL;
    return outcome;
}

static const char *bearer_line(const char *token) {
    static _Thread_local char line[20000];
    if (token == NULL) return NULL;
    CHECK(strlen(token) < sizeof line - 8);
    snprintf(line, sizeof line, "Bearer %s", token);
    return line;
}

const char *outcome_of(const clerk_client *client, const char *token) {
    clerk_request request = bearer(bearer_line(token));
    clerk_result *result = (clerk_result *)&request;
    clerk_error *error = (clerk_error *)&request;
    int32_t status = clerk_authenticate(client, &request, &result, &error);
    CHECK_ERROR(&error, status);
    return outcome_and_free(status, &result);
}

const char *cached_outcome_of(const clerk_client *client, const char *token) {
    clerk_request request = bearer(bearer_line(token));
    clerk_result *result = (clerk_result *)&request;
    int32_t status = clerk_authenticate_cached(client, &request, &result);
    return outcome_and_free(status, &result);
}

clerk_result *sign_in(const clerk_client *client, const char *token) {
    clerk_request request = bearer(bearer_line(token));
    clerk_result *result = NULL;
    CHECK_STATUS(clerk_authenticate(client, &request, &result, NULL), CLERK_OK);
    check_outcome(CLERK_OK, result);
    return result;
}

void count_event(void *userdata, const clerk_event *event) {
    counter *counted = userdata;
    int32_t kind = clerk_event_get_kind(event);
    CHECK(kind > 0 && kind < 32);
    atomic_fetch_add(&counted->events[kind], 1);
}

void count_destroyed(void *userdata) {
    counter *counted = userdata;
    atomic_fetch_add(&counted->destroyed, 1);
}
