#include <clerk_auth.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    clerk_config *config = clerk_config_new();
    clerk_client *client = NULL;
    clerk_result *result = NULL;
    clerk_request request = CLERK_REQUEST_INIT;

    if (argc < 2 || clerk_config_from_env(config, NULL) != CLERK_OK || /* CLERK_SECRET_KEY and others */
        clerk_client_new(config, &client, NULL) != CLERK_OK)
        return 2;
    request.authorization = clerk_str_of(argv[1]); /* "Bearer eyJ..." */
    if (clerk_authenticate(client, &request, &result, NULL) == CLERK_OK)
        printf("%s\n", clerk_result_user_id(result).data);
    else
        printf("not signed in: %s\n", clerk_result_reason_name(result));

    clerk_result_free(result);
    clerk_client_free(client);
    clerk_config_free(config);
    return 0;
}
