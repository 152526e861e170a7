//! The error of the public functions.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::api::{ApiError, ErrorKind as ApiErrorKind};
use crate::config::ConfigError;
use crate::reason::{Category, Reason};

/// What an [`Error`] calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is missing or invalid, or Clerk rejects the secret key. To be corrected by the operator.
    Config,
    /// The request carries no credential.
    NoCredentials,
    /// The credential of a request, or a webhook delivery, is rejected.
    Rejected,
    /// Clerk or the user store failed: the result cannot be determined now. Retry; never treat it as rejected.
    Unavailable,
}

/// The error of all functions of this crate, for the application and its log. Never to be sent to an HTTP client.
///
/// `Display` says what failed, why and what may help, in one line: `unavailable: jwk-failed-to-load: tls: certificate expired
/// (…)`. [`source`](StdError::source) is the underlying error, if there is one. Neither contains a token or a secret.
///
/// # Examples
///
/// ```
/// use clerk_auth::{Client, ErrorKind};
///
/// let error = Client::builder().secret_key("pk_test_wrong").build().unwrap_err();
/// assert_eq!((error.kind(), error.setting()), (ErrorKind::Config, Some("secret_key")));
/// assert!(error.to_string().starts_with("secret_key: this is a publishable key"));
/// assert!(error.is_config() && !error.is_unavailable());
/// ```
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    setting: Option<&'static str>,
    reason: Option<Reason>,
    retry_after_ms: Option<u64>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Error(Box::new(Inner { kind, message, setting: None, reason: None, retry_after_ms: None, source: None }))
    }

    /// The error of a request that is not signed in.
    pub(crate) fn not_signed_in(reason: Reason, retry_after_ms: Option<u64>, cause: Option<Cause>) -> Self {
        let (kind, what) = match reason.category() {
            Category::NoCredentials => (ErrorKind::NoCredentials, "no credentials"),
            Category::InvalidToken | Category::Forbidden => (ErrorKind::Rejected, "rejected"),
            Category::Misconfigured => (ErrorKind::Config, "misconfigured"),
            Category::Unavailable => (ErrorKind::Unavailable, "unavailable"),
        };
        let mut error = Error::new(kind, format!("{what}: {reason}"));
        error.0.reason = Some(reason);
        error.0.retry_after_ms = retry_after_ms;
        error.0.source = cause.map(|cause| Box::new(cause) as _);
        error
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// Returns what the error calls for.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns whether the operator has to correct the configuration.
    pub fn is_config(&self) -> bool {
        self.0.kind == ErrorKind::Config
    }

    /// Returns whether a credential or a webhook delivery is rejected.
    pub fn is_rejected(&self) -> bool {
        self.0.kind == ErrorKind::Rejected
    }

    /// Returns whether the same call may succeed later.
    pub fn is_unavailable(&self) -> bool {
        self.0.kind == ErrorKind::Unavailable
    }

    /// Returns whether Clerk did not respond within `timeout_ms`.
    pub fn is_timeout(&self) -> bool {
        self.api().is_some_and(|error| error.kind == ApiErrorKind::Timeout)
    }

    /// Returns whether Clerk is rate-limiting (429).
    pub fn is_rate_limited(&self) -> bool {
        self.api().is_some_and(|error| error.kind == ApiErrorKind::RateLimited)
    }

    /// Returns whether the application's user store failed.
    pub fn is_user_store(&self) -> bool {
        self.store_code().is_some()
    }

    /// Returns the name of the invalid setting.
    pub fn setting(&self) -> Option<&'static str> {
        self.0.setting
    }

    /// Returns why a request is not signed in.
    pub fn reason(&self) -> Option<Reason> {
        self.0.reason
    }

    /// Returns how long to wait before the next attempt, if known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after_ms.map(Duration::from_millis)
    }

    /// Returns the HTTP status of Clerk's response, if there was one.
    pub fn http_status(&self) -> Option<u16> {
        self.api().map(|error| error.status).filter(|status| *status != 0)
    }

    /// Returns Clerk's id of the failed request, to quote to Clerk's support.
    pub fn trace_id(&self) -> Option<&str> {
        self.api().and_then(|error| error.trace_id.as_deref())
    }

    /// Returns the code of the [`StoreError`](crate::users::StoreError) with which the user store failed.
    pub fn store_code(&self) -> Option<i32> {
        match self.cause()? {
            Cause::UserStore { code, .. } => Some(*code),
            Cause::Api(_) => None,
        }
    }

    pub(crate) fn cause(&self) -> Option<&Cause> {
        self.0.source.as_ref()?.downcast_ref()
    }

    fn api(&self) -> Option<&ApiError> {
        match self.cause()? {
            Cause::Api(error) => Some(error),
            Cause::UserStore { .. } => None,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Error");
        shown.field("kind", &self.0.kind).field("message", &self.0.message);
        if let Some(source) = &self.0.source {
            shown.field("source", source);
        }
        shown.finish_non_exhaustive()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match self.api() {
            Some(error) => write!(f, ": {error}"),
            // The message of a user store is the application's own.
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        let setting = error.setting;
        let mut error = Error::new(ErrorKind::Config, error.to_string());
        error.0.setting = Some(setting);
        error
    }
}

/// The underlying error of a result, for the application's log. Never to be sent to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A call to Clerk failed.
    Api(ApiError),
    /// The application's user store failed.
    UserStore {
        /// The application's error code.
        code: i32,
        /// The application's error message.
        message: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Api(error) => error.fmt(f),
            Cause::UserStore { code, message } => write!(f, "user store failed: {message} (code {code})"),
        }
    }
}

impl StdError for Cause {}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable(kind: ApiErrorKind, status: u16) -> Error {
        let api = ApiError { status, trace_id: Some("t1".into()), ..ApiError::new(kind) };
        Error::not_signed_in(Reason::ServerError, Some(2000), Some(Cause::Api(api)))
    }

    #[test]
    fn kind_follows_the_category_of_the_reason() {
        for (reason, kind, message) in [
            (Reason::SessionTokenMissing, ErrorKind::NoCredentials, "no credentials: session-token-missing"),
            (Reason::TokenExpired, ErrorKind::Rejected, "rejected: token-expired"),
            (Reason::UserInactive, ErrorKind::Rejected, "rejected: user-inactive"),
            (Reason::SecretKeyInvalid, ErrorKind::Config, "misconfigured: secret-key-invalid"),
            (Reason::ServerError, ErrorKind::Unavailable, "unavailable: server-error"),
        ] {
            let error = Error::not_signed_in(reason, None, None);
            assert_eq!((error.kind(), error.to_string().as_str(), error.reason()), (kind, message, Some(reason)));
            assert!(error.source().is_none() && error.retry_after().is_none() && error.http_status().is_none());
        }
    }

    #[test]
    fn details_of_a_failed_call_are_found_through_the_source() {
        let error = unavailable(ApiErrorKind::RateLimited, 429);
        assert!(error.is_unavailable() && error.is_rate_limited() && !error.is_timeout() && !error.is_user_store());
        assert_eq!((error.http_status(), error.trace_id()), (Some(429), Some("t1")));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
        assert_eq!(error.source().unwrap().to_string(), "http 429: rate limited by Clerk, trace t1");
        assert_eq!(error.to_string(), "unavailable: server-error: http 429: rate limited by Clerk, trace t1");
        let timeout = unavailable(ApiErrorKind::Timeout, 0);
        assert!(timeout.is_timeout() && !timeout.is_rate_limited() && timeout.http_status().is_none());
    }

    #[test]
    fn failure_of_the_user_store_has_its_code() {
        let cause = Cause::UserStore { code: -7, message: "disk full".into() };
        let error = Error::not_signed_in(Reason::StoreError, None, Some(cause));
        assert!(error.is_user_store() && error.is_unavailable());
        assert_eq!(error.store_code(), Some(-7));
        assert_eq!(error.source().unwrap().to_string(), "user store failed: disk full (code -7)");
    }

    #[test]
    fn invalid_setting_is_named() {
        let error = Error::from(ConfigError::new("proxy", "invalid"));
        assert_eq!((error.to_string().as_str(), error.setting()), ("proxy: invalid", Some("proxy")));
        assert_eq!(format!("{error:?}"), r#"Error { kind: Config, message: "proxy: invalid", .. }"#);
    }
}
