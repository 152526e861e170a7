//! Where verification keys come from, and what strangers, outages and rotations can do to them.

mod common;
#[path = "keys/flood.rs"]
mod flood;
#[path = "keys/texts.rs"]
mod texts;
#[path = "keys/tls.rs"]
mod tls;

use std::sync::Barrier;

use clerk_auth::config::UserMode;
use clerk_auth::reason::Reason;
use clerk_sim::{Fault, Key, Rotation, Sim, TokenSpec};
use common::{Diary, Rig, Time, bearer, client, endings, inline, retry_after_ms, word};
use serde_json::{Value, json};

fn fetches(rig: &Rig) -> usize {
    rig.sim.requests("/jwks")
}

/// A token that lives so long that the cache alone would keep it.
fn lasting(rig: &Rig) -> String {
    rig.mint(&TokenSpec::session("user_1").exp_in(86_400))
}

#[test]
fn many_who_meet_a_cold_set_fetch_it_once() {
    let rig = Rig::new(|_| {});
    rig.sim.fault(Fault::on("/jwks").delay_ms(150));
    let tokens: Vec<String> = (0..64).map(|n| rig.token(&format!("user_{n}"))).collect();
    let start = Barrier::new(tokens.len());
    std::thread::scope(|scope| {
        for token in &tokens {
            scope.spawn(|| {
                start.wait();
                assert_eq!(rig.ask(token), "in verified");
            });
        }
    });
    assert_eq!(fetches(&rig), 1);
    assert_eq!(rig.client.stats().jwks_fetches, 1);
}

#[test]
fn many_who_share_a_fetch_that_fails_share_its_failure() {
    let rig = Rig::new(|_| {});
    rig.sim.fault(Fault::on("/jwks").delay_ms(300).status(401));
    let start = Barrier::new(16);
    std::thread::scope(|scope| {
        for n in 0..16 {
            let token = rig.token(&format!("user_{n}"));
            let (rig, start) = (&rig, &start);
            scope.spawn(move || {
                start.wait();
                assert_eq!(rig.ask(&token), "unavailable secret-key-invalid");
            });
        }
    });
    assert_eq!(fetches(&rig), 1);
    assert_eq!(endings(&rig.diary.take()), 16);
}

#[test]
fn a_set_is_refreshed_at_five_minutes_and_given_up_at_one_hour() {
    let rig = Rig::new(|_| {});
    assert_eq!(rig.ask_new("user_1"), "in verified");
    rig.time.pass_ms(299_999);
    assert_eq!((rig.ask_new("user_1").as_str(), fetches(&rig)), ("in verified", 1));
    rig.time.pass_ms(1);
    assert_eq!((rig.ask_new("user_1").as_str(), fetches(&rig)), ("in verified", 2));
    rig.sim.fault(Fault::on("/jwks").status(401));
    for minutes in [5, 10, 30, 59] {
        rig.time.pass_ms(minutes * 60_000 - rig.client.stats().jwks_age_ms);
        assert_eq!(rig.ask_new("user_1"), "in verified", "after {minutes} minutes");
    }
    rig.time.pass_ms(59_999);
    assert_eq!(rig.ask_new("user_1"), "in verified");
    rig.time.pass_ms(1);
    assert_eq!(rig.ask_new("user_1"), "unavailable secret-key-invalid");
    rig.sim.clear_faults();
    assert_eq!(rig.ask_new("user_1"), "in verified");
}

#[test]
fn an_old_set_is_refreshed_by_one_while_the_others_go_on_with_it() {
    let rig = Rig::new(|_| {});
    rig.ask_new("user_1");
    rig.time.pass_s(300);
    rig.sim.fault(Fault::on("/jwks").delay_ms(2000));
    std::thread::scope(|scope| {
        let refreshing = scope.spawn(|| rig.ask_new("user_1"));
        while fetches(&rig) < 2 {
            std::thread::yield_now();
        }
        let before = std::time::Instant::now();
        assert_eq!(rig.ask_new("user_2"), "in verified");
        assert_eq!(inline(&rig.client, &rig.token("user_3")).unwrap(), "in verified");
        assert!(before.elapsed().as_millis() < 1500);
        assert_eq!(refreshing.join().unwrap(), "in verified");
    });
    assert_eq!(fetches(&rig), 2);
}

#[test]
fn a_refresh_that_fails_is_not_tried_again_for_ten_seconds() {
    let rig = Rig::new(|_| {});
    rig.ask_new("user_1");
    rig.sim.fault(Fault::on("/jwks").status(401));
    rig.time.pass_s(300);
    (0..20).for_each(|_| assert_eq!(rig.ask_new("user_1"), "in verified"));
    assert_eq!(fetches(&rig), 2);
    rig.time.pass_ms(9_999);
    rig.ask_new("user_1");
    assert_eq!(fetches(&rig), 2);
    rig.time.pass_ms(1);
    rig.ask_new("user_1");
    assert_eq!(fetches(&rig), 3);
}

#[test]
fn n5_an_outage_keeps_the_last_good_set_and_a_cold_client_says_unavailable() {
    let warm = Rig::new(|_| {});
    warm.ask_new("user_1");
    warm.sim.set_down(true).unwrap();
    warm.time.pass_s(3599);
    assert_eq!(warm.ask_new("user_1"), "in verified");
    let cold = Rig::new(|config| config.timeout_ms = 1000);
    cold.sim.set_down(true).unwrap();
    assert_eq!(cold.ask_new("user_1"), "unavailable jwk-failed-to-load");
    assert!(cold.client.warm_up().is_err());
    cold.sim.set_down(false).unwrap();
    assert_eq!(cold.ask_new("user_1"), "in verified");
}

#[test]
fn a_failed_fetch_is_not_remembered_against_a_key_id() {
    let rig = Rig::new(|_| {});
    rig.ask_new("user_1");
    rig.sim.rotate(Rotation::default()).unwrap();
    rig.sim.fault(Fault::on("/jwks").status(401).times(1));
    assert_eq!(rig.ask_new("user_1"), "unavailable secret-key-invalid");
    rig.time.pass_s(10);
    assert_eq!(rig.ask_new("user_1"), "in verified");
}

#[test]
fn a_new_key_under_a_new_id_is_picked_up_at_once() {
    for keep_old in [false, true] {
        let rig = Rig::new(|_| {});
        let old = lasting(&rig);
        assert_eq!(rig.ask(&old), "in verified");
        rig.sim.rotate(Rotation { keep_old, same_kid: false }).unwrap();
        assert_eq!(rig.ask_new("user_1"), "in verified");
        assert_eq!(fetches(&rig), 2);
        let outcome = if keep_old { "in cache" } else { "out jwk-kid-mismatch" };
        assert_eq!(rig.ask(&old), outcome);
    }
}

#[test]
fn a_new_key_under_the_same_id_is_picked_up_at_once() {
    for keep_old in [false, true] {
        let rig = Rig::new(|_| {});
        let old = lasting(&rig);
        assert_eq!(rig.ask(&old), "in verified");
        rig.sim.rotate(Rotation { keep_old, same_kid: true }).unwrap();
        assert_eq!(rig.ask_new("user_1"), "in verified");
        assert_eq!(fetches(&rig), 2);
        let outcome = if keep_old { "in cache" } else { "out token-invalid-signature" };
        assert_eq!(rig.ask(&old), outcome);
    }
}

#[test]
fn a12_a_key_that_left_the_set_is_refused_after_the_refresh_and_so_are_its_cached_tokens() {
    let rig = Rig::new(|config| config.cache_ttl_s = 86_400);
    rig.sim.set_jwks(&["k1", "k2"]);
    let (old, good) = (lasting(&rig), rig.mint(&TokenSpec::session("user_2").key("k2").exp_in(86_400)));
    for token in [&old, &good] {
        assert_eq!([rig.ask(token), rig.ask(token)], ["in verified", "in cache"]);
    }
    rig.sim.set_jwks(&["k2"]);
    rig.time.pass_s(299);
    assert_eq!([rig.ask(&old), rig.ask(&good)], ["in cache", "in cache"]);
    rig.time.pass_s(1);
    assert_eq!(rig.ask(&rig.mint(&TokenSpec::session("user_3").key("k2"))), "in verified");
    assert_eq!([rig.ask(&old), rig.ask(&lasting(&rig))], ["out jwk-kid-mismatch", "out jwk-kid-mismatch"]);
    assert_eq!(rig.ask(&good), "in cache");
}

#[test]
fn a12_a_token_is_not_remembered_under_a_key_that_left_while_its_user_was_fetched() {
    let rig = Rig::new(|config| config.user_mode = Some(UserMode::Profile));
    rig.sim.put_user(json!({"id": "user_1"}));
    rig.client.warm_up().unwrap();
    rig.sim.fault(Fault::on("/users/*").delay_ms(500).times(1));
    let old = lasting(&rig);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| rig.ask(&old));
        while rig.sim.requests("/users/user_1") == 0 {
            std::thread::yield_now();
        }
        rig.sim.rotate(Rotation::default()).unwrap();
        assert_eq!(word(&rig.client.verify_token(&rig.token("user_1"))), "in verified");
        assert_eq!(slow.join().unwrap(), "in verified");
    });
    assert_eq!(rig.ask(&old), "out jwk-kid-mismatch");
}

fn huge(count: usize) -> Value {
    let keys = Sim::start().keys();
    let mut foreign = vec![json!({"kty": "oct", "k": "AA", "kid": "x"}); count - 1];
    foreign.push(keys.jwk("k1"));
    json!({"keys": foreign})
}

#[test]
fn sets_without_a_key_of_use_are_no_sets() {
    let keys = Sim::start().keys();
    let with = |member: &str, value: Value| {
        let mut jwk = keys.jwk("k1");
        jwk[member] = value;
        json!({"keys": [jwk]})
    };
    let mut nameless = keys.jwk("k1");
    nameless.as_object_mut().unwrap().shift_remove("kid");
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
        ("no id", json!({"keys": [nameless]})),
        ("a number for an id", with("kid", json!(5))),
        ("one more than is read", huge(1025)),
    ];
    for (name, set) in sets {
        let cold = Rig::new(|_| {});
        cold.sim.set_jwks_raw(set.clone());
        assert_eq!(cold.ask_new("user_1"), "unavailable jwk-remote-invalid", "{name}");
        let warm = Rig::new(|_| {});
        warm.ask_new("user_1");
        warm.sim.set_jwks_raw(set);
        warm.time.pass_s(300);
        assert_eq!((warm.ask_new("user_1").as_str(), fetches(&warm)), ("in verified", 2), "{name}");
    }
    let cold = Rig::new(|_| {});
    cold.sim.fault(Fault::on("/jwks").body(json!({"$text": twice.get()})));
    assert_eq!(cold.ask_new("user_1"), "unavailable jwk-remote-invalid");
}

#[test]
fn keys_of_no_use_do_not_spoil_those_beside_them() {
    let keys = Sim::start().keys();
    let (good, other) = (keys.jwk("k1"), keys.jwk("k2"));
    let mut impostor = keys.jwk("other");
    impostor["kid"] = good["kid"].clone();
    for beside in [json!(null), json!("x"), json!(5), json!([]), json!({}), json!({"kty": "EC"}), other, impostor] {
        for list in [json!([beside, good]), json!([good, beside])] {
            let rig = Rig::new(|_| {});
            rig.sim.set_jwks_raw(json!({"keys": list, "new": {"x": 1}}));
            assert_eq!(rig.ask_new("user_1"), "in verified", "{beside}");
        }
    }
    let rig = Rig::new(|_| {});
    rig.sim.set_jwks_raw(huge(1024));
    assert_eq!(rig.ask_new("user_1"), "in verified");
}

#[test]
fn a_set_above_its_limit_is_not_read() {
    let rig = Rig::new(|_| {});
    let mut set = huge(2);
    set["padding"] = json!("x".repeat(1 << 20));
    rig.sim.set_jwks_raw(set);
    assert_eq!(rig.ask_new("user_1"), "unavailable jwk-failed-to-load");
}

#[test]
fn t1_req13_two_clients_with_one_key_id_and_swapped_keys_never_share() {
    let (time, diary) = (Time::default(), Diary::default());
    let sims = [Sim::start(), Sim::start()];
    // Both tenants' keys go by the same id.
    sims[1].set_jwks(&["k1_rotated"]);
    let clients = sims.each_ref().map(|sim| client(sim, &time, &diary, None, |_| {}));
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
fn the_public_address_is_asked_without_the_secret() {
    for with_secret in [false, true] {
        let sim = Sim::start();
        let url = format!("{}/.well-known/jwks.json", sim.url());
        let rig = Rig::build(sim, None, |config| {
            config.jwks_url = Some(url);
            if !with_secret {
                config.secret_key = None;
            }
        });
        assert_eq!(rig.ask_new("user_1"), "in verified");
        let log = rig.sim.log();
        assert_eq!((log.len(), log[0].path.as_str()), (1, "/.well-known/jwks.json"));
        assert_eq!(log[0].header("authorization"), None);
        assert!(log[0].violations.is_empty(), "{:?}", log[0].violations);
    }
}

#[test]
fn a_set_given_inline_serves_without_network_and_for_ever() {
    let sim = Sim::start();
    let set = sim.keys().jwks(&["k1"]).unwrap().to_string();
    let rig = Rig::build(sim, None, |config| {
        config.jwks = Some(set);
        config.secret_key = None;
    });
    assert_eq!(rig.ask_new("user_1"), "in verified");
    assert_eq!(rig.ask(&rig.mint(&TokenSpec::session("user_1").key("k2"))), "out jwk-kid-mismatch");
    assert_eq!(rig.ask(&rig.mint(&TokenSpec::session("user_1").key("k1_rotated"))), "out token-invalid-signature");
    rig.time.pass_s(100 * 86_400);
    assert_eq!(rig.ask_new("user_1"), "in verified");
    assert_eq!(inline(&rig.client, &rig.token("user_2")).unwrap(), "in verified");
    assert_eq!(rig.calls(), 0);
}

#[test]
fn a_set_given_inline_is_only_the_start_for_a_client_that_may_fetch() {
    let sim = Sim::start();
    let set = sim.keys().jwks(&["k1"]).unwrap().to_string();
    let rig = Rig::build(sim, None, |config| config.jwks = Some(set));
    assert_eq!((rig.ask_new("user_1").as_str(), rig.calls()), ("in verified", 0));
    rig.sim.rotate(Rotation::default()).unwrap();
    assert_eq!((rig.ask_new("user_1").as_str(), rig.calls()), ("in verified", 1));
}

#[test]
fn a_token_without_a_key_id_needs_a_pinned_key() {
    let rig = Rig::new(|_| {});
    let nameless = TokenSpec::session("user_1");
    let mut spec = nameless.clone();
    spec.header.insert("kid".into(), Value::Null);
    let pinned = {
        let sim = Sim::start();
        let key = sim.keys().pem("k1");
        Rig::build(sim, None, |config| config.jwt_key = Some(key))
    };
    assert_eq!(rig.ask(&rig.mint(&spec)), "out jwk-kid-mismatch");
    assert_eq!(pinned.ask(&rig.mint(&spec)), "in verified");
    assert_eq!(fetches(&rig), 0);
}

#[test]
fn the_pinned_key_alone_decides_whatever_the_api_says() {
    let sim = Sim::start();
    let key = sim.keys().pem("k2");
    let rig = Rig::build(sim, None, |config| config.jwt_key = Some(key));
    let with_k2 = rig.mint(&TokenSpec::session("user_1").key("k2"));
    assert_eq!([rig.ask(&with_k2), rig.ask_new("user_1")], ["in verified", "out token-invalid-signature"]);
    assert_eq!(rig.calls(), 0);
}

#[test]
fn a_rate_limit_on_the_key_set_says_how_long_to_wait() {
    let rig = Rig::new(|_| {});
    rig.sim.fault(Fault::on("/jwks").status(429).header("Retry-After", "7").times(1));
    for (pass_ms, left_ms) in [(0, 7000), (0, 7000), (6_999, 1)] {
        rig.time.pass_ms(pass_ms);
        let answer = bearer(&rig.client, &rig.token("user_1"));
        assert_eq!(answer.reason(), Some(Reason::JwkFailedToLoad));
        assert_eq!(retry_after_ms(&answer), Some(left_ms));
    }
    assert_eq!(fetches(&rig), 1);
    rig.time.pass_ms(1);
    assert_eq!(rig.ask_new("user_1"), "in verified");
}

#[test]
fn keys_of_every_fair_size_verify() {
    let rig = Rig::new(|_| {});
    let sizes = [2048, 3072, 4096];
    for bits in sizes {
        rig.sim.add_key(&format!("rsa{bits}"), Key::generate(&format!("ins_{bits}"), bits).unwrap());
    }
    rig.sim.set_jwks(&sizes.map(|bits| format!("rsa{bits}")).each_ref().map(String::as_str));
    for bits in sizes {
        assert_eq!(
            rig.ask(&rig.mint(&TokenSpec::session("user_1").key(&format!("rsa{bits}")))),
            "in verified",
            "{bits}"
        );
    }
}
