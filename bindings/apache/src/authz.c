/* `Require clerk-…`: one of the values has to match. */

#include "mod_auth_clerk.h"

#include <mod_auth.h>

/* In the order of `names`. */
typedef enum { ROLE, PERMISSION, ORG, FEATURE, PLAN, CLAIM, REVERIFICATION } demand_kind;

static const char *const names[] = { "clerk-role", "clerk-permission", "clerk-org",   "clerk-feature",
                                     "clerk-plan", "clerk-claim",      "clerk-reverification" };

/* A parsed `Require` line. */
typedef struct {
    demand_kind kind;
    apr_array_header_t *values; /* of const char *; for claims, names and values alternate */
} mac_demand;

static int has(const clerk_result *result, int32_t check, const char *value)
{
    return clerk_result_has(result, check, mac_str(value));
}

static int is_in_org(const clerk_result *result, const char *value)
{
    clerk_str id = clerk_result_get(result, CLERK_ATTRIBUTE_ORG_ID), slug = clerk_result_get(result, CLERK_ATTRIBUTE_ORG_SLUG);

    if (!id.data)
        return 0;
    return strncmp(value, "org_", 4) ? slug.data && !strcmp(slug.data, value) : !strcmp(id.data, value);
}

static int has_claim(apr_pool_t *p, const clerk_result *result, const char *name, const char *value)
{
    char *json = mac_claim(p, result, name);

    return json && mac_claim_is(json, value, apr_palloc(p, strlen(json) + 1));
}

static int is_met(request_rec *r, const clerk_result *result, const mac_demand *demand)
{
    int i, step = demand->kind == CLAIM ? 2 : 1;

    for (i = 0; i < demand->values->nelts; i += step) {
        const char *value = APR_ARRAY_IDX(demand->values, i, const char *);
        int met = 0;

        switch (demand->kind) {
        case ROLE:
            met = has(result, CLERK_CHECK_ROLE, value);
            break;
        case PERMISSION:
            met = has(result, CLERK_CHECK_PERMISSION, value);
            break;
        case FEATURE:
            met = has(result, CLERK_CHECK_FEATURE, value);
            break;
        case PLAN:
            met = has(result, CLERK_CHECK_PLAN, value);
            break;
        case REVERIFICATION:
            met = has(result, CLERK_CHECK_REVERIFICATION, value);
            break;
        case ORG:
            met = is_in_org(result, value);
            break;
        case CLAIM:
            met = has_claim(r->pool, result, value, APR_ARRAY_IDX(demand->values, i + 1, const char *));
            break;
        }
        if (met)
            return 1;
    }
    return 0;
}

static const char *or_none(clerk_str value)
{
    return value.data ? value.data : "none";
}

static authz_status check(request_rec *r, const char *require_line, const void *parsed)
{
    const mac_demand *demand = parsed;
    const clerk_result *result = mac_identity(r);

    if (!result)
        return r->user && *r->user ? AUTHZ_DENIED : AUTHZ_DENIED_NO_USER;
    if (is_met(r, result, demand))
        return AUTHZ_GRANTED;
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  "mod_auth_clerk: expected %s %s; found organization %s, role %s, permissions %s, features %s, plans %s",
                  names[demand->kind], require_line,
                  or_none(clerk_result_get(result, CLERK_ATTRIBUTE_ORG_ID)),
                  or_none(clerk_result_get(result, CLERK_ATTRIBUTE_ORG_ROLE)),
                  or_none(clerk_result_get(result, CLERK_ATTRIBUTE_ORG_PERMISSIONS)),
                  or_none(clerk_result_get(result, CLERK_ATTRIBUTE_FEATURES)),
                  or_none(clerk_result_get(result, CLERK_ATTRIBUTE_PLANS)));
    return AUTHZ_DENIED;
}

/* `name:value`; a colon in the name is written `\:`. */
static const char *split_claim(apr_pool_t *p, const char *word, const char **name, const char **value)
{
    char *out = apr_palloc(p, strlen(word) + 1);

    *name = out;
    for (; *word && *word != ':'; word++) {
        if (*word == '\\' && word[1] == ':')
            word++;
        *out++ = *word;
    }
    *out = 0;
    if (!**name || *word != ':' || !word[1])
        return "Require clerk-claim: must be NAME:VALUE";
    *value = apr_pstrdup(p, word + 1);
    return NULL;
}

/* Returns whether the library knows the value: a preset, or a level and minutes. */
static int is_reverification(const char *value)
{
    static const char *const known[] = { "strict_mfa", "strict", "moderate", "lax", "first_factor:", "second_factor:", "multi_factor:" };
    size_t i, digits;

    for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
        size_t len = strlen(known[i]);

        if (known[i][len - 1] != ':' && !strcmp(value, known[i]))
            return 1;
        if (known[i][len - 1] == ':' && !strncmp(value, known[i], len)) {
            digits = strspn(value + len, "0123456789");
            return digits > 0 && digits < 10 && value[len] != '0' && !value[len + digits];
        }
    }
    return 0;
}

static const char *parse(cmd_parms *cmd, const char *line, const void **parsed, demand_kind kind)
{
    mac_demand *made = apr_palloc(cmd->pool, sizeof(*made));
    const char *word;

    made->kind = kind;
    made->values = apr_array_make(cmd->pool, 2, sizeof(const char *));
    while (*(word = ap_getword_conf(cmd->pool, &line))) {
        const char *value = NULL, *wrong = kind == CLAIM ? split_claim(cmd->pool, word, &word, &value) : NULL;

        if (wrong)
            return wrong;
        if (kind == REVERIFICATION && !is_reverification(word))
            return "Require clerk-reverification: must be strict_mfa, strict, moderate, lax, or a level and minutes, such as "
                   "first_factor:10";
        APR_ARRAY_PUSH(made->values, const char *) = word;
        if (kind == CLAIM)
            APR_ARRAY_PUSH(made->values, const char *) = value;
    }
    *parsed = made;
    return made->values->nelts ? NULL : apr_pstrcat(cmd->pool, "Require ", names[kind], ": a value is needed", NULL);
}

#define PROVIDER(name, kind)                                                                 \
    static const char *parse_##name(cmd_parms *cmd, const char *line, const void **parsed) \
    {                                                                                        \
        return parse(cmd, line, parsed, kind);                                               \
    }                                                                                        \
    static const authz_provider provider_##name = { check, parse_##name }

PROVIDER(role, ROLE);
PROVIDER(permission, PERMISSION);
PROVIDER(org, ORG);
PROVIDER(feature, FEATURE);
PROVIDER(plan, PLAN);
PROVIDER(claim, CLAIM);
PROVIDER(reverification, REVERIFICATION);

void mac_register_authz(apr_pool_t *p)
{
    static const authz_provider *const providers[] = { &provider_role, &provider_permission, &provider_org,         &provider_feature,
                                                       &provider_plan, &provider_claim,      &provider_reverification };
    size_t i;

    for (i = 0; i < sizeof(providers) / sizeof(*providers); i++)
        ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, names[i], AUTHZ_PROVIDER_VERSION, providers[i], AP_AUTH_INTERNAL_PER_CONF);
}
