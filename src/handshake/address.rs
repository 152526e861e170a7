//! The public URL of a request: where Clerk sends the browser back to.
//!
//! It is scheme, host and target in a row, never resolved against anything: a target cannot name another host.

use std::borrow::Cow;

use super::query::{self, Url};
use crate::request::Request;

/// The public URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// Scheme, host and port, in lower case, without a default port.
    pub origin: String,
    /// Path and query, beginning with a slash: no white space, control character or fragment, but perhaps more than ASCII.
    pub target: &'a [u8],
}

/// Parameters that are not sent to Clerk: they belong to one visit.
const NOT_SENT: &[&str] = &["__clerk_db_jwt", "__dev_session"];
/// The same, and those of an earlier response, which would be read before the next one.
const NOT_SENT_NOR_RESPONSE: &[&str] =
    &["__clerk_db_jwt", "__dev_session", "__clerk_handshake", "__clerk_handshake_nonce"];
/// Parameters of a response, which are removed when it has been read.
const RESPONSE: &[&str] = &["__clerk_handshake", "__clerk_help", "__clerk_db_jwt", "__clerk_handshake_nonce"];

impl<'a> Address<'a> {
    /// Returns the public URL of a request; `None` if it is not known or malformed. The host counts as stated by the
    /// application, or with `trust_forwarded` by its proxy.
    pub fn of(request: &Request<'a>, trust_forwarded: bool) -> Option<Self> {
        let lines = request.page();
        let forwarded = |line: Option<&'a [u8]>| line.filter(|_| trust_forwarded).map(first_element);
        let scheme = forwarded(lines.forwarded_proto).unwrap_or(lines.scheme);
        let host = forwarded(lines.forwarded_host).or_else(|| request.host())?;
        Some(Address { origin: origin(scheme, host)?, target: target(lines.target)? })
    }

    /// Returns the whole URL, or `None` if it is too long.
    pub fn url(&self, max_len: usize) -> Option<String> {
        self.url_without(&[], max_len)
    }

    /// Returns the URL without parameters that Clerk must not get, nor with `cut_response` those of an earlier response; `None` if
    /// it is too long.
    pub fn url_for_clerk(&self, cut_response: bool, max_len: usize) -> Option<String> {
        self.url_without(if cut_response { NOT_SENT_NOR_RESPONSE } else { NOT_SENT }, max_len)
    }

    /// Returns the URL without the parameters of a response, or `None` if it is too long; and whether there were any.
    pub fn url_without_response(&self, max_len: usize) -> (Option<String>, bool) {
        (self.url_without(RESPONSE, max_len), query::has_any(self.target, RESPONSE))
    }

    fn url_without(&self, names: &[&str], max_len: usize) -> Option<String> {
        let mut url = Url::new(&self.origin, self.origin.len() + self.target.len(), max_len);
        url.push_target(query::without(self.target, names));
        url.finish()
    }

    /// Returns the path, with bytes that are not ASCII percent-encoded; an empty one if it is longer.
    pub fn path(&self, max_len: usize) -> Cow<'a, str> {
        let path = query::split(self.target).0;
        match std::str::from_utf8(path) {
            Ok(path) if path.is_ascii() && path.len() <= max_len => Cow::Borrowed(path),
            _ => {
                let mut encoded = Url::new("", path.len(), max_len);
                encoded.push_target([path]);
                Cow::Owned(encoded.finish().unwrap_or_default())
            }
        }
    }
}

/// The first element of a list.
fn first_element(line: &[u8]) -> &[u8] {
    let end = memchr::memchr(b',', line).unwrap_or(line.len());
    line[..end].trim_ascii()
}

/// A host name has 253 characters at most (RFC 1035 §2.3.4), a port 5.
const MAX_HOST_LEN: usize = 260;

/// Returns a serialized origin (RFC 6454 §6.2) in lower case; `None` unless the scheme is `http` or `https` and the host has
/// a plain form.
pub fn origin(scheme: &[u8], host: &[u8]) -> Option<String> {
    if scheme.len() > MAX_HOST_LEN || host.len() > MAX_HOST_LEN {
        return None;
    }
    let scheme = std::str::from_utf8(scheme).ok()?.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => "443",
        "http" => "80",
        _ => return None,
    };
    let host = std::str::from_utf8(host).ok()?.to_ascii_lowercase();
    let name_len = match host.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(name_len);
    let is_name = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')),
    };
    if !is_name {
        return None;
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => "",
        Some(digits) if digits == default_port => "",
        Some(digits) if digits.parse::<u16>().is_ok_and(|n| n > 0 && n.to_string() == digits) => port,
        _ => return None,
    };
    Some(format!("{scheme}://{name}{port}"))
}

/// Splits an absolute `http` or `https` URL into its origin and the rest, which begins with `/`, `?` or `#` if it is not empty.
/// `None` if it has user info or characters that no URL has.
pub fn split_url(url: &str) -> Option<(String, &str)> {
    if !url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, rest) = rest.split_at(end);
    Some((origin(scheme.as_bytes(), host.as_bytes())?, rest))
}

/// Longer targets have no parameter and no public URL: reading them must not take long. A response of Clerk has 16 KiB at most.
pub(super) const MAX_TARGET_LEN: usize = 32 * 1024;

/// Checks the request target.
fn target(target: &[u8]) -> Option<&[u8]> {
    let is_part = |b: &u8| !b.is_ascii_control() && !matches!(b, b' ' | b'#');
    (target.len() <= MAX_TARGET_LEN && target.starts_with(b"/") && target.iter().all(is_part)).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address<'a>(scheme: &'a str, host: &'a str, target: &'a str) -> Option<String> {
        let mut request = Request::new();
        request.scheme(scheme.as_bytes()).target(target.as_bytes()).header(b"Host", host.as_bytes());
        Address::of(&request, false).and_then(|address| address.url(1000))
    }

    #[test]
    fn public_url_is_scheme_host_and_target() {
        for (scheme, host, target, url) in [
            ("https", "App.Example.COM:443", "/a?b=c", "https://app.example.com/a?b=c"),
            ("HTTP", "localhost:3000", "/", "http://localhost:3000/"),
            ("http", "[::1]:80", "//evil.example/x", "http://[::1]//evil.example/x"),
            ("https", "app.example.com", "/\\evil.example", "https://app.example.com/\\evil.example"),
            ("https", "app.example.com", "/\u{e9}", "https://app.example.com/%C3%A9"),
        ] {
            assert_eq!(address(scheme, host, target).as_deref(), Some(url));
        }
    }

    #[test]
    fn malformed_scheme_host_or_target_has_no_public_url() {
        for (scheme, host, target) in [
            ("", "app.example.com", "/"),
            ("javascript", "app.example.com", "/"),
            ("https", "", "/"),
            ("https", "user@app.example.com", "/"),
            ("https", "app.example.com/evil", "/"),
            ("https", "app.example.com#", "/"),
            ("https", "app.example.com:", "/"),
            ("https", "app.example.com:0443", "/"),
            ("https", "app.example.com:65536", "/"),
            ("https", "app.example.com, evil.example", "/"),
            ("https", "[::1", "/"),
            ("https", "[evil.example]", "/"),
            ("https", "app.example.com", ""),
            ("https", "app.example.com", "*"),
            ("https", "app.example.com", "http://evil.example/"),
            ("https", "app.example.com", "@evil.example/"),
            ("https", "app.example.com", "/a\r\nX: y"),
            ("https", "app.example.com", "/a b"),
            ("https", &"a".repeat(MAX_HOST_LEN + 1), "/"),
            ("https", "app.example.com", &"/".repeat(MAX_TARGET_LEN + 1)),
        ] {
            assert_eq!(address(scheme, host, target), None, "{scheme} {host} {target}");
        }
    }

    #[test]
    fn forwarded_lines_count_only_if_trusted_and_only_the_first_element() {
        let mut request = Request::new();
        request.scheme(b"http").target(b"/").header(b"Host", b"10.0.0.5:8080");
        request
            .header(b"X-Forwarded-Host", b"app.example.com , evil.example")
            .header(b"x-forwarded-proto", b"https,http");
        assert_eq!(Address::of(&request, true).unwrap().url(100).unwrap(), "https://app.example.com/");
        assert_eq!(Address::of(&request, false).unwrap().url(100).unwrap(), "http://10.0.0.5:8080/");
    }

    #[test]
    fn two_host_lines_have_no_public_url() {
        let mut request = Request::new();
        request.scheme(b"https").target(b"/").header(b"Host", b"a.example").header(b"Host", b"a.example");
        assert_eq!(Address::of(&request, false), None);
    }
}
