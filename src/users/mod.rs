//! The application's own user table, and the sync that updates its rows from Clerk's users.
//!
//! [`UserStore`] is the trait that an application implements for its table; [`SqliteStore`] is a ready-made table.
//! [`UserSync`] decides what to read and write and does no I/O itself.

mod diff;
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod sync;
mod username;

pub use row::{Row, RowChanges, Schema};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub(crate) use store::execute;
pub use store::{StoreError, StoreRequest, StoreResponse, UserStore};
pub use sync::{SyncEvent, Transition, UserSync};

use crate::reason::Reason;

/// Why a sync returns no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncError {
    /// The rules of the sync reject what the store returned.
    Rejected(Reason),
    /// The store failed.
    Store(StoreError),
}
