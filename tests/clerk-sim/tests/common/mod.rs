//! A small HTTP client for the tests, on a bare TCP stream.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use clerk_sim::{Result, Sim};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// The usual good headers of a request.
pub const GOOD: &str = "Authorization: Bearer sk_test_1\r\nClerk-API-Version: 2026-05-12\r\nUser-Agent: t\r\n";

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends one request as text and reads all there is to the end of the connection.
pub fn exchange(addr: SocketAddr, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(request.as_bytes())?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    Ok(all)
}

pub fn request_text(method: &str, target: &str, headers: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}Connection: close\r\n\r\n{body}")
}

pub fn parse(all: &[u8]) -> Answer {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a status");
    Answer { status, head, body: all[end + 4..].to_vec() }
}

pub fn send(addr: SocketAddr, method: &str, target: &str, headers: &str, body: &str) -> Answer {
    parse(&exchange(addr, &request_text(method, target, headers, body)).expect("an answer"))
}

/// GET with the usual headers.
pub fn get(sim: &Sim, target: &str) -> Answer {
    send(sim.addr(), "GET", target, GOOD, "")
}

/// POST of JSON with the usual headers.
pub fn post(sim: &Sim, target: &str, body: &str) -> Answer {
    send(sim.addr(), "POST", target, &format!("{GOOD}Content-Type: application/json\r\n"), body)
}

/// Reads one response off a connection that stays open.
pub fn read_one(stream: &mut impl Read) -> Answer {
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        all.push(byte[0]);
    }
    let mut answer = parse(&all);
    let length = answer.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    answer.body = vec![0; length];
    stream.read_exact(&mut answer.body).expect("a body");
    answer
}

pub fn must<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
