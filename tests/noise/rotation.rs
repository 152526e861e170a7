//! A key rotation during floods of tokens that no key verifies, from a few to many in a second.

use clerk_auth::TokenKind;
use clerk_sim::encoding::b64u;
use clerk_sim::{Kind, Rotation, TokenSpec};

use super::common::{Fixture, NOW_S, inline};

/// What the tokens of a flood have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flood {
    UnknownKids,
    ForgedSignatures,
}

/// A token of a flood. Its payload has the members of `good`, so that it is of the same type.
fn invented(flood: Flood, kid: &str, good: &TokenSpec, n: usize) -> String {
    let made_up = format!("ins_made_up_{n}");
    let kid = if flood == Flood::UnknownKids { &made_up } else { kid };
    let (typ, sub) = match good.kind {
        Kind::OauthJwt => ("at+jwt", "user_1"),
        Kind::M2mJwt => ("JWT", "mch_1"),
        _ => ("JWT", "user_1"),
    };
    let header = format!(r#"{{"alg":"RS256","kid":"{kid}","typ":"{typ}"}}"#);
    let claims = format!(r#"{{"sub":"{sub}","sid":"sess_{n}","iat":{NOW_S},"exp":{}}}"#, NOW_S + 3600);
    format!("{}.{}.{}", b64u(header.as_bytes()), b64u(claims.as_bytes()), "A".repeat(342))
}

/// Sends a flood of `per_s` distinct tokens a second, each `times` times, and rotates in the middle. A holder of a token of the new
/// key sends it every `pause_ms`. Returns for how long it is rejected, by the clock of the client, and the fetches since the rotation.
fn rejected_ms(
    flood: Flood,
    per_s: usize,
    times: usize,
    rotation: Rotation,
    good: &TokenSpec,
    pause_ms: usize,
) -> (usize, usize) {
    let fixture = Fixture::new(|config| config.accepts_token = TokenKind::ALL.to_vec());
    assert_eq!(fixture.ask(&fixture.mint(good)), "in verified");
    let kid = fixture.sim.keys().get("k1").unwrap().kid.clone();
    let mut sent = 0;
    let mut flood_for = |ms: usize| {
        for step in 0..ms.div_ceil(100) {
            let step_ms = (ms - step * 100).min(100);
            for _ in 0..per_s * step_ms / 1000 {
                let token = invented(flood, &kid, good, sent);
                (0..times).for_each(|_| assert!(fixture.ask(&token).starts_with("out ")));
                sent += 1;
            }
            fixture.time.advance_ms(step_ms as i64);
        }
    };
    flood_for(500);
    let fetches = fixture.sim.requests("/jwks");
    fixture.sim.rotate(rotation).unwrap();
    let token = fixture.mint(good);
    let mut took_ms = 0;
    while !fixture.ask(&token).starts_with("in ") && took_ms < 9000 {
        flood_for(pause_ms);
        took_ms += pause_ms;
    }
    (took_ms, fixture.sim.requests("/jwks") - fetches)
}

/// Threat A11.
#[test]
fn rotation_is_noticed_whatever_the_rate_of_a_flood() {
    let same_kid = Rotation { same_kid: true, ..Rotation::default() };
    let good = TokenSpec::session("user_1");
    for (per_s, times, pause_ms) in [(200, 1, 50), (2000, 1, 600), (2000, 2, 600), (200, 3, 3000), (20_000, 1, 600)] {
        for (flood, rotation) in [
            (Flood::UnknownKids, Rotation::default()),
            (Flood::UnknownKids, same_kid),
            (Flood::ForgedSignatures, Rotation::default()),
            (Flood::ForgedSignatures, same_kid),
        ] {
            let (took_ms, fetches) = rejected_ms(flood, per_s, times, rotation, &good, pause_ms);
            let case =
                format!("{flood:?}, {per_s} a second, {times} times, {rotation:?}: {took_ms} ms, {fetches} fetches");
            assert!(took_ms <= pause_ms.max(1200), "{case}");
            assert!(fetches <= 4 + took_ms / 1000, "{case}");
        }
    }
}

/// Threat A11.
#[test]
fn rotation_is_noticed_for_each_type_of_token_during_a_fast_flood() {
    for good in [TokenSpec::new(Kind::OauthJwt, "user_1"), TokenSpec::new(Kind::M2mJwt, "mch_1")] {
        for flood in [Flood::UnknownKids, Flood::ForgedSignatures] {
            let (took_ms, _) = rejected_ms(flood, 2000, 1, Rotation::default(), &good, 600);
            assert!(took_ms <= 600, "{flood:?}, {good:?}: {took_ms} ms");
        }
    }
}

/// Threat A11. The token that comes again may be another one of the same key, and may be answered without a thread that waits.
#[test]
fn two_tokens_of_a_new_key_id_are_enough_during_a_fast_flood() {
    let fixture = Fixture::new(|_| {});
    fixture.authenticate_new("user_1");
    let flood = |range: std::ops::Range<usize>| {
        let good = TokenSpec::session("user_1");
        range
            .for_each(|n| assert_eq!(fixture.ask(&invented(Flood::UnknownKids, "", &good, n)), "out jwk-kid-mismatch"));
    };
    flood(0..10);
    fixture.sim.rotate(Rotation::default()).unwrap();
    assert_eq!(inline(&fixture.client, &fixture.token("user_1")).as_deref(), Some("out jwk-kid-mismatch"));
    flood(10..4000);
    fixture.time.advance_ms(600);
    let other = fixture.token("user_2");
    assert_eq!((inline(&fixture.client, &other), fixture.ask(&other).as_str()), (None, "in verified"));
}

/// Threat A11. Only a clock of the application can step back.
#[test]
fn clock_that_steps_back_delays_a_rotation_no_further() {
    let fixture = Fixture::new(|_| {});
    fixture.authenticate_new("user_1");
    let good = TokenSpec::session("user_1");
    let mut sent = 0;
    let mut flood = || {
        sent += 100;
        (sent - 100..sent).for_each(|n| drop(fixture.ask(&invented(Flood::UnknownKids, "", &good, n))));
    };
    for step_ms in [-3_600_000, 7_200_000, -1] {
        flood();
        fixture.sim.rotate(Rotation::default()).unwrap();
        fixture.time.advance_ms(step_ms);
        for _ in 0..3 {
            flood();
            fixture.authenticate_new("user_1");
            fixture.time.advance_ms(500);
        }
        assert_eq!(fixture.authenticate_new("user_1"), "in verified", "{step_ms}");
        // The limit holds for tokens that come once, also after the step.
        let fetches = fixture.sim.requests("/jwks");
        (0..5).for_each(|_| flood());
        let later = fixture.sim.requests("/jwks");
        assert!(later - fetches <= 1, "{step_ms}");
        fixture.time.advance_ms(20_000);
        flood();
        assert_eq!(fixture.sim.requests("/jwks") - later, 1, "{step_ms}");
    }
}
