//! Time: the wall clock that token claims are judged by, and the monotonic one that lifetimes run on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks, taken once per call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970-01-01 UTC.
    pub wall_ms: i64,
    /// Milliseconds since some moment before; never goes back.
    pub mono_ms: i64,
}

type WallClock = dyn Fn() -> i64 + Send + Sync;

/// Where the time comes from: the system, or a host's function (tests, replays).
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    System(Arc<System>),
    Host(Arc<WallClock>),
}

/// Reads one clock instead of two: how far the wall clock is ahead is looked up once a second.
struct System {
    start: Instant,
    ahead_ms: AtomicI64,
    looked_up_ms: AtomicI64,
}

const LOOK_UP_EVERY_MS: i64 = 1000;

impl System {
    fn now(&self) -> Now {
        let mono_ms = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX);
        if mono_ms.saturating_sub(self.looked_up_ms.load(Ordering::Acquire)) >= LOOK_UP_EVERY_MS {
            self.ahead_ms.store(system_ms().saturating_sub(mono_ms), Ordering::Relaxed);
            self.looked_up_ms.store(mono_ms, Ordering::Release);
        }
        Now { wall_ms: mono_ms.saturating_add(self.ahead_ms.load(Ordering::Relaxed)), mono_ms }
    }
}

/// The system's wall clock.
pub(crate) fn system_ms() -> i64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    wall.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

impl Clock {
    /// The system's clocks. A wall clock that is set is noticed within a second.
    pub fn system() -> Self {
        let (ahead_ms, looked_up_ms) = (AtomicI64::new(0), AtomicI64::new(i64::MIN));
        Clock(Kind::System(Arc::new(System { start: Instant::now(), ahead_ms, looked_up_ms })))
    }

    /// A clock of the host's own: `wall` returns milliseconds since 1970. Lifetimes follow it, too.
    pub fn from_fn(wall: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Clock(Kind::Host(Arc::new(wall)))
    }

    /// Reads the time.
    pub fn now(&self) -> Now {
        match &self.0 {
            Kind::System(system) => system.now(),
            Kind::Host(wall) => {
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
            Kind::Host(_) => "Clock(host)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_the_systems_and_the_other_never_goes_back() {
        let clock = Clock::system();
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let first = clock.now();
        assert!((before - 1..before + 1000).contains(&first.wall_ms), "{first:?} {before}");
        std::thread::sleep(std::time::Duration::from_millis(20));
        let second = clock.now();
        assert!(second.mono_ms >= first.mono_ms + 20 && second.wall_ms >= first.wall_ms + 20);
    }
}
