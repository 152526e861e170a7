//! Results and errors of an authentication.

use std::time::Duration;

use once_cell::race::OnceBox;

use super::cache_entry::CacheEntry;
use crate::api::ApiError;
pub use crate::error::Cause;
use crate::error::Error;
use crate::events::Source;
use crate::handshake::PageResponse;
use crate::identity::Identity;
use crate::reason::{Category, Reason};
use crate::token::{TokenHash, TokenHashString};

/// The four outcomes of a request. Match all of them: only `SignedIn` lets a request pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request has a valid token.
    SignedIn {
        /// Whether the token was verified by this call or earlier.
        source: Source,
    },
    /// The request has a credential that is rejected.
    SignedOut {
        /// The reason.
        reason: Reason,
    },
    /// The request has no credential; the application may use a session of its own.
    NoCredentials {
        /// What is missing.
        reason: Reason,
    },
    /// The result cannot be determined; retry. Never to be treated as signed out.
    Unavailable {
        /// The reason.
        reason: Reason,
        /// Milliseconds to wait before the next try, if known.
        retry_after_ms: Option<u64>,
    },
}

/// The result of an authentication. Immutable and shared: a cache hit returns the cached result itself.
///
/// # Examples
///
/// ```
/// use clerk_auth::{AuthResult, AuthorizationParams};
///
/// /// Returns the status and the body of the response to an administrator's request.
/// fn respond(result: &AuthResult) -> (u16, String) {
///     let Some(identity) = result.identity() else {
///         if let Some(error) = result.error().filter(|error| error.is_unavailable() || error.is_config()) {
///             eprintln!("{error}"); // for the operator; `public_reason` is for the client
///         }
///         return (result.http_status(), result.public_reason().unwrap_or_default().into());
///     };
///     match identity.has(&AuthorizationParams { role: Some("admin"), ..AuthorizationParams::default() }) {
///         true => (200, format!("hello, {}", identity.subject())),
///         false => (403, "administrators only".into()),
///     }
/// }
/// # let (jwt_key, token) = clerk_auth::internals::example();
/// # let client = clerk_auth::Client::builder().jwt_key(jwt_key).build()?;
/// # assert_eq!(respond(&client.verify_token(token)), (200, "hello, user_ada".into()));
/// # assert_eq!(respond(&client.verify_token("a.b.c")), (401, "token-invalid".into()));
/// # Ok::<(), clerk_auth::Error>(())
/// ```
#[derive(Clone, Debug)]
#[repr(C)]
pub struct AuthResult {
    /// What the cache needs of a result that it contains. With what follows it, what a hit reads: near the reference counts.
    pub(super) entry: CacheEntry,
    /// Why the request is not signed in.
    reason: Option<Reason>,
    /// Where the result comes from, if it is signed in.
    source: Source,
    has_token: bool,
    pub(crate) handshake_recommended: bool,
    /// Present exactly if there is no reason.
    identity: Option<Identity>,
    rest: Option<Box<Rest>>,
    /// Made when it is asked for: most results are only read.
    token_hash_string: HashString,
}

/// What few results have.
#[derive(Clone, Debug, Default)]
struct Rest {
    cause: Option<Box<Cause>>,
    retry_after_ms: Option<u64>,
    response: Option<PageResponse>,
    detail: Option<String>,
}

#[derive(Default)]
struct HashString(OnceBox<TokenHashString>);

impl Clone for HashString {
    fn clone(&self) -> Self {
        HashString::default()
    }
}

impl std::fmt::Debug for HashString {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.get().map_or("", TokenHashString::as_str))
    }
}

impl AuthResult {
    fn new(reason: Option<Reason>, source: Source, identity: Option<Identity>) -> Self {
        AuthResult {
            entry: CacheEntry::default(),
            reason,
            source,
            has_token: false,
            handshake_recommended: false,
            identity,
            rest: None,
            token_hash_string: HashString::default(),
        }
    }

    pub(crate) fn with_token_hash(mut self, hash: &TokenHash) -> Self {
        self.entry.hash = *hash;
        self.has_token = true;
        self
    }

    /// Returns what a hit of this entry returns.
    pub(super) fn cached(identity: Identity, entry: CacheEntry) -> Self {
        AuthResult { entry, has_token: true, ..AuthResult::signed_in(identity, Source::Cache) }
    }

    /// Returns the hash of the token, as events have it; `None` if the request carries no token. A NUL follows it.
    pub fn token_hash(&self) -> Option<&str> {
        let make = || self.entry.hash.to_c_string().into();
        self.has_token.then(|| self.token_hash_string.0.get_or_init(make).as_str())
    }

    pub(crate) fn signed_in(identity: Identity, source: Source) -> Self {
        AuthResult::new(None, source, Some(identity))
    }

    /// Returns the outcome.
    pub fn outcome(&self) -> Outcome {
        let Some(reason) = self.reason else { return Outcome::SignedIn { source: self.source } };
        match reason.category() {
            Category::NoCredentials => Outcome::NoCredentials { reason },
            Category::InvalidToken | Category::Forbidden => Outcome::SignedOut { reason },
            Category::Misconfigured | Category::Unavailable => {
                Outcome::Unavailable { reason, retry_after_ms: self.rest.as_ref().and_then(|rest| rest.retry_after_ms) }
            }
        }
    }

    /// Returns the underlying error, if there is one.
    pub(crate) fn cause(&self) -> Option<&Cause> {
        self.rest.as_ref()?.cause.as_deref()
    }

    /// Replaces the underlying error.
    pub(super) fn with_cause(mut self, cause: Cause) -> Self {
        self.rest.get_or_insert_default().cause = Some(Box::new(cause));
        self
    }

    /// Returns what the browser handshake adds to the response.
    pub(crate) fn response(&self) -> Option<&PageResponse> {
        self.rest.as_ref()?.response.as_ref()
    }

    /// Returns what the debug line says.
    pub(super) fn detail(&self) -> Option<&str> {
        self.rest.as_ref()?.detail.as_deref()
    }

    /// Returns whether the outcome is `SignedIn`.
    pub fn is_signed_in(&self) -> bool {
        self.reason.is_none()
    }

    /// Returns the caller's identity if the outcome is `SignedIn`.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Returns why the request is not signed in; `None` if it is.
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// Returns the HTTP status to respond with: 200, 401, 403, 500 or 503; 307 with a [`redirect`](Self::redirect).
    pub fn http_status(&self) -> u16 {
        if self.redirect().is_some() {
            return 307;
        }
        self.reason().map_or(200, |reason| reason.category().http_status())
    }

    /// Returns the reason in a form that may be sent to clients: its name for 401 and 403, and the name of its category
    /// for 500 and 503, because that reason describes the server. `None` if the request is signed in.
    pub fn public_reason(&self) -> Option<&'static str> {
        let reason = self.reason()?;
        Some(match reason.category() {
            category @ (Category::Misconfigured | Category::Unavailable) => category.as_str(),
            _ => reason.as_str(),
        })
    }

    /// Returns how long to wait before the next attempt, for `Retry-After`, if known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.outcome() {
            Outcome::Unavailable { retry_after_ms, .. } => retry_after_ms.map(Duration::from_millis),
            _ => None,
        }
    }

    /// Returns where to redirect the browser, for `Location` of a 307, with `handshake` on. Also for a request that is signed in:
    /// a development instance removes Clerk's response from the address. To be looked at before the outcome, and sent with
    /// [`set_cookies`](Self::set_cookies) and [`cache_control`](Self::cache_control).
    pub fn redirect(&self) -> Option<&str> {
        self.response()?.location.as_deref().map(without_nul)
    }

    /// Returns the values of `Set-Cookie` lines to add to the response, whatever the outcome, in this order, each as a line
    /// of its own.
    pub fn set_cookies(&self) -> impl ExactSizeIterator<Item = &str> {
        let lines = self.response().map_or(&[][..], |response| &response.set_cookies);
        lines.iter().map(|line| without_nul(line))
    }

    /// Returns the value of a `Cache-Control` line to add to the response: `no-store` with a redirect or cookies.
    pub fn cache_control(&self) -> Option<&'static str> {
        self.response().filter(|response| response.no_store).map(|_| "no-store")
    }

    /// Returns the result with what the handshake adds to the response.
    pub(super) fn with_response(mut self, response: PageResponse) -> Self {
        self.rest.get_or_insert_default().response = Some(response);
        self
    }

    /// Returns whether Clerk's frontend libraries would resolve this request with a handshake (a redirect to Clerk and back).
    pub fn handshake_recommended(&self) -> bool {
        self.handshake_recommended
    }

    /// Returns whether the request showed no token, so that an application that serves anonymous requests may serve this one. True
    /// without credentials, and with `handshake` on also where no session cookie was read; such a request may have a redirect.
    pub fn is_anonymous(&self) -> bool {
        self.reason().is_some_and(Reason::is_anonymous)
    }

    /// Returns why the request is not signed in, with the underlying error, for the log. `None` if it is.
    pub fn error(&self) -> Option<Error> {
        let cause = self.cause().cloned();
        let retry_after_ms = self.retry_after().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self.reason().map(|reason| Error::not_signed_in(reason, retry_after_ms, cause))
    }
}

/// A NUL follows the strings of a response in memory, for C.
fn without_nul(string: &str) -> &str {
    string.strip_suffix('\0').unwrap_or(string)
}

/// Why a request is not signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthError {
    /// The reason.
    pub reason: Reason,
    /// Milliseconds to wait before the next try, if known.
    pub retry_after_ms: Option<u64>,
    /// The underlying error, if there is one.
    pub cause: Option<Box<Cause>>,
    /// What the debug line says, if it is logged.
    pub detail: Option<String>,
}

impl AuthError {
    /// Returns the error for a failed call to Clerk.
    pub(super) fn unavailable(error: ApiError) -> AuthError {
        let reason = match error.is_secret_key_rejected() {
            true => Reason::SecretKeyInvalid,
            false => Reason::ServerError,
        };
        AuthError {
            reason,
            retry_after_ms: error.retry_after_ms,
            cause: Some(Box::new(Cause::Api(error))),
            detail: None,
        }
    }
}

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        Error::not_signed_in(error.reason, error.retry_after_ms, error.cause.map(|cause| *cause))
    }
}

impl From<Reason> for AuthError {
    fn from(reason: Reason) -> Self {
        AuthError { reason, retry_after_ms: None, cause: None, detail: None }
    }
}

impl From<AuthError> for AuthResult {
    /// The category of the reason decides the outcome.
    fn from(error: AuthError) -> Self {
        let AuthError { reason, retry_after_ms, cause, detail } = error;
        let mut result = AuthResult::new(Some(reason), Source::Verified, None);
        if cause.is_some() || retry_after_ms.is_some() || detail.is_some() {
            result.rest = Some(Box::new(Rest { cause, retry_after_ms, response: None, detail }));
        }
        result
    }
}

impl From<Reason> for AuthResult {
    fn from(reason: Reason) -> Self {
        AuthError::from(reason).into()
    }
}

/// Why a step of an authentication ended without a value.
#[derive(Debug)]
pub(super) enum VerifyError {
    /// A request to Clerk is needed, and the caller may not block.
    WouldBlock,
    /// The token is rejected, or cannot be verified now.
    Refused(AuthError),
}

impl From<AuthError> for VerifyError {
    fn from(error: AuthError) -> Self {
        VerifyError::Refused(error)
    }
}

impl From<Reason> for VerifyError {
    fn from(reason: Reason) -> Self {
        VerifyError::Refused(reason.into())
    }
}
