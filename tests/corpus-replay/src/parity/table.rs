//! The host's user table: SQLite behind the user store hook.

use std::sync::{Mutex, MutexGuard, PoisonError};

use clerk_auth::ffi::{CLERK_STORE_CONFLICT, CLERK_STORE_OK, clerk_column, clerk_store_request_kind as Kind};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, ErrorCode, params_from_iter};
use serde_json::{Map, Value, json};

use super::abi::{Reply, Step};
use super::calendar;
use super::model::{self, Column, Model};
use crate::Result;

/// A row as the recordings write it.
pub type Row = Map<String, Value>;

/// What the hook denies once, as if another process had not written it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    NoSuchId,
    NoSuchEmail,
    NameIsFree,
}

pub struct Table {
    model: Model,
    connection: Mutex<Connection>,
    lies: Mutex<Vec<Lie>>,
}

impl Table {
    pub fn new(model: Model, lies: Vec<Lie>) -> Result<Table> {
        let connection = Connection::open_in_memory()?;
        let columns: String = model.columns.iter().map(|column| format!(", {}", column.sql())).collect();
        connection.execute_batch(&format!("CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT{columns})"))?;
        Ok(Table { model, connection: Mutex::new(connection), lies: Mutex::new(lies) })
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lies(&self, lie: Lie) -> bool {
        let mut lies = self.lies.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lies.iter().position(|own| *own == lie);
        found.map(|at| lies.remove(at)).is_some()
    }

    /// Adds a row that a scenario begins with.
    pub fn add(&self, row: &Value) -> Result<()> {
        let row = row.as_object().ok_or("db: objects are needed")?;
        let (names, values) = self.values(row)?;
        self.insert(&names, values)?;
        Ok(())
    }

    /// Takes a `{where, set | delete}` of a step.
    pub fn change(&self, change: &Value) -> Result<()> {
        let object = |name: &str| change[name].as_object().ok_or_else(|| format!("db.{name}: an object is needed"));
        let (names, mut values) = self.values(object("where")?)?;
        let fits: Vec<String> = names.iter().enumerate().map(|(at, name)| format!("{name} IS ?{}", at + 1)).collect();
        let fits = if fits.is_empty() { "1".to_owned() } else { fits.join(" AND ") };
        let sql = match change.get("set") {
            Some(_) => {
                let (names, more) = self.values(object("set")?)?;
                let first = values.len() + 1;
                let set: Vec<String> =
                    names.iter().enumerate().map(|(at, name)| format!("{name} = ?{}", first + at)).collect();
                values.extend(more);
                format!("UPDATE users SET {} WHERE {fits}", set.join(", "))
            }
            None if change.get("delete").is_some() => format!("DELETE FROM users WHERE {fits}"),
            None => return Err("db: neither `set` nor `delete`".into()),
        };
        self.connection().execute(&sql, params_from_iter(values))?;
        Ok(())
    }

    fn values(&self, row: &Row) -> Result<(Vec<&'static str>, Vec<Sql>)> {
        let mut found = (Vec::new(), Vec::new());
        for (name, value) in row {
            if name == "id" {
                found.0.push("id");
                found.1.push(value.as_i64().ok_or("db.id: a number is needed")?.into());
                continue;
            }
            // What a model does not have (`has_usable_password`) nobody asks for.
            let Some(column) = self.model.column(name) else { continue };
            found.0.push(column.name);
            found.1.push(match (column.kind, value) {
                (model::Kind::Flag, Value::Bool(yes)) => i64::from(*yes).into(),
                (model::Kind::Text, Value::String(text)) => text.clone().into(),
                (model::Kind::Time, Value::String(text)) => match calendar::seconds(text) {
                    Some(seconds) => (seconds * 1000).into(),
                    None => return Err(format!("db.{name}: {text} is no date").into()),
                },
                (_, Value::Null) if column.is_required => String::new().into(),
                (_, Value::Null) => Sql::Null,
                _ => return Err(format!("db.{name}: {value} does not fit").into()),
            });
        }
        Ok(found)
    }

    fn insert(&self, names: &[&str], values: Vec<Sql>) -> rusqlite::Result<i64> {
        let connection = self.connection();
        let marks = vec!["?"; names.len()].join(", ");
        match names.len() {
            0 => connection.execute("INSERT INTO users DEFAULT VALUES", ())?,
            _ => connection.execute(
                &format!("INSERT INTO users ({}) VALUES ({marks})", names.join(", ")),
                params_from_iter(values),
            )?,
        };
        Ok(connection.last_insert_rowid())
    }

    /// All rows by their ids, as the recordings write them.
    pub fn rows(&self) -> Result<Vec<Row>> {
        self.select("1 ORDER BY id", [])?.into_iter().map(|values| self.written(values)).collect()
    }

    /// Whether a session may be somebody's: the row is there and active.
    pub fn lets_in(&self, id: i64) -> Result<bool> {
        let rows = self.rows()?;
        Ok(rows.iter().any(|row| row["id"] == id && row.get("is_active") != Some(&json!(false))))
    }

    fn written(&self, values: Vec<Sql>) -> Result<Row> {
        let mut values = values.into_iter();
        let Some(Sql::Integer(id)) = values.next() else { return Err("a row without an id".into()) };
        let mut row = Row::from_iter([("id".to_owned(), json!(id))]);
        for (column, value) in self.model.columns.iter().zip(values) {
            let value = match (column.kind, value) {
                (model::Kind::Flag, Sql::Integer(number)) => json!(number == 1),
                (model::Kind::Time, Sql::Integer(ms)) => json!(calendar::text(ms.div_euclid(1000))),
                (_, Sql::Text(text)) => json!(text),
                _ => Value::Null,
            };
            row.insert(column.name.to_owned(), value);
        }
        Ok(row)
    }

    fn select(&self, fits: &str, values: impl IntoIterator<Item = Sql>) -> rusqlite::Result<Vec<Vec<Sql>>> {
        let names: String = self.model.columns.iter().map(|column| format!(", {}", column.name)).collect();
        let connection = self.connection();
        let mut statement = connection.prepare(&format!("SELECT id{names} FROM users WHERE {fits}"))?;
        let count = statement.column_count();
        let rows = statement.query_map(params_from_iter(values), |row| (0..count).map(|at| row.get(at)).collect())?;
        rows.collect()
    }

    /// The user store hook.
    pub fn answer(&self, step: &Step, reply: &mut Reply) -> i32 {
        match self.perform(step, reply) {
            Ok(status) => status,
            Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::ConstraintViolation => {
                CLERK_STORE_CONFLICT
            }
            Err(error) => {
                reply.error(&error.to_string());
                -1
            }
        }
    }

    fn perform(&self, step: &Step, reply: &mut Reply) -> rusqlite::Result<i32> {
        let text = || Sql::from(step.text());
        let key = || step.key().and_then(|key| key.parse::<i64>().ok()).map_or(Sql::Null, Sql::from);
        let find = |kind: i32| match kind {
            _ if kind == Kind::FIND_BY_KEY as i32 => Some(("id = ?", key(), None)),
            _ if kind == Kind::FIND_BY_CLERK_ID as i32 => Some(("clerk_user_id = ?", text(), Some(Lie::NoSuchId))),
            _ if kind == Kind::FIND_BY_EMAIL as i32 => {
                Some(("email = ? COLLATE NOCASE LIMIT 2", text(), Some(Lie::NoSuchEmail)))
            }
            _ => None,
        };
        let kind = step.kind();
        if let Some((fits, value, lie)) = find(kind) {
            if !lie.is_some_and(|lie| self.lies(lie)) {
                self.select(fits, [value])?.into_iter().for_each(|row| self.give(row, reply));
            }
        } else if kind == Kind::USERNAME_TAKEN as i32 {
            let fits = "username = ?1 COLLATE NOCASE AND id IS NOT ?2";
            reply.taken(!self.lies(Lie::NameIsFree) && !self.select(fits, [text(), key()])?.is_empty());
        } else if kind == Kind::CREATE as i32 {
            let (names, values) = self.wanted(step);
            reply.created(&self.insert(&names, values)?.to_string());
        } else if kind == Kind::UPDATE as i32 {
            let (names, mut values) = self.wanted(step);
            values.push(key());
            let unlinked = if step.only_if_unlinked() { " AND clerk_user_id IS NULL" } else { "" };
            let sql = format!("UPDATE users SET {} = ? WHERE id = ?{unlinked}", names.join(" = ?, "));
            if self.connection().execute(&sql, params_from_iter(values))? != 1 {
                return Ok(CLERK_STORE_CONFLICT);
            }
        } else {
            let words = [(Kind::BEGIN, "BEGIN"), (Kind::COMMIT, "COMMIT"), (Kind::ROLLBACK, "ROLLBACK")];
            let sql = words.iter().find(|(own, _)| *own as i32 == kind).map_or("unknown step", |(_, sql)| sql);
            self.connection().execute_batch(sql)?;
        }
        Ok(CLERK_STORE_OK)
    }

    fn give(&self, values: Vec<Sql>, reply: &mut Reply) {
        let mut values = values.into_iter();
        if let Some(Sql::Integer(id)) = values.next() {
            reply.row(&id.to_string());
        }
        for (column, value) in self.own_columns().zip(values) {
            match (column, value) {
                ((_, Some(clerk)), Sql::Integer(number)) => reply.int_column(clerk, number),
                ((_, Some(clerk)), Sql::Text(text)) => reply.text_column(clerk, Some(&text)),
                // Columns that need not be set, and those the library does not know.
                _ => {}
            }
        }
    }

    fn own_columns(&self) -> impl Iterator<Item = (&Column, Option<clerk_column>)> {
        self.model.columns.iter().map(|column| (column, column.clerk))
    }

    /// What a step wants written.
    fn wanted(&self, step: &Step) -> (Vec<&'static str>, Vec<Sql>) {
        let wanted = self.own_columns().filter_map(|(column, clerk)| {
            let value = match column.kind {
                model::Kind::Text => match (step.text_column(clerk?)?, column.is_required) {
                    (None, true) => String::new().into(),
                    (text, _) => Sql::from(text),
                },
                _ => Sql::from(step.int_column(clerk?)?),
            };
            Some((column.name, value))
        });
        wanted.unzip()
    }
}
