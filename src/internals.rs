//! What this project's own tests and benches use beyond the API. Not part of the API: it changes without notice.

pub use crate::api::ClerkUser;
use crate::client::ClientBuilder;
pub use crate::config::{Config, ConfigError, Group, Kind, SETTINGS, Setting};
pub use crate::jwt::{Claims, UnverifiedJwt, VerifyingKey};
pub use crate::keys::KeySet;
pub use crate::request::{Credential, ExtractOptions, MAX_TOKEN_LEN, decode_unverified, extract};

/// Returns a builder with these settings.
pub fn builder(config: Config) -> ClientBuilder {
    ClientBuilder { config, ..ClientBuilder::default() }
}

/// The C ABI, as `tests/corpus-replay` calls it.
pub mod ffi {
    pub use crate::ffi::*;
}

/// Verification keys in the formats of `jwt_key`.
pub mod keys {
    pub use crate::keys::parse;
}

/// Publishable keys.
pub mod publishable_key {
    pub use crate::publishable_key::parse;
}
