/* A user table in memory, behind the hook; and one that misbehaves. */
#ifndef TABLE_H
#define TABLE_H

#include "check.h"

#include <pthread.h>

enum { TEXTS = CLERK_COLUMN_IMAGE_URL + 1, COLUMNS = CLERK_COLUMN_BANNED_BY_CLERK + 1, MOST_ROWS = 64, KINDS = 16 };

typedef struct {
    int key;
    bool has[COLUMNS];
    char texts[TEXTS][256];
    int64_t numbers[COLUMNS];
} table_row;

typedef struct {
    pthread_mutex_t lock;
    table_row rows[MOST_ROWS];
    int count, last_key;
    /* How often each step was wanted, and all of them in words. */
    int asked[KINDS];
    char diary[4096];
    /* This step fails with this number, in these words; 0: none does. */
    int32_t failing, code;
    clerk_str words;
    /* How often a transaction stood open when it should not have, or the other way round. */
    int open, disorder;
    atomic_int destroyed;
} table;

#define TABLE_INIT {.lock = PTHREAD_MUTEX_INITIALIZER}

/* A `clerk_user_store_fn`; `userdata` is a table. */
int32_t table_answer(void *userdata, const clerk_store_request *step, clerk_store_response *reply);
/* A `clerk_destroy_fn`. */
void table_destroy(void *userdata);

/* A client of the stand-in with this table. */
clerk_client *client_with(table *table, const char *row_check_ttl_s);
/* Adds a row; a text that is NULL is not there. Returns its place. */
int table_add(table *table, const char *clerk_id, const char *email, const char *username);
/* The row of a Clerk user, or NULL. */
table_row *table_of(table *table, const char *clerk_id);
const char *column(const table_row *row, int32_t which);
/* What was asked since the last time. */
const char *table_diary(table *table);

#endif
