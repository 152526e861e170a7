//! What is known of a session or a user whose tokens must be rejected.

use crate::reason::Reason;

/// What is known of a session or a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Revocation {
    /// A ban that was lifted. Keeps an older report of the ban from coming back.
    Lifted,
    Banned,
    /// By the application, or an ended session.
    Revoked,
    Deleted,
}

impl Revocation {
    /// Returns why tokens are rejected; `None` if they are not.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Revocation::Lifted => None,
            Revocation::Banned => Some(Reason::UserInactive),
            Revocation::Revoked => Some(Reason::SessionRevoked),
            Revocation::Deleted => Some(Reason::UserNotFound),
        }
    }

    /// Returns the revocation whose tokens are rejected for this reason.
    pub fn of(reason: Reason) -> Self {
        match reason {
            Reason::UserNotFound => Revocation::Deleted,
            Reason::UserInactive => Revocation::Banned,
            _ => Revocation::Revoked,
        }
    }

    /// Of a ban and its end, the later one takes precedence; what cannot be lifted takes precedence over both.
    pub fn rank(self) -> u8 {
        match self {
            Revocation::Lifted | Revocation::Banned => 0,
            Revocation::Revoked => 1,
            Revocation::Deleted => 2,
        }
    }
}

/// A revocation and its times, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct TimedRevocation {
    pub revocation: Revocation,
    /// When it was recorded. Of a ban and its end, the version of the user that reported it, which is their order.
    pub revoked_at_ms: i64,
    pub expires_at_ms: i64,
}

impl TimedRevocation {
    /// Returns what two reports of the same state say together.
    pub fn union(&self, other: &TimedRevocation) -> TimedRevocation {
        TimedRevocation {
            revocation: self.revocation,
            revoked_at_ms: self.revoked_at_ms.max(other.revoked_at_ms),
            expires_at_ms: self.expires_at_ms.max(other.expires_at_ms),
        }
    }

    /// Returns whether this one takes precedence over the other.
    pub fn outranks(&self, other: &TimedRevocation) -> bool {
        self.strength() > other.strength()
    }

    /// An end of a ban has to be newer than the ban.
    fn strength(&self) -> (u8, i64, bool) {
        (self.revocation.rank(), self.revoked_at_ms, self.revocation == Revocation::Banned)
    }

    /// Returns the version of the user that reported a ban or its end; `None` of others.
    pub fn version_ms(&self) -> Option<i64> {
        (self.revocation.rank() == 0).then_some(self.revoked_at_ms)
    }
}
