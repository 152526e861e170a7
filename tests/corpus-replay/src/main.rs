//! Plays recorded cases through the exported C functions and compares the answers with the expected ones.

mod capi;
mod compare;
mod options;
mod parity;
mod play;
mod replay;
mod share;
mod stage;

use std::process::ExitCode;

const USAGE: &str =
    "usage: corpus-replay verdicts|share|parity FILE.json [--case ID-PREFIX] [--now SECONDS] [--threads N]";

/// What is wrong with a file or a command line, in words.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let mut args = lexopt::Parser::from_env();
    let outcome = match args.next() {
        Ok(Some(lexopt::Arg::Value(command))) if command == "verdicts" => replay::run(args, play::play),
        Ok(Some(lexopt::Arg::Value(command))) if command == "share" => share::run(args),
        Ok(Some(lexopt::Arg::Value(command))) if command == "parity" => replay::run(args, parity::play),
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
