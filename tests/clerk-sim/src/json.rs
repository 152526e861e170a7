//! JSON that keeps the order of members and the digits of every number, unlike `serde_json::Value`.
//!
//! Token recipes contain numbers above 2^64 and numbers such as `2.0`, whose digits matter to the
//! test. Output is compact with UTF-8 unescaped, as of Python's
//! `json.dumps(ensure_ascii=False, separators=(",", ":"))`.

use crate::error::{Error, Result};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// A JSON value with exact numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, with its digits
    Number(String),
    /// A string
    String(String),
    /// An array
    Array(Vec<Json>),
    /// An object, with its members in order
    Object(Vec<(String, Json)>),
    /// Serialized JSON, written unchanged; a deeply nested tree would overflow the stack
    Raw(String),
}

impl Json {
    /// Parses a JSON document.
    pub fn parse(json: &str) -> Result<Json> {
        let raw: &RawValue = serde_json::from_str(json)?;
        Self::from_raw(raw)
    }

    fn from_raw(raw: &RawValue) -> Result<Json> {
        let json = raw.get();
        Ok(match json.as_bytes().first() {
            Some(b'{') => {
                let members: Members<'_> = serde_json::from_str(json)?;
                let mut object: Vec<(String, Json)> = Vec::with_capacity(members.0.len());
                for (name, value) in members.0 {
                    let value = Self::from_raw(value)?;
                    match object.iter_mut().find(|(member, _)| *member == name) {
                        // A repeated member keeps its first position and has its last value.
                        Some(slot) => slot.1 = value,
                        None => object.push((name, value)),
                    }
                }
                Json::Object(object)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(json)?;
                Json::Array(items.into_iter().map(Self::from_raw).collect::<Result<_>>()?)
            }
            Some(b'"') => Json::String(serde_json::from_str(json)?),
            Some(b't') => Json::Bool(true),
            Some(b'f') => Json::Bool(false),
            Some(b'n') => Json::Null,
            _ => Json::Number(json.to_owned()),
        })
    }

    /// Serializes the value compactly.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Number(json) | Json::Raw(json) => out.push_str(json),
            Json::String(string) => out.push_str(&quote(string)),
            Json::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    out.push_str(&quote(name));
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// Converts to `serde_json::Value`; numbers out of its range become the nearest float.
    pub fn to_value(&self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(json) | Json::Raw(json) => {
                serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.clone()))
            }
            Json::String(string) => Value::String(string.clone()),
            Json::Array(items) => Value::Array(items.iter().map(Json::to_value).collect()),
            Json::Object(members) => {
                Value::Object(members.iter().map(|(name, value)| (name.clone(), value.to_value())).collect())
            }
        }
    }

    /// Returns the member of a name; `None` if this is not an object or has no such member.
    pub fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().find(|(member, _)| member == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Returns the members of an object.
    pub fn members(&self) -> Option<&[(String, Json)]> {
        match self {
            Json::Object(members) => Some(members),
            _ => None,
        }
    }

    /// Returns the items of an array.
    pub fn items(&self) -> Option<&[Json]> {
        match self {
            Json::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the value of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(string) => Some(string),
            _ => None,
        }
    }

    /// Returns the value of an integer that is in range.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Json::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Returns the string member of a name, or an error.
    pub fn str_member(&self, name: &str) -> Result<&str> {
        self.get(name).and_then(Json::as_str).ok_or_else(|| Error::new(format!("{name}: must be a string")))
    }

    /// Returns the integer member of a name, or an error.
    pub fn int_member(&self, name: &str) -> Result<i64> {
        self.get(name).and_then(Json::as_i64).ok_or_else(|| Error::new(format!("{name}: must be an integer")))
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Json {
        match value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number) => Json::Number(number.to_string()),
            Value::String(string) => Json::String(string.clone()),
            Value::Array(items) => Json::Array(items.iter().map(Json::from).collect()),
            Value::Object(members) => {
                Json::Object(members.iter().map(|(name, value)| (name.clone(), Json::from(value))).collect())
            }
        }
    }
}

fn quote(string: &str) -> String {
    serde_json::to_string(string).expect("every string can be serialized")
}

/// The members of an object in order, with unparsed values.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> std::result::Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        input.deserialize_map(Collect).map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_round_trip_keeps_digits_order_and_utf8() {
        let json = r#"{"z":1000000000000000000000000000000,"a":2.0,"e":1e400,"u":"é\u0001\n","l":[null,true]}"#;
        assert_eq!(Json::parse(json).unwrap().to_json(), json);
    }

    #[test]
    fn repeated_member_keeps_position_and_has_last_value() {
        assert_eq!(Json::parse(r#"{"a":1,"b":2,"a":3}"#).unwrap().to_json(), r#"{"a":3,"b":2}"#);
    }
}
