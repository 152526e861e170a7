//! The cache and the key store, against models.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::hash::RandomState;
use std::time::Duration;

use clerk_auth::Reason;
use clerk_auth::internals::parts::{Cache, Deadline, Io, JwksFetcher, JwksStore, KeyLookupError, Lookup, server_error};

use crate::input::Input;
use crate::limits::watch;
use crate::tokens;

/// An entry of the model; the front is the most recently used one.
#[derive(Clone, Copy)]
struct Entry {
    key: u8,
    value: u16,
    expires_ms: i64,
    accessed_ms: i64,
}

struct Model {
    entries: VecDeque<Entry>,
    capacity: usize,
}

impl Model {
    fn take(&mut self, key: u8) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        self.entries.remove(at)
    }

    fn peek(&self, key: u8) -> Option<Entry> {
        self.entries.iter().find(|entry| entry.key == key).copied()
    }

    fn lookup(&mut self, key: u8, now_ms: i64, is_valid: bool) -> Lookup<u16> {
        let Some(entry) = self.peek(key) else { return Lookup::Miss };
        if entry.expires_ms <= now_ms || !is_valid {
            self.take(key);
            return Lookup::Removed(entry.value);
        }
        if now_ms - entry.accessed_ms >= 1000 {
            self.take(key);
            self.entries.push_front(Entry { accessed_ms: now_ms, ..entry });
        }
        Lookup::Hit(entry.value)
    }

    fn put(&mut self, entry: Entry, is_allowed: bool) -> Result<Option<u16>, u16> {
        if entry.expires_ms <= entry.accessed_ms || !is_allowed {
            return Err(entry.value);
        }
        let displaced = match self.take(entry.key) {
            Some(old) => Some(old),
            None if self.entries.len() == self.capacity => self.entries.pop_back(),
            None => None,
        };
        self.entries.push_front(entry);
        Ok(displaced.map(|old| old.value))
    }
}

/// Input: the capacity, then operations.
pub fn cache(data: &[u8]) {
    let mut input = Input(data);
    // Below 64 there is one shard, whose order is exact.
    let capacity = input.below(12) + 1;
    let cache: Cache<u8, u16, RandomState> = Cache::new(capacity, RandomState::new());
    let mut model = Model { entries: VecDeque::new(), capacity };
    let (mut now_ms, mut next) = (0, 0_u16);
    while !input.is_empty() {
        let key = input.byte() % 16;
        match input.below(8) {
            0 => now_ms += [1, 10, 999, 1000, 1001, 60_000][input.below(6)],
            1 | 2 => {
                next = next.wrapping_add(1);
                let expires_ms = now_ms + [0, 1, 1000, 5000, -1, 100_000][input.below(6)];
                let entry = Entry { key, value: next, expires_ms, accessed_ms: now_ms };
                let found = watch(|| cache.put(key, next, expires_ms, now_ms));
                assert_eq!(found, model.put(entry, true).ok().flatten());
            }
            3 => {
                next = next.wrapping_add(1);
                let (expires_ms, parity) = (now_ms + 2000, u16::from(input.byte() & 1));
                let live = model.peek(key).filter(|entry| entry.expires_ms > now_ms).map(|entry| entry.value);
                let is_allowed = |old: Option<u16>| old.is_none_or(|old| old % 2 == parity);
                let found = watch(|| {
                    cache.put_if(key, next, expires_ms, now_ms, |old| {
                        assert_eq!(old.copied(), live);
                        is_allowed(old.copied())
                    })
                });
                let entry = Entry { key, value: next, expires_ms, accessed_ms: now_ms };
                assert_eq!(found, model.put(entry, is_allowed(live)));
            }
            4 => {
                let is_valid = input.byte() & 3 != 0;
                let found = watch(|| cache.lookup(&key, now_ms, |_| is_valid, |value| *value));
                assert_eq!(found, model.lookup(key, now_ms, is_valid));
            }
            5 => {
                let found = watch(|| cache.get(&key, now_ms));
                let right = match model.lookup(key, now_ms, true) {
                    Lookup::Hit(value) => Some(value),
                    Lookup::Removed(_) | Lookup::Miss => None,
                };
                assert_eq!(found, right);
            }
            6 => {
                let parity = u16::from(input.byte() & 1);
                let found = cache.remove_if(&key, |value| value % 2 == parity);
                let fits = model.peek(key).is_some_and(|entry| entry.value % 2 == parity);
                assert_eq!(found, if fits { model.take(key).map(|entry| entry.value) } else { None });
            }
            _ => {
                assert_eq!(cache.remove(&key), model.take(key).map(|entry| entry.value));
            }
        }
        assert_eq!(cache.len(), model.entries.len());
        assert!(cache.len() <= capacity);
    }
}

const NAMES: [&str; 3] = ["k1", "k2", "other"];

/// Input: operations on a key store whose Clerk rotates its keys and fails.
pub fn key_store(data: &[u8]) {
    let mut input = Input(data);
    let (calls, is_down, set) = (Cell::new(0), Cell::new(0), RefCell::new(vec!["k1"]));
    let fetch = |_: Deadline| {
        calls.set(calls.get() + 1);
        match is_down.get() {
            0 => Ok(tokens::jwk_set(&set.borrow())),
            1 => Err(server_error()),
            2 => Ok(br#"{"keys":[]}"#.to_vec()),
            _ => Ok(b"<html>".to_vec()),
        }
    };
    let store = JwksStore::new(None, true, Box::new(|_| {}), Box::new(|_| {}));
    let mut now_ms = 0;
    // The set of the last successful fetch, and its time.
    let mut good: Option<(Vec<&str>, i64)> = None;
    // The times of all fetches, and how often Clerk's keys have changed since the first one that counts.
    let (mut fetches, mut rotations) = (VecDeque::new(), VecDeque::new());
    while !input.is_empty() {
        match input.below(8) {
            0 => {
                now_ms += [1, 100, 1000, 5000, 9999, 10_000, 30_000, 299_999, 300_000, 3_600_000][input.below(10)];
                continue;
            }
            1 => {
                is_down.set(input.byte() % 4);
                continue;
            }
            2 => {
                let bits = input.byte();
                let names: Vec<_> =
                    NAMES.into_iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1).map(|(_, k)| k).collect();
                if !names.is_empty() {
                    *set.borrow_mut() = names;
                    rotations.push_back(now_ms);
                }
                continue;
            }
            _ => {}
        }
        let is_blocking = input.byte() & 3 != 0;
        let io = if is_blocking { Io::Blocking(Deadline::after(Duration::from_secs(5))) } else { Io::CacheOnly };
        let n = input.byte();
        let kid = NAMES.get(usize::from(n % 8)).map_or_else(|| format!("unknown_{}", n % 16), |kid| (*kid).to_owned());
        let before = calls.get();
        let fetcher = JwksFetcher::new(&fetch, io);
        let found = watch(|| store.keys_for(&kid, now_ms, &fetcher));
        let made = calls.get() - before;
        assert!(made <= usize::from(is_blocking), "{made} fetches for one token");
        let old = good.clone();
        if made == 1 {
            fetches.push_back(now_ms);
            if is_down.get() == 0 {
                good = Some((set.borrow().clone(), now_ms));
            }
        }
        let has = |good: &Option<(Vec<&str>, i64)>| {
            good.as_ref().is_some_and(|(set, at)| set.contains(&kid.as_str()) && now_ms - at < 60 * 60 * 1000)
        };
        match &found {
            Ok(keys) => {
                assert!(!keys.is_empty() && has(&good), "a key that is in no set, or too old");
                if n & 64 != 0 {
                    store.confirm(keys[0].id(), now_ms);
                }
            }
            Err(KeyLookupError::WouldBlock) => assert!(!is_blocking),
            Err(error) => {
                assert!(!has(&good), "a good key is lost: {error:?}");
                if let KeyLookupError::Refused(reason) = error {
                    assert_eq!(*reason, Reason::JwkKidMismatch);
                    assert!(good.is_some(), "rejected without a set");
                }
            }
        }
        if old.is_some() && made == 1 && is_down.get() != 0 {
            assert_eq!(store.age_ms(now_ms), old.map(|(_, at)| now_ms - at), "a failed fetch has replaced a set");
        }
        // Whatever unauthenticated clients ask for, Clerk is asked rarely.
        while fetches.front().is_some_and(|at| now_ms - at >= 10_000) {
            fetches.pop_front();
        }
        while rotations.front().is_some_and(|at| now_ms - at >= 20_000) {
            rotations.pop_front();
        }
        assert!(fetches.len() <= 12 + rotations.len(), "{} fetches in ten seconds", fetches.len());
        // A signature that no key verifies.
        if let (Ok(keys), true) = (&found, input.flag()) {
            let before = calls.get();
            let fetcher = JwksFetcher::new(&fetch, io);
            let rotated = watch(|| store.keys_after_rotation(&kid, &[n; 32], keys, now_ms, &fetcher));
            let made = calls.get() - before;
            assert!(made <= usize::from(is_blocking));
            assert!(rotated.is_err() || rotated.is_ok_and(|keys| !keys.is_empty()));
            if made == 1 {
                fetches.push_back(now_ms);
                if is_down.get() == 0 {
                    good = Some((set.borrow().clone(), now_ms));
                }
            }
        }
    }
}
