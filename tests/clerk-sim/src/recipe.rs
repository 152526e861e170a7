//! Token recipes: JSON descriptions of valid and invalid tokens.
//!
//! A recipe is `{text}` (the token itself) or header and payload (`header`, `header_text` or
//! `header_base64`, the same for the payload), `sign: {alg, key}` and `then`, mutations of the signed
//! token. Placeholders: `{"$now": n}`, `{"$now_text": n}`, `{"$repeat": [string, n]}`,
//! `{"$nest": [depth, inner]}`, and in strings `{{now}}`, `{{now+5}}`, `{{many_claims:N}}`.

use crate::encoding::{b64u, from_b64};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::keys::KeyStore;
use crate::mutate::mutate;
use crate::sign::hmac_sha256;

/// Mints the token of a recipe at `now`, in Unix seconds.
pub fn mint(recipe: &Json, keys: &KeyStore, now: i64) -> Result<String> {
    if let Some(token) = recipe.get("text") {
        return match token {
            Json::String(token) => Ok(fill_string(token, now)),
            other => match fill(other, now)? {
                Json::String(token) => Ok(token),
                _ => Err(Error::new("text: must be a string")),
            },
        };
    }
    let mut parts = vec![b64u(&part_bytes(recipe, "header", now)?), b64u(&part_bytes(recipe, "payload", now)?)];
    let sign = recipe.get("sign").ok_or_else(|| Error::new("sign: missing"))?;
    let key = sign.get("key").and_then(Json::as_str);
    parts.push(b64u(&signature(keys, sign.str_member("alg")?, key, parts.join(".").as_bytes())?));
    for step in recipe.get("then").and_then(Json::items).unwrap_or_default() {
        parts = mutate(parts, step, now)?;
    }
    Ok(parts.join("."))
}

/// Signs data. `none` has no signature; the key of HS256 is a secret or `form:<key>:<form>`.
pub fn signature(keys: &KeyStore, alg: &str, key: Option<&str>, data: &[u8]) -> Result<Vec<u8>> {
    if alg == "none" {
        return Ok(Vec::new());
    }
    let key = key.ok_or_else(|| Error::new("sign.key: missing"))?;
    if alg != "HS256" {
        return keys.get(key)?.sign(alg, data);
    }
    let mut pieces = key.splitn(3, ':');
    let secret = match (pieces.next(), pieces.next(), pieces.next()) {
        (Some("form"), Some(name), Some(form)) => {
            keys.get(name)?.form(form).ok_or_else(|| Error::new(format!("{key}: unknown form")))?
        }
        _ => key.to_owned(),
    };
    Ok(hmac_sha256(secret.as_bytes(), data))
}

/// Returns the bytes of a part: `<name>_base64`, `<name>_text` or the JSON value `<name>`.
pub fn part_bytes(recipe: &Json, name: &str, now: i64) -> Result<Vec<u8>> {
    if let Some(raw) = recipe.get(&format!("{name}_base64")) {
        return raw.as_str().and_then(from_b64).ok_or_else(|| Error::new(format!("{name}_base64: must be base64")));
    }
    let text_name = format!("{name}_text");
    if recipe.get(&text_name).is_some() {
        return Ok(fill_string(recipe.str_member(&text_name)?, now).into_bytes());
    }
    let value = recipe.get(name).ok_or_else(|| Error::new(format!("{name}: missing")))?;
    Ok(fill(value, now)?.to_json().into_bytes())
}

/// Replaces the placeholder objects of a JSON value.
pub fn fill(value: &Json, now: i64) -> Result<Json> {
    Ok(match value {
        Json::Object(members) => {
            if let [(name, arg)] = members.as_slice()
                && let Some(value) = placeholder(name, arg, now)?
            {
                return Ok(value);
            }
            let filled = members.iter().map(|(name, value)| Ok((name.clone(), fill(value, now)?)));
            Json::Object(filled.collect::<Result<_>>()?)
        }
        Json::Array(items) => Json::Array(items.iter().map(|item| fill(item, now)).collect::<Result<_>>()?),
        other => other.clone(),
    })
}

fn placeholder(name: &str, arg: &Json, now: i64) -> Result<Option<Json>> {
    let pair = || match arg.items() {
        Some([first, second]) => Ok((first, second)),
        _ => Err(Error::new(format!("{name}: must be an array of two"))),
    };
    let count = |json: &Json| {
        json.as_i64()
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| Error::new(format!("{name}: must be a non-negative integer")))
    };
    Ok(Some(match name {
        "$now" => Json::Number(add(now, arg)?),
        "$now_text" => Json::String(add(now, arg)?),
        "$repeat" => {
            let (string, times) = pair()?;
            let string = string.as_str().ok_or_else(|| Error::new("$repeat: must repeat a string"))?;
            Json::String(string.repeat(count(times)?))
        }
        "$nest" => {
            let (depth, inner) = pair()?;
            let depth = count(depth)?;
            Json::Raw(format!("{}{}{}", "[".repeat(depth), inner.to_json(), "]".repeat(depth)))
        }
        _ => return Ok(None),
    }))
}

/// Returns the sum of `now` and a number of any size, as JSON.
fn add(now: i64, number: &Json) -> Result<String> {
    let Json::Number(digits) = number else { return Err(Error::new("$now: must be a number")) };
    if let Ok(integer) = digits.parse::<i128>() {
        return Ok((i128::from(now) + integer).to_string());
    }
    let float: f64 = digits.parse().map_err(|_| Error::new("$now: must be a number"))?;
    Ok(format!("{:?}", now as f64 + float))
}

/// Replaces `{{now}}`, `{{now+N}}`, `{{now-N}}` and `{{many_claims:N}}` in a string.
pub fn fill_string(string: &str, now: i64) -> String {
    replace_placeholders(string, |name| {
        if let Some(count) = name.strip_prefix("many_claims:") {
            let count: u32 = digits(count)?.parse().ok()?;
            return Some((0..count).map(|i| format!(",\"c{i}\":{i}")).collect());
        }
        let offset = name.strip_prefix("now")?;
        let shift: i64 = match (offset, offset.get(1..)) {
            ("", _) => 0,
            (_, Some(number)) if offset.starts_with('+') => digits(number)?.parse().ok()?,
            (_, Some(number)) if offset.starts_with('-') => -digits(number)?.parse::<i64>().ok()?,
            _ => return None,
        };
        Some((now + shift).to_string())
    })
}

/// Returns the string if it consists of one or more ASCII digits.
fn digits(string: &str) -> Option<&str> {
    (!string.is_empty() && string.bytes().all(|byte| byte.is_ascii_digit())).then_some(string)
}

/// Replaces each `{{name}}` for which `value` returns a string; leaves the others.
pub(crate) fn replace_placeholders(string: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(string.len());
    let mut rest = string;
    while let Some(open) = rest.find("{{") {
        let inner = &rest[open + 2..];
        let replacement = inner.find("}}").and_then(|close| Some((close, value(&inner[..close])?)));
        match replacement {
            Some((close, replacement)) => {
                out.push_str(&rest[..open]);
                out.push_str(&replacement);
                rest = &inner[close + 2..];
            }
            None => {
                // Skips one brace only: in `{{{now}}` the placeholder starts one character later.
                out.push_str(&rest[..=open]);
                rest = &rest[open + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_placeholders_are_replaced() {
        assert_eq!(
            fill_string("{{now}} {{now+5}} {{now-5}} {{now+}} {{x}} {{{now}}}", 100),
            "100 105 95 {{now+}} {{x}} {100}"
        );
        assert_eq!(fill_string("{{many_claims:2}}", 0), r#","c0":0,"c1":1"#);
    }

    #[test]
    fn value_placeholders_are_replaced() {
        let value = Json::parse(r#"{"a":{"$now":-5},"b":{"$now":0.5},"c":{"$nest":[2,{"x":1}]},"d":{"$repeat":["ab",2]},"e":{"$now_text":1}}"#)
            .unwrap();
        assert_eq!(fill(&value, 100).unwrap().to_json(), r#"{"a":95,"b":100.5,"c":[[{"x":1}]],"d":"abab","e":"101"}"#);
    }
}
