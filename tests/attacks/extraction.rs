//! Extraction of the credential from arbitrary header and cookie lines.

use std::sync::LazyLock;

use clerk_auth::Request;
use clerk_auth::internals::{Credential, ExtractOptions, extract, publishable_key};
use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::common::{Fixture, bearer, word};
use super::{HEADER, for_all, payload, pinned, signed};

/// Two valid tokens of different users.
static TOKENS: LazyLock<[String; 2]> =
    LazyLock::new(|| ["user_1", "user_2"].map(|user| signed("k1", HEADER, &payload("").replace("user_1", user))));

/// Header and cookie lines of arbitrary bytes, or of fragments that parsers of them treat specially.
fn lines() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    let pieces: Vec<&'static [u8]> = vec![
        b"Bearer ",
        b"bearer\t",
        b"Bearer",
        b"Basic ",
        b" ",
        b"\t",
        b"__session",
        b"__session=",
        b"__session_",
        b"__session_1Z8AzTQD=",
        b"__session_zzzzzzzz=",
        b"__client_uat=",
        b"__client_uat_1Z8AzTQD=0",
        b"=",
        b";",
        b"; ",
        b",",
        b"\"",
        b"\\",
        b"a",
        b".",
        b"..",
        b"%3D",
        b"x={\"a\":1}",
        b"p=\"",
        b"q=\"; ",
        b"$Version=1",
        b"\r\n",
        b"\0",
        b"\xff\xfe",
        b"5",
        b"-1",
        b"99999999999999999999",
    ];
    let piece = prop_oneof![
        6 => proptest::sample::select(pieces).prop_map(<[u8]>::to_vec),
        3 => (0..2_usize).prop_map(|n| TOKENS[n].clone().into_bytes()),
        1 => vec(any::<u8>(), 0..12),
        1 => (0..700_usize, any::<u8>()).prop_map(|(at, byte)| {
            let mut token = TOKENS[0].clone().into_bytes();
            let at = at % token.len();
            token[at] = byte;
            token
        }),
    ];
    let line = prop_oneof![
        4 => vec(piece, 0..8).prop_map(|pieces| pieces.concat()),
        1 => vec(any::<u8>(), 0..200),
    ];
    vec((any::<bool>(), line), 0..4)
}

fn request(lines: &[(bool, Vec<u8>)]) -> Request<'_> {
    let mut request = Request::new();
    for (is_header, line) in lines {
        request.header(if *is_header { b"AuthoriZation" } else { b"cookie" }, line);
    }
    request
}

fn options(key: Option<&str>, check_client_uat: bool, allow_bare_token: bool) -> ExtractOptions {
    let instance = key.and_then(publishable_key::parse);
    ExtractOptions {
        instance,
        check_client_uat,
        allow_bare_token,
        require_suffixed_cookie: false,
        ignore_cookies: false,
    }
}

fn is_slice_of(credential: &Credential<'_>, lines: &[(bool, Vec<u8>)]) -> bool {
    let token = credential.token.as_ptr_range();
    lines.iter().any(|(_, line)| {
        let line = line.as_ptr_range();
        line.start <= token.start && token.end <= line.end
    })
}

// Threat S1.
#[test]
fn credential_is_a_slice_of_a_header_or_cookie_line() {
    let key = Some("pk_live_Y2xlcmsuY2xlcmsuZGV2JA");
    let all_options =
        [options(None, false, false), options(key, false, true), options(None, true, true), options(key, true, false)];
    for_all(12_000, lines(), |lines| {
        for options in &all_options {
            if let Ok(Some(credential)) = extract(&request(&lines), options, 1_800_000_000) {
                assert!(is_slice_of(&credential, &lines));
                assert!(!credential.token.is_empty());
            }
        }
    });
}

// Threat S1; guarantee 1.
#[test]
fn verified_bytes_are_the_hashed_bytes() {
    let fixture = pinned();
    let options = options(None, false, false);
    for_all(1500, lines(), |lines| {
        let request = request(&lines);
        let found = extract(&request, &options, 1_800_000_000);
        for _ in 0..2 {
            let answer = fixture.client.authenticate(&request);
            let hashes = fixture.event_log.take_hashes();
            match &found {
                Ok(Some(credential)) => {
                    assert!(!hashes.is_empty());
                    assert!(hashes.iter().all(|hash| hash.as_bytes()[..] == Sha256::digest(credential.token)[..]));
                }
                _ => assert!(hashes.is_empty() && answer.identity().is_none()),
            }
            if let Some(identity) = answer.identity() {
                let token = found.unwrap().unwrap().token;
                let owner = ["user_1", "user_2"].into_iter().zip(&*TOKENS).find(|(_, own)| own.as_bytes() == token);
                assert_eq!(owner.map(|(user, _)| user), Some(identity.subject()));
            }
        }
    });
    // No fragment has become a cache key of a valid result.
    for piece in ["K", "a", "__session", "5", "x", TOKENS[0].split('.').next().unwrap()] {
        assert_eq!(fixture.ask(piece), "out token-invalid");
    }
}

// Threat S1.
#[test]
fn ambiguous_cookie_lines_do_not_poison_the_cache() {
    let fixture = pinned();
    let victim = &TOKENS[0];
    // First or last, quoted or not: parsers differ in which of the two cookies they take.
    for line in [
        format!("p=\"; __session_z=K; q=\"; __session={victim}"),
        format!("__session=K; __session={victim}"),
        format!("__session=\"K; __session={victim}\""),
        format!("__session={victim}; __session=K"),
        format!("__session=K, __session={victim}"),
        format!("__session=K%3B __session={victim}"),
    ] {
        super::common::cookies(&fixture.client, &[&line]);
        super::common::cookies(&fixture.client, &["__session=K", &line]);
        for planted in ["K", "\"K", "K,"] {
            let answer = bearer(&fixture.client, planted);
            assert!(answer.identity().is_none(), "{line} {planted}");
        }
        assert_eq!(super::common::cookies(&fixture.client, &["__session=K"]), "out token-invalid", "{line}");
    }
}

#[test]
fn header_names_are_case_insensitive_and_exact() {
    let fixture = pinned();
    let value = format!("Bearer {}", TOKENS[0]);
    let ask = |fixture: &Fixture, name: &[u8]| {
        let mut request = Request::new();
        request.header(name, value.as_bytes());
        word(&fixture.client.authenticate(&request)).split(' ').next().unwrap().to_owned()
    };
    for name in ["authorization", "AUTHORIZATION", "Authorization"] {
        assert_eq!(ask(&fixture, name.as_bytes()), "in");
    }
    for_all(1000, vec(any::<u8>(), 0..20), |name| {
        if !name.eq_ignore_ascii_case(b"authorization") {
            assert_eq!(ask(&fixture, &name), "none");
        }
    });
    for name in ["Proxy-Authorization", "X-Authorization", "Authorization ", "authorization\0", "HTTP_AUTHORIZATION"] {
        assert_eq!(ask(&fixture, name.as_bytes()), "none", "{name}");
    }
}
