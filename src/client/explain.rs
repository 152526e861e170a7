//! Why a token is rejected: the explanation of any token, and the debug line of a rejected request.

use super::auth_context::{AuthContext, VerifiedToken};
use super::auth_result::{AuthError, AuthResult, Cause, Outcome, VerifyError};
use super::inner::Inner;
use crate::clock::Now;
use crate::events::Level;
use crate::identity::Identity;
use crate::jwt::{Check, Decoded, Expectations, Explanation, UnverifiedJwt, explain, quoted_bytes};
use crate::reason::Reason;
use crate::request::{Credential, Request, TokenSource};
use crate::token::{TokenFormat, TokenHash, TokenKind, detect_format};

impl Inner {
    /// Explains a token by what is in memory: no request to Clerk, no query to the user store.
    pub fn explain(&self, token: &[u8], source: TokenSource, now: Now) -> Explanation {
        let expectations = Expectations {
            policy: &self.settings.policy,
            accepts: &self.settings.accepts,
            source,
            keys: &|kid| self.keys.known(kid),
            is_refused: &|kid| self.keys.refusal(kid, now.mono_ms).is_some(),
            wall_ms: now.wall_ms,
        };
        let mut explanation = explain(token, &expectations);
        if detect_format(token) == TokenFormat::Jwt {
            explanation.push(self.revocation_check(token, explanation.reason().is_some(), now));
        }
        explanation
    }

    /// Checks what this process knows of the session and the user.
    fn revocation_check(&self, token: &[u8], is_rejected: bool, now: Now) -> Check {
        const NAME: &str = "revocation";
        const EXPECTED: &str = "neither session nor user known as revoked, ended or banned";
        let mut decoded = Decoded::default();
        let parsed = std::str::from_utf8(token).ok().filter(|_| !is_rejected).and_then(|token| {
            let jws = UnverifiedJwt::parse(token, &mut decoded).ok()?;
            Some((jws.kind(), jws.into_claims()))
        });
        let Some((kind, claims)) = parsed else {
            return Check::skipped(NAME, EXPECTED, "the token is rejected before");
        };
        let (subject, session) = (claims.sub.as_deref().unwrap_or_default(), claims.sid.as_deref());
        let keys = self.invalidations.token_keys(&TokenHash::of(token), subject, session, None);
        let token = VerifiedToken {
            identity: Identity::of_claims(kind, &claims),
            key_id: None,
            secret: None,
            keys,
            not_before_ms: i64::MIN,
            expires_at_ms: i64::MAX,
        };
        match self.check_known(&token, now) {
            Err(VerifyError::Refused(error)) => {
                Check::failed(NAME, error.reason, EXPECTED, error.reason.as_str(), of_reason(error.reason))
            }
            Ok(()) | Err(VerifyError::WouldBlock) => Check::ok(NAME, EXPECTED, "not known as revoked in this process"),
        }
    }

    /// Adds to an error what the debug line says of the token. Does nothing if that line is not logged.
    pub fn with_detail(&self, error: AuthError, credential: &Credential<'_>, context: &AuthContext) -> AuthError {
        if !self.backend.events.is_logged(Level::Debug) || error.cause.is_some() {
            return error;
        }
        let explanation = self.explain(credential.token, credential.source, context.now);
        let detail = match (explanation.failure(error.reason), detect_format(credential.token)) {
            (Some(failure), _) => Some(failure.to_owned()),
            (None, TokenFormat::Opaque(kind)) => of_opaque(kind, error.reason),
            (None, TokenFormat::Jwt) => None,
        };
        AuthError { detail, ..error }
    }

    /// Returns what the debug line says of a cookie without evidence of the same origin.
    pub fn csrf_detail(&self, request: &Request<'_>) -> Option<String> {
        self.backend.events.is_logged(Level::Debug).then(|| {
            let shown = |(name, value): (&str, Option<&[u8]>)| match value {
                Some(value) => format!("{name} {}", quoted_bytes(value)),
                None => format!("no {name}"),
            };
            let found: Vec<_> = request.origin_headers().into_iter().map(shown).collect();
            format!("a cookie, but {}: not the same origin, and not in authorized_parties", found.join(", "))
        })
    }

    /// Returns what the debug line says of a request without a credential that has an `Authorization` header.
    pub fn scheme_detail(&self, request: &Request<'_>) -> Option<String> {
        (self.backend.events.is_logged(Level::Debug) && request.has_authorization())
            .then(|| "the Authorization header does not begin with `Bearer `, and there is no session cookie".into())
    }

    /// Logs why a request is not signed in, in one line.
    pub fn log_rejection(&self, token_hash: Option<TokenHash>, result: &AuthResult) {
        self.backend.events.log(Level::Debug, || {
            let (what, reason) = match result.outcome() {
                Outcome::Unavailable { reason, .. } => ("unavailable", reason),
                Outcome::SignedOut { reason } => ("rejected", reason),
                Outcome::NoCredentials { reason } => ("no credentials", reason),
                Outcome::SignedIn { .. } => ("accepted", Reason::InternalError),
            };
            let detail = match (result.detail(), result.cause()) {
                (Some(detail), _) => detail.to_owned(),
                (None, Some(Cause::Api(error))) => error.to_string(),
                // The message is the application's own.
                (None, Some(Cause::UserStore { code, .. })) => {
                    format!("the user store failed with code {code}; the error of the result has its message")
                }
                (None, None) => of_reason(reason).to_owned(),
            };
            match token_hash {
                Some(hash) => format!("{what}: {reason}: {detail} (token {hash})"),
                None => format!("{what}: {reason}: {detail}"),
            }
        });
    }
}

fn of_opaque(kind: TokenKind, reason: Reason) -> Option<String> {
    let what = match reason {
        Reason::TokenInvalid => "unknown, revoked or expired at Clerk, or malformed",
        Reason::TokenInvalidAudience => "its scopes lack expected_machine_id",
        _ => return None,
    };
    Some(format!("opaque {}: {what}", kind.as_str()))
}

/// Returns what a reason means where the token itself does not show it.
fn of_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::SessionTokenMissing => "neither an Authorization: Bearer header nor a session cookie",
        Reason::TokenInvalid => {
            "the Authorization header is not `Bearer <token>`, is there twice, or the cookies are too long"
        }
        Reason::UserNotFound => "Clerk has no user with the id in sub: deleted, or another instance's",
        Reason::UserInactive => "the user is banned or deprovisioned at Clerk, or the row is not active",
        Reason::SessionPending => "the session has pending tasks",
        Reason::SessionRevoked => {
            "the session or all sessions of the user were revoked, or Clerk says that it is not active"
        }
        Reason::LinkConflict => "a row with the address or the username of the user belongs to another Clerk user",
        Reason::StoreError => "the user store failed",
        Reason::SessionTokenAndUatMissing => "no session cookie, and __client_uat says that the browser is signed out",
        Reason::SessionTokenButNoClientUat => "a session cookie, but __client_uat says that the browser is signed out",
        Reason::ClientUatButNoSessionToken => {
            "__client_uat says that the browser is signed in, but there is no session cookie"
        }
        Reason::SessionTokenIatBeforeClientUat => "iat is before the last sign-in or sign-out in __client_uat",
        Reason::CsrfFailed => "a cookie on an unsafe method without evidence of the same origin",
        Reason::JwkFailedToLoad | Reason::JwkRemoteInvalid => "the key set could not be fetched",
        Reason::JwkFailedToResolve => "no key is configured for this type of token",
        Reason::SecretKeyInvalid => "Clerk rejects the secret key",
        Reason::ServerError => "Clerk is unavailable, or the user was invalidated again and again",
        Reason::InternalError => "internal error",
        _ => "see the reason",
    }
}
