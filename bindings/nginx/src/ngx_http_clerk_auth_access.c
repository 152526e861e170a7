/* From a result to a decision: requirements, headers for the application. */

#include "ngx_http_clerk_auth.h"

static ngx_uint_t
ngx_http_clerk_auth_has(const clerk_result *result, ngx_uint_t requirement, ngx_str_t *value)
{
    static const int32_t checks[] = { CLERK_CHECK_ROLE, CLERK_CHECK_PERMISSION, CLERK_CHECK_FEATURE,
        CLERK_CHECK_PLAN };
    clerk_str name = { (const char *) value->data, value->len }, id;
    ngx_uint_t i;

    if (requirement != NGX_HTTP_CLERK_AUTH_REQUIRE_ORG) {
        return clerk_result_has(result, checks[requirement], name) == 1;
    }
    for (i = 0; i < 2; i++) {
        id = clerk_result_get(result, i == 0 ? CLERK_ATTRIBUTE_ORG_ID : CLERK_ATTRIBUTE_ORG_SLUG);
        if (id.data != NULL && id.len == name.len && ngx_memcmp(id.data, name.data, id.len) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Returns NULL, or why a requirement is not met. */
static const char *
ngx_http_clerk_auth_failed_check(ngx_http_clerk_auth_loc_conf_t *lcf, const clerk_result *result)
{
    static const char *reasons[] = { "role-missing", "permission-missing", "feature-missing", "plan-missing",
        "organization-mismatch" };
    ngx_array_t *group;
    ngx_str_t *values;
    ngx_uint_t i, j, k;

    for (i = 0; i < NGX_HTTP_CLERK_AUTH_REQUIREMENTS; i++) {
        if (lcf->checks[i].groups == NULL) {
            continue;
        }
        group = lcf->checks[i].groups->elts;
        for (j = 0; j < lcf->checks[i].groups->nelts; j++) {
            values = group[j].elts;
            for (k = 0; k < group[j].nelts && !ngx_http_clerk_auth_has(result, i, &values[k]); k++) {
            }
            if (k == group[j].nelts) {
                return reasons[i];
            }
        }
    }
    return NULL;
}

/* Returns NGX_OK, NGX_ERROR, or the status of the first `clerk_auth_require` that is not met. */
static ngx_int_t
ngx_http_clerk_auth_failed_require(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf)
{
    ngx_http_clerk_auth_require_t *require;
    ngx_http_complex_value_t *values;
    ngx_str_t value;
    ngx_uint_t i, j;

    require = lcf->require == NULL ? NULL : lcf->require->elts;
    for (i = 0; require != NULL && i < lcf->require->nelts; i++) {
        values = require[i].values.elts;
        for (j = 0; j < require[i].values.nelts; j++) {
            if (ngx_http_complex_value(r, &values[j], &value) != NGX_OK) {
                return NGX_ERROR;
            }
            if (value.len == 0 || (value.len == 1 && value.data[0] == '0')) {
                return require[i].error;
            }
        }
    }
    return NGX_OK;
}

static ngx_int_t
ngx_http_clerk_auth_refuse_requirement(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf,
    ngx_http_clerk_auth_ctx_t *ctx, ngx_uint_t status, const char *reason)
{
    const char *error = "insufficient_scope";

    ngx_http_clerk_auth_counters.requirement_failed++;
    if (ctx->status != CLERK_OK) {
        /* Without a credential the challenge has no error code. */
        status = NGX_HTTP_UNAUTHORIZED;
        error = NULL;
    } else if (status == NGX_HTTP_UNAUTHORIZED) {
        error = "invalid_token";
    }
    ctx->refusal = reason;
    return ngx_http_clerk_auth_refuse(r, lcf, ctx, status, error, reason);
}

static ngx_int_t
ngx_http_clerk_auth_refuse_result(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf,
    ngx_http_clerk_auth_ctx_t *ctx)
{
    const char *reason = ngx_http_clerk_auth_reason(ctx);
    int32_t status = ctx->result == NULL ? NGX_HTTP_SERVICE_UNAVAILABLE : clerk_result_http_status(ctx->result);

    switch (ctx->status) {
    case CLERK_NO_CREDENTIALS:
        return ngx_http_clerk_auth_refuse(r, lcf, ctx, NGX_HTTP_UNAUTHORIZED, NULL, reason);
    case CLERK_SIGNED_OUT:
        if (clerk_result_reason(ctx->result) == CLERK_REASON_CSRF_FAILED) {
            ngx_http_clerk_auth_counters.csrf_rejected++;
            return ngx_http_clerk_auth_refuse(r, lcf, ctx, NGX_HTTP_FORBIDDEN, NULL, reason);
        }
        if (status == NGX_HTTP_FORBIDDEN) {
            return ngx_http_clerk_auth_refuse(r, lcf, ctx, NGX_HTTP_FORBIDDEN, "insufficient_scope", reason);
        }
        return ngx_http_clerk_auth_refuse(r, lcf, ctx, NGX_HTTP_UNAUTHORIZED,
            clerk_reason_category(clerk_result_reason(ctx->result)) == CLERK_CATEGORY_NO_CREDENTIALS ? NULL
                                                                                                      : "invalid_token",
            reason);
    case CLERK_UNAVAILABLE:
        /* 500: the server is misconfigured, for example Clerk rejects the secret key. A retry does not help. */
        if (status != NGX_HTTP_INTERNAL_SERVER_ERROR) {
            status = lcf->unavailable;
        }
        return ngx_http_clerk_auth_refuse(r, lcf, ctx, status, NULL, reason);
    default:
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "clerk_auth: %s", clerk_status_name(ctx->status));
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
}

/* Returns NGX_OK: signed in. NGX_DECLINED: anonymous, which is accepted here. Else the status of the response. */
static ngx_int_t
ngx_http_clerk_auth_decide(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf, ngx_http_clerk_auth_ctx_t *ctx)
{
    const char *reason;
    ngx_int_t rc;

    if (ctx->status == CLERK_OK) {
        /* It may be of the location that the request was redirected from. */
        ctx->refusal = NULL;
    } else if (ctx->status != CLERK_NO_CREDENTIALS || lcf->mode != NGX_HTTP_CLERK_AUTH_OPTIONAL) {
        return ngx_http_clerk_auth_refuse_result(r, lcf, ctx);
    }
    reason = ngx_http_clerk_auth_failed_check(lcf, ctx->result);
    if (reason != NULL) {
        return ngx_http_clerk_auth_refuse_requirement(r, lcf, ctx, NGX_HTTP_FORBIDDEN, reason);
    }
    rc = ngx_http_clerk_auth_failed_require(r, lcf);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }
    if (rc != NGX_OK) {
        return ngx_http_clerk_auth_refuse_requirement(r, lcf, ctx, rc, "requirement-failed");
    }
    return ctx->status == CLERK_OK ? NGX_OK : NGX_DECLINED;
}

static ngx_int_t
ngx_http_clerk_auth_forward_identity(ngx_http_request_t *r, ngx_http_clerk_auth_loc_conf_t *lcf,
    ngx_http_clerk_auth_ctx_t *ctx)
{
    if (!lcf->pass_headers && !ctx->has_added_headers) {
        return NGX_OK;
    }
    /* Removes the client's headers if this location did not, and those that a location before a redirect added. */
    if (ngx_http_clerk_auth_remove_headers(r) != NGX_OK) {
        return NGX_ERROR;
    }
    ctx->has_added_headers = 0;
    if (!lcf->pass_headers) {
        return NGX_OK;
    }
    ctx->has_added_headers = 1;
    return ngx_http_clerk_auth_pass_headers(r, &r->headers_in.headers, ctx, lcf->pass_claims);
}

ngx_int_t
ngx_http_clerk_auth_access_handler(ngx_http_request_t *r)
{
    ngx_http_clerk_auth_loc_conf_t *lcf;
    ngx_http_clerk_auth_ctx_t *ctx = NULL;
    ngx_int_t rc, decision;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_clerk_auth_module);
    if (lcf->mode == NGX_HTTP_CLERK_AUTH_OFF || lcf->serves == NGX_HTTP_CLERK_AUTH_SERVES_ENDPOINT
        || lcf->serves == NGX_HTTP_CLERK_AUTH_SERVES_WEBHOOK)
    {
        return NGX_DECLINED;
    }
    rc = ngx_http_clerk_auth_verify(r, lcf, &ctx);
    if (rc != NGX_OK) {
        return rc == NGX_AGAIN ? NGX_AGAIN : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    rc = ngx_http_clerk_auth_redirect_page(r, ctx);
    if (rc != NGX_DECLINED) {
        return rc;
    }
    decision = ngx_http_clerk_auth_decide(r, lcf, ctx);
    if (decision == NGX_OK || decision == NGX_DECLINED) {
        return ngx_http_clerk_auth_forward_identity(r, lcf, ctx) == NGX_OK ? decision : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return decision == NGX_ERROR ? NGX_HTTP_INTERNAL_SERVER_ERROR : decision;
}

/* The access phase does not run in subrequests, such as those of `auth_request`. */
ngx_int_t
ngx_http_clerk_auth_preaccess_handler(ngx_http_request_t *r)
{
    ngx_http_clerk_auth_loc_conf_t *lcf;
    ngx_http_clerk_auth_ctx_t *ctx = NULL;
    ngx_int_t rc;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_clerk_auth_module);
    if (lcf->serves != NGX_HTTP_CLERK_AUTH_SERVES_ENDPOINT) {
        return NGX_DECLINED;
    }
    rc = ngx_http_clerk_auth_verify(r, lcf, &ctx);
    if (rc == NGX_OK) {
        return NGX_DECLINED;
    }
    return rc == NGX_AGAIN ? NGX_AGAIN : NGX_HTTP_INTERNAL_SERVER_ERROR;
}

/* 200 with X-Clerk-* response headers, or a rejection: for `auth_request` and for forward authentication over HTTP. */
ngx_int_t
ngx_http_clerk_auth_endpoint_handler(ngx_http_request_t *r)
{
    ngx_http_clerk_auth_loc_conf_t *lcf;
    ngx_http_clerk_auth_ctx_t *ctx = NULL;
    ngx_str_t nothing = ngx_null_string;
    ngx_int_t rc;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_clerk_auth_module);
    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }
    /* The preaccess phase has verified it. */
    if (ngx_http_clerk_auth_verify(r, lcf, &ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    rc = ngx_http_clerk_auth_decide(r, lcf, ctx);
    if (rc != NGX_OK && rc != NGX_DECLINED) {
        return rc == NGX_ERROR ? NGX_HTTP_INTERNAL_SERVER_ERROR : rc;
    }
    if (ngx_http_clerk_auth_pass_headers(r, &r->headers_out.headers, ctx, lcf->pass_claims) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_clerk_auth_send(r, NGX_HTTP_OK, &nothing, &nothing);
}
