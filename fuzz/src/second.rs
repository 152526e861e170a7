//! A second reader of JSON, tokens and claims: written apart from the library, slow and plain.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value that keeps duplicate members and the order.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Tree;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Number(value as f64))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Number(value as f64))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
                Ok(Tree::Number(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree::String(value.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Tree, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = array.next_element()? {
                    items.push(item);
                }
                Ok(Tree::Array(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Tree, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = object.next_entry()? {
                    members.push(member);
                }
                Ok(Tree::Object(members))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Tree {
    /// Parses a value of any type.
    pub fn parse(json: &[u8]) -> Option<Tree> {
        serde_json::from_slice(json).ok()
    }

    /// Parses an object as the library reads what unauthenticated clients send: no duplicate member at any depth, not too many.
    pub fn strict_object(json: &[u8]) -> Option<Tree> {
        Tree::parse(json).filter(|tree| matches!(tree, Tree::Object(_)) && tree.is_strict())
    }

    /// Whether no object has a member twice, or too many.
    pub fn is_strict(&self) -> bool {
        match self {
            Tree::Array(items) => items.iter().all(Tree::is_strict),
            Tree::Object(members) => {
                let names: std::collections::BTreeSet<_> = members.iter().map(|(name, _)| name).collect();
                names.len() == members.len() && names.len() <= 256 && members.iter().all(|(_, value)| value.is_strict())
            }
            _ => true,
        }
    }

    /// The member of an object; the last one if there are several.
    pub fn get(&self, name: &str) -> Option<&Tree> {
        let Tree::Object(members) = self else { return None };
        members.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    pub fn string(&self) -> Option<&str> {
        match self {
            Tree::String(string) => Some(string),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Tree::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn items(&self) -> Option<&[Tree]> {
        match self {
            Tree::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The string member `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.string()
    }

    /// A member that is a string or an array of strings.
    pub fn strings(&self, name: &str) -> Option<Vec<String>> {
        match self.get(name)? {
            Tree::String(string) => Some(vec![string.clone()]),
            Tree::Array(items) if items.len() <= 512 => {
                items.iter().map(|item| item.string().map(str::to_owned)).collect()
            }
            _ => None,
        }
    }
}

/// Whether `part` occurs in `whole`.
pub fn contains(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}

/// Decodes base64url and checks that this is the only spelling of these bytes.
pub fn b64u(encoded: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    (URL_SAFE_NO_PAD.encode(&bytes) == encoded).then_some(bytes)
}

/// The parts of a compact JWS that may be verified.
pub struct Jws {
    pub header: Tree,
    pub payload: Tree,
}

/// Reads a compact JWS; `None` if it has to be rejected whatever its signature is.
pub fn jws(token: &str) -> Option<Jws> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { return None };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if token.len() > 16 * 1024 || payload.is_empty() || signature.is_empty() || !signature.chars().all(is_plain) {
        return None;
    }
    let header = Tree::strict_object(&b64u(header)?)?;
    let payload = Tree::strict_object(&b64u(payload)?)?;
    let is_supported = ["crit", "b64", "zip", "enc", "cty"].iter().all(|name| header.get(name).is_none());
    let is_string_or_absent = |name: &str| header.get(name).is_none_or(|value| value.string().is_some());
    if !is_supported
        || header.text("alg") != Some("RS256")
        || !is_string_or_absent("typ")
        || !is_string_or_absent("cat")
    {
        return None;
    }
    Some(Jws { header, payload })
}

/// What a token is, as its header and its subject say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Session,
    OauthToken,
    Machine,
}

/// Classifies a token; the second value is whether header and subject contradict one another. `None` if it is of a kind that is
/// never accepted.
pub fn class(jws: &Jws) -> Option<(Class, bool)> {
    let typ = jws.header.text("typ").unwrap_or("JWT").to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    if (typ != "jwt" && typ != "at+jwt") || is_template(jws) {
        return None;
    }
    let is_machine = jws.payload.text("sub").is_some_and(|sub| sub.starts_with("mch_"));
    let category = jws.header.text("cat");
    match category {
        Some("cl_B7d4PD333AAA") => Some((Class::Machine, false)),
        _ if is_machine => Some((Class::Machine, !matches!(category, None | Some("cl_I7d4PD111III")))),
        _ if typ == "at+jwt" => Some((Class::OauthToken, false)),
        None | Some("cl_I7d4PD111III" | "cl_B7d4PD111AAA") => Some((Class::Session, false)),
        Some(_) => None,
    }
}

/// Whether a token says that it is one of a JWT template.
pub fn is_template(jws: &Jws) -> bool {
    jws.header.text("cat") == Some("cl_B7d4PD222AAA")
}

/// The settings that claims are checked against.
pub struct Rules {
    pub parties: Vec<String>,
    pub accepts_missing_azp: bool,
    pub audience: Vec<String>,
    pub issuer: Vec<String>,
    pub skew_ms: i64,
    pub pending_is_out: bool,
    pub machine: Option<String>,
}

/// Whether a token with these claims is accepted at `now_ms`.
pub fn is_accepted(class: Class, claims: &Tree, rules: &Rules, now_ms: i64) -> bool {
    let prefix = if class == Class::Machine { "mch_" } else { "user_" };
    let is_id = |id: &str| {
        let Some(rest) = id.strip_prefix(prefix) else { return false };
        id.len() <= 128 && !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    let contains = |list: &[String], one: Option<&str>| one.is_some_and(|one| list.iter().any(|own| own == one));
    // Milliseconds in 128 bits, where nothing overflows.
    let time = |name: &str| -> Option<Option<i128>> {
        match claims.get(name) {
            None => Some(None),
            Some(Tree::Number(s)) if s.abs() <= 9_007_199_254_740_992.0 => Some(Some(s.trunc() as i128 * 1000)),
            Some(_) => None,
        }
    };
    let (now, skew) = (i128::from(now_ms), i128::from(rules.skew_ms));
    let (Some(Some(exp)), Some(nbf), Some(iat)) = (time("exp"), time("nbf"), time("iat")) else { return false };
    let audience = claims.strings("aud").unwrap_or_default();
    let azp = claims.text("azp");
    claims.text("sub").is_some_and(is_id)
        && (rules.audience.is_empty() || audience.iter().any(|aud| rules.audience.contains(aud)))
        && (rules.parties.is_empty()
            || class == Class::Machine
            || (rules.accepts_missing_azp && claims.get("azp").is_none())
            || (azp != Some("") && contains(&rules.parties, azp)))
        && (rules.issuer.is_empty() || contains(&rules.issuer, claims.text("iss")))
        && now < exp + skew
        && nbf.is_none_or(|nbf| nbf - skew <= now)
        && iat.is_none_or(|iat| iat - skew <= now)
        && (class != Class::Session
            || ["sid", "sts"].iter().all(|name| claims.get(name).is_none_or(|value| value.string().is_some())))
        && !(class == Class::Session && rules.pending_is_out && claims.text("sts") == Some("pending"))
        && (class != Class::Machine
            || rules.machine.as_ref().is_none_or(|machine| scopes(class, claims).contains(machine)))
}

/// The scopes that a token grants.
pub fn scopes(class: Class, claims: &Tree) -> Vec<String> {
    let split = |list: &str| list.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let name = match class {
        Class::Session => return Vec::new(),
        Class::OauthToken => "scp",
        Class::Machine => "scopes",
    };
    if claims.get(name).is_some() {
        return claims.strings(name).unwrap_or_default().iter().flat_map(|list| split(list)).collect();
    }
    match class {
        Class::OauthToken => claims.text("scope").map(split).unwrap_or_default(),
        _ => claims.strings("aud").unwrap_or_default(),
    }
}

/// Decodes the permissions of a session token of version 2 with a bit by bit division of the decimal masks.
pub fn permissions(features: &str, permissions: &str, masks: &str) -> Vec<String> {
    let items = |list: &str| list.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>();
    let (features, permissions, masks) = (items(features), items(permissions), items(masks));
    let organization = |feature: &str| {
        let (scope, name) = feature.split_once(':')?;
        (["o", "ou", "uo"].contains(&scope) && !name.is_empty()).then(|| name.to_owned())
    };
    let count = features.iter().filter(|feature| organization(feature).is_some()).count();
    let is_shifted = features[..count].iter().any(|feature| organization(feature).is_none());
    if is_shifted && masks.len() == count && count < features.len() {
        return Vec::new();
    }
    let mut granted = Vec::new();
    for (feature, mask) in features.iter().zip(&masks) {
        let Some(name) = organization(feature) else { continue };
        if mask.is_empty() || mask.len() > 1024 || !mask.chars().all(|c| c.is_ascii_digit()) {
            continue;
        }
        let mut digits: Vec<u8> = mask.bytes().map(|b| b - b'0').collect();
        for permission in &permissions {
            if digits.iter().all(|digit| *digit == 0) {
                break;
            }
            let mut carry = 0;
            for digit in &mut digits {
                let value = carry * 10 + *digit;
                (*digit, carry) = (value / 2, value % 2);
            }
            if carry == 1 && !permission.is_empty() {
                granted.push(format!("org:{name}:{permission}"));
            }
        }
    }
    if granted.len() > 1024 { Vec::new() } else { granted }
}

/// HMAC-SHA256 by its definition (RFC 2104).
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |byte: u8| block.map(|b| b ^ byte);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}
