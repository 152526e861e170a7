//! Precedence of sources: older data never replaces newer, and only a verified address is used. Two clients on one table
//! represent two processes. The rules are those of `docs/security.md`.

mod activation;
mod addresses;
mod changes;
#[path = "../common/mod.rs"]
mod common;
mod conflicts;
mod deletions;
mod deliveries;
mod shared;
mod versions;

use std::sync::Arc;

use clerk_auth::WebhookHeaders as Headers;
use clerk_auth::WebhookOutcome;
use clerk_auth::internals::Config;
use clerk_auth::stepwise::{NextAction, WebhookProgress};
use clerk_auth::users::{Row, SqliteStore, UserStore};
use clerk_auth::{AuthResult, Client};
use clerk_sim::webhook::{Delivery, WebhookSpec};
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Sim};
use common::table::{Table, answer};
use common::{EventLog, ManualClock, TempDir, bearer, client, pem, stepwise, word};
use serde_json::{Value, json};

const ADA: &str = "user_2ada";
const T0: i64 = 1_700_000_000_000;

/// The table of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// One SQLite file, opened by each process.
    Sqlite,
    /// The application's own table, with a column for versions.
    Versioned,
    /// The same without it.
    Plain,
    /// A table without Clerk ids.
    WithoutIds,
}

/// How the store is driven.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Driver {
    Blocking,
    Stepwise,
}

const TABLES: [Kind; 3] = [Kind::Sqlite, Kind::Versioned, Kind::Plain];
const DRIVERS: [Driver; 2] = [Driver::Blocking, Driver::Stepwise];

/// Clerk, a table, and two processes that use both.
struct World {
    sim: Sim,
    time: ManualClock,
    kind: Kind,
    driver: Driver,
    a: Process,
    b: Process,
    dir: TempDir,
    table: Option<Arc<Table>>,
}

struct Process {
    client: Client,
    store: Arc<dyn UserStore>,
    events: EventLog,
}

impl World {
    fn new(kind: Kind, driver: Driver, tune: impl Fn(&mut Config)) -> World {
        let (sim, time, dir) = (Sim::start(), ManualClock::default(), TempDir::new());
        let table = (kind != Kind::Sqlite).then(|| {
            let (has_versions, has_no_clerk_ids) = (kind == Kind::Versioned, kind == Kind::WithoutIds);
            Arc::new(Table { has_versions, has_no_clerk_ids, ..Table::default() })
        });
        let process = || {
            let store: Arc<dyn UserStore> = match &table {
                Some(table) => table.clone(),
                None => Arc::new(SqliteStore::open(dir.join("users.db")).unwrap()),
            };
            let events = EventLog::default();
            let client = client(&sim, &time, &events, Some(store.clone()), |config| {
                config.jwt_key = pem(&sim);
                config.set("webhook_secrets", DEFAULT_WEBHOOK_SECRET).unwrap();
                tune(config);
            });
            Process { client, store, events }
        };
        let (a, b) = (process(), process());
        World { sim, time, kind, driver, a, b, dir, table }
    }

    fn what(&self) -> String {
        format!("{:?} {:?}", self.kind, self.driver)
    }

    fn token(&self, user: &str) -> String {
        self.sim.mint(&clerk_sim::TokenSpec::session(user), self.time.now_s())
    }

    fn result(&self, process: &Process, token: &str) -> Arc<AuthResult> {
        bearer(&process.client, token)
    }

    fn ask(&self, process: &Process, token: &str) -> String {
        match self.driver {
            Driver::Blocking => word(&self.result(process, token)),
            Driver::Stepwise => stepwise(&process.client, token, &*process.store),
        }
    }

    fn sign_in(&self, process: &Process, user: &str) -> String {
        self.ask(process, &self.token(user))
    }

    fn event(&self, kind: &str, data: Value) -> Delivery {
        let spec = WebhookSpec { timestamp: Some(self.time.now_s()), data: Some(data), ..WebhookSpec::new(kind, "") };
        self.sim.webhook(&spec).unwrap()
    }

    fn begin(&self, process: &Process, delivery: &Delivery) -> WebhookProgress {
        let mut headers = Headers::default();
        delivery.headers.iter().for_each(|(name, value)| {
            headers.header(name.as_bytes(), value.as_bytes());
        });
        process.client.begin_webhook(&headers, delivery.body.as_bytes())
    }

    fn deliver(&self, process: &Process, delivery: &Delivery) -> WebhookOutcome {
        let mut headers = Headers::default();
        delivery.headers.iter().for_each(|(name, value)| {
            headers.header(name.as_bytes(), value.as_bytes());
        });
        match self.driver {
            Driver::Blocking => process.client.handle_webhook(&headers, delivery.body.as_bytes()),
            Driver::Stepwise => finish(self.begin(process, delivery), process),
        }
    }

    fn update(&self, process: &Process, user: &Value) -> WebhookOutcome {
        self.deliver(process, &self.event("user.updated", user.clone()))
    }

    fn rows(&self) -> Vec<Row> {
        match &self.table {
            Some(table) => table.rows(),
            None => {
                let keys = (1..20).map(|key: i32| self.a.store.find_by_key(&key.to_string()).unwrap());
                keys.flatten().collect()
            }
        }
    }

    /// Adds a row without the library; for SQLite its key is the next number.
    fn add(&self, row: Row) -> Row {
        match &self.table {
            Some(table) => table.change(|rows| rows.push(row.clone())),
            None => {
                let sql = "INSERT INTO clerk_user (clerk_user_id, email, username, is_active) VALUES (?, ?, ?, ?)";
                let database = rusqlite::Connection::open(self.dir.join("users.db")).unwrap();
                let values = (&row.clerk_id, &row.email, row.username.clone().unwrap_or_default(), row.is_active);
                database.execute(sql, values).unwrap();
            }
        }
        row
    }

    /// Deactivates or deletes all rows without the library.
    fn sql(&self, statement: &str, change: impl FnOnce(&mut Vec<Row>)) {
        match &self.table {
            Some(table) => table.change(change),
            None => {
                rusqlite::Connection::open(self.dir.join("users.db")).unwrap().execute_batch(statement).unwrap();
            }
        }
    }

    fn erase_rows(&self) {
        self.sql("DELETE FROM clerk_user", Vec::clear);
    }

    fn fetches(&self) -> usize {
        self.sim.requests("/users/*")
    }
}

fn finish(progress: WebhookProgress, process: &Process) -> WebhookOutcome {
    let mut pending = match progress {
        WebhookProgress::Done(outcome) => return outcome,
        WebhookProgress::Pending(pending) => pending,
    };
    loop {
        match pending.next_action() {
            NextAction::QueryStore(request) => {
                let response = answer(&*process.store, request);
                pending.submit(response);
            }
            NextAction::FetchUser => pending.fetch_user(),
            NextAction::Done => return pending.into_outcome(),
        }
    }
}

/// Ada at a version, with more members.
fn ada(version: i64, more: Value) -> Value {
    let mut user = json!({"id": ADA, "username": "ada", "first_name": "Ada", "updated_at": T0 + version,
        "email_addresses": [{"id": "idn_1", "email_address": "ada@example.com", "verification": {"status": "verified"}}],
        "primary_email_address_id": "idn_1"});
    user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    user
}

/// The addresses of a user, with one that is verified or not.
fn address(address: &str, status: &str, is_primary: bool) -> Value {
    json!({"email_addresses": [{"id": "idn_1", "email_address": address, "verification": {"status": status}}],
        "primary_email_address_id": if is_primary { json!("idn_1") } else { Value::Null }})
}

/// Runs a test with each kind of table and each driver.
fn everywhere(tune: impl Fn(&mut Config) + Copy, test: impl Fn(&World)) {
    for kind in TABLES {
        for driver in DRIVERS {
            test(&World::new(kind, driver, tune));
        }
    }
}
