//! The model of Clerk's Backend API: a limit over a window, and a latency.

use std::collections::VecDeque;

use crate::queue::Time;

const WINDOW: Time = 10_000_000;
/// An assumption, not a measurement: a call over the internet takes between 50 and 200 ms.
const LATENCY: std::ops::Range<Time> = 50_000..200_000;

/// Counts calls.
pub struct Clerk {
    max_per_window: usize,
    /// The times of the accepted calls in the window.
    window: VecDeque<Time>,
    /// Calls in each second, accepted or not.
    per_second: Vec<u32>,
    pub accepted: u64,
    pub rate_limited: u64,
}

impl Clerk {
    /// Returns a Clerk that accepts `limit` calls per second, over windows of 10 s.
    pub fn new(limit: f64) -> Self {
        Clerk {
            max_per_window: (limit * WINDOW as f64 / 1e6) as usize,
            window: VecDeque::new(),
            per_second: Vec::new(),
            accepted: 0,
            rate_limited: 0,
        }
    }

    /// Makes a call. Returns how long it takes, and `Retry-After` if it is not accepted.
    pub fn call(&mut self, now: Time, rng: &mut fastrand::Rng) -> (Time, Option<Time>) {
        while self.window.front().is_some_and(|at| now - at >= WINDOW) {
            self.window.pop_front();
        }
        let second = (now / 1_000_000) as usize;
        if self.per_second.len() <= second {
            self.per_second.resize(second + 1, 0);
        }
        self.per_second[second] += 1;
        let is_accepted = self.window.len() < self.max_per_window;
        if is_accepted {
            self.window.push_back(now);
            self.accepted += 1;
        } else {
            self.rate_limited += 1;
        }
        let retry_after = self.window.front().map_or(WINDOW, |at| at + WINDOW - now);
        (rng.i64(LATENCY), (!is_accepted).then_some(retry_after))
    }

    /// Returns the calls per second between two seconds, and the most in one of them.
    pub fn rate(&self, from_s: usize, to_s: usize) -> (f64, u32) {
        let seconds = (from_s..to_s).map(|second| self.per_second.get(second).copied().unwrap_or(0));
        let sum: u64 = seconds.clone().map(u64::from).sum();
        (sum as f64 / to_s.saturating_sub(from_s).max(1) as f64, seconds.max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_above_the_limit_of_a_window_are_not_accepted() {
        let (mut clerk, mut rng) = (Clerk::new(2.0), fastrand::Rng::with_seed(1));
        let accepted = (0..25).filter(|n| clerk.call(n * 1000, &mut rng).1.is_none()).count();
        assert_eq!((accepted, clerk.accepted, clerk.rate_limited), (20, 20, 5));
        assert_eq!((clerk.call(WINDOW - 1, &mut rng).1, clerk.call(WINDOW, &mut rng).1), (Some(1), None));
        assert_eq!(clerk.rate(0, 1), (25.0, 25));
    }
}
