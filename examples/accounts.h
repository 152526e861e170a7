/* accounts.h - an application's own user table in SQLite, kept in step with Clerk by one hook.
 *
 * Copy it and put your table in the place of this one. It is a header, and its functions are static, only so that each
 * example here stays one file to compile.
 *
 *     accounts *table = accounts_open("app.db");
 *     accounts_attach(table, config);      before clerk_client_new
 *
 * The library asks one question at a time (a step), and the hook answers it (a reply). There are six questions and the
 * three words of a transaction, and here each of the nine is one prepared statement.
 */
#ifndef ACCOUNTS_H
#define ACCOUNTS_H

#include <clerk_auth.h>

#include <sqlite3.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* The unique columns are what keeps two first requests of one new user from making two rows. */
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
    "  plan            TEXT NOT NULL DEFAULT 'free'" /* the application's alone: the library never hears of it */
    ")";

/* What the library calls a column, and what it is called here; in the order of ACCOUNTS_ROW. */
static const struct {
    int32_t column;
    bool is_text;
    const char *parameter;
} accounts_columns[] = {
    { CLERK_COLUMN_CLERK_ID, true, ":clerk_id" },
    { CLERK_COLUMN_USERNAME, true, ":login" },
    { CLERK_COLUMN_EMAIL, true, ":email" },
    { CLERK_COLUMN_FIRST_NAME, true, ":given_name" },
    { CLERK_COLUMN_LAST_NAME, true, ":family_name" },
    { CLERK_COLUMN_IS_ACTIVE, false, ":is_active" },
    { CLERK_COLUMN_BANNED_BY_CLERK, false, ":banned_by_clerk" },
};

enum {
    ACCOUNTS_COLUMNS = sizeof accounts_columns / sizeof accounts_columns[0],
    ACCOUNTS_STEPS = CLERK_STORE_REQUEST_KIND_ROLLBACK + 1,
    ACCOUNTS_LONGEST_LOGIN = 40,
    ACCOUNTS_BUSY_MS = 2000 /* how long to wait for another process that is writing */
};

#define ACCOUNTS_ROW \
    "SELECT id, clerk_id, login, email, given_name, family_name, is_active, banned_by_clerk FROM account "

/* One statement for each step. A parameter without a value is NULL, and in UPDATE that leaves the column as it is; only
 * an address may become NULL, so it takes a flag to tell. */
static const char *const accounts_sql[ACCOUNTS_STEPS] = {
    [CLERK_STORE_REQUEST_KIND_FIND_BY_KEY] = ACCOUNTS_ROW "WHERE id = :key",
    [CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID] = ACCOUNTS_ROW "WHERE clerk_id = :text",
    [CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL] = ACCOUNTS_ROW "WHERE email = :text",
    [CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN] =
        "SELECT EXISTS (SELECT 1 FROM account WHERE login = :text AND id IS NOT :key)",
    [CLERK_STORE_REQUEST_KIND_CREATE] =
        "INSERT INTO account (clerk_id, login, email, given_name, family_name, is_active, banned_by_clerk) "
        "VALUES (:clerk_id, :login, :email, :given_name, :family_name, :is_active, :banned_by_clerk)",
    [CLERK_STORE_REQUEST_KIND_UPDATE] =
        "UPDATE account SET"
        "  clerk_id = coalesce(:clerk_id, clerk_id),"
        "  login = coalesce(:login, login),"
        "  email = CASE WHEN :writes_email THEN :email ELSE email END,"
        "  given_name = coalesce(:given_name, given_name),"
        "  family_name = coalesce(:family_name, family_name),"
        "  is_active = coalesce(:is_active, is_active),"
        "  banned_by_clerk = coalesce(:banned_by_clerk, banned_by_clerk) "
        "WHERE id = :key",
    [CLERK_STORE_REQUEST_KIND_BEGIN] = "BEGIN IMMEDIATE",
    [CLERK_STORE_REQUEST_KIND_COMMIT] = "COMMIT",
    [CLERK_STORE_REQUEST_KIND_ROLLBACK] = "ROLLBACK",
};

typedef struct {
    sqlite3 *db;
    sqlite3_stmt *statements[ACCOUNTS_STEPS];
} accounts;

/* A clerk_destroy_fn. NULL is fine. */
static void accounts_close(void *userdata)
{
    accounts *table = userdata;

    if (table == NULL)
        return;
    for (int kind = 0; kind < ACCOUNTS_STEPS; kind++)
        sqlite3_finalize(table->statements[kind]);
    sqlite3_close(table->db);
    free(table);
}

static bool accounts_prepare(accounts *table, const char *path)
{
    /* FULLMUTEX: the hook runs on many threads at once, and they share this connection. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;

    if (sqlite3_open_v2(path, &table->db, flags, NULL) != SQLITE_OK
        || sqlite3_db_mutex(table->db) == NULL /* an SQLite that was built without threads */
        || sqlite3_busy_timeout(table->db, ACCOUNTS_BUSY_MS) != SQLITE_OK
        || sqlite3_exec(table->db, accounts_schema, NULL, NULL, NULL) != SQLITE_OK)
        return false;
    for (int kind = CLERK_STORE_REQUEST_KIND_FIND_BY_KEY; kind < ACCOUNTS_STEPS; kind++) {
        if (sqlite3_prepare_v3(table->db, accounts_sql[kind], -1, SQLITE_PREPARE_PERSISTENT,
                               &table->statements[kind], NULL) != SQLITE_OK)
            return false;
    }
    return true;
}

/* Opens the file, and makes it and the table if need be. NULL: it cannot be, and standard error says why. */
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

static int accounts_bind_text(sqlite3_stmt *statement, const char *name, clerk_str text)
{
    int at = sqlite3_bind_parameter_index(statement, name);

    /* STATIC: the step outlives the execution. A text that is not there has NULL data, which SQLite binds as NULL. */
    return at == 0 ? SQLITE_OK : sqlite3_bind_text(statement, at, text.data, (int)text.len, SQLITE_STATIC);
}

static int accounts_bind_int(sqlite3_stmt *statement, const char *name, int64_t number)
{
    int at = sqlite3_bind_parameter_index(statement, name);

    return at == 0 ? SQLITE_OK : sqlite3_bind_int64(statement, at, number);
}

/* Hands the step's texts and columns to the parameters of those names, as far as the statement has them. */
static int accounts_bind(sqlite3_stmt *statement, const clerk_store_request *step)
{
    int code = accounts_bind_text(statement, ":key", clerk_store_request_key(step));

    if (code == SQLITE_OK)
        code = accounts_bind_text(statement, ":text", clerk_store_request_value(step));
    if (code == SQLITE_OK)
        code = accounts_bind_int(statement, ":writes_email", clerk_store_request_string_column(step, CLERK_COLUMN_EMAIL, NULL));
    for (int i = 0; i < ACCOUNTS_COLUMNS && code == SQLITE_OK; i++) {
        int32_t column = accounts_columns[i].column;
        const char *parameter = accounts_columns[i].parameter;
        clerk_str text;
        int64_t number;

        if (accounts_columns[i].is_text && clerk_store_request_string_column(step, column, &text) == 1)
            code = accounts_bind_text(statement, parameter, text);
        else if (!accounts_columns[i].is_text && clerk_store_request_int_column(step, column, &number) == 1)
            code = accounts_bind_int(statement, parameter, number);
    }
    return code;
}

static clerk_str accounts_text(sqlite3_stmt *row, int at)
{
    clerk_str text;

    text.data = (const char *)sqlite3_column_text(row, at); /* first, for it settles how many bytes there are */
    text.len = (size_t)sqlite3_column_bytes(row, at);
    return text;
}

static int32_t accounts_reply_row(sqlite3_stmt *row, clerk_store_response *reply)
{
    int32_t status = clerk_store_response_add_row(reply, accounts_text(row, 0));

    for (int i = 0; i < ACCOUNTS_COLUMNS && status == CLERK_OK; i++) {
        if (accounts_columns[i].is_text)
            status = clerk_store_response_set_string_column(reply, accounts_columns[i].column, accounts_text(row, i + 1));
        else
            status = clerk_store_response_set_int_column(reply, accounts_columns[i].column, sqlite3_column_int64(row, i + 1));
    }
    return status;
}

/* A number and words of the host's own come back in clerk_error_store_code and clerk_error_message. */
static int32_t accounts_refuse(clerk_store_response *reply, int code, const char *message)
{
    int32_t status = clerk_store_response_set_error(reply, clerk_str_of(message));

    /* SQLite's numbers are positive, a hook's failures negative. */
    return status == CLERK_OK ? -code : status;
}

/* What the execution of a statement has come to. */
static int32_t accounts_conclude(accounts *table, int32_t kind, int code, clerk_store_response *reply)
{
    char key[24];

    if (code == SQLITE_CONSTRAINT && sqlite3_extended_errcode(table->db) == SQLITE_CONSTRAINT_UNIQUE)
        return CLERK_STORE_CONFLICT; /* somebody was faster: the library looks for the row again */
    if (code != SQLITE_DONE)
        return accounts_refuse(reply, code, sqlite3_errmsg(table->db));
    if (kind == CLERK_STORE_REQUEST_KIND_UPDATE && sqlite3_changes(table->db) == 0)
        return accounts_refuse(reply, SQLITE_NOTFOUND, "the account is gone");
    if (kind == CLERK_STORE_REQUEST_KIND_CREATE) {
        snprintf(key, sizeof key, "%lld", (long long)sqlite3_last_insert_rowid(table->db));
        return clerk_store_response_set_created_key(reply, clerk_str_of(key));
    }
    return CLERK_STORE_OK;
}

/* Executes the step's statement and fills the reply. The connection's mutex is held. */
static int32_t accounts_execute(accounts *table, int32_t kind, const clerk_store_request *step, clerk_store_response *reply)
{
    sqlite3_stmt *statement = table->statements[kind];
    int32_t returned = CLERK_OK; /* which is CLERK_STORE_OK as well, while all other statuses of setters are negative */
    int code = accounts_bind(statement, step);

    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    while (code == SQLITE_ROW && returned == CLERK_OK) {
        if (kind == CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN)
            returned = clerk_store_response_set_username_taken(reply, sqlite3_column_int(statement, 0));
        else
            returned = accounts_reply_row(statement, reply);
        code = sqlite3_step(statement);
    }
    if (returned == CLERK_OK)
        returned = accounts_conclude(table, kind, code, reply);

    /* Ready for the next time. Whatever these say has been said by the execution. */
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return returned;
}

/* A COMMIT that fails (the disk is full, say) may leave the transaction open, and no ROLLBACK follows it. */
static void accounts_leave_no_transaction(accounts *table)
{
    if (sqlite3_get_autocommit(table->db) == 0 && sqlite3_exec(table->db, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK)
        fprintf(stderr, "accounts: %s\n", sqlite3_errmsg(table->db));
}

/* The hook, a clerk_user_store_fn. */
static int32_t accounts_step(void *userdata, const clerk_store_request *step, clerk_store_response *reply)
{
    accounts *table = userdata;
    sqlite3_mutex *mutex = sqlite3_db_mutex(table->db); /* it is recursive */
    int32_t kind = clerk_store_request_get_kind(step);
    int32_t returned;

    if (kind < CLERK_STORE_REQUEST_KIND_FIND_BY_KEY || kind >= ACCOUNTS_STEPS)
        return accounts_refuse(reply, SQLITE_MISUSE, "a step that this program does not know");

    sqlite3_mutex_enter(mutex);
    returned = accounts_execute(table, kind, step, reply);

    /* Held from BEGIN to COMMIT or ROLLBACK: what other threads write in between would become part of this connection's
     * one transaction, and be undone with it. Nothing waits for Clerk in between. */
    if (kind == CLERK_STORE_REQUEST_KIND_BEGIN && returned == CLERK_STORE_OK)
        sqlite3_mutex_enter(mutex);
    if (kind == CLERK_STORE_REQUEST_KIND_COMMIT || kind == CLERK_STORE_REQUEST_KIND_ROLLBACK) {
        accounts_leave_no_transaction(table);
        sqlite3_mutex_leave(mutex);
    }
    sqlite3_mutex_leave(mutex);
    return returned;
}

/* Has the library keep this table, and says which columns there are. The config, and the clients made from it, own the
 * table from here on, and close it after the last of them is freed; also when this fails. */
static int32_t accounts_attach(accounts *table, clerk_config *config)
{
    uint32_t columns = 0;
    int32_t status = clerk_config_set_user_store(config, accounts_step, table, accounts_close);

    for (int i = 0; i < ACCOUNTS_COLUMNS; i++)
        columns |= UINT32_C(1) << accounts_columns[i].column;
    if (status == CLERK_OK)
        status = clerk_config_set_user_columns(config, columns);
    if (status == CLERK_OK)
        status = clerk_config_set_user_column_length(config, CLERK_COLUMN_USERNAME, ACCOUNTS_LONGEST_LOGIN);
    return status;
}

#endif
