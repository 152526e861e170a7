//! The revocations that processes share. Each state has a name of its own, so that what one process stores replaces no stronger
//! state that another stores at the same time.

use super::seal::EntryKind;
use super::{SharedCache, Unavailable};
use crate::clock::Deadline;
use crate::json::Object;
use crate::revocation::{Revocation, TimedRevocation};

/// The revocations of the user and the session of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FoundRevocations {
    pub user: Option<TimedRevocation>,
    /// The newest version of the user that has reported a ban or its end.
    pub version_ms: Option<i64>,
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
            let revocation =
                value.and_then(|sealed| self.open_revocation(kind_of(is_user, state), name, id, state, &sealed));
            let Some(revocation) = revocation else { continue };
            found.version_ms = found.version_ms.max(revocation.version_ms());
            let place = if is_user { &mut found.user } else { &mut found.session };
            if place.is_none_or(|other| revocation.outranks(&other)) {
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
        self.update(kind, id, deadline, |stored: Vec<Option<TimedRevocation>>| {
            let same = |stored: &&TimedRevocation| stored.revocation == state;
            let merged = stored.iter().flatten().filter(same).fold(revocation, |merged, stored| merged.union(stored));
            let ttl_ms = merged.expires_at_ms.saturating_sub(self.clock.now().wall_ms);
            // The second one is of a secret that is being replaced.
            (stored.first() != Some(&Some(merged))).then_some((merged, ttl_ms))
        })
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
        let names = self.sealer.names(kind, id.as_bytes());
        let Some(name) = names.first() else { return Ok(false) };
        if self.put_as(name, id, &revocation, ttl_ms, true, deadline)? {
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

    /// Returns the ban that a version of a user reports, or its end.
    pub fn ban_state(&self, is_banned: bool, version_ms: i64) -> TimedRevocation {
        let state = if is_banned { Revocation::Banned } else { Revocation::Lifted };
        TimedRevocation { revoked_at_ms: version_ms, ..self.revocation(state) }
    }

    fn open_revocation(
        &self,
        kind: EntryKind,
        name: &str,
        id: &str,
        state: Revocation,
        sealed: &[u8],
    ) -> Option<TimedRevocation> {
        let Object(revocation) = self.open::<Object<TimedRevocation>>(kind, name, id, sealed)?;
        (revocation.revocation == state).then_some(revocation)
    }
}
