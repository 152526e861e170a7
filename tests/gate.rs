//! The same access checks for every token of a user: session token, OAuth JWT, opaque OAuth token or API key; in every mode
//! and function.

mod common;

use std::sync::Arc;

use clerk_auth::Attribute;
use clerk_auth::Client;
use clerk_auth::TokenKind;
use clerk_auth::UserMode;
use clerk_auth::WebhookHeaders as Headers;
use clerk_auth::WebhookOutcome;
use clerk_auth::internals::Config;
use clerk_auth::users::UserStore;
use clerk_sim::webhook::WebhookSpec;
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Fault, Kind, Sim, TokenSpec};
use common::table::{Fault as StoreFault, FaultyStore, Table};
use common::{Fixture, bearer, inline, stepwise, word};
use serde_json::json;

const ADA: &str = "user_1";
const API_KEY: &str = "ak_ada";
const OAUTH: &str = "oat_ada";
const M2M: &str = "mt_machine";
const ORG_KEY: &str = "ak_org";

fn fixture(store: Option<Arc<dyn UserStore>>, tune: impl FnOnce(&mut Config)) -> Fixture {
    let sim = Sim::start();
    sim.put_user(json!({"id": ADA, "username": "ada", "updated_at": 1000, "email_addresses": ["ada@example.com"],
        "primary_email_address_id": "idn_0001"}));
    sim.update(|state| {
        state.api_keys.insert(
            API_KEY.into(),
            json!({"id": "ak_1", "subject": ADA, "name": "ci", "scopes": ["read", "write"], "claims": {"team": "core"}}),
        );
        state.api_keys.insert(ORG_KEY.into(), json!({"id": "ak_2", "subject": "org_1", "name": "org"}));
        state.oauth_tokens.insert(OAUTH.into(), json!({"id": "oat_1", "subject": ADA, "client_id": "client_1"}));
        state.m2m_tokens.insert(M2M.into(), json!({"id": "mt_1", "subject": "mch_1", "scopes": ["mch_here"]}));
    });
    Fixture::build(sim, store, |config| {
        config.accepts_token = TokenKind::ALL.to_vec();
        config.webhook_secrets = vec![clerk_auth::Secret::new(DEFAULT_WEBHOOK_SECRET)];
        tune(config);
    })
}

/// A token of each class whose subject is the user.
fn tokens_of_ada(fixture: &Fixture) -> [(&'static str, String); 4] {
    [
        ("session token", fixture.token(ADA)),
        ("OAuth JWT", fixture.mint(&TokenSpec::new(Kind::OauthJwt, ADA))),
        ("opaque OAuth token", OAUTH.into()),
        ("API key", API_KEY.into()),
    ]
}

fn tokens_of_others(fixture: &Fixture) -> [String; 3] {
    [fixture.mint(&TokenSpec::new(Kind::M2mJwt, "mch_1")), M2M.into(), ORG_KEY.into()]
}

fn deliver(fixture: &Fixture, kind: &str, id: &str) -> WebhookOutcome {
    deliver_spec(fixture, WebhookSpec::new(kind, id))
}

fn deliver_spec(fixture: &Fixture, spec: WebhookSpec) -> WebhookOutcome {
    let spec = WebhookSpec { timestamp: Some(fixture.time.now_s()), ..spec };
    let delivery = fixture.sim.webhook(&spec).unwrap();
    let mut headers = Headers::default();
    delivery.headers.iter().for_each(|(name, value)| {
        headers.header(name.as_bytes(), value.as_bytes());
    });
    fixture.client.handle_webhook(&headers, delivery.body.as_bytes())
}

fn ban(fixture: &Fixture, updated_at: i64) {
    fixture.sim.patch_user(ADA, json!({"banned": true, "updated_at": updated_at})).unwrap();
}

fn verify(client: &Client, token: &str) -> String {
    word(&client.verify_token(token))
}

#[test]
fn row_deactivated_by_the_application_rejects_every_class() {
    for machine_cache_ttl_s in [0, 60] {
        let table = Arc::new(Table::default());
        let fixture = fixture(Some(table.clone()), |config| config.machine_cache_ttl_s = machine_cache_ttl_s);
        let tokens = tokens_of_ada(&fixture);
        for (class, token) in &tokens {
            let result = bearer(&fixture.client, token);
            let identity = result.identity().unwrap_or_else(|| panic!("{class}: {}", word(&result)));
            let key = table.rows()[0].key.clone();
            assert_eq!(identity.get(Attribute::UserKey), Some(key.as_str()), "{class}");
            assert_eq!(identity.get(Attribute::Username), Some("ada"), "{class}");
        }
        assert_eq!(table.rows().len(), 1);
        table.change(|rows| rows[0].is_active = false);
        for (class, token) in &tokens {
            assert_eq!(fixture.ask(token), "out user-inactive", "{class}");
            assert_eq!(stepwise(&fixture.client, token, &*table), "out user-inactive", "{class}");
            assert!(inline(&fixture.client, token).is_none_or(|word| !word.starts_with("in ")), "{class}");
        }
        for token in tokens_of_others(&fixture) {
            assert_eq!(fixture.ask(&token), "in verified", "{token}");
        }
        table.change(|rows| rows[0].is_active = true);
        for (class, token) in &tokens {
            assert!(fixture.ask(token).starts_with("in "), "{class}");
        }
    }
}

#[test]
fn ban_webhook_rejects_every_class_in_every_mode() {
    for mode in [UserMode::Claims, UserMode::Profile, UserMode::Sync] {
        for is_warm in [false, true] {
            let table = Arc::new(Table::default());
            let fixture = fixture(Some(table.clone()), |config| {
                config.user_mode = Some(mode);
                config.machine_cache_ttl_s = 60;
            });
            let tokens = tokens_of_ada(&fixture);
            if is_warm {
                tokens.iter().for_each(|(class, token)| assert_eq!(fixture.ask(token), "in verified", "{class}"));
            }
            ban(&fixture, 2000);
            assert_eq!(deliver(&fixture, "user.updated", ADA), WebhookOutcome::Applied);
            for (class, token) in &tokens {
                assert_eq!(fixture.ask(token), "out user-inactive", "{mode:?} {class} {is_warm}");
            }
            for (class, token) in &tokens[..2] {
                assert_eq!(verify(&fixture.client, token), "out user-inactive", "{mode:?} {class} {is_warm}");
            }
        }
    }
}

#[test]
fn ban_found_at_clerk_rejects_every_class() {
    for mode in [UserMode::Profile, UserMode::Sync] {
        let fixture = fixture(Some(Arc::new(Table::default())), |config| config.user_mode = Some(mode));
        ban(&fixture, 2000);
        for (class, token) in tokens_of_ada(&fixture) {
            assert_eq!(fixture.ask(&token), "out user-inactive", "{mode:?} {class}");
        }
    }
}

#[test]
fn deleted_user_is_rejected_by_every_class_and_by_verify_token() {
    for mode in [UserMode::Claims, UserMode::Profile, UserMode::Sync] {
        let fixture = fixture(Some(Arc::new(Table::default())), |config| {
            config.user_mode = Some(mode);
            config.machine_cache_ttl_s = 60;
        });
        let tokens = tokens_of_ada(&fixture);
        tokens.iter().for_each(|(class, token)| assert_eq!(fixture.ask(token), "in verified", "{class}"));
        assert_eq!(deliver(&fixture, "user.deleted", ADA), WebhookOutcome::Applied);
        for (class, token) in &tokens {
            assert_eq!(fixture.ask(token), "out user-not-found", "{mode:?} {class}");
        }
        for (class, token) in &tokens[..2] {
            assert_eq!(verify(&fixture.client, token), "out user-not-found", "{mode:?} {class}");
        }
    }
}

#[test]
fn revoked_session_is_rejected_by_verify_token() {
    let fixture = fixture(None, |_| {});
    let (first, second) =
        (fixture.mint(&TokenSpec::session(ADA).sid("sess_1")), fixture.mint(&TokenSpec::session(ADA).sid("sess_2")));
    assert_eq!(verify(&fixture.client, &first), "in verified");
    assert_eq!(deliver(&fixture, "session.ended", "sess_1"), WebhookOutcome::Applied);
    assert_eq!(verify(&fixture.client, &first), "out session-revoked");
    assert_eq!(verify(&fixture.client, &second), "in verified");
    assert!(fixture.event_log.take().iter().all(|event| !event.starts_with("auth_")));
}

#[test]
fn session_check_that_ended_is_rejected_by_verify_token() {
    let fixture = fixture(None, |config| config.session_check_ttl_s = 60);
    let token = fixture.mint(&TokenSpec::session(ADA).sid("sess_1"));
    fixture.sim.put_session(json!({"id": "sess_1", "user_id": ADA, "status": "revoked"}));
    assert_eq!(verify(&fixture.client, &token), "in verified");
    assert_eq!(fixture.ask(&token), "out session-revoked");
    let calls = fixture.calls();
    assert_eq!(verify(&fixture.client, &token), "out session-revoked");
    assert_eq!(fixture.calls(), calls);
}

#[test]
fn setting_lets_machine_tokens_skip_the_row_but_not_a_revocation() {
    let table = Arc::new(Table::default());
    let fixture = fixture(Some(table.clone()), |config| config.machine_tokens_skip_user = true);
    let tokens = tokens_of_ada(&fixture);
    for (class, token) in &tokens[1..] {
        let result = bearer(&fixture.client, token);
        assert_eq!(result.identity().map(|i| i.get(Attribute::UserKey)), Some(None), "{class}");
    }
    assert_eq!((fixture.sim.requests("/users/*"), table.asked()), (0, 0));
    assert_eq!(fixture.ask(&tokens[0].1), "in verified");
    table.change(|rows| rows[0].is_active = false);
    assert_eq!(fixture.ask(&tokens[0].1), "out user-inactive");
    for (class, token) in &tokens[1..] {
        assert!(fixture.ask(token).starts_with("in "), "{class}");
    }
    assert_eq!(deliver(&fixture, "user.deleted", ADA), WebhookOutcome::Applied);
    for (class, token) in &tokens {
        assert_eq!(fixture.ask(token), "out user-not-found", "{class}");
    }
}

#[test]
fn ban_during_a_request_rejects_every_class() {
    for mode in [UserMode::Profile, UserMode::Sync] {
        let fixture = fixture(Some(Arc::new(Table::default())), |config| {
            config.user_mode = Some(mode);
            config.machine_cache_ttl_s = 60;
        });
        for (class, token) in tokens_of_ada(&fixture) {
            fixture.client.invalidate_all();
            fixture.sim.patch_user(ADA, json!({"banned": false, "updated_at": fixture.time.now_s() * 1000})).unwrap();
            fixture.sim.fault(Fault::on("/users/*").delay_ms(300));
            std::thread::scope(|scope| {
                let asked = scope.spawn(|| fixture.ask(&token));
                let begun = std::time::Instant::now();
                while fixture.sim.requests("/users/*") == 0 && begun.elapsed().as_secs() < 5 {
                    std::thread::yield_now();
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
                fixture.time.advance_ms(1000);
                ban(&fixture, fixture.time.now_s() * 1000);
                let _ = deliver(&fixture, "user.updated", ADA);
                assert_eq!(asked.join().unwrap(), "out user-inactive", "{mode:?} {class}");
            });
            fixture.sim.clear_faults();
            fixture.sim.reset_counts();
            assert_eq!(fixture.ask(&token), "out user-inactive", "{mode:?} {class}");
            fixture.time.advance_ms(1000);
            fixture.sim.patch_user(ADA, json!({"banned": false, "updated_at": fixture.time.now_s() * 1000})).unwrap();
            assert_eq!(deliver(&fixture, "user.updated", ADA), WebhookOutcome::Applied);
            assert!(fixture.ask(&token).starts_with("in "), "{mode:?} {class}");
            fixture.sim.reset_counts();
        }
    }
}

#[test]
fn api_key_gives_its_name_and_custom_claims() {
    let fixture = fixture(None, |config| config.machine_cache_ttl_s = 60);
    for _ in 0..2 {
        let result = bearer(&fixture.client, API_KEY);
        let identity = result.identity().unwrap();
        assert_eq!(identity.get(Attribute::TokenName), Some("ci"));
        assert_eq!(identity.get(Attribute::Scopes), Some("read write"));
        assert_eq!(identity.get(Attribute::Claims), Some(r#"{"team":"core"}"#));
    }
    fixture.sim.update(|state| state.api_keys[API_KEY]["claims"] = json!("no object"));
    fixture.client.invalidate_all();
    assert_eq!(bearer(&fixture.client, API_KEY).identity().unwrap().get(Attribute::Claims), None);
}

#[test]
fn user_string_with_nul_is_absent() {
    let fixture = fixture(None, |config| config.user_mode = Some(UserMode::Profile));
    fixture.sim.patch_user(ADA, json!({"username": "a\0b", "first_name": "\0", "image_url": "https://x\0"})).unwrap();
    let result = bearer(&fixture.client, &fixture.token(ADA));
    for which in [Attribute::Username, Attribute::FirstName, Attribute::ImageUrl] {
        assert_eq!(result.identity().unwrap().get(which), None, "{which:?}");
    }
    let table = Arc::new(Table::default());
    let fixture = self::fixture(Some(table.clone()), |_| {});
    fixture.sim.patch_user(ADA, json!({"username": "a\0b", "first_name": "A\0", "last_name": "L"})).unwrap();
    assert_eq!(fixture.authenticate_new(ADA), "in verified");
    let row = table.rows().remove(0);
    assert!(row.username.is_some_and(|name| !name.contains('\0')));
    assert_eq!((row.first_name.as_deref().unwrap_or_default(), row.last_name.as_deref()), ("", Some("L")));
}

#[test]
fn revocation_by_the_application_rejects_every_class_and_new_sessions() {
    for mode in [UserMode::Claims, UserMode::Profile, UserMode::Sync] {
        let fixture = fixture(Some(Arc::new(Table::default())), |config| {
            config.user_mode = Some(mode);
            config.machine_cache_ttl_s = 60;
        });
        let tokens = tokens_of_ada(&fixture);
        tokens.iter().for_each(|(class, token)| assert_eq!(fixture.ask(token), "in verified", "{class}"));
        assert!(fixture.client.revoke_user(ADA));
        fixture.time.advance_ms(2000);
        // Neither an ordinary update nor the end of a ban lifts it.
        for (updated_at, banned) in [(2000, false), (3000, true), (4000, false)] {
            fixture.sim.patch_user(ADA, json!({"banned": banned, "updated_at": updated_at})).unwrap();
            assert_eq!(deliver(&fixture, "user.updated", ADA), WebhookOutcome::Applied);
        }
        let new = ("new session", fixture.mint(&TokenSpec::session(ADA).sid("sess_new")));
        for (class, token) in tokens.iter().chain([&new]) {
            assert_eq!(fixture.ask(token), "out session-revoked", "{mode:?} {class}");
        }
        for token in tokens_of_others(&fixture) {
            assert_eq!(fixture.ask(&token), "in verified", "{token}");
        }
    }
    let fixture = fixture(None, |_| {});
    for bad in ["", "user_", "user_../x", "sess_1", "USER_1"] {
        assert!(!fixture.client.revoke_user(bad), "{bad}");
    }
    assert!(!fixture.client.revoke_session(ADA));
}

#[test]
fn exported_revocations_reject_in_another_process() {
    for mode in [UserMode::Claims, UserMode::Profile] {
        let first = fixture(None, |config| config.user_mode = Some(mode));
        let second = fixture(None, |config| config.user_mode = Some(mode));
        first.sim.put_user(json!({"id": "user_2", "updated_at": 1000}));
        second.sim.put_user(json!({"id": "user_2", "updated_at": 1000}));
        let ended = second.mint(&TokenSpec::session("user_2").sid("sess_2"));
        let (of_ada, other) = (second.token(ADA), second.mint(&TokenSpec::session("user_2").sid("sess_3")));
        for token in [&ended, &of_ada, &other] {
            assert_eq!(second.ask(token), "in verified");
        }
        assert_eq!(deliver(&first, "session.revoked", "sess_2"), WebhookOutcome::Applied);
        ban(&first, 2000);
        ban(&second, 2000);
        assert_eq!(deliver(&first, "user.updated", ADA), WebhookOutcome::Applied);
        assert!(second.client.import_revocations(&first.client.export_revocations().unwrap()));
        assert_eq!(second.ask(&ended), "out session-revoked", "{mode:?}");
        assert_eq!(second.ask(&other), "in cache", "{mode:?}");
        let of_ada_now = second.ask(&of_ada);
        match mode {
            UserMode::Claims => assert_eq!(of_ada_now, "out user-inactive"),
            // Known from Clerk here: the ban is no revocation, and is exported as none.
            _ => assert!(of_ada_now.starts_with("in ")),
        }
        first.sim.patch_user(ADA, json!({"banned": false, "updated_at": 3000})).unwrap();
        first.time.advance_ms(1000);
        second.time.advance_ms(1000);
        assert_eq!(deliver(&first, "user.updated", ADA), WebhookOutcome::Applied);
        let (a, b) = (first.client.export_revocations().unwrap(), second.client.export_revocations().unwrap());
        assert!(first.client.import_revocations(&b) && second.client.import_revocations(&a));
        for fixture in [&first, &second] {
            assert!(fixture.authenticate_new(ADA).starts_with("in ") || mode != UserMode::Claims);
        }
        for bad in ["", "{}", "[1]", &a.replace("sess_2", "../x")] {
            assert!(!second.client.import_revocations(bad), "{bad}");
        }
    }
}

/// What this process knows of a ban does not depend on the caches of users.
#[test]
fn ban_in_no_cache_is_rejected_by_verify_token() {
    for mode in [UserMode::Claims, UserMode::Profile, UserMode::Sync] {
        for by_webhook in [true, false] {
            if mode == UserMode::Claims && !by_webhook {
                continue;
            }
            let fixture = fixture(Some(Arc::new(Table::default())), |config| {
                config.user_mode = Some(mode);
                config.user_ttl_s = 0;
                config.user_stale_if_error_s = 0;
                config.cache_capacity = 1;
            });
            let tokens = tokens_of_ada(&fixture);
            ban(&fixture, 2000);
            if by_webhook {
                assert_eq!(deliver(&fixture, "user.updated", ADA), WebhookOutcome::Applied);
            } else {
                assert_eq!(fixture.ask(&tokens[0].1), "out user-inactive");
            }
            fixture.time.advance_s(30);
            for (class, token) in &tokens[..2] {
                assert_eq!(verify(&fixture.client, token), "out user-inactive", "{mode:?} {class} {by_webhook}");
            }
            // The end of the ban is learned in the same way.
            fixture.time.advance_s(1);
            fixture.sim.patch_user(ADA, json!({"banned": false, "updated_at": 3000})).unwrap();
            if by_webhook {
                assert_eq!(deliver(&fixture, "user.updated", ADA), WebhookOutcome::Applied);
            } else {
                assert!(fixture.ask(&tokens[0].1).starts_with("in "));
            }
            assert_eq!(verify(&fixture.client, &tokens[0].1), "in verified", "{mode:?} {by_webhook}");
        }
    }
}

#[test]
fn ban_in_no_cache_rejects_machine_token_that_skips_the_row() {
    let fixture = fixture(Some(Arc::new(Table::default())), |config| {
        config.machine_tokens_skip_user = true;
        config.user_ttl_s = 0;
        config.user_stale_if_error_s = 0;
    });
    ban(&fixture, 2000);
    let _ = deliver(&fixture, "user.updated", ADA);
    fixture.time.advance_s(30);
    for (class, token) in &tokens_of_ada(&fixture)[1..] {
        assert_eq!(fixture.ask(token), "out user-inactive", "{class}");
    }
}

#[test]
fn row_that_was_inactive_is_rejected_by_verify_token() {
    let table = Arc::new(Table::default());
    let fixture = fixture(Some(table.clone()), |_| {});
    let tokens = tokens_of_ada(&fixture);
    let verified = |expected: &str| {
        for (class, token) in &tokens[..2] {
            assert_eq!(verify(&fixture.client, token), expected, "{class}");
        }
    };
    assert_eq!(fixture.ask(&tokens[0].1), "in verified");
    verified("in verified");
    for again in [&tokens[0].1, &tokens[1].1, &fixture.token(ADA)] {
        table.change(|rows| rows[0].is_active = false);
        assert_eq!(fixture.ask(again), "out user-inactive");
        verified("out user-inactive");
        table.change(|rows| rows[0].is_active = true);
        assert!(fixture.ask(again).starts_with("in "));
        verified("in verified");
    }
    table.change(|rows| rows[0].is_active = false);
    assert_eq!(fixture.ask(&tokens[0].1), "out user-inactive");
    table.change(|rows| rows[0].is_active = true);
    // The application says that it has changed the row.
    fixture.client.invalidate_user(ADA);
    verified("in verified");
    assert_eq!(table.asked(), {
        verified("in verified");
        table.asked()
    });
}

/// Without a row to decide, an event that is late must not stand for what Clerk says now.
#[test]
fn late_event_does_not_hide_a_ban_or_deletion_in_profile_mode() {
    for is_deleted in [true, false] {
        for is_known in [true, false] {
            let fixture = fixture(None, |config| config.user_mode = Some(UserMode::Profile));
            let token = fixture.token(ADA);
            if is_known {
                assert_eq!(fixture.ask(&token), "in verified");
            }
            fixture.sim.patch_user(ADA, json!({"updated_at": 2000})).unwrap();
            let delivery = deliver(&fixture, "user.updated", ADA);
            assert_eq!(delivery, WebhookOutcome::Applied);
            // Another process received the event of this.
            match is_deleted {
                true => drop(fixture.sim.delete_user(ADA)),
                false => ban(&fixture, 3000),
            }
            let expected = if is_deleted { "out user-not-found" } else { "out user-inactive" };
            assert_eq!(fixture.ask(&token), expected, "{is_known}");
            assert_eq!(fixture.authenticate_new(ADA), expected, "{is_known}");
        }
    }
}

#[test]
fn event_in_time_is_served_without_a_fetch_until_its_user_is_old() {
    let fixture = fixture(None, |config| config.user_mode = Some(UserMode::Profile));
    fixture.sim.patch_user(ADA, json!({"updated_at": fixture.time.now_s() * 1000})).unwrap();
    fixture.time.advance_s(100);
    assert_eq!(deliver(&fixture, "user.updated", ADA), WebhookOutcome::Applied);
    fixture.time.advance_s(199);
    assert_eq!(fixture.authenticate_new(ADA), "in verified");
    assert_eq!(fixture.sim.requests("/users/*"), 0);
    fixture.time.advance_s(1);
    assert_eq!(fixture.authenticate_new(ADA), "in verified");
    assert_eq!(fixture.sim.requests("/users/*"), 1);
}

/// An event that is not newer than the ban is no proof of its end.
#[test]
fn event_of_the_same_version_ends_no_ban() {
    for mode in [UserMode::Claims, UserMode::Profile, UserMode::Sync] {
        let fixture = fixture(Some(Arc::new(Table::default())), |config| config.user_mode = Some(mode));
        let token = fixture.token(ADA);
        ban(&fixture, 2000);
        assert_eq!(deliver(&fixture, "user.updated", ADA), WebhookOutcome::Applied);
        fixture.time.advance_s(1);
        // Clerk still says banned.
        let data = Some(json!({"id": ADA, "username": "ada", "updated_at": 2000}));
        let _ = deliver_spec(&fixture, WebhookSpec { data, ..WebhookSpec::new("user.updated", "") });
        assert_eq!(fixture.ask(&token), "out user-inactive", "{mode:?}");
        assert_eq!(verify(&fixture.client, &token), "out user-inactive", "{mode:?}");
    }
}

/// Shared state may reject, never admit: what a webhook has banned here is not lifted by another process.
#[test]
fn imported_end_of_a_ban_lifts_no_ban_of_this_process() {
    let fixture = fixture(None, |config| config.user_mode = Some(UserMode::Claims));
    let token = fixture.token(ADA);
    ban(&fixture, 2000);
    assert_eq!(deliver(&fixture, "user.updated", ADA), WebhookOutcome::Applied);
    let own = fixture.client.export_revocations().unwrap();
    // Later than the ban.
    fixture.time.advance_s(1);
    let banned_ms = (fixture.time.now_s() - 1) * 1000;
    let far = |json: &str| json.replace(&banned_ms.to_string(), "9000000000000000");
    for forged in [own.replace("banned", "lifted"), far(&own.replace("banned", "lifted")), far(&own)] {
        assert!(fixture.client.import_revocations(&forged));
        assert_eq!(fixture.ask(&token), "out user-inactive", "{forged}");
        assert!(fixture.client.import_revocations(&own.replace("banned", "lifted")));
        assert_eq!(fixture.ask(&token), "out user-inactive", "{forged}");
    }
}

/// A request that is waiting for Clerk while the application, or another process, revokes.
#[test]
fn revocation_during_a_request_rejects_it() {
    for mode in [UserMode::Profile, UserMode::Sync] {
        for by_import in [false, true] {
            let fixture = fixture(Some(Arc::new(Table::default())), |config| config.user_mode = Some(mode));
            let other = self::fixture(None, |_| {});
            let tokens = tokens_of_ada(&fixture);
            let session = fixture.mint(&TokenSpec::session(ADA).sid("sess_waiting"));
            fixture.sim.fault(Fault::on("/users/*").delay_ms(300).times(1));
            std::thread::scope(|scope| {
                let asked: Vec<_> = tokens
                    .iter()
                    .map(|(_, token)| token)
                    .chain([&session])
                    .map(|t| scope.spawn(|| fixture.ask(t)))
                    .collect();
                let begun = std::time::Instant::now();
                while fixture.sim.requests("/users/*") == 0 && begun.elapsed().as_secs() < 5 {
                    std::thread::yield_now();
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
                match by_import {
                    true => {
                        assert!(other.client.revoke_session("sess_waiting") && other.client.revoke_user(ADA));
                        assert!(fixture.client.import_revocations(&other.client.export_revocations().unwrap()));
                    }
                    false => assert!(fixture.client.revoke_session("sess_waiting") && fixture.client.revoke_user(ADA)),
                }
                for asked in asked {
                    assert_eq!(asked.join().unwrap(), "out session-revoked", "{mode:?} {by_import}");
                }
            });
            assert_eq!(fixture.client.stats().cached_tokens, 0);
        }
    }
}

#[test]
fn deletion_that_the_store_cannot_write_is_delivered_again() {
    for fault in [
        StoreFault::Fails("find_by_clerk_id"),
        StoreFault::Fails("begin"),
        StoreFault::Fails("update"),
        StoreFault::Conflicts,
        StoreFault::OtherRowById,
    ] {
        let store = Arc::new(FaultyStore::new(StoreFault::None));
        let fixture = fixture(Some(store.clone()), |config| config.deactivate_deleted_users = true);
        let token = fixture.token(ADA);
        assert_eq!(fixture.ask(&token), "in verified", "{fault:?}");
        let delivery = WebhookSpec { svix_id: Some("msg_1".into()), ..WebhookSpec::new("user.deleted", ADA) };
        store.set(fault);
        for _ in 0..2 {
            let outcome = deliver_spec(&fixture, delivery.clone());
            assert!(matches!(outcome, WebhookOutcome::Failed(_)), "{fault:?} {outcome:?}");
            // The user is rejected at once nevertheless.
            assert_eq!(fixture.ask(&token), "out user-not-found", "{fault:?}");
            assert!(store.table.rows()[0].is_active, "{fault:?}");
        }
        store.set(StoreFault::None);
        assert_eq!(deliver_spec(&fixture, delivery.clone()), WebhookOutcome::Applied, "{fault:?}");
        assert!(!store.table.rows()[0].is_active, "{fault:?}");
        assert_eq!(deliver_spec(&fixture, delivery), WebhookOutcome::Ignored, "{fault:?}");
    }
}

#[test]
fn deactivate_deleted_users_without_a_table_for_it_is_an_error() {
    let build = |mode: &str, store: Option<Arc<dyn UserStore>>| {
        let mut config = Config::new();
        config.secret_key = Some(clerk_auth::Secret::new("sk_test_x"));
        config.deactivate_deleted_users = true;
        config.set("user_mode", mode).unwrap();
        let builder = clerk_auth::internals::builder(config);
        let built = match store {
            Some(store) => builder.user_store(store).build(),
            None => builder.build(),
        };
        built.map(|_| ()).map_err(|error| error.setting().map(str::to_owned))
    };
    let table = || -> Arc<dyn UserStore> { Arc::new(Table::default()) };
    let without_ids = Arc::new(Table { has_no_clerk_ids: true, ..Table::default() });
    let refused = Err(Some("deactivate_deleted_users".into()));
    for (mode, store) in
        [("", None), ("claims", Some(table())), ("profile", Some(table())), ("sync", Some(without_ids))]
    {
        assert_eq!(build(mode, store), refused, "{mode}");
    }
    assert_eq!(build("", Some(table())), Ok(()));
}
