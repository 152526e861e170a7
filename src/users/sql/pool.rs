//! A bounded number of connections of one process. A forked child starts with none.

use std::time::{Duration, Instant};

use super::channel::is_quiet;
use super::engine::Connection;
use super::{Failure, FailureKind};
use crate::clock::Deadline;
use crate::fork_mutex::ResetMutex;
use crate::users::deadline::pause;

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

/// Permission to have one connection.
pub struct Permit {
    process: u32,
    generation: u64,
}

impl<C: Connection> Pool<C> {
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

    /// Returns an idle connection, or only the permission to open one. Waits for it until the deadline.
    pub fn take(&self, deadline: Deadline) -> Result<(Permit, Option<C>), Failure> {
        loop {
            let taken = self.with(|state| {
                let permit = Permit { process: state.process, generation: state.generation };
                if let Some((connection, since)) = state.idle.pop() {
                    return Some((permit, Some((connection, since))));
                }
                (state.open < self.size).then(|| {
                    state.open += 1;
                    (permit, None)
                })
            });
            match taken {
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

    /// Keeps a connection for the next use; `None`: it was closed.
    pub fn put_back(&self, permit: &Permit, connection: Option<C>) {
        let closed = self.with(|state| {
            if permit.process != state.process {
                return connection;
            }
            match connection.filter(|_| permit.generation == state.generation) {
                Some(connection) => {
                    state.idle.push((connection, Instant::now()));
                    None
                }
                None => {
                    state.open = state.open.saturating_sub(1);
                    None
                }
            }
        });
        drop(closed);
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
        idle.into_iter().for_each(|(connection, _)| connection.close());
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
        pool.put_back(&first, Some(Fake(1)));
        assert_eq!(pool.take(soon()).unwrap().1, Some(Fake(1)));
        pool.put_back(&second, None);
        assert_eq!(pool.take(soon()).unwrap().1, None);
    }

    #[test]
    fn renewed_pool_closes_what_is_put_back() {
        let pool = Pool::new(2);
        let (first, _) = pool.take(soon()).unwrap();
        let (second, _) = pool.take(soon()).unwrap();
        pool.put_back(&first, Some(Fake(1)));
        pool.renew();
        pool.put_back(&second, Some(Fake(2)));
        for _ in 0..2 {
            assert_eq!(pool.take(soon()).unwrap().1, None);
        }
        assert!(pool.take(soon()).is_err());
    }

    #[test]
    fn forked_child_starts_without_connections() {
        let pool = Pool::new(1);
        let (permit, _) = pool.take(soon()).unwrap();
        pool.put_back(&permit, Some(Fake(1)));
        pool.state.lock().process = 0;
        let (own, inherited) = pool.take(soon()).unwrap();
        assert!(inherited.is_none() && own.process == std::process::id());
        pool.put_back(&Permit { process: 0, generation: 0 }, Some(Fake(2)));
        assert!(pool.take(soon()).is_err());
    }
}
