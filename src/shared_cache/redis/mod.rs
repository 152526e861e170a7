//! [`Engine`] on Redis or Valkey: one server, a master behind sentinels, or a cluster.

mod connection;
mod slot;
mod stream;
#[cfg(test)]
mod tests;
mod url;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::redis::{Cmd, Value, cmd};
use rustls::ClientConfig;

use self::connection::{Connection, is_id, nonsense, server_error};
use self::slot::slot;
use self::stream::{bytes, entries, next, range, read_entries};
use self::url::{Address, Target, Topology};
use super::engine::{Engine, EngineError, StreamRead};
use crate::api::{CachingResolver, client_config, root_certificates, server_verifier};
use crate::clock::Deadline;
use crate::config::ConfigError;
use crate::deadline;
use crate::fork_mutex::ResetMutex;
use crate::rate_limit::Slots;

/// Idle connections, and operations at the same time.
const MAX_CONNECTIONS: usize = 8;
/// An operation that has to connect may take this many times as long, at most [`MAX_CONNECT`] unless the operation itself may.
const CONNECT_FACTOR: u32 = 5;
const MAX_CONNECT: Duration = Duration::from_millis(150);
/// How often a command follows a cluster's redirections.
const MAX_REDIRECTIONS: u32 = 4;
/// About how many entries the stream keeps.
const STREAM_LEN: u32 = 100_000;
/// How many entries are read at once, and how many if those are too long together.
const READ_COUNTS: [u32; 2] = [500, 8];

/// The settings of a [`Redis`].
pub struct RedisConfig<'a> {
    /// `redis://`, `rediss://`, `redis+sentinel://` or `redis+cluster://`.
    pub url: &'a str,
    /// Certificates to trust instead of the system's, as PEM.
    pub ca_pem: Option<&'a str>,
}

/// Redis or Valkey. Opens connections when they are needed.
pub struct Redis {
    target: Target,
    tls: Option<Arc<ClientConfig>>,
    resolver: CachingResolver,
    idle: ResetMutex<Vec<Connection>>,
    in_use: Slots,
    /// The master that a sentinel has named.
    master: ResetMutex<Option<Address>>,
    /// Where the slots of a cluster are.
    slots: ResetMutex<HashMap<u16, Address>>,
    /// Counts the servers of a cluster's URL that have failed: the next one is asked where other slots are.
    seed: AtomicUsize,
    pid: std::sync::atomic::AtomicU32,
}

impl Redis {
    /// Validates the settings. Connects to nothing.
    pub fn new(config: &RedisConfig<'_>) -> Result<Self, ConfigError> {
        let wrong = |why: &str| {
            let expected =
                "redis://, rediss://, redis+sentinel:// or redis+cluster://, then [user:password@]host[:port]";
            ConfigError::new("shared_cache", format!("{why}; expected {expected}"))
        };
        let target = Target::parse(config.url).map_err(wrong)?;
        let roots = match config.ca_pem {
            Some(_) if !target.is_tls => {
                return Err(ConfigError::new("shared_cache_ca_pem", "needs a `shared_cache` with TLS: `rediss://`"));
            }
            Some(pem) => Some(Arc::new(root_certificates(pem).ok_or_else(|| {
                ConfigError::new("shared_cache_ca_pem", "contains no certificate; pass PEM data, not a file name")
            })?)),
            None => None,
        };
        let tls = match target.is_tls {
            true => Some(
                server_verifier(roots.as_ref())
                    .and_then(client_config)
                    .map(Arc::new)
                    .map_err(|error| ConfigError::new("shared_cache", error.to_string()))?,
            ),
            false => None,
        };
        Ok(Redis {
            target,
            tls,
            resolver: CachingResolver::default(),
            idle: ResetMutex::default(),
            in_use: Slots::new(MAX_CONNECTIONS),
            master: ResetMutex::default(),
            slots: ResetMutex::default(),
            seed: AtomicUsize::new(0),
            pid: std::process::id().into(),
        })
    }

    /// Whether a password would be sent without encryption to another machine.
    pub fn sends_password_in_clear(&self) -> bool {
        let addresses = match &self.target.topology {
            Topology::Single(address) => std::slice::from_ref(address),
            Topology::Sentinel { sentinels: addresses, .. } | Topology::Cluster(addresses) => addresses,
        };
        let is_local = |address: &Address| {
            address.host == "localhost" || address.host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        };
        self.target.password.is_some() && !self.target.is_tls && !addresses.iter().all(is_local)
    }

    fn reset_in_child(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        if self.pid.load(Relaxed) != std::process::id()
            && self.pid.swap(std::process::id(), Relaxed) != std::process::id()
        {
            self.in_use.reset();
            self.resolver.reset();
            self.idle.lock().clear();
        }
    }

    fn addresses(&self, address: &Address, deadline: Deadline) -> Result<Vec<SocketAddr>, EngineError> {
        match address.host.parse() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, address.port)]),
            Err(_) => self
                .resolver
                .addresses(&format!("{}:{}", address.host, address.port), deadline)
                .map_err(|error| EngineError::Unavailable(error.to_string())),
        }
    }

    fn connect(&self, address: &Address, deadline: Deadline) -> Result<Connection, EngineError> {
        let addresses = self.addresses(address, deadline)?;
        Connection::open(address, &addresses, Some(&self.target), self.tls.as_ref(), deadline)
            .inspect_err(|_| self.resolver.clear())
    }

    /// Asks the sentinels for the master.
    fn find_master(&self, sentinels: &[Address], master: &str, deadline: Deadline) -> Result<Address, EngineError> {
        let mut failure = EngineError::Unavailable("no sentinel knows the master".into());
        for (sentinel, left) in sentinels.iter().zip((1..=sentinels.len()).rev()) {
            // One that does not reply leaves time for the others.
            let deadline = deadline.share(left);
            let reply = self.addresses(sentinel, deadline).and_then(|addresses| {
                let mut connection = Connection::open(sentinel, &addresses, None, self.tls.as_ref(), deadline)?;
                let ask = cmd("SENTINEL").arg("get-master-addr-by-name").arg(master).take();
                connection.exchange(&[ask], deadline)
            });
            match reply.as_deref() {
                Ok([Value::Array(parts)]) => {
                    let text = |at: usize| parts.get(at).and_then(bytes).and_then(|b| std::str::from_utf8(b).ok());
                    let address = text(0).zip(text(1)).and_then(|(host, port)| {
                        Address::parse(
                            &if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") },
                            0,
                        )
                    });
                    return address.ok_or_else(nonsense);
                }
                Ok([Value::ServerError(error)]) if error.code() == "NOAUTH" => {
                    failure = EngineError::Refused("the sentinel asks for a password, which is not supported".into());
                }
                Ok([Value::ServerError(error)]) => failure = server_error(error),
                // One that replies and does not know it is the answer, unless another knows it.
                Ok([Value::Nil]) => failure = EngineError::Refused("no sentinel knows a master of this name".into()),
                Ok(_) => {}
                Err(error) => failure = error.clone(),
            }
        }
        Err(failure)
    }

    /// Returns the server to send a command about a key to.
    fn server(&self, key: &str, deadline: Deadline) -> Result<Address, EngineError> {
        match &self.target.topology {
            Topology::Single(address) => Ok(address.clone()),
            Topology::Sentinel { sentinels, master } => {
                let known = self.master.lock().clone();
                if let Some(known) = known {
                    return Ok(known);
                }
                let found = self.find_master(sentinels, master, deadline)?;
                *self.master.lock() = Some(found.clone());
                Ok(found)
            }
            Topology::Cluster(seeds) => {
                let known = self.slots.lock().get(&slot(key)).cloned();
                known.or_else(|| seed(seeds, self.seed.load(Ordering::Relaxed)).cloned()).ok_or_else(nonsense)
            }
        }
    }

    /// Removes what is known of a server that failed: it may have moved.
    fn remove_server(&self, address: &Address) {
        self.master.lock().take();
        self.slots.lock().retain(|_, other| other != address);
        self.idle.lock().retain(|connection| connection.address != *address);
        if let Topology::Cluster(seeds) = &self.target.topology {
            let failed = self.seed.load(Ordering::Relaxed);
            if seed(seeds, failed) == Some(address) {
                // Fails if another thread has done so already.
                let next = failed.wrapping_add(1);
                let _ = self.seed.compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// Runs commands about one key and reads their replies, none of which is an error. A connection whose replies cannot be read
    /// is not used again: they may be those of other commands.
    fn run<T>(
        &self,
        key: &str,
        commands: &[Cmd],
        wait: Duration,
        timeout: Duration,
        read: impl Fn(&mut Vec<Value>) -> Option<T>,
    ) -> Result<T, EngineError> {
        self.reset_in_child();
        let limits = Limits::new(wait, timeout);
        // A reader that waits for entries has a connection of its own.
        let _slot = loop {
            match self.in_use.try_acquire() {
                _ if !wait.is_zero() => break None,
                Some(slot) => break Some(slot),
                None if limits.begun.elapsed() >= timeout => return Err(EngineError::Busy),
                None => std::thread::sleep(Duration::from_micros(200)),
            }
        };
        let mut address = self.server(key, limits.connect)?;
        let mut is_asking = false;
        for _ in 0..=MAX_REDIRECTIONS {
            let exchanged = self.exchange(&address, commands, is_asking, &limits);
            let (connection, mut replies) = exchanged.inspect_err(|error| {
                if *error != EngineError::TooLong {
                    self.remove_server(&address);
                }
            })?;
            let error = replies.iter().find_map(|reply| match reply {
                Value::ServerError(error) => Some(error),
                _ => None,
            });
            let Some(error) = error else {
                let value = read(&mut replies).ok_or_else(nonsense)?;
                self.put_back(connection);
                return Ok(value);
            };
            self.put_back(connection);
            let is_cluster = matches!(self.target.topology, Topology::Cluster(_));
            match error.code() {
                code @ ("MOVED" | "ASK") if is_cluster => {
                    // `<slot> <host>:<port>`; without a host it is the same one.
                    let target = error.details().and_then(|details| details.split_once(' ')).map(|(_, target)| target);
                    let target = target.and_then(|target| match target.strip_prefix(':') {
                        Some(port) => Some(Address { port: port.parse().ok()?, ..address.clone() }),
                        None => Address::parse(&bracketed(target), 6379),
                    });
                    address = target.ok_or_else(nonsense)?;
                    is_asking = code == "ASK";
                    if !is_asking {
                        self.slots.lock().insert(slot(key), address.clone());
                    }
                }
                code => {
                    if ["READONLY", "MASTERDOWN", "CLUSTERDOWN", "LOADING"].contains(&code) {
                        self.remove_server(&address);
                    }
                    return Err(server_error(error));
                }
            }
        }
        Err(EngineError::Unavailable("the cluster redirects in a circle".into()))
    }

    /// Sends commands over an idle connection or a new one.
    fn exchange(
        &self,
        address: &Address,
        commands: &[Cmd],
        is_asking: bool,
        limits: &Limits,
    ) -> Result<(Connection, Vec<Value>), EngineError> {
        // It is for the next command only.
        let asking = is_asking.then(|| cmd("ASKING"));
        let commands: Vec<Cmd> =
            commands.iter().flat_map(|command| asking.clone().into_iter().chain([command.clone()])).collect();
        let idle = {
            let mut idle = self.idle.lock();
            let at = idle.iter().position(|connection| connection.address == *address);
            at.map(|at| idle.swap_remove(at))
        };
        let mut exchanged = None;
        if let Some(mut connection) = idle.filter(Connection::is_own) {
            match connection.exchange(&commands, limits.exchange()) {
                Ok(replies) => exchanged = Some((connection, replies)),
                Err(error) if limits.is_over() || error == EngineError::TooLong => return Err(error),
                // The server has closed an idle connection: that says nothing about the server. All commands may be repeated.
                Err(_) => {}
            }
        }
        let (connection, mut replies) = match exchanged {
            Some(exchanged) => exchanged,
            None => {
                let mut connection = self.connect(address, limits.connect)?;
                let replies = connection.exchange(&commands, limits.exchange())?;
                (connection, replies)
            }
        };
        if is_asking {
            let mut number = 0;
            // An error, such as that of a missing right, is that of the commands.
            replies.retain(|reply| {
                number += 1;
                number % 2 == 0 || matches!(reply, Value::ServerError(_))
            });
        }
        Ok((connection, replies))
    }

    fn put_back(&self, connection: Connection) {
        let mut idle = self.idle.lock();
        if idle.len() < MAX_CONNECTIONS {
            idle.push(connection);
        }
    }

    fn one<T>(
        &self,
        key: &str,
        command: Cmd,
        timeout: Duration,
        read: impl Fn(Value) -> Option<T>,
    ) -> Result<T, EngineError> {
        self.run(key, &[command], Duration::ZERO, timeout, |replies| read(replies.pop()?))
    }
}

/// How long an operation may take. It may take longer if it has to connect, which needs several round trips.
struct Limits {
    begun: Instant,
    wait: Duration,
    timeout: Duration,
    /// Until when a connection is made.
    connect: Deadline,
}

impl Limits {
    fn new(wait: Duration, timeout: Duration) -> Self {
        let connect = timeout.max((timeout * CONNECT_FACTOR).min(MAX_CONNECT));
        // Not past the end of the caller's call.
        Limits { begun: Instant::now(), wait, timeout, connect: deadline::limited(Deadline::after(connect)) }
    }

    /// Returns the deadline of an exchange that begins now.
    fn exchange(&self) -> Deadline {
        Deadline::after(self.wait + self.timeout.min(self.connect.remaining()))
    }

    /// Whether the time of an operation that need not connect has passed.
    fn is_over(&self) -> bool {
        self.begun.elapsed() >= self.timeout
    }
}

/// Returns one of the servers of a cluster's URL.
fn seed(seeds: &[Address], number: usize) -> Option<&Address> {
    seeds.get(number.checked_rem(seeds.len())?)
}

/// Returns `host:port` with an IPv6 address in brackets; clusters send it without.
fn bracketed(target: &str) -> String {
    match target.rsplit_once(':') {
        Some((host, port)) if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        _ => target.to_owned(),
    }
}

/// Reads the values of `MGET`.
fn values(reply: Value, count: usize) -> Option<Vec<Option<Vec<u8>>>> {
    let Value::Array(found) = reply else { return None };
    let value = |value| match value {
        Value::Nil => Some(None),
        Value::BulkString(value) => Some(Some(value)),
        _ => None,
    };
    found.into_iter().map(value).collect::<Option<Vec<_>>>().filter(|values| values.len() == count)
}

impl Redis {
    /// Reads the next entry, which is empty if it is too long: no process of an instance has appended that.
    fn read_one(
        &self,
        stream: &str,
        after: &str,
        wait: Duration,
        timeout: Duration,
    ) -> Result<StreamRead, EngineError> {
        let mut read = StreamRead { last_id: after.to_owned(), ..StreamRead::default() };
        match self.first_id(stream, &next(stream, after, 1, Duration::ZERO), timeout)? {
            None => std::thread::sleep(wait),
            Some(id) => {
                let value = match self.one(stream, range(stream, &id), timeout, |reply| entries(&reply)) {
                    Err(EngineError::TooLong) => Vec::new(),
                    found => found?.pop().map(|(_, value)| value).unwrap_or_default(),
                };
                read.last_id.clone_from(&id);
                read.entries.push((id, value));
            }
        }
        read.has_gap = self.first_id(stream, &range(stream, after), timeout)?.is_none();
        Ok(read)
    }

    fn first_id(&self, stream: &str, command: &Cmd, timeout: Duration) -> Result<Option<String>, EngineError> {
        let limits = Limits::new(Duration::ZERO, timeout);
        let connection = self.connect(&self.server(stream, limits.connect)?, limits.connect)?;
        connection.first_id(command, limits.exchange())
    }

    /// Runs a command about some keys once for each slot.
    fn by_slot(
        &self,
        keys: &[String],
        timeout: Duration,
        mut run: impl FnMut(&str, &[String], Duration) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let deadline = Deadline::after(timeout);
        let is_cluster = matches!(self.target.topology, Topology::Cluster(_));
        let slot_of = |key: &String| if is_cluster { slot(key) } else { 0 };
        keys.chunk_by(|a, b| slot_of(a) == slot_of(b)).try_for_each(|group| {
            let left = deadline.remaining().max(Duration::from_millis(1));
            run(group.first().map(String::as_str).unwrap_or_default(), group, left)
        })
    }
}

impl Engine for Redis {
    fn get(&self, keys: &[String], timeout: Duration) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        let mut all = Vec::with_capacity(keys.len());
        self.by_slot(keys, timeout, |key, group, left| {
            let command = cmd("MGET").arg(group).take();
            all.extend(self.one(key, command, left, |reply| values(reply, group.len()))?);
            Ok(())
        })?;
        Ok(all)
    }

    fn set(
        &self,
        key: &str,
        value: &[u8],
        ttl: Duration,
        only_if_absent: bool,
        timeout: Duration,
    ) -> Result<bool, EngineError> {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut command = cmd("SET");
        command.arg(key).arg(value).arg("PX").arg(ttl_ms);
        if only_if_absent {
            command.arg("NX");
        }
        self.one(key, command, timeout, |reply| match reply {
            Value::Okay => Some(true),
            Value::Nil if only_if_absent => Some(false),
            _ => None,
        })
    }

    fn delete(&self, keys: &[String], timeout: Duration) -> Result<(), EngineError> {
        self.by_slot(keys, timeout, |key, group, left| {
            self.one(key, cmd("DEL").arg(group).take(), left, |reply| matches!(reply, Value::Int(_)).then_some(()))
        })
    }

    fn append(&self, stream: &str, value: &[u8], timeout: Duration) -> Result<String, EngineError> {
        let mut command = cmd("XADD");
        command.arg(stream).arg("MAXLEN").arg("~").arg(STREAM_LEN).arg("*").arg("m").arg(value);
        self.one(stream, command, timeout, |reply| {
            let id = bytes(&reply).and_then(|id| std::str::from_utf8(id).ok()).filter(|id| is_id(id));
            id.map(str::to_owned)
        })
    }

    fn time_ms(&self, timeout: Duration) -> Result<Option<i64>, EngineError> {
        let time = |reply: Value| {
            let Value::Array(parts) = reply else { return None };
            let number = |at: usize| std::str::from_utf8(parts.get(at).and_then(bytes)?).ok()?.parse::<i64>().ok();
            number(0)?.checked_mul(1000)?.checked_add(number(1)? / 1000)
        };
        match self.one("", cmd("TIME"), timeout, time) {
            // A user without this right can do everything else.
            Err(EngineError::Refused(_)) => Ok(None),
            found => found.map(Some),
        }
    }

    fn read(&self, stream: &str, after: &str, wait: Duration, timeout: Duration) -> Result<StreamRead, EngineError> {
        if after.is_empty() {
            let last = cmd("XREVRANGE").arg(stream).arg("+").arg("-").arg("COUNT").arg(1).take();
            let last_id = match self.one(stream, last.clone(), timeout, |reply| entries(&reply)) {
                Err(EngineError::TooLong) => self.first_id(stream, &last, timeout)?,
                found => found?.into_iter().next().map(|(id, _)| id),
            };
            return Ok(StreamRead { last_id: last_id.unwrap_or_default(), ..StreamRead::default() });
        }
        if !is_id(after) {
            return Err(EngineError::Refused("not an id of this engine".into()));
        }
        // While the last entry that was read is still there, none after it was removed: looked up after the read, which may have waited.
        let known = range(stream, after);
        for count in READ_COUNTS {
            let commands = [next(stream, after, count, wait), known.clone()];
            let outcome = self.run(stream, &commands, wait, timeout, |replies| match &replies[..] {
                [read, known] => Some((entries(known)?, read_entries(read)?)),
                _ => None,
            });
            if outcome != Err(EngineError::TooLong) {
                let (known, entries) = outcome?;
                let last_id = entries.last().map_or(after, |(id, _)| id).to_owned();
                return Ok(StreamRead { entries, last_id, has_gap: known.is_empty() });
            }
        }
        self.read_one(stream, after, wait, timeout)
    }
}

// Neither the password nor the host is shown.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis")
    }
}
