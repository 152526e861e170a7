//! The way of a request, from its lines to the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use super::auth_context::{AuthContext, VerifiedAuth, is_older_than_browser};
use super::auth_result::AuthResult;
use super::pending::PendingAuth;
use super::users::CachedUser;
use super::verify::{VerifiedToken, VerifyError};
use super::{CachedAuth, Client, Inner, count};
use crate::clock::Now;
use crate::config::UserMode;
use crate::events::{Event, Source};
use crate::identity::{Attribute, Identity};
use crate::jwt::{Claim, Claims};
use crate::reason::Reason;
use crate::request::{Credential, Request, TokenSource, extract};
use crate::token::{TokenFormat, TokenHash, TokenKind, detect_format};
use crate::users::{Row, UserStore, UserSync, execute};

/// An authentication that has begun.
pub enum AuthProgress {
    /// It is over already.
    Done(Arc<AuthResult>),
    /// The store has to be asked.
    Pending(Box<PendingAuth>),
}

/// What the lines and the cache say.
enum CacheLookup<'a> {
    Done(Arc<AuthResult>),
    Hit(AuthContext, Arc<CachedAuth>),
    Miss(AuthContext, Credential<'a>),
}

impl Client {
    /// Answers from memory: never waits, asks neither Clerk nor the store. `None`: only [`Self::authenticate`] can tell.
    ///
    /// A token is verified here, too, if its key is in memory and nothing has to be found out about the user.
    pub fn authenticate_cached(&self, request: &Request<'_>) -> Option<Arc<AuthResult>> {
        let inner = &*self.inner;
        match inner.look(request) {
            CacheLookup::Done(answer) => Some(answer),
            CacheLookup::Hit(attempt, kept) => {
                (!inner.is_recheck_due(&kept, attempt.now)).then(|| inner.answer_hit(&attempt, &kept))
            }
            CacheLookup::Miss(attempt, credential) => {
                match Inner::verify_inline(&self.inner, attempt, &credential, false)? {
                    AuthProgress::Done(answer) => Some(answer),
                    // Only for those who can be sent to look at a row.
                    AuthProgress::Pending(_) => None,
                }
            }
        }
    }

    /// [`Self::authenticate_cached`] for a host that asks its user table itself: all that remains may be a look at a row.
    /// `None`: only [`Self::begin`] can tell.
    pub fn begin_cached(&self, request: &Request<'_>) -> Option<AuthProgress> {
        match self.inner.look(request) {
            CacheLookup::Done(answer) => Some(AuthProgress::Done(answer)),
            CacheLookup::Hit(attempt, kept) => Some(self.hit(attempt, kept)),
            CacheLookup::Miss(attempt, credential) => Inner::verify_inline(&self.inner, attempt, &credential, true),
        }
    }

    fn hit(&self, attempt: AuthContext, kept: Arc<CachedAuth>) -> AuthProgress {
        match self.inner.is_recheck_due(&kept, attempt.now) {
            true => AuthProgress::Pending(Box::new(PendingAuth::recheck(self.inner.clone(), attempt, kept))),
            false => AuthProgress::Done(self.inner.answer_hit(&attempt, &kept)),
        }
    }

    /// Answers, whatever it takes: keys and users are fetched, the store is asked, all within `timeout_ms`, the time
    /// that the store takes not counted.
    pub fn authenticate(&self, request: &Request<'_>) -> Arc<AuthResult> {
        match self.begin(request) {
            AuthProgress::Done(answer) => answer,
            AuthProgress::Pending(pending) => self.drive(*pending),
        }
    }

    /// Does all that needs no store, waiting for Clerk if need be; the host then answers what the store is asked.
    pub fn begin(&self, request: &Request<'_>) -> AuthProgress {
        match self.inner.look(request) {
            CacheLookup::Done(answer) => AuthProgress::Done(answer),
            CacheLookup::Hit(attempt, kept) => self.hit(attempt, kept),
            CacheLookup::Miss(attempt, credential) => Inner::verify_waiting(&self.inner, attempt, &credential),
        }
    }

    /// Verifies a JWT and nothing else: no user, no cache, no event. Keys may be fetched.
    pub fn verify_token(&self, token: &str) -> Arc<AuthResult> {
        let deadline = Some(Instant::now() + self.inner.timeout);
        let now = self.inner.clock.now();
        let credential = Credential { token: token.as_bytes(), source: TokenSource::Header, client_uat: None };
        let answer = match self.inner.verify_jwt(&credential, now, deadline) {
            Ok(VerifiedToken { kind, claims, .. }) => {
                AuthResult::signed_in(Identity::of_claims(kind, &claims, None, None), Source::Verified)
            }
            Err(VerifyError::Refused(refusal)) => refusal.into(),
            Err(VerifyError::WouldBlock) => Reason::InternalError.into(),
        };
        Arc::new(answer)
    }

    fn drive(&self, mut pending: PendingAuth) -> Arc<AuthResult> {
        let store: &dyn UserStore = match &self.inner.store {
            Some(store) => &**store,
            None => return Arc::new(Reason::InternalError.into()),
        };
        loop {
            match pending.wanted() {
                super::NextAction::QueryStore(step) => {
                    let reply = execute(store, step);
                    pending.reply(reply);
                }
                super::NextAction::FetchUser => pending.fetch(),
                super::NextAction::Done => return pending.into_answer(),
            }
        }
    }
}

impl Inner {
    fn look<'a>(&self, request: &Request<'a>) -> CacheLookup<'a> {
        let now = self.clock.now();
        let is_document = request.is_document_request();
        let credential = match extract(request, &self.rules, now.wall_ms.div_euclid(1000)) {
            Ok(Some(credential)) => credential,
            Ok(None) => {
                return CacheLookup::Done(self.conclude(None, refused(Reason::SessionTokenMissing, false).into()));
            }
            Err(reason) => return CacheLookup::Done(self.conclude(None, refused(reason, is_document).into())),
        };
        let hash = TokenHash::of(credential.token);
        let epoch = self.epoch.load(Ordering::SeqCst);
        let attempt = AuthContext { hash, now, epoch, client_uat: credential.client_uat, is_document };
        if let TokenFormat::Opaque(kind) = detect_format(credential.token)
            && let Err(reason) = self.accept(kind, credential.source)
        {
            self.miss(&attempt);
            return CacheLookup::Done(self.conclude(Some(hash), refused(reason, is_document).into()));
        }
        let kept = self.results.get(&hash, now.mono_ms).filter(|kept| {
            (kept.begins_at_ms..kept.ends_at_ms).contains(&now.wall_ms)
                && kept.answer.identity().is_some_and(|identity| {
                    self.accept(identity.kind(), credential.source).is_ok() && self.is_session_fresh(identity, now)
                })
        });
        match kept {
            Some(kept) => CacheLookup::Hit(attempt, kept),
            None => CacheLookup::Miss(attempt, credential),
        }
    }

    fn is_recheck_due(&self, kept: &CachedAuth, now: Now) -> bool {
        kept.get(Attribute::UserKey).is_some()
            && (self.recheck_ms == 0
                || now.mono_ms.saturating_sub(kept.checked_ms.load(Ordering::Relaxed)) >= self.recheck_ms)
    }

    pub(super) fn answer_hit(&self, attempt: &AuthContext, kept: &CachedAuth) -> Arc<AuthResult> {
        let issued_at_s = kept.answer.identity().and_then(Identity::issued_at_s);
        let answer = match is_older_than_browser(issued_at_s, attempt.client_uat) {
            true => refused(Reason::SessionTokenIatBeforeClientUat, attempt.is_document).into(),
            false => kept.answer.clone(),
        };
        self.conclude(Some(attempt.hash), answer)
    }

    pub(super) fn miss(&self, attempt: &AuthContext) {
        count(&self.counters.cache_misses);
        self.listeners.tell(Event::CacheMiss { token_hash: attempt.hash });
    }

    /// `asks_table`: whether the caller can be sent to look at the user's row.
    fn verify_inline(
        this: &Arc<Self>,
        attempt: AuthContext,
        credential: &Credential<'_>,
        asks_table: bool,
    ) -> Option<AuthProgress> {
        if detect_format(credential.token) != TokenFormat::Jwt {
            return None;
        }
        let now = attempt.now;
        let verified = this.verify_jwt(credential, now, None).and_then(|verified| {
            this.check_session(&verified, now, None)?;
            Ok(verified)
        });
        let VerifiedToken { kind, claims, key_id } = match verified {
            Ok(verified) => verified,
            Err(VerifyError::WouldBlock) => return None,
            Err(VerifyError::Refused(refusal)) => {
                this.miss(&attempt);
                return Some(AuthProgress::Done(this.end(&attempt, refusal)));
            }
        };
        let known = match this.wants_user(kind) {
            false => None,
            true => Some(this.fresh_user(claims.sub.as_deref()?, now)?),
        };
        let row = known.as_ref().and_then(|known| known.row(this.mode));
        let is_settled = this.mode != UserMode::Sync
            || known.as_ref().is_none_or(|known| row.is_some() && known.was_checked(now, this.recheck_ms));
        if !is_settled && !asks_table {
            return None;
        }
        this.miss(&attempt);
        let holding = VerifiedAuth { attempt, kind, claims, key_id: Some(key_id) };
        Some(match (known, row) {
            (Some(known), row) if !is_settled => AuthProgress::Pending(Box::new(match row {
                Some(row) => PendingAuth::find_row(this.clone(), holding, known, row.key),
                None => PendingAuth::sync(this.clone(), holding, known),
            })),
            (known, row) => AuthProgress::Done(this.sign_in(holding, known.as_deref(), row)),
        })
    }

    fn verify_waiting(this: &Arc<Self>, attempt: AuthContext, credential: &Credential<'_>) -> AuthProgress {
        this.miss(&attempt);
        let deadline = Instant::now() + this.timeout;
        let now = attempt.now;
        if let TokenFormat::Opaque(kind) = detect_format(credential.token) {
            let verified = match credential.token_str() {
                Some(token) => this.verify_opaque(kind, token, &attempt, deadline),
                None => Err(Reason::TokenInvalid.into()),
            };
            return AuthProgress::Done(match verified {
                Ok(identity) => this.sign_in_machine(&attempt, identity),
                Err(refusal) => this.end(&attempt, refusal),
            });
        }
        let verified = this.verify_jwt(credential, now, Some(deadline)).and_then(|verified| {
            this.check_session(&verified, now, Some(deadline))?;
            Ok(verified)
        });
        match verified {
            Ok(VerifiedToken { kind, claims, key_id }) => {
                let holding = VerifiedAuth { attempt, kind, claims, key_id: Some(key_id) };
                Self::find_user(this, holding, deadline)
            }
            Err(VerifyError::Refused(refusal)) => AuthProgress::Done(this.end(&attempt, refusal)),
            Err(VerifyError::WouldBlock) => AuthProgress::Done(this.end(&attempt, Reason::InternalError)),
        }
    }

    /// Machines have no user; whom an API key belongs to is for the host to find out.
    fn wants_user(&self, kind: TokenKind) -> bool {
        self.mode != UserMode::Claims && kind == TokenKind::SessionToken
    }

    /// From a token that holds to the user, and to the store if there is something to ask it.
    pub(super) fn find_user(this: &Arc<Self>, holding: VerifiedAuth, deadline: Instant) -> AuthProgress {
        if !this.wants_user(holding.kind) {
            return AuthProgress::Done(this.sign_in(holding, None, None));
        }
        let now = holding.attempt.now;
        let id = holding.claims.sub.as_deref().unwrap_or_default();
        let (known, is_new) = match this.user(id, now, deadline) {
            Ok(found) => found,
            Err(refusal) => return AuthProgress::Done(this.end(&holding.attempt, refusal)),
        };
        if this.mode == UserMode::Profile {
            return AuthProgress::Done(this.sign_in(holding, Some(&known), None));
        }
        let row = known.row(this.mode).filter(|_| !is_new);
        match row {
            Some(row) if known.was_checked(now, this.recheck_ms) => {
                AuthProgress::Done(this.sign_in(holding, Some(&known), Some(row)))
            }
            Some(row) => AuthProgress::Pending(Box::new(PendingAuth::find_row(this.clone(), holding, known, row.key))),
            None => AuthProgress::Pending(Box::new(PendingAuth::sync(this.clone(), holding, known))),
        }
    }

    pub(super) fn start_sync(&self, known: &CachedUser) -> (UserSync, crate::users::StoreRequest) {
        let schema = self.store.as_ref().map(|store| store.schema()).unwrap_or_default();
        UserSync::start(known.user.clone(), schema, self.link, known.row_key.lock().clone())
    }

    /// The last step: the user may come in or not, and the answer is remembered.
    pub(super) fn sign_in(
        &self,
        holding: VerifiedAuth,
        known: Option<&CachedUser>,
        row: Option<Row>,
    ) -> Arc<AuthResult> {
        let VerifiedAuth { attempt, kind, claims, key_id } = holding;
        let user = known.map(|known| &*known.user);
        let kept_out = user.is_some_and(|user| user.is_blocked()) || row.as_ref().is_some_and(|row| !row.is_active);
        if kept_out {
            return self.end(&attempt, Reason::UserInactive);
        }
        let identity = Identity::of_claims(kind, &claims, user, row.as_ref());
        let begins = [&claims.nbf, &claims.iat].into_iter().filter_map(|claim| match Claims::millis(claim) {
            Claim::Present(ms) => Some(ms.saturating_sub(self.policy.clock_skew_ms)),
            _ => None,
        });
        // A row out of memory is as good as the store's last word on it, however new the token.
        let checked_ms = known.map_or(attempt.now.mono_ms, |known| known.checked_ms.load(Ordering::Relaxed));
        let ends_at_ms = self.policy.expires_at_ms(&claims);
        self.remember(&attempt, self.cache_ttl_ms, ends_at_ms, || CachedAuth {
            answer: AuthResult::signed_in(identity.clone(), Source::Cache).into(),
            begins_at_ms: begins.max().unwrap_or(i64::MIN),
            ends_at_ms,
            key_id,
            checked_ms: AtomicI64::new(checked_ms),
        });
        self.conclude(Some(attempt.hash), AuthResult::signed_in(identity, Source::Verified).into())
    }

    fn sign_in_machine(&self, attempt: &AuthContext, identity: Identity) -> Arc<AuthResult> {
        let ends_at_ms = match identity.expires_at_ms() {
            0 => i64::MAX,
            ms => ms,
        };
        self.remember(attempt, self.machine_cache_ttl_ms, ends_at_ms, || CachedAuth {
            answer: AuthResult::signed_in(identity.clone(), Source::Cache).into(),
            begins_at_ms: i64::MIN,
            ends_at_ms,
            key_id: None,
            checked_ms: AtomicI64::new(attempt.now.mono_ms),
        });
        self.conclude(Some(attempt.hash), AuthResult::signed_in(identity, Source::Verified).into())
    }

    /// Until min(now + ttl, exp + skew), unless something was invalidated since this attempt began.
    fn remember(&self, attempt: &AuthContext, ttl_ms: i64, ends_at_ms: i64, kept: impl FnOnce() -> CachedAuth) {
        let Now { wall_ms, mono_ms } = attempt.now;
        let left_ms = ends_at_ms.saturating_sub(wall_ms).min(ttl_ms);
        if left_ms > 0 && self.epoch.load(Ordering::SeqCst) == attempt.epoch {
            let kept = kept();
            let key_id = kept.key_id;
            let expires_ms = mono_ms.saturating_add(left_ms);
            let subject = kept.get(Attribute::Subject).unwrap_or_default();
            let crowded_out = self.fairness.add(subject, attempt.hash, expires_ms, mono_ms);
            self.results.put(attempt.hash, Arc::new(kept), expires_ms, mono_ms);
            if let Some(oldest) = crowded_out {
                self.results.remove(&oldest);
            }
            // Invalidated, or its key gone from the set, before there was a result that could be dropped.
            let is_late = self.epoch.load(Ordering::SeqCst) != attempt.epoch;
            if is_late || key_id.is_some_and(|id| !self.keys.holds(&id)) {
                self.results.remove(&attempt.hash);
            }
        }
    }

    /// Concludes a refusal of a token.
    pub(super) fn end(&self, attempt: &AuthContext, refusal: impl Into<AuthResult>) -> Arc<AuthResult> {
        let mut answer = refusal.into();
        answer.handshake_recommended = attempt.is_document && answer.reason().is_some_and(is_settled_by_handshake);
        self.conclude(Some(attempt.hash), answer.into())
    }
}

fn refused(reason: Reason, is_document: bool) -> AuthResult {
    let mut answer: AuthResult = reason.into();
    answer.handshake_recommended = is_document && is_settled_by_handshake(reason);
    answer
}

/// Reasons for which Clerk's own front-end libraries send the browser to Clerk and back.
fn is_settled_by_handshake(reason: Reason) -> bool {
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
