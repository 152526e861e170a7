//! The requests that are measured: Clerk's session token of version 2 with an organization, among the lines of a browser.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerk_auth::internals::ffi::clerk_header;
use clerk_sim::KeyStore;

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

/// Returns the part of a token that is signed: a session token of version 2, its members in Clerk's order, valid for two hours.
/// A thousand users share an organization.
pub fn signing_input(kid: &str, user: &str, number: usize) -> String {
    let (iat, org) = (now_s(), number / 1000);
    let (exp, nbf) = (iat + 7200, iat - 10);
    let header = format!(r#"{{"alg":"RS256","cat":"cl_B7d4PD111AAA","kid":"{kid}","typ":"JWT"}}"#);
    let organization =
        format!(r#"{{"fpm":"3,1","id":"org_2bench{org:021}","per":"read,manage","rol":"admin","slg":"acme"}}"#);
    let claims = format!(
        r#"{{"azp":"{}","exp":{exp},"fea":"o:invoices,o:reports","fva":[5,-1],"iat":{iat},"iss":"https://clerk.example.com","nbf":{nbf},"o":{organization},"pla":"o:pro","sid":"sess_2bench{number:021}","sts":"active","sub":"{user}","v":2}}"#,
        PARTY.1
    );
    [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

/// Returns a token that the fake API's key has signed.
pub fn token(keys: &KeyStore, user: &str) -> String {
    let key = keys.get("k1").unwrap();
    let input = signing_input(&key.kid, user, 0);
    let signature = key.sign("RS256", input.as_bytes()).unwrap();
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
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
