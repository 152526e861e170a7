//! Values of statements and of result rows, and the user's row that a result row contains.

use crate::users::Row;

/// A value of a statement or of a result row, with the type of its column also if it is NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
    Boolean(Option<bool>),
    /// Milliseconds since 1970.
    Time(Option<i64>),
}

impl Value {
    pub fn text(value: impl Into<String>) -> Self {
        Value::Text(Some(value.into()))
    }

    pub fn integer(value: i64) -> Self {
        Value::Integer(Some(value))
    }
}

/// Returns the user's row of a result row with the columns of [`super::Dialect::columns`]; `None` if a value has another type.
pub fn row_of(values: Vec<Value>) -> Option<Row> {
    let mut values = values.into_iter();
    let mut text = || match values.next()? {
        Value::Text(text) => Some(text),
        // Only some drivers know the type of NULL.
        Value::Integer(None) | Value::Boolean(None) | Value::Time(None) => Some(None),
        _ => None,
    };
    let (clerk_id, email, username) = (text()?, text()?, text()?);
    let (first_name, last_name, image_url) = (text()?, text()?, text()?);
    let mut number = || match values.next()? {
        Value::Integer(number) | Value::Time(number) => Some(number),
        Value::Boolean(flag) => Some(flag.map(i64::from)),
        Value::Text(None) => Some(None),
        Value::Text(Some(_)) => None,
    };
    let key = number()??.to_string();
    let last_active_at_ms = number()?;
    // Any other number comes from damaged data.
    let mut flag = || match number()?? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    };
    let (is_active, banned_by_clerk) = (flag()?, flag()?);
    let clerk_updated_at_ms = number()?;
    Some(Row {
        key,
        clerk_id,
        email,
        username,
        first_name,
        last_name,
        image_url,
        last_active_at_ms,
        is_active,
        banned_by_clerk,
        clerk_updated_at_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Vec<Value> {
        let mut values: Vec<Value> = ["user_ada", "ada@x", "ada", "Ada", "L", "https://i"].map(Value::text).into();
        values.extend([7, 5].map(Value::integer));
        values.extend([Value::Boolean(Some(true)), Value::integer(0), Value::Text(None)]);
        values
    }

    #[test]
    fn values_of_each_driver_make_a_row() {
        let row = row_of(values()).unwrap();
        assert_eq!(
            (row.key.as_str(), row.clerk_id.as_deref(), row.last_active_at_ms),
            ("7", Some("user_ada"), Some(5))
        );
        assert_eq!((row.is_active, row.banned_by_clerk, row.clerk_updated_at_ms), (true, false, None));
    }

    #[test]
    fn values_of_another_type_make_no_row() {
        for (at, odd) in [
            (0, Value::integer(1)),
            (6, Value::Integer(None)),
            (6, Value::text("7")),
            (8, Value::integer(2)),
            (9, Value::Boolean(None)),
        ] {
            let mut values = values();
            values[at] = odd;
            assert_eq!(row_of(values), None, "{at}");
        }
        assert_eq!(row_of(values()[..10].to_vec()), None);
    }
}
