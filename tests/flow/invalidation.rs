//! Whatever was begun before an invalidation is neither returned nor cached after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clerk_auth::client::{AuthProgress, NextAction, PendingAuth, WebhookOutcome};
use clerk_auth::config::UserMode;
use clerk_auth::users::{Row, StoreRequest};
use clerk_auth::webhooks::Headers;
use clerk_auth::{Config, Request};
use clerk_sim::webhook::WebhookSpec;
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Fault, TokenSpec};
use serde_json::{Value, json};

use super::common::table::{Broken, Fault as StoreFault, answer};
use super::common::{Rig, pem, word};

fn user(id: &str, updated_at: i64, banned: bool) -> Value {
    json!({"id": id, "banned": banned, "updated_at": updated_at})
}

fn rig(mode: UserMode, tune: impl FnOnce(&mut Config)) -> (Rig, Arc<Broken>) {
    let store = Arc::new(Broken::new(StoreFault::None));
    let sim = clerk_sim::Sim::start();
    let key = pem(&sim);
    sim.put_user(user("user_1", 1_700_000_000_000, false));
    sim.put_user(user("user_2", 1_700_000_000_000, false));
    let rig = Rig::build(sim, Some(store.clone()), |config| {
        config.jwt_key = key;
        config.user_mode = Some(mode);
        config.set("webhook_secrets", DEFAULT_WEBHOOK_SECRET).unwrap();
        tune(config);
    });
    (rig, store)
}

/// Delivers an event with this object.
fn deliver(rig: &Rig, kind: &str, data: Value) {
    let spec = WebhookSpec { timestamp: Some(rig.time.now_s()), data: Some(data), ..WebhookSpec::new(kind, "") };
    let delivery = rig.sim.webhook(&spec).unwrap();
    let mut headers = Headers::default();
    delivery.headers.iter().for_each(|(name, value)| headers.header(name.as_bytes(), value.as_bytes()));
    assert_eq!(rig.client.handle_webhook(&headers, delivery.body.as_bytes()), WebhookOutcome::Applied);
}

fn ban(rig: &Rig) {
    rig.sim.put_user(user("user_1", 1_700_000_001_000, true));
    deliver(rig, "user.updated", user("user_1", 1_700_000_001_000, true));
}

/// Makes the next answer about this path slow, and old: as it was before everything that happens meanwhile.
fn slow_answer(rig: &Rig, path: &str, body: Value) {
    rig.sim.fault(Fault::on(path).status(200).body(body).delay_ms(400).times(1));
}

fn wait_for_request(rig: &Rig, path: &str) {
    while rig.sim.requests(path) == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn fetch_begun_before_a_ban_signs_nobody_in_joiners_included() {
    for mode in [UserMode::Profile, UserMode::Sync] {
        let (rig, _) = rig(mode, |_| {});
        slow_answer(&rig, "/users/user_1", user("user_1", 1_700_000_000_000, false));
        let tokens: Vec<String> = (0..8).map(|_| rig.token("user_1")).collect();
        std::thread::scope(|scope| {
            let asking: Vec<_> = tokens.iter().map(|token| scope.spawn(|| rig.ask(token))).collect();
            wait_for_request(&rig, "/users/user_1");
            std::thread::sleep(std::time::Duration::from_millis(50));
            ban(&rig);
            for outcome in asking {
                assert_eq!(outcome.join().unwrap(), "out user-inactive", "{mode:?}");
            }
        });
        assert_eq!(rig.client.stats().cached_tokens, 0);
        assert_eq!(rig.ask(&tokens[0]), "out user-inactive");
        assert_eq!(rig.sim.requests("/users/user_1"), 1, "the event holds the whole user");
    }
}

#[test]
fn request_during_an_invalidation_does_not_join_the_older_fetch() {
    let (rig, _) = rig(UserMode::Profile, |_| {});
    slow_answer(&rig, "/users/user_1", user("user_1", 1_700_000_000_000, true));
    std::thread::scope(|scope| {
        let older = scope.spawn(|| rig.ask_new("user_1"));
        wait_for_request(&rig, "/users/user_1");
        rig.client.invalidate_user("user_1");
        assert_eq!(rig.ask_new("user_1"), "in verified");
        assert!(!older.is_finished());
        assert_eq!(older.join().unwrap(), "in verified");
    });
    assert_eq!(rig.sim.requests("/users/user_1"), 2);
}

#[test]
fn user_created_while_being_looked_for_is_not_cached_as_missing() {
    let (rig, _) = rig(UserMode::Profile, |_| {});
    rig.sim.fault(Fault::on("/users/user_3").status(404).body(json!({})).delay_ms(400).times(1));
    std::thread::scope(|scope| {
        let early = scope.spawn(|| rig.ask_new("user_3"));
        wait_for_request(&rig, "/users/user_3");
        rig.sim.put_user(user("user_3", 1, false));
        rig.client.invalidate_user("user_3");
        assert_eq!(early.join().unwrap(), "out user-not-found");
    });
    assert_eq!(rig.ask_new("user_3"), "in verified");
}

#[test]
fn other_users_keep_their_cache_entries_and_fetches() {
    let (rig, _) = rig(UserMode::Profile, |_| {});
    let cached = rig.token("user_2");
    assert_eq!(rig.ask(&cached), "in verified");
    slow_answer(&rig, "/users/user_3", user("user_3", 1, false));
    let token = rig.token("user_3");
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| rig.ask(&token));
        wait_for_request(&rig, "/users/user_3");
        for i in 0..100 {
            deliver(&rig, "user.updated", user(&format!("user_other{i}"), i, false));
        }
        assert_eq!(asking.join().unwrap(), "in verified");
    });
    assert_eq!([rig.ask(&cached), rig.ask(&token)], ["in cache", "in cache"]);
    assert_eq!(rig.sim.requests("/users/*"), 2);
}

#[test]
fn session_check_begun_before_its_end_is_neither_returned_nor_cached() {
    for by_webhook in [true, false] {
        let (rig, _) = rig(UserMode::Claims, |config| config.session_check_ttl_s = 3600);
        let active = json!({"id": "sess_1", "user_id": "user_1", "status": "active"});
        rig.sim.put_session(active.clone());
        slow_answer(&rig, "/sessions/sess_1", active);
        let token = rig.mint(&TokenSpec::session("user_1").sid("sess_1").exp_in(7200));
        let ended = json!({"id": "sess_1", "user_id": "user_1", "status": "ended"});
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| rig.ask(&token));
            wait_for_request(&rig, "/sessions/sess_1");
            rig.sim.put_session(ended.clone());
            match by_webhook {
                true => deliver(&rig, "session.ended", ended),
                false => rig.client.invalidate_session("sess_1"),
            }
            assert_eq!(asking.join().unwrap(), "out session-revoked");
        });
        rig.time.pass_s(3000);
        assert_eq!(rig.ask(&token), "out session-revoked");
        assert_eq!(rig.sim.requests("/sessions/sess_1"), if by_webhook { 1 } else { 2 });
    }
}

#[test]
fn session_that_became_pending_is_checked_again() {
    let (rig, _) = rig(UserMode::Claims, |config| {
        config.session_check_ttl_s = 3600;
        config.treat_pending_as_signed_out = true;
    });
    rig.sim.put_session(json!({"id": "sess_1", "user_id": "user_1", "status": "active"}));
    let token = rig.mint(&TokenSpec::session("user_1").sid("sess_1"));
    assert_eq!([rig.ask(&token), rig.ask(&token)], ["in verified", "in cache"]);
    let pending = json!({"id": "sess_1", "user_id": "user_1", "status": "pending"});
    rig.sim.put_session(pending.clone());
    deliver(&rig, "session.pending", pending);
    assert_eq!(rig.ask(&token), "out session-revoked");
}

#[test]
fn opaque_token_verified_before_its_invalidation_is_verified_again() {
    let (rig, _) = rig(UserMode::Claims, |config| {
        config.set("accepts_token", "api_key").unwrap();
        config.machine_cache_ttl_s = 3600;
    });
    let key = json!({"object": "api_key", "id": "ak_1", "subject": "user_1", "revoked": false, "expired": false});
    slow_answer(&rig, "/api_keys/verify", key.clone());
    let mut revoked = key;
    revoked["revoked"] = json!(true);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| rig.ask("ak_secret"));
        wait_for_request(&rig, "/api_keys/verify");
        rig.sim.fault(Fault::on("/api_keys/verify").status(200).body(revoked));
        rig.client.invalidate_token("ak_secret");
        assert_eq!(asking.join().unwrap(), "out token-invalid");
    });
    assert_eq!((rig.ask("ak_secret").as_str(), rig.client.stats().cached_tokens), ("out token-invalid", 0));
}

fn begin(rig: &Rig, token: &str) -> PendingAuth {
    let line = format!("Bearer {token}");
    match rig.client.begin(Request::new().header(b"Authorization", line.as_bytes())) {
        AuthProgress::Pending(pending) => *pending,
        AuthProgress::Done(result) => panic!("{result:?}"),
    }
}

fn finish(mut pending: PendingAuth, store: &Broken) -> String {
    loop {
        match pending.next_action() {
            NextAction::QueryStore(request) => {
                let response = answer(store, request);
                pending.submit(response);
            }
            NextAction::FetchUser => pending.fetch_user(),
            NextAction::Done => return word(&pending.into_result()),
        }
    }
}

#[test]
fn recheck_begun_before_a_ban_is_refused() {
    let (rig, store) = rig(UserMode::Sync, |_| {});
    let token = rig.token("user_1");
    assert_eq!(rig.ask(&token), "in verified");
    let pending = begin(&rig, &token);
    assert!(matches!(pending.next_action(), NextAction::QueryStore(StoreRequest::FindByKey { .. })));
    let before = store.table.rows();
    ban(&rig);
    // The store still has what it had when it was asked.
    let mut pending = pending;
    pending.submit(Ok(clerk_auth::users::StoreResponse::Rows(before)));
    assert_eq!(finish(pending, &store), "out user-inactive");
    assert!(!store.table.rows()[0].is_active);
    assert_eq!(rig.ask(&token), "out user-inactive");
}

#[test]
fn synchronization_begun_before_an_update_does_not_write_its_old_snapshot() {
    let named = |name: &str, at: i64| json!({"id": "user_1", "first_name": name, "updated_at": at});
    // The event comes while the first question is open, then while the second is.
    for steps in 0..2 {
        let (rig, store) = rig(UserMode::Sync, |_| {});
        let own = Row { key: "1".into(), clerk_id: Some("user_1".into()), is_active: true, ..Row::default() };
        store.table.change(|rows| rows.push(own));
        rig.sim.put_user(named("Old", 1_700_000_001_000));
        let mut pending = begin(&rig, &rig.token("user_1"));
        let answer_one = |pending: &mut PendingAuth| match pending.next_action() {
            NextAction::QueryStore(request) => {
                let response = answer(&*store, request);
                pending.submit(response);
            }
            other => panic!("{other:?}"),
        };
        (0..steps).for_each(|_| answer_one(&mut pending));
        deliver(&rig, "user.updated", named("New", 1_700_000_002_000));
        assert_eq!(finish(pending, &store), "in verified");
        assert_eq!(store.table.rows()[0].first_name.as_deref(), Some("New"), "{steps}");
    }
}

#[test]
fn stepwise_restart_fetches_the_user_if_it_is_not_cached() {
    let (rig, store) = rig(UserMode::Sync, |_| {});
    let mut pending = begin(&rig, &rig.token("user_1"));
    rig.client.invalidate_user("user_1");
    if let NextAction::QueryStore(request) = pending.next_action() {
        let response = answer(&*store, request);
        pending.submit(response);
    }
    assert!(matches!(pending.next_action(), NextAction::FetchUser));
    rig.sim.patch_user("user_1", json!({"banned": true})).unwrap();
    assert_eq!(finish(pending, &store), "out user-inactive");
}

#[test]
fn attempt_that_is_invalidated_again_and_again_ends_as_unavailable() {
    let (rig, store) = rig(UserMode::Sync, |_| {});
    let mut pending = begin(&rig, &rig.token("user_1"));
    let mut rounds = 0;
    while !matches!(pending.next_action(), NextAction::Done) {
        rig.client.invalidate_user("user_1");
        match pending.next_action() {
            NextAction::QueryStore(request) => {
                let response = answer(&*store, request);
                pending.submit(response);
            }
            _ => pending.fetch_user(),
        }
        rounds += 1;
        assert!(rounds < 20);
    }
    assert_eq!(word(&pending.into_result()), "unavailable server-error");
    assert_eq!(rig.client.stats().cached_tokens, 0);
    assert_eq!(rig.ask_new("user_1"), "in verified");
}

#[test]
fn after_an_acknowledged_ban_no_thread_is_signed_in() {
    for mode in [UserMode::Profile, UserMode::Sync] {
        let (rig, _) = rig(mode, |config| config.user_ttl_s = 0);
        // Odd from the acknowledgement of a ban to the begin of its end.
        let (phase, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (late, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let tokens: Vec<String> = (0..4).map(|_| rig.token("user_1")).collect();
        std::thread::scope(|scope| {
            for token in &tokens {
                let (rig, phase, stop, late, asked) = (&rig, &phase, &stop, &late, &asked);
                scope.spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        let before = phase.load(Ordering::SeqCst);
                        let is_in = rig.ask(token).starts_with("in ");
                        let is_banned = before % 2 == 1 && phase.load(Ordering::SeqCst) == before;
                        asked.fetch_add(1, Ordering::SeqCst);
                        late.fetch_add(usize::from(is_in && is_banned), Ordering::SeqCst);
                    }
                });
            }
            for round in 0..60_i64 {
                let at = 1_700_000_001_000 + round * 10;
                rig.sim.put_user(user("user_1", at, true));
                deliver(&rig, "user.updated", user("user_1", at, true));
                phase.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(5));
                phase.fetch_add(1, Ordering::SeqCst);
                rig.sim.put_user(user("user_1", at + 5, false));
                deliver(&rig, "user.updated", user("user_1", at + 5, false));
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            stop.store(true, Ordering::SeqCst);
        });
        assert_eq!(late.load(Ordering::SeqCst), 0, "{mode:?}, of {}", asked.load(Ordering::SeqCst));
        assert!(asked.load(Ordering::SeqCst) > 100);
    }
}
