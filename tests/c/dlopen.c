/* Loads and unloads the library repeatedly while threads use it: it stays mapped, once. */
#include "clerk_auth.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) ((condition) ? (void)0 : failed(__LINE__, #condition))

static _Noreturn void failed(int line, const char *what) {
    fprintf(stderr, "dlopen.c:%d: %s (%s)\n", line, what, dlerror());
    _exit(1);
}

typedef struct {
    void *handle;
    clerk_config *(*config_new)(void);
    void (*config_free)(clerk_config *);
    int32_t (*config_set)(clerk_config *, clerk_str, clerk_str, clerk_error **);
    int32_t (*client_new)(const clerk_config *, clerk_client **, clerk_error **);
    void (*client_free)(clerk_client *);
    int32_t (*authenticate)(const clerk_client *, const clerk_request *, clerk_result **, clerk_error **);
    int32_t (*result_status)(const clerk_result *);
    void (*result_free)(clerk_result *);
    const char *(*version)(void);
    int resolves_name;
} library;

/* ISO C has no conversion from an object pointer to a function pointer. */
static void find(void *handle, const char *name, void *function) {
    void *address = dlsym(handle, name);
    CHECK(address != NULL);
    memcpy(function, &address, sizeof address);
}

static library loaded(const char *path, int how) {
    library made = {.handle = dlopen(path, how)};
    CHECK(made.handle != NULL);
    find(made.handle, "clerk_config_new", &made.config_new);
    find(made.handle, "clerk_config_free", &made.config_free);
    find(made.handle, "clerk_config_set", &made.config_set);
    find(made.handle, "clerk_client_new", &made.client_new);
    find(made.handle, "clerk_client_free", &made.client_free);
    find(made.handle, "clerk_authenticate", &made.authenticate);
    find(made.handle, "clerk_result_status", &made.result_status);
    find(made.handle, "clerk_result_free", &made.result_free);
    find(made.handle, "clerk_version", &made.version);
    return made;
}

/* The port is closed. A host name is resolved first, in a thread that the library starts; `localhost` needs no DNS
 * server. */
static void *use(void *argument) {
    const library *own = argument;
    clerk_config *config = own->config_new();
    clerk_str secret = CLERK_STR("sk_test_x"), name = CLERK_STR("secret_key");
    clerk_str url = own->resolves_name ? CLERK_STR("https://localhost:1") : CLERK_STR("https://127.0.0.1:1");
    clerk_str wait = CLERK_STR("20");
    CHECK(config != NULL && own->config_set(config, name, secret, NULL) == CLERK_OK);
    CHECK(own->config_set(config, CLERK_STR("api_url"), url, NULL) == CLERK_OK);
    CHECK(own->config_set(config, CLERK_STR("timeout_ms"), wait, NULL) == CLERK_OK);
    clerk_client *client = NULL;
    CHECK(own->client_new(config, &client, NULL) == CLERK_OK);
    own->config_free(config);
    clerk_request request = CLERK_REQUEST_INIT;
    request.authorization = CLERK_STR("Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImsiLCJ0eXAiOiJKV1QifQ"
                                      ".eyJzdWIiOiJ1IiwiZXhwIjo5OTk5OTk5OTk5OX0.AAAA");
    clerk_result *result = NULL;
    CHECK(own->authenticate(client, &request, &result, NULL) == CLERK_UNAVAILABLE);
    CHECK(own->result_status(result) == CLERK_UNAVAILABLE);
    own->result_free(result);
    own->client_free(client);
    return NULL;
}

/* Counts how often the library's code is mapped. */
static int mapped(void) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[1024];
    int count = 0;
    while (maps != NULL && fgets(line, sizeof line, maps)) {
        count += strstr(line, "r-xp") && strstr(line, "libclerk_auth");
    }
    fclose(maps);
    return count;
}

static int threads(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    int count = 0;
    while (status != NULL && fgets(line, sizeof line, status)) sscanf(line, "Threads: %d", &count);
    fclose(status);
    return count;
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    for (int i = 0; i < 200; i++) {
        library own = loaded(argv[1], i % 2 ? RTLD_NOW | RTLD_GLOBAL : RTLD_LAZY | RTLD_LOCAL);
        own.resolves_name = i % 2 == 0;
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, use, &own) == 0);
        /* Sometimes it is unloaded while the thread uses it. */
        if (i % 3 == 0) CHECK(dlclose(own.handle) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        if (i % 3 != 0) CHECK(dlclose(own.handle) == 0);
        CHECK(mapped() == 1);
    }
    /* Two copies in one process, both with global symbols, do not call each other. */
    library first = loaded(argv[1], RTLD_NOW | RTLD_GLOBAL), second = loaded(argv[2], RTLD_NOW | RTLD_GLOBAL);
    CHECK(first.config_new != second.config_new && first.version() != second.version());
    CHECK(strcmp(first.version(), second.version()) == 0);
    for (int i = 0; i < 4; i++) use(i % 2 ? &first : &second);
    CHECK(mapped() == 2);
    /* The threads of the resolver end. */
    for (int i = 0; i < 200 && threads() > 1; i++) nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    CHECK(threads() == 1);
    return 0;
}
