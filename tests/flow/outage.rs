//! Clerk in trouble: every fault has its outcome and its reason, and no answer comes later than it may.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clerk_auth::Config;
use clerk_auth::config::UserMode;
use clerk_sim::{Fault, Sim, TokenSpec};
use serde_json::{Value, json};

use super::common::table::Table;
use super::common::trap::{Manner, Trap};
use super::common::{Rig, SLACK, bearer, endings, pem, retry_after_ms, timed, word};

const TIMEOUT_MS: i64 = 600;
const LIMIT: Duration = Duration::from_millis(TIMEOUT_MS as u64).saturating_add(SLACK);

/// Users are fetched, keys are not.
fn users(tune: impl FnOnce(&mut Config)) -> Rig {
    let sim = Sim::start();
    let key = pem(&sim);
    sim.put_user(json!({"id": "user_1"}));
    Rig::build(sim, None, |config| {
        config.jwt_key = key;
        config.user_mode = Some(UserMode::Profile);
        config.timeout_ms = TIMEOUT_MS;
        tune(config);
    })
}

/// Keys are fetched, users are not.
fn keys() -> Rig {
    Rig::new(|config| config.timeout_ms = TIMEOUT_MS)
}

fn text(body: &str) -> Value {
    json!({"$text": body})
}

/// What goes wrong, how it ends for a user who is not known, and how for a key that is not known.
fn faults() -> Vec<(&'static str, Fault, &'static str, &'static str)> {
    let all = || Fault::on("*");
    let (server, secret) = ("unavailable server-error", "unavailable secret-key-invalid");
    let (load, invalid) = ("unavailable jwk-failed-to-load", "unavailable jwk-remote-invalid");
    vec![
        ("401", all().status(401), secret, secret),
        ("402", all().status(402), secret, secret),
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

#[test]
fn n5_every_fault_has_its_outcome_and_no_answer_is_late() {
    std::thread::scope(|scope| {
        for (name, fault, with_user, with_key) in faults() {
            scope.spawn(move || {
                for (rig, outcome) in [(users(|_| {}), with_user), (keys(), with_key)] {
                    rig.sim.fault(fault.clone());
                    let token = rig.token("user_1");
                    let (ended, took) = timed(|| rig.ask(&token));
                    assert_eq!(ended, outcome, "{name}");
                    assert!(took <= LIMIT, "{name} took {took:?}");
                    assert_eq!(endings(&rig.diary.take()), 1, "{name}");
                    assert_eq!(rig.client.stats().cached_tokens, 0, "{name}");
                    rig.sim.clear_faults();
                    rig.time.pass_s(31);
                    assert_eq!(rig.ask_new("user_1"), "in verified", "after {name}");
                }
            });
        }
    });
}

#[test]
fn faults_that_pass_are_overcome_within_the_call() {
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
        for rig in [users(|config| config.timeout_ms = 5000), Rig::new(|_| {})] {
            rig.sim.fault(once(fault.clone()));
            assert_eq!((rig.ask_new("user_1").as_str(), rig.calls()), ("in verified", 2), "{fault:?}");
        }
    }
}

#[test]
fn a_pooled_connection_that_the_other_side_has_closed_costs_no_request() {
    let rig = users(|config| config.user_ttl_s = 0);
    for _ in 0..3 {
        assert_eq!(rig.ask_new("user_1"), "in verified");
        rig.sim.set_down(true).unwrap();
        rig.sim.set_down(false).unwrap();
    }
    assert_eq!(rig.ask_new("user_1"), "in verified");
}

#[test]
fn lasting_failures_are_tried_three_times_and_refusals_once() {
    for (status, calls) in [(500, 3), (503, 3), (401, 1), (403, 1), (404, 1), (429, 1), (400, 1), (302, 1)] {
        let rig = users(|config| config.timeout_ms = 5000);
        rig.sim.fault(Fault::on("*").status(status));
        rig.ask_new("user_1");
        assert_eq!(rig.calls(), calls, "{status}");
    }
}

#[test]
fn after_429_nobody_asks_until_clerk_wants_to_be_asked() {
    for (value, open_ms) in [("2", 2000), ("0", 1000), ("999999", 60_000), ("never", 1000)] {
        let rig = users(|_| {});
        rig.sim.fault(Fault::on("*").status(429).header("Retry-After", value).times(1));
        let first = bearer(&rig.client, &rig.token("user_1"));
        assert_eq!(word(&first), "unavailable server-error");
        assert!(retry_after_ms(&first).is_none_or(|ms| ms <= open_ms as u64), "{value}");
        assert!(rig.diary.take().iter().any(|event| event.starts_with("rate_limited ")), "{value}");
        for pass_ms in [0, open_ms - 1] {
            rig.time.pass_ms(pass_ms);
            let answer = bearer(&rig.client, &rig.token("user_1"));
            assert_eq!(word(&answer), "unavailable server-error");
            assert_eq!(retry_after_ms(&answer), Some((open_ms - pass_ms) as u64), "{value}");
        }
        assert_eq!(rig.calls(), 1, "{value}");
        rig.time.pass_ms(1);
        assert_eq!((rig.ask_new("user_1").as_str(), rig.calls()), ("in verified", 2), "{value}");
    }
}

#[test]
fn retry_after_may_be_a_date() {
    let rig = users(|_| {});
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(20));
    rig.sim.fault(Fault::on("*").status(429).header("Retry-After", &date));
    let waiting = retry_after_ms(&bearer(&rig.client, &rig.token("user_1"))).unwrap();
    assert!((15_000..=21_000).contains(&waiting), "{waiting}");
}

#[test]
fn five_failures_in_a_row_open_the_circuit_for_ever_longer() {
    let rig = users(|_| {});
    rig.sim.fault(Fault::on("/users/*").status(302));
    (0..5).for_each(|_| drop(rig.ask_new("user_1")));
    assert_eq!(rig.calls(), 5);
    for (round, open_ms) in [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000].into_iter().enumerate() {
        let answer = bearer(&rig.client, &rig.token("user_1"));
        assert_eq!((word(&answer).as_str(), retry_after_ms(&answer)), ("unavailable server-error", Some(open_ms)));
        rig.time.pass_ms(open_ms as i64 - 1);
        rig.ask_new("user_1");
        assert_eq!(rig.calls(), 5 + round);
        rig.time.pass_ms(1);
        rig.ask_new("user_1");
        assert_eq!(rig.calls(), 6 + round);
    }
    // Other endpoints are asked as ever.
    let rig = Rig::new(|config| config.user_mode = Some(UserMode::Profile));
    rig.sim.fault(Fault::on("/users/*").status(429));
    assert_eq!(rig.ask_new("user_1"), "unavailable server-error");
    assert!(rig.client.warm_up().is_ok());
}

#[test]
fn answers_that_make_no_sense_open_the_circuit_as_well() {
    for body in [json!({"$text": "<html>"}), json!({"id": "user_2"})] {
        let rig = users(|_| {});
        rig.sim.fault(Fault::on("/users/*").body(body));
        (0..8).for_each(|_| assert_eq!(rig.ask_new("user_1"), "unavailable server-error"));
        assert_eq!(rig.calls(), 5);
    }
}

#[test]
fn whom_clerk_does_not_know_does_not_open_the_circuit() {
    let rig = users(|_| {});
    for user in 0..20 {
        assert_eq!(rig.ask_new(&format!("user_gone{user}")), "out user-not-found");
    }
    assert_eq!(rig.ask_new("user_1"), "in verified");
}

#[test]
fn a_known_user_is_served_stale_through_an_outage_and_not_for_ever() {
    std::thread::scope(|scope| {
        for (name, fault, _, _) in faults().into_iter().filter(|(name, ..)| *name != "404") {
            scope.spawn(move || {
                let rig = users(|_| {});
                let cached = rig.mint(&TokenSpec::session("user_1").exp_in(7200));
                assert_eq!(rig.ask(&cached), "in verified");
                rig.sim.fault(fault.clone());
                // The token is remembered, the user is fresh: nobody is asked.
                rig.time.pass_s(299);
                assert_eq!([rig.ask(&cached), rig.ask_new("user_1")], ["in cache", "in verified"]);
                assert_eq!(rig.calls(), 1, "{name}");
                rig.diary.take();
                rig.time.pass_s(1);
                let (ended, took) = timed(|| rig.ask_new("user_1"));
                assert_eq!(ended, "in verified", "{name}");
                assert!(took <= LIMIT, "{name} took {took:?}");
                let events = rig.diary.take();
                assert!(events.contains(&"stale_user_served".into()) && endings(&events) == 1, "{name} {events:?}");
                rig.time.pass_ms(3_299_999);
                assert_eq!(rig.ask_new("user_1"), "in verified", "{name}");
                rig.time.pass_ms(1);
                assert!(rig.ask_new("user_1").starts_with("unavailable "), "{name}");
                assert_eq!(rig.ask_new("user_3").split(' ').next(), Some("unavailable"), "{name}");
            });
        }
    });
}

#[test]
fn stale_users_cost_no_call_while_clerk_asks_for_patience() {
    let rig = users(|_| {});
    rig.ask_new("user_1");
    rig.time.pass_s(300);
    rig.sim.fault(Fault::on("*").status(429).header("Retry-After", "30"));
    (0..50).for_each(|_| assert_eq!(rig.ask_new("user_1"), "in verified"));
    assert_eq!(rig.calls(), 2);
    rig.time.pass_s(30);
    rig.ask_new("user_1");
    assert_eq!(rig.calls(), 3);
}

#[test]
fn a_user_who_is_gone_is_not_served_stale() {
    let rig = users(|_| {});
    rig.ask_new("user_1");
    rig.time.pass_s(300);
    rig.sim.delete_user("user_1");
    assert_eq!(rig.ask_new("user_1"), "out user-not-found");
    rig.sim.fault(Fault::on("*").status(500));
    rig.time.pass_s(10);
    assert_eq!(rig.ask_new("user_1"), "unavailable server-error");
}

#[test]
fn no_user_is_served_stale_if_that_is_not_wanted() {
    let rig = users(|config| config.user_stale_if_error_s = 0);
    rig.ask_new("user_1");
    rig.sim.fault(Fault::on("*").status(401));
    rig.time.pass_s(299);
    assert_eq!(rig.ask_new("user_1"), "in verified");
    rig.time.pass_s(1);
    assert_eq!(rig.ask_new("user_1"), "unavailable secret-key-invalid");
}

#[test]
fn a_stale_user_still_has_to_have_an_active_row() {
    let table = Arc::new(Table::default());
    let rig = Rig::with_store(table.clone(), |config| config.timeout_ms = TIMEOUT_MS);
    rig.sim.put_user(json!({"id": "user_1"}));
    rig.ask_new("user_1");
    rig.time.pass_s(300);
    rig.sim.fault(Fault::on("/users/*").status(401));
    assert_eq!(rig.ask_new("user_1"), "in verified");
    table.change(|rows| rows[0].is_active = false);
    assert_eq!(rig.ask_new("user_1"), "out user-inactive");
}

#[test]
fn n2_a_redirect_is_not_followed_and_its_target_sees_nothing() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Trap::open(Manner::Silent);
        for rig in [users(|_| {}), keys()] {
            rig.sim.fault(Fault::on("*").status(status).header("Location", &format!("{}/v1/jwks", elsewhere.url())));
            assert!(rig.ask_new("user_1").starts_with("unavailable "), "{status}");
            assert_eq!(rig.calls(), 1);
        }
        assert_eq!(elsewhere.seen(), 0, "{status}");
    }
}

#[test]
fn n2_ids_that_would_change_an_address_are_never_sent() {
    let rig = users(|config| config.session_check_ttl_s = 60);
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
        assert_eq!(rig.ask_new(id), "out token-invalid", "{id}");
        assert!(rig.ask(&rig.mint(&TokenSpec::session("user_1").sid(id))).starts_with("out "), "{id}");
    }
    assert_eq!(rig.sim.connections(), 0);
}

#[test]
fn n3_an_endless_answer_and_a_silent_one_end_in_time() {
    for manner in [Manner::Endless, Manner::Silent] {
        let trap = Trap::open(manner);
        for url in [trap.url(), format!("{}/v1/", trap.url())] {
            for mode in [UserMode::Claims, UserMode::Profile] {
                let rig = users(|config| {
                    config.api_url = url.clone();
                    config.user_mode = Some(mode);
                    if mode == UserMode::Claims {
                        config.jwt_key = None;
                    }
                });
                let (ended, took) = timed(|| rig.ask_new("user_1"));
                assert!(ended.starts_with("unavailable "), "{ended}");
                assert!(took <= LIMIT, "{mode:?} took {took:?}");
            }
        }
    }
}

#[test]
fn a_host_that_refuses_or_does_not_exist_is_an_outage() {
    let rig = users(|_| {});
    rig.sim.set_down(true).unwrap();
    let lost = users(|config| config.api_url = "https://clerk.invalid".into());
    for rig in [rig, lost] {
        let (ended, took) = timed(|| rig.ask_new("user_1"));
        assert_eq!(ended, "unavailable server-error");
        assert!(took <= LIMIT, "took {took:?}");
    }
}

#[test]
fn all_calls_of_one_request_share_one_budget() {
    let rig = Rig::new(|config| {
        config.user_mode = Some(UserMode::Profile);
        config.session_check_ttl_s = 60;
        config.timeout_ms = TIMEOUT_MS;
    });
    rig.sim.put_user(json!({"id": "user_1"}));
    rig.sim.put_session(json!({"id": "sess_1"}));
    rig.sim.fault(Fault::on("*").delay_ms(250));
    let (ended, took) = timed(|| rig.ask_new("user_1"));
    assert_eq!(ended, "unavailable server-error");
    assert!(took <= LIMIT, "took {took:?}");
    assert_eq!(rig.calls(), 3);
}

#[test]
fn those_who_wait_for_another_ones_call_wait_no_longer_than_their_own() {
    let rig = users(|_| {});
    rig.sim.fault(Fault::on("*").delay_ms(1500));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let (ended, took) = timed(|| rig.ask_new("user_1"));
                assert_eq!(ended, "unavailable server-error");
                assert!(took <= LIMIT, "took {took:?}");
            });
        }
    });
}

#[test]
fn a_shutdown_breaks_off_what_is_under_way_and_later_calls_connect_anew() {
    let rig = users(|config| config.timeout_ms = 20_000);
    rig.sim.fault(Fault::on("*").delay_ms(15_000).times(1));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| timed(|| rig.ask_new("user_1")));
        while rig.calls() == 0 {
            std::thread::yield_now();
        }
        rig.client.shutdown();
        let (ended, took) = waiting.join().unwrap();
        assert_eq!(ended, "unavailable server-error");
        assert!(took < Duration::from_secs(10), "took {took:?}");
    });
    assert_eq!((rig.ask_new("user_1").as_str(), rig.calls()), ("in verified", 2));
}
