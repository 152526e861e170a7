//! Users: one fetch for all processes.

use std::time::Duration;

use clerk_auth::internals::{Config, builder};
use clerk_auth::{Attribute, Client, LogLevel, WebhookHeaders, WebhookOutcome};
use clerk_sim::Fault;
use clerk_sim::webhook::{Delivery, WebhookSpec};
use serde_json::json;

use crate::common::{bearer, table, timed};
use crate::{World, ask, wait_for};

fn first_name(client: &Client, token: &str) -> Option<String> {
    bearer(client, token).identity()?.get(Attribute::FirstName).map(str::to_owned)
}

fn deliver(client: &Client, delivery: &Delivery) -> WebhookOutcome {
    let mut headers = WebhookHeaders::default();
    for (name, value) in &delivery.headers {
        headers.header(name.as_bytes(), value.as_bytes());
    }
    client.handle_webhook(&headers, delivery.body.as_bytes())
}

#[test]
fn cold_user_is_fetched_once_by_all_clients_together() {
    let world = World::new();
    world.users(20);
    world.sim.fault(Fault { delay_ms: 30, ..Fault::on("/users/*") });
    let clients: Vec<_> = (0..8).map(|_| world.client(|_| ())).collect();
    // The others take the JWK set of the first.
    clients.iter().for_each(|client| client.warm_up().unwrap());
    assert_eq!(world.sim.requests("/jwks"), 1);
    std::thread::scope(|scope| {
        for client in &clients {
            let world = &world;
            scope.spawn(move || {
                for i in 0..20 {
                    assert_eq!(ask(client, &world.token(&format!("user_{i}"), "sess_1")), "in verified");
                }
            });
        }
    });
    assert_eq!(world.user_calls(), 20);
    let hits: u64 = clients.iter().map(|client| client.stats().shared_cache.hits).sum();
    assert!(hits >= 7 * 20, "{hits}");
}

#[test]
fn outdated_user_is_fetched_once_while_the_others_use_it() {
    let world = World::new();
    world.users(1);
    let clients: Vec<_> = (0..8).map(|_| world.client(|config| config.user_ttl_s = 2)).collect();
    clients.iter().for_each(|client| assert_eq!(ask(client, &world.token("user_0", "sess_1")), "in verified"));
    assert_eq!(world.user_calls(), 1);
    std::thread::sleep(Duration::from_millis(2050));
    world.sim.fault(Fault { delay_ms: 300, ..Fault::on("/users/*") });
    let mut waits: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = clients
            .iter()
            .map(|client| {
                let token = world.token("user_0", "sess_2");
                scope.spawn(move || timed(|| assert_eq!(ask(client, &token), "in verified")).1)
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    waits.sort();
    assert_eq!(world.user_calls(), 2);
    assert!(waits[7] >= Duration::from_millis(300), "one fetches: {waits:?}");
    assert!(waits[6] < Duration::from_millis(250), "the others do not wait: {waits:?}");
}

#[test]
fn invalidated_user_is_fetched_again_by_all() {
    let world = World::new();
    world.users(1);
    let (a, b) = (world.client(|_| ()), world.client(|_| ()));
    b.poll(Duration::ZERO).unwrap();
    let name = |client| first_name(client, &world.token("user_0", "sess_1"));
    assert_eq!((name(&a), name(&b)), (Some("Ada0".into()), Some("Ada0".into())));
    world.sim.patch_user("user_0", json!({"first_name": "Eve", "updated_at": 1_700_000_001_000_i64})).unwrap();
    a.invalidate_user("user_0");
    assert_eq!(b.poll(Duration::from_secs(5)).unwrap(), 1);
    assert_eq!((name(&b), name(&a)), (Some("Eve".into()), Some("Eve".into())));
    assert_eq!(world.user_calls(), 2);
}

#[test]
fn webhook_at_one_client_fills_the_cache_of_all() {
    let world = World::new();
    world.users(1);
    let (a, b) = (world.client(|_| ()), world.client(|_| ()));
    let user = json!({"id": "user_0", "first_name": "New", "updated_at": 1_900_000_000_000_i64});
    world.sim.put_user(user);
    let delivery = world.sim.webhook(&WebhookSpec::new("user.updated", "user_0")).unwrap();
    assert_eq!(deliver(&a, &delivery), WebhookOutcome::Applied);
    assert_eq!(first_name(&b, &world.token("user_0", "sess_1")).as_deref(), Some("New"));
    assert_eq!(world.user_calls(), 0);
}

#[test]
fn banned_user_of_the_shared_cache_is_refused_and_never_lifted_by_it() {
    let world = World::new();
    world.users(1);
    let (a, b) = (world.client(|_| ()), world.client(|_| ()));
    // `b` has seen the ban, which is newer than what `a` has shared.
    assert_eq!(ask(&a, &world.token("user_0", "sess_1")), "in verified");
    world.sim.ban_user("user_0");
    let delivery = world.sim.webhook(&WebhookSpec::new("user.updated", "user_0")).unwrap();
    assert_eq!(deliver(&b, &delivery), WebhookOutcome::Applied);
    let c = world.client(|_| ());
    assert_eq!(ask(&c, &world.token("user_0", "sess_2")), "out user-inactive");
    a.poll(Duration::ZERO).unwrap();
    assert_eq!(ask(&a, &world.token("user_0", "sess_3")), "out user-inactive");
}

#[test]
fn late_webhook_at_another_client_replaces_nothing() {
    let world = World::new();
    world.users(1);
    let (a, b, c) = (world.client(|_| ()), world.client(|_| ()), world.client(|_| ()));
    let event = |banned: bool, updated_at: i64| {
        let data = json!({"id": "user_0", "first_name": "Ada0", "banned": banned, "updated_at": updated_at});
        world.sim.webhook(&WebhookSpec { data: Some(data), ..WebhookSpec::new("user.updated", "user_0") }).unwrap()
    };
    let (older, newer) = (event(false, 1_800_000_000_000), event(true, 1_800_000_000_001));
    assert_eq!(deliver(&a, &newer), WebhookOutcome::Applied);
    // This one has not seen the newer one.
    assert_eq!(deliver(&b, &older), WebhookOutcome::Ignored);
    for client in [&a, &b, &c] {
        assert_eq!(ask(client, &world.token("user_0", "sess_1")), "out user-inactive");
    }
}

#[test]
fn shared_user_creates_no_row() {
    let world = World::new();
    world.users(1);
    let first = world.client(|_| ());
    assert_eq!(ask(&first, &world.token("user_0", "sess_1")), "in verified");
    assert_eq!(world.user_calls(), 1);
    let store = std::sync::Arc::new(table::Table::default());
    let mut config = world.config();
    config.set("user_mode", "sync").unwrap();
    let second = builder(config).user_store(store.clone()).build().unwrap();
    assert_eq!(ask(&second, &world.token("user_0", "sess_2")), "in verified");
    assert_eq!(world.user_calls(), 2, "a row is made of a user that Clerk has returned for it");
    assert_eq!(store.rows().len(), 1);
}

#[test]
fn machine_token_is_verified_once_by_all_clients_for_a_while() {
    let world = World::new();
    world.users(1);
    world.sim.update(|state| {
        let token = json!({"id": "oat_1", "subject": "user_0", "client_id": "client_1", "scopes": []});
        state.oauth_tokens.insert("oat_opaque".into(), token);
    });
    let clients: Vec<_> = (0..4)
        .map(|_| {
            world.client(|config| {
                config.machine_cache_ttl_s = 60;
                config.set("accepts_token", "any").unwrap();
            })
        })
        .collect();
    for client in &clients {
        assert_eq!(ask(client, "oat_opaque"), "in verified");
    }
    assert_eq!(world.sim.requests("/oauth_applications/access_tokens/verify"), 1);
    clients[0].invalidate_token("oat_opaque");
    assert_eq!(ask(&clients[0], "oat_opaque"), "in verified");
    assert_eq!(world.sim.requests("/oauth_applications/access_tokens/verify"), 2);
}

#[test]
fn outdated_user_of_another_process_is_used_while_clerk_is_down() {
    let world = World::new();
    world.users(2);
    let build = || world.client(|config| config.user_ttl_s = 1);
    let first = build();
    assert_eq!(ask(&first, &world.token("user_0", "sess_0")), "in verified");
    std::thread::sleep(Duration::from_millis(3000));
    world.sim.fault(Fault { status: Some(500), ..Fault::on("/users/*") });
    let second = build();
    second.warm_up().unwrap();
    assert_eq!(first_name(&second, &world.token("user_0", "sess_1")).as_deref(), Some("Ada0"));
    assert_eq!(ask(&second, &world.token("user_1", "sess_1")), "unavailable server-error");
    assert!(world.event_log.take().contains(&"stale_user_served".to_owned()));
}

#[test]
fn calls_without_the_engine_stay_within_the_budget() {
    let mut world = World::new();
    world.users(50);
    world.server.kill();
    let client = world.client(|config| config.clerk_calls_per_s = 5);
    let outcomes: Vec<_> = (0..50).map(|i| ask(&client, &world.token(&format!("user_{i}"), "sess_1"))).collect();
    let signed_in = outcomes.iter().filter(|outcome| *outcome == "in verified").count();
    assert!((5..15).contains(&signed_in), "{outcomes:?}");
    assert_eq!(world.user_calls(), signed_in);
    assert!(outcomes.iter().all(|outcome| outcome == "in verified" || outcome == "unavailable server-error"));
    // What was fetched is not fetched again.
    assert_eq!(ask(&client, &world.token("user_0", "sess_2")), "in verified");
}

#[test]
fn budget_holds_after_an_outage_of_the_engine() {
    let mut world = World::new();
    world.users(80);
    let tune = |config: &mut Config| {
        config.clerk_calls_per_s = 5;
        // Operations may take longer then: other tests run at the same time.
        config.shared_cache_required = true;
    };
    let client = world.client(tune);
    world.server.kill();
    wait_for("the engine is not used", || {
        let _ = client.poll(Duration::ZERO);
        client.stats().shared_cache.state as i32 == 2
    });
    world.server.restart();
    wait_for("the engine is used again", || {
        let _ = client.poll(Duration::from_millis(50));
        client.stats().shared_cache.state as i32 == 1
    });
    let outcomes = |client: &Client, users: std::ops::Range<usize>| -> Vec<String> {
        users.map(|i| ask(client, &world.token(&format!("user_{i}"), "sess_1"))).collect()
    };
    let signed_in = outcomes(&client, 0..40).iter().filter(|outcome| *outcome == "in verified").count();
    assert!((4..15).contains(&signed_in), "{signed_in}");
    assert_eq!(world.user_calls(), signed_in);
    // A process without an outage fetches as always, and the other one uses what it has fetched.
    let other = world.client(tune);
    assert_eq!(outcomes(&other, 40..80), vec!["in verified"; 40]);
    let calls = world.user_calls();
    assert_eq!(outcomes(&client, 40..80), vec!["in verified"; 40]);
    assert_eq!(world.user_calls(), calls);
}

#[test]
fn values_that_are_too_long_are_ignored_and_counted() {
    let world = World::new();
    world.users(1);
    let required = |config: &mut Config| config.shared_cache_required = true;
    let client = world.client(required);
    assert_eq!(ask(&client, &world.token("user_0", "sess_1")), "in verified");
    for key in world.server.cli(&["KEYS", "ck1:*:u"]).lines() {
        world.server.raw(&[b"SET", key.as_bytes(), &vec![b'x'; 4 << 20]]);
    }
    let other = world.client(required);
    for i in 0..5 {
        assert_eq!(ask(&other, &world.token("user_0", &format!("sess_{i}"))), "in verified");
    }
    let stats = other.stats().shared_cache;
    assert!(stats.rejected > 0, "{stats:?}");
    assert_eq!((stats.errors, stats.state as i32), (0, 1));
    assert_eq!(world.user_calls(), 2);
}

#[test]
fn process_with_a_wrong_clock_stores_no_users_but_revocations() {
    let world = World::new();
    world.users(2);
    for ahead_ms in [-90_000, 90_000_i64] {
        let mut config = world.config();
        config.set("clock_skew_ms", "120000").unwrap();
        config.shared_cache_required = true;
        let lines = world.lines.clone();
        let wrong = builder(config)
            .clock(move || unix_ms() + ahead_ms)
            .on_log(LogLevel::Warn, move |_, line| lines.lock().unwrap().push(line.to_owned()))
            .build()
            .unwrap();
        let right = world.client(|config| config.shared_cache_required = true);
        let calls = world.user_calls();
        assert_eq!(ask(&wrong, &world.token("user_0", "sess_0")), "in verified");
        assert_eq!(ask(&wrong, &world.token("user_1", "sess_1")), "in verified");
        assert_eq!(world.server.cli(&["KEYS", "ck1:*:u"]), "");
        assert_eq!(world.user_calls(), calls + 2);
        wrong.revoke_session(if ahead_ms < 0 { "sess_2" } else { "sess_3" });
        let revoked = world.token("user_0", if ahead_ms < 0 { "sess_2" } else { "sess_3" });
        assert_eq!(ask(&right, &revoked), "out session-revoked");
    }
    assert_eq!((world.logged("is 89 s behind") + world.logged("is 90 s behind"), world.logged("s ahead of")), (1, 1));
}

#[test]
fn engine_that_lost_its_data_costs_no_user_who_was_known() {
    let mut world = World::new();
    world.users(40);
    let client = world.client(|config| {
        config.clerk_calls_per_s = 5;
        config.shared_cache_required = true;
    });
    client.poll(Duration::ZERO).unwrap();
    let ask_all = |world: &World, session: &str| -> Vec<String> {
        (0..40).map(|i| ask(&client, &world.token(&format!("user_{i}"), session))).collect()
    };
    assert_eq!(ask_all(&world, "sess_1"), vec!["in verified"; 40]);
    let calls = world.user_calls();
    world.server.kill();
    wait_for("the engine is not used", || {
        let _ = client.poll(Duration::ZERO);
        client.stats().shared_cache.state as i32 == 2
    });
    world.server.restart();
    wait_for("the engine is used again", || client.poll(Duration::from_millis(50)).is_ok());
    assert_eq!(client.stats().cached_tokens, 0);
    // Within the budget they are fetched again, beyond it they are stale.
    assert_eq!(ask_all(&world, "sess_2"), vec!["in verified"; 40]);
    let fetched = world.user_calls() - calls;
    assert!((4..20).contains(&fetched), "{fetched}");
    assert!(world.event_log.take().contains(&"stale_user_served".to_owned()));
}

fn unix_ms() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}
