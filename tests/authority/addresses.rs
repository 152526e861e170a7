//! An address counts only with its proof.

use std::sync::Arc;

use clerk_auth::Attribute;
use clerk_auth::users::{Row, RowChanges, Schema, StoreError, UpdateCondition, UserStore};
use serde_json::{Value, json};

use super::common::table::Table;
use super::common::{Fixture, bearer};
use super::{ADA, Driver, Kind, World, ada, address, everywhere};

const CEO: &str = "ceo@example.com";
const EVE: &str = "user_2eve";

/// Eve, who has added an address that she may not own.
fn eve(version: i64, claimed: Value) -> Value {
    ada(version, merge(json!({"id": EVE, "username": "eve"}), claimed))
}

fn merge(mut one: Value, other: Value) -> Value {
    one.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    one
}

/// Ways to have an address without proof.
fn unproven() -> [Value; 5] {
    let two = json!({"email_addresses": [
        {"id": "idn_1", "email_address": CEO, "verification": {"status": "unverified"}},
        {"id": "idn_2", "email_address": "eve@example.com", "verification": {"status": "verified"}},
    ], "primary_email_address_id": null});
    [
        address(CEO, "unverified", false),
        address(CEO, "unverified", true),
        address(CEO, "verified", false),
        two,
        merge(address(CEO, "verified", true), json!({"primary_email_address_id": "idn_9"})),
    ]
}

fn staff(clerk_id: Option<&str>) -> Row {
    Row {
        key: "1".into(),
        clerk_id: clerk_id.map(Into::into),
        email: Some(CEO.into()),
        username: Some("ceo".into()),
        is_active: true,
        ..Row::default()
    }
}

#[test]
fn unproven_address_is_not_on_results() {
    for claimed in unproven() {
        let fixture = Fixture::new(|config| config.set("user_mode", "profile").unwrap());
        fixture.sim.put_user(eve(1, claimed.clone()));
        let result = bearer(&fixture.client, &fixture.token(EVE));
        assert_eq!(result.identity().unwrap().get(Attribute::Email), None, "{claimed}");
    }
}

#[test]
fn unproven_address_is_not_written_beside_its_owners() {
    for claimed in unproven() {
        everywhere(
            |_| (),
            |world| {
                world.sim.put_user(eve(1, address("eve@example.com", "verified", true)));
                assert_eq!(world.sign_in(&world.a, EVE), "in verified");
                world.sim.put_user(eve(2, claimed.clone()));
                world.time.advance_s(301);
                assert_eq!(world.sign_in(&world.a, EVE), "in verified", "{}", world.what());
                let _ = world.update(&world.b, &eve(3, claimed.clone()));
                let own = world.rows()[0].email.clone();
                assert_ne!(own.as_deref(), Some(CEO), "{} {claimed}", world.what());
                // The address that was proven stays unless Clerk says that there is no primary one.
                let is_kept = !claimed["primary_email_address_id"].is_null();
                assert_eq!(own.is_some(), is_kept, "{} {claimed}", world.what());
            },
        );
    }
}

#[test]
fn prepared_row_is_linked_to_its_owner_whatever_others_claim() {
    for claimed in unproven() {
        everywhere(
            |_| (),
            |world| {
                world.add(staff(None));
                world.sim.put_user(eve(1, claimed.clone()));
                assert_eq!(world.sign_in(&world.a, EVE), "in verified", "{}", world.what());
                world.sim.put_user(ada(1, address(CEO, "verified", true)));
                assert_eq!(world.sign_in(&world.b, ADA), "in verified", "{}", world.what());
                let rows = world.rows();
                assert_eq!(rows.len(), 2, "{} {claimed}", world.what());
                assert_eq!(rows[0].clerk_id.as_deref(), Some(ADA), "{} {claimed}", world.what());
                assert_eq!(rows[1].email, None, "{} {claimed}", world.what());
            },
        );
    }
}

#[test]
fn table_without_clerk_ids_refuses_an_unproven_address_before_any_row() {
    for claimed in unproven() {
        for driver in super::DRIVERS {
            let world = World::new(Kind::WithoutIds, driver, |_| ());
            world.sim.put_user(eve(1, claimed.clone()));
            assert_eq!(world.sign_in(&world.a, EVE), "out link-conflict", "{claimed}");
            assert_eq!(world.rows(), [], "{claimed}");
            world.add(staff(None));
            assert_eq!(world.sign_in(&world.a, EVE), "out link-conflict", "{claimed}");
            assert_eq!(world.rows(), [staff(None)], "{claimed}");
        }
    }
}

#[test]
fn reused_key_belongs_to_the_new_user_only() {
    for driver in super::DRIVERS {
        let world = World::new(Kind::WithoutIds, driver, |_| ());
        world.sim.put_user(ada(1, json!({})));
        let token = world.token(ADA);
        assert_eq!(world.ask(&world.a, &token), "in verified");
        let key = world.rows()[0].key.clone();
        let other = Row { key: key.clone(), email: Some("bob@example.com".into()), ..staff(None) };
        world.sql("", |rows| rows[0] = other.clone());
        for token in [token.clone(), world.token(ADA), token] {
            let asked = world.ask(&world.a, &token);
            assert!(asked.starts_with("in "), "{asked}");
            let result = bearer(&world.a.client, &token);
            assert_ne!(result.identity().unwrap().get(Attribute::UserKey), Some(key.as_str()));
        }
        assert_eq!(world.rows()[0], other);
    }
}

#[test]
fn user_of_a_deactivated_row_is_rejected_with_a_new_account() {
    everywhere(
        |_| (),
        |world| {
            world.add(Row { is_active: false, ..staff(Some("user_2old")) });
            world.sim.put_user(ada(1, address(CEO, "verified", true)));
            for _ in 0..2 {
                assert_eq!(world.sign_in(&world.a, ADA), "out user-inactive", "{}", world.what());
            }
            assert_eq!(world.rows().len(), 1, "{}", world.what());
        },
    );
    let allowed = |config: &mut clerk_auth::internals::Config| config.block_deactivated_email = false;
    everywhere(allowed, |world| {
        world.add(Row { is_active: false, ..staff(Some("user_2old")) });
        world.sim.put_user(ada(1, address(CEO, "verified", true)));
        assert_eq!(world.sign_in(&world.a, ADA), "in verified", "{}", world.what());
        assert_eq!(world.rows()[0].clerk_id.as_deref(), Some("user_2old"));
    });
}

/// The order of sign-in and proof makes no difference.
#[test]
fn user_of_a_deactivated_row_is_rejected_if_verified_later() {
    for by_event in [true, false] {
        everywhere(
            |config| config.user_ttl_s = 0,
            |world| {
                world.add(Row { is_active: false, ..staff(Some("user_2old")) });
                world.sim.put_user(ada(1, address(CEO, "unverified", true)));
                assert_eq!(world.sign_in(&world.a, ADA), "in verified", "{}", world.what());
                let proven = ada(2, address(CEO, "verified", true));
                world.sim.put_user(proven.clone());
                if by_event {
                    let _ = world.update(&world.b, &proven);
                }
                for process in [&world.a, &world.b] {
                    assert_eq!(world.sign_in(process, ADA), "out user-inactive", "{}", world.what());
                }
                assert_eq!(world.rows()[1].email, None, "{}", world.what());
                // A ban in between does not help.
                for (version, banned) in [(3, true), (4, false)] {
                    let user = ada(version, merge(address(CEO, "verified", true), json!({"banned": banned})));
                    world.sim.put_user(user.clone());
                    let _ = world.update(&world.b, &user);
                    assert_eq!(world.sign_in(&world.a, ADA), "out user-inactive", "{}", world.what());
                    assert_eq!(world.rows()[1].email, None, "{}", world.what());
                }
            },
        );
    }
}

/// A table in which addresses are unique and required.
struct Required(Table);

impl UserStore for Required {
    fn schema(&self) -> Schema {
        self.0.schema()
    }
    fn find_by_key(&self, key: &str) -> Result<Option<Row>, StoreError> {
        self.0.find_by_key(key)
    }
    fn find_by_clerk_id(&self, clerk_id: &str) -> Result<Option<Row>, StoreError> {
        self.0.find_by_clerk_id(clerk_id)
    }
    fn find_by_email(&self, email: &str) -> Result<Vec<Row>, StoreError> {
        self.0.find_by_email(email)
    }
    fn username_taken(&self, username: &str, except_key: Option<&str>) -> Result<bool, StoreError> {
        self.0.username_taken(username, except_key)
    }
    fn create(&self, changes: &RowChanges) -> Result<String, StoreError> {
        self.check(changes, None)?;
        self.0.create(changes)
    }
    fn update(&self, key: &str, changes: &RowChanges, condition: &UpdateCondition) -> Result<(), StoreError> {
        self.check(changes, Some(key))?;
        self.0.update(key, changes, condition)
    }
}

impl Required {
    fn check(&self, changes: &RowChanges, key: Option<&str>) -> Result<(), StoreError> {
        match &changes.email {
            Some(None) => Err(StoreError::failed(19, "NOT NULL constraint failed")),
            Some(Some(email)) if self.0.find_by_email(email)?.iter().any(|row| Some(row.key.as_str()) != key) => {
                Err(StoreError::Conflict)
            }
            _ => Ok(()),
        }
    }
}

#[test]
fn unproven_address_does_not_lock_out_its_owner() {
    for claimed in unproven() {
        let store = Arc::new(Required(Table::default()));
        let fixture = Fixture::with_store(store.clone(), |config| config.user_ttl_s = 0);
        fixture.sim.put_user(eve(1, address("eve@example.com", "verified", true)));
        assert_eq!(fixture.authenticate_new(EVE), "in verified");
        fixture.sim.put_user(eve(2, claimed.clone()));
        let _ = fixture.authenticate_new(EVE);
        fixture.sim.put_user(ada(1, address(CEO, "verified", true)));
        assert_eq!(fixture.authenticate_new(ADA), "in verified", "{claimed}");
        let rows = store.0.rows();
        assert_eq!(rows.len(), 2, "{claimed}");
        assert_eq!(rows[1].clerk_id.as_deref(), Some(ADA), "{claimed}");
        // Eve without any row is unavailable, and takes nothing.
        fixture.sim.put_user(ada(1, merge(json!({"id": "user_2new", "username": "new"}), claimed.clone())));
        assert_eq!(fixture.authenticate_new("user_2new"), "unavailable store-error", "{claimed}");
        assert_eq!(store.0.rows().len(), 2, "{claimed}");
    }
}

#[test]
fn late_event_with_an_old_address_links_no_row() {
    let world = World::new(Kind::Sqlite, Driver::Blocking, |_| ());
    world.add(staff(None));
    // Eve had the address, and has it no more.
    world.sim.put_user(eve(2, address("eve@example.com", "verified", true)));
    let _ = world.update(&world.a, &eve(1, address(CEO, "verified", true)));
    assert_eq!(world.rows()[0].clerk_id, None);
}
