//! The user table in PostgreSQL: tokio-postgres on a blocking socket with a deadline, without a runtime.
//!
//! tokio-postgres separates queries from the connection that sends them. Both are polled here by the calling thread. A read waits only
//! when nothing else can be done: then the connection has sent what there is to send.

mod messages;

use std::future::Future;
use std::io;
use std::net::TcpStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Error, NoTls};

use self::messages::Messages;
use super::sql::{
    Channel, Connection, DatabaseUrl, Dialect, Dialer, Engine, Failure, FailureKind, Host, Limits, Outcome, Statement,
    Tls, TlsMode, UrlRules, Value,
};
use crate::clock::Deadline;

pub const URL: UrlRules = UrlRules { default_port: 5432, socket_name: ".s.PGSQL." };

/// The request for TLS: the length of the message, and a version number.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// How long a connection says good-bye.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(50);

/// A PostgreSQL database.
pub struct Postgres {
    url: DatabaseUrl,
    tls: Option<Tls>,
    dialer: Dialer,
    /// How long the server executes a statement whose client has gone.
    timeout: Duration,
}

impl Postgres {
    pub fn new(url: DatabaseUrl, timeout: Duration) -> Result<Self, Failure> {
        let tls = Tls::new(&url).map_err(Failure::of_transport)?;
        Ok(Postgres { url, tls, dialer: Dialer::default(), timeout })
    }

    /// Connects to a host, encrypted as the URL says.
    fn channel(&self, host: &Host, deadline: Deadline) -> Result<Channel, Failure> {
        use std::io::{Read, Write};
        let mut channel = self.dialer.connect(host, deadline)?;
        // As libpq does, none on a Unix socket.
        let Some(tls) = self.tls.as_ref().filter(|_| matches!(host, Host::Tcp { .. })) else { return Ok(channel) };
        channel.write_all(&SSL_REQUEST)?;
        // Exactly one byte: what follows it has to be encrypted.
        let mut answer = [0];
        channel.read_exact(&mut answer)?;
        match answer {
            [b'S'] => tls.start(channel, host),
            [b'N'] if tls.mode == TlsMode::Prefer => Ok(channel),
            [b'N'] => Err(Failure::other("the server does not support TLS; only `sslmode=disable` connects without")),
            _ => Err(Failure::other("the server does not speak PostgreSQL on this port")),
        }
    }

    fn connect_to(&self, host: &Host, deadline: Deadline) -> Result<PostgresConnection, Failure> {
        let channel = self.channel(host, deadline)?;
        let (limits, probe) = (channel.limits(), channel.probe());
        let mut config = Config::new();
        config
            .user(&self.url.user)
            .dbname(&self.url.database)
            .application_name("clerk-auth")
            .ssl_mode(SslMode::Disable);
        if let Some(password) = &self.url.password {
            config.password(password.expose());
        }
        let signal = Arc::new(Signal::default());
        let waker = Waker::from(signal.clone());
        let mut connecting = pin!(config.connect_raw(Stream::new(channel), NoTls));
        let connected = loop {
            limits.permit_wait();
            if let Poll::Ready(connected) = connecting.as_mut().poll(&mut Context::from_waker(&waker)) {
                break connected;
            }
        };
        let (client, connection) = connected.map_err(|error| failure(&error))?;
        let mut connection = PostgresConnection { client, connection, limits, probe, signal, waker };
        if connection.is_read_only(deadline)? {
            return Err(Failure::new(FailureKind::ReadOnly, -1, "the server is read-only, such as a standby"));
        }
        let ms = self.timeout.as_millis();
        let settings = format!(
            "SET statement_timeout = {ms}; SET lock_timeout = {ms}; SET idle_in_transaction_session_timeout = {ms}; \
             SET default_transaction_isolation = 'read committed'; SET standard_conforming_strings = on"
        );
        connection.batch(&settings, deadline)?;
        Ok(connection)
    }
}

impl Engine for Postgres {
    type Connection = PostgresConnection;

    const NAME: &'static str = "postgres";

    const DIALECT: Dialect = Dialect {
        has_numbered_placeholders: true,
        read_time: "CAST(round(extract(epoch FROM last_active_at) * 1000) AS BIGINT)",
        write_time: ("TIMESTAMPTZ 'epoch' + ", " * INTERVAL '1 millisecond'"),
        now: "now()",
        // In the collation "C" exactly the ASCII letters have a case, whatever the locale of the database is.
        email_is: (r#"lower(email COLLATE "C") = lower("#, r#" COLLATE "C")"#),
        username_is: (r#"lower(username COLLATE "C") = lower("#, r#" COLLATE "C")"#),
        email_limit: 2,
    };

    const RETURNING: &'static str = " RETURNING id";

    const MIGRATIONS: &'static [&'static [&'static str]] = &[&[
        r#"CREATE TABLE clerk_user (
            id                  BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
            clerk_user_id       TEXT COLLATE "C" UNIQUE,
            email               TEXT,
            username            TEXT NOT NULL,
            first_name          TEXT NOT NULL DEFAULT '',
            last_name           TEXT NOT NULL DEFAULT '',
            image_url           TEXT,
            last_active_at      TIMESTAMPTZ(3),
            is_active           BOOLEAN NOT NULL DEFAULT TRUE,
            banned_by_clerk     BOOLEAN NOT NULL DEFAULT FALSE,
            created_at          TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
            updated_at          TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
            clerk_updated_at_ms BIGINT
        )"#,
        r#"CREATE UNIQUE INDEX clerk_user_username ON clerk_user (lower(username COLLATE "C"))"#,
        r#"CREATE INDEX clerk_user_email ON clerk_user (lower(email COLLATE "C"))"#,
        "CREATE TABLE clerk_schema (version BIGINT NOT NULL)",
    ]];

    // `to_regclass` would not see a table that was created while this transaction waited for the lock.
    const HAS_SCHEMA_TABLE: &'static str =
        "SELECT count(*) FROM pg_class WHERE relname = 'clerk_schema' AND pg_table_is_visible(oid)";

    const CHECKS: &'static [(&'static str, &'static str)] = &[
        (
            "SELECT current_setting('server_encoding') = 'UTF8'",
            "the encoding of the database is not UTF8",
        ),
        (
            r#"SELECT count(DISTINCT pg_get_indexdef(indexrelid, 1, TRUE)) = 3 FROM pg_index
                WHERE indrelid = 'clerk_user'::regclass AND indisunique AND indisvalid AND indpred IS NULL
                  AND indnkeyatts = 1 AND pg_get_indexdef(indexrelid, 1, TRUE)
                      IN ('id', 'clerk_user_id', 'lower(username COLLATE "C")')"#,
            "`id`, `clerk_user_id` and `lower(username COLLATE \"C\")` are not UNIQUE",
        ),
        (
            "SELECT count(*) = 0 FROM (SELECT clerk_user_id FROM clerk_user WHERE 1 = 0 UNION ALL SELECT 'user_a') AS probe
              WHERE clerk_user_id = 'USER_A'",
            "`clerk_user_id` is compared without case",
        ),
    ];

    const GRANT: &'static str = "the store needs SELECT, INSERT and UPDATE on `clerk_user` and SELECT on `clerk_schema`; to \
        create or migrate the tables it also needs CREATE on the schema";

    fn connect(&self, deadline: Deadline) -> Result<PostgresConnection, Failure> {
        let mut last = Failure::other("the host is missing");
        for (at, host) in self.url.hosts.iter().enumerate() {
            match self.connect_to(host, deadline.share(self.url.hosts.len() - at)) {
                Ok(connection) => return Ok(connection),
                Err(failure) => last = Failure { message: format!("{host}: {}", failure.message), ..failure },
            }
        }
        Err(last)
    }

    fn begin(&self, connection: &mut PostgresConnection, deadline: Deadline) -> Result<(), Failure> {
        // The number is arbitrary; the lock ends with the transaction, as a pooler between needs it.
        connection.batch("BEGIN; SELECT pg_advisory_xact_lock(4846204138207135074)", deadline)
    }

    fn commit(&self, connection: &mut PostgresConnection, deadline: Deadline) -> Result<(), Failure> {
        connection.batch("COMMIT", deadline)
    }

    fn is_of_tables(failure: &Failure) -> bool {
        // The class "syntax error or access rule violation", which has missing and duplicate names, and wrong types.
        failure.code & 0xfff == state_code("42") && !Self::is_denied(failure)
    }

    fn is_denied(failure: &Failure) -> bool {
        failure.code == state_code(SqlState::INSUFFICIENT_PRIVILEGE.code())
    }
}

/// Notes that one of the two futures has made progress.
#[derive(Debug, Default)]
struct Signal(AtomicBool);

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection to PostgreSQL.
pub struct PostgresConnection {
    client: Client,
    connection: tokio_postgres::Connection<Stream, NoTlsStream>,
    limits: Arc<Limits>,
    probe: Option<TcpStream>,
    signal: Arc<Signal>,
    waker: Waker,
}

impl PostgresConnection {
    /// Returns whether the server is a standby, or does not permit writes. Those before version 14, and poolers, do not report it.
    fn is_read_only(&mut self, deadline: Deadline) -> Result<bool, Failure> {
        let reported = ["in_hot_standby", "default_transaction_read_only"].map(|name| self.connection.parameter(name));
        if !reported.contains(&None) {
            return Ok(reported.contains(&Some("on")));
        }
        let asked = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'";
        Ok(self.run(&Statement::plain(asked), deadline)?.number() != Some(0))
    }

    /// Executes statements that have no values and whose results do not matter.
    fn batch(&mut self, sql: &str, deadline: Deadline) -> Result<(), Failure> {
        let PostgresConnection { client, connection, limits, signal, waker, .. } = self;
        limits.begin(deadline);
        drive(connection, limits, signal, waker, client.batch_execute(sql))
    }
}

/// Polls a query and the connection that it uses until the query is done.
fn drive<T>(
    connection: &mut tokio_postgres::Connection<Stream, NoTlsStream>,
    limits: &Limits,
    signal: &Signal,
    waker: &Waker,
    query: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    let mut query = pin!(query);
    let mut context = Context::from_waker(waker);
    loop {
        signal.0.store(false, Ordering::Relaxed);
        if let Poll::Ready(done) = query.as_mut().poll(&mut context) {
            limits.forbid_wait();
            return done.map_err(|error| failure_of_statement(&error));
        }
        match connection.poll_message(&mut context) {
            Poll::Ready(Some(Err(error))) => return Err(failure_of_statement(&error)),
            Poll::Ready(None) => return Err(Failure::new(FailureKind::Lost, -1, "the connection is closed")),
            // A notice.
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Pending if signal.0.load(Ordering::Relaxed) => {}
            Poll::Pending => limits.permit_wait(),
        }
    }
}

impl Connection for PostgresConnection {
    fn run(&mut self, statement: &Statement, deadline: Deadline) -> Result<Outcome, Failure> {
        // Characters of the code 0 are those that PostgreSQL cannot store.
        let texts: Vec<Option<String>> = statement.values.iter().map(text_of).collect();
        let values: Vec<(&(dyn ToSql + Sync), Type)> = (statement.values.iter().zip(&texts))
            .map(|(value, text)| match value {
                Value::Text(_) => (text as &(dyn ToSql + Sync), Type::TEXT),
                Value::Integer(number) | Value::Time(number) => (number as _, Type::INT8),
                Value::Boolean(flag) => (flag as _, Type::BOOL),
            })
            .collect();
        let PostgresConnection { client, connection, limits, signal, waker, .. } = self;
        limits.begin(deadline);
        let query = client.query_typed(&statement.sql, &values);
        let rows = drive(connection, limits, signal, waker, query)?;
        let rows = rows.iter().map(values_of).collect::<Result<_, _>>()?;
        Ok(Outcome { rows, ..Outcome::default() })
    }

    fn probe(&self) -> Option<&TcpStream> {
        self.probe.as_ref()
    }

    fn close(self) {
        let PostgresConnection { client, mut connection, limits, waker, .. } = self;
        limits.begin(Deadline::after(CLOSE_TIMEOUT));
        drop(client);
        let _ = connection.poll_message(&mut Context::from_waker(&waker));
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Text(Some(text)) => Some(text.replace('\0', "")),
        _ => None,
    }
}

fn values_of(row: &tokio_postgres::Row) -> Result<Vec<Value>, Failure> {
    let value = |(at, column): (usize, &tokio_postgres::Column)| {
        Ok(match *column.type_() {
            Type::INT8 => Value::Integer(row.try_get(at)?),
            Type::INT4 => Value::Integer(row.try_get::<_, Option<i32>>(at)?.map(i64::from)),
            Type::BOOL => Value::Boolean(row.try_get(at)?),
            _ => Value::Text(row.try_get(at)?),
        })
    };
    let values: Result<_, Error> = row.columns().iter().enumerate().map(value).collect();
    values.map_err(|error| Failure::other(format!("a column has another type: {error}")))
}

/// The number that PostgreSQL's own C code has for an SQLSTATE: six bits for each character.
fn state_code(state: &str) -> i32 {
    state.bytes().rev().fold(0, |code, byte| code << 6 | i32::from(byte.wrapping_sub(b'0') & 0x3f))
}

/// Converts an error of an open connection. After one that is not the server's, or that ends the session, it cannot be used any more.
fn failure_of_statement(error: &Error) -> Failure {
    let is_last = |error: &DbError| match error.parsed_severity() {
        Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
        None => matches!(error.severity(), "FATAL" | "PANIC"),
    };
    let mut failure = failure(error);
    if failure.is_harmless() && error.as_db_error().is_none_or(is_last) {
        failure.kind = FailureKind::Lost;
    }
    failure
}

fn failure(error: &Error) -> Failure {
    if let Some(error) = error.as_db_error() {
        let state = error.code();
        // A message may quote a value; the details always do.
        let kind = match *state {
            // The sequence is behind rows that were inserted with keys of their own: no other value of this row would help.
            SqlState::UNIQUE_VIOLATION if error.constraint() == Some("clerk_user_pkey") => FailureKind::Other,
            SqlState::UNIQUE_VIOLATION => FailureKind::Conflict,
            SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::TOO_MANY_CONNECTIONS => FailureKind::Repeatable,
            SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::DATABASE_DROPPED => FailureKind::Lost,
            SqlState::READ_ONLY_SQL_TRANSACTION => FailureKind::ReadOnly,
            SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE => FailureKind::TimedOut,
            // The class "connection exception", which poolers report of their servers.
            _ if state.code().starts_with("08") => FailureKind::Lost,
            _ => FailureKind::Other,
        };
        return Failure::new(kind, state_code(state.code()), format!("{} ({})", error.message(), state.code()));
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return Failure::of_io(error);
        }
        source = cause.source();
    }
    match error.is_closed() {
        true => Failure::new(FailureKind::Lost, -1, "the server closed the connection"),
        // Requests and responses may no longer match.
        false => Failure::new(FailureKind::Lost, -1, error.to_string()),
    }
}

/// A channel with the traits that tokio-postgres requires.
struct Stream {
    channel: Channel,
    received: Messages,
}

impl Stream {
    fn new(channel: Channel) -> Self {
        Stream { channel, received: Messages::default() }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Stream { channel, received } = &mut *self;
        let unfilled = buffer.initialize_unfilled();
        let Some(read) = channel.read_if_permitted(unfilled) else { return Poll::Pending };
        let checked = read.and_then(|count| received.check(&unfilled[..count]).map(|()| count));
        Poll::Ready(checked.map(|count| buffer.advance(count)))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(io::Write::write(&mut self.channel, buffer))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(io::Write::flush(&mut self.channel))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstate_has_the_number_of_the_servers_own_code() {
        // ERRCODE_UNIQUE_VIOLATION of errcodes.h.
        assert_eq!(state_code("23505"), 83_906_754);
        assert_ne!(state_code("40P01"), state_code("40001"));
    }
}
