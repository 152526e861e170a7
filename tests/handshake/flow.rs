//! What the handshake does where all is well.

use clerk_auth::{Client, Error};
use clerk_sim::TokenSpec;
use serde_json::json;

use super::common::{NOW_S, bearer, pem, word};
use super::{Browser, LIVE_KEY, ORIGIN, development, handshake_token, lines, live, seen, session, set_cookies};

#[test]
fn stale_session_goes_to_clerk_and_comes_back_signed_in() {
    let fixture = live(|_| {});
    let page = Browser::document("/dashboard?tab=1").expired(&fixture);
    let away = page.send(&fixture.client);
    assert_eq!((word(&away), away.http_status()), ("out token-expired".into(), 307));
    assert_eq!(away.cache_control(), Some("no-store"));
    assert_eq!(set_cookies(&away), ["__clerk_redirect_count=1; SameSite=Lax; HttpOnly; Max-Age=2"]);
    let location = away.redirect().unwrap();
    let expected = "https://clerk.example.com/v1/client/handshake?redirect_url=https%3A%2F%2Fapp.example.com%2Fdashboard\
                    %3Ftab%3D1&__clerk_api_version=2026-05-12&suffixed_cookies=false&__clerk_hs_reason=\
                    session-token-expired-refresh-non-eligible-no-refresh-cookie&format=nonce&__session=";
    assert_eq!(location, format!("{expected}{}", page.cookies[0].1));
    assert!(away.handshake_recommended());

    let token = fixture.mint(&session());
    fixture.sim.update(|state| state.nonces.insert("n1".into(), lines(&token)));
    let back = page.cookie("__clerk_handshake_nonce", "n1").send(&fixture.client);
    assert_eq!((seen(&back), back.http_status()), (("in verified".into(), 3, false), 200));
    assert_eq!(set_cookies(&back), serde_json::from_value::<Vec<String>>(lines(&token)).unwrap());
    assert_eq!(back.identity().unwrap().user_id(), Some("user_ada"));

    let next = Browser::document("/").cookie("__session", token).cookie("__client_uat", "1700000000");
    assert_eq!(seen(&next.send(&fixture.client)), ("in cache".into(), 0, false));
    let events = fixture.event_log.take();
    for event in ["handshake_started token-expired", "handshake_resolved nonce 0"] {
        assert_eq!(events.iter().filter(|other| *other == event).count(), 1, "{event} {events:?}");
    }
    assert!(fixture.sim.violations().is_empty(), "{:?}", fixture.sim.violations());
}

#[test]
fn redirect_is_built_without_waiting_and_clerk_is_left_to_the_blocking_call() {
    let fixture = live(|config| config.jwt_key = None);
    let page = Browser::document("/").cookie("__client_uat", "1700000000");
    assert_eq!(
        seen(&page.send_cached(&fixture.client).unwrap()),
        ("out client-uat-but-no-session-token".into(), 1, true)
    );
    let expired = Browser::document("/").expired(&fixture);
    assert!(expired.send_cached(&fixture.client).is_none(), "the keys are missing");
    fixture.client.warm_up().unwrap();
    assert!(expired.send_cached(&fixture.client).unwrap().redirect().is_some());
    let nonce = page.cookie("__clerk_handshake_nonce", "n1");
    assert!(nonce.send_cached(&fixture.client).is_none());
    let refresh = expired.cookie("__refresh_naoXFJnI", "rt_0");
    assert!(refresh.send_cached(&fixture.client).is_none());
    assert_eq!(fixture.calls(), 1);
    let token = fixture.mint(&session());
    let token = handshake_token(&fixture, &lines(&token));
    let back = Browser::document("/").cookie("__clerk_handshake", token);
    assert_eq!(seen(&back.send_cached(&fixture.client).unwrap()), ("in verified".into(), 3, false));
}

#[test]
fn redirect_names_the_cookies_that_clerks_rules_choose() {
    let fixture = live(|_| {});
    let token = fixture.mint(&session());
    let both = Browser::document("/").cookie("__session", &*token).cookie("__session_naoXFJnI", &*token);
    let uats = |uat: &str| both.clone().cookie("__client_uat", uat).cookie("__client_uat_naoXFJnI", uat);
    for (page, is_suffixed) in [(uats("0"), true), (both.clone(), false), (both.cookie("__client_uat", "0"), false)] {
        let result = page.send(&fixture.client);
        assert_eq!(seen(&result), ("out session-token-but-no-client-uat".into(), 1, true));
        assert!(result.redirect().unwrap().contains(&format!("&suffixed_cookies={is_suffixed}&")), "{is_suffixed}");
    }
}

#[test]
fn request_without_a_session_cookie_is_anonymous() {
    for (fixture, pages) in [
        (live(|_| {}), vec![("", true), ("__client_uat=1700000000", true), ("__session=a.b.c; __client_uat=5", false)]),
        (development(|_| {}), vec![("", true), ("__clerk_db_jwt=dvb_1", true), ("__session=a.b.c", true)]),
    ] {
        for (cookies, is_anonymous) in pages {
            for mut page in [Browser::fetch("/"), Browser::document("/")] {
                page.cookies = cookies.split("; ").filter_map(|pair| pair.split_once('=')).map(own).collect();
                let result = page.send(&fixture.client);
                assert_eq!(result.is_anonymous(), is_anonymous, "{cookies} {}", word(&result));
                assert!(!result.is_signed_in());
            }
        }
    }
    let fixture = live(|_| {});
    let expired = Browser::fetch("/").expired(&fixture).send(&fixture.client);
    assert_eq!((word(&expired), expired.is_anonymous()), ("out token-expired".into(), false));
}

fn own((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn setting_off_and_request_without_target_are_as_before() {
    let off = live(|config| config.set("handshake", "off").unwrap());
    let result = Browser::document("/").expired(&off).send(&off.client);
    assert_eq!((seen(&result), result.handshake_recommended()), (("out token-expired".into(), 0, false), true));
    let on = live(|_| {});
    let mut page = Browser::document("/").cookie("__session", on.mint(&session()));
    page.target.clear();
    assert_eq!(seen(&page.send(&on.client)), ("in verified".into(), 0, false));
}

#[test]
fn development_removes_clerks_parameters_from_the_address() {
    let fixture = development(|_| {});
    let token = fixture.mint(&session());
    fixture.sim.update(|state| state.nonces.insert("n1".into(), lines(&token)));
    let target = "/a?b=%20c&__clerk_handshake_nonce=n1&__clerk_db_jwt=dvb_1&d";
    let back = Browser::document(target).cookie("__clerk_db_jwt", "dvb_1").send(&fixture.client);
    assert_eq!((seen(&back), back.http_status()), (("in verified".into(), 3, true), 307));
    assert_eq!(back.redirect(), Some("https://app.example.com/a?b=%20c&d"));
    let unknown = Browser::document("/").send(&fixture.client);
    assert_eq!(seen(&unknown), ("out dev-browser-missing".into(), 1, true));
    assert!(unknown.redirect().unwrap().starts_with("https://clean-mayfly-62.clerk.accounts.dev/v1/client/handshake?"));
}

#[test]
fn expired_session_is_refreshed_by_fetch_and_document() {
    let fixture = live(|_| {});
    let token = fixture.mint(&session());
    fixture.sim.update(|state| state.refresh = json!({"cookies": lines(&token)}));
    for (n, page) in [Browser::fetch("/api"), Browser::document("/")].into_iter().enumerate() {
        let expired = fixture.mint(&TokenSpec { iat_in: Some(-180 - n as i64), ..session().exp_in(-120) });
        let page = page.cookie("__session", expired).cookie("__client_uat", "1700000000");
        let page = page.cookie("__refresh_naoXFJnI", "rt_0").header("User-Agent", "Test/1");
        let refreshed = page.send(&fixture.client);
        assert!(refreshed.is_signed_in() && refreshed.redirect().is_none(), "{}", word(&refreshed));
        assert_eq!((refreshed.set_cookies().len(), refreshed.cache_control()), (3, Some("no-store")));
        // The same browser again, before it has stored the cookies.
        assert_eq!(page.send(&fixture.client).set_cookies().len(), 3);
        assert_eq!(fixture.sim.requests("/sessions/*/refresh"), n + 1);
    }
    assert!(fixture.sim.violations().is_empty(), "{:?}", fixture.sim.violations());
}

#[test]
fn sign_out_elsewhere_clears_the_cookies_and_refuses() {
    let fixture = live(|_| {});
    let cleared = json!(["__session=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "__client_uat=0; Path=/"]);
    let token = handshake_token(&fixture, &cleared);
    let page = Browser::document("/").expired(&fixture).cookie("__clerk_handshake", token);
    assert_eq!(seen(&page.send(&fixture.client)), ("none session-token-missing".into(), 2, false));
}

#[test]
fn client_uat_is_compared_before_the_signature() {
    let fixture = live(|_| {});
    let old = fixture.mint(&session().key("other"));
    let page = Browser::document("/").cookie("__session", old).cookie("__client_uat", (NOW_S + 1).to_string());
    assert_eq!(seen(&page.send(&fixture.client)), ("out session-token-iat-before-client-uat".into(), 1, true));
    assert_eq!(fixture.calls(), 0, "no key is fetched for a redirect");
    // A cached session, too.
    let token = fixture.mint(&session());
    let page = |uat: i64| Browser::document("/").cookie("__session", &*token).cookie("__client_uat", uat.to_string());
    assert_eq!(word(&page(NOW_S - 100).send(&fixture.client)), "in verified");
    assert_eq!(
        seen(&page(NOW_S + 1).send(&fixture.client)),
        ("out session-token-iat-before-client-uat".into(), 1, true)
    );
}

#[test]
fn bearer_token_uses_no_cookie() {
    let fixture = live(|_| {});
    let token = fixture.mint(&TokenSpec::session("user_bob").sid("sess_bob").azp(ORIGIN));
    fixture.sim.update(|state| state.refresh = json!({"cookies": lines(&token)}));
    let ada = fixture.mint(&TokenSpec { iat_in: Some(-180), ..session().exp_in(-120) });
    let bob =
        TokenSpec { iat_in: Some(-180), ..TokenSpec::session("user_bob").sid("sess_bob").azp(ORIGIN).exp_in(-120) };
    let bob = fixture.mint(&bob);
    let with_cookies = |page: Browser| {
        let page = page.cookie("__session", &*bob).cookie("__client_uat", "1700000000");
        page.cookie("__refresh_naoXFJnI", "rt_bob").header("Authorization", format!("Bearer {ada}"))
    };
    let refused = with_cookies(Browser::fetch("/api")).send(&fixture.client);
    assert_eq!(seen(&refused), ("out token-expired".into(), 0, false));
    let redirected = with_cookies(Browser::document("/")).send(&fixture.client);
    let location = redirected.redirect().unwrap();
    assert!(location.contains(&ada) && !location.contains(&bob), "{location}");
    assert_eq!(fixture.sim.requests("/sessions/*/refresh"), 0);
    let valid = fixture.mint(&session());
    let signed_in = bearer(&fixture.client, &valid);
    assert_eq!(signed_in.identity().unwrap().user_id(), Some("user_ada"));
}

#[test]
fn organization_of_the_path_is_activated() {
    let fixture = live(|config| config.set("organization_patterns", "/orgs/:slug,/orgs/:slug/(.*)").unwrap());
    let token = fixture.mint(&session());
    let page = |target: &str| {
        Browser::document(target)
            .cookie("__session", &*token)
            .cookie("__client_uat", "1700000000")
            .send(&fixture.client)
    };
    assert_eq!(seen(&page("/")), ("in verified".into(), 0, false));
    let other = page("/orgs/acme/settings");
    assert_eq!(seen(&other), ("out active-organization-mismatch".into(), 1, true));
    assert!(other.redirect().unwrap().ends_with("&organization_id=acme"));
}

#[test]
fn handshake_without_keys_is_a_configuration_error() {
    let build = |key: &str, secret: &str| -> Result<Client, Error> {
        let builder = Client::builder().handshake("on").publishable_key(key).secret_key(secret);
        builder.jwt_key(pem(&clerk_sim::Sim::start()).unwrap()).build()
    };
    for (key, secret, setting) in [("", "sk_live_x", "publishable_key"), (LIVE_KEY, "", "secret_key")] {
        let error = build(key, secret).unwrap_err();
        assert!(error.is_config() && error.to_string().starts_with(setting), "{error}");
    }
    assert!(build(LIVE_KEY, "sk_live_x").is_ok());
}

#[test]
fn unknown_public_origin_is_warned_of() {
    use std::sync::{Arc, Mutex};
    let warnings = |origin: &str| {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        let builder = Client::builder().handshake("on").publishable_key(LIVE_KEY).secret_key("sk_live_x");
        let builder = builder.set("public_origin", origin);
        builder
            .on_log(clerk_auth::LogLevel::Warn, move |_, line| sink.lock().unwrap().push(line.to_owned()))
            .build()
            .unwrap();
        lines.lock().unwrap().iter().filter(|line| line.starts_with("handshake: neither")).count()
    };
    assert_eq!((warnings(""), warnings(ORIGIN)), (1, 0));
}
