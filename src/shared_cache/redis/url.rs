//! The URL of an engine that speaks the protocol of Redis. Pure.

use std::net::Ipv6Addr;

use crate::config::Secret;

/// A server's host and port.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address; IPv6 without brackets.
    pub host: String,
    pub port: u16,
}

impl Address {
    /// Parses `host`, `host:port`, `[address]` or `[address]:port`.
    pub fn parse(authority: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port > 0)?),
            _ => (authority, default_port),
        };
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().ok()?.to_string(),
            None => Some(host).filter(|host| host.bytes().all(is_name))?.to_owned(),
        };
        (1..=253).contains(&host.len()).then_some(Address { host, port })
    }
}

/// Which servers there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    Single(Address),
    Sentinel { sentinels: Vec<Address>, master: String },
    Cluster(Vec<Address>),
}

/// The parts of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub topology: Topology,
    pub is_tls: bool,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub database: u32,
}

const MAX_ADDRESSES: usize = 64;

impl Target {
    /// Parses a URL. The error is what is wrong with it, without its content.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or("not a URL")?;
        let (protocol, kind) = scheme.split_once('+').map_or((scheme, None), |(protocol, kind)| (protocol, Some(kind)));
        let is_tls = match protocol {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err("the scheme is not known"),
        };
        if rest.contains(['?', '#']) || !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a URL without spaces, query and fragment is needed; encode such characters of a password");
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, hosts) =
            authority.rsplit_once('@').map_or((None, authority), |(user, hosts)| (Some(user), hosts));
        let (username, password) = userinfo.map_or(Ok((None, None)), credentials)?;
        let port = if kind == Some("sentinel") { 26_379 } else { 6379 };
        let addresses: Option<Vec<_>> = hosts.split(',').map(|host| Address::parse(host, port)).collect();
        let mut addresses = addresses.filter(|all| all.len() <= MAX_ADDRESSES).ok_or("not a host and a port")?;
        let mut path: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        let topology = match kind {
            None if addresses.len() == 1 => Topology::Single(addresses.remove(0)),
            None => return Err("several hosts need `redis+cluster://` or `redis+sentinel://`"),
            Some("cluster") if path.is_empty() => Topology::Cluster(addresses),
            Some("cluster") => return Err("a cluster has no numbered databases"),
            Some("sentinel") if path.is_empty() => return Err("the name of the master is missing: `/mymaster`"),
            Some("sentinel") => {
                let master = decode(path.remove(0)).ok_or("the name of the master is malformed")?;
                Topology::Sentinel { sentinels: addresses, master }
            }
            Some(_) => return Err("the scheme is not known"),
        };
        let database = match path[..] {
            [] => 0,
            [number] => number.parse().map_err(|_| "the number of the database is malformed")?,
            _ => return Err("the path is malformed"),
        };
        Ok(Target { topology, is_tls, username, password, database })
    }
}

/// Reads `user:password`, `:password` or `user`.
fn credentials(userinfo: &str) -> Result<(Option<String>, Option<Secret>), &'static str> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let malformed = "user and password are malformed; encode special characters as `%40`";
    let (user, password) = (decode(user).ok_or(malformed)?, decode(password).ok_or(malformed)?);
    if !user.is_empty() && password.is_empty() {
        return Err("a user needs a password: `redis://user:password@host`");
    }
    let non_empty = |value: String| Some(value).filter(|value| !value.is_empty());
    Ok((non_empty(user), non_empty(password).map(Secret::new)))
}

fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().filter(|decoded| !decoded.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> Address {
        Address { host: host.into(), port }
    }

    #[test]
    fn every_kind_of_url_is_parsed() {
        let plain = Target {
            topology: Topology::Single(address("cache.example.com", 6379)),
            is_tls: false,
            username: None,
            password: None,
            database: 0,
        };
        assert_eq!(Target::parse("redis://cache.example.com"), Ok(plain.clone()));
        assert_eq!(Target::parse("valkey://cache.example.com:6379/0"), Ok(plain.clone()));
        let with_all = Target {
            topology: Topology::Single(address("::1", 7000)),
            is_tls: true,
            username: Some("app".into()),
            password: Some(Secret::new("p@:/ss")),
            database: 3,
        };
        assert_eq!(Target::parse("rediss://app:p%40%3a%2Fss@[::1]:7000/3"), Ok(with_all));
        let password_only = Target { password: Some(Secret::new("x")), ..plain.clone() };
        assert_eq!(Target::parse("redis://:x@cache.example.com/"), Ok(password_only));
        let cluster = Topology::Cluster(vec![address("a", 6379), address("10.0.0.2", 7001)]);
        assert_eq!(Target::parse("redis+cluster://a,10.0.0.2:7001").unwrap().topology, cluster);
        let sentinels = vec![address("a", 26_379), address("b", 5000)];
        let sentinel = Target {
            topology: Topology::Sentinel { sentinels, master: "my master".into() },
            is_tls: true,
            database: 2,
            ..plain
        };
        assert_eq!(Target::parse("rediss+sentinel://a,b:5000/my%20master/2"), Ok(sentinel));
    }

    #[test]
    fn malformed_url_is_refused() {
        for url in [
            "",
            "redis",
            "redis:host",
            "http://host",
            "redis://",
            "redis:///0",
            "redis://:6379",
            "redis://host:0",
            "redis://host:65536",
            "redis://host:port",
            "redis://host/x",
            "redis://host/1/2",
            "redis://host/-1",
            "redis://ho st",
            "redis://host?db=1",
            "redis://host#1",
            "redis://user@host",
            "redis://:p%4@host",
            "redis://:p%zz@host",
            "redis://:%00@host",
            "redis://[::1",
            "redis://[host]",
            "redis://a,b",
            "redis://a,",
            "redis+cluster://a/1",
            "redis+cluster://",
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel://a/master/x",
            "redis+unix://a",
            "rediss+://a",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn debug_hides_the_password() {
        assert!(!format!("{:?}", Target::parse("redis://:hidden@host").unwrap()).contains("hidden"));
    }
}
