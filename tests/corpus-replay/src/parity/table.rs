//! The application's user table: SQLite behind the user store callback.

use std::sync::{Mutex, MutexGuard, PoisonError};

use clerk_auth::internals::ffi::{
    CLERK_STORE_CONFLICT, CLERK_STORE_OK, clerk_column, clerk_store_request_kind as Kind,
};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, ErrorCode, params_from_iter};
use serde_json::{Map, Value, json};

use super::callbacks::{StoreRequest, StoreResponse};
use super::model::{self, Column, Model};
use super::timestamp;
use crate::Result;

/// A row in the format of the recordings.
pub type Row = Map<String, Value>;

/// A query that finds nothing once, as if another process had not written the row yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Race {
    ClerkIdNotFound,
    EmailNotFound,
    UsernameFree,
}

pub struct Table {
    model: Model,
    connection: Mutex<Connection>,
    races: Mutex<Vec<Race>>,
}

impl Table {
    pub fn new(model: Model, races: Vec<Race>) -> Result<Table> {
        let connection = Connection::open_in_memory()?;
        let columns: String = model.columns.iter().map(|column| format!(", {}", column.sql())).collect();
        connection.execute_batch(&format!("CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT{columns})"))?;
        Ok(Table { model, connection: Mutex::new(connection), races: Mutex::new(races) })
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether this race is to happen now; each happens once.
    fn races(&self, race: Race) -> bool {
        let mut races = self.races.lock().unwrap_or_else(PoisonError::into_inner);
        let found = races.iter().position(|pending| *pending == race);
        found.map(|index| races.remove(index)).is_some()
    }

    /// Adds a row that a scenario starts with.
    pub fn add(&self, row: &Value) -> Result<()> {
        let row = row.as_object().ok_or("db: must be an array of objects")?;
        let (names, values) = self.values(row)?;
        self.insert(&names, values)?;
        Ok(())
    }

    /// Applies a `{where, set | delete}` of a step.
    pub fn change(&self, change: &Value) -> Result<()> {
        let object = |name: &str| change[name].as_object().ok_or_else(|| format!("db.{name}: must be an object"));
        let (names, mut values) = self.values(object("where")?)?;
        let conditions: Vec<String> =
            names.iter().enumerate().map(|(index, name)| format!("{name} IS ?{}", index + 1)).collect();
        let condition = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
        let sql = match change.get("set") {
            Some(_) => {
                let (names, more) = self.values(object("set")?)?;
                let first = values.len() + 1;
                let set: Vec<String> =
                    names.iter().enumerate().map(|(index, name)| format!("{name} = ?{}", first + index)).collect();
                values.extend(more);
                format!("UPDATE users SET {} WHERE {condition}", set.join(", "))
            }
            None if change.get("delete").is_some() => format!("DELETE FROM users WHERE {condition}"),
            None => return Err("db: `set` or `delete` is missing".into()),
        };
        self.connection().execute(&sql, params_from_iter(values))?;
        Ok(())
    }

    fn values(&self, row: &Row) -> Result<(Vec<&'static str>, Vec<Sql>)> {
        let mut found = (Vec::new(), Vec::new());
        for (name, value) in row {
            if name == "id" {
                found.0.push("id");
                found.1.push(value.as_i64().ok_or("db.id: must be an integer")?.into());
                continue;
            }
            // Members that are not columns of the model, such as `has_usable_password`.
            let Some(column) = self.model.column(name) else { continue };
            found.0.push(column.name);
            found.1.push(match (column.kind, value) {
                (model::Kind::Flag, Value::Bool(yes)) => i64::from(*yes).into(),
                (model::Kind::String, Value::String(string)) => string.clone().into(),
                (model::Kind::Time, Value::String(string)) => match timestamp::parse(string) {
                    Some(seconds) => (seconds * 1000).into(),
                    None => return Err(format!("db.{name}: {string} is not a timestamp").into()),
                },
                (_, Value::Null) if column.is_required => String::new().into(),
                (_, Value::Null) => Sql::Null,
                _ => return Err(format!("db.{name}: wrong type: {value}").into()),
            });
        }
        Ok(found)
    }

    fn insert(&self, names: &[&str], values: Vec<Sql>) -> rusqlite::Result<i64> {
        let connection = self.connection();
        let placeholders = vec!["?"; names.len()].join(", ");
        match names.len() {
            0 => connection.execute("INSERT INTO users DEFAULT VALUES", ())?,
            _ => connection.execute(
                &format!("INSERT INTO users ({}) VALUES ({placeholders})", names.join(", ")),
                params_from_iter(values),
            )?,
        };
        Ok(connection.last_insert_rowid())
    }

    /// Returns all rows by id, in the format of the recordings.
    pub fn rows(&self) -> Result<Vec<Row>> {
        self.select("1 ORDER BY id", [])?.into_iter().map(|values| self.to_row(values)).collect()
    }

    /// Returns whether a session may belong to this row: it exists and is active.
    pub fn is_active(&self, id: i64) -> Result<bool> {
        let rows = self.rows()?;
        Ok(rows.iter().any(|row| row["id"] == id && row.get("is_active") != Some(&json!(false))))
    }

    fn to_row(&self, values: Vec<Sql>) -> Result<Row> {
        let mut values = values.into_iter();
        let Some(Sql::Integer(id)) = values.next() else { return Err("the row has no id".into()) };
        let mut row = Row::from_iter([("id".to_owned(), json!(id))]);
        for (column, value) in self.model.columns.iter().zip(values) {
            let value = match (column.kind, value) {
                (model::Kind::Flag, Sql::Integer(number)) => json!(number == 1),
                (model::Kind::Time, Sql::Integer(ms)) => json!(timestamp::format(ms.div_euclid(1000))),
                (_, Sql::Text(string)) => json!(string),
                _ => Value::Null,
            };
            row.insert(column.name.to_owned(), value);
        }
        Ok(row)
    }

    fn select(&self, condition: &str, values: impl IntoIterator<Item = Sql>) -> rusqlite::Result<Vec<Vec<Sql>>> {
        let names: String = self.model.columns.iter().map(|column| format!(", {}", column.name)).collect();
        let connection = self.connection();
        let mut statement = connection.prepare(&format!("SELECT id{names} FROM users WHERE {condition}"))?;
        let count = statement.column_count();
        let rows = statement.query_map(params_from_iter(values), |row| (0..count).map(|at| row.get(at)).collect())?;
        rows.collect()
    }

    /// Executes a store request; the user store callback.
    pub fn execute(&self, request: &StoreRequest, response: &mut StoreResponse) -> i32 {
        match self.try_execute(request, response) {
            Ok(status) => status,
            Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::ConstraintViolation => {
                CLERK_STORE_CONFLICT
            }
            Err(error) => {
                response.set_error(&error.to_string());
                -1
            }
        }
    }

    fn try_execute(&self, request: &StoreRequest, response: &mut StoreResponse) -> rusqlite::Result<i32> {
        let value = || Sql::from(request.value());
        let key = || request.key().and_then(|key| key.parse::<i64>().ok()).map_or(Sql::Null, Sql::from);
        let find = |kind: i32| match kind {
            _ if kind == Kind::FIND_BY_KEY as i32 => Some(("id = ?", key(), None)),
            _ if kind == Kind::FIND_BY_CLERK_ID as i32 => {
                Some(("clerk_user_id = ?", value(), Some(Race::ClerkIdNotFound)))
            }
            _ if kind == Kind::FIND_BY_EMAIL as i32 => {
                Some(("email = ? COLLATE NOCASE LIMIT 2", value(), Some(Race::EmailNotFound)))
            }
            _ => None,
        };
        let kind = request.kind();
        if let Some((condition, value, race)) = find(kind) {
            if !race.is_some_and(|race| self.races(race)) {
                self.select(condition, [value])?.into_iter().for_each(|row| self.add_row(row, response));
            }
        } else if kind == Kind::USERNAME_TAKEN as i32 {
            let condition = "username = ?1 COLLATE NOCASE AND id IS NOT ?2";
            let is_taken = !self.races(Race::UsernameFree) && !self.select(condition, [value(), key()])?.is_empty();
            response.set_username_taken(is_taken);
        } else if kind == Kind::CREATE as i32 {
            let (names, values) = self.changes(request);
            response.set_created_key(&self.insert(&names, values)?.to_string());
        } else if kind == Kind::UPDATE as i32 {
            let (names, mut values) = self.changes(request);
            values.push(key());
            let condition = [
                (request.only_if_unlinked(), " AND clerk_user_id IS NULL"),
                (request.only_if_active(), " AND is_active"),
                (request.only_if_banned(), " AND banned_by_clerk AND NOT is_active"),
            ];
            let condition: String = condition.iter().filter(|(holds, _)| *holds).map(|(_, sql)| *sql).collect();
            let sql = format!("UPDATE users SET {} = ? WHERE id = ?{condition}", names.join(" = ?, "));
            if self.connection().execute(&sql, params_from_iter(values))? != 1 {
                return Ok(CLERK_STORE_CONFLICT);
            }
        } else {
            let statements = [(Kind::BEGIN, "BEGIN"), (Kind::COMMIT, "COMMIT"), (Kind::ROLLBACK, "ROLLBACK")];
            let sql =
                statements.iter().find(|(known, _)| *known as i32 == kind).map_or("unknown request", |(_, sql)| sql);
            self.connection().execute_batch(sql)?;
        }
        Ok(CLERK_STORE_OK)
    }

    fn add_row(&self, values: Vec<Sql>, response: &mut StoreResponse) {
        let mut values = values.into_iter();
        if let Some(Sql::Integer(id)) = values.next() {
            response.add_row(&id.to_string());
        }
        for (column, value) in self.columns().zip(values) {
            match (column, value) {
                ((_, Some(clerk)), Sql::Integer(number)) => response.set_int_column(clerk, number),
                ((_, Some(clerk)), Sql::Text(string)) => response.set_string_column(clerk, Some(&string)),
                // NULL, and columns that the library does not have.
                _ => {}
            }
        }
    }

    fn columns(&self) -> impl Iterator<Item = (&Column, Option<clerk_column>)> {
        self.model.columns.iter().map(|column| (column, column.clerk))
    }

    /// Returns the columns that a request writes, and their new values.
    fn changes(&self, request: &StoreRequest) -> (Vec<&'static str>, Vec<Sql>) {
        let changes = self.columns().filter_map(|(column, clerk)| {
            let value = match column.kind {
                model::Kind::String => match (request.string_column(clerk?)?, column.is_required) {
                    (None, true) => String::new().into(),
                    (string, _) => Sql::from(string),
                },
                _ => Sql::from(request.int_column(clerk?)?),
            };
            Some((column.name, value))
        });
        changes.unzip()
    }
}
