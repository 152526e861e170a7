//! An engine that stalls, is overloaded or has no streams: when it is left alone, and what is reported.

use std::sync::Barrier;

use super::*;

/// An engine of which each operation waits for the others and then ends with an error.
struct StallingEngine {
    begun: Barrier,
    errors: Mutex<Vec<EngineError>>,
}

impl StallingEngine {
    fn end<T>(&self, timeout: Duration) -> Result<T, EngineError> {
        self.begun.wait();
        let error = self.errors.lock().unwrap().pop();
        std::thread::sleep(if error.is_some() { Duration::ZERO } else { timeout });
        Err(error.unwrap_or_else(|| EngineError::Unavailable("no reply in time".into())))
    }
}

impl Engine for StallingEngine {
    fn get(&self, _: &[String], timeout: Duration) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        self.end(timeout)
    }
    fn set(&self, _: &str, _: &[u8], _: Duration, _: bool, timeout: Duration) -> Result<bool, EngineError> {
        self.end(timeout)
    }
    fn delete(&self, _: &[String], timeout: Duration) -> Result<(), EngineError> {
        self.end(timeout)
    }
    fn append(&self, _: &str, _: &[u8], timeout: Duration) -> Result<String, EngineError> {
        self.end(timeout)
    }
    fn read(&self, _: &str, _: &str, _: Duration, timeout: Duration) -> Result<StreamRead, EngineError> {
        self.end(timeout)
    }
}

fn stalling(threads: usize, errors: Vec<EngineError>) -> (Fixture, SharedCache) {
    let f = Fixture::new();
    let engine = Arc::new(StallingEngine { begun: Barrier::new(threads), errors: Mutex::new(errors) });
    let cache = SharedCache { engine, ..f.cache(&["one"]) };
    (f, cache)
}

fn events(f: &Fixture, name: &str) -> usize {
    f.events.lock().unwrap().iter().filter(|event| *event == name).count()
}

#[test]
fn stall_of_many_operations_pauses_for_one_second() {
    let (f, cache) = stalling(8, vec![]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(cache.user("user_1", soon()).is_err()));
        }
    });
    assert!(!cache.is_available());
    assert!(cache.retry_wait() <= Duration::from_secs(1), "{:?}", cache.retry_wait());
    assert_eq!((events(&f, "SharedCacheUnavailable"), events(&f, "SharedCacheAvailable")), (1, 0));
}

#[test]
fn busy_and_unsupported_neither_reset_failures_nor_report_a_recovery() {
    let failed = || EngineError::Unavailable("on purpose".into());
    for nothing in [EngineError::Busy, EngineError::Unsupported] {
        let outcomes = [failed(), nothing.clone(), failed(), nothing.clone(), failed(), nothing.clone(), failed()];
        let (f, cache) = stalling(1, outcomes.iter().rev().cloned().collect());
        (0..5).for_each(|_| assert!(cache.user("user_1", soon()).is_err()));
        assert!(!cache.is_available(), "three failures, whatever came between: {nothing:?}");
        f.advance(1000);
        assert!(cache.user("user_1", soon()).is_err());
        assert!(!cache.is_available(), "the trial has said nothing: {nothing:?}");
        assert!(cache.user("user_1", soon()).is_err());
        assert!(cache.retry_wait() > Duration::from_millis(1500), "the next one was the trial, and failed");
        assert_eq!((events(&f, "SharedCacheUnavailable"), events(&f, "SharedCacheAvailable")), (1, 0));
        assert_eq!(cache.stats().errors, 4);
    }
}

#[test]
fn operation_cut_short_by_its_caller_says_nothing_about_the_engine() {
    let (_f, cache) = stalling(1, vec![]);
    for _ in 0..5 {
        assert!(cache.user("user_1", Deadline::after(Duration::from_millis(2))).is_err());
    }
    assert_eq!((cache.is_available(), cache.stats().errors), (true, 0));
    // One that was refused at once says something however little time it had.
    cache.record_failed_check(&EngineError::Unavailable("on purpose".into()));
    assert_eq!((cache.is_available(), cache.stats().errors), (false, 1));
}

#[test]
fn failure_within_the_callers_time_counts() {
    let failed = || EngineError::Unavailable("connection refused".into());
    let (_f, cache) = stalling(1, vec![failed(), failed(), failed()]);
    for _ in 0..3 {
        assert!(cache.user("user_1", Deadline::after(Duration::from_millis(10))).is_err());
    }
    assert_eq!((cache.is_available(), cache.stats().errors), (false, 3));
}

/// An engine that takes a while for each operation, and keeps to the time that one may take.
struct SlowEngine(Duration);

impl SlowEngine {
    fn end<T>(&self, timeout: Duration, value: T) -> Result<T, EngineError> {
        std::thread::sleep(self.0.min(timeout));
        if self.0 < timeout { Ok(value) } else { Err(EngineError::Unavailable("no reply in time".into())) }
    }
}

impl Engine for SlowEngine {
    fn get(&self, keys: &[String], timeout: Duration) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        self.end(timeout, vec![None; keys.len()])
    }
    fn set(&self, _: &str, _: &[u8], _: Duration, _: bool, timeout: Duration) -> Result<bool, EngineError> {
        self.end(timeout, true)
    }
    fn delete(&self, _: &[String], timeout: Duration) -> Result<(), EngineError> {
        self.end(timeout, ())
    }
    fn append(&self, _: &str, _: &[u8], timeout: Duration) -> Result<String, EngineError> {
        self.end(timeout, "1".into())
    }
    fn read(&self, _: &str, _: &str, wait: Duration, timeout: Duration) -> Result<StreamRead, EngineError> {
        self.end(wait + timeout, StreamRead { last_id: "1".into(), ..StreamRead::default() })
    }
}

#[test]
fn read_of_a_slow_engine_does_not_hide_that_operations_fail() {
    let f = Fixture::new();
    let cache = SharedCache { engine: Arc::new(SlowEngine(Duration::from_millis(60))), ..f.cache(&["one"]) };
    for round in 0..4 {
        assert!(cache.user("user_1", soon()).is_err());
        let read = cache.read_stream("1", Duration::ZERO);
        assert_eq!(read.is_ok(), round < 2, "{round}");
    }
    f.now_ms.fetch_add(1100, Ordering::Relaxed);
    assert!(cache.read_stream("1", Duration::from_millis(250)).is_err(), "the trial is as short as others");
    assert!(!cache.is_available() && cache.retry_wait() > Duration::from_secs(1), "{:?}", cache.retry_wait());
    assert_eq!((events(&f, "SharedCacheUnavailable"), events(&f, "SharedCacheAvailable")), (1, 0));
}
