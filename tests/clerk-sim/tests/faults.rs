//! Tests of every kind of fault, as seen by a client.

mod common;

use clerk_sim::{Fault, Sim};
use common::{GOOD, exchange, format_request, get, parse, read_one};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn raw(sim: &Sim, target: &str) -> std::io::Result<Vec<u8>> {
    exchange(sim.addr(), &format_request("GET", target, GOOD, ""))
}

#[test]
fn fault_sets_status_body_and_headers() {
    let sim = Sim::start();
    sim.fault(Fault::on("/jwks").status(503).header("Retry-After", "2"));
    let response = get(&sim, "/v1/jwks");
    assert_eq!((response.status, response.header("retry-after")), (503, Some("2")));
    assert_eq!(response.code(), "service_unavailable");
    assert_eq!(get(&sim, "/v1/users/user_1").status, 404);

    sim.set_faults(vec![Fault::on("/jwks").body(json!({"$text": "<html>"})).header("content-type", "text/html")]);
    let html = get(&sim, "/v1/jwks");
    assert_eq!((html.status, html.body.as_slice()), (200, b"<html>".as_slice()));
    assert_eq!(html.header("content-type"), Some("text/html"));
    sim.set_faults(vec![Fault::on("*").status(500).body(json!({"$base64": "AP8="}))]);
    assert_eq!(get(&sim, "/v1/jwks").body, [0, 255]);
    sim.set_faults(vec![Fault::on("*").body(json!(null))]);
    assert_eq!(get(&sim, "/v1/jwks").body, b"null");
    sim.set_faults(vec![Fault::on("*").status(302).header("Location", "/v1/users/other")]);
    let redirect = get(&sim, "/v1/jwks");
    assert_eq!((redirect.status, redirect.header("location")), (302, Some("/v1/users/other")));
    assert!(redirect.body.is_empty());
    sim.set_faults(vec![Fault::on("*").status(204)]);
    assert_eq!(get(&sim, "/v1/jwks").header("content-length"), None);
    sim.clear_faults();
    assert_eq!(get(&sim, "/v1/jwks").status, 200);
}

#[test]
fn fault_applies_by_skip_times_and_method() {
    let sim = Sim::start();
    sim.fault(Fault::on("/jwks").status(500).skip(1).times(2));
    let statuses: Vec<u16> = (0..4).map(|_| get(&sim, "/v1/jwks").status).collect();
    assert_eq!(statuses, [200, 500, 500, 200]);
    sim.set_faults(vec![Fault { method: Some("POST".to_owned()), ..Fault::on("*").status(500) }]);
    assert_eq!(get(&sim, "/v1/jwks").status, 200);
    let fault: Fault = serde_json::from_str(r#"{"path":"/users/*","status":404,"body":null}"#).unwrap();
    assert_eq!(fault.body, Some(json!(null)));
    assert!(serde_json::from_str::<Fault>(r#"{"pth":"x"}"#).is_err());
}

#[test]
fn fault_delays_and_drips_the_response() {
    let sim = Sim::start();
    sim.fault(Fault::on("/jwks").delay_ms(150));
    let started = Instant::now();
    assert_eq!(get(&sim, "/v1/jwks").status, 200);
    assert!(started.elapsed() >= Duration::from_millis(150));
    sim.set_faults(vec![Fault { drip_ms: 5, ..Fault::on("*").body(json!({"$text": "x".repeat(30)})) }]);
    let started = Instant::now();
    assert_eq!(get(&sim, "/v1/jwks").body.len(), 30);
    assert!(started.elapsed() >= Duration::from_millis(145));
    sim.set_faults(vec![Fault { drip_ms: 2, drip_head: true, ..Fault::on("*").status(500) }]);
    let started = Instant::now();
    assert_eq!(get(&sim, "/v1/jwks").status, 500);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[test]
fn answer_before_delay_sends_a_stale_response() {
    let sim = Sim::start();
    sim.put_user(json!({"id": "user_1", "first_name": "old"}));
    for (early, expected) in [(true, "old"), (false, "new")] {
        sim.put_user(json!({"id": "user_1", "first_name": "old"}));
        sim.set_faults(vec![Fault { answer_before_delay: early, ..Fault::on("*").delay_ms(300) }]);
        sim.reset_counts();
        std::thread::scope(|scope| {
            let request = scope.spawn(|| get(&sim, "/v1/users/user_1").json());
            while sim.stats().total() == 0 {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(50));
            sim.put_user(json!({"id": "user_1", "first_name": "new"}));
            assert_eq!(request.join().unwrap()["first_name"], expected);
        });
    }
}

#[test]
fn fault_truncates_and_chunks_the_body() {
    let sim = Sim::start();
    let body = get(&sim, "/v1/jwks").body;
    sim.set_faults(vec![Fault { truncate: Some(100), ..Fault::on("/jwks") }]);
    let truncated = get(&sim, "/v1/jwks");
    assert_eq!(truncated.header("content-length"), Some(body.len().to_string().as_str()));
    assert_eq!(truncated.body, body[..100]);
    sim.set_faults(vec![Fault { chunked: true, ..Fault::on("/jwks") }]);
    let chunked = get(&sim, "/v1/jwks");
    assert_eq!((chunked.header("transfer-encoding"), chunked.header("content-length")), (Some("chunked"), None));
    assert_eq!(join_chunks(&chunked.body), body);
    sim.set_faults(vec![Fault { chunked: true, truncate: Some(150), ..Fault::on("/jwks") }]);
    assert!(!get(&sim, "/v1/jwks").body.ends_with(b"0\r\n\r\n"));
}

fn join_chunks(mut chunked: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = chunked.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&chunked[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&chunked[end + 2..end + 2 + size]);
        chunked = &chunked[end + 4 + size..];
    }
}

#[test]
fn fault_resets_closes_or_sends_garbage() {
    let sim = Sim::start();
    sim.set_faults(vec![Fault::on("/jwks").reset()]);
    assert_eq!(raw(&sim, "/v1/jwks").unwrap_err().kind(), ErrorKind::ConnectionReset);
    sim.set_faults(vec![Fault { close: true, ..Fault::on("/jwks") }]);
    assert_eq!(raw(&sim, "/v1/jwks").unwrap(), b"");
    sim.set_faults(vec![Fault { garbage: true, ..Fault::on("/jwks") }]);
    let garbage = raw(&sim, "/v1/jwks").unwrap();
    assert!(!garbage.is_empty() && !garbage.starts_with(b"HTTP/"));
    assert!(sim.log().iter().all(|entry| entry.fault && entry.status.is_none()));
    assert_eq!(sim.requests("/jwks"), 3);
    sim.clear_faults();
    assert_eq!(parse(&raw(&sim, "/v1/jwks").unwrap()).status, 200);
}

#[test]
fn reset_applies_to_a_reused_connection() {
    let sim = Sim::start();
    sim.fault(Fault::on("/jwks").skip(1).reset());
    let mut stream = TcpStream::connect(sim.addr()).unwrap();
    let request = format!("GET /v1/jwks HTTP/1.1\r\nHost: localhost\r\n{GOOD}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(read_one(&mut stream).status, 200);
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(stream.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}
