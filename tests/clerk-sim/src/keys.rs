//! Named signing keys: from a file, generated, or built in.

use crate::der;
use crate::encoding::{b64, b64u};
use crate::error::{Error, Result};
use crate::sign::Signer;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The key id of the first built-in key; also the id of the instance.
pub const DEFAULT_KID: &str = "ins_2corpusKeyOne000000000000001";

/// A key pair and its forms.
pub struct Key {
    /// Key id in the header of tokens
    pub kid: String,
    /// Signature algorithm
    pub alg: String,
    /// Public key as JSON Web Key
    pub jwk: Value,
    /// Private key as PKCS#8 PEM
    pub private_pem: String,
    forms: BTreeMap<String, String>,
    signer: OnceLock<Signer>,
}

#[derive(Deserialize)]
struct KeyFile {
    kid: String,
    alg: String,
    jwk: Value,
    private_pem: String,
    #[serde(default)]
    forms: BTreeMap<String, String>,
}

impl Key {
    /// Generates an RSA key of 2048, 3072 or 4096 bits.
    pub fn generate(kid: &str, bits: usize) -> Result<Key> {
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            _ => return Err(Error::new("bits: must be 2048, 3072 or 4096")),
        };
        let failed = |_| Error::new("RSA key generation failed");
        let pair = KeyPair::generate(size).map_err(failed)?;
        let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(failed)?;
        Self::from_rsa_pkcs8(kid, pkcs8.as_ref())
    }

    fn from_rsa_pkcs8(kid: &str, pkcs8: &[u8]) -> Result<Key> {
        let numbers = der::rsa_numbers(pkcs8).ok_or_else(|| Error::new("not a PKCS#8 RSA key"))?;
        let (n, e) = (b64u(&numbers.n), b64u(&numbers.e));
        let jwk = json!({"use": "sig", "kty": "RSA", "kid": kid, "alg": "RS256", "n": n, "e": e});
        let spki = der::rsa_public_spki(&numbers.n, &numbers.e);
        let pem = der::to_pem("PUBLIC KEY", &spki);
        let forms = BTreeMap::from([
            ("pem".to_owned(), pem.clone()),
            ("pem_one_line".to_owned(), pem.replace('\n', "")),
            ("pem_escaped_newlines".to_owned(), pem.replace('\n', "\\n")),
            ("bare_base64".to_owned(), b64(&spki)),
            ("pkcs1_pem".to_owned(), der::to_pem("RSA PUBLIC KEY", &der::rsa_public_pkcs1(&numbers.n, &numbers.e))),
        ]);
        Ok(Key {
            kid: kid.to_owned(),
            alg: "RS256".to_owned(),
            jwk,
            private_pem: der::to_pem("PRIVATE KEY", pkcs8),
            forms,
            signer: OnceLock::new(),
        })
    }

    /// Returns the key in a form: `pem`, `jwk`, `kid`, `private_pem`, `bare_base64`, …
    pub fn form(&self, form: &str) -> Option<String> {
        if let Some(encoded) = self.forms.get(form) {
            return Some(encoded.clone());
        }
        let pem = self.forms.get("pem");
        match form {
            "kid" => Some(self.kid.clone()),
            "jwk" | "jwk_json" => Some(self.jwk.to_string()),
            "private_pem" => Some(self.private_pem.clone()),
            "pem_one_line" => pem.map(|pem| pem.replace('\n', "")),
            "pem_escaped_newlines" => pem.map(|pem| pem.replace('\n', "\\n")),
            "bare_base64" => pem.and_then(|pem| der::from_pem(pem)).map(|der| b64(&der)),
            _ => None,
        }
    }

    /// Signs data with an algorithm of JSON Web Signature.
    pub fn sign(&self, alg: &str, data: &[u8]) -> Result<Vec<u8>> {
        let signer = match self.signer.get() {
            Some(signer) => signer,
            None => {
                let pkcs8 = der::from_pem(&self.private_pem).ok_or_else(|| Error::new("private_pem: invalid PEM"))?;
                self.signer.get_or_init(|| Signer::new(pkcs8))
            }
        };
        signer.sign(alg, data)
    }
}

/// Keys by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct KeyStore {
    keys: BTreeMap<String, Arc<Key>>,
}

impl KeyStore {
    /// The built-in test keys `k1`, `k2`, `k1_rotated` (another key under k1's kid) and `other`.
    pub fn built_in() -> KeyStore {
        static STORE: OnceLock<KeyStore> = OnceLock::new();
        STORE
            .get_or_init(|| {
                KeyStore::parse(include_str!("../data/test-keys.json")).expect("the built-in keys are valid")
            })
            .clone()
    }

    /// Parses `{name: {kid, alg, jwk, private_pem, forms}}`.
    pub fn parse(json: &str) -> Result<KeyStore> {
        let files: BTreeMap<String, KeyFile> = serde_json::from_str(json)?;
        let keys = files.into_iter().map(|(name, file)| {
            let KeyFile { kid, alg, jwk, private_pem, forms } = file;
            (name, Arc::new(Key { kid, alg, jwk, private_pem, forms, signer: OnceLock::new() }))
        });
        Ok(KeyStore { keys: keys.collect() })
    }

    /// Reads and parses a file.
    pub fn load(path: impl AsRef<Path>) -> Result<KeyStore> {
        let path = path.as_ref();
        let json = std::fs::read_to_string(path).map_err(|e| Error::new(format!("{}: {e}", path.display())))?;
        Self::parse(&json)
    }

    /// Adds the keys of another store; they replace keys of the same name.
    pub fn merge(&mut self, other: KeyStore) {
        self.keys.extend(other.keys);
    }

    /// Adds or replaces a key.
    pub fn insert(&mut self, name: &str, key: Key) {
        self.keys.insert(name.to_owned(), Arc::new(key));
    }

    /// Returns the key of a name.
    pub fn get(&self, name: &str) -> Result<&Arc<Key>> {
        self.keys.get(name).ok_or_else(|| Error::new(format!("{name}: unknown key")))
    }

    /// Returns all names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Returns a public key as PEM. Panics if the key is unknown.
    pub fn pem(&self, name: &str) -> String {
        self.get(name).ok().and_then(|key| key.form("pem")).unwrap_or_else(|| panic!("{name}: unknown key"))
    }

    /// Returns a public key as JWK. Panics if the key is unknown.
    pub fn jwk(&self, name: &str) -> Value {
        self.get(name).unwrap_or_else(|e| panic!("{e}")).jwk.clone()
    }

    /// Returns the JWK set of the named keys.
    pub fn jwks<S: AsRef<str>>(&self, names: &[S]) -> Result<Value> {
        let keys = names.iter().map(|name| Ok(self.get(name.as_ref())?.jwk.clone()));
        Ok(json!({"keys": keys.collect::<Result<Vec<Value>>>()?}))
    }
}
