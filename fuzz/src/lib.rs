//! Fuzz targets. `FUZZ_TARGET` selects one; each checks more than the absence of panics, against a second reader, a model or
//! invariants. An input may cost at most [`Limit`].

mod input;
mod limits;
mod second;
mod seeds;
mod targets;
mod tokens;

use std::sync::OnceLock;

use limits::Cost;

/// What one call may cost, for an input of `n` bytes.
#[derive(Clone, Copy)]
pub struct Limit {
    /// CPU time in microseconds.
    pub cpu_us: u64,
    /// More CPU time, in microseconds for each KiB of input.
    pub cpu_us_per_kib: u64,
    /// Allocated bytes.
    pub bytes: usize,
    /// More bytes, for each byte of input.
    pub bytes_per_byte: usize,
}

/// What unauthenticated clients send: 5 ms and 64 KiB, whatever the length.
const UNAUTHENTICATED: Limit = Limit { cpu_us: 5000, cpu_us_per_kib: 0, bytes: 64 << 10, bytes_per_byte: 0 };
/// What Clerk or the configuration sends: linear in the length.
const AUTHENTICATED: Limit = Limit { cpu_us: 5000, cpu_us_per_kib: 100, bytes: 64 << 10, bytes_per_byte: 32 };
/// State machines, for each call: not bound to the length of the input.
const CALL: Limit = Limit { cpu_us: 5000, cpu_us_per_kib: 0, bytes: 512 << 10, bytes_per_byte: 0 };

/// A target.
pub struct Target {
    name: &'static str,
    limit: Limit,
    /// The cap of what is under test, or a little more; `make fuzz` passes it as `-max_len`.
    max_len: usize,
    run: fn(&[u8]),
}

/// A slow input is repeated that often before it counts as slow.
const REPEATS: usize = 5;

impl Limit {
    fn allows(&self, cost: Cost, length: usize) -> bool {
        let cpu_us = self.cpu_us + self.cpu_us_per_kib * length as u64 / 1024;
        // Sanitizers slow everything down.
        let factor = if std::env::var_os("FUZZ_SLOW").is_some() { 20 } else { 1 };
        cost.cpu_us <= cpu_us * factor && cost.bytes <= self.bytes + self.bytes_per_byte * length
    }
}

fn selected() -> &'static Target {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let found = targets::ALL.iter().find(|target| target.name == name);
        let names: Vec<_> = targets::ALL.iter().map(|target| target.name).collect();
        found.unwrap_or_else(|| panic!("FUZZ_TARGET must be one of {}", names.join(" ")))
    })
}

/// Prepares the run. With `FUZZ_LIST`, prints name and `-max_len` of each target instead; with `FUZZ_SEEDS`, writes the seeds
/// and the dictionary of each target below that directory.
pub fn begin() {
    if std::env::var_os("FUZZ_LIST").is_some() {
        targets::ALL.iter().for_each(|target| println!("{} {}", target.name, target.max_len));
        std::process::exit(0);
    }
    if let Some(directory) = std::env::var_os("FUZZ_SEEDS") {
        seeds::write(directory.as_ref()).expect("the seeds cannot be written");
        std::process::exit(0);
    }
    selected();
}

/// Runs the selected target.
pub fn run(data: &[u8]) {
    let target = selected();
    let limits = [target.limit, UNAUTHENTICATED];
    let mut least = [Cost { cpu_us: u64::MAX, bytes: usize::MAX }; 2];
    for _ in 0..REPEATS {
        (target.run)(data);
        for (least, cost) in least.iter_mut().zip(limits::take_worst()) {
            *least = Cost { cpu_us: least.cpu_us.min(cost.cpu_us), bytes: least.bytes.min(cost.bytes) };
        }
        if limits.iter().zip(least).all(|(limit, cost)| limit.allows(cost, data.len())) {
            return;
        }
    }
    panic!("an input of {} bytes costs {least:?}", data.len());
}
