//! The JWK set: what unauthenticated clients can cause, and a rotation in the middle of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clerk_auth::TokenKind;
use clerk_sim::encoding::b64u;
use clerk_sim::{Fault, Kind, Rotation, Spoil, TokenSpec};
use serde_json::json;

use super::common::{Fixture, NOW_S, inline, retry_after_ms, timed};

fn unknown_kid(kid: usize) -> String {
    let header = format!(r#"{{"alg":"RS256","kid":"ins_made_up_{kid}","typ":"JWT"}}"#);
    let claims = format!(r#"{{"sub":"user_1","sid":"sess_1","exp":{}}}"#, NOW_S + 3600);
    format!("{}.{}.{}", b64u(header.as_bytes()), b64u(claims.as_bytes()), "A".repeat(342))
}

fn forged(fixture: &Fixture, n: i64) -> String {
    fixture.mint(&TokenSpec::session("user_1").exp_in(3600 + n).spoil(Spoil::WrongKey))
}

fn fetches(fixture: &Fixture) -> usize {
    fixture.sim.requests("/jwks")
}

/// Threat A11.
#[test]
fn failed_fetch_without_keys_backs_off_10_seconds() {
    for fault in [
        Fault::on("/jwks").status(401),
        Fault::on("/jwks").status(403),
        Fault::on("/jwks").status(404),
        Fault::on("/jwks").status(302),
        Fault::on("/jwks").body(json!({"keys": []})),
        Fault::on("/jwks").body(json!({"$text": "<html>"})),
    ] {
        let fixture = Fixture::new(|_| {});
        fixture.sim.fault(fault.clone());
        for n in 0..50 {
            assert!(fixture.ask(&unknown_kid(n)).starts_with("unavailable "), "{fault:?}");
        }
        assert_eq!(fetches(&fixture), 1, "{fault:?}");
        let cached = inline(&fixture.client, &fixture.token("user_1"));
        assert!(cached.is_some_and(|outcome| outcome.starts_with("unavailable ")), "no thread waits: {fault:?}");
        fixture.time.advance_ms(9_999);
        fixture.ask(&unknown_kid(1));
        assert_eq!(fetches(&fixture), 1, "{fault:?}");
        fixture.sim.clear_faults();
        fixture.time.advance_ms(1);
        assert_eq!(fixture.authenticate_new("user_1"), "in verified", "{fault:?}");
    }
}

/// Threat A11.
#[test]
fn transient_failures_without_keys_back_off_from_the_third_on() {
    let fixture = Fixture::new(|_| {});
    fixture.sim.fault(Fault::on("/jwks").reset());
    let fetched = || fixture.client.stats().jwks_fetches;
    let ask = || (0..5).for_each(|n| assert!(fixture.ask(&unknown_kid(n)).starts_with("unavailable ")));
    ask();
    assert_eq!(fetched(), 3);
    for (fetches, backoff_ms) in [(4, 1000), (5, 2000), (6, 4000), (7, 8000), (8, 10_000), (9, 10_000)] {
        fixture.time.advance_ms(backoff_ms - 1);
        ask();
        assert_eq!(fetched(), fetches - 1);
        fixture.time.advance_ms(1);
        ask();
        assert_eq!(fetched(), fetches);
    }
    // The endpoint's circuit is open as well.
    fixture.sim.clear_faults();
    fixture.time.advance_ms(30_000);
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
}

#[test]
fn back_off_is_returned_as_retry_after() {
    let fixture = Fixture::new(|_| {});
    fixture.sim.fault(Fault::on("/jwks").status(404));
    fixture.ask(&unknown_kid(1));
    fixture.time.advance_ms(4_000);
    let answer = super::common::bearer(&fixture.client, &unknown_kid(2));
    assert_eq!(retry_after_ms(&answer), Some(6_000));
}

/// The application's own call is not limited by what unauthenticated clients did.
#[test]
fn warm_up_fetches_in_spite_of_the_back_off() {
    let fixture = Fixture::new(|_| {});
    fixture.sim.fault(Fault::on("/jwks").status(404).times(1));
    fixture.ask(&unknown_kid(1));
    assert!(fixture.client.warm_up().is_ok());
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
}

/// Threat A11.
#[test]
fn slow_jwks_blocks_few_threads() {
    for is_kid_known in [true, false] {
        let fixture = Fixture::new(|_| {});
        fixture.authenticate_new("user_1");
        fixture.sim.fault(Fault::on("/jwks").delay_ms(1500));
        let waited = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for n in 0..100 {
                let (fixture, waited) = (&fixture, &waited);
                scope.spawn(move || {
                    let token = if is_kid_known { forged(fixture, n) } else { unknown_kid(n as usize) };
                    let (outcome, took) = timed(|| fixture.ask(&token));
                    assert!(outcome.starts_with("out "), "{outcome}");
                    if took > Duration::from_millis(1000) {
                        waited.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(300));
            let (outcome, took) = timed(|| fixture.authenticate_new("user_2"));
            assert_eq!(outcome, "in verified");
            assert!(took < Duration::from_millis(1000), "{took:?}");
        });
        assert!((1..=5).contains(&waited.load(Ordering::SeqCst)), "{waited:?}");
        assert_eq!(fetches(&fixture), 2);
    }
}

/// A flood of key ids that do not exist, and a rotation in the middle.
fn first_success_during_flood(kid: impl Fn(usize) -> usize + Sync, delay_ms: u64) -> Duration {
    let flood = |_: &Fixture, n: usize| unknown_kid(kid(n));
    first_success(flood, Rotation::default(), &TokenSpec::session("user_1"), delay_ms)
}

/// A flood of tokens, and a rotation in the middle. Returns how long a token of the new key is rejected, by the clock of the client:
/// the machine may be busy.
fn first_success(
    flood: impl Fn(&Fixture, usize) -> String + Sync,
    rotation: Rotation,
    good: &TokenSpec,
    delay_ms: u64,
) -> Duration {
    let fixture = Fixture::new(|config| config.accepts_token = TokenKind::ALL.to_vec());
    assert_eq!(fixture.ask(&fixture.mint(good)), "in verified");
    let (is_over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let n = sent.fetch_add(1, Ordering::SeqCst);
                    fixture.ask(&flood(&fixture, n));
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
        }
        while sent.load(Ordering::SeqCst) < 50 {
            std::thread::sleep(Duration::from_millis(5));
        }
        fixture.sim.rotate(rotation).unwrap();
        fixture.sim.fault(Fault::on("/jwks").delay_ms(delay_ms));
        let (mut took_ms, token) = (0, fixture.mint(good));
        while !fixture.ask(&token).starts_with("in ") && took_ms < 5000 {
            std::thread::sleep(Duration::from_millis(5));
            fixture.time.advance_ms(5);
            took_ms += 5;
        }
        is_over.store(true, Ordering::SeqCst);
        Duration::from_millis(took_ms)
    })
}

/// Threat A11.
#[test]
fn rotation_during_flood_of_unknown_kids_costs_one_fetch() {
    for delay_ms in [0, 200] {
        let distinct = first_success_during_flood(|n| n, delay_ms);
        assert!(distinct < Duration::from_millis(1000 + delay_ms), "{distinct:?}");
        let few = first_success_during_flood(|n| n % 10, delay_ms);
        assert!(few < Duration::from_millis(1000 + delay_ms), "{few:?}");
    }
}

/// Threat A11.
#[test]
fn flood_of_kids_sent_twice_delays_a_rotation_by_a_second() {
    let took = first_success_during_flood(|n| n / 2, 0);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

/// Threat A11. Each type of JWT, a new key with a new id and with the old one, unknown key ids and forged signatures.
#[test]
fn rotation_during_a_flood_is_noticed_for_each_type_of_token() {
    let types =
        [TokenSpec::session("user_1"), TokenSpec::new(Kind::OauthJwt, "user_1"), TokenSpec::new(Kind::M2mJwt, "mch_1")];
    for (number, good) in types.iter().enumerate() {
        let noise = types[(number + 1) % types.len()].clone();
        let forged = move |fixture: &Fixture, n: usize| {
            fixture.mint(&noise.clone().exp_in(3600 + n as i64).spoil(Spoil::WrongKey))
        };
        let same_kid = Rotation { same_kid: true, ..Rotation::default() };
        for (what, rotation) in [("new id", Rotation::default()), ("same id", same_kid)] {
            let took = first_success(|_, n| unknown_kid(n), rotation, good, 0);
            assert!(took < Duration::from_secs(2), "{number}, {what}, unknown key ids: {took:?}");
            let took = first_success(&forged, rotation, good, 0);
            assert!(took < Duration::from_secs(2), "{number}, {what}, forged signatures: {took:?}");
        }
    }
}

#[test]
fn unknown_kid_stays_cached_after_another_fetch() {
    let fixture = Fixture::new(|_| {});
    fixture.authenticate_new("user_1");
    fixture.ask(&unknown_kid(1));
    fixture.time.advance_s(10);
    fixture.ask(&unknown_kid(2));
    assert_eq!(fetches(&fixture), 3);
    fixture.time.advance_s(10);
    assert_eq!(inline(&fixture.client, &unknown_kid(1)).as_deref(), Some("out jwk-kid-mismatch"));
    assert_eq!(fetches(&fixture), 3);
}

#[test]
fn found_key_renews_the_refetch_limit() {
    let fixture = Fixture::new(|_| {});
    fixture.authenticate_new("user_1");
    for round in 0..2 {
        fixture.sim.rotate(Rotation::default()).unwrap();
        assert_eq!(fixture.authenticate_new("user_1"), "in verified", "{round}");
    }
}
