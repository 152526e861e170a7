//! The locks of shuttle in place of those that clerk-auth uses: each lock is a point where another thread may run. `sync` is for
//! those of the standard library, the rest for those of `parking_lot`.

pub use shuttle::sync;
pub use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};

/// A reader-writer lock without poisoning.
#[derive(Debug, Default)]
pub struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.0.try_read().ok()
    }

    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.0.try_write().ok()
    }
}
