//! Token kinds, told from the outside of a token, the hash a token is remembered by, and the shape of Clerk's ids.

use sha2::{Digest, Sha256};

/// The kinds of tokens Clerk issues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum TokenKind {
    /// A signed-in user's short-lived session JWT.
    SessionToken = 1,
    /// An opaque API key, `ak_…`.
    ApiKey = 2,
    /// An OAuth access token, `oat_…` or an `at+jwt` JWT.
    OauthToken = 3,
    /// A machine-to-machine token, `mt_…` or a JWT whose subject is a machine.
    M2mToken = 4,
}

impl TokenKind {
    /// Every kind.
    ///
    /// cbindgen:ignore
    pub const ALL: [TokenKind; 4] =
        [TokenKind::SessionToken, TokenKind::ApiKey, TokenKind::OauthToken, TokenKind::M2mToken];

    pub(crate) const fn c_str(self) -> &'static std::ffi::CStr {
        match self {
            TokenKind::SessionToken => c"session_token",
            TokenKind::ApiKey => c"api_key",
            TokenKind::OauthToken => c"oauth_token",
            TokenKind::M2mToken => c"m2m_token",
        }
    }

    /// Clerk's word for the kind, as the setting `accepts_token` has it.
    pub fn as_str(self) -> &'static str {
        self.c_str().to_str().unwrap_or_default()
    }

    /// The kind that Clerk's word names.
    pub fn from_word(word: &str) -> Option<TokenKind> {
        Self::ALL.into_iter().find(|k| k.as_str() == word)
    }
}

/// What a token looks like before anything in it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFormat {
    /// Only the Backend API can tell whether it is good.
    Opaque(TokenKind),
    /// To be verified here; its kind stands inside.
    Jwt,
}

/// Tells an opaque token by its prefix; all else has to be a JWT. Prefixes are case-sensitive.
pub fn detect_format(token: &[u8]) -> TokenFormat {
    if token.starts_with(b"mt_") {
        TokenFormat::Opaque(TokenKind::M2mToken)
    } else if token.starts_with(b"oat_") {
        TokenFormat::Opaque(TokenKind::OauthToken)
    } else if token.starts_with(b"ak_") {
        TokenFormat::Opaque(TokenKind::ApiKey)
    } else {
        TokenFormat::Jwt
    }
}

/// Whether a text is an id as Clerk makes them: safe in a path, a header, a log line and a table.
pub fn is_clerk_id(id: &str, prefix: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    id.len() <= 128 && id.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain))
}

/// The SHA-256 of a token: the key it is cached under and the only trace of it in events.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Hashes a token's bytes as they are.
    pub fn of(token: &[u8]) -> Self {
        TokenHash(Sha256::digest(token).into())
    }
}

impl std::hash::Hash for TokenHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        // SHA-256 output is as good as random: eight bytes of it are hash enough.
        let mut word = [0; 8];
        word.copy_from_slice(&self.0[..8]);
        state.write_u64(u64::from_le_bytes(word));
    }
}

impl std::fmt::Display for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Each request's event has it: one write instead of 32 formatted ones.
        let mut text = [0; 64];
        for (digits, byte) in text.chunks_exact_mut(2).zip(self.0) {
            let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
            digits.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        f.write_str("clerk:auth:")?;
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenHash({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_tell_the_kind() {
        assert_eq!(detect_format(b"ak_x"), TokenFormat::Opaque(TokenKind::ApiKey));
        assert_eq!(detect_format(b"oat_x"), TokenFormat::Opaque(TokenKind::OauthToken));
        assert_eq!(detect_format(b"mt_x"), TokenFormat::Opaque(TokenKind::M2mToken));
        for jwt in ["MT_x", "m2m_x", "eyJ.e.s", ""] {
            assert_eq!(detect_format(jwt.as_bytes()), TokenFormat::Jwt);
        }
    }

    #[test]
    fn the_hash_reads_like_the_seed_packages_cache_key() {
        let text = TokenHash::of(b"abc").to_string();
        assert_eq!(text, "clerk:auth:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn n2_ids_are_shape_checked() {
        for good in ["user_1", "user_2abcDEF-9_x"] {
            assert!(is_clerk_id(good, "user_"));
        }
        let long = format!("user_{}", "a".repeat(200));
        for bad in ["user_", "", "user_../x", "user_a/b", "user_a%2f", "user_a?b", "user_é", "user_a b", "mch_1", &long]
        {
            assert!(!is_clerk_id(bad, "user_"), "{bad}");
        }
    }
}
