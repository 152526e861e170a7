//! The whole way of a request: a client against the stand-in for Clerk over TCP, the clock in the test's hand.

mod common;
#[path = "flow/invalidation.rs"]
mod invalidation;
#[path = "flow/machine.rs"]
mod machine;
#[path = "flow/outage.rs"]
mod outage;
#[path = "flow/sessions.rs"]
mod sessions;
#[path = "flow/silence.rs"]
mod silence;
#[path = "flow/store.rs"]
mod store;
#[cfg(feature = "sqlite")]
#[path = "flow/sync.rs"]
mod sync;

use clerk_auth::Request;
use clerk_auth::config::UserMode;
use clerk_auth::identity::Attribute;
use clerk_sim::{Org, Sim, Spoil, TokenSpec};
use common::{NOW_S, Rig, bearer, client, cookies, endings, inline, pem, word};
use serde_json::json;

fn claims_only() -> Rig {
    let sim = Sim::start();
    let key = pem(&sim);
    Rig::build(sim, None, |config| {
        config.jwt_key = key;
        config.secret_key = None;
    })
}

fn profile(tune: impl FnOnce(&mut clerk_auth::Config)) -> Rig {
    let sim = Sim::start();
    let key = pem(&sim);
    sim.put_user(json!({"id": "user_1", "username": "ada", "first_name": "Ada", "external_id": "77",
        "email_addresses": ["ada@example.com"], "primary_email_address_id": "idn_0001"}));
    Rig::build(sim, None, |config| {
        config.jwt_key = key;
        config.user_mode = Some(UserMode::Profile);
        tune(config);
    })
}

#[test]
fn claims_mode_with_a_pem_key_never_asks_clerk() {
    let rig = claims_only();
    for user in 0..50 {
        let token = rig.token(&format!("user_{user}"));
        assert_eq!(rig.ask(&token), "in verified");
        assert_eq!(rig.ask(&token), "in cache");
    }
    for bad in ["garbage", "a.b.c", &rig.mint(&TokenSpec::session("user_1").spoil(Spoil::WrongKey))] {
        assert!(rig.ask(bad).starts_with("out "));
    }
    assert_eq!((rig.calls(), rig.sim.connections()), (0, 0));
}

#[test]
fn an_identity_holds_what_the_token_says() {
    let rig = claims_only();
    let org = Org {
        id: "org_1".into(),
        slug: Some("acme".into()),
        role: Some("admin".into()),
        permissions: vec!["org:invoices:read".into()],
        ..Org::default()
    };
    let spec = TokenSpec::session("user_1").sid("sess_9").azp("https://a.example").org(org);
    let answer = bearer(&rig.client, &rig.mint(&spec));
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
fn the_key_set_is_fetched_once_for_all_tokens() {
    let rig = Rig::new(|_| {});
    for user in ["user_1", "user_2", "user_3"] {
        let token = rig.token(user);
        assert_eq!(rig.ask(&token), "in verified");
        assert_eq!(rig.ask(&token), "in cache");
    }
    assert_eq!((rig.calls(), rig.sim.requests("GET /jwks")), (1, 1));
    assert!(rig.sim.violations().is_empty(), "{:?}", rig.sim.violations());
}

#[test]
fn profile_mode_knows_the_user_and_asks_again_when_that_grows_old() {
    let rig = profile(|_| {});
    let name = |rig: &Rig| {
        let answer = bearer(&rig.client, &rig.token("user_1"));
        let identity = answer.identity().unwrap();
        assert_eq!(identity.get(Attribute::UserKey), None);
        assert_eq!((identity.get(Attribute::Username), identity.get(Attribute::ExternalId)), (Some("ada"), Some("77")));
        assert_eq!(identity.get(Attribute::Email), Some("ada@example.com"));
        identity.get(Attribute::FirstName).unwrap_or_default().to_owned()
    };
    assert_eq!(name(&rig), "Ada");
    rig.sim.patch_user("user_1", json!({"first_name": "Augusta"})).unwrap();
    rig.time.pass_s(299);
    assert_eq!((name(&rig).as_str(), rig.calls()), ("Ada", 1));
    rig.time.pass_s(1);
    assert_eq!((name(&rig).as_str(), rig.calls()), ("Augusta", 2));
    assert!(rig.sim.violations().is_empty(), "{:?}", rig.sim.violations());
}

#[test]
fn a_user_lifetime_of_zero_asks_for_each_new_token() {
    let rig = profile(|config| config.user_ttl_s = 0);
    let token = rig.token("user_1");
    assert_eq!((rig.ask(&token).as_str(), rig.ask(&token).as_str()), ("in verified", "in cache"));
    assert_eq!(rig.ask_new("user_1"), "in verified");
    assert_eq!(rig.sim.requests("/users/user_1"), 2);
}

#[test]
fn users_banned_at_clerk_stay_out() {
    let rig = profile(|config| config.user_ttl_s = 0);
    for (change, outcome) in [
        (json!({"banned": true}), "out user-inactive"),
        (json!({"banned": false, "deprovisioned": true}), "out user-inactive"),
        // A lock keeps from signing in anew; the sessions there are go on.
        (json!({"deprovisioned": false, "locked": true}), "in verified"),
    ] {
        rig.sim.patch_user("user_1", change).unwrap();
        assert_eq!(rig.ask_new("user_1"), outcome);
    }
}

#[test]
fn no_credentials_are_no_event_and_no_refusal() {
    let rig = claims_only();
    let mut empty = Request::new();
    empty.header(b"Authorization", b"").header(b"Cookie", b"");
    let mut basic = Request::new();
    basic.header(b"authorization", b"Basic dXNlcjpwYXNz").header(b"cookie", b"sid=5; theme=dark");
    for request in [Request::new(), empty, basic] {
        assert_eq!(word(&rig.client.authenticate(&request)), "none session-token-missing");
        assert_eq!(rig.client.authenticate_cached(&request).map(|a| word(&a)).unwrap(), "none session-token-missing");
    }
    assert!(rig.diary.take().is_empty());
    assert_eq!(rig.client.stats().signed_out, 0);
}

#[test]
fn every_request_with_a_credential_ends_in_exactly_one_event() {
    let rig = profile(|_| {});
    let good = rig.token("user_1");
    let spoilt = |spoil| rig.mint(&TokenSpec::session("user_1").spoil(spoil));
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
        (rig.token("user_nobody"), "cache_miss, auth_failed user-not-found"),
    ] {
        rig.ask(&token);
        assert_eq!(rig.diary.take().join(", "), events, "{token}");
    }
    let mut twice = Request::new();
    twice.header(b"Authorization", b"Bearer a").header(b"Authorization", b"Bearer a");
    rig.client.authenticate(&twice);
    assert_eq!(rig.diary.take(), ["auth_failed token-invalid"]);
}

#[test]
fn u3_req09_a_cached_token_ends_exactly_at_its_expiry_plus_skew() {
    let rig = Rig::new(|config| {
        config.cache_ttl_s = 3600;
        config.clock_skew_ms = 5000;
    });
    let token = rig.mint(&TokenSpec::session("user_1").exp_in(60));
    assert_eq!(rig.ask(&token), "in verified");
    rig.time.pass_ms(64_999);
    assert_eq!(rig.ask(&token), "in cache");
    rig.time.pass_ms(1);
    assert_eq!(rig.ask(&token), "out token-expired");
    assert_eq!(rig.diary.take().last().unwrap(), "auth_failed token-expired");
}

#[test]
fn u3_a_fraction_of_a_second_in_exp_buys_no_time() {
    let rig = Rig::new(|config| config.cache_ttl_s = 3600);
    let token = rig.mint(&TokenSpec::session("user_1").claim("exp", json!(NOW_S as f64 + 60.9)));
    assert_eq!(rig.ask(&token), "in verified");
    rig.time.pass_ms(64_999);
    assert_eq!(rig.ask(&token), "in cache");
    rig.time.pass_ms(1);
    assert_eq!(rig.ask(&token), "out token-expired");
}

#[test]
fn a_clock_set_back_does_not_let_a_cached_token_in_too_early() {
    let rig = Rig::new(|_| {});
    let token = rig.token("user_1");
    assert_eq!(rig.ask(&token), "in verified");
    rig.time.pass_s(-3600);
    assert!(rig.ask(&token).starts_with("out "));
}

#[test]
fn a_token_is_remembered_for_the_cache_lifetime_and_no_longer() {
    let rig = Rig::new(|config| config.cache_ttl_s = 10);
    let token = rig.token("user_1");
    let mut ask_after_ms = |ms| {
        rig.time.pass_ms(ms);
        rig.ask(&token)
    };
    assert_eq!([0, 9_999, 1].map(&mut ask_after_ms), ["in verified", "in cache", "in verified"]);
    let never = Rig::new(|config| config.cache_ttl_s = 0);
    let token = never.token("user_1");
    assert_eq!([never.ask(&token), never.ask(&token)], ["in verified", "in verified"]);
    assert_eq!(never.client.stats().cached_tokens, 0);
}

#[test]
fn what_is_invalidated_is_verified_anew() {
    let rig = profile(|_| {});
    rig.sim.put_user(json!({"id": "user_2"}));
    let own = rig.mint(&TokenSpec::session("user_1").sid("sess_a"));
    let other_session = rig.mint(&TokenSpec::session("user_1").sid("sess_b"));
    let other_user = rig.token("user_2");
    let tokens = [&own, &other_session, &other_user];
    let ask_all = || tokens.map(|token| rig.ask(token).split_once(' ').unwrap().1.to_owned());
    ask_all();
    assert_eq!(ask_all(), ["cache", "cache", "cache"]);
    rig.client.invalidate_token(&own);
    assert_eq!(ask_all(), ["verified", "cache", "cache"]);
    rig.client.invalidate_session("sess_b");
    assert_eq!(ask_all(), ["cache", "verified", "cache"]);
    assert_eq!(rig.sim.requests("/users/user_1"), 1);
    rig.client.invalidate_user("user_1");
    assert_eq!(ask_all(), ["verified", "verified", "cache"]);
    assert_eq!(rig.sim.requests("/users/user_1"), 2);
    rig.client.invalidate_all();
    assert_eq!(ask_all(), ["verified", "verified", "verified"]);
    assert_eq!(rig.sim.requests("/users/*"), 5);
}

#[test]
fn request_begun_before_an_invalidation_starts_again() {
    let rig = profile(|_| {});
    rig.sim.fault(clerk_sim::Fault::on("/users/*").delay_ms(400).times(1));
    let token = rig.token("user_1");
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| rig.ask(&token));
        while rig.sim.requests("/users/user_1") == 0 {
            std::thread::yield_now();
        }
        rig.client.invalidate_user("user_1");
        assert_eq!(slow.join().unwrap(), "in verified");
    });
    assert_eq!(rig.sim.requests("/users/user_1"), 2);
    assert_eq!((rig.client.stats().cached_tokens, rig.client.stats().cached_users), (1, 1));
    assert_eq!((rig.ask(&token).as_str(), rig.sim.requests("/users/user_1")), ("in cache", 2));
}

#[test]
fn t2_a_result_of_one_policy_is_not_served_under_another() {
    let rig = Rig::new(|config| config.authorized_parties = vec!["https://app.example.com".into()]);
    let strict = client(&rig.sim, &rig.time, &rig.diary, None, |config| {
        config.authorized_parties = vec!["https://other.example.com".into()];
    });
    for strict_first in [false, true] {
        let token = rig.token("user_1");
        if !strict_first {
            assert_eq!(rig.ask(&token), "in verified");
        }
        assert_eq!(word(&bearer(&strict, &token)), "out token-invalid-authorized-parties");
        assert!(rig.ask(&token).starts_with("in "));
    }
}

#[test]
fn s3_a_token_without_azp_is_refused_when_parties_are_configured() {
    let rig = Rig::new(|config| config.authorized_parties = vec!["https://app.example.com".into()]);
    for azp in [json!(null), json!(""), json!("https://app.example.com/"), json!("https://APP.example.com"), json!(5)] {
        let token = rig.mint(&TokenSpec::session("user_1").claim("azp", azp.clone()));
        assert_eq!(rig.ask(&token), "out token-invalid-authorized-parties", "{azp}");
    }
}

#[test]
fn answers_without_waiting_are_those_that_need_no_clerk() {
    let rig = Rig::new(|config| config.user_mode = Some(UserMode::Profile));
    rig.sim.put_user(json!({"id": "user_1"}));
    let first = rig.token("user_1");
    assert_eq!(inline(&rig.client, &first), None);
    rig.client.warm_up().unwrap();
    assert_eq!(inline(&rig.client, &first), None);
    assert!(rig.diary.take().iter().all(|event| event == "jwks_refreshed"));
    assert_eq!(rig.ask(&first), "in verified");
    rig.diary.take();
    let calls = rig.calls();
    assert_eq!(inline(&rig.client, &first).unwrap(), "in cache");
    assert_eq!(inline(&rig.client, &rig.token("user_1")).unwrap(), "in verified");
    assert_eq!(inline(&rig.client, "garbage").unwrap(), "out token-invalid");
    let expired = rig.mint(&TokenSpec::session("user_2").spoil(Spoil::Expired));
    assert_eq!(inline(&rig.client, &expired).unwrap(), "out token-expired");
    assert_eq!(inline(&rig.client, &rig.token("user_2")), None);
    assert_eq!(endings(&rig.diary.take()), 4);
    rig.time.pass_s(300);
    assert_eq!(inline(&rig.client, &rig.token("user_1")), None);
    assert_eq!(rig.calls(), calls);
}

#[test]
fn an_old_key_set_is_refreshed_even_if_all_callers_try_without_waiting_first() {
    let rig = Rig::new(|_| {});
    rig.client.warm_up().unwrap();
    let mut fetches = Vec::new();
    for _ in 0..4 {
        rig.time.pass_s(150);
        let token = rig.token("user_1");
        if inline(&rig.client, &token).is_none() {
            assert_eq!(rig.ask(&token), "in verified");
        }
        fetches.push(rig.sim.requests("/jwks"));
    }
    assert_eq!(fetches, [1, 2, 2, 3]);
}

#[test]
fn a_token_is_verified_by_itself_without_user_cache_or_event() {
    let rig = profile(|_| {});
    let token = rig.token("user_nobody");
    for _ in 0..2 {
        assert_eq!(word(&rig.client.verify_token(&token)), "in verified");
    }
    assert_eq!(word(&rig.client.verify_token("a.b.c")), "out token-invalid");
    assert_eq!((rig.calls(), rig.diary.take().len(), rig.client.stats().cached_tokens), (0, 0, 0));
}

#[test]
fn the_header_decides_alone_and_a_cookie_will_do_without_one() {
    let rig = claims_only();
    let (header, cookie) = (rig.token("user_1"), rig.token("user_2"));
    let subject = |authorization: Option<&str>| {
        let line = format!("theme=1; __session={cookie}");
        let mut request = Request::new();
        request.header(b"Cookie", line.as_bytes());
        if let Some(value) = authorization {
            request.header(b"Authorization", value.as_bytes());
        }
        rig.client.authenticate(&request).identity().map(|i| i.subject().to_owned())
    };
    assert_eq!(subject(Some(&format!("Bearer {header}"))).as_deref(), Some("user_1"));
    assert_eq!(subject(Some("Basic abc")).as_deref(), Some("user_2"));
    assert_eq!(subject(None).as_deref(), Some("user_2"));
    assert_eq!(subject(Some("Bearer broken")), None);
}

#[test]
fn s2_a_planted_cookie_neither_wins_nor_locks_out() {
    let sim = Sim::start();
    let key = pem(&sim);
    let rig = Rig::build(sim, None, |config| {
        config.jwt_key = key;
        // The frontend API clerk.clerk.dev; its cookies end in 1Z8AzTQD.
        config.publishable_key = Some("pk_live_Y2xlcmsuY2xlcmsuZGV2JA".into());
    });
    let mut own = TokenSpec::session("user_1");
    own.iss = Some("https://clerk.clerk.dev".into());
    let token = rig.mint(&own);
    let planted = rig.mint(&TokenSpec::session("user_evil"));
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
        let answer = rig.client.authenticate(&request);
        assert_eq!(answer.identity().map(|i| i.subject()), Some("user_1"), "{lines:?}");
    }
    assert_eq!(cookies(&rig.client, &[&junk]), "none session-token-missing");
}

#[test]
fn the_strict_cookie_policy_heeds_the_browsers_last_sign_out() {
    let sim = Sim::start();
    let key = pem(&sim);
    let rig = Rig::build(sim, None, |config| {
        config.jwt_key = key;
        config.check_client_uat = true;
    });
    let token = rig.token("user_1");
    let at = |uat: i64| cookies(&rig.client, &[&format!("__session={token}; __client_uat={uat}")]);
    assert_eq!(at(NOW_S), "in verified");
    assert_eq!(at(NOW_S), "in cache");
    assert_eq!(at(NOW_S + 1), "out session-token-iat-before-client-uat");
    assert_eq!(at(0), "out session-token-but-no-client-uat");
    assert_eq!(cookies(&rig.client, &["__session=garbage; __client_uat=7"]), "out token-invalid");
    // What the browser's state says comes before what the clock says.
    let over = rig.mint(&TokenSpec::session("user_1").spoil(Spoil::Expired));
    let at_over = |uat: i64| cookies(&rig.client, &[&format!("__session={over}; __client_uat={uat}")]);
    assert_eq!(at_over(NOW_S), "out session-token-iat-before-client-uat");
    assert_eq!(at_over(7), "out token-expired");
    assert_eq!(cookies(&rig.client, &["a=b"]), "none session-token-and-uat-missing");
    assert_eq!(cookies(&rig.client, &["__client_uat=7"]), "out client-uat-but-no-session-token");
    assert_eq!(rig.ask(&token), "in cache");
}

#[test]
fn a_handshake_is_recommended_for_page_loads_only() {
    let rig = claims_only();
    let expired = format!("__session={}", rig.mint(&TokenSpec::session("user_1").spoil(Spoil::Expired)));
    let recommended = |method: &str, dest: &str, cookie: &str| {
        let mut request = Request::new();
        request.method(method.as_bytes()).header(b"Sec-Fetch-Dest", dest.as_bytes());
        request.header(b"Cookie", cookie.as_bytes());
        rig.client.authenticate(&request).handshake_recommended
    };
    assert!(recommended("GET", "document", &expired));
    assert!(!recommended("POST", "document", &expired) && !recommended("GET", "empty", &expired));
    assert!(!recommended("GET", "document", "__session=garbage"));
}

#[test]
fn the_numbers_tell_what_happened() {
    let rig = profile(|_| {});
    let token = rig.token("user_1");
    (0..3).for_each(|_| drop(rig.ask(&token)));
    rig.ask("garbage");
    rig.sim.set_down(true).unwrap();
    rig.ask_new("user_2");
    let stats = rig.client.stats();
    assert_eq!((stats.cache_hits, stats.cache_misses, stats.signed_in), (2, 3, 1));
    assert_eq!((stats.signed_out, stats.unavailable), (1, 1));
    assert_eq!((stats.user_fetches, stats.jwks_fetches, stats.jwks_age_ms), (2, 0, -1));
    assert_eq!((stats.cached_tokens, stats.cached_users), (1, 1));
}
