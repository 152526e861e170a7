//! One case made ready and played: the stand-in for Clerk, a clock, a client of its own, and what came before.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clerk_sim::Sim;
use clerk_sim::corpus::{Case, Corpus, Tokens, expand};
use serde_json::Value;

use crate::Result;
use crate::capi::{AuthError, Client, Clock, Reply};
use crate::options;

/// A case that has been played as far as its last request.
pub struct Stage<'a> {
    corpus: &'a Corpus,
    case: &'a Case,
    tokens: Tokens,
    now: i64,
    sim: Sim,
    clock: Clock,
    /// Or why there is none.
    client: std::result::Result<Client, AuthError>,
    /// The longest that a call has taken.
    pub longest: Duration,
    /// The status of a call of the prelude that gave no answer.
    pub broken: Option<i32>,
}

impl<'a> Stage<'a> {
    /// Nothing is shared with other cases: key caches, counts and faults are fresh.
    pub fn set(corpus: &'a Corpus, case: &'a Case, now: i64) -> Result<Stage<'a>> {
        let tokens = corpus.tokens(case, now)?;
        let (state, faults) = corpus.api_state(case.value.get("api"))?;
        let sim = Sim::builder().keys(corpus.keys.clone()).state(state).try_start()?;
        sim.set_faults(faults);
        if case.value["options"]["api_down"] == true {
            sim.set_down(true)?;
        }
        let clock = Clock::default();
        clock.store(now * 1000, Ordering::SeqCst);
        let settings = options::settings(&case.value["options"], corpus, &sim.url())?;
        let client = options::configure(&settings, &clock).and_then(|config| config.client());
        let longest = Duration::ZERO;
        let mut stage = Stage { corpus, case, tokens, now, sim, clock, client, longest, broken: None };
        stage.prelude()?;
        Ok(stage)
    }

    fn prelude(&mut self) -> Result<()> {
        let events = self.case.value.get("prelude").and_then(Value::as_array);
        for event in events.into_iter().flatten() {
            for (name, value) in event.as_object().ok_or("prelude: objects are needed")? {
                match name.as_str() {
                    "request" => {
                        let broken = self.ask(value)?.map(|(reply, _)| reply.status).filter(|status| *status < 0);
                        self.broken = self.broken.or(broken);
                    }
                    "admin" => self.sim.apply(value)?,
                    "advance_ms" => {
                        let ms = value.as_i64().ok_or("advance_ms: a whole number is needed")?;
                        self.clock.fetch_add(ms, Ordering::SeqCst);
                    }
                    _ => return Err(format!("prelude.{name}: unknown").into()),
                }
            }
        }
        Ok(())
    }

    /// The library's word against the configuration, if there is no client.
    pub fn refusal(&self) -> Option<&AuthError> {
        self.client.as_ref().err()
    }

    /// Plays the request that the case is about. `None`: there is no client.
    pub fn request(&mut self) -> Result<Option<(Reply, Duration)>> {
        let case = self.case;
        self.ask(&case.value["request"])
    }

    /// Verifies the token that the case names (or spells out) by itself, if it does and there is a client.
    pub fn verify_token(&mut self) -> Option<Reply> {
        let name = self.case.value["verify_token"].as_str()?;
        let token = self.tokens.get(name).cloned().unwrap_or_else(|| expand(name, &self.tokens, self.now));
        let begun = Instant::now();
        let reply = self.client.as_ref().ok()?.verify_token(&token);
        self.longest = self.longest.max(begun.elapsed());
        Some(reply)
    }

    fn ask(&mut self, request: &Value) -> Result<Option<(Reply, Duration)>> {
        let request = self.corpus.request(request, &self.tokens, self.now)?;
        let Ok(client) = &self.client else { return Ok(None) };
        let begun = Instant::now();
        let reply = client.authenticate(&request.method, &request.headers);
        let took = begun.elapsed();
        self.longest = self.longest.max(took);
        Ok(Some((reply, took)))
    }

    /// Requests that have reached the stand-in for Clerk.
    pub fn api_calls(&self) -> usize {
        self.sim.stats().total()
    }

    /// What a well-behaved caller of Clerk's API would not have done.
    pub fn violations(&self) -> Vec<String> {
        self.sim.violations()
    }
}
