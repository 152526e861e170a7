//! One report, as lines for people or as JSON, and what may be printed.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
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
    pub fn report(&self, is_good: bool, object: &Value, lines: &[(Mark, String)]) -> Result<ExitCode, Failure> {
        let mut printed = String::new();
        // A string accepts all that is written to it.
        if self.is_json {
            let _ = writeln!(printed, "{object}");
        } else {
            for (mark, line) in lines {
                let style = mark.style();
                let _ = match mark {
                    Mark::None => writeln!(printed, "{line}"),
                    _ => writeln!(printed, "{style}{:<8}{style:#}{line}", mark.as_str()),
                };
            }
        }
        print(printed.as_bytes())?;
        Ok(ExitCode::from(u8::from(!is_good)))
    }
}

/// Writes to the standard output. A reader that closes it early, such as `head`, is no failure.
pub fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = anstream::stdout();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::usage(format!("standard output: {error}"))),
        _ => Ok(()),
    }
}

/// Returns the message with each token, each secret and each user info of a URL cut: arguments and variables may be swapped.
pub fn redact(message: &str) -> String {
    const MARKS: [(&str, usize); 9] = [
        ("ey", 16), // what JSON in base64url begins with
        ("sk_", 8),
        ("test_", 8),
        ("live_", 8),
        ("ak_", 8),
        ("mt_", 8),
        ("oat_", 8),
        ("whsec_", 8),
        ("-----BEGIN", 0),
    ];
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-.+/=~".contains(c);
    let mut redacted = String::with_capacity(message.len());
    let mut before = ' ';
    let mut rest = message;
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let is_start = !before.is_ascii_alphanumeric() && before != '_';
        let mark = MARKS.iter().find(|(mark, min)| is_start && rest.starts_with(mark) && word >= mark.len() + min);
        let user_info = rest.strip_prefix("://").and_then(|rest| {
            rest[..rest.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(rest.len())].rfind('@')
        });
        let (kept, len) = match (mark, user_info) {
            // All of a key in PEM: nothing after it is worth reading.
            (Some((mark @ "-----BEGIN", _)), _) => (*mark, rest.len()),
            (Some((mark, _)), _) => (*mark, word),
            (None, Some(len)) => ("://", 3 + len),
            (None, None) => ("", 0),
        };
        if len == 0 {
            redacted.push(c);
            (before, rest) = (c, &rest[c.len_utf8()..]);
        } else {
            redacted.push_str(kept);
            redacted.push('…');
            (before, rest) = ('…', &rest[len..]);
        }
    }
    redacted
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_secrets_and_user_info_are_cut() {
        for (message, redacted) in [
            ("unexpected argument 'eyJhbGciOiJSUzI1NiJ9.eyJz.c2ln' found", "unexpected argument 'ey…' found"),
            ("--json=eyAiYWxnIjogIlJTMjU2In0.e30.c2ln", "--json=ey…"),
            ("/tmp/sk_live_abcdefgh: missing", "/tmp/sk_…: missing"),
            ("whsec_c2VjcmV0c2VjcmV0, ak_abcdefgh", "whsec_…, ak_…"),
            ("https://ada:pass@api.example/v1/jwks: refused", "https://…@api.example/v1/jwks: refused"),
            ("-----BEGIN PRIVATE KEY----- MIIE abc", "-----BEGIN…"),
            ("it begins with `sk_live_` or `sk_test_`", "it begins with `sk_live_` or `sk_test_`"),
            ("task_abcdefghijk eyes é", "task_abcdefghijk eyes é"),
        ] {
            assert_eq!(redact(message), redacted);
        }
    }
}
