//! From the options of a case to a configured client.

use clerk_sim::corpus::Corpus;
use serde_json::Value;

use crate::Result;
use crate::capi::{Clock, Config, Refusal};

/// The kinds of tokens the library knows. The SDKs have more names (`machine_token` is an older one of Python's).
const KINDS: [&str; 5] = ["session_token", "api_key", "oauth_token", "m2m_token", "any"];

/// A config that is still to be judged, or the library's word against one of its settings.
pub type Configured = std::result::Result<Config, Refusal>;

/// Sets everything that the options say. `Err`: this is no such file, or one that says more than is known here.
pub fn configure(options: &Value, corpus: &Corpus, api_url: &str, clock: &Clock) -> Result<Configured> {
    let config = Config::new();
    config.on_clock(clock);
    let fixed = config.set("api_url", api_url).and_then(|()| config.set("user_mode", "claims"));
    if let Err(refusal) = fixed {
        return Ok(Err(refusal));
    }
    let members = options.as_object().ok_or("options: an object is needed")?;
    for (name, value) in members {
        if let Err(refusal) = set(&config, name, value, corpus)? {
            return Ok(Err(refusal));
        }
    }
    Ok(Ok(config))
}

fn set(config: &Config, name: &str, value: &Value, corpus: &Corpus) -> Result<std::result::Result<(), Refusal>> {
    Ok(match name {
        "jwt_key" => match corpus.key_text(value)? {
            Some(text) => config.set("jwt_key", &text),
            None => Ok(()),
        },
        "secret_key" | "publishable_key" | "machine_secret_key" => match texts(name, value)?.as_slice() {
            [] => Ok(()),
            [text] => config.set(name, text),
            _ => return Err(format!("{name}: one text is needed").into()),
        },
        "authorized_parties" | "audience" => {
            // A single empty text is how some configurations say "none".
            let items = if value == "" { Vec::new() } else { texts(name, value)? };
            items.iter().try_for_each(|item| config.add(name, item))
        }
        "accepts_token" => config.set(name, &accepted(&texts(name, value)?)),
        "clock_skew_in_ms" => number(config, "clock_skew_ms", value),
        "api_timeout_ms" => number(config, "timeout_ms", value),
        // It is the address that says so.
        "api_down" => Ok(()),
        _ => return Err(format!("options.{name}: unknown").into()),
    })
}

/// Names that the library does not know are left out as long as one is left that it does; otherwise it has to say what
/// it thinks of them.
fn accepted(names: &[String]) -> String {
    let known: Vec<&str> = names.iter().map(String::as_str).filter(|name| KINDS.contains(name)).collect();
    if known.is_empty() { names.join(",") } else { known.join(",") }
}

/// Numbers go over as they are: what is no whole number is for the library to refuse.
fn number(config: &Config, name: &str, value: &Value) -> std::result::Result<(), Refusal> {
    match value {
        Value::Null => Ok(()),
        _ => match value.as_i64() {
            Some(number) => config.set_int(name, number),
            None => config.set(name, &value.to_string()),
        },
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
