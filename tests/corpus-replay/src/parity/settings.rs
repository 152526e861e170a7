//! Converts the settings of django-clerk-sdk to a config.

use clerk_auth::internals::ffi::clerk_column;
use clerk_sim::corpus::Corpus;
use serde_json::{Map, Value, json};

use super::callbacks::SetResult;
use super::table::Table;
use crate::Result;
use crate::capi::{Config, ConfigError};

/// The maximum of `cache_ttl_s`; replaces `None`, which means no limit in Django's cache.
const MAX_CACHE_TTL_S: i64 = 86_400;

/// Creates the config of a scenario. Settings that it does not name have the values of the recordings. As in
/// django-clerk-sdk, each new token fetches the user, each request queries the table, and no stale user is used.
pub fn configure(
    named: &Map<String, Value>,
    corpus: &Corpus,
    api_url: &str,
    table: &Table,
) -> Result<std::result::Result<Config, ConfigError>> {
    let defaults = json!({
        "CLERK_SECRET_KEY": "sk_test_seed",
        "CLERK_JWT_KEY": {"key": "k1", "form": "pem"},
        "CLERK_API_URL": "{{api}}/v1",
        "CLERK_CACHE_TIMEOUT": 300,
        "CLERK_TIMEOUT_MS": 5000,
        "CLERK_CLOCK_SKEW_IN_MS": 5000,
    });
    let mut all = defaults.as_object().cloned().unwrap_or_default();
    all.extend(named.clone());
    let config = Config::new();
    let mut outcome = set_fixed(&config).and_then(|()| set_columns(&config, table));
    for (name, value) in &all {
        let result = set(&config, name, value, corpus, api_url)?;
        outcome = outcome.and(result);
    }
    Ok(outcome.map(|()| config))
}

fn set_fixed(config: &Config) -> SetResult {
    ["user_ttl_s", "row_check_ttl_s", "user_stale_if_error_s"].iter().try_for_each(|name| config.set_int(name, 0))?;
    config.set("user_mode", "sync")
}

fn set_columns(config: &Config, table: &Table) -> SetResult {
    let model = table.model();
    config.set_user_columns(model.mask())?;
    for column in model.columns.iter().filter(|column| column.max_len > 0) {
        // First and last name share one limit.
        if let Some(clerk) = column.clerk.filter(|clerk| *clerk != clerk_column::LAST_NAME) {
            config.set_user_column_length(clerk, column.max_len)?;
        }
    }
    Ok(())
}

fn set(config: &Config, name: &str, value: &Value, corpus: &Corpus, api_url: &str) -> Result<SetResult> {
    Ok(match name {
        "CLERK_SECRET_KEY" => config.set("secret_key", value.as_str().unwrap_or_default()),
        "CLERK_JWT_KEY" => match value {
            Value::String(key) => config.set("jwt_key", key),
            _ => config.set("jwt_key", &corpus.configured_key(value)?.unwrap_or_default()),
        },
        "CLERK_API_URL" => match value.as_str() {
            Some(url) => config.set("api_url", &url.replace("{{api}}", api_url)),
            None => config.set("api_url", api_url),
        },
        "CLERK_AUTH_PARTIES" => list(config, "authorized_parties", value)?,
        "CLERK_AUDIENCE" => list(config, "audience", value)?,
        "CLERK_CACHE_TIMEOUT" => {
            let seconds = if value.is_null() { MAX_CACHE_TTL_S } else { number(name, value)? };
            config.set_int("cache_ttl_s", seconds.clamp(0, MAX_CACHE_TTL_S))
        }
        "CLERK_TIMEOUT_MS" => config.set_int("timeout_ms", number(name, value)?),
        "CLERK_CLOCK_SKEW_IN_MS" => config.set_int("clock_skew_ms", number(name, value)?),
        _ => return Err(format!("settings.{name}: unknown").into()),
    })
}

/// Sets a list. A string is a list of one; null, an empty list and an empty string set nothing.
fn list(config: &Config, name: &str, value: &Value) -> Result<SetResult> {
    let wrong_type = || format!("settings: {name} must be a string or an array of strings");
    let items: Vec<&str> = match value {
        Value::Null => Vec::new(),
        Value::String(item) => vec![item],
        Value::Array(items) => items.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(wrong_type)?,
        _ => return Err(wrong_type().into()),
    };
    Ok(items.iter().filter(|item| !item.is_empty()).try_for_each(|item| config.add(name, item)))
}

fn number(name: &str, value: &Value) -> Result<i64> {
    value.as_i64().ok_or_else(|| format!("settings.{name}: must be an integer").into())
}
