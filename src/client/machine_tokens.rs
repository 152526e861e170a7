//! Opaque machine tokens, verified by Clerk: concurrent requests with the same token share one call.

use std::sync::Arc;

use super::admission::{Admission, Standing};
use super::auth_result::{AuthError, VerifyError};
use super::backend::Backend;
use super::changes::Changes;
use super::invalidations::{Invalidations, TokenKeys};
use crate::api::{ApiError, Caller, ErrorKind, MachineToken};
use crate::clock::{Deadline, Now};
use crate::reason::Reason;
use crate::shared_cache::{MachineTokenId, SharedCache};
use crate::single_flight::{Flight, SingleFlight};
use crate::token::{TokenHash, TokenKind};

/// Clerk's response and what follows from it.
type Verified = (Result<Result<MachineToken, Reason>, ApiError>, Begun);

/// How old Clerk's response is.
#[derive(Clone, Copy, Default)]
struct Begun {
    /// The number of the last invalidation when this process asked for it.
    sequence: u64,
    /// When Clerk was asked, by this process or another.
    verified_at_ms: i64,
}

/// One verification of a token.
struct Attempt<'a> {
    kind: TokenKind,
    token: &'a str,
    hash: TokenHash,
    /// The number of the last invalidation when it began.
    begun: u64,
    now: Now,
    deadline: Deadline,
}

/// A verified opaque token.
pub(super) struct VerifiedMachine {
    pub token: MachineToken,
    pub keys: TokenKeys,
    /// The number of the last invalidation when the call to Clerk began.
    pub begun: u64,
    /// When Clerk was asked, by this process or another.
    pub verified_at_ms: i64,
}

pub(super) struct MachineTokens {
    /// By token and the number of its last invalidation.
    in_flight: SingleFlight<(TokenHash, u64), Verified>,
    admission: Admission,
    invalidations: Arc<Invalidations>,
    /// What the scopes of an M2M token must contain.
    expected_machine_id: Option<String>,
    shared: Option<Arc<SharedCache>>,
    changes: Arc<Changes>,
}

impl MachineTokens {
    /// `cache_ttl_ms` is how long results of opaque tokens are cached.
    pub fn new(
        expected_machine_id: Option<String>,
        cache_ttl_ms: i64,
        invalidations: Arc<Invalidations>,
        shared: Option<Arc<SharedCache>>,
        changes: Arc<Changes>,
    ) -> Self {
        let (in_flight, admission) = (SingleFlight::default(), Admission::new(cache_ttl_ms));
        MachineTokens { in_flight, admission, invalidations, expected_machine_id, shared, changes }
    }

    /// Returns what can be said of a token without a call to Clerk: nothing, or that it is refused, or that no call may be sent
    /// now.
    pub fn verify_cached(&self, kind: TokenKind, hash: TokenHash, now: Now, backend: &Backend) -> VerifyError {
        let is_known = match self.admission.standing(&hash, now) {
            Standing::Refused(reason) => return reason.into(),
            Standing::Valid => true,
            Standing::Unknown => false,
        };
        let caller = if is_known { Caller::Known } else { Caller::Unknown(&|| false) };
        let key = (hash, self.invalidations.last(self.invalidations.token_key(&hash)));
        let is_open = backend.api.machine_circuit_error(kind, caller);
        let is_limited = !is_known && !self.in_flight.is_running(&key);
        let error = is_open.or_else(|| self.admission.would_refuse(now).filter(|_| is_limited));
        error.map_or(VerifyError::WouldBlock, |error| VerifyError::Refused(AuthError::unavailable(error)))
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
        let unavailable = |error| VerifyError::Refused(AuthError::unavailable(error));
        let call = |caller: Caller<'_>| {
            let begun = self.invalidations.sequence();
            let attempt = Attempt { kind, token, hash, begun, now, deadline };
            let (response, verified_at_ms) = self.obtain(&attempt, caller, backend);
            let checked = response.map(|machine| self.check_machine(kind, machine));
            if let Ok(checked) = &checked {
                let key = self.invalidations.token_key(&hash);
                let is_current = || !self.invalidations.is_key_invalidated_since(begun, key);
                self.admission.record(hash, checked.as_ref().err().copied(), now, is_current);
            }
            (checked, Begun { sequence: begun, verified_at_ms })
        };
        let key = (hash, self.invalidations.last(self.invalidations.token_key(&hash)));
        let flight = match self.admission.standing(&hash, now) {
            Standing::Refused(reason) => return Err(reason.into()),
            Standing::Valid => self.in_flight.run(&key, deadline, || call(Caller::Known)),
            Standing::Unknown => {
                let may_retry = || self.admission.may_retry(now);
                let caller = Caller::Unknown(&may_retry);
                let _waiting = self.admission.try_wait().map_err(unavailable)?;
                let mut permit = Ok(None);
                let mut may_start = || {
                    permit = match backend.api.machine_circuit_error(kind, caller) {
                        Some(error) => Err(error),
                        None => self.admission.try_call(now).map(Some),
                    };
                    permit.is_ok()
                };
                let joined = self.in_flight.run_if(&key, deadline, &mut may_start, || call(caller));
                match (joined, permit) {
                    (_, Err(error)) => return Err(unavailable(error)),
                    (joined, Ok(_)) => joined.unwrap_or(Flight::Abandoned),
                }
            }
        };
        let (checked, begun) = match flight {
            Flight::Complete(verified) => verified,
            Flight::Cancelled => (Err(ApiError::new(ErrorKind::Cancelled)), Begun::default()),
            Flight::TimedOut | Flight::Abandoned => (Err(ApiError::new(ErrorKind::Timeout)), Begun::default()),
        };
        let machine = checked.map_err(unavailable)??;
        let organization = Some(machine.subject.as_str()).filter(|subject| subject.starts_with("org_"));
        let keys = self.invalidations.token_keys(&hash, &machine.subject, None, organization);
        Ok(VerifiedMachine { token: machine, keys, begun: begun.sequence, verified_at_ms: begun.verified_at_ms })
    }

    /// Returns Clerk's response and when it was asked: by another process, which has the same secret, or now.
    fn obtain(
        &self,
        attempt: &Attempt<'_>,
        caller: Caller<'_>,
        backend: &Backend,
    ) -> (Result<Option<MachineToken>, ApiError>, i64) {
        let &Attempt { kind, token, ref hash, begun, now, deadline } = attempt;
        // What this process has invalidated is not used before the others know it.
        let shared = self.shared.as_ref().filter(|_| !self.changes.has_unsent_invalidation_of_token(hash));
        let verifier = backend.api.machine_credential(kind).ok().filter(|_| shared.is_some());
        let verifier = verifier.map(|secret| TokenHash::of(secret.expose().as_bytes()));
        let mut target = None;
        if let Some((shared, verifier)) = shared.zip(verifier.as_ref()) {
            let id = MachineTokenId { kind: kind.as_str(), hash: &hash.0, verifier: &verifier.0 };
            let found = shared.machine_token(&id, deadline);
            if let Some((machine, verified_at_ms)) = found.token {
                return (Ok(Some(machine)), verified_at_ms);
            }
            target = found.generation.map(|generation| (shared, id, generation));
        }
        let response = backend.machine_token(caller, kind, token, now.wall_ms, deadline);
        let key = self.invalidations.token_key(hash);
        if let (Some((shared, id, generation)), Ok(Some(machine))) = (target, &response)
            && !self.invalidations.is_key_invalidated_since(begun, key)
        {
            shared.put_machine_token(&id, machine, now.wall_ms, generation, deadline);
        }
        (response, now.wall_ms)
    }

    fn check_machine(&self, kind: TokenKind, machine: Option<MachineToken>) -> Result<MachineToken, Reason> {
        let machine = machine.ok_or(Reason::TokenInvalid)?;
        let expected = self.expected_machine_id.as_ref().filter(|_| kind == TokenKind::M2mToken);
        match expected {
            Some(id) if !machine.scopes.contains(id) => Err(Reason::TokenInvalidAudience),
            _ => Ok(machine),
        }
    }

    /// Removes the refusal of a token.
    pub fn remove_refusal(&self, hash: &TokenHash) {
        self.admission.remove_refusal(hash);
    }

    /// Removes all refusals.
    pub fn clear_refusals(&self) {
        self.admission.clear_refusals();
    }

    /// Ends the waits of callers that have joined a call.
    pub fn cancel_waits(&self) {
        self.in_flight.cancel();
    }

    pub fn reset_after_fork(&self) {
        self.in_flight.reset_after_fork();
        self.admission.reset_after_fork();
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
        response: impl Fn() -> (u16, &'static str) + Send + Sync + 'static,
    ) -> Result<VerifiedMachine, VerifyError> {
        let secret = Some(Secret::new("sk_test_x"));
        let transport = Arc::new(Verifier(Box::new(response)));
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
    fn clerks_response_and_the_expected_machine_decide() {
        let tokens = |expected: Option<&str>| {
            MachineTokens::new(expected.map(str::to_owned), 0, Arc::default(), None, Arc::default())
        };
        assert_eq!(reason(verify(&tokens(None), || (200, M2M))), None);
        assert_eq!(reason(verify(&tokens(Some("mch_2")), || (200, M2M))), None);
        assert_eq!(reason(verify(&tokens(Some("mch_3")), || (200, M2M))), Some(Reason::TokenInvalidAudience));
        let error = r#"{"errors":[{"code":"x"}]}"#;
        assert_eq!(reason(verify(&tokens(None), move || (404, error))), Some(Reason::TokenInvalid));
        assert_eq!(reason(verify(&tokens(None), move || (401, error))), Some(Reason::SecretKeyInvalid));
        assert_eq!(reason(verify(&tokens(None), || (404, "{}"))), Some(Reason::ServerError));
        assert_eq!(reason(verify(&tokens(None), || (401, "{}"))), Some(Reason::ServerError));
        assert_eq!(reason(verify(&tokens(None), || (429, "{}"))), Some(Reason::ServerError));
    }

    #[test]
    fn verification_carries_the_sequence_of_its_begin() {
        let invalidations = Arc::new(Invalidations::default());
        let tokens = MachineTokens::new(None, 0, invalidations.clone(), None, Arc::default());
        let shared = invalidations.clone();
        let verified = verify(&tokens, move || {
            shared.record(shared.key(super::super::invalidations::Scope::Subject, "mch_1"));
            (200, M2M)
        });
        let verified = verified.unwrap_or_else(|_| panic!());
        assert!(invalidations.is_invalidated_since(verified.begun, &verified.keys));
    }
}
