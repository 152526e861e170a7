//! Which process fetches a user: one for all, while the others wait or use what they have.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::changes::Changes;
use crate::api::ClerkUser;
use crate::clock::{Deadline, Shutdowns};
use crate::shared_cache::{FoundSnapshot, SharedCache, Unavailable, UserSnapshot};

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
    changes: Arc<Changes>,
    ttl_ms: i64,
}

impl SharedUsers {
    pub fn new(cache: Arc<SharedCache>, changes: Arc<Changes>, ttl_ms: i64) -> Self {
        SharedUsers { cache, changes, ttl_ms }
    }

    /// Whether the engine is used now.
    pub fn is_available(&self) -> bool {
        self.cache.is_available()
    }

    /// Prepares a fetch that has to be made.
    pub fn fetch_for(&self, id: &str, deadline: Deadline) -> Plan {
        match self.stored(id, deadline) {
            Ok(FoundSnapshot { generation, .. }) => Plan::Fetch(Preparation { generation, outdated: None }),
            Err(Unavailable) => Plan::FetchWithinBudget(Preparation::default()),
        }
    }

    /// Finds a user that `is_usable`, or who fetches it. With `may_wait` it waits for another process that does, or for
    /// a shutdown. After an outage of the
    /// engine a process without budget left fetches for no other.
    pub fn find(
        &self,
        id: &str,
        now_ms: i64,
        deadline: Deadline,
        may_wait: Option<&Shutdowns>,
        has_budget: impl Fn() -> bool,
        is_usable: impl Fn(&UserSnapshot) -> bool,
    ) -> Plan {
        if self.ttl_ms == 0 {
            return self.fetch_for(id, deadline);
        }
        let plan = self.plan(id, now_ms, deadline, may_wait, has_budget, is_usable);
        match &plan {
            Plan::Use(_) => self.cache.count_lookup(true),
            // Without a generation the engine did not reply.
            Plan::Fetch(Preparation { generation: None, .. })
            | Plan::FetchWithinBudget(Preparation { generation: None, .. }) => {}
            Plan::Fetch(_) | Plan::FetchWithinBudget(_) => self.cache.count_lookup(false),
        }
        plan
    }

    fn plan(
        &self,
        id: &str,
        now_ms: i64,
        deadline: Deadline,
        may_wait: Option<&Shutdowns>,
        has_budget: impl Fn() -> bool,
        is_usable: impl Fn(&UserSnapshot) -> bool,
    ) -> Plan {
        let waiting = Deadline::after(may_wait.map_or(Duration::ZERO, |_| MAX_WAIT.min(deadline.remaining())));
        let mut pause = FIRST_PAUSE;
        loop {
            let Ok(found) = self.stored(id, deadline) else {
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
            if let Some(shutdowns) = may_wait {
                shutdowns.pause(deadline, pause.min(waiting.remaining()));
                if shutdowns.have_ended(deadline) {
                    // Nothing is sent any more.
                    return Plan::Fetch(Preparation::default());
                }
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Returns what is stored of a user, unless this process has invalidated it and the others do not know it yet.
    fn stored(&self, id: &str, deadline: Deadline) -> Result<FoundSnapshot, Unavailable> {
        if self.changes.has_unsent_invalidation_of_user(id) {
            return Err(Unavailable);
        }
        // Without a generation nothing can be stored for others: they fetch it as well.
        self.cache.user(id, deadline).and_then(|found| found.generation.is_some().then_some(found).ok_or(Unavailable))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Secret;
    use crate::events::EventHandlers;
    use crate::shared_cache::{Engine, EngineError, Lifetimes, MemoryEngine, Sealer, StreamRead};

    const NOW_MS: i64 = 1_800_000_000_000;
    const LIFETIMES: Lifetimes =
        Lifetimes { user_ttl_ms: 60_000, user_stale_ms: 60_000, machine_ttl_ms: 0, revocation_ttl_ms: 60_000 };

    fn cache(engine: impl Engine + 'static) -> Arc<SharedCache> {
        let sealer = Sealer::new(&[Secret::new("secret")], "ins_1").unwrap();
        let (clock, events) = (Clock::from_fn(|| NOW_MS), Arc::new(EventHandlers::default()));
        Arc::new(SharedCache::new(Arc::new(engine), sealer, LIFETIMES, false, clock, events))
    }

    fn deadline() -> Deadline {
        Deadline::after(Duration::from_secs(5))
    }

    #[test]
    fn user_that_a_request_needs_is_counted_once() {
        let cache = cache(MemoryEngine::new());
        let users = SharedUsers::new(cache.clone(), Arc::default(), 60_000);
        let find =
            |is_usable| users.find("user_1", NOW_MS, deadline(), Some(&Shutdowns::default()), || true, |_| is_usable);
        let counted = || (cache.stats().hits, cache.stats().misses);
        let Plan::Fetch(preparation) = find(true) else { panic!("the lease is free") };
        assert_eq!(counted(), (0, 1));
        // Another process fetches it: several lookups, of which none finds it.
        assert!(matches!(find(true), Plan::FetchWithinBudget(_)));
        assert_eq!(counted(), (0, 2));
        let user = ClerkUser { id: "user_1".into(), ..ClerkUser::default() };
        users.put(&user, NOW_MS, preparation.generation.unwrap(), deadline());
        assert!(matches!(find(true), Plan::Use(_)));
        assert_eq!(counted(), (1, 2));
        // A snapshot that is too old for this process is none.
        assert!(matches!(find(false), Plan::FetchWithinBudget(_)));
        assert_eq!(counted(), (1, 3));
        // A fetch before a write, and a webhook event, need another one.
        users.fetch_for("user_1", deadline());
        assert!(cache.user("user_1", deadline()).unwrap().snapshot.is_some());
        assert_eq!(counted(), (1, 3));
    }

    struct Gone;

    impl Engine for Gone {
        fn get(&self, _: &[String], _: Duration) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
            Err(gone())
        }
        fn set(&self, _: &str, _: &[u8], _: Duration, _: bool, _: Duration) -> Result<bool, EngineError> {
            Err(gone())
        }
        fn delete(&self, _: &[String], _: Duration) -> Result<(), EngineError> {
            Err(gone())
        }
        fn append(&self, _: &str, _: &[u8], _: Duration) -> Result<String, EngineError> {
            Err(gone())
        }
        fn read(&self, _: &str, _: &str, _: Duration, _: Duration) -> Result<StreamRead, EngineError> {
            Err(gone())
        }
    }

    fn gone() -> EngineError {
        EngineError::Unavailable("on purpose".into())
    }

    #[test]
    fn fetch_without_the_engine_is_within_the_budget_whatever_the_ttl() {
        for ttl_ms in [0, 60_000] {
            let users = SharedUsers::new(cache(Gone), Arc::default(), ttl_ms);
            let plan = users.find("user_1", NOW_MS, deadline(), Some(&Shutdowns::default()), || true, |_| true);
            assert!(matches!(plan, Plan::FetchWithinBudget(_)), "{ttl_ms}");
            assert_eq!((users.cache.stats().hits, users.cache.stats().misses), (0, 0));
        }
        let users = SharedUsers::new(cache(MemoryEngine::new()), Arc::default(), 0);
        assert!(matches!(
            users.find("user_1", NOW_MS, deadline(), Some(&Shutdowns::default()), || true, |_| true),
            Plan::Fetch(_)
        ));
    }
}
