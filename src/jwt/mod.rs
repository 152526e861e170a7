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

use memchr::{memchr, memmem};
use once_cell::sync::Lazy;

pub use authorization::{Authorization, AuthorizationParams, FactorLevel, Reverification};
use claims::Members;
pub use claims::{Claims, Organization, push_joined};
pub use explain::{Check, CheckStatus, Expectations, Explanation, KnownKeys, explain, quoted_bytes};
use header::Header;
pub use key::{KeyError, VerifyingKey};
#[cfg(fuzzing)]
pub use permissions::decode as decode_permissions;
pub use policy::Policy;

use crate::reason::Reason;
pub use crate::request::Decoded;
use crate::request::{Decoder, MAX_TOKEN_LEN, split_jws};
use crate::token::{BegunHash, TokenKind};

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

/// Whether a string consists of the alphabet (RFC 4648 §5). Without a branch for each byte, so that several are compared at once.
fn is_base64url(string: &[u8]) -> bool {
    let invalid = string.iter().fold(0, |invalid: u8, &b| {
        let is_letter = u8::from((b | 0x20).wrapping_sub(b'a') < 26);
        let is_digit = u8::from(b.wrapping_sub(b'0') < 10);
        invalid | ((is_letter | is_digit | u8::from(b == b'-') | u8::from(b == b'_')) ^ 1)
    });
    invalid == 0
}

/// Splits a token into header, payload and signature, in base64url. Returns `None` if it is too long or has not three parts.
fn split(token: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let parts = split_jws(token).filter(|_| token.len() <= MAX_TOKEN_LEN);
    parts.filter(|(_, payload, signature)| !payload.is_empty() && !signature.is_empty())
}

/// Decodes a signature: `Some(None)` if no key verifies it, because it has trailing bits that are not zero.
fn decode_signature<'a>(signature: &[u8], decoder: &mut Decoder<'a>) -> Option<Option<&'a [u8]>> {
    let decoded = decoder.decode(signature);
    (decoded.is_some() || is_base64url(signature)).then_some(decoded)
}

/// A JWT with an acceptable header, whose payload is decoded but not parsed.
#[derive(Debug)]
pub struct UnparsedJwt<'a> {
    signing_input: &'a [u8],
    /// `None` if no key verifies it.
    signature: Option<&'a [u8]>,
    header: Header<'a>,
    payload: &'a [u8],
}

impl<'a> UnparsedJwt<'a> {
    /// Decodes a compact JWS into `decoded`, which the result borrows.
    ///
    /// # Errors
    ///
    /// [`Reason::TokenInvalid`] for its size, format, header or algorithm.
    pub fn decode(token: &'a [u8], decoded: &'a mut Decoded) -> Result<Self, Reason> {
        let (header, payload, signature) = split(token).ok_or(Reason::TokenInvalid)?;
        let signing_input = &token[..token.len() - signature.len() - 1];
        let mut decoder = decoded.decoder();
        let header = decoder.decode(header).and_then(Header::parse).ok_or(Reason::TokenInvalid)?;
        if header.alg != ALGORITHM {
            return Err(Reason::TokenInvalid);
        }
        let payload = decoder.decode(payload).ok_or(Reason::TokenInvalid)?;
        let signature = decode_signature(signature, &mut decoder).ok_or(Reason::TokenInvalid)?;
        Ok(UnparsedJwt { signing_input, signature, header, payload })
    }

    /// Returns the token type that the header alone determines; see [`kind_of_header`].
    pub fn kind_of_header(&self) -> Option<TokenKind> {
        kind_of_header(&self.header, self.payload)
    }

    /// Returns the key id; see [`UnverifiedJwt::kid`].
    pub fn kid(&self) -> Option<&str> {
        plain_kid(self.header.kid.as_deref())
    }
}

/// Returns the token type that the header alone determines: `None` if the payload may say that the subject is a machine, or if a
/// token with this header is never accepted.
fn kind_of_header(header: &Header<'_>, payload: &[u8]) -> Option<TokenKind> {
    static MACHINE: Lazy<memmem::Finder<'static>> = Lazy::new(|| memmem::Finder::new(b"\"mch_"));
    let may_be_machine = || MACHINE.find(payload).is_some() || memchr(b'\\', payload).is_some();
    classify(header, false).ok().filter(|_| !may_be_machine()).map(|(kind, _)| kind)
}

/// Returns a key id if it is a short string of unreserved characters.
fn plain_kid(kid: Option<&str>) -> Option<&str> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:=+~".contains(&b);
    kid.filter(|kid| (1..=256).contains(&kid.len()) && kid.bytes().all(is_plain))
}

/// A well-formed JWT whose signature has not been verified.
///
/// Call [`verify_signature`](Self::verify_signature), then [`claims`](Self::claims), then `Policy::validate`.
#[derive(Debug)]
pub struct UnverifiedJwt<'a> {
    signing_input: &'a [u8],
    signature: Option<&'a [u8]>,
    header: Header<'a>,
    payload: &'a [u8],
    kind: TokenKind,
    is_contradictory: bool,
    members: Members<'a>,
}

impl<'a> From<UnparsedJwt<'a>> for UnverifiedJwt<'a> {
    #[inline]
    fn from(jws: UnparsedJwt<'a>) -> Self {
        let UnparsedJwt { signing_input, signature, header, payload } = jws;
        UnverifiedJwt {
            signing_input,
            signature,
            header,
            payload,
            kind: TokenKind::SessionToken,
            is_contradictory: false,
            members: Members::default(),
        }
    }
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
        let mut jws = UnverifiedJwt::from(UnparsedJwt::decode(token.as_bytes(), decoded)?);
        jws.parse_payload().map(|()| jws)
    }

    /// Parses the payload of a JWT that was made from an [`UnparsedJwt`]. In place: the claims are large.
    ///
    /// # Errors
    ///
    /// [`Reason::TokenInvalid`] for the syntax of the payload and the token type, [`Reason::TokenTypeNotSupported`] for a token of
    /// a JWT template.
    pub fn parse_payload(&mut self) -> Result<(), Reason> {
        if !self.members.parse(self.payload) {
            return Err(Reason::TokenInvalid);
        }
        (self.kind, self.is_contradictory) = classify(&self.header, self.members.has_machine_subject())?;
        Ok(())
    }

    /// Returns a JWT of which only key id and signature can be used. `token` must have three parts.
    fn for_signature(token: &'a str, kid: Option<&'a str>, decoded: &'a mut Decoded) -> Self {
        let (signing_input, signature) = token.rsplit_once('.').unwrap_or_default();
        let header = Header { kid: kid.map(Into::into), ..Header::default() };
        let signature = decoded.decoder().decode(signature.as_bytes());
        UnparsedJwt { signing_input: signing_input.as_bytes(), signature, header, payload: b"" }.into()
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
        plain_kid(self.header.kid.as_deref())
    }

    /// Returns the SHA-256 of what is signed. `begun` is that of the same token.
    pub(crate) fn signing_hash(&self, begun: &BegunHash<'_>) -> [u8; 32] {
        begun.of_signing_input(self.signing_input)
    }

    /// Returns the first key that verifies the signature, or `None`. `hash` is [`Self::signing_hash`].
    pub fn verify_signature<'k>(&self, hash: &[u8; 32], keys: &'k [VerifyingKey]) -> Option<&'k VerifyingKey> {
        let signature = self.signature?;
        keys.iter().find(|key| key.verify(hash, signature))
    }

    /// Returns the claims. To be called once the signature is verified.
    pub fn claims(&mut self) -> &mut Claims<'a> {
        self.members.claims(self.kind)
    }

    /// Does the same, for a longer life.
    pub fn into_claims(mut self) -> Claims<'a> {
        std::mem::take(self.claims())
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
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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
            assert_eq!(is_base64url(string.as_bytes()), is_member(b), "{b}");
        }
        assert!(!is_base64url("AAé".as_bytes()));
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
