/* Reads claims as the library returns them: valid JSON. No I/O. */

#ifndef MAC_CLAIMS_H
#define MAC_CLAIMS_H

/* Writes the JSON string at `json` to `out`, which has at least strlen(json) + 1 bytes. Returns the end of the string in
 * `json`, or NULL if it is not a string or contains a NUL. */
const char *mac_json_string(const char *json, char *out);

/* Returns 1 if the claim is `value`: an equal string, a number or boolean with this spelling, or an array that contains one
 * of these. `scratch` has at least strlen(json) + 1 bytes. */
int mac_claim_is(const char *json, const char *value, char *scratch);

#endif
