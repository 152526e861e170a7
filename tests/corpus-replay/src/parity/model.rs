//! The user models of the recordings: which columns they have, and how much fits in them.

use clerk_auth::internals::ffi::clerk_column;
use serde_json::Value;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// Milliseconds since 1970.
    Time,
    Flag,
}

/// A column by its name in the recordings, and what the library calls it.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    /// NULL is written as an empty text.
    pub is_required: bool,
    pub is_unique: bool,
    pub clerk: Option<clerk_column>,
    /// In characters; 0 is no limit.
    pub longest: u32,
}

impl Column {
    /// For `CREATE TABLE`.
    pub fn sql(&self) -> String {
        let (kind, default) = match self.kind {
            Kind::Text => ("TEXT", if self.is_required { "NOT NULL DEFAULT ''" } else { "" }),
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

const fn text(name: &'static str, clerk: clerk_column, longest: u32) -> Column {
    Column { name, kind: Kind::Text, is_required: false, is_unique: false, clerk: Some(clerk), longest }
}

const fn flag(name: &'static str, clerk: Option<clerk_column>) -> Column {
    Column { name, kind: Kind::Flag, is_required: true, is_unique: false, clerk, longest: 0 }
}

/// The packaged model, which has all of them.
const ALL: [Column; 10] = [
    Column { is_unique: true, ..text("clerk_user_id", clerk_column::CLERK_ID, 0) },
    Column { is_unique: true, ..text("email", clerk_column::EMAIL, 254) },
    Column { is_unique: true, is_required: true, ..text("username", clerk_column::USERNAME, 255) },
    Column { is_required: true, ..text("first_name", clerk_column::FIRST_NAME, 255) },
    Column { is_required: true, ..text("last_name", clerk_column::LAST_NAME, 255) },
    text("image", clerk_column::IMAGE_URL, 200),
    Column { kind: Kind::Time, ..text("last_active_at", clerk_column::LAST_ACTIVE_AT_MS, 0) },
    flag("is_active", Some(clerk_column::IS_ACTIVE)),
    flag("is_staff", None),
    flag("is_superuser", None),
];

/// The library's own column, which the seed does not know.
const BANNED: Column = flag("banned_by_clerk", Some(clerk_column::BANNED_BY_CLERK));

/// The columns of each model, for scenarios in which no row of it is seen.
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
    /// The model of a scenario: with the columns that its rows have, or else with those known of the model.
    pub fn of(scenario: &Value) -> crate::Result<Model> {
        let name = scenario["model"].as_str().unwrap_or_default();
        let known = MODELS.iter().find(|(own, _)| *own == name).map(|(_, columns)| *columns);
        let seen = |list: &Value| list.as_array().and_then(|rows| rows.first()?.as_object().cloned());
        let recorded = scenario["recorded"].as_array().into_iter().flatten();
        let row = recorded.filter_map(|request| seen(&request["rows"])).next();
        let has = |column: &Column| match (&row, known) {
            (Some(row), _) => row.contains_key(column.name),
            (None, Some(names)) => names.contains(&column.name),
            (None, None) => false,
        };
        if row.is_none() && known.is_none() {
            return Err(format!("model {name}: unknown").into());
        }
        let mut columns: Vec<Column> = ALL.into_iter().filter(has).collect();
        // Without `is_active` there is nobody to be let in again.
        columns.extend(columns.iter().any(|column| column.name == "is_active").then_some(BANNED));
        for column in &mut columns {
            match (name, column.name) {
                // Those of django.contrib.auth.
                ("auth_user", "email") => (column.is_required, column.is_unique) = (true, false),
                ("auth_user", "username" | "first_name" | "last_name") => column.longest = 150,
                ("short_username", "username") => column.longest = 10,
                _ => {}
            }
        }
        Ok(Model { columns })
    }

    /// For `clerk_config_set_user_columns`.
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
    fn rows_tell_the_columns_and_names_tell_the_rest() {
        let scenario = json!({"model": "no_active", "recorded": [{"rows": []}, {"rows": [{"id": 1, "email": "x"}]}]});
        assert_eq!(names(&scenario), ["email"]);
        assert_eq!(names(&json!({"model": "clerk_id_only"})), ["clerk_user_id", "is_active", "banned_by_clerk"]);
        assert_eq!(names(&json!({"model": "bare"})), [""; 0]);
        assert!(Model::of(&json!({"model": "other"})).is_err());
    }

    #[test]
    fn the_mask_is_the_librarys() {
        assert_eq!(Model::of(&json!({"model": "clerk_user"})).unwrap().mask(), 0x1ff);
        assert_eq!(Model::of(&json!({"model": "auth_user"})).unwrap().mask(), 0b1_1001_1110);
    }
}
