//! Oversized and deeply nested input is rejected at little cost.

use clerk_auth::Request;
use clerk_auth::TokenKind;
use clerk_auth::internals::{Claims, ClerkUser, Decoded, KeySet, MAX_TOKEN_LEN, UnverifiedJwt, decode_unverified};
use clerk_sim::encoding::b64u;

use super::allocated::bytes_allocated;
use super::common::{timed, word};
use super::{HEADER, payload, pinned, signed};

/// The bytes that one request may allocate.
const MAX_ALLOCATED: usize = 64 * 1024;

// Threat A9; guarantee 8.
#[test]
fn sixteen_megabytes_of_dots_are_rejected_without_allocation() {
    let fixture = pinned();
    let dots = ".".repeat(16 << 20);
    let lines = [
        ("Authorization", format!("Bearer {dots}")),
        ("Authorization", format!("Bearer a.b.c{dots}")),
        ("Cookie", format!("__session={dots}")),
        ("Cookie", format!("a=b; __session=a{dots}; c={dots}")),
    ];
    for (name, line) in &lines {
        let mut request = Request::new();
        request.header(name.as_bytes(), line.as_bytes());
        let mut outcome = String::new();
        let (allocated, took) = timed(|| bytes_allocated(|| outcome = word(&fixture.client.authenticate(&request))));
        assert_eq!(outcome, "out token-invalid");
        assert!(allocated < 4096, "{name} allocated {allocated} bytes");
        assert!(took.as_secs() < 5, "{name} took {took:?}");
    }
    for token in [dots.as_str(), &dots[..MAX_TOKEN_LEN]] {
        let allocated = bytes_allocated(|| {
            assert!(
                UnverifiedJwt::parse(token, &mut Decoded::default()).is_err() && decode_unverified(token).is_none()
            );
        });
        assert!(allocated < 1024, "allocated {allocated} bytes");
    }
}

// Threat A9.
#[test]
fn oversized_cookie_lines_are_rejected() {
    let fixture = pinned();
    let token = signed("k1", HEADER, &payload(""));
    let line = format!("{}__session={token}", "; ".repeat(40_000));
    let many: Vec<String> = (0..200).map(|n| format!("c{n}={}", "x".repeat(400))).collect();
    for lines in [vec![line], many] {
        let mut request = Request::new();
        for line in &lines {
            request.header(b"Cookie", line.as_bytes());
        }
        assert_eq!(word(&fixture.client.authenticate(&request)), "out token-invalid");
    }
}

// Threat A2.
#[test]
fn token_of_maximum_length_uses_bounded_memory() {
    let fixture = pinned();
    let fill = |unit: &str, open: &str, close: &str, length: usize| {
        format!("{open}{}{close}", unit.repeat((length - open.len() - close.len()) / unit.len()))
    };
    let capacity = MAX_TOKEN_LEN * 3 / 4 - 600;
    let payloads = [
        fill("x", r#"{"sub":"user_1","x":""#, r#""}"#, capacity),
        fill(r#""a":1,"#, r#"{"sub":"user_1","#, r#""b":1}"#, capacity),
        fill("1,", r#"{"sub":"user_1","aud":["#, "1]}", capacity),
        fill(r#""a","#, r#"{"sub":"user_1","aud":["#, r#""b"]}"#, capacity),
        fill("9", r#"{"v":2,"o":{"id":"org_1","per":"a,b,c","fpm":""#, r#""},"fea":"o:x"}"#, capacity),
        fill("o:a,", r#"{"v":2,"o":{"id":"org_1","per":"a","fpm":"1"},"fea":""#, r#"o:b"}"#, capacity),
        fill(r"\u0061", r#"{"sub":""#, r#""}"#, capacity),
    ];
    for payload in payloads {
        let token = signed("k1", HEADER, &payload);
        assert!(token.len() <= MAX_TOKEN_LEN);
        let line = format!("Bearer {token}");
        let mut request = Request::new();
        request.header(b"Authorization", line.as_bytes());
        let mut outcome = String::new();
        let allocated = bytes_allocated(|| outcome = word(&fixture.client.authenticate(&request)));
        assert!(outcome.starts_with("out "), "{outcome}");
        assert!(allocated <= MAX_ALLOCATED, "{} allocated {allocated} bytes", &payload[..40]);
    }
}

/// Payloads of the maximum length, each the worst for one decoder.
fn costly_payloads() -> Vec<String> {
    let fill = |unit: &str, open: &str, close: &str| {
        let length = MAX_TOKEN_LEN * 3 / 4 - 600;
        format!("{open}{}{close}", unit.repeat((length - open.len() - close.len()) / unit.len()))
    };
    let distinct: Vec<String> = (0..1300).map(|n| format!(r#""{n}":0"#)).collect();
    vec![
        format!(
            r#"{{"v":2,"sub":"user_1","fea":"o:a","o":{{"id":"o","per":"{}","fpm":"{}"}}}}"#,
            ",".repeat(7500),
            "9".repeat(4090)
        ),
        format!(
            r#"{{"v":2,"sub":"user_1","fea":"{}","o":{{"id":"o","per":"{}","fpm":"{}"}}}}"#,
            "o:a,".repeat(1200),
            "x,".repeat(1500),
            "9,".repeat(1200)
        ),
        format!(r#"{{"sub":"user_1",{}}}"#, distinct.join(",")),
        fill("0,", r#"{"sub":"user_1","aud":["#, "0]}"),
        fill(r#""","#, r#"{"sub":"user_1","scp":["#, r#"""]}"#),
        fill(r#""a","#, r#"{"sub":"user_1","org_permissions":["#, r#""b"]}"#),
        fill("[],", r#"{"sub":"user_1","x":["#, "[]]}"),
        fill("{},", r#"{"sub":"user_1","fva":["#, "{}]}"),
        fill("0,", r#"{"sub":"user_1","iss":["#, "0]}"),
        fill(
            r"
",
            r#"{"sub":"user_1","fea":""#,
            r#""}"#,
        ),
        fill(
            r"
",
            r#"{"sub":""#,
            r#""}"#,
        ),
        fill("9", r#"{"sub":"user_1","exp":"#, "}"),
        fill(r#""sub":"user_1","#, "{", r#""sub":"user_1"}"#),
        fill(r#"{"a":"#, "", ""),
        fill(" ", "{", "}"),
    ]
}

// Promise 8: nothing but structure, type and key id is computed before the signature is verified.
#[test]
fn forged_token_costs_little_before_its_signature_is_checked() {
    let fixture = pinned();
    for payload in costly_payloads() {
        let token = format!("{}.{}.{}", b64u(HEADER.as_bytes()), b64u(payload.as_bytes()), "A".repeat(342));
        assert!(token.len() <= MAX_TOKEN_LEN, "{}", token.len());
        let bearer = format!("Bearer {token}");
        let two_cookies = format!("__session={token}; __session_x={token}");
        for (name, line) in [("Authorization", &bearer), ("Cookie", &two_cookies)] {
            let mut request = Request::new();
            request.header(name.as_bytes(), line.as_bytes());
            let shown = &payload[..40.min(payload.len())];
            // The least of several: the machine may be busy.
            let (allocated, took) = (0..5)
                .map(|_| {
                    let mut rejected = None;
                    let cost = timed(|| bytes_allocated(|| rejected = fixture.client.authenticate_cached(&request)));
                    assert!(word(&rejected.unwrap()).starts_with("out token-invalid"), "{shown}");
                    cost
                })
                .min_by_key(|(_, took)| *took)
                .unwrap();
            assert!(allocated <= MAX_ALLOCATED, "{name} {shown} allocated {allocated} bytes");
            // Unoptimized: some hundred microseconds; the permissions alone took 15 ms optimized.
            assert!(took.as_millis() < 20, "{name} {shown} took {took:?}");
        }
    }
}

#[test]
fn signed_token_with_costly_claims_uses_bounded_memory() {
    let fixture = pinned();
    for payload in costly_payloads() {
        // Without `exp`: rejected, but after the signature.
        let token = signed("k1", HEADER, &payload);
        let mut outcome = String::new();
        let allocated = bytes_allocated(|| outcome = fixture.ask(&token));
        assert!(outcome.starts_with("out "), "{outcome}");
        assert!(allocated <= 2 * MAX_ALLOCATED, "{} allocated {allocated} bytes", &payload[..40.min(payload.len())]);
    }
}

#[test]
fn jwks_of_a_million_items_uses_bounded_memory() {
    let fill =
        |unit: &str, open: &str, close: &str| format!("{open}{}{close}", unit.repeat((1 << 20) / unit.len() - 40));
    for json in [
        fill("0,", r#"{"keys":["#, "0]}"),
        fill("[],", r#"{"keys":["#, "0]}"),
        fill("{},", r#"{"keys":["#, "0]}"),
        fill("0,", r#"{"x":["#, r#"0],"keys":[]}"#),
        fill("0,", r#"{"keys":[{"x5c":["#, "0]}]}"),
        fill(r#""a","#, r#"{"keys":[{"key_ops":["#, r#""b"]}]}"#),
        fill(r#"{"d":0},"#, r#"{"keys":["#, "0]}"),
    ] {
        assert!(json.len() <= 1 << 20);
        let allocated = bytes_allocated(|| assert!(KeySet::parse(json.as_bytes()).is_none()));
        assert!(allocated <= MAX_ALLOCATED, "{} allocated {allocated} bytes", &json[..30]);
    }
}

// Threat A9.
#[test]
fn token_over_maximum_length_is_rejected() {
    let fixture = pinned();
    let of_length = |length: usize| {
        let fixed = signed("k1", HEADER, &payload(r#","x":"""#)).len();
        let fill = "y".repeat((length - fixed) / 4 * 3);
        signed("k1", HEADER, &payload(&format!(r#","x":"{fill}""#)))
    };
    let (longest, longer) = (of_length(MAX_TOKEN_LEN), of_length(MAX_TOKEN_LEN + 4));
    assert!(MAX_TOKEN_LEN - 4 < longest.len() && longest.len() <= MAX_TOKEN_LEN && longer.len() > MAX_TOKEN_LEN);
    assert_eq!([fixture.ask(&longest), fixture.ask(&longer)], ["in verified", "out token-invalid"]);
    let verified = [&longest, &longer].map(|token| word(&fixture.client.verify_token(token)));
    assert_eq!(verified, ["in verified", "out token-invalid"]);
}

// Threat A2.
#[test]
fn jwe_and_compressed_tokens_are_rejected_before_decoding() {
    let fixture = pinned();
    let body = b64u(&[7; 6000]);
    let jwe = format!("{}.{body}.AAAA.{body}.AAAA", b64u(br#"{"alg":"RSA-OAEP","enc":"A128GCM","zip":"DEF"}"#));
    let deflated = signed("k1", &HEADER.replace('}', r#","zip":"DEF"}"#), &payload(""));
    let nested = signed("k1", &HEADER.replace('}', r#","cty":"JWT"}"#), &payload(""));
    for token in [jwe, deflated, nested, "a.b".into(), "a.b.c.d".into(), "....".into()] {
        let allocated = bytes_allocated(|| assert_eq!(fixture.ask(&token), "out token-invalid"));
        assert!(allocated < MAX_ALLOCATED, "allocated {allocated} bytes");
    }
}

// Threat A10.
#[test]
fn deep_nesting_is_rejected_on_a_small_stack() {
    let nested = |depth: usize, (open, close): (&str, &str)| format!("{}{}", open.repeat(depth), close.repeat(depth));
    let work = move || {
        for pair in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]"), ("[", ""), ("{\"a\":", "")] {
            for depth in [60, 126, 127, 128, 129, 1000, 100_000] {
                let deep = nested(depth, pair);
                for json in [
                    deep.clone(),
                    format!(r#"{{"alg":"RS256","x":{deep}}}"#),
                    format!(r#"{{"aud":{deep}}}"#),
                    format!(r#"{{"o":{deep}}}"#),
                    format!(r#"{{"keys":[{deep}]}}"#),
                    format!(r#"{{"id":"user_1","email_addresses":{deep},"public_metadata":{deep}}}"#),
                ] {
                    let _ = Claims::parse(TokenKind::SessionToken, json.as_bytes());
                    let _ = KeySet::parse(json.as_bytes());
                    let _ = ClerkUser::parse(json.as_bytes());
                    let short = &json[..json.len().min(MAX_TOKEN_LEN / 2)];
                    for token in [
                        format!("{}.e30.AAAA", b64u(short.as_bytes())),
                        format!("{}.{}.AAAA", b64u(HEADER.as_bytes()), b64u(short.as_bytes())),
                    ] {
                        let _ = decode_unverified(&token);
                        let rejected = UnverifiedJwt::parse(&token, &mut Decoded::default()).is_err();
                        assert!(rejected || depth < 128, "{depth}");
                    }
                }
            }
        }
    };
    // Unoptimized code needs several times the stack.
    let stack = if cfg!(debug_assertions) { 384 } else { 128 } * 1024;
    std::thread::Builder::new().stack_size(stack).spawn(work).unwrap().join().unwrap();
}
