//! The flow of a request: look up → verify → resolve the user → finish.

use std::sync::Arc;
use std::time::Duration;

use super::auth_context::{AuthContext, Demand, VerifiedToken, issued_before_client_uat};
use super::auth_result::{AuthError, AuthResult, Cause, VerifyError};
use super::inner::{Inner, with_handshake};
use super::result_cache::{Insertion, NewResult};
use super::row_task::{RowOutcome, RowTask, TaskStep};
use super::stepwise::{NextAction, Step, Waiting};
use super::user_cache::{CachedUser, FoundUser, RowRead};
use crate::clock::{Io, Now};
use crate::config::{Csrf, UserMode};
use crate::events::Source;
use crate::identity::{Attribute, Identity};
use crate::reason::Reason;
use crate::request::{Credential, Request, TokenSource, extract};
use crate::token::{BegunHash, TokenFormat, TokenHash, TokenKind, detect_format};
use crate::users::{Origin, Row, RowOwner, StoreError, StoreResponse};

/// How often an attempt starts again after an invalidation. Only the application and Clerk's webhooks invalidate; the deadline
/// bounds the time.
const MAX_RESTARTS: u32 = 32;

pub(super) enum CacheLookup<'a> {
    Done(Arc<AuthResult>),
    /// A cached result that is still to be checked.
    Hit(AuthContext, Arc<AuthResult>),
    Miss(AuthContext, Credential<'a>, BegunHash<'a>),
}

/// What was read of a cached result.
enum CacheRead {
    Hit(Arc<AuthResult>),
    /// The session or the row has to be checked, or the browser has signed in since.
    ToCheck(Arc<AuthResult>),
    /// Outside of its lifetime, or of a type that is not accepted here.
    Unusable,
}

/// The state of an attempt before the user store is queried.
pub(super) enum Prepared {
    Done(Arc<AuthResult>),
    Hit(AuthContext, Arc<AuthResult>),
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

impl ResolvedUser {
    pub fn needs_store(&self) -> bool {
        matches!(self, ResolvedUser::RowToCheck(..) | ResolvedUser::RowToSync(_))
    }
}

/// An authentication that waits for the user store or for Clerk.
pub(super) enum AuthWaiting {
    /// The row of a cached result has to be checked.
    RecheckRow(AuthContext, Arc<AuthResult>, Box<RowTask>),
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
        let (mut context, credential, begun) = match found {
            CacheLookup::Done(result) => return Some(Prepared::Done(result)),
            CacheLookup::Hit(context, cached) => return Some(Prepared::Hit(context, cached)),
            CacheLookup::Miss(context, credential, begun) => (context, credential, begun),
        };
        if matches!(io, Io::Blocking(_)) {
            self.record_miss(&mut context);
        }
        let verified = match detect_format(credential.token) {
            TokenFormat::Opaque(kind) => self.verify_opaque_current(kind, &credential, &mut context, io).map(Box::new),
            TokenFormat::Jwt => match self.take_verified(&credential, &context) {
                Some(token) => Ok(token),
                None => self.verify_jwt(&credential, &begun, &context, io).map(Box::new),
            },
        };
        let prepared = verified.and_then(|token| match self.resolve(&mut context, &token, io) {
            Ok(resolved) => Ok(Prepared::Resolved(context, token, resolved)),
            Err(error) => {
                if matches!(error, VerifyError::WouldBlock) {
                    self.verified.put(&context, token);
                }
                Err(error)
            }
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

    /// Returns the token if an attempt without I/O has just verified it, and this request may present it.
    fn take_verified(&self, credential: &Credential<'_>, context: &AuthContext) -> Option<Box<VerifiedToken>> {
        if self.settings.mode == UserMode::Claims && !self.sessions.is_enabled() && self.shared.is_none() {
            return None;
        }
        self.verified.take(&context.hash, context.now, &self.keys).filter(|token| {
            self.check_token_type(token.kind(), credential.source).is_ok()
                && !issued_before_client_uat(token.identity.issued_at_s(), credential.client_uat)
        })
    }

    /// Returns whether the remaining steps need the user store.
    pub fn needs_store(&self, prepared: &Prepared) -> bool {
        match prepared {
            Prepared::Hit(context, cached) => !cached.is_row_fresh(context.now, self.settings.row_check_ttl_ms),
            Prepared::Resolved(_, _, resolved) => resolved.needs_store(),
            Prepared::Done(_) | Prepared::Rejected(..) => false,
        }
    }

    /// Continues to the result, or to the first request to the user store.
    pub fn proceed(&self, prepared: Prepared, io: Io) -> AuthStep {
        let needs_store = self.needs_store(&prepared);
        match prepared {
            Prepared::Done(result) => Step::Done(result),
            Prepared::Hit(mut context, cached) if needs_store => {
                // A page may have waited for Clerk before.
                context.set_time_left(io);
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
                context.set_time_left(io);
                self.ask_or_finish(context, token, resolved, io)
            }
        }
    }

    /// Looks the credential of a request up. A cached result that needs no more checks ends the request.
    pub fn lookup<'a>(&self, request: &Request<'a>) -> CacheLookup<'a> {
        let now = self.clock.now();
        match extract(request, &self.settings.rules, now.wall_ms.div_euclid(1000)) {
            Ok(Some(credential)) => self.find(request, credential, now, true),
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

    /// Looks a credential of the request up. A cached result is not finished, but returned for more checks.
    pub fn lookup_credential<'a>(
        &self,
        request: &Request<'_>,
        credential: Credential<'a>,
        now: Now,
    ) -> CacheLookup<'a> {
        self.find(request, credential, now, false)
    }

    #[inline(always)]
    fn find<'a>(
        &self,
        request: &Request<'_>,
        credential: Credential<'a>,
        now: Now,
        finishes_hits: bool,
    ) -> CacheLookup<'a> {
        let (hash, begun_hash) = BegunHash::of(credential.token);
        if self.settings.csrf == Csrf::Check
            && credential.source == TokenSource::Cookie
            && !request.is_same_origin(&self.settings.policy.authorized_parties)
        {
            let error = AuthError { detail: self.csrf_detail(request), ..Reason::CsrfFailed.into() };
            return self.end(request, Some(hash), error);
        }
        // Read before the cache is.
        let (begun, last_ended) = (self.invalidations.sequence(), self.users.last_ended());
        let context = || AuthContext {
            client_uat: credential.client_uat,
            is_document: request.is_document_request(),
            demand: Demand { last_ended: request.marked().unwrap_or(last_ended), ..Demand::default() },
            ..AuthContext::new(hash, now, begun)
        };
        let read = |cached: &_, hits: &mut _| {
            let read = self.read_cached(cached, &credential, now, finishes_hits);
            *hits += u64::from(matches!(read, CacheRead::Hit(_)));
            read
        };
        match self.results.get(&hash, now, read) {
            Some(CacheRead::Hit(result)) => CacheLookup::Done(self.record_hit(hash, result)),
            Some(CacheRead::ToCheck(cached)) if self.is_session_accepted(&cached, now) => {
                CacheLookup::Hit(context(), cached)
            }
            _ => self.miss(request, context(), credential, begun_hash),
        }
    }

    /// Ends a request with a type of token that is not accepted, before any I/O.
    fn miss<'a>(
        &self,
        request: &Request<'_>,
        mut context: AuthContext,
        credential: Credential<'a>,
        begun_hash: BegunHash<'a>,
    ) -> CacheLookup<'a> {
        if let TokenFormat::Opaque(kind) = detect_format(credential.token)
            && let Err(reason) = self.check_token_type(kind, credential.source)
        {
            self.record_miss(&mut context);
            return self.end(request, Some(context.hash), self.with_detail(reason.into(), &credential, &context));
        }
        CacheLookup::Miss(context, credential, begun_hash)
    }

    /// Reads a cached result under the cache's lock: in the usual case nothing else has to be checked, and one reference is
    /// counted.
    fn read_cached(
        &self,
        cached: &Arc<AuthResult>,
        credential: &Credential<'_>,
        now: Now,
        finishes_hits: bool,
    ) -> CacheRead {
        let identity = cached.identity().filter(|identity| {
            cached.entry.is_current(now) && self.check_token_type(identity.kind(), credential.source).is_ok()
        });
        let Some(identity) = identity else { return CacheRead::Unusable };
        if !finishes_hits
            || self.sessions.is_enabled()
            || !cached.is_row_fresh(now, self.settings.row_check_ttl_ms)
            || issued_before_client_uat(identity.issued_at_s(), credential.client_uat)
        {
            return CacheRead::ToCheck(cached.clone());
        }
        CacheRead::Hit(cached.clone())
    }

    fn is_session_accepted(&self, cached: &AuthResult, now: Now) -> bool {
        let is_session = cached.identity().is_some_and(|identity| identity.kind() == TokenKind::SessionToken);
        !is_session || self.sessions.is_accepted(cached.get(Attribute::SessionId), now)
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
                // A result that another process has had for a while is cached for the rest of its time.
                let ttl_ends_ms = machine.verified_at_ms.saturating_add(self.settings.machine_cache_ttl_ms);
                let expires_at_ms = machine.token.expires_at_ms.unwrap_or(i64::MAX);
                return Ok(VerifiedToken {
                    identity: Identity::of_machine_token(kind, &machine.token),
                    key_id: None,
                    secret: credential.token_str().map(Into::into),
                    keys: machine.keys,
                    not_before_ms: i64::MIN,
                    expires_at_ms: expires_at_ms.min(ttl_ends_ms),
                });
            }
            self.begin_again(context)?;
        }
    }

    /// The access checks where no user is fetched: rejects a user or a session that is known to be revoked, banned or ended.
    pub fn check_known(&self, token: &VerifiedToken, now: Now) -> Result<(), VerifyError> {
        self.check_revocations(token, now)?;
        if let Some(id) = token.user_id()
            && (self.blocked_users.is_banned(id, now)?
                || self.users.cached(id, now).is_some_and(|cached| cached.user.is_blocked()))
        {
            return Err(Reason::UserInactive.into());
        }
        match token.session_id() {
            Some(sid) if self.sessions.is_rejected(sid, now)? => Err(Reason::SessionRevoked.into()),
            _ => Ok(()),
        }
    }

    pub fn check_revocations(&self, token: &VerifiedToken, now: Now) -> Result<(), VerifyError> {
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
        // Of a ban that others have reported, they may have reported the end.
        let may_have_ended = |id| self.shared.is_some() && self.revocations.is_ban_imported(id, now);
        if !token.user_id().is_some_and(may_have_ended) {
            self.check_revocations(token, now)?;
        }
        self.check_shared_revocations(token, now, io)?;
        if token.kind() == TokenKind::SessionToken {
            let begun = self.sessions.check(token.session_id(), now, io, &self.backend)?;
            context.begun = context.begun.min(begun.unwrap_or(u64::MAX));
        }
        let is_skipped = self.settings.machine_tokens_skip_user && token.kind() != TokenKind::SessionToken;
        let Some(id) = token.user_id().filter(|_| self.settings.mode != UserMode::Claims && !is_skipped) else {
            // Again: the session check may have waited for Clerk.
            return self.check_known(token, now).map(|()| ResolvedUser::NoRow(None));
        };
        let found = self.find_user(id, context.demand, now, io)?;
        context.begun = context.begun.min(found.begun.unwrap_or(u64::MAX));
        context.set_time_left(io);
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
        let with_user = token.identity.with_user(user.map(|user| &*user.user), row.as_ref());
        let insertion = self.results.insert(
            NewResult {
                identity: with_user.as_ref().unwrap_or(&token.identity),
                hash: context.hash,
                keys: token.keys,
                begun: context.begun,
                ttl_ms: match token.is_opaque() {
                    false => self.settings.cache_ttl_ms,
                    true => self.settings.machine_cache_ttl_ms,
                },
                not_before_ms: token.not_before_ms,
                expires_at_ms: token.expires_at_ms,
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
        Step::Done(self.record_verified(&context, with_user.unwrap_or(token.identity)))
    }

    fn finish_hit(&self, context: &AuthContext, cached: &Arc<AuthResult>) -> Arc<AuthResult> {
        let issued_at_s = cached.identity().and_then(Identity::issued_at_s);
        if issued_before_client_uat(issued_at_s, context.client_uat) {
            return self.reject(context, Reason::SessionTokenIatBeforeClientUat);
        }
        self.record_outcome(Some(context.hash), cached.clone())
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
        if token.is_opaque() && token.secret.is_none() {
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
        if let Some(secret) = token.secret.clone() {
            let credential = Credential { token: secret.as_bytes(), source: TokenSource::Header, client_uat: None };
            *token = self.verify_opaque_current(token.kind(), &credential, context, io)?;
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

    fn finish_recheck(&self, context: AuthContext, cached: Arc<AuthResult>, outcome: RowOutcome) -> AuthStep {
        match outcome {
            RowOutcome::Refused(reason) => Step::Done(self.reject(&context, reason)),
            RowOutcome::Failed(error) => Step::Done(self.reject(&context, store_error(error))),
            RowOutcome::Confirmed(row) | RowOutcome::Synced(row) if row.is_active => {
                let keys = cached.entry.token_keys(&self.invalidations);
                if self.invalidations.is_invalidated_since(context.begun, &keys) {
                    return match self.verified_before(&cached) {
                        Some(token) => self.restart(context, token, Io::CacheOnly),
                        None => Step::Done(self.reject(&context, Reason::InternalError)),
                    };
                }
                cached.entry.row_check.confirm(context.now);
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
                match self.verified_before(&cached) {
                    Some(token) => Step::Waiting(AuthWaiting::FetchUser(context, token, None)),
                    None => Step::Done(self.reject(&context, Reason::InternalError)),
                }
            }
        }
    }

    /// Returns the token of a cached result.
    fn verified_before(&self, cached: &AuthResult) -> Option<Box<VerifiedToken>> {
        let token = VerifiedToken {
            identity: cached.identity()?.clone(),
            key_id: cached.key_id(),
            secret: None,
            keys: cached.entry.token_keys(&self.invalidations),
            not_before_ms: cached.entry.not_before_ms,
            expires_at_ms: cached.entry.expires_at_ms,
        };
        Some(token.into())
    }

    fn record_row(&self, context: &AuthContext, cached: &AuthResult, is_active: bool) {
        self.blocked_users.record_row(cached.get(Attribute::Subject).unwrap_or_default(), is_active, context.now);
    }

    /// Discards earlier confirmations of a row that the store no longer confirms.
    fn invalidate_row(&self, context: &AuthContext, cached: &AuthResult) {
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

    fn time_left(&self, inner: &Inner) -> Duration {
        let (AuthWaiting::RecheckRow(context, ..)
        | AuthWaiting::ResolveRow(context, ..)
        | AuthWaiting::FetchUser(context, ..)) = self;
        context.clerk_time_left.unwrap_or(inner.settings.timeout)
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

    fn fetch_user(self, inner: &Inner, shutdowns: u64) -> AuthStep {
        match self {
            AuthWaiting::FetchUser(context, token, read) => {
                inner.fetch_user(context, token, read.map(|read| *read), shutdowns)
            }
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

pub(super) fn store_error(error: StoreError) -> AuthError {
    let (code, message) = match error {
        StoreError::Failed { code, message } => (code, message),
        StoreError::Conflict => (0, "the store reports a conflict for a request that writes nothing".to_owned()),
    };
    AuthError { cause: Some(Box::new(Cause::UserStore { code, message })), ..Reason::StoreError.into() }
}
