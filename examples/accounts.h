/* accounts.h - an application's user table in SQLite, updated from Clerk by a user store callback.
 *
 * Copy it and replace the table with yours. It is a header with static functions so that each example is one file to
 * compile.
 *
 *     accounts *table = accounts_open("app.db");
 *     accounts_attach(table, config);      before clerk_client_new
 *
 * The callback executes one store request at a time and fills the response. There are four queries, two changes and
 * BEGIN, COMMIT and ROLLBACK; here each of the nine is one prepared statement.
 */
#ifndef ACCOUNTS_H
#define ACCOUNTS_H

#include <clerk_auth.h>

#include <sqlite3.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* The unique columns prevent two rows for one new user who sends two requests at once. */
static const char accounts_schema[] =
    "CREATE TABLE IF NOT EXISTS account ("
    "  id              INTEGER PRIMARY KEY,"
    "  clerk_id        TEXT UNIQUE,"
    "  login           TEXT NOT NULL UNIQUE COLLATE NOCASE,"
    "  email           TEXT UNIQUE COLLATE NOCASE,"
    "  given_name      TEXT NOT NULL DEFAULT '',"
    "  family_name     TEXT NOT NULL DEFAULT '',"
    "  is_active       INTEGER NOT NULL DEFAULT 1,"
    "  banned_by_clerk INTEGER NOT NULL DEFAULT 0,"
    "  clerk_updated_at INTEGER," /* NULL is older than everything */
    "  plan            TEXT NOT NULL DEFAULT 'free'" /* not known to the library */
    ")";

/* The library's columns and the parameters for them; in the order of ACCOUNTS_ROW. */
static const struct {
    int32_t column;
    bool is_string;
    const char *parameter;
} accounts_columns[] = {
    { CLERK_COLUMN_CLERK_ID, true, ":clerk_id" },
    { CLERK_COLUMN_USERNAME, true, ":login" },
    { CLERK_COLUMN_EMAIL, true, ":email" },
    { CLERK_COLUMN_FIRST_NAME, true, ":given_name" },
    { CLERK_COLUMN_LAST_NAME, true, ":family_name" },
    { CLERK_COLUMN_IS_ACTIVE, false, ":is_active" },
    { CLERK_COLUMN_BANNED_BY_CLERK, false, ":banned_by_clerk" },
    { CLERK_COLUMN_CLERK_UPDATED_AT_MS, false, ":clerk_updated_at" },
};

enum {
    ACCOUNTS_COLUMNS = sizeof accounts_columns / sizeof accounts_columns[0],
    ACCOUNTS_KINDS = CLERK_STORE_REQUEST_KIND_ROLLBACK + 1,
    ACCOUNTS_MAX_LOGIN = 40,
    ACCOUNTS_BUSY_MS = 2000 /* how long to wait for a lock of another process */
};

#define ACCOUNTS_ROW \
    "SELECT id, clerk_id, login, email, given_name, family_name, is_active, banned_by_clerk, clerk_updated_at " \
    "FROM account "

/* One statement for each kind of request. A parameter without a value is NULL; in UPDATE the column then keeps its
 * value. Only the e-mail address may be set to NULL, so it needs a flag. */
static const char *const accounts_sql[ACCOUNTS_KINDS] = {
    [CLERK_STORE_REQUEST_KIND_FIND_BY_KEY] = ACCOUNTS_ROW "WHERE id = :key",
    [CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID] = ACCOUNTS_ROW "WHERE clerk_id = :value",
    [CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL] = ACCOUNTS_ROW "WHERE email = :value",
    [CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN] =
        "SELECT EXISTS (SELECT 1 FROM account WHERE login = :value AND id IS NOT :key)",
    [CLERK_STORE_REQUEST_KIND_CREATE] =
        "INSERT INTO account (clerk_id, login, email, given_name, family_name, is_active, banned_by_clerk, "
        "clerk_updated_at) VALUES (:clerk_id, :login, :email, :given_name, :family_name, :is_active, :banned_by_clerk, "
        ":clerk_updated_at)",
    [CLERK_STORE_REQUEST_KIND_UPDATE] =
        "UPDATE account SET"
        "  clerk_id = coalesce(:clerk_id, clerk_id),"
        "  login = coalesce(:login, login),"
        "  email = CASE WHEN :writes_email THEN :email ELSE email END,"
        "  given_name = coalesce(:given_name, given_name),"
        "  family_name = coalesce(:family_name, family_name),"
        "  is_active = coalesce(:is_active, is_active),"
        "  banned_by_clerk = coalesce(:banned_by_clerk, banned_by_clerk),"
        "  clerk_updated_at = coalesce(:clerk_updated_at, clerk_updated_at) "
        "WHERE id = :key"
        "  AND (NOT :only_if_unlinked OR clerk_id IS NULL)"
        "  AND (:max_version IS NULL OR clerk_updated_at IS NULL OR clerk_updated_at <= :max_version)"
        "  AND (NOT :only_if_active OR is_active)"
        "  AND (NOT :only_if_banned OR (banned_by_clerk AND NOT is_active))",
    [CLERK_STORE_REQUEST_KIND_BEGIN] = "BEGIN IMMEDIATE",
    [CLERK_STORE_REQUEST_KIND_COMMIT] = "COMMIT",
    [CLERK_STORE_REQUEST_KIND_ROLLBACK] = "ROLLBACK",
};

typedef struct {
    sqlite3 *db;
    sqlite3_stmt *statements[ACCOUNTS_KINDS];
} accounts;

/* A clerk_destroy_fn. NULL is ignored. */
static void accounts_close(void *userdata)
{
    accounts *table = userdata;

    if (table == NULL)
        return;
    for (int kind = 0; kind < ACCOUNTS_KINDS; kind++)
        sqlite3_finalize(table->statements[kind]);
    sqlite3_close(table->db);
    free(table);
}

static bool accounts_prepare(accounts *table, const char *path)
{
    /* FULLMUTEX: the callback runs on many threads at once, and they share this connection. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;

    if (sqlite3_open_v2(path, &table->db, flags, NULL) != SQLITE_OK
        || sqlite3_db_mutex(table->db) == NULL /* SQLite was built without threads */
        || sqlite3_busy_timeout(table->db, ACCOUNTS_BUSY_MS) != SQLITE_OK
        || sqlite3_exec(table->db, accounts_schema, NULL, NULL, NULL) != SQLITE_OK)
        return false;
    for (int kind = CLERK_STORE_REQUEST_KIND_FIND_BY_KEY; kind < ACCOUNTS_KINDS; kind++) {
        if (sqlite3_prepare_v3(table->db, accounts_sql[kind], -1, SQLITE_PREPARE_PERSISTENT,
                               &table->statements[kind], NULL) != SQLITE_OK)
            return false;
    }
    return true;
}

/* Opens the file; creates it and the table if needed. Returns NULL and prints a message if that fails. */
static accounts *accounts_open(const char *path)
{
    accounts *table = calloc(1, sizeof *table);

    if (table == NULL) {
        perror("accounts");
    } else if (!accounts_prepare(table, path)) {
        fprintf(stderr, "accounts: %s: %s\n", path, sqlite3_errmsg(table->db));
        accounts_close(table);
        table = NULL;
    }
    return table;
}

static int accounts_bind_string(sqlite3_stmt *statement, const char *name, clerk_str string)
{
    int at = sqlite3_bind_parameter_index(statement, name);

    /* STATIC: the request outlives the execution. SQLite binds NULL data as NULL. */
    return at == 0 ? SQLITE_OK : sqlite3_bind_text(statement, at, string.data, (int)string.len, SQLITE_STATIC);
}

static int accounts_bind_int(sqlite3_stmt *statement, const char *name, int64_t number)
{
    int at = sqlite3_bind_parameter_index(statement, name);

    return at == 0 ? SQLITE_OK : sqlite3_bind_int64(statement, at, number);
}

/* Binds the values of the request to the parameters that the statement has. */
static int accounts_bind(sqlite3_stmt *statement, const clerk_store_request *request)
{
    int64_t version;
    int code = accounts_bind_string(statement, ":key", clerk_store_request_key(request));

    if (code == SQLITE_OK)
        code = accounts_bind_string(statement, ":value", clerk_store_request_value(request));
    if (code == SQLITE_OK)
        code = accounts_bind_int(statement, ":writes_email",
                                 clerk_store_request_string_column(request, CLERK_COLUMN_EMAIL, NULL));
    if (code == SQLITE_OK)
        code = accounts_bind_int(statement, ":only_if_unlinked", clerk_store_request_only_if_unlinked(request));
    if (code == SQLITE_OK)
        code = accounts_bind_int(statement, ":only_if_active", clerk_store_request_only_if_active(request));
    if (code == SQLITE_OK)
        code = accounts_bind_int(statement, ":only_if_banned", clerk_store_request_only_if_banned(request));
    if (code == SQLITE_OK && clerk_store_request_max_version(request, &version) == 1)
        code = accounts_bind_int(statement, ":max_version", version);
    for (int i = 0; i < ACCOUNTS_COLUMNS && code == SQLITE_OK; i++) {
        int32_t column = accounts_columns[i].column;
        const char *parameter = accounts_columns[i].parameter;
        clerk_str string;
        int64_t number;

        if (accounts_columns[i].is_string && clerk_store_request_string_column(request, column, &string) == 1)
            code = accounts_bind_string(statement, parameter, string);
        else if (!accounts_columns[i].is_string && clerk_store_request_int_column(request, column, &number) == 1)
            code = accounts_bind_int(statement, parameter, number);
    }
    return code;
}

static clerk_str accounts_string(sqlite3_stmt *row, int at)
{
    clerk_str string;

    string.data = (const char *)sqlite3_column_text(row, at); /* first: it may convert the value */
    string.len = (size_t)sqlite3_column_bytes(row, at);
    return string;
}

static int32_t accounts_add_row(sqlite3_stmt *row, clerk_store_response *response)
{
    int32_t status = clerk_store_response_add_row(response, accounts_string(row, 0));

    for (int i = 0; i < ACCOUNTS_COLUMNS && status == CLERK_OK; i++) {
        int32_t column = accounts_columns[i].column;

        if (accounts_columns[i].is_string)
            status = clerk_store_response_set_string_column(response, column, accounts_string(row, i + 1));
        else if (sqlite3_column_type(row, i + 1) != SQLITE_NULL)
            status = clerk_store_response_set_int_column(response, column, sqlite3_column_int64(row, i + 1));
    }
    return status;
}

/* The code and the message are returned by clerk_error_store_code and clerk_error_message. */
static int32_t accounts_fail(clerk_store_response *response, int code, const char *message)
{
    int32_t status = clerk_store_response_set_error(response, clerk_str_of(message));

    /* SQLite's codes are positive, a callback's negative. */
    return status == CLERK_OK ? -code : status;
}

/* The status of an executed statement. */
static int32_t accounts_status(accounts *table, int32_t kind, int code, clerk_store_response *response)
{
    char key[24];

    if (code == SQLITE_CONSTRAINT && sqlite3_extended_errcode(table->db) == SQLITE_CONSTRAINT_UNIQUE)
        return CLERK_STORE_CONFLICT; /* another request was faster: the library looks again */
    if (code != SQLITE_DONE)
        return accounts_fail(response, code, sqlite3_errmsg(table->db));
    if (kind == CLERK_STORE_REQUEST_KIND_UPDATE && sqlite3_changes(table->db) == 0)
        return CLERK_STORE_CONFLICT; /* the account was deleted, or a condition is not fulfilled */
    if (kind == CLERK_STORE_REQUEST_KIND_CREATE) {
        snprintf(key, sizeof key, "%lld", (long long)sqlite3_last_insert_rowid(table->db));
        return clerk_store_response_set_created_key(response, clerk_str_of(key));
    }
    return CLERK_STORE_OK;
}

/* Executes the statement of the request and fills the response. The connection's mutex is held. */
static int32_t accounts_execute(accounts *table, int32_t kind, const clerk_store_request *request,
                                clerk_store_response *response)
{
    sqlite3_stmt *statement = table->statements[kind];
    int32_t returned = CLERK_OK; /* the same as CLERK_STORE_OK; other statuses of setters are negative */
    int code = accounts_bind(statement, request);

    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    while (code == SQLITE_ROW && returned == CLERK_OK) {
        if (kind == CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN)
            returned = clerk_store_response_set_username_taken(response, sqlite3_column_int(statement, 0));
        else
            returned = accounts_add_row(statement, response);
        code = sqlite3_step(statement);
    }
    if (returned == CLERK_OK)
        returned = accounts_status(table, kind, code, response);

    /* Both repeat the status of the execution. */
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return returned;
}

/* A clerk_user_store_fn. */
static int32_t accounts_callback(void *userdata, const clerk_store_request *request, clerk_store_response *response)
{
    accounts *table = userdata;
    sqlite3_mutex *mutex = sqlite3_db_mutex(table->db); /* recursive */
    int32_t kind = clerk_store_request_get_kind(request);
    int32_t returned;

    if (kind < CLERK_STORE_REQUEST_KIND_FIND_BY_KEY || kind >= ACCOUNTS_KINDS)
        return accounts_fail(response, SQLITE_MISUSE, "unknown kind of request");

    sqlite3_mutex_enter(mutex);
    returned = accounts_execute(table, kind, request, response);

    /* Held from BEGIN to COMMIT or ROLLBACK: otherwise the writes of other threads would be part of this transaction.
     * After a failed COMMIT the library sends ROLLBACK. It sends no request to Clerk in between. */
    if (kind == CLERK_STORE_REQUEST_KIND_BEGIN && returned == CLERK_STORE_OK)
        sqlite3_mutex_enter(mutex);
    if ((kind == CLERK_STORE_REQUEST_KIND_COMMIT && returned == CLERK_STORE_OK)
        || kind == CLERK_STORE_REQUEST_KIND_ROLLBACK)
        sqlite3_mutex_leave(mutex);
    sqlite3_mutex_leave(mutex);
    return returned;
}

/* Sets the user store callback and the columns. The config and its clients own the table from now on, also when this
 * fails; the last of them closes it. */
static int32_t accounts_attach(accounts *table, clerk_config *config)
{
    uint32_t columns = 0;
    int32_t status = clerk_config_set_user_store(config, accounts_callback, table, accounts_close);

    for (int i = 0; i < ACCOUNTS_COLUMNS; i++)
        columns |= UINT32_C(1) << accounts_columns[i].column;
    if (status == CLERK_OK)
        status = clerk_config_set_user_columns(config, columns);
    if (status == CLERK_OK)
        status = clerk_config_set_user_column_length(config, CLERK_COLUMN_USERNAME, ACCOUNTS_MAX_LOGIN);
    return status;
}

#endif
