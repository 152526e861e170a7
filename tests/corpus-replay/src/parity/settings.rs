//! From the seed's settings to a configured client.

use clerk_auth::internals::ffi::clerk_column;
use clerk_sim::corpus::Corpus;
use serde_json::{Map, Value, json};

use super::abi::Judged;
use super::table::Table;
use crate::Result;
use crate::capi::{AuthError, Config};

/// The longest that a verified token is remembered: what `None` means to Django's cache.
const LONGEST_TTL_S: i64 = 86_400;

/// The settings that a scenario does not name are the recordings'; how fresh users are, the seed's: each new token asks
/// Clerk, each request asks the table, and an outage is not bridged.
pub fn configure(
    given: &Map<String, Value>,
    corpus: &Corpus,
    api_url: &str,
    table: &Table,
) -> Result<std::result::Result<Config, AuthError>> {
    let defaults = json!({
        "CLERK_SECRET_KEY": "sk_test_seed",
        "CLERK_JWT_KEY": {"key": "k1", "form": "pem"},
        "CLERK_API_URL": "{{api}}/v1",
        "CLERK_CACHE_TIMEOUT": 300,
        "CLERK_TIMEOUT_MS": 5000,
        "CLERK_CLOCK_SKEW_IN_MS": 5000,
    });
    let mut all = defaults.as_object().cloned().unwrap_or_default();
    all.extend(given.clone());
    let config = Config::new();
    let mut judged = fixed(&config).and_then(|()| columns(&config, table));
    for (name, value) in &all {
        let refused = set(&config, name, value, corpus, api_url)?;
        judged = judged.and(refused);
    }
    Ok(judged.map(|()| config))
}

fn fixed(config: &Config) -> Judged {
    ["user_ttl_s", "row_check_ttl_s", "user_stale_if_error_s"].iter().try_for_each(|name| config.set_int(name, 0))?;
    config.set("user_mode", "sync")
}

fn columns(config: &Config, table: &Table) -> Judged {
    let model = table.model();
    config.user_columns(model.mask())?;
    for column in model.columns.iter().filter(|column| column.longest > 0) {
        // The two names have one limit between them.
        if let Some(clerk) = column.clerk.filter(|clerk| *clerk != clerk_column::LAST_NAME) {
            config.user_column_length(clerk, column.longest)?;
        }
    }
    Ok(())
}

fn set(config: &Config, name: &str, value: &Value, corpus: &Corpus, api_url: &str) -> Result<Judged> {
    Ok(match name {
        "CLERK_SECRET_KEY" => config.set("secret_key", value.as_str().unwrap_or_default()),
        "CLERK_JWT_KEY" => match value {
            Value::String(text) => config.set("jwt_key", text),
            _ => config.set("jwt_key", &corpus.key_text(value)?.unwrap_or_default()),
        },
        "CLERK_API_URL" => match value.as_str() {
            Some(url) => config.set("api_url", &url.replace("{{api}}", api_url)),
            None => config.set("api_url", api_url),
        },
        "CLERK_AUTH_PARTIES" => list(config, "authorized_parties", value)?,
        "CLERK_AUDIENCE" => list(config, "audience", value)?,
        "CLERK_CACHE_TIMEOUT" => {
            let seconds = if value.is_null() { LONGEST_TTL_S } else { number(name, value)? };
            config.set_int("cache_ttl_s", seconds.clamp(0, LONGEST_TTL_S))
        }
        "CLERK_TIMEOUT_MS" => config.set_int("timeout_ms", number(name, value)?),
        "CLERK_CLOCK_SKEW_IN_MS" => config.set_int("clock_skew_ms", number(name, value)?),
        _ => return Err(format!("settings.{name}: unknown").into()),
    })
}

/// A single text is a list of one; null and an empty list enforce nothing.
fn list(config: &Config, name: &str, value: &Value) -> Result<Judged> {
    let unfit = || format!("settings: a text or a list of texts is needed for {name}");
    let items: Vec<&str> = match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(unfit)?,
        _ => return Err(unfit().into()),
    };
    Ok(items.iter().filter(|item| !item.is_empty()).try_for_each(|item| config.add(name, item)))
}

fn number(name: &str, value: &Value) -> Result<i64> {
    value.as_i64().ok_or_else(|| format!("settings.{name}: a whole number is needed").into())
}
