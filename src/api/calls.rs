//! What calls to Clerk are counted by: the endpoint, and the kind of response.

use std::sync::atomic::{AtomicU64, Ordering};

use super::transport::{Response, TransportError};

/// The endpoints of Clerk's Backend API that the library calls.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::FromRepr, strum::IntoStaticStr, strum::VariantArray, strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
#[repr(i32)]
pub enum Endpoint {
    /// `GET /jwks`
    Jwks = 0,
    /// `GET /users/{id}`
    Users = 1,
    /// `GET /sessions/{id}`
    Sessions = 2,
    /// `POST /m2m_tokens/verify`
    M2mTokens = 3,
    /// `POST /oauth_applications/access_tokens/verify`
    OauthTokens = 4,
    /// `POST /api_keys/verify`
    ApiKeys = 5,
    /// `GET /clients/handshake_payload`
    HandshakePayload = 6,
    /// `POST /sessions/{id}/refresh`
    SessionRefresh = 7,
}

/// The number of endpoints.
pub const ENDPOINTS: usize = 8;

impl Endpoint {
    /// Returns the name, such as `users`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The kind of Clerk's response to a call.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::FromRepr, strum::IntoStaticStr, strum::VariantArray, strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
#[repr(i32)]
pub enum CallStatus {
    /// 2xx
    Success = 0,
    /// 3xx, and what is not an HTTP status.
    Other = 1,
    /// 4xx, except 429.
    ClientError = 2,
    /// 429
    RateLimited = 3,
    /// 5xx
    ServerError = 4,
    /// No complete response: the connection failed, or the deadline passed.
    NoResponse = 5,
}

const STATUSES: usize = 6;

impl CallStatus {
    /// Returns the name, such as `rate_limited`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    fn of(sent: &Result<Response, TransportError>) -> Self {
        match sent.as_ref().map(|response| response.status) {
            Ok(200..=299) => CallStatus::Success,
            Ok(429) => CallStatus::RateLimited,
            Ok(400..=499) => CallStatus::ClientError,
            Ok(500..=599) => CallStatus::ServerError,
            Ok(_) => CallStatus::Other,
            Err(_) => CallStatus::NoResponse,
        }
    }
}

/// A number for each endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerEndpoint(pub(crate) [u64; ENDPOINTS]);

impl PerEndpoint {
    /// Returns the number of an endpoint.
    pub fn get(&self, endpoint: Endpoint) -> u64 {
        self.0[endpoint as usize]
    }
}

/// Calls to Clerk by endpoint and status. Each attempt counts, as it does for Clerk's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls(pub(crate) [[u64; STATUSES]; ENDPOINTS]);

impl Calls {
    /// Returns the number of calls to an endpoint that ended with a status.
    pub fn get(&self, endpoint: Endpoint, status: CallStatus) -> u64 {
        self.0[endpoint as usize][status as usize]
    }

    /// Returns the number of all calls.
    pub fn total(&self) -> u64 {
        self.0.iter().flatten().sum()
    }
}

/// Counts calls.
#[derive(Default)]
pub struct CallCounters([[AtomicU64; STATUSES]; ENDPOINTS]);

impl CallCounters {
    /// Counts an attempt, unless nothing was sent.
    pub fn record(&self, endpoint: Endpoint, sent: &Result<Response, TransportError>) {
        if !matches!(sent, Err(TransportError::Forked)) {
            self.0[endpoint as usize][CallStatus::of(sent) as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the numbers.
    pub fn snapshot(&self) -> Calls {
        Calls(self.0.each_ref().map(|statuses| statuses.each_ref().map(|count| count.load(Ordering::Relaxed))))
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    #[test]
    fn numbers_of_endpoints_and_statuses_are_their_places() {
        assert_eq!((Endpoint::VARIANTS.len(), CallStatus::VARIANTS.len()), (ENDPOINTS, STATUSES));
        assert!(Endpoint::VARIANTS.iter().enumerate().all(|(place, endpoint)| *endpoint as usize == place));
        assert!(CallStatus::VARIANTS.iter().enumerate().all(|(place, status)| *status as usize == place));
    }

    #[test]
    fn attempts_are_counted_by_endpoint_and_status() {
        let counters = CallCounters::default();
        let response = |status| Ok(Response { status, retry_after: None, trace_id: None, body: Vec::new() });
        for (times, status) in [200, 302, 404, 429, 503].into_iter().enumerate() {
            (0..=times).for_each(|_| counters.record(Endpoint::Users, &response(status)));
        }
        counters.record(Endpoint::Jwks, &Err(TransportError::Timeout));
        counters.record(Endpoint::Jwks, &Err(TransportError::Forked));
        let calls = counters.snapshot();
        assert_eq!(calls.0[Endpoint::Users as usize], [1, 2, 3, 4, 5, 0]);
        assert_eq!((calls.get(Endpoint::Jwks, CallStatus::NoResponse), calls.total()), (1, 16));
    }
}
