//! Clerk's Backend API: calls with one deadline each, retries, a circuit breaker per endpoint, and typed errors.
//!
//! One file per resource: `jwks`, `users`, `sessions`, `machine_tokens`, `handshake`.

mod calls;
mod circuit_breaker;
mod deadline;
mod error;
mod handshake;
mod http;
mod jwks;
mod machine_tokens;
mod resolver;
mod sessions;
mod tcp;
mod tls;
mod transport;
mod users;

use std::sync::Arc;
use std::time::Duration;

use calls::{CallCounters, ENDPOINTS};
pub use calls::{CallStatus, Calls, Endpoint, PerEndpoint};
use circuit_breaker::CircuitBreaker;
pub use error::{ApiError, ErrorKind};
pub use handshake::{Refresh, RefreshRequest};
pub use http::{HttpTransport, Probe, TransportConfig};
pub use machine_tokens::MachineToken;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "redis"))]
pub use resolver::CachingResolver;
pub use sessions::SessionState;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "redis"))]
pub use tls::{client_config, of_rustls, root_certificates, server_verifier};
pub use transport::{Request, Response, Transport, TransportError};
pub use users::{ClerkUser, PrimaryEmail};

use crate::clock::{Clock, Deadline, Shutdowns};
use crate::config::Secret;

/// The version of the Backend API in use, sent with each request.
pub const API_VERSION: &str = "2026-05-12";
/// The maximum length of a response with one object, in bytes.
const MAX_OBJECT_LEN: usize = 1 << 20;
/// The maximum number of attempts of one call.
const MAX_ATTEMPTS: u32 = 3;

/// Who causes a call. What unauthenticated clients cause must not stop the calls for others.
#[derive(Clone, Copy)]
pub enum Caller<'a> {
    /// The application, or a client whose token was verified.
    Known,
    /// A client whose token was never verified. Each attempt after the first needs the permission of the function.
    Unknown(&'a dyn Fn() -> bool),
}

/// What a call to an [`Endpoint`] is about, and for whom.
#[derive(Clone, Copy)]
struct Call<'a> {
    endpoint: Endpoint,
    caller: Caller<'a>,
    /// The user, the session or the token. Failures about one of them do not stop the calls about others.
    key: &'a str,
}

/// A client of the Backend API. Which calls it can make depends on the configured secrets.
///
/// Calls block until their deadline at most and may run on any number of threads.
pub struct Api {
    transport: Arc<dyn Transport>,
    base: String,
    secret_key: Option<Secret>,
    machine_secret_key: Option<Secret>,
    jwks_url: Option<String>,
    clock: Clock,
    /// For each endpoint, and for each kind of [`Caller`].
    breakers: [CircuitBreaker; ENDPOINTS],
    unknown_breakers: [CircuitBreaker; ENDPOINTS],
    calls: CallCounters,
    shutdowns: Shutdowns,
}

impl Api {
    /// Creates a client. `base` is the URL without `/v1` and without a trailing slash.
    pub fn new(
        transport: Arc<dyn Transport>,
        base: String,
        secret_key: Option<Secret>,
        machine_secret_key: Option<Secret>,
        jwks_url: Option<String>,
        clock: Clock,
    ) -> Self {
        let [breakers, unknown_breakers] = std::array::from_fn(|_| std::array::from_fn(|_| CircuitBreaker::default()));
        let (calls, shutdowns) = (CallCounters::default(), Shutdowns::default());
        Api {
            transport,
            base,
            secret_key,
            machine_secret_key,
            jwks_url,
            clock,
            breakers,
            unknown_breakers,
            calls,
            shutdowns,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.base)
    }

    fn secret(&self) -> Result<&Secret, ApiError> {
        self.secret_key.as_ref().ok_or_else(|| ApiError::new(ErrorKind::Unauthorized))
    }

    /// Makes one call: several attempts within one deadline, behind the endpoint's circuit breaker. `parse` reads the body of
    /// a successful response; if it returns `None`, the call fails with [`ErrorKind::BadResponse`].
    fn call<T>(
        &self,
        call: Call<'_>,
        request: &Request<'_>,
        deadline: Deadline,
        parse: impl FnOnce(Vec<u8>) -> Option<T>,
    ) -> Result<T, ApiError> {
        let may_retry = || match call.caller {
            Caller::Known => true,
            Caller::Unknown(may_retry) => may_retry(),
        };
        self.behind_breaker(call, || {
            self.send_with_retries(call.endpoint, request, deadline, may_retry)
                .and_then(|body| parse(body).ok_or_else(|| ApiError::new(ErrorKind::BadResponse)))
                .map_err(|error| match request.bearer {
                    // Without a secret key in the request, its rejection is not about one.
                    None if error.is_secret_key_rejected() => ApiError { kind: ErrorKind::Declined, ..error },
                    _ => error,
                })
        })
    }

    /// Runs `send` unless the endpoint's circuit is open, and records its outcome.
    fn behind_breaker<T>(&self, call: Call<'_>, send: impl FnOnce() -> Result<T, ApiError>) -> Result<T, ApiError> {
        let now_ms = self.clock.now().mono_ms;
        let permit = match self.open_for_ms(call.endpoint, call.caller, now_ms) {
            Some(open_ms) => Err(open_ms),
            None => self.breaker(call.endpoint, call.caller).try_acquire(call.key, now_ms),
        };
        let permit = permit.map_err(|open_ms| self.open_error(call.endpoint, call.caller, open_ms))?;
        let outcome = send();
        let now_ms = self.clock.now().mono_ms;
        match (outcome.as_ref().err().filter(|error| is_of_client(call, error.kind)), call.caller) {
            (None, _) => permit.record(&outcome, now_ms),
            (Some(_), Caller::Known) => permit.record_for_key(now_ms),
            (Some(_), Caller::Unknown(_)) => {}
        }
        outcome
    }

    fn breaker(&self, endpoint: Endpoint, caller: Caller<'_>) -> &CircuitBreaker {
        let breakers = if matches!(caller, Caller::Known) { &self.breakers } else { &self.unknown_breakers };
        &breakers[endpoint as usize]
    }

    /// Returns the error of a call that an open circuit stops, with the failure that opened it.
    fn open_error(&self, endpoint: Endpoint, caller: Caller<'_>, open_ms: u64) -> ApiError {
        let error = self.breaker(endpoint, caller).open_error(open_ms);
        if error.previous.is_some() { error } else { self.breaker(endpoint, Caller::Known).open_error(open_ms) }
    }

    /// Returns how long the circuit of an endpoint stays open for a caller; `None` if a call may be sent. Where known callers are
    /// stopped, unknown ones are as well.
    fn open_for_ms(&self, endpoint: Endpoint, caller: Caller<'_>, now_ms: i64) -> Option<u64> {
        let own = self.breaker(endpoint, caller).open_for_ms(now_ms);
        own.max(self.breaker(endpoint, Caller::Known).open_for_ms(now_ms))
    }

    /// Sends a request once, and counts it. Sends nothing after the deadline, or for a call that a shutdown has ended.
    fn send(&self, endpoint: Endpoint, request: &Request<'_>, deadline: Deadline) -> Result<Response, TransportError> {
        if self.shutdowns.have_ended(deadline) {
            return Err(TransportError::Cancelled);
        }
        let left = deadline.remaining();
        if left.is_zero() {
            return Err(TransportError::Timeout);
        }
        let sent = self.transport.send(request, left);
        self.calls.record(endpoint, &sent);
        sent
    }

    /// Returns the calls by endpoint and status.
    pub fn calls(&self) -> Calls {
        self.calls.snapshot()
    }

    /// Returns for each endpoint whether its circuit is open for callers whose token was verified, and whether a 429 has opened it.
    pub fn open_circuits(&self, now_ms: i64) -> (PerEndpoint, PerEndpoint) {
        let causes = self.breakers.each_ref().map(|breaker| breaker.open_because(now_ms));
        let is_limited = |cause| u64::from(cause == Some(ErrorKind::RateLimited));
        (PerEndpoint(causes.map(|cause| cause.is_some().into())), PerEndpoint(causes.map(is_limited)))
    }

    /// Sends a request up to [`MAX_ATTEMPTS`] times until it succeeds or fails with an error that a retry will not change.
    fn send_with_retries(
        &self,
        endpoint: Endpoint,
        request: &Request<'_>,
        deadline: Deadline,
        may_retry: impl Fn() -> bool,
    ) -> Result<Vec<u8>, ApiError> {
        let mut attempt = 1;
        let mut last_error = None;
        loop {
            let error = match self.send(endpoint, request, deadline).map(error::classify_response) {
                Ok(Ok(body)) => return Ok(body),
                Ok(Err(error)) => error,
                Err(error) => error.into(),
            };
            // An earlier response is a better error than the timeout after it.
            if let (ErrorKind::Timeout, Some(last_error)) = (error.kind, last_error.take()) {
                return Err(last_error);
            }
            let pause = error.retry_after_ms.map_or_else(|| backoff(attempt), Duration::from_millis);
            if attempt == MAX_ATTEMPTS || !error.is_retryable() || pause >= deadline.remaining() || !may_retry() {
                return Err(error);
            }
            self.shutdowns.pause(deadline, pause);
            last_error = Some(error);
            attempt += 1;
        }
    }

    /// Ends the calls that have begun: cancels those in flight, and sends nothing more for the others.
    pub fn shutdown(&self) {
        self.shutdowns.raise();
        self.transport.shutdown();
    }

    /// Returns the count of shutdowns, which the deadlines of calls refer to.
    pub fn shutdowns(&self) -> &Shutdowns {
        &self.shutdowns
    }

    /// Whether nothing can be sent, because this process is a forked child; see [`Transport::is_forked`].
    pub fn is_forked(&self) -> bool {
        self.transport.is_forked()
    }

    /// Makes the transport usable in a forked child; see [`Transport::reset_after_fork`].
    pub fn reset_after_fork(&self) -> bool {
        let is_child = self.transport.reset_after_fork();
        if is_child {
            self.breakers.iter().chain(&self.unknown_breakers).for_each(CircuitBreaker::reset_after_fork);
        }
        is_child
    }
}

/// Returns whether a call may have failed for what a client sent, which a firewall may refuse: that stops no call for others.
fn is_of_client(call: Call<'_>, kind: ErrorKind) -> bool {
    // A nonce, or a refresh cookie with headers, is as the browser sent it.
    let has_client_data = matches!(call.endpoint, Endpoint::HandshakePayload | Endpoint::SessionRefresh);
    match kind {
        ErrorKind::Foreign => has_client_data || matches!(call.caller, Caller::Unknown(_)),
        // Such as a redirect to a page of the firewall.
        ErrorKind::BadResponse => has_client_data,
        _ => false,
    }
}

/// Exponential backoff with full jitter, so that clients that failed together do not retry together.
fn backoff(attempt: u32) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let max_ms = 100 << attempt.min(6);
    Duration::from_millis(RandomState::new().hash_one(attempt) % max_ms)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Status and `Retry-After` of a response, or the error instead of one.
    type Scripted = Result<(u16, Option<&'static str>), TransportError>;

    /// Returns these responses in turn, the last one repeatedly.
    struct ScriptedTransport {
        responses: Vec<Scripted>,
        sent: AtomicUsize,
    }

    impl Transport for ScriptedTransport {
        fn send(&self, request: &Request<'_>, _: Duration) -> Result<Response, TransportError> {
            assert_eq!(request.bearer.map(Secret::expose), Some("sk_test_x"));
            let n = self.sent.fetch_add(1, Ordering::Relaxed).min(self.responses.len() - 1);
            self.responses[n].map(|(status, retry_after)| Response {
                status,
                retry_after: retry_after.map(str::to_owned),
                trace_id: None,
                body: if status < 300 { b"{}".to_vec() } else { br#"{"errors":[{"code":"x"}]}"#.to_vec() },
            })
        }
        fn reset_after_fork(&self) -> bool {
            false
        }
        fn shutdown(&self) {}
    }

    /// Makes one call; returns its outcome and the number of attempts.
    fn run(responses: &[Scripted]) -> (Result<Vec<u8>, ErrorKind>, usize) {
        let transport = Arc::new(ScriptedTransport { responses: responses.to_vec(), sent: AtomicUsize::new(0) });
        let secret = Some(Secret::new("sk_test_x"));
        let api = Api::new(transport.clone(), "http://127.0.0.1".into(), secret, None, None, Clock::system());
        let outcome = api.jwks(Deadline::after(Duration::from_secs(2)));
        assert_eq!(api.calls().total(), transport.sent.load(Ordering::Relaxed) as u64);
        (outcome.map_err(|e| e.kind), transport.sent.load(Ordering::Relaxed))
    }

    #[test]
    fn transient_error_is_retried_and_permanent_one_is_not() {
        assert_eq!(run(&[Ok((200, None))]), (Ok(b"{}".to_vec()), 1));
        assert_eq!(run(&[Ok((500, None)), Ok((200, None))]), (Ok(b"{}".to_vec()), 2));
        assert_eq!(run(&[Err(TransportError::Network), Ok((200, None))]), (Ok(b"{}".to_vec()), 2));
        for (error, kind) in [
            (TransportError::ConnectionRefused, ErrorKind::ConnectionRefused),
            (TransportError::NameResolution, ErrorKind::NameResolution),
            (TransportError::Certificate, ErrorKind::Certificate),
            (TransportError::Cancelled, ErrorKind::Cancelled),
        ] {
            assert_eq!(run(&[Err(error), Ok((200, None))]), (Err(kind), 1));
        }
        assert_eq!(run(&[Ok((503, None))]), (Err(ErrorKind::Server), 3));
        for (status, kind) in [(401, ErrorKind::Unauthorized), (403, ErrorKind::Declined), (404, ErrorKind::NotFound)] {
            assert_eq!(run(&[Ok((status, None))]), (Err(kind), 1));
        }
        assert_eq!(run(&[Ok((429, Some("1")))]), (Err(ErrorKind::RateLimited), 1));
        assert_eq!(run(&[Ok((302, None))]), (Err(ErrorKind::BadResponse), 1));
        assert_eq!(run(&[Err(TransportError::TooLarge)]), (Err(ErrorKind::BadResponse), 1));
    }

    #[test]
    fn response_before_a_timeout_is_the_reported_error() {
        assert_eq!(run(&[Ok((503, None)), Err(TransportError::Timeout)]), (Err(ErrorKind::Server), 2));
        assert_eq!(run(&[Err(TransportError::Timeout)]), (Err(ErrorKind::Timeout), 1));
    }

    #[test]
    fn retry_after_is_respected_within_the_deadline() {
        assert_eq!(run(&[Ok((503, Some("1"))), Ok((200, None))]).1, 2);
        assert_eq!(run(&[Ok((503, Some("3"))), Ok((200, None))]), (Err(ErrorKind::Server), 1));
    }
}
