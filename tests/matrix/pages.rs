//! Calls of the browser handshake: the exchange of a nonce, and the refresh of an expired session. Neither is repeated.

use std::sync::Arc;

use clerk_auth::internals::Config;
use clerk_auth::{AuthResult, Request, UserMode};
use clerk_sim::{Fault, Sim, TokenSpec};
use serde_json::{Value, json};

use super::common::{Fixture, auth_events, pem, word};
use super::{Faults, Meaning, TIMEOUT_MS, each, in_time, start, wire_faults};

const ORIGIN: &str = "https://app.example.com";

/// A production instance with `handshake` on and a configured key.
fn fixture() -> Fixture {
    let sim = Sim::start();
    let key = pem(&sim);
    Fixture::build(sim, None, |config: &mut Config| {
        config.jwt_key = key;
        config.user_mode = Some(UserMode::Claims);
        config.timeout_ms = TIMEOUT_MS;
        for (name, value) in [
            ("handshake", "on"),
            ("publishable_key", "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k"),
            ("public_origin", ORIGIN),
            ("authorized_parties", ORIGIN),
        ] {
            config.set(name, value).unwrap();
        }
    })
}

fn session() -> TokenSpec {
    TokenSpec::session("user_ada").sid("sess_ada").azp(ORIGIN)
}

/// `Set-Cookie` lines that sign the browser in.
fn lines(token: &str) -> Value {
    json!([format!("__session={token}; Path=/"), "__client_uat=1700000000; Path=/"])
}

/// Requests a document with an expired session and one more cookie.
fn open_page(fixture: &Fixture, cookie: &str) -> Arc<AuthResult> {
    let expired = fixture.mint(&TokenSpec { iat_in: Some(-180), ..session().exp_in(-120) });
    let cookies = format!("__session={expired}; __client_uat=1700000000; {cookie}");
    let mut request = Request::new();
    request.method(b"GET").scheme(b"https").target(b"/").header(b"Host", b"app.example.com");
    request.header(b"Sec-Fetch-Dest", b"document").header(b"Cookie", cookies.as_bytes());
    fixture.client.authenticate(&request)
}

/// Opens a page during a fault, and again when Clerk works. `right` returns the expected outcome, and whether there is a redirect.
fn column(faults: Faults, cookie: &str, right: impl Fn(Meaning) -> (&'static str, bool) + Sync) {
    each(faults, |name, fault, meaning| {
        let fixture = fixture();
        let token = fixture.mint(&session());
        fixture.sim.update(|state| {
            state.nonces.insert("n1".into(), lines(&token));
            state.refresh = json!({"cookies": lines(&token)});
        });
        let what = format!("{name} × {cookie}");
        start(&fixture, fault);
        let mut result = None;
        let is_in_time = in_time(false, &what, || result = Some(open_page(&fixture, cookie)));
        let result = result.unwrap();
        assert_eq!((word(&result).as_str(), result.redirect().is_some()), right(meaning), "{what}");
        let events = fixture.event_log.take();
        let has_credential = !word(&result).starts_with("none ");
        assert_eq!(auth_events(&events), usize::from(has_credential), "{what}: {events:?}");
        // One call at most, whatever the fault is.
        assert!(fixture.calls() <= 1, "{what}: {} calls", fixture.calls());
        fixture.sim.set_down(false).unwrap();
        fixture.sim.clear_faults();
        // After the circuit and the refused refresh.
        fixture.time.advance_s(120);
        let token = fixture.mint(&session());
        fixture.sim.update(|state| {
            state.nonces.insert("n2".into(), lines(&token));
            state.refresh = json!({"cookies": lines(&token)});
        });
        let healed = word(&open_page(&fixture, &cookie.replace("n1", "n2")));
        assert_eq!(healed, "in verified", "{what}, healed");
        is_in_time
    });
}

/// Threat N5. The browser keeps its nonce, and the page is requested again.
#[test]
fn clerk_faults_when_a_nonce_is_exchanged() {
    const PAYLOAD: &str = "/clients/handshake_payload";
    let on = || Fault::on(PAYLOAD);
    let mut faults = wire_faults(PAYLOAD);
    faults.extend([
        ("404", Some(on().status(404)), Meaning::Refused("none session-token-missing")),
        ("410", Some(on().status(410)), Meaning::Refused("none session-token-missing")),
        ("no directives", Some(on().body(json!({}))), Meaning::Outage),
        ("directives of another type", Some(on().body(json!({"directives": "__session=a"}))), Meaning::Outage),
    ]);
    column(faults, "__clerk_handshake_nonce=n1", |meaning| match meaning {
        Meaning::Misconfigured => ("unavailable secret-key-invalid", false),
        Meaning::Outage | Meaning::Passing => ("unavailable server-error", false),
        // A nonce that is unknown ends the handshake: another redirect might come back with another one.
        Meaning::Refused(how) => (how, false),
    });
}

/// Threat N5. What cannot be refreshed is sent to Clerk's own pages, which may work although its API does not.
#[test]
fn clerk_faults_when_a_session_is_refreshed() {
    const REFRESH: &str = "/sessions/*/refresh";
    let on = || Fault::on(REFRESH);
    let mut faults = wire_faults(REFRESH);
    faults.extend([
        ("404", Some(on().status(404)), Meaning::Refused("out token-expired")),
        ("cookies of another type", Some(on().body(json!({"cookies": {"0": "__session=a"}}))), Meaning::Outage),
        ("no cookies", Some(on().body(json!({"cookies": []}))), Meaning::Outage),
    ]);
    column(faults, "__refresh_naoXFJnI=rt_0", |_| ("out token-expired", true));
}

/// Nothing is recorded of a response that is not Clerk's: the same page succeeds as soon as Clerk responds.
#[test]
fn foreign_response_to_a_page_is_not_cached() {
    for (path, cookie, during) in [
        ("/clients/handshake_payload", "__clerk_handshake_nonce=n1", "unavailable server-error"),
        ("/sessions/*/refresh", "__refresh_naoXFJnI=rt_0", "out token-expired"),
    ] {
        for status in [400, 401, 403, 404, 410, 422] {
            let fixture = fixture();
            let token = fixture.mint(&session());
            fixture.sim.update(|state| {
                state.nonces.insert("n1".into(), lines(&token));
                state.refresh = json!({"cookies": lines(&token)});
            });
            fixture.sim.fault(Fault::on(path).status(status).html());
            assert_eq!(word(&open_page(&fixture, cookie)), during, "{path} {status}");
            fixture.sim.clear_faults();
            assert_eq!(word(&open_page(&fixture, cookie)), "in verified", "{path} {status}");
        }
    }
}
