//! Revoked sessions and users: their tokens are rejected although they have not expired. Bounded, and fails closed.

use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;
use std::sync::Arc;

use crate::clock::Now;
use crate::fork_mutex::{ForkMutex, LOOKUP_TIMEOUT, REMOVE_TIMEOUT};
use crate::jwt::Claims;
use crate::reason::Reason;

/// The revocations that webhook events have recorded.
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
        put(&self.sessions, id, Reason::SessionRevoked, now);
    }

    /// Revokes all tokens of a user.
    pub fn revoke_user(&self, id: &str, reason: Reason, now: Now) {
        put(&self.users, id, reason, now);
    }

    /// Returns whether a user is revoked for this reason.
    pub fn is_user_revoked(&self, id: &str, reason: Reason, now: Now) -> bool {
        self.users.lock(LOOKUP_TIMEOUT).is_none_or(|users| users.get(id, now) == Some(reason))
    }

    /// Removes the revocation of a user, if it is for this reason.
    pub fn remove_user(&self, id: &str, reason: Reason) {
        if let Some(mut users) = self.users.lock(REMOVE_TIMEOUT) {
            users.remove_if_reason(id, reason);
        }
    }

    /// Returns why a token with these claims is revoked, if it is. Returns [`Reason::InternalError`]
    /// if the lock cannot be acquired in a forked child.
    pub fn find(&self, claims: &Claims, now: Now) -> Option<Reason> {
        let issued_ms = Claims::millis(&claims.iat).get().map(|at| at.saturating_sub(self.skew_ms));
        let session = claims.sid.get().map(String::as_str);
        let user = claims.sub.get().map(String::as_str).filter(|sub| sub.starts_with("user_"));
        let look_up = |table: &ForkMutex<Table>, id: Option<&str>| {
            let Some(id) = id else { return Ok((None, false)) };
            let table = table.lock(LOOKUP_TIMEOUT).ok_or(Reason::InternalError)?;
            Ok((table.get(id, now), table.has_evicted_since(issued_ms)))
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

/// If a lock was held across a fork, [`Revocations::find`] rejects every token: no revocation is ignored.
fn put(table: &ForkMutex<Table>, id: &str, reason: Reason, now: Now) {
    if let Some(mut table) = table.lock(REMOVE_TIMEOUT) {
        table.put(id, reason, now);
    }
}

struct Entry {
    id: Arc<str>,
    expires_ms: i64,
    /// When it was revoked, by the wall clock.
    revoked_ms: i64,
}

/// All entries have the same lifetime, so they expire in the order of insertion.
struct Table {
    reasons: HashMap<Arc<str>, (Reason, i64), RandomState>,
    order: VecDeque<Entry>,
    capacity: usize,
    ttl_ms: i64,
    /// When the newest entry that was evicted early was revoked. Tokens issued later cannot belong to an evicted entry;
    /// those issued before are rejected.
    evicted_ms: Option<i64>,
}

impl Table {
    fn new(capacity: usize, ttl_ms: i64) -> Self {
        let (reasons, order) = (HashMap::default(), VecDeque::new());
        Table { reasons, order, capacity: capacity.max(1), ttl_ms, evicted_ms: None }
    }

    fn put(&mut self, id: &str, reason: Reason, now: Now) {
        let expires_ms = now.mono_ms.saturating_add(self.ttl_ms);
        while self.order.front().is_some_and(|first| first.expires_ms <= now.mono_ms) {
            self.pop_first();
        }
        if self.order.len() >= self.capacity
            && let Some(revoked_ms) = self.pop_first()
        {
            self.evicted_ms = self.evicted_ms.max(Some(revoked_ms));
        }
        let id: Arc<str> = id.into();
        self.reasons.insert(id.clone(), (reason, expires_ms));
        self.order.push_back(Entry { id, expires_ms, revoked_ms: now.wall_ms });
    }

    fn pop_first(&mut self) -> Option<i64> {
        let first = self.order.pop_front()?;
        // One that was revoked again has a later entry.
        if self.reasons.get(&first.id).is_some_and(|(_, expires_ms)| *expires_ms == first.expires_ms) {
            self.reasons.remove(&first.id);
        }
        Some(first.revoked_ms)
    }

    fn remove_if_reason(&mut self, id: &str, reason: Reason) {
        if self.reasons.get(id).is_some_and(|(found, _)| *found == reason) {
            self.reasons.remove(id);
        }
    }

    fn get(&self, id: &str, now: Now) -> Option<Reason> {
        self.reasons.get(id).filter(|(_, expires_ms)| now.mono_ms < *expires_ms).map(|(reason, _)| *reason)
    }

    fn has_evicted_since(&self, issued_ms: Option<i64>) -> bool {
        self.evicted_ms.is_some_and(|evicted_ms| issued_ms.is_none_or(|issued_ms| issued_ms <= evicted_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::Claim;

    fn at(seconds: i64) -> Now {
        Now { wall_ms: 1_800_000_000_000 + seconds * 1000, mono_ms: seconds * 1000 }
    }

    fn claims(sid: &str, sub: &str, iat: Option<i64>) -> Claims {
        let iat = iat.map_or(Claim::Absent, |at| Claim::Present((1_800_000_000 + at) as f64));
        Claims { sid: Claim::Present(sid.into()), sub: Claim::Present(sub.into()), iat, ..Claims::default() }
    }

    /// Threat W3.
    #[test]
    fn million_revocations_are_bounded_and_none_is_lost() {
        let revocations = Revocations::new(1000, 3_595_000, 5000);
        for i in 0..1_000_000_i64 {
            revocations.revoke_session(&format!("sess_{i}"), at(i / 1000));
        }
        let table = revocations.sessions.lock(LOOKUP_TIMEOUT).unwrap();
        assert_eq!((table.order.len(), table.reasons.len()), (4000, 4000));
        assert!(table.order.capacity() <= 8192 && table.reasons.capacity() <= 16_384);
        drop(table);
        let now = at(1000);
        // A token of each session, issued at the last moment: when the session ended.
        for i in (0..1_000_000_i64).step_by(97) {
            let claims = claims(&format!("sess_{i}"), "user_1", Some(i / 1000));
            assert_eq!(revocations.find(&claims, now), Some(Reason::SessionRevoked), "{i}");
        }
        assert_eq!(revocations.find(&claims("sess_new", "user_1", None), now), Some(Reason::SessionRevoked));
        // The newest evicted one was revoked at 995 s; Clerk's clock may be five seconds ahead.
        assert_eq!(revocations.find(&claims("sess_new", "user_1", Some(1000)), now), Some(Reason::SessionRevoked));
        assert_eq!(revocations.find(&claims("sess_new", "user_1", Some(1001)), now), None);
        // Machines have neither sessions nor users.
        let machine = Claims { sub: Claim::Present("mch_1".into()), ..Claims::default() };
        assert_eq!(revocations.find(&machine, now), None);
    }

    #[test]
    fn expired_entries_make_room_without_an_eviction() {
        let revocations = Revocations::new(1, 86_400_000, 0);
        revocations.revoke_user("user_1", Reason::UserNotFound, at(0));
        let first = claims("sess_1", "user_1", Some(0));
        assert_eq!(revocations.find(&first, at(86_399)), Some(Reason::UserNotFound));
        assert_eq!(revocations.find(&first, at(86_400)), None);
        revocations.revoke_user("user_2", Reason::UserNotFound, at(86_400));
        assert_eq!(revocations.find(&claims("sess_2", "user_3", Some(0)), at(86_400)), None);
        revocations.revoke_user("user_4", Reason::UserNotFound, at(86_401));
        assert_eq!(revocations.find(&claims("sess_2", "user_3", Some(0)), at(86_401)), Some(Reason::SessionRevoked));
        assert_eq!(revocations.find(&claims("sess_4", "user_4", Some(86_402)), at(86_402)), Some(Reason::UserNotFound));
    }

    #[test]
    fn ban_is_removed_and_deletion_is_not() {
        let revocations = Revocations::new(10, 3_600_000, 0);
        revocations.revoke_user("user_1", Reason::UserInactive, at(0));
        revocations.revoke_user("user_2", Reason::UserNotFound, at(0));
        let reasons = || ["user_1", "user_2"].map(|id| revocations.find(&claims("sess_1", id, Some(0)), at(1)));
        assert_eq!(reasons(), [Some(Reason::UserInactive), Some(Reason::UserNotFound)]);
        ["user_1", "user_2"].iter().for_each(|id| revocations.remove_user(id, Reason::UserInactive));
        assert_eq!(reasons(), [None, Some(Reason::UserNotFound)]);
    }

    #[test]
    fn second_revocation_extends_the_first() {
        let revocations = Revocations::new(10, 3_600_000, 0);
        revocations.revoke_session("sess_1", at(0));
        revocations.revoke_session("sess_1", at(1800));
        revocations.revoke_session("sess_2", at(3600));
        assert_eq!(revocations.find(&claims("sess_1", "user_1", Some(0)), at(5399)), Some(Reason::SessionRevoked));
        assert_eq!(revocations.find(&claims("sess_1", "user_1", Some(0)), at(5400)), None);
    }

    #[test]
    fn table_locked_across_fork_accepts_no_token() {
        let mut revocations = Revocations::new(10, 3_600_000, 0);
        revocations.sessions.pretend_forked();
        let held = revocations.sessions.lock(LOOKUP_TIMEOUT);
        let claims = claims("sess_1", "user_1", Some(0));
        assert_eq!(revocations.find(&claims, at(1)), Some(Reason::InternalError));
        drop(held);
        assert_eq!(revocations.find(&claims, at(1)), None);
    }
}
