//! What changes here is shared with other processes, and what they have changed is applied here.

use std::time::{Duration, Instant};

use super::auth_context::VerifiedToken;
use super::auth_result::VerifyError;
use super::changes::{LostRevocation, Sending};
use super::inner::Inner;
use super::invalidations::Scope;
use super::revocations::Export;
use crate::api::ClerkUser;
use crate::clock::{Deadline, Io, Now};
use crate::config::UserMode;
use crate::events::Level;
use crate::reason::Reason;
use crate::revocation::{Revocation, TimedRevocation};
use crate::shared_cache::{Change, FoundRevocations, SharedCache, Unavailable};
use crate::token::{TokenHash, is_clerk_id};

/// How long a reader waits in one call of the engine, or changes and looks up what is there, so that a shutdown need not wait longer.
const WAIT: Duration = Duration::from_millis(250);
/// How long a reader waits at least before it tries again.
const MIN_PAUSE: Duration = Duration::from_millis(50);
/// For how long one call sends what waited before it.
const SLICE: Duration = MIN_PAUSE;
/// For how long a shutdown does.
const MAX_FLUSH: Duration = Duration::from_secs(1);

/// What a call shares changes for.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub deadline: Deadline,
    /// The webhook delivery, which other processes of this machine may apply as well: one of them shares it.
    pub delivery: Option<&'a str>,
    /// Whether another process of this server has received the delivery, and shared it: the engine is not used.
    pub is_replay: bool,
}

impl From<Deadline> for Call<'_> {
    fn from(deadline: Deadline) -> Self {
        Call { deadline, delivery: None, is_replay: false }
    }
}

/// What a read has led to.
#[derive(Default)]
struct Applied {
    applied: usize,
    /// Whether the read had entries: others may follow them.
    may_be_more: bool,
}

impl Inner {
    /// Shares a change with all other processes, and removes what it makes useless from the shared cache. While the engine cannot
    /// be used, the change waits.
    pub fn share(&self, change: Change, call: Call<'_>) {
        let (Some(shared), deadline) = (&self.shared, call.deadline) else { return };
        if call.is_replay {
            // The receiver may have ended before it shared it.
            let rejects = |(_, _, revocation): &LostRevocation| revocation.revocation.reason().is_some();
            return self.restore(revocation_of(change).into_iter().filter(rejects).collect());
        }
        // Where no users are fetched, other changes are shared.
        let is_claims = self.settings.mode == UserMode::Claims;
        let delivery = call.delivery.map(|id| format!("{}{id}", if is_claims { "c:" } else { "u:" }));
        let is_shared = delivery.as_ref().is_some_and(|id| shared.has_delivery(id, deadline));
        if is_shared && !self.changes.is_waiting(&change) {
            return;
        }
        if self.send(shared, self.changes.begin(change), deadline).is_ok() {
            delivery.iter().for_each(|id| shared.put_delivery(id, deadline));
            let _ = self.send_changes(shared, deadline);
        }
    }

    /// Invalidates something `here`, then in all other processes. From before that until the engine knows it, this process uses
    /// nothing that is stored about it: it is from before the invalidation.
    pub fn invalidate_and_share(&self, change: Change, here: impl FnOnce()) {
        let Some(shared) = &self.shared else { return here() };
        let (sending, deadline) = (self.changes.begin(change), self.deadline());
        here();
        if self.send(shared, sending, deadline).is_ok() {
            let _ = self.send_changes(shared, deadline);
        }
    }

    /// Whether a revocation that a webhook event has reported is known to this process only, and should not be.
    pub fn needs_redelivery(&self, scope: Scope, id: &str) -> bool {
        let Some(shared) = &self.shared else { return false };
        // Without room it waits not even here.
        self.changes.is_full() || shared.is_required() && self.changes.has_unsent_revocation(scope, id)
    }

    /// Sends what waits, before the process ends.
    pub fn flush_changes(&self) {
        let has_work = || self.changes.has_unsent() || self.changes.has_lost();
        let Some(shared) = self.shared.as_ref().filter(|_| has_work()) else { return };
        shared.retry_now();
        let deadline = Deadline::after(MAX_FLUSH.min(self.settings.timeout));
        while has_work() && !deadline.remaining().is_zero() {
            let sent = self.send_changes(shared, deadline);
            let is_all_sent = sent == Ok(false);
            if sent.is_err() || is_all_sent && self.restore_revocations(shared, deadline).is_err() {
                return;
            }
        }
    }

    /// Rejects all tokens of a session, in every process.
    pub fn revoke_session(&self, id: &str, now: Now, call: Call<'_>) {
        self.invalidate(Scope::Session, id, || {
            self.revocations.revoke_session(id, now);
            self.sessions.remove(id);
        });
        self.share_revocation(Scope::Session, id, Revocation::Revoked, call);
    }

    /// Rejects all tokens of a user, in every process.
    pub fn revoke_user(&self, id: &str, reason: Reason, now: Now, call: Call<'_>) {
        self.invalidate(Scope::Subject, id, || {
            self.revocations.revoke_user(id, reason, now);
            self.users.remove(id);
        });
        self.share_revocation(Scope::Subject, id, Revocation::of(reason), call);
    }

    /// Rejects a token whose user or session another process has revoked.
    pub fn check_shared_revocations(&self, token: &VerifiedToken, now: Now, io: Io) -> Result<(), VerifyError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let Io::Blocking(deadline) = io else {
            // Without the engine everything goes on as in a single process.
            let is_asked = shared.is_available() || shared.is_required();
            return if is_asked { Err(VerifyError::WouldBlock) } else { self.check_revocations(token, now) };
        };
        match self.import_shared_revocations(token.user_id(), token.session_id(), now, deadline) {
            Err(Unavailable) if shared.is_required() => return Err(Reason::SharedCacheUnavailable.into()),
            Err(Unavailable) => {}
            // A process need not poll.
            Ok(_) => {
                if let Some(change) = self.changes.take() {
                    let _ = self.send(shared, change, deadline);
                }
            }
        }
        self.check_revocations(token, now)
    }

    /// Adds what the shared cache knows of a user and a session to the revocations of this process, and returns it.
    pub fn import_shared_revocations(
        &self,
        user: Option<&str>,
        session: Option<&str>,
        now: Now,
        deadline: Deadline,
    ) -> Result<FoundRevocations, Unavailable> {
        let Some(shared) = &self.shared else { return Ok(FoundRevocations::default()) };
        let found = shared.revocations(user, session, deadline)?;
        let FoundRevocations { user: by_user, session: by_session, .. } = found;
        for (scope, id, revocation) in [(Scope::Subject, user, by_user), (Scope::Session, session, by_session)] {
            let Some((id, found)) = id.zip(revocation) else { continue };
            // What is no change invalidates nothing: the attempt that looks it up would start again each time.
            if self.import(scope, id, found, now) {
                self.invalidate(scope, id, || ());
            }
        }
        Ok(found)
    }

    /// Rejects a user whom an event reports as banned before other processes are asked whether the event is late: cached results do
    /// not wait for the engine. If it is late, what they report ends this, or the user that is fetched.
    pub fn block_until_decided(&self, user: &ClerkUser, now: Now) {
        let Some(shared) = &self.shared else { return };
        self.invalidate(Scope::Subject, &user.id, || match self.settings.mode {
            UserMode::Claims => {
                self.import(Scope::Subject, &user.id, shared.ban_state(true, user.updated_at_ms), now);
            }
            UserMode::Profile | UserMode::Sync => {
                self.blocked_users.record_event(user, now);
                if let Some(cached) = self.users.cached(&user.id, now) {
                    cached.set_outdated();
                }
            }
        });
    }

    /// Shares the revocation of a user or a session.
    pub fn share_revocation(&self, scope: Scope, id: &str, revocation: Revocation, call: Call<'_>) {
        let Some(shared) = &self.shared else { return };
        self.share(revoked(scope, id.to_owned(), shared.revocation(revocation)), call);
    }

    /// Shares the user of a webhook event, which is complete: others need not fetch it. Those that fetch no users need to know that
    /// the user is banned, or with `ends_bans` that a ban has ended.
    pub fn share_user(&self, user: &ClerkUser, age_ms: i64, ends_bans: bool, now: Now, call: Call<'_>) {
        let Some(shared) = &self.shared else { return };
        let (version_ms, is_banned) = (user.updated_at_ms, user.is_blocked());
        let revocation = (is_banned || ends_bans).then(|| shared.ban_state(is_banned, version_ms));
        let change = Change::User { id: user.id.clone(), revocation, version_ms: Some(version_ms) };
        self.share(change, call);
        if call.is_replay {
            return;
        }
        // After the change, which makes the snapshots before it useless.
        if self.settings.mode != UserMode::Claims
            && age_ms < i64::MAX
            && let Ok(found) = shared.user(&user.id, call.deadline)
            && let Some(generation) = found.generation
        {
            let fetched_at_ms = now.wall_ms.saturating_sub(age_ms);
            let _ = shared.put_user(user, fetched_at_ms, generation, call.deadline);
        }
    }

    /// Whether another process has shared a newer version of a user: a webhook event about this one is late.
    pub fn is_older_than_shared(&self, user: &ClerkUser, deadline: Deadline) -> bool {
        let Some(shared) = self.shared.as_ref().filter(|_| self.settings.mode != UserMode::Claims) else {
            return false;
        };
        let found = shared.user(&user.id, deadline).ok().and_then(|found| found.snapshot);
        found.is_some_and(|snapshot| snapshot.version_ms() > user.updated_at_ms)
    }

    /// Sends changes that wait, for a short time: the caller has something else to do. Returns whether others still wait.
    fn send_changes(&self, shared: &SharedCache, deadline: Deadline) -> Result<bool, Unavailable> {
        let (begun, shutdowns) = (Instant::now(), self.changes.shutdowns());
        while begun.elapsed() < SLICE && !deadline.remaining().is_zero() && shutdowns == self.changes.shutdowns() {
            let Some(change) = self.changes.take() else { return Ok(false) };
            self.send(shared, change, deadline)?;
        }
        Ok(self.changes.has_unsent())
    }

    /// Sends a change. One that cannot be sent waits again.
    fn send(&self, shared: &SharedCache, sending: Sending<'_>, deadline: Deadline) -> Result<(), Unavailable> {
        let sent = self.store_and_publish(shared, &sending.change, deadline);
        match sent {
            Ok(()) => sending.mark_sent(),
            Err(Unavailable) => drop(sending),
        }
        if self.changes.take_overflows() > 0 {
            self.backend.events.log(Level::Error, || {
                "shared cache: too many revocations wait for it; one more reaches no other process".into()
            });
        }
        sent
    }

    fn store_and_publish(&self, shared: &SharedCache, change: &Change, deadline: Deadline) -> Result<(), Unavailable> {
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
            // Perhaps instead of others for which there was no room.
            Change::All { users: true } => shared.invalidate_all(deadline)?,
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
        let (deadline, shutdowns) = (Deadline::after(timeout), self.changes.shutdowns());
        let is_cancelled = || shutdowns != self.changes.shutdowns();
        let (slice, mut applied) = (Deadline::after(SLICE), 0);
        loop {
            let begun = Instant::now();
            let wait = if applied > 0 { Duration::ZERO } else { deadline.remaining().min(WAIT) };
            let read = self.changes.try_read().map(|_reading| self.exchange_changes(shared, wait));
            let (outcome, pause) = match read {
                // A read has a limit: what it left is as old.
                Some(Ok(read)) if read.may_be_more && !slice.remaining().is_zero() && !is_cancelled() => {
                    applied += read.applied;
                    continue;
                }
                Some(Ok(read)) if applied + read.applied > 0 => return Some(applied + read.applied),
                _ if applied > 0 => return Some(applied),
                // An engine need not wait, and entries need not be of this instance.
                Some(Ok(_)) => (Some(0), MIN_PAUSE.saturating_sub(begun.elapsed())),
                // An engine without streams has nothing to read.
                Some(Err(Unavailable)) if !shared.has_stream() => (None, WAIT),
                Some(Err(Unavailable)) => (None, shared.retry_wait().clamp(MIN_PAUSE, WAIT)),
                // Another thread is reading.
                None => (Some(0), MIN_PAUSE),
            };
            if !is_cancelled() {
                std::thread::sleep(pause.min(deadline.remaining()));
            }
            if deadline.remaining().is_zero() || is_cancelled() {
                return outcome;
            }
        }
    }

    /// Reads what others have changed, then sends what waits: a slow engine keeps no revocation of others away.
    fn exchange_changes(&self, shared: &SharedCache, wait: Duration) -> Result<Applied, Unavailable> {
        let has_backlog = self.changes.has_unsent() || self.changes.has_lost();
        let wait = if has_backlog { Duration::ZERO } else { wait };
        let deadline = Deadline::after(wait + WAIT.min(self.settings.timeout));
        let applied = self.read_changes(shared, wait, deadline);
        if self.send_changes(shared, deadline) == Ok(false) {
            let _ = self.restore_revocations(shared, deadline);
        }
        applied
    }

    fn read_changes(&self, shared: &SharedCache, wait: Duration, deadline: Deadline) -> Result<Applied, Unavailable> {
        let Some(last_id) = self.changes.last_id() else {
            self.find_end(shared, deadline)?;
            // The engine may have lost its entries before this process read anything.
            self.restore_known_revocations();
            return Ok(Applied::default());
        };
        let read = shared.read_stream(&last_id, wait)?;
        if read.has_gap {
            // Readers that were behind what the engine has lost see no gap. Without the engine, this one sees it again.
            if shared.lease_gap(deadline)? {
                let _ = self.send(shared, self.changes.begin(Change::Gap), deadline);
            }
            // Something may have been missed; from here on nothing is.
            self.changes.set_last_id(None);
            shared.record_loss();
            self.restore_known_revocations();
            return self.find_end(shared, deadline).map(|()| Applied::default());
        }
        let applied = read.entries.iter().map(|(_, sealed)| usize::from(self.apply_sealed(shared, sealed))).sum();
        let may_be_more = last_id != read.last_id;
        self.changes.set_last_id(Some(read.last_id));
        Ok(Applied { applied, may_be_more })
    }

    /// Begins to read at the end of the stream: whatever was cached before may be outdated.
    fn find_end(&self, shared: &SharedCache, deadline: Deadline) -> Result<(), Unavailable> {
        let end = shared.stream_end(deadline)?;
        self.changes.set_last_id(Some(end));
        self.look_everything_up_again();
        Ok(())
    }

    fn look_everything_up_again(&self) {
        self.invalidate_all(|| {
            // Those that cannot be fetched now may be stale, as they were during the outage: all at once are more than Clerk allows.
            self.users.set_all_outdated();
            self.forget_what_is_read_again();
        });
    }

    /// Removes all that is cached.
    pub fn forget_all(&self) {
        self.invalidate_all(|| {
            self.users.clear();
            self.forget_what_is_read_again();
        });
    }

    /// Removes what is known of rows, sessions and machine tokens.
    fn forget_what_is_read_again(&self) {
        self.blocked_users.forget_rows();
        self.sessions.clear();
        self.machine_tokens.clear_refusals();
    }

    /// Has the revocations that this process knows stored again, if the engine lacks them.
    pub fn restore_known_revocations(&self) {
        if self.shared.is_some() {
            self.changes.set_lost(self.known_revocations());
        }
    }

    /// Has revocations stored, if the engine lacks them: the poller looks.
    pub fn restore(&self, revocations: Vec<LostRevocation>) {
        if self.shared.is_some() && !revocations.is_empty() {
            self.changes.add_lost(revocations);
        }
    }

    fn known_revocations(&self) -> Vec<LostRevocation> {
        let now = self.clock.now();
        let mut known: Vec<_> = self.export(now).map(|export| export.timed().collect()).unwrap_or_default();
        if self.settings.mode != UserMode::Claims {
            let bans = self.blocked_users.bans(now).into_iter().filter(|(id, ban)| !self.has_ended(id, ban, now));
            known.extend(bans.map(|(id, ban)| (Scope::Subject, id, ban)));
        }
        known
    }

    /// Returns the revocations of this process, for others.
    pub fn export(&self, now: Now) -> Option<Export> {
        let mut export = self.revocations.export(now)?;
        export.retain_users(|id, revocation| !self.has_ended(id, revocation, now));
        Some(export)
    }

    /// Whether a ban has ended for all others, although it counts here: this process has received it itself.
    fn has_ended(&self, id: &str, revocation: &TimedRevocation, now: Now) -> bool {
        let newest_ms = self.users.newest_version(id, now);
        let is_newest = |user: &ClerkUser| newest_ms == Some(user.updated_at_ms);
        let is_banned_again =
            || self.users.cached(id, now).is_some_and(|cached| cached.user.is_blocked() && is_newest(&cached.user));
        revocation.revocation == Revocation::Banned && newest_ms > Some(revocation.revoked_at_ms) && !is_banned_again()
    }

    /// Stores revocations that the engine has lost, the newest first, for a short time, and sends them again: processes that have
    /// seen no gap may not know them either. Of all processes that know one, one sends it.
    fn restore_revocations(&self, shared: &SharedCache, deadline: Deadline) -> Result<(), Unavailable> {
        let (begun, shutdowns) = (Instant::now(), self.changes.shutdowns());
        while begun.elapsed() < SLICE && !deadline.remaining().is_zero() && shutdowns == self.changes.shutdowns() {
            let Some((scope, id, revocation)) = self.changes.take_lost() else { break };
            let (user, session) = if scope == Scope::Session { (None, Some(&*id)) } else { (Some(&*id), None) };
            match shared.restore_revocation(user, session, revocation, deadline) {
                Ok(false) => {}
                Ok(true) => self.send(shared, self.changes.begin(revoked(scope, id, revocation)), deadline)?,
                Err(Unavailable) => {
                    self.changes.put_back_lost((scope, id, revocation));
                    return Err(Unavailable);
                }
            }
        }
        Ok(())
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
            Change::Gap => {
                self.restore_known_revocations();
                self.look_everything_up_again();
            }
            Change::Session { id, revocation } if is_clerk_id(id, "sess_") => {
                self.invalidate(Scope::Session, id, || {
                    revocation.map(|revocation| self.import(Scope::Session, id, revocation, now));
                    self.sessions.remove(id);
                });
            }
            Change::User { id, revocation, version_ms } if is_clerk_id(id, "user_") => {
                self.invalidate(Scope::Subject, id, || {
                    revocation.map(|revocation| self.import(Scope::Subject, id, revocation, now));
                    self.users.remove_before(id, *version_ms, now);
                    self.blocked_users.forget_row(id);
                });
            }
            Change::Memberships { user_id } => self.invalidate(Scope::Subject, user_id, || ()),
            Change::Organization { id } => self.invalidate(Scope::Organization, id, || ()),
            Change::Token { hash } => self.invalidate_token(&TokenHash(*hash)),
            Change::All { users: true } => self.forget_all(),
            Change::All { users: false } => self.invalidate_all(|| ()),
            Change::Session { .. } | Change::User { .. } => {}
        }
    }

    /// Adds a ban of another process, or its end, that the application has copied.
    pub fn import_copied_ban(&self, id: String, ban: TimedRevocation, now: Now) {
        // An export lists every ban that has ended: most of them are not known here.
        let is_blocked = || self.users.cached(&id, now).is_some_and(|cached| cached.user.is_blocked());
        let is_known = || self.blocked_users.is_banned(&id, now) != Ok(false) || is_blocked();
        if ban.revocation == Revocation::Banned || is_known() {
            self.apply_change(&Change::User { id, revocation: Some(ban), version_ms: None }, now);
        }
    }

    /// Adds a revocation of another process to those of this one. Returns whether other tokens are rejected now than before.
    pub fn import(&self, scope: Scope, id: &str, revocation: TimedRevocation, now: Now) -> bool {
        if self.is_older_report(id, &revocation, now) {
            return false;
        }
        let version_ms = revocation.version_ms();
        let is_end_of_known = revocation.revocation == Revocation::Lifted
            && (self.blocked_users.is_banned(id, now) != Ok(false)
                || self.revocations.is_user_revoked(id, Reason::UserInactive, now));
        let is_changed = match version_ms.filter(|_| self.settings.mode != UserMode::Claims) {
            Some(version_ms) => self.import_ban(id, version_ms, revocation, now),
            None => {
                let merged = self.revocations.import(scope == Scope::Session, id, revocation, now);
                if merged.is_evicting {
                    self.invalidate_all(|| ());
                }
                merged.is_changed
            }
        };
        // A ban that this process has received itself stays, but is reported to no other process again. One that ends does not come
        // back with a late report.
        if let Some(version_ms) = version_ms.filter(|_| is_end_of_known) {
            self.users.record_version(id, version_ms, now);
        }
        is_changed
    }

    /// Where users are fetched, Clerk decides about bans: another process only reports that a user has to be fetched. Returns whether
    /// what is known of the user here may be the version before.
    fn import_ban(&self, id: &str, version_ms: i64, revocation: TimedRevocation, now: Now) -> bool {
        let newest_ms = self.users.newest_version(id, now);
        let is_newer = newest_ms < Some(version_ms) && self.blocked_users.import(id, revocation, now);
        if is_newer && let Some(cached) = self.users.cached(id, now) {
            cached.set_outdated();
        }
        is_newer && newest_ms.is_some()
    }

    /// Whether another process reports a ban, or its end, of an older version of the user than this process has seen.
    pub fn is_older_report(&self, id: &str, revocation: &TimedRevocation, now: Now) -> bool {
        let version_ms = revocation.version_ms();
        version_ms.is_some_and(|version_ms| self.users.newest_version(id, now) > Some(version_ms))
    }
}

/// Returns the change that reports the revocation of a user or a session.
fn revoked(scope: Scope, id: String, revocation: TimedRevocation) -> Change {
    match scope {
        Scope::Session => Change::Session { id, revocation: Some(revocation) },
        Scope::Subject => Change::User { id, revocation: Some(revocation), version_ms: None },
        Scope::Organization => Change::Organization { id },
    }
}

/// Returns the revocation that a change reports; the reverse.
fn revocation_of(change: Change) -> Option<LostRevocation> {
    match change {
        Change::Session { id, revocation } => revocation.map(|revocation| (Scope::Session, id, revocation)),
        Change::User { id, revocation, .. } => revocation.map(|revocation| (Scope::Subject, id, revocation)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
