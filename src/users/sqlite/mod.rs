//! A ready-made user table in SQLite.

mod backup;
mod error;
mod file;
#[cfg_attr(not(feature = "capi"), allow(dead_code, reason = "the C ABI calls it around a fork"))]
mod pool;
mod schema;

use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

use parking_lot::Mutex;
use rusqlite::ffi::SQLITE_READONLY_DBMOVED;
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, params, params_from_iter};

use self::error::{explain, is_harmless};
use self::file::{DatabaseFile, FileId, OpenFiles};
use self::pool::Pooled;
use super::sql::{self, Dialect, Statement, Value, row_of};
use super::{Row, RowChanges, Schema, StoreError, StoreRequest, StoreResponse, UpdateCondition, UserStore};
use crate::config::ConfigError;
use crate::error::Error;

#[cfg(feature = "capi")]
pub(crate) use self::pool::{after_fork, before_fork, set_private_copy};

const DIALECT: Dialect = Dialect {
    has_numbered_placeholders: false,
    read_time: "CAST(round((julianday(last_active_at) - 2440587.5) * 86400000.0) AS INTEGER)",
    write_time: ("strftime('%Y-%m-%dT%H:%M:%fZ', ", " / 1000.0, 'unixepoch')"),
    now: "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    // The columns are declared with COLLATE NOCASE.
    email_is: ("email = ", ""),
    username_is: ("username = ", ""),
    email_limit: 2,
};

/// A [`UserStore`] in SQLite: the table `clerk_user`, in a database file of its own or in the application's.
///
/// Opens up to eight connections, the first at the first use; several threads and processes may use the same file. What needs a
/// lock waits for it up to two seconds, and not past the deadline of the client's call. A database that contains no other tables
/// is used in WAL mode; the mode of the application's own database stays as it is. When the file is deleted or replaced while it
/// is in use, requests fail.
///
/// Two copies of SQLite must not use one file in the same process: POSIX locks belong to the process, so that neither copy would
/// see the locks of the other, and the database would be corrupted. In a Rust program all crates share one copy.
///
/// Connections are not carried across `fork`. A child that was forked while a connection was open is refused, because its writes
/// would be lost: fork before the first use, or open the store in the child. (The C ABI closes idle connections before each fork.)
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
    number: u64,
    file: DatabaseFile,
    id: FileId,
    warnings: Mutex<Vec<String>>,
    /// Set when a file was deleted or replaced: other processes may use the new one, and connections to both would corrupt
    /// it.
    moved: OnceLock<StoreError>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.file.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the database, creates it with mode 0600 if it does not exist, migrates its tables, and closes it again.
    ///
    /// Symbolic links and a relative path are resolved now.
    ///
    /// # Errors
    ///
    /// An [`Error`] of the kind `Config` if the path is not a regular file, cannot be opened or written, is no database, or was
    /// migrated by a newer version of this library.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::prepare(path.as_ref()).map_err(config_error)
    }

    /// Copies a database that may be in use into a new file with mode 0600, as it is at one moment. It contains all tables, and
    /// needs no other file: a plain copy of the database without its `-wal` file may lack rows, or be empty.
    ///
    /// # Errors
    ///
    /// An [`Error`] of the kind `Config` if there is no database at `path`, or one without the table `clerk_user`, if `destination`
    /// exists, or if the copy cannot be written. Then there is no file `destination`; a process that is killed leaves a file beside
    /// it whose name goes on with `.partial-`.
    pub fn backup(path: impl AsRef<Path>, destination: impl AsRef<Path>) -> Result<(), Error> {
        backup::backup(path.as_ref(), destination.as_ref()).map_err(config_error)
    }

    pub(super) fn prepare(path: &Path) -> Result<Self, StoreError> {
        let file = DatabaseFile::resolve(path)?;
        let id = schema::prepare(&file)?;
        let warnings = Mutex::new(file.warnings());
        Ok(SqliteStore { number: pool::add_store(id)?, file, id, warnings, moved: OnceLock::new() })
    }

    /// Checks that files which are open are still at their paths.
    fn check(&self, files: &OpenFiles) -> Result<(), StoreError> {
        let checked = self.file.check(files).and_then(|()| self.file.check_filled());
        if let Err(error @ StoreError::Failed { code: SQLITE_READONLY_DBMOVED, .. }) = &checked {
            let _ = self.moved.set(error.clone());
        }
        checked
    }

    /// Returns a connection to the database that is at the path, and whether it is in a transaction of this thread.
    fn check_out(&self) -> Result<(Pooled, bool), StoreError> {
        if let Some(error) = self.moved.get() {
            return Err(error.clone());
        }
        match pool::check_out(self.number)? {
            // `commit` checks the files.
            Some((pooled, true)) => Ok((pooled, true)),
            pooled => {
                // On failure the connection is dropped.
                self.check(&OpenFiles::from(self.id))?;
                pooled.map_or_else(|| Ok((schema::connect(&self.file, self.number, self.id)?, false)), Ok)
            }
        }
    }

    /// Runs on the connection of this thread's transaction, or on any connection.
    fn with_connection<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let (pooled, is_in_transaction) = self.check_out()?;
        let outcome = run(&pooled.connection).map_err(|error| self.explain(error));
        // In a transaction, `rollback` follows an error.
        if is_in_transaction || outcome.as_ref().err().is_none_or(is_harmless) {
            pool::put_back(pooled, is_in_transaction);
        }
        outcome
    }

    fn end_transaction(&self, statement: &str) -> Result<(), StoreError> {
        let Some(pooled) = pool::take_transaction(self.number)? else { return Ok(()) };
        // On failure the connection is dropped, which rolls back.
        pooled.connection.execute_batch(statement).map_err(|error| self.explain(error))?;
        // What was committed to a file that is no longer there is lost.
        self.check(&pooled.files)?;
        pool::put_back(pooled, false);
        Ok(())
    }

    #[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
    fn explain(&self, error: rusqlite::Error) -> StoreError {
        explain(&self.file.path, &error)
    }

    fn find_rows(&self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        self.with_connection(|connection| {
            connection
                .prepare_cached(&statement.sql)?
                .query_map(params_from_iter(&statement.values), read_row)?
                .collect()
        })
    }
}

fn config_error(error: StoreError) -> Error {
    let message = match error {
        StoreError::Failed { message, .. } => message,
        StoreError::Conflict => error.to_string(),
    };
    ConfigError::new("sqlite", message).into()
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        pool::remove_store(self.number);
    }
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let value = |column| {
        Ok(match row.get::<_, rusqlite::types::Value>(column)? {
            rusqlite::types::Value::Integer(number) => Value::integer(number),
            rusqlite::types::Value::Text(text) => Value::text(text),
            rusqlite::types::Value::Null => Value::Text(None),
            other => return Err(rusqlite::Error::InvalidColumnType(column, "clerk_user".into(), other.data_type())),
        })
    };
    let values = (0..row.as_ref().column_count()).map(value).collect::<rusqlite::Result<_>>()?;
    row_of(values).ok_or_else(|| rusqlite::Error::InvalidColumnName("a value of `clerk_user` is damaged".into()))
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Value::Text(value) => value.to_sql(),
            Value::Integer(value) | Value::Time(value) => value.to_sql(),
            Value::Boolean(value) => value.to_sql(),
        }
    }
}

impl UserStore for SqliteStore {
    fn schema(&self) -> Schema {
        sql::schema()
    }

    fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock())
    }

    fn begin(&self) -> Result<(), StoreError> {
        let (pooled, is_in_transaction) = self.check_out()?;
        self.check(&pooled.files)?;
        pool::check_sole_copy(self.id)?;
        if !is_in_transaction {
            pooled.connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| self.explain(error))?;
        }
        pool::put_back(pooled, true);
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
        let found = DIALECT.find_by_key(key).map(|statement| self.find_rows(&statement)).transpose()?;
        Ok(found.and_then(|mut rows| rows.pop()))
    }

    fn find_by_clerk_id(&self, clerk_id: &str) -> Result<Option<Row>, StoreError> {
        Ok(self.find_rows(&DIALECT.find_by_clerk_id(clerk_id))?.pop())
    }

    fn find_by_email(&self, email: &str) -> Result<Vec<Row>, StoreError> {
        self.find_rows(&DIALECT.find_by_email(email))
    }

    fn username_taken(&self, username: &str, except_key: Option<&str>) -> Result<bool, StoreError> {
        let Statement { sql, values } = DIALECT.username_taken(username, except_key);
        self.with_connection(|connection| connection.prepare_cached(&sql)?.exists(params_from_iter(values)))
    }

    fn create(&self, changes: &RowChanges) -> Result<String, StoreError> {
        let Statement { sql, values } = DIALECT.create(changes);
        let (id, found) = self.with_connection(|connection| {
            connection.prepare_cached(&sql)?.execute(params_from_iter(values))?;
            let id = connection.last_insert_rowid();
            let sql = "SELECT 1 FROM clerk_user WHERE id = ?1 AND clerk_user_id IS ?2";
            let found = connection.prepare_cached(sql)?.exists(params![id, changes.clerk_id])?;
            Ok((id, found))
        })?;
        if !found {
            return Err(self.file.error("a trigger on `clerk_user` discarded the new row, or the table was changed"));
        }
        Ok(id.to_string())
    }

    fn update(&self, key: &str, changes: &RowChanges, condition: &UpdateCondition) -> Result<(), StoreError> {
        let Some(Statement { sql, values }) = DIALECT.update(key, changes, condition) else {
            return Err(StoreError::Conflict);
        };
        match self.with_connection(|connection| connection.prepare_cached(&sql)?.execute(params_from_iter(values)))? {
            1 => Ok(()),
            _ => Err(StoreError::Conflict),
        }
    }

    fn write(&self, request: &StoreRequest) -> Result<StoreResponse, StoreError> {
        sql::write_and_read(self, request)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

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
        old.execute_batch(schema::MIGRATIONS[0]).unwrap();
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
    fn deactivated_row_among_many_of_an_address_is_found() {
        let folder = folder("holders");
        let store = SqliteStore::open(folder.join("users.db")).unwrap();
        let mut last = String::new();
        for at in 0..17 {
            let name = format!("ada{at}");
            last = store.create(&RowChanges { clerk_id: Some(name.clone()), username: Some(name), ..ada() }).unwrap();
        }
        let deactivated = RowChanges { is_active: Some(false), ..RowChanges::default() };
        store.update(&last, &deactivated, &UpdateCondition::default()).unwrap();
        let found = store.find_by_email("ada@example.com").unwrap();
        assert!(found.len() == 2 && found[0].key == last, "{found:?}");
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
}
