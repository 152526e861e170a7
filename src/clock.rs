//! Time: the wall clock for token claims, the monotonic clock for lifetimes, and deadlines for calls that may block.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use coarsetime::Instant as CoarseInstant;

/// One reading of both clocks, taken once per call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970-01-01 UTC.
    pub wall_ms: i64,
    /// Milliseconds since an arbitrary moment; never decreases.
    pub mono_ms: i64,
}

/// When a call that may block has to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// Returns the deadline `timeout` from now.
    pub fn after(timeout: Duration) -> Self {
        Deadline(Instant::now() + timeout)
    }

    /// Returns how much time is left.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Returns the deadline of one of `count` attempts that share the time that is left.
    #[cfg(any(feature = "mysql", feature = "postgres", feature = "redis"))]
    pub fn share(self, count: usize) -> Self {
        Deadline::after(self.remaining() / u32::try_from(count.max(1)).unwrap_or(u32::MAX))
    }

    /// The moment itself.
    pub fn instant(self) -> Instant {
        self.0
    }
}

/// What I/O a call may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// None: only the caches are read.
    CacheOnly,
    /// Waiting for Clerk until the deadline.
    Blocking(Deadline),
}

type WallClock = dyn Fn() -> i64 + Send + Sync;

/// Reads the time: from the system, or from a function of the application (tests, replays).
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    System(Arc<System>),
    Custom(Arc<WallClock>),
}

/// Reads one clock instead of two: the difference to the wall clock is refreshed once a second. It is the clock of the system's
/// timer, which takes a quarter of the time and is a few milliseconds late.
struct System {
    start: CoarseInstant,
    wall_offset_ms: AtomicI64,
    refreshed_ms: AtomicI64,
}

const REFRESH_OFFSET_EVERY_MS: i64 = 1000;

impl System {
    fn now(&self) -> Now {
        let elapsed = CoarseInstant::now_without_cache_update().duration_since(self.start);
        let mono_ms = elapsed.as_millis() as i64;
        if mono_ms - self.refreshed_ms.load(Ordering::Acquire) >= REFRESH_OFFSET_EVERY_MS {
            self.wall_offset_ms.store(system_ms().saturating_sub(mono_ms), Ordering::Relaxed);
            self.refreshed_ms.store(mono_ms, Ordering::Release);
        }
        // Neither can overflow: the offset was subtracted from a time of this clock.
        Now { wall_ms: mono_ms.wrapping_add(self.wall_offset_ms.load(Ordering::Relaxed)), mono_ms }
    }
}

/// The system's wall clock.
pub(crate) fn system_ms() -> i64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    wall.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

impl Clock {
    /// Returns the system's clocks. A change of the wall clock takes effect within a second; the time may be a
    /// few milliseconds late.
    pub fn system() -> Self {
        let (wall_offset_ms, refreshed_ms) = (AtomicI64::new(0), AtomicI64::new(-REFRESH_OFFSET_EVERY_MS));
        Clock(Kind::System(Arc::new(System {
            start: CoarseInstant::now_without_cache_update(),
            wall_offset_ms,
            refreshed_ms,
        })))
    }

    /// Returns a clock that calls `wall`, which returns milliseconds since 1970. It also replaces the monotonic clock.
    pub fn from_fn(wall: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Clock(Kind::Custom(Arc::new(wall)))
    }

    /// Reads the time.
    pub fn now(&self) -> Now {
        match &self.0 {
            Kind::System(system) => system.now(),
            Kind::Custom(wall) => {
                let ms = wall();
                Now { wall_ms: ms, mono_ms: ms }
            }
        }
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Kind::System(_) => "Clock(system)",
            Kind::Custom(_) => "Clock(custom)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_clock_follows_wall_time_and_is_monotonic() {
        let clock = Clock::system();
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let first = clock.now();
        assert!((before - 1..before + 1000).contains(&first.wall_ms), "{first:?} {before}");
        std::thread::sleep(Duration::from_millis(20));
        let second = clock.now();
        assert!(second.mono_ms >= first.mono_ms + 10 && second.wall_ms >= first.wall_ms + 10);
    }
}
