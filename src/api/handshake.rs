//! `GET /clients/handshake_payload` and `POST /sessions/{id}/refresh`: fresh cookies for a browser. Neither call is repeated:
//! a nonce can be exchanged, and an expired token refreshed, once.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::{classify_response, error_code};
use super::{Api, ApiError, Call, Caller, Endpoint, ErrorKind, MAX_OBJECT_LEN, Request, Response};
use crate::clock::Deadline;
use crate::json::{self, AnyItems};

/// What a session is refreshed with.
#[derive(Clone, Copy)]
pub struct RefreshRequest<'a> {
    /// The session's id, which becomes part of the URL.
    pub session_id: &'a str,
    /// The expired token.
    pub expired_token: &'a str,
    /// The refresh cookie.
    pub refresh_token: &'a str,
    /// The origin of the public URL.
    pub origin: &'a str,
    /// Whether suffixed cookies are in use.
    pub suffixed_cookies: bool,
    /// Headers of the browser's request, by name in lower case.
    pub headers: &'a [(&'static str, String)],
}

// Holds tokens.
impl std::fmt::Debug for RefreshRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshRequest").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Clerk's response to a refresh.
#[derive(Clone, Debug, PartialEq)]
pub enum Refresh {
    /// `Set-Cookie` lines, not checked yet; `None` for what is no string.
    Cookies(Vec<Option<String>>),
    /// Clerk refuses; why, in a word of `[a-z0-9_-]`.
    Refused(String),
}

#[derive(Deserialize)]
struct Payload {
    directives: AnyItems,
}

#[derive(Deserialize)]
struct Cookies {
    #[serde(default)]
    cookies: AnyItems,
}

/// The word for a response that has no code.
const UNEXPECTED: &str = "unexpected-bapi-error";

impl Api {
    /// Returns the error of an exchange for a client whose token was never verified, while the circuit is open; `None` if a call
    /// may be sent.
    pub fn handshake_circuit_error(&self) -> Option<ApiError> {
        let caller = Caller::Unknown(&|| false);
        let open_ms = self.open_for_ms(Endpoint::HandshakePayload, caller, self.clock.now().mono_ms)?;
        Some(self.open_error(Endpoint::HandshakePayload, caller, open_ms))
    }

    /// Exchanges a nonce for the `Set-Cookie` lines of a handshake, which are not checked yet: `None` for what is no string. Returns `Ok(None)` if the nonce is
    /// unknown or was exchanged before.
    ///
    /// # Errors
    ///
    /// [`ApiError`] if the call failed.
    pub fn handshake_payload(
        &self,
        caller: Caller<'_>,
        nonce: &str,
        deadline: Deadline,
    ) -> Result<Option<Vec<Option<String>>>, ApiError> {
        let url = self.url(&format!("clients/handshake_payload?nonce={nonce}"));
        let request = Request { url: &url, bearer: Some(self.secret()?), body: None, limit: MAX_OBJECT_LEN };
        let call = Call { endpoint: Endpoint::HandshakePayload, caller, key: nonce };
        self.call_once(call, &request, deadline, |response| {
            let body = match successful_body(response) {
                Err(error) if error.is_refusal() && matches!(error.status, 400 | 404 | 410) => return Ok(None),
                body => body?,
            };
            let payload = json::derived(&body).and_then(|Payload { directives }| directives.0.into_option());
            payload.map(Some).ok_or(ApiError::new(ErrorKind::BadResponse))
        })
    }

    /// Has Clerk refresh a session whose token has expired.
    ///
    /// # Errors
    ///
    /// [`ApiError`] if the call failed, and a word for it as Clerk's SDKs write it.
    pub fn refresh_session(
        &self,
        refresh: &RefreshRequest<'_>,
        deadline: Deadline,
    ) -> Result<Refresh, (ApiError, String)> {
        let query = if refresh.suffixed_cookies { "?suffixed_cookies=true" } else { "" };
        let url = self.url(&format!("sessions/{}/refresh{query}", refresh.session_id));
        let headers: Map<String, Value> =
            refresh.headers.iter().map(|(name, value)| ((*name).to_owned(), json!([value]))).collect();
        let body = json!({
            "format": "cookie", "expired_token": refresh.expired_token, "refresh_token": refresh.refresh_token,
            "request_origin": refresh.origin, "request_headers": headers,
        });
        let body = body.to_string();
        let mut word = "fetch-error".to_owned();
        let secret = self.secret().map_err(|error| (error, word.clone()))?;
        let request = Request { url: &url, bearer: Some(secret), body: Some(body.as_bytes()), limit: MAX_OBJECT_LEN };
        let call = Call { endpoint: Endpoint::SessionRefresh, caller: Caller::Known, key: refresh.session_id };
        let response = self.call_once(call, &request, deadline, |response| {
            if response.status != 200 {
                word = refusal_word(&response.body);
            }
            let body = match successful_body(response) {
                Err(error) if error.is_refusal() => return Ok(Refresh::Refused(word.clone())),
                body => body?,
            };
            let cookies = json::derived(&body).and_then(|Cookies { cookies }| cookies.0.into_option());
            Ok(Refresh::Cookies(cookies.unwrap_or_default()))
        });
        response.map_err(|error| (error, word))
    }

    fn call_once<T>(
        &self,
        call: Call<'_>,
        request: &Request<'_>,
        deadline: Deadline,
        read: impl FnOnce(Response) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.behind_breaker(call, || self.send(call.endpoint, request, deadline).map_err(ApiError::from).and_then(read))
    }
}

/// Returns the body of a 200; any other status is an error.
fn successful_body(response: Response) -> Result<Vec<u8>, ApiError> {
    let status = response.status;
    let body = classify_response(response)?;
    if status == 200 { Ok(body) } else { Err(ApiError { status, ..ApiError::new(ErrorKind::BadResponse) }) }
}

/// Returns the code of the first error if it is in lower case.
fn refusal_word(body: &[u8]) -> String {
    let code = error_code(body).filter(|code| !code.bytes().any(|b| b.is_ascii_uppercase()));
    code.unwrap_or_else(|| UNEXPECTED.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_the_first_error_counts_if_it_is_a_word() {
        for (body, code) in [
            (r#"{"errors":[{"code":"refresh_token_not_found"},{"code":"other"}]}"#, "refresh_token_not_found"),
            (r#"{"errors":[{"code":"a b&c=d\r\nX: y"}]}"#, UNEXPECTED),
            (r#"{"errors":[{"code":""}]}"#, UNEXPECTED),
            (r#"{"errors":[{"message":"x"}]}"#, UNEXPECTED),
            (r#"{"errors":[]}"#, UNEXPECTED),
            (r#"[[["a"]]]"#, UNEXPECTED),
            (r#"{"errors":[["a"]]}"#, UNEXPECTED),
            ("<html>", UNEXPECTED),
        ] {
            assert_eq!(refusal_word(body.as_bytes()), code, "{body}");
        }
    }
}
