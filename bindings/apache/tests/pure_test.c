/* The functions without I/O, by table: cross-site requests and claims. */

#include "claims.h"
#include "csrf.h"

#include <stdio.h>
#include <string.h>

static int failures;

static const char *const trusted[] = { "https://app.example.com", NULL };

static const struct {
    const char *method, *host, *origin, *site;
    int is_websocket, passes;
} requests[] = {
    { "GET", "a.example", NULL, NULL, 0, 1 },
    { "HEAD", "a.example", "https://evil.example", "cross-site", 0, 1 },
    { "OPTIONS", "a.example", "https://evil.example", NULL, 0, 1 },
    { "TRACE", "a.example", NULL, NULL, 0, 1 },
    { "get", "a.example", NULL, NULL, 0, 0 },
    { "POST", "a.example", NULL, NULL, 0, 0 },
    { "POST", "a.example", "https://a.example", NULL, 0, 1 },
    { "POST", "a.example", "HTTPS://A.EXAMPLE", NULL, 0, 1 },
    { "POST", "a.example:443", "https://a.example", NULL, 0, 1 },
    { "POST", "a.example", "https://a.example:443", NULL, 0, 1 },
    { "POST", "a.example:80", "http://a.example", NULL, 0, 1 },
    { "POST", "a.example:8443", "https://a.example", NULL, 0, 0 },
    { "POST", "a.example", "http://a.example", NULL, 0, 1 },
    { "POST", "a.example", "ftp://a.example", NULL, 0, 0 },
    { "POST", "a.example", "a.example", NULL, 0, 0 },
    { "POST", "a.example:443", "http://a.example", NULL, 0, 0 },
    { "POST", "a.example:8080", "http://a.example:8080", NULL, 0, 1 },
    { "POST", "a.example", "https://a.example@evil.example", NULL, 0, 0 },
    { "POST", "a.example", "https://a.example.evil.example", NULL, 0, 0 },
    { "POST", "a.example", "https://evil.example", NULL, 0, 0 },
    { "POST", "a.example", "https://a.example, https://a.example", NULL, 0, 0 },
    { "POST", "a.example", "null", NULL, 0, 0 },
    { "POST", "a.example", "", NULL, 0, 0 },
    { "POST", "", "https://", NULL, 0, 0 },
    { "POST", NULL, "https://a.example", NULL, 0, 0 },
    { "POST", "a.example", "https://app.example.com", "cross-site", 0, 1 },
    { "POST", "a.example", "https://app.example.com/", "cross-site", 0, 0 },
    { "POST", "a.example", NULL, "same-origin", 0, 1 },
    { "POST", "a.example", NULL, "none", 0, 1 },
    { "POST", "a.example", NULL, "same-site", 0, 0 },
    { "POST", "a.example", NULL, "cross-site", 0, 0 },
    { "POST", "a.example", NULL, "Same-Origin", 0, 0 },
    { "DELETE", "a.example", "https://evil.example", "cross-site", 0, 0 },
    { "PATCH", "a.example", NULL, NULL, 0, 0 },
    { "PROPFIND", "a.example", NULL, NULL, 0, 0 },
    { NULL, "a.example", NULL, NULL, 0, 0 },
    { "GET", "a.example", "https://evil.example", NULL, 1, 0 },
    { "GET", "a.example", "https://a.example", NULL, 1, 1 },
    { "GET", "a.example", NULL, NULL, 1, 1 },
    { "GET", "a.example", NULL, "cross-site", 1, 0 },
};

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

int main(void)
{
    char scratch[128];
    size_t i;

    for (i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        mac_csrf_request request = { requests[i].method, requests[i].host,         requests[i].origin,
                                     requests[i].site,   requests[i].is_websocket, trusted };

        if (mac_csrf_passes(&request) != requests[i].passes)
            failures += !!printf("request %zu: expected %d\n", i, requests[i].passes);
    }
    for (i = 0; i < sizeof(claims) / sizeof(*claims); i++)
        if (mac_claim_is(claims[i].json, claims[i].value, scratch) != claims[i].is)
            failures += !!printf("claim %s, value %s: expected %d\n", claims[i].json, claims[i].value, claims[i].is);
    return failures != 0;
}
