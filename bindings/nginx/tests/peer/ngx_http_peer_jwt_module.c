/* For bench.py only: the least that a JWT module for nginx does on Debian's libraries. jansson parses header and claims, OpenSSL
 * verifies RS256 with a key that was parsed at start, as kjdev/nginx-auth-jwt 0.14.1 does (src/ngx_auth_jwt_jws.c), and exp is
 * checked; issuer, azp, kid and variables are not. */
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

typedef struct {
    EVP_PKEY *key;
} peer_conf_t;

extern ngx_module_t ngx_http_peer_jwt_module;

static json_t *
decode(ngx_pool_t *pool, u_char *from, u_char *to)
{
    ngx_str_t in = { to - from, from }, out;

    out.data = ngx_pnalloc(pool, ngx_base64_decoded_length(in.len));
    if (out.data == NULL || ngx_decode_base64url(&out, &in) != NGX_OK) {
        return NULL;
    }
    return json_loadb((char *) out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
}

static ngx_int_t
access_handler(ngx_http_request_t *r)
{
    peer_conf_t *conf = ngx_http_get_module_loc_conf(r, ngx_http_peer_jwt_module);
    ngx_int_t rc = NGX_HTTP_UNAUTHORIZED;

    if (conf->key == NULL) {
        return NGX_DECLINED;
    }
    if (r->headers_in.authorization == NULL || r->headers_in.authorization->value.len < 7) {
        return rc;
    }
    u_char *token = r->headers_in.authorization->value.data + 7;
    u_char *end = r->headers_in.authorization->value.data + r->headers_in.authorization->value.len;
    u_char *first = ngx_strlchr(token, end, '.');
    u_char *second = first ? ngx_strlchr(first + 1, end, '.') : NULL;
    if (second == NULL) {
        return rc;
    }
    json_t *header = decode(r->pool, token, first), *claims = decode(r->pool, first + 1, second);
    ngx_str_t in = { end - second - 1, second + 1 }, signature;
    signature.data = ngx_pnalloc(r->pool, ngx_base64_decoded_length(in.len));
    const char *alg = json_string_value(json_object_get(header, "alg"));

    if (claims && alg && ngx_strcmp(alg, "RS256") == 0 && signature.data && ngx_decode_base64url(&signature, &in) == NGX_OK
        && json_integer_value(json_object_get(claims, "exp")) > ngx_time())
    {
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        if (md && EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, conf->key) == 1
            && EVP_DigestVerify(md, signature.data, signature.len, token, second - token) == 1)
        {
            rc = NGX_OK;
        }
        EVP_MD_CTX_free(md);
    }
    json_decref(header);
    json_decref(claims);
    return rc;
}

static ngx_int_t
postconfiguration(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t *cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_http_handler_pt *h = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);

    if (h == NULL) {
        return NGX_ERROR;
    }
    *h = access_handler;
    return NGX_OK;
}

static void *
create_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(peer_conf_t));
}

static char *
set_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t *value = cf->args->elts;
    FILE *file = fopen((char *) value[1].data, "r");

    if (file == NULL) {
        return "cannot open the key";
    }
    ((peer_conf_t *) conf)->key = PEM_read_PUBKEY(file, NULL, NULL, NULL);
    fclose(file);
    return ((peer_conf_t *) conf)->key ? NGX_CONF_OK : "is no PEM key";
}

static ngx_command_t commands[] = {
    { ngx_string("peer_jwt_key"), NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1, set_key, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL },
    ngx_null_command
};

static ngx_http_module_t context = { NULL, postconfiguration, NULL, NULL, NULL, NULL, create_conf, NULL };

ngx_module_t ngx_http_peer_jwt_module = {
    NGX_MODULE_V1, &context, commands, NGX_HTTP_MODULE, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NGX_MODULE_V1_PADDING
};
