//! `parking_lot` as far as clerk-auth uses it, on the locks of shuttle: each lock is a point where another thread may run.

use std::time::Instant;

use shuttle::sync::PoisonError;
pub use shuttle::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

/// A mutex without poisoning.
#[derive(Debug, Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// A condition variable.
#[derive(Debug, Default)]
pub struct Condvar(shuttle::sync::Condvar);

/// Whether a wait has timed out. Under shuttle no time passes.
#[derive(Debug)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub fn new() -> Self {
        Condvar::default()
    }

    pub fn notify_all(&self) -> usize {
        self.0.notify_all();
        0
    }

    /// Waits until it is notified: shuttle reports a lost notification as a deadlock.
    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _: Instant) -> WaitTimeoutResult {
        replace_guard(guard, |guard| self.0.wait(guard).unwrap_or_else(PoisonError::into_inner));
        WaitTimeoutResult(false)
    }
}

/// Passes the guard by value, as `std` takes it.
fn replace_guard<'a, T>(guard: &mut MutexGuard<'a, T>, wait: impl FnOnce(MutexGuard<'a, T>) -> MutexGuard<'a, T>) {
    // SAFETY: the guard is moved out and another one of the same mutex is moved in. If `wait` panics, which it does when the
    // execution has failed, the guard must not be dropped twice: the process ends.
    unsafe {
        let old = std::ptr::read(guard);
        let new = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait(old)));
        std::ptr::write(guard, new.unwrap_or_else(|_| std::process::abort()));
    }
}

/// A reader-writer lock without poisoning.
#[derive(Debug, Default)]
pub struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub fn new(value: T) -> Self {
        RwLock(shuttle::sync::RwLock::new(value))
    }

    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
