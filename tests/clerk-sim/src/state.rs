//! What the simulated instance holds: secret keys, signing keys, users, sessions, machine tokens.

use crate::error::{Error, Result};
use crate::keys::{DEFAULT_KID, KeyStore};
use serde_json::{Map, Value, json};

/// Objects by id, or machine tokens by their text; partial ones are completed when served.
pub type Objects = Map<String, Value>;

/// The webhook secret of a fresh instance.
pub const DEFAULT_WEBHOOK_SECRET: &str = "whsec_Y2xlcmstc2ltLXdlYmhvb2stc2VjcmV0LTAwMDE=";

/// The whole state of one instance.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// Secret keys that are accepted; `*` accepts any
    pub secret_keys: Vec<String>,
    /// Machine secret keys and the machine each belongs to; good for M2M verification only
    pub machine_secrets: Objects,
    /// The body of `GET /jwks`, whatever it is
    pub jwks: Value,
    /// Name of the key that new tokens are signed with
    pub signing_key: String,
    /// Instance id, as in webhooks
    pub instance_id: String,
    /// Secret that webhooks are signed with
    pub webhook_secret: String,
    /// Users by id
    pub users: Objects,
    /// Sessions by id
    pub sessions: Objects,
    /// OAuth access tokens by token text
    pub oauth_tokens: Objects,
    /// API keys by secret
    pub api_keys: Objects,
    /// M2M tokens by token text
    pub m2m_tokens: Objects,
}

impl Default for ApiState {
    /// Any secret key, the built-in key `k1` in the key set, nothing else.
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
        }
    }
}

impl ApiState {
    /// Takes over the members a JSON object names; the others stay.
    ///
    /// The key set comes as `jwks` (names of keys, or a key set), as `jwks_raw` (any JSON), or as
    /// `jwks_generate` (`{copies_of, kid_prefix, count, then}`). Unknown members are an error,
    /// except `faults`, `note` and names that begin with `$`.
    pub fn merge_json(&mut self, given: &Value, keys: &KeyStore) -> Result<()> {
        let members = given.as_object().ok_or_else(|| Error::new("state: an object is needed"))?;
        for (name, value) in members {
            match name.as_str() {
                "secret_keys" => self.secret_keys = texts(name, value)?,
                "machine_secrets" => self.machine_secrets = objects(name, value)?,
                "jwks" => self.jwks = named_jwks(value, keys)?,
                "jwks_raw" => self.jwks = value.clone(),
                "jwks_generate" => self.jwks = generated_jwks(value, keys)?,
                "signing_key" => {
                    let key = text(name, value)?;
                    keys.get(&key)?;
                    self.signing_key = key;
                }
                "instance_id" => self.instance_id = text(name, value)?,
                "webhook_secret" => self.webhook_secret = text(name, value)?,
                "users" => self.users = objects(name, value)?,
                "sessions" => self.sessions = objects(name, value)?,
                "oauth_tokens" => self.oauth_tokens = objects(name, value)?,
                "api_keys" => self.api_keys = objects(name, value)?,
                "m2m_tokens" => self.m2m_tokens = objects(name, value)?,
                "faults" | "note" => {}
                other if other.starts_with('$') => {}
                other => return Err(Error::new(format!("{other}: no such member of the state"))),
            }
        }
        Ok(())
    }

    /// The state as JSON, in the shape `merge_json` takes.
    pub fn to_json(&self) -> Value {
        json!({
            "secret_keys": self.secret_keys, "machine_secrets": self.machine_secrets, "jwks_raw": self.jwks,
            "signing_key": self.signing_key, "instance_id": self.instance_id,
            "webhook_secret": self.webhook_secret, "users": self.users, "sessions": self.sessions,
            "oauth_tokens": self.oauth_tokens, "api_keys": self.api_keys, "m2m_tokens": self.m2m_tokens,
        })
    }
}

/// A key set out of a list of key names; anything else is the key set itself.
pub fn named_jwks(value: &Value, keys: &KeyStore) -> Result<Value> {
    match value {
        Value::Array(names) if names.iter().all(Value::is_string) => keys.jwks(&texts("jwks", value)?),
        other => Ok(other.clone()),
    }
}

/// Many copies of one key under made-up ids, then real ones.
fn generated_jwks(value: &Value, keys: &KeyStore) -> Result<Value> {
    let member = |name: &str| value.get(name).cloned().unwrap_or_default();
    let base = keys.get(&text("copies_of", &member("copies_of"))?)?.jwk.clone();
    let prefix = text("kid_prefix", &member("kid_prefix"))?;
    let count = member("count").as_u64().ok_or_else(|| Error::new("count: a number is needed"))?;
    let mut made: Vec<Value> = (0..count)
        .map(|i| {
            let mut copy = base.clone();
            copy["kid"] = json!(format!("{prefix}{i}"));
            copy
        })
        .collect();
    for name in texts("then", &member("then"))? {
        made.push(keys.get(&name)?.jwk.clone());
    }
    Ok(json!({"keys": made}))
}

fn text(name: &str, value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| Error::new(format!("{name}: a text is needed")))
}

fn texts(name: &str, value: &Value) -> Result<Vec<String>> {
    let items = value.as_array().ok_or_else(|| Error::new(format!("{name}: a list of texts is needed")))?;
    items.iter().map(|item| text(name, item)).collect()
}

/// Objects keyed by id, or a list of objects that hold their `id`.
fn objects(name: &str, value: &Value) -> Result<Objects> {
    match value {
        Value::Object(members) => Ok(members.clone()),
        Value::Null => Ok(Map::new()),
        Value::Array(items) => items.iter().map(|item| Ok((text("id", &item["id"])?, item.clone()))).collect(),
        _ => Err(Error::new(format!("{name}: an object is needed"))),
    }
}
