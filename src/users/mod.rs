//! The host's own user table: what a row is, what is asked of it, and the rules that keep it in step with Clerk.

#[cfg(feature = "sqlite")]
mod sqlite;
mod sync;
mod username;

#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub use sync::{StoreRequest, StoreResponse, SyncEvent, Transition, UserSync};

use crate::reason::Reason;

/// A row of the host's table, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The host's own key, as text.
    pub key: String,
    /// The Clerk user that the row belongs to.
    pub clerk_id: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The unique name.
    pub username: Option<String>,
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// The picture's address.
    pub image_url: Option<String>,
    /// When the user was last seen, in milliseconds since 1970.
    pub last_active_at_ms: Option<i64>,
    /// Whether the host lets the user in.
    pub is_active: bool,
    /// Whether it was a ban at Clerk, not the host, that took `is_active` away.
    pub banned_by_clerk: bool,
}

/// What is to be written. `None` leaves a column as it is, `Some(None)` makes it empty (NULL).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowChanges {
    /// The Clerk user that the row belongs to from now on.
    pub clerk_id: Option<String>,
    /// The e-mail address.
    pub email: Option<Option<String>>,
    /// The unique name.
    pub username: Option<String>,
    /// The first name; never NULL.
    pub first_name: Option<String>,
    /// The last name; never NULL.
    pub last_name: Option<String>,
    /// The picture's address.
    pub image_url: Option<Option<String>>,
    /// When the user was last seen, in milliseconds since 1970.
    pub last_active_at_ms: Option<Option<i64>>,
    /// Whether the user may come in.
    pub is_active: Option<bool>,
    /// Whether it was Clerk that took `is_active` away.
    pub banned_by_clerk: Option<bool>,
}

impl RowChanges {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == RowChanges::default()
    }

    /// The row as it is after the writing.
    pub(crate) fn apply(&self, row: &mut Row) {
        fn set<T: Clone>(slot: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                *slot = value.clone();
            }
        }
        let some = |text: &Option<String>| text.clone().map(Some);
        set(&mut row.clerk_id, &some(&self.clerk_id));
        set(&mut row.email, &self.email);
        set(&mut row.username, &some(&self.username));
        set(&mut row.first_name, &some(&self.first_name));
        set(&mut row.last_name, &some(&self.last_name));
        set(&mut row.image_url, &self.image_url);
        set(&mut row.last_active_at_ms, &self.last_active_at_ms);
        set(&mut row.is_active, &self.is_active);
        set(&mut row.banned_by_clerk, &self.banned_by_clerk);
    }
}

/// Which columns the host's table has, and how much fits in them. Lengths count characters; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each flag is the column's name
pub struct Schema {
    pub clerk_id: bool,
    pub email: bool,
    pub username: bool,
    pub first_name: bool,
    pub last_name: bool,
    pub image_url: bool,
    pub last_active_at: bool,
    pub is_active: bool,
    pub banned_by_clerk: bool,
    pub longest_username: u32,
    pub longest_email: u32,
    pub longest_name: u32,
    pub longest_image_url: u32,
}

impl Default for Schema {
    /// All columns, without limits.
    fn default() -> Self {
        Schema {
            clerk_id: true,
            email: true,
            username: true,
            first_name: true,
            last_name: true,
            image_url: true,
            last_active_at: true,
            is_active: true,
            banned_by_clerk: true,
            longest_username: 0,
            longest_email: 0,
            longest_name: 0,
            longest_image_url: 0,
        }
    }
}

/// Why the store did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// A unique column already holds such a value: somebody was faster, or the value belongs to another row.
    Conflict,
    /// Anything else. Passed through to the host untouched, never cached.
    Failed {
        /// The host's own number.
        code: i32,
        /// The host's own words; they reach the host's error, never a client or an event.
        message: String,
    },
}

impl StoreError {
    /// A failure in the host's words.
    pub fn failed(code: i32, message: impl Into<String>) -> Self {
        StoreError::Failed { code, message: message.into() }
    }
}

/// The host's user table. Called on the caller's thread, several at once, with no lock of this library held.
///
/// Two requests of one new user may ask for the same row at the same time: unique columns and
/// [`StoreError::Conflict`] sort them out.
pub trait UserStore: Send + std::marker::Sync {
    /// Which columns there are.
    fn schema(&self) -> Schema {
        Schema::default()
    }
    /// Called before the writes of one synchronization.
    fn begin(&self) -> Result<(), StoreError> {
        Ok(())
    }
    /// Called when they all went well.
    fn commit(&self) -> Result<(), StoreError> {
        Ok(())
    }
    /// Called when one of them did not, or `commit` failed.
    fn rollback(&self) {}
    /// The row with this key.
    fn find_by_key(&self, key: &str) -> Result<Option<Row>, StoreError>;
    /// The row of this Clerk user; ids are compared exactly.
    fn find_by_clerk_id(&self, clerk_id: &str) -> Result<Option<Row>, StoreError>;
    /// All rows with this address, compared without case; two are enough.
    fn find_by_email(&self, email: &str) -> Result<Vec<Row>, StoreError>;
    /// Whether a row other than `except_key` has this name, compared without case.
    fn username_taken(&self, username: &str, except_key: Option<&str>) -> Result<bool, StoreError>;
    /// Makes a row and says its key.
    fn create(&self, fields: &RowChanges) -> Result<String, StoreError>;
    /// Changes a row; a row that is gone is a failure.
    fn update(&self, key: &str, fields: &RowChanges) -> Result<(), StoreError>;
    /// `create` or `update`, whichever the step is. A table that does not keep to what it is told (new accounts wait for
    /// approval, say) answers with [`Reply::Rows`]: the row as it is now.
    fn write(&self, step: &StoreRequest) -> Result<StoreResponse, StoreError> {
        match step {
            StoreRequest::Create { fields } => self.create(fields).map(StoreResponse::Created),
            StoreRequest::Update { key, fields } => self.update(key, fields).map(|()| StoreResponse::Updated),
            _ => Err(StoreError::failed(0, "this step writes nothing")),
        }
    }
}

/// Puts one question of the rules to a store, a writing one between `begin` and `commit`.
pub(crate) fn execute(store: &dyn UserStore, step: &StoreRequest) -> Result<StoreResponse, StoreError> {
    if !matches!(step, StoreRequest::Create { .. } | StoreRequest::Update { .. }) {
        return ask(store, step);
    }
    store.begin()?;
    let written = ask(store, step).and_then(|reply| store.commit().map(|()| reply));
    if written.is_err() {
        store.rollback();
    }
    match written {
        Err(StoreError::Conflict) => Ok(StoreResponse::Conflict),
        other => other,
    }
}

fn ask(store: &dyn UserStore, step: &StoreRequest) -> Result<StoreResponse, StoreError> {
    Ok(match step {
        StoreRequest::FindByKey { key } => StoreResponse::Rows(store.find_by_key(key)?.into_iter().collect()),
        StoreRequest::FindByClerkId { clerk_id } => {
            StoreResponse::Rows(store.find_by_clerk_id(clerk_id)?.into_iter().collect())
        }
        StoreRequest::FindByEmail { email } => StoreResponse::Rows(store.find_by_email(email)?),
        StoreRequest::UsernameTaken { username, except_key } => {
            StoreResponse::Taken(store.username_taken(username, except_key.as_deref())?)
        }
        StoreRequest::Create { .. } | StoreRequest::Update { .. } => store.write(step)?,
    })
}

/// Why there is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncError {
    /// The rules say no.
    Refused(Reason),
    /// The store failed.
    Store(StoreError),
}
