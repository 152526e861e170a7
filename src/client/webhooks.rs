//! What webhooks change: who is no longer let in, and what is no longer remembered.

use std::collections::VecDeque;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::users::CachedUser;
use super::{Client, Inner, NextAction};
use crate::api::ClerkUser;
use crate::cache::Cache;
use crate::clock::Now;
use crate::config::UserMode;
use crate::events::Event;
use crate::identity::Attribute;
use crate::reason::Reason;
use crate::token::TokenHash;
use crate::users::{
    Row, StoreError, StoreRequest, StoreResponse, SyncError, Transition, UserStore, UserSync, run_sync,
};
use crate::webhooks::{Headers, TOLERANCE_S, WebhookError, WebhookEvent, verify};

/// How a delivery was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookOutcome {
    /// It changed something, or would have.
    Applied,
    /// It is known already, another instance's, or tells nothing that matters here.
    Ignored,
    /// It is not Clerk's.
    Rejected(WebhookError),
    /// The user store failed; the delivery has to come again.
    Failed(SyncError),
}

/// The tokens of each subject that are remembered: no one of them can fill the cache.
pub(super) struct PerSubjectLimit(Cache<Box<str>, Arc<Mutex<VecDeque<TokenHash>>>, RandomState>);

const MOST_PER_SUBJECT: usize = 32;
/// Deliveries that were not taken come again for a day and some hours.
const REDELIVERED_MS: i64 = 48 * 60 * 60 * 1000;

impl PerSubjectLimit {
    pub fn new(capacity: usize) -> Self {
        PerSubjectLimit(Cache::new(capacity, RandomState::new()))
    }

    /// Takes note of a token; the one that has to go for it is returned.
    pub fn add(&self, subject: &str, hash: TokenHash, expires_ms: i64, now_ms: i64) -> Option<TokenHash> {
        let key: Box<str> = subject.into();
        let own = self.0.get(&key, now_ms).unwrap_or_default();
        self.0.put(key, own.clone(), expires_ms, now_ms);
        let mut own = own.lock();
        // One that was verified anew takes no second place.
        own.retain(|kept| *kept != hash);
        own.push_back(hash);
        if own.len() > MOST_PER_SUBJECT { own.pop_front() } else { None }
    }
}

/// What became of a delivery so far.
pub enum WebhookProgress {
    /// It is over.
    Done(WebhookOutcome),
    /// The user's row has to follow.
    Pending(Box<PendingWebhook>),
}

impl Client {
    /// Takes a webhook delivery: checks that Clerk made it and that it is new, then applies it.
    pub fn handle_webhook(&self, headers: &Headers<'_>, body: &[u8]) -> WebhookOutcome {
        match (self.begin_webhook(headers, body), self.inner.store.as_deref()) {
            (WebhookProgress::Done(handled), _) => handled,
            (WebhookProgress::Pending(pending), Some(store)) => pending.ask(store),
            (WebhookProgress::Pending(pending), None) => pending.into_handled(),
        }
    }

    /// The same for a host that asks its user table itself: everything but the row is done.
    pub fn begin_webhook(&self, headers: &Headers<'_>, body: &[u8]) -> WebhookProgress {
        let inner = &self.inner;
        let now = inner.clock.now();
        let delivery = match verify(&inner.webhook_secrets, headers, body, now.wall_ms.div_euclid(1000)) {
            Ok(delivery) => delivery,
            Err(refused) => return WebhookProgress::Done(WebhookOutcome::Rejected(refused)),
        };
        let id: Box<str> = delivery.id.into();
        if inner.deliveries.get(&id, now.mono_ms).is_some() {
            return WebhookProgress::Done(WebhookOutcome::Ignored);
        }
        let event = match delivery.event() {
            Ok(event) => event,
            Err(refused) => return WebhookProgress::Done(WebhookOutcome::Rejected(refused)),
        };
        let foreign =
            matches!((&inner.instance_id, &event.instance_id), (Some(own), given) if given.as_ref() != Some(own));
        let handled = match event.news {
            _ if foreign => WebhookOutcome::Ignored,
            WebhookEvent::User(user) => match inner.learn(*user, now) {
                Ok(known) if inner.mode == UserMode::Sync => {
                    let (sync, step) = inner.start_sync(&known);
                    let inner = inner.clone();
                    return WebhookProgress::Pending(Box::new(PendingWebhook {
                        inner,
                        id,
                        now,
                        known,
                        sync,
                        stage: Stage::StoreRequest(step),
                    }));
                }
                Ok(_) => WebhookOutcome::Applied,
                Err(older) => older,
            },
            news => inner.apply(news, now),
        };
        inner.settle(id, now, &handled);
        WebhookProgress::Done(handled)
    }
}

/// A delivery that waits for the store to bring the user's row up to date, one question at a time.
pub struct PendingWebhook {
    inner: Arc<Inner>,
    id: Box<str>,
    now: Now,
    known: Arc<CachedUser>,
    sync: UserSync,
    stage: Stage,
}

enum Stage {
    StoreRequest(StoreRequest),
    Over(Result<Row, SyncError>),
}

impl PendingWebhook {
    /// What is to be done next; never [`Wanted::Fetch`].
    pub fn wanted(&self) -> NextAction<'_> {
        match &self.stage {
            Stage::StoreRequest(step) => NextAction::QueryStore(step),
            Stage::Over(_) => NextAction::Done,
        }
    }

    /// Takes the store's answer. A failure ends it: the delivery has to come again.
    pub fn reply(&mut self, reply: Result<StoreResponse, StoreError>) {
        if matches!(self.stage, Stage::Over(_)) {
            return;
        }
        self.stage = match reply.map(|reply| self.sync.on_response(reply)) {
            Ok(Ok(Transition::Request(step))) => Stage::StoreRequest(step),
            Ok(Ok(Transition::Done(row))) => Stage::Over(Ok(row)),
            Ok(Err(reason)) => Stage::Over(Err(SyncError::Rejected(reason))),
            Err(error) => Stage::Over(Err(SyncError::Store(error))),
        };
    }

    /// How the delivery was taken. One that is still waiting for something has to come again.
    pub fn into_handled(self) -> WebhookOutcome {
        let PendingWebhook { inner, id, now, known, sync, stage } = self;
        let outcome = match stage {
            Stage::Over(outcome) => outcome,
            Stage::StoreRequest(_) => {
                Err(SyncError::Store(StoreError::failed(0, "the user store was not asked to the end")))
            }
        };
        inner.tell_notes(&sync.events, outcome.as_ref().map_or("", |row| &row.key), &known.user.id);
        let handled = match outcome {
            Ok(row) => {
                *known.row_key.lock() = Some(row.key);
                WebhookOutcome::Applied
            }
            Err(failure) => WebhookOutcome::Failed(failure),
        };
        inner.settle(id, now, &handled);
        handled
    }

    fn ask(mut self, store: &dyn UserStore) -> WebhookOutcome {
        if let Stage::StoreRequest(step) = self.stage {
            self.stage = Stage::Over(run_sync(&mut self.sync, step, store));
        }
        self.into_handled()
    }
}

impl Inner {
    /// A delivery counts once, unless it has to come again.
    fn settle(&self, id: Box<str>, now: Now, handled: &WebhookOutcome) {
        if !matches!(handled, WebhookOutcome::Failed(_)) {
            self.deliveries.put(id, (), now.mono_ms + 2 * TOLERANCE_S * 1000, now.mono_ms);
        }
    }

    fn apply(&self, news: WebhookEvent, now: Now) -> WebhookOutcome {
        match news {
            WebhookEvent::UserDeleted(id) => {
                self.revoked.user(&id, Reason::UserNotFound, now);
                self.forget_user(&id);
                self.listeners.tell(Event::UserDeleted { clerk_id: &id });
            }
            WebhookEvent::SessionEnded(id) => {
                self.revoked.session(&id, now);
                self.forget_where(Attribute::SessionId, &id);
            }
            WebhookEvent::SessionPending(id) => self.forget_where(Attribute::SessionId, &id),
            WebhookEvent::Membership { user_id } => self.forget_where(Attribute::Subject, &user_id),
            WebhookEvent::OrganizationChanged(id) => self.forget_where(Attribute::OrgId, &id),
            WebhookEvent::RolesChanged => {
                self.epoch.fetch_add(1, Ordering::SeqCst);
                self.results.clear();
            }
            WebhookEvent::User(_) | WebhookEvent::Other => return WebhookOutcome::Ignored,
        }
        WebhookOutcome::Applied
    }

    /// A delivery holds the whole user: the next request need not ask for it.
    fn learn(&self, user: ClerkUser, now: Now) -> Result<Arc<CachedUser>, WebhookOutcome> {
        let key: Box<str> = user.id.as_str().into();
        let before = self.known.get(&key, now.mono_ms);
        // Deliveries overtake one another; what Clerk said last counts, and after a deletion nothing.
        let last = self.told.get(&key, now.mono_ms).max(before.as_ref().map(|known| known.user.updated_at_ms));
        let is_gone = self.revoked.is_user_out(&key, Reason::UserNotFound, now);
        if is_gone || last.is_some_and(|last| last > user.updated_at_ms) {
            return Err(WebhookOutcome::Ignored);
        }
        self.told.put(key.clone(), user.updated_at_ms, now.mono_ms + REDELIVERED_MS, now.mono_ms);
        // Where nobody asks for the user, this is all there is to know of a ban.
        match self.mode {
            UserMode::Claims if user.is_blocked() => self.revoked.user(&user.id, Reason::UserInactive, now),
            UserMode::Claims => self.revoked.lift_user(&user.id, Reason::UserInactive),
            UserMode::Profile | UserMode::Sync => {}
        }
        self.forget_where(Attribute::Subject, &user.id);
        self.absent.remove(&key);
        let known = Arc::new(CachedUser::new(user, now.mono_ms, before.as_deref()));
        self.known.put(key, known.clone(), now.mono_ms + self.user_ttl_ms.max(self.stale_user_ms), now.mono_ms);
        Ok(known)
    }
}
