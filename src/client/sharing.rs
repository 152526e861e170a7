//! What changes here is shared with other processes, and what they have changed is applied here.

use std::time::{Duration, Instant};

use super::auth_context::VerifiedToken;
use super::auth_result::VerifyError;
use super::inner::Inner;
use super::invalidations::Scope;
use crate::api::ClerkUser;
use crate::clock::{Deadline, Io, Now};
use crate::config::UserMode;
use crate::reason::Reason;
use crate::revocation::{Revocation, TimedRevocation};
use crate::shared_cache::{Change, FoundRevocations, SharedCache, Unavailable};
use crate::token::{TokenHash, is_clerk_id};

/// How long a reader waits in one call of the engine, so that a shutdown need not wait longer.
const WAIT: Duration = Duration::from_millis(250);
/// How long a reader waits at least before it tries again.
const MIN_PAUSE: Duration = Duration::from_millis(50);
/// How many revocations are stored again in an engine that has lost its entries.
const MAX_RESTORED: usize = 1000;

impl Inner {
    /// Shares a change with all other processes, and removes what it makes useless from the shared cache. While the engine cannot
    /// be used, the change waits.
    pub fn share(&self, change: Change) {
        if let Some(shared) = &self.shared {
            self.changes.put(change);
            self.send_changes(shared);
        }
    }

    /// Rejects all tokens of a session, in every process.
    pub fn revoke_session(&self, id: &str, now: Now) {
        self.invalidate(Scope::Session, id, || {
            self.revocations.revoke_session(id, now);
            self.sessions.remove(id);
        });
        self.share_revocation(Scope::Session, id, Revocation::Revoked);
    }

    /// Rejects all tokens of a user, in every process.
    pub fn revoke_user(&self, id: &str, reason: Reason, now: Now) {
        self.invalidate(Scope::Subject, id, || {
            self.revocations.revoke_user(id, reason, now);
            self.users.remove(id);
        });
        self.share_revocation(Scope::Subject, id, Revocation::of(reason));
    }

    /// Rejects a token whose user or session another process has revoked.
    pub fn check_shared_revocations(&self, token: &VerifiedToken, now: Now, io: Io) -> Result<(), VerifyError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let Io::Blocking(deadline) = io else {
            // Without the engine everything goes on as in a single process.
            let is_asked = shared.is_available() || shared.is_required();
            return if is_asked { Err(VerifyError::WouldBlock) } else { Ok(()) };
        };
        match self.import_shared_revocations(token.user_id(), token.session_id(), now, deadline) {
            Err(Unavailable) if shared.is_required() => Err(Reason::SharedCacheUnavailable.into()),
            Ok(()) | Err(Unavailable) => self.check_revocations(token, now),
        }
    }

    /// Adds what the shared cache knows of a user and a session to the revocations of this process.
    pub fn import_shared_revocations(
        &self,
        user: Option<&str>,
        session: Option<&str>,
        now: Now,
        deadline: Deadline,
    ) -> Result<(), Unavailable> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let FoundRevocations { user: by_user, session: by_session } = shared.revocations(user, session, deadline)?;
        for (scope, id, revocation) in [(Scope::Subject, user, by_user), (Scope::Session, session, by_session)] {
            let Some((id, found)) = id.zip(revocation) else { continue };
            let known = match scope {
                Scope::Session => self.revocations.find(None, Some(id), Some(i64::MAX), now),
                _ => self.revocations.find(Some(id), None, Some(i64::MAX), now),
            };
            if known != found.revocation.reason() {
                self.invalidate(scope, id, || self.import(scope, id, revocation, now));
            }
        }
        Ok(())
    }

    /// Shares the revocation of a user or a session.
    pub fn share_revocation(&self, scope: Scope, id: &str, revocation: Revocation) {
        let Some(shared) = &self.shared else { return };
        let (id, revocation) = (id.to_owned(), Some(shared.revocation(revocation)));
        self.share(match scope {
            Scope::Session => Change::Session { id, revocation },
            Scope::Subject => Change::User { id, revocation, version_ms: None },
            Scope::Organization => Change::Organization { id },
        });
    }

    /// Shares the user of a webhook event, which is complete: others need not fetch it.
    pub fn share_user(&self, user: &ClerkUser, age_ms: i64, revocation: Option<Revocation>, now: Now) {
        let Some(shared) = &self.shared else { return };
        let revocation = revocation.map(|revocation| shared.revocation(revocation));
        let change = Change::User { id: user.id.clone(), revocation, version_ms: Some(user.updated_at_ms) };
        self.share(change);
        let deadline = self.deadline();
        // After the change, which makes the snapshots before it useless.
        if self.settings.mode != UserMode::Claims
            && age_ms < i64::MAX
            && let Ok(found) = shared.user(&user.id, deadline)
            && let Some(generation) = found.generation
            && found.snapshot.is_none_or(|other| other.version_ms() < user.updated_at_ms)
        {
            let fetched_at_ms = now.wall_ms.saturating_sub(age_ms);
            let _ = shared.put_user(user, fetched_at_ms, generation, deadline);
        }
    }

    /// Whether another process has shared a newer version of a user: a webhook event about this one is late.
    pub fn is_older_than_shared(&self, user: &ClerkUser) -> bool {
        let Some(shared) = self.shared.as_ref().filter(|_| self.settings.mode != UserMode::Claims) else {
            return false;
        };
        let found = shared.user(&user.id, self.deadline()).ok().and_then(|found| found.snapshot);
        found.is_some_and(|snapshot| snapshot.version_ms() > user.updated_at_ms)
    }

    /// Sends the changes that wait.
    fn send_changes(&self, shared: &SharedCache) {
        loop {
            let Some(change) = self.changes.take() else { return };
            if self.send(shared, &change).is_err() {
                return self.changes.put_back(change);
            }
        }
    }

    fn send(&self, shared: &SharedCache, change: &Change) -> Result<(), Unavailable> {
        let deadline = self.deadline();
        match change {
            Change::Session { id, revocation: Some(revocation) } => {
                shared.put_revocation(None, Some(id), *revocation, deadline)?;
            }
            Change::User { id, revocation, .. } => {
                if let Some(revocation) = revocation {
                    shared.put_revocation(Some(id), None, *revocation, deadline)?;
                }
                shared.invalidate_user(id, deadline)?;
            }
            Change::Token { hash } => shared.invalidate_machine_token(hash, deadline)?,
            _ => {}
        }
        match shared.publish(change.clone(), deadline) {
            // An engine without streams: the others see it when they look for the entry.
            Ok(_) => Ok(()),
            Err(Unavailable) if !shared.has_stream() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Applies what other processes have changed, waiting at most `timeout` for the first change. Returns how many changes were
    /// applied, or `None` if the engine could not be used.
    pub fn poll(&self, timeout: Duration) -> Option<usize> {
        let shared = self.shared.as_ref()?;
        let (begun, shutdowns) = (Instant::now(), self.changes.shutdowns());
        let mut outcome;
        loop {
            let left = timeout.saturating_sub(begun.elapsed());
            let read = self.changes.try_read().map(|_reading| self.read_changes(shared, left.min(WAIT)));
            let pause = match read {
                Some(Ok(applied)) if applied > 0 => return Some(applied),
                Some(Ok(_)) => {
                    outcome = Some(0);
                    Duration::ZERO
                }
                Some(Err(Unavailable)) => {
                    outcome = None;
                    // An engine without streams has nothing to read.
                    if shared.has_stream() { shared.retry_wait().clamp(MIN_PAUSE, WAIT) } else { WAIT }
                }
                // Another thread is reading.
                None => {
                    outcome = Some(0);
                    MIN_PAUSE
                }
            };
            std::thread::sleep(pause.min(timeout.saturating_sub(begun.elapsed())));
            if begun.elapsed() >= timeout || shutdowns != self.changes.shutdowns() {
                return outcome;
            }
        }
    }

    fn read_changes(&self, shared: &SharedCache, wait: Duration) -> Result<usize, Unavailable> {
        self.send_changes(shared);
        let known = self.changes.last_id();
        let Some(last_id) = known else { return self.find_end(shared) };
        let read = shared.read_stream(&last_id, wait)?;
        if read.has_gap {
            // Something may have been missed; from here on nothing is.
            self.changes.set_last_id(None);
            self.restore_revocations(shared);
            return self.find_end(shared);
        }
        let mut applied = 0;
        for (_, sealed) in &read.entries {
            applied += usize::from(self.apply_sealed(shared, sealed));
        }
        self.changes.set_last_id(Some(read.last_id));
        Ok(applied)
    }

    /// Begins to read at the end of the stream: whatever was cached before may be outdated.
    fn find_end(&self, shared: &SharedCache) -> Result<usize, Unavailable> {
        let end = shared.stream_end(self.deadline())?;
        self.changes.set_last_id(Some(end));
        self.invalidate_all(|| {
            // Those that cannot be fetched now may be stale, as they were during the outage: all at once are more than Clerk allows.
            self.users.set_all_outdated();
            self.sessions.clear();
            self.machine_tokens.clear_refusals();
        });
        Ok(0)
    }

    /// Stores the revocations that this process knows, after the engine has lost its entries.
    fn restore_revocations(&self, shared: &SharedCache) {
        let deadline = self.deadline();
        let Some(export) = self.revocations.export(self.clock.now()) else { return };
        for (scope, id, revocation) in export.newest(MAX_RESTORED) {
            let (user, session) = if scope == Scope::Subject { (Some(id), None) } else { (None, Some(id)) };
            if shared.put_revocation(user, session, revocation, deadline).is_err() {
                return;
            }
        }
    }

    /// Applies an entry of the stream, unless it is not of a process of this instance or was applied before. Returns whether it
    /// was applied.
    fn apply_sealed(&self, shared: &SharedCache, sealed: &[u8]) -> bool {
        let Some(message) = shared.open_message(sealed) else { return false };
        let now = self.clock.now();
        if shared.is_own(&message) {
            return false;
        }
        if !self.changes.is_first((message.sender, message.number), now) {
            shared.reject_replayed();
            return false;
        }
        self.apply_change(&message.change, now);
        shared.record_lag(&message);
        true
    }

    fn apply_change(&self, change: &Change, now: Now) {
        match change {
            Change::Start => {}
            Change::Session { id, revocation } if is_clerk_id(id, "sess_") => {
                self.invalidate(Scope::Session, id, || {
                    self.import(Scope::Session, id, *revocation, now);
                    self.sessions.remove(id);
                });
            }
            Change::User { id, revocation, version_ms } if is_clerk_id(id, "user_") => {
                self.invalidate(Scope::Subject, id, || {
                    self.import(Scope::Subject, id, *revocation, now);
                    self.users.remove_before(id, *version_ms, now);
                    self.blocked_users.forget_row(id);
                });
            }
            Change::Memberships { user_id } => self.invalidate(Scope::Subject, user_id, || ()),
            Change::Organization { id } => self.invalidate(Scope::Organization, id, || ()),
            Change::Token { hash } => self.invalidate_token(&TokenHash(*hash)),
            Change::All { users } => self.invalidate_all(|| {
                if *users {
                    self.users.clear();
                    self.blocked_users.forget_rows();
                    self.sessions.clear();
                    self.machine_tokens.clear_refusals();
                }
            }),
            Change::Session { .. } | Change::User { .. } => {}
        }
    }

    /// Adds a revocation of another process to those of this one. A ban counts only where no users are fetched: elsewhere Clerk
    /// reports bans and their end.
    pub fn import(&self, scope: Scope, id: &str, revocation: Option<TimedRevocation>, now: Now) {
        let Some(revocation) = revocation else { return };
        if revocation.revocation.rank() == 0 && self.settings.mode != UserMode::Claims {
            return;
        }
        if self.revocations.import(scope == Scope::Session, id, revocation, now) {
            self.invalidate_all(|| ());
        }
    }
}
