#include "table.h"

#include <strings.h>

static const char *const kind_names[] = {
    "done", "by_key", "by_clerk_id", "by_email", "taken", "create", "update", "begin", "commit", "rollback", "fetch",
};

static bool matches(const table_row *row, int32_t kind, clerk_str text, clerk_str key) {
    const char *own = row->strings[kind == CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL
                                   ? CLERK_COLUMN_EMAIL : CLERK_COLUMN_USERNAME];
    bool same_key = key.data != NULL && atoi(key.data) == row->key;
    switch (kind) {
    case CLERK_STORE_REQUEST_KIND_FIND_BY_KEY:
        return same_key;
    case CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID:
        return row->has[CLERK_COLUMN_CLERK_ID] && strcmp(row->strings[CLERK_COLUMN_CLERK_ID], text.data) == 0;
    case CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL:
        return row->has[CLERK_COLUMN_EMAIL] && strcasecmp(own, text.data) == 0;
    default:
        return row->has[CLERK_COLUMN_USERNAME] && strcasecmp(own, text.data) == 0 && !same_key;
    }
}

static void add_to(const table_row *row, clerk_store_response *response) {
    char key[16];
    snprintf(key, sizeof key, "%d", row->key);
    CHECK_STATUS(clerk_store_response_add_row(response, clerk_str_of(key)), CLERK_OK);
    for (int32_t which = 0; which < COLUMNS; which++) {
        if (which < STRING_COLUMNS) {
            clerk_str text = row->has[which] ? clerk_str_of(row->strings[which]) : (clerk_str){NULL, 0};
            CHECK_STATUS(clerk_store_response_set_string_column(response, which, text), CLERK_OK);
        } else if (row->has[which]) {
            CHECK_STATUS(clerk_store_response_set_int_column(response, which, row->numbers[which]), CLERK_OK);
        }
    }
}

static void write_row(const clerk_store_request *request, table_row *row) {
    for (int32_t which = 0; which < COLUMNS; which++) {
        clerk_str text;
        int64_t number = 0;
        if (which < STRING_COLUMNS && clerk_store_request_string_column(request, which, &text) == 1) {
            CHECK_STR(text, text.data);
            row->has[which] = text.data != NULL;
            snprintf(row->strings[which], sizeof row->strings[which], "%s", text.data ? text.data : "");
        }
        int32_t wanted = clerk_store_request_int_column(request, which, &number);
        CHECK(which >= STRING_COLUMNS || wanted == 0);
        if (wanted != 0) {
            row->has[which] = wanted == 1;
            row->numbers[which] = number;
        }
    }
}

/* Whether another row has the same value in a unique column. */
static bool violates_unique(const table *table, const table_row *row) {
    for (int i = 0; i < table->count; i++) {
        const table_row *other = &table->rows[i];
        if (other->key == row->key) continue;
        for (int which = 0; which < STRING_COLUMNS; which++) {
            bool unique = which == CLERK_COLUMN_CLERK_ID || which == CLERK_COLUMN_USERNAME;
            bool both = unique && row->has[which] && other->has[which];
            if (both && strcasecmp(row->strings[which], other->strings[which]) == 0) return true;
        }
    }
    return false;
}

/* Whether a row fulfils the conditions of an update. */
static bool may_update(const clerk_store_request *request, const table_row *row) {
    int64_t max = 0;
    bool is_limited = clerk_store_request_max_version(request, &max) == 1;
    bool is_newer = row->has[CLERK_COLUMN_CLERK_UPDATED_AT_MS] && row->numbers[CLERK_COLUMN_CLERK_UPDATED_AT_MS] > max;
    bool is_linked = row->has[CLERK_COLUMN_CLERK_ID];
    bool is_active = row->numbers[CLERK_COLUMN_IS_ACTIVE] != 0;
    bool is_banned = !is_active && row->numbers[CLERK_COLUMN_BANNED_BY_CLERK] != 0;
    return !(clerk_store_request_only_if_unlinked(request) == 1 && is_linked) && !(is_limited && is_newer) &&
           !(clerk_store_request_only_if_active(request) == 1 && !is_active) &&
           !(clerk_store_request_only_if_banned(request) == 1 && !is_banned);
}

static int32_t execute(table *table, const clerk_store_request *request, clerk_store_response *response) {
    int32_t kind = clerk_store_request_get_kind(request);
    clerk_str text = clerk_store_request_value(request), key = clerk_store_request_key(request);
    CHECK(kind > CLERK_STORE_REQUEST_KIND_DONE && kind < CLERK_STORE_REQUEST_KIND_FETCH_USER);
    CHECK_STR(text, text.data);
    CHECK_STR(key, key.data);
    table->counts[kind]++;
    size_t len = strlen(table->log);
    snprintf(table->log + len, sizeof table->log - len, "%s%s", len ? " " : "", kind_names[kind]);
    if (kind == table->failing) {
        if (table->message.len > 0) CHECK_STATUS(clerk_store_response_set_error(response, table->message), CLERK_OK);
        return table->code;
    }
    switch (kind) {
    case CLERK_STORE_REQUEST_KIND_BEGIN:
        table->unbalanced += table->open;
        table->open = 1;
        return CLERK_STORE_OK;
    case CLERK_STORE_REQUEST_KIND_COMMIT:
    case CLERK_STORE_REQUEST_KIND_ROLLBACK:
        table->unbalanced += !table->open;
        table->open = 0;
        return CLERK_STORE_OK;
    case CLERK_STORE_REQUEST_KIND_CREATE: {
        table_row row = {.key = ++table->last_key};
        CHECK(table->count < MAX_ROWS);
        write_row(request, &row);
        if (violates_unique(table, &row)) return CLERK_STORE_CONFLICT;
        table->rows[table->count++] = row;
        char made[16];
        snprintf(made, sizeof made, "%d", row.key);
        CHECK_STATUS(clerk_store_response_set_created_key(response, clerk_str_of(made)), CLERK_OK);
        return CLERK_STORE_OK;
    }
    case CLERK_STORE_REQUEST_KIND_UPDATE:
        for (int i = 0; i < table->count; i++) {
            if (table->rows[i].key != atoi(key.data)) continue;
            table_row row = table->rows[i];
            if (!may_update(request, &row)) return CLERK_STORE_CONFLICT;
            write_row(request, &row);
            if (violates_unique(table, &row)) return CLERK_STORE_CONFLICT;
            table->rows[i] = row;
            return CLERK_STORE_OK;
        }
        return CLERK_STORE_CONFLICT; /* the row is gone */
    default:
        for (int i = 0; i < table->count; i++) {
            if (!matches(&table->rows[i], kind, text, key)) continue;
            if (kind == CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN) {
                CHECK_STATUS(clerk_store_response_set_username_taken(response, 1), CLERK_OK);
                return CLERK_STORE_OK;
            }
            add_to(&table->rows[i], response);
        }
        if (kind == CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN) {
            CHECK_OK(clerk_store_response_set_username_taken(response, 0));
        }
        return CLERK_STORE_OK;
    }
}

int32_t table_execute(void *userdata, const clerk_store_request *request, clerk_store_response *response) {
    table *own = userdata;
    pthread_mutex_lock(&own->lock);
    int32_t returned = execute(own, request, response);
    pthread_mutex_unlock(&own->lock);
    return returned;
}

void table_destroy(void *userdata) {
    table *own = userdata;
    atomic_fetch_add(&own->destroyed, 1);
}

clerk_client *client_with(table *table, const char *row_check_ttl_s) {
    clerk_config *config = sim_config();
    set(config, "row_check_ttl_s", row_check_ttl_s);
    CHECK_STATUS(clerk_config_set_user_store(config, table_execute, table, table_destroy), CLERK_OK);
    return client_of(config);
}

int table_add(table *table, const char *clerk_id, const char *email, const char *username) {
    const char *const strings[] = {clerk_id, email, username};
    table_row *row = &table->rows[table->count];
    *row = (table_row){.key = ++table->last_key};
    for (int which = 0; which < 3; which++) {
        row->has[which] = strings[which] != NULL;
        snprintf(row->strings[which], sizeof row->strings[which], "%s", strings[which] ? strings[which] : "");
    }
    row->has[CLERK_COLUMN_IS_ACTIVE] = true;
    row->numbers[CLERK_COLUMN_IS_ACTIVE] = 1;
    return table->count++;
}

table_row *table_of(table *table, const char *clerk_id) {
    for (int i = 0; i < table->count; i++) {
        table_row *row = &table->rows[i];
        if (row->has[CLERK_COLUMN_CLERK_ID] && strcmp(row->strings[CLERK_COLUMN_CLERK_ID], clerk_id) == 0) return row;
    }
    return NULL;
}

const char *column(const table_row *row, int32_t which) {
    return row->has[which] ? row->strings[which] : NULL;
}

const char *table_log(table *table) {
    static char taken[sizeof table->log];
    strcpy(taken, table->log);
    table->log[0] = 0;
    return taken;
}
