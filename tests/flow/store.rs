//! User stores that fail, conflict or return wrong rows, and stepwise authentications.

use std::error::Error as _;
use std::sync::Arc;

use clerk_auth::Request;
use clerk_auth::internals::Config;
use clerk_auth::stepwise::{AuthProgress, NextAction};
use clerk_auth::users::{Row, StoreError, StoreRequest, StoreResponse};
use serde_json::json;

use super::common::table::{Fault, FaultyStore, Table};
use super::common::{Fixture, auth_events, bearer, client, inline, stepwise, word};

fn fixture(store: &Arc<FaultyStore>, tune: impl FnOnce(&mut Config)) -> Fixture {
    let fixture = Fixture::with_store(store.clone(), tune);
    fixture.sim.put_user(json!({"id": "user_1", "username": "ada", "first_name": "Ada",
        "email_addresses": ["ada@example.com"], "primary_email_address_id": "idn_0001"}));
    fixture
}

/// Threat H2.
#[test]
fn faulty_store_rejects_and_caches_nothing() {
    for (fault, outcome) in [
        (Fault::Fails("find_by_clerk_id"), "unavailable store-error"),
        (Fault::Fails("find_by_email"), "unavailable store-error"),
        (Fault::Fails("username_taken"), "unavailable store-error"),
        (Fault::Fails("begin"), "unavailable store-error"),
        (Fault::Fails("create"), "unavailable store-error"),
        (Fault::Fails("commit"), "unavailable store-error"),
        (Fault::EmptyKey, "unavailable store-error"),
        (Fault::Conflicts, "unavailable store-error"),
        (Fault::OtherRowById, "out link-conflict"),
    ] {
        let store = Arc::new(FaultyStore::new(fault));
        let fixture = fixture(&store, |_| {});
        let token = fixture.token("user_1");
        for _ in 0..2 {
            assert_eq!(fixture.ask(&token), outcome, "{fault:?}");
        }
        assert_eq!(auth_events(&fixture.event_log.take()), 2, "{fault:?}");
        assert_eq!(fixture.client.stats().cached_tokens, 0, "{fault:?}");
        assert_eq!(inline(&fixture.client, &token), None, "{fault:?}");
        store.set(Fault::None);
        assert_eq!(fixture.ask(&token), "in verified", "{fault:?}");
    }
}

#[test]
fn username_falls_back_to_clerk_id() {
    let store = Arc::new(FaultyStore::new(Fault::AllNamesTaken));
    let fixture = fixture(&store, |_| {});
    // The last candidate is the Clerk id, which is unique; the table's constraint decides.
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
}

/// A user that was fetched after the application received the request counts as fetched for it, wherever it waited.
#[test]
fn marked_request_shares_the_fetch_that_ended_after_its_mark() {
    let store = Arc::new(FaultyStore::new(Fault::None));
    let fixture = fixture(&store, |_| {});
    let line = |user: &str| format!("Bearer {}", fixture.token(user));
    let mark = fixture.client.mark();
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    for (mark, calls) in [(Some(mark), 0), (Some(fixture.client.mark()), 1), (Some(u64::MAX), 1), (None, 1)] {
        store.table.change(Vec::clear);
        let (before, line) = (fixture.calls(), line("user_1"));
        let mut request = Request::new();
        request.header(b"Authorization", line.as_bytes());
        if let Some(mark) = mark {
            request.mark(mark);
        }
        assert_eq!(word(&fixture.client.authenticate(&request)), "in verified");
        assert_eq!(fixture.calls() - before, calls, "{mark:?}");
        assert_eq!(store.table.rows().len(), 1);
    }
}

#[test]
fn failing_update_rejects_until_it_succeeds() {
    let store = Arc::new(FaultyStore::new(Fault::None));
    let fixture = fixture(&store, |config| config.user_ttl_s = 0);
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    fixture.sim.patch_user("user_1", json!({"first_name": "Augusta"})).unwrap();
    store.set(Fault::Fails("update"));
    assert_eq!(fixture.authenticate_new("user_1"), "unavailable store-error");
    store.set(Fault::Conflicts);
    assert_eq!(fixture.authenticate_new("user_1"), "unavailable store-error");
    store.set(Fault::None);
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    assert_eq!(store.table.rows()[0].first_name.as_deref(), Some("Augusta"));
}

/// Threat H2.
#[test]
fn faulty_recheck_rejects() {
    let store = Arc::new(FaultyStore::new(Fault::None));
    let fixture = fixture(&store, |_| {});
    let token = fixture.token("user_1");
    assert_eq!([fixture.ask(&token), fixture.ask(&token)], ["in verified", "in cache"]);
    store.set(Fault::Fails("find_by_key"));
    assert_eq!(
        [fixture.ask(&token), fixture.authenticate_new("user_1")],
        ["unavailable store-error", "unavailable store-error"]
    );
    store.set(Fault::None);
    assert_eq!(fixture.ask(&token), "in cache");
    store.set(Fault::OtherRowByKey);
    // Another user's row is ignored: the user's own row is looked up by Clerk id.
    assert_eq!(fixture.ask(&token), "in verified");
    let answer = bearer(&fixture.client, &fixture.token("user_1"));
    assert_eq!(answer.identity().unwrap().subject(), "user_1");
    assert_eq!(store.table.rows().len(), 1);
}

#[test]
fn store_error_message_is_in_the_cause_only() {
    let store = Arc::new(FaultyStore::new(Fault::Fails("create")));
    let fixture = fixture(&store, |_| {});
    let answer = bearer(&fixture.client, &fixture.token("user_1"));
    let error = answer.error().unwrap();
    assert_eq!((error.store_code(), error.is_unavailable()), (Some(7), true));
    assert!(error.source().unwrap().to_string().contains("disk full") && !error.to_string().contains("disk"));
    assert!(!fixture.event_log.take().concat().contains("disk"));
}

#[test]
fn stepwise_result_equals_blocking_result() {
    let fixture = || {
        let table = Arc::new(Table::default());
        let fixture = Fixture::with_store(table.clone(), |config| config.user_ttl_s = 60);
        fixture.sim.put_user(json!({"id": "user_1", "username": "ada", "first_name": "Ada",
            "email_addresses": ["ada@example.com"], "primary_email_address_id": "idn_0001"}));
        fixture.sim.put_user(json!({"id": "user_2", "username": "ADA", "banned": true}));
        let own = Row {
            key: "50".into(),
            email: Some("Ada@example.com".into()),
            username: Some("boss".into()),
            is_active: true,
            ..Row::default()
        };
        table.change(|rows| rows.push(own));
        (table, fixture)
    };
    let ((table_1, by_client), (table_2, by_steps)) = (fixture(), fixture());
    let mut history = Vec::new();
    let mut both = |user: &str, fresh: bool| {
        if fresh || history.is_empty() {
            history.push(by_client.token(user));
        }
        let token = history.last().unwrap();
        let one = by_client.ask(token);
        assert_eq!(stepwise(&by_steps.client, token, &*table_2), one);
        assert_eq!(by_client.event_log.take(), by_steps.event_log.take());
        let without_keys = |table: &Table| -> Vec<Row> {
            table.rows().into_iter().map(|row| Row { key: String::new(), ..row }).collect()
        };
        assert_eq!(without_keys(&table_1), without_keys(&table_2));
        one
    };
    assert_eq!(both("user_1", true), "in verified");
    assert_eq!(both("user_1", false), "in cache");
    assert_eq!(both("user_1", true), "in verified");
    assert_eq!(both("user_2", true), "out user-inactive");
    assert_eq!(both("user_1", true), "in verified");
    let change = |change: fn(&mut Vec<Row>)| [&table_1, &table_2].iter().for_each(|table| table.change(change));
    change(|rows| rows[0].is_active = false);
    assert_eq!(both("user_1", false), "out user-inactive");
    change(|rows| rows[0].is_active = true);
    assert_eq!(both("user_1", true), "in verified");
    change(|rows| drop(rows.remove(0)));
    assert_eq!(both("user_1", false), "in verified");
    for fixture in [&by_client, &by_steps] {
        fixture.sim.delete_user("user_1");
        fixture.time.advance_s(59);
    }
    change(Vec::clear);
    assert_eq!(both("user_1", true), "out user-not-found", "no row is created from memory");
    [&by_client, &by_steps].iter().for_each(|fixture| fixture.time.advance_s(1));
    assert_eq!(both("user_1", true), "out user-not-found");
    assert_eq!(by_client.calls(), by_steps.calls());
}

#[test]
fn response_of_another_kind_is_a_store_error() {
    let replies = [
        StoreResponse::Updated,
        StoreResponse::Taken(false),
        StoreResponse::Created("1".into()),
        StoreResponse::Conflict,
        StoreResponse::Rows(vec![Row::default(), Row::default()]),
        StoreResponse::Rows(vec![Row {
            key: "1".into(),
            clerk_id: Some("user_2".into()),
            is_active: true,
            ..Row::default()
        }]),
    ];
    for reply in replies {
        let fixture = Fixture::with_store(Arc::new(Table::default()), |_| {});
        fixture.sim.put_user(json!({"id": "user_1"}));
        let line = format!("Bearer {}", fixture.token("user_1"));
        let mut request = Request::new();
        request.header(b"Authorization", line.as_bytes());
        let AuthProgress::Pending(mut pending) = fixture.client.begin(&request) else { panic!("a store is asked") };
        pending.submit(Ok(reply.clone()));
        // Calls after the end change nothing.
        pending.submit(Ok(StoreResponse::Updated));
        pending.fetch_user();
        assert!(matches!(pending.next_action(), NextAction::Done), "{reply:?}");
        let outcome = word(&pending.into_result());
        assert!(["unavailable store-error", "out link-conflict"].contains(&outcome.as_str()), "{reply:?} {outcome}");
        assert_eq!(auth_events(&fixture.event_log.take()), 1);
        assert_eq!(fixture.client.stats().cached_tokens, 0);
    }
}

#[test]
fn recheck_response_of_another_kind_is_a_store_error() {
    for is_cached in [true, false] {
        for reply in [
            StoreResponse::Updated,
            StoreResponse::Taken(true),
            StoreResponse::Created("1".into()),
            StoreResponse::Conflict,
        ] {
            let fixture = Fixture::with_store(Arc::new(Table::default()), |_| {});
            fixture.sim.put_user(json!({"id": "user_1"}));
            let token = fixture.token("user_1");
            assert_eq!(fixture.ask(&token), "in verified");
            fixture.event_log.take();
            let line = format!("Bearer {}", if is_cached { token } else { fixture.token("user_1") });
            let mut request = Request::new();
            request.header(b"Authorization", line.as_bytes());
            let AuthProgress::Pending(mut pending) = fixture.client.begin(&request) else { panic!("a store is asked") };
            assert!(matches!(pending.next_action(), NextAction::QueryStore(StoreRequest::FindByKey { .. })));
            pending.submit(Ok(reply));
            assert!(matches!(pending.next_action(), NextAction::Done));
            assert_eq!(word(&pending.into_result()), "unavailable store-error");
            assert_eq!(auth_events(&fixture.event_log.take()), 1);
        }
    }
}

#[test]
fn abandoned_authentication_is_unavailable_with_one_event() {
    let fixture = Fixture::with_store(Arc::new(Table::default()), |_| {});
    fixture.sim.put_user(json!({"id": "user_1"}));
    let line = format!("Bearer {}", fixture.token("user_1"));
    let mut request = Request::new();
    request.header(b"Authorization", line.as_bytes());
    let AuthProgress::Pending(pending) = fixture.client.begin(&request) else { panic!("a store is asked") };
    assert_eq!(word(&pending.into_result()), "unavailable store-error");
    assert_eq!(auth_events(&fixture.event_log.take()), 1);
    let AuthProgress::Pending(mut pending) = fixture.client.begin(&request) else { panic!("a store is asked") };
    pending.submit(Err(StoreError::Conflict));
    assert_eq!(word(&pending.into_result()), "unavailable store-error");
}

#[test]
fn store_is_queried_again_after_row_check_ttl() {
    let table = Arc::new(Table::default());
    let fixture = Fixture::with_store(table.clone(), |config| config.row_check_ttl_s = 10);
    fixture.sim.put_user(json!({"id": "user_1"}));
    let token = fixture.token("user_1");
    assert_eq!(fixture.ask(&token), "in verified");
    let asked = table.asked();
    fixture.time.advance_ms(9_999);
    assert_eq!(inline(&fixture.client, &token).unwrap(), "in cache");
    assert_eq!(inline(&fixture.client, &fixture.token("user_1")).unwrap(), "in verified");
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    assert_eq!(table.asked(), asked);
    fixture.time.advance_ms(1);
    assert_eq!(inline(&fixture.client, &token), None);
    assert_eq!(inline(&fixture.client, &fixture.token("user_1")), None);
    assert_eq!(fixture.ask(&token), "in cache");
    assert_eq!(table.asked(), asked + 1);
    assert_eq!(inline(&fixture.client, &token).unwrap(), "in cache");
}

#[test]
fn row_confirmation_is_never_older_than_row_check_ttl() {
    let table = Arc::new(Table::default());
    let fixture = Fixture::with_store(table.clone(), |config| config.row_check_ttl_s = 10);
    fixture.sim.put_user(json!({"id": "user_1"}));
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    table.change(|rows| rows[0].is_active = false);
    fixture.time.advance_s(9);
    // Accepted because the row was confirmed nine seconds ago; this confirmation expires in one second, also for this token.
    let token = fixture.token("user_1");
    assert_eq!(fixture.ask(&token), "in verified");
    fixture.time.advance_s(1);
    assert_eq!(fixture.ask(&token), "out user-inactive");
}

#[test]
fn deactivated_row_stays_rejected_within_row_check_ttl() {
    let table = Arc::new(Table::default());
    let fixture = Fixture::with_store(table.clone(), |config| config.row_check_ttl_s = 10);
    fixture.sim.put_user(json!({"id": "user_1"}));
    let token = fixture.token("user_1");
    assert_eq!(fixture.ask(&token), "in verified");
    fixture.time.advance_s(10);
    table.change(|rows| rows[0].is_active = false);
    for _ in 0..3 {
        assert_eq!(fixture.authenticate_new("user_1"), "out user-inactive");
        assert_eq!(fixture.ask(&token), "out user-inactive");
    }
}

#[test]
fn row_confirmation_counts_for_all_tokens_of_a_user() {
    for gone in [false, true] {
        let table = Arc::new(Table::default());
        let fixture = Fixture::with_store(table.clone(), |config| config.row_check_ttl_s = 10);
        fixture.sim.put_user(json!({"id": "user_1"}));
        let old = fixture.token("user_1");
        assert_eq!(fixture.ask(&old), "in verified");
        fixture.time.advance_s(10);
        assert_eq!(fixture.authenticate_new("user_1"), "in verified");
        table.change(|rows| if gone { rows.clear() } else { rows[0].is_active = false });
        fixture.time.advance_s(1);
        let outcome = if gone { "in verified" } else { "out user-inactive" };
        assert_eq!(fixture.ask(&old), outcome, "gone: {gone}");
        assert_eq!(fixture.authenticate_new("user_1"), outcome, "gone: {gone}");
        assert_eq!(table.rows().len(), 1);
    }
}

#[test]
fn two_clients_of_one_table_use_the_same_row() {
    let table = Arc::new(Table::default());
    let fixture = Fixture::with_store(table.clone(), |_| {});
    fixture.sim.put_user(json!({"id": "user_1", "username": "ada"}));
    let other = client(&fixture.sim, &fixture.time, &fixture.event_log, Some(table.clone()), |_| {});
    let users: Vec<String> = std::thread::scope(|scope| {
        let ask = |n: usize| {
            let client = [&fixture.client, &other][n % 2];
            let token = fixture.token("user_1");
            scope.spawn(move || word(&bearer(client, &token)))
        };
        let running: Vec<_> = (0..16).map(ask).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(users.iter().all(|outcome| outcome == "in verified"), "{users:?}");
    assert_eq!(table.rows().len(), 1);
    // One for each client, and one more for requests that began between the first fetch and the creation of the row.
    assert!(fixture.sim.requests("/users/user_1") <= 4);
}

#[test]
fn result_without_its_row_counts_as_a_miss() {
    let store = Arc::new(FaultyStore::new(Fault::None));
    let fixture = fixture(&store, |_| {});
    let token = fixture.token("user_1");
    let mut events = Vec::new();
    for is_gone in [false, false, true] {
        if is_gone {
            store.table.change(Vec::clear);
        }
        fixture.ask(&token);
        events.extend(fixture.event_log.take().into_iter().filter(|e| e == "cache_miss" || e.starts_with("auth_")));
    }
    let expected = ["cache_miss", "auth_success verified", "auth_success cache", "cache_miss", "auth_success verified"];
    assert_eq!(events, expected);
    assert_eq!(store.table.rows().len(), 1);
}
