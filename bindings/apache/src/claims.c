#include "claims.h"

#include <stddef.h>
#include <string.h>

static const char *skip_space(const char *json)
{
    return json + strspn(json, " \t\r\n");
}

static long hex4(const char *digits)
{
    long value = 0;
    int i;

    for (i = 0; i < 4; i++) {
        char c = digits[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static char *put_utf8(char *out, long code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3f));
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    }
    return out;
}

/* `*json` points after the backslash. Returns the end of the output, or NULL. */
static char *put_escape(char *out, const char **json)
{
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *found;
    long code, low;

    if (**json != 'u') {
        if (!**json || !(found = strchr(escapes, **json)))
            return NULL;
        *out++ = meanings[found - escapes];
        (*json)++;
        return out;
    }
    if ((code = hex4(*json + 1)) <= 0)
        return NULL;
    *json += 5;
    if (code >= 0xd800 && code < 0xdc00) {
        if ((*json)[0] != '\\' || (*json)[1] != 'u' || (low = hex4(*json + 2)) < 0xdc00 || low > 0xdfff)
            return NULL;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        *json += 6;
    } else if (code >= 0xdc00 && code < 0xe000) {
        return NULL;
    }
    return put_utf8(out, code);
}

const char *mac_json_string(const char *json, char *out)
{
    json = skip_space(json);
    if (*json++ != '"')
        return NULL;
    while (*json != '"') {
        if (!*json)
            return NULL;
        if (*json != '\\') {
            *out++ = *json++;
            continue;
        }
        json++;
        if (!(out = put_escape(out, &json)))
            return NULL;
    }
    *out = 0;
    return json + 1;
}

/* Returns the end of the value at `json`. */
static const char *skip_value(const char *json)
{
    int depth = 0, in_string = 0;

    for (; *json; json++) {
        if (in_string) {
            if (*json == '\\' && json[1])
                json++;
            else if (*json == '"')
                in_string = 0;
        } else if (*json == '"') {
            in_string = 1;
        } else if (*json == '[' || *json == '{') {
            depth++;
        } else if (*json == ']' || *json == '}') {
            if (depth-- == 0)
                break;
        } else if (*json == ',' && depth == 0) {
            break;
        }
    }
    return json;
}

static int scalar_is(const char *json, const char *value, char *scratch)
{
    size_t len;

    if (*json == '"')
        return mac_json_string(json, scratch) && !strcmp(scratch, value);
    if (*json == '{' || *json == '[' || !strncmp(json, "null", 4))
        return 0;
    len = strcspn(json, ",]} \t\r\n");
    return len > 0 && strlen(value) == len && !memcmp(json, value, len);
}

int mac_claim_is(const char *json, const char *value, char *scratch)
{
    json = skip_space(json);
    if (*json != '[')
        return scalar_is(json, value, scratch);
    do {
        json = skip_space(json + 1);
        if (scalar_is(json, value, scratch))
            return 1;
        json = skip_value(json);
    } while (*json == ',');
    return 0;
}
