//! The `then` steps of a token recipe: mutations of a signed token.
//!
//! Lengths and positions are in characters; negative ones count from the end, as in Python slices.

use crate::encoding::{b64u, from_b64, from_b64u};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::recipe::part_bytes;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Applies a step to the parts of a token.
pub fn mutate(mut parts: Vec<String>, step: &Json, now: i64) -> Result<Vec<String>> {
    match step.str_member("op")? {
        "flip_bit" => {
            let (at, mut raw) = decoded(&parts, step)?;
            let byte = index(raw.len(), step.int_member("byte")?)?;
            let bit = step.get("bit").and_then(Json::as_i64).unwrap_or(0);
            raw[byte] ^= u8::try_from(bit).ok().and_then(|bit| 1u8.checked_shl(bit.into())).ok_or_else(invalid_bit)?;
            parts[at] = b64u(&raw);
        }
        "replace_part" => {
            let at = part_index(&parts, step)?;
            parts[at] = b64u(&part_bytes(step, "value", now)?);
        }
        "set_part" => {
            let at = part_index(&parts, step)?;
            parts[at] = step.str_member("text")?.to_owned();
        }
        "cut_bytes" => {
            let (at, raw) = decoded(&parts, step)?;
            parts[at] = b64u(&raw[..cut(raw.len(), step.int_member("keep")?)]);
        }
        "prefix_bytes" => {
            let (at, raw) = decoded(&parts, step)?;
            let prefix = from_b64(step.str_member("base64")?).ok_or_else(|| Error::new("base64: must be base64"))?;
            parts[at] = b64u(&[prefix, raw].concat());
        }
        "pad" => {
            let force = step.get("force").is_some_and(truthy);
            for at in step.get("parts").and_then(Json::items).unwrap_or_default() {
                let at = at.as_i64().ok_or_else(|| Error::new("parts: must be an array of integers"))?;
                let at = index(parts.len(), at)?;
                let missing = (4 - parts[at].chars().count() % 4) % 4;
                parts[at].push_str(&"=".repeat(if force { 1 } else { missing }));
            }
        }
        "standard_alphabet" => {
            let at = part_index(&parts, step)?;
            parts[at] = parts[at].replace('-', "+").replace('_', "/");
        }
        "loose_tail" => {
            let at = part_index(&parts, step)?;
            let last = parts[at].pop().ok_or_else(|| Error::new("loose_tail: the part is empty"))?;
            let position = ALPHABET.iter().position(|byte| char::from(*byte) == last);
            let next = position.and_then(|position| ALPHABET.get(position + 1));
            parts[at].push(char::from(*next.ok_or_else(|| Error::new("loose_tail: no next character"))?));
        }
        "insert" => {
            let at = part_index(&parts, step)?;
            let (head, tail) = split(&parts[at], step.int_member("at")?);
            parts[at] = format!("{head}{}{tail}", step.str_member("text")?);
        }
        "upper" => {
            let at = part_index(&parts, step)?;
            parts[at] = parts[at].to_uppercase();
        }
        "add_part" => parts.push(step.str_member("text")?.to_owned()),
        "drop_part" => {
            parts.remove(part_index(&parts, step)?);
        }
        op => {
            let token = mutate_token(op, &parts.join("."), step)?;
            parts = token.split('.').map(str::to_owned).collect();
        }
    }
    Ok(parts)
}

fn mutate_token(op: &str, token: &str, step: &Json) -> Result<String> {
    Ok(match op {
        "append" => format!("{token}{}", step.str_member("text")?),
        "prepend" => format!("{}{token}", step.str_member("text")?),
        "cut_chars" => split(token, step.int_member("keep")?).0,
        "drop_chars" => split(token, step.int_member("first")?).1,
        "cut_last" => split(token, -step.int_member("n")?).0,
        _ => return Err(Error::new(format!("{op}: unknown step"))),
    })
}

fn part_index(parts: &[String], step: &Json) -> Result<usize> {
    index(parts.len(), step.int_member("part")?)
}

fn decoded(parts: &[String], step: &Json) -> Result<(usize, Vec<u8>)> {
    let at = part_index(parts, step)?;
    let raw = from_b64u(&parts[at]).ok_or_else(|| Error::new("the part is not base64url"))?;
    Ok((at, raw))
}

/// Returns an index into a list; a negative one counts from the end.
fn index(length: usize, at: i64) -> Result<usize> {
    let found = if at < 0 { at + length as i64 } else { at };
    usize::try_from(found).ok().filter(|found| *found < length).ok_or_else(|| Error::new(format!("{at}: out of range")))
}

/// Returns the end of a slice, clamped.
fn cut(length: usize, at: i64) -> usize {
    let length = length as i64;
    (if at < 0 { at + length } else { at }).clamp(0, length) as usize
}

fn split(string: &str, at: i64) -> (String, String) {
    let chars: Vec<char> = string.chars().collect();
    let (head, tail) = chars.split_at(cut(chars.len(), at));
    (head.iter().collect(), tail.iter().collect())
}

fn truthy(value: &Json) -> bool {
    match value {
        Json::Bool(value) => *value,
        Json::Number(digits) => digits != "0",
        _ => false,
    }
}

fn invalid_bit() -> Error {
    Error::new("bit: must be 0 to 7")
}
