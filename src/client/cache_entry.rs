//! What a result carries for the cache that contains it.

use std::sync::atomic::AtomicU32;

use super::invalidations::{Invalidations, Key, TokenKeys};
use super::row_task::RowCheck;
use crate::clock::Now;
use crate::token::TokenHash;

/// What the cache needs of a result that it contains. In the result itself, so that a hit reads one place in memory.
#[derive(Debug)]
#[repr(C)]
pub(super) struct CacheEntry {
    pub hash: TokenHash,
    /// The number of the last invalidation when the attempt began.
    pub begun: u64,
    /// When it expires, by the monotonic clock.
    pub expires_ms: i64,
    /// Before this moment of the wall clock the token is not valid.
    pub not_before_ms: i64,
    /// At this moment of the wall clock the token expires.
    pub expires_at_ms: i64,
    /// When the store last confirmed that the row exists and is active.
    pub row_check: RowCheck,
    /// When it was last used, by the monotonic clock, without the upper bits.
    pub used_ms: AtomicU32,
    /// Its place in the shard; changed under the shard's lock.
    pub slot: AtomicU32,
    /// Larger than those of older entries.
    pub ticket: u64,
    pub subject: Option<Key>,
    pub session: Option<Key>,
    pub organization: Option<Key>,
}

impl Default for CacheEntry {
    fn default() -> Self {
        CacheEntry {
            hash: TokenHash([0; 32]),
            begun: 0,
            expires_ms: 0,
            not_before_ms: 0,
            expires_at_ms: 0,
            row_check: RowCheck::new(i64::MIN),
            used_ms: AtomicU32::default(),
            slot: AtomicU32::default(),
            ticket: 0,
            subject: None,
            session: None,
            organization: None,
        }
    }
}

/// A copy is in no cache.
impl Clone for CacheEntry {
    fn clone(&self) -> Self {
        CacheEntry { hash: self.hash, ..CacheEntry::default() }
    }
}

impl CacheEntry {
    /// The keys of subject, session and organization.
    pub fn keys(&self) -> [Option<Key>; 3] {
        [self.subject, self.session, self.organization]
    }

    /// Returns what the result depends on.
    pub fn token_keys(&self, invalidations: &Invalidations) -> TokenKeys {
        let token = invalidations.token_key(&self.hash);
        let (session, organization) = (self.session, self.organization);
        TokenKeys { token, subject: self.subject.unwrap_or(token), session, organization }
    }

    /// Whether the token is within its own lifetime.
    pub fn is_current(&self, now: Now) -> bool {
        (self.not_before_ms..self.expires_at_ms).contains(&now.wall_ms)
    }
}
