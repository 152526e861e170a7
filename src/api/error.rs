//! What can go wrong with a call, told from status, headers and body.

use super::transport::{Response, TransportError};

/// The kinds of failure that make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 404: there is no such object.
    NotFound,
    /// 400, 410, 413, 422: the question was no good.
    BadRequest,
    /// 401, 402: the secret key is refused.
    Unauthorized,
    /// 403: the secret key may not do this.
    Forbidden,
    /// 429.
    RateLimited,
    /// 5xx.
    Server,
    /// No connection, or it broke.
    Network,
    /// The deadline passed.
    Timeout,
    /// Redirects, bodies that are too long or not what they should be.
    BadResponse,
    /// Not asked: the endpoint failed too often or asked for patience.
    CircuitOpen,
    /// Not asked: this process is a fork of the one that made the client.
    Forked,
}

/// A failed call. Holds nothing of the response's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// The HTTP status, or 0.
    pub status: u16,
    /// How long Clerk asks to be left alone.
    pub retry_after_ms: Option<u64>,
    /// Clerk's name for the request; for the log.
    pub trace_id: Option<String>,
}

impl ApiError {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        ApiError { kind, status: 0, retry_after_ms: None, trace_id: None }
    }

    /// Whether the same question may be answered otherwise in a moment.
    pub(crate) fn is_worth_a_retry(&self) -> bool {
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

impl From<TransportError> for ApiError {
    fn from(error: TransportError) -> Self {
        ApiError::new(match error {
            TransportError::Network => ErrorKind::Network,
            TransportError::Timeout => ErrorKind::Timeout,
            TransportError::TooLarge => ErrorKind::BadResponse,
            TransportError::Forked => ErrorKind::Forked,
        })
    }
}

/// The body of a good answer, or what is wrong with another.
pub fn judge(response: Response) -> Result<Vec<u8>, ApiError> {
    let kind = match response.status {
        200..=299 => return Ok(response.body),
        401 | 402 => ErrorKind::Unauthorized,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited,
        // Said about the moment, not about the question.
        408 | 421 | 425 | 499 => ErrorKind::Server,
        400..=499 => ErrorKind::BadRequest,
        500..=599 => ErrorKind::Server,
        _ => ErrorKind::BadResponse,
    };
    let retry_after_ms = response.retry_after.as_deref().and_then(retry_after_ms);
    let trace_id = response.trace_id.map(|trace| trace.chars().filter(char::is_ascii_graphic).take(64).collect());
    Err(ApiError { kind, status: response.status, retry_after_ms, trace_id })
}

/// RFC 9110 §10.2.3: seconds or a date; at most a minute, however long it says.
fn retry_after_ms(value: &str) -> Option<u64> {
    const LONGEST_S: u64 = 60;
    let value = value.trim();
    let seconds = match value.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => LONGEST_S,
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            date.duration_since(std::time::SystemTime::now()).map_or(0, |d| d.as_secs() + 1)
        }
    };
    Some(seconds.min(LONGEST_S) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_in_seconds_or_as_a_date() {
        assert_eq!(retry_after_ms("2"), Some(2000));
        assert_eq!(retry_after_ms(" 0 "), Some(0));
        assert_eq!(retry_after_ms("99999999999999999999999"), Some(60_000));
        assert_eq!(retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        let later = httpdate::fmt_http_date(std::time::SystemTime::now() + std::time::Duration::from_secs(10));
        assert!((9000..=11_000).contains(&retry_after_ms(&later).unwrap()));
        for odd in ["", "-1", "soon", "1.5"] {
            assert_eq!(retry_after_ms(odd), None, "{odd}");
        }
    }
}
