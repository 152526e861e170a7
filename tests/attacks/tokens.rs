//! Tokens whose header or claims try to influence how they are verified.

use clerk_sim::encoding::{b64, b64u, from_b64};
use clerk_sim::sign::hmac_sha256;
use clerk_sim::{KeyStore, Sim, TokenSpec};
use serde_json::{Value, json};

use super::common::unresponsive_server::{Behavior, UnresponsiveServer};
use super::common::{Fixture, NOW_S};
use super::{HEADER, payload, pinned, signed};

/// Variants of the header parameter `alg` that are not `"alg":"RS256"`.
const ALGS: [&str; 46] = [
    r#""alg":"none""#,
    r#""alg":"None""#,
    r#""alg":"NONE""#,
    r#""alg":"nOnE""#,
    r#""alg":"none ""#,
    r#""alg":"""#,
    r#""alg":" RS256""#,
    r#""alg":"RS256 ""#,
    r#""alg":"\tRS256""#,
    r#""alg":"RS256\n""#,
    r#""alg":"RS256\u0000""#,
    r#""alg":"rs256""#,
    r#""alg":"Rs256""#,
    r#""alg":"RS-256""#,
    r#""alg":"RS2566""#,
    r#""alg":"RS25""#,
    r#""alg":"HS256""#,
    r#""alg":"hs256""#,
    r#""alg":" HS256""#,
    r#""alg":"HS384""#,
    r#""alg":"HS512""#,
    r#""alg":"RS1""#,
    r#""alg":"RS384""#,
    r#""alg":"RS512""#,
    r#""alg":"PS256""#,
    r#""alg":"PS512""#,
    r#""alg":"ES256""#,
    r#""alg":"ES256K""#,
    r#""alg":"EdDSA""#,
    r#""alg":"RSA1_5""#,
    r#""alg":"RSA-OAEP""#,
    r#""alg":"dir""#,
    r#""alg":"A128KW""#,
    r#""alg":"RS256,HS256""#,
    r#""alg":null"#,
    r#""alg":256"#,
    r#""alg":true"#,
    r#""alg":["RS256"]"#,
    r#""alg":{"alg":"RS256"}"#,
    r#""Alg":"RS256""#,
    r#""ALG":"RS256""#,
    r#""x":1"#,
    r#""alg":"RS256","alg":"RS256""#,
    r#""alg":"none","alg":"RS256""#,
    r#""alg":"RS256","alg":"none""#,
    "\"alg\":\"\u{ff32}\u{ff33}256\"",
];

/// Clients with a key as PEM, JWK with `alg` and JWK without; JWKs both configured and from a JWK set.
fn clients() -> Vec<(&'static str, Fixture)> {
    let with_alg = Sim::start().keys().jwk("k1");
    let mut without = with_alg.clone();
    without.as_object_mut().unwrap().shift_remove("alg");
    let configured = |key: &Value| {
        let key = key.to_string();
        Fixture::build(Sim::start(), None, |config| config.jwt_key = Some(key))
    };
    let fetched = |key: &Value| {
        let fixture = Fixture::new(|_| {});
        fixture.sim.set_jwks_raw(json!({"keys": [key]}));
        fixture.client.warm_up().unwrap();
        fixture
    };
    vec![
        ("PEM", pinned()),
        ("JWK with alg", configured(&with_alg)),
        ("JWK without alg", configured(&without)),
        ("set with alg", fetched(&with_alg)),
        ("set without alg", fetched(&without)),
    ]
}

// Threat A1; guarantee 2.
#[test]
fn alg_other_than_rs256_is_rejected_for_every_key_format() {
    let keys = KeyStore::built_in();
    let key = keys.get("k1").unwrap();
    let pem = keys.pem("k1");
    let der = from_b64(&key.form("bare_base64").unwrap()).unwrap();
    let jwk = key.jwk.to_string();
    let modulus = key.jwk["n"].as_str().unwrap().as_bytes();
    let secrets: [&[u8]; 7] = [
        b"",
        pem.as_bytes(),
        pem.trim_end().as_bytes(),
        &der,
        b64(&der).as_bytes().to_vec().leak(),
        jwk.as_bytes(),
        modulus,
    ];
    let clients = clients();
    for alg in ALGS {
        let header = format!(r#"{{{alg},"kid":"{}","typ":"JWT"}}"#, key.kid);
        let input = format!("{}.{}", b64u(header.as_bytes()), b64u(payload("").as_bytes()));
        let mut signatures = vec![key.sign("RS256", input.as_bytes()).unwrap(), Vec::new(), vec![0]];
        signatures.extend(secrets.iter().map(|secret| hmac_sha256(secret, input.as_bytes())));
        for signature in signatures {
            let token = format!("{input}.{}", b64u(&signature));
            for (form, fixture) in &clients {
                assert_eq!(fixture.ask(&token), "out token-invalid", "{alg} {form}");
            }
        }
    }
    for (form, fixture) in &clients {
        assert_eq!(fixture.ask(&signed("k1", HEADER, &payload(""))), "in verified", "{form}");
    }
}

// Threat A1.
#[test]
fn hmac_in_place_of_rs256_signature_is_rejected() {
    let keys = KeyStore::built_in();
    let pem = keys.pem("k1");
    let input = format!("{}.{}", b64u(HEADER.as_bytes()), b64u(payload("").as_bytes()));
    for (form, fixture) in clients() {
        for secret in [&b""[..], pem.as_bytes()] {
            let token = format!("{input}.{}", b64u(&hmac_sha256(secret, input.as_bytes())));
            assert_eq!(fixture.ask(&token), "out token-invalid-signature", "{form}");
        }
    }
}

// Threat A3; guarantee 3.
#[test]
fn keys_and_urls_in_the_token_header_are_ignored() {
    let server = UnresponsiveServer::start(Behavior::Silent);
    let jwk = KeyStore::built_in().jwk("other");
    let address = format!("{}/jwks.json", server.url());
    let parameters = [
        format!(r#""jwk":{jwk}"#),
        format!(r#""jku":"{address}""#),
        format!(r#""x5u":"{address}""#),
        r#""x5c":["MIICljCCAX6gAwIBAgIBATANBgkqhkiG9w0BAQsFADAQMQ4wDAYDVQQDDAVvdGhlcg=="]"#.to_owned(),
        format!(r#""jwk":{jwk},"jku":"{address}","x5u":"{address}","x5t":"AAAA","iss":"{}""#, server.url()),
    ];
    for (form, fixture) in clients() {
        let calls = fixture.calls();
        for (n, member) in parameters.iter().enumerate() {
            let kid = fixture.sim.keys().get("k1").unwrap().kid.clone();
            let header = format!(r#"{{"alg":"RS256","kid":"{kid}","typ":"JWT",{member}}}"#);
            let claims = payload(&format!(r#","iss":"{}","n":{n}"#, server.url()));
            assert_eq!(
                fixture.ask(&signed("other", &header, &claims)),
                "out token-invalid-signature",
                "{form} {member}"
            );
            // Ignored: a token with a valid signature is still accepted.
            assert_eq!(fixture.ask(&signed("k1", &header, &claims)), "in verified", "{form} {member}");
        }
        assert!(fixture.calls() <= calls + 1, "{form}: one refetch for an invalid signature");
    }
    assert_eq!(server.connections(), 0);
}

// Threat A4.
#[test]
fn malformed_kid_triggers_no_jwks_fetch() {
    let fixture = Fixture::new(|_| {});
    fixture.client.warm_up().unwrap();
    let right = fixture.sim.keys().get("k1").unwrap().kid.clone();
    let long = format!("\"{}\"", "k".repeat(257));
    for kid in [
        r#""""#,
        r#""../../etc/passwd""#,
        r#""http://evil.example/""#,
        r#""a\r\nb""#,
        r#""a\u0000""#,
        r#""' OR 1=1 --""#,
        r#""é""#,
        &long,
        &format!("[\"{right}\"]"),
        &format!("{{\"kid\":\"{right}\"}}"),
        &format!("\"{right}\\u0000\""),
        &format!("\" {right}\""),
        "5",
        "null",
        "true",
    ] {
        let header = format!(r#"{{"alg":"RS256","kid":{kid},"typ":"JWT"}}"#);
        assert_eq!(fixture.ask(&signed("k1", &header, &payload(""))), "out jwk-kid-mismatch", "{kid}");
    }
    assert_eq!(fixture.calls(), 1);
}

// Threats A5, A7.
#[test]
fn ambiguous_signed_token_is_rejected() {
    let fixture = pinned();
    let header = |more: &str| HEADER.replace('}', &format!(",{more}}}"));
    for more in [
        r#""crit":[]"#,
        r#""crit":["exp"]"#,
        r#""crit":null"#,
        r#""crit":["b64"],"b64":false"#,
        r#""b64":true"#,
        r#""zip":"DEF""#,
        r#""enc":"A128GCM""#,
        r#""cty":"JWT""#,
        r#""typ":"JWT""#,
        r#""\u0074yp":"JWT""#,
        r#""kid":"ins_2corpusKeyOne000000000000001""#,
        r#""x":1,"x":1"#,
    ] {
        assert_eq!(fixture.ask(&signed("k1", &header(more), &payload(""))), "out token-invalid", "{more}");
    }
    for more in [
        r#","sub":"user_2""#,
        r#","sub":"user_1""#,
        r#","s\u0075b":"user_2""#,
        r#","exp":1900000000"#,
        r#","x":1,"x":1"#,
        r#","act":{"sub":"user_2","sub":"user_3"}"#,
        r#","v":2,"o":{"id":"org_1","id":"org_2"}"#,
        r#"}{"a":1"#,
        "}}",
        "} x",
        "}\0",
    ] {
        assert_eq!(fixture.ask(&signed("k1", HEADER, &payload(more))), "out token-invalid", "{more}");
    }
    let claims = payload(r#","S\u0075b":"user_2","SUB":"user_3","sub ":"user_4""#);
    assert_eq!(fixture.ask(&signed("k1", HEADER, &claims)), "in verified", "names are case-sensitive");
}

// Threat A8.
#[test]
fn time_claims_at_boundaries_have_expected_outcome() {
    let fixture = pinned();
    let (valid, malformed) = ("in verified", "out token-invalid");
    let (expired, not_yet, future) = ("out token-expired", "out token-not-active-yet", "out token-iat-in-the-future");
    let past = ["-1", "-0", "0", "0.5", "1", "1e0", "1799999990", "-9007199254740992", "1.799999994999e9"];
    let to_come = [
        "1800000006",
        "2147483647",
        "2147483648",
        "4294967295",
        "4294967296",
        "9007199254740991",
        "9007199254740992",
        "1.9e9",
        "1900000000.5",
        "1900000000.0",
        "19E8",
    ];
    let none = [
        "9007199254740994",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1e300",
        "-1e300",
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "+1",
        "01900000000",
        "0x7fffffff",
        "1_900_000_000",
        "\"1900000000\"",
        "\"\"",
        "null",
        "[]",
        "[1900000000]",
        "{}",
        "true",
        "false",
        "",
    ];
    let mut table: Vec<(&str, [&str; 3])> = Vec::new();
    table.extend(past.map(|value| (value, [expired, valid, valid])));
    table.extend(to_come.map(|value| (value, [valid, not_yet, future])));
    table.extend(none.map(|value| (value, [malformed, malformed, malformed])));
    // The limits at a skew of five seconds.
    table.push(("1799999995", [expired, valid, valid]));
    table.push(("1799999995.999", [expired, valid, valid]));
    table.push(("1799999996", [valid, valid, valid]));
    table.push(("1800000005", [valid, valid, valid]));
    table.push(("1800000005.999", [valid, valid, valid]));
    assert_eq!(NOW_S, 1_800_000_000);
    for (value, outcomes) in table {
        for (name, outcome) in ["exp", "nbf", "iat"].into_iter().zip(outcomes) {
            let end = if name == "exp" { String::new() } else { format!(r#","exp":{}"#, NOW_S + 60) };
            let claims = format!(r#"{{"sub":"user_1"{end},"{name}":{value}}}"#);
            assert_eq!(fixture.ask(&signed("k1", HEADER, &claims)), outcome, "{name}: {value}");
        }
    }
}

// Threat A8; guarantee 5.
#[test]
fn token_without_exp_or_sub_is_rejected() {
    let fixture = pinned();
    for claims in [
        "{}".to_owned(),
        format!(r#"{{"exp":{}}}"#, NOW_S + 60),
        r#"{"sub":"user_1"}"#.to_owned(),
        format!(r#"{{"sub":null,"exp":{}}}"#, NOW_S + 60),
        format!(r#"{{"sub":["user_1"],"exp":{}}}"#, NOW_S + 60),
        format!(r#"{{"sub":"org_1","exp":{}}}"#, NOW_S + 60),
        format!(r#"{{"sub":"USER_1","exp":{}}}"#, NOW_S + 60),
        format!(r#"[{{"sub":"user_1","exp":{}}}]"#, NOW_S + 60),
    ] {
        assert_eq!(fixture.ask(&signed("k1", HEADER, &claims)), "out token-invalid", "{claims}");
    }
}

// Threat U5.
#[test]
fn javascript_prototype_names_are_ordinary_claims() {
    let fixture = pinned();
    let claims = payload(r#","__proto__":{"org_role":"org:admin"},"constructor":{"prototype":1},"toString":1"#);
    assert_eq!(fixture.ask(&signed("k1", HEADER, &claims)), "in verified");
    let spec = TokenSpec::session("user_1").claim("__proto__", json!({"sub": "user_2"}));
    let answer = super::common::bearer(&fixture.client, &fixture.mint(&spec));
    assert_eq!(answer.identity().unwrap().subject(), "user_1");
}
