//! Locks that other programs hold in the database of the SQLite store × calls: each call has one deadline, whatever it waits for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use clerk_auth::users::{SqliteStore, StoreError, SyncError};
use clerk_auth::{UserMode, WebhookHeaders, WebhookOutcome};
use clerk_sim::webhook::WebhookSpec;
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Fault, Sim};
use rusqlite::Connection;
use serde_json::json;

use super::common::{Fixture, TempDir, pem};
use super::{TIMEOUT_MS, USER, in_time, until_in_time};

const BUSY: &str = "unavailable store-error";
/// Nothing is written while another program writes, and in a rollback journal nothing is read while it commits.
const WRITER: &str = "BEGIN IMMEDIATE";
const COMMITTING: &str = "BEGIN EXCLUSIVE";
/// In a rollback journal no commit ends while another program reads.
const READER: &str = "BEGIN; SELECT * FROM clerk_user";

/// What the call does with the row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    /// Creates it.
    New,
    /// Checks it: the result is cached.
    Cached,
    /// Updates it.
    Event,
    /// Deactivates it.
    Deleted,
}

struct Site {
    fixture: Fixture,
    path: PathBuf,
    _dir: TempDir,
}

impl Site {
    /// `has_wal`: the database is the library's own. The application's has a rollback journal.
    fn new(has_wal: bool) -> Site {
        let dir = TempDir::new();
        let path = dir.join("users.db");
        if !has_wal {
            outside(&path).execute_batch("CREATE TABLE own (x)").unwrap();
        }
        let sim = Sim::start();
        sim.put_user(json!({"id": USER, "username": "ada"}));
        sim.put_user(json!({"id": "user_2new", "username": "new"}));
        let key = pem(&sim);
        let store = Arc::new(SqliteStore::open(&path).unwrap());
        let fixture = Fixture::build(sim, Some(store), |config| {
            config.jwt_key = key;
            config.user_mode = Some(UserMode::Sync);
            config.timeout_ms = TIMEOUT_MS;
            config.set("webhook_secrets", DEFAULT_WEBHOOK_SECRET).unwrap();
            config.set("deactivate_deleted_users", "true").unwrap();
        });
        Site { fixture, path, _dir: dir }
    }

    /// Prepares a call, so that what it does then is the call itself.
    fn prepare(&self, call: Call) -> Box<dyn Fn() -> String + '_> {
        let fixture = &self.fixture;
        let known = fixture.token(USER);
        assert_eq!(fixture.ask(&known), "in verified");
        match call {
            Call::New => {
                let token = fixture.token("user_2new");
                Box::new(move || fixture.ask(&token))
            }
            Call::Cached => {
                assert_eq!(fixture.ask(&known), "in cache");
                Box::new(move || fixture.ask(&known))
            }
            Call::Event => {
                fixture
                    .sim
                    .patch_user(USER, json!({"first_name": "Ada", "updated_at": 1_800_000_000_000_i64}))
                    .unwrap();
                self.delivery("user.updated")
            }
            Call::Deleted => self.delivery("user.deleted"),
        }
    }

    fn delivery(&self, kind: &str) -> Box<dyn Fn() -> String + '_> {
        let spec = WebhookSpec { timestamp: Some(self.fixture.time.now_s()), ..WebhookSpec::new(kind, USER) };
        let delivery = self.fixture.sim.webhook(&spec).unwrap();
        Box::new(move || {
            let mut headers = WebhookHeaders::default();
            for (name, value) in &delivery.headers {
                headers.header(name.as_bytes(), value.as_bytes());
            }
            match self.fixture.client.handle_webhook(&headers, delivery.body.as_bytes()) {
                WebhookOutcome::Applied => "applied".into(),
                WebhookOutcome::Failed(SyncError::Store(StoreError::Failed { message, .. })) => {
                    assert!(message.contains("locked"), "{message}");
                    BUSY.into()
                }
                other => format!("{other:?}"),
            }
        })
    }
}

/// A connection of another program.
fn outside(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

/// Runs while another program holds a lock. It gives the lock back after `held`, or after the function.
fn while_locked<T>(path: &Path, lock: &str, held: Option<Duration>, run: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let ((locked, is_locked), (done, is_done)) = (channel(), channel::<()>());
        scope.spawn(move || {
            let other = outside(path);
            other.execute_batch(lock).unwrap();
            locked.send(()).unwrap();
            let _ = is_done.recv_timeout(held.unwrap_or(Duration::from_secs(30)));
            other.execute_batch("ROLLBACK").unwrap();
        });
        is_locked.recv().unwrap();
        let outcome = run();
        drop(done);
        outcome
    })
}

/// Guarantee 11.
#[test]
fn locked_database_holds_no_call_past_its_deadline() {
    let cells = [
        (true, WRITER, Call::New, BUSY),
        (true, WRITER, Call::Cached, "in cache"),
        (true, WRITER, Call::Event, BUSY),
        (true, WRITER, Call::Deleted, BUSY),
        (false, WRITER, Call::New, BUSY),
        (false, WRITER, Call::Cached, "in cache"),
        (false, COMMITTING, Call::New, BUSY),
        (false, COMMITTING, Call::Cached, BUSY),
        (false, COMMITTING, Call::Event, BUSY),
        (false, READER, Call::New, BUSY),
        (false, READER, Call::Cached, "in cache"),
        (false, READER, Call::Event, BUSY),
        (false, READER, Call::Deleted, BUSY),
    ];
    for (has_wal, lock, call, right) in cells {
        let what = format!("{lock} × {call:?} × WAL {has_wal}");
        until_in_time(&what, || {
            let site = Site::new(has_wal);
            let ask = site.prepare(call);
            let is_in_time = while_locked(&site.path, lock, None, || {
                in_time(right != BUSY, &what, || assert_eq!(ask(), right, "{what}"))
            });
            // The lock has gone, and nothing is left of the call.
            let right = if matches!(call, Call::Event | Call::Deleted) { "applied" } else { "in " };
            assert!(ask().starts_with(right), "{what}");
            is_in_time
        });
    }
}

/// Guarantee 11.
#[test]
fn wait_for_clerk_and_for_the_database_share_one_deadline() {
    let after_clerk = |what: &str| {
        let site = Site::new(true);
        let ask = site.prepare(Call::New);
        site.fixture.sim.fault(Fault::on("/users/*").delay_ms(300));
        while_locked(&site.path, WRITER, None, || in_time(false, what, || assert_eq!(ask(), BUSY)))
    };
    until_in_time("a lock after a slow fetch", || after_clerk("a lock after a slow fetch"));
    let before_clerk = |call: Call, change: &str, right: &str, what: &str| {
        let site = Site::new(false);
        let ask = site.prepare(call);
        outside(&site.path).execute_batch(change).unwrap();
        site.fixture.sim.fault(Fault::on("/users/*").delay_ms(5000));
        let held = Some(Duration::from_millis(350));
        while_locked(&site.path, COMMITTING, held, || in_time(false, what, || assert_eq!(ask(), right, "{what}")))
    };
    for (call, change, right) in [
        (Call::Cached, "DELETE FROM clerk_user", "unavailable server-error"),
        (Call::Event, "UPDATE clerk_user SET clerk_updated_at_ms = NULL", "Failed(Rejected(ServerError))"),
    ] {
        let what = format!("a slow fetch after a lock × {call:?}");
        until_in_time(&what, || before_clerk(call, change, right, &what));
    }
}
