//! What came in: counts per path, the peak of concurrency, connections, a bounded log.

use crate::check::bearer;
use crate::glob;
use crate::http::Request;
use crate::lock;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

/// Distinct paths that are counted each by itself; beyond, only the pattern is counted.
const MAX_PATHS: usize = 50_000;
const MAX_LOG: usize = 10_000;

/// One request in the log. Secrets are left out.
#[derive(Debug, Clone, Serialize)]
pub struct LogEntry {
    /// Method
    pub method: String,
    /// Path and query, as they came
    pub target: String,
    /// Path without `/v1` and query
    pub path: String,
    /// Header fields; credentials and cookies shortened
    pub headers: Vec<(String, String)>,
    /// Length of the body
    pub body_bytes: usize,
    /// Status of the answer; none if a fault withheld it
    pub status: Option<u16>,
    /// Whether a fault acted on it
    pub fault: bool,
    /// Whether it came over HTTPS
    pub https: bool,
    /// What a well-behaved client would not have done
    pub violations: Vec<String>,
}

impl LogEntry {
    /// The values of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
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

/// Counters of one simulated API.
#[derive(Default)]
pub struct Stats {
    counts: Mutex<Counts>,
}

impl Stats {
    /// A request has come in and is being handled from here on.
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

    /// A request is no longer being handled.
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
        for words in &entry.violations {
            *counts.violations.entry(words.clone()).or_default() += 1;
        }
        if counts.log.len() == MAX_LOG {
            counts.log.pop_front();
        }
        counts.log.push_back(entry);
    }

    /// Something that was no request came in.
    pub(crate) fn violation(&self, words: &str) {
        *lock(&self.counts).violations.entry(words.to_owned()).or_default() += 1;
    }

    /// All requests so far.
    pub fn total(&self) -> usize {
        lock(&self.counts).total
    }

    /// Requests whose path fits the pattern; `POST /api_keys/*` asks for the method too.
    pub fn requests(&self, pattern: &str) -> usize {
        let (wanted, pattern) = match pattern.split_once(' ') {
            Some((method, pattern)) => (Some(method), pattern),
            None => (None, pattern),
        };
        let counts = lock(&self.counts);
        let fits = |(method, path): &(String, String)| {
            wanted.is_none_or(|wanted| wanted == method) && glob::matches(pattern, path)
        };
        counts.by_path.iter().filter(|(key, _)| fits(key)).map(|(_, count)| count).sum()
    }

    /// The most requests that were being handled at once.
    pub fn peak_concurrency(&self) -> usize {
        lock(&self.counts).peak
    }

    /// Connections accepted.
    pub fn connections(&self) -> usize {
        lock(&self.counts).connections
    }

    /// TLS handshakes that failed.
    pub fn failed_handshakes(&self) -> usize {
        lock(&self.counts).failed_handshakes
    }

    /// What clients did wrong, with counts.
    pub fn violations(&self) -> BTreeMap<String, usize> {
        lock(&self.counts).violations.clone()
    }

    /// The last requests, oldest first.
    pub fn log(&self) -> Vec<LogEntry> {
        lock(&self.counts).log.iter().cloned().collect()
    }

    /// Forgets all but the requests being handled now.
    pub fn reset(&self) {
        let mut counts = lock(&self.counts);
        let current = counts.current;
        *counts = Counts { current, peak: current, ..Counts::default() };
    }

    /// All counts, as the admin API gives them.
    pub fn to_json(&self) -> Value {
        let counts = lock(&self.counts);
        json!({
            "total": counts.total, "by_path": counts.by_pattern, "peak_concurrency": counts.peak,
            "connections": counts.connections, "failed_handshakes": counts.failed_handshakes,
            "violations": counts.violations,
        })
    }
}

/// Header fields for the log: credentials are shown by their scheme only, cookies not at all.
pub(crate) fn shown_headers(request: &Request) -> Vec<(String, String)> {
    let shown = request.headers.iter().map(|(name, value)| {
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
    shown.collect()
}
