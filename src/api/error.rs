//! Errors of Backend API calls.

use super::transport::{Response, TransportError};
use crate::json::{self, Items, Object};

/// What kind of failure an [`ApiError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 404 of Clerk: the object does not exist.
    NotFound,
    /// Another 4xx of Clerk, such as 400 or 422: the request is invalid.
    BadRequest,
    /// A 4xx without Clerk's error object, of a gateway, a firewall or another server: says nothing about the request.
    Foreign,
    /// 401: Clerk rejects the secret key.
    Unauthorized,
    /// 403: the secret key lacks the permission.
    Forbidden,
    /// 402, or 403 for another reason than the secret key, such as an exceeded quota.
    Declined,
    /// 429: too many requests.
    RateLimited,
    /// 5xx, and 408, 421, 425, 499: the request may succeed later.
    Server,
    /// No connection was made, or it was lost.
    Network,
    /// The host refuses connections.
    ConnectionRefused,
    /// The host name was not found.
    NameResolution,
    /// The server's certificate is not valid.
    Certificate,
    /// The deadline passed.
    Timeout,
    /// A shutdown cancelled the call.
    Cancelled,
    /// A redirect, or a body that is too long or malformed.
    BadResponse,
    /// Not sent: the circuit breaker is open after repeated failures or a rate limit.
    CircuitOpen,
    /// Not sent: too many unknown opaque tokens are being verified.
    Throttled,
    /// Not sent: `clerk_calls_per_s` calls were sent within the last second.
    OverBudget,
    /// Not sent: the process was forked after the client was created.
    Forked,
}

/// A failed call. Contains neither the response's body nor a secret.
///
/// `Display` says what failed and what may help, in one line: `tls: certificate expired (check this machine's clock; …)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// Why there is no response.
    pub transport: Option<TransportError>,
    /// The HTTP status; 0 without a response.
    pub status: u16,
    /// Clerk's code of the error, such as `quota_exceeded`.
    pub code: Option<String>,
    /// How long to wait before the next attempt, from `Retry-After` or the circuit breaker.
    pub retry_after_ms: Option<u64>,
    /// Clerk's id of the request, for support requests.
    pub trace_id: Option<String>,
    /// The failure because of which the circuit breaker is open.
    pub previous: Option<Box<ApiError>>,
}

impl ApiError {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        let transport = match kind {
            ErrorKind::Network => Some(TransportError::Network),
            ErrorKind::ConnectionRefused => Some(TransportError::ConnectionRefused),
            ErrorKind::NameResolution => Some(TransportError::NameResolution),
            ErrorKind::Certificate => Some(TransportError::Certificate),
            ErrorKind::Timeout => Some(TransportError::Timeout),
            ErrorKind::Cancelled => Some(TransportError::Cancelled),
            ErrorKind::Forked => Some(TransportError::Forked),
            _ => None,
        };
        ApiError { kind, transport, status: 0, code: None, retry_after_ms: None, trace_id: None, previous: None }
    }

    /// Returns whether the same request may succeed on the next attempt.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Server | ErrorKind::Network)
    }

    /// Returns whether Clerk rejects the secret key, or lets it do too little.
    pub fn is_secret_key_rejected(&self) -> bool {
        matches!(self.kind, ErrorKind::Unauthorized | ErrorKind::Forbidden)
    }

    /// Returns whether Clerk itself refuses what the request is about: asking again would change nothing.
    pub(super) fn is_refusal(&self) -> bool {
        self.code.as_deref().is_some_and(|code| !INSTALLATION_CODES.contains(&code) && !KEY_CODES.contains(&code))
            && (400..=499).contains(&self.status)
            && !matches!(self.kind, ErrorKind::RateLimited | ErrorKind::Server)
    }

    fn hint(&self) -> Option<&'static str> {
        match self.kind {
            ErrorKind::Unauthorized => Some("copy secret_key from Clerk's dashboard"),
            ErrorKind::Forbidden => Some("use a secret key that may do this"),
            ErrorKind::Foreign if self.status == 407 => TransportError::ProxyAuthentication.hint(),
            ErrorKind::Foreign => Some("not a response of Clerk: check api_url, firewalls and proxies"),
            ErrorKind::Declined => Some("see the plan and the limits of the instance in Clerk's dashboard"),
            ErrorKind::BadResponse if self.transport.is_none() => Some("check api_url and proxy"),
            _ => self.transport.and_then(TransportError::hint),
        }
    }

    fn fmt_without_hint(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind, self.transport) {
            (_, Some(error)) => write!(f, "{error}")?,
            (ErrorKind::CircuitOpen, _) => {
                f.write_str("no request was sent: too many recent requests to Clerk failed")?;
            }
            (ErrorKind::Throttled, _) => {
                f.write_str("no request was sent: too many opaque tokens that were never valid")?;
            }
            (ErrorKind::OverBudget, _) => f.write_str("no request was sent: clerk_calls_per_s is used up")?,
            (ErrorKind::Unauthorized, _) if self.status == 0 => {
                f.write_str("no secret key is configured for this request")?;
            }
            (_, _) if self.status == 0 => f.write_str("http: unexpected response body")?,
            (..) => {
                write!(f, "http {}", self.status)?;
                if let Some(code) = &self.code {
                    write!(f, " {code}")?;
                }
            }
        }
        match self.kind {
            ErrorKind::Unauthorized if self.status != 0 => f.write_str(": Clerk rejects the secret key"),
            ErrorKind::Forbidden => f.write_str(": the secret key lacks the permission"),
            ErrorKind::RateLimited => f.write_str(": rate limited by Clerk"),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fmt_without_hint(f)?;
        if let Some(previous) = &self.previous {
            f.write_str("; the last one: ")?;
            previous.fmt_without_hint(f)?;
        }
        let hint = self.hint().or_else(|| self.previous.as_ref().and_then(|previous| previous.hint()));
        if let Some(hint) = hint {
            write!(f, " ({hint})")?;
        }
        match &self.trace_id {
            Some(trace) => write!(f, ", trace {trace}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ApiError {}

impl From<TransportError> for ApiError {
    fn from(error: TransportError) -> Self {
        let kind = match error {
            TransportError::ConnectionRefused | TransportError::ProxyUnreachable => ErrorKind::ConnectionRefused,
            TransportError::NameResolution => ErrorKind::NameResolution,
            TransportError::Certificate
            | TransportError::CertificateExpired
            | TransportError::CertificateNotValidYet
            | TransportError::CertificateForOtherHost
            | TransportError::CertificateUnknownIssuer
            | TransportError::CertificateSelfSigned
            | TransportError::CertificateRevoked
            | TransportError::NoRootCertificates => ErrorKind::Certificate,
            TransportError::Timeout => ErrorKind::Timeout,
            TransportError::Cancelled => ErrorKind::Cancelled,
            TransportError::TooLarge => ErrorKind::BadResponse,
            TransportError::Forked => ErrorKind::Forked,
            TransportError::Network
            | TransportError::Unreachable
            | TransportError::ConnectionClosed
            | TransportError::TooManyOpenFiles
            | TransportError::Proxy
            | TransportError::ProxyAuthentication
            | TransportError::NotTls
            | TransportError::TlsVersion
            | TransportError::ClientCertificate
            | TransportError::Tls
            | TransportError::NotHttp => ErrorKind::Network,
        };
        ApiError { transport: Some(error), ..ApiError::new(kind) }
    }
}

/// Returns the body of a successful response, or the error for its status.
pub fn classify_response(response: Response) -> Result<Vec<u8>, ApiError> {
    let code = match response.status {
        200..=299 => return Ok(response.body),
        _ => error_code(&response.body),
    };
    let kind = match response.status {
        429 => ErrorKind::RateLimited,
        // Temporary failures: the same request may succeed later.
        408 | 421 | 425 | 499 => ErrorKind::Server,
        // Only Clerk itself can say something about a user, a session, a token or a key.
        400..=499 if code.is_none() => ErrorKind::Foreign,
        401 => ErrorKind::Unauthorized,
        403 if code.as_deref().is_some_and(|code| KEY_CODES.contains(&code)) => ErrorKind::Forbidden,
        402 | 403 => ErrorKind::Declined,
        404 => ErrorKind::NotFound,
        400..=499 => ErrorKind::BadRequest,
        500..=599 => ErrorKind::Server,
        _ => ErrorKind::BadResponse,
    };
    let retry_after_ms = response.retry_after.as_deref().and_then(retry_after_ms);
    let trace_id = response.trace_id.map(|trace| trace.chars().filter(char::is_ascii_graphic).take(64).collect());
    Err(ApiError { status: response.status, code, retry_after_ms, trace_id, ..ApiError::new(kind) })
}

/// The codes with which Clerk says, with 403, that the secret key is the cause.
const KEY_CODES: [&str; 4] =
    ["authorization_invalid", "authorization_missing_scopes", "authentication_invalid", "clerk_key_invalid"];

/// The codes with which Clerk says that the cause is the instance or the version of the API.
const INSTALLATION_CODES: [&str; 2] = ["api_keys_not_enabled", "api_version_invalid"];

/// Returns the code of the first error of Clerk's error object; `None` for any other body.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        errors: Items<Object<Entry>>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        code: String,
    }
    let Envelope { errors: Items(errors) } = json::derived(body)?;
    let Object(Entry { code }) = errors.into_iter().next()?;
    let is_code =
        (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    is_code.then_some(code)
}

/// Parses seconds or a date (RFC 9110 §10.2.3); limited to one minute.
fn retry_after_ms(value: &str) -> Option<u64> {
    const MAX_S: u64 = 60;
    let value = value.trim();
    let seconds = match value.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => MAX_S,
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            date.duration_since(std::time::SystemTime::now()).map_or(0, |d| d.as_secs() + 1)
        }
    };
    Some(seconds.min(MAX_S) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_parsed_from_seconds_or_date() {
        assert_eq!(retry_after_ms("2"), Some(2000));
        assert_eq!(retry_after_ms(" 0 "), Some(0));
        assert_eq!(retry_after_ms("99999999999999999999999"), Some(60_000));
        assert_eq!(retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        let future = httpdate::fmt_http_date(std::time::SystemTime::now() + std::time::Duration::from_secs(10));
        assert!((9000..=11_000).contains(&retry_after_ms(&future).unwrap()));
        for malformed in ["", "-1", "soon", "1.5"] {
            assert_eq!(retry_after_ms(malformed), None, "{malformed}");
        }
    }
}
