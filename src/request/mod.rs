//! Extracts the credential from the header and cookie lines of a request.
//!
//! Reads `Authorization` per RFC 9110 §11.4 and RFC 6750 §2.1, cookies per RFC 6265 §5.4. A malformed cookie of another
//! application is skipped. A request with a Bearer header never falls back to its cookies.

mod base64url;
mod bearer;
mod browser_cookies;
mod cookies;
mod csrf;
mod name;
mod other_lines;
mod page;
mod unverified;

pub use base64url::Decoded;
pub(crate) use base64url::Decoder;
pub use browser_cookies::BrowserCookies;
use csrf::Single;
#[cfg_attr(not(feature = "capi"), allow(unused_imports, reason = "only the C ABI defers lines"))]
pub(crate) use other_lines::LineSource;
use smallvec::SmallVec;
pub(crate) use unverified::split_jws;
pub use unverified::{UnverifiedClaims, decode_unverified};

use crate::reason::Reason;
use name::Name;
use other_lines::LazyLines;

/// The maximum length of a token in bytes. Browsers limit cookies to 4 KiB, most servers limit header lines to 8 KiB.
pub const MAX_TOKEN_LEN: usize = 16 * 1024;
/// The maximum length of all cookie lines of a request together, in bytes.
const MAX_COOKIES_LEN: usize = 64 * 1024;
/// The maximum number of cookie lines of a request. HTTP/2 permits a line for each cookie (RFC 9113 §8.2.3).
const MAX_COOKIE_LINES: usize = 512;

type Lines<'a> = SmallVec<[&'a [u8]; 2]>;

/// The parts of an HTTP request that authentication reads. Borrows them; ignores all other headers.
///
/// # Examples
///
/// ```
/// use clerk_auth::Request;
///
/// let mut request = Request::new();
/// request.method(b"GET").header(b"Authorization", b"Bearer eyJhbGciOi.e30.AAAA").header(b"Cookie", b"theme=dark");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    authorization: Single<'a>,
    cookies: Lines<'a>,
    method: &'a [u8],
    other: LazyLines<'a>,
    mark: Option<u64>,
}

impl<'a> Request<'a> {
    /// Returns whether the request has an `Authorization` line that is not empty, or several.
    pub(crate) fn has_authorization(&self) -> bool {
        match self.authorization {
            Single::Absent => false,
            Single::Once(line) => !line.is_empty(),
            Single::Several => true,
        }
    }

    /// Creates a request without headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one header line. Names are case-insensitive (RFC 9110 §5.1). To be called once per line, in order.
    pub fn header(&mut self, name: &[u8], value: &'a [u8]) -> &mut Self {
        if !self.credential_header(name, value) {
            self.other_header(name, value);
        }
        self
    }

    /// Adds a line unless it is one of [`Self::credential_header`].
    pub(crate) fn other_header(&mut self, name: &[u8], value: &'a [u8]) {
        self.other.change(|lines| lines.add(name, value));
    }

    /// Adds a line if it is one of those that can hold a credential. Returns whether it is.
    #[inline(always)]
    pub(crate) fn credential_header(&mut self, name: &[u8], value: &'a [u8]) -> bool {
        const COOKIE: Name = Name::new(b"cookie");
        const AUTHORIZATION: Name = Name::new(b"authorization");
        match name.len() {
            13 if AUTHORIZATION.is(name) => self.authorization.add(value),
            // One line too many is stored, so that the request is rejected.
            6 if COOKIE.is(name) && self.cookies.len() <= MAX_COOKIE_LINES => self.cookies.push(value),
            6 if COOKIE.is(name) => {}
            _ => return false,
        }
        true
    }

    /// Adds all lines of a source but those of [`Self::credential_header`], before any other call. They are read when they are
    /// needed.
    #[cfg_attr(not(any(test, feature = "capi")), allow(dead_code, reason = "only the C ABI defers lines"))]
    pub(crate) fn defer(&mut self, source: &'a dyn LineSource<'a>) -> &mut Self {
        self.other.defer(source);
        self
    }

    /// Sets the method. The setting `csrf` and `handshake_recommended` of a result depend on it.
    pub fn method(&mut self, method: &'a [u8]) -> &mut Self {
        self.method = method;
        self
    }

    /// Sets when the request began, for an application that calls the client some time later, on another thread: the value that
    /// [`Client::mark`](crate::Client::mark) returned then. Without it, the request begins with the call.
    pub fn mark(&mut self, mark: u64) -> &mut Self {
        self.mark = Some(mark);
        self
    }

    /// Returns the value of [`Self::mark`].
    pub(crate) fn marked(&self) -> Option<u64> {
        self.mark
    }

    /// Returns whether a browser requests a document, so that it would follow a redirect.
    pub fn is_document_request(&self) -> bool {
        self.method == b"GET"
            && match self.other.get().fetch_dest {
                Single::Once(dest) => dest == b"document" || dest == b"iframe",
                Single::Absent => self.other.get().accept.is_some_and(|accept| accept.starts_with(b"text/html")),
                Single::Several => false,
            }
    }
}

/// Where a token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer …`
    Header,
    /// The cookie `__session` or `__session_<suffix>`.
    Cookie,
}

/// The token of a request, borrowed from its header or cookie line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential<'a> {
    /// The token's bytes, unchanged: what is hashed, looked up in the cache and verified.
    pub token: &'a [u8],
    /// Where the token was found.
    pub source: TokenSource,
    /// The cookie `__client_uat` if it is checked: when the browser last signed in, in seconds since 1970; 0 if signed out.
    pub client_uat: Option<i64>,
}

impl<'a> Credential<'a> {
    /// Returns the token as a string, or `None` if it is not a token68 (RFC 9110 §11.2). Not checked on a cache hit, because
    /// only tokens that were verified are in the cache.
    pub fn token_str(&self) -> Option<&'a str> {
        bearer::is_token68(self.token).then(|| std::str::from_utf8(self.token).ok()).flatten()
    }
}

/// How credentials are extracted; derived from the configuration.
#[derive(Clone, Debug, Default)]
pub struct ExtractOptions {
    /// The instance that the publishable key names. Without one, its suffixed cookies cannot be distinguished from others.
    pub instance: Option<ClerkInstance>,
    /// Whether `__client_uat` is checked.
    pub check_client_uat: bool,
    /// Whether an `Authorization` value without a scheme is accepted as a token.
    pub allow_bare_token: bool,
    /// Whether of the session cookies only the instance's suffixed one is read.
    pub require_suffixed_cookie: bool,
    /// Whether only the `Authorization` header is read.
    pub ignore_cookies: bool,
}

/// A Clerk instance, as its publishable key names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClerkInstance {
    /// The suffix of the instance's cookies: eight characters.
    pub suffix: String,
    /// The host of the instance's Frontend API, which issues its tokens.
    pub frontend_api: String,
    /// Whether it is a production instance, `pk_live_…`.
    pub production: bool,
}

/// Extracts the credential. Returns `Ok(None)` if the request has none.
///
/// # Errors
///
/// The reason if the request has a credential and it is rejected.
#[inline]
pub fn extract<'a>(
    request: &Request<'a>,
    options: &ExtractOptions,
    now_s: i64,
) -> Result<Option<Credential<'a>>, Reason> {
    match extract_header(request, options)? {
        Some(credential) => Ok(Some(credential)),
        None => extract_cookie(request, options, now_s),
    }
}

/// Returns where the request has a credential, and the token unless the credential is malformed.
pub fn locate<'a>(
    request: &Request<'a>,
    options: &ExtractOptions,
    now_s: i64,
) -> Option<(TokenSource, Option<&'a [u8]>)> {
    let (source, found) = match extract_header(request, options) {
        Ok(None) => (TokenSource::Cookie, extract_cookie(request, options, now_s)),
        found => (TokenSource::Header, found),
    };
    match found {
        Ok(credential) => credential.map(|credential| (source, Some(credential.token))),
        Err(Reason::SessionTokenAndUatMissing | Reason::ClientUatButNoSessionToken) => None,
        Err(_) => Some((source, None)),
    }
}

/// Extracts the credential of the `Authorization` header. Returns `Ok(None)` if it has none.
///
/// # Errors
///
/// The reason if it has a credential and it is rejected.
#[inline(always)]
pub fn extract_header<'a>(request: &Request<'a>, options: &ExtractOptions) -> Result<Option<Credential<'a>>, Reason> {
    let line = match request.authorization {
        Single::Absent => return Ok(None),
        Single::Once(line) => line,
        // RFC 9110 §5.3: Authorization is no list; two lines of it are request smuggling or a broken proxy.
        Single::Several => return Err(Reason::TokenInvalid),
    };
    let token = bearer::parse(line, options.allow_bare_token)?;
    Ok(token.map(|token| Credential { token, source: TokenSource::Header, client_uat: None }))
}

fn extract_cookie<'a>(
    request: &Request<'a>,
    options: &ExtractOptions,
    now_s: i64,
) -> Result<Option<Credential<'a>>, Reason> {
    match options.ignore_cookies {
        true => Ok(None),
        false => cookies::extract(&request.cookies, options, now_s),
    }
}

/// Returns whether there are more cookie lines, or longer ones, than are read.
fn are_too_long(lines: &[&[u8]]) -> bool {
    lines.len() > MAX_COOKIE_LINES || lines.iter().map(|line| line.len()).sum::<usize>() > MAX_COOKIES_LEN
}

/// Strips spaces and tabs at both ends.
#[inline(always)]
fn trim(value: &[u8]) -> &[u8] {
    match value {
        [] | [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => trim_blanks(value),
        _ => value,
    }
}

#[cold]
fn trim_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Returns the token if it is neither empty nor too long.
#[inline(always)]
fn check_len(token: &[u8]) -> Option<&[u8]> {
    (1..=MAX_TOKEN_LEN).contains(&token.len()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_authorization_lines_are_rejected() {
        let mut request = Request::new();
        request.header(b"Authorization", b"Bearer a").header(b"authorization", b"Bearer a");
        assert_eq!(extract(&request, &ExtractOptions::default(), 0), Err(Reason::TokenInvalid));
    }

    #[test]
    fn malformed_bearer_does_not_fall_back_to_cookie() {
        let mut request = Request::new();
        request.header(b"Authorization", b"Bearer").header(b"Cookie", b"__session=tok");
        assert_eq!(extract(&request, &ExtractOptions::default(), 0), Err(Reason::TokenInvalid));
    }

    #[test]
    fn document_request_is_recognized_by_fetch_metadata_or_accept() {
        let is_document = |method: &'static str, headers: &[(&str, &'static str)]| {
            let mut request = Request::new();
            request.method(method.as_bytes());
            for (name, value) in headers {
                request.header(name.as_bytes(), value.as_bytes());
            }
            request.is_document_request()
        };
        assert!(is_document("GET", &[("Sec-Fetch-Dest", "document")]));
        assert!(is_document("GET", &[("Accept", "text/html,*/*")]));
        assert!(is_document("GET", &[("Sec-Fetch-Dest", ""), ("Accept", "text/html")]));
        assert!(is_document("GET", &[("Accept", ""), ("Accept", "text/html"), ("Accept", "*/*")]));
        assert!(!is_document("GET", &[("Accept", "*/*"), ("Accept", "text/html")]));
        assert!(!is_document("GET", &[("Sec-Fetch-Dest", "document"), ("Sec-Fetch-Dest", "empty")]));
        assert!(!is_document("GET", &[("Sec-Fetch-Dest", "empty"), ("Accept", "text/html")]));
        assert!(!is_document("POST", &[("Accept", "text/html")]));
    }
}
