//! A rejected token is explained by one debug line and by `Client::explain`, in the same words, without the token.

mod common;

use std::sync::{Arc, Mutex};

use clerk_auth::{Check, CheckStatus, Client, LogLevel, Reason, Request, TokenKind, UserMode};

use clerk_sim::{Fault, Kind, Sim, Spoil, TokenSpec};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The log lines of a client.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn handler(&self) -> impl Fn(LogLevel, &str) + use<> {
        let lines = self.0.clone();
        move |_, line| lines.lock().unwrap().push(line.to_owned())
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

struct Fixture {
    sim: Sim,
    client: Client,
    log: Log,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::at(LogLevel::Debug)
    }

    fn at(level: LogLevel) -> Fixture {
        let (sim, log) = (Sim::start(), Log::default());
        let client = Client::builder()
            .secret_key("sk_test_hidden")
            .api_url(sim.url())
            .authorized_parties(["https://app.example.com"])
            .issuer(["https://clerk.example.com"])
            .on_log(level, log.handler())
            .build()
            .unwrap();
        client.warm_up().unwrap();
        log.take();
        Fixture { sim, client, log }
    }

    fn spec(&self) -> TokenSpec {
        TokenSpec::session("user_2ada").azp("https://app.example.com").claim("iss", json!("https://clerk.example.com"))
    }

    fn authenticate(&self, token: &str) -> (Option<Reason>, Vec<String>) {
        let authorization = format!("Bearer {token}");
        let result = self.client.authenticate(Request::new().header(b"Authorization", authorization.as_bytes()));
        (result.reason(), self.log.take())
    }

    /// Checks the debug line and the explanation of a rejected token.
    fn assert_explained(&self, token: &str, reason: Reason, text: &str) {
        let (found, lines) = self.authenticate(token);
        assert_eq!(found, Some(reason), "{text}");
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = format!("rejected: {reason}: {text} (token clerk:auth:");
        assert!(lines[0].starts_with(&line), "expected `{line}`, found `{}`", lines[0]);
        let explanation = self.client.explain(token);
        assert_eq!((explanation.reason(), explanation.summary()), (Some(reason), text));
        let json: Value = serde_json::from_str(&explanation.to_json()).unwrap();
        assert_eq!((&json["reason"], &json["summary"]), (&json!(reason.as_str()), &json!(text)));
        for shown in [&lines[0], &explanation.to_json(), &explanation.to_string(), &format!("{explanation:?}")] {
            assert_hidden(token, shown);
        }
    }
}

/// No part of a token of 40 characters, whole signature included, is shown.
fn assert_hidden(token: &str, shown: &str) {
    let (bytes, shown) = (token.as_bytes(), shown.as_bytes());
    for part in bytes.windows(40).step_by(8) {
        assert!(!shown.windows(40).any(|window| window == part), "{}", String::from_utf8_lossy(shown));
    }
}

fn check<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("no check {name}: {checks:?}"))
}

#[test]
fn rejected_token_is_explained_by_log_and_explanation() {
    let fixture = Fixture::new();
    let mint = |spec: TokenSpec| fixture.sim.mint_now(&spec);
    let spec = || fixture.spec();
    let text = r#"azp "https://b.example" not in authorized_parties"#;
    fixture.assert_explained(&mint(spec().azp("https://b.example")), Reason::TokenInvalidAuthorizedParties, text);
    let text = r#"iss "https://other.example" not in issuer"#;
    fixture.assert_explained(
        &mint(spec().claim("iss", json!("https://other.example"))),
        Reason::TokenInvalidIssuer,
        text,
    );
    let text = r#"sub "mallory", expected an id user_…"#;
    fixture.assert_explained(&mint(spec().claim("sub", json!("mallory"))), Reason::TokenInvalid, text);
    let text = "sub of the wrong type, expected an id user_…";
    fixture.assert_explained(&mint(spec().claim("sub", json!(7))), Reason::TokenInvalid, text);
    let text = r#"sts "pending", expected not pending"#;
    fixture.assert_explained(&mint(spec().claim("sts", json!("pending"))), Reason::SessionPending, text);
    let text = r#"typ "JWT", cat "cl_B7d4PD222AAA": token of a JWT template"#;
    let template = mint(TokenSpec::new(Kind::Template, "user_2ada"));
    fixture.assert_explained(&template, Reason::TokenTypeNotSupported, text);
    let text = "oauth_token not in accepts_token (session_token)";
    fixture.assert_explained(&mint(TokenSpec::new(Kind::OauthJwt, "user_2ada")), Reason::TokenTypeNotSupported, text);
    fixture.assert_explained(
        "ak_secret0123456789",
        Reason::TokenTypeNotSupported,
        "api_key not in accepts_token (session_token)",
    );
    let text = "9 bytes with 0 dots; expected three parts in base64url, separated by dots";
    fixture.assert_explained("undefined", Reason::TokenInvalid, text);
}

#[test]
fn times_are_shown_relative_to_now() {
    let fixture = Fixture::new();
    for (spec, reason, start, end) in [
        (TokenSpec { exp_in: Some(-131), ..fixture.spec() }, Reason::TokenExpired, "exp 13", " s ago, skew 5 s"),
        (TokenSpec { nbf_in: Some(99), ..fixture.spec() }, Reason::TokenNotActiveYet, "nbf 9", " s ahead, skew 5 s"),
        (
            TokenSpec { iat_in: Some(99), nbf_in: Some(-10), ..fixture.spec() },
            Reason::TokenIatInTheFuture,
            "iat 9",
            " s ahead, skew 5 s",
        ),
    ] {
        let token = fixture.sim.mint_now(&spec);
        let (found, lines) = fixture.authenticate(&token);
        assert_eq!(found, Some(reason));
        let explanation = fixture.client.explain(&token);
        for shown in [lines[0].as_str(), explanation.summary()] {
            assert!(shown.contains(start) && shown.contains(end), "{shown}");
        }
    }
}

#[test]
fn key_of_another_instance_is_named() {
    let fixture = Fixture::new();
    let token = fixture.sim.mint_now(&TokenSpec { kid: Some("ins_theirs".into()), ..fixture.spec() });
    let (reason, lines) = fixture.authenticate(&token);
    assert_eq!(reason, Some(Reason::JwkKidMismatch));
    assert!(lines[0].contains(r#"kid "ins_theirs" not in the set of "ins_"#), "{lines:?}");
    assert!(lines[0].contains("another instance's token?"), "{lines:?}");
}

#[test]
fn forged_signature_is_explained_and_claims_are_shown_nevertheless() {
    let fixture = Fixture::new();
    let token = fixture.sim.mint_now(&fixture.spec().spoil(Spoil::WrongKey));
    let (reason, lines) = fixture.authenticate(&token);
    assert_eq!(reason, Some(Reason::TokenInvalidSignature));
    assert!(lines[0].contains("signature of none of 1 keys, kid "), "{lines:?}");
    let explanation = fixture.client.explain(&token);
    assert_eq!(explanation.reason(), Some(Reason::TokenInvalidSignature));
    assert_eq!(check(explanation.checks(), "azp").status, CheckStatus::Ok);
    assert_eq!(check(explanation.checks(), "revocation").status, CheckStatus::Skipped);
}

#[test]
fn valid_token_fails_no_check_and_is_not_logged() {
    let fixture = Fixture::new();
    let token = fixture.sim.mint_now(&fixture.spec());
    let explanation = fixture.client.explain(&token);
    assert_eq!((explanation.reason(), explanation.summary()), (None, ""));
    let names: Vec<_> = explanation.checks().iter().map(|check| check.name).collect();
    let expected = [
        "structure",
        "header",
        "alg",
        "type",
        "kid",
        "signature",
        "claims",
        "sub",
        "aud",
        "azp",
        "iss",
        "exp",
        "nbf",
        "iat",
        "sid",
        "sts",
        "scopes",
        "revocation",
    ];
    assert_eq!(names, expected);
    assert_eq!(check(explanation.checks(), "signature").status, CheckStatus::Ok);
    assert_eq!(check(explanation.checks(), "aud").status, CheckStatus::Skipped);
    assert_eq!(fixture.authenticate(&token), (None, vec![]));
    fixture.client.revoke_user("user_2ada");
    let explanation = fixture.client.explain(&token);
    assert_eq!(explanation.reason(), Some(Reason::SessionRevoked));
    assert!(
        fixture.authenticate(&token).1[0]
            .contains("session-revoked: the session or all sessions of the user were revoked")
    );
}

#[test]
fn explanation_makes_no_request() {
    let sim = Sim::start();
    let client = Client::builder().secret_key("sk_test_hidden").api_url(sim.url()).build().unwrap();
    let explanation = client.explain(sim.mint_now(&TokenSpec::session("user_2ada")));
    assert_eq!(
        check(explanation.checks(), "kid").found,
        "the key set was not fetched yet; clerk_client_warm_up fetches it"
    );
    assert_eq!(check(explanation.checks(), "signature").status, CheckStatus::Skipped);
    client.explain("ak_0123456789");
    assert_eq!(sim.stats().total(), 0);
}

#[test]
fn values_of_a_token_cannot_forge_log_lines() {
    let fixture = Fixture::new();
    let long = "x".repeat(4000);
    for azp in ["https://a\nERROR admin signed in", "\u{1b}[31m\u{202e}\u{0}\r\t", "\"} {\"", &long] {
        let (_, lines) = fixture.authenticate(&fixture.sim.mint_now(&fixture.spec().claim("azp", json!(azp))));
        let printable = |line: &String| line.bytes().all(|b| (b' '..=b'~').contains(&b) || b >= 0x80);
        assert!(lines.iter().all(|line| printable(line) && line.len() < 300), "{lines:?}");
    }
    let (_, lines) = fixture.authenticate(&fixture.sim.mint_now(&fixture.spec().claim("azp", json!("a\nb\u{7f}\"c"))));
    assert!(lines[0].contains(r#"azp "a\nb\u{7f}\"c" not in"#), "{lines:?}");
}

#[test]
fn nothing_is_explained_below_debug_level() {
    let fixture = Fixture::at(LogLevel::Info);
    let token = fixture.sim.mint_now(&fixture.spec().azp("https://b.example"));
    assert_eq!(fixture.authenticate(&token), (Some(Reason::TokenInvalidAuthorizedParties), vec![]));
}

#[test]
fn request_without_a_credential_is_logged_and_the_scheme_is_named() {
    let fixture = Fixture::new();
    let token = fixture.sim.mint_now(&fixture.spec());
    let none = "neither an Authorization: Bearer header nor a session cookie";
    let scheme = "the Authorization header does not begin with `Bearer `, and there is no session cookie";
    for (line, found) in [("", none), (token.as_str(), scheme), ("Token abc", scheme), ("Basic dXNlcjpwYXNz", scheme)] {
        let result = fixture.client.authenticate(Request::new().header(b"Authorization", line.as_bytes()));
        assert_eq!(result.reason(), Some(Reason::SessionTokenMissing));
        assert_eq!(fixture.log.take(), [format!("no credentials: session-token-missing: {found}")]);
    }
}

#[test]
fn token_whose_signature_was_not_verified_is_not_called_sound() {
    let fixture = Fixture::new();
    let forged = fixture.sim.mint_now(&fixture.spec().spoil(Spoil::WrongKey));
    let verified = |client: &Client, token: &str| {
        let explanation = client.explain(token);
        let json: Value = serde_json::from_str(&explanation.to_json()).unwrap();
        assert_eq!(json["verified"], json!(explanation.is_signature_verified()));
        let end = explanation.to_string().lines().last().unwrap().to_owned();
        (explanation.reason().is_none(), explanation.is_signature_verified(), end)
    };
    let sound = fixture.sim.mint_now(&fixture.spec());
    assert_eq!(verified(&fixture.client, &sound), (true, true, "no check fails".into()));
    let without_keys = Client::builder().secret_key("sk_test_hidden").api_url(fixture.sim.url()).build().unwrap();
    let machines = Client::builder().secret_key("sk_test_hidden").set("accepts_token", "any").build().unwrap();
    for (client, token) in [(&without_keys, forged.as_str()), (&machines, "ak_0123456789")] {
        let end = "no check fails, but the signature was not verified";
        assert_eq!(verified(client, token), (true, false, end.into()));
    }
}

#[test]
fn missing_claims_and_mistakes_are_worded_plainly() {
    let sim = Sim::start();
    let client = Client::builder()
        .secret_key("sk_test_hidden")
        .api_url(sim.url())
        .authorized_parties(["https://app.example.com"])
        .audience(["api"])
        .build()
        .unwrap();
    client.warm_up().unwrap();
    let spec = || TokenSpec::session("user_2ada").azp("https://app.example.com");
    let mint = |spec: &TokenSpec| sim.mint_now(spec);
    let sound = mint(&spec());
    for (token, expected) in [
        (sound.clone(), "no aud, expected one of the setting audience"),
        (
            mint(&TokenSpec { header: serde_json::from_value(json!({"kid": null})).unwrap(), ..spec() }),
            "no kid, expected one of the set of \"ins_",
        ),
        (mint(&spec().azp("https://app.example.com/")), "the comparison is exact"),
        (mint(&spec().azp("https://APP.example.com")), "the comparison is exact"),
        (format!("__session={sound}"), "this is a whole cookie"),
        (format!(" {sound}"), "the token contains white space"),
        (format!("Token {sound}"), "the token contains white space"),
        (format!("Bearer {sound}"), "`Bearer` is there twice"),
        (mint(&spec().spoil(Spoil::AlgNone)), "the token is not signed"),
    ] {
        let text = client.explain(&token).to_string();
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn keys_that_could_not_be_fetched_are_explained_by_the_failure() {
    let sim = Sim::start();
    let token = sim.mint_now(&TokenSpec::session("user_2ada"));
    for (status, cause) in [(401, "http 401"), (403, "http 403"), (502, "http 502")] {
        sim.set_faults(vec![Fault::on("/jwks").status(status)]);
        let client = Client::builder().secret_key("sk_test_hidden").api_url(sim.url()).build().unwrap();
        client.warm_up().unwrap_err();
        let (explanation, requests) = (client.explain(&token), sim.stats().total());
        let kid = &check(explanation.checks(), "kid").found;
        assert!(kid.starts_with("the key set could not be fetched: ") && kid.contains(cause), "{kid}");
        assert_eq!((explanation.is_signature_verified(), sim.stats().total()), (false, requests));
    }
}

/// What the token itself does not show: an opaque token, cookies, the user at Clerk.
#[test]
fn rejection_that_no_check_of_a_token_shows_is_worded_in_the_log() {
    let (sim, log) = (Sim::start(), Log::default());
    sim.update(|state| {
        let m2m = json!({"id": "mt_1", "subject": "mch_1", "scopes": ["mch_other"]});
        state.m2m_tokens.insert("mt_other".into(), m2m);
    });
    sim.put_user(json!({"id": "user_2banned", "banned": true}));
    let client = Client::builder()
        .secret_key("sk_test_hidden")
        .api_url(sim.url())
        .user_mode(UserMode::Profile)
        .check_client_uat(true)
        .accepts_token([TokenKind::SessionToken, TokenKind::ApiKey, TokenKind::M2mToken])
        .expected_machine_id("mch_2own")
        .on_log(LogLevel::Debug, log.handler())
        .build()
        .unwrap();
    client.warm_up().unwrap();
    log.take();
    let session = |user: &str| sim.mint_now(&TokenSpec::session(user));
    let (bearer, cookie) = ("Authorization", "Cookie");
    for (name, line, expected) in [
        (
            bearer,
            "Bearer ak_unknown".into(),
            "rejected: token-invalid: opaque api_key: unknown, revoked or expired at Clerk, or malformed",
        ),
        (
            bearer,
            "Bearer mt_other".into(),
            "rejected: token-invalid-audience: opaque m2m_token: its scopes lack expected_machine_id",
        ),
        (
            bearer,
            format!("Bearer {}", session("user_2banned")),
            "rejected: user-inactive: the user is banned or deprovisioned at Clerk, or the row is not active",
        ),
        (
            bearer,
            format!("Bearer {}", session("user_2deleted")),
            "rejected: user-not-found: Clerk has no user with the id in sub: deleted, or another instance's",
        ),
        (
            cookie,
            format!("__session={}; __client_uat=0", session("user_2ada")),
            "rejected: session-token-but-no-client-uat: a session cookie, but __client_uat says that the browser is signed out",
        ),
        (
            cookie,
            format!("__session={}; __client_uat=99999999999", session("user_2ada")),
            "rejected: session-token-iat-before-client-uat: iat is before the last sign-in or sign-out in __client_uat",
        ),
        (
            cookie,
            "__client_uat=7".into(),
            "rejected: client-uat-but-no-session-token: __client_uat says that the browser is signed in, but there is no \
             session cookie",
        ),
        (
            cookie,
            "__client_uat=0".into(),
            "no credentials: session-token-and-uat-missing: no session cookie, and __client_uat says that the browser is signed \
             out",
        ),
    ] {
        client.authenticate(Request::new().header(name.as_bytes(), line.as_bytes()));
        let lines = log.take();
        assert!(lines.last().is_some_and(|line| line.starts_with(expected)), "expected `{expected}`, found {lines:?}");
    }
}

#[test]
fn csrf_rejection_names_the_origin() {
    let (sim, log) = (Sim::start(), Log::default());
    let client = Client::builder()
        .jwt_key(common::pem(&sim).unwrap())
        .set("csrf", "check")
        .on_log(LogLevel::Debug, log.handler())
        .build()
        .unwrap();
    log.take();
    let cookie = format!("__session={}", sim.mint_now(&TokenSpec::session("user_2ada")));
    let mut request = Request::new();
    request.method(b"POST").header(b"Cookie", cookie.as_bytes()).header(b"Origin", b"https://evil.example\x01");
    assert_eq!(client.authenticate(&request).reason(), Some(Reason::CsrfFailed));
    let lines = log.take();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains(r#"no Sec-Fetch-Site, Origin "https://evil.example\u{1}", no Host"#), "{lines:?}");
}

#[test]
fn authorized_party_that_is_no_origin_is_logged_without_its_value() {
    let warned = |parties: &[&str]| {
        let log = Log::default();
        let (jwt_key, _) = clerk_auth::internals::example();
        let builder = Client::builder().jwt_key(jwt_key).authorized_parties(parties.iter().copied());
        builder.on_log(LogLevel::Warn, log.handler()).build().unwrap();
        log.take()
    };
    assert_eq!(warned(&["https://app.example.com", "http://localhost:3000"]), Vec::<String>::new());
    for party in
        ["https://app.example.com/", "https://app.example.com/path", "app.example.com", "https://App.example.com"]
    {
        let lines = warned(&["https://app.example.com", party]);
        assert_eq!(lines.len(), 1, "{party} {lines:?}");
        assert!(lines[0].contains("item 2 matches no browser's origin"), "{lines:?}");
        assert!(!lines[0].contains(party), "{lines:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn explanation_of_any_bytes_is_json_and_agrees_with_verification(
        position in 0usize..2000, byte in any::<u8>(), cut in 0usize..2000, garbage in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (jwt_key, token) = clerk_auth::internals::example();
        let client = Client::builder().jwt_key(jwt_key).build().unwrap();
        let mut changed = token.as_bytes().to_vec();
        let index = position % changed.len();
        changed[index] = byte;
        let cut = &token.as_bytes()[..cut % token.len()];
        for bytes in [garbage.as_slice(), changed.as_slice(), cut, &[b"ak_".as_slice(), &garbage].concat()] {
            let explanation = client.explain(bytes);
            prop_assert!(serde_json::from_str::<Value>(&explanation.to_json()).is_ok());
            prop_assert!(!explanation.to_string().is_empty());
            if let Ok(token) = std::str::from_utf8(bytes)
                && !token.starts_with("ak_")
            {
                prop_assert_eq!(explanation.reason(), client.verify_token(token).reason());
            }
        }
    }
}

// A key id that is certainly unknown comes before the payload, in both.
#[test]
fn token_wrong_in_two_ways_is_explained_by_the_reason_of_its_rejection() {
    let sim = Sim::start();
    let jwks = format!(r#"{{"keys":[{}]}}"#, sim.keys().jwk("k1"));
    let client = Client::builder().jwks(jwks).build().unwrap();
    let token = |header: &str, payload: &str| {
        let [header, payload] = [header, payload].map(|part| clerk_sim::encoding::b64u(part.as_bytes()));
        format!("{header}.{payload}.AAAA")
    };
    let unknown = r#"{"alg":"RS256","kid":"ins_x"}"#;
    for (header, payload, reason) in [
        (unknown, "{}", Reason::JwkKidMismatch),
        (unknown, r#"{"sub":"user_1""#, Reason::JwkKidMismatch),
        (unknown, r#"{"sub":1,"sub":2}"#, Reason::JwkKidMismatch),
        (unknown, r#"{"sub":"mch_1""#, Reason::TokenInvalid),
        (unknown, r#"{"sub":"mch_1"}"#, Reason::TokenTypeNotSupported),
        (unknown, r#"{"sub":"\u006dch_1"}"#, Reason::TokenTypeNotSupported),
        (r#"{"alg":"RS256","typ":"at+jwt"}"#, "{", Reason::TokenTypeNotSupported),
        (r#"{"alg":"RS256","cat":"cl_B7d4PD222AAA"}"#, "{}", Reason::TokenTypeNotSupported),
        (r#"{"alg":"HS256","kid":"ins_x"}"#, "{", Reason::TokenInvalid),
    ] {
        let token = token(header, payload);
        let authorization = format!("Bearer {token}");
        let result = client.authenticate(Request::new().header(b"Authorization", authorization.as_bytes()));
        let explained = client.explain(&token).reason();
        assert_eq!((result.reason(), explained), (Some(reason), Some(reason)), "{header} {payload}");
    }
}
