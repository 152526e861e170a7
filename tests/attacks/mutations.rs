//! Mutations and re-encodings of a signed token are rejected.

use std::collections::HashSet;

use clerk_auth::Request;
use clerk_sim::encoding::{b64u, from_b64u};
use proptest::prelude::*;

use super::common::{Fixture, word};
use super::{HEADER, for_all, payload, pinned, signed};

/// A token whose three parts all end in an incomplete base64 group.
fn token() -> String {
    let token = signed("k1", &HEADER.replace("JWT", "jwt"), &payload(r#","x":"y""#));
    assert!(token.split('.').all(|part| part.len() % 4 != 0), "{token}");
    token
}

/// Sends the bytes as a header line.
fn ask(fixture: &Fixture, token: &[u8]) -> String {
    let line = [b"Bearer ", token].concat();
    let mut request = Request::new();
    request.header(b"Authorization", &line);
    word(&fixture.client.authenticate(&request))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Returns the strings that a lenient base64 decoder takes for the same bytes.
fn reencodings(token: &str) -> Vec<String> {
    let parts: Vec<&str> = token.split('.').collect();
    let mut found = Vec::new();
    let mut with = |at: usize, part: String| {
        let mut parts: Vec<&str> = parts.clone();
        parts[at] = &part;
        found.push(parts.join("."));
    };
    for (at, part) in parts.iter().enumerate() {
        for blank in ["=", "==", "===", "====", "\n", "\r\n", " ", "\t", "\0", "%3D", "\u{b}"] {
            with(at, format!("{part}{blank}"));
            with(at, format!("{blank}{part}"));
            with(at, format!("{}{blank}{}", &part[..8], &part[8..]));
        }
        with(at, part.replace('-', "+").replace('_', "/"));
        with(at, part.replace('-', "%2D"));
        let last = ALPHABET.iter().position(|c| *c == *part.as_bytes().last().unwrap()).unwrap();
        let spare = if part.len() % 4 == 2 { 16 } else { 4 };
        for bits in 1..spare {
            with(at, format!("{}{}", &part[..part.len() - 1], char::from(ALPHABET[last | bits])));
        }
    }
    found.extend([token.replace('.', "%2E"), token.replace('.', ". "), format!("{token}."), format!(".{token}")]);
    found.retain(|other| other != token);
    let distinct: HashSet<String> = found.into_iter().collect();
    distinct.into_iter().collect()
}

// Threat U1; guarantee 6.
#[test]
fn token_has_exactly_one_accepted_encoding() {
    let fixture = pinned();
    let token = token();
    let mut encodings = reencodings(&token);
    encodings.push(token.clone());
    assert!(encodings.len() > 100, "{}", encodings.len());
    let accepted: Vec<&String> =
        encodings.iter().filter(|s| fixture.client.verify_token(s).identity().is_some()).collect();
    assert_eq!(accepted, [&token]);
    // Only spaces and tabs around the header value are stripped.
    let differs_by_blanks = |encoding: &str| encoding.trim_matches([' ', '\t']) == token;
    for encoding in encodings.iter().filter(|encoding| !differs_by_blanks(encoding)) {
        assert!(ask(&fixture, encoding.as_bytes()).starts_with("out "), "{encoding:?}");
        let line = format!("__session={encoding}");
        let outcome = super::common::cookies(&fixture.client, &[&line]);
        assert!(!outcome.starts_with("in "), "{encoding:?}");
    }
    assert!(ask(&fixture, token.as_bytes()).starts_with("in "));
    assert_eq!(fixture.client.stats().cached_tokens, 1);
}

#[derive(Clone, Debug)]
enum Change {
    Flip(usize, u8),
    Replace(usize, u8),
    Insert(usize, u8),
    Delete(usize, usize),
    Repeat(usize, usize),
    Swap(usize, usize),
    Cut(usize),
    Parts([usize; 3]),
    Splice(usize),
    Bytes(usize, usize, u8),
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (any::<usize>(), proptest::sample::select(ALPHABET.to_vec())).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        (any::<usize>(), proptest::sample::select(b"=.AZaz09-_".to_vec())).prop_map(|(at, b)| Change::Insert(at, b)),
        (any::<usize>(), 1..9_usize).prop_map(|(at, n)| Change::Delete(at, n)),
        (any::<usize>(), 1..9_usize).prop_map(|(at, n)| Change::Repeat(at, n)),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Change::Swap(a, b)),
        any::<usize>().prop_map(Change::Cut),
        [0..3_usize, 0..3, 0..3].prop_map(Change::Parts),
        (0..3_usize).prop_map(Change::Splice),
        (0..3_usize, any::<usize>(), 0..8_u8).prop_map(|(part, at, bit)| Change::Bytes(part, at, bit)),
    ]
}

fn changed(token: &[u8], other: &str, change: &Change) -> Vec<u8> {
    let mut bytes = token.to_vec();
    let len = bytes.len();
    if len == 0 {
        return bytes;
    }
    let parts: Vec<&[u8]> = token.split(|b| *b == b'.').collect();
    match *change {
        Change::Flip(at, bit) => bytes[at % len] ^= 1 << bit,
        Change::Replace(at, byte) => bytes[at % len] = byte,
        Change::Insert(at, byte) => bytes.insert(at % (len + 1), byte),
        Change::Delete(at, count) => drop(bytes.drain(at % len..(at % len + count).min(len))),
        Change::Repeat(at, count) => {
            let piece = bytes[at % len..(at % len + count).min(len)].to_vec();
            bytes.splice(at % len..at % len, piece);
        }
        Change::Swap(a, b) => bytes.swap(a % len, b % len),
        Change::Cut(at) => bytes.truncate(1 + at % len),
        Change::Parts([a, b, c]) if parts.len() == 3 => bytes = [parts[a], parts[b], parts[c]].join(&b'.'),
        Change::Splice(at) if parts.len() == 3 => {
            // The same part of another valid token.
            let mut parts = parts;
            parts[at] = other.split('.').nth(at).unwrap().as_bytes();
            return parts.join(&b'.');
        }
        Change::Bytes(part, at, bit) if parts.len() == 3 => {
            // A flipped bit of the decoded part.
            let mut raw = from_b64u(std::str::from_utf8(parts[part]).unwrap_or_default()).unwrap_or_default();
            if raw.is_empty() {
                return bytes;
            }
            let at = at % raw.len();
            raw[at] ^= 1 << bit;
            let encoded = b64u(&raw);
            let mut parts = parts;
            parts[part] = encoded.as_bytes();
            return parts.join(&b'.');
        }
        _ => {}
    }
    bytes
}

// Threat U1.
#[test]
fn mutated_token_is_rejected() {
    let fixture = pinned();
    let token = token();
    let other = signed("k1", HEADER, &payload(r#","z":1"#));
    for_all(6000, proptest::collection::vec(changes(), 1..4), |list| {
        let bytes = list.iter().fold(token.clone().into_bytes(), |bytes, change| changed(&bytes, &other, change));
        let Ok(candidate) = std::str::from_utf8(&bytes) else {
            return assert!(ask(&fixture, &bytes).starts_with("out "));
        };
        let is_signed = |candidate: &str| candidate == token || candidate == other;
        assert_eq!(fixture.client.verify_token(candidate).identity().is_some(), is_signed(candidate));
        // Spaces and tabs around a header value are not part of it.
        assert_eq!(ask(&fixture, &bytes).starts_with("in "), is_signed(candidate.trim_matches([' ', '\t'])));
    });
}
