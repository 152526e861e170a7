//! Time: the wall clock that token claims are judged by, and the monotonic one that lifetimes run on.

use std::sync::Arc;
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
pub struct Clock {
    start: Instant,
    wall: Option<Arc<WallClock>>,
}

impl Clock {
    /// The system's clocks.
    pub fn system() -> Self {
        Clock { start: Instant::now(), wall: None }
    }

    /// A clock of the host's own: `wall` returns milliseconds since 1970. Lifetimes follow it, too.
    pub fn from_fn(wall: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Clock { start: Instant::now(), wall: Some(Arc::new(wall)) }
    }

    /// Reads the clocks.
    pub fn now(&self) -> Now {
        match &self.wall {
            Some(wall) => {
                let ms = wall();
                Now { wall_ms: ms, mono_ms: ms }
            }
            None => Now {
                wall_ms: SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
                mono_ms: i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX),
            },
        }
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.wall.is_some() { "Clock(host)" } else { "Clock(system)" })
    }
}
