//! From the options of a case to a configured client.

use clerk_sim::corpus::Corpus;
use serde::Serialize;
use serde_json::Value;

use crate::Result;
use crate::capi::{AuthError, Clock, Config};

/// The kinds of tokens the library knows. The SDKs have more names (`machine_token` is an older one of Python's).
const KINDS: [&str; 5] = ["session_token", "api_key", "oauth_token", "m2m_token", "any"];

/// One call of a setter, as `[setter, name, value]` in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting(pub Setter, pub String, pub Given);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Setter {
    Set,
    Int,
    Add,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Given {
    Text(String),
    Number(i64),
}

impl Setting {
    fn set(name: &str, value: impl Into<String>) -> Setting {
        Setting(Setter::Set, name.to_owned(), Given::Text(value.into()))
    }

    fn add(name: &str, item: impl Into<String>) -> Setting {
        Setting(Setter::Add, name.to_owned(), Given::Text(item.into()))
    }

    fn apply(&self, config: &Config) -> std::result::Result<(), AuthError> {
        match (self.0, &self.2) {
            (Setter::Add, Given::Text(item)) => config.add(&self.1, item),
            (_, Given::Text(text)) => config.set(&self.1, text),
            (_, Given::Number(number)) => config.set_int(&self.1, *number),
        }
    }
}

/// Everything that the options say, or the library's word against one of the settings. The config is still to be judged.
pub fn configure(settings: &[Setting], clock: &Clock) -> std::result::Result<Config, AuthError> {
    let config = Config::new();
    config.on_clock(clock);
    settings.iter().try_for_each(|setting| setting.apply(&config))?;
    Ok(config)
}

/// The settings that the options of a case stand for. `Err`: this is no such file, or one that says more than is known
/// here.
pub fn settings(options: &Value, corpus: &Corpus, api_url: &str) -> Result<Vec<Setting>> {
    let mut settings = vec![Setting::set("api_url", api_url), Setting::set("user_mode", "claims")];
    for (name, value) in options.as_object().ok_or("options: an object is needed")? {
        match name.as_str() {
            "jwt_key" => settings.extend(corpus.key_text(value)?.map(|text| Setting::set("jwt_key", text))),
            "secret_key" | "publishable_key" | "machine_secret_key" => match texts(name, value)?.as_slice() {
                [] => {}
                [text] => settings.push(Setting::set(name, text)),
                _ => return Err(format!("{name}: one text is needed").into()),
            },
            "authorized_parties" | "audience" => {
                // A single empty text is how some configurations say "none".
                let items = if value == "" { Vec::new() } else { texts(name, value)? };
                settings.extend(items.into_iter().map(|item| Setting::add(name, item)));
            }
            "accepts_token" => settings.push(Setting::set(name, accepted(&texts(name, value)?))),
            "clock_skew_in_ms" => settings.extend(number("clock_skew_ms", value)),
            "api_timeout_ms" => settings.extend(number("timeout_ms", value)),
            // It is the address that says so.
            "api_down" => {}
            _ => return Err(format!("options.{name}: unknown").into()),
        }
    }
    Ok(settings)
}

/// Names that the library does not know are left out as long as one is left that it does; otherwise it has to say what
/// it thinks of them.
fn accepted(names: &[String]) -> String {
    let known: Vec<&str> = names.iter().map(String::as_str).filter(|name| KINDS.contains(name)).collect();
    if known.is_empty() { names.join(",") } else { known.join(",") }
}

/// Numbers go over as they are: what is no whole number is for the library to refuse.
fn number(name: &str, value: &Value) -> Option<Setting> {
    match (value, value.as_i64()) {
        (Value::Null, _) => None,
        (_, Some(number)) => Some(Setting(Setter::Int, name.to_owned(), Given::Number(number))),
        (_, None) => Some(Setting::set(name, value.to_string())),
    }
}

/// A text, a list of texts, or null for none.
fn texts(name: &str, value: &Value) -> Result<Vec<String>> {
    let unfit = || format!("options.{name}: a text, a list of texts or null is needed");
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(|| unfit().into())).collect()
        }
        _ => Err(unfit().into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_other_sdks_are_left_out_unless_nothing_is_left() {
        let accepted = |names: &[&str]| accepted(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(accepted(&["machine_token", "api_key"]), "api_key");
        assert_eq!(accepted(&["machine_token"]), "machine_token");
        assert_eq!(accepted(&[]), "");
    }

    #[test]
    fn texts_come_in_three_shapes() {
        assert_eq!(texts("x", &json!(null)).unwrap(), [""; 0]);
        assert_eq!(texts("x", &json!("a,b")).unwrap(), ["a,b"]);
        assert_eq!(texts("x", &json!(["a", ""])).unwrap(), ["a", ""]);
        assert!(texts("x", &json!([1])).is_err() && texts("x", &json!({})).is_err());
    }
}
