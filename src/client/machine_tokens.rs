//! Opaque machine tokens: Clerk verifies them, once for all that present the same one at the same time.

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

    /// Verifies a token by asking Clerk.
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
