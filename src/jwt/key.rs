//! RSA public keys, parsed once, and the verification of RS256 signatures with the parsed form.

use std::sync::Arc;

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::rsa::PublicKey;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use sha2::{Digest as _, Sha256};

/// Why a key is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Not an RSA public key.
    NotRsa,
    /// Fewer than 2048 or more than 8192 bits, an even modulus, or an exponent that is even, 1 or longer than 32 bits.
    Weak,
}

/// An RSA public key of 2048 to 8192 bits that verifies RS256 signatures (RFC 7518 §3.3) only. Cheap to clone.
#[derive(Clone)]
pub struct VerifyingKey {
    parsed: Arc<ParsedPublicKey>,
    id: [u8; 32],
}

impl VerifyingKey {
    /// Builds a key from modulus and exponent, big endian without leading zeros (RFC 7518 §6.3.1).
    ///
    /// # Errors
    ///
    /// A [`KeyError`] unless it is an RSA key of an accepted size.
    pub fn from_components(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let (Some(first), Some(last)) = (n.first(), n.last()) else { return Err(KeyError::NotRsa) };
        let bits = n.len() * 8 - first.leading_zeros() as usize;
        let is_valid_exponent = e.last().is_some_and(|b| b % 2 == 1) && e != [1] && e[0] != 0 && e.len() <= 4;
        if *first == 0 || last % 2 == 0 || !(2048..=8192).contains(&bits) || !is_valid_exponent {
            return Err(KeyError::Weak);
        }
        let public = RsaPublicKeyComponents { n, e };
        let parsed = public.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).map_err(|_| KeyError::NotRsa)?;
        let id = Sha256::digest(&parsed).into();
        Ok(VerifyingKey { parsed: Arc::new(parsed), id })
    }

    /// Parses DER: SubjectPublicKeyInfo (RFC 5280 §4.1) or PKCS#1 (RFC 8017 A.1.1).
    ///
    /// # Errors
    ///
    /// A [`KeyError`] unless it is an RSA key of an accepted size.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = PublicKey::from_der(der).map_err(|_| KeyError::NotRsa)?;
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(&key);
        Self::from_components(&n, &e)
    }

    /// Returns the SHA-256 of the SubjectPublicKeyInfo, which identifies the key also where several share a `kid`.
    pub fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// Returns whether `signature` is this key's signature of the signing input with this SHA-256.
    pub fn verify(&self, signing_hash: &[u8; 32], signature: &[u8]) -> bool {
        // Not by `jsonwebtoken::crypto::verify`: it parses the key for each token, a seventh of the time of a verification.
        let digest = Digest::import_less_safe(signing_hash, &SHA256);
        digest.is_ok_and(|digest| self.parsed.verify_digest_sig(&digest, signature).is_ok())
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifyingKey({:02x}{:02x}…)", self.id[0], self.id[1])
    }
}
