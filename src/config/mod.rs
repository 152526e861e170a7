//! Settings: `settings.rs` has one row for each, `parse.rs` reads their values, `secret.rs` hides what must not be shown.

mod parse;
mod secret;
mod settings;

use std::fmt;

pub use secret::Secret;
pub(crate) use settings::rows;
pub use settings::{
    AuthorizedPartiesMissing, Config, Csrf, Group, Handshake, HandshakeQuery, Kind, LinkByEmail, SETTINGS, UserMode,
};

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The setting's name, as in the table of settings.
    pub setting: &'static str,
    /// What is wrong and how to correct it. Never contains the value of a secret.
    pub message: String,
}

impl ConfigError {
    pub(crate) fn new(setting: &'static str, message: impl Into<String>) -> Self {
        ConfigError { setting, message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)
    }
}

impl std::error::Error for ConfigError {}

/// The setting's field in a `Config`.
type Accessor = fn(&mut Config) -> &mut dyn parse::Value;

/// The description of a setting at run time. A NUL byte follows each string in memory, for C.
#[derive(Clone, Copy)]
pub struct Setting {
    /// The name that all bindings use.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The group it is listed in.
    pub group: Group,
    /// The default, as [`Config::set`] reads it; "" without one.
    pub default: &'static str,
    /// The variable that [`Config::from_env`] reads; "" without one.
    pub env: &'static str,
    /// The description, in one line of Markdown.
    pub doc: &'static str,
    field: Accessor,
}

impl Setting {
    /// Finds the setting with this name.
    pub fn by_name(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    fn error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::new(self.name, message)
    }

    fn set(&self, config: &mut Config, value: &str) -> Result<(), ConfigError> {
        let set = |value: &str| (self.field)(config).set(self.kind, value);
        self.trim(value).and_then(set).map_err(|message| self.error(message))
    }

    fn set_int(&self, config: &mut Config, value: i64) -> Result<(), ConfigError> {
        (self.field)(config).set_int(self.kind, value).map_err(|message| self.error(message))
    }

    fn add(&self, config: &mut Config, item: &str) -> Result<(), ConfigError> {
        let add = |item: &str| match item {
            "" => Err("an item must not be empty".into()),
            item => (self.field)(config).add(item),
        };
        self.trim(item).and_then(add).map_err(|message| self.error(message))
    }

    /// Checks the rules for every value and item, and trims it. A secret must not become part of a log line or a request.
    fn trim<'a>(&self, value: &'a str) -> Result<&'a str, String> {
        let is_for_keys = matches!(self.kind, Kind::Secret | Kind::SecretList) || self.group == Group::Keys;
        match is_for_keys || !has_secret(value) {
            true => parse::trim(value),
            false => {
                Err("contains a key; keys are set as `secret_key`, `machine_secret_key` or `webhook_secrets`".into())
            }
        }
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Setting({})", self.name)
    }
}

impl Default for Config {
    /// Returns the defaults of the rows.
    fn default() -> Self {
        let mut config = Config::unset();
        for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
            let outcome = setting.set(&mut config, setting.default);
            debug_assert_eq!(outcome, Ok(()));
        }
        config
    }
}

impl Config {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets any setting by its name. The items of a list are separated by commas; an empty value clears an optional
    /// setting.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the setting.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        find(name)?.set(self, value)
    }

    /// Sets an integer, or with 0 and 1 a boolean, by its name.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the setting.
    pub fn set_int(&mut self, name: &str, value: i64) -> Result<(), ConfigError> {
        find(name)?.set_int(self, value)
    }

    /// Appends one item to a list by its name. The item may contain commas.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the setting.
    pub fn add(&mut self, name: &str, item: &str) -> Result<(), ConfigError> {
        find(name)?.add(self, item)
    }

    /// Sets every setting whose environment variable is set and not empty.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the setting.
    pub fn from_env(&mut self) -> Result<(), ConfigError> {
        for setting in SETTINGS.iter().filter(|setting| !setting.env.is_empty()) {
            match std::env::var(setting.env) {
                Ok(value) if !value.trim().is_empty() => setting.set(self, &value).map_err(|mut error| {
                    error.message = format!("{} (from {})", error.message, setting.env);
                    error
                })?,
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(setting.error(format!("{} is not UTF-8", setting.env)));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns whether a word of the value begins like one of Clerk's secrets.
fn has_secret(value: &str) -> bool {
    let is_separator = |c: char| c.is_whitespace() || ",;=:\"'`[]()".contains(c);
    value
        .split(is_separator)
        .any(|word| ["sk_live_", "sk_test_", "whsec_", "ak_"].iter().any(|start| word.starts_with(start)))
}

/// The longest name of a setting that is shown in an error.
const MAX_NAME_LEN: usize = 40;

fn find(name: &str) -> Result<&'static Setting, ConfigError> {
    if has_secret(name) {
        return Err(ConfigError::new("unknown setting", "a key is in the place of a setting's name"));
    }
    Setting::by_name(name).ok_or_else(|| {
        // Anything else may be a token, a key or another value in the place of a name.
        let is_like_a_name = name.len() <= MAX_NAME_LEN && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let message = match is_like_a_name {
            true => format!("no setting is named `{name}`; the README lists all settings"),
            false => "no setting has this name, which is not shown: names consist of a to z and `_`".to_owned(),
        };
        ConfigError::new("unknown setting", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::TokenKind;

    #[test]
    fn every_setting_is_set_by_name_and_checked_by_type() {
        let mut config = Config::new();
        for setting in SETTINGS {
            let (good, bad) = match setting.kind {
                Kind::String | Kind::Secret => ("x", None),
                Kind::List | Kind::SecretList => ("a, b", None),
                Kind::Int { min, .. } if min > 1 => ("60", Some("1.5")),
                Kind::Int { .. } => ("1", Some("1.5")),
                Kind::Bool => ("true", Some("yes")),
                Kind::Enum(names) | Kind::EnumSet(names) => (names[0], Some("other")),
            };
            config.set(setting.name, good).unwrap();
            if let Some(bad) = bad {
                assert_eq!(config.set(setting.name, bad).unwrap_err().setting, setting.name);
            }
        }
        assert_eq!(config.authorized_parties, ["a", "b"]);
        assert!(config.allow_bare_token);
    }

    #[test]
    fn every_row_has_a_valid_default_and_description() {
        for setting in SETTINGS {
            let mut config = Config::unset();
            if !setting.default.is_empty() {
                setting.set(&mut config, setting.default).unwrap();
            }
            assert!(setting.doc.len() > 10 && !setting.doc.ends_with('.') && !setting.doc.contains('|'), "{setting:?}");
            assert_eq!(SETTINGS.iter().filter(|other| other.name == setting.name).count(), 1, "{setting:?}");
        }
        let config = Config::new();
        assert_eq!((config.cache_capacity, config.api_url.as_str()), (10_000, "https://api.clerk.com"));
        assert_eq!((config.accepts_token, config.user_mode), (vec![TokenKind::SessionToken], None));
        assert!(config.treat_pending_as_signed_out && !config.check_client_uat);
    }

    #[test]
    fn lists_are_read_from_commas_and_json() {
        let mut config = Config::new();
        for (text, items) in
            [(" a , ,b", &["a", "b"][..]), (r#"["https://a", " b,c "]"#, &["https://a", "b,c"]), ("[]", &[]), ("", &[])]
        {
            config.set("authorized_parties", text).unwrap();
            assert_eq!(config.authorized_parties, items, "{text}");
        }
        for odd in ["[1]", "[a]", "[\"a\""] {
            let error = config.set("audience", odd).unwrap_err();
            assert_eq!(error.to_string(), "audience: invalid JSON array of strings", "{odd}");
        }
    }

    #[test]
    fn number_out_of_range_names_setting_and_limits() {
        let error = Config::new().set("clock_skew_ms", "300001").unwrap_err();
        assert_eq!(error.to_string(), "clock_skew_ms: 300001 is out of range: 0 to 300000");
        assert!(Config::new().set_int("secret_key", 1).is_err());
        assert!(Config::new().set_int("timeout_ms", 0).is_err());
        assert!(Config::new().set_int("allow_bare_token", 2).is_err());
    }

    #[test]
    fn unknown_names_and_wrong_adds_are_rejected() {
        assert!(Config::new().set("secretkey", "x").unwrap_err().to_string().contains("secretkey"));
        assert!(Config::new().add("secret_key", "x").is_err());
        assert!(Config::new().add("audience", " ").is_err());
        assert!(Config::new().set("jwt_key", "a\0b").is_err());
        assert!(Config::new().set("jwt_key", &"x".repeat((1 << 20) + 1)).is_err());
    }

    #[test]
    fn secret_in_the_place_of_another_value_is_rejected_and_not_shown() {
        let is_key = |setting: &&Setting| {
            setting.group == Group::Keys || matches!(setting.kind, Kind::Secret | Kind::SecretList)
        };
        for secret in ["sk_live_hidden", "sk_test_hidden", "whsec_hidden", "ak_hidden"] {
            for setting in SETTINGS.iter().filter(|setting| !is_key(setting)) {
                for value in [secret.to_owned(), format!(" \"{secret}\""), format!("https://a.example,{secret}")] {
                    let error = Config::new().set(setting.name, &value).unwrap_err();
                    assert!(error.setting == setting.name && !error.to_string().contains("hidden"), "{error}");
                    if matches!(setting.kind, Kind::List) {
                        assert!(!Config::new().add(setting.name, &value).unwrap_err().to_string().contains("hidden"));
                    }
                }
            }
            assert!(!Config::new().set(secret, "secret_key").unwrap_err().to_string().contains("hidden"));
        }
        let mut config = Config::new();
        config.set("user_agent", "risk_live_1 (task_test_2)").unwrap();
        config.set("audience", "desk_live_x").unwrap();
    }

    #[test]
    fn value_in_the_place_of_a_name_is_not_shown() {
        let shown = |name: &str| Config::new().set(name, "x").unwrap_err().to_string();
        for value in
            ["oat_7Fhidden", "mt_7Fhidden", "eyJhidden.e30.AAAA", "live_7Fhidden", "https://hidden", "-----BEGINhidden"]
        {
            assert!(!shown(value).contains("hidden"), "{}", shown(value));
        }
        assert!(!shown(&"hidden".repeat(10)).contains("hidden"));
        assert!(shown("secretkey").contains("`secretkey`"));
        assert!(SETTINGS.iter().all(|setting| setting.name.len() < MAX_NAME_LEN));
        assert!(SETTINGS.iter().all(|setting| setting.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }

    #[test]
    fn debug_hides_secrets() {
        let mut config = Config::new();
        config.set("secret_key", "sk_live_hidden").unwrap();
        config.add("webhook_secrets", "whsec_hidden").unwrap();
        assert!(!format!("{config:?}").contains("hidden"));
    }

    #[test]
    fn empty_value_clears_and_any_is_every_kind() {
        let mut config = Config::new();
        config.set("jwt_key", "x").unwrap();
        config.set("jwt_key", "").unwrap();
        assert_eq!(config.jwt_key, None);
        config.set("user_mode", "sync").unwrap();
        config.set("user_mode", "").unwrap();
        assert_eq!(config.user_mode, None);
        config.set("accepts_token", "any").unwrap();
        assert_eq!(config.accepts_token, TokenKind::ALL);
        config.set("accepts_token", "api_key,session_token,api_key").unwrap();
        assert_eq!(config.accepts_token, [TokenKind::SessionToken, TokenKind::ApiKey]);
        assert!(config.set("accepts_token", "").is_err());
    }
}
