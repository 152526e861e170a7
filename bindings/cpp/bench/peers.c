#include "peers.h"

#include <jwt.h>
#include <oauth2/oauth2.h>
#include <oauth2/util.h>
#include <stdlib.h>
#include <string.h>

bool libjwt_verifies(const char *token, const char *pem, int calls)
{
    bool good = true;
    for (int i = 0; i < calls; i++) {
        jwt_t *jwt = NULL;
        good = jwt_decode(&jwt, token, (const unsigned char *)pem, (int)strlen(pem)) == 0 && jwt_get_alg(jwt) == JWT_ALG_RS256 &&
               jwt_get_grant(jwt, "sub") != NULL && good;
        jwt_free(jwt);
    }
    return good;
}

struct liboauth2 {
    oauth2_log_t *log;
    oauth2_cfg_token_verify_t *verify;
};

struct liboauth2 *liboauth2_new(const char *pem, const char *options)
{
    struct liboauth2 *verifier = calloc(1, sizeof(*verifier));
    if (verifier == NULL) return NULL;
    verifier->log = oauth2_init(OAUTH2_LOG_ERROR, NULL);
    return oauth2_cfg_token_verify_add_options(verifier->log, &verifier->verify, "pubkey", pem, options) == NULL ? verifier : NULL;
}

bool liboauth2_verifies(const struct liboauth2 *verifier, const char *token, int calls)
{
    bool good = true;
    for (int i = 0; i < calls; i++) {
        json_t *payload = NULL;
        good = oauth2_token_verify(verifier->log, NULL, verifier->verify, token, &payload) &&
               json_object_get(payload, "sub") != NULL && good;
        json_decref(payload);
    }
    return good;
}
