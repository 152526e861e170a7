//! Opaque tokens that Clerk has never accepted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clerk_auth::Request;
use clerk_auth::TokenKind;
use clerk_auth::internals::Config;
use clerk_sim::Fault;
use serde_json::json;

use super::common::{Fixture, bearer, inline, retry_after_ms, timed, word};

const GOOD: &str = "ak_good";
const VERIFY: &str = "/api_keys/verify";

fn fixture(tune: impl FnOnce(&mut Config)) -> Fixture {
    let fixture = Fixture::new(|config| {
        config.accepts_token = TokenKind::ALL.to_vec();
        tune(config);
    });
    add_key(&fixture, GOOD);
    fixture
}

fn add_key(fixture: &Fixture, key: &str) {
    fixture.sim.update(|state| {
        state.api_keys.insert(key.into(), json!({"id": "ak_1", "subject": "org_1", "scopes": ["read"]}));
    });
}

fn made_up(n: usize) -> String {
    format!("ak_made_up_{n}")
}

/// Threat N6.
#[test]
fn unknown_tokens_cost_at_most_60_calls_a_minute() {
    let fixture = fixture(|_| {});
    for n in 0..600 {
        let answer = word(&bearer(&fixture.client, &made_up(n)));
        let is_asked = n < 20;
        assert_eq!(answer, if is_asked { "out token-invalid" } else { "unavailable server-error" }, "{n}");
    }
    assert_eq!(fixture.sim.requests(VERIFY), 20);
    for step in 0..60 {
        fixture.time.advance_s(1);
        (0..10).for_each(|n| drop(fixture.ask(&made_up(1000 + step * 10 + n))));
    }
    assert_eq!(fixture.sim.requests(VERIFY), 80);
}

#[test]
fn refused_by_admission_carries_retry_after() {
    let fixture = fixture(|_| {});
    (0..20).for_each(|n| drop(fixture.ask(&made_up(n))));
    let answer = bearer(&fixture.client, &made_up(21));
    assert_eq!((word(&answer).as_str(), retry_after_ms(&answer)), ("unavailable server-error", Some(1000)));
    assert_eq!(inline(&fixture.client, &made_up(22)).as_deref(), Some("unavailable server-error"), "no thread waits");
    fixture.time.advance_ms(1000);
    assert_eq!(inline(&fixture.client, &made_up(23)), None);
    assert_eq!(fixture.ask(&made_up(23)), "out token-invalid");
}

/// Threat N6.
#[test]
fn known_token_is_verified_during_a_flood_of_unknown_ones() {
    let fixture = fixture(|_| {});
    assert_eq!(fixture.ask(GOOD), "in verified");
    for n in 0..100 {
        fixture.ask(&made_up(n));
        assert_eq!(fixture.ask(GOOD), "in verified", "{n}");
    }
    fixture.time.advance_s(599);
    (100..200).for_each(|n| drop(fixture.ask(&made_up(n))));
    assert_eq!(fixture.ask(GOOD), "in verified");
}

/// Threat N6.
#[test]
fn rate_limit_for_unknown_tokens_does_not_stop_known_ones() {
    let fixture = fixture(|_| {});
    assert_eq!(fixture.ask(GOOD), "in verified");
    fixture.sim.fault(Fault::on(VERIFY).status(429).header("Retry-After", "30").times(1));
    assert_eq!(fixture.ask(&made_up(1)), "unavailable server-error");
    let calls = fixture.sim.requests(VERIFY);
    assert_eq!([fixture.ask(&made_up(2)), fixture.ask(GOOD)], ["unavailable server-error", "in verified"]);
    assert_eq!(fixture.sim.requests(VERIFY), calls + 1);
}

#[test]
fn rate_limit_for_known_tokens_stops_unknown_ones() {
    let fixture = fixture(|_| {});
    assert_eq!(fixture.ask(GOOD), "in verified");
    fixture.sim.fault(Fault::on(VERIFY).status(429).header("Retry-After", "30").times(1));
    assert_eq!(fixture.ask(GOOD), "unavailable server-error");
    let calls = fixture.sim.requests(VERIFY);
    assert_eq!(fixture.ask(&made_up(1)), "unavailable server-error");
    assert_eq!(fixture.sim.requests(VERIFY), calls);
}

#[test]
fn failures_of_unknown_tokens_do_not_stop_known_ones() {
    let fixture = fixture(|_| {});
    assert_eq!(fixture.ask(GOOD), "in verified");
    fixture.sim.fault(Fault::on(VERIFY).status(302).times(5));
    (0..10).for_each(|n| assert_eq!(fixture.ask(&made_up(n)), "unavailable server-error"));
    assert_eq!(fixture.sim.requests(VERIFY), 6);
    assert_eq!(fixture.ask(GOOD), "in verified");
}

#[test]
fn refused_token_is_cached_for_60_seconds() {
    let fixture = fixture(|_| {});
    for kind in ["ak", "oat", "mt"] {
        let (token, before) = (format!("{kind}_unknown"), fixture.calls());
        (0..50).for_each(|_| assert_eq!(fixture.ask(&token), "out token-invalid"));
        assert_eq!(inline(&fixture.client, &token).as_deref(), Some("out token-invalid"));
        assert_eq!(fixture.calls(), before + 1);
    }
    fixture.time.advance_ms(59_999);
    assert_eq!((fixture.ask("ak_unknown").as_str(), fixture.calls()), ("out token-invalid", 3));
    fixture.time.advance_ms(1);
    add_key(&fixture, "ak_unknown");
    assert_eq!(fixture.ask("ak_unknown"), "in verified");
}

#[test]
fn invalidated_token_is_verified_by_clerk_again() {
    let fixture = fixture(|_| {});
    assert_eq!(fixture.ask("ak_later"), "out token-invalid");
    add_key(&fixture, "ak_later");
    fixture.client.invalidate_token("ak_later");
    assert_eq!(fixture.ask("ak_later"), "in verified");
    assert_eq!(fixture.ask("ak_third"), "out token-invalid");
    add_key(&fixture, "ak_third");
    fixture.client.invalidate_all();
    assert_eq!(fixture.ask("ak_third"), "in verified");
}

#[test]
fn revoked_token_is_limited_like_an_unknown_one() {
    let fixture = fixture(|_| {});
    assert_eq!(fixture.ask(GOOD), "in verified");
    fixture.sim.update(|state| drop(state.api_keys.shift_remove(GOOD)));
    (0..50).for_each(|_| assert_eq!(fixture.ask(GOOD), "out token-invalid"));
    assert_eq!(fixture.sim.requests(VERIFY), 3);
}

/// Threat N6: only a few wait, and a known caller does not wait for them.
#[test]
fn slow_clerk_blocks_few_threads_of_unknown_tokens() {
    let fixture = fixture(|config| config.timeout_ms = 4000);
    assert_eq!(fixture.ask(GOOD), "in verified");
    fixture.sim.reset_counts();
    fixture.sim.fault(Fault::on(VERIFY).delay_ms(1500).times(20));
    let waited = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for n in 0..100 {
            let (fixture, waited) = (&fixture, &waited);
            scope.spawn(move || {
                let (_, took) = timed(|| fixture.ask(&made_up(n)));
                if took > Duration::from_millis(1000) {
                    waited.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(waited.load(Ordering::SeqCst), 8);
    assert_eq!(fixture.sim.requests(VERIFY), 8);
}

/// The same token from many clients must not hold a thread each.
#[test]
fn slow_clerk_blocks_few_threads_of_one_unknown_token() {
    let fixture = fixture(|config| config.timeout_ms = 4000);
    fixture.sim.fault(Fault::on(VERIFY).delay_ms(1500).times(1));
    let waited = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let (_, took) = timed(|| fixture.ask("ak_shared"));
                if took > Duration::from_millis(1000) {
                    waited.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(waited.load(Ordering::SeqCst) <= 32, "{waited:?}");
    assert_eq!(fixture.sim.requests(VERIFY), 1);
}

#[test]
fn each_attempt_of_an_unknown_token_counts() {
    let fixture = fixture(|config| config.timeout_ms = 3000);
    fixture.sim.fault(Fault::on(VERIFY).status(500));
    (0..30).for_each(|n| drop(fixture.ask(&made_up(n))));
    assert!(fixture.sim.requests(VERIFY) <= 20, "{}", fixture.sim.requests(VERIFY));
}

#[test]
fn one_failed_attempt_of_a_new_token_is_retried() {
    let fixture = fixture(|_| {});
    fixture.sim.fault(Fault::on(VERIFY).status(500).times(1));
    assert_eq!(fixture.ask(GOOD), "in verified");
}

#[test]
fn json_array_is_no_machine_token() {
    let fixture = fixture(|_| {});
    for body in [
        // In the order in which the members are declared: accepted, if an array could be read as that object.
        json!(["api_key", "ak_1", "org_1", [], null, null, null, false, false, null, true]),
        json!(["user_1"]),
        json!([]),
        json!([["api_key"]]),
    ] {
        fixture.sim.fault(Fault::on(VERIFY).body(body.clone()).times(1));
        let mut request = Request::new();
        request.header(b"Authorization", b"Bearer ak_good");
        assert_eq!(word(&fixture.client.authenticate(&request)), "unavailable server-error", "{body}");
    }
}
