//! A bounded map with lifetimes: the least recently used entry is evicted first. Mutex-guarded shards.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lru::LruCache;

use crate::fork_mutex::{ForkMutex, LOOKUP_TIMEOUT, REMOVE_TIMEOUT, RESET_TIMEOUT};

/// Makes hashers that pass on the eight bytes a key writes. Only for keys that are already hashes.
#[derive(Clone, Copy, Default)]
pub struct PrehashedState;

/// See [`PrehashedState`].
#[derive(Default)]
pub struct PrehashedHasher(u64);

impl std::hash::Hasher for PrehashedHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    #[allow(clippy::unreachable, reason = "no request can reach it: the type of the keys decides")]
    fn write(&mut self, _: &[u8]) {
        unreachable!("prehashed keys hash themselves with write_u64")
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

impl BuildHasher for PrehashedState {
    type Hasher = PrehashedHasher;
    fn build_hasher(&self) -> PrehashedHasher {
        PrehashedHasher(0)
    }
}

struct Entry<V> {
    value: V,
    expires_ms: i64,
    last_access_ms: i64,
}

/// Aligned to a cache line of its own, so that cores do not contend for adjacent shards.
#[repr(align(128))]
struct Shard<K, V, S>(ForkMutex<Map<K, V, S>>);

type Map<K, V, S> = LruCache<K, Entry<V>, S>;

/// What [`Cache::lookup`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<V, R = V> {
    /// What was read of a live value.
    Hit(R),
    /// A value that had expired or was not valid; it is removed.
    Removed(V),
    /// Nothing.
    Miss,
}

/// The lock of a shard is held by a thread of the parent, in a forked child: nothing is known of its entries.
#[derive(Debug, PartialEq, Eq)]
pub struct Locked;

/// The map. Times are milliseconds of the monotonic clock.
///
/// In a forked child, entries of a shard whose lock a thread of the parent held are not found. What rejects requests is looked up
/// with [`Cache::find`], which reports that.
pub struct Cache<K, V, S> {
    shards: Box<[Shard<K, V, S>]>,
    hasher: S,
    /// Whether anything was ever stored. Many caches of a client stay empty, and are looked up for each new token.
    is_used: AtomicBool,
}

/// An entry is moved to the front at most this often, so that a hit writes no shared memory but its lock.
const PROMOTE_EVERY_MS: i64 = 1000;
const SHARDS: usize = 16;

impl<K: Hash + Eq, V, S: BuildHasher + Clone> Cache<K, V, S> {
    /// Makes a cache for `capacity` entries. Below 64 there is one shard and the order is exact; above, it is exact per shard.
    pub fn new(capacity: usize, hasher: S) -> Self {
        let shards = if capacity < 64 { 1 } else { SHARDS };
        let capacity = NonZeroUsize::new(capacity.div_ceil(shards)).unwrap_or(NonZeroUsize::MIN);
        let shard = || {
            // `LruCache::new` would allocate room for all entries at once.
            let mut map = LruCache::unbounded_with_hasher(hasher.clone());
            map.resize(capacity);
            Shard(ForkMutex::new(map))
        };
        Cache { shards: (0..shards).map(|_| shard()).collect(), hasher, is_used: AtomicBool::new(false) }
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &ForkMutex<Map<K, V, S>> {
        // The map inside uses the hash's lowest and highest bits; the shard is chosen by others. Their number is a power of two.
        let index = (self.hasher.hash_one(key) >> 40) as usize & (self.shards.len() - 1);
        &self.shards[index].0
    }

    /// Returns the live value under a key.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q, now_ms: i64) -> Option<V>
    where
        K: Borrow<Q>,
        V: Clone,
    {
        match self.lookup(key, now_ms, |_| true, V::clone) {
            Lookup::Hit(value) => Some(value),
            Lookup::Removed(_) | Lookup::Miss => None,
        }
    }

    /// Returns the live value under a key, or that it is not known.
    pub fn find<Q: Hash + Eq + ?Sized>(&self, key: &Q, now_ms: i64) -> Result<Option<V>, Locked>
    where
        K: Borrow<Q>,
        V: Clone,
    {
        if !self.is_used.load(Ordering::Acquire) {
            return Ok(None);
        }
        let mut map = self.shard(key).lock(RESET_TIMEOUT).ok_or(Locked)?;
        let found = map.get(key).filter(|entry| entry.expires_ms > now_ms).map(|entry| entry.value.clone());
        if found.is_none() {
            map.pop(key);
        }
        Ok(found)
    }

    /// [`Self::put_if`] for [`Self::find`]: while a value cannot be stored, no value of its shard can be found.
    pub fn record_if(
        &self,
        key: K,
        value: V,
        expires_ms: i64,
        now_ms: i64,
        is_allowed: impl FnOnce(Option<&V>) -> bool,
    ) {
        let _ = self.store(RESET_TIMEOUT, key, value, expires_ms, now_ms, is_allowed);
    }

    /// Looks a key up and reads the value; removes one that has expired or that `is_valid` rejects. Both functions run under the
    /// shard's lock.
    pub fn lookup<Q: Hash + Eq + ?Sized, R>(
        &self,
        key: &Q,
        now_ms: i64,
        is_valid: impl FnOnce(&V) -> bool,
        read: impl FnOnce(&V) -> R,
    ) -> Lookup<V, R>
    where
        K: Borrow<Q>,
    {
        if !self.is_used.load(Ordering::Acquire) {
            return Lookup::Miss;
        }
        let Some(mut map) = self.shard(key).lock(LOOKUP_TIMEOUT) else { return Lookup::Miss };
        let Some(entry) = map.peek(key) else { return Lookup::Miss };
        if entry.expires_ms <= now_ms || !is_valid(&entry.value) {
            let removed = map.pop(key);
            return removed.map_or(Lookup::Miss, |entry| Lookup::Removed(entry.value));
        }
        let read = read(&entry.value);
        if now_ms.saturating_sub(entry.last_access_ms) >= PROMOTE_EVERY_MS
            && let Some(entry) = map.get_mut(key)
        {
            entry.last_access_ms = now_ms;
        }
        Lookup::Hit(read)
    }

    /// Stores a value. Returns the value it displaced: the key's old one, or in a full shard the least recently used.
    pub fn put(&self, key: K, value: V, expires_ms: i64, now_ms: i64) -> Option<V> {
        self.put_if(key, value, expires_ms, now_ms, |_| true).ok().flatten()
    }

    /// Stores a value if `is_allowed` returns true. It receives the key's live value and runs under the shard's lock: no
    /// [`Self::remove`] of the same key can run in between. `Err` contains the value that was not stored.
    pub fn put_if(
        &self,
        key: K,
        value: V,
        expires_ms: i64,
        now_ms: i64,
        is_allowed: impl FnOnce(Option<&V>) -> bool,
    ) -> Result<Option<V>, V> {
        self.store(LOOKUP_TIMEOUT, key, value, expires_ms, now_ms, is_allowed)
    }

    fn store(
        &self,
        timeout: Duration,
        key: K,
        value: V,
        expires_ms: i64,
        now_ms: i64,
        is_allowed: impl FnOnce(Option<&V>) -> bool,
    ) -> Result<Option<V>, V> {
        // Before the value can be found.
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Release);
        }
        let shard = if expires_ms > now_ms { self.shard(&key).lock(timeout) } else { None };
        let Some(mut map) = shard else { return Err(value) };
        let current = map.peek(&key).filter(|entry| entry.expires_ms > now_ms).map(|entry| &entry.value);
        if !is_allowed(current) {
            return Err(value);
        }
        let displaced = map.push(key, Entry { value, expires_ms, last_access_ms: now_ms });
        drop(map);
        Ok(displaced.map(|(_, entry)| entry.value))
    }

    /// Removes an entry.
    pub fn remove<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.remove_if(key, |_| true)
    }

    /// Removes an entry and returns its value, unless it has expired.
    pub fn take<Q: Hash + Eq + ?Sized>(&self, key: &Q, now_ms: i64) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let entry = self.shard(key).lock(LOOKUP_TIMEOUT)?.pop(key)?;
        (entry.expires_ms > now_ms).then_some(entry.value)
    }

    /// Removes an entry if `fits` returns true for its value.
    pub fn remove_if<Q: Hash + Eq + ?Sized>(&self, key: &Q, fits: impl FnOnce(&V) -> bool) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut map = self.shard(key).lock(REMOVE_TIMEOUT)?;
        let is_fit = map.peek(key).is_some_and(|entry| fits(&entry.value));
        if is_fit { map.pop(key).map(|entry| entry.value) } else { None }
    }

    /// Removes all entries.
    pub fn clear(&self) {
        for shard in &self.shards {
            if let Some(mut map) = shard.0.lock(REMOVE_TIMEOUT) {
                map.clear();
            }
        }
    }

    /// Calls a function for each key and value, under the lock of its shard.
    pub fn for_each(&self, mut visit: impl FnMut(&K, &V)) {
        for shard in &self.shards {
            if let Some(map) = shard.0.lock(REMOVE_TIMEOUT) {
                map.iter().for_each(|(key, entry)| visit(key, &entry.value));
            }
        }
    }

    /// Returns the number of entries, including expired ones that have not been looked up since.
    pub fn len(&self) -> usize {
        self.shards.iter().filter_map(|shard| shard.0.lock(LOOKUP_TIMEOUT)).map(|map| map.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;
    use std::time::Instant;

    use super::*;
    use crate::token::TokenHash;

    #[test]
    #[should_panic(expected = "write_u64")]
    fn key_that_is_no_hash_cannot_be_prehashed() {
        PrehashedState.hash_one("a");
    }

    #[test]
    fn least_recently_used_entry_is_evicted_first() {
        let cache = Cache::new(2, RandomState::new());
        cache.put("a", 1, 10_000, 0);
        cache.put("b", 2, 10_000, 0);
        assert_eq!(cache.get(&"a", 2000), Some(1));
        assert_eq!(cache.put("c", 3, 10_000, 2000), Some(2));
        assert_eq!(cache.get(&"b", 2000), None);
        assert_eq!((cache.get(&"a", 2000), cache.get(&"c", 2000)), (Some(1), Some(3)));
    }

    #[test]
    fn entry_expires_exactly_at_its_time() {
        let cache = Cache::new(10, RandomState::new());
        cache.put("a", 1, 100, 0);
        assert_eq!(cache.get(&"a", 99), Some(1));
        assert_eq!(cache.lookup(&"a", 100, |_| true, |value| *value), Lookup::Removed(1));
        cache.put("b", 1, 100, 100);
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn capacity_holds_across_shards() {
        let cache = Cache::new(1000, PrehashedState);
        for i in 0..50_000 {
            cache.put(TokenHash::of(i.to_string().as_bytes()), i, 10, 0);
        }
        assert!(cache.len() <= 1008 && cache.len() > 900, "{}", cache.len());
    }

    #[test]
    fn lock_held_across_fork_is_skipped() {
        let mut cache = Cache::new(2, RandomState::new());
        cache.put("a", 1, 10_000, 0);
        cache.shards[0].0.pretend_forked();
        let held = cache.shards[0].0.lock(LOOKUP_TIMEOUT);
        let begun = Instant::now();
        assert_eq!((cache.get(&"a", 0), cache.len()), (None, 0));
        assert_eq!(cache.put_if("b", 2, 10, 0, |_| true), Err(2));
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert_eq!(cache.remove(&"a"), None);
        assert_eq!(cache.find(&"a", 0), Err(Locked));
        cache.record_if("a", 2, 10_000, 0, |_| true);
        drop(held);
        assert_eq!(
            (cache.get(&"a", 0), cache.find(&"a", 0), cache.find(&"a", 10_000)),
            (Some(1), Ok(Some(1)), Ok(None))
        );
    }

    #[test]
    fn lock_held_for_a_moment_in_a_forked_child_hides_no_entry() {
        let mut cache = Cache::new(2, RandomState::new());
        cache.put("a", 1, 10_000, 0);
        cache.shards[0].0.pretend_forked();
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _held = cache.shards[0].0.lock(LOOKUP_TIMEOUT);
                barrier.wait();
                std::thread::sleep(Duration::from_millis(20));
            });
            barrier.wait();
            assert_eq!(cache.find(&"a", 0), Ok(Some(1)));
        });
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _held = cache.shards[0].0.lock(LOOKUP_TIMEOUT);
                barrier.wait();
                std::thread::sleep(Duration::from_millis(20));
            });
            barrier.wait();
            cache.record_if("a", 3, 10_000, 0, |_| true);
        });
        assert_eq!(cache.find(&"a", 0), Ok(Some(3)));
    }

    #[test]
    fn removal_returns_the_value_once() {
        let cache = Cache::new(1000, RandomState::new());
        (0..50).for_each(|i| assert_eq!(cache.put(i, i, 10, 0), None));
        assert_eq!((cache.remove(&0), cache.remove(&0)), (Some(0), None));
        assert_eq!((cache.take(&2, 9), cache.take(&2, 9), cache.take(&4, 10)), (Some(2), None, None));
        cache.clear();
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn conditional_operations_see_live_values_only() {
        let cache = Cache::new(10, RandomState::new());
        cache.put("a", 1, 100, 0);
        assert_eq!(cache.put_if("a", 2, 200, 0, |old| old.is_none_or(|old| *old > 1)), Err(2));
        assert_eq!(cache.put_if("a", 2, 200, 100, |old| old.is_none_or(|old| *old > 1)), Ok(Some(1)));
        assert_eq!((cache.remove_if("a", |v| *v == 1), cache.remove_if("a", |v| *v == 2)), (None, Some(2)));
        cache.put("b", 1, 100, 0);
        assert_eq!(cache.lookup("b", 0, |_| false, |value| *value), Lookup::Removed(1));
        assert_eq!(cache.lookup("b", 0, |_| true, |value| *value), Lookup::Miss);
    }
}
