//! The [`Transport`] over ureq and rustls: pooled connections, no redirects, no proxy from the environment, limited bodies,
//! certificates always verified.

use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustls::RootCertStore;
use ureq::http::HeaderMap;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _};
use ureq::{Agent, Proxy};

use super::API_VERSION;
use super::deadline::{self, DeadlineConnector};
use super::error::{ApiError, classify_response};
use super::resolver::CachingResolver;
use super::tls::{self, TlsConnector};
use super::transport::{Request, Response, Transport, TransportError};
use crate::clock::Deadline;
use crate::config::{ConfigError, Secret};
use crate::fork_mutex::ResetMutex;

/// The settings of an [`HttpTransport`].
#[derive(Clone, Debug, Default)]
pub struct TransportConfig {
    /// PEM certificates to trust instead of the system's.
    pub ca_pem: Option<String>,
    /// The URL of an HTTP proxy.
    pub proxy: Option<String>,
    /// The header `User-Agent`.
    pub user_agent: Option<String>,
}

/// Sends requests over HTTP/1.1 and TLS with pooled connections. One instance serves any number of threads.
pub struct HttpTransport {
    config: ureq::config::Config,
    /// The authorities of `ca_pem`.
    roots: Option<Arc<RootCertStore>>,
    resolver: CachingResolver,
    /// `None` in a forked child whose parent was just replacing it.
    agent: ResetMutex<Option<Agent>>,
    pid: AtomicU32,
    shutdowns: AtomicU32,
}

/// The largest response that a diagnosis reads.
const MAX_PROBE_LEN: usize = 1024 * 1024;
const SDK: &str = concat!("clerk-auth/", env!("CARGO_PKG_VERSION"));
const USER_AGENT: &str = concat!("clerk-auth@", env!("CARGO_PKG_VERSION"));

/// A response as a diagnosis needs it.
pub struct Probe {
    /// The HTTP status.
    pub status: u16,
    /// The header `Date`, unchanged.
    pub date: Option<String>,
    /// The header `Retry-After`, unchanged.
    pub retry_after: Option<String>,
    /// The complete body.
    pub body: Vec<u8>,
    /// From the call to the response.
    pub elapsed: Duration,
}

impl Probe {
    /// Returns the error that this response is to a call of the library; `None` for a 2xx.
    pub fn error(&self) -> Option<ApiError> {
        let (retry_after, body) = (self.retry_after.clone(), self.body.clone());
        classify_response(Response { status: self.status, retry_after, trace_id: None, body }).err()
    }
}

// Neither the proxy's password nor a user's data is shown.
impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").finish_non_exhaustive()
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("status", &self.status).finish_non_exhaustive()
    }
}

impl HttpTransport {
    /// Creates a transport. Opens no connection yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting is invalid.
    pub fn new(config: &TransportConfig) -> Result<Self, ConfigError> {
        let proxy = match &config.proxy {
            Some(proxy) => Some(parse_proxy(proxy).ok_or_else(|| {
                ConfigError::new(
                    "proxy",
                    "not the URL of an HTTP proxy; expected http://host:port, or with user:password@",
                )
            })?),
            None => None,
        };
        let roots = match &config.ca_pem {
            Some(pem) => Some(Arc::new(tls::root_certificates(pem).ok_or_else(|| {
                ConfigError::new("ca_pem", "contains no certificate; pass PEM data, not a file name")
            })?)),
            None => None,
        };
        let user_agent = config.user_agent.as_deref().unwrap_or(USER_AGENT);
        if !user_agent.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return Err(ConfigError::new("user_agent", "must be printable ASCII"));
        }
        let config = ureq::config::Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .user_agent(user_agent)
            .accept("application/json")
            .max_idle_connections_per_host(8)
            .input_buffer_size(16 * 1024)
            .output_buffer_size(16 * 1024)
            .build();
        let resolver = CachingResolver::default();
        let agent = ResetMutex::new(Some(new_agent(&config, roots.clone(), &resolver)));
        let pid = AtomicU32::new(std::process::id());
        Ok(HttpTransport { config, roots, resolver, agent, pid, shutdowns: AtomicU32::new(0) })
    }

    fn agent(&self) -> Agent {
        self.agent.lock().get_or_insert_with(|| new_agent(&self.config, self.roots.clone(), &self.resolver)).clone()
    }

    /// Returns where a connection failed: with a proxy only the proxy is looked up and connected to.
    fn at_proxy(&self, error: TransportError) -> TransportError {
        match error {
            TransportError::NameResolution | TransportError::ConnectionRefused | TransportError::Unreachable
                if self.config.proxy().is_some() =>
            {
                TransportError::ProxyUnreachable
            }
            error => error,
        }
    }

    /// Drops all connections. Returns whether they belonged to the parent of a fork.
    fn replace_agent(&self) -> bool {
        let agent = new_agent(&self.config, self.roots.clone(), &self.resolver);
        let old = self.agent.lock().replace(agent);
        if self.pid.swap(std::process::id(), Ordering::Relaxed) != std::process::id() {
            // The parent still uses these TLS sessions: a close_notify from the child would close them.
            std::mem::forget(old);
            self.resolver.reset();
            return true;
        }
        false
    }

    /// Sends a GET for a diagnosis: the same connection as [`Transport::send`] makes, and more of the response.
    ///
    /// # Errors
    ///
    /// Why there is no response, and what may help.
    pub fn probe(&self, url: &str, bearer: Option<&Secret>, timeout: Duration) -> Result<Probe, String> {
        let begun = Instant::now();
        let mut date = None;
        let request = Request { url, bearer, body: None, limit: MAX_PROBE_LEN };
        let read_date = |headers: &HeaderMap| date = header(headers, "date");
        let response = Self::exchange_with(&self.agent(), &request, timeout, read_date).map_err(|error| {
            let error = self.at_proxy(transport_error(&error));
            error.hint().map_or(error.to_string(), |hint| format!("{error}; {hint}"))
        })?;
        let Response { status, retry_after, body, .. } = response;
        Ok(Probe { status, date, retry_after, body, elapsed: begun.elapsed() })
    }

    fn exchange(agent: &Agent, request: &Request<'_>, timeout: Duration) -> Result<Response, ureq::Error> {
        Self::exchange_with(agent, request, timeout, |_| ())
    }

    fn exchange_with(
        agent: &Agent,
        request: &Request<'_>,
        timeout: Duration,
        read: impl FnOnce(&HeaderMap),
    ) -> Result<Response, ureq::Error> {
        deadline::within(Deadline::after(timeout), || Self::exchange_within(agent, request, timeout, read))
    }

    fn exchange_within(
        agent: &Agent,
        request: &Request<'_>,
        timeout: Duration,
        read: impl FnOnce(&HeaderMap),
    ) -> Result<Response, ureq::Error> {
        macro_rules! prepare {
            ($builder:expr) => {{
                let builder = $builder
                    .config()
                    .timeout_global(Some(timeout))
                    .build()
                    .header("Clerk-API-Version", API_VERSION)
                    .header("X-Clerk-SDK", SDK);
                match request.bearer {
                    Some(secret) => builder.header("Authorization", format!("Bearer {}", secret.expose())),
                    None => builder,
                }
            }};
        }
        let mut response = match request.body {
            None => prepare!(agent.get(request.url)).call()?,
            Some(body) => prepare!(agent.post(request.url)).header("Content-Type", "application/json").send(body)?,
        };
        let headers = response.headers();
        read(headers);
        let retry_after = header(headers, "retry-after");
        let trace_id = header(headers, "clerk-trace-id").or_else(|| header(headers, "cf-ray"));
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(request.limit as u64).read_to_vec()?;
        Ok(Response { status, retry_after, trace_id, body })
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

impl Transport for HttpTransport {
    fn send(&self, request: &Request<'_>, timeout: Duration) -> Result<Response, TransportError> {
        if self.is_forked() {
            return Err(TransportError::Forked);
        }
        let shutdowns = self.shutdowns.load(Ordering::SeqCst);
        let agent = self.agent();
        let exchange = std::panic::AssertUnwindSafe(|| Self::exchange(&agent, request, timeout));
        // A panic inside ureq would leave the lock of its pool poisoned.
        let Ok(outcome) = std::panic::catch_unwind(exchange) else {
            self.replace_agent();
            return Err(TransportError::Network);
        };
        outcome.map_err(|error| match error {
            // Not to be retried on a new connection.
            _ if shutdowns != self.shutdowns.load(Ordering::SeqCst) => TransportError::Cancelled,
            error => {
                let error = self.at_proxy(transport_error(&error));
                if !matches!(error, TransportError::Timeout | TransportError::TooLarge) {
                    self.resolver.clear();
                }
                error
            }
        })
    }

    fn reset_after_fork(&self) -> bool {
        // The running requests of an agent that was replaced could no longer be cancelled.
        self.is_forked() && self.replace_agent()
    }

    fn is_forked(&self) -> bool {
        self.pid.load(Ordering::Relaxed) != std::process::id()
    }

    fn shutdown(&self) {
        // In a forked child the connections belong to the parent.
        if self.is_forked() {
            return;
        }
        self.shutdowns.fetch_add(1, Ordering::SeqCst);
        let old = self.agent();
        // An agent that was shut down stays unusable: later requests need another.
        self.replace_agent();
        old.shutdown();
        self.resolver.cancel();
    }
}

/// Parses the URL of a proxy that speaks HTTP. SOCKS is not built in. Without a scheme it needs a port: a bare word is no proxy.
fn parse_proxy(url: &str) -> Option<Proxy> {
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let authority = rest.rsplit_once('@').map_or(rest, |(_, authority)| authority);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_name = |host: &str| {
        (1..=253).contains(&host.len()) && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => is_name(host),
    };
    // ureq would use the default port for one that is out of range.
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_valid = is_host
        && port.map_or(scheme.is_some(), is_port)
        && scheme.is_none_or(|scheme| ["http", "https"].contains(&scheme))
        && !rest.contains(['/', '?', '#', ' ']);
    is_valid.then(|| Proxy::new(url).ok()).flatten()
}

/// Returns why there is no response.
fn transport_error(error: &ureq::Error) -> TransportError {
    match error {
        ureq::Error::Timeout(_) => TransportError::Timeout,
        ureq::Error::BodyExceedsLimit(_) => TransportError::TooLarge,
        ureq::Error::HostNotFound => TransportError::NameResolution,
        ureq::Error::ConnectProxyFailed(why) if why.contains(" 407/") => TransportError::ProxyAuthentication,
        ureq::Error::ConnectProxyFailed(_) => TransportError::Proxy,
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => TransportError::NotHttp,
        ureq::Error::Tls(_) => TransportError::Tls,
        ureq::Error::Io(error) => of_io(error),
        _ => TransportError::Network,
    }
}

fn of_io(error: &std::io::Error) -> TransportError {
    let Some(inner) = error.get_ref() else { return TransportError::of_io(error) };
    if let Some(error) = inner.downcast_ref::<TransportError>() {
        *error
    } else if let Some(error) = inner.downcast_ref::<rustls::Error>() {
        tls::of_rustls(error)
    } else if let Some(error) = inner.downcast_ref::<ureq::Error>() {
        transport_error(error)
    } else {
        TransportError::of_io(error)
    }
}

fn new_agent(config: &ureq::config::Config, roots: Option<Arc<RootCertStore>>, resolver: &CachingResolver) -> Agent {
    let connector = ().chain(ConnectProxyConnector::default()).chain(DeadlineConnector).chain(TlsConnector::new(roots));
    Agent::with_parts(config.clone(), connector, resolver.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_that_cannot_be_used_is_rejected() {
        for good in [
            "http://proxy:3128",
            "http://proxy",
            "proxy:3128",
            "http://user:p%40ss@proxy:3128/",
            "https://proxy",
            "http://[::1]:8080",
            "http://[::1]",
        ] {
            assert!(parse_proxy(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "http://",
            "socks5://proxy:1080",
            "socks4://proxy",
            "ftp://proxy",
            "http://proxy:99999",
            "http://proxy:0",
            "http://proxy:x",
            "not a URL",
            "junk",
            "http://proxy/path",
            "http://proxy:3128?a",
            "http://[::1",
            "http://[proxy]:1",
            "http://pro xy:1",
            "http://user@",
            &"a".repeat(300),
        ] {
            assert!(parse_proxy(bad).is_none(), "{bad}");
        }
    }
}
