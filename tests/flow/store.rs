//! Hosts' user tables: those that fail, conflict and lie, and authentications whose steps the host takes itself.

use std::sync::Arc;

use clerk_auth::client::{AuthProgress, Cause, NextAction};
use clerk_auth::users::{Row, StoreError, StoreRequest, StoreResponse};
use clerk_auth::{Config, Request};
use serde_json::json;

use super::common::table::{Broken, Fault, Table};
use super::common::{Rig, bearer, by_hand, client, endings, inline, word};

fn rig(store: &Arc<Broken>, tune: impl FnOnce(&mut Config)) -> Rig {
    let rig = Rig::with_store(store.clone(), tune);
    rig.sim.put_user(json!({"id": "user_1", "username": "ada", "first_name": "Ada",
        "email_addresses": ["ada@example.com"], "primary_email_address_id": "idn_0001"}));
    rig
}

#[test]
fn h2_a_store_that_fails_conflicts_or_lies_signs_nobody_in_and_nothing_is_remembered() {
    for (fault, outcome) in [
        (Fault::Fails("find_by_clerk_id"), "unavailable store-error"),
        (Fault::Fails("find_by_email"), "unavailable store-error"),
        (Fault::Fails("username_taken"), "unavailable store-error"),
        (Fault::Fails("begin"), "unavailable store-error"),
        (Fault::Fails("create"), "unavailable store-error"),
        (Fault::Fails("commit"), "unavailable store-error"),
        (Fault::EmptyKey, "unavailable store-error"),
        (Fault::Conflicts, "out link-conflict"),
        (Fault::LiesAboutId, "out link-conflict"),
    ] {
        let store = Arc::new(Broken::new(fault));
        let rig = rig(&store, |_| {});
        let token = rig.token("user_1");
        for _ in 0..2 {
            assert_eq!(rig.ask(&token), outcome, "{fault:?}");
        }
        assert_eq!(endings(&rig.diary.take()), 2, "{fault:?}");
        assert_eq!(rig.client.stats().cached_tokens, 0, "{fault:?}");
        assert_eq!(inline(&rig.client, &token), None, "{fault:?}");
        store.set(Fault::None);
        assert_eq!(rig.ask(&token), "in verified", "{fault:?}");
    }
}

#[test]
fn a_name_is_found_even_if_all_numbered_ones_are_taken() {
    let store = Arc::new(Broken::new(Fault::NamesWithoutEnd));
    let rig = rig(&store, |_| {});
    // The last resort is the Clerk id, which is unique; the table's own constraint has the last word.
    assert_eq!(rig.ask_new("user_1"), "in verified");
}

#[test]
fn a_failing_update_keeps_a_known_user_out_until_it_works() {
    let store = Arc::new(Broken::new(Fault::None));
    let rig = rig(&store, |config| config.user_ttl_s = 0);
    assert_eq!(rig.ask_new("user_1"), "in verified");
    rig.sim.patch_user("user_1", json!({"first_name": "Augusta"})).unwrap();
    store.set(Fault::Fails("update"));
    assert_eq!(rig.ask_new("user_1"), "unavailable store-error");
    store.set(Fault::Conflicts);
    assert_eq!(rig.ask_new("user_1"), "out link-conflict");
    store.set(Fault::None);
    assert_eq!(rig.ask_new("user_1"), "in verified");
    assert_eq!(store.table.rows()[0].first_name.as_deref(), Some("Augusta"));
}

#[test]
fn h2_a_recheck_that_fails_or_lies_signs_nobody_in() {
    let store = Arc::new(Broken::new(Fault::None));
    let rig = rig(&store, |_| {});
    let token = rig.token("user_1");
    assert_eq!([rig.ask(&token), rig.ask(&token)], ["in verified", "in cache"]);
    store.set(Fault::Fails("find_by_key"));
    assert_eq!([rig.ask(&token), rig.ask_new("user_1")], ["unavailable store-error", "unavailable store-error"]);
    store.set(Fault::None);
    assert_eq!(rig.ask(&token), "in cache");
    store.set(Fault::LiesAboutKey);
    // Somebody else's row is no answer: the user's own is looked for, by the Clerk id.
    assert_eq!(rig.ask(&token), "in verified");
    let answer = bearer(&rig.client, &rig.token("user_1"));
    assert_eq!(answer.identity().unwrap().subject(), "user_1");
    assert_eq!(store.table.rows().len(), 1);
}

#[test]
fn a_hosts_failure_reaches_the_host_in_its_own_words_and_nobody_else() {
    let store = Arc::new(Broken::new(Fault::Fails("create")));
    let rig = rig(&store, |_| {});
    let answer = bearer(&rig.client, &rig.token("user_1"));
    assert_eq!(answer.cause.as_deref(), Some(&Cause::UserStore { code: 7, message: "disk full".into() }));
    assert!(!rig.diary.take().concat().contains("disk"));
}

#[test]
fn steps_taken_by_hand_end_as_those_taken_by_the_client() {
    let world = || {
        let table = Arc::new(Table::default());
        let rig = Rig::with_store(table.clone(), |config| config.user_ttl_s = 60);
        rig.sim.put_user(json!({"id": "user_1", "username": "ada", "first_name": "Ada",
            "email_addresses": ["ada@example.com"], "primary_email_address_id": "idn_0001"}));
        rig.sim.put_user(json!({"id": "user_2", "username": "ADA", "banned": true}));
        let own = Row {
            key: "50".into(),
            email: Some("Ada@example.com".into()),
            username: Some("boss".into()),
            is_active: true,
            ..Row::default()
        };
        table.change(|rows| rows.push(own));
        (table, rig)
    };
    let ((table_1, by_client), (table_2, by_steps)) = (world(), world());
    let mut history = Vec::new();
    let mut both = |user: &str, fresh: bool| {
        if fresh || history.is_empty() {
            history.push(by_client.token(user));
        }
        let token = history.last().unwrap();
        let one = by_client.ask(token);
        assert_eq!(by_hand(&by_steps.client, token, &*table_2), one);
        assert_eq!(by_client.diary.take(), by_steps.diary.take());
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
    for rig in [&by_client, &by_steps] {
        rig.sim.delete_user("user_1");
        rig.time.pass_s(59);
    }
    change(Vec::clear);
    assert_eq!(both("user_1", true), "in verified");
    [&by_client, &by_steps].iter().for_each(|rig| rig.time.pass_s(1));
    assert_eq!(both("user_1", true), "out user-not-found");
    assert_eq!(by_client.calls(), by_steps.calls());
}

#[test]
fn answers_that_do_not_fit_the_question_sign_nobody_in() {
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
        let rig = Rig::with_store(Arc::new(Table::default()), |_| {});
        rig.sim.put_user(json!({"id": "user_1"}));
        let line = format!("Bearer {}", rig.token("user_1"));
        let mut request = Request::new();
        request.header(b"Authorization", line.as_bytes());
        let AuthProgress::Pending(mut pending) = rig.client.begin(&request) else { panic!("a store is asked") };
        pending.submit(Ok(reply.clone()));
        // What comes after the end changes nothing.
        pending.submit(Ok(StoreResponse::Updated));
        pending.fetch_user();
        assert!(matches!(pending.next_action(), NextAction::Done), "{reply:?}");
        let outcome = word(&pending.into_result());
        assert!(["unavailable store-error", "out link-conflict"].contains(&outcome.as_str()), "{reply:?} {outcome}");
        assert_eq!(endings(&rig.diary.take()), 1);
        assert_eq!(rig.client.stats().cached_tokens, 0);
    }
}

#[test]
fn a_recheck_that_is_answered_with_something_else_signs_nobody_in() {
    for is_cached in [true, false] {
        for reply in [
            StoreResponse::Updated,
            StoreResponse::Taken(true),
            StoreResponse::Created("1".into()),
            StoreResponse::Conflict,
        ] {
            let rig = Rig::with_store(Arc::new(Table::default()), |_| {});
            rig.sim.put_user(json!({"id": "user_1"}));
            let token = rig.token("user_1");
            assert_eq!(rig.ask(&token), "in verified");
            rig.diary.take();
            let line = format!("Bearer {}", if is_cached { token } else { rig.token("user_1") });
            let mut request = Request::new();
            request.header(b"Authorization", line.as_bytes());
            let AuthProgress::Pending(mut pending) = rig.client.begin(&request) else { panic!("a store is asked") };
            assert!(matches!(pending.next_action(), NextAction::QueryStore(StoreRequest::FindByKey { .. })));
            pending.submit(Ok(reply));
            assert!(matches!(pending.next_action(), NextAction::Done));
            assert_eq!(word(&pending.into_result()), "unavailable store-error");
            assert_eq!(endings(&rig.diary.take()), 1);
        }
    }
}

#[test]
fn an_authentication_that_is_given_up_is_unavailable_with_one_event() {
    let rig = Rig::with_store(Arc::new(Table::default()), |_| {});
    rig.sim.put_user(json!({"id": "user_1"}));
    let line = format!("Bearer {}", rig.token("user_1"));
    let mut request = Request::new();
    request.header(b"Authorization", line.as_bytes());
    let AuthProgress::Pending(pending) = rig.client.begin(&request) else { panic!("a store is asked") };
    assert_eq!(word(&pending.into_result()), "unavailable store-error");
    assert_eq!(endings(&rig.diary.take()), 1);
    let AuthProgress::Pending(mut pending) = rig.client.begin(&request) else { panic!("a store is asked") };
    pending.submit(Err(StoreError::Conflict));
    assert_eq!(word(&pending.into_result()), "unavailable store-error");
}

#[test]
fn within_the_recheck_time_the_store_is_not_asked_and_after_it_is() {
    let table = Arc::new(Table::default());
    let rig = Rig::with_store(table.clone(), |config| config.row_check_ttl_s = 10);
    rig.sim.put_user(json!({"id": "user_1"}));
    let token = rig.token("user_1");
    assert_eq!(rig.ask(&token), "in verified");
    let asked = table.asked();
    rig.time.pass_ms(9_999);
    assert_eq!(inline(&rig.client, &token).unwrap(), "in cache");
    assert_eq!(inline(&rig.client, &rig.token("user_1")).unwrap(), "in verified");
    assert_eq!(rig.ask_new("user_1"), "in verified");
    assert_eq!(table.asked(), asked);
    rig.time.pass_ms(1);
    assert_eq!(inline(&rig.client, &token), None);
    assert_eq!(inline(&rig.client, &rig.token("user_1")), None);
    assert_eq!(rig.ask(&token), "in cache");
    assert_eq!(table.asked(), asked + 1);
    assert_eq!(inline(&rig.client, &token).unwrap(), "in cache");
}

#[test]
fn the_stores_word_is_never_trusted_longer_than_the_recheck_time() {
    let table = Arc::new(Table::default());
    let rig = Rig::with_store(table.clone(), |config| config.row_check_ttl_s = 10);
    rig.sim.put_user(json!({"id": "user_1"}));
    assert_eq!(rig.ask_new("user_1"), "in verified");
    table.change(|rows| rows[0].is_active = false);
    rig.time.pass_s(9);
    // Let in on the store's word of nine seconds ago: that word ends in one second, for this token as well.
    let token = rig.token("user_1");
    assert_eq!(rig.ask(&token), "in verified");
    rig.time.pass_s(1);
    assert_eq!(rig.ask(&token), "out user-inactive");
}

#[test]
fn the_stores_latest_word_counts_for_all_tokens_of_a_user() {
    for gone in [false, true] {
        let table = Arc::new(Table::default());
        let rig = Rig::with_store(table.clone(), |config| config.row_check_ttl_s = 10);
        rig.sim.put_user(json!({"id": "user_1"}));
        let old = rig.token("user_1");
        assert_eq!(rig.ask(&old), "in verified");
        rig.time.pass_s(10);
        assert_eq!(rig.ask_new("user_1"), "in verified");
        table.change(|rows| if gone { rows.clear() } else { rows[0].is_active = false });
        rig.time.pass_s(1);
        let outcome = if gone { "in verified" } else { "out user-inactive" };
        assert_eq!(rig.ask(&old), outcome, "gone: {gone}");
        assert_eq!(rig.ask_new("user_1"), outcome, "gone: {gone}");
        assert_eq!(table.rows().len(), 1);
    }
}

#[test]
fn two_clients_of_one_table_agree_on_the_row() {
    let table = Arc::new(Table::default());
    let rig = Rig::with_store(table.clone(), |_| {});
    rig.sim.put_user(json!({"id": "user_1", "username": "ada"}));
    let other = client(&rig.sim, &rig.time, &rig.diary, Some(table.clone()), |_| {});
    let users: Vec<String> = std::thread::scope(|scope| {
        let ask = |n: usize| {
            let client = [&rig.client, &other][n % 2];
            let token = rig.token("user_1");
            scope.spawn(move || word(&bearer(client, &token)))
        };
        let running: Vec<_> = (0..16).map(ask).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(users.iter().all(|outcome| outcome == "in verified"), "{users:?}");
    assert_eq!(table.rows().len(), 1);
    assert!(rig.sim.requests("/users/user_1") <= 2);
}
