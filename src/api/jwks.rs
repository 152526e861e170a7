//! `GET /jwks`: the instance's verification keys.

use super::{Api, ApiError, Call, Caller, Endpoint, Request};
use crate::clock::Deadline;
use crate::config::Secret;
use crate::token::TokenHash;
use std::borrow::Cow;

/// The maximum length of a JWK set in bytes.
const MAX_JWKS_LEN: usize = 1 << 20;

impl Api {
    /// Returns a hash of the URL of the JWK set and of the secret that it is fetched with: both determine the set.
    pub fn jwks_source(&self) -> Result<TokenHash, ApiError> {
        let (url, bearer) = self.jwks_request()?;
        Ok(TokenHash::of(format!("{url}\0{}", bearer.map_or("", Secret::expose)).as_bytes()))
    }

    /// Fetches the JWK set from `jwks_url`, without a secret, or else from the Backend API. Returns its JSON.
    pub fn jwks(&self, deadline: Deadline) -> Result<Vec<u8>, ApiError> {
        let (url, bearer) = self.jwks_request()?;
        let request = Request { url: &url, bearer, body: None, limit: MAX_JWKS_LEN };
        let call = Call { endpoint: Endpoint::Jwks, caller: Caller::Known, key: "" };
        self.call(call, &request, deadline, Some)
    }

    fn jwks_request(&self) -> Result<(Cow<'_, str>, Option<&Secret>), ApiError> {
        Ok(match &self.jwks_url {
            Some(url) => (Cow::Borrowed(url.as_str()), None),
            None => (Cow::Owned(self.url("jwks")), Some(self.secret()?)),
        })
    }
}
