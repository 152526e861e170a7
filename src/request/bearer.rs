//! The `Authorization` header (RFC 9110 §11.4, RFC 6750 §2.1).

use super::name::Name;
use super::{check_len, trim};
use crate::reason::Reason;

/// Returns the token of a trimmed header value, or `Ok(None)` if the header is empty or of another scheme.
#[inline(always)]
pub fn parse(value: &[u8], allow_bare_token: bool) -> Result<Option<&[u8]>, Reason> {
    if value.is_empty() {
        return Ok(None);
    }
    const BEARER: Name = Name::new(b"bearer");
    // RFC 9110 §11.4: spaces follow a scheme; `Bearer` with another character behind it is another scheme.
    if let Some((scheme, rest @ ([] | [b' ', ..]))) = value.split_at_checked(6)
        && BEARER.is(scheme)
    {
        // One space is the rule.
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        return check_len(trim(rest)).map(Some).ok_or(Reason::TokenInvalid);
    }
    if allow_bare_token && is_token68(value) {
        return check_len(value).map(Some).ok_or(Reason::TokenInvalid);
    }
    Ok(None)
}

/// RFC 9110 §11.2.
pub fn is_token68(value: &[u8]) -> bool {
    let body = value.iter().rposition(|b| *b != b'=').map_or(0, |last| last + 1);
    let is_allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    body > 0 && value[..body].iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::super::{ExtractOptions, Request, extract};
    use super::*;

    fn header(value: &str, options: &ExtractOptions) -> Result<Option<String>, Reason> {
        let mut request = Request::new();
        request.header(b"AUTHORIZATION", value.as_bytes());
        match extract(&request, options, 0) {
            Ok(Some(c)) => c.token_str().map(|token| Some(token.to_owned())).ok_or(Reason::TokenInvalid),
            Ok(None) => Ok(None),
            Err(reason) => Err(reason),
        }
    }

    #[test]
    fn bearer_scheme_is_case_insensitive_and_strict() {
        let options = ExtractOptions::default();
        for valid in ["Bearer tok", "bearer tok", "BEARER   tok", "  Bearer tok \t"] {
            assert_eq!(header(valid, &options), Ok(Some("tok".into())), "{valid}");
        }
        for invalid in ["Bearer", "Bearer ", "Bearer tok extra", "Bearer a,b", "Bearer \u{e9}", "Bearer =="] {
            assert_eq!(header(invalid, &options), Err(Reason::TokenInvalid), "{invalid}");
        }
        for other in ["", "   ", "Basic abc", "tok", "Bearertok", "Bearer\ttok", "Bearer,tok", "Bearer\u{a0}tok"] {
            assert_eq!(header(other, &options), Ok(None), "{other}");
        }
        assert_eq!(header("Bearer ak_a/b+c==", &options), Ok(Some("ak_a/b+c==".into())));
    }

    #[test]
    fn bare_token_is_accepted_only_if_allowed() {
        let options = ExtractOptions { allow_bare_token: true, ..ExtractOptions::default() };
        assert_eq!(header("tok", &options), Ok(Some("tok".into())));
        assert_eq!(header("Basic abc", &options), Ok(None));
    }
}
