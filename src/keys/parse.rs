//! Configured keys: PEM (also with line ends escaped or lost in environment variables), bare base64, JWK or JWK set.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::jwks::{self, KeySet};
use crate::jwt::{KeyError, VerifyingKey};

/// Why a setting is not a valid key, as a message for the administrator.
pub type KeyParseError = &'static str;

const PRIVATE: KeyParseError = "this is a private key; set the public key (Clerk's dashboard shows it as the JWKS public key) and replace this one, which may be exposed";
const NOT_RSA: KeyParseError = "this is not an RSA public key; Clerk signs with RS256";
const WEAK: KeyParseError = "RSA keys must have 2048 to 8192 bits and an odd exponent above 1";
const UNRECOGNIZED: KeyParseError = "not a key; set the public key as PEM, bare base64, JWK or JWK set";

/// Returns all keys of a setting: at least one, all valid.
///
/// # Errors
///
/// A message for the author of the setting. It does not contain the value.
pub fn parse(text: &str) -> Result<Vec<VerifyingKey>, KeyParseError> {
    let text = text.trim().trim_matches(['"', '\'']).trim();
    if text.starts_with('{') {
        return parse_json(text.as_bytes());
    }
    // `.env` files and container runtimes pass the two characters `\n` for a newline.
    let text = text.replace("\\r", "").replace("\\n", "\n");
    if text.contains("PRIVATE KEY-----") {
        return Err(PRIVATE);
    }
    if !text.contains("-----BEGIN") {
        return Ok(vec![decode(&text)?]);
    }
    let mut keys = Vec::new();
    let mut blocks = text.split("-----BEGIN");
    // What stands before the first block or between two is ignored (RFC 7468 §2), unless it is a block that is not read.
    let mut ignored = blocks.next().unwrap_or_default();
    for block in blocks {
        let (label, rest) = block.strip_prefix(' ').and_then(|block| block.split_once("-----")).ok_or(UNRECOGNIZED)?;
        let (body, after) = rest.split_once(&format!("-----END {label}-----")).ok_or(UNRECOGNIZED)?;
        if is_block(ignored) {
            return Err(UNRECOGNIZED);
        }
        ignored = after;
        match label {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => keys.push(decode(body)?),
            "CERTIFICATE" => return Err("this is a certificate; set its public key (openssl x509 -pubkey -noout)"),
            _ => return Err(UNRECOGNIZED),
        }
    }
    if is_block(ignored) { Err(UNRECOGNIZED) } else { Ok(keys) }
}

/// Whether there are traces of a block, such as one whose first line has a space that is not ASCII.
fn is_block(ignored: &str) -> bool {
    ["---", "BEGIN", "END ", "MII"].iter().any(|trace| ignored.contains(trace))
}

fn decode(base64: &str) -> Result<VerifyingKey, KeyParseError> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let compact: String = base64.split_ascii_whitespace().collect();
    let der = GeneralPurpose::new(&STANDARD, config).decode(compact).map_err(|_| UNRECOGNIZED)?;
    VerifyingKey::from_der(&der).map_err(|error| match error {
        KeyError::Weak => WEAK,
        KeyError::NotRsa if aws_lc_rs::rsa::KeyPair::from_der(&der).is_ok() => PRIVATE,
        KeyError::NotRsa if aws_lc_rs::rsa::KeyPair::from_pkcs8(&der).is_ok() => PRIVATE,
        KeyError::NotRsa => NOT_RSA,
    })
}

fn parse_json(json: &[u8]) -> Result<Vec<VerifyingKey>, KeyParseError> {
    if jwks::is_private_jwk(json) {
        return Err(PRIVATE);
    }
    match jwks::parse_jwk(json) {
        Some(Ok(key)) => return Ok(vec![key]),
        Some(Err(KeyError::Weak)) => return Err(WEAK),
        Some(Err(KeyError::NotRsa)) => return Err(NOT_RSA),
        None => {}
    }
    let set = KeySet::parse(json).ok_or("this JWK set contains no RSA public key for RS256")?;
    Ok(set.iter().cloned().collect())
}
