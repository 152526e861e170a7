//! The row of a user that Clerk has deleted, with `deactivate_deleted_users`.

use clerk_auth::WebhookOutcome;
use clerk_auth::internals::Config;
use clerk_auth::users::Row;
use clerk_sim::webhook::Delivery;
use serde_json::json;

use super::{ADA, Driver, World, ada, everywhere, finish};

fn deactivating(config: &mut Config) {
    config.deactivate_deleted_users = true;
}

fn deletion(world: &World) -> Delivery {
    world.sim.delete_user(ADA);
    world.event("user.deleted", json!({"id": ADA, "deleted": true}))
}

fn activation(world: &World) -> Vec<(bool, bool)> {
    world.rows().iter().map(|row| (row.is_active, row.banned_by_clerk)).collect()
}

#[test]
fn deleted_users_row_is_deactivated_only_with_the_setting() {
    for is_on in [false, true] {
        everywhere(
            |config| config.deactivate_deleted_users = is_on,
            |world| {
                world.sim.put_user(ada(1, json!({})));
                assert_eq!(world.sign_in(&world.a, ADA), "in verified", "{}", world.what());
                let before = world.rows();
                world.a.events.take();
                let delivery = deletion(world);
                assert_eq!(world.deliver(&world.a, &delivery), WebhookOutcome::Applied, "{}", world.what());
                let row = Row { is_active: !is_on, ..before[0].clone() };
                assert_eq!(world.rows(), [row], "{}", world.what());
                let events = world.a.events.take();
                let expected = if is_on { vec!["user_deleted", "user_updated"] } else { vec!["user_deleted"] };
                assert_eq!(events, expected, "{}", world.what());
                assert_eq!(world.deliver(&world.a, &delivery), WebhookOutcome::Ignored, "{}", world.what());
                assert_eq!(world.sign_in(&world.a, ADA), "out user-not-found", "{}", world.what());
            },
        );
    }
}

#[test]
fn deletion_of_a_user_without_a_row_is_applied() {
    everywhere(deactivating, |world| {
        let delivery = deletion(world);
        assert_eq!(world.deliver(&world.a, &delivery), WebhookOutcome::Applied, "{}", world.what());
        assert_eq!(world.deliver(&world.a, &delivery), WebhookOutcome::Ignored, "{}", world.what());
        assert_eq!(world.rows(), [], "{}", world.what());
    });
}

#[test]
fn nothing_activates_a_deleted_users_row_again() {
    for was_banned in [false, true] {
        everywhere(deactivating, |world| {
            world.sim.put_user(ada(1, json!({})));
            let token = world.token(ADA);
            for process in [&world.a, &world.b] {
                assert!(world.ask(process, &token).starts_with("in "), "{}", world.what());
            }
            if was_banned {
                let banned = ada(2, json!({"banned": true}));
                world.sim.put_user(banned.clone());
                assert_eq!(world.update(&world.a, &banned), WebhookOutcome::Applied, "{}", world.what());
                assert_eq!(activation(world), [(false, true)], "{}", world.what());
            }
            assert_eq!(world.deliver(&world.a, &deletion(world)), WebhookOutcome::Applied, "{}", world.what());
            assert_eq!(activation(world), [(false, false)], "{}", world.what());
            // Events of before the deletion that come late, to a process that did not receive the webhook.
            for version in [0, 1, 3] {
                let _ = world.update(&world.b, &ada(version, json!({"banned": false})));
                assert_eq!(activation(world), [(false, false)], "{} {version}", world.what());
            }
            assert!(world.ask(&world.b, &token).starts_with("out "), "{}", world.what());
            // Even if Clerk still had the user.
            world.sim.put_user(ada(4, json!({})));
            assert!(world.sign_in(&world.b, ADA).starts_with("out "), "{}", world.what());
            assert_eq!(activation(world), [(false, false)], "{}", world.what());
        });
    }
}

#[test]
fn update_that_waits_while_the_user_is_deleted_does_not_activate_the_row() {
    for kind in super::TABLES {
        let world = World::new(kind, Driver::Stepwise, deactivating);
        world.sim.put_user(ada(1, json!({"banned": true})));
        assert_eq!(world.sign_in(&world.a, ADA), "out user-inactive", "{kind:?}");
        let late = world.begin(&world.b, &world.event("user.updated", ada(2, json!({"banned": false}))));
        assert_eq!(world.deliver(&world.a, &deletion(&world)), WebhookOutcome::Applied, "{kind:?}");
        let _ = finish(late, &world.b);
        assert!(world.rows().iter().all(|row| !row.is_active), "{kind:?}");
    }
}

#[test]
fn other_users_rows_are_not_deactivated() {
    everywhere(deactivating, |world| {
        let own = |name: &str, clerk_id: Option<&str>| Row {
            key: format!("{}", name.len()),
            clerk_id: clerk_id.map(str::to_owned),
            email: Some("ada@example.com".into()),
            username: Some(name.into()),
            is_active: true,
            ..Row::default()
        };
        world.add(own("a", None));
        world.add(own("bb", Some(&ADA.to_uppercase())));
        assert_eq!(world.deliver(&world.a, &deletion(world)), WebhookOutcome::Applied, "{}", world.what());
        assert_eq!(activation(world), [(true, false); 2], "{}", world.what());
    });
}

#[test]
fn deleted_users_address_is_refused_to_a_new_account_unless_allowed() {
    for is_blocked in [true, false] {
        everywhere(
            |config| {
                config.deactivate_deleted_users = true;
                config.block_deactivated_email = is_blocked;
            },
            |world| {
                world.sim.put_user(ada(1, json!({})));
                assert_eq!(world.sign_in(&world.a, ADA), "in verified", "{}", world.what());
                assert_eq!(world.deliver(&world.a, &deletion(world)), WebhookOutcome::Applied, "{}", world.what());
                world.sim.put_user(ada(2, json!({"id": "user_2new", "username": "ada2"})));
                let expected = if is_blocked { "out user-inactive" } else { "in verified" };
                assert_eq!(world.sign_in(&world.b, "user_2new"), expected, "{}", world.what());
                assert_eq!(activation(world)[0], (false, false), "{}", world.what());
            },
        );
    }
}
