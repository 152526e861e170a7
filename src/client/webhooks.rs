//! Applies webhook events: invalidates users, sessions and organizations, and updates the users' rows.

use std::sync::Arc;

use super::inner::Inner;
use super::invalidations::Scope;
use super::row_task::{RowOutcome, RowTask, TaskStep};
use super::stepwise::{NextAction, Step, Waiting};
use super::user_cache::CachedUser;
use super::webhook_receiver::WebhookOutcome;
use crate::api::ClerkUser;
use crate::clock::Now;
use crate::config::UserMode;
use crate::events::Event;
use crate::reason::Reason;
use crate::users::{StoreError, StoreResponse, SyncError, SyncEvent};
use crate::webhooks::{Headers, WebhookEvent};

/// An event about a user whose row has to be updated.
pub(super) struct RowUpdate {
    event: UserEvent,
    task: Box<RowTask>,
}

struct UserEvent {
    delivery_id: Box<str>,
    now: Now,
    user: Arc<CachedUser>,
}

impl Inner {
    /// Verifies a delivery and applies its event, except for the user's row.
    pub fn begin_webhook(&self, headers: &Headers<'_>, body: &[u8]) -> Step<RowUpdate> {
        let now = self.clock.now();
        let (delivery_id, event) = match self.webhooks.receive(headers, body, now) {
            Ok(received) => received,
            Err(outcome) => return Step::Done(outcome),
        };
        let outcome = match event {
            WebhookEvent::User(user) => match self.apply_user_update(*user, now) {
                Some(user) if self.settings.mode == UserMode::Sync => {
                    let (schema, link) = (self.schema(), self.settings.link);
                    let task = RowTask::sync(user.user.clone(), schema, link, user.row_key());
                    return Step::Waiting(RowUpdate { event: UserEvent { delivery_id, now, user }, task });
                }
                Some(_) => WebhookOutcome::Applied,
                None => WebhookOutcome::Ignored,
            },
            event => self.apply(event, now),
        };
        self.webhooks.mark_processed(delivery_id, now);
        Step::Done(outcome)
    }

    fn apply(&self, event: WebhookEvent, now: Now) -> WebhookOutcome {
        match event {
            WebhookEvent::UserDeleted(id) => {
                self.invalidate(Scope::Subject, &id, || {
                    self.revocations.revoke_user(&id, Reason::UserNotFound, now);
                    self.users.remove(&id);
                });
                self.backend.events.tell(Event::UserDeleted { clerk_id: &id });
            }
            WebhookEvent::SessionEnded(id) => self.invalidate(Scope::Session, &id, || {
                self.revocations.revoke_session(&id, now);
                self.sessions.remove(&id);
            }),
            WebhookEvent::SessionPending(id) => {
                self.invalidate(Scope::Session, &id, || self.sessions.remove(&id));
            }
            WebhookEvent::Membership { user_id } => self.invalidate(Scope::Subject, &user_id, || ()),
            WebhookEvent::OrganizationChanged(id) => self.invalidate(Scope::Organization, &id, || ()),
            WebhookEvent::RolesChanged => self.invalidate_all(|| ()),
            WebhookEvent::User(_) | WebhookEvent::Other => return WebhookOutcome::Ignored,
        }
        WebhookOutcome::Applied
    }

    /// Caches the user of an event. Returns `None` for an event that is older than the last one applied: events may arrive
    /// out of order, and none is applied after a deletion.
    fn apply_user_update(&self, user: ClerkUser, now: Now) -> Option<Arc<CachedUser>> {
        let id = user.id.clone();
        if self.revocations.is_user_revoked(&id, Reason::UserNotFound, now) || !self.users.is_newer(&user, now) {
            return None;
        }
        Some(self.invalidate(Scope::Subject, &id, || {
            // In this mode no user is fetched: only the event reports a ban.
            match self.settings.mode {
                UserMode::Claims if user.is_blocked() => self.revocations.revoke_user(&id, Reason::UserInactive, now),
                UserMode::Claims => self.revocations.remove_user(&id, Reason::UserInactive),
                UserMode::Profile | UserMode::Sync => {}
            }
            self.users.apply_update(user, now)
        }))
    }

    fn finish_webhook(&self, event: UserEvent, row: RowOutcome, sync_events: &[SyncEvent]) -> WebhookOutcome {
        let row_key = if let RowOutcome::Synced(row) = &row { row.key.as_str() } else { "" };
        self.backend.emit_sync_events(sync_events, row_key, &event.user.user.id);
        let failure = match row {
            RowOutcome::Synced(row) => {
                event.user.set_row_key(&row.key);
                self.webhooks.mark_processed(event.delivery_id, event.now);
                return WebhookOutcome::Applied;
            }
            RowOutcome::Confirmed(_) | RowOutcome::Missing => SyncError::Rejected(Reason::StoreError),
            RowOutcome::Refused(reason) => SyncError::Rejected(reason),
            RowOutcome::Failed(error) => SyncError::Store(error),
        };
        // Not marked: the event has to be delivered again.
        WebhookOutcome::Failed(failure)
    }
}

impl Waiting for RowUpdate {
    type Outcome = WebhookOutcome;

    fn next_action(&self) -> NextAction<'_> {
        NextAction::QueryStore(self.task.request())
    }

    fn submit(self, inner: &Inner, response: Result<StoreResponse, StoreError>) -> Step<Self> {
        let RowUpdate { event, task } = self;
        match task.submit(response) {
            TaskStep::Ask(task) => Step::Waiting(RowUpdate { event, task }),
            TaskStep::Done(row, sync_events) => Step::Done(inner.finish_webhook(event, row, &sync_events)),
        }
    }

    fn fetch_user(self, _: &Inner) -> Step<Self> {
        Step::Waiting(self)
    }

    fn abandon(self, inner: &Inner) -> WebhookOutcome {
        let error = StoreError::failed(0, "the pending webhook was finished too early");
        match self.submit(inner, Err(error)) {
            Step::Done(outcome) => outcome,
            Step::Waiting(_) => WebhookOutcome::Failed(SyncError::Rejected(Reason::InternalError)),
        }
    }
}
