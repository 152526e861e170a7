//! `clerk_error`, and the one place that decides when `*error` is set.

use super::strings::{self, CStringBuf};
use super::{
    CLERK_E_API, CLERK_E_CONFIG, CLERK_E_PANIC, CLERK_E_WEBHOOK, CLERK_OK, CLERK_UNAVAILABLE, CLERK_WEBHOOK_IGNORED,
    as_ref, clerk_str, guard, is_failure, message,
};
use crate::api::ApiError;
use crate::client::WebhookOutcome;
use crate::config::ConfigError;
use crate::error::{Cause, Error};
use crate::users::{StoreError, SyncError};

/// Details of a failure, for the application and its log. Immutable; any thread may read it. The caller frees it.
pub struct clerk_error {
    status: i32,
    message: CStringBuf,
    setting: Option<CStringBuf>,
    trace_id: Option<CStringBuf>,
    http_status: i32,
    store_code: i32,
    retry_after_ms: i64,
}

/// Runs the body of a function that takes `clerk_error **`.
///
/// `*error` is NULL on success and set on every failure, panics included.
///
/// # Safety
/// `error` is NULL or writable.
pub(crate) unsafe fn report(error: *mut *mut clerk_error, body: impl FnOnce() -> Result<i32, clerk_error>) -> i32 {
    // SAFETY: same contract as the caller.
    unsafe {
        strings::clear(error);
        conclude(error, guard(None, || Some(body())))
    }
}

/// Returns the status of an outcome, `None` after a panic, and writes its error to `*error`.
///
/// # Safety
/// `error` is NULL or writable.
pub(crate) unsafe fn conclude(error: *mut *mut clerk_error, outcome: Option<Result<i32, clerk_error>>) -> i32 {
    let failure = match outcome {
        Some(Ok(status)) if !is_failure(status) => return status,
        Some(Ok(status)) => (status, None),
        Some(Err(failure)) => (failure.status, Some(failure)),
        None => (CLERK_E_PANIC, None),
    };
    let (status, details) = failure;
    if !error.is_null() {
        guard((), || {
            let details = Box::new(details.unwrap_or_else(|| status.into()));
            // SAFETY: not NULL; the rest is the caller's contract.
            unsafe { error.write(Box::into_raw(details)) };
        });
    }
    status
}

impl From<i32> for clerk_error {
    fn from(status: i32) -> Self {
        Self::new(status, message(status))
    }
}

impl From<ConfigError> for clerk_error {
    fn from(error: ConfigError) -> Self {
        let setting = Some(CStringBuf::new(error.setting));
        clerk_error { setting, ..Self::new(CLERK_E_CONFIG, &error.to_string()) }
    }
}

impl From<Error> for clerk_error {
    fn from(error: Error) -> Self {
        let setting = error.setting().map(CStringBuf::new);
        clerk_error { setting, ..Self::new(CLERK_E_CONFIG, &error.to_string()) }
    }
}

impl clerk_error {
    fn new(status: i32, message: &str) -> Self {
        clerk_error {
            status,
            message: CStringBuf::new(message),
            setting: None,
            trace_id: None,
            http_status: 0,
            store_code: 0,
            retry_after_ms: -1,
        }
    }

    fn api(status: i32, error: &ApiError) -> Self {
        clerk_error {
            trace_id: error.trace_id.as_deref().map(CStringBuf::new),
            http_status: error.status.into(),
            retry_after_ms: error.retry_after_ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(-1),
            ..Self::new(status, &error.to_string())
        }
    }

    pub(crate) fn cause(status: i32, cause: Option<&Cause>) -> Self {
        match cause {
            Some(Cause::Api(error)) => Self::api(status, error),
            Some(Cause::UserStore { code, message }) => clerk_error { store_code: *code, ..Self::new(status, message) },
            None => Self::new(status, "no details; see clerk_result_reason"),
        }
    }

    /// The outcome of a webhook as a status.
    pub(crate) fn of_webhook(outcome: WebhookOutcome) -> Result<i32, Self> {
        let failure = outcome.failure().unwrap_or_default();
        let message = match outcome {
            WebhookOutcome::Applied => return Ok(CLERK_OK),
            WebhookOutcome::Ignored => return Ok(CLERK_WEBHOOK_IGNORED),
            WebhookOutcome::Rejected(error) => error.to_string(),
            WebhookOutcome::Failed(SyncError::Store(StoreError::Failed { code, message })) => {
                return Err(Self::cause(CLERK_UNAVAILABLE, Some(&Cause::UserStore { code, message })));
            }
            WebhookOutcome::Failed(_) => {
                return Err(Self::new(CLERK_UNAVAILABLE, failure));
            }
        };
        Err(Self::new(CLERK_E_WEBHOOK, &message))
    }
}

/// Returns the status that the failed call returned, a `clerk_status`; `CLERK_OK` for NULL. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_status(error: *const clerk_error) -> i32 {
    // SAFETY: the header's contract.
    guard(CLERK_E_API, || unsafe { as_ref(error) }.map_or(CLERK_OK, |error| error.status))
}

/// Returns a message for the log of the server. Do not send it to clients.
///
/// The string lives as long as the error; NULL data for NULL. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_message(error: *const clerk_error) -> clerk_str {
    // SAFETY: the header's contract.
    guard(clerk_str::NONE, || unsafe { as_ref(error) }.map_or(clerk_str::NONE, |error| error.message.view()))
}

/// Returns the name of the invalid setting; NULL data if the failure is not about a setting.
///
/// The string lives as long as the error. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_setting(error: *const clerk_error) -> clerk_str {
    let view = |error: &clerk_error| error.setting.as_ref().map_or(clerk_str::NONE, CStringBuf::view);
    // SAFETY: the header's contract.
    guard(clerk_str::NONE, || unsafe { as_ref(error) }.map_or(clerk_str::NONE, view))
}

/// Returns Clerk's trace id of the failed request, to quote to Clerk's support; NULL data if there is none.
///
/// The string lives as long as the error. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_trace_id(error: *const clerk_error) -> clerk_str {
    let view = |error: &clerk_error| error.trace_id.as_ref().map_or(clerk_str::NONE, CStringBuf::view);
    // SAFETY: the header's contract.
    guard(clerk_str::NONE, || unsafe { as_ref(error) }.map_or(clerk_str::NONE, view))
}

/// Returns the HTTP status of Clerk's response; 0 if there was no response. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_http_status(error: *const clerk_error) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { as_ref(error) }.map_or(0, |error| error.http_status))
}

/// Returns the negative number that the user store returned, unchanged; 0 if the user store did not fail. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_store_code(error: *const clerk_error) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { as_ref(error) }.map_or(0, |error| error.store_code))
}

/// Returns how many milliseconds to wait before the next attempt; -1 if unknown. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_retry_after_ms(error: *const clerk_error) -> i64 {
    // SAFETY: the header's contract.
    guard(-1, || unsafe { as_ref(error) }.map_or(-1, |error| error.retry_after_ms))
}

/// Frees an error. NULL is ignored. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_free(error: *mut clerk_error) {
    guard((), || {
        if !error.is_null() {
            // SAFETY: made by `report`, freed once.
            drop(unsafe { Box::from_raw(error) });
        }
    });
}
