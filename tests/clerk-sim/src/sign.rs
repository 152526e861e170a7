//! Signatures of JSON Web Signature with any key, including weak ones.
//!
//! Signs with aws-lc where possible. It rejects RSA keys below 2048 bits and SHA-1, which negative
//! tests need; for those, PKCS#1 v1.5 is implemented with big-integer arithmetic.

use crate::der::{self, RsaNumbers};
use crate::error::{Error, Result};
use aws_lc_rs::digest;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaEncoding};
use num_bigint::BigUint;

/// A parsed private key.
pub struct Signer {
    pkcs8: Vec<u8>,
    rsa: Option<RsaKeyPair>,
}

impl Signer {
    /// Parses an unencrypted PKCS#8 document.
    pub fn new(pkcs8: Vec<u8>) -> Self {
        let rsa = RsaKeyPair::from_pkcs8(&pkcs8).ok();
        Signer { pkcs8, rsa }
    }

    /// Returns the numbers of an RSA key; `None` for other keys.
    pub fn rsa_numbers(&self) -> Option<RsaNumbers> {
        der::rsa_numbers(&self.pkcs8)
    }

    /// Signs with `RS*`, `PS*`, `ES*` or `EdDSA`; `RS1` is RS with SHA-1.
    pub fn sign(&self, alg: &str, data: &[u8]) -> Result<Vec<u8>> {
        let padding: &'static dyn RsaEncoding = match alg {
            "RS256" => &signature::RSA_PKCS1_SHA256,
            "RS384" => &signature::RSA_PKCS1_SHA384,
            "RS512" => &signature::RSA_PKCS1_SHA512,
            "PS256" => &signature::RSA_PSS_SHA256,
            "PS384" => &signature::RSA_PSS_SHA384,
            "PS512" => &signature::RSA_PSS_SHA512,
            "RS1" => return self.sign_pkcs1(alg, data),
            "ES256" => return self.sign_ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, data),
            "ES384" => return self.sign_ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, data),
            "ES512" => return self.sign_ec(&signature::ECDSA_P521_SHA512_FIXED_SIGNING, data),
            "EdDSA" => {
                let key = Ed25519KeyPair::from_pkcs8(&self.pkcs8).map_err(|e| failed(alg, &e))?;
                return Ok(key.sign(data).as_ref().to_vec());
            }
            _ => return Err(Error::new(format!("{alg}: unknown algorithm"))),
        };
        let Some(key) = &self.rsa else { return self.sign_pkcs1(alg, data) };
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(padding, &SystemRandom::new(), data, &mut signature).map_err(|e| failed(alg, &e))?;
        Ok(signature)
    }

    fn sign_ec(&self, alg: &'static signature::EcdsaSigningAlgorithm, data: &[u8]) -> Result<Vec<u8>> {
        let key = EcdsaKeyPair::from_pkcs8(alg, &self.pkcs8).map_err(|e| failed("ECDSA", &e))?;
        let signature = key.sign(&SystemRandom::new(), data).map_err(|e| failed("ECDSA", &e))?;
        Ok(signature.as_ref().to_vec())
    }

    /// RSASSA-PKCS1-v1_5: pads the DigestInfo to the length of the modulus and raises it to `d`.
    fn sign_pkcs1(&self, alg: &str, data: &[u8]) -> Result<Vec<u8>> {
        let (algorithm, prefix): (_, &[u8]) = match alg {
            "RS1" => (
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
                &[0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14],
            ),
            "RS256" => (&digest::SHA256, &sha2_prefix(1, 32)),
            "RS384" => (&digest::SHA384, &sha2_prefix(2, 48)),
            "RS512" => (&digest::SHA512, &sha2_prefix(3, 64)),
            _ => return Err(Error::new(format!("{alg}: not supported by this key"))),
        };
        let key = self.rsa_numbers().ok_or_else(|| Error::new(format!("{alg}: not an RSA key")))?;
        let info = [prefix, digest::digest(algorithm, data).as_ref()].concat();
        let length = key.n.len();
        if length < info.len() + 11 {
            return Err(Error::new(format!("{alg}: the key is too short for this digest")));
        }
        let mut padded = vec![0xff; length];
        padded[..2].copy_from_slice(&[0, 1]);
        padded[length - info.len() - 1] = 0;
        padded[length - info.len()..].copy_from_slice(&info);
        let number = |bytes: &[u8]| BigUint::from_bytes_be(bytes);
        let signature = number(&padded).modpow(&number(&key.d), &number(&key.n)).to_bytes_be();
        Ok([vec![0; length - signature.len()], signature].concat())
    }
}

/// Returns the DigestInfo prefix of a SHA-2 digest, by the last arc of its object id and its length.
fn sha2_prefix(arc: u8, length: u8) -> [u8; 19] {
    [
        0x30,
        0x11 + length,
        0x30,
        0x0d,
        0x06,
        0x09,
        0x60,
        0x86,
        0x48,
        0x01,
        0x65,
        0x03,
        0x04,
        0x02,
        arc,
        0x05,
        0x00,
        0x04,
        length,
    ]
}

fn failed(alg: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new(format!("{alg}: {error}"))
}

/// Returns the HMAC-SHA-256.
pub fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}

/// Returns the SHA-256 in hexadecimal.
pub fn sha256_hex(data: &[u8]) -> String {
    crate::encoding::hex(digest::digest(&digest::SHA256, data).as_ref())
}
