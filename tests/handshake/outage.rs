//! Failures of Clerk in the middle of a handshake.

#[cfg(feature = "sqlite")]
use std::sync::Arc;
use std::sync::Barrier;
use std::time::Duration;

#[cfg(feature = "sqlite")]
use clerk_auth::users::SqliteStore;
use clerk_sim::Fault;
#[cfg(feature = "sqlite")]
use clerk_sim::Sim;
use serde_json::json;

#[cfg(feature = "sqlite")]
use super::common::{Fixture, TempDir};
use super::common::{SLACK, retry_after_ms, timed, word};
use super::{Browser, configure_live, handshake_token, lines, live, seen, session};

const PAYLOAD: &str = "/clients/handshake_payload";

// Threat H11.
#[test]
fn outage_during_the_exchange_is_unavailable_and_then_heals() {
    let fixture = live(|config| config.timeout_ms = 1000);
    let token = fixture.mint(&session());
    let page = Browser::document("/").expired(&fixture).cookie("__clerk_handshake_nonce", "n1");
    for fault in [
        Fault { status: Some(500), ..Fault::default() },
        Fault {
            status: Some(429),
            headers: json!({"Retry-After": "0"}).as_object().unwrap().clone(),
            ..Fault::default()
        },
        Fault { close: true, ..Fault::default() },
        Fault { body: Some(json!({"$text": "<html>"})), ..Fault::default() },
        Fault { body: Some(json!({"directives": "__session=a"})), ..Fault::default() },
        Fault { body: Some(json!({})), ..Fault::default() },
    ] {
        let fixture = live(|config| config.timeout_ms = 1000);
        fixture.sim.update(|state| state.nonces.insert("n1".into(), lines(&token)));
        fixture.sim.set_faults(vec![Fault { path: PAYLOAD.into(), times: Some(1), ..fault }]);
        let result = page.send(&fixture.client);
        assert_eq!((seen(&result), result.http_status()), (("unavailable server-error".into(), 0, false), 503));
        assert!(retry_after_ms(&result).is_some());
        assert_eq!(fixture.sim.requests(PAYLOAD), 1, "a nonce is not sent twice in one request");
        fixture.sim.clear_faults();
        fixture.time.advance_s(60);
        assert_eq!(seen(&page.send(&fixture.client)), ("in verified".into(), 3, false));
    }
}

// Threat H11.
#[test]
fn keys_missing_after_the_exchange_are_unavailable_and_the_browser_keeps_its_cookies() {
    let fixture = live(|_| {});
    fixture.sim.set_faults(vec![Fault { path: "/jwks".into(), status: Some(500), ..Fault::default() }]);
    let token = fixture.mint(&session());
    fixture.sim.update(|state| state.nonces.insert("n1".into(), lines(&token)));
    let result = Browser::document("/").cookie("__clerk_handshake_nonce", "n1").send(&fixture.client);
    // The nonce is used up: without its cookies the browser could not come back signed in.
    assert_eq!((seen(&result), result.http_status()), (("unavailable jwk-failed-to-load".into(), 3, false), 503));
    fixture.sim.clear_faults();
    fixture.time.advance_s(60);
    let token = fixture.mint(&session());
    let next = Browser::document("/").cookie("__session", token).cookie("__client_uat", "1700000000");
    assert_eq!(seen(&next.send(&fixture.client)), ("in verified".into(), 0, false));
}

// Threat H11.
#[test]
fn slow_exchange_ends_at_the_deadline_of_the_request() {
    let fixture = live(|config| config.timeout_ms = 400);
    fixture.sim.set_faults(vec![Fault { path: PAYLOAD.into(), delay_ms: 3000, ..Fault::default() }]);
    let page = Browser::document("/").cookie("__clerk_handshake_nonce", "n1");
    let (result, took) = timed(|| page.send(&fixture.client));
    assert_eq!(result.http_status(), 503);
    assert!(took < Duration::from_millis(400) + SLACK, "{took:?}");
}

// Threat H11.
#[test]
fn keys_that_cannot_be_fetched_are_unavailable_not_signed_out() {
    let fixture = live(|_| {});
    fixture.sim.set_faults(vec![Fault { path: "/jwks".into(), status: Some(500), ..Fault::default() }]);
    let token = fixture.mint(&session());
    let page = Browser::document("/").cookie("__clerk_handshake", handshake_token(&fixture, &lines(&token)));
    let result = page.send(&fixture.client);
    assert_eq!((seen(&result), result.http_status()), (("unavailable jwk-failed-to-load".into(), 0, false), 503));
}

#[test]
fn outage_of_the_refresh_leaves_the_redirect() {
    let fixture = live(|_| {});
    fixture.sim.set_faults(vec![Fault { path: "/sessions/*/refresh".into(), close: true, ..Fault::default() }]);
    let page = Browser::document("/").expired(&fixture).cookie("__refresh_naoXFJnI", "rt_0");
    let result = page.send(&fixture.client);
    assert_eq!(seen(&result), ("out token-expired".into(), 1, true));
    assert!(result.redirect().unwrap().contains("refresh-fetch-error"));
}

#[test]
fn rejected_secret_key_is_misconfigured() {
    let fixture = live(|_| {});
    fixture.sim.update(|state| state.secret_keys = vec!["sk_live_other".into()]);
    let result = Browser::document("/").cookie("__clerk_handshake_nonce", "n1").send(&fixture.client);
    assert_eq!((seen(&result), result.http_status()), (("unavailable secret-key-invalid".into(), 0, false), 500));
}

#[test]
fn requests_of_one_page_share_the_exchange() {
    let fixture = live(|_| {});
    let token = fixture.mint(&session());
    fixture.client.warm_up().unwrap();
    fixture.sim.update(|state| state.nonces.insert("n1".into(), lines(&token)));
    fixture.sim.set_faults(vec![Fault { path: PAYLOAD.into(), delay_ms: 200, ..Fault::default() }]);
    let page = Browser::document("/").cookie("__clerk_handshake_nonce", "n1");
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                let result = page.send(&fixture.client);
                assert!(result.is_signed_in() && result.set_cookies().len() == 3, "{}", word(&result));
            });
        }
    });
    assert_eq!(fixture.sim.requests(PAYLOAD), 1);
}

/// A firewall may refuse what a browser sends; that must not stop what others send.
#[test]
fn foreign_response_to_one_browser_stops_no_other() {
    const REFRESH: &str = "/sessions/*/refresh";
    for (status, body) in [403, 406, 302, 200, 503].map(|status| (status, json!({"$text": "<html>"}))) {
        for path in [REFRESH, PAYLOAD] {
            let fixture = live(|_| {});
            fixture.client.warm_up().unwrap();
            let fault = Fault { path: path.into(), status: Some(status), body: Some(body.clone()), ..Fault::default() };
            fixture.sim.set_faults(vec![Fault { times: Some(8), ..fault }]);
            let page = |n: u32, nonce: &str| {
                let sid = format!("sess_{n}");
                let token = fixture.mint(&session().sid(&sid));
                fixture.sim.update(|state| {
                    state.nonces.insert("good".into(), lines(&token));
                    state.refresh = json!({"cookies": lines(&token)});
                });
                let page = Browser::document("/").cookie("__client_uat", "1700000000");
                match path {
                    REFRESH => {
                        let spec = clerk_sim::TokenSpec { iat_in: Some(-180), ..session().sid(&sid).exp_in(-120) };
                        page.cookie("__session", fixture.mint(&spec)).cookie("__refresh_naoXFJnI", format!("rt_{n}"))
                    }
                    _ => page.cookie("__session", token).cookie("__clerk_handshake_nonce", nonce),
                }
            };
            for n in 0..8 {
                let result = page(n, &format!("odd{n}")).send(&fixture.client);
                assert!(!result.is_signed_in(), "{path} {status}: {}", word(&result));
            }
            // Clerk's own failure stops the calls for all.
            let is_outage = status == 503;
            assert_eq!(fixture.sim.requests(path), if is_outage { 5 } else { 8 }, "{path} {status}");
            let result = page(9, "good").send(&fixture.client);
            assert_eq!(result.is_signed_in(), !is_outage, "{path} {status}: {}", word(&result));
        }
    }
}

/// The page waits for the key of the response, then for the row of its cached session.
#[cfg(feature = "sqlite")]
#[test]
fn page_that_waits_for_clerk_and_the_table_has_one_deadline() {
    let dir = TempDir::new();
    let outside = || rusqlite::Connection::open(dir.join("users.db")).unwrap();
    // A rollback journal: nothing is read during a commit.
    outside().execute_batch("CREATE TABLE own (x)").unwrap();
    let store = Arc::new(SqliteStore::open(dir.join("users.db")).unwrap());
    let timeout = Duration::from_millis(800);
    let fixture = Fixture::build(Sim::start(), Some(store), |config| {
        configure_live(config);
        config.timeout_ms = 800;
        config.cache_ttl_s = 3600;
        config.user_ttl_s = 3600;
    });
    fixture.sim.put_user(json!({"id": "user_ada", "username": "ada"}));
    let token = fixture.mint(&session().exp_in(3600));
    let page = Browser::document("/").cookie("__session", &token).cookie("__client_uat", "1700000000");
    assert_eq!(word(&page.send(&fixture.client)), "in verified");
    assert_eq!(word(&page.send(&fixture.client)), "in cache");
    fixture.time.advance_s(301);
    fixture.sim.set_faults(vec![Fault { path: "/jwks".into(), delay_ms: 5000, ..Fault::default() }]);
    let locking = outside();
    locking.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let response = handshake_token(&fixture, &lines(&token));
    let page = page.cookie("__clerk_handshake", response);
    let (result, took) = timed(|| page.send(&fixture.client));
    assert_eq!(word(&result), "unavailable store-error");
    assert!(took >= timeout / 2 && took < timeout + SLACK, "took {took:?}");
}
