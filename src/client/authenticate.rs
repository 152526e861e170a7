//! The flow of a request: look up → verify → resolve the user → finish.

use std::sync::Arc;

use super::auth_context::{AuthContext, VerifiedToken, issued_before_client_uat};
use super::auth_result::{AuthError, AuthResult, Cause, VerifyError};
use super::inner::{Inner, with_handshake};
use super::machine_tokens::VerifiedMachine;
use super::result_cache::{CachedAuth, Insertion, NewResult};
use super::row_task::{RowOutcome, RowTask, TaskStep};
use super::stepwise::{NextAction, Step, Waiting};
use super::user_cache::CachedUser;
use crate::clock::Io;
use crate::config::UserMode;
use crate::events::{Event, Source};
use crate::identity::{Attribute, Identity};
use crate::jwt::{Claim, Claims};
use crate::reason::Reason;
use crate::request::{Credential, Request, extract};
use crate::token::{TokenFormat, TokenHash, TokenKind, detect_format};
use crate::users::{Row, StoreError, StoreResponse, SyncEvent};

/// How often an attempt starts again after an invalidation. Only the application and Clerk's webhooks invalidate; the deadline
/// bounds the time.
const MAX_RESTARTS: u32 = 32;

enum CacheLookup<'a> {
    Done(Arc<AuthResult>),
    Hit(AuthContext, Arc<CachedAuth>),
    Miss(AuthContext, Credential<'a>),
}

/// The state of an attempt before the user store is queried.
pub(super) enum Prepared {
    Done(Arc<AuthResult>),
    Hit(AuthContext, Arc<CachedAuth>),
    Rejected(AuthContext, AuthError),
    Resolved(AuthContext, Box<VerifiedToken>, ResolvedUser),
    Machine(AuthContext, Box<VerifiedMachine>),
}

/// The user of a token, and what has to be done about the row.
pub(super) enum ResolvedUser {
    /// No row is needed in this user mode or for this token type.
    NoRow(Option<Arc<CachedUser>>),
    /// The row was confirmed less than `row_check_ttl_s` ago.
    KnownRow(Arc<CachedUser>, String),
    /// The row has to be confirmed.
    RowToCheck(Arc<CachedUser>, String),
    /// The row has to be found, created or updated.
    RowToSync(Arc<CachedUser>),
}

/// An authentication that waits for the user store or for Clerk.
pub(super) enum AuthWaiting {
    /// The row of a cached result has to be checked.
    RecheckRow(AuthContext, Arc<CachedAuth>, Box<RowTask>),
    /// The row of a verified token's user has to be found, checked or updated.
    ResolveRow(AuthContext, Box<VerifiedToken>, Arc<CachedUser>, Box<RowTask>),
    /// The user has to be fetched.
    FetchUser(AuthContext, Box<VerifiedToken>),
}

type AuthStep = Step<AuthWaiting>;

impl Inner {
    /// Looks up, verifies, and resolves the user. Returns `None` if `io` does not allow what is needed; then nothing was
    /// recorded.
    pub fn prepare(&self, request: &Request<'_>, io: Io) -> Option<Prepared> {
        let (mut context, credential) = match self.lookup(request) {
            CacheLookup::Done(result) => return Some(Prepared::Done(result)),
            CacheLookup::Hit(context, cached) => return Some(Prepared::Hit(context, cached)),
            CacheLookup::Miss(context, credential) => (context, credential),
        };
        if matches!(io, Io::Blocking(_)) {
            self.record_miss(&mut context);
        }
        let prepared = match detect_format(credential.token) {
            TokenFormat::Opaque(kind) => self
                .verify_opaque_current(kind, &credential, &mut context, io)
                .map(|machine| Prepared::Machine(context, machine.into())),
            TokenFormat::Jwt => self.verify_jwt(&credential, &context, io).and_then(|token| {
                let resolved = self.resolve(&mut context, &token, io)?;
                Ok(Prepared::Resolved(context, token.into(), resolved))
            }),
        };
        match (prepared, io) {
            (Ok(prepared), _) => Some(prepared),
            (Err(VerifyError::Refused(error)), _) => Some(Prepared::Rejected(context, error)),
            (Err(VerifyError::WouldBlock), Io::CacheOnly) => None,
            (Err(VerifyError::WouldBlock), Io::Blocking(_)) => {
                Some(Prepared::Rejected(context, Reason::InternalError.into()))
            }
        }
    }

    /// Returns whether the remaining steps need the user store.
    pub fn needs_store(&self, prepared: &Prepared) -> bool {
        match prepared {
            Prepared::Hit(context, cached) => !cached.is_row_fresh(context.now, self.settings.row_check_ttl_ms),
            Prepared::Resolved(_, _, resolved) => {
                matches!(resolved, ResolvedUser::RowToCheck(..) | ResolvedUser::RowToSync(_))
            }
            Prepared::Done(_) | Prepared::Rejected(..) | Prepared::Machine(..) => false,
        }
    }

    /// Continues to the result, or to the first request to the user store.
    pub fn proceed(&self, prepared: Prepared, io: Io) -> AuthStep {
        let needs_store = self.needs_store(&prepared);
        match prepared {
            Prepared::Done(result) => Step::Done(result),
            Prepared::Hit(context, cached) if needs_store => {
                let [key, subject] =
                    [Attribute::UserKey, Attribute::Subject].map(|a| cached.get(a).unwrap_or_default());
                let task = RowTask::check(key, subject, &self.schema());
                Step::Waiting(AuthWaiting::RecheckRow(context, cached, task))
            }
            Prepared::Hit(context, cached) => Step::Done(self.finish_hit(&context, &cached)),
            Prepared::Rejected(mut context, error) => {
                self.record_miss(&mut context);
                Step::Done(self.reject(&context, error))
            }
            Prepared::Machine(mut context, machine) => {
                self.record_miss(&mut context);
                Step::Done(self.finish_machine(&context, *machine))
            }
            Prepared::Resolved(mut context, token, resolved) => {
                self.record_miss(&mut context);
                self.ask_or_finish(context, token, resolved, io)
            }
        }
    }

    fn lookup<'a>(&self, request: &Request<'a>) -> CacheLookup<'a> {
        let now = self.clock.now();
        let is_document = request.is_document_request();
        let end = |hash, reason: Reason| {
            CacheLookup::Done(self.record_outcome(hash, with_handshake(reason, is_document).into()))
        };
        let credential = match extract(request, &self.settings.rules, now.wall_ms.div_euclid(1000)) {
            Ok(Some(credential)) => credential,
            Ok(None) => return end(None, Reason::SessionTokenMissing),
            Err(reason) => return end(None, reason),
        };
        let hash = TokenHash::of(credential.token);
        let mut context = AuthContext {
            client_uat: credential.client_uat,
            is_document,
            ..AuthContext::new(hash, now, self.invalidations.sequence())
        };
        if let TokenFormat::Opaque(kind) = detect_format(credential.token)
            && let Err(reason) = self.check_token_type(kind, credential.source)
        {
            self.record_miss(&mut context);
            return end(Some(hash), reason);
        }
        let cached = self.results.get(&hash, now).filter(|cached| {
            cached.is_current(now)
                && cached.result.identity().is_some_and(|identity| {
                    self.check_token_type(identity.kind(), credential.source).is_ok()
                        && (identity.kind() != TokenKind::SessionToken
                            || self.sessions.is_accepted(identity.get(Attribute::SessionId), now))
                })
        });
        match cached {
            Some(cached) => CacheLookup::Hit(context, cached),
            None => CacheLookup::Miss(context, credential),
        }
    }

    /// Verifies an opaque token at Clerk, again if it was invalidated during the call.
    fn verify_opaque_current(
        &self,
        kind: TokenKind,
        credential: &Credential<'_>,
        context: &mut AuthContext,
        io: Io,
    ) -> Result<VerifiedMachine, VerifyError> {
        loop {
            let machine = self.verify_opaque(kind, credential, context, io)?;
            context.begun = context.begun.min(machine.begun);
            if !self.invalidations.is_invalidated_since(context.begun, &machine.keys) {
                return Ok(machine);
            }
            self.begin_again(context)?;
        }
    }

    /// Checks revocations and the session, then resolves the user of a verified token.
    fn resolve(&self, context: &mut AuthContext, token: &VerifiedToken, io: Io) -> Result<ResolvedUser, VerifyError> {
        let now = context.now;
        if let Some(reason) = self.revocations.find(&token.claims, now) {
            return Err(reason.into());
        }
        if token.kind == TokenKind::SessionToken {
            let begun = self.sessions.check(token.claims.sid.as_deref(), now, io, &self.backend)?;
            context.begun = context.begun.min(begun.unwrap_or(u64::MAX));
        }
        // Machines have no user; the application decides what the owner of an API key may do.
        if self.settings.mode == UserMode::Claims || token.kind != TokenKind::SessionToken {
            return Ok(ResolvedUser::NoRow(None));
        }
        let found = self.users.find(token.claims.sub.as_deref().unwrap_or_default(), now, io, &self.backend)?;
        context.begun = context.begun.min(found.begun.unwrap_or(u64::MAX));
        let user = found.user;
        Ok(match user.row_key().filter(|_| !found.is_fetched) {
            _ if self.settings.mode == UserMode::Profile => ResolvedUser::NoRow(Some(user)),
            Some(key) if user.row_check.is_fresh(now, self.settings.row_check_ttl_ms) => {
                ResolvedUser::KnownRow(user, key)
            }
            Some(key) => ResolvedUser::RowToCheck(user, key),
            None => ResolvedUser::RowToSync(user),
        })
    }

    fn ask_or_finish(
        &self,
        context: AuthContext,
        token: Box<VerifiedToken>,
        resolved: ResolvedUser,
        io: Io,
    ) -> AuthStep {
        match resolved {
            ResolvedUser::NoRow(user) => self.finish(context, token, user.as_deref(), None, io),
            ResolvedUser::KnownRow(user, key) => {
                let row = Row { key, clerk_id: Some(user.user.id.clone()), is_active: true, ..Row::default() };
                self.finish(context, token, Some(&user), Some(row), io)
            }
            ResolvedUser::RowToCheck(user, key) => {
                let task = RowTask::check(&key, &user.user.id, &self.schema());
                Step::Waiting(AuthWaiting::ResolveRow(context, token, user, task))
            }
            ResolvedUser::RowToSync(user) => self.sync_row(context, token, user),
        }
    }

    fn sync_row(&self, context: AuthContext, token: Box<VerifiedToken>, user: Arc<CachedUser>) -> AuthStep {
        let task = RowTask::sync(user.user.clone(), self.schema(), self.settings.link, user.row_key());
        Step::Waiting(AuthWaiting::ResolveRow(context, token, user, task))
    }

    /// The last step: accepts the user or not, caches the result, ends the request.
    fn finish(
        &self,
        context: AuthContext,
        token: Box<VerifiedToken>,
        user: Option<&CachedUser>,
        row: Option<Row>,
        io: Io,
    ) -> AuthStep {
        if self.invalidations.is_invalidated_since(context.begun, &token.keys) {
            return self.restart(context, token, io);
        }
        let is_blocked = user.is_some_and(|user| user.user.is_blocked());
        if is_blocked || row.as_ref().is_some_and(|row| !row.is_active) {
            return Step::Done(self.reject(&context, Reason::UserInactive));
        }
        let identity = Identity::of_claims(token.kind, &token.claims, user.map(|user| &*user.user), row.as_ref());
        let not_before_ms =
            [&token.claims.nbf, &token.claims.iat].into_iter().filter_map(|claim| match Claims::millis(claim) {
                Claim::Present(ms) => Some(ms.saturating_sub(self.settings.policy.clock_skew_ms)),
                _ => None,
            });
        let insertion = self.results.insert(
            NewResult {
                identity: &identity,
                hash: context.hash,
                keys: token.keys,
                begun: context.begun,
                ttl_ms: self.settings.cache_ttl_ms,
                not_before_ms: not_before_ms.max().unwrap_or(i64::MIN),
                expires_at_ms: self.settings.policy.expires_at_ms(&token.claims),
                key_id: token.key_id,
                // The row is as fresh as the store's last confirmation, not as the token.
                row_verified_at_ms: user.map_or(context.now.mono_ms, |user| user.row_check.confirmed_ms()),
            },
            context.now,
        );
        if insertion == Insertion::Invalidated {
            return self.restart(context, token, io);
        }
        // The key may have been removed from the set before this result was stored.
        if token.key_id.is_some_and(|id| !self.keys.contains(&id)) {
            self.results.remove(&context.hash);
        }
        Step::Done(self.record_verified(&context, identity))
    }

    fn finish_machine(&self, context: &AuthContext, machine: VerifiedMachine) -> Arc<AuthResult> {
        let expires_at_ms = match machine.identity.expires_at_ms() {
            0 => i64::MAX,
            ms => ms,
        };
        self.results.insert(
            NewResult {
                identity: &machine.identity,
                hash: context.hash,
                keys: machine.keys,
                begun: context.begun,
                ttl_ms: self.settings.machine_cache_ttl_ms,
                not_before_ms: i64::MIN,
                expires_at_ms,
                key_id: None,
                row_verified_at_ms: context.now.mono_ms,
            },
            context.now,
        );
        self.record_verified(context, machine.identity)
    }

    fn finish_hit(&self, context: &AuthContext, cached: &CachedAuth) -> Arc<AuthResult> {
        let issued_at_s = cached.result.identity().and_then(Identity::issued_at_s);
        if issued_before_client_uat(issued_at_s, context.client_uat) {
            return self.reject(context, Reason::SessionTokenIatBeforeClientUat);
        }
        self.record_outcome(Some(context.hash), cached.result.clone())
    }

    fn record_verified(&self, context: &AuthContext, identity: Identity) -> Arc<AuthResult> {
        self.record_outcome(Some(context.hash), AuthResult::signed_in(identity, Source::Verified).into())
    }

    /// Starts again after an invalidation with the verified token; user and row are resolved again.
    fn restart(&self, mut context: AuthContext, token: Box<VerifiedToken>, io: Io) -> AuthStep {
        self.record_miss(&mut context);
        let resolved = self.begin_again(&mut context).and_then(|()| self.resolve(&mut context, &token, io));
        match resolved {
            Ok(resolved) => self.ask_or_finish(context, token, resolved, io),
            Err(VerifyError::WouldBlock) => Step::Waiting(AuthWaiting::FetchUser(context, token)),
            Err(VerifyError::Refused(error)) => Step::Done(self.reject(&context, error)),
        }
    }

    fn begin_again(&self, context: &mut AuthContext) -> Result<(), VerifyError> {
        if context.restarts == MAX_RESTARTS {
            return Err(Reason::ServerError.into());
        }
        context.restarts += 1;
        context.begun = self.invalidations.sequence();
        Ok(())
    }

    fn finish_recheck(&self, context: AuthContext, cached: Arc<CachedAuth>, outcome: RowOutcome) -> AuthStep {
        match outcome {
            RowOutcome::Refused(reason) => Step::Done(self.reject(&context, reason)),
            RowOutcome::Failed(error) => Step::Done(self.reject(&context, store_error(error))),
            RowOutcome::Confirmed(row) | RowOutcome::Synced(row) if row.is_active => {
                if self.invalidations.is_invalidated_since(context.begun, &cached.keys) {
                    return match verified_before(&cached) {
                        Some(token) => self.restart(context, token, Io::CacheOnly),
                        None => Step::Done(self.reject(&context, Reason::InternalError)),
                    };
                }
                cached.row_check.confirm(context.now);
                Step::Done(self.finish_hit(&context, &cached))
            }
            RowOutcome::Confirmed(_) | RowOutcome::Synced(_) => {
                self.invalidate_row(&context, &cached);
                Step::Done(self.reject(&context, Reason::UserInactive))
            }
            RowOutcome::Missing => {
                self.invalidate_row(&context, &cached);
                let mut context = context;
                self.record_miss(&mut context);
                match verified_before(&cached) {
                    Some(token) => Step::Waiting(AuthWaiting::FetchUser(context, token)),
                    None => Step::Done(self.reject(&context, Reason::InternalError)),
                }
            }
        }
    }

    /// Discards earlier confirmations of a row that the store no longer confirms.
    fn invalidate_row(&self, context: &AuthContext, cached: &CachedAuth) {
        self.results.remove(&context.hash);
        let id = cached.get(Attribute::Subject).unwrap_or_default();
        if let Some(user) = self.users.cached(id, context.now) {
            user.row_check.reset();
        }
    }

    fn finish_row(
        &self,
        context: AuthContext,
        token: Box<VerifiedToken>,
        user: Arc<CachedUser>,
        outcome: RowOutcome,
        events: &[SyncEvent],
    ) -> AuthStep {
        let clerk_id = &user.user.id;
        match outcome {
            RowOutcome::Failed(error) => Step::Done(self.reject(&context, store_error(error))),
            RowOutcome::Missing => self.sync_row(context, token, user),
            // Banned at Clerk but active here, or deactivated by a ban that was lifted: the row has to be updated.
            RowOutcome::Confirmed(row)
                if row.is_active == user.user.is_blocked() && (row.is_active || row.banned_by_clerk) =>
            {
                self.sync_row(context, token, user)
            }
            RowOutcome::Refused(reason) => {
                self.backend.emit_sync_events(events, "", clerk_id);
                if reason == Reason::LinkConflict {
                    self.backend.events.tell(Event::LinkConflict { clerk_id });
                }
                Step::Done(self.reject(&context, reason))
            }
            RowOutcome::Confirmed(row) | RowOutcome::Synced(row) => {
                self.backend.emit_sync_events(events, &row.key, clerk_id);
                user.set_row_key(&row.key);
                if row.is_active {
                    user.row_check.confirm(context.now);
                }
                self.finish(context, token, Some(&user), Some(row), Io::CacheOnly)
            }
        }
    }
}

impl Waiting for AuthWaiting {
    type Outcome = Arc<AuthResult>;

    fn next_action(&self) -> NextAction<'_> {
        match self {
            AuthWaiting::RecheckRow(.., task) | AuthWaiting::ResolveRow(.., task) => {
                NextAction::QueryStore(task.request())
            }
            AuthWaiting::FetchUser(..) => NextAction::FetchUser,
        }
    }

    fn submit(self, inner: &Inner, response: Result<StoreResponse, StoreError>) -> AuthStep {
        match self {
            AuthWaiting::RecheckRow(context, cached, task) => match task.submit(response) {
                TaskStep::Ask(task) => Step::Waiting(AuthWaiting::RecheckRow(context, cached, task)),
                TaskStep::Done(outcome, _) => inner.finish_recheck(context, cached, outcome),
            },
            AuthWaiting::ResolveRow(context, token, user, task) => match task.submit(response) {
                // The next request may be a write: it must not write data from before an invalidation.
                TaskStep::Ask(_) if inner.invalidations.is_invalidated_since(context.begun, &token.keys) => {
                    inner.restart(context, token, Io::CacheOnly)
                }
                TaskStep::Ask(task) => Step::Waiting(AuthWaiting::ResolveRow(context, token, user, task)),
                TaskStep::Done(outcome, events) => inner.finish_row(context, token, user, outcome, &events),
            },
            waiting @ AuthWaiting::FetchUser(..) => Step::Waiting(waiting),
        }
    }

    fn fetch_user(self, inner: &Inner) -> AuthStep {
        match self {
            AuthWaiting::FetchUser(mut context, token) => {
                let io = inner.blocking();
                match inner.resolve(&mut context, &token, io) {
                    Ok(resolved) => inner.ask_or_finish(context, token, resolved, io),
                    Err(VerifyError::Refused(error)) => Step::Done(inner.reject(&context, error)),
                    Err(VerifyError::WouldBlock) => Step::Done(inner.reject(&context, Reason::InternalError)),
                }
            }
            waiting => Step::Waiting(waiting),
        }
    }

    fn abandon(self, inner: &Inner) -> Arc<AuthResult> {
        let (AuthWaiting::RecheckRow(context, ..)
        | AuthWaiting::ResolveRow(context, ..)
        | AuthWaiting::FetchUser(context, _)) = self;
        inner.reject(&context, Reason::StoreError)
    }
}

/// Returns the token of a cached result with a row. Only session tokens have users, and only users have rows.
fn verified_before(cached: &CachedAuth) -> Option<Box<VerifiedToken>> {
    let json = cached.get(Attribute::Claims).unwrap_or_default();
    let claims = Claims::parse(json.as_bytes().to_vec())?;
    Some(VerifiedToken { kind: TokenKind::SessionToken, claims, key_id: cached.key_id, keys: cached.keys }.into())
}

fn store_error(error: StoreError) -> AuthError {
    let (code, message) = match error {
        StoreError::Failed { code, message } => (code, message),
        StoreError::Conflict => (0, "the store reports a conflict for a request that writes nothing".to_owned()),
    };
    AuthError { cause: Some(Box::new(Cause::UserStore { code, message })), ..Reason::StoreError.into() }
}
