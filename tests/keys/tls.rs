//! HTTPS to Clerk: whoever cannot prove to be Clerk learns nothing.

use clerk_auth::config::UserMode;
use clerk_sim::{Leaf, Sim};
use serde_json::json;

use super::common::{Rig, SLACK, timed};

fn rig(leaf: Leaf, ca: impl FnOnce(&Sim) -> Option<String>) -> Rig {
    let sim = Sim::builder().leaf(leaf).start();
    sim.put_user(json!({"id": "user_1"}));
    let (url, ca) = (sim.https_url(), ca(&sim));
    Rig::build(sim, None, |config| {
        config.api_url = url;
        config.ca_pem = ca;
        config.user_mode = Some(UserMode::Profile);
        config.timeout_ms = 2000;
    })
}

#[test]
fn a_certificate_by_the_named_authority_is_trusted() {
    let rig = rig(Leaf::Ok, |sim| Some(sim.ca_pem()));
    assert_eq!([rig.ask_new("user_1"), rig.ask_new("user_1")], ["in verified", "in verified"]);
    assert!(rig.sim.log().iter().all(|entry| entry.https));
    assert_eq!((rig.calls(), rig.sim.connections()), (2, 1), "one connection serves both calls");
    assert!(rig.sim.violations().is_empty(), "{:?}", rig.sim.violations());
}

#[test]
fn n1_req12_a_false_certificate_is_an_outage_and_no_request_is_sent() {
    let elsewhere = Sim::builder().https(true).start().ca_pem();
    for (name, rig) in [
        ("expired", rig(Leaf::Expired, |sim| Some(sim.ca_pem()))),
        ("wrong host", rig(Leaf::WrongHost, |sim| Some(sim.ca_pem()))),
        ("self-signed", rig(Leaf::SelfSigned, |sim| Some(sim.ca_pem()))),
        ("another authority", rig(Leaf::Ok, |_| Some(elsewhere.clone()))),
        ("the system's authorities", rig(Leaf::Ok, |_| None)),
    ] {
        let (ended, took) = timed(|| rig.ask_new("user_1"));
        assert_eq!(ended, "unavailable jwk-failed-to-load", "{name}");
        assert!(took.as_millis() <= 2000 + SLACK.as_millis(), "{name} took {took:?}");
        assert!(rig.sim.connections() > 0, "{name}");
        assert_eq!(rig.calls(), 0, "{name}");
    }
}

#[test]
fn n1_a_certificate_that_turns_false_keeps_known_keys_and_users_and_learns_nothing() {
    let good = Sim::builder().leaf(Leaf::Ok).start();
    let set = good.keys().jwks(&["k1"]).unwrap().to_string();
    let sim = Sim::builder().leaf(Leaf::Expired).start();
    let (url, ca) = (sim.https_url(), sim.ca_pem());
    let rig = Rig::build(sim, None, |config| {
        config.api_url = url;
        config.ca_pem = Some(ca);
        config.jwks = Some(set);
        config.timeout_ms = 2000;
    });
    rig.time.pass_s(300);
    assert_eq!(rig.ask_new("user_1"), "in verified");
    rig.time.pass_s(3300);
    assert_eq!(rig.ask_new("user_1"), "unavailable jwk-failed-to-load");
    assert_eq!(rig.calls(), 0);
}

#[test]
fn n1_plain_text_behind_https_is_an_outage() {
    let sim = Sim::start();
    let url = sim.url().replace("http://", "https://");
    let rig = Rig::build(sim, None, |config| {
        config.api_url = url;
        config.timeout_ms = 2000;
    });
    assert_eq!(rig.ask_new("user_1"), "unavailable jwk-failed-to-load");
    assert_eq!(rig.calls(), 0);
}
