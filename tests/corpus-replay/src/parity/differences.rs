//! Deliberate differences from recordings that are marked as correct. `docs/differences-from-django-clerk-sdk.md` lists the
//! same rules; change both together.

use clerk_auth::internals::ffi::CLERK_OK;
use serde_json::Value;

use super::keep::{Difference, is_same_row};
use super::scenario::RequestOutcome;
use super::table::Row;

/// Returns whether a rule covers the difference. Rules do not depend on the scenario's name.
pub fn is_deliberate(difference: &Difference, recorded: &Value, request: &RequestOutcome) -> bool {
    let was_signed_in = recorded["clerk_auth"]["is_authenticated"] == true;
    let Some(auth) = &request.auth else {
        // Invalid settings are rejected when the client is created, not for each request. No request is accepted either
        // way; without a client there are no events and no calls to Clerk.
        return request.is_unconfigured
            && !was_signed_in
            && ["HTTP status", "challenge", "events"].contains(&difference.what);
    };
    match difference.what {
        // An inactive user gets 403: signing in again would not help. django-clerk-sdk always responds with 401.
        "HTTP status" => {
            recorded["http_status"] == 401 && auth.reason == "user-inactive" && request.response.http_status == 403
        }
        // A user that does not exist at Clerk is cached as missing for ten seconds.
        "calls for users" => auth.reason == "user-not-found" && !was_signed_in && request.user_calls == 0,
        // A row keeps the numeric suffix of its username, even if a lower one has become available; suffixes end at 3.
        "rows" => auth.status == CLERK_OK && differ_by_suffix(&recorded["rows"], request),
        _ => false,
    }
}

fn differ_by_suffix(recorded: &Value, request: &RequestOutcome) -> bool {
    let recorded = recorded.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_covered = |(recorded, actual): (&Value, &Row)| {
        let before = request.before.iter().find(|row| row["id"] == actual["id"]);
        let name = actual.get("username").and_then(Value::as_str);
        let is_kept = before.and_then(|row| row.get("username")) == actual.get("username")
            && name.and_then(|name| name.rsplit_once('-')).is_some_and(|(_, number)| number.parse::<u32>().is_ok());
        let suffix = recorded["username"].as_str().and_then(|name| name.rsplit_once('-')?.1.parse::<u32>().ok());
        let id = format!("clerk_{}", actual.get("clerk_user_id").and_then(Value::as_str).unwrap_or_default());
        let is_made_of_id = suffix > Some(3) && name.is_some_and(|name| !name.is_empty() && id.ends_with(name));
        let mut actual = actual.clone();
        if is_kept || is_made_of_id {
            actual.insert("username".into(), recorded["username"].clone());
        }
        is_same_row(recorded, &actual)
    };
    recorded.len() == request.rows.len() && recorded.iter().zip(&request.rows).all(is_covered)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::parity::callbacks::AuthOutcome;
    use crate::parity::response::ViewResponse;

    fn rows(names: &[&str]) -> Vec<Row> {
        let rows = names.iter().enumerate().map(|(id, name)| json!({"id": id, "username": name}));
        rows.filter_map(|row| row.as_object().cloned()).collect()
    }

    fn outcome(auth: Option<AuthOutcome>, before: &[&str], after: &[&str]) -> RequestOutcome {
        RequestOutcome {
            is_unconfigured: auth.is_none(),
            auth,
            response: ViewResponse { http_status: 403, www_authenticate: None, user: None },
            events: Vec::new(),
            user_calls: 0,
            before: rows(before),
            rows: rows(after),
            took: std::time::Duration::ZERO,
        }
    }

    fn covers(what: &'static str, recorded: Value, request: &RequestOutcome) -> bool {
        is_deliberate(&Difference { what, actual: Value::Null, recorded: Value::Null }, &recorded, request)
    }

    #[test]
    fn kept_username_suffix_is_the_only_row_difference() {
        let kept = |before, after, recorded: &str| {
            let recorded = json!({"rows": [{"id": 0, "username": recorded}]});
            covers("rows", recorded, &outcome(Some(AuthOutcome::default()), &[before], &[after]))
        };
        assert!(kept("ada-3", "ada-3", "ada-2"));
        assert!(!kept("ada-2", "ada-3", "ada-2"));
        let made = |name: &str, recorded: &str| {
            let row = |name: &str| json!({"id": 0, "username": name, "clerk_user_id": "user_1x"});
            let mut actual = outcome(Some(AuthOutcome::default()), &[], &[name]);
            actual.rows = row(name).as_object().cloned().into_iter().collect();
            covers("rows", json!({"rows": [row(recorded)]}), &actual)
        };
        assert!(made("clerk_user_1x", "ada-4") && made("user_1x", "ada-10"));
        assert!(!made("clerk_user_1x", "ada-3") && !made("clerk_user_2x", "ada-4") && !made("", "ada-4"));
        assert!(!kept("old", "old", "ada"));
    }

    #[test]
    fn missing_client_is_covered_if_no_request_was_signed_in() {
        let rejected = json!({"http_status": 401, "clerk_auth": {"is_authenticated": false}});
        let signed_in = json!({"clerk_auth": {"is_authenticated": true}});
        let request = outcome(None, &[], &[]);
        assert!(covers("events", rejected.clone(), &request) && !covers("rows", rejected, &request));
        assert!(!covers("events", signed_in, &request));
    }

    #[test]
    fn http_403_is_covered_for_inactive_users_only() {
        let status = |reason: &str| {
            let auth = AuthOutcome { status: 1, reason: reason.into(), ..AuthOutcome::default() };
            covers("HTTP status", json!({"http_status": 401}), &outcome(Some(auth), &[], &[]))
        };
        assert!(status("user-inactive") && !status("token-expired"));
    }
}
