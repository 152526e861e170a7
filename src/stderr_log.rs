//! Log lines on standard error, for programs without a log handler.

use std::collections::HashMap;
use std::io::Write as _;

use crate::clock::Clock;
use crate::config::ConfigError;
use crate::events::Level;
use crate::fork_mutex::{ForkMutex, LOOKUP_TIMEOUT};

/// The environment variable with the level: `off`, `error`, `warn`, `info` or `debug`.
pub(crate) const VARIABLE: &str = "CLERK_LOG";

/// A message is written once in this time, unless the variable is set.
const INTERVAL_MS: i64 = 60_000;
const MAX_MESSAGES: usize = 100;

/// Which lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// Warnings and errors, each once a minute at most.
    Warnings,
    /// All lines at a level and above.
    All(Level),
    /// No line.
    Off,
}

impl Lines {
    /// Reads the variable.
    pub fn from_env() -> Result<Self, ConfigError> {
        match std::env::var_os(VARIABLE) {
            Some(value) if !value.is_empty() => Self::parse(&value.to_string_lossy()),
            _ => Ok(Lines::Warnings),
        }
    }

    fn parse(value: &str) -> Result<Self, ConfigError> {
        Ok(match value {
            "off" => Lines::Off,
            "error" => Lines::All(Level::Error),
            "warn" => Lines::All(Level::Warn),
            "info" => Lines::All(Level::Info),
            "debug" => Lines::All(Level::Debug),
            _ => return Err(ConfigError::new(VARIABLE, "must be one of `off`, `error`, `warn`, `info`, `debug`")),
        })
    }

    /// Returns the level of the lines and a function that writes one.
    pub fn handler(self, clock: Clock) -> Option<(Level, impl Fn(Level, &str) + Send + Sync + 'static)> {
        let level = match self {
            Lines::Off => return None,
            Lines::Warnings => Level::Warn,
            Lines::All(level) => level,
        };
        let repeated = Repeated::new();
        let handler = move |level: Level, message: &str| {
            if self == Lines::Warnings && repeated.check(message, clock.now().mono_ms) {
                return;
            }
            // One call, so that lines of several threads are not mixed. A failure cannot be reported.
            let _ = std::io::stderr().write_all(line(level, message).as_bytes());
        };
        Some((level, handler))
    }
}

fn line(level: Level, message: &str) -> String {
    let name = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    };
    let message = message.replace(|c: char| c.is_control(), "?");
    format!("clerk-auth: {name}: {message}\n")
}

/// When each message was written last.
struct Repeated(ForkMutex<HashMap<String, i64>>);

impl Repeated {
    fn new() -> Self {
        Repeated(ForkMutex::new(HashMap::new()))
    }

    /// Returns whether a message was written less than a minute ago, and records it if not.
    fn check(&self, message: &str, now_ms: i64) -> bool {
        // Durations, ports and numbers of attempts differ where the message is the same.
        let key = message.replace(|c: char| c.is_ascii_digit(), "");
        let Some(mut times) = self.0.lock(LOOKUP_TIMEOUT) else { return false };
        if times.get(&key).is_some_and(|written| now_ms.saturating_sub(*written) < INTERVAL_MS) {
            return true;
        }
        if times.len() >= MAX_MESSAGES {
            times.clear();
        }
        times.insert(key, now_ms);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_of_each_name() {
        assert_eq!(Lines::parse("debug").ok(), Some(Lines::All(Level::Debug)));
        assert_eq!(Lines::parse("off").ok(), Some(Lines::Off));
        for invalid in ["DEBUG", "trace", "1", " warn"] {
            let error = Lines::parse(invalid).expect_err(invalid);
            assert_eq!(error.setting, VARIABLE);
        }
    }

    #[test]
    fn line_with_control_characters_is_one_line() {
        assert_eq!(line(Level::Warn, "a\r\nb\x1b[31m"), "clerk-auth: warn: a??b?[31m\n");
    }

    #[test]
    fn message_is_repeated_after_a_minute_only() {
        let repeated = Repeated::new();
        assert!(!repeated.check("failed after 10 ms", 0));
        assert!(repeated.check("failed after 999 ms", 59_999));
        assert!(!repeated.check("another", 59_999));
        assert!(!repeated.check("failed after 10 ms", 60_000));
    }

    #[test]
    fn messages_that_are_kept_are_bounded() {
        let repeated = Repeated::new();
        let names = ('a'..='z').flat_map(|a| ('a'..='z').map(move |b| format!("{a}{b}")));
        for name in names {
            repeated.check(&name, 0);
        }
        assert!(repeated.0.lock(LOOKUP_TIMEOUT).expect("not locked").len() <= MAX_MESSAGES);
    }
}
