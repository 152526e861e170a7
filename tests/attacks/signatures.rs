//! RSA signatures: the Wycheproof vectors and malformed values.

use clerk_auth::TokenHash;
use clerk_auth::internals::VerifyingKey;
use clerk_sim::encoding::{b64u, from_b64u};
use clerk_sim::{Sim, TokenSpec};
use wycheproof::TestResult;
use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};

use super::common::NOW_S;
use super::{HEADER, payload, pinned, signed};

// Threat A6.
#[test]
fn wycheproof_rsa_pkcs1_sha256_vectors_verify_as_expected() {
    for (name, min_valid) in [
        (TestName::Rsa2048Sha256, 8),
        (TestName::Rsa3072Sha256, 7),
        (TestName::Rsa4096Sha256, 6),
        (TestName::Rsa8192Sha256, 6),
    ] {
        let (mut valid, mut invalid) = (0, 0);
        for group in TestSet::load(name).unwrap().test_groups {
            let key = VerifyingKey::from_der(&group.der).unwrap();
            for test in group.tests {
                let verified = key.verify(TokenHash::of(&test.msg).as_bytes(), &test.sig);
                match test.result {
                    TestResult::Valid => {
                        assert!(verified, "{name:?} {} {}", test.tc_id, test.comment);
                        valid += 1;
                    }
                    TestResult::Invalid => {
                        assert!(!verified, "{name:?} {} {}", test.tc_id, test.comment);
                        invalid += 1;
                    }
                    TestResult::Acceptable => {}
                }
            }
        }
        assert!(valid >= min_valid && invalid >= 249, "{name:?}: {valid} valid, {invalid} invalid");
    }
}

/// Returns `number + modulus`, or `None` if the sum is longer.
fn plus(number: &[u8], modulus: &[u8]) -> Option<Vec<u8>> {
    let mut carry = 0_u16;
    let mut sum: Vec<u8> = Vec::new();
    for (a, b) in number.iter().rev().zip(modulus.iter().rev()) {
        carry += u16::from(*a) + u16::from(*b);
        sum.push(carry as u8);
        carry >>= 8;
    }
    sum.reverse();
    (carry == 0).then_some(sum)
}

// Threat A6.
#[test]
fn malformed_signature_is_rejected() {
    let fixture = pinned();
    let modulus = from_b64u(fixture.sim.keys().jwk("k1")["n"].as_str().unwrap()).unwrap();
    let token = signed("k1", HEADER, &payload(""));
    let (input, signature) = token.rsplit_once('.').unwrap();
    let valid = from_b64u(signature).unwrap();
    let last = |step: i16| {
        let mut number = modulus.clone();
        let end = number.len() - 1;
        number[end] = (i16::from(number[end]) + step) as u8;
        number
    };
    let mut one = vec![0; 256];
    one[255] = 1;
    let malformed: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("one byte", vec![1]),
        ("zero", vec![0; 256]),
        ("one", one),
        ("all ones", vec![0xff; 256]),
        ("n", modulus.clone()),
        ("n - 1", last(-1)),
        ("n + 1", last(1)),
        ("first byte missing", valid[1..].to_vec()),
        ("last byte missing", valid[..255].to_vec()),
        ("leading zero", [&[0][..], &valid].concat()),
        ("trailing zero", [&valid, &[0][..]].concat()),
        ("repeated", [&valid[..], &valid].concat()),
        ("reversed", valid.iter().rev().copied().collect()),
        ("length of an ECDSA signature", vec![0; 64]),
    ];
    for (name, bytes) in malformed {
        let outcome = fixture.ask(&format!("{input}.{}", b64u(&bytes)));
        let expected = if bytes.is_empty() { "out token-invalid" } else { "out token-invalid-signature" };
        assert_eq!(outcome, expected, "{name}");
    }
    assert_eq!(fixture.ask(&token), "in verified");
}

// Threat A6.
#[test]
fn signature_plus_modulus_is_rejected() {
    let fixture = pinned();
    let modulus = from_b64u(fixture.sim.keys().jwk("k1")["n"].as_str().unwrap()).unwrap();
    let found = (0..400).find_map(|n| {
        let token = signed("k1", HEADER, &payload(&format!(r#","n":{n}"#)));
        let (input, signature) = token.rsplit_once('.').unwrap();
        let sum = plus(&from_b64u(signature).unwrap(), &modulus)?;
        Some((token.clone(), format!("{input}.{}", b64u(&sum))))
    });
    let (valid, other) = found.expect("one signature in eight is small enough");
    assert_eq!([fixture.ask(&valid), fixture.ask(&other)], ["in verified", "out token-invalid-signature"]);
}

// Threat A6.
#[test]
fn signature_with_other_padding_or_digest_is_rejected() {
    let fixture = pinned();
    let key = fixture.sim.keys();
    let input = {
        let token = signed("k1", HEADER, &payload(""));
        token.rsplit_once('.').unwrap().0.to_owned()
    };
    for alg in ["RS1", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let signature = key.get("k1").unwrap().sign(alg, input.as_bytes()).unwrap();
        assert_eq!(fixture.ask(&format!("{input}.{}", b64u(&signature))), "out token-invalid-signature", "{alg}");
    }
}

// Threat A13.
#[test]
fn bad_signature_is_reported_before_invalid_claims() {
    let sim = Sim::start();
    let key = sim.keys().pem("k1");
    let fixture = super::Fixture::build(sim, None, |config| {
        config.jwt_key = Some(key);
        config.authorized_parties = vec!["https://app.example.com".into()];
        config.issuer = vec!["https://clerk.example.com".into()];
        config.audience = vec!["api".into()];
    });
    let valid = |spec: TokenSpec| TokenSpec { aud: Some("api".into()), ..spec };
    type Change = fn(TokenSpec) -> TokenSpec;
    let faults: [(&str, Change); 9] = [
        ("token-expired", |spec| spec.exp_in(-600)),
        ("token-not-active-yet", |spec| spec.claim("nbf", (NOW_S + 600).into())),
        ("token-iat-in-the-future", |spec| spec.claim("iat", (NOW_S + 600).into())),
        ("token-invalid-authorized-parties", |spec| spec.azp("https://evil.example")),
        ("token-invalid-audience", |spec| spec.claim("aud", "other".into())),
        ("token-invalid-issuer", |spec| spec.claim("iss", "https://evil.example".into())),
        ("token-invalid", |spec| spec.claim("sub", "root".into())),
        ("token-invalid", |spec| spec.claim("exp", "soon".into())),
        ("session-pending", |spec| spec.claim("sts", "pending".into())),
    ];
    for (reason, change) in faults {
        let spec = change(valid(TokenSpec::session("user_1")));
        assert_eq!(fixture.ask(&fixture.mint(&spec)), format!("out {reason}"));
        assert_eq!(fixture.ask(&fixture.mint(&spec.key("k1_rotated"))), "out token-invalid-signature", "{reason}");
    }
    assert_eq!(fixture.ask(&fixture.mint(&valid(TokenSpec::session("user_1")))), "in verified");
}
