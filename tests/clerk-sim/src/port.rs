//! A listening port with a thread per connection, which can be closed and opened again.

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

/// A port and what is done with its connections. Dropping it closes all.
pub struct Port {
    addr: SocketAddr,
    /// Bound but not listening: nobody else gets the port while it is closed.
    _holder: Option<Socket>,
    running: Mutex<Option<Running>>,
    handler: Handler,
    open: Arc<Open>,
}

struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// The connections that are open, so that they can be shut from outside.
#[derive(Default)]
struct Open {
    next: AtomicU64,
    streams: Mutex<HashMap<u64, TcpStream>>,
}

impl Port {
    /// Opens a port; port 0 lets the kernel choose.
    pub fn open(addr: SocketAddr, handler: impl Fn(TcpStream) + Send + Sync + 'static) -> io::Result<Port> {
        let holder = bound_socket(addr)?;
        let addr = holder.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        // Only Linux lets two sockets be bound to one address as long as but one of them listens.
        let holder = cfg!(target_os = "linux").then_some(holder);
        let port =
            Port { addr, _holder: holder, running: Mutex::new(None), handler: Arc::new(handler), open: Arc::default() };
        port.set_down(false)?;
        Ok(port)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the port and its connections, so that clients are refused, or opens it again.
    pub fn set_down(&self, down: bool) -> io::Result<()> {
        let mut running = lock(&self.running);
        match (down, running.take()) {
            (true, Some(was)) => {
                was.stop.store(true, Ordering::SeqCst);
                // A connection of our own gets the thread out of accept().
                let _ = TcpStream::connect_timeout(&self.reachable(), Duration::from_secs(2));
                let _ = was.thread.join();
                self.open.shut_all();
            }
            (false, None) => *running = Some(self.listen()?),
            (_, unchanged) => *running = unchanged,
        }
        Ok(())
    }

    fn reachable(&self) -> SocketAddr {
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
        let (handler, open, stopped) = (self.handler.clone(), self.open.clone(), stop.clone());
        let accept = move || {
            loop {
                let accepted = listener.accept();
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                match accepted {
                    Ok((stream, _)) => open.serve(stream, &handler),
                    // Out of file descriptors, say: do not spin.
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

impl Open {
    fn serve(self: &Arc<Self>, stream: TcpStream, handler: &Handler) {
        let _ = stream.set_nodelay(true);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        if let Ok(twin) = stream.try_clone() {
            lock(&self.streams).insert(id, twin);
        }
        let (open, handler) = (self.clone(), handler.clone());
        let serve = move || {
            // The connection closes only when its twin in the registry goes too.
            let _forget = Forget { open: &open, id };
            handler(stream);
        };
        if thread::Builder::new().name("sim-connection".to_owned()).spawn(serve).is_err() {
            lock(&self.streams).remove(&id);
        }
    }

    fn shut_all(&self) {
        for (_, stream) in lock(&self.streams).drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

struct Forget<'a> {
    open: &'a Open,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.open.streams).remove(&self.id);
    }
}

fn bound_socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(addr))?;
    Ok(socket)
}
