//! Shapes of input for which the cost or the reading of one decoder differs from that of the others.

use clerk_auth::internals::{ClerkUser, KeySet, MAX_TOKEN_LEN};
use clerk_auth::{Attribute, Request, WebhookHeaders, WebhookOutcome};
use clerk_sim::encoding::b64u;
use clerk_sim::webhook::WebhookSpec;
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Sim};
use serde_json::{Value, json};

use super::allocated::bytes_allocated;
use super::common::{Fixture, timed, word};
use super::{HEADER, pinned, signed};

/// The bytes that one request may allocate.
const MAX_ALLOCATED: usize = 64 * 1024;
/// Room in a token for a decoded part.
const MAX_PART: usize = MAX_TOKEN_LEN / 4 * 3 - 600;

/// Objects inside one another, each with this many members of short, different names in descending order.
fn nested_objects(members: usize, length: usize) -> String {
    let name = |n: usize| match char::from(b'#' + (n % 57) as u8) {
        '\\' => format!("!{n}"),
        c if n < 57 => c.to_string(),
        c => format!("{c}{}", n / 57),
    };
    let scalars: Vec<String> = (1..members).rev().map(|n| format!("\"{}\":0", name(n))).collect();
    let level = format!("{{{},\"z\":", scalars.join(","));
    let depth = (length / (level.len() + 1)).min(120);
    format!("{}0{}", level.repeat(depth), "}".repeat(depth))
}

#[test]
fn nested_objects_with_many_members_use_bounded_memory() {
    let fixture = pinned();
    for members in [2, 16, 17, 18, 33, 34, 65, 129, 256] {
        let nested = nested_objects(members, MAX_PART - 200);
        let payload = format!(r#"{{"sub":"user_1","x":{nested}}}"#);
        let header = HEADER.replace('}', &format!(r#","x":{nested}}}"#));
        let forged = |header: &str, payload: &str| {
            format!("{}.{}.{}", b64u(header.as_bytes()), b64u(payload.as_bytes()), "A".repeat(342))
        };
        for token in [forged(HEADER, &payload), forged(&header, "{}"), signed("k1", HEADER, &payload)] {
            assert!(token.len() <= MAX_TOKEN_LEN, "{}", token.len());
            for (name, line) in [("Authorization", format!("Bearer {token}")), ("Cookie", format!("__session={token}"))]
            {
                let mut request = Request::new();
                request.header(name.as_bytes(), line.as_bytes());
                let mut outcome = String::new();
                let allocated = bytes_allocated(|| outcome = word(&fixture.client.authenticate(&request)));
                assert!(outcome.starts_with("out "), "{outcome}");
                assert!(allocated <= MAX_ALLOCATED, "{members} members, {name}: allocated {allocated} bytes");
            }
        }
    }
}

#[test]
fn lists_of_a_forged_token_are_not_read() {
    let fixture = pinned();
    let list = format!("[{}\"\"]", "\"\",".repeat(511));
    let payload = format!(r#"{{"sub":"user_1","aud":{list},"scp":{list},"scopes":{list},"org_permissions":{list}}}"#);
    for typ in ["JWT", "at+jwt"] {
        let header = HEADER.replace(r#""JWT""#, &format!("{typ:?}"));
        let token = format!("{}.{}.{}", b64u(header.as_bytes()), b64u(payload.as_bytes()), "A".repeat(342));
        let mut outcome = String::new();
        let allocated = bytes_allocated(|| outcome = fixture.ask(&token));
        assert!(outcome.starts_with("out "), "{outcome}");
        assert!(allocated <= MAX_ALLOCATED, "{typ}: allocated {allocated} bytes");
    }
}

/// The debug line shows the beginning of a value.
#[test]
fn rejection_that_is_logged_costs_little() {
    let sim = Sim::start();
    let logged = std::sync::Arc::new(std::sync::Mutex::new(0));
    let longest = logged.clone();
    let mut builder = clerk_auth::Client::builder().jwt_key(sim.keys().pem("k1")).set("csrf", "check");
    builder = builder.on_log(clerk_auth::LogLevel::Debug, move |_, line| {
        let mut longest = longest.lock().unwrap();
        *longest = line.len().max(*longest);
    });
    let client = builder.build().unwrap();
    let long: Vec<Vec<u8>> = ["a", "\u{e9}", "\\", "."].iter().map(|unit| unit.repeat(1 << 20).into_bytes()).collect();
    for value in long.iter().chain([&vec![0xff; 1 << 20]]) {
        for (names, cookie) in [
            (&["Origin", "Host", "Sec-Fetch-Site"][..], &b"__session=a"[..]),
            (&["Authorization"], b""),
            (&["Cookie"], b""),
        ] {
            let mut request = Request::new();
            request.method(b"POST").header(b"Cookie", cookie);
            for name in names {
                request.header(name.as_bytes(), value);
            }
            let (allocated, took) = timed(|| bytes_allocated(|| drop(client.authenticate(&request))));
            assert!(allocated <= MAX_ALLOCATED, "{names:?}: allocated {allocated} bytes");
            assert!(took.as_millis() < 500, "{names:?}: {took:?}");
        }
        let bearer = [b"Bearer ", &value[..12 * 1024]].concat();
        let mut request = Request::new();
        request.header(b"Authorization", &bearer);
        let allocated = bytes_allocated(|| drop(client.authenticate(&request)));
        assert!(allocated <= MAX_ALLOCATED, "allocated {allocated} bytes");
    }
    let longest = *logged.lock().unwrap();
    assert!((100..4096).contains(&longest), "{longest}");
}

#[test]
fn cookie_lines_without_number_use_bounded_memory() {
    let fixture = pinned();
    let token = signed("k1", HEADER, &super::payload(""));
    let session = format!("__session={token}");
    for (count, line) in [(1_000_000, ""), (1_000_000, " "), (60_000, "a"), (20_000, "a=b")] {
        let mut request = Request::new();
        let mut outcome = String::new();
        let (allocated, took) = timed(|| {
            bytes_allocated(|| {
                request.header(b"Cookie", session.as_bytes());
                for _ in 0..count {
                    request.header(b"Cookie", line.as_bytes());
                }
                outcome = word(&fixture.client.authenticate(&request));
            })
        });
        assert!(allocated <= MAX_ALLOCATED, "{count} lines {line:?} allocated {allocated} bytes");
        assert!(took.as_secs() < 5, "{took:?}");
        assert_eq!(outcome, "out token-invalid", "{count} lines {line:?}");
    }
    // Browsers and HTTP/2 split cookies into lines.
    let mut request = Request::new();
    for _ in 0..500 {
        request.header(b"Cookie", b"a=b");
    }
    request.header(b"Cookie", session.as_bytes());
    assert_eq!(word(&fixture.client.authenticate(&request)), "in verified");
}

/// Returns the value once for each object in it, with an array of its values in place of that object.
fn with_arrays(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    if let Value::Object(members) = value {
        all.push(members.values().cloned().collect());
        for (name, member) in members {
            all.extend(with_arrays(member).into_iter().map(|changed| {
                let mut copy = members.clone();
                copy.insert(name.clone(), changed);
                Value::Object(copy)
            }));
        }
    }
    if let Value::Array(items) = value {
        for (at, item) in items.iter().enumerate() {
            all.extend(with_arrays(item).into_iter().map(|changed| {
                let mut copy = items.clone();
                copy[at] = changed;
                Value::Array(copy)
            }));
        }
    }
    all
}

#[test]
fn no_object_of_a_user_or_key_set_is_read_from_an_array() {
    let user = json!({"id": "user_1", "primary_email_address_id": "idn_1", "email_addresses": [
        {"id": "idn_1", "email_address": "ada@example.com", "verification": {"status": "verified"}}]});
    assert!(ClerkUser::parse(user.to_string().as_bytes()).unwrap().verified_primary_email().is_some());
    let changed = with_arrays(&user);
    assert_eq!(changed.len(), 3);
    for user in changed {
        assert_eq!(ClerkUser::parse(user.to_string().as_bytes()), None, "{user}");
    }
    let set = json!({"keys": [Sim::start().keys().jwk("k1")]});
    assert!(KeySet::parse(set.to_string().as_bytes()).is_some());
    for set in with_arrays(&set) {
        assert!(KeySet::parse(set.to_string().as_bytes()).is_none(), "{set}");
    }
}

#[test]
fn no_object_of_claims_is_read_from_an_array() {
    let fixture = pinned();
    let claims = json!({"sub": "user_1", "sid": "sess_1", "exp": super::common::NOW_S + 60, "v": 2, "fea": "o:a",
        "o": {"id": "org_1", "rol": "admin", "per": "read", "fpm": "1"}, "act": {"sub": "user_9"}});
    let read = |claims: &Value| {
        let line = format!("Bearer {}", signed("k1", HEADER, &claims.to_string()));
        let mut request = Request::new();
        request.header(b"Authorization", line.as_bytes());
        let result = fixture.client.authenticate(&request);
        let get = |attribute| result.identity().and_then(|identity| identity.get(attribute)).map(str::to_owned);
        [get(Attribute::Subject), get(Attribute::OrgRole), get(Attribute::Actor)]
    };
    let all = [Some("user_1".to_owned()), Some("org:admin".to_owned()), Some("user_9".to_owned())];
    assert_eq!(read(&claims), all);
    for changed in with_arrays(&claims) {
        let found = read(&changed);
        assert!(
            found != all && found.iter().zip(&all).all(|(found, right)| found.is_none() || found == right),
            "{changed}"
        );
    }
}

#[test]
fn no_object_of_a_webhook_event_is_read_from_an_array() {
    let fixture = Fixture::build(Sim::start(), None, |config| {
        config.set("webhook_secrets", DEFAULT_WEBHOOK_SECRET).unwrap();
    });
    let user = json!({"id": "user_1", "primary_email_address_id": "idn_1", "email_addresses": [
        {"id": "idn_1", "email_address": "ada@example.com", "verification": {"status": "verified"}}]});
    let mut number = 0;
    for (kind, data) in [
        ("user.updated", user),
        ("user.deleted", json!({"id": "user_1"})),
        ("session.ended", json!({"id": "sess_1"})),
        ("session.pending", json!({"id": "sess_1"})),
        ("organization.deleted", json!({"id": "org_1"})),
        ("organizationMembership.deleted", json!({"public_user_data": {"user_id": "user_1"}})),
        ("organizationMembership.updated", json!({"organization": {"id": "org_1"}})),
    ] {
        for changed in with_arrays(&json!({"type": kind, "data": data})) {
            number += 1;
            let body = changed.to_string();
            let (timestamp, signed) = (Some(fixture.time.now_s()), Some(body.clone()));
            let delivery =
                fixture.sim.webhook(&WebhookSpec { timestamp, body: signed, ..WebhookSpec::default() }).unwrap();
            let mut headers = WebhookHeaders::default();
            for (name, value) in &delivery.headers {
                headers.header(name.as_bytes(), value.as_bytes());
            }
            let outcome = fixture.client.handle_webhook(&headers, body.as_bytes());
            assert!(
                matches!(outcome, WebhookOutcome::Rejected(clerk_auth::WebhookError::InvalidPayload)),
                "{outcome:?}: {body}"
            );
        }
    }
    assert!(number > 15);
}
