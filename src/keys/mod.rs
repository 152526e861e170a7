//! Where a verification key comes from: configured text, or the instance's JWK set, fetched and kept.

mod jwks;
mod parse;
mod store;

pub use jwks::{KeySet, MOST_KEYS};
pub use parse::{KeyParseError, parse};
pub use store::{Fetch, JwksStore, Miss};

use std::sync::Arc;

use crate::jwt::VerifyingKey;
use crate::reason::Reason;

/// The keys that a token may be signed by.
pub type Keys = Arc<[VerifyingKey]>;

/// Where they come from.
pub enum KeySource {
    /// Configured: the token's key id plays no part.
    Pinned(Keys),
    /// The instance's JWK set.
    Jwks(JwksStore),
    /// Nowhere.
    Missing,
}

impl KeySource {
    /// The keys for a key id. Without `fetch` it answers from memory or says [`Miss::WouldBlock`].
    pub fn keys_for(&self, kid: Option<&str>, now_ms: i64, fetch: Option<&Fetch<'_>>) -> Result<Keys, Miss> {
        match self {
            KeySource::Pinned(keys) => Ok(keys.clone()),
            KeySource::Missing => Err(Miss::Refused(Reason::JwkFailedToResolve)),
            KeySource::Jwks(store) => match kid {
                Some(kid) => store.keys_for(kid, now_ms, fetch),
                None => Err(Miss::Refused(Reason::JwkKidMismatch)),
            },
        }
    }

    /// Whether the key with this id is still one of them.
    pub fn holds(&self, id: &[u8; 32]) -> bool {
        match self {
            KeySource::Jwks(store) => store.holds(id),
            KeySource::Pinned(keys) => keys.iter().any(|key| key.id() == id),
            KeySource::Missing => false,
        }
    }

    /// Other keys for the same key id, after a signature did not hold: Clerk may have rotated the key under its id.
    pub fn rotated(
        &self,
        kid: Option<&str>,
        tried: &Keys,
        now_ms: i64,
        fetch: Option<&Fetch<'_>>,
    ) -> Result<Keys, Miss> {
        match (self, kid) {
            (KeySource::Jwks(store), Some(kid)) => store.rotated(kid, tried, now_ms, fetch),
            _ => Err(Miss::Refused(Reason::TokenInvalidSignature)),
        }
    }
}
