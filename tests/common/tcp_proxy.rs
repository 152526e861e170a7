//! A TCP proxy whose target can be changed while the client uses one address.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy)]
pub enum Route {
    To(SocketAddr),
    /// Accepts connections and never responds.
    Silent,
    /// Closes connections at once.
    Closed,
}

struct Inner {
    route: Route,
    open: Vec<TcpStream>,
}

pub struct TcpProxy {
    pub addr: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    connections: Arc<AtomicUsize>,
}

impl TcpProxy {
    pub fn new(route: Route) -> TcpProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let inner = Arc::new(Mutex::new(Inner { route, open: Vec::new() }));
        let proxy = TcpProxy { addr, inner, connections: Arc::default() };
        let (inner, connections) = (Arc::downgrade(&proxy.inner), proxy.connections.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Some(inner) = inner.upgrade() else { return };
                connections.fetch_add(1, Ordering::SeqCst);
                inner.lock().unwrap().forward(stream.unwrap());
            }
        });
        proxy
    }

    /// Changes the target and closes the open connections.
    pub fn set_route(&self, route: Route) {
        let mut inner = self.inner.lock().unwrap();
        inner.route = route;
        for stream in inner.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Counts the connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.set_route(Route::Closed);
        self.inner = Arc::new(Mutex::new(Inner { route: Route::Closed, open: Vec::new() }));
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(self.addr);
    }
}

impl Inner {
    fn forward(&mut self, client: TcpStream) {
        match self.route {
            Route::Closed => {}
            Route::Silent => self.open.push(client),
            Route::To(addr) => {
                let server = TcpStream::connect(addr).unwrap();
                for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    self.open.push(from.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
            }
        }
    }
}
