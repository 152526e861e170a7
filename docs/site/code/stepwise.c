/* stepwise - authenticates with the application's own queries, one at a time.
 *
 *     export CLERK_SECRET_KEY=sk_test_...
 *     stepwise app.db "Bearer eyJ..."
 *
 * The queries are those of examples/accounts.h, executed at once. A server with an asynchronous driver sends each query, returns
 * to its loop, and continues when the response of the database has arrived.
 */
#include "accounts.h"

#include <clerk_auth.h>

#include <stdio.h>

/* [steps] */
static int32_t authenticate(const clerk_client *client, accounts *table, clerk_str authorization, clerk_result **result)
{
    clerk_request request = CLERK_REQUEST_INIT;
    clerk_pending *pending = NULL;

    request.authorization = authorization;
    /* Never waits. */
    int32_t status = clerk_authenticate_begin_cached(client, &request, result, &pending);
    if (status == CLERK_WOULD_BLOCK) /* on a thread that may wait for Clerk */
        status = clerk_authenticate_begin(client, &request, result, &pending, NULL);
    if (status != CLERK_PENDING)
        return status; /* the result needs no query */

    int32_t action;
    while ((action = clerk_pending_next_action(pending)) != CLERK_STORE_REQUEST_KIND_DONE) {
        if (action == CLERK_STORE_REQUEST_KIND_FETCH_USER) { /* on a thread that may wait for Clerk */
            status = clerk_pending_fetch(pending);
        } else {
            int32_t outcome = accounts_callback(table, clerk_pending_request(pending), clerk_pending_response(pending));
            status = clerk_pending_submit(pending, outcome);
        }
        if (status != CLERK_OK) {
            clerk_pending_free(pending); /* cancels the authentication */
            return status;
        }
    }
    return clerk_pending_finish(pending, result, NULL);
}
/* [end] */

int main(int argc, char **argv)
{
    clerk_config *config = clerk_config_new();
    clerk_client *client = NULL;
    clerk_result *result = NULL;
    accounts *table = argc == 3 ? accounts_open(argv[1]) : NULL;

    /* Sets the columns of the table, and the mode `sync`; stepwise calls do not call the callback. */
    if (table == NULL || accounts_attach(table, config) != CLERK_OK || clerk_config_from_env(config, NULL) != CLERK_OK ||
        clerk_client_new(config, &client, NULL) != CLERK_OK) {
        fprintf(stderr, "usage: stepwise FILE AUTHORIZATION\n");
        return 2;
    }
    int32_t status = authenticate(client, table, clerk_str_of(argv[2]), &result);
    if (status == CLERK_OK)
        printf("signed in: %s, account %s\n", clerk_result_user_id(result).data, clerk_result_user_key(result).data);
    else
        printf("not signed in: %s\n", result != NULL ? clerk_result_reason_name(result) : clerk_status_name(status));
    clerk_result_free(result);
    clerk_client_free(client);
    clerk_config_free(config);
    return status == CLERK_OK ? 0 : 1;
}
