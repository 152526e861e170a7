//! What webhooks change: who is no longer let in, and what is no longer remembered.

use std::collections::VecDeque;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::users::KnownUser;
use super::{Client, Inner, Wanted};
use crate::api::ClerkUser;
use crate::cache::Cache;
use crate::clock::Now;
use crate::config::UserMode;
use crate::events::Event;
use crate::identity::Text;
use crate::reason::Reason;
use crate::token::TokenHash;
use crate::users::{Failure, Next, Reply, Row, Step, StoreError, Sync, UserStore, synchronize};
use crate::webhooks::{Headers, News, Refused, TOLERANCE_S, verify};

/// How a delivery was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It changed something, or would have.
    Applied,
    /// It is known already, another instance's, or tells nothing that matters here.
    Ignored,
    /// It is not Clerk's.
    Refused(Refused),
    /// The user store failed; the delivery has to come again.
    Failed(Failure),
}

/// The tokens of each subject that are remembered: no one of them can fill the cache.
pub(super) struct Fairness(Cache<Box<str>, Arc<Mutex<VecDeque<TokenHash>>>, RandomState>);

const MOST_PER_SUBJECT: usize = 32;
/// Deliveries that were not taken come again for a day and some hours.
const REDELIVERED_MS: i64 = 48 * 60 * 60 * 1000;

impl Fairness {
    pub fn new(capacity: usize) -> Self {
        Fairness(Cache::new(capacity, RandomState::new()))
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
pub enum Heard {
    /// It is over.
    Handled(Handled),
    /// The user's row has to follow.
    Pending(Box<PendingRow>),
}

impl Client {
    /// Takes a webhook delivery: checks that Clerk made it and that it is new, then applies it.
    pub fn handle_webhook(&self, headers: &Headers<'_>, body: &[u8]) -> Handled {
        match (self.begin_webhook(headers, body), self.inner.store.as_deref()) {
            (Heard::Handled(handled), _) => handled,
            (Heard::Pending(pending), Some(store)) => pending.ask(store),
            (Heard::Pending(pending), None) => pending.into_handled(),
        }
    }

    /// The same for a host that asks its user table itself: everything but the row is done.
    pub fn begin_webhook(&self, headers: &Headers<'_>, body: &[u8]) -> Heard {
        let inner = &self.inner;
        let now = inner.clock.now();
        let delivery = match verify(&inner.webhook_secrets, headers, body, now.wall_ms.div_euclid(1000)) {
            Ok(delivery) => delivery,
            Err(refused) => return Heard::Handled(Handled::Refused(refused)),
        };
        let id: Box<str> = delivery.id.into();
        if inner.deliveries.get(&id, now.mono_ms).is_some() {
            return Heard::Handled(Handled::Ignored);
        }
        let event = match delivery.event() {
            Ok(event) => event,
            Err(refused) => return Heard::Handled(Handled::Refused(refused)),
        };
        let foreign =
            matches!((&inner.instance_id, &event.instance_id), (Some(own), given) if given.as_ref() != Some(own));
        let handled = match event.news {
            _ if foreign => Handled::Ignored,
            News::User(user) => match inner.learn(*user, now) {
                Ok(known) if inner.mode == UserMode::Sync => {
                    let (sync, step) = inner.start_sync(&known);
                    let inner = inner.clone();
                    return Heard::Pending(Box::new(PendingRow {
                        inner,
                        id,
                        now,
                        known,
                        sync,
                        stage: Stage::Step(step),
                    }));
                }
                Ok(_) => Handled::Applied,
                Err(older) => older,
            },
            news => inner.apply(news, now),
        };
        inner.settle(id, now, &handled);
        Heard::Handled(handled)
    }
}

/// A delivery that waits for the store to bring the user's row up to date, one question at a time.
pub struct PendingRow {
    inner: Arc<Inner>,
    id: Box<str>,
    now: Now,
    known: Arc<KnownUser>,
    sync: Sync,
    stage: Stage,
}

enum Stage {
    Step(Step),
    Over(Result<Row, Failure>),
}

impl PendingRow {
    /// What is to be done next; never [`Wanted::Fetch`].
    pub fn wanted(&self) -> Wanted<'_> {
        match &self.stage {
            Stage::Step(step) => Wanted::Store(step),
            Stage::Over(_) => Wanted::Nothing,
        }
    }

    /// Takes the store's answer. A failure ends it: the delivery has to come again.
    pub fn reply(&mut self, reply: Result<Reply, StoreError>) {
        if matches!(self.stage, Stage::Over(_)) {
            return;
        }
        self.stage = match reply.map(|reply| self.sync.reply(reply)) {
            Ok(Ok(Next::Ask(step))) => Stage::Step(step),
            Ok(Ok(Next::Done(row))) => Stage::Over(Ok(row)),
            Ok(Err(reason)) => Stage::Over(Err(Failure::Refused(reason))),
            Err(error) => Stage::Over(Err(Failure::Store(error))),
        };
    }

    /// How the delivery was taken. One that is still waiting for something has to come again.
    pub fn into_handled(self) -> Handled {
        let PendingRow { inner, id, now, known, sync, stage } = self;
        let outcome = match stage {
            Stage::Over(outcome) => outcome,
            Stage::Step(_) => Err(Failure::Store(StoreError::failed(0, "the user store was not asked to the end"))),
        };
        inner.tell_notes(&sync.notes, outcome.as_ref().map_or("", |row| &row.key), &known.user.id);
        let handled = match outcome {
            Ok(row) => {
                *known.row_key.lock() = Some(row.key);
                Handled::Applied
            }
            Err(failure) => Handled::Failed(failure),
        };
        inner.settle(id, now, &handled);
        handled
    }

    fn ask(mut self, store: &dyn UserStore) -> Handled {
        if let Stage::Step(step) = self.stage {
            self.stage = Stage::Over(synchronize(&mut self.sync, step, store));
        }
        self.into_handled()
    }
}

impl Inner {
    /// A delivery counts once, unless it has to come again.
    fn settle(&self, id: Box<str>, now: Now, handled: &Handled) {
        if !matches!(handled, Handled::Failed(_)) {
            self.deliveries.put(id, (), now.mono_ms + 2 * TOLERANCE_S * 1000, now.mono_ms);
        }
    }

    fn apply(&self, news: News, now: Now) -> Handled {
        match news {
            News::UserDeleted(id) => {
                self.revoked.user(&id, Reason::UserNotFound, now);
                self.forget_user(&id);
                self.listeners.tell(Event::UserDeleted { clerk_id: &id });
            }
            News::SessionOver(id) => {
                self.revoked.session(&id, now);
                self.forget_where(Text::SessionId, &id);
            }
            News::SessionPending(id) => self.forget_where(Text::SessionId, &id),
            News::Membership { user_id } => self.forget_where(Text::Subject, &user_id),
            News::OrganizationChanged(id) => self.forget_where(Text::OrgId, &id),
            News::Roles => {
                self.epoch.fetch_add(1, Ordering::SeqCst);
                self.results.clear();
            }
            News::User(_) | News::Other => return Handled::Ignored,
        }
        Handled::Applied
    }

    /// A delivery holds the whole user: the next request need not ask for it.
    fn learn(&self, user: ClerkUser, now: Now) -> Result<Arc<KnownUser>, Handled> {
        let key: Box<str> = user.id.as_str().into();
        let before = self.known.get(&key, now.mono_ms);
        // Deliveries overtake one another; what Clerk said last counts, and after a deletion nothing.
        let last = self.told.get(&key, now.mono_ms).max(before.as_ref().map(|known| known.user.updated_at_ms));
        let is_gone = self.revoked.is_user_out(&key, Reason::UserNotFound, now);
        if is_gone || last.is_some_and(|last| last > user.updated_at_ms) {
            return Err(Handled::Ignored);
        }
        self.told.put(key.clone(), user.updated_at_ms, now.mono_ms + REDELIVERED_MS, now.mono_ms);
        // Where nobody asks for the user, this is all there is to know of a ban.
        match self.mode {
            UserMode::Claims if user.is_kept_out() => self.revoked.user(&user.id, Reason::UserInactive, now),
            UserMode::Claims => self.revoked.lift_user(&user.id, Reason::UserInactive),
            UserMode::Profile | UserMode::Sync => {}
        }
        self.forget_where(Text::Subject, &user.id);
        self.absent.remove(&key);
        let known = Arc::new(KnownUser::new(user, now.mono_ms, before.as_deref()));
        self.known.put(key, known.clone(), now.mono_ms + self.user_ttl_ms.max(self.stale_user_ms), now.mono_ms);
        Ok(known)
    }
}
