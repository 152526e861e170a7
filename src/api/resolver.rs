//! Name look-ups for ureq, remembered: ureq 3.5 asks for each call, on a fresh thread, even when a connection is pooled.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long an answer is trusted.
const FRESH: Duration = Duration::from_secs(30);
const MOST_ADDRESSES: usize = 16;

#[derive(Debug)]
struct Answer {
    addresses: Vec<SocketAddr>,
    at: Instant,
}

/// Remembers addresses by `host:port`; there are at most a handful of hosts. Clones share what is known.
#[derive(Clone, Debug, Default)]
pub struct CachingResolver {
    known: Arc<Mutex<HashMap<String, Answer>>>,
}

impl CachingResolver {
    /// Called when a connection failed: the address may have moved.
    pub fn forget(&self) {
        self.known.lock().clear();
    }

    fn known(&self, name: &str) -> Option<Vec<SocketAddr>> {
        self.known.lock().get(name).filter(|a| a.at.elapsed() < FRESH).map(|a| a.addresses.clone())
    }
}

/// `getaddrinfo` cannot be broken off: it gets a thread of its own and, when it takes too long, is left to itself.
fn look_up(name: &str, timeout: NextTimeout) -> Result<Vec<SocketAddr>, Error> {
    let (send, receive) = mpsc::sync_channel(1);
    let asked = name.to_owned();
    let ask = move || {
        let _ = send.send(asked.to_socket_addrs().map(|a| a.take(MOST_ADDRESSES).collect()));
    };
    std::thread::Builder::new().name("clerk-resolve".into()).stack_size(256 * 1024).spawn(ask)?;
    match receive.recv_timeout((*timeout.after).min(Duration::from_secs(60))) {
        Ok(answer) => Ok(answer?),
        Err(RecvTimeoutError::Timeout) => Err(Error::Timeout(timeout.reason)),
        Err(RecvTimeoutError::Disconnected) => Err(Error::HostNotFound),
    }
}

impl Resolver for CachingResolver {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let name = uri
            .scheme()
            .zip(uri.authority())
            .and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority))
            .ok_or(Error::HostNotFound)?;
        let addresses = match (self.known(&name), name.parse()) {
            (Some(addresses), _) => addresses,
            (None, Ok(address)) => vec![address],
            (None, Err(_)) => {
                let addresses = look_up(&name, timeout)?;
                let answer = Answer { addresses: addresses.clone(), at: Instant::now() };
                self.known.lock().insert(name, answer);
                addresses
            }
        };
        let mut result = self.empty();
        addresses.into_iter().for_each(|address| result.push(address));
        if result.is_empty() { Err(Error::HostNotFound) } else { Ok(result) }
    }
}
