//! Who may deactivate and activate: Clerk by a ban and its end, the application by its own decision, at any moment.

use clerk_auth::stepwise::{AuthProgress, NextAction, PendingAuth, WebhookProgress};
use clerk_auth::users::StoreRequest;
use clerk_auth::{Request, WebhookOutcome};
use clerk_sim::Fault;
use serde_json::json;

use super::common::table::answer;
use super::common::word;
use super::{ADA, Driver, Kind, Process, TABLES, World, ada};

/// When the application deactivates the row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    DuringTheFetch,
    BeforeTheWrite,
}

const MOMENTS: [Moment; 2] = [Moment::DuringTheFetch, Moment::BeforeTheWrite];

fn deactivate(world: &World) {
    world.sql("UPDATE clerk_user SET is_active = 0, banned_by_clerk = 0", |rows| {
        (rows[0].is_active, rows[0].banned_by_clerk) = (false, false);
    });
}

fn begin(process: &Process, token: &str) -> PendingAuth {
    let line = format!("Bearer {token}");
    match process.client.begin(Request::new().header(b"Authorization", line.as_bytes())) {
        AuthProgress::Pending(pending) => *pending,
        AuthProgress::Done(result) => panic!("{result:?}"),
    }
}

/// Goes on to the end; the application acts once, at this moment.
fn finish(world: &World, process: &Process, mut pending: PendingAuth, moment: Moment, act: impl Fn()) -> String {
    let mut has_acted = false;
    for _ in 0..200 {
        match pending.next_action() {
            NextAction::QueryStore(request) => {
                let request = request.clone();
                let is_moment = moment == Moment::BeforeTheWrite && matches!(request, StoreRequest::Update { .. });
                if is_moment && !std::mem::replace(&mut has_acted, true) {
                    act();
                }
                pending.submit(answer(&*process.store, &request));
            }
            NextAction::FetchUser => {
                pending.fetch_user();
                if moment == Moment::DuringTheFetch && !std::mem::replace(&mut has_acted, true) {
                    act();
                }
            }
            NextAction::Done => {
                assert!(has_acted, "{}: {moment:?} did not come", world.what());
                return word(&pending.into_result());
            }
        }
    }
    panic!("the authentication does not end");
}

#[test]
fn deactivation_while_a_ban_is_being_lifted_stays() {
    for kind in TABLES {
        for moment in MOMENTS {
            let world = World::new(kind, Driver::Stepwise, |_| ());
            world.sim.put_user(ada(1, json!({"banned": true})));
            assert_eq!(world.sign_in(&world.a, ADA), "out user-inactive");
            assert!(world.rows()[0].banned_by_clerk);
            world.sim.put_user(ada(2, json!({})));
            let pending = begin(&world.b, &world.token(ADA));
            let outcome = finish(&world, &world.b, pending, moment, || deactivate(&world));
            assert_eq!(outcome, "out user-inactive", "{kind:?} {moment:?}");
            let row = &world.rows()[0];
            assert!(!row.is_active && !row.banned_by_clerk, "{kind:?} {moment:?}");
            for process in [&world.a, &world.b] {
                assert_eq!(world.sign_in(process, ADA), "out user-inactive", "{kind:?} {moment:?}");
            }
        }
    }
}

#[test]
fn deactivation_while_a_ban_is_written_is_not_turned_into_a_ban() {
    for kind in TABLES {
        let world = World::new(kind, Driver::Stepwise, |_| ());
        world.sim.put_user(ada(1, json!({})));
        assert_eq!(world.sign_in(&world.a, ADA), "in verified");
        world.sim.put_user(ada(2, json!({"banned": true})));
        let pending = begin(&world.b, &world.token(ADA));
        let outcome = finish(&world, &world.b, pending, Moment::BeforeTheWrite, || deactivate(&world));
        assert_eq!(outcome, "out user-inactive", "{kind:?}");
        assert!(!world.rows()[0].banned_by_clerk, "{kind:?}");
        // The end of the ban does not end the deactivation.
        let unbanned = ada(3, json!({}));
        world.sim.put_user(unbanned.clone());
        let _ = world.update(&world.a, &unbanned);
        for process in [&world.a, &world.b] {
            assert_eq!(world.sign_in(process, ADA), "out user-inactive", "{kind:?}");
        }
    }
}

#[test]
fn deactivation_while_an_event_is_applied_stays() {
    for kind in TABLES {
        for banned in [true, false] {
            let world = World::new(kind, Driver::Stepwise, |_| ());
            world.sim.put_user(ada(1, json!({"banned": !banned})));
            world.sign_in(&world.a, ADA);
            let changed = ada(2, json!({"banned": banned}));
            world.sim.put_user(changed.clone());
            let WebhookProgress::Pending(mut pending) = world.begin(&world.b, &world.event("user.updated", changed))
            else {
                panic!()
            };
            let mut writes = 0;
            let outcome = loop {
                match pending.next_action() {
                    NextAction::QueryStore(request) => {
                        let request = request.clone();
                        if matches!(request, StoreRequest::Update { .. }) {
                            writes += 1;
                            if writes == 1 {
                                deactivate(&world);
                            }
                        }
                        pending.submit(answer(&*world.b.store, &request));
                    }
                    NextAction::FetchUser => pending.fetch_user(),
                    NextAction::Done => break pending.into_outcome(),
                }
            };
            assert!(writes > 0 && outcome == WebhookOutcome::Applied, "{kind:?} {banned} {outcome:?}");
            let row = &world.rows()[0];
            assert!(!row.is_active && !row.banned_by_clerk, "{kind:?} {banned}");
        }
    }
}

/// The application deactivates a row on one thread while bans come and go.
#[test]
fn deactivation_survives_concurrent_bans() {
    let world = World::new(Kind::Sqlite, Driver::Blocking, |config| config.user_ttl_s = 0);
    world.sim.put_user(ada(1, json!({})));
    assert_eq!(world.sign_in(&world.a, ADA), "in verified");
    let tokens: Vec<String> = (0..2).map(|_| world.token(ADA)).collect();
    for round in 0..12 {
        let begun = std::time::Instant::now();
        std::thread::scope(|scope| {
            for (process, token) in [&world.a, &world.b].into_iter().zip(&tokens) {
                let world = &world;
                scope.spawn(move || {
                    while begun.elapsed().as_millis() < 60 {
                        world.ask(process, token);
                    }
                });
            }
            for step in 0..8 {
                world.sim.put_user(ada(round * 10 + step, json!({"banned": step % 2 == 0})));
                std::thread::sleep(std::time::Duration::from_millis(4));
            }
            deactivate(&world);
        });
        let row = &world.rows()[0];
        assert!(!row.is_active && !row.banned_by_clerk, "{round}: {row:?}");
        world.sql("UPDATE clerk_user SET is_active = 1", |_| ());
    }
}

#[test]
fn failed_first_sign_in_leaves_no_user_to_create_a_row_from() {
    // The fetch succeeded, the store did not. Then the user is deleted, and the row is not made from memory at once.
    for kind in TABLES {
        let world = World::new(kind, Driver::Stepwise, |_| ());
        world.sim.put_user(ada(1, json!({})));
        drop(begin(&world.b, &world.token(ADA)));
        world.sim.delete_user(ADA);
        assert_eq!(world.sign_in(&world.b, ADA), "out user-not-found", "{kind:?}");
        assert_eq!(world.rows(), [], "{kind:?}");
    }
}

#[test]
fn restart_during_a_fetch_lifts_no_ban_from_a_cache() {
    for kind in TABLES {
        let world = World::new(kind, Driver::Stepwise, |config| {
            config.set("accepts_token", "session_token,api_key").unwrap();
        });
        world.sim.put_user(ada(1, json!({})));
        world.sim.update(|state| {
            state.api_keys.insert("ak_ada".into(), json!({"id": "ak_1", "subject": ADA}));
        });
        assert_eq!(world.sign_in(&world.a, ADA), "in verified");
        // B has just fetched Ada; her first attempt there has not ended.
        let mut pending = begin(&world.b, "ak_ada");
        world.sim.put_user(ada(2, json!({"banned": true})));
        let _ = world.update(&world.a, &ada(2, json!({"banned": true})));
        while let NextAction::QueryStore(request) = pending.next_action() {
            let request = request.clone();
            pending.submit(answer(&*world.b.store, &request));
        }
        // The key is invalidated while Clerk is asked about it again, and the user cannot be fetched.
        if matches!(pending.next_action(), NextAction::FetchUser) {
            world.sim.fault(Fault::on("/api_keys/verify").delay_ms(200).times(1));
            world.sim.fault(Fault::on("/users/*").status(429));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(std::time::Duration::from_millis(80));
                    world.b.client.invalidate_token("ak_ada");
                });
                pending.fetch_user();
            });
        }
        while let NextAction::QueryStore(request) = pending.next_action() {
            let request = request.clone();
            pending.submit(answer(&*world.b.store, &request));
        }
        let outcome = word(&pending.into_result());
        assert!(!outcome.starts_with("in "), "{kind:?} {outcome}");
        let row = &world.rows()[0];
        assert!(!row.is_active && row.banned_by_clerk, "{kind:?}");
    }
}
