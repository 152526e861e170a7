//! The instance's JWK set, kept: served stale while one thread refreshes it, kept through outages, and never fetched at
//! a stranger's will.

use std::cell::Cell;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

use super::{KeySet, Keys};
use crate::api::{ApiError, ErrorKind};
use crate::cache::Cache;
use crate::rate_limit::RateLimit;
use crate::reason::Reason;

/// Age at which a set is refreshed by the next caller that may block.
const SOFT_MS: i64 = 5 * 60 * 1000;
/// Age at which a set is no longer trusted.
const HARD_MS: i64 = 60 * 60 * 1000;
/// Pause after a refresh that failed.
const RETRY_MS: i64 = 10_000;
/// How long a key id is remembered as unknown.
const UNKNOWN_MS: i64 = 30_000;
const MOST_UNKNOWN: usize = 1024;

/// How a call gets the set's text, and until when.
pub struct Fetch<'a> {
    jwks: &'a dyn Fn() -> Result<Vec<u8>, ApiError>,
    deadline: Instant,
    /// Whether this call has asked already.
    asked: Cell<bool>,
}

impl<'a> Fetch<'a> {
    /// `jwks` asks Clerk; at `deadline` the caller gives up.
    pub fn new(jwks: &'a dyn Fn() -> Result<Vec<u8>, ApiError>, deadline: Instant) -> Self {
        Fetch { jwks, deadline, asked: Cell::new(false) }
    }
}

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// They would have to be fetched, and the caller cannot wait.
    WouldBlock,
    /// There are none for this token.
    Refused(Reason),
    /// Nobody can tell; with how long to wait.
    Unavailable(Reason, Option<u64>),
}

struct Loaded {
    set: KeySet,
    at_ms: i64,
}

#[derive(Default)]
struct Flight {
    running: bool,
    landed: u64,
    failure: Option<Miss>,
}

type OnReplaced = dyn Fn(&dyn Fn(&[u8; 32]) -> bool) + Send + Sync;

/// See the module. Times are milliseconds of the monotonic clock.
pub struct JwksStore {
    loaded: RwLock<Option<Arc<Loaded>>>,
    flight: Mutex<Flight>,
    landing: Condvar,
    refresh_at_ms: Mutex<i64>,
    bucket: RateLimit,
    unknown: Cache<String, (), RandomState>,
    can_fetch: bool,
    on_replaced: Box<OnReplaced>,
}

impl JwksStore {
    /// A store that begins with `set`, or empty. `on_replaced` is called after each fetch that replaced the set; its
    /// argument tells whether the key with an id is still there.
    pub fn new(set: Option<(KeySet, i64)>, can_fetch: bool, on_replaced: Box<OnReplaced>) -> Self {
        JwksStore {
            loaded: RwLock::new(set.map(|(set, at_ms)| Arc::new(Loaded { set, at_ms }))),
            flight: Mutex::default(),
            landing: Condvar::new(),
            refresh_at_ms: Mutex::new(i64::MIN),
            bucket: RateLimit::default(),
            unknown: Cache::new(MOST_UNKNOWN, RandomState::new()),
            can_fetch,
            on_replaced,
        }
    }

    /// The keys under a key id.
    pub fn keys_for(&self, kid: &str, now_ms: i64, fetch: Option<&Fetch<'_>>) -> Result<Keys, Miss> {
        let loaded = self.current(now_ms, fetch)?;
        if let Some(keys) = loaded.set.get(kid) {
            return Ok(keys.clone());
        }
        let kid = kid.to_owned();
        if !self.can_fetch || self.unknown.get(&kid, now_ms).is_some() {
            return Err(Miss::Refused(Reason::JwkKidMismatch));
        }
        if let Some(fresh) = self.refetch(&loaded, now_ms, fetch)? {
            if let Some(keys) = fresh.set.get(&kid) {
                return Ok(keys.clone());
            }
            self.unknown.put(kid, (), now_ms + UNKNOWN_MS, now_ms);
        }
        Err(Miss::Refused(Reason::JwkKidMismatch))
    }

    /// The keys under a key id after `tried` did not fit: others, or none.
    pub fn rotated(&self, kid: &str, tried: &Keys, now_ms: i64, fetch: Option<&Fetch<'_>>) -> Result<Keys, Miss> {
        let refused = Miss::Refused(Reason::TokenInvalidSignature);
        if !self.can_fetch {
            return Err(refused);
        }
        let loaded = self.current(now_ms, fetch)?;
        let others = |loaded: &Loaded| {
            let keys = loaded.set.get(kid)?;
            keys.iter().any(|key| tried.iter().all(|old| old.id() != key.id())).then(|| keys.clone())
        };
        // Another thread may have fetched the new key meanwhile.
        if let Some(keys) = others(&loaded) {
            return Ok(keys);
        }
        self.refetch(&loaded, now_ms, fetch)?.and_then(|fresh| others(&fresh)).ok_or(refused)
    }

    /// Fetches the set now, whatever its age.
    pub fn warm_up(&self, now_ms: i64, fetch: &Fetch<'_>) -> Result<(), Miss> {
        if !self.can_fetch {
            return Ok(());
        }
        let seen = self.loaded.read().clone();
        self.fly(seen.as_ref(), now_ms, fetch)
    }

    /// In a forked child: whoever was fetching did not come along.
    pub fn abandon(&self) {
        self.flight.lock().running = false;
    }

    /// Whether the key with this id is in the set.
    pub fn holds(&self, id: &[u8; 32]) -> bool {
        self.loaded.read().as_ref().is_some_and(|loaded| loaded.set.iter().any(|key| key.id() == id))
    }

    /// How old the set is, if there is one.
    pub fn age_ms(&self, now_ms: i64) -> Option<i64> {
        self.loaded.read().as_ref().map(|loaded| now_ms.saturating_sub(loaded.at_ms))
    }

    /// A set that may be used: loaded, and refreshed if it is due.
    fn current(&self, now_ms: i64, fetch: Option<&Fetch<'_>>) -> Result<Arc<Loaded>, Miss> {
        let seen = self.loaded.read().clone();
        if let Some(loaded) = &seen {
            let age = now_ms.saturating_sub(loaded.at_ms);
            if !self.can_fetch || age < SOFT_MS {
                return Ok(loaded.clone());
            }
            if age < HARD_MS {
                match fetch {
                    Some(fetch) if self.refresh_is_mine(now_ms) => {
                        // A failure is the outage that the old set is kept for.
                        let _ = self.fly(Some(loaded), now_ms, fetch);
                    }
                    // Where everybody tries without waiting first, somebody has to be sent to wait.
                    None if now_ms >= *self.refresh_at_ms.lock() => return Err(Miss::WouldBlock),
                    _ => {}
                }
                return Ok(self.loaded.read().clone().unwrap_or_else(|| loaded.clone()));
            }
        }
        self.fly(seen.as_ref(), now_ms, fetch.ok_or(Miss::WouldBlock)?)?;
        self.loaded.read().clone().ok_or(Miss::Unavailable(Reason::JwkFailedToLoad, None))
    }

    /// Of all callers that find the set old, one refreshes it; the others go on with what there is.
    fn refresh_is_mine(&self, now_ms: i64) -> bool {
        let mut at = self.refresh_at_ms.lock();
        let mine = now_ms >= *at;
        if mine {
            *at = now_ms + RETRY_MS;
        }
        mine
    }

    /// A fetch that a token has caused, so one that strangers could cause: rationed. `None`: the ration is used up, or this
    /// very call has asked before: the set is as new as can be, and the ration is for others. A set that could not be
    /// renewed says nothing against a token: while the last fetch is one that failed, nobody can tell.
    fn refetch(&self, seen: &Arc<Loaded>, now_ms: i64, fetch: Option<&Fetch<'_>>) -> Result<Option<Arc<Loaded>>, Miss> {
        let last = |flight: &Flight| flight.failure.clone().map_or(Ok(None), Err);
        let flight = self.flight.lock();
        let Some(fetch) = fetch else {
            let worth_it = flight.running || self.bucket.is_available(now_ms);
            return if worth_it { Err(Miss::WouldBlock) } else { last(&flight) };
        };
        // Joining a fetch that is under way costs Clerk nothing.
        if fetch.asked.get() || (!flight.running && !self.bucket.try_acquire(now_ms)) {
            return last(&flight);
        }
        self.board(flight, Some(seen), now_ms, fetch)?;
        Ok(self.loaded.read().clone())
    }

    /// One fetch at a time: the first caller flies, those who come meanwhile wait for its landing. Does nothing when
    /// the set is no longer the one the caller has seen.
    fn fly(&self, seen: Option<&Arc<Loaded>>, now_ms: i64, fetch: &Fetch<'_>) -> Result<(), Miss> {
        self.board(self.flight.lock(), seen, now_ms, fetch)
    }

    fn board(
        &self,
        mut flight: MutexGuard<'_, Flight>,
        seen: Option<&Arc<Loaded>>,
        now_ms: i64,
        fetch: &Fetch<'_>,
    ) -> Result<(), Miss> {
        if flight.running {
            let before = flight.landed;
            while flight.landed == before {
                if self.landing.wait_until(&mut flight, fetch.deadline).timed_out() {
                    return Err(Miss::Unavailable(Reason::JwkFailedToLoad, None));
                }
            }
            return flight.failure.clone().map_or(Ok(()), Err);
        }
        if self.loaded.read().as_ref().map(Arc::as_ptr) != seen.map(Arc::as_ptr) {
            return Ok(());
        }
        flight.running = true;
        drop(flight);
        // Also when the fetch panics: nobody must wait for ever.
        let landing = Landing { store: self, failure: Some(Miss::Unavailable(Reason::InternalError, None)) };
        landing.land(self.load(now_ms, fetch))
    }

    fn load(&self, now_ms: i64, fetch: &Fetch<'_>) -> Result<(), Miss> {
        fetch.asked.set(true);
        let text = (fetch.jwks)().map_err(|error| {
            let reason = match error.kind {
                ErrorKind::Unauthorized => Reason::SecretKeyInvalid,
                _ => Reason::JwkFailedToLoad,
            };
            Miss::Unavailable(reason, error.retry_after_ms)
        })?;
        let set = KeySet::parse(&text).ok_or(Miss::Unavailable(Reason::JwkRemoteInvalid, None))?;
        let loaded = Arc::new(Loaded { set, at_ms: now_ms });
        *self.loaded.write() = Some(loaded.clone());
        self.unknown.clear();
        (self.on_replaced)(&|id| loaded.set.iter().any(|key| key.id() == id));
        Ok(())
    }
}

struct Landing<'a> {
    store: &'a JwksStore,
    failure: Option<Miss>,
}

impl Landing<'_> {
    fn land(mut self, outcome: Result<(), Miss>) -> Result<(), Miss> {
        self.failure = outcome.clone().err();
        outcome
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut flight = self.store.flight.lock();
        flight.running = false;
        flight.landed += 1;
        flight.failure = self.failure.take();
        self.store.landing.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_call_asks_once_and_leaves_the_ration_to_others() {
        let key = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let (calls, kid) = (Cell::new(0), Cell::new("old"));
        let jwks = || {
            calls.set(calls.get() + 1);
            Ok(format!(r#"{{"keys":[{{"kty":"RSA","kid":"{}","n":"{key}","e":"AQAB"}}]}}"#, kid.get()).into_bytes())
        };
        let store = JwksStore::new(None, true, Box::new(|_| {}));
        let ask = |kid: &str| {
            let fetch = Fetch::new(&jwks, Instant::now() + Duration::from_secs(1));
            let keys = store.keys_for(kid, 0, Some(&fetch))?;
            store.rotated(kid, &keys, 0, Some(&fetch))
        };
        let refused = |reason| Err(Miss::Refused(reason));
        assert_eq!(ask("new").map(|_| ()), refused(Reason::JwkKidMismatch));
        assert_eq!(calls.get(), 1);
        kid.set("new");
        assert_eq!(ask("new").map(|_| ()), refused(Reason::TokenInvalidSignature));
        assert_eq!(calls.get(), 2);
        assert_eq!(ask("other").map(|_| ()), refused(Reason::JwkKidMismatch));
        assert_eq!(calls.get(), 2);
    }
}
