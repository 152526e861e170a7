//! The data of one attempt to authenticate, passed from step to step.

use std::time::Duration;

use super::invalidations::TokenKeys;
use crate::api::{ClerkUser, MachineToken};
use crate::clock::Now;
use crate::identity::Identity;
use crate::jwt::{Claim, Claims, Policy};
use crate::token::{TokenHash, TokenKind};
use crate::users::Row;

/// Which fetches of a user count for an attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    /// The user has to come from a fetch that began after this one.
    pub after: Option<u64>,
    /// A fetch that has ended after this one ended during the attempt, and counts as its own.
    pub last_ended: u64,
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
    /// How long the attempt may still wait for Clerk; `None`: it has not waited yet.
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
}

/// A verified token whose user is still to be resolved.
pub(super) struct VerifiedToken {
    pub kind: TokenKind,
    pub content: TokenContent,
    /// The key that made the signature of a JWT.
    pub key_id: Option<[u8; 32]>,
    pub keys: TokenKeys,
}

/// The content of a verified token.
pub(super) enum TokenContent {
    Jwt(Box<Claims>),
    Opaque {
        /// Clerk's response about it.
        token: MachineToken,
        /// The token itself, so that it can be verified again; `None` if the result comes from the cache.
        secret: Option<Box<str>>,
    },
}

impl VerifiedToken {
    pub fn subject(&self) -> &str {
        match &self.content {
            TokenContent::Jwt(claims) => claims.sub.as_deref().unwrap_or_default(),
            TokenContent::Opaque { token, .. } => &token.subject,
        }
    }

    /// Returns the id of the Clerk user, if the subject is a user.
    pub fn user_id(&self) -> Option<&str> {
        Some(self.subject()).filter(|subject| subject.starts_with("user_"))
    }

    pub fn session_id(&self) -> Option<&str> {
        self.claims().and_then(|claims| claims.sid.as_deref())
    }

    /// Returns `iat` in milliseconds since 1970; `None` if it is not known.
    pub fn issued_at_ms(&self) -> Option<i64> {
        self.claims().and_then(|claims| Claims::millis(&claims.iat).get().copied())
    }

    pub fn not_before_ms(&self, policy: &Policy) -> i64 {
        let claims = self.claims().into_iter().flat_map(|claims| [&claims.nbf, &claims.iat]);
        let times = claims.filter_map(|claim| match Claims::millis(claim) {
            Claim::Present(ms) => Some(ms.saturating_sub(policy.clock_skew_ms)),
            _ => None,
        });
        times.max().unwrap_or(i64::MIN)
    }

    /// Returns when the token expires; `i64::MAX` if it does not.
    pub fn expires_at_ms(&self, policy: &Policy) -> i64 {
        match &self.content {
            TokenContent::Jwt(claims) => policy.expires_at_ms(claims),
            TokenContent::Opaque { token, .. } => token.expires_at_ms.unwrap_or(i64::MAX),
        }
    }

    pub fn identity(&self, user: Option<&ClerkUser>, row: Option<&Row>) -> Identity {
        match &self.content {
            TokenContent::Jwt(claims) => Identity::of_claims(self.kind, claims, user, row),
            TokenContent::Opaque { token, .. } => Identity::of_machine_token(self.kind, token, user, row),
        }
    }

    fn claims(&self) -> Option<&Claims> {
        match &self.content {
            TokenContent::Jwt(claims) => Some(claims),
            TokenContent::Opaque { .. } => None,
        }
    }
}

/// Whether a token was issued before the browser's last sign-in or sign-out; only checked with `check_client_uat`.
pub(super) fn issued_before_client_uat(issued_at_s: Option<i64>, client_uat: Option<i64>) -> bool {
    client_uat.is_some_and(|uat| issued_at_s.is_some_and(|issued| issued < uat))
}
