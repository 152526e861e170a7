//! The data of one attempt to authenticate, passed from step to step.

use std::time::Duration;

use super::invalidations::TokenKeys;
use crate::clock::{Io, Now};
use crate::identity::{Attribute, Identity};
use crate::token::{TokenHash, TokenKind};

/// Which fetches of a user count for an attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    /// The user has to come from a fetch that began after this one.
    pub after: Option<u64>,
    /// A fetch that has ended after this one ended during the attempt, and counts as its own.
    pub last_ended: u64,
    /// Whether this process knows that the user is banned: no snapshot of another process ends that.
    pub is_banned: bool,
}

/// One request with a credential.
#[derive(Clone, Copy)]
pub(super) struct AuthContext {
    pub hash: TokenHash,
    pub now: Now,
    /// The number of the last invalidation when this attempt, or a shared fetch it used, began.
    pub begun: u64,
    /// How often the attempt started again because of an invalidation.
    pub restarts: u32,
    pub is_miss_recorded: bool,
    pub client_uat: Option<i64>,
    pub is_document: bool,
    /// Which fetches of the user count.
    pub demand: Demand,
    /// How much more the clocks may differ than the settings allow: in development, for a token that Clerk has just issued.
    pub leeway_ms: i64,
    /// How long the attempt may still wait for Clerk and the user store; `None`: it has not waited yet.
    pub clerk_time_left: Option<Duration>,
}

impl AuthContext {
    pub fn new(hash: TokenHash, now: Now, begun: u64) -> Self {
        AuthContext {
            hash,
            now,
            begun,
            restarts: 0,
            is_miss_recorded: false,
            client_uat: None,
            is_document: false,
            demand: Demand::default(),
            leeway_ms: 0,
            clerk_time_left: None,
        }
    }

    /// Takes over what is left of the call's time. Without waiting, the attempt keeps what it has.
    pub fn set_time_left(&mut self, io: Io) {
        if let Io::Blocking(deadline) = io {
            self.clerk_time_left = Some(deadline.remaining());
        }
    }
}

/// A verified token whose user is still to be resolved.
pub(super) struct VerifiedToken {
    /// What the token says.
    pub identity: Identity,
    /// The key that made the signature of a JWT; `None` for an opaque token, which Clerk verified.
    pub key_id: Option<[u8; 32]>,
    /// An opaque token itself, so that Clerk can be asked again; `None` if the result comes from the cache.
    pub secret: Option<Box<str>>,
    pub keys: TokenKeys,
    /// From when on the token is valid, clock skew included.
    pub not_before_ms: i64,
    /// When it expires, clock skew included; `i64::MAX` if it does not.
    pub expires_at_ms: i64,
}

impl VerifiedToken {
    pub fn kind(&self) -> TokenKind {
        self.identity.kind()
    }

    pub fn is_opaque(&self) -> bool {
        self.key_id.is_none()
    }

    /// Returns the id of the Clerk user, if the subject is a user.
    pub fn user_id(&self) -> Option<&str> {
        self.identity.user_id()
    }

    pub fn session_id(&self) -> Option<&str> {
        self.identity.get(Attribute::SessionId)
    }

    /// Returns `iat` in milliseconds since 1970; `None` if it is not known.
    pub fn issued_at_ms(&self) -> Option<i64> {
        self.identity.issued_at_s().map(|seconds| seconds.saturating_mul(1000))
    }
}

/// Whether a token was issued before the browser's last sign-in or sign-out; only checked with `check_client_uat`.
pub(super) fn issued_before_client_uat(issued_at_s: Option<i64>, client_uat: Option<i64>) -> bool {
    client_uat.is_some_and(|uat| issued_at_s.is_some_and(|issued| issued < uat))
}
