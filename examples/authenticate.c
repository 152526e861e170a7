/* authenticate - verifies the credential of a request
 *
 *     export CLERK_SECRET_KEY=sk_test_...
 *     authenticate "Bearer eyJ..."                       from the token alone
 *     authenticate --accounts app.db "Bearer eyJ..."     with a row in the application's table
 *     echo "Bearer eyJ..." | authenticate                from standard input
 *
 * --set NAME=VALUE sets any setting; pass secrets in the environment, because `ps` shows arguments. Exits with 0 if
 * signed in, 1 if not signed in, 2 if the result is unavailable or after an error.
 */
#include "accounts.h"

#include <clerk_auth.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* --- Authentication. A server creates one client when it starts; all its threads share it. ----------------------- */

static int32_t authenticate(const clerk_client *client, const char *authorization)
{
    clerk_request request = CLERK_REQUEST_INIT;
    clerk_result *result = NULL;
    clerk_error *error = NULL;

    request.authorization = clerk_str_of(authorization);
    int32_t status = clerk_authenticate(client, &request, &result, &error);

    if (status == CLERK_OK) /* signed in */
        printf("signed in: %s\n", clerk_result_user_id(result).data);
    else if (result != NULL) /* not signed in, or unavailable */
        printf("not signed in: %s, %s, HTTP %" PRId32 "\n", clerk_status_name(status),
               clerk_result_reason_name(result), clerk_result_http_status(result));
    if (error != NULL) /* for the log, not for the client */
        fprintf(stderr, "authenticate: %s\n", clerk_error_message(error).data);
    if (clerk_error_store_code(error) != 0) /* what the user store returned: see accounts_fail */
        fprintf(stderr, "authenticate: the user store failed with %" PRId32 "\n", clerk_error_store_code(error));
    if (clerk_result_user_key(result).data != NULL) /* with --accounts only */
        printf("account: %s\n", clerk_result_user_key(result).data);

    clerk_result_free(result);
    clerk_error_free(error);
    return status;
}

/* --- Settings, user table, command line. ------------------------------------------------------------------------- */

/* Prints and frees an error. Returns false. */
static bool report(const char *about, clerk_error *error)
{
    fprintf(stderr, "authenticate: %s: %s\n", about, error != NULL ? clerk_error_message(error).data : "failed");
    clerk_error_free(error);
    return false;
}

static bool set(clerk_config *config, const char *pair)
{
    clerk_error *error = NULL;
    const char *equals = strchr(pair, '=');

    if (equals == NULL)
        return report(pair, NULL);
    clerk_str name = { pair, (size_t)(equals - pair) }; /* need not end with a NUL */
    if (clerk_config_set(config, name, clerk_str_of(equals + 1), &error) != CLERK_OK)
        return report("--set", error);
    return true;
}

static bool use_accounts(clerk_config *config, const char *path)
{
    accounts *table = accounts_open(path);

    if (table == NULL)
        return false;
    return accounts_attach(table, config) == CLERK_OK || report(path, NULL);
}

/* Applies the options to the config; the remaining argument is the value of the Authorization header. */
static bool configure(clerk_config *config, char **arguments, const char **authorization)
{
    clerk_error *error = NULL;

    if (clerk_config_from_env(config, &error) != CLERK_OK)
        return report("environment", error);
    for (char **next = arguments; *next != NULL; next++) {
        bool has_value = next[1] != NULL;

        if (strcmp(*next, "--set") == 0 && has_value) {
            if (!set(config, *++next))
                return false;
        } else if (strcmp(*next, "--accounts") == 0 && has_value) {
            if (!use_accounts(config, *++next))
                return false;
        } else if (**next == '-' || *authorization != NULL) {
            fprintf(stderr, "usage: authenticate [--set NAME=VALUE]... [--accounts FILE] [AUTHORIZATION]\n");
            return false;
        } else {
            *authorization = *next;
        }
    }
    return true;
}

/* Reads one line, without its end; NULL if there is none or it is too long. */
static const char *read_line(char *line, int size)
{
    if (fgets(line, size, stdin) == NULL)
        return NULL;
    size_t length = strcspn(line, "\r\n");
    if (line[length] == '\0' && !feof(stdin))
        return NULL;
    line[length] = '\0';
    return line;
}

int main(int argc, char **argv)
{
    static char line[20000]; /* longer than any valid token */
    const char *authorization = NULL;
    int32_t status = CLERK_UNAVAILABLE;
    clerk_client *client = NULL;
    clerk_error *error = NULL;
    clerk_config *config = clerk_config_new();

    if (config != NULL && configure(config, argv + (argc > 0), &authorization)) {
        if (authorization == NULL)
            authorization = read_line(line, sizeof line);
        if (clerk_client_new(config, &client, &error) == CLERK_OK)
            status = authenticate(client, authorization); /* NULL: no header */
        else
            report("settings", error);
    }

    /* The client has a copy of the config: free them in any order. */
    clerk_config_free(config);
    clerk_client_free(client);
    if (status == CLERK_OK)
        return 0;
    return status == CLERK_SIGNED_OUT || status == CLERK_NO_CREDENTIALS ? 1 : 2;
}
