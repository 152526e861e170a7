//! A rate limit of one permit per interval.

use parking_lot::Mutex;

/// Grants one permit, then the next after `interval_ms`. Times are milliseconds of the monotonic clock.
pub struct RateLimit {
    interval_ms: i64,
    taken_ms: Mutex<Option<i64>>,
}

impl RateLimit {
    /// Creates a limit whose first permit is available at once.
    pub fn every_ms(interval_ms: i64) -> Self {
        RateLimit { interval_ms, taken_ms: Mutex::new(None) }
    }

    fn is_due(&self, taken_ms: Option<i64>, now_ms: i64) -> bool {
        taken_ms.is_none_or(|taken_ms| now_ms.saturating_sub(taken_ms) >= self.interval_ms)
    }

    /// Returns whether a permit is available.
    pub fn is_available(&self, now_ms: i64) -> bool {
        self.is_due(*self.taken_ms.lock(), now_ms)
    }

    /// Takes the permit if it is available, and returns whether it was.
    pub fn try_acquire(&self, now_ms: i64) -> bool {
        let mut taken_ms = self.taken_ms.lock();
        let is_due = self.is_due(*taken_ms, now_ms);
        if is_due {
            *taken_ms = Some(now_ms);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_permit_per_interval() {
        let limit = RateLimit::every_ms(10_000);
        assert!(limit.is_available(0) && limit.try_acquire(0));
        assert!(!limit.is_available(9_999) && !limit.try_acquire(9_999));
        assert!(limit.try_acquire(10_000) && !limit.try_acquire(10_000));
    }
}
