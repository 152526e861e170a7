//! Users in a table of the host's own, here the packaged one in SQLite.

use std::sync::Arc;

use clerk_auth::Config;
use clerk_auth::identity::Attribute;
use clerk_auth::users::{Row, RowChanges, SqliteStore, StoreError, UserStore};
use clerk_sim::Sim;
use serde_json::json;

use super::common::table::Table;
use super::common::{Folder, Rig, bearer, inline, pem};

struct World {
    rig: Rig,
    store: Arc<SqliteStore>,
    folder: Folder,
}

impl World {
    fn new(tune: impl FnOnce(&mut Config)) -> World {
        let folder = Folder::new();
        let store = Arc::new(SqliteStore::open(folder.join("users.db")).unwrap());
        let sim = Sim::start();
        let key = pem(&sim);
        sim.put_user(json!({"id": "user_1", "username": "ada", "first_name": "Ada",
            "email_addresses": ["ada@example.com"], "primary_email_address_id": "idn_0001"}));
        let rig = Rig::build(sim, Some(store.clone()), |config| {
            config.jwt_key = key;
            tune(config);
        });
        World { rig, store, folder }
    }

    fn row(&self) -> Option<Row> {
        self.store.find_by_clerk_id("user_1").unwrap()
    }

    /// What the host does on its own, past the library.
    fn sql(&self, statement: &str) {
        rusqlite::Connection::open(self.folder.join("users.db")).unwrap().execute_batch(statement).unwrap();
    }

    fn user_calls(&self) -> usize {
        self.rig.sim.requests("/users/*")
    }
}

#[test]
fn first_sight_makes_the_row_and_the_second_answer_comes_from_the_cache() {
    let world = World::new(|_| {});
    let token = world.rig.token("user_1");
    assert_eq!(world.rig.ask(&token), "in verified");
    assert_eq!(world.rig.diary.take(), ["cache_miss", "user_created", "auth_success verified"]);
    let row = world.row().unwrap();
    assert_eq!((row.username.as_deref(), row.email.as_deref()), (Some("ada"), Some("ada@example.com")));
    assert!(row.is_active && !row.banned_by_clerk);
    assert_eq!(world.rig.calls(), 1);
    assert_eq!(world.rig.ask(&token), "in cache");
    assert_eq!(world.rig.diary.take(), ["auth_success cache"]);
    assert_eq!(bearer(&world.rig.client, &token).identity().unwrap().get(Attribute::UserKey), Some(row.key.as_str()));
    assert_eq!(world.rig.calls(), 1);
    assert!(world.rig.sim.violations().is_empty(), "{:?}", world.rig.sim.violations());
}

#[test]
fn a_new_token_of_a_known_user_asks_the_table_and_not_clerk() {
    let world = World::new(|_| {});
    world.rig.ask_new("user_1");
    world.rig.diary.take();
    for _ in 0..5 {
        world.rig.time.pass_s(50);
        assert_eq!(world.rig.ask_new("user_1"), "in verified");
    }
    assert_eq!(world.user_calls(), 1);
    assert_eq!(world.rig.diary.take(), ["cache_miss", "auth_success verified"].repeat(5));
}

#[test]
fn a_change_at_clerk_is_seen_when_the_user_grows_old() {
    let world = World::new(|_| {});
    world.rig.ask_new("user_1");
    world.rig.sim.patch_user("user_1", json!({"first_name": "Augusta"})).unwrap();
    world.rig.time.pass_s(299);
    world.rig.ask_new("user_1");
    assert_eq!(world.row().unwrap().first_name.as_deref(), Some("Ada"));
    world.rig.diary.take();
    world.rig.time.pass_s(1);
    world.rig.ask_new("user_1");
    assert_eq!(world.row().unwrap().first_name.as_deref(), Some("Augusta"));
    assert_eq!(world.rig.diary.take(), ["cache_miss", "user_updated", "auth_success verified"]);
    assert_eq!(world.user_calls(), 2);
}

#[test]
fn a_ban_at_clerk_closes_the_row_and_its_end_opens_it() {
    let world = World::new(|config| config.user_ttl_s = 60);
    let cached = world.rig.token("user_1");
    assert_eq!(world.rig.ask(&cached), "in verified");
    world.rig.sim.ban_user("user_1");
    world.rig.time.pass_s(60);
    assert_eq!(world.rig.ask_new("user_1"), "out user-inactive");
    let row = world.row().unwrap();
    assert!(!row.is_active && row.banned_by_clerk);
    assert_eq!(world.rig.ask(&cached), "out user-inactive");
    world.rig.sim.patch_user("user_1", json!({"banned": false})).unwrap();
    assert_eq!(world.rig.ask_new("user_1"), "out user-inactive");
    world.rig.time.pass_s(60);
    assert_eq!(world.rig.ask_new("user_1"), "in verified");
    let row = world.row().unwrap();
    assert!(row.is_active && !row.banned_by_clerk);
}

#[test]
fn a_banned_user_who_was_never_seen_gets_a_closed_row() {
    let world = World::new(|_| {});
    world.rig.sim.ban_user("user_1");
    assert_eq!(world.rig.ask_new("user_1"), "out user-inactive");
    assert_eq!(world.rig.diary.take(), ["cache_miss", "user_created", "auth_failed user-inactive"]);
    assert!(!world.row().unwrap().is_active);
}

#[test]
fn whom_the_host_keeps_out_stays_out_whatever_clerk_says() {
    let world = World::new(|config| config.user_ttl_s = 60);
    let cached = world.rig.token("user_1");
    assert_eq!(world.rig.ask(&cached), "in verified");
    world.sql("UPDATE clerk_user SET is_active = 0");
    assert_eq!([world.rig.ask(&cached), world.rig.ask_new("user_1")], ["out user-inactive", "out user-inactive"]);
    for change in [json!({"first_name": "Augusta"}), json!({"banned": true}), json!({"banned": false})] {
        world.rig.sim.patch_user("user_1", change).unwrap();
        world.rig.time.pass_s(60);
        assert_eq!(world.rig.ask_new("user_1"), "out user-inactive");
    }
    let row = world.row().unwrap();
    assert!(!row.is_active && !row.banned_by_clerk);
    world.sql("UPDATE clerk_user SET is_active = 1");
    assert_eq!(world.rig.ask_new("user_1"), "in verified");
}

#[test]
fn a_row_that_was_deleted_is_made_again() {
    for fresh in [false, true] {
        let world = World::new(|_| {});
        let token = world.rig.token("user_1");
        world.rig.ask(&token);
        let before = world.row().unwrap().key;
        world.sql("DELETE FROM clerk_user");
        world.rig.diary.take();
        let asked = if fresh { world.rig.token("user_1") } else { token };
        assert_eq!(world.rig.ask(&asked), "in verified");
        let events = world.rig.diary.take();
        assert_eq!(events.iter().filter(|event| *event == "user_created").count(), 1, "{events:?}");
        assert_eq!(events.last().unwrap(), "auth_success verified");
        let after = world.row().unwrap().key;
        assert_ne!(before, after);
        assert_eq!(bearer(&world.rig.client, &asked).identity().unwrap().get(Attribute::UserKey), Some(after.as_str()));
        assert_eq!(world.user_calls(), 1);
    }
}

#[test]
fn u4_a_row_of_nobodys_is_linked_by_a_verified_address_only() {
    for (verification, link, key) in
        [("verified", "verified", "1"), ("unverified", "verified", "2"), ("verified", "never", "2")]
    {
        let world = World::new(|config| config.set("link_by_email", link).unwrap());
        world.sql("INSERT INTO clerk_user (email, username) VALUES ('ADA@example.com', 'boss')");
        let address = json!({"email_address": "ada@example.com", "verification": verification});
        world.rig.sim.patch_user("user_1", json!({"email_addresses": [address]})).unwrap();
        assert_eq!(world.rig.ask_new("user_1"), "in verified");
        assert_eq!(world.row().unwrap().key, key, "{verification} {link}");
        assert_eq!(world.rig.diary.take().contains(&"user_linked".to_owned()), key == "1");
    }
}

#[test]
fn u4_a_row_of_another_clerk_user_is_never_taken_over() {
    let world = World::new(|_| {});
    world.sql("INSERT INTO clerk_user (clerk_user_id, email, username) VALUES ('user_x', 'ada@example.com', 'ada')");
    assert_eq!(world.rig.ask_new("user_1"), "in verified");
    assert_eq!(world.rig.diary.take(), ["cache_miss", "link_conflict", "user_created", "auth_success verified"]);
    assert_eq!(world.store.find_by_key("1").unwrap().unwrap().clerk_id.as_deref(), Some("user_x"));
    assert_eq!(world.row().unwrap().username.as_deref(), Some("ada-2"));
}

#[test]
fn a_user_whom_clerk_does_not_know_gets_no_row_and_is_not_asked_for_again_at_once() {
    let world = World::new(|_| {});
    assert_eq!(world.rig.ask_new("user_2"), "out user-not-found");
    assert_eq!(world.rig.ask_new("user_2"), "out user-not-found");
    assert_eq!(world.user_calls(), 1);
    world.rig.sim.put_user(json!({"id": "user_2"}));
    world.rig.time.pass_s(10);
    assert_eq!(world.rig.ask_new("user_2"), "in verified");
    assert_eq!(world.store.find_by_clerk_id("user_2").unwrap().unwrap().username.as_deref(), Some("clerk_user_2"));
}

#[test]
fn many_who_meet_a_new_user_fetch_it_once_and_make_one_row() {
    let world = World::new(|_| {});
    world.rig.sim.fault(clerk_sim::Fault::on("/users/*").delay_ms(150));
    let tokens: Vec<String> = (0..16).map(|_| world.rig.token("user_1")).collect();
    let outcomes: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = tokens.iter().map(|token| scope.spawn(|| world.rig.ask(token))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(outcomes.iter().all(|outcome| outcome == "in verified"), "{outcomes:?}");
    assert_eq!(world.user_calls(), 1);
    let created = world.rig.diary.take().iter().filter(|event| *event == "user_created").count();
    assert_eq!(created, 1);
}

#[test]
fn nothing_is_answered_without_waiting_unless_the_stores_word_may_be_trusted() {
    let world = World::new(|_| {});
    let token = world.rig.token("user_1");
    assert_eq!(world.rig.ask(&token), "in verified");
    assert_eq!(inline(&world.rig.client, &token), None);
    assert_eq!(inline(&world.rig.client, &world.rig.token("user_1")), None);
}

#[test]
fn n4_an_answer_about_somebody_else_writes_nothing() {
    let world = World::new(|_| {});
    let other = json!({"id": "user_2", "object": "user", "username": "eve"});
    world.rig.sim.fault(clerk_sim::Fault::on("/users/user_1").body(other));
    assert_eq!(world.rig.ask_new("user_1"), "unavailable server-error");
    assert_eq!((world.row(), world.store.find_by_clerk_id("user_2").unwrap()), (None, None));
}

/// Writes down all that it is told.
#[derive(Default)]
struct Eavesdropper(std::sync::Mutex<String>, Table);

impl Eavesdropper {
    fn note(&self, heard: &impl std::fmt::Debug) {
        self.0.lock().unwrap().push_str(&format!("{heard:?}"));
    }
}

impl UserStore for Eavesdropper {
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
    fn update(&self, key: &str, fields: &RowChanges) -> Result<(), StoreError> {
        self.note(fields);
        self.1.update(key, fields)
    }
}

#[test]
fn u5_metadata_reaches_neither_the_store_nor_the_answer() {
    let sim = Sim::start();
    let metadata = json!({"role": "planted"});
    sim.put_user(json!({
        "id": "user_1", "username": "ada", "email_addresses": ["ada@example.com"],
        "private_metadata": metadata, "public_metadata": metadata, "unsafe_metadata": metadata,
    }));
    let store = Arc::new(Eavesdropper::default());
    let rig = Rig::build(sim, Some(store.clone()), |_| {});
    let answer = bearer(&rig.client, &rig.token("user_1"));
    assert!(answer.identity().is_some());
    assert!(store.0.lock().unwrap().contains("ada@example.com"));
    assert!(!store.0.lock().unwrap().contains("planted"));
    for text in Attribute::ALL.iter().copied() {
        assert!(!answer.identity().unwrap().get(text).unwrap_or_default().contains("planted"), "{text:?}");
    }
    let sent = rig.sim.log();
    assert!(!sent.is_empty());
    for call in sent {
        let headers = |name: &str| call.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).count();
        assert_eq!(["x-clerk-sdk", "clerk-api-version", "user-agent"].map(headers), [1; 3], "{}", call.path);
    }
}
