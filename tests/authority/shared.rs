//! What processes share adds to a token that each verifies itself, or rejects it. Two clients with one engine represent two
//! processes; a third one that is created later has only what the engine has.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clerk_auth::internals::{Config, builder};
use clerk_auth::shared_cache::{Engine, EngineError, MemoryEngine, StreamRead};
use clerk_auth::{Client, ClientBuilder, Reason, Secret, TokenKind, UserMode, WebhookHeaders, WebhookOutcome};
use clerk_sim::webhook::{Delivery, WebhookSpec};
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Rotation, Sim, TokenSpec};
use serde_json::json;

use super::common::{ManualClock, SECRET, TempDir, bearer, pem, word};

/// Clerk, an engine and the clocks of the processes.
pub(super) struct Fleet {
    pub(super) sim: Sim,
    pub(super) time: ManualClock,
    engine: Arc<MemoryEngine>,
}

impl Fleet {
    pub(super) fn new() -> Fleet {
        Fleet { sim: Sim::start(), time: ManualClock::default(), engine: Arc::new(MemoryEngine::new()) }
    }

    pub(super) fn client(&self, tune: impl FnOnce(&mut Config)) -> Client {
        self.client_with(self.engine.clone(), &self.time, tune)
    }

    fn client_with(&self, engine: Arc<dyn Engine>, time: &ManualClock, tune: impl FnOnce(&mut Config)) -> Client {
        self.builder(engine, time, tune).build().unwrap()
    }

    fn builder(&self, engine: Arc<dyn Engine>, time: &ManualClock, tune: impl FnOnce(&mut Config)) -> ClientBuilder {
        let mut config = Config::new();
        config.api_url = self.sim.url();
        config.secret_key = Some(Secret::new(SECRET));
        config.jwt_key = pem(&self.sim);
        config.set("webhook_secrets", DEFAULT_WEBHOOK_SECRET).unwrap();
        tune(&mut config);
        builder(config).clock(time.clock()).shared_cache_engine(engine)
    }

    pub(super) fn claims_client(&self) -> Client {
        self.client(|config| config.user_mode = Some(UserMode::Claims))
    }

    /// Makes an event about `user_1` at a version.
    fn event(&self, version: i64, banned: bool) -> Delivery {
        let data = json!({"id": "user_1", "banned": banned, "updated_at": self.time.now_s() * 1000 + version});
        let timestamp = Some(self.time.now_s());
        let spec = WebhookSpec { timestamp, data: Some(data), ..WebhookSpec::new("user.updated", "") };
        self.sim.webhook(&spec).unwrap()
    }

    pub(super) fn token(&self, user: &str) -> String {
        self.sim.mint(&TokenSpec::session(user).exp_in(36_000), self.time.now_s())
    }
}

pub(super) fn deliver(client: &Client, delivery: &Delivery) -> WebhookOutcome {
    let mut headers = WebhookHeaders::default();
    delivery.headers.iter().for_each(|(name, value)| {
        headers.header(name.as_bytes(), value.as_bytes());
    });
    client.handle_webhook(&headers, delivery.body.as_bytes())
}

/// An engine that calls a function before it stores or appends, and another one, once, before it reads. Counts reads.
struct Observed {
    inner: Arc<MemoryEngine>,
    before_write: Mutex<Option<Box<dyn FnMut() + Send>>>,
    before_read: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    reads: AtomicUsize,
    fails: AtomicBool,
}

impl Observed {
    fn new(engine: &Arc<MemoryEngine>) -> Observed {
        Observed {
            inner: engine.clone(),
            before_write: Mutex::default(),
            before_read: Mutex::default(),
            reads: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
        }
    }

    fn before_write(&self) -> Result<(), EngineError> {
        // Not before what the function itself writes.
        let before = self.before_write.lock().unwrap().take();
        if let Some(mut before) = before {
            before();
            self.before_write.lock().unwrap().get_or_insert(before);
        }
        match self.fails.load(Ordering::SeqCst) {
            true => Err(EngineError::Unavailable("on purpose".into())),
            false => Ok(()),
        }
    }
}

impl Engine for Observed {
    fn get(&self, keys: &[String], timeout: Duration) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let before = self.before_read.lock().unwrap().take();
        before.into_iter().for_each(|before| before());
        if self.fails.load(Ordering::SeqCst) {
            return Err(EngineError::Unavailable("on purpose".into()));
        }
        self.inner.get(keys, timeout)
    }
    fn set(&self, key: &str, value: &[u8], ttl: Duration, nx: bool, timeout: Duration) -> Result<bool, EngineError> {
        self.before_write()?;
        self.inner.set(key, value, ttl, nx, timeout)
    }
    fn delete(&self, keys: &[String], timeout: Duration) -> Result<(), EngineError> {
        self.before_write()?;
        self.inner.delete(keys, timeout)
    }
    fn append(&self, stream: &str, value: &[u8], timeout: Duration) -> Result<String, EngineError> {
        self.before_write()?;
        self.inner.append(stream, value, timeout)
    }
    fn read(&self, stream: &str, after: &str, wait: Duration, timeout: Duration) -> Result<StreamRead, EngineError> {
        self.inner.read(stream, after, wait, timeout)
    }
}

pub(super) fn ask(client: &Client, token: &str) -> String {
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

#[test]
fn invalidation_of_everything_reaches_what_is_shared() {
    let fleet = Fleet::new();
    let client = machines(&fleet);
    assert_eq!(ask(&client(Some("ak_a")), M2M), "in verified");
    fleet.sim.update(|state| state.m2m_tokens.clear());
    fleet.sim.put_user(json!({"id": "user_1"}));
    let profile = || fleet.client(|config| config.user_mode = Some(UserMode::Profile));
    let fetches = || fleet.sim.requests("/users/*");
    for expected in [1, 1] {
        assert_eq!((ask(&profile(), &fleet.token("user_1")), fetches()), ("in verified".into(), expected));
    }
    client(None).invalidate_all();
    assert_eq!(ask(&client(Some("ak_a")), M2M), "out token-invalid");
    for expected in [2, 2] {
        assert_eq!((ask(&profile(), &fleet.token("user_1")), fetches()), ("in verified".into(), expected));
    }
}

#[test]
fn cleared_cache_of_one_process_keeps_what_is_shared() {
    let fleet = Fleet::new();
    fleet.sim.put_user(json!({"id": "user_1"}));
    let profile = || fleet.client(|config| config.user_mode = Some(UserMode::Profile));
    let (own, other) = (profile(), profile());
    let (token, second) = (fleet.token("user_1"), fleet.sim.mint(&TokenSpec::session("user_1"), fleet.time.now_s()));
    let _ = (own.poll(Duration::ZERO), other.poll(Duration::ZERO));
    for client in [&own, &other] {
        assert_eq!(ask(client, &token), "in verified");
    }
    own.clear_cache();
    assert_eq!(other.poll(Duration::ZERO).unwrap(), 0, "nothing is sent to other processes");
    assert_eq!((own.stats().cached_tokens, own.stats().cached_users), (0, 0));
    assert_eq!((other.stats().cached_tokens, other.stats().cached_users), (1, 1));
    assert_eq!(ask(&own, &token), "in verified", "verified again, with the shared user");
    assert_eq!((ask(&other, &second), ask(&other, &token)), ("in verified".into(), "in cache".into()));
    assert_eq!(ask(&profile(), &token), "in verified");
    assert_eq!(fleet.sim.requests("/users/*"), 1);
}

#[test]
fn changes_that_one_replaces_take_effect_on_what_is_shared() {
    let fleet = Fleet::new();
    fleet.sim.put_user(json!({"id": "user_1"}));
    let engine = Arc::new(Observed::new(&fleet.engine));
    let profile =
        || fleet.client_with(engine.clone(), &fleet.time, |config| config.user_mode = Some(UserMode::Profile));
    let client = profile();
    assert_eq!(ask(&client, &fleet.token("user_1")), "in verified");
    engine.fails.store(true, Ordering::SeqCst);
    client.invalidate_user("user_1");
    // More than wait for the engine.
    (0..=10_000).for_each(|i| client.invalidate_session(&format!("sess_{i}")));
    engine.fails.store(false, Ordering::SeqCst);
    fleet.time.advance_s(10);
    let _ = client.poll(Duration::from_millis(300));
    assert_eq!(ask(&profile(), &fleet.token("user_1")), "in verified");
    assert_eq!(fleet.sim.requests("/users/*"), 2);
}

const PUBLISHABLE: &str = "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k";
const OTHER_PUBLISHABLE: &str = "pk_live_Y2xlcmsuY2xlcmsuZGV2JA";
const CACHE_SECRET: &str = "0123456789abcdef0123456789abcdef";

fn set(config: &mut Config, settings: &[(&str, &str)]) {
    settings.iter().for_each(|(name, value)| config.set(name, value).unwrap());
}

#[test]
fn secret_of_the_cache_without_an_instance_is_refused_by_name() {
    let fleet = Fleet::new();
    for settings in [&[][..], &[("instance_id", "ins_1")], &[("jwks_url", "https://clerk.example.com/jwks")]] {
        let build = |more: &[(&str, &str)]| {
            let tune = |config: &mut Config| {
                set(config, &[settings, &[("shared_cache_secret", CACHE_SECRET)], more].concat());
            };
            fleet.builder(fleet.engine.clone(), &fleet.time, tune).build()
        };
        let error = build(&[]).unwrap_err();
        assert_eq!(error.setting(), Some("publishable_key"), "{error}");
        assert!(error.to_string().contains("`shared_cache_secret`"), "{error}");
        assert!(build(&[("publishable_key", PUBLISHABLE)]).is_ok(), "{settings:?}");
    }
}

#[test]
fn processes_of_one_instance_share_whatever_else_names_it() {
    let explicit = [("shared_cache_secret", CACHE_SECRET), ("publishable_key", PUBLISHABLE)];
    for (common, more) in [
        (&explicit[..], &[("instance_id", "ins_1")][..]),
        (&explicit, &[("api_url", "http://127.0.0.1:9")]),
        (&explicit, &[("secret_key", "sk_test_another")]),
        (&[], &[("instance_id", "ins_1"), ("publishable_key", PUBLISHABLE)]),
        (&[], &[("api_url", "http://127.0.0.1:9")]),
    ] {
        let fleet = Fleet::new();
        let [one, other] = [&[][..], more].map(|more| fleet.client(|config| set(config, &[common, more].concat())));
        other.poll(Duration::ZERO).unwrap();
        one.revoke_user("user_1");
        assert_eq!(other.poll(Duration::ZERO).unwrap(), 1, "{more:?}");
        assert_eq!(ask(&other, &fleet.token("user_1")), "out session-revoked", "{more:?}");
        let later = fleet.client(|config| set(config, &[common, more].concat()));
        assert_eq!(ask(&later, &fleet.token("user_1")), "out session-revoked", "{more:?}");
    }
}

#[test]
fn instances_with_one_secret_for_their_cache_share_nothing() {
    let (one, other) = (Fleet::new(), Fleet::new());
    for fleet in [&one, &other] {
        fleet.sim.put_user(json!({"id": "user_1"}));
    }
    let client = |fleet: &Fleet, key: &str| {
        fleet.client_with(one.engine.clone(), &one.time, |config| {
            set(config, &[("shared_cache_secret", CACHE_SECRET), ("publishable_key", key), ("user_mode", "profile")]);
            config.jwt_key = None;
        })
    };
    for (fleet, key) in [(&one, PUBLISHABLE), (&other, OTHER_PUBLISHABLE)] {
        assert_eq!(ask(&client(fleet, key), &fleet.token("user_1")), "in verified");
        assert_eq!((fleet.sim.requests("/jwks"), fleet.sim.requests("/users/*")), (1, 1), "{key}");
    }
    assert_eq!(ask(&client(&one, PUBLISHABLE), &one.token("user_1")), "in verified");
    assert_eq!((one.sim.requests("/jwks"), one.sim.requests("/users/*")), (1, 1));
}

#[test]
fn key_set_is_shared_by_those_that_would_fetch_the_same() {
    let (one, other) = (Fleet::new(), Fleet::new());
    let client = |fleet: &Fleet, secret: &str| {
        fleet.client_with(one.engine.clone(), &one.time, |config| {
            set(config, &[("shared_cache_secret", CACHE_SECRET), ("publishable_key", PUBLISHABLE)]);
            set(config, &[("secret_key", secret)]);
            config.jwt_key = None;
        })
    };
    assert_eq!(ask(&client(&one, SECRET), &one.token("user_1")), "in verified");
    assert_eq!(ask(&client(&one, SECRET), &one.token("user_1")), "in verified");
    assert_eq!(one.sim.requests("/jwks"), 1);
    assert_eq!(ask(&client(&one, "sk_test_another"), &one.token("user_1")), "in verified");
    assert_eq!(ask(&client(&other, SECRET), &one.token("user_1")), "in verified");
    assert_eq!((one.sim.requests("/jwks"), other.sim.requests("/jwks")), (2, 1));
}

#[test]
fn key_set_from_before_a_rotation_rejects_no_token_of_a_new_process() {
    for same_kid in [false, true] {
        let fleet = Fleet::new();
        let client = || {
            fleet.client(|config| {
                config.jwt_key = None;
                config.user_mode = Some(UserMode::Claims);
            })
        };
        assert_eq!(ask(&client(), &fleet.token("user_1")), "in verified");
        fleet.sim.rotate(Rotation { same_kid, keep_old: false }).unwrap();
        assert_eq!(ask(&client(), &fleet.token("user_1")), "in verified", "{same_kid}");
        assert_eq!(fleet.sim.requests("/jwks"), 2);
    }
}

#[test]
fn change_takes_effect_here_before_it_is_sent_to_the_engine() {
    type Change = fn(&Fleet, &Client);
    let changes: [(&str, &str, Change); 5] = [
        ("a ban", "out user-inactive", |fleet, client| {
            assert_eq!(deliver(client, &fleet.event(2, true)), WebhookOutcome::Applied);
        }),
        ("an update", "in verified", |fleet, client| {
            assert_eq!(deliver(client, &fleet.event(2, false)), WebhookOutcome::Applied);
        }),
        ("a revocation", "out session-revoked", |_, client| assert!(client.revoke_user("user_1"))),
        ("an invalidation of the user", "in verified", |_, client| client.invalidate_user("user_1")),
        ("an invalidation of all", "in verified", |_, client| client.invalidate_all()),
    ];
    for mode in [UserMode::Claims, UserMode::Profile] {
        for (what, expected, change) in changes {
            let fleet = Fleet::new();
            fleet.sim.put_user(json!({"id": "user_1", "updated_at": fleet.time.now_s() * 1000}));
            let engine = Arc::new(Observed::new(&fleet.engine));
            let client = fleet.client_with(engine.clone(), &fleet.time, |config| config.user_mode = Some(mode));
            let token = fleet.token("user_1");
            assert_eq!((ask(&client, &token), ask(&client, &token)), ("in verified".into(), "in cache".into()));
            let (cached, writes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (other, cached_then, writes_then) = (client.clone(), cached.clone(), writes.clone());
            *engine.before_write.lock().unwrap() = Some(Box::new(move || {
                writes_then.fetch_add(1, Ordering::SeqCst);
                cached_then.fetch_add(other.stats().cached_tokens as usize, Ordering::SeqCst);
            }));
            change(&fleet, &client);
            *engine.before_write.lock().unwrap() = None;
            assert!(writes.load(Ordering::SeqCst) > 0, "{what} is sent");
            assert_eq!(cached.load(Ordering::SeqCst), 0, "{mode:?}: {what} waits for the engine");
            assert_eq!(ask(&client, &token), expected, "{mode:?}: {what}");
        }
    }
}

#[test]
fn ban_of_another_process_costs_a_process_that_fetches_users_nothing() {
    let fleet = Fleet::new();
    fleet.sim.put_user(json!({"id": "user_1", "updated_at": fleet.time.now_s() * 1000 + 9}));
    let engine = Arc::new(Observed::new(&fleet.engine));
    let reads = || engine.reads.load(Ordering::SeqCst);
    let claims = fleet.claims_client();
    assert_eq!(deliver(&claims, &fleet.event(2, true)), WebhookOutcome::Applied);
    // The event about its end was missed: Clerk decides.
    let client = fleet.client_with(engine.clone(), &fleet.time, |config| config.user_mode = Some(UserMode::Profile));
    for _ in 0..2 {
        let before = reads();
        assert_eq!(ask(&client, &fleet.token("user_1")), "in verified");
        assert!(reads() - before <= 3, "{} reads for one token", reads() - before);
        fleet.time.advance_ms(1000);
    }
    // Nor does the end of a ban that this process has received itself.
    let own = fleet.claims_client();
    assert_eq!(deliver(&own, &fleet.event(3, true)), WebhookOutcome::Applied);
    assert_eq!(deliver(&claims, &fleet.event(4, false)), WebhookOutcome::Applied);
    assert_eq!(ask(&own, &fleet.token("user_1")), "out user-inactive", "what is shared lifts no ban");
    assert_eq!(ask(&fleet.claims_client(), &fleet.token("user_1")), "in verified");
}

#[test]
fn late_event_at_a_new_process_lifts_no_ban_of_the_fleet() {
    for mode in [UserMode::Claims, UserMode::Profile] {
        let fleet = Fleet::new();
        let banned = json!({"id": "user_1", "banned": true, "updated_at": fleet.time.now_s() * 1000 + 2});
        fleet.sim.put_user(banned);
        let client = |mode| fleet.client(|config| config.user_mode = Some(mode));
        let (a, other) = (client(UserMode::Claims), client(UserMode::Claims));
        other.poll(Duration::ZERO).unwrap();
        assert_eq!(deliver(&a, &fleet.event(2, true)), WebhookOutcome::Applied);
        assert_eq!(ask(&other, &fleet.token("user_1")), "out user-inactive");
        let later = client(mode);
        assert_eq!(deliver(&later, &fleet.event(1, false)), WebhookOutcome::Ignored, "{mode:?}");
        let _ = other.poll(Duration::ZERO).unwrap();
        for (who, client) in [("later", &later), ("other", &other), ("a", &a), ("new", &client(UserMode::Claims))] {
            assert_eq!(ask(client, &fleet.token("user_1")), "out user-inactive", "{mode:?} {who}");
        }
        // Its end is a newer one.
        assert_eq!(deliver(&later, &fleet.event(3, false)), WebhookOutcome::Applied, "{mode:?}");
        let _ = other.poll(Duration::ZERO).unwrap();
        for (who, client) in [("other", &other), ("new", &client(UserMode::Claims))] {
            assert_eq!(ask(client, &fleet.token("user_1")), "in verified", "{mode:?} {who}");
        }
    }
}

#[test]
fn clock_of_a_process_decides_nothing_about_a_ban() {
    let fleet = Fleet::new();
    let (right, late) = (fleet.claims_client(), ManualClock::default());
    late.advance_s(-240);
    let slow = fleet.client_with(fleet.engine.clone(), &late, |config| config.user_mode = Some(UserMode::Claims));
    for (at, (client, is_banned)) in
        [(&right, false), (&slow, true), (&right, false), (&right, true), (&slow, false)].into_iter().enumerate()
    {
        assert_eq!(deliver(client, &fleet.event(at as i64, is_banned)), WebhookOutcome::Applied, "{at}");
        let expected = if is_banned { "out user-inactive" } else { "in verified" };
        assert_eq!(ask(&fleet.claims_client(), &fleet.token("user_1")), expected, "{at}");
    }
}

#[test]
fn ban_that_a_process_with_users_receives_counts_where_no_users_are_fetched() {
    let fleet = Fleet::new();
    let profile = fleet.client(|config| config.user_mode = Some(UserMode::Profile));
    let claims = fleet.claims_client();
    claims.poll(Duration::ZERO).unwrap();
    let token = fleet.token("user_1");
    assert_eq!(ask(&claims, &token), "in verified");
    assert_eq!(deliver(&profile, &fleet.event(2, true)), WebhookOutcome::Applied);
    assert_eq!(claims.poll(Duration::ZERO).unwrap(), 1);
    assert_eq!(ask(&claims, &token), "out user-inactive");
    assert_eq!(ask(&fleet.claims_client(), &token), "out user-inactive");
    assert_eq!(deliver(&profile, &fleet.event(3, false)), WebhookOutcome::Applied);
    assert_eq!(ask(&fleet.claims_client(), &token), "in verified");
}

#[test]
fn ban_older_than_an_event_of_this_process_is_not_imported() {
    let fleet = Fleet::new();
    let a = fleet.claims_client();
    a.poll(Duration::ZERO).unwrap();
    let engine = Arc::new(Observed::new(&fleet.engine));
    let b = fleet.client_with(engine.clone(), &fleet.time, |config| config.user_mode = Some(UserMode::Claims));
    let (other, newer) = (a.clone(), Mutex::new(Some(fleet.event(2, false))));
    *engine.before_write.lock().unwrap() = Some(Box::new(move || {
        let newer = newer.lock().unwrap().take();
        newer.iter().for_each(|newer| assert_eq!(deliver(&other, newer), WebhookOutcome::Applied));
    }));
    assert_eq!(deliver(&b, &fleet.event(1, true)), WebhookOutcome::Applied, "nothing newer was known");
    assert!(a.poll(Duration::ZERO).unwrap() > 0);
    assert_eq!(ask(&a, &fleet.token("user_1")), "in verified");
    assert_eq!(ask(&fleet.claims_client(), &fleet.token("user_1")), "in verified");
}

#[test]
fn ban_rejects_here_before_the_engine_is_asked_about_it() {
    for mode in [UserMode::Claims, UserMode::Profile] {
        let fleet = Fleet::new();
        fleet.sim.put_user(json!({"id": "user_1", "updated_at": fleet.time.now_s() * 1000}));
        let engine = Arc::new(Observed::new(&fleet.engine));
        let client = fleet.client_with(engine.clone(), &fleet.time, |config| config.user_mode = Some(mode));
        let token = fleet.token("user_1");
        assert_eq!((ask(&client, &token), ask(&client, &token)), ("in verified".into(), "in cache".into()));
        let banned = json!({"id": "user_1", "banned": true, "updated_at": fleet.time.now_s() * 1000 + 2});
        fleet.sim.put_user(banned);
        let (other, meanwhile) = (client.clone(), Arc::new(Mutex::new(String::new())));
        let (seen, same) = (meanwhile.clone(), token.clone());
        *engine.before_read.lock().unwrap() = Some(Box::new(move || *seen.lock().unwrap() = ask(&other, &same)));
        assert_eq!(deliver(&client, &fleet.event(2, true)), WebhookOutcome::Applied);
        assert_eq!(*meanwhile.lock().unwrap(), "out user-inactive", "{mode:?}");
        assert_eq!(ask(&client, &token), "out user-inactive", "{mode:?}");
    }
}

#[test]
fn late_ban_at_a_new_process_is_ignored() {
    for mode in [UserMode::Claims, UserMode::Profile] {
        let fleet = Fleet::new();
        fleet.sim.put_user(json!({"id": "user_1", "updated_at": fleet.time.now_s() * 1000 + 3}));
        let client = |mode| fleet.client(|config| config.user_mode = Some(mode));
        let first = client(mode);
        assert_eq!(deliver(&first, &fleet.event(2, true)), WebhookOutcome::Applied);
        assert_eq!(deliver(&first, &fleet.event(3, false)), WebhookOutcome::Applied);
        let later = client(mode);
        let token = fleet.token("user_1");
        assert_eq!(ask(&later, &token), "in verified", "{mode:?}");
        assert_eq!(deliver(&later, &fleet.event(1, true)), WebhookOutcome::Ignored, "{mode:?}");
        assert!(ask(&later, &token).starts_with("in "), "{mode:?}");
        assert_eq!(ask(&later, &token), "in cache", "{mode:?}");
        assert_eq!(ask(&client(UserMode::Claims), &token), "in verified", "{mode:?}");
    }
}

#[test]
fn only_what_others_need_is_stored_about_bans() {
    let fleet = Fleet::new();
    let engine = Arc::new(Observed::new(&fleet.engine));
    let writes = Arc::new(AtomicUsize::new(0));
    let counted = writes.clone();
    let count = move || {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    *engine.before_write.lock().unwrap() = Some(Box::new(count));
    let client = fleet.client_with(engine, &fleet.time, |config| config.user_mode = Some(UserMode::Profile));
    let of = |version, is_banned| {
        let before = writes.load(Ordering::SeqCst);
        assert_eq!(deliver(&client, &fleet.event(version, is_banned)), WebhookOutcome::Applied);
        writes.load(Ordering::SeqCst) - before
    };
    // Where users are fetched, the versions of users do without a record of each event.
    let (usual, ban, end) = (of(1, false), of(2, true), of(3, false));
    assert_eq!((ban, end), (usual + 1, usual + 1));
}

#[test]
fn end_of_a_ban_that_was_not_sent_yet_is_sent_with_it() {
    for mode in [UserMode::Claims, UserMode::Profile] {
        let fleet = Fleet::new();
        let engine = Arc::new(Observed::new(&fleet.engine));
        let client = fleet.client_with(engine.clone(), &fleet.time, |config| config.user_mode = Some(mode));
        let (ban, end) = (fleet.event(2, true), fleet.event(3, false));
        engine.fails.store(true, Ordering::SeqCst);
        assert_eq!(deliver(&client, &ban), WebhookOutcome::Applied);
        engine.fails.store(false, Ordering::SeqCst);
        fleet.time.advance_s(60);
        assert_eq!(deliver(&client, &end), WebhookOutcome::Applied);
        let _ = client.poll(Duration::from_millis(100));
        assert_eq!(ask(&fleet.claims_client(), &fleet.token("user_1")), "in verified", "{mode:?}");
    }
}

#[test]
fn imported_ban_older_than_an_event_of_this_process_counts_no_more() {
    let fleet = Fleet::new();
    // Each with an engine of its own: revocations are copied by the application.
    let client = || {
        let engine = Arc::new(MemoryEngine::new());
        fleet.client_with(engine, &fleet.time, |config| config.user_mode = Some(UserMode::Claims))
    };
    let (a, b, new) = (client(), client(), client());
    assert_eq!(deliver(&a, &fleet.event(2, false)), WebhookOutcome::Applied);
    assert_eq!(deliver(&b, &fleet.event(1, true)), WebhookOutcome::Applied);
    let export = b.export_revocations().unwrap();
    for (client, expected) in [(&a, "in verified"), (&new, "out user-inactive")] {
        assert!(client.import_revocations(&export));
        assert_eq!(ask(client, &fleet.token("user_1")), expected);
    }
    assert_eq!(deliver(&b, &fleet.event(3, true)), WebhookOutcome::Applied);
    assert!(a.import_revocations(&b.export_revocations().unwrap()));
    assert_eq!(ask(&a, &fleet.token("user_1")), "out user-inactive");
}

#[test]
fn ban_that_the_application_copies_is_decided_by_clerk_not_by_what_is_stored() {
    let fleet = Fleet::new();
    fleet.sim.put_user(json!({"id": "user_1", "updated_at": fleet.time.now_s() * 1000}));
    let profile = || fleet.client(|config| config.user_mode = Some(UserMode::Profile));
    let (client, token) = (profile(), fleet.token("user_1"));
    assert_eq!(ask(&client, &token), "in verified");
    let banned = json!({"id": "user_1", "banned": true, "updated_at": fleet.time.now_s() * 1000 + 2});
    fleet.sim.put_user(banned);
    // With an engine of its own.
    let engine = Arc::new(MemoryEngine::new());
    let other = fleet.client_with(engine, &fleet.time, |config| config.user_mode = Some(UserMode::Claims));
    assert_eq!(deliver(&other, &fleet.event(2, true)), WebhookOutcome::Applied);
    assert!(client.import_revocations(&other.export_revocations().unwrap()));
    assert_eq!(client.verify_token(token.as_str()).reason(), Some(Reason::UserInactive));
    assert_eq!(ask(&client, &token), "out user-inactive");
}

#[test]
fn end_of_a_ban_that_the_application_copies_counts_in_every_mode() {
    for mode in [UserMode::Claims, UserMode::Profile] {
        let fleet = Fleet::new();
        fleet.sim.put_user(json!({"id": "user_1", "updated_at": fleet.time.now_s() * 1000}));
        fleet.sim.update(|state| {
            state.oauth_tokens.insert("oat_good".into(), json!({"id": "oat_1", "subject": "user_1", "scopes": []}));
        });
        // Each with an engine of its own: revocations are copied by the application.
        let client = |mode| {
            let engine = Arc::new(MemoryEngine::new());
            fleet.client_with(engine, &fleet.time, |config| {
                config.user_mode = Some(mode);
                config.accepts_token = TokenKind::ALL.to_vec();
                config.machine_tokens_skip_user = true;
            })
        };
        let (client, other, late) = (client(mode), client(UserMode::Claims), client(UserMode::Claims));
        let seen = |token: &str| (client.verify_token(token).reason(), ask(&client, "oat_good"));
        let copy = |from: &Client| assert!(client.import_revocations(&from.export_revocations().unwrap()));
        let rejected = (Some(Reason::UserInactive), "out user-inactive".to_owned());
        let token = fleet.token("user_1");
        assert_eq!(deliver(&late, &fleet.event(2, true)), WebhookOutcome::Applied);
        for (version, banned) in [(2, true), (3, false), (4, true), (5, false)] {
            assert_eq!(deliver(&other, &fleet.event(version, banned)), WebhookOutcome::Applied);
            copy(&other);
            if banned {
                assert_eq!(seen(&token), rejected, "{mode:?} {version}");
            } else {
                assert_eq!(seen(&token), (None, "in verified".into()), "{mode:?} {version}");
                // One that has not seen the end brings nothing back.
                copy(&late);
                assert_eq!(seen(&token), (None, "in verified".into()), "{mode:?} {version}, copied");
            }
        }
        // Only what is newer ends a ban.
        let banned_again = fleet.event(7, true);
        assert_eq!(deliver(&other, &fleet.event(6, false)), WebhookOutcome::Applied);
        let lifted = other.export_revocations().unwrap();
        assert_eq!(deliver(&other, &banned_again), WebhookOutcome::Applied);
        copy(&other);
        assert!(client.import_revocations(&lifted));
        assert_eq!(seen(&token), rejected, "{mode:?}");
    }
}

#[test]
fn ban_that_a_required_engine_lacks_is_delivered_again_in_every_mode() {
    for mode in [UserMode::Claims, UserMode::Profile, UserMode::Sync] {
        let (fleet, dir) = (Fleet::new(), TempDir::new());
        let engine = Arc::new(Observed::new(&fleet.engine));
        let client = fleet.client_with(engine.clone(), &fleet.time, |config| {
            config.user_mode = Some(mode);
            config.shared_cache_required = true;
            if mode == UserMode::Sync {
                config.set("database", &format!("sqlite:{}", dir.join("users.db").display())).unwrap();
            }
        });
        let user = |version, banned| {
            let updated_at = fleet.time.now_s() * 1000 + version;
            fleet
                .sim
                .set_users([json!({"id": "user_1", "first_name": "Ada", "banned": banned, "updated_at": updated_at})]);
            fleet.event(version, banned)
        };
        assert_eq!(deliver(&client, &user(1, false)), WebhookOutcome::Applied, "{mode:?}");
        let ban = user(2, true);
        engine.fails.store(true, Ordering::SeqCst);
        for _ in 0..2 {
            let outcome = deliver(&client, &ban);
            assert!(matches!(outcome, WebhookOutcome::Failed(_)), "{mode:?}: {outcome:?}");
        }
        engine.fails.store(false, Ordering::SeqCst);
        fleet.time.advance_s(60);
        assert_eq!(deliver(&client, &ban), WebhookOutcome::Applied, "{mode:?}");
        assert_eq!(deliver(&client, &ban), WebhookOutcome::Ignored, "{mode:?}");
        assert_eq!(ask(&fleet.claims_client(), &fleet.token("user_1")), "out user-inactive", "{mode:?}");
    }
}

#[test]
fn what_is_invalidated_does_not_come_back_from_the_engine() {
    type Invalidate = fn(&Client);
    let calls: [(&str, Invalidate); 4] = [
        (M2M, |client| client.invalidate_token(M2M)),
        (M2M, |client| client.invalidate_all()),
        ("user_1", |client| client.invalidate_user("user_1")),
        ("user_1", |client| client.invalidate_all()),
    ];
    for (at, (subject, invalidate)) in calls.into_iter().enumerate() {
        for fails in [false, true] {
            let fleet = Fleet::new();
            let _ = machines(&fleet);
            fleet.sim.put_user(json!({"id": "user_1", "updated_at": 5}));
            let engine = Arc::new(Observed::new(&fleet.engine));
            let client = fleet.client_with(engine.clone(), &fleet.time, |config| {
                config.user_mode = Some(UserMode::Profile);
                config.accepts_token = vec![TokenKind::M2mToken, TokenKind::SessionToken];
                config.machine_cache_ttl_s = 300;
                config.machine_secret_key = Some(Secret::new("ak_a"));
            });
            let token = if subject == M2M { M2M.to_owned() } else { fleet.token(subject) };
            assert_eq!(ask(&client, &token), "in verified");
            fleet.sim.update(|state| state.m2m_tokens.clear());
            fleet.sim.put_user(json!({"id": "user_1", "banned": true, "updated_at": 5}));
            // A request that begins before the others know it.
            let (other, same) = (client.clone(), token.clone());
            let meanwhile = move || drop(ask(&other, &same));
            *engine.before_write.lock().unwrap() = Some(Box::new(meanwhile));
            engine.fails.store(fails, Ordering::SeqCst);
            invalidate(&client);
            *engine.before_write.lock().unwrap() = None;
            engine.fails.store(false, Ordering::SeqCst);
            let expected = if subject == M2M { "out token-invalid" } else { "out user-inactive" };
            assert_eq!(ask(&client, &token), expected, "{at}, fails: {fails}");
        }
    }
}

#[test]
fn imported_ban_ends_in_a_process_that_does_not_poll() {
    let fleet = Fleet::new();
    let engine = Arc::new(Observed::new(&fleet.engine));
    let (a, c) = (
        fleet.claims_client(),
        fleet.client_with(engine.clone(), &fleet.time, |config| config.user_mode = Some(UserMode::Claims)),
    );
    let token = fleet.token("user_1");
    for (version, banned, expected) in [
        (5, true, "out user-inactive"),
        (6, false, "in verified"),
        (7, true, "out user-inactive"),
        (8, false, "in verified"),
    ] {
        assert_eq!(deliver(&a, &fleet.event(version, banned)), WebhookOutcome::Applied);
        c.invalidate_token(&token);
        assert_eq!(ask(&c, &token), expected, "{version}");
    }
    // Without the engine nothing ends it.
    assert_eq!(deliver(&a, &fleet.event(9, true)), WebhookOutcome::Applied);
    c.invalidate_token(&token);
    assert_eq!(ask(&c, &token), "out user-inactive");
    assert_eq!(deliver(&a, &fleet.event(10, false)), WebhookOutcome::Applied);
    engine.fails.store(true, Ordering::SeqCst);
    assert_eq!(ask(&c, &token), "out user-inactive");
    engine.fails.store(false, Ordering::SeqCst);
    assert_eq!(ask(&c, &token), "in verified");
    // A revocation and a deletion have no end.
    assert!(a.revoke_user("user_1"));
    c.invalidate_token(&token);
    for version in [11, 12] {
        assert_eq!(ask(&c, &token), "out session-revoked");
        let _ = deliver(&a, &fleet.event(version, false));
    }
}
