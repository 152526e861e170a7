/* The functions without I/O, by table: claims, names of headers. */

#include "claims.h"
#include "names.h"

#include <stdio.h>
#include <string.h>

static int failures;

static const struct {
    const char *json, *value;
    int is;
} claims[] = {
    { "\"gold\"", "gold", 1 },
    { "\"gold\"", "Gold", 0 },
    { "\"gold\"", "gol", 0 },
    { "\"gol\"", "gold", 0 },
    { "\"\"", "", 1 },
    { " \"a b\" ", "a b", 1 },
    { "7", "7", 1 },
    { "7", "70", 0 },
    { "70", "7", 0 },
    { "-1.5e3", "-1.5e3", 1 },
    { "true", "true", 1 },
    { "true", "false", 0 },
    { "null", "null", 0 },
    { "\"null\"", "null", 1 },
    { "[\"a\",\"b\"]", "b", 1 },
    { "[ \"a\" , \"b\" ]", "b", 1 },
    { "[\"a\",\"b\"]", "c", 0 },
    { "[]", "", 0 },
    { "[1,2,3]", "2", 1 },
    { "[true,null]", "null", 0 },
    { "[[\"a\"],\"b\"]", "a", 0 },
    { "[[\"a\"],\"b\"]", "b", 1 },
    { "[{\"a\":[1,\"]\"]},\"b\"]", "b", 1 },
    { "[\"a,b\",\"c\"]", "b", 0 },
    { "[\"]\",\"c\"]", "c", 1 },
    { "{\"a\":\"b\"}", "b", 0 },
    { "\"a\\\"b\"", "a\"b", 1 },
    { "\"a\\\\\"", "a\\", 1 },
    { "\"\\u00e9\"", "\xc3\xa9", 1 },
    { "\"\\u20AC\"", "\xe2\x82\xac", 1 },
    { "\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80", 1 },
    { "\"\\ud83d\"", "", 0 },
    { "\"a\\u0000b\"", "a", 0 },
    { "\"a\\n\"", "a\n", 1 },
    { "\"open", "open", 0 },
    { "\"open\\", "open", 0 },
    { "\"\\u12", "", 0 },
    { "[\"open", "open", 0 },
    { "[", "", 0 },
    { "", "", 0 },
};

/* What remains of a `Connection` header; NULL if it is not changed. */
static const struct {
    const char *connection, *remains;
} connections[] = {
    { "", NULL },
    { "close", NULL },
    { "close,,te ;", NULL },
    { "X-Clerk", NULL },
    { "X-Clerk-", "" },
    { "x-clerk-user-id", "" },
    { "close, X-Clerk-User-Id", "close" },
    { "X_Clerk.User,a;b\tc \"d\"", "a, b, c, d" },
    { "a,b,c,d,e,X-CLERK-A", "a, b, c, d, e" },
    { "\xff,X-Clerk-A,a-X-Clerk-B", "\xff, a-X-Clerk-B" },
};

static void check_connections(void)
{
    char out[128];
    size_t i;

    for (i = 0; i < sizeof(connections) / sizeof(*connections); i++) {
        const char *connection = connections[i].connection, *remains = connections[i].remains;

        if (mac_has_identity_name(connection) != (remains != NULL))
            failures += !!printf("Connection: %s: expected %d\n", connection, remains != NULL);
        mac_remove_identity_names(connection, out);
        if (remains && strcmp(out, remains))
            failures += !!printf("Connection: %s: expected %s, got %s\n", connection, remains, out);
    }
}

int main(void)
{
    char scratch[128];
    size_t i;

    for (i = 0; i < sizeof(claims) / sizeof(*claims); i++)
        if (mac_claim_is(claims[i].json, claims[i].value, scratch) != claims[i].is)
            failures += !!printf("claim %s, value %s: expected %d\n", claims[i].json, claims[i].value, claims[i].is);
    check_connections();
    return failures != 0;
}
