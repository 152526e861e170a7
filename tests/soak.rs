//! A soak test: threads authenticate while users change, are banned and deleted, sessions end, keys rotate and Clerk fails. An
//! oracle knows the right result of each request. `CLERK_SOAK_S` sets the duration; `make soak MINUTES=15` takes longer than
//! `cargo test`.
//!
//! Fails on a wrong result, on more or fewer events than requests, on a result after its deadline, and if memory, descriptors or
//! threads grow. Writes `build/soak/soak.csv`, `rss.svg` and `latency.svg`.

#[path = "soak/chart.rs"]
mod chart;
#[path = "soak/clerk.rs"]
mod clerk;
#[path = "soak/process.rs"]
mod process;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use clerk_auth::users::SqliteStore;
use clerk_auth::{Client, Event, Outcome, Request, UserMode, WebhookHeaders, WebhookOutcome};
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Spoil, TokenSpec};
use serde_json::json;

use clerk::FakeClerk;
use process::Sample;

const USERS: usize = 200;
const THREADS: usize = 4;
const TIMEOUT: Duration = Duration::from_millis(1000);
/// The tolerated delay after the timeout, beside what the machine itself delays.
const SLACK: Duration = Duration::from_millis(50);

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
    requests: AtomicU64,
    checked: AtomicU64,
    events: AtomicU64,
    /// How late the machine wakes up a thread, in microseconds: the worst of the last seconds.
    late_us: AtomicI64,
    latencies_us: Mutex<Vec<u64>>,
    is_over: AtomicBool,
}

fn session(user: usize, number: usize) -> String {
    format!("sess_{user}x{number}")
}

impl User {
    fn new(clerk: &FakeClerk, number: usize) -> User {
        let id = format!("user_{number}");
        clerk.put_user(&json!({"id": id, "username": format!("u{number}"), "updated_at": 1}));
        let mint = |spec: TokenSpec| clerk.mint(&spec);
        let (status, token) = (Status::Active, mint(TokenSpec::session(&id).sid(&session(number, 0)).exp_in(3600)));
        let forged = mint(TokenSpec::session(&id).spoil(Spoil::WrongKey));
        let expired = mint(TokenSpec::session(&id).exp_in(-60));
        User { id, status, changes: 0, session: 0, token, ended: None, forged, expired }
    }
}

/// One request and its check.
fn ask(world: &World, client: &Client, number: usize, kind: u64) {
    let before = world.users[number].read().unwrap();
    let (token, changes, status) = match kind {
        0 => (before.forged.clone(), before.changes, Status::Blocked),
        1 => (before.expired.clone(), before.changes, Status::Blocked),
        2 if before.ended.is_some() => (before.ended.clone().unwrap(), before.changes, Status::Blocked),
        _ => (before.token.clone(), before.changes, before.status),
    };
    let id = before.id.clone();
    drop(before);
    let (faults, is_faulty) = (world.faults.load(Ordering::SeqCst), world.is_faulty.load(Ordering::SeqCst));
    let line = format!("Bearer {token}");
    let mut request = Request::new();
    request.header(b"Authorization", line.as_bytes());
    let begun = Instant::now();
    let cached = kind.is_multiple_of(3).then(|| client.authenticate_cached(&request)).flatten();
    let result = cached.unwrap_or_else(|| client.authenticate(&request));
    let took = begun.elapsed();
    world.requests.fetch_add(1, Ordering::SeqCst);
    world.latencies_us.lock().unwrap().push(took.as_micros() as u64);
    let late = Duration::from_micros(world.late_us.load(Ordering::SeqCst).unsigned_abs());
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
        (Outcome::SignedOut { .. }, Status::Blocked) => {}
        // Unavailable is right while Clerk fails.
        (Outcome::Unavailable { .. }, _) if !is_calm => {}
        (outcome, status) => panic!("{id} is {status:?}, but the result is {outcome:?} ({:?})", result.error()),
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
        let mut object = json!({"id": id, "username": format!("u{number}"), "updated_at": version});
        object.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        clerk.put_user(&object);
    };
    let mut status = was;
    let mut ended = None;
    match kind % 4 {
        0 => put(json!({"first_name": format!("v{version}"), "banned": was == Status::Blocked})),
        1 => {
            let is_banned = was == Status::Active;
            put(json!({"banned": is_banned}));
            status = if is_banned { Status::Blocked } else { Status::Active };
        }
        2 => {
            assert!(client.revoke_session(&session(number, old)));
            ended = Some(next);
        }
        _ => {
            clerk.put_session(&json!({"id": session(number, old), "user_id": id, "status": "revoked"}));
            assert!(deliver(clerk, client, "session.revoked", &session(number, old)));
            ended = Some(next);
        }
    }
    if kind % 4 < 2 {
        deliver(clerk, client, "user.updated", &id);
    }
    let token = clerk.mint(&TokenSpec::session(&id).sid(&session(number, ended.unwrap_or(old))).exp_in(3600));
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
            clerk.rotate();
            // As after an announced rotation: else the first tokens of the new key wait for the limit that forged ones use.
            assert!(client.warm_up().is_ok());
            // The set holds the new key and the last one: all tokens are replaced before the next rotation.
            for (number, place) in world.users.iter().enumerate() {
                let (id, session_number) = {
                    let user = place.read().unwrap();
                    (user.id.clone(), user.session)
                };
                let token = clerk.mint(&TokenSpec::session(&id).sid(&session(number, session_number)).exp_in(3600));
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

/// Whether every kind of call works again.
fn probe(world: &World, client: &Client) -> bool {
    client.warm_up().is_ok()
        && (0..3).all(|number| {
            let user = world.users[number].read().unwrap();
            let line = format!("Bearer {}", user.token);
            client.invalidate_user(&user.id);
            drop(user);
            world.requests.fetch_add(1, Ordering::SeqCst);
            let result = client.authenticate(Request::new().header(b"Authorization", line.as_bytes()));
            !matches!(result.outcome(), Outcome::Unavailable { .. })
        })
}

/// Measures how late the machine wakes up a thread.
fn heartbeat(world: &World) {
    let mut recent = std::collections::VecDeque::new();
    while !world.is_over.load(Ordering::SeqCst) {
        let begun = Instant::now();
        std::thread::sleep(Duration::from_millis(5));
        recent.push_back((begun.elapsed() - Duration::from_millis(5)).as_micros() as i64);
        if recent.len() > 400 {
            recent.pop_front();
        }
        world.late_us.store(recent.iter().copied().max().unwrap_or_default(), Ordering::SeqCst);
    }
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
        users: (0..USERS).map(|number| RwLock::new(User::new(&clerk, number))).collect(),
        faults: AtomicU64::new(0),
        is_faulty: AtomicBool::new(false),
        requests: AtomicU64::new(0),
        checked: AtomicU64::new(0),
        events: AtomicU64::new(0),
        late_us: AtomicI64::new(0),
        latencies_us: Mutex::new(Vec::new()),
        is_over: AtomicBool::new(false),
    });
    let counter = world.clone();
    let client = Client::builder()
        .secret_key("sk_test_soak")
        .api_url(clerk.url())
        .webhook_secrets([DEFAULT_WEBHOOK_SECRET])
        .user_mode(UserMode::Sync)
        .user_store(Arc::new(SqliteStore::open(&database).unwrap()))
        .timeout_ms(TIMEOUT.as_millis() as u32)
        .cache_ttl_s(5)
        .user_ttl_s(3)
        .cache_capacity(1000)
        .on_event(move |event| {
            let is_end = matches!(event, Event::AuthSuccess { .. } | Event::AuthFailed { .. });
            counter.events.fetch_add(u64::from(is_end), Ordering::SeqCst);
        })
        .build()
        .unwrap();
    let mut samples: Vec<Sample> = Vec::new();
    std::thread::scope(|scope| {
        let end = Guard(&world);
        scope.spawn(|| heartbeat(&world));
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
