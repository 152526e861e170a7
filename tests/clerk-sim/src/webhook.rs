//! Webhooks as Clerk sends them through Svix: the event and its signature headers.

use crate::complete;
use crate::encoding::{b64, from_b64, hex};
use crate::error::{Error, Result};
use crate::sign::hmac_sha256;
use crate::state::ApiState;
use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The specification of a webhook.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSpec {
    /// Type of the event, such as `user.updated`
    pub r#type: String,
    /// Id of the user, session or membership it is about
    pub id: Option<String>,
    /// User of a membership that is not in the state
    pub user: Option<String>,
    /// Organization of a membership that is not in the state
    pub org: Option<String>,
    /// The data; from the state by default
    pub data: Option<Value>,
    /// The body, instead of an event
    pub body: Option<String>,
    /// Secret to sign with, in place of the instance's
    pub secret: Option<String>,
    /// Message id; random by default
    pub svix_id: Option<String>,
    /// Unix seconds; now if missing
    pub timestamp: Option<i64>,
    /// Whether to make the signature invalid
    pub bad_signature: bool,
}

impl WebhookSpec {
    /// An event of that type about that id.
    pub fn new(event_type: &str, id: &str) -> WebhookSpec {
        WebhookSpec { r#type: event_type.to_owned(), id: Some(id.to_owned()), ..WebhookSpec::default() }
    }
}

/// A signed webhook request.
#[derive(Clone, Debug, Serialize)]
pub struct Delivery {
    /// Header fields, `Content-Type` and the three of Svix
    pub headers: Vec<(String, String)>,
    /// Body, to be sent byte for byte
    pub body: String,
}

/// Returns the three Svix header fields for a body; the secret is base64, with or without `whsec_`.
pub fn sign(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Result<Vec<(String, String)>> {
    let key = from_b64(secret.strip_prefix("whsec_").unwrap_or(secret))
        .filter(|key| !key.is_empty())
        .ok_or_else(|| Error::new("secret: must be base64, with or without whsec_"))?;
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    Ok(vec![
        ("svix-id".to_owned(), id.to_owned()),
        ("svix-timestamp".to_owned(), timestamp.to_string()),
        ("svix-signature".to_owned(), format!("v1,{}", b64(&hmac_sha256(&key, &signed)))),
    ])
}

/// Returns the envelope of an event; the time is in milliseconds.
pub fn event(event_type: &str, data: Value, instance_id: &str, timestamp_ms: i64) -> Value {
    json!({
        "data": data,
        "event_attributes": {"http_request": {"client_ip": "192.0.2.1", "user_agent": "clerk-sim"}},
        "instance_id": instance_id,
        "object": "event",
        "timestamp": timestamp_ms,
        "type": event_type,
    })
}

/// Creates a webhook from the state, at `now_ms`.
pub fn create(spec: &WebhookSpec, state: &ApiState, now_ms: i64) -> Result<Delivery> {
    let timestamp = spec.timestamp.unwrap_or(now_ms / 1000);
    let body = match &spec.body {
        Some(body) => body.clone(),
        None => {
            let data = match &spec.data {
                Some(data) => data.clone(),
                None => event_data(spec, state)?,
            };
            event(&spec.r#type, data, &state.instance_id, timestamp.saturating_mul(1000)).to_string()
        }
    };
    let id = match &spec.svix_id {
        Some(id) => id.clone(),
        None => message_id(),
    };
    let secret = spec.secret.as_deref().unwrap_or(&state.webhook_secret);
    let signed = if spec.bad_signature { format!("{body} ") } else { body.clone() };
    let mut headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    headers.extend(sign(secret, &id, timestamp, signed.as_bytes())?);
    Ok(Delivery { headers, body })
}

fn message_id() -> String {
    let mut raw = [0; 12];
    rand::fill(&mut raw).expect("the system has random bytes");
    format!("msg_{}", hex(&raw))
}

fn event_data(spec: &WebhookSpec, state: &ApiState) -> Result<Value> {
    let id = || spec.id.as_deref().ok_or_else(|| Error::new("id: missing"));
    let user = |id: &str| complete::user(id, state.users.get(id).unwrap_or(&Value::Null));
    let (thing, what) = spec.r#type.split_once('.').ok_or_else(|| Error::new("type: such as user.updated"))?;
    match (thing, what) {
        ("user", "deleted") => Ok(json!({"deleted": true, "id": id()?, "object": "user"})),
        ("user", _) => Ok(user(id()?)),
        ("session", what) => {
            let mut session = complete::session(id()?, state.sessions.get(id()?).unwrap_or(&Value::Null));
            let status = if what == "created" { "active" } else { what };
            session["status"] = json!(status);
            let owner = session["user_id"].as_str().unwrap_or_default().to_owned();
            if state.users.contains_key(&owner) {
                session["user"] = user(&owner);
            }
            Ok(session)
        }
        ("organizationMembership", _) => membership(spec, state),
        _ => Err(Error::new(format!("{}: this type needs data", spec.r#type))),
    }
}

/// Returns the membership of the state, or one of the user and the organization of the specification.
fn membership(spec: &WebhookSpec, state: &ApiState) -> Result<Value> {
    let public = |id: &str| {
        let user = complete::user(id, state.users.get(id).unwrap_or(&Value::Null));
        json!({"user_id": id, "first_name": user["first_name"], "last_name": user["last_name"],
               "image_url": user["image_url"], "has_image": user["has_image"]})
    };
    for (user, partial) in &state.users {
        let memberships = partial["organization_memberships"].as_array().map(Vec::as_slice).unwrap_or_default();
        let wanted = |membership: &&Value| spec.id.as_deref().is_some_and(|id| membership["id"] == id);
        if let Some(Value::Object(found)) = memberships.iter().find(wanted) {
            let mut membership = found.clone();
            membership.entry("object").or_insert_with(|| json!("organization_membership"));
            membership.entry("public_user_data").or_insert_with(|| public(user));
            return Ok(Value::Object(membership));
        }
    }
    let user = spec.user.as_deref().ok_or_else(|| Error::new("user: missing, and no user has this membership"))?;
    let org = spec.org.as_deref().ok_or_else(|| Error::new("org: missing, and no user has this membership"))?;
    Ok(json!({
        "id": spec.id.as_deref().unwrap_or("orgmem_sim"), "object": "organization_membership",
        "role": "org:member", "permissions": [], "public_metadata": {},
        "organization": {"id": org, "object": "organization", "name": org, "slug": org},
        "public_user_data": public(user), "created_at": 1_700_000_000_000_i64, "updated_at": 1_700_000_000_000_i64,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_matches_svix_test_vector() {
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let headers =
            sign("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body)
                .unwrap();
        assert_eq!(headers[2], ("svix-signature".into(), "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=".into()));
    }

    #[test]
    fn event_data_comes_from_the_state() {
        let mut state = ApiState::default();
        state.users.insert(
            "user_1".into(),
            json!({"banned": true, "organization_memberships": [{"id": "orgmem_1", "organization": {"id": "org_1"}}]}),
        );
        state.sessions.insert("sess_1".into(), json!({"user_id": "user_1"}));
        let data = |kind: &str, id: &str| {
            let delivery = create(&WebhookSpec::new(kind, id), &state, 1_700_000_000_123).unwrap();
            let event: Value = serde_json::from_str(&delivery.body).unwrap();
            assert_eq!((event["type"].as_str(), event["object"].as_str()), (Some(kind), Some("event")));
            assert_eq!(event["timestamp"], 1_700_000_000_000_i64);
            event["data"].clone()
        };
        assert_eq!(data("user.updated", "user_1")["banned"], true);
        assert_eq!(data("user.deleted", "user_1"), json!({"deleted": true, "id": "user_1", "object": "user"}));
        assert_eq!(data("session.revoked", "sess_1")["status"], "revoked");
        assert_eq!(data("session.revoked", "sess_1")["user"]["id"], "user_1");
        assert_eq!(data("organizationMembership.deleted", "orgmem_1")["public_user_data"]["user_id"], "user_1");
    }
}
