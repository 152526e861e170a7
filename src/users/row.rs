//! Rows of the user table, changes to them, and the columns that a table has.

/// A row of the application's user table: the columns that the sync reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The primary key as a string; not empty.
    pub key: String,
    /// The id of the Clerk user that the row belongs to; `None` if it belongs to none.
    pub clerk_id: Option<String>,
    /// The email address.
    pub email: Option<String>,
    /// The username, unique in the table.
    pub username: Option<String>,
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// The URL of the profile image.
    pub image_url: Option<String>,
    /// When the user was last active, in milliseconds since 1970.
    pub last_active_at_ms: Option<i64>,
    /// Whether the user may sign in. A row with `false` rejects every request of the user.
    pub is_active: bool,
    /// Whether `is_active` is `false` because of a ban at Clerk. The sync re-activates only such rows.
    pub banned_by_clerk: bool,
    /// Clerk's `updated_at` of the user that the row was last written from, in milliseconds since 1970. `None` is older than
    /// everything.
    pub clerk_updated_at_ms: Option<i64>,
}

/// The columns to write. `None` leaves a column unchanged; `Some(None)` sets it to NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowChanges {
    /// The id of the Clerk user that the row belongs to from now on.
    pub clerk_id: Option<String>,
    /// The email address.
    pub email: Option<Option<String>>,
    /// The username.
    pub username: Option<String>,
    /// The first name; never NULL.
    pub first_name: Option<String>,
    /// The last name; never NULL.
    pub last_name: Option<String>,
    /// The URL of the profile image.
    pub image_url: Option<Option<String>>,
    /// When the user was last active, in milliseconds since 1970.
    pub last_active_at_ms: Option<Option<i64>>,
    /// Whether the user may sign in.
    pub is_active: Option<bool>,
    /// Whether `is_active` is `false` because of a ban at Clerk.
    pub banned_by_clerk: Option<bool>,
    /// Clerk's `updated_at` of the user that the row is written from.
    pub clerk_updated_at_ms: Option<i64>,
}

/// What a row must fulfil to be updated. The store checks it in the statement that writes (`UPDATE … WHERE …`); a row that does
/// not fulfil it is a [`StoreError::Conflict`](super::StoreError::Conflict), after which the sync looks again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdateCondition {
    /// The Clerk id of the row must be NULL.
    pub only_if_unlinked: bool,
    /// `clerk_updated_at_ms` of the row must be NULL or at most this. `None` for tables without the column.
    pub max_version: Option<i64>,
    /// `is_active` of the row must be true: a row that the application has deactivated meanwhile is not marked as banned.
    pub only_if_active: bool,
    /// `is_active` of the row must be false and `banned_by_clerk` true: only a ban is lifted.
    pub only_if_banned: bool,
}

impl UpdateCondition {
    /// Returns whether a row fulfils the condition.
    pub fn allows(&self, row: &Row) -> bool {
        let is_old = |max| row.clerk_updated_at_ms.is_none_or(|version| version <= max);
        !(self.only_if_unlinked && row.clerk_id.is_some())
            && self.max_version.is_none_or(is_old)
            && (!self.only_if_active || row.is_active)
            && (!self.only_if_banned || (row.banned_by_clerk && !row.is_active))
    }
}

impl RowChanges {
    /// Returns whether no column is to be written.
    pub fn is_empty(&self) -> bool {
        *self == RowChanges::default()
    }

    /// Applies the changes to a row in memory.
    pub(crate) fn apply(&self, row: &mut Row) {
        fn set<T: Clone>(column: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                *column = value.clone();
            }
        }
        let some = |value: &Option<String>| value.clone().map(Some);
        set(&mut row.clerk_id, &some(&self.clerk_id));
        set(&mut row.email, &self.email);
        set(&mut row.username, &some(&self.username));
        set(&mut row.first_name, &some(&self.first_name));
        set(&mut row.last_name, &some(&self.last_name));
        set(&mut row.image_url, &self.image_url);
        set(&mut row.last_active_at_ms, &self.last_active_at_ms);
        set(&mut row.is_active, &self.is_active);
        set(&mut row.banned_by_clerk, &self.banned_by_clerk);
        set(&mut row.clerk_updated_at_ms, &self.clerk_updated_at_ms.map(Some));
    }
}

/// The columns of a user table and their maximum lengths in characters; 0 means unlimited. Columns that do not exist are
/// neither read nor written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each flag has the name of its column in `Row`")]
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
    pub clerk_updated_at: bool,
    pub max_username_len: u32,
    pub max_email_len: u32,
    pub max_name_len: u32,
    pub max_image_url_len: u32,
}

impl Default for Schema {
    /// All columns but `clerk_updated_at`, of unlimited length.
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
            clerk_updated_at: false,
            max_username_len: 0,
            max_email_len: 0,
            max_name_len: 0,
            max_image_url_len: 0,
        }
    }
}
