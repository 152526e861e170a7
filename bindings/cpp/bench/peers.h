/* Libraries in C. Apart from bench.cpp: their names collide with those of cpp-jwt. */
#ifndef PEERS_H
#define PEERS_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* libjwt, as in its documentation: it takes the key as PEM each time. Each returns whether all calls accepted the token. */
bool libjwt_verifies(const char *token, const char *pem, int calls);

/* What mod_oauth2 calls for each request. Returns NULL if the options are wrong; never freed. */
struct liboauth2 *liboauth2_new(const char *pem, const char *options);
bool liboauth2_verifies(const struct liboauth2 *verifier, const char *token, int calls);

#ifdef __cplusplus
}
#endif

#endif
