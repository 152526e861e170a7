//! The cost of one input: CPU time and allocated bytes of what is under test, without the target's own work.

#![allow(unsafe_code, reason = "the clock of a thread")]

use std::cell::Cell;

#[path = "../../tests/attacks/allocated.rs"]
mod allocated;
use allocated::bytes_allocated;

thread_local! {
    static WORST: Cell<[Cost; 2]> = const { Cell::new([Cost { cpu_us: 0, bytes: 0 }; 2]) };
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

/// Runs a call under test and records what it costs, for the limit of the target.
pub fn watch<T>(call: impl FnOnce() -> T) -> T {
    record(0, call)
}

/// Does the same for the limit of what unauthenticated clients send, in a target whose own limit is higher.
pub fn watch_unauthenticated<T>(call: impl FnOnce() -> T) -> T {
    record(1, call)
}

fn record<T>(of: usize, call: impl FnOnce() -> T) -> T {
    let (mut outcome, cpu) = (None, cpu_us());
    let bytes = bytes_allocated(|| outcome = Some(call()));
    let cost = Cost { cpu_us: cpu_us() - cpu, bytes };
    let mut worst = WORST.get();
    worst[of] = Cost { cpu_us: worst[of].cpu_us.max(cost.cpu_us), bytes: worst[of].bytes.max(cost.bytes) };
    WORST.set(worst);
    outcome.expect("the call has returned")
}

/// Returns the highest costs since the last call, for either limit.
pub fn take_worst() -> [Cost; 2] {
    WORST.take()
}
