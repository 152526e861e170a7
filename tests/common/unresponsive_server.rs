//! Servers that count connections and never respond, or never end their response.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the server does with a connection.
#[derive(Clone, Copy)]
pub enum Behavior {
    /// Leaves it open and sends nothing.
    Silent,
    /// Sends a body without end.
    Endless,
}

/// A listening port on loopback. Its connections are closed with it.
pub struct UnresponsiveServer {
    pub addr: SocketAddr,
    seen: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UnresponsiveServer {
    pub fn start(behavior: Behavior) -> UnresponsiveServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let (seen, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen_by_thread, stopped) = (seen.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                seen_by_thread.fetch_add(1, Ordering::SeqCst);
                let Ok(stream) = stream else { continue };
                match behavior {
                    Behavior::Silent => open.push(stream),
                    Behavior::Endless => drop(std::thread::spawn(move || send_endless(stream))),
                }
            }
        });
        UnresponsiveServer { addr, seen, stop, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Counts the connections and stops the server.
    pub fn connections(self) -> usize {
        // Connections are accepted in order: when this one is counted, all before it are.
        let _own = TcpStream::connect(self.addr).unwrap();
        for _ in 0..500 {
            if self.seen.load(Ordering::SeqCst) > 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(20));
        self.seen.load(Ordering::SeqCst) - 1
    }
}

impl Drop for UnresponsiveServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.addr);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Writes until the client closes the connection.
fn send_endless(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
    let mut more: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"id\":\"";
    while stream.write_all(more).is_ok() {
        more = &[b'x'; 8192];
    }
}
