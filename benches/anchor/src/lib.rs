//! The least that a token costs, as C functions for the benches of other languages: SHA-256 of the token for a cached result;
//! RSA-2048 by aws-lc with a parsed key, and SHA-256 of what is signed, for a verification. Each function repeats its operation, so
//! that the call itself takes no part of the time.

#![allow(unsafe_code, reason = "called from C")]

use std::hint::black_box;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use sha2::{Digest, Sha256};

/// A token and the key that has signed it.
pub struct Anchor {
    pem: String,
    key: ParsedPublicKey,
    token: String,
    input_len: usize,
    signature: Vec<u8>,
}

impl Anchor {
    fn new(pem: &str, token: &str) -> Option<Self> {
        let der: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, STANDARD.decode(der).ok()?).ok()?;
        let (input, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Anchor { pem: pem.into(), key, token: token.into(), input_len: input.len(), signature })
    }

    fn verify(&self) -> bool {
        self.key.verify_sig(black_box(&self.token.as_bytes()[..self.input_len]), &self.signature).is_ok()
    }
}

/// Returns a token with its key, or NULL if the signature is not valid. It is never freed.
///
/// # Safety
/// Each pointer points to so many readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anchor_new(
    pem: *const u8,
    pem_len: usize,
    token: *const u8,
    token_len: usize,
) -> *const Anchor {
    let strings = [(pem, pem_len), (token, token_len)].map(|(data, len)| {
        // SAFETY: the caller's contract.
        std::str::from_utf8(unsafe { std::slice::from_raw_parts(data, len) }).unwrap_or_default()
    });
    let anchor = Anchor::new(strings[0], strings[1]).filter(Anchor::verify);
    anchor.map_or(std::ptr::null(), |anchor| Box::leak(Box::new(anchor)))
}

/// Hashes the token, so many times.
///
/// # Safety
/// `anchor` comes from `anchor_new` and is not NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anchor_sha256(anchor: *const Anchor, times: u64) {
    // SAFETY: the caller's contract.
    let anchor = unsafe { &*anchor };
    // Called by address, as a C program calls a function of a library.
    let hash = black_box(sha256 as fn(&[u8]) -> [u8; 32]);
    (0..times).for_each(|_| _ = black_box(hash(black_box(anchor.token.as_bytes()))));
}

fn sha256(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Verifies the signature, so many times.
///
/// # Safety
/// `anchor` comes from `anchor_new` and is not NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anchor_rs256(anchor: *const Anchor, times: u64) {
    // SAFETY: the caller's contract.
    let anchor = unsafe { &*anchor };
    (0..times).for_each(|_| assert!(anchor.verify()));
}

/// Verifies the token by `jsonwebtoken` as it comes, so many times: the peer that is written in Rust.
///
/// # Safety
/// `anchor` comes from `anchor_new` and is not NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anchor_jsonwebtoken(anchor: *const Anchor, times: u64) {
    // SAFETY: the caller's contract.
    let anchor = unsafe { &*anchor };
    let key = DecodingKey::from_rsa_pem(anchor.pem.as_bytes()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_nbf = true;
    let decode = |token: &str| jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation).unwrap();
    (0..times).for_each(|_| _ = black_box(decode(black_box(&anchor.token))));
}
