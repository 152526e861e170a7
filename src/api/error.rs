//! Errors of Backend API calls.

use super::transport::{Response, TransportError};

/// What kind of failure an [`ApiError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 404: the object does not exist.
    NotFound,
    /// Another 4xx, such as 400 or 422: the request is invalid.
    BadRequest,
    /// 401, 402: Clerk rejects the secret key.
    Unauthorized,
    /// 403: the secret key lacks the permission.
    Forbidden,
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
    /// [`Api::shutdown`](super::Api::shutdown) cancelled the call.
    Cancelled,
    /// A redirect, or a body that is too long or malformed.
    BadResponse,
    /// Not sent: the circuit breaker is open after repeated failures or a rate limit.
    CircuitOpen,
    /// Not sent: too many unknown opaque tokens are being verified.
    Throttled,
    /// Not sent: the process was forked after the client was created.
    Forked,
}

/// A failed call. Contains neither the response's body nor a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// The HTTP status; 0 without a response.
    pub status: u16,
    /// How long to wait before the next attempt, from `Retry-After` or the circuit breaker.
    pub retry_after_ms: Option<u64>,
    /// Clerk's id of the request, for support requests.
    pub trace_id: Option<String>,
}

impl ApiError {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        ApiError { kind, status: 0, retry_after_ms: None, trace_id: None }
    }

    /// Returns whether the same request may succeed on the next attempt.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Server | ErrorKind::Network)
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} (status {})", self.kind, self.status)?;
        match &self.trace_id {
            Some(trace) => write!(f, ", trace {trace}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ApiError {}

impl From<TransportError> for ApiError {
    fn from(error: TransportError) -> Self {
        ApiError::new(match error {
            TransportError::Network => ErrorKind::Network,
            TransportError::ConnectionRefused => ErrorKind::ConnectionRefused,
            TransportError::NameResolution => ErrorKind::NameResolution,
            TransportError::Certificate => ErrorKind::Certificate,
            TransportError::Timeout => ErrorKind::Timeout,
            TransportError::Cancelled => ErrorKind::Cancelled,
            TransportError::TooLarge => ErrorKind::BadResponse,
            TransportError::Forked => ErrorKind::Forked,
        })
    }
}

/// Returns the body of a successful response, or the error for its status.
pub fn classify_response(response: Response) -> Result<Vec<u8>, ApiError> {
    let kind = match response.status {
        200..=299 => return Ok(response.body),
        401 | 402 => ErrorKind::Unauthorized,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited,
        // Temporary failures: the same request may succeed later.
        408 | 421 | 425 | 499 => ErrorKind::Server,
        400..=499 => ErrorKind::BadRequest,
        500..=599 => ErrorKind::Server,
        _ => ErrorKind::BadResponse,
    };
    let retry_after_ms = response.retry_after.as_deref().and_then(retry_after_ms);
    let trace_id = response.trace_id.map(|trace| trace.chars().filter(char::is_ascii_graphic).take(64).collect());
    Err(ApiError { kind, status: response.status, retry_after_ms, trace_id })
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
