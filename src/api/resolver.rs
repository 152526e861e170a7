//! Name look-ups for ureq, remembered: ureq 3.5 asks for each call, on a fresh thread, even when a connection is pooled.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long an answer is trusted.
const FRESH: Duration = Duration::from_secs(30);
const MOST_ADDRESSES: usize = 16;

#[derive(Debug)]
struct AuthResult {
    addresses: Vec<SocketAddr>,
    at: Instant,
}

#[derive(Debug)]
enum Name {
    Known(AuthResult),
    /// A thread is asking.
    Asked,
}

#[derive(Debug, Default)]
struct Names {
    by_name: Mutex<HashMap<String, Name>>,
    answered: Condvar,
}

/// Remembers addresses by `host:port`; there are at most a handful of hosts. Clones share what is known.
#[derive(Clone, Debug, Default)]
pub struct CachingResolver(Arc<Names>);

impl CachingResolver {
    /// Called when a connection failed: the address may have moved.
    pub fn forget(&self) {
        self.0.by_name.lock().retain(|_, name| matches!(name, Name::Asked));
    }

    /// Called in a forked child: whoever was asking did not come along.
    pub fn reset(&self) {
        self.0.by_name.lock().clear();
    }

    fn addresses(&self, name: &str, timeout: NextTimeout) -> Result<Vec<SocketAddr>, Error> {
        let deadline = Instant::now() + (*timeout.after).min(Duration::from_secs(60));
        let mut names = self.0.by_name.lock();
        let mut asked = false;
        loop {
            match names.get(name) {
                Some(Name::Known(answer)) if answer.at.elapsed() < FRESH => return Ok(answer.addresses.clone()),
                Some(Name::Asked) => {
                    asked = true;
                    if self.0.answered.wait_until(&mut names, deadline).timed_out() {
                        return Err(Error::Timeout(timeout.reason));
                    }
                }
                // It was asked, by this call or while this call waited, and there was no answer.
                _ if asked => return Err(Error::HostNotFound),
                _ => {
                    self.ask(name)?;
                    names.insert(name.to_owned(), Name::Asked);
                }
            }
        }
    }

    /// `getaddrinfo` cannot be broken off: it gets a thread of its own, one for all who ask for a name, and when it takes
    /// too long, is left to itself.
    fn ask(&self, name: &str) -> Result<(), Error> {
        let (names, name) = (self.0.clone(), name.to_owned());
        let look_up = move || {
            let addresses: Vec<_> =
                name.to_socket_addrs().map(|a| a.take(MOST_ADDRESSES).collect()).unwrap_or_default();
            let mut by_name = names.by_name.lock();
            match addresses.is_empty() {
                true => by_name.remove(&name),
                false => by_name.insert(name, Name::Known(AuthResult { addresses, at: Instant::now() })),
            };
            names.answered.notify_all();
        };
        std::thread::Builder::new().name("clerk-resolve".into()).stack_size(256 * 1024).spawn(look_up)?;
        Ok(())
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
            Err(_) => self.addresses(&name, timeout)?,
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
    fn names_are_remembered_and_forgotten() {
        let resolver = CachingResolver::default();
        assert_eq!(resolve(&resolver, "http://127.0.0.1:81").unwrap(), ["127.0.0.1:81".parse().unwrap()]);
        assert!(resolver.0.by_name.lock().is_empty());
        let local = resolve(&resolver, "http://localhost:82").unwrap();
        assert!(local.iter().all(|a| a.ip().is_loopback() && a.port() == 82));
        assert!(matches!(resolver.0.by_name.lock().get("localhost:82"), Some(Name::Known(_))));
        resolver.forget();
        assert!(resolver.0.by_name.lock().is_empty());
    }

    #[test]
    fn one_thread_asks_for_all() {
        let resolver = CachingResolver::default();
        resolver.0.by_name.lock().insert("slow.invalid:80".into(), Name::Asked);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| resolve(&resolver, "http://slow.invalid"));
            std::thread::sleep(Duration::from_millis(50));
            assert!(!waiting.is_finished());
            resolver.0.by_name.lock().remove("slow.invalid:80");
            resolver.0.answered.notify_all();
            assert!(matches!(waiting.join().unwrap(), Err(Error::HostNotFound)));
        });
    }
}
