//! The public URL of a request: where Clerk sends the browser back to.
//!
//! It is scheme, host and target in a row, never resolved against anything: a target cannot name another host.

use std::borrow::Cow;

use super::query;
use crate::request::Request;

/// The public URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// Scheme, host and port, in lower case, without a default port.
    pub origin: String,
    /// Path and query, beginning with a slash.
    pub target: Cow<'a, str>,
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

    /// Returns the whole URL.
    pub fn url(&self) -> String {
        format!("{}{}", self.origin, self.target)
    }

    /// Returns the URL without parameters that Clerk must not get, nor with `cut_response` those of an earlier response.
    pub fn url_for_clerk(&self, cut_response: bool) -> String {
        let names = if cut_response { NOT_SENT_NOR_RESPONSE } else { NOT_SENT };
        format!("{}{}", self.origin, query::without(&self.target, names))
    }

    /// Returns the URL without the parameters of a response, and whether there were any.
    pub fn url_without_response(&self) -> (String, bool) {
        let target = query::without(&self.target, RESPONSE);
        let is_changed = target.len() != self.target.len();
        (format!("{}{target}", self.origin), is_changed)
    }

    /// Returns the path.
    pub fn path(&self) -> &str {
        query::split(&self.target).0
    }
}

/// The first element of a list.
fn first_element(line: &[u8]) -> &[u8] {
    let end = memchr::memchr(b',', line).unwrap_or(line.len());
    line[..end].trim_ascii()
}

/// Returns a serialized origin (RFC 6454 §6.2) in lower case; `None` unless the scheme is `http` or `https` and the host has
/// a plain form.
pub fn origin(scheme: &[u8], host: &[u8]) -> Option<String> {
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

/// Checks the request target; encodes bytes that are not ASCII.
fn target(target: &[u8]) -> Option<Cow<'_, str>> {
    if !target.starts_with(b"/") || target.iter().any(|b| b.is_ascii_control() || matches!(b, b' ' | b'#')) {
        return None;
    }
    match std::str::from_utf8(target) {
        Ok(target) if target.is_ascii() => Some(Cow::Borrowed(target)),
        _ => {
            let mut encoded = String::with_capacity(target.len() * 3);
            for byte in target {
                match byte.is_ascii() {
                    true => encoded.push(char::from(*byte)),
                    false => query::push_percent(&mut encoded, *byte),
                }
            }
            Some(Cow::Owned(encoded))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address<'a>(scheme: &'a str, host: &'a str, target: &'a str) -> Option<String> {
        let mut request = Request::new();
        request.scheme(scheme.as_bytes()).target(target.as_bytes()).header(b"Host", host.as_bytes());
        Address::of(&request, false).map(|address| address.url())
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
        assert_eq!(Address::of(&request, true).unwrap().url(), "https://app.example.com/");
        assert_eq!(Address::of(&request, false).unwrap().url(), "http://10.0.0.5:8080/");
    }

    #[test]
    fn two_host_lines_have_no_public_url() {
        let mut request = Request::new();
        request.scheme(b"https").target(b"/").header(b"Host", b"a.example").header(b"Host", b"a.example");
        assert_eq!(Address::of(&request, false), None);
    }
}
