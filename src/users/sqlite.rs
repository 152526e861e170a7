//! A ready-made user table in SQLite.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::ThreadId;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params, params_from_iter};

use super::{Row, RowChanges, Schema, StoreError, UpdateCondition, UserStore};
use crate::config::ConfigError;
use crate::error::Error;

/// How long to wait for another writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of idle connections.
const MAX_IDLE: usize = 8;

/// The migration at index n leads from schema version n to n + 1. Released migrations never change.
const MIGRATIONS: &[&str] = &[
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

const COLUMNS: &str = "id, clerk_user_id, email, username, first_name, last_name, image_url, \
    CAST(round((julianday(last_active_at) - 2440587.5) * 86400000.0) AS INTEGER), is_active, banned_by_clerk, \
    clerk_updated_at_ms";

/// A [`UserStore`] in SQLite: the table `clerk_user`, in a database file of its own or in the application's.
///
/// Opens up to eight connections in WAL mode; several threads and processes may use the same file. A write waits up to two
/// seconds for another one. Connections are not carried across `fork`: a child opens its own.
///
/// # Examples
///
/// ```
/// use clerk_auth::users::{RowChanges, SqliteStore, UserStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("clerk-auth-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let store = SqliteStore::open(folder.join("users.db"))?;
/// let mut ada = RowChanges::default();
/// ada.clerk_id = Some("user_1".into());
/// ada.username = Some("ada".into());
/// let key = store.create(&ada)?;
/// let row = store.find_by_clerk_id("user_1")?.expect("just created");
/// assert_eq!((row.key, row.is_active), (key, true));
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # }
/// ```
pub struct SqliteStore {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    in_transaction: Mutex<HashMap<ThreadId, Connection>>,
    pid: AtomicU32,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the database, creates it with mode 0600 if it does not exist, and migrates its tables.
    ///
    /// # Errors
    ///
    /// An [`Error`] of the kind `Config` if the path is not a regular file (a symbolic link is none), cannot be opened, is no database, or was
    /// migrated by a newer version of this library.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let store = SqliteStore {
            path: path.as_ref().to_owned(),
            idle: Mutex::default(),
            in_transaction: Mutex::default(),
            pid: AtomicU32::new(std::process::id()),
        };
        let error = |e: rusqlite::Error| ConfigError::new("sqlite", format!("cannot open the user table: {e}"));
        create_private(&store.path)?;
        let mut connection = store.connect().map_err(error)?;
        migrate(&mut connection)?;
        store.idle.lock().push(connection);
        Ok(store)
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Triggers and views in the file must not run functions with side effects.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(connection)
    }

    fn check_out(&self) -> rusqlite::Result<Connection> {
        let mut idle = self.idle.lock();
        if self.pid.swap(std::process::id(), Ordering::Relaxed) != std::process::id() {
            // SQLite connections must be neither used nor closed in a forked child.
            idle.drain(..).for_each(std::mem::forget);
        }
        let pooled = idle.pop();
        drop(idle);
        pooled.map_or_else(|| self.connect(), Ok)
    }

    fn check_in(&self, connection: Connection) {
        let mut idle = self.idle.lock();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    /// Runs on the connection of this thread's transaction, or on any connection.
    fn with_connection<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let thread = std::thread::current().id();
        let transaction = self.in_transaction.lock().remove(&thread);
        let in_transaction = transaction.is_some();
        let connection = transaction.map_or_else(|| self.check_out(), Ok)?;
        let outcome = run(&connection);
        if in_transaction {
            self.in_transaction.lock().insert(thread, connection);
        } else {
            self.check_in(connection);
        }
        Ok(outcome?)
    }

    fn end_transaction(&self, statement: &str) -> Result<(), StoreError> {
        let transaction = self.in_transaction.lock().remove(&std::thread::current().id());
        if let Some(connection) = transaction {
            // On failure the connection is dropped, which rolls back.
            connection.execute_batch(statement)?;
            self.check_in(connection);
        }
        Ok(())
    }

    fn find_rows(&self, condition: &str, value: &str) -> Result<Vec<Row>, StoreError> {
        self.with_connection(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM clerk_user WHERE {condition} LIMIT 2");
            connection.prepare_cached(&sql)?.query_map([value], read_row)?.collect()
        })
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error() {
            Some(e)
                if e.code == ErrorCode::ConstraintViolation
                    && e.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE =>
            {
                StoreError::Conflict
            }
            Some(e) => StoreError::failed(e.extended_code, error.to_string()),
            None => StoreError::failed(-1, error.to_string()),
        }
    }
}

/// Checks that the path is a regular file, or creates one that only its owner can read: it contains personal data.
fn create_private(path: &Path) -> Result<(), ConfigError> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_file() => Ok(()),
        Ok(_) => Err(ConfigError::new("sqlite", "not a regular file")),
        Err(_) => std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map(drop)
            .map_err(|e| ConfigError::new("sqlite", format!("cannot create the file: {e}"))),
    }
}

fn migrate(connection: &mut Connection) -> Result<(), ConfigError> {
    let error = |e: rusqlite::Error| ConfigError::new("sqlite", format!("cannot migrate the user table: {e}"));
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(error)?;
    transaction.execute_batch("CREATE TABLE IF NOT EXISTS clerk_schema (version INTEGER NOT NULL)").map_err(error)?;
    let version: Option<i64> =
        transaction.query_row("SELECT max(version) FROM clerk_schema", [], |row| row.get(0)).map_err(error)?;
    let version = version.and_then(|v| usize::try_from(v).ok()).unwrap_or(0);
    if version > MIGRATIONS.len() {
        return Err(ConfigError::new(
            "sqlite",
            format!("user table has schema version {version}; this library supports up to {}", MIGRATIONS.len()),
        ));
    }
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        transaction.execute_batch(sql).map_err(error)?;
        transaction.execute("INSERT INTO clerk_schema (version) VALUES (?1)", [index as i64 + 1]).map_err(error)?;
    }
    transaction.commit().map_err(error)
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        key: row.get::<_, i64>(0)?.to_string(),
        clerk_id: row.get(1)?,
        email: row.get(2)?,
        username: row.get(3)?,
        first_name: row.get(4)?,
        last_name: row.get(5)?,
        image_url: row.get(6)?,
        last_active_at_ms: row.get(7)?,
        is_active: row.get(8)?,
        banned_by_clerk: row.get(9)?,
        clerk_updated_at_ms: row.get(10)?,
    })
}

/// Returns the columns to write with their values.
fn assignments(changes: &RowChanges) -> Vec<(&'static str, rusqlite::types::Value)> {
    use rusqlite::types::Value;
    let nullable = |value: &Option<String>| value.clone().map_or(Value::Null, Value::Text);
    let mut list = Vec::new();
    let mut put = |name, value: Option<Value>| list.extend(value.map(|value| (name, value)));
    put("clerk_user_id", changes.clerk_id.clone().map(Value::Text));
    put("email", changes.email.as_ref().map(nullable));
    put("username", changes.username.clone().map(Value::Text));
    put("first_name", changes.first_name.clone().map(Value::Text));
    put("last_name", changes.last_name.clone().map(Value::Text));
    put("image_url", changes.image_url.as_ref().map(nullable));
    put("last_active_at", changes.last_active_at_ms.map(|ms| ms.map_or(Value::Null, Value::Integer)));
    put("is_active", changes.is_active.map(|yes| Value::Integer(yes.into())));
    put("banned_by_clerk", changes.banned_by_clerk.map(|yes| Value::Integer(yes.into())));
    put("clerk_updated_at_ms", changes.clerk_updated_at_ms.map(Value::Integer));
    list
}

fn placeholder(name: &str) -> &'static str {
    if name == "last_active_at" { "strftime('%Y-%m-%dT%H:%M:%fZ', ? / 1000.0, 'unixepoch')" } else { "?" }
}

impl UserStore for SqliteStore {
    fn schema(&self) -> Schema {
        Schema {
            max_username_len: 150,
            max_email_len: 320,
            max_name_len: 255,
            max_image_url_len: 2048,
            clerk_updated_at: true,
            ..Schema::default()
        }
    }

    fn begin(&self) -> Result<(), StoreError> {
        let connection = self.check_out()?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        self.in_transaction.lock().insert(std::thread::current().id(), connection);
        Ok(())
    }

    fn commit(&self) -> Result<(), StoreError> {
        self.end_transaction("COMMIT")
    }

    fn rollback(&self) {
        // On failure the connection is dropped, which rolls back as well.
        let _ = self.end_transaction("ROLLBACK");
    }

    fn find_by_key(&self, key: &str) -> Result<Option<Row>, StoreError> {
        Ok(self.find_rows("id = CAST(?1 AS INTEGER)", key)?.pop())
    }

    fn find_by_clerk_id(&self, clerk_id: &str) -> Result<Option<Row>, StoreError> {
        Ok(self.find_rows("clerk_user_id = ?1", clerk_id)?.pop())
    }

    fn find_by_email(&self, email: &str) -> Result<Vec<Row>, StoreError> {
        self.find_rows("email = ?1", email)
    }

    fn username_taken(&self, username: &str, except_key: Option<&str>) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM clerk_user WHERE username = ?1 AND (?2 IS NULL OR id <> CAST(?2 AS INTEGER))";
        let found = self.with_connection(|c| {
            c.prepare_cached(sql)?.query_row(params![username, except_key], |_| Ok(())).optional()
        })?;
        Ok(found.is_some())
    }

    fn create(&self, changes: &RowChanges) -> Result<String, StoreError> {
        let (names, values): (Vec<_>, Vec<_>) = assignments(changes).into_iter().unzip();
        let placeholders: Vec<&str> = names.iter().map(|name| placeholder(name)).collect();
        let sql = format!("INSERT INTO clerk_user ({}) VALUES ({})", names.join(", "), placeholders.join(", "));
        self.with_connection(|connection| {
            connection.prepare_cached(&sql)?.execute(params_from_iter(values))?;
            Ok(connection.last_insert_rowid().to_string())
        })
    }

    fn update(&self, key: &str, changes: &RowChanges, condition: &UpdateCondition) -> Result<(), StoreError> {
        let (names, mut values): (Vec<_>, Vec<_>) = assignments(changes).into_iter().unzip();
        let sets: Vec<String> = names.iter().map(|name| format!("{name} = {}", placeholder(name))).collect();
        let mut sql = format!(
            "UPDATE clerk_user SET {}, updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = CAST(? AS INTEGER)",
            sets.join(", ")
        );
        values.push(rusqlite::types::Value::Text(key.into()));
        if condition.only_if_unlinked {
            sql.push_str(" AND clerk_user_id IS NULL");
        }
        if condition.only_if_active {
            sql.push_str(" AND is_active");
        }
        if condition.only_if_banned {
            sql.push_str(" AND banned_by_clerk AND NOT is_active");
        }
        if let Some(version) = condition.max_version {
            sql.push_str(" AND (clerk_updated_at_ms IS NULL OR clerk_updated_at_ms <= ?)");
            values.push(rusqlite::types::Value::Integer(version));
        }
        match self.with_connection(|connection| connection.prepare_cached(&sql)?.execute(params_from_iter(values)))? {
            1 => Ok(()),
            _ => Err(StoreError::Conflict),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("clerk-auth-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    fn ada() -> RowChanges {
        RowChanges {
            clerk_id: Some("user_ada".into()),
            email: Some(Some("Ada@example.com".into())),
            username: Some("ada".into()),
            first_name: Some("Ada".into()),
            last_active_at_ms: Some(Some(1_700_690_400_123)),
            is_active: Some(true),
            ..RowChanges::default()
        }
    }

    #[test]
    fn rows_are_created_found_and_updated() {
        let folder = folder("rows");
        let store = SqliteStore::open(folder.join("users.db")).unwrap();
        let key = store.create(&ada()).unwrap();
        let row = store.find_by_key(&key).unwrap().unwrap();
        assert_eq!(store.find_by_clerk_id("user_ada").unwrap(), Some(row.clone()));
        assert_eq!(store.find_by_clerk_id("USER_ADA").unwrap(), None);
        assert_eq!(store.find_by_email("ADA@example.com").unwrap(), std::slice::from_ref(&row));
        assert_eq!((row.last_active_at_ms, row.is_active), (Some(1_700_690_400_123), true));
        assert!(store.username_taken("ADA", None).unwrap() && !store.username_taken("ada", Some(&key)).unwrap());
        let any = UpdateCondition::default();
        let deactivation = RowChanges { email: Some(None), is_active: Some(false), ..RowChanges::default() };
        store.update(&key, &deactivation, &any).unwrap();
        let changed = store.find_by_key(&key).unwrap().unwrap();
        assert_eq!((changed.email, changed.is_active, changed.username), (None, false, row.username));
        assert_eq!(store.update("99", &deactivation, &any), Err(StoreError::Conflict));
        assert_eq!(store.create(&ada()), Err(StoreError::Conflict));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn update_is_written_only_if_the_row_fulfils_the_condition() {
        let folder = folder("condition");
        let store = SqliteStore::open(folder.join("users.db")).unwrap();
        let key = store.create(&RowChanges { username: Some("ada".into()), ..RowChanges::default() }).unwrap();
        let update = |name: &str, version: i64, only_if_unlinked: bool| {
            let changes = RowChanges {
                clerk_id: Some("user_ada".into()),
                first_name: Some(name.into()),
                clerk_updated_at_ms: Some(version),
                ..RowChanges::default()
            };
            store.update(
                &key,
                &changes,
                &UpdateCondition { only_if_unlinked, max_version: Some(version), ..UpdateCondition::default() },
            )
        };
        assert_eq!(update("Unlinked", 5, true), Ok(()));
        assert_eq!(update("Linked", 6, true), Err(StoreError::Conflict));
        assert_eq!(update("Older", 4, false), Err(StoreError::Conflict));
        assert_eq!(update("Same", 5, false), Ok(()));
        assert_eq!(update("Newer", 7, false), Ok(()));
        let row = store.find_by_key(&key).unwrap().unwrap();
        assert_eq!((row.first_name.as_deref(), row.clerk_updated_at_ms), (Some("Newer"), Some(7)));
        let any = UpdateCondition::default();
        let (only_if_active, only_if_banned) =
            (UpdateCondition { only_if_active: true, ..any }, UpdateCondition { only_if_banned: true, ..any });
        for (is_active, banned) in [(true, true), (true, false), (false, true), (false, false)] {
            let state =
                RowChanges { is_active: Some(is_active), banned_by_clerk: Some(banned), ..RowChanges::default() };
            store.update(&key, &state, &any).unwrap();
            let row = store.find_by_key(&key).unwrap().unwrap();
            for condition in [only_if_active, only_if_banned] {
                assert_eq!(store.update(&key, &state, &condition).is_ok(), condition.allows(&row), "{condition:?}");
            }
            assert_eq!(only_if_active.allows(&row), is_active);
            assert_eq!(only_if_banned.allows(&row), banned && !is_active);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn table_of_the_first_version_gets_the_new_column() {
        let folder = folder("migration");
        let path = folder.join("users.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.execute_batch(
            "CREATE TABLE clerk_schema (version INTEGER NOT NULL); INSERT INTO clerk_schema VALUES (1);
             INSERT INTO clerk_user (clerk_user_id, username) VALUES ('user_ada', 'ada')",
        )
        .unwrap();
        drop(old);
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.find_by_clerk_id("user_ada").unwrap().unwrap().clerk_updated_at_ms, None);
        drop(store);
        assert!(SqliteStore::open(&path).is_ok());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn rollback_discards_insert() {
        let folder = folder("rollback");
        let store = SqliteStore::open(folder.join("users.db")).unwrap();
        store.begin().unwrap();
        let key = store.create(&ada()).unwrap();
        assert!(store.find_by_key(&key).unwrap().is_some());
        store.rollback();
        assert_eq!(store.find_by_key(&key).unwrap(), None);
        store.begin().unwrap();
        let key = store.create(&ada()).unwrap();
        store.commit().unwrap();
        assert!(store.find_by_key(&key).unwrap().is_some());
        std::fs::remove_dir_all(folder).unwrap();
    }

    // Threat R3.
    #[test]
    fn database_file_is_private_regular_and_of_known_version() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder("file");
        let path = folder.join("users.db");
        drop(SqliteStore::open(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(SqliteStore::open(&path).unwrap());
        std::os::unix::fs::symlink(&path, folder.join("link.db")).unwrap();
        assert!(SqliteStore::open(folder.join("link.db")).is_err());
        assert!(SqliteStore::open(folder.join("no/such.db")).is_err());
        Connection::open(&path).unwrap().execute("INSERT INTO clerk_schema VALUES (99)", []).unwrap();
        assert!(SqliteStore::open(&path).err().unwrap().to_string().contains("version 99"));
        std::fs::write(folder.join("junk.db"), [7; 8192]).unwrap();
        assert!(SqliteStore::open(folder.join("junk.db")).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
