//! A circuit breaker: opens after a 429 or several failures in a row, for a time that grows with further failures.

use parking_lot::Mutex;

use super::error::{ApiError, ErrorKind};

/// The number of failures in a row that opens the circuit.
const FAILURE_THRESHOLD: u32 = 5;
const MIN_OPEN_MS: i64 = 1000;
const MAX_OPEN_MS: i64 = 30_000;

#[derive(Default)]
struct State {
    failures: u32,
    open_until_ms: i64,
}

/// The state of one endpoint. Times are milliseconds of the monotonic clock.
#[derive(Default)]
pub struct CircuitBreaker(Mutex<State>);

impl CircuitBreaker {
    /// Returns how long the circuit stays open; `None` if it is closed.
    pub fn open_for_ms(&self, now_ms: i64) -> Option<u64> {
        u64::try_from(self.0.lock().open_until_ms.saturating_sub(now_ms)).ok().filter(|ms| *ms > 0)
    }

    /// Records the outcome of a call.
    pub fn record<T>(&self, outcome: &Result<T, ApiError>, now_ms: i64) {
        let mut state = self.0.lock();
        let Err(error) = outcome else { return *state = State::default() };
        let open_ms = match error.kind {
            ErrorKind::RateLimited => {
                let requested = error.retry_after_ms.and_then(|ms| i64::try_from(ms).ok());
                requested.unwrap_or(MIN_OPEN_MS).max(MIN_OPEN_MS)
            }
            ErrorKind::Server | ErrorKind::Network | ErrorKind::Timeout | ErrorKind::BadResponse => {
                state.failures += 1;
                match state.failures.checked_sub(FAILURE_THRESHOLD) {
                    Some(further) => (MIN_OPEN_MS << further.min(5)).min(MAX_OPEN_MS),
                    None => return,
                }
            }
            // The endpoint works; the request was rejected.
            _ => return state.failures = 0,
        };
        state.open_until_ms = now_ms.saturating_add(open_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: ErrorKind, retry_after_ms: Option<u64>) -> Result<(), ApiError> {
        Err(ApiError { retry_after_ms, ..ApiError::new(kind) })
    }

    #[test]
    fn five_failures_open_the_circuit_and_success_closes_it() {
        let breaker = CircuitBreaker::default();
        (0..4).for_each(|_| breaker.record(&failed(ErrorKind::Server, None), 0));
        assert_eq!(breaker.open_for_ms(0), None);
        breaker.record(&failed(ErrorKind::Timeout, None), 0);
        assert_eq!(breaker.open_for_ms(0), Some(1000));
        assert_eq!(breaker.open_for_ms(1000), None);
        (0..50).for_each(|_| breaker.record(&failed(ErrorKind::Network, None), 1000));
        assert_eq!(breaker.open_for_ms(1000), Some(30_000));
        breaker.record(&Ok(()), 1000);
        assert_eq!(breaker.open_for_ms(1000), None);
    }

    #[test]
    fn rate_limit_opens_the_circuit_for_retry_after() {
        for (retry_after, open) in
            [(Some(2000), 2000), (None, 1000), (Some(0), 1000), (Some(u64::MAX), 1000), (Some(60_000), 60_000)]
        {
            let breaker = CircuitBreaker::default();
            breaker.record(&failed(ErrorKind::RateLimited, retry_after), 0);
            assert_eq!(breaker.open_for_ms(0), Some(open), "{retry_after:?}");
        }
    }

    #[test]
    fn rejected_requests_do_not_open_the_circuit() {
        let breaker = CircuitBreaker::default();
        for _ in 0..10 {
            breaker.record(&failed(ErrorKind::NotFound, None), 0);
            breaker.record(&failed(ErrorKind::Unauthorized, None), 0);
        }
        assert_eq!(breaker.open_for_ms(0), None);
    }
}
