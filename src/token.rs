//! The kinds of tokens, the hash that a token is cached under, and the format of Clerk's ids.

use std::slice;

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

/// The types of tokens that Clerk issues.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::EnumString,
    strum::FromRepr,
    strum::IntoStaticStr,
    strum::VariantArray,
    strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
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
    pub const ALL: &'static [TokenKind] = <TokenKind as strum::VariantArray>::VARIANTS;

    /// Returns Clerk's name for the kind, as the setting `accepts_token` takes it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The format of a token, before anything in it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFormat {
    /// Opaque: only the Backend API can verify it.
    Opaque(TokenKind),
    /// A JWT, verified locally; its kind is known after decoding.
    Jwt,
}

/// Recognizes opaque tokens by their prefix; everything else has to be a JWT. Prefixes are case-sensitive.
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

/// Returns whether a string has the format of Clerk's ids: safe in a path, a header, a log line and a table.
pub fn is_clerk_id(id: &str, prefix: &str) -> bool {
    let is_valid = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    id.len() <= 128 && id.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_valid))
}

/// The SHA-256 of a token: the key it is cached under, and all that events contain of it.
///
/// # Examples
///
/// ```
/// use clerk_auth::TokenHash;
///
/// let hash = TokenHash::of(b"abc");
/// assert_eq!(hash.as_bytes()[..2], [0xba, 0x78]);
/// assert!(hash.to_string().starts_with("clerk:auth:ba7816bf"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub(crate) [u8; 32]);

impl TokenHash {
    /// Hashes the bytes of a token.
    pub fn of(token: &[u8]) -> Self {
        TokenHash(Sha256::digest(token).into())
    }

    /// Hashes several strings, each with its length.
    pub(crate) fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        TokenHash(hash.finalize().into())
    }

    /// Returns the 32 bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// SHA-256 of the first blocks of a token, or of none: the hash of what is signed continues from there.
pub(crate) struct BegunHash<'a> {
    state: [u32; 8],
    /// What has been hashed. While it is borrowed it cannot change.
    begin: &'a [u8],
}

/// The state of SHA-256 before the first block (FIPS 180-4 §5.3.3).
const INITIAL_STATE: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

impl Default for BegunHash<'_> {
    fn default() -> Self {
        BegunHash { state: INITIAL_STATE, begin: &[] }
    }
}

/// The length of the signature of an RSA key of 2048 bits, in base64url.
const SIGNATURE_LEN: usize = 342;
/// SHA-256 takes this many bytes at a time.
const BLOCK_LEN: usize = 64;

impl<'a> BegunHash<'a> {
    /// Hashes a token, and returns the hash of the blocks before its signature as well.
    #[inline(always)]
    pub fn of(token: &'a [u8]) -> (TokenHash, Self) {
        let signed = token.len().checked_sub(SIGNATURE_LEN + 1).filter(|dot| token[*dot] == b'.').unwrap_or(0);
        let (blocks, _) = token[..signed].as_chunks::<BLOCK_LEN>();
        let mut begun = BegunHash { begin: blocks.as_flattened(), ..BegunHash::default() };
        compress256(&mut begun.state, blocks);
        (TokenHash(begun.end(&token[begun.begin.len()..])), begun)
    }

    /// Returns the hash of a signing input. It is hashed as a whole unless it is that of the same token, at the same place in memory.
    pub fn of_signing_input(&self, signing_input: &[u8]) -> [u8; 32] {
        let is_same = std::ptr::eq(signing_input.as_ptr(), self.begin.as_ptr());
        match signing_input.get(self.begin.len()..).filter(|_| is_same) {
            Some(rest) => self.end(rest),
            None => Sha256::digest(signing_input).into(),
        }
    }

    /// Returns the hash if `rest` follows. Without the buffer of [`Sha256`], which a string that is there as a whole does not need.
    #[inline]
    fn end(&self, rest: &[u8]) -> [u8; 32] {
        let (blocks, rest_of_block) = rest.as_chunks::<BLOCK_LEN>();
        let mut state = self.state;
        compress256(&mut state, blocks);
        // FIPS 180-4 §5.1.1: a bit, zeros, and the length in bits.
        let mut last = [0; BLOCK_LEN];
        last[..rest_of_block.len()].copy_from_slice(rest_of_block);
        last[rest_of_block.len()] = 0x80;
        if rest_of_block.len() >= BLOCK_LEN - 8 {
            compress256(&mut state, slice::from_ref(&last));
            last = [0; BLOCK_LEN];
        }
        let bits = (self.begin.len() + rest.len()) as u64 * 8;
        last[BLOCK_LEN - 8..].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut state, slice::from_ref(&last));
        let mut hash = [0; 32];
        for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
            *bytes = word.to_be_bytes();
        }
        hash
    }
}

/// A token hash in its text form, `clerk:auth:` and 64 hexadecimal digits, with a NUL behind it.
#[derive(Clone, Debug)]
pub(crate) struct TokenHashString([u8; TokenHashString::LEN + 1]);

impl TokenHashString {
    const PREFIX: &[u8] = b"clerk:auth:";
    const LEN: usize = Self::PREFIX.len() + 64;

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0[..Self::LEN]).unwrap_or_default()
    }
}

impl TokenHash {
    pub(crate) fn to_c_string(self) -> TokenHashString {
        let mut text = [0; TokenHashString::LEN + 1];
        let (prefix, rest) = text.split_at_mut(TokenHashString::PREFIX.len());
        prefix.copy_from_slice(TokenHashString::PREFIX);
        for (digits, byte) in rest.chunks_exact_mut(2).zip(self.0) {
            let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
            digits.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        TokenHashString(text)
    }
}

impl std::hash::Hash for TokenHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        // SHA-256 output is uniform: eight bytes of it suffice.
        let mut word = [0; 8];
        word.copy_from_slice(&self.0[..8]);
        state.write_u64(u64::from_le_bytes(word));
    }
}

impl std::fmt::Display for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Formatted for each event: one write instead of 32.
        f.write_str(self.to_c_string().as_str())
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
    fn prefix_determines_kind() {
        assert_eq!(detect_format(b"ak_x"), TokenFormat::Opaque(TokenKind::ApiKey));
        assert_eq!(detect_format(b"oat_x"), TokenFormat::Opaque(TokenKind::OauthToken));
        assert_eq!(detect_format(b"mt_x"), TokenFormat::Opaque(TokenKind::M2mToken));
        for jwt in ["MT_x", "m2m_x", "eyJ.e.s", ""] {
            assert_eq!(detect_format(jwt.as_bytes()), TokenFormat::Jwt);
        }
    }

    #[test]
    fn begun_hash_continues_to_the_hash_of_the_signing_input() {
        for len in (0..200).chain([640, 1000]) {
            let signed = "x".repeat(len);
            for signature in [0, 341, 342, 343] {
                let token = format!("{signed}.{}", "y".repeat(signature));
                let (hash, begun) = BegunHash::of(token.as_bytes());
                assert_eq!(hash, TokenHash::of(token.as_bytes()));
                assert_eq!(begun.of_signing_input(&token.as_bytes()[..len]), TokenHash::of(signed.as_bytes()).0);
                assert_eq!(begun.begin.len(), if signature == 342 { len / 64 * 64 } else { 0 });
            }
        }
    }

    #[test]
    fn begun_hash_of_another_token_is_not_continued() {
        let (token, other) = (format!("{}.{}", "x".repeat(640), "y".repeat(342)), "z".repeat(640));
        let (_, begun) = BegunHash::of(token.as_bytes());
        assert_eq!(begun.of_signing_input(other.as_bytes()), TokenHash::of(other.as_bytes()).0);
    }

    #[test]
    fn token_hash_displays_as_django_clerk_sdk_cache_key() {
        let text = TokenHash::of(b"abc").to_string();
        assert_eq!(text, "clerk:auth:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn clerk_id_format_is_checked() {
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
