//! RSA public keys that are parsed once, and the `jsonwebtoken` provider that verifies with the parsed form.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Digest, SHA256, digest};
use aws_lc_rs::rsa::PublicKey;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, aws_lc};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use once_cell::sync::Lazy;
use parking_lot::{RwLock, RwLockWriteGuard};
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
    decoding: DecodingKey,
    _parsed: Arc<ParsedPublicKey>,
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
        Ok(Self::intern(parsed))
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

    /// Shares the parsed form with other clients that use the same key.
    fn intern(parsed: ParsedPublicKey) -> Self {
        let der: Box<[u8]> = parsed.as_ref().into();
        let id = Sha256::digest(&der).into();
        let mut parsed = Arc::new(parsed);
        if let Some(mut keys) = parsed_keys_mut() {
            keys.retain(|_, key| key.strong_count() > 0);
            parsed = keys.get(&der).and_then(Weak::upgrade).unwrap_or(parsed);
            keys.insert(der.clone(), Arc::downgrade(&parsed));
        }
        VerifyingKey { decoding: DecodingKey::from_rsa_der(&der), _parsed: parsed, id }
    }

    /// Returns the SHA-256 of the SubjectPublicKeyInfo, which identifies the key also where several share a `kid`.
    pub fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// Returns whether `signature`, in base64url, is this key's signature of `signing_input`.
    pub fn verify(&self, signing_input: &str, signature: &str) -> bool {
        self.verify_hashed(signing_input.as_bytes(), &Sha256::digest(signing_input).into(), signature)
    }

    /// Does the same with the SHA-256 of `signing_input`.
    pub fn verify_hashed(&self, signing_input: &[u8], hash: &[u8; 32], signature: &str) -> bool {
        install_provider();
        MESSAGE_HASH.set(Some((signing_input.as_ptr_range(), *hash)));
        let outcome = jsonwebtoken::crypto::verify(signature, signing_input, &self.decoding, Algorithm::RS256);
        MESSAGE_HASH.set(None);
        outcome.unwrap_or(false)
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifyingKey({:02x}{:02x}…)", self.id[0], self.id[1])
    }
}

/// Parsed keys by DER, as long as a [`VerifyingKey`] refers to them. The default provider of `jsonwebtoken` parses the key for
/// each token, which is a seventh of the time of a verification.
static PARSED_KEYS: Lazy<RwLock<ParsedByDer>> = Lazy::new(RwLock::default);

/// How long a new key waits for [`PARSED_KEYS`]. A key that is not in it is parsed for each token.
const INTERN_TIMEOUT: Duration = Duration::from_millis(100);

// A tree, not a hash map: comparing two keys reads a few bytes, hashing one reads all of them.
type ParsedByDer = BTreeMap<Box<[u8]>, Weak<ParsedPublicKey>>;

/// Not `write`: in a forked child, the lock may be held by a thread of the parent.
fn parsed_keys_mut() -> Option<RwLockWriteGuard<'static, ParsedByDer>> {
    let deadline = Instant::now() + INTERN_TIMEOUT;
    loop {
        let keys = PARSED_KEYS.try_write();
        if keys.is_some() || Instant::now() >= deadline {
            return keys;
        }
        std::thread::yield_now();
    }
}

static PROVIDER: Lazy<CryptoProvider> =
    Lazy::new(|| CryptoProvider { verifier_factory: cached_verifier, ..aws_lc::DEFAULT_PROVIDER.clone() });

/// Installs the provider once per process. If the application has installed another one, that stays in use: slower, but correct.
fn install_provider() {
    static INSTALLED: Lazy<()> = Lazy::new(|| {
        let _ = Lazy::force(&PROVIDER).install_default();
    });
    Lazy::force(&INSTALLED);
}

thread_local! {
    /// The SHA-256 of the message that [`VerifyingKey::verify_hashed`] passes to `jsonwebtoken`, from there to [`CachedVerifier`]: most of
    /// it was hashed for the hash of the whole token.
    static MESSAGE_HASH: Cell<Option<(Range<*const u8>, [u8; 32])>> = const { Cell::new(None) };
}

struct CachedVerifier(Arc<ParsedPublicKey>);

impl Verifier<Vec<u8>> for CachedVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        // The context that hashes and verifies in one step costs more than the hash.
        let hash = match MESSAGE_HASH.take() {
            Some((range, hash)) if range == message.as_ptr_range() => {
                debug_assert_eq!(hash, *Sha256::digest(message));
                Digest::import_less_safe(&hash, &SHA256).map_err(|_| SignatureError::new())?
            }
            _ => digest(&SHA256, message),
        };
        self.0.verify_digest_sig(&hash, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for CachedVerifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

fn cached_verifier(
    algorithm: &Algorithm,
    key: &DecodingKey,
) -> Result<Box<dyn JwtVerifier>, jsonwebtoken::errors::Error> {
    let parsed = match (algorithm, key.kind()) {
        (Algorithm::RS256, DecodingKeyKind::SecretOrDer(der)) => {
            PARSED_KEYS.try_read().and_then(|keys| keys.get(der.as_slice()).and_then(Weak::upgrade))
        }
        _ => None,
    };
    match parsed {
        Some(key) => Ok(Box::new(CachedVerifier(key))),
        // Not one of our keys: the application uses `jsonwebtoken` as well and gets its default.
        None => (aws_lc::DEFAULT_PROVIDER.verifier_factory)(algorithm, key),
    }
}
