//! `GET /sessions/{id}`: does the session still stand?

use std::time::Instant;

use serde::Deserialize;

use super::{Api, ApiError, Endpoint, ErrorKind, LONGEST_OBJECT, Request};

/// What Clerk says of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Signed in.
    Active,
    /// Signed in, with tasks to do.
    Pending,
    /// Over, by whatever way.
    Over,
}

#[derive(Deserialize)]
struct Raw {
    id: String,
    #[serde(default)]
    status: Option<String>,
}

impl Api {
    /// The state of the session with this id, which has the shape of one. An unknown session is over.
    pub fn session(&self, id: &str, deadline: Instant) -> Result<SessionState, ApiError> {
        let url = self.url(&format!("sessions/{id}"));
        let request = Request { url: &url, bearer: Some(self.secret()?), body: None, limit: LONGEST_OBJECT };
        // An answer about another session is no answer.
        let read = |body: Vec<u8>| serde_json::from_slice::<Raw>(&body).ok().filter(|raw| raw.id == id);
        let raw = match self.call(Endpoint::Sessions, &request, deadline, read) {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(SessionState::Over),
            outcome => outcome?,
        };
        Ok(match raw.status.as_deref() {
            Some("active") => SessionState::Active,
            Some("pending") => SessionState::Pending,
            _ => SessionState::Over,
        })
    }
}
