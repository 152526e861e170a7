//! The browser handshake: redirects, responses of Clerk, refreshes, through the Rust API against a fake Clerk API.

#[path = "../common/mod.rs"]
mod common;

mod attacks;
mod browser;
mod flow;
mod outage;

use std::sync::Arc;

use clerk_auth::internals::Config;
use clerk_auth::{AuthResult, Client, Request};
use clerk_sim::TokenSpec;
use common::{Fixture, word};
use serde_json::{Value, json};

pub(crate) const LIVE_KEY: &str = "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k";
pub(crate) const TEST_KEY: &str = "pk_test_Y2xlYW4tbWF5Zmx5LTYyLmNsZXJrLmFjY291bnRzLmRldiQ=";
pub(crate) const ORIGIN: &str = "https://app.example.com";

/// A client of a production instance with `handshake` on, whose keys are fetched.
pub(crate) fn live(tune: impl FnOnce(&mut Config)) -> Fixture {
    Fixture::new(|config| {
        configure_live(config);
        tune(config);
    })
}

pub(crate) fn configure_live(config: &mut Config) {
    config.set("handshake", "on").unwrap();
    config.set("publishable_key", LIVE_KEY).unwrap();
    config.set("public_origin", ORIGIN).unwrap();
}

/// The same of a development instance.
pub(crate) fn development(tune: impl FnOnce(&mut Config)) -> Fixture {
    live(|config| {
        config.set("publishable_key", TEST_KEY).unwrap();
        tune(config);
    })
}

/// A browser's request.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) method: &'static str,
    pub(crate) host: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) cookies: Vec<(String, String)>,
}

impl Browser {
    /// Requests a document.
    pub(crate) fn document(target: &str) -> Browser {
        let headers = vec![("Sec-Fetch-Dest", "document".to_owned())];
        Browser { method: "GET", host: "app.example.com".into(), target: target.into(), headers, cookies: Vec::new() }
    }

    /// Requests something else, as a script does.
    pub(crate) fn fetch(target: &str) -> Browser {
        let mut browser = Browser::document(target);
        browser.headers = vec![("Sec-Fetch-Dest", "empty".to_owned())];
        browser
    }

    pub(crate) fn cookie(mut self, name: &str, value: impl Into<String>) -> Browser {
        self.cookies.push((name.into(), value.into()));
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Browser {
        self.headers.push((name, value.into()));
        self
    }

    /// With a session cookie that expired two minutes ago.
    pub(crate) fn expired(self, fixture: &Fixture) -> Browser {
        let token = fixture.mint(&TokenSpec { iat_in: Some(-180), ..session().exp_in(-120) });
        self.cookie("__session", token).cookie("__client_uat", "1700000000")
    }

    pub(crate) fn with<T>(&self, call: impl FnOnce(&Request<'_>) -> T) -> T {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut request = Request::new();
        request.method(self.method.as_bytes()).scheme(b"https").target(self.target.as_bytes());
        request.header(b"Host", self.host.as_bytes()).header(b"Cookie", cookies.as_bytes());
        for (name, value) in &self.headers {
            request.header(name.as_bytes(), value.as_bytes());
        }
        call(&request)
    }

    pub(crate) fn send(&self, client: &Client) -> Arc<AuthResult> {
        self.with(|request| client.authenticate(request))
    }

    pub(crate) fn send_cached(&self, client: &Client) -> Option<Arc<AuthResult>> {
        self.with(|request| client.authenticate_cached(request))
    }
}

/// The session of a user, as Clerk issues it.
pub(crate) fn session() -> TokenSpec {
    TokenSpec::session("user_ada").sid("sess_ada").azp(ORIGIN)
}

/// `Set-Cookie` lines for a session token.
pub(crate) fn lines(token: &str) -> Value {
    json!([
        "__clerk_handshake=; Path=/; Domain=example.com; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        format!("__session={token}; Path=/; Max-Age=31536000; Secure; SameSite=Lax"),
        "__client_uat=1700000000; Path=/; Domain=example.com; Max-Age=315360000; Secure; SameSite=Lax",
    ])
}

/// A handshake token with these lines.
pub(crate) fn handshake_token(fixture: &Fixture, lines: &Value) -> String {
    let mut spec = session();
    spec.claims.insert("handshake".into(), lines.clone());
    fixture.mint(&spec)
}

pub(crate) fn set_cookies(result: &AuthResult) -> Vec<&str> {
    result.set_cookies().collect()
}

/// Outcome, number of cookies, and whether there is a redirect.
pub(crate) fn seen(result: &AuthResult) -> (String, usize, bool) {
    (word(result), result.set_cookies().len(), result.redirect().is_some())
}
