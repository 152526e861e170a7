//! Synchronization of users into a table, here the built-in SQLite store.

use std::sync::Arc;

use clerk_auth::Attribute;
use clerk_auth::internals::Config;
use clerk_auth::users::{Row, RowChanges, SqliteStore, StoreError, UpdateCondition, UserStore};
use clerk_sim::Sim;
use serde_json::json;

use super::common::table::Table;
use super::common::{Fixture, TempDir, bearer, inline, pem};

struct SyncFixture {
    fixture: Fixture,
    store: Arc<SqliteStore>,
    dir: TempDir,
}

impl SyncFixture {
    fn new(tune: impl FnOnce(&mut Config)) -> SyncFixture {
        let dir = TempDir::new();
        let store = Arc::new(SqliteStore::open(dir.join("users.db")).unwrap());
        let sim = Sim::start();
        let key = pem(&sim);
        sim.put_user(json!({"id": "user_1", "username": "ada", "first_name": "Ada",
            "email_addresses": ["ada@example.com"], "primary_email_address_id": "idn_0001"}));
        let fixture = Fixture::build(sim, Some(store.clone()), |config| {
            config.jwt_key = key;
            tune(config);
        });
        SyncFixture { fixture, store, dir }
    }

    fn row(&self) -> Option<Row> {
        self.store.find_by_clerk_id("user_1").unwrap()
    }

    /// Changes the table directly, as the application would.
    fn sql(&self, statement: &str) {
        rusqlite::Connection::open(self.dir.join("users.db")).unwrap().execute_batch(statement).unwrap();
    }

    fn user_calls(&self) -> usize {
        self.fixture.sim.requests("/users/*")
    }
}

#[test]
fn first_request_creates_row_and_second_is_cached() {
    let f = SyncFixture::new(|_| {});
    let token = f.fixture.token("user_1");
    assert_eq!(f.fixture.ask(&token), "in verified");
    assert_eq!(f.fixture.event_log.take(), ["cache_miss", "user_created", "auth_success verified"]);
    let row = f.row().unwrap();
    assert_eq!((row.username.as_deref(), row.email.as_deref()), (Some("ada"), Some("ada@example.com")));
    assert!(row.is_active && !row.banned_by_clerk);
    assert_eq!(f.fixture.calls(), 1);
    assert_eq!(f.fixture.ask(&token), "in cache");
    assert_eq!(f.fixture.event_log.take(), ["auth_success cache"]);
    assert_eq!(bearer(&f.fixture.client, &token).identity().unwrap().get(Attribute::UserKey), Some(row.key.as_str()));
    assert_eq!(f.fixture.calls(), 1);
    assert!(f.fixture.sim.violations().is_empty(), "{:?}", f.fixture.sim.violations());
}

#[test]
fn new_token_of_cached_user_queries_store_only() {
    let f = SyncFixture::new(|_| {});
    f.fixture.authenticate_new("user_1");
    f.fixture.event_log.take();
    for _ in 0..5 {
        f.fixture.time.advance_s(50);
        assert_eq!(f.fixture.authenticate_new("user_1"), "in verified");
    }
    assert_eq!(f.user_calls(), 1);
    assert_eq!(f.fixture.event_log.take(), ["cache_miss", "auth_success verified"].repeat(5));
}

#[test]
fn change_at_clerk_is_applied_after_user_ttl() {
    let f = SyncFixture::new(|_| {});
    f.fixture.authenticate_new("user_1");
    f.fixture.sim.patch_user("user_1", json!({"first_name": "Augusta"})).unwrap();
    f.fixture.time.advance_s(299);
    f.fixture.authenticate_new("user_1");
    assert_eq!(f.row().unwrap().first_name.as_deref(), Some("Ada"));
    f.fixture.event_log.take();
    f.fixture.time.advance_s(1);
    f.fixture.authenticate_new("user_1");
    assert_eq!(f.row().unwrap().first_name.as_deref(), Some("Augusta"));
    assert_eq!(f.fixture.event_log.take(), ["cache_miss", "user_updated", "auth_success verified"]);
    assert_eq!(f.user_calls(), 2);
}

#[test]
fn ban_deactivates_row_and_its_end_activates_it() {
    let f = SyncFixture::new(|config| config.user_ttl_s = 60);
    let cached = f.fixture.token("user_1");
    assert_eq!(f.fixture.ask(&cached), "in verified");
    f.fixture.sim.ban_user("user_1");
    f.fixture.time.advance_s(60);
    assert_eq!(f.fixture.authenticate_new("user_1"), "out user-inactive");
    let row = f.row().unwrap();
    assert!(!row.is_active && row.banned_by_clerk);
    assert_eq!(f.fixture.ask(&cached), "out user-inactive");
    f.fixture.sim.patch_user("user_1", json!({"banned": false})).unwrap();
    assert_eq!(f.fixture.authenticate_new("user_1"), "out user-inactive");
    f.fixture.time.advance_s(60);
    assert_eq!(f.fixture.authenticate_new("user_1"), "in verified");
    let row = f.row().unwrap();
    assert!(row.is_active && !row.banned_by_clerk);
}

#[test]
fn unknown_banned_user_gets_inactive_row() {
    let f = SyncFixture::new(|_| {});
    f.fixture.sim.ban_user("user_1");
    assert_eq!(f.fixture.authenticate_new("user_1"), "out user-inactive");
    assert_eq!(f.fixture.event_log.take(), ["cache_miss", "user_created", "auth_failed user-inactive"]);
    assert!(!f.row().unwrap().is_active);
}

#[test]
fn row_deactivated_by_application_stays_inactive() {
    let f = SyncFixture::new(|config| config.user_ttl_s = 60);
    let cached = f.fixture.token("user_1");
    assert_eq!(f.fixture.ask(&cached), "in verified");
    f.sql("UPDATE clerk_user SET is_active = 0");
    assert_eq!(
        [f.fixture.ask(&cached), f.fixture.authenticate_new("user_1")],
        ["out user-inactive", "out user-inactive"]
    );
    for change in [json!({"first_name": "Augusta"}), json!({"banned": true}), json!({"banned": false})] {
        f.fixture.sim.patch_user("user_1", change).unwrap();
        f.fixture.time.advance_s(60);
        assert_eq!(f.fixture.authenticate_new("user_1"), "out user-inactive");
    }
    let row = f.row().unwrap();
    assert!(!row.is_active && !row.banned_by_clerk);
    f.sql("UPDATE clerk_user SET is_active = 1");
    assert_eq!(f.fixture.authenticate_new("user_1"), "in verified");
}

#[test]
fn deleted_row_is_created_again() {
    for fresh in [false, true] {
        let f = SyncFixture::new(|_| {});
        let token = f.fixture.token("user_1");
        f.fixture.ask(&token);
        let before = f.row().unwrap().key;
        f.sql("DELETE FROM clerk_user");
        f.fixture.event_log.take();
        let asked = if fresh { f.fixture.token("user_1") } else { token };
        assert_eq!(f.fixture.ask(&asked), "in verified");
        let events = f.fixture.event_log.take();
        assert_eq!(events.iter().filter(|event| *event == "user_created").count(), 1, "{events:?}");
        assert_eq!(events.last().unwrap(), "auth_success verified");
        let after = f.row().unwrap().key;
        assert_ne!(before, after);
        assert_eq!(bearer(&f.fixture.client, &asked).identity().unwrap().get(Attribute::UserKey), Some(after.as_str()));
        assert_eq!(f.user_calls(), 2, "a new row needs a fetched user");
    }
}

/// Threat U4.
#[test]
fn unlinked_row_is_linked_by_verified_email_only() {
    for (verification, link, key) in
        [("verified", "verified", "1"), ("unverified", "verified", "2"), ("verified", "never", "2")]
    {
        let f = SyncFixture::new(|config| config.set("link_by_email", link).unwrap());
        f.sql("INSERT INTO clerk_user (email, username) VALUES ('ADA@example.com', 'boss')");
        let address = json!({"email_address": "ada@example.com", "verification": verification});
        f.fixture.sim.patch_user("user_1", json!({"email_addresses": [address]})).unwrap();
        assert_eq!(f.fixture.authenticate_new("user_1"), "in verified");
        assert_eq!(f.row().unwrap().key, key, "{verification} {link}");
        assert_eq!(f.fixture.event_log.take().contains(&"user_linked".to_owned()), key == "1");
    }
}

/// Threat U4.
#[test]
fn row_of_another_clerk_user_is_never_linked() {
    let f = SyncFixture::new(|_| {});
    f.sql("INSERT INTO clerk_user (clerk_user_id, email, username) VALUES ('user_x', 'ada@example.com', 'ada')");
    assert_eq!(f.fixture.authenticate_new("user_1"), "in verified");
    assert_eq!(f.fixture.event_log.take(), ["cache_miss", "link_conflict", "user_created", "auth_success verified"]);
    assert_eq!(f.store.find_by_key("1").unwrap().unwrap().clerk_id.as_deref(), Some("user_x"));
    assert_eq!(f.row().unwrap().username.as_deref(), Some("ada-2"));
}

#[test]
fn missing_user_gets_no_row_and_is_cached_as_missing() {
    let f = SyncFixture::new(|_| {});
    assert_eq!(f.fixture.authenticate_new("user_2"), "out user-not-found");
    assert_eq!(f.fixture.authenticate_new("user_2"), "out user-not-found");
    assert_eq!(f.user_calls(), 1);
    f.fixture.sim.put_user(json!({"id": "user_2"}));
    f.fixture.time.advance_s(10);
    assert_eq!(f.fixture.authenticate_new("user_2"), "in verified");
    assert_eq!(f.store.find_by_clerk_id("user_2").unwrap().unwrap().username.as_deref(), Some("clerk_user_2"));
}

#[test]
fn concurrent_first_requests_fetch_once_and_create_one_row() {
    let f = SyncFixture::new(|_| {});
    f.fixture.sim.fault(clerk_sim::Fault::on("/users/*").delay_ms(150));
    let tokens: Vec<String> = (0..16).map(|_| f.fixture.token("user_1")).collect();
    let outcomes: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = tokens.iter().map(|token| scope.spawn(|| f.fixture.ask(token))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(outcomes.iter().all(|outcome| outcome == "in verified"), "{outcomes:?}");
    assert_eq!(f.user_calls(), 1);
    let created = f.fixture.event_log.take().iter().filter(|event| *event == "user_created").count();
    assert_eq!(created, 1);
}

#[test]
fn authenticate_cached_needs_fresh_row_confirmation() {
    let f = SyncFixture::new(|_| {});
    let token = f.fixture.token("user_1");
    assert_eq!(f.fixture.ask(&token), "in verified");
    assert_eq!(inline(&f.fixture.client, &token), None);
    assert_eq!(inline(&f.fixture.client, &f.fixture.token("user_1")), None);
}

/// Threat N4.
#[test]
fn response_about_another_user_writes_nothing() {
    let f = SyncFixture::new(|_| {});
    let other = json!({"id": "user_2", "object": "user", "username": "eve"});
    f.fixture.sim.fault(clerk_sim::Fault::on("/users/user_1").body(other));
    assert_eq!(f.fixture.authenticate_new("user_1"), "unavailable server-error");
    assert_eq!((f.row(), f.store.find_by_clerk_id("user_2").unwrap()), (None, None));
}

/// Records all writes.
#[derive(Default)]
struct RecordingStore(std::sync::Mutex<String>, Table);

impl RecordingStore {
    fn note(&self, heard: &impl std::fmt::Debug) {
        self.0.lock().unwrap().push_str(&format!("{heard:?}"));
    }
}

impl UserStore for RecordingStore {
    fn find_by_key(&self, key: &str) -> Result<Option<Row>, StoreError> {
        self.note(&key);
        self.1.find_by_key(key)
    }
    fn find_by_clerk_id(&self, clerk_id: &str) -> Result<Option<Row>, StoreError> {
        self.note(&clerk_id);
        self.1.find_by_clerk_id(clerk_id)
    }
    fn find_by_email(&self, email: &str) -> Result<Vec<Row>, StoreError> {
        self.note(&email);
        self.1.find_by_email(email)
    }
    fn username_taken(&self, username: &str, except_key: Option<&str>) -> Result<bool, StoreError> {
        self.note(&username);
        self.1.username_taken(username, except_key)
    }
    fn create(&self, fields: &RowChanges) -> Result<String, StoreError> {
        self.note(fields);
        self.1.create(fields)
    }
    fn update(&self, key: &str, changes: &RowChanges, condition: &UpdateCondition) -> Result<(), StoreError> {
        self.note(changes);
        self.1.update(key, changes, condition)
    }
}

/// Threat U5.
#[test]
fn metadata_reaches_neither_store_nor_result() {
    let sim = Sim::start();
    let metadata = json!({"role": "planted"});
    sim.put_user(json!({
        "id": "user_1", "username": "ada", "email_addresses": ["ada@example.com"],
        "primary_email_address_id": "idn_0001", "private_metadata": metadata, "public_metadata": metadata, "unsafe_metadata": metadata,
    }));
    let store = Arc::new(RecordingStore::default());
    let fixture = Fixture::build(sim, Some(store.clone()), |_| {});
    let answer = bearer(&fixture.client, &fixture.token("user_1"));
    assert!(answer.identity().is_some());
    assert!(store.0.lock().unwrap().contains("ada@example.com"));
    assert!(!store.0.lock().unwrap().contains("planted"));
    for text in Attribute::ALL.iter().copied() {
        assert!(!answer.identity().unwrap().get(text).unwrap_or_default().contains("planted"), "{text:?}");
    }
    let sent = fixture.sim.log();
    assert!(!sent.is_empty());
    for call in sent {
        let headers = |name: &str| call.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).count();
        assert_eq!(["x-clerk-sdk", "clerk-api-version", "user-agent"].map(headers), [1; 3], "{}", call.path);
    }
}
