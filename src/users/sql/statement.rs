//! The statements of the table `clerk_user`.

use super::Value;
use crate::users::{RowChanges, Schema, UpdateCondition};

/// The latest moment that every engine can store: the end of the year 9999.
const MAX_TIME_MS: i64 = 253_402_300_799_999;

/// How the SQL of an engine differs from that of the others.
#[derive(Debug)]
pub struct Dialect {
    /// Whether placeholders are `$1`, `$2`, …; else `?`.
    pub has_numbered_placeholders: bool,
    /// Milliseconds since 1970 of the column `last_active_at`.
    pub read_time: &'static str,
    /// What makes the value of a time column of a placeholder for milliseconds since 1970: what is before and after it.
    pub write_time: (&'static str, &'static str),
    /// The current time, as a value of a time column.
    pub now: &'static str,
    /// The condition that `email` is a placeholder without regard to case: what is before and after it.
    pub email_is: (&'static str, &'static str),
    /// The same for `username`.
    pub username_is: (&'static str, &'static str),
    /// How many rows a query for an address returns at most: two, unless the engine also finds other spellings.
    pub email_limit: usize,
}

/// A statement and the values of its placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub sql: String,
    pub values: Vec<Value>,
}

/// The columns of the table.
pub fn schema() -> Schema {
    Schema {
        max_username_len: 150,
        max_email_len: 320,
        max_name_len: 255,
        max_image_url_len: 2048,
        clerk_updated_at: true,
        ..Schema::default()
    }
}

/// Returns the number of a key; `None` if no row has such a key.
fn number_of(key: &str) -> Option<i64> {
    key.parse().ok().filter(|number: &i64| number.to_string() == key)
}

/// Returns the columns to write with their values.
fn assignments(changes: &RowChanges) -> Vec<(&'static str, Value)> {
    let text = |value: &Option<String>| value.clone().map(|value| Value::Text(Some(value)));
    let nullable = |value: &Option<Option<String>>| value.clone().map(Value::Text);
    let time = |ms: Option<i64>| Value::Time(ms.filter(|ms| (0..=MAX_TIME_MS).contains(ms)));
    let flag = |value: Option<bool>| value.map(|yes| Value::Boolean(Some(yes)));
    let columns = [
        ("clerk_user_id", text(&changes.clerk_id)),
        ("email", nullable(&changes.email)),
        ("username", text(&changes.username)),
        ("first_name", text(&changes.first_name)),
        ("last_name", text(&changes.last_name)),
        ("image_url", nullable(&changes.image_url)),
        ("last_active_at", changes.last_active_at_ms.map(time)),
        ("is_active", flag(changes.is_active)),
        ("banned_by_clerk", flag(changes.banned_by_clerk)),
        ("clerk_updated_at_ms", changes.clerk_updated_at_ms.map(Value::integer)),
    ];
    columns.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Builds a statement, one value after the other.
struct Builder<'a> {
    dialect: &'a Dialect,
    statement: Statement,
}

impl Builder<'_> {
    fn sql(&mut self, sql: &str) -> &mut Self {
        self.statement.sql.push_str(sql);
        self
    }

    /// Appends a placeholder, converted if it is a time.
    fn value(&mut self, value: Value) -> &mut Self {
        let (before, after) = match value {
            Value::Time(_) => self.dialect.write_time,
            _ => ("", ""),
        };
        self.statement.values.push(value);
        let placeholder = match self.dialect.has_numbered_placeholders {
            true => format!("${}", self.statement.values.len()),
            false => "?".to_owned(),
        };
        self.sql(before).sql(&placeholder).sql(after)
    }

    fn is(&mut self, (before, after): (&str, &str), value: &str) -> &mut Self {
        self.sql(before).value(Value::text(value)).sql(after)
    }
}

impl Dialect {
    fn begin(&self, sql: &str) -> Builder<'_> {
        Builder { dialect: self, statement: Statement { sql: sql.to_owned(), values: Vec::new() } }
    }

    /// The columns of a result row.
    pub fn columns(&self) -> String {
        let (before, after) =
            ("clerk_user_id, email, username, first_name, last_name, image_url, id, ", self.read_time);
        format!("{before}{after}, is_active, banned_by_clerk, clerk_updated_at_ms")
    }

    fn select(&self) -> Builder<'_> {
        self.begin(&format!("SELECT {} FROM clerk_user WHERE ", self.columns()))
    }

    /// Returns `None` if no row has such a key.
    pub fn find_by_key(&self, key: &str) -> Option<Statement> {
        let mut find = self.select();
        find.sql("id = ").value(Value::integer(number_of(key)?));
        Some(find.statement)
    }

    pub fn find_by_clerk_id(&self, clerk_id: &str) -> Statement {
        let mut find = self.select();
        find.sql("clerk_user_id = ").value(Value::text(clerk_id));
        find.statement
    }

    pub fn find_by_email(&self, email: &str) -> Statement {
        let mut find = self.select();
        // The application may have deactivated one of many rows with this address: the limit must not cut it off.
        find.is(self.email_is, email).sql(&format!(" ORDER BY is_active, banned_by_clerk LIMIT {}", self.email_limit));
        find.statement
    }

    /// Finds a row if the username is taken.
    pub fn username_taken(&self, username: &str, except_key: Option<&str>) -> Statement {
        let mut find = self.begin("SELECT id FROM clerk_user WHERE ");
        find.is(self.username_is, username);
        if let Some(key) = except_key.and_then(number_of) {
            find.sql(" AND id <> ").value(Value::integer(key));
        }
        find.sql(" LIMIT 1");
        find.statement
    }

    pub fn create(&self, changes: &RowChanges) -> Statement {
        let assignments = assignments(changes);
        let names: Vec<&str> = assignments.iter().map(|(name, _)| *name).collect();
        let mut insert = self.begin(&format!("INSERT INTO clerk_user ({}) VALUES (", names.join(", ")));
        for (at, (_, value)) in assignments.into_iter().enumerate() {
            insert.sql(if at == 0 { "" } else { ", " }).value(value);
        }
        insert.sql(")");
        insert.statement
    }

    /// Updates the row if it fulfils the condition. Returns `None` if no row has such a key.
    pub fn update(&self, key: &str, changes: &RowChanges, condition: &UpdateCondition) -> Option<Statement> {
        let mut update = self.begin("UPDATE clerk_user SET ");
        for (name, value) in assignments(changes) {
            update.sql(name).sql(" = ").value(value).sql(", ");
        }
        update.sql("updated_at = ").sql(self.now).sql(" WHERE id = ").value(Value::integer(number_of(key)?));
        if condition.only_if_unlinked {
            update.sql(" AND clerk_user_id IS NULL");
        }
        if condition.only_if_active {
            update.sql(" AND is_active");
        }
        if condition.only_if_banned {
            update.sql(" AND banned_by_clerk AND NOT is_active");
        }
        if let Some(version) = condition.max_version {
            update.sql(" AND (clerk_updated_at_ms IS NULL OR clerk_updated_at_ms <= ");
            update.value(Value::integer(version)).sql(")");
        }
        Some(update.statement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERED: Dialect = Dialect {
        has_numbered_placeholders: true,
        read_time: "ms(last_active_at)",
        write_time: ("time(", ")"),
        now: "now()",
        email_is: ("lower(email) = lower(", ")"),
        username_is: ("lower(username) = lower(", ")"),
        email_limit: 2,
    };

    #[test]
    fn values_are_placeholders_in_the_order_of_the_statement() {
        let changes = RowChanges {
            clerk_id: Some("user_ada".into()),
            email: Some(None),
            last_active_at_ms: Some(Some(5)),
            is_active: Some(false),
            ..RowChanges::default()
        };
        let statement = NUMBERED.create(&changes);
        let sql =
            "INSERT INTO clerk_user (clerk_user_id, email, last_active_at, is_active) VALUES ($1, $2, time($3), $4)";
        assert_eq!(statement.sql, sql);
        let values = [Value::text("user_ada"), Value::Text(None), Value::Time(Some(5)), Value::Boolean(Some(false))];
        assert_eq!(statement.values, values);
        let condition = UpdateCondition { max_version: Some(9), only_if_active: true, ..UpdateCondition::default() };
        let changes = RowChanges { username: Some("ada".into()), ..RowChanges::default() };
        let statement = NUMBERED.update("7", &changes, &condition).unwrap();
        let sql = "UPDATE clerk_user SET username = $1, updated_at = now() WHERE id = $2 AND is_active \
            AND (clerk_updated_at_ms IS NULL OR clerk_updated_at_ms <= $3)";
        assert_eq!((statement.sql.as_str(), statement.values.len()), (sql, 3));
    }

    #[test]
    fn time_that_an_engine_cannot_store_is_null() {
        for (ms, stored) in [(0, true), (MAX_TIME_MS, true), (-1, false), (MAX_TIME_MS + 1, false), (i64::MAX, false)] {
            let changes = RowChanges { last_active_at_ms: Some(Some(ms)), ..RowChanges::default() };
            assert_eq!(NUMBERED.create(&changes).values, [Value::Time(stored.then_some(ms))]);
        }
    }

    #[test]
    fn odd_keys_name_no_row() {
        for odd in ["", " 1", "1 ", "+1", "01", "1a", "9223372036854775808"] {
            assert_eq!(NUMBERED.find_by_key(odd), None, "{odd}");
        }
        assert_eq!(NUMBERED.find_by_key("-1").unwrap().values, [Value::integer(-1)]);
        assert!(!NUMBERED.username_taken("ada", Some("x")).sql.contains("<>"));
    }
}
