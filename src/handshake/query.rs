//! Queries: reads and removes parameters without changing the bytes of the others, and encodes new ones.

use std::borrow::Cow;

/// Splits a target, or the end of a URL, into path and query; the query is `None` without a question mark.
pub fn split(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

/// Returns the decoded value of the first parameter with this name; of a parameter without `=`, an empty string.
pub fn find(target: &str, name: &str) -> Option<String> {
    let query = split(target).1?;
    query.split('&').filter(|pair| !pair.is_empty()).find(|pair| is_named(pair, name)).map(|pair| {
        let value = pair.split_once('=').map_or("", |(_, value)| value);
        String::from_utf8_lossy(&decode(value)).into_owned()
    })
}

fn is_named(pair: &str, name: &str) -> bool {
    let given = pair.split_once('=').map_or(pair, |(name, _)| name);
    *decode(given) == *name.as_bytes()
}

/// Removes parameters; every other byte stays.
pub fn without<'a>(target: &'a str, names: &[&str]) -> Cow<'a, str> {
    let (path, Some(query)) = split(target) else { return Cow::Borrowed(target) };
    let is_removed = |pair: &&str| names.iter().any(|name| is_named(pair, name));
    if !query.split('&').any(|pair| is_removed(&pair)) {
        return Cow::Borrowed(target);
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_removed(pair)).collect();
    match kept.is_empty() {
        true => Cow::Borrowed(path),
        false => Cow::Owned(format!("{path}?{}", kept.join("&"))),
    }
}

/// Sets a parameter in place of the first with this name, or else at the end. `value` is encoded.
pub fn set(target: &str, name: &str, value: &str) -> String {
    let pair = format!("{name}={}", encode(value.as_bytes()));
    let (path, query) = split(target);
    let mut pairs: Vec<&str> = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
    match pairs.iter().position(|other| is_named(other, name)) {
        Some(at) => {
            let mut index = 0;
            pairs.retain(|other| {
                index += 1;
                index == at + 1 || !is_named(other, name)
            });
            pairs[at] = &pair;
        }
        None => pairs.push(&pair),
    }
    format!("{path}?{}", pairs.join("&"))
}

/// Appends a parameter. `value` is encoded.
pub fn append(target: &str, name: &str, value: &str) -> String {
    let separator = match split(target).1 {
        None => "?",
        Some("") => "",
        Some(query) if query.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{target}{separator}{name}={}", encode(value.as_bytes()))
}

/// Decodes `application/x-www-form-urlencoded`. A percent sign that no two hexadecimal digits follow stays.
fn decode(text: &str) -> Cow<'_, [u8]> {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return Cow::Borrowed(text.as_bytes());
    }
    let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => decoded.push(b' '),
            (byte, ..) => decoded.push(*byte),
        }
        at += 1;
    }
    Cow::Owned(decoded)
}

/// Encodes as `application/x-www-form-urlencoded`.
pub fn encode(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len() * 3 / 2);
    for byte in bytes {
        match byte {
            b' ' => encoded.push('+'),
            b if b.is_ascii_alphanumeric() || matches!(b, b'*' | b'-' | b'.' | b'_') => encoded.push(char::from(*b)),
            b => push_percent(&mut encoded, *b),
        }
    }
    encoded
}

/// Appends a percent-encoded byte.
pub fn push_percent(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    text.push(char::from(DIGITS[usize::from(byte >> 4)]));
    text.push(char::from(DIGITS[usize::from(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_is_found_by_its_decoded_name() {
        for (target, value) in [
            ("/a?x=1&x=2", Some("1")),
            ("/a?%78=b+c%2F", Some("b c/")),
            ("/a?x", Some("")),
            ("/a?&&x=%zz", Some("%zz")),
            ("/a?y=x=1", None),
            ("/x=1", None),
        ] {
            assert_eq!(find(target, "x").as_deref(), value, "{target}");
        }
    }

    #[test]
    fn removal_leaves_every_other_byte() {
        for (target, rest) in [
            ("/a?b=%20~&x=1&c&&d=%zz", "/a?b=%20~&c&&d=%zz"),
            ("/a?x=1", "/a"),
            ("/a?%78=1&b", "/a?b"),
            ("/a?", "/a?"),
            ("/a?x1=1", "/a?x1=1"),
            ("/a", "/a"),
        ] {
            assert_eq!(without(target, &["x", "y"]), rest, "{target}");
        }
    }

    #[test]
    fn parameter_is_set_in_place_and_appended_at_the_end() {
        assert_eq!(set("/a?x=1&b=2&x=3", "x", "t"), "/a?x=t&b=2");
        assert_eq!(set("/a?b", "x", "a b"), "/a?b&x=a+b");
        assert_eq!(append("/a", "x", "/é"), "/a?x=%2F%C3%A9");
        assert_eq!(append("/a?", "x", "~*"), "/a?x=%7E*");
        assert_eq!(append("/a?b", "x", ""), "/a?b&x=");
    }
}
