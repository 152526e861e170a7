//! All cookies that Clerk sets in a browser, as the handshake reads them.

use memchr::memchr;

use super::cookies::{SessionCookies, are_equal, has_issuer, pairs, parse_int_prefix, uses_suffixed_cookies};
use super::{ExtractOptions, Request, are_too_long, trim};
use crate::reason::Reason;

/// Clerk's cookies of one instance. Empty cookies are absent; of several with the same name the first counts.
#[derive(Debug, Default)]
pub struct BrowserCookies<'a> {
    /// The session token: of the suffixed or of the plain cookies, whichever are used.
    pub session: Option<&'a [u8]>,
    /// When the browser last signed in, in seconds since 1970; 0 if signed out. Of the cookies that are used.
    pub client_uat: i64,
    /// Whether the suffixed cookies are used; `is_suffixed()` has the exact answer.
    is_suffixed: bool,
    /// Whether both kinds of cookies hold the same values, so that it makes no difference for the session.
    is_equal: bool,
    /// The development browser, of the plain cookie and of the suffixed one.
    dev_browsers: [Option<&'a [u8]>; 2],
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
        if are_too_long(lines) {
            return Err(Reason::TokenInvalid);
        }
        let suffix = options.instance.as_ref().map(|instance| instance.suffix.as_str());
        let session = SessionCookies::parse(lines, suffix);
        let is_suffixed = options.require_suffixed_cookie
            || options.instance.as_ref().is_some_and(|instance| uses_suffixed_cookies(&session, instance, now_s));
        let mut cookies = BrowserCookies {
            session: if is_suffixed { session.session_suffixed } else { session.session },
            is_suffixed,
            is_equal: !options.require_suffixed_cookie && are_equal(&session),
            ..BrowserCookies::default()
        };
        let mut redirect_count = None;
        let client_uat = if is_suffixed { session.client_uat_suffixed } else { session.client_uat };
        cookies.client_uat = client_uat.map_or(0, parse_int_prefix);
        for pair in lines.iter().flat_map(|line| pairs(line)).map(trim).filter(|pair| pair.starts_with(b"__")) {
            let Some(equals) = memchr(b'=', pair) else { continue };
            let (name, value) = (trim(&pair[..equals]), unquote(trim(&pair[equals + 1..])));
            let slot = match name {
                b"__clerk_redirect_count" => &mut redirect_count,
                name => match cookies.slot(name, suffix.unwrap_or_default().as_bytes()) {
                    Some(slot) => slot,
                    None => continue,
                },
            };
            if slot.is_none() && !value.is_empty() {
                *slot = Some(value);
            }
        }
        cookies.redirect_count = redirect_count.map_or(0, parse_count);
        Ok(cookies)
    }

    /// Returns whether the suffixed cookies are used.
    pub fn is_suffixed(&self) -> bool {
        // Equal values are read once; Clerk's rules count them as plain if they are no token with an issuer.
        self.is_suffixed && (!self.is_equal || self.session.is_some_and(has_issuer))
    }

    /// Returns the development browser, of the cookies that are used.
    pub fn dev_browser(&self) -> Option<&'a [u8]> {
        match self.dev_browsers {
            // The usual case, for which no token is decoded.
            [plain, suffixed] if plain == suffixed => plain,
            browsers => browsers[usize::from(self.is_suffixed())],
        }
    }

    fn slot(&mut self, name: &[u8], suffix: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        let is_own = |rest: &[u8]| rest.strip_prefix(b"_") == Some(suffix);
        Some(match name {
            b"__clerk_handshake" => &mut self.handshake,
            b"__clerk_handshake_nonce" => &mut self.nonce,
            b"__clerk_db_jwt" => &mut self.dev_browsers[0],
            _ if name.strip_prefix(b"__clerk_db_jwt").is_some_and(is_own) => &mut self.dev_browsers[1],
            _ if name.strip_prefix(b"__refresh").is_some_and(is_own) => &mut self.refresh,
            _ => return None,
        })
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
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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
        assert_eq!((cookies.dev_browser(), cookies.is_suffixed()), (Some(&b"plain"[..]), false));
        let suffixed = read("__client_uat_1Z8AzTQD=5; __clerk_db_jwt=plain; __clerk_db_jwt_1Z8AzTQD=suffixed");
        assert_eq!((suffixed.dev_browser(), suffixed.client_uat), (Some(&b"suffixed"[..]), 5));
    }

    #[test]
    fn equal_values_count_as_plain_if_they_are_no_token_with_an_issuer() {
        let token = |payload: &str| format!("e30.{}.AAAA", URL_SAFE_NO_PAD.encode(payload));
        let (own, foreign) = (token(r#"{"iss":"https://us"}"#), token(r#"{"iss":"https://other.example"}"#));
        let browsers = "__clerk_db_jwt=plain; __clerk_db_jwt_1Z8AzTQD=suffixed";
        for (session, uat, is_suffixed) in [
            (own.as_str(), "5", true),
            (&own, "0", true),
            (&foreign, "5", true),
            (&token("{}"), "5", false),
            (&token(r#"{"iss":""}"#), "5", false),
            ("garbage", "5", false),
            ("garbage", "0", false),
            // Without a time Clerk's rules prefer the plain cookies, unless they are another instance's.
            (&own, "", false),
            (&foreign, "", true),
            ("garbage", "", false),
        ] {
            let line = format!(
                "__session={session}; __session_1Z8AzTQD={session}; __client_uat={uat}; __client_uat_1Z8AzTQD={uat}; {browsers}"
            );
            let cookies = read(&line);
            let browser: &[u8] = if is_suffixed { b"suffixed" } else { b"plain" };
            assert_eq!((cookies.is_suffixed(), cookies.dev_browser()), (is_suffixed, Some(browser)), "{session} {uat}");
            assert_eq!(cookies.session, Some(session.as_bytes()));
        }
    }

    #[test]
    fn first_of_several_redirect_counts_is_used() {
        for (line, count) in [
            ("__clerk_redirect_count=0; __clerk_redirect_count=3", 0),
            ("__clerk_redirect_count=x; __clerk_redirect_count=3", 0),
            ("__clerk_redirect_count=; __clerk_redirect_count=3", 3),
            ("__clerk_redirect_count=2; __clerk_redirect_count=3", 2),
        ] {
            assert_eq!(read(line).redirect_count, count, "{line}");
        }
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
