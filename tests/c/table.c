#include "table.h"

#include <strings.h>

static const char *const steps[] = {
    "done", "by_key", "by_clerk_id", "by_email", "taken", "create", "update", "begin", "commit", "rollback", "fetch",
};

static bool fits(const table_row *row, int32_t kind, clerk_str text, clerk_str key) {
    const char *own = row->texts[kind == CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL ? CLERK_COLUMN_EMAIL : CLERK_COLUMN_USERNAME];
    bool same_key = key.data != NULL && atoi(key.data) == row->key;
    switch (kind) {
    case CLERK_STORE_REQUEST_KIND_FIND_BY_KEY:
        return same_key;
    case CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID:
        return row->has[CLERK_COLUMN_CLERK_ID] && strcmp(row->texts[CLERK_COLUMN_CLERK_ID], text.data) == 0;
    case CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL:
        return row->has[CLERK_COLUMN_EMAIL] && strcasecmp(own, text.data) == 0;
    default:
        return row->has[CLERK_COLUMN_USERNAME] && strcasecmp(own, text.data) == 0 && !same_key;
    }
}

static void show(const table_row *row, clerk_store_response *reply) {
    char key[16];
    snprintf(key, sizeof key, "%d", row->key);
    CHECK_STATUS(clerk_store_response_add_row(reply, clerk_str_of(key)), CLERK_OK);
    for (int32_t which = 0; which < COLUMNS; which++) {
        if (which < TEXTS) {
            clerk_str text = row->has[which] ? clerk_str_of(row->texts[which]) : (clerk_str){NULL, 0};
            CHECK_STATUS(clerk_store_response_set_string_column(reply, which, text), CLERK_OK);
        } else if (row->has[which]) {
            CHECK_STATUS(clerk_store_response_set_int_column(reply, which, row->numbers[which]), CLERK_OK);
        }
    }
}

static void write_row(const clerk_store_request *step, table_row *row) {
    for (int32_t which = 0; which < COLUMNS; which++) {
        clerk_str text;
        int64_t number = 0;
        if (which < TEXTS && clerk_store_request_string_column(step, which, &text) == 1) {
            CHECK_TEXT(text, text.data);
            row->has[which] = text.data != NULL;
            snprintf(row->texts[which], sizeof row->texts[which], "%s", text.data ? text.data : "");
        }
        int32_t wanted = clerk_store_request_int_column(step, which, &number);
        CHECK(which >= TEXTS || wanted == 0);
        if (wanted != 0) {
            row->has[which] = wanted == 1;
            row->numbers[which] = number;
        }
    }
}

/* Whether a unique column of the row stands in another one, too. */
static bool clashes(const table *table, const table_row *row) {
    for (int i = 0; i < table->count; i++) {
        const table_row *other = &table->rows[i];
        if (other->key == row->key) continue;
        for (int which = 0; which < TEXTS; which++) {
            bool unique = which == CLERK_COLUMN_CLERK_ID || which == CLERK_COLUMN_USERNAME;
            bool both = unique && row->has[which] && other->has[which];
            if (both && strcasecmp(row->texts[which], other->texts[which]) == 0) return true;
        }
    }
    return false;
}

static int32_t answer(table *table, const clerk_store_request *step, clerk_store_response *reply) {
    int32_t kind = clerk_store_request_get_kind(step);
    clerk_str text = clerk_store_request_value(step), key = clerk_store_request_key(step);
    CHECK(kind > CLERK_STORE_REQUEST_KIND_DONE && kind < CLERK_STORE_REQUEST_KIND_FETCH_USER);
    CHECK_TEXT(text, text.data);
    CHECK_TEXT(key, key.data);
    table->asked[kind]++;
    size_t len = strlen(table->diary);
    snprintf(table->diary + len, sizeof table->diary - len, "%s%s", len ? " " : "", steps[kind]);
    if (kind == table->failing) {
        if (table->words.len > 0) CHECK_STATUS(clerk_store_response_set_error(reply, table->words), CLERK_OK);
        return table->code;
    }
    switch (kind) {
    case CLERK_STORE_REQUEST_KIND_BEGIN:
        table->disorder += table->open;
        table->open = 1;
        return CLERK_STORE_OK;
    case CLERK_STORE_REQUEST_KIND_COMMIT:
    case CLERK_STORE_REQUEST_KIND_ROLLBACK:
        table->disorder += !table->open;
        table->open = 0;
        return CLERK_STORE_OK;
    case CLERK_STORE_REQUEST_KIND_CREATE: {
        table_row row = {.key = ++table->last_key};
        CHECK(table->count < MOST_ROWS);
        write_row(step, &row);
        if (clashes(table, &row)) return CLERK_STORE_CONFLICT;
        table->rows[table->count++] = row;
        char made[16];
        snprintf(made, sizeof made, "%d", row.key);
        CHECK_STATUS(clerk_store_response_set_created_key(reply, clerk_str_of(made)), CLERK_OK);
        return CLERK_STORE_OK;
    }
    case CLERK_STORE_REQUEST_KIND_UPDATE:
        for (int i = 0; i < table->count; i++) {
            if (table->rows[i].key != atoi(key.data)) continue;
            table_row row = table->rows[i];
            write_row(step, &row);
            if (clashes(table, &row)) return CLERK_STORE_CONFLICT;
            table->rows[i] = row;
            return CLERK_STORE_OK;
        }
        clerk_store_response_set_error(reply, CLERK_STR("the row is gone"));
        return -404;
    default:
        for (int i = 0; i < table->count; i++) {
            if (!fits(&table->rows[i], kind, text, key)) continue;
            if (kind == CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN) {
                CHECK_STATUS(clerk_store_response_set_username_taken(reply, 1), CLERK_OK);
                return CLERK_STORE_OK;
            }
            show(&table->rows[i], reply);
        }
        if (kind == CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN) CHECK_STATUS(clerk_store_response_set_username_taken(reply, 0), CLERK_OK);
        return CLERK_STORE_OK;
    }
}

int32_t table_answer(void *userdata, const clerk_store_request *step, clerk_store_response *reply) {
    table *own = userdata;
    pthread_mutex_lock(&own->lock);
    int32_t returned = answer(own, step, reply);
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
    CHECK_STATUS(clerk_config_set_user_store(config, table_answer, table, table_destroy), CLERK_OK);
    return client_of(config);
}

int table_add(table *table, const char *clerk_id, const char *email, const char *username) {
    const char *const texts[] = {clerk_id, email, username};
    table_row *row = &table->rows[table->count];
    *row = (table_row){.key = ++table->last_key};
    for (int which = 0; which < 3; which++) {
        row->has[which] = texts[which] != NULL;
        snprintf(row->texts[which], sizeof row->texts[which], "%s", texts[which] ? texts[which] : "");
    }
    row->has[CLERK_COLUMN_IS_ACTIVE] = true;
    row->numbers[CLERK_COLUMN_IS_ACTIVE] = 1;
    return table->count++;
}

table_row *table_of(table *table, const char *clerk_id) {
    for (int i = 0; i < table->count; i++) {
        table_row *row = &table->rows[i];
        if (row->has[CLERK_COLUMN_CLERK_ID] && strcmp(row->texts[CLERK_COLUMN_CLERK_ID], clerk_id) == 0) return row;
    }
    return NULL;
}

const char *column(const table_row *row, int32_t which) {
    return row->has[which] ? row->texts[which] : NULL;
}

const char *table_diary(table *table) {
    static char said[sizeof table->diary];
    strcpy(said, table->diary);
    table->diary[0] = 0;
    return said;
}
