/* demo - runs commands with a client and prints the results; examples/demo.sh sends the commands.
 *
 *     demo FILE      the SQLite file for the table of accounts
 *
 * It reads one command per line from standard input, and prints a line with a dot after each:
 *
 *     client NAME=VALUE...      a new client with these settings; `env` reads the environment
 *     header NAME: VALUE        a header line of the next request
 *     authenticate              authenticates the request and prints a report
 *     webhook BODY              handles the header lines and the body as a webhook
 *     invalidate USER           removes a user from the caches
 *     sent TEXT                 adds the requests that Clerk received to the report
 *     expect NAME TEXT          fails unless the report's line of this name is TEXT
 *     stats                     the counters of the client
 *
 * Exits with 0 if every command and every expectation succeeded.
 */
#include "accounts.h"

#include <clerk_auth.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MAX_HEADERS = 8, MAX_LINE = 32 * 1024, MAX_NOTE = 1024 };

/* The lines of a report. */
enum { OUTCOME, ERROR, ACCOUNTS, EVENTS, SENT, NOTES };
static const char *const note_names[NOTES] = { "outcome", "error", "accounts", "events", "sent" };

typedef struct {
    const char *path;
    clerk_client *client;
    accounts *table; /* owned by the client */
    char lines[MAX_HEADERS][MAX_LINE];
    clerk_header headers[MAX_HEADERS]; /* into `lines` */
    size_t header_count;
    char notes[NOTES][MAX_NOTE];
} demo;

/* --- Report ------------------------------------------------------------------------------------------------------- */

/* Appends to a note, after a separator if it is not empty; truncates. */
static void note(char text[MAX_NOTE], const char *separator, const char *format, ...)
{
    size_t length = strlen(text);
    va_list arguments;

    if (length > 0)
        length += (size_t)snprintf(text + length, MAX_NOTE - length, "%s", separator);
    if (length >= MAX_NOTE)
        return;
    va_start(arguments, format);
    vsnprintf(text + length, MAX_NOTE - length, format, arguments);
    va_end(arguments);
}

static void print_note(const demo *d, int which)
{
    const char *text = d->notes[which];

    printf("   %-10s", note_names[which]);
    for (const char *end; (end = strstr(text, "; ")) != NULL; text = end + 2) /* one account per line */
        printf("%.*s\n%13s", (int)(end - text), text, "");
    puts(text);
}

static bool is_token_char(char c)
{
    return c != '\0' && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.", c) != NULL;
}

/* Prints a header line with long words truncated: a token is a credential. */
static void print_header(const clerk_header *header)
{
    enum { LONG = 24, SHOWN = 12 };
    const char *text = header->value.data;

    printf("   %-10s%.*s: ", "request", (int)header->name.len, header->name.data);
    while (*text != '\0') {
        int length = 0;

        while (is_token_char(text[length]))
            length++;
        printf("%.*s%s", length > LONG ? SHOWN : length, text, length > LONG ? "..." : "");
        text += length;
        if (*text != '\0')
            putchar(*text++);
    }
    putchar('\n');
}

/* --- Callbacks --------------------------------------------------------------------------------------------------- */

/* A clerk_event_fn. It runs on the thread of the call, and this program has one thread: no lock is needed. */
static void on_event(void *userdata, const clerk_event *event)
{
    demo *d = userdata;
    int32_t kind = clerk_event_get_kind(event);

    if (kind == CLERK_EVENT_KIND_AUTH_SUCCESS)
        note(d->notes[EVENTS], ", ", "%s(%s)", clerk_event_kind_name(kind),
             clerk_source_name(clerk_event_source(event)));
    else if (kind == CLERK_EVENT_KIND_AUTH_FAILED)
        note(d->notes[EVENTS], ", ", "%s(%s)", clerk_event_kind_name(kind),
             clerk_reason_name(clerk_event_reason(event)));
    else
        note(d->notes[EVENTS], ", ", "%s", clerk_event_kind_name(kind));
}

/* --- Notes ------------------------------------------------------------------------------------------------------- */

static void clear_report(demo *d)
{
    for (int i = 0; i < NOTES; i++)
        d->notes[i][0] = '\0';
}

/* Notes every row of the table. */
static bool note_accounts(demo *d)
{
    static const char sql[] = "SELECT id || ': ' || login || ', ' || trim(given_name || ' ' || family_name)"
                              " || ', ' || coalesce(email, 'no e-mail address')"
                              " || ', ' || coalesce(clerk_id, 'not linked')"
                              " || CASE WHEN is_active THEN '' ELSE ', inactive' END FROM account ORDER BY id";
    sqlite3_stmt *rows = NULL;
    int code = sqlite3_prepare_v2(d->table->db, sql, -1, &rows, NULL);

    if (code == SQLITE_OK)
        while ((code = sqlite3_step(rows)) == SQLITE_ROW)
            note(d->notes[ACCOUNTS], "; ", "%s", (const char *)sqlite3_column_text(rows, 0));
    if (code != SQLITE_DONE)
        note(d->notes[ACCOUNTS], "; ", "%s", sqlite3_errmsg(d->table->db));
    else if (d->notes[ACCOUNTS][0] == '\0')
        note(d->notes[ACCOUNTS], "", "none");
    sqlite3_finalize(rows);
    return code == SQLITE_DONE;
}

static void note_outcome(demo *d, int32_t status, const clerk_result *result)
{
    char *text = d->notes[OUTCOME];

    note(text, "", "%s", clerk_status_name(status));
    if (result == NULL)
        return; /* a webhook, or a failed call */
    if (status == CLERK_OK)
        note(text, ": ", "%s is account %s, source=%s", clerk_result_user_id(result).data,
             clerk_result_user_key(result).data, clerk_source_name(clerk_result_source(result)));
    else
        note(text, ": ", "%s, HTTP %" PRId32, clerk_result_reason_name(result), clerk_result_http_status(result));
}

/* Notes and frees an error. */
static void note_error(demo *d, clerk_error *error)
{
    if (error != NULL)
        note(d->notes[ERROR], "", "%s", clerk_error_message(error).data);
    clerk_error_free(error);
}

static double now_ms(void)
{
    struct timespec now;

    if (timespec_get(&now, TIME_UTC) != TIME_UTC)
        return 0;
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static bool print_report(demo *d, double took_ms)
{
    bool is_complete = note_accounts(d);

    if (d->notes[EVENTS][0] == '\0')
        note(d->notes[EVENTS], "", "none");
    for (int i = OUTCOME; i <= EVENTS; i++)
        if (d->notes[i][0] != '\0')
            print_note(d, i);
    printf("   %-10s%.2f ms\n", "took", took_ms);
    return is_complete;
}

/* --- Commands: each takes the rest of its line and returns whether it succeeded ---------------------------------- */

static bool report_error(const char *about, clerk_error *error)
{
    printf("   %s: %s\n", about, error != NULL ? clerk_error_message(error).data : "failed");
    clerk_error_free(error);
    return false;
}

static bool set(clerk_config *config, const char *pair)
{
    clerk_error *error = NULL;
    size_t length = strcspn(pair, "=");
    clerk_str name = { pair, length };

    if (strcmp(pair, "env") == 0)
        return clerk_config_from_env(config, &error) == CLERK_OK || report_error("client", error);
    if (pair[length] != '=')
        return report_error(pair, NULL);
    return clerk_config_set(config, name, clerk_str_of(pair + length + 1), &error) == CLERK_OK
           || report_error("client", error);
}

static bool configure(demo *d, clerk_config *config, char *settings)
{
    for (char *pair = strtok(settings, " "); pair != NULL; pair = strtok(NULL, " "))
        if (!set(config, pair))
            return false;
    d->table = accounts_open(d->path);
    return d->table != NULL && accounts_attach(d->table, config) == CLERK_OK
           && clerk_config_set_event_callback(config, on_event, d, NULL) == CLERK_OK;
}

static bool do_client(demo *d, char *settings)
{
    clerk_error *error = NULL;
    clerk_config *config = clerk_config_new();
    bool is_made = false;

    clerk_client_free(d->client); /* and the table that it owns */
    d->client = NULL;
    d->table = NULL;
    if (config != NULL && configure(d, config, settings))
        is_made = clerk_client_new(config, &d->client, &error) == CLERK_OK || report_error("client", error);
    clerk_config_free(config);
    if (!is_made)
        d->table = NULL; /* closed with the config */
    return is_made;
}

static bool do_header(demo *d, char *line)
{
    char *colon = strchr(line, ':');

    if (colon == NULL || d->header_count == MAX_HEADERS)
        return false;
    char *copy = strcpy(d->lines[d->header_count], line); /* both have MAX_LINE bytes */
    char *value = copy + (colon - line) + 1;
    value += strspn(value, " ");
    d->headers[d->header_count++] = (clerk_header){ { copy, (size_t)(colon - line) }, clerk_str_of(value) };
    return true;
}

static bool do_authenticate(demo *d, char *rest)
{
    clerk_request request = CLERK_REQUEST_INIT;
    clerk_result *result = NULL;
    clerk_error *error = NULL;

    if (d->client == NULL || *rest != '\0')
        return false;
    clear_report(d);
    if (d->header_count == 0)
        printf("   %-10s%s\n", "request", "no Authorization, no Cookie");
    for (size_t i = 0; i < d->header_count; i++)
        print_header(&d->headers[i]);

    request.headers = d->headers;
    request.header_count = d->header_count;
    double begun_ms = now_ms();
    int32_t status = clerk_authenticate(d->client, &request, &result, &error);
    double took_ms = now_ms() - begun_ms;

    note_outcome(d, status, result);
    note_error(d, error);
    clerk_result_free(result);
    d->header_count = 0;
    return print_report(d, took_ms) && status >= 0;
}

static bool do_webhook(demo *d, char *body)
{
    clerk_error *error = NULL;

    if (d->client == NULL)
        return false;
    clear_report(d);
    printf("   %-10s%zu header lines, %zu bytes: %.40s...\n", "webhook", d->header_count, strlen(body), body);

    double begun_ms = now_ms();
    int32_t status = clerk_webhook_handle(d->client, d->headers, d->header_count, clerk_str_of(body), &error);
    double took_ms = now_ms() - begun_ms;

    note_outcome(d, status, NULL);
    note_error(d, error);
    d->header_count = 0;
    return print_report(d, took_ms) && status >= 0;
}

static bool do_invalidate(demo *d, char *user)
{
    if (d->client == NULL || clerk_client_invalidate_user(d->client, clerk_str_of(user)) != CLERK_OK)
        return false;
    printf("   %-10sclerk_client_invalidate_user(%s), instead of waiting for user_ttl_s\n", "call", user);
    return true;
}

static bool do_sent(demo *d, char *text)
{
    note(d->notes[SENT], "", "%s", text);
    print_note(d, SENT);
    return true;
}

static bool do_expect(demo *d, char *line)
{
    size_t length = strcspn(line, " ");
    const char *expected = line + length + (line[length] != '\0');

    for (int i = 0; i < NOTES; i++) {
        if (strlen(note_names[i]) == length && strncmp(note_names[i], line, length) == 0) {
            if (strcmp(d->notes[i], expected) == 0)
                return true;
            printf("   %-10s%s: %s\n", "EXPECTED", note_names[i], expected);
            return false;
        }
    }
    return false;
}

static bool do_stats(demo *d, char *rest)
{
    clerk_stats stats = CLERK_STATS_INIT;

    if (*rest != '\0' || d->client == NULL || clerk_client_stats(d->client, &stats) != CLERK_OK)
        return false;
    printf("Total: %" PRIu64 " results from the cache, %" PRIu64 " tokens verified or rejected; %" PRIu64
           " fetches of keys, %" PRIu64 " of users\n",
           stats.cache_hits, stats.cache_misses, stats.jwks_fetches, stats.user_fetches);
    return true;
}

static const struct {
    const char *name;
    bool (*run)(demo *d, char *rest);
} commands[] = {
    { "client", do_client },   { "header", do_header }, { "authenticate", do_authenticate },
    { "webhook", do_webhook }, { "sent", do_sent },   { "invalidate", do_invalidate },
    { "expect", do_expect },   { "stats", do_stats },
};

static bool run(demo *d, char *line)
{
    size_t length = strcspn(line, " ");
    char *rest = line + length + (line[length] != '\0');

    line[length] = '\0';
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i].name, line) == 0)
            return commands[i].run(d, rest);
    return false;
}

int main(int argc, char **argv)
{
    static demo d;
    static char line[MAX_LINE];
    bool succeeded = true;

    if (argc != 2) {
        fprintf(stderr, "usage: demo FILE < COMMANDS\n");
        return 2;
    }
    d.path = argv[1];
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (!run(&d, line)) {
            succeeded = false;
            printf("   %-10s%s\n", "FAILED", line); /* `run` has left only the name */
        }
        puts(".");
        fflush(stdout);
    }
    clerk_client_free(d.client);
    return succeeded ? 0 : 1;
}
