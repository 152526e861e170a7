//! The trait through which calls to Clerk's Backend API are sent.

use std::fmt;
use std::io::ErrorKind;
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

/// Why there is no response. `Display` names the layer first, as in `tls: certificate expired`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection was made, or it was lost, for another reason than those below.
    Network,
    /// The host refuses connections.
    ConnectionRefused,
    /// The host name was not found.
    NameResolution,
    /// The server's certificate is not valid, for another reason than those below.
    Certificate,
    /// The timeout elapsed.
    Timeout,
    /// [`Transport::shutdown`] cancelled the request.
    Cancelled,
    /// The body exceeds [`Request::limit`].
    TooLarge,
    /// The process was forked after the transport was created; see [`Transport::reset_after_fork`].
    Forked,
    /// There is no route to the host.
    Unreachable,
    /// The server closed the connection before its response was complete.
    ConnectionClosed,
    /// The process or the system has no file descriptor left.
    TooManyOpenFiles,
    /// The HTTP proxy did not make the connection.
    Proxy,
    /// The HTTP proxy was not found, refuses connections or cannot be reached.
    ProxyUnreachable,
    /// The HTTP proxy asks for a user and a password, or rejects them.
    ProxyAuthentication,
    /// The server's certificate has expired.
    CertificateExpired,
    /// The server's certificate is not valid yet.
    CertificateNotValidYet,
    /// The server's certificate is for another host.
    CertificateForOtherHost,
    /// The server's certificate was issued by an authority that is not trusted.
    CertificateUnknownIssuer,
    /// The server's certificate is signed by itself.
    CertificateSelfSigned,
    /// The server's certificate was revoked.
    CertificateRevoked,
    /// The system has no certificates of authorities to trust.
    NoRootCertificates,
    /// The server does not speak TLS on this port.
    NotTls,
    /// The server has no version of TLS or no cipher in common with this client.
    TlsVersion,
    /// The server asks for a certificate of the client.
    ClientCertificate,
    /// TLS failed for another reason.
    Tls,
    /// The response is not HTTP.
    NotHttp,
}

impl TransportError {
    /// Returns how the operator may mend it, if the error itself does not say so.
    pub(crate) fn hint(self) -> Option<&'static str> {
        Some(match self {
            TransportError::ConnectionRefused => "check api_url, the port and the firewall",
            TransportError::NameResolution => "check api_url and the name servers in /etc/resolv.conf",
            TransportError::Timeout => "check the network and the firewall, or raise timeout_ms",
            TransportError::Unreachable => "check the network and the routes",
            TransportError::TooManyOpenFiles => "raise the limit (ulimit -n, LimitNOFILE=)",
            TransportError::Proxy => "check the setting proxy, and whether the proxy permits the host of api_url",
            TransportError::ProxyUnreachable => "check the setting proxy",
            TransportError::ProxyAuthentication => "set proxy to http://user:password@host:port",
            TransportError::TlsVersion => "the server or a proxy before it needs TLS 1.2 or 1.3",
            TransportError::ClientCertificate => "api_url must be a server that needs no client certificate",
            TransportError::Certificate => "it is malformed, not for servers, or of an unsupported kind",
            TransportError::ConnectionClosed => "check the firewall, proxies and the port in api_url",
            TransportError::CertificateExpired => "check this machine's clock; else the server needs a new certificate",
            TransportError::CertificateNotValidYet => "check this machine's clock",
            TransportError::CertificateForOtherHost => "check the host in api_url and the name servers",
            TransportError::CertificateUnknownIssuer => {
                "if a proxy or a server of your own presents it, set ca_pem to its authority"
            }
            TransportError::CertificateSelfSigned => "if the server is your own, set ca_pem to its certificate",
            TransportError::NoRootCertificates => "install ca-certificates, or set ca_pem",
            TransportError::NotTls => "check whether api_url must begin with http:// or have another port",
            TransportError::NotHttp => "check whether api_url must begin with https:// or have another port",
            _ => return None,
        })
    }

    /// Returns `TooManyOpenFiles` if no file can be opened now, else this error: for functions of the system that do not say why
    /// they failed.
    pub(crate) fn unless_out_of_files(self) -> Self {
        match std::fs::File::open("/").map_err(|error| TransportError::of_io(&error)) {
            Err(TransportError::TooManyOpenFiles) => TransportError::TooManyOpenFiles,
            _ => self,
        }
    }

    /// Returns which of these a system error is.
    pub(crate) fn of_io(error: &std::io::Error) -> Self {
        // EMFILE and ENFILE, the same on all Unix systems.
        if cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24)) {
            return TransportError::TooManyOpenFiles;
        }
        match error.kind() {
            ErrorKind::ConnectionRefused => TransportError::ConnectionRefused,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
                TransportError::Unreachable
            }
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => TransportError::ConnectionClosed,
            ErrorKind::TimedOut => TransportError::Timeout,
            _ => TransportError::Network,
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TransportError::Network => "connect: no connection, or it was lost",
            TransportError::ConnectionRefused => "connect: connection refused",
            TransportError::NameResolution => "dns: host name not found",
            TransportError::Certificate => "tls: invalid certificate",
            TransportError::Timeout => "timeout: no response within timeout_ms",
            TransportError::Cancelled => "cancelled: the client was shut down",
            TransportError::TooLarge => "http: response too long",
            TransportError::Forked => "fork: call clerk_client_warm_up in the child process first",
            TransportError::Unreachable => "connect: network or host unreachable",
            TransportError::ConnectionClosed => "connect: connection closed by the server",
            TransportError::TooManyOpenFiles => "too many open files",
            TransportError::Proxy => "proxy: no connection through the proxy",
            TransportError::ProxyUnreachable => "proxy: the proxy cannot be reached",
            TransportError::ProxyAuthentication => "proxy: authentication required",
            TransportError::CertificateExpired => "tls: certificate expired",
            TransportError::CertificateNotValidYet => "tls: certificate not valid yet",
            TransportError::CertificateForOtherHost => "tls: certificate for another host",
            TransportError::CertificateUnknownIssuer => "tls: certificate from an unknown authority",
            TransportError::CertificateSelfSigned => "tls: self-signed certificate",
            TransportError::CertificateRevoked => "tls: certificate revoked",
            TransportError::NoRootCertificates => "tls: no trusted certificates on this machine",
            TransportError::NotTls => "tls: the server does not speak TLS on this port",
            TransportError::TlsVersion => "tls: no version or cipher in common with the server",
            TransportError::ClientCertificate => "tls: the server asks for a client certificate",
            TransportError::Tls => "tls: handshake failed",
            TransportError::NotHttp => "http: the response is not HTTP",
        })
    }
}

impl std::error::Error for TransportError {}

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

    /// Makes the transport usable in a forked child: drops all connections there, without closing the TLS sessions of the parent.
    /// Changes nothing in another process. Returns whether this process is a child in which the transport had not been reset yet.
    fn reset_after_fork(&self) -> bool;

    /// Whether this process is a forked child in which the transport was not reset yet: it sends nothing there.
    fn is_forked(&self) -> bool {
        false
    }

    /// Cancels all requests in flight, which return [`TransportError::Cancelled`]. Later requests work as before.
    fn shutdown(&self);
}
