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
        let body = match self.call(Endpoint::Sessions, &request, deadline) {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(SessionState::Over),
            outcome => outcome?,
        };
        let raw: Raw = serde_json::from_slice(&body).map_err(|_| ApiError::new(ErrorKind::BadResponse))?;
        if raw.id != id {
            return Err(ApiError::new(ErrorKind::BadResponse));
        }
        Ok(match raw.status.as_deref() {
            Some("active") => SessionState::Active,
            Some("pending") => SessionState::Pending,
            _ => SessionState::Over,
        })
    }
}
