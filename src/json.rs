//! Strict JSON for unauthenticated input: no duplicate member, bounded depth, UTF-8 only, and every value of interest
//! with its type.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

/// A JSON value. Strings without escapes borrow from the input; the members of an object are checked and dropped.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    /// Exact up to [`MAX_EXACT_INTEGER`]; the caller rejects what lies beyond.
    Number(f64),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object,
}

/// A member of an object that the caller expects to have one type. `null` counts as a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Claim<T> {
    /// There is no such member.
    #[default]
    Absent,
    /// The member has another type than expected.
    Invalid,
    /// The member has the expected type.
    Present(T),
}

impl<T> Claim<T> {
    fn from_option(value: Option<T>) -> Self {
        value.map_or(Claim::Invalid, Claim::Present)
    }

    /// Returns the value, or `None` if it is absent or invalid.
    pub fn get(&self) -> Option<&T> {
        match self {
            Claim::Present(value) => Some(value),
            _ => None,
        }
    }
}

impl Claim<String> {
    /// Returns the string, or `None` if it is absent or invalid.
    pub fn as_deref(&self) -> Option<&str> {
        self.get().map(String::as_str)
    }
}

impl<'a> Json<'a> {
    pub fn string(self) -> Claim<String> {
        match self {
            Json::String(string) => Claim::Present(string.into_owned()),
            _ => Claim::Invalid,
        }
    }

    pub fn number(self) -> Claim<f64> {
        match self {
            Json::Number(number) => Claim::Present(number),
            _ => Claim::Invalid,
        }
    }

    /// Accepts a string, or an array of strings only (RFC 7519 §4.1.3).
    pub fn string_or_array(self) -> Claim<Vec<String>> {
        match self {
            Json::String(string) => Claim::Present(vec![string.into_owned()]),
            Json::Array(items) => Claim::from_option(items.into_iter().map(|v| v.string().get().cloned()).collect()),
            _ => Claim::Invalid,
        }
    }

    /// Accepts an array of exactly two integers.
    pub fn integer_pair(self) -> Claim<[i64; 2]> {
        let integer = |v: &Json<'_>| match v {
            Json::Number(n) if n.fract() == 0.0 && n.abs() <= MAX_EXACT_INTEGER => Some(*n as i64),
            _ => None,
        };
        Claim::from_option(match self {
            Json::Array(items) => match &items[..] {
                [a, b] => integer(a).zip(integer(b)).map(|(a, b)| [a, b]),
                _ => None,
            },
            _ => None,
        })
    }
}

/// 2^53: a double represents every integer up to this exactly (RFC 8259 §6).
pub const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

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
                Ok(Json::String(Cow::Borrowed(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
                Ok(Json::String(Cow::Owned(value.into())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = seq.next_element()? {
                    list.push(value);
                }
                Ok(Json::Array(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Json<'de>, A::Error> {
                skip_map(map).map(|()| Json::Object)
            }
        }
        deserializer.deserialize_any(JsonVisitor)
    }
}

/// `IgnoredAny` neither counts depth nor decodes strings; reading each value as [`Json`] does both.
fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_key::<IgnoredAny>()?.is_some() {
        map.next_value::<Json<'de>>()?;
    }
    Ok(())
}

/// A string and nothing else; borrowed when it has no escapes.
pub struct JsonStr<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for JsonStr<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Json::deserialize(deserializer)? {
            Json::String(string) => Ok(JsonStr(string)),
            _ => Err(de::Error::custom("expected a string")),
        }
    }
}

/// Receives the members of one object.
pub trait ObjectVisitor<'de>: Default {
    /// Reads the value of the member `name` from `map` and returns `true`; returns `false` to have it checked and dropped.
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

fn read_members<'de, T: ObjectVisitor<'de>, A: MapAccess<'de>>(mut map: A) -> Result<T, A::Error> {
    let mut object = T::default();
    let mut names: SmallVec<[Cow<'de, str>; 32]> = SmallVec::new();
    while let Some(JsonStr(name)) = map.next_key()? {
        if !object.member(&name, &mut map)? {
            map.next_value::<Json<'de>>()?;
        }
        names.push(name);
    }
    // Two parsers must not read different values from one token (CVE-2022-39227).
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(de::Error::custom("duplicate member"));
    }
    Ok(object)
}

/// An object inside an object; a value of another type is [`Claim::Invalid`].
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

/// Parses input that is exactly one object. Returns `None` otherwise.
pub fn object<'de, T: ObjectVisitor<'de>>(bytes: &'de [u8]) -> Option<T> {
    match serde_json::from_slice(bytes) {
        Ok(Nested(Claim::Present(object))) => Some(object),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Anything;

    impl<'de> ObjectVisitor<'de> for Anything {
        fn member<A: MapAccess<'de>>(&mut self, _: &str, _: &mut A) -> Result<bool, A::Error> {
            Ok(false)
        }
    }

    fn is_accepted(bytes: &[u8]) -> bool {
        object::<Anything>(bytes).is_some()
    }

    // Threat A10: deep nesting.
    #[test]
    fn deep_nesting_is_rejected_without_stack_overflow() {
        let nested = |depth: usize| format!("{{\"x\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_accepted(nested(100).as_bytes()));
        for depth in [200, 100_000] {
            assert!(!is_accepted(nested(depth).as_bytes()));
        }
    }

    #[test]
    fn ambiguous_json_is_rejected() {
        for invalid in [
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
            assert!(!is_accepted(invalid.as_bytes()), "{invalid}");
        }
        assert!(!is_accepted(b"{\"x\":\"\xff\"}"));
    }

    #[test]
    fn arrays_and_pairs_of_wrong_types_are_invalid() {
        let json = |input: &'static str| serde_json::from_str::<Json<'_>>(input).unwrap();
        assert_eq!(json(r#""a""#).string_or_array(), Claim::Present(vec!["a".into()]));
        assert_eq!(json(r#"["a","b"]"#).string_or_array(), Claim::Present(vec!["a".into(), "b".into()]));
        for malformed in [r#"["a",1]"#, "null", "5", "{}"] {
            assert_eq!(json(malformed).string_or_array(), Claim::Invalid);
        }
        assert_eq!(json("[1,-1]").integer_pair(), Claim::Present([1, -1]));
        for malformed in ["[1]", "[1,2,3]", "[1,0.5]", "[1,\"2\"]", "5"] {
            assert_eq!(json(malformed).integer_pair(), Claim::Invalid);
        }
    }
}
