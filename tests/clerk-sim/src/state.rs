//! The state of the fake instance: secret keys, signing keys, users, sessions, machine tokens.

use crate::error::{Error, Result};
use crate::frontend::Frontend;
use crate::keys::{DEFAULT_KID, KeyStore};
use serde_json::{Map, Value, json};

/// Objects by id, or machine tokens by token; partial ones are completed when served.
pub type Objects = Map<String, Value>;

/// The webhook secret of a new instance.
pub const DEFAULT_WEBHOOK_SECRET: &str = "whsec_Y2xlcmstc2ltLXdlYmhvb2stc2VjcmV0LTAwMDE=";

/// The state of one instance.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// Accepted secret keys; `*` accepts any
    pub secret_keys: Vec<String>,
    /// Machine secret keys and their machines; accepted for the verification of M2M tokens only
    pub machine_secrets: Objects,
    /// The body of `GET /jwks`, any JSON value
    pub jwks: Value,
    /// Name of the key that new tokens are signed with
    pub signing_key: String,
    /// Instance id in webhooks
    pub instance_id: String,
    /// Secret that webhooks are signed with
    pub webhook_secret: String,
    /// Users by id
    pub users: Objects,
    /// Sessions by id
    pub sessions: Objects,
    /// OAuth access tokens by token
    pub oauth_tokens: Objects,
    /// API keys by secret
    pub api_keys: Objects,
    /// M2M tokens by token
    pub m2m_tokens: Objects,
    /// `Set-Cookie` lines by nonce, or a scripted response; a nonce is removed when it is exchanged
    pub nonces: Objects,
    /// The answer to a refresh: `{cookies}` or a scripted response; null refuses
    pub refresh: Value,
    /// The fake Frontend API; none if absent
    pub frontend: Option<Frontend>,
}

impl Default for ApiState {
    /// Returns a state that accepts any secret key and has `k1` in its JWK set and nothing else.
    fn default() -> Self {
        ApiState {
            secret_keys: vec!["*".to_owned()],
            machine_secrets: Map::new(),
            jwks: KeyStore::built_in().jwks(&["k1"]).expect("k1 is built in"),
            signing_key: "k1".to_owned(),
            instance_id: DEFAULT_KID.to_owned(),
            webhook_secret: DEFAULT_WEBHOOK_SECRET.to_owned(),
            users: Map::new(),
            sessions: Map::new(),
            oauth_tokens: Map::new(),
            api_keys: Map::new(),
            m2m_tokens: Map::new(),
            nonces: Map::new(),
            refresh: Value::Null,
            frontend: None,
        }
    }
}

impl ApiState {
    /// Replaces the members that a JSON object names.
    ///
    /// The JWK set is given as `jwks` (key names, or a JWK set), `jwks_raw` (any JSON value) or
    /// `jwks_generate` (`{copies_of, kid_prefix, count, then}`). Unknown members are an error,
    /// except `faults`, `note` and names that start with `$`.
    pub fn merge_json(&mut self, given: &Value, keys: &KeyStore) -> Result<()> {
        let members = given.as_object().ok_or_else(|| Error::new("state: must be an object"))?;
        for (name, value) in members {
            match name.as_str() {
                "secret_keys" => self.secret_keys = strings(name, value)?,
                "machine_secrets" => self.machine_secrets = objects(name, value)?,
                "jwks" => self.jwks = named_jwks(value, keys)?,
                "jwks_raw" => self.jwks = value.clone(),
                "jwks_generate" => self.jwks = generated_jwks(value, keys)?,
                "signing_key" => {
                    let key = string(name, value)?;
                    keys.get(&key)?;
                    self.signing_key = key;
                }
                "instance_id" => self.instance_id = string(name, value)?,
                "webhook_secret" => self.webhook_secret = string(name, value)?,
                "users" => self.users = objects(name, value)?,
                "sessions" => self.sessions = objects(name, value)?,
                "oauth_tokens" => self.oauth_tokens = objects(name, value)?,
                "api_keys" => self.api_keys = objects(name, value)?,
                "m2m_tokens" => self.m2m_tokens = objects(name, value)?,
                "nonces" => self.nonces = objects(name, value)?,
                "refresh" => self.refresh = value.clone(),
                "frontend" => self.frontend = serde_json::from_value(value.clone())?,
                "faults" | "note" => {}
                other if other.starts_with('$') => {}
                other => return Err(Error::new(format!("{other}: unknown member of the state"))),
            }
        }
        Ok(())
    }

    /// Returns the state as JSON, in the format of `merge_json`.
    pub fn to_json(&self) -> Value {
        json!({
            "secret_keys": self.secret_keys, "machine_secrets": self.machine_secrets, "jwks_raw": self.jwks,
            "signing_key": self.signing_key, "instance_id": self.instance_id,
            "webhook_secret": self.webhook_secret, "users": self.users, "sessions": self.sessions,
            "oauth_tokens": self.oauth_tokens, "api_keys": self.api_keys, "m2m_tokens": self.m2m_tokens,
            "nonces": self.nonces, "refresh": self.refresh, "frontend": self.frontend,
        })
    }
}

/// Returns the JWK set of an array of key names; any other value is the JWK set.
pub fn named_jwks(value: &Value, keys: &KeyStore) -> Result<Value> {
    match value {
        Value::Array(names) if names.iter().all(Value::is_string) => keys.jwks(&strings("jwks", value)?),
        other => Ok(other.clone()),
    }
}

/// Returns copies of one key under generated key ids, then the keys of `then`.
fn generated_jwks(value: &Value, keys: &KeyStore) -> Result<Value> {
    let member = |name: &str| value.get(name).cloned().unwrap_or_default();
    let base = keys.get(&string("copies_of", &member("copies_of"))?)?.jwk.clone();
    let prefix = string("kid_prefix", &member("kid_prefix"))?;
    let count = member("count").as_u64().ok_or_else(|| Error::new("count: must be a number"))?;
    let mut jwks: Vec<Value> = (0..count)
        .map(|i| {
            let mut copy = base.clone();
            copy["kid"] = json!(format!("{prefix}{i}"));
            copy
        })
        .collect();
    for name in strings("then", &member("then"))? {
        jwks.push(keys.get(&name)?.jwk.clone());
    }
    Ok(json!({"keys": jwks}))
}

fn string(name: &str, value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| Error::new(format!("{name}: must be a string")))
}

fn strings(name: &str, value: &Value) -> Result<Vec<String>> {
    let items = value.as_array().ok_or_else(|| Error::new(format!("{name}: must be an array of strings")))?;
    items.iter().map(|item| string(name, item)).collect()
}

/// Reads objects by id, or an array of objects with an `id`.
fn objects(name: &str, value: &Value) -> Result<Objects> {
    match value {
        Value::Object(members) => Ok(members.clone()),
        Value::Null => Ok(Map::new()),
        Value::Array(items) => items.iter().map(|item| Ok((string("id", &item["id"])?, item.clone()))).collect(),
        _ => Err(Error::new(format!("{name}: must be an object"))),
    }
}
