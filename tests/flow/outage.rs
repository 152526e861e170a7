//! Faults of Clerk: each has its outcome and its reason, and no result is returned after the deadline.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clerk_auth::UserMode;
use clerk_auth::internals::Config;
use clerk_sim::{Fault, Sim, TokenSpec};
use serde_json::{Value, json};

use super::common::table::Table;
use super::common::unresponsive_server::{Behavior, UnresponsiveServer};
use super::common::{Fixture, SLACK, auth_events, bearer, inline, pem, retry_after_ms, timed, word};

const TIMEOUT_MS: i64 = 600;
const LIMIT: Duration = Duration::from_millis(TIMEOUT_MS as u64).saturating_add(SLACK);

/// Users are fetched, keys are not.
fn users(tune: impl FnOnce(&mut Config)) -> Fixture {
    let sim = Sim::start();
    let key = pem(&sim);
    sim.put_user(json!({"id": "user_1"}));
    Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.user_mode = Some(UserMode::Profile);
        config.timeout_ms = TIMEOUT_MS;
        tune(config);
    })
}

/// Keys are fetched, users are not.
fn keys() -> Fixture {
    Fixture::new(|config| config.timeout_ms = TIMEOUT_MS)
}

fn text(body: &str) -> Value {
    json!({"$text": body})
}

/// Name, fault, outcome when the user has to be fetched, and outcome when the key has to be fetched.
fn faults() -> Vec<(&'static str, Fault, &'static str, &'static str)> {
    let all = || Fault::on("*");
    let (server, secret) = ("unavailable server-error", "unavailable secret-key-invalid");
    let (load, invalid) = ("unavailable jwk-failed-to-load", "unavailable jwk-remote-invalid");
    vec![
        ("401", all().status(401), secret, secret),
        ("402", all().status(402), server, load),
        ("403", all().status(403), secret, load),
        ("404", all().status(404), "out user-not-found", load),
        ("400", all().status(400), server, load),
        ("422", all().status(422), server, load),
        ("429", all().status(429).header("Retry-After", "2"), server, load),
        ("500", all().status(500), server, load),
        ("503 with Retry-After", all().status(503).header("Retry-After", "30"), server, load),
        ("302", all().status(302).header("Location", "/v1/users/user_1"), server, load),
        ("html", all().body(text("<html>")), server, invalid),
        ("nothing", all().body(text("")), server, invalid),
        ("null", all().body(json!(null)), server, invalid),
        ("list", all().body(json!([])), server, invalid),
        ("cut JSON", all().body(text(r#"{"id":"user_1","keys":[{"kid":"#)), server, invalid),
        ("not UTF-8", all().body(json!({"$base64": "eyJpZCI6IsP//yJ9"})), server, invalid),
        ("n4 wrong id", all().body(json!({"id": "user_2", "object": "user"})), server, invalid),
        ("compressed", all().header("Content-Encoding", "gzip").body(json!({"$base64": "H4sIAAAA"})), server, invalid),
        ("half a body", Fault { truncate: Some(20), ..all() }, server, load),
        ("2 MiB", all().body(text(&" ".repeat(2 << 20))), server, load),
        ("reset", all().reset(), server, load),
        ("close", Fault { close: true, ..all() }, server, load),
        ("garbage", Fault { garbage: true, ..all() }, server, load),
        ("late", all().delay_ms(1200), server, load),
        ("drip", Fault { drip_ms: 50, ..all() }, server, load),
        ("drip head", Fault { drip_ms: 50, drip_head: true, ..all() }, server, load),
    ]
}

/// Threat N5.
#[test]
fn every_fault_has_its_outcome_within_timeout() {
    std::thread::scope(|scope| {
        for (name, fault, with_user, with_key) in faults() {
            scope.spawn(move || {
                for (fixture, outcome) in [(users(|_| {}), with_user), (keys(), with_key)] {
                    fixture.sim.fault(fault.clone());
                    let token = fixture.token("user_1");
                    let (ended, took) = timed(|| fixture.ask(&token));
                    assert_eq!(ended, outcome, "{name}");
                    assert!(took <= LIMIT, "{name} took {took:?}");
                    assert_eq!(auth_events(&fixture.event_log.take()), 1, "{name}");
                    assert_eq!(fixture.client.stats().cached_tokens, 0, "{name}");
                    fixture.sim.clear_faults();
                    fixture.time.advance_s(31);
                    assert_eq!(fixture.authenticate_new("user_1"), "in verified", "after {name}");
                }
            });
        }
    });
}

#[test]
fn transient_fault_is_retried_within_the_call() {
    let once = |fault: Fault| fault.times(1);
    let all = || Fault::on("*");
    let faults = [
        all().status(500),
        all().status(502),
        all().status(503),
        all().status(504),
        all().reset(),
        Fault { close: true, ..all() },
        Fault { garbage: true, ..all() },
        Fault { truncate: Some(10), ..all() },
    ];
    for fault in faults {
        for fixture in [users(|config| config.timeout_ms = 5000), Fixture::new(|_| {})] {
            fixture.sim.fault(once(fault.clone()));
            assert_eq!((fixture.authenticate_new("user_1").as_str(), fixture.calls()), ("in verified", 2), "{fault:?}");
        }
    }
}

#[test]
fn closed_pooled_connection_fails_no_request() {
    let fixture = users(|config| config.user_ttl_s = 0);
    for _ in 0..3 {
        assert_eq!(fixture.authenticate_new("user_1"), "in verified");
        fixture.sim.set_down(true).unwrap();
        fixture.sim.set_down(false).unwrap();
    }
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
}

#[test]
fn lasting_fault_is_tried_three_times_and_refusal_once() {
    for (status, calls) in [(500, 3), (503, 3), (401, 1), (403, 1), (404, 1), (429, 1), (400, 1), (302, 1)] {
        let fixture = users(|config| config.timeout_ms = 5000);
        fixture.sim.fault(Fault::on("*").status(status));
        fixture.authenticate_new("user_1");
        assert_eq!(fixture.calls(), calls, "{status}");
    }
}

#[test]
fn retry_after_of_429_stops_calls() {
    for (value, open_ms) in [("2", 2000), ("0", 1000), ("999999", 60_000), ("never", 1000)] {
        let fixture = users(|_| {});
        fixture.sim.fault(Fault::on("*").status(429).header("Retry-After", value).times(1));
        let first = bearer(&fixture.client, &fixture.token("user_1"));
        assert_eq!(word(&first), "unavailable server-error");
        assert!(retry_after_ms(&first).is_none_or(|ms| ms <= open_ms as u64), "{value}");
        assert!(fixture.event_log.take().iter().any(|event| event.starts_with("rate_limited ")), "{value}");
        for advance_ms in [0, open_ms - 1] {
            fixture.time.advance_ms(advance_ms);
            let answer = bearer(&fixture.client, &fixture.token("user_1"));
            assert_eq!(word(&answer), "unavailable server-error");
            assert_eq!(retry_after_ms(&answer), Some((open_ms - advance_ms) as u64), "{value}");
        }
        assert_eq!(fixture.calls(), 1, "{value}");
        fixture.time.advance_ms(1);
        assert_eq!((fixture.authenticate_new("user_1").as_str(), fixture.calls()), ("in verified", 2), "{value}");
    }
}

#[test]
fn retry_after_accepts_http_date() {
    let fixture = users(|_| {});
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(20));
    fixture.sim.fault(Fault::on("*").status(429).header("Retry-After", &date));
    let waiting = retry_after_ms(&bearer(&fixture.client, &fixture.token("user_1"))).unwrap();
    assert!((15_000..=21_000).contains(&waiting), "{waiting}");
}

#[test]
fn five_failures_open_circuit_with_backoff() {
    let fixture = users(|_| {});
    fixture.sim.fault(Fault::on("/users/*").status(302));
    (0..5).for_each(|_| drop(fixture.authenticate_new("user_1")));
    assert_eq!(fixture.calls(), 5);
    for (round, open_ms) in [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000].into_iter().enumerate() {
        let answer = bearer(&fixture.client, &fixture.token("user_1"));
        assert_eq!((word(&answer).as_str(), retry_after_ms(&answer)), ("unavailable server-error", Some(open_ms)));
        fixture.time.advance_ms(open_ms as i64 - 1);
        fixture.authenticate_new("user_1");
        assert_eq!(fixture.calls(), 5 + round);
        fixture.time.advance_ms(1);
        fixture.authenticate_new("user_1");
        assert_eq!(fixture.calls(), 6 + round);
    }
    // Other endpoints are not affected.
    let fixture = Fixture::new(|config| config.user_mode = Some(UserMode::Profile));
    fixture.sim.fault(Fault::on("/users/*").status(429));
    assert_eq!(fixture.authenticate_new("user_1"), "unavailable server-error");
    assert!(fixture.client.warm_up().is_ok());
}

#[test]
fn unreadable_responses_open_circuit() {
    for body in [json!({"$text": "<html>"}), json!({"id": "user_2"})] {
        let fixture = users(|_| {});
        fixture.sim.fault(Fault::on("/users/*").body(body));
        (0..8).for_each(|_| assert_eq!(fixture.authenticate_new("user_1"), "unavailable server-error"));
        assert_eq!(fixture.calls(), 5);
    }
}

#[test]
fn not_found_does_not_open_circuit() {
    let fixture = users(|_| {});
    for user in 0..20 {
        assert_eq!(fixture.authenticate_new(&format!("user_gone{user}")), "out user-not-found");
    }
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
}

#[test]
fn outage_serves_stale_user_for_user_stale_if_error() {
    std::thread::scope(|scope| {
        for (name, fault, _, _) in faults().into_iter().filter(|(name, ..)| *name != "404") {
            scope.spawn(move || {
                let fixture = users(|_| {});
                let cached = fixture.mint(&TokenSpec::session("user_1").exp_in(7200));
                assert_eq!(fixture.ask(&cached), "in verified");
                fixture.sim.fault(fault.clone());
                // The token is cached and the user is fresh: no call.
                fixture.time.advance_s(299);
                assert_eq!([fixture.ask(&cached), fixture.authenticate_new("user_1")], ["in cache", "in verified"]);
                assert_eq!(fixture.calls(), 1, "{name}");
                fixture.event_log.take();
                fixture.time.advance_s(1);
                let (ended, took) = timed(|| fixture.authenticate_new("user_1"));
                assert_eq!(ended, "in verified", "{name}");
                assert!(took <= LIMIT, "{name} took {took:?}");
                let events = fixture.event_log.take();
                assert!(events.contains(&"stale_user_served".into()) && auth_events(&events) == 1, "{name} {events:?}");
                fixture.time.advance_ms(3_299_999);
                assert_eq!(fixture.authenticate_new("user_1"), "in verified", "{name}");
                fixture.time.advance_ms(1);
                assert!(fixture.authenticate_new("user_1").starts_with("unavailable "), "{name}");
                assert_eq!(fixture.authenticate_new("user_3").split(' ').next(), Some("unavailable"), "{name}");
            });
        }
    });
}

#[test]
fn stale_user_costs_no_call_while_rate_limited() {
    let fixture = users(|_| {});
    fixture.authenticate_new("user_1");
    fixture.time.advance_s(300);
    fixture.sim.fault(Fault::on("*").status(429).header("Retry-After", "30"));
    (0..50).for_each(|_| assert_eq!(fixture.authenticate_new("user_1"), "in verified"));
    assert_eq!(fixture.calls(), 2);
    fixture.time.advance_s(30);
    fixture.authenticate_new("user_1");
    assert_eq!(fixture.calls(), 3);
}

#[test]
fn deleted_user_is_not_served_stale() {
    let fixture = users(|_| {});
    fixture.authenticate_new("user_1");
    fixture.time.advance_s(300);
    fixture.sim.delete_user("user_1");
    assert_eq!(fixture.authenticate_new("user_1"), "out user-not-found");
    fixture.sim.fault(Fault::on("*").status(500));
    fixture.time.advance_s(10);
    assert_eq!(fixture.authenticate_new("user_1"), "unavailable server-error");
}

#[test]
fn stale_user_is_not_served_with_setting_zero() {
    let fixture = users(|config| config.user_stale_if_error_s = 0);
    fixture.authenticate_new("user_1");
    fixture.sim.fault(Fault::on("*").status(401));
    fixture.time.advance_s(299);
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    fixture.time.advance_s(1);
    assert_eq!(fixture.authenticate_new("user_1"), "unavailable secret-key-invalid");
}

#[test]
fn stale_user_needs_an_active_row() {
    let table = Arc::new(Table::default());
    let fixture = Fixture::with_store(table.clone(), |config| config.timeout_ms = TIMEOUT_MS);
    fixture.sim.put_user(json!({"id": "user_1"}));
    fixture.authenticate_new("user_1");
    fixture.time.advance_s(300);
    fixture.sim.fault(Fault::on("/users/*").status(401));
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    table.change(|rows| rows[0].is_active = false);
    assert_eq!(fixture.authenticate_new("user_1"), "out user-inactive");
}

/// Threat N2.
#[test]
fn redirect_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = UnresponsiveServer::start(Behavior::Silent);
        for fixture in [users(|_| {}), keys()] {
            fixture
                .sim
                .fault(Fault::on("*").status(status).header("Location", &format!("{}/v1/jwks", elsewhere.url())));
            assert!(fixture.authenticate_new("user_1").starts_with("unavailable "), "{status}");
            assert_eq!(fixture.calls(), 1);
        }
        assert_eq!(elsewhere.connections(), 0, "{status}");
    }
}

/// Threat N2.
#[test]
fn id_that_changes_the_url_is_never_sent() {
    let fixture = users(|config| config.session_check_ttl_s = 60);
    for id in [
        "user_//evil.example",
        "user_..%2f..%2fjwks",
        "user_1/../../jwks",
        "user_@evil.example",
        "user_1?expand=all",
        "user_1#x",
        "user_1 ",
        "user_é",
        "user_",
        "",
        "//evil.example",
    ] {
        assert_eq!(fixture.authenticate_new(id), "out token-invalid", "{id}");
        assert!(fixture.ask(&fixture.mint(&TokenSpec::session("user_1").sid(id))).starts_with("out "), "{id}");
    }
    assert_eq!(fixture.sim.connections(), 0);
}

/// Threat N3.
#[test]
fn endless_and_silent_responses_end_at_timeout() {
    for behavior in [Behavior::Endless, Behavior::Silent] {
        let server = UnresponsiveServer::start(behavior);
        for url in [server.url(), format!("{}/v1/", server.url())] {
            for mode in [UserMode::Claims, UserMode::Profile] {
                let fixture = users(|config| {
                    config.api_url = url.clone();
                    config.user_mode = Some(mode);
                    if mode == UserMode::Claims {
                        config.jwt_key = None;
                    }
                });
                let (ended, took) = timed(|| fixture.authenticate_new("user_1"));
                assert!(ended.starts_with("unavailable "), "{ended}");
                assert!(took <= LIMIT, "{mode:?} took {took:?}");
            }
        }
    }
}

#[test]
fn refused_connection_or_unknown_host_is_unavailable() {
    let fixture = users(|_| {});
    fixture.sim.set_down(true).unwrap();
    let lost = users(|config| config.api_url = "https://clerk.invalid".into());
    for fixture in [fixture, lost] {
        let (ended, took) = timed(|| fixture.authenticate_new("user_1"));
        assert_eq!(ended, "unavailable server-error");
        assert!(took <= LIMIT, "took {took:?}");
    }
}

#[test]
fn calls_of_one_request_share_one_deadline() {
    let fixture = Fixture::new(|config| {
        config.user_mode = Some(UserMode::Profile);
        config.session_check_ttl_s = 60;
        config.timeout_ms = TIMEOUT_MS;
    });
    fixture.sim.put_user(json!({"id": "user_1"}));
    fixture.sim.put_session(json!({"id": "sess_1"}));
    fixture.sim.fault(Fault::on("*").delay_ms(250));
    let (ended, took) = timed(|| fixture.authenticate_new("user_1"));
    assert_eq!(ended, "unavailable server-error");
    assert!(took <= LIMIT, "took {took:?}");
    assert_eq!(fixture.calls(), 3);
}

#[test]
fn waiter_for_shared_fetch_times_out_at_own_deadline() {
    let fixture = users(|_| {});
    fixture.sim.fault(Fault::on("*").delay_ms(1500));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let (ended, took) = timed(|| fixture.authenticate_new("user_1"));
                assert_eq!(ended, "unavailable server-error");
                assert!(took <= LIMIT, "took {took:?}");
            });
        }
    });
}

#[test]
fn shutdown_cancels_running_calls_and_later_ones_reconnect() {
    let fixture = users(|config| config.timeout_ms = 20_000);
    fixture.sim.fault(Fault::on("*").delay_ms(15_000).times(1));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| timed(|| fixture.authenticate_new("user_1")));
        while fixture.calls() == 0 {
            std::thread::yield_now();
        }
        fixture.client.shutdown();
        let (ended, took) = waiting.join().unwrap();
        assert_eq!(ended, "unavailable server-error");
        assert!(took < Duration::from_secs(10), "took {took:?}");
    });
    assert_eq!((fixture.authenticate_new("user_1").as_str(), fixture.calls()), ("in verified", 2));
}

#[test]
fn shutdown_cancels_running_calls_after_a_warm_up() {
    let fixture = users(|config| config.timeout_ms = 20_000);
    fixture.sim.fault(Fault::on("/users/*").delay_ms(15_000).times(1));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| timed(|| fixture.authenticate_new("user_1")));
        while fixture.calls() == 0 {
            std::thread::yield_now();
        }
        fixture.client.warm_up().unwrap();
        fixture.client.shutdown();
        let (ended, took) = waiting.join().unwrap();
        assert_eq!(ended, "unavailable server-error");
        assert!(took < Duration::from_secs(10), "took {took:?}");
    });
}

/// What a call from the caches can know, it says: no thread is needed to wait for nothing.
#[test]
fn missing_user_and_open_circuit_are_known_without_blocking() {
    let fixture = Fixture::new(|config| {
        config.set("user_mode", "profile").unwrap();
        config.user_stale_if_error_s = 0;
    });
    assert_eq!(fixture.authenticate_new("user_none"), "out user-not-found");
    let calls = fixture.calls();
    let token = fixture.token("user_none");
    assert_eq!(inline(&fixture.client, &token).as_deref(), Some("out user-not-found"));
    fixture.sim.put_user(json!({"id": "user_1"}));
    fixture.sim.fault(Fault::on("/users/*").status(429).header("Retry-After", "30").times(1));
    let token = fixture.token("user_1");
    assert_eq!(inline(&fixture.client, &token), None);
    assert_eq!(fixture.ask(&token), "unavailable server-error");
    assert_eq!(inline(&fixture.client, &token).as_deref(), Some("unavailable server-error"));
    assert_eq!(fixture.calls(), calls + 1);
    fixture.time.advance_s(30);
    assert_eq!(inline(&fixture.client, &token), None);
    assert_eq!(fixture.ask(&token), "in verified");
}
