/* Eight threads call every function with one client: each result is counted once, each row is created once. */
#include "table.h"

#include <time.h>
#include <unistd.h>

enum { THREADS = 8, TOKENS = 24, USERS = 6, SECONDS = 2, CALLS = 2000 };

static clerk_client *plain, *synced;
static table rows = TABLE_INIT;
static counter plain_events, synced_events;
static const char *tokens[TOKENS];
/* Results for requests with a credential, by client; those from the cache. */
static atomic_long results[2], from_cache[2], others, blocked;
static atomic_bool stop;

/* Checks and counts a result. */
static void record(int which, int token, const char *outcome) {
    bool good = token % 4 != 3;
    if (strcmp(outcome, "CLERK_WOULD_BLOCK") == 0) {
        atomic_fetch_add(&blocked, 1);
        return;
    }
    CHECK(strcmp(outcome, "signed_in verified") == 0 || strcmp(outcome, "signed_in cache") == 0 ? good : !good);
    if (!good) CHECK_CSTR(outcome, "signed_out token-invalid-signature");
    atomic_fetch_add(&results[which], 1);
    if (strcmp(outcome, "signed_in cache") == 0) atomic_fetch_add(&from_cache[which], 1);
}

static void begin_and_end(const char *token, int at, bool finish) {
    char line[4096];
    snprintf(line, sizeof line, "Bearer %s", token);
    clerk_request request = bearer(line);
    clerk_result *result = NULL;
    clerk_pending *pending = NULL;
    int32_t status = clerk_authenticate_begin(synced, &request, &result, &pending, NULL);
    if (status == CLERK_PENDING && !finish) {
        clerk_pending_free(pending);
        return;
    }
    if (status == CLERK_PENDING) {
        for (int32_t kind; (kind = clerk_pending_next_action(pending)) != CLERK_STORE_REQUEST_KIND_DONE;) {
            const clerk_store_request *store_request = clerk_pending_request(pending);
            if (kind == CLERK_STORE_REQUEST_KIND_FETCH_USER) CHECK_OK(clerk_pending_fetch(pending));
            else CHECK_OK(clerk_pending_submit(pending,
                                               table_execute(&rows, store_request, clerk_pending_response(pending))));
        }
        status = clerk_pending_finish(pending, &result, NULL);
    }
    record(1, at, outcome_and_free(status, &result));
}

static void *work(void *argument) {
    unsigned random = *(unsigned *)argument;
    while (!stop) {
        random = random * 1103515245u + 12345u;
        int at = (int)(random >> 16) % TOKENS;
        const char *token = tokens[at];
        clerk_result *result = NULL;
        clerk_stats stats = CLERK_STATS_INIT;
        switch ((random >> 8) % 16) {
        case 0: CHECK_OK(clerk_client_invalidate_token(plain, clerk_str_of(token))); break;
        case 1:
            /* Rare enough for an attempt to end between two invalidations of its user. */
            if (random % 64 == 0) CHECK_OK(clerk_client_invalidate_user(synced, CLERK_STR("user_3")));
            break;
        case 2:
            if (random % 64 == 0) CHECK_OK(clerk_client_invalidate_session(synced, CLERK_STR("sess_2")));
            break;
        case 3: CHECK_STATUS(clerk_client_stats(plain, &stats), CLERK_OK); break;
        case 4:
            if (random % 64 == 0) CHECK_OK(clerk_client_invalidate_all(synced));
            break;
        case 5:
            CHECK_CSTR(outcome_and_free(clerk_verify_token(plain, clerk_str_of(token), &result, NULL), &result),
                       at % 4 != 3 ? "signed_in verified" : "signed_out token-invalid-signature");
            break;
        case 6: CHECK_CSTR(outcome_of(plain, NULL), "no_credentials session-token-missing"); break;
        case 7:
            CHECK(clerk_client_retain(plain) == plain);
            clerk_client_free(plain);
            break;
        case 8: begin_and_end(token, at, false); break;
        case 9: begin_and_end(token, at, true); break;
        case 10: record(1, at, cached_outcome_of(synced, token)); break;
        case 11: record(1, at, outcome_of(synced, token)); break;
        case 12: record(0, at, cached_outcome_of(plain, token)); break;
        case 13:
            if (random % 512 == 0) CHECK_STATUS(clerk_client_warm_up(plain, NULL), CLERK_OK);
            break;
        default: record(0, at, outcome_of(plain, token));
        }
        atomic_fetch_add(&others, 1);
    }
    return NULL;
}

/* Counts results by their events. A cancelled authentication that was complete has emitted one, too. */
static long emitted(const counter *events) {
    return events->events[CLERK_EVENT_KIND_AUTH_SUCCESS] + events->events[CLERK_EVENT_KIND_AUTH_FAILED];
}

int main(void) {
    sim_reset();
    for (int i = 0; i < USERS; i++) {
        char path[32];
        snprintf(path, sizeof path, "/users/user_%d", i);
        sim_put(path, "{\"username\":\"name\",\"email_addresses\":[\"u%d@example.com\"]}", i);
    }
    for (int i = 0; i < TOKENS; i++) {
        tokens[i] = sim_token("{\"user\":\"user_%d\",\"sid\":\"sess_%d\"%s}", i % USERS, i % 5,
                              i % 4 == 3 ? ",\"spoil\":\"tampered\"" : "");
    }
    clerk_config *config = sim_config();
    CHECK_OK(clerk_config_set_event_callback(config, count_event, &plain_events, count_destroyed));
    plain = client_of(config);
    config = sim_config();
    set(config, "row_check_ttl_s", "1");
    CHECK_OK(clerk_config_set_event_callback(config, count_event, &synced_events, count_destroyed));
    CHECK_OK(clerk_config_set_user_store(config, table_execute, &rows, table_destroy));
    synced = client_of(config);

    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = (unsigned)i * 7919u + 1u;
        CHECK(pthread_create(&threads[i], NULL, work, &seeds[i]) == 0);
    }
    /* Longer on a slow machine, or under a sanitizer. */
    for (int passed = 0; passed < SECONDS || (others <= CALLS && passed < 60); passed++) sleep(1);
    stop = true;
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);

    /* One event and one count for each result. */
    clerk_stats stats = CLERK_STATS_INIT;
    CHECK_STATUS(clerk_client_stats(plain, &stats), CLERK_OK);
    CHECK_INT(emitted(&plain_events), results[0]);
    CHECK_INT(stats.cache_hits, from_cache[0]);
    CHECK_INT(stats.cache_hits + stats.signed_in + stats.signed_out + stats.unavailable, results[0]);
    CHECK_INT(stats.cache_misses, plain_events.events[CLERK_EVENT_KIND_CACHE_MISS]);
    CHECK_INT(stats.cache_misses, results[0] - from_cache[0]);
    CHECK_INT(stats.unavailable, 0);
    CHECK_STATUS(clerk_client_stats(synced, &stats), CLERK_OK);
    CHECK_INT(emitted(&synced_events), results[1]);
    CHECK_INT(stats.signed_in + stats.signed_out, results[1] - from_cache[1]);
    CHECK_INT(stats.unavailable, 0);

    /* One row for each user, with different usernames. */
    CHECK(rows.count <= USERS);
    CHECK_INT(synced_events.events[CLERK_EVENT_KIND_USER_CREATED], rows.count);
    for (int i = 0; i < rows.count; i++) {
        for (int j = 0; j < i; j++) {
            CHECK(strcmp(rows.rows[i].strings[CLERK_COLUMN_CLERK_ID],
                         rows.rows[j].strings[CLERK_COLUMN_CLERK_ID]) != 0);
            CHECK(strcmp(rows.rows[i].strings[CLERK_COLUMN_USERNAME],
                         rows.rows[j].strings[CLERK_COLUMN_USERNAME]) != 0);
        }
    }
    printf("%ld calls, %ld + %ld results, %ld would have blocked\n", (long)others, (long)results[0], (long)results[1],
           (long)blocked);
    CHECK(others > CALLS);
    clerk_client_free(plain);
    clerk_client_free(synced);
    CHECK(plain_events.destroyed == 1 && synced_events.destroyed == 1 && rows.destroyed == 1);
    return 0;
}
