//! The trait that an engine of the shared cache implements, and the engine within this process.

use std::fmt;
use std::time::Duration;

/// Maximum length of a key and of the name of a stream, in bytes; printable ASCII.
pub const MAX_KEY_LEN: usize = 96;
/// Maximum length of a value, in bytes.
pub const MAX_VALUE_LEN: usize = 64 * 1024;
/// Maximum length of the id of a stream's entry, in bytes.
pub const MAX_ID_LEN: usize = 64;

/// Why an engine did not execute an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineError {
    /// There was no reply in time, or no connection.
    Unavailable(String),
    /// The engine refuses the operation, and would refuse it again: a password is missing or wrong, a right is missing, or a
    /// command is unknown.
    Refused(String),
    /// The engine has no streams.
    Unsupported,
    /// Too many operations are in progress. Says nothing about the engine.
    Busy,
    /// The engine has replied with more bytes than entries of this library have: what is stored there is not one of them.
    TooLong,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Unavailable(why) | EngineError::Refused(why) => f.write_str(why),
            EngineError::Unsupported => f.write_str("the engine has no streams"),
            EngineError::Busy => f.write_str("too many operations are in progress"),
            EngineError::TooLong => f.write_str("the reply is too long"),
        }
    }
}

impl std::error::Error for EngineError {}

/// What was read from a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamRead {
    /// Ids and values, oldest first.
    pub entries: Vec<(String, Vec<u8>)>,
    /// The id to read after next time.
    pub last_id: String,
    /// Whether entries may have been removed after the given id that were not read: also while the call waited.
    pub has_gap: bool,
}

/// A key-value store that processes share. Every engine is untrusted: values are sealed before they are stored, and what cannot
/// be opened is ignored.
///
/// Methods are called from many threads at once, with no lock held. Each returns within `timeout`, or shortly after it.
pub trait Engine: Send + Sync {
    /// Returns the value of each key; `None` for one that does not exist.
    ///
    /// # Errors
    ///
    /// An [`EngineError`] if not all of them could be read.
    fn get(&self, keys: &[String], timeout: Duration) -> Result<Vec<Option<Vec<u8>>>, EngineError>;

    /// Stores a value for `ttl`. With `only_if_absent` a value that exists stays. Returns whether the value was stored.
    ///
    /// # Errors
    ///
    /// An [`EngineError`] if it is not known to be stored.
    fn set(
        &self,
        key: &str,
        value: &[u8],
        ttl: Duration,
        only_if_absent: bool,
        timeout: Duration,
    ) -> Result<bool, EngineError>;

    /// Removes keys. A key that does not exist is no error.
    ///
    /// # Errors
    ///
    /// An [`EngineError`] if one may still exist.
    fn delete(&self, keys: &[String], timeout: Duration) -> Result<(), EngineError>;

    /// Appends an entry to a stream, which may drop its oldest entries, but at least 10 000 stay. Returns its id.
    ///
    /// # Errors
    ///
    /// An [`EngineError`] if it is not known to be appended.
    fn append(&self, stream: &str, value: &[u8], timeout: Duration) -> Result<String, EngineError>;

    /// Returns the time of the engine in milliseconds since 1970; `None` if it has no clock, or does not show it.
    ///
    /// # Errors
    ///
    /// An [`EngineError`] if the engine has not replied.
    fn time_ms(&self, timeout: Duration) -> Result<Option<i64>, EngineError> {
        let _ = timeout;
        Ok(None)
    }

    /// Returns the entries after the id, waiting at most `wait` for the first. With the id "" it returns no entries and the id of
    /// the newest one at once, or "" if the stream is empty.
    ///
    /// # Errors
    ///
    /// An [`EngineError`] if the stream could not be read.
    fn read(&self, stream: &str, after: &str, wait: Duration, timeout: Duration) -> Result<StreamRead, EngineError>;
}
