//! The application's own user table, and the sync that keeps its rows equal to Clerk's users.
//!
//! [`UserStore`] is the trait that an application implements for its table; [`SqliteStore`] is a ready-made table.
//! [`UserSync`] decides what to read and write and does no I/O itself.

mod diff;
mod owner;
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod sync;
mod username;

pub(crate) use owner::RowOwner;
pub use row::{Row, RowChanges, Schema, UpdateCondition};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub(crate) use store::execute;
pub use store::{StoreError, StoreRequest, StoreResponse, UserStore};
pub use sync::{Origin, Snapshot, SyncEvent, SyncRules, Transition, UserSync};

use crate::reason::Reason;

/// Why a sync yields no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncError {
    /// The rules of the sync reject what the store returned.
    Rejected(Reason),
    /// The store failed.
    Store(StoreError),
}
