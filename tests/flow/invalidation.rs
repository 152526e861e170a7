//! A result of work that began before an invalidation is neither returned nor cached after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clerk_auth::internals::Config;
use clerk_auth::stepwise::{AuthProgress, NextAction, PendingAuth};
use clerk_auth::users::{Row, StoreRequest};
use clerk_auth::{Request, UserMode, WebhookHeaders, WebhookOutcome};
use clerk_sim::webhook::WebhookSpec;
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Fault, TokenSpec};
use serde_json::{Value, json};

use super::common::table::{Fault as StoreFault, FaultyStore, answer};
use super::common::{Fixture, pem, word};

fn user(id: &str, updated_at: i64, banned: bool) -> Value {
    json!({"id": id, "banned": banned, "updated_at": updated_at})
}

fn fixture(mode: UserMode, tune: impl FnOnce(&mut Config)) -> (Fixture, Arc<FaultyStore>) {
    let store = Arc::new(FaultyStore::new(StoreFault::None));
    let sim = clerk_sim::Sim::start();
    let key = pem(&sim);
    sim.put_user(user("user_1", 1_700_000_000_000, false));
    sim.put_user(user("user_2", 1_700_000_000_000, false));
    let fixture = Fixture::build(sim, Some(store.clone()), |config| {
        config.jwt_key = key;
        config.user_mode = Some(mode);
        config.set("webhook_secrets", DEFAULT_WEBHOOK_SECRET).unwrap();
        tune(config);
    });
    (fixture, store)
}

/// Delivers an event with this object.
fn deliver(fixture: &Fixture, kind: &str, data: Value) {
    let spec = WebhookSpec { timestamp: Some(fixture.time.now_s()), data: Some(data), ..WebhookSpec::new(kind, "") };
    let delivery = fixture.sim.webhook(&spec).unwrap();
    let mut headers = WebhookHeaders::default();
    for (name, value) in &delivery.headers {
        headers.header(name.as_bytes(), value.as_bytes());
    }
    assert_eq!(fixture.client.handle_webhook(&headers, delivery.body.as_bytes()), WebhookOutcome::Applied);
}

fn ban(fixture: &Fixture) {
    fixture.sim.put_user(user("user_1", 1_700_000_001_000, true));
    deliver(fixture, "user.updated", user("user_1", 1_700_000_001_000, true));
}

/// Delays the next response for this path and makes it stale: created before the delay, sent after it.
fn slow_answer(fixture: &Fixture, path: &str, body: Value) {
    fixture.sim.fault(Fault::on(path).status(200).body(body).delay_ms(400).times(1));
}

fn wait_for_request(fixture: &Fixture, path: &str) {
    while fixture.sim.requests(path) == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn fetch_begun_before_a_ban_is_rejected_for_joiners_too() {
    for mode in [UserMode::Profile, UserMode::Sync] {
        let (fixture, _) = fixture(mode, |_| {});
        slow_answer(&fixture, "/users/user_1", user("user_1", 1_700_000_000_000, false));
        let tokens: Vec<String> = (0..8).map(|_| fixture.token("user_1")).collect();
        std::thread::scope(|scope| {
            let asking: Vec<_> = tokens.iter().map(|token| scope.spawn(|| fixture.ask(token))).collect();
            wait_for_request(&fixture, "/users/user_1");
            std::thread::sleep(std::time::Duration::from_millis(50));
            ban(&fixture);
            for outcome in asking {
                assert_eq!(outcome.join().unwrap(), "out user-inactive", "{mode:?}");
            }
        });
        assert_eq!(fixture.client.stats().cached_tokens, 0);
        assert_eq!(fixture.ask(&tokens[0]), "out user-inactive");
        // The event holds the whole user, but a new row needs a fetched one.
        let fetches = if mode == UserMode::Sync { 2 } else { 1 };
        assert_eq!(fixture.sim.requests("/users/user_1"), fetches, "{mode:?}");
    }
}

#[test]
fn request_during_an_invalidation_does_not_join_the_older_fetch() {
    let (fixture, _) = fixture(UserMode::Profile, |_| {});
    slow_answer(&fixture, "/users/user_1", user("user_1", 1_700_000_000_000, true));
    std::thread::scope(|scope| {
        let older = scope.spawn(|| fixture.authenticate_new("user_1"));
        wait_for_request(&fixture, "/users/user_1");
        fixture.client.invalidate_user("user_1");
        assert_eq!(fixture.authenticate_new("user_1"), "in verified");
        assert!(!older.is_finished());
        assert_eq!(older.join().unwrap(), "in verified");
    });
    assert_eq!(fixture.sim.requests("/users/user_1"), 2);
}

#[test]
fn user_created_during_lookup_is_not_cached_as_missing() {
    let (fixture, _) = fixture(UserMode::Profile, |_| {});
    fixture.sim.fault(Fault::on("/users/user_3").status(404).delay_ms(400).times(1));
    std::thread::scope(|scope| {
        let early = scope.spawn(|| fixture.authenticate_new("user_3"));
        wait_for_request(&fixture, "/users/user_3");
        fixture.sim.put_user(user("user_3", 1, false));
        fixture.client.invalidate_user("user_3");
        assert_eq!(early.join().unwrap(), "out user-not-found");
    });
    assert_eq!(fixture.authenticate_new("user_3"), "in verified");
}

#[test]
fn other_users_keep_their_cache_entries_and_fetches() {
    let (fixture, _) = fixture(UserMode::Profile, |_| {});
    let cached = fixture.token("user_2");
    assert_eq!(fixture.ask(&cached), "in verified");
    slow_answer(&fixture, "/users/user_3", user("user_3", 1, false));
    let token = fixture.token("user_3");
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| fixture.ask(&token));
        wait_for_request(&fixture, "/users/user_3");
        for i in 0..100 {
            deliver(&fixture, "user.updated", user(&format!("user_other{i}"), i, false));
        }
        assert_eq!(asking.join().unwrap(), "in verified");
    });
    assert_eq!([fixture.ask(&cached), fixture.ask(&token)], ["in cache", "in cache"]);
    assert_eq!(fixture.sim.requests("/users/*"), 2);
}

#[test]
fn session_check_begun_before_the_end_is_discarded() {
    for by_webhook in [true, false] {
        let (fixture, _) = fixture(UserMode::Claims, |config| config.session_check_ttl_s = 3600);
        let active = json!({"id": "sess_1", "user_id": "user_1", "status": "active"});
        fixture.sim.put_session(active.clone());
        slow_answer(&fixture, "/sessions/sess_1", active);
        let token = fixture.mint(&TokenSpec::session("user_1").sid("sess_1").exp_in(7200));
        let ended = json!({"id": "sess_1", "user_id": "user_1", "status": "ended"});
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| fixture.ask(&token));
            wait_for_request(&fixture, "/sessions/sess_1");
            fixture.sim.put_session(ended.clone());
            match by_webhook {
                true => deliver(&fixture, "session.ended", ended),
                false => fixture.client.invalidate_session("sess_1"),
            }
            assert_eq!(asking.join().unwrap(), "out session-revoked");
        });
        fixture.time.advance_s(3000);
        assert_eq!(fixture.ask(&token), "out session-revoked");
        assert_eq!(fixture.sim.requests("/sessions/sess_1"), if by_webhook { 1 } else { 2 });
    }
}

#[test]
fn session_that_became_pending_is_checked_again() {
    let (fixture, _) = fixture(UserMode::Claims, |config| {
        config.session_check_ttl_s = 3600;
        config.treat_pending_as_signed_out = true;
    });
    fixture.sim.put_session(json!({"id": "sess_1", "user_id": "user_1", "status": "active"}));
    let token = fixture.mint(&TokenSpec::session("user_1").sid("sess_1"));
    assert_eq!([fixture.ask(&token), fixture.ask(&token)], ["in verified", "in cache"]);
    let pending = json!({"id": "sess_1", "user_id": "user_1", "status": "pending"});
    fixture.sim.put_session(pending.clone());
    deliver(&fixture, "session.pending", pending);
    assert_eq!(fixture.ask(&token), "out session-revoked");
}

/// Clerk's first verification of an API key is slow and accepts it. Returns also the response after its revocation.
fn slow_api_key() -> (Fixture, Value) {
    let (fixture, _) = fixture(UserMode::Claims, |config| {
        config.set("accepts_token", "api_key").unwrap();
        config.machine_cache_ttl_s = 3600;
    });
    let key = |revoked: bool| json!({"object": "api_key", "id": "ak_1", "subject": "user_1", "revoked": revoked, "expired": false});
    slow_answer(&fixture, "/api_keys/verify", key(false));
    (fixture, key(true))
}

#[test]
fn opaque_token_is_verified_again_after_invalidation() {
    let (fixture, revoked) = slow_api_key();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| fixture.ask("ak_secret"));
        wait_for_request(&fixture, "/api_keys/verify");
        fixture.sim.fault(Fault::on("/api_keys/verify").status(200).body(revoked));
        fixture.client.invalidate_token("ak_secret");
        assert_eq!(asking.join().unwrap(), "out token-invalid");
    });
    assert_eq!((fixture.ask("ak_secret").as_str(), fixture.client.stats().cached_tokens), ("out token-invalid", 0));
}

fn begin(fixture: &Fixture, token: &str) -> PendingAuth {
    let line = format!("Bearer {token}");
    match fixture.client.begin(Request::new().header(b"Authorization", line.as_bytes())) {
        AuthProgress::Pending(pending) => *pending,
        AuthProgress::Done(result) => panic!("{result:?}"),
    }
}

fn finish(mut pending: PendingAuth, store: &FaultyStore) -> String {
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
    let (fixture, store) = fixture(UserMode::Sync, |_| {});
    let token = fixture.token("user_1");
    assert_eq!(fixture.ask(&token), "in verified");
    let pending = begin(&fixture, &token);
    assert!(matches!(pending.next_action(), NextAction::QueryStore(StoreRequest::FindByKey { .. })));
    let before = store.table.rows();
    ban(&fixture);
    // The store returns the row as it was at the time of the query.
    let mut pending = pending;
    pending.submit(Ok(clerk_auth::users::StoreResponse::Rows(before)));
    assert_eq!(finish(pending, &store), "out user-inactive");
    assert!(!store.table.rows()[0].is_active);
    assert_eq!(fixture.ask(&token), "out user-inactive");
}

#[test]
fn sync_begun_before_an_update_does_not_write_old_data() {
    let named = |name: &str, at: i64| json!({"id": "user_1", "first_name": name, "updated_at": at});
    // The event arrives during the first request, then during the second.
    for steps in 0..2 {
        let (fixture, store) = fixture(UserMode::Sync, |_| {});
        let own = Row { key: "1".into(), clerk_id: Some("user_1".into()), is_active: true, ..Row::default() };
        store.table.change(|rows| rows.push(own));
        fixture.sim.put_user(named("Old", 1_700_000_001_000));
        let mut pending = begin(&fixture, &fixture.token("user_1"));
        let answer_one = |pending: &mut PendingAuth| match pending.next_action() {
            NextAction::QueryStore(request) => {
                let response = answer(&*store, request);
                pending.submit(response);
            }
            other => panic!("{other:?}"),
        };
        (0..steps).for_each(|_| answer_one(&mut pending));
        deliver(&fixture, "user.updated", named("New", 1_700_000_002_000));
        assert_eq!(finish(pending, &store), "in verified");
        assert_eq!(store.table.rows()[0].first_name.as_deref(), Some("New"), "{steps}");
    }
}

#[test]
fn stepwise_restart_fetches_the_user_if_it_is_not_cached() {
    let (fixture, store) = fixture(UserMode::Sync, |_| {});
    let mut pending = begin(&fixture, &fixture.token("user_1"));
    fixture.client.invalidate_user("user_1");
    if let NextAction::QueryStore(request) = pending.next_action() {
        let response = answer(&*store, request);
        pending.submit(response);
    }
    assert!(matches!(pending.next_action(), NextAction::FetchUser));
    fixture.sim.patch_user("user_1", json!({"banned": true})).unwrap();
    assert_eq!(finish(pending, &store), "out user-inactive");
}

#[test]
fn attempt_invalidated_repeatedly_is_unavailable() {
    let (fixture, store) = fixture(UserMode::Sync, |_| {});
    let mut pending = begin(&fixture, &fixture.token("user_1"));
    let mut rounds = 0;
    while !matches!(pending.next_action(), NextAction::Done) {
        fixture.client.invalidate_user("user_1");
        match pending.next_action() {
            NextAction::QueryStore(request) => {
                let response = answer(&*store, request);
                pending.submit(response);
            }
            _ => pending.fetch_user(),
        }
        rounds += 1;
        assert!(rounds < 200);
    }
    assert_eq!(word(&pending.into_result()), "unavailable server-error");
    assert_eq!(fixture.client.stats().cached_tokens, 0);
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
}

#[test]
fn no_thread_is_signed_in_after_an_acknowledged_ban() {
    for mode in [UserMode::Profile, UserMode::Sync] {
        let (fixture, _) = fixture(mode, |config| config.user_ttl_s = 0);
        // Odd from the acknowledgement of a ban until it begins to be lifted.
        let (phase, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (late, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let tokens: Vec<String> = (0..4).map(|_| fixture.token("user_1")).collect();
        std::thread::scope(|scope| {
            for token in &tokens {
                let (fixture, phase, stop, late, asked) = (&fixture, &phase, &stop, &late, &asked);
                scope.spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        let before = phase.load(Ordering::SeqCst);
                        let is_in = fixture.ask(token).starts_with("in ");
                        let is_banned = before % 2 == 1 && phase.load(Ordering::SeqCst) == before;
                        asked.fetch_add(1, Ordering::SeqCst);
                        late.fetch_add(usize::from(is_in && is_banned), Ordering::SeqCst);
                    }
                });
            }
            for round in 0..60_i64 {
                let at = 1_700_000_001_000 + round * 10;
                fixture.sim.put_user(user("user_1", at, true));
                deliver(&fixture, "user.updated", user("user_1", at, true));
                phase.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(5));
                phase.fetch_add(1, Ordering::SeqCst);
                fixture.sim.put_user(user("user_1", at + 5, false));
                deliver(&fixture, "user.updated", user("user_1", at + 5, false));
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            stop.store(true, Ordering::SeqCst);
        });
        assert_eq!(late.load(Ordering::SeqCst), 0, "{mode:?}, of {}", asked.load(Ordering::SeqCst));
        assert!(asked.load(Ordering::SeqCst) > 100);
    }
}

#[test]
fn ban_that_the_store_could_not_write_rejects_during_an_outage() {
    let (fixture, store) = fixture(UserMode::Sync, |_| {});
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    store.set(StoreFault::Fails("update"));
    let data = user("user_1", 1_700_000_001_000, true);
    fixture.sim.put_user(data.clone());
    let spec =
        WebhookSpec { timestamp: Some(fixture.time.now_s()), data: Some(data), ..WebhookSpec::new("user.updated", "") };
    let delivery = fixture.sim.webhook(&spec).unwrap();
    let mut headers = WebhookHeaders::default();
    delivery.headers.iter().for_each(|(name, value)| {
        headers.header(name.as_bytes(), value.as_bytes());
    });
    let outcome = fixture.client.handle_webhook(&headers, delivery.body.as_bytes());
    assert!(matches!(outcome, WebhookOutcome::Failed(_)), "{outcome:?}");
    store.set(StoreFault::None);
    fixture.sim.fault(Fault::on("/users/*").status(429));
    for _ in 0..2 {
        assert_eq!(fixture.authenticate_new("user_1"), "out user-inactive");
        fixture.time.advance_s(3000);
    }
}

#[test]
fn joiner_of_a_verification_from_before_an_invalidation_verifies_again() {
    let (fixture, revoked) = slow_api_key();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| fixture.ask("ak_secret"));
        wait_for_request(&fixture, "/api_keys/verify");
        fixture.sim.fault(Fault::on("/api_keys/verify").status(200).body(revoked));
        fixture.client.invalidate_user("user_1");
        let second = scope.spawn(|| fixture.ask("ak_secret"));
        let outcomes = [first.join().unwrap(), second.join().unwrap()];
        assert_eq!(outcomes, ["out token-invalid", "out token-invalid"]);
    });
    assert_eq!(fixture.ask("ak_secret"), "out token-invalid");
}
