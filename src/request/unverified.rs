//! Claims of a JWT that is not verified; read only to choose between two session cookies.

use memchr::memchr;
use serde::de::MapAccess;

use super::Decoded;
use crate::json::{Json, ObjectVisitor, object};

/// Claims of a JWT whose signature is not verified. They are not authenticated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnverifiedClaims {
    /// `iss`, if it is a string that is not empty.
    pub iss: Option<String>,
    /// Whether `iss` has another type than string and is truthy in JavaScript, in which Clerk's own rules are written.
    pub iss_wrong_type: bool,
    /// `iat` in seconds since 1970.
    pub iat: Option<f64>,
    /// `exp` in seconds since 1970.
    pub exp: Option<f64>,
}

impl UnverifiedClaims {
    /// Returns whether `iss` is truthy in JavaScript.
    pub fn has_issuer(&self) -> bool {
        self.iss.is_some() || self.iss_wrong_type
    }
}

impl<'de> ObjectVisitor<'de> for UnverifiedClaims {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "iss" => match map.next_value()? {
                Json::String(iss) => self.iss = Some(iss.into_owned()).filter(|iss| !iss.is_empty()),
                Json::Null | Json::Bool(false) => {}
                Json::Number(n) => self.iss_wrong_type = n != 0.0,
                _ => self.iss_wrong_type = true,
            },
            "iat" => self.iat = map.next_value::<Json<'de>>()?.number().get().copied(),
            "exp" => self.exp = map.next_value::<Json<'de>>()?.number().get().copied(),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Decodes the payload of a compact JWS without verifying it. Returns `None` if the token is malformed.
pub fn decode_unverified(token: &str) -> Option<UnverifiedClaims> {
    let (_, payload, _) = split_jws(token.as_bytes())?;
    object(Decoded::default().decoder().decode(payload)?)
}

/// Splits a compact JWS into header, payload and signature; `None` unless there are exactly three parts. Allocates nothing,
/// however many dots there are (CVE-2025-30204).
pub(crate) fn split_jws(token: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (header, rest) = token.split_at(memchr(b'.', token)?);
    let (payload, signature) = rest[1..].split_at(memchr(b'.', &rest[1..])?);
    memchr(b'.', &signature[1..]).is_none().then_some((header, payload, &signature[1..]))
}
