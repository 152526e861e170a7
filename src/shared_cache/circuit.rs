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
    /// Counts the times at which the circuit opened, closed or permitted a trial: what was permitted before says nothing.
    epoch: u64,
    failures: u32,
    pause_ms: i64,
    /// When the next operation may be tried; `None` while the circuit is closed.
    retry_at_ms: Option<i64>,
    opened_at_ms: i64,
    /// When the recovery from the last outage ends; `None` if there was none.
    recovered_at_ms: Option<i64>,
}

/// The permission to send one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    epoch: u64,
}

/// What an operation says about the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    /// Nothing.
    Unknown,
}

/// What an outcome has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    Opened,
    Closed,
}

impl Circuit {
    /// Returns the permission to send an operation. While the circuit is open, one is given after each pause.
    pub fn try_acquire(&self, now_ms: i64) -> Option<Permit> {
        let mut state = self.0.lock();
        match state.retry_at_ms {
            Some(retry_at_ms) if now_ms < retry_at_ms => return None,
            Some(_) => {
                state.epoch += 1;
                state.retry_at_ms = Some(now_ms.saturating_add(TRIAL_MS));
            }
            None => {}
        }
        Some(Permit { epoch: state.epoch })
    }

    /// Returns whether operations are sent.
    pub fn is_closed(&self) -> bool {
        self.0.lock().retry_at_ms.is_none()
    }

    /// Returns whether the circuit closed not long ago, as long as it was open: entries that were not stored meanwhile are missing.
    pub fn is_recovering(&self, now_ms: i64) -> bool {
        self.0.lock().recovered_at_ms.is_some_and(|recovered_at_ms| now_ms < recovered_at_ms)
    }

    /// Has the recovery last at least this long from now on.
    pub fn extend_recovery(&self, duration_ms: i64, now_ms: i64) {
        let mut state = self.0.lock();
        let until_ms = now_ms.saturating_add(duration_ms.clamp(MIN_RECOVERY_MS, MAX_RECOVERY_MS));
        state.recovered_at_ms = state.recovered_at_ms.max(Some(until_ms));
    }

    /// Returns the milliseconds until an operation may be tried; 0 if one may be.
    pub fn wait_ms(&self, now_ms: i64) -> u64 {
        let wait_ms = self.0.lock().retry_at_ms.map_or(0, |retry_at_ms| retry_at_ms.saturating_sub(now_ms));
        u64::try_from(wait_ms).unwrap_or(0)
    }

    /// Records the outcome of an operation. Many are in progress when an engine stalls: those that were sent before the circuit
    /// opened, or before its last trial, change nothing.
    pub fn record(&self, permit: Permit, outcome: Outcome, now_ms: i64) -> Option<Transition> {
        let mut state = self.0.lock();
        if permit.epoch != state.epoch {
            return None;
        }
        let was_open = state.retry_at_ms.is_some();
        match outcome {
            Outcome::Unknown => {
                // The next operation is the trial.
                state.retry_at_ms = was_open.then_some(now_ms);
                None
            }
            Outcome::Success => {
                (state.failures, state.pause_ms, state.retry_at_ms) = (0, 0, None);
                if was_open {
                    state.epoch += 1;
                    let outage_ms = now_ms.saturating_sub(state.opened_at_ms);
                    let recovery_ms = outage_ms.clamp(MIN_RECOVERY_MS, MAX_RECOVERY_MS);
                    state.recovered_at_ms = Some(now_ms.saturating_add(recovery_ms));
                }
                was_open.then_some(Transition::Closed)
            }
            Outcome::Failure => {
                state.failures = state.failures.saturating_add(1);
                if !was_open && state.failures < MAX_FAILURES {
                    return None;
                }
                state.open(now_ms);
                (!was_open).then_some(Transition::Opened)
            }
        }
    }

    /// Opens the circuit without an operation.
    pub fn open(&self, now_ms: i64) -> Option<Transition> {
        let mut state = self.0.lock();
        let was_open = state.retry_at_ms.is_some();
        state.open(now_ms);
        (!was_open).then_some(Transition::Opened)
    }

    /// Ends the pause: the next operation is a trial.
    pub fn end_pause(&self, now_ms: i64) {
        let mut state = self.0.lock();
        state.retry_at_ms = state.retry_at_ms.map(|retry_at_ms| retry_at_ms.min(now_ms));
    }
}

impl State {
    fn open(&mut self, now_ms: i64) {
        self.epoch += 1;
        if self.retry_at_ms.is_none() {
            self.opened_at_ms = now_ms;
        }
        self.pause_ms = (self.pause_ms * 2).clamp(MIN_PAUSE_MS, MAX_PAUSE_MS);
        // Processes that lost the engine together do not return together.
        let jitter_ms = RandomState::new().hash_one(now_ms) % (self.pause_ms as u64 / 5);
        self.retry_at_ms = Some(now_ms.saturating_add(self.pause_ms - jitter_ms as i64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Circuit {
        fn fail(&self, now_ms: i64) -> Option<Transition> {
            self.record(self.try_acquire(now_ms)?, Outcome::Failure, now_ms)
        }
    }

    fn opened() -> Circuit {
        let circuit = Circuit::default();
        assert_eq!([0; 3].map(|now_ms| circuit.fail(now_ms)), [None, None, Some(Transition::Opened)]);
        circuit
    }

    #[test]
    fn circuit_opens_after_three_failures_and_closes_after_a_success() {
        let circuit = Circuit::default();
        assert_eq!([circuit.fail(0), circuit.fail(0)], [None, None]);
        let permit = circuit.try_acquire(0).unwrap();
        assert!(circuit.is_closed());
        assert_eq!(circuit.record(permit, Outcome::Success, 0), None);
        assert_eq!([0; 3].map(|now_ms| circuit.fail(now_ms)), [None, None, Some(Transition::Opened)]);
        assert!(circuit.try_acquire(700).is_none() && !circuit.is_closed() && circuit.wait_ms(0) > 700);
        let trial = circuit.try_acquire(1000).unwrap();
        assert_eq!(circuit.try_acquire(1001), None, "one trial");
        assert_eq!(circuit.record(trial, Outcome::Success, 1002), Some(Transition::Closed));
        assert!(circuit.try_acquire(1003).is_some() && circuit.wait_ms(1003) == 0);
    }

    #[test]
    fn recovery_lasts_as_long_as_the_outage_within_limits() {
        for (outage_ms, recovery_ms) in [(2000, 10_000), (60_000, 60_000), (10_000_000, 3_600_000)] {
            let circuit = Circuit::default();
            assert!(!circuit.is_recovering(i64::MIN));
            assert_eq!([500; 3].map(|now_ms| circuit.fail(now_ms)).last(), Some(&Some(Transition::Opened)));
            assert!(!circuit.is_recovering(500), "the circuit is open");
            let closed_ms = 500 + outage_ms;
            for now_ms in [closed_ms, closed_ms + 1] {
                circuit.record(circuit.try_acquire(now_ms).unwrap(), Outcome::Success, now_ms);
            }
            assert!(circuit.is_recovering(closed_ms) && circuit.is_recovering(closed_ms + recovery_ms - 1));
            assert!(!circuit.is_recovering(closed_ms + recovery_ms));
        }
    }

    #[test]
    fn recovery_is_extended_but_not_shortened() {
        let circuit = Circuit::default();
        circuit.extend_recovery(20_000, 0);
        circuit.extend_recovery(15_000, 1);
        assert!(circuit.is_recovering(19_999) && !circuit.is_recovering(20_000));
        circuit.extend_recovery(i64::MAX, 0);
        assert!(circuit.is_recovering(MAX_RECOVERY_MS - 1) && !circuit.is_recovering(MAX_RECOVERY_MS));
    }

    #[test]
    fn pause_doubles_up_to_half_a_minute() {
        let circuit = opened();
        let mut now_ms = 0;
        for expected_ms in [2000, 4000, 8000, 16_000, 30_000, 30_000] {
            now_ms += 100_000;
            assert_eq!(circuit.fail(now_ms), None);
            let wait_ms = circuit.wait_ms(now_ms) as i64;
            assert!((expected_ms * 4 / 5..=expected_ms).contains(&wait_ms), "{wait_ms} of {expected_ms}");
        }
    }

    #[test]
    fn operations_sent_before_the_circuit_opened_change_nothing() {
        let circuit = Circuit::default();
        let permits = [0; 8].map(|now_ms| circuit.try_acquire(now_ms).unwrap());
        let transitions = permits.map(|permit| circuit.record(permit, Outcome::Failure, 25));
        assert_eq!(transitions.iter().flatten().count(), 1);
        assert!(circuit.wait_ms(25) <= MIN_PAUSE_MS as u64, "one stall is one failure: {}", circuit.wait_ms(25));
        let late = permits[0];
        assert_eq!(circuit.record(late, Outcome::Success, 30), None);
        assert!(!circuit.is_closed(), "only the trial closes it");
        let trial = circuit.try_acquire(2000).unwrap();
        assert_eq!((circuit.record(late, Outcome::Success, 2001), circuit.is_closed()), (None, false));
        assert_eq!(circuit.record(late, Outcome::Failure, 2001), None);
        assert_eq!(circuit.record(trial, Outcome::Success, 2002), Some(Transition::Closed));
        // Nor do those of before the outage count after it.
        assert_eq!([0; 3].map(|_| circuit.record(late, Outcome::Failure, 2003)), [None; 3]);
        assert!(circuit.is_closed());
    }

    #[test]
    fn trial_that_another_one_replaced_changes_nothing() {
        let circuit = opened();
        let (first, second) = (circuit.try_acquire(1000).unwrap(), circuit.try_acquire(1000 + TRIAL_MS).unwrap());
        assert_eq!((circuit.record(first, Outcome::Success, 2100), circuit.is_closed()), (None, false));
        assert_eq!(circuit.record(second, Outcome::Success, 2101), Some(Transition::Closed));
    }

    #[test]
    fn outcome_that_says_nothing_resets_no_failures_and_closes_nothing() {
        let circuit = Circuit::default();
        let unknown = |now_ms| circuit.record(circuit.try_acquire(now_ms).unwrap(), Outcome::Unknown, now_ms);
        assert_eq!([circuit.fail(0), unknown(0), circuit.fail(0), unknown(0)], [None; 4]);
        assert_eq!(circuit.fail(0), Some(Transition::Opened));
        let pause_ms = circuit.wait_ms(0);
        for now_ms in [1000, 1001] {
            assert_eq!((unknown(now_ms), circuit.is_closed()), (None, false), "and another one may be tried at once");
        }
        assert_eq!(circuit.fail(1002), None);
        assert!(circuit.wait_ms(1002) > pause_ms, "it was the trial");
    }

    #[test]
    fn circuit_opens_without_an_operation_and_its_pause_can_be_ended() {
        let circuit = Circuit::default();
        circuit.end_pause(0);
        assert!(circuit.is_closed());
        assert_eq!([circuit.open(0), circuit.open(0)], [Some(Transition::Opened), None]);
        assert_eq!(circuit.try_acquire(10), None);
        circuit.end_pause(10);
        assert!(circuit.try_acquire(10).is_some() && circuit.try_acquire(11).is_none());
    }
}
