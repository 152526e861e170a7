//! Revoked sessions and users: their tokens are rejected although they have not expired. Bounded, and fails closed. Processes
//! can exchange theirs: [`Revocations::export`] and [`Revocations::merge`] form a union, whatever the order and number of calls.

use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;
use std::sync::Arc;

use super::invalidations::Scope;
use crate::clock::Now;
use crate::fork_mutex::{ForkMutex, LOOKUP_TIMEOUT, REMOVE_TIMEOUT};
use crate::json;
use crate::reason::Reason;
use crate::revocation::{Revocation, TimedRevocation};
use crate::token::is_clerk_id;

/// Imported expiries this close to the known one are the same: clocks are read at different moments.
const SAME_EXPIRY_MS: i64 = 1000;

/// How far the clocks of two processes, or of Clerk, may differ.
const MAX_CLOCK_DIFFERENCE_MS: i64 = 5 * 60 * 1000;

/// Revocations as processes exchange them. Times are in milliseconds since 1970.
#[derive(serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Export {
    version: u32,
    #[serde(deserialize_with = "json::only_object")]
    sessions: ExportedTable,
    #[serde(deserialize_with = "json::only_object")]
    users: ExportedTable,
}

#[derive(serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
struct ExportedTable {
    /// Tokens issued until then are rejected, because revocations had to be evicted.
    evicted_at_ms: Option<i64>,
    #[serde(deserialize_with = "json::only_objects")]
    entries: Vec<ExportedEntry>,
}

#[derive(serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
struct ExportedEntry {
    id: String,
    revocation: Revocation,
    revoked_at_ms: i64,
    expires_at_ms: i64,
}

impl ExportedEntry {
    fn timed(&self) -> TimedRevocation {
        let ExportedEntry { revocation, revoked_at_ms, expires_at_ms, .. } = *self;
        TimedRevocation { revocation, revoked_at_ms, expires_at_ms }
    }
}

impl Export {
    const VERSION: u32 = 1;

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns `None` unless every member is well-formed.
    pub fn parse(json: &str) -> Option<Self> {
        let export: Export = json::derived(json.as_bytes())?;
        let are_ids = |table: &ExportedTable, prefix| table.entries.iter().all(|entry| is_clerk_id(&entry.id, prefix));
        let is_valid =
            export.version == Self::VERSION && are_ids(&export.sessions, "sess_") && are_ids(&export.users, "user_");
        is_valid.then_some(export)
    }

    /// Returns the ids of the sessions and of the users.
    pub fn ids(&self) -> (Vec<String>, Vec<String>) {
        let ids = |table: &ExportedTable| table.entries.iter().map(|entry| entry.id.clone()).collect();
        (ids(&self.sessions), ids(&self.users))
    }

    /// Returns the revocations of sessions and of users, the oldest of each first.
    pub fn timed(self) -> impl Iterator<Item = (Scope, String, TimedRevocation)> {
        let entries = |table: ExportedTable, scope| table.entries.into_iter().map(move |entry| (scope, entry));
        let all = entries(self.sessions, Scope::Session).chain(entries(self.users, Scope::Subject));
        all.map(|(scope, entry)| {
            let revocation = entry.timed();
            (scope, entry.id, revocation)
        })
    }

    /// Removes the revocations of users for which this returns false.
    pub fn retain_users(&mut self, is_wanted: impl Fn(&str, &TimedRevocation) -> bool) {
        self.users.entries.retain(|entry| is_wanted(&entry.id, &entry.timed()));
    }

    /// Removes the bans of users and the ends of bans, and returns them.
    pub fn take_bans(&mut self) -> Vec<(String, TimedRevocation)> {
        let (bans, others) =
            std::mem::take(&mut self.users.entries).into_iter().partition(|entry| entry.timed().version_ms().is_some());
        self.users.entries = others;
        let timed = |entry: ExportedEntry| {
            let revocation = entry.timed();
            (entry.id, revocation)
        };
        bans.into_iter().map(timed).collect()
    }
}

/// What a merge has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merged {
    /// Whether the tokens of a given session or user are rejected for another reason now, or no longer.
    pub is_changed: bool,
    /// Whether tokens are rejected from now on for the time of their issue.
    pub is_evicting: bool,
}

const UNKNOWN: Merged = Merged { is_changed: true, is_evicting: false };

/// The revocations that webhook events, the application and other processes have recorded.
pub(super) struct Revocations {
    sessions: ForkMutex<Table>,
    users: ForkMutex<Table>,
    /// The tolerated difference between Clerk's clock and this one.
    skew_ms: i64,
}

impl Revocations {
    /// Creates tables for `capacity` users and four times as many sessions. `ttl_ms` is the maximum lifetime of a token.
    pub fn new(capacity: usize, ttl_ms: i64, skew_ms: i64) -> Self {
        let table = |capacity| ForkMutex::new(Table::new(capacity, ttl_ms.saturating_add(skew_ms)));
        Revocations { sessions: table(capacity.saturating_mul(4)), users: table(capacity), skew_ms }
    }

    /// Revokes a session.
    pub fn revoke_session(&self, id: &str, now: Now) {
        put(&self.sessions, id, Revocation::Revoked, now.wall_ms, now);
    }

    /// Revokes all tokens of a user.
    pub fn revoke_user(&self, id: &str, reason: Reason, now: Now) {
        put(&self.users, id, Revocation::of(reason), now.wall_ms, now);
    }

    /// Bans a user, as the user's version says, unless a newer one has ended the ban.
    pub fn ban_user(&self, id: &str, version_ms: i64, now: Now) {
        put(&self.users, id, Revocation::Banned, version_ms, now);
    }

    /// Returns all revocations that have not expired.
    pub fn export(&self, now: Now) -> Option<Export> {
        let table = |table: &ForkMutex<Table>| Some(table.lock(LOOKUP_TIMEOUT)?.export(now));
        Some(Export { version: Export::VERSION, sessions: table(&self.sessions)?, users: table(&self.users)? })
    }

    /// Adds the revocations of another process. Each keeps its expiry, or ends with this client's lifetime of revocations.
    /// Returns whether tokens are rejected from now on for the time of their issue, and the revocations that were not known so.
    pub fn merge(&self, export: &Export, now: Now) -> (bool, Vec<(Scope, String, TimedRevocation)>) {
        let tables = [(Scope::Session, &self.sessions, &export.sessions), (Scope::Subject, &self.users, &export.users)];
        let (mut is_evicting, mut added) = (false, Vec::new());
        for (scope, table, from) in tables {
            if let Some(mut table) = table.lock(REMOVE_TIMEOUT) {
                let merged = table.merge(from, now, |entry| added.push((scope, entry.id.clone(), entry.timed())));
                is_evicting |= merged.is_evicting;
            }
        }
        (is_evicting, added)
    }

    /// Adds one revocation of another process, as [`Self::merge`] does; the end of a ban only if the ban is known.
    pub fn import(&self, is_session: bool, id: &str, revocation: TimedRevocation, now: Now) -> Merged {
        let table = if is_session { &self.sessions } else { &self.users };
        // Without the lock nothing is known, as in `find`.
        let Some(mut table) = table.lock(REMOVE_TIMEOUT) else { return UNKNOWN };
        let TimedRevocation { revocation, revoked_at_ms, expires_at_ms } = revocation;
        // Each update of a user reports one: they would evict what rejects tokens.
        if revocation == Revocation::Lifted && table.find(id, now).is_none() {
            return Merged { is_changed: false, is_evicting: false };
        }
        let entry = ExportedEntry { id: id.to_owned(), revocation, revoked_at_ms, expires_at_ms };
        table.merge(&ExportedTable { evicted_at_ms: None, entries: vec![entry] }, now, |_| ())
    }

    /// Returns whether a user is revoked for this reason.
    pub fn is_user_revoked(&self, id: &str, reason: Reason, now: Now) -> bool {
        self.users.lock(LOOKUP_TIMEOUT).is_none_or(|users| users.find(id, now) == Some(reason))
    }

    /// Returns whether a user is rejected for a ban that only another process has reported: others report its end as well.
    pub fn is_ban_imported(&self, id: &str, now: Now) -> bool {
        let is_imported = |users: &Table| users.entries.get(id).is_some_and(|entry| entry.is_imported);
        let users = self.users.lock(LOOKUP_TIMEOUT);
        users.is_some_and(|users| users.find(id, now) == Some(Reason::UserInactive) && is_imported(&users))
    }

    /// Lifts the revocation of a user, if it is a ban that is older than this version of the user.
    pub fn lift_ban(&self, id: &str, version_ms: i64, now: Now) {
        if let Some(mut users) = self.users.lock(REMOVE_TIMEOUT)
            && users.find(id, now) == Some(Reason::UserInactive)
        {
            users.put(id, Revocation::Lifted, version_ms, now);
        }
    }

    /// Returns why the tokens of a user, or of a session, that were issued at this time are revoked, if they are. In a
    /// forked child whose parent held the lock at the fork that is not known.
    pub fn find(&self, user: Option<&str>, session: Option<&str>, issued_ms: Option<i64>, now: Now) -> Option<Reason> {
        let issued_ms = issued_ms.map(|at| at.saturating_sub(self.skew_ms));
        let look_up = |table: &ForkMutex<Table>, id: Option<&str>| {
            let Some(id) = id else { return Ok((None, false)) };
            let table = table.lock(LOOKUP_TIMEOUT).ok_or(Reason::InternalError)?;
            Ok((table.find(id, now), table.has_evicted_since(issued_ms, now)))
        };
        match (look_up(&self.users, user), look_up(&self.sessions, session)) {
            (Err(reason), _) | (_, Err(reason)) => Some(reason),
            (Ok((by_user, users_evicted)), Ok((by_session, sessions_evicted))) => {
                let evicted = (users_evicted || sessions_evicted).then_some(Reason::SessionRevoked);
                by_user.or(by_session).or(evicted)
            }
        }
    }
}

/// A lock that a fork has left held keeps [`Revocations::find`] from finding anything valid, so nothing is lost.
fn put(table: &ForkMutex<Table>, id: &str, revocation: Revocation, revoked_ms: i64, now: Now) {
    if let Some(mut table) = table.lock(REMOVE_TIMEOUT) {
        table.put(id, revocation, revoked_ms, now);
    }
}

#[derive(Clone, Copy)]
struct Entry {
    revocation: Revocation,
    expires_ms: i64,
    /// As [`TimedRevocation::revoked_at_ms`].
    revoked_ms: i64,
    /// Whether another process has reported it.
    is_imported: bool,
}

impl Entry {
    fn outranks(&self, other: &Entry) -> bool {
        let timed = |entry: &Entry| {
            let (revocation, revoked_at_ms) = (entry.revocation, entry.revoked_ms);
            TimedRevocation { revocation, revoked_at_ms, expires_at_ms: 0 }
        };
        timed(self).outranks(&timed(other))
    }
}

/// What entries were evicted early. Tokens issued later than the newest of them cannot belong to one; those issued before are
/// rejected, until all of them would have expired.
#[derive(Clone, Copy)]
struct Evicted {
    revoked_ms: i64,
    expires_ms: i64,
}

/// Own entries have the same lifetime, so they expire in the order in which they came. Imported ones may expire earlier; then
/// they stay until those before them have expired.
struct Table {
    entries: HashMap<Arc<str>, Entry, RandomState>,
    /// The expiry of each entry, and those of entries that were replaced.
    order: VecDeque<(Arc<str>, i64)>,
    capacity: usize,
    ttl_ms: i64,
    evicted: Option<Evicted>,
}

impl Table {
    fn new(capacity: usize, ttl_ms: i64) -> Self {
        let (entries, order) = (HashMap::default(), VecDeque::new());
        Table { entries, order, capacity: capacity.max(1), ttl_ms, evicted: None }
    }

    fn put(&mut self, id: &str, revocation: Revocation, revoked_ms: i64, now: Now) {
        let expires_ms = now.mono_ms.saturating_add(self.ttl_ms);
        let given = Entry { revocation, expires_ms, revoked_ms, is_imported: false };
        let known = self.entries.get(id).filter(|known| now.mono_ms < known.expires_ms);
        let entry = match known {
            // Nothing ends a deletion, and a ban only what is newer.
            Some(known) if known.outranks(&given) && revocation == Revocation::Lifted => return,
            Some(known) if known.outranks(&given) => {
                // Clerk's version of the user, not a time of this machine.
                let is_version = known.revocation.rank() == 0;
                let revoked_ms = if is_version { known.revoked_ms } else { known.revoked_ms.max(now.wall_ms) };
                Entry { revocation: known.revocation, revoked_ms, ..given }
            }
            _ => given,
        };
        self.insert(id, entry, now);
    }

    fn insert(&mut self, id: &str, entry: Entry, now: Now) {
        while self.order.front().is_some_and(|(_, expires_ms)| *expires_ms <= now.mono_ms) {
            self.pop_first();
        }
        let replaced = self.entries.get(id).map(|known| known.expires_ms);
        while replaced.is_none() && self.entries.len() >= self.capacity && !self.order.is_empty() {
            if let Some(evicted) = self.pop_first()
                && evicted.revocation.reason().is_some()
                && now.mono_ms < evicted.expires_ms
            {
                self.add_evicted(evicted.revoked_ms.min(now.wall_ms), evicted.expires_ms);
            }
        }
        let id: Arc<str> = id.into();
        self.entries.insert(id.clone(), entry);
        if replaced != Some(entry.expires_ms) {
            self.order.push_back((id, entry.expires_ms));
        }
        if self.order.len() > 2 * self.capacity {
            let entries = &self.entries;
            self.order.retain(|(id, expires_ms)| entries.get(id).is_some_and(|entry| entry.expires_ms == *expires_ms));
        }
    }

    /// Removes the first entry and returns it, if it was not replaced by a later one.
    fn pop_first(&mut self) -> Option<Entry> {
        let (id, expires_ms) = self.order.pop_front()?;
        let is_current = self.entries.get(&id).is_some_and(|entry| entry.expires_ms == expires_ms);
        if is_current { self.entries.remove(&id) } else { None }
    }

    fn add_evicted(&mut self, revoked_ms: i64, expires_ms: i64) {
        let given = Evicted { revoked_ms, expires_ms };
        let merged = self.evicted.map_or(given, |known| Evicted {
            revoked_ms: known.revoked_ms.max(revoked_ms),
            expires_ms: known.expires_ms.max(expires_ms),
        });
        self.evicted = Some(merged);
    }

    /// Returns when the newest entry was revoked that was evicted early and has not expired.
    fn evicted_ms(&self, now: Now) -> Option<i64> {
        self.evicted.filter(|evicted| now.mono_ms < evicted.expires_ms).map(|evicted| evicted.revoked_ms)
    }

    fn find(&self, id: &str, now: Now) -> Option<Reason> {
        let entry = self.entries.get(id).filter(|entry| now.mono_ms < entry.expires_ms)?;
        entry.revocation.reason()
    }

    fn export(&self, now: Now) -> ExportedTable {
        let current = self.entries.iter().filter(|(_, entry)| now.mono_ms < entry.expires_ms);
        let mut entries: Vec<_> = current
            .map(|(id, entry)| ExportedEntry {
                id: id.to_string(),
                revocation: entry.revocation,
                revoked_at_ms: entry.revoked_ms,
                expires_at_ms: now.wall_ms.saturating_add(entry.expires_ms - now.mono_ms),
            })
            .collect();
        // If the importer has to evict some, it evicts the oldest.
        entries.sort_by(|a, b| (a.revoked_at_ms, &a.id).cmp(&(b.revoked_at_ms, &b.id)));
        ExportedTable { evicted_at_ms: self.evicted_ms(now), entries }
    }

    /// Calls `on_added` with each entry that changes something.
    fn merge(&mut self, from: &ExportedTable, now: Now, mut on_added: impl FnMut(&ExportedEntry)) -> Merged {
        let (before, mut is_changed) = (self.evicted_ms(now), false);
        if let Some(evicted_ms) = from.evicted_at_ms.map(|ms| ms.min(now.wall_ms))
            // Those that import it from here count from the same moment.
            && let left_ms @ 1.. = evicted_ms.saturating_add(self.ttl_ms).saturating_sub(now.wall_ms)
        {
            self.add_evicted(evicted_ms, now.mono_ms.saturating_add(left_ms));
        }
        for given in &from.entries {
            let left_ms = given.expires_at_ms.saturating_sub(now.wall_ms).min(self.ttl_ms);
            if left_ms <= 0 {
                continue;
            }
            let expires_ms = now.mono_ms.saturating_add(left_ms);
            // A version from the future would hide a later ban.
            let latest_ms = now.wall_ms.saturating_add(MAX_CLOCK_DIFFERENCE_MS);
            if given.revocation == Revocation::Lifted && given.revoked_at_ms > latest_ms {
                continue;
            }
            let is_version = given.timed().version_ms().is_some();
            let revoked_ms = if is_version { given.revoked_at_ms } else { given.revoked_at_ms.min(now.wall_ms) };
            let given_entry = Entry { revocation: given.revocation, expires_ms, revoked_ms, is_imported: true };
            let reason = self.find(&given.id, now);
            let merged = match self.entries.get(given.id.as_str()).filter(|known| now.mono_ms < known.expires_ms) {
                None => given_entry,
                // What other processes report ends no ban that a webhook has reported here.
                Some(known) if given.revocation == Revocation::Lifted && !known.is_imported => continue,
                Some(known) => {
                    let stronger = if given_entry.outranks(known) { given_entry } else { *known };
                    let is_later = expires_ms > known.expires_ms.saturating_add(SAME_EXPIRY_MS);
                    let is_newer_version = is_version && stronger.revoked_ms > known.revoked_ms;
                    if stronger.revocation == known.revocation && !is_later && !is_newer_version {
                        continue;
                    }
                    let is_imported = known.is_imported || known.revocation == Revocation::Lifted;
                    Entry { expires_ms: expires_ms.max(known.expires_ms), is_imported, ..stronger }
                }
            };
            is_changed |= merged.revocation.reason() != reason;
            self.insert(&given.id, merged, now);
            on_added(given);
        }
        Merged { is_changed, is_evicting: self.evicted_ms(now) > before }
    }

    fn has_evicted_since(&self, issued_ms: Option<i64>, now: Now) -> bool {
        self.evicted_ms(now).is_some_and(|evicted_ms| issued_ms.is_none_or(|issued_ms| issued_ms <= evicted_ms))
    }
}

#[cfg(test)]
mod tests;
