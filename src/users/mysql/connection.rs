//! One connection to MySQL or MariaDB.

use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mysql_common::constants::{CapabilityFlags, ColumnType};
use mysql_common::packets::{
    AuthPlugin, Column, ComStmtExecuteRequestBuilder, HandshakePacket, HandshakeResponse, SslRequest, StmtPacket,
};
use mysql_common::proto::{Binary, MyDeserialize, MySerialize, Text};
use mysql_common::row::RowDeserializer;
use mysql_common::value::{ServerSide, Value as MysqlValue};

use super::auth::{finish, scramble};
use super::packets::{Packets, error, is_eof, odd, ok, parse};
use crate::clock::Deadline;
use crate::config::Secret;
use crate::users::sql::{
    Channel, Connection, DatabaseUrl, Failure, FailureKind, Host, Limits, Outcome, Statement, Tls, TlsMode, Value,
};

const COM_QUIT: u8 = 1;
const COM_QUERY: u8 = 3;
const COM_STMT_PREPARE: u8 = 22;
const COM_STMT_CLOSE: u8 = 25;
/// `utf8mb4_general_ci`, which every server knows; comparisons use the collations of the columns.
const UTF8MB4: u8 = 45;
/// The statements of the store are fewer: there are as many `UPDATE`s as sets of changed columns.
const MAX_PREPARED: usize = 64;
/// The columns of the widest result, or the parameters of the longest statement.
const MAX_COLUMNS: usize = 64;
/// The rows of the longest result.
const MAX_ROWS: usize = 64;
const CLOSE_TIMEOUT: Duration = Duration::from_millis(50);

pub struct MysqlConnection {
    packets: Packets,
    limits: Arc<Limits>,
    probe: Option<TcpStream>,
    capabilities: CapabilityFlags,
    is_mariadb: bool,
    prepared: HashMap<String, u32>,
    /// The host to be tried first, and the one after this connection's.
    next_host: Option<(Arc<AtomicUsize>, usize)>,
}

impl MysqlConnection {
    /// Encrypts and authenticates a connection.
    pub fn begin(channel: Channel, url: &DatabaseUrl, tls: Option<&Tls>, host: &Host) -> Result<Self, Failure> {
        let (limits, probe) = (channel.limits(), channel.probe());
        let mut packets = Packets::new(channel);
        let payload = packets.read()?;
        if payload.first() == Some(&0xff) {
            return Err(error(&payload));
        }
        let greeting = greeting(&payload)?;
        let server = greeting.capabilities();
        let mut capabilities = CapabilityFlags::CLIENT_PROTOCOL_41
            | CapabilityFlags::CLIENT_SECURE_CONNECTION
            | CapabilityFlags::CLIENT_PLUGIN_AUTH
            | CapabilityFlags::CLIENT_LONG_PASSWORD
            | CapabilityFlags::CLIENT_TRANSACTIONS
            | CapabilityFlags::CLIENT_CONNECT_WITH_DB
            // So that an `UPDATE` counts the rows that it matched, not those that it changed.
            | CapabilityFlags::CLIENT_FOUND_ROWS;
        if !server.contains(capabilities - CapabilityFlags::CLIENT_LONG_PASSWORD) {
            return Err(Failure::other("the server is too old"));
        }
        // As PostgreSQL does, none on a Unix socket.
        let tls = tls.filter(|_| matches!(host, Host::Tcp { .. }));
        if let Some(tls) = tls.filter(|tls| tls.mode != TlsMode::Prefer || server.contains(CapabilityFlags::CLIENT_SSL))
        {
            if !server.contains(CapabilityFlags::CLIENT_SSL) {
                return Err(Failure::other("the server does not support TLS; only `sslmode=disable` connects without"));
            }
            capabilities |= CapabilityFlags::CLIENT_SSL;
            packets.write(&serialized(&SslRequest::new(capabilities, 1 << 24, UTF8MB4)))?;
            packets = packets.encrypt(|channel| tls.start(channel, host))?;
        }
        let password = url.password.as_ref().map(Secret::expose);
        let nonce = greeting.nonce();
        let is_verified = |tls: &Tls| matches!(tls.mode, TlsMode::VerifyCa | TlsMode::VerifyFull);
        let is_trusted = host.is_local() || tls.is_some_and(is_verified);
        let plugin = match greeting.auth_plugin() {
            Some(AuthPlugin::CachingSha2Password) if is_trusted => AuthPlugin::CachingSha2Password,
            // The server switches to that of the user.
            _ => AuthPlugin::MysqlNativePassword,
        };
        let response = HandshakeResponse::new(
            Some(scramble(&plugin, password, &nonce, is_trusted)?),
            (8, 0, 0),
            Some(url.user.as_bytes()),
            Some(url.database.as_bytes()),
            Some(plugin.clone()),
            capabilities,
            None,
            1 << 24,
        );
        packets.write(&serialized(&response))?;
        let is_mariadb = greeting.server_version_str().contains("MariaDB");
        finish(&mut packets, plugin, password, nonce, is_trusted)?;
        Ok(MysqlConnection {
            packets,
            limits,
            probe,
            capabilities,
            is_mariadb,
            prepared: HashMap::new(),
            next_host: None,
        })
    }

    pub fn is_mariadb(&self) -> bool {
        self.is_mariadb
    }

    /// After a statement that cannot be executed here, `next` is tried first.
    pub fn set_next_host(&mut self, first: &Arc<AtomicUsize>, next: usize) {
        self.next_host = Some((first.clone(), next));
    }

    /// Sends a command.
    fn command(&mut self, payload: &[u8]) -> Result<(), Failure> {
        self.packets.restart();
        self.packets.write(payload)
    }

    /// Returns the number of a prepared statement.
    fn prepare(&mut self, sql: &str) -> Result<u32, Failure> {
        if let Some(number) = self.prepared.get(sql) {
            return Ok(*number);
        }
        self.command(&[&[COM_STMT_PREPARE], sql.as_bytes()].concat())?;
        let payload = self.packets.read()?;
        if payload.first() == Some(&0xff) {
            return Err(error(&payload));
        }
        let statement: StmtPacket = parse(&payload, ())?;
        for count in [statement.num_params(), statement.num_columns()] {
            if count > 0 {
                self.definitions(count.into())?;
            }
        }
        if self.prepared.len() == MAX_PREPARED {
            for (_, number) in std::mem::take(&mut self.prepared) {
                // Has no response.
                self.command(&[&[COM_STMT_CLOSE][..], &number.to_le_bytes()].concat())?;
            }
        }
        self.prepared.insert(sql.to_owned(), statement.statement_id());
        Ok(statement.statement_id())
    }

    /// Reads the definitions of columns or parameters.
    fn definitions(&mut self, count: usize) -> Result<Arc<[Column]>, Failure> {
        if count > MAX_COLUMNS {
            return Err(odd());
        }
        let definition = |_| parse(&self.packets.read()?, ());
        let columns: Vec<Column> = (0..count).map(definition).collect::<Result<_, Failure>>()?;
        match is_eof(&self.packets.read()?) {
            true => Ok(columns.into()),
            false => Err(odd()),
        }
    }

    /// Reads the response to a statement.
    fn outcome<P>(&mut self) -> Result<Outcome, Failure>
    where
        for<'a> RowDeserializer<ServerSide, P>: MyDeserialize<'a, Ctx = Arc<[Column]>>,
    {
        let payload = self.packets.read()?;
        let count = match payload.as_slice() {
            [0 | 0xff, ..] => {
                let ok = ok(&payload, self.capabilities)?;
                let inserted = ok.last_insert_id().and_then(|id| i64::try_from(id).ok());
                return Ok(Outcome { rows: Vec::new(), matched: ok.affected_rows(), inserted });
            }
            // The server never gets a file of this machine.
            [count @ 1..=64] => usize::from(*count),
            _ => return Err(odd()),
        };
        let columns = self.definitions(count)?;
        let mut rows = Vec::new();
        loop {
            let payload = self.packets.read()?;
            if is_eof(&payload) {
                return Ok(Outcome { rows, ..Outcome::default() });
            }
            if payload.first() == Some(&0xff) {
                return Err(error(&payload));
            }
            if rows.len() == MAX_ROWS {
                return Err(odd());
            }
            let row: RowDeserializer<ServerSide, P> = parse(&payload, columns.clone())?;
            let values = row.into_inner().unwrap();
            let values = values.into_iter().zip(columns.iter()).map(|(value, column)| value_of(value, column));
            rows.push(values.collect::<Result<_, _>>()?);
        }
    }
}

impl Connection for MysqlConnection {
    fn run(&mut self, statement: &Statement, deadline: Deadline) -> Result<Outcome, Failure> {
        self.limits.begin(deadline);
        let outcome = self.execute(statement);
        if let (Err(Failure { kind: FailureKind::ReadOnly, .. }), Some((first, next))) = (&outcome, &self.next_host) {
            first.store(*next, Ordering::Relaxed);
        }
        outcome
    }

    fn probe(&self) -> Option<&TcpStream> {
        self.probe.as_ref()
    }

    fn close(mut self) {
        self.limits.begin(Deadline::after(CLOSE_TIMEOUT));
        let _ = self.command(&[COM_QUIT]);
    }
}

impl MysqlConnection {
    fn execute(&mut self, statement: &Statement) -> Result<Outcome, Failure> {
        if statement.values.is_empty() {
            self.command(&[&[COM_QUERY], statement.sql.as_bytes()].concat())?;
            return self.outcome::<Text>();
        }
        let number = self.prepare(&statement.sql)?;
        let values: Vec<MysqlValue> = statement.values.iter().map(parameter).collect();
        let (request, _) = ComStmtExecuteRequestBuilder::new(number).build(&values);
        self.command(&serialized(&request))?;
        self.outcome::<Binary>()
    }
}

/// Reads the first packet of a server.
fn greeting(payload: &[u8]) -> Result<HandshakePacket<'_>, Failure> {
    // The length of the random bytes is behind the version and 20 bytes; mysql_common calculates with eight bits.
    let version = payload.iter().skip(1).position(|byte| *byte == 0).ok_or_else(odd)?;
    let length = payload.get(1 + version + 1 + 20).copied().ok_or_else(odd)?;
    if payload.first() != Some(&10) || length > 64 {
        return Err(odd());
    }
    parse(payload, ())
}

fn serialized(packet: &impl MySerialize) -> Vec<u8> {
    let mut payload = Vec::new();
    packet.serialize(&mut payload);
    payload
}

fn parameter(value: &Value) -> MysqlValue {
    match value {
        Value::Text(Some(text)) => MysqlValue::Bytes(text.clone().into_bytes()),
        Value::Integer(Some(number)) | Value::Time(Some(number)) => MysqlValue::Int(*number),
        Value::Boolean(Some(flag)) => MysqlValue::Int(i64::from(*flag)),
        Value::Text(None) | Value::Integer(None) | Value::Boolean(None) | Value::Time(None) => MysqlValue::NULL,
    }
}

fn value_of(value: MysqlValue, column: &Column) -> Result<Value, Failure> {
    let is_integer = matches!(
        column.column_type(),
        ColumnType::MYSQL_TYPE_TINY
            | ColumnType::MYSQL_TYPE_SHORT
            | ColumnType::MYSQL_TYPE_INT24
            | ColumnType::MYSQL_TYPE_LONG
            | ColumnType::MYSQL_TYPE_LONGLONG
    );
    let other = || Failure::other("a column has another type, or is not UTF-8");
    Ok(match value {
        MysqlValue::NULL => Value::Text(None),
        MysqlValue::Int(number) => Value::integer(number),
        MysqlValue::UInt(number) => Value::integer(i64::try_from(number).map_err(|_| other())?),
        MysqlValue::Bytes(bytes) => {
            let text = String::from_utf8(bytes).map_err(|_| other())?;
            if is_integer { Value::integer(text.parse().map_err(|_| other())?) } else { Value::text(text) }
        }
        _ => return Err(other()),
    })
}
