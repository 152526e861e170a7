//! Connections to database servers: TCP or Unix sockets, with or without TLS. Every read and write ends by a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use socket2::{Domain, SockAddr, Socket as RawSocket, Type};

use super::Failure;
use super::url::{DatabaseUrl, Host, TlsMode};
use crate::api::{CachingResolver, TransportError, client_config, of_rustls, server_verifier};
use crate::clock::Deadline;

/// How many bytes a server may send while a connection is opened, or for one statement.
pub(crate) const MAX_READ: usize = 1 << 20;
/// How often it may answer. tokio-postgres asks for types that it does not know, and for those that they consist of, recursively.
const MAX_ANSWERS: u32 = 32;

/// What limits a channel; shared with the driver that owns the channel.
#[derive(Debug)]
pub struct Limits {
    base: Instant,
    deadline_ns: AtomicU64,
    /// How many bytes may still be read.
    bytes: AtomicUsize,
    /// How many answers may still be read.
    answers: AtomicU32,
    /// Whether something was sent since the last read.
    is_asked: AtomicBool,
    /// Whether the next read through [`Channel::read_if_permitted`] may wait.
    may_wait: AtomicBool,
}

impl Limits {
    fn new(deadline: Deadline) -> Arc<Self> {
        let limits = Limits {
            base: Instant::now(),
            deadline_ns: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            answers: AtomicU32::new(0),
            is_asked: AtomicBool::new(false),
            may_wait: AtomicBool::new(false),
        };
        limits.begin(deadline);
        Arc::new(limits)
    }

    /// Begins a statement: sets its deadline, and how much the server may send for it.
    pub fn begin(&self, deadline: Deadline) {
        self.bytes.store(MAX_READ, Ordering::Relaxed);
        self.answers.store(MAX_ANSWERS, Ordering::Relaxed);
        let after = deadline.instant().saturating_duration_since(self.base);
        self.deadline_ns.store(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Permits one read to wait.
    pub fn permit_wait(&self) {
        self.may_wait.store(true, Ordering::Relaxed);
    }

    pub fn forbid_wait(&self) {
        self.may_wait.store(false, Ordering::Relaxed);
    }

    /// Returns how many bytes the next read may have.
    fn readable(&self) -> io::Result<usize> {
        let answers = self.answers.load(Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed);
        if self.is_asked.swap(false, Ordering::Relaxed) {
            self.answers.store(answers.saturating_sub(1), Ordering::Relaxed);
        }
        if answers == 0 || bytes == 0 { Err(io::Error::other(Failure::excess())) } else { Ok(bytes) }
    }

    fn count(&self, bytes: usize) {
        self.bytes.store(self.bytes.load(Ordering::Relaxed).saturating_sub(bytes), Ordering::Relaxed);
    }

    fn remaining(&self) -> io::Result<Duration> {
        let deadline = self.base + Duration::from_nanos(self.deadline_ns.load(Ordering::Relaxed));
        match deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(ErrorKind::TimedOut.into()),
            remaining => Ok(remaining),
        }
    }
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket whose reads and writes end by the deadline.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    limits: Arc<Limits>,
}

/// Runs a call of the system with the time that is left, again if a signal has interrupted it.
fn within<T>(limits: &Limits, mut run: impl FnMut(Option<Duration>) -> io::Result<T>) -> io::Result<T> {
    loop {
        match run(Some(limits.remaining()?)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A timeout of the system looks like a call that would block.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
            done => return done,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Socket { stream, limits } = self;
        let most = limits.readable()?.min(buffer.len());
        let count = within(limits, |remaining| match stream {
            Stream::Tcp(stream) => stream.set_read_timeout(remaining).and_then(|()| stream.read(&mut buffer[..most])),
            Stream::Unix(stream) => stream.set_read_timeout(remaining).and_then(|()| stream.read(&mut buffer[..most])),
        })?;
        limits.count(count);
        Ok(count)
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let Socket { stream, limits } = self;
        limits.is_asked.store(true, Ordering::Relaxed);
        within(limits, |remaining| match stream {
            Stream::Tcp(stream) => stream.set_write_timeout(remaining).and_then(|()| stream.write(buffer)),
            Stream::Unix(stream) => stream.set_write_timeout(remaining).and_then(|()| stream.write(buffer)),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection, encrypted or not.
#[derive(Debug)]
pub enum Channel {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Channel {
    fn socket(&self) -> &Socket {
        match self {
            Channel::Plain(socket) => socket,
            Channel::Tls(stream) => &stream.sock,
        }
    }

    pub fn limits(&self) -> Arc<Limits> {
        self.socket().limits.clone()
    }

    pub fn is_tls(&self) -> bool {
        matches!(self, Channel::Tls(_))
    }

    /// Whether the server takes the connection for one that cannot be read between: then it expects the password itself.
    pub fn is_private(&self) -> bool {
        self.is_tls() || matches!(self.socket().stream, Stream::Unix(_))
    }

    /// Returns a second handle of the socket, with which [`is_quiet`] finds out whether the server has closed it.
    pub fn probe(&self) -> Option<TcpStream> {
        match &self.socket().stream {
            Stream::Tcp(stream) => stream.try_clone().ok(),
            Stream::Unix(_) => None,
        }
    }

    /// Reads what has been received; waits only if that is permitted, and then takes the permission back.
    pub fn read_if_permitted(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        if let Channel::Tls(stream) = self {
            match stream.conn.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return Some(read),
            }
        }
        self.socket().limits.may_wait.swap(false, Ordering::Relaxed).then(|| self.read(buffer))
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Channel::Plain(socket) => socket.read(buffer),
            Channel::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Channel {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Channel::Plain(socket) => socket.write(buffer),
            Channel::Tls(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Channel::Plain(socket) => socket.flush(),
            Channel::Tls(stream) => stream.flush(),
        }
    }
}

/// Returns whether an idle connection is open and the server has sent nothing: what it sends unasked is that it closes.
pub fn is_quiet(socket: &TcpStream) -> bool {
    let read = socket.set_nonblocking(true).and_then(|()| socket.peek(&mut [0]));
    let is_restored = socket.set_nonblocking(false).is_ok();
    is_restored && read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Waits no longer than the deadline for a server that accepts no connection.
fn connect_unix(path: &Path, limits: &Limits) -> io::Result<UnixStream> {
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    within(limits, |remaining| {
        socket.set_write_timeout(remaining)?;
        socket.connect(&address)
    })?;
    Ok(OwnedFd::from(socket).into())
}

/// Connects to servers.
#[derive(Debug)]
pub struct Dialer {
    resolver: CachingResolver,
    process: AtomicU32,
}

impl Default for Dialer {
    fn default() -> Self {
        Dialer { resolver: CachingResolver::default(), process: AtomicU32::new(std::process::id()) }
    }
}

impl Dialer {
    /// Connects to one server.
    pub fn connect(&self, host: &Host, deadline: Deadline) -> Result<Channel, Failure> {
        let limits = Limits::new(deadline);
        let stream = match host {
            Host::Unix(path) => Stream::Unix(connect_unix(path, &limits)?),
            Host::Tcp { name, port } => Stream::Tcp(self.connect_tcp(name, *port, deadline)?),
        };
        Ok(Channel::Plain(Socket { stream, limits }))
    }

    fn connect_tcp(&self, name: &str, port: u16, deadline: Deadline) -> Result<TcpStream, Failure> {
        let process = std::process::id();
        if self.process.swap(process, Ordering::Relaxed) != process {
            self.resolver.reset();
        }
        let addresses = match name.parse::<IpAddr>() {
            Ok(ip) => vec![(ip, port).into()],
            Err(_) => self.resolver.addresses(&format!("{name}:{port}"), deadline).map_err(Failure::of_transport)?,
        };
        let mut failure = Failure::of_transport(TransportError::NameResolution);
        for (at, address) in addresses.iter().enumerate() {
            // An address that does not answer leaves time for the next one.
            let share = deadline.remaining() / u32::try_from(addresses.len() - at).unwrap_or(1);
            if share.is_zero() {
                return Err(Failure::timed_out());
            }
            match TcpStream::connect_timeout(address, share) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => failure = error.into(),
            }
        }
        self.resolver.clear();
        Err(failure)
    }
}

/// The TLS of a server.
#[derive(Debug)]
pub struct Tls {
    pub mode: TlsMode,
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Returns `None` if the URL forbids TLS.
    pub fn new(url: &DatabaseUrl) -> Result<Option<Self>, TransportError> {
        let verifier: Arc<dyn ServerCertVerifier> = match url.tls {
            TlsMode::Disable => return Ok(None),
            TlsMode::VerifyFull => server_verifier(url.roots.as_ref())?,
            TlsMode::VerifyCa => Arc::new(AnyName(server_verifier(url.roots.as_ref())?)),
            TlsMode::Prefer | TlsMode::Require => Arc::new(Unverified),
        };
        Ok(Some(Tls { mode: url.tls, config: Arc::new(client_config(verifier)?) }))
    }

    /// Encrypts a connection to which the server has agreed to.
    pub fn start(&self, channel: Channel, host: &Host) -> Result<Channel, Failure> {
        let (Channel::Plain(mut sock), Host::Tcp { name, .. }) = (channel, host) else {
            return Err(Failure::other("TLS needs a plain connection to a host"));
        };
        let name = ServerName::try_from(name.clone()).map_err(|_| Failure::other("the host name is invalid"))?;
        let failed = |error: &rustls::Error| Failure::of_transport(of_rustls(error));
        let mut conn = ClientConnection::new(self.config.clone(), name).map_err(|error| failed(&error))?;
        while conn.is_handshaking() {
            conn.complete_io(&mut sock)?;
        }
        Ok(Channel::Tls(Box::new(StreamOwned { conn, sock })))
    }
}

/// Accepts certificates of trusted authorities for any host (`verify-ca`).
#[derive(Debug)]
struct AnyName(Arc<dyn ServerCertVerifier>);

/// Accepts any certificate (`require`, `prefer`): who only listens cannot read along.
#[derive(Debug)]
struct Unverified;

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Names are compared last, after the chain and its validity.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
