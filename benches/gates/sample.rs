//! The requests that are measured: Clerk's session token of version 2 with an organization, among the lines of a browser.

use clerk_auth::internals::ffi::clerk_header;
use clerk_sim::{KeyStore, Org, TokenSpec};
use serde_json::json;

use crate::library::to_str;

const BROWSER: [(&str, &str); 10] = [
    ("Host", "app.example.com"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "application/json"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Content-Type", "application/json"),
    ("Origin", "https://app.example.com"),
    ("Sec-Fetch-Dest", "empty"),
    ("Sec-Fetch-Mode", "cors"),
    ("X-Request-Id", "7d1f3b1e-9c5e-4f57-9f6e-0d1a2b3c4d5e"),
];

pub const PARTY: (&str, &str) = ("authorized_parties", "https://app.example.com");

pub fn now_s() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

/// Returns a token with the claims that Clerk's tokens have, valid for an hour.
pub fn token(keys: &KeyStore, user: &str) -> String {
    let org = Org {
        id: "org_2bench00000000000000000000001".into(),
        slug: Some("acme".into()),
        role: Some("org:admin".into()),
        permissions: ["org:invoices:read", "org:invoices:manage", "org:reports:read"].map(String::from).into(),
        features: vec![],
    };
    let spec = TokenSpec::session(user).org(org).claim("pla", json!("o:pro")).exp_in(3600);
    spec.mint(keys, "k1", now_s()).unwrap()
}

/// The lines of a request. They borrow `value`.
pub fn lines(name: &'static str, value: &str) -> Vec<clerk_header> {
    let line = |name: &str, value: &str| clerk_header { name: to_str(name), value: to_str(value) };
    let browser = BROWSER.iter().map(|(name, value)| line(name, value));
    browser.chain([line(name, value)]).collect()
}

/// A `Cookie` header with the session token among others.
pub fn cookie(token: &str) -> String {
    format!(
        "{}; __session={token}; theme=dark",
        "_ga=GA1.1.1234567890.1700000000; consent=".to_owned() + &"a".repeat(140)
    )
}
