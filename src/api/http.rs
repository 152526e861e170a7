//! The [`Transport`] over ureq and rustls: pooled connections, no redirects, no proxy from the environment, limited bodies,
//! certificates always verified.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Proxy};

use super::API_VERSION;
use super::resolver::CachingResolver;
use super::transport::{Request, Response, Transport, TransportError};
use crate::config::ConfigError;

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
    resolver: CachingResolver,
    agent: RwLock<Agent>,
    pid: AtomicU32,
    shutdowns: AtomicU32,
}

const SDK: &str = concat!("clerk-auth/", env!("CARGO_PKG_VERSION"));
const USER_AGENT: &str = concat!("clerk-auth@", env!("CARGO_PKG_VERSION"));

impl HttpTransport {
    /// Creates a transport. Opens no connection yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting is invalid.
    pub fn new(config: &TransportConfig) -> Result<Self, ConfigError> {
        let proxy = match &config.proxy {
            Some(proxy) => Some(
                Proxy::new(proxy)
                    .map_err(|_| ConfigError::new("proxy", "invalid proxy URL; expected http://host:port"))?,
            ),
            None => None,
        };
        let roots = match &config.ca_pem {
            Some(pem) => RootCerts::Specific(Arc::new(certificates(pem)?)),
            None => RootCerts::PlatformVerifier,
        };
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        let user_agent = config.user_agent.as_deref().unwrap_or(USER_AGENT);
        if !user_agent.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return Err(ConfigError::new("user_agent", "must be printable ASCII"));
        }
        let config = ureq::config::Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .tls_config(tls)
            .user_agent(user_agent)
            .accept("application/json")
            .max_idle_connections_per_host(8)
            .input_buffer_size(16 * 1024)
            .output_buffer_size(16 * 1024)
            .build();
        let resolver = CachingResolver::default();
        let agent = RwLock::new(new_agent(&config, &resolver));
        let pid = AtomicU32::new(std::process::id());
        Ok(HttpTransport { config, resolver, agent, pid, shutdowns: AtomicU32::new(0) })
    }

    /// Drops all connections. Returns whether they belonged to the parent of a fork.
    fn replace_agent(&self) -> bool {
        let agent = new_agent(&self.config, &self.resolver);
        let old = std::mem::replace(&mut *self.agent.write(), agent);
        if self.pid.swap(std::process::id(), Ordering::Relaxed) != std::process::id() {
            // The parent still uses these TLS sessions: a close_notify from the child would close them.
            std::mem::forget(old);
            self.resolver.reset();
            return true;
        }
        false
    }

    fn exchange(agent: &Agent, request: &Request<'_>, timeout: Duration) -> Result<Response, ureq::Error> {
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
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let retry_after = header("retry-after");
        let trace_id = header("clerk-trace-id").or_else(|| header("cf-ray"));
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(request.limit as u64).read_to_vec()?;
        Ok(Response { status, retry_after, trace_id, body })
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: &Request<'_>, timeout: Duration) -> Result<Response, TransportError> {
        if self.pid.load(Ordering::Relaxed) != std::process::id() {
            return Err(TransportError::Forked);
        }
        let shutdowns = self.shutdowns.load(Ordering::SeqCst);
        let agent = self.agent.read().clone();
        let exchange = std::panic::AssertUnwindSafe(|| Self::exchange(&agent, request, timeout));
        // A panic inside ureq would leave the lock of its pool poisoned.
        let Ok(outcome) = std::panic::catch_unwind(exchange) else {
            self.replace_agent();
            return Err(TransportError::Network);
        };
        outcome.map_err(|error| match error {
            // Not to be retried on a new connection.
            _ if shutdowns != self.shutdowns.load(Ordering::SeqCst) => TransportError::Cancelled,
            ureq::Error::Timeout(_) => TransportError::Timeout,
            ureq::Error::BodyExceedsLimit(_) => TransportError::TooLarge,
            error => {
                self.resolver.clear();
                connection_error(&error)
            }
        })
    }

    fn reset_after_fork(&self) -> bool {
        self.replace_agent()
    }

    fn shutdown(&self) {
        // In a forked child the connections belong to the parent.
        if self.pid.load(Ordering::Relaxed) != std::process::id() {
            return;
        }
        self.shutdowns.fetch_add(1, Ordering::SeqCst);
        let old = self.agent.read().clone();
        // An agent that was shut down stays unusable: later requests need another.
        self.replace_agent();
        old.shutdown();
    }
}

/// Returns why there is no connection.
fn connection_error(error: &ureq::Error) -> TransportError {
    let of_tls = |error: &rustls::Error| match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => TransportError::Certificate,
        _ => TransportError::Network,
    };
    match error {
        ureq::Error::HostNotFound => TransportError::NameResolution,
        ureq::Error::Rustls(error) => of_tls(error),
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(error) => of_tls(error),
            None if error.kind() == std::io::ErrorKind::ConnectionRefused => TransportError::ConnectionRefused,
            None => TransportError::Network,
        },
        _ => TransportError::Network,
    }
}

fn new_agent(config: &ureq::config::Config, resolver: &CachingResolver) -> Agent {
    Agent::with_parts(config.clone(), DefaultConnector::default(), resolver.clone())
}

fn certificates(pem: &str) -> Result<Vec<ureq::tls::Certificate<'static>>, ConfigError> {
    let invalid = || ConfigError::new("ca_pem", "contains no certificate; pass PEM data, not a file name");
    let mut found = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        if let PemItem::Certificate(certificate) = item.map_err(|_| invalid())? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(invalid()) } else { Ok(found) }
}
