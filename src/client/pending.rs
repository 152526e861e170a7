//! Authentications and webhook events that wait for the application's user table: the public types.

use std::fmt;
use std::sync::Arc;

use super::auth_result::AuthResult;
use super::authenticate::AuthWaiting;
use super::inner::Inner;
use super::pages::Addition;
use super::stepwise::{NextAction, Step, Stepwise};
use super::webhook_receiver::WebhookOutcome;
use super::webhooks::RowUpdate;
use crate::reason::Reason;
use crate::users::{StoreError, StoreResponse, SyncError, UserStore};

/// An authentication that has begun.
#[derive(Debug)]
pub enum AuthProgress {
    /// It is done.
    Done(Arc<AuthResult>),
    /// The user store has to be queried.
    Pending(Box<PendingAuth>),
}

/// An authentication that waits for the user store. May move between threads.
pub struct PendingAuth {
    steps: Stepwise<AuthWaiting>,
    inner: Arc<Inner>,
    addition: Option<Box<Addition>>,
}

impl AuthProgress {
    /// The addition goes to the result.
    pub(super) fn new(inner: &Arc<Inner>, step: Step<AuthWaiting>, addition: Option<Box<Addition>>) -> Self {
        match step {
            Step::Done(result) => AuthProgress::Done(attach(addition, inner, result)),
            Step::Waiting(work) => {
                let steps = Stepwise::new(inner.clone(), work);
                AuthProgress::Pending(Box::new(PendingAuth { steps, inner: inner.clone(), addition }))
            }
        }
    }
}

impl fmt::Debug for PendingAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAuth").finish_non_exhaustive()
    }
}

impl PendingAuth {
    /// Returns what has to be done next.
    pub fn next_action(&self) -> NextAction<'_> {
        self.steps.next_action()
    }

    /// Takes the store's response. After a failure the result is [`Reason::StoreError`], and nothing is cached. Does nothing
    /// unless [`NextAction::QueryStore`] is next.
    pub fn submit(&mut self, response: Result<StoreResponse, StoreError>) {
        self.steps.submit(response);
    }

    /// Waits for Clerk, at most `timeout_ms`. Does nothing unless [`NextAction::FetchUser`] is next.
    pub fn fetch_user(&mut self) {
        self.steps.fetch_user();
    }

    /// Returns the result. An authentication that still waits for something ends as unavailable.
    pub fn into_result(self) -> Arc<AuthResult> {
        let result = self.steps.into_outcome().unwrap_or_else(internal_error);
        attach(self.addition, &self.inner, result)
    }

    pub(super) fn run(self, store: Option<&dyn UserStore>) -> Arc<AuthResult> {
        let result = store.and_then(|store| self.steps.run(store)).unwrap_or_else(internal_error);
        attach(self.addition, &self.inner, result)
    }
}

fn attach(addition: Option<Box<Addition>>, inner: &Inner, result: Arc<AuthResult>) -> Arc<AuthResult> {
    match addition {
        Some(addition) => addition.attach(inner, result),
        None => result,
    }
}

fn internal_error() -> Arc<AuthResult> {
    Arc::new(Reason::InternalError.into())
}

/// A webhook event that has been received.
#[derive(Debug)]
pub enum WebhookProgress {
    /// It has been processed.
    Done(WebhookOutcome),
    /// The user's row has to be updated.
    Pending(Box<PendingWebhook>),
}

/// A webhook event that waits for the user store to update the user's row. May move between threads.
pub struct PendingWebhook(Stepwise<RowUpdate>);

impl WebhookProgress {
    pub(super) fn new(inner: &Arc<Inner>, step: Step<RowUpdate>) -> Self {
        match step {
            Step::Done(outcome) => WebhookProgress::Done(outcome),
            Step::Waiting(work) => {
                WebhookProgress::Pending(Box::new(PendingWebhook(Stepwise::new(inner.clone(), work))))
            }
        }
    }
}

impl fmt::Debug for PendingWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingWebhook").finish_non_exhaustive()
    }
}

impl PendingWebhook {
    /// Returns what has to be done next. [`NextAction::FetchUser`] if the event alone may not change the row.
    pub fn next_action(&self) -> NextAction<'_> {
        self.0.next_action()
    }

    /// Takes the store's response. After a failure the event has to be delivered again.
    pub fn submit(&mut self, response: Result<StoreResponse, StoreError>) {
        self.0.submit(response);
    }

    /// Waits for Clerk, at most `timeout_ms`. Does nothing unless [`NextAction::FetchUser`] is next.
    pub fn fetch_user(&mut self) {
        self.0.fetch_user();
    }

    /// Returns the outcome. An event that still waits for something has to be delivered again.
    pub fn into_outcome(self) -> WebhookOutcome {
        self.0.into_outcome().unwrap_or_else(panicked)
    }

    pub(super) fn run(self, store: Option<&dyn UserStore>) -> WebhookOutcome {
        match store {
            Some(store) => self.0.run(store).unwrap_or_else(panicked),
            None => self.into_outcome(),
        }
    }
}

fn panicked() -> WebhookOutcome {
    WebhookOutcome::Failed(SyncError::Store(StoreError::failed(0, "an earlier step panicked")))
}
