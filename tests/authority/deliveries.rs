//! Each delivery is processed once, whatever comes at the same time.

use clerk_auth::WebhookOutcome;
use clerk_auth::stepwise::WebhookProgress;
use clerk_sim::TokenSpec;
use serde_json::json;

use super::{ADA, Driver, Kind, World, ada, everywhere, finish};

#[test]
fn delivery_that_is_being_processed_is_refused_and_may_come_again() {
    everywhere(
        |_| (),
        |world| {
            world.sim.put_user(ada(1, json!({})));
            let delivery = world.event("user.created", ada(1, json!({})));
            let pending = world.begin(&world.a, &delivery);
            assert!(matches!(pending, WebhookProgress::Pending(_)));
            assert!(matches!(world.deliver(&world.a, &delivery), WebhookOutcome::Failed(_)), "{}", world.what());
            // Abandoned: Clerk sends it again.
            drop(pending);
            assert_eq!(world.deliver(&world.a, &delivery), WebhookOutcome::Applied, "{}", world.what());
            assert_eq!(world.deliver(&world.a, &delivery), WebhookOutcome::Ignored, "{}", world.what());
        },
    );
}

#[test]
fn same_delivery_on_many_threads_is_applied_once() {
    let world = World::new(Kind::Sqlite, Driver::Blocking, |_| ());
    world.sim.put_user(ada(1, json!({})));
    let delivery = world.event("user.created", ada(1, json!({})));
    let outcomes: Vec<WebhookOutcome> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..16).map(|_| scope.spawn(|| world.deliver(&world.a, &delivery))).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == WebhookOutcome::Applied).count(), 1, "{outcomes:?}");
    let created = world.a.events.take().into_iter().filter(|event| event == "user_created").count();
    assert_eq!((created, world.rows().len()), (1, 1));
}

#[test]
fn deliveries_and_revocations_do_not_depend_on_cache_capacity() {
    let world = World::new(Kind::Versioned, Driver::Blocking, |config| {
        config.cache_capacity = 1;
        config.set("user_mode", "claims").unwrap();
    });
    let token = |i: usize| world.sim.mint(&TokenSpec::session(ADA).sid(&format!("sess_{i}")), world.time.now_s());
    let tokens: Vec<String> = (0..200).map(token).collect();
    let ends: Vec<_> = (0..100)
        .map(|i| world.event("session.ended", json!({"id": format!("sess_{i}"), "user_id": ADA, "status": "ended"})))
        .collect();
    for delivery in &ends {
        assert_eq!(world.deliver(&world.a, delivery), WebhookOutcome::Applied);
    }
    for delivery in &ends {
        assert_eq!(world.deliver(&world.a, delivery), WebhookOutcome::Ignored);
    }
    for (i, token) in tokens.iter().enumerate() {
        // Nothing was evicted: the others are not affected.
        let expected = if i < 100 { "out session-revoked" } else { "in verified" };
        assert_eq!(world.ask(&world.a, token), expected, "{i}");
    }
}

#[test]
fn older_event_that_waits_for_the_store_does_not_overwrite_a_newer_one() {
    for kind in super::TABLES {
        let world = World::new(kind, Driver::Stepwise, |_| ());
        world.sim.put_user(ada(1, json!({})));
        assert_eq!(world.sign_in(&world.a, ADA), "in verified");
        let older = world.begin(&world.a, &world.event("user.updated", ada(2, json!({"first_name": "Older"}))));
        let newer = ada(3, json!({"first_name": "Newer"}));
        world.sim.put_user(newer.clone());
        assert_eq!(world.update(&world.a, &newer), WebhookOutcome::Applied, "{kind:?}");
        let _ = finish(older, &world.a);
        assert_eq!(world.rows()[0].first_name.as_deref(), Some("Newer"), "{kind:?}");
    }
}
