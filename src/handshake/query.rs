//! Queries: reads, skips and encodes parameters. Allocates nothing but the value that is asked for: an unauthenticated client
//! chooses the length of a query.

use std::borrow::Cow;

/// Splits a target, or the end of a URL, into path and query; the query is `None` without a question mark.
pub fn split(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

/// Longer values are no value of Clerk.
const MAX_VALUE_LEN: usize = 16 * 1024;
/// In place of a value that is too long or not UTF-8: no token, nonce or URL has it.
const INVALID: &str = "\u{fffd}";

/// A value of a query or of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// As `application/x-www-form-urlencoded` has it.
    Encoded(&'a [u8]),
    /// As it is.
    Plain(&'a [u8]),
}

impl<'a> Value<'a> {
    /// Returns the decoded bytes.
    pub fn bytes(self) -> Decoded<'a> {
        match self {
            Value::Encoded(rest) => Decoded { rest, is_encoded: true },
            Value::Plain(rest) => Decoded { rest, is_encoded: false },
        }
    }

    /// Returns whether the value is empty.
    pub fn is_empty(self) -> bool {
        self.bytes().next().is_none()
    }

    /// Returns the value; one that is too long or not UTF-8 is replaced.
    pub fn to_str(self) -> Cow<'a, str> {
        let (Value::Encoded(raw) | Value::Plain(raw)) = self;
        let len = self.bytes().count();
        let is_verbatim = matches!(self, Value::Plain(_)) || !raw.iter().any(|b| matches!(b, b'%' | b'+'));
        match std::str::from_utf8(raw) {
            _ if len > MAX_VALUE_LEN => Cow::Borrowed(INVALID),
            Ok(value) if is_verbatim => Cow::Borrowed(value),
            Err(_) if is_verbatim => Cow::Borrowed(INVALID),
            _ => {
                let mut bytes = Vec::with_capacity(len);
                bytes.extend(self.bytes());
                String::from_utf8(bytes).map_or(Cow::Borrowed(INVALID), Cow::Owned)
            }
        }
    }
}

/// The bytes of a value. A percent sign that no two hexadecimal digits follow stays.
#[derive(Clone, Debug)]
pub struct Decoded<'a> {
    rest: &'a [u8],
    is_encoded: bool,
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        let hex = |b: &u8| char::from(*b).to_digit(16);
        match (first, rest) {
            (b'%', [high, low, rest @ ..]) if self.is_encoded => {
                let (Some(high), Some(low)) = (hex(high), hex(low)) else { return Some(b'%') };
                self.rest = rest;
                Some((high * 16 + low) as u8)
            }
            (b'+', _) if self.is_encoded => Some(b' '),
            _ => Some(*first),
        }
    }
}

fn pairs(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|b| *b == b'&')
}

fn name_and_value(pair: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, b""),
    }
}

fn is_named(pair: &[u8], name: &str) -> bool {
    Value::Encoded(name_and_value(pair).0).bytes().eq(name.bytes())
}

/// Returns the value of the first parameter with this name; of a parameter without `=`, an empty one.
pub fn find<'a>(target: &'a [u8], name: &str) -> Option<Value<'a>> {
    let pair = pairs(split(target).1?).find(|pair| !pair.is_empty() && is_named(pair, name))?;
    Some(Value::Encoded(name_and_value(pair).1))
}

/// Returns whether a target has one of these parameters.
pub fn has_any(target: &[u8], names: &[&str]) -> bool {
    split(target).1.is_some_and(|query| pairs(query).any(|pair| names.iter().any(|name| is_named(pair, name))))
}

/// Returns the pieces of a target without these parameters; every other byte stays.
pub fn without<'a>(target: &'a [u8], names: &[&str]) -> impl Iterator<Item = &'a [u8]> {
    let (path, query) = split(target);
    let is_kept = move |pair: &&[u8]| !names.iter().any(|name| is_named(pair, name));
    let mut separator: &[u8] = b"?";
    let kept = query
        .into_iter()
        .flat_map(pairs)
        .filter(is_kept)
        .flat_map(move |pair| [std::mem::replace(&mut separator, b"&"), pair]);
    std::iter::once(path).chain(kept)
}

/// A URL that is built from pieces and has a maximum length.
#[derive(Debug)]
pub struct Url {
    text: String,
    max_len: usize,
    is_too_long: bool,
}

impl Url {
    /// Begins a URL of about `expected_len` bytes.
    pub fn new(start: &str, expected_len: usize, max_len: usize) -> Self {
        let text = String::with_capacity(expected_len.min(max_len));
        let mut url = Url { text, max_len, is_too_long: false };
        url.push(start);
        url
    }

    /// Appends a piece.
    pub fn push(&mut self, piece: &str) -> &mut Self {
        self.is_too_long |= self.text.len() + piece.len() > self.max_len;
        if !self.is_too_long {
            self.text.push_str(piece);
        }
        self
    }

    /// Appends bytes of a target, those that are not ASCII percent-encoded.
    pub fn push_target<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) -> &mut Self {
        self.push_bytes(pieces.into_iter().flatten().copied(), |b| b.is_ascii())
    }

    /// Appends a value as `application/x-www-form-urlencoded`.
    pub fn push_encoded(&mut self, value: impl IntoIterator<Item = u8>) -> &mut Self {
        let mut value = value.into_iter();
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'-' | b'.' | b'_');
        while !self.is_too_long {
            match value.next() {
                Some(b' ') => self.push("+"),
                Some(b) => self.push_bytes([b], is_plain),
                None => break,
            };
        }
        self
    }

    fn push_bytes(&mut self, bytes: impl IntoIterator<Item = u8>, is_plain: impl Fn(u8) -> bool) -> &mut Self {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        for byte in bytes {
            let len = if is_plain(byte) { 1 } else { 3 };
            if self.is_too_long || self.text.len() + len > self.max_len {
                self.is_too_long = true;
                break;
            }
            match len {
                1 => self.text.push(char::from(byte)),
                _ => {
                    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
                    self.text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
                }
            }
        }
        self
    }

    /// Appends a parameter to what has a query already, or else with a question mark.
    pub fn push_parameter(&mut self, name: &str, value: impl IntoIterator<Item = u8>) -> &mut Self {
        let separator = match self.text.split_once('?') {
            None => "?",
            Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
            Some(_) => "&",
        };
        self.push(separator).push(name).push("=").push_encoded(value)
    }

    /// Returns the URL, or `None` if it is too long.
    pub fn finish(self) -> Option<String> {
        (!self.is_too_long).then_some(self.text)
    }
}

/// Returns the pieces of a target with a parameter in place of the first with this name, or else at the end. `pair` is encoded.
pub fn set<'a>(target: &'a [u8], name: &'a str, pair: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let (path, query) = split(target);
    let is_present = has_any(target, &[name]);
    let mut is_set = false;
    let kept = query.into_iter().flat_map(pairs).filter(|pair| !pair.is_empty()).filter_map(move |other| {
        if !is_named(other, name) {
            return Some(other);
        }
        (!std::mem::replace(&mut is_set, true)).then_some(pair)
    });
    let mut separator: &[u8] = b"?";
    let all = kept.chain((!is_present).then_some(pair));
    std::iter::once(path).chain(all.flat_map(move |pair| [std::mem::replace(&mut separator, b"&"), pair]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> String {
        String::from_utf8(pieces.flatten().copied().collect()).unwrap()
    }

    #[test]
    fn parameter_is_found_by_its_decoded_name() {
        for (target, value) in [
            ("/a?x=1&x=2", Some("1")),
            ("/a?%78=b+c%2F", Some("b c/")),
            ("/a?x", Some("")),
            ("/a?&&x=%zz", Some("%zz")),
            ("/a?x=%4", Some("%4")),
            ("/a?x=%ff", Some(INVALID)),
            ("/a?y=x=1", None),
            ("/x=1", None),
        ] {
            let found = find(target.as_bytes(), "x").map(Value::to_str);
            assert_eq!(found.as_deref(), value, "{target}");
        }
    }

    #[test]
    fn value_is_replaced_if_it_is_too_long_or_no_string() {
        let long = "a".repeat(MAX_VALUE_LEN);
        assert_eq!(Value::Plain(long.as_bytes()).to_str(), long);
        assert_eq!(Value::Plain((long.clone() + "a").as_bytes()).to_str(), INVALID);
        assert_eq!(Value::Encoded((long.clone() + "%61").as_bytes()).to_str(), INVALID);
        assert_eq!(Value::Encoded((long + "a").as_bytes()).to_str(), INVALID);
        assert_eq!(Value::Plain(b"\xff").to_str(), INVALID);
        assert_eq!((Value::Plain(b"%61").to_str(), Value::Encoded(b"%61").to_str()), ("%61".into(), "a".into()));
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
            assert_eq!(joined(without(target.as_bytes(), &["x", "y"])), rest, "{target}");
            assert_eq!(has_any(target.as_bytes(), &["x", "y"]), target != rest, "{target}");
        }
    }

    #[test]
    fn parameter_is_set_in_place_and_appended_at_the_end() {
        let set = |target: &str| joined(set(target.as_bytes(), "x", b"x=t"));
        assert_eq!(set("/a?x=1&b=2&x=3"), "/a?x=t&b=2");
        assert_eq!(set("/a?b&"), "/a?b&x=t");
        assert_eq!(set("/a"), "/a?x=t");
        let append = |start: &str, value: &str| {
            let mut url = Url::new(start, 100, 100);
            url.push_parameter("x", value.bytes());
            url.finish().unwrap()
        };
        assert_eq!(append("/a", "/é"), "/a?x=%2F%C3%A9");
        assert_eq!(append("/a?", "~*"), "/a?x=%7E*");
        assert_eq!(append("/a?b", "a b"), "/a?b&x=a+b");
    }

    #[test]
    fn url_that_is_too_long_is_none() {
        let build = |value: &str| {
            let mut url = Url::new("/", 8, 8);
            url.push_parameter("x", value.bytes());
            url.push("");
            url.finish()
        };
        assert_eq!(build("abcd").as_deref(), Some("/?x=abcd"));
        assert_eq!((build("abcde"), build("ab/"), build("abcd abcd")), (None, None, None));
        assert_eq!(Url::new("123456789", 8, 8).finish(), None);
        let mut url = Url::new("/", 0, 4);
        url.push_target([&b"\xe9"[..]]);
        assert_eq!(url.finish().as_deref(), Some("/%E9"));
    }
}
