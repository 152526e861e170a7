//! Token recipes: a JSON description of a token, right or wrong in any way, made real.
//!
//! A recipe is `{text}` (the token as it is) or header and payload (`header`, `header_text` or
//! `header_base64`, the same for the payload), `sign: {alg, key}` and `then`, steps on the
//! finished token. Placeholders: `{"$now": n}`, `{"$now_text": n}`, `{"$repeat": [text, n]}`,
//! `{"$nest": [depth, inner]}`, and in texts `{{now}}`, `{{now+5}}`, `{{many_claims:N}}`.

use crate::encoding::{b64u, from_b64};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::keys::KeyStore;
use crate::mutate::mutate;
use crate::sign::hmac_sha256;

/// Makes the token a recipe describes, as of `now` in Unix seconds.
pub fn token(recipe: &Json, keys: &KeyStore, now: i64) -> Result<String> {
    if let Some(text) = recipe.get("text") {
        return match text {
            Json::String(text) => Ok(fill_text(text, now)),
            other => match fill(other, now)? {
                Json::String(text) => Ok(text),
                _ => Err(Error::new("text: it must come to a text")),
            },
        };
    }
    let mut parts = vec![b64u(&part_bytes(recipe, "header", now)?), b64u(&part_bytes(recipe, "payload", now)?)];
    let sign = recipe.get("sign").ok_or_else(|| Error::new("sign: missing"))?;
    let key = sign.get("key").and_then(Json::as_str);
    parts.push(b64u(&signature(keys, sign.text("alg")?, key, parts.join(".").as_bytes())?));
    for step in recipe.get("then").and_then(Json::items).unwrap_or_default() {
        parts = mutate(parts, step, now)?;
    }
    Ok(parts.join("."))
}

/// The signature bytes; `none` gives none, HS256 takes a secret or `form:<key>:<form>`.
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
            keys.get(name)?.form(form).ok_or_else(|| Error::new(format!("{key}: no such form")))?
        }
        _ => key.to_owned(),
    };
    Ok(hmac_sha256(secret.as_bytes(), data))
}

/// The bytes of one part: `<name>_base64`, `<name>_text` or the JSON value `<name>`.
pub fn part_bytes(recipe: &Json, name: &str, now: i64) -> Result<Vec<u8>> {
    if let Some(raw) = recipe.get(&format!("{name}_base64")) {
        return raw.as_str().and_then(from_b64).ok_or_else(|| Error::new(format!("{name}_base64: base64 is needed")));
    }
    let text_name = format!("{name}_text");
    if recipe.get(&text_name).is_some() {
        return Ok(fill_text(recipe.text(&text_name)?, now).into_bytes());
    }
    let value = recipe.get(name).ok_or_else(|| Error::new(format!("{name}: missing")))?;
    Ok(fill(value, now)?.to_text().into_bytes())
}

/// Replaces the placeholder objects in a JSON value.
pub fn fill(value: &Json, now: i64) -> Result<Json> {
    Ok(match value {
        Json::Object(members) => {
            if let [(name, arg)] = members.as_slice()
                && let Some(made) = placeholder(name, arg, now)?
            {
                return Ok(made);
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
        _ => Err(Error::new(format!("{name}: a list of two is needed"))),
    };
    let count = |json: &Json| {
        json.as_i64()
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| Error::new(format!("{name}: a count is needed")))
    };
    Ok(Some(match name {
        "$now" => Json::Number(add(now, arg)?),
        "$now_text" => Json::String(add(now, arg)?),
        "$repeat" => {
            let (text, times) = pair()?;
            let text = text.as_str().ok_or_else(|| Error::new("$repeat: a text is needed"))?;
            Json::String(text.repeat(count(times)?))
        }
        "$nest" => {
            let (depth, inner) = pair()?;
            let depth = count(depth)?;
            Json::Raw(format!("{}{}{}", "[".repeat(depth), inner.to_text(), "]".repeat(depth)))
        }
        _ => return Ok(None),
    }))
}

/// now + a number of any size, as JSON text.
fn add(now: i64, number: &Json) -> Result<String> {
    let Json::Number(text) = number else { return Err(Error::new("$now: a number is needed")) };
    if let Ok(whole) = text.parse::<i128>() {
        return Ok((i128::from(now) + whole).to_string());
    }
    let real: f64 = text.parse().map_err(|_| Error::new("$now: a number is needed"))?;
    Ok(format!("{:?}", now as f64 + real))
}

/// Replaces `{{now}}`, `{{now+N}}`, `{{now-N}}` and `{{many_claims:N}}` in a text.
pub fn fill_text(text: &str, now: i64) -> String {
    replace_marks(text, |mark| {
        if let Some(count) = mark.strip_prefix("many_claims:") {
            let count: u32 = digits(count)?.parse().ok()?;
            return Some((0..count).map(|i| format!(",\"c{i}\":{i}")).collect());
        }
        let offset = mark.strip_prefix("now")?;
        let shift: i64 = match (offset, offset.get(1..)) {
            ("", _) => 0,
            (_, Some(number)) if offset.starts_with('+') => digits(number)?.parse().ok()?,
            (_, Some(number)) if offset.starts_with('-') => -digits(number)?.parse::<i64>().ok()?,
            _ => return None,
        };
        Some((now + shift).to_string())
    })
}

/// The text, if it is one or more ASCII digits.
fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// Replaces each `{{mark}}` for which there is a text; leaves the others.
pub(crate) fn replace_marks(text: &str, with: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        let inner = &rest[open + 2..];
        let made = inner.find("}}").and_then(|close| Some((close, with(&inner[..close])?)));
        match made {
            Some((close, made)) => {
                out.push_str(&rest[..open]);
                out.push_str(&made);
                rest = &inner[close + 2..];
            }
            None => {
                // One brace only: `{{{now}}` holds a mark one character further on.
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
    fn marks_in_texts() {
        assert_eq!(
            fill_text("{{now}} {{now+5}} {{now-5}} {{now+}} {{x}} {{{now}}}", 100),
            "100 105 95 {{now+}} {{x}} {100}"
        );
        assert_eq!(fill_text("{{many_claims:2}}", 0), r#","c0":0,"c1":1"#);
    }

    #[test]
    fn placeholders_in_values() {
        let value = Json::parse(r#"{"a":{"$now":-5},"b":{"$now":0.5},"c":{"$nest":[2,{"x":1}]},"d":{"$repeat":["ab",2]},"e":{"$now_text":1}}"#)
            .unwrap();
        assert_eq!(fill(&value, 100).unwrap().to_text(), r#"{"a":95,"b":100.5,"c":[[{"x":1}]],"d":"abab","e":"101"}"#);
    }
}
