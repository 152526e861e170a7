//! `share FILE.json`: prepares cases for the tests of the bindings, one line of JSON each, with the verdict of the C
//! functions.
//!
//! Tokens are minted and placeholders replaced. A test puts `state` to the admin API of the fake Clerk API, replaces
//! `{api_url}` with its URL, calls the setters and authenticates the request. Open and slow cases are left out.

use clerk_sim::corpus::{Case, Corpus};
use serde_json::{Value, json};

use crate::batch::{Args, Verdict};
use crate::compare::SIGNED_OUT;
use crate::{Result, instance, options, verdicts};

const API_URL: &str = "{api_url}";

/// Prints the prepared cases. Returns whether there was one.
pub fn run(parser: lexopt::Parser) -> Result<bool> {
    let args = Args::parse(parser)?;
    let (corpus, cases) = args.open()?;
    let mut shared = 0;
    for case in cases.iter().filter(|case| is_shared(case)) {
        if let Some(line) = line(&corpus, case, args.now)? {
            println!("{line}");
            shared += 1;
        }
    }
    Ok(shared > 0)
}

/// Cases with a second instance are left out, too: the bindings' tests have one client per case.
fn is_shared(case: &Case) -> bool {
    let prelude = case.value["prelude"].as_array();
    let faults = case.value["api"]["faults"].as_array();
    let is_slow = |fault: &Value| ["delay_ms", "drip_ms"].iter().any(|name| fault.get(name).is_some());
    case.value["confidence"] != "open"
        && case.value["options"]["api_down"] != true
        && !faults.into_iter().flatten().any(is_slow)
        && !prelude.into_iter().flatten().filter_map(Value::as_object).any(|step| !instance::members(step).is_empty())
}

/// Returns the line of a case, or `None` if the C functions fail the case.
fn line(corpus: &Corpus, case: &Case, now: i64) -> Result<Option<Value>> {
    let report = verdicts::run(corpus, case, now)?;
    if report.verdict != Verdict::Pass {
        return Ok(None);
    }
    let tokens = corpus.tokens(case, now)?;
    let request = |request: &Value| -> Result<Value> {
        let request = corpus.request(request, &tokens, now)?;
        Ok(json!({"method": request.method, "headers": request.headers}))
    };
    let mut prelude = Vec::new();
    for step in case.value["prelude"].as_array().into_iter().flatten() {
        match (&step["request"], &step["admin"], &step["advance_ms"]) {
            (recorded @ Value::Object(_), _, _) => prelude.push(json!({"request": request(recorded)?})),
            (_, state @ Value::Object(_), _) => prelude.push(json!({"state": state})),
            (_, _, ms) => prelude.push(json!({"advance_ms": ms})),
        }
    }
    let (state, _) = corpus.api_state(case.value.get("api"))?;
    let mut state = state.to_json();
    // Always present, so that it replaces the faults of the previous case.
    state["faults"] = case.value["api"].get("faults").cloned().unwrap_or_else(|| json!([]));
    let verdict = match report.rejected_setting() {
        Some(setting) => json!({"status": SIGNED_OUT, "refused": setting}),
        None => report.outcome(),
    };
    Ok(Some(json!({
        "id": case.id(),
        "category": case.category(),
        "now_ms": now * 1000,
        "settings": options::settings(&case.value["options"], corpus, API_URL)?,
        "state": state,
        "prelude": prelude,
        "request": request(&case.value["request"])?,
        "verdict": verdict,
    })))
}
