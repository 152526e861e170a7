//! The column of clients that fetch signing keys: none in memory, a good set that is due or too old, and a set that does
//! not know the key.

use std::time::Duration;

use clerk_auth::config::UserMode;
use clerk_sim::{Fault, Rotation, Sim};
use serde_json::{Value, json};

use super::common::{Rig, SLACK, timed};
use super::{TIMEOUT_MS, USER};

const FAILED: &str = "unavailable jwk-failed-to-load";
const INVALID: &str = "unavailable jwk-remote-invalid";
const MISCONFIGURED: &str = "unavailable secret-key-invalid";
/// It passes within the time there is.
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
}

impl Cell<'_> {
    fn rig(&self) -> Rig {
        Rig::new(|config| {
            config.user_mode = Some(UserMode::Claims);
            config.timeout_ms = TIMEOUT_MS;
        })
    }

    fn set_in(&self, rig: &Rig) {
        match self.fault {
            Some(fault) => rig.sim.fault(fault.clone()),
            None => rig.sim.set_down(true).unwrap(),
        }
    }

    fn ask(&self, rig: &Rig, state: &str, outcome: &str) {
        let (ended, took) = timed(|| rig.ask_new(USER));
        assert_eq!(ended, outcome, "{} × {state}", self.name);
        let limit = Duration::from_millis(TIMEOUT_MS as u64) + SLACK;
        assert!(took <= limit, "{} × {state} took {took:?}", self.name);
    }

    /// No key in memory.
    fn cold(&self, outcome: &str) {
        let rig = self.rig();
        self.set_in(&rig);
        self.ask(&rig, "cold", outcome);
    }

    /// The last good set: kept for an hour, and not a second longer.
    fn kept(&self, outcome: &str) {
        let rig = self.rig();
        self.ask(&rig, "good", "in verified");
        rig.time.pass_s(300);
        self.set_in(&rig);
        self.ask(&rig, "due", "in verified");
        if outcome != PASSING {
            rig.time.pass_s(3299);
            self.ask(&rig, "almost too old", "in verified");
            rig.time.pass_s(1);
            self.ask(&rig, "too old", outcome);
        }
    }

    /// The key was changed, and the new one cannot be had.
    fn rotated(&self, same_kid: bool, outcome: &str) {
        let rig = self.rig();
        self.ask(&rig, "good", "in verified");
        rig.sim.rotate(Rotation { same_kid, ..Rotation::default() }).unwrap();
        self.set_in(&rig);
        self.ask(&rig, if same_kid { "another key" } else { "another key id" }, outcome);
    }
}

#[test]
fn n5_faults_of_clerk_where_the_signing_key_is_wanted() {
    let faults = faults();
    // The slow cells wait for time-outs: several at once.
    std::thread::scope(|scope| {
        for some in faults.chunks(faults.len().div_ceil(6)) {
            scope.spawn(move || {
                for (name, fault, outcome) in some {
                    let cell = Cell { name, fault: fault.as_ref() };
                    cell.cold(outcome);
                    cell.kept(outcome);
                    cell.rotated(false, outcome);
                    cell.rotated(true, outcome);
                }
            });
        }
    });
}
