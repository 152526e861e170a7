//! An authentication that waits for the store: says what it wants to know, one question at a time, and takes answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::auth_context::{AuthContext, VerifiedAuth};
use super::auth_result::{AuthError, AuthResult, Cause};
use super::authenticate::AuthProgress;
use super::users::CachedUser;
use super::{CachedAuth, Inner};
use crate::events::Event;
use crate::identity::Attribute;
use crate::jwt::Claims;
use crate::reason::Reason;
use crate::token::TokenKind;
use crate::users::{Row, StoreError, StoreRequest, StoreResponse, Transition, UserSync};

/// What an authentication waits for.
#[derive(Debug)]
pub enum NextAction<'a> {
    /// The store's answer to this.
    QueryStore(&'a StoreRequest),
    /// A call of [`Pending::fetch`], on a thread that may wait for Clerk.
    FetchUser,
    /// Nothing: it is over.
    Done,
}

/// See the module. May move from thread to thread.
pub struct PendingAuth {
    inner: Arc<Inner>,
    stage: Stage,
}

enum Stage {
    /// A remembered answer: does the row still stand?
    Recheck {
        attempt: AuthContext,
        kept: Arc<CachedAuth>,
        step: StoreRequest,
    },
    /// A new token of a user who was synced of late: does the row still stand?
    Row {
        holding: VerifiedAuth,
        known: Arc<CachedUser>,
        step: StoreRequest,
    },
    /// The rules are at work.
    Sync {
        holding: VerifiedAuth,
        known: Arc<CachedUser>,
        sync: Box<UserSync>,
        step: StoreRequest,
    },
    /// The remembered answer's row is gone: the user has to be looked at anew.
    Fetch {
        holding: VerifiedAuth,
    },
    Over(Arc<AuthResult>),
    /// Only while a step is being taken.
    Moving,
}

impl PendingAuth {
    pub(super) fn recheck(inner: Arc<Inner>, attempt: AuthContext, kept: Arc<CachedAuth>) -> Self {
        let key = kept.get(Attribute::UserKey).unwrap_or_default().to_owned();
        PendingAuth { inner, stage: Stage::Recheck { attempt, kept, step: StoreRequest::FindByKey { key } } }
    }

    pub(super) fn find_row(inner: Arc<Inner>, holding: VerifiedAuth, known: Arc<CachedUser>, key: String) -> Self {
        PendingAuth { inner, stage: Stage::Row { holding, known, step: StoreRequest::FindByKey { key } } }
    }

    pub(super) fn sync(inner: Arc<Inner>, holding: VerifiedAuth, known: Arc<CachedUser>) -> Self {
        let (sync, step) = inner.start_sync(&known);
        PendingAuth { inner, stage: Stage::Sync { holding, known, sync: Box::new(sync), step } }
    }

    /// What is to be done next.
    pub fn wanted(&self) -> NextAction<'_> {
        match &self.stage {
            Stage::Recheck { step, .. } | Stage::Row { step, .. } | Stage::Sync { step, .. } => {
                NextAction::QueryStore(step)
            }
            Stage::Fetch { .. } => NextAction::FetchUser,
            Stage::Over(_) | Stage::Moving => NextAction::Done,
        }
    }

    /// Takes the store's answer. A failure ends it: nobody is signed in, nothing is remembered.
    pub fn reply(&mut self, reply: Result<StoreResponse, StoreError>) {
        let stage = std::mem::replace(&mut self.stage, Stage::Moving);
        self.stage = match (stage, reply) {
            (stage @ (Stage::Over(_) | Stage::Fetch { .. } | Stage::Moving), _) => stage,
            (stage, Err(error)) => self.over(stage.attempt(), failed(error)),
            (Stage::Recheck { attempt, kept, .. }, Ok(StoreResponse::Rows(rows))) => {
                self.rechecked(attempt, kept, rows)
            }
            (Stage::Row { holding, known, .. }, Ok(StoreResponse::Rows(rows))) => self.found_row(holding, known, rows),
            (Stage::Sync { holding, known, sync, .. }, Ok(reply)) => self.synced(holding, known, sync, reply),
            (stage, Ok(_)) => self.over(stage.attempt(), Reason::StoreError),
        };
    }

    /// Waits for Clerk, at most `timeout_ms`. Does nothing unless [`Wanted::Fetch`] was said.
    pub fn fetch(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Moving);
        self.stage = match stage {
            Stage::Fetch { holding } => {
                let deadline = Instant::now() + self.inner.timeout;
                match Inner::find_user(&self.inner, holding, deadline) {
                    AuthProgress::Done(answer) => Stage::Over(answer),
                    AuthProgress::Pending(pending) => pending.stage,
                }
            }
            other => other,
        };
    }

    /// The answer. One that is still waiting for something becomes `Unavailable`.
    pub fn into_answer(self) -> Arc<AuthResult> {
        match self.stage {
            Stage::Over(answer) => answer,
            stage => match stage.attempt() {
                Some(attempt) => self.inner.end(attempt, Reason::StoreError),
                None => Arc::new(Reason::InternalError.into()),
            },
        }
    }

    fn over(&self, attempt: Option<&AuthContext>, refusal: impl Into<AuthResult>) -> Stage {
        Stage::Over(match attempt {
            Some(attempt) => self.inner.end(attempt, refusal),
            None => Arc::new(refusal.into()),
        })
    }

    fn rechecked(&self, attempt: AuthContext, kept: Arc<CachedAuth>, rows: Vec<Row>) -> Stage {
        let key = kept.get(Attribute::UserKey).unwrap_or_default();
        match self.own_row(rows, key, kept.get(Attribute::Subject).unwrap_or_default()) {
            Some(row) if row.is_active => {
                kept.checked_ms.fetch_max(attempt.now.mono_ms, Ordering::Relaxed);
                Stage::Over(self.inner.answer_hit(&attempt, &kept))
            }
            Some(_) => {
                self.distrust(&attempt, &kept);
                self.over(Some(&attempt), Reason::UserInactive)
            }
            None => {
                self.distrust(&attempt, &kept);
                // What is remembered of a row that is gone was no hit.
                self.inner.miss(&attempt);
                let json = kept.get(Attribute::Claims).unwrap_or_default();
                match Claims::parse(json.as_bytes().to_vec()) {
                    Some(claims) => {
                        // Only users have rows, and only sessions have users.
                        let (kind, key_id) = (TokenKind::SessionToken, kept.key_id);
                        Stage::Fetch { holding: VerifiedAuth { attempt, kind, claims, key_id } }
                    }
                    None => self.over(Some(&attempt), Reason::InternalError),
                }
            }
        }
    }

    /// The store no longer stands by a row: no token of its user lives on the store's earlier word.
    fn distrust(&self, attempt: &AuthContext, kept: &CachedAuth) {
        self.inner.results.remove(&attempt.hash);
        let id = kept.get(Attribute::Subject).unwrap_or_default();
        if let Some(known) = self.inner.known.get(&id.into(), attempt.now.mono_ms) {
            known.checked_ms.store(i64::MIN, Ordering::Relaxed);
        }
    }

    fn found_row(&self, holding: VerifiedAuth, known: Arc<CachedUser>, rows: Vec<Row>) -> Stage {
        let key = known.row_key.lock().clone().unwrap_or_default();
        match self.own_row(rows, &key, &known.user.id) {
            // Banned at Clerk before and no more, or the other way round: the row has to follow.
            Some(row) if row.is_active == known.user.is_blocked() && (row.is_active || row.banned_by_clerk) => {
                Self::sync(self.inner.clone(), holding, known).stage
            }
            Some(row) => self.settled(holding, &known, row),
            None => Self::sync(self.inner.clone(), holding, known).stage,
        }
    }

    fn synced(
        &self,
        holding: VerifiedAuth,
        known: Arc<CachedUser>,
        mut sync: Box<UserSync>,
        reply: StoreResponse,
    ) -> Stage {
        match sync.on_response(reply) {
            Ok(Transition::Request(step)) => Stage::Sync { holding, known, sync, step },
            Ok(Transition::Done(row)) => {
                self.inner.tell_notes(&sync.events, &row.key, &known.user.id);
                self.settled(holding, &known, row)
            }
            Err(reason) => {
                self.inner.tell_notes(&sync.events, "", &known.user.id);
                if reason == Reason::LinkConflict {
                    self.inner.listeners.tell(Event::LinkConflict { clerk_id: &known.user.id });
                }
                self.over(Some(&holding.attempt), reason)
            }
        }
    }

    fn settled(&self, holding: VerifiedAuth, known: &CachedUser, row: Row) -> Stage {
        *known.row_key.lock() = Some(row.key.clone());
        if row.is_active {
            known.checked_ms.fetch_max(holding.attempt.now.mono_ms, Ordering::Relaxed);
        }
        Stage::Over(self.inner.sign_in(holding, Some(known), Some(row)))
    }

    /// The row that was asked for. A store that answers with another one has not found it.
    fn own_row(&self, rows: Vec<Row>, key: &str, clerk_id: &str) -> Option<Row> {
        let has_ids = self.inner.store.as_ref().is_none_or(|store| store.schema().clerk_id);
        let [row] = <[Row; 1]>::try_from(rows).ok()?;
        (row.key == key && (!has_ids || row.clerk_id.as_deref() == Some(clerk_id))).then_some(row)
    }
}

impl Stage {
    fn attempt(&self) -> Option<&AuthContext> {
        match self {
            Stage::Recheck { attempt, .. } => Some(attempt),
            Stage::Row { holding, .. } | Stage::Sync { holding, .. } | Stage::Fetch { holding } => {
                Some(&holding.attempt)
            }
            Stage::Over(_) | Stage::Moving => None,
        }
    }
}

fn failed(error: StoreError) -> AuthError {
    let (code, message) = match error {
        StoreError::Failed { code, message } => (code, message),
        StoreError::Conflict => (0, "the store reports a conflict where there can be none".to_owned()),
    };
    AuthError { cause: Some(Box::new(Cause::UserStore { code, message })), ..Reason::StoreError.into() }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::client::ClientBuilder;
    use crate::config::{Config, Secret};
    use crate::events::EventHandlers;
    use crate::request::Request;
    use crate::users::{RowChanges, UserStore};

    /// A table of one row, and how many rows there were before it.
    #[derive(Default)]
    struct OneRow(Mutex<(Option<Row>, u32)>);

    impl OneRow {
        fn find(&self, fits: impl Fn(&Row) -> bool) -> Result<Option<Row>, StoreError> {
            Ok(self.0.lock().unwrap().0.clone().filter(fits))
        }
    }

    impl UserStore for OneRow {
        fn find_by_key(&self, key: &str) -> Result<Option<Row>, StoreError> {
            self.find(|row| row.key == key)
        }
        fn find_by_clerk_id(&self, id: &str) -> Result<Option<Row>, StoreError> {
            self.find(|row| row.clerk_id.as_deref() == Some(id))
        }
        fn find_by_email(&self, _: &str) -> Result<Vec<Row>, StoreError> {
            Ok(Vec::new())
        }
        fn username_taken(&self, _: &str, _: Option<&str>) -> Result<bool, StoreError> {
            Ok(false)
        }
        fn create(&self, fields: &RowChanges) -> Result<String, StoreError> {
            let (row, made) = &mut *self.0.lock().unwrap();
            *made += 1;
            let mut new = Row { key: made.to_string(), ..Row::default() };
            fields.apply(&mut new);
            Ok(row.insert(new).key.clone())
        }
        fn update(&self, _: &str, _: &RowChanges) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[test]
    fn what_is_remembered_of_a_row_that_is_gone_is_no_hit() {
        let sim = clerk_sim::Sim::start();
        sim.put_user(serde_json::json!({"id": "user_1"}));
        let token = format!("Bearer {}", sim.mint_now(&clerk_sim::TokenSpec::session("user_1")));
        let (store, events) = (Arc::new(OneRow::default()), Arc::new(Mutex::new(Vec::new())));
        let (told, mut listeners) = (events.clone(), EventHandlers::default());
        listeners.on_event(move |event| match *event {
            Event::CacheMiss { .. } => told.lock().unwrap().push("miss".to_owned()),
            Event::AuthSuccess { user_key, source, .. } => {
                told.lock().unwrap().push(format!("{source:?} {}", user_key.unwrap_or_default()));
            }
            _ => {}
        });
        let config = Config { secret_key: Some(Secret::new("sk_test_x")), api_url: sim.url(), ..Config::default() };
        let builder = ClientBuilder { config, store: Some(store.clone()), listeners, ..ClientBuilder::default() };
        let client = builder.build().unwrap();
        let mut request = Request::new();
        request.header(b"authorization", token.as_bytes());
        for gone in [false, false, true] {
            if gone {
                store.0.lock().unwrap().0 = None;
            }
            client.authenticate(&request);
        }
        assert_eq!(*events.lock().unwrap(), ["miss", "Verified 1", "Cache 1", "miss", "Verified 2"]);
    }
}
