//! `GET /sessions/{id}`: the state of a session.

use serde::Deserialize;

use super::{Api, ApiError, Call, Caller, Endpoint, ErrorKind, MAX_OBJECT_LEN, Request};
use crate::clock::Deadline;
use crate::json;

/// The state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Signed in.
    Active,
    /// Signed in, with tasks to complete.
    Pending,
    /// Ended, removed, revoked, expired, replaced or abandoned.
    Ended,
}

#[derive(Deserialize)]
struct Raw {
    id: String,
    #[serde(default)]
    status: Option<String>,
}

impl Api {
    /// Fetches the state of a session. Returns [`SessionState::Ended`] for one that Clerk does not know. `id` must be a valid session id: it
    /// becomes part of the URL.
    pub fn session(&self, id: &str, deadline: Deadline) -> Result<SessionState, ApiError> {
        let url = self.url(&format!("sessions/{id}"));
        let request = Request { url: &url, bearer: Some(self.secret()?), body: None, limit: MAX_OBJECT_LEN };
        // A response about another session is malformed.
        let parse = |body: Vec<u8>| json::derived::<Raw>(&body).filter(|raw| raw.id == id);
        let call = Call { endpoint: Endpoint::Sessions, caller: Caller::Known, key: id };
        let raw = match self.call(call, &request, deadline, parse) {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(SessionState::Ended),
            outcome => outcome?,
        };
        Ok(match raw.status.as_deref() {
            Some("active") => SessionState::Active,
            Some("pending") => SessionState::Pending,
            _ => SessionState::Ended,
        })
    }
}
