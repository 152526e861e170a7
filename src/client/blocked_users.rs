//! Users that this process knows to be blocked, for calls that neither fetch a user nor query a row. Bounded; depends on no
//! setting of the caches.

use std::hash::RandomState;

use crate::api::ClerkUser;
use crate::cache::{Cache, Locked};
use crate::clock::Now;
use crate::reason::Reason;
use crate::revocation::{Revocation, TimedRevocation};

/// At most this many of each kind; independent of the size of the caches.
const MAX_USERS: usize = 65_536;
/// How long a row counts as inactive after it was read. The application may activate it at any moment.
const ROW_TTL_MS: i64 = 5 * 60 * 1000;

#[derive(Clone, Copy)]
struct Ban {
    /// The version of the user that was banned or deprovisioned at Clerk.
    version_ms: i64,
    expires_ms: i64,
    /// Whether only another process has reported it.
    is_imported: bool,
}

pub(super) struct BlockedUsers {
    bans: Cache<Box<str>, Ban, RandomState>,
    /// The users whose row was inactive when it was last read.
    inactive_rows: Cache<Box<str>, (), RandomState>,
    ban_ttl_ms: i64,
}

impl BlockedUsers {
    pub fn new(ban_ttl_ms: i64) -> Self {
        let inactive_rows = Cache::new(MAX_USERS, RandomState::new());
        BlockedUsers { bans: Cache::new(MAX_USERS, RandomState::new()), inactive_rows, ban_ttl_ms }
    }

    /// Records the user of a webhook event. Returns whether the user is known to be banned, which an event ends only if it is
    /// newer than the ban.
    pub fn record_event(&self, user: &ClerkUser, now: Now) -> bool {
        self.record(user, now, |banned_ms| banned_ms < user.updated_at_ms)
    }

    /// Records a user that was fetched. `is_current`: nothing about the user was invalidated since.
    pub fn record_fetched(&self, user: &ClerkUser, now: Now, is_current: bool) {
        self.record(user, now, |banned_ms| {
            banned_ms < user.updated_at_ms || (is_current && banned_ms == user.updated_at_ms)
        });
    }

    fn record(&self, user: &ClerkUser, now: Now, ends: impl FnOnce(i64) -> bool) -> bool {
        let id = user.id.as_str();
        if user.is_blocked() {
            let expires_ms = now.mono_ms.saturating_add(self.ban_ttl_ms);
            let known = self.bans.find(id, now.mono_ms).ok().flatten();
            let version_ms = known.map_or(i64::MIN, |ban| ban.version_ms).max(user.updated_at_ms);
            let ban = Ban { version_ms, expires_ms, is_imported: false };
            self.bans.record_if(id.into(), ban, expires_ms, now.mono_ms, |_| true);
        } else {
            self.bans.remove_if(id, |ban| ends(ban.version_ms));
        }
        self.is_banned(id, now) != Ok(false)
    }

    /// Adds a ban that another process reports. Returns whether it is a newer one. The end of a ban that another process reports ends
    /// no ban that this one has learned of.
    pub fn import(&self, id: &str, revocation: TimedRevocation, now: Now) -> bool {
        let version_ms = revocation.revoked_at_ms;
        match revocation.revocation {
            Revocation::Banned => {
                let left_ms = revocation.expires_at_ms.saturating_sub(now.wall_ms).min(self.ban_ttl_ms);
                let expires_ms = now.mono_ms.saturating_add(left_ms);
                let known = self.bans.find(id, now.mono_ms).ok().flatten();
                let is_newer = left_ms > 0 && known.is_none_or(|known| known.version_ms < version_ms);
                let is_later =
                    known.is_some_and(|known| known.version_ms == version_ms && known.expires_ms < expires_ms);
                if is_newer || is_later {
                    let is_imported = known.is_none_or(|known| known.is_imported);
                    let expires_ms = known.map_or(expires_ms, |known| known.expires_ms.max(expires_ms));
                    let ban = Ban { version_ms, expires_ms, is_imported };
                    self.bans.record_if(id.into(), ban, expires_ms, now.mono_ms, |_| true);
                }
                is_newer
            }
            _ => {
                self.bans.remove_if(id, |ban| ban.is_imported && ban.version_ms < version_ms);
                false
            }
        }
    }

    /// Returns the bans that have not expired.
    pub fn bans(&self, now: Now) -> Vec<(String, TimedRevocation)> {
        let mut bans = Vec::new();
        self.bans.for_each(|id, ban| {
            if now.mono_ms < ban.expires_ms {
                let expires_at_ms = now.wall_ms.saturating_add(ban.expires_ms - now.mono_ms);
                let (revocation, revoked_at_ms) = (Revocation::Banned, ban.version_ms);
                bans.push((id.to_string(), TimedRevocation { revocation, revoked_at_ms, expires_at_ms }));
            }
        });
        bans
    }

    /// Returns the version of the user that is known to be banned.
    pub fn ban_version(&self, id: &str, now: Now) -> Option<i64> {
        self.bans.find(id, now.mono_ms).ok().flatten().map(|ban| ban.version_ms)
    }

    /// Fails in a forked child that cannot know it.
    pub fn is_banned(&self, id: &str, now: Now) -> Result<bool, Reason> {
        is_known(self.bans.find(id, now.mono_ms))
    }

    /// Records whether a user's row was active when it was read.
    pub fn record_row(&self, id: &str, is_active: bool, now: Now) {
        if is_active {
            self.forget_row(id);
        } else {
            let expires_ms = now.mono_ms.saturating_add(ROW_TTL_MS);
            self.inactive_rows.record_if(id.into(), (), expires_ms, now.mono_ms, |_| true);
        }
    }

    /// Fails in a forked child that cannot know it.
    pub fn has_inactive_row(&self, id: &str, now: Now) -> Result<bool, Reason> {
        is_known(self.inactive_rows.find(id, now.mono_ms))
    }

    /// Removes what is known of a user's row.
    pub fn forget_row(&self, id: &str) {
        self.inactive_rows.remove(id);
    }

    /// Removes what is known of all rows.
    pub fn forget_rows(&self) {
        self.inactive_rows.clear();
    }
}

fn is_known<V>(found: Result<Option<V>, Locked>) -> Result<bool, Reason> {
    found.map(|value| value.is_some()).map_err(|Locked| Reason::InternalError)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { wall_ms: 0, mono_ms: 0 };

    fn user(version: i64, banned: bool) -> ClerkUser {
        ClerkUser { id: "user_1".into(), updated_at_ms: version, banned, ..ClerkUser::default() }
    }

    #[test]
    fn ban_ends_with_a_newer_event_or_a_current_fetch() {
        let blocked = BlockedUsers::new(1000);
        let ban = || assert!(blocked.record_event(&user(5, true), NOW));
        for (version, ends) in [(4, false), (5, false), (6, true)] {
            ban();
            assert_eq!(blocked.record_event(&user(version, false), NOW), !ends, "{version}");
        }
        for (version, is_current, ends) in [(4, true, false), (5, false, false), (5, true, true), (6, false, true)] {
            ban();
            blocked.record_fetched(&user(version, false), NOW, is_current);
            assert_eq!(blocked.is_banned("user_1", NOW), Ok(!ends), "{version} {is_current}");
        }
        // An older report of the ban does not make it older.
        ban();
        blocked.record_fetched(&user(3, true), NOW, true);
        assert!(blocked.record_event(&user(4, false), NOW));
        assert!(
            blocked.is_banned("user_1", Now { mono_ms: 1000, ..NOW }) == Ok(false)
                && blocked.is_banned("user_2", NOW) == Ok(false)
        );
    }

    #[test]
    fn imported_ban_ends_with_a_newer_end_unless_it_is_known_here() {
        let blocked = BlockedUsers::new(1000);
        let timed = |revocation, revoked_at_ms| TimedRevocation { revocation, revoked_at_ms, expires_at_ms: 500 };
        let import = |revocation, version| blocked.import("user_1", timed(revocation, version), NOW);
        assert!(import(Revocation::Banned, 5) && !import(Revocation::Banned, 5) && import(Revocation::Banned, 6));
        assert_eq!(blocked.bans(NOW), [("user_1".to_owned(), timed(Revocation::Banned, 6))]);
        let later = Now { mono_ms: 500, wall_ms: 500 };
        assert!(blocked.is_banned("user_1", later) == Ok(false) && blocked.bans(later).is_empty());
        assert!(!blocked.import("user_2", timed(Revocation::Banned, 5), later), "expired");
        assert!(import(Revocation::Banned, 6));
        for (version, ends) in [(6, false), (7, true)] {
            import(Revocation::Lifted, version);
            assert_eq!(blocked.is_banned("user_1", NOW), Ok(!ends), "{version}");
        }
        blocked.record_event(&user(5, true), NOW);
        assert!(import(Revocation::Banned, 6));
        import(Revocation::Lifted, 7);
        assert!(blocked.is_banned("user_1", NOW) == Ok(true));
    }

    #[test]
    fn imported_ban_ends_with_the_own_lifetime() {
        let blocked = BlockedUsers::new(1000);
        let timed = TimedRevocation { revocation: Revocation::Banned, revoked_at_ms: 5, expires_at_ms: i64::MAX };
        assert!(blocked.import("user_1", timed, NOW));
        let is_banned = |mono_ms: i64| blocked.is_banned("user_1", Now { mono_ms, ..NOW });
        assert_eq!((is_banned(999), is_banned(1000)), (Ok(true), Ok(false)));
    }

    #[test]
    fn imported_ban_shortens_no_known_one() {
        let timed = |version, expires_at_ms| TimedRevocation {
            revocation: Revocation::Banned,
            revoked_at_ms: version,
            expires_at_ms,
        };
        let at = |ms| Now { mono_ms: ms, wall_ms: ms };
        let blocked = BlockedUsers::new(1000);
        blocked.record_event(&user(5, true), NOW);
        assert!(blocked.import("user_1", timed(6, 500), NOW));
        assert!(blocked.is_banned("user_1", at(600)) == Ok(true), "an own one");
        // Of two reports of one version, the later end counts.
        assert!(blocked.import("user_2", timed(6, 700), NOW) && blocked.import("user_2", timed(7, 500), NOW));
        assert!(blocked.is_banned("user_2", at(600)) == Ok(true));
        assert!(!blocked.import("user_2", timed(7, 900), NOW));
        assert!(blocked.is_banned("user_2", at(800)) == Ok(true) && blocked.is_banned("user_2", at(900)) == Ok(false));
    }

    #[test]
    fn inactive_row_is_known_until_it_is_read_again() {
        let blocked = BlockedUsers::new(1000);
        blocked.record_row("user_1", false, NOW);
        assert!(
            blocked.has_inactive_row("user_1", NOW) == Ok(true) && blocked.has_inactive_row("user_2", NOW) == Ok(false)
        );
        assert!(blocked.has_inactive_row("user_1", Now { mono_ms: ROW_TTL_MS, ..NOW }) == Ok(false));
        blocked.record_row("user_1", false, NOW);
        blocked.record_row("user_1", true, NOW);
        assert!(blocked.has_inactive_row("user_1", NOW) == Ok(false));
    }
}
