//! Settings: their names, defaults and environment variables in one table, and the builder that holds them.

use std::fmt;

use crate::token::TokenKind;

/// A setting that cannot be used, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The setting's name, as in the table of settings.
    pub setting: &'static str,
    /// What is wrong and how to mend it. Never holds the value of a secret.
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

/// Text that must not be seen: `Debug` hides it and memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(zeroize::Zeroizing<String>);

impl Secret {
    /// Keeps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(zeroize::Zeroizing::new(text.into()))
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How much a client finds out about the user behind a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserMode {
    /// Nothing but what the token says.
    Claims,
    /// The Clerk user, fetched and cached; no table of the host's own.
    Profile,
    /// The host's own row, found, created or updated through the user store.
    Sync,
}

/// Whether an existing row may be taken over by its e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkByEmail {
    /// Rows are found by Clerk id only.
    Never,
    /// A row without a Clerk id is linked if Clerk has verified the address.
    Verified,
}

/// All settings, as given; [`crate::ClientBuilder::build`] judges them.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // each field is described once, in `SETTINGS`
pub struct Config {
    pub secret_key: Option<Secret>,
    pub publishable_key: Option<String>,
    pub jwt_key: Option<String>,
    pub machine_secret_key: Option<Secret>,
    pub jwks: Option<String>,
    pub jwks_url: Option<String>,
    pub api_url: String,
    pub authorized_parties: Vec<String>,
    pub audience: Vec<String>,
    pub issuer: Vec<String>,
    pub accepts_token: Vec<TokenKind>,
    pub clock_skew_ms: i64,
    pub timeout_ms: i64,
    pub cache_ttl_s: i64,
    pub cache_capacity: i64,
    pub user_ttl_s: i64,
    pub user_stale_if_error_s: i64,
    pub row_check_ttl_s: i64,
    pub user_mode: Option<UserMode>,
    pub link_by_email: LinkByEmail,
    pub treat_pending_as_signed_out: bool,
    pub allow_bare_token: bool,
    pub check_client_uat: bool,
    pub machine_cache_ttl_s: i64,
    pub expected_machine_id: Option<String>,
    pub session_check_ttl_s: i64,
    pub revocation_ttl_s: i64,
    pub ca_pem: Option<String>,
    pub proxy: Option<String>,
    pub user_agent: Option<String>,
    pub webhook_secrets: Vec<Secret>,
    pub instance_id: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            secret_key: None,
            publishable_key: None,
            jwt_key: None,
            machine_secret_key: None,
            jwks: None,
            jwks_url: None,
            api_url: "https://api.clerk.com".into(),
            authorized_parties: Vec::new(),
            audience: Vec::new(),
            issuer: Vec::new(),
            accepts_token: vec![TokenKind::SessionToken],
            clock_skew_ms: 5000,
            timeout_ms: 5000,
            cache_ttl_s: 300,
            cache_capacity: 10_000,
            user_ttl_s: 300,
            user_stale_if_error_s: 3600,
            row_check_ttl_s: 0,
            user_mode: None,
            link_by_email: LinkByEmail::Verified,
            treat_pending_as_signed_out: true,
            allow_bare_token: false,
            check_client_uat: false,
            machine_cache_ttl_s: 0,
            expected_machine_id: None,
            session_check_ttl_s: 0,
            revocation_ttl_s: 86_400,
            ca_pem: None,
            proxy: None,
            user_agent: None,
            webhook_secrets: Vec::new(),
            instance_id: None,
        }
    }
}

/// The type of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Text that is never shown.
    Secret,
    /// Texts; as one text they are separated by commas.
    List,
    /// Secrets; as one text they are separated by commas.
    SecretList,
    /// A whole number between the two limits.
    Int(i64, i64),
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One or more of these words, separated by commas.
    Words(&'static [&'static str]),
}

/// A row of the table of settings.
#[derive(Clone, Copy)]
pub struct Setting {
    /// The name that all bindings use.
    pub name: &'static str,
    /// The same with a NUL behind it.
    pub(crate) c_name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The default, for people.
    pub default: &'static str,
    /// The variable that [`Config::from_env`] reads, or "".
    pub env: &'static str,
    /// What it is for, in one line.
    pub doc: &'static str,
    field: Field,
}

#[derive(Clone, Copy)]
enum Field {
    Secret(fn(&mut Config) -> &mut Option<Secret>),
    Text(fn(&mut Config) -> &mut Option<String>),
    Url(fn(&mut Config) -> &mut String),
    List(fn(&mut Config) -> &mut Vec<String>),
    Secrets(fn(&mut Config) -> &mut Vec<Secret>),
    Int(fn(&mut Config) -> &mut i64),
    Bool(fn(&mut Config) -> &mut bool),
    Words(fn(&mut Config, &[&str])),
}

macro_rules! setting {
    ($name:ident, $kind:expr, $default:literal, $env:literal, $field:expr, $doc:literal) => {
        Setting {
            name: stringify!($name),
            c_name: concat!(stringify!($name), "\0"),
            kind: $kind,
            default: $default,
            env: $env,
            doc: $doc,
            field: $field,
        }
    };
}

/// The table of settings. The README's table is made from it.
pub const SETTINGS: &[Setting] = &[
    setting!(
        secret_key,
        Kind::Secret,
        "–",
        "CLERK_SECRET_KEY",
        Field::Secret(|c| &mut c.secret_key),
        "Clerk's secret key (`sk_live_…`): fetches signing keys and users"
    ),
    setting!(
        publishable_key,
        Kind::Text,
        "–",
        "CLERK_PUBLISHABLE_KEY",
        Field::Text(|c| &mut c.publishable_key),
        "names this instance's own session cookie among those of its neighbours"
    ),
    setting!(
        jwt_key,
        Kind::Text,
        "–",
        "CLERK_JWT_KEY",
        Field::Text(|c| &mut c.jwt_key),
        "public key to verify with, without any network: PEM (any mangling of line ends), bare base64, JWK or JWK set"
    ),
    setting!(
        machine_secret_key,
        Kind::Secret,
        "–",
        "CLERK_MACHINE_SECRET_KEY",
        Field::Secret(|c| &mut c.machine_secret_key),
        "verifies opaque M2M tokens granted to that machine; preferred to the secret key there"
    ),
    setting!(
        jwks,
        Kind::Text,
        "–",
        "",
        Field::Text(|c| &mut c.jwks),
        "JWK set as JSON text, for a start without network"
    ),
    setting!(
        jwks_url,
        Kind::Text,
        "–",
        "",
        Field::Text(|c| &mut c.jwks_url),
        "public address of the JWK set, fetched without the secret key (`https://<frontend API>/.well-known/jwks.json`)"
    ),
    setting!(
        api_url,
        Kind::Text,
        "https://api.clerk.com",
        "CLERK_API_URL",
        Field::Url(|c| &mut c.api_url),
        "the Backend API, with or without `/v1`; governs every call; `http` only on loopback"
    ),
    setting!(
        authorized_parties,
        Kind::List,
        "–",
        "CLERK_AUTH_PARTIES",
        Field::List(|c| &mut c.authorized_parties),
        "origins that `azp` must be one of, compared exactly; empty enforces nothing"
    ),
    setting!(
        audience,
        Kind::List,
        "–",
        "CLERK_AUDIENCE",
        Field::List(|c| &mut c.audience),
        "audiences of which `aud` must hold one; empty enforces nothing"
    ),
    setting!(
        issuer,
        Kind::List,
        "–",
        "",
        Field::List(|c| &mut c.issuer),
        "issuers that `iss` must be one of; empty enforces nothing"
    ),
    setting!(
        accepts_token,
        Kind::Words(&["session_token", "api_key", "oauth_token", "m2m_token", "any"]),
        "session_token",
        "",
        Field::Words(|c, words| {
            c.accepts_token = if words.contains(&"any") {
                TokenKind::ALL.to_vec()
            } else {
                words.iter().filter_map(|w| TokenKind::from_word(w)).collect()
            }
        }),
        "kinds of tokens that are let in; machine tokens come in the header only"
    ),
    setting!(
        clock_skew_ms,
        Kind::Int(0, 300_000),
        "5000",
        "CLERK_CLOCK_SKEW_IN_MS",
        Field::Int(|c| &mut c.clock_skew_ms),
        "how far this clock and Clerk's may be apart"
    ),
    setting!(
        timeout_ms,
        Kind::Int(1, 60_000),
        "5000",
        "CLERK_TIMEOUT_MS",
        Field::Int(|c| &mut c.timeout_ms),
        "one budget for all tries of a call: name look-up, connection, TLS, answer"
    ),
    setting!(
        cache_ttl_s,
        Kind::Int(0, 86_400),
        "300",
        "CLERK_CACHE_TIMEOUT",
        Field::Int(|c| &mut c.cache_ttl_s),
        "how long a verified token is remembered, never past its own end; 0 remembers nothing"
    ),
    setting!(
        cache_capacity,
        Kind::Int(1, 1_000_000),
        "10000",
        "",
        Field::Int(|c| &mut c.cache_capacity),
        "how many verified tokens (and as many users) are remembered"
    ),
    setting!(
        user_ttl_s,
        Kind::Int(0, 86_400),
        "300",
        "",
        Field::Int(|c| &mut c.user_ttl_s),
        "how long a fetched user is trusted without asking Clerk; 0 asks for each new token"
    ),
    setting!(
        user_stale_if_error_s,
        Kind::Int(0, 86_400),
        "3600",
        "",
        Field::Int(|c| &mut c.user_stale_if_error_s),
        "how old a fetched user may be when Clerk is out of reach; 0 serves none"
    ),
    setting!(
        row_check_ttl_s,
        Kind::Int(0, 3600),
        "0",
        "",
        Field::Int(|c| &mut c.row_check_ttl_s),
        "how long the store's word that a row stands and is active is trusted; 0 asks on every hit"
    ),
    setting!(
        user_mode,
        Kind::Word(&["claims", "profile", "sync"]),
        "sync with a store, else claims",
        "",
        Field::Words(|c, words| {
            c.user_mode = match words.first() {
                Some(&"claims") => Some(UserMode::Claims),
                Some(&"profile") => Some(UserMode::Profile),
                Some(&"sync") => Some(UserMode::Sync),
                _ => None,
            }
        }),
        "`claims`: the token alone; `profile`: the Clerk user, cached; `sync`: the host's own row"
    ),
    setting!(
        link_by_email,
        Kind::Word(&["never", "verified"]),
        "verified",
        "",
        Field::Words(|c, words| {
            c.link_by_email = if words == ["never"] { LinkByEmail::Never } else { LinkByEmail::Verified }
        }),
        "whether a row without a Clerk id is taken over by an address that Clerk has verified"
    ),
    setting!(
        treat_pending_as_signed_out,
        Kind::Bool,
        "true",
        "",
        Field::Bool(|c| &mut c.treat_pending_as_signed_out),
        "reject sessions with open tasks (choosing an organization, setting up MFA)"
    ),
    setting!(
        allow_bare_token,
        Kind::Bool,
        "false",
        "",
        Field::Bool(|c| &mut c.allow_bare_token),
        "accept an `Authorization` value that is a bare token"
    ),
    setting!(
        check_client_uat,
        Kind::Bool,
        "false",
        "",
        Field::Bool(|c| &mut c.check_client_uat),
        "check the `__client_uat` cookie too, so that signing out takes effect before the token expires"
    ),
    setting!(
        machine_cache_ttl_s,
        Kind::Int(0, 300),
        "0",
        "",
        Field::Int(|c| &mut c.machine_cache_ttl_s),
        "how long the answer for an opaque machine token is remembered; 0 asks each time, so revoking shows at once"
    ),
    setting!(
        expected_machine_id,
        Kind::Text,
        "–",
        "",
        Field::Text(|c| &mut c.expected_machine_id),
        "the machine (`mch_…`) that an M2M token must be scoped to"
    ),
    setting!(
        session_check_ttl_s,
        Kind::Int(0, 3600),
        "0 (off)",
        "",
        Field::Int(|c| &mut c.session_check_ttl_s),
        "ask Clerk whether the session still stands, and trust the answer so long"
    ),
    setting!(
        revocation_ttl_s,
        Kind::Int(60, 315_360_000),
        "86400",
        "",
        Field::Int(|c| &mut c.revocation_ttl_s),
        "no session token lives longer: for so long webhooks keep ended sessions and deleted users out"
    ),
    setting!(
        ca_pem,
        Kind::Text,
        "the system's",
        "",
        Field::Text(|c| &mut c.ca_pem),
        "certificates (PEM) to trust instead of the system's"
    ),
    setting!(
        proxy,
        Kind::Text,
        "–",
        "",
        Field::Text(|c| &mut c.proxy),
        "HTTP proxy for calls to Clerk; the environment is never consulted"
    ),
    setting!(
        user_agent,
        Kind::Text,
        "`clerk-auth@…`",
        "",
        Field::Text(|c| &mut c.user_agent),
        "`User-Agent` of calls to Clerk"
    ),
    setting!(
        webhook_secrets,
        Kind::SecretList,
        "–",
        "CLERK_WEBHOOK_SIGNING_SECRET",
        Field::Secrets(|c| &mut c.webhook_secrets),
        "signing secrets of webhook endpoints (`whsec_…`), several while rotating"
    ),
    setting!(
        instance_id,
        Kind::Text,
        "–",
        "",
        Field::Text(|c| &mut c.instance_id),
        "webhooks of other instances (`ins_…`) are ignored"
    ),
];

const LONGEST_VALUE: usize = 1 << 20;

impl Setting {
    /// The row with this name.
    pub fn named(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|s| s.name == name)
    }

    fn error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::new(self.name, message)
    }

    fn set(&self, config: &mut Config, value: &str) -> Result<(), ConfigError> {
        if value.len() > LONGEST_VALUE || value.contains('\0') {
            return Err(self.error("the value is longer than 1 MiB or holds a NUL byte"));
        }
        let value = value.trim();
        let listed: Vec<String> = match value.starts_with('[') {
            // As other packages that read these variables have it.
            true => {
                serde_json::from_str(value).map_err(|_| self.error("begins as a JSON list of texts and is none"))?
            }
            false => value.split(',').map(str::to_owned).collect(),
        };
        let items = || listed.iter().map(|item| item.trim()).filter(|item| !item.is_empty());
        match self.field {
            Field::Secret(field) => *field(config) = Some(value).filter(|v| !v.is_empty()).map(Secret::new),
            Field::Text(field) => *field(config) = Some(value).filter(|v| !v.is_empty()).map(Into::into),
            Field::Url(field) => *field(config) = value.into(),
            Field::List(field) => *field(config) = items().map(Into::into).collect(),
            Field::Secrets(field) => *field(config) = items().map(Secret::new).collect(),
            Field::Int(_) => {
                let number = value.parse().map_err(|_| self.error("a whole number is needed"))?;
                return self.set_int(config, number);
            }
            Field::Bool(field) => {
                *field(config) = match value {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err(self.error("`true` or `false` is needed")),
                }
            }
            Field::Words(apply) => {
                let words: Vec<&str> = items().collect();
                let (known, many) = match self.kind {
                    Kind::Words(known) => (known, true),
                    Kind::Word(known) => (known, false),
                    _ => (&[][..], false),
                };
                if words.is_empty() || words.iter().any(|w| !known.contains(w)) || (!many && words.len() > 1) {
                    let these = if many { "one or more of" } else { "one of" };
                    return Err(self.error(format!("{these} `{}` is needed", known.join("`, `"))));
                }
                apply(config, &words);
            }
        }
        Ok(())
    }

    fn set_int(&self, config: &mut Config, number: i64) -> Result<(), ConfigError> {
        match (self.field, self.kind) {
            (Field::Int(field), Kind::Int(low, high)) if (low..=high).contains(&number) => *field(config) = number,
            (Field::Int(_), Kind::Int(low, high)) => {
                return Err(self.error(format!("{number} is out of range: {low} to {high}")));
            }
            (Field::Bool(field), _) if number == 0 || number == 1 => *field(config) = number == 1,
            _ => return Err(self.error("this setting does not take a number")),
        }
        Ok(())
    }

    fn add(&self, config: &mut Config, item: &str) -> Result<(), ConfigError> {
        let item = item.trim();
        if item.is_empty() || item.len() > LONGEST_VALUE || item.contains('\0') {
            return Err(self.error("an item of this list must not be empty, longer than 1 MiB or hold a NUL byte"));
        }
        match self.field {
            Field::List(field) => field(config).push(item.into()),
            Field::Secrets(field) => field(config).push(Secret::new(item)),
            _ => return Err(self.error("this setting is not a list; set it whole")),
        }
        Ok(())
    }
}

impl Config {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets any setting by its name. Lists are separated by commas; an empty text clears an optional setting.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        known(name)?.set(self, value)
    }

    /// Sets a number (or, with 0 and 1, a yes-or-no) by its name.
    pub fn set_int(&mut self, name: &str, value: i64) -> Result<(), ConfigError> {
        known(name)?.set_int(self, value)
    }

    /// Adds one item to a list by its name; the item may hold commas.
    pub fn add(&mut self, name: &str, item: &str) -> Result<(), ConfigError> {
        known(name)?.add(self, item)
    }

    /// Takes over every setting whose environment variable is set and not empty.
    pub fn from_env(&mut self) -> Result<(), ConfigError> {
        for setting in SETTINGS.iter().filter(|s| !s.env.is_empty()) {
            match std::env::var(setting.env) {
                Ok(value) if !value.trim().is_empty() => setting.set(self, &value).map_err(|mut e| {
                    e.message = format!("{} (from {})", e.message, setting.env);
                    e
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

fn known(name: &str) -> Result<&'static Setting, ConfigError> {
    Setting::named(name).ok_or_else(|| {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        ConfigError::new("unknown setting", format!("there is no setting `{shown}`; the README lists them all"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_reached_by_name_and_judged_by_type() {
        let mut config = Config::new();
        for setting in SETTINGS {
            let (good, bad) = match setting.kind {
                Kind::Text | Kind::Secret => ("x", None),
                Kind::List | Kind::SecretList => ("a, b", None),
                Kind::Int(low, _) if low > 1 => ("60", Some("1.5")),
                Kind::Int(..) => ("1", Some("1.5")),
                Kind::Bool => ("true", Some("yes")),
                Kind::Word(words) | Kind::Words(words) => (words[0], Some("other")),
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
    fn lists_come_with_commas_or_as_json() {
        let mut config = Config::new();
        for (text, items) in
            [(" a , ,b", &["a", "b"][..]), (r#"["https://a", " b,c "]"#, &["https://a", "b,c"]), ("[]", &[]), ("", &[])]
        {
            config.set("authorized_parties", text).unwrap();
            assert_eq!(config.authorized_parties, items, "{text}");
        }
        for odd in ["[1]", "[a]", "[\"a\""] {
            assert_eq!(config.set("audience", odd).unwrap_err().setting, "audience", "{odd}");
        }
    }

    #[test]
    fn numbers_out_of_range_name_the_setting_and_the_limits() {
        let error = Config::new().set("clock_skew_ms", "300001").unwrap_err();
        assert_eq!(error.to_string(), "clock_skew_ms: 300001 is out of range: 0 to 300000");
        assert!(Config::new().set_int("secret_key", 1).is_err());
        assert!(Config::new().set_int("timeout_ms", 0).is_err());
    }

    #[test]
    fn unknown_names_and_wrong_adds_are_refused() {
        assert!(Config::new().set("secretkey", "x").unwrap_err().to_string().contains("secretkey"));
        assert!(Config::new().add("secret_key", "x").is_err());
        assert!(Config::new().add("audience", " ").is_err());
    }

    #[test]
    fn secrets_do_not_show() {
        let mut config = Config::new();
        config.set("secret_key", "sk_live_hidden").unwrap();
        config.add("webhook_secrets", "whsec_hidden").unwrap();
        assert!(!format!("{config:?}").contains("hidden"));
    }

    #[test]
    fn an_empty_text_clears_and_any_means_all_kinds() {
        let mut config = Config::new();
        config.set("jwt_key", "x").unwrap();
        config.set("jwt_key", "").unwrap();
        assert_eq!(config.jwt_key, None);
        config.set("accepts_token", "any").unwrap();
        assert_eq!(config.accepts_token, TokenKind::ALL);
        assert!(config.set("accepts_token", "").is_err());
    }
}
