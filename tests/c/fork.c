/* A child after fork: cached results are served, the connections of the parent are not used, and after
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

/* Runs in each child: with a cached token, one of a user who has to be fetched, one with an unknown key. */
static void child(int number, clerk_client *client, const char *known, const char *unseen, const char *other_key) {
    clerk_result *result = NULL;
    clerk_pending *pending = NULL;
    clerk_stats stats = CLERK_STATS_INIT;
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", unseen);
    clerk_request request = bearer(line);
    for (int i = 0; i < 2; i++) {
        CHECK_CSTR(outcome_of(client, known), "signed_in cache");
        CHECK_CSTR(cached_outcome_of(client, known), "signed_in cache");
        check_forked(client, unseen);
        /* An unknown key is fetched at a limited rate; a failed fetch does not make the token invalid. */
        check_forked(client, other_key);
        CHECK_CSTR(cached_outcome_of(client, unseen), "CLERK_WOULD_BLOCK");
        CHECK_STATUS(clerk_authenticate_begin(client, &request, &result, &pending, NULL), CLERK_E_FORKED);
        CHECK(result == NULL && pending == NULL);
        /* The keys are cached: no request is needed. */
        CHECK_CSTR(outcome_and_free(clerk_verify_token(client, clerk_str_of(unseen), &result, NULL), &result),
                   "signed_in verified");
    }
    CHECK_STATUS(clerk_client_stats(client, &stats), CLERK_OK);
    CHECK_STATUS(clerk_client_shutdown(client), CLERK_OK);
    CHECK_CSTR(outcome_of(client, known), "signed_in cache");
    /* The last child exits like a server that is stopped before its first request. */
    if (number < CHILDREN - 1) {
        CHECK_STATUS(clerk_client_warm_up(client, NULL), CLERK_OK);
        CHECK_CSTR(outcome_of(client, unseen), "signed_in verified");
        CHECK_CSTR(outcome_of(client, known), "signed_in cache");
    }
    clerk_client_free(client);
}

static void child_opens_its_own_connections(bool tls) {
    sim_reset();
    put_user("user_known"), put_user("user_fresh"), put_user("user_later");
    clerk_config *config = sim_config();
    if (tls) {
        set(config, "api_url", sim_https_url());
        set(config, "ca_pem", sim_ca());
    }
    set(config, "user_mode", "profile");
    clerk_client *client = client_of(config);
    const char *known = token_of("user_known"), *unseen = token_of("user_fresh"), *later = token_of("user_later");
    const char *other_key = sim_token("{\"user\":\"user_known\",\"key\":\"other\",\"kid\":\"ins_other\"}");
    CHECK_CSTR(outcome_of(client, known), "signed_in verified");
    CHECK_INT(connections(), 1);
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            child(i, client, known, unseen, other_key);
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status = -1;
        CHECK(waitpid(children[i], &status, 0) == children[i]);
        CHECK_INT(status, 0);
    }
    /* The parent still uses its own connection. */
    int64_t before = connections();
    CHECK_INT(before, CHILDREN);
    CHECK_CSTR(outcome_of(client, later), "signed_in verified");
    CHECK_CSTR(outcome_of(client, unseen), "signed_in verified");
    CHECK_CSTR(outcome_of(client, known), "signed_in cache");
    CHECK_INT(connections(), before);
    clerk_client_free(client);
}

/* A child of a child, with a client that was not used before the fork. */
static void nested_fork_before_first_use(void) {
    sim_reset();
    put_user("user_fresh");
    clerk_config *config = sim_config();
    set(config, "user_mode", "profile");
    clerk_client *client = client_of(config);
    const char *unseen = token_of("user_fresh");
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
        check_forked(client, unseen);
        CHECK_STATUS(clerk_client_warm_up(client, NULL), CLERK_OK);
        CHECK_CSTR(outcome_of(client, unseen), "signed_in verified");
    }
    clerk_client_free(client);
    _exit(0);
}

enum { BUSY = 2, FORKS = 100, KNOWN = 32 };
static atomic_bool stop;
typedef struct {
    clerk_client *client;
    const char *tokens[KNOWN];
} busy;

static void *keep_busy(void *given) {
    busy *at = given;
    for (int i = 0; !atomic_load(&stop); i++) CHECK_CSTR(cached_outcome_of(at->client, at->tokens[i % KNOWN]),
                                                         "signed_in cache");
    return NULL;
}

/* A lock that a thread of the parent holds during the fork is never released in the child: no call may wait for it. */
static void lock_held_across_fork_is_skipped(void) {
    sim_reset();
    busy all = {client_of(sim_config()), {NULL}};
    for (int i = 0; i < KNOWN; i++) {
        char user[16];
        snprintf(user, sizeof user, "user_%d", i);
        all.tokens[i] = token_of(user);
        CHECK_CSTR(outcome_of(all.client, all.tokens[i]), "signed_in verified");
    }
    pthread_t threads[BUSY];
    for (int i = 0; i < BUSY; i++) CHECK(pthread_create(&threads[i], NULL, keep_busy, &all) == 0);
    for (int child = 0; child < FORKS; child++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            alarm(10);
            /* An entry behind such a lock is verified again, with the cached keys. */
            for (int i = 0; i < KNOWN; i++) CHECK(strncmp(cached_outcome_of(all.client, all.tokens[i]), "signed_in ",
                                                          10) == 0);
            _exit(0);
        }
        int status = -1;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK_INT(status, 0);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < BUSY; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    clerk_client_free(all.client);
}

static void *keep_fetching(void *given) {
    busy *at = given;
    for (int i = 0; !atomic_load(&stop); i++) {
        char user[16];
        snprintf(user, sizeof user, "user_%d", i % KNOWN);
        CHECK_STATUS(clerk_client_invalidate_user(at->client, clerk_str_of(user)), CLERK_OK);
        CHECK(strncmp(outcome_of(at->client, at->tokens[i % KNOWN]), "signed_in ", 10) == 0);
    }
    return NULL;
}

/* The same while threads of the parent fetch users: after `clerk_client_warm_up` the child fetches, too. */
static void fetches_at_fork_do_not_block_the_child(void) {
    sim_reset();
    clerk_config *config = sim_config();
    set(config, "user_mode", "profile");
    busy all = {client_of(config), {NULL}};
    for (int i = 0; i < KNOWN; i++) {
        char user[16];
        snprintf(user, sizeof user, "user_%d", i);
        put_user(user);
        all.tokens[i] = token_of(user);
    }
    put_user("user_fresh");
    const char *fresh = token_of("user_fresh");
    atomic_store(&stop, false);
    pthread_t threads[4 * BUSY];
    for (int i = 0; i < 4 * BUSY; i++) CHECK(pthread_create(&threads[i], NULL, keep_fetching, &all) == 0);
    for (int child = 0; child < FORKS; child++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            alarm(10);
            check_forked(all.client, fresh);
            CHECK_STATUS(clerk_client_warm_up(all.client, NULL), CLERK_OK);
            CHECK_CSTR(outcome_of(all.client, fresh), "signed_in verified");
            _exit(0);
        }
        int status = -1;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK_INT(status, 0);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 4 * BUSY; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    clerk_client_free(all.client);
}

/* What stopped calls in the parent says nothing about the child: before `clerk_client_warm_up` there is one error. */
static void failures_of_the_parent_are_forked_in_the_child(void) {
    const char *faults[] = {"/users/*", "/jwks"};
    for (size_t at = 0; at < sizeof faults / sizeof *faults; at++) {
        sim_reset();
        put_user("user_fresh");
        clerk_config *config = sim_config();
        set(config, "user_mode", "profile");
        clerk_client *client = client_of(config);
        sim_put("/faults", "[{\"path\":\"%s\",\"status\":429,\"headers\":{\"Retry-After\":\"60\"}}]", faults[at]);
        /* From now on nothing is sent for a minute. */
        const char *fresh = token_of("user_fresh");
        CHECK(strncmp(outcome_of(client, fresh), "unavailable ", 12) == 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            check_forked(client, fresh);
            check_forked(client, token_of("user_other"));
            _exit(0);
        }
        int status = -1;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK_INT(status, 0);
        clerk_client_free(client);
    }
}

static void sqlite_store_works_in_children(void) {
    sim_reset();
    char folder[] = "/tmp/clerk-fork-XXXXXX", path[64], rest[80];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/users.db", folder);
    clerk_config *config = sim_config();
    CHECK_STATUS(clerk_config_set_sqlite_path(config, clerk_str_of(path), NULL), CLERK_OK);
    clerk_client *client = client_of(config);
    put_user("user_known"), put_user("user_0"), put_user("user_1"), put_user("user_2");
    const char *known = token_of("user_known"), *own[] = {token_of("user_0"), token_of("user_1"), token_of("user_2")};
    CHECK_CSTR(outcome_of(client, known), "signed_in verified");
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] > 0) continue;
        /* The row is read from the file, with a connection of the child. */
        CHECK_CSTR(outcome_of(client, known), "signed_in cache");
        CHECK_STATUS(clerk_client_warm_up(client, NULL), CLERK_OK);
        CHECK_CSTR(outcome_of(client, own[i]), "signed_in verified");
        CHECK_CSTR(outcome_of(client, own[i]), "signed_in cache");
        clerk_client_free(client);
        _exit(0);
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status = -1;
        CHECK(waitpid(children[i], &status, 0) == children[i]);
        CHECK_INT(status, 0);
    }
    /* The parent sees what the children wrote. */
    bool seen[CHILDREN + 2] = {false};
    CHECK_CSTR(outcome_of(client, known), "signed_in cache");
    for (int i = 0; i < CHILDREN; i++) {
        clerk_result *result = sign_in(client, own[i]);
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
    child_opens_its_own_connections(true);
    child_opens_its_own_connections(false);
    nested_fork_before_first_use();
    failures_of_the_parent_are_forked_in_the_child();
    sqlite_store_works_in_children();
    lock_held_across_fork_is_skipped();
    fetches_at_fork_do_not_block_the_child();
    return 0;
}
