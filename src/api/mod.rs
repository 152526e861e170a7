//! Clerk's Backend API: a few calls, each within one deadline, each answered by data or by a typed error.

mod circuit_breaker;
mod error;
mod machine;
mod resolver;
mod sessions;
mod transport;
mod users;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use circuit_breaker::CircuitBreaker;
pub use error::{ApiError, ErrorKind};
pub use machine::MachineToken;
pub use sessions::SessionState;
pub use transport::{HttpTransport, Request, Response, Transport, TransportConfig, TransportError};
pub use users::{ClerkUser, EmailAddress};

use crate::clock::Clock;
use crate::config::Secret;

/// The version of the Backend API that the parsers here were written against.
pub const API_VERSION: &str = "2026-05-12";
/// The most that a user or a verification may be long.
const LONGEST_OBJECT: usize = 1 << 20;
/// The most that a key set may be long.
const LONGEST_JWKS: usize = 1 << 20;
/// Tries of one call, the first included.
const TRIES: u32 = 3;

/// What a call is about; each has a circuit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `GET /jwks`
    Jwks,
    /// `GET /users/{id}`
    Users,
    /// `GET /sessions/{id}`
    Sessions,
    /// `POST /m2m_tokens/verify`
    M2mTokens,
    /// `POST /oauth_applications/access_tokens/verify`
    OauthTokens,
    /// `POST /api_keys/verify`
    ApiKeys,
}

const ENDPOINTS: usize = 6;

/// The Backend API, or as much of it as the configured secrets open.
pub struct Api {
    transport: Arc<dyn Transport>,
    base: String,
    secret_key: Option<Secret>,
    machine_secret_key: Option<Secret>,
    jwks_url: Option<String>,
    clock: Clock,
    breakers: [CircuitBreaker; ENDPOINTS],
}

impl Api {
    /// `base` is the address without a slash or `/v1` at its end.
    pub fn new(
        transport: Arc<dyn Transport>,
        base: String,
        secret_key: Option<Secret>,
        machine_secret_key: Option<Secret>,
        jwks_url: Option<String>,
        clock: Clock,
    ) -> Self {
        let breakers = std::array::from_fn(|_| CircuitBreaker::default());
        Api { transport, base, secret_key, machine_secret_key, jwks_url, clock, breakers }
    }

    /// Whether there is a way to fetch keys.
    pub fn can_fetch_jwks(&self) -> bool {
        self.jwks_url.is_some() || self.secret_key.is_some()
    }

    /// Whether users and sessions can be asked for.
    pub fn has_secret_key(&self) -> bool {
        self.secret_key.is_some()
    }

    /// The text of the key set: from `jwks_url`, without any secret, or from the Backend API.
    pub fn jwks(&self, deadline: Instant) -> Result<Vec<u8>, ApiError> {
        let (url, bearer) = match &self.jwks_url {
            Some(url) => (Cow::Borrowed(url.as_str()), None),
            None => (Cow::Owned(self.url("jwks")), Some(self.secret()?)),
        };
        let request = Request { url: &url, bearer, body: None, limit: LONGEST_JWKS };
        self.call(Endpoint::Jwks, &request, deadline, Some)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.base)
    }

    fn secret(&self) -> Result<&Secret, ApiError> {
        self.secret_key.as_ref().ok_or_else(|| ApiError::new(ErrorKind::Unauthorized))
    }

    /// One call: up to three tries inside one deadline. Answers that will not change are not asked for twice. One that
    /// `read` makes nothing of is a failure like any other.
    fn call<T>(
        &self,
        endpoint: Endpoint,
        request: &Request<'_>,
        deadline: Instant,
        read: impl FnOnce(Vec<u8>) -> Option<T>,
    ) -> Result<T, ApiError> {
        let breaker = &self.breakers[endpoint as usize];
        if let Some(wait_ms) = breaker.open_for_ms(self.clock.now().mono_ms) {
            return Err(ApiError { retry_after_ms: Some(wait_ms), ..ApiError::new(ErrorKind::CircuitOpen) });
        }
        let outcome = self
            .tries(request, deadline)
            .and_then(|body| read(body).ok_or_else(|| ApiError::new(ErrorKind::BadResponse)));
        breaker.record(&outcome, self.clock.now().mono_ms);
        outcome
    }

    fn tries(&self, request: &Request<'_>, deadline: Instant) -> Result<Vec<u8>, ApiError> {
        let mut tried = 1;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ApiError::new(ErrorKind::Timeout));
            }
            let error = match self.transport.send(request, left) {
                Ok(response) => match error::judge(response) {
                    Ok(body) => return Ok(body),
                    Err(error) => error,
                },
                Err(error) => error.into(),
            };
            let pause = error.retry_after_ms.map_or_else(|| jitter(tried), Duration::from_millis);
            let left = deadline.saturating_duration_since(Instant::now());
            if tried == TRIES || !error.is_worth_a_retry() || pause >= left {
                return Err(error);
            }
            std::thread::sleep(pause);
            tried += 1;
        }
    }

    /// Cancels what is under way.
    pub fn shutdown(&self) {
        self.transport.shutdown();
    }

    /// Makes the transport usable again in a forked child; whether this is one in which it was not so before.
    pub fn reset_after_fork(&self) -> bool {
        self.transport.reset_after_fork()
    }
}

/// Full jitter (none to the whole step), so that clients that failed together do not return together.
fn jitter(tried: u32) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let step = 100 << tried.min(6);
    Duration::from_millis(RandomState::new().hash_one(tried) % step)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Script(Vec<Result<(u16, Option<&'static str>), TransportError>>, AtomicUsize);

    impl Transport for Script {
        fn send(&self, request: &Request<'_>, _: Duration) -> Result<Response, TransportError> {
            assert_eq!(request.bearer.map(Secret::expose), Some("sk_test_x"));
            let at = self.1.fetch_add(1, Ordering::Relaxed).min(self.0.len() - 1);
            self.0[at].map(|(status, retry_after)| Response {
                status,
                retry_after: retry_after.map(str::to_owned),
                trace_id: None,
                body: b"{}".to_vec(),
            })
        }
        fn reset_after_fork(&self) -> bool {
            false
        }
        fn shutdown(&self) {}
    }

    fn run(answers: &[Result<(u16, Option<&'static str>), TransportError>]) -> (Result<Vec<u8>, ErrorKind>, usize) {
        let script = Arc::new(Script(answers.to_vec(), AtomicUsize::new(0)));
        let secret = Some(Secret::new("sk_test_x"));
        let api = Api::new(script.clone(), "http://127.0.0.1".into(), secret, None, None, Clock::system());
        let outcome = api.jwks(Instant::now() + Duration::from_secs(2));
        (outcome.map_err(|e| e.kind), script.1.load(Ordering::Relaxed))
    }

    #[test]
    fn passing_faults_are_tried_again_and_lasting_ones_are_not() {
        assert_eq!(run(&[Ok((200, None))]), (Ok(b"{}".to_vec()), 1));
        assert_eq!(run(&[Ok((500, None)), Ok((200, None))]), (Ok(b"{}".to_vec()), 2));
        assert_eq!(run(&[Err(TransportError::Network), Ok((200, None))]), (Ok(b"{}".to_vec()), 2));
        assert_eq!(run(&[Ok((503, None))]), (Err(ErrorKind::Server), 3));
        for (status, kind) in [(401, ErrorKind::Unauthorized), (403, ErrorKind::Forbidden), (404, ErrorKind::NotFound)]
        {
            assert_eq!(run(&[Ok((status, None))]), (Err(kind), 1));
        }
        assert_eq!(run(&[Ok((429, Some("1")))]), (Err(ErrorKind::RateLimited), 1));
        assert_eq!(run(&[Ok((302, None))]), (Err(ErrorKind::BadResponse), 1));
        assert_eq!(run(&[Err(TransportError::TooLarge)]), (Err(ErrorKind::BadResponse), 1));
    }

    #[test]
    fn a_server_that_asks_for_patience_gets_it_within_the_deadline() {
        assert_eq!(run(&[Ok((503, Some("1"))), Ok((200, None))]).1, 2);
        assert_eq!(run(&[Ok((503, Some("3"))), Ok((200, None))]), (Err(ErrorKind::Server), 1));
    }
}
