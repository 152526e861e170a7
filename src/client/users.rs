//! The Clerk user behind a token: from memory while fresh, from Clerk once for all who ask, from memory again in an outage.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::auth_result::AuthError;
use super::{Inner, count};
use crate::api::{ApiError, ClerkUser, ErrorKind};
use crate::clock::Now;
use crate::config::UserMode;
use crate::events::{Event, Level};
use crate::reason::Reason;
use crate::users::Row;

/// How long a user that Clerk does not know is not asked for again.
const ABSENT_MS: i64 = 10_000;

/// A user as remembered.
pub(super) struct CachedUser {
    pub user: Arc<ClerkUser>,
    pub fetched_ms: i64,
    /// The key of the row, once it is synced.
    pub row_key: Mutex<Option<String>>,
    /// When the store last said that the row stands and is active.
    pub checked_ms: AtomicI64,
}

impl CachedUser {
    pub fn new(user: ClerkUser, fetched_ms: i64, before: Option<&CachedUser>) -> Self {
        CachedUser {
            user: Arc::new(user),
            fetched_ms,
            row_key: Mutex::new(before.and_then(|known| known.row_key.lock().clone())),
            checked_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// The row as it was last seen, active; only in `sync` mode.
    pub fn row(&self, mode: UserMode) -> Option<Row> {
        let key = self.row_key.lock().clone().filter(|_| mode == UserMode::Sync)?;
        Some(Row { key, clerk_id: Some(self.user.id.clone()), is_active: true, ..Row::default() })
    }

    /// Whether the store's word of late is still trusted.
    pub fn was_checked(&self, now: Now, recheck_ms: i64) -> bool {
        recheck_ms > 0 && now.mono_ms.saturating_sub(self.checked_ms.load(Ordering::Relaxed)) < recheck_ms
    }
}

impl Inner {
    /// A user that need not be fetched.
    pub(super) fn fresh_user(&self, id: &str, now: Now) -> Option<Arc<CachedUser>> {
        let known = self.known.get(&id.into(), now.mono_ms)?;
        (now.mono_ms.saturating_sub(known.fetched_ms) < self.user_ttl_ms).then_some(known)
    }

    /// The user, fetched if need be. The flag tells whether it was fetched for this call.
    pub(super) fn user(&self, id: &str, now: Now, deadline: Instant) -> Result<(Arc<CachedUser>, bool), AuthError> {
        if let Some(known) = self.fresh_user(id, now) {
            return Ok((known, false));
        }
        let key: Box<str> = id.into();
        if self.absent.get(&key, now.mono_ms).is_some() {
            return Err(Reason::UserNotFound.into());
        }
        let fetched = self.flights.get(&key, deadline, || {
            // Whoever flew just before may have brought it.
            match self.fresh_user(id, now) {
                Some(known) => Ok(known),
                None => self.fetch_user(id, now, deadline),
            }
        });
        match fetched.unwrap_or_else(|| Err(ApiError::new(ErrorKind::Timeout))) {
            Ok(known) => Ok((known, true)),
            Err(error) if error.kind == ErrorKind::NotFound => {
                self.absent.put(key, (), now.mono_ms + ABSENT_MS, now.mono_ms);
                Err(Reason::UserNotFound.into())
            }
            Err(error) => match self.known.get(&key, now.mono_ms) {
                Some(known) if now.mono_ms.saturating_sub(known.fetched_ms) < self.stale_user_ms => {
                    self.listeners.log(Level::Warn, || "Clerk is out of reach; users are served as last known".into());
                    self.listeners.tell(Event::StaleUserServed { clerk_id: id });
                    Ok((known, false))
                }
                _ => Err(AuthError::unavailable(error)),
            },
        }
    }

    fn fetch_user(&self, id: &str, now: Now, deadline: Instant) -> Result<Arc<CachedUser>, ApiError> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        count(&self.counters.user_fetches);
        let key: Box<str> = id.into();
        match self.api.user(id, deadline) {
            Ok(user) => {
                let before = self.known.get(&key, now.mono_ms);
                let known = Arc::new(CachedUser::new(user, now.mono_ms, before.as_deref()));
                let kept_ms = self.user_ttl_ms.max(self.stale_user_ms);
                if epoch == self.epoch.load(Ordering::SeqCst) {
                    self.known.put(key.clone(), known.clone(), now.mono_ms + kept_ms, now.mono_ms);
                    // Invalidated before there was a user that could be forgotten.
                    if epoch != self.epoch.load(Ordering::SeqCst) {
                        self.known.remove(&key);
                    }
                }
                Ok(known)
            }
            Err(error) => {
                self.report("a user", &error);
                if error.kind == ErrorKind::NotFound {
                    self.known.remove(&key);
                }
                Err(error)
            }
        }
    }
}
