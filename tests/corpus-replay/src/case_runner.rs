//! Runs one case: a fake Clerk API, a clock, a client for each instance, and the prelude.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clerk_sim::Sim;
use clerk_sim::corpus::{Case, Corpus, Tokens, expand};
use serde_json::{Map, Value};

use crate::Result;
use crate::capi::{CallResult, Clock, ConfigError};
use crate::instance::{Instance, members};

/// The index of the instance that the case is about.
const CASE_INSTANCE: usize = 0;

/// A case that has run up to its last request.
pub struct CaseRunner<'a> {
    corpus: &'a Corpus,
    case: &'a Case,
    tokens: Tokens,
    now: i64,
    sim: Sim,
    clock: Clock,
    instances: Vec<Instance>,
    /// The index of the instance that the fake API serves.
    serving: usize,
    /// The duration of the longest call.
    pub longest: Duration,
    /// The statuses of the prelude's calls.
    pub prelude_statuses: Vec<i32>,
}

impl<'a> CaseRunner<'a> {
    /// Starts a fake API and clients that no other case uses, and runs the prelude.
    pub fn new(corpus: &'a Corpus, case: &'a Case, now: i64) -> Result<CaseRunner<'a>> {
        let tokens = corpus.tokens(case, now)?;
        let sim = Sim::builder().keys(corpus.keys.clone()).try_start()?;
        let clock = Clock::default();
        clock.store(now * 1000, Ordering::SeqCst);
        let own = Instance::new(corpus, case, Map::new(), &sim.url(), &clock)?;
        own.load(&sim)?;
        let (longest, prelude_statuses) = (Duration::ZERO, Vec::new());
        let instances = vec![own];
        let mut runner = CaseRunner {
            corpus,
            case,
            tokens,
            now,
            sim,
            clock,
            instances,
            serving: CASE_INSTANCE,
            longest,
            prelude_statuses,
        };
        runner.run_prelude()?;
        Ok(runner)
    }

    fn run_prelude(&mut self) -> Result<()> {
        let steps = self.case.value.get("prelude").and_then(Value::as_array);
        for step in steps.into_iter().flatten() {
            let step = step.as_object().ok_or("prelude: must be an array of objects")?;
            self.serve(members(step))?;
            for (name, value) in step {
                match name.as_str() {
                    "request" => {
                        let call = self.authenticate(value)?;
                        self.prelude_statuses.extend(call.map(|(call, _)| call.status));
                    }
                    "admin" => self.sim.apply(value)?,
                    "advance_ms" => {
                        let ms = value.as_i64().ok_or("advance_ms: must be an integer")?;
                        self.clock.fetch_add(ms, Ordering::SeqCst);
                    }
                    // Names the instance; `Instance::new` has checked it.
                    _ => {}
                }
            }
        }
        self.serve(Map::new())
    }

    /// Makes the fake API serve the instance of these members, which is created at its first step.
    fn serve(&mut self, members: Map<String, Value>) -> Result<()> {
        let index = match self.instances.iter().position(|instance| instance.members == members) {
            Some(index) => index,
            None => {
                let instance = Instance::new(self.corpus, self.case, members, &self.sim.url(), &self.clock)?;
                // Without the other client the case would test nothing.
                if let Err(error) = &instance.client {
                    return Err(format!("prelude: {}: {}", error.setting, error.message).into());
                }
                self.instances.push(instance);
                self.instances.len() - 1
            }
        };
        if index != self.serving {
            self.instances[self.serving].save(&self.sim);
            self.instances[index].load(&self.sim)?;
            self.serving = index;
        }
        Ok(())
    }

    /// Returns the error for the settings of the case, if there is no client.
    pub fn config_error(&self) -> Option<&ConfigError> {
        self.instances[CASE_INSTANCE].client.as_ref().err()
    }

    /// Authenticates the request that the case is about. `None` if there is no client.
    pub fn request(&mut self) -> Result<Option<(CallResult, Duration)>> {
        let case = self.case;
        self.authenticate(&case.value["request"])
    }

    /// Verifies the token that the case names or spells out, if there is one and there is a client.
    pub fn verify_token(&mut self) -> Option<CallResult> {
        let name = self.case.value["verify_token"].as_str()?;
        let token = self.tokens.get(name).cloned().unwrap_or_else(|| expand(name, &self.tokens, self.now));
        let client = self.instances[CASE_INSTANCE].client.as_ref().ok()?;
        let started = Instant::now();
        let call = client.verify_token(&token);
        self.longest = self.longest.max(started.elapsed());
        Some(call)
    }

    fn authenticate(&mut self, request: &Value) -> Result<Option<(CallResult, Duration)>> {
        let request = self.corpus.request(request, &self.tokens, self.now)?;
        let Ok(client) = &self.instances[self.serving].client else { return Ok(None) };
        let started = Instant::now();
        let call = client.authenticate(&request.method, &request.headers);
        let took = started.elapsed();
        self.longest = self.longest.max(took);
        Ok(Some((call, took)))
    }

    /// Returns the number of requests to the fake API for the instance of the case.
    pub fn api_calls(&self) -> usize {
        self.instances[CASE_INSTANCE].api_calls + self.sim.stats().total()
    }

    /// Returns what clients of all instances did wrong when they called the fake API.
    pub fn violations(&self) -> Vec<String> {
        let saved = self.instances.iter().flat_map(|instance| instance.violations.iter().cloned());
        saved.chain(self.sim.violations()).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use clerk_auth::internals::ffi::{CLERK_NO_CREDENTIALS, CLERK_OK, CLERK_SIGNED_OUT};
    use clerk_sim::Json;
    use serde_json::json;

    use super::*;

    /// The statuses of the prelude, then the status and reason of the request, and the number of API calls.
    type Seen = (Vec<i32>, i32, Option<String>, usize);

    fn run(options: Value, api: Value, prelude: Value, token: &str) -> Result<Seen> {
        let token_of = |key: &str, kid: &str| {
            json!({"header": {"alg": "RS256", "kid": kid}, "sign": {"alg": "RS256", "key": key},
                   "payload": {"sub": "user_1", "azp": "https://b.example", "iat": {"$now": -5}, "exp": {"$now": 55}}})
        };
        let (first, second) = ("ins_2corpusKeyOne000000000000001", "ins_2corpusKeyTwo000000000000002");
        let case = json!({
            "id": "x", "options": options, "api": api, "prelude": prelude, "request": request(token),
            "tokens": {"k1": token_of("k1", first), "k2": token_of("k2", second), "k1b": token_of("k1_rotated", first)},
        });
        let case = Case { json: Json::from(&case), value: case };
        let corpus = Corpus::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus"))?;
        let mut runner = CaseRunner::new(&corpus, &case, 1_800_000_000)?;
        let (call, _) = runner.request()?.ok_or("no client")?;
        assert_eq!(runner.violations(), [""; 0]);
        let reason = call.result.and_then(|result| result.reason());
        Ok((runner.prelude_statuses.clone(), call.status, reason, runner.api_calls()))
    }

    fn request(token: &str) -> Value {
        let value = format!("Bearer {{{{token:{token}}}}}");
        json!({"method": "GET", "url": "/", "headers": [["Authorization", value]]})
    }

    /// Options that take the keys from the API.
    fn with_jwks() -> Value {
        json!({"jwt_key": null, "secret_key": "sk_test_a"})
    }

    fn with_key(name: &str) -> Value {
        json!({"jwt_key": {"key": name, "form": "pem"}})
    }

    fn signed_in(prelude: &[i32], api_calls: usize) -> Seen {
        (prelude.to_vec(), CLERK_OK, None, api_calls)
    }

    fn signed_out(prelude: &[i32], reason: &str, api_calls: usize) -> Seen {
        (prelude.to_vec(), CLERK_SIGNED_OUT, Some(reason.to_owned()), api_calls)
    }

    #[test]
    fn key_of_other_instance_is_unknown() {
        let prelude = json!([{"request": request("k2"), "secret_key": "sk_test_b", "jwks": ["k2"]}]);
        let seen = run(with_jwks(), json!({"jwks": ["k1"]}), prelude, "k2").unwrap();
        assert_eq!(seen, signed_out(&[CLERK_OK], "jwk-kid-mismatch", 1));
    }

    #[test]
    fn key_of_other_instance_with_same_kid_is_not_used() {
        let other =
            |token: &str| json!([{"request": request(token), "secret_key": "sk_test_b", "jwks": ["k1_rotated"]}]);
        let api = json!({"jwks": ["k1"]});
        let seen = run(with_jwks(), api.clone(), other("k1b"), "k1").unwrap();
        assert_eq!(seen, signed_in(&[CLERK_OK], 1));
        let (prelude, status, reason, _) = run(with_jwks(), api, other("k1b"), "k1b").unwrap();
        assert_eq!((prelude, status), (vec![CLERK_OK], CLERK_SIGNED_OUT));
        assert_eq!(reason.as_deref(), Some("token-invalid-signature"));
    }

    #[test]
    fn result_cached_by_other_instance_is_not_used() {
        // With a configured key there is nothing to share but results.
        let prelude = json!([{"request": request("k1"), "jwt_key": {"key": "k1", "form": "pem"}}]);
        let seen = run(with_key("k2"), json!(null), prelude, "k1").unwrap();
        assert_eq!(seen, signed_out(&[CLERK_OK], "token-invalid-signature", 0));

        let mut options = with_key("k1");
        options["authorized_parties"] = json!(["https://a.example"]);
        let prelude = json!([{"request": request("k1"), "authorized_parties": null}]);
        let seen = run(options, json!(null), prelude, "k1").unwrap();
        assert_eq!(seen, signed_out(&[CLERK_OK], "token-invalid-authorized-parties", 0));
    }

    #[test]
    fn rejection_by_other_instance_is_not_used() {
        let prelude = json!([{"request": request("k1"), "secret_key": "sk_test_b", "jwks": ["k2"]}]);
        let seen = run(with_jwks(), json!({"jwks": ["k1"]}), prelude, "k1").unwrap();
        assert_eq!(seen, signed_in(&[CLERK_SIGNED_OUT], 1));
    }

    #[test]
    fn outage_of_one_instance_does_not_affect_the_other() {
        let api = json!({"jwks": ["k1"]});
        let step =
            json!({"request": request("k1"), "secret_key": "sk_test_b", "faults": [{"path": "/jwks", "status": 401}]});
        let (prelude, status, _, api_calls) = run(with_jwks(), api.clone(), json!([step, step, step]), "k1").unwrap();
        assert_eq!((prelude.contains(&CLERK_OK), status, api_calls), (false, CLERK_OK, 1));

        let mut options = with_jwks();
        options["api_down"] = json!(true);
        let prelude = json!([{"request": request("k1"), "secret_key": "sk_test_b"}]);
        let (prelude, status, reason, _) = run(options, api, prelude, "k1").unwrap();
        assert_eq!((prelude, reason.as_deref()), (vec![CLERK_OK], Some("jwk-failed-to-load")));
        assert_ne!(status, CLERK_OK);
    }

    #[test]
    fn steps_with_same_members_are_for_the_same_instance() {
        let step = |action: &str, value: Value| {
            let mut step = json!({"secret_key": "sk_test_b", "jwks": ["k1"]});
            step[action] = value;
            step
        };
        let prelude = json!([
            step("request", request("k1")),
            step("admin", json!({"jwks": ["k2"]})),
            step("request", request("k1")),
            step("request", request("k2")),
        ]);
        let seen = run(with_jwks(), json!({"jwks": ["k1"]}), prelude, "k1").unwrap();
        assert_eq!(seen, signed_in(&[CLERK_OK; 3], 1));
    }

    #[test]
    fn publishable_key_of_a_step_selects_its_session_cookie() {
        let mut options = with_key("k1");
        options["publishable_key"] = json!("pk_live_Y2xlcmsuYWFhLmV4YW1wbGUk");
        let request = json!({"method": "GET", "url": "/", "cookies": [["__session__gWm2xRQ", "{{token:k1}}"],
                             ["__client_uat__gWm2xRQ", "1"]]});
        let prelude = json!([{"request": request, "publishable_key": "pk_live_Y2xlcmsuYmJiLmV4YW1wbGUk"},
                             {"request": request}]);
        let (prelude, status, ..) = run(options, json!(null), prelude, "k1").unwrap();
        assert_eq!((prelude, status), (vec![CLERK_OK, CLERK_NO_CREDENTIALS], CLERK_OK));
    }

    #[test]
    fn unknown_member_of_a_step_is_an_error() {
        let error = run(with_key("k1"), json!(null), json!([{"secret": "x"}]), "k1").unwrap_err();
        assert_eq!(error.to_string(), "options.secret: unknown");
    }

    #[test]
    fn rejected_setting_of_other_instance_is_an_error() {
        let prelude = json!([{"request": request("k1"), "jwt_key": {"text": "no key"}}]);
        let error = run(with_key("k1"), json!(null), prelude, "k1").unwrap_err();
        assert!(error.to_string().starts_with("prelude: jwt_key: "), "{error}");
    }
}
