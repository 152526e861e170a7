//! The application's own user table, and the sync that updates its rows from Clerk's users.
//!
//! [`UserStore`] is the trait that an application implements for its table; [`SqliteStore`] is a ready-made table, and the
//! setting `database` uses one in PostgreSQL, MySQL or MariaDB.

// `UserSync` decides what to read and write and does no I/O itself.
mod database;
mod deactivation;
mod diff;
#[cfg(feature = "mysql")]
mod mysql;
mod owner;
#[cfg(feature = "postgres")]
mod postgres;
mod row;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod sync;
mod username;

#[cfg(feature = "capi")]
pub(crate) use database::check_url as check_database_url;
pub(crate) use database::open as open_database;
pub(crate) use deactivation::{Deactivation, DeactivationStep};
pub(crate) use owner::RowOwner;
pub use row::{Row, RowChanges, Schema, UpdateCondition};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
#[cfg(all(feature = "capi", feature = "sqlite"))]
pub(crate) use sqlite::{after_fork, before_fork, set_private_copy};
pub(crate) use store::execute;
pub use store::{StoreError, StoreRequest, StoreResponse, UserStore};
pub(crate) use sync::{Origin, Snapshot, SyncEvent, SyncRules, Transition, UserSync};

use crate::reason::Reason;

/// The state machine of the sync, for `internals`.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod machine {
    pub use super::sync::{Origin, Snapshot, SyncRules, Transition, UserSync};
}

/// Why a row was not created or updated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncError {
    /// The rules of the sync reject what the store returned.
    Rejected(Reason),
    /// The store failed.
    Store(StoreError),
}

impl std::fmt::Display for SyncError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SyncError::Rejected(reason) => write!(f, "the row was rejected: {reason}"),
            SyncError::Store(error) => write!(f, "the user store failed: {error}"),
        }
    }
}

impl std::error::Error for SyncError {}
