//! Compares the clock of this process with that of the engine.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::{EngineError, SharedCache};
use crate::clock::Deadline;
use crate::events::Level;

/// How far they may be apart.
const MAX_DIFFERENCE_MS: i64 = 60_000;
/// How often they are compared.
const INTERVAL_MS: i64 = 60_000;

pub struct ClockCheck {
    next_ms: AtomicI64,
    is_right: AtomicBool,
}

impl Default for ClockCheck {
    fn default() -> Self {
        ClockCheck { next_ms: AtomicI64::new(i64::MIN), is_right: AtomicBool::new(true) }
    }
}

impl ClockCheck {
    /// Whether the clocks are to be compared now, by this caller.
    pub fn is_due(&self, now_ms: i64) -> bool {
        let next = |next_ms| (now_ms >= next_ms).then_some(now_ms.saturating_add(INTERVAL_MS));
        self.next_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    /// Records how far this clock is ahead. Returns whether the clocks agree, if that has changed.
    pub fn record(&self, ahead_ms: i64) -> Option<bool> {
        let is_right = ahead_ms.saturating_abs() <= MAX_DIFFERENCE_MS;
        (self.is_right.swap(is_right, Ordering::Relaxed) != is_right).then_some(is_right)
    }

    /// Whether the clocks agreed when they were compared last.
    pub fn is_right(&self) -> bool {
        self.is_right.load(Ordering::Relaxed)
    }
}

impl SharedCache {
    /// Whether the clock of this process agrees with that of the engine: else its entries would end too early or too late in others.
    pub(super) fn is_clock_right(&self, deadline: Deadline) -> bool {
        if self.clock_check.is_due(self.clock.now().mono_ms)
            // That an engine has no clock says nothing about it.
            && let Ok(engine_ms) = self.run(deadline, |timeout| self.engine.time_ms(timeout)?.ok_or(EngineError::Busy))
        {
            let ahead_ms = self.clock.now().wall_ms.saturating_sub(engine_ms);
            if let Some(is_right) = self.clock_check.record(ahead_ms) {
                self.events.log(if is_right { Level::Info } else { Level::Warn }, || match is_right {
                    true => "the clock agrees with that of the shared cache again".into(),
                    false => format!(
                        "the clock of this process is {} s {} that of the shared cache: it stores no users, machine tokens and keys \
                         there until they agree",
                        ahead_ms.unsigned_abs() / 1000,
                        if ahead_ms < 0 { "behind" } else { "ahead of" }
                    ),
                });
            }
        }
        self.clock_check.is_right()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_once_a_minute() {
        let check = ClockCheck::default();
        assert!(check.is_due(5) && !check.is_due(6) && !check.is_due(60_004) && check.is_due(60_005));
    }

    #[test]
    fn difference_of_a_minute_is_reported_once_and_its_end_too() {
        let check = ClockCheck::default();
        assert_eq!((check.record(60_000), check.record(-60_000), check.is_right()), (None, None, true));
        assert_eq!((check.record(-60_001), check.record(i64::MIN), check.is_right()), (Some(false), None, false));
        assert_eq!((check.record(0), check.is_right()), (Some(true), true));
    }
}
