//! Why a request was not signed in: the closed list of reasons, and the category of each.

/// The category of a reason; it determines the HTTP status.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    strum::FromRepr,
    strum::IntoStaticStr,
    strum::VariantArray,
    strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
#[repr(i32)]
pub enum Category {
    /// No credential was presented. The application may continue with a session of its own.
    NoCredentials = 1,
    /// The credential was rejected: 401.
    InvalidToken = 2,
    /// The user is known and has no access: 403.
    Forbidden = 3,
    /// The server is misconfigured, for example with a rejected secret key: 500.
    Misconfigured = 4,
    /// The result cannot be determined: 503, retry later.
    Unavailable = 5,
}

impl Category {
    /// Every category.
    pub const ALL: &'static [Category] = <Category as strum::VariantArray>::VARIANTS;

    /// Returns the name, such as `invalid_token`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the HTTP status that fits.
    pub fn http_status(self) -> u16 {
        match self {
            Category::NoCredentials | Category::InvalidToken => 401,
            Category::Forbidden => 403,
            Category::Misconfigured => 500,
            Category::Unavailable => 503,
        }
    }
}

/// Why a request was not signed in. The names are those of Clerk's SDKs where they have one.
///
/// Numbers are never reused and never change. A reason never contains data of a token, a response or an error.
///
/// # Examples
///
/// ```
/// use clerk_auth::{Category, Reason};
///
/// assert_eq!(Reason::TokenExpired.as_str(), "token-expired");
/// assert_eq!(Reason::TokenExpired.category(), Category::InvalidToken);
/// assert_eq!(Reason::ServerError.category().http_status(), 503);
/// ```
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    strum::FromRepr,
    strum::IntoStaticStr,
    strum::VariantArray,
    strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
#[non_exhaustive]
#[repr(i32)]
pub enum Reason {
    /// The request has neither an `Authorization: Bearer` header nor a session cookie.
    SessionTokenMissing = 1,
    /// The credential or the token is malformed or unsupported, or a claim has the wrong type.
    TokenInvalid = 2,
    /// No key of this instance verifies the signature.
    TokenInvalidSignature = 3,
    /// `exp` plus the clock skew has passed.
    TokenExpired = 4,
    /// `nbf` is in the future.
    TokenNotActiveYet = 5,
    /// `iat` is in the future.
    TokenIatInTheFuture = 6,
    /// `azp` is missing or not among the authorized parties.
    TokenInvalidAuthorizedParties = 7,
    /// `aud` is missing or names none of the configured audiences.
    TokenInvalidAudience = 8,
    /// `iss` is not among the configured issuers.
    TokenInvalidIssuer = 9,
    /// The type of the token is not accepted, for example an OAuth token where only session tokens are.
    TokenTypeNotSupported = 10,
    /// No key of this instance has the token's key id.
    JwkKidMismatch = 11,
    /// No verification key is configured for this token.
    JwkFailedToResolve = 12,
    /// The JWK set could not be fetched.
    JwkFailedToLoad = 13,
    /// The fetched document is not a valid JWK set.
    JwkRemoteInvalid = 14,
    /// Clerk rejects the secret key.
    SecretKeyInvalid = 15,
    /// The Backend API is unavailable, rate-limited, or sends an unexpected response.
    ServerError = 16,
    /// The user does not exist at Clerk.
    UserNotFound = 17,
    /// The user is banned at Clerk, or inactive in the application's user table.
    UserInactive = 18,
    /// The session has pending tasks (`sts: pending`).
    SessionPending = 19,
    /// The session has ended or was revoked.
    SessionRevoked = 20,
    /// The user's row is ambiguous or belongs to another Clerk user.
    LinkConflict = 21,
    /// The user store failed.
    StoreError = 22,
    /// `check_client_uat`: no session cookie, and the browser is signed out.
    SessionTokenAndUatMissing = 23,
    /// `check_client_uat`: a session cookie, but the browser is signed out.
    SessionTokenButNoClientUat = 24,
    /// `check_client_uat`: the browser is signed in, but there is no session cookie.
    ClientUatButNoSessionToken = 25,
    /// `check_client_uat`: the token was issued before the browser's last sign-in or sign-out.
    SessionTokenIatBeforeClientUat = 26,
    /// Internal error of this library.
    InternalError = 27,
    /// `csrf`: a cookie on an unsafe method, without evidence that the request comes from the same origin.
    CsrfFailed = 28,
    /// `handshake`: the address carries a development browser, which has to be passed on to Clerk.
    DevBrowserSync = 29,
    /// `handshake`: a browser that the development instance does not know.
    DevBrowserMissing = 30,
    /// `handshake`: a satellite has to ask the primary domain whether the browser is signed in.
    SatelliteNeedsSyncing = 31,
    /// `handshake`: a satellite asks the primary domain of a development instance.
    PrimaryRespondsToSyncing = 32,
    /// `cross_origin_sync`: the visitor follows a link from another site.
    PrimaryDomainCrossOriginSync = 33,
    /// `organization_patterns`: the path belongs to another organization than the active one.
    ActiveOrganizationMismatch = 34,
    /// `shared_cache_required`: the shared cache cannot be used.
    SharedCacheUnavailable = 35,
}

impl Reason {
    /// Every reason, in the order of their numbers.
    pub const ALL: &'static [Reason] = <Reason as strum::VariantArray>::VARIANTS;

    /// Returns the name, such as `token-expired`, for logs, events and clients.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns whether the request showed no token, so that the application may continue without a user: there was none, or with
    /// `handshake` on none was read.
    pub fn is_anonymous(self) -> bool {
        matches!(
            self,
            Reason::SessionTokenMissing
                | Reason::SessionTokenAndUatMissing
                | Reason::ClientUatButNoSessionToken
                | Reason::DevBrowserSync
                | Reason::DevBrowserMissing
                | Reason::SatelliteNeedsSyncing
                | Reason::PrimaryRespondsToSyncing
        )
    }

    /// Returns the category.
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
            | Reason::SessionTokenIatBeforeClientUat
            | Reason::DevBrowserSync
            | Reason::DevBrowserMissing
            | Reason::SatelliteNeedsSyncing
            | Reason::PrimaryRespondsToSyncing
            | Reason::PrimaryDomainCrossOriginSync
            | Reason::ActiveOrganizationMismatch => Category::InvalidToken,
            Reason::UserInactive | Reason::LinkConflict | Reason::CsrfFailed => Category::Forbidden,
            Reason::JwkFailedToResolve | Reason::SecretKeyInvalid => Category::Misconfigured,
            Reason::JwkFailedToLoad
            | Reason::JwkRemoteInvalid
            | Reason::ServerError
            | Reason::StoreError
            | Reason::InternalError
            | Reason::SharedCacheUnavailable => Category::Unavailable,
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
    fn numbers_and_names_are_unique() {
        for (i, reason) in Reason::ALL.iter().copied().enumerate() {
            assert_eq!(reason as i32, i as i32 + 1);
            assert_eq!(Reason::from_repr(reason as i32), Some(reason));
            let same = Reason::ALL.iter().filter(|other| other.as_str() == reason.as_str()).count();
            assert_eq!(same, 1, "{reason}");
        }
        assert_eq!(Reason::ALL.len(), 35);
        assert_eq!((Reason::from_repr(0), Reason::from_repr(36)), (None, None));
        assert_eq!(Reason::TokenIatInTheFuture.as_str(), "token-iat-in-the-future");
        assert_eq!(Category::NoCredentials.as_str(), "no_credentials");
    }

    #[test]
    fn reasons_without_a_token_are_anonymous() {
        let anonymous: Vec<i32> =
            Reason::ALL.iter().filter(|reason| reason.is_anonymous()).map(|reason| *reason as i32).collect();
        assert_eq!(anonymous, [1, 23, 25, 29, 30, 31, 32]);
        for reason in Reason::ALL {
            let (is_anonymous, category) = (reason.is_anonymous(), reason.category());
            assert!(is_anonymous || category != Category::NoCredentials, "{reason}");
            assert!(!is_anonymous || category.http_status() == 401, "{reason}");
        }
    }
}
