//! The command `clerk-sim`: serves the fake Clerk API; prints tokens, keys and webhooks.

use std::process::ExitCode;

fn main() -> ExitCode {
    match clerk_sim::cli::run(std::env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clerk-sim: {error}");
            ExitCode::from(2)
        }
    }
}
