//! Tests of connections: keep-alive, pipelining, chunked requests, HTTPS, closed ports, counts.

mod common;

use clerk_sim::{Fault, Leaf, Sim};
use common::{GOOD, get, must, read_one};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn connection_serves_several_and_pipelined_requests() {
    let sim = Sim::start();
    let mut stream = TcpStream::connect(sim.addr()).unwrap();
    let request = format!("GET /v1/jwks HTTP/1.1\r\nHost: localhost\r\n{GOOD}\r\n");
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(read_one(&mut stream).status, 200);
    }
    // Pipelined.
    stream.write_all(request.repeat(2).as_bytes()).unwrap();
    assert_eq!((read_one(&mut stream).status, read_one(&mut stream).status), (200, 200));
    assert_eq!((sim.connections(), sim.stats().total(), sim.peak_concurrency()), (1, 5, 1));
}

#[test]
fn chunked_and_expect_continue_bodies_are_read() {
    let sim = Sim::start();
    must(sim.merge_state(&json!({"api_keys": {"ak_1": {}}})));
    let mut stream = TcpStream::connect(sim.addr()).unwrap();
    let head = format!("POST /api_keys/verify HTTP/1.1\r\nHost: h\r\n{GOOD}Content-Type: application/json\r\n");
    write!(stream, "{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"sec\r\nc\r\nret\":\"ak_1\"}}\r\n0\r\n\r\n")
        .unwrap();
    assert_eq!(read_one(&mut stream).status, 200);
    write!(stream, "{head}Content-Length: 17\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert_eq!(read_one(&mut stream).status, 100);
    write!(stream, "{{\"secret\":\"ak_1\"}}").unwrap();
    assert_eq!(read_one(&mut stream).status, 200);
    write!(stream, "{head}Content-Length: 99999999\r\n\r\n").unwrap();
    assert_eq!(read_one(&mut stream).status, 413);
}

#[test]
fn peak_concurrency_counts_delayed_requests() {
    let sim = Sim::start();
    sim.fault(Fault::on("*").delay_ms(500));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(get(&sim, "/v1/jwks").status, 200));
        }
    });
    assert_eq!((sim.peak_concurrency(), sim.connections()), (8, 8));
    sim.clear_faults();
    sim.reset_counts();
    (0..50).for_each(|_| assert_eq!(get(&sim, "/v1/jwks").status, 200));
    assert_eq!(sim.peak_concurrency(), 1);
}

#[test]
fn requests_are_counted_by_path_and_pattern() {
    let sim = Sim::start();
    for path in ["/v1/users/user_1", "/users/user_2", "/v1/jwks"] {
        get(&sim, path);
    }
    assert_eq!((sim.requests("/users/*"), sim.requests("/users/user_1"), sim.requests("POST /users/*")), (2, 1, 0));
    assert_eq!(sim.requests("GET *"), 3);
    assert_eq!(sim.stats().to_json()["by_path"], json!({"/jwks": 1, "/users/{id}": 2}));
}

#[test]
fn set_down_closes_and_reopens_the_same_port() {
    let sim = Sim::builder().https(true).start();
    let mut open = TcpStream::connect(sim.addr()).unwrap();
    assert_eq!(get(&sim, "/v1/jwks").status, 200);
    for _ in 0..3 {
        must(sim.set_down(true));
        must(sim.set_down(true));
        assert_eq!(TcpStream::connect(sim.addr()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert!(TcpStream::connect(sim.https_addr().unwrap()).is_err());
        must(sim.set_down(false));
        assert_eq!(get(&sim, "/v1/jwks").status, 200);
    }
    assert!(matches!(open.read(&mut [0; 1]), Ok(0) | Err(_)), "an open connection must end");
    assert_eq!(sim.requests("/jwks"), 4);
    assert_eq!(sim.connections(), 5);
}

#[test]
fn drop_closes_the_port() {
    let sim = Sim::start();
    let addr = sim.addr();
    let _open = TcpStream::connect(addr).unwrap();
    drop(sim);
    assert!(TcpStream::connect(addr).is_err());
}

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

fn tls(sim: &Sim, name: &'static str) -> std::io::Result<TlsStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(sim.ca_pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
    let mut tcp = TcpStream::connect(sim.https_addr().unwrap())?;
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp)?;
    }
    Ok(StreamOwned::new(connection, tcp))
}

#[test]
fn https_certificate_is_issued_by_the_test_authority() {
    let sim = Sim::builder().https(true).start();
    for name in ["localhost", "127.0.0.1"] {
        let mut stream = tls(&sim, name).unwrap();
        for _ in 0..2 {
            write!(stream, "GET /v1/jwks HTTP/1.1\r\nHost: localhost\r\n{GOOD}\r\n").unwrap();
            assert_eq!(read_one(&mut stream).status, 200);
        }
    }
    assert!(sim.https_url().starts_with("https://127.0.0.1:"));
    assert!(sim.log().iter().all(|entry| entry.https));
    sim.fault(Fault::on("/jwks").reset());
    let mut stream = tls(&sim, "localhost").unwrap();
    write!(stream, "GET /v1/jwks HTTP/1.1\r\nHost: localhost\r\n{GOOD}\r\n").unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn invalid_certificates_are_rejected_by_the_client() {
    for (leaf, message) in
        [(Leaf::Expired, "expired"), (Leaf::WrongHost, "not valid for name"), (Leaf::SelfSigned, "UnknownIssuer")]
    {
        let sim = Sim::builder().leaf(leaf).start();
        let error = tls(&sim, "localhost").map(drop).unwrap_err().to_string();
        assert!(error.contains(message), "{leaf:?}: {error}");
        // The server notices it later than the client.
        for _ in 0..100 {
            if sim.stats().failed_handshakes() > 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!((sim.stats().failed_handshakes(), sim.stats().total()), (1, 0), "{leaf:?}");
    }
}
