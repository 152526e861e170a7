//! Plays all cases of a file on a few threads: one line of JSON each, in the file's order, and a count at the end.

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

use crate::{Result, USAGE};

/// When every case is played unless told otherwise, so that two runs are alike.
const NOW_S: i64 = 1_800_000_000;
/// When nothing has been heard for so long, whatever is still being played hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// More than there are cores: slow answers of the API are mostly waiting.
const THREADS: usize = 4;

pub struct Args {
    pub file: PathBuf,
    /// How the ids begin that are to be played.
    pub case: String,
    pub now: i64,
    threads: usize,
}

impl Args {
    pub fn parse(mut parser: lexopt::Parser) -> Result<Args> {
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

    /// The corpus, and those of its cases that are wanted.
    pub fn open(&self) -> Result<(Corpus, Vec<Case>)> {
        let name = self.file.file_name().and_then(|name| name.to_str()).ok_or("the file's name must be UTF-8")?;
        let corpus = Corpus::open(self.file.parent().unwrap_or(Path::new("")))?;
        let mut cases = corpus.cases(name)?;
        cases.retain(|case| case.id().starts_with(&self.case));
        Ok((corpus, cases))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Pass,
    #[default]
    Fail,
    Open,
}

/// What is told of a case.
pub trait Line: Serialize + Send + 'static {
    /// Of one of which there is nothing to tell but why it failed.
    fn failed(case: &Case, why: String) -> Self;
    fn verdict(&self) -> Verdict;
}

/// Whether no case that counts has failed.
pub fn run<L: Line>(parser: lexopt::Parser, play: fn(&Corpus, &Case, i64) -> Result<L>) -> Result<bool> {
    let args = Args::parse(parser)?;
    let (corpus, cases) = args.open()?;
    let cases = Arc::new(cases);
    let lines = start(Arc::new(corpus), cases.clone(), &args, play);

    let mut out = std::io::stdout().lock();
    let (mut waiting, mut next, mut counts) = (BTreeMap::new(), 0, [0; 3]);
    while next < cases.len() {
        match lines.recv_timeout(PATIENCE) {
            Ok((at, line)) => _ = waiting.insert(at, line),
            // Lines that have come stay; the missing ones never will.
            Err(_) => (next..cases.len()).for_each(|at| {
                waiting.entry(at).or_insert_with(|| L::failed(&cases[at], "no answer: it hangs".into()));
            }),
        }
        while let Some(line) = waiting.remove(&next) {
            counts[line.verdict() as usize] += 1;
            writeln!(out, "{}", serde_json::to_string(&line)?)?;
            next += 1;
        }
    }
    let [passed, failed, open] = counts;
    writeln!(out, "{passed} passed, {failed} failed, {open} open")?;
    Ok(failed == 0)
}

/// Plays on threads that nobody waits for: one that hangs must not keep the program from saying so.
fn start<L: Line>(
    corpus: Arc<Corpus>,
    cases: Arc<Vec<Case>>,
    args: &Args,
    play: fn(&Corpus, &Case, i64) -> Result<L>,
) -> mpsc::Receiver<(usize, L)> {
    let (sender, lines) = mpsc::channel();
    let next = Arc::new(AtomicUsize::new(0));
    let now = args.now;
    for _ in 0..args.threads {
        let (corpus, cases, next, sender) = (corpus.clone(), cases.clone(), next.clone(), sender.clone());
        std::thread::spawn(move || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(case) = cases.get(at) else { return };
                // A panic here is this program's own: the library lets none out.
                let line = match catch_unwind(AssertUnwindSafe(|| play(&corpus, case, now))) {
                    Ok(Ok(line)) => line,
                    Ok(Err(error)) => L::failed(case, format!("cannot be played: {error}")),
                    Err(_) => L::failed(case, "cannot be played: a panic".into()),
                };
                if sender.send((at, line)).is_err() {
                    return;
                }
            }
        });
    }
    lines
}
