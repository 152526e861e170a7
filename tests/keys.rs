//! Verification keys: sources, outages, rotations, and unauthenticated clients.

mod common;
#[path = "keys/flood.rs"]
mod flood;
#[path = "keys/rotation.rs"]
mod rotation;
#[path = "keys/texts.rs"]
mod texts;
#[path = "keys/tls.rs"]
mod tls;

use std::sync::Barrier;

use clerk_auth::{Reason, UserMode};
use clerk_sim::{Fault, Key, Rotation, Sim, TokenSpec};
use common::{EventLog, Fixture, ManualClock, auth_events, bearer, client, inline, retry_after_ms, word};
use serde_json::{Value, json};

fn fetches(fixture: &Fixture) -> usize {
    fixture.sim.requests("/jwks")
}

/// A token that outlives every cache lifetime of these tests.
fn lasting(fixture: &Fixture) -> String {
    fixture.mint(&TokenSpec::session("user_1").exp_in(86_400))
}

#[test]
fn concurrent_callers_fetch_cold_jwks_once() {
    let fixture = Fixture::new(|_| {});
    fixture.sim.fault(Fault::on("/jwks").delay_ms(150));
    let tokens: Vec<String> = (0..64).map(|n| fixture.token(&format!("user_{n}"))).collect();
    let start = Barrier::new(tokens.len());
    std::thread::scope(|scope| {
        for token in &tokens {
            scope.spawn(|| {
                start.wait();
                assert_eq!(fixture.ask(token), "in verified");
            });
        }
    });
    assert_eq!(fetches(&fixture), 1);
    assert_eq!(fixture.client.stats().jwks_fetches, 1);
}

#[test]
fn concurrent_callers_share_a_failed_jwks_fetch() {
    let fixture = Fixture::new(|_| {});
    fixture.sim.fault(Fault::on("/jwks").delay_ms(300).status(401));
    let start = Barrier::new(16);
    std::thread::scope(|scope| {
        for n in 0..16 {
            let token = fixture.token(&format!("user_{n}"));
            let (fixture, start) = (&fixture, &start);
            scope.spawn(move || {
                start.wait();
                assert_eq!(fixture.ask(&token), "unavailable secret-key-invalid");
            });
        }
    });
    assert_eq!(fetches(&fixture), 1);
    assert_eq!(auth_events(&fixture.event_log.take()), 16);
}

#[test]
fn jwks_is_refreshed_at_5_minutes_and_dropped_at_1_hour() {
    let fixture = Fixture::new(|_| {});
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    fixture.time.advance_ms(299_999);
    assert_eq!((fixture.authenticate_new("user_1").as_str(), fetches(&fixture)), ("in verified", 1));
    fixture.time.advance_ms(1);
    assert_eq!((fixture.authenticate_new("user_1").as_str(), fetches(&fixture)), ("in verified", 2));
    fixture.sim.fault(Fault::on("/jwks").status(401));
    for minutes in [5, 10, 30, 59] {
        fixture.time.advance_ms(minutes * 60_000 - fixture.client.stats().jwks_age_ms);
        assert_eq!(fixture.authenticate_new("user_1"), "in verified", "after {minutes} minutes");
    }
    fixture.time.advance_ms(59_999);
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    fixture.time.advance_ms(1);
    assert_eq!(fixture.authenticate_new("user_1"), "unavailable secret-key-invalid");
    fixture.sim.clear_faults();
    fixture.time.advance_s(10);
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
}

#[test]
fn old_jwks_is_refreshed_by_one_caller_while_others_use_it() {
    let fixture = Fixture::new(|_| {});
    fixture.authenticate_new("user_1");
    fixture.time.advance_s(300);
    fixture.sim.fault(Fault::on("/jwks").delay_ms(2000));
    std::thread::scope(|scope| {
        let refreshing = scope.spawn(|| fixture.authenticate_new("user_1"));
        while fetches(&fixture) < 2 {
            std::thread::yield_now();
        }
        let before = std::time::Instant::now();
        assert_eq!(fixture.authenticate_new("user_2"), "in verified");
        assert_eq!(inline(&fixture.client, &fixture.token("user_3")).unwrap(), "in verified");
        assert!(before.elapsed().as_millis() < 1500);
        assert_eq!(refreshing.join().unwrap(), "in verified");
    });
    assert_eq!(fetches(&fixture), 2);
}

#[test]
fn failed_jwks_refresh_backs_off_10_seconds() {
    let fixture = Fixture::new(|_| {});
    fixture.authenticate_new("user_1");
    fixture.sim.fault(Fault::on("/jwks").status(401));
    fixture.time.advance_s(300);
    (0..20).for_each(|_| assert_eq!(fixture.authenticate_new("user_1"), "in verified"));
    assert_eq!(fetches(&fixture), 2);
    fixture.time.advance_ms(9_999);
    fixture.authenticate_new("user_1");
    assert_eq!(fetches(&fixture), 2);
    fixture.time.advance_ms(1);
    fixture.authenticate_new("user_1");
    assert_eq!(fetches(&fixture), 3);
}

/// Threat N5.
#[test]
fn jwks_outage_keeps_last_set_and_cold_client_is_unavailable() {
    let warm = Fixture::new(|_| {});
    warm.authenticate_new("user_1");
    warm.sim.set_down(true).unwrap();
    warm.time.advance_s(3599);
    assert_eq!(warm.authenticate_new("user_1"), "in verified");
    let cold = Fixture::new(|config| config.timeout_ms = 1000);
    cold.sim.set_down(true).unwrap();
    assert_eq!(cold.authenticate_new("user_1"), "unavailable jwk-failed-to-load");
    assert!(cold.client.warm_up().is_err());
    cold.sim.set_down(false).unwrap();
    assert_eq!(cold.authenticate_new("user_1"), "in verified");
}

#[test]
fn failed_jwks_fetch_caches_no_unknown_kid() {
    let fixture = Fixture::new(|_| {});
    fixture.authenticate_new("user_1");
    fixture.sim.rotate(Rotation::default()).unwrap();
    fixture.sim.fault(Fault::on("/jwks").status(401).times(1));
    assert_eq!(fixture.authenticate_new("user_1"), "unavailable secret-key-invalid");
    fixture.time.advance_s(10);
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
}

#[test]
fn rotated_key_with_new_kid_is_fetched_at_once() {
    for keep_old in [false, true] {
        let fixture = Fixture::new(|_| {});
        let old = lasting(&fixture);
        assert_eq!(fixture.ask(&old), "in verified");
        fixture.sim.rotate(Rotation { keep_old, same_kid: false }).unwrap();
        assert_eq!(fixture.authenticate_new("user_1"), "in verified");
        assert_eq!(fetches(&fixture), 2);
        let outcome = if keep_old { "in cache" } else { "out jwk-kid-mismatch" };
        assert_eq!(fixture.ask(&old), outcome);
    }
}

#[test]
fn rotated_key_with_same_kid_is_fetched_at_once() {
    for keep_old in [false, true] {
        let fixture = Fixture::new(|_| {});
        let old = lasting(&fixture);
        assert_eq!(fixture.ask(&old), "in verified");
        fixture.sim.rotate(Rotation { keep_old, same_kid: true }).unwrap();
        assert_eq!(fixture.authenticate_new("user_1"), "in verified");
        assert_eq!(fetches(&fixture), 2);
        let outcome = if keep_old { "in cache" } else { "out token-invalid-signature" };
        assert_eq!(fixture.ask(&old), outcome);
    }
}

/// Threat A12.
#[test]
fn removed_key_rejects_new_and_cached_tokens_after_refresh() {
    let fixture = Fixture::new(|config| config.cache_ttl_s = 86_400);
    fixture.sim.set_jwks(&["k1", "k2"]);
    let (old, good) = (lasting(&fixture), fixture.mint(&TokenSpec::session("user_2").key("k2").exp_in(86_400)));
    for token in [&old, &good] {
        assert_eq!([fixture.ask(token), fixture.ask(token)], ["in verified", "in cache"]);
    }
    fixture.sim.set_jwks(&["k2"]);
    fixture.time.advance_s(299);
    assert_eq!([fixture.ask(&old), fixture.ask(&good)], ["in cache", "in cache"]);
    fixture.time.advance_s(1);
    assert_eq!(fixture.ask(&fixture.mint(&TokenSpec::session("user_3").key("k2"))), "in verified");
    assert_eq!([fixture.ask(&old), fixture.ask(&lasting(&fixture))], ["out jwk-kid-mismatch", "out jwk-kid-mismatch"]);
    assert_eq!(fixture.ask(&good), "in cache");
}

/// Threat A12.
#[test]
fn token_is_not_cached_if_its_key_was_removed_meanwhile() {
    let fixture = Fixture::new(|config| config.user_mode = Some(UserMode::Profile));
    fixture.sim.put_user(json!({"id": "user_1"}));
    fixture.client.warm_up().unwrap();
    fixture.sim.fault(Fault::on("/users/*").delay_ms(500).times(1));
    let old = lasting(&fixture);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| fixture.ask(&old));
        while fixture.sim.requests("/users/user_1") == 0 {
            std::thread::yield_now();
        }
        fixture.sim.rotate(Rotation::default()).unwrap();
        assert_eq!(word(&fixture.client.verify_token(&fixture.token("user_1"))), "in verified");
        assert_eq!(slow.join().unwrap(), "in verified");
    });
    assert_eq!(fixture.ask(&old), "out jwk-kid-mismatch");
}

fn huge(count: usize) -> Value {
    let keys = Sim::start().keys();
    let mut foreign = vec![json!({"kty": "oct", "k": "AA", "kid": "x"}); count - 1];
    foreign.push(keys.jwk("k1"));
    json!({"keys": foreign})
}

#[test]
fn jwks_without_usable_key_is_invalid() {
    let keys = Sim::start().keys();
    let with = |member: &str, value: Value| {
        let mut jwk = keys.jwk("k1");
        jwk[member] = value;
        json!({"keys": [jwk]})
    };
    let mut unresolvable = keys.jwk("k1");
    unresolvable.as_object_mut().unwrap().shift_remove("kid");
    let twice: Box<serde_json::value::RawValue> =
        serde_json::from_str(&format!(r#"{{"keys":[{}],"keys":[]}}"#, keys.jwk("k1"))).unwrap();
    let sets = [
        ("empty", json!({"keys": []})),
        ("no member", json!({})),
        ("null", json!({"keys": null})),
        ("bare list", json!([keys.jwk("k1")])),
        ("bare key", keys.jwk("k1")),
        ("elliptic", json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "ins_1"}]})),
        ("another algorithm", with("alg", json!("RS512"))),
        ("encryption", with("use", json!("enc"))),
        ("signing only", with("key_ops", json!(["sign"]))),
        ("private", with("d", json!("AQAB"))),
        ("exponent 1", with("e", json!("AQ"))),
        ("short", with("n", json!("w4u_"))),
        ("no id", json!({"keys": [unresolvable]})),
        ("a number for an id", with("kid", json!(5))),
        ("one more than is read", huge(1025)),
    ];
    for (name, set) in sets {
        let cold = Fixture::new(|_| {});
        cold.sim.set_jwks_raw(set.clone());
        assert_eq!(cold.authenticate_new("user_1"), "unavailable jwk-remote-invalid", "{name}");
        let warm = Fixture::new(|_| {});
        warm.authenticate_new("user_1");
        warm.sim.set_jwks_raw(set);
        warm.time.advance_s(300);
        assert_eq!((warm.authenticate_new("user_1").as_str(), fetches(&warm)), ("in verified", 2), "{name}");
    }
    let cold = Fixture::new(|_| {});
    cold.sim.fault(Fault::on("/jwks").body(json!({"$text": twice.get()})));
    assert_eq!(cold.authenticate_new("user_1"), "unavailable jwk-remote-invalid");
}

#[test]
fn unusable_keys_in_jwks_are_skipped() {
    let keys = Sim::start().keys();
    let (good, other) = (keys.jwk("k1"), keys.jwk("k2"));
    let mut fake_server = keys.jwk("other");
    fake_server["kid"] = good["kid"].clone();
    for beside in [json!(null), json!("x"), json!(5), json!([]), json!({}), json!({"kty": "EC"}), other, fake_server] {
        for list in [json!([beside, good]), json!([good, beside])] {
            let fixture = Fixture::new(|_| {});
            fixture.sim.set_jwks_raw(json!({"keys": list, "new": {"x": 1}}));
            assert_eq!(fixture.authenticate_new("user_1"), "in verified", "{beside}");
        }
    }
    let fixture = Fixture::new(|_| {});
    fixture.sim.set_jwks_raw(huge(1024));
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
}

#[test]
fn jwks_above_size_limit_is_not_read() {
    let fixture = Fixture::new(|_| {});
    let mut set = huge(2);
    set["padding"] = json!("x".repeat(1 << 20));
    fixture.sim.set_jwks_raw(set);
    assert_eq!(fixture.authenticate_new("user_1"), "unavailable jwk-failed-to-load");
}

/// Threat T1; guarantee 13.
#[test]
fn clients_with_swapped_keys_share_nothing() {
    let (time, event_log) = (ManualClock::default(), EventLog::default());
    let sims = [Sim::start(), Sim::start()];
    // The keys of both tenants have the same key id.
    sims[1].set_jwks(&["k1_rotated"]);
    let clients = sims.each_ref().map(|sim| client(sim, &time, &event_log, None, |_| {}));
    let tokens = ["k1", "k1_rotated"].map(|key| sims[0].mint(&TokenSpec::session("user_1").key(key), time.now_s()));
    for _ in 0..2 {
        for (i, client) in clients.iter().enumerate() {
            for (j, token) in tokens.iter().enumerate() {
                let outcome = word(&bearer(client, token));
                match i == j {
                    true => assert!(outcome.starts_with("in "), "{i} {j} {outcome}"),
                    false => assert_eq!(outcome, "out token-invalid-signature", "{i} {j}"),
                }
            }
        }
    }
}

#[test]
fn jwks_url_is_fetched_without_secret_key() {
    for with_secret in [false, true] {
        let sim = Sim::start();
        let url = format!("{}/.well-known/jwks.json", sim.url());
        let fixture = Fixture::build(sim, None, |config| {
            config.jwks_url = Some(url);
            if !with_secret {
                config.secret_key = None;
            }
        });
        assert_eq!(fixture.authenticate_new("user_1"), "in verified");
        let log = fixture.sim.log();
        assert_eq!((log.len(), log[0].path.as_str()), (1, "/.well-known/jwks.json"));
        assert_eq!(log[0].header("authorization"), None);
        assert!(log[0].violations.is_empty(), "{:?}", log[0].violations);
    }
}

#[test]
fn inline_jwks_without_secret_key_never_expires() {
    let sim = Sim::start();
    let set = sim.keys().jwks(&["k1"]).unwrap().to_string();
    let fixture = Fixture::build(sim, None, |config| {
        config.jwks = Some(set);
        config.secret_key = None;
    });
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    assert_eq!(fixture.ask(&fixture.mint(&TokenSpec::session("user_1").key("k2"))), "out jwk-kid-mismatch");
    assert_eq!(
        fixture.ask(&fixture.mint(&TokenSpec::session("user_1").key("k1_rotated"))),
        "out token-invalid-signature"
    );
    fixture.time.advance_s(100 * 86_400);
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    assert_eq!(inline(&fixture.client, &fixture.token("user_2")).unwrap(), "in verified");
    assert_eq!(fixture.calls(), 0);
}

#[test]
fn inline_jwks_is_refreshed_with_secret_key() {
    let sim = Sim::start();
    let set = sim.keys().jwks(&["k1"]).unwrap().to_string();
    let fixture = Fixture::build(sim, None, |config| config.jwks = Some(set));
    assert_eq!((fixture.authenticate_new("user_1").as_str(), fixture.calls()), ("in verified", 0));
    fixture.sim.rotate(Rotation::default()).unwrap();
    assert_eq!((fixture.authenticate_new("user_1").as_str(), fixture.calls()), ("in verified", 1));
}

#[test]
fn token_without_kid_needs_jwt_key() {
    let fixture = Fixture::new(|_| {});
    let unresolvable = TokenSpec::session("user_1");
    let mut spec = unresolvable.clone();
    spec.header.insert("kid".into(), Value::Null);
    let pinned = {
        let sim = Sim::start();
        let key = sim.keys().pem("k1");
        Fixture::build(sim, None, |config| config.jwt_key = Some(key))
    };
    assert_eq!(fixture.ask(&fixture.mint(&spec)), "out jwk-kid-mismatch");
    assert_eq!(pinned.ask(&fixture.mint(&spec)), "in verified");
    assert_eq!(fetches(&fixture), 0);
}

#[test]
fn jwt_key_takes_precedence_over_jwks() {
    let sim = Sim::start();
    let key = sim.keys().pem("k2");
    let fixture = Fixture::build(sim, None, |config| config.jwt_key = Some(key));
    let with_k2 = fixture.mint(&TokenSpec::session("user_1").key("k2"));
    assert_eq!(
        [fixture.ask(&with_k2), fixture.authenticate_new("user_1")],
        ["in verified", "out token-invalid-signature"]
    );
    assert_eq!(fixture.calls(), 0);
}

#[test]
fn jwks_rate_limit_returns_retry_after() {
    let fixture = Fixture::new(|_| {});
    fixture.sim.fault(Fault::on("/jwks").status(429).header("Retry-After", "7").times(1));
    for (advance_ms, left_ms) in [(0, 7000), (0, 7000), (6_999, 1)] {
        fixture.time.advance_ms(advance_ms);
        let answer = bearer(&fixture.client, &fixture.token("user_1"));
        assert_eq!(answer.reason(), Some(Reason::JwkFailedToLoad));
        assert_eq!(retry_after_ms(&answer), Some(left_ms));
    }
    assert_eq!(fetches(&fixture), 1);
    fixture.time.advance_ms(1);
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
}

#[test]
fn rsa_keys_of_2048_to_4096_bits_verify() {
    let fixture = Fixture::new(|_| {});
    let sizes = [2048, 3072, 4096];
    for bits in sizes {
        fixture.sim.add_key(&format!("rsa{bits}"), Key::generate(&format!("ins_{bits}"), bits).unwrap());
    }
    fixture.sim.set_jwks(&sizes.map(|bits| format!("rsa{bits}")).each_ref().map(String::as_str));
    for bits in sizes {
        assert_eq!(
            fixture.ask(&fixture.mint(&TokenSpec::session("user_1").key(&format!("rsa{bits}")))),
            "in verified",
            "{bits}"
        );
    }
}
