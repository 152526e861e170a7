/* A user table in memory, for a user store callback. */
#ifndef TABLE_H
#define TABLE_H

#include "check.h"

#include <pthread.h>

enum { STRING_COLUMNS = CLERK_COLUMN_IMAGE_URL + 1, COLUMNS = CLERK_COLUMN_CLERK_UPDATED_AT_MS + 1, MAX_ROWS = 64,
      KINDS = 16 };

typedef struct {
    int key;
    bool has[COLUMNS];
    char strings[STRING_COLUMNS][256];
    int64_t numbers[COLUMNS];
} table_row;

typedef struct {
    pthread_mutex_t lock;
    table_row rows[MAX_ROWS];
    int count, last_key;
    /* Count of each kind of request, and all of them in order. */
    int counts[KINDS];
    char log[4096];
    /* Requests of this kind fail with this code and message; 0: none. */
    int32_t failing, code;
    clerk_str message;
    /* Whether a transaction is open; count of unbalanced requests. */
    int open, unbalanced;
    atomic_int destroyed;
} table;

#define TABLE_INIT {.lock = PTHREAD_MUTEX_INITIALIZER}

/* A `clerk_user_store_fn`; `userdata` is a table. */
int32_t table_execute(void *userdata, const clerk_store_request *request, clerk_store_response *response);
/* A `clerk_destroy_fn`. */
void table_destroy(void *userdata);

/* Creates a client of the fake Clerk API with this table. */
clerk_client *client_with(table *table, const char *row_check_ttl_s);
/* Adds a row; a string may be NULL. Returns its index. */
int table_add(table *table, const char *clerk_id, const char *email, const char *username);
/* Returns the row of a Clerk user, or NULL. */
table_row *table_of(table *table, const char *clerk_id);
const char *column(const table_row *row, int32_t which);
/* Returns and clears the log. */
const char *table_log(table *table);

#endif
