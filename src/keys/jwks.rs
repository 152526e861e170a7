//! A JWK set (RFC 7517 §5): its usable keys by key id.

use std::borrow::Cow;
use std::collections::HashMap;

use jsonwebtoken::{DecodingKey, DecodingKeyKind};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Keys;
use crate::json::{Claim, Json, Nested, ObjectVisitor, StringOrArray, Strings, object};
use crate::jwt::{KeyError, VerifyingKey};

/// The maximum number of keys in a set.
pub const MAX_KEYS: usize = 1024;

/// The usable keys of a set. Several keys may have one key id: all of them are tried.
#[derive(Clone, Debug, Default)]
pub struct KeySet(HashMap<String, Keys>);

#[derive(Default)]
struct Jwk<'a> {
    kty: Claim<Cow<'a, str>>,
    kid: Claim<Cow<'a, str>>,
    usage: Claim<Cow<'a, str>>,
    alg: Claim<Cow<'a, str>>,
    key_ops: Claim<Strings<'a>>,
    n: Claim<Cow<'a, str>>,
    e: Claim<Cow<'a, str>>,
    is_private: bool,
}

impl<'de> ObjectVisitor<'de> for Jwk<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        let mut value = || map.next_value::<Json<'de>>();
        match name {
            "kty" => self.kty = value()?.string(),
            "kid" => self.kid = value()?.string(),
            "use" => self.usage = value()?.string(),
            "alg" => self.alg = value()?.string(),
            "key_ops" => self.key_ops = map.next_value::<StringOrArray<'de>>()?.0,
            "n" => self.n = value()?.string(),
            "e" => self.e = value()?.string(),
            "d" | "p" | "q" | "dp" | "dq" | "qi" | "oth" | "k" => {
                map.next_value::<Json<'de>>()?;
                self.is_private = true;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Jwk<'_> {
    /// Returns the key if it is an RSA public key for RS256 signatures (RFC 7517 §4, RFC 7518 §6.3).
    fn verifying_key(&self) -> Result<VerifyingKey, KeyError> {
        let absent_or = |member: &Claim<Cow<'_, str>>, right: &str| match member {
            Claim::Absent => true,
            _ => member.as_deref() == Some(right),
        };
        let may_verify = match &self.key_ops {
            Claim::Absent => true,
            ops => ops.get().is_some_and(|ops| ops.iter().any(|op| op == "verify")),
        };
        let right = self.kty.as_deref() == Some("RSA")
            && !self.is_private
            && absent_or(&self.usage, "sig")
            && absent_or(&self.alg, "RS256")
            && may_verify;
        let (Some(n), Some(e), true) = (self.n.as_deref(), self.e.as_deref(), right) else {
            return Err(KeyError::NotRsa);
        };
        let key = DecodingKey::from_rsa_components(n, e).map_err(|_| KeyError::NotRsa)?;
        let DecodingKeyKind::RsaModulusExponent { n, e } = key.kind() else { return Err(KeyError::NotRsa) };
        VerifyingKey::from_components(n, e)
    }
}

#[derive(Default)]
struct Set(Option<List>);

impl<'de> ObjectVisitor<'de> for Set {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        if name == "keys" {
            self.0 = Some(map.next_value()?);
        }
        Ok(name == "keys")
    }
}

/// The usable keys of the member `keys`; each is reduced to its key before the next one is read.
#[derive(Default)]
struct List(Vec<(String, VerifyingKey)>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = List;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array of keys")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List, A::Error> {
                let mut keys = Vec::new();
                let mut count = 0;
                while let Some(Nested(jwk)) = seq.next_element::<Nested<Jwk<'de>>>()? {
                    count += 1;
                    if count > MAX_KEYS {
                        return Err(de::Error::custom("too many keys"));
                    }
                    if let Some((Claim::Present(kid), Ok(key))) = jwk.get().map(|jwk| (&jwk.kid, jwk.verifying_key())) {
                        keys.push((kid.clone().into_owned(), key));
                    }
                }
                Ok(List(keys))
            }
        }
        deserializer.deserialize_seq(ListVisitor)
    }
}

impl KeySet {
    /// Parses a set. Skips keys that cannot be used; returns `None` for a set without a usable key.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let Set(keys) = object(json)?;
        let mut found: HashMap<String, Vec<VerifyingKey>> = HashMap::new();
        for (kid, key) in keys?.0 {
            found.entry(kid).or_default().push(key);
        }
        let set: HashMap<String, Keys> = found.into_iter().map(|(kid, keys)| (kid, keys.into())).collect();
        (!set.is_empty()).then_some(KeySet(set))
    }

    /// Returns the keys with a key id.
    pub fn get(&self, kid: &str) -> Option<&Keys> {
        self.0.get(kid)
    }

    /// Returns the key ids, sorted.
    pub fn kids(&self) -> Vec<String> {
        let mut kids: Vec<_> = self.0.keys().cloned().collect();
        kids.sort_unstable();
        kids
    }

    /// Iterates over all keys.
    pub fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.0.values().flat_map(|keys| keys.iter())
    }
}

/// Parses a single JWK; its key id is ignored.
pub fn parse_jwk(json: &[u8]) -> Option<Result<VerifyingKey, KeyError>> {
    let jwk: Jwk<'_> = object(json)?;
    matches!(jwk.kty, Claim::Present(_)).then(|| jwk.verifying_key())
}

/// Whether this is a JWK with private members.
pub fn is_private_jwk(json: &[u8]) -> bool {
    object::<Jwk<'_>>(json).is_some_and(|jwk| jwk.is_private)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example key of RFC 7517 A.1.
    const N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    fn usable(members: &str) -> bool {
        let json = format!(r#"{{"keys":[{{"kid":"a",{members}}}]}}"#);
        KeySet::parse(json.as_bytes()).is_some()
    }

    fn rsa(extra: &str) -> String {
        format!(r#""kty":"RSA","n":"{N}","e":"AQAB"{extra}"#)
    }

    #[test]
    fn only_public_rsa_signature_keys_are_usable() {
        for good in ["", r#","alg":"RS256","use":"sig""#, r#","key_ops":["verify"],"x5c":["x"]"#] {
            assert!(usable(&rsa(good)), "{good}");
        }
        for bad in [
            r#","alg":"RS512""#,
            r#","alg":null"#,
            r#","use":"enc""#,
            r#","key_ops":["sign"]"#,
            r#","key_ops":5"#,
            r#","d":"AQ""#,
            r#","kty":"RSA""#,
        ] {
            assert!(!usable(&rsa(bad)), "{bad}");
        }
        for bad in [r#""kty":"EC","x":"AA","y":"AA""#, r#""kty":"oct","k":"AAAA""#, r#""kty":"RSA","e":"AQAB""#] {
            assert!(!usable(bad), "{bad}");
        }
    }

    #[test]
    fn weak_keys_are_rejected() {
        let with = |n: &str, e: &str| usable(&format!(r#""kty":"RSA","n":"{n}","e":"{e}""#));
        assert!(with(N, "Aw"));
        for e in ["AQ", "Ag", "", "AA", "AAEAAQ", "AQAAAAAAAAE", "?"] {
            assert!(!with(N, e), "{e}");
        }
        for n in [&N[..170], "", "AA", "*", &format!("AA{N}")] {
            assert!(!with(n, "AQAB"), "{n}");
        }
    }

    #[test]
    fn invalid_sets_are_rejected() {
        for invalid in
            ["", "null", "[]", "{}", r#"{"keys":null}"#, r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":["x",5]}"#]
        {
            assert!(KeySet::parse(invalid.as_bytes()).is_none(), "{invalid}");
        }
        let many = format!(r#"{{"keys":[{}{{"kid":"a",{}}}]}}"#, "0,".repeat(MAX_KEYS), rsa(""));
        assert!(KeySet::parse(many.as_bytes()).is_none());
        let beside = format!(r#"{{"new":1,"keys":["x",null,{{"kid":"a",{}}},{{"kid":"a",{}}}]}}"#, rsa(""), rsa(""));
        assert_eq!(KeySet::parse(beside.as_bytes()).unwrap().get("a").unwrap().len(), 2);
    }
}
