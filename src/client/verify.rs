//! From a token to verified claims: keys from memory or, for those who may wait, from Clerk.

use std::time::Instant;

use parking_lot::Mutex;

use super::auth_context::{AuthContext, is_older_than_browser};
use super::auth_result::{AuthError, Cause};
use super::{Inner, count};
use crate::api::{ApiError, ErrorKind, SessionState};
use crate::clock::Now;
use crate::events::{Event, Level};
use crate::identity::{Attribute, Identity};
use crate::jwt::{Claims, UnverifiedJwt};
use crate::keys::{Fetch, Miss};
use crate::reason::Reason;
use crate::request::{Credential, TokenSource};
use crate::token::{TokenKind, is_clerk_id};

/// Why there are no verified claims.
pub(super) enum VerifyError {
    /// Somebody would have to wait, and the caller cannot.
    WouldBlock,
    /// The token is not let in.
    Refused(AuthError),
}

impl From<Reason> for VerifyError {
    fn from(reason: Reason) -> Self {
        VerifyError::Refused(reason.into())
    }
}

/// A JWT that holds.
pub(super) struct VerifiedToken {
    pub kind: TokenKind,
    pub claims: Claims,
    pub key_id: [u8; 32],
}

impl Inner {
    /// Verifies a JWT. Without a deadline nothing is fetched.
    pub(super) fn verify_jwt(
        &self,
        credential: &Credential<'_>,
        now: Now,
        deadline: Option<Instant>,
    ) -> Result<VerifiedToken, VerifyError> {
        // The parts' own alphabet is checked when they are decoded.
        let jws = UnverifiedJwt::parse(std::str::from_utf8(credential.token).unwrap_or_default())?;
        let kind = jws.kind();
        self.accept(kind, credential.source)?;
        let cause = Mutex::new(None);
        let jwks = || self.fetch_jwks(deadline.unwrap_or_else(Instant::now), &cause);
        let fetch = deadline.map(|deadline| Fetch::new(&jwks, deadline));
        let stop = |miss| match miss {
            Miss::WouldBlock => VerifyError::WouldBlock,
            Miss::Refused(reason) => reason.into(),
            Miss::Unavailable(reason, retry_after_ms) => {
                VerifyError::Refused(AuthError { reason, retry_after_ms, cause: cause.lock().take() })
            }
        };
        let keys = self.keys.keys_for(jws.kid(), now.mono_ms, fetch.as_ref()).map_err(stop)?;
        let mut key_id = jws.verify_signature(&keys).map(|key| *key.id());
        if key_id.is_none() {
            let others = self.keys.rotated(jws.kid(), &keys, now.mono_ms, fetch.as_ref()).map_err(stop)?;
            key_id = jws.verify_signature(&others).map(|key| *key.id());
        }
        let key_id = key_id.ok_or(Reason::TokenInvalidSignature)?;
        // Before the times are judged, as Clerk's own SDK has it, and before anybody asks for the user.
        if is_older_than_browser(jws.issued_at_s(), credential.client_uat) {
            return Err(Reason::SessionTokenIatBeforeClientUat.into());
        }
        let claims = jws.validate(&self.policy, now.wall_ms)?;
        Ok(VerifiedToken { kind, claims, key_id })
    }

    /// Whether a kind of token is let in by this way.
    pub(super) fn accept(&self, kind: TokenKind, carrier: TokenSource) -> Result<(), Reason> {
        let by_cookie = carrier == TokenSource::Cookie && kind != TokenKind::SessionToken;
        if by_cookie || !self.accepts.contains(&kind) {
            return Err(Reason::TokenTypeNotSupported);
        }
        Ok(())
    }

    pub(super) fn fetch_jwks(&self, deadline: Instant, cause: &Mutex<Option<Box<Cause>>>) -> Result<Vec<u8>, ApiError> {
        count(&self.counters.jwks_fetches);
        let outcome = self.api.jwks(deadline);
        if let Err(error) = &outcome {
            self.report("the key set", error);
            *cause.lock() = Some(Box::new(Cause::Api(error.clone())));
        }
        outcome
    }

    /// Tells people, and programs that count, of a call that failed.
    pub(super) fn report(&self, what: &str, error: &ApiError) {
        let level = match error.kind {
            ErrorKind::NotFound | ErrorKind::CircuitOpen => Level::Debug,
            ErrorKind::Unauthorized | ErrorKind::Forbidden => Level::Error,
            _ => Level::Warn,
        };
        self.listeners.log(level, || format!("asking Clerk for {what} failed: {error}"));
        match error.kind {
            ErrorKind::RateLimited => {
                self.listeners.tell(Event::RateLimited { retry_after_ms: error.retry_after_ms.unwrap_or_default() });
            }
            ErrorKind::Unauthorized | ErrorKind::Forbidden => self.listeners.tell(Event::SecretKeyRejected),
            _ => {}
        }
    }

    /// Asks Clerk about an opaque token.
    pub(super) fn verify_opaque(
        &self,
        kind: TokenKind,
        token: &str,
        attempt: &AuthContext,
        deadline: Instant,
    ) -> Result<Identity, AuthError> {
        let ask = || {
            let machine = self.api.verify_machine_token(kind, token, attempt.now.wall_ms, deadline);
            machine.inspect_err(|error| self.report("a machine token", error))
        };
        let machine = self.machine_flights.get(&attempt.hash, deadline, ask);
        match machine.unwrap_or_else(|| Err(ApiError::new(ErrorKind::Timeout))) {
            Ok(Some(machine)) => {
                let expected = self.policy.expected_machine_id.as_ref().filter(|_| kind == TokenKind::M2mToken);
                if expected.is_some_and(|id| !machine.scopes.contains(id)) {
                    return Err(Reason::TokenInvalidAudience.into());
                }
                Ok(Identity::of_machine_token(kind, &machine))
            }
            Ok(None) => Err(Reason::TokenInvalid.into()),
            Err(error) => Err(AuthError::unavailable(error)),
        }
    }

    /// Whether session and user still stand: by what webhooks told, and by Clerk's word if that is wanted.
    pub(super) fn check_session(
        &self,
        verified: &VerifiedToken,
        now: Now,
        deadline: Option<Instant>,
    ) -> Result<(), VerifyError> {
        if let Some(reason) = self.revoked.reason(&verified.claims, now) {
            return Err(reason.into());
        }
        if self.session_check_ttl_ms == 0 || verified.kind != TokenKind::SessionToken {
            return Ok(());
        }
        // A session token without a session cannot be checked, so it cannot be let in.
        let Some(sid) = verified.claims.sid.as_deref().filter(|sid| is_clerk_id(sid, "sess_")) else {
            return Err(Reason::SessionRevoked.into());
        };
        let key: Box<str> = sid.into();
        let stands = match (self.sessions.get(&key, now.mono_ms), deadline) {
            (Some(stands), _) => stands,
            (None, None) => return Err(VerifyError::WouldBlock),
            (None, Some(deadline)) => {
                let ask = || {
                    let state = self.api.session(sid, deadline);
                    state.inspect_err(|error| self.report("a session", error))
                };
                let state = self.session_flights.get(&key, deadline, ask);
                let state = state.unwrap_or_else(|| Err(ApiError::new(ErrorKind::Timeout)));
                let state = state.map_err(|error| VerifyError::Refused(AuthError::unavailable(error)))?;
                let pending_will_do = state == SessionState::Pending && !self.policy.treat_pending_as_signed_out;
                let stands = state == SessionState::Active || pending_will_do;
                self.sessions.put(key, stands, now.mono_ms + self.session_check_ttl_ms, now.mono_ms);
                stands
            }
        };
        if stands { Ok(()) } else { Err(Reason::SessionRevoked.into()) }
    }

    /// Whether Clerk's word on the session of a remembered token is still trusted, if that is wanted.
    pub(super) fn is_session_fresh(&self, identity: &Identity, now: Now) -> bool {
        self.session_check_ttl_ms == 0
            || identity.kind() != TokenKind::SessionToken
            || identity
                .get(Attribute::SessionId)
                .is_some_and(|sid| self.sessions.get(&sid.into(), now.mono_ms) == Some(true))
    }
}
