//! A small HTTP client for the tests, on a bare TCP stream.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use clerk_sim::{Result, Sim};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// The headers of a valid request.
pub const GOOD: &str = "Authorization: Bearer sk_test_1\r\nClerk-API-Version: 2026-05-12\r\nUser-Agent: t\r\n";

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends a request and reads until the connection closes.
pub fn exchange(addr: SocketAddr, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(request.as_bytes())?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    Ok(all)
}

pub fn format_request(method: &str, target: &str, headers: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}Connection: close\r\n\r\n{body}")
}

pub fn parse(all: &[u8]) -> Response {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|number| number.parse().ok()).expect("a status");
    Response { status, head, body: all[end + 4..].to_vec() }
}

pub fn send(addr: SocketAddr, method: &str, target: &str, headers: &str, body: &str) -> Response {
    parse(&exchange(addr, &format_request(method, target, headers, body)).expect("a response"))
}

/// Sends a GET request with valid headers.
pub fn get(sim: &Sim, target: &str) -> Response {
    send(sim.addr(), "GET", target, GOOD, "")
}

/// Sends a POST request of JSON with valid headers.
pub fn post(sim: &Sim, target: &str, body: &str) -> Response {
    send(sim.addr(), "POST", target, &format!("{GOOD}Content-Type: application/json\r\n"), body)
}

/// Reads one response from a connection that stays open.
pub fn read_one(stream: &mut impl Read) -> Response {
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        all.push(byte[0]);
    }
    let mut response = parse(&all);
    let length = response.header("content-length").and_then(|number| number.parse().ok()).unwrap_or(0);
    response.body = vec![0; length];
    stream.read_exact(&mut response.body).expect("a body");
    response
}

pub fn must<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
