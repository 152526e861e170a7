/* `SetHandler clerk-webhook`: receives Clerk's webhook deliveries. */

#include "mod_auth_clerk.h"

#define MAX_BODY (128 * 1024)
/* Clerk's events are a few kilobytes. */
#define MIN_BODY (8 * 1024)

/* Svix's own names and those of Standard Webhooks are equivalent. */
static int has_signature(request_rec *r)
{
    static const char *const names[2][3] = { { "svix-id", "svix-timestamp", "svix-signature" },
                                             { "webhook-id", "webhook-timestamp", "webhook-signature" } };
    int i, j;

    for (i = 0; i < 2; i++) {
        for (j = 0; j < 3 && apr_table_get(r->headers_in, names[i][j]); j++)
            ;
        if (j == 3)
            return 1;
    }
    return 0;
}

static int read_body(request_rec *r, clerk_str *body)
{
    int status = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK);
    char *buffer, *larger;
    apr_size_t len = 0, capacity = MIN_BODY;
    long got = 0;

    if (status != OK)
        return status;
    if (r->remaining > MAX_BODY)
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    buffer = apr_palloc(r->pool, capacity);
    if (ap_should_client_block(r))
        while (len <= MAX_BODY && (got = ap_get_client_block(r, buffer + len, capacity - len)) > 0) {
            len += (apr_size_t)got;
            if (len < capacity)
                continue;
            larger = apr_palloc(r->pool, 2 * capacity);
            buffer = memcpy(larger, buffer, len);
            capacity *= 2;
        }
    if (got < 0)
        return HTTP_BAD_REQUEST;
    if (len > MAX_BODY)
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    body->data = buffer;
    body->len = len;
    return OK;
}

static clerk_header *header_lines(request_rec *r, int *count)
{
    const apr_array_header_t *lines = apr_table_elts(r->headers_in);
    clerk_header *headers = apr_pcalloc(r->pool, (apr_size_t)(lines->nelts + 1) * sizeof(*headers));
    int i;

    for (i = 0; i < lines->nelts; i++) {
        headers[i].name = mac_str(APR_ARRAY_IDX(lines, i, apr_table_entry_t).key);
        headers[i].value = mac_str(APR_ARRAY_IDX(lines, i, apr_table_entry_t).val);
    }
    *count = lines->nelts;
    return headers;
}

static int retry_later(request_rec *r)
{
    apr_table_setn(r->err_headers_out, "Retry-After", "1");
    return HTTP_SERVICE_UNAVAILABLE;
}

/* A delivery that has no effect in this process may have one in others. */
static int publish(request_rec *r, mac_client *client, const clerk_header *headers, int count, clerk_str body)
{
    apr_status_t rv;

    mac_share_revocations(client, r->server, 0);
    rv = mac_publish_delivery(r, client->webhook_secrets, headers, count, body);
    if (rv == APR_SUCCESS)
        return OK;
    ap_log_rerror(APLOG_MARK, APR_STATUS_IS_EAGAIN(rv) ? APLOG_INFO : APLOG_ERR, rv, r,
                  "mod_auth_clerk: a webhook delivery did not reach all processes");
    return retry_later(r);
}

int mac_webhook_handler(request_rec *r)
{
    mac_client *client;
    clerk_header *headers;
    clerk_error *error = NULL;
    clerk_str body = { NULL, 0 };
    int32_t status;
    int count, rv;

    if (!r->handler || strcmp(r->handler, "clerk-webhook"))
        return DECLINED;
    r->allowed |= AP_METHOD_BIT << M_POST;
    if (r->method_number != M_POST)
        return HTTP_METHOD_NOT_ALLOWED;
    client = mac_client_of_server(r->server);
    if (!client || !client->webhook_secrets) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "mod_auth_clerk: clerk-webhook needs ClerkWebhookSecretFile or ClerkWebhookSecret");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!has_signature(r))
        return HTTP_BAD_REQUEST;
    if ((rv = read_body(r, &body)) != OK)
        return rv;
    headers = header_lines(r, &count);

    mac_enter(r);
    status = clerk_webhook_handle(client->handle, headers, (size_t)count, body, &error);
    mac_leave();
    if (error) {
        clerk_str message = clerk_error_message(error);

        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, "mod_auth_clerk: webhook: %.*s", (int)message.len, message.data ? message.data : "");
        clerk_error_free(error);
    }
    switch (status) {
    case CLERK_OK:
    case CLERK_WEBHOOK_IGNORED:
        if ((rv = publish(r, client, headers, count, body)) != OK)
            return rv;
        ap_set_content_type(r, "text/plain");
        ap_rputs(status == CLERK_OK ? "ok\n" : "ignored\n", r);
        return OK;
    case CLERK_E_WEBHOOK:
        return HTTP_BAD_REQUEST;
    case CLERK_UNAVAILABLE:
        /* It was applied here, though the shared cache or the user table lacks it: the other processes need not wait until it comes
           again. */
        (void)publish(r, client, headers, count, body);
        return retry_later(r);
    default:
        return HTTP_INTERNAL_SERVER_ERROR;
    }
}
