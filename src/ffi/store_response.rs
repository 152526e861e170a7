//! `clerk_store_response`: the outcome of a store request.

use super::{
    CLERK_E_ARGUMENT, CLERK_E_PANIC, CLERK_E_STATE, CLERK_STORE_CONFLICT, CLERK_STORE_DECLINE, CLERK_STORE_OK, as_mut,
    clerk_column, clerk_store_request_kind, clerk_str, guard, status,
};
use crate::users::{Row, StoreError, StoreResponse};

/// The maximum length of a string in a response.
const MAX_STRING: usize = 64 * 1024;
/// Two rows are an error already.
const MAX_ROWS: usize = 16;

/// The outcome of a store request. All strings are copied. One thread at a time.
#[derive(Default)]
pub struct clerk_store_response {
    rows: Vec<Row>,
    username_taken: Option<bool>,
    created_key: Option<String>,
    message: Option<String>,
    /// A setter failed: the whole response is invalid, whatever else was set.
    is_invalid: bool,
}

impl clerk_store_response {
    /// Combines the response with the callback's return value.
    pub(crate) fn into_result(self, kind: clerk_store_request_kind, outcome: i32) -> Result<StoreResponse, StoreError> {
        use clerk_store_request_kind::*;
        let failed = |message: &str| Err(StoreError::failed(outcome, message));
        if let (CLERK_STORE_OK, Some(setter)) = (outcome, self.misplaced_setter(kind)) {
            return failed(&format!(
                "invalid response of the user store: {setter} belongs to requests of another kind"
            ));
        }
        match outcome {
            CLERK_STORE_OK if self.is_invalid => {
                failed("invalid response of the user store: a setter returned an error")
            }
            CLERK_STORE_OK => match kind {
                FIND_BY_KEY | FIND_BY_CLERK_ID | FIND_BY_EMAIL => Ok(StoreResponse::Rows(self.rows)),
                USERNAME_TAKEN => self.username_taken.map_or_else(
                    || failed("invalid response of the user store: clerk_store_response_set_username_taken is missing"),
                    |yes| Ok(StoreResponse::Taken(yes)),
                ),
                CREATE | UPDATE if !self.rows.is_empty() => Ok(StoreResponse::Rows(self.rows)),
                CREATE => self.created_key.map_or_else(
                    || failed("invalid response of the user store: clerk_store_response_set_created_key is missing"),
                    |key| Ok(StoreResponse::Created(key)),
                ),
                _ => Ok(StoreResponse::Updated),
            },
            CLERK_STORE_CONFLICT if matches!(kind, CREATE | UPDATE) => Err(StoreError::Conflict),
            CLERK_STORE_DECLINE if matches!(kind, BEGIN | COMMIT | ROLLBACK) => Ok(StoreResponse::Updated),
            _ => failed(self.message.as_deref().unwrap_or("the user store failed")),
        }
    }

    /// Returns the name of a setter that was called and does not belong to a request of this kind: what it was called for is
    /// unknown, and no row would be read as "not found".
    fn misplaced_setter(&self, kind: clerk_store_request_kind) -> Option<&'static str> {
        use clerk_store_request_kind::*;
        let has_rows = matches!(kind, FIND_BY_KEY | FIND_BY_CLERK_ID | FIND_BY_EMAIL | CREATE | UPDATE);
        [
            (!self.rows.is_empty() && !has_rows, "clerk_store_response_add_row"),
            (self.username_taken.is_some() && kind != USERNAME_TAKEN, "clerk_store_response_set_username_taken"),
            (self.created_key.is_some() && kind != CREATE, "clerk_store_response_set_created_key"),
        ]
        .into_iter()
        .find_map(|(is_misplaced, name)| is_misplaced.then_some(name))
    }

    fn last_row(&mut self) -> Result<&mut Row, i32> {
        self.rows.last_mut().ok_or(CLERK_E_STATE)
    }
}

/// Runs a setter. If it fails, the whole response is invalid.
///
/// # Safety
/// `response` is NULL or points to a live response that nothing else accesses.
unsafe fn set(
    response: *mut clerk_store_response,
    body: impl FnOnce(&mut clerk_store_response) -> Result<(), i32>,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: same contract as the caller.
        status(unsafe { as_mut(response) }.and_then(|response| {
            let outcome = body(response);
            response.is_invalid |= outcome.is_err();
            outcome
        }))
    })
}

/// # Safety
/// As for [`clerk_str::to_str`].
unsafe fn column_value<'a>(string: clerk_str) -> Result<&'a str, i32> {
    // SAFETY: same contract as the caller.
    let string = unsafe { string.to_str() }?;
    if string.len() > MAX_STRING || string.contains('\0') { Err(CLERK_E_ARGUMENT) } else { Ok(string) }
}

/// Adds a row. `key` is the application's key of the row; it must not be empty. The column setters then apply to it.
///
/// A row is active unless `IS_ACTIVE` is set to 0. `key` is copied.
///
/// Returns `CLERK_OK` or a negative status, which makes the whole response invalid. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_response_add_row(response: *mut clerk_store_response, key: clerk_str) -> i32 {
    let body = |response: &mut clerk_store_response| {
        // SAFETY: the header's contract.
        let key = unsafe { column_value(key) }?;
        if key.is_empty() || response.rows.len() == MAX_ROWS {
            return Err(CLERK_E_ARGUMENT);
        }
        response.rows.push(Row { key: key.to_owned(), is_active: true, ..Row::default() });
        Ok(())
    };
    // SAFETY: the header's contract.
    unsafe { set(response, body) }
}

/// Sets a string column, a `clerk_column`, of the row that was added last. NULL data means NULL, which is the default.
///
/// `value` is copied.
///
/// Returns `CLERK_OK` or a negative status, which makes the whole response invalid: `CLERK_E_STATE` if no row was
/// added. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_response_set_string_column(
    response: *mut clerk_store_response,
    column: i32,
    value: clerk_str,
) -> i32 {
    let body = |response: &mut clerk_store_response| {
        // SAFETY: the header's contract.
        let string = unsafe { column_value(value) }?;
        let string = (!value.data.is_null()).then(|| string.to_owned());
        let row = response.last_row()?;
        match clerk_column::from_repr(column) {
            Some(clerk_column::CLERK_ID) => row.clerk_id = string,
            Some(clerk_column::EMAIL) => row.email = string,
            Some(clerk_column::USERNAME) => row.username = string,
            Some(clerk_column::FIRST_NAME) => row.first_name = string,
            Some(clerk_column::LAST_NAME) => row.last_name = string,
            Some(clerk_column::IMAGE_URL) => row.image_url = string,
            _ => return Err(CLERK_E_ARGUMENT),
        }
        Ok(())
    };
    // SAFETY: the header's contract.
    unsafe { set(response, body) }
}

/// Sets an integer column, a `clerk_column`, of the row that was added last. A column that is NULL is not set.
///
/// Returns as `clerk_store_response_set_string_column` does. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_response_set_int_column(
    response: *mut clerk_store_response,
    column: i32,
    value: i64,
) -> i32 {
    let body = |response: &mut clerk_store_response| {
        let row = response.last_row()?;
        match (clerk_column::from_repr(column), value) {
            (Some(clerk_column::LAST_ACTIVE_AT_MS), ms) => row.last_active_at_ms = Some(ms),
            (Some(clerk_column::CLERK_UPDATED_AT_MS), version) => row.clerk_updated_at_ms = Some(version),
            (Some(clerk_column::IS_ACTIVE), 0 | 1) => row.is_active = value == 1,
            (Some(clerk_column::BANNED_BY_CLERK), 0 | 1) => row.banned_by_clerk = value == 1,
            _ => return Err(CLERK_E_ARGUMENT),
        }
        Ok(())
    };
    // SAFETY: the header's contract.
    unsafe { set(response, body) }
}

/// Responds to `USERNAME_TAKEN` with 1 or 0.
///
/// Returns `CLERK_OK` or a negative status, which makes the whole response invalid. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_response_set_username_taken(
    response: *mut clerk_store_response,
    taken: i32,
) -> i32 {
    let body = |response: &mut clerk_store_response| {
        response.username_taken = Some(taken == 1);
        if taken == 0 || taken == 1 { Ok(()) } else { Err(CLERK_E_ARGUMENT) }
    };
    // SAFETY: the header's contract.
    unsafe { set(response, body) }
}

/// Responds to `CREATE` with the key of the new row, which must not be empty. `key` is copied.
///
/// Returns `CLERK_OK` or a negative status, which makes the whole response invalid. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_response_set_created_key(
    response: *mut clerk_store_response,
    key: clerk_str,
) -> i32 {
    let body = |response: &mut clerk_store_response| {
        // SAFETY: the header's contract.
        let key = unsafe { column_value(key) }?;
        response.created_key = Some(key.to_owned());
        if key.is_empty() { Err(CLERK_E_ARGUMENT) } else { Ok(()) }
    };
    // SAFETY: the header's contract.
    unsafe { set(response, body) }
}

/// Sets a message for a failure, before the callback returns a negative number. `message` is copied.
///
/// The message is in `clerk_error_message`, the number in `clerk_error_store_code`; neither is in an event or a
/// reason.
///
/// Returns `CLERK_OK` or a negative status, which makes the whole response invalid. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_store_response_set_error(
    response: *mut clerk_store_response,
    message: clerk_str,
) -> i32 {
    let body = |response: &mut clerk_store_response| {
        // SAFETY: the header's contract.
        let bytes = unsafe { message.bytes() }?;
        response.message = Some(String::from_utf8_lossy(bytes).chars().take(1024).collect());
        Ok(())
    };
    // SAFETY: the header's contract.
    unsafe { set(response, body) }
}

#[cfg(test)]
mod tests {
    use super::clerk_store_request_kind::*;
    use super::*;

    #[test]
    fn setter_of_another_request_makes_the_response_invalid() {
        type Response = clerk_store_response;
        let row = || Response { rows: vec![Row { key: "1".into(), ..Row::default() }], ..Response::default() };
        let taken = || Response { username_taken: Some(false), ..Response::default() };
        let created = || Response { created_key: Some("1".into()), ..Response::default() };
        let finds = [FIND_BY_KEY, FIND_BY_CLERK_ID, FIND_BY_EMAIL];
        let others = [USERNAME_TAKEN, CREATE, UPDATE, BEGIN, COMMIT, ROLLBACK];
        for kind in finds.iter().chain(&others) {
            for (is_right, response) in [
                (finds.contains(kind) || [CREATE, UPDATE].contains(kind), row()),
                (*kind == USERNAME_TAKEN, taken()),
                (*kind == CREATE, created()),
            ] {
                assert_eq!(response.into_result(*kind, CLERK_STORE_OK).is_ok(), is_right, "{kind:?}");
            }
        }
        let two = Response { created_key: Some("1".into()), ..row() };
        assert!(matches!(two.into_result(CREATE, CLERK_STORE_OK), Ok(StoreResponse::Rows(_))));
    }
}
