//! Strict JSON: one parser, every member once, every value kept with its type, depth bounded.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

use crate::request::Peek;

/// A value as far as a claim can need it; texts borrow from the input when they hold no escapes.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    /// Exact up to 2^53; what lies beyond is refused wherever a number counts.
    Number(f64),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    /// Looked through and thrown away.
    Object,
}

/// A claim: absent, or there with the right type, or there with a wrong one. `null` counts as there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Claim<T> {
    /// The member is not there.
    #[default]
    Absent,
    /// It is there and of the wrong type.
    Invalid,
    /// It is there and right.
    Present(T),
}

impl<T> Claim<T> {
    fn from_option(value: Option<T>) -> Self {
        value.map_or(Claim::Invalid, Claim::Present)
    }

    /// The value, if it is there and right.
    pub fn get(&self) -> Option<&T> {
        match self {
            Claim::Present(value) => Some(value),
            _ => None,
        }
    }
}

impl Claim<String> {
    /// The text, if it is there and right.
    pub fn as_deref(&self) -> Option<&str> {
        self.get().map(String::as_str)
    }
}

impl<'a> Json<'a> {
    pub fn text(self) -> Claim<String> {
        match self {
            Json::Text(text) => Claim::Present(text.into_owned()),
            _ => Claim::Invalid,
        }
    }

    pub fn number(self) -> Claim<f64> {
        match self {
            Json::Number(number) => Claim::Present(number),
            _ => Claim::Invalid,
        }
    }

    /// A text, or a list of nothing but texts.
    pub fn texts(self) -> Claim<Vec<String>> {
        match self {
            Json::Text(text) => Claim::Present(vec![text.into_owned()]),
            Json::List(list) => Claim::from_option(list.into_iter().map(|v| v.text().get().cloned()).collect()),
            _ => Claim::Invalid,
        }
    }

    /// A list of exactly two whole numbers.
    pub fn pair(self) -> Claim<[i64; 2]> {
        let whole = |v: &Json<'_>| match v {
            Json::Number(n) if n.fract() == 0.0 && n.abs() <= MAX_SAFE => Some(*n as i64),
            _ => None,
        };
        Claim::from_option(match self {
            Json::List(list) => match &list[..] {
                [a, b] => whole(a).zip(whole(b)).map(|(a, b)| [a, b]),
                _ => None,
            },
            _ => None,
        })
    }
}

/// 2^53: up to here every whole number is exact in JSON's usual reading (RFC 8259 §6).
pub const MAX_SAFE: f64 = 9_007_199_254_740_992.0;

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct JsonVisitor;
        impl<'de> Visitor<'de> for JsonVisitor {
            type Value = Json<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_unit<E>(self) -> Result<Json<'de>, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
                Ok(Json::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
                Ok(Json::Number(value as f64))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
                Ok(Json::Number(value as f64))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
                Ok(Json::Number(value))
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
                Ok(Json::Text(Cow::Borrowed(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
                Ok(Json::Text(Cow::Owned(value.into())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = seq.next_element()? {
                    list.push(value);
                }
                Ok(Json::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Json<'de>, A::Error> {
                skip_map(map).map(|()| Json::Object)
            }
        }
        deserializer.deserialize_any(JsonVisitor)
    }
}

/// Serde's own `IgnoredAny` neither counts depth nor decodes texts; going through [`Json`] does both.
fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_key::<IgnoredAny>()?.is_some() {
        map.next_value::<Json<'de>>()?;
    }
    Ok(())
}

struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Json::deserialize(deserializer)? {
            Json::Text(name) => Ok(Name(name)),
            _ => Err(de::Error::custom("a name is needed")),
        }
    }
}

/// What is kept of an object.
pub trait ObjectVisitor<'de>: Default {
    /// Takes the value of a name that counts; `false` leaves it, to be checked and thrown away.
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

fn read_members<'de, T: ObjectVisitor<'de>, A: MapAccess<'de>>(mut map: A) -> Result<T, A::Error> {
    let mut object = T::default();
    let mut names: SmallVec<[Cow<'de, str>; 32]> = SmallVec::new();
    while let Some(Name(name)) = map.next_key()? {
        if !object.member(&name, &mut map)? {
            map.next_value::<Json<'de>>()?;
        }
        names.push(name);
    }
    // Two readers of one token must not see two values (CVE-2022-39227).
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(de::Error::custom("a member stands twice"));
    }
    Ok(object)
}

/// An object inside an object; anything else there is [`Member::Odd`].
pub struct Nested<T>(pub Claim<T>);

impl<'de, T: ObjectVisitor<'de>> Deserialize<'de> for Nested<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NestedVisitor<T>(PhantomData<T>);
        impl<'de, T: ObjectVisitor<'de>> Visitor<'de> for NestedVisitor<T> {
            type Value = Nested<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_unit<E>(self) -> Result<Nested<T>, E> {
                Ok(Nested(Claim::Invalid))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Nested<T>, E> {
                Ok(Nested(Claim::Invalid))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Nested<T>, E> {
                Ok(Nested(Claim::Invalid))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Nested<T>, E> {
                Ok(Nested(Claim::Invalid))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Nested<T>, E> {
                Ok(Nested(Claim::Invalid))
            }
            fn visit_str<E>(self, _: &str) -> Result<Nested<T>, E> {
                Ok(Nested(Claim::Invalid))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Nested<T>, A::Error> {
                while seq.next_element::<Json<'de>>()?.is_some() {}
                Ok(Nested(Claim::Invalid))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Nested<T>, A::Error> {
                read_members(map).map(|object| Nested(Claim::Present(object)))
            }
        }
        deserializer.deserialize_any(NestedVisitor(PhantomData))
    }
}

/// Reads a text that is one object and nothing else.
pub fn object<'de, T: ObjectVisitor<'de>>(bytes: &'de [u8]) -> Option<T> {
    match serde_json::from_slice(bytes) {
        Ok(Nested(Claim::Present(object))) => Some(object),
        _ => None,
    }
}

/// The protected header, as far as it counts. Names that must not be there make it unreadable.
#[derive(Debug, Default)]
pub struct Header<'a> {
    pub alg: Cow<'a, str>,
    pub kid: Option<Cow<'a, str>>,
    pub typ: Option<Cow<'a, str>>,
    pub cat: Option<Cow<'a, str>>,
}

impl<'de> ObjectVisitor<'de> for Header<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        let mut text = || map.next_value().map(|Name(text)| text);
        match name {
            "alg" => self.alg = text()?,
            // It is only ever compared: what is no text fits no key, and with a configured key plays no part.
            "kid" => {
                self.kid = match map.next_value()? {
                    Json::Text(kid) => Some(kid),
                    _ => None,
                }
            }
            "typ" => self.typ = Some(text()?),
            "cat" => self.cat = Some(text()?),
            // Extensions and encodings that change what the rest means (RFC 7515 §4.1.11, RFC 7797, RFC 7516).
            "crit" | "b64" | "zip" | "enc" | "cty" => return Err(de::Error::custom("not supported")),
            // `jwk`, `jku`, `x5u`, `x5c` are never read: a token brings no key of its own.
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Reads the protected header.
pub fn header(bytes: &[u8]) -> Option<Header<'_>> {
    object(bytes)
}

impl<'de> ObjectVisitor<'de> for Peek {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "iss" => match map.next_value()? {
                Json::Text(text) => self.iss = Some(text.into_owned()).filter(|t| !t.is_empty()),
                Json::Null | Json::Bool(false) => {}
                Json::Number(n) => self.iss_is_odd = n != 0.0,
                _ => self.iss_is_odd = true,
            },
            "iat" => self.iat = map.next_value::<Json<'de>>()?.number().get().copied(),
            "exp" => self.exp = map.next_value::<Json<'de>>()?.number().get().copied(),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Reads what tells two session cookies apart.
pub fn peek(bytes: &[u8]) -> Option<Peek> {
    object(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a10_deep_nesting_is_refused_without_eating_the_stack() {
        let nested = |depth: usize| format!("{{\"alg\":\"RS256\",\"x\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(header(nested(100).as_bytes()).is_some());
        for depth in [200, 100_000] {
            assert!(header(nested(depth).as_bytes()).is_none());
        }
    }

    #[test]
    fn values_that_no_reader_agrees_on_are_refused() {
        for bad in [
            r#"{"x":1e400}"#,
            r#"{"x":"\ud800"}"#,
            r#"{"x":1}}"#,
            "{\"x\":\"\u{1}\"}",
            r#"{"x":NaN}"#,
            r#"{'x':1}"#,
            "[]",
            "null",
            "",
            "\u{feff}{}",
        ] {
            assert!(header(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(header(b"{\"x\":\"\xff\"}").is_none());
    }

    #[test]
    fn lists_and_pairs_hold_what_they_should() {
        let json = |text: &'static str| serde_json::from_str::<Json<'_>>(text).unwrap();
        assert_eq!(json(r#""a""#).texts(), Claim::Present(vec!["a".into()]));
        assert_eq!(json(r#"["a","b"]"#).texts(), Claim::Present(vec!["a".into(), "b".into()]));
        for odd in [r#"["a",1]"#, "null", "5", "{}"] {
            assert_eq!(json(odd).texts(), Claim::Invalid);
        }
        assert_eq!(json("[1,-1]").pair(), Claim::Present([1, -1]));
        for odd in ["[1]", "[1,2,3]", "[1,0.5]", "[1,\"2\"]", "5"] {
            assert_eq!(json(odd).pair(), Claim::Invalid);
        }
    }
}
