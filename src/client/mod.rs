//! The client: authenticates requests, applies webhook events, invalidates what is cached.
//!
//! `authenticate` is the flow of a request, `webhooks` the flow of a webhook event; both need a user store, and `stepwise`
//! is the state machine that queries it. The other modules are the parts, each with its own state and locks.

mod auth_context;
mod auth_result;
mod authenticate;
mod backend;
mod builder;
mod inner;
mod invalidations;
mod machine_tokens;
mod metrics;
mod pending;
mod result_cache;
mod revocations;
mod row_task;
mod session_checks;
mod stepwise;
mod user_cache;
mod verify;
mod webhook_receiver;
mod webhooks;

use std::sync::Arc;

pub use auth_result::{AuthError, AuthResult, Cause, Outcome};
pub use builder::ClientBuilder;
pub use metrics::Stats;
pub use pending::{AuthProgress, PendingAuth, PendingWebhook, WebhookProgress};
pub use stepwise::NextAction;
pub use webhook_receiver::WebhookOutcome;

use auth_context::AuthContext;
use auth_result::VerifyError;
use inner::Inner;
use invalidations::Scope;

use crate::clock::Io;
use crate::events::{Level, Source};
use crate::identity::Identity;
use crate::keys::KeySource;
use crate::reason::Reason;
use crate::request::{Credential, Request, TokenSource};
use crate::token::TokenHash;
use crate::webhooks::Headers;

/// Authenticates requests. Shared by all threads; clones are handles to the same client.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

impl Client {
    /// Returns a builder.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Authenticates a request. Fetches keys and users and queries the user store as needed; waits for Clerk at most
    /// `timeout_ms`, the store's time not included.
    pub fn authenticate(&self, request: &Request<'_>) -> Arc<AuthResult> {
        match self.begin(request) {
            AuthProgress::Done(result) => result,
            AuthProgress::Pending(pending) => pending.run(self.inner.store.as_deref()),
        }
    }

    /// Authenticates a request from the caches: never blocks, uses neither Clerk nor the user store. A token is verified if
    /// its key and its user are cached. Returns `None` if [`Self::authenticate`] is needed.
    pub fn authenticate_cached(&self, request: &Request<'_>) -> Option<Arc<AuthResult>> {
        let inner = &self.inner;
        let prepared = inner.prepare(request, Io::CacheOnly)?;
        if inner.needs_store(&prepared) {
            return None;
        }
        match AuthProgress::new(inner, inner.proceed(prepared, Io::CacheOnly)) {
            AuthProgress::Done(result) => Some(result),
            AuthProgress::Pending(_) => None,
        }
    }

    /// Begins an authentication for an application that queries its user table itself. Waits for Clerk as needed.
    pub fn begin(&self, request: &Request<'_>) -> AuthProgress {
        let begun = self.begin_with(request, self.inner.blocking());
        begun.unwrap_or_else(|| AuthProgress::Done(Arc::new(Reason::InternalError.into())))
    }

    /// Does the same without waiting for Clerk. Returns `None` if [`Self::begin`] is needed.
    pub fn begin_cached(&self, request: &Request<'_>) -> Option<AuthProgress> {
        self.begin_with(request, Io::CacheOnly)
    }

    fn begin_with(&self, request: &Request<'_>, io: Io) -> Option<AuthProgress> {
        let prepared = self.inner.prepare(request, io)?;
        Some(AuthProgress::new(&self.inner, self.inner.proceed(prepared, io)))
    }

    /// Verifies a JWT only: no user, no cache, no event. May fetch the JWK set.
    pub fn verify_token(&self, token: &str) -> Arc<AuthResult> {
        let inner = &*self.inner;
        let credential = Credential { token: token.as_bytes(), source: TokenSource::Header, client_uat: None };
        let context =
            AuthContext::new(TokenHash::of(credential.token), inner.clock.now(), inner.invalidations.sequence());
        let result = match inner.verify_jwt(&credential, &context, inner.blocking()) {
            Ok(token) => {
                AuthResult::signed_in(Identity::of_claims(token.kind, &token.claims, None, None), Source::Verified)
            }
            Err(VerifyError::Refused(error)) => error.into(),
            Err(VerifyError::WouldBlock) => Reason::InternalError.into(),
        };
        Arc::new(result)
    }

    /// Verifies a webhook delivery and applies its event.
    pub fn handle_webhook(&self, headers: &Headers<'_>, body: &[u8]) -> WebhookOutcome {
        match self.begin_webhook(headers, body) {
            WebhookProgress::Done(outcome) => outcome,
            WebhookProgress::Pending(pending) => pending.run(self.inner.store.as_deref()),
        }
    }

    /// Does the same for an application that queries its user table itself: applies everything but the user's row.
    pub fn begin_webhook(&self, headers: &Headers<'_>, body: &[u8]) -> WebhookProgress {
        WebhookProgress::new(&self.inner, self.inner.begin_webhook(headers, body))
    }

    /// Fetches the JWK set, so that the first request does not wait for it. Must be called in a child process after `fork`.
    pub fn warm_up(&self) -> Result<(), AuthError> {
        let inner = &*self.inner;
        if inner.backend.api.reset_after_fork() {
            inner.reset_after_fork();
        }
        let KeySource::Jwks(store) = &inner.keys else { return Ok(()) };
        let now_ms = inner.clock.now().mono_ms;
        inner.with_jwks(inner.blocking(), |fetcher| store.warm_up(now_ms, fetcher)).map_err(|error| match error {
            VerifyError::Refused(error) => error,
            VerifyError::WouldBlock => Reason::JwkFailedToLoad.into(),
        })
    }

    /// Invalidates the cached result of one token.
    pub fn invalidate_token(&self, token: &str) {
        self.inner.invalidate_token(&TokenHash::of(token.as_bytes()));
    }

    /// Invalidates a Clerk user and the results of all its tokens.
    pub fn invalidate_user(&self, clerk_id: &str) {
        self.inner.invalidate(Scope::Subject, clerk_id, || self.inner.users.remove(clerk_id));
    }

    /// Invalidates a session and the results of all its tokens.
    pub fn invalidate_session(&self, session_id: &str) {
        self.inner.invalidate(Scope::Session, session_id, || self.inner.sessions.remove(session_id));
    }

    /// Invalidates everything but the JWK set and the revocations.
    pub fn invalidate_all(&self) {
        self.inner.invalidate_all(|| {
            self.inner.users.clear();
            self.inner.sessions.clear();
        });
    }

    /// Logs a panic that was caught at the C ABI.
    pub(crate) fn log_panic(&self, place: &str) {
        self.inner.backend.events.log(Level::Error, || format!("internal error at {place}"));
    }

    /// Cancels calls to Clerk that are in progress; later calls connect again.
    pub fn shutdown(&self) {
        self.inner.backend.api.shutdown();
    }

    /// Returns the counters.
    pub fn stats(&self) -> Stats {
        let inner = &*self.inner;
        Stats {
            cache_hits: inner.results.hits(),
            cached_tokens: inner.results.len() as u64,
            cached_users: inner.users.len() as u64,
            jwks_age_ms: match &inner.keys {
                KeySource::Jwks(store) => store.age_ms(inner.clock.now().mono_ms).unwrap_or(-1),
                _ => -1,
            },
            ..inner.backend.metrics.snapshot()
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({:?}, {:?})", self.inner.settings.mode, self.inner.settings.accepts)
    }
}
