//! When what was last invalidated: a result of work that began before an invalidation is neither returned nor cached.
//!
//! Invalidations are numbered. An attempt carries the number of the last one when it began; before each write to a cache and
//! before each result it checks [`Invalidations::is_invalidated_since`]. The table is bounded: work that began before the
//! newest evicted row counts as invalidated.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::PrehashedState;
use crate::fork_mutex::{ForkMutex, LOOKUP_TIMEOUT, REMOVE_TIMEOUT};
use crate::token::TokenHash;

/// Maximum number of rows: half a minute at a thousand invalidations (two rows each) a second, much longer than an attempt.
const CAPACITY: usize = 65_536;

/// The kind of object that is invalidated.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum Scope {
    Subject,
    Session,
    Organization,
}

/// A keyed hash of an id, and its scope. In the unlikely case of a collision, both ids are invalidated together.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct Key(pub NonZeroU64);

impl Key {
    fn new(word: u64) -> Self {
        Key(NonZeroU64::new(word).unwrap_or(NonZeroU64::MAX))
    }
}

/// The keys that a token's result depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenKeys {
    pub token: Key,
    pub subject: Key,
    pub session: Option<Key>,
    pub organization: Option<Key>,
}

impl TokenKeys {
    fn iter(&self) -> impl Iterator<Item = Key> {
        [Some(self.token), Some(self.subject), self.session, self.organization].into_iter().flatten()
    }
}

/// The numbers of the last invalidations. Shared by all caches of a client.
pub(super) struct Invalidations {
    hasher: RandomState,
    /// The number of the last invalidation.
    sequence: AtomicU64,
    /// The number of the last invalidation of everything.
    all: AtomicU64,
    table: ForkMutex<Table>,
}

struct Table {
    last: HashMap<Key, u64, PrehashedState>,
    order: VecDeque<(Key, u64)>,
    capacity: usize,
    /// The number of the newest row that was evicted.
    evicted: u64,
}

impl Default for Invalidations {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Invalidations {
    fn with_capacity(capacity: usize) -> Self {
        let table = Table { last: HashMap::default(), order: VecDeque::new(), capacity, evicted: 0 };
        Invalidations {
            hasher: RandomState::new(),
            sequence: AtomicU64::new(0),
            all: AtomicU64::new(0),
            table: ForkMutex::new(table),
        }
    }

    /// Returns the key of an id.
    pub fn key(&self, scope: Scope, id: &str) -> Key {
        Key::new(self.hasher.hash_one(id).wrapping_add(scope as u64))
    }

    /// Returns the key of a token: eight bytes of its SHA-256, which cannot be chosen.
    pub fn token_key(&self, hash: &TokenHash) -> Key {
        let [.., word] = hash.0.as_chunks().0 else { return Key::new(0) };
        Key::new(u64::from_le_bytes(*word))
    }

    /// Returns the keys of a verified token.
    pub fn token_keys(
        &self,
        hash: &TokenHash,
        subject: &str,
        session: Option<&str>,
        organization: Option<&str>,
    ) -> TokenKeys {
        TokenKeys {
            token: self.token_key(hash),
            subject: self.key(Scope::Subject, subject),
            session: session.map(|id| self.key(Scope::Session, id)),
            organization: organization.map(|id| self.key(Scope::Organization, id)),
        }
    }

    /// Returns the number for an attempt that begins now.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Returns the number of the last invalidation of everything.
    pub fn last_of_all(&self) -> u64 {
        self.all.load(Ordering::Acquire)
    }

    /// Returns the number of a key's last invalidation: callers with different numbers must not share a fetch.
    pub fn last(&self, key: Key) -> u64 {
        let last = self.table.lock(LOOKUP_TIMEOUT).and_then(|table| table.last.get(&key).copied());
        last.unwrap_or(0).max(self.last_of_all())
    }

    /// Records an invalidation.
    pub fn record(&self, key: Key) {
        let Some(mut table) = self.table.lock(REMOVE_TIMEOUT) else { return self.record_all() };
        let sequence = self.sequence.fetch_add(1, Ordering::AcqRel) + 1;
        table.put(key, sequence);
    }

    /// Records an invalidation of everything.
    pub fn record_all(&self) {
        let sequence = self.sequence.fetch_add(1, Ordering::AcqRel) + 1;
        self.all.fetch_max(sequence, Ordering::AcqRel);
    }

    /// Whether one of the keys was invalidated after an attempt that began at `begun`.
    pub fn is_invalidated_since(&self, begun: u64, keys: &TokenKeys) -> bool {
        self.is_any_invalidated_since(begun, keys.iter())
    }

    /// The same for one key.
    pub fn is_key_invalidated_since(&self, begun: u64, key: Key) -> bool {
        self.is_any_invalidated_since(begun, [key].into_iter())
    }

    fn is_any_invalidated_since(&self, begun: u64, mut keys: impl Iterator<Item = Key>) -> bool {
        if self.sequence() == begun {
            return false;
        }
        // Locked across a fork, the table cannot be read: fail closed.
        let Some(table) = self.table.lock(LOOKUP_TIMEOUT) else { return true };
        self.last_of_all() > begun
            || table.evicted > begun
            || keys.any(|key| table.last.get(&key).is_some_and(|last| *last > begun))
    }
}

impl Table {
    fn put(&mut self, key: Key, sequence: u64) {
        self.last.insert(key, sequence);
        self.order.push_back((key, sequence));
        if self.order.len() > self.capacity
            && let Some((key, sequence)) = self.order.pop_front()
            // A key that was invalidated again has a newer row.
            && self.last.get(&key) == Some(&sequence)
        {
            self.last.remove(&key);
            self.evicted = sequence;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalidation_affects_its_own_key_and_earlier_attempts_only() {
        let invalidations = Invalidations::default();
        let [ada, bob] = ["user_ada", "user_bob"].map(|id| invalidations.key(Scope::Subject, id));
        let before = invalidations.sequence();
        invalidations.record(ada);
        assert!(invalidations.is_key_invalidated_since(before, ada));
        assert!(!invalidations.is_key_invalidated_since(before, bob));
        assert!(!invalidations.is_key_invalidated_since(invalidations.sequence(), ada));
        assert!(invalidations.last(ada) > invalidations.last(bob));
        assert_ne!(invalidations.key(Scope::Session, "user_ada"), ada);
    }

    #[test]
    fn invalidation_of_any_part_of_a_token_counts() {
        let invalidations = Invalidations::default();
        let hash = TokenHash::of(b"token");
        let keys = invalidations.token_keys(&hash, "user_1", Some("sess_1"), Some("org_1"));
        for key in [keys.token, keys.subject, keys.session.unwrap(), keys.organization.unwrap()] {
            let before = invalidations.sequence();
            invalidations.record(key);
            assert!(invalidations.is_invalidated_since(before, &keys));
        }
        let before = invalidations.sequence();
        invalidations.record(invalidations.key(Scope::Organization, "org_2"));
        assert!(!invalidations.is_invalidated_since(before, &keys));
        invalidations.record_all();
        assert!(invalidations.is_invalidated_since(before, &keys));
        assert_eq!(invalidations.last(keys.subject), invalidations.sequence());
    }

    #[test]
    fn overflow_counts_as_invalidation_of_older_attempts() {
        let invalidations = Invalidations::with_capacity(100);
        let ada = invalidations.key(Scope::Subject, "user_ada");
        let before = invalidations.sequence();
        (0..100).for_each(|i| invalidations.record(Key::new(i + 1)));
        assert!(!invalidations.is_key_invalidated_since(before, ada));
        let between = invalidations.sequence();
        invalidations.record(Key::new(101));
        assert!(invalidations.is_key_invalidated_since(before, ada));
        assert!(!invalidations.is_key_invalidated_since(between, ada));
        // Repeated invalidations of one key take no more space than their rows.
        (0..1000).for_each(|_| invalidations.record(ada));
        let table = invalidations.table.lock(LOOKUP_TIMEOUT).unwrap();
        assert!(table.order.len() == 100 && table.last.len() == 1);
    }

    #[test]
    fn table_locked_across_fork_counts_as_invalidated() {
        let mut invalidations = Invalidations::default();
        invalidations.table.pretend_forked();
        let (before, ada) = (invalidations.sequence(), Key::new(1));
        let held = invalidations.table.lock(LOOKUP_TIMEOUT);
        invalidations.record(Key::new(2));
        assert!(invalidations.is_key_invalidated_since(before, ada));
        drop(held);
        assert!(invalidations.last_of_all() > before);
    }
}
