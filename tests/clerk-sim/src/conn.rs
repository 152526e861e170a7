//! A connection, plain or TLS, and how a response is sent on it.

use crate::fault::Fault;
use crate::http::Response;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of a client.
pub enum Conn {
    /// HTTP
    Plain(TcpStream),
    /// HTTPS
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Conn {
    /// Performs the TLS handshake.
    pub fn with_tls(mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Conn> {
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        stream.set_read_timeout(None)?;
        Ok(Conn::Tls(Box::new(StreamOwned::new(tls, stream))))
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Conn::Plain(stream) => stream,
            Conn::Tls(stream) => &stream.sock,
        }
    }

    /// Closes the connection with a TCP reset.
    pub fn reset(self) {
        // With a linger time of zero, close() sends a reset.
        let _ = SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO));
    }

    /// Closes the connection in order.
    pub fn close(mut self) {
        if let Conn::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        let _ = self.tcp().shutdown(Shutdown::Write);
        drain(self.tcp());
    }
}

/// Reads what the client still sends, within limits: closing with unread bytes would send a reset.
fn drain(mut tcp: &TcpStream) {
    let _ = tcp.set_read_timeout(Some(Duration::from_millis(200)));
    let mut buffer = [0; 4096];
    for _ in 0..64 {
        if !matches!(tcp.read(&mut buffer), Ok(count) if count > 0) {
            return;
        }
    }
}

impl Read for Conn {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Conn::Plain(stream) => stream.read(into),
            Conn::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Conn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Conn::Plain(stream) => stream.write(bytes),
            Conn::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Conn::Plain(stream) => stream.flush(),
            Conn::Tls(stream) => stream.flush(),
        }
    }
}

/// Sends a response with a fault applied; calls `ready` before the last bytes are sent.
///
/// Returns whether the connection can be reused.
pub fn send(
    conn: &mut Conn,
    response: &Response,
    fault: Option<&Fault>,
    keep_alive: bool,
    ready: impl FnOnce(),
) -> io::Result<bool> {
    let no_fault = Fault::default();
    let fault = fault.unwrap_or(&no_fault);
    let keep_alive = keep_alive && fault.truncate.is_none() && !response.has_header("connection", "close");
    let has_no_body = matches!(response.status, 204 | 304);
    let framing = match (has_no_body, fault.chunked) {
        (true, _) => String::new(),
        (_, true) => "Transfer-Encoding: chunked".to_owned(),
        _ => format!("Content-Length: {}", response.body.len()),
    };
    let head = response.head(&framing, keep_alive);
    let sent_len = fault.truncate.unwrap_or(usize::MAX).min(response.body.len());
    let body = match (has_no_body, fault.chunked) {
        (true, _) => Vec::new(),
        (_, true) => chunks(&response.body[..sent_len], fault.truncate.is_none()),
        _ => response.body[..sent_len].to_vec(),
    };
    if fault.drip_ms == 0 {
        ready();
        conn.write_all(&[head, body].concat())?;
        conn.flush()?;
        return Ok(keep_alive);
    }
    let pause = Duration::from_millis(fault.drip_ms);
    let slow = if fault.drip_head {
        [head, body].concat()
    } else {
        conn.write_all(&head)?;
        conn.flush()?;
        body
    };
    let mut ready = Some(ready);
    for (index, byte) in slow.iter().enumerate() {
        if index + 1 == slow.len()
            && let Some(ready) = ready.take()
        {
            ready();
        }
        conn.write_all(&[*byte])?;
        conn.flush()?;
        thread::sleep(pause);
    }
    if let Some(ready) = ready {
        ready();
    }
    Ok(keep_alive)
}

/// Returns the chunked coding of a body, in small chunks, so that a client has to join several.
fn chunks(body: &[u8], finished: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(100) {
        out.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    if finished {
        out.extend_from_slice(b"0\r\n\r\n");
    }
    out
}
