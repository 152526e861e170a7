//! Webhook deliveries, signed by clerk-sim, to a client that has cached the user.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use clerk_auth::internals::{Config, builder};
use clerk_auth::users::{SqliteStore, UserStore};
use clerk_auth::{AuthResult, Client, Reason, Request, WebhookError, WebhookHeaders, WebhookOutcome};
use clerk_sim::webhook::{Delivery, WebhookSpec};
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Sim, TokenSpec};
use serde_json::json;

struct Fixture {
    sim: Sim,
    client: Client,
    store: Arc<SqliteStore>,
    now_ms: Arc<AtomicI64>,
    dir: std::path::PathBuf,
}

const ADA: &str = "user_2ada";

impl Fixture {
    fn new(name: &str, set: impl FnOnce(&mut Config)) -> Self {
        let sim = Sim::start();
        sim.put_user(json!({"id": ADA, "username": "ada", "first_name": "Ada", "updated_at": 1_700_000_000_000_i64}));
        let dir = std::env::temp_dir().join(format!("clerk-webhooks-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let store = Arc::new(SqliteStore::open(dir.join("users.db")).unwrap());
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let now_ms = Arc::new(AtomicI64::new(wall as i64));
        let clock = now_ms.clone();
        let mut config = Config::new();
        config.set("secret_key", "sk_test_webhooks").unwrap();
        config.set("api_url", &sim.url()).unwrap();
        config.set("webhook_secrets", DEFAULT_WEBHOOK_SECRET).unwrap();
        set(&mut config);
        let builder = builder(config).user_store(store.clone()).clock(move || clock.load(Ordering::SeqCst));
        let client = builder.build().unwrap();
        Fixture { sim, client, store, now_ms, dir }
    }

    fn now_s(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst) / 1000
    }

    fn token(&self, sid: &str) -> String {
        self.sim.mint(&TokenSpec::session(ADA).sid(sid), self.now_s())
    }

    fn ask(&self, token: &str) -> Arc<AuthResult> {
        let line = format!("Bearer {token}");
        self.client.authenticate(Request::new().header(b"authorization", line.as_bytes()))
    }

    fn deliver(&self, delivery: &Delivery) -> WebhookOutcome {
        let mut headers = WebhookHeaders::default();
        for (name, value) in &delivery.headers {
            headers.header(name.as_bytes(), value.as_bytes());
        }
        self.client.handle_webhook(&headers, delivery.body.as_bytes())
    }

    fn event(&self, kind: &str, data: serde_json::Value) -> Delivery {
        let spec = WebhookSpec { timestamp: Some(self.now_s()), data: Some(data), ..WebhookSpec::new(kind, "") };
        self.sim.webhook(&spec).unwrap()
    }

    fn webhook(&self, kind: &str, id: &str) -> Delivery {
        self.sim.webhook(&WebhookSpec { timestamp: Some(self.now_s()), ..WebhookSpec::new(kind, id) }).unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn user_updated_changes_row_and_next_result_without_clerk() {
    let fixture = Fixture::new("update", |_| {});
    let token = fixture.token("sess_1");
    assert!(fixture.ask(&token).identity().is_some());
    fixture.sim.patch_user(ADA, json!({"first_name": "Augusta", "updated_at": 1_700_000_001_000_i64})).unwrap();
    fixture.sim.reset_counts();
    assert_eq!(fixture.deliver(&fixture.webhook("user.updated", ADA)), WebhookOutcome::Applied);
    let row = fixture.store.find_by_clerk_id(ADA).unwrap().unwrap();
    assert_eq!(row.first_name.as_deref(), Some("Augusta"));
    let answer = fixture.ask(&token);
    assert_eq!(answer.identity().unwrap().get(clerk_auth::Attribute::FirstName), Some("Augusta"));
    assert_eq!(fixture.sim.requests("/users/*"), 0);
}

#[test]
fn ban_webhook_rejects_cached_token() {
    let fixture = Fixture::new("ban", |_| {});
    let token = fixture.token("sess_1");
    assert!(fixture.ask(&token).identity().is_some());
    fixture.sim.patch_user(ADA, json!({"banned": true, "updated_at": 1_700_000_001_000_i64})).unwrap();
    assert_eq!(fixture.deliver(&fixture.webhook("user.updated", ADA)), WebhookOutcome::Applied);
    assert_eq!(fixture.ask(&token).reason(), Some(Reason::UserInactive));
}

#[test]
fn deleted_user_and_ended_session_are_rejected() {
    let fixture = Fixture::new("over", |_| {});
    let (first, second) = (fixture.token("sess_1"), fixture.token("sess_2"));
    assert!(fixture.ask(&first).identity().is_some());
    fixture.sim.put_session(json!({"id": "sess_1", "user_id": ADA, "status": "ended"}));
    assert_eq!(fixture.deliver(&fixture.webhook("session.ended", "sess_1")), WebhookOutcome::Applied);
    assert_eq!(fixture.ask(&first).reason(), Some(Reason::SessionRevoked));
    assert_eq!(fixture.ask(&fixture.token("sess_1")).reason(), Some(Reason::SessionRevoked));
    assert!(fixture.ask(&second).identity().is_some());
    let deleted = fixture.webhook("user.deleted", ADA);
    fixture.sim.delete_user(ADA);
    assert_eq!(fixture.deliver(&deleted), WebhookOutcome::Applied);
    assert_eq!(fixture.ask(&second).reason(), Some(Reason::UserNotFound));
}

/// Threat W2.
#[test]
fn duplicate_and_older_deliveries_are_ignored() {
    let fixture = Fixture::new("order", |_| {});
    assert!(fixture.ask(&fixture.token("sess_1")).identity().is_some());
    let older = fixture.webhook("user.updated", ADA);
    fixture.sim.patch_user(ADA, json!({"first_name": "Newer", "updated_at": 1_700_000_009_000_i64})).unwrap();
    let newer = fixture.webhook("user.updated", ADA);
    assert_eq!(fixture.deliver(&newer), WebhookOutcome::Applied);
    assert_eq!(fixture.deliver(&newer), WebhookOutcome::Ignored);
    assert_eq!(fixture.deliver(&older), WebhookOutcome::Ignored);
    assert_eq!(fixture.store.find_by_clerk_id(ADA).unwrap().unwrap().first_name.as_deref(), Some("Newer"));
}

/// Threats W1 and W3.
#[test]
fn forged_late_and_foreign_deliveries_change_nothing() {
    let fixture = Fixture::new("forged", |config| config.set("instance_id", "ins_mine").unwrap());
    let token = fixture.token("sess_1");
    assert!(fixture.ask(&token).identity().is_some());
    let good = fixture.webhook("user.deleted", ADA);
    let mut forged = fixture.webhook("user.deleted", ADA);
    forged.body = forged.body.replace(ADA, "user_2bob");
    assert_eq!(fixture.deliver(&forged), WebhookOutcome::Rejected(WebhookError::InvalidSignature));
    assert_eq!(fixture.deliver(&good), WebhookOutcome::Ignored, "another instance's");
    fixture.now_ms.fetch_add(301_000, Ordering::SeqCst);
    assert_eq!(fixture.deliver(&good), WebhookOutcome::Rejected(WebhookError::TimestampOutOfTolerance));
    fixture.now_ms.fetch_sub(301_000, Ordering::SeqCst);
    assert!(fixture.ask(&token).identity().is_some());
}

#[test]
fn delivery_without_signing_secret_is_rejected() {
    let fixture = Fixture::new("secrets", |config| config.set("webhook_secrets", "").unwrap());
    assert_eq!(
        fixture.deliver(&fixture.webhook("user.deleted", ADA)),
        WebhookOutcome::Rejected(WebhookError::InvalidSignature)
    );
}

/// Threat U6.
#[test]
fn one_user_has_at_most_32_cached_tokens() {
    let fixture = Fixture::new("fair", |config| config.set("user_mode", "claims").unwrap());
    let tokens: Vec<String> = (0..100).map(|i| fixture.token(&format!("sess_{i}"))).collect();
    for token in &tokens {
        assert!(fixture.ask(token).identity().is_some());
    }
    assert_eq!(fixture.client.stats().cached_tokens, 32);
}

#[test]
fn ban_webhook_applies_in_claims_mode() {
    let fixture = Fixture::new("claims", |config| config.set("user_mode", "claims").unwrap());
    let token = fixture.token("sess_1");
    assert!(fixture.ask(&token).identity().is_some());
    for (step, banned) in [true, false, true].into_iter().enumerate() {
        let updated_at = 1_700_000_001_000 + step as i64;
        fixture.sim.patch_user(ADA, json!({"banned": banned, "updated_at": updated_at})).unwrap();
        assert_eq!(fixture.deliver(&fixture.webhook("user.updated", ADA)), WebhookOutcome::Applied);
        assert_eq!(fixture.ask(&token).reason(), banned.then_some(Reason::UserInactive));
    }
}

/// Threat W3.
#[test]
fn revocations_of_a_client_with_a_tiny_cache_are_kept() {
    let fixture = Fixture::new("flood", |config| {
        config.set("user_mode", "claims").unwrap();
        config.set("cache_capacity", "1").unwrap();
    });
    let tokens: Vec<String> = (0..20).map(|i| fixture.token(&format!("sess_{i}"))).collect();
    tokens.iter().for_each(|token| assert!(fixture.ask(token).identity().is_some()));
    for i in 0..tokens.len() {
        let id = format!("sess_{i}");
        fixture.sim.put_session(json!({"id": id, "user_id": ADA, "status": "ended"}));
        assert_eq!(fixture.deliver(&fixture.webhook("session.ended", &id)), WebhookOutcome::Applied);
    }
    for token in &tokens {
        assert_eq!(fixture.ask(token).reason(), Some(Reason::SessionRevoked));
    }
    // A new sign-in is not affected.
    fixture.now_ms.fetch_add(11_000, Ordering::SeqCst);
    assert!(fixture.ask(&fixture.token("sess_new")).identity().is_some());
}

/// Threat W2.
#[test]
fn delivery_order_does_not_change_the_final_state() {
    const UPDATES: usize = 12;
    for seed in 0..20_u64 {
        let fixture = Fixture::new(&format!("shuffle-{seed}"), |config| {
            config.set("user_ttl_s", "0").unwrap();
            config.set("user_stale_if_error_s", "0").unwrap();
        });
        let mut deliveries: Vec<Delivery> = (0..UPDATES)
            .map(|i| {
                let updated_at = 1_700_000_001_000 + i as i64;
                let user = json!({"first_name": format!("Name {i}"), "banned": i % 2 == 0, "updated_at": updated_at});
                fixture.sim.patch_user(ADA, user).unwrap();
                fixture.webhook("user.updated", ADA)
            })
            .collect();
        let gone = (seed % 2 == 1).then(|| fixture.webhook("user.deleted", ADA));
        let ends = gone.is_some();
        deliveries.extend(gone);
        let mut state = seed;
        for at in (1..deliveries.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            deliveries.swap(at, (state >> 33) as usize % (at + 1));
        }
        for delivery in &deliveries {
            assert!(matches!(fixture.deliver(delivery), WebhookOutcome::Applied | WebhookOutcome::Ignored));
            // The cached user expires; the time of its last event does not.
            fixture.now_ms.fetch_add(1000, Ordering::SeqCst);
        }
        let reason = fixture.ask(&fixture.token("sess_1")).reason();
        if ends {
            assert_eq!(reason, Some(Reason::UserNotFound), "{seed}");
        } else {
            let row = fixture.store.find_by_clerk_id(ADA).unwrap().unwrap();
            assert_eq!(row.first_name, Some(format!("Name {}", UPDATES - 1)), "{seed}");
            assert!(row.is_active && reason.is_none(), "{seed}: {reason:?}");
        }
    }
}

#[test]
fn ended_session_is_rejected_for_revocation_ttl() {
    for (life_s, is_out) in [(86_400, true), (3600, false)] {
        let fixture = Fixture::new(&format!("life-{life_s}"), |config| {
            config.set_int("revocation_ttl_s", life_s).unwrap();
        });
        let token = fixture.sim.mint(&TokenSpec::session(ADA).sid("sess_1").exp_in(80_000), fixture.now_s());
        fixture.sim.put_session(json!({"id": "sess_1", "user_id": ADA, "status": "ended"}));
        assert_eq!(fixture.deliver(&fixture.webhook("session.ended", "sess_1")), WebhookOutcome::Applied);
        fixture.now_ms.fetch_add(3_700_000, Ordering::SeqCst);
        assert_eq!(fixture.ask(&token).reason(), is_out.then_some(Reason::SessionRevoked), "{life_s}");
    }
}

#[test]
fn organization_change_invalidates_its_tokens() {
    let member = json!({"public_user_data": {"user_id": ADA}, "organization": {"id": "org_1"}});
    for (kind, data) in [
        ("organizationMembership.updated", member.clone()),
        ("organizationMembership.deleted", member),
        // The user of the membership may be absent.
        ("organizationMembership.deleted", json!({"organization": {"id": "org_1"}})),
        ("organization.deleted", json!({"id": "org_1"})),
        ("role.updated", json!({"id": "role_1"})),
        ("permission.deleted", json!({"id": "perm_1"})),
    ] {
        let fixture = Fixture::new(&kind.replace('.', "-"), |config| config.set("user_mode", "claims").unwrap());
        let org = clerk_sim::Org { id: "org_1".into(), ..Default::default() };
        let token = fixture.sim.mint(&TokenSpec { org: Some(org), ..TokenSpec::session(ADA) }, fixture.now_s());
        assert!(fixture.ask(&token).identity().is_some());
        assert_eq!(fixture.client.stats().cached_tokens, 1);
        assert_eq!(fixture.deliver(&fixture.event(kind, data.clone())), WebhookOutcome::Applied, "{kind}");
        assert_eq!(fixture.client.stats().cached_tokens, 0, "{kind} {data}");
    }
    let fixture = Fixture::new("no_user", |_| {});
    let unrelated = fixture.event("organizationMembership.deleted", json!({}));
    assert_eq!(fixture.deliver(&unrelated), WebhookOutcome::Rejected(WebhookError::InvalidPayload));
}
