//! The parts of a client, and what involves all of them: invalidation and the end of a request.

use std::sync::Arc;
use std::time::Duration;

use super::auth_context::{AuthContext, Demand};
use super::auth_result::{AuthResult, Cause, Outcome, VerifyError};
use super::backend::Backend;
use super::blocked_users::BlockedUsers;
use super::changes::Changes;
use super::handshakes::Handshakes;
use super::invalidations::{Invalidations, Scope};
use super::machine_tokens::MachineTokens;
use super::result_cache::ResultCache;
use super::revocations::Revocations;
use super::session_checks::SessionChecks;
use super::user_cache::{FoundUser, UserCache};
use super::verified_tokens::VerifiedTokens;
use super::webhook_receiver::WebhookReceiver;
use crate::api::{ApiError, ErrorKind};
use crate::clock::{Clock, Deadline, Io, Now};
use crate::config::{Csrf, LinkByEmail, UserMode};
use crate::deadline;
use crate::events::{Event, Source};
use crate::identity::Attribute;
use crate::jwt::Policy;
use crate::keys::KeySource;
use crate::reason::{Category, Reason};
use crate::request::ExtractOptions;
use crate::shared_cache::SharedCache;
use crate::token::{TokenHash, TokenKind};
use crate::users::{Origin, Schema, SyncRules, UserStore};

/// The validated configuration.
pub(super) struct Settings {
    pub rules: ExtractOptions,
    pub csrf: Csrf,
    pub accepts: Vec<TokenKind>,
    pub policy: Policy,
    pub mode: UserMode,
    pub link: LinkByEmail,
    pub machine_tokens_skip_user: bool,
    pub block_deactivated_email: bool,
    pub deactivate_deleted_users: bool,
    pub timeout: Duration,
    /// Whether the user store is that of the setting `database`.
    pub has_database: bool,
    pub cache_ttl_ms: i64,
    pub machine_cache_ttl_ms: i64,
    pub row_check_ttl_ms: i64,
}

/// A client. Each part has its own state and locks.
pub(super) struct Inner {
    pub settings: Settings,
    pub clock: Clock,
    pub keys: KeySource,
    pub backend: Backend,
    pub store: Option<Arc<dyn UserStore>>,
    pub invalidations: Arc<Invalidations>,
    pub results: Arc<ResultCache>,
    pub users: UserCache,
    pub sessions: SessionChecks,
    pub machine_tokens: MachineTokens,
    pub verified: VerifiedTokens,
    pub revocations: Revocations,
    pub blocked_users: BlockedUsers,
    pub webhooks: WebhookReceiver,
    /// `None` with `handshake` off.
    pub handshakes: Option<Box<Handshakes>>,
    /// What other processes know; `None` without a shared cache.
    pub shared: Option<Arc<SharedCache>>,
    pub changes: Arc<Changes>,
}

impl Inner {
    /// Returns the `Io` of a call that may wait for Clerk, for `timeout_ms` from now.
    pub fn blocking(&self) -> Io {
        Io::Blocking(self.deadline())
    }

    /// Returns the deadline of a call that begins now, or that of the running one.
    pub fn deadline(&self) -> Deadline {
        deadline::limited(self.backend.api.shutdowns().deadline(self.settings.timeout))
    }

    /// Returns the `Io` of a fetch between requests to the user store, of a call that has begun at this count of shutdowns. It
    /// shares the deadline of a blocking call; what an application that queries the store itself takes does not count.
    pub fn blocking_for(&self, time: Duration, shutdowns: u64) -> Io {
        Io::Blocking(deadline::limited(self.backend.api.shutdowns().deadline_of(shutdowns, time)))
    }

    pub fn schema(&self) -> Schema {
        self.store.as_ref().map(|store| store.schema()).unwrap_or_default()
    }

    pub fn sync_rules(&self) -> SyncRules {
        let Settings { link, block_deactivated_email, .. } = self.settings;
        SyncRules { schema: self.schema(), link, block_deactivated_email }
    }

    /// Returns a user, and records whether Clerk says that the user is banned.
    pub fn find_user(&self, id: &str, demand: Demand, now: Now, io: Io) -> Result<FoundUser, VerifyError> {
        let demand = Demand { is_banned: self.blocked_users.is_banned(id, now)?, ..demand };
        let found = self.users.find(id, demand, now, io, &self.backend)?;
        if found.origin == Origin::Fetched {
            let key = self.invalidations.key(Scope::Subject, id);
            let is_current = found.begun.is_some_and(|begun| !self.invalidations.is_key_invalidated_since(begun, key));
            self.blocked_users.record_fetched(&found.user.user, now, is_current);
        }
        Ok(found)
    }

    /// Runs `change`, which replaces or removes what is known of a subject, a session or an organization in memory, and invalidates
    /// what was begun before. `change` does no I/O: cached results count until it returns.
    ///
    /// Of the attempts that are running, those that began earlier are stopped by the first record, those that have read the old state
    /// after it by the second.
    pub fn invalidate<T>(&self, scope: Scope, id: &str, change: impl FnOnce() -> T) -> T {
        let key = self.invalidations.key(scope, id);
        self.invalidations.record(key);
        let changed = change();
        self.invalidations.record(key);
        self.results.remove_all_of(key);
        changed
    }

    /// Does the same for everything.
    pub fn invalidate_all(&self, change: impl FnOnce()) {
        self.invalidations.record_all();
        change();
        self.invalidations.record_all();
        self.results.clear();
    }

    /// Does the same for one token.
    pub fn invalidate_token(&self, hash: &TokenHash) {
        self.invalidations.record(self.invalidations.token_key(hash));
        self.machine_tokens.remove_refusal(hash);
        self.results.remove(hash);
    }

    /// Removes fetches that threads of the parent process ran.
    pub fn reset_after_fork(&self) {
        self.users.reset_after_fork();
        self.sessions.reset_after_fork();
        self.machine_tokens.reset_after_fork();
        if let Some(handshakes) = &self.handshakes {
            handshakes.reset_after_fork();
        }
        if let KeySource::Jwks(store) = &self.keys {
            store.reset_after_fork();
        }
    }

    /// Ends all calls that have begun: they send nothing more to Clerk, and wait for nothing.
    pub fn cancel_calls(&self) {
        self.backend.api.shutdown();
        self.users.cancel_waits();
        self.sessions.cancel_waits();
        self.machine_tokens.cancel_waits();
        if let Some(handshakes) = &self.handshakes {
            handshakes.cancel_waits();
        }
        if let KeySource::Jwks(store) = &self.keys {
            store.cancel_waits();
        }
    }

    /// Records a cache miss, once per request.
    pub fn record_miss(&self, context: &mut AuthContext) {
        if !context.is_miss_recorded {
            context.is_miss_recorded = true;
            self.backend.metrics.cache_misses.increment();
            self.backend.events.emit(Event::CacheMiss { token_hash: context.hash });
        }
    }

    /// Ends a request that is not signed in.
    pub fn reject(&self, context: &AuthContext, error: impl Into<AuthResult>) -> Arc<AuthResult> {
        let result = with_handshake(error, context.is_document).with_token_hash(&context.hash);
        self.record_outcome(Some(context.hash), result.into())
    }

    /// Ends a request with a cached result that was counted already.
    pub fn record_hit(&self, token_hash: TokenHash, result: Arc<AuthResult>) -> Arc<AuthResult> {
        self.emit_success(&result, Source::Cache, token_hash);
        result
    }

    #[inline(always)]
    fn emit_success(&self, result: &AuthResult, source: Source, token_hash: TokenHash) {
        if self.backend.events.has_listener() {
            self.emit_success_to_listener(result, source, token_hash);
        }
    }

    #[cold]
    fn emit_success_to_listener(&self, result: &AuthResult, source: Source, token_hash: TokenHash) {
        if let Some(identity) = result.identity() {
            let (user_key, clerk_id) = (identity.get(Attribute::UserKey), identity.subject());
            self.backend.events.emit(Event::AuthSuccess { user_key, clerk_id, source, token_hash });
        }
    }

    /// Whether a result cannot be determined in a forked child that was not warmed up, where no request is sent. What stopped the
    /// attempt before that, such as a circuit that was open in the parent, is of no use to the caller.
    pub fn is_for_want_of_warm_up(&self, result: &AuthResult) -> bool {
        let Outcome::Unavailable { reason, .. } = result.outcome() else { return false };
        let needs_clerk = self.settings.mode != UserMode::Claims
            || self.sessions.is_enabled()
            || matches!(self.keys, KeySource::Jwks(_))
            || self.settings.accepts.iter().any(|kind| *kind != TokenKind::SessionToken);
        needs_clerk
            && reason.category() == Category::Unavailable
            && !matches!(reason, Reason::StoreError | Reason::SharedCacheUnavailable)
            && self.backend.api.is_forked()
    }

    /// Ends a request: emits its one event and counts it.
    pub fn record_outcome(&self, token_hash: Option<TokenHash>, result: Arc<AuthResult>) -> Arc<AuthResult> {
        let result = match self.is_for_want_of_warm_up(&result) {
            true => Arc::new(of_forked((*result).clone())),
            false => result,
        };
        let Backend { events, metrics, .. } = &self.backend;
        match (result.outcome(), token_hash) {
            (Outcome::SignedIn { source }, Some(token_hash)) => {
                match source {
                    Source::Verified => metrics.signed_in.increment(),
                    Source::Cache => self.results.count_hit(),
                }
                self.emit_success(&result, source, token_hash);
            }
            (Outcome::SignedIn { .. }, None) => {}
            (Outcome::NoCredentials { .. }, _) => {
                self.log_rejection(token_hash, &result);
                metrics.no_credentials.increment();
            }
            (Outcome::SignedOut { reason }, _) => {
                self.log_rejection(token_hash, &result);
                metrics.signed_out.increment();
                events.emit(Event::AuthFailed { reason, token_hash });
            }
            (Outcome::Unavailable { reason, .. }, _) => {
                self.log_rejection(token_hash, &result);
                metrics.unavailable.increment();
                if reason == Reason::StoreError {
                    metrics.store_errors.increment();
                }
                events.emit(Event::AuthFailed { reason, token_hash });
            }
        }
        result
    }
}

pub(super) fn of_forked(result: AuthResult) -> AuthResult {
    result.with_cause(Cause::Api(ApiError::new(ErrorKind::Forked)))
}

/// Converts an error to a result and sets `handshake_recommended`.
pub(super) fn with_handshake(error: impl Into<AuthResult>, is_document: bool) -> AuthResult {
    let mut result = error.into();
    result.handshake_recommended = is_document && result.reason().is_some_and(handshake_may_recover);
    result
}

/// The reasons for which Clerk's front-end libraries redirect the browser to Clerk.
fn handshake_may_recover(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::TokenExpired
            | Reason::TokenNotActiveYet
            | Reason::TokenIatInTheFuture
            | Reason::SessionTokenButNoClientUat
            | Reason::ClientUatButNoSessionToken
            | Reason::SessionTokenIatBeforeClientUat
    )
}

#[cfg(test)]
mod tests {
    use super::super::Client;
    use super::*;

    #[test]
    fn invalidation_stops_what_began_before_and_during_the_change() {
        let (jwt_key, _) = crate::internals::example();
        let client = Client::builder().jwt_key(jwt_key).build().unwrap();
        let (inner, hash) = (&client.inner, TokenHash::of(b"token"));
        let keys = inner.invalidations.token_keys(&hash, "user_1", Some("sess_1"), Some("org_1"));
        let is_stopped = |begun| inner.invalidations.is_invalidated_since(begun, &keys);
        for (scope, id) in [(Scope::Subject, "user_1"), (Scope::Session, "sess_1"), (Scope::Organization, "org_1")] {
            let before = inner.invalidations.sequence();
            let during = inner.invalidate(scope, id, || {
                assert!(is_stopped(before), "the change can be read already: {scope:?}");
                inner.invalidations.sequence()
            });
            assert!(is_stopped(during), "what was read may be from before the change: {scope:?}");
            assert!(!is_stopped(inner.invalidations.sequence()));
        }
        let (before, mut during) = (inner.invalidations.sequence(), 0);
        inner.invalidate_all(|| {
            assert!(is_stopped(before));
            during = inner.invalidations.sequence();
        });
        assert!(is_stopped(during) && !is_stopped(inner.invalidations.sequence()));
    }
}
