//! The `then` steps of a token recipe: damage done to a finished token.
//!
//! Counts and places are in characters; negative ones count from the end, as in Python slices.

use crate::encoding::{b64u, from_b64, from_b64u};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::recipe::part_bytes;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Does one step to the parts of a token.
pub fn mutate(mut parts: Vec<String>, step: &Json, now: i64) -> Result<Vec<String>> {
    match step.text("op")? {
        "flip_bit" => {
            let (at, mut raw) = decoded(&parts, step)?;
            let byte = index(raw.len(), step.int("byte")?)?;
            let bit = step.get("bit").and_then(Json::as_i64).unwrap_or(0);
            raw[byte] ^= u8::try_from(bit).ok().and_then(|bit| 1u8.checked_shl(bit.into())).ok_or_else(bad_bit)?;
            parts[at] = b64u(&raw);
        }
        "replace_part" => {
            let at = part_index(&parts, step)?;
            parts[at] = b64u(&part_bytes(step, "value", now)?);
        }
        "set_part" => {
            let at = part_index(&parts, step)?;
            parts[at] = step.text("text")?.to_owned();
        }
        "cut_bytes" => {
            let (at, raw) = decoded(&parts, step)?;
            parts[at] = b64u(&raw[..cut(raw.len(), step.int("keep")?)]);
        }
        "prefix_bytes" => {
            let (at, raw) = decoded(&parts, step)?;
            let prefix = from_b64(step.text("base64")?).ok_or_else(|| Error::new("base64: not base64"))?;
            parts[at] = b64u(&[prefix, raw].concat());
        }
        "pad" => {
            let force = step.get("force").is_some_and(truthy);
            for at in step.get("parts").and_then(Json::items).unwrap_or_default() {
                let at = at.as_i64().ok_or_else(|| Error::new("parts: numbers are needed"))?;
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
            let place = ALPHABET.iter().position(|known| char::from(*known) == last);
            let next = place.and_then(|place| ALPHABET.get(place + 1));
            parts[at].push(char::from(*next.ok_or_else(|| Error::new("loose_tail: no next character"))?));
        }
        "insert" => {
            let at = part_index(&parts, step)?;
            let (head, tail) = split(&parts[at], step.int("at")?);
            parts[at] = format!("{head}{}{tail}", step.text("text")?);
        }
        "upper" => {
            let at = part_index(&parts, step)?;
            parts[at] = parts[at].to_uppercase();
        }
        "add_part" => parts.push(step.text("text")?.to_owned()),
        "drop_part" => {
            parts.remove(part_index(&parts, step)?);
        }
        op => {
            let whole = on_whole(op, &parts.join("."), step)?;
            parts = whole.split('.').map(str::to_owned).collect();
        }
    }
    Ok(parts)
}

fn on_whole(op: &str, whole: &str, step: &Json) -> Result<String> {
    Ok(match op {
        "append" => format!("{whole}{}", step.text("text")?),
        "prepend" => format!("{}{whole}", step.text("text")?),
        "cut_chars" => split(whole, step.int("keep")?).0,
        "drop_chars" => split(whole, step.int("first")?).1,
        "cut_last" => split(whole, -step.int("n")?).0,
        _ => return Err(Error::new(format!("{op}: no such step"))),
    })
}

fn part_index(parts: &[String], step: &Json) -> Result<usize> {
    index(parts.len(), step.int("part")?)
}

fn decoded(parts: &[String], step: &Json) -> Result<(usize, Vec<u8>)> {
    let at = part_index(parts, step)?;
    let raw = from_b64u(&parts[at]).ok_or_else(|| Error::new("the part is not base64url"))?;
    Ok((at, raw))
}

/// A place in a list, counted from the end if negative.
fn index(length: usize, at: i64) -> Result<usize> {
    let found = if at < 0 { at + length as i64 } else { at };
    usize::try_from(found).ok().filter(|found| *found < length).ok_or_else(|| Error::new(format!("{at}: out of range")))
}

/// Where a slice ends, clamped.
fn cut(length: usize, at: i64) -> usize {
    let length = length as i64;
    (if at < 0 { at + length } else { at }).clamp(0, length) as usize
}

fn split(text: &str, at: i64) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (head, tail) = chars.split_at(cut(chars.len(), at));
    (head.iter().collect(), tail.iter().collect())
}

fn truthy(value: &Json) -> bool {
    match value {
        Json::Bool(value) => *value,
        Json::Number(text) => text != "0",
        _ => false,
    }
}

fn bad_bit() -> Error {
    Error::new("bit: 0 to 7")
}
