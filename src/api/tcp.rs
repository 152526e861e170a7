//! TCP connections for ureq. Each step ends at the deadline of the exchange, and at a shutdown of the agent: ureq itself has
//! nothing to shut down while it connects.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, LazyBuffers, NextTimeout, ShutdownHandle, Transport as UreqTransport,
};

use super::deadline::limited;

/// How long a connection that is being made may take to see a shutdown.
const SLICE: Duration = Duration::from_millis(25);
/// The longest timeout of a system call.
const LONGEST: Duration = Duration::from_secs(3600);
/// The shortest time for one of several addresses.
const MIN_SHARE: Duration = Duration::from_millis(10);

/// A connection that is being made.
#[derive(Default)]
struct Connecting {
    is_cancelled: AtomicBool,
}

impl ShutdownHandle for Connecting {
    fn shutdown(&self) {
        self.is_cancelled.store(true, Ordering::SeqCst);
    }
}

impl Connecting {
    /// Returns the time for the next step, or why there is none.
    fn next_step(&self, until: Instant) -> io::Result<Duration> {
        if self.is_cancelled.load(Ordering::SeqCst) {
            return Err(ErrorKind::NotConnected.into());
        }
        match until.saturating_duration_since(Instant::now()) {
            left if left.is_zero() => Err(ErrorKind::TimedOut.into()),
            left => Ok(left.min(SLICE)),
        }
    }

    /// Connects to one address.
    #[cfg(target_os = "linux")]
    fn connect(&self, address: &SocketAddr, until: Instant) -> io::Result<TcpStream> {
        use socket2::{Domain, Protocol, Socket, Type};
        let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
        let to = (*address).into();
        loop {
            // It limits `connect` as well, which continues when it is called again.
            socket.set_write_timeout(Some(self.next_step(until)?))?;
            match socket.connect(&to) {
                Ok(()) => break,
                Err(error) if is_in_progress(&error) => {}
                Err(error) => return Err(error),
            }
        }
        socket.set_write_timeout(None)?;
        Ok(socket.into())
    }

    #[cfg(not(target_os = "linux"))]
    fn connect(&self, address: &SocketAddr, until: Instant) -> io::Result<TcpStream> {
        self.next_step(until)?;
        TcpStream::connect_timeout(address, until.saturating_duration_since(Instant::now()))
    }
}

#[cfg(target_os = "linux")]
fn is_in_progress(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
        || matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EALREADY))
}

/// Connects to the first address that accepts. One that does not respond leaves time for the next.
pub fn connect(details: &ConnectionDetails<'_>, timeout: NextTimeout) -> Result<TcpTransport, Error> {
    let connecting = Arc::new(Connecting::default());
    let handle: Weak<dyn ShutdownHandle> = Arc::downgrade(&connecting) as _;
    (details.register_shutdown)(handle)?;
    let until = Instant::now() + (*timeout.after).min(LONGEST);
    let mut failure = io::Error::from(ErrorKind::ConnectionRefused);
    for (at, address) in details.addrs.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let is_last = at + 1 == details.addrs.len();
        let share = if is_last { left } else { (left / 2).max(MIN_SHARE).min(left) };
        match connecting.connect(address, Instant::now() + share) {
            Ok(stream) => return TcpTransport::new(stream, details),
            Err(error) => failure = error,
        }
        if connecting.is_cancelled.load(Ordering::SeqCst) {
            break;
        }
    }
    Err(match failure.kind() {
        ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => failure.into(),
    })
}

/// A TCP connection.
#[derive(Debug)]
pub struct TcpTransport {
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
}

impl TcpTransport {
    fn new(stream: TcpStream, details: &ConnectionDetails<'_>) -> Result<Self, Error> {
        if details.config.no_delay() {
            stream.set_nodelay(true)?;
        }
        let stream = Arc::new(stream);
        let handle: Weak<dyn ShutdownHandle> = Arc::downgrade(&stream) as _;
        (details.register_shutdown)(handle)?;
        let (input, output) = (details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(TcpTransport { stream, buffers: LazyBuffers::new(input, output) })
    }
}

/// Repeats a call of the system that a signal has interrupted, with the time that is left. A timeout of the system looks like a call
/// that would block.
fn within<T>(
    limit: impl Fn() -> Result<NextTimeout, Error>,
    mut call: impl FnMut(Duration) -> io::Result<T>,
) -> Result<T, Error> {
    loop {
        let timeout = limit()?;
        // The system rounds less than this down to no timeout at all.
        match call((*timeout.after).clamp(Duration::from_millis(1), LONGEST)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
                return Err(Error::Timeout(timeout.reason));
            }
            done => return Ok(done?),
        }
    }
}

impl UreqTransport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut stream = &*self.stream;
        let mut rest = self.buffers.output().get(..amount).unwrap_or_default();
        while !rest.is_empty() {
            let written = within(
                || limited(timeout),
                |left| stream.set_write_timeout(Some(left)).and_then(|()| stream.write(rest)),
            )?;
            if written == 0 {
                return Err(io::Error::from(ErrorKind::WriteZero).into());
            }
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let mut stream = &*self.stream;
        let input = self.buffers.input_append_buf();
        let amount =
            within(|| limited(timeout), |left| stream.set_read_timeout(Some(left)).and_then(|()| stream.read(input)))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        let mut stream = &*self.stream;
        let is_silent = stream.set_nonblocking(true).is_ok()
            && stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        // What was not asked for is no response.
        is_silent && stream.set_nonblocking(false).is_ok()
    }
}
