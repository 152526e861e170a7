//! Too long, too deep, too many: refused at little cost.

use clerk_auth::Request;
use clerk_auth::api::ClerkUser;
use clerk_auth::jwt::{Claims, Unverified, peek};
use clerk_auth::keys::KeySet;
use clerk_auth::request::LONGEST_TOKEN;
use clerk_sim::encoding::b64u;

use super::allocated::bytes_asked_for;
use super::common::{timed, word};
use super::{HEADER, payload, pinned, signed};

/// What one request may ask of the allocator.
const MOST: usize = 64 * 1024;

#[test]
fn a9_req08_sixteen_megabytes_of_dots_are_refused_at_no_cost() {
    let rig = pinned();
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
        let (asked, took) = timed(|| bytes_asked_for(|| outcome = word(&rig.client.authenticate(&request))));
        assert_eq!(outcome, "out token-invalid");
        assert!(asked < 4096, "{name} asked for {asked} bytes");
        assert!(took.as_secs() < 5, "{name} took {took:?}");
    }
    for text in [dots.as_str(), &dots[..LONGEST_TOKEN]] {
        let asked = bytes_asked_for(|| assert!(Unverified::parse(text).is_err() && peek(text).is_none()));
        assert!(asked < 1024, "asked for {asked} bytes");
    }
}

#[test]
fn a9_cookie_lines_without_end_are_refused() {
    let rig = pinned();
    let token = signed("k1", HEADER, &payload(""));
    let line = format!("{}__session={token}", "; ".repeat(40_000));
    let many: Vec<String> = (0..200).map(|n| format!("c{n}={}", "x".repeat(400))).collect();
    for lines in [vec![line], many] {
        let mut request = Request::new();
        for line in &lines {
            request.header(b"Cookie", line.as_bytes());
        }
        assert_eq!(word(&rig.client.authenticate(&request)), "out token-invalid");
    }
}

#[test]
fn a2_the_longest_tokens_cost_little_whatever_they_hold() {
    let rig = pinned();
    let fill = |unit: &str, open: &str, close: &str, length: usize| {
        format!("{open}{}{close}", unit.repeat((length - open.len() - close.len()) / unit.len()))
    };
    let room = LONGEST_TOKEN * 3 / 4 - 600;
    let payloads = [
        fill("x", r#"{"sub":"user_1","x":""#, r#""}"#, room),
        fill(r#""a":1,"#, r#"{"sub":"user_1","#, r#""b":1}"#, room),
        fill("1,", r#"{"sub":"user_1","aud":["#, "1]}", room),
        fill(r#""a","#, r#"{"sub":"user_1","aud":["#, r#""b"]}"#, room),
        fill("9", r#"{"v":2,"o":{"id":"org_1","per":"a,b,c","fpm":""#, r#""},"fea":"o:x"}"#, room),
        fill("o:a,", r#"{"v":2,"o":{"id":"org_1","per":"a","fpm":"1"},"fea":""#, r#"o:b"}"#, room),
        fill(r"\u0061", r#"{"sub":""#, r#""}"#, room),
    ];
    for payload in payloads {
        let token = signed("k1", HEADER, &payload);
        assert!(token.len() <= LONGEST_TOKEN);
        let line = format!("Bearer {token}");
        let mut request = Request::new();
        request.header(b"Authorization", line.as_bytes());
        let mut outcome = String::new();
        let asked = bytes_asked_for(|| outcome = word(&rig.client.authenticate(&request)));
        assert!(outcome.starts_with("out "), "{outcome}");
        assert!(asked < 16 * MOST, "{} asked for {asked} bytes", &payload[..40]);
    }
}

#[test]
fn a9_a_token_of_the_longest_length_is_read_and_a_longer_one_is_not() {
    let rig = pinned();
    let of_length = |length: usize| {
        let fixed = signed("k1", HEADER, &payload(r#","x":"""#)).len();
        let fill = "y".repeat((length - fixed) / 4 * 3);
        signed("k1", HEADER, &payload(&format!(r#","x":"{fill}""#)))
    };
    let (longest, longer) = (of_length(LONGEST_TOKEN), of_length(LONGEST_TOKEN + 4));
    assert!(LONGEST_TOKEN - 4 < longest.len() && longest.len() <= LONGEST_TOKEN && longer.len() > LONGEST_TOKEN);
    assert_eq!([rig.ask(&longest), rig.ask(&longer)], ["in verified", "out token-invalid"]);
    let verified = [&longest, &longer].map(|token| word(&rig.client.verify_token(token)));
    assert_eq!(verified, ["in verified", "out token-invalid"]);
}

#[test]
fn a2_tokens_of_five_parts_and_compressed_ones_are_refused_before_they_are_opened() {
    let rig = pinned();
    let body = b64u(&[7; 6000]);
    let jwe = format!("{}.{body}.AAAA.{body}.AAAA", b64u(br#"{"alg":"RSA-OAEP","enc":"A128GCM","zip":"DEF"}"#));
    let deflated = signed("k1", &HEADER.replace('}', r#","zip":"DEF"}"#), &payload(""));
    let nested = signed("k1", &HEADER.replace('}', r#","cty":"JWT"}"#), &payload(""));
    for token in [jwe, deflated, nested, "a.b".into(), "a.b.c.d".into(), "....".into()] {
        let asked = bytes_asked_for(|| assert_eq!(rig.ask(&token), "out token-invalid"));
        assert!(asked < MOST, "asked for {asked} bytes");
    }
}

#[test]
fn a10_deep_nesting_is_refused_on_a_small_stack() {
    let nested = |depth: usize, (open, close): (&str, &str)| format!("{}{}", open.repeat(depth), close.repeat(depth));
    let work = move || {
        for pair in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]"), ("[", ""), ("{\"a\":", "")] {
            for depth in [60, 126, 127, 128, 129, 1000, 100_000] {
                let deep = nested(depth, pair);
                for text in [
                    deep.clone(),
                    format!(r#"{{"alg":"RS256","x":{deep}}}"#),
                    format!(r#"{{"aud":{deep}}}"#),
                    format!(r#"{{"o":{deep}}}"#),
                    format!(r#"{{"keys":[{deep}]}}"#),
                    format!(r#"{{"id":"user_1","email_addresses":{deep},"public_metadata":{deep}}}"#),
                ] {
                    let _ = Claims::parse(text.clone().into_bytes());
                    let _ = KeySet::parse(text.as_bytes());
                    let _ = ClerkUser::parse(text.as_bytes());
                    let short = &text[..text.len().min(LONGEST_TOKEN / 2)];
                    for token in [
                        format!("{}.e30.AAAA", b64u(short.as_bytes())),
                        format!("{}.{}.AAAA", b64u(HEADER.as_bytes()), b64u(short.as_bytes())),
                    ] {
                        let _ = peek(&token);
                        let refused = Unverified::parse(&token).is_err();
                        assert!(refused || depth < 128, "{depth}");
                    }
                }
            }
        }
    };
    // Without optimization the same functions need several times the stack.
    let stack = if cfg!(debug_assertions) { 384 } else { 128 } * 1024;
    std::thread::Builder::new().stack_size(stack).spawn(work).unwrap().join().unwrap();
}
