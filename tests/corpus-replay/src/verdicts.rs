//! `verdicts FILE.json`: runs one case and compares its outcome with the expected one.

use std::time::Duration;

use clerk_sim::corpus::{Case, Corpus};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Result;
use crate::batch::{self, Verdict};
use crate::capi::{self, CallResult, ConfigError};
use crate::case_runner::CaseRunner;
use crate::compare::{self, Outcome, SIGNED_IN, SIGNED_OUT};

/// How long after its time limit a call may return: on a busy machine a thread wakes up late.
pub const SLACK: Duration = Duration::from_millis(250);
const DEFAULT_TIMEOUT_MS: u64 = 5000;

/// The report of a case.
#[derive(Default, Serialize)]
pub struct Report {
    id: String,
    status: Option<&'static str>,
    reason: Option<String>,
    user_id: Value,
    session_id: Value,
    org_id: Value,
    org_role: Value,
    org_permissions: Value,
    api_calls: usize,
    ms: u64,
    pub verdict: Verdict,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    why: Vec<String>,
    /// Differences between the outcome and the expected one of an open case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_error: Option<String>,
    #[serde(skip)]
    rejected_setting: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify_token: Option<TokenVerdict>,
    /// Violations that the fake Clerk API recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<String>,
}

/// The verdict on the token alone.
#[derive(Serialize)]
struct TokenVerdict {
    status: &'static str,
    reason: Option<String>,
    /// Null if the header lines decide.
    agrees: Option<bool>,
}

impl batch::Report for Report {
    fn failed(case: &Case, why: String) -> Report {
        Report { id: case.id().to_owned(), why: vec![why], ..Report::default() }
    }

    fn verdict(&self) -> Verdict {
        self.verdict
    }
}

impl Report {
    /// Returns the setting that the library rejected, if any.
    pub fn rejected_setting(&self) -> Option<&str> {
        self.rejected_setting.as_deref()
    }

    /// Returns the members that a binding has to match.
    pub fn outcome(&self) -> Value {
        json!({
            "status": self.status, "reason": self.reason, "user_id": self.user_id, "session_id": self.session_id,
            "org_id": self.org_id, "org_role": self.org_role, "org_permissions": self.org_permissions,
        })
    }
}

/// Runs one case. Fails if the case cannot be read.
pub fn run(corpus: &Corpus, case: &Case, now: i64) -> Result<Report> {
    let expected = &case.value["expected"];
    let mut runner = CaseRunner::new(corpus, case, now)?;
    let call = runner.request()?;
    let (call, took) = call.as_ref().map(|(call, took)| (call, *took)).unzip();
    let outcome = Outcome {
        status: call.map_or(SIGNED_OUT, status),
        reason: match runner.config_error() {
            Some(error) => reason_of(error, expected),
            None => call.and_then(|call| call.result.as_ref()?.reason()),
        },
        result: call.and_then(|call| call.result.as_ref()),
        api_calls: runner.api_calls(),
    };
    let mut differs = compare::differences(expected, &outcome);
    // These fail open cases, too.
    let mut why = violations_of_contract(call, &runner, case);

    let mut verify_token = None;
    if runner.config_error().is_none() && case.value["verify_token"].is_string() {
        // A fresh client and API state: the request has filled caches and used up faults.
        let mut runner = CaseRunner::new(corpus, case, now)?;
        if let Some(call) = runner.verify_token() {
            let status = status(&call);
            let agrees = compare::token_agrees(case.category(), expected, status);
            if agrees == Some(false) {
                differs.push(format!("verify_token: {status}"));
            }
            let found = violations_of_contract(Some(&call), &runner, case);
            why.extend(found.into_iter().map(|message| format!("verify_token: {message}")));
            verify_token =
                Some(TokenVerdict { status, reason: call.result.and_then(|result| result.reason()), agrees });
        }
    }
    let is_open = case.value["confidence"] == "open";
    if !is_open {
        why.append(&mut differs);
    }
    Ok(Report {
        id: case.id().to_owned(),
        status: Some(outcome.status),
        user_id: outcome.member("user_id"),
        session_id: outcome.member("session_id"),
        org_id: outcome.member("org_id"),
        org_role: outcome.member("org_role"),
        org_permissions: outcome.member("org_permissions"),
        api_calls: outcome.api_calls,
        ms: took.map_or(0, |took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        verdict: match (why.is_empty(), is_open) {
            (false, _) => Verdict::Fail,
            (true, true) => Verdict::Open,
            (true, false) => Verdict::Pass,
        },
        why,
        differs,
        config_error: runner.config_error().map(|error| error.message.clone()),
        rejected_setting: runner.config_error().map(|error| error.setting.clone()),
        verify_token,
        violations: runner.violations(),
        reason: outcome.reason,
    })
}

fn status(call: &CallResult) -> &'static str {
    if call.status == clerk_auth::internals::ffi::CLERK_OK { SIGNED_IN } else { SIGNED_OUT }
}

/// Returns the reason for a rejected configuration: that of an invalid key, otherwise the expected one, since
/// the recordings have no reason for other settings.
fn reason_of(error: &ConfigError, expected: &Value) -> Option<String> {
    match error.setting.as_str() {
        "jwt_key" => Some("jwk-failed-to-resolve".to_owned()),
        _ => expected["reason"].as_str().filter(|_| expected["status"] == SIGNED_OUT).map(str::to_owned),
    }
}

/// Lists calls that took too long or returned a negative status.
fn violations_of_contract(call: Option<&CallResult>, runner: &CaseRunner<'_>, case: &Case) -> Vec<String> {
    let mut found = Vec::new();
    let limit_ms = case.value["options"]["api_timeout_ms"].as_u64().unwrap_or(DEFAULT_TIMEOUT_MS);
    if runner.longest > Duration::from_millis(limit_ms) + SLACK {
        found.push(format!("a call took {} ms of {limit_ms}", runner.longest.as_millis()));
    }
    let statuses = runner.prelude_statuses.iter().copied().chain(call.map(|call| call.status));
    let failed = statuses.into_iter().find(|status| *status < 0);
    found.extend(failed.map(|status| format!("a call returned {}", capi::status_name(status))));
    found
}

#[cfg(test)]
mod tests {
    use clerk_sim::Json;

    use super::*;

    fn run_json(json: &str) -> Report {
        let json = Json::parse(json).unwrap();
        let case = Case { value: json.to_value(), json };
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus");
        run(&Corpus::open(folder).unwrap(), &case, 1_800_000_000).unwrap()
    }

    fn run_case(options: &str, rest: &str) -> Report {
        run_json(&format!(
            r#"{{"id": "x", "category": "x", "tokens": {{"t": {{
                "header": {{"alg": "RS256", "kid": "ins_2corpusKeyOne000000000000001"}},
                "payload": {{"sub": "user_1", "iat": {{"$now": -5}}, "exp": {{"$now": 55}}}},
                "sign": {{"alg": "RS256", "key": "k1"}}}}}},
            "request": {{"method": "GET", "url": "/", "headers": [["Authorization", "Bearer {{{{token:t}}}}"]], "cookies": []}},
            "verify_token": "t", "options": {options}, {rest}}}"#
        ))
    }

    const USER: &str = r#""expected": {"status": "signed_in", "user_id": "user_1"}"#;

    #[test]
    fn case_without_jwt_key_fetches_the_jwks() {
        let report = run_case(
            r#"{"jwt_key": null, "secret_key": "sk_test_x"}"#,
            &format!(r#""api": {{"jwks": ["k1"]}}, {USER}"#),
        );
        assert_eq!((report.verdict, report.api_calls, report.why), (Verdict::Pass, 1, vec![]));
        assert_eq!(report.violations, [""; 0]);
    }

    #[test]
    fn prelude_advances_the_clock() {
        let options = r#"{"jwt_key": {"key": "k1", "form": "pem"}}"#;
        assert_eq!(run_case(options, USER).verdict, Verdict::Pass);
        let later = run_case(options, &format!(r#""prelude": [{{"advance_ms": 60000}}], {USER}"#));
        assert_eq!((later.verdict, later.reason.as_deref()), (Verdict::Fail, Some("token-expired")));
        assert_eq!(later.why.len(), 2, "{:?}", later.why);
    }

    #[test]
    fn invalid_jwt_key_is_jwk_failed_to_resolve() {
        let expected = r#""expected": {"status": "signed_out", "reason": "jwk-failed-to-resolve"}"#;
        let report = run_case(r#"{"jwt_key": {"text": "no key"}}"#, expected);
        assert_eq!(report.verdict, Verdict::Pass);
        assert!(report.config_error.unwrap().starts_with("jwt_key: "));
    }

    #[test]
    fn open_case_with_other_reason_is_open() {
        let open = |api: &str| {
            let options = r#"{"jwt_key": null, "secret_key": "sk_test_x", "api_timeout_ms": 100}"#;
            run_case(options, &format!(r#""confidence": "open", "api": {api}, {USER}"#))
        };
        let report = open(r#"{"jwks": ["k1"], "faults": [{"delay_ms": 3000}]}"#);
        assert_eq!((report.verdict, report.reason.as_deref()), (Verdict::Open, Some("jwk-failed-to-load")));
        assert_eq!(report.differs.len(), 2, "{:?}", report.differs);
    }
}
