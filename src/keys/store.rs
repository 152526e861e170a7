//! The instance's JWK set, cached: used stale while one caller refreshes it and during outages, and never fetched more
//! often than the rate limit allows because of unauthenticated tokens.

use std::cell::Cell;
use std::hash::RandomState;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{KeySet, Keys};
use crate::api::{ApiError, ErrorKind};
use crate::cache::Cache;
use crate::clock::{Deadline, Io};
use crate::rate_limit::RateLimit;
use crate::reason::Reason;
use crate::single_flight::{Flight, SingleFlight};

/// Age at which the next caller that may block refreshes the set.
const REFRESH_AFTER_MS: i64 = 5 * 60 * 1000;
/// Age at which a set is no longer used.
const MAX_STALE_MS: i64 = 60 * 60 * 1000;
/// Pause after a refresh, so that a failed one is not repeated at once.
const REFRESH_BACKOFF_MS: i64 = 10_000;
/// At most one fetch per interval because of a token whose key is not in the set.
const REFETCH_INTERVAL_MS: i64 = 10_000;
/// How long a key id is cached as unknown.
const NEGATIVE_TTL_MS: i64 = 30_000;
const MAX_UNKNOWN_KIDS: usize = 1024;

/// Returns the body of the JWK set before the deadline, or why there is none.
type FetchJwks<'a> = dyn Fn(Deadline) -> Result<Vec<u8>, ApiError> + 'a;

/// Fetches the JWK set for one call, if the cached one is not enough.
pub struct JwksFetcher<'a> {
    fetch: &'a FetchJwks<'a>,
    io: Io,
    /// Whether this call has fetched already.
    has_fetched: Cell<bool>,
}

impl<'a> JwksFetcher<'a> {
    /// Creates a fetcher for one call. With [`Io::CacheOnly`] `fetch` is never called.
    pub fn new(fetch: &'a FetchJwks<'a>, io: Io) -> Self {
        JwksFetcher { fetch, io, has_fetched: Cell::new(false) }
    }

    fn deadline(&self) -> Result<Deadline, KeyLookupError> {
        match self.io {
            Io::CacheOnly => Err(KeyLookupError::WouldBlock),
            Io::Blocking(deadline) => Ok(deadline),
        }
    }
}

/// Why there are no keys for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLookupError {
    /// The set would have to be fetched, and the caller may not block.
    WouldBlock,
    /// There is no key for this token.
    Refused(Reason),
    /// The set cannot be fetched now; with the milliseconds to wait, if known.
    Unavailable(Reason, Option<u64>),
}

struct Loaded {
    set: KeySet,
    fetched_ms: i64,
}

type OnReplaced = dyn Fn(&dyn Fn(&[u8; 32]) -> bool) + Send + Sync;

/// The cached JWK set. Times are milliseconds of the monotonic clock.
pub struct JwksStore {
    loaded: RwLock<Option<Arc<Loaded>>>,
    in_flight: SingleFlight<(), Result<(), KeyLookupError>>,
    /// Why the last fetch failed, if it did.
    last_failure: Mutex<Option<KeyLookupError>>,
    refresh_backoff: RateLimit,
    refetch_limit: RateLimit,
    unknown_kids: Cache<String, (), RandomState>,
    can_fetch: bool,
    on_replaced: Box<OnReplaced>,
}

impl JwksStore {
    /// Creates a store with `set`, or an empty one. `on_replaced` is called after each fetch that replaced the set; its
    /// argument returns whether the key with an id is in the new one.
    pub fn new(set: Option<(KeySet, i64)>, can_fetch: bool, on_replaced: Box<OnReplaced>) -> Self {
        JwksStore {
            loaded: RwLock::new(set.map(|(set, fetched_ms)| Arc::new(Loaded { set, fetched_ms }))),
            in_flight: SingleFlight::default(),
            last_failure: Mutex::default(),
            refresh_backoff: RateLimit::every_ms(REFRESH_BACKOFF_MS),
            refetch_limit: RateLimit::every_ms(REFETCH_INTERVAL_MS),
            unknown_kids: Cache::new(MAX_UNKNOWN_KIDS, RandomState::new()),
            can_fetch,
            on_replaced,
        }
    }

    /// Returns the keys with a key id.
    pub fn keys_for(&self, kid: &str, now_ms: i64, fetcher: &JwksFetcher<'_>) -> Result<Keys, KeyLookupError> {
        let loaded = self.current(now_ms, fetcher)?;
        if let Some(keys) = loaded.set.get(kid) {
            return Ok(keys.clone());
        }
        if !self.can_fetch || self.unknown_kids.get(kid, now_ms).is_some() {
            return Err(KeyLookupError::Refused(Reason::JwkKidMismatch));
        }
        if let Some(refetched) = self.refetch(&loaded, now_ms, fetcher)? {
            if let Some(keys) = refetched.set.get(kid) {
                return Ok(keys.clone());
            }
            self.unknown_kids.put(kid.to_owned(), (), now_ms + NEGATIVE_TTL_MS, now_ms);
        }
        Err(KeyLookupError::Refused(Reason::JwkKidMismatch))
    }

    /// Returns other keys with a key id after none of `tried` verified the signature: Clerk may have rotated the key.
    pub fn keys_after_rotation(
        &self,
        kid: &str,
        tried: &Keys,
        now_ms: i64,
        fetcher: &JwksFetcher<'_>,
    ) -> Result<Keys, KeyLookupError> {
        let refused = KeyLookupError::Refused(Reason::TokenInvalidSignature);
        if !self.can_fetch {
            return Err(refused);
        }
        let loaded = self.current(now_ms, fetcher)?;
        let others = |loaded: &Loaded| {
            let keys = loaded.set.get(kid)?;
            keys.iter().any(|key| tried.iter().all(|old| old.id() != key.id())).then(|| keys.clone())
        };
        // Another thread may have fetched the new key meanwhile.
        if let Some(keys) = others(&loaded) {
            return Ok(keys);
        }
        self.refetch(&loaded, now_ms, fetcher)?.and_then(|refetched| others(&refetched)).ok_or(refused)
    }

    /// Fetches the set now, whatever its age.
    pub fn warm_up(&self, now_ms: i64, fetcher: &JwksFetcher<'_>) -> Result<(), KeyLookupError> {
        if !self.can_fetch {
            return Ok(());
        }
        let seen = self.loaded.read().clone();
        self.refresh(seen.as_ref(), now_ms, fetcher)
    }

    /// Removes a running fetch. To be called in a forked child: its thread does not exist there.
    pub fn reset_after_fork(&self) {
        self.in_flight.reset_after_fork();
    }

    /// Whether the key with this id is in the set.
    pub fn contains(&self, id: &[u8; 32]) -> bool {
        self.loaded.read().as_ref().is_some_and(|loaded| loaded.set.iter().any(|key| key.id() == id))
    }

    /// Returns the age of the set, if there is one.
    pub fn age_ms(&self, now_ms: i64) -> Option<i64> {
        self.loaded.read().as_ref().map(|loaded| now_ms.saturating_sub(loaded.fetched_ms))
    }

    /// Returns a usable set, refreshed if it is due.
    fn current(&self, now_ms: i64, fetcher: &JwksFetcher<'_>) -> Result<Arc<Loaded>, KeyLookupError> {
        let seen = self.loaded.read().clone();
        if let Some(loaded) = &seen {
            let age_ms = now_ms.saturating_sub(loaded.fetched_ms);
            if !self.can_fetch || age_ms < REFRESH_AFTER_MS {
                return Ok(loaded.clone());
            }
            if age_ms < MAX_STALE_MS {
                match fetcher.io {
                    Io::Blocking(_) if self.refresh_backoff.try_acquire(now_ms) => {
                        // The old set is used if this fails.
                        let _ = self.refresh(Some(loaded), now_ms, fetcher);
                    }
                    // If all callers try without blocking first, one of them has to block.
                    Io::CacheOnly if self.refresh_backoff.is_available(now_ms) => {
                        return Err(KeyLookupError::WouldBlock);
                    }
                    _ => {}
                }
                return Ok(self.loaded.read().clone().unwrap_or_else(|| loaded.clone()));
            }
        }
        self.refresh(seen.as_ref(), now_ms, fetcher)?;
        self.loaded.read().clone().ok_or(KeyLookupError::Unavailable(Reason::JwkFailedToLoad, None))
    }

    /// Fetches the set because of a token whose key is not in it. Any client can send such a token, so this is rate-limited;
    /// joining a running fetch costs Clerk nothing. Returns `None` if the limit is used up, or if this call has fetched
    /// before: the set is as new as possible. After a failed fetch it is unknown whether the token's key exists.
    fn refetch(
        &self,
        seen: &Arc<Loaded>,
        now_ms: i64,
        fetcher: &JwksFetcher<'_>,
    ) -> Result<Option<Arc<Loaded>>, KeyLookupError> {
        let last = || self.last_failure.lock().clone().map_or(Ok(None), Err);
        let Ok(deadline) = fetcher.deadline() else {
            let is_worthwhile = self.in_flight.is_running(&()) || self.refetch_limit.is_available(now_ms);
            return if is_worthwhile { Err(KeyLookupError::WouldBlock) } else { last() };
        };
        if fetcher.has_fetched.get() {
            return last();
        }
        let may_start = || self.refetch_limit.try_acquire(now_ms);
        match self.in_flight.run_if(&(), deadline, may_start, || self.load(Some(seen), now_ms, fetcher, deadline)) {
            None => last(),
            Some(flight) => completed(flight).map(|()| self.loaded.read().clone()),
        }
    }

    fn refresh(
        &self,
        seen: Option<&Arc<Loaded>>,
        now_ms: i64,
        fetcher: &JwksFetcher<'_>,
    ) -> Result<(), KeyLookupError> {
        let deadline = fetcher.deadline()?;
        completed(self.in_flight.run(&(), deadline, || self.load(seen, now_ms, fetcher, deadline)))
    }

    /// Fetches and replaces the set, unless another caller has replaced it since.
    fn load(
        &self,
        seen: Option<&Arc<Loaded>>,
        now_ms: i64,
        fetcher: &JwksFetcher<'_>,
        deadline: Deadline,
    ) -> Result<(), KeyLookupError> {
        if self.loaded.read().as_ref().map(Arc::as_ptr) != seen.map(Arc::as_ptr) {
            return Ok(());
        }
        // Recorded on return, also when the fetch panics.
        let mut failure = FailureRecord { store: self, failure: Some(internal_error()) };
        let outcome = self.fetch(now_ms, fetcher, deadline);
        failure.failure = outcome.clone().err();
        outcome
    }

    fn fetch(&self, now_ms: i64, fetcher: &JwksFetcher<'_>, deadline: Deadline) -> Result<(), KeyLookupError> {
        fetcher.has_fetched.set(true);
        let body = (fetcher.fetch)(deadline).map_err(|error| {
            let reason = match error.kind {
                ErrorKind::Unauthorized => Reason::SecretKeyInvalid,
                _ => Reason::JwkFailedToLoad,
            };
            KeyLookupError::Unavailable(reason, error.retry_after_ms)
        })?;
        let set = KeySet::parse(&body).ok_or(KeyLookupError::Unavailable(Reason::JwkRemoteInvalid, None))?;
        let loaded = Arc::new(Loaded { set, fetched_ms: now_ms });
        *self.loaded.write() = Some(loaded.clone());
        self.unknown_kids.clear();
        (self.on_replaced)(&|id| loaded.set.iter().any(|key| key.id() == id));
        Ok(())
    }
}

fn internal_error() -> KeyLookupError {
    KeyLookupError::Unavailable(Reason::InternalError, None)
}

fn completed(flight: Flight<Result<(), KeyLookupError>>) -> Result<(), KeyLookupError> {
    match flight {
        Flight::Complete(outcome) => outcome,
        Flight::TimedOut => Err(KeyLookupError::Unavailable(Reason::JwkFailedToLoad, None)),
        Flight::Abandoned => Err(internal_error()),
    }
}

struct FailureRecord<'a> {
    store: &'a JwksStore,
    failure: Option<KeyLookupError>,
}

impl Drop for FailureRecord<'_> {
    fn drop(&mut self) {
        *self.store.last_failure.lock() = self.failure.take();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_call_fetches_the_set_at_most_once() {
        let key = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let (calls, kid) = (Cell::new(0), Cell::new("old"));
        let fetch = |_: Deadline| {
            calls.set(calls.get() + 1);
            Ok(format!(r#"{{"keys":[{{"kty":"RSA","kid":"{}","n":"{key}","e":"AQAB"}}]}}"#, kid.get()).into_bytes())
        };
        let store = JwksStore::new(None, true, Box::new(|_| {}));
        let lookup = |kid: &str| {
            let fetcher = JwksFetcher::new(&fetch, Io::Blocking(Deadline::after(Duration::from_secs(1))));
            let keys = store.keys_for(kid, 0, &fetcher)?;
            store.keys_after_rotation(kid, &keys, 0, &fetcher)
        };
        let refused = |reason| Err(KeyLookupError::Refused(reason));
        assert_eq!(lookup("new").map(|_| ()), refused(Reason::JwkKidMismatch));
        assert_eq!(calls.get(), 1);
        kid.set("new");
        assert_eq!(lookup("new").map(|_| ()), refused(Reason::TokenInvalidSignature));
        assert_eq!(calls.get(), 2);
        assert_eq!(lookup("other").map(|_| ()), refused(Reason::JwkKidMismatch));
        assert_eq!(calls.get(), 2);
    }
}
