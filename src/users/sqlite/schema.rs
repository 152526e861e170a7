//! The tables, their migrations, and how a database is opened the first time.

use std::cell::Cell;
use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::ffi::{SQLITE_ERROR, SQLITE_READONLY};
use rusqlite::{Connection, MAIN_DB, OpenFlags, Transaction, TransactionBehavior};

use super::error::{explain, is_transient};
use super::file::{DatabaseFile, FileId};
use super::{DIALECT, pool};
use crate::clock::Deadline;
use crate::deadline::limited;
use crate::users::StoreError;

/// How long to wait for a lock, unless the call has to return earlier.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the start waits for processes that start at the same time. SQLite itself does not wait for every lock that a new
/// database takes.
const START_TIMEOUT: Duration = Duration::from_secs(5);
const START_POLL: Duration = Duration::from_millis(5);

/// The migration at index n leads from schema version n to n + 1. Released migrations never change.
pub const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE clerk_user (
        id              INTEGER PRIMARY KEY AUTOINCREMENT,
        clerk_user_id   TEXT UNIQUE,
        email           TEXT COLLATE NOCASE,
        username        TEXT NOT NULL UNIQUE COLLATE NOCASE,
        first_name      TEXT NOT NULL DEFAULT '',
        last_name       TEXT NOT NULL DEFAULT '',
        image_url       TEXT,
        last_active_at  TEXT,
        is_active       INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
        banned_by_clerk INTEGER NOT NULL DEFAULT 0 CHECK (banned_by_clerk IN (0, 1)),
        created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
        updated_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
    );
    CREATE INDEX clerk_user_email ON clerk_user (email);
",
    // NULL is older than everything.
    "ALTER TABLE clerk_user ADD COLUMN clerk_updated_at_ms INTEGER",
];

const HAS_KEY: &str = "SELECT count(*) = 1 FROM pragma_table_info('clerk_user') \
    WHERE name = 'id' AND pk = 1 AND upper(type) = 'INTEGER'";
const HAS_UNIQUE_COLUMNS: &str = "SELECT count(DISTINCT lower(i.name)) = 2 \
    FROM pragma_index_list('clerk_user') AS l JOIN pragma_index_info(l.name) AS i \
    WHERE l.\"unique\" AND NOT l.partial AND lower(i.name) IN ('clerk_user_id', 'username') \
    AND (SELECT count(*) FROM pragma_index_info(l.name)) = 1";

/// Called while another connection has a lock; returns whether to try again. Pauses are shorter than those of SQLite, which are up
/// to 100 ms: a writer would not get its turn beside others that write all the time.
fn wait_for_lock(attempt: i32) -> bool {
    thread_local! {
        static END: Cell<Option<Deadline>> = const { Cell::new(None) };
    }
    let end = END.get().filter(|_| attempt > 0).unwrap_or_else(|| limited(Deadline::after(BUSY_TIMEOUT)));
    END.set(Some(end));
    let left = end.remaining();
    thread::sleep(left.min(Duration::from_millis(if attempt < 20 { 1 } else { 5 })));
    !left.is_zero()
}

/// Opens a connection to an existing database.
fn open(file: &DatabaseFile) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&file.path, flags)?;
    if connection.is_readonly(MAIN_DB)? {
        return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(SQLITE_READONLY), None));
    }
    connection.busy_handler(Some(wait_for_lock))?;
    // Triggers and views in the file must not run functions with side effects.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

/// Opens a connection of a store to `id`, which is the file at the path.
pub fn connect(file: &DatabaseFile, store: u64, id: FileId) -> Result<pool::Pooled, StoreError> {
    pool::open(store, id, || {
        file.check_new()?;
        let connect = || {
            let connection = open(file)?;
            // Reads from the file, after which the WAL is open.
            let is_wal = is_wal(&connection)?;
            // The default, FULL, is for a rollback journal, which NORMAL does not protect from a power failure.
            if is_wal {
                connection.pragma_update(None, "synchronous", "NORMAL")?;
            }
            Ok((connection, is_wal))
        };
        let (connection, is_wal) = connect().map_err(|error| explain(&file.path, &error))?;
        let files = file.opened(id, is_wal)?;
        Ok((connection, files))
    })
}

fn is_wal(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    Ok(mode.eq_ignore_ascii_case("wal"))
}

/// Creates the database if it does not exist, and migrates its tables. Returns which file it is. Leaves no connection open.
pub fn prepare(file: &DatabaseFile) -> Result<FileId, StoreError> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match try_prepare(file) {
            Err(error) if is_transient(&error) && Instant::now() < deadline => thread::sleep(START_POLL),
            outcome => return outcome,
        }
    }
}

fn try_prepare(file: &DatabaseFile) -> Result<FileId, StoreError> {
    let is_new = pool::exclusively(|| file.create_if_missing())?;
    let id = file.id()?;
    let prepared = connect(file, 0, id).and_then(|pooled| {
        let connection = &pooled.connection;
        migrate(file, &pooled)?;
        enable_wal(connection).map_err(|error| explain(&file.path, &error))
    });
    if prepared.is_err() && is_new {
        // A process that starts at the same time finds it deleted, and creates it again.
        file.remove_if_empty(id);
    }
    prepared.map(|()| id)
}

/// Returns the version of the tables; 0 if there are none.
fn schema_version(connection: &Connection) -> rusqlite::Result<usize> {
    connection.execute_batch("CREATE TABLE IF NOT EXISTS clerk_schema (version INTEGER NOT NULL)")?;
    let version: Option<i64> = connection.query_row("SELECT max(version) FROM clerk_schema", [], |row| row.get(0))?;
    Ok(version.and_then(|version| usize::try_from(version).ok()).unwrap_or(0))
}

fn migrate(file: &DatabaseFile, pooled: &pool::Pooled) -> Result<(), StoreError> {
    let explain = |error: rusqlite::Error| explain(&file.path, &error);
    // Fails if the database cannot be written, also if there is nothing to migrate.
    let transaction =
        Transaction::new_unchecked(&pooled.connection, TransactionBehavior::Immediate).map_err(explain)?;
    // Another process may have created the file, found it unusable, and removed it.
    file.check(&pooled.files)?;
    let version = schema_version(&transaction).map_err(|error| explain_tables(file, &error))?;
    let latest = MIGRATIONS.len();
    if version > latest {
        return Err(
            file.error(format!("user table has schema version {version}; this library supports up to {latest}"))
        );
    }
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        transaction.execute_batch(sql).map_err(|error| explain_tables(file, &error))?;
        let sql = "INSERT INTO clerk_schema (version) VALUES (?1)";
        transaction.execute(sql, [index as i64 + 1]).map_err(explain)?;
    }
    check_tables(file, &transaction)?;
    transaction.commit().map_err(explain)?;
    file.check(&pooled.files)
}

/// The error of tables that the library did not create, or that were changed so that it cannot use them.
fn other_tables(file: &DatabaseFile, cause: impl Display) -> StoreError {
    file.error(format!(
        "the tables `clerk_user` and `clerk_schema` are not those of this library: {cause}; use another database, or a user store \
         of your own"
    ))
}

/// Converts an error of a statement that fails on other tables. Others, such as a full device, keep their message.
fn explain_tables(file: &DatabaseFile, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error() {
        Some(known) if known.extended_code != SQLITE_ERROR => explain(&file.path, error),
        _ => other_tables(file, error),
    }
}

/// Checks what the statements of the store rest on: the columns, the key, and one row for each user and each username.
fn check_tables(file: &DatabaseFile, connection: &Connection) -> Result<(), StoreError> {
    let failed = |error| explain_tables(file, &error);
    connection.prepare(&format!("SELECT rowid, {} FROM clerk_user", DIALECT.columns())).map_err(failed)?;
    let is_true = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, bool>(0)).map_err(failed);
    if !is_true(HAS_KEY)? {
        return Err(other_tables(file, "`id` is not INTEGER PRIMARY KEY"));
    }
    if !is_true(HAS_UNIQUE_COLUMNS)? {
        return Err(other_tables(file, "`clerk_user_id` and `username` are not UNIQUE"));
    }
    Ok(())
}

/// Switches a database to WAL, unless it contains tables of the application, which chooses the mode of its own database.
fn enable_wal(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
               AND tbl_name NOT IN ('clerk_user', 'clerk_schema')";
    let others: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    if others == 0 && !is_wal(connection)? {
        // The mode stays as it was, without an error, where the file system cannot share memory.
        connection.pragma_update(None, "journal_mode", "WAL")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollback_journal_keeps_synchronous_full() {
        let folder = std::env::temp_dir().join(format!("clerk-auth-synchronous-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let synchronous = |name: &str, tables: &str| {
            let path = folder.join(name);
            Connection::open(&path).unwrap().execute_batch(tables).unwrap();
            let file = DatabaseFile::resolve(&path).unwrap();
            let id = prepare(&file).unwrap();
            let pooled = connect(&file, 0, id).unwrap();
            pooled.connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0)).unwrap()
        };
        // The application's own database keeps its journal.
        let found = [synchronous("own.db", "CREATE TABLE own (x)"), synchronous("users.db", "")];
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, [2, 1]);
    }
}
