//! Tokens, secrets and addresses reach no log, event or debug output, whatever fails.

use std::sync::{Arc, Mutex};

use clerk_auth::users::SqliteStore;
use clerk_auth::{Client, LogLevel, Outcome};
use clerk_sim::{Fault, Sim, Spoil, TokenSpec};
use serde_json::json;

use super::common::{ManualClock, SECRET, TempDir, bearer};

const ADDRESS: &str = "ada.of.the.test@example.com";

/// Threat L1.
#[test]
fn no_secret_reaches_log_event_or_debug_output() {
    let (sim, time, dir) = (Sim::start(), ManualClock::default(), TempDir::new());
    let email = json!([{"id": "idn_1", "email_address": ADDRESS, "verification": "verified"}]);
    sim.put_user(json!({"id": "user_1", "primary_email_address_id": "idn_1", "email_addresses": email}));
    let output = Arc::new(Mutex::new(String::new()));
    let (events, logs) = (output.clone(), output.clone());
    let builder = Client::builder()
        .secret_key(SECRET)
        .webhook_secrets(["whsec_c2VjcmV0"])
        .api_url(sim.url())
        .user_ttl_s(0)
        .clock(time.clock())
        .on_event(move |event| *events.lock().unwrap() += &format!("{event:?}\n"))
        .on_log(LogLevel::Debug, move |level, text| *logs.lock().unwrap() += &format!("{level:?} {text}\n"))
        .user_store(Arc::new(SqliteStore::open(dir.join("users.db")).unwrap()));
    *output.lock().unwrap() += &format!("{builder:?}\n");
    let client = builder.build().unwrap();

    let mut tokens = Vec::new();
    let mut authenticate = |spec: TokenSpec| {
        let token = sim.mint(&spec, time.now_s());
        let result = bearer(&client, &token);
        *output.lock().unwrap() += &format!("{client:?} {result:?}\n");
        tokens.push(token);
        matches!(result.outcome(), Outcome::SignedIn { .. })
    };
    let good = || TokenSpec::session("user_1");
    assert!(authenticate(good()));
    for spoil in [Spoil::Expired, Spoil::Tampered, Spoil::WrongKey, Spoil::AlgNone] {
        assert!(!authenticate(good().spoil(spoil)));
    }
    assert!(!authenticate(TokenSpec::session("user_nobody")));
    for status in [401, 403, 404, 429, 500] {
        sim.set_faults(vec![Fault::on("/users/*").status(status).body(json!({"errors": [{"message": ADDRESS}]}))]);
        authenticate(good());
        time.advance_s(61);
    }
    let output = output.lock().unwrap();
    assert!(output.contains("request to Clerk for a user failed"), "nothing was logged");
    let parts = tokens.iter().flat_map(|token| token.split('.').map(str::to_owned));
    let secrets = [SECRET, "whsec_c2VjcmV0", "c2VjcmV0", ADDRESS].map(str::to_owned);
    for secret in parts.filter(|part| part.len() > 20).chain(secrets) {
        assert!(!output.contains(&secret), "{secret} was logged");
    }
}
