//! Circuits: what opens them, what does not, and how they close.

use std::error::Error as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clerk_auth::internals::Config;
use clerk_auth::{TokenKind, UserMode};
use clerk_sim::{Fault, Leaf, Sim, TokenSpec};
use serde_json::json;

use super::common::{Fixture, bearer, pem, retry_after_ms, timed, word};

const UNAVAILABLE: &str = "unavailable server-error";

/// Users are fetched, keys are not.
fn users(count: usize, tune: impl FnOnce(&mut Config)) -> Fixture {
    let sim = Sim::start();
    let key = pem(&sim);
    (0..count).for_each(|n| sim.put_user(json!({"id": format!("user_{n}")})));
    Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.user_mode = Some(UserMode::Profile);
        config.timeout_ms = 1000;
        tune(config);
    })
}

fn ask(fixture: &Fixture, user: usize) -> String {
    fixture.authenticate_new(&format!("user_{user}"))
}

#[test]
fn failures_about_one_user_do_not_stop_others() {
    for body in [json!({"$text": "<html>"}), json!({"id": "user_9"}), json!(["user_0"])] {
        let fixture = users(2, |_| {});
        fixture.sim.fault(Fault::on("/users/user_0").body(body));
        for _ in 0..20 {
            assert_eq!(ask(&fixture, 0), UNAVAILABLE);
        }
        assert_eq!(fixture.calls(), 5, "the user itself is not asked for without end");
        assert_eq!(ask(&fixture, 1), "in verified");
    }
}

#[test]
fn failures_about_five_users_open_the_circuit() {
    let fixture = users(7, |_| {});
    fixture.sim.fault(Fault::on("/users/*").status(302).times(5));
    (0..5).for_each(|user| assert_eq!(ask(&fixture, user), UNAVAILABLE));
    let answer = bearer(&fixture.client, &fixture.token("user_6"));
    assert_eq!((word(&answer).as_str(), retry_after_ms(&answer)), (UNAVAILABLE, Some(1000)));
    assert_eq!(fixture.calls(), 5);
    fixture.time.advance_ms(1000);
    assert_eq!(ask(&fixture, 6), "in verified");
    assert_eq!(ask(&fixture, 5), "in verified");
}

#[test]
fn parallel_failures_open_the_circuit_for_one_interval() {
    for count in [8, 64] {
        let fixture = users(count, |config| config.timeout_ms = 800);
        fixture.sim.fault(Fault::on("/users/*").delay_ms(1500).times(count as u64));
        std::thread::scope(|scope| {
            for user in 0..count {
                let fixture = &fixture;
                scope.spawn(move || assert_eq!(ask(fixture, user), UNAVAILABLE));
            }
        });
        fixture.sim.clear_faults();
        fixture.time.advance_ms(1000);
        assert_eq!(ask(&fixture, 0), "in verified", "{count}");
        assert_eq!(ask(&fixture, count - 1), "in verified", "{count}");
    }
}

/// Sessions and opaque tokens, as well.
#[test]
fn parallel_failures_of_other_calls_open_the_circuit_for_one_interval() {
    const COUNT: usize = 24;
    let sim = Sim::start();
    let key = pem(&sim);
    for n in 0..COUNT {
        sim.put_session(json!({"id": format!("sess_{n}"), "user_id": "user_1"}));
        let token = json!({"id": "ak_1", "subject": "org_1", "scopes": []});
        sim.update(|state| state.api_keys.insert(format!("ak_{n}"), token));
    }
    let fixture = Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.user_mode = Some(UserMode::Claims);
        config.session_check_ttl_s = 60;
        config.machine_cache_ttl_s = 1;
        config.accepts_token = TokenKind::ALL.to_vec();
        config.timeout_ms = 800;
    });
    let session = |n: usize| fixture.mint(&TokenSpec::session("user_1").sid(&format!("sess_{n}")));
    let opaque = |n: usize| format!("ak_{n}");
    // Tokens that Clerk has accepted are not limited.
    for n in 0..COUNT {
        assert_eq!(fixture.ask(&opaque(n)), "in verified");
        fixture.time.advance_s(2);
    }
    let kinds: [(&str, &(dyn Fn(usize) -> String + Sync)); 2] =
        [("/sessions/*", &session), ("/api_keys/verify", &opaque)];
    for (path, token) in kinds {
        let tokens: Vec<String> = (0..COUNT).map(token).collect();
        fixture.sim.fault(Fault::on(path).delay_ms(1500).times(COUNT as u64));
        std::thread::scope(|scope| {
            for token in &tokens {
                let fixture = &fixture;
                scope.spawn(move || assert_eq!(fixture.ask(token), UNAVAILABLE));
            }
        });
        fixture.sim.clear_faults();
        fixture.time.advance_ms(1000);
        assert_eq!(fixture.ask(&tokens[0]), "in verified", "{path}");
        assert_eq!(fixture.ask(&tokens[COUNT - 1]), "in verified", "{path}");
    }
}

#[test]
fn half_open_circuit_lets_one_call_through() {
    let fixture = users(30, |config| config.timeout_ms = 2000);
    fixture.sim.fault(Fault::on("/users/*").status(302).times(5));
    (0..5).for_each(|user| drop(ask(&fixture, user)));
    fixture.time.advance_ms(1000);
    fixture.sim.fault(Fault::on("/users/*").delay_ms(700).times(1));
    std::thread::scope(|scope| {
        let probe = scope.spawn(|| ask(&fixture, 5));
        while fixture.calls() < 6 {
            std::thread::yield_now();
        }
        for user in 6..30 {
            let (outcome, took) = timed(|| ask(&fixture, user));
            assert_eq!(outcome, UNAVAILABLE);
            assert!(took < Duration::from_millis(500), "{took:?}");
        }
        assert_eq!(fixture.calls(), 6);
        assert_eq!(probe.join().unwrap(), "in verified");
    });
    assert_eq!(ask(&fixture, 6), "in verified");
}

#[test]
fn failed_probe_opens_the_circuit_for_longer() {
    let fixture = users(60, |_| {});
    fixture.sim.fault(Fault::on("/users/*").status(302));
    (0..5).for_each(|user| drop(ask(&fixture, user)));
    for (round, open_ms) in [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000].into_iter().enumerate() {
        let answer = bearer(&fixture.client, &fixture.token("user_59"));
        assert_eq!((word(&answer).as_str(), retry_after_ms(&answer)), (UNAVAILABLE, Some(open_ms)));
        fixture.time.advance_ms(open_ms as i64);
        ask(&fixture, 10 + round);
        assert_eq!(fixture.calls(), 6 + round);
    }
}

#[test]
fn shutdown_does_not_open_the_circuit() {
    let fixture = users(40, |config| config.timeout_ms = 20_000);
    fixture.sim.fault(Fault::on("/users/*").delay_ms(15_000).times(32));
    let is_shut_down = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for user in 0..32 {
            let (fixture, is_shut_down) = (&fixture, &is_shut_down);
            scope.spawn(move || {
                assert_eq!(ask(fixture, user), UNAVAILABLE);
                assert!(is_shut_down.load(Ordering::SeqCst));
            });
        }
        while fixture.calls() < 32 {
            std::thread::sleep(Duration::from_millis(5));
        }
        is_shut_down.store(true, Ordering::SeqCst);
        fixture.client.shutdown();
    });
    (0..40).for_each(|user| assert_eq!(ask(&fixture, user), "in verified"));
    assert_eq!(fixture.calls(), 72);
}

#[test]
fn invalid_certificate_is_tried_once() {
    for leaf in [Leaf::Expired, Leaf::WrongHost, Leaf::SelfSigned] {
        let sim = Sim::builder().leaf(leaf).start();
        let (url, ca, key) =
            (format!("https://localhost:{}", sim.https_addr().unwrap().port()), sim.ca_pem(), pem(&sim));
        let fixture = Fixture::build(sim, None, |config| {
            config.api_url = url;
            config.ca_pem = Some(ca);
            config.jwt_key = key;
            config.user_mode = Some(UserMode::Profile);
        });
        let answer = bearer(&fixture.client, &fixture.token("user_0"));
        assert_eq!(word(&answer), UNAVAILABLE);
        let error = answer.error().unwrap_or_else(|| panic!("{answer:?}"));
        assert!(error.source().unwrap().to_string().starts_with("tls: "), "{leaf:?}: {error}");
        assert_eq!(fixture.sim.connections(), 1, "{leaf:?}");
    }
}

#[test]
fn unreachable_hosts_are_distinguished_and_tried_once() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (url, kind) in [
        (format!("http://127.0.0.1:{port}"), "connect: connection refused"),
        ("https://clerk.invalid".to_owned(), "dns: host name not found"),
    ] {
        let fixture = users(1, |config| {
            config.api_url = url;
            config.timeout_ms = 10_000;
        });
        let (answer, took) = timed(|| bearer(&fixture.client, &fixture.token("user_0")));
        let error = answer.error().unwrap_or_else(|| panic!("{answer:?}"));
        assert!(error.source().unwrap().to_string().contains(kind), "{error}");
        assert!(!kind.starts_with("connect") || took < Duration::from_millis(90), "tried again: {took:?}");
    }
}

#[test]
fn server_error_before_the_deadline_is_the_reported_one() {
    let fixture = users(1, |config| config.timeout_ms = 700);
    fixture.sim.fault(Fault::on("/users/*").status(503).times(1));
    fixture.sim.fault(Fault::on("/users/*").delay_ms(5000));
    let answer = bearer(&fixture.client, &fixture.token("user_0"));
    let error = answer.error().unwrap_or_else(|| panic!("{answer:?}"));
    assert_eq!(error.http_status(), Some(503), "{error}");
}
