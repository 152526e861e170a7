//! One report, as lines for people or as JSON.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

/// Why a command could not do what it was asked to.
#[derive(Debug)]
pub struct Failure {
    pub message: String,
    pub code: u8,
}

impl Failure {
    pub fn usage(message: impl Into<String>) -> Self {
        Failure { message: message.into(), code: 2 }
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Failure { message: message.into(), code: 3 }
    }
}

impl From<clerk_auth::Error> for Failure {
    fn from(error: clerk_auth::Error) -> Self {
        let message = error.to_string();
        if error.is_unavailable() { Failure::unavailable(message) } else { Failure::usage(message) }
    }
}

/// How a line is marked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Ok,
    Failed,
    Skipped,
    None,
}

impl Mark {
    pub fn as_str(self) -> &'static str {
        match self {
            Mark::Ok => "ok",
            Mark::Failed => "failed",
            Mark::Skipped => "skipped",
            Mark::None => "",
        }
    }

    fn style(self) -> Style {
        match self {
            Mark::Ok => AnsiColor::Green.on_default(),
            Mark::Failed => AnsiColor::Red.on_default().bold(),
            Mark::Skipped => Style::new().dimmed(),
            Mark::None => Style::new(),
        }
    }
}

pub struct Output {
    is_json: bool,
}

impl Output {
    pub fn new(is_json: bool) -> Self {
        Output { is_json }
    }

    /// Prints a report: the object, or its lines. Returns the exit code 0 or 1.
    pub fn report(&self, is_good: bool, object: &Value, lines: &[(Mark, String)]) -> ExitCode {
        if self.is_json {
            println!("{object}");
        } else {
            for (mark, line) in lines {
                let style = mark.style();
                match mark {
                    Mark::None => anstream::println!("{line}"),
                    _ => anstream::println!("{style}{:<8}{style:#}{line}", mark.as_str()),
                }
            }
        }
        ExitCode::from(u8::from(!is_good))
    }
}

/// One check of a report.
pub struct Check {
    pub name: String,
    pub mark: Mark,
    pub found: String,
    /// What may help; "" if nothing has to be mended.
    pub hint: String,
}

/// The lines and the JSON array of several checks.
pub fn checks(checks: &[Check]) -> (Vec<(Mark, String)>, Value) {
    let mut lines = Vec::new();
    for check in checks {
        lines.push((check.mark, format!("{:<22}{}", check.name, check.found)));
        if !check.hint.is_empty() {
            lines.push((Mark::None, format!("{:<30}→ {}", "", check.hint)));
        }
    }
    let array = checks
        .iter()
        .map(|check| json!({"name": check.name, "status": check.mark.as_str(), "found": check.found, "hint": check.hint}))
        .collect();
    (lines, array)
}
