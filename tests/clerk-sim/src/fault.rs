//! Faults: wrong responses of the fake API.

use crate::encoding::from_b64;
use crate::glob;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A fault. With all members at their defaults it matches every request and changes nothing.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Pattern for the path without `/v1` and query
    pub path: String,
    /// HTTP method; any if absent
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Number of matching requests to skip first
    pub skip: u64,
    /// Number of requests to apply to; unlimited if absent
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Delay of the response
    pub delay_ms: u64,
    /// Create the response before the delay, so that it may be stale when it is sent
    pub answer_before_delay: bool,
    /// Status of the response; without `body`, the body is the error for this status
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Body of the response: JSON, or `{"$text"}` or `{"$base64"}` for raw bytes
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Header fields to set
    pub headers: Map<String, Value>,
    /// Send the full Content-Length but only this many bytes of the body, then close
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate: Option<usize>,
    /// Send the body one byte at a time, with this pause after each
    pub drip_ms: u64,
    /// With `drip_ms`: the head, too
    pub drip_head: bool,
    /// Use the chunked transfer coding
    pub chunked: bool,
    /// Reset the connection before the first byte
    pub reset: bool,
    /// Close the connection in order before the first byte
    pub close: bool,
    /// Send bytes that are not an HTTP response, then close
    pub garbage: bool,
}

/// Distinguishes a member with the value null from a missing one.
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
    /// Creates a fault for the paths of a pattern; set what goes wrong with struct update or the methods.
    pub fn on(path: &str) -> Fault {
        Fault { path: path.to_owned(), ..Fault::default() }
    }

    /// Sets the status of the response.
    pub fn status(mut self, status: u16) -> Fault {
        self.status = Some(status);
        self
    }

    /// Sets the body of the response: JSON, `{"$text"}` or `{"$base64"}`.
    pub fn body(mut self, body: Value) -> Fault {
        self.body = Some(body);
        self
    }

    /// Sets an HTML page as the body, as a gateway or a firewall sends it: a status without Clerk's error object.
    pub fn html(self) -> Fault {
        self.body(serde_json::json!({"$text": "<html><h1>Not here</h1></html>"})).header("Content-Type", "text/html")
    }

    /// Sets a header field.
    pub fn header(mut self, name: &str, value: &str) -> Fault {
        self.headers.insert(name.to_owned(), Value::from(value));
        self
    }

    /// Sets the delay of the response.
    pub fn delay_ms(mut self, delay: u64) -> Fault {
        self.delay_ms = delay;
        self
    }

    /// Sets the number of requests to apply to.
    pub fn times(mut self, times: u64) -> Fault {
        self.times = Some(times);
        self
    }

    /// Sets the number of matching requests to skip first.
    pub fn skip(mut self, skip: u64) -> Fault {
        self.skip = skip;
        self
    }

    /// Resets the connection.
    pub fn reset(mut self) -> Fault {
        self.reset = true;
        self
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        self.method.as_ref().is_none_or(|expected| expected.eq_ignore_ascii_case(method))
            && glob::matches(&self.path, path)
    }
}

/// Returns the bytes of a body.
pub fn body_bytes(body: &Value) -> Vec<u8> {
    if let Some(string) = body.get("$text").and_then(Value::as_str) {
        return string.as_bytes().to_vec();
    }
    if let Some(raw) = body.get("$base64").and_then(Value::as_str).and_then(from_b64) {
        return raw;
    }
    body.to_string().into_bytes()
}

/// The active faults, in order. The first that matches a request and is not used up applies.
#[derive(Default)]
pub struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    /// Replaces all faults.
    pub fn set(&mut self, list: Vec<Fault>) {
        self.list = list;
    }

    /// Adds a fault.
    pub fn add(&mut self, fault: Fault) {
        self.list.push(fault);
    }

    /// Returns the faults with their remaining `skip` and `times`.
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// Returns the fault that applies to a request, if any, and counts it.
    pub fn take(&mut self, method: &str, path: &str) -> Option<Fault> {
        for fault in &mut self.list {
            if !fault.matches(method, path) {
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
