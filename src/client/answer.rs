//! How an authentication ends.

use std::sync::Arc;

use crate::api::ApiError;
use crate::events::Source;
use crate::identity::Identity;
use crate::reason::{Category, Reason};

/// The four ways.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Somebody is calling whom Clerk vouches for.
    SignedIn {
        /// Who.
        identity: Arc<Identity>,
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
    Host {
        /// The host's own number.
        code: i32,
        /// The host's own words.
        message: String,
    },
}

/// An outcome, with what a host may want to know besides.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether Clerk's own front-end libraries would send this browser to Clerk and back to settle its session.
    pub handshake_recommended: bool,
    /// What stands behind it.
    pub cause: Option<Cause>,
}

impl Answer {
    pub(crate) fn new(outcome: Outcome) -> Self {
        Answer { outcome, handshake_recommended: false, cause: None }
    }

    /// The answer that belongs to a reason: its category tells which of the ways it is.
    pub(crate) fn refused(reason: Reason) -> Self {
        Answer::new(match reason.category() {
            Category::NoCredentials => Outcome::NoCredentials { reason },
            Category::InvalidToken | Category::Forbidden => Outcome::SignedOut { reason },
            Category::Misconfigured | Category::Unavailable => Outcome::Unavailable { reason, retry_after_ms: None },
        })
    }

    /// Who is calling, if somebody is.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        match &self.outcome {
            Outcome::SignedIn { identity, .. } => Some(identity),
            _ => None,
        }
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
