//! Compares the outcome of a case with the expected one.

use clerk_auth::{Attribute, TokenKind};
use serde_json::{Value, json};

use crate::capi::AuthResult;

pub const SIGNED_IN: &str = "signed_in";
pub const SIGNED_OUT: &str = "signed_out";

/// The outcome of an authentication.
pub struct Outcome<'a> {
    pub status: &'static str,
    pub reason: Option<String>,
    pub result: Option<&'a AuthResult>,
    pub api_calls: usize,
}

impl Outcome<'_> {
    /// Returns the value for a member of `expected`, in the shape that it has there.
    pub fn member(&self, name: &str) -> Value {
        let Some(result) = self.result else { return Value::Null };
        let string = |attribute| result.get(attribute).map_or(Value::Null, Value::String);
        let list = |attribute, separator| {
            result.get(attribute).map_or(Value::Null, |string| {
                json!(string.split(separator).filter(|item| !item.is_empty()).collect::<Vec<_>>())
            })
        };
        match name {
            "user_id" => json!(result.user_id()),
            "session_id" => string(Attribute::SessionId),
            "session_status" => string(Attribute::SessionStatus),
            "org_id" => string(Attribute::OrgId),
            "org_slug" => string(Attribute::OrgSlug),
            "org_role" => string(Attribute::OrgRole),
            "org_permissions" => list(Attribute::OrgPermissions, ','),
            "actor" => string(Attribute::Actor),
            "token_type" => {
                json!(
                    TokenKind::ALL
                        .iter()
                        .copied()
                        .find(|kind| *kind as i32 == result.token_kind())
                        .map(TokenKind::as_str)
                )
            }
            "token_id" => string(Attribute::TokenId),
            "client_id" => string(Attribute::ClientId),
            "subject" => string(Attribute::Subject),
            "machine_id" => json!(result.get(Attribute::Subject).filter(|subject| subject.starts_with("mch_"))),
            "scopes" => list(Attribute::Scopes, ' '),
            "factor_verification_age" => json!(result.factor_verification_age()),
            // Every other name is a claim.
            claim => result.claim(claim).and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
        }
    }
}

/// Lists the members in which the outcome differs from the expected one.
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
            // A difference in the status is already listed.
            _ if outcome.status == SIGNED_OUT => {}
            // Some recordings name ages for a token without `fva`.
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
        // The C functions return the subject of `act`, not the whole claim.
        ("actor", Value::Object(act)) => act.get("sub") == Some(got),
        // An empty list is an empty or an absent string.
        ("org_permissions" | "scopes", Value::Array(items)) if items.is_empty() => got.is_null() || got == wanted,
        _ => wanted == got,
    }
}

/// Categories in which the header lines decide, so that the verdict on the token alone may differ.
const DECIDED_BY_HEADERS: [&str; 3] = ["precedence", "header-scheme", "cookies"];

/// Returns whether the verdict on the token alone agrees with the one expected of the request; `None` if it need not.
pub fn token_agrees(category: &str, expected: &Value, status: &str) -> Option<bool> {
    let by_headers = DECIDED_BY_HEADERS.contains(&category) || expected["reason"] == "session-token-missing";
    (!by_headers).then(|| expected["status"] == status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference_count(expected: Value, reason: Option<&str>) -> usize {
        let status = if reason.is_some() { SIGNED_OUT } else { SIGNED_IN };
        differences(&expected, &Outcome { status, reason: reason.map(Into::into), result: None, api_calls: 2 }).len()
    }

    #[test]
    fn reason_accepts_reason_also() {
        let expected = json!({"status": "signed_out", "reason": "a", "reason_also": ["b"]});
        assert_eq!(difference_count(expected.clone(), Some("a")), 0);
        assert_eq!(difference_count(expected.clone(), Some("b")), 0);
        assert_eq!(difference_count(expected.clone(), Some("c")), 1);
        assert_eq!(difference_count(expected, None), 2);
        assert_eq!(difference_count(json!({"status": "signed_out"}), Some("any")), 0);
    }

    #[test]
    fn missing_member_is_null_and_differs() {
        assert_eq!(difference_count(json!({"status": "signed_in", "user_id": "user_1", "session_id": null}), None), 1);
        assert_eq!(difference_count(json!({"status": "signed_in", "user_id": "user_1"}), Some("x")), 1);
        assert_eq!(difference_count(json!({"api_calls": 2}), None), 0);
        assert_eq!(difference_count(json!({"api_calls": 0}), None), 1);
    }

    #[test]
    fn actor_is_compared_by_subject_and_lists_in_order() {
        assert!(is_same("actor", &json!({"iss": "x", "sub": "user_1"}), &json!("user_1")));
        assert!(!is_same("actor", &json!({"iss": "x"}), &json!(null)));
        assert!(!is_same("org_permissions", &json!(["a", "b"]), &json!(["b", "a"])));
        assert!(is_same("org_permissions", &json!([]), &json!(null)));
    }

    #[test]
    fn token_verdict_is_ignored_where_headers_decide() {
        let expected = json!({"status": "signed_in"});
        assert_eq!(token_agrees("cookies", &expected, SIGNED_OUT), None);
        assert_eq!(token_agrees("time", &expected, SIGNED_OUT), Some(false));
        assert_eq!(token_agrees("time", &expected, SIGNED_IN), Some(true));
    }
}
