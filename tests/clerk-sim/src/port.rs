//! A listening port with a thread per connection. It can be closed and reopened.

use crate::lock;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const BACKLOG: i32 = 1024;

type Handler = Arc<dyn Fn(TcpStream) + Send + Sync>;

/// A port and the handler of its connections. Closes the port and the connections when dropped.
pub struct Port {
    addr: SocketAddr,
    /// Bound but not listening: no other process gets the port while it is closed.
    _reservation: Option<Socket>,
    running: Mutex<Option<Running>>,
    handler: Handler,
    connections: Arc<Connections>,
}

struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// The open connections, so that they can be shut down from another thread.
#[derive(Default)]
struct Connections {
    next_id: AtomicU64,
    streams: Mutex<HashMap<u64, TcpStream>>,
}

impl Port {
    /// Opens a port; port 0 lets the kernel choose one.
    pub fn open(addr: SocketAddr, handler: impl Fn(TcpStream) + Send + Sync + 'static) -> io::Result<Port> {
        let reservation = bound_socket(addr)?;
        let addr = reservation.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        // Only on Linux can two sockets be bound to one address while only one of them listens.
        let reservation = cfg!(target_os = "linux").then_some(reservation);
        let port = Port {
            addr,
            _reservation: reservation,
            running: Mutex::new(None),
            handler: Arc::new(handler),
            connections: Arc::default(),
        };
        port.set_down(false)?;
        Ok(port)
    }

    /// Returns the address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the port and its connections, or reopens the port. A closed port refuses connections.
    pub fn set_down(&self, down: bool) -> io::Result<()> {
        let mut running = lock(&self.running);
        match (down, running.take()) {
            (true, Some(active)) => {
                active.stop.store(true, Ordering::SeqCst);
                // Connects so that accept() returns.
                let _ = TcpStream::connect_timeout(&self.connectable(), Duration::from_secs(2));
                let _ = active.thread.join();
                self.connections.shut_down();
            }
            (false, None) => *running = Some(self.listen()?),
            (_, unchanged) => *running = unchanged,
        }
        Ok(())
    }

    fn connectable(&self) -> SocketAddr {
        let mut addr = self.addr;
        match addr.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        addr
    }

    fn listen(&self) -> io::Result<Running> {
        let socket = bound_socket(self.addr)?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let stop = Arc::new(AtomicBool::new(false));
        let (handler, connections, stopped) = (self.handler.clone(), self.connections.clone(), stop.clone());
        let accept = move || {
            loop {
                let accepted = listener.accept();
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                match accepted {
                    Ok((stream, _)) => connections.serve(stream, &handler),
                    // For example out of file descriptors: do not spin.
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        };
        let thread = thread::Builder::new().name("sim-accept".to_owned()).spawn(accept)?;
        Ok(Running { stop, thread })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let _ = self.set_down(true);
    }
}

impl Connections {
    fn serve(self: &Arc<Self>, stream: TcpStream, handler: &Handler) {
        let _ = stream.set_nodelay(true);
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        if let Ok(clone) = stream.try_clone() {
            lock(&self.streams).insert(id, clone);
        }
        let (connections, handler) = (self.clone(), handler.clone());
        let serve = move || {
            // The connection closes only when its clone is removed, too.
            let _remove = RemoveOnDrop { connections: &connections, id };
            handler(stream);
        };
        if thread::Builder::new().name("sim-connection".to_owned()).spawn(serve).is_err() {
            lock(&self.streams).remove(&id);
        }
    }

    fn shut_down(&self) {
        for (_, stream) in lock(&self.streams).drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

struct RemoveOnDrop<'a> {
    connections: &'a Connections,
    id: u64,
}

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        lock(&self.connections.streams).remove(&self.id);
    }
}

fn bound_socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(addr))?;
    Ok(socket)
}
