//! Tests of the endpoints: responses and errors.

mod common;

use clerk_sim::Sim;
use common::{GOOD, get, must, post, send};
use serde_json::{Value, json};

fn sim_with_objects() -> Sim {
    let sim = Sim::start();
    must(sim.merge_state(&json!({
        "users": {
            "user_1": {"id": "user_1", "first_name": "Ada", "created_at": 1, "email_addresses": ["ada@example.com"]},
            "user_2": {"id": "user_2", "created_at": 2, "banned": true},
            "user raw": {"$raw": {"odd": true}},
        },
        "sessions": {"sess_1": {"id": "sess_1", "user_id": "user_1"}, "sess_2": {"id": "sess_2", "user_id": "user_2"}},
        "oauth_tokens": {"oat_1": {"subject": "user_1", "scopes": ["a"]}, "oat_2": {"$raw": {"active": false}},
            "oat_3": {"$raw": {"$text": "<html>"}}, "oat_4": {"$status": 422}},
        "api_keys": {"ak_1": {"subject": "user_1"}},
        "m2m_tokens": {"mt_1": {"subject": "mch_1", "scopes": ["mch_2"]}},
    })));
    sim
}

#[test]
fn jwks_is_served_with_and_without_version_prefix() {
    let sim = Sim::start();
    for path in ["/v1/jwks", "/jwks"] {
        let response = get(&sim, path);
        assert_eq!((response.status, response.json()), (200, json!({"keys": [sim.keys().jwk("k1")]})));
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
    let public = send(sim.addr(), "GET", "/.well-known/jwks.json", "User-Agent: t\r\n", "");
    assert_eq!(public.json()["keys"][0]["kid"], clerk_sim::DEFAULT_KID);
    assert_eq!(sim.violations(), Vec::<String>::new());
    assert_eq!((sim.requests("/jwks"), sim.requests("*"), sim.stats().total()), (2, 3, 3));
    sim.set_jwks(&["k2", "other"]);
    assert_eq!(get(&sim, "/v1/jwks").json()["keys"].as_array().unwrap().len(), 2);
    sim.set_jwks_raw(json!("nonsense"));
    assert_eq!(get(&sim, "/v1/jwks").json(), "nonsense");
}

#[test]
fn users_are_served_by_id_and_filter() {
    let sim = sim_with_objects();
    let ada = get(&sim, "/v1/users/user_1").json();
    assert_eq!((&ada["first_name"], &ada["object"], &ada["locked"]), (&json!("Ada"), &json!("user"), &json!(false)));
    assert_eq!(ada["email_addresses"][0]["id"], "idn_0001");
    assert_eq!(get(&sim, "/v1/users/user%20raw").json(), json!({"odd": true}));
    let missing = get(&sim, "/v1/users/user_9");
    assert_eq!((missing.status, missing.code().as_str()), (404, "resource_not_found"));
    assert!(missing.json()["clerk_trace_id"].is_string());

    let ids = |target: &str| -> Vec<Value> {
        get(&sim, target).json().as_array().unwrap().iter().map(|user| user["id"].clone()).collect()
    };
    assert_eq!(ids("/v1/users?user_id=user_1&user_id=user_2"), ["user_2", "user_1"]);
    assert_eq!(ids("/v1/users?user_id=user_1&user_id=user_2&limit=1&offset=1"), ["user_1"]);
    assert_eq!(ids("/v1/users?email_address=ada%40example.com"), ["user_1"]);
    assert_eq!(ids("/v1/users?banned=true"), ["user_2"]);
    assert_eq!(ids("/v1/users?user_id=user_1&user_id=user_2&starting_after=user_2"), ["user_1"]);
    assert_eq!(get(&sim, "/v1/users?limit=x").status, 422);

    sim.ban_user("user_1");
    assert_eq!(get(&sim, "/v1/users/user_1").json()["banned"], true);
    assert!(sim.delete_user("user_1"));
    assert_eq!(get(&sim, "/v1/users/user_1").status, 404);
    sim.set_users([json!({"id": "user_3"})]);
    assert_eq!(get(&sim, "/v1/users/user_3").status, 200);
}

#[test]
fn user_list_is_paged() {
    let sim = Sim::start();
    sim.set_users((0..600).map(|n| json!({"id": format!("user_{n}"), "created_at": n})));
    let count = |target: &str| get(&sim, target).json().as_array().unwrap().len();
    assert_eq!((count("/users"), count("/users?limit=500"), count("/users?limit=501")), (10, 500, 10));
    assert_eq!(count("/users?limit=500&offset=500"), 100);
}

#[test]
fn sessions_are_served_and_revoked() {
    let sim = sim_with_objects();
    assert_eq!(get(&sim, "/v1/sessions/sess_1").json()["status"], "active");
    assert_eq!(get(&sim, "/v1/sessions?user_id=user_2").json()[0]["id"], "sess_2");
    assert_eq!(get(&sim, "/v1/sessions?user_id=user_2&paginated=true").json()["total_count"], 1);
    let revoked = send(sim.addr(), "POST", "/v1/sessions/sess_1/revoke", GOOD, "");
    assert_eq!((revoked.status, &revoked.json()["status"]), (200, &json!("revoked")));
    assert_eq!(get(&sim, "/v1/sessions/sess_1").json()["status"], "revoked");
    assert_eq!(send(sim.addr(), "POST", "/v1/sessions/sess_9/revoke", GOOD, "").code(), "resource_not_found");
    assert_eq!(get(&sim, "/v1/sessions/sess_9").status, 404);
}

#[test]
fn machine_tokens_are_verified_by_kind() {
    let sim = sim_with_objects();
    for prefix in ["", "/v1"] {
        let verify = |path: &str, body: &str| post(&sim, &format!("{prefix}{path}"), body);
        let oauth = verify("/oauth_applications/access_tokens/verify", r#"{"access_token":"oat_1"}"#);
        assert_eq!(oauth.json()["object"], "clerk_idp_oauth_access_token");
        assert_eq!(oauth.json()["scopes"], json!(["a"]));
        let old_name = verify("/oauth_applications/access_tokens/verify", r#"{"secret":"oat_2"}"#);
        assert_eq!(old_name.json(), json!({"active": false}));
        let no_json = verify("/oauth_applications/access_tokens/verify", r#"{"access_token":"oat_3"}"#);
        assert_eq!((no_json.status, no_json.body.as_slice()), (200, &b"<html>"[..]));
        assert_eq!(verify("/oauth_applications/access_tokens/verify", r#"{"access_token":"oat_4"}"#).status, 422);
        assert_eq!(verify("/api_keys/verify", r#"{"secret":"ak_1"}"#).json()["object"], "api_key");
        assert_eq!(verify("/m2m_tokens/verify", r#"{"token":"mt_1"}"#).json()["subject"], "mch_1");
        let unknown = verify("/m2m_tokens/verify", r#"{"token":"mt_9"}"#);
        assert_eq!((unknown.status, unknown.code().as_str()), (404, "resource_not_found"));
        assert!(unknown.json().get("clerk_trace_id").is_none());
    }
    for body in [r#"{"secret":"mt_1"}"#, r#"{"token":"mt_1","x":"y"}"#, r#"{"token":1}"#, "{}", "[]", "{"] {
        let rejected = post(&sim, "/m2m_tokens/verify", body);
        assert_eq!((rejected.status, rejected.code().as_str()), (400, "request_body_invalid"), "{body}");
    }
    let untyped = send(sim.addr(), "POST", "/m2m_tokens/verify", GOOD, r#"{"token":"mt_1"}"#);
    assert_eq!(untyped.status, 400);
}

#[test]
fn machine_secret_verifies_only_tokens_granted_to_the_machine() {
    let sim = sim_with_objects();
    let machines = json!({"ak_granted": "mch_2", "ak_other": "mch_3"});
    must(sim.merge_state(&json!({"secret_keys": ["sk_test_1"], "machine_secrets": machines})));
    let as_machine = |secret: &str, path: &str, body: &str| {
        let headers = format!("Authorization: Bearer {secret}\r\nContent-Type: application/json\r\n");
        send(sim.addr(), "POST", path, &headers, body).status
    };
    assert_eq!(as_machine("ak_granted", "/m2m_tokens/verify", r#"{"token":"mt_1"}"#), 200);
    assert_eq!(as_machine("ak_other", "/m2m_tokens/verify", r#"{"token":"mt_1"}"#), 404);
    assert_eq!(as_machine("sk_test_1", "/m2m_tokens/verify", r#"{"token":"mt_1"}"#), 200);
    assert_eq!(as_machine("ak_granted", "/api_keys/verify", r#"{"secret":"ak_1"}"#), 401);
}

#[test]
fn invalid_credentials_version_and_path_are_rejected() {
    let sim = sim_with_objects();
    must(sim.merge_state(&json!({"secret_keys": ["sk_test_1"]})));
    let with = |headers: &str, target: &str| {
        let response = send(sim.addr(), "GET", target, headers, "");
        (response.status, response.code())
    };
    let error = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(with("", "/v1/jwks"), error(401, "authentication_invalid"));
    for headers in [
        "Authorization: sk_test_1\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Basic sk_test_1\r\n",
        "Authorization: Bearer sk_test_1 x\r\n",
        "Authorization: Bearer sk_test_1\r\nAuthorization: Bearer sk_test_1\r\n",
    ] {
        assert_eq!(with(headers, "/v1/jwks"), error(401, "authorization_header_format_invalid"), "{headers}");
    }
    assert_eq!(with("Authorization: Bearer sk_test_2\r\n", "/v1/jwks"), error(401, "clerk_key_invalid"));
    let secret = "Authorization: Bearer sk_test_1\r\n";
    let versioned = |version: &str| format!("{secret}Clerk-API-Version: {version}\r\n");
    assert_eq!(with(&versioned("2020-01-01"), "/v1/jwks"), error(400, "api_version_invalid"));
    assert_eq!(
        with(&versioned("2026-05-12"), "/v1/jwks?__clerk_api_version=2026-05-12"),
        error(400, "api_version_invalid")
    );
    assert_eq!(with(secret, "/v1/jwks?__clerk_api_version=2026-05-12").0, 200);
    assert_eq!(with(secret, "/v1/nothing"), error(404, "resource_not_found"));
    assert_eq!(send(sim.addr(), "POST", "/v1/jwks", secret, "").status, 405);
    assert_eq!(send(sim.addr(), "POST", "/v1/jwks\u{1}", secret, "").status, 400);
}

#[test]
fn log_has_violations_and_no_secrets() {
    let sim = Sim::start();
    let headers = "Authorization: Bearer sk_test_secret\r\nCookie: a=b\r\n\
                   Clerk-API-Version: 2026-05-12\r\nClerk-API-Version: 2026-05-12\r\n";
    send(sim.addr(), "GET", "/v1/users/../jwks", headers, "");
    let log = sim.log();
    assert_eq!(log.len(), 1);
    for violation in ["cookie sent", "version header more than once", "dot segment in the path", "user-agent missing"] {
        assert!(log[0].violations.iter().any(|found| found == violation), "{violation}: {:?}", log[0].violations);
    }
    assert_eq!(log[0].header("authorization"), Some("Bearer … (well-formed)"));
    assert_eq!(log[0].header("cookie"), Some("…"));
    assert!(!format!("{log:?}").contains("sk_test_secret"));
    assert_eq!(log[0].status, Some(404));
    sim.reset_counts();
    assert!(sim.log().is_empty() && sim.violations().is_empty());
    send(sim.addr(), "GET", "/v1/jwks", "Authorization: Bearer x\r\nUser-Agent: t\r\n", "");
    assert_eq!(sim.violations(), ["version header missing"]);
}
