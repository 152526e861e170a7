//! The tables on a database server: created and migrated under a lock, and checked at every start.

use super::engine::{Connection, Engine};
use super::{Failure, Statement, Value};
use crate::clock::Deadline;

/// Each is executed and changes nothing: it fails without the right that the store needs, or without a column.
const PROBES: [&str; 2] = [
    "INSERT INTO clerk_user (clerk_user_id, email, username, first_name, last_name, image_url, last_active_at, is_active, \
     banned_by_clerk, clerk_updated_at_ms) SELECT clerk_user_id, email, username, first_name, last_name, image_url, \
     last_active_at, is_active, banned_by_clerk, clerk_updated_at_ms FROM clerk_user WHERE 1 = 0",
    "UPDATE clerk_user SET clerk_user_id = clerk_user_id, email = email, username = username, first_name = first_name, \
     last_name = last_name, image_url = image_url, last_active_at = last_active_at, is_active = is_active, \
     banned_by_clerk = banned_by_clerk, clerk_updated_at_ms = clerk_updated_at_ms, updated_at = updated_at WHERE 1 = 0",
];

/// Creates or migrates the tables, and checks them.
pub fn prepare<E: Engine>(engine: &E, deadline: Deadline) -> Result<(), Failure> {
    let mut connection = engine.connect(deadline)?;
    let prepared = migrate(engine, &mut connection, deadline)
        .and_then(|()| check::<E>(&mut connection, deadline))
        .map_err(explain_denied::<E>);
    if prepared.is_ok() {
        connection.close();
    }
    prepared
}

fn explain_denied<E: Engine>(mut failure: Failure) -> Failure {
    if E::is_denied(&failure) {
        failure.message = format!("{}; {}", failure.message, E::GRANT);
    }
    failure
}

fn version<E: Engine>(connection: &mut E::Connection, deadline: Deadline) -> Result<usize, Failure> {
    let mut number = |sql: &str| connection.run(&Statement::plain(sql), deadline).map(|outcome| outcome.number());
    if number(E::HAS_SCHEMA_TABLE)? != Some(1) {
        return Ok(0);
    }
    let version = number("SELECT max(version) FROM clerk_schema")?.unwrap_or(0);
    usize::try_from(version).map_err(|_| Failure::other("the version in `clerk_schema` is negative"))
}

fn migrate<E: Engine>(engine: &E, connection: &mut E::Connection, deadline: Deadline) -> Result<(), Failure> {
    let latest = E::MIGRATIONS.len();
    if version::<E>(connection, deadline)? < latest {
        engine.begin(connection, deadline)?;
        // Another process may have been faster.
        for at in version::<E>(connection, deadline)?..latest {
            for sql in E::MIGRATIONS[at] {
                connection.run(&Statement::plain(*sql), deadline).map_err(explain_other::<E>)?;
            }
            if at + 1 == latest {
                // Before the version: an engine that does not roll back would take other tables for migrated ones.
                check::<E>(connection, deadline)?;
            }
            let mut insert = Statement::plain("INSERT INTO clerk_schema (version) VALUES (");
            insert.sql.push_str(if E::DIALECT.has_numbered_placeholders { "$1)" } else { "?)" });
            insert.values.push(Value::integer(at as i64 + 1));
            connection.run(&insert, deadline)?;
        }
        engine.commit(connection, deadline)?;
    }
    match version::<E>(connection, deadline)? {
        version if version > latest => Err(Failure::other(format!(
            "user table has schema version {version}; this library supports up to {latest}"
        ))),
        _ => Ok(()),
    }
}

/// Returns the failure of tables that the library did not create, or that were changed so that it cannot use them.
fn other_tables(cause: &str) -> Failure {
    Failure::other(format!(
        "the tables `clerk_user` and `clerk_schema` are not those of this library: {cause}; use another database, or a user \
         store of your own"
    ))
}

/// Converts a failure of a statement that fails on other tables. Others, such as a full device, stay as they are.
fn explain_other<E: Engine>(failure: Failure) -> Failure {
    if E::is_of_tables(&failure) { other_tables(&failure.message) } else { failure }
}

/// Checks what the statements of the store rest on: the columns, the key, unique columns, exact Clerk ids, and the rights.
fn check<E: Engine>(connection: &mut E::Connection, deadline: Deadline) -> Result<(), Failure> {
    let select = format!("SELECT {} FROM clerk_user WHERE 1 = 0", E::DIALECT.columns());
    for sql in [select.as_str()].into_iter().chain(PROBES) {
        connection.run(&Statement::plain(sql), deadline).map_err(explain_other::<E>)?;
    }
    for (query, wrong) in E::CHECKS {
        if connection.run(&Statement::plain(*query), deadline)?.number() != Some(1) {
            return Err(other_tables(wrong));
        }
    }
    Ok(())
}
