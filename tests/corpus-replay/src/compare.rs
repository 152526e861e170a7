//! What was expected against what was answered.

use clerk_auth::{Attribute, TokenKind};
use serde_json::{Value, json};

use crate::capi::AuthResult;

pub const SIGNED_IN: &str = "signed_in";
pub const SIGNED_OUT: &str = "signed_out";

/// How an authentication ended.
pub struct Outcome<'a> {
    pub status: &'static str,
    pub reason: Option<String>,
    pub answer: Option<&'a AuthResult>,
    pub api_calls: usize,
}

impl Outcome<'_> {
    /// What the answer says of a member of `expected`, in the shape that it has there.
    pub fn member(&self, name: &str) -> Value {
        let Some(answer) = self.answer else { return Value::Null };
        let text = |which| answer.get(which).map_or(Value::Null, Value::String);
        let list = |which, separator| {
            answer.get(which).map_or(Value::Null, |text| {
                json!(text.split(separator).filter(|item| !item.is_empty()).collect::<Vec<_>>())
            })
        };
        match name {
            "user_id" => json!(answer.user_id()),
            "session_id" => text(Attribute::SessionId),
            "session_status" => text(Attribute::SessionStatus),
            "org_id" => text(Attribute::OrgId),
            "org_slug" => text(Attribute::OrgSlug),
            "org_role" => text(Attribute::OrgRole),
            "org_permissions" => list(Attribute::OrgPermissions, ','),
            "actor" => text(Attribute::Actor),
            "token_type" => {
                json!(
                    TokenKind::ALL
                        .iter()
                        .copied()
                        .find(|kind| *kind as i32 == answer.token_kind())
                        .map(TokenKind::as_str)
                )
            }
            "token_id" => text(Attribute::TokenId),
            "client_id" => text(Attribute::ClientId),
            "subject" => text(Attribute::Subject),
            "machine_id" => json!(answer.get(Attribute::Subject).filter(|subject| subject.starts_with("mch_"))),
            "scopes" => list(Attribute::Scopes, ' '),
            "factor_verification_age" => json!(answer.factor_ages()),
            // Whatever else a recording may name is a claim.
            claim => answer.claim(claim).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        }
    }
}

/// Everything in which the outcome is not what was expected, in words.
pub fn differences(expected: &Value, outcome: &Outcome<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |name: &str, wanted: &Value, got: &Value| found.push(format!("{name}: {got}, expected {wanted}"));
    for (name, wanted) in expected.as_object().into_iter().flatten() {
        match name.as_str() {
            "status" if wanted == outcome.status => {}
            "status" => differ(name, wanted, &json!(outcome.status)),
            "reason" => {
                let also = expected["reason_also"].as_array().map(Vec::as_slice).unwrap_or_default();
                let got = json!(outcome.reason);
                if got != *wanted && !also.contains(&got) {
                    differ(name, wanted, &got);
                }
            }
            "reason_also" => {}
            "api_calls" => {
                let got = json!(outcome.api_calls);
                if got != *wanted {
                    differ(name, wanted, &got);
                }
            }
            // Nobody is signed in: the status has said so already.
            _ if outcome.status == SIGNED_OUT => {}
            // Some recordings name ages for a token that holds none: nobody could tell them.
            "factor_verification_age" if outcome.member("fva").is_null() => {}
            _ => {
                let got = outcome.member(name);
                if !is_same(name, wanted, &got) {
                    differ(name, wanted, &got);
                }
            }
        }
    }
    found
}

fn is_same(name: &str, wanted: &Value, got: &Value) -> bool {
    match (name, wanted) {
        // The C functions tell who acts, not the whole of `act`.
        ("actor", Value::Object(act)) => act.get("sub") == Some(got),
        // A list without items is a text without items, or no text at all.
        ("org_permissions" | "scopes", Value::Array(items)) if items.is_empty() => got.is_null() || got == wanted,
        _ => wanted == got,
    }
}

/// Categories in which the lines of the request decide, so that a token by itself proves nothing.
const DECIDED_BY_THE_REQUEST: [&str; 3] = ["precedence", "header-scheme", "cookies"];

/// Whether the verdict on a token by itself fits the one that was expected of the request; `None`: it need not.
pub fn token_agrees(category: &str, expected: &Value, status: &str) -> Option<bool> {
    let by_request = DECIDED_BY_THE_REQUEST.contains(&category) || expected["reason"] == "session-token-missing";
    (!by_request).then(|| expected["status"] == status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(expected: Value, reason: Option<&str>) -> usize {
        let status = if reason.is_some() { SIGNED_OUT } else { SIGNED_IN };
        differences(&expected, &Outcome { status, reason: reason.map(Into::into), answer: None, api_calls: 2 }).len()
    }

    #[test]
    fn a_reason_has_synonyms() {
        let expected = json!({"status": "signed_out", "reason": "a", "reason_also": ["b"]});
        assert_eq!(found(expected.clone(), Some("a")), 0);
        assert_eq!(found(expected.clone(), Some("b")), 0);
        assert_eq!(found(expected.clone(), Some("c")), 1);
        assert_eq!(found(expected, None), 2);
        assert_eq!(found(json!({"status": "signed_out"}), Some("any")), 0);
    }

    #[test]
    fn what_is_not_there_is_null_and_differs() {
        assert_eq!(found(json!({"status": "signed_in", "user_id": "user_1", "session_id": null}), None), 1);
        assert_eq!(found(json!({"status": "signed_in", "user_id": "user_1"}), Some("x")), 1);
        assert_eq!(found(json!({"api_calls": 2}), None), 0);
        assert_eq!(found(json!({"api_calls": 0}), None), 1);
    }

    #[test]
    fn the_actor_is_told_by_its_subject_and_order_counts() {
        assert!(is_same("actor", &json!({"iss": "x", "sub": "user_1"}), &json!("user_1")));
        assert!(!is_same("actor", &json!({"iss": "x"}), &json!(null)));
        assert!(!is_same("org_permissions", &json!(["a", "b"]), &json!(["b", "a"])));
        assert!(is_same("org_permissions", &json!([]), &json!(null)));
    }

    #[test]
    fn a_token_by_itself_says_nothing_where_the_request_decides() {
        let expected = json!({"status": "signed_in"});
        assert_eq!(token_agrees("cookies", &expected, SIGNED_OUT), None);
        assert_eq!(token_agrees("time", &expected, SIGNED_OUT), Some(false));
        assert_eq!(token_agrees("time", &expected, SIGNED_IN), Some(true));
    }
}
