//! A token bucket: how often strangers may make us ask Clerk for keys.

use parking_lot::Mutex;

/// One refetch, then one more every ten seconds.
const REFILL_MS: i64 = 10_000;

/// Holds at most one token. Times are milliseconds of the monotonic clock.
pub struct RateLimit(Mutex<Option<i64>>);

impl Default for RateLimit {
    fn default() -> Self {
        RateLimit(Mutex::new(None))
    }
}

impl RateLimit {
    /// Whether a token is there.
    pub fn is_available(&self, now_ms: i64) -> bool {
        self.0.lock().is_none_or(|taken| now_ms.saturating_sub(taken) >= REFILL_MS)
    }

    /// Takes the token, if it is there.
    pub fn try_acquire(&self, now_ms: i64) -> bool {
        let mut taken = self.0.lock();
        let there = taken.is_none_or(|at| now_ms.saturating_sub(at) >= REFILL_MS);
        if there {
            *taken = Some(now_ms);
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_each_ten_seconds() {
        let bucket = RateLimit::default();
        assert!(bucket.is_available(0) && bucket.try_acquire(0));
        assert!(!bucket.is_available(9_999) && !bucket.try_acquire(9_999));
        assert!(bucket.try_acquire(10_000) && !bucket.try_acquire(10_000));
    }
}
