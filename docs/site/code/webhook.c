/* webhook - receives Clerk's webhooks as a CGI program.
 *
 *     export CLERK_SECRET_KEY=sk_test_... CLERK_WEBHOOK_SIGNING_SECRET=whsec_...
 *
 * A server receives them in the process that authenticates requests: revocations are those of a client.
 */
#include <clerk_auth.h>

#include <stdio.h>
#include <stdlib.h>

/* [handle] */
/* Returns the HTTP status to respond with. */
static int handle(const clerk_client *client, const clerk_header *lines, size_t count, clerk_str body)
{
    clerk_error *error = NULL;
    int32_t status = clerk_webhook_handle(client, lines, count, body, &error);

    if (error != NULL) /* for the log */
        fprintf(stderr, "webhook: %s\n", clerk_error_message(error).data);
    clerk_error_free(error);
    if (status == CLERK_OK || status == CLERK_WEBHOOK_IGNORED)
        return 200;
    return status == CLERK_E_WEBHOOK ? 400 : 503; /* after 503 Clerk sends it again */
}
/* [end] */

int main(void)
{
    static char body[1 << 20];
    clerk_config *config = clerk_config_new();
    clerk_client *client = NULL;
    clerk_header lines[] = {
        { CLERK_STR("svix-id"), clerk_str_of(getenv("HTTP_SVIX_ID")) },
        { CLERK_STR("svix-timestamp"), clerk_str_of(getenv("HTTP_SVIX_TIMESTAMP")) },
        { CLERK_STR("svix-signature"), clerk_str_of(getenv("HTTP_SVIX_SIGNATURE")) },
    };
    clerk_str received = { body, fread(body, 1, sizeof body, stdin) };

    if (clerk_config_from_env(config, NULL) != CLERK_OK || clerk_client_new(config, &client, NULL) != CLERK_OK)
        return 2;
    printf("Status: %d\r\n\r\n", handle(client, lines, sizeof lines / sizeof lines[0], received));
    clerk_client_free(client);
    clerk_config_free(config);
    return 0;
}
