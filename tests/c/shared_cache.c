/* The shared cache in an engine of the application: a table like that of memcached, and one with a stream. */
#include "check.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 256, ENTRIES = 64 };

typedef struct {
    char key[97];
    char *value;
    size_t len;
    int64_t expires_ms;
} slot;

typedef struct {
    pthread_mutex_t lock;
    slot slots[SLOTS];
    char *entries[ENTRIES];
    size_t lengths[ENTRIES];
    int count;
    /* What the functions do instead of their work. */
    atomic_int mode;
    atomic_int calls;
    atomic_int destroyed;
    atomic_int has_called;
    clerk_client *client;
} table;

enum { WORKS, FAILS, WRONG_LENGTH, CALLS_BACK, FLIPS, SLOW };

#define SECRET "whsec_c2VjcmV0LW9mLXRoZS1jYWNoZQ=="

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static slot *find(table *t, clerk_str key, bool make) {
    CHECK(key.len > 0 && key.len <= 96);
    slot *empty = NULL;
    for (int i = 0; i < SLOTS; i++) {
        slot *s = &t->slots[i];
        if (s->value != NULL && now_ms() >= s->expires_ms) {
            free(s->value);
            s->value = NULL;
        }
        if (s->value != NULL && strlen(s->key) == key.len && memcmp(s->key, key.data, key.len) == 0)
            return s;
        if (s->value == NULL && empty == NULL)
            empty = s;
    }
    if (make) {
        CHECK(empty != NULL);
        memcpy(empty->key, key.data, key.len);
        empty->key[key.len] = 0;
    }
    return make ? empty : NULL;
}

static int32_t copy(clerk_buffer *to, const char *data, size_t len) {
    if (len > to->capacity)
        return -1;
    memcpy(to->data, data, len);
    to->len = len;
    return CLERK_CACHE_STATUS_OK;
}

/* Returns whether the function has to return `*status` at once. */
static bool is_disturbed(table *t, int32_t *status) {
    t->calls++;
    if (t->mode == CALLS_BACK && atomic_exchange(&t->has_called, 1) == 0)
        CHECK_OK(clerk_client_revoke_user(t->client, CLERK_STR("user_9")));
    if (t->mode == SLOW)
        usleep(15000);
    *status = -7;
    return t->mode == FAILS;
}

static int32_t get(void *userdata, clerk_str key, clerk_buffer *value, int64_t timeout_ms) {
    table *t = userdata;
    int32_t status;
    CHECK(timeout_ms >= 0 && value->capacity == 65536 && value->len == 0);
    if (is_disturbed(t, &status))
        return status;
    pthread_mutex_lock(&t->lock);
    slot *s = find(t, key, false);
    status = s == NULL ? CLERK_CACHE_STATUS_NONE : copy(value, s->value, s->len);
    pthread_mutex_unlock(&t->lock);
    if (t->mode == FLIPS && status == CLERK_CACHE_STATUS_OK)
        value->data[value->len - 1] ^= 1;
    if (t->mode == WRONG_LENGTH) {
        value->len = value->capacity + 1;
        return CLERK_CACHE_STATUS_OK;
    }
    return status;
}

static int32_t store(void *userdata, clerk_str key, clerk_str value, int64_t ttl_ms, int32_t only_if_absent,
                     int64_t timeout_ms) {
    table *t = userdata;
    int32_t status;
    CHECK(timeout_ms >= 0 && ttl_ms > 0 && value.len <= 65536);
    if (is_disturbed(t, &status))
        return status;
    pthread_mutex_lock(&t->lock);
    slot *s = find(t, key, true);
    status = only_if_absent && s->value != NULL ? CLERK_CACHE_STATUS_NONE : CLERK_CACHE_STATUS_OK;
    if (status == CLERK_CACHE_STATUS_OK) {
        free(s->value);
        s->value = malloc(value.len + 1);
        memcpy(s->value, value.data, value.len);
        s->len = value.len;
        s->expires_ms = now_ms() + ttl_ms;
    }
    pthread_mutex_unlock(&t->lock);
    return status;
}

static int32_t remove_value(void *userdata, clerk_str key, int64_t timeout_ms) {
    table *t = userdata;
    int32_t status;
    (void)timeout_ms;
    if (is_disturbed(t, &status))
        return status;
    pthread_mutex_lock(&t->lock);
    slot *s = find(t, key, false);
    if (s != NULL) {
        free(s->value);
        s->value = NULL;
    }
    pthread_mutex_unlock(&t->lock);
    return s != NULL ? CLERK_CACHE_STATUS_OK : CLERK_CACHE_STATUS_NONE;
}

static int32_t copy_number(clerk_buffer *to, int number) {
    char text[16];
    return copy(to, text, (size_t)snprintf(text, sizeof text, "%d", number));
}

static int32_t append(void *userdata, clerk_str stream, clerk_str value, clerk_buffer *id, int64_t timeout_ms) {
    table *t = userdata;
    int32_t status;
    CHECK(stream.len > 0 && timeout_ms >= 0 && id->capacity == 64);
    if (is_disturbed(t, &status))
        return status;
    pthread_mutex_lock(&t->lock);
    CHECK(t->count < ENTRIES);
    t->entries[t->count] = malloc(value.len);
    memcpy(t->entries[t->count], value.data, value.len);
    t->lengths[t->count++] = value.len;
    status = copy_number(id, t->count);
    pthread_mutex_unlock(&t->lock);
    return status;
}

static int32_t read_entry(void *userdata, clerk_str stream, clerk_str after, clerk_buffer *id, clerk_buffer *value,
                          int64_t wait_ms) {
    table *t = userdata;
    int32_t status;
    (void)stream;
    if (is_disturbed(t, &status))
        return status;
    char text[65] = "";
    CHECK(after.len < sizeof text);
    memcpy(text, after.data, after.len);
    int number = atoi(text);
    for (int64_t begun = now_ms();; usleep(1000)) {
        pthread_mutex_lock(&t->lock);
        if (after.len == 0)
            status = t->count == 0 ? CLERK_CACHE_STATUS_NONE : copy_number(id, t->count);
        else if (number > t->count)
            status = CLERK_CACHE_STATUS_GAP;
        else if (number == t->count)
            status = CLERK_CACHE_STATUS_NONE;
        else if ((status = copy_number(id, number + 1)) == CLERK_CACHE_STATUS_OK)
            status = copy(value, t->entries[number], t->lengths[number]);
        pthread_mutex_unlock(&t->lock);
        if (status != CLERK_CACHE_STATUS_NONE || after.len == 0 || now_ms() - begun >= wait_ms)
            return status;
    }
}

static void destroy(void *userdata) {
    ((table *)userdata)->destroyed++;
}

static table *new_table(void) {
    table *t = calloc(1, sizeof *t);
    CHECK(t != NULL && pthread_mutex_init(&t->lock, NULL) == 0);
    return t;
}

static void free_table(table *t, int clients) {
    CHECK_INT(t->destroyed, clients);
    for (int i = 0; i < SLOTS; i++)
        free(t->slots[i].value);
    for (int i = 0; i < t->count; i++)
        free(t->entries[i]);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static clerk_shared_cache engine_of(table *t, bool has_stream) {
    clerk_shared_cache engine = CLERK_SHARED_CACHE_INIT;
    engine.userdata = t;
    engine.destroy = destroy;
    engine.get = get;
    engine.set = store;
    engine.remove = remove_value;
    engine.append = has_stream ? append : NULL;
    engine.read = has_stream ? read_entry : NULL;
    return engine;
}

static clerk_client *new_client(table *t, bool has_stream) {
    clerk_config *config = sim_config();
    clerk_shared_cache engine = engine_of(t, has_stream);
    CHECK_OK(clerk_config_set(config, CLERK_STR("user_mode"), CLERK_STR("profile"), NULL));
    CHECK_OK(clerk_config_set(config, CLERK_STR("webhook_secrets"), CLERK_STR(SECRET), NULL));
    CHECK_OK(clerk_config_set_shared_cache(config, &engine));
    clerk_client *client = NULL;
    clerk_error *error = NULL;
    CHECK_OK(clerk_client_new(config, &client, &error));
    CHECK_ERROR(&error, CLERK_OK);
    clerk_config_free(config);
    return client;
}

static clerk_stats stats_of(const clerk_client *client) {
    clerk_stats stats = CLERK_STATS_INIT;
    CHECK_OK(clerk_client_stats(client, &stats));
    return stats;
}

static const char *token_of(const char *user, const char *session) {
    char path[64];
    snprintf(path, sizeof path, "/users/%s", user);
    sim_put(path, "{\"first_name\":\"Ada\"}");
    return sim_token("{\"user\":\"%s\",\"sid\":\"%s\"}", user, session);
}

static void user_is_fetched_once_by_two_clients(void) {
    sim_reset();
    table *t = new_table();
    clerk_client *first = new_client(t, false), *second = new_client(t, false);
    CHECK_CSTR(outcome_of(first, token_of("user_1", "sess_1")), "signed_in verified");
    CHECK_CSTR(outcome_of(second, token_of("user_1", "sess_2")), "signed_in verified");
    CHECK_INT(sim_count("/users/{id}"), 1);
    CHECK_INT(stats_of(second).shared_cache_hits, 1);
    CHECK_INT(stats_of(second).shared_cache_state, 1);
    /* Without streams, a revocation is found when a token is verified. */
    CHECK_OK(clerk_client_revoke_session(first, CLERK_STR("sess_3")));
    CHECK_CSTR(outcome_of(second, token_of("user_1", "sess_3")), "signed_out session-revoked");
    CHECK_STATUS(clerk_client_poll(second, 10), CLERK_UNAVAILABLE);
    clerk_client_free(first);
    clerk_client_free(second);
    free_table(t, 2);
}

static void cleared_cache_of_one_client_is_kept_by_another(void) {
    sim_reset();
    table *t = new_table();
    clerk_client *first = new_client(t, true), *second = new_client(t, true);
    const char *token = token_of("user_1", "sess_1");
    CHECK_OK(clerk_client_poll(second, 0));
    CHECK_CSTR(outcome_of(first, token), "signed_in verified");
    CHECK_CSTR(outcome_of(second, token), "signed_in verified");
    int calls = t->calls;
    CHECK_OK(clerk_client_clear_cache(first));
    CHECK_INT(t->calls, calls);
    CHECK_INT(stats_of(first).cached_users, 0);
    CHECK_OK(clerk_client_poll(second, 0));
    CHECK_CSTR(outcome_of(second, token), "signed_in cache");
    CHECK_CSTR(outcome_of(second, token_of("user_1", "sess_2")), "signed_in verified");
    CHECK_CSTR(outcome_of(first, token), "signed_in verified");
    CHECK_INT(sim_count("/users/{id}"), 1);
    clerk_client_free(first);
    clerk_client_free(second);
    free_table(t, 2);
}

static void replayed_webhook_makes_no_engine_call(void) {
    sim_reset();
    table *t = new_table();
    clerk_client *client = new_client(t, true);
    const char *token = token_of("user_1", "sess_1");
    CHECK_CSTR(outcome_of(client, token), "signed_in verified");
    const char *answer = sim_admin("POST", "/webhook", "{\"type\":\"session.ended\",\"id\":\"sess_1\",\"secret\":\"" SECRET
                                   "\",\"data\":{\"id\":\"sess_1\",\"user_id\":\"user_1\",\"status\":\"ended\"}}");
    clerk_str body = clerk_str_of(json_string(answer, "body"));
    static const char *const names[] = {"svix-id", "svix-timestamp", "svix-signature"};
    clerk_header lines[3];
    for (int i = 0; i < 3; i++)
        lines[i] = (clerk_header){clerk_str_of(names[i]), clerk_str_of(json_string(answer, names[i]))};
    t->mode = SLOW;
    int calls = t->calls;
    CHECK_OK(clerk_webhook_replay(client, lines, 3, body, NULL));
    CHECK_INT(t->calls, calls);
    CHECK_CSTR(outcome_of(client, token), "signed_out session-revoked");
    /* The same webhook, when it comes to this process itself. */
    CHECK_OK(clerk_webhook_handle(client, lines, 3, body, NULL));
    CHECK(t->calls > calls);
    CHECK_STATUS(clerk_webhook_replay(client, lines, 3, body, NULL), CLERK_WEBHOOK_IGNORED);
    t->mode = WORKS;
    clerk_client_free(client);
    free_table(t, 1);
}

static void poll_applies_the_changes_of_another_client(void) {
    sim_reset();
    table *t = new_table();
    clerk_client *first = new_client(t, true), *second = new_client(t, true);
    const char *token = token_of("user_1", "sess_1");
    CHECK_OK(clerk_client_poll(second, 0));
    CHECK_CSTR(outcome_of(second, token), "signed_in verified");
    CHECK_CSTR(outcome_of(second, token), "signed_in cache");
    CHECK_OK(clerk_client_revoke_user(first, CLERK_STR("user_1")));
    CHECK_OK(clerk_client_poll(second, 5000));
    CHECK_CSTR(outcome_of(second, token), "signed_out session-revoked");
    CHECK(stats_of(second).revocation_lag_ms >= 0);
    /* The engine was replaced by an empty one. */
    const char *other = token_of("user_2", "sess_2");
    CHECK_CSTR(outcome_of(second, other), "signed_in verified");
    pthread_mutex_lock(&t->lock);
    while (t->count > 0)
        free(t->entries[--t->count]);
    pthread_mutex_unlock(&t->lock);
    CHECK_OK(clerk_client_poll(second, 0));
    CHECK_CSTR(outcome_of(second, other), "signed_in verified");
    CHECK_STATUS(clerk_client_poll(second, -1), CLERK_E_ARGUMENT);
    clerk_client_free(first);
    clerk_client_free(second);
    free_table(t, 2);
}

static void poller_ends_with_the_client(void) {
    sim_reset();
    table *t = new_table();
    clerk_client *first = new_client(t, true), *second = new_client(t, true);
    clerk_error *error = NULL;
    CHECK_OK(clerk_client_start_poller(second, &error));
    CHECK_OK(clerk_client_start_poller(second, &error));
    usleep(100000);
    const char *token = token_of("user_1", "sess_1");
    CHECK_CSTR(outcome_of(second, token), "signed_in verified");
    CHECK_OK(clerk_client_revoke_session(first, CLERK_STR("sess_1")));
    int64_t begun = now_ms();
    while (strcmp(outcome_of(second, token), "signed_out session-revoked") != 0) {
        CHECK(now_ms() - begun < 10000);
        usleep(1000);
    }
    CHECK_OK(clerk_client_shutdown(second));
    int calls = t->calls;
    usleep(300000);
    CHECK_INT(t->calls, calls);
    CHECK_OK(clerk_client_start_poller(second, NULL));
    clerk_client_free(second);
    CHECK_INT(t->destroyed, 1);
    clerk_client_free(first);
    free_table(t, 2);

    clerk_client *without = sim_client();
    int32_t status = clerk_client_start_poller(without, &error);
    CHECK_STATUS(status, CLERK_E_CONFIG);
    CHECK_ERROR(&error, status);
    CHECK_STATUS(clerk_client_poll(without, 0), CLERK_E_CONFIG);
    clerk_client_free(without);
}

/* The threads of this process that are pollers. */
static int pollers(void) {
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *comm = fopen(path, "r");
        if (comm != NULL && fgets(name, sizeof name, comm) != NULL)
            count += strcmp(name, "clerk-poll\n") == 0;
        if (comm != NULL)
            fclose(comm);
    }
    closedir(tasks);
    return count;
}

static bool wait_for_pollers(int count) {
    for (int64_t begun = now_ms(); pollers() != count; usleep(1000))
        if (now_ms() - begun > 10000)
            return false;
    return true;
}

static void child_has_no_poller_until_warm_up(void) {
    sim_reset();
    table *t = new_table();
    clerk_client *client = new_client(t, true);
    CHECK_OK(clerk_client_start_poller(client, NULL));
    CHECK(wait_for_pollers(1));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (pollers() != 0 || clerk_client_warm_up(client, NULL) != CLERK_OK || !wait_for_pollers(1))
            _exit(1);
        clerk_client_free(client);
        _exit(pollers() == 0 ? 0 : 2);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_INT(status, 0);
    /* A child that does nothing frees it all the same. */
    child = fork();
    if (child == 0) {
        clerk_client_free(client);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_INT(status, 0);
    CHECK_INT(pollers(), 1);
    clerk_client_free(client);
    CHECK_INT(pollers(), 0);
    free_table(t, 1);
}

static void engine_that_misbehaves_changes_no_verdict(void) {
    static const int modes[] = {FAILS, WRONG_LENGTH, FLIPS, CALLS_BACK};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        sim_reset();
        table *t = new_table();
        clerk_client *client = new_client(t, true);
        const char *token = token_of("user_1", "sess_1"), *again = token_of("user_1", "sess_2");
        CHECK_CSTR(outcome_of(client, token), "signed_in verified");
        t->client = client;
        t->mode = modes[i];
        CHECK_CSTR(outcome_of(client, again), "signed_in verified");
        CHECK_OK(clerk_client_revoke_session(client, CLERK_STR("sess_2")));
        CHECK_CSTR(outcome_of(client, again), "signed_out session-revoked");
        CHECK_CSTR(outcome_of(client, token), "signed_in cache");
        t->mode = WORKS;
        clerk_client_free(client);
        free_table(t, 1);
    }
}

static void incomplete_engine_is_refused(void) {
    clerk_config *config = sim_config();
    table *t = new_table();
    clerk_shared_cache engine = engine_of(t, true);
    engine.struct_size--;
    CHECK_STATUS(clerk_config_set_shared_cache(config, &engine), CLERK_E_STRUCT_SIZE);
    CHECK_INT(t->destroyed, 0);
    engine = engine_of(t, true);
    engine.get = NULL;
    CHECK_STATUS(clerk_config_set_shared_cache(config, &engine), CLERK_E_NULL);
    CHECK_INT(t->destroyed, 1);
    engine = engine_of(t, true);
    engine.read = NULL;
    CHECK_STATUS(clerk_config_set_shared_cache(config, &engine), CLERK_E_ARGUMENT);
    engine = engine_of(t, false);
    CHECK_STATUS(clerk_config_set_shared_cache(NULL, &engine), CLERK_E_NULL);
    CHECK_INT(t->destroyed, 3);
    CHECK_OK(clerk_config_set_shared_cache(config, &engine));
    CHECK_OK(clerk_config_set_shared_cache(config, NULL));
    CHECK_INT(t->destroyed, 4);
    /* Not together with the setting. */
    CHECK_OK(clerk_config_set_shared_cache(config, &engine));
    CHECK_OK(clerk_config_set(config, CLERK_STR("shared_cache"), CLERK_STR("redis://127.0.0.1"), NULL));
    clerk_client *client = NULL;
    clerk_error *error = NULL;
    int32_t status = clerk_client_new(config, &client, &error);
    CHECK_STATUS(status, CLERK_E_CONFIG);
    CHECK_STR(clerk_error_setting(error), "shared_cache");
    CHECK_ERROR(&error, status);
    clerk_config_free(config);
    free_table(t, 5);
}

int main(void) {
    user_is_fetched_once_by_two_clients();
    cleared_cache_of_one_client_is_kept_by_another();
    replayed_webhook_makes_no_engine_call();
    poll_applies_the_changes_of_another_client();
    poller_ends_with_the_client();
    /* In a child memcheck takes for lost what the threads of the parent own. */
    const char *preload = getenv("LD_PRELOAD");
    if (preload == NULL || strstr(preload, "valgrind") == NULL) child_has_no_poller_until_warm_up();
    engine_that_misbehaves_changes_no_verdict();
    incomplete_engine_is_refused();
    return 0;
}
