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

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use clerk_sim::corpus::{Case, Corpus};
use lexopt::prelude::*;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::Result;
use crate::capi::status_name;
use scene::{Asked, Played};

const USAGE: &str = "usage: corpus-replay parity FILE.json [--case ID-PREFIX] [--now SECONDS] [--threads N]";
/// When every scenario is played unless told otherwise, so that two runs are alike.
const NOW_S: i64 = 1_800_000_000;
/// When nothing has been heard for so long, whatever is still being played hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// More than there are cores: slow answers of the API are mostly waiting.
const THREADS: usize = 4;
/// How much later than its time limit an answer may come: a thread has to be woken up on a busy machine.
const SLACK: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Pass,
    Fail,
    Open,
}

#[derive(Serialize)]
struct Line {
    id: String,
    judgement: String,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    why: Vec<String>,
    /// What came of the requests, where nobody says what would be right.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    did: Vec<Json>,
}

struct Args {
    file: PathBuf,
    /// How the ids begin that are to be played.
    case: String,
    now: i64,
    threads: usize,
}

fn parse(mut parser: lexopt::Parser) -> Result<Args> {
    let mut args = Args { file: PathBuf::new(), case: String::new(), now: NOW_S, threads: THREADS };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("case") => args.case = parser.value()?.string()?,
            Long("now") => args.now = parser.value()?.parse()?,
            Long("threads") => args.threads = parser.value()?.parse::<usize>()?.max(1),
            Value(file) if args.file.as_os_str().is_empty() => args.file = file.into(),
            other => return Err(other.unexpected().into()),
        }
    }
    if args.file.as_os_str().is_empty() { Err(USAGE.into()) } else { Ok(args) }
}

/// Whether no scenario has failed.
pub fn run(parser: lexopt::Parser) -> Result<bool> {
    let args = parse(parser)?;
    let name = args.file.file_name().and_then(|name| name.to_str()).ok_or("the file's name must be UTF-8")?;
    let corpus = Corpus::open(args.file.parent().unwrap_or(Path::new("")))?;
    let mut cases = corpus.cases(name)?;
    cases.retain(|case| case.id().starts_with(&args.case));
    let cases = Arc::new(cases);
    let lines = start(Arc::new(corpus), cases.clone(), args.now, args.threads);

    let mut out = std::io::stdout().lock();
    let (mut waiting, mut next, mut counts) = (BTreeMap::new(), 0, [0; 3]);
    while next < cases.len() {
        match lines.recv_timeout(PATIENCE) {
            Ok((at, line)) => _ = waiting.insert(at, line),
            Err(_) => (next..cases.len()).for_each(|at| {
                waiting.entry(at).or_insert_with(|| failed(&cases[at], "no answer: it hangs".into()));
            }),
        }
        while let Some(line) = waiting.remove(&next) {
            counts[line.verdict as usize] += 1;
            writeln!(out, "{}", serde_json::to_string(&line)?)?;
            next += 1;
        }
    }
    let [passed, failed, open] = counts;
    writeln!(out, "{passed} passed, {failed} failed, {open} open")?;
    Ok(failed == 0)
}

/// Plays on threads that nobody waits for: one that hangs must not keep the program from saying so.
fn start(corpus: Arc<Corpus>, cases: Arc<Vec<Case>>, now: i64, threads: usize) -> mpsc::Receiver<(usize, Line)> {
    let (sender, lines) = mpsc::channel();
    let next = Arc::new(AtomicUsize::new(0));
    for _ in 0..threads {
        let (corpus, cases, next, sender) = (corpus.clone(), cases.clone(), next.clone(), sender.clone());
        std::thread::spawn(move || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(case) = cases.get(at) else { return };
                // A panic here is this program's own: the library lets none out.
                let line = match catch_unwind(AssertUnwindSafe(|| scene::play(&corpus, case, now))) {
                    Ok(Ok(played)) => judge(case, &played),
                    Ok(Err(error)) => failed(case, format!("cannot be played: {error}")),
                    Err(_) => failed(case, "cannot be played: a panic".into()),
                };
                if sender.send((at, line)).is_err() {
                    return;
                }
            }
        });
    }
    lines
}

fn failed(case: &Case, why: String) -> Line {
    let judgement = case.value["judgement"].as_str().unwrap_or_default().to_owned();
    Line { id: case.id().to_owned(), judgement, verdict: Verdict::Fail, why: vec![why], did: Vec::new() }
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
