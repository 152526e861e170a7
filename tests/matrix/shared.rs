//! Clients that share a cache: faults of Clerk when another client has fetched the user, and faults of the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clerk_auth::internals::{Config, builder};
use clerk_auth::shared_cache::{Engine, EngineError, MemoryEngine, StreamRead};
use clerk_auth::{Client, Secret, UserMode};
use clerk_sim::{Sim, TokenSpec};
use serde_json::json;

use super::common::{EventLog, ManualClock, SECRET, bearer, pem, word};
use super::{Meaning, State, TIMEOUT_MS, USER, each, expected, faults, in_time, until_in_time};

/// A fake Clerk API and an engine, for several clients.
struct Fleet {
    sim: Sim,
    time: ManualClock,
    event_log: EventLog,
}

impl Fleet {
    fn new() -> Fleet {
        let sim = Sim::start();
        sim.put_user(json!({"id": USER, "username": "ada"}));
        Fleet { sim, time: ManualClock::default(), event_log: EventLog::default() }
    }

    fn client(&self, engine: Arc<dyn Engine>) -> Client {
        let mut config = Config::new();
        config.api_url = self.sim.url();
        config.secret_key = Some(Secret::new(SECRET));
        config.jwt_key = pem(&self.sim);
        config.user_mode = Some(UserMode::Profile);
        config.timeout_ms = TIMEOUT_MS;
        let builder = builder(config).on_event(self.event_log.handler()).clock(self.time.clock());
        builder.shared_cache_engine(engine).build().unwrap()
    }

    fn ask(&self, client: &Client) -> String {
        let token = self.sim.mint(&TokenSpec::session(USER), self.time.now_s());
        word(&bearer(client, &token))
    }
}

/// Threat N5. What another client has fetched counts here, too; nothing else changes.
#[test]
fn clerk_faults_when_users_are_shared() {
    each(faults(), |name, fault, meaning| {
        let fleet = Fleet::new();
        let engine = Arc::new(MemoryEngine::new());
        let (first, second, apart) = (
            fleet.client(engine.clone()),
            fleet.client(engine),
            // The same without a user in the engine.
            fleet.client(Arc::new(MemoryEngine::new())),
        );
        assert_eq!(fleet.ask(&first), "in verified", "{name}");
        match fault {
            Some(fault) => fleet.sim.fault(fault.clone()),
            None => fleet.sim.set_down(true).unwrap(),
        }
        let calls = fleet.sim.stats().total();
        let what = format!("{name} × shared");
        let is_in_time = in_time(true, &what, || assert_eq!(fleet.ask(&second), "in verified", "{what}"));
        assert_eq!(fleet.sim.stats().total(), calls, "{what}: no call to Clerk");
        let what = format!("{name} × shared × nothing");
        let right = expected(State::Nothing, meaning);
        let is_also_in_time = in_time(false, &what, || assert_eq!(fleet.ask(&apart), right, "{what}"));
        is_in_time && is_also_in_time
    });
}

/// What the engine does after the fault starts.
#[derive(Clone, Copy, Debug)]
enum EngineFault {
    Unavailable,
    Refused,
    Busy,
    /// Each operation takes as long as it may.
    Slow,
    /// Every key has a value that no client has sealed.
    Garbage,
    /// Every key has the value of another key.
    Exchanged,
    /// Fewer values than keys.
    Short,
    /// Nothing is stored, although it says so.
    Forgetful,
}

const ENGINE_FAULTS: [EngineFault; 8] = [
    EngineFault::Unavailable,
    EngineFault::Refused,
    EngineFault::Busy,
    EngineFault::Slow,
    EngineFault::Garbage,
    EngineFault::Exchanged,
    EngineFault::Short,
    EngineFault::Forgetful,
];

/// An engine that has a fault after it was used for some operations.
struct FaultyEngine {
    inner: Arc<MemoryEngine>,
    fault: EngineFault,
    good_operations: AtomicUsize,
    last_value: std::sync::Mutex<Option<Vec<u8>>>,
}

impl FaultyEngine {
    fn fail(&self, timeout: Duration) -> Result<bool, EngineError> {
        let left = self.good_operations.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_ok() {
            return Ok(false);
        }
        match self.fault {
            EngineFault::Unavailable => Err(EngineError::Unavailable("on purpose".into())),
            EngineFault::Refused => Err(EngineError::Refused("on purpose".into())),
            EngineFault::Busy => Err(EngineError::Busy),
            EngineFault::Slow => {
                std::thread::sleep(timeout);
                Err(EngineError::Unavailable("too slow".into()))
            }
            EngineFault::Garbage | EngineFault::Exchanged | EngineFault::Short | EngineFault::Forgetful => Ok(true),
        }
    }
}

impl Engine for FaultyEngine {
    fn get(&self, keys: &[String], timeout: Duration) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        let is_faulty = self.fail(timeout)?;
        let values = self.inner.get(keys, timeout)?;
        Ok(match self.fault {
            EngineFault::Garbage if is_faulty => keys.iter().map(|key| Some(key.as_bytes().repeat(20))).collect(),
            EngineFault::Exchanged if is_faulty => {
                keys.iter().map(|_| self.last_value.lock().unwrap().clone()).collect()
            }
            EngineFault::Short if is_faulty => Vec::new(),
            _ => values,
        })
    }

    fn set(
        &self,
        key: &str,
        value: &[u8],
        ttl: Duration,
        only_if_absent: bool,
        timeout: Duration,
    ) -> Result<bool, EngineError> {
        let is_faulty = self.fail(timeout)?;
        *self.last_value.lock().unwrap() = Some(value.to_vec());
        match self.fault {
            EngineFault::Forgetful if is_faulty => Ok(true),
            _ => self.inner.set(key, value, ttl, only_if_absent, timeout),
        }
    }

    fn delete(&self, keys: &[String], timeout: Duration) -> Result<(), EngineError> {
        self.fail(timeout)?;
        self.inner.delete(keys, timeout)
    }

    fn append(&self, stream: &str, value: &[u8], timeout: Duration) -> Result<String, EngineError> {
        self.fail(timeout)?;
        self.inner.append(stream, value, timeout)
    }

    fn read(&self, stream: &str, after: &str, wait: Duration, timeout: Duration) -> Result<StreamRead, EngineError> {
        self.fail(timeout)?;
        self.inner.read(stream, after, wait, timeout)
    }
}

/// What an engine does makes no user signed in, and keeps none from it.
#[test]
fn engine_faults_change_no_result() {
    for fault in ENGINE_FAULTS {
        for is_clerk_down in [false, true] {
            let what = format!("{fault:?} × Clerk down {is_clerk_down}");
            until_in_time(&what, || {
                let fleet = Fleet::new();
                let inner = Arc::new(MemoryEngine::new());
                // For the check of the new client.
                let good_operations = AtomicUsize::new(7);
                let faulty = FaultyEngine { inner, fault, good_operations, last_value: std::sync::Mutex::default() };
                let client = fleet.client(Arc::new(faulty));
                fleet.sim.set_down(is_clerk_down).unwrap();
                let right = if is_clerk_down { "unavailable server-error" } else { "in verified" };
                let is_in_time = in_time(false, &what, || assert_eq!(fleet.ask(&client), right, "{what}"));
                if !is_clerk_down {
                    // Without the engine the client's own cache has the user.
                    let calls = fleet.sim.stats().total();
                    assert_eq!(fleet.ask(&client), "in verified", "{what}");
                    assert_eq!(fleet.sim.stats().total(), calls, "{what}");
                    fleet.sim.set_down(true).unwrap();
                    fleet.time.advance_s(301);
                    assert_eq!(fleet.ask(&client), expected(State::Stale, Meaning::Outage), "{what}, stale");
                }
                is_in_time
            });
        }
    }
}
