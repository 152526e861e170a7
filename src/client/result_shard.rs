//! One shard of the result cache: its entries, the order of their use, and which of them belong to a subject, a session or an
//! organization. Everything is changed under one lock, so that the parts always agree.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashTable;

use super::auth_result::AuthResult;
use super::cache_entry::CacheEntry;
use super::invalidations::Key;
use crate::identity::{Identity, SharedStrings};
use crate::token::TokenHash;

/// The lists that an entry is in: one for each scope, and all entries by use.
const LISTS: usize = SCOPES + 1;
const SCOPES: usize = 3;
const BY_USE: usize = SCOPES;

/// The entries of a shard, the numbers of the lists included, must fit into 32 bits.
pub const MAX_CAPACITY: usize = (u32::MAX as usize) / LISTS - 1;

/// An entry is moved to the front at most this often, so that a hit writes no shared memory but its lock.
const PROMOTE_EVERY_MS: u32 = 1000;

/// The neighbours in a circular list, as numbers of slots.
#[derive(Clone, Copy, Default)]
struct Link {
    before: u32,
    after: u32,
}

struct Slot {
    /// `None` if the slot is free.
    result: Option<Arc<AuthResult>>,
    links: [Link; LISTS],
}

/// Strings and how many entries of the shard refer to them.
struct Shared {
    strings: Arc<SharedStrings>,
    entries: u32,
}

pub struct Shard {
    /// A hit reads this table and the result that it refers to.
    by_token: HashTable<Arc<AuthResult>>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    capacity: usize,
    /// The entry that was used last. The one before it in the circle is the one to evict.
    newest: u32,
    /// The oldest entry of each subject, session and organization: number of the slot times `LISTS`, and the scope.
    oldest: HashTable<u32>,
    shared: HashTable<Shared>,
    hasher: RandomState,
    /// Counted by `read` of [`Self::get`].
    pub hits: u64,
}

/// What [`Shard::get`] found.
pub enum Found<R> {
    Hit(R),
    /// An entry that is over. It is removed.
    Removed(Arc<AuthResult>),
    Miss,
}

fn word(hash: &TokenHash) -> u64 {
    let [word, ..] = hash.0.as_chunks().0 else { return 0 };
    u64::from_le_bytes(*word)
}

fn key_of(slots: &[Slot], place: u32) -> Option<Key> {
    let result = slots.get((place as usize) / LISTS)?.result.as_ref()?;
    result.entry.keys().get((place as usize) % LISTS).copied().flatten()
}

impl Shard {
    pub fn new(capacity: usize) -> Self {
        Shard {
            by_token: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            capacity,
            newest: 0,
            oldest: HashTable::new(),
            shared: HashTable::new(),
            hasher: RandomState::new(),
            hits: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.by_token.len()
    }

    /// Reads a result unless its lifetime is over or it began before `is_over` allows.
    #[inline(always)]
    pub fn get<R>(
        &mut self,
        hash: &TokenHash,
        now_ms: i64,
        is_over: impl FnOnce(&CacheEntry) -> bool,
        read: impl FnOnce(&Arc<AuthResult>, &mut u64) -> R,
    ) -> Found<R> {
        let Some(result) = self.by_token.find(word(hash), |result| result.entry.hash == *hash) else {
            return Found::Miss;
        };
        let entry = &result.entry;
        if entry.expires_ms <= now_ms || is_over(entry) {
            let slot = entry.slot.load(Ordering::Relaxed);
            return self.remove_slot(slot).map_or(Found::Miss, Found::Removed);
        }
        let read = read(result, &mut self.hits);
        if (now_ms as u32).wrapping_sub(entry.used_ms.load(Ordering::Relaxed)) >= PROMOTE_EVERY_MS {
            entry.used_ms.store(now_ms as u32, Ordering::Relaxed);
            let slot = entry.slot.load(Ordering::Relaxed);
            self.promote(slot);
        }
        Found::Hit(read)
    }

    /// Stores a result that expires. Returns the result that it replaces: the token's own, or the least recently used one of a full shard.
    pub fn insert(
        &mut self,
        identity: &Identity,
        key_id: Option<[u8; 32]>,
        entry: CacheEntry,
    ) -> Option<Arc<AuthResult>> {
        let own = self.slot_of(&entry.hash);
        let evicted = (self.len() >= self.capacity).then(|| self.links(self.newest, BY_USE).before);
        let replaced = own.or(evicted).and_then(|slot| self.remove_slot(slot));
        let strings = self.share(identity.shared(), key_id);
        let result = Arc::new(AuthResult::cached(identity.sharing(strings), entry));
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        result.entry.slot.store(slot, Ordering::Relaxed);
        let filled = Slot { result: Some(result.clone()), links: [Link { before: slot, after: slot }; LISTS] };
        match self.slots.get_mut(slot as usize) {
            Some(free) => *free = filled,
            None => self.slots.push(filled),
        }
        for (scope, key) in result.entry.keys().into_iter().enumerate() {
            if let Some(key) = key {
                self.add_to(scope, key, slot);
            }
        }
        let hash = word(&result.entry.hash);
        self.by_token.insert_unique(hash, result, |result| word(&result.entry.hash));
        self.promote(slot);
        replaced
    }

    /// Removes the result of one token.
    pub fn remove(&mut self, hash: &TokenHash) -> Option<Arc<AuthResult>> {
        self.slot_of(hash).and_then(|slot| self.remove_slot(slot))
    }

    /// Removes the oldest result of a subject, a session or an organization if `is_fit` returns true for it.
    pub fn remove_oldest(&mut self, key: Key, is_fit: impl FnOnce(&CacheEntry) -> bool) -> Option<Arc<AuthResult>> {
        let (scope, slot) = self.oldest_of(key)?;
        let is_fit = self.entry(slot).is_some_and(is_fit);
        debug_assert!(scope < SCOPES);
        is_fit.then(|| self.remove_slot(slot)).flatten()
    }

    /// Returns how many entries a subject, a session or an organization has, and the ticket of the oldest.
    pub fn count(&self, key: Key) -> Option<(usize, u64)> {
        let (scope, oldest) = self.oldest_of(key)?;
        let (mut count, mut slot) = (1, self.links(oldest, scope).after);
        while slot != oldest {
            (count, slot) = (count + 1, self.links(slot, scope).after);
        }
        Some((count, self.entry(oldest)?.ticket))
    }

    /// Removes the results for which `is_fit` returns false, and returns them.
    pub fn retain(&mut self, is_fit: impl Fn(&AuthResult) -> bool) -> Vec<Arc<AuthResult>> {
        let unfit = self.by_token.iter().filter(|result| !is_fit(result));
        let unfit: Vec<u32> = unfit.map(|result| result.entry.slot.load(Ordering::Relaxed)).collect();
        unfit.into_iter().filter_map(|slot| self.remove_slot(slot)).collect()
    }

    fn entry(&self, slot: u32) -> Option<&CacheEntry> {
        Some(&self.slots.get(slot as usize)?.result.as_ref()?.entry)
    }

    fn slot_of(&self, hash: &TokenHash) -> Option<u32> {
        let found = self.by_token.find(word(hash), |result| result.entry.hash == *hash);
        found.map(|result| result.entry.slot.load(Ordering::Relaxed))
    }

    /// Returns the scope of a key and the slot of its oldest entry.
    fn oldest_of(&self, key: Key) -> Option<(usize, u32)> {
        let place = *self.oldest.find(key.0.get(), |place| key_of(&self.slots, *place) == Some(key))?;
        Some((place as usize % LISTS, place / LISTS as u32))
    }

    fn links(&self, slot: u32, list: usize) -> Link {
        self.slots[slot as usize].links[list]
    }

    fn links_mut(&mut self, slot: u32, list: usize) -> &mut Link {
        &mut self.slots[slot as usize].links[list]
    }

    /// Puts a slot that is alone in its circle in front of another.
    fn link_before(&mut self, slot: u32, next: u32, list: usize) {
        let before = self.links(next, list).before;
        *self.links_mut(slot, list) = Link { before, after: next };
        self.links_mut(before, list).after = slot;
        self.links_mut(next, list).before = slot;
    }

    /// Takes a slot out of its circle. Returns the one behind it, or `None` if it was alone.
    fn unlink(&mut self, slot: u32, list: usize) -> Option<u32> {
        let Link { before, after } = self.links(slot, list);
        self.links_mut(before, list).after = after;
        self.links_mut(after, list).before = before;
        *self.links_mut(slot, list) = Link { before: slot, after: slot };
        (after != slot).then_some(after)
    }

    fn promote(&mut self, slot: u32) {
        if slot != self.newest {
            self.unlink(slot, BY_USE);
            // A shard's first entry is in slot 0, which `newest` is then.
            self.link_before(slot, self.newest, BY_USE);
            self.newest = slot;
        }
    }

    fn add_to(&mut self, scope: usize, key: Key, slot: u32) {
        match self.oldest_of(key) {
            Some((_, oldest)) => self.link_before(slot, oldest, scope),
            None => {
                let place = slot * LISTS as u32 + scope as u32;
                let slots = &self.slots;
                self.oldest
                    .insert_unique(key.0.get(), place, |place| key_of(slots, *place).map_or(0, |key| key.0.get()));
            }
        }
    }

    fn remove_from(&mut self, scope: usize, key: Key, slot: u32) {
        let next = self.unlink(slot, scope);
        let place = slot * LISTS as u32 + scope as u32;
        if let Ok(mut oldest) = self.oldest.find_entry(key.0.get(), |other| *other == place) {
            match next {
                Some(next) => *oldest.get_mut() = next * LISTS as u32 + scope as u32,
                None => drop(oldest.remove()),
            }
        }
    }

    fn remove_slot(&mut self, slot: u32) -> Option<Arc<AuthResult>> {
        let result = self.slots.get(slot as usize)?.result.clone()?;
        for (scope, key) in result.entry.keys().into_iter().enumerate() {
            if let Some(key) = key {
                self.remove_from(scope, key, slot);
            }
        }
        let next = self.unlink(slot, BY_USE);
        if slot == self.newest {
            self.newest = next.unwrap_or_default();
        }
        if let Ok(found) = self.by_token.find_entry(word(&result.entry.hash), |other| Arc::ptr_eq(other, &result)) {
            found.remove();
        }
        self.unshare(&result);
        self.slots[slot as usize].result = None;
        self.free.push(slot);
        if self.len() == 0 {
            // So that the next entry is in slot 0 again.
            (self.newest, self.free) = (0, Vec::new());
            self.slots.clear();
        }
        Some(result)
    }

    fn share(&mut self, strings: &str, key_id: Option<[u8; 32]>) -> Arc<SharedStrings> {
        let hash = self.hasher.hash_one((strings, key_id));
        let is_same = |shared: &Shared| *shared.strings.strings == *strings && shared.strings.key_id == key_id;
        if let Some(shared) = self.shared.find_mut(hash, is_same) {
            shared.entries += 1;
            return shared.strings.clone();
        }
        let strings = Arc::new(SharedStrings { strings: strings.into(), key_id });
        let (shared, hasher) = (Shared { strings: strings.clone(), entries: 1 }, &self.hasher);
        let rehash = |shared: &Shared| hasher.hash_one((&*shared.strings.strings, shared.strings.key_id));
        self.shared.insert_unique(hash, shared, rehash);
        strings
    }

    fn unshare(&mut self, result: &AuthResult) {
        let Some(strings) = result.identity().and_then(Identity::shares) else { return };
        let hash = self.hasher.hash_one((&*strings.strings, strings.key_id));
        if let Ok(mut shared) = self.shared.find_entry(hash, |shared| Arc::ptr_eq(&shared.strings, strings)) {
            match shared.get().entries {
                1 => drop(shared.remove()),
                _ => shared.get_mut().entries -= 1,
            }
        }
    }

    /// Checks that all parts agree. Returns the number of places in the lists of subjects, sessions and organizations.
    #[cfg(test)]
    pub fn check(&self) -> usize {
        let (mut places, mut keys) = (0, 0);
        for place in &self.oldest {
            let (slot, scope) = (place / LISTS as u32, *place as usize % LISTS);
            let (key, mut at, mut last) = (key_of(&self.slots, *place).unwrap(), slot, None);
            loop {
                assert_eq!(self.entry(at).unwrap().keys()[scope], Some(key));
                assert!(last.is_none_or(|last| last < self.entry(at).unwrap().ticket), "by age");
                last = Some(self.entry(at).unwrap().ticket);
                places += 1;
                at = self.links(at, scope).after;
                if at == slot {
                    break;
                }
            }
        }
        let (mut by_use, mut at) = (0, self.newest);
        while by_use < self.len() {
            let entry = self.entry(at).unwrap();
            assert_eq!((self.slot_of(&entry.hash), entry.slot.load(Ordering::Relaxed)), (Some(at), at));
            keys += entry.keys().iter().flatten().count();
            (by_use, at) = (by_use + 1, self.links(at, BY_USE).after);
        }
        assert!(self.len() == 0 || at == self.newest);
        assert_eq!((places, self.free.len()), (keys, self.slots.len() - self.len()));
        assert_eq!(self.shared.iter().map(|shared| shared.entries as usize).sum::<usize>(), self.len());
        places
    }
}
