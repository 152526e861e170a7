//! Rotations that follow one another within the interval of the rate limit.

use clerk_sim::{Rotation, TokenSpec};

use super::common::Fixture;
use super::fetches;

/// An old token and a new one, and a client that knows the new key after one rotation.
fn rotated(same_kid: bool) -> Fixture {
    let fixture = Fixture::new(|_| {});
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    fixture.sim.rotate(Rotation { same_kid, keep_old: false }).unwrap();
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    fixture
}

#[test]
fn sign_in_by_the_new_key_renews_the_refetch_limit() {
    for same_kid in [true, false] {
        let fixture = Fixture::new(|_| {});
        let old = fixture.token("user_2");
        assert_eq!(fixture.authenticate_new("user_1"), "in verified");
        fixture.sim.rotate(Rotation { same_kid, keep_old: false }).unwrap();
        assert_eq!(fixture.authenticate_new("user_1"), "in verified");
        // A token of the old key, still within its lifetime, uses up the limit.
        assert!(fixture.ask(&old).starts_with("out "));
        let before = fetches(&fixture);
        assert!(fixture.ask(&old).starts_with("out "));
        assert_eq!(fetches(&fixture), before);
        assert_eq!(fixture.authenticate_new("user_3"), "in verified");
        fixture.sim.rotate(Rotation { same_kid, keep_old: false }).unwrap();
        assert_eq!(fixture.authenticate_new("user_1"), "in verified", "the second rotation, same_kid: {same_kid}");
        assert_eq!(fetches(&fixture), before + 1);
    }
}

#[test]
fn sign_ins_renew_the_refetch_limit_once_per_set() {
    let fixture = rotated(true);
    let forged = || fixture.mint(&TokenSpec::session("user_1").spoil(clerk_sim::Spoil::WrongKey));
    let before = fetches(&fixture);
    for _ in 0..20 {
        assert_eq!(fixture.ask(&forged()), "out token-invalid-signature");
        assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    }
    assert_eq!(fetches(&fixture), before + 2);
}

#[test]
fn sign_in_by_an_old_key_renews_nothing() {
    let fixture = Fixture::new(|_| {});
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    let forged = || fixture.mint(&TokenSpec::session("user_1").spoil(clerk_sim::Spoil::WrongKey));
    for _ in 0..5 {
        assert_eq!(fixture.ask(&forged()), "out token-invalid-signature");
        assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    }
    assert_eq!(fetches(&fixture), 2);
}

#[test]
fn used_refetch_limit_is_reported_once_per_interval() {
    let fixture = rotated(false);
    let forged =
        |n: u32| fixture.mint(&TokenSpec { kid: Some(format!("ins_made_up_{n}")), ..TokenSpec::session("user_1") });
    assert_eq!(fixture.ask(&forged(0)), "out jwk-kid-mismatch");
    fixture.time.advance_ms(4000);
    fixture.event_log.take();
    for n in 1..5 {
        assert_eq!(fixture.ask(&forged(n)), "out jwk-kid-mismatch");
    }
    let reports =
        |events: Vec<String>| events.into_iter().filter(|event| event.starts_with("jwks_")).collect::<Vec<_>>();
    assert_eq!(reports(fixture.event_log.take()), ["jwks_fetch_limited 6000"]);
    fixture.time.advance_ms(6000);
    assert_eq!(fixture.ask(&forged(5)), "out jwk-kid-mismatch");
    assert_eq!(fixture.ask(&forged(6)), "out jwk-kid-mismatch");
    assert_eq!(reports(fixture.event_log.take()), ["jwks_refreshed", "jwks_fetch_limited 10000"]);
}
