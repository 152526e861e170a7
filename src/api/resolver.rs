//! Cached host name lookups for ureq: ureq 3.5 looks the name up for each call, on a new thread, even when a connection is
//! pooled.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::tls::failure;
use super::transport::TransportError;
use crate::clock::Deadline;
use crate::fork_mutex::ResetMutex;
use crate::single_flight::{Flight, SingleFlight};

/// How long addresses are cached.
const TTL: Duration = Duration::from_secs(30);
const MAX_ADDRESSES: usize = 16;

type Addresses = Vec<SocketAddr>;

/// Caches addresses by `host:port`; there are at most a handful of hosts. Clones share the cache.
#[derive(Clone, Default)]
pub struct CachingResolver(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cached: ResetMutex<HashMap<String, (Addresses, Instant)>>,
    in_flight: SingleFlight<String, Result<Addresses, TransportError>>,
}

impl CachingResolver {
    /// Removes all addresses. To be called when a connection failed: the host may have moved.
    pub fn clear(&self) {
        self.0.cached.lock().clear();
    }

    /// Removes all addresses and running lookups. To be called in a forked child: their threads do not exist there.
    pub fn reset(&self) {
        self.clear();
        self.0.in_flight.reset_after_fork();
    }

    /// Ends all waits for lookups.
    pub fn cancel(&self) {
        self.0.in_flight.cancel();
    }

    /// Returns the addresses of `host:port`.
    pub fn addresses(&self, name: &str, deadline: Deadline) -> Result<Addresses, TransportError> {
        if let Some((addresses, _)) = self.0.cached.lock().get(name).filter(|(_, at)| at.elapsed() < TTL) {
            return Ok(addresses.clone());
        }
        let Some((in_flight, guard)) = self.0.in_flight.join(&name.to_owned(), deadline, || true) else {
            return Err(TransportError::NameResolution);
        };
        if let Some(guard) = guard {
            // `getaddrinfo` cannot be cancelled: it gets a thread, which is left alone when it takes too long.
            let (inner, name) = (self.0.clone(), name.to_owned());
            let lookup = move || {
                let found = name.to_socket_addrs().map(|found| found.take(MAX_ADDRESSES).collect::<Addresses>());
                let found = found.ok().filter(|addresses| !addresses.is_empty());
                let mut cached = inner.cached.lock();
                match &found {
                    None => cached.remove(&name),
                    Some(addresses) => cached.insert(name, (addresses.clone(), Instant::now())),
                };
                drop(cached);
                guard.complete(found.ok_or_else(|| TransportError::NameResolution.unless_out_of_files()));
            };
            let thread = std::thread::Builder::new().name("clerk-resolve".into()).stack_size(256 * 1024);
            thread.spawn(lookup).map_err(|error| TransportError::of_io(&error))?;
        }
        match in_flight.wait(deadline) {
            Flight::Complete(found) => found,
            Flight::Abandoned => Err(TransportError::NameResolution),
            Flight::TimedOut => Err(TransportError::Timeout),
            Flight::Cancelled => Err(TransportError::Cancelled),
        }
    }
}

impl std::fmt::Debug for CachingResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CachingResolver")
    }
}

impl Resolver for CachingResolver {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let name = uri
            .scheme()
            .zip(uri.authority())
            .and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority))
            .ok_or(Error::HostNotFound)?;
        let addresses = match name.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                let deadline = Deadline::after((*timeout.after).min(Duration::from_secs(60)));
                self.addresses(&name, deadline).map_err(|error| match error {
                    TransportError::Timeout => Error::Timeout(timeout.reason),
                    error => failure(error),
                })?
            }
        };
        let mut result = self.empty();
        addresses.into_iter().for_each(|address| result.push(address));
        if result.is_empty() { Err(Error::HostNotFound) } else { Ok(result) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(resolver: &CachingResolver, url: &str) -> Result<Vec<SocketAddr>, Error> {
        let timeout = NextTimeout { after: Duration::from_secs(5).into(), ..NextTimeout::default() };
        let found = resolver.resolve(&url.parse().unwrap(), &Config::default(), timeout)?;
        Ok(found.iter().copied().collect())
    }

    #[test]
    fn lookup_is_cached_until_cleared() {
        let resolver = CachingResolver::default();
        assert_eq!(resolve(&resolver, "http://127.0.0.1:81").unwrap(), ["127.0.0.1:81".parse().unwrap()]);
        assert!(resolver.0.cached.lock().is_empty());
        let local = resolve(&resolver, "http://localhost:82").unwrap();
        assert!(local.iter().all(|a| a.ip().is_loopback() && a.port() == 82));
        assert!(resolver.0.cached.lock().contains_key("localhost:82"));
        resolver.clear();
        assert!(resolver.0.cached.lock().is_empty());
    }

    #[test]
    fn silent_name_server_is_a_timeout_at_the_deadline() {
        let slack_ms = std::env::var("CLERK_TEST_SLACK_MS").map_or(1000, |ms| ms.parse().unwrap());
        let resolver = CachingResolver::default();
        let _silent = resolver
            .0
            .in_flight
            .join(&"silent.invalid:80".to_owned(), Deadline::after(Duration::from_secs(5)), || true)
            .unwrap();
        let wait = |url: &str, timeout: Duration| {
            let begun = Instant::now();
            let timeout = NextTimeout { after: timeout.into(), ..NextTimeout::default() };
            (resolver.resolve(&url.parse().unwrap(), &Config::default(), timeout), begun.elapsed())
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        let (found, took) = wait("http://silent.invalid", Duration::from_millis(80));
                        assert!(matches!(found, Err(Error::Timeout(_))), "{found:?}");
                        assert!((80..80 + slack_ms).contains(&took.as_millis()), "{took:?}");
                        // Other names are not affected.
                        assert!(wait("http://localhost", Duration::from_secs(5)).0.is_ok());
                    }
                });
            }
        });
    }

    #[test]
    fn concurrent_lookups_share_one_thread() {
        let resolver = CachingResolver::default();
        let (_, guard) =
            resolver.0.in_flight.join(&"slow.invalid:80".to_owned(), Deadline::after(Duration::ZERO), || true).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| resolve(&resolver, "http://slow.invalid"));
            std::thread::sleep(Duration::from_millis(50));
            assert!(!waiting.is_finished());
            guard.unwrap().complete(Err(TransportError::NameResolution));
            assert!(matches!(waiting.join().unwrap(), Err(Error::Io(_))));
        });
    }
}
