//! The events of a simulation in the order of their times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Microseconds since the simulation began. What happened before has a negative time.
pub type Time = i64;

struct Entry<E> {
    at: Time,
    /// Events of the same time are taken in the order in which they were added.
    number: u64,
    event: E,
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<E> Eq for Entry<E> {}

/// The queue, and the time of the event that was taken last.
pub struct Queue<E> {
    entries: BinaryHeap<Reverse<Entry<E>>>,
    added: u64,
    now: Time,
}

impl<E> Queue<E> {
    /// Returns an empty queue at time 0.
    pub fn new() -> Self {
        Queue { entries: BinaryHeap::new(), added: 0, now: 0 }
    }

    /// Returns the time of the event that was taken last.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Adds an event that happens after `delay`; a negative delay counts as none.
    pub fn add(&mut self, delay: Time, event: E) {
        self.added += 1;
        let at = self.now.saturating_add(delay.max(0));
        self.entries.push(Reverse(Entry { at, number: self.added, event }));
    }

    /// Takes the next event and sets the time to its own.
    pub fn take(&mut self) -> Option<E> {
        let Reverse(Entry { at, event, .. }) = self.entries.pop()?;
        self.now = at;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_in_the_order_of_their_times() {
        let mut queue = Queue::new();
        for delay in [30, 10, 20, 10] {
            queue.add(delay, delay);
        }
        let mut taken = Vec::new();
        while let Some(event) = queue.take() {
            assert_eq!(queue.now(), event);
            taken.push(event);
        }
        assert_eq!(taken, [10, 10, 20, 30]);
    }

    #[test]
    fn events_of_one_time_are_taken_as_they_were_added() {
        let mut queue = Queue::new();
        (0..100).for_each(|number| queue.add(5, number));
        let taken: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(taken, Vec::from_iter(0..100));
    }

    #[test]
    fn delay_counts_from_the_event_taken_last_and_never_backwards() {
        let mut queue = Queue::new();
        queue.add(10, "first");
        assert_eq!(queue.take(), Some("first"));
        queue.add(5, "third");
        queue.add(-7, "second");
        assert_eq!((queue.take(), queue.now()), (Some("second"), 10));
        assert_eq!((queue.take(), queue.now(), queue.take()), (Some("third"), 15, None));
    }
}
