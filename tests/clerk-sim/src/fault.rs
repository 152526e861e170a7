//! Faults: which requests the simulated API answers wrongly, and how.

use crate::encoding::from_b64;
use crate::glob;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One way to misbehave. With all members at their defaults it does nothing to any request.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Pattern over the path without `/v1` and without the query
    pub path: String,
    /// HTTP method; none means any
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Let this many matching requests through first
    pub skip: u64,
    /// Act on this many requests, then be spent; none means for ever
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Wait before the answer
    pub delay_ms: u64,
    /// Make the answer before the delay, so that it is out of date by the time it is sent
    pub answer_before_delay: bool,
    /// Status of the answer; without `body` a fitting error body comes with it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Body of the answer: JSON, or `{"$text"}` or `{"$base64"}` for raw bytes
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Header fields to set
    pub headers: Map<String, Value>,
    /// Announce the whole length, send this many body bytes, close
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate: Option<usize>,
    /// Send the body one byte at a time with this pause between
    pub drip_ms: u64,
    /// With `drip_ms`: the head too
    pub drip_head: bool,
    /// Use the chunked transfer coding
    pub chunked: bool,
    /// Reset the connection before any byte
    pub reset: bool,
    /// Close the connection cleanly before any byte
    pub close: bool,
    /// Send bytes that are no HTTP response, then close
    pub garbage: bool,
}

/// A member that is there with the value null is not the same as a missing one.
fn present<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(input).map(Some)
}

impl Default for Fault {
    fn default() -> Self {
        Fault {
            path: "*".to_owned(),
            method: None,
            skip: 0,
            times: None,
            delay_ms: 0,
            answer_before_delay: false,
            status: None,
            body: None,
            headers: Map::new(),
            truncate: None,
            drip_ms: 0,
            drip_head: false,
            chunked: false,
            reset: false,
            close: false,
            garbage: false,
        }
    }
}

impl Fault {
    /// A fault on the paths of that pattern; add what goes wrong with struct update or the methods.
    pub fn on(path: &str) -> Fault {
        Fault { path: path.to_owned(), ..Fault::default() }
    }

    /// Answer with this status.
    pub fn status(mut self, status: u16) -> Fault {
        self.status = Some(status);
        self
    }

    /// Answer with this body, JSON or `{"$text"}` or `{"$base64"}`.
    pub fn body(mut self, body: Value) -> Fault {
        self.body = Some(body);
        self
    }

    /// Set a header field.
    pub fn header(mut self, name: &str, value: &str) -> Fault {
        self.headers.insert(name.to_owned(), Value::from(value));
        self
    }

    /// Wait before the answer.
    pub fn delay_ms(mut self, delay: u64) -> Fault {
        self.delay_ms = delay;
        self
    }

    /// Act on this many requests only.
    pub fn times(mut self, times: u64) -> Fault {
        self.times = Some(times);
        self
    }

    /// Let this many matching requests through first.
    pub fn skip(mut self, skip: u64) -> Fault {
        self.skip = skip;
        self
    }

    /// Reset the connection.
    pub fn reset(mut self) -> Fault {
        self.reset = true;
        self
    }

    fn concerns(&self, method: &str, path: &str) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method)) && glob::matches(&self.path, path)
    }
}

/// The bytes of a fault's body.
pub fn body_bytes(body: &Value) -> Vec<u8> {
    if let Some(text) = body.get("$text").and_then(Value::as_str) {
        return text.as_bytes().to_vec();
    }
    if let Some(raw) = body.get("$base64").and_then(Value::as_str).and_then(from_b64) {
        return raw;
    }
    body.to_string().into_bytes()
}

/// The faults in force, in order; the first that concerns a request and is not spent acts.
#[derive(Default)]
pub struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    /// Replaces all faults.
    pub fn set(&mut self, list: Vec<Fault>) {
        self.list = list;
    }

    /// Adds one.
    pub fn add(&mut self, fault: Fault) {
        self.list.push(fault);
    }

    /// The faults with what is left of `skip` and `times`.
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// The fault that acts on this request, if any.
    pub fn pick(&mut self, method: &str, path: &str) -> Option<Fault> {
        for fault in &mut self.list {
            if !fault.concerns(method, path) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            match &mut fault.times {
                Some(0) => continue,
                Some(left) => *left -= 1,
                None => {}
            }
            return Some(fault.clone());
        }
        None
    }
}
