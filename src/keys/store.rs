//! The instance's JWK set, cached: served stale while one caller refreshes it, kept through outages, and never fetched more
//! often than the rate limits allow because of unauthenticated tokens.

use std::cell::Cell;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::rejections::{Earlier, Rejections};
use super::{KeySet, Keys};
use crate::api::{ApiError, ErrorKind};
use crate::cache::Cache;
use crate::clock::{Deadline, Io};
use crate::fork_mutex::ResetMutex;
use crate::jwt::{KnownKeys, VerifyingKey};
use crate::rate_limit::{RateLimit, Slots, TokenBucket};
use crate::reason::Reason;
use crate::single_flight::{Flight, SingleFlight};

/// Age at which the next caller that may block refreshes the set.
const REFRESH_AFTER_MS: i64 = 5 * 60 * 1000;
/// Age at which a set is no longer used.
const MAX_STALE_MS: i64 = 60 * 60 * 1000;
/// Pause after a refresh, and after a fetch that failed for a lasting reason, so that it is not repeated at once.
const REFRESH_BACKOFF_MS: i64 = 10_000;
/// The number of passing failures in a row, such as lost connections, after which the next fetch need not wait.
const FREE_FAILURES: u32 = 2;
/// Pause after one more passing failure; doubles with each, up to [`REFRESH_BACKOFF_MS`].
const MIN_BACKOFF_MS: i64 = 1000;
/// At most one fetch per interval because of a token whose key is not in the set.
const REFETCH_INTERVAL_MS: i64 = 10_000;
/// How long a key id, or a token whose signature no key verifies, is cached as unknown.
const NEGATIVE_TTL_MS: i64 = 30_000;
const MAX_UNKNOWN: usize = 1024;
/// Fetches beyond that limit, at once and one per interval, for key ids and tokens that were rejected because of it and come again, or
/// may come again because [`Rejections`] is full. After a rotation all tokens have the new key id, or a good token comes again;
/// invented ones differ, or else delay the new key by this interval at most.
const REPEATED_BURST: u32 = 3;
const REPEATED_INTERVAL_MS: i64 = 1000;
/// The number of callers that wait for a fetch because the cached set has no key for their token.
const MAX_REFETCH_WAITERS: usize = 4;

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
    /// The set cannot be fetched now; with the milliseconds to wait, if known, and the failed call.
    Unavailable(Reason, Option<u64>, Option<Box<ApiError>>),
}

struct Loaded {
    set: KeySet,
    fetched_ms: i64,
    /// The number of the fetch; 0 for a configured set.
    number: u64,
    /// The ids of the keys that came with the last rotation.
    new_keys: Vec<[u8; 32]>,
    /// Whether a sign-in by a new key has renewed the limit of fetches.
    has_renewed: AtomicBool,
}

impl Loaded {
    fn new(set: KeySet, fetched_ms: i64, number: u64, before: Option<&Loaded>) -> Self {
        let is_new =
            |key: &&VerifyingKey| before.is_some_and(|before| before.set.iter().all(|old| old.id() != key.id()));
        let mut new_keys: Vec<_> = set.iter().filter(is_new).map(|key| *key.id()).collect();
        let mut has_renewed = false;
        // Nothing has been rotated since: the set before, fetched again.
        if let Some(before) = before.filter(|_| new_keys.is_empty()) {
            new_keys.clone_from(&before.new_keys);
            has_renewed = before.has_renewed.load(Ordering::SeqCst);
        }
        Loaded { set, fetched_ms, number, new_keys, has_renewed: AtomicBool::new(has_renewed) }
    }
}

/// A failed fetch.
#[derive(Clone)]
struct Failure {
    error: KeyLookupError,
    /// Until when no other fetch is begun for a token.
    backoff_until_ms: i64,
    /// The number of failures in a row.
    count: u32,
}

impl Failure {
    /// Returns what failed, for an operator.
    fn describe(&self) -> String {
        match &self.error {
            KeyLookupError::Unavailable(_, _, Some(cause)) => cause.to_string(),
            KeyLookupError::Unavailable(reason, ..) | KeyLookupError::Refused(reason) => reason.to_string(),
            KeyLookupError::WouldBlock => "it would block".to_owned(),
        }
    }

    /// Returns the error for another caller, with the time that is left.
    fn error_at(&self, now_ms: i64) -> KeyLookupError {
        let left_ms = u64::try_from(self.backoff_until_ms.saturating_sub(now_ms)).ok().filter(|ms| *ms > 0);
        match &self.error {
            KeyLookupError::Unavailable(reason, _, cause) => {
                KeyLookupError::Unavailable(*reason, left_ms, cause.clone())
            }
            error => error.clone(),
        }
    }
}

/// The newest fetch that has ended.
#[derive(Default)]
struct LastFetch {
    number: u64,
    failure: Option<Failure>,
}

/// The outcome of [`JwksStore::refetch`].
enum Refetch {
    /// This call has fetched the set.
    Fetched(Arc<Loaded>),
    /// Another call has; its fetch may have begun before the token was issued.
    Joined(Arc<Loaded>),
    /// The limits do not allow a fetch.
    Limited,
}

impl Refetch {
    fn loaded(&self) -> Option<&Loaded> {
        match self {
            Refetch::Fetched(loaded) | Refetch::Joined(loaded) => Some(loaded),
            Refetch::Limited => None,
        }
    }
}

type OnReplaced = dyn Fn(&dyn Fn(&[u8; 32]) -> bool) + Send + Sync;
type OnLimited = dyn Fn(u64) + Send + Sync;

/// The cached JWK set. Times are milliseconds of the monotonic clock.
pub struct JwksStore {
    loaded: ResetMutex<Option<Arc<Loaded>>>,
    /// The set that never changes, if none can be fetched: a forked child may have to replace `loaded`.
    configured: Option<Arc<Loaded>>,
    in_flight: SingleFlight<(), Result<(), KeyLookupError>>,
    last_fetch: ResetMutex<LastFetch>,
    /// The number of fetches begun.
    fetches: AtomicU64,
    refresh_backoff: RateLimit,
    refetch_limit: RateLimit,
    refetch_waiters: Slots,
    repeated_limit: TokenBucket,
    /// Key ids, and hashes of signed input, for which a set fetched for them had no key.
    unknown: Cache<Box<[u8]>, (), RandomState>,
    /// The same, rejected without a fetch.
    rejections: Rejections,
    can_fetch: bool,
    on_replaced: Box<OnReplaced>,
    on_limited: Box<OnLimited>,
    /// Whether `on_limited` was called since the last fetch that the limit allowed.
    is_limit_reported: AtomicBool,
}

impl JwksStore {
    /// Creates a store with `set`, or an empty one. `on_replaced` is called after each fetch that replaced the set; its
    /// argument returns whether the key with an id is in the new one. `on_limited` is called, once for each interval, when a
    /// token whose key is not in the set causes no fetch because of the limit; its argument is the milliseconds until one may.
    pub fn new(
        set: Option<(KeySet, i64)>,
        can_fetch: bool,
        on_replaced: Box<OnReplaced>,
        on_limited: Box<OnLimited>,
    ) -> Self {
        let loaded = set.map(|(set, fetched_ms)| Arc::new(Loaded::new(set, fetched_ms, 0, None)));
        JwksStore {
            configured: loaded.clone().filter(|_| !can_fetch),
            loaded: ResetMutex::new(loaded),
            in_flight: SingleFlight::default(),
            last_fetch: ResetMutex::default(),
            fetches: AtomicU64::new(0),
            refresh_backoff: RateLimit::every_ms(REFRESH_BACKOFF_MS),
            refetch_limit: RateLimit::every_ms(REFETCH_INTERVAL_MS),
            refetch_waiters: Slots::new(MAX_REFETCH_WAITERS),
            repeated_limit: TokenBucket::new(REPEATED_BURST, REPEATED_INTERVAL_MS),
            unknown: Cache::new(MAX_UNKNOWN, RandomState::new()),
            rejections: Rejections::new(),
            can_fetch,
            on_replaced,
            on_limited,
            is_limit_reported: AtomicBool::new(false),
        }
    }

    /// Returns the keys with a key id.
    pub fn keys_for(&self, kid: &str, now_ms: i64, fetcher: &JwksFetcher<'_>) -> Result<Keys, KeyLookupError> {
        let loaded = self.current(now_ms, fetcher)?;
        let find = |loaded: &Loaded| loaded.set.get(kid).cloned();
        match find(&loaded) {
            Some(keys) => Ok(keys),
            None => self.find_after_refetch(kid.as_bytes(), &loaded, find, Reason::JwkKidMismatch, now_ms, fetcher),
        }
    }

    /// Fetches the set, within the limits, because the cached one has no key for a token. `wanted` is what the set has none for.
    fn find_after_refetch(
        &self,
        wanted: &[u8],
        loaded: &Arc<Loaded>,
        find: impl Fn(&Loaded) -> Option<Keys>,
        reason: Reason,
        now_ms: i64,
        fetcher: &JwksFetcher<'_>,
    ) -> Result<Keys, KeyLookupError> {
        let refused = Err(KeyLookupError::Refused(reason));
        if !self.can_fetch || self.unknown.get(wanted, now_ms).is_some() {
            return refused;
        }
        let expires_ms = now_ms.saturating_add(NEGATIVE_TTL_MS);
        let fetches = self.fetches.load(Ordering::SeqCst);
        let earlier = self.rejections.find(wanted, now_ms);
        let was_fetched_since = matches!(earlier, Earlier::At(fetches) if loaded.number > fetches);
        if !was_fetched_since {
            let refetched = self.refetch(loaded, earlier != Earlier::None, now_ms, fetcher)?;
            if let Some(keys) = refetched.loaded().and_then(find) {
                // Clerk has rotated its keys: that was not one of the fetches that the limit is for.
                self.refetch_limit.release();
                return Ok(keys);
            }
            if !matches!(refetched, Refetch::Fetched(_)) {
                self.rejections.record(wanted, fetches, now_ms);
                return refused;
            }
        }
        self.unknown.put(wanted.into(), (), expires_ms, now_ms);
        refused
    }

    /// Returns whether a set that needs no refresh has no key with this id, and none is fetched for it.
    pub fn is_unknown(&self, kid: &str, now_ms: i64) -> bool {
        let loaded = self.loaded();
        let is_current =
            |loaded: &&Arc<Loaded>| !self.can_fetch || now_ms.saturating_sub(loaded.fetched_ms) < REFRESH_AFTER_MS;
        let is_absent = loaded.as_ref().filter(is_current).is_some_and(|loaded| loaded.set.get(kid).is_none());
        is_absent && (!self.can_fetch || self.unknown.get(kid.as_bytes(), now_ms).is_some())
    }

    /// Returns other keys with a key id after none of `tried` verified the signature of the token whose signing input has this hash:
    /// Clerk may have rotated the key.
    pub fn keys_after_rotation(
        &self,
        kid: &str,
        signing_hash: &[u8; 32],
        tried: &Keys,
        now_ms: i64,
        fetcher: &JwksFetcher<'_>,
    ) -> Result<Keys, KeyLookupError> {
        let refused = Reason::TokenInvalidSignature;
        if !self.can_fetch {
            return Err(KeyLookupError::Refused(refused));
        }
        let loaded = self.current(now_ms, fetcher)?;
        let find = |loaded: &Loaded| {
            let keys = loaded.set.get(kid)?;
            keys.iter().any(|key| tried.iter().all(|old| old.id() != key.id())).then(|| keys.clone())
        };
        match find(&loaded) {
            // Another thread has fetched the new key meanwhile.
            Some(keys) => Ok(keys),
            None => self.find_after_refetch(signing_hash, &loaded, find, refused, now_ms, fetcher),
        }
    }

    /// Records that a token was verified by a key. The first one of a key that came with a rotation renews the limit of fetches
    /// if it is used up: Clerk does rotate its keys, and may do so again. Once for each set, so that no client can have the
    /// set fetched more often.
    pub fn confirm(&self, key_id: &[u8; 32], now_ms: i64) {
        let loaded = self.loaded();
        let Some(loaded) = loaded.filter(|loaded| loaded.new_keys.contains(key_id)) else { return };
        if !self.refetch_limit.is_available(now_ms) && !loaded.has_renewed.swap(true, Ordering::SeqCst) {
            self.refetch_limit.release();
        }
    }

    /// Fetches the set now, whatever its age.
    pub fn warm_up(&self, now_ms: i64, fetcher: &JwksFetcher<'_>) -> Result<(), KeyLookupError> {
        if !self.can_fetch {
            return Ok(());
        }
        let seen = self.loaded();
        self.refresh(seen.as_ref(), now_ms, fetcher)
    }

    /// Ends the waits of callers that have joined a fetch.
    pub fn cancel_waits(&self) {
        self.in_flight.cancel();
    }

    /// Removes a running fetch. To be called in a forked child: its thread does not exist there.
    pub fn reset_after_fork(&self) {
        self.in_flight.reset_after_fork();
        self.refetch_waiters.reset();
    }

    /// Returns what is known of the keys with a key id, without a fetch.
    pub fn known(&self, kid: Option<&str>) -> KnownKeys<Keys> {
        let loaded = self.loaded();
        match loaded {
            Some(loaded) => KnownKeys::Set(loaded.set.kids(), kid.and_then(|kid| loaded.set.get(kid)).cloned()),
            None => KnownKeys::NotFetched(self.last_fetch.lock().failure.as_ref().map(Failure::describe)),
        }
    }

    fn loaded(&self) -> Option<Arc<Loaded>> {
        self.loaded.lock().clone().or_else(|| self.configured.clone())
    }

    /// Whether the key with this id is in the set.
    pub fn contains(&self, id: &[u8; 32]) -> bool {
        self.loaded().as_ref().is_some_and(|loaded| loaded.set.iter().any(|key| key.id() == id))
    }

    /// Returns the age of the set, if there is one.
    pub fn age_ms(&self, now_ms: i64) -> Option<i64> {
        self.loaded().as_ref().map(|loaded| now_ms.saturating_sub(loaded.fetched_ms))
    }

    /// Returns a usable set, refreshed if it is due.
    fn current(&self, now_ms: i64, fetcher: &JwksFetcher<'_>) -> Result<Arc<Loaded>, KeyLookupError> {
        let seen = self.loaded();
        if let Some(loaded) = &seen {
            let age_ms = now_ms.saturating_sub(loaded.fetched_ms);
            if !self.can_fetch || age_ms < REFRESH_AFTER_MS {
                return Ok(loaded.clone());
            }
            if age_ms < MAX_STALE_MS {
                match fetcher.io {
                    _ if self.backoff(now_ms).is_some() => {}
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
                return Ok(self.loaded().unwrap_or_else(|| loaded.clone()));
            }
        }
        if let Some(error) = self.backoff(now_ms) {
            return Err(error);
        }
        self.refresh(seen.as_ref(), now_ms, fetcher)?;
        self.loaded().ok_or_else(|| unavailable(Reason::JwkFailedToLoad, None))
    }

    /// Returns the error of the last fetch while no other one may be begun.
    fn backoff(&self, now_ms: i64) -> Option<KeyLookupError> {
        let last = self.last_fetch.lock();
        last.failure
            .as_ref()
            .filter(|failure| now_ms < failure.backoff_until_ms)
            .map(|failure| failure.error_at(now_ms))
    }

    /// Returns what is known without a fetch: after a failed one it is unknown whether the token's key exists.
    fn limited(&self, now_ms: i64) -> Result<Refetch, KeyLookupError> {
        self.last_fetch.lock().failure.as_ref().map_or(Ok(Refetch::Limited), |failure| Err(failure.error_at(now_ms)))
    }

    /// Does the same, and reports that the limit is the reason.
    fn report_limit(&self, now_ms: i64) -> Result<Refetch, KeyLookupError> {
        let limited = self.limited(now_ms)?;
        if !self.is_limit_reported.swap(true, Ordering::SeqCst) {
            (self.on_limited)(self.refetch_limit.wait_ms(now_ms));
        }
        Ok(limited)
    }

    /// Fetches the set because of a token whose key is not in it. Any client can send such a token, so the fetches are
    /// rate-limited and few callers wait for one. A call that has fetched before does not fetch again: the set is as new as can be.
    fn refetch(
        &self,
        seen: &Arc<Loaded>,
        is_repeated: bool,
        now_ms: i64,
        fetcher: &JwksFetcher<'_>,
    ) -> Result<Refetch, KeyLookupError> {
        if fetcher.has_fetched.get() || self.backoff(now_ms).is_some() {
            return self.limited(now_ms);
        }
        let is_repeated = is_repeated && self.last_fetch.lock().failure.is_none();
        let Ok(deadline) = fetcher.deadline() else {
            let is_worthwhile = match self.in_flight.is_running(&()) {
                true => !self.refetch_waiters.is_full(),
                false => {
                    self.refetch_limit.is_available(now_ms)
                        || (is_repeated && self.repeated_limit.wait_ms(now_ms).is_none())
                }
            };
            return if is_worthwhile { Err(KeyLookupError::WouldBlock) } else { self.report_limit(now_ms) };
        };
        let may_start = || {
            let may_start = self.refetch_limit.try_acquire(now_ms)
                || (is_repeated && self.repeated_limit.try_acquire(now_ms).is_ok());
            if may_start {
                self.is_limit_reported.store(false, Ordering::SeqCst);
            }
            may_start
        };
        let (outcome, of_kind): (_, fn(Arc<Loaded>) -> Refetch) = match self.in_flight.join(&(), deadline, may_start) {
            None => return self.report_limit(now_ms),
            Some((in_flight, None)) => {
                let Some(_waiting) = self.refetch_waiters.try_acquire() else { return self.limited(now_ms) };
                (completed(in_flight.wait(deadline)), Refetch::Joined)
            }
            Some((_, Some(guard))) => {
                let outcome = self.load(Some(seen), now_ms, fetcher, deadline);
                guard.complete(outcome.clone());
                (outcome, Refetch::Fetched)
            }
        };
        outcome?;
        Ok(self.loaded().map_or(Refetch::Limited, of_kind))
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
        if self.loaded().as_ref().map(Arc::as_ptr) != seen.map(Arc::as_ptr) {
            return Ok(());
        }
        let count = self.last_fetch.lock().failure.as_ref().map_or(0, |failure| failure.count) + 1;
        let failure = |(error, backoff_ms): (KeyLookupError, i64)| Failure {
            error,
            backoff_until_ms: now_ms.saturating_add(backoff_ms),
            count,
        };
        // Recorded on return, also when the fetch panics.
        let number = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
        let panicked = Some(failure((internal_error(), REFRESH_BACKOFF_MS)));
        let mut record = FailureRecord { store: self, number, failure: panicked };
        let outcome = self.fetch(number, now_ms, count, fetcher, deadline);
        record.failure = outcome.clone().err().map(failure);
        outcome.map_err(|(error, _)| error)
    }

    /// Fetches the set. An error comes with the time after which the next fetch may begin.
    fn fetch(
        &self,
        number: u64,
        now_ms: i64,
        failures: u32,
        fetcher: &JwksFetcher<'_>,
        deadline: Deadline,
    ) -> Result<(), (KeyLookupError, i64)> {
        fetcher.has_fetched.set(true);
        let body = (fetcher.fetch)(deadline).map_err(|error| {
            let reason = match error.kind {
                ErrorKind::Unauthorized => Reason::SecretKeyInvalid,
                _ => Reason::JwkFailedToLoad,
            };
            let backoff_ms = backoff_ms(&error, failures);
            (unavailable(reason, Some(error)), backoff_ms)
        })?;
        let set = KeySet::parse(&body).ok_or_else(|| {
            let error = ApiError::new(ErrorKind::BadResponse);
            (unavailable(Reason::JwkRemoteInvalid, Some(error)), REFRESH_BACKOFF_MS)
        })?;
        let before = self.loaded();
        // After a shutdown an older fetch may end later.
        if before.as_ref().is_some_and(|before| before.number > number) {
            return Ok(());
        }
        let loaded = Arc::new(Loaded::new(set, now_ms, number, before.as_deref()));
        *self.loaded.lock() = Some(loaded.clone());
        (self.on_replaced)(&|id| loaded.set.iter().any(|key| key.id() == id));
        Ok(())
    }
}

/// Returns the pause after a failed fetch, the `failures`-th in a row.
fn backoff_ms(error: &ApiError, failures: u32) -> i64 {
    match (error.retry_after_ms.map(i64::try_from), error.kind) {
        // No request was sent.
        (_, ErrorKind::Cancelled | ErrorKind::Forked) => 0,
        (Some(Ok(ms)), _) => ms,
        (
            _,
            ErrorKind::Server
            | ErrorKind::Network
            | ErrorKind::ConnectionRefused
            | ErrorKind::NameResolution
            | ErrorKind::Timeout,
        ) => match failures.checked_sub(FREE_FAILURES + 1) {
            Some(further) => (MIN_BACKOFF_MS << further.min(4)).min(REFRESH_BACKOFF_MS),
            None => 0,
        },
        _ => REFRESH_BACKOFF_MS,
    }
}

fn unavailable(reason: Reason, cause: Option<ApiError>) -> KeyLookupError {
    KeyLookupError::Unavailable(reason, cause.as_ref().and_then(|error| error.retry_after_ms), cause.map(Box::new))
}

fn internal_error() -> KeyLookupError {
    unavailable(Reason::InternalError, None)
}

fn completed(flight: Flight<Result<(), KeyLookupError>>) -> Result<(), KeyLookupError> {
    match flight {
        Flight::Complete(outcome) => outcome,
        Flight::TimedOut => Err(unavailable(Reason::JwkFailedToLoad, Some(ApiError::new(ErrorKind::Timeout)))),
        Flight::Cancelled => Err(unavailable(Reason::JwkFailedToLoad, Some(ApiError::new(ErrorKind::Cancelled)))),
        Flight::Abandoned => Err(internal_error()),
    }
}

struct FailureRecord<'a> {
    store: &'a JwksStore,
    number: u64,
    failure: Option<Failure>,
}

impl Drop for FailureRecord<'_> {
    fn drop(&mut self) {
        let mut last = self.store.last_fetch.lock();
        // After a shutdown an older fetch may end later.
        if last.number < self.number {
            *last = LastFetch { number: self.number, failure: self.failure.take() };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The modulus of RFC 7638 section 3.1.
    const KEY: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    #[test]
    fn configured_set_stays_in_a_forked_child() {
        let set = KeySet::parse(format!(r#"{{"keys":[{{"kty":"RSA","kid":"a","n":"{KEY}","e":"AQAB"}}]}}"#).as_bytes());
        let mut store = JwksStore::new(set.map(|set| (set, 0)), false, Box::new(|_| {}), Box::new(|_| {}));
        store.loaded.pretend_forked();
        let fetch = |_: Deadline| panic!("there is no URL");
        let fetcher = JwksFetcher::new(&fetch, Io::Blocking(Deadline::after(Duration::from_secs(1))));
        let found = || store.keys_for("a", 0, &fetcher).is_ok_and(|keys| store.contains(keys[0].id()));
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            let store = &store;
            scope.spawn(|| {
                let _held = store.loaded.lock();
                barrier.wait();
                std::thread::sleep(Duration::from_millis(300));
            });
            barrier.wait();
            assert!(found(), "while another thread has the lock");
        });
        assert!(found(), "afterwards");
    }

    #[test]
    fn one_call_fetches_the_set_at_most_once() {
        let (calls, kid) = (Cell::new(0), Cell::new("old"));
        let fetch = |_: Deadline| {
            calls.set(calls.get() + 1);
            Ok(format!(r#"{{"keys":[{{"kty":"RSA","kid":"{}","n":"{KEY}","e":"AQAB"}}]}}"#, kid.get()).into_bytes())
        };
        let store = JwksStore::new(None, true, Box::new(|_| {}), Box::new(|_| {}));
        let lookup = |kid: &str| {
            let fetcher = JwksFetcher::new(&fetch, Io::Blocking(Deadline::after(Duration::from_secs(1))));
            let keys = store.keys_for(kid, 0, &fetcher)?;
            store.keys_after_rotation(kid, &[0; 32], &keys, 0, &fetcher)
        };
        let refused = |reason| Err(KeyLookupError::Refused(reason));
        assert_eq!(lookup("new").map(|_| ()), refused(Reason::JwkKidMismatch));
        assert_eq!(calls.get(), 1);
        kid.set("new");
        assert_eq!(lookup("new").map(|_| ()), refused(Reason::TokenInvalidSignature));
        assert_eq!(calls.get(), 2);
        // The key that was found has renewed the limit.
        for other in ["other", "third"] {
            assert_eq!(lookup(other).map(|_| ()), refused(Reason::JwkKidMismatch));
            assert_eq!(calls.get(), 3);
        }
    }

    #[test]
    fn older_fetch_that_ends_later_replaces_no_newer_outcome() {
        let shutdowns = crate::clock::Shutdowns::default();
        for fails in [true, false] {
            let store = JwksStore::new(None, true, Box::new(|_| {}), Box::new(|_| {}));
            let set = |kid: &str| {
                Ok(format!(r#"{{"keys":[{{"kty":"RSA","kid":"{kid}","n":"{KEY}","e":"AQAB"}}]}}"#).into_bytes())
            };
            let warm_up = |fetch: &FetchJwks<'_>| {
                let io = Io::Blocking(shutdowns.deadline(Duration::from_secs(5)));
                store.warm_up(0, &JwksFetcher::new(fetch, io))
            };
            let older = |_: Deadline| {
                shutdowns.raise();
                store.cancel_waits();
                assert_eq!(warm_up(&|_| set("new")), Ok(()));
                if fails { Err(ApiError::new(ErrorKind::Unauthorized)) } else { set("old") }
            };
            assert_eq!(warm_up(&older).is_err(), fails);
            assert!(store.backoff(0).is_none(), "fails: {fails}");
            assert!(store.loaded().is_some_and(|loaded| loaded.set.get("new").is_some()), "fails: {fails}");
        }
    }
}
