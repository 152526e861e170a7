//! The counters of the shared cache.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Whether the engine of the shared cache is used.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    PartialOrd,
    Ord,
    Eq,
    strum::FromRepr,
    strum::IntoStaticStr,
    strum::VariantArray,
    strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
#[repr(i32)]
pub enum SharedCacheState {
    /// There is no shared cache.
    #[default]
    Off = 0,
    /// It is used.
    Available = 1,
    /// It fails and is not used for a while; the process goes on without it.
    Unavailable = 2,
}

/// The counters of a client's shared cache since the client was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedCacheStats {
    /// Users that requests needed and that were found in it.
    pub hits: u64,
    /// Those that were not, or were too old.
    pub misses: u64,
    /// Operations that failed.
    pub errors: u64,
    /// Entries that were ignored: damaged, of another instance or secret, or replayed.
    pub rejected: u64,
    /// Whether it is used now.
    pub state: SharedCacheState,
    /// How long the last change by another process took until it was applied here, in milliseconds; -1 if none was.
    pub revocation_lag_ms: i64,
}

impl Default for SharedCacheStats {
    fn default() -> Self {
        SharedCacheStats {
            hits: 0,
            misses: 0,
            errors: 0,
            rejected: 0,
            state: SharedCacheState::Off,
            revocation_lag_ms: -1,
        }
    }
}

#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub struct Counters {
    pub hits: Counter,
    pub misses: Counter,
    pub errors: Counter,
    pub rejected: Counter,
    lag_ms: AtomicI64,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            hits: Counter::default(),
            misses: Counter::default(),
            errors: Counter::default(),
            rejected: Counter::default(),
            lag_ms: AtomicI64::new(-1),
        }
    }
}

impl Counters {
    /// Records a duration that two clocks have measured: it may seem negative.
    pub fn record_lag(&self, lag_ms: i64) {
        self.lag_ms.store(lag_ms.max(0), Ordering::Relaxed);
    }

    pub fn snapshot(&self, state: SharedCacheState) -> SharedCacheStats {
        SharedCacheStats {
            hits: self.hits.get(),
            misses: self.misses.get(),
            errors: self.errors.get(),
            rejected: self.rejected.get(),
            state,
            revocation_lag_ms: self.lag_ms.load(Ordering::Relaxed),
        }
    }
}
