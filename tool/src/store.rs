//! The table of the ready-made SQLite store. Opened read-only: nothing is migrated.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::output::{self, Check, Failure, Mark, Output};

/// Returns the path of a SQLite database, which may be given as the setting `database`. The URL of a server is not shown: it may have a
/// password.
pub fn path(database: &OsStr) -> Result<&Path, Failure> {
    let Some(given) = database.to_str() else { return Ok(Path::new(database)) };
    if let Some(path) = given.strip_prefix("sqlite:") {
        return Ok(Path::new(path));
    }
    let is_server = ["postgres:", "postgresql:", "mysql:"].iter().any(|scheme| given.starts_with(scheme));
    if is_server {
        return Err(Failure::usage(
            "database: this command reads SQLite only; the table `clerk_user` of a server is read with psql or mariadb, and checked when a client \
             with the setting `database` is created",
        ));
    }
    Ok(Path::new(given))
}

fn open(path: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error: rusqlite::Error| Failure::unavailable(format!("{}: {error}", path.display()));
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(std::time::Duration::from_secs(2)).map_err(failed)?;
    Ok(connection)
}

const ROWS: &str = "select id, clerk_user_id, email, username, is_active from clerk_user order by id";

/// Prints each row.
pub fn list(path: &Path, output: &Output) -> Result<ExitCode, Failure> {
    let connection = open(path)?;
    let failed = |error: rusqlite::Error| Failure::unavailable(format!("{}: {error}", path.display()));
    let mut statement = connection.prepare(ROWS).map_err(failed)?;
    let mut found = statement.query([]).map_err(failed)?;
    let (mut lines, mut rows) = (Vec::new(), Vec::new());
    while let Some(row) = found.next().map_err(failed)? {
        let key: i64 = row.get(0).map_err(failed)?;
        let column = |index: usize| row.get::<_, Option<String>>(index).map_err(failed);
        let (clerk_id, email, username) = (column(1)?, column(2)?, column(3)?);
        let is_active: bool = row.get(4).map_err(failed)?;
        let shown = |value: &Option<String>| value.as_deref().unwrap_or("-").escape_debug().to_string();
        let mark = if is_active { Mark::Ok } else { Mark::Failed };
        lines.push((mark, format!("{key:<8}{:<36}{:<36}{}", shown(&clerk_id), shown(&email), shown(&username))));
        rows.push(
            json!({"key": key, "clerk_id": clerk_id, "email": email, "username": username, "is_active": is_active}),
        );
    }
    output.report(true, &json!({"rows": rows}), &lines)
}

/// Checks the file and its table.
pub fn check(path: &Path, output: &Output) -> Result<ExitCode, Failure> {
    let connection = open(path)?;
    let mut found = Vec::new();
    let mut add = |name: &str, value: rusqlite::Result<String>, is_good: fn(&str) -> bool, hint: &str| {
        let (mark, value) = match value {
            Ok(value) if is_good(&value) => (Mark::Ok, value),
            Ok(value) => (Mark::Failed, value),
            Err(error) => (Mark::Failed, error.to_string()),
        };
        let hint = if mark == Mark::Failed { hint } else { "" };
        found.push(Check { name: name.into(), mark, found: value, hint: hint.into() });
    };
    let one = |sql: &str| {
        connection.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0)).map(|value| match value {
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Integer(integer) => integer.to_string(),
            other => format!("{other:?}"),
        })
    };
    add(
        "integrity",
        one("pragma quick_check(1)"),
        |value| value == "ok",
        "restore a backup; `docs/sqlite.md` says how to make one",
    );
    add(
        "columns",
        one(
            "select count(*) from pragma_table_info('clerk_user') where name in ('id', 'clerk_user_id', 'email', 'username', 'first_name',
             'last_name', 'image_url', 'last_active_at', 'is_active', 'banned_by_clerk', 'created_at', 'updated_at', 'clerk_updated_at_ms')",
        ),
        |value| value == "13",
        "this is no database of the SQLite store, or an older one: open it with the library once",
    );
    add("rows", one("select count(*) from clerk_user"), |_| true, "");
    add("inactive rows", one("select count(*) from clerk_user where not is_active"), |_| true, "");
    add("rows without Clerk id", one("select count(*) from clerk_user where clerk_user_id is null"), |_| true, "");
    add("journal", one("pragma journal_mode"), |_| true, "");
    let is_good = found.iter().all(|check| check.mark != Mark::Failed);
    let (lines, array) = output::checks(&found);
    output.report(is_good, &json!({"checks": array}), &lines)
}
