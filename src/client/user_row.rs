//! The row of a verified token's user: what follows from it, and when the user has to be fetched again.

use super::auth_context::{AuthContext, VerifiedToken};
use super::auth_result::{AuthError, VerifyError};
use super::authenticate::{AuthStep, AuthWaiting, ResolvedUser, store_error};
use super::inner::Inner;
use super::row_task::{RowOutcome, RowTask, TaskStep};
use super::stepwise::Step;
use super::user_cache::{FoundUser, RowRead};
use crate::clock::Io;
use crate::events::Event;
use crate::reason::{Category, Reason};
use crate::users::{Origin, SyncEvent};

impl Inner {
    pub fn sync_row(&self, context: AuthContext, token: Box<VerifiedToken>, found: FoundUser) -> AuthStep {
        let step = RowTask::sync(found.snapshot(), self.sync_rules(), found.user.row_key());
        self.follow_row(context, token, found, step)
    }

    /// Continues after a response of the store.
    pub fn follow_row(
        &self,
        context: AuthContext,
        token: Box<VerifiedToken>,
        found: FoundUser,
        step: TaskStep,
    ) -> AuthStep {
        match step {
            // The next request may be a write, and it must not write data from before an invalidation.
            TaskStep::Ask(_) | TaskStep::FetchUser { .. }
                if self.invalidations.is_invalidated_since(context.begun, &token.keys) =>
            {
                self.restart(context, token, Io::CacheOnly)
            }
            TaskStep::Ask(task) => Step::Waiting(AuthWaiting::ResolveRow(context, token, found, task)),
            TaskStep::FetchUser { sync, row, is_older, events } => {
                let row_key = row.as_ref().map_or("", |row| row.key.as_str());
                self.backend.emit_sync_events(&events, row_key, &found.user.user.id);
                self.fetch_again(context, token, RowRead { sync, found, row, is_older })
            }
            TaskStep::Done(outcome, events) => self.finish_row(context, token, found, outcome, &events),
        }
    }

    /// Fetches the user once for each time that the row was read, and not again after a failed fetch.
    fn fetch_again(&self, mut context: AuthContext, token: Box<VerifiedToken>, read: RowRead) -> AuthStep {
        if read.is_older {
            read.found.user.set_outdated();
        }
        if context.demand.after.is_some() || read.found.is_stale {
            return self.decide_by_row(context, token, read, None);
        }
        context.demand.after = Some(self.users.last_fetch());
        Step::Waiting(AuthWaiting::FetchUser(context, token, Some(Box::new(read))))
    }

    pub fn fetch_user(
        &self,
        mut context: AuthContext,
        mut token: Box<VerifiedToken>,
        read: Option<RowRead>,
        shutdowns: u64,
    ) -> AuthStep {
        let io = self.blocking_for(context.clerk_time_left.unwrap_or(self.settings.timeout), shutdowns);
        let restarts = context.restarts;
        let error = match (self.resolve_again(&mut context, &mut token, io), read) {
            // After a restart the user may come from a fetch before the row was read.
            (Ok(ResolvedUser::RowToSync(found)), Some(read)) if context.restarts == restarts => {
                let step = RowTask::resume(read.sync, found.snapshot());
                return self.follow_row(context, token, found, step);
            }
            (Ok(resolved), _) => return self.ask_or_finish(context, token, resolved, io),
            (Err(VerifyError::Refused(error)), Some(read)) if error.reason.category() == Category::Unavailable => {
                return self.decide_by_row(context, token, read, Some(error));
            }
            (Err(VerifyError::Refused(error)), _) => error,
            (Err(VerifyError::WouldBlock), _) => Reason::InternalError.into(),
        };
        Step::Done(self.reject(&context, error))
    }

    /// Finishes by the row alone if there is no user newer than it: writes nothing, and adds attributes of a cached user only if
    /// the user may be stale. `error` is why the fetch failed.
    fn decide_by_row(
        &self,
        context: AuthContext,
        token: Box<VerifiedToken>,
        read: RowRead,
        error: Option<AuthError>,
    ) -> AuthStep {
        let RowRead { found, row, is_older, .. } = read;
        let user = &found.user;
        let Some(row) = row else {
            return Step::Done(self.reject(&context, error.unwrap_or(Reason::ServerError.into())));
        };
        let is_blocked = user.user.is_blocked();
        let is_fetched = found.origin == Origin::Fetched;
        self.blocked_users.record_row(&user.user.id, row.is_active, context.now);
        if !row.is_active || (is_blocked && (is_fetched || !is_older)) {
            return Step::Done(self.reject(&context, Reason::UserInactive));
        }
        user.set_row_key(&row.key);
        user.row_check.confirm(context.now);
        let is_usable = !is_blocked && (is_fetched || self.users.may_be_stale(user, context.now));
        if is_usable && error.is_some() {
            self.users.report_stale(&user.user.id, &self.backend);
        }
        self.finish(context, token, is_usable.then_some(&**user), Some(row), Io::CacheOnly)
    }

    fn finish_row(
        &self,
        context: AuthContext,
        token: Box<VerifiedToken>,
        found: FoundUser,
        outcome: RowOutcome,
        events: &[SyncEvent],
    ) -> AuthStep {
        let user = &found.user;
        let clerk_id = &user.user.id;
        match outcome {
            RowOutcome::Failed(error) => Step::Done(self.reject(&context, store_error(error))),
            RowOutcome::Missing => self.sync_row(context, token, found),
            // Banned at Clerk and active here, deactivated by a ban that has ended, written from a newer user, or not written yet
            // from this one because the store failed.
            RowOutcome::Confirmed(row)
                if (row.is_active == user.user.is_blocked() && (row.is_active || row.banned_by_clerk))
                    || row.clerk_updated_at_ms.is_some_and(|version| version != user.user.updated_at_ms) =>
            {
                self.sync_row(context, token, found)
            }
            RowOutcome::Refused(reason) => {
                self.backend.emit_sync_events(events, "", clerk_id);
                if reason == Reason::LinkConflict {
                    self.backend.events.emit(Event::LinkConflict { clerk_id });
                }
                Step::Done(self.reject(&context, reason))
            }
            RowOutcome::Confirmed(row) | RowOutcome::Synced(row) => {
                self.backend.emit_sync_events(events, &row.key, clerk_id);
                user.set_row_key(&row.key);
                if row.is_active {
                    user.row_check.confirm(context.now);
                }
                // What was written may be older than the event that invalidated it: the next attempt starts from Clerk.
                if !events.is_empty() && self.invalidations.is_invalidated_since(context.begun, &token.keys) {
                    self.users.remove(clerk_id);
                }
                self.finish(context, token, Some(user), Some(row), Io::CacheOnly)
            }
        }
    }
}
