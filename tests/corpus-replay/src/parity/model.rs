//! The user models of the recordings: their columns and the maximum lengths.

use clerk_auth::internals::ffi::clerk_column;
use serde_json::Value;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    /// Unix time in milliseconds.
    Time,
    Flag,
}

/// A column: its name in the recordings, and the library's column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    /// NULL is written as an empty string.
    pub is_required: bool,
    pub is_unique: bool,
    pub clerk: Option<clerk_column>,
    /// Maximum length in characters; 0 means no limit.
    pub max_len: u32,
}

impl Column {
    /// Returns the column definition for `CREATE TABLE`.
    pub fn sql(&self) -> String {
        let (kind, default) = match self.kind {
            Kind::String => ("TEXT", if self.is_required { "NOT NULL DEFAULT ''" } else { "" }),
            Kind::Time => ("INTEGER", ""),
            Kind::Flag => {
                ("INTEGER", if self.name == "is_active" { "NOT NULL DEFAULT 1" } else { "NOT NULL DEFAULT 0" })
            }
        };
        let unique = if self.is_unique { "UNIQUE" } else { "" };
        format!("{} {kind} {default} {unique}", self.name)
    }
}

/// A user model.
#[derive(Debug)]
pub struct Model {
    pub columns: Vec<Column>,
}

const fn string(name: &'static str, clerk: clerk_column, max_len: u32) -> Column {
    Column { name, kind: Kind::String, is_required: false, is_unique: false, clerk: Some(clerk), max_len }
}

const fn flag(name: &'static str, clerk: Option<clerk_column>) -> Column {
    Column { name, kind: Kind::Flag, is_required: true, is_unique: false, clerk, max_len: 0 }
}

/// The columns of the packaged model, which has all.
const ALL: [Column; 10] = [
    Column { is_unique: true, ..string("clerk_user_id", clerk_column::CLERK_ID, 0) },
    Column { is_unique: true, ..string("email", clerk_column::EMAIL, 254) },
    Column { is_unique: true, is_required: true, ..string("username", clerk_column::USERNAME, 255) },
    Column { is_required: true, ..string("first_name", clerk_column::FIRST_NAME, 255) },
    Column { is_required: true, ..string("last_name", clerk_column::LAST_NAME, 255) },
    string("image", clerk_column::IMAGE_URL, 200),
    Column { kind: Kind::Time, ..string("last_active_at", clerk_column::LAST_ACTIVE_AT_MS, 0) },
    flag("is_active", Some(clerk_column::IS_ACTIVE)),
    flag("is_staff", None),
    flag("is_superuser", None),
];

/// The library's own column, which django-clerk-sdk does not have.
const BANNED: Column = flag("banned_by_clerk", Some(clerk_column::BANNED_BY_CLERK));

/// The columns of each model, for scenarios that record no row.
const MODELS: [(&str, &[&str]); 7] = [
    (
        "clerk_user",
        &["clerk_user_id", "email", "username", "first_name", "last_name", "image", "last_active_at", "is_active"],
    ),
    ("auth_user", &["email", "username", "first_name", "last_name", "is_active"]),
    ("short_username", &["clerk_user_id", "email", "username", "is_active"]),
    ("no_active", &["clerk_user_id", "email", "username"]),
    ("email_only", &["email", "is_active"]),
    ("clerk_id_only", &["clerk_user_id", "is_active"]),
    ("bare", &[]),
];

impl Model {
    /// Returns the model of a scenario, with the columns of its recorded rows, or else those of the model's name.
    pub fn of(scenario: &Value) -> crate::Result<Model> {
        let name = scenario["model"].as_str().unwrap_or_default();
        let known = MODELS.iter().find(|(model, _)| *model == name).map(|(_, columns)| *columns);
        let first_row = |list: &Value| list.as_array().and_then(|rows| rows.first()?.as_object().cloned());
        let recorded = scenario["recorded"].as_array().into_iter().flatten();
        let row = recorded.filter_map(|request| first_row(&request["rows"])).next();
        let has = |column: &Column| match (&row, known) {
            (Some(row), _) => row.contains_key(column.name),
            (None, Some(names)) => names.contains(&column.name),
            (None, None) => false,
        };
        if row.is_none() && known.is_none() {
            return Err(format!("model {name}: unknown").into());
        }
        let mut columns: Vec<Column> = ALL.into_iter().filter(has).collect();
        // The column is about who may set `is_active` again.
        columns.extend(columns.iter().any(|column| column.name == "is_active").then_some(BANNED));
        for column in &mut columns {
            match (name, column.name) {
                // As in django.contrib.auth.
                ("auth_user", "email") => (column.is_required, column.is_unique) = (true, false),
                ("auth_user", "username" | "first_name" | "last_name") => column.max_len = 150,
                ("short_username", "username") => column.max_len = 10,
                _ => {}
            }
        }
        Ok(Model { columns })
    }

    /// Returns the argument of `clerk_config_set_user_columns`.
    pub fn mask(&self) -> u32 {
        self.columns.iter().filter_map(|column| column.clerk).map(|column| 1 << column as u32).sum()
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(scenario: &Value) -> Vec<&'static str> {
        Model::of(scenario).unwrap().columns.iter().map(|column| column.name).collect()
    }

    #[test]
    fn model_columns_come_from_rows_or_model_name() {
        let scenario = json!({"model": "no_active", "recorded": [{"rows": []}, {"rows": [{"id": 1, "email": "x"}]}]});
        assert_eq!(names(&scenario), ["email"]);
        assert_eq!(names(&json!({"model": "clerk_id_only"})), ["clerk_user_id", "is_active", "banned_by_clerk"]);
        assert_eq!(names(&json!({"model": "bare"})), [""; 0]);
        assert!(Model::of(&json!({"model": "other"})).is_err());
    }

    #[test]
    fn model_mask_has_the_bits_of_the_columns() {
        assert_eq!(Model::of(&json!({"model": "clerk_user"})).unwrap().mask(), 0x1ff);
        assert_eq!(Model::of(&json!({"model": "auth_user"})).unwrap().mask(), 0b1_1001_1110);
    }
}
