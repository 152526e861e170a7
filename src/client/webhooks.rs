//! Applies webhook events: invalidates users, sessions and organizations, and updates the users' rows.

use std::sync::Arc;
use std::time::Duration;

use super::auth_context::Demand;
use super::auth_result::VerifyError;
use super::inner::Inner;
use super::invalidations::Scope;
use super::row_task::{RowOutcome, RowTask, TaskStep};
use super::sharing::Call;
use super::stepwise::{NextAction, Step, Waiting};
use super::user_cache::{CachedUser, FoundUser};
use super::webhook_receiver::{Reservation, WebhookOutcome};
use crate::api::ClerkUser;
use crate::clock::Now;
use crate::config::UserMode;
use crate::events::Event;
use crate::reason::Reason;
use crate::shared_cache::{Change, Unavailable};
use crate::token::is_clerk_id;
use crate::users::{Origin, StoreError, StoreResponse, SyncError, SyncEvent, UserSync};
use crate::webhooks::{Headers, WebhookError, WebhookEvent};

/// The maximum number of fetches for the row of one event.
const MAX_FETCHES: u32 = 3;

/// An event about a user whose row has to be updated.
pub(super) enum RowUpdate {
    /// From the user.
    Sync(UserEvent, Next),
    /// The user is deleted: the row is deactivated.
    Deactivation(Reservation, String, Box<RowTask>),
}

pub(super) enum Next {
    Ask(Box<RowTask>),
    /// The event alone may not change the row: the user has to be fetched.
    FetchUser {
        /// The sync to continue then; `None` starts a new one.
        sync: Option<Box<UserSync>>,
        after: u64,
    },
}

pub(super) struct UserEvent {
    reservation: Reservation,
    now: Now,
    found: FoundUser,
    /// The number of the last invalidation when the event was applied, or the user was fetched again.
    begun: u64,
    fetches: u32,
}

type RowStep = Step<RowUpdate>;

impl Inner {
    /// Verifies a delivery and applies its event, the user's row excepted.
    pub fn begin_webhook(&self, headers: &Headers<'_>, body: &[u8]) -> RowStep {
        let (now, deadline) = (self.clock.now(), self.deadline());
        let (reservation, event) = match self.webhooks.receive(headers, body, now) {
            Ok(received) => received,
            Err(outcome) => return Step::Done(outcome),
        };
        let delivery = reservation.id().to_owned();
        let call = Call { deadline, delivery: Some(&delivery), is_replay: false };
        let revoked = revoked(&event);
        let outcome = match event {
            // The id becomes part of a URL.
            WebhookEvent::User(user) if !is_clerk_id(&user.id, "user_") => {
                return Step::Done(WebhookOutcome::Rejected(WebhookError::InvalidPayload));
            }
            WebhookEvent::User(user) => match self.apply_user_update(*user, now, call) {
                Some(user) if self.settings.mode == UserMode::Sync => {
                    let found = FoundUser::new(user, Origin::Event);
                    let begun = self.invalidations.sequence();
                    return self.sync_event(UserEvent { reservation, now, found, begun, fetches: 0 });
                }
                Some(_) => WebhookOutcome::Applied,
                None => WebhookOutcome::Ignored,
            },
            WebhookEvent::UserDeleted(id) if self.settings.deactivate_deleted_users => {
                self.remove_user(&id, now, call);
                let task = RowTask::deactivate(id.clone(), self.schema());
                return Step::Waiting(RowUpdate::Deactivation(reservation, id, task));
            }
            event => self.apply(event, now, call),
        };
        Step::Done(self.finish_delivery(reservation, revoked, outcome))
    }

    /// Verifies a delivery that another process of this server has received, and applies its event in memory: without I/O, and
    /// without the user's row. Not marked as processed: if the delivery comes again, what the receiver could not do is done here.
    pub fn replay_webhook(&self, headers: &Headers<'_>, body: &[u8]) -> WebhookOutcome {
        let now = self.clock.now();
        let (_reservation, event) = match self.webhooks.receive(headers, body, now) {
            Ok(received) => received,
            Err(outcome) => return outcome,
        };
        let call = Call { deadline: self.deadline(), delivery: None, is_replay: true };
        match event {
            WebhookEvent::User(user) if !is_clerk_id(&user.id, "user_") => {
                WebhookOutcome::Rejected(WebhookError::InvalidPayload)
            }
            WebhookEvent::User(user) => match self.apply_user_update(*user, now, call) {
                Some(_) => WebhookOutcome::Applied,
                None => WebhookOutcome::Ignored,
            },
            event => self.apply(event, now, call),
        }
    }

    /// Ends a delivery that was applied. Where requests rely on the shared cache, one whose revocation is not there yet has to come
    /// again: if this process ended before, the others would not learn of it.
    fn finish_delivery(
        &self,
        reservation: Reservation,
        revoked: Option<(Scope, String)>,
        outcome: WebhookOutcome,
    ) -> WebhookOutcome {
        if revoked.is_some_and(|(scope, id)| self.needs_redelivery(scope, &id)) {
            return WebhookOutcome::Failed(SyncError::Rejected(Reason::SharedCacheUnavailable));
        }
        reservation.mark_processed();
        outcome
    }

    fn sync_event(&self, event: UserEvent) -> RowStep {
        let row_key = event.found.user.row_key();
        let step = RowTask::sync(event.found.snapshot(), self.sync_rules(), row_key);
        self.follow_event(event, step)
    }

    fn follow_event(&self, event: UserEvent, step: TaskStep) -> RowStep {
        let user = &event.found.user;
        if let TaskStep::FetchUser { row, events, .. } = &step {
            let row_key = row.as_ref().map_or("", |row| row.key.as_str());
            self.backend.emit_sync_events(events, row_key, &user.user.id);
        }
        // A newer event may have been written meanwhile, or what was written here may be older than it.
        let key = self.invalidations.key(Scope::Subject, &user.user.id);
        if self.invalidations.is_key_invalidated_since(event.begun, key) {
            return self.fetch_for_event(event, None);
        }
        match step {
            TaskStep::Ask(task) => Step::Waiting(RowUpdate::Sync(event, Next::Ask(task))),
            TaskStep::FetchUser { is_older: true, .. } => {
                user.set_outdated();
                event.reservation.mark_processed();
                Step::Done(WebhookOutcome::Ignored)
            }
            TaskStep::FetchUser { sync, .. } => self.fetch_for_event(event, Some(sync)),
            TaskStep::Done(row, sync_events) => Step::Done(self.finish_webhook(event, row, &sync_events)),
        }
    }

    fn fetch_for_event(&self, mut event: UserEvent, sync: Option<Box<UserSync>>) -> RowStep {
        event.fetches += 1;
        if event.fetches > MAX_FETCHES {
            return Step::Done(WebhookOutcome::Failed(SyncError::Rejected(Reason::ServerError)));
        }
        let next = Next::FetchUser { sync, after: self.users.last_fetch() };
        Step::Waiting(RowUpdate::Sync(event, next))
    }

    fn apply(&self, event: WebhookEvent, now: Now, call: Call<'_>) -> WebhookOutcome {
        match event {
            WebhookEvent::UserDeleted(id) => self.remove_user(&id, now, call),
            WebhookEvent::SessionEnded(id) => self.revoke_session(&id, now, call),
            WebhookEvent::SessionPending(id) => {
                self.invalidate(Scope::Session, &id, || self.sessions.remove(&id));
                self.share(Change::Session { id, revocation: None }, call);
            }
            WebhookEvent::Membership { user_id } => {
                self.invalidate(Scope::Subject, &user_id, || ());
                self.share(Change::Memberships { user_id }, call);
            }
            WebhookEvent::OrganizationChanged(id) => {
                self.invalidate(Scope::Organization, &id, || ());
                self.share(Change::Organization { id }, call);
            }
            WebhookEvent::RolesChanged => {
                self.invalidate_all(|| ());
                self.share(Change::All { users: false }, call);
            }
            WebhookEvent::User(_) | WebhookEvent::Other => return WebhookOutcome::Ignored,
        }
        WebhookOutcome::Applied
    }

    fn remove_user(&self, id: &str, now: Now, call: Call<'_>) {
        self.revoke_user(id, Reason::UserNotFound, now, call);
        self.backend.events.emit(Event::UserDeleted { clerk_id: id });
    }

    /// Caches the user of an event. Returns `None` for an event that is older than the last one applied: events may arrive
    /// out of order, and none is applied after a deletion.
    fn apply_user_update(&self, user: ClerkUser, now: Now, call: Call<'_>) -> Option<Arc<CachedUser>> {
        let id = user.id.clone();
        if user.is_blocked() && self.users.is_newer(&user, now) {
            self.block_until_decided(&user, now);
        }
        // Without the shared cache, this process decides by what it knows.
        let shared = match call.is_replay {
            true => Err(Unavailable),
            false => self.import_shared_revocations(Some(&id), None, now, call.deadline),
        };
        let shared_ms = shared.map(|found| found.version_ms);
        if shared_ms.is_ok_and(|shared_ms| shared_ms > Some(user.updated_at_ms))
            || (!call.is_replay && self.is_older_than_shared(&user, call.deadline))
            || self.revocations.is_user_revoked(&id, Reason::UserNotFound, now)
            || !self.users.is_newer(&user, now)
        {
            return None;
        }
        // Where users are fetched, only the ban of a user and its end are stored, not that there is none.
        let ends_bans = self.settings.mode == UserMode::Claims
            || self.blocked_users.is_banned(&id, now) != Ok(false)
            || shared_ms != Ok(None);
        let (user, age_ms) = self.invalidate(Scope::Subject, &id, || {
            let is_banned = self.blocked_users.record_event(&user, now);
            let age_ms = match self.settings.mode {
                // A ban counts as long as its event is the newest. Where no row decides, an event that is late is no better than a
                // user that was cached for as long.
                _ if user.is_blocked() => 0,
                _ if is_banned => i64::MAX,
                UserMode::Profile => now.wall_ms.saturating_sub(user.updated_at_ms).max(0),
                UserMode::Claims | UserMode::Sync => 0,
            };
            // In this mode no user is fetched: only the event reports a ban.
            match self.settings.mode {
                UserMode::Claims if user.is_blocked() => self.revocations.ban_user(&id, user.updated_at_ms, now),
                UserMode::Claims if !is_banned => self.revocations.lift_ban(&id, user.updated_at_ms, now),
                _ => {}
            }
            (self.users.apply_update(user, age_ms, now), age_ms)
        });
        self.share_user(&user.user, age_ms, ends_bans, now, call);
        Some(user)
    }

    fn follow_deactivation(&self, reservation: Reservation, id: String, step: TaskStep) -> RowStep {
        let failure = match step {
            TaskStep::Ask(task) => return Step::Waiting(RowUpdate::Deactivation(reservation, id, task)),
            TaskStep::Done(RowOutcome::Synced(row), sync_events) => {
                self.backend.emit_sync_events(&sync_events, &row.key, &id);
                return Step::Done(self.finish_deletion(reservation, id));
            }
            TaskStep::Done(RowOutcome::Missing, _) => return Step::Done(self.finish_deletion(reservation, id)),
            TaskStep::Done(RowOutcome::Refused(reason), _) => SyncError::Rejected(reason),
            TaskStep::Done(RowOutcome::Failed(error), _) => SyncError::Store(error),
            TaskStep::Done(RowOutcome::Confirmed(_), _) | TaskStep::FetchUser { .. } => {
                SyncError::Rejected(Reason::StoreError)
            }
        };
        // Not marked: the event has to be delivered again.
        Step::Done(WebhookOutcome::Failed(failure))
    }

    fn finish_deletion(&self, reservation: Reservation, id: String) -> WebhookOutcome {
        self.finish_delivery(reservation, Some((Scope::Subject, id)), WebhookOutcome::Applied)
    }

    fn finish_webhook(&self, event: UserEvent, row: RowOutcome, sync_events: &[SyncEvent]) -> WebhookOutcome {
        let user = &event.found.user;
        let row_key = if let RowOutcome::Synced(row) = &row { row.key.as_str() } else { "" };
        self.backend.emit_sync_events(sync_events, row_key, &user.user.id);
        let failure = match row {
            RowOutcome::Synced(row) => {
                user.set_row_key(&row.key);
                let revoked = Some((Scope::Subject, user.user.id.clone()));
                return self.finish_delivery(event.reservation, revoked, WebhookOutcome::Applied);
            }
            RowOutcome::Confirmed(_) | RowOutcome::Missing => SyncError::Rejected(Reason::StoreError),
            RowOutcome::Refused(reason) => SyncError::Rejected(reason),
            RowOutcome::Failed(error) => SyncError::Store(error),
        };
        // Not marked: the event has to be delivered again.
        WebhookOutcome::Failed(failure)
    }
}

/// Returns whose tokens an event may revoke.
fn revoked(event: &WebhookEvent) -> Option<(Scope, String)> {
    match event {
        WebhookEvent::User(user) => Some((Scope::Subject, user.id.clone())),
        WebhookEvent::UserDeleted(id) => Some((Scope::Subject, id.clone())),
        WebhookEvent::SessionEnded(id) => Some((Scope::Session, id.clone())),
        _ => None,
    }
}

impl Waiting for RowUpdate {
    type Outcome = WebhookOutcome;

    fn next_action(&self) -> NextAction<'_> {
        match self {
            RowUpdate::Sync(_, Next::Ask(task)) | RowUpdate::Deactivation(.., task) => {
                NextAction::QueryStore(task.request())
            }
            RowUpdate::Sync(_, Next::FetchUser { .. }) => NextAction::FetchUser,
        }
    }

    fn time_left(&self, inner: &Inner) -> Duration {
        inner.settings.timeout
    }

    fn submit(self, inner: &Inner, response: Result<StoreResponse, StoreError>) -> RowStep {
        match self {
            RowUpdate::Sync(event, Next::Ask(task)) => inner.follow_event(event, task.submit(response)),
            RowUpdate::Deactivation(reservation, id, task) => {
                inner.follow_deactivation(reservation, id, task.submit(response))
            }
            waiting @ RowUpdate::Sync(_, Next::FetchUser { .. }) => Step::Waiting(waiting),
        }
    }

    fn fetch_user(self, inner: &Inner, shutdowns: u64) -> RowStep {
        let (mut event, sync, after) = match self {
            RowUpdate::Sync(event, Next::FetchUser { sync, after }) => (event, sync, after),
            waiting => return Step::Waiting(waiting),
        };
        let id = event.found.user.user.id.clone();
        event.begun = inner.invalidations.sequence();
        let demand = Demand { after: Some(after), ..Demand::default() };
        match inner.find_user(&id, demand, event.now, inner.blocking_for(inner.settings.timeout, shutdowns)) {
            Ok(found) => {
                event.begun = event.begun.min(found.begun.unwrap_or(u64::MAX));
                event.found = found;
                match sync {
                    Some(sync) => {
                        let step = RowTask::resume(sync, event.found.snapshot());
                        inner.follow_event(event, step)
                    }
                    None => inner.sync_event(event),
                }
            }
            // Deleted meanwhile: the event is late.
            Err(VerifyError::Refused(error)) if error.reason == Reason::UserNotFound => {
                inner.users.remove(&id);
                event.reservation.mark_processed();
                Step::Done(WebhookOutcome::Ignored)
            }
            Err(VerifyError::Refused(error)) => Step::Done(WebhookOutcome::Failed(SyncError::Rejected(error.reason))),
            Err(VerifyError::WouldBlock) => {
                Step::Done(WebhookOutcome::Failed(SyncError::Rejected(Reason::InternalError)))
            }
        }
    }

    fn abandon(self, _: &Inner) -> WebhookOutcome {
        WebhookOutcome::Failed(SyncError::Store(StoreError::failed(
            0,
            "the webhook was finished before its last store request",
        )))
    }
}
