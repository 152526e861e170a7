//! `GET /jwks`: the instance's verification keys.

use std::borrow::Cow;
use std::time::Instant;

use super::{Api, ApiError, Call, Caller, Endpoint, Request};

/// The maximum length of a JWK set in bytes.
const MAX_JWKS_LEN: usize = 1 << 20;

impl Api {
    /// Fetches the JWK set from `jwks_url`, without a secret, or else from the Backend API. Returns its JSON.
    pub fn jwks(&self, deadline: Instant) -> Result<Vec<u8>, ApiError> {
        let (url, bearer) = match &self.jwks_url {
            Some(url) => (Cow::Borrowed(url.as_str()), None),
            None => (Cow::Owned(self.url("jwks")), Some(self.secret()?)),
        };
        let request = Request { url: &url, bearer, body: None, limit: MAX_JWKS_LEN };
        let call = Call { endpoint: Endpoint::Jwks, caller: Caller::Known, key: "" };
        self.call(call, &request, deadline, Some)
    }
}
