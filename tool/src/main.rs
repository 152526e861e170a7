//! The command `clerk-auth`: what an operator asks about tokens, settings, keys, users and stores.
//!
//! Settings come from the environment, or from a file of `NAME=value` lines. Secrets are never read from arguments, and never
//! printed.

mod checks;
mod doctor;
mod input;
mod output;
mod settings;
mod store;
mod users;

use std::ffi::OsString;
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use output::{Failure, Output, redact};
use settings::Settings;

/// Explains and verifies Clerk tokens, and checks what a server needs for it.
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES, max_term_width = 100)]
struct Arguments {
    /// Reads settings that the environment does not have from this file of `NAME=value` lines
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Prints JSON, as also when the output is no terminal
    #[arg(long, global = true, conflicts_with = "plain")]
    json: bool,
    /// Prints lines for people, as also on a terminal
    #[arg(long, global = true)]
    plain: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Settings are read from environment variables such as CLERK_SECRET_KEY; `clerk-auth config` lists them.
Exit codes: 0 yes, 1 no (the token is rejected, a check failed), 2 wrong usage or settings, 3 Clerk or the store cannot be reached.";

#[derive(Subcommand)]
enum Command {
    /// Decodes a token without trusting it, and says check by check what was expected, what was found, and how to mend it
    Explain {
        /// The token, or `-` to read it from the standard input; `Bearer ` before it is ignored
        token: OsString,
        /// Fetches Clerk's keys first, so that the signature can be checked
        #[arg(long)]
        fetch_keys: bool,
    },
    /// Verifies a token as a server would, and prints the identity or the reason
    Verify {
        /// The token, or `-` to read it from the standard input
        token: OsString,
    },
    /// Lists the keys of the instance, and which of them can verify tokens
    Jwks,
    /// Fetches a user from Clerk, as the library sees it
    User {
        /// The id, `user_…`
        id: String,
    },
    /// Lists or checks the rows of a SQLite user table
    #[command(subcommand)]
    Store(Store),
    /// Verifies a webhook delivery
    #[command(subcommand)]
    Webhook(Webhook),
    /// Checks settings, name resolution, connection, TLS, clock, keys and rate limit, each by itself
    Doctor,
    /// Lists all settings: their values in force, secrets masked, and where each comes from
    Config,
    /// Runs a fake Clerk API, or makes tokens, keys and webhooks for tests; `clerk-auth sim --help` lists its commands
    #[command(disable_help_flag = true)]
    Sim {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Prints the completions for a shell
    Completions { shell: clap_complete::Shell },
    /// Prints the manual page
    #[command(hide = true)]
    Man,
}

#[derive(Subcommand)]
enum Store {
    /// Prints each row: key, Clerk id, address, username, whether it is active
    List {
        /// The path of a SQLite database, or `sqlite:path`
        database: OsString,
    },
    /// Checks the file and the columns of the table, and counts its rows; changes nothing
    Check {
        /// The path of a SQLite database, or `sqlite:path`
        database: OsString,
    },
}

#[derive(Subcommand)]
enum Webhook {
    /// Verifies the signature, with CLERK_WEBHOOK_SIGNING_SECRET
    Verify {
        /// The raw body, or `-` for the standard input
        body: PathBuf,
        /// The header `svix-id`
        #[arg(long)]
        id: String,
        /// The header `svix-timestamp`
        #[arg(long)]
        timestamp: String,
        /// The header `svix-signature`
        #[arg(long)]
        signature: String,
    },
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return print_usage(&error),
    };
    let is_json = arguments.json || (!arguments.plain && !std::io::stdout().is_terminal());
    let output = Output::new(is_json);
    match run(arguments, &output) {
        Ok(code) => code,
        Err(failure) => print_failure(&failure),
    }
}

fn print_failure(failure: &Failure) -> ExitCode {
    // A closed standard error cannot be reported.
    let _ = writeln!(std::io::stderr(), "clerk-auth: {}", redact(&failure.message));
    ExitCode::from(failure.code)
}

/// Prints the help, or what is wrong with the arguments; a token or a secret among them is cut.
fn print_usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        let _ = write!(std::io::stderr(), "{}", redact(&error.render().to_string()));
        return ExitCode::from(2);
    }
    match output::print(error.render().ansi().to_string().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => print_failure(&failure),
    }
}

fn run(arguments: Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let settings = || Settings::read(arguments.env_file.as_deref());
    match arguments.command {
        Command::Explain { token, fetch_keys } => {
            checks::explain(&settings()?, &input::token(&token)?, fetch_keys, output)
        }
        Command::Verify { token } => checks::verify(&settings()?, &input::token(&token)?, output),
        Command::Jwks => users::jwks(&settings()?, output),
        Command::User { id } => users::user(&settings()?, &id, output),
        Command::Store(Store::List { database }) => store::list(store::path(&database)?, output),
        Command::Store(Store::Check { database }) => store::check(store::path(&database)?, output),
        Command::Webhook(Webhook::Verify { body, id, timestamp, signature }) => {
            checks::webhook(&settings()?, [&id, &timestamp, &signature], &input::body(&body)?, output)
        }
        Command::Doctor => doctor::run(&settings()?, output),
        Command::Config => settings()?.print(output),
        Command::Sim { arguments } => clerk_sim::cli::run(arguments)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| Failure::usage(error.to_string())),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "clerk-auth", &mut script);
            output::print(&script).map(|()| ExitCode::SUCCESS)
        }
        Command::Man => {
            let mut page = Vec::new();
            let manual = clap_mangen::Man::new(Arguments::command());
            manual.render(&mut page).map_err(|error| Failure::usage(error.to_string()))?;
            output::print(&page).map(|()| ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
