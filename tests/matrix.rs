//! Clerk's faults × what is known already × user modes, cell by cell: an outage is never "signed out" and never "signed in"
//! for somebody unknown; who is known goes on; and no answer comes later than `timeout_ms` allows.

mod common;
#[path = "matrix/keys.rs"]
mod keys;
#[path = "matrix/wire.rs"]
mod wire;

use std::sync::Arc;
use std::time::Duration;

use clerk_auth::config::UserMode;
use clerk_auth::users::SqliteStore;
use clerk_sim::{Fault, Sim};
use common::{Folder, Rig, SLACK, pem, timed};
use serde_json::{Value, json};

const TIMEOUT_MS: i64 = 400;
const USER: &str = "user_2ada";

/// What is known when the fault sets in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// The token itself.
    Token,
    /// The user, of late.
    Fresh,
    /// The user, of some time ago.
    Stale,
    /// Nothing.
    Nothing,
}

impl State {
    const ALL: [State; 4] = [State::Token, State::Fresh, State::Stale, State::Nothing];
}

/// What a fault means for a user who has to be fetched.
#[derive(Clone, Copy, PartialEq)]
enum Meaning {
    /// Nobody can tell.
    Outage,
    /// Nobody can tell, and it is the server's own fault.
    Misconfigured,
    /// It passes within the time there is.
    Passing,
    /// Clerk says no.
    Refused(&'static str),
}

fn faults() -> Vec<(&'static str, Option<Fault>, Meaning)> {
    let on = || Fault::on("/users/*");
    let text = |text: &str| json!({"$text": text});
    let user = |extra: Value| {
        let mut user = json!({"id": USER, "object": "user"});
        user.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        user
    };
    let outage = Meaning::Outage;
    vec![
        ("down", None, outage),
        ("reset", Some(on().reset()), outage),
        ("close", Some(Fault { close: true, ..on() }), outage),
        ("stall", Some(on().delay_ms(5000)), outage),
        ("drip", Some(Fault { drip_ms: 100, ..on() }), outage),
        ("401", Some(on().status(401)), Meaning::Misconfigured),
        ("403", Some(on().status(403)), Meaning::Misconfigured),
        ("404", Some(on().status(404)), Meaning::Refused("out user-not-found")),
        ("banned", Some(on().body(user(json!({"banned": true})))), Meaning::Refused("out user-inactive")),
        ("429", Some(on().status(429).header("Retry-After", "2")), outage),
        ("429 without a time", Some(on().status(429)), outage),
        ("429 for ever", Some(on().status(429).header("Retry-After", "99999999999999999999")), outage),
        ("500 once", Some(on().status(500).times(1)), Meaning::Passing),
        ("reset once", Some(on().reset().times(1)), Meaning::Passing),
        ("500", Some(on().status(500)), outage),
        ("503", Some(on().status(503)), outage),
        ("html", Some(on().body(text("<html></html>"))), outage),
        ("empty", Some(on().body(text(""))), outage),
        ("cut", Some(Fault { truncate: Some(10), ..on() }), outage),
        ("another user", Some(on().body(json!({"id": "user_2bob"}))), outage),
        ("gzip", Some(on().header("Content-Encoding", "gzip").body(text("\u{1f}\u{8b}\u{8}"))), outage),
        ("2 MiB", Some(on().body(text(&"x".repeat(2 << 20)))), outage),
        ("redirect", Some(on().status(302).header("Location", "/v1/users/user_2bob")), outage),
    ]
}

fn expected(state: State, meaning: Meaning) -> &'static str {
    match (state, meaning) {
        (State::Token, _) => "in cache",
        (State::Fresh, _) | (_, Meaning::Passing) => "in verified",
        (_, Meaning::Refused(how)) => how,
        (State::Stale, _) => "in verified",
        (State::Nothing, Meaning::Misconfigured) => "unavailable secret-key-invalid",
        (State::Nothing, Meaning::Outage) => "unavailable server-error",
    }
}

/// One cell: brings the client into the state, lets the trouble set in, asks, and judges the answer.
fn judge(rig: &Rig, state: State, meaning: Meaning, what: &str, set_in: impl FnOnce()) {
    let first = rig.token(USER);
    if state != State::Nothing {
        assert_eq!(rig.ask(&first), "in verified", "{what}");
    }
    if state == State::Stale {
        rig.time.pass_s(301);
    }
    set_in();
    let token = if state == State::Token { first } else { rig.token(USER) };
    rig.diary.take();
    let (outcome, took) = timed(|| rig.ask(&token));
    assert_eq!(outcome, expected(state, meaning), "{what}");
    let limit = match state {
        State::Token | State::Fresh => SLACK,
        _ => Duration::from_millis(TIMEOUT_MS as u64) + SLACK,
    };
    assert!(took <= limit, "{what} took {took:?}");
    let events = rig.diary.take();
    let stale = matches!(meaning, Meaning::Outage | Meaning::Misconfigured) && state == State::Stale;
    assert_eq!(events.iter().any(|event| event == "stale_user_served"), stale, "{what}: {events:?}");
    let is_emitted = meaning == Meaning::Misconfigured && matches!(state, State::Stale | State::Nothing);
    assert_eq!(events.iter().any(|event| event == "secret_key_rejected"), is_emitted, "{what}: {events:?}");
    assert_eq!(common::endings(&events), 1, "{what}: {events:?}");
}

fn cell(mode: UserMode, state: State, name: &str, fault: Option<&Fault>, meaning: Meaning) {
    let folder = Folder::new();
    let sim = Sim::start();
    sim.put_user(json!({"id": USER, "username": "ada"}));
    let key = pem(&sim);
    let store =
        (mode == UserMode::Sync).then(|| Arc::new(SqliteStore::open(folder.join("users.db")).unwrap()) as Arc<_>);
    let rig = Rig::build(sim, store, |config| {
        config.jwt_key = key;
        config.user_mode = Some(mode);
        config.timeout_ms = TIMEOUT_MS;
    });
    judge(&rig, state, meaning, &format!("{name} × {state:?} × {mode:?}"), || match fault {
        Some(fault) => rig.sim.fault(fault.clone()),
        None => rig.sim.set_down(true).unwrap(),
    });
}

fn matrix(mode: UserMode) {
    let cells: Vec<_> = faults().into_iter().flat_map(|fault| State::ALL.map(|state| (fault.clone(), state))).collect();
    // The slow cells wait for time-outs: several at once.
    std::thread::scope(|scope| {
        for some in cells.chunks(cells.len().div_ceil(6)) {
            scope.spawn(move || {
                for ((name, fault, meaning), state) in some {
                    cell(mode, *state, name, fault.as_ref(), *meaning);
                }
            });
        }
    });
}

#[test]
fn n5_req11_faults_of_clerk_in_profile_mode() {
    matrix(UserMode::Profile);
}

#[test]
fn n5_faults_of_clerk_in_sync_mode() {
    matrix(UserMode::Sync);
}

#[test]
fn n5_with_a_key_and_claims_alone_no_fault_of_clerk_is_felt() {
    let sim = Sim::start();
    let key = pem(&sim);
    let rig = Rig::build(sim, None, |config| {
        config.jwt_key = key;
        config.user_mode = Some(UserMode::Claims);
    });
    rig.sim.set_down(true).unwrap();
    assert_eq!(rig.ask_new(USER), "in verified");
}

#[test]
fn a_thousand_active_users_are_fetched_at_most_twice_in_ten_minutes() {
    for mode in [UserMode::Profile, UserMode::Sync] {
        ten_minutes_of_a_thousand_users(mode);
    }
}

fn ten_minutes_of_a_thousand_users(mode: UserMode) {
    let sim = Sim::start();
    let store = (mode == UserMode::Sync).then(|| Arc::new(common::table::Table::default()) as Arc<_>);
    let key = pem(&sim);
    let users: Vec<String> = (0..1000).map(|i| format!("user_2n{i}")).collect();
    users.iter().for_each(|id| sim.put_user(json!({"id": id})));
    let rig = Rig::build(sim, store, |config| {
        config.jwt_key = key;
        config.user_mode = Some(mode);
    });
    for _ in 0..12 {
        for user in &users {
            assert_eq!(rig.ask_new(user), "in verified");
        }
        rig.time.pass_s(50);
    }
    let fetches = rig.sim.requests("/users/*");
    assert!(fetches <= 2 * users.len(), "{fetches}");
}

#[test]
fn sixty_four_threads_with_one_fresh_token_fetch_once_and_insert_once() {
    let folder = Folder::new();
    let store = Arc::new(SqliteStore::open(folder.join("users.db")).unwrap());
    let sim = Sim::start();
    let key = pem(&sim);
    sim.put_user(json!({"id": USER, "username": "ada"}));
    sim.fault(Fault::on("/users/*").delay_ms(100));
    let rig = Rig::build(sim, Some(store), |config| config.jwt_key = key);
    let token = rig.token(USER);
    std::thread::scope(|scope| {
        let asks: Vec<_> = (0..64).map(|_| scope.spawn(|| rig.ask(&token))).collect();
        for ask in asks {
            assert!(ask.join().unwrap().starts_with("in "));
        }
    });
    assert_eq!(rig.sim.requests("/users/*"), 1);
    let made = rig.diary.take().iter().filter(|event| *event == "user_created").count();
    assert_eq!(made, 1);
}
