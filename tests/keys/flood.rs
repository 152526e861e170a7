//! Unauthenticated clients that send unknown key ids and forged signatures.

use std::sync::atomic::{AtomicUsize, Ordering};

use clerk_sim::encoding::b64u;
use clerk_sim::{Fault, Spoil, TokenSpec};

use super::common::{Fixture, NOW_S, inline};
use super::fetches;

/// A token with an unknown key id; its signature is never checked.
fn unknown_kid(kid: usize) -> String {
    let header = format!(r#"{{"alg":"RS256","kid":"ins_made_up_{kid}","typ":"JWT"}}"#);
    let claims = format!(r#"{{"sub":"user_1","sid":"sess_1","exp":{}}}"#, NOW_S + 3600);
    format!("{}.{}.{}", b64u(header.as_bytes()), b64u(claims.as_bytes()), "A".repeat(342))
}

fn forged(fixture: &Fixture) -> String {
    fixture.mint(&TokenSpec::session("user_1").spoil(Spoil::WrongKey))
}

/// Threat A11.
#[test]
fn unknown_kids_and_bad_signatures_share_the_refetch_limit() {
    let fixture = Fixture::new(|_| {});
    fixture.authenticate_new("user_1");
    for kid in 0..10 {
        assert_eq!(fixture.ask(&unknown_kid(kid)), "out jwk-kid-mismatch");
    }
    assert_eq!(fetches(&fixture), 2);
    let fixture = Fixture::new(|_| {});
    fixture.authenticate_new("user_1");
    for _ in 0..10 {
        assert_eq!(fixture.ask(&forged(&fixture)), "out token-invalid-signature");
    }
    assert_eq!(fetches(&fixture), 2);
    for kid in 0..10 {
        assert_eq!(fixture.ask(&unknown_kid(kid)), "out jwk-kid-mismatch");
    }
    assert_eq!(fetches(&fixture), 2, "both kinds share one limit");
}

/// Threat A11.
#[test]
fn unknown_kid_is_cached_for_30_seconds() {
    let fixture = Fixture::new(|_| {});
    fixture.authenticate_new("user_1");
    assert_eq!(fixture.ask(&unknown_kid(1)), "out jwk-kid-mismatch");
    assert_eq!(fetches(&fixture), 2);
    fixture.time.advance_ms(29_999);
    assert_eq!((fixture.ask(&unknown_kid(1)).as_str(), fetches(&fixture)), ("out jwk-kid-mismatch", 2));
    fixture.time.advance_ms(1);
    assert_eq!((fixture.ask(&unknown_kid(1)).as_str(), fetches(&fixture)), ("out jwk-kid-mismatch", 3));
}

/// Threat A11.
#[test]
fn cold_fetch_by_unknown_kid_keeps_the_refetch_limit() {
    let fixture = Fixture::new(|_| {});
    assert_eq!((fixture.ask(&unknown_kid(1)).as_str(), fetches(&fixture)), ("out jwk-kid-mismatch", 1));
    fixture.sim.rotate(clerk_sim::Rotation::default()).unwrap();
    assert_eq!((fixture.authenticate_new("user_1").as_str(), fetches(&fixture)), ("in verified", 2));
}

/// Threat A11.
#[test]
fn used_refetch_limit_delays_rotation_by_10_seconds() {
    let fixture = Fixture::new(|_| {});
    fixture.authenticate_new("user_1");
    fixture.ask(&unknown_kid(1));
    fixture.sim.rotate(clerk_sim::Rotation::default()).unwrap();
    assert_eq!(fixture.authenticate_new("user_1"), "out jwk-kid-mismatch");
    fixture.time.advance_s(10);
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
}

/// Threat A11.
#[test]
fn unknown_kid_does_not_block_when_limit_is_used() {
    let fixture = Fixture::new(|_| {});
    fixture.authenticate_new("user_1");
    assert_eq!(inline(&fixture.client, &unknown_kid(1)), None);
    fixture.ask(&unknown_kid(1));
    for kid in 1..20 {
        assert_eq!(inline(&fixture.client, &unknown_kid(kid)).unwrap(), "out jwk-kid-mismatch");
    }
    assert_eq!(inline(&fixture.client, &forged(&fixture)).unwrap(), "out token-invalid-signature");
    assert_eq!(fetches(&fixture), 2);
}

/// A minute of the manual clock in which several threads send tokens with unknown key ids and forged signatures and one
/// sends valid ones. The arguments are the expected outcomes of the first two.
fn flood(fixture: &Fixture, unknown: &str, bad: &str) -> (usize, usize) {
    const STEPS: usize = 60;
    const CLIENTS: usize = 3;
    const EACH: usize = 40;
    let (sent, good) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for step in 0..STEPS {
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let sent = &sent;
                scope.spawn(move || {
                    for n in 0..EACH {
                        let kid = (step * CLIENTS + client) * EACH + n;
                        assert_eq!(fixture.ask(&unknown_kid(kid)), unknown);
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    assert_eq!(fixture.ask(&forged(fixture)), bad);
                });
            }
            scope.spawn(|| {
                for user in 0..5 {
                    assert_eq!(fixture.authenticate_new(&format!("user_{user}")), "in verified");
                    good.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        fixture.time.advance_s(1);
    }
    (sent.into_inner(), good.into_inner())
}

/// Threat A11; guarantee 10.
#[test]
fn unknown_kids_refetch_jwks_at_most_7_per_minute() {
    let fixture = Fixture::new(|_| {});
    fixture.authenticate_new("user_1");
    fixture.sim.reset_counts();
    assert_eq!(flood(&fixture, "out jwk-kid-mismatch", "out token-invalid-signature"), (7200, 300));
    assert!((1..=7).contains(&fetches(&fixture)), "{}", fetches(&fixture));
}

/// Threat A11.
#[test]
fn valid_tokens_are_accepted_during_flood_and_outage() {
    let fixture = Fixture::new(|_| {});
    fixture.authenticate_new("user_1");
    fixture.sim.fault(Fault::on("/jwks").status(500));
    fixture.sim.reset_counts();
    let before = fixture.client.stats().jwks_fetches;
    let unavailable = "unavailable jwk-failed-to-load";
    assert_eq!(flood(&fixture, unavailable, unavailable), (7200, 300));
    // Each call may be tried three times.
    assert!(fixture.client.stats().jwks_fetches - before <= 7);
    assert!((1..=21).contains(&fetches(&fixture)), "{}", fetches(&fixture));
}

/// Threat N5.
#[test]
fn unknown_kid_during_outage_is_unavailable() {
    let unavailable = "unavailable jwk-failed-to-load";
    let fixture = Fixture::new(|config| config.timeout_ms = 1000);
    fixture.authenticate_new("user_1");
    fixture.sim.rotate(clerk_sim::Rotation::default()).unwrap();
    fixture.sim.set_down(true).unwrap();
    let new = fixture.token("user_1");
    // The first call fetches; the rate limit stops the others, which get the result of the first.
    for _ in 0..3 {
        assert_eq!([fixture.ask(&new), fixture.ask(&unknown_kid(1)), fixture.ask(&forged(&fixture))], [unavailable; 3]);
        assert_eq!(inline(&fixture.client, &new).as_deref(), Some(unavailable));
    }
    fixture.time.advance_s(10);
    assert_eq!(inline(&fixture.client, &new), None, "worth asking again");
    fixture.sim.set_down(false).unwrap();
    assert_eq!([fixture.ask(&new), fixture.ask(&unknown_kid(1))], ["in verified", "out jwk-kid-mismatch"]);
}

/// Threat N5.
#[test]
fn unknown_kid_with_invalid_jwks_is_unavailable() {
    for (body, unavailable) in [("{\"keys\":[]}", "jwk-remote-invalid"), ("<html>", "jwk-remote-invalid")] {
        let fixture = Fixture::new(|_| {});
        fixture.authenticate_new("user_1");
        fixture.sim.fault(Fault::on("/jwks").body(serde_json::json!({"$text": body})));
        let unavailable = format!("unavailable {unavailable}");
        assert_eq!([fixture.ask(&unknown_kid(1)), fixture.ask(&forged(&fixture))], [unavailable.as_str(); 2], "{body}");
        assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    }
}
