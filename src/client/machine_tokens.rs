//! Opaque machine tokens, verified by Clerk: concurrent requests with the same token share one call.

use std::sync::Arc;

use super::auth_result::{AuthError, VerifyError};
use super::backend::Backend;
use super::invalidations::{Invalidations, TokenKeys};
use crate::api::{ApiError, ErrorKind, MachineToken};
use crate::clock::{Deadline, Now};
use crate::identity::{Attribute, Identity};
use crate::reason::Reason;
use crate::single_flight::{Flight, SingleFlight};
use crate::token::{TokenHash, TokenKind};

type Verified = (Result<Option<MachineToken>, ApiError>, u64);

/// A verified opaque token.
pub(super) struct VerifiedMachine {
    pub identity: Identity,
    pub keys: TokenKeys,
    /// The number of the last invalidation when the call to Clerk began.
    pub begun: u64,
}

pub(super) struct MachineTokens {
    /// By token and the number of its last invalidation.
    in_flight: SingleFlight<(TokenHash, u64), Verified>,
    invalidations: Arc<Invalidations>,
    /// What the scopes of an M2M token must contain.
    expected_machine_id: Option<String>,
}

impl MachineTokens {
    pub fn new(expected_machine_id: Option<String>, invalidations: Arc<Invalidations>) -> Self {
        MachineTokens { in_flight: SingleFlight::default(), invalidations, expected_machine_id }
    }

    /// Verifies a token at Clerk.
    pub fn verify(
        &self,
        kind: TokenKind,
        token: &str,
        hash: TokenHash,
        now: Now,
        deadline: Deadline,
        backend: &Backend,
    ) -> Result<VerifiedMachine, VerifyError> {
        let last = self.invalidations.last(self.invalidations.token_key(&hash));
        let flight = self.in_flight.run(&(hash, last), deadline, || {
            let begun = self.invalidations.sequence();
            (backend.machine_token(kind, token, now.wall_ms, deadline), begun)
        });
        let (outcome, begun) = match flight {
            Flight::Complete(verified) => verified,
            Flight::TimedOut | Flight::Abandoned => (Err(ApiError::new(ErrorKind::Timeout)), 0),
        };
        let machine = outcome.map_err(|error| VerifyError::Refused(AuthError::unavailable(error)))?;
        let machine = machine.ok_or(Reason::TokenInvalid)?;
        let expected = self.expected_machine_id.as_ref().filter(|_| kind == TokenKind::M2mToken);
        if expected.is_some_and(|id| !machine.scopes.contains(id)) {
            return Err(Reason::TokenInvalidAudience.into());
        }
        let identity = Identity::of_machine_token(kind, &machine);
        let keys = self.invalidations.token_keys(&hash, identity.subject(), None, identity.get(Attribute::OrgId));
        Ok(VerifiedMachine { identity, keys, begun })
    }

    pub fn reset_after_fork(&self) {
        self.in_flight.reset_after_fork();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::metrics::Metrics;
    use super::*;
    use crate::api::{Api, Request, Response, Transport, TransportError};
    use crate::clock::Clock;
    use crate::config::Secret;
    use crate::events::EventHandlers;

    type OnCall = dyn Fn() -> (u16, &'static str) + Send + Sync;

    struct Verifier(Box<OnCall>);

    impl Transport for Verifier {
        fn send(&self, _: &Request<'_>, _: Duration) -> Result<Response, TransportError> {
            let (status, body) = (self.0)();
            Ok(Response { status, retry_after: None, trace_id: None, body: body.into() })
        }
        fn reset_after_fork(&self) -> bool {
            false
        }
        fn shutdown(&self) {}
    }

    const M2M: &str = r#"{"object":"machine_to_machine_token","id":"mt_1","subject":"mch_1","scopes":["mch_2"],
        "revoked":false,"expired":false}"#;

    fn verify(
        tokens: &MachineTokens,
        answer: impl Fn() -> (u16, &'static str) + Send + Sync + 'static,
    ) -> Result<VerifiedMachine, VerifyError> {
        let secret = Some(Secret::new("sk_test_x"));
        let transport = Arc::new(Verifier(Box::new(answer)));
        let api = Api::new(transport, "http://127.0.0.1".into(), secret, None, None, Clock::system());
        let backend = Backend { api, events: Arc::new(EventHandlers::default()), metrics: Metrics::default() };
        let now = Now { wall_ms: 0, mono_ms: 0 };
        let deadline = Deadline::after(Duration::from_secs(5));
        tokens.verify(TokenKind::M2mToken, "mt_x", TokenHash::of(b"mt_x"), now, deadline, &backend)
    }

    fn reason(outcome: Result<VerifiedMachine, VerifyError>) -> Option<Reason> {
        match outcome {
            Ok(_) => None,
            Err(VerifyError::Refused(error)) => Some(error.reason),
            Err(VerifyError::WouldBlock) => panic!("a deadline was given"),
        }
    }

    #[test]
    fn clerks_response_and_expected_machine_id_are_checked() {
        let tokens = |expected: Option<&str>| MachineTokens::new(expected.map(str::to_owned), Arc::default());
        assert_eq!(reason(verify(&tokens(None), || (200, M2M))), None);
        assert_eq!(reason(verify(&tokens(Some("mch_2")), || (200, M2M))), None);
        assert_eq!(reason(verify(&tokens(Some("mch_3")), || (200, M2M))), Some(Reason::TokenInvalidAudience));
        assert_eq!(reason(verify(&tokens(None), || (404, "{}"))), Some(Reason::TokenInvalid));
        assert_eq!(reason(verify(&tokens(None), || (401, "{}"))), Some(Reason::SecretKeyInvalid));
        assert_eq!(reason(verify(&tokens(None), || (429, "{}"))), Some(Reason::ServerError));
    }

    #[test]
    fn verification_carries_the_sequence_of_its_begin() {
        let invalidations = Arc::new(Invalidations::default());
        let tokens = MachineTokens::new(None, invalidations.clone());
        let shared = invalidations.clone();
        let verified = verify(&tokens, move || {
            shared.record(shared.key(super::super::invalidations::Scope::Subject, "mch_1"));
            (200, M2M)
        });
        let verified = verified.unwrap_or_else(|_| panic!());
        assert!(invalidations.is_invalidated_since(verified.begun, &verified.keys));
    }
}
