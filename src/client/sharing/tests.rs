//! Several clients on one engine that is slow, fails, or loses its entries.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::api::ClerkUser;
use crate::events::Level;
use crate::shared_cache::{Change, Engine, EngineError, StreamRead};
use crate::token::TokenHash;
use crate::webhooks::Headers;
use crate::{Client, ClientBuilder, Reason, Request, UserMode, WebhookOutcome};

/// What an engine stores.
#[derive(Clone, Default)]
struct Stored {
    values: HashMap<String, Vec<u8>>,
    /// The entries of the one stream that is used, by their numbers.
    entries: Vec<(u64, Vec<u8>)>,
    last: u64,
}

/// An engine that can be slow, fail, and go back to what it stored before.
#[derive(Default)]
struct TestEngine {
    stored: Mutex<Stored>,
    latency_us: AtomicU64,
    /// How many operations fail from now on.
    failures: AtomicI64,
    operations: AtomicU64,
    appended: AtomicU64,
    reads: AtomicU64,
}

impl TestEngine {
    fn run<T>(&self, operation: impl FnOnce(&mut Stored) -> T) -> Result<T, EngineError> {
        self.operations.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_micros(self.latency_us.load(Ordering::Relaxed)));
        if self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| (left > 0).then_some(left - 1))
            .is_ok()
        {
            return Err(EngineError::Unavailable("on purpose".into()));
        }
        Ok(operation(&mut self.stored.lock().unwrap()))
    }

    fn values(&self) -> usize {
        self.stored.lock().unwrap().values.len()
    }
}

impl Engine for TestEngine {
    fn get(&self, keys: &[String], _: Duration) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        self.run(|stored| keys.iter().map(|key| stored.values.get(key).cloned()).collect())
    }
    fn set(&self, key: &str, value: &[u8], _: Duration, absent: bool, _: Duration) -> Result<bool, EngineError> {
        self.run(|stored| {
            let is_stored = !absent || !stored.values.contains_key(key);
            if is_stored {
                stored.values.insert(key.into(), value.into());
            }
            is_stored
        })
    }
    fn delete(&self, keys: &[String], _: Duration) -> Result<(), EngineError> {
        self.run(|stored| keys.iter().for_each(|key| drop(stored.values.remove(key))))
    }
    fn append(&self, stream: &str, value: &[u8], _: Duration) -> Result<String, EngineError> {
        if stream.ends_with(":check") {
            return Ok("0".into());
        }
        self.run(|stored| {
            self.appended.fetch_add(1, Ordering::Relaxed);
            stored.last += 1;
            stored.entries.push((stored.last, value.into()));
            stored.last.to_string()
        })
    }
    // It never waits for an entry.
    fn read(&self, stream: &str, after: &str, _: Duration, _: Duration) -> Result<StreamRead, EngineError> {
        if stream.ends_with(":check") {
            return Ok(StreamRead::default());
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.run(|stored| {
            let newest = stored.entries.last().map_or(String::new(), |(number, _)| number.to_string());
            let Ok(after) = after.parse::<u64>() else {
                return StreamRead { last_id: newest, ..StreamRead::default() };
            };
            let has_gap = !stored.entries.iter().any(|(number, _)| *number == after);
            let later = stored.entries.iter().filter(|(number, _)| *number > after);
            let entries: Vec<_> = later.take(500).map(|(number, value)| (number.to_string(), value.clone())).collect();
            let last_id = entries.last().map_or(after.to_string(), |(id, _)| id.clone());
            StreamRead { entries, last_id, has_gap }
        })
    }
}

struct Fixture {
    engine: Arc<TestEngine>,
    now_ms: Arc<AtomicI64>,
}

impl Fixture {
    fn new() -> Self {
        Fixture { engine: Arc::default(), now_ms: Arc::new(AtomicI64::new(1_800_000_000_000)) }
    }

    fn client(&self) -> Client {
        self.build(|builder| builder)
    }

    fn required(&self) -> Client {
        self.build(|builder| builder.shared_cache_required(true))
    }

    /// A client that fetches users, from a port at which Clerk does not listen.
    fn profile(&self) -> Client {
        self.build(|builder| builder.user_mode(UserMode::Profile).secret_key("sk_test_x").api_url("http://127.0.0.1:9"))
    }

    fn build(&self, tune: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
        let (jwt_key, _) = crate::internals::example();
        let now_ms = self.now_ms.clone();
        let builder = Client::builder().jwt_key(jwt_key).clock(move || now_ms.load(Ordering::Relaxed));
        let builder = builder.publishable_key("pk_test_Y2xlcmsuZXhhbXBsZS5jb20k").on_log(Level::Error, |_, _| ());
        let secret = "0123456789abcdef0123456789abcdef";
        let builder = builder.shared_cache_secret([secret]).webhook_secrets(["whsec_c2VjcmV0"]);
        tune(builder.shared_cache_engine(self.engine.clone())).build().unwrap()
    }

    /// A client that reads the stream.
    fn reader(&self) -> Client {
        let client = self.client();
        client.poll(Duration::ZERO).unwrap();
        client
    }

    /// Lets the pause after an outage pass.
    fn advance(&self) {
        self.now_ms.fetch_add(60_000, Ordering::Relaxed);
    }

    /// Makes `count` revocations wait in a client, because the engine was away.
    fn outage(&self, client: &Client, count: usize) {
        self.engine.failures.store(3, Ordering::Relaxed);
        (0..count).for_each(|i| assert!(client.revoke_session(&format!("sess_{i}"))));
        assert_eq!(self.engine.failures.load(Ordering::Relaxed), 0);
        self.advance();
    }
}

/// Delivers an event, as the message with this id.
fn deliver(f: &Fixture, client: &Client, id: &str, body: &str) -> WebhookOutcome {
    receive(f, id, body, |headers, body| client.handle_webhook(headers, body))
}

/// Replays an event that another process has received.
fn replay(f: &Fixture, client: &Client, id: &str, body: &str) -> WebhookOutcome {
    receive(f, id, body, |headers, body| client.replay_webhook(headers, body))
}

fn receive<T>(f: &Fixture, id: &str, body: &str, process: impl FnOnce(&Headers<'_>, &[u8]) -> T) -> T {
    let timestamp = (f.now_ms.load(Ordering::Relaxed) / 1000).to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(tag));
    let mut headers = Headers::default();
    for (name, value) in [("svix-id", id), ("svix-timestamp", &timestamp), ("svix-signature", &signature)] {
        headers.header(name.as_bytes(), value.as_bytes());
    }
    process(&headers, body.as_bytes())
}

const REVOKING: [&str; 3] = [
    r#"{"type":"session.ended","data":{"id":"sess_ada","user_id":"user_ada","status":"ended"}}"#,
    r#"{"type":"user.deleted","data":{"id":"user_ada","deleted":true}}"#,
    r#"{"type":"user.updated","data":{"id":"user_ada","banned":true,"updated_at":1700000000000}}"#,
];

const ROLES: &str = r#"{"type":"role.updated","data":{}}"#;

fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    (run(), begun.elapsed())
}

fn reason(client: &Client) -> Option<Reason> {
    let authorization = format!("Bearer {}", crate::internals::example().1);
    client.authenticate(Request::new().header(b"Authorization", authorization.as_bytes())).reason()
}

/// A bounded share of a backlog, the call's own operations, and a busy machine.
const SHORT: Duration = Duration::from_millis(400);

#[test]
fn call_sends_its_own_change_and_a_bounded_part_of_the_backlog() {
    let f = Fixture::new();
    let (a, b) = (f.client(), f.reader());
    assert_eq!(reason(&b), None);
    f.outage(&a, 1000);
    // Three operations for each: six seconds for all of them.
    f.engine.latency_us.store(2000, Ordering::Relaxed);
    let (_, elapsed) = timed(|| a.revoke_session("sess_ada"));
    assert!(elapsed < SHORT, "{elapsed:?}");
    let (polled, elapsed) = timed(|| a.poll(Duration::ZERO).unwrap());
    assert!(polled == 0 && elapsed < SHORT, "{elapsed:?}");
    let (_, elapsed) = timed(|| a.poll(Duration::from_millis(250)));
    assert!(elapsed < Duration::from_millis(250) + SHORT, "{elapsed:?}");
    // Its own was sent first.
    b.poll(Duration::from_secs(5)).unwrap();
    assert_eq!(reason(&b), Some(Reason::SessionRevoked));
    f.engine.latency_us.store(0, Ordering::Relaxed);
    while a.inner.changes.has_unsent() {
        a.poll(Duration::ZERO).unwrap();
    }
    assert_eq!(f.engine.values(), 1001);
}

#[test]
fn poller_with_a_backlog_stops_and_sends_everything_in_the_end() {
    let f = Fixture::new();
    let a = f.client();
    f.outage(&a, 300);
    f.engine.latency_us.store(2000, Ordering::Relaxed);
    a.start_poller().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    a.inner.changes.cancel();
    let ((), elapsed) = timed(|| a.poller.stop());
    assert!(elapsed < SHORT && a.inner.changes.has_unsent(), "{elapsed:?}");
    f.engine.latency_us.store(0, Ordering::Relaxed);
    a.start_poller().unwrap();
    let begun = Instant::now();
    while a.inner.changes.has_unsent() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(f.engine.values(), 300);
}

#[test]
fn call_with_a_slow_engine_ends_in_the_time_of_one_call() {
    let f = Fixture::new();
    let a = f.build(|builder| builder.user_mode(UserMode::Profile).secret_key("sk_test_x").timeout_ms(600));
    a.poll(Duration::ZERO).unwrap();
    let set_latency = |ms: u64| f.engine.latency_us.store(ms * 1000, Ordering::Relaxed);
    // Operations of 100 ms: on a slow machine there are fewer of them.
    let operations = |call: &dyn Fn()| {
        set_latency(100);
        let before = f.engine.operations.load(Ordering::Relaxed);
        call();
        set_latency(0);
        f.engine.operations.load(Ordering::Relaxed) - before
    };
    for (id, body) in REVOKING.into_iter().enumerate().rev() {
        let count = operations(&|| assert_eq!(deliver(&f, &a, &format!("msg_{id}"), body), WebhookOutcome::Applied));
        assert!(count <= 6, "{count} operations: {body}");
    }
    // A poll that has something to read, to send, and to restore.
    while a.inner.changes.has_unsent() {
        a.poll(Duration::ZERO).unwrap();
    }
    *f.engine.stored.lock().unwrap() = Stored::default();
    a.poll(Duration::ZERO).unwrap();
    f.engine.failures.store(1, Ordering::Relaxed);
    assert!(a.revoke_user("user_eve") && a.inner.changes.has_unsent());
    for _ in 0..2 {
        let count = operations(&|| assert!(a.poll(Duration::ZERO).is_ok()));
        assert!(count <= 4, "{count} operations");
    }
}

#[test]
fn replayed_delivery_makes_no_engine_call() {
    let others = [
        r#"{"type":"user.updated","data":{"id":"user_ada","banned":false,"updated_at":1600000000000}}"#,
        r#"{"type":"session.pending","data":{"id":"sess_ada","user_id":"user_ada","status":"pending"}}"#,
        r#"{"type":"organizationMembership.deleted","data":{"public_user_data":{"user_id":"user_ada"}}}"#,
        r#"{"type":"organization.deleted","data":{"id":"org_1","deleted":true}}"#,
        ROLES,
    ];
    for (at, body) in others.into_iter().chain(REVOKING).enumerate() {
        for is_profile in [false, true] {
            let f = Fixture::new();
            let build = || if is_profile { f.profile() } else { f.client() };
            let (receiver, own) = (build(), build());
            f.engine.latency_us.store(15_000, Ordering::Relaxed);
            assert_eq!(deliver(&f, &receiver, "msg_1", body), WebhookOutcome::Applied, "{body}");
            let before = f.engine.operations.load(Ordering::Relaxed);
            assert_eq!(replay(&f, &own, "msg_1", body), WebhookOutcome::Applied, "{body}");
            assert_eq!(f.engine.operations.load(Ordering::Relaxed) - before, 0, "{body}");
            assert!(!own.inner.changes.has_unsent(), "{body}");
            let is_revoking = at >= others.len();
            assert_eq!(own.inner.changes.has_lost(), is_revoking, "{body}");
            assert_eq!(own.verify_token(crate::internals::example().1).reason().is_some(), is_revoking, "{body}");
            // If the receiver ended before it shared a revocation, this process does.
            f.engine.latency_us.store(0, Ordering::Relaxed);
            *f.engine.stored.lock().unwrap() = Stored::default();
            let _ = (own.poll(Duration::ZERO), own.poll(Duration::ZERO));
            assert_eq!(f.engine.values() > 0, is_revoking, "{body}");
        }
    }
}

#[test]
fn delivery_after_its_replay_is_processed_and_shared() {
    for body in REVOKING {
        let f = Fixture::new();
        let (own, other) = (f.client(), f.reader());
        assert_eq!(replay(&f, &own, "msg_1", body), WebhookOutcome::Applied, "{body}");
        assert_eq!(deliver(&f, &own, "msg_1", body), WebhookOutcome::Applied, "{body}");
        assert!(!own.inner.changes.has_unsent() && f.engine.values() > 0, "{body}");
        assert_eq!(replay(&f, &own, "msg_1", body), WebhookOutcome::Ignored, "{body}");
        assert_eq!(other.poll(Duration::from_secs(5)).unwrap(), 1, "{body}");
        assert!(other.verify_token(crate::internals::example().1).reason().is_some(), "{body}");
    }
}

#[test]
fn import_of_known_revocations_reads_nothing() {
    let f = Fixture::new();
    let (from, own) = (f.client(), f.reader());
    for i in 0..500 {
        from.inner.revocations.revoke_session(&format!("sess_{i}"), from.inner.clock.now());
        from.inner.revocations.revoke_user(&format!("user_{i}"), Reason::UserNotFound, from.inner.clock.now());
    }
    let mut json = from.export_revocations().unwrap();
    assert!(own.import_revocations(&json) && own.inner.changes.has_lost());
    while own.inner.changes.has_lost() || own.inner.changes.has_unsent() {
        own.poll(Duration::ZERO).unwrap();
    }
    assert_eq!(f.engine.values(), 1500);
    let poll = || {
        let before = f.engine.operations.load(Ordering::Relaxed);
        own.poll(Duration::ZERO).unwrap();
        f.engine.operations.load(Ordering::Relaxed) - before
    };
    poll();
    assert!(own.import_revocations(&json));
    assert_eq!(poll(), 1, "only the stream is read");
    // Of those that are new, one is looked up.
    from.inner.revocations.revoke_session("sess_new", from.inner.clock.now());
    json = from.export_revocations().unwrap();
    assert!(own.import_revocations(&json));
    assert!((2..20).contains(&poll()));
    assert_eq!(f.engine.values(), 1501);
}

#[test]
fn process_that_does_not_poll_sends_what_waits_with_later_requests() {
    let f = Fixture::new();
    let a = f.client();
    f.outage(&a, 3);
    for _ in 0..3 {
        // Only here.
        a.inner.invalidate_token(&TokenHash::of(crate::internals::example().1.as_bytes()));
        assert_eq!(reason(&a), None);
    }
    assert!(!a.inner.changes.has_unsent());
}

#[test]
fn change_that_cannot_be_sent_stops_no_other() {
    let f = Fixture::new();
    let (a, b) = (f.client(), f.reader());
    assert_eq!(reason(&b), None);
    a.invalidate_user(&"x".repeat(100_000));
    assert!(!a.inner.changes.has_unsent());
    a.revoke_session("sess_ada");
    b.poll(Duration::from_secs(5)).unwrap();
    assert_eq!(reason(&b), Some(Reason::SessionRevoked));
}

#[test]
fn revocation_that_a_failover_has_lost_is_sent_again() {
    let f = Fixture::new();
    let (a, b, c) = (f.client(), f.reader(), f.reader());
    assert_eq!([reason(&a), reason(&b), reason(&c)], [None; 3]);
    let replica = f.engine.stored.lock().unwrap().clone();
    a.revoke_session("sess_ada");
    b.poll(Duration::from_secs(5)).unwrap();
    // The replica has not heard of it; `c` has not either, and sees no gap.
    *f.engine.stored.lock().unwrap() = replica;
    c.poll(Duration::ZERO).unwrap();
    assert_eq!((reason(&b), reason(&c)), (Some(Reason::SessionRevoked), None));
    let begun = Instant::now();
    while reason(&c).is_none() && begun.elapsed() < Duration::from_secs(5) {
        b.poll(Duration::ZERO).unwrap();
        c.poll(Duration::ZERO).unwrap();
    }
    assert_eq!(reason(&c), Some(Reason::SessionRevoked));
    assert_eq!(reason(&f.client()), Some(Reason::SessionRevoked));
}

#[test]
fn gap_that_one_process_sees_is_reported_to_the_others() {
    type Share = fn(&Fixture, &Client);
    let changes: [(&str, Share); 2] = [
        ("a session", |_, client| assert!(client.revoke_session("sess_ada"))),
        ("roles", |f, client| assert_eq!(deliver(f, client, "msg_1", ROLES), WebhookOutcome::Applied)),
    ];
    for (what, share) in changes {
        let f = Fixture::new();
        let (a, b, c) = (f.client(), f.reader(), f.reader());
        assert_eq!(reason(&c), None);
        let entries = f.engine.stored.lock().unwrap().entries.clone();
        share(&f, &a);
        assert_eq!(b.poll(Duration::ZERO).unwrap(), 1);
        // The stream is on another shard than the keys, which stay.
        f.engine.stored.lock().unwrap().entries = entries;
        assert_eq!((c.poll(Duration::ZERO).unwrap(), c.stats().cached_tokens), (0, 1), "{what}: `c` sees no gap");
        // The engine is away when the gap is seen: it is seen again.
        f.engine.failures.store(2, Ordering::Relaxed);
        let _ = b.poll(Duration::ZERO);
        f.engine.failures.store(0, Ordering::Relaxed);
        b.poll(Duration::ZERO).unwrap();
        c.poll(Duration::ZERO).unwrap();
        assert_eq!(c.stats().cached_tokens, 0, "{what}");
        // Only a process that sees a gap itself may have lost the users that are shared.
        let is_recovering = |client: &Client| client.inner.shared.as_ref().unwrap().is_recovering();
        assert_eq!((is_recovering(&b), is_recovering(&c)), (true, false), "{what}");
        assert_eq!(reason(&c).is_some(), what == "a session");
    }
}

#[test]
fn one_poll_applies_more_than_one_read_returns() {
    let f = Fixture::new();
    let (a, b) = (f.client(), f.reader());
    assert_eq!(reason(&b), None);
    (0..1200).for_each(|number| assert!(a.revoke_session(&format!("sess_{number}"))));
    a.revoke_session("sess_ada");
    let mut applied = 0;
    while applied < 1201 {
        let begun = Instant::now();
        let of_one_poll = b.poll(Duration::ZERO).unwrap();
        applied += of_one_poll;
        assert!(of_one_poll > 0 && (applied == 1201 || begun.elapsed() >= super::SLICE), "{applied}");
    }
    assert_eq!((applied, reason(&b)), (1201, Some(Reason::SessionRevoked)));
    assert_eq!(b.poll(Duration::ZERO).unwrap(), 0);
}

/// An event about the user of the example, at a version.
fn user_event(f: &Fixture, version: i64, banned: bool) -> String {
    let updated_at = f.now_ms.load(Ordering::Relaxed) + version;
    format!(r#"{{"type":"user.updated","data":{{"id":"user_ada","banned":{banned},"updated_at":{updated_at}}}}}"#)
}

#[test]
fn ban_of_a_process_that_fetches_users_is_restored() {
    let f = Fixture::new();
    let a = f.profile();
    a.poll(Duration::ZERO).unwrap();
    assert_eq!(deliver(&f, &a, "msg_1", &user_event(&f, 2, true)), WebhookOutcome::Applied);
    *f.engine.stored.lock().unwrap() = Stored::default();
    assert_eq!(reason(&f.client()), None);
    for _ in 0..3 {
        a.poll(Duration::ZERO).unwrap();
    }
    assert_eq!(reason(&f.client()), Some(Reason::UserInactive));
    // With its version: a newer end counts, an older one does not.
    for (version, expected) in [(1, Some(Reason::UserInactive)), (3, None)] {
        let _ = deliver(&f, &f.client(), &format!("msg_{version}"), &user_event(&f, version, false));
        assert_eq!(reason(&f.client()), expected, "{version}");
    }
}

#[test]
fn ban_that_the_engine_reports_is_decided_by_clerk_not_by_a_stale_user() {
    let f = Fixture::new();
    let (a, b) = (f.client(), f.profile());
    let event = |version, banned| {
        let id = format!("msg_{version}");
        assert_eq!(deliver(&f, &b, &id, &user_event(&f, version, banned)), WebhookOutcome::Applied);
        b.inner.invalidate_token(&TokenHash::of(crate::internals::example().1.as_bytes()));
        reason(&b)
    };
    assert_eq!(event(1, false), None);
    // `b` has not read it in the stream.
    assert_eq!(deliver(&f, &a, "msg_2", &user_event(&f, 2, true)), WebhookOutcome::Applied);
    assert_eq!(reason(&b), None, "a cached result");
    b.inner.invalidate_token(&TokenHash::of(crate::internals::example().1.as_bytes()));
    // Clerk cannot be reached.
    assert_eq!(reason(&b), Some(Reason::ServerError));
    assert_eq!(b.verify_token(crate::internals::example().1).reason(), Some(Reason::UserInactive));
    assert_eq!(event(3, false), None, "a newer event");
    // What is older than the user here is ignored.
    b.inner.invalidate_token(&TokenHash::of(crate::internals::example().1.as_bytes()));
    assert_eq!(reason(&b), None);
}

#[test]
fn restore_is_complete_bounded_for_each_call_and_continued_after_a_failure() {
    let f = Fixture::new();
    let a = f.reader();
    (0..2500).for_each(|i| assert!(a.revoke_session(&format!("sess_{i}"))));
    (0..1200).for_each(|i| assert!(a.revoke_user(&format!("user_{i}"))));
    let revocations = |f: &Fixture| {
        let stored = f.engine.stored.lock().unwrap();
        stored.values.keys().filter(|key| key.ends_with(":s") || key.ends_with(":x")).count()
    };
    assert_eq!(revocations(&f), 3700);
    *f.engine.stored.lock().unwrap() = Stored::default();
    f.engine.latency_us.store(1000, Ordering::Relaxed);
    for _ in 0..5 {
        let (polled, elapsed) = timed(|| a.poll(Duration::ZERO));
        assert!(polled.is_ok() && elapsed < SHORT, "{elapsed:?}");
    }
    f.engine.latency_us.store(0, Ordering::Relaxed);
    f.engine.failures.store(3, Ordering::Relaxed);
    for _ in 0..3 {
        let _ = a.poll(Duration::ZERO);
    }
    let begun = Instant::now();
    while revocations(&f) < 3700 && begun.elapsed() < Duration::from_secs(20) {
        if a.poll(Duration::ZERO).is_err() {
            f.advance();
        }
    }
    assert_eq!(revocations(&f), 3700);
}

#[test]
fn processes_that_know_the_same_revocations_send_each_of_them_once() {
    let f = Fixture::new();
    let readers = [f.reader(), f.reader(), f.reader(), f.reader()];
    (0..200).for_each(|i| assert!(readers[0].revoke_session(&format!("sess_{i}"))));
    for reader in &readers {
        reader.poll(Duration::ZERO).unwrap();
    }
    *f.engine.stored.lock().unwrap() = Stored::default();
    f.engine.appended.store(0, Ordering::Relaxed);
    std::thread::scope(|scope| {
        for reader in &readers {
            scope.spawn(|| {
                for _ in 0..20 {
                    reader.poll(Duration::ZERO).unwrap();
                }
            });
        }
    });
    // And the right to report the gap.
    assert_eq!(f.engine.values(), 201);
    let appended = f.engine.appended.load(Ordering::Relaxed);
    // And the report of the gap, and perhaps entries to begin with, which several may make at once.
    assert!((201..=205).contains(&appended), "{appended}");
}

#[test]
fn engine_that_does_not_wait_is_not_read_without_a_pause() {
    let f = Fixture::new();
    let a = f.reader();
    f.engine.reads.store(0, Ordering::Relaxed);
    assert_eq!(a.poll(Duration::from_millis(300)).unwrap(), 0);
    let reads = f.engine.reads.load(Ordering::Relaxed);
    assert!((2..=7).contains(&reads), "{reads}");
}

#[test]
fn required_engine_that_does_not_take_a_revocation_has_it_delivered_again() {
    for body in REVOKING {
        let f = Fixture::new();
        let (a, c) = (f.required(), f.client());
        assert_eq!((reason(&a), reason(&c)), (None, None), "{body}");
        f.engine.failures.store(i64::MAX, Ordering::Relaxed);
        for _ in 0..2 {
            let outcome = deliver(&f, &a, "msg_1", body);
            assert!(matches!(outcome, WebhookOutcome::Failed(_)), "{body}: {outcome:?}");
            let error = outcome.into_result().unwrap_err();
            assert!(error.is_unavailable() && error.to_string().contains("shared cache"), "{error}");
        }
        assert!(reason(&a).is_some(), "it is applied here: {body}");
        // Another change need not come again.
        assert_eq!(deliver(&f, &a, "msg_2", ROLES), WebhookOutcome::Applied);
        // The process ends, and another one gets the delivery.
        f.engine.failures.store(0, Ordering::Relaxed);
        f.advance();
        let b = f.required();
        assert_eq!(deliver(&f, &b, "msg_1", body), WebhookOutcome::Applied);
        assert_eq!(deliver(&f, &b, "msg_1", body), WebhookOutcome::Ignored);
        assert!(reason(&f.client()).is_some(), "{body}");
        // Or the same one.
        assert_eq!(deliver(&f, &a, "msg_1", body), WebhookOutcome::Applied);
    }
}

#[test]
fn delivery_that_many_processes_apply_is_shared_once() {
    for body in REVOKING.into_iter().chain([ROLES]) {
        let f = Fixture::new();
        let children: Vec<_> = (0..5).map(|_| f.client()).collect();
        let reader = f.reader();
        assert_eq!(reason(&reader), None);
        // The first one cannot send it.
        f.engine.failures.store(i64::MAX, Ordering::Relaxed);
        assert_eq!(deliver(&f, &children[0], "msg_1", body), WebhookOutcome::Applied);
        f.engine.failures.store(0, Ordering::Relaxed);
        f.engine.appended.store(0, Ordering::Relaxed);
        for child in &children[1..] {
            assert_eq!(deliver(&f, child, "msg_1", body), WebhookOutcome::Applied);
        }
        let appended = || f.engine.appended.load(Ordering::Relaxed);
        assert_eq!(appended(), 1, "{body}");
        reader.poll(Duration::ZERO).unwrap();
        assert_eq!(
            (reason(&reader).is_some(), reason(&children[4]).is_some()),
            (body != ROLES, body != ROLES),
            "{body}"
        );
        // Another delivery is another one.
        deliver(&f, &children[1], "msg_2", ROLES).into_result().unwrap();
        assert_eq!(appended(), 2, "{body}");
    }
}

#[test]
fn optional_engine_that_does_not_take_a_revocation_gets_it_at_shutdown() {
    for body in REVOKING {
        let f = Fixture::new();
        let a = f.client();
        f.engine.failures.store(3, Ordering::Relaxed);
        assert_eq!(deliver(&f, &a, "msg_0", ROLES), WebhookOutcome::Applied);
        assert_eq!(deliver(&f, &a, "msg_1", body), WebhookOutcome::Applied);
        for i in 2..5 {
            assert_eq!(deliver(&f, &a, &format!("msg_{i}"), ROLES), WebhookOutcome::Applied);
        }
        assert_eq!((f.engine.failures.load(Ordering::Relaxed), reason(&f.client())), (0, None));
        // Although it would not be tried again yet.
        a.shutdown();
        assert!(reason(&f.client()).is_some(), "{body}");
        assert!(!a.inner.changes.has_unsent());
    }
}

#[test]
fn shutdown_with_a_backlog_and_a_slow_engine_ends_in_time() {
    let f = Fixture::new();
    let a = f.client();
    f.outage(&a, 2000);
    f.engine.latency_us.store(2000, Ordering::Relaxed);
    let ((), elapsed) = timed(|| a.shutdown());
    assert!(elapsed < Duration::from_secs(1) + SHORT && a.inner.changes.has_unsent(), "{elapsed:?}");
}

#[test]
fn revocation_of_a_process_whose_clock_is_ahead_reaches_all() {
    let f = Fixture::new();
    let now_ms = Arc::new(AtomicI64::new(f.now_ms.load(Ordering::Relaxed) + 600_000));
    let ahead = Fixture { engine: f.engine.clone(), now_ms };
    let b = f.reader();
    assert_eq!(reason(&b), None);
    ahead.client().revoke_session("sess_ada");
    assert_eq!((b.poll(Duration::ZERO).unwrap(), b.stats().shared_cache.rejected), (1, 0));
    assert_eq!([&b, &f.client()].map(reason), [Some(Reason::SessionRevoked); 2]);
}

#[test]
fn ban_that_has_ended_is_not_restored() {
    for (fetches, polls) in [(true, true), (true, false), (false, true)] {
        let f = Fixture::new();
        let client = || if fetches { f.profile() } else { f.client() };
        let (a, b) = (client(), client());
        a.poll(Duration::ZERO).unwrap();
        assert_eq!(deliver(&f, &a, "msg_1", &user_event(&f, 5, true)), WebhookOutcome::Applied);
        assert_eq!(deliver(&f, &b, "msg_2", &user_event(&f, 6, false)), WebhookOutcome::Applied);
        // The end is read in the stream, or with a request.
        let _ = if polls { a.poll(Duration::ZERO).is_err() } else { reason(&a).is_some() };
        *f.engine.stored.lock().unwrap() = Stored::default();
        for _ in 0..3 {
            a.poll(Duration::ZERO).unwrap();
        }
        assert!(f.engine.stored.lock().unwrap().values.keys().all(|key| !key.ends_with(":b")), "{fetches} {polls}");
        assert_eq!(reason(&f.reader()), None, "{fetches} {polls}");
    }
}

#[test]
fn ban_of_a_user_who_is_banned_again_is_restored() {
    let f = Fixture::new();
    let a = f.profile();
    a.poll(Duration::ZERO).unwrap();
    assert_eq!(deliver(&f, &a, "msg_1", &user_event(&f, 5, true)), WebhookOutcome::Applied);
    // Another process has fetched it.
    let now = a.inner.clock.now();
    let updated_at_ms = now.wall_ms + 7;
    let banned = ClerkUser { id: "user_ada".into(), banned: true, updated_at_ms, ..ClerkUser::default() };
    a.inner.users.apply_update(banned, 0, now);
    *f.engine.stored.lock().unwrap() = Stored::default();
    for _ in 0..2 {
        a.poll(Duration::ZERO).unwrap();
    }
    assert_eq!(reason(&f.client()), Some(Reason::UserInactive));
}

#[test]
fn end_of_a_ban_is_restored_although_the_user_is_newer() {
    let f = Fixture::new();
    let (a, b) = (f.reader(), f.client());
    for (version, banned) in [(5, true), (6, false), (7, false)] {
        let id = format!("msg_{version}");
        assert_eq!(deliver(&f, &a, &id, &user_event(&f, version, banned)), WebhookOutcome::Applied);
    }
    a.poll(Duration::ZERO).unwrap();
    *f.engine.stored.lock().unwrap() = Stored::default();
    assert_eq!(deliver(&f, &b, "msg_5", &user_event(&f, 5, true)), WebhookOutcome::Applied);
    for _ in 0..3 {
        a.poll(Duration::ZERO).unwrap();
    }
    assert_eq!(reason(&f.client()), None);
}

#[test]
fn ban_that_has_ended_is_not_exported() {
    let f = Fixture::new();
    let (a, b) = (f.reader(), f.client());
    assert_eq!(deliver(&f, &a, "msg_1", &user_event(&f, 5, true)), WebhookOutcome::Applied);
    assert!(a.export_revocations().unwrap().contains("banned"));
    assert_eq!(deliver(&f, &b, "msg_2", &user_event(&f, 6, false)), WebhookOutcome::Applied);
    a.poll(Duration::ZERO).unwrap();
    assert!(!a.export_revocations().unwrap().contains("banned"));
}

#[test]
fn imported_revocations_are_stored_for_all() {
    for polls_before in [false, true] {
        let f = Fixture::new();
        let a = f.client();
        a.revoke_session("sess_ada");
        let export = a.export_revocations().unwrap();
        *f.engine.stored.lock().unwrap() = Stored::default();
        let b = f.client();
        if polls_before {
            b.poll(Duration::ZERO).unwrap();
        }
        assert!(b.import_revocations(&export));
        for _ in 0..2 {
            b.poll(Duration::ZERO).unwrap();
        }
        assert_eq!(reason(&f.client()), Some(Reason::SessionRevoked), "{polls_before}");
    }
}

#[test]
fn revocation_known_before_the_first_poll_is_stored_for_all() {
    let f = Fixture::new();
    let (a, b) = (f.client(), f.client());
    a.revoke_session("sess_ada");
    assert_eq!(reason(&b), Some(Reason::SessionRevoked));
    *f.engine.stored.lock().unwrap() = Stored::default();
    b.poll(Duration::ZERO).unwrap();
    assert_eq!(reason(&f.client()), Some(Reason::SessionRevoked));
}

#[test]
fn revocations_that_are_not_restored_yet_are_stored_at_shutdown() {
    let f = Fixture::new();
    let a = f.reader();
    (0..300).for_each(|i| assert!(a.revoke_session(&format!("sess_{i}"))));
    *f.engine.stored.lock().unwrap() = Stored::default();
    f.engine.latency_us.store(2000, Ordering::Relaxed);
    a.poll(Duration::ZERO).unwrap();
    assert!(!a.inner.changes.has_unsent() && f.engine.values() < 300);
    f.engine.latency_us.store(0, Ordering::Relaxed);
    a.shutdown();
    // And the right to report the gap.
    assert_eq!(f.engine.values(), 301);
}

#[test]
fn gap_has_rows_read_again() {
    let f = Fixture::new();
    let (a, b) = (f.reader(), f.reader());
    let now = a.inner.clock.now();
    for client in [&a, &b] {
        client.inner.blocked_users.record_row("user_ada", false, now);
    }
    let token = crate::internals::example().1;
    assert_eq!(a.verify_token(token).reason(), Some(Reason::UserInactive));
    *f.engine.stored.lock().unwrap() = Stored::default();
    a.poll(Duration::ZERO).unwrap();
    // Another process has seen it.
    b.inner.apply_change(&Change::Gap, now);
    assert_eq!([&a, &b].map(|client| client.verify_token(token).reason()), [None; 2]);
}

#[test]
fn poller_that_several_threads_start_and_stop_is_stopped() {
    let f = Fixture::new();
    for round in 0..40 {
        let client = f.client();
        let inner = Arc::downgrade(&client.inner);
        std::thread::scope(|scope| {
            let start = || client.start_poller().unwrap();
            if round % 2 == 0 {
                start();
            } else {
                scope.spawn(start);
            }
            (0..2).for_each(|_| drop(scope.spawn(|| client.poller.stop())));
        });
        client.poller.stop();
        drop(client);
        assert!(inner.upgrade().is_none(), "round {round}: the thread still has the client");
    }
}
