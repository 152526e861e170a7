//! Why a statement was not executed, in terms that all engines have in common.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{fmt, io};

use crate::api::{TransportError, of_rustls};
use crate::users::StoreError;

/// The length of the longest message in bytes: what a server sends may be logged.
const MAX_MESSAGE: usize = 1024;

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// A unique column already has the value.
    Conflict,
    /// The server has rolled the statement back because of another transaction, or cannot execute it yet.
    Repeatable,
    /// The connection cannot be used any more. Whether the server executed the statement is not known.
    Lost,
    /// The deadline passed. Whether the server executed, or will execute, the statement is not known.
    TimedOut,
    /// The server is a replica, or has become one.
    ReadOnly,
    /// Any other error of the server; the statement was not executed.
    Other,
}

/// A failure; its message contains no value of a statement and no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// The error code of the engine; -1 if the failure is not the engine's.
    pub code: i32,
    pub message: String,
}

impl Failure {
    pub fn new(kind: FailureKind, code: i32, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate((0..=MAX_MESSAGE).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0));
        Failure { kind, code, message }
    }

    pub fn other(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Other, -1, message)
    }

    pub fn timed_out() -> Self {
        Failure::new(FailureKind::TimedOut, -1, "the database did not answer in time")
    }

    /// The failure of a server that sends without end.
    pub fn excess() -> Self {
        Failure::new(FailureKind::Lost, -1, "the server sent more than it may for one statement")
    }

    pub fn of_io(error: &io::Error) -> Self {
        // Failures of the channel and errors of TLS are inside.
        let inner = error.get_ref();
        if let Some(failure) = inner.and_then(|inner| inner.downcast_ref::<Failure>()) {
            return failure.clone();
        }
        Failure::of_transport(match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => of_rustls(error),
            None => TransportError::of_io(error),
        })
    }

    pub fn of_transport(error: TransportError) -> Self {
        match error {
            TransportError::Timeout => Failure::timed_out(),
            error => Failure::new(FailureKind::Lost, -1, error.to_string()),
        }
    }

    /// Whether the connection can be used after this failure.
    pub fn is_harmless(&self) -> bool {
        matches!(self.kind, FailureKind::Conflict | FailureKind::Repeatable | FailureKind::Other)
    }
}

/// Uses a connection, which is dropped after a panic: what a server sends must not end a request by one of the driver.
pub fn guarded<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let panicked = || Failure::new(FailureKind::Lost, -1, "the server sent what the driver cannot read");
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(panicked()))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::of_io(&error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Conflict => StoreError::Conflict,
            _ => StoreError::failed(failure.code, failure.message),
        }
    }
}
