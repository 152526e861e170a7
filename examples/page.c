/* page - a CGI program whose page stays signed in: with `handshake` on, a browser with a stale session cookie is redirected to
 * Clerk and comes back with a fresh one.
 *
 *     export CLERK_SECRET_KEY=sk_live_... CLERK_PUBLISHABLE_KEY=pk_live_...
 *     REQUEST_METHOD=GET HTTP_HOST=app.example.com REQUEST_URI=/ HTTPS=on HTTP_SEC_FETCH_DEST=document page
 *
 * Arguments NAME=VALUE set further settings, such as public_origin=https://app.example.com.
 */
#include <clerk_auth.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static clerk_str variable(const char *name)
{
    return clerk_str_of(getenv(name)); /* NULL data if it is not set */
}

/* What the handshake adds to the response, whatever the status is. Returns 1 if that is the whole response. */
static int print_page_headers(const clerk_result *result)
{
    clerk_str value;

    for (size_t i = 0; i < clerk_result_set_cookie_count(result); i++)
        if (clerk_result_set_cookie(result, i, &value) == CLERK_OK)
            printf("Set-Cookie: %s\r\n", value.data); /* one line each: do not join them */
    if (clerk_result_cache_control(result, &value) == CLERK_OK)
        printf("Cache-Control: %s\r\n", value.data);
    if (clerk_result_redirect(result, &value) != CLERK_OK)
        return 0;
    printf("Status: 307\r\nLocation: %s\r\n\r\n", value.data);
    return 1;
}

static void print_page(const clerk_client *client)
{
    clerk_request request = CLERK_REQUEST_INIT;
    clerk_result *result = NULL;
    clerk_error *error = NULL;
    const char *https = getenv("HTTPS");

    request.method = variable("REQUEST_METHOD");
    request.scheme = https != NULL && strcmp(https, "on") == 0 ? CLERK_STR("https") : CLERK_STR("http");
    request.host = variable("HTTP_HOST");
    request.target = variable("REQUEST_URI");
    request.cookie = variable("HTTP_COOKIE");
    request.accept = variable("HTTP_ACCEPT");
    request.sec_fetch_dest = variable("HTTP_SEC_FETCH_DEST");
    request.referer = variable("HTTP_REFERER");

    int32_t status = clerk_authenticate(client, &request, &result, &error);
    if (error != NULL) /* for the log, not for the browser */
        fprintf(stderr, "page: %s\n", clerk_error_message(error).data);
    if (!print_page_headers(result)) { /* first, because a request that is signed in may be redirected, too */
        if (status == CLERK_OK)
            printf("Content-Type: text/plain\r\n\r\nhello, %s\n", clerk_result_user_id(result).data);
        else
            printf("Status: %" PRId32 "\r\nContent-Type: text/plain\r\n\r\n%s\n", clerk_result_http_status(result),
                   clerk_result_public_reason(result));
    }
    clerk_result_free(result);
    clerk_error_free(error);
}

int main(int argc, char **argv)
{
    clerk_config *config = clerk_config_new();
    clerk_client *client = NULL;
    clerk_error *error = NULL;
    int32_t status = clerk_config_from_env(config, &error);

    if (status == CLERK_OK)
        status = clerk_config_set(config, CLERK_STR("handshake"), CLERK_STR("on"), &error);
    for (int i = 1; i < argc && status == CLERK_OK; i++) {
        const char *equals = strchr(argv[i], '=');
        clerk_str name = { argv[i], equals != NULL ? (size_t)(equals - argv[i]) : strlen(argv[i]) };
        status = clerk_config_set(config, name, clerk_str_of(equals != NULL ? equals + 1 : ""), &error);
    }
    if (status == CLERK_OK)
        status = clerk_client_new(config, &client, &error);
    if (status == CLERK_OK)
        print_page(client);
    else
        fprintf(stderr, "page: %s\n", clerk_error_message(error).data);
    clerk_error_free(error);
    clerk_client_free(client);
    clerk_config_free(config);
    return status == CLERK_OK ? 0 : 2;
}
