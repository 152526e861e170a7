//! `POST …/verify`: what Clerk says of an opaque machine token.

use std::time::Instant;

use serde::Deserialize;

use super::{Api, ApiError, Endpoint, ErrorKind, LONGEST_OBJECT, Request};
use crate::token::{TokenKind, is_clerk_id};

/// A machine token that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineToken {
    /// Clerk's id of the token, not the token.
    pub id: String,
    /// `user_…`, `org_…` or `mch_…`
    pub subject: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The OAuth application it was given to.
    pub client_id: Option<String>,
    /// Claims kept with the token, as JSON.
    pub claims: Option<String>,
    /// The end of its life in milliseconds since 1970, if it has one.
    pub expires_at_ms: Option<i64>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    object: Option<String>,
    id: Option<String>,
    subject: Option<String>,
    #[serde(default)]
    scopes: Option<Vec<String>>,
    client_id: Option<String>,
    #[serde(borrow)]
    claims: Option<&'a serde_json::value::RawValue>,
    revoked: Option<bool>,
    expired: Option<bool>,
    #[serde(default)]
    expiration: Option<f64>,
    active: Option<bool>,
}

impl Api {
    /// Asks Clerk about a token. `Ok(None)`: it is not known, revoked, expired or inactive.
    pub fn verify_machine_token(
        &self,
        kind: TokenKind,
        token: &str,
        wall_ms: i64,
        deadline: Instant,
    ) -> Result<Option<MachineToken>, ApiError> {
        let (endpoint, path, member, object) = match kind {
            TokenKind::M2mToken => (Endpoint::M2mTokens, "m2m_tokens/verify", "token", "machine_to_machine_token"),
            TokenKind::OauthToken => {
                let path = "oauth_applications/access_tokens/verify";
                (Endpoint::OauthTokens, path, "access_token", "clerk_idp_oauth_access_token")
            }
            TokenKind::ApiKey => (Endpoint::ApiKeys, "api_keys/verify", "secret", "api_key"),
            TokenKind::SessionToken => return Ok(None),
        };
        let secret = match (&self.machine_secret_key, kind) {
            (Some(machine), TokenKind::M2mToken) => machine,
            _ => self.secret()?,
        };
        let body = serde_json::json!({ member: token }).to_string();
        let url = self.url(path);
        let request = Request { url: &url, bearer: Some(secret), body: Some(body.as_bytes()), limit: LONGEST_OBJECT };
        match self.call(endpoint, &request, deadline, |answer| judge(&answer, object, wall_ms)) {
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::BadRequest) => Ok(None),
            outcome => outcome,
        }
    }
}

/// Every flag has to be there and to say yes: a 200 alone means nothing. `None`: this is no such object.
fn judge(answer: &[u8], object: &str, wall_ms: i64) -> Option<Option<MachineToken>> {
    let raw: Raw<'_> = serde_json::from_slice(answer).ok()?;
    if raw.active == Some(false) {
        return Some(None);
    }
    let (id, subject) = (raw.id?, raw.subject?);
    let expires_at_ms = match raw.expiration {
        Some(ms) if ms.is_finite() && ms >= 0.0 => Some(ms as i64),
        Some(_) => return None,
        None => None,
    };
    let shaped = ["user_", "org_", "mch_"].iter().any(|prefix| is_clerk_id(&subject, prefix));
    if raw.object.as_deref() != Some(object) || !shaped {
        return None;
    }
    if raw.revoked? || raw.expired? || expires_at_ms.is_some_and(|ms| ms <= wall_ms) {
        return Some(None);
    }
    let claims = raw.claims.map(|c| c.get().to_owned()).filter(|c| c != "null");
    let scopes = raw.scopes.unwrap_or_default();
    Some(Some(MachineToken { id, subject, scopes, client_id: raw.client_id, claims, expires_at_ms }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(members: &str) -> Option<bool> {
        let json = format!(r#"{{"object":"api_key","id":"ak_1","subject":"user_1",{members}}}"#);
        judge(json.as_bytes(), "api_key", 1000).map(|token| token.is_some())
    }

    #[test]
    fn o1_every_flag_counts() {
        assert_eq!(judged(r#""revoked":false,"expired":false"#), Some(true));
        assert_eq!(judged(r#""revoked":false,"expired":false,"expiration":1001,"claims":{"a":1}"#), Some(true));
        assert_eq!(judged(r#""revoked":false,"expired":false,"expiration":null"#), Some(true));
        assert_eq!(judged(r#""revoked":true,"expired":false"#), Some(false));
        assert_eq!(judged(r#""revoked":false,"expired":true"#), Some(false));
        assert_eq!(judged(r#""revoked":false,"expired":false,"expiration":1000"#), Some(false));
        assert_eq!(judged(r#""revoked":false,"expired":false,"active":false"#), Some(false));
        for odd in [r#""revoked":false"#, r#""expired":false"#, r#""revoked":"no","expired":false"#] {
            assert_eq!(judged(odd), None, "{odd}");
        }
        assert_eq!(judge(b"{\"active\":false}", "api_key", 0), Some(None));
        for odd in
            ["{}", "null", "<html>", r#"{"object":"user","id":"x","subject":"user_1","revoked":false,"expired":false}"#]
        {
            assert_eq!(judge(odd.as_bytes(), "api_key", 0), None, "{odd}");
        }
        let path = r#"{"object":"api_key","id":"x","subject":"../x","revoked":false,"expired":false}"#;
        assert_eq!(judge(path.as_bytes(), "api_key", 0), None);
    }
}
