use std::io::Read;
use std::net::{TcpListener, TcpStream};

use socket2::{Domain, Socket, Type};

use super::*;
use crate::clock::Deadline;
use crate::deadline;

fn engine(port: u16) -> Redis {
    Redis::new(&RedisConfig { url: &format!("redis://127.0.0.1:{port}"), ca_pem: None }).unwrap_or_else(|_| panic!())
}

/// Starts a server for one connection after the other.
fn serve(script: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(script));
    port
}

/// Returns the error of a `get`, and how long it took. `left` is what the caller's call has left.
fn failed(engine: &Redis, timeout_ms: u64, left_ms: u64) -> (EngineError, Duration) {
    let [timeout, left] = [timeout_ms, left_ms].map(Duration::from_millis);
    let begun = Instant::now();
    let keys = ["ck1:a".to_owned()];
    let outcome = deadline::within(Deadline::after(left), || engine.get(&keys, timeout.min(left)));
    (outcome.unwrap_err(), begun.elapsed())
}

#[test]
fn connecting_ends_with_the_time_of_the_caller() {
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let full = TcpListener::from(full);
    let address = full.local_addr().unwrap();
    let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
    let _waiting: Vec<TcpStream> = (0..16).map_while(connect).collect();
    // One that accepts and is silent until the client has gone.
    let silent = serve(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    for port in [address.port(), silent] {
        for (timeout_ms, left_ms, most_ms) in [(250, 30, 30), (20, 60, 60), (20, 10_000, 100)] {
            // A busy machine may delay one of them.
            let took = (0..3).map(|_| failed(&engine(port), timeout_ms, left_ms).1).min().unwrap();
            assert!(took < Duration::from_millis(most_ms + 25), "{timeout_ms} {left_ms}: {took:?}");
        }
    }
}
