//! Limits: one permit per interval, a token bucket, a number of concurrent calls.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fork_mutex::ResetMutex;

/// Grants one permit, then the next after `interval_ms`. Times are milliseconds of the monotonic clock; a caller that has waited may
/// give an earlier one than another before it.
pub struct RateLimit {
    interval_ms: i64,
    taken_ms: ResetMutex<Option<i64>>,
}

impl RateLimit {
    /// Creates a limit whose first permit is available at once.
    pub fn every_ms(interval_ms: i64) -> Self {
        RateLimit { interval_ms, taken_ms: ResetMutex::default() }
    }

    /// Returns whether a permit is available.
    pub fn is_available(&self, now_ms: i64) -> bool {
        self.wait_ms(now_ms) == 0
    }

    /// Returns the milliseconds until a permit is available; 0 if one is.
    pub fn wait_ms(&self, now_ms: i64) -> u64 {
        let left_ms = |taken_ms: i64| taken_ms.saturating_add(self.interval_ms).saturating_sub(now_ms);
        self.taken_ms.lock().map_or(0, |taken_ms| u64::try_from(left_ms(taken_ms)).unwrap_or(0))
    }

    /// Makes the permit available.
    pub fn release(&self) {
        *self.taken_ms.lock() = None;
    }

    /// Takes the permit if it is available, and returns whether it was.
    pub fn try_acquire(&self, now_ms: i64) -> bool {
        let mut taken_ms = self.taken_ms.lock();
        let is_due = taken_ms.is_none_or(|taken_ms| now_ms.saturating_sub(taken_ms) >= self.interval_ms);
        if is_due {
            *taken_ms = Some(now_ms);
        }
        is_due
    }
}

/// Gives `capacity` permits at once, and one more after each `interval_ms`. Times are milliseconds of the monotonic clock; a caller
/// that has waited may give an earlier one than another before it, and gets no permit that was taken since.
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
    fn wait(&self, full_at_ms: i64, now_ms: i64) -> Option<u64> {
        let available_ms = now_ms.max(full_at_ms).saturating_sub((self.capacity - 1) * self.interval_ms);
        u64::try_from(available_ms.saturating_sub(now_ms)).ok().filter(|ms| *ms > 0)
    }

    /// Returns the milliseconds until a permit is available; `None` if one is.
    pub fn wait_ms(&self, now_ms: i64) -> Option<u64> {
        self.wait(*self.full_at_ms.lock(), now_ms)
    }

    /// Takes a permit.
    ///
    /// # Errors
    ///
    /// The milliseconds until one is available.
    pub fn try_acquire(&self, now_ms: i64) -> Result<(), u64> {
        let mut full_at_ms = self.full_at_ms.lock();
        if let Some(wait_ms) = self.wait(*full_at_ms, now_ms) {
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
    }

    #[test]
    fn caller_that_has_waited_gets_no_permit_that_is_taken() {
        let (bucket, limit) = (TokenBucket::new(3, 1000), RateLimit::every_ms(1000));
        (0..3).for_each(|_| assert_eq!(bucket.try_acquire(10_000), Ok(())));
        assert!(limit.try_acquire(10_000));
        assert_eq!((bucket.wait_ms(7000), bucket.try_acquire(7000)), (Some(4000), Err(4000)));
        assert_eq!((limit.wait_ms(7000), limit.try_acquire(7000)), (4000, false));
        assert_eq!((bucket.try_acquire(10_000), limit.try_acquire(10_000)), (Err(1000), false));
        assert_eq!((bucket.try_acquire(11_000), limit.try_acquire(11_000)), (Ok(()), true));
    }

    #[test]
    fn one_permit_per_interval() {
        let limit = RateLimit::every_ms(10_000);
        assert!(limit.is_available(0) && limit.try_acquire(0));
        assert!(!limit.is_available(9_999) && !limit.try_acquire(9_999));
        assert!(limit.try_acquire(10_000) && !limit.try_acquire(10_000));
        limit.release();
        assert!(limit.try_acquire(10_000) && !limit.try_acquire(10_000));
        assert_eq!((limit.wait_ms(12_000), limit.wait_ms(20_000)), (8000, 0));
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
