//! States of sessions as Clerk reports them, for `session_check_ttl_s`.

use std::hash::RandomState;
use std::sync::Arc;

use super::auth_result::{AuthError, VerifyError};
use super::backend::Backend;
use super::invalidations::{Invalidations, Key, Scope};
use crate::api::{ApiError, ErrorKind, SessionState};
use crate::cache::{Cache, Locked};
use crate::clock::{Deadline, Io, Now};
use crate::reason::Reason;
use crate::single_flight::{Flight, SingleFlight};
use crate::token::is_clerk_id;

type Checked = (Result<bool, ApiError>, u64);

/// The checks. With a lifetime of 0 every session is accepted without a request to Clerk.
pub(super) struct SessionChecks {
    /// Whether tokens of the session are accepted.
    sessions: Cache<Box<str>, bool, RandomState>,
    /// By id and the number of the session's last invalidation.
    in_flight: SingleFlight<(Box<str>, u64), Checked>,
    invalidations: Arc<Invalidations>,
    ttl_ms: i64,
    accept_pending: bool,
}

impl SessionChecks {
    pub fn new(capacity: usize, ttl_ms: i64, accept_pending: bool, invalidations: Arc<Invalidations>) -> Self {
        let sessions = Cache::new(capacity, RandomState::new());
        SessionChecks { sessions, in_flight: SingleFlight::default(), invalidations, ttl_ms, accept_pending }
    }

    pub fn is_enabled(&self) -> bool {
        self.ttl_ms > 0
    }

    /// Checks a session. Returns the number of the last invalidation when the fetch began, if one was needed.
    pub fn check(&self, sid: Option<&str>, now: Now, io: Io, backend: &Backend) -> Result<Option<u64>, VerifyError> {
        if !self.is_enabled() {
            return Ok(None);
        }
        // A session token without `sid` cannot be checked, so it is rejected.
        let Some(sid) = sid.filter(|sid| is_clerk_id(sid, "sess_")) else {
            return Err(Reason::SessionRevoked.into());
        };
        let (is_accepted, begun) = match (self.sessions.get(sid, now.mono_ms), io) {
            (Some(is_accepted), _) => (is_accepted, None),
            (None, Io::CacheOnly) => return Err(VerifyError::WouldBlock),
            (None, Io::Blocking(deadline)) => {
                let key = self.invalidations.key(Scope::Session, sid);
                let flight = self.in_flight.run(&(sid.into(), self.invalidations.last(key)), deadline, || {
                    let begun = self.invalidations.sequence();
                    (self.fetch(sid, key, begun, now, deadline, backend), begun)
                });
                let (outcome, begun) = match flight {
                    Flight::Complete(checked) => checked,
                    Flight::Cancelled => (Err(ApiError::new(ErrorKind::Cancelled)), 0),
                    Flight::TimedOut | Flight::Abandoned => (Err(ApiError::new(ErrorKind::Timeout)), 0),
                };
                let is_accepted = outcome.map_err(|error| VerifyError::Refused(AuthError::unavailable(error)))?;
                (is_accepted, Some(begun))
            }
        };
        if is_accepted { Ok(begun) } else { Err(Reason::SessionRevoked.into()) }
    }

    fn fetch(
        &self,
        sid: &str,
        key: Key,
        begun: u64,
        now: Now,
        deadline: Deadline,
        backend: &Backend,
    ) -> Result<bool, ApiError> {
        let is_accepted = match backend.session(sid, deadline)? {
            SessionState::Active => true,
            SessionState::Pending => self.accept_pending,
            SessionState::Ended => false,
        };
        let is_current = |_: Option<&bool>| !self.invalidations.is_key_invalidated_since(begun, key);
        let expires_ms = now.mono_ms.saturating_add(self.ttl_ms);
        self.sessions.record_if(sid.into(), is_accepted, expires_ms, now.mono_ms, is_current);
        Ok(is_accepted)
    }

    /// Returns whether a cached check of this session still accepts it.
    pub fn is_accepted(&self, sid: Option<&str>, now: Now) -> bool {
        !self.is_enabled() || sid.is_some_and(|sid| self.sessions.get(sid, now.mono_ms) == Some(true))
    }

    /// Whether a cached check found that this session has ended. Fails in a forked child that cannot know it.
    pub fn is_rejected(&self, sid: &str, now: Now) -> Result<bool, Reason> {
        if !self.is_enabled() {
            return Ok(false);
        }
        let found = self.sessions.find(sid, now.mono_ms).map_err(|Locked| Reason::InternalError)?;
        Ok(found == Some(false))
    }

    pub fn remove(&self, sid: &str) {
        self.sessions.remove(sid);
    }

    pub fn clear(&self) {
        self.sessions.clear();
    }

    /// Ends the waits of callers that have joined a call.
    pub fn cancel_waits(&self) {
        self.in_flight.cancel();
    }

    pub fn reset_after_fork(&self) {
        self.in_flight.reset_after_fork();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::super::metrics::Metrics;
    use super::*;
    use crate::api::{Api, Request, Response, Transport, TransportError};
    use crate::clock::Clock;
    use crate::config::Secret;
    use crate::events::EventHandlers;

    type OnCall = dyn Fn() -> &'static str + Send + Sync;

    /// Responds with the status that the function returns.
    struct Sessions(Box<OnCall>);

    impl Transport for Sessions {
        fn send(&self, request: &Request<'_>, _: Duration) -> Result<Response, TransportError> {
            let (id, status) = (request.url.rsplit('/').next().unwrap(), (self.0)());
            let body = format!(r#"{{"id":"{id}","status":"{status}"}}"#).into_bytes();
            Ok(Response { status: 200, retry_after: None, trace_id: None, body })
        }
        fn reset_after_fork(&self) -> bool {
            false
        }
        fn shutdown(&self) {}
    }

    fn backend(on_call: impl Fn() -> &'static str + Send + Sync + 'static) -> Backend {
        let secret = Some(Secret::new("sk_test_x"));
        let transport = Arc::new(Sessions(Box::new(on_call)));
        let api = Api::new(transport, "http://127.0.0.1".into(), secret, None, None, Clock::system());
        Backend { api, events: Arc::new(EventHandlers::default()), metrics: Metrics::default() }
    }

    const NOW: Now = Now { wall_ms: 0, mono_ms: 0 };

    fn blocking() -> Io {
        Io::Blocking(Deadline::after(Duration::from_secs(5)))
    }

    #[test]
    fn state_decides_and_is_cached() {
        let statuses = Arc::new(Mutex::new(vec!["active", "pending", "ended"]));
        let script = statuses.clone();
        let backend = backend(move || script.lock().unwrap().remove(0));
        let checks = SessionChecks::new(10, 1000, false, Arc::default());
        assert!(matches!(checks.check(Some("sess_1"), NOW, Io::CacheOnly, &backend), Err(VerifyError::WouldBlock)));
        for (sid, is_accepted) in [("sess_1", true), ("sess_2", false), ("sess_3", false)] {
            for io in [blocking(), Io::CacheOnly] {
                assert_eq!(checks.check(Some(sid), NOW, io, &backend).is_ok(), is_accepted, "{sid}");
            }
            assert_eq!(checks.is_accepted(Some(sid), NOW), is_accepted);
        }
        assert!(statuses.lock().unwrap().is_empty());
        for sid in [None, Some("sess_../x"), Some("")] {
            assert!(checks.check(sid, NOW, blocking(), &backend).is_err(), "{sid:?}");
        }
    }

    #[test]
    fn check_begun_before_an_invalidation_is_not_cached() {
        let invalidations = Arc::new(Invalidations::default());
        let shared = invalidations.clone();
        let backend = backend(move || {
            shared.record(shared.key(Scope::Session, "sess_1"));
            "active"
        });
        let checks = SessionChecks::new(10, 1000, true, invalidations.clone());
        let begun = checks.check(Some("sess_1"), NOW, blocking(), &backend).unwrap().unwrap();
        let key = invalidations.key(Scope::Session, "sess_1");
        assert!(invalidations.is_key_invalidated_since(begun, key));
        assert!(!checks.is_accepted(Some("sess_1"), NOW));
    }

    #[test]
    fn disabled_checks_send_no_request() {
        let checks = SessionChecks::new(10, 0, true, Arc::default());
        let backend = backend(|| unreachable!());
        assert_eq!(checks.check(None, NOW, Io::CacheOnly, &backend).unwrap(), None);
        assert!(checks.is_accepted(None, NOW));
    }
}
