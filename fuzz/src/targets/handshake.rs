//! The browser handshake: its payload, and the URLs that a browser is redirected to.

use std::sync::OnceLock;

use clerk_auth::internals::parts::HandshakeLines;
use clerk_auth::{Client, Request};
use serde_json::{Value, json};

use crate::input::Input;
use crate::limits::watch;
use crate::second::{self, Tree};
use crate::tokens::{self, NOW_S};

const CLERKS: [&str; 4] = ["__session", "__client", "__refresh", "__clerk"];

fn is_printable(line: &str) -> bool {
    line.bytes().all(|b| (0x20..=0x7e).contains(&b))
}

/// Input: the payload of a handshake token. A second filter finds the same lines and the same session.
pub fn payload(data: &[u8]) {
    let found = watch(|| HandshakeLines::of_token(data));
    let tree = Tree::parse(data).filter(|tree| matches!(tree, Tree::Object(_)) && tree.is_strict());
    assert_eq!(found.is_some(), tree.is_some());
    let (Some(found), Some(tree)) = (found, tree) else { return };
    let items = tree.get("handshake").and_then(Tree::items).filter(|items| items.len() <= 512).unwrap_or_default();
    let mut kept: Vec<&str> = Vec::new();
    for line in items.iter().filter_map(Tree::string) {
        let pair: Vec<&str> = line.splitn(2, ';').next().expect("a part").splitn(2, '=').collect();
        let is_name = pair[0].chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.');
        let total: usize = kept.iter().map(|line| line.len()).sum();
        if pair.len() == 2
            && is_name
            && CLERKS.iter().any(|start| pair[0].starts_with(start))
            && is_printable(line)
            && line.len() <= 8 << 10
            && kept.len() < 32
            && total + line.len() <= 32 << 10
        {
            kept.push(line);
        }
    }
    assert_eq!(found.kept, kept);
    assert_eq!(found.dropped, items.len() - kept.len());
    let mut session = None;
    for line in &kept {
        let pair = line.split(';').next().expect("a part");
        if let Some(value) = pair.strip_prefix("__session=").or_else(|| pair.strip_prefix("__session_1Z8AzTQD=")) {
            session = Some(value.split('=').next().unwrap_or_default().trim()).filter(|value| !value.is_empty());
        }
    }
    assert_eq!(found.session("1Z8AzTQD"), session);
}

struct Site {
    client: Client,
    /// The only origins that a browser may be sent to, besides those under `own`.
    elsewhere: &'static [&'static str],
    /// The origins of the application; empty: that of the request.
    own: &'static [&'static str],
    is_development: bool,
    trusts_proxy: bool,
}

const LIVE: &str = "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k";
const TEST: &str = "pk_test_Y2xlYW4tbWF5Zmx5LTYyLmNsZXJrLmFjY291bnRzLmRldiQ=";
const FRONTEND: &str = "https://clerk.example.com";
const TEST_FRONTEND: &str = "https://clean-mayfly-62.clerk.accounts.dev";
const APP: &str = "https://app.example.com";
const SATELLITE: &str = "https://satellite.example.net";

fn sites() -> &'static [Site] {
    static SITES: OnceLock<Vec<Site>> = OnceLock::new();
    SITES.get_or_init(|| {
        let site = |settings: &[(&str, &str)], elsewhere, own| {
            let mut builder = Client::builder()
                .secret_key("sk_test_fuzz")
                .jwt_key(tokens::public_jwk("k1"))
                .set("handshake", "on")
                .clock(|| NOW_S * 1000);
            for (name, value) in settings {
                builder = builder.set(name, value);
            }
            let has = |name: &str, value: &str| settings.contains(&(name, value));
            Site {
                client: builder.build().expect("a client"),
                elsewhere,
                own,
                is_development: has("publishable_key", TEST),
                trusts_proxy: has("trust_forwarded", "true"),
            }
        };
        let (live, test) = (("publishable_key", LIVE), ("publishable_key", TEST));
        let parties = ("authorized_parties", APP);
        let any = ("authorized_parties_missing", "accept");
        vec![
            site(&[live, parties], &[FRONTEND], &[APP]),
            site(&[live, any, ("trust_forwarded", "true"), ("csrf", "off")], &[FRONTEND], &[]),
            site(
                &[test, parties, ("satellite_origins", SATELLITE), ("csrf", "off")],
                &[TEST_FRONTEND, SATELLITE, APP],
                &[APP],
            ),
            site(&[test, any, ("csrf", "off")], &[TEST_FRONTEND], &[]),
            site(
                &[
                    live,
                    parties,
                    ("is_satellite", "true"),
                    ("domain", "satellite.example.net"),
                    ("satellite_auto_sync", "true"),
                ],
                &["https://clerk.satellite.example.net"],
                &[APP, SATELLITE],
            ),
            site(
                &[
                    test,
                    parties,
                    ("is_satellite", "true"),
                    ("domain", "satellite.example.net"),
                    ("satellite_auto_sync", "true"),
                    ("sign_in_url", "https://primary.example.com/sign-in?a=b"),
                ],
                &[TEST_FRONTEND, "https://primary.example.com"],
                &[APP, SATELLITE],
            ),
            site(
                &[
                    live,
                    parties,
                    ("proxy_url", "/__clerk"),
                    ("handshake_query", "always"),
                    ("cross_origin_sync", "true"),
                    ("organization_patterns", "/orgs/:slug,/orgs/:slug/(.*)"),
                    ("personal_account_patterns", "/me,/me/(.*)"),
                ],
                &[],
                &[APP],
            ),
            site(
                &[
                    live,
                    parties,
                    ("proxy_url", "https://proxy.example.net/x/"),
                    ("handshake_query", "always"),
                    ("handshake_send_session", "false"),
                    ("organization_patterns", "/(.*)-(.*)-:id,/:slug/(.*)/(.*)x"),
                ],
                &["https://proxy.example.net"],
                &[APP],
            ),
        ]
    })
}

/// Signed handshake tokens: with a session, with one that has expired, without any.
fn handshakes() -> &'static [String] {
    static TOKENS: OnceLock<Vec<String>> = OnceLock::new();
    TOKENS.get_or_init(|| {
        let session = |at: usize| format!("__session={}; Path=/; Secure", tokens::pool()[at].token);
        let payloads: [Value; 3] = [
            json!([session(2), "__client_uat=5; Path=/"]),
            json!([session(5), "evil=1", "__session=a\r\nX: y"]),
            json!([]),
        ];
        payloads.iter().map(|lines| tokens::sign("k1", json!({}), &json!({"handshake": lines}))).collect()
    })
}

/// Replaces `{0}` by a session token and `{h0}` by a handshake token.
fn filled(line: &[u8]) -> Vec<u8> {
    let mut filled = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.iter().position(|b| *b == b'{') {
        filled.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let (token, len) = match rest {
            [b'{', n @ b'0'..=b'5', b'}', ..] => (tokens::pool()[usize::from(n - b'0')].token.as_str(), 3),
            [b'{', b'h', n @ b'0'..=b'2', b'}', ..] => (handshakes()[usize::from(n - b'0')].as_str(), 4),
            _ => ("{", 1),
        };
        filled.extend_from_slice(token.as_bytes());
        rest = &rest[len..];
    }
    filled.extend_from_slice(rest);
    filled
}

/// The origin of a URL as a browser reads it, which also takes a backslash for a slash.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("an absolute URL");
    let host = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    assert!(!host.is_empty() && !host.contains('@'), "{url}");
    format!("{scheme}://{host}")
}

fn decoded(encoded: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let pair = String::from_utf8(vec![*high, *low]).expect("digits");
                bytes.push(u8::from_str_radix(&pair, 16).expect("digits"));
                rest = tail;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    bytes
}

/// Input: settings and method, then scheme, target and lines `Name: value`.
pub fn url(data: &[u8]) {
    let mut input = Input(data);
    let site = &sites()[input.below(8)];
    let bits = input.byte();
    let (scheme, target) = (input.line(), filled(input.line()));
    let mut lines: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    while !input.is_empty() && lines.len() < 50 {
        let line = input.line();
        let (name, value) = line.split_at(line.iter().position(|b| *b == b':').unwrap_or(line.len()));
        lines.push((name.to_vec(), filled(value.get(1..).unwrap_or_default())));
    }
    let mut request = Request::new();
    request.method(if bits & 1 == 0 { b"GET" } else { b"POST" }).scheme(scheme).target(&target);
    if bits & 2 == 0 {
        request.header(b"Sec-Fetch-Dest", b"document").header(b"Accept", b"text/html");
    }
    if bits & 4 == 0 {
        request.header(b"Host", b"app.example.com");
    }
    for (name, value) in &lines {
        request.header(name, value);
    }
    let Some(result) = watch(|| site.client.authenticate_cached(&request)) else { return };
    for line in result.set_cookies() {
        assert!(is_printable(line) && CLERKS.iter().any(|start| line.starts_with(start)), "{line:?}");
    }
    let Some(location) = result.redirect() else { return };
    assert!(location.len() <= 7 << 10 && location.bytes().all(|b| b.is_ascii_graphic()), "{location:?}");
    assert!(result.cache_control().is_some());
    // A browser is sent to the origins of the settings, whatever the request says.
    let values = |wanted: &str| {
        let of_lines = lines.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
        of_lines.map(|(_, value)| String::from_utf8_lossy(value).to_ascii_lowercase()).collect::<Vec<_>>()
    };
    let is_own = |url: &str| {
        let origin = origin(url);
        if !site.own.is_empty() {
            return site.own.contains(&origin.as_str());
        }
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        let mut hosts = values("host");
        hosts.extend(["x-forwarded-host"].iter().filter(|_| site.trusts_proxy).flat_map(|name| values(name)));
        hosts.push("app.example.com".into());
        hosts.iter().any(|stated| stated.contains(host))
    };
    assert!(site.elsewhere.contains(&origin(location).as_str()) || is_own(location), "{location}");
    let Some((_, query)) = location.split_once("/v1/client/handshake?") else { return };
    if is_own(location) && !location.starts_with(&format!("{APP}/__clerk/v1/client/handshake?")) {
        return;
    }
    let pairs: Vec<(&str, Vec<u8>)> = query
        .split('&')
        .map(|pair| pair.split_once('=').expect("a value"))
        .map(|(name, v)| (name, decoded(v)))
        .collect();
    let one = |wanted: &str| {
        let mut found = pairs.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| value.as_slice());
        let first = found.next();
        assert!(found.next().is_none(), "{wanted} twice");
        first
    };
    let back = std::str::from_utf8(one("redirect_url").expect("a URL to come back to")).expect("ASCII");
    let mut names = back.split_once('?').map_or("", |(_, query)| query).split('&').map(|pair| pair.split('=').next());
    assert!(is_own(back) && names.all(|name| name != Some("__clerk_db_jwt")), "{back}");
    assert_eq!(one("format"), Some(&b"nonce"[..]));
    assert!(
        one("__clerk_hs_reason")
            .is_some_and(|word| word.iter().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(b)))
    );
    assert!(one("__clerk_db_jwt").is_none() || site.is_development);
    let session = one("__session").unwrap_or_default();
    assert!(session.is_empty() || lines.iter().any(|(_, value)| second::contains(value, session)));
    one("organization_id");
}
