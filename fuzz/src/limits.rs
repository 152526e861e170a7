//! The cost of one input: CPU time and allocated bytes of what is under test, without the target's own work.

#![allow(unsafe_code, reason = "the clock of a thread")]

use std::cell::Cell;

#[path = "../../tests/attacks/allocated.rs"]
mod allocated;
use allocated::bytes_allocated;

thread_local! {
    static WORST: Cell<Cost> = const { Cell::new(Cost { cpu_us: 0, bytes: 0 }) };
}

/// The highest cost of one call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// CPU time in microseconds: what other processes do does not count.
    pub cpu_us: u64,
    /// Bytes allocated, including freed ones.
    pub bytes: usize,
}

fn cpu_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

/// Runs a call under test and records what it costs.
pub fn watch<T>(call: impl FnOnce() -> T) -> T {
    let (mut outcome, cpu) = (None, cpu_us());
    let bytes = bytes_allocated(|| outcome = Some(call()));
    let cost = Cost { cpu_us: cpu_us() - cpu, bytes };
    let worst = WORST.get();
    WORST.set(Cost { cpu_us: worst.cpu_us.max(cost.cpu_us), bytes: worst.bytes.max(cost.bytes) });
    outcome.expect("the call has returned")
}

/// Returns the highest cost since the last call.
pub fn take_worst() -> Cost {
    WORST.replace(Cost::default())
}
