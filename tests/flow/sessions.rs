//! Asking Clerk whether a session still stands.

use clerk_auth::Config;
use clerk_auth::token::TokenKind;
use clerk_sim::{Fault, Kind, TokenSpec};
use serde_json::json;

use super::common::{Rig, inline};

fn rig(tune: impl FnOnce(&mut Config)) -> Rig {
    let rig = Rig::new(|config| {
        config.session_check_ttl_s = 10;
        tune(config);
    });
    rig.sim.put_session(json!({"id": "sess_1", "user_id": "user_1"}));
    rig
}

fn revoke(rig: &Rig) {
    rig.sim.put_session(json!({"id": "sess_1", "user_id": "user_1", "status": "revoked"}));
}

#[test]
fn a_session_is_asked_for_once_in_its_lifetime() {
    let rig = rig(|_| {});
    for _ in 0..3 {
        assert_eq!(rig.ask_new("user_1"), "in verified");
    }
    assert_eq!(rig.sim.requests("/sessions/sess_1"), 1);
    rig.time.pass_s(10);
    assert_eq!(rig.ask_new("user_1"), "in verified");
    assert_eq!(rig.sim.requests("/sessions/sess_1"), 2);
}

#[test]
fn a_revoked_session_is_out_after_the_lifetime_of_the_answer_even_for_a_cached_token() {
    let rig = rig(|_| {});
    let token = rig.token("user_1");
    assert_eq!([rig.ask(&token), rig.ask(&token)], ["in verified", "in cache"]);
    revoke(&rig);
    rig.time.pass_ms(9_999);
    assert_eq!([rig.ask(&token), rig.ask_new("user_1")], ["in cache", "in verified"]);
    rig.time.pass_ms(1);
    assert_eq!(inline(&rig.client, &token), None);
    assert_eq!([rig.ask(&token), rig.ask_new("user_1")], ["out session-revoked", "out session-revoked"]);
    assert_eq!(inline(&rig.client, &token).unwrap(), "out session-revoked");
}

#[test]
fn an_invalidated_session_is_asked_for_at_once() {
    let rig = rig(|_| {});
    let token = rig.token("user_1");
    assert_eq!(rig.ask(&token), "in verified");
    revoke(&rig);
    rig.client.invalidate_session("sess_1");
    assert_eq!(rig.ask(&token), "out session-revoked");
}

#[test]
fn every_state_but_active_is_out() {
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
        let rig = rig(|config| config.treat_pending_as_signed_out = !accept_pending);
        rig.sim.put_session(json!({"id": "sess_1", "status": status}));
        assert_eq!(rig.ask_new("user_1"), outcome, "{status}");
    }
    let rig = rig(|_| {});
    assert_eq!(rig.ask_new("user_2"), "out session-revoked", "a session that Clerk does not know");
}

#[test]
fn a_token_without_a_checkable_session_is_out() {
    let rig = rig(|_| {});
    for sid in [json!(null), json!(""), json!("sess_"), json!("../users/user_1"), json!("sess_a/b")] {
        let token = rig.mint(&TokenSpec::session("user_1").claim("sid", sid.clone()));
        assert_eq!(rig.ask(&token), "out session-revoked", "{sid}");
    }
    assert_eq!(rig.sim.requests("/sessions/*"), 0);
}

#[test]
fn machine_tokens_have_no_session_to_check() {
    let rig = rig(|config| config.accepts_token = TokenKind::ALL.to_vec());
    for spec in [TokenSpec::new(Kind::M2mJwt, "mch_1"), TokenSpec::new(Kind::OauthJwt, "user_1")] {
        assert_eq!(rig.ask(&rig.mint(&spec)), "in verified", "{:?}", spec.kind);
    }
    assert_eq!(rig.sim.requests("/sessions/*"), 0);
}

#[test]
fn n5_an_outage_is_no_verdict_on_a_session() {
    for (fault, outcome) in [
        (Fault::on("/sessions/*").status(500), "unavailable server-error"),
        (Fault::on("/sessions/*").status(401), "unavailable secret-key-invalid"),
        (Fault::on("/sessions/*").body(json!({"id": "sess_2", "status": "active"})), "unavailable server-error"),
        (Fault::on("/sessions/*").body(json!({"$text": "<html>"})), "unavailable server-error"),
        (Fault::on("/sessions/*").body(json!({"id": "sess_1"})), "out session-revoked"),
    ] {
        let rig = rig(|_| {});
        rig.sim.fault(fault.clone());
        assert_eq!(rig.ask_new("user_1"), outcome, "{fault:?}");
        rig.sim.clear_faults();
        rig.client.invalidate_session("sess_1");
        assert_eq!(rig.ask_new("user_1"), "in verified", "{fault:?}");
    }
}

#[test]
fn many_with_one_session_ask_clerk_once() {
    let rig = rig(|_| {});
    rig.client.warm_up().unwrap();
    rig.sim.fault(Fault::on("/sessions/*").delay_ms(300));
    std::thread::scope(|scope| {
        let asks: Vec<_> = (0..16).map(|_| scope.spawn(|| rig.ask_new("user_1"))).collect();
        asks.into_iter().for_each(|ask| assert_eq!(ask.join().unwrap(), "in verified"));
    });
    assert_eq!(rig.sim.requests("/sessions/sess_1"), 1);
}

#[test]
fn u6_a_token_that_is_verified_anew_many_times_is_still_remembered() {
    let rig = rig(|config| {
        config.session_check_ttl_s = 1;
        config.cache_ttl_s = 3600;
    });
    let token = rig.mint(&TokenSpec::session("user_1").exp_in(3600));
    for round in 0..100 {
        assert_eq!([rig.ask(&token), rig.ask(&token)], ["in verified", "in cache"], "{round}");
        rig.time.pass_s(1);
    }
}
