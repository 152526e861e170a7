//! Servers that are no Clerk: one that counts who comes, one that never answers, one that never stops.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is done with a connection.
#[derive(Clone, Copy)]
pub enum Manner {
    /// Kept open without a word.
    Silent,
    /// Answered with a body that has no end.
    Endless,
}

/// A listening port on loopback; its connections end with it.
pub struct Trap {
    pub addr: SocketAddr,
    seen: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Trap {
    pub fn open(manner: Manner) -> Trap {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let (seen, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen_there, stopped) = (seen.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                seen_there.fetch_add(1, Ordering::SeqCst);
                let Ok(stream) = stream else { continue };
                match manner {
                    Manner::Silent => kept.push(stream),
                    Manner::Endless => drop(std::thread::spawn(move || pour(stream))),
                }
            }
        });
        Trap { addr, seen, stop, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// How many connections there were. May be asked once.
    pub fn seen(self) -> usize {
        // Connections are accepted in order: when ours has come, all before it have been counted.
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

impl Drop for Trap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // A connection of our own gets the thread out of accept().
        let _ = TcpStream::connect(self.addr);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Writes until the other side has had enough.
fn pour(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
    let mut more: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"id\":\"";
    while stream.write_all(more).is_ok() {
        more = &[b'x'; 8192];
    }
}
