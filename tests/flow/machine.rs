//! Machine tokens: API keys, OAuth access tokens and M2M tokens, opaque and as JWT.

use clerk_auth::internals::Config;
use clerk_auth::{Attribute, AuthorizationParams, Identity, Secret, TokenKind};
use clerk_sim::{Fault, Kind, TokenSpec};
use serde_json::json;

use super::common::{Fixture, NOW_S, auth_events, bearer, cookies};

const API_KEY: &str = "ak_secret/with+odd=";
const OAUTH: &str = "oat_opaque";
const M2M: &str = "mt_opaque";

fn fixture(tune: impl FnOnce(&mut Config)) -> Fixture {
    let fixture = Fixture::new(|config| {
        config.accepts_token = TokenKind::ALL.to_vec();
        tune(config);
    });
    fixture.sim.update(|state| {
        state.api_keys.insert(API_KEY.into(), json!({"id": "ak_1", "subject": "org_1", "scopes": ["read"]}));
        let oauth = json!({"id": "oat_1", "subject": "user_1", "client_id": "client_1", "scopes": ["a", "b"]});
        state.oauth_tokens.insert(OAUTH.into(), oauth);
        let m2m = json!({"id": "mt_1", "subject": "mch_caller", "scopes": ["mch_here"], "claims": {"x": 1}});
        state.m2m_tokens.insert(M2M.into(), m2m);
    });
    fixture
}

fn change(fixture: &Fixture, member: &str, value: serde_json::Value) {
    fixture.sim.update(|state| {
        for token in [&mut state.api_keys[API_KEY], &mut state.oauth_tokens[OAUTH], &mut state.m2m_tokens[M2M]] {
            token[member] = value.clone();
        }
    });
}

#[test]
fn opaque_token_of_each_type_is_verified_by_clerk() {
    let fixture = fixture(|_| {});
    for (token, kind, subject, id, scopes) in [
        (API_KEY, TokenKind::ApiKey, "org_1", "ak_1", "read"),
        (OAUTH, TokenKind::OauthToken, "user_1", "oat_1", "a b"),
        (M2M, TokenKind::M2mToken, "mch_caller", "mt_1", "mch_here"),
    ] {
        let answer = bearer(&fixture.client, token);
        let identity = answer.identity().unwrap();
        assert_eq!((identity.kind(), identity.subject()), (kind, subject));
        assert_eq!((identity.get(Attribute::TokenId), identity.get(Attribute::Scopes)), (Some(id), Some(scopes)));
        assert_eq!(fixture.event_log.take(), ["cache_miss", "auth_success verified"]);
    }
    assert_eq!(bearer(&fixture.client, M2M).identity().unwrap().get(Attribute::Claims), Some(r#"{"x":1}"#));
    assert!(fixture.sim.violations().is_empty(), "{:?}", fixture.sim.violations());
}

#[test]
fn machine_jwt_is_verified_locally() {
    let fixture = fixture(|_| {});
    for (kind, subject, expected) in [
        (Kind::OauthJwt, "user_1", TokenKind::OauthToken),
        (Kind::M2mJwt, "mch_1", TokenKind::M2mToken),
        (Kind::SessionV1, "user_1", TokenKind::SessionToken),
        (Kind::SessionV2, "user_1", TokenKind::SessionToken),
    ] {
        let answer = bearer(&fixture.client, &fixture.mint(&TokenSpec::new(kind, subject)));
        assert_eq!(answer.identity().map(Identity::kind), Some(expected), "{kind:?}");
    }
    assert_eq!(fixture.calls(), 1);
    assert_eq!(fixture.ask(&fixture.mint(&TokenSpec::new(Kind::Template, "user_1"))), "out token-type-not-supported");
}

/// Threat U2.
#[test]
fn machine_token_has_no_user_permissions() {
    let fixture = fixture(|_| {});
    let asked = AuthorizationParams { role: Some("org:admin"), ..AuthorizationParams::default() };
    for (kind, subject) in [(Kind::SessionV1, "user_1"), (Kind::OauthJwt, "user_1"), (Kind::M2mJwt, "mch_1")] {
        let spec = TokenSpec::new(kind, subject).claim("org_id", json!("org_1")).claim("org_role", json!("org:admin"));
        let answer = bearer(&fixture.client, &fixture.mint(&spec));
        assert_eq!(answer.identity().unwrap().has(&asked), kind == Kind::SessionV1, "{kind:?}");
    }
}

/// Threat U2; guarantee 7.
#[test]
fn token_type_not_accepted_is_rejected_without_clerk() {
    let tokens = |fixture: &Fixture| {
        [
            (TokenKind::SessionToken, fixture.token("user_1")),
            (TokenKind::ApiKey, API_KEY.into()),
            (TokenKind::OauthToken, OAUTH.into()),
            (TokenKind::OauthToken, fixture.mint(&TokenSpec::new(Kind::OauthJwt, "user_1"))),
            (TokenKind::M2mToken, M2M.into()),
            (TokenKind::M2mToken, fixture.mint(&TokenSpec::new(Kind::M2mJwt, "mch_1"))),
        ]
    };
    for accepted in TokenKind::ALL.iter().copied() {
        let fixture = fixture(|config| {
            config.accepts_token = vec![accepted];
            config.machine_cache_ttl_s = 60;
        });
        for (kind, token) in tokens(&fixture) {
            let calls = fixture.calls();
            for source in ["verified", "cache"] {
                let expected =
                    if kind == accepted { format!("in {source}") } else { "out token-type-not-supported".into() };
                assert_eq!(fixture.ask(&token), expected, "{kind:?} where {accepted:?} is accepted");
            }
            assert!(kind == accepted || fixture.calls() == calls);
        }
    }
}

#[test]
fn machine_token_in_cookie_is_rejected() {
    let fixture = fixture(|config| config.machine_cache_ttl_s = 60);
    for token in [API_KEY.to_owned(), OAUTH.into(), M2M.into(), fixture.mint(&TokenSpec::new(Kind::M2mJwt, "mch_1"))] {
        // Sent in a header before, so that it is in the cache.
        assert_eq!(fixture.ask(&token), "in verified");
        assert_eq!(cookies(&fixture.client, &[&format!("__session={token}")]), "out token-type-not-supported");
        assert_eq!(fixture.ask(&token), "in cache");
    }
}

/// Threat O1.
#[test]
fn machine_token_needs_every_flag() {
    let fixture = fixture(|_| {});
    for (member, bad, good) in [
        ("revoked", json!(true), json!(false)),
        ("expired", json!(true), json!(false)),
        ("active", json!(false), json!(true)),
        ("expiration", json!(NOW_S * 1000), json!(NOW_S * 1000 + 1)),
    ] {
        for (value, outcome) in [(bad, "out token-invalid"), (good, "in verified")] {
            change(&fixture, member, value.clone());
            for token in [API_KEY, OAUTH, M2M] {
                // The refusal would be cached for a minute.
                fixture.client.invalidate_token(token);
                assert_eq!(fixture.ask(token), outcome, "{member} {value} {token}");
            }
        }
    }
    for (member, odd, good) in [
        ("revoked", json!("no"), json!(false)),
        ("expired", json!(null), json!(false)),
        ("object", json!("user"), json!(null)),
        ("subject", json!("../users"), json!(null)),
    ] {
        let before = fixture.sim.state();
        change(&fixture, member, odd.clone());
        assert_eq!(fixture.ask(API_KEY), "unavailable server-error", "{member} {odd}");
        fixture.sim.update(|state| *state = before);
        assert!(!good.is_null() || fixture.ask(API_KEY) == "in verified");
    }
}

#[test]
fn unknown_opaque_token_is_rejected_after_one_call() {
    let fixture = fixture(|config| config.machine_cache_ttl_s = 60);
    for token in ["ak_unknown", "oat_unknown", "mt_unknown"] {
        assert_eq!([fixture.ask(token), fixture.ask(token)], ["out token-invalid", "out token-invalid"]);
    }
    assert_eq!(fixture.calls(), 3);
    assert_eq!(auth_events(&fixture.event_log.take()), 6);
}

#[test]
fn opaque_result_is_cached_up_to_its_expiration() {
    let never = fixture(|_| {});
    assert_eq!([never.ask(API_KEY), never.ask(API_KEY)], ["in verified", "in verified"]);
    let fixture = fixture(|config| config.machine_cache_ttl_s = 60);
    change(&fixture, "expiration", json!((NOW_S + 70) * 1000));
    assert_eq!([fixture.ask(API_KEY), fixture.ask(API_KEY)], ["in verified", "in cache"]);
    change(&fixture, "revoked", json!(true));
    fixture.time.advance_ms(59_999);
    assert_eq!(fixture.ask(API_KEY), "in cache");
    fixture.time.advance_ms(1);
    assert_eq!(fixture.ask(API_KEY), "out token-invalid");
    change(&fixture, "revoked", json!(false));
    assert_eq!(fixture.ask(API_KEY), "in verified");
    fixture.time.advance_ms(9_999);
    assert_eq!(fixture.ask(API_KEY), "in cache");
    fixture.time.advance_ms(1);
    assert_eq!(fixture.ask(API_KEY), "out token-invalid");
}

#[test]
fn m2m_token_for_another_machine_is_rejected() {
    for (machine, outcome) in [("mch_here", "in verified"), ("mch_elsewhere", "out token-invalid-audience")] {
        let fixture = fixture(|config| config.expected_machine_id = Some(machine.into()));
        let mut jwt = TokenSpec::new(Kind::M2mJwt, "mch_1");
        jwt.scopes = vec!["mch_other".into(), "mch_here".into()];
        assert_eq!([fixture.ask(M2M), fixture.ask(&fixture.mint(&jwt))], [outcome, outcome]);
        assert_eq!([fixture.ask(API_KEY), fixture.ask(OAUTH)], ["in verified", "in verified"]);
    }
}

#[test]
fn machine_secret_is_sent_for_m2m_tokens_only() {
    let fixture = fixture(|config| config.machine_secret_key = Some(Secret::new("ak_machine_secret")));
    fixture.sim.update(|state| {
        state.secret_keys = vec![super::common::SECRET.into()];
        state.machine_secrets.insert("ak_machine_secret".into(), json!("mch_here"));
    });
    assert_eq!([M2M, OAUTH, API_KEY].map(|token| fixture.ask(token)), ["in verified", "in verified", "in verified"]);
    fixture.sim.update(|state| state.machine_secrets.clear());
    assert_eq!([M2M, OAUTH].map(|token| fixture.ask(token)), ["unavailable secret-key-invalid", "in verified"]);
}

/// Threat N5.
#[test]
fn machine_token_outage_returns_unavailable() {
    for (fault, outcome) in [
        (Fault::on("*").status(503), "unavailable server-error"),
        (Fault::on("*").status(401), "unavailable secret-key-invalid"),
        (Fault::on("*").body(json!({"$text": "<html>"})), "unavailable server-error"),
        (Fault::on("*").reset(), "unavailable server-error"),
        // Clerk's response to a malformed token.
        (Fault::on("*").status(400), "out token-invalid"),
        (Fault::on("*").status(404), "out token-invalid"),
    ] {
        let fixture = fixture(|_| {});
        fixture.sim.fault(fault.clone());
        assert_eq!(fixture.ask(API_KEY), outcome, "{fault:?}");
        fixture.sim.clear_faults();
        fixture.time.advance_s(60);
        assert_eq!(fixture.ask(API_KEY), "in verified");
    }
}

#[test]
fn verify_endpoints_have_separate_circuit_breakers() {
    let fixture = fixture(|_| {});
    fixture.sim.fault(Fault::on("/api_keys/verify").status(429).header("Retry-After", "30"));
    assert_eq!(fixture.ask(API_KEY), "unavailable server-error");
    assert_eq!([fixture.ask(OAUTH), fixture.ask(M2M)], ["in verified", "in verified"]);
}

#[test]
fn concurrent_opaque_token_requests_share_one_call() {
    let fixture = fixture(|_| {});
    fixture.sim.fault(Fault::on("/api_keys/verify").delay_ms(300));
    std::thread::scope(|scope| {
        let asks: Vec<_> = (0..16).map(|_| scope.spawn(|| fixture.ask(API_KEY))).collect();
        asks.into_iter().for_each(|ask| assert_eq!(ask.join().unwrap(), "in verified"));
    });
    assert_eq!(fixture.sim.requests("/api_keys/verify"), 1);
}

#[test]
fn transient_verify_error_returns_unavailable() {
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
        let fixture = fixture(|config| config.timeout_ms = 1000);
        fixture.sim.fault(Fault::on("*").status(status));
        assert_eq!(fixture.ask(OAUTH), outcome, "{status}");
    }
}
