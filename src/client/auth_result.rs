//! Results and errors of an authentication.

use crate::api::{ApiError, ErrorKind};
use crate::events::Source;
use crate::identity::Identity;
use crate::reason::{Category, Reason};

/// The four outcomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request has a valid token.
    SignedIn {
        /// Whether the token was verified by this call or earlier.
        source: Source,
    },
    /// The request has a credential that is rejected.
    SignedOut {
        /// The reason.
        reason: Reason,
    },
    /// The request has no credential; the application may use a session of its own.
    NoCredentials {
        /// What is missing.
        reason: Reason,
    },
    /// The result cannot be determined; retry. Never to be treated as signed out.
    Unavailable {
        /// The reason.
        reason: Reason,
        /// Milliseconds to wait before the next try, if known.
        retry_after_ms: Option<u64>,
    },
}

/// The underlying error of a result, for the application's log. Never to be sent to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A call to Clerk failed.
    Api(ApiError),
    /// The application's user store failed.
    UserStore {
        /// The application's error code.
        code: i32,
        /// The application's error message.
        message: String,
    },
}

/// The result of an authentication. Immutable and shared: a cache hit returns the cached result itself.
#[derive(Clone, Debug)]
pub struct AuthResult {
    /// The outcome.
    pub outcome: Outcome,
    /// Present exactly when the outcome is `SignedIn`.
    identity: Option<Identity>,
    /// Whether a redirect to Clerk (a handshake) may recover the browser's session.
    pub handshake_recommended: bool,
    /// The underlying error, if there is one.
    pub cause: Option<Box<Cause>>,
}

impl AuthResult {
    fn new(outcome: Outcome) -> Self {
        AuthResult { outcome, identity: None, handshake_recommended: false, cause: None }
    }

    pub(crate) fn signed_in(identity: Identity, source: Source) -> Self {
        AuthResult { identity: Some(identity), ..AuthResult::new(Outcome::SignedIn { source }) }
    }

    /// Returns the caller's identity if the outcome is `SignedIn`.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Returns why the request is not signed in; `None` if it is.
    pub fn reason(&self) -> Option<Reason> {
        match self.outcome {
            Outcome::SignedIn { .. } => None,
            Outcome::SignedOut { reason } | Outcome::NoCredentials { reason } | Outcome::Unavailable { reason, .. } => {
                Some(reason)
            }
        }
    }
}

/// Why a request is not signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthError {
    /// The reason.
    pub reason: Reason,
    /// Milliseconds to wait before the next try, if known.
    pub retry_after_ms: Option<u64>,
    /// The underlying error, if there is one.
    pub cause: Option<Box<Cause>>,
}

impl AuthError {
    /// Returns the error for a failed call to Clerk.
    pub(super) fn unavailable(error: ApiError) -> AuthError {
        let reason = match error.kind {
            ErrorKind::Unauthorized | ErrorKind::Forbidden => Reason::SecretKeyInvalid,
            _ => Reason::ServerError,
        };
        AuthError { reason, retry_after_ms: error.retry_after_ms, cause: Some(Box::new(Cause::Api(error))) }
    }
}

impl From<Reason> for AuthError {
    fn from(reason: Reason) -> Self {
        AuthError { reason, retry_after_ms: None, cause: None }
    }
}

impl From<AuthError> for AuthResult {
    /// The category of the reason decides the outcome.
    fn from(error: AuthError) -> Self {
        let AuthError { reason, retry_after_ms, cause } = error;
        let outcome = match reason.category() {
            Category::NoCredentials => Outcome::NoCredentials { reason },
            Category::InvalidToken | Category::Forbidden => Outcome::SignedOut { reason },
            Category::Misconfigured | Category::Unavailable => Outcome::Unavailable { reason, retry_after_ms },
        };
        AuthResult { cause, ..AuthResult::new(outcome) }
    }
}

impl From<Reason> for AuthResult {
    fn from(reason: Reason) -> Self {
        AuthError::from(reason).into()
    }
}

/// Why a step of an authentication ended without a value.
#[derive(Debug)]
pub(super) enum VerifyError {
    /// A request to Clerk is needed, and the caller may not block.
    WouldBlock,
    /// The token is rejected, or cannot be verified now.
    Refused(AuthError),
}

impl From<Reason> for VerifyError {
    fn from(reason: Reason) -> Self {
        VerifyError::Refused(reason.into())
    }
}
