//! From a compact JWS to verified claims, strictly (RFC 7515, RFC 7519, RFC 8725).
//!
//! Cheap checks come first: shape, sizes, alphabet, algorithm and token class are judged before any key is looked up,
//! the signature before any claim. `now` is an argument; nothing here does I/O.

mod authorization;
mod claims;
pub(crate) mod json;
mod key;
mod permissions;
mod policy;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use authorization::{Asked, Authorization, Factors, Reverification};
pub use claims::{Claims, Organization};
pub use json::Claim;
pub use key::{KeyError, VerifyingKey};
pub use policy::Policy;

use crate::reason::Reason;
use crate::request::{LONGEST_TOKEN, Peek};
use crate::token::TokenKind;

/// `cat` of a session token.
const CATEGORY_SESSION: &str = "cl_B7d4PD111AAA";
/// `cat` of a machine-to-machine token.
const CATEGORY_M2M: &str = "cl_B7d4PD333AAA";
/// `cat` that some instances stamp on every class; it says nothing.
const CATEGORY_IGNORE: &str = "cl_I7d4PD111III";

/// A JWS whose form is good and whose signature nobody has looked at yet.
#[derive(Debug)]
pub struct Unverified<'a> {
    signing_input: &'a str,
    signature: &'a str,
    kid: Option<String>,
    kind: TokenKind,
    claims: Claims,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart. Everything that can be refused without a key is refused here, the claims' meaning excepted.
    pub fn parse(token: &'a str) -> Result<Self, Reason> {
        if token.len() > LONGEST_TOKEN {
            return Err(Reason::TokenInvalid);
        }
        let (header, payload, signature) = parts(token).ok_or(Reason::TokenInvalid)?;
        // The signature is decoded much later, but a text that cannot be one makes this no token at all.
        let base64url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if payload.is_empty() || signature.is_empty() || !signature.bytes().all(base64url) {
            return Err(Reason::TokenInvalid);
        }
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| Reason::TokenInvalid)?;
        let header = json::header(&header).ok_or(Reason::TokenInvalid)?;
        // The key owns its algorithm (RFC 8725 §3.1): Clerk signs with RS256 and nothing else will do.
        if header.alg != "RS256" {
            return Err(Reason::TokenInvalid);
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Reason::TokenInvalid)?;
        let claims = Claims::parse(payload).ok_or(Reason::TokenInvalid)?;
        let kind = kind_of(&header, &claims).ok_or(Reason::TokenInvalid)?;
        let signing_input = &token[..token.len() - signature.len() - 1];
        Ok(Unverified { signing_input, signature, kid: header.kid.map(Into::into), kind, claims })
    }

    /// The class of the token, as it says itself; the signature makes it true.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The key id, if it is one: printable, short, without a slash. It is only ever compared.
    pub fn kid(&self) -> Option<&str> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:=+~".contains(&b);
        self.kid.as_deref().filter(|kid| !kid.is_empty() && kid.len() <= 256 && kid.bytes().all(plain))
    }

    /// Whether one of the keys made the signature, and which.
    pub fn signed_by<'k>(&self, keys: &'k [VerifyingKey]) -> Option<&'k VerifyingKey> {
        keys.iter().find(|key| key.verifies(self.signing_input, self.signature))
    }

    /// `iat`, in seconds since 1970; to be asked for once [`Self::signed_by`] has named a key.
    pub fn issued_at_s(&self) -> Option<i64> {
        Claims::millis(&self.claims.iat).get().map(|ms| ms / 1000)
    }

    /// The claims, once [`Self::signed_by`] has named a key and the policy has nothing against them.
    pub fn judge(self, policy: &Policy, wall_ms: i64) -> Result<Claims, Reason> {
        policy.judge(self.kind, &self.claims, wall_ms)?;
        Ok(self.claims)
    }
}

/// Exactly three parts, found without a list of parts (CVE-2025-30204).
fn parts(token: &str) -> Option<(&str, &str, &str)> {
    let (header, rest) = token.split_once('.')?;
    let (payload, signature) = rest.split_once('.')?;
    (!signature.contains('.')).then_some((header, payload, signature))
}

fn kind_of(header: &json::Header<'_>, claims: &Claims) -> Option<TokenKind> {
    // RFC 7515 §4.1.9: a media type, compared without case, `application/` optional.
    let mut typ = header.typ.as_deref().unwrap_or("JWT");
    if let Some((prefix, rest)) = typ.split_at_checked(12)
        && prefix.eq_ignore_ascii_case("application/")
    {
        typ = rest;
    }
    let access_token = typ.eq_ignore_ascii_case("at+jwt");
    if !access_token && !typ.eq_ignore_ascii_case("JWT") {
        return None;
    }
    let category = header.cat.as_deref().unwrap_or(CATEGORY_IGNORE);
    let machine = claims.sub.as_deref().is_some_and(|sub| sub.starts_with("mch_"));
    match category {
        CATEGORY_M2M => Some(TokenKind::M2mToken),
        _ if machine => (category == CATEGORY_IGNORE).then_some(TokenKind::M2mToken),
        _ if access_token => Some(TokenKind::OauthToken),
        CATEGORY_SESSION | CATEGORY_IGNORE => Some(TokenKind::SessionToken),
        // A template token (`cl_B7d4PD222AAA`) outlives its session; unknown classes are no better.
        _ => None,
    }
}

/// An unverified look at `iss`, `iat` and `exp`, to tell two session cookies apart. Decides nothing else.
pub fn peek(token: &str) -> Option<Peek> {
    let (_, payload, _) = parts(token)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    json::peek(&payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    const HEADER: &str = r#"{"alg":"RS256","kid":"ins_1","typ":"JWT"}"#;

    fn kind(header: &str, payload: &str) -> Result<TokenKind, Reason> {
        Unverified::parse(&token(header, payload)).map(|t| t.kind())
    }

    #[test]
    fn classes_are_told_before_any_key_is_touched() {
        let user = r#"{"sub":"user_1"}"#;
        let machine = r#"{"sub":"mch_1"}"#;
        let with = |extra: &str| format!(r#"{{"alg":"RS256",{extra}}}"#);
        assert_eq!(kind(HEADER, user), Ok(TokenKind::SessionToken));
        assert_eq!(kind(HEADER, machine), Ok(TokenKind::M2mToken));
        assert_eq!(kind(&with(r#""typ":"at+jwt""#), user), Ok(TokenKind::OauthToken));
        assert_eq!(kind(&with(r#""typ":"Application/AT+JWT""#), user), Ok(TokenKind::OauthToken));
        assert_eq!(kind(&with(r#""cat":"cl_B7d4PD333AAA""#), user), Ok(TokenKind::M2mToken));
        assert_eq!(kind(&with(r#""cat":"cl_I7d4PD111III""#), user), Ok(TokenKind::SessionToken));
        assert_eq!(kind(&with(r#""cat":"cl_B7d4PD111AAA""#), machine), Err(Reason::TokenInvalid));
        for bad in
            [r#""cat":"cl_B7d4PD222AAA""#, r#""cat":"x""#, r#""cat":null"#, r#""typ":"logout+jwt""#, r#""typ":5"#]
        {
            assert_eq!(kind(&with(bad), user), Err(Reason::TokenInvalid), "{bad}");
        }
    }

    #[test]
    fn a2_a5_a7_req04_headers_that_change_the_meaning_are_refused() {
        for extra in [
            r#""crit":[]"#,
            r#""crit":["b64"],"b64":false"#,
            r#""b64":true"#,
            r#""zip":"DEF""#,
            r#""enc":"A128GCM""#,
            r#""cty":"JWT""#,
            r#""alg":"RS256""#,
            r#""\u0061lg":"RS256""#,
            r#""x":1,"x":1"#,
        ] {
            let header = format!(r#"{{"alg":"RS256",{extra}}}"#);
            assert_eq!(kind(&header, r#"{"sub":"user_1"}"#), Err(Reason::TokenInvalid), "{extra}");
        }
    }

    #[test]
    fn a4_key_ids_are_only_ever_compared() {
        let kid = |kid: &str| {
            let text = token(&format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#), "{}");
            Unverified::parse(&text).unwrap().kid().map(str::to_owned)
        };
        assert_eq!(kid("ins_2abc"), Some("ins_2abc".into()));
        for odd in ["", "../keys", "a b", "a\\u0000", "é", &"a".repeat(257)] {
            assert_eq!(kid(odd), None, "{odd}");
        }
        for odd in [r#"["ins_1"]"#, r#"{"ins_1":"ins_1"}"#, "5", "null", "true"] {
            let text = token(&format!(r#"{{"alg":"RS256","kid":{odd}}}"#), "{}");
            assert_eq!(Unverified::parse(&text).unwrap().kid(), None, "{odd}");
        }
    }

    #[test]
    fn u1_one_spelling_of_a_token_is_good() {
        let good = token(HEADER, r#"{"sub":"user_1"}"#);
        assert!(Unverified::parse(&good).is_ok());
        let padded = good.replace('.', "=.");
        let dotted = format!("{good}.");
        let empty = good.rsplit_once('.').unwrap().0.to_owned() + ".";
        let spaced = good.replacen("ey", "e y", 1);
        let behind = ["=", ",", " x", "+", "é"].map(|tail| format!("{good}{tail}"));
        for bad in behind.into_iter().chain([
            padded,
            dotted,
            empty,
            spaced,
            "a.b".into(),
            "..".into(),
            String::new(),
            ".".repeat(60_000),
        ]) {
            assert_eq!(Unverified::parse(&bad).unwrap_err(), Reason::TokenInvalid);
        }
    }
}
