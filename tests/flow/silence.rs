//! Tokens, secrets and addresses reach no log, event or debug output, whatever fails.

use std::sync::{Arc, Mutex};

use clerk_auth::client::Outcome;
use clerk_auth::events::Level;
use clerk_auth::users::SqliteStore;
use clerk_auth::{ClientBuilder, Config};
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
    let mut builder = ClientBuilder { clock: Some(time.clock()), ..ClientBuilder::default() };
    let (events, logs) = (output.clone(), output.clone());
    builder.listeners.on_event(move |event| *events.lock().unwrap() += &format!("{event:?}\n"));
    builder.listeners.on_log(Level::Debug, move |level, text| *logs.lock().unwrap() += &format!("{level:?} {text}\n"));
    builder.store = Some(Arc::new(SqliteStore::open(dir.join("users.db")).unwrap()));
    builder.config = Config::new();
    builder.config.set("secret_key", SECRET).unwrap();
    builder.config.set("webhook_secrets", "whsec_c2VjcmV0").unwrap();
    builder.config.set("api_url", &sim.url()).unwrap();
    builder.config.set("user_ttl_s", "0").unwrap();
    *output.lock().unwrap() += &format!("{:?}\n", builder.config);
    let client = builder.build().unwrap();

    let mut tokens = Vec::new();
    let mut authenticate = |spec: TokenSpec| {
        let token = sim.mint(&spec, time.now_s());
        let result = bearer(&client, &token);
        *output.lock().unwrap() += &format!("{client:?} {result:?}\n");
        tokens.push(token);
        matches!(result.outcome, Outcome::SignedIn { .. })
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
