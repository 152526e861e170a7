//! Runs one scenario: a fake Clerk API, a clock, a user table, a client, and the application around them.

use std::mem::take;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clerk_sim::Sim;
use clerk_sim::corpus::{Case, Corpus, Tokens, expand};
use serde_json::{Map, Value, json};

use super::callbacks::{AuthOutcome, Event};
use super::model::Model;
use super::response::{ViewResponse, respond};
use super::settings;
use super::table::{Race, Row, Table};
use crate::Result;
use crate::capi::{Client, Clock, ConfigError};

/// The outcome of one request.
pub struct RequestOutcome {
    /// `None` if the view does not authenticate, or if there is no client.
    pub auth: Option<AuthOutcome>,
    /// The library has rejected the settings: there is no client.
    pub is_unconfigured: bool,
    pub response: ViewResponse,
    /// All events, in order.
    pub events: Vec<Event>,
    /// The number of requests to Clerk for a user.
    pub user_calls: usize,
    pub before: Vec<Row>,
    pub rows: Vec<Row>,
    pub took: Duration,
}

/// The outcome of a scenario.
pub struct ScenarioOutcome {
    pub tokens: Tokens,
    pub first_rows: Vec<Row>,
    pub requests: Vec<RequestOutcome>,
    /// The error for the settings, if the library rejected them.
    pub config_error: Option<ConfigError>,
    /// The time limit of a call.
    pub limit: Duration,
}

struct Fixture<'a> {
    corpus: &'a Corpus,
    tokens: &'a Tokens,
    now: i64,
    sim: Sim,
    clock: Clock,
    table: Arc<Table>,
    events: Arc<Mutex<Vec<Event>>>,
    settings: Map<String, Value>,
    client: std::result::Result<Client, ConfigError>,
}

/// Runs all steps of a scenario, with a fake API, a table and a client that no other scenario uses.
pub fn run(corpus: &Corpus, case: &Case, now: i64) -> Result<ScenarioOutcome> {
    let scenario = &case.value;
    let tokens = corpus.tokens(case, now)?;
    let (state, faults) = corpus.api_state(scenario.get("api"))?;
    let sim = Sim::builder().keys(corpus.keys.clone()).state(state).try_start()?;
    sim.set_faults(faults);
    let clock = Clock::default();
    clock.store(now * 1000, Ordering::SeqCst);
    let table = Arc::new(Table::new(Model::of(scenario)?, races(&scenario["races"])?)?);
    for row in scenario["db"].as_array().into_iter().flatten() {
        table.add(row)?;
    }
    let settings = scenario["settings"].as_object().cloned().unwrap_or_default();
    let unset = ConfigError { setting: String::new(), message: String::new() };
    let events = Arc::default();
    let mut fixture = Fixture { corpus, tokens: &tokens, now, sim, clock, table, events, settings, client: Err(unset) };
    fixture.connect()?;
    let first_rows = fixture.table.rows()?;
    let mut requests = Vec::new();
    for step in scenario["steps"].as_array().ok_or("steps: must be an array")? {
        fixture.step(step, &mut requests)?;
    }
    let limit = Duration::from_millis(fixture.settings.get("CLERK_TIMEOUT_MS").and_then(Value::as_u64).unwrap_or(5000));
    let config_error = fixture.client.err();
    Ok(ScenarioOutcome { tokens, first_rows, requests, config_error, limit })
}

impl Fixture<'_> {
    /// Creates a client with the current settings. Cached results belong to a client, so none outlives its settings; the
    /// table stays.
    fn connect(&mut self) -> Result<()> {
        let (table, events) = (self.table.clone(), self.events.clone());
        let configured = settings::configure(&self.settings, self.corpus, &self.sim.url(), &self.table)?;
        self.client = configured.and_then(|config| {
            config.set_clock(&self.clock);
            config.set_user_store(Box::new(move |request, response| table.execute(request, response)))?;
            config.set_event_callback(Box::new(move |event| {
                events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            }))?;
            config.client()
        });
        Ok(())
    }

    fn step(&mut self, step: &Value, requests: &mut Vec<RequestOutcome>) -> Result<()> {
        for (name, value) in step.as_object().ok_or("steps: must be an array of objects")? {
            match name.as_str() {
                "request" => requests.push(self.request(value)?),
                "advance_ms" => {
                    let ms = value.as_i64().ok_or("advance_ms: must be an integer")?;
                    self.clock.fetch_add(ms, Ordering::SeqCst);
                }
                "api" => self.sim.apply(value)?,
                "db" => value.as_array().into_iter().flatten().try_for_each(|change| self.table.change(change))?,
                "settings" => {
                    let changed = value.as_object().ok_or("settings: must be an object")?.clone();
                    self.settings.extend(changed);
                    self.connect()?;
                }
                _ => return Err(format!("steps.{name}: unknown").into()),
            }
        }
        Ok(())
    }

    fn request(&self, request: &Value) -> Result<RequestOutcome> {
        let path = request["path"].as_str().unwrap_or_default();
        let session = match request["session_user"].as_i64() {
            Some(id) if self.table.is_active(id)? => Some(id),
            _ => None,
        };
        // `Corpus::request` needs a method and a URL, which scenarios do not have.
        let mut whole = json!({"method": "GET", "url": "/"});
        let members = request.as_object().into_iter().flatten();
        whole
            .as_object_mut()
            .into_iter()
            .for_each(|object| object.extend(members.clone().map(|(n, v)| (n.clone(), v.clone()))));
        let mut lines = self.corpus.request(&whole, self.tokens, self.now)?;
        if let Some(cookies) = request["cookie_header"].as_str() {
            lines.headers.push(("Cookie".to_owned(), expand(cookies, self.tokens, self.now)));
        }
        let before = self.table.rows()?;
        let calls = self.sim.requests("GET /users/*");
        let started = Instant::now();
        // This view does not read the user, so the application does not authenticate.
        let authenticates = path != "untouched";
        let client = self.client.as_ref().ok().filter(|_| authenticates);
        let auth = client.map(|client| AuthOutcome::from(client.authenticate(&lines.method, &lines.headers)));
        let took = started.elapsed();
        Ok(RequestOutcome {
            is_unconfigured: self.client.is_err(),
            response: respond(path, auth.as_ref(), session)?,
            auth,
            events: take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner)),
            user_calls: self.sim.requests("GET /users/*") - calls,
            before,
            rows: self.table.rows()?,
            took,
        })
    }
}

/// Returns the queries that have to find nothing for the races that a scenario names.
fn races(named: &Value) -> Result<Vec<Race>> {
    let mut races = Vec::new();
    for race in named.as_array().into_iter().flatten() {
        match race.as_str().unwrap_or_default() {
            // One lookup of django-clerk-sdk is two store requests.
            race if race.contains("find_existing") => races.extend([Race::ClerkIdNotFound, Race::EmailNotFound]),
            race if race.contains("name") => races.push(Race::UsernameFree),
            race => return Err(format!("races: `{race}` is unknown").into()),
        }
    }
    Ok(races)
}

#[cfg(test)]
mod tests {
    use clerk_sim::Json;

    use super::*;
    use crate::parity::improve;

    /// Runs two requests of one user, 30 seconds apart, on a table in which the username is taken.
    fn outcome(races: &str) -> ScenarioOutcome {
        let json = Json::parse(&format!(
            r#"{{"id": "x", "model": "clerk_user", "races": {races},
            "db": [{{"clerk_user_id": "user_x", "username": "ada", "last_active_at": "2023-11-22T22:00:00+00:00"}}],
            "settings": {{"CLERK_CACHE_TIMEOUT": 15}},
            "api": {{"users": {{"user_1": {{"id": "user_1", "username": "ada", "first_name": "Ada"}}}}}},
            "tokens": {{"t": {{"header": {{"alg": "RS256", "kid": "ins_2corpusKeyOne000000000000001"}},
                "payload": {{"sub": "user_1", "iat": {{"$now": -5}}, "exp": {{"$now": 55}}}},
                "sign": {{"alg": "RS256", "key": "k1"}}}}}},
            "steps": [{{"request": {{"path": "drf", "headers": [["Authorization", "Bearer {{{{token:t}}}}"]]}}}},
                {{"advance_ms": 30000, "db": [{{"where": {{"clerk_user_id": "user_1"}}, "set": {{"first_name": "X"}}}}]}},
                {{"request": {{"path": "whoami", "cookie_header": "a=b; __session={{{{token:t}}}}"}}}}]}}"#
        ))
        .unwrap();
        let case = Case { value: json.to_value(), json };
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus");
        run(&Corpus::open(folder).unwrap(), &case, 1_800_000_000).unwrap()
    }

    #[test]
    fn scenario_syncs_user_rows_despite_races() {
        for races in [r#"[]"#, r#"["find_existing_user misses once"]"#, r#"["the check of the name misses once"]"#] {
            let right = json!({
                "authenticated": [true, true], "user_pk": 2, "source": ["api", "api"], "first_name": "Ada",
                "username": "ada-2", "row_1_unchanged": true, "row_2_unchanged_by_request_2": false,
                "http_status_of_request_1": 200, "within_ms": 5000, "api_calls": 1, "rows": 2,
            });
            let findings = improve::check(&right, &outcome(races));
            assert_eq!((findings.failed, findings.unknown), (vec![], vec![]), "{races}");
        }
    }

    #[test]
    fn unknown_members_are_listed_apart_from_failed_ones() {
        let right = json!({"reason": "token-expired", "row_1_unchanged": false, "first_name": null, "colour": "red"});
        let findings = improve::check(&right, &outcome("[]"));
        assert_eq!((findings.failed.len(), findings.unknown), (3, vec!["colour: unknown".to_owned()]));
    }
}
