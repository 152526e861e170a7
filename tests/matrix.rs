//! Faults of Clerk × cache states × user modes: an outage never signs out, and never signs in an unknown user; known users
//! stay signed in; no result is returned later than `timeout_ms` allows.

#[path = "matrix/calls.rs"]
mod calls;
mod common;
#[path = "matrix/keys.rs"]
mod keys;
#[path = "matrix/pages.rs"]
mod pages;
#[path = "matrix/shared.rs"]
mod shared;
#[path = "matrix/store.rs"]
mod store;
#[path = "matrix/wire.rs"]
mod wire;

use std::sync::Arc;
use std::time::Duration;

use clerk_auth::UserMode;
use clerk_auth::users::SqliteStore;
use clerk_sim::{Fault, Sim};
use common::{Fixture, TempDir, lateness, pem, timed};
use serde_json::{Value, json};

const TIMEOUT_MS: i64 = 400;
const USER: &str = "user_2ada";

/// What is cached when the fault starts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// The token itself.
    Token,
    /// The user, fresh.
    Fresh,
    /// The user, stale.
    Stale,
    /// Nothing.
    Nothing,
}

impl State {
    const ALL: [State; 4] = [State::Token, State::Fresh, State::Stale, State::Nothing];
}

/// The expected outcome of a fault where Clerk has to be asked.
#[derive(Clone, Copy, PartialEq)]
enum Meaning {
    /// Unavailable.
    Outage,
    /// Unavailable because of the server's configuration.
    Misconfigured,
    /// The fault ends before the deadline.
    Passing,
    /// Clerk rejects the request.
    Refused(&'static str),
}

/// The name of each, what the server does (`None`: it is down), and what is expected.
type List<T> = Vec<(&'static str, Option<Fault>, T)>;
type Faults = List<Meaning>;

/// The faults of a connection or of the server, whatever is asked.
fn wire_faults(path: &str) -> Faults {
    let on = || Fault::on(path);
    let text = |text: &str| json!({"$text": text});
    let outage = Meaning::Outage;
    vec![
        ("down", None, outage),
        ("reset", Some(on().reset()), outage),
        ("close", Some(Fault { close: true, ..on() }), outage),
        ("stall", Some(on().delay_ms(5000)), outage),
        ("drip", Some(Fault { drip_ms: 100, ..on() }), outage),
        ("401", Some(on().status(401)), Meaning::Misconfigured),
        ("403", Some(on().status(403)), Meaning::Misconfigured),
        ("429", Some(on().status(429).header("Retry-After", "2")), outage),
        ("429 without a time", Some(on().status(429)), outage),
        ("429 for ever", Some(on().status(429).header("Retry-After", "99999999999999999999")), outage),
        ("500 once", Some(on().status(500).times(1)), Meaning::Passing),
        ("reset once", Some(on().reset().times(1)), Meaning::Passing),
        ("500", Some(on().status(500)), outage),
        ("503", Some(on().status(503)), outage),
        ("html", Some(on().body(text("<html></html>"))), outage),
        ("html 400", Some(on().status(400).html()), outage),
        ("html 401", Some(on().status(401).html()), outage),
        ("html 403", Some(on().status(403).html()), outage),
        ("html 404", Some(on().status(404).html()), outage),
        ("html 410", Some(on().status(410).html()), outage),
        ("html 422", Some(on().status(422).html()), outage),
        ("404 without a body", Some(on().status(404).body(text(""))), outage),
        ("404 of a gateway", Some(on().status(404).body(json!({"message": "no route"}))), outage),
        ("empty", Some(on().body(text(""))), outage),
        ("an array", Some(on().body(json!([USER]))), outage),
        ("cut", Some(Fault { truncate: Some(10), ..on() }), outage),
        ("garbage", Some(Fault { garbage: true, ..on() }), outage),
        ("gzip", Some(on().header("Content-Encoding", "gzip").body(text("\u{1f}\u{8b}\u{8}"))), outage),
        ("2 MiB", Some(on().body(text(&"x".repeat(2 << 20)))), outage),
        ("redirect", Some(on().status(302).header("Location", "/v1/users/user_2bob")), outage),
    ]
}

fn faults() -> Faults {
    let on = || Fault::on("/users/*");
    let user = |id: &str, extra: Value| {
        let mut user = json!({"id": id, "object": "user"});
        user.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        on().body(user)
    };
    let mut faults = wire_faults("/users/*");
    faults.extend([
        ("404", Some(on().status(404)), Meaning::Refused("out user-not-found")),
        ("banned", Some(user(USER, json!({"banned": true}))), Meaning::Refused("out user-inactive")),
        ("another user", Some(user("user_2bob", json!({}))), Meaning::Outage),
    ]);
    faults
}

/// Starts a fault.
fn start(fixture: &Fixture, fault: Option<&Fault>) {
    match fault {
        Some(fault) => fixture.sim.fault(fault.clone()),
        None => fixture.sim.set_down(true).unwrap(),
    }
}

/// How often a cell runs whose result was late, because the machine may be busy. Under `make faults` only once.
fn runs() -> usize {
    if common::strict_ms().is_some() { 1 } else { 3 }
}

/// Returns whether `run` ends in time: at once if nothing has to be fetched, else `timeout_ms`. Prints what is late.
fn in_time(is_cached: bool, what: &str, run: impl FnOnce()) -> bool {
    let ((), took) = timed(run);
    let timeout = if is_cached { Duration::ZERO } else { Duration::from_millis(TIMEOUT_MS as u64) };
    let tolerated = common::tolerated(common::SLACK);
    if took > timeout + tolerated {
        eprintln!("{what} took {took:?}, tolerated: {tolerated:?}");
    }
    took <= timeout + tolerated
}

/// Runs a cell until it returns `true`.
fn until_in_time(what: &str, cell: impl Fn() -> bool) {
    // Before the first result.
    lateness::of_machine();
    assert!((0..runs()).any(|_| cell()), "{what} is late {} times", runs());
}

/// Runs a cell for each fault, several at once: the slow ones wait for timeouts.
fn each<T: Copy + Sync>(faults: List<T>, cell: impl Fn(&str, Option<&Fault>, T) -> bool + Sync) {
    let cell = &cell;
    std::thread::scope(|scope| {
        for some in faults.chunks(faults.len().div_ceil(6)) {
            scope.spawn(move || {
                for (name, fault, meaning) in some {
                    until_in_time(name, || cell(name, fault.as_ref(), *meaning));
                }
            });
        }
    });
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

/// One cell: fills the caches, starts the fault, authenticates, and checks the result.
fn check_outcome(fixture: &Fixture, state: State, meaning: Meaning, what: &str, start_fault: impl FnOnce()) -> bool {
    let first = fixture.token(USER);
    if state != State::Nothing {
        assert_eq!(fixture.ask(&first), "in verified", "{what}");
    }
    if state == State::Stale {
        fixture.time.advance_s(301);
    }
    start_fault();
    let token = if state == State::Token { first } else { fixture.token(USER) };
    fixture.event_log.take();
    let is_cached = matches!(state, State::Token | State::Fresh);
    let is_in_time = in_time(is_cached, what, || assert_eq!(fixture.ask(&token), expected(state, meaning), "{what}"));
    let events = fixture.event_log.take();
    let stale = matches!(meaning, Meaning::Outage | Meaning::Misconfigured) && state == State::Stale;
    assert_eq!(events.iter().any(|event| event == "stale_user_served"), stale, "{what}: {events:?}");
    let is_emitted = meaning == Meaning::Misconfigured && matches!(state, State::Stale | State::Nothing);
    assert_eq!(events.iter().any(|event| event == "secret_key_rejected"), is_emitted, "{what}: {events:?}");
    assert_eq!(common::auth_events(&events), 1, "{what}: {events:?}");
    is_in_time
}

fn cell(mode: UserMode, state: State, name: &str, fault: Option<&Fault>, meaning: Meaning) -> bool {
    let dir = TempDir::new();
    let sim = Sim::start();
    sim.put_user(json!({"id": USER, "username": "ada"}));
    let key = pem(&sim);
    let store = (mode == UserMode::Sync).then(|| Arc::new(SqliteStore::open(dir.join("users.db")).unwrap()) as Arc<_>);
    let fixture = Fixture::build(sim, store, |config| {
        config.jwt_key = key;
        config.user_mode = Some(mode);
        config.timeout_ms = TIMEOUT_MS;
    });
    check_outcome(&fixture, state, meaning, &format!("{name} × {state:?} × {mode:?}"), || start(&fixture, fault))
}

fn matrix(mode: UserMode) {
    each(faults(), |name, fault, meaning| State::ALL.into_iter().all(|state| cell(mode, state, name, fault, meaning)));
}

/// Threat N5; guarantee 11.
#[test]
fn clerk_faults_in_profile_mode() {
    matrix(UserMode::Profile);
}

/// Threat N5.
#[test]
fn clerk_faults_in_sync_mode() {
    matrix(UserMode::Sync);
}

/// Threat N5.
#[test]
fn clerk_faults_do_not_affect_claims_mode_with_jwt_key() {
    let sim = Sim::start();
    let key = pem(&sim);
    let fixture = Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.user_mode = Some(UserMode::Claims);
    });
    fixture.sim.set_down(true).unwrap();
    assert_eq!(fixture.authenticate_new(USER), "in verified");
}

#[test]
fn thousand_users_are_fetched_at_most_twice_in_10_minutes() {
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
    let fixture = Fixture::build(sim, store, |config| {
        config.jwt_key = key;
        config.user_mode = Some(mode);
    });
    for _ in 0..12 {
        for user in &users {
            assert_eq!(fixture.authenticate_new(user), "in verified");
        }
        fixture.time.advance_s(50);
    }
    let fetches = fixture.sim.requests("/users/*");
    assert!(fetches <= 2 * users.len(), "{fetches}");
}

#[test]
fn concurrent_threads_with_new_token_fetch_and_insert_once() {
    let dir = TempDir::new();
    let store = Arc::new(SqliteStore::open(dir.join("users.db")).unwrap());
    let sim = Sim::start();
    let key = pem(&sim);
    sim.put_user(json!({"id": USER, "username": "ada"}));
    sim.fault(Fault::on("/users/*").delay_ms(100));
    let fixture = Fixture::build(sim, Some(store), |config| config.jwt_key = key);
    let token = fixture.token(USER);
    std::thread::scope(|scope| {
        let asks: Vec<_> = (0..64).map(|_| scope.spawn(|| fixture.ask(&token))).collect();
        for ask in asks {
            assert!(ask.join().unwrap().starts_with("in "));
        }
    });
    assert_eq!(fixture.sim.requests("/users/*"), 1);
    let made = fixture.event_log.take().iter().filter(|event| *event == "user_created").count();
    assert_eq!(made, 1);
}
