//! What the integration tests share: a client wired to the stand-in for Clerk, a clock set by hand, a diary of events.

#![allow(dead_code)] // each test binary uses a part of it

pub mod door;
pub mod table;
pub mod trap;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clerk_auth::client::{AuthProgress, NextAction, PendingAuth};
use clerk_auth::clock::Clock;
use clerk_auth::config::Secret;
use clerk_auth::events::{Event, EventHandlers};
use clerk_auth::token::TokenHash;
use clerk_auth::users::UserStore;
use clerk_auth::{AuthResult, Client, ClientBuilder, Config, Outcome, Request};
use clerk_sim::{Sim, TokenSpec};

/// The moment at which every test begins, in seconds since 1970.
pub const NOW_S: i64 = 1_800_000_000;
/// The secret key that clients show.
pub const SECRET: &str = "sk_test_simulated";
/// How much later than `timeout_ms` an answer may come: a thread has to be woken up on a busy machine.
pub const SLACK: Duration = Duration::from_millis(250);

/// A clock that only moves when it is told to.
#[derive(Clone)]
pub struct Time(Arc<AtomicI64>);

impl Default for Time {
    fn default() -> Self {
        Time(Arc::new(AtomicI64::new(NOW_S * 1000)))
    }
}

impl Time {
    pub fn clock(&self) -> Clock {
        let ms = self.0.clone();
        Clock::from_fn(move || ms.load(Ordering::SeqCst))
    }

    pub fn now_s(&self) -> i64 {
        self.0.load(Ordering::SeqCst).div_euclid(1000)
    }

    pub fn pass_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn pass_s(&self, seconds: i64) {
        self.pass_ms(seconds * 1000);
    }
}

/// Every event in words, in order.
#[derive(Clone, Default)]
pub struct Diary(Arc<Mutex<(Vec<String>, Vec<TokenHash>)>>);

impl Diary {
    pub fn listeners(&self) -> EventHandlers {
        let mut listeners = EventHandlers::default();
        let diary = self.clone();
        listeners.on_event(move |event| diary.note(event));
        listeners
    }

    fn note(&self, event: &Event<'_>) {
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
            Event::StaleUserServed { .. } => "stale_user_served".into(),
            Event::SecretKeyRejected => "secret_key_rejected".into(),
            Event::UserDeleted { .. } => "user_deleted".into(),
        };
        let hash = match event {
            Event::AuthSuccess { token_hash, .. } | Event::CacheMiss { token_hash } => Some(*token_hash),
            Event::AuthFailed { token_hash, .. } => *token_hash,
            _ => None,
        };
        let mut diary = self.0.lock().unwrap();
        diary.0.push(words);
        diary.1.extend(hash);
    }

    /// The events since the last time.
    pub fn take(&self) -> Vec<String> {
        let mut diary = self.0.lock().unwrap();
        diary.1.clear();
        std::mem::take(&mut diary.0)
    }

    /// The hashes of tokens since the last time.
    pub fn take_hashes(&self) -> Vec<TokenHash> {
        let mut diary = self.0.lock().unwrap();
        diary.0.clear();
        std::mem::take(&mut diary.1)
    }
}

/// A client, the Clerk it talks to, its clock and its events.
pub struct Rig {
    pub sim: Sim,
    pub time: Time,
    pub diary: Diary,
    pub client: Client,
}

impl Rig {
    /// With a secret key, so that the key set and users are fetched, unless `tune` changes that.
    pub fn new(tune: impl FnOnce(&mut Config)) -> Rig {
        Rig::build(Sim::start(), None, tune)
    }

    /// The same, with a user table.
    pub fn with_store(store: Arc<dyn UserStore>, tune: impl FnOnce(&mut Config)) -> Rig {
        Rig::build(Sim::start(), Some(store), tune)
    }

    pub fn build(sim: Sim, store: Option<Arc<dyn UserStore>>, tune: impl FnOnce(&mut Config)) -> Rig {
        let (time, diary) = (Time::default(), Diary::default());
        let client = client(&sim, &time, &diary, store, tune);
        Rig { sim, time, diary, client }
    }

    /// A fresh session token of a user.
    pub fn token(&self, user: &str) -> String {
        self.mint(&TokenSpec::session(user))
    }

    pub fn mint(&self, spec: &TokenSpec) -> String {
        self.sim.mint(spec, self.time.now_s())
    }

    /// Authenticates with a bearer token and says in words how it ended.
    pub fn ask(&self, token: &str) -> String {
        word(&bearer(&self.client, token))
    }

    /// A fresh token of a user, authenticated.
    pub fn ask_new(&self, user: &str) -> String {
        self.ask(&self.token(user))
    }

    /// How often Clerk was asked for anything.
    pub fn calls(&self) -> usize {
        self.sim.stats().total()
    }
}

/// A client of a simulated Clerk.
pub fn client(
    sim: &Sim,
    time: &Time,
    diary: &Diary,
    store: Option<Arc<dyn UserStore>>,
    tune: impl FnOnce(&mut Config),
) -> Client {
    let mut config = Config::new();
    config.api_url = sim.url();
    config.secret_key = Some(Secret::new(SECRET));
    tune(&mut config);
    let builder =
        ClientBuilder { config, store, listeners: diary.listeners(), clock: Some(time.clock()), transport: None };
    builder.build().unwrap()
}

/// The instance's own key as PEM.
pub fn pem(sim: &Sim) -> Option<String> {
    Some(sim.keys().pem("k1"))
}

pub fn bearer(client: &Client, token: &str) -> Arc<AuthResult> {
    let line = format!("Bearer {token}");
    let mut request = Request::new();
    request.header(b"Authorization", line.as_bytes());
    client.authenticate(&request)
}

/// Authenticates without waiting; `None` when that is not possible.
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

/// Authenticates step by step, the store's part done by the caller.
pub fn by_hand(client: &Client, token: &str, store: &dyn UserStore) -> String {
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
    panic!("the authentication does not come to an end");
}

/// An answer in words: `in api`, `in cache`, or how else it ended and why.
pub fn word(answer: &AuthResult) -> String {
    match answer.outcome {
        Outcome::SignedIn { source, .. } => {
            assert!(answer.identity().is_some());
            format!("in {}", source.as_str())
        }
        Outcome::SignedOut { reason } => format!("out {reason}"),
        Outcome::NoCredentials { reason } => format!("none {reason}"),
        Outcome::Unavailable { reason, .. } => format!("unavailable {reason}"),
    }
}

/// How long an answer says to wait.
pub fn retry_after_ms(answer: &AuthResult) -> Option<u64> {
    match answer.outcome {
        Outcome::Unavailable { retry_after_ms, .. } => retry_after_ms,
        _ => None,
    }
}

pub fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let before = Instant::now();
    let outcome = run();
    (outcome, before.elapsed())
}

/// How many events tell of the end of a request.
pub fn endings(events: &[String]) -> usize {
    events.iter().filter(|event| event.starts_with("auth_")).count()
}

/// A folder that goes away with its test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("clerk-auth-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
