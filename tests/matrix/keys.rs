//! Clients that fetch signing keys: none cached, a valid set that is due for refresh or too old, and a set without the
//! key.

use clerk_auth::UserMode;
use clerk_sim::{Fault, Rotation, Sim};
use serde_json::{Value, json};

use super::common::Fixture;
use super::{TIMEOUT_MS, USER, each, in_time, start};

const FAILED: &str = "unavailable jwk-failed-to-load";
const INVALID: &str = "unavailable jwk-remote-invalid";
const MISCONFIGURED: &str = "unavailable secret-key-invalid";
/// The fault ends before the deadline.
const PASSING: &str = "in verified";

fn faults() -> Vec<(&'static str, Option<Fault>, &'static str)> {
    let on = || Fault::on("/jwks");
    let text = |text: &str| json!({"$text": text});
    let many = || {
        let jwk = Sim::start().keys().jwk("k1");
        let copies: Vec<Value> = (0..10_000)
            .map(|i| {
                let mut copy = jwk.clone();
                copy["kid"] = json!(format!("ins_{i}"));
                copy
            })
            .collect();
        json!({"keys": copies})
    };
    vec![
        ("down", None, FAILED),
        ("reset", Some(on().reset()), FAILED),
        ("close", Some(Fault { close: true, ..on() }), FAILED),
        ("stall", Some(on().delay_ms(5000)), FAILED),
        ("drip", Some(Fault { drip_ms: 100, ..on() }), FAILED),
        ("garbage", Some(Fault { garbage: true, ..on() }), FAILED),
        ("401", Some(on().status(401)), MISCONFIGURED),
        ("403", Some(on().status(403)), FAILED),
        ("404", Some(on().status(404)), FAILED),
        ("html 401", Some(on().status(401).html()), FAILED),
        ("html 404", Some(on().status(404).html()), FAILED),
        ("429", Some(on().status(429).header("Retry-After", "2")), FAILED),
        ("500 once", Some(on().status(500).times(1)), PASSING),
        ("reset once", Some(on().reset().times(1)), PASSING),
        ("500", Some(on().status(500)), FAILED),
        ("502", Some(on().status(502)), FAILED),
        ("503", Some(on().status(503)), FAILED),
        ("504", Some(on().status(504)), FAILED),
        ("redirect", Some(on().status(302).header("Location", "/v1/jwks?other")), FAILED),
        ("html", Some(on().body(text("<html></html>"))), INVALID),
        ("empty", Some(on().body(text(""))), INVALID),
        ("cut", Some(Fault { truncate: Some(10), ..on() }), FAILED),
        ("2 MiB", Some(on().body(text(&"x".repeat(2 << 20)))), FAILED),
        ("no keys", Some(on().body(json!({"keys": []}))), INVALID),
        ("foreign keys", Some(on().body(json!({"keys": [{"kty": "oct", "k": "AA", "kid": "ins_1"}]}))), INVALID),
        ("10 000 keys", Some(on().body(many())), FAILED),
    ]
}

struct Cell<'a> {
    name: &'a str,
    fault: Option<&'a Fault>,
    is_late: std::cell::Cell<bool>,
}

impl Cell<'_> {
    fn fixture(&self) -> Fixture {
        Fixture::new(|config| {
            config.user_mode = Some(UserMode::Claims);
            config.timeout_ms = TIMEOUT_MS;
        })
    }

    fn start_fault(&self, fixture: &Fixture) {
        start(fixture, self.fault);
    }

    fn ask(&self, fixture: &Fixture, state: &str, outcome: &str) {
        let what = format!("{} × {state}", self.name);
        if !in_time(false, &what, || assert_eq!(fixture.authenticate_new(USER), outcome, "{what}")) {
            self.is_late.set(true);
        }
    }

    /// No key is cached.
    fn cold(&self, outcome: &str) {
        let fixture = self.fixture();
        self.start_fault(&fixture);
        self.ask(&fixture, "cold", outcome);
    }

    /// The last valid set is used for exactly an hour.
    fn kept(&self, outcome: &str) {
        let fixture = self.fixture();
        self.ask(&fixture, "good", "in verified");
        fixture.time.advance_s(300);
        self.start_fault(&fixture);
        self.ask(&fixture, "due", "in verified");
        if outcome != PASSING {
            fixture.time.advance_s(3299);
            self.ask(&fixture, "almost too old", "in verified");
            fixture.time.advance_s(1);
            self.ask(&fixture, "too old", outcome);
        }
    }

    /// The key was rotated, and the new one cannot be fetched.
    fn rotated(&self, same_kid: bool, outcome: &str) {
        let fixture = self.fixture();
        self.ask(&fixture, "good", "in verified");
        fixture.sim.rotate(Rotation { same_kid, ..Rotation::default() }).unwrap();
        self.start_fault(&fixture);
        self.ask(&fixture, if same_kid { "another key" } else { "another key id" }, outcome);
    }
}

/// Threat N5.
#[test]
fn clerk_faults_when_signing_key_is_needed() {
    each(faults(), |name, fault, outcome| {
        let cell = Cell { name, fault, is_late: std::cell::Cell::new(false) };
        cell.cold(outcome);
        cell.kept(outcome);
        cell.rotated(false, outcome);
        cell.rotated(true, outcome);
        !cell.is_late.get()
    });
}
