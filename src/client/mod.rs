//! The client: authenticates requests, applies webhook events, invalidates what is cached.
//!
//! `authenticate` is the flow of a request, `webhooks` the flow of a webhook event; both need a user store, and `stepwise`
//! is the state machine that queries it. The other modules are the parts, each with its own state and locks.

mod admission;
mod auth_context;
mod auth_result;
mod authenticate;
mod backend;
mod blocked_users;
mod builder;
mod cache_entry;
mod cached_user;
mod changes;
mod explain;
mod handshakes;
mod inner;
mod invalidations;
mod machine_tokens;
mod metrics;
mod metrics_text;
mod pages;
mod pending;
mod poller;
mod result_cache;
mod result_shard;
mod revocations;
mod row_task;
mod session_checks;
mod shared_setup;
mod shared_users;
mod sharing;
mod stepwise;
mod unsent;
mod user_cache;
mod user_row;
mod validate;
mod verified_tokens;
mod verify;
mod webhook_receiver;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

pub use auth_result::{AuthResult, Outcome};
pub use builder::ClientBuilder;
pub use metrics::Stats;
pub use pending::{AuthProgress, PendingAuth, PendingWebhook, WebhookProgress};
pub use stepwise::NextAction;
pub use webhook_receiver::WebhookOutcome;

use auth_context::AuthContext;
use auth_result::{AuthError, VerifyError};
use authenticate::{CacheLookup, Prepared};
use inner::{Inner, of_forked};
use invalidations::Scope;
use pages::Attempt;
use poller::Poller;
use revocations::Export;

use crate::clock::Io;
use crate::config::{ConfigError, UserMode};
use crate::deadline;
use crate::error::{Error, ErrorKind};
use crate::events::Source;
use crate::jwt::Explanation;
use crate::keys::KeySource;
use crate::reason::Reason;
use crate::request::{Credential, Request, TokenSource, locate};
use crate::shared_cache::Change;
use crate::token::{BegunHash, TokenHash, is_clerk_id};
use crate::webhooks::Headers;

/// Authenticates requests, applies webhook events, and caches what it found out.
///
/// All threads share one client; clones are handles to the same client. It starts no threads, except for the duration of a name
/// lookup.
///
/// # Examples
///
/// ```
/// use clerk_auth::{Attribute, Client, Request};
///
/// # let (jwt_key, token) = clerk_auth::internals::example();
/// let client = Client::builder().jwt_key(jwt_key).authorized_parties(["https://app.example.com"]).build()?;
///
/// let cookie = format!("theme=dark; __session={token}");
/// let result = client.authenticate(Request::new().header(b"Cookie", cookie.as_bytes()));
/// let identity = result.identity().expect("a valid token");
/// assert_eq!(identity.user_id(), Some("user_ada"));
/// assert_eq!(identity.get(Attribute::OrgSlug), Some("acme"));
/// # Ok::<(), clerk_auth::Error>(())
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    poller: Arc<Poller>,
}

impl Client {
    /// Returns a builder.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Authenticates a request. Fetches keys and users and queries the user store as needed; waits for Clerk and for a store of
    /// this library together at most `timeout_ms`. A store of the application takes the time it takes.
    ///
    /// # Examples
    ///
    /// ```
    /// use clerk_auth::{Client, Reason, Request};
    ///
    /// # let (jwt_key, _) = clerk_auth::internals::example();
    /// # let client = Client::builder().jwt_key(jwt_key).build()?;
    /// let result = client.authenticate(Request::new().header(b"Authorization", b"Bearer forged.e30.AAAA"));
    /// assert_eq!((result.http_status(), result.reason()), (401, Some(Reason::TokenInvalid)));
    ///
    /// let anonymous = client.authenticate(&Request::new());
    /// assert_eq!(anonymous.reason(), Some(Reason::SessionTokenMissing));
    /// # Ok::<(), clerk_auth::Error>(())
    /// ```
    pub fn authenticate(&self, request: &Request<'_>) -> Arc<AuthResult> {
        match self.begin(request) {
            AuthProgress::Done(result) => result,
            AuthProgress::Pending(pending) => pending.run(self.inner.store.as_deref()),
        }
    }

    /// Authenticates a request from the caches: never blocks, uses neither Clerk nor the user store. A token is verified if
    /// its key and its user are cached. Returns `None` if [`Self::authenticate`] is needed.
    ///
    /// # Examples
    ///
    /// ```
    /// use clerk_auth::{Client, Outcome, Request, Source};
    ///
    /// # let (jwt_key, token) = clerk_auth::internals::example();
    /// # let client = Client::builder().jwt_key(jwt_key).build()?;
    /// let authorization = format!("Bearer {token}");
    /// let mut request = Request::new();
    /// request.header(b"Authorization", authorization.as_bytes());
    ///
    /// let result = client.authenticate_cached(&request).unwrap_or_else(|| client.authenticate(&request));
    /// assert!(result.is_signed_in());
    /// let again = client.authenticate_cached(&request).expect("cached now");
    /// assert_eq!(again.outcome(), Outcome::SignedIn { source: Source::Cache });
    /// # Ok::<(), clerk_auth::Error>(())
    /// ```
    pub fn authenticate_cached(&self, request: &Request<'_>) -> Option<Arc<AuthResult>> {
        let inner = &self.inner;
        let found = inner.lookup_unless_page(request);
        if let Some(CacheLookup::Done(result)) = found {
            return Some(result);
        }
        let result = match inner.prepare_page(request, found, Io::CacheOnly) {
            Some(Attempt { prepared: Prepared::Resolved(context, token, resolved), .. }) if resolved.needs_store() => {
                inner.verified.put(&context, token);
                None
            }
            Some(Attempt { prepared, addition }) if !inner.needs_store(&prepared) => {
                match AuthProgress::new(inner, inner.proceed(prepared, Io::CacheOnly), addition) {
                    AuthProgress::Done(result) => Some(result),
                    AuthProgress::Pending(_) => None,
                }
            }
            _ => None,
        };
        if result.is_none() {
            inner.backend.metrics.would_block.increment();
        }
        result
    }

    /// Begins an authentication for an application that queries its user table itself. Waits for Clerk as needed. See
    /// [`stepwise`](crate::stepwise) for an example.
    pub fn begin(&self, request: &Request<'_>) -> AuthProgress {
        let begun = self.begin_with(request, || self.inner.blocking());
        begun.unwrap_or_else(|| AuthProgress::Done(Arc::new(Reason::InternalError.into())))
    }

    /// Does the same without waiting for Clerk. Returns `None` if [`Self::begin`] is needed.
    pub fn begin_cached(&self, request: &Request<'_>) -> Option<AuthProgress> {
        let begun = self.begin_with(request, || Io::CacheOnly);
        if begun.is_none() {
            self.inner.backend.metrics.would_block.increment();
        }
        begun
    }

    fn begin_with(&self, request: &Request<'_>, io: impl FnOnce() -> Io) -> Option<AuthProgress> {
        let found = self.inner.lookup_unless_page(request);
        if let Some(CacheLookup::Done(result)) = found {
            return Some(AuthProgress::Done(result));
        }
        // The time to wait begins here: most requests end before.
        let io = io();
        let Attempt { prepared, addition } = self.inner.prepare_page(request, found, io)?;
        Some(AuthProgress::new(&self.inner, self.inner.proceed(prepared, io), addition))
    }

    /// Verifies a JWT only: fetches no user, queries no user store, caches nothing, emits no event. May fetch the JWK set. A
    /// user or session that is known to be deleted, banned or revoked is rejected.
    ///
    /// # Examples
    ///
    /// ```
    /// use clerk_auth::{Attribute, Client, TokenKind};
    ///
    /// # let (jwt_key, token) = clerk_auth::internals::example();
    /// # let client = Client::builder().jwt_key(jwt_key).build()?;
    /// let result = client.verify_token(token);
    /// let identity = result.identity().expect("a valid token");
    /// assert_eq!((identity.kind(), identity.get(Attribute::SessionId)), (TokenKind::SessionToken, Some("sess_ada")));
    /// assert!(!client.verify_token(&token[1..]).is_signed_in());
    /// # Ok::<(), clerk_auth::Error>(())
    /// ```
    pub fn verify_token(&self, token: &str) -> Arc<AuthResult> {
        let inner = &*self.inner;
        let credential = Credential { token: token.as_bytes(), source: TokenSource::Header, client_uat: None };
        let (hash, begun) = BegunHash::of(credential.token);
        let context = AuthContext::new(hash, inner.clock.now(), inner.invalidations.sequence());
        let verified = inner.verify_jwt(&credential, &begun, &context, inner.blocking());
        let result = match verified.and_then(|token| inner.check_memory(&token, context.now).map(|()| token)) {
            Ok(token) => AuthResult::signed_in(token.identity, Source::Verified),
            Err(VerifyError::Refused(error)) => inner.with_detail(error, &credential, &context).into(),
            Err(VerifyError::WouldBlock) => Reason::InternalError.into(),
        };
        let result = if inner.is_for_want_of_warm_up(&result) { of_forked(result) } else { result };
        if !result.is_signed_in() {
            inner.log_rejection(Some(context.hash), &result);
        }
        Arc::new(result.with_token_hash(&context.hash))
    }

    /// Explains why a token is accepted or rejected, check by check, without trusting it. For operators.
    ///
    /// By what is in memory: it sends no request, queries no user store, emits no event. If the key set was not fetched yet, the
    /// signature is not checked; see [`Self::warm_up`].
    ///
    /// # Examples
    ///
    /// ```
    /// use clerk_auth::{CheckStatus, Client, Reason};
    ///
    /// # let (jwt_key, token) = clerk_auth::internals::example();
    /// let client = Client::builder().jwt_key(jwt_key).authorized_parties(["https://b.example"]).build()?;
    /// let explanation = client.explain(token);
    /// assert_eq!(explanation.reason(), Some(Reason::TokenInvalidAuthorizedParties));
    /// assert_eq!(explanation.summary(), r#"azp "https://app.example.com" not in authorized_parties"#);
    /// let failed = explanation.checks().iter().find(|check| check.status == CheckStatus::Failed).unwrap();
    /// assert_eq!((failed.name, failed.expected.as_str()), ("azp", r#"one of ["https://b.example"]"#));
    /// println!("{explanation}"); // one line for each check, with hints
    /// # Ok::<(), clerk_auth::Error>(())
    /// ```
    pub fn explain(&self, token: impl AsRef<[u8]>) -> Explanation {
        self.inner.explain(token.as_ref(), TokenSource::Header, self.inner.clock.now())
    }

    /// Returns a mark of this moment for [`Request::mark`]. A user that Clerk returns after it counts as fetched for the request,
    /// so that requests that begin together share one fetch, whenever their calls begin.
    pub fn mark(&self) -> u64 {
        self.inner.users.last_ended()
    }

    /// Returns where the request has a credential, and the token unless the credential is malformed. Verifies nothing, emits
    /// no event.
    pub fn credential<'a>(&self, request: &Request<'a>) -> Option<(TokenSource, Option<&'a [u8]>)> {
        locate(request, &self.inner.settings.rules, self.inner.clock.now().wall_ms.div_euclid(1000))
    }

    /// Verifies a webhook delivery and applies its event: updates the user's row, rejects banned and deleted users and ended
    /// sessions, and invalidates what is cached about them. `body` is the raw body.
    ///
    /// # Examples
    ///
    /// ```
    /// use clerk_auth::{Client, Reason, Request, WebhookHeaders, WebhookOutcome};
    ///
    /// # use aws_lc_rs::hmac;
    /// # use base64::{Engine as _, engine::general_purpose::STANDARD};
    /// # let (jwt_key, token) = clerk_auth::internals::example();
    /// let client = Client::builder().jwt_key(jwt_key).webhook_secrets(["whsec_c2VjcmV0"]).build()?;
    /// # let authorization = format!("Bearer {token}");
    /// # let body = r#"{"type":"session.revoked","data":{"id":"sess_ada"}}"#;
    /// # let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().to_string();
    /// # let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
    /// # let tag = hmac::sign(&key, format!("msg_1.{now}.{body}").as_bytes());
    /// # let signature = format!("v1,{}", STANDARD.encode(tag));
    /// # let request_headers = [("svix-id", "msg_1"), ("svix-timestamp", &now), ("svix-signature", &signature)];
    ///
    /// let mut headers = WebhookHeaders::new();
    /// for (name, value) in &request_headers {
    ///     headers.header(name.as_bytes(), value.as_bytes());
    /// }
    /// match client.handle_webhook(&headers, body.as_bytes()) {
    ///     WebhookOutcome::Applied | WebhookOutcome::Ignored => {} // 204
    ///     WebhookOutcome::Rejected(error) => panic!("400: {error}"),
    ///     WebhookOutcome::Failed(error) => panic!("503, so that it is delivered again: {error}"),
    /// }
    /// # let result = client.authenticate(Request::new().header(b"Authorization", authorization.as_bytes()));
    /// # assert_eq!(result.reason(), Some(Reason::SessionRevoked));
    /// # Ok::<(), clerk_auth::Error>(())
    /// ```
    pub fn handle_webhook(&self, headers: &Headers<'_>, body: &[u8]) -> WebhookOutcome {
        deadline::within(self.inner.deadline(), || match self.begin_webhook(headers, body) {
            WebhookProgress::Done(outcome) => outcome,
            WebhookProgress::Pending(pending) => pending.run(self.inner.store.as_deref()),
        })
    }

    /// Does the same for an application that queries its user table itself: applies everything but the user's row.
    pub fn begin_webhook(&self, headers: &Headers<'_>, body: &[u8]) -> WebhookProgress {
        WebhookProgress::new(&self.inner, self.inner.begin_webhook(headers, body))
    }

    /// Verifies a delivery that another process of this server has received, and applies its event in memory: the receiver has
    /// updated the user's row and the shared cache. Never blocks, uses neither. If the delivery itself comes here later, it is
    /// processed as if it had not been replayed.
    pub fn replay_webhook(&self, headers: &Headers<'_>, body: &[u8]) -> WebhookOutcome {
        self.inner.replay_webhook(headers, body)
    }

    /// Fetches the JWK set, so that the first request need not wait. Must be called in a child process after `fork`, before any
    /// call that may reach Clerk.
    ///
    /// # Errors
    ///
    /// An [`Error`] of the kind `Unavailable`, or `Config` if Clerk rejects the secret key.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let client = clerk_auth::ClientBuilder::from_env().build()?;
    /// if let Err(error) = client.warm_up() {
    ///     if error.is_config() {
    ///         return Err(error);
    ///     }
    ///     eprintln!("Clerk cannot be reached yet: {error}");
    /// }
    /// # Ok::<(), clerk_auth::Error>(())
    /// ```
    pub fn warm_up(&self) -> Result<(), Error> {
        let inner = &*self.inner;
        if inner.backend.api.reset_after_fork() {
            inner.reset_after_fork();
            self.poller.restart_after_fork(&self.inner);
        }
        let KeySource::Jwks(store) = &inner.keys else { return Ok(()) };
        let now_ms = inner.clock.now().mono_ms;
        inner.with_jwks(inner.blocking(), |fetcher| store.warm_up(now_ms, fetcher)).map_err(|error| match error {
            VerifyError::Refused(error) => error.into(),
            VerifyError::WouldBlock => AuthError::from(Reason::JwkFailedToLoad).into(),
        })
    }

    /// Invalidates the cached result of one token.
    pub fn invalidate_token(&self, token: &str) {
        let hash = TokenHash::of(token.as_bytes());
        self.inner.invalidate_and_share(Change::Token { hash: hash.0 }, || self.inner.invalidate_token(&hash));
    }

    /// Invalidates a Clerk user and the results of all its tokens, for example after the application has changed the user's row.
    ///
    /// # Examples
    ///
    /// ```
    /// use clerk_auth::{Client, Request};
    ///
    /// # let (jwt_key, token) = clerk_auth::internals::example();
    /// # let client = Client::builder().jwt_key(jwt_key).build()?;
    /// let authorization = format!("Bearer {token}");
    /// client.authenticate(Request::new().header(b"Authorization", authorization.as_bytes()));
    /// assert_eq!(client.stats().cached_tokens, 1);
    /// client.invalidate_user("user_ada");
    /// assert_eq!(client.stats().cached_tokens, 0);
    /// # Ok::<(), clerk_auth::Error>(())
    /// ```
    pub fn invalidate_user(&self, clerk_id: &str) {
        let change = Change::User { id: clerk_id.to_owned(), revocation: None, version_ms: None };
        self.inner.invalidate_and_share(change, || {
            self.inner.invalidate(Scope::Subject, clerk_id, || {
                self.inner.users.remove(clerk_id);
                self.inner.blocked_users.forget_row(clerk_id);
            });
        });
    }

    /// Invalidates a session and the results of all its tokens.
    pub fn invalidate_session(&self, session_id: &str) {
        self.inner.invalidate_and_share(Change::Session { id: session_id.to_owned(), revocation: None }, || {
            self.inner.invalidate(Scope::Session, session_id, || self.inner.sessions.remove(session_id));
        });
    }

    /// Rejects all tokens of a session from now on, for `revocation_ttl_s`. Returns whether it is the id of a session.
    pub fn revoke_session(&self, session_id: &str) -> bool {
        let is_id = is_clerk_id(session_id, "sess_");
        if is_id {
            self.inner.revoke_session(session_id, self.inner.clock.now(), self.inner.deadline().into());
        }
        is_id
    }

    /// Rejects all tokens of a user from now on, for `revocation_ttl_s`. Returns whether it is the id of a user.
    pub fn revoke_user(&self, clerk_id: &str) -> bool {
        let is_id = is_clerk_id(clerk_id, "user_");
        if is_id {
            self.inner.revoke_user(
                clerk_id,
                Reason::SessionRevoked,
                self.inner.clock.now(),
                self.inner.deadline().into(),
            );
        }
        is_id
    }

    /// Returns all revocations as JSON, for [`Self::import_revocations`] of another process; `None` in a forked child that
    /// cannot read them.
    pub fn export_revocations(&self) -> Option<String> {
        self.inner.export(self.inner.clock.now()).map(|export| export.to_json())
    }

    /// Merges the revocations of another process into those of this one; each keeps its expiry. Returns `false`, and
    /// changes nothing, if the JSON is malformed.
    pub fn import_revocations(&self, json: &str) -> bool {
        let inner = &*self.inner;
        let Some(mut export) = Export::parse(json) else { return false };
        let now = inner.clock.now();
        export.retain_users(|id, revocation| !inner.is_older_report(id, revocation, now));
        let state =
            |session: Option<&str>, user: Option<&str>| inner.revocations.find(user, session, Some(i64::MAX), now);
        let (sessions, users) = export.ids();
        let sessions: Vec<_> = sessions.into_iter().map(|id| (state(Some(&id), None), id)).collect();
        let users: Vec<_> = users.into_iter().map(|id| (state(None, Some(&id)), id)).collect();
        // Where users are fetched, Clerk reports bans and their end.
        let bans = if inner.settings.mode == UserMode::Claims { Vec::new() } else { export.take_bans() };
        let (is_evicting, mut added) = inner.revocations.merge(&export, now);
        for (_, id) in sessions.iter().filter(|(before, id)| *before != state(Some(id), None)) {
            inner.invalidate(Scope::Session, id, || inner.sessions.remove(id));
        }
        let changed = users.iter().filter(|(before, id)| *before != state(None, Some(id))).map(|(_, id)| id);
        for id in changed {
            inner.invalidate(Scope::Subject, id, || inner.users.remove(id));
        }
        for (id, ban) in bans {
            let before = inner.blocked_users.ban_version(&id, now);
            inner.import_copied_ban(id.clone(), ban, now);
            if before != inner.blocked_users.ban_version(&id, now) {
                added.push((Scope::Subject, id, ban));
            }
        }
        if is_evicting {
            inner.invalidate_all(|| ());
        }
        // The shared cache may lack those that this process did not know.
        inner.restore(added);
        true
    }

    /// Invalidates everything but the JWK set and the revocations.
    pub fn invalidate_all(&self) {
        self.inner.invalidate_and_share(Change::All { users: true }, || self.inner.forget_all());
    }

    /// Removes what this process has cached, the JWK set and the revocations excepted. Other processes, and the shared cache, keep
    /// theirs: for a process that may have missed webhook events which another one has received.
    ///
    /// # Examples
    ///
    /// ```
    /// use clerk_auth::{Client, Request};
    ///
    /// # let (jwt_key, token) = clerk_auth::internals::example();
    /// let client = Client::builder().jwt_key(jwt_key).build()?;
    /// let authorization = format!("Bearer {token}");
    /// client.authenticate(Request::new().header(b"Authorization", authorization.as_bytes()));
    /// client.clear_cache();
    /// assert_eq!(client.stats().cached_tokens, 0);
    /// # Ok::<(), clerk_auth::Error>(())
    /// ```
    pub fn clear_cache(&self) {
        self.inner.forget_all();
    }

    /// Applies what other processes have changed: revocations, webhook events and invalidations. Waits at most `timeout` for the
    /// first change. Returns how many changes were applied.
    ///
    /// To be called in a loop, on a thread of its own; or [`Self::start_poller`] does so. Without it, a revocation
    /// takes effect here for tokens that are not cached.
    ///
    /// # Errors
    ///
    /// An [`Error`] of the kind `Unavailable` if the shared cache cannot be used, after as much of `timeout` as it is not tried
    /// again; of the kind `Config` if there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// use clerk_auth::shared_cache::MemoryEngine;
    /// use clerk_auth::{Client, Reason};
    ///
    /// # let (jwt_key, token) = clerk_auth::internals::example();
    /// # let engine = Arc::new(MemoryEngine::new());
    /// # let secret = "0123456789abcdef0123456789abcdef";
    /// # let builder = || Client::builder().publishable_key("pk_test_Y2xlcmsuZXhhbXBsZS5jb20k").shared_cache_secret([secret]);
    /// # let build = || builder().jwt_key(jwt_key).shared_cache_engine(engine.clone()).build();
    /// let (a, b) = (build()?, build()?); // in two processes
    /// b.poll(Duration::ZERO)?;
    /// a.revoke_session("sess_ada");
    /// assert_eq!(b.poll(Duration::from_secs(1))?, 1);
    /// assert_eq!(b.verify_token(token).reason(), Some(Reason::SessionRevoked));
    /// # Ok::<(), clerk_auth::Error>(())
    /// ```
    pub fn poll(&self, timeout: Duration) -> Result<usize, Error> {
        if self.inner.shared.is_none() {
            return Err(ConfigError::new("shared_cache", "not set, so there is nothing to poll").into());
        }
        self.inner.poll(timeout).ok_or_else(|| AuthError::from(Reason::SharedCacheUnavailable).into())
    }

    /// Starts a thread that calls [`Self::poll`] until [`Self::shutdown`], or until the last handle of the client is dropped.
    /// It is the only thread that the library leaves running. Starts none if it is running; in a forked child
    /// [`Self::warm_up`] starts it again.
    ///
    /// # Errors
    ///
    /// An [`Error`] of the kind `Config` if there is no shared cache, `Unavailable` if the system has no thread left.
    pub fn start_poller(&self) -> Result<(), Error> {
        if self.inner.shared.is_none() {
            return Err(ConfigError::new("shared_cache", "not set, so there is nothing to poll").into());
        }
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Unavailable, "the poller could not be started").with_source(error)
        };
        self.poller.start(&self.inner).map_err(failed)
    }

    /// Logs a panic that was caught at the C ABI.
    #[cfg(feature = "capi")]
    pub(crate) fn log_panic(&self, place: &str) {
        self.inner.backend.events.log(crate::events::Level::Error, || format!("internal error at {place}"));
    }

    /// Cancels calls to Clerk that are in progress and stops the poller; later calls connect again. Sends changes that other processes
    /// do not know yet, for at most a second.
    pub fn shutdown(&self) {
        // First, or the read that ends now would be followed by another.
        self.poller.begin_stop();
        self.inner.changes.cancel();
        self.inner.cancel_calls();
        self.poller.stop();
        self.inner.flush_changes();
    }

    /// Returns the counters.
    pub fn stats(&self) -> Stats {
        let inner = &*self.inner;
        let mono_ms = inner.clock.now().mono_ms;
        let (open_circuits, rate_limited) = inner.backend.api.open_circuits(mono_ms);
        Stats {
            calls: inner.backend.api.calls(),
            open_circuits,
            rate_limited,
            cache_hits: inner.results.hits(),
            cached_tokens: inner.results.len() as u64,
            cached_users: inner.users.len() as u64,
            jwks_age_ms: match &inner.keys {
                KeySource::Jwks(store) => store.age_ms(mono_ms).unwrap_or(-1),
                _ => -1,
            },
            shared_cache: inner.shared.as_ref().map(|shared| shared.stats()).unwrap_or_default(),
            ..inner.backend.metrics.snapshot()
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({:?}, {:?})", self.inner.settings.mode, self.inner.settings.accepts)
    }
}
