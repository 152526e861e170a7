//! Strangers who make up key ids and signatures.

use std::sync::atomic::{AtomicUsize, Ordering};

use clerk_sim::encoding::b64u;
use clerk_sim::{Fault, Spoil, TokenSpec};

use super::common::{NOW_S, Rig, inline};
use super::fetches;

/// A token under a key id that nobody knows; its signature is never looked at.
fn made_up(kid: usize) -> String {
    let header = format!(r#"{{"alg":"RS256","kid":"ins_made_up_{kid}","typ":"JWT"}}"#);
    let claims = format!(r#"{{"sub":"user_1","sid":"sess_1","exp":{}}}"#, NOW_S + 3600);
    format!("{}.{}.{}", b64u(header.as_bytes()), b64u(claims.as_bytes()), "A".repeat(342))
}

fn forged(rig: &Rig) -> String {
    rig.mint(&TokenSpec::session("user_1").spoil(Spoil::WrongKey))
}

#[test]
fn a11_ten_unknown_ids_and_ten_bad_signatures_cost_at_most_two_fetches() {
    let rig = Rig::new(|_| {});
    rig.ask_new("user_1");
    for kid in 0..10 {
        assert_eq!(rig.ask(&made_up(kid)), "out jwk-kid-mismatch");
    }
    assert_eq!(fetches(&rig), 2);
    let rig = Rig::new(|_| {});
    rig.ask_new("user_1");
    for _ in 0..10 {
        assert_eq!(rig.ask(&forged(&rig)), "out token-invalid-signature");
    }
    assert_eq!(fetches(&rig), 2);
    for kid in 0..10 {
        assert_eq!(rig.ask(&made_up(kid)), "out jwk-kid-mismatch");
    }
    assert_eq!(fetches(&rig), 2, "both kinds share one ration");
}

#[test]
fn a11_an_unknown_id_is_remembered_for_half_a_minute() {
    let rig = Rig::new(|_| {});
    rig.ask_new("user_1");
    assert_eq!(rig.ask(&made_up(1)), "out jwk-kid-mismatch");
    assert_eq!(fetches(&rig), 2);
    rig.time.pass_ms(29_999);
    assert_eq!((rig.ask(&made_up(1)).as_str(), fetches(&rig)), ("out jwk-kid-mismatch", 2));
    rig.time.pass_ms(1);
    assert_eq!((rig.ask(&made_up(1)).as_str(), fetches(&rig)), ("out jwk-kid-mismatch", 3));
}

#[test]
fn a11_a_stranger_who_meets_a_cold_set_costs_one_fetch_and_no_ration() {
    let rig = Rig::new(|_| {});
    assert_eq!((rig.ask(&made_up(1)).as_str(), fetches(&rig)), ("out jwk-kid-mismatch", 1));
    rig.sim.rotate(clerk_sim::Rotation::default()).unwrap();
    assert_eq!((rig.ask_new("user_1").as_str(), fetches(&rig)), ("in verified", 2));
}

#[test]
fn a11_a_ration_used_up_by_strangers_delays_a_rotation_by_ten_seconds_and_no_more() {
    let rig = Rig::new(|_| {});
    rig.ask_new("user_1");
    rig.ask(&made_up(1));
    rig.sim.rotate(clerk_sim::Rotation::default()).unwrap();
    assert_eq!(rig.ask_new("user_1"), "out jwk-kid-mismatch");
    rig.time.pass_s(10);
    assert_eq!(rig.ask_new("user_1"), "in verified");
}

#[test]
fn a11_nobody_waits_for_a_strangers_id_when_the_ration_is_used_up() {
    let rig = Rig::new(|_| {});
    rig.ask_new("user_1");
    assert_eq!(inline(&rig.client, &made_up(1)), None);
    rig.ask(&made_up(1));
    for kid in 1..20 {
        assert_eq!(inline(&rig.client, &made_up(kid)).unwrap(), "out jwk-kid-mismatch");
    }
    assert_eq!(inline(&rig.client, &forged(&rig)).unwrap(), "out token-invalid-signature");
    assert_eq!(fetches(&rig), 2);
}

/// A minute of the simulated clock, in which several threads send made-up tokens and one sends good ones. What has to
/// come of made-up key ids and of forged signatures is told.
fn flood(rig: &Rig, unknown: &str, bad: &str) -> (usize, usize) {
    const STEPS: usize = 60;
    const STRANGERS: usize = 3;
    const EACH: usize = 40;
    let (sent, good) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for step in 0..STEPS {
        std::thread::scope(|scope| {
            for stranger in 0..STRANGERS {
                let sent = &sent;
                scope.spawn(move || {
                    for n in 0..EACH {
                        let kid = (step * STRANGERS + stranger) * EACH + n;
                        assert_eq!(rig.ask(&made_up(kid)), unknown);
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    assert_eq!(rig.ask(&forged(rig)), bad);
                });
            }
            scope.spawn(|| {
                for user in 0..5 {
                    assert_eq!(rig.ask_new(&format!("user_{user}")), "in verified");
                    good.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        rig.time.pass_s(1);
    }
    (sent.into_inner(), good.into_inner())
}

#[test]
fn a11_req10_a_flood_of_made_up_ids_costs_seven_fetches_a_minute() {
    let rig = Rig::new(|_| {});
    rig.ask_new("user_1");
    rig.sim.reset_counts();
    assert_eq!(flood(&rig, "out jwk-kid-mismatch", "out token-invalid-signature"), (7200, 300));
    assert!((1..=7).contains(&fetches(&rig)), "{}", fetches(&rig));
}

#[test]
fn a11_good_tokens_are_let_in_through_a_flood_while_the_endpoint_fails() {
    let rig = Rig::new(|_| {});
    rig.ask_new("user_1");
    rig.sim.fault(Fault::on("/jwks").status(500));
    rig.sim.reset_counts();
    let before = rig.client.stats().jwks_fetches;
    let unavailable = "unavailable jwk-failed-to-load";
    assert_eq!(flood(&rig, unavailable, unavailable), (7200, 300));
    // Each may be tried three times.
    assert!(rig.client.stats().jwks_fetches - before <= 7);
    assert!((1..=21).contains(&fetches(&rig)), "{}", fetches(&rig));
}

#[test]
fn n5_an_outage_says_nothing_against_a_token_that_the_kept_set_does_not_know() {
    let unavailable = "unavailable jwk-failed-to-load";
    let rig = Rig::new(|config| config.timeout_ms = 1000);
    rig.ask_new("user_1");
    rig.sim.rotate(clerk_sim::Rotation::default()).unwrap();
    rig.sim.set_down(true).unwrap();
    let new = rig.token("user_1");
    // The first asks; the ration is used up for the others, and they learn what the first has learnt.
    for _ in 0..3 {
        assert_eq!([rig.ask(&new), rig.ask(&made_up(1)), rig.ask(&forged(&rig))], [unavailable; 3]);
        assert_eq!(inline(&rig.client, &new).as_deref(), Some(unavailable));
    }
    rig.time.pass_s(10);
    assert_eq!(inline(&rig.client, &new), None, "worth asking again");
    rig.sim.set_down(false).unwrap();
    assert_eq!([rig.ask(&new), rig.ask(&made_up(1))], ["in verified", "out jwk-kid-mismatch"]);
}

#[test]
fn n5_a_set_that_is_none_says_nothing_against_a_token_either() {
    for (body, unavailable) in [("{\"keys\":[]}", "jwk-remote-invalid"), ("<html>", "jwk-remote-invalid")] {
        let rig = Rig::new(|_| {});
        rig.ask_new("user_1");
        rig.sim.fault(Fault::on("/jwks").body(serde_json::json!({"$text": body})));
        let unavailable = format!("unavailable {unavailable}");
        assert_eq!([rig.ask(&made_up(1)), rig.ask(&forged(&rig))], [unavailable.as_str(); 2], "{body}");
        assert_eq!(rig.ask_new("user_1"), "in verified");
    }
}
