//! What the configuration and Clerk's JWK set contain.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use clerk_auth::internals::{
    Config, KeySet, SETTINGS, VerifyingKey, builder, keys as key_formats, publishable_key as publishable,
};

use super::answers::Scripted;
use crate::input::Input;
use crate::limits::watch;
use crate::second::{self, Tree};

/// Input: the value of `jwt_key`.
pub fn keys(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = watch(|| key_formats::parse(text));
    if let Ok(keys) = &parsed {
        assert!(!keys.is_empty(), "a value without keys is accepted");
        let is_json = text.trim().trim_matches(['"', '\'']).trim().starts_with('{');
        assert!(is_json || !text.contains("PRIVATE KEY-----"), "a private key is accepted");
        keys.iter().for_each(|key| assert!(!key.verify(&[0; 32], b"AAAA"), "a signature of no length"));
        // What was accepted is accepted again in another layout.
        let again = key_formats::parse(&format!("\n  {}\n", text.trim())).expect("the same value with white space");
        let ids = |keys: &[VerifyingKey]| keys.iter().map(|key| *key.id()).collect::<BTreeSet<_>>();
        assert_eq!(ids(&again), ids(keys));
    }
}

fn is_usable(jwk: &Tree) -> bool {
    let absent_or = |name: &str, right: &str| jwk.get(name).is_none_or(|value| value.string() == Some(right));
    let ops =
        jwk.get("key_ops").is_none() || jwk.strings("key_ops").is_some_and(|ops| ops.iter().any(|op| op == "verify"));
    let is_public = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().all(|name| jwk.get(name).is_none());
    let number = |name: &str| second::b64u(jwk.text(name)?);
    let (Some(n), Some(e)) = (number("n"), number("e")) else { return false };
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    let exponent = e.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    jwk.text("kty") == Some("RSA")
        && is_public
        && ops
        && absent_or("use", "sig")
        && absent_or("alg", "RS256")
        && (2048..=8192).contains(&bits)
        && n[0] != 0
        && n[n.len() - 1] & 1 == 1
        && (1..=4).contains(&e.len())
        && e[0] != 0
        && exponent & 1 == 1
        && exponent > 1
}

/// Input: the JWK set.
pub fn jwk_set(data: &[u8]) {
    let parsed = watch(|| KeySet::parse(data));
    let tree = Tree::strict_object(data);
    let list = tree.as_ref().and_then(|tree| tree.get("keys")?.items()).filter(|list| list.len() <= 1024);
    let usable: Vec<&str> = list
        .unwrap_or_default()
        .iter()
        .filter(|jwk| matches!(jwk, Tree::Object(_)) && is_usable(jwk))
        .filter_map(|jwk| jwk.text("kid"))
        .collect();
    match parsed {
        Some(set) => {
            assert!(set.iter().count() <= usable.len(), "more keys than usable ones");
            usable
                .iter()
                .for_each(|kid| assert!(set.get(kid).is_some_and(|keys| !keys.is_empty()), "{kid} is missing"));
        }
        None => assert!(usable.is_empty(), "{usable:?} are usable"),
    }
}

/// Input: the publishable key.
pub fn publishable_key(data: &[u8]) {
    let Ok(key) = std::str::from_utf8(data) else { return };
    let Some(instance) = watch(|| publishable::parse(key)) else { return };
    let rest = key.strip_prefix("pk_live_").or(key.strip_prefix("pk_test_")).expect("a prefix");
    assert_eq!(instance.production, key.starts_with("pk_live_"));
    let host = STANDARD_NO_PAD.decode(rest.trim_end_matches('=')).expect("base64");
    assert_eq!(host, format!("{}$", instance.frontend_api).into_bytes());
    assert!(
        instance.frontend_api.contains('.') && !instance.frontend_api.contains(['/', '@', '$', '\0', ' ', '\r', '\n'])
    );
    assert!(instance.suffix.len() == 8 && URL_SAFE_NO_PAD.decode(&instance.suffix).is_ok());
}

/// Input: lines `name=value`; `name+=item` adds, `name:=number` sets an integer.
pub fn config(data: &[u8]) {
    const HIDDEN: &str = "hidden-value-of-a-secret";
    let mut input = Input(data);
    let mut config = Config::new();
    let mut count = 0;
    while !input.is_empty() && count < 64 {
        count += 1;
        let line = String::from_utf8_lossy(input.line()).into_owned();
        let Some((name, value)) = line.split_once('=') else { continue };
        // A byte selects a setting, so that mutations find the names.
        let by_index = name.as_bytes().first().map(|b| SETTINGS[usize::from(*b) % SETTINGS.len()].name);
        let outcome = match (name.as_bytes(), by_index) {
            ([_], Some(name)) => watch(|| config.set(name, value)),
            ([_, b'+'], Some(name)) => watch(|| config.add(name, value)),
            ([_, b':'], Some(name)) => watch(|| config.set_int(name, value.parse().unwrap_or_default())),
            ([_, b'?'], Some(name)) => watch(|| config.set(name, &format!("{value}{HIDDEN}"))),
            _ => watch(|| config.set(name, value)),
        };
        if let Err(error) = outcome {
            let is_known = SETTINGS.iter().any(|setting| setting.name == error.setting);
            assert!(is_known || error.setting == "unknown setting");
            assert!(!is_known || !error.to_string().contains(HIDDEN), "an error shows a value");
        }
    }
    // A cache of its maximum size is no finding.
    let built = builder(config).transport(std::sync::Arc::new(Scripted::default())).build();
    if let Err(error) = built {
        assert!(error.is_config() && !error.to_string().is_empty());
        assert!(!error.to_string().contains(HIDDEN), "an error shows a value");
    }
}
