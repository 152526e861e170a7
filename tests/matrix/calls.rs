//! Calls other than those for keys and users: opaque machine tokens, session checks, and the fetches of webhook events.

use std::sync::Arc;

use clerk_auth::internals::Config;
use clerk_auth::users::{SqliteStore, UserStore};
use clerk_auth::{Secret, TokenKind, UserMode, WebhookHeaders, WebhookOutcome};
use clerk_sim::webhook::WebhookSpec;
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Fault, Sim};
use serde_json::{Value, json};

use super::common::{Fixture, TempDir, auth_events, pem};
use super::{Faults, Meaning, TIMEOUT_MS, USER, each, in_time, start, wire_faults};

const SESSION: &str = "sess_1";
const KEY: &str = "ak_good";
const VERIFY: &str = "/api_keys/verify";

/// The expected outcome where Clerk has to be asked.
fn outcome(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::Outage => "unavailable server-error",
        Meaning::Misconfigured => "unavailable secret-key-invalid",
        Meaning::Passing => "in verified",
        Meaning::Refused(how) => how,
    }
}

fn fixture(sim: Sim, tune: impl FnOnce(&mut Config)) -> Fixture {
    let key = pem(&sim);
    Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.user_mode = Some(UserMode::Claims);
        config.timeout_ms = TIMEOUT_MS;
        tune(config);
    })
}

/// Asks and checks outcome, time and events.
fn check_outcome(fixture: &Fixture, token: &str, right: &str, is_cached: bool, what: &str) -> bool {
    fixture.event_log.take();
    let is_in_time = in_time(is_cached, what, || assert_eq!(fixture.ask(token), right, "{what}"));
    let events = fixture.event_log.take();
    assert_eq!(auth_events(&events), 1, "{what}: {events:?}");
    is_in_time
}

fn opaque_faults() -> Faults {
    let on = || Fault::on(VERIFY);
    let key = |extra: Value| {
        let mut key = json!({"object": "api_key", "id": "ak_1", "subject": "org_1", "scopes": [], "revoked": false, "expired": false});
        key.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        on().body(key)
    };
    let (outage, refused) = (Meaning::Outage, Meaning::Refused("out token-invalid"));
    let mut faults = wire_faults(VERIFY);
    faults.extend([
        ("404", Some(on().status(404)), refused),
        ("400", Some(on().status(400)), refused),
        ("revoked", Some(key(json!({"revoked": true}))), refused),
        ("expired", Some(key(json!({"expired": true}))), refused),
        ("inactive", Some(key(json!({"active": false}))), refused),
        ("without a flag", Some(key(json!({"revoked": null}))), outage),
        ("another kind", Some(key(json!({"object": "user"}))), outage),
        ("another subject", Some(key(json!({"subject": "../x"}))), outage),
    ]);
    faults
}

/// Threat N5.
#[test]
fn clerk_faults_when_opaque_token_is_verified() {
    let cell = |name: &str, fault: Option<&Fault>, meaning: Meaning, is_cached: bool| {
        let sim = Sim::start();
        sim.update(|state| {
            state.api_keys.insert(KEY.into(), json!({"id": "ak_1", "subject": "org_1", "scopes": ["read"]}));
        });
        let fixture = fixture(sim, |config| {
            config.accepts_token = TokenKind::ALL.to_vec();
            config.machine_cache_ttl_s = 30;
        });
        if is_cached {
            assert_eq!(fixture.ask(KEY), "in verified", "{name}");
        }
        start(&fixture, fault);
        let right = if is_cached { "in cache" } else { outcome(meaning) };
        let in_time = check_outcome(&fixture, KEY, right, is_cached, &format!("{name} × opaque × cached {is_cached}"));
        if is_cached {
            // The cached result ends; a token that was valid is not rejected because of an outage.
            fixture.time.advance_s(31);
            assert_eq!(fixture.ask(KEY), outcome(meaning), "{name}");
        }
        in_time
    };
    each(opaque_faults(), |name, fault, meaning| {
        [false, true].into_iter().all(|is_cached| cell(name, fault, meaning, is_cached))
    });
}

fn session_faults() -> Faults {
    let on = || Fault::on("/sessions/*");
    let session = |id: &str, status: &str| on().body(json!({"object": "session", "id": id, "status": status}));
    let (outage, refused) = (Meaning::Outage, Meaning::Refused("out session-revoked"));
    let mut faults = wire_faults("/sessions/*");
    faults.extend([
        ("404", Some(on().status(404)), refused),
        ("ended", Some(session(SESSION, "ended")), refused),
        ("unknown state", Some(session(SESSION, "other")), refused),
        ("without a state", Some(on().body(json!({"id": SESSION}))), refused),
        ("another session", Some(session("sess_2", "active")), outage),
    ]);
    faults
}

/// Threat N5.
#[test]
fn clerk_faults_when_session_is_checked() {
    let cell = |name: &str, fault: Option<&Fault>, meaning: Meaning, checked_before_s: Option<i64>| {
        let sim = Sim::start();
        sim.put_session(json!({"id": SESSION, "user_id": USER}));
        let fixture = fixture(sim, |config| config.session_check_ttl_s = 60);
        let token = || fixture.mint(&clerk_sim::TokenSpec::session(USER).sid(SESSION));
        let mut asked = token();
        if let Some(seconds) = checked_before_s {
            assert_eq!(fixture.ask(&asked), "in verified", "{name}");
            fixture.time.advance_s(seconds);
            if seconds > 0 {
                asked = token();
            }
        }
        start(&fixture, fault);
        let right = match checked_before_s {
            Some(0) => "in cache",
            Some(59) => "in verified",
            _ => outcome(meaning),
        };
        let is_cached = matches!(checked_before_s, Some(0 | 59));
        check_outcome(&fixture, &asked, right, is_cached, &format!("{name} × session × {checked_before_s:?}"))
    };
    each(session_faults(), |name, fault, meaning| {
        [None, Some(0), Some(59), Some(60)].into_iter().all(|before| cell(name, fault, meaning, before))
    });
}

fn deliver(fixture: &Fixture, kind: &str, id: &str, svix_id: &str) -> WebhookOutcome {
    let spec = WebhookSpec {
        timestamp: Some(fixture.time.now_s()),
        svix_id: Some(svix_id.to_owned()),
        ..WebhookSpec::new(kind, id)
    };
    let delivery = fixture.sim.webhook(&spec).unwrap();
    let mut headers = WebhookHeaders::default();
    for (name, value) in &delivery.headers {
        headers.header(name.as_bytes(), value.as_bytes());
    }
    fixture.client.handle_webhook(&headers, delivery.body.as_bytes())
}

/// An event whose user has to be fetched is delivered again until the fetch succeeds; any other is applied at once.
/// Threat N5.
#[test]
fn clerk_faults_when_webhook_event_is_applied() {
    let cell = |name: &str, fault: Option<&Fault>, meaning: Meaning| {
        let dir = TempDir::new();
        let store = Arc::new(SqliteStore::open(dir.join("users.db")).unwrap());
        let sim = Sim::start();
        let key = pem(&sim);
        sim.put_user(json!({"id": USER, "username": "ada"}));
        sim.put_session(json!({"id": SESSION, "user_id": USER}));
        let fixture = Fixture::build(sim, Some(store.clone()), |config| {
            config.jwt_key = key;
            config.user_mode = Some(UserMode::Sync);
            config.timeout_ms = TIMEOUT_MS;
            config.webhook_secrets = vec![Secret::new(DEFAULT_WEBHOOK_SECRET)];
        });
        let token = fixture.mint(&clerk_sim::TokenSpec::session(USER).sid(SESSION));
        start(&fixture, fault);
        // The user has no row yet, so the event alone may not make one.
        let mut outcome = None;
        let what = format!("{name} × webhook");
        let is_in_time = in_time(false, &what, || outcome = Some(deliver(&fixture, "user.updated", USER, "msg_1")));
        let has_row = || store.find_by_clerk_id(USER).unwrap().is_some();
        match meaning {
            Meaning::Passing => assert_eq!((outcome, has_row()), (Some(WebhookOutcome::Applied), true), "{what}"),
            Meaning::Refused(_) => assert!(!matches!(outcome, Some(WebhookOutcome::Rejected(_))), "{what}"),
            _ => assert!(matches!(outcome, Some(WebhookOutcome::Failed(_))) && !has_row(), "{what}: {outcome:?}"),
        }
        // The end of a session needs no call.
        let mut outcome = None;
        let is_also_in_time =
            in_time(true, &what, || outcome = Some(deliver(&fixture, "session.ended", SESSION, "msg_2")));
        assert_eq!(outcome, Some(WebhookOutcome::Applied), "{what}");
        assert!(fixture.ask(&token).starts_with("out "), "{what}");
        // The same delivery again, when Clerk works and the circuit is closed.
        if !matches!(meaning, Meaning::Passing | Meaning::Refused(_)) {
            fixture.sim.set_down(false).unwrap();
            fixture.sim.clear_faults();
            fixture.time.advance_s(120);
            assert_eq!(deliver(&fixture, "user.updated", USER, "msg_1"), WebhookOutcome::Applied, "{what}");
            assert!(has_row(), "{what}");
        }
        is_in_time && is_also_in_time
    };
    each(super::faults(), cell);
}
