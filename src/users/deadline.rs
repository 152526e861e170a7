//! The deadline of the call on whose behalf this thread uses the ready-made store.

use std::cell::Cell;
use std::time::Duration;
#[cfg(any(test, feature = "mysql", feature = "postgres"))]
use std::time::Instant;

use crate::clock::Deadline;

/// How long a function of a store may take that the application calls itself.
const DEFAULT: Duration = Duration::from_secs(5);

thread_local! {
    static CURRENT: Cell<Option<Deadline>> = const { Cell::new(None) };
}

/// Runs a function whose use of the store has to end by `deadline`.
pub fn within<T>(deadline: Deadline, run: impl FnOnce() -> T) -> T {
    struct Restore(Option<Deadline>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(Some(deadline)));
    run()
}

/// Returns the deadline of the running call.
pub fn current() -> Deadline {
    CURRENT.get().unwrap_or_else(|| Deadline::after(DEFAULT))
}

/// Waits, but not past the deadline. Returns whether there is time left.
#[cfg(any(test, feature = "mysql", feature = "postgres"))]
pub fn pause(deadline: Deadline, time: Duration) -> bool {
    let is_in_time = deadline.instant() > Instant::now() + time;
    if is_in_time {
        std::thread::sleep(time);
    }
    is_in_time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadline_is_that_of_the_innermost_call() {
        let [outer, inner] = [10, 20].map(|seconds| Deadline::after(Duration::from_secs(seconds)));
        within(outer, || {
            within(inner, || assert_eq!(current(), inner));
            assert_eq!(current(), outer);
            let _ = std::panic::catch_unwind(|| within(inner, || std::panic::resume_unwind(Box::new(()))));
            assert_eq!(current(), outer);
        });
        assert!(current().remaining() <= DEFAULT);
        assert!(!pause(Deadline::after(Duration::ZERO), Duration::from_millis(1)));
    }
}
