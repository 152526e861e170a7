/* prefork - a server with child processes: each creates a client of its own after the fork.
 *
 *     export CLERK_SECRET_KEY=sk_test_...
 *     prefork "Bearer eyJ..."
 */
#include <clerk_auth.h>

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 2 };

/* [child] */
static int serve(const clerk_config *config, const char *authorization)
{
    clerk_client *client = NULL;
    clerk_error *error = NULL;
    clerk_result *result = NULL;
    clerk_request request = CLERK_REQUEST_INIT;

    /* The config is only data: it may be made before the fork. The client has connections and caches. */
    if (clerk_client_new(config, &client, &error) != CLERK_OK || clerk_client_warm_up(client, &error) != CLERK_OK)
        fprintf(stderr, "child: %s\n", clerk_error_message(error).data); /* without a client: exit; else serve, Clerk may be back */
    clerk_error_free(error);
    if (client == NULL)
        return 1;
    request.authorization = clerk_str_of(authorization);
    int32_t status = clerk_authenticate(client, &request, &result, NULL);
    printf("%s\n", clerk_status_name(status));
    clerk_result_free(result);
    clerk_client_free(client);
    return status == CLERK_OK ? 0 : 1;
}
/* [end] */

int main(int argc, char **argv)
{
    clerk_config *config = clerk_config_new();
    int failed = argc != 2 || clerk_config_from_env(config, NULL) != CLERK_OK;

    for (int i = 0; i < CHILDREN && !failed; i++) {
        pid_t child = fork();
        if (child == 0)
            return serve(config, argv[1]);
        failed = child < 0;
    }
    for (int status; wait(&status) > 0;)
        failed |= status != 0;
    clerk_config_free(config);
    return failed;
}
