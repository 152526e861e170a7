//! The state machine of all work that waits for the user store: one request at a time, then its response. The
//! application drives it step by step, or a blocking call drives it with a [`UserStore`].

use std::sync::Arc;
use std::time::Duration;

use super::inner::Inner;
use crate::clock::Deadline;
use crate::deadline;
use crate::users::{StoreError, StoreRequest, StoreResponse, UserStore, execute};

/// What has to be done next.
#[derive(Debug)]
pub enum NextAction<'a> {
    /// Execute this store request, then submit its response.
    QueryStore(&'a StoreRequest),
    /// Call `fetch_user`, on a thread that may wait for Clerk.
    FetchUser,
    /// Nothing: the result is ready.
    Done,
}

/// Work that waits for the user store or for Clerk.
pub(super) trait Waiting: Sized {
    type Outcome;

    fn next_action(&self) -> NextAction<'_>;

    /// Returns how long the work may still wait.
    fn time_left(&self, inner: &Inner) -> Duration;

    /// Takes the store's response.
    fn submit(self, inner: &Inner, response: Result<StoreResponse, StoreError>) -> Step<Self>;

    /// Waits for Clerk, at most `timeout_ms`, in a call that has begun at this count of shutdowns.
    fn fetch_user(self, inner: &Inner, shutdowns: u64) -> Step<Self>;

    /// Ends incomplete work. Returns its outcome.
    fn abandon(self, inner: &Inner) -> Self::Outcome;
}

/// Work that waits, or its outcome.
pub(super) enum Step<W: Waiting> {
    Waiting(W),
    Done(W::Outcome),
}

/// Work and its client.
pub(super) struct Stepwise<W: Waiting> {
    inner: Arc<Inner>,
    /// `None` only while a step is being taken.
    step: Option<Step<W>>,
}

impl<W: Waiting> Stepwise<W> {
    pub fn new(inner: Arc<Inner>, work: W) -> Self {
        Stepwise { inner, step: Some(Step::Waiting(work)) }
    }

    /// With the setting `database` the application queries nothing: [`Self::fetch_user`] does all that waits.
    pub fn next_action(&self) -> NextAction<'_> {
        match self.next_wait() {
            NextAction::QueryStore(_) if self.inner.settings.has_database => NextAction::FetchUser,
            action => action,
        }
    }

    fn next_wait(&self) -> NextAction<'_> {
        match &self.step {
            Some(Step::Waiting(work)) => work.next_action(),
            Some(Step::Done(_)) | None => NextAction::Done,
        }
    }

    /// Does nothing unless a response is expected.
    pub fn submit(&mut self, response: Result<StoreResponse, StoreError>) {
        if matches!(self.next_action(), NextAction::QueryStore(_)) {
            self.advance(|work, inner| work.submit(inner, response));
        }
    }

    /// Does nothing unless a fetch is expected.
    pub fn fetch_user(&mut self) {
        match self.inner.store.clone().filter(|_| self.inner.settings.has_database) {
            Some(store) => self.drive(&*store),
            None if matches!(self.next_wait(), NextAction::FetchUser) => {
                let shutdowns = self.inner.backend.api.shutdowns().count();
                self.advance(|work, inner| work.fetch_user(inner, shutdowns));
            }
            None => {}
        }
    }

    fn advance(&mut self, step: impl FnOnce(W, &Inner) -> Step<W>) {
        self.step = match self.step.take() {
            Some(Step::Waiting(work)) => Some(step(work, &self.inner)),
            done => done,
        };
    }

    /// Returns the outcome; `None` if an earlier step panicked.
    pub fn into_outcome(self) -> Option<W::Outcome> {
        match self.step? {
            Step::Done(outcome) => Some(outcome),
            Step::Waiting(work) => Some(work.abandon(&self.inner)),
        }
    }

    /// Drives the work to its end. Returns the outcome.
    pub fn run(mut self, store: &dyn UserStore) -> Option<W::Outcome> {
        self.drive(store);
        self.into_outcome()
    }

    fn drive(&mut self, store: &dyn UserStore) {
        let Some(Step::Waiting(work)) = &self.step else { return };
        let until = Deadline::after(work.time_left(&self.inner));
        let shutdowns = self.inner.backend.api.shutdowns().count();
        deadline::within(until, || {
            loop {
                match self.next_wait() {
                    NextAction::QueryStore(request) => {
                        let response = execute(store, request);
                        self.advance(|work, inner| work.submit(inner, response));
                    }
                    NextAction::FetchUser => self.advance(|work, inner| work.fetch_user(inner, shutdowns)),
                    NextAction::Done => return,
                }
            }
        });
    }
}
