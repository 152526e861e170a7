//! The table of calls to Clerk per second: simulated beside computed.

use crate::args::{Args, Sharing};
use crate::fleet;

/// Active users and processes.
const FLEETS: [(u32, u32); 5] = [(1_000, 1), (1_000, 16), (1_000, 64), (100_000, 64), (100_000, 256)];
/// How long a browser uses one token.
const TOKEN_S: f64 = 50.0;

/// Without a limit users do not affect each other: of more users than these, a part is simulated.
const MAX_SAMPLE: u32 = 10_000;

struct Column {
    name: &'static str,
    sharing: Sharing,
    ttl_s: f64,
    /// Until the caches are as they stay, and measured afterwards.
    seconds: [f64; 2],
}

const COLUMNS: [Column; 4] = [
    Column { name: "per token", sharing: Sharing::Token, ttl_s: TOKEN_S, seconds: [60.0, 120.0] },
    Column { name: "process, 300 s", sharing: Sharing::Process, ttl_s: 300.0, seconds: [620.0, 620.0] },
    Column { name: "shared, 300 s", sharing: Sharing::Shared, ttl_s: 300.0, seconds: [120.0, 620.0] },
    Column { name: "shared, 3600 s", sharing: Sharing::Shared, ttl_s: 3600.0, seconds: [120.0, 1200.0] },
];

/// Returns the calls per second of requests at random times.
///
/// A token is replaced at fixed times, whether it was used or not: each process makes one call for each period with a request in
/// it. A cached user is replaced by the first request after it has expired.
pub fn computed(users: f64, processes: f64, rate: f64, sharing: Sharing, ttl_s: f64) -> f64 {
    match sharing {
        Sharing::Token => users * processes / ttl_s * (1.0 - (-rate * ttl_s / processes).exp()),
        Sharing::Process => users * processes / (ttl_s + processes / rate),
        Sharing::Shared => users / (ttl_s + 1.0 / rate),
    }
}

fn simulated(base: &Args, users: u32, processes: u32, column: &Column) -> f64 {
    let [warm_up_s, measured_s] = column.seconds;
    let sample = users.min(MAX_SAMPLE);
    let args = Args {
        users: sample,
        processes,
        sharing: column.sharing,
        ttl_s: column.ttl_s,
        // The calls are counted, not limited: what would be needed.
        limit: 1e9,
        calls_per_s: Some(1000),
        local_users: sample as usize,
        seconds: warm_up_s + measured_s,
        outage_s: 0.0,
        updates: 0.0,
        revocations: 0.0,
        ..base.clone()
    };
    let calls = fleet::run(&args).clerk.rate(warm_up_s as usize, (warm_up_s + measured_s) as usize).0;
    calls * f64::from(users) / f64::from(sample)
}

fn figure(calls: f64) -> String {
    if calls < 10.0 { format!("{calls:.1}") } else { format!("{calls:.0}") }
}

/// Prints the table in Markdown.
pub fn print(base: &Args) {
    let names = COLUMNS.map(|column| column.name).join(" | ");
    println!("Calls to Clerk per second, simulated / computed; {} requests per user and second.\n", base.rate);
    println!("| users | processes | {names} |\n|---|---|---|---|---|---|");
    for (users, processes) in FLEETS {
        let figures = COLUMNS.map(|column| {
            let expected = computed(users.into(), processes.into(), base.rate, column.sharing, column.ttl_s);
            format!("{} / {}", figure(simulated(base, users, processes, &column)), figure(expected))
        });
        println!("| {users} | {processes} | {} |", figures.join(" | "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_calls_are_close_to_the_computed() {
        let base = Args::default();
        for column in COLUMNS {
            let expected = computed(1000.0, 16.0, base.rate, column.sharing, column.ttl_s);
            let found = simulated(&base, 1000, 16, &column);
            assert!((found / expected - 1.0).abs() < 0.1, "{}: {found} simulated, {expected} computed", column.name);
        }
    }
}
