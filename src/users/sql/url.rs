//! The URL of a database server. No message contains a part of it that could be a password.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;

use crate::api::root_certificates;
use crate::config::Secret;

/// The default maximum number of connections, and the limit of `pool_size`.
const POOL_SIZE: usize = 8;
const MAX_POOL_SIZE: usize = 256;

/// What is verified of the server's certificate, as PostgreSQL defines it for `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it; nothing is verified.
    Prefer,
    /// TLS; nothing is verified.
    Require,
    /// TLS with a certificate of a trusted authority, for any host.
    VerifyCa,
    /// TLS with a certificate of a trusted authority for this host.
    VerifyFull,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    Tcp { name: String, port: u16 },
    Unix(PathBuf),
}

impl Host {
    /// Whether the server is on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Host::Tcp { name, .. } => {
                name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
            }
            Host::Unix(_) => true,
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Tcp { name, port } if name.contains(':') => write!(f, "[{name}]:{port}"),
            Host::Tcp { name, port } => write!(f, "{name}:{port}"),
            Host::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A URL that was read.
#[derive(Clone, Debug)]
pub struct DatabaseUrl {
    /// At least one; tried in this order.
    pub hosts: Vec<Host>,
    pub user: String,
    pub password: Option<Secret>,
    pub database: String,
    pub tls: TlsMode,
    /// The trusted authorities; `None`: the system's.
    pub roots: Option<Arc<RootCertStore>>,
    pub pool_size: usize,
}

/// What differs between the URLs of the engines.
#[derive(Debug)]
pub struct UrlRules {
    pub default_port: u16,
    /// The name of a socket in the folder that `host` names; "" if `socket` names the socket itself.
    pub socket_name: &'static str,
}

const ENCODE: &str =
    "special characters of the user and the password must be percent-encoded (`@` is `%40`, `/` is `%2F`)";

fn decode(encoded: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        match byte {
            b'%' => match (digit(), digit()) {
                (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
                _ => return Err(format!("invalid percent-encoding: {ENCODE}")),
            },
            byte => bytes.push(byte),
        }
    }
    let decoded = String::from_utf8(bytes).map_err(|_| format!("not UTF-8: {ENCODE}"))?;
    if decoded.contains(|c: char| c.is_control()) {
        return Err("control characters are not permitted".into());
    }
    Ok(decoded)
}

fn host(given: &str, rules: &UrlRules) -> Result<Host, String> {
    // What stands here may be a part of a password that was not encoded.
    let invalid = || format!("a host or port is invalid: {ENCODE}");
    let (name, port) = match given.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']').ok_or_else(invalid)?;
            name.parse::<std::net::Ipv6Addr>().map_err(|_| invalid())?;
            (name, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(invalid)?) })
        }
        None => given.split_once(':').map_or((given, None), |(name, port)| (name, Some(port))),
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?,
        None => rules.default_port,
    };
    let name = decode(name)?;
    if name.starts_with('/') && !rules.socket_name.is_empty() {
        return Ok(Host::Unix(PathBuf::from(name).join(format!("{}{port}", rules.socket_name))));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    match !name.is_empty() && name.chars().all(is_name) {
        true => Ok(Host::Tcp { name, port }),
        false => Err(invalid()),
    }
}

impl DatabaseUrl {
    /// Reads a URL, of which `rest` is what follows `://`.
    pub fn parse(rest: &str, rules: &UrlRules) -> Result<Self, String> {
        if rest.contains('#') {
            return Err(format!("`#` must be percent-encoded as `%23`; {ENCODE}"));
        }
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = address.split_once('/').unwrap_or((address, ""));
        if query.contains('@') || database.contains('@') {
            return Err(ENCODE.into());
        }
        let (userinfo, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = userinfo.split_once(':').map_or((userinfo, None), |(user, word)| (user, Some(word)));
        let hosts = match hosts {
            "" => Vec::new(),
            hosts => hosts.split(',').map(|given| host(given, rules)).collect::<Result<_, _>>()?,
        };
        let mut url = DatabaseUrl {
            hosts,
            user: decode(user)?,
            password: password.map(decode).transpose()?.map(Secret::new),
            database: decode(database)?,
            tls: TlsMode::VerifyFull,
            roots: None,
            pool_size: POOL_SIZE,
        };
        let (mut names, mut is_system) = (Vec::new(), false);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if names.contains(&name) {
                return Err("a parameter is given twice".into());
            }
            names.push(name);
            let value = decode(value)?;
            is_system |= name == "sslrootcert" && value == "system";
            url.set(name, &value, rules)?;
        }
        if url.hosts.is_empty() {
            return Err("the host is missing".into());
        }
        if url.user.is_empty() || url.database.is_empty() {
            return Err(
                "the user or the name of the database is missing: `scheme://user:password@host/database`".into()
            );
        }
        // As libpq does: anybody can have a certificate of an authority of the system, for another name.
        if is_system && url.tls != TlsMode::VerifyFull {
            return Err("`sslrootcert=system` needs `sslmode=verify-full`".into());
        }
        // As libpq does: with an authority, an encrypted connection is also a verified one.
        if url.tls == TlsMode::Require && url.roots.is_some() {
            url.tls = TlsMode::VerifyCa;
        }
        Ok(url)
    }

    /// Returns what an operator should know about a mode that was chosen.
    pub fn warnings(&self) -> Vec<String> {
        let risk = match self.tls {
            TlsMode::Disable | TlsMode::Prefer => "passwords and users may be read in the network",
            TlsMode::Require => "anybody between can pretend to be the server",
            TlsMode::VerifyCa => "anybody with a certificate of a trusted authority can pretend to be the server",
            TlsMode::VerifyFull => return Vec::new(),
        };
        let is_warned = !self.hosts.iter().all(Host::is_local);
        Vec::from_iter(is_warned.then(|| format!("database: with the `sslmode` of the URL, {risk}")))
    }

    fn set(&mut self, name: &str, value: &str, rules: &UrlRules) -> Result<(), String> {
        match name {
            "sslmode" => {
                self.tls = match value {
                    "disable" => TlsMode::Disable,
                    "prefer" => TlsMode::Prefer,
                    "require" => TlsMode::Require,
                    "verify-ca" => TlsMode::VerifyCa,
                    "verify-full" => TlsMode::VerifyFull,
                    _ => {
                        return Err(
                            "`sslmode` must be `verify-full` (the default), `verify-ca`, `require`, `prefer` or \
                                    `disable`"
                                .into(),
                        );
                    }
                }
            }
            "sslrootcert" if value == "system" => self.roots = None,
            "sslrootcert" => {
                let pem = std::fs::read_to_string(value).map_err(|error| format!("sslrootcert: {value}: {error}"))?;
                let roots = root_certificates(&pem);
                self.roots = Some(Arc::new(
                    roots.ok_or_else(|| format!("sslrootcert: {value}: no certificate of an authority"))?,
                ));
            }
            "pool_size" => {
                self.pool_size = value
                    .parse()
                    .ok()
                    .filter(|size| (1..=MAX_POOL_SIZE).contains(size))
                    .ok_or_else(|| format!("`pool_size` must be from 1 to {MAX_POOL_SIZE}"))?;
            }
            "host" if !rules.socket_name.is_empty() && value.starts_with('/') && self.hosts.is_empty() => {
                let socket = format!("{}{}", rules.socket_name, rules.default_port);
                self.hosts.push(Host::Unix(PathBuf::from(value).join(socket)));
            }
            "socket" if rules.socket_name.is_empty() && value.starts_with('/') => {
                self.hosts = vec![Host::Unix(value.into())];
            }
            _ => {
                let socket = if rules.socket_name.is_empty() { "socket" } else { "host" };
                return Err(format!(
                    "an unknown parameter, or a wrong value of one; those of the URL are `sslmode`, `sslrootcert`, \
                     `pool_size` and `{socket}` (an absolute path)"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: UrlRules = UrlRules { default_port: 5432, socket_name: ".s.PGSQL." };
    const WITH_SOCKET: UrlRules = UrlRules { default_port: 3306, socket_name: "" };

    fn tcp(name: &str, port: u16) -> Host {
        Host::Tcp { name: name.into(), port }
    }

    #[test]
    fn parts_of_a_url_are_read_and_decoded() {
        let url =
            DatabaseUrl::parse("u%40x:p%2F%3a@db.example,[::1]:7/my%20db?sslmode=prefer&pool_size=3", &RULES).unwrap();
        assert_eq!(url.hosts, [tcp("db.example", 5432), tcp("::1", 7)]);
        assert_eq!((url.user.as_str(), url.database.as_str()), ("u@x", "my db"));
        assert_eq!(url.password.as_ref().map(Secret::expose), Some("p/:"));
        assert_eq!((url.tls, url.pool_size), (TlsMode::Prefer, 3));
        for full in ["sslrootcert=system", "sslrootcert=system&sslmode=verify-full"] {
            let url = DatabaseUrl::parse(&format!("ada@host/db?{full}"), &RULES).unwrap();
            assert_eq!((url.tls, url.roots.is_some()), (TlsMode::VerifyFull, false));
        }
        let plain = DatabaseUrl::parse("ada@127.0.0.1:1/db", &RULES).unwrap();
        assert_eq!((plain.password, plain.tls, plain.pool_size), (None, TlsMode::VerifyFull, 8));
    }

    #[test]
    fn sockets_are_named_as_each_engine_names_them() {
        let path = |host: &Host| host.to_string();
        let url = DatabaseUrl::parse("ada@/db?host=/run/postgresql", &RULES).unwrap();
        assert_eq!(path(&url.hosts[0]), "/run/postgresql/.s.PGSQL.5432");
        let url = DatabaseUrl::parse("ada@%2Frun%2Fpostgresql:7/db", &RULES).unwrap();
        assert_eq!(path(&url.hosts[0]), "/run/postgresql/.s.PGSQL.7");
        let url = DatabaseUrl::parse("ada@localhost/db?socket=/run/mysqld.sock", &WITH_SOCKET).unwrap();
        assert_eq!(path(&url.hosts[0]), "/run/mysqld.sock");
    }

    #[test]
    fn odd_urls_are_rejected_and_no_password_is_shown() {
        for odd in [
            "",
            "/",
            "host/db",
            "u:hidden@/db",
            "u:hidden@host",
            "u:hidden@host/",
            "u:hid/den@host/db",
            "u:12/hidden@host/db",
            "u:hid?den@host/db",
            "u:hid#den@host/db",
            "u:hidden%4@host/db",
            "u:hidden%ff@host/db",
            "u:hidden%00@host/db",
            "u:hidden@host:0/db",
            "u:hidden@host:70000/db",
            "u:hidden@ho st/db",
            "u:hidden@[::1/db",
            "u:hidden@host,/db",
            "u:hidden@host/db?sslmode=allow",
            "u:hidden@host/db?sslmode=VERIFY-FULL",
            "u:hidden@host/db?sslmode=disable&sslmode=require",
            "u:hidden@host/db?sslrootcert=/nonexistent",
            "u:hidden@host/db?sslrootcert=",
            "u:hidden@host/db?sslmode=disable&sslrootcert=system",
            "u:hidden@host/db?sslrootcert=system&sslmode=prefer",
            "u:hidden@host/db?sslmode=require&sslrootcert=system",
            "u:hidden@host/db?sslmode=verify-ca&sslrootcert=s%79stem",
            "u:hidden@host/db?pool_size=0",
            "u:hidden@host/db?pool_size=257",
            "u:hidden@host/db?password=hidden",
            "u:hidden@host/db?socket=/run/x",
        ] {
            let error = DatabaseUrl::parse(odd, &RULES).unwrap_err();
            assert!(!error.contains("hid") && !error.contains("den@"), "{odd}: {error}");
        }
        let url = DatabaseUrl::parse("u:hidden@host/db", &RULES).unwrap();
        assert!(!format!("{url:?}").contains("hidden"));
    }
}
