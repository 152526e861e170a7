//! From a credential to a verified token.

use std::cell::Cell;

use super::auth_context::{AuthContext, VerifiedToken, issued_before_client_uat};
use super::auth_result::{AuthError, Cause, VerifyError};
use super::inner::Inner;
use super::machine_tokens::VerifiedMachine;
use crate::clock::{Deadline, Io, Now};
use crate::identity::Identity;
use crate::jwt::{Decoded, UnparsedJwt, UnverifiedJwt};
use crate::keys::{JwksFetcher, KeyLookupError, KeySet};
use crate::reason::Reason;
use crate::request::{Credential, TokenSource};
use crate::token::{BegunHash, TokenKind};

impl Inner {
    /// Whether a kind of token is accepted from this source.
    pub fn check_token_type(&self, kind: TokenKind, source: TokenSource) -> Result<(), Reason> {
        let is_machine_cookie = source == TokenSource::Cookie && kind != TokenKind::SessionToken;
        if is_machine_cookie || !self.settings.accepts.contains(&kind) {
            return Err(Reason::TokenTypeNotSupported);
        }
        Ok(())
    }

    /// Verifies a JWT: type, signature, then claims. `begun` is the hash of its first bytes.
    // Apart from the hit path, which needs less of the stack.
    #[inline(never)]
    pub fn verify_jwt(
        &self,
        credential: &Credential<'_>,
        begun: &BegunHash<'_>,
        context: &AuthContext,
        io: Io,
    ) -> Result<VerifiedToken, VerifyError> {
        // The parts' own alphabet is checked when they are decoded.
        let mut decoded = Decoded::default();
        let jws = UnparsedJwt::decode(credential.token, &mut decoded)?;
        if let Some(reason) = self.refuse_by_key(&jws, credential, context.now) {
            return Err(reason.into());
        }
        let mut jws = UnverifiedJwt::from(jws);
        jws.parse_payload()?;
        let kind = jws.kind();
        self.check_token_type(kind, credential.source)?;
        if jws.is_contradictory() {
            return Err(Reason::TokenInvalid.into());
        }
        // Before the signature, like Clerk's own SDK: after a newer sign-in no key is fetched for an old cookie.
        if issued_before_client_uat(jws.issued_at_s(), credential.client_uat) {
            return Err(Reason::SessionTokenIatBeforeClientUat.into());
        }
        let key_id = self.verify_signature(&jws, begun, context.now, io)?;
        let claims = jws.claims();
        let policy = &self.settings.policy;
        match context.leeway_ms {
            0 => policy.validate(kind, claims, context.now.wall_ms)?,
            leeway_ms => {
                let mut policy = policy.clone();
                policy.clock_skew_ms = policy.clock_skew_ms.max(leeway_ms);
                policy.validate(kind, claims, context.now.wall_ms)?;
            }
        }
        self.keys.confirm(&key_id, context.now.mono_ms);
        let organization = claims.organization.as_ref().map(|organization| &*organization.id);
        let (subject, session) = (claims.sub.as_deref().unwrap_or_default(), claims.sid.as_deref());
        let keys = self.invalidations.token_keys(&context.hash, subject, session, organization);
        let (not_before_ms, expires_at_ms) = (policy.not_before_ms(claims), policy.expires_at_ms(claims));
        let identity = Identity::of_claims(kind, claims);
        Ok(VerifiedToken { identity, key_id: Some(key_id), secret: None, keys, not_before_ms, expires_at_ms })
    }

    /// Rejects a token whose key cannot be found before its payload is parsed: most garbage ends here. Returns `None` if a reason
    /// that comes first may be found in the payload, or if the key set may have to be fetched.
    fn refuse_by_key(&self, jws: &UnparsedJwt<'_>, credential: &Credential<'_>, now: Now) -> Option<Reason> {
        let reason = self.keys.refusal(jws.kid(), now.mono_ms)?;
        if credential.client_uat.is_some() {
            return None;
        }
        Some(self.check_token_type(jws.kind_of_header()?, credential.source).err().unwrap_or(reason))
    }

    /// Verifies a signature; returns the id of the key that made it.
    pub fn verify_signature(
        &self,
        jws: &UnverifiedJwt<'_>,
        begun: &BegunHash<'_>,
        now: Now,
        io: Io,
    ) -> Result<[u8; 32], VerifyError> {
        let hash = jws.signing_hash(begun);
        let key_id = self.with_jwks(io, |fetcher| {
            let keys = self.keys.keys_for(jws.kid(), now.mono_ms, fetcher)?;
            if let Some(key) = jws.verify_signature(&hash, &keys) {
                return Ok(Some(*key.id()));
            }
            let others = self.keys.keys_after_rotation(jws.kid(), &hash, &keys, now.mono_ms, fetcher)?;
            Ok(jws.verify_signature(&hash, &others).map(|key| *key.id()))
        })?;
        key_id.ok_or(Reason::TokenInvalidSignature.into())
    }

    /// Runs a key lookup that may fetch the JWK set; its error includes the failed call.
    pub fn with_jwks<T>(
        &self,
        io: Io,
        lookup: impl Fn(&JwksFetcher<'_>) -> Result<T, KeyLookupError>,
    ) -> Result<T, VerifyError> {
        let is_shared = Cell::new(false);
        let fetch = |deadline: Deadline| {
            let source = self.backend.api.jwks_source().ok();
            let Some((shared, source)) = self.shared.as_ref().zip(source) else { return self.backend.jwks(deadline) };
            // Only a process that has just started takes the set of another.
            let found = self.keys.is_empty().then(|| shared.jwks(&source.0, deadline)).flatten();
            if let Some(set) = found.filter(|set| KeySet::parse(set).is_some()) {
                is_shared.set(true);
                return Ok(set);
            }
            self.backend.jwks(deadline).inspect(|set| shared.put_jwks(&source.0, set, deadline))
        };
        let found = match lookup(&JwksFetcher::new(&fetch, io)) {
            // The set of another process may be from before a rotation, so it rejects no token.
            Err(KeyLookupError::Refused(_)) if is_shared.get() => lookup(&JwksFetcher::new(&fetch, io)),
            found => found,
        };
        found.map_err(|error| match error {
            KeyLookupError::WouldBlock => VerifyError::WouldBlock,
            KeyLookupError::Refused(reason) => reason.into(),
            KeyLookupError::Unavailable(reason, retry_after_ms, error) => {
                let cause = error.map(|error| Box::new(Cause::Api(*error)));
                VerifyError::Refused(AuthError { retry_after_ms, cause, ..reason.into() })
            }
        })
    }

    /// The gate where neither a user is fetched nor a row is queried: what this process knows of both decides.
    pub fn check_memory(&self, token: &VerifiedToken, now: Now) -> Result<(), VerifyError> {
        self.check_known(token, now)?;
        match token.user_id() {
            Some(id) if self.blocked_users.has_inactive_row(id, now)? => Err(Reason::UserInactive.into()),
            _ => Ok(()),
        }
    }

    /// Verifies an opaque token at Clerk.
    pub fn verify_opaque(
        &self,
        kind: TokenKind,
        credential: &Credential<'_>,
        context: &AuthContext,
        io: Io,
    ) -> Result<VerifiedMachine, VerifyError> {
        let Io::Blocking(deadline) = io else {
            return Err(self.machine_tokens.verify_cached(kind, context.hash, context.now, &self.backend));
        };
        let token = credential.token_str().ok_or(Reason::TokenInvalid)?;
        self.machine_tokens.verify(kind, token, context.hash, context.now, deadline, &self.backend)
    }
}
