//! Tokens that a call without I/O has verified and could not finish: the call that may block does not verify them again.

use super::auth_context::{AuthContext, VerifiedToken};
use crate::cache::{Cache, PrehashedState};
use crate::clock::Now;
use crate::keys::KeySource;
use crate::token::TokenHash;

const CAPACITY: usize = 1024;
/// The second call follows at once, or after it has waited for a thread.
const TTL_MS: i64 = 5000;

/// The tokens, by hash. Only their signature and their claims count as verified: user, session and row are checked as usual.
pub(super) struct VerifiedTokens(Cache<TokenHash, Box<VerifiedToken>, PrehashedState>);

impl Default for VerifiedTokens {
    fn default() -> Self {
        VerifiedTokens(Cache::new(CAPACITY, PrehashedState))
    }
}

impl VerifiedTokens {
    /// Stores a JWT that `context`'s attempt has verified. Opaque tokens are not stored.
    pub fn put(&self, context: &AuthContext, token: Box<VerifiedToken>) {
        if !token.is_opaque() {
            self.0.put(context.hash, token, context.now.mono_ms.saturating_add(TTL_MS), context.now.mono_ms);
        }
    }

    /// Removes and returns a token that is still valid: within its lifetime, and its key still in use.
    pub fn take(&self, hash: &TokenHash, now: Now, keys: &KeySource) -> Option<Box<VerifiedToken>> {
        self.0.take(hash, now.mono_ms).filter(|token| {
            (token.not_before_ms..token.expires_at_ms).contains(&now.wall_ms)
                && token.key_id.is_some_and(|id| keys.contains(&id))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::invalidations::Invalidations;
    use super::*;
    use crate::identity::Identity;
    use crate::jwt::{Claims, VerifyingKey};
    use crate::token::TokenKind;

    fn at(ms: i64) -> Now {
        Now { wall_ms: ms, mono_ms: ms }
    }

    #[test]
    fn verified_token_is_returned_once_and_only_while_it_is_valid() {
        let key = VerifyingKey::from_components(&[0xff; 256], &[3]).unwrap();
        let (id, keys) = (*key.id(), KeySource::Pinned([key].into()));
        let claims = Claims::parse(TokenKind::SessionToken, br#"{"sub":"user_1"}"#).unwrap();
        let hash = TokenHash::of(b"token");
        let verified = VerifiedTokens::default();
        let put = |key_id: Option<[u8; 32]>| {
            let token = VerifiedToken {
                identity: Identity::of_claims(TokenKind::SessionToken, &claims),
                key_id,
                secret: None,
                keys: Invalidations::default().token_keys(&hash, "user_1", None, None),
                not_before_ms: 0,
                expires_at_ms: 3000,
            };
            verified.put(&AuthContext::new(hash, at(1000), 0), token.into());
        };
        let take = |ms: i64, keys: &KeySource| verified.take(&hash, at(ms), keys).is_some();
        put(Some(id));
        assert_eq!([take(2999, &keys), take(2999, &keys)], [true, false]);
        for (key_id, ms, keys) in [
            (Some(id), 3000, &keys),
            (Some(id), -1, &keys),
            (Some(id), 2000, &KeySource::Missing),
            (Some([0; 32]), 2000, &keys),
            (None, 2000, &keys),
        ] {
            put(key_id);
            assert!(!take(ms, keys));
        }
        put(Some(id));
        assert!(verified.take(&hash, Now { wall_ms: 2000, mono_ms: 1000 + TTL_MS }, &keys).is_none());
    }
}
