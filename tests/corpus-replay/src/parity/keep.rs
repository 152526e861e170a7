//! Scenarios whose recording is correct: every request has to have the recorded outcome.

use clerk_auth::internals::ffi::clerk_event_kind;
use serde_json::Value;

use super::callbacks::{AuthOutcome, Event};
use super::differences::is_deliberate;
use super::scenario::{RequestOutcome, ScenarioOutcome};
use super::table::Row;
use super::timestamp;

/// A difference between the outcome of a request and the recording.
#[derive(Debug, PartialEq)]
pub struct Difference {
    pub what: &'static str,
    pub actual: Value,
    pub recorded: Value,
}

/// Reasons of the recordings and the library's reasons with the same meaning.
const SYNONYMS: [(&str, &str); 3] = [
    // `Bearer` without a token. An empty cookie has the same recorded reason, but is no credential here.
    ("invalid-authorization-header", "token-invalid"),
    // The library under django-clerk-sdk treats `iat` like `nbf`.
    ("token-not-active-yet", "token-iat-in-the-future"),
    // It has no separate reason for a token without `aud`.
    ("token-invalid", "token-invalid-audience"),
];

/// Returns whether both reasons have the same meaning.
pub fn is_same_reason(recorded: &str, actual: &str) -> bool {
    let is_reason = recorded.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    // A recorded exception message says only that the request was rejected.
    recorded == actual || SYNONYMS.contains(&(recorded, actual)) || (!is_reason && !actual.is_empty())
}

/// Lists the differences between the requests and the recording.
pub fn differences(case: &Value, scenario: &ScenarioOutcome) -> Vec<String> {
    let recorded: Vec<&Value> = case["recorded"].as_array().into_iter().flatten().collect();
    if recorded.len() != scenario.requests.len() {
        return vec![format!("{} requests, {} recorded", scenario.requests.len(), recorded.len())];
    }
    let pairs = recorded.iter().zip(&scenario.requests).enumerate();
    pairs
        .flat_map(|(index, (recorded, request))| {
            compare_request(recorded, request, scenario).into_iter().map(move |d| (index, *recorded, request, d))
        })
        .filter(|(_, recorded, request, difference)| !is_deliberate(difference, recorded, request))
        .map(|(index, _, _, d)| format!("request {}: {}: {}, recorded {}", index + 1, d.what, d.actual, d.recorded))
        .collect()
}

fn compare_request(recorded: &Value, request: &RequestOutcome, scenario: &ScenarioOutcome) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut compare = |what, actual: Value, recorded: Value| {
        if actual != recorded {
            found.push(Difference { what, actual, recorded });
        }
    };
    if let (Some(auth), Some(recorded)) = (&request.auth, recorded["clerk_auth"].as_object()) {
        compare("signed in", auth.is_signed_in().into(), recorded["is_authenticated"].clone());
        compare("has credentials", auth.has_credentials().into(), recorded["has_credentials"].clone());
        compare("source", auth.source.into(), recorded["source"].clone());
        let reason = if auth.has_credentials() { auth.reason.as_str() } else { "" };
        compare_reasons(&mut compare, reason, &recorded["reason"]);
    }
    compare("HTTP status", request.response.http_status.into(), recorded["http_status"].clone());
    let scheme = |header: Option<&str>| header.and_then(|header| header.split(' ').next()).map(str::to_owned);
    let challenge = scheme(request.response.www_authenticate.as_deref());
    compare("challenge", challenge.into(), scheme(recorded["www_authenticate"].as_str()).into());
    let clerk_user = request.auth.as_ref().and_then(AuthOutcome::user);
    for (member, actual) in [("user", request.response.user), ("clerk_user", clerk_user)] {
        if let Some(user) = recorded[member].as_object() {
            compare(member, actual.into(), user.get("pk").cloned().unwrap_or_default());
        }
    }
    let signals = recorded["signals"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut events: Vec<Value> = request.events.iter().filter_map(|event| signal(event, signals)).collect();
    let mut expected: Vec<Value> = signals.iter().map(|signal| normalize(signal, scenario)).collect();
    // A token that was minted at the time of the recording has another hash today.
    if recorded["clerk_auth"]["token"].as_str().is_some_and(|token| token.contains("eyJ")) {
        events.iter_mut().chain(&mut expected).for_each(|event| event["token_hash"] = Value::Null);
    }
    compare("events", events.into(), expected.into());
    let calls = recorded["api_calls"].as_object().into_iter().flatten();
    let calls = calls.filter(|(name, _)| name.contains("/users")).filter_map(|(_, count)| count.as_u64()).sum::<u64>();
    compare("calls for users", request.user_calls.into(), calls.into());
    let rows = recorded["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !(rows.len() == request.rows.len()
        && rows.iter().zip(&request.rows).all(|(recorded, actual)| is_same_row(recorded, actual)))
    {
        compare("rows", request.rows.clone().into_iter().map(Value::Object).collect(), rows.into());
    }
    found
}

fn compare_reasons(compare: &mut impl FnMut(&'static str, Value, Value), actual: &str, recorded: &Value) {
    match recorded.as_str() {
        Some(reason) if is_same_reason(reason, actual) => {}
        None if actual.is_empty() => {}
        _ => compare("reason", actual.into(), recorded.clone()),
    }
}

/// Converts an event to the signal of django-clerk-sdk; events without a signal are ignored. A reason with the same
/// meaning is replaced by the recorded one.
fn signal(event: &Event, recorded: &[Value]) -> Option<Value> {
    let pk = event.user_key.as_deref().and_then(|key| key.parse::<i64>().ok());
    Some(match event.kind {
        kind if kind == clerk_event_kind::CACHE_MISS as i32 => {
            serde_json::json!({"signal": "clerk_cache_miss", "token_hash": event.token_hash})
        }
        kind if kind == clerk_event_kind::AUTH_SUCCESS as i32 => {
            serde_json::json!({"signal": "clerk_auth_success", "source": event.source, "user_pk": pk})
        }
        kind if kind == clerk_event_kind::AUTH_FAILED as i32 => {
            let reasons = recorded.iter().filter_map(|signal| signal["reason"].as_str());
            let reason =
                reasons.into_iter().find(|reason| is_same_reason(reason, event.reason)).unwrap_or(event.reason);
            serde_json::json!({"signal": "clerk_auth_failed", "reason": reason, "token_hash": event.token_hash})
        }
        _ => return None,
    })
}

/// Returns a recorded signal without its sender and with the hash of its token.
fn normalize(signal: &Value, scenario: &ScenarioOutcome) -> Value {
    let mut normalized = signal.clone();
    if let Some(members) = normalized.as_object_mut() {
        members.shift_remove("sender");
        if let Some(token) = signal["token_hash"]["$token_hash"].as_str().and_then(|name| scenario.tokens.get(name)) {
            members.insert("token_hash".into(), hash(token).into());
        }
    }
    normalized
}

/// Returns the cache key of django-clerk-sdk for a token.
fn hash(token: &str) -> String {
    use std::fmt::Write;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    digest.as_ref().iter().fold("clerk:auth:".to_owned(), |mut key, byte| {
        let _ = write!(key, "{byte:02x}");
        key
    })
}

/// Returns whether a row has the recorded values in the columns that the recording names. Passwords are ignored.
pub fn is_same_row(recorded: &Value, actual: &Row) -> bool {
    let Some(recorded) = recorded.as_object() else { return false };
    recorded.iter().filter(|(name, _)| *name != "has_usable_password").all(|(name, value)| {
        let actual_value = actual.get(name).unwrap_or(&Value::Null);
        actual_value == value || (name == "last_active_at" && same_second(actual_value, value))
    })
}

pub fn same_second(a: &Value, b: &Value) -> bool {
    let seconds = |value: &Value| value.as_str().and_then(timestamp::parse);
    seconds(a).is_some() && seconds(a) == seconds(b)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reasons_match_if_equal_or_synonyms() {
        assert!(is_same_reason("token-expired", "token-expired") && !is_same_reason("token-expired", "token-invalid"));
        assert!(is_same_reason("invalid-authorization-header", "token-invalid"));
        assert!(!is_same_reason("token-invalid", "invalid-authorization-header"));
        assert!(is_same_reason("year 10000 is out of range", "server-error"));
        assert!(!is_same_reason("year 10000 is out of range", ""));
    }

    #[test]
    fn row_matches_in_recorded_columns_only() {
        let actual =
            json!({"id": 1, "email": null, "last_active_at": "2023-11-22T22:00:00+00:00", "banned_by_clerk": true});
        let actual = actual.as_object().unwrap();
        let same = |recorded: Value| is_same_row(&recorded, actual);
        assert!(same(json!({"id": 1, "email": null, "has_usable_password": false})));
        assert!(same(json!({"id": 1, "last_active_at": "2023-11-22T22:00:00.120000+00:00"})));
        assert!(!same(json!({"id": 1, "last_active_at": "2023-11-22T22:00:01+00:00"})));
        assert!(!same(json!({"id": 1, "last_active_at": null})) && !same(json!({"id": 1, "email": ""})));
    }
}
