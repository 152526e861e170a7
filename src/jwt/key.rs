//! One RSA public key, parsed once, and the provider through which `jsonwebtoken` verifies with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use aws_lc_rs::rsa::PublicKey;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, aws_lc};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use once_cell::sync::Lazy;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Not an RSA public key.
    NotRsa,
    /// Under 2048 or over 8192 bits, or an exponent that is even or 1.
    Weak,
}

/// An RSA public key of 2048 to 8192 bits that verifies RS256 (RFC 7518 §3.3) and nothing else.
#[derive(Clone)]
pub struct VerifyingKey {
    decoding: DecodingKey,
    _parsed: Arc<ParsedPublicKey>,
    id: [u8; 32],
}

impl VerifyingKey {
    /// From modulus and exponent, big endian, without a leading zero (RFC 7518 §6.3.1).
    pub fn from_components(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let (Some(first), Some(last)) = (n.first(), n.last()) else { return Err(KeyError::NotRsa) };
        let bits = n.len() * 8 - first.leading_zeros() as usize;
        let exponent_is_good = e.last().is_some_and(|b| b % 2 == 1) && e != [1] && e[0] != 0 && e.len() <= 4;
        if *first == 0 || last % 2 == 0 || !(2048..=8192).contains(&bits) || !exponent_is_good {
            return Err(KeyError::Weak);
        }
        let public = RsaPublicKeyComponents { n, e };
        let parsed = public.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).map_err(|_| KeyError::NotRsa)?;
        Ok(Self::keep(parsed))
    }

    /// From DER: SubjectPublicKeyInfo (RFC 5280 §4.1) or PKCS#1 (RFC 8017 A.1.1).
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = PublicKey::from_der(der).map_err(|_| KeyError::NotRsa)?;
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(&key);
        Self::from_components(&n, &e)
    }

    fn keep(parsed: ParsedPublicKey) -> Self {
        let der: Box<[u8]> = parsed.as_ref().into();
        let id = Sha256::digest(&der).into();
        let mut known = PARSED.write();
        known.retain(|_, key| key.strong_count() > 0);
        // Another client may hold the same key already; both then share one parsed form.
        let parsed = known.get(&der).and_then(Weak::upgrade).unwrap_or_else(|| Arc::new(parsed));
        known.insert(der.clone(), Arc::downgrade(&parsed));
        VerifyingKey { decoding: DecodingKey::from_rsa_der(&der), _parsed: parsed, id }
    }

    /// SHA-256 of the SubjectPublicKeyInfo: tells keys apart, also when they share a key id.
    pub fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// Whether this key made the signature over the signing input.
    pub fn verifies(&self, signing_input: &str, signature: &str) -> bool {
        install_provider();
        jsonwebtoken::crypto::verify(signature, signing_input.as_bytes(), &self.decoding, Algorithm::RS256)
            .unwrap_or(false)
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifyingKey({:02x}{:02x}…)", self.id[0], self.id[1])
    }
}

/// Parsed keys by their DER, as long as a [`VerifyingKey`] holds them. The crate's own provider builds the key anew for each token, a seventh of the work.
static PARSED: Lazy<RwLock<ParsedByDer>> = Lazy::new(RwLock::default);

// Ordered, not hashed: comparing two keys takes a few bytes, hashing one takes all of them.
type ParsedByDer = BTreeMap<Box<[u8]>, Weak<ParsedPublicKey>>;

static PROVIDER: Lazy<CryptoProvider> =
    Lazy::new(|| CryptoProvider { verifier_factory: kept_key_verifier, ..aws_lc::DEFAULT_PROVIDER.clone() });

/// Once per process. A host that has installed a provider of its own keeps it: keys verify there, too, only slower.
fn install_provider() {
    static INSTALLED: Lazy<()> = Lazy::new(|| {
        let _ = Lazy::force(&PROVIDER).install_default();
    });
    Lazy::force(&INSTALLED);
}

struct KeptKey(Arc<ParsedPublicKey>);

impl Verifier<Vec<u8>> for KeptKey {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.0.verify_sig(message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for KeptKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

fn kept_key_verifier(
    algorithm: &Algorithm,
    key: &DecodingKey,
) -> Result<Box<dyn JwtVerifier>, jsonwebtoken::errors::Error> {
    let kept = match (algorithm, key.kind()) {
        (Algorithm::RS256, DecodingKeyKind::SecretOrDer(der)) => {
            PARSED.read().get(der.as_slice()).and_then(Weak::upgrade)
        }
        _ => None,
    };
    match kept {
        Some(key) => Ok(Box::new(KeptKey(key))),
        // A key that is not ours: the host uses the crate as well, and gets what the crate would have done.
        None => (aws_lc::DEFAULT_PROVIDER.verifier_factory)(algorithm, key),
    }
}
