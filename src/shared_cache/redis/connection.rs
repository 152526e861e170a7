//! One connection. Commands and replies are those of the crate `redis`; the socket is ours, because a timeout of that crate counts
//! for each read: a server that sends a byte at a time would hold a call for as long as it likes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Parser, Value};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::super::engine::EngineError;
use super::url::{Address, Target};
use crate::api::{TransportError, of_rustls};
use crate::clock::Deadline;

/// The largest reply, in bytes: some keys of the largest value, or some hundred entries of a stream, which are short.
const MAX_REPLY_LEN: usize = 512 * 1024;
/// The most line ends in the replies to commands that are sent together, since each value has at least one and takes more memory than
/// bytes. An entry of a stream has eight, and few are in what is sealed.
const MAX_LINES: usize = 5000;
/// The longest line before the id of a stream's entry.
const MAX_LINE_LEN: usize = 128;

/// A socket whose reads end at one deadline, and after a number of bytes.
struct Socket {
    tcp: TcpStream,
    deadline: Deadline,
    left: usize,
}

impl Socket {
    fn remaining(&self) -> io::Result<Duration> {
        match self.deadline.remaining() {
            left if left.is_zero() => Err(io::ErrorKind::TimedOut.into()),
            // The system rounds less than this down to no timeout at all.
            left => Ok(left.max(Duration::from_millis(1))),
        }
    }

    /// Makes a system call, and makes it again after a signal: those with a timeout are not restarted by the system.
    fn repeat(
        &mut self,
        set_timeout: impl Fn(&TcpStream, Option<Duration>) -> io::Result<()>,
        mut call: impl FnMut(&mut TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            set_timeout(&self.tcp, Some(self.remaining()?))?;
            match call(&mut self.tcp) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("the reply is too long"));
        }
        let length = buffer.len().min(self.left);
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        let read = self.repeat(TcpStream::set_read_timeout, |tcp| tcp.read(buffer))?;
        self.left -= read;
        Ok(read)
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.repeat(TcpStream::set_write_timeout, |tcp| tcp.write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Stream {
    fn socket(&mut self) -> &mut Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(buffer),
            Stream::Tls(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// What was seen of the replies to commands that were sent together.
#[derive(Default)]
struct Seen {
    /// The type of the first value.
    first: Option<u8>,
    last: u8,
    lines: usize,
}

impl Seen {
    fn count(&mut self, bytes: &[u8]) {
        self.first = self.first.or(bytes.first().copied());
        for byte in bytes {
            self.lines += usize::from((self.last, *byte) == (b'\r', b'\n'));
            self.last = *byte;
        }
    }
}

struct Reply<'a> {
    stream: &'a mut Stream,
    seen: &'a mut Seen,
}

impl Read for Reply<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.seen.count(buffer.get(..read).unwrap_or_default());
        if self.seen.lines > MAX_LINES {
            return Err(io::Error::other("the reply has too many values"));
        }
        Ok(read)
    }
}

/// A connection to one server, logged in.
pub struct Connection {
    stream: Stream,
    parser: Parser,
    pub address: Address,
    /// The process that has opened it: a forked child must not use it.
    pid: u32,
}

impl Connection {
    /// Connects, and logs in with the user, the password and the database of `target`, if any.
    pub fn open(
        address: &Address,
        addresses: &[SocketAddr],
        target: Option<&Target>,
        tls: Option<&Arc<ClientConfig>>,
        deadline: Deadline,
    ) -> Result<Self, EngineError> {
        let mut failure = if addresses.is_empty() { TransportError::NameResolution } else { TransportError::Timeout };
        let tcp = addresses.iter().zip((1..=addresses.len()).rev()).find_map(|(address, count)| {
            let left = Some(deadline.share(count).remaining()).filter(|left| !left.is_zero())?;
            TcpStream::connect_timeout(address, left).inspect_err(|error| failure = TransportError::of_io(error)).ok()
        });
        let tcp = tcp.ok_or_else(|| unavailable(&failure))?;
        // A command is one small write: it must not wait for more.
        let _ = tcp.set_nodelay(true);
        let socket = Socket { tcp, deadline, left: MAX_REPLY_LEN };
        let stream = match tls {
            None => Stream::Plain(socket),
            Some(config) => Stream::Tls(Box::new(handshake(address, socket, config)?)),
        };
        let pid = std::process::id();
        let mut connection = Connection { stream, parser: Parser::new(), address: address.clone(), pid };
        if let Some(target) = target {
            connection.log_in(target, deadline)?;
        }
        Ok(connection)
    }

    /// Whether this process has opened it.
    pub fn is_own(&self) -> bool {
        self.pid == std::process::id()
    }

    fn log_in(&mut self, target: &Target, deadline: Deadline) -> Result<(), EngineError> {
        let mut commands = Vec::new();
        if let Some(password) = &target.password {
            let mut command = redis::cmd("AUTH");
            if let Some(user) = &target.username {
                command.arg(user);
            }
            command.arg(password.expose());
            commands.push(command);
        }
        if target.database != 0 {
            commands.push(redis::cmd("SELECT").arg(target.database).take());
        }
        commands.push(redis::cmd("PING"));
        for reply in self.exchange(&commands, deadline)? {
            if let Value::ServerError(error) = &reply {
                return Err(server_error(error));
            }
        }
        Ok(())
    }

    /// Sends a command that reads a stream and returns the id of the first entry of its reply, without the entry: it may be of any
    /// length. The connection must not be used again.
    pub fn first_id(mut self, command: &Cmd, deadline: Deadline) -> Result<Option<String>, EngineError> {
        let socket = self.stream.socket();
        (socket.deadline, socket.left) = (deadline, MAX_REPLY_LEN);
        self.stream
            .write_all(&command.get_packed_command())
            .and_then(|()| self.stream.flush())
            .map_err(|error| of_io(&error))?;
        // `*1`, `*2`, the length and the name of the stream for XREAD; then `*1`, `*2`, the length of the id, and the id.
        for number in 0..8 {
            let line = self.line().map_err(|error| of_io(&error))?;
            match line.as_bytes() {
                _ if is_id(&line) => return Ok(Some(line)),
                b"*0" | b"*-1" | b"$-1" | b"_" if number == 0 => return Ok(None),
                [b'-', ..] => break,
                _ => {}
            }
        }
        Err(nonsense())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            if line.len() >= MAX_LINE_LEN || self.stream.read(&mut byte)? == 0 {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            line.extend(byte);
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Sends commands together and returns their replies. After an error the connection must not be used again.
    pub fn exchange(&mut self, commands: &[Cmd], deadline: Deadline) -> Result<Vec<Value>, EngineError> {
        let mut packed = Vec::new();
        commands.iter().for_each(|command| command.write_packed_command(&mut packed));
        let socket = self.stream.socket();
        (socket.deadline, socket.left) = (deadline, MAX_REPLY_LEN);
        self.stream.write_all(&packed).and_then(|()| self.stream.flush()).map_err(|error| of_io(&error))?;
        let mut replies = Vec::with_capacity(commands.len());
        let mut seen = Seen::default();
        for _ in commands {
            let (parser, mut reply) = (&mut self.parser, Reply { stream: &mut self.stream, seen: &mut seen });
            // What the server sends must not end a request by a panic of the parser.
            let parse = std::panic::AssertUnwindSafe(|| parser.parse_value(&mut reply));
            let Ok(parsed) = std::panic::catch_unwind(parse) else { return Err(nonsense()) };
            replies.push(parsed.map_err(|error| match error.is_io_error() {
                // Values or entries, which are in arrays.
                true if seen.lines > MAX_LINES => nonsense(),
                true if self.stream.socket().left == 0 && seen.first == Some(b'*') => EngineError::TooLong,
                true => of_io(&io::Error::from(if error.is_timeout() {
                    io::ErrorKind::TimedOut
                } else {
                    io::ErrorKind::ConnectionAborted
                })),
                false => nonsense(),
            })?);
        }
        Ok(replies)
    }
}

/// Whether a string is the id of a stream's entry: `<milliseconds>-<number>`.
pub fn is_id(id: &str) -> bool {
    id.split_once('-').is_some_and(|(ms, number)| ms.parse::<u64>().is_ok() && number.parse::<u64>().is_ok())
}

fn handshake(
    address: &Address,
    socket: Socket,
    config: &Arc<ClientConfig>,
) -> Result<StreamOwned<ClientConnection, Socket>, EngineError> {
    let name = ServerName::try_from(address.host.clone()).map_err(|_| unavailable(&TransportError::Certificate))?;
    let connection = ClientConnection::new(config.clone(), name).map_err(|error| unavailable(&of_rustls(&error)))?;
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        if let Err(error) = stream.conn.complete_io(&mut stream.sock) {
            return Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(error) => of_tls(of_rustls(error)),
                None => of_io(&error),
            });
        }
    }
    Ok(stream)
}

/// A certificate that is not valid will not become so by itself, unlike a lost connection.
fn of_tls(error: TransportError) -> EngineError {
    let hint = match error {
        TransportError::CertificateUnknownIssuer | TransportError::CertificateSelfSigned => {
            "; set shared_cache_ca_pem to its authority"
        }
        TransportError::NotTls => "; a server without TLS needs `redis://`",
        _ => "",
    };
    EngineError::Refused(format!("{error}{hint}"))
}

fn unavailable(error: &TransportError) -> EngineError {
    EngineError::Unavailable(error.to_string())
}

fn of_io(error: &io::Error) -> EngineError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => EngineError::Unavailable("no reply in time".into()),
        _ => unavailable(&TransportError::of_io(error)),
    }
}

/// The error of a reply that is not what the command returns.
pub fn nonsense() -> EngineError {
    EngineError::Unavailable("the reply is not one of Redis".into())
}

/// Returns what an error reply means: whether the operation may succeed later.
pub fn server_error(error: &redis::ServerError) -> EngineError {
    let (code, details) = (error.code(), error.details().unwrap_or_default());
    let has = |text: &str| details.to_ascii_lowercase().contains(text);
    match code {
        "NOAUTH" => EngineError::Refused("the engine asks for a password: `redis://:password@host`".into()),
        "WRONGPASS" => EngineError::Refused("the engine rejects the user or the password".into()),
        "NOPERM" => EngineError::Refused(
            "the user lacks a right: it needs GET, MGET, SET, DEL, XADD, XRANGE, XREVRANGE, XREAD, TIME and PING on keys `ck1:*`, and ASKING in a cluster"
                .into(),
        ),
        "DENIED" => EngineError::Refused("the engine is in protected mode and accepts local clients only".into()),
        "WRONGTYPE" => EngineError::Refused("a key of this library has a value of another type".into()),
        _ if has("password") => EngineError::Refused("the engine rejects the password, or needs none".into()),
        _ if has("unknown command") || has("unknown subcommand") => {
            EngineError::Refused("the engine does not know a command; Redis 5 or Valkey is needed".into())
        }
        _ if has("db index") || has("select is not allowed") => {
            EngineError::Refused("the engine has no database of this number".into())
        }
        // Words of the engine, but no data.
        "LOADING" | "BUSY" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "OOM" | "MISCONF" | "TRYAGAIN" => {
            EngineError::Unavailable(format!("the engine replies {code}"))
        }
        _ => EngineError::Unavailable("the engine replies with an error".into()),
    }
}
