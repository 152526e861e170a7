/* Fuzzes what the server modules do without their server: names of request headers, and claims. Made inputs, whose seed is
 * printed; each result is compared with that of the other module and of a slow implementation here. scripts/fuzz-servers.sh
 * builds it with AddressSanitizer, for which each buffer has the size that the functions ask for. */

#include "nginx_types.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "../bindings/apache/src/claims.h"
#include "../bindings/apache/src/names.h"

/* Of a mebibyte; under AddressSanitizer, on a busy machine. */
#define MAX_MS 250
#define MAX_LEN (1 << 20)

static uint64_t state;
static const char *subject;

static uint64_t random_below(uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % n;
}

static void fail(const char *what, const char *input)
{
    fprintf(stderr, "%s: %s: %.300s\n", subject, what, input);
    abort();
}

static double cpu_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void free_pool(ngx_pool_t *pool)
{
    while (pool->count)
        free(pool->all[--pool->count]);
    free(pool->all);
    memset(pool, 0, sizeof(*pool));
}

/* A string of words and single characters, of at most `max` bytes, with a NUL. */
static char *make_string(const char *const *words, size_t count, size_t max)
{
    char *out = malloc(max + 1);
    size_t len = 0, only = random_below(4) ? count : random_below(count);

    while (len < max) {
        const char *word = words[only < count ? only : random_below(count)];
        size_t n = strlen(word);

        if (random_below(16) == 0) {
            out[len++] = (char)(1 + random_below(255));
            continue;
        }
        if (n > max - len)
            break;
        memcpy(out + len, word, n);
        len += n;
    }
    out[len] = 0;
    /* Reads after its end are found. */
    return realloc(out, len + 1);
}

static size_t make_len(void)
{
    return random_below(200) == 0 ? MAX_LEN - random_below(1000) : random_below(random_below(8) ? 80 : 3000);
}

/* --- Connection ------------------------------------------------------------------------------------------------------ */

static const char *const name_words[] = { "a", ",", " ", "\t", ";", "\"", "close", "X-Clerk-", "x_clerk.User", "X-Clerk", "-", "upgrade,", "X-CLERK-A," };

/* Written to be plain: by a copy whose first characters are replaced. */
static int is_reserved(const char *name, size_t len)
{
    char first[9] = "";
    size_t i;

    if (len < 8)
        return 0;
    for (i = 0; i < 8; i++)
        first[i] = isascii((unsigned char)name[i]) && isalnum((unsigned char)name[i]) ? name[i] : '-';
    return !strcasecmp(first, "x-clerk-");
}

static char *remaining_names(const char *connection, int *found)
{
    char *copy = strdup(connection), *out = malloc(2 * strlen(connection) + 1), *end = out, *rest, *name;

    *found = 0;
    for (name = strtok_r(copy, " \t,;\"", &rest); name; name = strtok_r(NULL, " \t,;\"", &rest)) {
        if (is_reserved(name, strlen(name)))
            *found = 1;
        else
            end += sprintf(end, "%s%s", end > out ? ", " : "", name);
    }
    *end = 0;
    free(copy);
    return out;
}

static void check_connection(void)
{
    char *in = make_string(name_words, sizeof(name_words) / sizeof(*name_words), make_len());
    size_t len = strlen(in);
    char *apache = malloc(2 * len + 1);
    /* nginx's strings have no NUL. */
    ngx_str_t value = { len, memcpy(malloc(len ? len : 1), in, len) }, kept = { 0, malloc(2 * len + 1) };
    int found, named, tries = 3;
    char *right = remaining_names(in, &found);
    double took;

    do {
        took = cpu_ms();
        named = mac_has_identity_name(in);
        mac_remove_identity_names(in, apache);
        if (named != found || (int)ngx_http_clerk_auth_names_reserved(&value) != found)
            fail("a reserved name, or none", in);
        ngx_http_clerk_auth_drop_reserved(&value, &kept);
        took = cpu_ms() - took;
    } while (took > MAX_MS && --tries);
    if (!tries)
        fail("slow", in);
    if (strcmp(apache, right))
        fail("Apache keeps others", in);
    if (kept.len != strlen(right) || memcmp(kept.data, right, kept.len))
        fail("nginx keeps others", in);
    /* Nothing is left to remove. */
    if (mac_has_identity_name(apache))
        fail("a reserved name is left", in);
    free(right), free(kept.data), free(value.data), free(apache), free(in);
}

/* --- lists of header lines --------------------------------------------------------------------------------------------- */

#define MAX_LINES 4096

typedef struct {
    ngx_table_elt_t *line[MAX_LINES];
    size_t count;
} kept_lines;

static void push_lines(ngx_list_t *list, kept_lines *kept, size_t count)
{
    static const char *const names[] = { "Host", "X-Clerk-User-Id", "x_clerk_a", "Cookie" };
    uint64_t pattern = random_below(4);
    size_t i;

    for (i = 0; i < count; i++) {
        ngx_table_elt_t *line = ngx_list_push(list);
        const char *name = names[pattern == 0 ? random_below(4) : pattern == 1 ? i % 2 : pattern == 2 ? 1 : i + 1 < count ? 2 : 0];

        line->key.data = (u_char *)name;
        line->key.len = strlen(name);
        line->value.data = (u_char *)line;
        if (!is_reserved(name, strlen(name)))
            kept->line[kept->count++] = line;
    }
}

/* Walks as nginx does: the first line of a part after the first one is read without a check. */
static void check_lines(ngx_list_t *list, const kept_lines *kept)
{
    ngx_list_part_t *part = &list->part;
    ngx_table_elt_t *line = part->elts;
    size_t i, seen = 0;

    for (i = 0;; i++) {
        if (i >= part->nelts) {
            if (!part->next)
                break;
            part = part->next;
            line = part->elts;
            i = 0;
        }
        if (seen == kept->count || &line[i] != kept->line[seen])
            fail("a line that must not be there", (char *)line[i].key.data);
        /* nginx has pointers to lines: none is moved or overwritten. */
        if (line[i].value.data != (u_char *)&line[i])
            fail("a line was written over", (char *)line[i].key.data);
        seen++;
    }
    if (seen != kept->count || part != list->last)
        fail("lines are missing, or the last part is another", "");
}

static void check_list(void)
{
    static kept_lines kept;
    ngx_pool_t pool = { NULL, 0, 0 };
    ngx_list_t list = { NULL, { NULL, 0, NULL }, sizeof(ngx_table_elt_t), 1 + random_below(20), &pool };
    size_t rounds = 1 + random_below(4), before, total, tries = 0;
    double took;

    kept.count = 0;
    list.last = &list.part;
    list.part.elts = ngx_palloc(&pool, list.nalloc * list.size);
    while (rounds--) {
        push_lines(&list, &kept, random_below(50) ? random_below(60) : MAX_LINES / 4);
        total = pool.total;
        before = pool.count;
        took = cpu_ms();
        if (ngx_http_clerk_auth_unlink_headers(&list) != NGX_OK)
            fail("no memory", "");
        if (cpu_ms() - took > 10 && ++tries > 3)
            fail("slow", "");
        if (pool.total - total > MAX_LINES * sizeof(ngx_list_part_t) || pool.count - before > MAX_LINES)
            fail("memory", "");
        check_lines(&list, &kept);
    }
    free_pool(&pool);
}

/* --- claims -------------------------------------------------------------------------------------------------------------- */

static const char *const json_words[] = { "\"", "\\", "\\u", "00e9", "\\ud83d", "\\ude00", "\\n", "\\\"", "[", "]", "{", "}", ",", ":", "null", "true",
                                          "-1.5e3", "gold", " ", "\"a\"", "[\"a\",", "\\u0041", "\\u000a" };

static void check_claim(void)
{
    char *in = make_string(json_words, sizeof(json_words) / sizeof(*json_words), make_len());
    size_t len, i;
    char *scratch, *decoded;
    ngx_pool_t pool = { NULL, 0, 0 };
    ngx_str_t json, value;
    const char *end;
    int has_control = 0;
    ngx_int_t rc;
    double took = cpu_ms();

    if (in[0] && random_below(2))
        in[0] = '"';
    len = strlen(in);
    scratch = malloc(len + 1);
    decoded = malloc(len + 1);
    json.len = len;
    json.data = memcpy(malloc(len ? len : 1), in, len);
    rc = ngx_http_clerk_auth_claim_value(&pool, &json, &value);
    if (rc == NGX_OK && value.len > len)
        fail("the value is longer than its JSON", in);
    for (i = 0; rc == NGX_OK && i < value.len; i++)
        if (value.data[i] < 0x20 || value.data[i] == 0x7f)
            fail("a control character", in);
    end = mac_json_string(in, decoded);
    if (in[0] == '"' && end && !*end) {
        for (i = 0; decoded[i]; i++)
            has_control |= (unsigned char)decoded[i] < 0x20 || decoded[i] == 0x7f;
        if (has_control != (rc != NGX_OK))
            fail("only one accepts the string", in);
        if (rc == NGX_OK && (value.len != strlen(decoded) || memcmp(value.data, decoded, value.len)))
            fail("the modules read other strings", in);
        if (!mac_claim_is(in, decoded, scratch))
            fail("the claim is not its own value", in);
    } else if (in[0] == '"' && rc == NGX_OK) {
        fail("only nginx accepts the string", in);
    }
    mac_claim_is(in, "a", scratch);
    if (cpu_ms() - took > 4 * MAX_MS)
        fail("slow", in);
    free_pool(&pool);
    free(json.data), free(decoded), free(scratch), free(in);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*check)(void);
    } subjects[] = { { "connection", check_connection }, { "list", check_list }, { "claim", check_claim } };
    double seconds = argc > 1 ? atof(argv[1]) : 5, end;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL);
    size_t i, runs;

    setvbuf(stdout, NULL, _IONBF, 0);
    for (i = 0; i < sizeof(subjects) / sizeof(*subjects); i++) {
        subject = subjects[i].name;
        state = (seed + i) * 0x9e3779b97f4a7c15u | 1;
        printf("servers/%-12s seed %llu", subject, (unsigned long long)seed);
        for (end = cpu_ms() + seconds * 1e3, runs = 0; cpu_ms() < end; runs++)
            subjects[i].check();
        printf(" %9zu runs\n", runs);
    }
    return 0;
}
