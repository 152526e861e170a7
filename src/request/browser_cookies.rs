//! All cookies that Clerk sets in a browser, as the handshake reads them.

use memchr::memchr;

use super::cookies::{SessionCookies, pairs, parse_int_prefix, uses_suffixed_cookies};
use super::{ExtractOptions, MAX_COOKIES_LEN, Request, trim};
use crate::reason::Reason;

/// Clerk's cookies of one instance. Empty cookies are absent; of several with the same name the first counts.
#[derive(Debug, Default)]
pub struct BrowserCookies<'a> {
    /// The session token: of the suffixed or of the plain cookies, whichever are used.
    pub session: Option<&'a [u8]>,
    /// When the browser last signed in, in seconds since 1970; 0 if signed out. Of the cookies that are used.
    pub client_uat: i64,
    /// Whether the suffixed cookies are used.
    pub is_suffixed: bool,
    /// The development browser. Of the cookies that are used.
    pub dev_browser: Option<&'a [u8]>,
    /// The refresh token, which is in a suffixed cookie only.
    pub refresh: Option<&'a [u8]>,
    /// The handshake token.
    pub handshake: Option<&'a [u8]>,
    /// The nonce of a handshake.
    pub nonce: Option<&'a [u8]>,
    /// How often the browser was redirected within the last two seconds.
    pub redirect_count: u32,
}

impl<'a> BrowserCookies<'a> {
    /// Reads the cookies of a request.
    ///
    /// # Errors
    ///
    /// [`Reason::TokenInvalid`] if the cookie lines are too long.
    pub fn read(request: &Request<'a>, options: &ExtractOptions, now_s: i64) -> Result<Self, Reason> {
        let lines = &request.cookies;
        if lines.iter().map(|line| line.len()).sum::<usize>() > MAX_COOKIES_LEN {
            return Err(Reason::TokenInvalid);
        }
        let suffix = options.instance.as_ref().map(|instance| instance.suffix.as_str());
        let session = SessionCookies::parse(lines, suffix);
        let is_suffixed = options.require_suffixed_cookie
            || options.instance.as_ref().is_some_and(|instance| uses_suffixed_cookies(&session, instance, now_s));
        let mut cookies = BrowserCookies::default();
        (cookies.session, cookies.is_suffixed) = match is_suffixed {
            true => (session.session_suffixed, true),
            false => (session.session, false),
        };
        let client_uat = if is_suffixed { session.client_uat_suffixed } else { session.client_uat };
        cookies.client_uat = client_uat.map_or(0, parse_int_prefix);
        for pair in lines.iter().flat_map(|line| pairs(line)).map(trim).filter(|pair| pair.starts_with(b"__")) {
            let Some(equals) = memchr(b'=', pair) else { continue };
            let (name, value) = (trim(&pair[..equals]), unquote(trim(&pair[equals + 1..])));
            cookies.set(name, value, suffix.unwrap_or_default().as_bytes());
        }
        Ok(cookies)
    }

    fn set(&mut self, name: &[u8], value: &'a [u8], suffix: &[u8]) {
        let is_own = |rest: &[u8]| rest.strip_prefix(b"_") == Some(suffix);
        let slot = match name {
            b"__clerk_handshake" => &mut self.handshake,
            b"__clerk_handshake_nonce" => &mut self.nonce,
            b"__clerk_redirect_count" => {
                if self.redirect_count == 0 {
                    self.redirect_count = parse_count(value);
                }
                return;
            }
            _ => match (name.strip_prefix(b"__clerk_db_jwt"), name.strip_prefix(b"__refresh")) {
                (Some(b""), _) if !self.is_suffixed => &mut self.dev_browser,
                (Some(rest), _) if self.is_suffixed && is_own(rest) => &mut self.dev_browser,
                (_, Some(rest)) if is_own(rest) => &mut self.refresh,
                _ => return,
            },
        };
        if slot.is_none() && !value.is_empty() {
            *slot = Some(value);
        }
    }
}

fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        value => value,
    }
}

/// Reads decimal digits; anything else is 0.
fn parse_count(value: &[u8]) -> u32 {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    value.iter().fold(0, |n: u32, digit| n.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::super::ClerkInstance;
    use super::*;

    fn read(line: &str) -> BrowserCookies<'_> {
        let instance = ClerkInstance { suffix: "1Z8AzTQD".into(), frontend_api: "us".into(), production: false };
        let options = ExtractOptions { instance: Some(instance), ..ExtractOptions::default() };
        let mut request = Request::new();
        request.header(b"Cookie", line.as_bytes());
        BrowserCookies::read(&request, &options, 0).unwrap()
    }

    #[test]
    fn cookies_of_the_handshake_are_read_by_exact_name() {
        let cookies = read(
            "__clerk_handshake=h; __clerk_handshake_x=no; __clerk_handshake_nonce=; __clerk_handshake_nonce=n; \
             __refresh=no; __refresh_1Z8AzTQD=r; __clerk_db_jwt=plain; __clerk_db_jwt_1Z8AzTQD=suffixed",
        );
        assert_eq!(
            (cookies.handshake, cookies.nonce, cookies.refresh),
            (Some(&b"h"[..]), Some(&b"n"[..]), Some(&b"r"[..]))
        );
        assert_eq!((cookies.dev_browser, cookies.is_suffixed), (Some(&b"plain"[..]), false));
        let suffixed = read("__client_uat_1Z8AzTQD=5; __clerk_db_jwt=plain; __clerk_db_jwt_1Z8AzTQD=suffixed");
        assert_eq!((suffixed.dev_browser, suffixed.client_uat), (Some(&b"suffixed"[..]), 5));
    }

    #[test]
    fn redirect_count_is_decimal_digits_only() {
        for (value, count) in
            [("3", 3), ("", 0), ("+1", 0), ("0x3", 0), ("2.5", 0), ("-1", 0), ("99999999999", u32::MAX)]
        {
            assert_eq!(read(&format!("__clerk_redirect_count={value}")).redirect_count, count, "{value}");
        }
    }
}
