//! `clerk_error`: what went wrong, for people and for programs that retry.

use super::strings::Terminated;
use super::{
    CLERK_E_API, CLERK_E_CONFIG, CLERK_E_WEBHOOK, CLERK_OK, CLERK_UNAVAILABLE, CLERK_WEBHOOK_IGNORED, clerk_str, guard,
    shared,
};
use crate::api::{ApiError, ErrorKind};
use crate::client::{Cause, WebhookOutcome};
use crate::config::ConfigError;
use crate::users::{StoreError, SyncError};
use crate::webhooks::WebhookError;

/// What went wrong. Immutable; any thread may read it; the caller frees it.
pub struct clerk_error {
    status: i32,
    message: Terminated,
    setting: Option<Terminated>,
    trace_id: Option<Terminated>,
    http_status: i32,
    host_code: i32,
    retry_after_ms: i64,
}

impl clerk_error {
    pub(crate) fn new(status: i32, message: &str) -> Self {
        clerk_error {
            status,
            message: Terminated::new(message),
            setting: None,
            trace_id: None,
            http_status: 0,
            host_code: 0,
            retry_after_ms: -1,
        }
    }

    pub(crate) fn config(error: &ConfigError) -> Self {
        let setting = Some(Terminated::new(error.setting));
        clerk_error { setting, ..Self::new(CLERK_E_CONFIG, &error.to_string()) }
    }

    fn api(status: i32, error: &ApiError) -> Self {
        let message = match error.kind {
            ErrorKind::Unauthorized | ErrorKind::Forbidden => "Clerk refuses the secret key",
            ErrorKind::RateLimited | ErrorKind::CircuitOpen => "Clerk asks for patience or failed too often of late",
            ErrorKind::Timeout => "Clerk did not answer within timeout_ms",
            ErrorKind::BadResponse => "Clerk's answer is not what it should be",
            ErrorKind::Forked => "the process was forked since the client was made; call clerk_client_warm_up",
            _ => "Clerk cannot be reached or failed",
        };
        clerk_error {
            trace_id: error.trace_id.as_deref().map(Terminated::new),
            http_status: error.status.into(),
            retry_after_ms: error.retry_after_ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(-1),
            ..Self::new(status, message)
        }
    }

    pub(crate) fn cause(status: i32, cause: Option<&Cause>) -> Self {
        match cause {
            Some(Cause::Api(error)) => Self::api(status, error),
            Some(Cause::UserStore { code, message }) => clerk_error { host_code: *code, ..Self::new(status, message) },
            None => Self::new(status, "see the result's reason"),
        }
    }

    /// The status of a webhook delivery, and an error if there is one to tell of.
    ///
    /// # Safety
    /// `out` is NULL or writable.
    pub(crate) unsafe fn of_delivery(handled: WebhookOutcome, out: *mut *mut clerk_error) -> i32 {
        let refused = |words| Self::new(CLERK_E_WEBHOOK, words);
        let failed = match handled {
            WebhookOutcome::Applied => return CLERK_OK,
            WebhookOutcome::Ignored => return CLERK_WEBHOOK_IGNORED,
            WebhookOutcome::Rejected(WebhookError::Malformed) => {
                refused("a signature header is missing or there twice, or the body is longer than 1 MiB")
            }
            WebhookOutcome::Rejected(WebhookError::TimestampOutOfTolerance) => {
                refused("the delivery's time is more than five minutes from now")
            }
            WebhookOutcome::Rejected(WebhookError::InvalidSignature) => {
                refused("the signature does not hold under any of webhook_secrets")
            }
            WebhookOutcome::Rejected(WebhookError::InvalidPayload) => refused("the body is not an event of Clerk's"),
            WebhookOutcome::Failed(SyncError::Store(StoreError::Failed { code, message })) => {
                Self::cause(CLERK_UNAVAILABLE, Some(&Cause::UserStore { code, message }))
            }
            WebhookOutcome::Failed(_) => Self::new(CLERK_UNAVAILABLE, "the user's row cannot be brought up to date"),
        };
        // SAFETY: handed on.
        unsafe { failed.give(out) }
    }

    /// Hands an error out, if the caller wants one.
    ///
    /// # Safety
    /// `out` is NULL or writable.
    pub(crate) unsafe fn give(self, out: *mut *mut clerk_error) -> i32 {
        let status = self.status;
        if !out.is_null() {
            // SAFETY: not NULL; the caller vouches for the rest.
            unsafe { out.write(Box::into_raw(Box::new(self))) };
        }
        status
    }
}

/// The status that the failed call returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_status(error: *const clerk_error) -> i32 {
    // SAFETY: the header's rules.
    guard(CLERK_E_API, || unsafe { shared(error) }.map_or(CLERK_OK, |error| error.status))
}

/// What went wrong, in words for the person who runs the server; not for clients. Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_message(error: *const clerk_error) -> clerk_str {
    // SAFETY: the header's rules.
    guard(clerk_str::NONE, || unsafe { shared(error) }.map_or(clerk_str::NONE, |error| error.message.view()))
}

/// The name of the setting that is wrong; NULL data if none is. Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_setting(error: *const clerk_error) -> clerk_str {
    let view = |error: &clerk_error| error.setting.as_ref().map_or(clerk_str::NONE, Terminated::view);
    // SAFETY: the header's rules.
    guard(clerk_str::NONE, || unsafe { shared(error) }.map_or(clerk_str::NONE, view))
}

/// Clerk's name for the call that failed, for its support; NULL data if there is none. Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_trace_id(error: *const clerk_error) -> clerk_str {
    let view = |error: &clerk_error| error.trace_id.as_ref().map_or(clerk_str::NONE, Terminated::view);
    // SAFETY: the header's rules.
    guard(clerk_str::NONE, || unsafe { shared(error) }.map_or(clerk_str::NONE, view))
}

/// The HTTP status of Clerk's answer; 0 if there was none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_http_status(error: *const clerk_error) -> i32 {
    // SAFETY: the header's rules.
    guard(0, || unsafe { shared(error) }.map_or(0, |error| error.http_status))
}

/// The number that the host's own hook failed with, untouched; 0 if no hook failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_store_code(error: *const clerk_error) -> i32 {
    // SAFETY: the header's rules.
    guard(0, || unsafe { shared(error) }.map_or(0, |error| error.host_code))
}

/// How many milliseconds to wait before asking again; -1 if that is not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_retry_after_ms(error: *const clerk_error) -> i64 {
    // SAFETY: the header's rules.
    guard(-1, || unsafe { shared(error) }.map_or(-1, |error| error.retry_after_ms))
}

/// Frees an error. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_error_free(error: *mut clerk_error) {
    guard((), || {
        if !error.is_null() {
            // SAFETY: it was made by `give` and is freed once.
            drop(unsafe { Box::from_raw(error) });
        }
    });
}

impl From<&ConfigError> for clerk_error {
    fn from(error: &ConfigError) -> Self {
        Self::config(error)
    }
}
