/* Passes the identity to applications: REMOTE_USER, variables, request headers. */

#include "mod_auth_clerk.h"

#include <apr_base64.h>
#include <apr_lib.h>

/* One row: an attribute, its variable, its header. */
static const struct {
    int32_t attribute;
    const char *variable, *header;
} attributes[] = {
    { CLERK_ATTRIBUTE_SUBJECT, "CLERK_SUBJECT", NULL },
    { CLERK_ATTRIBUTE_USER_KEY, "CLERK_LOCAL_USER_ID", "X-Clerk-Local-User-Id" },
    { CLERK_ATTRIBUTE_SESSION_ID, "CLERK_SESSION_ID", "X-Clerk-Session-Id" },
    { CLERK_ATTRIBUTE_ORG_ID, "CLERK_ORG_ID", "X-Clerk-Org-Id" },
    { CLERK_ATTRIBUTE_ORG_SLUG, "CLERK_ORG_SLUG", "X-Clerk-Org-Slug" },
    { CLERK_ATTRIBUTE_ORG_ROLE, "CLERK_ORG_ROLE", "X-Clerk-Org-Role" },
    { CLERK_ATTRIBUTE_ORG_PERMISSIONS, "CLERK_ORG_PERMISSIONS", "X-Clerk-Org-Permissions" },
    { CLERK_ATTRIBUTE_AUTHORIZED_PARTY, "CLERK_AZP", NULL },
    { CLERK_ATTRIBUTE_ACTOR, "CLERK_ACTOR", "X-Clerk-Actor" },
    { CLERK_ATTRIBUTE_SCOPES, "CLERK_SCOPES", "X-Clerk-Scopes" },
    { CLERK_ATTRIBUTE_EMAIL, "CLERK_EMAIL", "X-Clerk-Email" },
    { CLERK_ATTRIBUTE_USERNAME, "CLERK_USERNAME", "X-Clerk-Username" },
};

char *mac_claim(apr_pool_t *p, const clerk_result *result, const char *path)
{
    size_t needed = 0;
    char *buffer;
    int32_t status = clerk_result_claim(result, mac_str(path), NULL, 0, &needed);

    if (status != CLERK_E_ARGUMENT || !needed)
        return NULL;
    buffer = apr_palloc(p, needed + 1);
    return clerk_result_claim(result, mac_str(path), buffer, needed + 1, &needed) == CLERK_OK ? buffer : NULL;
}

static int is_printable(const char *value)
{
    for (; *value; value++)
        if (apr_iscntrl(*value))
            return 0;
    return 1;
}

const char *mac_remote_user_of(request_rec *r, const mac_dir_conf *conf, const clerk_result *result)
{
    const char *value = NULL, *json;
    char *decoded;

    switch (conf->remote_user) {
    case MAC_REMOTE_USER_UNSET:
    case MAC_REMOTE_USER_ID:
        value = clerk_result_get(result, CLERK_ATTRIBUTE_SUBJECT).data;
        break;
    case MAC_REMOTE_USER_LOCAL_ID:
        value = clerk_result_user_key(result).data;
        break;
    case MAC_REMOTE_USER_EMAIL:
        value = clerk_result_get(result, CLERK_ATTRIBUTE_EMAIL).data;
        break;
    case MAC_REMOTE_USER_USERNAME:
        value = clerk_result_get(result, CLERK_ATTRIBUTE_USERNAME).data;
        break;
    case MAC_REMOTE_USER_CLAIM:
        if (!(json = mac_claim(r->pool, result, conf->remote_user_claim)))
            return NULL;
        decoded = apr_palloc(r->pool, strlen(json) + 1);
        if (mac_json_string(json, decoded))
            value = decoded;
        else if (apr_isdigit(*json))
            value = json;
        break;
    }
    return value && is_printable(value) ? value : NULL;
}

/* Variables for logs, set for every outcome. */
void mac_set_outcome_env(request_rec *r, const mac_outcome *outcome)
{
    const char *status = "unavailable";

    if (outcome->status == CLERK_OK)
        status = "signed-in";
    else if (outcome->status == CLERK_NO_CREDENTIALS)
        status = "signed-out";
    else if (outcome->status == CLERK_SIGNED_OUT)
        status = "invalid";
    apr_table_setn(r->subprocess_env, "CLERK_STATUS", status);
    if (!outcome->result)
        return;
    if (outcome->status == CLERK_OK)
        apr_table_setn(r->subprocess_env, "CLERK_CACHE",
                       clerk_result_source(outcome->result) == CLERK_SOURCE_CACHE ? "hit" : "miss");
    else
        apr_table_setn(r->subprocess_env, "CLERK_REASON", clerk_result_reason_name(outcome->result));
}

/* Percent-encodes characters that are not allowed in a header value, and `%`. */
static const char *header_value(apr_pool_t *p, clerk_str value)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t i, odd = 0;
    char *encoded, *out;

    for (i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];

        odd += c < 0x20 || c > 0x7e || c == '%' || (c == ' ' && (i == 0 || i + 1 == value.len));
    }
    if (!odd)
        return value.data;
    out = encoded = apr_palloc(p, value.len + 2 * odd + 1);
    for (i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];

        if (c < 0x20 || c > 0x7e || c == '%' || (c == ' ' && (i == 0 || i + 1 == value.len))) {
            *out++ = '%';
            *out++ = hex[c >> 4];
            *out++ = hex[c & 15];
        } else {
            *out++ = (char)c;
        }
    }
    *out = 0;
    return encoded;
}

static const char *base64url(apr_pool_t *p, clerk_str value)
{
    char *encoded = apr_palloc(p, apr_base64_encode_len((int)value.len)), *c;

    apr_base64_encode_binary(encoded, (const unsigned char *)value.data, (int)value.len);
    for (c = encoded; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    while (c > encoded && c[-1] == '=')
        *--c = 0;
    return encoded;
}

static void set_env(request_rec *r, const char *name, clerk_str value)
{
    if (value.data && !memchr(value.data, 0, value.len))
        apr_table_setn(r->subprocess_env, name, value.data);
}

static void set_header(request_rec *r, const char *name, clerk_str value)
{
    if (value.data)
        apr_table_setn(r->headers_in, name, header_value(r->pool, value));
}

static void pass_env(request_rec *r, const clerk_result *result, int claims)
{
    apr_int64_t expires = clerk_result_expires_at_ms(result);
    size_t i;

    set_env(r, "CLERK_USER_ID", clerk_result_user_id(result));
    for (i = 0; i < sizeof(attributes) / sizeof(*attributes); i++)
        set_env(r, attributes[i].variable, clerk_result_get(result, attributes[i].attribute));
    apr_table_setn(r->subprocess_env, "CLERK_TOKEN_KIND", clerk_token_kind_name(clerk_result_token_kind(result)));
    if (expires)
        apr_table_setn(r->subprocess_env, "CLERK_EXP", apr_psprintf(r->pool, "%" APR_INT64_T_FMT, expires / 1000));
    if (claims)
        set_env(r, "CLERK_CLAIMS", clerk_result_claims_json(result));
}

static void pass_headers(request_rec *r, const clerk_result *result, int claims)
{
    clerk_str json = clerk_result_claims_json(result);
    size_t i;

    /* Headers without a value are removed, even with `ClerkStripHeaders Off`: the client must not set them. */
    mac_strip_headers(r);
    apr_table_setn(r->headers_in, "X-Clerk-Auth-Status", "signed-in");
    set_header(r, "X-Clerk-User-Id", clerk_result_user_id(result));
    for (i = 0; i < sizeof(attributes) / sizeof(*attributes); i++)
        if (attributes[i].header)
            set_header(r, attributes[i].header, clerk_result_get(result, attributes[i].attribute));
    apr_table_setn(r->headers_in, "X-Clerk-Token-Kind", clerk_token_kind_name(clerk_result_token_kind(result)));
    if (claims && json.data)
        apr_table_setn(r->headers_in, "X-Clerk-Claims", base64url(r->pool, json));
}

/* The last phase before the response: only accepted requests get here. */
int mac_fixups(request_rec *r)
{
    const mac_dir_conf *conf = mac_dir_conf_of(r);
    const mac_request *state = mac_request_of(r);
    int is_ours = r->ap_auth_type && !strcmp(r->ap_auth_type, MAC_AUTH_TYPE);

    /* Before a redirect, another directory may have added headers that do not apply here. A module that has read the body may
     * have added its trailers. */
    if (r->prev || r->main || !apr_is_empty_table(r->trailers_in))
        mac_strip_request_headers(r);
    if (!state || !is_ours || !r->user)
        return DECLINED;
    if (state->is_anonymous) {
        if (mac_flag(conf->pass_headers, 0)) {
            mac_strip_headers(r);
            apr_table_setn(r->headers_in, "X-Clerk-Auth-Status", "signed-out");
        }
        r->user = NULL;
        r->ap_auth_type = NULL;
        return DECLINED;
    }
    if (state->outcome->status != CLERK_OK)
        return DECLINED;
    mac_set_outcome_env(r, state->outcome);
    if (mac_flag(conf->pass_env, 1))
        pass_env(r, state->outcome->result, mac_flag(conf->pass_claims, 0));
    if (mac_flag(conf->pass_headers, 0))
        pass_headers(r, state->outcome->result, mac_flag(conf->pass_claims, 0));
    return DECLINED;
}
