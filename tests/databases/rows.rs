//! Rows: what is created, found, unique, and written under which condition.

use std::panic::{AssertUnwindSafe, catch_unwind};

use clerk_auth::users::{RowChanges, StoreError, UpdateCondition};
use clerk_sim::Sim;
use serde_json::json;

use super::common::{Fixture, pem};
use super::server::{Kind, Target};
use super::{create, open, user};

const ANY: UpdateCondition =
    UpdateCondition { only_if_unlinked: false, max_version: None, only_if_active: false, only_if_banned: false };

pub fn created_row_is_found_by_key_id_and_email(target: &Target) {
    let database = target.database();
    let store = open(&database);
    let key = create(&*store, &user("ada")).unwrap();
    let row = store.find_by_key(&key).unwrap().unwrap();
    assert_eq!((row.key.as_str(), row.clerk_id.as_deref(), row.is_active), (key.as_str(), Some("user_ada"), true));
    assert_eq!((row.first_name.as_deref(), row.image_url.as_deref()), (Some(""), None));
    assert_eq!(store.find_by_clerk_id("user_ada").unwrap().as_ref(), Some(&row));
    assert_eq!(store.find_by_email("ada@example.com").unwrap(), [row]);
    assert_eq!(store.find_by_clerk_id("user_bob").unwrap(), None);
    for odd in ["999", "", "x", "1 OR 1=1", "9223372036854775808"] {
        assert_eq!(store.find_by_key(odd).unwrap(), None, "{odd}");
        assert_eq!(store.update(odd, &user("ada"), &ANY), Err(StoreError::Conflict), "{odd}");
    }
    assert!(!store.schema().clerk_updated_at || store.warnings().is_empty());
}

pub fn clerk_ids_are_compared_exactly(target: &Target) {
    let database = target.database();
    let store = open(&database);
    let ids = ["user_a", "user_A", "USER_A", "user_a ", "user_á", "user_a\u{301}", "user_ａ"];
    for (at, id) in ids.iter().enumerate() {
        let changes =
            RowChanges { clerk_id: Some((*id).into()), username: Some(format!("u{at}")), ..RowChanges::default() };
        create(&*store, &changes).unwrap_or_else(|error| panic!("{id}: {error}"));
    }
    for id in ids {
        assert_eq!(store.find_by_clerk_id(id).unwrap().unwrap().clerk_id.as_deref(), Some(id));
    }
    assert_eq!(store.find_by_clerk_id("User_a").unwrap(), None);
}

pub fn usernames_are_unique_without_case(target: &Target) {
    let database = target.database();
    let store = open(&database);
    let named = |name: &str| RowChanges { username: Some(name.into()), ..RowChanges::default() };
    let key = create(&*store, &named("Ada")).unwrap();
    for same in ["Ada", "ada", "ADA"] {
        assert!(store.username_taken(same, None).unwrap() && !store.username_taken(same, Some(&key)).unwrap());
        assert_eq!(create(&*store, &named(same)), Err(StoreError::Conflict));
    }
    // Accents, blanks and similar characters make another name; two emoji are two names.
    for other in ["ada ", " ada", "áda", "a\u{301}da", "ａda", "ada\u{200b}", "a_a", "a%", "😀", "🎉"] {
        assert!(!store.username_taken(other, None).unwrap(), "{other}");
        create(&*store, &named(other)).unwrap_or_else(|error| panic!("{other}: {error}"));
    }
    let other = create(&*store, &named("bob")).unwrap();
    assert_eq!(store.update(&other, &named("aDa"), &ANY), Err(StoreError::Conflict));
    assert_eq!(store.update(&key, &named("ADA"), &ANY), Ok(()));
    // Other letters than those of ASCII: as each engine says.
    create(&*store, &named("ÄÖ")).unwrap();
    assert_eq!(store.username_taken("äö", None).unwrap(), target.kind == Kind::Mariadb);
}

pub fn emails_are_found_without_case(target: &Target) {
    let database = target.database();
    let store = open(&database);
    let with = |name: &str, email: Option<&str>| RowChanges {
        username: Some(name.into()),
        email: Some(email.map(str::to_owned)),
        ..RowChanges::default()
    };
    let key = create(&*store, &with("a", Some("Ada@Example.com"))).unwrap();
    create(&*store, &with("b", Some("áda@example.com"))).unwrap();
    create(&*store, &with("c", Some("ada@example.com "))).unwrap();
    create(&*store, &with("d", None)).unwrap();
    // The sign of the unit Kelvin, of which `LOWER` makes a k.
    create(&*store, &with("e", Some("\u{212a}@example.com"))).unwrap();
    let kept = create(&*store, &with("f", Some("k@example.com"))).unwrap();
    let keys =
        |email: &str| -> Vec<String> { store.find_by_email(email).unwrap().into_iter().map(|row| row.key).collect() };
    for same in ["ada@example.com", "ADA@EXAMPLE.COM", "Ada@Example.com"] {
        assert_eq!(keys(same), [key.as_str()], "{same}");
    }
    assert_eq!(keys("K@example.com"), [kept.as_str()]);
    assert_eq!(keys(""), [""; 0]);
    // Two rows may have one address: then neither is linked.
    create(&*store, &with("g", Some("ADA@example.com"))).unwrap();
    assert_eq!(keys("ada@example.com").len(), 2);
}

pub fn deactivated_holder_of_an_address_is_found(target: &Target) {
    for holders in [3, 17] {
        let database = target.database();
        let f = fixture(&database);
        let store = open(&database);
        let held = |name: String| RowChanges { email: Some(Some("ada@example.com".into())), ..user(&name) };
        let keys: Vec<String> = (0..holders).map(|at| create(&*store, &held(format!("holder{at}"))).unwrap()).collect();
        let last = keys.last().unwrap();
        // A ban is Clerk's, and only the application's own deactivation blocks the address.
        database
            .sql(&format!("UPDATE clerk_user SET is_active = FALSE, banned_by_clerk = TRUE WHERE id <= {}", keys[1]));
        put(&f, "user_ada", "ada", 1, json!({}));
        assert_eq!(f.authenticate_new("user_ada"), "in verified");
        database.sql(&format!("UPDATE clerk_user SET is_active = FALSE WHERE id = {last}"));
        let found = store.find_by_email("ADA@example.com").unwrap();
        assert!(found.len() > 1 && found[0].key == *last, "{found:?}");
        put(&f, "user_again", "again", 1, json!({"email_addresses": ["ada@example.com"]}));
        assert_eq!(f.authenticate_new("user_again"), "out user-inactive");
        // The address of an account that exists is changed.
        put(&f, "user_bob", "bob", 1, json!({}));
        assert_eq!(f.authenticate_new("user_bob"), "in verified");
        put(&f, "user_bob", "bob", 2, json!({"email_addresses": ["ada@example.com"]}));
        f.time.advance_s(400);
        assert_eq!(f.authenticate_new("user_bob"), "out user-inactive");
    }
}

pub fn unicode_is_stored_as_it_is(target: &Target) {
    let database = target.database();
    let store = open(&database);
    let names = [
        "😀👩‍👩‍👧",
        "e\u{301} é",
        "ß ẞ İ ı",
        "'; DROP TABLE clerk_user; --",
        "\\ \" ` % _ ?",
        "\u{10ffff}",
        "日本語",
        " x ",
    ];
    for (at, name) in names.iter().enumerate() {
        let changes = RowChanges {
            clerk_id: Some(format!("user_{at}")),
            username: Some((*name).into()),
            first_name: Some((*name).into()),
            last_name: Some(name.repeat(5)),
            email: Some(Some(format!("{name}@example.com"))),
            image_url: Some(Some(format!("https://img.example/{name}"))),
            ..RowChanges::default()
        };
        let key = create(&*store, &changes).unwrap();
        let row = store.find_by_key(&key).unwrap().unwrap();
        assert_eq!((row.username.as_deref(), row.first_name.as_deref()), (Some(*name), Some(*name)));
        assert_eq!(row.last_name.unwrap(), name.repeat(5));
        assert_eq!(store.find_by_email(&format!("{name}@example.com")).unwrap().len(), 1, "{name}");
        assert!(store.username_taken(name, None).unwrap());
    }
    // The longest values that the schema announces.
    let schema = store.schema();
    let long = |count: u32| "😀".repeat(count as usize);
    let changes = RowChanges {
        clerk_id: Some("user_long".into()),
        username: Some(long(schema.max_username_len)),
        first_name: Some(long(schema.max_name_len)),
        email: Some(Some(long(schema.max_email_len))),
        image_url: Some(Some(long(schema.max_image_url_len))),
        ..RowChanges::default()
    };
    let key = create(&*store, &changes).unwrap();
    let row = store.find_by_key(&key).unwrap().unwrap();
    assert_eq!((row.username, row.email), (changes.username, changes.email.unwrap()));
    // A name with a character of the code 0 is not refused, whether or not the engine can store it.
    let odd = RowChanges { first_name: Some("a\0b".into()), ..user("nul") };
    let key = create(&*store, &odd).unwrap();
    assert!(["ab", "a\0b"].contains(&store.find_by_key(&key).unwrap().unwrap().first_name.unwrap().as_str()));
}

pub fn application_row_is_linked_once(target: &Target) {
    let database = target.database();
    let store = open(&database);
    database.sql("INSERT INTO clerk_user (email, username) VALUES ('Ada@Example.com', 'ada')");
    let row = store.find_by_email("ada@example.com").unwrap().pop().unwrap();
    assert_eq!((row.clerk_id, row.is_active, row.clerk_updated_at_ms), (None, true, None));
    let link = |id: &str| {
        let changes = RowChanges { clerk_id: Some(id.into()), ..RowChanges::default() };
        store.update(&row.key, &changes, &UpdateCondition { only_if_unlinked: true, max_version: Some(5), ..ANY })
    };
    assert_eq!((link("user_ada"), link("user_bob")), (Ok(()), Err(StoreError::Conflict)));
    assert_eq!(store.find_by_key(&row.key).unwrap().unwrap().clerk_id.as_deref(), Some("user_ada"));
}

pub fn stale_version_writes_nothing(target: &Target) {
    let database = target.database();
    let store = open(&database);
    let key = create(&*store, &RowChanges { clerk_updated_at_ms: None, ..user("ada") }).unwrap();
    let write = |version: i64| {
        let changes = RowChanges {
            first_name: Some(format!("v{version}")),
            clerk_updated_at_ms: Some(version),
            ..RowChanges::default()
        };
        store.update(&key, &changes, &UpdateCondition { max_version: Some(version), ..ANY })
    };
    assert_eq!(
        [write(5), write(4), write(5), write(7), write(6)].map(|written| written.is_ok()),
        [true, false, true, true, false]
    );
    let row = store.find_by_key(&key).unwrap().unwrap();
    assert_eq!((row.first_name.as_deref(), row.clerk_updated_at_ms), (Some("v7"), Some(7)));
    // An update that changes nothing has matched its row.
    assert_eq!(write(7), Ok(()));
    assert_eq!(store.update(&key, &RowChanges::default(), &ANY), Ok(()));
}

pub fn conditions_on_activation_are_checked(target: &Target) {
    let database = target.database();
    let store = open(&database);
    let key = create(&*store, &user("ada")).unwrap();
    for (is_active, banned) in [(true, true), (true, false), (false, true), (false, false)] {
        let state = RowChanges { is_active: Some(is_active), banned_by_clerk: Some(banned), ..RowChanges::default() };
        store.update(&key, &state, &ANY).unwrap();
        let row = store.find_by_key(&key).unwrap().unwrap();
        assert_eq!((row.is_active, row.banned_by_clerk), (is_active, banned));
        for condition in
            [UpdateCondition { only_if_active: true, ..ANY }, UpdateCondition { only_if_banned: true, ..ANY }]
        {
            assert_eq!(store.update(&key, &state, &condition).is_ok(), condition.allows(&row), "{condition:?}");
        }
    }
}

pub fn times_are_stored_in_milliseconds(target: &Target) {
    let database = target.database();
    let store = open(&database);
    for (at, (given, stored)) in [
        (Some(0), Some(0)),
        (Some(1_700_690_400_123), Some(1_700_690_400_123)),
        (Some(1_711_846_800_999), Some(1_711_846_800_999)),
        (Some(253_402_300_799_999), Some(253_402_300_799_999)),
        (Some(-1), None),
        (Some(i64::MAX), None),
        (None, None),
    ]
    .into_iter()
    .enumerate()
    {
        let changes = RowChanges { last_active_at_ms: Some(given), ..user(&format!("u{at}")) };
        let key = create(&*store, &changes).unwrap();
        assert_eq!(store.find_by_key(&key).unwrap().unwrap().last_active_at_ms, stored, "{given:?}");
    }
}

pub fn second_row_of_a_user_is_a_conflict(target: &Target) {
    let database = target.database();
    let store = open(&database);
    create(&*store, &user("ada")).unwrap();
    let again = RowChanges { username: Some("other".into()), ..user("ada") };
    assert_eq!(create(&*store, &again), Err(StoreError::Conflict));
    assert_eq!(database.sql("SELECT count(*) FROM clerk_user"), "1");
    // The connection is still of use.
    create(&*store, &user("bob")).unwrap();
}

fn fixture(target: &super::Database<'_>) -> Fixture {
    let sim = Sim::start();
    let key = pem(&sim);
    let store = open(target);
    Fixture::build(sim, Some(store), |config| config.jwt_key = key)
}

fn put(f: &Fixture, id: &str, name: &str, version: i64, more: serde_json::Value) {
    let mut user = json!({"id": id, "username": name, "first_name": name, "updated_at": version,
        "email_addresses": [format!("{name}@example.com")], "primary_email_address_id": "idn_0001"});
    user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    f.sim.put_user(user);
}

pub fn sign_in_creates_links_and_updates(target: &Target) {
    let database = target.database();
    let f = fixture(&database);
    database.sql("INSERT INTO clerk_user (email, username) VALUES ('OLD@example.com', 'veteran')");
    put(&f, "user_new", "new", 1, json!({}));
    put(&f, "user_old", "old", 1, json!({}));
    for user in ["user_new", "user_old", "user_new"] {
        assert_eq!(f.authenticate_new(user), "in verified");
    }
    let rows = database.sql("SELECT clerk_user_id, username, email FROM clerk_user ORDER BY id");
    assert_eq!(rows, "user_old|old|old@example.com\nuser_new|new|new@example.com");
    let events = f.event_log.take();
    assert!(events.contains(&"user_created".into()) && events.contains(&"user_linked".into()), "{events:?}");
}

pub fn ban_and_deactivation_follow_the_rules(target: &Target) {
    let database = target.database();
    let f = fixture(&database);
    put(&f, "user_ada", "ada", 1, json!({}));
    assert_eq!(f.authenticate_new("user_ada"), "in verified");
    put(&f, "user_ada", "ada", 2, json!({"banned": true}));
    f.time.advance_s(400);
    assert_eq!(f.authenticate_new("user_ada"), "out user-inactive");
    assert!(["0|1", "f|t"].contains(&database.sql("SELECT is_active, banned_by_clerk FROM clerk_user").as_str()));
    put(&f, "user_ada", "ada", 3, json!({}));
    f.time.advance_s(400);
    f.authenticate_new("user_ada");
    assert_eq!(f.authenticate_new("user_ada"), "in verified");
    database.sql("UPDATE clerk_user SET is_active = FALSE");
    put(&f, "user_ada", "ada", 4, json!({}));
    f.time.advance_s(400);
    for _ in 0..3 {
        assert_eq!(f.authenticate_new("user_ada"), "out user-inactive");
    }
    database.sql("UPDATE clerk_user SET is_active = TRUE");
    assert_eq!(f.authenticate_new("user_ada"), "in verified");
}

pub fn trigger_that_deactivates_rows_decides(target: &Target) {
    // Before or after the row is written, as each engine can.
    let sqlite = "BEGIN UPDATE clerk_user SET is_active = 0 WHERE id = NEW.id AND is_active; END";
    let times: &[&str] = if target.kind == Kind::Postgres { &["BEFORE", "AFTER"] } else { &["AFTER"] };
    for time in times {
        let database = target.database();
        let f = fixture(&database);
        let trigger = |event: &str| match target.kind {
            Kind::Sqlite => format!("CREATE TRIGGER approval_{event} AFTER {event} ON clerk_user {sqlite}"),
            Kind::Mariadb => {
                format!(
                    "CREATE TRIGGER approval_{event} BEFORE {event} ON clerk_user FOR EACH ROW SET NEW.is_active = FALSE"
                )
            }
            Kind::Postgres => format!(
                "CREATE TRIGGER approval_{event} {time} {event} ON clerk_user FOR EACH ROW WHEN (pg_trigger_depth() = 0)
                   EXECUTE FUNCTION approval()"
            ),
        };
        if target.kind == Kind::Postgres {
            let own = "UPDATE clerk_user SET is_active = FALSE WHERE id = NEW.id;";
            let body = if *time == "BEFORE" { "NEW.is_active := FALSE;" } else { own };
            database.sql(&format!(
                "CREATE FUNCTION approval() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$"
            ));
        }
        // A row of the application is linked by an update.
        database.sql("INSERT INTO clerk_user (email, username) VALUES ('old@example.com', 'veteran')");
        database.sql(&trigger("INSERT"));
        put(&f, "user_new", "new", 1, json!({}));
        put(&f, "user_old", "old", 1, json!({}));
        assert_eq!(f.authenticate_new("user_new"), "out user-inactive", "{time}");
        database.sql(&trigger("UPDATE"));
        assert_eq!(f.authenticate_new("user_old"), "out user-inactive", "{time}");
        assert_eq!(database.sql("SELECT count(*) FROM clerk_user WHERE NOT is_active"), "2");
    }
}

pub fn application_reads_and_writes_the_columns(target: &Target) {
    let database = target.database();
    let store = open(&database);
    let key = create(&*store, &user("ada")).unwrap();
    let charset = if target.kind == Kind::Mariadb { "CHARACTER SET latin1" } else { "" };
    database.sql(&format!("ALTER TABLE clerk_user ADD COLUMN plan VARCHAR(20) {charset} DEFAULT 'free'"));
    let row = store.find_by_key(&key).unwrap().unwrap();
    assert_eq!(row.username.as_deref(), Some("ada"));
    create(&*store, &user("bob")).unwrap();
    assert_eq!(database.sql("SELECT username, plan FROM clerk_user ORDER BY id"), "ada|free\nbob|free");
    drop(store);
    assert!(open(&database).find_by_clerk_id("user_bob").unwrap().is_some());
}

pub fn character_set_of_the_server_does_not_apply(target: &Target) {
    let database = target.database();
    if target.kind == Kind::Mariadb {
        target.admin("SET GLOBAL init_connect = 'SET NAMES latin1'");
    }
    let written = catch_unwind(AssertUnwindSafe(|| {
        let store = open(&database);
        let changes = RowChanges { email: Some(Some("Ä\u{10400}@x".into())), ..user("ä😀") };
        let key = create(&*store, &changes).unwrap();
        assert_eq!(store.username_taken("Ä😀", None), Ok(target.kind == Kind::Mariadb));
        assert_eq!(store.find_by_email("Ä\u{10400}@X").unwrap().len(), 1);
        store.find_by_key(&key).unwrap().unwrap().username
    }));
    if target.kind == Kind::Mariadb {
        target.admin("SET GLOBAL init_connect = ''");
    }
    assert_eq!(written.unwrap().as_deref(), Some("ä😀"));
    assert_eq!(database.sql("SELECT username FROM clerk_user"), "ä😀");
}

pub fn generated_key_that_exists_is_named(target: &Target) {
    let database = target.database();
    let store = open(&database);
    for id in 1..=50 {
        database.sql(&format!("INSERT INTO clerk_user (id, username, is_active) VALUES ({id}, 'own{id}', TRUE)"));
    }
    if let Err(error) = create(&*store, &user("ada")) {
        assert!(format!("{error:?}").contains("clerk_user_pkey"), "{error:?}");
    }
}
