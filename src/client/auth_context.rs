//! What an authentication carries from step to step.

use crate::clock::Now;
use crate::jwt::Claims;
use crate::token::{TokenHash, TokenKind};

/// The token, and when and how it came.
pub(super) struct AuthContext {
    pub hash: TokenHash,
    pub now: Now,
    pub epoch: u64,
    pub client_uat: Option<i64>,
    pub is_document: bool,
}

/// A token that holds, whose user is still to be looked at.
pub(super) struct VerifiedAuth {
    pub attempt: AuthContext,
    pub kind: TokenKind,
    pub claims: Claims,
    pub key_id: Option<[u8; 32]>,
}

/// Under the strict cookie policy a token from before the browser's last sign-in or sign-out is not let in.
pub(super) fn is_older_than_browser(issued_at_s: Option<i64>, client_uat: Option<i64>) -> bool {
    client_uat.is_some_and(|uat| issued_at_s.unwrap_or(0) < uat)
}
