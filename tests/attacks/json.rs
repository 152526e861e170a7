//! Arbitrary JSON as tokens, key sets and users.

use clerk_auth::TokenKind;
use clerk_auth::internals::{Claims, ClerkUser, Decoded, KeySet, UnverifiedJwt, decode_unverified, keys};
use clerk_sim::KeyStore;
use clerk_sim::encoding::b64u;
use proptest::collection::vec;
use proptest::prelude::*;

use super::common::{NOW_S, bearer};
use super::{HEADER, for_all, pinned, signed};

/// JSON, mostly well-formed, with names and values that some parser treats specially.
fn json() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "alg",
        "kid",
        "typ",
        "cat",
        "crit",
        "b64",
        "zip",
        "sub",
        "sid",
        "iss",
        "azp",
        "aud",
        "exp",
        "nbf",
        "iat",
        "sts",
        "fva",
        "v",
        "o",
        "id",
        "rol",
        "per",
        "fpm",
        "act",
        "fea",
        "pla",
        "org_id",
        "org_permissions",
        "scp",
        "scope",
        "scopes",
        "jti",
        "keys",
        "kty",
        "n",
        "e",
        "use",
        "key_ops",
        "d",
        "email_addresses",
        "primary_email_address_id",
        "verification",
        "status",
        "banned",
        "last_active_at",
        "updated_at",
        "__proto__",
        "constructor",
        "\\u0061lg",
        "",
    ];
    const VALUES: &[&str] = &[
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1",
        "0.5",
        "1e300",
        "1e400",
        "-1e-400",
        "9007199254740993",
        "18446744073709551616",
        "1800000060",
        "\"RS256\"",
        "\"none\"",
        "\"JWT\"",
        "\"at+jwt\"",
        "\"user_1\"",
        "\"mch_1\"",
        "\"pending\"",
        "\"org:admin\"",
        "\"o:a,u:b\"",
        "\"7,21\"",
        "\"99999999999999999999999999\"",
        "\"\\ud800\"",
        "\"\\u0000\"",
        "\"RSA\"",
        "\"AQAB\"",
        "\"sig\"",
        "2",
        "[]",
        "{}",
        "[[]]",
        "NaN",
        "\"\u{e9}\u{1f600}\"",
        "\"",
        "",
    ];
    let leaf = prop_oneof![
        4 => proptest::sample::select(VALUES).prop_map(str::to_owned),
        1 => "\\PC{0,12}".prop_map(|string| serde_json::Value::from(string).to_string()),
        1 => any::<f64>().prop_map(|number| number.to_string()),
        1 => any::<i64>().prop_map(|number| number.to_string()),
    ];
    let name = prop_oneof![9 => proptest::sample::select(NAMES).prop_map(str::to_owned), 1 => "[a-z\\\\]{0,6}"];
    leaf.prop_recursive(5, 48, 8, move |inner| {
        prop_oneof![
            1 => vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            3 => vec((name.clone(), inner), 0..8).prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn parse_everywhere(bytes: &[u8]) {
    for kind in TokenKind::ALL {
        let _ = Claims::parse(*kind, bytes);
    }
    let _ = KeySet::parse(bytes);
    let _ = ClerkUser::parse(bytes);
    if let Ok(string) = std::str::from_utf8(bytes) {
        let _ = keys::parse(string);
    }
    for token in [
        format!("{}.e30.AAAA", b64u(bytes)),
        format!("{}.{}.AAAA", b64u(HEADER.as_bytes()), b64u(bytes)),
        format!("{}.{}.{}", b64u(bytes), b64u(bytes), b64u(bytes)),
    ] {
        let _ = decode_unverified(&token);
        let _ = UnverifiedJwt::parse(&token, &mut Decoded::default())
            .map(|token| (token.kind(), token.kid().map(str::to_owned)));
    }
}

#[test]
fn arbitrary_json_never_panics() {
    for_all(4000, json(), |input| parse_everywhere(input.as_bytes()));
    for_all(2000, vec(any::<u8>(), 0..300), |bytes| parse_everywhere(&bytes));
}

#[test]
fn truncated_and_mutated_json_never_panics() {
    let set = KeyStore::built_in().jwks(&["k1", "k2"]).unwrap().to_string();
    let user = r#"{"id":"user_1","email_addresses":[{"id":"idn_1","email_address":"a@b","verification":{"status":"verified"}}]}"#;
    let claims = r#"{"sub":"user_1","exp":1800000060,"v":2,"o":{"id":"org_1","per":"a,b","fpm":"3"},"fea":"o:x","act":{"sub":"user_2"}}"#;
    let inputs = [set.as_str(), user, claims, HEADER].map(|input| input.as_bytes().to_vec());
    for_all(1500, (0..4_usize, any::<usize>(), any::<u8>(), any::<usize>()), |(which, at, byte, cut)| {
        let mut input = inputs[which].clone();
        let len = input.len();
        input[at % len] = byte;
        input.truncate(len - cut % 4);
        parse_everywhere(&input);
    });
}

#[test]
fn arbitrary_signed_claims_require_subject_and_expiry() {
    let fixture = pinned();
    for_all(300, json(), |claims| {
        let answer = bearer(&fixture.client, &signed("k1", HEADER, &claims));
        if let Some(identity) = answer.identity() {
            assert!(identity.subject().starts_with("user_"));
            assert!(identity.expires_at_ms() > NOW_S * 1000 - 5000);
        }
    });
    let valid = format!(r#"{{"sub":"user_1","exp":{}"#, NOW_S + 60);
    for_all(300, (json(), json()), |(name, value)| {
        // Member names must be strings: anything else makes the object invalid.
        for claims in
            [format!("{valid},\"x\":{value}}}"), format!("{valid},{name}:{value}}}"), format!("{valid}}}{value}")]
        {
            let answer = bearer(&fixture.client, &signed("k1", HEADER, &claims));
            assert!(answer.identity().is_none_or(|identity| identity.subject() == "user_1"));
        }
    });
}
