//! The user table on a database server. Each write is one statement, which is repeated, or read back, within the deadline.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::engine::{Connection, Engine, Outcome};
use super::failure::guarded;
use super::pool::Pool;
use super::{Failure, FailureKind, Statement, prepare, row_of, schema, write_and_read};
use crate::clock::Deadline;
use crate::deadline::{current, pause};
use crate::users::{Row, RowChanges, Schema, StoreError, StoreRequest, StoreResponse, UpdateCondition, UserStore};

/// The pause before a statement is repeated, at first and at most.
const PAUSE: Duration = Duration::from_millis(2);
const MAX_PAUSE: Duration = Duration::from_millis(100);
/// How often a statement is sent again because its connection was lost.
const MAX_RECONNECTS: u32 = 3;

/// A [`UserStore`] on a database server.
pub struct SqlStore<E: Engine> {
    engine: E,
    pool: Pool<E::Connection>,
    warnings: Vec<String>,
}

impl<E: Engine> fmt::Debug for SqlStore<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").field("engine", &E::NAME).finish_non_exhaustive()
    }
}

impl<E: Engine> Drop for SqlStore<E> {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// Whether and when a statement is sent again.
struct Attempts {
    deadline: Deadline,
    pause: Duration,
    reconnects: u32,
}

impl Attempts {
    fn new() -> Self {
        Attempts { deadline: current(), pause: PAUSE, reconnects: 0 }
    }

    /// Waits before the next attempt. Returns the failure if there is none.
    fn again(&mut self, failure: Failure) -> Result<(), Failure> {
        if matches!(failure.kind, FailureKind::Lost | FailureKind::ReadOnly) {
            self.reconnects += 1;
        }
        let is_repeatable = matches!(failure.kind, FailureKind::Repeatable | FailureKind::Lost | FailureKind::ReadOnly);
        // Not all threads at the same moment.
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let jitter = Duration::from_micros(u64::from(clock.subsec_nanos()) % 1000);
        if !is_repeatable || self.reconnects > MAX_RECONNECTS || !pause(self.deadline, self.pause + jitter) {
            return Err(failure);
        }
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        Ok(())
    }
}

impl<E: Engine> SqlStore<E> {
    /// Connects, migrates the tables and checks them.
    pub fn open(engine: E, pool_size: usize, warnings: Vec<String>, deadline: Deadline) -> Result<Self, Failure> {
        guarded(|| prepare(&engine, deadline))?;
        Ok(SqlStore { engine, pool: Pool::new(pool_size), warnings })
    }

    /// Executes a statement once, on any connection.
    fn run(&self, statement: &Statement, deadline: Deadline) -> Result<Outcome, Failure> {
        let (permit, idle) = self.pool.take(deadline)?;
        let mut connection = idle.map_or_else(|| guarded(|| self.engine.connect(deadline)), Ok)?;
        let outcome = guarded(|| connection.run(statement, deadline));
        let kind = outcome.as_ref().err().map(|failure| failure.kind);
        if matches!(kind, Some(FailureKind::Lost | FailureKind::ReadOnly)) {
            self.pool.renew();
        }
        if outcome.as_ref().err().is_none_or(Failure::is_harmless) {
            permit.keep(connection);
        }
        outcome
    }

    /// Executes a query.
    fn query(&self, statement: &Statement) -> Result<Outcome, Failure> {
        let mut attempts = Attempts::new();
        loop {
            match self.run(statement, attempts.deadline) {
                Ok(outcome) => return Ok(outcome),
                Err(failure) => attempts.again(failure)?,
            }
        }
    }

    fn rows(&self, statement: &Statement) -> Result<Vec<Row>, Failure> {
        let rows = self.query(statement)?.rows.into_iter().map(row_of);
        rows.collect::<Option<_>>().ok_or_else(|| Failure::other("a value of `clerk_user` has another type"))
    }

    fn insert(&self, changes: &RowChanges) -> Result<String, Failure> {
        let mut statement = E::DIALECT.create(changes);
        statement.sql.push_str(E::RETURNING);
        let mut attempts = Attempts::new();
        loop {
            let failure = match self.run(&statement, attempts.deadline) {
                Ok(outcome) => {
                    let id = outcome.inserted.or_else(|| outcome.number());
                    let discarded = || Failure::other("a trigger on `clerk_user` discarded the new row");
                    return id.map(|id| id.to_string()).ok_or_else(discarded);
                }
                Err(failure) => failure,
            };
            let is_unknown = failure.kind == FailureKind::Lost;
            attempts.again(failure.clone())?;
            // Without a Clerk id the row cannot be recognized, and a second one must not appear.
            match changes.clerk_id.as_deref().filter(|_| is_unknown) {
                Some(clerk_id) => match self.rows(&E::DIALECT.find_by_clerk_id(clerk_id))?.pop() {
                    Some(row) if is_applied(changes, &row) => return Ok(row.key),
                    Some(_) => return Err(Failure::new(FailureKind::Conflict, -1, "the row has changed")),
                    None => {}
                },
                None if is_unknown => return Err(failure),
                None => {}
            }
        }
    }

    fn change(&self, key: &str, changes: &RowChanges, condition: &UpdateCondition) -> Result<(), Failure> {
        let conflict = || Failure::new(FailureKind::Conflict, -1, "the row does not exist or has changed");
        let (Some(mut statement), Some(find)) =
            (E::DIALECT.update(key, changes, condition), E::DIALECT.find_by_key(key))
        else {
            return Err(conflict());
        };
        statement.sql.push_str(E::RETURNING);
        let mut attempts = Attempts::new();
        loop {
            let failure = match self.run(&statement, attempts.deadline) {
                Ok(outcome) if outcome.matched == 1 || outcome.rows.len() == 1 => return Ok(()),
                Ok(_) => return Err(conflict()),
                Err(failure) => failure,
            };
            let is_unknown = failure.kind == FailureKind::Lost;
            attempts.again(failure)?;
            if is_unknown && self.rows(&find)?.pop().is_some_and(|row| is_applied(changes, &row)) {
                return Ok(());
            }
        }
    }
}

/// Whether a row is as the changes make it.
fn is_applied(changes: &RowChanges, row: &Row) -> bool {
    let mut changed = row.clone();
    changes.apply(&mut changed);
    changed == *row
}

impl<E: Engine> UserStore for SqlStore<E> {
    fn schema(&self) -> Schema {
        schema()
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn find_by_key(&self, key: &str) -> Result<Option<Row>, StoreError> {
        let found = E::DIALECT.find_by_key(key).map(|statement| self.rows(&statement)).transpose()?;
        Ok(found.and_then(|mut rows| rows.pop()))
    }

    fn find_by_clerk_id(&self, clerk_id: &str) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(&E::DIALECT.find_by_clerk_id(clerk_id))?.pop())
    }

    fn find_by_email(&self, email: &str) -> Result<Vec<Row>, StoreError> {
        let mut rows = self.rows(&E::DIALECT.find_by_email(email))?;
        rows.retain(|row| row.email.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(email)));
        Ok(rows)
    }

    fn username_taken(&self, username: &str, except_key: Option<&str>) -> Result<bool, StoreError> {
        Ok(!self.query(&E::DIALECT.username_taken(username, except_key))?.rows.is_empty())
    }

    fn create(&self, changes: &RowChanges) -> Result<String, StoreError> {
        Ok(self.insert(changes)?)
    }

    fn update(&self, key: &str, changes: &RowChanges, condition: &UpdateCondition) -> Result<(), StoreError> {
        Ok(self.change(key, changes, condition)?)
    }

    fn write(&self, request: &StoreRequest) -> Result<StoreResponse, StoreError> {
        write_and_read(self, request)
    }
}
