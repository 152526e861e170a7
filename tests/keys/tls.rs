//! HTTPS to Clerk: a server without a valid certificate receives no request.

use clerk_auth::UserMode;
use clerk_sim::{Leaf, Sim};
use serde_json::json;

use super::common::{Fixture, SLACK, timed};

fn fixture(leaf: Leaf, ca: impl FnOnce(&Sim) -> Option<String>) -> Fixture {
    let sim = Sim::builder().leaf(leaf).start();
    sim.put_user(json!({"id": "user_1"}));
    let (url, ca) = (sim.https_url(), ca(&sim));
    Fixture::build(sim, None, |config| {
        config.api_url = url;
        config.ca_pem = ca;
        config.user_mode = Some(UserMode::Profile);
        config.timeout_ms = 2000;
    })
}

#[test]
fn certificate_of_configured_ca_is_trusted() {
    let fixture = fixture(Leaf::Ok, |sim| Some(sim.ca_pem()));
    assert_eq!(
        [fixture.authenticate_new("user_1"), fixture.authenticate_new("user_1")],
        ["in verified", "in verified"]
    );
    assert!(fixture.sim.log().iter().all(|entry| entry.https));
    assert_eq!((fixture.calls(), fixture.sim.connections()), (2, 1), "one connection serves both calls");
    assert!(fixture.sim.violations().is_empty(), "{:?}", fixture.sim.violations());
}

/// Threat N1; guarantee 12.
#[test]
fn invalid_certificate_is_unavailable_and_sends_no_request() {
    let elsewhere = Sim::builder().https(true).start().ca_pem();
    for (name, fixture) in [
        ("expired", fixture(Leaf::Expired, |sim| Some(sim.ca_pem()))),
        ("wrong host", fixture(Leaf::WrongHost, |sim| Some(sim.ca_pem()))),
        ("self-signed", fixture(Leaf::SelfSigned, |sim| Some(sim.ca_pem()))),
        ("another authority", fixture(Leaf::Ok, |_| Some(elsewhere.clone()))),
        ("the system's authorities", fixture(Leaf::Ok, |_| None)),
    ] {
        let (ended, took) = timed(|| fixture.authenticate_new("user_1"));
        assert_eq!(ended, "unavailable jwk-failed-to-load", "{name}");
        assert!(took.as_millis() <= 2000 + SLACK.as_millis(), "{name} took {took:?}");
        assert!(fixture.sim.connections() > 0, "{name}");
        assert_eq!(fixture.calls(), 0, "{name}");
    }
}

/// Threat N1.
#[test]
fn certificate_that_becomes_invalid_keeps_the_caches() {
    let good = Sim::builder().leaf(Leaf::Ok).start();
    let set = good.keys().jwks(&["k1"]).unwrap().to_string();
    let sim = Sim::builder().leaf(Leaf::Expired).start();
    let (url, ca) = (sim.https_url(), sim.ca_pem());
    let fixture = Fixture::build(sim, None, |config| {
        config.api_url = url;
        config.ca_pem = Some(ca);
        config.jwks = Some(set);
        config.timeout_ms = 2000;
    });
    fixture.time.advance_s(300);
    assert_eq!(fixture.authenticate_new("user_1"), "in verified");
    fixture.time.advance_s(3300);
    assert_eq!(fixture.authenticate_new("user_1"), "unavailable jwk-failed-to-load");
    assert_eq!(fixture.calls(), 0);
}

/// Threat N1.
#[test]
fn plain_http_on_https_url_is_unavailable() {
    let sim = Sim::start();
    let url = sim.url().replace("http://", "https://");
    let fixture = Fixture::build(sim, None, |config| {
        config.api_url = url;
        config.timeout_ms = 2000;
    });
    assert_eq!(fixture.authenticate_new("user_1"), "unavailable jwk-failed-to-load");
    assert_eq!(fixture.calls(), 0);
}
