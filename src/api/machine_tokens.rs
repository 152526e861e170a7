//! `POST …/verify`: verification of opaque machine tokens by Clerk.

use serde::Deserialize;

use super::{Api, ApiError, Call, Caller, Endpoint, ErrorKind, MAX_OBJECT_LEN, Request};
use crate::clock::Deadline;
use crate::config::Secret;
use crate::json::{self, Items};
use crate::token::{TokenKind, is_clerk_id};

/// A machine token that Clerk has verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineToken {
    /// The token's id; not the token itself.
    pub id: String,
    /// The subject: `user_…`, `org_…` or `mch_…`.
    pub subject: String,
    /// The granted scopes.
    pub scopes: Vec<String>,
    /// The OAuth application that the token was issued to.
    pub client_id: Option<String>,
    /// The name that an API key was given.
    pub name: Option<String>,
    /// The custom claims of the token, a JSON object.
    pub claims: Option<String>,
    /// When the token expires, in milliseconds since 1970; `None` if it does not.
    pub expires_at_ms: Option<i64>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    object: Option<String>,
    id: Option<String>,
    subject: Option<String>,
    #[serde(default)]
    scopes: Option<Items<String>>,
    client_id: Option<String>,
    name: Option<String>,
    #[serde(borrow)]
    claims: Option<&'a serde_json::value::RawValue>,
    revoked: Option<bool>,
    expired: Option<bool>,
    #[serde(default)]
    expiration: Option<f64>,
    active: Option<bool>,
}

impl Api {
    /// Returns the error of a call for a token of a kind while the circuit is open; `None` if a call may be sent.
    pub fn machine_circuit_error(&self, kind: TokenKind, caller: Caller<'_>) -> Option<ApiError> {
        let endpoint = endpoint(kind)?;
        let open_ms = self.open_for_ms(endpoint, caller, self.clock.now().mono_ms)?;
        Some(self.open_error(endpoint, caller, open_ms))
    }

    /// Returns the secret that opaque tokens of a kind are verified with: Clerk's response is for its owner only.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`] without such a secret.
    pub fn machine_credential(&self, kind: TokenKind) -> Result<&Secret, ApiError> {
        match (&self.machine_secret_key, kind) {
            (Some(machine), TokenKind::M2mToken) => Ok(machine),
            _ => self.secret(),
        }
    }

    /// Has Clerk verify an opaque token. Returns `Ok(None)` if it is unknown, revoked, expired or inactive.
    ///
    /// # Errors
    ///
    /// [`ApiError`] if the call failed, so that the token is neither valid nor invalid.
    pub fn verify_machine_token(
        &self,
        caller: Caller<'_>,
        kind: TokenKind,
        token: &str,
        wall_ms: i64,
        deadline: Deadline,
    ) -> Result<Option<MachineToken>, ApiError> {
        let Some(endpoint) = endpoint(kind) else { return Ok(None) };
        let (path, member, object) = match kind {
            TokenKind::M2mToken => ("m2m_tokens/verify", "token", "machine_to_machine_token"),
            TokenKind::OauthToken => {
                ("oauth_applications/access_tokens/verify", "access_token", "clerk_idp_oauth_access_token")
            }
            TokenKind::ApiKey | TokenKind::SessionToken => ("api_keys/verify", "secret", "api_key"),
        };
        let secret = self.machine_credential(kind)?;
        let body = serde_json::json!({ member: token }).to_string();
        let url = self.url(path);
        let request = Request { url: &url, bearer: Some(secret), body: Some(body.as_bytes()), limit: MAX_OBJECT_LEN };
        let call = Call { endpoint, caller, key: token };
        match self.call(call, &request, deadline, |body| parse_response(&body, object, wall_ms)) {
            Err(error) if error.is_refusal() && matches!(error.kind, ErrorKind::NotFound | ErrorKind::BadRequest) => {
                Ok(None)
            }
            outcome => outcome,
        }
    }
}

/// Returns the endpoint that verifies opaque tokens of a kind.
fn endpoint(kind: TokenKind) -> Option<Endpoint> {
    match kind {
        TokenKind::M2mToken => Some(Endpoint::M2mTokens),
        TokenKind::OauthToken => Some(Endpoint::OauthTokens),
        TokenKind::ApiKey => Some(Endpoint::ApiKeys),
        TokenKind::SessionToken => None,
    }
}

/// Parses a response with status 200, which alone proves nothing: every flag must be present and pass. Returns `None` if the
/// object is malformed, `Some(None)` if the token is not valid.
fn parse_response(body: &[u8], object: &str, wall_ms: i64) -> Option<Option<MachineToken>> {
    let raw: Raw<'_> = json::derived(body)?;
    if raw.active == Some(false) {
        return Some(None);
    }
    let (id, subject) = (raw.id?, raw.subject?);
    let expires_at_ms = match raw.expiration {
        Some(ms) if ms.is_finite() && ms >= 0.0 => Some(ms as i64),
        Some(_) => return None,
        None => None,
    };
    let has_valid_subject = ["user_", "org_", "mch_"].iter().any(|prefix| is_clerk_id(&subject, prefix));
    if raw.object.as_deref() != Some(object) || !has_valid_subject {
        return None;
    }
    if raw.revoked? || raw.expired? || expires_at_ms.is_some_and(|ms| ms <= wall_ms) {
        return Some(None);
    }
    let claims = raw.claims.map(|c| c.get().to_owned()).filter(|c| c.starts_with('{'));
    let Items(scopes) = raw.scopes.unwrap_or_default();
    Some(Some(MachineToken { id, subject, scopes, client_id: raw.client_id, name: raw.name, claims, expires_at_ms }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(members: &str) -> Option<bool> {
        let json = format!(r#"{{"object":"api_key","id":"ak_1","subject":"user_1",{members}}}"#);
        parse_response(json.as_bytes(), "api_key", 1000).map(|token| token.is_some())
    }

    // Threat O1.
    #[test]
    fn every_flag_must_be_present_and_pass() {
        assert_eq!(parse(r#""revoked":false,"expired":false"#), Some(true));
        assert_eq!(parse(r#""revoked":false,"expired":false,"expiration":1001,"claims":{"a":1}"#), Some(true));
        assert_eq!(parse(r#""revoked":false,"expired":false,"expiration":null"#), Some(true));
        assert_eq!(parse(r#""revoked":true,"expired":false"#), Some(false));
        assert_eq!(parse(r#""revoked":false,"expired":true"#), Some(false));
        assert_eq!(parse(r#""revoked":false,"expired":false,"expiration":1000"#), Some(false));
        assert_eq!(parse(r#""revoked":false,"expired":false,"active":false"#), Some(false));
        for malformed in [r#""revoked":false"#, r#""expired":false"#, r#""revoked":"no","expired":false"#] {
            assert_eq!(parse(malformed), None, "{malformed}");
        }
        assert_eq!(parse_response(b"{\"active\":false}", "api_key", 0), Some(None));
        for malformed in [
            "{}",
            "null",
            "<html>",
            r#"["api_key","ak_1","user_1",[],null,null,false,false,null,true]"#,
            r#"{"object":"user","id":"x","subject":"user_1","revoked":false,"expired":false}"#,
        ] {
            assert_eq!(parse_response(malformed.as_bytes(), "api_key", 0), None, "{malformed}");
        }
        let path = r#"{"object":"api_key","id":"x","subject":"../x","revoked":false,"expired":false}"#;
        assert_eq!(parse_response(path.as_bytes(), "api_key", 0), None);
    }
}
