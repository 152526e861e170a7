//! The source of verification keys: the configuration, or the instance's JWK set, fetched and cached.

mod jwks;
mod parse;
mod rejections;
mod store;

pub use jwks::KeySet;
pub use parse::parse;
pub use store::{JwksFetcher, JwksStore, KeyLookupError};

use std::sync::Arc;

use crate::jwt::{KnownKeys, VerifyingKey};
use crate::reason::Reason;

/// The keys that may have signed a token.
pub type Keys = Arc<[VerifyingKey]>;

/// The source of verification keys.
pub enum KeySource {
    /// Configured keys; the token's key id is ignored.
    Pinned(Keys),
    /// The instance's JWK set.
    Jwks(Box<JwksStore>),
    /// None.
    Missing,
}

impl KeySource {
    /// Returns the keys for a key id.
    pub fn keys_for(&self, kid: Option<&str>, now_ms: i64, fetcher: &JwksFetcher<'_>) -> Result<Keys, KeyLookupError> {
        match self {
            KeySource::Pinned(keys) => Ok(keys.clone()),
            KeySource::Missing => Err(KeyLookupError::Refused(Reason::JwkFailedToResolve)),
            KeySource::Jwks(store) => match kid {
                Some(kid) => store.keys_for(kid, now_ms, fetcher),
                None => Err(KeyLookupError::Refused(Reason::JwkKidMismatch)),
            },
        }
    }

    /// Returns the reason if there is certainly no key for a key id: what [`Self::keys_for`] would return, without a fetch.
    pub fn refusal(&self, kid: Option<&str>, now_ms: i64) -> Option<Reason> {
        match (self, kid) {
            (KeySource::Pinned(_), _) => None,
            (KeySource::Missing, _) => Some(Reason::JwkFailedToResolve),
            (KeySource::Jwks(store), Some(kid)) => store.is_unknown(kid, now_ms).then_some(Reason::JwkKidMismatch),
            (KeySource::Jwks(_), None) => Some(Reason::JwkKidMismatch),
        }
    }

    /// Whether there is a JWK set to be fetched, and none was fetched yet.
    pub fn is_empty(&self) -> bool {
        matches!(self, KeySource::Jwks(store) if store.age_ms(0).is_none())
    }

    /// Returns what is known of the keys for a key id, without a fetch.
    pub fn known(&self, kid: Option<&str>) -> KnownKeys<Keys> {
        match self {
            KeySource::Pinned(keys) => KnownKeys::Pinned(keys.clone()),
            KeySource::Missing => KnownKeys::Missing,
            KeySource::Jwks(store) => store.known(kid),
        }
    }

    /// Records that a token was verified by the key with this id.
    pub fn confirm(&self, id: &[u8; 32], now_ms: i64) {
        if let KeySource::Jwks(store) = self {
            store.confirm(id, now_ms);
        }
    }

    /// Returns whether the key with this id is still in the source.
    pub fn contains(&self, id: &[u8; 32]) -> bool {
        match self {
            KeySource::Jwks(store) => store.contains(id),
            KeySource::Pinned(keys) => keys.iter().any(|key| key.id() == id),
            KeySource::Missing => false,
        }
    }

    /// Returns other keys for the same key id after none of `tried` verified the signature of the signed input with this hash: Clerk
    /// may have rotated the key.
    pub fn keys_after_rotation(
        &self,
        kid: Option<&str>,
        signing_hash: &[u8; 32],
        tried: &Keys,
        now_ms: i64,
        fetcher: &JwksFetcher<'_>,
    ) -> Result<Keys, KeyLookupError> {
        match (self, kid) {
            (KeySource::Jwks(store), Some(kid)) => store.keys_after_rotation(kid, signing_hash, tried, now_ms, fetcher),
            _ => Err(KeyLookupError::Refused(Reason::TokenInvalidSignature)),
        }
    }
}
