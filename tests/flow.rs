//! The flow of a request: a client against a fake Clerk API over TCP, with a manual clock.

#[path = "flow/cached.rs"]
mod cached;
mod common;
#[path = "flow/foreign.rs"]
mod foreign;
#[path = "flow/invalidation.rs"]
mod invalidation;
#[path = "flow/machine.rs"]
mod machine;
#[path = "flow/outage.rs"]
mod outage;
#[path = "flow/sessions.rs"]
mod sessions;
#[path = "flow/shutdown.rs"]
mod shutdown;
#[path = "flow/silence.rs"]
mod silence;
#[path = "flow/store.rs"]
mod store;
#[cfg(feature = "sqlite")]
#[path = "flow/sync.rs"]
mod sync;

use clerk_auth::{Attribute, Identity, Request, UserMode};
use clerk_sim::{Org, Sim, Spoil, TokenSpec};
use common::{Fixture, NOW_S, auth_events, bearer, client, cookies, inline, pem, word};
use serde_json::json;

fn claims_only() -> Fixture {
    let sim = Sim::start();
    let key = pem(&sim);
    Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.secret_key = None;
    })
}

fn profile(tune: impl FnOnce(&mut clerk_auth::internals::Config)) -> Fixture {
    let sim = Sim::start();
    let key = pem(&sim);
    sim.put_user(json!({"id": "user_1", "username": "ada", "first_name": "Ada", "external_id": "77",
        "email_addresses": ["ada@example.com"], "primary_email_address_id": "idn_0001"}));
    Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.user_mode = Some(UserMode::Profile);
        tune(config);
    })
}

#[test]
fn claims_mode_with_pem_key_never_calls_clerk() {
    let fixture = claims_only();
    for user in 0..50 {
        let token = fixture.token(&format!("user_{user}"));
        assert_eq!(fixture.ask(&token), "in verified");
        assert_eq!(fixture.ask(&token), "in cache");
    }
    for bad in ["garbage", "a.b.c", &fixture.mint(&TokenSpec::session("user_1").spoil(Spoil::WrongKey))] {
        assert!(fixture.ask(bad).starts_with("out "));
    }
    assert_eq!((fixture.calls(), fixture.sim.connections()), (0, 0));
}

#[test]
fn identity_has_the_claims_of_the_token() {
    let fixture = claims_only();
    let org = Org {
        id: "org_1".into(),
        slug: Some("acme".into()),
        role: Some("admin".into()),
        permissions: vec!["org:invoices:read".into()],
        ..Org::default()
    };
    let spec = TokenSpec::session("user_1").sid("sess_9").azp("https://a.example").org(org);
    let answer = bearer(&fixture.client, &fixture.mint(&spec));
    let identity = answer.identity().unwrap();
    for (text, value) in [
        (Attribute::Subject, "user_1"),
        (Attribute::SessionId, "sess_9"),
        (Attribute::AuthorizedParty, "https://a.example"),
        (Attribute::OrgId, "org_1"),
        (Attribute::OrgSlug, "acme"),
        (Attribute::OrgRole, "org:admin"),
        (Attribute::OrgPermissions, "org:invoices:read"),
    ] {
        assert_eq!(identity.get(text), Some(value), "{text:?}");
    }
    assert_eq!((identity.get(Attribute::UserKey), identity.get(Attribute::Email)), (None, None));
    assert_eq!(identity.expires_at_ms(), (NOW_S + 60) * 1000);
}

#[test]
fn jwks_is_fetched_once_for_all_tokens() {
    let fixture = Fixture::new(|_| {});
    for user in ["user_1", "user_2", "user_3"] {
        let token = fixture.token(user);
        assert_eq!(fixture.ask(&token), "in verified");
        assert_eq!(fixture.ask(&token), "in cache");
    }
    assert_eq!((fixture.calls(), fixture.sim.requests("GET /jwks")), (1, 1));
    assert!(fixture.sim.violations().is_empty(), "{:?}", fixture.sim.violations());
}

#[test]
fn profile_mode_refetches_user_after_user_ttl() {
    let fixture = profile(|_| {});
    let name = |fixture: &Fixture| {
        let answer = bearer(&fixture.client, &fixture.token("user_1"));
        let identity = answer.identity().unwrap();
        assert_eq!(identity.get(Attribute::UserKey), None);
        assert_eq!((identity.get(Attribute::Username), identity.get(Attribute::ExternalId)), (Some("ada"), Some("77")));
        assert_eq!(identity.get(Attribute::Email), Some("ada@example.com"));
        identity.get(Attribute::FirstName).unwrap_or_default().to_owned()
    };
    assert_eq!(name(&fixture), "Ada");
    fixture.sim.patch_user("user_1", json!({"first_name": "Augusta"})).unwrap();
    fixture.time.advance_s(299);
    assert_eq!((name(&fixture).as_str(), fixture.calls()), ("Ada", 1));
    fixture.time.advance_s(1);
    assert_eq!((name(&fixture).as_str(), fixture.calls()), ("Augusta", 2));
    assert!(fixture.sim.violations().is_empty(), "{:?}", fixture.sim.violations());
}

#[test]
fn user_ttl_of_zero_fetches_for_each_new_token() {
    let fixture = profile(|config| config.user_ttl_s = 0);
    let token = fixture.token("user_1");
    assert_eq!((fixture.ask(&token).as_str(), fixture.ask(&token).as_str()), ("in verified", "in cache"));
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    assert_eq!(fixture.sim.requests("/users/user_1"), 2);
}

#[test]
fn banned_user_is_rejected() {
    let fixture = profile(|config| config.user_ttl_s = 0);
    for (change, outcome) in [
        (json!({"banned": true}), "out user-inactive"),
        (json!({"banned": false, "deprovisioned": true}), "out user-inactive"),
        // A locked user cannot sign in; existing sessions continue.
        (json!({"deprovisioned": false, "locked": true}), "in verified"),
    ] {
        fixture.sim.patch_user("user_1", change).unwrap();
        assert_eq!(fixture.authenticate_new("user_1"), outcome);
    }
}

#[test]
fn request_without_credentials_emits_no_event() {
    let fixture = claims_only();
    let mut empty = Request::new();
    empty.header(b"Authorization", b"").header(b"Cookie", b"");
    let mut basic = Request::new();
    basic.header(b"authorization", b"Basic dXNlcjpwYXNz").header(b"cookie", b"sid=5; theme=dark");
    for request in [Request::new(), empty, basic] {
        assert_eq!(word(&fixture.client.authenticate(&request)), "none session-token-missing");
        assert_eq!(
            fixture.client.authenticate_cached(&request).map(|a| word(&a)).unwrap(),
            "none session-token-missing"
        );
    }
    assert!(fixture.event_log.take().is_empty());
    assert_eq!(fixture.client.stats().signed_out, 0);
}

#[test]
fn request_with_credential_emits_exactly_one_auth_event() {
    let fixture = profile(|_| {});
    let good = fixture.token("user_1");
    let spoilt = |spoil| fixture.mint(&TokenSpec::session("user_1").spoil(spoil));
    for (token, events) in [
        (good.clone(), "cache_miss, auth_success verified"),
        (good, "auth_success cache"),
        (spoilt(Spoil::Expired), "cache_miss, auth_failed token-expired"),
        (spoilt(Spoil::NotYet), "cache_miss, auth_failed token-not-active-yet"),
        (spoilt(Spoil::WrongKey), "cache_miss, auth_failed token-invalid-signature"),
        (spoilt(Spoil::Tampered), "cache_miss, auth_failed token-invalid-signature"),
        (spoilt(Spoil::AlgNone), "cache_miss, auth_failed token-invalid"),
        ("garbage".into(), "cache_miss, auth_failed token-invalid"),
        ("".into(), "auth_failed token-invalid"),
        ("ak_opaque".into(), "cache_miss, auth_failed token-type-not-supported"),
        (fixture.token("user_nobody"), "cache_miss, auth_failed user-not-found"),
    ] {
        fixture.ask(&token);
        assert_eq!(fixture.event_log.take().join(", "), events, "{token}");
    }
    let mut twice = Request::new();
    twice.header(b"Authorization", b"Bearer a").header(b"Authorization", b"Bearer a");
    fixture.client.authenticate(&twice);
    assert_eq!(fixture.event_log.take(), ["auth_failed token-invalid"]);
}

/// Threat U3; guarantee 9.
#[test]
fn cached_token_expires_at_exp_plus_skew() {
    let fixture = Fixture::new(|config| {
        config.cache_ttl_s = 3600;
        config.clock_skew_ms = 5000;
    });
    let token = fixture.mint(&TokenSpec::session("user_1").exp_in(60));
    assert_eq!(fixture.ask(&token), "in verified");
    fixture.time.advance_ms(64_999);
    assert_eq!(fixture.ask(&token), "in cache");
    fixture.time.advance_ms(1);
    assert_eq!(fixture.ask(&token), "out token-expired");
    assert_eq!(fixture.event_log.take().last().unwrap(), "auth_failed token-expired");
}

/// Threat U3.
#[test]
fn fractional_exp_is_rounded_down() {
    let fixture = Fixture::new(|config| config.cache_ttl_s = 3600);
    let token = fixture.mint(&TokenSpec::session("user_1").claim("exp", json!(NOW_S as f64 + 60.9)));
    assert_eq!(fixture.ask(&token), "in verified");
    fixture.time.advance_ms(64_999);
    assert_eq!(fixture.ask(&token), "in cache");
    fixture.time.advance_ms(1);
    assert_eq!(fixture.ask(&token), "out token-expired");
}

#[test]
fn cached_token_is_rejected_before_its_iat() {
    let fixture = Fixture::new(|_| {});
    let token = fixture.token("user_1");
    assert_eq!(fixture.ask(&token), "in verified");
    fixture.time.advance_s(-3600);
    assert!(fixture.ask(&token).starts_with("out "));
}

#[test]
fn result_is_cached_for_cache_ttl() {
    let fixture = Fixture::new(|config| config.cache_ttl_s = 10);
    let token = fixture.token("user_1");
    let mut ask_after_ms = |ms| {
        fixture.time.advance_ms(ms);
        fixture.ask(&token)
    };
    assert_eq!([0, 9_999, 1].map(&mut ask_after_ms), ["in verified", "in cache", "in verified"]);
    let never = Fixture::new(|config| config.cache_ttl_s = 0);
    let token = never.token("user_1");
    assert_eq!([never.ask(&token), never.ask(&token)], ["in verified", "in verified"]);
    assert_eq!(never.client.stats().cached_tokens, 0);
}

#[test]
fn invalidated_results_are_verified_again() {
    let fixture = profile(|_| {});
    fixture.sim.put_user(json!({"id": "user_2"}));
    let own = fixture.mint(&TokenSpec::session("user_1").sid("sess_a"));
    let other_session = fixture.mint(&TokenSpec::session("user_1").sid("sess_b"));
    let other_user = fixture.token("user_2");
    let tokens = [&own, &other_session, &other_user];
    let ask_all = || tokens.map(|token| fixture.ask(token).split_once(' ').unwrap().1.to_owned());
    ask_all();
    assert_eq!(ask_all(), ["cache", "cache", "cache"]);
    fixture.client.invalidate_token(&own);
    assert_eq!(ask_all(), ["verified", "cache", "cache"]);
    fixture.client.invalidate_session("sess_b");
    assert_eq!(ask_all(), ["cache", "verified", "cache"]);
    assert_eq!(fixture.sim.requests("/users/user_1"), 1);
    fixture.client.invalidate_user("user_1");
    assert_eq!(ask_all(), ["verified", "verified", "cache"]);
    assert_eq!(fixture.sim.requests("/users/user_1"), 2);
    fixture.client.invalidate_all();
    assert_eq!(ask_all(), ["verified", "verified", "verified"]);
    assert_eq!(fixture.sim.requests("/users/*"), 5);
}

#[test]
fn request_begun_before_an_invalidation_starts_again() {
    let fixture = profile(|_| {});
    fixture.sim.fault(clerk_sim::Fault::on("/users/*").delay_ms(400).times(1));
    let token = fixture.token("user_1");
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| fixture.ask(&token));
        while fixture.sim.requests("/users/user_1") == 0 {
            std::thread::yield_now();
        }
        fixture.client.invalidate_user("user_1");
        assert_eq!(slow.join().unwrap(), "in verified");
    });
    assert_eq!(fixture.sim.requests("/users/user_1"), 2);
    assert_eq!((fixture.client.stats().cached_tokens, fixture.client.stats().cached_users), (1, 1));
    assert_eq!((fixture.ask(&token).as_str(), fixture.sim.requests("/users/user_1")), ("in cache", 2));
}

/// Threat T2.
#[test]
fn result_is_not_shared_between_policies() {
    let fixture = Fixture::new(|config| config.authorized_parties = vec!["https://app.example.com".into()]);
    let strict = client(&fixture.sim, &fixture.time, &fixture.event_log, None, |config| {
        config.authorized_parties = vec!["https://other.example.com".into()];
    });
    for strict_first in [false, true] {
        let token = fixture.token("user_1");
        if !strict_first {
            assert_eq!(fixture.ask(&token), "in verified");
        }
        assert_eq!(word(&bearer(&strict, &token)), "out token-invalid-authorized-parties");
        assert!(fixture.ask(&token).starts_with("in "));
    }
}

/// Threat S3.
#[test]
fn token_without_azp_is_rejected_with_authorized_parties() {
    let fixture = Fixture::new(|config| config.authorized_parties = vec!["https://app.example.com".into()]);
    for azp in [json!(null), json!(""), json!("https://app.example.com/"), json!("https://APP.example.com"), json!(5)] {
        let token = fixture.mint(&TokenSpec::session("user_1").claim("azp", azp.clone()));
        assert_eq!(fixture.ask(&token), "out token-invalid-authorized-parties", "{azp}");
    }
}

#[test]
fn authenticate_cached_needs_no_call_to_clerk() {
    let fixture = Fixture::new(|config| config.user_mode = Some(UserMode::Profile));
    fixture.sim.put_user(json!({"id": "user_1"}));
    let first = fixture.token("user_1");
    assert_eq!(inline(&fixture.client, &first), None);
    fixture.client.warm_up().unwrap();
    assert_eq!(inline(&fixture.client, &first), None);
    assert!(fixture.event_log.take().iter().all(|event| event == "jwks_refreshed"));
    assert_eq!(fixture.ask(&first), "in verified");
    fixture.event_log.take();
    let calls = fixture.calls();
    assert_eq!(inline(&fixture.client, &first).unwrap(), "in cache");
    assert_eq!(inline(&fixture.client, &fixture.token("user_1")).unwrap(), "in verified");
    assert_eq!(inline(&fixture.client, "garbage").unwrap(), "out token-invalid");
    let expired = fixture.mint(&TokenSpec::session("user_2").spoil(Spoil::Expired));
    assert_eq!(inline(&fixture.client, &expired).unwrap(), "out token-expired");
    assert_eq!(inline(&fixture.client, &fixture.token("user_2")), None);
    assert_eq!(auth_events(&fixture.event_log.take()), 4);
    fixture.time.advance_s(300);
    assert_eq!(inline(&fixture.client, &fixture.token("user_1")), None);
    assert_eq!(fixture.calls(), calls);
}

#[test]
fn stale_jwks_makes_one_cached_caller_block() {
    let fixture = Fixture::new(|_| {});
    fixture.client.warm_up().unwrap();
    let mut fetches = Vec::new();
    for _ in 0..4 {
        fixture.time.advance_s(150);
        let token = fixture.token("user_1");
        if inline(&fixture.client, &token).is_none() {
            assert_eq!(fixture.ask(&token), "in verified");
        }
        fetches.push(fixture.sim.requests("/jwks"));
    }
    assert_eq!(fetches, [1, 2, 2, 3]);
}

#[test]
fn verify_token_uses_no_user_cache_or_event() {
    let fixture = profile(|_| {});
    let token = fixture.token("user_nobody");
    for _ in 0..2 {
        assert_eq!(word(&fixture.client.verify_token(&token)), "in verified");
    }
    assert_eq!(word(&fixture.client.verify_token("a.b.c")), "out token-invalid");
    assert_eq!((fixture.calls(), fixture.event_log.take().len(), fixture.client.stats().cached_tokens), (0, 0, 0));
}

#[test]
fn bearer_header_takes_precedence_over_cookie() {
    let fixture = claims_only();
    let (header, cookie) = (fixture.token("user_1"), fixture.token("user_2"));
    let subject = |authorization: Option<&str>| {
        let line = format!("theme=1; __session={cookie}");
        let mut request = Request::new();
        request.header(b"Cookie", line.as_bytes());
        if let Some(value) = authorization {
            request.header(b"Authorization", value.as_bytes());
        }
        fixture.client.authenticate(&request).identity().map(|i| i.subject().to_owned())
    };
    assert_eq!(subject(Some(&format!("Bearer {header}"))).as_deref(), Some("user_1"));
    assert_eq!(subject(Some("Basic abc")).as_deref(), Some("user_2"));
    assert_eq!(subject(None).as_deref(), Some("user_2"));
    assert_eq!(subject(Some("Bearer broken")), None);
}

/// Threat S2.
#[test]
fn planted_cookie_is_ignored() {
    let sim = Sim::start();
    let key = pem(&sim);
    let fixture = Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        // The frontend API clerk.clerk.dev; its cookie suffix is 1Z8AzTQD.
        config.publishable_key = Some("pk_live_Y2xlcmsuY2xlcmsuZGV2JA".into());
    });
    let mut own = TokenSpec::session("user_1");
    own.iss = Some("https://clerk.clerk.dev".into());
    let token = fixture.mint(&own);
    let planted = fixture.mint(&TokenSpec::session("user_evil"));
    let browser = format!("__session={token}; __session_1Z8AzTQD={token}; __client_uat=5; __client_uat_1Z8AzTQD=5");
    let junk = format!("x={}; __session_zzzzzzzz={planted}; __session_={planted}", "j".repeat(4096));
    for lines in [
        vec![browser.clone()],
        vec![junk.clone(), browser.clone()],
        vec![format!("{junk}; {browser}")],
        vec![format!("__session={planted}; {browser}")],
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut request = Request::new();
        for line in &lines {
            request.header(b"Cookie", line.as_bytes());
        }
        let answer = fixture.client.authenticate(&request);
        assert_eq!(answer.identity().map(Identity::subject), Some("user_1"), "{lines:?}");
    }
    assert_eq!(cookies(&fixture.client, &[&junk]), "none session-token-missing");
}

#[test]
fn check_client_uat_rejects_tokens_before_sign_out() {
    let sim = Sim::start();
    let key = pem(&sim);
    let fixture = Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.check_client_uat = true;
    });
    let token = fixture.token("user_1");
    let at = |uat: i64| cookies(&fixture.client, &[&format!("__session={token}; __client_uat={uat}")]);
    assert_eq!(at(NOW_S), "in verified");
    assert_eq!(at(NOW_S), "in cache");
    assert_eq!(at(NOW_S + 1), "out session-token-iat-before-client-uat");
    assert_eq!(at(0), "out session-token-but-no-client-uat");
    assert_eq!(cookies(&fixture.client, &["__session=garbage; __client_uat=7"]), "out token-invalid");
    // `__client_uat` is checked before the lifetime.
    let over = fixture.mint(&TokenSpec::session("user_1").spoil(Spoil::Expired));
    let at_over = |uat: i64| cookies(&fixture.client, &[&format!("__session={over}; __client_uat={uat}")]);
    assert_eq!(at_over(NOW_S), "out session-token-iat-before-client-uat");
    assert_eq!(at_over(7), "out token-expired");
    assert_eq!(cookies(&fixture.client, &["a=b"]), "none session-token-and-uat-missing");
    assert_eq!(cookies(&fixture.client, &["__client_uat=7"]), "out client-uat-but-no-session-token");
    assert_eq!(fixture.ask(&token), "in cache");
}

#[test]
fn handshake_is_recommended_for_documents_only() {
    let fixture = claims_only();
    let expired = format!("__session={}", fixture.mint(&TokenSpec::session("user_1").spoil(Spoil::Expired)));
    let recommended = |method: &str, dest: &str, cookie: &str| {
        let mut request = Request::new();
        request.method(method.as_bytes()).header(b"Sec-Fetch-Dest", dest.as_bytes());
        request.header(b"Cookie", cookie.as_bytes());
        fixture.client.authenticate(&request).handshake_recommended()
    };
    assert!(recommended("GET", "document", &expired));
    assert!(!recommended("POST", "document", &expired) && !recommended("GET", "empty", &expired));
    assert!(!recommended("GET", "document", "__session=garbage"));
}

#[test]
fn stats_count_hits_misses_and_fetches() {
    let fixture = profile(|_| {});
    let token = fixture.token("user_1");
    (0..3).for_each(|_| drop(fixture.ask(&token)));
    fixture.ask("garbage");
    fixture.sim.set_down(true).unwrap();
    fixture.authenticate_new("user_2");
    let stats = fixture.client.stats();
    assert_eq!((stats.cache_hits, stats.cache_misses, stats.signed_in), (2, 3, 1));
    assert_eq!((stats.signed_out, stats.unavailable), (1, 1));
    assert_eq!((stats.user_fetches, stats.jwks_fetches, stats.jwks_age_ms), (2, 0, -1));
    assert_eq!((stats.cached_tokens, stats.cached_users), (1, 1));
}
