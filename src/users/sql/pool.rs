//! A bounded number of connections of one process. A forked child starts with none.

use std::time::{Duration, Instant};

use super::channel::is_quiet;
use super::engine::Connection;
use super::failure::guarded;
use super::{Failure, FailureKind};
use crate::clock::Deadline;
use crate::deadline::pause;
use crate::fork_mutex::ResetMutex;

/// How long a connection may be idle: less than firewalls remember it.
const MAX_IDLE: Duration = Duration::from_secs(60);
/// How often a thread looks for a connection that another one has put back.
const POLL: Duration = Duration::from_millis(1);

/// The connections of a store.
pub struct Pool<C> {
    state: ResetMutex<State<C>>,
    size: usize,
}

struct State<C> {
    process: u32,
    idle: Vec<(C, Instant)>,
    /// Connections that are idle, in use, or being opened.
    open: usize,
    /// Raised when all open connections are to be closed.
    generation: u64,
}

impl<C> Default for State<C> {
    fn default() -> Self {
        State { process: std::process::id(), idle: Vec::new(), open: 0, generation: 0 }
    }
}

/// Permission to have one connection. Ends when it is dropped, also by a panic.
pub struct Permit<'a, C> {
    pool: &'a Pool<C>,
    process: u32,
    generation: u64,
    /// Whether an idle connection has the permission now.
    is_kept: bool,
}

impl<C> Drop for Permit<'_, C> {
    fn drop(&mut self) {
        self.pool.with(|state| {
            if !self.is_kept && self.process == state.process {
                state.open = state.open.saturating_sub(1);
            }
        });
    }
}

impl<C> Permit<'_, C> {
    /// Keeps a connection for the next use, unless all are to be closed.
    pub fn keep(mut self, connection: C) {
        let closed = self.pool.with(|state| {
            self.is_kept = self.process == state.process && self.generation == state.generation;
            match self.is_kept {
                true => {
                    state.idle.push((connection, Instant::now()));
                    None
                }
                false => Some(connection),
            }
        });
        drop(closed);
    }
}

impl<C> Pool<C> {
    pub fn new(size: usize) -> Self {
        Pool { state: ResetMutex::default(), size }
    }

    /// Runs with the connections of this process.
    fn with<T>(&self, run: impl FnOnce(&mut State<C>) -> T) -> T {
        let mut state = self.state.lock();
        if state.process != std::process::id() {
            // Those of the parent: dropping them closes descriptors and says nothing to the server.
            *state = State::default();
        }
        run(&mut state)
    }
}

impl<C: Connection> Pool<C> {
    /// Returns an idle connection, or only the permission to open one. Waits for it until the deadline.
    pub fn take(&self, deadline: Deadline) -> Result<(Permit<'_, C>, Option<C>), Failure> {
        loop {
            let taken = self.with(|state| {
                let idle = state.idle.pop();
                let may_open = idle.is_none() && state.open < self.size;
                state.open += usize::from(may_open);
                (idle.is_some() || may_open).then_some((state.process, state.generation, idle))
            });
            let permitted = taken
                .map(|(process, generation, idle)| (Permit { pool: self, process, generation, is_kept: false }, idle));
            match permitted {
                Some((permit, None)) => return Ok((permit, None)),
                Some((permit, Some((connection, since)))) => {
                    let is_open = || connection.probe().is_none_or(is_quiet);
                    return Ok((permit, (since.elapsed() < MAX_IDLE && is_open()).then_some(connection)));
                }
                None if pause(deadline, POLL) => {}
                None => {
                    let message = format!("all {} connections of the pool (`pool_size`) are in use", self.size);
                    return Err(Failure::new(FailureKind::TimedOut, -1, message));
                }
            }
        }
    }

    /// Closes all idle connections, and those in use when they are put back: the server was stopped, or is a replica now.
    pub fn renew(&self) {
        let idle = self.with(|state| {
            state.generation += 1;
            state.open -= state.idle.len().min(state.open);
            std::mem::take(&mut state.idle)
        });
        drop(idle);
    }

    /// Closes the idle connections and says so to the server.
    pub fn close(&self) {
        let idle = self.with(|state| std::mem::take(&mut state.idle));
        for (connection, _) in idle {
            let _ = guarded(|| {
                connection.close();
                Ok(())
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::super::Statement;
    use super::super::engine::Outcome;
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Fake(u32);

    impl Connection for Fake {
        fn run(&mut self, _: &Statement, _: Deadline) -> Result<Outcome, Failure> {
            Ok(Outcome::default())
        }
        fn probe(&self) -> Option<&TcpStream> {
            None
        }
        fn close(self) {}
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_millis(30))
    }

    #[test]
    fn connections_are_kept_and_bounded() {
        let pool = Pool::new(2);
        let (first, none) = pool.take(soon()).unwrap();
        assert!(none.is_none());
        let (second, _) = pool.take(soon()).unwrap();
        let begun = Instant::now();
        let failure = pool.take(soon()).map(|_| ()).unwrap_err();
        assert!(failure.kind == FailureKind::TimedOut && begun.elapsed() < Duration::from_millis(100), "{failure:?}");
        first.keep(Fake(1));
        let (first, idle) = pool.take(soon()).unwrap();
        assert!(idle == Some(Fake(1)) && pool.take(soon()).is_err());
        drop(second);
        assert_eq!(pool.take(soon()).unwrap().1, None);
        drop(first);
    }

    #[test]
    fn permit_of_a_thread_that_panics_is_given_back() {
        let pool = Pool::<Fake>::new(1);
        for _ in 0..3 {
            let panicking = std::panic::AssertUnwindSafe(|| {
                let _permit = pool.take(soon()).unwrap();
                std::panic::resume_unwind(Box::new(()));
            });
            assert!(std::panic::catch_unwind(panicking).is_err());
        }
        assert!(pool.take(soon()).is_ok());
    }

    #[test]
    fn renewed_pool_closes_what_is_put_back() {
        let pool = Pool::new(2);
        let (first, _) = pool.take(soon()).unwrap();
        let (second, _) = pool.take(soon()).unwrap();
        first.keep(Fake(1));
        pool.renew();
        second.keep(Fake(2));
        let permits = [(); 2].map(|()| pool.take(soon()).unwrap());
        assert!(permits.iter().all(|(_, idle)| idle.is_none()));
        assert!(pool.take(soon()).is_err());
    }

    #[test]
    fn forked_child_starts_without_connections() {
        let pool = Pool::new(1);
        let (permit, _) = pool.take(soon()).unwrap();
        permit.keep(Fake(1));
        pool.state.lock().process = 0;
        let (own, inherited) = pool.take(soon()).unwrap();
        assert!(inherited.is_none() && own.process == std::process::id());
        Permit { pool: &pool, process: 0, generation: 0, is_kept: false }.keep(Fake(2));
        assert!(pool.take(soon()).is_err());
    }
}
