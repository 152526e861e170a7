//! Responses that are not Clerk's own, such as the page of a gateway: an outage, whatever the status. They are no verdict about a
//! user, a session or a token, and nothing is recorded of them.

use clerk_auth::internals::Config;
use clerk_auth::{Request, TokenKind, UserMode};
use clerk_sim::{Fault, Sim, TokenSpec};
use serde_json::{Value, json};

use super::common::{Fixture, pem, word};

const STATUSES: [u16; 14] = [400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 413, 418, 422, 451];

/// Bodies that are no error object of Clerk's.
fn bodies() -> Vec<Value> {
    let text = |text: &str| json!({"$text": text});
    vec![
        text("<html><h1>Not here</h1></html>"),
        text(""),
        text("{\"errors\":[{\"code\":\"resource_not_found\"}]"),
        text("\"resource_not_found\""),
        json!({}),
        json!(null),
        json!({"message": "no route"}),
        json!({"code": "resource_not_found"}),
        json!({"errors": []}),
        json!({"errors": [{}]}),
        json!({"errors": ["resource_not_found"]}),
        json!({"errors": [["resource_not_found"]]}),
        json!({"errors": [{"code": 404}]}),
        json!({"errors": [{"code": ""}]}),
        json!({"errors": [{"code": "no such page"}]}),
        json!({"errors": {"code": "resource_not_found"}}),
        json!([{"errors": [{"code": "resource_not_found"}]}]),
        json!({"errors": [{"code": "a"}], "errors2": 0, "status": 404, "$text": "plain"}),
    ]
}

/// Each status with a body in turn; the pages with all bodies for 404.
fn faults(path: &str) -> Vec<(String, Fault)> {
    let bodies = bodies();
    let of_404 = bodies.iter().map(|body| (404, body));
    let others = STATUSES.iter().enumerate().map(|(n, status)| (*status, &bodies[n % 7]));
    of_404
        .chain(others)
        .map(|(status, body)| (format!("{path} {status} {body}"), Fault::on(path).status(status).body(body.clone())))
        .collect()
}

fn fixture(tune: impl FnOnce(&mut Config)) -> Fixture {
    let sim = Sim::start();
    let key = pem(&sim);
    sim.put_user(json!({"id": "user_1"}));
    sim.put_user(json!({"id": "user_2"}));
    sim.put_session(json!({"id": "sess_1", "user_id": "user_1"}));
    sim.update(|state| {
        state.api_keys.insert("ak_good".into(), json!({"id": "ak_1", "subject": "org_1", "scopes": []}));
        state.m2m_tokens.insert("mt_good".into(), json!({"id": "mt_1", "subject": "mch_1", "scopes": []}));
        state.oauth_tokens.insert("oat_good".into(), json!({"id": "oat_1", "subject": "user_1", "scopes": []}));
    });
    Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.user_mode = Some(UserMode::Claims);
        tune(config);
    })
}

const OUTAGE: &str = "unavailable server-error";

/// Threat N5.
#[test]
fn foreign_response_is_no_verdict_about_a_user() {
    for (what, fault) in faults("/users/*") {
        let fixture = fixture(|config| config.user_mode = Some(UserMode::Profile));
        assert_eq!(fixture.authenticate_new("user_1"), "in verified", "{what}");
        fixture.time.advance_s(301);
        fixture.sim.fault(fault);
        fixture.event_log.take();
        for _ in 0..2 {
            assert_eq!(fixture.authenticate_new("user_1"), "in verified", "{what}, stale");
        }
        let events = fixture.event_log.take();
        assert_eq!(events.iter().filter(|event| *event == "stale_user_served").count(), 2, "{what}: {events:?}");
        assert_eq!(fixture.authenticate_new("user_2"), OUTAGE, "{what}");
        fixture.sim.clear_faults();
        for user in ["user_1", "user_2"] {
            assert_eq!(fixture.authenticate_new(user), "in verified", "{what}, again");
        }
        assert!(!fixture.event_log.take().contains(&"secret_key_rejected".to_owned()), "{what}");
    }
}

/// Threat N5.
#[test]
fn foreign_response_is_no_verdict_about_a_session() {
    for (what, fault) in faults("/sessions/*") {
        let fixture = fixture(|config| config.session_check_ttl_s = 60);
        let ask = || fixture.ask(&fixture.mint(&TokenSpec::session("user_1").sid("sess_1")));
        fixture.sim.fault(fault);
        assert_eq!([ask(), ask()], [OUTAGE, OUTAGE], "{what}");
        fixture.sim.clear_faults();
        assert_eq!(ask(), "in verified", "{what}, again");
    }
}

/// Threat N5.
#[test]
fn foreign_response_is_no_verdict_about_an_opaque_token() {
    for (token, path) in [
        ("ak_good", "/api_keys/verify"),
        ("mt_good", "/m2m_tokens/verify"),
        ("oat_good", "/oauth_applications/access_tokens/verify"),
    ] {
        for (what, fault) in faults(path) {
            let fixture = fixture(|config| {
                config.accepts_token = TokenKind::ALL.to_vec();
                config.machine_cache_ttl_s = 30;
            });
            fixture.sim.fault(fault);
            assert_eq!(fixture.ask(token), OUTAGE, "{what}");
            fixture.sim.clear_faults();
            assert_eq!(fixture.ask(token), "in verified", "{what}, again");
        }
    }
}

/// A firewall may refuse what unauthenticated clients send; that must not stop the verification of other tokens.
#[test]
fn foreign_responses_to_forged_tokens_stop_no_other() {
    let fixture = fixture(|config| config.accepts_token = TokenKind::ALL.to_vec());
    fixture.sim.fault(Fault::on("/api_keys/verify").status(403).html().times(8));
    for n in 0..8 {
        assert_eq!(fixture.ask(&format!("ak_forged{n}")), OUTAGE);
    }
    assert_eq!(fixture.ask("ak_good"), "in verified");
}

/// While a gateway answers for Clerk, not every request asks again.
#[test]
fn foreign_responses_about_users_open_the_circuit() {
    let fixture = fixture(|config| config.user_mode = Some(UserMode::Profile));
    fixture.sim.fault(Fault::on("/users/*").status(404).html());
    for n in 0..40 {
        assert_eq!(fixture.authenticate_new(&format!("user_{n}")), OUTAGE);
    }
    assert_eq!(fixture.calls(), 5);
    fixture.sim.clear_faults();
    fixture.time.advance_s(1);
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
}

/// What the instance or the version of the API lacks is not about the token.
#[test]
fn error_of_clerk_about_the_instance_refuses_no_token() {
    for (status, code) in [(400, "api_version_invalid"), (422, "api_keys_not_enabled")] {
        let fixture = fixture(|config| config.accepts_token = TokenKind::ALL.to_vec());
        let body = json!({"errors": [{"code": code, "message": "x", "long_message": "x"}]});
        fixture.sim.fault(Fault::on("/api_keys/verify").status(status).body(body));
        assert_eq!(fixture.ask("ak_good"), OUTAGE, "{code}");
        fixture.sim.clear_faults();
        assert_eq!(fixture.ask("ak_good"), "in verified", "{code}");
    }
}

/// A nonce and a refresh are asked about again as soon as the installation is mended.
#[test]
fn error_of_clerk_about_the_instance_refuses_no_browser() {
    const ORIGIN: &str = "https://app.example.com";
    let spec = || TokenSpec::session("user_1").sid("sess_1").azp(ORIGIN);
    for (path, cookie, during) in [
        ("/clients/handshake_payload", "__clerk_handshake_nonce=n1", OUTAGE),
        ("/sessions/*/refresh", "__refresh_naoXFJnI=rt_0", "out token-expired"),
    ] {
        for status in [400, 403, 404, 410, 422] {
            for code in ["api_version_invalid", "authorization_invalid", "clerk_key_invalid"] {
                if code != "api_version_invalid" && status != 403 {
                    continue;
                }
                let fixture = fixture(|config| {
                    for (name, value) in [
                        ("handshake", "on"),
                        ("publishable_key", "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k"),
                        ("public_origin", ORIGIN),
                    ] {
                        config.set(name, value).unwrap();
                    }
                });
                let what = format!("{path} {status} {code}");
                let token = fixture.mint(&spec());
                let lines = json!([format!("__session={token}; Path=/"), "__client_uat=1700000000; Path=/"]);
                fixture.sim.update(|state| {
                    state.nonces.insert("n1".into(), lines.clone());
                    state.refresh = json!({"cookies": lines});
                });
                let expired = fixture.mint(&TokenSpec { iat_in: Some(-180), ..spec().exp_in(-120) });
                let cookies = format!("__session={expired}; __client_uat=1700000000; {cookie}");
                let open_page = || {
                    let mut request = Request::new();
                    request.method(b"GET").scheme(b"https").target(b"/").header(b"Host", b"app.example.com");
                    request.header(b"Sec-Fetch-Dest", b"document").header(b"Cookie", cookies.as_bytes());
                    word(&fixture.client.authenticate(&request))
                };
                let body = json!({"errors": [{"code": code, "message": "x", "long_message": "x"}]});
                fixture.sim.fault(Fault::on(path).status(status).body(body));
                let first = open_page();
                let is_outage = first == during || first == "unavailable secret-key-invalid";
                assert!(is_outage, "{what}: {first}");
                fixture.sim.clear_faults();
                assert_eq!(open_page(), "in verified", "{what}, again");
            }
        }
    }
}
