//! Stops the use of an engine that fails: after three failures for a second, then for twice as long each time, up to half a
//! minute.

use std::hash::{BuildHasher, RandomState};

use crate::fork_mutex::ResetMutex;

/// After how many failures in a row the circuit opens.
pub const MAX_FAILURES: u32 = 3;
const MIN_PAUSE_MS: i64 = 1000;
const MAX_PAUSE_MS: i64 = 30_000;
/// How long the one operation that tries the engine again may take before another may.
const TRIAL_MS: i64 = 1000;
/// How long after an outage processes may not agree yet: as long as it was, within these limits.
const MIN_RECOVERY_MS: i64 = 10_000;
const MAX_RECOVERY_MS: i64 = 3_600_000;

#[derive(Default)]
pub struct Circuit(ResetMutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    pause_ms: i64,
    /// When the next operation may be tried; `None` while the circuit is closed.
    retry_at_ms: Option<i64>,
    opened_at_ms: i64,
    /// When the recovery from the last outage ends; `None` if there was none.
    recovered_at_ms: Option<i64>,
}

/// What an outcome has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    Opened,
    Closed,
}

impl Circuit {
    /// Returns whether an operation may be sent. While the circuit is open, one is after each pause.
    pub fn try_acquire(&self, now_ms: i64) -> bool {
        let mut state = self.0.lock();
        match state.retry_at_ms {
            None => true,
            Some(retry_at_ms) if now_ms < retry_at_ms => false,
            Some(_) => {
                state.retry_at_ms = Some(now_ms.saturating_add(TRIAL_MS));
                true
            }
        }
    }

    /// Returns whether operations are sent.
    pub fn is_closed(&self) -> bool {
        self.0.lock().retry_at_ms.is_none()
    }

    /// Returns whether the circuit closed not long ago, as long as it was open: entries that were not stored meanwhile are missing.
    pub fn is_recovering(&self, now_ms: i64) -> bool {
        self.0.lock().recovered_at_ms.is_some_and(|recovered_at_ms| now_ms < recovered_at_ms)
    }

    /// Returns the milliseconds until an operation may be tried; 0 if one may be.
    pub fn wait_ms(&self, now_ms: i64) -> u64 {
        let wait_ms = self.0.lock().retry_at_ms.map_or(0, |retry_at_ms| retry_at_ms.saturating_sub(now_ms));
        u64::try_from(wait_ms).unwrap_or(0)
    }

    /// Records the outcome of an operation that was sent.
    pub fn record(&self, is_success: bool, now_ms: i64) -> Option<Transition> {
        let mut state = self.0.lock();
        if is_success {
            let was_open = state.retry_at_ms.take().is_some();
            (state.failures, state.pause_ms) = (0, 0);
            if was_open {
                let outage_ms = now_ms.saturating_sub(state.opened_at_ms);
                let recovery_ms = outage_ms.clamp(MIN_RECOVERY_MS, MAX_RECOVERY_MS);
                state.recovered_at_ms = Some(now_ms.saturating_add(recovery_ms));
            }
            return was_open.then_some(Transition::Closed);
        }
        state.failures = state.failures.saturating_add(1);
        let was_closed = state.retry_at_ms.is_none();
        if was_closed && state.failures < MAX_FAILURES {
            return None;
        }
        if was_closed {
            state.opened_at_ms = now_ms;
        }
        state.pause_ms = (state.pause_ms * 2).clamp(MIN_PAUSE_MS, MAX_PAUSE_MS);
        // Processes that lost the engine together do not return together.
        let jitter_ms = RandomState::new().hash_one(now_ms) % (state.pause_ms as u64 / 5);
        state.retry_at_ms = Some(now_ms.saturating_add(state.pause_ms - jitter_ms as i64));
        was_closed.then_some(Transition::Opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circuit_opens_after_three_failures_and_closes_after_a_success() {
        let circuit = Circuit::default();
        assert_eq!([circuit.record(false, 0), circuit.record(false, 0)], [None, None]);
        assert!(circuit.try_acquire(0) && circuit.is_closed());
        assert_eq!(circuit.record(true, 0), None);
        assert_eq!([0; 3].map(|now_ms| circuit.record(false, now_ms)), [None, None, Some(Transition::Opened)]);
        assert!(!circuit.try_acquire(700) && !circuit.is_closed() && circuit.wait_ms(0) > 700);
        assert!(circuit.try_acquire(1000) && !circuit.try_acquire(1001), "one trial");
        assert_eq!(circuit.record(true, 1002), Some(Transition::Closed));
        assert!(circuit.try_acquire(1003) && circuit.wait_ms(1003) == 0);
    }

    #[test]
    fn recovery_lasts_as_long_as_the_outage_within_limits() {
        for (outage_ms, recovery_ms) in [(2000, 10_000), (60_000, 60_000), (10_000_000, 3_600_000)] {
            let circuit = Circuit::default();
            assert!(!circuit.is_recovering(i64::MIN));
            (0..3).for_each(|_| {
                circuit.record(false, 500);
            });
            assert!(!circuit.is_recovering(500), "the circuit is open");
            let closed_ms = 500 + outage_ms;
            circuit.record(true, closed_ms);
            circuit.record(true, closed_ms + 1);
            assert!(circuit.is_recovering(closed_ms) && circuit.is_recovering(closed_ms + recovery_ms - 1));
            assert!(!circuit.is_recovering(closed_ms + recovery_ms));
        }
    }

    #[test]
    fn pause_doubles_up_to_half_a_minute() {
        let circuit = Circuit::default();
        (0..3).for_each(|_| {
            circuit.record(false, 0);
        });
        let mut now_ms = 0;
        for expected_ms in [2000, 4000, 8000, 16_000, 30_000, 30_000] {
            now_ms += 100_000;
            assert!(circuit.try_acquire(now_ms));
            assert_eq!(circuit.record(false, now_ms), None);
            let wait_ms = circuit.wait_ms(now_ms) as i64;
            assert!((expected_ms * 4 / 5..=expected_ms).contains(&wait_ms), "{wait_ms} of {expected_ms}");
        }
    }
}
