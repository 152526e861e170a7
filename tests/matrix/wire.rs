//! Unresolvable names and invalid certificates, in every cache state and user mode.

use std::sync::Arc;

use clerk_auth::internals::Config;
use clerk_auth::users::{RowChanges, SqliteStore, UserStore};
use clerk_auth::{Secret, UserMode, WebhookHeaders, WebhookOutcome};
use clerk_sim::webhook::WebhookSpec;
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Leaf, Sim};
use serde_json::json;

use super::common::tcp_proxy::{Route, TcpProxy};
use super::common::{Fixture, TempDir, pem};
use super::{Meaning, State, TIMEOUT_MS, USER, check_outcome, in_time, until_in_time};

/// The server at Clerk's address after the fault starts.
#[derive(Clone, Copy, Debug)]
enum FakeServer {
    /// Its certificate is invalid.
    With(Leaf),
    /// Its certificate is issued by an unknown authority.
    OfAnotherAuthority,
    /// It accepts connections and sends nothing.
    Silent,
    /// It closes connections at once.
    Shut,
}

const FAKE_SERVERS: [FakeServer; 6] = [
    FakeServer::With(Leaf::Expired),
    FakeServer::With(Leaf::WrongHost),
    FakeServer::With(Leaf::SelfSigned),
    FakeServer::OfAnotherAuthority,
    FakeServer::Silent,
    FakeServer::Shut,
];

/// A client that uses HTTPS through a proxy, and the other server that the proxy can be switched to.
struct WireFixture {
    fixture: Fixture,
    proxy: TcpProxy,
    other_sim: Sim,
    fake_server: FakeServer,
    _folder: TempDir,
}

impl WireFixture {
    fn new(fake_server: FakeServer, mode: UserMode, with_key: bool) -> WireFixture {
        let dir = TempDir::new();
        let store =
            (mode == UserMode::Sync).then(|| Arc::new(SqliteStore::open(dir.join("users.db")).unwrap()) as Arc<_>);
        let sim = Sim::builder().leaf(Leaf::Ok).start();
        let other_sim = Sim::builder()
            .leaf(match fake_server {
                FakeServer::With(leaf) => leaf,
                _ => Leaf::Ok,
            })
            .start();
        [&sim, &other_sim].iter().for_each(|sim| sim.put_user(json!({"id": USER, "username": "ada"})));
        let proxy = TcpProxy::new(Route::To(sim.https_addr().unwrap()));
        let (key, port) = (pem(&sim), proxy.addr.port());
        // The other authority is trusted: only the certificate itself is invalid.
        let ca = match fake_server {
            FakeServer::With(_) => sim.ca_pem() + &other_sim.ca_pem(),
            _ => sim.ca_pem(),
        };
        let fixture = Fixture::build(sim, store, |config| {
            config.api_url = format!("https://localhost:{port}");
            config.ca_pem = Some(ca);
            config.jwt_key = key.filter(|_| with_key);
            config.user_mode = Some(mode);
            config.timeout_ms = TIMEOUT_MS;
        });
        WireFixture { fixture, proxy, other_sim, fake_server, _folder: dir }
    }

    fn start_fault(&self) {
        self.proxy.set_route(match self.fake_server {
            FakeServer::With(_) | FakeServer::OfAnotherAuthority => Route::To(self.other_sim.https_addr().unwrap()),
            FakeServer::Silent => Route::Silent,
            FakeServer::Shut => Route::Closed,
        });
    }

    fn assert_no_request(&self, what: &str) {
        assert_eq!(self.other_sim.stats().total(), 0, "{what}");
    }
}

fn columns(mode: UserMode) {
    std::thread::scope(|scope| {
        for fake_server in FAKE_SERVERS {
            scope.spawn(move || {
                for state in State::ALL {
                    let what = format!("{fake_server:?} × {state:?} × {mode:?}");
                    until_in_time(&what, || {
                        let fixture = WireFixture::new(fake_server, mode, true);
                        let before = fixture.proxy.connections();
                        let is_in_time =
                            check_outcome(&fixture.fixture, state, Meaning::Outage, &what, || fixture.start_fault());
                        let needs_clerk = matches!(state, State::Stale | State::Nothing);
                        assert!(!needs_clerk || fixture.proxy.connections() > before, "{what}: no connection");
                        fixture.assert_no_request(&what);
                        is_in_time
                    });
                }
            });
        }
    });
}

/// Threats N1 and N5.
#[test]
fn invalid_certificates_in_profile_mode() {
    columns(UserMode::Profile);
}

/// Threats N1 and N5.
#[test]
fn invalid_certificates_in_sync_mode() {
    columns(UserMode::Sync);
}

/// Threats N1 and N5.
#[test]
fn invalid_certificates_when_signing_key_is_needed() {
    std::thread::scope(|scope| {
        for fake_server in FAKE_SERVERS {
            scope.spawn(move || {
                let what = format!("{fake_server:?}");
                until_in_time(&what, || needs_key(fake_server, &what));
            });
        }
    });
}

fn needs_key(fake_server: FakeServer, what: &str) -> bool {
    let unavailable = "unavailable jwk-failed-to-load";
    let cold = WireFixture::new(fake_server, UserMode::Claims, false);
    cold.start_fault();
    let mut is_in_time =
        in_time(false, what, || assert_eq!(cold.fixture.authenticate_new(USER), unavailable, "{what}"));
    cold.assert_no_request(what);

    let warm = WireFixture::new(fake_server, UserMode::Claims, false);
    assert_eq!(warm.fixture.authenticate_new(USER), "in verified", "{what}");
    warm.start_fault();
    for (seconds, outcome) in [(300, "in verified"), (3299, "in verified"), (1, unavailable)] {
        warm.fixture.time.advance_s(seconds);
        is_in_time &= in_time(false, what, || {
            assert_eq!(warm.fixture.authenticate_new(USER), outcome, "{what} after {seconds}");
        });
    }
    warm.assert_no_request(what);
    is_in_time
}

/// A client whose API host cannot be resolved. Its keys come from the settings and its users from webhooks.
fn unresolvable(mode: UserMode, store: Option<Arc<dyn UserStore>>, tune: impl FnOnce(&mut Config, &Sim)) -> Fixture {
    let sim = Sim::start();
    sim.put_user(json!({"id": USER, "username": "ada"}));
    let mut tuned = Config::new();
    tune(&mut tuned, &sim);
    Fixture::build(sim, store, |config| {
        *config = Config {
            api_url: "https://clerk.invalid".into(),
            secret_key: config.secret_key.take(),
            webhook_secrets: vec![Secret::new(DEFAULT_WEBHOOK_SECRET)],
            user_mode: Some(mode),
            timeout_ms: TIMEOUT_MS,
            ..tuned
        };
    })
}

fn deliver_user(fixture: &Fixture) {
    // An event that is late is no fresh user.
    fixture.sim.patch_user(USER, json!({"updated_at": fixture.time.now_s() * 1000})).unwrap();
    let spec = WebhookSpec { timestamp: Some(fixture.time.now_s()), ..WebhookSpec::new("user.updated", USER) };
    let delivery = fixture.sim.webhook(&spec).unwrap();
    let mut headers = WebhookHeaders::default();
    for (name, value) in &delivery.headers {
        headers.header(name.as_bytes(), value.as_bytes());
    }
    assert_eq!(fixture.client.handle_webhook(&headers, delivery.body.as_bytes()), WebhookOutcome::Applied);
    fixture.event_log.take();
}

/// Threat N5.
#[test]
fn unresolvable_host_is_unavailable() {
    for mode in [UserMode::Profile, UserMode::Sync] {
        for state in State::ALL {
            let what = format!("no such name × {state:?} × {mode:?}");
            until_in_time(&what, || {
                let dir = TempDir::new();
                let store = (mode == UserMode::Sync).then(|| {
                    let store = SqliteStore::open(dir.join("users.db")).unwrap();
                    // Without Clerk an event creates no row, and changes those whose version is known.
                    let (clerk_id, username) = (Some(USER.into()), Some("ada".into()));
                    let changes =
                        RowChanges { clerk_id, username, clerk_updated_at_ms: Some(1), ..RowChanges::default() };
                    store.create(&changes).unwrap();
                    Arc::new(store) as _
                });
                let fixture = unresolvable(mode, store, |config, sim| config.jwt_key = pem(sim));
                if state != State::Nothing {
                    deliver_user(&fixture);
                }
                check_outcome(&fixture, state, Meaning::Outage, &what, || {})
            });
        }
    }
}

/// Threat N5.
#[test]
fn unresolvable_host_when_signing_key_is_needed() {
    until_in_time("no such name", || {
        let unavailable = "unavailable jwk-failed-to-load";
        let cold = unresolvable(UserMode::Claims, None, |_, _| {});
        let mut is_in_time = in_time(false, "no such name", || assert_eq!(cold.authenticate_new(USER), unavailable));
        let warm = unresolvable(UserMode::Claims, None, |config, sim| {
            config.jwks = Some(sim.keys().jwks(&["k1"]).unwrap().to_string());
        });
        for (seconds, outcome) in [(0, "in verified"), (300, "in verified"), (3299, "in verified"), (1, unavailable)] {
            warm.time.advance_s(seconds);
            is_in_time &= in_time(false, "no such name", || {
                assert_eq!(warm.authenticate_new(USER), outcome, "after {seconds}");
            });
        }
        is_in_time
    });
}
