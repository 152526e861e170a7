//! A circuit breaker: opens after a 429 or after failures about several keys, lets one call through when its time has passed,
//! and opens for longer if that one fails.
//!
//! A key is what a call is about: a user, a session, a token. Failures about one key stop the calls about that key only.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use smallvec::SmallVec;

use super::error::{ApiError, ErrorKind};
use crate::fork_mutex::ResetMutex;

/// The number of keys with a failure since the last success that opens the circuit, and of failures in a row about one key
/// that stops the calls about it.
const FAILURE_THRESHOLD: usize = 5;
const MIN_OPEN_MS: i64 = 1000;
const MAX_OPEN_MS: i64 = 30_000;
/// The number of keys whose failures are counted; beyond, counting starts again.
const MAX_KEYS: usize = 256;

#[derive(Default)]
struct State {
    /// Raised when the circuit opens or closes. The outcome of a call from before is ignored.
    generation: u64,
    /// The keys with a failure since the last success.
    failed: SmallVec<[u64; FAILURE_THRESHOLD]>,
    by_key: HashMap<u64, KeyState>,
    /// Until when the circuit is open; `None` if it is closed.
    open_until_ms: Option<i64>,
    /// How often it opened since it was closed.
    openings: usize,
    is_probing: bool,
    /// The last failure since the last success.
    last_failure: Option<ApiError>,
}

#[derive(Default)]
struct KeyState {
    failures: usize,
    open_until_ms: i64,
}

/// The state of one endpoint. Times are milliseconds of the monotonic clock.
#[derive(Default)]
pub struct CircuitBreaker {
    state: ResetMutex<State>,
    hasher: RandomState,
}

/// Permission for one call. Dropped without a recorded outcome, it changes nothing.
pub struct CallPermit<'a> {
    breaker: &'a CircuitBreaker,
    generation: u64,
    key: u64,
    is_probe: bool,
}

impl CircuitBreaker {
    /// Returns how long the circuit stays open; `None` if a call may be permitted.
    pub fn open_for_ms(&self, now_ms: i64) -> Option<u64> {
        self.state.lock().open_until_ms.and_then(|until_ms| left_ms(until_ms, now_ms))
    }

    /// Returns the kind of the failure that has opened the circuit; `None` if a call may be permitted.
    pub fn open_because(&self, now_ms: i64) -> Option<ErrorKind> {
        let state = self.state.lock();
        state.open_until_ms.and_then(|until_ms| left_ms(until_ms, now_ms))?;
        Some(state.last_failure.as_ref().map_or(ErrorKind::CircuitOpen, |error| error.kind))
    }

    /// Returns the error of a call that is not permitted, with the last failure.
    pub fn open_error(&self, retry_after_ms: u64) -> ApiError {
        let previous = self.state.lock().last_failure.clone().map(Box::new);
        ApiError { retry_after_ms: Some(retry_after_ms), previous, ..ApiError::new(ErrorKind::CircuitOpen) }
    }

    /// Permits a call about `key`, or returns the milliseconds to wait.
    pub fn try_acquire(&self, key: &str, now_ms: i64) -> Result<CallPermit<'_>, u64> {
        let key = self.hasher.hash_one(key);
        let mut state = self.state.lock();
        if let Some(left_ms) = state.by_key.get(&key).and_then(|state| left_ms(state.open_until_ms, now_ms)) {
            return Err(left_ms);
        }
        let is_probe = state.open_until_ms.is_some();
        if let Some(left_ms) = state.open_until_ms.and_then(|until_ms| left_ms(until_ms, now_ms)) {
            return Err(left_ms);
        }
        if is_probe && std::mem::replace(&mut state.is_probing, true) {
            return Err(MIN_OPEN_MS.unsigned_abs());
        }
        Ok(CallPermit { breaker: self, generation: state.generation, key, is_probe })
    }

    /// Discards a call in progress. Must be called in a forked child: its thread does not exist there.
    pub fn reset_after_fork(&self) {
        let mut state = self.state.lock();
        state.is_probing = false;
        state.generation += 1;
    }
}

impl CallPermit<'_> {
    /// Records a failure that counts against the key only.
    pub fn record_for_key(self, now_ms: i64) {
        let mut state = self.breaker.state.lock();
        if state.generation == self.generation {
            state.count_for_key(self.key, now_ms);
        }
    }

    /// Records the outcome of the call.
    pub fn record<T>(self, outcome: &Result<T, ApiError>, now_ms: i64) {
        let mut state = self.breaker.state.lock();
        if state.generation != self.generation {
            return;
        }
        if let Some(error) = outcome.as_ref().err().filter(|e| e.kind == ErrorKind::RateLimited || is_failure(e.kind)) {
            state.last_failure = Some(ApiError { trace_id: None, retry_after_ms: None, ..error.clone() });
        }
        match outcome.as_ref().err().map(|error| (error.kind, error.retry_after_ms)) {
            Some((ErrorKind::RateLimited, retry_after_ms)) => {
                let requested = retry_after_ms.and_then(|ms| i64::try_from(ms).ok());
                state.open(now_ms, requested.unwrap_or(MIN_OPEN_MS).max(MIN_OPEN_MS));
            }
            Some((kind, _)) if is_failure(kind) => state.record_failure(self.key, self.is_probe, now_ms),
            // Nothing was found out about the endpoint.
            Some((ErrorKind::Cancelled | ErrorKind::Forked, _)) => {}
            // The endpoint works; if there is an error, it is the request's.
            _ => state.close(self.key),
        }
    }
}

impl Drop for CallPermit<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            let mut state = self.breaker.state.lock();
            if state.generation == self.generation {
                state.is_probing = false;
            }
        }
    }
}

impl State {
    fn open(&mut self, now_ms: i64, for_ms: i64) {
        self.generation += 1;
        self.open_until_ms = Some(now_ms.saturating_add(for_ms));
        self.openings += 1;
        self.is_probing = false;
        self.failed.clear();
    }

    fn close(&mut self, key: u64) {
        self.failed.clear();
        self.by_key.remove(&key);
        self.last_failure = None;
        if self.open_until_ms.take().is_some() {
            self.generation += 1;
            self.openings = 0;
            self.is_probing = false;
        }
    }

    fn count_for_key(&mut self, key: u64, now_ms: i64) {
        if self.by_key.len() >= MAX_KEYS && !self.by_key.contains_key(&key) {
            self.by_key.clear();
        }
        let of_key = self.by_key.entry(key).or_default();
        of_key.failures += 1;
        if let Some(further) = of_key.failures.checked_sub(FAILURE_THRESHOLD) {
            of_key.open_until_ms = now_ms.saturating_add(backoff_ms(further));
        }
    }

    fn record_failure(&mut self, key: u64, is_probe: bool, now_ms: i64) {
        self.count_for_key(key, now_ms);
        if !self.failed.contains(&key) {
            self.failed.push(key);
        }
        if is_probe || self.failed.len() >= FAILURE_THRESHOLD {
            self.open(now_ms, backoff_ms(self.openings));
        }
    }
}

fn is_failure(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Server
            | ErrorKind::Network
            | ErrorKind::ConnectionRefused
            | ErrorKind::NameResolution
            | ErrorKind::Certificate
            | ErrorKind::Timeout
            | ErrorKind::BadResponse
            | ErrorKind::Foreign
    )
}

fn left_ms(until_ms: i64, now_ms: i64) -> Option<u64> {
    u64::try_from(until_ms.saturating_sub(now_ms)).ok().filter(|ms| *ms > 0)
}

fn backoff_ms(before: usize) -> i64 {
    (MIN_OPEN_MS << before.min(5)).min(MAX_OPEN_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: ErrorKind, retry_after_ms: Option<u64>) -> Result<(), ApiError> {
        Err(ApiError { retry_after_ms, ..ApiError::new(kind) })
    }

    /// Makes one call; returns the time to wait if it is not permitted.
    fn call(breaker: &CircuitBreaker, key: &str, outcome: &Result<(), ApiError>, now_ms: i64) -> Result<(), u64> {
        breaker.try_acquire(key, now_ms).map(|permit| permit.record(outcome, now_ms))
    }

    fn opened(now_ms: i64) -> CircuitBreaker {
        let breaker = CircuitBreaker::default();
        let outcome = failed(ErrorKind::Timeout, None);
        ["a", "b", "c", "d", "e"].iter().for_each(|key| call(&breaker, key, &outcome, now_ms).unwrap());
        breaker
    }

    #[test]
    fn failures_about_five_keys_open_the_circuit_and_success_closes_it() {
        let breaker = opened(0);
        assert_eq!(call(&breaker, "f", &Ok(()), 999), Err(1));
        assert_eq!(call(&breaker, "f", &Ok(()), 1000), Ok(()));
        let outcome = failed(ErrorKind::Server, None);
        for key in ["a", "b", "c", "d"] {
            assert_eq!(call(&breaker, key, &outcome, 1000), Ok(()));
        }
        assert_eq!(call(&breaker, "f", &Ok(()), 1000), Ok(()));
        assert_eq!(call(&breaker, "g", &outcome, 1000), Ok(()), "the success ended the row");
        assert_eq!(breaker.open_for_ms(1000), None);
    }

    #[test]
    fn failures_about_one_key_stop_that_key_only() {
        let breaker = CircuitBreaker::default();
        let outcome = failed(ErrorKind::BadResponse, None);
        (0..5).for_each(|_| call(&breaker, "a", &outcome, 0).unwrap());
        assert_eq!(call(&breaker, "a", &outcome, 0), Err(1000));
        assert_eq!(call(&breaker, "b", &Ok(()), 0), Ok(()));
        for (now_ms, open_ms) in [(1000, 2000), (3000, 4000)] {
            assert_eq!(call(&breaker, "a", &outcome, now_ms), Ok(()));
            assert_eq!(call(&breaker, "a", &outcome, now_ms), Err(open_ms));
        }
        assert_eq!(call(&breaker, "a", &Ok(()), 7000), Ok(()));
        assert_eq!(call(&breaker, "a", &outcome, 7000), Ok(()));
        assert_eq!(call(&breaker, "a", &Ok(()), 7000), Ok(()));
    }

    #[test]
    fn half_open_circuit_permits_one_call_and_its_failure_doubles_the_time() {
        let breaker = opened(0);
        let mut now_ms = 1000;
        for open_ms in [2000, 4000, 8000, 16_000, 30_000, 30_000] {
            let probe = breaker.try_acquire("x", now_ms).unwrap_or_else(|_| panic!());
            assert_eq!(call(&breaker, "y", &Ok(()), now_ms), Err(1000));
            probe.record(&failed(ErrorKind::Network, None), now_ms);
            assert_eq!(breaker.open_for_ms(now_ms), Some(open_ms as u64));
            now_ms += 30_000;
        }
        drop(breaker.try_acquire("y", now_ms));
        assert_eq!(call(&breaker, "y", &failed(ErrorKind::Cancelled, None), now_ms), Ok(()));
        assert_eq!(call(&breaker, "y", &Ok(()), now_ms), Ok(()), "an abandoned probe frees its slot");
        assert!(breaker.try_acquire("y", now_ms).is_ok() && breaker.try_acquire("z", now_ms).is_ok());
    }

    #[test]
    fn circuit_that_was_closed_opens_for_one_interval_again() {
        let (breaker, failure) = (opened(0), failed(ErrorKind::Timeout, None));
        assert_eq!(call(&breaker, "x", &failure, 1000), Ok(()));
        assert_eq!(breaker.open_for_ms(1000), Some(2000));
        assert_eq!(call(&breaker, "x", &Ok(()), 3000), Ok(()));
        ["a", "b", "c", "d", "e"].iter().for_each(|key| call(&breaker, key, &failure, 3000).unwrap());
        assert_eq!(breaker.open_for_ms(3000), Some(1000));
    }

    #[test]
    fn outcome_of_a_call_from_before_the_opening_is_ignored() {
        let breaker = CircuitBreaker::default();
        let keys: Vec<String> = (0..64).map(|n| n.to_string()).collect();
        let permits: Vec<_> = keys.iter().map(|key| breaker.try_acquire(key, 0).unwrap_or_else(|_| panic!())).collect();
        permits.into_iter().for_each(|permit| permit.record(&failed(ErrorKind::Timeout, None), 100));
        assert_eq!(breaker.open_for_ms(100), Some(1000));
        let late = CircuitBreaker::default();
        let slow = late.try_acquire("a", 0).unwrap_or_else(|_| panic!());
        call(&late, "b", &failed(ErrorKind::RateLimited, Some(30_000)), 0).unwrap();
        slow.record(&Ok(()), 10);
        assert_eq!(late.open_for_ms(10), Some(29_990));
    }

    #[test]
    fn rate_limit_opens_the_circuit_for_retry_after() {
        for (retry_after, open) in
            [(Some(2000), 2000), (None, 1000), (Some(0), 1000), (Some(u64::MAX), 1000), (Some(60_000), 60_000)]
        {
            let breaker = CircuitBreaker::default();
            call(&breaker, "a", &failed(ErrorKind::RateLimited, retry_after), 0).unwrap();
            assert_eq!(breaker.open_for_ms(0), Some(open), "{retry_after:?}");
        }
    }

    #[test]
    fn rejected_and_cancelled_calls_do_not_open_the_circuit() {
        let breaker = CircuitBreaker::default();
        for kind in [ErrorKind::NotFound, ErrorKind::Unauthorized, ErrorKind::Cancelled, ErrorKind::Forked] {
            for n in 0..20 {
                call(&breaker, &n.to_string(), &failed(kind, None), 0).unwrap();
            }
        }
        assert_eq!(breaker.open_for_ms(0), None);
    }

    #[test]
    fn counted_keys_are_bounded() {
        let breaker = CircuitBreaker::default();
        for n in 0..5000 {
            call(&breaker, &n.to_string(), &failed(ErrorKind::Server, None), 0).unwrap();
            call(&breaker, "works", &Ok(()), 0).unwrap();
        }
        assert!(breaker.state.lock().by_key.len() <= MAX_KEYS);
    }

    #[test]
    fn probe_of_the_parent_process_does_not_block_a_forked_child() {
        let breaker = opened(0);
        let probe = breaker.try_acquire("a", 1000);
        breaker.reset_after_fork();
        assert!(breaker.try_acquire("b", 1000).is_ok());
        drop(probe);
    }
}
