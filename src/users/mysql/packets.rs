//! Packets of the MySQL protocol on a channel, and errors of the server.

use std::io::{Read, Write};

use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{CommonOkPacket, ErrPacket, OkPacket, OkPacketDeserializer};
use mysql_common::proto::MyDeserialize;

use crate::users::sql::{Channel, Failure, FailureKind, MAX_READ};

/// A channel with the number of the next packet.
pub struct Packets {
    pub channel: Channel,
    next: u8,
}

impl Packets {
    pub fn new(channel: Channel) -> Self {
        Packets { channel, next: 0 }
    }

    /// Continues on the encrypted channel.
    pub fn encrypt(self, start: impl FnOnce(Channel) -> Result<Channel, Failure>) -> Result<Self, Failure> {
        Ok(Packets { channel: start(self.channel)?, next: self.next })
    }

    /// Begins a command.
    pub fn restart(&mut self) {
        self.next = 0;
    }

    /// Reads exactly one packet, and nothing after it.
    pub fn read(&mut self) -> Result<Vec<u8>, Failure> {
        let mut header = [0; 4];
        self.channel.read_exact(&mut header)?;
        let [low, middle, high, number] = header;
        let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
        if number != self.next || length > MAX_READ {
            return Err(odd());
        }
        self.next = self.next.wrapping_add(1);
        let mut payload = vec![0; length];
        self.channel.read_exact(&mut payload)?;
        Ok(payload)
    }

    pub fn write(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let length = u32::try_from(payload.len()).ok().filter(|length| *length < 0x00ff_ffff);
        let [low, middle, high, _] = length.ok_or_else(|| Failure::other("a value is too long"))?.to_le_bytes();
        let mut packet = vec![low, middle, high, self.next];
        self.next = self.next.wrapping_add(1);
        packet.extend_from_slice(payload);
        self.channel.write_all(&packet)?;
        self.channel.flush()?;
        Ok(())
    }
}

/// Returns the failure of a packet that does not fit.
pub fn odd() -> Failure {
    Failure::new(FailureKind::Lost, -1, "the server does not speak the MySQL protocol, or sent an unexpected packet")
}

pub fn parse<'a, T: MyDeserialize<'a>>(payload: &'a [u8], context: T::Ctx) -> Result<T, Failure> {
    ParseBuf(payload).parse(context).map_err(|_| odd())
}

/// Reads the end of a command: an OK packet, or an error.
pub fn ok(payload: &[u8], capabilities: CapabilityFlags) -> Result<OkPacket<'_>, Failure> {
    match payload.first() {
        Some(0) => parse::<OkPacketDeserializer<'_, CommonOkPacket>>(payload, capabilities).map(Into::into),
        Some(0xff) => Err(error(payload)),
        _ => Err(odd()),
    }
}

pub fn is_eof(payload: &[u8]) -> bool {
    payload.first() == Some(&0xfe) && payload.len() < 9
}

/// Reads an error packet.
pub fn error(payload: &[u8]) -> Failure {
    // Before the handshake an error has no SQLSTATE.
    let protocol = match payload.get(3) {
        Some(b'#') => CapabilityFlags::CLIENT_PROTOCOL_41,
        _ => CapabilityFlags::empty(),
    };
    let Ok(ErrPacket::Error(error)) = parse::<ErrPacket<'_>>(payload, protocol) else { return odd() };
    let kind = match error.error_code() {
        // ER_DUP_ENTRY, ER_DUP_ENTRY_WITH_KEY_NAME
        1062 | 1586 => FailureKind::Conflict,
        // ER_CON_COUNT_ERROR, ER_CHECKREAD, ER_TOO_MANY_USER_CONNECTIONS, ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK,
        // ER_USER_LIMIT_REACHED, ER_TRANSACTION_ROLLBACK_DURING_COMMIT (group replication)
        1040 | 1020 | 1203 | 1205 | 1213 | 1226 | 3101 => FailureKind::Repeatable,
        // ER_SERVER_SHUTDOWN, ER_NEW_ABORTING_CONNECTION, ER_QUERY_INTERRUPTED, ER_CONNECTION_KILLED (MariaDB),
        // ER_CLIENT_INTERACTION_TIMEOUT, and ER_ABORTING_CONNECTION to ER_NET_WRITE_INTERRUPTED
        1053 | 1152..=1161 | 1184 | 1317 | 1927 | 4031 => FailureKind::Lost,
        // ER_UNKNOWN_COM_ERROR (Galera without quorum), ER_OPTION_PREVENTS_STATEMENT, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION,
        // ER_READ_ONLY_MODE, ER_INNODB_READ_ONLY, ER_INNODB_FORCED_RECOVERY, ER_SERVER_OFFLINE_MODE,
        // ER_RUN_HOOK_ERROR (group replication without quorum)
        1047 | 1290 | 1792 | 1836 | 1874 | 1881 | 3032 | 3100 => FailureKind::ReadOnly,
        // ER_STATEMENT_TIMEOUT of MariaDB, ER_QUERY_TIMEOUT of MySQL
        1969 | 3024 => FailureKind::TimedOut,
        _ => FailureKind::Other,
    };
    Failure::new(kind, error.error_code().into(), format!("{} ({})", error.message_str(), error.error_code()))
}
