//! What an engine provides: connections that execute statements, and its SQL.

use std::net::TcpStream;

use super::{Dialect, Failure, Statement, Value};
use crate::clock::Deadline;

/// What a statement did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub rows: Vec<Vec<Value>>,
    /// How many rows an `UPDATE` matched.
    pub matched: u64,
    /// The key of the inserted row.
    pub inserted: Option<i64>,
}

impl Outcome {
    /// Returns the one integer of the result.
    pub fn number(&self) -> Option<i64> {
        match self.rows.first()?.first()? {
            Value::Integer(number) => *number,
            Value::Boolean(flag) => flag.map(i64::from),
            _ => None,
        }
    }
}

/// A connection. After a failure that is not harmless it is dropped.
pub trait Connection: Send + 'static {
    /// Executes one statement.
    fn run(&mut self, statement: &Statement, deadline: Deadline) -> Result<Outcome, Failure>;

    /// Returns the socket, to find out whether the server has closed the connection; `None` if that is not possible.
    fn probe(&self) -> Option<&TcpStream>;

    /// Says good-bye to the server. Dropping a connection closes this process's descriptor only, so that a forked child does
    /// not end a connection of its parent.
    fn close(self);
}

/// The database of a URL.
pub trait Engine: Send + Sync + 'static {
    type Connection: Connection;

    /// The scheme of its URLs.
    const NAME: &'static str;
    const DIALECT: Dialect;
    /// What makes `INSERT` and `UPDATE` return the keys of their rows, if that is how the engine reports them.
    const RETURNING: &'static str;
    /// The statements from schema version n to n + 1. Released migrations never change.
    const MIGRATIONS: &'static [&'static [&'static str]];
    /// A query for whether the table `clerk_schema` exists.
    const HAS_SCHEMA_TABLE: &'static str;
    /// Queries that must return 1, each with what is wrong if they do not.
    const CHECKS: &'static [(&'static str, &'static str)];
    /// How to grant what the store needs.
    const GRANT: &'static str;

    /// Opens a connection to a server that can be written to.
    fn connect(&self, deadline: Deadline) -> Result<Self::Connection, Failure>;

    /// Begins a migration: no other process migrates the database until [`Self::commit`], or until the connection ends.
    fn begin(&self, connection: &mut Self::Connection, deadline: Deadline) -> Result<(), Failure>;

    /// Ends a migration.
    fn commit(&self, connection: &mut Self::Connection, deadline: Deadline) -> Result<(), Failure>;

    /// Whether a failure means that the tables are others, or lack a column.
    fn is_of_tables(failure: &Failure) -> bool;

    /// Whether a failure means that the user lacks a right.
    fn is_denied(failure: &Failure) -> bool;
}

impl Statement {
    /// A statement without values.
    pub fn plain(sql: impl Into<String>) -> Self {
        Statement { sql: sql.into(), values: Vec::new() }
    }
}
