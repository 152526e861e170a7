//! Serves the simulated API on a connection: reads requests, applies faults, counts, answers.

use crate::api::{self, Route};
use crate::check;
use crate::conn::{Conn, send};
use crate::fault::{self, Fault, Faults};
use crate::http::{Request, Response, Unreadable, read_request};
use crate::keys::KeyStore;
use crate::lock;
use crate::reply;
use crate::state::ApiState;
use crate::stats::{LogEntry, Stats, shown_headers};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Mutex, RwLock};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What all connections of one simulated API share.
#[derive(Default)]
pub struct Shared {
    /// What the instance holds
    pub state: Mutex<ApiState>,
    /// Signing keys
    pub keys: RwLock<KeyStore>,
    /// Faults in force
    pub faults: Mutex<Faults>,
    /// Counters
    pub stats: Stats,
}

/// Unix time in milliseconds.
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
        let mut held = Vec::new();
        loop {
            let request = match read_request(&mut conn, &mut held) {
                Ok(request) => request,
                Err(Unreadable::Gone) => return,
                Err(Unreadable::Bad(status, words)) => {
                    self.stats.violation(words);
                    let refusal = reply::error(status, "bad_request", "Bad request", words);
                    let _ = conn.write_all(&refusal.to_bytes(false));
                    return conn.close();
                }
            };
            match self.handle(conn, &request, https) {
                Some(open) => conn = open,
                None => return,
            }
        }
    }

    /// Answers one request; gives the connection back if it can go on being used.
    fn handle(&self, mut conn: Conn, request: &Request, https: bool) -> Option<Conn> {
        let route = Route::of(request);
        let path = request.api_path();
        self.stats.begin(&request.method, path, route.pattern());
        let in_flight = InFlight(&self.stats);
        let fault = lock(&self.faults).pick(&request.method, path);
        let mut entry = LogEntry {
            method: request.method.clone(),
            target: request.target.clone(),
            path: path.to_owned(),
            headers: shown_headers(request),
            body_bytes: request.body.len(),
            status: None,
            fault: fault.is_some(),
            https,
            violations: check::violations(request, route.access()),
        };
        let early = match &fault {
            Some(fault) if fault.answer_before_delay => Some(self.answer(request, &route)),
            _ => None,
        };
        if let Some(fault) = &fault {
            thread::sleep(Duration::from_millis(fault.delay_ms));
            if fault.reset || fault.close || fault.garbage {
                self.stats.log_entry(entry);
                drop(in_flight);
                misbehave(conn, fault);
                return None;
            }
        }
        let replaced = fault.as_ref().is_some_and(|fault| fault.status.is_some() || fault.body.is_some());
        let mut response = match (early, replaced) {
            (_, true) => Response { status: 200, headers: Vec::new(), body: Vec::new() },
            (Some(early), false) => early,
            (None, false) => self.answer(request, &route),
        };
        if let Some(fault) = &fault {
            response = faulty(response, fault);
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

    fn answer(&self, request: &Request, route: &Route) -> Response {
        api::answer(request, route, &mut lock(&self.state), now_ms())
    }
}

fn misbehave(mut conn: Conn, fault: &Fault) {
    if fault.reset {
        return conn.reset();
    }
    if fault.garbage {
        let _ = conn.write_all(b"\x00\x16\xffthis is no HTTP response\r\n\r\n");
        let _ = conn.flush();
    }
    conn.close();
}

/// The response with the status, body and head that the fault gives it.
fn faulty(mut response: Response, fault: &Fault) -> Response {
    match (fault.status, &fault.body) {
        (None, None) => {}
        (Some(status), None) => response = reply::for_status(status),
        (status, Some(body)) => {
            response = Response::json(status.unwrap_or(200), &json!(null));
            response.body = fault::body_bytes(body);
        }
    }
    for (name, value) in &fault.headers {
        match value {
            Value::String(text) => response.set_header(name, text),
            other => response.set_header(name, &other.to_string()),
        }
    }
    response
}
