#include "names.h"

#include <string.h>

/* Backends treat `X_Clerk_User_Id` and `x-clerk-user-id` as the same name: other characters than letters and digits count as `-`. */
static char folded(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '-';
}

int mac_is_identity_name(const char *name, size_t len)
{
    static const char prefix[] = "x-clerk-";
    size_t i;

    if (len < sizeof(prefix) - 1)
        return 0;
    for (i = 0; i < sizeof(prefix) - 1; i++)
        if (folded(name[i]) != prefix[i])
            return 0;
    return 1;
}

/* The next name and its length; the length is 0 after the last. Some proxies split at spaces and semicolons, too. */
static const char *next_name(const char *p, size_t *len)
{
    static const char separators[] = " \t,;\"";

    p += strspn(p, separators);
    *len = strcspn(p, separators);
    return p;
}

int mac_has_identity_name(const char *connection)
{
    size_t len;

    for (connection = next_name(connection, &len); len; connection = next_name(connection + len, &len))
        if (mac_is_identity_name(connection, len))
            return 1;
    return 0;
}

void mac_remove_identity_names(const char *connection, char *out)
{
    const char *begin = out;
    size_t len;

    for (connection = next_name(connection, &len); len; connection = next_name(connection + len, &len)) {
        if (mac_is_identity_name(connection, len))
            continue;
        /* One separator becomes two characters. */
        if (out > begin) {
            *out++ = ',';
            *out++ = ' ';
        }
        memcpy(out, connection, len);
        out += len;
    }
    *out = 0;
}
