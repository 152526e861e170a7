//! Cross-site requests with a cookie, where the credential of a request is, and the token's hash on every result.

mod common;

use std::sync::Arc;

use clerk_auth::Csrf;
use clerk_auth::TokenHash;
use clerk_auth::internals::Config;
use clerk_auth::internals::TokenSource;
use clerk_auth::{AuthResult, Request};
use clerk_sim::{Sim, Spoil, TokenSpec};
use common::{Fixture, auth_events, bearer, cookies, pem, word};

const OWN: &str = "app.example.com";

fn fixture(tune: impl FnOnce(&mut Config)) -> Fixture {
    let sim = Sim::start();
    let key = pem(&sim);
    Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.secret_key = None;
        config.csrf = Csrf::Check;
        config.authorized_parties = vec!["https://app.example.com".into(), "https://admin.example.com:8443".into()];
        tune(config);
    })
}

fn send(fixture: &Fixture, method: &str, credential: (&str, &str), lines: &[(&str, &str)]) -> Arc<AuthResult> {
    let mut request = Request::new();
    request.method(method.as_bytes());
    for (name, value) in [&[credential], lines].concat() {
        request.header(name.as_bytes(), value.as_bytes());
    }
    fixture.client.authenticate(&request)
}

/// Whether a request with the session cookie passes the check; the same from the cache.
fn passes(fixture: &Fixture, method: &str, lines: &[(&str, &str)]) -> bool {
    let cookie = format!("__session={}", fixture.token("user_1"));
    let first = word(&send(fixture, method, ("Cookie", &cookie), lines));
    assert_eq!(word(&send(fixture, "GET", ("Cookie", &cookie), &[])).split(' ').next(), Some("in"));
    let second = word(&send(fixture, method, ("cookie", &cookie), lines));
    match first.as_str() {
        "in verified" => assert_eq!(second, "in cache"),
        _ => assert_eq!([first.as_str(), second.as_str()], ["out csrf-failed", "out csrf-failed"]),
    }
    first == "in verified"
}

#[test]
fn unsafe_method_with_cookie_needs_evidence_of_the_same_origin() {
    let fixture = fixture(|_| {});
    let host = ("Host", OWN);
    for method in ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "get", "", " GET", "GET ", "G"] {
        assert!(!passes(&fixture, method, &[host]), "{method}");
        assert!(passes(&fixture, method, &[host, ("Sec-Fetch-Site", "same-origin")]), "{method}");
    }
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        assert!(passes(&fixture, method, &[host, ("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil")]));
    }
}

#[test]
fn fetch_metadata_passes_only_exactly_and_once() {
    let fixture = fixture(|_| {});
    for site in ["same-origin", "none"] {
        assert!(passes(&fixture, "POST", &[("sec-fetch-site", site)]), "{site}");
        assert!(!passes(&fixture, "POST", &[("Sec-Fetch-Site", site), ("Sec-Fetch-Site", site)]), "{site}");
        assert!(!passes(&fixture, "POST", &[("Sec-Fetch-Site", site), ("SEC-FETCH-SITE", "cross-site")]), "{site}");
    }
    for site in ["cross-site", "same-site", "Same-Origin", "same-origin, none", "\"none\"", "null", "", "same-origin\0"]
    {
        assert!(!passes(&fixture, "POST", &[("Sec-Fetch-Site", site)]), "{site}");
    }
    // The origin decides where the browser says that the request crosses sites.
    for site in ["cross-site", "same-site"] {
        let admin = ("Origin", "https://admin.example.com:8443");
        assert!(passes(&fixture, "POST", &[("Host", OWN), ("Sec-Fetch-Site", site), admin]));
        assert!(!passes(&fixture, "POST", &[("Host", OWN), ("Sec-Fetch-Site", site), ("Origin", "https://evil")]));
    }
    for odd in ["x", "same-origin same-origin", ""] {
        let own = ("Origin", "https://app.example.com");
        assert!(!passes(&fixture, "POST", &[("Host", OWN), ("Sec-Fetch-Site", odd), own]), "{odd}");
    }
}

#[test]
fn origin_passes_if_own_or_an_authorized_party() {
    let fixture = fixture(|_| {});
    for (host, origin, expected) in [
        ("shop.example.com", "https://app.example.com", true),
        ("shop.example.com", "https://admin.example.com:8443", true),
        ("shop.example.com", "https://admin.example.com", false),
        ("shop.example.com", "http://app.example.com", false),
        ("shop.example.com", "https://APP.example.com", false),
        ("shop.example.com", "https://app.example.com/", false),
        ("shop.example.com", "https://shop.example.com", true),
        ("SHOP.example.com", "https://shop.example.com", true),
        ("shop.example.com:443", "https://shop.example.com", true),
        ("shop.example.com", "https://shop.example.com:443", true),
        ("shop.example.com:80", "http://shop.example.com", true),
        ("shop.example.com:8080", "http://shop.example.com:8080", true),
        ("[::1]:8080", "http://[::1]:8080", true),
        ("[::1]", "http://[::1]", true),
        ("127.0.0.1:3000", "http://127.0.0.1:3000", true),
        ("shop.example.com:8080", "http://shop.example.com", false),
        ("shop.example.com:443", "http://shop.example.com", false),
        ("shop.example.com:8080", "http://shop.example.com:8081", false),
        ("shop.example.com", "https://shop.example.com.evil", false),
        ("shop.example.com", "https://evil-shop.example.com", false),
        ("shop.example.com", "https://shop.example.com@evil", false),
        ("evil@shop.example.com", "https://evil@shop.example.com", false),
        ("shop.example.com", "https://shop.example.com/x", false),
        ("shop.example.com", "https://shop.example.com, https://evil", false),
        ("shop.example.com", "ftp://shop.example.com", false),
        ("shop.example.com", "//shop.example.com", false),
        ("shop.example.com", "shop.example.com", false),
        ("shop.example.com", "https://", false),
        ("shop.example.com", "null", false),
        ("shop.example.com", "", false),
        ("", "https://", false),
        ("", "https://shop.example.com", false),
        ("null", "null", false),
        ("shop.example.com:", "https://shop.example.com:", false),
        ("shop.example.com:99999", "https://shop.example.com:99999", false),
        ("shop.example.com, evil", "https://shop.example.com", false),
        ("a b", "https://a b", false),
    ] {
        let found = passes(&fixture, "POST", &[("Host", host), ("Origin", origin)]);
        assert_eq!(found, expected, "Host: {host}, Origin: {origin}");
    }
}

#[test]
fn opaque_origin_never_passes() {
    let fixture = fixture(|config| config.authorized_parties.push("null".into()));
    assert!(!passes(&fixture, "POST", &[("Host", OWN), ("Origin", "null")]));
}

#[test]
fn duplicate_host_or_origin_is_refused() {
    let fixture = fixture(|_| {});
    let (host, origin) = (("Host", "shop.example.com"), ("Origin", "https://shop.example.com"));
    assert!(passes(&fixture, "POST", &[host, origin]));
    assert!(!passes(&fixture, "POST", &[host, origin, origin]));
    assert!(!passes(&fixture, "POST", &[host, host, origin]));
    assert!(!passes(&fixture, "POST", &[host, ("Origin", "https://app.example.com"), ("origin", "https://evil")]));
    // HTTP/2: both may be there, and then they are the same.
    assert!(passes(&fixture, "POST", &[(":authority", "shop.example.com"), origin]));
    assert!(passes(&fixture, "POST", &[(":authority", "shop.example.com"), host, origin]));
    assert!(!passes(&fixture, "POST", &[(":authority", "other.example.com"), host, origin]));
}

#[test]
fn header_credential_and_switched_off_check_need_no_evidence() {
    let fixture = fixture(|_| {});
    let line = format!("Bearer {}", fixture.token("user_1"));
    assert_eq!(word(&send(&fixture, "POST", ("Authorization", &line), &[("Origin", "https://evil")])), "in verified");
    assert_eq!(word(&send(&fixture, "POST", ("Accept", "x"), &[])), "none session-token-missing");
    assert_eq!(word(&send(&fixture, "POST", ("Authorization", "Bearer"), &[])), "out token-invalid");
    let off = self::fixture(|config| config.csrf = Csrf::Off);
    let cookie = format!("__session={}", off.token("user_1"));
    assert_eq!(word(&send(&off, "POST", ("Cookie", &cookie), &[("Origin", "https://evil")])), "in verified");
    assert_eq!(Config::new().csrf, Csrf::Off);
}

#[test]
fn refused_cookie_is_not_verified_and_emits_one_event() {
    let fixture = fixture(|_| {});
    let spoiled = fixture.mint(&TokenSpec::session("user_1").spoil(Spoil::Expired));
    for token in [fixture.token("user_1"), spoiled, "garbage".into()] {
        let result = send(&fixture, "POST", ("Cookie", &format!("__session={token}")), &[]);
        assert_eq!(word(&result), "out csrf-failed");
        assert!(!result.handshake_recommended());
        assert_eq!(fixture.event_log.take(), ["auth_failed csrf-failed"]);
    }
}

#[test]
fn every_result_with_a_credential_has_its_hash() {
    let fixture = fixture(|_| {});
    let token = fixture.token("user_1");
    let spoiled = fixture.mint(&TokenSpec::session("user_1").spoil(Spoil::Expired));
    for (token, outcome) in [
        (token.as_str(), "in verified"),
        (&token, "in cache"),
        (&spoiled, "out token-expired"),
        ("ak_1", "out token-type-not-supported"),
        ("a.b", "out token-invalid"),
    ] {
        let result = bearer(&fixture.client, token);
        let hash = TokenHash::of(token.as_bytes()).to_string();
        assert_eq!((word(&result).as_str(), result.token_hash()), (outcome, Some(hash.as_str())));
        assert_eq!(fixture.client.verify_token(token).token_hash(), Some(hash.as_str()));
    }
    let refused = send(&fixture, "POST", ("Cookie", &format!("__session={token}")), &[]);
    assert_eq!(refused.token_hash(), Some(TokenHash::of(token.as_bytes()).to_string().as_str()));
    assert_eq!(send(&fixture, "GET", ("Accept", "x"), &[]).token_hash(), None);
    assert_eq!(send(&fixture, "GET", ("Authorization", "Bearer"), &[]).token_hash(), None);
    fixture.sim.set_down(true).unwrap();
    let remote = Fixture::new(|config| config.timeout_ms = 200);
    remote.sim.set_down(true).unwrap();
    let result = bearer(&remote.client, &token);
    assert!(word(&result).starts_with("unavailable "));
    assert_eq!(result.token_hash(), Some(TokenHash::of(token.as_bytes()).to_string().as_str()));
}

#[test]
fn credential_is_found_without_event_or_cache() {
    let fixture = fixture(|_| {});
    let find = |name: &str, value: &'static str| {
        let mut request = Request::new();
        request.header(name.as_bytes(), value.as_bytes());
        fixture.client.credential(&request)
    };
    assert_eq!(find("Authorization", "Bearer tok"), Some((TokenSource::Header, Some(&b"tok"[..]))));
    assert_eq!(find("Cookie", "a=b; __session=tok"), Some((TokenSource::Cookie, Some(&b"tok"[..]))));
    assert_eq!(find("Cookie", "a=b"), None);
    assert_eq!(find("Authorization", "Basic abc"), None);
    assert_eq!(find("Authorization", "Bearer"), Some((TokenSource::Header, None)));
    let long: &'static str = format!("__session={}", "a".repeat(20_000)).leak();
    assert_eq!(find("Cookie", long), Some((TokenSource::Cookie, None)));
    assert_eq!(auth_events(&fixture.event_log.take()), 0);
    assert_eq!(fixture.client.stats().cached_tokens, 0);
}

#[test]
fn planted_plain_cookie_is_ignored_if_the_suffixed_one_is_required() {
    let key = "pk_live_Y2xlcmsuY2xlcmsuZGV2JA";
    let fixture = fixture(|config| {
        config.publishable_key = Some(key.into());
        config.require_suffixed_cookie = true;
    });
    let [own, planted] = ["user_own", "user_planted"].map(|user| fixture.token(user));
    for lines in [
        vec![format!("__session={planted}")],
        vec![format!("__session={planted}; __client_uat=9")],
        vec![format!("__session_abcdefgh={planted}")],
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(cookies(&fixture.client, &lines), "none session-token-missing", "{lines:?}");
    }
    for line in [
        format!("__session={planted}; __session_1Z8AzTQD={own}"),
        format!("__session=garbage; __session_1Z8AzTQD={own}"),
        format!("__session={planted}; __client_uat=9; __client_uat_1Z8AzTQD=0; __session_1Z8AzTQD={own}"),
    ] {
        let mut request = Request::new();
        request.method(b"GET").header(b"Cookie", line.as_bytes());
        let result = fixture.client.authenticate(&request);
        assert_eq!(result.identity().map(|i| i.subject()), Some("user_own"), "{line}");
    }
    let mut config = Config::new();
    config.secret_key = Some(clerk_auth::Secret::new("sk_test_x"));
    config.require_suffixed_cookie = true;
    let builder = clerk_auth::internals::builder(config);
    assert_eq!(builder.build().unwrap_err().setting(), Some("require_suffixed_cookie"));
}

#[test]
fn ignored_cookies_are_no_credential_on_any_method() {
    let fixture = fixture(|config| config.ignore_cookies = true);
    let token = fixture.token("user_1");
    let cookie = format!("__session={token}; __session_1Z8AzTQD={token}; __client_uat=1");
    let forged = [("Host", OWN), ("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")];
    for method in ["GET", "POST"] {
        // Neither from the cache nor verified, and no CSRF check: there is nothing to forge.
        for _ in 0..2 {
            let result = send(&fixture, method, ("Cookie", &cookie), &forged);
            assert_eq!(word(&result), "none session-token-missing", "{method}");
        }
        let both = [("Cookie", cookie.as_str())];
        assert!(word(&send(&fixture, method, ("Authorization", &format!("Bearer {token}")), &both)).starts_with("in "));
        assert_eq!(word(&send(&fixture, method, ("Authorization", "Bearer"), &both)), "out token-invalid");
        assert_eq!(word(&send(&fixture, method, ("Authorization", "Basic abc"), &both)), "none session-token-missing");
    }
    let mut request = Request::new();
    request.method(b"GET").header(b"Cookie", cookie.as_bytes());
    assert_eq!(fixture.client.credential(&request), None);
    let long = format!("__session={}", "a".repeat(100_000));
    assert_eq!(word(&send(&fixture, "GET", ("Cookie", &long), &[])), "none session-token-missing");
}

#[test]
fn ignore_cookies_with_a_setting_that_reads_cookies_is_an_error() {
    let build = |name: &str, value: &str| {
        let mut config = Config::new();
        config.secret_key = Some(clerk_auth::Secret::new("sk_test_x"));
        config.publishable_key = Some("pk_live_Y2xlcmsuY2xlcmsuZGV2JA".into());
        config.ignore_cookies = true;
        config.set(name, value).unwrap();
        clerk_auth::internals::builder(config).build().map(|_| ())
    };
    for (name, value) in [("handshake", "on"), ("check_client_uat", "true"), ("require_suffixed_cookie", "true")] {
        assert_eq!(build(name, value).unwrap_err().setting(), Some("ignore_cookies"), "{name}");
    }
    assert!(build("csrf", "check").is_ok());
}
