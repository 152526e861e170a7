//! A server that replies slowly, and too much.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

const PAUSE: Duration = Duration::from_millis(80);

/// Replies to commands that read entries: each reply is late, and longer than any of this library's.
fn serve(mut stream: TcpStream) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        if buffer[..count].windows(4).any(|word| word == b"PING") {
            stream.write_all(b"+PONG\r\n").ok()?;
            continue;
        }
        std::thread::sleep(PAUSE);
        let length = 64 << 20;
        stream.write_all(format!("*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nm\r\n${length}\r\n").as_bytes()).ok()?;
        let filler = [b'x'; 65_536];
        (0..length / filler.len()).try_for_each(|_| stream.write_all(&filler)).ok()?;
    }
}

#[test]
fn read_of_entries_that_are_too_long_ends_in_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().take(20).flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    let redis = Redis::new(&RedisConfig { url: &url, ca_pem: None }).unwrap();
    let timeout = Duration::from_millis(150);
    let begun = Instant::now();
    let read = redis.read("s", "0-1", Duration::ZERO, timeout);
    assert!(begun.elapsed() < timeout * 2, "{:?} {read:?}", begun.elapsed());
    assert!(matches!(read, Err(EngineError::Unavailable(_))), "{read:?}");
}
