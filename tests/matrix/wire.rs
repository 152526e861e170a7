//! The rows of names that cannot be looked up and of certificates that prove nothing, in every column.

use std::sync::Arc;
use std::time::Duration;

use clerk_auth::Config;
use clerk_auth::client::WebhookOutcome;
use clerk_auth::config::{Secret, UserMode};
use clerk_auth::users::{SqliteStore, UserStore};
use clerk_auth::webhooks::Headers;
use clerk_sim::webhook::WebhookSpec;
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Leaf, Sim};
use serde_json::json;

use super::common::door::{Door, Way};
use super::common::{Folder, Rig, SLACK, pem, timed};
use super::{Meaning, State, TIMEOUT_MS, USER, judge};

/// What stands behind Clerk's address from now on.
#[derive(Clone, Copy, Debug)]
enum Impostor {
    /// Its certificate proves nothing.
    With(Leaf),
    /// Its certificate is by an authority that nobody has named.
    OfAnotherAuthority,
    /// It takes the connection and says nothing.
    Silent,
    /// It closes the connection at once.
    Shut,
}

const IMPOSTORS: [Impostor; 6] = [
    Impostor::With(Leaf::Expired),
    Impostor::With(Leaf::WrongHost),
    Impostor::With(Leaf::SelfSigned),
    Impostor::OfAnotherAuthority,
    Impostor::Silent,
    Impostor::Shut,
];

/// A client that talks HTTPS through a door, and the house that an impostor has ready.
struct Scene {
    rig: Rig,
    door: Door,
    house: Sim,
    impostor: Impostor,
    _folder: Folder,
}

impl Scene {
    fn new(impostor: Impostor, mode: UserMode, with_key: bool) -> Scene {
        let folder = Folder::new();
        let store =
            (mode == UserMode::Sync).then(|| Arc::new(SqliteStore::open(folder.join("users.db")).unwrap()) as Arc<_>);
        let sim = Sim::builder().leaf(Leaf::Ok).start();
        let house = Sim::builder()
            .leaf(match impostor {
                Impostor::With(leaf) => leaf,
                _ => Leaf::Ok,
            })
            .start();
        [&sim, &house].iter().for_each(|sim| sim.put_user(json!({"id": USER, "username": "ada"})));
        let door = Door::new(Way::To(sim.https_addr().unwrap()));
        let (key, port) = (pem(&sim), door.addr.port());
        // The false certificate's authority is trusted, so that it is its own fault alone for which it is refused.
        let ca = match impostor {
            Impostor::With(_) => sim.ca_pem() + &house.ca_pem(),
            _ => sim.ca_pem(),
        };
        let rig = Rig::build(sim, store, |config| {
            config.api_url = format!("https://localhost:{port}");
            config.ca_pem = Some(ca);
            config.jwt_key = key.filter(|_| with_key);
            config.user_mode = Some(mode);
            config.timeout_ms = TIMEOUT_MS;
        });
        Scene { rig, door, house, impostor, _folder: folder }
    }

    fn set_in(&self) {
        self.door.turn(match self.impostor {
            Impostor::With(_) | Impostor::OfAnotherAuthority => Way::To(self.house.https_addr().unwrap()),
            Impostor::Silent => Way::Nowhere,
            Impostor::Shut => Way::Shut,
        });
    }

    fn has_learnt_nothing(&self, what: &str) {
        assert_eq!(self.house.stats().total(), 0, "{what}");
    }
}

fn columns(mode: UserMode) {
    std::thread::scope(|scope| {
        for impostor in IMPOSTORS {
            scope.spawn(move || {
                for state in State::ALL {
                    let scene = Scene::new(impostor, mode, true);
                    let what = format!("{impostor:?} × {state:?} × {mode:?}");
                    let before = scene.door.visitors();
                    judge(&scene.rig, state, Meaning::Outage, &what, || scene.set_in());
                    let asks = matches!(state, State::Stale | State::Nothing);
                    assert!(!asks || scene.door.visitors() > before, "{what}: nobody came");
                    scene.has_learnt_nothing(&what);
                }
            });
        }
    });
}

#[test]
fn n1_n5_false_certificates_in_profile_mode() {
    columns(UserMode::Profile);
}

#[test]
fn n1_n5_false_certificates_in_sync_mode() {
    columns(UserMode::Sync);
}

#[test]
fn n1_n5_false_certificates_where_the_signing_key_is_wanted() {
    std::thread::scope(|scope| {
        for impostor in IMPOSTORS {
            scope.spawn(move || {
                let what = format!("{impostor:?}");
                let limit = Duration::from_millis(TIMEOUT_MS as u64) + SLACK;
                let unavailable = "unavailable jwk-failed-to-load";
                let cold = Scene::new(impostor, UserMode::Claims, false);
                cold.set_in();
                let (ended, took) = timed(|| cold.rig.ask_new(USER));
                assert_eq!(ended, unavailable, "{what}");
                assert!(took <= limit, "{what} took {took:?}");
                cold.has_learnt_nothing(&what);

                let warm = Scene::new(impostor, UserMode::Claims, false);
                assert_eq!(warm.rig.ask_new(USER), "in verified", "{what}");
                warm.set_in();
                for (seconds, outcome) in [(300, "in verified"), (3299, "in verified"), (1, unavailable)] {
                    warm.rig.time.pass_s(seconds);
                    let (ended, took) = timed(|| warm.rig.ask_new(USER));
                    assert_eq!(ended, outcome, "{what} after {seconds}");
                    assert!(took <= limit, "{what} took {took:?}");
                }
                warm.has_learnt_nothing(&what);
            });
        }
    });
}

/// A client whose Clerk has a name that nobody can look up. What it knows came with its settings and by webhook.
fn nameless(mode: UserMode, store: Option<Arc<dyn UserStore>>, tune: impl FnOnce(&mut Config, &Sim)) -> Rig {
    let sim = Sim::start();
    sim.put_user(json!({"id": USER, "username": "ada"}));
    let mut tuned = Config::new();
    tune(&mut tuned, &sim);
    Rig::build(sim, store, |config| {
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

fn hear_of_the_user(rig: &Rig) {
    let spec = WebhookSpec { timestamp: Some(rig.time.now_s()), ..WebhookSpec::new("user.updated", USER) };
    let delivery = rig.sim.webhook(&spec).unwrap();
    let mut headers = Headers::default();
    delivery.headers.iter().for_each(|(name, value)| headers.header(name.as_bytes(), value.as_bytes()));
    assert_eq!(rig.client.handle_webhook(&headers, delivery.body.as_bytes()), WebhookOutcome::Applied);
    rig.diary.take();
}

#[test]
fn n5_a_name_that_cannot_be_looked_up() {
    for mode in [UserMode::Profile, UserMode::Sync] {
        for state in State::ALL {
            let folder = Folder::new();
            let store =
                (mode == UserMode::Sync).then(|| Arc::new(SqliteStore::open(folder.join("users.db")).unwrap()) as _);
            let rig = nameless(mode, store, |config, sim| config.jwt_key = pem(sim));
            if state != State::Nothing {
                hear_of_the_user(&rig);
            }
            judge(&rig, state, Meaning::Outage, &format!("no such name × {state:?} × {mode:?}"), || {});
        }
    }
}

#[test]
fn n5_a_name_that_cannot_be_looked_up_where_the_signing_key_is_wanted() {
    let unavailable = "unavailable jwk-failed-to-load";
    let limit = Duration::from_millis(TIMEOUT_MS as u64) + SLACK;
    let cold = nameless(UserMode::Claims, None, |_, _| {});
    let (ended, took) = timed(|| cold.ask_new(USER));
    assert_eq!(ended, unavailable);
    assert!(took <= limit, "{took:?}");
    let warm = nameless(UserMode::Claims, None, |config, sim| {
        config.jwks = Some(sim.keys().jwks(&["k1"]).unwrap().to_string());
    });
    for (seconds, outcome) in [(0, "in verified"), (300, "in verified"), (3299, "in verified"), (1, unavailable)] {
        warm.time.pass_s(seconds);
        let (ended, took) = timed(|| warm.ask_new(USER));
        assert_eq!(ended, outcome, "after {seconds}");
        assert!(took <= limit, "{took:?} after {seconds}");
    }
}
