//! Results of verified tokens, with an index by subject, session and organization: invalidating one of them costs as much
//! as it has cached tokens, and blocks no other user.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::auth_result::AuthResult;
use super::cache_entry::CacheEntry;
use super::invalidations::{Invalidations, Key, TokenKeys};
use super::result_shard::{Found, MAX_CAPACITY, Shard};
use super::row_task::RowCheck;
use crate::clock::Now;
use crate::fork_mutex::{ForkMutex, LOOKUP_TIMEOUT, REMOVE_TIMEOUT};
use crate::identity::{Attribute, Identity, SharedStrings};
use crate::token::TokenHash;

/// Maximum number of cached tokens of one subject, so that no subject can fill the cache.
const MAX_PER_SUBJECT: usize = 32;
const SHARDS: usize = 16;
/// How many results are removed before the lock of their shard is released for others.
const BATCH: usize = 64;

/// A verified token, ready to be cached.
pub(super) struct NewResult<'a> {
    pub identity: &'a Identity,
    pub hash: TokenHash,
    pub keys: TokenKeys,
    /// The number of the last invalidation when the attempt began.
    pub begun: u64,
    pub ttl_ms: i64,
    pub not_before_ms: i64,
    pub expires_at_ms: i64,
    pub key_id: Option<[u8; 32]>,
    pub row_verified_at_ms: i64,
}

impl AuthResult {
    /// Returns an attribute of a cached result.
    pub(super) fn get(&self, attribute: Attribute) -> Option<&str> {
        self.identity().and_then(|identity| identity.get(attribute))
    }

    /// Returns the id of the key that verified the signature of a cached result.
    pub(super) fn key_id(&self) -> Option<[u8; 32]> {
        self.shared_strings()?.key_id
    }

    fn shared_strings(&self) -> Option<&SharedStrings> {
        self.identity()?.shares().map(Arc::as_ref)
    }

    /// Whether the store's confirmation of a cached result's row is younger than `ttl_ms`. Results without a row need none.
    pub(super) fn is_row_fresh(&self, now: Now, ttl_ms: i64) -> bool {
        !self.identity().is_some_and(|identity| identity.has_attribute(Attribute::UserKey))
            || self.entry.row_check.is_fresh(now, ttl_ms)
    }
}

/// The outcome of [`ResultCache::insert`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Insertion {
    Stored,
    /// The lifetime is zero, or the shard's lock cannot be acquired in a forked child.
    NotCached,
    /// The attempt began before an invalidation: its result must not be returned either.
    Invalidated,
}

/// Aligned to a cache line of its own, so that cores do not contend for adjacent shards.
#[repr(align(128))]
struct Aligned(ForkMutex<Shard>);

/// The cache. All functions may be called by several threads at once. In a forked child, entries of a shard whose lock a thread of
/// the parent held are not found.
pub(super) struct ResultCache {
    shards: Box<[Aligned]>,
    /// At least the number of entries of each subject; several subjects share a counter.
    subjects: Box<[AtomicU32]>,
    /// Held while entries of a subject are counted exactly, so that no two threads remove one too many.
    counting: ForkMutex<()>,
    invalidations: Arc<Invalidations>,
    /// Counted under the lock of the shard that stores the entry.
    tickets: AtomicU64,
    /// Whether anything was ever stored.
    is_used: AtomicBool,
    /// Hits that were counted later than in [`Self::get`].
    late_hits: AtomicU64,
}

impl ResultCache {
    /// Below a capacity of 64 there is one shard and the order of eviction is exact; above, it is exact per shard.
    pub fn new(capacity: usize, invalidations: Arc<Invalidations>) -> Self {
        let shards = if capacity < 64 { 1 } else { SHARDS };
        let of_shard = capacity.div_ceil(shards).clamp(1, MAX_CAPACITY);
        let counters = (capacity / 4).clamp(64, 1 << 24).next_power_of_two();
        ResultCache {
            shards: (0..shards).map(|_| Aligned(ForkMutex::new(Shard::new(of_shard)))).collect(),
            subjects: (0..counters).map(|_| AtomicU32::new(0)).collect(),
            counting: ForkMutex::new(()),
            invalidations,
            tickets: AtomicU64::new(0),
            is_used: AtomicBool::new(false),
            late_hits: AtomicU64::new(0),
        }
    }

    fn shard(&self, hash: &TokenHash) -> &ForkMutex<Shard> {
        // The table inside uses the first bytes. The number of shards is a power of two.
        &self.shards[usize::from(hash.0[31]) & (self.shards.len() - 1)].0
    }

    fn counter(&self, subject: Key) -> &AtomicU32 {
        &self.subjects[subject.0.get() as usize & (self.subjects.len() - 1)]
    }

    /// Reads a result that has not expired. `read` runs under a lock; it adds to the counter if the request ends with the result.
    #[inline(always)]
    pub fn get<R>(&self, hash: &TokenHash, now: Now, read: impl FnOnce(&Arc<AuthResult>, &mut u64) -> R) -> Option<R> {
        if !self.is_used.load(Ordering::Acquire) {
            return None;
        }
        // Invalidations of single subjects remove their entries; those of everything also count here, for entries that
        // are being stored at the same time.
        let is_over = |entry: &CacheEntry| entry.begun < self.invalidations.last_of_all();
        let mut shard = self.shard(hash).lock(LOOKUP_TIMEOUT)?;
        match shard.get(hash, now.mono_ms, is_over, read) {
            Found::Hit(read) => Some(read),
            Found::Miss => None,
            Found::Removed(removed) => {
                drop(shard);
                self.count_removed(&removed);
                None
            }
        }
    }

    /// Stores a result until min(now + ttl, the token's end), unless something it depends on was invalidated since `begun`.
    pub fn insert(&self, new: NewResult<'_>, now: Now) -> Insertion {
        let left_ms = new.expires_at_ms.saturating_sub(now.wall_ms).min(new.ttl_ms);
        if left_ms <= 0 {
            return Insertion::NotCached;
        }
        // Before the result can be found.
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Release);
        }
        let Some(mut shard) = self.shard(&new.hash).lock(LOOKUP_TIMEOUT) else { return Insertion::NotCached };
        // Under the lock: an invalidation has been recorded before, or finds the result when it removes those from before.
        if self.invalidations.is_invalidated_since(new.begun, &new.keys) {
            return Insertion::Invalidated;
        }
        let TokenKeys { subject, session, organization, .. } = new.keys;
        let entry = CacheEntry {
            hash: new.hash,
            begun: new.begun,
            expires_ms: now.mono_ms.saturating_add(left_ms),
            not_before_ms: new.not_before_ms,
            expires_at_ms: new.expires_at_ms,
            row_check: RowCheck::new(new.row_verified_at_ms),
            used_ms: AtomicU32::new(now.mono_ms as u32),
            slot: AtomicU32::default(),
            ticket: self.tickets.fetch_add(1, Ordering::Relaxed),
            subject: Some(subject),
            session,
            organization,
        };
        let count = self.counter(subject).fetch_add(1, Ordering::Relaxed) + 1;
        let replaced = shard.insert(new.identity, new.key_id, entry);
        drop(shard);
        replaced.iter().for_each(|result| self.count_removed(result));
        if count as usize > MAX_PER_SUBJECT {
            self.limit(subject);
        }
        Insertion::Stored
    }

    /// Removes the oldest results of a subject that has too many.
    #[cold]
    fn limit(&self, subject: Key) {
        let Some(_counting) = self.counting.lock(LOOKUP_TIMEOUT) else { return };
        loop {
            let (mut total, mut oldest) = (0, None::<(u64, &Aligned)>);
            for shard in &self.shards {
                let counted = shard.0.lock(LOOKUP_TIMEOUT).and_then(|shard| shard.count(subject));
                let Some((count, ticket)) = counted else { continue };
                total += count;
                if oldest.is_none_or(|(other, _)| ticket < other) {
                    oldest = Some((ticket, shard));
                }
            }
            let Some((ticket, shard)) = oldest.filter(|_| total > MAX_PER_SUBJECT) else { return };
            let shard = shard.0.lock(REMOVE_TIMEOUT);
            let removed = shard.and_then(|mut shard| shard.remove_oldest(subject, |entry| entry.ticket == ticket));
            removed.iter().for_each(|result| self.count_removed(result));
        }
    }

    /// Removes the result of one token.
    pub fn remove(&self, hash: &TokenHash) {
        let removed = self.shard(hash).lock(REMOVE_TIMEOUT).and_then(|mut shard| shard.remove(hash));
        removed.iter().for_each(|result| self.count_removed(result));
    }

    /// Removes all results of a subject, a session or an organization that were stored before.
    pub fn remove_all_of(&self, key: Key) {
        for shard in &self.shards {
            // Those that are stored later, between two batches, began after the invalidation that this removal belongs to:
            // `insert` has looked for it under the same lock.
            let mut end = None;
            loop {
                // Locked across a fork, the shard cannot be read: invalidate everything.
                let Some(mut shard) = shard.0.lock(REMOVE_TIMEOUT) else { return self.invalidations.record_all() };
                let end = *end.get_or_insert_with(|| self.tickets.load(Ordering::Relaxed));
                let is_before = |entry: &CacheEntry| entry.ticket < end;
                let removed: Vec<_> = std::iter::from_fn(|| shard.remove_oldest(key, is_before)).take(BATCH).collect();
                drop(shard);
                removed.iter().for_each(|result| self.count_removed(result));
                if removed.len() < BATCH {
                    break;
                }
            }
        }
    }

    /// Removes the results that were verified with a key for which `is_present` returns false.
    pub fn retain_keys(&self, is_present: &dyn Fn(&[u8; 32]) -> bool) {
        self.retain(|result| result.key_id().is_none_or(|id| is_present(&id)));
    }

    /// Removes everything.
    pub fn clear(&self) {
        self.retain(|_| false);
    }

    fn retain(&self, is_fit: impl Fn(&AuthResult) -> bool) {
        for shard in &self.shards {
            let removed = shard.0.lock(REMOVE_TIMEOUT).map(|mut shard| shard.retain(&is_fit));
            removed.iter().flatten().for_each(|result| self.count_removed(result));
        }
    }

    pub fn len(&self) -> usize {
        self.shards.iter().filter_map(|shard| shard.0.lock(LOOKUP_TIMEOUT)).map(|shard| shard.len()).sum()
    }

    /// Counts a request that ended with the cached result. One that was found but then rejected is none.
    pub fn count_hit(&self) {
        self.late_hits.fetch_add(1, Ordering::Relaxed);
    }

    pub fn hits(&self) -> u64 {
        let counted = self.shards.iter().filter_map(|shard| shard.0.lock(LOOKUP_TIMEOUT)).map(|shard| shard.hits);
        counted.sum::<u64>() + self.late_hits.load(Ordering::Relaxed)
    }

    /// To be called once for each result that was removed, without a lock.
    fn count_removed(&self, result: &AuthResult) {
        if let Some(subject) = result.entry.subject {
            self.counter(subject).fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
