/* demo - tells in plain words what clerk_authenticate makes of requests; examples/demo.sh says which.
 *
 *     demo FILE      where the table of accounts is to be
 *
 * It reads commands from standard input, a line each, and writes a line with a dot after each:
 *
 *     client NAME=VALUE...      a new client with these settings, which remembers nothing; `env` reads the environment
 *     header NAME: VALUE        a header line of the request that comes next
 *     authenticate              asks who sent it, and tells what happened
 *     webhook BODY              takes the header lines and the body as a delivery of Clerk's
 *     invalidate USER           forgets what is remembered of a user
 *     asked TEXT                what Clerk was asked meanwhile, for the report
 *     expect NAME TEXT          the report's line of this name has to be this, or the demo has failed
 *     stats                     what the client has done in all
 *
 * Exits with 0 if every command went well and every expectation held.
 */
#include "accounts.h"

#include <clerk_auth.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MOST_HEADERS = 8, LONGEST_LINE = 32 * 1024, LONGEST_NOTE = 1024 };

/* The lines of a report that can be expected. */
enum { OUTCOME, BECAUSE, ACCOUNTS, EVENTS, ASKED, NOTES };
static const char *const note_names[NOTES] = { "outcome", "because", "accounts", "events", "asked" };

typedef struct {
    const char *path;
    clerk_client *client;
    accounts *table; /* the client's; lives as long */
    char lines[MOST_HEADERS][LONGEST_LINE];
    clerk_header headers[MOST_HEADERS]; /* into `lines` */
    size_t header_count;
    char notes[NOTES][LONGEST_NOTE];
} demo;

/* --- Texts ------------------------------------------------------------------------------------------------------- */

/* Adds to a note, behind a separator if something is there; what does not fit is cut off. */
static void note(char text[LONGEST_NOTE], const char *separator, const char *format, ...)
{
    size_t length = strlen(text);
    va_list arguments;

    if (length > 0)
        length += (size_t)snprintf(text + length, LONGEST_NOTE - length, "%s", separator);
    if (length >= LONGEST_NOTE)
        return;
    va_start(arguments, format);
    vsnprintf(text + length, LONGEST_NOTE - length, format, arguments);
    va_end(arguments);
}

static void print_note(const demo *d, int which)
{
    const char *text = d->notes[which];

    printf("   %-10s", note_names[which]);
    for (const char *end; (end = strstr(text, "; ")) != NULL; text = end + 2) /* each account on a line of its own */
        printf("%.*s\n%13s", (int)(end - text), text, "");
    puts(text);
}

static bool is_of_token(char c)
{
    return c != '\0' && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.", c) != NULL;
}

/* Prints a header line with each long word in it cut short: tokens are as good as passwords while they last. */
static void print_header(const clerk_header *header)
{
    enum { LONG = 24, SHOWN = 12 };
    const char *text = header->value.data;

    printf("   %-10s%.*s: ", "request", (int)header->name.len, header->name.data);
    while (*text != '\0') {
        int length = 0;

        while (is_of_token(text[length]))
            length++;
        printf("%.*s%s", length > LONG ? SHOWN : length, text, length > LONG ? "..." : "");
        text += length;
        if (*text != '\0')
            putchar(*text++);
    }
    putchar('\n');
}

/* --- Hooks ------------------------------------------------------------------------------------------------------- */

/* A clerk_event_fn. Events come on the thread of the call, and there is only one here: no lock is needed. */
static void on_event(void *userdata, const clerk_event *event)
{
    demo *d = userdata;
    int32_t kind = clerk_event_get_kind(event);

    if (kind == CLERK_EVENT_KIND_AUTH_SUCCESS)
        note(d->notes[EVENTS], ", ", "%s(%s)", clerk_event_kind_name(kind), clerk_source_name(clerk_event_source(event)));
    else if (kind == CLERK_EVENT_KIND_AUTH_FAILED)
        note(d->notes[EVENTS], ", ", "%s(%s)", clerk_event_kind_name(kind), clerk_reason_name(clerk_event_reason(event)));
    else
        note(d->notes[EVENTS], ", ", "%s", clerk_event_kind_name(kind));
}

/* --- What happened ----------------------------------------------------------------------------------------------- */

static void forget_report(demo *d)
{
    for (int i = 0; i < NOTES; i++)
        d->notes[i][0] = '\0';
}

/* Notes every row of the table, as the application itself sees them. */
static bool note_accounts(demo *d)
{
    static const char sql[] = "SELECT id || ': ' || login || ', ' || trim(given_name || ' ' || family_name)"
                              " || ', ' || coalesce(email, 'no address') || ', ' || coalesce(clerk_id, 'not of Clerk')"
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
        return; /* a webhook, or a call that failed altogether */
    if (status == CLERK_OK)
        note(text, ": ", "%s is account %s, source=%s", clerk_result_user_id(result).data,
             clerk_result_user_key(result).data, clerk_source_name(clerk_result_source(result)));
    else
        note(text, ": ", "%s, HTTP %" PRId32, clerk_result_reason_name(result), clerk_result_http_status(result));
}

/* Notes what stands behind a failure, and frees it. */
static void note_error(demo *d, clerk_error *error)
{
    if (error != NULL)
        note(d->notes[BECAUSE], "", "%s", clerk_error_message(error).data);
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

/* --- Commands: each takes the rest of its line, and says whether it went well ------------------------------------ */

static bool complain(const char *about, clerk_error *error)
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
        return clerk_config_from_env(config, &error) == CLERK_OK || complain("client", error);
    if (pair[length] != '=')
        return complain(pair, NULL);
    return clerk_config_set(config, name, clerk_str_of(pair + length + 1), &error) == CLERK_OK
           || complain("client", error);
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

    clerk_client_free(d->client); /* and with it the table it owns */
    d->client = NULL;
    d->table = NULL;
    if (config != NULL && configure(d, config, settings))
        is_made = clerk_client_new(config, &d->client, &error) == CLERK_OK || complain("client", error);
    clerk_config_free(config);
    if (!is_made)
        d->table = NULL; /* gone with the config */
    return is_made;
}

static bool do_header(demo *d, char *line)
{
    char *colon = strchr(line, ':');

    if (colon == NULL || d->header_count == MOST_HEADERS)
        return false;
    char *copy = strcpy(d->lines[d->header_count], line); /* it fits: both are lines of LONGEST_LINE */
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
    forget_report(d);
    if (d->header_count == 0)
        printf("   %-10s%s\n", "request", "neither Authorization nor Cookie");
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
    forget_report(d);
    printf("   %-10s%zu header lines, %zu bytes: %.40s...\n", "delivery", d->header_count, strlen(body), body);

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
    printf("   %-10sclerk_client_invalidate_user(%s), so that nobody has to wait\n", "before", user);
    return true;
}

static bool do_asked(demo *d, char *text)
{
    note(d->notes[ASKED], "", "%s", text);
    print_note(d, ASKED);
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
    printf("In all: %" PRIu64 " answers from the cache, %" PRIu64 " tokens verified or refused; %" PRIu64
           " fetches of keys, %" PRIu64 " of users\n",
           stats.cache_hits, stats.cache_misses, stats.jwks_fetches, stats.user_fetches);
    return true;
}

static const struct {
    const char *name;
    bool (*run)(demo *d, char *rest);
} commands[] = {
    { "client", do_client },   { "header", do_header }, { "authenticate", do_authenticate },
    { "webhook", do_webhook }, { "asked", do_asked },   { "invalidate", do_invalidate },
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
    static char line[LONGEST_LINE];
    bool is_fine = true;

    if (argc != 2) {
        fprintf(stderr, "usage: demo FILE < COMMANDS\n");
        return 2;
    }
    d.path = argv[1];
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (!run(&d, line)) {
            is_fine = false;
            printf("   %-10s%s\n", "FAILED", line); /* of which `run` has left the command's name */
        }
        puts(".");
        fflush(stdout);
    }
    clerk_client_free(d.client);
    return is_fine ? 0 : 1;
}
