/* A million calls, and thousands of objects created and freed: memory does not grow. */
#include "check.h"

#include <dirent.h>
#include <unistd.h>

enum { HITS = 1000000, OBJECTS = 20000, CONNECTIONS = 200, WARM_UPS = 4, MAX_GROWTH_KB = 512 };

static long rss_kb(void) {
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%ld %ld", &pages, &resident) == 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void hits(const clerk_client *client, const clerk_request *request, int count) {
    for (int i = 0; i < count; i++) {
        clerk_result *result = NULL;
        CHECK_STATUS(clerk_authenticate_cached(client, request, &result), CLERK_OK);
        CHECK(clerk_result_user_id(result).len > 0);
        clerk_result_free(result);
    }
}

/* Creates and frees one object of each type; `token` is verified with a pinned key. */
static void objects(const char *pem, const char *token, int count) {
    for (int i = 0; i < count; i++) {
        clerk_config *config = clerk_config_new();
        clerk_error *error = NULL;
        CHECK_STATUS(clerk_config_set(config, CLERK_STR("jwt_key"), clerk_str_of(pem), NULL), CLERK_OK);
        CHECK_STATUS(clerk_config_set_int(config, CLERK_STR("cache_capacity"), 1 + i % 64, NULL), CLERK_OK);
        CHECK_STATUS(clerk_config_set(config, CLERK_STR("timeout_ms"), CLERK_STR("x"), &error), CLERK_E_CONFIG);
        clerk_error_free(error);
        clerk_client *client = NULL;
        CHECK_STATUS(clerk_client_new(config, &client, NULL), CLERK_OK);
        clerk_config_free(config);
        clerk_result *result = NULL;
        CHECK_STATUS(clerk_verify_token(client, clerk_str_of(i % 2 ? token : "x"), &result, NULL),
                     i % 2 ? CLERK_OK : CLERK_SIGNED_OUT);
        clerk_result_free(result);
        clerk_client_free(client);
    }
}

/* Clients that connect, half of them over TLS. */
static void connections(const char *token, const char *ca, int count) {
    for (int i = 0; i < count; i++) {
        clerk_config *config = sim_config();
        set(config, "cache_capacity", "16");
        if (i % 2) {
            set(config, "api_url", sim_https_url());
            set(config, "ca_pem", ca);
        }
        clerk_client *client = client_of(config);
        CHECK_CSTR(outcome_of(client, token), "signed_in verified");
        clerk_client_free(client);
    }
}

static int open_files(void) {
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    CHECK(folder != NULL);
    while (readdir(folder) != NULL) count++;
    closedir(folder);
    return count;
}

static void check_growth(const char *what, long before) {
    long growth = rss_kb() - before;
    printf("%s: %+ld KB\n", what, growth);
    CHECK(growth < MAX_GROWTH_KB);
}

int main(void) {
    sim_reset();
    clerk_client *client = sim_client();
    const char *token = sim_token("{\"user\":\"user_1\",\"exp_in\":3600}");
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", token);
    clerk_request request = bearer(line);
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");

    hits(client, &request, HITS / WARM_UPS);
    long before = rss_kb();
    hits(client, &request, HITS);
    check_growth("cached results", before);

    const char *pem = json_string(sim_admin("GET", "/keys/k1", ""), "pem");
    objects(pem, token, OBJECTS / WARM_UPS);
    before = rss_kb();
    objects(pem, token, OBJECTS);
    check_growth("configs, clients, errors and results", before);

    const char *ca = sim_ca();
    connections(token, ca, CONNECTIONS);
    int files = open_files();
    before = rss_kb();
    connections(token, ca, CONNECTIONS);
    check_growth("connections", before);
    CHECK_INT(open_files(), files);
    clerk_client_free(client);
    return 0;
}
