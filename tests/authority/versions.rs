//! Older data never replaces newer.

use clerk_auth::{Reason, WebhookOutcome};
use clerk_sim::Fault;
use serde_json::json;

use super::common::bearer;
use super::{ADA, Kind, World, ada, address, everywhere};

fn banned(version: i64) -> serde_json::Value {
    ada(version, json!({"banned": true}))
}

/// Both processes know Ada, at version 1.
fn known_to_both(world: &World) -> String {
    world.sim.put_user(ada(1, json!({})));
    let token = world.token(ADA);
    for process in [&world.a, &world.b] {
        assert_eq!(world.ask(process, &token), "in verified", "{}", world.what());
    }
    token
}

fn assert_out(world: &World, token: &str) {
    for _ in 0..4 {
        assert_eq!(world.ask(&world.b, token), "out user-inactive", "{}", world.what());
        assert_eq!(world.sign_in(&world.b, ADA), "out user-inactive", "{}", world.what());
        let row = &world.rows()[0];
        assert!(!row.is_active && row.banned_by_clerk, "{}", world.what());
    }
}

#[test]
fn ban_received_by_one_process_is_not_lifted_by_anothers_cache() {
    everywhere(
        |_| (),
        |world| {
            let token = known_to_both(world);
            world.sim.put_user(banned(2));
            assert_eq!(world.update(&world.a, &banned(2)), WebhookOutcome::Applied);
            assert_out(world, &token);
        },
    );
}

#[test]
fn ban_is_lifted_by_a_fetch_after_the_row_was_read() {
    everywhere(
        |_| (),
        |world| {
            let token = known_to_both(world);
            world.sim.put_user(banned(2));
            let _ = world.update(&world.a, &banned(2));
            world.sim.put_user(ada(3, json!({})));
            // The first request finds the row inactive; the next one fetches the user.
            world.ask(&world.b, &token);
            assert_eq!(world.sign_in(&world.b, ADA), "in verified", "{}", world.what());
            let row = &world.rows()[0];
            assert!(row.is_active && !row.banned_by_clerk, "{}", world.what());
        },
    );
}

#[test]
fn ban_is_not_lifted_during_an_outage() {
    everywhere(
        |_| (),
        |world| {
            let token = known_to_both(world);
            world.sim.put_user(banned(2));
            let _ = world.update(&world.a, &banned(2));
            world.sim.fault(Fault::on("/users/*").status(429).header("Retry-After", "1"));
            assert_out(world, &token);
            world.time.advance_s(3000);
            assert_out(world, &world.token(ADA));
            assert_eq!(world.sign_in(&world.a, ADA), "out user-inactive", "{}", world.what());
        },
    );
}

#[test]
fn older_event_after_a_newer_one_writes_nothing() {
    everywhere(
        |_| (),
        |world| {
            let token = known_to_both(world);
            let older = ada(2, json!({"first_name": "Older"}));
            world.sim.put_user(banned(3));
            assert_eq!(world.update(&world.a, &banned(3)), WebhookOutcome::Applied);
            let _ = world.update(&world.b, &older);
            assert_ne!(world.rows()[0].first_name.as_deref(), Some("Older"), "{}", world.what());
            assert_out(world, &token);
        },
    );
}

#[test]
fn fetch_in_flight_while_a_ban_is_applied_elsewhere_lifts_nothing() {
    everywhere(
        |_| (),
        |world| {
            known_to_both(world);
            world.time.advance_s(301);
            let slow = Fault::on("/users/*").status(200).body(ada(1, json!({}))).delay_ms(300).times(1);
            world.sim.fault(slow);
            let before = world.fetches();
            let late = world.token(ADA);
            std::thread::scope(|scope| {
                let asking = scope.spawn(|| world.ask(&world.b, &late));
                while world.fetches() == before {
                    std::thread::yield_now();
                }
                world.sim.put_user(banned(2));
                assert_eq!(world.update(&world.a, &banned(2)), WebhookOutcome::Applied);
                assert_eq!(asking.join().unwrap(), "out user-inactive", "{}", world.what());
            });
            assert_out(world, &late);
        },
    );
}

#[test]
fn newer_unban_event_lifts_a_ban_and_an_equal_one_fetches_the_user() {
    everywhere(
        |_| (),
        |world| {
            known_to_both(world);
            world.sim.put_user(banned(5));
            let _ = world.update(&world.a, &banned(5));
            // Clerk still says banned: an event that is no proof lifts nothing.
            let _ = world.update(&world.b, &ada(5, json!({})));
            assert!(!world.rows()[0].is_active, "{}", world.what());
            let newer = ada(6, json!({}));
            let _ = world.update(&world.a, &newer);
            let is_proof = world.kind != Kind::Plain;
            assert_eq!(world.rows()[0].is_active, is_proof, "{}", world.what());
            world.sim.put_user(newer.clone());
            let _ = world.update(&world.a, &ada(7, json!({})));
            assert!(world.rows()[0].is_active, "{}", world.what());
        },
    );
}

#[test]
fn address_that_has_moved_on_is_not_written_back() {
    everywhere(
        |_| (),
        |world| {
            let token = known_to_both(world);
            let moved = ada(2, address("countess@example.com", "verified", true));
            world.sim.put_user(moved.clone());
            assert_eq!(world.update(&world.a, &moved), WebhookOutcome::Applied);
            // Process B still has version 1 in memory.
            for token in [Some(token), None, None] {
                let token = token.unwrap_or_else(|| world.token(ADA));
                assert!(world.ask(&world.b, &token).starts_with("in "), "{}", world.what());
                assert_eq!(world.sign_in(&world.b, ADA), "in verified", "{}", world.what());
                let _ = world.update(&world.b, &ada(1, json!({})));
                assert_eq!(world.rows()[0].email.as_deref(), Some("countess@example.com"), "{}", world.what());
                world.time.advance_s(200);
            }
        },
    );
}

#[test]
fn process_with_an_older_cached_user_fetches_the_newer_once() {
    for kind in [Kind::Sqlite, Kind::Versioned] {
        let world = World::new(kind, super::Driver::Blocking, |_| ());
        known_to_both(&world);
        let renamed = ada(2, json!({"first_name": "Augusta"}));
        world.sim.put_user(renamed.clone());
        let _ = world.update(&world.a, &renamed);
        let before = world.fetches();
        for _ in 0..3 {
            let result = bearer(&world.b.client, &world.token(ADA));
            let name = result.identity().unwrap().get(clerk_auth::Attribute::FirstName).map(str::to_owned);
            assert_eq!(name.as_deref(), Some("Augusta"), "{kind:?}");
        }
        assert_eq!(world.fetches() - before, 1, "{kind:?}");
    }
}

#[test]
fn row_decides_in_an_outage_if_the_cached_user_is_older() {
    for kind in [Kind::Sqlite, Kind::Versioned] {
        for stale_s in [0, 3600] {
            let world = World::new(kind, super::Driver::Blocking, |config| config.user_stale_if_error_s = stale_s);
            known_to_both(&world);
            let renamed = ada(2, json!({"first_name": "Augusta"}));
            let _ = world.update(&world.a, &renamed);
            world.sim.set_down(true).unwrap();
            let result = bearer(&world.b.client, &world.token(ADA));
            let identity = result.identity().expect("the row is active");
            let name = identity.get(clerk_auth::Attribute::FirstName);
            assert_eq!(name, (stale_s > 0).then_some("Ada"), "{kind:?} {stale_s}");
            assert_eq!(identity.get(clerk_auth::Attribute::UserKey), Some(world.rows()[0].key.as_str()));
            assert_eq!(world.rows()[0].first_name.as_deref(), Some("Augusta"));
        }
    }
}

#[test]
fn erased_row_is_not_created_again_from_a_cache() {
    everywhere(
        |_| (),
        |world| {
            let token = known_to_both(world);
            world.sim.delete_user(ADA);
            let _ = world.deliver(&world.a, &world.event("user.deleted", json!({"id": ADA, "deleted": true})));
            world.erase_rows();
            for _ in 0..2 {
                assert_eq!(world.ask(&world.b, &token), "out user-not-found", "{}", world.what());
                assert_eq!(world.sign_in(&world.b, ADA), "out user-not-found", "{}", world.what());
            }
            // Nor by an event that comes late, to a process that knows nothing.
            assert_eq!(world.update(&world.b, &ada(9, json!({}))), WebhookOutcome::Ignored, "{}", world.what());
            assert_eq!(world.sign_in(&world.b, ADA), "out user-not-found", "{}", world.what());
            assert_eq!(world.rows(), [], "{}", world.what());
        },
    );
}

#[test]
fn event_creates_a_row_only_of_a_user_that_clerk_still_has() {
    everywhere(
        |_| (),
        |world| {
            let user = ada(1, json!({}));
            assert_eq!(world.update(&world.a, &user), WebhookOutcome::Ignored, "{}", world.what());
            assert_eq!(world.rows(), [], "{}", world.what());
            world.sim.fault(Fault::on("/users/*").status(500).times(3));
            world.sim.put_user(user.clone());
            world.time.advance_s(60);
            let delivery = world.event("user.updated", ada(2, json!({})));
            assert!(matches!(world.deliver(&world.b, &delivery), WebhookOutcome::Failed(_)), "{}", world.what());
            world.sim.clear_faults();
            world.time.advance_s(60);
            assert_eq!(world.deliver(&world.b, &delivery), WebhookOutcome::Applied, "{}", world.what());
            assert_eq!(world.rows().len(), 1, "{}", world.what());
        },
    );
}

#[test]
fn outage_creates_no_row_from_a_cache_and_is_unavailable() {
    everywhere(
        |_| (),
        |world| {
            known_to_both(world);
            world.erase_rows();
            world.sim.set_down(true).unwrap();
            assert_eq!(world.sign_in(&world.b, ADA), "unavailable server-error", "{}", world.what());
            assert_eq!(world.rows(), [], "{}", world.what());
        },
    );
}

#[test]
fn deactivation_by_the_application_survives_every_event() {
    everywhere(
        |_| (),
        |world| {
            let token = known_to_both(world);
            world.sql("UPDATE clerk_user SET is_active = 0", |rows| rows[0].is_active = false);
            for version in 2..6 {
                let user = ada(version, json!({"banned": version % 2 == 0}));
                world.sim.put_user(user.clone());
                let _ = world.update(if version < 4 { &world.a } else { &world.b }, &user);
                assert!(!world.rows()[0].is_active && !world.rows()[0].banned_by_clerk, "{}", world.what());
                for process in [&world.a, &world.b] {
                    assert_eq!(world.ask(process, &token), "out user-inactive", "{}", world.what());
                    assert_eq!(world.sign_in(process, ADA), "out user-inactive", "{}", world.what());
                }
            }
        },
    );
}

#[test]
fn row_read_inactive_in_an_outage_is_rejected_by_verify_token() {
    everywhere(
        |config| config.user_stale_if_error_s = 3600,
        |world| {
            known_to_both(world);
            world.sim.put_user(banned(2));
            let _ = world.update(&world.a, &banned(2));
            world.sim.fault(Fault::on("/users/*").status(429).header("Retry-After", "1"));
            let token = world.token(ADA);
            assert_eq!(world.ask(&world.b, &token), "out user-inactive", "{}", world.what());
            let reason = world.b.client.verify_token(&token).reason();
            assert_eq!(reason, Some(Reason::UserInactive), "{}", world.what());
        },
    );
}
