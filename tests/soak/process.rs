//! What this process uses.

use std::fs;

/// One second.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub rss_kb: u64,
    pub descriptors: u64,
    pub threads: u64,
    pub requests: usize,
    pub median_us: u64,
    pub p999_us: u64,
}

impl Sample {
    pub fn take(mut latencies_us: Vec<u64>) -> Sample {
        latencies_us.sort_unstable();
        let at = |part: usize| latencies_us.get(latencies_us.len() * part / 1000).copied().unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        Sample {
            rss_kb: field("VmRSS:"),
            threads: field("Threads:"),
            descriptors: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
            requests: latencies_us.len(),
            median_us: at(500),
            p999_us: at(999),
        }
    }
}

fn median(samples: &[Sample], value: impl Fn(&Sample) -> u64) -> u64 {
    let mut values: Vec<u64> = samples.iter().map(value).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Compares the last quarter with the second one. Short runs say nothing about growth.
pub fn assert_flat(samples: &[Sample]) {
    let quarter = samples.len() / 4;
    if quarter < 10 {
        return;
    }
    let (early, late) = (&samples[quarter..2 * quarter], &samples[samples.len() - quarter..]);
    let both = |value: fn(&Sample) -> u64| (median(early, value), median(late, value));
    let (rss_early, rss_late) = both(|sample| sample.rss_kb);
    assert!(rss_late <= rss_early * 105 / 100 + 2048, "memory grows from {rss_early} to {rss_late} KiB");
    for (name, (early, late)) in
        [("descriptors", both(|sample| sample.descriptors)), ("threads", both(|sample| sample.threads))]
    {
        assert!(late <= early + 4, "{name} grow from {early} to {late}");
    }
}
