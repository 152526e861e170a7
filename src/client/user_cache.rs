//! Clerk users: from the cache while fresh, else fetched once for concurrent requests, or stale during an outage.

use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::auth_context::Demand;
use super::auth_result::{AuthError, VerifyError};
use super::backend::Backend;
pub(super) use super::cached_user::{CachedUser, FoundUser, RowRead};
use super::changes::Changes;
use super::invalidations::{Invalidations, Key, Scope};
use super::shared_users::{Plan, Preparation, SharedUsers};
use crate::api::{ApiError, ClerkUser, ErrorKind};
use crate::cache::Cache;
use crate::clock::{Deadline, Io, Now};
use crate::events::{Event, Level};
use crate::rate_limit::TokenBucket;
use crate::reason::Reason;
use crate::shared_cache::{SharedCache, UserSnapshot};
use crate::single_flight::{Flight, SingleFlight};
use crate::users::Origin;

/// How long a user that does not exist at Clerk is not fetched again.
const MISSING_TTL_MS: i64 = 10_000;
const MAX_MISSING: usize = 1024;
/// Clerk redelivers a webhook event for more than a day if it was not accepted.
const REDELIVERY_MS: i64 = 48 * 60 * 60 * 1000;
/// Maximum number of users whose last webhook event is recorded; independent of the size of the cache.
const MAX_LAST_UPDATES: usize = 65_536;
/// How many fetches that began too early a call joins before it gives up.
const MAX_JOINS: u32 = 8;

/// One attempt to find a user that is not cached.
struct Attempt<'a> {
    id: &'a str,
    key: Key,
    /// The number of the last invalidation when it began.
    begun: u64,
    now: Now,
    deadline: Deadline,
    is_banned: bool,
    /// Whether only a fetch will do.
    must_fetch: bool,
}

type Fetched = (Result<Arc<CachedUser>, ApiError>, u64);

/// The cache. All functions may be called by several threads at once.
pub(super) struct UserCache {
    users: Cache<Box<str>, Arc<CachedUser>, RandomState>,
    /// Users that do not exist at Clerk.
    missing: Cache<Box<str>, (), RandomState>,
    /// `updated_at` of the last applied webhook event about a user.
    last_updates: Cache<Box<str>, i64, RandomState>,
    /// By id, the number of the user's last invalidation (no request joins a fetch that began before it), and whether the cache
    /// does not do.
    in_flight: SingleFlight<(Box<str>, u64, bool), Fetched>,
    /// The number of the last fetch that has begun.
    fetches: AtomicU64,
    /// The number of fetches that have ended.
    ended: AtomicU64,
    invalidations: Arc<Invalidations>,
    ttl_ms: i64,
    stale_if_error_ms: i64,
    /// What other processes have fetched.
    shared: Option<SharedUsers>,
    /// The fetches of a second that are not coordinated with other processes; `None`: not limited.
    budget: Option<TokenBucket>,
}

impl UserCache {
    pub fn new(
        capacity: usize,
        ttl_ms: i64,
        stale_if_error_ms: i64,
        invalidations: Arc<Invalidations>,
        shared: Option<Arc<SharedCache>>,
        changes: Arc<Changes>,
        calls_per_s: u32,
    ) -> Self {
        UserCache {
            users: Cache::new(capacity, RandomState::new()),
            missing: Cache::new(MAX_MISSING, RandomState::new()),
            last_updates: Cache::new(MAX_LAST_UPDATES, RandomState::new()),
            in_flight: SingleFlight::default(),
            fetches: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            invalidations,
            ttl_ms,
            stale_if_error_ms,
            shared: shared.map(|cache| SharedUsers::new(cache, changes, ttl_ms)),
            budget: (calls_per_s > 0).then(|| TokenBucket::per_second(calls_per_s)),
        }
    }

    /// Returns a number that all fetches that begin from now on exceed.
    pub fn last_fetch(&self) -> u64 {
        self.fetches.load(Ordering::Acquire)
    }

    /// Returns the number of the last fetch that has ended, for [`Demand::last_ended`].
    pub fn last_ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// Returns the user: cached, fetched if `io` allows, or stale while Clerk cannot be reached. With `after` the user comes from
    /// a fetch with a higher number, or there is an error.
    pub fn find(
        &self,
        id: &str,
        Demand { after, last_ended, is_banned }: Demand,
        now: Now,
        io: Io,
        backend: &Backend,
    ) -> Result<FoundUser, VerifyError> {
        let is_wanted = |user: &Arc<CachedUser>| after.is_none_or(|after| user.fetch > after);
        if let Some(user) = self.fresh(id, now).filter(is_wanted) {
            let is_fetched = after.is_some() || user.ended > last_ended;
            return Ok(FoundUser::new(user, if is_fetched { Origin::Fetched } else { Origin::Cached }));
        }
        if self.missing.get(id, now.mono_ms).is_some() {
            return Err(Reason::UserNotFound.into());
        }
        // A newer version is banned: Clerk decides.
        let may_be_used = |user: &CachedUser| after.is_none() && (user.user.is_blocked() || !is_banned);
        let stale = || self.users.get(id, now.mono_ms).filter(|user| may_be_used(user) && self.may_be_stale(user, now));
        let Io::Blocking(deadline) = io else {
            // While the circuit is open, Clerk would not be asked.
            let may_be_shared = self.shared.as_ref().is_some_and(SharedUsers::is_available);
            let is_open = backend.api.users_circuit_error().filter(|_| stale().is_none() && !may_be_shared);
            return Err(is_open.map_or(VerifyError::WouldBlock, |error| AuthError::unavailable(error).into()));
        };
        let key = self.invalidations.key(Scope::Subject, id);
        let mut failure = ApiError::new(ErrorKind::Timeout);
        for _ in 0..MAX_JOINS {
            // Later callers would join what this one starts.
            if backend.api.shutdowns().have_ended(deadline) {
                failure = ApiError::new(ErrorKind::Cancelled);
                break;
            }
            let flight_key = (id.into(), self.invalidations.last(key), after.is_some());
            let flight = self.in_flight.run(&flight_key, deadline, || {
                let begun = self.invalidations.sequence();
                // A fetch that ended just before may have stored it.
                let stored = self.fresh(id, now).filter(is_wanted);
                let attempt = Attempt { id, key, begun, now, deadline, is_banned, must_fetch: after.is_some() };
                (stored.map_or_else(|| self.obtain(&attempt, backend), Ok), begun)
            });
            match flight {
                Flight::Complete((Ok(user), begun)) if is_wanted(&user) => {
                    let origin = if user.fetch == 0 { Origin::Cached } else { Origin::Fetched };
                    return Ok(FoundUser { begun: Some(begun), ..FoundUser::new(user, origin) });
                }
                // Joined a fetch that began too early: the next one begins later.
                Flight::Complete((Ok(_), _)) => continue,
                Flight::Complete((Err(error), _)) => failure = error,
                Flight::Cancelled => failure = ApiError::new(ErrorKind::Cancelled),
                Flight::TimedOut | Flight::Abandoned => {}
            }
            break;
        }
        if failure.kind == ErrorKind::NotFound {
            return Err(Reason::UserNotFound.into());
        }
        let user = stale().ok_or_else(|| AuthError::unavailable(failure))?;
        self.report_stale(id, backend);
        Ok(FoundUser { is_stale: true, ..FoundUser::new(user, Origin::Cached) })
    }

    /// Whether a user may still be served while Clerk cannot be reached.
    pub fn may_be_stale(&self, user: &CachedUser, now: Now) -> bool {
        now.mono_ms.saturating_sub(user.fetched_ms) < self.stale_if_error_ms
    }

    pub fn report_stale(&self, id: &str, backend: &Backend) {
        backend.events.log(Level::Warn, || "Clerk cannot be reached; serving users from the cache".into());
        backend.events.emit(Event::StaleUserServed { clerk_id: id });
    }

    fn fresh(&self, id: &str, now: Now) -> Option<Arc<CachedUser>> {
        let user = self.users.get(id, now.mono_ms)?;
        let is_fresh = now.mono_ms.saturating_sub(user.fetched_ms) < self.ttl_ms && !user.is_outdated();
        is_fresh.then_some(user)
    }

    /// Returns the user from the shared cache, or from Clerk and stores it there.
    fn obtain(&self, attempt: &Attempt<'_>, backend: &Backend) -> Result<Arc<CachedUser>, ApiError> {
        let &Attempt { id, now, deadline, must_fetch, .. } = attempt;
        let newest_ms = self.newest_version(id, now);
        let is_usable = |snapshot: &UserSnapshot| {
            let is_banned = attempt.is_banned || self.cached(id, now).is_some_and(|cached| cached.user.is_blocked());
            newest_ms.is_none_or(|newest_ms| newest_ms <= snapshot.version_ms())
                && (snapshot.is_blocked() || !is_banned)
        };
        let plan = match &self.shared {
            Some(shared) if must_fetch => shared.fetch_for(id, deadline),
            Some(shared) => {
                let may_wait = backend.api.users_circuit_error().is_none().then(|| backend.api.shutdowns());
                let has_budget = || self.budget.as_ref().is_none_or(|budget| budget.wait_ms(now.mono_ms).is_none());
                shared.find(id, now.wall_ms, deadline, may_wait, has_budget, is_usable)
            }
            None => Plan::FetchWithinBudget(Preparation::default()),
        };
        let (preparation, is_limited) = match plan {
            Plan::Use((snapshot, age_ms)) => return Ok(self.adopt(attempt, *snapshot, age_ms)),
            Plan::Fetch(preparation) => (preparation, false),
            // A fetch before a write is not one that others make as well.
            Plan::FetchWithinBudget(preparation) => (preparation, !must_fetch),
        };
        match if is_limited { self.fetch_within_budget(attempt, backend) } else { self.fetch(attempt, backend) } {
            Ok(user) => {
                if let Some((shared, generation)) = self.shared.as_ref().zip(preparation.generation)
                    && self.is_current(attempt)
                {
                    shared.put(&user.user, now.wall_ms, generation, deadline);
                }
                Ok(user)
            }
            Err(error) => {
                // Then it is one of those that may be stale.
                if let Some((snapshot, age_ms)) = preparation.outdated.filter(|_| error.kind != ErrorKind::NotFound) {
                    self.adopt(attempt, *snapshot, age_ms);
                }
                Err(error)
            }
        }
    }

    fn fetch_within_budget(&self, attempt: &Attempt<'_>, backend: &Backend) -> Result<Arc<CachedUser>, ApiError> {
        match self.budget.as_ref().map_or(Ok(()), |budget| budget.try_acquire(attempt.now.mono_ms)) {
            Ok(()) => self.fetch(attempt, backend),
            Err(retry_after_ms) => {
                Err(ApiError { retry_after_ms: Some(retry_after_ms), ..ApiError::new(ErrorKind::OverBudget) })
            }
        }
    }

    /// Caches a user of the shared cache as if it had been fetched when it was.
    fn adopt(&self, attempt: &Attempt<'_>, snapshot: UserSnapshot, age_ms: i64) -> Arc<CachedUser> {
        let &Attempt { id, now, .. } = attempt;
        let previous = self.users.get(id, now.mono_ms);
        let fetched_ms = now.mono_ms.saturating_sub(age_ms);
        let user = Arc::new(CachedUser::new(snapshot.into_user(), fetched_ms, (0, 0), previous.as_deref()));
        let expires_ms = self.expires_ms(now).saturating_sub(age_ms);
        let _ = self.users.put_if(id.into(), user.clone(), expires_ms, now.mono_ms, |cached| {
            self.is_current(attempt) && cached.is_none_or(|cached| cached.user.updated_at_ms <= user.user.updated_at_ms)
        });
        user
    }

    /// Returns the newest version of a user that this process has seen.
    pub fn newest_version(&self, id: &str, now: Now) -> Option<i64> {
        let cached = self.users.get(id, now.mono_ms).map(|cached| cached.user.updated_at_ms);
        self.last_updates.get(id, now.mono_ms).max(cached)
    }

    fn is_current(&self, attempt: &Attempt<'_>) -> bool {
        !self.invalidations.is_key_invalidated_since(attempt.begun, attempt.key)
    }

    fn fetch(&self, attempt: &Attempt<'_>, backend: &Backend) -> Result<Arc<CachedUser>, ApiError> {
        let &Attempt { id, key, begun, now, deadline, .. } = attempt;
        let is_current = || !self.invalidations.is_key_invalidated_since(begun, key);
        let fetch = self.fetches.fetch_add(1, Ordering::AcqRel) + 1;
        match backend.user(id, deadline) {
            Ok(user) => {
                let previous = self.users.get(id, now.mono_ms);
                // Clerk's response may be older than an event; a ban in either counts.
                let newer = previous.as_ref().filter(|cached| cached.user.updated_at_ms > user.updated_at_ms);
                let newer = newer.filter(|_| !user.is_blocked()).map(|cached| (*cached.user).clone());
                let user = newer.unwrap_or(user);
                let numbers = (fetch, self.ended.fetch_add(1, Ordering::AcqRel) + 1);
                let user = Arc::new(CachedUser::new(user, now.mono_ms, numbers, previous.as_deref()));
                let expires_ms = self.expires_ms(now);
                let _ = self.users.put_if(id.into(), user.clone(), expires_ms, now.mono_ms, |cached| {
                    is_current() && cached.is_none_or(|cached| cached.user.updated_at_ms <= user.user.updated_at_ms)
                });
                Ok(user)
            }
            Err(error) => {
                if error.kind == ErrorKind::NotFound {
                    let expires_ms = now.mono_ms + MISSING_TTL_MS;
                    let _ = self.missing.put_if(id.into(), (), expires_ms, now.mono_ms, |_| is_current());
                    self.users.remove_if(id, |_| is_current());
                }
                Err(error)
            }
        }
    }

    fn expires_ms(&self, now: Now) -> i64 {
        now.mono_ms.saturating_add(self.ttl_ms.max(self.stale_if_error_ms))
    }

    /// Returns the user if it is cached, even if it is stale.
    pub fn cached(&self, id: &str, now: Now) -> Option<Arc<CachedUser>> {
        self.users.get(id, now.mono_ms)
    }

    /// Returns whether a webhook event about this user is newer than the last one applied. Events may arrive out of order.
    pub fn is_newer(&self, user: &ClerkUser, now: Now) -> bool {
        self.newest_version(&user.id, now).is_none_or(|last| last <= user.updated_at_ms)
    }

    /// Caches the user of a webhook event, which is complete: requests do not fetch it before it is older than `user_ttl_s`.
    /// `age_ms` is how old it is already; an event may be late.
    pub fn apply_update(&self, user: ClerkUser, age_ms: i64, now: Now) -> Arc<CachedUser> {
        let id: Box<str> = user.id.as_str().into();
        self.last_updates.put(id.clone(), user.updated_at_ms, now.mono_ms + REDELIVERY_MS, now.mono_ms);
        self.missing.remove(&id);
        let previous = self.users.get(&id, now.mono_ms);
        let user = Arc::new(CachedUser::new(user, now.mono_ms.saturating_sub(age_ms), (0, 0), previous.as_deref()));
        if self.users.put_if(id.clone(), user.clone(), self.expires_ms(now), now.mono_ms, |_| true).is_err() {
            self.users.remove(&id);
        }
        user
    }

    /// Removes a user.
    pub fn remove(&self, id: &str) {
        self.users.remove(id);
        self.missing.remove(id);
    }

    /// Removes a user that is older than this version, of which another process has received a webhook event; without a version
    /// in any case.
    pub fn remove_before(&self, id: &str, version_ms: Option<i64>, now: Now) {
        self.missing.remove(id);
        self.users.remove_if(id, |cached| version_ms.is_none_or(|version_ms| cached.user.updated_at_ms < version_ms));
        if let Some(version_ms) = version_ms {
            self.record_version(id, version_ms, now);
        }
    }

    /// Records the version of a user that an event has reported, here or to another process.
    pub fn record_version(&self, id: &str, version_ms: i64, now: Now) {
        if self.last_updates.get(id, now.mono_ms).is_none_or(|last| last < version_ms) {
            self.last_updates.put(id.into(), version_ms, now.mono_ms + REDELIVERY_MS, now.mono_ms);
        }
    }

    /// Has all users fetched again before they are used, unless they may be stale.
    pub fn set_all_outdated(&self) {
        self.users.for_each(|_, user| user.set_outdated());
        self.missing.clear();
    }

    /// Removes all users. Keeps the times of the last webhook events.
    pub fn clear(&self) {
        self.users.clear();
        self.missing.clear();
    }

    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Ends the waits of callers that have joined a call.
    pub fn cancel_waits(&self) {
        self.in_flight.cancel();
    }

    pub fn reset_after_fork(&self) {
        self.in_flight.reset_after_fork();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::super::metrics::Metrics;
    use super::*;
    use crate::api::{Api, Request, Response, Transport, TransportError};
    use crate::clock::Clock;
    use crate::config::Secret;
    use crate::events::EventHandlers;

    /// Responds like Clerk, with the number of the call as first name; calls `on_call` during the call.
    struct Users<F>(AtomicUsize, F);

    impl<F: Fn(usize) -> u16 + Send + Sync> Transport for Users<F> {
        fn send(&self, request: &Request<'_>, _: Duration) -> Result<Response, TransportError> {
            let call = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            let status = (self.1)(call);
            let id = request.url.rsplit('/').next().unwrap();
            let errors = r#"[{"code":"x"}]"#;
            let body = format!(r#"{{"id":"{id}","first_name":"{call}","errors":{errors}}}"#).into_bytes();
            Ok(Response { status, retry_after: None, trace_id: None, body })
        }
        fn reset_after_fork(&self) -> bool {
            false
        }
        fn shutdown(&self) {}
    }

    struct Fixture {
        cache: UserCache,
        backend: Backend,
        invalidations: Arc<Invalidations>,
    }

    const NOW: Now = Now { wall_ms: 0, mono_ms: 0 };

    impl Fixture {
        fn new(on_call: impl Fn(&Invalidations, usize) -> u16 + Send + Sync + 'static) -> Fixture {
            let invalidations = Arc::new(Invalidations::default());
            let shared = invalidations.clone();
            let transport = Arc::new(Users(AtomicUsize::new(0), move |call| on_call(&shared, call)));
            let (secret, clock) = (Some(Secret::new("sk_test_x")), Clock::system());
            let api = Api::new(transport, "http://127.0.0.1".into(), secret, None, None, clock);
            let backend = Backend { api, events: Arc::new(EventHandlers::default()), metrics: Metrics::default() };
            Fixture {
                cache: UserCache::new(100, 1000, 2000, invalidations.clone(), None, Arc::default(), 0),
                backend,
                invalidations,
            }
        }

        fn find(&self, now_ms: i64, io: Io) -> Result<(String, bool), VerifyError> {
            self.find_after(None, now_ms, io)
        }

        fn find_after(&self, after: Option<u64>, now_ms: i64, io: Io) -> Result<(String, bool), VerifyError> {
            let found = self.cache.find(
                "user_1",
                Demand { after, last_ended: u64::MAX, is_banned: false },
                Now { mono_ms: now_ms, ..NOW },
                io,
                &self.backend,
            )?;
            Ok((found.user.user.first_name.clone().unwrap_or_default(), found.origin == Origin::Fetched))
        }
    }

    fn blocking() -> Io {
        Io::Blocking(Deadline::after(Duration::from_secs(5)))
    }

    #[test]
    fn user_is_fetched_once_per_ttl_and_served_stale_in_an_outage() {
        let f = Fixture::new(|_, call| if call < 3 { 200 } else { 404 + 25 });
        assert!(matches!(f.find(0, Io::CacheOnly), Err(VerifyError::WouldBlock)));
        assert_eq!(f.find(0, blocking()).unwrap(), ("1".into(), true));
        assert_eq!(f.find(999, Io::CacheOnly).unwrap(), ("1".into(), false));
        assert_eq!(f.find(1000, blocking()).unwrap(), ("2".into(), true));
        assert_eq!(f.find(2999, blocking()).unwrap(), ("2".into(), false));
        assert!(matches!(f.find(3000, blocking()), Err(VerifyError::Refused(_))));
    }

    #[test]
    fn outdated_users_are_fetched_again_or_stale() {
        let f = Fixture::new(|_, call| if call < 3 { 200 } else { 429 });
        assert_eq!(f.find(0, blocking()).unwrap(), ("1".into(), true));
        f.cache.set_all_outdated();
        assert!(matches!(f.find(1, Io::CacheOnly), Err(VerifyError::WouldBlock)));
        assert_eq!(f.find(1, blocking()).unwrap(), ("2".into(), true));
        assert_eq!(f.find(2, Io::CacheOnly).unwrap(), ("2".into(), false));
        f.cache.set_all_outdated();
        assert_eq!(f.find(3, blocking()).unwrap(), ("2".into(), false));
    }

    #[test]
    fn fetch_after_a_number_uses_neither_cache_nor_earlier_fetch() {
        let release = Arc::new(std::sync::Barrier::new(2));
        let barrier = release.clone();
        let f = Fixture::new(move |_, call| {
            if call == 2 {
                barrier.wait();
            }
            200
        });
        assert_eq!(f.find(0, blocking()).unwrap(), ("1".into(), true));
        assert!(matches!(f.find_after(Some(1), 0, Io::CacheOnly), Err(VerifyError::WouldBlock)));
        std::thread::scope(|scope| {
            let earlier = scope.spawn(|| f.find_after(Some(1), 0, blocking()));
            while !f.cache.in_flight.is_running(&("user_1".into(), 0, true)) {
                std::thread::yield_now();
            }
            while f.cache.last_fetch() < 2 {
                std::thread::yield_now();
            }
            let later = scope.spawn(|| f.find_after(Some(f.cache.last_fetch()), 0, blocking()));
            std::thread::sleep(Duration::from_millis(50));
            release.wait();
            assert_eq!(earlier.join().unwrap().unwrap(), ("2".into(), true));
            assert_eq!(later.join().unwrap().unwrap(), ("3".into(), true));
        });
        assert_eq!(f.find(0, blocking()).unwrap(), ("3".into(), false));
    }

    #[test]
    fn late_demand_for_a_fetch_is_not_served_stale() {
        let f = Fixture::new(|_, call| if call == 1 { 200 } else { 429 });
        assert!(f.find(0, blocking()).is_ok());
        assert!(matches!(f.find_after(Some(1), 0, blocking()), Err(VerifyError::Refused(_))));
        assert!(f.find(1500, blocking()).is_ok());
    }

    #[test]
    fn fetch_begun_before_an_invalidation_is_not_cached() {
        let f = Fixture::new(|invalidations, call| {
            if call == 1 {
                invalidations.record(invalidations.key(Scope::Subject, "user_1"));
            }
            200
        });
        let found = f.cache.find("user_1", Demand::default(), NOW, blocking(), &f.backend).unwrap_or_else(|_| panic!());
        let key = f.invalidations.key(Scope::Subject, "user_1");
        assert!(f.invalidations.is_key_invalidated_since(found.begun.unwrap(), key));
        assert_eq!(f.cache.len(), 0);
        assert_eq!(f.find(0, blocking()).unwrap(), ("2".into(), true));
        assert_eq!(f.cache.len(), 1);
    }

    #[test]
    fn invalidation_of_another_user_costs_no_fetch() {
        let f = Fixture::new(|invalidations, _| {
            invalidations.record(invalidations.key(Scope::Subject, "user_2"));
            200
        });
        assert_eq!(f.find(0, blocking()).unwrap(), ("1".into(), true));
        assert_eq!(f.find(0, blocking()).unwrap(), ("1".into(), false));
    }

    #[test]
    fn caller_after_an_invalidation_does_not_join_an_older_fetch() {
        let [arrived, release] = [(); 2].map(|()| Arc::new(std::sync::Barrier::new(2)));
        let barriers = [arrived.clone(), release.clone()];
        let f = Fixture::new(move |_, call| {
            if call == 1 {
                for barrier in &barriers {
                    barrier.wait();
                }
            }
            200
        });
        std::thread::scope(|scope| {
            let older = scope.spawn(|| f.find(0, blocking()));
            let key = f.invalidations.key(Scope::Subject, "user_1");
            arrived.wait();
            f.invalidations.record(key);
            let newer = f.find(0, blocking()).unwrap();
            release.wait();
            let older = older.join().unwrap().unwrap();
            let names = [newer.0, older.0];
            assert!(names.contains(&"1".into()) && names.contains(&"2".into()), "{names:?}");
        });
        assert_eq!(f.cache.len(), 1);
    }

    #[test]
    fn missing_user_is_cached_as_missing_unless_it_was_created_meanwhile() {
        let f = Fixture::new(|invalidations, call| {
            if call == 1 {
                invalidations.record(invalidations.key(Scope::Subject, "user_1"));
            }
            if call < 3 { 404 } else { 200 }
        });
        for _ in 0..4 {
            assert!(matches!(f.find(0, blocking()), Err(VerifyError::Refused(_))));
        }
        assert_eq!(f.find(MISSING_TTL_MS, blocking()).unwrap().0, "3");
    }

    #[test]
    fn webhook_update_is_served_without_a_fetch_and_keeps_the_row() {
        let f = Fixture::new(|_, _| 200);
        f.find(0, blocking()).unwrap();
        f.cache.cached("user_1", NOW).unwrap().set_row_key("7");
        let update = |updated_at_ms| ClerkUser { id: "user_1".into(), updated_at_ms, ..ClerkUser::default() };
        assert!(f.cache.is_newer(&update(5), NOW));
        f.cache.apply_update(update(5), 0, NOW);
        assert!(!f.cache.is_newer(&update(4), NOW) && f.cache.is_newer(&update(5), NOW));
        assert_eq!(f.cache.cached("user_1", NOW).unwrap().row_key().as_deref(), Some("7"));
        f.cache.remove("user_1");
        assert!(!f.cache.is_newer(&update(4), NOW));
    }
}
