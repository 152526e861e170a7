/* copy_revocations - a revocation takes effect in another process: here, in another client.
 *
 *     export CLERK_SECRET_KEY=sk_test_...
 *     copy_revocations sess_... "Bearer eyJ..."
 */
#include <clerk_auth.h>

#include <stdio.h>
#include <stdlib.h>

/* Returns the revocations as JSON, which the caller frees; NULL after an error. */
static char *export_revocations(const clerk_client *client)
{
    size_t needed = 0;

    for (;;) {
        size_t capacity = needed + 1;
        char *json = malloc(capacity);
        if (json == NULL || clerk_client_export_revocations(client, json, capacity, &needed) == CLERK_OK)
            return json;
        free(json);
        if (needed < capacity) /* not because the buffer was too small */
            return NULL;
    }
}

static int32_t authenticate(const clerk_client *client, const char *authorization)
{
    clerk_request request = CLERK_REQUEST_INIT;
    clerk_result *result = NULL;

    request.authorization = clerk_str_of(authorization);
    int32_t status = clerk_authenticate(client, &request, &result, NULL);
    printf("%s %s\n", clerk_status_name(status), clerk_result_reason_name(result));
    clerk_result_free(result);
    return status;
}

int main(int argc, char **argv)
{
    clerk_config *config = clerk_config_new();
    clerk_client *first = NULL;
    clerk_client *second = NULL;

    if (argc != 3 || clerk_config_from_env(config, NULL) != CLERK_OK ||
        clerk_client_new(config, &first, NULL) != CLERK_OK || clerk_client_new(config, &second, NULL) != CLERK_OK ||
        authenticate(second, argv[2]) != CLERK_OK)
        return 2;

    /* [copy] */
    int32_t status = clerk_client_revoke_session(first, clerk_str_of(argv[1]));
    char *json = export_revocations(first); /* send it to the other process */
    if (status == CLERK_OK && json != NULL)
        status = clerk_client_import_revocations(second, clerk_str_of(json), NULL);
    free(json);
    /* [end] */

    int failed = status != CLERK_OK || authenticate(second, argv[2]) != CLERK_SIGNED_OUT;
    clerk_client_free(first);
    clerk_client_free(second);
    clerk_config_free(config);
    return failed;
}
