/* A child after fork: answers from memory go on, nothing of the parent's connections is touched, and after
 * `clerk_client_warm_up` everything works. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 3 };

static const char *token_of(const char *user) {
    return sim_token("{\"user\":\"%s\"}", user);
}

static int64_t connections(void) {
    return atoll(strstr(sim_admin("GET", "/counts", ""), "\"connections\":") + strlen("\"connections\":"));
}

static void put_user(const char *id) {
    char path[64];
    snprintf(path, sizeof path, "/users/%s", id);
    sim_put(path, "{\"first_name\":\"F\"}");
}

static void check_forked(const clerk_client *client, const char *token) {
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", token);
    clerk_request request = bearer(line);
    clerk_result *result = (clerk_result *)line;
    clerk_error *error = NULL;
    CHECK_STATUS(clerk_authenticate(client, &request, &result, &error), CLERK_E_FORKED);
    CHECK(result == NULL && error != NULL);
    CHECK_STATUS(clerk_error_status(error), CLERK_E_FORKED);
    CHECK(strstr(clerk_error_message(error).data, "clerk_client_warm_up") != NULL);
    clerk_error_free(error);
}

/* Runs in each child: with a token that is remembered, one of a user who has to be fetched, one of another key. */
static void child(int number, clerk_client *client, const char *known, const char *fresh, const char *other_key) {
    clerk_result *result = NULL;
    clerk_pending *pending = NULL;
    clerk_stats stats = CLERK_STATS_INIT;
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", fresh);
    clerk_request request = bearer(line);
    for (int i = 0; i < 2; i++) {
        CHECK_WORD(ask(client, known), "in cache");
        CHECK_WORD(ask_cached(client, known), "in cache");
        check_forked(client, fresh);
        /* A key that nobody knows is looked for, once in a while; that it cannot be says nothing against the token. */
        if (i == 0) check_forked(client, other_key);
        if (i == 1) CHECK_WORD(ask(client, other_key), "unavailable jwk-failed-to-load");
        CHECK_WORD(ask_cached(client, fresh), "CLERK_WOULD_BLOCK");
        CHECK_STATUS(clerk_authenticate_begin(client, &request, &result, &pending, NULL), CLERK_E_FORKED);
        CHECK(result == NULL && pending == NULL);
        /* The keys are in memory: this one needs nobody. */
        CHECK_WORD(ended(clerk_verify_token(client, clerk_str_of(fresh), &result, NULL), &result), "in verified");
    }
    CHECK_STATUS(clerk_client_stats(client, &stats), CLERK_OK);
    CHECK_STATUS(clerk_client_shutdown(client), CLERK_OK);
    CHECK_WORD(ask(client, known), "in cache");
    /* The last child leaves as a server does that was stopped before its first request. */
    if (number < CHILDREN - 1) {
        CHECK_STATUS(clerk_client_warm_up(client, NULL), CLERK_OK);
        CHECK_WORD(ask(client, fresh), "in verified");
        CHECK_WORD(ask(client, known), "in cache");
    }
    clerk_client_free(client);
}

static void forked_with_warm_connections(bool tls) {
    sim_reset();
    put_user("user_known"), put_user("user_fresh"), put_user("user_later");
    clerk_config *config = sim_config();
    if (tls) {
        set(config, "api_url", sim_https_url());
        set(config, "ca_pem", sim_ca());
    }
    set(config, "user_mode", "profile");
    clerk_client *client = client_of(config);
    const char *known = token_of("user_known"), *fresh = token_of("user_fresh"), *later = token_of("user_later");
    const char *other_key = sim_token("{\"user\":\"user_known\",\"key\":\"other\",\"kid\":\"ins_other\"}");
    CHECK_WORD(ask(client, known), "in verified");
    CHECK_INT(connections(), 1);
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            child(i, client, known, fresh, other_key);
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status = -1;
        CHECK(waitpid(children[i], &status, 0) == children[i]);
        CHECK_INT(status, 0);
    }
    /* The parent goes on where it was, on the connection that it had. */
    int64_t before = connections();
    CHECK_INT(before, CHILDREN);
    CHECK_WORD(ask(client, later), "in verified");
    CHECK_WORD(ask(client, fresh), "in verified");
    CHECK_WORD(ask(client, known), "in cache");
    CHECK_INT(connections(), before);
    clerk_client_free(client);
}

/* A child of a child, and a client that was never used before the fork. */
static void forked_twice_and_cold(void) {
    sim_reset();
    put_user("user_fresh");
    clerk_config *config = sim_config();
    set(config, "user_mode", "profile");
    clerk_client *client = client_of(config);
    const char *fresh = token_of("user_fresh");
    for (int depth = 0; depth < 3; depth++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid > 0) {
            int status = -1;
            CHECK(waitpid(pid, &status, 0) == pid);
            CHECK_INT(status, 0);
            clerk_client_free(client);
            if (depth > 0) _exit(0);
            return;
        }
        CHECK_STATUS(clerk_client_invalidate_all(client), CLERK_OK);
        check_forked(client, fresh);
        CHECK_STATUS(clerk_client_warm_up(client, NULL), CLERK_OK);
        CHECK_WORD(ask(client, fresh), "in verified");
    }
    clerk_client_free(client);
    _exit(0);
}

enum { BUSY = 2, FORKS = 100, KNOWN = 32 };
static atomic_bool over;
typedef struct {
    clerk_client *client;
    const char *tokens[KNOWN];
} busy;

static void *keep_busy(void *given) {
    busy *at = given;
    for (int i = 0; !atomic_load(&over); i++) CHECK_WORD(ask_cached(at->client, at->tokens[i % KNOWN]), "in cache");
    return NULL;
}

/* A lock that a thread of the parent holds at the fork is never opened in the child: nothing may wait for it. */
static void forked_while_others_are_at_work(void) {
    sim_reset();
    busy all = {client_of(sim_config()), {NULL}};
    for (int i = 0; i < KNOWN; i++) {
        char user[16];
        snprintf(user, sizeof user, "user_%d", i);
        all.tokens[i] = token_of(user);
        CHECK_WORD(ask(all.client, all.tokens[i]), "in verified");
    }
    pthread_t threads[BUSY];
    for (int i = 0; i < BUSY; i++) CHECK(pthread_create(&threads[i], NULL, keep_busy, &all) == 0);
    for (int child = 0; child < FORKS; child++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            alarm(10);
            /* What is behind such a lock is verified anew, with the keys in memory. */
            for (int i = 0; i < KNOWN; i++) CHECK(strncmp(ask_cached(all.client, all.tokens[i]), "in ", 3) == 0);
            _exit(0);
        }
        int status = -1;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK_INT(status, 0);
    }
    atomic_store(&over, true);
    for (int i = 0; i < BUSY; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    clerk_client_free(all.client);
}

static void users_in_sqlite(void) {
    sim_reset();
    char folder[] = "/tmp/clerk-fork-XXXXXX", path[64], rest[80];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/users.db", folder);
    clerk_config *config = sim_config();
    CHECK_STATUS(clerk_config_set_sqlite_path(config, clerk_str_of(path), NULL), CLERK_OK);
    clerk_client *client = client_of(config);
    put_user("user_known"), put_user("user_0"), put_user("user_1"), put_user("user_2");
    const char *known = token_of("user_known"), *own[] = {token_of("user_0"), token_of("user_1"), token_of("user_2")};
    CHECK_WORD(ask(client, known), "in verified");
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] > 0) continue;
        /* Whether the row still stands is asked of the file, by a connection of the child's own. */
        CHECK_WORD(ask(client, known), "in cache");
        CHECK_STATUS(clerk_client_warm_up(client, NULL), CLERK_OK);
        CHECK_WORD(ask(client, own[i]), "in verified");
        CHECK_WORD(ask(client, own[i]), "in cache");
        clerk_client_free(client);
        _exit(0);
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status = -1;
        CHECK(waitpid(children[i], &status, 0) == children[i]);
        CHECK_INT(status, 0);
    }
    /* What the children wrote is there for the parent. */
    bool seen[CHILDREN + 2] = {false};
    CHECK_WORD(ask(client, known), "in cache");
    for (int i = 0; i < CHILDREN; i++) {
        clerk_result *result = signed_in(client, own[i]);
        int key = atoi(clerk_result_user_key(result).data);
        CHECK(key >= 2 && key <= CHILDREN + 1 && !seen[key]);
        seen[key] = true;
        clerk_result_free(result);
    }
    clerk_client_free(client);
    unlink(path);
    snprintf(rest, sizeof rest, "%s-wal", path), unlink(rest);
    snprintf(rest, sizeof rest, "%s-shm", path), unlink(rest);
    CHECK(rmdir(folder) == 0);
}

int main(void) {
    forked_with_warm_connections(true);
    forked_with_warm_connections(false);
    forked_twice_and_cold();
    users_in_sqlite();
    forked_while_others_are_at_work();
    return 0;
}
