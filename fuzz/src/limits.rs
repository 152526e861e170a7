//! The cost of one input: CPU time and allocated bytes of what is under test, without the target's own work.

#![allow(unsafe_code, reason = "a global allocator, and the clock of a thread")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
    static WORST: Cell<Cost> = const { Cell::new(Cost { cpu_us: 0, bytes: 0 }) };
}

fn count(bytes: usize) {
    let _ = BYTES.try_with(|total| total.set(total.get().wrapping_add(bytes)));
}

// SAFETY: every call is forwarded unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: same contract as the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: same contract as the caller.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: same contract as the caller.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
    let (bytes, cpu) = (BYTES.get(), cpu_us());
    let outcome = call();
    let cost = Cost { cpu_us: cpu_us() - cpu, bytes: BYTES.get().wrapping_sub(bytes) };
    let worst = WORST.get();
    WORST.set(Cost { cpu_us: worst.cpu_us.max(cost.cpu_us), bytes: worst.bytes.max(cost.bytes) });
    outcome
}

/// Returns the highest cost since the last call.
pub fn take_worst() -> Cost {
    WORST.replace(Cost::default())
}
