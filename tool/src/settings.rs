//! The settings in force, and where each comes from.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;

use clerk_auth::internals::{Config, Kind, SETTINGS, builder};
use clerk_auth::{Client, Secret};
use serde_json::{Value, json};

use crate::input;
use crate::output::{Failure, Mark, Output, redact};

pub struct Settings {
    /// By name of the setting, its value and its source.
    set: HashMap<&'static str, (String, String)>,
}

impl Settings {
    /// Reads the environment, and what it does not have from the file.
    pub fn read(file: Option<&Path>) -> Result<Self, Failure> {
        let from_file = match file {
            Some(path) => parse(path)?,
            None => HashMap::new(),
        };
        let mut set = HashMap::new();
        for setting in SETTINGS.iter().filter(|setting| !setting.env.is_empty()) {
            let in_environment = match std::env::var(setting.env) {
                Ok(value) => Some((value, format!("environment {}", setting.env))),
                Err(std::env::VarError::NotPresent) => None,
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(Failure::usage(format!("{} is not UTF-8", setting.env)));
                }
            };
            let in_file = || {
                let path = file.map(|path| path.display().to_string()).unwrap_or_default();
                from_file.get(setting.env).map(|value| (value.clone(), path))
            };
            if let Some(found) = in_environment.filter(|(value, _)| !value.trim().is_empty()).or_else(in_file) {
                set.insert(setting.name, found);
            }
        }
        Ok(Settings { set })
    }

    /// Returns the value of a setting, or its default.
    pub fn get(&self, name: &str) -> &str {
        let default = SETTINGS.iter().find(|setting| setting.name == name).map_or("", |setting| setting.default);
        self.set.get(name).map_or(default, |(value, _)| value)
    }

    /// Returns a setting that is set.
    pub fn optional(&self, name: &str) -> Option<String> {
        Some(self.get(name).trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// Returns Clerk's secret key.
    pub fn secret_key(&self) -> Result<Secret, Failure> {
        self.optional("secret_key").map(Secret::new).ok_or_else(|| Failure::usage("CLERK_SECRET_KEY is not set"))
    }

    pub fn config(&self) -> Result<Config, Failure> {
        let mut config = Config::new();
        for (name, (value, source)) in &self.set {
            config.set(name, value).map_err(|error| Failure::usage(format!("{error} (from {source})")))?;
        }
        Ok(config)
    }

    /// Makes a client. What it logs goes to `log`.
    pub fn client(&self, log: impl Fn(&str) + Send + Sync + 'static) -> Result<Client, Failure> {
        let mut config = self.config()?;
        // A command writes no rows.
        config.database = None;
        Ok(builder(config).on_log(clerk_auth::LogLevel::Warn, move |_, line| log(line)).build()?)
    }

    /// Prints all settings.
    pub fn print(&self, output: &Output) -> Result<ExitCode, Failure> {
        let (mut lines, mut all) = (Vec::new(), Vec::new());
        for setting in SETTINGS {
            // A private key may have been set in the place of the public one.
            let is_key = ["jwt_key", "jwks"].contains(&setting.name);
            let is_secret = is_key || matches!(setting.kind, Kind::Secret | Kind::SecretList);
            let (value, source) = match self.set.get(setting.name) {
                Some((value, source)) => (if is_secret { mask(value) } else { shown(value) }, source.as_str()),
                None => (setting.default.to_owned(), "default"),
            };
            lines.push((Mark::None, format!("{:<30}{value:<40}{source}", setting.name)));
            all.push(json!({"name": setting.name, "value": value, "source": source, "variable": setting.env}));
        }
        let is_valid = self.config().and_then(|_| self.client(|_| ()).map(drop));
        if let Err(failure) = &is_valid {
            lines.push((Mark::Failed, failure.message.clone()));
        }
        let error = is_valid.as_ref().err().map(|failure| failure.message.as_str());
        let code = output.report(error.is_none(), &json!({"settings": Value::Array(all), "error": error}), &lines)?;
        Ok(if error.is_some() { ExitCode::from(2) } else { code })
    }
}

/// Returns the kind of a secret and its length, nothing that could be used.
fn mask(secret: &str) -> String {
    let known = ["sk_live_", "sk_test_", "whsec_", "ak_"].into_iter().find(|prefix| secret.trim().starts_with(prefix));
    format!("{}… ({} characters)", known.unwrap_or_default(), secret.trim().chars().count())
}

/// Returns a value in one line, without secrets that were set in its place.
fn shown(value: &str) -> String {
    let value = redact(value);
    let line: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect();
    if line.len() < value.len() { format!("{line}…") } else { line }
}

/// Reads lines `NAME=value`; `export ` before, and quotes around the value, are accepted. `#` begins a comment line.
fn parse(path: &Path) -> Result<HashMap<String, String>, Failure> {
    let name = path.display();
    let content = String::from_utf8(input::file(path)?).map_err(|_| Failure::usage(format!("{name} is not UTF-8")))?;
    let mut found = HashMap::new();
    for (number, line) in content.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        // The line is not shown: it may hold a secret.
        let Some((variable, value)) = line.split_once('=') else {
            return Err(Failure::usage(format!("{name}: line {} is not NAME=value", number + 1)));
        };
        let value = value.trim();
        let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        found.insert(variable.trim().to_owned(), quoted.unwrap_or(value).replace("\\n", "\n"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_masked() {
        assert_eq!(mask("sk_test_abcdef"), "sk_test_… (14 characters)");
        assert_eq!(mask("MIIBIjANBg"), "… (10 characters)");
    }

    #[test]
    fn values_are_shown_in_one_bounded_line() {
        assert_eq!(shown("a\nb"), "a b");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), 121);
    }
}
