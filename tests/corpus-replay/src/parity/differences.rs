//! Where a recording is said to be right and the library does otherwise on purpose. Told for readers in
//! `docs/differences-from-django-clerk-sdk.md`; whatever is added here has to be told there.

use clerk_auth::ffi::CLERK_OK;
use serde_json::Value;

use super::keep::{Difference, is_same_row};
use super::scene::Asked;
use super::table::Row;

/// By rule, not by name: the same difference is met in scenarios that nobody has seen yet.
pub fn is_deliberate(difference: &Difference, recorded: &Value, asked: &Asked) -> bool {
    let was_let_in = recorded["clerk_auth"]["is_authenticated"] == true;
    let Some(answer) = &asked.answer else {
        // Settings that cannot work are refused when the client is made, not request by request. Nobody comes in either
        // way; there is nobody to send events or to ask Clerk.
        return asked.is_unconfigured
            && !was_let_in
            && ["HTTP status", "challenge", "events"].contains(&difference.what);
    };
    match difference.what {
        // A caller who is known and may not come in gets 403: logging in again would not help. The seed knows 401 only.
        "HTTP status" => {
            recorded["http_status"] == 401 && answer.reason == "user-inactive" && asked.seen.http_status == 403
        }
        // A user whom Clerk does not know is not asked for again for ten seconds.
        "calls for users" => answer.reason == "user-not-found" && !was_let_in && asked.user_calls == 0,
        // A row keeps the number behind its name, even when a smaller one has become free; numbers end at 3.
        "rows" => answer.status == CLERK_OK && differ_by_numbers(&recorded["rows"], asked),
        _ => false,
    }
}

fn differ_by_numbers(recorded: &Value, asked: &Asked) -> bool {
    let recorded = recorded.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_fine = |(theirs, ours): (&Value, &Row)| {
        let before = asked.before.iter().find(|row| row["id"] == ours["id"]);
        let name = ours.get("username").and_then(Value::as_str);
        let is_kept = before.and_then(|row| row.get("username")) == ours.get("username")
            && name.and_then(|name| name.rsplit_once('-')).is_some_and(|(_, number)| number.parse::<u32>().is_ok());
        let number = theirs["username"].as_str().and_then(|name| name.rsplit_once('-')?.1.parse::<u32>().ok());
        let id = format!("clerk_{}", ours.get("clerk_user_id").and_then(Value::as_str).unwrap_or_default());
        let is_made_of_id = number > Some(3) && name.is_some_and(|name| !name.is_empty() && id.ends_with(name));
        let mut ours = ours.clone();
        if is_kept || is_made_of_id {
            ours.insert("username".into(), theirs["username"].clone());
        }
        is_same_row(theirs, &ours)
    };
    recorded.len() == asked.rows.len() && recorded.iter().zip(&asked.rows).all(is_fine)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::parity::abi::AuthResult;
    use crate::parity::host::Seen;

    fn rows(names: &[&str]) -> Vec<Row> {
        let rows = names.iter().enumerate().map(|(at, name)| json!({"id": at, "username": name}));
        rows.filter_map(|row| row.as_object().cloned()).collect()
    }

    fn asked(answer: Option<AuthResult>, before: &[&str], after: &[&str]) -> Asked {
        Asked {
            is_unconfigured: answer.is_none(),
            answer,
            seen: Seen { http_status: 403, challenge: None, user: None },
            events: Vec::new(),
            user_calls: 0,
            before: rows(before),
            rows: rows(after),
            took: std::time::Duration::ZERO,
        }
    }

    fn is_fine(what: &'static str, recorded: Value, asked: &Asked) -> bool {
        is_deliberate(&Difference { what, ours: Value::Null, recorded: Value::Null }, &recorded, asked)
    }

    #[test]
    fn names_may_keep_their_numbers_and_nothing_else_may_differ() {
        let kept = |before, after, recorded: &str| {
            let recorded = json!({"rows": [{"id": 0, "username": recorded}]});
            is_fine("rows", recorded, &asked(Some(AuthResult::default()), &[before], &[after]))
        };
        assert!(kept("ada-3", "ada-3", "ada-2"));
        assert!(!kept("ada-2", "ada-3", "ada-2"));
        let made = |name: &str, recorded: &str| {
            let row = |name: &str| json!({"id": 0, "username": name, "clerk_user_id": "user_1x"});
            let mut ours = asked(Some(AuthResult::default()), &[], &[name]);
            ours.rows = row(name).as_object().cloned().into_iter().collect();
            is_fine("rows", json!({"rows": [row(recorded)]}), &ours)
        };
        assert!(made("clerk_user_1x", "ada-4") && made("user_1x", "ada-10"));
        assert!(!made("clerk_user_1x", "ada-3") && !made("clerk_user_2x", "ada-4") && !made("", "ada-4"));
        assert!(!kept("old", "old", "ada"));
    }

    #[test]
    fn a_client_that_cannot_be_made_lets_nobody_in() {
        let refused = json!({"http_status": 401, "clerk_auth": {"is_authenticated": false}});
        let let_in = json!({"clerk_auth": {"is_authenticated": true}});
        let asked = asked(None, &[], &[]);
        assert!(is_fine("events", refused.clone(), &asked) && !is_fine("rows", refused, &asked));
        assert!(!is_fine("events", let_in, &asked));
    }

    #[test]
    fn only_those_who_are_kept_out_get_403() {
        let status = |reason: &str| {
            let answer = AuthResult { status: 1, reason: reason.into(), ..AuthResult::default() };
            is_fine("HTTP status", json!({"http_status": 401}), &asked(Some(answer), &[], &[]))
        };
        assert!(status("user-inactive") && !status("token-expired"));
    }
}
