//! How an authentication ends.

use crate::api::{ApiError, ErrorKind};
use crate::events::Source;
use crate::identity::Identity;
use crate::reason::{Category, Reason};

/// The four ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody is calling whom Clerk vouches for.
    SignedIn {
        /// Where the answer came from.
        source: Source,
    },
    /// Something was presented, and it is no good.
    SignedOut {
        /// Why.
        reason: Reason,
    },
    /// Nothing was presented; the host may go on with a session of its own.
    NoCredentials {
        /// Which kind of nothing.
        reason: Reason,
    },
    /// Nobody can tell right now. Never to be taken for "signed out".
    Unavailable {
        /// Why.
        reason: Reason,
        /// How long to wait before asking again, if that is known.
        retry_after_ms: Option<u64>,
    },
}

/// What stands behind an answer that is not "signed in", for the host's own eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A call to Clerk failed.
    Api(ApiError),
    /// The host's store failed, in its own words.
    UserStore {
        /// The host's own number.
        code: i32,
        /// The host's own words.
        message: String,
    },
}

/// An outcome, with what a host may want to know besides. Shared: a cached answer is handed out as it is.
#[derive(Clone, Debug)]
pub struct AuthResult {
    /// How it ended.
    pub outcome: Outcome,
    /// Who is calling; there exactly when the outcome is `SignedIn`.
    identity: Option<Identity>,
    /// Whether Clerk's own front-end libraries would send this browser to Clerk and back to settle its session.
    pub handshake_recommended: bool,
    /// What stands behind it.
    pub cause: Option<Box<Cause>>,
}

impl AuthResult {
    fn new(outcome: Outcome) -> Self {
        AuthResult { outcome, identity: None, handshake_recommended: false, cause: None }
    }

    pub(crate) fn signed_in(identity: Identity, source: Source) -> Self {
        AuthResult { identity: Some(identity), ..AuthResult::new(Outcome::SignedIn { source }) }
    }

    /// Who is calling, if somebody is.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Why nobody is signed in.
    pub fn reason(&self) -> Option<Reason> {
        match self.outcome {
            Outcome::SignedIn { .. } => None,
            Outcome::SignedOut { reason } | Outcome::NoCredentials { reason } | Outcome::Unavailable { reason, .. } => {
                Some(reason)
            }
        }
    }
}

/// Why nobody is signed in, on its way to becoming an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthError {
    /// Why.
    pub reason: Reason,
    /// How long to wait before asking again, if that is known.
    pub retry_after_ms: Option<u64>,
    /// What stands behind it.
    pub cause: Option<Box<Cause>>,
}

impl AuthError {
    /// When Clerk could not be asked.
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
    /// The reason's category tells which of the ways it is.
    fn from(refusal: AuthError) -> Self {
        let AuthError { reason, retry_after_ms, cause } = refusal;
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
