//! `handshake FILE.json`: runs one recorded browser request with `handshake` on and compares redirect, cookies and outcome with
//! the expected ones.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clerk_auth::Attribute;
use clerk_auth::internals::ffi;
use clerk_sim::Sim;
use clerk_sim::corpus::{Case, Corpus, Tokens, expand_json, faults};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Result;
use crate::batch::{self, Verdict};
use crate::capi::{self, CallResult, Clock};
use crate::options;
use crate::verdicts::SLACK;

const TIMEOUT: Duration = Duration::from_secs(5);
const SIGNED_IN: &str = "signed_in";

/// The report of a case.
#[derive(Default, Serialize)]
pub struct Report {
    id: String,
    status: Option<&'static str>,
    reason: Option<String>,
    user_id: Value,
    session_id: Value,
    location: Option<String>,
    set_cookie: Vec<String>,
    cache_control: Option<String>,
    dropped_lines: i64,
    api_calls: usize,
    ms: u64,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    why: Vec<String>,
    /// Differences between the outcome and the expected one of an open case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_error: Option<String>,
    /// Violations that the fake Clerk API recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<String>,
}

impl batch::Report for Report {
    fn failed(case: &Case, why: String) -> Report {
        Report { id: case.id().to_owned(), why: vec![why], ..Report::default() }
    }

    fn verdict(&self) -> Verdict {
        self.verdict
    }
}

/// Runs one case. Fails if the case cannot be read.
pub fn run(corpus: &Corpus, case: &Case, now: i64) -> Result<Report> {
    let tokens = corpus.tokens(case, now)?;
    let sim = start_api(corpus, case, &tokens, now)?;
    let (clock, dropped_lines) = (Clock::default(), Clock::default());
    clock.store(now * 1000, Ordering::SeqCst);
    let mut report = Report { id: case.id().to_owned(), ..Report::default() };

    let settings = options::settings(&case.value["options"], corpus, &sim.url())?;
    let client = options::configure(&settings, &clock).and_then(|config| {
        let defaults = [("handshake", "on"), ("handshake_query", "always"), ("cross_origin_sync", "true")];
        for (name, value) in defaults.iter().filter(|(name, _)| case.value["options"].get(name).is_none()) {
            config.set(name, value)?;
        }
        config.count_dropped_lines(&dropped_lines);
        config.client()
    });
    match client {
        Ok(client) => {
            let request = corpus.request(&case.value["request"], &tokens, now)?;
            let has_host = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
            let [scheme, host, target] = split(&request.url)?;
            let address = [scheme, if has_host { "" } else { host }, target];
            let started = Instant::now();
            let call = client.authenticate_page(&request.method, address, &request.headers);
            let took = started.elapsed();
            report.ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            report.read(&call);
            if took > TIMEOUT + SLACK {
                report.why.push(format!("the call took {} ms of {}", took.as_millis(), TIMEOUT.as_millis()));
            }
            if call.status < 0 {
                report.why.push(format!("the call returned {}", capi::status_name(call.status)));
            }
            report.why.extend(unsafe_values(&report));
        }
        Err(error) => {
            report.status = Some("misconfigured");
            report.config_error = Some(format!("{}: {}", error.setting, error.message));
        }
    }
    report.dropped_lines = dropped_lines.load(Ordering::SeqCst);
    report.api_calls = sim.stats().total();
    report.violations = sim.violations();
    let mut differs = differences(&expand_json(&case.value["expected"], &tokens, now), &report);
    let is_open = case.value["confidence"] == "open";
    if is_open {
        report.differs = differs;
    } else {
        report.why.append(&mut differs);
    }
    report.verdict = match (report.why.is_empty(), is_open) {
        (false, _) => Verdict::Fail,
        (true, true) => Verdict::Open,
        (true, false) => Verdict::Pass,
    };
    Ok(report)
}

impl Report {
    fn read(&mut self, call: &CallResult) {
        let Some(result) = &call.result else { return };
        self.location = result.redirect();
        self.status = Some(match (call.status, &self.location) {
            (ffi::CLERK_OK, _) => SIGNED_IN,
            (ffi::CLERK_UNAVAILABLE, _) => "unavailable",
            (_, Some(_)) if is_started(&result.set_cookies()) => "handshake",
            _ => "signed_out",
        });
        self.reason = result.reason();
        self.user_id = json!(result.user_id());
        self.session_id = json!(result.get(Attribute::SessionId));
        self.set_cookie = result.set_cookies();
        self.cache_control = result.cache_control();
    }
}

/// Whether the lines count a redirect to Clerk, unlike those of a return from Clerk.
fn is_started(lines: &[String]) -> bool {
    lines.len() == 1 && lines[0].starts_with("__clerk_redirect_count=")
}

fn start_api(corpus: &Corpus, case: &Case, tokens: &Tokens, now: i64) -> Result<Sim> {
    let sim = Sim::builder().keys(corpus.keys.clone()).try_start()?;
    let mut api = expand_json(&case.value["api"], tokens, now);
    let mut scripted = Vec::new();
    if let Some(members) = api.as_object_mut() {
        let closed = |value: &Value| value["$close"] == true;
        if members.get("nonces").and_then(Value::as_object).is_some_and(|nonces| nonces.values().any(closed)) {
            scripted.push(json!({"path": "/clients/handshake_payload", "close": true}));
        }
        if members.get("refresh").is_some_and(closed) {
            scripted.push(json!({"path": "/sessions/*/refresh", "close": true}));
        }
        if let Some(status) = members.shift_remove("jwks_status") {
            scripted.push(json!({"path": "/jwks", "status": status}));
        }
    }
    let (state, _) = corpus.api_state(Some(&api))?;
    sim.update(|current| *current = state);
    sim.set_faults(faults(&json!({"faults": scripted}))?);
    Ok(sim)
}

/// Splits an absolute URL into scheme, host and target.
fn split(url: &str) -> Result<[&str; 3]> {
    let (scheme, rest) = url.split_once("://").ok_or("request.url: must be absolute")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Ok([scheme, &rest[..end], &rest[end..]])
}

/// What no response may contain, whatever the case expects.
fn unsafe_values(report: &Report) -> Vec<String> {
    let is_safe = |value: &&String| value.bytes().all(|b| (0x20..=0x7e).contains(&b));
    let values = report.location.iter().chain(&report.set_cookie);
    values.filter(|value| !is_safe(value)).map(|value| format!("unsafe header value {value:?}")).collect()
}

fn differences(expected: &Value, report: &Report) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |name: &str, is_same: bool, wanted: &Value, got: Value| {
        if !is_same {
            found.push(format!("{name}: {got}, expected {wanted}"));
        }
    };
    let status = json!(report.status);
    compare("status", status == expected["status"], &expected["status"], status);
    if let Some(word) = expected["reason"].as_str() {
        let is_same = report.reason.as_deref().is_some_and(|reason| synonyms(word).contains(&reason));
        compare("reason", is_same, &expected["reason"], json!(report.reason));
    }
    if expected["status"] == SIGNED_IN {
        for (name, got) in [("user_id", &report.user_id), ("session_id", &report.session_id)] {
            compare(name, expected.get(name).is_none_or(|wanted| got == wanted), &expected[name], got.clone());
        }
    }
    let also = expected["location_also"].as_array().cloned().unwrap_or_default();
    let wanted = expected.get("location").filter(|location| !location.is_null());
    let got = report.location.as_deref().map_or(Value::Null, decoded);
    let is_same = wanted.map_or(got.is_null(), |wanted| *wanted == got || also.contains(&got));
    compare("location", is_same, &expected["location"], got);
    let lines = json!(report.set_cookie);
    match expected.get("set_cookie") {
        Some(wanted) => compare("set_cookie", lines == *wanted, wanted, lines),
        None if expected.get("dropped_lines").is_some() => {}
        None => compare("set_cookie", report.set_cookie.is_empty(), &json!([]), lines),
    }
    if let Some(wanted) = expected.get("cache_control") {
        compare("cache_control", json!(report.cache_control) == *wanted, wanted, json!(report.cache_control));
    }
    if let Some(wanted) = expected.get("dropped_lines") {
        compare("dropped_lines", json!(report.dropped_lines) == *wanted, wanted, json!(report.dropped_lines));
    }
    found
}

/// The library's names of a reason, for which Clerk's JavaScript SDK may have another word. A token of a JWT template is invalid
/// or of another type, as in `verdicts.json`.
fn synonyms(word: &str) -> Vec<&str> {
    match word {
        "session-token-nbf" => vec!["token-not-active-yet"],
        "session-token-iat-in-the-future" => vec!["token-iat-in-the-future"],
        "token-type-mismatch" => vec!["token-type-not-supported", "token-invalid"],
        word if word.starts_with("session-token-expired-refresh-") => vec!["token-expired"],
        word => vec![word],
    }
}

/// Splits a URL into its address and its decoded query, in order.
fn decoded(url: &str) -> Value {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let decode = |text: &str| clerk_sim::percent_decode(&text.replace('+', " "));
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        json!([decode(name), decode(value)])
    });
    json!({"address": address, "query": pairs.collect::<Vec<_>>()})
}
