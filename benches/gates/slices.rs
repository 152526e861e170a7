//! Measures several operations in turn, in slices of a millisecond of this thread's CPU time: what slows one of them down slows
//! the others down as well, so their ratios hold on a busy machine.

use std::time::Duration;

const SLICE: Duration = Duration::from_millis(1);

/// Runs an operation `n` times.
pub type Operation<'a> = Box<dyn FnMut(u64) + 'a>;

/// Returns the CPU time of this thread.
pub fn cpu_time() -> Duration {
    time_of(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Returns the CPU time of all threads of this process.
pub fn process_time() -> Duration {
    time_of(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn time_of(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is valid during the call.
    unsafe { libc::clock_gettime(clock, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn timed(operation: &mut Operation<'_>, n: u64) -> Duration {
    let before = cpu_time();
    operation(n);
    cpu_time() - before
}

/// Nanoseconds per operation, by operation and slice.
pub struct Slices(Vec<Vec<f64>>);

/// Measures each operation in `count` slices.
pub fn interleave(mut operations: Vec<Operation<'_>>, count: usize) -> Slices {
    let sizes: Vec<u64> = operations.iter_mut().map(calibrate).collect();
    let mut slices = vec![Vec::with_capacity(count); operations.len()];
    for slice in 0..count {
        for turn in 0..operations.len() {
            // The start rotates, so that no operation always runs behind the same one.
            let i = (slice + turn) % operations.len();
            slices[i].push(timed(&mut operations[i], sizes[i]).as_nanos() as f64 / sizes[i] as f64);
        }
    }
    Slices(slices)
}

/// Returns how many operations take a slice.
fn calibrate(operation: &mut Operation<'_>) -> u64 {
    let mut n = 1;
    loop {
        let time = timed(operation, n);
        if time >= SLICE / 2 {
            return (n as f64 * SLICE.as_secs_f64() / time.as_secs_f64()).ceil() as u64;
        }
        n *= 2;
    }
}

impl Slices {
    /// Returns the median time of an operation in nanoseconds.
    pub fn ns(&self, operation: usize) -> f64 {
        median(self.0[operation].clone())
    }

    /// Returns the median of the ratios of neighbouring slices.
    pub fn ratio(&self, operation: usize, limit: usize) -> f64 {
        median(self.0[operation].iter().zip(&self.0[limit]).map(|(ours, limit)| ours / limit).collect())
    }

    /// Returns the points of these operations: name, nanoseconds, and the ratio to the first one.
    pub fn points(&self, kind: &str, names: &[&str]) -> String {
        let points = names.iter().enumerate();
        points.map(|(i, name)| format!("{kind}\t{name}\t{:.0}\t{:.3}\n", self.ns(i), self.ratio(i, 0))).collect()
    }

    /// Returns the ratio of an operation that takes as much longer than `limit` as `operation` takes longer than `beside`.
    pub fn ratio_with_excess(&self, operation: usize, beside: usize, limit: usize) -> f64 {
        let slices = self.0[operation].iter().zip(&self.0[beside]).zip(&self.0[limit]);
        median(slices.map(|((ours, beside), limit)| (limit + ours - beside) / limit).collect())
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
