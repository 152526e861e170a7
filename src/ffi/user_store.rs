//! The user store callback, and the columns of the application's user table.

use std::ffi::c_void;
use std::sync::Arc;

use super::callback::{Callback, clerk_destroy_fn};
use super::{
    CLERK_E_ARGUMENT, CLERK_E_PANIC, CLERK_OK, as_mut, clerk_column, clerk_config, clerk_error, clerk_store_request,
    clerk_store_request_kind, clerk_store_response, clerk_str, guard, report, status,
};
use crate::users::{Row, RowChanges, Schema, StoreError, StoreRequest, StoreResponse, UpdateCondition, UserStore};

/// Executes a store request and fills the response.
///
/// Returns a `clerk_store_status`, or a negative error code of the application (for example a negated code of the
/// database): then the request is not signed in, and `clerk_error_store_code` returns the code.
///
/// Runs on the thread of the call that needs it, several at once, with no lock held. Two calls for the same user may
/// run at the same time.
pub type clerk_user_store_fn = Option<
    unsafe extern "C" fn(
        userdata: *mut c_void,
        request: *const clerk_store_request,
        response: *mut clerk_store_response,
    ) -> i32,
>;

type Function = unsafe extern "C" fn(*mut c_void, *const clerk_store_request, *mut clerk_store_response) -> i32;

pub(crate) type UserStoreCallback = Callback<Function>;

/// The schema is separate from the callback, so that they can be set in either order.
pub(crate) struct CallbackStore {
    pub callback: Arc<UserStoreCallback>,
    pub schema: Schema,
}

impl CallbackStore {
    fn call(&self, request: &clerk_store_request) -> Result<StoreResponse, StoreError> {
        let mut response = clerk_store_response::default();
        // SAFETY: the application's own function; request and response live until it returns.
        let outcome = unsafe { (self.callback.function)(self.callback.userdata(), request, &mut response) };
        response.into_result(request.kind, outcome)
    }

    fn rows(&self, request: StoreRequest) -> Result<Vec<Row>, StoreError> {
        match self.call(&clerk_store_request::new(&request))? {
            StoreResponse::Rows(rows) => Ok(rows),
            _ => Err(StoreError::failed(0, "unexpected response of the user store")),
        }
    }

    fn one(&self, request: StoreRequest) -> Result<Option<Row>, StoreError> {
        let mut rows = self.rows(request)?;
        match rows.len() {
            0 | 1 => Ok(rows.pop()),
            _ => Err(StoreError::failed(0, "the user store returned several rows for a unique key")),
        }
    }

    fn call_without_values(&self, kind: clerk_store_request_kind) -> Result<(), StoreError> {
        self.call(&clerk_store_request::without_values(kind)).map(drop)
    }
}

impl UserStore for CallbackStore {
    fn schema(&self) -> Schema {
        self.schema
    }
    fn begin(&self) -> Result<(), StoreError> {
        self.call_without_values(clerk_store_request_kind::BEGIN)
    }
    fn commit(&self) -> Result<(), StoreError> {
        self.call_without_values(clerk_store_request_kind::COMMIT)
    }
    fn rollback(&self) {
        // The failure before it is the one that is reported.
        let _ = self.call_without_values(clerk_store_request_kind::ROLLBACK);
    }
    fn find_by_key(&self, key: &str) -> Result<Option<Row>, StoreError> {
        self.one(StoreRequest::FindByKey { key: key.into() })
    }
    fn find_by_clerk_id(&self, clerk_id: &str) -> Result<Option<Row>, StoreError> {
        self.one(StoreRequest::FindByClerkId { clerk_id: clerk_id.into() })
    }
    fn find_by_email(&self, email: &str) -> Result<Vec<Row>, StoreError> {
        self.rows(StoreRequest::FindByEmail { email: email.into() })
    }
    fn username_taken(&self, username: &str, except_key: Option<&str>) -> Result<bool, StoreError> {
        let request = StoreRequest::UsernameTaken { username: username.into(), except_key: except_key.map(Into::into) };
        Ok(self.call(&clerk_store_request::new(&request))? == StoreResponse::Taken(true))
    }
    fn create(&self, changes: &RowChanges) -> Result<String, StoreError> {
        match self.write(&StoreRequest::Create { changes: changes.clone() })? {
            StoreResponse::Created(key) => Ok(key),
            _ => Err(StoreError::failed(0, "unexpected response of the user store")),
        }
    }
    fn update(&self, key: &str, changes: &RowChanges, condition: &UpdateCondition) -> Result<(), StoreError> {
        let (key, changes, condition) = (key.into(), changes.clone(), *condition);
        self.write(&StoreRequest::Update { key, changes, condition }).map(drop)
    }
    fn write(&self, request: &StoreRequest) -> Result<StoreResponse, StoreError> {
        self.call(&clerk_store_request::new(request))
    }
}

/// Which user store a client uses.
#[derive(Clone, Default)]
pub(crate) enum StoreChoice {
    #[default]
    None,
    Callback(Arc<UserStoreCallback>),
    BuiltIn(Arc<dyn UserStore>),
}

/// Sets the user store callback. NULL removes it.
///
/// The config takes ownership of `userdata`, also when the call fails: `destroy`, which may be NULL, frees it.
///
/// Returns `CLERK_OK` or a negative status. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_user_store(
    config: *mut clerk_config,
    function: clerk_user_store_fn,
    userdata: *mut c_void,
    destroy: clerk_destroy_fn,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        let choice = Callback::new(function, userdata, destroy).map_or(StoreChoice::None, StoreChoice::Callback);
        // SAFETY: the header's contract.
        status(unsafe { as_mut(config) }.map(|config| config.store = choice))
    })
}

/// Sets which columns the application's user table has: the sum of `1 << clerk_column` for each. Default: all but
/// `CLERK_UPDATED_AT_MS`.
///
/// Without `CLERK_ID`, rows are found by verified e-mail addresses only. Without `BANNED_BY_CLERK`, a row stays
/// inactive when a ban at Clerk is lifted. Without `CLERK_UPDATED_AT_MS`, webhooks fetch the user before they change a
/// row, except to deactivate it.
///
/// Returns `CLERK_OK` or a negative status: `CLERK_E_ARGUMENT` for an unknown column, or if both `CLERK_ID` and
/// `EMAIL` are missing. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_user_columns(config: *mut clerk_config, columns: u32) -> i32 {
    guard(CLERK_E_PANIC, || {
        if columns >> <clerk_column as strum::VariantArray>::VARIANTS.len() != 0 || columns & 0b11 == 0 {
            return CLERK_E_ARGUMENT;
        }
        let has = |column: clerk_column| columns & 1 << column as u32 != 0;
        // SAFETY: the header's contract.
        status(unsafe { as_mut(config) }.map(|config| {
            let schema = &mut config.schema;
            schema.clerk_id = has(clerk_column::CLERK_ID);
            schema.email = has(clerk_column::EMAIL);
            schema.username = has(clerk_column::USERNAME);
            schema.first_name = has(clerk_column::FIRST_NAME);
            schema.last_name = has(clerk_column::LAST_NAME);
            schema.image_url = has(clerk_column::IMAGE_URL);
            schema.last_active_at = has(clerk_column::LAST_ACTIVE_AT_MS);
            schema.is_active = has(clerk_column::IS_ACTIVE);
            schema.banned_by_clerk = has(clerk_column::BANNED_BY_CLERK);
            schema.clerk_updated_at = has(clerk_column::CLERK_UPDATED_AT_MS);
        }))
    })
}

/// Sets the maximum length of a string column, a `clerk_column`, in characters; 0, the default, means no limit.
///
/// Names are truncated. E-mail addresses and image URLs that are too long are omitted. `FIRST_NAME` and `LAST_NAME`
/// share one limit; that of `USERNAME` is at least 8.
///
/// Returns `CLERK_OK` or a negative status: `CLERK_E_ARGUMENT` for another column or limit. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_user_column_length(
    config: *mut clerk_config,
    column: i32,
    characters: u32,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: the header's contract.
        status(unsafe { as_mut(config) }.and_then(|config| {
            let schema = &mut config.schema;
            match clerk_column::from_repr(column) {
                // A username needs room for a numeric suffix.
                Some(clerk_column::USERNAME) if characters == 0 || characters >= 8 => {
                    schema.max_username_len = characters;
                }
                Some(clerk_column::EMAIL) => schema.max_email_len = characters,
                Some(clerk_column::FIRST_NAME | clerk_column::LAST_NAME) => schema.max_name_len = characters,
                Some(clerk_column::IMAGE_URL) => schema.max_image_url_len = characters,
                _ => return Err(CLERK_E_ARGUMENT),
            }
            Ok(())
        }))
    })
}

/// Stores users in the table `clerk_user` of the SQLite database at `path`, instead of calling a user store callback.
///
/// Creates the database, readable by its owner only, if it does not exist, and closes it again; clients open it at
/// their first use. Symbolic links and a relative path are resolved now. A database without other tables is used in
/// WAL mode; the journal mode of the application's own database stays as it is. `path` is UTF-8 and is copied.
///
/// No other copy of SQLite in this process may open the database: locks belong to the process, so that two copies do
/// not see each other's, and the file is corrupted. The shared library uses the SQLite library of the system, so an
/// application that uses that, too, may open the database as well. The archive and the bindings contain a copy: then
/// only other processes may open it, and the functions fail once they find it opened by another copy.
///
/// No connection is open across `fork`: idle ones are closed before it, and those in use are waited for, at most 250
/// ms. If one is open all the same, requests of the child are unavailable, because it would lose rows. The
/// application's own connections must be closed before a fork as well.
///
/// Returns `CLERK_OK`, or a negative status and sets `*error`: `CLERK_E_CONFIG` if the database cannot be opened. One
/// thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_sqlite_path(
    config: *mut clerk_config,
    path: clerk_str,
    error: *mut *mut clerk_error,
) -> i32 {
    let body = || {
        // SAFETY: the header's contract.
        let (config, path) = unsafe { (as_mut(config)?, path.to_str()?) };
        config.store = StoreChoice::BuiltIn(open_sqlite(path)?);
        Ok(CLERK_OK)
    };
    // SAFETY: the header's contract.
    unsafe { report(error, body) }
}

/// Stores users in the table `clerk_user` of the database at `url`, instead of calling a user store callback:
/// `sqlite:path`, `postgres://user:password@host/database` or `mysql://user:password@host/database`.
///
/// The same as `clerk_config_set` with the setting `database`. `clerk_client_new` connects to the database, creates or
/// migrates the table and checks it, within `timeout_ms`. Later, calls use at most `pool_size` connections (8, unless
/// the URL has the parameter), opened when they are needed and not carried across `fork`. TLS with a verified
/// certificate is required unless the URL's `sslmode` permits less. `sqlite:path` is opened as
/// `clerk_config_set_sqlite_path` does. `url` is UTF-8 and is copied; no message contains it.
///
/// Returns `CLERK_OK`, or a negative status and sets `*error`: `CLERK_E_CONFIG` for a scheme that is unknown or that
/// this library was built without. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_database(
    config: *mut clerk_config,
    url: clerk_str,
    error: *mut *mut clerk_error,
) -> i32 {
    let body = || {
        // SAFETY: the header's contract.
        let (config, url) = unsafe { (as_mut(config)?, url.to_str()?) };
        crate::users::check_database_url(url)?;
        config.config.set("database", url)?;
        Ok(CLERK_OK)
    };
    // SAFETY: the header's contract.
    unsafe { report(error, body) }
}

/// Copies the SQLite database at `path`, which may be in use, into a new file that only its owner can read.
///
/// The copy is the database at one moment, with all its tables, and needs no other file. A plain copy of the file is not
/// enough: without its `-wal` file it may lack rows, or be empty. Both paths are UTF-8.
///
/// Returns `CLERK_OK`, or a negative status and sets `*error`: `CLERK_E_CONFIG` if there is no database at `path`, if it
/// has no table `clerk_user`, if `destination` exists, or if the copy cannot be written. Then there is no file
/// `destination`; a process that is killed leaves a file beside it, with `.partial-` after the name. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_sqlite_backup(
    path: clerk_str,
    destination: clerk_str,
    error: *mut *mut clerk_error,
) -> i32 {
    let body = || {
        // SAFETY: the header's contract.
        let (path, destination) = unsafe { (path.to_str()?, destination.to_str()?) };
        backup_sqlite(path, destination)?;
        Ok(CLERK_OK)
    };
    // SAFETY: the header's contract.
    unsafe { report(error, body) }
}

#[cfg(feature = "sqlite")]
fn open_sqlite(path: &str) -> Result<Arc<dyn UserStore>, crate::error::Error> {
    super::fork::prepare_for_sqlite();
    Ok(Arc::new(crate::users::SqliteStore::open(path)?))
}

#[cfg(feature = "sqlite")]
fn backup_sqlite(path: &str, destination: &str) -> Result<(), crate::error::Error> {
    super::fork::prepare_for_sqlite();
    crate::users::SqliteStore::backup(path, destination)
}

#[cfg(not(feature = "sqlite"))]
fn open_sqlite(_: &str) -> Result<Arc<dyn UserStore>, crate::error::Error> {
    Err(without_sqlite())
}

#[cfg(not(feature = "sqlite"))]
fn backup_sqlite(_: &str, _: &str) -> Result<(), crate::error::Error> {
    Err(without_sqlite())
}

#[cfg(not(feature = "sqlite"))]
fn without_sqlite() -> crate::error::Error {
    crate::config::ConfigError::new("sqlite", "this library was built without the feature `sqlite`").into()
}
