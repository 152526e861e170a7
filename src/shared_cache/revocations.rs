//! The revocations that processes share. Each state has a name of its own, so that what one process stores replaces no stronger
//! state that another stores at the same time.

use super::seal::EntryKind;
use super::{SharedCache, Unavailable};
use crate::clock::Deadline;
use crate::json::Object;
use crate::revocation::{Revocation, TimedRevocation};

/// How often an entry is read and stored again if another process stores one meanwhile.
const MAX_ATTEMPTS: u32 = 4;

/// The revocations of the user and the session of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FoundRevocations {
    pub user: Option<TimedRevocation>,
    pub session: Option<TimedRevocation>,
}

/// The names of what is known of a user, by state.
const OF_USER: [(Revocation, EntryKind); 4] = [
    (Revocation::Lifted, EntryKind::UserBanEnd),
    (Revocation::Banned, EntryKind::UserBan),
    (Revocation::Revoked, EntryKind::UserRevocation),
    (Revocation::Deleted, EntryKind::UserDeletion),
];

fn kind_of(is_user: bool, state: Revocation) -> EntryKind {
    let kind = OF_USER.iter().find(|(of_user, _)| is_user && *of_user == state);
    kind.map_or(EntryKind::SessionRevocation, |(_, kind)| *kind)
}

impl SharedCache {
    /// Returns the strongest revocations of a user and of a session.
    pub fn revocations(
        &self,
        user: Option<&str>,
        session: Option<&str>,
        deadline: Deadline,
    ) -> Result<FoundRevocations, Unavailable> {
        let mut wanted = Vec::new();
        let mut names = Vec::new();
        let of_session = (Revocation::Revoked, EntryKind::SessionRevocation);
        let of_user = user.into_iter().flat_map(|id| OF_USER.map(|state| (state, id, true)));
        for ((state, kind), id, is_user) in of_user.chain(session.map(|id| (of_session, id, false))) {
            for name in self.sealer.names(kind, id.as_bytes()) {
                wanted.push((state, id, is_user));
                names.push(name);
            }
        }
        let mut found = FoundRevocations::default();
        if names.is_empty() {
            return Ok(found);
        }
        let values = self.get(&names, deadline)?;
        for (((state, id, is_user), name), value) in wanted.into_iter().zip(&names).zip(values) {
            let place = if is_user { &mut found.user } else { &mut found.session };
            if let Some(revocation) = value.and_then(|sealed| self.open_revocation(name, id, state, &sealed))
                && place.is_none_or(|other| revocation.outranks(&other))
            {
                *place = Some(revocation);
            }
        }
        Ok(found)
    }

    /// Stores the revocation of a user or of a session, unless the same one is stored and lasts as long.
    pub fn put_revocation(
        &self,
        user: Option<&str>,
        session: Option<&str>,
        revocation: TimedRevocation,
        deadline: Deadline,
    ) -> Result<(), Unavailable> {
        let (state, kind) = (revocation.revocation, kind_of(user.is_some(), revocation.revocation));
        let Some(id) = user.or(session) else { return Ok(()) };
        let names = self.sealer.names(kind, id.as_bytes());
        for attempt in 1..=MAX_ATTEMPTS {
            let values = self.get(&names, deadline)?;
            let is_absent = values.first().is_none_or(Option::is_none);
            let mut known = names
                .iter()
                .zip(values)
                .map(|(name, value)| value.and_then(|sealed| self.open_revocation(name, id, state, &sealed)));
            // The other one is of a secret that is being replaced.
            let stored = known.next().flatten();
            let merged = known.flatten().chain(stored).fold(revocation, |merged, known| merged.union(&known));
            if stored == Some(merged) {
                break;
            }
            let ttl_ms = merged.expires_at_ms.saturating_sub(self.clock.now().wall_ms);
            let only_if_absent = is_absent && attempt < MAX_ATTEMPTS;
            if self.put_if(kind, id.as_bytes(), id, &merged, ttl_ms, only_if_absent, deadline)? {
                break;
            }
        }
        Ok(())
    }

    /// Stores a revocation that the engine may have lost, unless it or a stronger one is stored. Returns whether it was stored: of
    /// several processes that do so, by one.
    pub fn restore_revocation(
        &self,
        user: Option<&str>,
        session: Option<&str>,
        revocation: TimedRevocation,
        deadline: Deadline,
    ) -> Result<bool, Unavailable> {
        let Some(id) = user.or(session) else { return Ok(false) };
        let kind = kind_of(user.is_some(), revocation.revocation);
        let is_lost = || {
            let known = self.revocations(user, session, deadline)?;
            Ok(known.user.or(known.session).is_none_or(|known| revocation.outranks(&known)))
        };
        if !is_lost()? {
            return Ok(false);
        }
        let ttl_ms = revocation.expires_at_ms.saturating_sub(self.clock.now().wall_ms);
        if self.put_if(kind, id.as_bytes(), id, &revocation, ttl_ms, true, deadline)? {
            return Ok(true);
        }
        // There is an older one of this state, or another process has stored it meanwhile.
        let is_lost = is_lost()?;
        if is_lost {
            self.put_revocation(user, session, revocation, deadline)?;
        }
        Ok(is_lost)
    }

    /// Returns the revocation of now with its end.
    pub fn revocation(&self, revocation: Revocation) -> TimedRevocation {
        let now_ms = self.clock.now().wall_ms;
        let expires_at_ms = now_ms.saturating_add(self.lifetimes.revocation_ttl_ms);
        TimedRevocation { revocation, revoked_at_ms: now_ms, expires_at_ms }
    }

    fn open_revocation(&self, name: &str, id: &str, state: Revocation, sealed: &[u8]) -> Option<TimedRevocation> {
        let Object(revocation) = self.open::<Object<TimedRevocation>>(name, id, sealed)?;
        (revocation.revocation == state).then_some(revocation)
    }
}
