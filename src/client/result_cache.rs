//! Results of verified tokens, with an index by subject, session and organization: invalidating one of them costs as much
//! as it has cached tokens, and blocks no other user.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use smallvec::SmallVec;

use super::auth_result::AuthResult;
use super::invalidations::{Invalidations, Key, TokenKeys};
use super::row_task::RowCheck;
use crate::cache::{Cache, Lookup, PrehashedState};
use crate::clock::Now;
use crate::events::Source;
use crate::fork_mutex::{ForkMutex, LOOKUP_TIMEOUT, REMOVE_TIMEOUT};
use crate::identity::{Attribute, Identity};
use crate::token::TokenHash;

/// Maximum number of cached tokens of one subject, so that no subject can fill the cache.
const MAX_PER_SUBJECT: usize = 32;
const INDEX_SHARDS: usize = 16;

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

/// A cached result.
pub(super) struct CachedAuth {
    /// What a hit returns.
    pub result: Arc<AuthResult>,
    pub hash: TokenHash,
    pub keys: TokenKeys,
    /// Before this moment of the wall clock the token is not valid.
    pub not_before_ms: i64,
    /// At this moment of the wall clock the token expires.
    pub expires_at_ms: i64,
    /// The key that verified the signature.
    pub key_id: Option<[u8; 32]>,
    /// When the store last confirmed that the row exists and is active.
    pub row_check: RowCheck,
    begun: u64,
    ticket: u64,
    /// Its positions in the index, by scope.
    positions: [AtomicU32; SCOPES],
}

impl CachedAuth {
    pub fn get(&self, attribute: Attribute) -> Option<&str> {
        self.result.identity().and_then(|identity| identity.get(attribute))
    }

    /// Whether the token is within its own lifetime.
    pub fn is_current(&self, now: Now) -> bool {
        (self.not_before_ms..self.expires_at_ms).contains(&now.wall_ms)
    }

    /// Whether the store's confirmation is younger than `ttl_ms`. Results without a row need none.
    pub fn is_row_fresh(&self, now: Now, ttl_ms: i64) -> bool {
        self.get(Attribute::UserKey).is_none() || self.row_check.is_fresh(now, ttl_ms)
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

/// The cache. All functions may be called by several threads at once.
pub(super) struct ResultCache {
    entries: Cache<TokenHash, Arc<CachedAuth>, PrehashedState>,
    index: Index,
    invalidations: Arc<Invalidations>,
    tickets: AtomicU64,
    /// Hits that were counted later than in [`Self::get`].
    late_hits: AtomicU64,
}

impl ResultCache {
    pub fn new(capacity: usize, invalidations: Arc<Invalidations>) -> Self {
        let entries = Cache::new(capacity, PrehashedState);
        ResultCache {
            entries,
            index: Index::default(),
            invalidations,
            tickets: AtomicU64::new(0),
            late_hits: AtomicU64::new(0),
        }
    }

    /// Reads a result that has not expired. `read` runs under a lock; it adds to the counter if the request ends with the result.
    pub fn get<R>(&self, hash: &TokenHash, now: Now, read: impl FnOnce(&Arc<CachedAuth>, &mut u64) -> R) -> Option<R> {
        // Invalidations of single subjects remove their entries; those of everything also count here, for entries that
        // are being stored at the same time.
        let is_valid = |entry: &Arc<CachedAuth>| entry.begun >= self.invalidations.last_of_all();
        match self.entries.lookup(hash, now.mono_ms, is_valid, read) {
            Lookup::Hit(read) => Some(read),
            Lookup::Miss => None,
            Lookup::Removed(entry) => {
                self.index.remove(&entry);
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
        let entry = Arc::new(CachedAuth {
            result: AuthResult::signed_in(new.identity.clone(), Source::Cache).with_token_hash(&new.hash).into(),
            hash: new.hash,
            keys: new.keys,
            not_before_ms: new.not_before_ms,
            expires_at_ms: new.expires_at_ms,
            key_id: new.key_id,
            row_check: RowCheck::new(new.row_verified_at_ms),
            begun: new.begun,
            ticket: self.tickets.fetch_add(1, Ordering::Relaxed),
            positions: Default::default(),
        });
        // In the index first: an invalidation either finds it there, or has been recorded before the check below.
        if !self.index.add(&entry) {
            return Insertion::NotCached;
        }
        let mut is_invalidated = false;
        let is_allowed = |_: Option<&Arc<CachedAuth>>| {
            is_invalidated = self.invalidations.is_invalidated_since(new.begun, &new.keys);
            !is_invalidated
        };
        let expires_ms = now.mono_ms.saturating_add(left_ms);
        match self.entries.put_if(new.hash, entry.clone(), expires_ms, now.mono_ms, is_allowed) {
            Ok(displaced) => {
                displaced.into_iter().for_each(|entry| self.index.remove(&entry));
                // Another thread may have removed it from the index before it was stored: then nothing would find it.
                if !self.index.contains(&entry) {
                    self.remove_entry(&entry);
                }
                while let Some(oldest) = self.index.oldest_over_limit(new.keys.subject) {
                    self.remove_entry(&oldest);
                }
                Insertion::Stored
            }
            Err(entry) => {
                self.index.remove(&entry);
                if is_invalidated { Insertion::Invalidated } else { Insertion::NotCached }
            }
        }
    }

    /// Removes the result of one token.
    pub fn remove(&self, hash: &TokenHash) {
        if let Some(entry) = self.entries.remove(hash) {
            self.index.remove(&entry);
        }
    }

    /// Removes all results of a subject, a session or an organization.
    pub fn remove_all_of(&self, key: Key) {
        match self.index.take(key) {
            Some(entries) => entries.iter().for_each(|entry| self.remove_entry(entry)),
            // Locked across a fork, the index cannot be read: invalidate everything.
            None => self.invalidations.record_all(),
        }
    }

    /// Removes the results that were verified with a key for which `is_present` returns false.
    pub fn retain_keys(&self, is_present: &dyn Fn(&[u8; 32]) -> bool) {
        let removed = self.entries.retain(|entry| entry.key_id.is_none_or(|id| is_present(&id)));
        removed.iter().for_each(|entry| self.index.remove(entry));
    }

    /// Removes everything.
    pub fn clear(&self) {
        let removed = self.entries.retain(|_| false);
        removed.iter().for_each(|entry| self.index.remove(entry));
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Counts a request that ended with the cached result. One that was found but then rejected is none.
    pub fn count_hit(&self) {
        self.late_hits.fetch_add(1, Ordering::Relaxed);
    }

    pub fn hits(&self) -> u64 {
        self.late_hits.load(Ordering::Relaxed) + self.entries.tally()
    }

    /// From the index first: see `insert`.
    fn remove_entry(&self, entry: &Arc<CachedAuth>) {
        self.index.remove(entry);
        self.entries.remove_if(&entry.hash, |current| Arc::ptr_eq(current, entry));
    }
}

const SCOPES: usize = 3;

type Shard = HashMap<Key, SmallVec<[Arc<CachedAuth>; 1]>, PrehashedState>;

/// The entries of each subject, session and organization. An entry stores its positions, so that removing it takes the same
/// time however many others there are. Each position is read and written under the lock of its key's shard.
struct Index {
    shards: [ForkMutex<Shard>; INDEX_SHARDS],
}

impl Default for Index {
    fn default() -> Self {
        Index { shards: std::array::from_fn(|_| ForkMutex::new(Shard::default())) }
    }
}

fn index_keys(entry: &CachedAuth) -> [Option<Key>; SCOPES] {
    [Some(entry.keys.subject), entry.keys.session, entry.keys.organization]
}

impl Index {
    fn shard(&self, key: Key) -> &ForkMutex<Shard> {
        &self.shards[(key.0 >> 40) as usize % INDEX_SHARDS]
    }

    /// Adds an entry. Returns false, and adds nothing, if a lock cannot be acquired in a forked child.
    fn add(&self, entry: &Arc<CachedAuth>) -> bool {
        for (scope, key) in index_keys(entry).into_iter().enumerate() {
            let Some(key) = key else { continue };
            let Some(mut shard) = self.shard(key).lock(LOOKUP_TIMEOUT) else {
                self.remove(entry);
                return false;
            };
            let list = shard.entry(key).or_default();
            entry.positions[scope].store(list.len() as u32, Ordering::Relaxed);
            list.push(entry.clone());
        }
        true
    }

    /// Removes an entry wherever it still is.
    fn remove(&self, entry: &Arc<CachedAuth>) {
        for (scope, key) in index_keys(entry).into_iter().enumerate() {
            let Some(key) = key else { continue };
            let Some(mut shard) = self.shard(key).lock(REMOVE_TIMEOUT) else { continue };
            let Some(list) = shard.get_mut(&key) else { continue };
            let position = entry.positions[scope].load(Ordering::Relaxed) as usize;
            if list.get(position).is_some_and(|found| Arc::ptr_eq(found, entry)) {
                list.swap_remove(position);
                if let Some(moved) = list.get(position) {
                    moved.positions[scope].store(position as u32, Ordering::Relaxed);
                }
                if list.is_empty() {
                    shard.remove(&key);
                }
            }
        }
    }

    /// Whether an entry is found under each of its keys.
    fn contains(&self, entry: &Arc<CachedAuth>) -> bool {
        index_keys(entry).into_iter().enumerate().all(|(scope, key)| {
            let Some(key) = key else { return true };
            let shard = self.shard(key).lock(LOOKUP_TIMEOUT);
            let position = entry.positions[scope].load(Ordering::Relaxed) as usize;
            let list = shard.as_ref().and_then(|shard| shard.get(&key));
            list.and_then(|list| list.get(position)).is_some_and(|found| Arc::ptr_eq(found, entry))
        })
    }

    /// Removes and returns all entries under a key; `None` if the lock cannot be acquired in a forked child.
    fn take(&self, key: Key) -> Option<SmallVec<[Arc<CachedAuth>; 1]>> {
        Some(self.shard(key).lock(REMOVE_TIMEOUT)?.remove(&key).unwrap_or_default())
    }

    fn oldest_over_limit(&self, subject: Key) -> Option<Arc<CachedAuth>> {
        let shard = self.shard(subject).lock(LOOKUP_TIMEOUT)?;
        let list = shard.get(&subject).filter(|list| list.len() > MAX_PER_SUBJECT)?;
        list.iter().min_by_key(|entry| entry.ticket).cloned()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock(LOOKUP_TIMEOUT).unwrap().values().map(SmallVec::len).sum::<usize>())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::invalidations::Scope;
    use super::*;
    use crate::jwt::Claims;
    use crate::token::TokenKind;

    struct Fixture {
        cache: ResultCache,
        invalidations: Arc<Invalidations>,
    }

    const END_MS: i64 = 1_000_000;

    fn at(ms: i64) -> Now {
        Now { wall_ms: ms, mono_ms: ms }
    }

    impl Fixture {
        fn new(capacity: usize) -> Fixture {
            let invalidations = Arc::new(Invalidations::default());
            Fixture { cache: ResultCache::new(capacity, invalidations.clone()), invalidations }
        }

        fn insert(&self, token: &str, subject: &str, begun: u64, now_ms: i64, end_ms: i64) -> Insertion {
            let json = format!(r#"{{"sub":"{subject}","sid":"sess_{token}","org_id":"org_1"}}"#);
            let claims = Claims::parse(TokenKind::SessionToken, json.as_bytes()).unwrap();
            let identity = Identity::of_claims(TokenKind::SessionToken, &claims);
            let hash = TokenHash::of(token.as_bytes());
            let sid = format!("sess_{token}");
            let keys = self.invalidations.token_keys(&hash, subject, Some(&sid), Some("org_1"));
            let new = NewResult {
                identity: &identity,
                hash,
                keys,
                begun,
                ttl_ms: END_MS,
                not_before_ms: i64::MIN,
                expires_at_ms: end_ms,
                key_id: Some([1; 32]),
                row_verified_at_ms: 0,
            };
            self.cache.insert(new, at(now_ms))
        }

        fn put(&self, token: &str, subject: &str) {
            assert_eq!(self.insert(token, subject, self.invalidations.sequence(), 0, END_MS), Insertion::Stored);
        }

        fn has(&self, token: &str) -> bool {
            self.cache.get(&TokenHash::of(token.as_bytes()), at(0), |_, _| ()).is_some()
        }

        fn key(&self, scope: Scope, id: &str) -> Key {
            self.invalidations.key(scope, id)
        }
    }

    /// Entries expire by the monotonic clock, which the clock of the tokens may be ahead of.
    #[test]
    fn result_is_current_until_the_token_expires_by_the_wall_clock() {
        let f = Fixture::new(10);
        assert_eq!(f.insert("a", "user_1", 0, 0, 100), Insertion::Stored);
        let is_current = |wall_ms| {
            let now = Now { wall_ms, mono_ms: 0 };
            f.cache.get(&TokenHash::of(b"a"), now, |entry, _| entry.is_current(now))
        };
        assert_eq!([99, 100, 101].map(is_current), [Some(true), Some(false), Some(false)]);
    }

    #[test]
    fn removal_by_scope_affects_that_scope_only() {
        let f = Fixture::new(100);
        for (token, subject) in [("a", "user_1"), ("b", "user_1"), ("c", "user_2")] {
            f.put(token, subject);
        }
        f.cache.remove_all_of(f.key(Scope::Session, "sess_b"));
        assert_eq!(["a", "b", "c"].map(|token| f.has(token)), [true, false, true]);
        f.cache.remove_all_of(f.key(Scope::Subject, "user_1"));
        assert_eq!(["a", "b", "c"].map(|token| f.has(token)), [false, false, true]);
        f.put("a", "user_1");
        f.cache.remove_all_of(f.key(Scope::Organization, "org_1"));
        assert_eq!((f.cache.len(), f.cache.index.len()), (0, 0));
    }

    #[test]
    fn result_begun_before_an_invalidation_is_not_stored() {
        let f = Fixture::new(100);
        for scope in [(Scope::Subject, "user_1"), (Scope::Session, "sess_a"), (Scope::Organization, "org_1")] {
            let begun = f.invalidations.sequence();
            f.invalidations.record(f.key(scope.0, scope.1));
            assert_eq!(f.insert("a", "user_1", begun, 0, END_MS), Insertion::Invalidated);
            f.invalidations.record(f.key(Scope::Subject, "user_2"));
            assert_eq!((f.cache.len(), f.cache.index.len()), (0, 0));
        }
        let begun = f.invalidations.sequence();
        f.put("b", "user_2");
        f.invalidations.record_all();
        assert_eq!(f.insert("a", "user_1", begun, 0, END_MS), Insertion::Invalidated);
        // An entry that is stored during an invalidation of everything is not found.
        assert!(!f.has("b") && f.cache.index.len() == 0);
    }

    #[test]
    fn subject_keeps_at_most_32_tokens_whatever_their_lifetimes() {
        let f = Fixture::new(10_000);
        for i in 0..640 {
            // Mixed with short-lived tokens: the index entry must not expire with the last token of its key.
            let end_ms = if i % 32 == 31 { i + 1 } else { END_MS };
            let token = i.to_string();
            assert_eq!(f.insert(&token, "user_1", 0, i, end_ms), Insertion::Stored);
            assert!(f.cache.get(&TokenHash::of(token.as_bytes()), at(i), |_, _| ()).is_some());
        }
        assert_eq!((f.cache.len(), f.cache.index.len()), (MAX_PER_SUBJECT, 3 * MAX_PER_SUBJECT));
        assert!(f.has("639") && f.has("608") && !f.has("607"));
    }

    #[test]
    fn subject_keeps_at_most_32_tokens_under_concurrency() {
        let f = Fixture::new(10_000);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let f = &f;
                scope.spawn(move || (0..80).for_each(|i| f.put(&format!("{thread}-{i}"), "user_1")));
            }
        });
        assert_eq!((f.cache.len(), f.cache.index.len()), (MAX_PER_SUBJECT, 3 * MAX_PER_SUBJECT));
    }

    #[test]
    fn token_verified_again_takes_no_second_place() {
        let f = Fixture::new(100);
        (0..MAX_PER_SUBJECT).for_each(|i| f.put(&i.to_string(), "user_1"));
        (0..10).for_each(|_| f.put("5", "user_1"));
        assert_eq!((f.cache.len(), f.cache.index.len()), (MAX_PER_SUBJECT, 3 * MAX_PER_SUBJECT));
        assert!(f.has("0"));
    }

    #[test]
    fn index_follows_eviction_expiry_and_key_removal() {
        let f = Fixture::new(10);
        (0..100).for_each(|i| f.put(&i.to_string(), &format!("user_{i}")));
        assert_eq!((f.cache.len(), f.cache.index.len()), (10, 30));
        let last = TokenHash::of(b"99");
        assert!(f.cache.get(&last, at(END_MS), |_, _| ()).is_none());
        assert_eq!((f.cache.len(), f.cache.index.len()), (9, 27));
        f.cache.retain_keys(&|id| *id != [1; 32]);
        assert_eq!((f.cache.len(), f.cache.index.len()), (0, 0));
    }

    #[test]
    fn threads_that_insert_and_invalidate_leave_nothing_stale() {
        let f = Fixture::new(1000);
        let ada = f.key(Scope::Subject, "user_ada");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let f = &f;
                scope.spawn(move || {
                    for i in 0..2000 {
                        let begun = f.invalidations.sequence();
                        let token = format!("{thread}-{}", i % 7);
                        f.insert(&token, "user_ada", begun, 0, END_MS);
                    }
                });
            }
            for _ in 0..500 {
                f.invalidations.record(ada);
                f.cache.remove_all_of(ada);
            }
        });
        f.invalidations.record(ada);
        f.cache.remove_all_of(ada);
        assert_eq!((f.cache.len(), f.cache.index.len()), (0, 0));
    }
}
