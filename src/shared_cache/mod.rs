//! The cache that processes share: users, revocations, results of machine tokens, leases. What comes from it can add a profile to
//! a token that this process has verified itself, or reject it.
//!
//! [`Engine`] is the trait behind it; `seal` makes what an engine stores unreadable and unforgeable, `entries` is its content.
//! An engine that fails is not used for a while (`circuit`); then everything goes on as in a single process.

mod circuit;
mod clock_check;
mod counters;
mod engine;
#[cfg_attr(fuzzing, allow(missing_docs, reason = "public for the targets of fuzz/ only"))]
mod entries;
mod machine_tokens;
mod memory;
mod messages;
#[cfg(feature = "redis")]
mod redis;
mod revocations;
mod seal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use counters::{SharedCacheState, SharedCacheStats};
pub use engine::{Engine, EngineError, MAX_ID_LEN, MAX_KEY_LEN, MAX_VALUE_LEN, StreamRead};
pub(crate) use entries::{Change, Message, UserSnapshot};
pub(crate) use machine_tokens::MachineTokenId;
pub use memory::MemoryEngine;
#[cfg(feature = "redis")]
pub(crate) use redis::{Redis, RedisConfig};
pub(crate) use revocations::FoundRevocations;
pub(crate) use seal::{MAX_SECRETS, Sealer};

/// What the targets of `fuzz/` call directly.
#[cfg(fuzzing)]
pub mod parts {
    pub use super::entries::{Change, Message, UserSnapshot, WireMachineToken, decode, encode};
    pub use super::seal::{EntryKind, Sealer};
    pub use crate::json::Object;
}

use circuit::{Circuit, Outcome, Transition};
use clock_check::ClockCheck;
use counters::Counters;
use entries::Times;
use seal::EntryKind;

use crate::api::ClerkUser;
use crate::clock::{Clock, Deadline};
use crate::deadline;
use crate::events::{Event, EventHandlers, Level};
use crate::fork_mutex::ResetMutex;
use crate::json::Object;

/// How long one operation may take.
const OPERATION_TIMEOUT: Duration = Duration::from_millis(20);
/// The same where no request can do without it.
const REQUIRED_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a read of the stream may take, besides waiting: no request waits for it.
const READ_TIMEOUT: Duration = Duration::from_millis(250);
/// For how long a read may follow entries that are too long.
const MAX_READ_TIME: Duration = Duration::from_secs(5);
/// How long a process may fetch a user for all others.
const LEASE_TTL: Duration = Duration::from_millis(1500);
/// How long the JWK set is shared: for processes that start together.
const JWKS_TTL_MS: i64 = 60_000;

/// How long a generation outlives what it makes useless, which would count again without it: as long as a call may take, and more.
const GENERATION_MARGIN_MS: i64 = 600_000;

/// Takes the place of a user's id in the name of the generation of everything.
const EVERYTHING: &str = "everything";
/// How long that generation is stored. At its end everything has to be fetched once more: rarely.
const EVERYTHING_TTL_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// How often an entry is read and stored again if another process stores one meanwhile.
const MAX_ATTEMPTS: u32 = 4;

/// The lifetimes of entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// Of users: how long a fetched user is fresh.
    pub user_ttl_ms: i64,
    /// Of users: how long a stale one may be used.
    pub user_stale_ms: i64,
    /// Of machine tokens; 0: not shared.
    pub machine_ttl_ms: i64,
    /// Of revocations.
    pub revocation_ttl_ms: i64,
}

/// The shared cache of a client. All functions may be called by several threads at once; none holds a lock during an operation.
pub(crate) struct SharedCache {
    engine: Arc<dyn Engine>,
    sealer: Sealer,
    lifetimes: Lifetimes,
    is_required: bool,
    circuit: Circuit,
    counters: Counters,
    has_logged_rejection: AtomicBool,
    clock_check: ClockCheck,
    /// Whether the engine has streams, as far as is known.
    has_stream: AtomicBool,
    /// Identifies this client in its own messages, in the process with this pid: a forked child is another sender.
    sender: ResetMutex<(u32, u64)>,
    messages: AtomicU64,
    clock: Clock,
    events: Arc<EventHandlers>,
}

/// What the shared cache knows of a user that is not in the caches of this process.
#[derive(Default)]
pub(crate) struct FoundSnapshot {
    /// The newest snapshot that may be used.
    pub snapshot: Option<UserSnapshot>,
    /// The generation of the user, for what is stored after a fetch. `None` if it could not be read: then nothing is stored.
    pub generation: Option<String>,
}

/// The engine cannot be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unavailable;

impl SharedCache {
    pub fn new(
        engine: Arc<dyn Engine>,
        sealer: Sealer,
        lifetimes: Lifetimes,
        is_required: bool,
        clock: Clock,
        events: Arc<EventHandlers>,
    ) -> Self {
        SharedCache {
            engine,
            sealer,
            lifetimes,
            is_required,
            circuit: Circuit::default(),
            counters: Counters::default(),
            has_logged_rejection: AtomicBool::new(false),
            clock_check: ClockCheck::default(),
            has_stream: AtomicBool::new(true),
            sender: ResetMutex::default(),
            messages: AtomicU64::new(0),
            clock,
            events,
        }
    }

    /// Whether requests are unavailable without the engine.
    pub fn is_required(&self) -> bool {
        self.is_required
    }

    /// Whether the engine has streams, as far as is known.
    pub fn has_stream(&self) -> bool {
        self.has_stream.load(Ordering::Relaxed)
    }

    /// Whether the engine is used now.
    pub fn is_available(&self) -> bool {
        self.circuit.is_closed()
    }

    /// Whether the engine is used again, after an outage in which users were not stored.
    pub fn is_recovering(&self) -> bool {
        self.circuit.is_recovering(self.clock.now().mono_ms)
    }

    /// Records that the engine may have lost its entries. Where `user_ttl_s` fits the number of users, they can be fetched within the
    /// budgets of all processes in that time.
    pub fn record_loss(&self) {
        self.circuit.extend_recovery(self.lifetimes.user_ttl_ms, self.clock.now().mono_ms);
    }

    pub fn stats(&self) -> SharedCacheStats {
        let state = if self.circuit.is_closed() { SharedCacheState::Available } else { SharedCacheState::Unavailable };
        self.counters.snapshot(state)
    }

    /// Checks that the engine can be used, with operations of every kind.
    ///
    /// # Errors
    ///
    /// An [`EngineError`] of the first operation that failed.
    pub fn check(&self, timeout: Duration) -> Result<(), EngineError> {
        let names = self.sealer.names(EntryKind::Lease, b"check");
        self.engine.get(&names, timeout)?;
        if let Some(name) = names.first() {
            self.engine.set(name, b"check", Duration::from_secs(1), false, timeout)?;
        }
        self.engine.delete(&names, timeout)?;
        match self.check_stream(timeout) {
            Err(EngineError::Unsupported) => Ok(()),
            checked => checked,
        }
    }

    /// Records that the engine could not be used when the client was created.
    pub fn record_failed_check(&self, error: &EngineError) {
        let transition = self.circuit.open(self.clock.now().mono_ms);
        self.report(transition, Some(error));
    }

    /// Runs an operation within the deadline, unless the circuit is open.
    fn run<T>(
        &self,
        deadline: Deadline,
        operation: impl FnOnce(Duration) -> Result<T, EngineError>,
    ) -> Result<T, Unavailable> {
        self.run_for(self.operation_timeout(), deadline.remaining(), operation)
    }

    fn operation_timeout(&self) -> Duration {
        if self.is_required { REQUIRED_TIMEOUT } else { OPERATION_TIMEOUT }
    }

    /// Does the same for an operation that may take `timeout`, but not longer than the caller may.
    fn run_for<T>(
        &self,
        timeout: Duration,
        left: Duration,
        operation: impl FnOnce(Duration) -> Result<T, EngineError>,
    ) -> Result<T, Unavailable> {
        if left.is_zero() {
            return Err(Unavailable);
        }
        let permit = self.circuit.try_acquire(self.clock.now().mono_ms).ok_or(Unavailable)?;
        let begun = Instant::now();
        // An engine may take longer to connect, but not longer than the caller may.
        let outcome = deadline::within(Deadline::after(left), || operation(timeout.min(left)));
        let elapsed = begun.elapsed();
        let is_cut_short = left < timeout && elapsed >= left;
        let says = match &outcome {
            // A read that waits says nothing about operations that may not.
            Ok(_) if elapsed > self.operation_timeout() => Outcome::Unknown,
            Ok(_) | Err(EngineError::TooLong) => Outcome::Success,
            Err(EngineError::Unsupported) => {
                self.has_stream.store(false, Ordering::Relaxed);
                Outcome::Unknown
            }
            Err(EngineError::Busy) => Outcome::Unknown,
            // It might have had the rest of its time.
            Err(EngineError::Unavailable(_)) if is_cut_short => Outcome::Unknown,
            Err(EngineError::Unavailable(_) | EngineError::Refused(_)) => Outcome::Failure,
        };
        let transition = self.circuit.record(permit, says, self.clock.now().mono_ms);
        self.report(transition, outcome.as_ref().err().filter(|_| says == Outcome::Failure));
        outcome.map_err(|_| Unavailable)
    }

    fn report(&self, transition: Option<Transition>, failure: Option<&EngineError>) {
        if let Some(error) = failure {
            self.counters.errors.increment();
            self.events.log(Level::Debug, || format!("shared cache: {error}"));
        }
        match (transition, failure) {
            (Some(Transition::Opened), Some(error)) => {
                self.events.log(Level::Warn, || format!("the shared cache cannot be used: {error}"));
                self.events.emit(Event::SharedCacheUnavailable);
            }
            (Some(Transition::Closed), _) => {
                self.events.log(Level::Info, || "the shared cache can be used again".into());
                self.events.emit(Event::SharedCacheAvailable);
            }
            _ => {}
        }
    }

    /// Returns the values of keys. One that is too long is empty: it cannot be opened either.
    fn get(&self, keys: &[String], deadline: Deadline) -> Result<Vec<Option<Vec<u8>>>, Unavailable> {
        let values = self.run(deadline, |timeout| match self.engine.get(keys, timeout) {
            Err(EngineError::TooLong) => Ok(None),
            outcome => outcome.map(Some),
        })?;
        match (values, keys) {
            (Some(values), _) => Ok(values),
            (None, [] | [_]) => Ok(vec![Some(Vec::new()); keys.len()]),
            // The others count.
            (None, _) => {
                let one = |key| self.get(std::slice::from_ref(key), deadline).map(|mut values| values.pop().flatten());
                keys.iter().map(one).collect()
            }
        }
    }

    /// Counts an entry that was not made by a process of this instance, or is damaged.
    fn reject(&self, name: &str) {
        self.counters.rejected.increment();
        if !self.has_logged_rejection.swap(true, Ordering::Relaxed) {
            self.events.log(Level::Warn, || {
                format!(
                    "shared cache: `{name}` is not an entry of this instance and secret, or is damaged; it and others like it \
                     are ignored"
                )
            });
        }
    }

    fn open<T: DeserializeOwned>(&self, kind: EntryKind, name: &str, id: &str, sealed: &[u8]) -> Option<T> {
        let times = match kind {
            _ if depends_on_clock(kind) => Times::Both,
            // It says that something has changed, not when.
            EntryKind::Generation | EntryKind::MachineTokenGeneration => Times::Neither,
            _ => Times::End,
        };
        let plaintext = self.sealer.open(name, sealed);
        let value = plaintext.and_then(|plaintext| entries::decode_by(times, id, &plaintext, self.clock.now().wall_ms));
        if value.is_none() {
            self.reject(name);
        }
        value
    }

    /// Returns the names of a generation: its own, and that of everything.
    fn generation_names(&self, kind: EntryKind, key: &[u8]) -> Vec<String> {
        [self.sealer.names(kind, key), self.sealer.names(EntryKind::Generation, EVERYTHING.as_bytes())].concat()
    }

    /// Returns the generation that was read, of [`Self::generation_names`]; `None` if one was not. With two secrets, processes that
    /// have the other one first write the other name.
    ///
    /// One that cannot be opened may stay for ever: it is replaced, which makes useless what was stored before, as any invalidation.
    fn open_generation(
        &self,
        id: &str,
        names: &[String],
        values: Vec<Option<Vec<u8>>>,
        deadline: Deadline,
    ) -> Option<String> {
        let is_complete = names.len() == values.len();
        let own = names.len() / 2;
        let opened = names.iter().zip(values).enumerate().map(|(at, (name, value))| {
            let Some(sealed) = value else { return Some(String::new()) };
            let (id, ttl_ms) = if at < own { (id, self.generation_ttl_ms()) } else { (EVERYTHING, EVERYTHING_TTL_MS) };
            let opened = self.open::<String>(EntryKind::Generation, name, id, &sealed);
            opened.or_else(|| {
                let generation = new_generation().ok()?;
                self.put_as(name, id, &generation, ttl_ms, false, deadline).ok().map(|_| generation)
            })
        });
        opened.collect::<Option<Vec<_>>>().filter(|_| is_complete).map(|generations| generations.concat())
    }

    /// How long the generation of a user is stored.
    fn generation_ttl_ms(&self) -> i64 {
        self.lifetimes.user_ttl_ms.max(self.lifetimes.user_stale_ms) + GENERATION_MARGIN_MS
    }

    /// Stores a value under the name of the first secret.
    fn put<T: Serialize>(
        &self,
        kind: EntryKind,
        key: &[u8],
        id: &str,
        value: &T,
        ttl_ms: i64,
        deadline: Deadline,
    ) -> Result<(), Unavailable> {
        match self.sealer.names(kind, key).first().filter(|_| self.may_store(kind, deadline)) {
            Some(name) => self.put_as(name, id, value, ttl_ms, false, deadline).map(drop),
            None => Ok(()),
        }
    }

    /// Whether entries of a kind may be stored: the end of one depends on the clock. Revocations are stored in any case: too late is
    /// better than never.
    fn may_store(&self, kind: EntryKind, deadline: Deadline) -> bool {
        !depends_on_clock(kind) || self.is_clock_right(deadline)
    }

    /// Stores a value; with `only_if_absent` not over another one. Returns whether none was in the way.
    fn put_as<T: Serialize>(
        &self,
        name: &str,
        id: &str,
        value: &T,
        ttl_ms: i64,
        only_if_absent: bool,
        deadline: Deadline,
    ) -> Result<bool, Unavailable> {
        let Ok(ttl) = u64::try_from(ttl_ms).map(Duration::from_millis) else { return Ok(true) };
        let encoded = entries::encode(id, value, self.clock.now().wall_ms, ttl_ms);
        let sealed = encoded.and_then(|plaintext| self.sealer.seal(name, &plaintext));
        // Too long to be shared.
        let Some(sealed) = sealed.filter(|_| !ttl.is_zero()) else { return Ok(true) };
        self.run(deadline, |timeout| self.engine.set(name, &sealed, ttl, only_if_absent, timeout))
    }

    /// Stores what `merge` makes of the stored values, of which the first has the name that is written, with its time to live; stores
    /// nothing if it returns `None`. What another process stores meanwhile is merged as well, if there was no value before.
    fn update<T: Serialize + DeserializeOwned>(
        &self,
        kind: EntryKind,
        id: &str,
        deadline: Deadline,
        merge: impl Fn(Vec<Option<T>>) -> Option<(T, i64)>,
    ) -> Result<(), Unavailable> {
        let names = self.sealer.names(kind, id.as_bytes());
        let Some(name) = names.first().filter(|_| self.may_store(kind, deadline)) else { return Ok(()) };
        for attempt in 1..=MAX_ATTEMPTS {
            let values = self.get(&names, deadline)?;
            let is_absent = values.first().is_none_or(Option::is_none);
            let open =
                |(name, value): (&String, Option<Vec<u8>>)| Some(self.open::<Object<T>>(kind, name, id, &value?)?.0);
            let Some((merged, ttl_ms)) = merge(names.iter().zip(values).map(open).collect()) else { break };
            if self.put_as(name, id, &merged, ttl_ms, is_absent && attempt < MAX_ATTEMPTS, deadline)? {
                break;
            }
        }
        Ok(())
    }

    /// Returns the snapshot of a user, and the generation to fetch it for.
    pub fn user(&self, id: &str, deadline: Deadline) -> Result<FoundSnapshot, Unavailable> {
        let users = self.sealer.names(EntryKind::User, id.as_bytes());
        let generations = self.generation_names(EntryKind::Generation, id.as_bytes());
        let keys = [&users[..], &generations].concat();
        let mut values = self.get(&keys, deadline)?;
        let opened = values.split_off(users.len().min(values.len()));
        let generation = self.open_generation(id, &generations, opened, deadline);
        let mut found = FoundSnapshot { snapshot: None, generation };
        for (name, sealed) in users.iter().zip(values).filter_map(|(name, value)| value.map(|value| (name, value))) {
            let opened = self.open::<Object<UserSnapshot>>(EntryKind::User, name, id, &sealed);
            let Some(Object(snapshot)) = opened else { continue };
            let is_current = found.generation.as_ref() == Some(&snapshot.generation);
            let is_newer = found.snapshot.as_ref().is_none_or(|other| other.version_ms() < snapshot.version_ms());
            if is_current && is_newer && snapshot.is_about(id) {
                found.snapshot = Some(snapshot);
            }
        }
        Ok(found)
    }

    /// Counts a user that a request needed.
    pub fn count_lookup(&self, is_hit: bool) {
        if is_hit { self.counters.hits.increment() } else { self.counters.misses.increment() }
    }

    /// Stores a user that was fetched for this generation, unless a newer version is stored.
    pub fn put_user(
        &self,
        user: &ClerkUser,
        fetched_at_ms: i64,
        generation: String,
        deadline: Deadline,
    ) -> Result<(), Unavailable> {
        let ttl_ms = self.lifetimes.user_ttl_ms.max(self.lifetimes.user_stale_ms);
        let left_ms = ttl_ms.saturating_sub(self.clock.now().wall_ms.saturating_sub(fetched_at_ms));
        let age = |snapshot: &UserSnapshot| (snapshot.version_ms(), snapshot.fetched_at_ms);
        self.update(EntryKind::User, &user.id, deadline, |stored| {
            let snapshot = UserSnapshot::new(user, fetched_at_ms, generation.clone());
            let is_newer = |stored: &UserSnapshot| {
                stored.is_about(&user.id) && stored.generation == generation && age(stored) > age(&snapshot)
            };
            let is_outdated = stored.iter().flatten().any(is_newer);
            (!is_outdated).then_some((snapshot, left_ms))
        })
    }

    /// Makes all snapshots of a user useless, also those of fetches that are running. Returns the new generation.
    pub fn invalidate_user(&self, id: &str, deadline: Deadline) -> Result<String, Unavailable> {
        let generation = new_generation()?;
        self.put(EntryKind::Generation, id.as_bytes(), id, &generation, self.generation_ttl_ms(), deadline)?;
        let stale = [EntryKind::User, EntryKind::Lease].map(|kind| self.sealer.names(kind, id.as_bytes())).concat();
        self.run(deadline, |timeout| self.engine.delete(&stale, timeout))?;
        Ok(generation)
    }

    /// Makes the snapshots of all users and the results of all machine tokens useless, also those of calls that are running.
    pub fn invalidate_all(&self, deadline: Deadline) -> Result<(), Unavailable> {
        let (generation, key) = (new_generation()?, EVERYTHING.as_bytes());
        self.put(EntryKind::Generation, key, EVERYTHING, &generation, EVERYTHING_TTL_MS, deadline)
    }

    /// Returns whether this process may fetch a user for all others.
    pub fn lease_user(&self, id: &str, deadline: Deadline) -> Result<bool, Unavailable> {
        self.lease(id.as_bytes(), LEASE_TTL, deadline)
    }

    fn lease(&self, key: &[u8], ttl: Duration, deadline: Deadline) -> Result<bool, Unavailable> {
        let names = self.sealer.names(EntryKind::Lease, key);
        let mut random = [0; 16];
        let Some(name) = names.first().filter(|_| aws_lc_rs::rand::fill(&mut random).is_ok()) else {
            return Err(Unavailable);
        };
        self.run(deadline, |timeout| self.engine.set(name, &random, ttl, true, timeout))
    }

    /// Returns the JWK set that another process has fetched from the same source within the last minute.
    pub fn jwks(&self, source: &[u8; 32], deadline: Deadline) -> Option<Vec<u8>> {
        let names = self.sealer.names(EntryKind::Jwks, source);
        let values = self.get(&names, deadline).ok()?;
        let set =
            names.iter().zip(values).find_map(|(name, value)| self.open::<String>(EntryKind::Jwks, name, "", &value?));
        set.map(String::into_bytes)
    }

    /// Stores the JWK set of a source.
    pub fn put_jwks(&self, source: &[u8; 32], set: &[u8], deadline: Deadline) {
        if let Ok(set) = std::str::from_utf8(set) {
            let _ = self.put(EntryKind::Jwks, source, "", &set, JWKS_TTL_MS, deadline);
        }
    }

    /// Lets the next operation try the engine, whether or not it failed before.
    pub fn retry_now(&self) {
        self.circuit.end_pause(self.clock.now().mono_ms);
    }

    /// Returns how long a reader should wait before it tries the engine again.
    pub fn retry_wait(&self) -> Duration {
        Duration::from_millis(self.circuit.wait_ms(self.clock.now().mono_ms))
    }
}

/// Whether the end of an entry depends on the clock of the process that has made it.
fn depends_on_clock(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::User | EntryKind::MachineToken | EntryKind::Jwks)
}

fn new_generation() -> Result<String, Unavailable> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Unavailable)?;
    Ok(format!("{:016x}", u64::from_le_bytes(random)))
}

impl std::fmt::Debug for SharedCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedCache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
