/* Names of request headers, without I/O. */

#ifndef MAC_NAMES_H
#define MAC_NAMES_H

#include <stddef.h>

/* Returns whether a backend may treat the name as one of X-Clerk-*. */
int mac_is_identity_name(const char *name, size_t len);

/* Returns whether a `Connection` header has such a name. */
int mac_has_identity_name(const char *connection);

/* Writes a `Connection` header without such names. `out` has space for twice the length of `connection`, and one more byte. */
void mac_remove_identity_names(const char *connection, char *out);

#endif
