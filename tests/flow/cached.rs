//! `authenticate_cached` with a user store, and what is counted.

use std::sync::Arc;

use clerk_auth::{Request, TokenKind, UserMode};
use clerk_sim::{Fault, Kind, TokenSpec};

use super::common::table::{Fault as StoreFault, FaultyStore, Table};
use super::common::{Fixture, NOW_S, bearer, cookies, inline, pem};

fn with_row_check_ttl(table: &Arc<Table>) -> Fixture {
    let fixture = Fixture::with_store(table.clone(), |config| {
        config.row_check_ttl_s = 5;
    });
    fixture.sim.put_user(serde_json::json!({"id": "user_1", "object": "user"}));
    fixture
}

#[test]
fn cached_result_with_a_row_needs_no_blocking_call_within_row_check_ttl() {
    let table = Arc::new(Table::default());
    let fixture = with_row_check_ttl(&table);
    let token = fixture.token("user_1");
    assert_eq!(inline(&fixture.client, &token), None);
    assert_eq!(fixture.ask(&token), "in verified");
    for _ in 0..100 {
        assert_eq!(inline(&fixture.client, &token).as_deref(), Some("in cache"));
    }
    let next = fixture.token("user_1");
    assert_eq!(inline(&fixture.client, &next).as_deref(), Some("in verified"), "the row is known");
    fixture.time.advance_ms(5000);
    assert_eq!(inline(&fixture.client, &token), None);
    assert_eq!(fixture.ask(&token), "in cache");
    assert_eq!(inline(&fixture.client, &token).as_deref(), Some("in cache"));
}

#[test]
fn changed_row_takes_effect_after_invalidation_or_row_check_ttl() {
    for is_invalidated in [true, false] {
        let table = Arc::new(Table::default());
        let fixture = with_row_check_ttl(&table);
        let token = fixture.token("user_1");
        assert_eq!(fixture.ask(&token), "in verified");
        table.change(|rows| rows[0].is_active = false);
        assert_eq!(inline(&fixture.client, &token).as_deref(), Some("in cache"));
        match is_invalidated {
            true => fixture.client.invalidate_user("user_1"),
            false => fixture.time.advance_ms(5000),
        }
        assert_eq!(inline(&fixture.client, &token), None);
        assert_eq!(fixture.ask(&token), "out user-inactive");
    }
}

#[test]
fn each_request_is_counted_once() {
    let table = Arc::new(Table::default());
    let fixture = with_row_check_ttl(&table);
    let token = fixture.token("user_1");
    let counts = || {
        let stats = fixture.client.stats();
        let results = [stats.cache_hits, stats.signed_in, stats.signed_out, stats.unavailable, stats.no_credentials];
        (results, stats.would_block, stats.cache_misses, stats.store_errors)
    };
    assert_eq!(inline(&fixture.client, &token), None);
    assert_eq!(counts(), ([0, 0, 0, 0, 0], 1, 0, 0));
    fixture.ask(&token);
    assert_eq!(counts(), ([0, 1, 0, 0, 0], 1, 1, 0));
    (0..3).for_each(|_| assert!(inline(&fixture.client, &token).is_some()));
    assert_eq!(counts(), ([3, 1, 0, 0, 0], 1, 1, 0));
    // A hit whose row has to be checked first: one call that would block, one hit.
    fixture.time.advance_ms(5000);
    assert_eq!(inline(&fixture.client, &token), None);
    assert_eq!(counts(), ([3, 1, 0, 0, 0], 2, 1, 0));
    fixture.ask(&token);
    assert_eq!(counts(), ([4, 1, 0, 0, 0], 2, 1, 0));
    // Neither the row nor the result: the hit was none.
    fixture.time.advance_ms(5000);
    table.change(|rows| rows[0].is_active = false);
    assert_eq!(fixture.ask(&token), "out user-inactive");
    assert_eq!(counts(), ([4, 1, 1, 0, 0], 2, 1, 0));
    fixture.client.authenticate_cached(&Request::new());
    fixture.client.authenticate(&Request::new());
    assert_eq!(counts(), ([4, 1, 1, 0, 2], 2, 1, 0));
    fixture.sim.fault(Fault::on("/users/*").status(500));
    fixture.client.invalidate_all();
    bearer(&fixture.client, &token);
    assert_eq!(counts(), ([4, 1, 1, 1, 2], 2, 2, 0));
    fixture.sim.clear_faults();
}

#[test]
fn failure_of_the_user_store_is_counted_once() {
    let store = Arc::new(FaultyStore::new(StoreFault::None));
    let fixture = Fixture::with_store(store.clone(), |config| config.row_check_ttl_s = 5);
    fixture.sim.put_user(serde_json::json!({"id": "user_1", "object": "user"}));
    let token = fixture.token("user_1");
    assert_eq!(fixture.ask(&token), "in verified");
    fixture.time.advance_ms(5000);
    store.set(StoreFault::Fails("find_by_key"));
    assert_eq!(fixture.ask(&token), "unavailable store-error");
    let stats = fixture.client.stats();
    assert_eq!((stats.store_errors, stats.unavailable, stats.cache_hits, stats.signed_in), (1, 1, 0, 1));
}

/// A client that needs a call of Clerk after it has verified a token.
fn fetching(tune: impl FnOnce(&mut clerk_auth::internals::Config)) -> Fixture {
    let sim = clerk_sim::Sim::start();
    sim.put_user(serde_json::json!({"id": "user_1", "object": "user"}));
    let key = pem(&sim);
    Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.user_mode = Some(UserMode::Profile);
        tune(config);
    })
}

#[test]
fn token_verified_without_blocking_in_a_header_is_refused_in_a_cookie() {
    let fixture = fetching(|config| config.accepts_token = TokenKind::ALL.to_vec());
    let token = fixture.mint(&TokenSpec::new(Kind::OauthJwt, "user_1"));
    assert_eq!(inline(&fixture.client, &token), None);
    assert_eq!(cookies(&fixture.client, &[&format!("__session={token}")]), "out token-type-not-supported");
    assert_eq!(inline(&fixture.client, &token), None);
    assert_eq!(fixture.ask(&token), "in verified");
}

#[test]
fn token_verified_without_blocking_is_refused_after_a_newer_sign_out() {
    let fixture = fetching(|config| config.check_client_uat = true);
    let token = fixture.token("user_1");
    let line = |client_uat: i64| format!("__session={token}; __client_uat={client_uat}");
    let before = line(NOW_S - 100);
    let mut request = Request::new();
    request.header(b"Cookie", before.as_bytes());
    assert!(fixture.client.authenticate_cached(&request).is_none());
    let after = cookies(&fixture.client, &[&line(NOW_S + 1)]);
    assert_eq!(after, "out session-token-iat-before-client-uat");
    assert_eq!(cookies(&fixture.client, &[&before]), "in verified");
}
