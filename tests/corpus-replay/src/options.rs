//! Converts the options of a case to the settings of a client.

use clerk_sim::corpus::Corpus;
use serde::Serialize;
use serde_json::Value;

use crate::Result;
use crate::capi::{Clock, Config, ConfigError};

/// The token types that the library accepts. The SDKs have more names; `machine_token` is an older one of Python's.
const TOKEN_TYPES: [&str; 5] = ["session_token", "api_key", "oauth_token", "m2m_token", "any"];

/// One call of a setter, as `[setter, name, value]` in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting(pub Setter, pub String, pub SettingValue);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Setter {
    Set,
    Int,
    Add,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SettingValue {
    String(String),
    Number(i64),
}

impl Setting {
    fn set(name: &str, value: impl Into<String>) -> Setting {
        Setting(Setter::Set, name.to_owned(), SettingValue::String(value.into()))
    }

    fn add(name: &str, item: impl Into<String>) -> Setting {
        Setting(Setter::Add, name.to_owned(), SettingValue::String(item.into()))
    }

    fn apply(&self, config: &Config) -> std::result::Result<(), ConfigError> {
        match (self.0, &self.2) {
            (Setter::Add, SettingValue::String(item)) => config.add(&self.1, item),
            (_, SettingValue::String(value)) => config.set(&self.1, value),
            (_, SettingValue::Number(number)) => config.set_int(&self.1, *number),
        }
    }
}

/// Creates a config with the given settings. Fails on the first setting that the library rejects.
pub fn configure(settings: &[Setting], clock: &Clock) -> std::result::Result<Config, ConfigError> {
    let config = Config::new();
    config.set_clock(clock);
    settings.iter().try_for_each(|setting| setting.apply(&config))?;
    Ok(config)
}

/// Converts the options of a case to settings. Fails on an unknown option or a wrong type.
pub fn settings(options: &Value, corpus: &Corpus, api_url: &str) -> Result<Vec<Setting>> {
    let mut settings = vec![Setting::set("api_url", api_url), Setting::set("user_mode", "claims")];
    for (name, value) in options.as_object().ok_or("options: must be an object")? {
        match name.as_str() {
            "jwt_key" => settings.extend(corpus.configured_key(value)?.map(|key| Setting::set("jwt_key", key))),
            "secret_key" | "publishable_key" | "machine_secret_key" => match strings(name, value)?.as_slice() {
                [] => {}
                [value] => settings.push(Setting::set(name, value)),
                _ => return Err(format!("{name}: must be a single string").into()),
            },
            "authorized_parties" | "audience" => {
                // Some configurations say "none" with an empty string.
                let items = if value == "" { Vec::new() } else { strings(name, value)? };
                settings.extend(items.into_iter().map(|item| Setting::add(name, item)));
            }
            "accepts_token" => settings.push(Setting::set(name, token_types(&strings(name, value)?))),
            "clock_skew_in_ms" => settings.extend(number("clock_skew_ms", value)),
            "api_timeout_ms" => settings.extend(number("timeout_ms", value)),
            "proxy_url" | "domain" | "sign_in_url" | "handshake_query" => {
                settings.extend(value.as_str().map(|value| Setting::set(name, value)));
            }
            "is_satellite"
            | "satellite_auto_sync"
            | "trust_forwarded"
            | "cross_origin_sync"
            | "refresh"
            | "handshake_send_session" => {
                settings.extend(value.as_bool().map(|value| Setting::set(name, value.to_string())));
            }
            "public_origin" | "satellite_origins" | "organization_patterns" | "personal_account_patterns" => {
                settings.extend(strings(name, value)?.into_iter().map(|item| Setting::add(name, item)));
            }
            // Not a setting: the fake API refuses connections.
            "api_down" => {}
            _ => return Err(format!("options.{name}: unknown").into()),
        }
    }
    Ok(settings)
}

/// Joins the known names; if none is known, joins all, so that the library has to reject them.
fn token_types(names: &[String]) -> String {
    let known: Vec<&str> = names.iter().map(String::as_str).filter(|name| TOKEN_TYPES.contains(name)).collect();
    if known.is_empty() { names.join(",") } else { known.join(",") }
}

/// Passes numbers on unchanged: the library has to reject one that is not an integer.
fn number(name: &str, value: &Value) -> Option<Setting> {
    match (value, value.as_i64()) {
        (Value::Null, _) => None,
        (_, Some(number)) => Some(Setting(Setter::Int, name.to_owned(), SettingValue::Number(number))),
        (_, None) => Some(Setting::set(name, value.to_string())),
    }
}

/// Reads a string, an array of strings, or null for none.
fn strings(name: &str, value: &Value) -> Result<Vec<String>> {
    let wrong_type = || format!("options.{name}: must be a string, an array of strings or null");
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(string) => Ok(vec![string.clone()]),
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(|| wrong_type().into())).collect()
        }
        _ => Err(wrong_type().into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_token_types_are_dropped_unless_all_are_unknown() {
        let joined = |names: &[&str]| token_types(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(joined(&["machine_token", "api_key"]), "api_key");
        assert_eq!(joined(&["machine_token"]), "machine_token");
        assert_eq!(joined(&[]), "");
    }

    #[test]
    fn strings_accepts_null_string_and_array() {
        assert_eq!(strings("x", &json!(null)).unwrap(), [""; 0]);
        assert_eq!(strings("x", &json!("a,b")).unwrap(), ["a,b"]);
        assert_eq!(strings("x", &json!(["a", ""])).unwrap(), ["a", ""]);
        assert!(strings("x", &json!([1])).is_err() && strings("x", &json!({})).is_err());
    }
}
