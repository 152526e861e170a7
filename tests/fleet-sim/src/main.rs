//! Simulates many processes that share a cache of users, and counts their calls to Clerk.

mod args;
mod clerk;
mod fleet;
mod latency;
mod measure;
mod queue;
mod table;

use std::process::ExitCode;

use args::{Args, Command, USAGE};
use fleet::{ANSWERS, Counts, Report};

fn ms(micros: queue::Time) -> f64 {
    micros as f64 / 1000.0
}

fn print_counts(name: &str, counts: &Counts) {
    let answers: u64 = counts.answers.iter().sum();
    if answers == 0 {
        return;
    }
    println!("\n{name}: {answers} requests");
    for (answer, description) in ANSWERS {
        println!("  {:8.4} % {description}", counts.share(answer) * 100.0);
    }
    let quantile = |quantile| ms(counts.latencies.quantile(quantile));
    println!(
        "  time for the user: p50 {:.3} ms, p99 {:.1} ms, p99.9 {:.1} ms, max {:.1} ms; later than timeout_ms + 250 ms: {}",
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
        ms(counts.latencies.max()),
        counts.late
    );
    if counts.lags.count() > 0 {
        println!(
            "  {} deliveries of revocations to a process, after: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            counts.lags.count(),
            ms(counts.lags.quantile(0.5)),
            ms(counts.lags.quantile(0.99)),
            ms(counts.lags.max())
        );
    }
}

fn print_report(args: &Args, report: &Report, took: std::time::Duration) {
    println!(
        "{} users in {} processes, {} requests/s for {} s; user_ttl_s {}, clerk_calls_per_s {}, seed {}",
        args.users,
        args.processes,
        f64::from(args.users) * args.rate,
        args.seconds,
        args.ttl_s,
        args.budget_per_s(),
        args.seed
    );
    println!("{} events, {} revocations; simulated in {:.1} s", report.events, report.revocations, took.as_secs_f64());
    let (end, from) = (args.seconds as usize, args.outage_at_s as usize);
    let to = from + args.outage_s as usize;
    println!("\ncalls to Clerk per second (limit {}):", args.limit);
    let periods = if args.outage_s > 0.0 && to < end {
        vec![("before", 0, from), ("engine down", from, to), ("minute after", to, end.min(to + 60)), ("all", 0, end)]
    } else {
        vec![("all", 0, end)]
    };
    for (name, from, to) in periods {
        let (mean, max) = report.clerk.rate(from, to);
        println!("  {name:12} {mean:9.1} mean {max:6} most in a second");
    }
    println!("  answered with 429: {}", report.clerk.rate_limited);
    println!("  for a user within user_ttl_s of the last call: {} of {}", report.early_calls, report.clerk.accepted);
    print_counts("engine up", &report.up);
    print_counts("engine down", &report.down);
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    match args::parse(std::env::args_os().skip(1))? {
        Command::Help => print!("{USAGE}"),
        Command::Measure => print!("{}", measure::measure()?),
        Command::Table(args) => table::print(&args),
        Command::Simulate(args) => {
            let begun = std::time::Instant::now();
            let report = fleet::run(&args);
            print_report(&args, &report, begun.elapsed());
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet-sim: {error}");
            ExitCode::FAILURE
        }
    }
}
