//! Limits: one permit per interval, a token bucket, a number of concurrent calls.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fork_mutex::ResetMutex;

/// Grants one permit, then the next after `interval_ms`, also if the clock has stepped back by more than that. Times are milliseconds of
/// the monotonic clock.
pub struct RateLimit {
    interval_ms: i64,
    taken_ms: ResetMutex<Option<i64>>,
}

impl RateLimit {
    /// Creates a limit whose first permit is available at once.
    pub fn every_ms(interval_ms: i64) -> Self {
        RateLimit { interval_ms, taken_ms: ResetMutex::default() }
    }

    fn is_due(&self, taken_ms: Option<i64>, now_ms: i64) -> bool {
        taken_ms.is_none_or(|taken_ms| now_ms.saturating_sub(taken_ms).saturating_abs() >= self.interval_ms)
    }

    /// Returns whether a permit is available.
    pub fn is_available(&self, now_ms: i64) -> bool {
        self.is_due(*self.taken_ms.lock(), now_ms)
    }

    /// Returns the milliseconds until a permit is available; 0 if one is.
    pub fn wait_ms(&self, now_ms: i64) -> u64 {
        let taken_ms = self.taken_ms.lock().filter(|taken_ms| !self.is_due(Some(*taken_ms), now_ms));
        let left_ms = taken_ms.map_or(0, |taken_ms| taken_ms + self.interval_ms - now_ms);
        u64::try_from(left_ms).unwrap_or(0)
    }

    /// Makes the permit available.
    pub fn release(&self) {
        *self.taken_ms.lock() = None;
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

/// Gives `capacity` permits at once, and one more after each `interval_ms`. Times are milliseconds of the monotonic clock.
pub struct TokenBucket {
    capacity: i64,
    interval_ms: i64,
    /// When the bucket is full again.
    full_at_ms: ResetMutex<i64>,
}

impl std::fmt::Debug for TokenBucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenBucket").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl TokenBucket {
    /// Makes a full bucket.
    pub fn new(capacity: u32, interval_ms: i64) -> Self {
        TokenBucket { capacity: capacity.into(), interval_ms, full_at_ms: ResetMutex::new(i64::MIN) }
    }

    /// Makes a full bucket of the permits of one second.
    pub fn per_second(permits: u32) -> Self {
        // Whole milliseconds: rather fewer permits than more.
        TokenBucket::new(permits.clamp(1, 1000), i64::from(1000_u32.div_ceil(permits.max(1))))
    }

    /// Returns the milliseconds from `now_ms` until a permit is available; `None` if one is.
    fn wait(&self, full_at_ms: &mut i64, now_ms: i64) -> Option<u64> {
        // After a step back of the clock the bucket is empty, not in debt, and fills from then on.
        *full_at_ms = (*full_at_ms).min(now_ms.saturating_add(self.capacity * self.interval_ms));
        let available_ms = now_ms.max(*full_at_ms).saturating_sub((self.capacity - 1) * self.interval_ms);
        u64::try_from(available_ms.saturating_sub(now_ms)).ok().filter(|ms| *ms > 0)
    }

    /// Returns the milliseconds until a permit is available; `None` if one is.
    pub fn wait_ms(&self, now_ms: i64) -> Option<u64> {
        self.wait(&mut self.full_at_ms.lock(), now_ms)
    }

    /// Takes a permit.
    ///
    /// # Errors
    ///
    /// The milliseconds until one is available.
    pub fn try_acquire(&self, now_ms: i64) -> Result<(), u64> {
        let mut full_at_ms = self.full_at_ms.lock();
        if let Some(wait_ms) = self.wait(&mut full_at_ms, now_ms) {
            return Err(wait_ms);
        }
        *full_at_ms = full_at_ms.max(now_ms).saturating_add(self.interval_ms);
        Ok(())
    }
}

/// A semaphore without waiting: a bounded number of slots for calls that run or wait at the same time.
pub struct Slots {
    taken: AtomicUsize,
    max: usize,
}

/// One slot, until it is dropped.
pub struct Slot<'a>(&'a Slots);

impl Slots {
    /// Creates `max` free slots.
    pub fn new(max: usize) -> Self {
        Slots { taken: AtomicUsize::new(0), max }
    }

    /// Returns whether no slot is free.
    pub fn is_full(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.max
    }

    /// Acquires a slot, if one is free.
    pub fn try_acquire(&self) -> Option<Slot<'_>> {
        let next = |taken: usize| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok().map(|_| Slot(self))
    }

    /// Frees all slots. To be called in a forked child: the threads of the parent do not exist there.
    pub fn reset(&self) {
        self.taken.store(0, Ordering::Relaxed);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let _ = self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| taken.checked_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_gives_a_burst_then_one_permit_per_interval() {
        let bucket = TokenBucket::new(3, 1000);
        (0..3).for_each(|_| assert_eq!(bucket.try_acquire(0), Ok(())));
        assert_eq!((bucket.try_acquire(0), bucket.wait_ms(1)), (Err(1000), Some(999)));
        assert_eq!((bucket.wait_ms(1000), bucket.try_acquire(1000), bucket.try_acquire(1999)), (None, Ok(()), Err(1)));
        (0..3).for_each(|_| assert_eq!(bucket.try_acquire(10_000), Ok(())));
        assert_eq!(bucket.try_acquire(10_000), Err(1000));
        let none = TokenBucket::new(0, 1000);
        (0..5).for_each(|n| assert_eq!(none.try_acquire(n * 1000), Err(1000)));
        // The clock stepped back.
        assert_eq!((bucket.wait_ms(0), bucket.try_acquire(0)), (Some(1000), Err(1000)));
        assert_eq!((bucket.wait_ms(400), bucket.wait_ms(1000)), (Some(600), None));
        assert_eq!((bucket.try_acquire(1000), bucket.try_acquire(1000)), (Ok(()), Err(1000)));
    }

    #[test]
    fn one_permit_per_interval() {
        let limit = RateLimit::every_ms(10_000);
        assert!(limit.is_available(0) && limit.try_acquire(0));
        assert!(!limit.is_available(9_999) && !limit.try_acquire(9_999));
        assert!(limit.try_acquire(10_000) && !limit.try_acquire(10_000));
        limit.release();
        assert!(limit.try_acquire(10_000) && !limit.try_acquire(10_000));
        // The clock steps back, by a little and by more than the interval.
        assert_eq!((limit.try_acquire(9_990), limit.wait_ms(9_990)), (false, 10_010));
        assert_eq!((limit.wait_ms(0), limit.try_acquire(0), limit.try_acquire(0)), (0, true, false));
    }

    #[test]
    fn slots_are_bounded_and_freed() {
        let slots = Slots::new(2);
        let (a, b) = (slots.try_acquire(), slots.try_acquire());
        assert!(a.is_some() && b.is_some() && slots.is_full() && slots.try_acquire().is_none());
        drop(a);
        assert!(!slots.is_full() && slots.try_acquire().is_some());
        slots.reset();
        drop(b);
        assert_eq!(slots.taken.into_inner(), 0);
    }
}
