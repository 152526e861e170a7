//! A user that is cached, and where it comes from for the attempt that uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::row_task::RowCheck;
use crate::api::ClerkUser;
use crate::fork_mutex::ResetMutex;
use crate::users::{Origin, Row, Snapshot, UserSync};

/// A cached user.
pub(super) struct CachedUser {
    pub user: Arc<ClerkUser>,
    pub fetched_ms: i64,
    /// The number of the fetch; 0 for a webhook event.
    pub fetch: u64,
    /// The number of the fetch by the order in which they ended; 0 for a webhook event.
    pub ended: u64,
    /// Whether its row was written from a newer version: it has to be fetched again.
    is_outdated: AtomicBool,
    /// The key of the row, once it is synchronized.
    row_key: ResetMutex<Option<String>>,
    pub row_check: RowCheck,
}

impl CachedUser {
    pub fn new(user: ClerkUser, fetched_ms: i64, (fetch, ended): (u64, u64), previous: Option<&CachedUser>) -> Self {
        CachedUser {
            user: Arc::new(user),
            fetched_ms,
            fetch,
            ended,
            is_outdated: AtomicBool::new(false),
            row_key: ResetMutex::new(previous.and_then(CachedUser::row_key)),
            row_check: RowCheck::new(i64::MIN),
        }
    }

    /// Records that the row was written from a newer version.
    pub fn set_outdated(&self) {
        self.is_outdated.store(true, Ordering::Relaxed);
    }

    pub fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Relaxed)
    }

    pub fn row_key(&self) -> Option<String> {
        self.row_key.lock().clone()
    }

    pub fn set_row_key(&self, key: &str) {
        *self.row_key.lock() = Some(key.to_owned());
    }
}

/// A user as the cache or Clerk returned it.
#[derive(Clone)]
pub(super) struct FoundUser {
    pub user: Arc<CachedUser>,
    pub origin: Origin,
    /// The number of the last invalidation when the fetch began; `None` if it comes from the cache.
    pub begun: Option<u64>,
    /// Whether a fetch failed, so that a cached user is returned.
    pub is_stale: bool,
}

impl FoundUser {
    pub fn new(user: Arc<CachedUser>, origin: Origin) -> Self {
        FoundUser { user, origin, begun: None, is_stale: false }
    }

    /// Returns what a synchronization works with.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { user: self.user.user.clone(), origin: self.origin }
    }
}

/// A row that was read, and the user that may not be written into it.
pub(super) struct RowRead {
    pub sync: Box<UserSync>,
    pub found: FoundUser,
    pub row: Option<Row>,
    /// Whether the row was written from a newer version of the user.
    pub is_older: bool,
}
