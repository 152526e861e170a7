//! Serves the fake API on a connection: reads requests, applies faults, counts and responds.

use crate::api::{self, Route};
use crate::check;
use crate::conn::{Conn, send};
use crate::fault::{self, Fault, Faults};
use crate::http::{ReadError, Request, Response, read_request};
use crate::keys::KeyStore;
use crate::lock;
use crate::pages;
use crate::response;
use crate::state::ApiState;
use crate::stats::{LogEntry, Stats, redacted_headers};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The state that all connections of a fake API share.
#[derive(Default)]
pub struct Shared {
    /// State of the instance
    pub state: Mutex<ApiState>,
    /// Signing keys
    pub keys: RwLock<KeyStore>,
    /// Active faults
    pub faults: Mutex<Faults>,
    /// Counters
    pub stats: Stats,
}

/// Returns the Unix time in milliseconds.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Counts a request as being handled until dropped.
struct InFlight<'a>(&'a Stats);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Shared {
    /// Serves one connection to its end.
    pub fn serve(&self, mut conn: Conn) {
        let https = matches!(conn, Conn::Tls(_));
        let mut buffer = Vec::new();
        loop {
            let request = match read_request(&mut conn, &mut buffer) {
                Ok(request) => request,
                Err(ReadError::Closed) => return,
                Err(ReadError::Invalid(status, message)) => {
                    self.stats.violation(message);
                    let response = response::error(status, "bad_request", "Bad request", message);
                    let _ = conn.write_all(&response.to_bytes(false));
                    return conn.close();
                }
            };
            match self.handle(conn, &request, https) {
                Some(open) => conn = open,
                None => return,
            }
        }
    }

    /// Responds to a request. Returns the connection if it can be reused.
    fn handle(&self, mut conn: Conn, request: &Request, https: bool) -> Option<Conn> {
        let route = Route::of(request);
        let path = request.api_path();
        self.stats.begin(&request.method, path, route.pattern());
        let in_flight = InFlight(&self.stats);
        let fault = lock(&self.faults).take(&request.method, path);
        let mut entry = LogEntry {
            method: request.method.clone(),
            target: request.target.clone(),
            path: path.to_owned(),
            headers: redacted_headers(request),
            body_bytes: request.body.len(),
            status: None,
            fault: fault.is_some(),
            https,
            violations: match route {
                // Browsers call it.
                Route::Frontend => Vec::new(),
                _ => check::violations(request, route.access()),
            },
        };
        let early = match &fault {
            Some(fault) if fault.answer_before_delay => Some(self.respond(request, &route)),
            _ => None,
        };
        if let Some(fault) = &fault {
            thread::sleep(Duration::from_millis(fault.delay_ms));
            if fault.reset || fault.close || fault.garbage {
                self.stats.log_entry(entry);
                drop(in_flight);
                break_connection(conn, fault);
                return None;
            }
        }
        let replaced = fault.as_ref().is_some_and(|fault| fault.status.is_some() || fault.body.is_some());
        let mut response = match (early, replaced) {
            (_, true) => Response { status: 200, headers: Vec::new(), body: Vec::new() },
            (Some(early), false) => early,
            (None, false) => self.respond(request, &route),
        };
        if let Some(fault) = &fault {
            response = apply_fault(response, fault);
        }
        entry.status = Some(response.status);
        self.stats.log_entry(entry);
        let sent = send(&mut conn, &response, fault.as_ref(), request.keep_alive, || drop(in_flight));
        match sent {
            Ok(true) => Some(conn),
            Ok(false) => {
                conn.close();
                None
            }
            Err(_) => None,
        }
    }

    fn respond(&self, request: &Request, route: &Route) -> Response {
        let now_ms = now_ms();
        let signing_key = lock(&self.state).signing_key.clone();
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        // The Frontend API has such pages of its own.
        let has_frontend = lock(&self.state).frontend.is_some();
        let page = (!has_frontend).then(|| pages::respond(request, &keys, &signing_key, now_ms / 1000)).flatten();
        page.unwrap_or_else(|| api::respond(request, route, &mut lock(&self.state), &keys, now_ms))
    }
}

fn break_connection(mut conn: Conn, fault: &Fault) {
    if fault.reset {
        return conn.reset();
    }
    if fault.garbage {
        let _ = conn.write_all(b"\x00\x16\xffthis is no HTTP response\r\n\r\n");
        let _ = conn.flush();
    }
    conn.close();
}

/// Replaces the status, body and header fields that the fault names.
fn apply_fault(mut response: Response, fault: &Fault) -> Response {
    match (fault.status, &fault.body) {
        (None, None) => {}
        (Some(status), None) => response = response::for_status(status),
        (status, Some(body)) => {
            response = Response::json(status.unwrap_or(200), &json!(null));
            response.body = fault::body_bytes(body);
        }
    }
    for (name, value) in &fault.headers {
        match value {
            Value::String(value) => response.set_header(name, value),
            other => response.set_header(name, &other.to_string()),
        }
    }
    response
}
