//! A server that is none of Redis, or one that is: what it sends as the cache that processes share takes little memory.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use clerk_auth::Client;
use clerk_sim::KeyStore;

use super::allocated::bytes_allocated;

/// The length of a reply, which is more than the library reads.
const LEN: usize = 600 * 1024;

/// Starts a server that is friendly until the first command after `PING`, and then sends this.
fn serve(reply: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok).take(8) {
            let reply = reply.clone();
            std::thread::spawn(move || {
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let mut command = [0; 4096];
                let mut next: &[u8] = b"+PONG\r\n";
                while stream.read(&mut command).is_ok_and(|count| count > 0) && stream.write_all(next).is_ok() {
                    next = &reply;
                }
            });
        }
    });
    port
}

#[test]
fn reply_of_many_values_takes_little_memory() {
    let nested = |unit: &str| [unit.repeat(90).as_bytes(), b"_\r\n"].concat();
    for unit in [
        b"*1\r\n_\r\n".to_vec(),
        b"_\r\n".to_vec(),
        b"$-1\r\n".to_vec(),
        b"$0\r\n\r\n".to_vec(),
        b":1\r\n".to_vec(),
        b"*0\r\n".to_vec(),
        b"%1\r\n_\r\n_\r\n".to_vec(),
        b"~1\r\n_\r\n".to_vec(),
        b"+\r\n".to_vec(),
        nested("*1\r\n"),
        nested("~1\r\n"),
    ] {
        let reply = [b"*1000000\r\n", &unit.repeat(LEN / unit.len())[..]].concat();
        let port = serve(reply);
        let builder = Client::builder()
            .jwt_key(KeyStore::built_in().pem("k1"))
            .publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k")
            .authorized_parties(["https://app.example.com"])
            .shared_cache_secret(["0123456789abcdef0123456789abcdef"])
            .shared_cache(format!("redis://127.0.0.1:{port}"));
        // It sends its first command when it is built.
        let allocated = bytes_allocated(|| {
            let client = builder.build().unwrap();
            (0..3).for_each(|_| assert!(client.poll(Duration::ZERO).is_err()));
        });
        let unit = String::from_utf8_lossy(&unit[..unit.len().min(16)]).into_owned();
        assert!(allocated < 4 << 20, "{unit:?}: {allocated} bytes for {LEN}");
    }
}
