//! Revoked sessions and users: their tokens are rejected although they have not expired. Bounded, and fails closed.

use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::Now;
use crate::jwt::Claims;
use crate::reason::Reason;

/// The revocations that webhook events have recorded.
pub(super) struct Revocations {
    sessions: Mutex<Table>,
    users: Mutex<Table>,
    /// How far Clerk's clock may be ahead of this one.
    skew_ms: i64,
}

impl Revocations {
    /// Makes tables for `capacity` users and four times as many sessions. No token lives longer than `ttl_ms`.
    pub fn new(capacity: usize, ttl_ms: i64, skew_ms: i64) -> Self {
        let table = |capacity| Mutex::new(Table::new(capacity, ttl_ms.saturating_add(skew_ms)));
        Revocations { sessions: table(capacity.saturating_mul(4)), users: table(capacity), skew_ms }
    }

    /// Revokes a session.
    pub fn revoke_session(&self, id: &str, now: Now) {
        self.sessions.lock().put(id, Reason::SessionRevoked, now);
    }

    /// Revokes all tokens of a user.
    pub fn revoke_user(&self, id: &str, reason: Reason, now: Now) {
        self.users.lock().put(id, reason, now);
    }

    /// Whether a user is revoked for this reason.
    pub fn is_user_revoked(&self, id: &str, reason: Reason, now: Now) -> bool {
        self.users.lock().get(id, now) == Some(reason)
    }

    /// Removes the revocation of a user, if it is for this reason.
    pub fn remove_user(&self, id: &str, reason: Reason) {
        self.users.lock().remove_if_reason(id, reason);
    }

    /// Returns why a token with these claims is revoked, if it is.
    pub fn find(&self, claims: &Claims, now: Now) -> Option<Reason> {
        let session = claims.sid.get().map(String::as_str);
        let user = claims.sub.get().map(String::as_str).filter(|sub| sub.starts_with("user_"));
        let find = |table: &Mutex<Table>, id: Option<&str>| id.and_then(|id| table.lock().get(id, now));
        let found = find(&self.users, user).or_else(|| find(&self.sessions, session));
        if found.is_some() {
            return found;
        }
        let issued_ms = Claims::millis(&claims.iat).get().map(|at| at.saturating_sub(self.skew_ms));
        let may_be_evicted =
            |table: &Mutex<Table>, id: Option<&str>| id.is_some() && table.lock().has_evicted_since(issued_ms);
        let is_revoked = may_be_evicted(&self.sessions, session) || may_be_evicted(&self.users, user);
        is_revoked.then_some(Reason::SessionRevoked)
    }
}

struct Entry {
    id: Arc<str>,
    expires_ms: i64,
    /// When it was revoked, by the wall clock.
    revoked_ms: i64,
}

/// All entries have the same lifetime, so they expire in the order in which they came.
struct Table {
    reasons: HashMap<Arc<str>, (Reason, i64), RandomState>,
    order: VecDeque<Entry>,
    capacity: usize,
    ttl_ms: i64,
    /// When the newest entry was revoked that had to be evicted before its end. Tokens issued later cannot be its own;
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
        let table = revocations.sessions.lock();
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
}
