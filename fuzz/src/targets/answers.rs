//! Answers of Clerk's API, through a client: machine tokens, users, sessions and JWK sets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clerk_auth::transport::{Request, Response, Transport, TransportError};
use clerk_auth::{Attribute, Client, Outcome, TokenKind, UserMode};

use crate::input::Input;
use crate::limits::watch;
use crate::second::Tree;
use crate::tokens::{self, NOW_S};

/// Gives one answer for everything but the JWK set.
#[derive(Default)]
pub struct Scripted {
    answer: Mutex<(u16, Option<String>, Vec<u8>)>,
    jwks: Mutex<Option<Vec<u8>>>,
}

impl Transport for Scripted {
    fn send(&self, request: &Request<'_>, _: Duration) -> Result<Response, TransportError> {
        let (status, retry_after, body) = self.answer.lock().expect("no panic").clone();
        let jwks = self.jwks.lock().expect("no panic").clone();
        let (status, body) = match jwks {
            Some(jwks) if request.url.ends_with("/jwks") => (200, jwks),
            _ => (status, body),
        };
        Ok(Response { status, retry_after, trace_id: None, body })
    }
    fn reset_after_fork(&self) -> bool {
        false
    }
    fn shutdown(&self) {}
}

/// Input: what is asked, status, `Retry-After`, body.
pub fn answers(data: &[u8]) {
    let mut input = Input(data);
    let what = input.below(5);
    let status = [200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 422, 429, 500, 503][input.below(14)];
    let retry_after = String::from_utf8_lossy(input.line()).into_owned();
    let body = input.0.to_vec();
    let tree = Tree::parse(&body);
    let jwks = (what != 4).then(|| tokens::jwk_set(&["k1", "k2"]));
    let transport =
        Arc::new(Scripted { answer: Mutex::new((status, Some(retry_after), body)), jwks: Mutex::new(jwks) });
    let mut builder = Client::builder()
        .secret_key("sk_test_fuzz")
        .accepts_token(TokenKind::ALL.iter().copied())
        // A retry would wait longer than this.
        .timeout_ms(5)
        .clock(|| NOW_S * 1000)
        .transport(transport);
    builder = match what {
        2 => builder.user_mode(UserMode::Profile),
        3 => builder.user_mode(UserMode::Claims).session_check_ttl_s(60),
        _ => builder.user_mode(UserMode::Claims),
    };
    let client = builder.build().expect("a client");
    let session = &tokens::pool()[2];
    let token = match what {
        0 => "ak_fuzz",
        1 => "oat_fuzz",
        _ => &session.token,
    };
    let line = format!("Bearer {token}");
    let mut request = clerk_auth::Request::new();
    request.header(b"authorization", line.as_bytes());
    let result = watch(|| client.authenticate(&request));
    assert!(matches!(result.http_status(), 200 | 401 | 403 | 429 | 500 | 503), "{}", result.http_status());
    if let Outcome::Unavailable { retry_after_ms: Some(ms), .. } = result.outcome() {
        assert!(ms <= 60 * 60 * 1000, "retry after {ms} ms");
    }
    let Some(identity) = result.identity() else {
        assert!(!result.is_signed_in());
        return;
    };
    let success = (200..300).contains(&status);
    let tree = tree.unwrap_or(Tree::Null);
    let text = |name: &str| tree.text(name);
    let is = |name: &str, value: bool| tree.get(name) == Some(&Tree::Bool(value));
    match what {
        0 | 1 => {
            let object = if what == 0 { "api_key" } else { "clerk_idp_oauth_access_token" };
            assert!(success && text("object") == Some(object));
            assert!(is("revoked", false) && is("expired", false) && !is("active", false));
            let expiration = tree.get("expiration").and_then(Tree::number);
            assert!(expiration.is_none_or(|ms| ms > (NOW_S * 1000) as f64), "expired");
            assert_eq!(Some(identity.subject()), text("subject"));
        }
        2 => {
            assert!(success && text("id") == identity.user_id(), "another user");
            assert!(!is("banned", true) && !is("deprovisioned", true));
            let usable = |name| text(name).filter(|value| !value.is_empty() && !value.contains('\0'));
            assert_eq!(identity.get(Attribute::FirstName), usable("first_name"));
        }
        3 => {
            assert!(success && text("id") == Some(session.sid.as_str()), "another session");
            assert_eq!(text("status"), Some("active"));
        }
        _ => {
            let keys = tree.get("keys").and_then(Tree::items).expect("a set");
            assert!(success && keys.iter().any(|key| key.text("kid") == Some("k1")));
        }
    }
}
