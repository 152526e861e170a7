//! Signed tokens, made once for each run: signing is too slow to do it for each input.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The time at the start of each input, in seconds since 1970.
pub const NOW_S: i64 = 1_800_000_000;

/// The keys of the recorded cases.
pub fn keys() -> &'static Value {
    static KEYS: OnceLock<Value> = OnceLock::new();
    KEYS.get_or_init(|| serde_json::from_str(include_str!("../../tests/corpus/keys.json")).expect("valid JSON"))
}

/// A JWK set with these keys, each under its own name.
pub fn jwk_set(names: &[&str]) -> Vec<u8> {
    let jwk = |name: &&str| {
        let mut jwk = keys()[name]["jwk"].clone();
        jwk["kid"] = json!(name);
        jwk
    };
    json!({"keys": names.iter().map(jwk).collect::<Vec<_>>()}).to_string().into_bytes()
}

/// The public key of a JWK as the setting `jwk_key` takes it.
pub fn public_jwk(name: &str) -> String {
    keys()[name]["jwk"].to_string()
}

/// Signs a token with the key `name`, which is also its `kid`.
pub fn sign(name: &str, header: Value, claims: &Value) -> String {
    let pem = keys()[name]["private_pem"].as_str().expect("a private key");
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let pair = KeyPair::from_pkcs8(&STANDARD.decode(der).expect("base64")).expect("an RSA key");
    let mut full = json!({"alg": "RS256", "typ": "JWT", "kid": name});
    full.as_object_mut().expect("an object").extend(header.as_object().expect("an object").clone());
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(&full), part(claims));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).expect("a signature");
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A session token of the pool.
#[derive(Clone)]
pub struct Session {
    pub token: String,
    pub user: usize,
    pub sid: String,
    pub key: &'static str,
    pub iat_s: i64,
    pub exp_s: i64,
}

/// How many users the pool has.
pub const USERS: usize = 4;

/// The id of a user.
pub fn user_id(user: usize) -> String {
    format!("user_{user}")
}

/// Session tokens of each user: two sessions, several lifetimes, two keys.
pub fn pool() -> &'static [Session] {
    static POOL: OnceLock<Vec<Session>> = OnceLock::new();
    POOL.get_or_init(|| {
        let mut pool = Vec::new();
        for user in 0..USERS {
            for (number, key, from_s, to_s) in [
                (0, "k1", 0, 60),
                (0, "k1", 0, 600),
                (1, "k1", 0, 3600),
                (1, "k2", 0, 3600),
                (0, "k1", 300, 1200),
                (0, "k1", -600, -1),
            ] {
                let sid = format!("sess_{user}_{number}");
                let (iat_s, exp_s) = (NOW_S + from_s, NOW_S + to_s);
                let claims = json!({
                    "sub": user_id(user), "sid": sid, "iat": iat_s, "exp": exp_s, "iss": "https://clerk.example.com",
                    "azp": "https://app.example.com",
                });
                pool.push(Session { token: sign(key, json!({}), &claims), user, sid, key, iat_s, exp_s });
            }
        }
        pool
    })
}
