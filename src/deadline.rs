//! The deadline of the call on whose behalf this thread uses the user store, or the cache that processes share.

use std::cell::Cell;
#[cfg(any(test, feature = "mysql", feature = "postgres"))]
use std::time::{Duration, Instant};

use crate::clock::Deadline;

/// How long a function of a store may take that the application calls itself.
#[cfg(any(test, feature = "mysql", feature = "postgres"))]
const DEFAULT: Duration = Duration::from_secs(5);

thread_local! {
    static CURRENT: Cell<Option<Deadline>> = const { Cell::new(None) };
}

/// Runs a function that has to end by `deadline`, and by that of the running call.
pub fn within<T>(deadline: Deadline, run: impl FnOnce() -> T) -> T {
    struct Restore(Option<Deadline>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(Some(limited(deadline))));
    run()
}

/// Returns the deadline of the running call.
#[cfg(any(test, feature = "mysql", feature = "postgres"))]
pub fn current() -> Deadline {
    CURRENT.get().unwrap_or_else(|| Deadline::after(DEFAULT))
}

/// Returns the deadline, or that of the running call if it is earlier.
pub fn limited(deadline: Deadline) -> Deadline {
    CURRENT.get().map_or(deadline, |current| deadline.limited_to(current))
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
    fn deadline_of_nested_calls_is_the_earliest() {
        let [inner, outer, late] = [10, 20, 30].map(|seconds| Deadline::after(Duration::from_secs(seconds)));
        assert_eq!(limited(late), late);
        within(outer, || {
            within(inner, || assert_eq!(current(), inner));
            within(late, || assert_eq!(current(), outer));
            assert_eq!((limited(inner), limited(late)), (inner, outer));
            assert_eq!(current(), outer);
            let _ = std::panic::catch_unwind(|| within(inner, || std::panic::resume_unwind(Box::new(()))));
            assert_eq!(current(), outer);
        });
        assert!(current().remaining() <= DEFAULT);
        assert!(!pause(Deadline::after(Duration::ZERO), Duration::from_millis(1)));
    }
}
