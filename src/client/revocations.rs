//! Sessions and users that webhooks told to keep out, whatever their tokens say, in a bounded table that fails closed.

use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::Now;
use crate::jwt::Claims;
use crate::reason::Reason;

/// See the module.
pub(super) struct Revoked {
    sessions: Mutex<Table>,
    users: Mutex<Table>,
    /// How far Clerk's clock may be ahead of this one.
    skew_ms: i64,
}

impl Revoked {
    /// Room for `capacity` users, and for more sessions: those end all day. No token lives longer than `life_ms`.
    pub fn new(capacity: usize, life_ms: i64, skew_ms: i64) -> Self {
        let table = |capacity| Mutex::new(Table::new(capacity, life_ms.saturating_add(skew_ms)));
        Revoked { sessions: table(capacity.saturating_mul(4)), users: table(capacity), skew_ms }
    }

    /// Keeps a session out.
    pub fn session(&self, id: &str, now: Now) {
        self.sessions.lock().put(id, Reason::SessionRevoked, now);
    }

    /// Keeps a user out.
    pub fn user(&self, id: &str, reason: Reason, now: Now) {
        self.users.lock().put(id, reason, now);
    }

    /// Whether a user is kept out for this reason.
    pub fn is_user_out(&self, id: &str, reason: Reason, now: Now) -> bool {
        self.users.lock().get(id, now) == Some(reason)
    }

    /// Keeps a user out no longer who was kept out for this reason.
    pub fn lift_user(&self, id: &str, reason: Reason) {
        self.users.lock().lift(id, reason);
    }

    /// Why the bearer of these claims is kept out.
    pub fn reason(&self, claims: &Claims, now: Now) -> Option<Reason> {
        let session = claims.sid.get().map(String::as_str);
        let user = claims.sub.get().map(String::as_str).filter(|sub| sub.starts_with("user_"));
        let find = |table: &Mutex<Table>, id: Option<&str>| id.and_then(|id| table.lock().get(id, now));
        let found = find(&self.users, user).or_else(|| find(&self.sessions, session));
        if found.is_some() {
            return found;
        }
        let issued_ms = Claims::millis(&claims.iat).get().map(|at| at.saturating_sub(self.skew_ms));
        let may_be_forgotten =
            |table: &Mutex<Table>, id: Option<&str>| id.is_some() && table.lock().forgot_since(issued_ms);
        let is_out = may_be_forgotten(&self.sessions, session) || may_be_forgotten(&self.users, user);
        is_out.then_some(Reason::SessionRevoked)
    }
}

struct Entry {
    id: Arc<str>,
    expires_ms: i64,
    /// The time of day when it was put.
    put_ms: i64,
}

/// All entries last equally long, so they expire in the order in which they came.
struct Table {
    reasons: HashMap<Arc<str>, (Reason, i64), RandomState>,
    order: VecDeque<Entry>,
    capacity: usize,
    lasts_ms: i64,
    /// When the youngest of the entries came that had to go before their time. What was issued later cannot be theirs;
    /// of what was issued before nobody knows.
    forgotten_ms: Option<i64>,
}

impl Table {
    fn new(capacity: usize, lasts_ms: i64) -> Self {
        let (reasons, order) = (HashMap::default(), VecDeque::new());
        Table { reasons, order, capacity: capacity.max(1), lasts_ms, forgotten_ms: None }
    }

    fn put(&mut self, id: &str, reason: Reason, now: Now) {
        let expires_ms = now.mono_ms.saturating_add(self.lasts_ms);
        while self.order.front().is_some_and(|first| first.expires_ms <= now.mono_ms) {
            self.drop_first();
        }
        if self.order.len() >= self.capacity
            && let Some(put_ms) = self.drop_first()
        {
            self.forgotten_ms = self.forgotten_ms.max(Some(put_ms));
        }
        let id: Arc<str> = id.into();
        self.reasons.insert(id.clone(), (reason, expires_ms));
        self.order.push_back(Entry { id, expires_ms, put_ms: now.wall_ms });
    }

    fn drop_first(&mut self) -> Option<i64> {
        let first = self.order.pop_front()?;
        // One that came again has a later entry.
        if self.reasons.get(&first.id).is_some_and(|(_, expires_ms)| *expires_ms == first.expires_ms) {
            self.reasons.remove(&first.id);
        }
        Some(first.put_ms)
    }

    fn lift(&mut self, id: &str, reason: Reason) {
        if self.reasons.get(id).is_some_and(|(found, _)| *found == reason) {
            self.reasons.remove(id);
        }
    }

    fn get(&self, id: &str, now: Now) -> Option<Reason> {
        self.reasons.get(id).filter(|(_, expires_ms)| now.mono_ms < *expires_ms).map(|(reason, _)| *reason)
    }

    fn forgot_since(&self, issued_ms: Option<i64>) -> bool {
        self.forgotten_ms.is_some_and(|forgotten_ms| issued_ms.is_none_or(|issued_ms| issued_ms <= forgotten_ms))
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

    #[test]
    fn w3_a_flood_of_a_million_is_bounded_and_lets_nobody_in_who_was_revoked() {
        let revoked = Revoked::new(1000, 3_595_000, 5000);
        for i in 0..1_000_000_i64 {
            revoked.session(&format!("sess_{i}"), at(i / 1000));
        }
        let table = revoked.sessions.lock();
        assert_eq!((table.order.len(), table.reasons.len()), (4000, 4000));
        assert!(table.order.capacity() <= 8192 && table.reasons.capacity() <= 16_384);
        drop(table);
        let now = at(1000);
        // A token of each, issued as late as can be: when its session ended.
        for i in (0..1_000_000_i64).step_by(97) {
            let claims = claims(&format!("sess_{i}"), "user_1", Some(i / 1000));
            assert_eq!(revoked.reason(&claims, now), Some(Reason::SessionRevoked), "{i}");
        }
        assert_eq!(revoked.reason(&claims("sess_new", "user_1", None), now), Some(Reason::SessionRevoked));
        // The youngest that was forgotten came at 995 s; Clerk's clock may be five seconds ahead.
        assert_eq!(revoked.reason(&claims("sess_new", "user_1", Some(1000)), now), Some(Reason::SessionRevoked));
        assert_eq!(revoked.reason(&claims("sess_new", "user_1", Some(1001)), now), None);
        // Machines have neither sessions nor users.
        let machine = Claims { sub: Claim::Present("mch_1".into()), ..Claims::default() };
        assert_eq!(revoked.reason(&machine, now), None);
    }

    #[test]
    fn entries_go_at_their_time_and_make_room_without_a_trace() {
        let revoked = Revoked::new(1, 86_400_000, 0);
        revoked.user("user_1", Reason::UserNotFound, at(0));
        let first = claims("sess_1", "user_1", Some(0));
        assert_eq!(revoked.reason(&first, at(86_399)), Some(Reason::UserNotFound));
        assert_eq!(revoked.reason(&first, at(86_400)), None);
        revoked.user("user_2", Reason::UserNotFound, at(86_400));
        assert_eq!(revoked.reason(&claims("sess_2", "user_3", Some(0)), at(86_400)), None);
        revoked.user("user_4", Reason::UserNotFound, at(86_401));
        assert_eq!(revoked.reason(&claims("sess_2", "user_3", Some(0)), at(86_401)), Some(Reason::SessionRevoked));
        assert_eq!(revoked.reason(&claims("sess_4", "user_4", Some(86_402)), at(86_402)), Some(Reason::UserNotFound));
    }

    #[test]
    fn a_ban_is_lifted_and_a_deletion_is_not() {
        let revoked = Revoked::new(10, 3_600_000, 0);
        revoked.user("user_1", Reason::UserInactive, at(0));
        revoked.user("user_2", Reason::UserNotFound, at(0));
        let reasons = || ["user_1", "user_2"].map(|id| revoked.reason(&claims("sess_1", id, Some(0)), at(1)));
        assert_eq!(reasons(), [Some(Reason::UserInactive), Some(Reason::UserNotFound)]);
        ["user_1", "user_2"].iter().for_each(|id| revoked.lift_user(id, Reason::UserInactive));
        assert_eq!(reasons(), [None, Some(Reason::UserNotFound)]);
    }

    #[test]
    fn one_that_came_twice_stays_as_long_as_its_second_time() {
        let revoked = Revoked::new(10, 3_600_000, 0);
        revoked.session("sess_1", at(0));
        revoked.session("sess_1", at(1800));
        revoked.session("sess_2", at(3600));
        assert_eq!(revoked.reason(&claims("sess_1", "user_1", Some(0)), at(5399)), Some(Reason::SessionRevoked));
        assert_eq!(revoked.reason(&claims("sess_1", "user_1", Some(0)), at(5400)), None);
    }
}
