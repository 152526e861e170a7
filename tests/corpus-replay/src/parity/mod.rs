//! `parity FILE.json`: scenarios recorded from django-clerk-sdk, one line of JSON each, in the file's order.

mod abi;
mod calendar;
mod differences;
mod host;
mod improve;
mod keep;
mod model;
mod scene;
mod settings;
mod table;

use std::time::Duration;

use clerk_sim::corpus::{Case, Corpus};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::Result;
use crate::capi::status_name;
use crate::replay::{self, Verdict};
use scene::{Asked, Played};

/// How much later than its time limit an answer may come: a thread has to be woken up on a busy machine.
const SLACK: Duration = Duration::from_millis(250);

#[derive(Serialize)]
pub struct Line {
    id: String,
    judgement: String,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    why: Vec<String>,
    /// What came of the requests, where nobody says what would be right.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    did: Vec<Json>,
}

/// Plays one scenario and judges it.
pub fn play(corpus: &Corpus, case: &Case, now: i64) -> Result<Line> {
    Ok(judge(case, &scene::play(corpus, case, now)?))
}

impl replay::Line for Line {
    fn failed(case: &Case, why: String) -> Line {
        let judgement = case.value["judgement"].as_str().unwrap_or_default().to_owned();
        Line { id: case.id().to_owned(), judgement, verdict: Verdict::Fail, why: vec![why], did: Vec::new() }
    }

    fn verdict(&self) -> Verdict {
        self.verdict
    }
}

fn judge(case: &Case, played: &Played) -> Line {
    let scenario = &case.value;
    let judgement = scenario["judgement"].as_str().unwrap_or_default().to_owned();
    // What nothing excuses.
    let mut why = unsound(played);
    let mut open = Vec::new();
    match scenario.get("right_outcome").filter(|right| right.is_object()) {
        _ if judgement == "keep" => why.extend(keep::differences(scenario, played)),
        Some(right) => {
            let found = improve::judge(right, played);
            why.extend(found.failed);
            open = found.unknown;
        }
        None => open.push("nobody says what would be right".to_owned()),
    }
    let verdict = match (why.is_empty(), open.is_empty()) {
        (false, _) => Verdict::Fail,
        (true, false) => Verdict::Open,
        (true, true) => Verdict::Pass,
    };
    why.append(&mut open);
    let did = if verdict == Verdict::Pass { Vec::new() } else { played.requests.iter().map(summary).collect() };
    why.extend(played.refusal.as_ref().map(|refusal| format!("{}: {}", refusal.setting, refusal.message)));
    Line { id: case.id().to_owned(), judgement, verdict, why, did }
}

/// Calls that took too long, and replies that are none.
fn unsound(played: &Played) -> Vec<String> {
    let answers = played.requests.iter().filter_map(|asked| asked.answer.as_ref());
    let broken = answers.filter(|answer| answer.status < 0).map(|answer| status_name(answer.status));
    let slow = played.requests.iter().map(|asked| asked.took).filter(|took| *took > played.limit + SLACK);
    let slow = slow.map(|took| format!("a call took {} ms of {}", took.as_millis(), played.limit.as_millis()));
    broken.map(|name| format!("a call gave {name}")).chain(slow).collect()
}

fn summary(asked: &Asked) -> Json {
    let answer = asked.answer.as_ref();
    let events: Vec<Json> = asked.events.iter().map(|event| json!([event.kind, event.reason])).collect();
    json!({
        "status": answer.map(|answer| status_name(answer.status)),
        "reason": answer.map(|answer| &answer.reason),
        "error": answer.and_then(|answer| answer.error.as_ref()),
        "http_status": asked.seen.http_status,
        "user": asked.seen.user,
        "user_calls": asked.user_calls,
        "events": events,
        "rows": asked.rows,
        "ms": asked.took.as_millis() as u64,
    })
}
