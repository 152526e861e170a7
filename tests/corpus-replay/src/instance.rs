//! A Clerk instance of a case: a client, and its state in the fake Clerk API.
//!
//! A step of a prelude that names options or API members of its own is for another instance in the same process. All
//! instances of a case have the same API URL, as at Clerk, so that a cache keyed by the URL would be noticed.

use std::collections::BTreeSet;

use clerk_sim::corpus::{Case, Corpus};
use clerk_sim::{ApiState, Fault, Sim};
use serde_json::{Map, Value};

use crate::Result;
use crate::capi::{Client, Clock, ConfigError};
use crate::options;

/// What a step of a prelude does. Its other members name the instance that does it.
const ACTIONS: [&str; 3] = ["request", "admin", "advance_ms"];
const JWKS_MEMBERS: [&str; 3] = ["jwks", "jwks_raw", "jwks_generate"];
/// Members of a step that belong to the API of its instance; all others are options of its client.
const API_MEMBERS: [&str; 7] = ["secret_keys", "users", "sessions", "oauth_tokens", "api_keys", "m2m_tokens", "faults"];

pub struct Instance {
    /// The members of the steps for this instance; empty for the instance of the case.
    pub members: Map<String, Value>,
    /// The client, or the error for its settings.
    pub client: std::result::Result<Client, ConfigError>,
    /// Requests to the API so far.
    pub api_calls: usize,
    pub violations: BTreeSet<String>,
    state: ApiState,
    faults: Vec<Fault>,
    is_down: bool,
}

/// Returns the members of a step that name another instance; empty for a step of the case's own. `options` and `api` are replaced
/// by their members, as in a case.
pub fn members(step: &Map<String, Value>) -> Map<String, Value> {
    let mut members = Map::new();
    for (name, value) in step.iter().filter(|(name, _)| !ACTIONS.contains(&name.as_str())) {
        match value {
            Value::Object(nested) if name == "options" || name == "api" => members.extend(nested.clone()),
            _ => {
                members.insert(name.clone(), value.clone());
            }
        }
    }
    members
}

impl Instance {
    /// Creates the instance of a case, or another one that has `members` instead of the case's.
    pub fn new(
        corpus: &Corpus,
        case: &Case,
        members: Map<String, Value>,
        url: &str,
        clock: &Clock,
    ) -> Result<Instance> {
        let (options, api) = overlay(&case.value, &members)?;
        let (state, faults) = corpus.api_state(Some(&api))?;
        let settings = options::settings(&options, corpus, url)?;
        let client = options::configure(&settings, clock).and_then(|config| config.client());
        let is_down = options["api_down"] == true;
        Ok(Instance { members, client, api_calls: 0, violations: BTreeSet::new(), state, faults, is_down })
    }

    /// Makes the fake API serve this instance.
    pub fn load(&self, sim: &Sim) -> Result<()> {
        sim.update(|state| *state = self.state.clone());
        sim.set_faults(self.faults.clone());
        Ok(sim.set_down(self.is_down)?)
    }

    /// Copies the fake API's state and counts since `load` back to this instance.
    pub fn save(&mut self, sim: &Sim) {
        self.state = sim.state();
        self.faults = sim.faults();
        self.api_calls += sim.stats().total();
        self.violations.extend(sim.violations());
        sim.reset_counts();
    }
}

/// Returns the options and the API of a case with `members` added or replaced.
fn overlay(case: &Value, members: &Map<String, Value>) -> Result<(Value, Value)> {
    let (options, api) = (case["options"].clone(), case.get("api").cloned().unwrap_or_default());
    if members.is_empty() {
        return Ok((options, api));
    }
    let Value::Object(mut options) = options else { return Err("options: must be an object".into()) };
    let mut api = api.as_object().cloned().unwrap_or_default();
    // The case's faults and outage are those of its own API.
    options.shift_remove("api_down");
    api.shift_remove("faults");
    let is_jwks = |name: &str| JWKS_MEMBERS.contains(&name);
    if members.keys().any(|name| is_jwks(name)) {
        // Keys from the API are used only without a configured one.
        options.insert("jwt_key".to_owned(), Value::Null);
        api.retain(|name, _| !is_jwks(name));
    }
    for (name, value) in members {
        let target = if is_jwks(name) || API_MEMBERS.contains(&name.as_str()) { &mut api } else { &mut options };
        target.insert(name.clone(), value.clone());
    }
    Ok((options.into(), api.into()))
}
