//! What one process invalidates or revokes takes effect on what another one has cached.

use std::time::Duration;

use clerk_auth::{Client, UserMode};
use clerk_sim::TokenSpec;
use clerk_sim::webhook::WebhookSpec;
use serde_json::{Value, json};

use super::shared::{Fleet, ask, deliver};

/// Sends an event to a process.
fn event(fleet: &Fleet, client: &Client, kind: &str, data: Value) {
    let timestamp = Some(fleet.time.now_s());
    let spec = WebhookSpec { timestamp, data: Some(data), ..WebhookSpec::new(kind, "") };
    assert_eq!(deliver(client, &fleet.sim.webhook(&spec).unwrap()), clerk_auth::WebhookOutcome::Applied, "{kind}");
}

/// Two processes that check sessions once an hour.
fn checking_sessions(fleet: &Fleet) -> [Client; 2] {
    [0, 1].map(|_| {
        fleet.client(|config| {
            config.user_mode = Some(UserMode::Claims);
            config.session_check_ttl_s = 3600;
        })
    })
}

#[test]
fn change_of_each_kind_empties_the_cache_of_a_process_that_polls() {
    type Act = fn(&Fleet, &Client, &str);
    let acts: [(&str, Act); 8] = [
        ("membership", |fleet, a, _| {
            let data = json!({
                "id": "orgmem_1", "organization": {"id": "org_1"}, "public_user_data": {"user_id": "user_1"},
            });
            event(fleet, a, "organizationMembership.updated", data);
        }),
        ("organization", |fleet, a, _| event(fleet, a, "organization.deleted", json!({"id": "org_1"}))),
        ("roles", |fleet, a, _| event(fleet, a, "role.updated", json!({"id": "role_1"}))),
        ("pending session", |fleet, a, _| event(fleet, a, "session.pending", json!({"id": "sess_1"}))),
        ("token", |_, a, token| a.invalidate_token(token)),
        ("user", |_, a, _| a.invalidate_user("user_1")),
        ("session", |_, a, _| a.invalidate_session("sess_1")),
        ("everything", |_, a, _| a.invalidate_all()),
    ];
    for (what, act) in acts {
        let fleet = Fleet::new();
        let [a, b] = [fleet.claims_client(), fleet.claims_client()];
        let org = clerk_sim::Org { id: "org_1".into(), ..clerk_sim::Org::default() };
        let token = fleet.sim.mint(&TokenSpec::session("user_1").sid("sess_1").org(org), fleet.time.now_s());
        let _ = b.poll(Duration::ZERO);
        assert_eq!([ask(&b, &token), ask(&b, &token)], ["in verified", "in cache"], "{what}");
        act(&fleet, &a, &token);
        assert!(b.poll(Duration::from_secs(5)).unwrap() > 0, "{what}");
        assert_eq!(b.stats().cached_tokens, 0, "{what}");
        assert_eq!(ask(&b, &token), "in verified", "{what}");
    }
}

#[test]
fn session_that_became_pending_elsewhere_is_checked_again() {
    let fleet = Fleet::new();
    let [a, b] = checking_sessions(&fleet);
    let _ = b.poll(Duration::ZERO);
    let put = |status: &str| fleet.sim.put_session(json!({"id": "sess_1", "user_id": "user_1", "status": status}));
    put("active");
    let token = fleet.sim.mint(&TokenSpec::session("user_1").sid("sess_1"), fleet.time.now_s());
    assert_eq!(ask(&b, &token), "in verified");
    put("ended");
    event(&fleet, &a, "session.pending", json!({"id": "sess_1"}));
    assert!(b.poll(Duration::from_secs(5)).unwrap() > 0);
    assert_eq!(ask(&b, &token), "out session-revoked");
}

#[test]
fn invalidation_of_everything_checks_sessions_again() {
    for is_elsewhere in [false, true] {
        let fleet = Fleet::new();
        let [a, b] = checking_sessions(&fleet);
        let _ = b.poll(Duration::ZERO);
        let put = |status: &str| fleet.sim.put_session(json!({"id": "sess_1", "user_id": "user_1", "status": status}));
        put("active");
        let token = fleet.sim.mint(&TokenSpec::session("user_1").sid("sess_1"), fleet.time.now_s());
        assert_eq!([ask(&b, &token), ask(&b, &token)], ["in verified", "in cache"]);
        put("revoked");
        if is_elsewhere {
            a.invalidate_all();
            assert!(b.poll(Duration::from_secs(5)).unwrap() > 0);
        } else {
            b.invalidate_all();
        }
        assert_eq!(ask(&b, &token), "out session-revoked", "{is_elsewhere}");
    }
}

#[test]
fn revocation_found_at_a_look_up_ends_the_cached_results_of_the_user() {
    let fleet = Fleet::new();
    let [a, b] = [fleet.claims_client(), fleet.claims_client()];
    let known = fleet.token("user_1");
    assert_eq!([ask(&b, &known), ask(&b, &known)], ["in verified", "in cache"]);
    assert!(a.revoke_user("user_1"));
    // The engine is asked about a token that is not cached.
    fleet.time.advance_s(1);
    assert_eq!(ask(&b, &fleet.token("user_1")), "out session-revoked");
    assert_eq!(ask(&b, &known), "out session-revoked");
}

#[test]
fn import_of_an_eviction_ends_cached_results_issued_before_it() {
    for table in ["sessions", "users"] {
        let fleet = Fleet::new();
        let client = fleet.claims_client();
        let token = fleet.token("user_1");
        assert_eq!([ask(&client, &token), ask(&client, &token)], ["in verified", "in cache"]);
        let mut export = json!({
            "version": 1,
            "sessions": {"evicted_at_ms": null, "entries": []}, "users": {"evicted_at_ms": null, "entries": []},
        });
        export[table]["evicted_at_ms"] = json!(fleet.time.now_s() * 1000 + 10_000);
        fleet.time.advance_s(20);
        assert!(client.import_revocations(&export.to_string()));
        assert_eq!(ask(&client, &token), "out session-revoked", "{table}");
        assert_eq!(ask(&client, &fleet.token("user_1")), "in verified", "{table}");
    }
}
