//! A scenario made ready and played: the stand-in for Clerk, a clock, the user table, a client, and a host around them.

use std::mem::take;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clerk_sim::Sim;
use clerk_sim::corpus::{Case, Corpus, Tokens, expand};
use serde_json::{Map, Value, json};

use super::abi::{AuthResult, Event};
use super::host::{Seen, seen};
use super::model::Model;
use super::settings;
use super::table::{Lie, Row, Table};
use crate::Result;
use crate::capi::{AuthError, Client, Clock};

/// What came of one request.
pub struct Asked {
    /// `None`: the host had no reason to ask, or there is no client.
    pub answer: Option<AuthResult>,
    /// There is no client to be asked: the library does not take the settings.
    pub is_unconfigured: bool,
    pub seen: Seen,
    /// All of them, in order.
    pub events: Vec<Event>,
    /// How often Clerk was asked for a user.
    pub user_calls: usize,
    pub before: Vec<Row>,
    pub rows: Vec<Row>,
    pub took: Duration,
}

/// A scenario that has been played to its end.
pub struct Played {
    pub tokens: Tokens,
    pub first_rows: Vec<Row>,
    pub requests: Vec<Asked>,
    /// The library's word against the settings, if it gave one.
    pub refusal: Option<AuthError>,
    /// The time limit that was set.
    pub limit: Duration,
}

struct Scene<'a> {
    corpus: &'a Corpus,
    tokens: &'a Tokens,
    now: i64,
    sim: Sim,
    clock: Clock,
    table: Arc<Table>,
    events: Arc<Mutex<Vec<Event>>>,
    settings: Map<String, Value>,
    client: std::result::Result<Client, AuthError>,
}

/// Plays all steps. Nothing is shared with other scenarios.
pub fn play(corpus: &Corpus, case: &Case, now: i64) -> Result<Played> {
    let scenario = &case.value;
    let tokens = corpus.tokens(case, now)?;
    let (state, faults) = corpus.api_state(scenario.get("api"))?;
    let sim = Sim::builder().keys(corpus.keys.clone()).state(state).try_start()?;
    sim.set_faults(faults);
    let clock = Clock::default();
    clock.store(now * 1000, Ordering::SeqCst);
    let table = Arc::new(Table::new(Model::of(scenario)?, lies(&scenario["races"])?)?);
    for row in scenario["db"].as_array().into_iter().flatten() {
        table.add(row)?;
    }
    let settings = scenario["settings"].as_object().cloned().unwrap_or_default();
    let unset = AuthError { setting: String::new(), message: String::new() };
    let events = Arc::default();
    let mut scene = Scene { corpus, tokens: &tokens, now, sim, clock, table, events, settings, client: Err(unset) };
    scene.connect()?;
    let first_rows = scene.table.rows()?;
    let mut requests = Vec::new();
    for step in scenario["steps"].as_array().ok_or("steps: a list is needed")? {
        scene.step(step, &mut requests)?;
    }
    let limit = Duration::from_millis(scene.settings.get("CLERK_TIMEOUT_MS").and_then(Value::as_u64).unwrap_or(5000));
    let refusal = scene.client.err();
    Ok(Played { tokens, first_rows, requests, refusal, limit })
}

impl Scene<'_> {
    /// A client with the settings as they are now. What is remembered is bound to a client: no answer outlives the
    /// settings that it was given under. The table stays.
    fn connect(&mut self) -> Result<()> {
        let (table, events) = (self.table.clone(), self.events.clone());
        let configured = settings::configure(&self.settings, self.corpus, &self.sim.url(), &self.table)?;
        self.client = configured.and_then(|config| {
            config.on_clock(&self.clock);
            config.on_user_store(Box::new(move |step, reply| table.answer(step, reply)))?;
            config
                .on_event(Box::new(move |event| events.lock().unwrap_or_else(PoisonError::into_inner).push(event)))?;
            config.client()
        });
        Ok(())
    }

    fn step(&mut self, step: &Value, requests: &mut Vec<Asked>) -> Result<()> {
        for (name, value) in step.as_object().ok_or("steps: objects are needed")? {
            match name.as_str() {
                "request" => requests.push(self.request(value)?),
                "advance_ms" => {
                    let ms = value.as_i64().ok_or("advance_ms: a whole number is needed")?;
                    self.clock.fetch_add(ms, Ordering::SeqCst);
                }
                "api" => self.sim.apply(value)?,
                "db" => value.as_array().into_iter().flatten().try_for_each(|change| self.table.change(change))?,
                "settings" => {
                    let changed = value.as_object().ok_or("settings: an object is needed")?.clone();
                    self.settings.extend(changed);
                    self.connect()?;
                }
                _ => return Err(format!("steps.{name}: unknown").into()),
            }
        }
        Ok(())
    }

    fn request(&self, request: &Value) -> Result<Asked> {
        let path = request["path"].as_str().unwrap_or_default();
        let session = match request["session_user"].as_i64() {
            Some(id) if self.table.lets_in(id)? => Some(id),
            _ => None,
        };
        // The reader of requests wants what these do not have.
        let mut whole = json!({"method": "GET", "url": "/"});
        let members = request.as_object().into_iter().flatten();
        whole
            .as_object_mut()
            .into_iter()
            .for_each(|own| own.extend(members.clone().map(|(n, v)| (n.clone(), v.clone()))));
        let mut lines = self.corpus.request(&whole, self.tokens, self.now)?;
        if let Some(cookies) = request["cookie_header"].as_str() {
            lines.headers.push(("Cookie".to_owned(), expand(cookies, self.tokens, self.now)));
        }
        let before = self.table.rows()?;
        let calls = self.sim.requests("GET /users/*");
        let begun = Instant::now();
        // A view that looks at no user asks for none.
        let asks = path != "untouched";
        let client = self.client.as_ref().ok().filter(|_| asks);
        let answer = client.map(|client| AuthResult::of(client.authenticate(&lines.method, &lines.headers)));
        let took = begun.elapsed();
        Ok(Asked {
            is_unconfigured: self.client.is_err(),
            seen: seen(path, answer.as_ref(), session)?,
            answer,
            events: take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner)),
            user_calls: self.sim.requests("GET /users/*") - calls,
            before,
            rows: self.table.rows()?,
            took,
        })
    }
}

/// What the hook has to deny for the races that a scenario names.
fn lies(races: &Value) -> Result<Vec<Lie>> {
    let mut lies = Vec::new();
    for race in races.as_array().into_iter().flatten() {
        match race.as_str().unwrap_or_default() {
            // One look-up of the seed's is two of ours.
            race if race.contains("find_existing") => lies.extend([Lie::NoSuchId, Lie::NoSuchEmail]),
            race if race.contains("name") => lies.push(Lie::NameIsFree),
            race => return Err(format!("races: `{race}` is unknown").into()),
        }
    }
    Ok(lies)
}

#[cfg(test)]
mod tests {
    use clerk_sim::Json;

    use super::*;
    use crate::parity::improve;

    /// Two requests of one user, half a minute apart, on a table that already has the name.
    fn played(races: &str) -> Played {
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
        play(&Corpus::open(folder).unwrap(), &case, 1_800_000_000).unwrap()
    }

    #[test]
    fn a_scenario_is_played_on_a_table_through_time() {
        for races in [r#"[]"#, r#"["find_existing_user misses once"]"#, r#"["the check of the name misses once"]"#] {
            let right = json!({
                "authenticated": [true, true], "user_pk": 2, "source": ["api", "api"], "first_name": "Ada",
                "username": "ada-2", "row_1_unchanged": true, "row_2_unchanged_by_request_2": false,
                "http_status_of_request_1": 200, "within_ms": 5000, "api_calls": 1, "rows": 2,
            });
            let verdict = improve::judge(&right, &played(races));
            assert_eq!((verdict.failed, verdict.unknown), (vec![], vec![]), "{races}");
        }
    }

    #[test]
    fn what_does_not_hold_and_what_is_unknown_are_told_apart() {
        let right = json!({"reason": "token-expired", "row_1_unchanged": false, "first_name": null, "colour": "red"});
        let verdict = improve::judge(&right, &played("[]"));
        assert_eq!((verdict.failed.len(), verdict.unknown), (3, vec!["colour: unknown".to_owned()]));
    }
}
