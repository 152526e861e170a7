//! The trait that an application implements for its user table.

use super::{Row, RowChanges, Schema, UpdateCondition};

/// Why a store did not execute a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// A unique column already has the value, because another request was faster or the value belongs to another row; or the row
    /// does not fulfil the condition of an update. The sync looks again.
    Conflict,
    /// Any other failure. The request is unavailable; nothing is cached.
    Failed {
        /// The application's error code; passed through unchanged.
        code: i32,
        /// The application's message. Returned to the application only, never to an HTTP client or in an event.
        message: String,
    },
}

impl StoreError {
    /// Creates a failure with a code and message of the application.
    pub fn failed(code: i32, message: impl Into<String>) -> Self {
        StoreError::Failed { code, message: message.into() }
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoreError::Conflict => f.write_str("a unique column already has the value, or the row has changed"),
            StoreError::Failed { code, message } => write!(f, "{message} (code {code})"),
        }
    }
}

impl std::error::Error for StoreError {}

/// A query or write of a sync; one variant per method of [`UserStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the same names as in `UserStore`")]
pub enum StoreRequest {
    FindByKey { key: String },
    FindByClerkId { clerk_id: String },
    FindByEmail { email: String },
    UsernameTaken { username: String, except_key: Option<String> },
    Create { changes: RowChanges },
    Update { key: String, changes: RowChanges, condition: UpdateCondition },
}

impl StoreRequest {
    /// Returns whether the request changes the table.
    pub(crate) fn is_write(&self) -> bool {
        matches!(self, StoreRequest::Create { .. } | StoreRequest::Update { .. })
    }
}

/// The store's response to a [`StoreRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreResponse {
    /// The rows found; or, after `Create` and `Update`, the one row as the table has it now.
    Rows(Vec<Row>),
    /// Whether the username is taken.
    Taken(bool),
    /// The key of the created row.
    Created(String),
    /// The row is updated.
    Updated,
    /// A unique column already has one of the values of `Create` or `Update`, or the row does not fulfil the condition.
    Conflict,
}

/// The application's user table.
///
/// Methods are called on the thread of the request, by several threads at once, while no lock of this library is held. They may
/// block; an error makes the request unavailable and is never cached. Two requests of a new user may create its row
/// at the same time: declare `clerk_id` and `username` unique and return [`StoreError::Conflict`] to the slower one.
///
/// Only the find methods, [`username_taken`](Self::username_taken), [`create`](Self::create) and [`update`](Self::update) are
/// required.
///
/// # Examples
///
/// A table in memory:
///
/// ```
/// use std::sync::{Mutex, PoisonError};
///
/// use clerk_auth::users::{Row, RowChanges, StoreError, UpdateCondition, UserStore};
///
/// #[derive(Default)]
/// struct Table(Mutex<Vec<Row>>);
///
/// fn write(row: &mut Row, changes: &RowChanges) {
///     if let Some(clerk_id) = &changes.clerk_id {
///         row.clerk_id = Some(clerk_id.clone());
///     }
///     if let Some(email) = &changes.email {
///         row.email = email.clone();
///     }
///     if let Some(username) = &changes.username {
///         row.username = Some(username.clone());
///     }
///     if let Some(is_active) = changes.is_active {
///         row.is_active = is_active;
///     }
///     // … and so on for the other columns.
/// }
///
/// fn is(column: &Option<String>, value: &str) -> bool {
///     column.as_deref().is_some_and(|column| column.eq_ignore_ascii_case(value))
/// }
///
/// impl Table {
///     fn find(&self, matches: impl Fn(&Row) -> bool) -> Vec<Row> {
///         let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
///         rows.iter().filter(|row| matches(row)).cloned().collect()
///     }
/// }
///
/// impl UserStore for Table {
///     fn find_by_key(&self, key: &str) -> Result<Option<Row>, StoreError> {
///         Ok(self.find(|row| row.key == key).pop())
///     }
///
///     fn find_by_clerk_id(&self, clerk_id: &str) -> Result<Option<Row>, StoreError> {
///         Ok(self.find(|row| row.clerk_id.as_deref() == Some(clerk_id)).pop())
///     }
///
///     fn find_by_email(&self, email: &str) -> Result<Vec<Row>, StoreError> {
///         Ok(self.find(|row| is(&row.email, email)))
///     }
///
///     fn username_taken(&self, username: &str, except_key: Option<&str>) -> Result<bool, StoreError> {
///         Ok(!self.find(|row| is(&row.username, username) && Some(row.key.as_str()) != except_key).is_empty())
///     }
///
///     fn create(&self, changes: &RowChanges) -> Result<String, StoreError> {
///         let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
///         let mut row = Row { key: rows.len().to_string(), is_active: true, ..Row::default() };
///         write(&mut row, changes);
///         let is_duplicate = |other: &Row| {
///             other.clerk_id == row.clerk_id || row.username.as_ref().is_some_and(|name| is(&other.username, name))
///         };
///         if rows.iter().any(is_duplicate) {
///             return Err(StoreError::Conflict);
///         }
///         let key = row.key.clone();
///         rows.push(row);
///         Ok(key)
///     }
///
///     fn update(&self, key: &str, changes: &RowChanges, condition: &UpdateCondition) -> Result<(), StoreError> {
///         let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
///         let row = rows.iter_mut().find(|row| row.key == key && condition.allows(row));
///         write(row.ok_or(StoreError::Conflict)?, changes);
///         Ok(())
///     }
/// }
///
/// let table = Table::default();
/// let mut ada = RowChanges::default();
/// ada.clerk_id = Some("user_1".into());
/// ada.username = Some("ada".into());
/// let key = table.create(&ada)?;
/// assert_eq!(table.find_by_clerk_id("user_1")?.map(|row| row.key), Some(key));
/// assert_eq!(table.create(&ada), Err(StoreError::Conflict));
/// # Ok::<(), StoreError>(())
/// ```
pub trait UserStore: Send + Sync {
    /// Returns the columns of the table. Must not change over time.
    fn schema(&self) -> Schema {
        Schema::default()
    }

    /// Returns what an operator should know about the table, such as a file that other users can read. Each is logged as a warning
    /// when a client is built.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Begins a transaction on this thread; called before each write.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]; the write is not attempted then.
    fn begin(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Commits the transaction of this thread; called after a write that succeeded.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]; [`rollback`](Self::rollback) is called then.
    fn commit(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Rolls back the transaction of this thread; called after a failed write or commit.
    fn rollback(&self) {}

    /// Returns the row with this primary key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`]; a missing row is `Ok(None)`.
    fn find_by_key(&self, key: &str) -> Result<Option<Row>, StoreError>;

    /// Returns the row of this Clerk user. Ids are case-sensitive.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`]; a missing row is `Ok(None)`.
    fn find_by_clerk_id(&self, clerk_id: &str) -> Result<Option<Row>, StoreError>;

    /// Returns the rows with this email address, ignoring case. Two are enough if there are more: first those with
    /// `is_active` and `banned_by_clerk` false, which the application has deactivated and which may reject the user.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`].
    fn find_by_email(&self, email: &str) -> Result<Vec<Row>, StoreError>;

    /// Returns whether a row other than `except_key` has this username, ignoring case.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`].
    fn username_taken(&self, username: &str, except_key: Option<&str>) -> Result<bool, StoreError>;

    /// Creates a row. Returns its primary key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if a unique column already has one of the values; else [`StoreError::Failed`].
    fn create(&self, changes: &RowChanges) -> Result<String, StoreError>;

    /// Updates the row with this primary key if it fulfils `condition`, which has to be checked in the same statement or
    /// transaction: `UPDATE … WHERE id = ? AND …`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if no row was updated, because there is none or it does not fulfil the condition, or if a unique
    /// column already has one of the values; else [`StoreError::Failed`].
    fn update(&self, key: &str, changes: &RowChanges, condition: &UpdateCondition) -> Result<(), StoreError>;

    /// Executes a [`StoreRequest::Create`] or [`StoreRequest::Update`]; calls [`create`](Self::create) or
    /// [`update`](Self::update) by default. A table that changes the values itself (new accounts await approval, for example)
    /// implements this method instead and returns [`StoreResponse::Rows`] with the row as it is after the write.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create) and [`update`](Self::update).
    fn write(&self, request: &StoreRequest) -> Result<StoreResponse, StoreError> {
        match request {
            StoreRequest::Create { changes } => self.create(changes).map(StoreResponse::Created),
            StoreRequest::Update { key, changes, condition } => {
                self.update(key, changes, condition).map(|()| StoreResponse::Updated)
            }
            _ => Err(StoreError::failed(0, "not a write request")),
        }
    }
}

/// Executes one request, a write in a transaction of its own.
pub(crate) fn execute(store: &dyn UserStore, request: &StoreRequest) -> Result<StoreResponse, StoreError> {
    if !request.is_write() {
        return dispatch(store, request);
    }
    store.begin()?;
    let written = dispatch(store, request).and_then(|response| store.commit().map(|()| response));
    if written.is_err() {
        store.rollback();
    }
    match written {
        Err(StoreError::Conflict) => Ok(StoreResponse::Conflict),
        other => other,
    }
}

fn dispatch(store: &dyn UserStore, request: &StoreRequest) -> Result<StoreResponse, StoreError> {
    Ok(match request {
        StoreRequest::FindByKey { key } => StoreResponse::Rows(store.find_by_key(key)?.into_iter().collect()),
        StoreRequest::FindByClerkId { clerk_id } => {
            StoreResponse::Rows(store.find_by_clerk_id(clerk_id)?.into_iter().collect())
        }
        StoreRequest::FindByEmail { email } => StoreResponse::Rows(store.find_by_email(email)?),
        StoreRequest::UsernameTaken { username, except_key } => {
            StoreResponse::Taken(store.username_taken(username, except_key.as_deref())?)
        }
        StoreRequest::Create { .. } | StoreRequest::Update { .. } => store.write(request)?,
    })
}
