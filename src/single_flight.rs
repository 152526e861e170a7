//! Single flight: concurrent callers with the same key share one fetch.

use std::cmp::Ordering as CmpOrdering;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
#[cfg(not(shuttle))]
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

// `make shuttle` replaces `parking_lot` by the locks of shuttle.
#[cfg(shuttle)]
use parking_lot::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::clock::Deadline;
use crate::fork_mutex::ResetMutex;

/// The outcome of a shared fetch for one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flight<V> {
    /// The fetch returned this.
    Complete(V),
    /// The deadline passed first; the fetch may still be running.
    TimedOut,
    /// The fetch panicked, or its thread has ended.
    Abandoned,
    /// [`SingleFlight::cancel`] ended the wait; the fetch may still be running.
    Cancelled,
}

enum State<V> {
    Running,
    Complete(V),
    Abandoned,
    Cancelled,
}

/// One fetch and the callers that wait for it.
pub struct InFlight<V> {
    state: Mutex<State<V>>,
    completed: Condvar,
    /// The process that fetches: its threads do not exist in a forked child.
    pid: u32,
    /// The deadline of the caller that fetches: no caller from after a shutdown waits for one from before.
    deadline: Deadline,
}

impl<V> InFlight<V> {
    fn new(state: State<V>, deadline: Deadline) -> Arc<Self> {
        let (state, completed) = (Mutex::new(state), Condvar::new());
        Arc::new(InFlight { state, completed, pid: std::process::id(), deadline })
    }

    fn is_inherited(&self) -> bool {
        self.pid != std::process::id()
    }

    fn state(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Clone> InFlight<V> {
    /// Waits for the fetch to end, at most until the deadline.
    pub fn wait(&self, deadline: Deadline) -> Flight<V> {
        let mut state = self.state();
        loop {
            match &*state {
                State::Complete(value) => return Flight::Complete(value.clone()),
                State::Abandoned => return Flight::Abandoned,
                State::Cancelled => return Flight::Cancelled,
                State::Running => {}
            }
            let left = deadline.instant().saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Flight::TimedOut;
            }
            state = self.completed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A running fetch, with the guard if it was started by this call.
pub type Joined<K, V> = (Arc<InFlight<V>>, Option<CompletionGuard<K, V>>);

type Running<K, V> = ResetMutex<HashMap<K, Arc<InFlight<V>>>>;

/// The running fetches by key. Clones share them.
pub struct SingleFlight<K, V>(Arc<Running<K, V>>);

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        SingleFlight(Arc::default())
    }
}

impl<K: Hash + Eq + Clone, V: Clone> SingleFlight<K, V> {
    /// Removes all running fetches. To be called in a forked child: the threads that ran them do not exist there.
    pub fn reset_after_fork(&self) {
        self.0.lock().clear();
    }

    /// Ends the waits of all callers that have joined a fetch. Later callers start another.
    pub fn cancel(&self) {
        for (_, in_flight) in self.0.lock().drain().filter(|(_, in_flight)| !in_flight.is_inherited()) {
            *in_flight.state() = State::Cancelled;
            in_flight.completed.notify_all();
        }
    }

    /// Whether a fetch for this key is running.
    pub fn is_running(&self, key: &K) -> bool {
        self.0.lock().get(key).is_some_and(|in_flight| !in_flight.is_inherited())
    }

    /// Runs `fetch`, or waits for the one that is running.
    pub fn run(&self, key: &K, deadline: Deadline, fetch: impl FnOnce() -> V) -> Flight<V> {
        self.run_if(key, deadline, || true, fetch).unwrap_or(Flight::Abandoned)
    }

    /// Does the same, but starts a fetch only if `may_start` returns true. Returns `None` if neither is possible.
    pub fn run_if(
        &self,
        key: &K,
        deadline: Deadline,
        may_start: impl FnOnce() -> bool,
        fetch: impl FnOnce() -> V,
    ) -> Option<Flight<V>> {
        match self.join(key, deadline, may_start)? {
            (in_flight, None) => Some(in_flight.wait(deadline)),
            (_, Some(guard)) => {
                let value = fetch();
                guard.complete(value.clone());
                Some(Flight::Complete(value))
            }
        }
    }

    /// Joins the running fetch, or starts one if `may_start` returns true: then there is a guard, and its owner has to complete
    /// it. The guard may move to another thread. A fetch from before a shutdown is not joined by a caller from after it, and
    /// the reverse is cancelled.
    pub fn join(&self, key: &K, deadline: Deadline, may_start: impl FnOnce() -> bool) -> Option<Joined<K, V>> {
        let mut running = self.0.lock();
        if let Some(in_flight) = running.get(key).filter(|in_flight| !in_flight.is_inherited()) {
            match in_flight.deadline.cmp_shutdowns(deadline) {
                CmpOrdering::Equal => return Some((in_flight.clone(), None)),
                CmpOrdering::Greater => return Some((InFlight::new(State::Cancelled, deadline), None)),
                CmpOrdering::Less => {}
            }
        }
        if !may_start() {
            return None;
        }
        let in_flight = InFlight::new(State::Running, deadline);
        running.insert(key.clone(), in_flight.clone());
        let guard =
            CompletionGuard { running: self.0.clone(), key: key.clone(), in_flight: in_flight.clone(), value: None };
        Some((in_flight, Some(guard)))
    }
}

/// Ends a fetch when it is dropped; without a value the fetch counts as abandoned.
pub struct CompletionGuard<K: Hash + Eq, V> {
    running: Arc<Running<K, V>>,
    key: K,
    in_flight: Arc<InFlight<V>>,
    value: Option<V>,
}

impl<K: Hash + Eq, V> CompletionGuard<K, V> {
    /// Ends the fetch with a value for all callers.
    pub fn complete(mut self, value: V) {
        self.value = Some(value);
    }
}

impl<K: Hash + Eq, V> Drop for CompletionGuard<K, V> {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        // After a fork another fetch may be registered under this key.
        if running.get(&self.key).is_some_and(|current| Arc::ptr_eq(current, &self.in_flight)) {
            running.remove(&self.key);
        }
        drop(running);
        let mut state = self.in_flight.state();
        if matches!(*state, State::Running) {
            *state = self.value.take().map_or(State::Abandoned, State::Complete);
        }
        drop(state);
        self.in_flight.completed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::clock::Shutdowns;

    fn in_ms(ms: u64) -> Deadline {
        Deadline::after(Duration::from_millis(ms))
    }

    #[test]
    fn concurrent_callers_share_one_fetch() {
        let flights: SingleFlight<&str, usize> = SingleFlight::default();
        let fetches = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    let result = flights.run(&"a", in_ms(10_000), || {
                        std::thread::sleep(Duration::from_millis(200));
                        fetches.fetch_add(1, Ordering::SeqCst) + 7
                    });
                    assert_eq!(result, Flight::Complete(7));
                });
            }
        });
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
        assert!(!flights.is_running(&"a"));
    }

    #[test]
    fn panicking_fetch_releases_its_waiters() {
        let flights: SingleFlight<&str, ()> = SingleFlight::default();
        std::thread::scope(|scope| {
            let fetching = scope.spawn(|| {
                flights.run(&"a", in_ms(10_000), || {
                    std::thread::sleep(Duration::from_millis(100));
                    panic!("on purpose")
                })
            });
            while !flights.is_running(&"a") {
                std::thread::yield_now();
            }
            assert_eq!(flights.run(&"a", in_ms(10_000), || ()), Flight::Abandoned);
            assert!(fetching.join().is_err());
        });
        assert_eq!(flights.run(&"a", in_ms(10_000), || ()), Flight::Complete(()));
    }

    #[test]
    fn waiter_times_out_at_its_deadline() {
        let flights: SingleFlight<&str, ()> = SingleFlight::default();
        std::thread::scope(|scope| {
            scope.spawn(|| flights.run(&"a", in_ms(0), || std::thread::sleep(Duration::from_millis(400))));
            while !flights.is_running(&"a") {
                std::thread::yield_now();
            }
            let before = Instant::now();
            assert_eq!(flights.run(&"a", in_ms(50), || ()), Flight::TimedOut);
            assert!(before.elapsed() < Duration::from_millis(300));
        });
    }

    #[test]
    fn permission_is_needed_only_to_start_a_fetch() {
        let flights: SingleFlight<&str, u8> = SingleFlight::default();
        assert_eq!(flights.run_if(&"a", in_ms(0), || false, || 1), None);
        assert_eq!(flights.run_if(&"a", in_ms(0), || true, || 1), Some(Flight::Complete(1)));
        let (_, guard) = flights.join(&"a", in_ms(0), || true).unwrap();
        std::thread::scope(|scope| {
            let joined = scope.spawn(|| flights.run_if(&"a", in_ms(10_000), || unreachable!(), || unreachable!()));
            std::thread::sleep(Duration::from_millis(30));
            guard.unwrap().complete(2);
            assert_eq!(joined.join().unwrap(), Some(Flight::Complete(2)));
        });
    }

    #[test]
    fn cancelled_fetch_releases_its_waiters_and_later_ones_start_another() {
        let flights: SingleFlight<&str, u8> = SingleFlight::default();
        let (_, old) = flights.join(&"a", in_ms(0), || true).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| flights.run(&"a", in_ms(10_000), || unreachable!()));
            std::thread::sleep(Duration::from_millis(30));
            flights.cancel();
            assert_eq!(waiting.join().unwrap(), Flight::Cancelled);
        });
        let (later, new) = flights.join(&"a", in_ms(0), || true).unwrap();
        old.unwrap().complete(1);
        new.unwrap().complete(2);
        assert_eq!(later.wait(in_ms(0)), Flight::Complete(2));
    }

    #[test]
    fn fetch_from_before_a_shutdown_is_not_joined_after_it() {
        let flights: SingleFlight<&str, u8> = SingleFlight::default();
        let shutdowns = Shutdowns::default();
        let before = shutdowns.deadline(Duration::from_secs(10));
        shutdowns.raise();
        let after = shutdowns.deadline(Duration::from_secs(10));
        // A call that the shutdown has ended gets as far as this only then.
        let (_, old) = flights.join(&"a", before, || true).unwrap();
        std::thread::scope(|scope| {
            let joined = scope.spawn(|| flights.run(&"a", before, || 1));
            let outcome = flights.run(&"a", after, || {
                let late = flights.run(&"a", before, || unreachable!());
                assert_eq!(late, Flight::Cancelled);
                2
            });
            assert_eq!(outcome, Flight::Complete(2));
            std::thread::sleep(Duration::from_millis(30));
            old.unwrap().complete(1);
            let outcome = joined.join().unwrap();
            assert!(matches!(outcome, Flight::Complete(1) | Flight::Cancelled), "{outcome:?}");
        });
        assert!(!flights.is_running(&"a"));
    }

    #[test]
    fn fetch_from_before_a_fork_ends_without_touching_the_next() {
        let flights: SingleFlight<&str, u8> = SingleFlight::default();
        let (_, old) = flights.join(&"a", in_ms(0), || true).unwrap();
        flights.reset_after_fork();
        let (_, new) = flights.join(&"a", in_ms(0), || true).unwrap();
        assert!(new.is_some());
        drop(old);
        assert!(flights.is_running(&"a"));
        drop(new);
        assert!(!flights.is_running(&"a"));
    }
}
