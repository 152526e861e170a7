//! Webhooks against a client that has seen the user before: clerk-sim signs the deliveries.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use clerk_auth::client::WebhookOutcome;
use clerk_auth::clock::Clock;
use clerk_auth::users::{SqliteStore, UserStore};
use clerk_auth::webhooks::{Headers, WebhookError};
use clerk_auth::{AuthResult, Client, ClientBuilder, Config, Reason, Request};
use clerk_sim::webhook::{Delivery, WebhookSpec};
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Sim, TokenSpec};
use serde_json::json;

struct World {
    sim: Sim,
    client: Client,
    store: Arc<SqliteStore>,
    now_ms: Arc<AtomicI64>,
    folder: std::path::PathBuf,
}

const ADA: &str = "user_2ada";

impl World {
    fn new(name: &str, set: impl FnOnce(&mut Config)) -> Self {
        let sim = Sim::start();
        sim.put_user(json!({"id": ADA, "username": "ada", "first_name": "Ada", "updated_at": 1_700_000_000_000_i64}));
        let folder = std::env::temp_dir().join(format!("clerk-webhooks-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = Arc::new(SqliteStore::open(folder.join("users.db")).unwrap());
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let now_ms = Arc::new(AtomicI64::new(wall as i64));
        let clock = now_ms.clone();
        let mut config = Config::new();
        config.set("secret_key", "sk_test_webhooks").unwrap();
        config.set("api_url", &sim.url()).unwrap();
        config.set("webhook_secrets", DEFAULT_WEBHOOK_SECRET).unwrap();
        set(&mut config);
        let client = ClientBuilder {
            config,
            store: Some(store.clone()),
            clock: Some(Clock::from_fn(move || clock.load(Ordering::SeqCst))),
            ..ClientBuilder::default()
        }
        .build()
        .unwrap();
        World { sim, client, store, now_ms, folder }
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
        let mut headers = Headers::default();
        delivery.headers.iter().for_each(|(name, value)| headers.header(name.as_bytes(), value.as_bytes()));
        self.client.handle_webhook(&headers, delivery.body.as_bytes())
    }

    fn told(&self, kind: &str, data: serde_json::Value) -> Delivery {
        let spec = WebhookSpec { timestamp: Some(self.now_s()), data: Some(data), ..WebhookSpec::new(kind, "") };
        self.sim.webhook(&spec).unwrap()
    }

    fn webhook(&self, kind: &str, id: &str) -> Delivery {
        self.sim.webhook(&WebhookSpec { timestamp: Some(self.now_s()), ..WebhookSpec::new(kind, id) }).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn an_update_reaches_the_row_and_the_next_request_without_asking_clerk() {
    let world = World::new("update", |_| {});
    let token = world.token("sess_1");
    assert!(world.ask(&token).identity().is_some());
    world.sim.patch_user(ADA, json!({"first_name": "Augusta", "updated_at": 1_700_000_001_000_i64})).unwrap();
    world.sim.reset_counts();
    assert_eq!(world.deliver(&world.webhook("user.updated", ADA)), WebhookOutcome::Applied);
    let row = world.store.find_by_clerk_id(ADA).unwrap().unwrap();
    assert_eq!(row.first_name.as_deref(), Some("Augusta"));
    let answer = world.ask(&token);
    assert_eq!(answer.identity().unwrap().get(clerk_auth::identity::Attribute::FirstName), Some("Augusta"));
    assert_eq!(world.sim.requests("/users/*"), 0);
}

#[test]
fn a_ban_ends_a_remembered_session_at_once() {
    let world = World::new("ban", |_| {});
    let token = world.token("sess_1");
    assert!(world.ask(&token).identity().is_some());
    world.sim.patch_user(ADA, json!({"banned": true, "updated_at": 1_700_000_001_000_i64})).unwrap();
    assert_eq!(world.deliver(&world.webhook("user.updated", ADA)), WebhookOutcome::Applied);
    assert_eq!(world.ask(&token).reason(), Some(Reason::UserInactive));
}

#[test]
fn deleted_users_and_ended_sessions_stay_out_whatever_their_tokens_say() {
    let world = World::new("over", |_| {});
    let (first, second) = (world.token("sess_1"), world.token("sess_2"));
    assert!(world.ask(&first).identity().is_some());
    world.sim.put_session(json!({"id": "sess_1", "user_id": ADA, "status": "ended"}));
    assert_eq!(world.deliver(&world.webhook("session.ended", "sess_1")), WebhookOutcome::Applied);
    assert_eq!(world.ask(&first).reason(), Some(Reason::SessionRevoked));
    assert_eq!(world.ask(&world.token("sess_1")).reason(), Some(Reason::SessionRevoked));
    assert!(world.ask(&second).identity().is_some());
    let deleted = world.webhook("user.deleted", ADA);
    world.sim.delete_user(ADA);
    assert_eq!(world.deliver(&deleted), WebhookOutcome::Applied);
    assert_eq!(world.ask(&second).reason(), Some(Reason::UserNotFound));
}

#[test]
fn w2_a_delivery_counts_once_and_an_older_one_not_after_a_newer() {
    let world = World::new("order", |_| {});
    assert!(world.ask(&world.token("sess_1")).identity().is_some());
    let older = world.webhook("user.updated", ADA);
    world.sim.patch_user(ADA, json!({"first_name": "Newer", "updated_at": 1_700_000_009_000_i64})).unwrap();
    let newer = world.webhook("user.updated", ADA);
    assert_eq!(world.deliver(&newer), WebhookOutcome::Applied);
    assert_eq!(world.deliver(&newer), WebhookOutcome::Ignored);
    assert_eq!(world.deliver(&older), WebhookOutcome::Ignored);
    assert_eq!(world.store.find_by_clerk_id(ADA).unwrap().unwrap().first_name.as_deref(), Some("Newer"));
}

#[test]
fn w1_w3_forged_late_and_foreign_deliveries_change_nothing() {
    let world = World::new("forged", |config| config.set("instance_id", "ins_mine").unwrap());
    let token = world.token("sess_1");
    assert!(world.ask(&token).identity().is_some());
    let good = world.webhook("user.deleted", ADA);
    let mut forged = world.webhook("user.deleted", ADA);
    forged.body = forged.body.replace(ADA, "user_2bob");
    assert_eq!(world.deliver(&forged), WebhookOutcome::Rejected(WebhookError::InvalidSignature));
    assert_eq!(world.deliver(&good), WebhookOutcome::Ignored, "another instance's");
    world.now_ms.fetch_add(301_000, Ordering::SeqCst);
    assert_eq!(world.deliver(&good), WebhookOutcome::Rejected(WebhookError::TimestampOutOfTolerance));
    world.now_ms.fetch_sub(301_000, Ordering::SeqCst);
    assert!(world.ask(&token).identity().is_some());
}

#[test]
fn without_secrets_nothing_is_believed() {
    let world = World::new("secrets", |config| config.set("webhook_secrets", "").unwrap());
    assert_eq!(
        world.deliver(&world.webhook("user.deleted", ADA)),
        WebhookOutcome::Rejected(WebhookError::InvalidSignature)
    );
}

#[test]
fn u6_one_user_cannot_fill_the_cache() {
    let world = World::new("fair", |config| config.set("user_mode", "claims").unwrap());
    let tokens: Vec<String> = (0..100).map(|i| world.token(&format!("sess_{i}"))).collect();
    for token in &tokens {
        assert!(world.ask(token).identity().is_some());
    }
    assert_eq!(world.client.stats().cached_tokens, 32);
}

#[test]
fn a_ban_counts_as_well_where_nobody_asks_for_the_user() {
    let world = World::new("claims", |config| config.set("user_mode", "claims").unwrap());
    let token = world.token("sess_1");
    assert!(world.ask(&token).identity().is_some());
    for (step, banned) in [true, false, true].into_iter().enumerate() {
        let updated_at = 1_700_000_001_000 + step as i64;
        world.sim.patch_user(ADA, json!({"banned": banned, "updated_at": updated_at})).unwrap();
        assert_eq!(world.deliver(&world.webhook("user.updated", ADA)), WebhookOutcome::Applied);
        assert_eq!(world.ask(&token).reason(), banned.then_some(Reason::UserInactive));
    }
}

#[test]
fn w3_more_ended_sessions_than_can_be_kept_let_nobody_in() {
    let world = World::new("flood", |config| {
        config.set("user_mode", "claims").unwrap();
        config.set("cache_capacity", "1").unwrap();
    });
    let tokens: Vec<String> = (0..20).map(|i| world.token(&format!("sess_{i}"))).collect();
    tokens.iter().for_each(|token| assert!(world.ask(token).identity().is_some()));
    for i in 0..tokens.len() {
        let id = format!("sess_{i}");
        world.sim.put_session(json!({"id": id, "user_id": ADA, "status": "ended"}));
        assert_eq!(world.deliver(&world.webhook("session.ended", &id)), WebhookOutcome::Applied);
    }
    for token in &tokens {
        assert_eq!(world.ask(token).reason(), Some(Reason::SessionRevoked));
    }
    // Who signs in anew is none of them.
    world.now_ms.fetch_add(11_000, Ordering::SeqCst);
    assert!(world.ask(&world.token("sess_new")).identity().is_some());
}

#[test]
fn w2_in_whatever_order_deliveries_come_the_end_is_the_same() {
    const UPDATES: usize = 12;
    for seed in 0..20_u64 {
        let world = World::new(&format!("shuffle-{seed}"), |config| {
            config.set("user_ttl_s", "0").unwrap();
            config.set("user_stale_if_error_s", "0").unwrap();
        });
        let mut deliveries: Vec<Delivery> = (0..UPDATES)
            .map(|i| {
                let updated_at = 1_700_000_001_000 + i as i64;
                let user = json!({"first_name": format!("Name {i}"), "banned": i % 2 == 0, "updated_at": updated_at});
                world.sim.patch_user(ADA, user).unwrap();
                world.webhook("user.updated", ADA)
            })
            .collect();
        let gone = (seed % 2 == 1).then(|| world.webhook("user.deleted", ADA));
        let ends = gone.is_some();
        deliveries.extend(gone);
        let mut state = seed;
        for at in (1..deliveries.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            deliveries.swap(at, (state >> 33) as usize % (at + 1));
        }
        for delivery in &deliveries {
            assert!(matches!(world.deliver(delivery), WebhookOutcome::Applied | WebhookOutcome::Ignored));
            // What was remembered of the user is too old by now; the order is not.
            world.now_ms.fetch_add(1000, Ordering::SeqCst);
        }
        let reason = world.ask(&world.token("sess_1")).reason();
        if ends {
            assert_eq!(reason, Some(Reason::UserNotFound), "{seed}");
        } else {
            let row = world.store.find_by_clerk_id(ADA).unwrap().unwrap();
            assert_eq!(row.first_name, Some(format!("Name {}", UPDATES - 1)), "{seed}");
            assert!(row.is_active && reason.is_none(), "{seed}: {reason:?}");
        }
    }
}

#[test]
fn an_ended_session_stays_out_for_as_long_as_its_tokens_may_live() {
    for (life_s, is_out) in [(86_400, true), (3600, false)] {
        let world = World::new(&format!("life-{life_s}"), |config| {
            config.set_int("revocation_ttl_s", life_s).unwrap();
        });
        let token = world.sim.mint(&TokenSpec::session(ADA).sid("sess_1").exp_in(80_000), world.now_s());
        world.sim.put_session(json!({"id": "sess_1", "user_id": ADA, "status": "ended"}));
        assert_eq!(world.deliver(&world.webhook("session.ended", "sess_1")), WebhookOutcome::Applied);
        world.now_ms.fetch_add(3_700_000, Ordering::SeqCst);
        assert_eq!(world.ask(&token).reason(), is_out.then_some(Reason::SessionRevoked), "{life_s}");
    }
}

#[test]
fn what_is_remembered_of_an_organization_goes_when_it_changes() {
    let member = json!({"public_user_data": {"user_id": ADA}, "organization": {"id": "org_1"}});
    for (kind, data) in [
        ("organizationMembership.updated", member.clone()),
        ("organizationMembership.deleted", member),
        // Whose membership it is need not be told.
        ("organizationMembership.deleted", json!({"organization": {"id": "org_1"}})),
        ("organization.deleted", json!({"id": "org_1"})),
        ("role.updated", json!({"id": "role_1"})),
        ("permission.deleted", json!({"id": "perm_1"})),
    ] {
        let world = World::new(&kind.replace('.', "-"), |config| config.set("user_mode", "claims").unwrap());
        let org = clerk_sim::Org { id: "org_1".into(), ..Default::default() };
        let token = world.sim.mint(&TokenSpec { org: Some(org), ..TokenSpec::session(ADA) }, world.now_s());
        assert!(world.ask(&token).identity().is_some());
        assert_eq!(world.client.stats().cached_tokens, 1);
        assert_eq!(world.deliver(&world.told(kind, data.clone())), WebhookOutcome::Applied, "{kind}");
        assert_eq!(world.client.stats().cached_tokens, 0, "{kind} {data}");
    }
    let world = World::new("nobody", |_| {});
    let nobodys = world.told("organizationMembership.deleted", json!({}));
    assert_eq!(world.deliver(&nobodys), WebhookOutcome::Rejected(WebhookError::InvalidPayload));
}
