//! Calls to Clerk: counts them, logs failures and emits their events.

use std::sync::Arc;

use super::metrics::Metrics;
use crate::api::{Api, ApiError, Caller, ClerkUser, ErrorKind, MachineToken, Refresh, RefreshRequest, SessionState};
use crate::clock::Deadline;
use crate::events::{Event, EventHandlers, Level};
use crate::token::TokenKind;
use crate::users::SyncEvent;

/// The Backend API with the event handlers and counters of its calls.
pub(super) struct Backend {
    pub api: Api,
    pub events: Arc<EventHandlers>,
    pub metrics: Metrics,
}

impl Backend {
    /// Fetches the JWK set.
    pub fn jwks(&self, deadline: Deadline) -> Result<Vec<u8>, ApiError> {
        self.metrics.jwks_fetches.increment();
        self.logged("the JWK set", self.api.jwks(deadline))
    }

    /// Fetches a user.
    pub fn user(&self, id: &str, deadline: Deadline) -> Result<ClerkUser, ApiError> {
        self.metrics.user_fetches.increment();
        self.logged("a user", self.api.user(id, deadline))
    }

    /// Fetches the state of a session.
    pub fn session(&self, id: &str, deadline: Deadline) -> Result<SessionState, ApiError> {
        self.logged("a session", self.api.session(id, deadline))
    }

    /// Verifies an opaque machine token.
    pub fn machine_token(
        &self,
        caller: Caller<'_>,
        kind: TokenKind,
        token: &str,
        wall_ms: i64,
        deadline: Deadline,
    ) -> Result<Option<MachineToken>, ApiError> {
        self.logged("a machine token", self.api.verify_machine_token(caller, kind, token, wall_ms, deadline))
    }

    /// Exchanges the nonce of a handshake.
    pub fn handshake_payload(
        &self,
        caller: Caller<'_>,
        nonce: &str,
        deadline: Deadline,
    ) -> Result<Option<Vec<Option<String>>>, ApiError> {
        self.logged("a handshake", self.api.handshake_payload(caller, nonce, deadline))
    }

    /// Refreshes a session. The error is a word, as Clerk's SDKs write it.
    pub fn refresh_session(&self, refresh: &RefreshRequest<'_>, deadline: Deadline) -> Result<Refresh, String> {
        let answer = self.api.refresh_session(refresh, deadline);
        answer.map_err(|(error, word)| {
            self.log_api_error("a session to be refreshed", &error);
            word
        })
    }

    fn logged<T>(&self, what: &str, outcome: Result<T, ApiError>) -> Result<T, ApiError> {
        outcome.inspect_err(|error| self.log_api_error(what, error))
    }

    fn log_api_error(&self, what: &str, error: &ApiError) {
        let level = match error.kind {
            ErrorKind::NotFound | ErrorKind::CircuitOpen | ErrorKind::Cancelled => Level::Debug,
            ErrorKind::Unauthorized | ErrorKind::Forbidden => Level::Error,
            _ => Level::Warn,
        };
        self.events.log(level, || format!("request to Clerk for {what} failed: {error}"));
        match error.kind {
            ErrorKind::RateLimited => {
                self.events.emit(Event::RateLimited { retry_after_ms: error.retry_after_ms.unwrap_or_default() });
            }
            ErrorKind::Unauthorized | ErrorKind::Forbidden => self.events.emit(Event::SecretKeyRejected),
            _ => {}
        }
    }

    /// Emits the events of a synchronization.
    pub fn emit_sync_events(&self, events: &[SyncEvent], user_key: &str, clerk_id: &str) {
        for event in events {
            self.events.emit(match event {
                SyncEvent::Created => Event::UserCreated { user_key, clerk_id },
                SyncEvent::Updated => Event::UserUpdated { user_key, clerk_id },
                SyncEvent::Linked => Event::UserLinked { user_key, clerk_id },
                SyncEvent::LinkConflict => Event::LinkConflict { clerk_id },
            });
        }
    }
}
