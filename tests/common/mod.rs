//! Shared by the integration tests: a client of the fake Clerk API, a manual clock, an event log.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod lateness;
pub mod table;
pub mod tcp_proxy;
pub mod unresponsive_server;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clerk_auth::internals::{Config, builder};
use clerk_auth::stepwise::{AuthProgress, NextAction, PendingAuth};
use clerk_auth::users::UserStore;
use clerk_auth::{AuthResult, Client, Event, Outcome, Request, Secret, TokenHash};
use clerk_sim::{Sim, TokenSpec};

/// The time at the start of every test, in seconds since 1970.
pub const NOW_S: i64 = 1_800_000_000;
/// The secret key of the clients.
pub const SECRET: &str = "sk_test_simulated";
/// The tolerated delay of a result after `timeout_ms`: waking a thread takes time on a busy machine.
pub const SLACK: Duration = Duration::from_millis(250);

/// A clock that tests advance.
#[derive(Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl Default for ManualClock {
    fn default() -> Self {
        ManualClock(Arc::new(AtomicI64::new(NOW_S * 1000)))
    }
}

impl ManualClock {
    pub fn clock(&self) -> impl Fn() -> i64 + use<> {
        let ms = self.0.clone();
        move || ms.load(Ordering::SeqCst)
    }

    pub fn now_s(&self) -> i64 {
        self.0.load(Ordering::SeqCst).div_euclid(1000)
    }

    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn advance_s(&self, seconds: i64) {
        self.advance_ms(seconds * 1000);
    }
}

/// All events as strings, in order.
#[derive(Clone, Default)]
pub struct EventLog(Arc<Mutex<(Vec<String>, Vec<TokenHash>)>>);

impl EventLog {
    pub fn handler(&self) -> impl Fn(&Event<'_>) + use<> {
        let event_log = self.clone();
        move |event| event_log.record(event)
    }

    fn record(&self, event: &Event<'_>) {
        let words = match event {
            Event::AuthSuccess { source, .. } => format!("auth_success {}", source.as_str()),
            Event::AuthFailed { reason, .. } => format!("auth_failed {reason}"),
            Event::CacheMiss { .. } => "cache_miss".into(),
            Event::UserCreated { .. } => "user_created".into(),
            Event::UserUpdated { .. } => "user_updated".into(),
            Event::UserLinked { .. } => "user_linked".into(),
            Event::LinkConflict { .. } => "link_conflict".into(),
            Event::JwksRefreshed => "jwks_refreshed".into(),
            Event::RateLimited { retry_after_ms } => format!("rate_limited {retry_after_ms}"),
            Event::JwksFetchLimited { retry_after_ms } => format!("jwks_fetch_limited {retry_after_ms}"),
            Event::StaleUserServed { .. } => "stale_user_served".into(),
            Event::SecretKeyRejected => "secret_key_rejected".into(),
            Event::UserDeleted { .. } => "user_deleted".into(),
            Event::HandshakeStarted { reason } => format!("handshake_started {reason}"),
            Event::HandshakeResolved { source, dropped_lines } => {
                format!("handshake_resolved {} {dropped_lines}", source.as_str())
            }
            Event::HandshakeFailed { reason } => format!("handshake_failed {reason}"),
            Event::SharedCacheUnavailable => "shared_cache_unavailable".into(),
            Event::SharedCacheAvailable => "shared_cache_available".into(),
            other => panic!("an event that the log does not know: {other:?}"),
        };
        let hash = match event {
            Event::AuthSuccess { token_hash, .. } | Event::CacheMiss { token_hash } => Some(*token_hash),
            Event::AuthFailed { token_hash, .. } => *token_hash,
            _ => None,
        };
        let mut event_log = self.0.lock().unwrap();
        event_log.0.push(words);
        event_log.1.extend(hash);
    }

    /// Returns the events since the last call.
    pub fn take(&self) -> Vec<String> {
        let mut event_log = self.0.lock().unwrap();
        event_log.1.clear();
        std::mem::take(&mut event_log.0)
    }

    /// Returns the token hashes since the last call.
    pub fn take_hashes(&self) -> Vec<TokenHash> {
        let mut event_log = self.0.lock().unwrap();
        event_log.0.clear();
        std::mem::take(&mut event_log.1)
    }
}

/// A client, its fake Clerk API, its clock and its events.
pub struct Fixture {
    pub sim: Sim,
    pub time: ManualClock,
    pub event_log: EventLog,
    pub client: Client,
}

impl Fixture {
    /// Creates a client with a secret key, so that the JWK set and users are fetched; `tune` may change that.
    pub fn new(tune: impl FnOnce(&mut Config)) -> Fixture {
        Fixture::build(Sim::start(), None, tune)
    }

    /// Does the same with a user table.
    pub fn with_store(store: Arc<dyn UserStore>, tune: impl FnOnce(&mut Config)) -> Fixture {
        Fixture::build(Sim::start(), Some(store), tune)
    }

    pub fn build(sim: Sim, store: Option<Arc<dyn UserStore>>, tune: impl FnOnce(&mut Config)) -> Fixture {
        let (time, event_log) = (ManualClock::default(), EventLog::default());
        let client = client(&sim, &time, &event_log, store, tune);
        Fixture { sim, time, event_log, client }
    }

    /// Returns a new session token of a user.
    pub fn token(&self, user: &str) -> String {
        self.mint(&TokenSpec::session(user))
    }

    pub fn mint(&self, spec: &TokenSpec) -> String {
        self.sim.mint(spec, self.time.now_s())
    }

    /// Authenticates with a bearer token and returns the outcome as a string.
    pub fn ask(&self, token: &str) -> String {
        word(&bearer(&self.client, token))
    }

    /// Authenticates with a new session token of a user.
    pub fn authenticate_new(&self, user: &str) -> String {
        self.ask(&self.token(user))
    }

    /// Counts all calls to Clerk.
    pub fn calls(&self) -> usize {
        self.sim.stats().total()
    }
}

/// Creates a client of a fake Clerk API.
pub fn client(
    sim: &Sim,
    time: &ManualClock,
    event_log: &EventLog,
    store: Option<Arc<dyn UserStore>>,
    tune: impl FnOnce(&mut Config),
) -> Client {
    let mut config = Config::new();
    config.api_url = sim.url();
    config.secret_key = Some(Secret::new(SECRET));
    // Each request sees the row as it is.
    config.row_check_ttl_s = 0;
    tune(&mut config);
    let mut builder = builder(config).on_event(event_log.handler()).clock(time.clock());
    if let Some(store) = store {
        builder = builder.user_store(store);
    }
    builder.build().unwrap()
}

/// Returns the instance's key as PEM.
pub fn pem(sim: &Sim) -> Option<String> {
    Some(sim.keys().pem("k1"))
}

pub fn bearer(client: &Client, token: &str) -> Arc<AuthResult> {
    let line = format!("Bearer {token}");
    let mut request = Request::new();
    request.header(b"Authorization", line.as_bytes());
    client.authenticate(&request)
}

/// Authenticates from the caches; `None` if that is not possible.
pub fn inline(client: &Client, token: &str) -> Option<String> {
    let line = format!("Bearer {token}");
    let mut request = Request::new();
    request.header(b"Authorization", line.as_bytes());
    client.authenticate_cached(&request).map(|answer| word(&answer))
}

/// Authenticates with cookie lines.
pub fn cookies(client: &Client, lines: &[&str]) -> String {
    let mut request = Request::new();
    for line in lines {
        request.header(b"Cookie", line.as_bytes());
    }
    word(&client.authenticate(&request))
}

/// Authenticates step by step; the test queries the store.
pub fn stepwise(client: &Client, token: &str, store: &dyn UserStore) -> String {
    let line = format!("Bearer {token}");
    let mut request = Request::new();
    request.header(b"Authorization", line.as_bytes());
    match client.begin(&request) {
        AuthProgress::Done(answer) => word(&answer),
        AuthProgress::Pending(pending) => word(&drive(*pending, store)),
    }
}

fn drive(mut pending: PendingAuth, store: &dyn UserStore) -> Arc<AuthResult> {
    for _ in 0..500 {
        match pending.next_action() {
            NextAction::QueryStore(step) => {
                let reply = table::answer(store, &step.clone());
                pending.submit(reply);
            }
            NextAction::FetchUser => pending.fetch_user(),
            NextAction::Done => return pending.into_result(),
        }
    }
    panic!("the authentication does not end");
}

/// Returns the outcome as a string: `in verified`, `in cache`, or another outcome with its reason.
pub fn word(answer: &AuthResult) -> String {
    match answer.outcome() {
        Outcome::SignedIn { source, .. } => {
            assert!(answer.identity().is_some());
            format!("in {}", source.as_str())
        }
        Outcome::SignedOut { reason } => format!("out {reason}"),
        Outcome::NoCredentials { reason } => format!("none {reason}"),
        Outcome::Unavailable { reason, .. } => format!("unavailable {reason}"),
    }
}

/// Returns `retry_after_ms` of a result.
pub fn retry_after_ms(answer: &AuthResult) -> Option<u64> {
    match answer.outcome() {
        Outcome::Unavailable { retry_after_ms, .. } => retry_after_ms,
        _ => None,
    }
}

/// The milliseconds that `make faults` tolerates. It is for a machine that does nothing else: nothing is repeated.
pub fn strict_ms() -> Option<u64> {
    std::env::var("CLERK_TEST_SLACK_MS").ok().map(|ms| ms.parse().expect("CLERK_TEST_SLACK_MS is a number"))
}

/// Returns by how much a result may be late: beside what the machine is late, if that is strict.
pub fn tolerated(otherwise: Duration) -> Duration {
    strict_ms().map_or(otherwise, |ms| Duration::from_millis(ms) + lateness::of_machine())
}

pub fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let before = Instant::now();
    let outcome = run();
    (outcome, before.elapsed())
}

/// Counts the events that end a request.
pub fn auth_events(events: &[String]) -> usize {
    events.iter().filter(|event| event.starts_with("auth_")).count()
}

/// A directory that is removed with its test.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> TempDir {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("clerk-auth-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        TempDir(path)
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
