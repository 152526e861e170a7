//! Time: the wall clock for token claims, the monotonic clock for lifetimes, and deadlines for calls that may block.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use coarsetime::Instant as CoarseInstant;

use crate::fork_mutex::ResetMutex;

/// One reading of both clocks, taken once per call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970-01-01 UTC.
    pub wall_ms: i64,
    /// Milliseconds since an arbitrary moment; never decreases.
    pub mono_ms: i64,
}

/// When a call that may block has to return, and how many shutdowns there were before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    at: Instant,
    shutdowns: u64,
}

impl Deadline {
    /// Returns the deadline `timeout` from now, of a call that no shutdown ends.
    pub fn after(timeout: Duration) -> Self {
        Deadline { at: Instant::now() + timeout, shutdowns: u64::MAX }
    }

    /// Returns this deadline, or the moment of another one if that is earlier.
    pub fn limited_to(self, other: Deadline) -> Self {
        Deadline { at: self.at.min(other.at), ..self }
    }

    /// Returns on which side of a shutdown the call with this deadline has begun, compared to the other. Calls that no shutdown ends
    /// have begun on neither.
    pub fn cmp_shutdowns(self, other: Deadline) -> std::cmp::Ordering {
        match self.shutdowns == u64::MAX || other.shutdowns == u64::MAX {
            true => std::cmp::Ordering::Equal,
            false => self.shutdowns.cmp(&other.shutdowns),
        }
    }

    /// Returns how much time is left.
    pub fn remaining(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Returns the deadline of one of `count` attempts that share the time that is left.
    #[cfg(any(feature = "mysql", feature = "postgres", feature = "redis"))]
    pub fn share(self, count: usize) -> Self {
        let time = self.remaining() / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        Deadline { shutdowns: self.shutdowns, ..Deadline::after(time) }
    }

    /// The moment itself.
    pub fn instant(self) -> Instant {
        self.at
    }
}

/// How long a pause may take to see a shutdown.
const SHUTDOWN_POLL: Duration = Duration::from_millis(10);

/// Counts the shutdowns of a client. Each ends the calls that have begun before it. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct Shutdowns(Arc<AtomicU64>);

impl Shutdowns {
    /// Ends all calls that have begun.
    pub fn raise(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns the count, for [`Self::deadline_of`].
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Returns the deadline of a call that begins now.
    pub fn deadline(&self, timeout: Duration) -> Deadline {
        self.deadline_of(self.count(), timeout)
    }

    /// Returns the deadline `timeout` from now, of a call that has begun when this was the count.
    pub fn deadline_of(&self, shutdowns: u64, timeout: Duration) -> Deadline {
        Deadline { shutdowns, ..Deadline::after(timeout) }
    }

    /// Returns whether a shutdown has ended the call with this deadline.
    pub fn have_ended(&self, deadline: Deadline) -> bool {
        self.count() > deadline.shutdowns
    }

    /// Waits for `time`, or until a shutdown ends the call. Needs no lock, which a fork could leave locked.
    pub fn pause(&self, deadline: Deadline, time: Duration) {
        let end = Instant::now() + time;
        while !self.have_ended(deadline) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(SHUTDOWN_POLL));
        }
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
    Custom(Arc<Custom>),
}

/// A clock of the application. Its time may step back: what is counted in milliseconds from then on must not wait until it has
/// caught up.
struct Custom {
    wall: Box<WallClock>,
    mono: ResetMutex<Mono>,
}

struct Mono {
    /// What it is ahead of the wall clock.
    offset_ms: i64,
    latest_ms: i64,
}

impl Default for Mono {
    fn default() -> Self {
        Mono { offset_ms: 0, latest_ms: i64::MIN }
    }
}

/// Threads that read the clock at the same time see times that differ by this much.
const MAX_JITTER_MS: i64 = 1000;
/// The end of the year 9999. A clock that fails returns a later time: all tokens have expired then, and nothing else.
const MAX_WALL_MS: i64 = 253_402_300_799_999;

impl Mono {
    fn at(&mut self, wall_ms: i64) -> i64 {
        if wall_ms > MAX_WALL_MS {
            return self.latest_ms.max(0);
        }
        let earliest_ms = self.latest_ms.saturating_sub(MAX_JITTER_MS);
        if wall_ms >= earliest_ms {
            // Also after a step back to the right time again, which is no step forward.
            self.offset_ms = 0;
        } else if wall_ms.saturating_add(self.offset_ms) < earliest_ms {
            self.offset_ms = self.latest_ms.saturating_sub(wall_ms);
        }
        self.latest_ms = self.latest_ms.max(wall_ms.saturating_add(self.offset_ms));
        self.latest_ms
    }
}

impl Custom {
    fn now(&self) -> Now {
        // No lock is held while the application's function runs.
        let wall_ms = (self.wall)();
        Now { wall_ms, mono_ms: self.mono.lock().at(wall_ms) }
    }
}

/// Reads one clock instead of two: the difference to the wall clock is refreshed once a second. It is the clock of the system's
/// timer, which takes a quarter of the time and is a few milliseconds late.
struct System {
    wall_ms: fn() -> i64,
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
            self.wall_offset_ms.store((self.wall_ms)().saturating_sub(mono_ms), Ordering::Relaxed);
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
        Clock::system_with(system_ms)
    }

    fn system_with(wall_ms: fn() -> i64) -> Self {
        let (wall_offset_ms, refreshed_ms) = (AtomicI64::new(0), AtomicI64::new(-REFRESH_OFFSET_EVERY_MS));
        Clock(Kind::System(Arc::new(System {
            wall_ms,
            start: CoarseInstant::now_without_cache_update(),
            wall_offset_ms,
            refreshed_ms,
        })))
    }

    /// Returns a clock that calls `wall`, which returns milliseconds since 1970. It also replaces the monotonic clock, which stands
    /// still while `wall` steps back.
    pub fn from_fn(wall: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Clock(Kind::Custom(Arc::new(Custom { wall: Box::new(wall), mono: ResetMutex::default() })))
    }

    /// Reads the time.
    pub fn now(&self) -> Now {
        match &self.0 {
            Kind::System(system) => system.now(),
            Kind::Custom(custom) => custom.now(),
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
    fn shutdown_ends_the_calls_before_it_only() {
        let shutdowns = Shutdowns::default();
        let [before, other] = [shutdowns.deadline(Duration::from_secs(20)), Deadline::after(Duration::from_secs(20))];
        std::thread::scope(|scope| {
            let pausing = scope.spawn(|| shutdowns.pause(before, Duration::from_secs(20)));
            std::thread::sleep(Duration::from_millis(30));
            assert!(!pausing.is_finished() && !shutdowns.have_ended(before));
            shutdowns.raise();
        });
        assert!(before.remaining() > Duration::from_secs(5));
        assert!(shutdowns.have_ended(before) && !shutdowns.have_ended(other));
        assert!(!shutdowns.have_ended(shutdowns.deadline(Duration::ZERO)));
        assert!(shutdowns.have_ended(shutdowns.deadline_of(0, Duration::ZERO)));
        let begun = Instant::now();
        shutdowns.pause(shutdowns.deadline(Duration::ZERO), Duration::from_millis(30));
        assert!(begun.elapsed() >= Duration::from_millis(30));
    }

    #[test]
    fn monotonic_clock_goes_on_after_steps_of_the_application_clock() {
        let wall = Arc::new(AtomicI64::new(0));
        let clock = Clock::from_fn({
            let wall = wall.clone();
            move || wall.load(Ordering::SeqCst)
        });
        let read = |wall_ms: i64| {
            wall.store(wall_ms, Ordering::SeqCst);
            let now = clock.now();
            assert_eq!(now.wall_ms, wall_ms);
            now.mono_ms
        };
        assert_eq!([10_000, 10_005, 10_003, 9_500].map(read), [10_000, 10_005, 10_005, 10_005]);
        // An hour back, to the time of before, and far back.
        assert_eq!([3_600_000, 0, 7, 500].map(read), [3_600_000, 3_600_000, 3_600_007, 3_600_500]);
        // And to the right time again: what was to end in an hour has not ended.
        assert_eq!([3_600_600, 3_600_601].map(read), [3_600_600, 3_600_601]);
        assert_eq!([i64::MIN, i64::MIN + 5].map(read), [3_600_601, 3_600_601]);
        assert_eq!([3_600_700, 7_200_000].map(read), [3_600_700, 7_200_000]);
        // The callback failed.
        assert_eq!([i64::MAX, 7_200_005].map(read), [7_200_000, 7_200_005]);
    }

    #[test]
    fn wall_clock_that_is_set_takes_effect_within_a_second() {
        static WALL_MS: AtomicI64 = AtomicI64::new(1_800_000_000_000);
        let clock = Clock::system_with(|| WALL_MS.load(Ordering::SeqCst));
        let begun = clock.now();
        for step_ms in [3_600_000, -7_200_000] {
            let before = WALL_MS.fetch_add(step_ms, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1100));
            let now = clock.now();
            assert!((now.wall_ms - before - step_ms).abs() < 100 && now.mono_ms > begun.mono_ms, "{now:?}");
        }
    }

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
