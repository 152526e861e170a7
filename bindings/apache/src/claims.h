/* Claims as the library hands them out: valid JSON. No I/O. */

#ifndef MAC_CLAIMS_H
#define MAC_CLAIMS_H

/* Writes the string that `json` is into `out`, which holds at least strlen(json) + 1 bytes. Returns what follows the
 * string, or NULL if `json` is no string or holds a NUL. */
const char *mac_json_string(const char *json, char *out);

/* Returns 1 if the claim is `value`: an equal string, a number or boolean that is written so, or an array that holds one
 * of these. `scratch` holds at least strlen(json) + 1 bytes. */
int mac_claim_is(const char *json, const char *value, char *scratch);

#endif
