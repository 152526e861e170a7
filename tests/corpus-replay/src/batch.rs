//! Runs all cases of a file on several threads and prints one line of JSON per case, in file order, then the totals.

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

/// The time of every case unless `--now` is given; fixed, so that runs are reproducible.
const NOW_S: i64 = 1_800_000_000;
/// Cases that are still running when no report has arrived for this long are reported as hanging.
const HANG_TIMEOUT: Duration = Duration::from_secs(60);
/// More than there are cores: most of the time goes to slow responses of the fake API.
const THREADS: usize = 4;

pub struct Args {
    pub file: PathBuf,
    /// Only cases whose id starts with this are run.
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

    /// Opens the corpus and returns it with the selected cases.
    pub fn open(&self) -> Result<(Corpus, Vec<Case>)> {
        let name = self.file.file_name().and_then(|name| name.to_str()).ok_or("the file name must be UTF-8")?;
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

/// The line that is printed for a case.
pub trait Report: Serialize + Send + 'static {
    /// Reports a case that has no result.
    fn failed(case: &Case, why: String) -> Self;
    fn verdict(&self) -> Verdict;
}

/// Runs the selected cases and prints their reports. Returns whether none failed.
pub fn run<R: Report>(parser: lexopt::Parser, run_case: fn(&Corpus, &Case, i64) -> Result<R>) -> Result<bool> {
    let args = Args::parse(parser)?;
    let (corpus, cases) = args.open()?;
    let cases = Arc::new(cases);
    let reports = start(Arc::new(corpus), cases.clone(), &args, run_case);

    let mut out = std::io::stdout().lock();
    let (mut received, mut next, mut counts) = (BTreeMap::new(), 0, [0; 3]);
    while next < cases.len() {
        match reports.recv_timeout(HANG_TIMEOUT) {
            Ok((index, report)) => _ = received.insert(index, report),
            Err(_) => (next..cases.len()).for_each(|index| {
                received.entry(index).or_insert_with(|| R::failed(&cases[index], "no result: the call hangs".into()));
            }),
        }
        while let Some(report) = received.remove(&next) {
            counts[report.verdict() as usize] += 1;
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
            next += 1;
        }
    }
    let [passed, failed, open] = counts;
    writeln!(out, "{passed} passed, {failed} failed, {open} open")?;
    Ok(failed == 0)
}

/// Starts the threads and does not join them: a hanging case must not keep the program from reporting it.
fn start<R: Report>(
    corpus: Arc<Corpus>,
    cases: Arc<Vec<Case>>,
    args: &Args,
    run_case: fn(&Corpus, &Case, i64) -> Result<R>,
) -> mpsc::Receiver<(usize, R)> {
    let (sender, reports) = mpsc::channel();
    let next = Arc::new(AtomicUsize::new(0));
    let now = args.now;
    for _ in 0..args.threads {
        let (corpus, cases, next, sender) = (corpus.clone(), cases.clone(), next.clone(), sender.clone());
        std::thread::spawn(move || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(case) = cases.get(index) else { return };
                // A panic here is a defect of this program: no panic of the library crosses the ABI.
                let report = match catch_unwind(AssertUnwindSafe(|| run_case(&corpus, case, now))) {
                    Ok(Ok(report)) => report,
                    Ok(Err(error)) => R::failed(case, format!("cannot be run: {error}")),
                    Err(_) => R::failed(case, "cannot be run: a panic".into()),
                };
                if sender.send((index, report)).is_err() {
                    return;
                }
            }
        });
    }
    reports
}
