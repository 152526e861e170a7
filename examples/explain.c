/* explain - explains why a token is accepted or rejected, check by check
 *
 *     export CLERK_SECRET_KEY=sk_test_...
 *     explain eyJ...                           one line for each check, with hints
 *     explain --json eyJ...                    as JSON
 *     echo "Bearer eyJ..." | explain           from standard input, which `ps` does not show
 *
 * --set NAME=VALUE sets any setting. The token is not trusted and not printed. Fetches the key set; sends no other request.
 * Exits with 0 if no check fails, 1 if one does, 2 after an error, 3 if no check fails but the signature was not verified:
 * without the key set, or because Clerk verifies the type of the token.
 */
#include <clerk_auth.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Prints and frees an error. Returns 2, the exit status. */
static int report(const char *about, clerk_error *error)
{
    fprintf(stderr, "explain: %s: %s\n", about, error != NULL ? clerk_error_message(error).data : "failed");
    clerk_error_free(error);
    return 2;
}

static int explain(const clerk_client *client, clerk_str token, bool as_json)
{
    clerk_explanation *explanation = NULL;
    clerk_error *error = NULL;

    if (clerk_client_warm_up(client, &error) != CLERK_OK)
        report("key set", error); /* the signature is not checked then */
    error = NULL;
    if (clerk_explain(client, token, &explanation, &error) != CLERK_OK)
        return report("clerk_explain", error);
    clerk_str shown = as_json ? clerk_explanation_json(explanation) : clerk_explanation_text(explanation);
    printf("%s\n", shown.data);
    const char *json = clerk_explanation_json(explanation).data;
    bool is_rejected = strstr(json, "\"rejected\":true") != NULL;
    bool is_verified = strstr(json, "\"verified\":true") != NULL;
    clerk_explanation_free(explanation);
    return is_rejected ? 1 : is_verified ? 0 : 3;
}

int main(int argc, char **argv)
{
    static char line[20000]; /* longer than any valid token */
    const char *token = NULL;
    bool as_json = false;
    int status = 2;
    clerk_client *client = NULL;
    clerk_error *error = NULL;
    clerk_config *config = clerk_config_new();

    if (config == NULL || clerk_config_from_env(config, &error) != CLERK_OK)
        return report("environment", error);
    for (int i = 1; i < argc; i++) {
        const char *equals = i + 1 < argc ? strchr(argv[i + 1], '=') : NULL;

        if (strcmp(argv[i], "--json") == 0) {
            as_json = true;
        } else if (strcmp(argv[i], "--set") == 0 && equals != NULL) {
            clerk_str name = { argv[i + 1], (size_t)(equals - argv[i + 1]) };

            i++;
            if (clerk_config_set(config, name, clerk_str_of(equals + 1), &error) != CLERK_OK)
                return report("--set", error);
        } else if (argv[i][0] == '-' || token != NULL) {
            fprintf(stderr, "usage: explain [--json] [--set NAME=VALUE]... [TOKEN]\n");
            return 2;
        } else {
            token = argv[i];
        }
    }
    if (token == NULL) {
        token = fgets(line, sizeof line, stdin) != NULL ? line : "";
        line[strcspn(line, "\r\n")] = '\0';
    }
    if (strncasecmp(token, "Bearer ", 7) == 0)
        token += 7;
    if (clerk_client_new(config, &client, &error) == CLERK_OK)
        status = explain(client, clerk_str_of(token), as_json);
    else
        report("settings", error);
    clerk_config_free(config);
    clerk_client_free(client);
    return status;
}
