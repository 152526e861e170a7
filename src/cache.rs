//! A bounded map with lifetimes: least recently used goes first, in mutex-guarded shards.

use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};

/// Hands on the eight bytes that the key itself offers. Only for keys that an outsider cannot choose.
#[derive(Clone, Copy, Default)]
pub struct IdentityState;

/// See [`IdentityState`].
#[derive(Default)]
pub struct Identity(u64);

impl std::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys of an identity map hash themselves with write_u64")
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

impl BuildHasher for IdentityState {
    type Hasher = Identity;
    fn build_hasher(&self) -> Identity {
        Identity(0)
    }
}

struct Entry<V> {
    value: V,
    expires_ms: i64,
    touched_ms: i64,
}

/// Each on its own cache line, so that two cores do not fight over neighbours.
#[repr(align(128))]
struct Shard<K, V, S>(Mutex<Guarded<K, V, S>>);

struct Guarded<K, V, S> {
    map: LruCache<K, Entry<V>, S>,
    hits: u64,
}

/// The map. Times are milliseconds of the monotonic clock.
pub struct Cache<K, V, S> {
    shards: Box<[Shard<K, V, S>]>,
    hasher: S,
    pid: u32,
}

/// How long a forked child tries for a lock before it takes it for one that a thread of the parent held at the fork and
/// that nobody will ever open: the entries behind it are out of reach for good. To forget takes more patience.
const LOOK_UP: Duration = Duration::from_millis(1);
const FORGET: Duration = Duration::from_secs(2);

/// An entry is moved to the front at most this often: a hit then writes no shared memory but its lock.
const PROMOTE_EVERY_MS: i64 = 1000;
const SHARDS: usize = 16;

impl<K: Hash + Eq, V: Clone, S: BuildHasher + Clone> Cache<K, V, S> {
    /// Room for `capacity` entries. Under 64 one shard keeps the order exact; above, it is exact per shard.
    pub fn new(capacity: usize, hasher: S) -> Self {
        let shards = if capacity < 64 { 1 } else { SHARDS };
        let room = NonZeroUsize::new(capacity.div_ceil(shards)).unwrap_or(NonZeroUsize::MIN);
        let shard = || {
            // Memory is taken as entries come, not for all of them at the start.
            let mut map = LruCache::unbounded_with_hasher(hasher.clone());
            map.resize(room);
            Shard(Mutex::new(Guarded { map, hits: 0 }))
        };
        Cache { shards: (0..shards).map(|_| shard()).collect(), hasher, pid: std::process::id() }
    }

    fn shard(&self, key: &K) -> &Shard<K, V, S> {
        // The map inside uses the hash's low and topmost bits; the shard is told by others.
        let index = (self.hasher.hash_one(key) >> 40) as usize % self.shards.len();
        &self.shards[index]
    }

    /// `None` in a forked child only.
    fn lock<'a>(&self, shard: &'a Shard<K, V, S>, patience: Duration) -> Option<MutexGuard<'a, Guarded<K, V, S>>> {
        let at_once = shard.0.try_lock();
        if at_once.is_some() {
            return at_once;
        }
        if std::process::id() == self.pid {
            return Some(shard.0.lock());
        }
        let until = Instant::now() + patience;
        loop {
            // No waiting in a queue: that has locks of its own.
            std::thread::yield_now();
            let guard = shard.0.try_lock();
            if guard.is_some() || Instant::now() >= until {
                return guard;
            }
        }
    }

    /// The live value under a key.
    pub fn get(&self, key: &K, now_ms: i64) -> Option<V> {
        let shard = &mut *self.lock(self.shard(key), LOOK_UP)?;
        let entry = shard.map.peek(key)?;
        if entry.expires_ms <= now_ms {
            shard.map.pop(key);
            return None;
        }
        let value = entry.value.clone();
        shard.hits += 1;
        if now_ms.saturating_sub(entry.touched_ms) >= PROMOTE_EVERY_MS
            && let Some(entry) = shard.map.get_mut(key)
        {
            entry.touched_ms = now_ms;
        }
        Some(value)
    }

    /// Remembers a value; in a full shard the one longest unused is forgotten.
    pub fn put(&self, key: K, value: V, expires_ms: i64, now_ms: i64) {
        if expires_ms > now_ms {
            // The old value is dropped after the lock is gone.
            let entry = Entry { value, expires_ms, touched_ms: now_ms };
            let old = self.lock(self.shard(&key), LOOK_UP).map(|mut shard| shard.map.push(key, entry));
            drop(old);
        }
    }

    /// Forgets one entry.
    pub fn remove(&self, key: &K) -> bool {
        self.lock(self.shard(key), FORGET).is_some_and(|mut shard| shard.map.pop(key).is_some())
    }

    /// Forgets every entry for which `keep` is false, and says how many.
    pub fn retain(&self, mut keep: impl FnMut(&V) -> bool) -> usize
    where
        K: Clone,
    {
        let mut gone = 0;
        for shard in &self.shards {
            let Some(mut shard) = self.lock(shard, FORGET) else { continue };
            let map = &mut shard.map;
            let doomed: Vec<K> = map.iter().filter(|(_, e)| !keep(&e.value)).map(|(k, _)| k.clone()).collect();
            gone += doomed.iter().filter(|key| map.pop(*key).is_some()).count();
        }
        gone
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.shards.iter().filter_map(|shard| self.lock(shard, FORGET)).for_each(|mut shard| shard.map.clear());
    }

    /// How many entries there are, expired ones that nobody asked for included.
    pub fn len(&self) -> usize {
        self.shards.iter().filter_map(|shard| self.lock(shard, LOOK_UP)).map(|shard| shard.map.len()).sum()
    }

    /// How often [`Self::get`] found something.
    pub fn hits(&self) -> u64 {
        self.shards.iter().filter_map(|shard| self.lock(shard, LOOK_UP)).map(|shard| shard.hits).sum()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;
    use crate::token::TokenHash;

    #[test]
    fn the_longest_unused_goes_first() {
        let cache = Cache::new(2, RandomState::new());
        cache.put("a", 1, 10_000, 0);
        cache.put("b", 2, 10_000, 0);
        assert_eq!(cache.get(&"a", 2000), Some(1));
        cache.put("c", 3, 10_000, 2000);
        assert_eq!(cache.get(&"b", 2000), None);
        assert_eq!((cache.get(&"a", 2000), cache.get(&"c", 2000)), (Some(1), Some(3)));
    }

    #[test]
    fn entries_end_exactly_at_their_time() {
        let cache = Cache::new(10, RandomState::new());
        cache.put("a", 1, 100, 0);
        assert_eq!(cache.get(&"a", 99), Some(1));
        assert_eq!(cache.get(&"a", 100), None);
        cache.put("b", 1, 100, 100);
        assert!(cache.is_empty());
    }

    #[test]
    fn capacity_holds_over_all_shards() {
        let cache = Cache::new(1000, IdentityState);
        for i in 0..50_000 {
            cache.put(TokenHash::of(i.to_string().as_bytes()), i, 10, 0);
        }
        assert!(cache.len() <= 1008 && cache.len() > 900, "{}", cache.len());
    }

    #[test]
    fn a_lock_that_a_forked_child_finds_shut_for_good_hides_its_entries_and_stops_nobody() {
        let mut cache = Cache::new(2, RandomState::new());
        cache.put("a", 1, 10_000, 0);
        cache.pid = 0;
        let shut = cache.shards[0].0.lock();
        let begun = Instant::now();
        assert_eq!((cache.get(&"a", 0), cache.len(), cache.hits()), (None, 0, 0));
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert_eq!((cache.remove(&"a"), cache.retain(|_| false)), (false, 0));
        drop(shut);
        assert_eq!(cache.get(&"a", 0), Some(1));
    }

    #[test]
    fn retain_and_clear_forget() {
        let cache = Cache::new(1000, RandomState::new());
        (0..50).for_each(|i| cache.put(i, i, 10, 0));
        assert_eq!(cache.retain(|v| v % 2 == 0), 25);
        assert!(cache.remove(&0) && !cache.remove(&0));
        cache.clear();
        assert!(cache.is_empty());
    }
}
