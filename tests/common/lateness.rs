//! How late the machine itself is.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(5);
/// The number of pauses that count: those of the last two seconds.
const PAUSES: usize = 400;

/// More does not count: a library that occupies all processors makes the machine late.
const MAX: Duration = Duration::from_millis(100);

/// Returns by how much the machine woke up a thread too late in the last two seconds, at most. The first call starts the thread, which
/// runs until the process ends.
pub fn of_machine() -> Duration {
    static WORST_US: OnceLock<&AtomicU64> = OnceLock::new();
    let worst_us = WORST_US.get_or_init(|| {
        let worst_us: &AtomicU64 = Box::leak(Box::default());
        std::thread::spawn(move || {
            let mut recent = VecDeque::with_capacity(PAUSES);
            loop {
                let begun = Instant::now();
                std::thread::sleep(PAUSE);
                recent.truncate(PAUSES - 1);
                recent.push_front(begun.elapsed().saturating_sub(PAUSE).as_micros() as u64);
                worst_us.store(recent.iter().copied().max().unwrap_or_default(), Ordering::SeqCst);
            }
        });
        worst_us
    });
    Duration::from_micros(worst_us.load(Ordering::SeqCst)).min(MAX)
}
