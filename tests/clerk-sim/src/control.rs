//! Controls a running fake API.

use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::json::Json;
use crate::keys::{Key, KeyStore};
use crate::lock;
use crate::mint::TokenSpec;
use crate::port::Port;
use crate::recipe;
use crate::server::{Shared, now_ms};
use crate::state::ApiState;
use crate::stats::{LogEntry, Stats};
use crate::webhook::{self, Delivery, WebhookSpec};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

/// The ports and the state of a fake API; the admin API uses it, too.
pub struct Control {
    pub(crate) shared: Arc<Shared>,
    pub(crate) http: Port,
    pub(crate) https: Option<Port>,
    pub(crate) ca_pem: Option<String>,
}

/// How to change the signing key.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rotation {
    /// Give the new key the kid of the old one
    pub same_kid: bool,
    /// Keep the old key in the JWK set, after the new one
    pub keep_old: bool,
}

impl Control {
    /// Returns the base URL without `/v1`.
    pub fn url(&self) -> String {
        format!("http://{}", self.http.addr())
    }

    /// Returns the base URL for HTTPS. Panics if the sim was started without HTTPS.
    pub fn https_url(&self) -> String {
        self.https_addr().map(|addr| format!("https://{addr}")).expect("the sim was started without HTTPS")
    }

    /// Returns the address of the HTTPS port, if any.
    pub fn https_addr(&self) -> Option<SocketAddr> {
        self.https.as_ref().map(Port::addr)
    }

    /// Returns the address of the HTTP port.
    pub fn addr(&self) -> SocketAddr {
        self.http.addr()
    }

    /// Returns the certificate of the test authority, as PEM. Panics if the sim was started without HTTPS.
    pub fn ca_pem(&self) -> String {
        self.try_ca_pem().expect("the sim was started without HTTPS")
    }

    /// Returns the certificate of the test authority, if there is HTTPS.
    pub fn try_ca_pem(&self) -> Option<String> {
        self.ca_pem.clone()
    }

    /// Returns a copy of the state.
    pub fn state(&self) -> ApiState {
        lock(&self.shared.state).clone()
    }

    /// Changes the state; requests wait until `change` returns.
    pub fn update<T>(&self, change: impl FnOnce(&mut ApiState) -> T) -> T {
        change(&mut lock(&self.shared.state))
    }

    /// Replaces the members that a JSON object names.
    pub fn merge_state(&self, given: &Value) -> Result<()> {
        let keys = self.keys();
        // All or nothing: the state is unchanged if a member is invalid.
        self.update(|state| {
            let mut changed = state.clone();
            changed.merge_json(given, &keys)?;
            *state = changed;
            Ok(())
        })
    }

    /// Replaces the members of the state and the `faults` that a JSON object names.
    pub fn apply(&self, given: &Value) -> Result<()> {
        // Parses the faults first: nothing changes if either part is invalid.
        let faults = given.get("faults").map(|list| serde_json::from_value(list.clone())).transpose()?;
        self.merge_state(given)?;
        if let Some(faults) = faults {
            self.set_faults(faults);
        }
        Ok(())
    }

    /// Replaces all users; each has its `id`.
    pub fn set_users(&self, users: impl IntoIterator<Item = Value>) {
        self.update(|state| state.users = Map::new());
        for user in users {
            self.put_user(user);
        }
    }

    /// Adds or replaces a user; a partial one is completed when served.
    pub fn put_user(&self, user: Value) {
        let id = user["id"].as_str().expect("a user needs an id").to_owned();
        self.update(|state| state.users.insert(id, user));
    }

    /// Changes members of an existing user.
    pub fn patch_user(&self, id: &str, change: Value) -> Result<()> {
        self.update(|state| match (state.users.get_mut(id), change) {
            (Some(Value::Object(user)), Value::Object(change)) => {
                user.extend(change);
                Ok(())
            }
            (None, _) => Err(Error::new(format!("{id}: unknown user"))),
            _ => Err(Error::new("both the user and the change must be objects")),
        })
    }

    /// Bans a user. Panics if the user does not exist.
    pub fn ban_user(&self, id: &str) {
        self.patch_user(id, json!({"banned": true})).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Removes a user. Returns whether it existed.
    pub fn delete_user(&self, id: &str) -> bool {
        self.update(|state| state.users.shift_remove(id).is_some())
    }

    /// Adds or replaces a session.
    pub fn put_session(&self, session: Value) {
        let id = session["id"].as_str().expect("a session needs an id").to_owned();
        self.update(|state| state.sessions.insert(id, session));
    }

    /// Serves the named public keys as JWK set. Panics if a name is unknown.
    pub fn set_jwks(&self, names: &[&str]) {
        let jwks = self.keys().jwks(names).unwrap_or_else(|error| panic!("{error}"));
        self.set_jwks_raw(jwks);
    }

    /// Serves any JSON value as JWK set.
    pub fn set_jwks_raw(&self, jwks: Value) {
        self.update(|state| state.jwks = jwks);
    }

    /// Changes the signing key and the JWK set. Returns the name of the new key.
    pub fn rotate(&self, rotation: Rotation) -> Result<String> {
        let keys = self.keys();
        let old_name = self.update(|state| state.signing_key.clone());
        let old = keys.get(&old_name)?.clone();
        // A built-in key is faster than generating one.
        let built_in = match (rotation.same_kid, old_name.as_str()) {
            (true, "k1") => Some("k1_rotated"),
            (false, "k1") => Some("k2"),
            _ => None,
        };
        let name = match built_in {
            Some(name) => name.to_owned(),
            None => {
                let number = (1..).find(|n| keys.get(&format!("made{n}")).is_err()).unwrap_or_default();
                let name = format!("made{number}");
                let kid = if rotation.same_kid { old.kid.clone() } else { format!("ins_2simMadeKey{number:016}") };
                self.add_key(&name, Key::generate(&kid, 2048)?);
                name
            }
        };
        let new = self.keys().get(&name)?.clone();
        let mut set = vec![new.jwk.clone()];
        if rotation.keep_old {
            set.push(old.jwk.clone());
        }
        self.update(|state| {
            state.signing_key = name.clone();
            state.jwks = json!({"keys": set});
        });
        Ok(name)
    }

    /// Returns a copy of the key store.
    pub fn keys(&self) -> KeyStore {
        self.shared.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds or replaces a key.
    pub fn add_key(&self, name: &str, key: Key) {
        self.shared.keys.write().unwrap_or_else(PoisonError::into_inner).insert(name, key);
    }

    /// Appends a fault to the active ones.
    pub fn fault(&self, fault: Fault) {
        lock(&self.shared.faults).add(fault);
    }

    /// Replaces all faults.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        lock(&self.shared.faults).set(faults);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.set_faults(Vec::new());
    }

    /// Returns the active faults, with their remaining `skip` and `times`.
    pub fn faults(&self) -> Vec<Fault> {
        lock(&self.shared.faults).list().to_vec()
    }

    /// Returns the counters.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Returns the number of requests whose path matches the pattern; `POST /api_keys/*` matches the method, too.
    pub fn requests(&self, pattern: &str) -> usize {
        self.stats().requests(pattern)
    }

    /// Returns the maximum number of requests that were handled at the same time.
    pub fn peak_concurrency(&self) -> usize {
        self.stats().peak_concurrency()
    }

    /// Returns the number of accepted connections.
    pub fn connections(&self) -> usize {
        self.stats().connections()
    }

    /// Returns the violations of all requests so far.
    pub fn violations(&self) -> Vec<String> {
        self.stats().violations().into_keys().collect()
    }

    /// Returns the last requests, oldest first.
    pub fn log(&self) -> Vec<LogEntry> {
        self.stats().log()
    }

    /// Resets the counts and the log.
    pub fn reset_counts(&self) {
        self.stats().reset();
    }

    /// Closes all connections and refuses new ones, or accepts them again on the same ports.
    pub fn set_down(&self, down: bool) -> Result<()> {
        self.http.set_down(down)?;
        if let Some(https) = &self.https {
            https.set_down(down)?;
        }
        Ok(())
    }

    /// Mints a token at `now`, in Unix seconds.
    pub fn try_mint(&self, spec: &TokenSpec, now: i64) -> Result<String> {
        let instance_key = self.update(|state| state.signing_key.clone());
        spec.mint(&self.keys(), &instance_key, now)
    }

    /// Mints a token at `now`, in Unix seconds. Panics if the specification is invalid.
    pub fn mint(&self, spec: &TokenSpec, now: i64) -> String {
        self.try_mint(spec, now).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Mints a token at the current time.
    pub fn mint_now(&self, spec: &TokenSpec) -> String {
        self.mint(spec, now_ms() / 1000)
    }

    /// Mints the token of a recipe; see [`crate::recipe`].
    pub fn mint_recipe(&self, recipe: &Json, now: i64) -> Result<String> {
        recipe::mint(recipe, &self.keys(), now)
    }

    /// Creates a signed webhook from the state.
    pub fn webhook(&self, spec: &WebhookSpec) -> Result<Delivery> {
        webhook::create(spec, &self.state(), now_ms())
    }
}
