//! The flags of the command.

use std::ffi::OsString;

pub const USAGE: &str = "\
Simulates processes that share a cache of users, and counts their calls to Clerk.

Usage: fleet-sim [flag value]...
       fleet-sim --table       the table of docs/scaling.md, simulated beside computed
       fleet-sim --measure     measures redis-server on this machine and prints data/redis-latency.txt

  --users N          active users (100000)
  --processes N      processes (64)
  --rate R           requests per user and second (0.1)
  --ttl S            user_ttl_s of the shared cache (3600)
  --stale S          user_stale_if_error_s (4 times the ttl, at most 86400)
  --local-users N    capacity of a process's cache, in users (10000)
  --calls-per-s R    clerk_calls_per_s of each process (half of the limit divided by the processes, at least 1)
  --limit R          Clerk's limit in calls per second, over windows of 10 s (100)
  --updates R        webhook events about a user, per user and day (1)
  --revocations R    revocations per second (1)
  --seconds S        duration (600)
  --outage-at S      when the engine stops (240)
  --outage S         for how long (60; 0: it never stops)
  --lost             the engine is empty after the outage
  --sharing HOW      shared, process: a cache per process; token: one fetch for each token and process (shared)
  --cold             begins with empty caches, else with those of a fleet that has run for long
  --seed N           of the random numbers (1)
";

/// Where the users come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// One fetch for each token and process; nothing is known about users.
    Token,
    /// A cache of users in each process.
    Process,
    /// A cache in each process, and one that all share.
    Shared,
}

#[derive(Clone, Debug)]
pub struct Args {
    pub users: u32,
    pub processes: u32,
    pub rate: f64,
    pub ttl_s: f64,
    pub stale_s: Option<f64>,
    pub local_users: usize,
    pub calls_per_s: Option<u32>,
    pub limit: f64,
    pub updates: f64,
    pub revocations: f64,
    pub seconds: f64,
    pub outage_at_s: f64,
    pub outage_s: f64,
    pub sharing: Sharing,
    pub is_cold: bool,
    pub is_lost: bool,
    pub seed: u64,
}

impl Default for Args {
    fn default() -> Self {
        Args {
            users: 100_000,
            processes: 64,
            rate: 0.1,
            ttl_s: 3600.0,
            stale_s: None,
            local_users: 10_000,
            calls_per_s: None,
            limit: 100.0,
            updates: 1.0,
            revocations: 1.0,
            seconds: 600.0,
            outage_at_s: 240.0,
            outage_s: 60.0,
            sharing: Sharing::Shared,
            is_cold: false,
            is_lost: false,
            seed: 1,
        }
    }
}

/// What the command does.
#[derive(Debug)]
pub enum Command {
    Simulate(Args),
    Table(Args),
    Measure,
    Help,
}

impl Args {
    /// Returns the budget of a process in calls per second.
    pub fn budget_per_s(&self) -> u32 {
        self.calls_per_s.unwrap_or((self.limit * 0.5 / f64::from(self.processes)).max(1.0) as u32)
    }

    /// Returns how old a user may be that is used because no newer one is available.
    pub fn stale_s(&self) -> f64 {
        self.stale_s.unwrap_or((4.0 * self.ttl_s).min(86_400.0))
    }
}

/// Parses the arguments without the name of the program.
///
/// # Errors
///
/// Which argument is wrong.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    use lexopt::prelude::*;

    let mut args = Args::default();
    let mut is_table = false;
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        let Long(name) = argument else { return Err(argument.unexpected()) };
        let name = name.to_owned();
        let mut number = |min: f64| -> Result<f64, lexopt::Error> {
            let value: f64 = parser.value()?.parse()?;
            let is_valid = value.is_finite() && (min..=1e9).contains(&value);
            if is_valid { Ok(value) } else { Err(format!("--{name}: at least {min} and at most 1e9").into()) }
        };
        match name.as_str() {
            "users" => args.users = number(1.0)? as u32,
            "processes" => args.processes = number(1.0)? as u32,
            "rate" => args.rate = number(1e-6)?,
            "ttl" => args.ttl_s = number(1.0)?,
            "stale" => args.stale_s = Some(number(0.0)?),
            "local-users" => args.local_users = number(1.0)? as usize,
            "calls-per-s" => args.calls_per_s = Some(number(1.0)? as u32),
            "limit" => args.limit = number(1.0)?,
            "updates" => args.updates = number(0.0)?,
            "revocations" => args.revocations = number(0.0)?,
            "seconds" => args.seconds = number(1.0)?,
            "outage-at" => args.outage_at_s = number(0.0)?,
            "outage" => args.outage_s = number(0.0)?,
            "seed" => args.seed = number(0.0)? as u64,
            "sharing" => {
                args.sharing = match parser.value()?.string()?.as_str() {
                    "shared" => Sharing::Shared,
                    "process" => Sharing::Process,
                    "token" => Sharing::Token,
                    other => return Err(format!("--sharing {other}: must be shared, process or token").into()),
                }
            }
            "cold" => args.is_cold = true,
            "lost" => args.is_lost = true,
            "table" => is_table = true,
            "measure" => return Ok(Command::Measure),
            "help" => return Ok(Command::Help),
            _ => return Err(format!("unknown flag --{name}").into()),
        }
    }
    Ok(if is_table { Command::Table(args) } else { Command::Simulate(args) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &str) -> Result<Command, lexopt::Error> {
        parse(arguments.split_whitespace().map(OsString::from))
    }

    #[test]
    fn flags_replace_defaults() {
        let Ok(Command::Simulate(args)) = parsed("--users 1000 --processes 4 --ttl 20 --sharing process --cold") else {
            panic!("rejected")
        };
        assert_eq!((args.users, args.processes, args.ttl_s, args.sharing), (1000, 4, 20.0, Sharing::Process));
        assert!(args.is_cold);
        assert_eq!((args.budget_per_s(), args.stale_s()), (12, 80.0));
    }

    #[test]
    fn malformed_flags_are_rejected() {
        for malformed in [
            "--users 0",
            "--users many",
            "--users",
            "--rate -1",
            "--rate NaN",
            "--ttl 1e99",
            "--sharing all",
            "--unknown 1",
            "users",
            "-u 1",
        ] {
            assert!(parsed(malformed).is_err(), "{malformed}");
        }
    }
}
