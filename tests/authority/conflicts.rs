//! Requests that want the same row, name or address at the same time.

use std::sync::{Arc, Mutex};

use clerk_auth::users::{Row, RowChanges, Schema, SqliteStore, StoreError, UpdateCondition, UserStore};
use clerk_sim::Sim;
use serde_json::json;

use super::common::{EventLog, Fixture, ManualClock, TempDir, bearer, client, pem, word};
use super::{ADA, Driver, Kind, World, ada, address};

/// A store in which another process acts before each write.
struct Racing<F> {
    store: Arc<SqliteStore>,
    before_write: Mutex<F>,
}

impl<F: FnMut(&SqliteStore) + Send> Racing<F> {
    fn race(&self) {
        (self.before_write.lock().unwrap())(&self.store);
    }
}

impl<F: FnMut(&SqliteStore) + Send> UserStore for Racing<F> {
    fn schema(&self) -> Schema {
        self.store.schema()
    }
    fn find_by_key(&self, key: &str) -> Result<Option<Row>, StoreError> {
        self.store.find_by_key(key)
    }
    fn find_by_clerk_id(&self, clerk_id: &str) -> Result<Option<Row>, StoreError> {
        self.store.find_by_clerk_id(clerk_id)
    }
    fn find_by_email(&self, email: &str) -> Result<Vec<Row>, StoreError> {
        self.store.find_by_email(email)
    }
    fn username_taken(&self, username: &str, except_key: Option<&str>) -> Result<bool, StoreError> {
        self.store.username_taken(username, except_key)
    }
    fn create(&self, changes: &RowChanges) -> Result<String, StoreError> {
        self.race();
        self.store.create(changes)
    }
    fn update(&self, key: &str, changes: &RowChanges, condition: &UpdateCondition) -> Result<(), StoreError> {
        self.race();
        self.store.update(key, changes, condition)
    }
}

fn racing(dir: &TempDir, before_write: impl FnMut(&SqliteStore) + Send + 'static) -> (Fixture, Arc<SqliteStore>) {
    let store = Arc::new(SqliteStore::open(dir.join("users.db")).unwrap());
    let sim = Sim::start();
    let key = pem(&sim);
    sim.put_user(ada(5, json!({})));
    let racing = Racing { store: store.clone(), before_write: Mutex::new(before_write) };
    (Fixture::build(sim, Some(Arc::new(racing)), |config| config.jwt_key = key), store)
}

fn named(clerk_id: Option<&str>, email: &str, username: &str) -> RowChanges {
    RowChanges {
        clerk_id: clerk_id.map(Into::into),
        email: Some(Some(email.into())),
        username: Some(username.into()),
        ..RowChanges::default()
    }
}

#[test]
fn row_linked_by_another_user_meanwhile_is_not_taken_over() {
    let dir = TempDir::new();
    let link = RowChanges { clerk_id: Some("user_2bob".into()), ..RowChanges::default() };
    let (fixture, store) = racing(&dir, move |store| {
        let _ = store.update("1", &link, &UpdateCondition { only_if_unlinked: true, ..UpdateCondition::default() });
    });
    store.create(&named(None, "ada@example.com", "boss")).unwrap();
    assert_eq!(fixture.authenticate_new(ADA), "in verified");
    assert_eq!(store.find_by_key("1").unwrap().unwrap().clerk_id.as_deref(), Some("user_2bob"));
    assert_eq!(store.find_by_clerk_id(ADA).unwrap().unwrap().key, "2");
}

#[test]
fn two_first_sign_ins_link_a_row_to_one_of_them() {
    let world = World::new(Kind::Sqlite, Driver::Blocking, |_| ());
    for round in 0..10 {
        let users = [format!("user_2x{round}"), format!("user_2y{round}")];
        let email = format!("shared{round}@example.com");
        world.a.store.create(&named(None, &email, &format!("boss{round}"))).unwrap();
        for user in &users {
            let mut object = ada(1, address(&email, "verified", true));
            object["id"] = json!(user);
            object["username"] = json!(user.as_str());
            world.sim.put_user(object);
        }
        let outcomes: Vec<String> = std::thread::scope(|scope| {
            let world = &world;
            let asking = users.iter().zip([&world.a, &world.b]);
            let all: Vec<_> = asking.map(|(user, process)| scope.spawn(move || world.sign_in(process, user))).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(outcomes, ["in verified", "in verified"]);
        let owners = users.each_ref().map(|user| world.a.store.find_by_clerk_id(user).unwrap().map(|row| row.key));
        assert!(owners[0].is_some() && owners[1].is_some() && owners[0] != owners[1], "{owners:?}");
    }
}

#[test]
fn row_written_from_a_newer_user_meanwhile_is_not_overwritten() {
    let dir = TempDir::new();
    let newer = RowChanges {
        first_name: Some("Newer".into()),
        is_active: Some(false),
        banned_by_clerk: Some(true),
        clerk_updated_at_ms: Some(super::T0 + 6),
        ..RowChanges::default()
    };
    let (fixture, store) = racing(&dir, move |store| {
        store.update("1", &newer, &UpdateCondition::default()).unwrap();
    });
    store.create(&named(Some(ADA), "old@example.com", "ada")).unwrap();
    assert_eq!(fixture.authenticate_new(ADA), "out user-inactive");
    let row = store.find_by_key("1").unwrap().unwrap();
    assert_eq!((row.first_name.as_deref(), row.email.as_deref()), (Some("Newer"), Some("old@example.com")));
    assert!(!row.is_active);
}

#[test]
fn row_created_after_any_number_of_conflicts_is_found() {
    for others in 0..5 {
        let dir = TempDir::new();
        let mut writes = 0;
        let (fixture, store) = racing(&dir, move |store| {
            // Each of the others takes the very name that is about to be written; then another process makes the own row.
            let taken = [("ada", "1"), ("ada-2", "2"), ("clerk_user_2ada", "3"), ("x", "4"), ("y", "5")];
            if writes < others {
                let (name, id) = taken[writes];
                let _ = store.create(&named(Some(&format!("user_{id}")), &format!("{id}@example.com"), name));
            } else if writes == others {
                let _ = store.create(&named(Some(ADA), "ada@example.com", "own"));
            }
            writes += 1;
        });
        let outcome = fixture.authenticate_new(ADA);
        assert_eq!(outcome, "in verified", "{others}");
        let events = fixture.event_log.take();
        assert!(!events.contains(&"link_conflict".to_owned()), "{others}: {events:?}");
        assert!(store.find_by_clerk_id(ADA).unwrap().is_some(), "{others}");
    }
}

#[test]
fn popular_name_is_never_a_link_conflict() {
    let (sim, time, dir) = (Sim::start(), ManualClock::default(), TempDir::new());
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let store = Arc::new(SqliteStore::open(dir.join("users.db")).unwrap());
            client(&sim, &time, &EventLog::default(), Some(store), |config| config.jwt_key = pem(&sim))
        })
        .collect();
    let users: Vec<String> = (0..12).map(|i| format!("user_2n{i}")).collect();
    for user in &users {
        sim.put_user(json!({"id": user, "username": "popular"}));
    }
    let outcomes: Vec<String> = std::thread::scope(|scope| {
        let asking = users.iter().flat_map(|user| workers.iter().map(move |worker| (user, worker)));
        let token = |user: &String| sim.mint(&clerk_sim::TokenSpec::session(user), time.now_s());
        let all: Vec<_> = asking
            .map(|(user, worker)| {
                let token = token(user);
                scope.spawn(move || word(&bearer(worker, &token)))
            })
            .collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(outcomes.iter().all(|outcome| outcome == "in verified"), "{outcomes:?}");
    let store = SqliteStore::open(dir.join("users.db")).unwrap();
    assert!(users.iter().all(|user| store.find_by_clerk_id(user).unwrap().is_some()));
}

#[test]
fn concurrent_invalidations_reject_no_request() {
    let world = World::new(Kind::Plain, Driver::Blocking, |config| config.row_check_ttl_s = 1);
    let users: Vec<String> = (0..6).map(|i| format!("user_2n{i}")).collect();
    for user in &users {
        world.sim.put_user(json!({"id": user, "username": "name"}));
    }
    let token = |i: usize| {
        let spec = clerk_sim::TokenSpec::session(&users[i % 6]).sid(&format!("sess_{}", i % 5));
        world.sim.mint(&spec, world.time.now_s())
    };
    let tokens: Vec<String> = (0..18).map(token).collect();
    let end = std::time::Instant::now() + std::time::Duration::from_millis(1500);
    let outcomes = Mutex::new(std::collections::BTreeMap::<String, usize>::new());
    std::thread::scope(|scope| {
        for seed in 0..8_usize {
            let (world, tokens, users, outcomes) = (&world, &tokens, &users, &outcomes);
            scope.spawn(move || {
                let mut random = seed * 7919 + 1;
                while std::time::Instant::now() < end {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let process = &world.a;
                    let token = &tokens[(random >> 33) % tokens.len()];
                    let outcome = match (random >> 20) % 12 {
                        0 if (random >> 40).is_multiple_of(8) => {
                            process.client.invalidate_session("sess_2");
                            continue;
                        }
                        1 if (random >> 40).is_multiple_of(64) => {
                            process.client.invalidate_user(&users[3]);
                            continue;
                        }
                        2..5 => super::stepwise(&process.client, token, &*process.store),
                        _ => word(&bearer(&process.client, token)),
                    };
                    *outcomes.lock().unwrap().entry(outcome).or_default() += 1;
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    // An attempt that is invalidated again and again ends as unavailable, which is rare; none is refused.
    let count = |prefix: &str| -> usize {
        outcomes.iter().filter(|(outcome, _)| outcome.starts_with(prefix)).map(|(_, count)| count).sum()
    };
    assert_eq!(count("out "), 0, "{outcomes:?}");
    assert!(count("unavailable ") * 200 < count("in "), "{outcomes:?}");
    assert_eq!(world.rows().len(), users.len());
}
