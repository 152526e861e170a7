//! Parses and verifies compact JWS tokens (RFC 7515, RFC 7519, RFC 8725).
//!
//! Cheap checks come first: format, sizes, alphabet, algorithm and token type before a key is looked up, the signature
//! before any claim. Of a token whose signature is not verified, nothing but key id, token type and `iat` is read, in time and
//! memory that grow linearly with its length. No I/O; the time is an argument.

mod authorization;
mod claims;
mod explain;
mod header;
mod key;
mod permissions;
mod policy;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use authorization::{Authorization, AuthorizationParams, FactorLevel, Reverification};
pub use claims::Claims;
use claims::Members;
pub use explain::{Check, CheckStatus, Expectations, Explanation, KnownKeys, explain, quoted};
use header::Header;
pub use key::{KeyError, VerifyingKey};
#[cfg(fuzzing)]
pub use permissions::decode as decode_permissions;
pub use policy::Policy;

use crate::reason::Reason;
use crate::request::{MAX_TOKEN_LEN, split_jws};
use crate::token::TokenKind;

/// `cat` of a session token.
const CATEGORY_SESSION: &str = "cl_B7d4PD111AAA";
/// `cat` of a token of a JWT template, which may outlive its session.
const CATEGORY_TEMPLATE: &str = "cl_B7d4PD222AAA";
/// `cat` of a machine-to-machine token.
const CATEGORY_M2M: &str = "cl_B7d4PD333AAA";
/// `cat` that some instances put on every token; carries no information.
const CATEGORY_IGNORE: &str = "cl_I7d4PD111III";

/// The algorithm is fixed, not negotiated (RFC 8725 §3.1): Clerk signs with RS256.
const ALGORITHM: &str = "RS256";

/// The decoded header and payload of a JWT.
#[derive(Debug, Default)]
pub struct Decoded(Vec<u8>);

/// Whether a string consists of the alphabet (RFC 4648 §5). Without a branch for each byte, so that several are compared at once.
fn is_base64url(string: &str) -> bool {
    let invalid = string.bytes().fold(0, |invalid: u8, b| {
        let is_letter = u8::from((b | 0x20).wrapping_sub(b'a') < 26);
        let is_digit = u8::from(b.wrapping_sub(b'0') < 10);
        invalid | ((is_letter | is_digit | u8::from(b == b'-') | u8::from(b == b'_')) ^ 1)
    });
    invalid == 0
}

/// Decodes base64url into a buffer that is large enough.
fn decode<'a>(part: &str, buffer: &'a mut [u8]) -> Result<&'a [u8], Reason> {
    let len = URL_SAFE_NO_PAD.decode_slice(part, buffer).map_err(|_| Reason::TokenInvalid)?;
    Ok(&buffer[..len])
}

/// Splits a token into header, payload and signature. Returns `None` if it is too long or has not three parts. Header and
/// payload are decoded next; the signature is decoded when a key is found, so that its alphabet is checked now.
fn base64url_parts(token: &str) -> Option<(&str, &str, &str)> {
    if token.len() > MAX_TOKEN_LEN {
        return None;
    }
    let (header, payload, signature) = split_jws(token)?;
    let is_valid = !payload.is_empty() && !signature.is_empty() && is_base64url(signature);
    is_valid.then_some((header, payload, signature))
}

/// A well-formed JWT whose signature has not been verified.
///
/// Call [`verify_signature`](Self::verify_signature), then [`into_claims`](Self::into_claims), then `Policy::validate`.
#[derive(Debug)]
pub struct UnverifiedJwt<'a> {
    signing_input: &'a str,
    signature: &'a str,
    kid: Option<Cow<'a, str>>,
    kind: TokenKind,
    is_contradictory: bool,
    members: Members<'a>,
}

impl<'a> UnverifiedJwt<'a> {
    /// Parses a compact JWS. `decoded` receives header and payload, which the result borrows.
    ///
    /// # Errors
    ///
    /// [`Reason::TokenInvalid`] for everything that can be rejected without a key: size, format, header, algorithm, token type
    /// and payload syntax; [`Reason::TokenTypeNotSupported`] for a token of a JWT template. The values of the claims are
    /// checked by `Policy::validate`.
    pub fn parse(token: &'a str, decoded: &'a mut Decoded) -> Result<Self, Reason> {
        let (header, payload, signature) = base64url_parts(token).ok_or(Reason::TokenInvalid)?;
        let size = base64::decoded_len_estimate(header.len());
        decoded.0.resize(size + base64::decoded_len_estimate(payload.len()), 0);
        let (for_header, for_payload) = decoded.0.split_at_mut(size);
        let header = Header::parse(decode(header, for_header)?).ok_or(Reason::TokenInvalid)?;
        if header.alg != ALGORITHM {
            return Err(Reason::TokenInvalid);
        }
        let members = Members::parse(decode(payload, for_payload)?).ok_or(Reason::TokenInvalid)?;
        let (kind, is_contradictory) = classify(&header, members.has_machine_subject())?;
        let signing_input = &token[..token.len() - signature.len() - 1];
        Ok(UnverifiedJwt { signing_input, signature, kid: header.kid, kind, is_contradictory, members })
    }

    /// Returns a JWT of which only key id and signature can be used. `token` must have three parts.
    fn for_signature(token: &'a str, kid: Option<&'a str>) -> Self {
        let (signing_input, signature) = token.rsplit_once('.').unwrap_or_default();
        UnverifiedJwt {
            signing_input,
            signature,
            kid: kid.map(Into::into),
            kind: TokenKind::SessionToken,
            is_contradictory: false,
            members: Members::default(),
        }
    }

    /// Returns `iat` in seconds since 1970; not authenticated until the signature is verified.
    pub fn issued_at_s(&self) -> Option<i64> {
        self.members.issued_at_s()
    }

    /// Returns the token type according to header and `sub`; not authenticated until the signature is verified.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// Returns whether the header claims another type than the subject does. Such a token is never valid.
    pub fn is_contradictory(&self) -> bool {
        self.is_contradictory
    }

    /// Returns `kid` if it is a short string of unreserved characters. It is only ever compared with the ids of known keys.
    pub fn kid(&self) -> Option<&str> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:=+~".contains(&b);
        self.kid.as_deref().filter(|kid| !kid.is_empty() && kid.len() <= 256 && kid.bytes().all(plain))
    }

    /// Returns the first key that verifies the signature, or `None`.
    pub fn verify_signature<'k>(&self, keys: &'k [VerifyingKey]) -> Option<&'k VerifyingKey> {
        keys.iter().find(|key| key.verify(self.signing_input, self.signature))
    }

    /// Returns the claims. To be called once the signature is verified.
    pub fn into_claims(self) -> Claims<'a> {
        self.members.into_claims(self.kind)
    }
}

/// Determines the token type from `typ`, `cat` and `sub`, and whether they contradict one another; the reason for types that
/// are never accepted.
fn classify(header: &Header<'_>, has_machine_subject: bool) -> Result<(TokenKind, bool), Reason> {
    // RFC 7515 §4.1.9: a media type, compared without case, `application/` optional.
    let mut typ = header.typ.as_deref().unwrap_or("JWT");
    if let Some((prefix, rest)) = typ.split_at_checked(12)
        && prefix.eq_ignore_ascii_case("application/")
    {
        typ = rest;
    }
    let access_token = typ.eq_ignore_ascii_case("at+jwt");
    if !access_token && !typ.eq_ignore_ascii_case("JWT") {
        return Err(Reason::TokenInvalid);
    }
    let category = header.cat.as_deref().unwrap_or(CATEGORY_IGNORE);
    match category {
        CATEGORY_TEMPLATE => Err(Reason::TokenTypeNotSupported),
        CATEGORY_M2M => Ok((TokenKind::M2mToken, false)),
        _ if has_machine_subject => Ok((TokenKind::M2mToken, category != CATEGORY_IGNORE)),
        _ if access_token => Ok((TokenKind::OauthToken, false)),
        CATEGORY_SESSION | CATEGORY_IGNORE => Ok((TokenKind::SessionToken, false)),
        _ => Err(Reason::TokenInvalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    const HEADER: &str = r#"{"alg":"RS256","kid":"ins_1","typ":"JWT"}"#;

    fn kind(header: &str, payload: &str) -> Result<TokenKind, Reason> {
        UnverifiedJwt::parse(&token(header, payload), &mut Decoded::default()).map(|t| t.kind())
    }

    #[test]
    fn token_type_is_classified_without_a_key() {
        let user = r#"{"sub":"user_1"}"#;
        let machine = r#"{"sub":"mch_1"}"#;
        let with = |extra: &str| format!(r#"{{"alg":"RS256",{extra}}}"#);
        assert_eq!(kind(HEADER, user), Ok(TokenKind::SessionToken));
        assert_eq!(kind(HEADER, machine), Ok(TokenKind::M2mToken));
        assert_eq!(kind(&with(r#""typ":"at+jwt""#), user), Ok(TokenKind::OauthToken));
        assert_eq!(kind(&with(r#""typ":"Application/AT+JWT""#), user), Ok(TokenKind::OauthToken));
        assert_eq!(kind(&with(r#""cat":"cl_B7d4PD333AAA""#), user), Ok(TokenKind::M2mToken));
        assert_eq!(kind(&with(r#""cat":"cl_I7d4PD111III""#), user), Ok(TokenKind::SessionToken));
        let contradictory = token(&with(r#""cat":"cl_B7d4PD111AAA""#), machine);
        let mut decoded = Decoded::default();
        let contradictory = UnverifiedJwt::parse(&contradictory, &mut decoded).unwrap();
        assert_eq!((contradictory.kind(), contradictory.is_contradictory()), (TokenKind::M2mToken, true));
        for subject in [user, machine] {
            let template = kind(&with(r#""cat":"cl_B7d4PD222AAA""#), subject);
            assert_eq!(template, Err(Reason::TokenTypeNotSupported));
        }
        for invalid in [r#""cat":"x""#, r#""cat":null"#, r#""typ":"logout+jwt""#, r#""typ":5"#] {
            assert_eq!(kind(&with(invalid), user), Err(Reason::TokenInvalid), "{invalid}");
        }
    }

    // Threats A2, A5, A7; guarantee 4.
    #[test]
    fn unsupported_header_parameters_are_rejected() {
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

    // Threat A4.
    #[test]
    fn malformed_key_ids_are_ignored() {
        let kid = |kid: &str| {
            let jws = token(&format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#), "{}");
            UnverifiedJwt::parse(&jws, &mut Decoded::default()).unwrap().kid().map(str::to_owned)
        };
        assert_eq!(kid("ins_2abc"), Some("ins_2abc".into()));
        for malformed in ["", "../keys", "a b", "a\\u0000", "é", &"a".repeat(257)] {
            assert_eq!(kid(malformed), None, "{malformed}");
        }
        for malformed in [r#"["ins_1"]"#, r#"{"ins_1":"ins_1"}"#, "5", "null", "true"] {
            let jws = token(&format!(r#"{{"alg":"RS256","kid":{malformed}}}"#), "{}");
            assert_eq!(UnverifiedJwt::parse(&jws, &mut Decoded::default()).unwrap().kid(), None, "{malformed}");
        }
    }

    #[test]
    fn alphabet_is_that_of_base64url() {
        let is_member = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        for b in 0..128 {
            let string = format!("{}{}", "A".repeat(40), char::from(b));
            assert_eq!(is_base64url(&string), is_member(b), "{b}");
        }
        assert!(!is_base64url("AAé"));
    }

    // Threat U1.
    #[test]
    fn token_with_non_canonical_encoding_is_rejected() {
        let valid = token(HEADER, r#"{"sub":"user_1"}"#);
        assert!(UnverifiedJwt::parse(&valid, &mut Decoded::default()).is_ok());
        let padded = valid.replace('.', "=.");
        let dotted = format!("{valid}.");
        let empty = valid.rsplit_once('.').unwrap().0.to_owned() + ".";
        let spaced = valid.replacen("ey", "e y", 1);
        let suffixed = ["=", ",", " x", "+", "é"].map(|tail| format!("{valid}{tail}"));
        for invalid in suffixed.into_iter().chain([
            padded,
            dotted,
            empty,
            spaced,
            "a.b".into(),
            "..".into(),
            String::new(),
            ".".repeat(60_000),
        ]) {
            assert_eq!(UnverifiedJwt::parse(&invalid, &mut Decoded::default()).unwrap_err(), Reason::TokenInvalid);
        }
    }
}
