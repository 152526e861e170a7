//! The ready-made user table at a URL.

use std::sync::Arc;
use std::time::Duration;

use super::UserStore;
use crate::config::ConfigError;

const KNOWN: &str =
    "must be `sqlite:path`, `postgres://user:password@host/database` or `mysql://user:password@host/database`";

/// The schemes of URLs, as the features are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Sqlite,
    Postgres,
    Mysql,
}

/// Splits a URL into the scheme and what follows it.
fn split(url: &str) -> Result<(Scheme, &str), ConfigError> {
    let (scheme, rest, feature) = if let Some(path) = url.strip_prefix("sqlite:") {
        (Scheme::Sqlite, path, cfg!(feature = "sqlite").then_some("").ok_or("sqlite"))
    } else if let Some(rest) = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) {
        (Scheme::Postgres, rest, cfg!(feature = "postgres").then_some("").ok_or("postgres"))
    } else if let Some(rest) = url.strip_prefix("mysql://") {
        (Scheme::Mysql, rest, cfg!(feature = "mysql").then_some("").ok_or("mysql"))
    } else {
        return Err(ConfigError::new("database", KNOWN));
    };
    match feature {
        Ok(_) => Ok((scheme, rest)),
        Err(name) => Err(ConfigError::new("database", format!("this library was built without the feature `{name}`"))),
    }
}

/// Checks that this library can open URLs of this kind.
#[cfg(feature = "capi")]
pub fn check_url(url: &str) -> Result<(), ConfigError> {
    if url.is_empty() { Ok(()) } else { split(url.trim()).map(drop) }
}

/// Opens the user table at a URL. `timeout` limits the start, and how long a server works on a statement whose client has gone.
pub fn open(url: &str, timeout: Duration) -> Result<Arc<dyn UserStore>, ConfigError> {
    let (scheme, rest) = split(url)?;
    match scheme {
        Scheme::Sqlite => sqlite(rest),
        Scheme::Postgres => postgres(rest, timeout),
        Scheme::Mysql => mysql(rest, timeout),
    }
    .map_err(|message| ConfigError::new("database", message))
}

type Opened = Result<Arc<dyn UserStore>, String>;

#[cfg(feature = "sqlite")]
fn sqlite(path: &str) -> Opened {
    match super::sqlite::SqliteStore::prepare(path.as_ref()) {
        Ok(store) => Ok(Arc::new(store)),
        Err(super::StoreError::Failed { message, .. }) => Err(message),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
fn on_server<E: super::sql::Engine>(
    rest: &str,
    rules: &super::sql::UrlRules,
    timeout: Duration,
    engine: fn(super::sql::DatabaseUrl, Duration) -> Result<E, super::sql::Failure>,
) -> Opened {
    let url = super::sql::DatabaseUrl::parse(rest, rules)?;
    let warnings = url.warnings();
    let pool_size = url.pool_size;
    let deadline = crate::clock::Deadline::after(timeout);
    let opened = engine(url, timeout)
        .and_then(|engine| super::sql::SqlStore::open(engine, pool_size, warnings, deadline))
        .map_err(|failure| failure.message)?;
    Ok(Arc::new(opened))
}

#[cfg(feature = "postgres")]
fn postgres(rest: &str, timeout: Duration) -> Opened {
    on_server(rest, &super::postgres::URL, timeout, super::postgres::Postgres::new)
}

#[cfg(feature = "mysql")]
fn mysql(rest: &str, timeout: Duration) -> Opened {
    on_server(rest, &super::mysql::URL, timeout, super::mysql::Mysql::new)
}

#[cfg(not(feature = "sqlite"))]
fn sqlite(_: &str) -> Opened {
    Err(KNOWN.into())
}

#[cfg(not(feature = "postgres"))]
fn postgres(_: &str, _: Duration) -> Opened {
    Err(KNOWN.into())
}

#[cfg(not(feature = "mysql"))]
fn mysql(_: &str, _: Duration) -> Opened {
    Err(KNOWN.into())
}
