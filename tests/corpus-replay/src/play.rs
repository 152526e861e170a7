//! `verdicts FILE.json`: plays one case and judges it.

use std::time::Duration;

use clerk_sim::corpus::{Case, Corpus};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Result;
use crate::capi::{self, AuthError, Reply};
use crate::compare::{self, Outcome, SIGNED_IN, SIGNED_OUT};
use crate::replay::{self, Verdict};
use crate::stage::Stage;

/// How much later than its time limit an answer may come: a thread has to be woken up on a busy machine.
const SLACK: Duration = Duration::from_millis(250);
const DEFAULT_TIMEOUT_MS: u64 = 5000;

/// The line of a case.
#[derive(Default, Serialize)]
pub struct Line {
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
    /// Where an open case is answered otherwise than the recording has it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_error: Option<String>,
    #[serde(skip)]
    refused_setting: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify_token: Option<ByItself>,
    /// What the stand-in for Clerk complains of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<String>,
}

/// The verdict on the token by itself.
#[derive(Serialize)]
struct ByItself {
    status: &'static str,
    reason: Option<String>,
    /// Null where the lines of the request decide.
    agrees: Option<bool>,
}

impl replay::Line for Line {
    fn failed(case: &Case, why: String) -> Line {
        Line { id: case.id().to_owned(), why: vec![why], ..Line::default() }
    }

    fn verdict(&self) -> Verdict {
        self.verdict
    }
}

impl Line {
    /// The setting that the library has refused, if it has.
    pub fn refused_setting(&self) -> Option<&str> {
        self.refused_setting.as_deref()
    }

    /// What was answered.
    pub fn answer(&self) -> Value {
        json!({
            "status": self.status, "reason": self.reason, "user_id": self.user_id, "session_id": self.session_id,
            "org_id": self.org_id, "org_role": self.org_role, "org_permissions": self.org_permissions,
        })
    }
}

pub fn play(corpus: &Corpus, case: &Case, now: i64) -> Result<Line> {
    let expected = &case.value["expected"];
    let mut stage = Stage::set(corpus, case, now)?;
    let asked = stage.request()?;
    let (reply, took) = asked.as_ref().map(|(reply, took)| (reply, *took)).unzip();
    let outcome = Outcome {
        status: reply.map_or(SIGNED_OUT, status),
        reason: match stage.refusal() {
            Some(refusal) => refused_for(refusal, expected),
            None => reply.and_then(|reply| reply.answer.as_ref()?.reason()),
        },
        answer: reply.and_then(|reply| reply.answer.as_ref()),
        api_calls: stage.api_calls(),
    };
    let mut differs = compare::differences(expected, &outcome);
    // What no confidence excuses.
    let mut why = unsound(reply, &stage, case);

    let mut verify_token = None;
    if stage.refusal().is_none() && case.value["verify_token"].is_string() {
        // Keys that were fetched and faults that were spent for the request are none of this token's.
        let mut stage = Stage::set(corpus, case, now)?;
        if let Some(reply) = stage.verify_token() {
            let status = status(&reply);
            let agrees = compare::token_agrees(case.category(), expected, status);
            if agrees == Some(false) {
                differs.push(format!("verify_token: {status}"));
            }
            why.extend(unsound(Some(&reply), &stage, case).into_iter().map(|words| format!("verify_token: {words}")));
            verify_token = Some(ByItself { status, reason: reply.answer.and_then(|answer| answer.reason()), agrees });
        }
    }
    let is_open = case.value["confidence"] == "open";
    if !is_open {
        why.append(&mut differs);
    }
    Ok(Line {
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
        config_error: stage.refusal().map(|refusal| refusal.message.clone()),
        refused_setting: stage.refusal().map(|refusal| refusal.setting.clone()),
        verify_token,
        violations: stage.violations(),
        reason: outcome.reason,
    })
}

fn status(reply: &Reply) -> &'static str {
    if reply.status == clerk_auth::internals::ffi::CLERK_OK { SIGNED_IN } else { SIGNED_OUT }
}

/// The reason that a refused configuration stands for. A bad key is refused before any token is seen; of other settings
/// the recordings have no word of their own.
fn refused_for(refusal: &AuthError, expected: &Value) -> Option<String> {
    match refusal.setting.as_str() {
        "jwt_key" => Some("jwk-failed-to-resolve".to_owned()),
        _ => expected["reason"].as_str().filter(|_| expected["status"] == SIGNED_OUT).map(str::to_owned),
    }
}

/// Calls that took too long, and replies that are none.
fn unsound(reply: Option<&Reply>, stage: &Stage<'_>, case: &Case) -> Vec<String> {
    let mut found = Vec::new();
    let limit_ms = case.value["options"]["api_timeout_ms"].as_u64().unwrap_or(DEFAULT_TIMEOUT_MS);
    if stage.longest > Duration::from_millis(limit_ms) + SLACK {
        found.push(format!("a call took {} ms of {limit_ms}", stage.longest.as_millis()));
    }
    let broken = stage.broken.into_iter().chain(reply.map(|reply| reply.status)).find(|status| *status < 0);
    found.extend(broken.map(|status| format!("a call gave {}", capi::status_name(status))));
    found
}

#[cfg(test)]
mod tests {
    use clerk_sim::Json;

    use super::*;

    fn line(text: &str) -> Line {
        let json = Json::parse(text).unwrap();
        let case = Case { value: json.to_value(), json };
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus");
        play(&Corpus::open(folder).unwrap(), &case, 1_800_000_000).unwrap()
    }

    fn case(options: &str, rest: &str) -> Line {
        line(&format!(
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
    fn a_case_is_played_through_the_key_set() {
        let line =
            case(r#"{"jwt_key": null, "secret_key": "sk_test_x"}"#, &format!(r#""api": {{"jwks": ["k1"]}}, {USER}"#));
        assert_eq!((line.verdict, line.api_calls, line.why), (Verdict::Pass, 1, vec![]));
        assert_eq!(line.violations, [""; 0]);
    }

    #[test]
    fn time_passes_in_a_prelude() {
        let options = r#"{"jwt_key": {"key": "k1", "form": "pem"}}"#;
        assert_eq!(case(options, USER).verdict, Verdict::Pass);
        let later = case(options, &format!(r#""prelude": [{{"advance_ms": 60000}}], {USER}"#));
        assert_eq!((later.verdict, later.reason.as_deref()), (Verdict::Fail, Some("token-expired")));
        assert_eq!(later.why.len(), 2, "{:?}", later.why);
    }

    #[test]
    fn a_refused_key_is_a_key_that_cannot_be_had() {
        let expected = r#""expected": {"status": "signed_out", "reason": "jwk-failed-to-resolve"}"#;
        let line = case(r#"{"jwt_key": {"text": "no key"}}"#, expected);
        assert_eq!(line.verdict, Verdict::Pass);
        assert!(line.config_error.unwrap().starts_with("jwt_key: "));
    }

    #[test]
    fn an_open_case_may_differ_but_not_dawdle() {
        let open = |api: &str| {
            let options = r#"{"jwt_key": null, "secret_key": "sk_test_x", "api_timeout_ms": 100}"#;
            case(options, &format!(r#""confidence": "open", "api": {api}, {USER}"#))
        };
        let line = open(r#"{"jwks": ["k1"], "faults": [{"delay_ms": 3000}]}"#);
        assert_eq!((line.verdict, line.reason.as_deref()), (Verdict::Open, Some("jwk-failed-to-load")));
        assert_eq!(line.differs.len(), 2, "{:?}", line.differs);
    }
}
