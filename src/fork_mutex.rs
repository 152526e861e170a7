//! A mutex that does not block a forked child forever when a thread of the parent held it at the fork.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// How long a lookup in a forked child waits for a lock before it treats it as held forever.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_millis(1);
/// How long a removal waits.
pub const REMOVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Protects `T`. In the process that created it, locking waits without a limit.
pub struct ForkMutex<T> {
    mutex: Mutex<T>,
    pid: u32,
}

impl<T> ForkMutex<T> {
    pub fn new(value: T) -> Self {
        ForkMutex { mutex: Mutex::new(value), pid: std::process::id() }
    }

    /// Locks. Returns `None` only in a forked child, when the lock is not released within `timeout`.
    #[inline]
    pub fn lock(&self, timeout: Duration) -> Option<MutexGuard<'_, T>> {
        let guard = self.mutex.try_lock();
        if guard.is_some() {
            return guard;
        }
        self.lock_contended(timeout)
    }

    #[cold]
    fn lock_contended(&self, timeout: Duration) -> Option<MutexGuard<'_, T>> {
        if std::process::id() == self.pid {
            return Some(self.mutex.lock());
        }
        let deadline = Instant::now() + timeout;
        loop {
            // Not `try_lock_for`: its queue has locks of its own, which the parent may have held as well.
            std::thread::yield_now();
            let guard = self.mutex.try_lock();
            if guard.is_some() || Instant::now() >= deadline {
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
        assert!(begun.elapsed() < Duration::from_secs(1));
        drop(held);
        assert_eq!(mutex.lock(LOOKUP_TIMEOUT).map(|guard| *guard), Some(5));
    }
}
