//! The trait through which calls to Clerk's Backend API are sent.

use std::fmt;
use std::time::Duration;

use crate::config::Secret;

/// A request to Clerk: a GET, or a POST with a JSON body.
#[non_exhaustive]
pub struct Request<'a> {
    /// The absolute URL.
    pub url: &'a str,
    /// The secret for the `Authorization` header, if the endpoint requires one. Must not be logged.
    pub bearer: Option<&'a Secret>,
    /// The JSON body of a POST; `None` for a GET.
    pub body: Option<&'a [u8]>,
    /// The maximum length of the response's body in bytes.
    pub limit: usize,
}

/// A response of Clerk, of any status.
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`, unchanged.
    pub retry_after: Option<String>,
    /// The header `Clerk-Trace-Id`, or else `cf-ray`.
    pub trace_id: Option<String>,
    /// The complete body.
    pub body: Vec<u8>,
}

// Query and body of a request may hold a token, the body of a response a user's data: `Debug` shows none of them.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("Request").field("url", &path).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection was made, or it was lost.
    Network,
    /// The host refuses connections.
    ConnectionRefused,
    /// The host name was not found.
    NameResolution,
    /// The server's certificate is not valid.
    Certificate,
    /// The timeout elapsed.
    Timeout,
    /// [`Transport::shutdown`] cancelled the request.
    Cancelled,
    /// The body exceeds [`Request::limit`].
    TooLarge,
    /// The process was forked after the transport was created; see [`Transport::reset_after_fork`].
    Forked,
}

/// Sends requests to Clerk's Backend API. A client uses HTTP unless it is given another implementation.
///
/// Methods are called from many threads at once and must not panic. Retries, deadlines over several attempts and circuit
/// breakers are the caller's responsibility: an implementation sends each request once, follows no redirect and verifies
/// certificates.
pub trait Transport: Send + Sync {
    /// Sends a request and reads the complete response. Blocks for at most `timeout`.
    ///
    /// # Errors
    ///
    /// A [`TransportError`] if there is no complete response. A response with an error status is `Ok`.
    fn send(&self, request: &Request<'_>, timeout: Duration) -> Result<Response, TransportError>;

    /// Drops all connections and makes the transport usable in a forked child, where the TLS sessions of the parent must not be
    /// closed. Returns whether this process is a child in which the transport had not been reset yet.
    fn reset_after_fork(&self) -> bool;

    /// Cancels all requests in flight, which return [`TransportError::Cancelled`]. Later requests work as before.
    fn shutdown(&self);
}
