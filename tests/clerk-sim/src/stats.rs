//! Statistics of requests: counts per path, peak concurrency, connections, a bounded log.

use crate::check::bearer;
use crate::glob;
use crate::http::Request;
use crate::lock;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

/// Maximum number of distinct paths that are counted; further paths are counted by pattern only.
const MAX_PATHS: usize = 50_000;
/// Maximum number of log entries; the oldest is dropped.
const MAX_LOG: usize = 10_000;

/// A request in the log, without secrets.
#[derive(Debug, Clone, Serialize)]
pub struct LogEntry {
    /// Method
    pub method: String,
    /// Path and query as received
    pub target: String,
    /// Path without `/v1` and query
    pub path: String,
    /// Header fields; credentials and cookies are redacted
    pub headers: Vec<(String, String)>,
    /// Length of the body
    pub body_bytes: usize,
    /// Status of the response; none if a fault withheld it
    pub status: Option<u16>,
    /// Whether a fault was applied
    pub fault: bool,
    /// Whether it was received over HTTPS
    pub https: bool,
    /// What a correct client would not have done
    pub violations: Vec<String>,
}

impl LogEntry {
    /// Returns the first value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct Counts {
    total: usize,
    by_path: BTreeMap<(String, String), usize>,
    by_pattern: BTreeMap<String, usize>,
    current: usize,
    peak: usize,
    connections: usize,
    failed_handshakes: usize,
    violations: BTreeMap<String, usize>,
    log: VecDeque<LogEntry>,
}

/// Counters of a fake API.
#[derive(Default)]
pub struct Stats {
    counts: Mutex<Counts>,
}

impl Stats {
    /// Counts a request whose handling starts.
    pub(crate) fn begin(&self, method: &str, path: &str, pattern: &str) {
        let mut counts = lock(&self.counts);
        counts.total += 1;
        counts.current += 1;
        counts.peak = counts.peak.max(counts.current);
        *counts.by_pattern.entry(pattern.to_owned()).or_default() += 1;
        let key = (method.to_owned(), path.to_owned());
        if counts.by_path.len() < MAX_PATHS || counts.by_path.contains_key(&key) {
            *counts.by_path.entry(key).or_default() += 1;
        }
    }

    /// Ends the handling of a request.
    pub(crate) fn end(&self) {
        let mut counts = lock(&self.counts);
        counts.current = counts.current.saturating_sub(1);
    }

    pub(crate) fn connected(&self) {
        lock(&self.counts).connections += 1;
    }

    pub(crate) fn handshake_failed(&self) {
        lock(&self.counts).failed_handshakes += 1;
    }

    pub(crate) fn log_entry(&self, entry: LogEntry) {
        let mut counts = lock(&self.counts);
        for violation in &entry.violations {
            *counts.violations.entry(violation.clone()).or_default() += 1;
        }
        if counts.log.len() == MAX_LOG {
            counts.log.pop_front();
        }
        counts.log.push_back(entry);
    }

    /// Records a violation without a request.
    pub(crate) fn violation(&self, message: &str) {
        *lock(&self.counts).violations.entry(message.to_owned()).or_default() += 1;
    }

    /// Returns the number of requests.
    pub fn total(&self) -> usize {
        lock(&self.counts).total
    }

    /// Returns the number of requests whose path matches the pattern; `POST /api_keys/*` matches the method, too.
    pub fn requests(&self, pattern: &str) -> usize {
        let (wanted, pattern) = match pattern.split_once(' ') {
            Some((method, pattern)) => (Some(method), pattern),
            None => (None, pattern),
        };
        let counts = lock(&self.counts);
        let matches = |(method, path): &(String, String)| {
            wanted.is_none_or(|wanted| wanted == method) && glob::matches(pattern, path)
        };
        counts.by_path.iter().filter(|(key, _)| matches(key)).map(|(_, count)| count).sum()
    }

    /// Returns the maximum number of requests that were handled at the same time.
    pub fn peak_concurrency(&self) -> usize {
        lock(&self.counts).peak
    }

    /// Returns the number of accepted connections.
    pub fn connections(&self) -> usize {
        lock(&self.counts).connections
    }

    /// Returns the number of failed TLS handshakes.
    pub fn failed_handshakes(&self) -> usize {
        lock(&self.counts).failed_handshakes
    }

    /// Returns the violations, with counts.
    pub fn violations(&self) -> BTreeMap<String, usize> {
        lock(&self.counts).violations.clone()
    }

    /// Returns the last requests, oldest first.
    pub fn log(&self) -> Vec<LogEntry> {
        lock(&self.counts).log.iter().cloned().collect()
    }

    /// Resets everything but the requests that are being handled.
    pub fn reset(&self) {
        let mut counts = lock(&self.counts);
        let current = counts.current;
        *counts = Counts { current, peak: current, ..Counts::default() };
    }

    /// Returns all counts, as in the admin API.
    pub fn to_json(&self) -> Value {
        let counts = lock(&self.counts);
        json!({
            "total": counts.total, "by_path": counts.by_pattern, "peak_concurrency": counts.peak,
            "connections": counts.connections, "failed_handshakes": counts.failed_handshakes,
            "violations": counts.violations,
        })
    }
}

/// Returns header fields for the log: of credentials the scheme only, of cookies nothing.
pub(crate) fn redacted_headers(request: &Request) -> Vec<(String, String)> {
    let redacted = request.headers.iter().map(|(name, value)| {
        let value = match name.to_ascii_lowercase().as_str() {
            "authorization" | "proxy-authorization" => {
                let start: String = value.chars().take(7).collect();
                let form = if bearer(value).is_some() { "well-formed" } else { "ill-formed" };
                format!("{start}… ({form})")
            }
            "cookie" => "…".to_owned(),
            _ => value.clone(),
        };
        (name.clone(), value)
    });
    redacted.collect()
}
