//! The flow of a request: look up → verify → resolve the user → finish.

use std::sync::Arc;

use super::auth_context::{AuthContext, Demand, TokenContent, VerifiedToken, issued_before_client_uat};
use super::auth_result::{AuthError, AuthResult, Cause, VerifyError};
use super::inner::{Inner, with_handshake};
use super::result_cache::{CachedAuth, Insertion, NewResult};
use super::row_task::{RowOutcome, RowTask, TaskStep};
use super::stepwise::{NextAction, Step, Waiting};
use super::user_cache::{CachedUser, FoundUser, RowRead};
use crate::clock::{Io, Now};
use crate::config::{Csrf, UserMode};
use crate::events::Source;
use crate::identity::{Attribute, Identity};
use crate::jwt::Claims;
use crate::reason::Reason;
use crate::request::{Credential, Request, TokenSource, extract};
use crate::token::{TokenFormat, TokenHash, TokenKind, detect_format};
use crate::users::{Origin, Row, RowOwner, StoreError, StoreResponse};

/// How often an attempt starts again after an invalidation. Only the application and Clerk's webhooks invalidate; the deadline
/// bounds the time.
const MAX_RESTARTS: u32 = 32;

pub(super) enum CacheLookup<'a> {
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
}

/// The user of a token, and what has to be done about the row.
pub(super) enum ResolvedUser {
    /// No row is needed: the subject is no user, or the settings do without.
    NoRow(Option<Arc<CachedUser>>),
    /// The row was confirmed less than `row_check_ttl_s` ago.
    KnownRow(Arc<CachedUser>, String),
    /// The row has to be confirmed.
    RowToCheck(FoundUser, String),
    /// The row has to be found, made or updated.
    RowToSync(FoundUser),
}

/// An authentication that waits for the user store or for Clerk.
pub(super) enum AuthWaiting {
    /// The row of a cached result has to be checked.
    RecheckRow(AuthContext, Arc<CachedAuth>, Box<RowTask>),
    /// Where is the row of a verified token's user?
    ResolveRow(AuthContext, Box<VerifiedToken>, FoundUser, Box<RowTask>),
    /// The user has to be fetched; again, if a row was read that the cached user may not change.
    FetchUser(AuthContext, Box<VerifiedToken>, Option<Box<RowRead>>),
}

pub(super) type AuthStep = Step<AuthWaiting>;

impl Inner {
    /// Looks up, verifies, and resolves the user. Returns `None` if `io` does not allow what is needed; then nothing was
    /// recorded.
    pub fn prepare(&self, request: &Request<'_>, io: Io) -> Option<Prepared> {
        self.prepare_found(self.lookup(request), io)
    }

    /// Does the same for a credential that was looked up.
    pub fn prepare_found(&self, found: CacheLookup<'_>, io: Io) -> Option<Prepared> {
        let (mut context, credential) = match found {
            CacheLookup::Done(result) => return Some(Prepared::Done(result)),
            CacheLookup::Hit(context, cached) => return Some(Prepared::Hit(context, cached)),
            CacheLookup::Miss(context, credential) => (context, credential),
        };
        if matches!(io, Io::Blocking(_)) {
            self.record_miss(&mut context);
        }
        let verified = match detect_format(credential.token) {
            TokenFormat::Opaque(kind) => self.verify_opaque_current(kind, &credential, &mut context, io),
            TokenFormat::Jwt => self.verify_jwt(&credential, &context, io),
        };
        let prepared = verified.and_then(|token| {
            let resolved = self.resolve(&mut context, &token, io)?;
            Ok(Prepared::Resolved(context, token.into(), resolved))
        });
        match (prepared, io) {
            (Ok(prepared), _) => Some(prepared),
            (Err(VerifyError::Refused(error)), _) => {
                let error = self.with_detail(error, &credential, &context);
                Some(Prepared::Rejected(context, error))
            }
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
            Prepared::Done(_) | Prepared::Rejected(..) => false,
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
                let owner = RowOwner::new(subject, cached.get(Attribute::Email), cached.get(Attribute::Username));
                let task = RowTask::check(key, owner, self.schema());
                Step::Waiting(AuthWaiting::RecheckRow(context, cached, task))
            }
            Prepared::Hit(context, cached) => Step::Done(self.finish_hit(&context, &cached)),
            Prepared::Rejected(mut context, error) => {
                self.record_miss(&mut context);
                Step::Done(self.reject(&context, error))
            }
            Prepared::Resolved(mut context, token, resolved) => {
                self.record_miss(&mut context);
                self.ask_or_finish(context, token, resolved, io)
            }
        }
    }

    fn lookup<'a>(&self, request: &Request<'a>) -> CacheLookup<'a> {
        let now = self.clock.now();
        match extract(request, &self.settings.rules, now.wall_ms.div_euclid(1000)) {
            Ok(Some(credential)) => self.lookup_credential(request, credential, now),
            Ok(None) => {
                let error = AuthError { detail: self.scheme_detail(request), ..Reason::SessionTokenMissing.into() };
                self.end(request, None, error)
            }
            Err(reason) => self.end(request, None, reason.into()),
        }
    }

    fn end<'a>(&self, request: &Request<'_>, hash: Option<TokenHash>, error: AuthError) -> CacheLookup<'a> {
        let result = with_handshake(error, request.is_document_request());
        let result = hash.iter().fold(result, AuthResult::with_token_hash);
        CacheLookup::Done(self.record_outcome(hash, result.into()))
    }

    /// Looks a credential of the request up.
    pub fn lookup_credential<'a>(
        &self,
        request: &Request<'_>,
        credential: Credential<'a>,
        now: Now,
    ) -> CacheLookup<'a> {
        let hash = TokenHash::of(credential.token);
        if self.settings.csrf == Csrf::Check
            && credential.source == TokenSource::Cookie
            && !request.is_same_origin(&self.settings.policy.authorized_parties)
        {
            let error = AuthError { detail: self.csrf_detail(request), ..Reason::CsrfFailed.into() };
            return self.end(request, Some(hash), error);
        }
        let mut context = AuthContext {
            client_uat: credential.client_uat,
            is_document: request.is_document_request(),
            demand: Demand { after: None, last_ended: self.users.last_ended() },
            ..AuthContext::new(hash, now, self.invalidations.sequence())
        };
        if let TokenFormat::Opaque(kind) = detect_format(credential.token)
            && let Err(reason) = self.check_token_type(kind, credential.source)
        {
            self.record_miss(&mut context);
            return self.end(request, Some(hash), self.with_detail(reason.into(), &credential, &context));
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
    ) -> Result<VerifiedToken, VerifyError> {
        loop {
            let machine = self.verify_opaque(kind, credential, context, io)?;
            context.begun = context.begun.min(machine.begun);
            if !self.invalidations.is_invalidated_since(context.begun, &machine.keys) {
                let content =
                    TokenContent::Opaque { token: machine.token, secret: credential.token_str().map(Into::into) };
                return Ok(VerifiedToken { kind, content, key_id: None, keys: machine.keys });
            }
            self.begin_again(context)?;
        }
    }

    /// The access checks where no user is fetched: rejects a user or a session that is known to be revoked, banned or ended.
    pub fn check_known(&self, token: &VerifiedToken, now: Now) -> Result<(), VerifyError> {
        self.check_revocations(token, now)?;
        let is_banned = |id| {
            self.blocked_users.is_banned(id, now) || self.users.cached(id, now).is_some_and(|c| c.user.is_blocked())
        };
        if token.user_id().is_some_and(is_banned) {
            return Err(Reason::UserInactive.into());
        }
        match token.session_id() {
            Some(sid) if self.sessions.is_rejected(sid, now) => Err(Reason::SessionRevoked.into()),
            _ => Ok(()),
        }
    }

    fn check_revocations(&self, token: &VerifiedToken, now: Now) -> Result<(), VerifyError> {
        let found = self.revocations.find(token.user_id(), token.session_id(), token.issued_at_ms(), now);
        found.map_or(Ok(()), |reason| Err(reason.into()))
    }

    /// Checks revocations and the session, then resolves the user of a verified token, whatever its class.
    pub fn resolve(
        &self,
        context: &mut AuthContext,
        token: &VerifiedToken,
        io: Io,
    ) -> Result<ResolvedUser, VerifyError> {
        let now = context.now;
        self.check_revocations(token, now)?;
        if token.kind == TokenKind::SessionToken {
            let begun = self.sessions.check(token.session_id(), now, io, &self.backend)?;
            context.begun = context.begun.min(begun.unwrap_or(u64::MAX));
        }
        let is_skipped = self.settings.machine_tokens_skip_user && token.kind != TokenKind::SessionToken;
        let Some(id) = token.user_id().filter(|_| self.settings.mode != UserMode::Claims && !is_skipped) else {
            return self.check_known(token, now).map(|()| ResolvedUser::NoRow(None));
        };
        let found = self.find_user(id, context.demand, now, io)?;
        context.begun = context.begun.min(found.begun.unwrap_or(u64::MAX));
        if let Io::Blocking(deadline) = io {
            context.clerk_time_left = Some(deadline.remaining());
        }
        Ok(match found.user.row_key().filter(|_| found.origin != Origin::Fetched) {
            _ if self.settings.mode == UserMode::Profile => ResolvedUser::NoRow(Some(found.user)),
            Some(key) if found.user.row_check.is_fresh(now, self.settings.row_check_ttl_ms) => {
                ResolvedUser::KnownRow(found.user, key)
            }
            Some(key) => ResolvedUser::RowToCheck(found, key),
            None => ResolvedUser::RowToSync(found),
        })
    }

    pub fn ask_or_finish(
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
            ResolvedUser::RowToCheck(found, key) => {
                let task = RowTask::check(&key, RowOwner::from(&*found.user.user), self.schema());
                Step::Waiting(AuthWaiting::ResolveRow(context, token, found, task))
            }
            ResolvedUser::RowToSync(found) => self.sync_row(context, token, found),
        }
    }

    /// The last step: accepts the user or not, caches the result, ends the request.
    pub fn finish(
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
        if let (Some(id), Some(row)) = (token.user_id(), &row) {
            self.blocked_users.record_row(id, row.is_active, context.now);
        }
        let is_blocked = user.is_some_and(|user| user.user.is_blocked());
        if is_blocked || row.as_ref().is_some_and(|row| !row.is_active) {
            return Step::Done(self.reject(&context, Reason::UserInactive));
        }
        let identity = token.identity(user.map(|user| &*user.user), row.as_ref());
        let policy = &self.settings.policy;
        let insertion = self.results.insert(
            NewResult {
                identity: &identity,
                hash: context.hash,
                keys: token.keys,
                begun: context.begun,
                ttl_ms: match token.content {
                    TokenContent::Jwt(_) => self.settings.cache_ttl_ms,
                    TokenContent::Opaque { .. } => self.settings.machine_cache_ttl_ms,
                },
                not_before_ms: token.not_before_ms(policy),
                expires_at_ms: token.expires_at_ms(policy),
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

    fn finish_hit(&self, context: &AuthContext, cached: &CachedAuth) -> Arc<AuthResult> {
        let issued_at_s = cached.result.identity().and_then(Identity::issued_at_s);
        if issued_before_client_uat(issued_at_s, context.client_uat) {
            return self.reject(context, Reason::SessionTokenIatBeforeClientUat);
        }
        self.record_outcome(Some(context.hash), cached.result.clone())
    }

    fn record_verified(&self, context: &AuthContext, identity: Identity) -> Arc<AuthResult> {
        let result = AuthResult::signed_in(identity, Source::Verified).with_token_hash(&context.hash);
        self.record_outcome(Some(context.hash), result.into())
    }

    /// Starts again after an invalidation: nothing from before it is used. A signature stays verified; an opaque token is
    /// verified by Clerk again.
    pub fn restart(&self, mut context: AuthContext, token: Box<VerifiedToken>, io: Io) -> AuthStep {
        self.record_miss(&mut context);
        let mut token = token;
        if matches!(token.content, TokenContent::Opaque { secret: None, .. }) {
            return Step::Done(self.reject(&context, Reason::ServerError));
        }
        let resolved = self.begin_again(&mut context).and_then(|()| self.resolve_again(&mut context, &mut token, io));
        match resolved {
            Ok(resolved) => self.ask_or_finish(context, token, resolved, io),
            Err(VerifyError::WouldBlock) => Step::Waiting(AuthWaiting::FetchUser(context, token, None)),
            Err(VerifyError::Refused(error)) => Step::Done(self.reject(&context, error)),
        }
    }

    pub fn resolve_again(
        &self,
        context: &mut AuthContext,
        token: &mut VerifiedToken,
        io: Io,
    ) -> Result<ResolvedUser, VerifyError> {
        if let TokenContent::Opaque { secret: Some(secret), .. } = &token.content {
            let secret = secret.clone();
            let credential = Credential { token: secret.as_bytes(), source: TokenSource::Header, client_uat: None };
            *token = self.verify_opaque_current(token.kind, &credential, context, io)?;
        }
        self.resolve(context, token, io)
    }

    fn begin_again(&self, context: &mut AuthContext) -> Result<(), VerifyError> {
        if context.restarts == MAX_RESTARTS {
            return Err(Reason::ServerError.into());
        }
        context.restarts += 1;
        context.begun = self.invalidations.sequence();
        context.demand.after = None;
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
                self.record_row(&context, &cached, true);
                Step::Done(self.finish_hit(&context, &cached))
            }
            RowOutcome::Confirmed(_) | RowOutcome::Synced(_) => {
                self.record_row(&context, &cached, false);
                self.invalidate_row(&context, &cached);
                Step::Done(self.reject(&context, Reason::UserInactive))
            }
            RowOutcome::Missing => {
                self.invalidate_row(&context, &cached);
                let mut context = context;
                self.record_miss(&mut context);
                match verified_before(&cached) {
                    Some(token) => Step::Waiting(AuthWaiting::FetchUser(context, token, None)),
                    None => Step::Done(self.reject(&context, Reason::InternalError)),
                }
            }
        }
    }

    fn record_row(&self, context: &AuthContext, cached: &CachedAuth, is_active: bool) {
        self.blocked_users.record_row(cached.get(Attribute::Subject).unwrap_or_default(), is_active, context.now);
    }

    /// Discards earlier confirmations of a row that the store no longer confirms.
    fn invalidate_row(&self, context: &AuthContext, cached: &CachedAuth) {
        self.results.remove(&context.hash);
        let id = cached.get(Attribute::Subject).unwrap_or_default();
        if let Some(user) = self.users.cached(id, context.now) {
            user.row_check.reset();
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
                // A check asks for no fetch.
                TaskStep::FetchUser { .. } => Step::Done(inner.reject(&context, Reason::InternalError)),
            },
            AuthWaiting::ResolveRow(context, token, found, task) => {
                inner.follow_row(context, token, found, task.submit(response))
            }
            waiting @ AuthWaiting::FetchUser(..) => Step::Waiting(waiting),
        }
    }

    fn fetch_user(self, inner: &Inner) -> AuthStep {
        match self {
            AuthWaiting::FetchUser(context, token, read) => inner.fetch_user(context, token, read.map(|read| *read)),
            waiting => Step::Waiting(waiting),
        }
    }

    fn abandon(self, inner: &Inner) -> Arc<AuthResult> {
        let (AuthWaiting::RecheckRow(context, ..)
        | AuthWaiting::ResolveRow(context, ..)
        | AuthWaiting::FetchUser(context, ..)) = self;
        inner.reject(&context, Reason::StoreError)
    }
}

/// Returns the token of a cached result.
fn verified_before(cached: &CachedAuth) -> Option<Box<VerifiedToken>> {
    let identity = cached.result.identity()?;
    let content = match (cached.key_id, identity.get(Attribute::Claims)) {
        (None, _) => TokenContent::Opaque { token: identity.machine_token(), secret: None },
        (Some(_), json) => {
            TokenContent::Jwt(Claims::parse(identity.kind(), json.unwrap_or_default().as_bytes().to_vec())?.into())
        }
    };
    Some(VerifiedToken { kind: identity.kind(), content, key_id: cached.key_id, keys: cached.keys }.into())
}

pub(super) fn store_error(error: StoreError) -> AuthError {
    let (code, message) = match error {
        StoreError::Failed { code, message } => (code, message),
        StoreError::Conflict => (0, "the store reports a conflict for a request that writes nothing".to_owned()),
    };
    AuthError { cause: Some(Box::new(Cause::UserStore { code, message })), ..Reason::StoreError.into() }
}
