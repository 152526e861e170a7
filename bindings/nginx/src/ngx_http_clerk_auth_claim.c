/* Converts a claim, as JSON, to the value of a variable. */

#include "ngx_http_clerk_auth.h"

static u_char *
ngx_http_clerk_auth_put_utf8(u_char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (u_char) c;
    } else if (c < 0x800) {
        *out++ = (u_char) (0xc0 | (c >> 6));
        *out++ = (u_char) (0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (u_char) (0xe0 | (c >> 12));
        *out++ = (u_char) (0x80 | ((c >> 6) & 0x3f));
        *out++ = (u_char) (0x80 | (c & 0x3f));
    } else {
        *out++ = (u_char) (0xf0 | (c >> 18));
        *out++ = (u_char) (0x80 | ((c >> 12) & 0x3f));
        *out++ = (u_char) (0x80 | ((c >> 6) & 0x3f));
        *out++ = (u_char) (0x80 | (c & 0x3f));
    }
    return out;
}

static ngx_int_t
ngx_http_clerk_auth_get_escape(u_char **p, u_char *last, uint32_t *c)
{
    static const u_char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    u_char *found;
    ngx_int_t high, low;

    if (*p >= last) {
        return NGX_ERROR;
    }
    if (**p != 'u') {
        found = (u_char *) ngx_strchr(from, **p);
        if (found == NULL || **p == '\0') {
            return NGX_ERROR;
        }
        *c = to[found - from];
        (*p)++;
        return NGX_OK;
    }
    if (last - *p < 5 || (high = ngx_hextoi(*p + 1, 4)) == NGX_ERROR) {
        return NGX_ERROR;
    }
    *p += 5;
    *c = (uint32_t) high;
    if (high < 0xd800 || high > 0xdfff) {
        return NGX_OK;
    }
    if (high > 0xdbff || last - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u'
        || (low = ngx_hextoi(*p + 2, 4)) == NGX_ERROR || low < 0xdc00 || low > 0xdfff)
    {
        return NGX_ERROR;
    }
    *p += 6;
    *c = 0x10000 + ((uint32_t) (high - 0xd800) << 10) + (uint32_t) (low - 0xdc00);
    return NGX_OK;
}

/* Reads a string after its opening quote up to and including the closing one. Control characters would split a header line. */
static ngx_int_t
ngx_http_clerk_auth_get_string(u_char **p, u_char *last, u_char **out)
{
    uint32_t c;

    while (*p < last && **p != '"') {
        if (**p != '\\') {
            if (**p < 0x20 || **p == 0x7f) {
                return NGX_ERROR;
            }
            *(*out)++ = *(*p)++;
            continue;
        }
        (*p)++;
        if (ngx_http_clerk_auth_get_escape(p, last, &c) != NGX_OK || c < 0x20 || c == 0x7f) {
            return NGX_ERROR;
        }
        *out = ngx_http_clerk_auth_put_utf8(*out, c);
    }
    if (*p >= last) {
        return NGX_ERROR;
    }
    (*p)++;
    return NGX_OK;
}

/* A scalar in an array, up to "," or "]". */
static ngx_int_t
ngx_http_clerk_auth_get_scalar(u_char **p, u_char *last, u_char **out)
{
    if (*p < last && **p == '"') {
        (*p)++;
        return ngx_http_clerk_auth_get_string(p, last, out);
    }
    while (*p < last && **p != ',' && **p != ']') {
        if (**p == '{' || **p == '[' || **p == '"' || **p < 0x20) {
            return NGX_ERROR;
        }
        *(*out)++ = *(*p)++;
    }
    return NGX_OK;
}

/*
 * Strings without their quotes, arrays of scalars joined by ",", everything else as JSON. NGX_DECLINED: the claim is
 * null, or has a control character, which must not get into a header.
 */
ngx_int_t
ngx_http_clerk_auth_claim_value(ngx_pool_t *pool, ngx_str_t *json, ngx_str_t *value)
{
    u_char *p = json->data, *last = json->data + json->len, *out;

    if (json->len == 0 || (json->len == 4 && ngx_strncmp(json->data, "null", 4) == 0)) {
        return NGX_DECLINED;
    }
    out = ngx_pnalloc(pool, json->len);
    if (out == NULL) {
        return NGX_ERROR;
    }
    value->data = out;
    if (*p == '"') {
        p++;
        if (ngx_http_clerk_auth_get_string(&p, last, &out) != NGX_OK || p != last) {
            return NGX_DECLINED;
        }
        value->len = out - value->data;
        return NGX_OK;
    }
    if (*p == '[') {
        do {
            p++;
            if (ngx_http_clerk_auth_get_scalar(&p, last, &out) != NGX_OK) {
                break;
            }
            if (p < last && *p == ',') {
                *out++ = ',';
            }
        } while (p < last && *p == ',');
        if (p == last - 1 && *p == ']') {
            value->len = out - value->data;
            return NGX_OK;
        }
    }
    for (p = json->data; p < last; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            return NGX_DECLINED;
        }
    }
    *value = *json;
    return NGX_OK;
}
