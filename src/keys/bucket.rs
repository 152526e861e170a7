//! A token bucket: how often strangers may make us ask Clerk for keys.

use parking_lot::Mutex;

/// One refetch, then one more every ten seconds.
const REFILL_MS: i64 = 10_000;

/// Holds at most one token. Times are milliseconds of the monotonic clock.
pub struct Bucket(Mutex<Option<i64>>);

impl Default for Bucket {
    fn default() -> Self {
        Bucket(Mutex::new(None))
    }
}

impl Bucket {
    /// Whether a token is there.
    pub fn has_token(&self, now_ms: i64) -> bool {
        self.0.lock().is_none_or(|taken| now_ms.saturating_sub(taken) >= REFILL_MS)
    }

    /// Takes the token, if it is there.
    pub fn take(&self, now_ms: i64) -> bool {
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
        let bucket = Bucket::default();
        assert!(bucket.has_token(0) && bucket.take(0));
        assert!(!bucket.has_token(9_999) && !bucket.take(9_999));
        assert!(bucket.take(10_000) && !bucket.take(10_000));
    }
}
