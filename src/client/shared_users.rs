//! Which process fetches a user: one for all, while the others wait or use what they have.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use crate::api::ClerkUser;
use crate::clock::Deadline;
use crate::shared_cache::{SharedCache, UserSnapshot};

/// How long the others wait for a fetch: 25, 50, then 100 ms at a time.
const MAX_WAIT: Duration = Duration::from_millis(400);
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const MAX_PAUSE: Duration = Duration::from_millis(100);
/// How long after its end a user is still used while another process fetches it: as long as that process may take.
const GRACE_MS: i64 = 1500;
/// The last part of the time to live in which a process may fetch early, so that not all find the end together.
const EARLY_PARTS: i64 = 50;

/// A user of the shared cache and its age in milliseconds.
pub(super) type AgedSnapshot = (Box<UserSnapshot>, i64);

/// What is to be done about a user that is not cached here.
pub(super) enum Plan {
    /// Use this one.
    Use(AgedSnapshot),
    /// Fetch it for all processes.
    Fetch(Preparation),
    /// Fetch it within the budget: others may do so as well, or many users have to be fetched after an outage.
    FetchWithinBudget(Preparation),
}

/// What a fetch needs to know.
#[derive(Default)]
pub(super) struct Preparation {
    /// The generation to store the user for.
    pub generation: Option<String>,
    /// What may be used, if it is not too old, if the fetch fails.
    pub outdated: Option<AgedSnapshot>,
}

pub(super) struct SharedUsers {
    cache: Arc<SharedCache>,
    ttl_ms: i64,
}

impl SharedUsers {
    pub fn new(cache: Arc<SharedCache>, ttl_ms: i64) -> Self {
        SharedUsers { cache, ttl_ms }
    }

    /// Whether the engine is used now.
    pub fn is_available(&self) -> bool {
        self.cache.is_available()
    }

    /// Prepares a fetch that has to be made.
    pub fn fetch_for(&self, id: &str, deadline: Deadline) -> Plan {
        let generation = self.cache.user(id, deadline).ok().and_then(|found| found.generation);
        Plan::Fetch(Preparation { generation, outdated: None })
    }

    /// Finds a user that `is_usable`, or who fetches it. With `may_wait` it waits for another process that does. After an outage of the
    /// engine a process without budget left fetches for no other.
    pub fn find(
        &self,
        id: &str,
        now_ms: i64,
        deadline: Deadline,
        may_wait: bool,
        has_budget: impl Fn() -> bool,
        is_usable: impl Fn(&UserSnapshot) -> bool,
    ) -> Plan {
        if self.ttl_ms == 0 {
            return self.fetch_for(id, deadline);
        }
        let waiting = Deadline::after(if may_wait { MAX_WAIT.min(deadline.remaining()) } else { Duration::ZERO });
        let mut pause = FIRST_PAUSE;
        loop {
            let Ok(found) = self.cache.user(id, deadline) else {
                return Plan::FetchWithinBudget(Preparation::default());
            };
            let aged = found.snapshot.filter(&is_usable).map(|snapshot| {
                let age_ms = now_ms.saturating_sub(snapshot.fetched_at_ms).max(0);
                (Box::new(snapshot), age_ms)
            });
            let is_fresh = |age_ms| age_ms < self.ttl_ms && !self.is_due_early(age_ms);
            let preparation = |outdated| Preparation { generation: found.generation, outdated };
            let is_recovering = self.cache.is_recovering();
            let is_leased = match &aged {
                Some((_, age_ms)) if is_fresh(*age_ms) => Ok(false),
                _ if is_recovering && !has_budget() => return Plan::FetchWithinBudget(preparation(aged)),
                _ => self.cache.lease_user(id, deadline),
            };
            match (is_leased, aged) {
                (Ok(true), aged) if is_recovering => return Plan::FetchWithinBudget(preparation(aged)),
                (Ok(true), aged) => return Plan::Fetch(preparation(aged)),
                (Ok(false), Some(aged)) if aged.1 < self.ttl_ms.saturating_add(GRACE_MS) => return Plan::Use(aged),
                (Ok(false), aged) if waiting.remaining().is_zero() => {
                    return Plan::FetchWithinBudget(preparation(aged));
                }
                (Ok(false), _) => {}
                (Err(_), aged) => return Plan::FetchWithinBudget(preparation(aged)),
            }
            std::thread::sleep(pause.min(waiting.remaining()));
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Stores a user that was fetched.
    pub fn put(&self, user: &ClerkUser, fetched_at_ms: i64, generation: String, deadline: Deadline) {
        let _ = self.cache.put_user(user, fetched_at_ms, generation, deadline);
    }

    /// Decides at random, with a probability that rises to the end.
    fn is_due_early(&self, age_ms: i64) -> bool {
        let window_ms = (self.ttl_ms / EARLY_PARTS).min(GRACE_MS);
        let left_ms = self.ttl_ms.saturating_sub(age_ms);
        if left_ms >= window_ms {
            return false;
        }
        let random = RandomState::new().hash_one(age_ms) % window_ms.unsigned_abs().max(1);
        random >= left_ms.unsigned_abs()
    }
}
