//! Mutexes that do not block a forked child forever when a thread of the parent held them at the fork.
//!
//! They are those of the standard library: each consists of its own memory alone. Those of `parking_lot` share tables of the
//! process, which the parent may have locked as well.

use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(not(shuttle))]
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use once_cell::race::OnceBox;
// `make shuttle` replaces `parking_lot` by the locks of shuttle.
#[cfg(shuttle)]
use parking_lot::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// How long a lookup in a forked child waits for a lock before it treats it as held forever.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_millis(1);
/// How long a removal waits. Locks are held for microseconds.
pub const REMOVE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a forked child waits before it rejects a request, or replaces what a lock protects.
pub const RESET_TIMEOUT: Duration = Duration::from_millis(100);

/// Protects `T`. In the process that created it, locking waits without a limit.
pub struct ForkMutex<T> {
    mutex: Mutex<T>,
    pid: u32,
    /// Whether a call of a forked child has waited for the lock and not got it: later ones wait for a moment only.
    is_lost: AtomicBool,
}

impl<T> ForkMutex<T> {
    pub fn new(value: T) -> Self {
        ForkMutex { mutex: Mutex::new(value), pid: std::process::id(), is_lost: AtomicBool::new(false) }
    }

    /// Locks. Returns `None` only in a forked child, when the lock is not released within `timeout`.
    #[inline]
    pub fn lock(&self, timeout: Duration) -> Option<MutexGuard<'_, T>> {
        let guard = try_lock(&self.mutex);
        if guard.is_some() {
            return guard;
        }
        self.lock_contended(timeout)
    }

    #[cold]
    fn lock_contended(&self, timeout: Duration) -> Option<MutexGuard<'_, T>> {
        if std::process::id() == self.pid {
            return Some(self.mutex.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let is_lost = self.is_lost.load(Ordering::Relaxed);
        let deadline = Instant::now() + if is_lost { timeout.min(LOOKUP_TIMEOUT) } else { timeout };
        loop {
            std::thread::yield_now();
            let guard = try_lock(&self.mutex);
            if guard.is_some() || Instant::now() >= deadline {
                self.is_lost.store(guard.is_none() && (is_lost || timeout >= RESET_TIMEOUT), Ordering::Relaxed);
                return guard;
            }
        }
    }

    /// Makes this process look like a forked child.
    #[cfg(test)]
    pub fn pretend_forked(&mut self) {
        self.pid = 0;
    }
}

/// Without poisoning, as the mutexes of `parking_lot`.
fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Protects a `T` that a forked child may replace: if a thread of the parent held the lock at the fork, the child continues
/// with the default value.
pub struct ResetMutex<T> {
    inherited: ForkMutex<T>,
    replacement: OnceBox<ResetMutex<T>>,
}

impl<T> ResetMutex<T> {
    pub fn new(value: T) -> Self {
        ResetMutex { inherited: ForkMutex::new(value), replacement: OnceBox::new() }
    }
}

impl<T: Default> Default for ResetMutex<T> {
    fn default() -> Self {
        ResetMutex::new(T::default())
    }
}

impl<T: Default> ResetMutex<T> {
    /// Makes this process look like a forked child.
    #[cfg(test)]
    pub fn pretend_forked(&mut self) {
        self.inherited.pretend_forked();
    }

    /// Locks.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        if let Some(replacement) = self.replacement.get() {
            return replacement.lock();
        }
        self.inherited.lock(RESET_TIMEOUT).unwrap_or_else(|| self.replacement.get_or_init(Box::default).lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_held_across_fork_times_out() {
        let mut mutex = ForkMutex::new(5);
        mutex.pretend_forked();
        let held = mutex.mutex.lock();
        let begun = Instant::now();
        assert!(mutex.lock(LOOKUP_TIMEOUT).is_none());
        assert!(begun.elapsed() < RESET_TIMEOUT);
        assert!(mutex.lock(REMOVE_TIMEOUT).is_none() && begun.elapsed() >= REMOVE_TIMEOUT);
        // Later calls know.
        let begun = Instant::now();
        (0..10).for_each(|_| assert!(mutex.lock(REMOVE_TIMEOUT).is_none()));
        assert!(begun.elapsed() < REMOVE_TIMEOUT);
        drop(held);
        assert_eq!(mutex.lock(LOOKUP_TIMEOUT).map(|guard| *guard), Some(5));
    }

    #[test]
    fn value_locked_at_fork_is_replaced_in_the_child() {
        let mut mutex = ResetMutex::new(5);
        assert_eq!(*mutex.lock(), 5);
        mutex.inherited.pretend_forked();
        let held = mutex.inherited.mutex.lock();
        *mutex.lock() += 1;
        let begun = Instant::now();
        assert_eq!(*mutex.lock(), 1);
        assert!(begun.elapsed() < RESET_TIMEOUT, "the second call does not wait again");
        drop(held);
        assert_eq!(*mutex.lock(), 1);
    }
}
