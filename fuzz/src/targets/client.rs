//! A client against a model of what it may and must answer.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clerk_auth::transport::{Request as ApiRequest, Response, Transport, TransportError};
use clerk_auth::users::{Row, RowChanges, Schema, StoreError, UpdateCondition, UserStore};
use clerk_auth::{Attribute, AuthResult, Client, Event, Outcome, Request, UserMode, WebhookHeaders, WebhookOutcome};
use serde_json::{Value, json};

use crate::input::Input;
use crate::limits::watch;
use crate::second;
use crate::tokens::{self, NOW_S, Session, USERS, user_id};

const SKEW_MS: i64 = 5000;
const CACHE_S: u32 = 60;
const USER_S: u32 = 60;
const STALE_S: u32 = 120;
const SECRET: &[u8] = b"clerk-auth-fuzz";

#[derive(Clone)]
struct ClerkUser {
    exists: bool,
    banned: bool,
    version: i64,
}

/// Clerk's side.
struct World {
    now_ms: AtomicI64,
    users: Mutex<Vec<ClerkUser>>,
    is_down: Mutex<bool>,
    jwks: Mutex<Vec<&'static str>>,
    /// What happens while the next request is answered, after the answer was made.
    meanwhile: Mutex<Option<Meanwhile>>,
    /// What has happened then: whether an event was applied.
    happened: Mutex<Vec<(Meanwhile, bool)>>,
    /// The number of the next event.
    next: AtomicU64,
    /// For what happens meanwhile. Emptied at the end: the client has this object as its transport.
    client: Mutex<Option<Client>>,
}

/// What happens at Clerk or in the application while a request of the client is under way.
#[derive(Clone, Copy)]
enum Meanwhile {
    Ban(usize),
    Delete(usize),
    RevokeSession(&'static str),
    RevokeUser(usize),
}

impl World {
    fn run_meanwhile(&self) {
        let Some(what) = self.meanwhile.lock().expect("no panic").take() else { return };
        let Some(client) = self.client.lock().expect("no panic").clone() else { return };
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let is_applied = match what {
            Meanwhile::Ban(user) => {
                self.change(user, |user| user.banned = true);
                let event = self.user(user).map(|user| json!({"type": "user.updated", "data": user}));
                event.is_some_and(|event| deliver(&client, self, number, &event))
            }
            Meanwhile::Delete(user) => {
                self.change(user, |user| user.exists = false);
                deliver(&client, self, number, &json!({"type": "user.deleted", "data": {"id": user_id(user)}}))
            }
            Meanwhile::RevokeSession(sid) => client.revoke_session(sid),
            Meanwhile::RevokeUser(user) => client.revoke_user(&user_id(user)),
        };
        self.happened.lock().expect("no panic").push((what, is_applied));
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut ClerkUser)) -> ClerkUser {
        let mut users = self.users.lock().expect("no panic");
        change(&mut users[number]);
        users[number].version += 1;
        users[number].clone()
    }

    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn user(&self, number: usize) -> Option<Value> {
        let user = self.users.lock().ok()?.get(number)?.clone();
        user.exists.then(|| {
            json!({
                "id": user_id(number), "username": format!("u{number}"), "banned": user.banned, "updated_at": user.version,
                "primary_email_address_id": "e",
                "email_addresses": [{"id": "e", "email_address": format!("u{number}@x"), "verification": {"status": "verified"}}],
            })
        })
    }
}

/// Clerk's error object: without it a 404 is not Clerk's.
const NOT_FOUND: &[u8] = br#"{"errors":[{"code":"resource_not_found"}]}"#;

impl Transport for World {
    fn send(&self, request: &ApiRequest<'_>, _: Duration) -> Result<Response, TransportError> {
        if *self.is_down.lock().expect("no panic") {
            return Err(TransportError::ConnectionRefused);
        }
        let found = match request.url.rsplit_once("/users/user_") {
            Some((_, number)) => self.user(number.parse().expect("a number")).map(|user| user.to_string().into_bytes()),
            None => Some(tokens::jwk_set(&self.jwks.lock().expect("no panic"))),
        };
        let status = if found.is_some() { 200 } else { 404 };
        self.run_meanwhile();
        Ok(Response { status, retry_after: None, trace_id: None, body: found.unwrap_or_else(|| NOT_FOUND.to_vec()) })
    }
    fn reset_after_fork(&self) -> bool {
        false
    }
    fn shutdown(&self) {}
}

/// The application's table. What is not committed is lost.
#[derive(Default)]
struct Table(Mutex<Vec<Row>>, Mutex<Option<Vec<Row>>>);

impl Table {
    fn find(&self, fits: impl Fn(&Row) -> bool) -> Vec<Row> {
        self.0.lock().expect("no panic").iter().filter(|row| fits(row)).cloned().collect()
    }

    fn write<T>(&self, write: impl FnOnce(&mut Vec<Row>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        write(self.1.lock().expect("no panic").as_mut().expect("a transaction"))
    }
}

fn apply(changes: &RowChanges, row: &mut Row) {
    row.clerk_id = changes.clerk_id.clone().or(row.clerk_id.take());
    row.email = changes.email.clone().unwrap_or(row.email.take());
    row.username = changes.username.clone().or(row.username.take());
    row.is_active = changes.is_active.unwrap_or(row.is_active);
    row.banned_by_clerk = changes.banned_by_clerk.unwrap_or(row.banned_by_clerk);
    row.clerk_updated_at_ms = changes.clerk_updated_at_ms.or(row.clerk_updated_at_ms);
}

impl UserStore for Table {
    fn schema(&self) -> Schema {
        Schema {
            clerk_updated_at: true,
            first_name: false,
            last_name: false,
            image_url: false,
            last_active_at: false,
            ..Schema::default()
        }
    }
    fn begin(&self) -> Result<(), StoreError> {
        *self.1.lock().expect("no panic") = Some(self.find(|_| true));
        Ok(())
    }
    fn commit(&self) -> Result<(), StoreError> {
        *self.0.lock().expect("no panic") = self.1.lock().expect("no panic").take().expect("a transaction");
        Ok(())
    }
    fn rollback(&self) {
        *self.1.lock().expect("no panic") = None;
    }
    fn find_by_key(&self, key: &str) -> Result<Option<Row>, StoreError> {
        Ok(self.find(|row| row.key == key).pop())
    }
    fn find_by_clerk_id(&self, clerk_id: &str) -> Result<Option<Row>, StoreError> {
        Ok(self.find(|row| row.clerk_id.as_deref() == Some(clerk_id)).pop())
    }
    fn find_by_email(&self, email: &str) -> Result<Vec<Row>, StoreError> {
        Ok(self.find(|row| row.email.as_deref() == Some(email)))
    }
    fn username_taken(&self, username: &str, except_key: Option<&str>) -> Result<bool, StoreError> {
        Ok(!self
            .find(|row| row.username.as_deref() == Some(username) && except_key != Some(row.key.as_str()))
            .is_empty())
    }
    fn create(&self, changes: &RowChanges) -> Result<String, StoreError> {
        self.write(|rows| {
            if rows.iter().any(|row| row.clerk_id == changes.clerk_id) {
                return Err(StoreError::Conflict);
            }
            let mut row = Row { key: format!("{}", rows.len() + 1), is_active: true, ..Row::default() };
            apply(changes, &mut row);
            rows.push(row.clone());
            Ok(row.key)
        })
    }
    fn update(&self, key: &str, changes: &RowChanges, condition: &UpdateCondition) -> Result<(), StoreError> {
        self.write(|rows| {
            let row =
                rows.iter_mut().find(|row| row.key == key && condition.allows(row)).ok_or(StoreError::Conflict)?;
            apply(changes, row);
            Ok(())
        })
    }
}

/// What the client knows, and what has ever happened.
#[derive(Clone, Default)]
struct User {
    /// Since when the user is banned or deleted at Clerk.
    blocked_since_ms: Option<i64>,
    /// The client knows it from an event, and it is still so.
    is_known_blocked: bool,
    is_deleted_by_event: bool,
    is_revoked: bool,
    /// The application has deactivated the row.
    is_deactivated: bool,
    /// Anything but a plain user has ever been seen.
    is_touched: bool,
}

struct Model {
    mode: UserMode,
    users: Vec<User>,
    revoked_sessions: Vec<String>,
    /// Since when a key is not in Clerk's set any more.
    removed_ms: [Option<i64>; 2],
    was_down: bool,
    was_rotated: bool,
}

impl Model {
    /// Takes in what has happened while requests were under way.
    fn learn(&mut self, world: &World, now_ms: i64) {
        for (what, is_applied) in world.happened.lock().expect("no panic").drain(..) {
            match what {
                Meanwhile::Ban(user) | Meanwhile::Delete(user) => {
                    let of = &mut self.users[user];
                    of.is_touched = true;
                    of.blocked_since_ms = of.blocked_since_ms.or(Some(now_ms));
                    of.is_known_blocked |= is_applied;
                    of.is_deleted_by_event |= is_applied && matches!(what, Meanwhile::Delete(_));
                }
                Meanwhile::RevokeSession(sid) => self.revoked_sessions.push(sid.to_owned()),
                Meanwhile::RevokeUser(user) => self.users[user].is_revoked = true,
            }
        }
    }

    /// Why a token must not be signed in.
    fn forbids(&self, session: &Session, now_ms: i64, is_verify_only: bool) -> Option<&'static str> {
        let user = &self.users[session.user];
        let longest_ms = i64::from(CACHE_S + USER_S + STALE_S) * 1000;
        let removed = self.removed_ms[usize::from(session.key == "k2")];
        let fetches = self.mode != UserMode::Claims && !is_verify_only;
        if now_ms >= session.exp_s * 1000 + SKEW_MS {
            Some("expired")
        } else if session.iat_s * 1000 > now_ms + SKEW_MS {
            Some("not issued yet")
        } else if self.revoked_sessions.contains(&session.sid) || user.is_revoked {
            Some("revoked")
        } else if user.is_deleted_by_event {
            Some("deleted")
        } else if user.is_known_blocked && (self.mode == UserMode::Claims || fetches) {
            Some("banned, as the client knows")
        } else if fetches && user.blocked_since_ms.is_some_and(|at| now_ms - at > longest_ms) {
            Some("banned for long")
        } else if removed.is_some_and(|at| now_ms - at > 60 * 60 * 1000 + i64::from(CACHE_S) * 1000) {
            Some("signed with a key that was removed long ago")
        } else if fetches && self.mode == UserMode::Sync && user.is_deactivated {
            Some("deactivated by the application")
        } else {
            None
        }
    }

    /// Whether the token must be signed in.
    fn requires(&self, session: &Session, now_ms: i64) -> bool {
        self.forbids(session, now_ms, false).is_none()
            && !self.users[session.user].is_touched
            && !self.was_down
            && !self.was_rotated
    }
}

fn check(model: &Model, session: &Session, result: &AuthResult, now_ms: i64, is_verify_only: bool) {
    match result.identity() {
        Some(identity) => {
            assert_eq!(
                model.forbids(session, now_ms, is_verify_only),
                None,
                "signed in: {session_id}",
                session_id = session.sid
            );
            assert_eq!(identity.user_id(), Some(user_id(session.user).as_str()));
            assert_eq!(result.http_status(), 200);
        }
        None => {
            assert_ne!(result.http_status(), 200);
            assert!(!matches!(result.outcome(), Outcome::NoCredentials { .. }));
            assert!(!model.requires(session, now_ms), "not signed in: {:?}", result.reason());
        }
    }
}

fn deliver(client: &Client, world: &World, number: u64, event: &Value) -> bool {
    let (body, now_s) = (event.to_string(), world.now_ms().div_euclid(1000).to_string());
    let id = format!("msg_{number}");
    let message = format!("{id}.{now_s}.{body}");
    let tag = format!("v1,{}", STANDARD.encode(second::hmac_sha256(SECRET, message.as_bytes())));
    let mut headers = WebhookHeaders::new();
    headers.header(b"svix-id", id.as_bytes()).header(b"svix-timestamp", now_s.as_bytes());
    headers.header(b"svix-signature", tag.as_bytes());
    let outcome = watch(|| client.handle_webhook(&headers, body.as_bytes()));
    assert!(!matches!(outcome, WebhookOutcome::Rejected(_)), "{outcome:?}");
    outcome == WebhookOutcome::Applied
}

/// Checks what the client says of a token, in each way.
fn check_each_way(client: &Client, world: &World, model: &mut Model, session: &Session) {
    let line = format!("Bearer {}", session.token);
    let mut request = Request::new();
    request.header(b"Authorization", line.as_bytes());
    let ways: [(bool, &dyn Fn() -> Option<Arc<AuthResult>>); 4] = [
        (false, &|| client.authenticate_cached(&request)),
        (false, &|| Some(client.authenticate(&request))),
        (false, &|| client.authenticate_cached(&request)),
        (true, &|| Some(client.verify_token(&session.token))),
    ];
    for (is_verify_only, ask) in ways {
        let (now_ms, result) = (world.now_ms(), watch(ask));
        model.learn(world, now_ms);
        if let Some(result) = result {
            check(model, session, &result, now_ms, is_verify_only);
        }
    }
}

/// What hardly any order of operations meets by chance: a token expires, a session is revoked during a request for it, and a user is
/// banned, each while the result is cached.
fn finish(client: &Client, world: &World, model: &mut Model) {
    let [expiring, revoked, banned] = [0, 8, 14].map(|number| &tokens::pool()[number]);
    let end_ms = expiring.exp_s * 1000 + SKEW_MS;
    if world.now_ms() < end_ms {
        for now_ms in [end_ms - 1, end_ms] {
            world.now_ms.store(now_ms, Ordering::SeqCst);
            check_each_way(client, world, model, expiring);
        }
    }
    client.invalidate_user(&user_id(revoked.user));
    *world.meanwhile.lock().expect("no panic") = Some(Meanwhile::RevokeSession(&revoked.sid));
    check_each_way(client, world, model, revoked);
    world.run_meanwhile();
    check_each_way(client, world, model, revoked);
    check_each_way(client, world, model, banned);
    if world.change(banned.user, |user| user.banned = true).exists {
        let event = json!({"type": "user.updated", "data": world.user(banned.user)});
        let is_applied = deliver(client, world, world.next.fetch_add(1, Ordering::SeqCst), &event);
        let of = &mut model.users[banned.user];
        of.is_touched = true;
        of.blocked_since_ms = of.blocked_since_ms.or(Some(world.now_ms()));
        of.is_known_blocked |= is_applied;
        check_each_way(client, world, model, banned);
    }
}

/// Input: the mode, then operations.
pub fn client(data: &[u8]) {
    let mut input = Input(data);
    let mode = input.one_of(&[UserMode::Claims, UserMode::Profile, UserMode::Sync]);
    let plain = ClerkUser { exists: true, banned: false, version: 1 };
    let world = Arc::new(World {
        now_ms: AtomicI64::new(NOW_S * 1000),
        users: Mutex::new(vec![plain; USERS]),
        is_down: Mutex::new(false),
        jwks: Mutex::new(vec!["k1", "k2"]),
        meanwhile: Mutex::new(None),
        happened: Mutex::new(Vec::new()),
        next: AtomicU64::new(1000),
        client: Mutex::new(None),
    });
    let table = Arc::new(Table::default());
    let events = Arc::new(AtomicU64::new(0));
    let (clock, counter) = (world.clone(), events.clone());
    let mut builder = Client::builder()
        .secret_key("sk_test_fuzz")
        .webhook_secrets([format!("whsec_{}", STANDARD.encode(SECRET))])
        .user_mode(mode)
        .clock_skew_ms(SKEW_MS as u32)
        .cache_ttl_s(CACHE_S)
        .user_ttl_s(USER_S)
        .user_stale_if_error_s(STALE_S)
        .row_check_ttl_s(if input.flag() { 30 } else { 0 })
        .cache_capacity(if input.flag() { 1000 } else { 3 })
        .clock(move || clock.now_ms())
        .transport(world.clone())
        .on_event(move |event| {
            let is_end = matches!(event, Event::AuthSuccess { .. } | Event::AuthFailed { .. });
            counter.fetch_add(u64::from(is_end), Ordering::SeqCst);
        });
    if mode == UserMode::Sync {
        builder = builder.user_store(table.clone());
    }
    let client = builder.build().expect("a client");
    *world.client.lock().expect("no panic") = Some(client.clone());
    let pool = tokens::pool();
    let mut model = Model {
        mode,
        users: vec![User::default(); USERS],
        revoked_sessions: Vec::new(),
        removed_ms: [None; 2],
        was_down: false,
        was_rotated: false,
    };
    let mut count = 0;
    while !input.is_empty() && count < 200 {
        count += 1;
        let now_ms = world.now_ms();
        model.learn(&world, now_ms);
        let number = usize::from(input.byte()) % pool.len();
        let session = &pool[number];
        let who = session.user;
        match input.below(16) {
            0 => {
                let ms =
                    [1, 500, 4999, 5000, 29_999, 55_000, 59_999, 60_000, 66_000, 300_000, 3_700_000][input.below(11)];
                world.now_ms.fetch_add(ms, Ordering::SeqCst);
            }
            kind @ 1..=5 => {
                let line = match kind {
                    1..=3 => format!("Bearer {}", session.token),
                    _ => format!("theme=dark; __session={}", session.token),
                };
                let mut request = Request::new();
                let name: &[u8] = if kind <= 3 { b"Authorization" } else { b"Cookie" };
                request.method(b"GET").header(name, line.as_bytes());
                let before = events.load(Ordering::SeqCst);
                if input.byte() & 3 == 0 {
                    let result = watch(|| client.authenticate_cached(&request));
                    let ends = events.load(Ordering::SeqCst) - before;
                    assert_eq!(ends, u64::from(result.is_some()), "events of a cached authentication");
                    model.learn(&world, now_ms);
                    if let Some(result) = result {
                        check(&model, session, &result, now_ms, false);
                    }
                } else {
                    let result = watch(|| client.authenticate(&request));
                    assert_eq!(events.load(Ordering::SeqCst) - before, 1, "events of an authentication");
                    model.learn(&world, now_ms);
                    check(&model, session, &result, now_ms, false);
                    if let (UserMode::Sync, Some(identity)) = (mode, result.identity()) {
                        let rows = table.find(|row| row.clerk_id == Some(user_id(who)));
                        assert_eq!(
                            rows.first().map(|row| row.key.as_str()),
                            identity.get(Attribute::UserKey),
                            "the row is not in the table"
                        );
                    }
                }
            }
            6 => {
                let result = watch(|| client.verify_token(&session.token));
                model.learn(&world, now_ms);
                check(&model, session, &result, now_ms, true);
            }
            7 | 8 => {
                // Banned, unbanned or deleted at Clerk; perhaps with an event.
                let kind = input.below(3);
                let user = world.change(who, |user| match kind {
                    0 => user.banned = true,
                    1 => user.banned = false,
                    _ => user.exists = false,
                });
                let of = &mut model.users[who];
                of.is_touched = true;
                let is_blocked = user.banned || !user.exists;
                of.blocked_since_ms = is_blocked.then_some(of.blocked_since_ms.unwrap_or(now_ms));
                of.is_known_blocked &= is_blocked;
                if input.flag() {
                    let event = match world.user(who) {
                        Some(user) => json!({"type": "user.updated", "data": user}),
                        None => json!({"type": "user.deleted", "data": {"id": user_id(who), "deleted": true}}),
                    };
                    let is_applied = deliver(&client, &world, count, &event);
                    let of = &mut model.users[who];
                    of.is_known_blocked |= is_applied && is_blocked;
                    of.is_deleted_by_event |= is_applied && !user.exists;
                }
            }
            9 => {
                let mut is_down = world.is_down.lock().expect("no panic");
                *is_down = !*is_down;
                model.was_down = true;
            }
            10 => {
                assert!(client.revoke_session(&session.sid));
                model.revoked_sessions.push(session.sid.clone());
            }
            11 => {
                let what = match input.below(8) {
                    0..=2 => Meanwhile::Ban(who),
                    3 | 4 => Meanwhile::Delete(who),
                    5 | 6 => Meanwhile::RevokeSession(&session.sid),
                    _ => Meanwhile::RevokeUser(who),
                };
                *world.meanwhile.lock().expect("no panic") = Some(what);
                if input.byte() & 7 == 0 {
                    world.run_meanwhile();
                    model.learn(&world, now_ms);
                }
            }
            12 => {
                let kind = input.one_of(&["session.ended", "session.revoked", "session.removed"]);
                let event = json!({"type": kind, "data": {"id": session.sid}});
                if deliver(&client, &world, count, &event) {
                    model.revoked_sessions.push(session.sid.clone());
                }
            }
            13 => match input.below(3) {
                0 => client.invalidate_user(&user_id(who)),
                1 => client.invalidate_session(&session.sid),
                _ => client.invalidate_all(),
            },
            14 => {
                let names = [vec!["k1", "k2"], vec!["k1"], vec!["k2"]][input.below(3)].clone();
                for (at, name) in ["k1", "k2"].into_iter().enumerate() {
                    let is_gone = !names.contains(&name);
                    model.removed_ms[at] = is_gone.then_some(model.removed_ms[at].unwrap_or(now_ms));
                }
                *world.jwks.lock().expect("no panic") = names;
                model.was_rotated = true;
            }
            15 => {
                // The application locks an account out, or lets it in again.
                let is_active = input.flag();
                let mut rows = table.0.lock().expect("no panic");
                if let Some(row) = rows.iter_mut().find(|row| row.clerk_id == Some(user_id(who))) {
                    (row.is_active, row.banned_by_clerk) = (is_active, false);
                    model.users[who].is_deactivated = !is_active;
                    model.users[who].is_touched = true;
                }
                drop(rows);
                client.invalidate_user(&user_id(who));
            }
            _ => {}
        }
        let rows = table.0.lock().expect("no panic");
        assert!((0..USERS).all(|user| rows.iter().filter(|row| row.clerk_id == Some(user_id(user))).count() <= 1));
    }
    finish(&client, &world, &mut model);
    *world.client.lock().expect("no panic") = None;
    let stats = client.stats();
    assert!(stats.cached_tokens <= 1000 && stats.cached_users <= 1000);
}
