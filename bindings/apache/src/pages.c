/* The browser handshake: what the library needs of a page's request, the redirect, and cookies on the response. */

#include "mod_auth_clerk.h"

#include <http_vhost.h>

static int is_set(const apr_array_header_t *settings, const char *name)
{
    const char *value = mac_setting_value(settings, name);

    return value && *value;
}

static int has_pages(const apr_array_header_t *settings)
{
    const char *value = mac_setting_value(settings, "handshake");

    return value && !strcmp(value, "on");
}

static int checks_host(const apr_array_header_t *settings)
{
    return !is_set(settings, "public_origin") && !is_set(settings, "authorized_parties");
}

void mac_read_page_settings(mac_client *client, const apr_array_header_t *settings)
{
    client->has_pages = has_pages(settings);
    client->checks_host = checks_host(settings);
}

int mac_sends_back_to_names(const apr_array_header_t *settings)
{
    return has_pages(settings) && checks_host(settings);
}

const char *mac_check_page_settings(const apr_array_header_t *settings)
{
    const char *forwarded = mac_setting_value(settings, "trust_forwarded");

    /* The host of a proxy's header cannot be compared with ServerName. */
    if (mac_sends_back_to_names(settings) && forwarded && strcmp(forwarded, "false") && strcmp(forwarded, "0"))
        return "ClerkSetting trust_forwarded: with ClerkPages it needs ClerkPublicOrigin";
    return NULL;
}

/* Whether the Host line names this server: ServerName or ServerAlias, and its port. */
static int is_own_host(request_rec *r)
{
    const char *host = apr_table_get(r->headers_in, "Host"), *name;
    char *parsed, *scope;
    apr_port_t port;

    if (!host || !r->hostname || apr_parse_addr_port(&parsed, &scope, &port, host, r->pool) != APR_SUCCESS || !parsed || scope)
        return 0;
    if (port && port != r->connection->local_addr->port && port != r->server->port)
        return 0;
    /* `hostname` is without trailing dot; an IPv6 address is without brackets in both. */
    name = *r->hostname == '[' ? apr_pstrndup(r->pool, r->hostname + 1, strlen(r->hostname) - 2) : r->hostname;
    /* Its own check of the port fails for a ServerName without one. */
    return !ap_cstr_casecmp(parsed, name) && ap_matches_request_vhost(r, r->hostname, r->server->port);
}

/* Whether the browser asked for this, and not a subrequest or an error document. */
static int is_of_browser(const request_rec *r)
{
    if (r->main)
        return 0;
    for (r = r->prev; r; r = r->prev)
        if (r->main || r->status != HTTP_OK)
            return 0;
    return 1;
}

/* The scheme of a request that may be redirected, else an empty string. */
static clerk_str page_scheme(request_rec *r, const mac_client *client)
{
    static const clerk_str none = { NULL, 0 };

    /* ErrorDocument turns other methods into GET; the request line keeps the browser's. */
    if (!is_of_browser(r) || r->method_number != M_GET || strncmp(mac_first_request(r)->the_request, "GET ", 4))
        return none;
    if (client->checks_host && !is_own_host(r))
        return none;
    return mac_str(ap_http_scheme(r));
}

/* Without a target the library does without the handshake: where no cookies are read, and in subrequests, and when a
 * directory with other settings verifies again. */
void mac_add_page(request_rec *r, const mac_client *client, int token_source, clerk_request *request, clerk_header *headers)
{
    static const char *const names[MAC_PAGE_HEADERS] = { "User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto" };
    const char *value;
    int i;

    if (!client->has_pages || !(token_source & MAC_SOURCE_COOKIE) || r->main || mac_request_of(r))
        return;
    request->scheme = page_scheme(r, client);
    request->target = mac_str(mac_first_request(r)->unparsed_uri);
    request->accept = mac_str(apr_table_get(r->headers_in, "Accept"));
    request->sec_fetch_dest = mac_str(apr_table_get(r->headers_in, "Sec-Fetch-Dest"));
    request->referer = mac_str(apr_table_get(r->headers_in, "Referer"));
    for (i = 0; i < MAC_PAGE_HEADERS; i++)
        if ((value = apr_table_get(r->headers_in, names[i]))) {
            headers[request->header_count].name = mac_str(names[i]);
            headers[request->header_count++].value = mac_str(value);
        }
    request->headers = headers;
}

/* In `err_headers_out`, which redirects and error documents keep. Each line by itself. */
void mac_send_cookies(request_rec *r, const clerk_result *result)
{
    size_t i, count = clerk_result_set_cookie_count(result);
    clerk_str value;

    for (i = 0; i < count; i++)
        if (clerk_result_set_cookie(result, i, &value) == CLERK_OK)
            apr_table_addn(r->err_headers_out, "Set-Cookie", apr_pstrmemdup(r->pool, value.data, value.len));
    if (clerk_result_cache_control(result, &value) == CLERK_OK)
        apr_table_mergen(r->err_headers_out, "Cache-Control", value.data);
}

static int has_line(const apr_table_t *headers, const char *value)
{
    const apr_table_entry_t *entries = (const apr_table_entry_t *)apr_table_elts(headers)->elts;
    int i;

    for (i = 0; i < apr_table_elts(headers)->nelts; i++)
        if (!ap_cstr_casecmp(entries[i].key, "Set-Cookie") && !strcmp(entries[i].val, value))
            return 1;
    return 0;
}

/* An error that a filter finds, such as 416, loses `err_headers_out`, whose lines are among the others then. */
void mac_restore_cookies(request_rec *r)
{
    const mac_request *state = mac_request_of(r);
    clerk_str value;

    if (state && clerk_result_set_cookie(state->outcome->result, 0, &value) == CLERK_OK
        && !has_line(r->err_headers_out, value.data))
        mac_send_cookies(r, state->outcome->result);
}

int mac_redirect_page(request_rec *r, const mac_outcome *outcome)
{
    clerk_str url;
    const char *reason = outcome->status == CLERK_OK ? "signed-in" : clerk_result_reason_name(outcome->result);

    if (!outcome->client->has_pages || !is_of_browser(r))
        return 0;
    if (clerk_result_redirect(outcome->result, &url) != CLERK_OK) {
        if (clerk_result_handshake_recommended(outcome->result) == 1)
            ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "mod_auth_clerk: no redirect: not for this host, port or location%s",
                          mac_request_id(r));
        return 0;
    }
    apr_table_setn(r->err_headers_out, "Location", apr_pstrmemdup(r->pool, url.data, url.len));
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "mod_auth_clerk: redirected: %s%s", reason, mac_request_id(r));
    return HTTP_TEMPORARY_REDIRECT;
}

/* With any other reason than that the browser is signed out, Clerk may consider it signed in, and its sign-in page would send
 * it back at once, for ever. */
int mac_may_sign_in(const mac_outcome *outcome)
{
    if (!outcome->client->has_pages)
        return 1;
    switch (clerk_result_reason(outcome->result)) {
    case CLERK_REASON_SESSION_TOKEN_AND_UAT_MISSING:
        return 1;
    case CLERK_REASON_SESSION_TOKEN_MISSING:
        /* Without cookies it is a nonce that was used before, which stays in the browser. */
        return clerk_result_set_cookie_count(outcome->result) > 0;
    default:
        return 0;
    }
}
