//! The session cookies and Clerk's rules for choosing between them.
//!
//! An instance sets `__session` and `__session_<suffix>`, and `__client_uat` likewise; instances on sibling domains share the
//! names without suffix.

use memchr::memchr;

use super::{
    ClerkInstance, Credential, ExtractOptions, TokenSource, UnverifiedClaims, are_too_long, check_len,
    decode_unverified, trim,
};
use crate::reason::Reason;

const SESSION: &[u8] = b"__session";
const CLIENT_UAT: &[u8] = b"__client_uat";

/// Clerk's cookies in a request. Of several with the same name the first that is not empty counts.
#[derive(Default)]
pub(super) struct SessionCookies<'a> {
    pub(super) session: Option<&'a [u8]>,
    pub(super) session_suffixed: Option<&'a [u8]>,
    pub(super) client_uat: Option<&'a [u8]>,
    pub(super) client_uat_suffixed: Option<&'a [u8]>,
    /// The number of suffixed session cookies, counted where the instance's suffix is unknown.
    unknown_suffixes: usize,
}

/// Extracts the credential from the cookie lines. Returns `Ok(None)` if there is no session cookie.
pub fn extract<'a>(lines: &[&'a [u8]], options: &ExtractOptions, now_s: i64) -> Result<Option<Credential<'a>>, Reason> {
    if lines.is_empty() && !options.check_client_uat {
        return Ok(None);
    }
    if are_too_long(lines) {
        return Err(Reason::TokenInvalid);
    }
    let cookies = SessionCookies::parse(lines, options.instance.as_ref().map(|i| i.suffix.as_str()));
    let (token, client_uat) = match &options.instance {
        _ if options.require_suffixed_cookie => (cookies.session_suffixed, cookies.client_uat_suffixed),
        Some(instance) if uses_suffixed_cookies(&cookies, instance, now_s) => {
            (cookies.session_suffixed, cookies.client_uat_suffixed)
        }
        // Clerk's rules depend on `__client_uat`; where it is not checked, the instance's own cookie is a fallback.
        Some(_) if !options.check_client_uat => (cookies.session.or(cookies.session_suffixed), None),
        Some(_) => (cookies.session, cookies.client_uat),
        // Without a publishable key, several suffixed cookies are ambiguous.
        None => {
            let only_suffixed = cookies.session_suffixed.filter(|_| cookies.unknown_suffixes == 1);
            (cookies.session.or(only_suffixed), cookies.client_uat)
        }
    };
    let client_uat = match options.check_client_uat {
        false => None,
        true => Some(client_uat.map_or(0, parse_int_prefix)),
    };
    match (client_uat, token) {
        (Some(0), None) => return Err(Reason::SessionTokenAndUatMissing),
        (Some(0), Some(_)) => return Err(Reason::SessionTokenButNoClientUat),
        (Some(_), None) => return Err(Reason::ClientUatButNoSessionToken),
        _ => {}
    }
    let Some(token) = token else { return Ok(None) };
    let token = check_len(token).ok_or(Reason::TokenInvalid)?;
    Ok(Some(Credential { token, source: TokenSource::Cookie, client_uat }))
}

impl<'a> SessionCookies<'a> {
    pub(super) fn parse(lines: &[&'a [u8]], suffix: Option<&str>) -> Self {
        let mut cookies = SessionCookies::default();
        for pair in lines.iter().flat_map(|line| pairs(line)) {
            let pair = trim(pair);
            if !pair.starts_with(b"__") {
                continue;
            }
            let Some(equals) = memchr(b'=', pair) else { continue };
            let (name, mut value) = (trim(&pair[..equals]), trim(&pair[equals + 1..]));
            if let [b'"', inner @ .., b'"'] = value {
                value = inner;
            }
            if value.is_empty() {
                continue;
            }
            let slot = match (name.strip_prefix(SESSION), name.strip_prefix(CLIENT_UAT)) {
                (Some(b""), _) => &mut cookies.session,
                (_, Some(b"")) => &mut cookies.client_uat,
                (Some([b'_', rest @ ..]), _) => match suffix {
                    Some(suffix) if rest == suffix.as_bytes() => &mut cookies.session_suffixed,
                    None if rest.len() == 8 => {
                        cookies.unknown_suffixes += 1;
                        &mut cookies.session_suffixed
                    }
                    _ => continue,
                },
                (_, Some([b'_', rest @ ..])) if suffix.is_some_and(|suffix| rest == suffix.as_bytes()) => {
                    &mut cookies.client_uat_suffixed
                }
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        cookies
    }
}

/// Splits a cookie line at its semicolons.
pub(super) fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = memchr(b';', line);
        rest = end.map(|end| &line[end + 1..]);
        Some(&line[..end.unwrap_or(line.len())])
    })
}

/// Returns whether both names have the same values, as they usually do: then the suffixed ones can be used without a look at them.
pub(super) fn are_equal(cookies: &SessionCookies<'_>) -> bool {
    cookies.session.is_some()
        && cookies.session == cookies.session_suffixed
        && cookies.client_uat.is_some()
        && cookies.client_uat == cookies.client_uat_suffixed
}

fn decode(cookie: Option<&[u8]>) -> Option<UnverifiedClaims> {
    decode_unverified(std::str::from_utf8(check_len(cookie?)?).ok()?)
}

/// Returns whether a session cookie can be decoded and has an issuer.
pub(super) fn has_issuer(session: &[u8]) -> bool {
    decode(Some(session)).is_some_and(|claims| claims.has_issuer())
}

/// Returns whether the suffixed cookies are to be used: `usesSuffixedCookies` of `@clerk/backend`, check by check.
pub(super) fn uses_suffixed_cookies(cookies: &SessionCookies<'_>, instance: &ClerkInstance, now_s: i64) -> bool {
    if are_equal(cookies) {
        return true;
    }
    let plain = decode(cookies.session);
    if cookies.session.is_some() {
        let Some(plain) = plain.as_ref().filter(|plain| plain.has_issuer()) else { return false };
        let is_own = plain.iss.as_deref().is_some_and(|iss| {
            let host = iss.strip_prefix("https://").or_else(|| iss.strip_prefix("http://")).unwrap_or(iss);
            host == instance.frontend_api
        });
        if !is_own {
            return true;
        }
    }
    if cookies.client_uat_suffixed.is_none() && cookies.session_suffixed.is_none() {
        return false;
    }
    let suffixed = decode(cookies.session_suffixed);
    let iat = |claims: &Option<UnverifiedClaims>| claims.as_ref().and_then(|claims| claims.iat).unwrap_or(0.0);
    let is_zero = |client_uat: Option<&[u8]>| client_uat == Some(b"0");
    let (plain_signed_out, suffixed_signed_out) = (is_zero(cookies.client_uat), is_zero(cookies.client_uat_suffixed));
    if !suffixed_signed_out && !plain_signed_out && iat(&plain) > iat(&suffixed) {
        return false;
    }
    if suffixed_signed_out && !plain_signed_out {
        return false;
    }
    if !instance.production
        && !suffixed_signed_out
        && plain_signed_out
        && suffixed.as_ref().and_then(|claims| claims.exp).is_some_and(|exp| exp <= now_s as f64)
    {
        return false;
    }
    !(cookies.client_uat_suffixed.is_none() && cookies.session_suffixed.is_some())
}

/// Parses like JavaScript's `parseInt(value) || 0`, hexadecimal digits after `0x` included, saturating.
pub(super) fn parse_int_prefix(value: &[u8]) -> i64 {
    let (negative, digits) = match value {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, value),
    };
    let (radix, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        _ => (10, digits),
    };
    let value = digits
        .iter()
        .map_while(|b| char::from(*b).to_digit(radix))
        .fold(0_i64, |n, digit| n.saturating_mul(i64::from(radix)).saturating_add(i64::from(digit)));
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::super::Request;
    use super::*;

    fn without_key() -> ExtractOptions {
        ExtractOptions::default()
    }

    fn with_key() -> ExtractOptions {
        let instance = ClerkInstance { suffix: "1Z8AzTQD".into(), frontend_api: "us".into(), production: true };
        ExtractOptions { instance: Some(instance), ..without_key() }
    }

    fn checking_client_uat(options: ExtractOptions) -> ExtractOptions {
        ExtractOptions { check_client_uat: true, ..options }
    }

    /// An unsigned token with these claims.
    fn token(claims: &str) -> String {
        format!("e30.{}.AAAA", URL_SAFE_NO_PAD.encode(format!("{{{claims}}}")))
    }

    fn issued(iss: &str, iat: i64) -> String {
        token(&format!(r#""iss":"https://{iss}","iat":{iat}"#))
    }

    fn extract_line<'a>(line: &'a str, options: &ExtractOptions) -> Result<Option<Credential<'a>>, Reason> {
        let mut request = Request::new();
        request.header(b"cookie", line.as_bytes());
        super::super::extract(&request, options, 0)
    }

    fn cookie(line: &str, options: &ExtractOptions) -> Option<String> {
        extract_line(line, options).unwrap().and_then(|c| c.token_str()).map(str::to_owned)
    }

    #[test]
    fn malformed_foreign_cookies_are_skipped() {
        for line in [
            "theme={\"a\":1}; __session=tok",
            "utm=x y;; =; a; __session = tok ;\u{e9}=1",
            "__session=; __session=tok",
            "__session=\"tok\"",
        ] {
            assert_eq!(cookie(line, &without_key()), Some("tok".into()), "{line}");
        }
        for line in ["__SESSION=tok", "session=tok", "__sessionx=tok", "__session", "x=__session=tok"] {
            assert_eq!(cookie(line, &without_key()), None, "{line}");
        }
    }

    #[test]
    fn suffixed_cookie_without_key_is_used_only_if_unique() {
        assert_eq!(cookie("__session_abcdefgh=a", &without_key()), Some("a".into()));
        assert_eq!(cookie("__session_abcdefgh=a; __session_12345678=b", &without_key()), None);
    }

    #[test]
    fn choice_between_session_cookies_follows_clerk() {
        let (us_1, us_9, them_1, them_9) = (issued("us", 1), issued("us", 9), issued("them", 1), issued("them", 9));
        let both = |plain: &str, suffixed: &str, rest: &str| {
            cookie(&format!("__session={plain}; __session_1Z8AzTQD={suffixed}{rest}"), &with_key()).unwrap()
        };
        let uats = "; __client_uat=5; __client_uat_1Z8AzTQD=5";
        assert_eq!(both("garbage", &us_1, uats), "garbage");
        assert_eq!(both(&them_9, &us_1, uats), us_1);
        assert_eq!(both(&us_9, &us_1, uats), us_9);
        assert_eq!(both(&us_1, &us_9, uats), us_9);
        assert_eq!(both(&us_1, &us_9, "; __client_uat=5; __client_uat_1Z8AzTQD=0"), us_1);
        assert_eq!(both(&us_1, &us_9, ""), us_1);
        assert_eq!(cookie(&format!("__session={us_1}"), &with_key()), Some(us_1.clone()));
        assert_eq!(cookie(&format!("__session={them_1}"), &with_key()), None);
        assert_eq!(cookie(&format!("__session_zzzzzzzz={us_1}"), &with_key()), None);
    }

    #[test]
    fn plain_cookie_with_non_string_issuer_loses_to_suffixed() {
        let (plain, own) = (token(r#""iss":7,"iat":9"#), issued("us", 1));
        let uats = "; __client_uat=5; __client_uat_1Z8AzTQD=5";
        let line = format!("__session={plain}; __session_1Z8AzTQD={own}{uats}");
        assert_eq!(cookie(&line, &with_key()), Some(own));
    }

    #[test]
    fn dev_expired_suffixed_cookie_falls_back_to_plain() {
        let (plain, endless) = (issued("us", 1), issued("us", 9));
        let ending = token(r#""iss":"us","iat":9,"exp":60"#);
        let line = |suffixed: &str, uat: &str| {
            format!("__session={plain}; __session_1Z8AzTQD={suffixed}; __client_uat={uat}; __client_uat_1Z8AzTQD=5")
        };
        let choose = |production: bool, line: &str, now_s: i64| {
            let mut instance = with_key().instance.unwrap();
            instance.production = production;
            let options = ExtractOptions { instance: Some(instance), ..without_key() };
            let mut request = Request::new();
            request.header(b"cookie", line.as_bytes());
            super::super::extract(&request, &options, now_s).unwrap().unwrap().token_str().unwrap().to_owned()
        };
        let plain_signed_out = line(&ending, "0");
        assert_eq!(choose(false, &plain_signed_out, 60), plain);
        assert_eq!(choose(false, &plain_signed_out, 59), ending);
        assert_eq!(choose(true, &plain_signed_out, 60), ending);
        assert_eq!(choose(false, &line(&ending, "5"), 60), ending);
        assert_eq!(choose(false, &line(&endless, "0"), 60), endless);
    }

    #[test]
    fn own_suffixed_cookie_without_client_uat_is_used_unless_checked() {
        let own = issued("us", 1);
        for rest in ["", "; __client_uat_1Z8AzTQD=0; __client_uat=5"] {
            let line = format!("__session_1Z8AzTQD={own}{rest}");
            assert_eq!(cookie(&line, &with_key()), Some(own.clone()), "{line}");
            assert!(extract_line(&line, &checking_client_uat(with_key())).is_err(), "{line}");
        }
        let foreign = format!("__session={}; __session_zzzzzzzz={own}", issued("them", 1));
        assert_eq!(cookie(&foreign, &with_key()), None);
    }

    #[test]
    fn client_uat_check_requires_both_cookies_or_neither() {
        let options = checking_client_uat(without_key());
        let outcome = |line: &str| extract_line(line, &options).map(|c| c.and_then(|c| c.client_uat));
        assert_eq!(outcome("a=b"), Err(Reason::SessionTokenAndUatMissing));
        assert_eq!(outcome("__session=tok"), Err(Reason::SessionTokenButNoClientUat));
        assert_eq!(outcome("__client_uat=7"), Err(Reason::ClientUatButNoSessionToken));
        assert_eq!(outcome("__session=tok; __client_uat=7"), Ok(Some(7)));
    }

    #[test]
    fn client_uat_check_with_key_reads_the_cookie_of_the_chosen_session() {
        let options = checking_client_uat(with_key());
        let outcome = |line: &str| extract_line(line, &options).map(|c| c.and_then(|c| c.client_uat));
        let own = issued("us", 1);
        assert_eq!(outcome(&format!("__session={own}; __client_uat=5")), Ok(Some(5)));
        assert_eq!(outcome(&format!("__session_1Z8AzTQD={own}; __client_uat_1Z8AzTQD=6")), Ok(Some(6)));
        // The suffixed cookies are incomplete, although both sessions are equal.
        assert_eq!(outcome(&format!("__session={own}; __session_1Z8AzTQD={own}; __client_uat=5")), Ok(Some(5)));
        let of_another_instance = format!("__session_1Z8AzTQD={own}; __client_uat_zzzzzzzz=5");
        assert_eq!(outcome(&of_another_instance), Err(Reason::SessionTokenAndUatMissing));
    }

    #[test]
    fn required_suffix_permits_no_other_cookie() {
        let own = issued("us", 1);
        let options = ExtractOptions { require_suffixed_cookie: true, ..with_key() };
        for (line, expected) in [("__session", None), ("__session_1Z8AzTQD", Some(&own)), ("__session_zzzzzzzz", None)]
        {
            assert_eq!(cookie(&format!("{line}={own}"), &options).as_ref(), expected, "{line}");
        }
    }

    #[test]
    fn client_uat_check_fails_without_any_cookie() {
        let options = checking_client_uat(without_key());
        let outcome = super::super::extract(&Request::new(), &options, 0).map(|c| c.is_some());
        assert_eq!(outcome, Err(Reason::SessionTokenAndUatMissing));
    }

    #[test]
    fn several_cookie_lines_are_read_in_order() {
        let mut request = Request::new();
        request.header(b"cookie", b"a=b").header(b"cookie", b"__session=tok").header(b"cookie", b"__session=later");
        assert_eq!(super::super::extract(&request, &without_key(), 0).unwrap().unwrap().token, b"tok");
    }

    #[test]
    fn client_uat_is_parsed_like_parse_int() {
        for (value, expected) in [
            ("7", 7),
            ("-7", -7),
            ("+7", 7),
            ("7x", 7),
            ("x7", 0),
            ("7.9e3", 7),
            ("0x1F", 31),
            ("-0X1g", -1),
            ("0x", 0),
            ("99999999999999999999", i64::MAX),
            ("0xffffffffffffffffffff", i64::MAX),
        ] {
            assert_eq!(parse_int_prefix(value.as_bytes()), expected, "{value}");
        }
    }
}
