//! `clerk_store_response`: the host's answer to a step. Everything is copied.

use super::{
    CLERK_E_ARGUMENT, CLERK_E_PANIC, CLERK_E_STATE, clerk_column, clerk_store_request_kind, clerk_str, exclusive,
    guard, status,
};
use crate::users::{Row, StoreError, StoreResponse};

/// The hook did as asked, and the reply holds the answer.
pub const CLERK_STORE_OK: i32 = 0;
/// The hook has nothing to do here; for `BEGIN`, `COMMIT` and `ROLLBACK`.
pub const CLERK_STORE_DECLINE: i32 = 1;
/// A unique column already holds such a value; for `CREATE` and `UPDATE`. The row is looked for again.
pub const CLERK_STORE_CONFLICT: i32 = 2;

/// Longer texts come from no sound table.
const LONGEST_TEXT: usize = 64 * 1024;
/// Two rows already are one too many.
const MOST_ROWS: usize = 16;

/// The host's answer to a step.
#[derive(Default)]
pub struct clerk_store_response {
    rows: Vec<Row>,
    taken: Option<bool>,
    created: Option<String>,
    message: Option<String>,
    /// A setter failed: whatever else was set, the answer is not to be trusted.
    is_broken: bool,
}

impl clerk_store_response {
    /// What the hook's return value and the reply mean together.
    pub(crate) fn judge(self, kind: clerk_store_request_kind, returned: i32) -> Result<StoreResponse, StoreError> {
        use clerk_store_request_kind::*;
        let failed = |message: &str| Err(StoreError::failed(returned, message));
        match returned {
            CLERK_STORE_OK if self.is_broken => failed("the hook's reply was refused; see what the setters returned"),
            CLERK_STORE_OK => match kind {
                FIND_BY_KEY | FIND_BY_CLERK_ID | FIND_BY_EMAIL => Ok(StoreResponse::Rows(self.rows)),
                USERNAME_TAKEN => self.taken.map_or_else(
                    || failed("no clerk_store_response_set_username_taken"),
                    |yes| Ok(StoreResponse::Taken(yes)),
                ),
                CREATE | UPDATE if !self.rows.is_empty() => Ok(StoreResponse::Rows(self.rows)),
                CREATE => self.created.map_or_else(
                    || failed("no clerk_store_response_set_created_key"),
                    |key| Ok(StoreResponse::Created(key)),
                ),
                _ => Ok(StoreResponse::Updated),
            },
            CLERK_STORE_CONFLICT if matches!(kind, CREATE | UPDATE) => Err(StoreError::Conflict),
            CLERK_STORE_DECLINE if matches!(kind, BEGIN | COMMIT | ROLLBACK) => Ok(StoreResponse::Updated),
            _ => failed(self.message.as_deref().unwrap_or("the host's user store failed")),
        }
    }

    fn last_row(&mut self) -> Result<&mut Row, i32> {
        self.rows.last_mut().ok_or(CLERK_E_STATE)
    }
}

/// Sets something; a failure makes the whole reply count for nothing.
///
/// # Safety
/// `reply` is NULL or points to a live reply that nobody else touches.
unsafe fn set(
    reply: *mut clerk_store_response,
    body: impl FnOnce(&mut clerk_store_response) -> Result<(), i32>,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: handed on.
        status(unsafe { exclusive(reply) }.and_then(|reply| {
            let outcome = body(reply);
            reply.is_broken |= outcome.is_err();
            outcome
        }))
    })
}

/// # Safety
/// As for [`clerk_str::text`].
unsafe fn short_text<'a>(text: clerk_str) -> Result<&'a str, i32> {
    // SAFETY: handed on.
    let text = unsafe { text.text() }?;
    if text.len() > LONGEST_TEXT || text.contains('\0') { Err(CLERK_E_ARGUMENT) } else { Ok(text) }
}

/// Begins a row with the host's own key for it, as text, not empty. The column setters that follow are about this row.
/// It is active unless `IS_ACTIVE` says otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_response_add_row(reply: *mut clerk_store_response, key: clerk_str) -> i32 {
    let body = |reply: &mut clerk_store_response| {
        // SAFETY: the header's rules.
        let key = unsafe { short_text(key) }?;
        if key.is_empty() || reply.rows.len() == MOST_ROWS {
            return Err(CLERK_E_ARGUMENT);
        }
        reply.rows.push(Row { key: key.to_owned(), is_active: true, ..Row::default() });
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { set(reply, body) }
}

/// Sets a text column (a `clerk_column`) of the row. NULL columns need not be set; NULL data sets NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_response_set_string_column(
    reply: *mut clerk_store_response,
    column: i32,
    value: clerk_str,
) -> i32 {
    let body = |reply: &mut clerk_store_response| {
        // SAFETY: the header's rules.
        let text = unsafe { short_text(value) }?;
        let text = (!value.data.is_null()).then(|| text.to_owned());
        let row = reply.last_row()?;
        match clerk_column::from_repr(column) {
            Some(clerk_column::CLERK_ID) => row.clerk_id = text,
            Some(clerk_column::EMAIL) => row.email = text,
            Some(clerk_column::USERNAME) => row.username = text,
            Some(clerk_column::FIRST_NAME) => row.first_name = text,
            Some(clerk_column::LAST_NAME) => row.last_name = text,
            Some(clerk_column::IMAGE_URL) => row.image_url = text,
            _ => return Err(CLERK_E_ARGUMENT),
        }
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { set(reply, body) }
}

/// Sets a number column (a `clerk_column`) of the row. NULL columns need not be set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_response_set_int_column(
    reply: *mut clerk_store_response,
    column: i32,
    value: i64,
) -> i32 {
    let body = |reply: &mut clerk_store_response| {
        let row = reply.last_row()?;
        match (clerk_column::from_repr(column), value) {
            (Some(clerk_column::LAST_ACTIVE_AT_MS), ms) => row.last_active_at_ms = Some(ms),
            (Some(clerk_column::IS_ACTIVE), 0 | 1) => row.is_active = value == 1,
            (Some(clerk_column::BANNED_BY_CLERK), 0 | 1) => row.banned_by_clerk = value == 1,
            _ => return Err(CLERK_E_ARGUMENT),
        }
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { set(reply, body) }
}

/// Answers `USERNAME_TAKEN`: 1 or 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_response_set_username_taken(reply: *mut clerk_store_response, taken: i32) -> i32 {
    let body = |reply: &mut clerk_store_response| {
        reply.taken = Some(taken == 1);
        if taken == 0 || taken == 1 { Ok(()) } else { Err(CLERK_E_ARGUMENT) }
    };
    // SAFETY: the header's rules.
    unsafe { set(reply, body) }
}

/// Answers `CREATE` with the new row's key, as text, not empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_response_set_created_key(reply: *mut clerk_store_response, key: clerk_str) -> i32 {
    let body = |reply: &mut clerk_store_response| {
        // SAFETY: the header's rules.
        let key = unsafe { short_text(key) }?;
        reply.created = Some(key.to_owned());
        if key.is_empty() { Err(CLERK_E_ARGUMENT) } else { Ok(()) }
    };
    // SAFETY: the header's rules.
    unsafe { set(reply, body) }
}

/// Says in the host's own words why the hook will return a negative number. The words come back untouched in
/// `clerk_error_message`, the number in `clerk_error_store_code`; neither reaches an event or a reason.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_response_set_error(reply: *mut clerk_store_response, message: clerk_str) -> i32 {
    let body = |reply: &mut clerk_store_response| {
        // SAFETY: the header's rules.
        let bytes = unsafe { message.bytes() }?;
        reply.message = Some(String::from_utf8_lossy(bytes).chars().take(1024).collect());
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { set(reply, body) }
}
