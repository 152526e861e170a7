//! `clerk_store_request`: one question to the host's user table.

use super::strings::Terminated;
use super::{clerk_str, exclusive, guard, shared};
use crate::users::{RowChanges, StoreRequest};

/// What is wanted of the host's user table.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum clerk_store_request_kind {
    /// Nothing: it is over. Only from `clerk_pending_next_action`.
    DONE = 0,
    /// The row with the key `clerk_store_request_key`; answer with `clerk_store_response_add_row`, or with nothing.
    FIND_BY_KEY = 1,
    /// The row of the Clerk user `clerk_store_request_value`, compared exactly; answer as above.
    FIND_BY_CLERK_ID = 2,
    /// All rows with the address `clerk_store_request_value`, compared without case; two are enough.
    FIND_BY_EMAIL = 3,
    /// Whether a row other than `clerk_store_request_key` has the unique name `clerk_store_request_value`, compared without case; answer with
    /// `clerk_store_response_set_username_taken`.
    USERNAME_TAKEN = 4,
    /// A new row with the columns of `clerk_store_request_string_column` and `clerk_store_request_int_column`; answer with `clerk_store_response_set_created_key`,
    /// or, where the table may make another row of it (one that waits for approval, say), with the whole row as it is now.
    CREATE = 5,
    /// A change of the row `clerk_store_request_key`, these columns only. Answer with nothing, or with the whole row as it is now.
    UPDATE = 6,
    /// `CREATE` or `UPDATE` follows. `CLERK_STORE_DECLINE` if there is nothing to do. Only to a hook.
    BEGIN = 7,
    /// It went well. As above.
    COMMIT = 8,
    /// It did not, or `COMMIT` failed. As above.
    ROLLBACK = 9,
    /// `clerk_pending_fetch` must be called. Only from `clerk_pending_next_action`.
    FETCH_USER = 10,
}

/// A column of the host's user table.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::FromRepr, strum::VariantArray)]
pub enum clerk_column {
    /// Text, unique: the Clerk user that the row belongs to.
    CLERK_ID = 0,
    /// Text or NULL.
    EMAIL = 1,
    /// Text, unique without case.
    USERNAME = 2,
    /// Text, never NULL.
    FIRST_NAME = 3,
    /// Text, never NULL.
    LAST_NAME = 4,
    /// Text or NULL.
    IMAGE_URL = 5,
    /// Number or NULL: milliseconds since 1970-01-01 UTC.
    LAST_ACTIVE_AT_MS = 6,
    /// Number: 0 or 1.
    IS_ACTIVE = 7,
    /// Number: 1 if it was a ban at Clerk that made the row inactive. A row the host made inactive has 0 here.
    BANNED_BY_CLERK = 8,
}

/// A question to the host's user table. Lives during the hook's call, or until the pending authentication goes on.
pub struct clerk_store_request {
    pub(crate) kind: clerk_store_request_kind,
    text: Option<Terminated>,
    key: Option<Terminated>,
    texts: Vec<(clerk_column, Option<Terminated>)>,
    numbers: Vec<(clerk_column, Option<i64>)>,
}

impl clerk_store_request {
    pub(crate) fn bare(kind: clerk_store_request_kind) -> Self {
        clerk_store_request { kind, text: None, key: None, texts: Vec::new(), numbers: Vec::new() }
    }

    pub(crate) fn new(step: &StoreRequest) -> Self {
        use clerk_store_request_kind as Kind;
        let with = |kind, text: Option<&str>, key: Option<&str>| clerk_store_request {
            text: text.map(Terminated::new),
            key: key.map(Terminated::new),
            ..Self::bare(kind)
        };
        match step {
            StoreRequest::FindByKey { key } => with(Kind::FIND_BY_KEY, None, Some(key)),
            StoreRequest::FindByClerkId { clerk_id } => with(Kind::FIND_BY_CLERK_ID, Some(clerk_id), None),
            StoreRequest::FindByEmail { email } => with(Kind::FIND_BY_EMAIL, Some(email), None),
            StoreRequest::UsernameTaken { username, except_key } => {
                with(Kind::USERNAME_TAKEN, Some(username), except_key.as_deref())
            }
            StoreRequest::Create { fields } => with(Kind::CREATE, None, None).writing(fields),
            StoreRequest::Update { key, fields } => with(Kind::UPDATE, None, Some(key)).writing(fields),
        }
    }

    fn writing(mut self, fields: &RowChanges) -> Self {
        use clerk_column::*;
        let plain = |text: &Option<String>| text.as_deref().map(|text| Some(Terminated::new(text)));
        let nullable = |text: &Option<Option<String>>| text.as_ref().map(|text| text.as_deref().map(Terminated::new));
        let mut put = |column, value: Option<Option<Terminated>>| self.texts.extend(value.map(|v| (column, v)));
        put(CLERK_ID, plain(&fields.clerk_id));
        put(EMAIL, nullable(&fields.email));
        put(USERNAME, plain(&fields.username));
        put(FIRST_NAME, plain(&fields.first_name));
        put(LAST_NAME, plain(&fields.last_name));
        put(IMAGE_URL, nullable(&fields.image_url));
        let mut put = |column, value: Option<Option<i64>>| self.numbers.extend(value.map(|v| (column, v)));
        put(LAST_ACTIVE_AT_MS, fields.last_active_at_ms);
        put(IS_ACTIVE, fields.is_active.map(|yes| Some(yes.into())));
        put(BANNED_BY_CLERK, fields.banned_by_clerk.map(|yes| Some(yes.into())));
        self
    }
}

/// What is wanted: a `clerk_store_request_kind`; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_request_get_kind(step: *const clerk_store_request) -> i32 {
    // SAFETY: the header's rules.
    guard(0, || unsafe { shared(step) }.map_or(0, |step| step.kind as i32))
}

/// The Clerk id, the address or the name that is asked about; NULL data if none is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_request_value(step: *const clerk_store_request) -> clerk_str {
    let view = |step: &clerk_store_request| step.text.as_ref().map_or(clerk_str::NONE, Terminated::view);
    // SAFETY: the header's rules.
    guard(clerk_str::NONE, || unsafe { shared(step) }.map_or(clerk_str::NONE, view))
}

/// The key of the row that is asked about; NULL data if none is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_request_key(step: *const clerk_store_request) -> clerk_str {
    let view = |step: &clerk_store_request| step.key.as_ref().map_or(clerk_str::NONE, Terminated::view);
    // SAFETY: the header's rules.
    guard(clerk_str::NONE, || unsafe { shared(step) }.map_or(clerk_str::NONE, view))
}

/// Whether a text column (a `clerk_column`) is to be written: 1, and `*value` is what (NULL data: NULL), or 0, and the
/// column stays as it is. `value` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_request_string_column(
    step: *const clerk_store_request,
    column: i32,
    value: *mut clerk_str,
) -> i32 {
    guard(0, || {
        // SAFETY: the header's rules.
        let Ok(step) = (unsafe { shared(step) }) else { return 0 };
        let Some((_, text)) = step.texts.iter().find(|(own, _)| *own as i32 == column) else { return 0 };
        // SAFETY: the header's rules.
        if let Ok(value) = unsafe { exclusive(value) } {
            *value = text.as_ref().map_or(clerk_str::NONE, Terminated::view);
        }
        1
    })
}

/// Whether a number column (a `clerk_column`) is to be written: 1, and `*value` is what, or 2, and it is to be NULL, or 0,
/// and the column stays as it is. `value` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_request_int_column(
    step: *const clerk_store_request,
    column: i32,
    value: *mut i64,
) -> i32 {
    guard(0, || {
        // SAFETY: the header's rules.
        let Ok(step) = (unsafe { shared(step) }) else { return 0 };
        match step.numbers.iter().find(|(own, _)| *own as i32 == column) {
            None => 0,
            Some((_, None)) => 2,
            Some((_, Some(number))) => {
                // SAFETY: the header's rules.
                if let Ok(value) = unsafe { exclusive(value) } {
                    *value = *number;
                }
                1
            }
        }
    })
}
