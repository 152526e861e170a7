//! The one seam to the network, and ureq behind it: no redirects, no proxy from the environment, bodies capped,
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
use crate::config::{ConfigError, Secret};

/// A question to Clerk: a GET, or a POST with a JSON body.
pub struct Request<'a> {
    /// The whole address.
    pub url: &'a str,
    /// What to show for it.
    pub bearer: Option<&'a Secret>,
    /// The JSON to post.
    pub body: Option<&'a [u8]>,
    /// The most that the answer's body may be long.
    pub limit: usize,
}

/// Clerk's answer, whatever its status.
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, as it stands.
    pub retry_after: Option<String>,
    /// `Clerk-Trace-Id` or `cf-ray`.
    pub trace_id: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// No connection, or it broke, or its certificate is no good.
    Network,
    /// The time was up, or the host broke it off.
    Timeout,
    /// The body is longer than allowed.
    TooLarge,
    /// The process was forked since the connections were made.
    Forked,
}

/// How questions reach Clerk. Tests put scripts here.
pub trait Transport: Send + Sync {
    /// Sends a question and reads the whole answer, within `timeout`.
    fn send(&self, request: &Request<'_>, timeout: Duration) -> Result<Response, TransportError>;
    /// Forgets all connections; called in a forked child, or after a shutdown. Whether they were a parent's.
    fn reset_after_fork(&self) -> bool;
    /// Breaks off what is under way.
    fn shutdown(&self);
}

/// What the transport is made of.
#[derive(Clone, Debug, Default)]
pub struct TransportConfig {
    /// Certificates to trust instead of the system's.
    pub ca_pem: Option<String>,
    /// HTTP proxy.
    pub proxy: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
}

/// HTTP and HTTPS over ureq and rustls, with pooled connections.
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
    /// Judges the configuration; connects to nothing yet.
    pub fn new(config: &TransportConfig) -> Result<Self, ConfigError> {
        let proxy = match &config.proxy {
            Some(proxy) => Some(
                Proxy::new(proxy)
                    .map_err(|_| ConfigError::new("proxy", "not a proxy's address; write it as http://host:port"))?,
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
            return Err(ConfigError::new("user_agent", "only printable ASCII may stand here"));
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

    fn exchange(agent: &Agent, request: &Request<'_>, timeout: Duration) -> Result<Response, ureq::Error> {
        macro_rules! prepared {
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
            None => prepared!(agent.get(request.url)).call()?,
            Some(body) => prepared!(agent.post(request.url)).header("Content-Type", "application/json").send(body)?,
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
        // A panic inside the client would leave its pool's lock poisoned for good.
        let Ok(outcome) = std::panic::catch_unwind(exchange) else {
            self.reset_after_fork();
            return Err(TransportError::Network);
        };
        outcome.map_err(|error| match error {
            ureq::Error::Timeout(_) => TransportError::Timeout,
            // Not to be tried again on a fresh connection.
            _ if shutdowns != self.shutdowns.load(Ordering::SeqCst) => TransportError::Timeout,
            ureq::Error::BodyExceedsLimit(_) => TransportError::TooLarge,
            _ => {
                self.resolver.forget();
                TransportError::Network
            }
        })
    }

    fn reset_after_fork(&self) -> bool {
        let fresh = new_agent(&self.config, &self.resolver);
        let old = std::mem::replace(&mut *self.agent.write(), fresh);
        if self.pid.swap(std::process::id(), Ordering::Relaxed) != std::process::id() {
            // The parent still uses these TLS sessions: saying goodbye in them from here would end them there.
            std::mem::forget(old);
            self.resolver.reset();
            return true;
        }
        false
    }

    fn shutdown(&self) {
        // In a forked child the connections are the parent's.
        if self.pid.load(Ordering::Relaxed) != std::process::id() {
            return;
        }
        self.shutdowns.fetch_add(1, Ordering::SeqCst);
        let old = self.agent.read().clone();
        // An agent that was shut down stays so: later calls need another.
        self.reset_after_fork();
        old.shutdown();
    }
}

fn new_agent(config: &ureq::config::Config, resolver: &CachingResolver) -> Agent {
    Agent::with_parts(config.clone(), DefaultConnector::default(), resolver.clone())
}

fn certificates(pem: &str) -> Result<Vec<ureq::tls::Certificate<'static>>, ConfigError> {
    let wrong =
        || ConfigError::new("ca_pem", "holds no certificate; give the PEM text itself, not the name of its file");
    let mut found = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        if let PemItem::Certificate(certificate) = item.map_err(|_| wrong())? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(wrong()) } else { Ok(found) }
}
