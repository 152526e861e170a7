/* Eight threads and every verb on one client: nothing is lost, nothing is counted twice, no row is made twice. */
#include "table.h"

#include <time.h>
#include <unistd.h>

enum { THREADS = 8, TOKENS = 24, USERS = 6, SECONDS = 2 };

static clerk_client *plain, *synced;
static table rows = TABLE_INIT;
static counter plain_events, synced_events;
static const char *tokens[TOKENS];
/* Answers to requests with a credential, by the client and by where they came from. */
static atomic_long answers[2], from_cache[2], others, blocked;
static atomic_bool over;

/* Takes note of an answer; it must be the right one. */
static void note(int which, int token, const char *words) {
    bool good = token % 4 != 3;
    if (strcmp(words, "CLERK_WOULD_BLOCK") == 0) {
        atomic_fetch_add(&blocked, 1);
        return;
    }
    CHECK(strcmp(words, "in verified") == 0 || strcmp(words, "in cache") == 0 ? good : !good);
    if (!good) CHECK_WORD(words, "out token-invalid-signature");
    atomic_fetch_add(&answers[which], 1);
    if (strcmp(words, "in cache") == 0) atomic_fetch_add(&from_cache[which], 1);
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
            const clerk_store_request *step = clerk_pending_request(pending);
            if (kind == CLERK_STORE_REQUEST_KIND_FETCH_USER) clerk_pending_fetch(pending);
            else clerk_pending_submit(pending, table_answer(&rows, step, clerk_pending_response(pending)));
        }
        status = clerk_pending_finish(pending, &result, NULL);
    }
    note(1, at, ended(status, &result));
}

static void *work(void *argument) {
    unsigned random = *(unsigned *)argument;
    while (!over) {
        random = random * 1103515245u + 12345u;
        int at = (int)(random >> 16) % TOKENS;
        const char *token = tokens[at];
        clerk_result *result = NULL;
        clerk_stats stats = CLERK_STATS_INIT;
        switch ((random >> 8) % 16) {
        case 0: clerk_client_invalidate_token(plain, clerk_str_of(token)); break;
        case 1: clerk_client_invalidate_user(synced, CLERK_STR("user_3")); break;
        case 2: clerk_client_invalidate_session(synced, CLERK_STR("sess_2")); break;
        case 3: CHECK_STATUS(clerk_client_stats(plain, &stats), CLERK_OK); break;
        case 4:
            if (random % 64 == 0) clerk_client_invalidate_all(synced);
            break;
        case 5:
            CHECK_WORD(ended(clerk_verify_token(plain, clerk_str_of(token), &result, NULL), &result),
                       at % 4 != 3 ? "in verified" : "out token-invalid-signature");
            break;
        case 6: CHECK_WORD(ask(plain, NULL), "none session-token-missing"); break;
        case 7:
            CHECK(clerk_client_retain(plain) == plain);
            clerk_client_free(plain);
            break;
        case 8: begin_and_end(token, at, false); break;
        case 9: begin_and_end(token, at, true); break;
        case 10: note(1, at, ask_cached(synced, token)); break;
        case 11: note(1, at, ask(synced, token)); break;
        case 12: note(0, at, ask_cached(plain, token)); break;
        case 13:
            if (random % 512 == 0) CHECK_STATUS(clerk_client_warm_up(plain, NULL), CLERK_OK);
            break;
        default: note(0, at, ask(plain, token));
        }
        atomic_fetch_add(&others, 1);
    }
    return NULL;
}

/* Freed in the middle, a pending authentication that was over already has told of itself. */
static long told(const counter *events) {
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
    clerk_config_set_event_callback(config, count_event, &plain_events, count_destroyed);
    plain = client_of(config);
    config = sim_config();
    set(config, "row_check_ttl_s", "1");
    clerk_config_set_event_callback(config, count_event, &synced_events, count_destroyed);
    clerk_config_set_user_store(config, table_answer, &rows, table_destroy);
    synced = client_of(config);

    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = (unsigned)i * 7919u + 1u;
        CHECK(pthread_create(&threads[i], NULL, work, &seeds[i]) == 0);
    }
    sleep(SECONDS);
    over = true;
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);

    /* One event and one count for each request with a credential that got an answer. */
    clerk_stats stats = CLERK_STATS_INIT;
    CHECK_STATUS(clerk_client_stats(plain, &stats), CLERK_OK);
    CHECK_INT(told(&plain_events), answers[0]);
    CHECK_INT(stats.cache_hits, from_cache[0]);
    CHECK_INT(stats.cache_hits + stats.signed_in + stats.signed_out + stats.unavailable, answers[0]);
    CHECK_INT(stats.cache_misses, plain_events.events[CLERK_EVENT_KIND_CACHE_MISS]);
    CHECK_INT(stats.cache_misses, answers[0] - from_cache[0]);
    CHECK_INT(stats.unavailable, 0);
    CHECK_STATUS(clerk_client_stats(synced, &stats), CLERK_OK);
    CHECK_INT(told(&synced_events), answers[1]);
    CHECK_INT(stats.signed_in + stats.signed_out, answers[1] - from_cache[1]);
    CHECK_INT(stats.unavailable, 0);

    /* A row for each user, and all of them of different names. */
    CHECK(rows.count <= USERS);
    CHECK_INT(synced_events.events[CLERK_EVENT_KIND_USER_CREATED], rows.count);
    for (int i = 0; i < rows.count; i++) {
        for (int j = 0; j < i; j++) {
            CHECK(strcmp(rows.rows[i].texts[CLERK_COLUMN_CLERK_ID], rows.rows[j].texts[CLERK_COLUMN_CLERK_ID]) != 0);
            CHECK(strcmp(rows.rows[i].texts[CLERK_COLUMN_USERNAME], rows.rows[j].texts[CLERK_COLUMN_USERNAME]) != 0);
        }
    }
    printf("%ld calls, %ld + %ld answers, %ld would have waited\n", (long)others, (long)answers[0], (long)answers[1],
           (long)blocked);
    CHECK(others > 2000);
    clerk_client_free(plain);
    clerk_client_free(synced);
    CHECK(plain_events.destroyed == 1 && synced_events.destroyed == 1 && rows.destroyed == 1);
    return 0;
}
