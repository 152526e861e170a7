/* Authentication: from a request to an outcome, and from an outcome to a response. */

#include "mod_auth_clerk.h"

#include <apr_lib.h>

/* --- verification -------------------------------------------------------------------------------------------------- */

mac_request *mac_request_of(const request_rec *r)
{
    for (; r; r = r->prev ? r->prev : r->main) {
        mac_request *state = ap_get_module_config(r->request_config, &auth_clerk_module);

        if (state)
            return state;
    }
    return NULL;
}

const clerk_result *mac_identity(const request_rec *r)
{
    const mac_request *state = ap_get_module_config(r->request_config, &auth_clerk_module);

    return state && state->outcome->status == CLERK_OK ? state->outcome->result : NULL;
}

const request_rec *mac_first_request(const request_rec *r)
{
    while (r->prev || r->main)
        r = r->prev ? r->prev : r->main;
    return r;
}

static apr_status_t free_result(void *result)
{
    clerk_result_free(result);
    return APR_SUCCESS;
}

static clerk_str line(const request_rec *r, const char *name)
{
    return mac_str(apr_table_get(r->headers_in, name));
}

/* A page of another site can open a WebSocket. In HTTP/2 the method is CONNECT (RFC 8441), which is not safe. */
static const char *method_of(const request_rec *r)
{
    const char *upgrade = apr_table_get(r->headers_in, "Upgrade");

    /* Redirects and subrequests are GET requests. */
    r = mac_first_request(r);
    if (upgrade && r->method_number == M_GET && ap_strcasestr(upgrade, "websocket")
        && (apr_table_get(r->headers_in, "Origin") || apr_table_get(r->headers_in, "Sec-Fetch-Site")))
        return "CONNECT";
    return r->method;
}

static mac_outcome *authenticate(request_rec *r, mac_client *client, int token_source)
{
    mac_outcome *outcome = apr_pcalloc(r->pool, sizeof(*outcome));
    clerk_request request = CLERK_REQUEST_INIT;
    clerk_header headers[MAC_PAGE_HEADERS];
    clerk_error *error = NULL;

    if (token_source & MAC_SOURCE_HEADER)
        request.authorization = line(r, "Authorization");
    if (token_source & MAC_SOURCE_COOKIE)
        request.cookie = line(r, "Cookie");
    request.method = mac_str(method_of(r));
    request.host = line(r, "Host");
    request.origin = line(r, "Origin");
    request.sec_fetch_site = line(r, "Sec-Fetch-Site");
    mac_add_page(r, client, token_source, &request, headers);
    outcome->client = client;
    outcome->token_source = token_source;

    mac_enter(r);
    mac_apply_deliveries(r, client);
    outcome->status = clerk_authenticate(client->handle, &request, &outcome->result, &error);
    mac_leave();

    if (outcome->result)
        apr_pool_cleanup_register(r->pool, outcome->result, free_result, apr_pool_cleanup_null);
    else if (outcome->status >= 0)
        outcome->status = CLERK_E_PANIC; /* a status without a result is not signed in */
    if (error) {
        clerk_str message = clerk_error_message(error);

        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, "mod_auth_clerk: %s: %.*s", clerk_status_name(outcome->status),
                      (int)message.len, message.data ? message.data : "");
        clerk_error_free(error);
    }
    /* With the handshake a request whose token was not read, or that has none, is signed out, too. */
    if (outcome->status == CLERK_SIGNED_OUT && clerk_result_is_anonymous(outcome->result))
        outcome->status = CLERK_NO_CREDENTIALS;
    mac_send_cookies(r, outcome->result);
    return outcome;
}

/* The outcome of the main request, or of the request before a redirect, is used again. */
static mac_outcome *outcome_of(request_rec *r, mac_client *client, int token_source)
{
    const mac_request *before = mac_request_of(r);

    if (before && before->outcome->client == client && before->outcome->token_source == token_source)
        return before->outcome;
    return authenticate(r, client, token_source);
}

/* --- responses ----------------------------------------------------------------------------------------------------- */

static void set_challenge(request_rec *r, const char *challenge)
{
    apr_table_setn(r->err_headers_out, "WWW-Authenticate", challenge);
}

static const char *realm_of(request_rec *r)
{
    const char *realm = ap_auth_name(r);

    return realm ? realm : "clerk";
}

static const char *plain_challenge(request_rec *r, const char *error)
{
    return apr_psprintf(r->pool, "Bearer realm=\"%s\"%s%s%s", ap_escape_quotes(r->pool, realm_of(r)),
                        error ? ", error=\"" : "", error ? error : "", error ? "\"" : "");
}

/* The challenge for a result, from the library, so that all servers send the same. */
static const char *challenge_of(request_rec *r, const clerk_result *result)
{
    clerk_str realm = mac_str(realm_of(r));
    size_t needed = 0;
    char *buffer;
    int32_t status = clerk_result_www_authenticate(result, realm, NULL, 0, &needed);

    if (status == CLERK_E_ARGUMENT && needed > 0) {
        buffer = apr_palloc(r->pool, needed + 1);
        if (clerk_result_www_authenticate(result, realm, buffer, needed + 1, &needed) == CLERK_OK)
            return buffer;
    }
    return plain_challenge(r, NULL);
}

/* Whether a browser navigates to a page, so that it can follow a redirect to the sign-in page. */
static int is_page_request(const request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");
    const char *mode = apr_table_get(r->headers_in, "Sec-Fetch-Mode");

    if (r->main || r->method_number != M_GET || apr_table_get(r->headers_in, "Authorization"))
        return 0;
    return mode ? !strcmp(mode, "navigate") : accept && ap_strcasestr(accept, "text/html");
}

/* Percent-encodes everything except unreserved characters (RFC 3986). */
static char *query_value(apr_pool_t *p, const char *value)
{
    static const char hex[] = "0123456789ABCDEF";
    char *encoded = apr_palloc(p, 3 * strlen(value) + 1), *out = encoded;

    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;

        if ((c < 0x80 && apr_isalnum(c)) || strchr("-._~", c)) {
            *out++ = (char)c;
        } else {
            *out++ = '%';
            *out++ = hex[c >> 4];
            *out++ = hex[c & 15];
        }
    }
    *out = 0;
    return encoded;
}

static int redirect_to_login(request_rec *r, const mac_dir_conf *conf)
{
    const char *wrong = NULL, *url;

    if (!conf->login_url || !is_page_request(r))
        return 0;
    url = ap_expr_str_exec(r, conf->login_url, &wrong);
    if (wrong || !url || !*url || url[strcspn(url, "\r\n")]) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "mod_auth_clerk: ClerkLoginURL: %s", wrong ? wrong : "not a URL");
        return 0;
    }
    if (conf->login_parameter)
        url = apr_pstrcat(r->pool, url, ap_strchr_c(url, '?') ? "&" : "?", conf->login_parameter, "=",
                          query_value(r->pool, ap_construct_url(r->pool, r->unparsed_uri, r)), NULL);
    apr_table_setn(r->err_headers_out, "Location", url);
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    return HTTP_MOVED_TEMPORARILY;
}

static int unauthorized(request_rec *r, const mac_dir_conf *conf, const char *challenge, const mac_outcome *outcome)
{
    int redirect = mac_may_sign_in(outcome) ? redirect_to_login(r, conf) : 0;

    if (redirect)
        return redirect;
    set_challenge(r, challenge);
    return HTTP_UNAUTHORIZED;
}

static int unavailable(request_rec *r, const mac_dir_conf *conf, const clerk_result *result)
{
    int status = conf->unavailable == MAC_UNSET ? HTTP_SERVICE_UNAVAILABLE : conf->unavailable;
    apr_int64_t ms = result ? clerk_result_retry_after_ms(result) : -1;

    if (status == HTTP_UNAUTHORIZED)
        set_challenge(r, plain_challenge(r, NULL));
    else if (status == HTTP_SERVICE_UNAVAILABLE)
        apr_table_setn(r->err_headers_out, "Retry-After",
                       apr_psprintf(r->pool, "%" APR_INT64_T_FMT, ms > 1000 ? (ms + 999) / 1000 : 1));
    return status;
}

static int refuse(request_rec *r, const mac_dir_conf *conf, const mac_outcome *outcome)
{
    int status = outcome->result ? clerk_result_http_status(outcome->result) : HTTP_INTERNAL_SERVER_ERROR;

    switch (outcome->status) {
    case CLERK_NO_CREDENTIALS:
        return unauthorized(r, conf, plain_challenge(r, NULL), outcome);
    case CLERK_SIGNED_OUT:
        /* A redirect that is not sent is a refusal. */
        if (status == HTTP_UNAUTHORIZED || status == HTTP_TEMPORARY_REDIRECT)
            return unauthorized(r, conf, challenge_of(r, outcome->result), outcome);
        if (status == HTTP_FORBIDDEN) {
            /* No other token would help against CSRF. */
            if (clerk_result_reason(outcome->result) != CLERK_REASON_CSRF_FAILED)
                set_challenge(r, challenge_of(r, outcome->result));
            return status;
        }
        return HTTP_INTERNAL_SERVER_ERROR;
    case CLERK_UNAVAILABLE:
        return status == HTTP_INTERNAL_SERVER_ERROR ? status : unavailable(r, conf, outcome->result);
    case CLERK_E_FORKED:
        return unavailable(r, conf, NULL);
    default:
        return HTTP_INTERNAL_SERVER_ERROR;
    }
}

/* --- phases ---------------------------------------------------------------------------------------------------------- */

static int is_ours(request_rec *r)
{
    const char *type = ap_auth_type(r);

    return type && !ap_cstr_casecmp(type, MAC_AUTH_TYPE);
}

/* For log lines: ", request ID", if mod_unique_id is loaded. */
const char *mac_request_id(const request_rec *r)
{
    const char *id = apr_table_get(r->subprocess_env, "UNIQUE_ID");

    return id ? apr_pstrcat(r->pool, ", request ", id, NULL) : "";
}

/* Logs one line for each rejection, without any data of the request. */
static void log_refusal(request_rec *r, const char *reason, int status)
{
    apr_table_setn(r->subprocess_env, "CLERK_REASON", reason);
    ap_log_rerror(APLOG_MARK, status >= 500 ? APLOG_WARNING : APLOG_INFO, 0, r, "mod_auth_clerk: rejected: %s, status %d%s",
                  reason, status, mac_request_id(r));
}

static int check_outcome(request_rec *r, const mac_dir_conf *conf, mac_request *state)
{
    const mac_outcome *outcome = state->outcome;
    const char *user;
    int status = mac_redirect_page(r, outcome);

    if (status)
        return status;
    if (outcome->status == CLERK_NO_CREDENTIALS && mac_flag(conf->optional, 0)) {
        state->is_anonymous = 1;
        r->user = apr_pstrdup(r->pool, ""); /* Apache treats a missing user as an error; removed in the fixups */
        return OK;
    }
    if (outcome->status != CLERK_OK) {
        const char *reason = outcome->result ? clerk_result_reason_name(outcome->result) : clerk_status_name(outcome->status);

        status = refuse(r, conf, outcome);
        log_refusal(r, reason, status);
        return status;
    }
    user = mac_remote_user_of(r, conf, outcome->result);
    if (!user || !*user) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, "mod_auth_clerk: ClerkRemoteUser: the result has no such value");
        log_refusal(r, "remote-user-missing", HTTP_FORBIDDEN);
        return HTTP_FORBIDDEN;
    }
    r->user = apr_pstrdup(r->pool, user);
    return OK;
}

int mac_check_authn(request_rec *r)
{
    const mac_dir_conf *conf = mac_dir_conf_of(r);
    int token_source = conf->token_source == MAC_UNSET ? MAC_SOURCE_HEADER | MAC_SOURCE_COOKIE : conf->token_source;
    mac_client *client;
    mac_request *state;

    if (!is_ours(r))
        return DECLINED;
    r->ap_auth_type = (char *)MAC_AUTH_TYPE;
    r->user = NULL;
    if (!(client = mac_client_of_request(r)))
        return HTTP_INTERNAL_SERVER_ERROR;
    mac_poll(client, r->request_time);
    state = apr_pcalloc(r->pool, sizeof(*state));
    state->outcome = outcome_of(r, client, token_source);
    ap_set_module_config(r->request_config, &auth_clerk_module, state);
    mac_set_outcome_env(r, state->outcome);
    return check_outcome(r, conf, state);
}

/* `Require all granted` with `ClerkOptional On`: all requests are accepted, and the identity of signed-in users is passed on. */
int mac_force_authn(request_rec *r)
{
    return is_ours(r) && mac_flag(mac_dir_conf_of(r)->optional, 0) ? OK : DECLINED;
}

/* Runs the other functions of this phase, then responds with 403 instead of 401 to signed-in users. */
int mac_check_authz(request_rec *r)
{
    mac_request *state = ap_get_module_config(r->request_config, &auth_clerk_module);
    int status;

    if (!state || state->in_authz || !is_ours(r))
        return DECLINED;
    /* `Require valid-user` takes any user that is not NULL. */
    if (state->is_anonymous)
        r->user = NULL;
    state->in_authz = 1;
    status = ap_run_auth_checker(r);
    state->in_authz = 0;
    if (state->is_anonymous)
        r->user = apr_pstrdup(r->pool, "");
    if (status != HTTP_UNAUTHORIZED && status != HTTP_FORBIDDEN)
        return status;
    if (state->is_anonymous) {
        if (status == HTTP_UNAUTHORIZED)
            status = unauthorized(r, mac_dir_conf_of(r), plain_challenge(r, NULL), state->outcome);
        log_refusal(r, "session-token-missing", status);
        return status;
    }
    set_challenge(r, plain_challenge(r, "insufficient_scope"));
    log_refusal(r, "insufficient-scope", HTTP_FORBIDDEN);
    return HTTP_FORBIDDEN;
}

int mac_note_auth_failure(request_rec *r, const char *auth_type)
{
    if (ap_cstr_casecmp(auth_type, MAC_AUTH_TYPE))
        return DECLINED;
    set_challenge(r, plain_challenge(r, mac_identity(r) ? "insufficient_scope" : NULL));
    return OK;
}
