//! Calls to Clerk for the browser handshake: the exchange of a nonce and the refresh of a session. Concurrent requests of the
//! same browser share one call; unauthenticated clients cause a limited number of calls.

use std::hash::RandomState;
use std::sync::Arc;

use super::admission::{Admission, Standing};
use super::auth_result::{AuthError, VerifyError};
use super::backend::Backend;
use crate::api::{ApiError, Caller, ErrorKind, Refresh, RefreshRequest};
use crate::cache::Cache;
use crate::clock::{Io, Now};
use crate::handshake::{Lines, Settings};
use crate::rate_limit::TokenBucket;
use crate::reason::Reason;
use crate::single_flight::{Flight, SingleFlight};
use crate::token::TokenHash;

/// How long a response is kept for further requests of the same browser: a page and its first calls arrive together.
const RESPONSE_TTL_MS: i64 = 5000;
/// How long a refused refresh is not asked about again: an expired token can be refreshed once.
const REFUSED_TTL_MS: i64 = 60_000;
const MAX_RESPONSES: usize = 1024;
const MAX_SESSIONS: usize = 16 * 1024;
/// Calls for one session: this many at once, then one in ten seconds. A token lives a minute.
const SESSION_BURST: u32 = 5;
const SESSION_INTERVAL_MS: i64 = 10_000;
const MAX_NONCE_LEN: usize = 256;
/// Exchanges for browsers without a session: this many at once, then five a second. Sign-ins are among them, so the limit is higher
/// than that of opaque tokens.
const NONCE_BURST: u32 = 50;
const NONCE_INTERVAL_MS: i64 = 200;
/// When to try again if Clerk does not say.
const RETRY_AFTER_MS: u64 = 1000;

type Key = [u8; 32];
/// The lines of a handshake; `None` for an unknown nonce.
type Payload = Option<Arc<Lines>>;
/// The lines of a refresh, or a word for its failure.
type Refreshed = Result<Arc<Lines>, Arc<str>>;

pub(super) struct Handshakes {
    pub settings: Settings,
    /// By nonce and browser.
    payloads: Cache<Key, Arc<Lines>, RandomState>,
    payloads_in_flight: SingleFlight<Key, Result<Payload, ApiError>>,
    /// Which nonces may cost a call.
    nonces: Admission,
    /// By everything that the refresh depends on.
    refreshes: Cache<Key, Refreshed, RandomState>,
    refreshes_in_flight: SingleFlight<Key, Refreshed>,
    /// The calls for each session.
    sessions: Cache<Key, Arc<TokenBucket>, RandomState>,
    /// Responses in cookies after which a browser was redirected although its address holds no response.
    redirected: Cache<Key, (), RandomState>,
}

impl Handshakes {
    pub fn new(settings: Settings) -> Self {
        Handshakes {
            settings,
            payloads: Cache::new(MAX_RESPONSES, RandomState::new()),
            payloads_in_flight: SingleFlight::default(),
            nonces: Admission::with_limit(0, NONCE_BURST, NONCE_INTERVAL_MS),
            refreshes: Cache::new(MAX_RESPONSES, RandomState::new()),
            refreshes_in_flight: SingleFlight::default(),
            sessions: Cache::new(MAX_SESSIONS, RandomState::new()),
            redirected: Cache::new(MAX_RESPONSES, RandomState::new()),
        }
    }

    /// Exchanges a nonce for the lines of a handshake; `None` for one that is unknown or was exchanged before. A response is shared
    /// only with requests of the same `browser`, given by its cookies and user agent. `session_id` is that of a verified token
    /// that the request carries; without one the call is limited together with those of all unauthenticated clients.
    pub fn payload(
        &self,
        nonce: &str,
        browser: &[&[u8]],
        session_id: Option<&str>,
        now: Now,
        io: Io,
        backend: &Backend,
    ) -> Result<Payload, VerifyError> {
        let is_valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if nonce.is_empty() || nonce.len() > MAX_NONCE_LEN || !nonce.bytes().all(is_valid) {
            return Ok(None);
        }
        let key = key(&[&[nonce.as_bytes()], browser].concat());
        if let Some(lines) = self.payloads.get(&key, now.mono_ms) {
            return Ok(Some(lines));
        }
        let hash = TokenHash::of(nonce.as_bytes());
        if let Standing::Refused(_) = self.nonces.standing(&hash, now) {
            return Ok(None);
        }
        let Io::Blocking(deadline) = io else { return Err(VerifyError::WouldBlock) };
        let exchange = |caller: Caller<'_>| {
            let payload = backend.handshake_payload(caller, nonce, deadline)?;
            // It is used up either way.
            self.nonces.record(hash, Some(Reason::TokenInvalid), now, || true);
            let Some(values) = payload else { return Ok(None) };
            let lines = Arc::new(Lines::filter(values));
            let expires_ms = now.mono_ms.saturating_add(RESPONSE_TTL_MS);
            let _ = self.payloads.put_if(key, lines.clone(), expires_ms, now.mono_ms, |_| true);
            Ok(Some(lines))
        };
        let failed = |kind| Err(unavailable(ApiError::new(kind)));
        if session_id.is_some_and(|session_id| self.may_call(session_id, now)) {
            return match self.payloads_in_flight.run(&key, deadline, || exchange(Caller::Known)) {
                Flight::Complete(payload) => payload.map_err(unavailable),
                Flight::Cancelled => failed(ErrorKind::Cancelled),
                Flight::TimedOut | Flight::Abandoned => failed(ErrorKind::Timeout),
            };
        }
        let _waiting = self.nonces.try_wait().map_err(unavailable)?;
        let mut permit = Ok(None);
        let may_start = || {
            permit = match backend.api.handshake_circuit_error() {
                Some(error) => Err(error),
                None => self.nonces.try_call(now).map(Some),
            };
            permit.is_ok()
        };
        let exchange = || exchange(Caller::Unknown(&|| false));
        let flight = self.payloads_in_flight.run_if(&key, deadline, may_start, exchange);
        match (flight, permit) {
            (_, Err(error)) => Err(unavailable(error)),
            (Some(Flight::Complete(payload)), Ok(_)) => payload.map_err(unavailable),
            (Some(Flight::Cancelled), Ok(_)) => failed(ErrorKind::Cancelled),
            (_, Ok(_)) => failed(ErrorKind::Timeout),
        }
    }

    /// Has Clerk refresh a session. The error is a word for the failure, as Clerk's SDKs write it.
    pub fn refresh(
        &self,
        request: &RefreshRequest<'_>,
        now: Now,
        io: Io,
        backend: &Backend,
    ) -> Result<Refreshed, VerifyError> {
        let RefreshRequest { session_id, expired_token, refresh_token, origin, suffixed_cookies, .. } = *request;
        let suffixed = [u8::from(suffixed_cookies)];
        let parts = [session_id, expired_token, refresh_token, origin].map(str::as_bytes);
        let key = key(&[&parts[..], &[&suffixed[..]]].concat());
        if let Some(refreshed) = self.refreshes.get(&key, now.mono_ms) {
            return Ok(refreshed);
        }
        let Io::Blocking(deadline) = io else { return Err(VerifyError::WouldBlock) };
        let call = || {
            let failed = |word: &str| Err(Arc::from(word));
            if !self.may_call(session_id, now) {
                return failed("fetch-error");
            }
            let (refreshed, ttl_ms) = match backend.refresh_session(request, deadline) {
                Ok(Refresh::Cookies(values)) if values.is_empty() => (failed("unexpected-sdk-error"), REFUSED_TTL_MS),
                Ok(Refresh::Cookies(values)) => (Ok(Arc::new(Lines::filter(values))), RESPONSE_TTL_MS),
                Ok(Refresh::Refused(word)) => (failed(&word), REFUSED_TTL_MS),
                Err(word) => return failed(&word),
            };
            let expires_ms = now.mono_ms.saturating_add(ttl_ms);
            let _ = self.refreshes.put_if(key, refreshed.clone(), expires_ms, now.mono_ms, |_| true);
            refreshed
        };
        Ok(match self.refreshes_in_flight.run(&key, deadline, call) {
            Flight::Complete(refreshed) => refreshed,
            Flight::TimedOut | Flight::Abandoned | Flight::Cancelled => Err(Arc::from("fetch-error")),
        })
    }

    fn may_call(&self, session_id: &str, now: Now) -> bool {
        let key = key(&[session_id.as_bytes()]);
        let bucket = self.sessions.get(&key, now.mono_ms).unwrap_or_else(|| {
            let bucket = Arc::new(TokenBucket::new(SESSION_BURST, SESSION_INTERVAL_MS));
            let full_ms = i64::from(SESSION_BURST) * SESSION_INTERVAL_MS;
            let expires_ms = now.mono_ms.saturating_add(2 * full_ms);
            let _ = self.sessions.put_if(key, bucket.clone(), expires_ms, now.mono_ms, |_| true);
            bucket
        });
        bucket.try_acquire(now.mono_ms).is_ok()
    }

    /// Returns whether a browser may be redirected to the address it has already, because of a response in a cookie: only once,
    /// since the cookie may stay.
    pub fn may_redirect_unchanged(&self, response: &str, now: Now) -> bool {
        let key = key(&[response.as_bytes()]);
        let expires_ms = now.mono_ms.saturating_add(REFUSED_TTL_MS);
        let is_first = self.redirected.get(&key, now.mono_ms).is_none();
        let _ = self.redirected.put_if(key, (), expires_ms, now.mono_ms, |_| true);
        is_first
    }

    /// Ends the waits of callers that have joined a call.
    pub fn cancel_waits(&self) {
        self.payloads_in_flight.cancel();
        self.refreshes_in_flight.cancel();
    }

    /// To be called in a forked child: the callers of the parent do not exist there.
    pub fn reset_after_fork(&self) {
        self.payloads_in_flight.reset_after_fork();
        self.refreshes_in_flight.reset_after_fork();
        self.nonces.reset_after_fork();
    }
}

fn unavailable(error: ApiError) -> VerifyError {
    let mut error = AuthError::unavailable(error);
    error.retry_after_ms.get_or_insert(RETRY_AFTER_MS);
    VerifyError::Refused(error)
}

/// A hash of several strings, each with its length.
fn key(parts: &[&[u8]]) -> Key {
    *TokenHash::of_parts(parts).as_bytes()
}
