//! What processes share adds to a token that each verifies itself, or rejects it. Two clients with one engine represent two
//! processes; a third one that is created later has only what the engine has.

use std::sync::Arc;

use clerk_auth::internals::{Config, builder};
use clerk_auth::shared_cache::{Engine, MemoryEngine};
use clerk_auth::{Client, Secret, TokenKind};
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Sim};
use serde_json::json;

use super::common::{ManualClock, SECRET, bearer, pem, word};

/// Clerk, an engine and the clocks of the processes.
struct Fleet {
    sim: Sim,
    time: ManualClock,
    engine: Arc<MemoryEngine>,
}

impl Fleet {
    fn new() -> Fleet {
        Fleet { sim: Sim::start(), time: ManualClock::default(), engine: Arc::new(MemoryEngine::new()) }
    }

    fn client(&self, tune: impl FnOnce(&mut Config)) -> Client {
        self.client_with(self.engine.clone(), &self.time, tune)
    }

    fn client_with(&self, engine: Arc<dyn Engine>, time: &ManualClock, tune: impl FnOnce(&mut Config)) -> Client {
        let mut config = Config::new();
        config.api_url = self.sim.url();
        config.secret_key = Some(Secret::new(SECRET));
        config.jwt_key = pem(&self.sim);
        config.set("webhook_secrets", DEFAULT_WEBHOOK_SECRET).unwrap();
        tune(&mut config);
        builder(config).clock(time.clock()).shared_cache_engine(engine).build().unwrap()
    }
}

fn ask(client: &Client, token: &str) -> String {
    word(&bearer(client, token))
}

const M2M: &str = "mt_granted";

fn machines(fleet: &Fleet) -> impl Fn(Option<&str>) -> Client + '_ {
    fleet.sim.update(|state| {
        state.machine_secrets.insert("ak_a".into(), json!("mch_a"));
        state.machine_secrets.insert("ak_b".into(), json!("mch_b"));
        state.m2m_tokens.insert(M2M.into(), json!({"id": "mt_1", "subject": "mch_1", "scopes": ["mch_a"]}));
    });
    |machine| {
        fleet.client(|config| {
            config.accepts_token = vec![TokenKind::M2mToken];
            config.machine_cache_ttl_s = 300;
            config.machine_secret_key = machine.map(Secret::new);
        })
    }
}

#[test]
fn machine_token_verified_by_one_machine_is_rejected_by_another() {
    let fleet = Fleet::new();
    let client = machines(&fleet);
    for first in [Some("ak_a"), None] {
        assert_eq!(ask(&client(first), M2M), "in verified", "{first:?}");
        assert_eq!(ask(&client(Some("ak_b")), M2M), "out token-invalid", "{first:?}");
    }
    let calls = fleet.sim.stats().total();
    for first in [Some("ak_a"), None] {
        assert_eq!(ask(&client(first), M2M), "in verified", "{first:?}");
    }
    assert_eq!(fleet.sim.stats().total(), calls, "shared by those with the same secret");
}

#[test]
fn machine_token_of_another_process_is_cached_for_the_rest_of_its_time() {
    let fleet = Fleet::new();
    let client = machines(&fleet);
    let (a, b) = (client(Some("ak_a")), client(Some("ak_a")));
    assert_eq!(ask(&a, M2M), "in verified");
    fleet.time.advance_s(20);
    assert_eq!(ask(&b, M2M), "in verified");
    fleet.sim.update(|state| state.m2m_tokens.clear());
    fleet.time.advance_s(279);
    assert_eq!(ask(&b, M2M), "in cache");
    fleet.time.advance_s(1);
    assert_eq!(ask(&b, M2M), "out token-invalid", "Clerk has been asked 300 seconds ago");
}

#[test]
fn machine_token_invalidated_in_one_process_is_verified_again_in_another() {
    let fleet = Fleet::new();
    let client = machines(&fleet);
    let (a, b) = (client(Some("ak_a")), client(None));
    assert_eq!(ask(&a, M2M), "in verified");
    fleet.sim.update(|state| state.m2m_tokens.clear());
    // One that verifies with another secret, and so has no name for the result of the first.
    b.invalidate_token(M2M);
    assert_eq!(ask(&client(Some("ak_a")), M2M), "out token-invalid");
}
