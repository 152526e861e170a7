//! A soak test: threads authenticate with session tokens and API keys, also invented ones, while users change, are banned and
//! deleted, sessions end, keys rotate, the clock steps and Clerk fails. An oracle knows the right result of each request. `CLERK_SOAK_S` sets the duration; `make soak MINUTES=15` takes longer than
//! `cargo test`.
//!
//! Fails on a wrong result, on more or fewer events than requests, on a result after its deadline, and if memory, descriptors or
//! threads grow. Writes `build/soak/soak.csv`, `rss.svg` and `latency.svg`.

#[path = "soak/chart.rs"]
mod chart;
#[path = "soak/clerk.rs"]
mod clerk;
#[path = "common/lateness.rs"]
mod lateness;
#[path = "soak/process.rs"]
mod process;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clerk_auth::users::SqliteStore;
use clerk_auth::{
    AuthResult, Client, Event, Outcome, Reason, Request, TokenKind, UserMode, WebhookHeaders, WebhookOutcome,
};
use clerk_sim::encoding::b64u;
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Spoil, TokenSpec};
use serde_json::json;

use clerk::FakeClerk;
use process::Sample;

const USERS: usize = 200;
/// The first users have an API key, and are not deleted.
const API_KEYS: usize = 10;
const THREADS: usize = 4;
const TIMEOUT: Duration = Duration::from_millis(1000);
/// The tolerated delay after the timeout, beside what the machine itself delays.
const SLACK: Duration = Duration::from_millis(50);
/// How long a new key may be rejected: a second until the set may be fetched again, and the fetch.
const NEW_KEY: Duration = Duration::from_millis(1500);
/// How far the clock of the client steps, to and fro. Tokens are minted with the right time.
const STEP_MS: i64 = 3000;

/// What is right for a user now.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Status {
    Active,
    /// Banned or deleted, and the client knows it.
    Blocked,
    /// A change is under way.
    Changing,
}

struct User {
    id: String,
    status: Status,
    /// Raised with each change: a result is checked only if nothing has changed meanwhile.
    changes: u64,
    /// Whose tokens have ended, and which is current.
    session: usize,
    token: String,
    ended: Option<String>,
    forged: String,
    expired: String,
}

struct World {
    users: Vec<RwLock<User>>,
    /// Raised when a fault begins or has ended and its effects are over.
    faults: AtomicU64,
    is_faulty: AtomicBool,
    /// When the key was rotated.
    rotated: RwLock<Instant>,
    /// What the client's clock is ahead.
    ahead_ms: AtomicI64,
    invented: AtomicU64,
    requests: AtomicU64,
    checked: AtomicU64,
    events: AtomicU64,
    /// Results and events of requests that were accepted.
    accepted: AtomicU64,
    successes: AtomicU64,
    latencies_us: Mutex<Vec<u64>>,
    is_over: AtomicBool,
}

fn session(user: &str, number: usize) -> String {
    format!("sess_{user}x{number}")
}

fn api_key(number: usize) -> String {
    format!("ak_{number}")
}

impl World {
    /// A token with a key id that does not exist, or an opaque one. No two are equal.
    fn invent(&self, is_opaque: bool) -> String {
        let n = self.invented.fetch_add(1, Ordering::SeqCst);
        if is_opaque {
            return format!("ak_invented_{n}");
        }
        let header = format!(r#"{{"alg":"RS256","kid":"ins_invented_{n}","typ":"JWT"}}"#);
        format!("{}.{}.{}", b64u(header.as_bytes()), b64u(br#"{"sub":"user_1","exp":4000000000}"#), "A".repeat(342))
    }

    fn authenticate(&self, client: &Client, token: &str, is_cached_first: bool) -> Arc<AuthResult> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let line = format!("Bearer {token}");
        let mut request = Request::new();
        request.header(b"Authorization", line.as_bytes());
        let cached = is_cached_first.then(|| client.authenticate_cached(&request)).flatten();
        let result = cached.unwrap_or_else(|| client.authenticate(&request));
        let is_accepted = matches!(result.outcome(), Outcome::SignedIn { .. });
        self.accepted.fetch_add(u64::from(is_accepted), Ordering::SeqCst);
        result
    }
}

impl User {
    fn new(clerk: &FakeClerk, number: usize, version: u64) -> User {
        let id = format!("user_{number}v{version}");
        clerk.put_user(&json!({"id": id, "username": id, "updated_at": version}));
        let mint = |spec: TokenSpec| clerk.mint(&spec);
        let (status, token) = (Status::Active, mint(TokenSpec::session(&id).sid(&session(&id, 0)).exp_in(3600)));
        let forged = mint(TokenSpec::session(&id).spoil(Spoil::WrongKey));
        let expired = mint(TokenSpec::session(&id).exp_in(-60));
        User { id, status, changes: 0, session: 0, token, ended: None, forged, expired }
    }
}

/// Whether a rejected token of this kind may be rejected for this reason. Keys are removed while tokens of them are sent.
fn is_right(kind: u64, reason: Reason) -> bool {
    let is_of_user = matches!(reason, Reason::UserInactive | Reason::UserNotFound);
    match (kind, reason) {
        (4, reason) => reason == Reason::TokenInvalid,
        (3, _) => is_of_user,
        (_, Reason::JwkKidMismatch) => true,
        (0, reason) => reason == Reason::TokenInvalidSignature,
        (1, reason) => reason == Reason::TokenExpired,
        (2, reason) => is_of_user || reason == Reason::SessionRevoked,
        (5..=8, _) => false,
        _ => is_of_user,
    }
}

/// One request and its check.
fn ask(world: &World, client: &Client, number: usize, kind: u64) {
    let number = if kind == 3 { number % API_KEYS } else { number };
    let before = world.users[number].read().unwrap();
    let (token, changes, status) = match kind {
        0 => (before.forged.clone(), before.changes, Status::Blocked),
        1 => (before.expired.clone(), before.changes, Status::Blocked),
        2 if before.ended.is_some() => (before.ended.clone().unwrap(), before.changes, Status::Blocked),
        3 => (api_key(number), before.changes, before.status),
        4..=8 => (world.invent(kind == 4), before.changes, Status::Blocked),
        _ => (before.token.clone(), before.changes, before.status),
    };
    let id = before.id.clone();
    drop(before);
    let (faults, is_faulty) = (world.faults.load(Ordering::SeqCst), world.is_faulty.load(Ordering::SeqCst));
    let begun = Instant::now();
    let result = world.authenticate(client, &token, kind.is_multiple_of(3));
    let took = begun.elapsed();
    world.latencies_us.lock().unwrap().push(took.as_micros() as u64);
    let late = lateness::of_machine();
    assert!(took <= TIMEOUT + SLACK + late, "{took:?} for one request");
    let is_same = world.users[number].read().unwrap().changes == changes;
    let is_calm = !is_faulty && world.faults.load(Ordering::SeqCst) == faults;
    if !is_same || status == Status::Changing {
        return;
    }
    world.checked.fetch_add(1, Ordering::SeqCst);
    match (result.outcome(), status) {
        (Outcome::SignedIn { .. }, Status::Active) => {
            assert_eq!(result.identity().and_then(|identity| identity.user_id()), Some(id.as_str()));
        }
        (Outcome::SignedOut { reason }, Status::Blocked) if is_right(kind, reason) => {}
        // Unavailable is right while Clerk fails, and for an invented opaque token beyond the limit.
        (Outcome::Unavailable { .. }, _) if !is_calm || kind == 4 => {}
        // On a busy machine the imitation of Clerk may be late as well.
        (Outcome::Unavailable { .. }, _) if took >= TIMEOUT && late >= Duration::from_millis(50) => {}
        (Outcome::SignedOut { reason: Reason::JwkKidMismatch }, _)
            if begun.duration_since(*world.rotated.read().unwrap()) < NEW_KEY + late => {}
        (outcome, status) => {
            let rotated = world.rotated.read().unwrap().elapsed();
            let error = result.error();
            panic!("{id} is {status:?}, but the result is {outcome:?} ({error:?}), {rotated:?} after a rotation")
        }
    }
}

fn deliver(clerk: &FakeClerk, client: &Client, kind: &str, id: &str) -> bool {
    let delivery = clerk.webhook(kind, id);
    let mut headers = WebhookHeaders::new();
    for (name, value) in &delivery.0 {
        headers.header(name.as_bytes(), value.as_bytes());
    }
    // As Svix does: until it is accepted.
    for _ in 0..200 {
        match client.handle_webhook(&headers, delivery.1.as_bytes()) {
            WebhookOutcome::Applied => return true,
            WebhookOutcome::Ignored => return false,
            WebhookOutcome::Failed(_) => std::thread::sleep(Duration::from_millis(200)),
            WebhookOutcome::Rejected(error) => panic!("{kind} about {id} is rejected: {error}"),
        }
    }
    panic!("{kind} about {id} is never applied");
}

/// One change at Clerk or in the application.
fn change(world: &World, clerk: &FakeClerk, client: &Client, number: usize, kind: u64, version: u64) {
    let place = &world.users[number];
    let (id, was, old, next) = {
        let mut user = place.write().unwrap();
        let was = std::mem::replace(&mut user.status, Status::Changing);
        user.changes += 1;
        (user.id.clone(), was, user.session, user.session + 1)
    };
    let put = |extra: serde_json::Value| {
        let mut object = json!({"id": id, "username": id, "updated_at": version});
        object.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        clerk.put_user(&object);
    };
    let mut status = was;
    let mut ended = None;
    let kind = kind % 5;
    match kind {
        0 => put(json!({"first_name": format!("v{version}"), "banned": was == Status::Blocked})),
        1 => {
            let is_banned = was == Status::Active;
            put(json!({"banned": is_banned}));
            status = if is_banned { Status::Blocked } else { Status::Active };
        }
        2 => {
            assert!(client.revoke_session(&session(&id, old)));
            ended = Some(next);
        }
        3 => {
            clerk.put_session(&json!({"id": session(&id, old), "user_id": id, "status": "revoked"}));
            assert!(deliver(clerk, client, "session.revoked", &session(&id, old)));
            ended = Some(next);
        }
        _ if number < API_KEYS => {}
        _ => {
            clerk.delete_user(&id);
            assert!(deliver(clerk, client, "user.deleted", &id));
            // Another user signs up.
            let other = User::new(clerk, number, version);
            let mut user = place.write().unwrap();
            let (ended, changes) = (Some(std::mem::take(&mut user.token)), user.changes + 1);
            *user = User { ended, changes, ..other };
            return;
        }
    }
    if kind < 2 {
        deliver(clerk, client, "user.updated", &id);
    }
    let token = clerk.mint(&TokenSpec::session(&id).sid(&session(&id, ended.unwrap_or(old))).exp_in(3600));
    let mut user = place.write().unwrap();
    if ended.is_some() {
        user.ended = Some(std::mem::take(&mut user.token));
    }
    (user.session, user.token, user.status) = (ended.unwrap_or(old), token, status);
    user.changes += 1;
}

/// Changes users one by one; now and then Clerk fails, or rotates its key.
fn changes(world: &World, clerk: &FakeClerk, client: &Client) {
    let mut n = 0_u64;
    while !world.is_over.load(Ordering::SeqCst) {
        n += 1;
        let mix = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        change(world, clerk, client, mix as usize % USERS, mix >> 9, n + 1);
        if n.is_multiple_of(150) {
            world.ahead_ms.store(STEP_MS * (n / 150 % 3) as i64 - STEP_MS, Ordering::SeqCst);
            clerk.rotate();
            *world.rotated.write().unwrap() = Instant::now();
            if n.is_multiple_of(300) {
                first_of_new_key(world, clerk, client);
            }
            // The set holds the new key and the last one: all tokens are replaced before the next rotation.
            for place in &world.users {
                let (id, session_number) = {
                    let user = place.read().unwrap();
                    (user.id.clone(), user.session)
                };
                let token = clerk.mint(&TokenSpec::session(&id).sid(&session(&id, session_number)).exp_in(3600));
                let mut user = place.write().unwrap();
                user.token = token;
                user.changes += 1;
            }
        }
        if n.is_multiple_of(100) {
            world.is_faulty.store(true, Ordering::SeqCst);
            world.faults.fetch_add(1, Ordering::SeqCst);
            clerk.fault(n / 100);
            std::thread::sleep(Duration::from_secs(1));
            clerk.heal();
            // A circuit stays open for at most 30 s; here few calls fail, so that it is a second or two.
            while !probe(world, client) {
                std::thread::sleep(Duration::from_millis(200));
            }
            world.faults.fetch_add(1, Ordering::SeqCst);
            world.is_faulty.store(false, Ordering::SeqCst);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Only one client has a token of the new key, and rarely sends it; in between, many unknown key ids are sent.
fn first_of_new_key(world: &World, clerk: &FakeClerk, client: &Client) {
    let (begun, pause) = (Instant::now(), Duration::from_millis(600));
    // An active user, who does not change meanwhile: only this thread changes users.
    let user =
        world.users.iter().map(|place| place.read().unwrap()).find(|user| user.status == Status::Active).unwrap();
    let token = clerk.mint(&TokenSpec::session(&user.id).sid("sess_new_key").exp_in(3600));
    drop(user);
    loop {
        let asked = Instant::now();
        let result = world.authenticate(client, &token, false);
        match result.outcome() {
            Outcome::SignedIn { .. } => return,
            Outcome::SignedOut { reason: Reason::JwkKidMismatch } => {}
            outcome => panic!("a token of the new key: {outcome:?} ({:?})", result.error()),
        }
        let late = lateness::of_machine();
        assert!(begun.elapsed() < NEW_KEY + pause + late, "a new key is rejected for {:?}", begun.elapsed());
        for _ in 0..3000 {
            world.authenticate(client, &world.invent(false), false);
        }
        std::thread::sleep(pause.saturating_sub(asked.elapsed()));
    }
}

/// Whether every kind of call works again.
fn probe(world: &World, client: &Client) -> bool {
    client.warm_up().is_ok()
        && (0..3).all(|number| {
            let user = world.users[number].read().unwrap();
            let token = user.token.clone();
            client.invalidate_user(&user.id);
            drop(user);
            let is_available = |token: &str| {
                !matches!(world.authenticate(client, token, false).outcome(), Outcome::Unavailable { .. })
            };
            is_available(&token) && is_available(&api_key(number))
        })
}

#[test]
fn results_stay_right_while_everything_changes() {
    if clerk::is_child() {
        return clerk::serve();
    }
    let seconds = std::env::var("CLERK_SOAK_S").ok().and_then(|s| s.parse().ok()).unwrap_or(5);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("build/soak");
    std::fs::create_dir_all(&folder).unwrap();
    let database = folder.join(format!("users-{}.db", std::process::id()));
    let clerk = FakeClerk::start();
    let world = Arc::new(World {
        users: (0..USERS).map(|number| RwLock::new(User::new(&clerk, number, 1))).collect(),
        faults: AtomicU64::new(0),
        is_faulty: AtomicBool::new(false),
        rotated: RwLock::new(Instant::now()),
        ahead_ms: AtomicI64::new(0),
        invented: AtomicU64::new(0),
        requests: AtomicU64::new(0),
        checked: AtomicU64::new(0),
        events: AtomicU64::new(0),
        accepted: AtomicU64::new(0),
        successes: AtomicU64::new(0),
        latencies_us: Mutex::new(Vec::new()),
        is_over: AtomicBool::new(false),
    });
    let (counter, clock) = (world.clone(), world.clone());
    let client = Client::builder()
        .secret_key("sk_test_soak")
        .api_url(clerk.url())
        .webhook_secrets([DEFAULT_WEBHOOK_SECRET])
        .accepts_token([TokenKind::SessionToken, TokenKind::ApiKey])
        .clock(move || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            now.as_millis() as i64 + clock.ahead_ms.load(Ordering::SeqCst)
        })
        .user_mode(UserMode::Sync)
        .user_store(Arc::new(SqliteStore::open(&database).unwrap()))
        .timeout_ms(TIMEOUT.as_millis() as u32)
        .cache_ttl_s(5)
        .user_ttl_s(3)
        .cache_capacity(1000)
        .on_event(move |event| {
            let is_end = matches!(event, Event::AuthSuccess { .. } | Event::AuthFailed { .. });
            counter.events.fetch_add(u64::from(is_end), Ordering::SeqCst);
            let is_success = matches!(event, Event::AuthSuccess { .. });
            counter.successes.fetch_add(u64::from(is_success), Ordering::SeqCst);
        })
        .build()
        .unwrap();
    for number in 0..API_KEYS {
        clerk.put_api_key(&api_key(number), &world.users[number].read().unwrap().id);
        // Before invented ones use up the limit of what Clerk has not accepted.
        let result = world.authenticate(&client, &api_key(number), false);
        assert!(matches!(result.outcome(), Outcome::SignedIn { .. }), "{result:?}");
    }
    let mut samples: Vec<Sample> = Vec::new();
    std::thread::scope(|scope| {
        let end = Guard(&world);
        scope.spawn(|| {
            let _end = Guard(&world);
            changes(&world, &clerk, &client);
        });
        for thread in 0..THREADS as u64 {
            let (world, client) = (&world, &client);
            scope.spawn(move || {
                let _end = Guard(world);
                let mut state = thread.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
                while !world.is_over.load(Ordering::SeqCst) {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    ask(world, client, (state >> 32) as usize % USERS, state % 50);
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
        }
        for _ in 0..seconds {
            std::thread::sleep(Duration::from_secs(1));
            if world.is_over.load(Ordering::SeqCst) {
                break;
            }
            samples.push(Sample::take(std::mem::take(&mut *world.latencies_us.lock().unwrap())));
        }
        drop(end);
    });
    let _ = std::fs::remove_file(&database);
    chart::write(&folder, &samples);
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    println!("soak: {seconds} s, {} requests, {} checked", count(&world.requests), count(&world.checked));
    assert_eq!(count(&world.events), count(&world.requests), "events and requests");
    assert_eq!(count(&world.successes), count(&world.accepted), "events and results of accepted requests");
    assert!(count(&world.checked) * 10 > count(&world.requests) * 5, "half of the results cannot be checked");
    process::assert_flat(&samples);
}

/// Ends the run, also when a thread panics.
struct Guard<'a>(&'a World);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}
