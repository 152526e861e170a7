//! Single flight: of all who want the same thing at once, one fetches it and the others share the answer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

#[derive(Default)]
enum Stage<V> {
    #[default]
    Flying,
    /// `None`: the one who flew died on the way.
    Landed(Option<V>),
}

struct Flight<V> {
    stage: Mutex<Stage<V>>,
    landing: Condvar,
}

/// By key; the map's hash is keyed at random.
pub struct SingleFlight<K, V>(Mutex<HashMap<K, Arc<Flight<V>>>>);

impl<K: Hash + Eq + Clone, V: Clone> SingleFlight<K, V> {
    pub fn new() -> Self {
        SingleFlight(Mutex::default())
    }

    /// In a forked child: those who were fetching did not come along.
    pub fn abandon(&self) {
        self.0.lock().clear();
    }

    /// The answer of `fetch`, whoever ran it; `None` when the deadline passed or the fetch panicked.
    pub fn get(&self, key: &K, deadline: Instant, fetch: impl FnOnce() -> V) -> Option<V> {
        let (flight, mine) = {
            let mut flights = self.0.lock();
            match flights.get(key) {
                Some(flight) => (flight.clone(), false),
                None => {
                    let flight = Arc::new(Flight { stage: Mutex::default(), landing: Condvar::new() });
                    flights.insert(key.clone(), flight.clone());
                    (flight, true)
                }
            }
        };
        if mine {
            let mut landing = Landing { flights: self, key, flight: &flight, answer: None };
            let answer = fetch();
            landing.answer = Some(answer.clone());
            return Some(answer);
        }
        let mut stage = flight.stage.lock();
        loop {
            if let Stage::Landed(answer) = &*stage {
                return answer.clone();
            }
            if flight.landing.wait_until(&mut stage, deadline).timed_out() {
                return None;
            }
        }
    }
}

struct Landing<'a, K: Hash + Eq, V> {
    flights: &'a SingleFlight<K, V>,
    key: &'a K,
    flight: &'a Flight<V>,
    answer: Option<V>,
}

impl<K: Hash + Eq, V> Drop for Landing<'_, K, V> {
    fn drop(&mut self) {
        self.flights.0.lock().remove(self.key);
        *self.flight.stage.lock() = Stage::Landed(self.answer.take());
        self.flight.landing.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn many_ask_and_one_fetches() {
        let flights: SingleFlight<&str, usize> = SingleFlight::new();
        let fetches = AtomicUsize::new(0);
        let deadline = Instant::now() + Duration::from_secs(10);
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    let answer = flights.get(&"a", deadline, || {
                        std::thread::sleep(Duration::from_millis(200));
                        fetches.fetch_add(1, Ordering::SeqCst) + 7
                    });
                    assert_eq!(answer, Some(7));
                });
            }
        });
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_fetch_that_dies_leaves_nobody_waiting() {
        let flights: SingleFlight<&str, ()> = SingleFlight::new();
        let deadline = Instant::now() + Duration::from_secs(10);
        std::thread::scope(|scope| {
            let flying = scope.spawn(|| {
                flights.get(&"a", deadline, || {
                    std::thread::sleep(Duration::from_millis(100));
                    panic!("on purpose")
                })
            });
            std::thread::sleep(Duration::from_millis(30));
            assert_eq!(flights.get(&"a", deadline, || ()), None);
            assert!(flying.join().is_err());
        });
        assert_eq!(flights.get(&"a", deadline, || ()), Some(()));
    }

    #[test]
    fn whoever_waits_gives_up_at_the_deadline() {
        let flights: SingleFlight<&str, ()> = SingleFlight::new();
        std::thread::scope(|scope| {
            scope.spawn(|| flights.get(&"a", Instant::now(), || std::thread::sleep(Duration::from_millis(300))));
            std::thread::sleep(Duration::from_millis(50));
            let before = Instant::now();
            assert_eq!(flights.get(&"a", before + Duration::from_millis(50), || ()), None);
            assert!(before.elapsed() < Duration::from_millis(200));
        });
    }
}
