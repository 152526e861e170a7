//! The shared cache on an engine within this process that the tests can make fail or falsify.

mod outages;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;

use super::*;
use crate::api::MachineToken;
use crate::config::Secret;
use crate::revocation::{Revocation, TimedRevocation};

const LIFETIMES: Lifetimes =
    Lifetimes { user_ttl_ms: 60_000, user_stale_ms: 120_000, machine_ttl_ms: 60_000, revocation_ttl_ms: 3_600_000 };

/// Stores values without their lifetimes; fails on demand.
#[derive(Default)]
struct TestEngine {
    values: Mutex<HashMap<String, Vec<u8>>>,
    streams: MemoryEngine,
    fails: AtomicBool,
    is_read_only: AtomicBool,
    /// The key of a value that the engine does not return.
    too_long: Mutex<Option<String>>,
    calls: AtomicU64,
    /// What another process does just before the next value is stored.
    before_set: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl TestEngine {
    fn call(&self) -> Result<(), EngineError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match self.fails.load(Ordering::Relaxed) {
            true => Err(EngineError::Unavailable("on purpose".into())),
            false => Ok(()),
        }
    }
}

impl Engine for TestEngine {
    fn get(&self, keys: &[String], _: Duration) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        self.call()?;
        if self.too_long.lock().unwrap().as_ref().is_some_and(|key| keys.contains(key)) {
            return Err(EngineError::TooLong);
        }
        let values = self.values.lock().unwrap();
        Ok(keys.iter().map(|key| values.get(key).cloned()).collect())
    }
    fn set(&self, key: &str, value: &[u8], _: Duration, absent: bool, _: Duration) -> Result<bool, EngineError> {
        self.call()?;
        if self.is_read_only.load(Ordering::Relaxed) {
            return Err(EngineError::Refused("read only".into()));
        }
        let before = self.before_set.lock().unwrap().take();
        before.into_iter().for_each(|before| before());
        let mut values = self.values.lock().unwrap();
        if absent && values.contains_key(key) {
            return Ok(false);
        }
        values.insert(key.into(), value.into());
        Ok(true)
    }
    fn delete(&self, keys: &[String], _: Duration) -> Result<(), EngineError> {
        self.call()?;
        let mut values = self.values.lock().unwrap();
        keys.iter().for_each(|key| drop(values.remove(key)));
        Ok(())
    }
    fn append(&self, stream: &str, value: &[u8], timeout: Duration) -> Result<String, EngineError> {
        self.call()?;
        self.streams.append(stream, value, timeout)
    }
    fn read(&self, stream: &str, after: &str, wait: Duration, timeout: Duration) -> Result<StreamRead, EngineError> {
        self.call()?;
        self.streams.read(stream, after, wait, timeout)
    }
}

struct Fixture {
    engine: Arc<TestEngine>,
    now_ms: Arc<AtomicI64>,
    events: Arc<Mutex<Vec<String>>>,
}

impl Fixture {
    fn new() -> Self {
        let now_ms = Arc::new(AtomicI64::new(1_000_000_000));
        Fixture { engine: Arc::default(), now_ms, events: Arc::default() }
    }

    fn cache(&self, secrets: &[&str]) -> SharedCache {
        let (now_ms, events, log) = (self.now_ms.clone(), self.events.clone(), self.events.clone());
        let mut handlers = EventHandlers::default();
        handlers.on_event(move |event| events.lock().unwrap().push(format!("{event:?}")));
        handlers.on_log(Level::Warn, move |_, line| log.lock().unwrap().push(line.to_owned()));
        let secrets: Vec<_> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        let clock = Clock::from_fn(move || now_ms.load(Ordering::Relaxed));
        let sealer = Sealer::new(&secrets, "ins_1").unwrap();
        SharedCache::new(self.engine.clone(), sealer, LIFETIMES, false, clock, Arc::new(handlers))
    }

    fn advance(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(5))
}

fn user(id: &str, version_ms: i64) -> ClerkUser {
    ClerkUser { id: id.into(), updated_at_ms: version_ms, ..ClerkUser::default() }
}

fn version(cache: &SharedCache) -> Option<i64> {
    cache.user("user_1", soon()).unwrap().snapshot.map(|snapshot| snapshot.version_ms())
}

fn put(cache: &SharedCache, version_ms: i64, generation: &str) {
    cache.put_user(&user("user_1", version_ms), cache.clock.now().wall_ms, generation.into(), soon()).unwrap();
}

#[test]
fn user_is_shared_until_its_hard_end() {
    let f = Fixture::new();
    let (a, b) = (f.cache(&["one"]), f.cache(&["one"]));
    assert_eq!(version(&b), None);
    put(&a, 5, "");
    assert_eq!(version(&b), Some(5));
    f.advance(119_999);
    assert_eq!(version(&b), Some(5));
    f.advance(1);
    assert_eq!((version(&b), b.stats().rejected), (None, 1), "although the engine still has it");
    assert_eq!(a.stats().errors, 0);
}

#[test]
fn older_user_of_a_slower_fetch_replaces_no_newer_one() {
    let f = Fixture::new();
    let (a, b) = (f.cache(&["one"]), Arc::new(f.cache(&["one"])));
    let banned = |version_ms| ClerkUser { banned: true, ..user("user_1", version_ms) };
    let is_banned = || a.user("user_1", soon()).unwrap().snapshot.map(|snapshot| snapshot.is_blocked());
    let begun_ms = a.clock.now().wall_ms;
    let (other, newer) = (b.clone(), banned(6));
    *f.engine.before_set.lock().unwrap() =
        Some(Box::new(move || other.put_user(&newer, begun_ms, String::new(), soon()).unwrap()));
    put(&a, 5, "");
    assert_eq!((version(&a), is_banned()), (Some(6), Some(true)), "at the same time");
    f.advance(1);
    put(&a, 5, "");
    assert_eq!((version(&a), is_banned()), (Some(6), Some(true)), "later");
    // Of two fetches of one version the later one counts.
    a.put_user(&user("user_1", 6), begun_ms - 1, String::new(), soon()).unwrap();
    assert_eq!(is_banned(), Some(true));
    put(&a, 6, "");
    assert_eq!(is_banned(), Some(false));
    // One of an older generation counts no longer.
    let generation = b.invalidate_user("user_1", soon()).unwrap();
    put(&a, 7, "");
    put(&b, 5, &generation);
    assert_eq!(version(&a), Some(5));
}

#[test]
fn snapshot_fetched_before_an_invalidation_is_not_used() {
    let f = Fixture::new();
    let (a, b) = (f.cache(&["one"]), f.cache(&["one"]));
    let before = a.user("user_1", soon()).unwrap().generation.unwrap();
    assert!(a.lease_user("user_1", soon()).unwrap() && !b.lease_user("user_1", soon()).unwrap());
    let after = b.invalidate_user("user_1", soon()).unwrap();
    put(&a, 5, &before);
    assert_eq!(version(&b), None);
    assert!(b.lease_user("user_1", soon()).unwrap(), "the next fetch is another one");
    assert_eq!(b.user("user_1", soon()).unwrap().generation.as_ref(), Some(&after));
    put(&b, 6, &after);
    assert_eq!(version(&a), Some(6));
}

#[test]
fn snapshot_fetched_before_everything_was_invalidated_is_not_used() {
    for secrets in [&["one"][..], &["one", "two"]] {
        let f = Fixture::new();
        let (a, b) = (f.cache(secrets), f.cache(secrets));
        let generation = || a.user("user_1", soon()).unwrap().generation.unwrap();
        put(&a, 5, &generation());
        let before = generation();
        b.invalidate_all(soon()).unwrap();
        assert_eq!(version(&a), None);
        put(&a, 5, &before);
        assert_eq!(version(&b), None);
        put(&a, 6, &generation());
        assert_eq!(version(&b), Some(6));
        let before = generation();
        b.invalidate_user("user_1", soon()).unwrap();
        assert_ne!(generation(), before);
        assert_eq!(version(&b), None);
    }
}

#[test]
fn strongest_revocation_stays() {
    let f = Fixture::new();
    let (a, b) = (f.cache(&["one"]), f.cache(&["one"]));
    let found = || b.revocations(Some("user_1"), Some("sess_1"), soon()).unwrap();
    assert_eq!(found(), FoundRevocations::default());
    let state = |found: Option<TimedRevocation>| found.map(|found| found.revocation);
    for (revocation, expected) in [
        (Revocation::Banned, Revocation::Banned),
        (Revocation::Lifted, Revocation::Lifted),
        (Revocation::Deleted, Revocation::Deleted),
        (Revocation::Lifted, Revocation::Deleted),
        (Revocation::Revoked, Revocation::Deleted),
    ] {
        f.advance(1);
        a.put_revocation(Some("user_1"), None, a.revocation(revocation), soon()).unwrap();
        assert_eq!((state(found().user), state(found().session)), (Some(expected), None));
    }
    a.put_revocation(None, Some("sess_1"), a.revocation(Revocation::Revoked), soon()).unwrap();
    assert_eq!(state(found().session), Some(Revocation::Revoked));
    f.advance(3_600_000);
    assert_eq!(found(), FoundRevocations::default());
}

#[test]
fn weaker_revocation_stored_at_the_same_time_replaces_no_stronger_one() {
    let states = [Revocation::Lifted, Revocation::Banned, Revocation::Revoked, Revocation::Deleted];
    for (at, weaker) in states.into_iter().enumerate() {
        for stronger in &states[at + 1..] {
            let f = Fixture::new();
            let (a, b) = (f.cache(&["one"]), Arc::new(f.cache(&["one"])));
            let weaker = a.revocation(weaker);
            f.advance(1);
            let (stronger, other) = (b.revocation(*stronger), b.clone());
            let store = move || other.put_revocation(Some("user_1"), None, stronger, soon()).unwrap();
            *f.engine.before_set.lock().unwrap() = Some(Box::new(store));
            a.put_revocation(Some("user_1"), None, weaker, soon()).unwrap();
            let found = f.cache(&["one"]).revocations(Some("user_1"), None, soon()).unwrap();
            assert_eq!(found.user, Some(stronger), "{weaker:?}");
        }
    }
}

#[test]
fn older_revocation_stored_at_the_same_time_replaces_no_newer_one() {
    for (user, session) in [(Some("user_1"), None), (None, Some("sess_1"))] {
        let f = Fixture::new();
        let (a, b) = (f.cache(&["one"]), Arc::new(f.cache(&["one"])));
        let older = a.revocation(Revocation::Revoked);
        f.advance(5);
        let (newer, other) = (b.revocation(Revocation::Revoked), b.clone());
        let store = move || other.put_revocation(user, session, newer, soon()).unwrap();
        *f.engine.before_set.lock().unwrap() = Some(Box::new(store));
        a.put_revocation(user, session, older, soon()).unwrap();
        let found = a.revocations(user, session, soon()).unwrap();
        assert_eq!(found.user.or(found.session), Some(newer));
        // Nor one that is there already.
        a.put_revocation(user, session, older, soon()).unwrap();
        assert_eq!(a.revocations(user, session, soon()), Ok(found));
        // But what cannot be read.
        f.engine.values.lock().unwrap().values_mut().for_each(|value| value.clear());
        a.put_revocation(user, session, older, soon()).unwrap();
        let found = a.revocations(user, session, soon()).unwrap();
        assert_eq!(found.user.or(found.session), Some(older));
    }
}

#[test]
fn rotation_finds_what_either_secret_has_written() {
    let f = Fixture::new();
    let [old, middle, new] = [&["old"][..], &["old", "new"], &["new", "old"]].map(|secrets| f.cache(secrets));
    old.put_revocation(Some("user_1"), None, old.revocation(Revocation::Deleted), soon()).unwrap();
    new.put_revocation(None, Some("sess_1"), new.revocation(Revocation::Revoked), soon()).unwrap();
    for cache in [&middle, &new] {
        let found = cache.revocations(Some("user_1"), Some("sess_1"), soon()).unwrap();
        assert!(found.user.is_some() && found.session.is_some());
    }
    put(&old, 5, "");
    assert_eq!((version(&new), version(&middle)), (Some(5), Some(5)));
    new.invalidate_user("user_1", soon()).unwrap();
    assert_eq!((version(&new), version(&middle)), (None, None));
    put(&old, 6, "");
    assert_eq!((version(&new), version(&middle)), (None, None), "fetched before the invalidation, as far as they know");
}

#[test]
fn foreign_and_moved_entries_are_ignored_and_logged_once() {
    let f = Fixture::new();
    let (own, foreign) = (f.cache(&["one"]), f.cache(&["two"]));
    put(&own, 5, "");
    let swap = |mutate: &dyn Fn(&str, &mut Vec<u8>)| {
        f.engine.values.lock().unwrap().iter_mut().for_each(|(name, value)| mutate(name, value));
    };
    let original = f.engine.values.lock().unwrap().clone();
    swap(&|_, value| value.truncate(20));
    assert_eq!(version(&own), None);
    swap(&|_, value| *value = b"garbage".to_vec());
    assert_eq!(version(&own), None);
    *f.engine.values.lock().unwrap() = original.clone();
    swap(&|_, value| *value.last_mut().unwrap() ^= 1);
    assert_eq!((version(&own), own.stats().rejected), (None, 3));
    // Of another user.
    let name = own.sealer.names(EntryKind::User, b"user_2")[0].clone();
    f.engine.values.lock().unwrap().insert(name, original.values().next().unwrap().clone());
    assert!(own.user("user_2", soon()).unwrap().snapshot.is_none());
    assert!(foreign.user("user_1", soon()).unwrap().snapshot.is_none());
    assert_eq!((own.stats().rejected, own.stats().errors), (4, 0));
    assert_eq!(f.events.lock().unwrap().len(), 1);
}

#[test]
fn generation_that_cannot_be_read_is_replaced() {
    for key in [&b"user_1"[..], EVERYTHING.as_bytes()] {
        let f = Fixture::new();
        let (a, b) = (f.cache(&["one"]), f.cache(&["one"]));
        put(&a, 5, "");
        let name = a.sealer.names(EntryKind::Generation, key)[0].clone();
        f.engine.values.lock().unwrap().insert(name.clone(), b"x".to_vec());
        let found = a.user("user_1", soon()).unwrap();
        assert!(found.snapshot.is_none());
        put(&a, 6, &found.generation.unwrap());
        assert_eq!((version(&a), version(&b)), (Some(6), Some(6)));
        // If it cannot be, nothing is stored.
        f.engine.values.lock().unwrap().insert(name, b"x".to_vec());
        f.engine.is_read_only.store(true, Ordering::Relaxed);
        let found = a.user("user_1", soon()).unwrap();
        assert!(found.snapshot.is_none() && found.generation.is_none());
    }
    let f = Fixture::new();
    let cache = f.cache(&["one"]);
    let id = MachineTokenId { kind: "m2m_token", hash: &[1; 32], verifier: &[2; 32] };
    let name = cache.sealer.names(EntryKind::MachineTokenGeneration, id.hash)[0].clone();
    f.engine.values.lock().unwrap().insert(name, b"x".to_vec());
    let generation = cache.machine_token(&id, soon()).generation.unwrap();
    cache.put_machine_token(&id, &machine_token(), cache.clock.now().wall_ms, generation, soon());
    assert!(cache.machine_token(&id, soon()).token.is_some());
}

#[test]
fn clock_of_a_process_makes_no_generation_and_no_revocation_useless() {
    for ahead_ms in [-2 * EVERYTHING_TTL_MS, 400_000, 7_200_000] {
        let f = Fixture::new();
        let (right, wrong) = (f.cache(&["one"]), Fixture { now_ms: Arc::default(), ..Fixture::new() });
        wrong.now_ms.store(f.now_ms.load(Ordering::Relaxed) + ahead_ms, Ordering::Relaxed);
        let wrong = Fixture { engine: f.engine.clone(), ..wrong }.cache(&["one"]);
        put(&right, 5, "");
        wrong.invalidate_all(soon()).unwrap();
        wrong.invalidate_user("user_1", soon()).unwrap();
        let found = right.user("user_1", soon()).unwrap();
        assert!(found.snapshot.is_none());
        put(&right, 6, &found.generation.unwrap());
        assert_eq!((version(&right), right.stats().rejected), (Some(6), 0), "{ahead_ms}");
        if ahead_ms > 0 {
            let revocation = wrong.revocation(Revocation::Revoked);
            wrong.put_revocation(Some("user_1"), Some("sess_1"), revocation, soon()).unwrap();
            wrong.put_revocation(None, Some("sess_1"), revocation, soon()).unwrap();
            let found = right.revocations(Some("user_1"), Some("sess_1"), soon()).unwrap();
            assert!(found.user.is_some() && found.session.is_some(), "{ahead_ms}");
        }
    }
}

#[test]
fn value_that_is_too_long_costs_no_other_entry() {
    let f = Fixture::new();
    let cache = f.cache(&["one"]);
    put(&cache, 5, "");
    let other = cache.user("user_2", soon()).unwrap().generation.unwrap();
    cache.put_user(&user("user_2", 5), cache.clock.now().wall_ms, other, soon()).unwrap();
    let name = cache.sealer.names(EntryKind::User, b"user_1")[0].clone();
    *f.engine.too_long.lock().unwrap() = Some(name);
    let found = cache.user("user_1", soon()).unwrap();
    assert!(found.snapshot.is_none() && found.generation.is_some());
    assert!(cache.user("user_2", soon()).unwrap().snapshot.is_some());
    *f.engine.too_long.lock().unwrap() = None;
    assert_eq!(version(&cache), Some(5), "no generation was replaced");
}

#[test]
fn two_children_with_one_pid_are_two_senders() {
    let f = Fixture::new();
    let reader = f.cache(&["one"]);
    let children = [f.cache(&["one"]), f.cache(&["one"])];
    for child in &children {
        *child.sender.lock() = (std::process::id() ^ 1, 7);
    }
    let sent = children.map(|child| {
        child.publish(Change::All { users: true }, soon()).unwrap();
        child.sender()
    });
    assert_ne!(sent[0], sent[1]);
    assert_eq!(reader.sender(), reader.sender());
}

#[test]
fn failing_engine_is_left_alone_with_one_event_each_way() {
    let f = Fixture::new();
    let cache = f.cache(&["one"]);
    f.engine.fails.store(true, Ordering::Relaxed);
    for _ in 0..10 {
        assert!(cache.user("user_1", soon()).is_err());
    }
    assert_eq!((f.engine.calls.load(Ordering::Relaxed), cache.stats().errors), (3, 3));
    assert_eq!((cache.stats().state, cache.is_available()), (SharedCacheState::Unavailable, false));
    assert!(cache.retry_wait() > Duration::ZERO);
    f.advance(1000);
    assert!(cache.lease_user("user_1", soon()).is_err());
    f.engine.fails.store(false, Ordering::Relaxed);
    f.advance(2000);
    assert_eq!(version(&cache), None);
    assert_eq!(cache.stats().state, SharedCacheState::Available);
    let events = f.events.lock().unwrap();
    assert_eq!(events.iter().filter(|event| *event == "SharedCacheUnavailable").count(), 1, "{events:?}");
    assert_eq!(events.iter().filter(|event| *event == "SharedCacheAvailable").count(), 1, "{events:?}");
}

#[test]
fn nothing_is_asked_after_the_deadline() {
    let f = Fixture::new();
    let cache = f.cache(&["one"]);
    assert!(cache.user("user_1", Deadline::after(Duration::ZERO)).is_err());
    assert_eq!((f.engine.calls.load(Ordering::Relaxed), cache.stats().errors), (0, 0));
}

#[test]
fn machine_token_and_jwk_set_are_shared_briefly() {
    let f = Fixture::new();
    let (a, b) = (f.cache(&["one"]), f.cache(&["one"]));
    let token = |expires_at_ms| MachineToken {
        id: "oat_1".into(),
        subject: "user_1".into(),
        scopes: vec![],
        client_id: None,
        name: None,
        claims: None,
        expires_at_ms,
    };
    let (hash, verifier, now_ms) = ([7; 32], [8; 32], a.clock.now().wall_ms);
    let id = |kind| MachineTokenId { kind, hash: &hash, verifier: &verifier };
    let put = |token: &MachineToken| {
        let generation = a.machine_token(&id("oauth_token"), soon()).generation.unwrap();
        a.put_machine_token(&id("oauth_token"), token, a.clock.now().wall_ms, generation, soon());
    };
    let found_of = |kind| b.machine_token(&id(kind), soon()).token;
    let found = || found_of("oauth_token").is_some();
    put(&token(None));
    assert!(found() && found_of("api_key").is_none());
    f.advance(29_999);
    assert_eq!(found_of("oauth_token").unwrap().1, now_ms);
    f.advance(1);
    assert!(!found());
    put(&token(Some(now_ms + 30_100)));
    f.advance(99);
    assert!(found());
    f.advance(1);
    assert!(!found());
    put(&token(Some(now_ms)));
    assert!(!found());
    put(&token(None));
    b.invalidate_machine_token(&hash, soon()).unwrap();
    assert!(!found());
    a.put_jwks(&[1; 32], b"{}", soon());
    assert_eq!(b.jwks(&[1; 32], soon()).as_deref(), Some(&b"{}"[..]));
    assert_eq!(b.jwks(&[2; 32], soon()), None, "a set from elsewhere");
    f.advance(60_000);
    assert_eq!(b.jwks(&[1; 32], soon()), None);
}

fn machine_token() -> MachineToken {
    MachineToken {
        id: "mt_1".into(),
        subject: "mch_1".into(),
        scopes: vec![],
        client_id: None,
        name: None,
        claims: None,
        expires_at_ms: None,
    }
}

#[test]
fn machine_token_is_shared_by_those_with_the_same_secret_only() {
    let f = Fixture::new();
    let (a, b) = (f.cache(&["one"]), f.cache(&["one"]));
    let [own, other] = [[1; 32], [2; 32]];
    let id = |verifier| MachineTokenId { kind: "m2m_token", hash: &[7; 32], verifier };
    a.put_machine_token(&id(&own), &machine_token(), a.clock.now().wall_ms, String::new(), soon());
    assert!(b.machine_token(&id(&own), soon()).token.is_some());
    assert!(b.machine_token(&id(&other), soon()).token.is_none());
    // One that cannot see the result of another invalidates it as well.
    b.invalidate_machine_token(&[7; 32], soon()).unwrap();
    assert!(a.machine_token(&id(&own), soon()).token.is_none());
}

#[test]
fn machine_token_verified_before_an_invalidation_is_not_used() {
    let f = Fixture::new();
    let (a, b) = (f.cache(&["one"]), f.cache(&["one"]));
    let id = MachineTokenId { kind: "m2m_token", hash: &[7; 32], verifier: &[1; 32] };
    let put = |generation| a.put_machine_token(&id, &machine_token(), a.clock.now().wall_ms, generation, soon());
    let before = a.machine_token(&id, soon()).generation.unwrap();
    b.invalidate_machine_token(&[7; 32], soon()).unwrap();
    put(before);
    assert!(b.machine_token(&id, soon()).token.is_none());
    put(a.machine_token(&id, soon()).generation.unwrap());
    assert!(b.machine_token(&id, soon()).token.is_some());
}

#[test]
fn message_reaches_other_clients_and_is_recognized() {
    let f = Fixture::new();
    let (a, b) = (f.cache(&["one"]), f.cache(&["one"]));
    let begin = b.stream_end(soon()).unwrap();
    assert_eq!(a.stream_end(soon()).unwrap(), begin, "the first entry exists already");
    a.publish(Change::All { users: true }, soon()).unwrap();
    let read = b.read_stream(&begin, Duration::ZERO).unwrap();
    assert_eq!((read.entries.len(), read.has_gap), (1, false));
    let message = b.open_message(&read.entries[0].1).unwrap();
    assert!(a.is_own(&message) && !b.is_own(&message));
    assert_eq!(message.change, Change::All { users: true });
    f.advance(40);
    b.record_lag(&message);
    assert_eq!((a.stats().revocation_lag_ms, b.stats().revocation_lag_ms), (-1, 40));
    assert!(f.cache(&["two"]).open_message(&read.entries[0].1).is_none());
}
