//! The protected header of a JWS (RFC 7515 §4).

use std::borrow::Cow;

use memchr::memchr;
use serde::de::{Error as _, MapAccess};

use crate::json::{Json, JsonStr, ObjectVisitor, object};

/// The maximum length of a header with escapes. Clerk's headers have a hundred bytes and no escapes.
const MAX_ESCAPED_LEN: usize = 1024;

/// The header parameters in use. Parameters that change the meaning of the token make the header unreadable.
#[derive(Debug, Default)]
pub struct Header<'a> {
    pub alg: Cow<'a, str>,
    pub kid: Option<Cow<'a, str>>,
    pub typ: Option<Cow<'a, str>>,
    pub cat: Option<Cow<'a, str>>,
}

impl<'a> Header<'a> {
    /// Parses a decoded header. Returns `None` if it is not a strict JSON object, has an unsupported parameter, or is long and has
    /// escapes, whose strings cannot be read in place.
    pub fn parse(json: &'a [u8]) -> Option<Self> {
        if json.len() > MAX_ESCAPED_LEN && memchr(b'\\', json).is_some() {
            return None;
        }
        object(json)
    }
}

impl<'de> ObjectVisitor<'de> for Header<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        let mut string = || map.next_value().map(|JsonStr(string)| string);
        match name {
            "alg" => self.alg = string()?,
            // Only compared: a value that is not a string matches no key, and a configured key ignores it.
            "kid" => {
                self.kid = match map.next_value()? {
                    Json::String(kid) => Some(kid),
                    _ => None,
                }
            }
            "typ" => self.typ = Some(string()?),
            "cat" => self.cat = Some(string()?),
            // Extensions and encodings that change the meaning of the rest (RFC 7515 §4.1.11, RFC 7797, RFC 7516).
            "crit" | "b64" | "zip" | "enc" | "cty" => return Err(A::Error::custom("unsupported header parameter")),
            // `jwk`, `jku`, `x5u` and `x5c` are never read: a token cannot bring its own key.
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Threat A10: deep nesting.
    #[test]
    fn header_with_deep_nesting_is_rejected() {
        let nested = |depth: usize| format!("{{\"alg\":\"RS256\",\"x\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(Header::parse(nested(100).as_bytes()).unwrap().alg, "RS256");
        for depth in [200, 100_000] {
            assert!(Header::parse(nested(depth).as_bytes()).is_none());
        }
    }
}
