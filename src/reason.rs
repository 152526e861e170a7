//! Why a request was not signed in: a closed list of words, their numbers in the C ABI and what kind of trouble each is.

/// What kind of trouble a [`Reason`] is, so that a host can choose between 401, 403, 500 and 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Category {
    /// Nothing was presented: the host may go on with a session of its own.
    NoCredentials = 1,
    /// What was presented is no good: 401.
    InvalidToken = 2,
    /// The caller is known and may not come in: 403.
    Forbidden = 3,
    /// The server is set up wrongly (a refused secret key, for one): 500.
    Misconfigured = 4,
    /// Nobody can tell right now: 503, retry later.
    Unavailable = 5,
}

impl Category {
    /// Every category.
    ///
    /// cbindgen:ignore
    pub const ALL: [Category; 5] = [
        Category::NoCredentials,
        Category::InvalidToken,
        Category::Forbidden,
        Category::Misconfigured,
        Category::Unavailable,
    ];

    pub(crate) const fn c_str(self) -> &'static std::ffi::CStr {
        match self {
            Category::NoCredentials => c"no_credentials",
            Category::InvalidToken => c"invalid_token",
            Category::Forbidden => c"forbidden",
            Category::Misconfigured => c"misconfigured",
            Category::Unavailable => c"unavailable",
        }
    }
}

/// Why a request was not signed in. The words are Clerk's own where it has one.
///
/// Numbers are never used twice and never change. A reason never carries text from a token, a response body or an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Reason {
    /// Neither an `Authorization: Bearer` header nor a session cookie was there.
    SessionTokenMissing = 1,
    /// The credential or the token is malformed, unsupported, or holds a claim of the wrong type.
    TokenInvalid = 2,
    /// The signature does not hold under any key of this instance.
    TokenInvalidSignature = 3,
    /// `exp` has passed, the clock skew allowed for.
    TokenExpired = 4,
    /// `nbf` has not come yet.
    TokenNotActiveYet = 5,
    /// `iat` lies in the future.
    TokenIatInTheFuture = 6,
    /// `azp` is missing or not among the authorized parties.
    TokenInvalidAuthorizedParties = 7,
    /// `aud` is missing or names none of the configured audiences.
    TokenInvalidAudience = 8,
    /// `iss` is not among the configured issuers.
    TokenInvalidIssuer = 9,
    /// A token of a kind that is not accepted here (an OAuth token where sessions are asked for, say).
    TokenTypeNotSupported = 10,
    /// No key of this instance has the token's key id.
    JwkKidMismatch = 11,
    /// There is no source of keys to verify this token with.
    JwkFailedToResolve = 12,
    /// The key set could not be fetched.
    JwkFailedToLoad = 13,
    /// The key set was fetched and is no JWK set.
    JwkRemoteInvalid = 14,
    /// Clerk refuses the secret key.
    SecretKeyInvalid = 15,
    /// The Backend API is out of reach, over its rate limit, or answers nonsense.
    ServerError = 16,
    /// Clerk knows no such user.
    UserNotFound = 17,
    /// The user is banned at Clerk or deactivated in the host's own table.
    UserInactive = 18,
    /// The session still has tasks to do (`sts: pending`).
    SessionPending = 19,
    /// The session has ended or was revoked.
    SessionRevoked = 20,
    /// The local row that matches belongs to another Clerk user.
    LinkConflict = 21,
    /// The host's user store failed.
    StoreError = 22,
    /// Strict cookie policy: no session cookie and the browser is signed out.
    SessionTokenAndUatMissing = 23,
    /// Strict cookie policy: a session cookie, but the browser is signed out.
    SessionTokenButNoClientUat = 24,
    /// Strict cookie policy: the browser is signed in, but there is no session cookie.
    ClientUatButNoSessionToken = 25,
    /// Strict cookie policy: the token is older than the browser's last sign-in or sign-out.
    SessionTokenIatBeforeClientUat = 26,
    /// A fault of this library; nobody is signed in.
    InternalError = 27,
}

impl Reason {
    /// Every reason, in the order of their numbers.
    ///
    /// cbindgen:ignore
    pub const ALL: [Reason; 27] = [
        Reason::SessionTokenMissing,
        Reason::TokenInvalid,
        Reason::TokenInvalidSignature,
        Reason::TokenExpired,
        Reason::TokenNotActiveYet,
        Reason::TokenIatInTheFuture,
        Reason::TokenInvalidAuthorizedParties,
        Reason::TokenInvalidAudience,
        Reason::TokenInvalidIssuer,
        Reason::TokenTypeNotSupported,
        Reason::JwkKidMismatch,
        Reason::JwkFailedToResolve,
        Reason::JwkFailedToLoad,
        Reason::JwkRemoteInvalid,
        Reason::SecretKeyInvalid,
        Reason::ServerError,
        Reason::UserNotFound,
        Reason::UserInactive,
        Reason::SessionPending,
        Reason::SessionRevoked,
        Reason::LinkConflict,
        Reason::StoreError,
        Reason::SessionTokenAndUatMissing,
        Reason::SessionTokenButNoClientUat,
        Reason::ClientUatButNoSessionToken,
        Reason::SessionTokenIatBeforeClientUat,
        Reason::InternalError,
    ];

    /// The word for logs, events and clients; NUL-terminated so that C can have it as it is.
    pub(crate) const fn c_str(self) -> &'static std::ffi::CStr {
        match self {
            Reason::SessionTokenMissing => c"session-token-missing",
            Reason::TokenInvalid => c"token-invalid",
            Reason::TokenInvalidSignature => c"token-invalid-signature",
            Reason::TokenExpired => c"token-expired",
            Reason::TokenNotActiveYet => c"token-not-active-yet",
            Reason::TokenIatInTheFuture => c"token-iat-in-the-future",
            Reason::TokenInvalidAuthorizedParties => c"token-invalid-authorized-parties",
            Reason::TokenInvalidAudience => c"token-invalid-audience",
            Reason::TokenInvalidIssuer => c"token-invalid-issuer",
            Reason::TokenTypeNotSupported => c"token-type-not-supported",
            Reason::JwkKidMismatch => c"jwk-kid-mismatch",
            Reason::JwkFailedToResolve => c"jwk-failed-to-resolve",
            Reason::JwkFailedToLoad => c"jwk-failed-to-load",
            Reason::JwkRemoteInvalid => c"jwk-remote-invalid",
            Reason::SecretKeyInvalid => c"secret-key-invalid",
            Reason::ServerError => c"server-error",
            Reason::UserNotFound => c"user-not-found",
            Reason::UserInactive => c"user-inactive",
            Reason::SessionPending => c"session-pending",
            Reason::SessionRevoked => c"session-revoked",
            Reason::LinkConflict => c"link-conflict",
            Reason::StoreError => c"store-error",
            Reason::SessionTokenAndUatMissing => c"session-token-and-uat-missing",
            Reason::SessionTokenButNoClientUat => c"session-token-but-no-client-uat",
            Reason::ClientUatButNoSessionToken => c"client-uat-but-no-session-token",
            Reason::SessionTokenIatBeforeClientUat => c"session-token-iat-before-client-uat",
            Reason::InternalError => c"internal-error",
        }
    }

    /// The word for logs, events and clients.
    pub fn as_str(self) -> &'static str {
        self.c_str().to_str().unwrap_or_default()
    }

    /// The reason with this number in the C ABI.
    pub fn from_number(number: i32) -> Option<Reason> {
        Self::ALL.into_iter().find(|r| *r as i32 == number)
    }

    /// What kind of trouble this is.
    pub fn category(self) -> Category {
        match self {
            Reason::SessionTokenMissing | Reason::SessionTokenAndUatMissing => Category::NoCredentials,
            Reason::TokenInvalid
            | Reason::TokenInvalidSignature
            | Reason::TokenExpired
            | Reason::TokenNotActiveYet
            | Reason::TokenIatInTheFuture
            | Reason::TokenInvalidAuthorizedParties
            | Reason::TokenInvalidAudience
            | Reason::TokenInvalidIssuer
            | Reason::TokenTypeNotSupported
            | Reason::JwkKidMismatch
            | Reason::UserNotFound
            | Reason::SessionPending
            | Reason::SessionRevoked
            | Reason::SessionTokenButNoClientUat
            | Reason::ClientUatButNoSessionToken
            | Reason::SessionTokenIatBeforeClientUat => Category::InvalidToken,
            Reason::UserInactive | Reason::LinkConflict => Category::Forbidden,
            Reason::JwkFailedToResolve | Reason::SecretKeyInvalid => Category::Misconfigured,
            Reason::JwkFailedToLoad
            | Reason::JwkRemoteInvalid
            | Reason::ServerError
            | Reason::StoreError
            | Reason::InternalError => Category::Unavailable,
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_are_unique_and_found_again() {
        for (i, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as i32, i as i32 + 1);
            assert_eq!(Reason::from_number(reason as i32), Some(reason));
            let same = Reason::ALL.into_iter().filter(|r| r.as_str() == reason.as_str()).count();
            assert_eq!(same, 1, "{reason}");
        }
        assert_eq!(Reason::from_number(0), None);
        assert_eq!(Reason::from_number(28), None);
    }
}
