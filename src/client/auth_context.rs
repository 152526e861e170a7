//! The data of one attempt to authenticate, passed from step to step.

use super::invalidations::TokenKeys;
use crate::clock::Now;
use crate::jwt::Claims;
use crate::token::{TokenHash, TokenKind};

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
}

impl AuthContext {
    pub fn new(hash: TokenHash, now: Now, begun: u64) -> Self {
        AuthContext { hash, now, begun, restarts: 0, is_miss_recorded: false, client_uat: None, is_document: false }
    }
}

/// A verified JWT whose user is still to be resolved.
pub(super) struct VerifiedToken {
    pub kind: TokenKind,
    pub claims: Claims,
    /// The key that verified the signature.
    pub key_id: Option<[u8; 32]>,
    pub keys: TokenKeys,
}

/// Whether a token was issued before the browser's last sign-in or sign-out; only checked with `check_client_uat`.
pub(super) fn issued_before_client_uat(issued_at_s: Option<i64>, client_uat: Option<i64>) -> bool {
    client_uat.is_some_and(|uat| issued_at_s.unwrap_or(0) < uat)
}
