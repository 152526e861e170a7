//! Scenarios whose recording is right: everything has to come out as it stands there.

use clerk_auth::internals::ffi::clerk_event_kind;
use serde_json::Value;

use super::abi::{AuthResult, Event};
use super::calendar;
use super::differences::is_deliberate;
use super::scene::{Asked, Played};
use super::table::Row;

/// What one request came out otherwise than recorded.
#[derive(Debug, PartialEq)]
pub struct Difference {
    pub what: &'static str,
    pub ours: Value,
    pub recorded: Value,
}

/// The recording's word for a reason, and ours for the same.
const SYNONYMS: [(&str, &str); 3] = [
    // `Bearer` with nothing behind it. An empty cookie, which has the same word there, is no credential here.
    ("invalid-authorization-header", "token-invalid"),
    // The library under the seed looks at `iat` as if it were `nbf`.
    ("token-not-active-yet", "token-iat-in-the-future"),
    // It has no word of its own for a token without any `aud`.
    ("token-invalid", "token-invalid-audience"),
];

/// Whether our reason says what the recorded one says.
pub fn is_same_reason(recorded: &str, ours: &str) -> bool {
    let is_word = recorded.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    // Texts of exceptions are no reasons: that somebody was refused is all they say.
    recorded == ours || SYNONYMS.contains(&(recorded, ours)) || (!is_word && !ours.is_empty())
}

/// Where the requests differ from the recording, in words.
pub fn differences(scenario: &Value, played: &Played) -> Vec<String> {
    let recorded: Vec<&Value> = scenario["recorded"].as_array().into_iter().flatten().collect();
    if recorded.len() != played.requests.len() {
        return vec![format!("{} requests, {} recorded", played.requests.len(), recorded.len())];
    }
    let pairs = recorded.iter().zip(&played.requests).enumerate();
    pairs
        .flat_map(|(at, (recorded, asked))| {
            one(recorded, asked, played).into_iter().map(move |d| (at, *recorded, asked, d))
        })
        .filter(|(_, recorded, asked, difference)| !is_deliberate(difference, recorded, asked))
        .map(|(at, _, _, d)| format!("request {}: {}: {}, recorded {}", at + 1, d.what, d.ours, d.recorded))
        .collect()
}

fn one(recorded: &Value, asked: &Asked, played: &Played) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut compare = |what, ours: Value, recorded: Value| {
        if ours != recorded {
            found.push(Difference { what, ours, recorded });
        }
    };
    if let (Some(answer), Some(auth)) = (&asked.answer, recorded["clerk_auth"].as_object()) {
        compare("signed in", answer.is_signed_in().into(), auth["is_authenticated"].clone());
        compare("has credentials", answer.has_credentials().into(), auth["has_credentials"].clone());
        compare("source", answer.source.into(), auth["source"].clone());
        let reason = if answer.has_credentials() { answer.reason.as_str() } else { "" };
        compare_reasons(&mut compare, reason, &auth["reason"]);
    }
    compare("HTTP status", asked.seen.http_status.into(), recorded["http_status"].clone());
    let scheme = |text: Option<&str>| text.and_then(|text| text.split(' ').next()).map(str::to_owned);
    let challenge = scheme(asked.seen.challenge.as_deref());
    compare("challenge", challenge.into(), scheme(recorded["www_authenticate"].as_str()).into());
    let clerk_user = asked.answer.as_ref().and_then(AuthResult::user);
    for (member, ours) in [("user", asked.seen.user), ("clerk_user", clerk_user)] {
        if let Some(user) = recorded[member].as_object() {
            compare(member, ours.into(), user.get("pk").cloned().unwrap_or_default());
        }
    }
    let signals = recorded["signals"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut events: Vec<Value> = asked.events.iter().filter_map(|event| signal(event, signals)).collect();
    let mut expected: Vec<Value> = signals.iter().map(|signal| plain(signal, played)).collect();
    // A text with a token of the recording's own day in it: the hash is of that day, too.
    if recorded["clerk_auth"]["token"].as_str().is_some_and(|text| text.contains("eyJ")) {
        events.iter_mut().chain(&mut expected).for_each(|event| event["token_hash"] = Value::Null);
    }
    compare("events", events.into(), expected.into());
    let calls = recorded["api_calls"].as_object().into_iter().flatten();
    let calls = calls.filter(|(name, _)| name.contains("/users")).filter_map(|(_, count)| count.as_u64()).sum::<u64>();
    compare("calls for users", asked.user_calls.into(), calls.into());
    let rows = recorded["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !(rows.len() == asked.rows.len() && rows.iter().zip(&asked.rows).all(|(theirs, ours)| is_same_row(theirs, ours)))
    {
        compare("rows", asked.rows.clone().into_iter().map(Value::Object).collect(), rows.into());
    }
    found
}

fn compare_reasons(compare: &mut impl FnMut(&'static str, Value, Value), ours: &str, recorded: &Value) {
    match recorded.as_str() {
        Some(word) if is_same_reason(word, ours) => {}
        None if ours.is_empty() => {}
        _ => compare("reason", ours.into(), recorded.clone()),
    }
}

/// One of the seed's three signals; our other events are of no account here. A reason that means the same is written as
/// the recording has it.
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
            let theirs = recorded.iter().filter_map(|signal| signal["reason"].as_str());
            let reason = theirs.into_iter().find(|word| is_same_reason(word, event.reason)).unwrap_or(event.reason);
            serde_json::json!({"signal": "clerk_auth_failed", "reason": reason, "token_hash": event.token_hash})
        }
        _ => return None,
    })
}

/// A recorded signal without its sender and with its token's hash.
fn plain(signal: &Value, played: &Played) -> Value {
    let mut plain = signal.clone();
    if let Some(members) = plain.as_object_mut() {
        members.shift_remove("sender");
        if let Some(token) = signal["token_hash"]["$token_hash"].as_str().and_then(|name| played.tokens.get(name)) {
            members.insert("token_hash".into(), hash(token).into());
        }
    }
    plain
}

/// The key that the seed's cache has for a token.
fn hash(token: &str) -> String {
    use std::fmt::Write;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    digest.as_ref().iter().fold("clerk:auth:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether a row is as recorded, as far as the recording names its columns. Passwords are no concern of the library's.
pub fn is_same_row(recorded: &Value, ours: &Row) -> bool {
    let Some(recorded) = recorded.as_object() else { return false };
    recorded.iter().filter(|(name, _)| *name != "has_usable_password").all(|(name, value)| {
        let own = ours.get(name).unwrap_or(&Value::Null);
        own == value || (name == "last_active_at" && same_second(own, value))
    })
}

pub fn same_second(a: &Value, b: &Value) -> bool {
    let seconds = |value: &Value| value.as_str().and_then(calendar::seconds);
    seconds(a).is_some() && seconds(a) == seconds(b)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reasons_are_the_same_or_listed() {
        assert!(is_same_reason("token-expired", "token-expired") && !is_same_reason("token-expired", "token-invalid"));
        assert!(is_same_reason("invalid-authorization-header", "token-invalid"));
        assert!(!is_same_reason("token-invalid", "invalid-authorization-header"));
        assert!(is_same_reason("year 10000 is out of range", "server-error"));
        assert!(!is_same_reason("year 10000 is out of range", ""));
    }

    #[test]
    fn rows_are_compared_as_far_as_they_are_recorded() {
        let ours =
            json!({"id": 1, "email": null, "last_active_at": "2023-11-22T22:00:00+00:00", "banned_by_clerk": true});
        let ours = ours.as_object().unwrap();
        let same = |recorded: Value| is_same_row(&recorded, ours);
        assert!(same(json!({"id": 1, "email": null, "has_usable_password": false})));
        assert!(same(json!({"id": 1, "last_active_at": "2023-11-22T22:00:00.120000+00:00"})));
        assert!(!same(json!({"id": 1, "last_active_at": "2023-11-22T22:00:01+00:00"})));
        assert!(!same(json!({"id": 1, "last_active_at": null})) && !same(json!({"id": 1, "email": ""})));
    }
}
