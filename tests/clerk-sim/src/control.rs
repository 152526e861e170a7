//! What can be done with a simulated API while it runs.

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

/// The ports and the state of a simulated API; the admin API works on this too.
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
    /// Put the new key under the kid of the old one
    pub same_kid: bool,
    /// Leave the old key in the key set, behind the new one
    pub keep_old: bool,
}

impl Control {
    /// Base URL without `/v1`.
    pub fn url(&self) -> String {
        format!("http://{}", self.http.addr())
    }

    /// Base URL over HTTPS; panics unless asked for at the start.
    pub fn https_url(&self) -> String {
        self.https_addr().map(|addr| format!("https://{addr}")).expect("the sim was started without HTTPS")
    }

    /// The address of the HTTPS port.
    pub fn https_addr(&self) -> Option<SocketAddr> {
        self.https.as_ref().map(Port::addr)
    }

    /// The address of the HTTP port.
    pub fn addr(&self) -> SocketAddr {
        self.http.addr()
    }

    /// PEM of the authority that clients have to trust; panics unless HTTPS was asked for.
    pub fn ca_pem(&self) -> String {
        self.try_ca_pem().expect("the sim was started without HTTPS")
    }

    /// The same, if there is HTTPS.
    pub fn try_ca_pem(&self) -> Option<String> {
        self.ca_pem.clone()
    }

    /// A copy of the state.
    pub fn state(&self) -> ApiState {
        lock(&self.shared.state).clone()
    }

    /// Changes the state; requests wait meanwhile.
    pub fn update<T>(&self, change: impl FnOnce(&mut ApiState) -> T) -> T {
        change(&mut lock(&self.shared.state))
    }

    /// Takes over the members that a JSON object names.
    pub fn merge_state(&self, given: &Value) -> Result<()> {
        let keys = self.keys();
        // All or nothing: the state changes only if the whole object is sound.
        self.update(|state| {
            let mut changed = state.clone();
            changed.merge_json(given, &keys)?;
            *state = changed;
            Ok(())
        })
    }

    /// Takes over the state and the `faults` that a JSON object names, as a case or a step gives them.
    pub fn apply(&self, given: &Value) -> Result<()> {
        // The faults are read first: nothing changes if either part is unsound.
        let faults = given.get("faults").map(|list| serde_json::from_value(list.clone())).transpose()?;
        self.merge_state(given)?;
        if let Some(faults) = faults {
            self.set_faults(faults);
        }
        Ok(())
    }

    /// Replaces all users; each holds its `id`.
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

    /// Changes members of a user that is there.
    pub fn patch_user(&self, id: &str, change: Value) -> Result<()> {
        self.update(|state| match (state.users.get_mut(id), change) {
            (Some(Value::Object(user)), Value::Object(change)) => {
                user.extend(change);
                Ok(())
            }
            (None, _) => Err(Error::new(format!("{id}: no such user"))),
            _ => Err(Error::new("both the user and the change must be objects")),
        })
    }

    /// Bans a user; panics if there is none of that id.
    pub fn ban_user(&self, id: &str) {
        self.patch_user(id, json!({"banned": true})).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Removes a user; tells whether it was there.
    pub fn delete_user(&self, id: &str) -> bool {
        self.update(|state| state.users.shift_remove(id).is_some())
    }

    /// Adds or replaces a session.
    pub fn put_session(&self, session: Value) {
        let id = session["id"].as_str().expect("a session needs an id").to_owned();
        self.update(|state| state.sessions.insert(id, session));
    }

    /// Serves the public keys of that name; panics if one is unknown.
    pub fn set_jwks(&self, names: &[&str]) {
        let jwks = self.keys().jwks(names).unwrap_or_else(|error| panic!("{error}"));
        self.set_jwks_raw(jwks);
    }

    /// Serves this as key set, whatever it is.
    pub fn set_jwks_raw(&self, jwks: Value) {
        self.update(|state| state.jwks = jwks);
    }

    /// Changes the signing key and the key set; gives the name of the new key.
    pub fn rotate(&self, rotation: Rotation) -> Result<String> {
        let keys = self.keys();
        let old_name = self.update(|state| state.signing_key.clone());
        let old = keys.get(&old_name)?.clone();
        // The built-in keys save the time of making one.
        let ready = match (rotation.same_kid, old_name.as_str()) {
            (true, "k1") => Some("k1_rotated"),
            (false, "k1") => Some("k2"),
            _ => None,
        };
        let name = match ready {
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

    /// A copy of the key store.
    pub fn keys(&self) -> KeyStore {
        self.shared.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds or replaces a key.
    pub fn add_key(&self, name: &str, key: Key) {
        self.shared.keys.write().unwrap_or_else(PoisonError::into_inner).insert(name, key);
    }

    /// Adds a fault behind those in force.
    pub fn fault(&self, fault: Fault) {
        lock(&self.shared.faults).add(fault);
    }

    /// Replaces all faults.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        lock(&self.shared.faults).set(faults);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.set_faults(Vec::new());
    }

    /// The faults in force, with what is left of `skip` and `times`.
    pub fn faults(&self) -> Vec<Fault> {
        lock(&self.shared.faults).list().to_vec()
    }

    /// All counters.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Requests whose path fits the pattern; `POST /api_keys/*` asks for the method too.
    pub fn requests(&self, pattern: &str) -> usize {
        self.stats().requests(pattern)
    }

    /// The most requests that were being handled at once.
    pub fn peak_concurrency(&self) -> usize {
        self.stats().peak_concurrency()
    }

    /// Connections accepted.
    pub fn connections(&self) -> usize {
        self.stats().connections()
    }

    /// What clients did wrong, in words.
    pub fn violations(&self) -> Vec<String> {
        self.stats().violations().into_keys().collect()
    }

    /// The last requests, oldest first.
    pub fn log(&self) -> Vec<LogEntry> {
        self.stats().log()
    }

    /// Forgets counts and log.
    pub fn reset_counts(&self) {
        self.stats().reset();
    }

    /// Refuses connections and shuts those that are open, or accepts again on the same ports.
    pub fn set_down(&self, down: bool) -> Result<()> {
        self.http.set_down(down)?;
        if let Some(https) = &self.https {
            https.set_down(down)?;
        }
        Ok(())
    }

    /// Makes a token as of `now` in Unix seconds.
    pub fn try_mint(&self, spec: &TokenSpec, now: i64) -> Result<String> {
        let instance_key = self.update(|state| state.signing_key.clone());
        spec.mint(&self.keys(), &instance_key, now)
    }

    /// Makes a token as of `now` in Unix seconds; panics if it cannot be made.
    pub fn mint(&self, spec: &TokenSpec, now: i64) -> String {
        self.try_mint(spec, now).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes a token as of now.
    pub fn mint_now(&self, spec: &TokenSpec) -> String {
        self.mint(spec, now_ms() / 1000)
    }

    /// Makes the token that a recipe describes; see [`crate::recipe`].
    pub fn mint_recipe(&self, recipe: &Json, now: i64) -> Result<String> {
        recipe::token(recipe, &self.keys(), now)
    }

    /// Makes a signed webhook about what the state holds.
    pub fn webhook(&self, spec: &WebhookSpec) -> Result<Delivery> {
        webhook::make(spec, &self.state(), now_ms())
    }
}
