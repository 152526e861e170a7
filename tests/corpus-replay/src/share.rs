//! `share FILE.json`: cases made ready for programs in other languages, one line of JSON each, with the verdict that the
//! C functions give.
//!
//! Tokens are minted and texts filled in; all that is left to do is to put `state` to the stand-in's admin API, to put
//! its address in the place of `{api_url}`, to call the setters and to ask. What takes much time stays out.

use clerk_sim::corpus::{Case, Corpus};
use serde_json::{Value, json};

use crate::compare::SIGNED_OUT;
use crate::play::play;
use crate::replay::{Args, Verdict};
use crate::{Result, options};

const API_URL: &str = "{api_url}";

/// Whether there was something to share.
pub fn run(parser: lexopt::Parser) -> Result<bool> {
    let args = Args::parse(parser)?;
    let (corpus, cases) = args.open()?;
    let mut shared = 0;
    for case in cases.iter().filter(|case| is_plain(case)) {
        if let Some(line) = line(&corpus, case, args.now)? {
            println!("{line}");
            shared += 1;
        }
    }
    Ok(shared > 0)
}

fn is_plain(case: &Case) -> bool {
    let faults = case.value["api"]["faults"].as_array();
    let is_slow = |fault: &Value| ["delay_ms", "drip_ms"].iter().any(|name| fault.get(name).is_some());
    case.value["confidence"] != "open"
        && case.value["options"]["api_down"] != true
        && !faults.into_iter().flatten().any(is_slow)
}

/// `None`: the case is one that the C functions fail.
fn line(corpus: &Corpus, case: &Case, now: i64) -> Result<Option<Value>> {
    let played = play(corpus, case, now)?;
    if played.verdict != Verdict::Pass {
        return Ok(None);
    }
    let tokens = corpus.tokens(case, now)?;
    let request = |given: &Value| -> Result<Value> {
        let request = corpus.request(given, &tokens, now)?;
        Ok(json!({"method": request.method, "headers": request.headers}))
    };
    let mut prelude = Vec::new();
    for step in case.value["prelude"].as_array().into_iter().flatten() {
        match (&step["request"], &step["admin"], &step["advance_ms"]) {
            (given @ Value::Object(_), _, _) => prelude.push(json!({"request": request(given)?})),
            (_, state @ Value::Object(_), _) => prelude.push(json!({"state": state})),
            (_, _, ms) => prelude.push(json!({"advance_ms": ms})),
        }
    }
    let (state, _) = corpus.api_state(case.value.get("api"))?;
    let mut state = state.to_json();
    // Always there, so that the faults of the case before go.
    state["faults"] = case.value["api"].get("faults").cloned().unwrap_or_else(|| json!([]));
    let verdict = match played.refused_setting() {
        Some(setting) => json!({"status": SIGNED_OUT, "refused": setting}),
        None => played.answer(),
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
