//! Machine tokens: API keys, OAuth access tokens and M2M tokens, opaque and as JWT.

use clerk_auth::Config;
use clerk_auth::config::Secret;
use clerk_auth::identity::Attribute;
use clerk_auth::jwt::AuthorizationParams;
use clerk_auth::token::TokenKind;
use clerk_sim::{Fault, Kind, TokenSpec};
use serde_json::json;

use super::common::{NOW_S, Rig, bearer, cookies, endings};

const API_KEY: &str = "ak_secret/with+odd=";
const OAUTH: &str = "oat_opaque";
const M2M: &str = "mt_opaque";

fn rig(tune: impl FnOnce(&mut Config)) -> Rig {
    let rig = Rig::new(|config| {
        config.accepts_token = TokenKind::ALL.to_vec();
        tune(config);
    });
    rig.sim.update(|state| {
        state.api_keys.insert(API_KEY.into(), json!({"id": "ak_1", "subject": "org_1", "scopes": ["read"]}));
        let oauth = json!({"id": "oat_1", "subject": "user_1", "client_id": "client_1", "scopes": ["a", "b"]});
        state.oauth_tokens.insert(OAUTH.into(), oauth);
        let m2m = json!({"id": "mt_1", "subject": "mch_caller", "scopes": ["mch_here"], "claims": {"x": 1}});
        state.m2m_tokens.insert(M2M.into(), m2m);
    });
    rig
}

fn change(rig: &Rig, member: &str, value: serde_json::Value) {
    rig.sim.update(|state| {
        for token in [&mut state.api_keys[API_KEY], &mut state.oauth_tokens[OAUTH], &mut state.m2m_tokens[M2M]] {
            token[member] = value.clone();
        }
    });
}

#[test]
fn opaque_tokens_of_each_kind_are_verified_by_clerk() {
    let rig = rig(|_| {});
    for (token, kind, subject, id, scopes) in [
        (API_KEY, TokenKind::ApiKey, "org_1", "ak_1", "read"),
        (OAUTH, TokenKind::OauthToken, "user_1", "oat_1", "a b"),
        (M2M, TokenKind::M2mToken, "mch_caller", "mt_1", "mch_here"),
    ] {
        let answer = bearer(&rig.client, token);
        let identity = answer.identity().unwrap();
        assert_eq!((identity.kind(), identity.subject()), (kind, subject));
        assert_eq!((identity.get(Attribute::TokenId), identity.get(Attribute::Scopes)), (Some(id), Some(scopes)));
        assert_eq!(rig.diary.take(), ["cache_miss", "auth_success verified"]);
    }
    assert_eq!(bearer(&rig.client, M2M).identity().unwrap().get(Attribute::Claims), Some(r#"{"x":1}"#));
    assert!(rig.sim.violations().is_empty(), "{:?}", rig.sim.violations());
}

#[test]
fn machine_jwts_are_verified_here() {
    let rig = rig(|_| {});
    for (kind, subject, expected) in [
        (Kind::OauthJwt, "user_1", TokenKind::OauthToken),
        (Kind::M2mJwt, "mch_1", TokenKind::M2mToken),
        (Kind::SessionV1, "user_1", TokenKind::SessionToken),
        (Kind::SessionV2, "user_1", TokenKind::SessionToken),
    ] {
        let answer = bearer(&rig.client, &rig.mint(&TokenSpec::new(kind, subject)));
        assert_eq!(answer.identity().map(|i| i.kind()), Some(expected), "{kind:?}");
    }
    assert_eq!(rig.calls(), 1);
    assert_eq!(rig.ask(&rig.mint(&TokenSpec::new(Kind::Template, "user_1"))), "out token-invalid");
}

#[test]
fn u2_a_machine_token_answers_no_question_about_a_users_rights() {
    let rig = rig(|_| {});
    let asked = AuthorizationParams { role: Some("org:admin"), ..AuthorizationParams::default() };
    for (kind, subject) in [(Kind::SessionV1, "user_1"), (Kind::OauthJwt, "user_1"), (Kind::M2mJwt, "mch_1")] {
        let spec = TokenSpec::new(kind, subject).claim("org_id", json!("org_1")).claim("org_role", json!("org:admin"));
        let answer = bearer(&rig.client, &rig.mint(&spec));
        assert_eq!(answer.identity().unwrap().has(&asked), kind == Kind::SessionV1, "{kind:?}");
    }
}

#[test]
fn u2_req07_only_accepted_kinds_are_let_in_and_clerk_is_not_asked_about_others() {
    let tokens = |rig: &Rig| {
        [
            (TokenKind::SessionToken, rig.token("user_1")),
            (TokenKind::ApiKey, API_KEY.into()),
            (TokenKind::OauthToken, OAUTH.into()),
            (TokenKind::OauthToken, rig.mint(&TokenSpec::new(Kind::OauthJwt, "user_1"))),
            (TokenKind::M2mToken, M2M.into()),
            (TokenKind::M2mToken, rig.mint(&TokenSpec::new(Kind::M2mJwt, "mch_1"))),
        ]
    };
    for accepted in TokenKind::ALL.iter().copied() {
        let rig = rig(|config| {
            config.accepts_token = vec![accepted];
            config.machine_cache_ttl_s = 60;
        });
        for (kind, token) in tokens(&rig) {
            let calls = rig.calls();
            for source in ["verified", "cache"] {
                let expected =
                    if kind == accepted { format!("in {source}") } else { "out token-type-not-supported".into() };
                assert_eq!(rig.ask(&token), expected, "{kind:?} where {accepted:?} is accepted");
            }
            assert!(kind == accepted || rig.calls() == calls);
        }
    }
}

#[test]
fn machine_tokens_never_come_from_cookies() {
    let rig = rig(|config| config.machine_cache_ttl_s = 60);
    for token in [API_KEY.to_owned(), OAUTH.into(), M2M.into(), rig.mint(&TokenSpec::new(Kind::M2mJwt, "mch_1"))] {
        // Known from the header, so that the cache could give it away.
        assert_eq!(rig.ask(&token), "in verified");
        assert_eq!(cookies(&rig.client, &[&format!("__session={token}")]), "out token-type-not-supported");
        assert_eq!(rig.ask(&token), "in cache");
    }
}

#[test]
fn o1_a_token_is_good_only_if_every_flag_says_so() {
    let rig = rig(|_| {});
    for (member, bad, good) in [
        ("revoked", json!(true), json!(false)),
        ("expired", json!(true), json!(false)),
        ("active", json!(false), json!(true)),
        ("expiration", json!(NOW_S * 1000), json!(NOW_S * 1000 + 1)),
    ] {
        for (value, outcome) in [(bad, "out token-invalid"), (good, "in verified")] {
            change(&rig, member, value.clone());
            for token in [API_KEY, OAUTH, M2M] {
                assert_eq!(rig.ask(token), outcome, "{member} {value} {token}");
            }
        }
    }
    for (member, odd, good) in [
        ("revoked", json!("no"), json!(false)),
        ("expired", json!(null), json!(false)),
        ("object", json!("user"), json!(null)),
        ("subject", json!("../users"), json!(null)),
    ] {
        let before = rig.sim.state();
        change(&rig, member, odd.clone());
        assert_eq!(rig.ask(API_KEY), "unavailable server-error", "{member} {odd}");
        rig.sim.update(|state| *state = before);
        assert!(!good.is_null() || rig.ask(API_KEY) == "in verified");
    }
}

#[test]
fn unknown_tokens_are_refused_and_not_remembered() {
    let rig = rig(|config| config.machine_cache_ttl_s = 60);
    for token in ["ak_unknown", "oat_unknown", "mt_unknown"] {
        assert_eq!([rig.ask(token), rig.ask(token)], ["out token-invalid", "out token-invalid"]);
    }
    assert_eq!(rig.calls(), 6);
    assert_eq!(endings(&rig.diary.take()), 6);
}

#[test]
fn an_opaque_answer_is_remembered_only_if_asked_for_and_never_past_its_end() {
    let never = rig(|_| {});
    assert_eq!([never.ask(API_KEY), never.ask(API_KEY)], ["in verified", "in verified"]);
    let rig = rig(|config| config.machine_cache_ttl_s = 60);
    change(&rig, "expiration", json!((NOW_S + 70) * 1000));
    assert_eq!([rig.ask(API_KEY), rig.ask(API_KEY)], ["in verified", "in cache"]);
    change(&rig, "revoked", json!(true));
    rig.time.pass_ms(59_999);
    assert_eq!(rig.ask(API_KEY), "in cache");
    rig.time.pass_ms(1);
    assert_eq!(rig.ask(API_KEY), "out token-invalid");
    change(&rig, "revoked", json!(false));
    assert_eq!(rig.ask(API_KEY), "in verified");
    rig.time.pass_ms(9_999);
    assert_eq!(rig.ask(API_KEY), "in cache");
    rig.time.pass_ms(1);
    assert_eq!(rig.ask(API_KEY), "out token-invalid");
}

#[test]
fn an_m2m_token_must_be_meant_for_this_machine_if_one_is_named() {
    for (machine, outcome) in [("mch_here", "in verified"), ("mch_elsewhere", "out token-invalid-audience")] {
        let rig = rig(|config| config.expected_machine_id = Some(machine.into()));
        let mut jwt = TokenSpec::new(Kind::M2mJwt, "mch_1");
        jwt.scopes = vec!["mch_other".into(), "mch_here".into()];
        assert_eq!([rig.ask(M2M), rig.ask(&rig.mint(&jwt))], [outcome, outcome]);
        assert_eq!([rig.ask(API_KEY), rig.ask(OAUTH)], ["in verified", "in verified"]);
    }
}

#[test]
fn the_machine_secret_is_shown_for_m2m_tokens_only() {
    let rig = rig(|config| config.machine_secret_key = Some(Secret::new("ak_machine_secret")));
    rig.sim.update(|state| {
        state.secret_keys = vec![super::common::SECRET.into()];
        state.machine_secrets.insert("ak_machine_secret".into(), json!("mch_here"));
    });
    assert_eq!([M2M, OAUTH, API_KEY].map(|token| rig.ask(token)), ["in verified", "in verified", "in verified"]);
    rig.sim.update(|state| state.machine_secrets.clear());
    assert_eq!([M2M, OAUTH].map(|token| rig.ask(token)), ["unavailable secret-key-invalid", "in verified"]);
}

#[test]
fn n5_an_outage_is_no_verdict_on_a_machine_token() {
    for (fault, outcome) in [
        (Fault::on("*").status(503), "unavailable server-error"),
        (Fault::on("*").status(401), "unavailable secret-key-invalid"),
        (Fault::on("*").body(json!({"$text": "<html>"})), "unavailable server-error"),
        (Fault::on("*").reset(), "unavailable server-error"),
        // What Clerk says to a token that cannot be one.
        (Fault::on("*").status(400), "out token-invalid"),
        (Fault::on("*").status(404), "out token-invalid"),
    ] {
        let rig = rig(|_| {});
        rig.sim.fault(fault.clone());
        assert_eq!(rig.ask(API_KEY), outcome, "{fault:?}");
        rig.sim.clear_faults();
        assert_eq!(rig.ask(API_KEY), "in verified");
    }
}

#[test]
fn each_verify_endpoint_has_a_circuit_of_its_own() {
    let rig = rig(|_| {});
    rig.sim.fault(Fault::on("/api_keys/verify").status(429).header("Retry-After", "30"));
    assert_eq!(rig.ask(API_KEY), "unavailable server-error");
    assert_eq!([rig.ask(OAUTH), rig.ask(M2M)], ["in verified", "in verified"]);
}

#[test]
fn many_with_one_opaque_token_ask_clerk_once() {
    let rig = rig(|_| {});
    rig.sim.fault(Fault::on("/api_keys/verify").delay_ms(300));
    std::thread::scope(|scope| {
        let asks: Vec<_> = (0..16).map(|_| scope.spawn(|| rig.ask(API_KEY))).collect();
        asks.into_iter().for_each(|ask| assert_eq!(ask.join().unwrap(), "in verified"));
    });
    assert_eq!(rig.sim.requests("/api_keys/verify"), 1);
}

#[test]
fn an_answer_about_the_moment_says_nothing_against_a_token() {
    for (status, outcome) in [
        (400, "out token-invalid"),
        (404, "out token-invalid"),
        (410, "out token-invalid"),
        (422, "out token-invalid"),
        (408, "unavailable server-error"),
        (421, "unavailable server-error"),
        (425, "unavailable server-error"),
        (499, "unavailable server-error"),
    ] {
        let rig = rig(|config| config.timeout_ms = 1000);
        rig.sim.fault(Fault::on("*").status(status));
        assert_eq!(rig.ask(OAUTH), outcome, "{status}");
    }
}
