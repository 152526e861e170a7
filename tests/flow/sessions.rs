//! Session checks: `session_check_ttl_s`.

use clerk_auth::TokenKind;
use clerk_auth::internals::Config;
use clerk_sim::{Fault, Kind, TokenSpec};
use serde_json::json;

use super::common::{Fixture, inline};

fn fixture(tune: impl FnOnce(&mut Config)) -> Fixture {
    let fixture = Fixture::new(|config| {
        config.session_check_ttl_s = 10;
        tune(config);
    });
    fixture.sim.put_session(json!({"id": "sess_1", "user_id": "user_1"}));
    fixture
}

fn revoke(fixture: &Fixture) {
    fixture.sim.put_session(json!({"id": "sess_1", "user_id": "user_1", "status": "revoked"}));
}

#[test]
fn session_check_is_cached_for_its_ttl() {
    let fixture = fixture(|_| {});
    for _ in 0..3 {
        assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    }
    assert_eq!(fixture.sim.requests("/sessions/sess_1"), 1);
    fixture.time.advance_s(10);
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    assert_eq!(fixture.sim.requests("/sessions/sess_1"), 2);
}

#[test]
fn revoked_session_rejects_cached_token_after_check_ttl() {
    let fixture = fixture(|_| {});
    let token = fixture.token("user_1");
    assert_eq!([fixture.ask(&token), fixture.ask(&token)], ["in verified", "in cache"]);
    revoke(&fixture);
    fixture.time.advance_ms(9_999);
    assert_eq!([fixture.ask(&token), fixture.authenticate_new("user_1")], ["in cache", "in verified"]);
    fixture.time.advance_ms(1);
    assert_eq!(inline(&fixture.client, &token), None);
    assert_eq!(
        [fixture.ask(&token), fixture.authenticate_new("user_1")],
        ["out session-revoked", "out session-revoked"]
    );
    assert_eq!(inline(&fixture.client, &token).unwrap(), "out session-revoked");
}

#[test]
fn invalidated_session_is_checked_at_once() {
    let fixture = fixture(|_| {});
    let token = fixture.token("user_1");
    assert_eq!(fixture.ask(&token), "in verified");
    revoke(&fixture);
    fixture.client.invalidate_session("sess_1");
    assert_eq!(fixture.ask(&token), "out session-revoked");
}

#[test]
fn session_state_other_than_active_is_rejected() {
    for (status, accept_pending, outcome) in [
        ("active", false, "in verified"),
        ("pending", true, "in verified"),
        ("pending", false, "out session-revoked"),
        ("ended", true, "out session-revoked"),
        ("removed", true, "out session-revoked"),
        ("replaced", true, "out session-revoked"),
        ("abandoned", true, "out session-revoked"),
        ("expired", true, "out session-revoked"),
    ] {
        let fixture = fixture(|config| config.treat_pending_as_signed_out = !accept_pending);
        fixture.sim.put_session(json!({"id": "sess_1", "status": status}));
        assert_eq!(fixture.authenticate_new("user_1"), outcome, "{status}");
    }
    let fixture = fixture(|_| {});
    assert_eq!(fixture.authenticate_new("user_2"), "out session-revoked", "a session that Clerk does not know");
}

#[test]
fn token_without_valid_sid_is_rejected_by_session_check() {
    let fixture = fixture(|_| {});
    for sid in [json!(null), json!(""), json!("sess_"), json!("../users/user_1"), json!("sess_a/b")] {
        let token = fixture.mint(&TokenSpec::session("user_1").claim("sid", sid.clone()));
        assert_eq!(fixture.ask(&token), "out session-revoked", "{sid}");
    }
    assert_eq!(fixture.sim.requests("/sessions/*"), 0);
}

#[test]
fn session_check_ignores_machine_tokens() {
    let fixture = fixture(|config| config.accepts_token = TokenKind::ALL.to_vec());
    for spec in [TokenSpec::new(Kind::M2mJwt, "mch_1"), TokenSpec::new(Kind::OauthJwt, "user_1")] {
        assert_eq!(fixture.ask(&fixture.mint(&spec)), "in verified", "{:?}", spec.kind);
    }
    assert_eq!(fixture.sim.requests("/sessions/*"), 0);
}

/// Threat N5.
#[test]
fn session_check_outage_returns_unavailable() {
    for (fault, outcome) in [
        (Fault::on("/sessions/*").status(500), "unavailable server-error"),
        (Fault::on("/sessions/*").status(401), "unavailable secret-key-invalid"),
        (Fault::on("/sessions/*").body(json!({"id": "sess_2", "status": "active"})), "unavailable server-error"),
        (Fault::on("/sessions/*").body(json!({"$text": "<html>"})), "unavailable server-error"),
        (Fault::on("/sessions/*").body(json!({"id": "sess_1"})), "out session-revoked"),
    ] {
        let fixture = fixture(|_| {});
        fixture.sim.fault(fault.clone());
        assert_eq!(fixture.authenticate_new("user_1"), outcome, "{fault:?}");
        fixture.sim.clear_faults();
        fixture.client.invalidate_session("sess_1");
        assert_eq!(fixture.authenticate_new("user_1"), "in verified", "{fault:?}");
    }
}

#[test]
fn concurrent_session_checks_share_one_call() {
    let fixture = fixture(|_| {});
    fixture.client.warm_up().unwrap();
    fixture.sim.fault(Fault::on("/sessions/*").delay_ms(300));
    std::thread::scope(|scope| {
        let asks: Vec<_> = (0..16).map(|_| scope.spawn(|| fixture.authenticate_new("user_1"))).collect();
        asks.into_iter().for_each(|ask| assert_eq!(ask.join().unwrap(), "in verified"));
    });
    assert_eq!(fixture.sim.requests("/sessions/sess_1"), 1);
}

/// Threat U6.
#[test]
fn token_verified_many_times_stays_cached() {
    let fixture = fixture(|config| {
        config.session_check_ttl_s = 1;
        config.cache_ttl_s = 3600;
    });
    let token = fixture.mint(&TokenSpec::session("user_1").exp_in(3600));
    for round in 0..100 {
        assert_eq!([fixture.ask(&token), fixture.ask(&token)], ["in verified", "in cache"], "{round}");
        fixture.time.advance_s(1);
    }
}
