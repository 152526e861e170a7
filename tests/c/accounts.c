/* examples/accounts.h: its lock is free after each transaction, also after one whose COMMIT failed. */
#include "../../examples/accounts.h"
#include "check.h"

#include <pthread.h>

static int commits, failing;

/* An SQLite commit hook: a value other than 0 turns COMMIT into ROLLBACK. */
static int on_commit(void *userdata) {
    (void)userdata;
    commits++;
    return failing;
}

static void *try_lock(void *userdata) {
    accounts *table = userdata;
    sqlite3_mutex *mutex = sqlite3_db_mutex(table->db);
    CHECK_INT(sqlite3_mutex_try(mutex), SQLITE_OK);
    sqlite3_mutex_leave(mutex);
    return NULL;
}

static void check_unlocked(accounts *table) {
    pthread_t thread;
    CHECK(sqlite3_get_autocommit(table->db) != 0);
    CHECK(pthread_create(&thread, NULL, try_lock, table) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

int main(void) {
    sim_reset();
    sim_put("/users/user_ada", "{\"username\":\"ada\",\"first_name\":\"Ada\"}");
    accounts *table = accounts_open(":memory:");
    CHECK(table != NULL);
    sqlite3_commit_hook(table->db, on_commit, NULL);
    clerk_config *config = sim_config();
    CHECK_OK(accounts_attach(table, config));
    clerk_client *client = client_of(config);
    const char *token = sim_token("{\"user\":\"user_ada\"}");
    failing = 1;
    CHECK_CSTR(outcome_of(client, token), "unavailable store-error");
    CHECK_INT(commits, 1);
    check_unlocked(table);
    failing = 0;
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");
    CHECK_INT(commits, 2);
    check_unlocked(table);
    CHECK_CSTR(outcome_of(client, token), "signed_in cache");
    clerk_client_free(client);
    return 0;
}
