//! Completes partial users, e-mail addresses, sessions and tokens to API objects.
//!
//! The members of a partial object replace the defaults in `data/completion.json`. `{"$raw": X}` is
//! served as X. A user's `"$omit": [names]` removes members after completion. An e-mail address may
//! have the `"verification"` `"verified"` or `"unverified"` instead of the object.

use serde_json::{Map, Value, json};
use std::sync::OnceLock;

fn defaults(name: &str) -> Map<String, Value> {
    static ALL: OnceLock<Value> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        serde_json::from_str(include_str!("../data/completion.json")).expect("the defaults are valid JSON")
    });
    all.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Returns the defaults of a name with the members of a partial object.
fn overlay(name: &str, id: Option<&str>, partial: &Value) -> Map<String, Value> {
    let mut object = defaults(name);
    if let Some(id) = id {
        object.insert("id".to_owned(), json!(id));
    }
    if let Value::Object(partial) = partial {
        object.extend(partial.clone());
    }
    object
}

fn raw(partial: &Value) -> Option<Value> {
    partial.get("$raw").cloned()
}

/// Returns a complete User.
pub fn user(id: &str, partial: &Value) -> Value {
    if let Some(raw) = raw(partial) {
        return raw;
    }
    let mut object = overlay("user", Some(id), partial);
    if let Some(Value::Array(addresses)) = object.get_mut("email_addresses") {
        for (at, address) in addresses.iter_mut().enumerate() {
            *address = email_address(at + 1, address);
        }
    }
    if let Some(Value::Array(names)) = object.shift_remove("$omit") {
        for name in names.iter().filter_map(Value::as_str) {
            object.shift_remove(name);
        }
    }
    Value::Object(object)
}

/// Returns a complete EmailAddress, the n-th of its user; a string is the address.
fn email_address(nth: usize, partial: &Value) -> Value {
    let partial = match partial {
        Value::String(address) => json!({"email_address": address}),
        Value::Object(_) => partial.clone(),
        other => return other.clone(),
    };
    if let Some(raw) = raw(&partial) {
        return raw;
    }
    let mut object = overlay("email_address", Some(&format!("idn_{nth:04}")), &partial);
    let verification = match object.get("verification").and_then(Value::as_str) {
        Some("verified") => defaults("email_address").shift_remove("verification"),
        Some("unverified") => Some(Value::Object(defaults("email_address_unverified"))),
        _ => None,
    };
    if let Some(verification) = verification {
        object.insert("verification".to_owned(), verification);
    }
    Value::Object(object)
}

/// Returns a complete Session.
pub fn session(id: &str, partial: &Value) -> Value {
    raw(partial).unwrap_or_else(|| Value::Object(overlay("session", Some(id), partial)))
}

/// Returns a complete machine token: one of `oauth_tokens`, `api_keys` or `m2m_tokens`.
pub fn machine_token(kind: &str, partial: &Value) -> Value {
    raw(partial).unwrap_or_else(|| Value::Object(overlay(kind, None, partial)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_user_gets_defaults() {
        let object = user(
            "user_1",
            &json!({"first_name": "Ada", "$omit": ["locale"], "email_addresses": [
                {"email_address": "a@example.com", "verification": "unverified"}, "b@example.com",
                {"id": "idn_x", "email_address": "c@example.com", "verification": null}]}),
        );
        assert_eq!(object["id"], "user_1");
        assert_eq!(object["object"], "user");
        assert_eq!(object["first_name"], "Ada");
        assert!(object.get("locale").is_none() && object.get("$omit").is_none());
        let addresses = &object["email_addresses"];
        assert_eq!(addresses[0]["id"], "idn_0001");
        assert_eq!(addresses[0]["verification"]["status"], "unverified");
        assert_eq!(addresses[1]["id"], "idn_0002");
        assert_eq!(addresses[1]["verification"]["status"], "verified");
        assert_eq!(addresses[2]["verification"], Value::Null);
    }

    #[test]
    fn raw_object_is_returned_unchanged() {
        assert_eq!(user("user_1", &json!({"$raw": [1]})), json!([1]));
        assert_eq!(machine_token("oauth_tokens", &json!({"$raw": {"active": false}})), json!({"active": false}));
    }
}
