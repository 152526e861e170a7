//! Runs recorded cases through the exported C functions and compares the results with the expected ones.

mod batch;
mod capi;
mod case_runner;
mod compare;
mod handshake;
mod instance;
mod options;
mod parity;
mod share;
mod verdicts;

use std::process::ExitCode;

const USAGE: &str =
    "usage: corpus-replay verdicts|share|parity|handshake FILE.json [--case ID-PREFIX] [--now SECONDS] [--threads N]";

/// An error in a corpus file or in the command line, as a message.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let mut args = lexopt::Parser::from_env();
    let outcome = match args.next() {
        Ok(Some(lexopt::Arg::Value(command))) if command == "verdicts" => batch::run(args, verdicts::run),
        Ok(Some(lexopt::Arg::Value(command))) if command == "share" => share::run(args),
        Ok(Some(lexopt::Arg::Value(command))) if command == "parity" => batch::run(args, parity::run),
        Ok(Some(lexopt::Arg::Value(command))) if command == "handshake" => batch::run(args, handshake::run),
        Ok(_) => Err(USAGE.into()),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("corpus-replay: {error}");
            ExitCode::from(2)
        }
    }
}
