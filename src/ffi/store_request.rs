//! `clerk_store_request`: one query or change of the application's user table.

use super::strings::CStringBuf;
use super::{as_mut, as_ref, clerk_str, guard};
use crate::users::{RowChanges, StoreRequest, UpdateCondition};

/// The kind of a store request, and the next action of a `clerk_pending`.
///
/// "value" and "key" are `clerk_store_request_value` and `clerk_store_request_key`. A query without a match gets an
/// empty response.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum clerk_store_request_kind {
    /// Only from `clerk_pending_next_action`: nothing is left to do.
    DONE = 0,
    /// Find the row with this key. Respond with `clerk_store_response_add_row`.
    FIND_BY_KEY = 1,
    /// Find the row of the Clerk user with the id in "value", compared exactly. Respond as above.
    FIND_BY_CLERK_ID = 2,
    /// Find the rows with the e-mail address in "value", compared case-insensitively, at least two if there are several:
    /// first those that the application has deactivated. Respond as above.
    FIND_BY_EMAIL = 3,
    /// Check whether a row other than "key" has the username in "value", compared case-insensitively. Respond with
    /// `clerk_store_response_set_username_taken`.
    USERNAME_TAKEN = 4,
    /// Insert a row with the given columns. Respond with `clerk_store_response_set_created_key`, or with the whole row
    /// if the application stores other values, for example `IS_ACTIVE` 0 until an approval.
    CREATE = 5,
    /// Update the given columns of the row "key", in one statement with the conditions
    /// `clerk_store_request_only_if_unlinked`, `clerk_store_request_max_version`, `clerk_store_request_only_if_active`
    /// and `clerk_store_request_only_if_banned`. Respond with nothing, or with the whole row. Return
    /// `CLERK_STORE_CONFLICT` if no row was updated.
    UPDATE = 6,
    /// Only to a callback: begin a transaction, `CREATE` or `UPDATE` follows. Return `CLERK_STORE_DECLINE` if the
    /// store has no transactions.
    BEGIN = 7,
    /// Only to a callback: commit the transaction.
    COMMIT = 8,
    /// Only to a callback: roll the transaction back, after a failed change or a failed `COMMIT`. Not sent after a
    /// failed `BEGIN`.
    ROLLBACK = 9,
    /// Only from `clerk_pending_next_action`: call `clerk_pending_fetch`.
    FETCH_USER = 10,
}

/// A column of the application's user table.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::FromRepr, strum::VariantArray)]
pub enum clerk_column {
    /// String, unique: the id of the Clerk user that the row is linked to.
    CLERK_ID = 0,
    /// String or NULL.
    EMAIL = 1,
    /// String, unique, compared case-insensitively.
    USERNAME = 2,
    /// String, never NULL.
    FIRST_NAME = 3,
    /// String, never NULL.
    LAST_NAME = 4,
    /// String or NULL.
    IMAGE_URL = 5,
    /// Integer or NULL: milliseconds since 1970-01-01 UTC.
    LAST_ACTIVE_AT_MS = 6,
    /// Integer: 0 or 1. A row with 0 is rejected.
    IS_ACTIVE = 7,
    /// Integer: 1 if the row is inactive because of a ban at Clerk, 0 if the application deactivated it.
    BANNED_BY_CLERK = 8,
    /// Integer or NULL: the version of the Clerk user that the row was last written from, in milliseconds since
    /// 1970-01-01 UTC. Optional: without it, rows are written only from a user that was just fetched.
    CLERK_UPDATED_AT_MS = 9,
}

/// A query or change of the application's user table. Valid during the callback, or until `clerk_pending_submit`.
pub struct clerk_store_request {
    pub(crate) kind: clerk_store_request_kind,
    value: Option<CStringBuf>,
    key: Option<CStringBuf>,
    string_columns: Vec<(clerk_column, Option<CStringBuf>)>,
    int_columns: Vec<(clerk_column, Option<i64>)>,
    condition: UpdateCondition,
}

impl clerk_store_request {
    pub(crate) fn without_values(kind: clerk_store_request_kind) -> Self {
        clerk_store_request {
            kind,
            value: None,
            key: None,
            string_columns: Vec::new(),
            int_columns: Vec::new(),
            condition: UpdateCondition::default(),
        }
    }

    pub(crate) fn new(request: &StoreRequest) -> Self {
        use clerk_store_request_kind as Kind;
        let with = |kind, value: Option<&str>, key: Option<&str>| clerk_store_request {
            value: value.map(CStringBuf::new),
            key: key.map(CStringBuf::new),
            ..Self::without_values(kind)
        };
        match request {
            StoreRequest::FindByKey { key } => with(Kind::FIND_BY_KEY, None, Some(key)),
            StoreRequest::FindByClerkId { clerk_id } => with(Kind::FIND_BY_CLERK_ID, Some(clerk_id), None),
            StoreRequest::FindByEmail { email } => with(Kind::FIND_BY_EMAIL, Some(email), None),
            StoreRequest::UsernameTaken { username, except_key } => {
                with(Kind::USERNAME_TAKEN, Some(username), except_key.as_deref())
            }
            StoreRequest::Create { changes } => with(Kind::CREATE, None, None).with_columns(changes),
            StoreRequest::Update { key, changes, condition } => clerk_store_request {
                condition: *condition,
                ..with(Kind::UPDATE, None, Some(key)).with_columns(changes)
            },
        }
    }

    fn with_columns(mut self, changes: &RowChanges) -> Self {
        use clerk_column::*;
        let required = |string: &Option<String>| string.as_deref().map(|string| Some(CStringBuf::new(string)));
        let nullable = |string: &Option<Option<String>>| string.as_ref().map(|s| s.as_deref().map(CStringBuf::new));
        let mut put =
            |column, value: Option<Option<CStringBuf>>| self.string_columns.extend(value.map(|v| (column, v)));
        put(CLERK_ID, required(&changes.clerk_id));
        put(EMAIL, nullable(&changes.email));
        put(USERNAME, required(&changes.username));
        put(FIRST_NAME, required(&changes.first_name));
        put(LAST_NAME, required(&changes.last_name));
        put(IMAGE_URL, nullable(&changes.image_url));
        let mut put = |column, value: Option<Option<i64>>| self.int_columns.extend(value.map(|v| (column, v)));
        put(LAST_ACTIVE_AT_MS, changes.last_active_at_ms);
        put(IS_ACTIVE, changes.is_active.map(|yes| Some(yes.into())));
        put(BANNED_BY_CLERK, changes.banned_by_clerk.map(|yes| Some(yes.into())));
        put(CLERK_UPDATED_AT_MS, changes.clerk_updated_at_ms.map(Some));
        self
    }
}

/// Returns the kind of the request, a `clerk_store_request_kind`; 0 for NULL. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_request_get_kind(request: *const clerk_store_request) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { as_ref(request) }.map_or(0, |request| request.kind as i32))
}

/// Returns the Clerk id, e-mail address or username to look for; NULL data if there is none.
///
/// The string lives as long as the request. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_request_value(request: *const clerk_store_request) -> clerk_str {
    let view = |request: &clerk_store_request| request.value.as_ref().map_or(clerk_str::NONE, CStringBuf::view);
    // SAFETY: the header's contract.
    guard(clerk_str::NONE, || unsafe { as_ref(request) }.map_or(clerk_str::NONE, view))
}

/// Returns the key of the row; NULL data if there is none.
///
/// The string lives as long as the request. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_request_key(request: *const clerk_store_request) -> clerk_str {
    let view = |request: &clerk_store_request| request.key.as_ref().map_or(clerk_str::NONE, CStringBuf::view);
    // SAFETY: the header's contract.
    guard(clerk_str::NONE, || unsafe { as_ref(request) }.map_or(clerk_str::NONE, view))
}

/// Reads the new value of a string column, a `clerk_column`.
///
/// Returns 1 and sets `*value`, which may be NULL, if the column is to be written; NULL data means NULL. Returns 0 if
/// the column keeps its value. The string lives as long as the request. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_request_string_column(
    request: *const clerk_store_request,
    column: i32,
    value: *mut clerk_str,
) -> i32 {
    guard(0, || {
        // SAFETY: the header's contract.
        let Ok(request) = (unsafe { as_ref(request) }) else { return 0 };
        let Some((_, string)) = request.string_columns.iter().find(|(own, _)| *own as i32 == column) else { return 0 };
        // SAFETY: the header's contract.
        if let Ok(value) = unsafe { as_mut(value) } {
            *value = string.as_ref().map_or(clerk_str::NONE, CStringBuf::view);
        }
        1
    })
}

/// Reads the new value of an integer column, a `clerk_column`.
///
/// Returns 1 and sets `*value`, which may be NULL, if the column is to be written; returns 2 if it is to be set to
/// NULL. Returns 0 if the column keeps its value. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_request_int_column(
    request: *const clerk_store_request,
    column: i32,
    value: *mut i64,
) -> i32 {
    guard(0, || {
        // SAFETY: the header's contract.
        let Ok(request) = (unsafe { as_ref(request) }) else { return 0 };
        match request.int_columns.iter().find(|(own, _)| *own as i32 == column) {
            None => 0,
            Some((_, None)) => 2,
            Some((_, Some(number))) => {
                // SAFETY: the header's contract.
                if let Ok(value) = unsafe { as_mut(value) } {
                    *value = *number;
                }
                1
            }
        }
    })
}

/// Returns 1 if `UPDATE` must change the row only while its column `CLERK_ID` is NULL, else 0.
///
/// The condition must be part of the statement that updates. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_request_only_if_unlinked(request: *const clerk_store_request) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { as_ref(request) }.map_or(0, |request| request.condition.only_if_unlinked.into()))
}

/// Returns 1 if `UPDATE` must change the row only while its column `IS_ACTIVE` is true, else 0.
///
/// Then a row that the application has deactivated meanwhile is not marked as banned by Clerk. The condition has to be
/// in the statement that updates. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_request_only_if_active(request: *const clerk_store_request) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { as_ref(request) }.map_or(0, |request| request.condition.only_if_active.into()))
}

/// Returns 1 if `UPDATE` must change the row only while its column `IS_ACTIVE` is false and `BANNED_BY_CLERK` is true,
/// else 0.
///
/// Then a row that the application has deactivated meanwhile is not activated. The condition has to be in the statement
/// that updates. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_request_only_if_banned(request: *const clerk_store_request) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { as_ref(request) }.map_or(0, |request| request.condition.only_if_banned.into()))
}

/// Reads the highest version of a row that `UPDATE` may change.
///
/// Returns 1 and sets `*version`, which may be NULL, if `UPDATE` must change the row only while its column
/// `CLERK_UPDATED_AT_MS` is NULL or at most `*version`. Returns 0 if there is no such condition, as for a table without
/// the column. The condition must be part of the statement that updates. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_request_max_version(
    request: *const clerk_store_request,
    version: *mut i64,
) -> i32 {
    guard(0, || {
        // SAFETY: the header's contract.
        let Ok(request) = (unsafe { as_ref(request) }) else { return 0 };
        let Some(max) = request.condition.max_version else { return 0 };
        // SAFETY: the header's contract.
        if let Ok(version) = unsafe { as_mut(version) } {
            *version = max;
        }
        1
    })
}
