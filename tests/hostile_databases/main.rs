//! Database servers that send what no server should: calls end in time, with bounded memory, without a panic, and no password is
//! sent in clear.
//!
//! The servers listen on the loopback interface or on a Unix socket and speak as much of the protocols as the store needs.

#![allow(unsafe_code, reason = "signals")]

#[path = "../attacks/allocated.rs"]
mod allocated;
mod mysql;
mod postgres;

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use clerk_auth::internals::open_database;
use clerk_auth::users::UserStore;
use socket2::{Domain, SockAddr, Socket, Type};

const PASSWORD: &str = "correct-horse";
/// The time that a machine under load may take longer.
const SLACK: Duration = Duration::from_secs(10);

/// Starts a server on a port that the kernel picks, with a thread for each connection.
fn serve(script: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = Arc::new(script);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let script = script.clone();
            stream.set_read_timeout(Some(SLACK)).unwrap();
            std::thread::spawn(move || script(stream));
        }
    });
    port
}

/// Sends a message without end. Counts the bytes until the client closes the connection.
fn flood(stream: &mut TcpStream, message: &[u8], sent: &AtomicUsize) {
    let many = message.repeat(65536 / message.len() + 1);
    while stream.write_all(&many).is_ok() {
        sent.fetch_add(many.len(), Ordering::SeqCst);
    }
}

/// What the buffers of two sockets hold at most, beside what the library reads.
const MOST_SENT: usize = 32 << 20;

fn open(url: &str) -> Result<Arc<dyn UserStore>, String> {
    open_in(url, Duration::from_secs(5))
}

fn open_in(url: &str, timeout: Duration) -> Result<Arc<dyn UserStore>, String> {
    open_database(url, timeout).map_err(|error| {
        let message = error.to_string();
        assert!(!message.contains(PASSWORD) && message.len() < 2048, "{message}");
        message
    })
}

#[track_caller]
fn refusal(url: &str) -> String {
    open(url).map(drop).unwrap_err()
}

/// Fails if a call hangs, instead of the whole test.
#[track_caller]
fn ends_within<T: Send + 'static>(limit: Duration, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    std::thread::spawn(move || drop(sender.send(run())));
    receiver.recv_timeout(limit).expect("the call hangs")
}

#[test]
fn unix_socket_that_accepts_nothing_ends_in_time() {
    let folder = std::env::temp_dir().join(format!("clerk-auth-hostile-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(".s.PGSQL.5432");
    let address = SockAddr::unix(&path).unwrap();
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        match socket.connect(&address) {
            Ok(()) => waiting.push(socket),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    for url in [
        format!("postgres://app:{PASSWORD}@/db?host={}", folder.display()),
        format!("mysql://app:{PASSWORD}@localhost/db?socket={}", path.display()),
    ] {
        let begun = Instant::now();
        let message = ends_within(SLACK, move || open_in(&url, Duration::from_millis(300)).map(drop).unwrap_err());
        assert!(message.contains("in time"), "{message}");
        assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
    }
    drop((listener, waiting));
    std::fs::remove_dir_all(folder).unwrap();
}
