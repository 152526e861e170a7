//! `parity FILE.json`: runs scenarios recorded from django-clerk-sdk and compares their outcomes.

mod callbacks;
mod differences;
mod improve;
mod keep;
mod model;
mod response;
mod scenario;
mod settings;
mod table;
mod timestamp;

use clerk_sim::corpus::{Case, Corpus};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::Result;
use crate::batch::{self, Verdict};
use crate::capi::status_name;
use crate::verdicts::SLACK;
use scenario::{RequestOutcome, ScenarioOutcome};

/// The report of a scenario.
#[derive(Serialize)]
pub struct Report {
    id: String,
    judgement: String,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    why: Vec<String>,
    /// The outcomes of the requests, unless the scenario passed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    did: Vec<Json>,
}

/// Runs one scenario and compares its outcome.
pub fn run(corpus: &Corpus, case: &Case, now: i64) -> Result<Report> {
    Ok(report(case, &scenario::run(corpus, case, now)?))
}

impl batch::Report for Report {
    fn failed(case: &Case, why: String) -> Report {
        let judgement = case.value["judgement"].as_str().unwrap_or_default().to_owned();
        Report { id: case.id().to_owned(), judgement, verdict: Verdict::Fail, why: vec![why], did: Vec::new() }
    }

    fn verdict(&self) -> Verdict {
        self.verdict
    }
}

fn report(case: &Case, scenario: &ScenarioOutcome) -> Report {
    let judgement = case.value["judgement"].as_str().unwrap_or_default().to_owned();
    // These fail open scenarios, too.
    let mut why = violations_of_contract(scenario);
    let mut open = Vec::new();
    match case.value.get("right_outcome").filter(|right| right.is_object()) {
        _ if judgement == "keep" => why.extend(keep::differences(&case.value, scenario)),
        Some(right) => {
            let found = improve::check(right, scenario);
            why.extend(found.failed);
            open = found.unknown;
        }
        None => open.push("no right_outcome recorded".to_owned()),
    }
    let verdict = match (why.is_empty(), open.is_empty()) {
        (false, _) => Verdict::Fail,
        (true, false) => Verdict::Open,
        (true, true) => Verdict::Pass,
    };
    why.append(&mut open);
    let did = if verdict == Verdict::Pass { Vec::new() } else { scenario.requests.iter().map(summary).collect() };
    why.extend(scenario.config_error.as_ref().map(|error| format!("{}: {}", error.setting, error.message)));
    Report { id: case.id().to_owned(), judgement, verdict, why, did }
}

/// Lists calls that took too long or returned a negative status.
fn violations_of_contract(scenario: &ScenarioOutcome) -> Vec<String> {
    let auths = scenario.requests.iter().filter_map(|request| request.auth.as_ref());
    let failed = auths.filter(|auth| auth.status < 0).map(|auth| status_name(auth.status));
    let slow = scenario.requests.iter().map(|request| request.took).filter(|took| *took > scenario.limit + SLACK);
    let slow = slow.map(|took| format!("a call took {} ms of {}", took.as_millis(), scenario.limit.as_millis()));
    failed.map(|name| format!("a call returned {name}")).chain(slow).collect()
}

fn summary(request: &RequestOutcome) -> Json {
    let auth = request.auth.as_ref();
    let events: Vec<Json> = request.events.iter().map(|event| json!([event.kind, event.reason])).collect();
    json!({
        "status": auth.map(|auth| status_name(auth.status)),
        "reason": auth.map(|auth| &auth.reason),
        "error": auth.and_then(|auth| auth.error.as_ref()),
        "http_status": request.response.http_status,
        "user": request.response.user,
        "user_calls": request.user_calls,
        "events": events,
        "rows": request.rows,
        "ms": request.took.as_millis() as u64,
    })
}
