//! Reads the value of a setting from a string, a number or an item of a list.

use super::secret::Secret;
use super::settings::{AuthorizedPartiesMissing, Csrf, Handshake, HandshakeQuery, Kind, LinkByEmail, UserMode};
use crate::token::TokenKind;

/// The longest value of a setting, in bytes.
const MAX_VALUE_LEN: usize = 1 << 20;

/// A field of `Config` of any type. Error messages do not contain the value.
pub(super) trait Value {
    /// Replaces the value. `value` is trimmed and at most 1 MiB long.
    fn set(&mut self, kind: Kind, value: &str) -> Result<(), String>;

    /// Replaces the value by a number.
    fn set_int(&mut self, _: Kind, _: i64) -> Result<(), String> {
        Err("does not take a number".into())
    }

    /// Appends one item.
    fn add(&mut self, _: &str) -> Result<(), String> {
        Err("is not a list; set the whole value".into())
    }
}

/// Checks the rules for every value and item, and trims it.
pub(super) fn trim(value: &str) -> Result<&str, String> {
    if value.len() > MAX_VALUE_LEN {
        return Err("must be at most 1 MiB long".into());
    }
    if value.contains('\0') {
        return Err("must not contain a NUL byte".into());
    }
    Ok(value.trim())
}

/// The items of a list: separated by commas, or a JSON array of strings, as other Clerk packages read these variables.
fn items(value: &str) -> Result<Vec<String>, String> {
    let items: Vec<String> = match value.starts_with('[') {
        true => serde_json::from_str(value).map_err(|_| "invalid JSON array of strings")?,
        false => value.split(',').map(str::to_owned).collect(),
    };
    Ok(items.iter().map(|item| item.trim()).filter(|item| !item.is_empty()).map(str::to_owned).collect())
}

fn one_of(kind: Kind) -> String {
    let (how, names) = match kind {
        Kind::EnumSet(names) => ("one or more of", names),
        Kind::Enum(names) => ("one of", names),
        _ => ("one of", &[][..]),
    };
    format!("must be {how} `{}`", names.join("`, `"))
}

impl Value for String {
    fn set(&mut self, _: Kind, value: &str) -> Result<(), String> {
        *self = value.into();
        Ok(())
    }
}

impl Value for Option<String> {
    fn set(&mut self, _: Kind, value: &str) -> Result<(), String> {
        *self = Some(value).filter(|value| !value.is_empty()).map(Into::into);
        Ok(())
    }
}

impl Value for Option<Secret> {
    fn set(&mut self, _: Kind, value: &str) -> Result<(), String> {
        *self = Some(value).filter(|value| !value.is_empty()).map(Secret::new);
        Ok(())
    }
}

impl Value for Vec<String> {
    fn set(&mut self, _: Kind, value: &str) -> Result<(), String> {
        *self = items(value)?;
        Ok(())
    }

    fn add(&mut self, item: &str) -> Result<(), String> {
        self.push(item.into());
        Ok(())
    }
}

impl Value for Vec<Secret> {
    fn set(&mut self, _: Kind, value: &str) -> Result<(), String> {
        *self = items(value)?.into_iter().map(Secret::new).collect();
        Ok(())
    }

    fn add(&mut self, item: &str) -> Result<(), String> {
        self.push(Secret::new(item));
        Ok(())
    }
}

impl Value for i64 {
    fn set(&mut self, kind: Kind, value: &str) -> Result<(), String> {
        self.set_int(kind, value.parse().map_err(|_| "must be an integer")?)
    }

    fn set_int(&mut self, kind: Kind, value: i64) -> Result<(), String> {
        let Kind::Int { min, max } = kind else { return Err("does not take a number".into()) };
        if !(min..=max).contains(&value) {
            return Err(format!("{value} is out of range: {min} to {max}"));
        }
        *self = value;
        Ok(())
    }
}

impl Value for bool {
    fn set(&mut self, _: Kind, value: &str) -> Result<(), String> {
        *self = match value {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return Err("must be `true` or `false`".into()),
        };
        Ok(())
    }

    fn set_int(&mut self, _: Kind, value: i64) -> Result<(), String> {
        if value != 0 && value != 1 {
            return Err(format!("{value} is out of range: 0 to 1"));
        }
        *self = value == 1;
        Ok(())
    }
}

impl Value for Option<UserMode> {
    fn set(&mut self, kind: Kind, value: &str) -> Result<(), String> {
        *self = match value {
            "" => None,
            name => Some(name.parse().map_err(|_| one_of(kind))?),
        };
        Ok(())
    }
}

macro_rules! enum_value {
    ($($enumeration:ident)+) => {
        $(impl Value for $enumeration {
            fn set(&mut self, kind: Kind, value: &str) -> Result<(), String> {
                *self = value.parse().map_err(|_| one_of(kind))?;
                Ok(())
            }
        })+
    };
}
enum_value!(LinkByEmail Csrf Handshake HandshakeQuery AuthorizedPartiesMissing);

impl Value for Vec<TokenKind> {
    fn set(&mut self, kind: Kind, value: &str) -> Result<(), String> {
        let mut kinds = Vec::new();
        for name in items(value)? {
            match name.as_str() {
                "any" => kinds.extend(TokenKind::ALL),
                name => kinds.push(name.parse().map_err(|_| one_of(kind))?),
            }
        }
        if kinds.is_empty() {
            return Err(one_of(kind));
        }
        kinds.sort();
        kinds.dedup();
        *self = kinds;
        Ok(())
    }
}
