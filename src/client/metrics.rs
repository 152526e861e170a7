//! The counters of a client.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::api::{Calls, PerEndpoint};
use crate::shared_cache::SharedCacheStats;

/// The counters of a client since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Results from the cache.
    pub cache_hits: u64,
    /// Tokens that had to be verified.
    pub cache_misses: u64,
    /// Requests signed in after verification.
    pub signed_in: u64,
    /// Requests rejected.
    pub signed_out: u64,
    /// Requests whose result could not be determined.
    pub unavailable: u64,
    /// Fetches of the JWK set.
    pub jwks_fetches: u64,
    /// Fetches of users.
    pub user_fetches: u64,
    /// Results in the cache now.
    pub cached_tokens: u64,
    /// Users in the cache now.
    pub cached_users: u64,
    /// Age of the JWK set in milliseconds, -1 without one.
    pub jwks_age_ms: i64,
    /// Requests without a credential.
    pub no_credentials: u64,
    /// Calls that may not block and had no result, so that another call followed.
    pub would_block: u64,
    /// Requests whose result could not be determined because the user store failed; also counted in `unavailable`.
    pub store_errors: u64,
    /// Calls to Clerk by endpoint and status.
    pub calls: Calls,
    /// 1 for an endpoint to which no calls are sent now, after failures.
    pub open_circuits: PerEndpoint,
    /// 1 for an endpoint to which no calls are sent now, after a 429; also counted in `open_circuits`.
    pub rate_limited: PerEndpoint,
    /// The shared cache.
    pub shared_cache: SharedCacheStats,
}

impl Stats {
    /// Adds the counters of another client. With `counters_only`, without what ends with that client.
    #[cfg_attr(not(feature = "capi"), allow(dead_code, reason = "used by the C ABI only"))]
    pub(crate) fn add(&mut self, other: &Stats, counters_only: bool) {
        let sum =
            |to: &mut [u64], from: &[u64]| to.iter_mut().zip(from).for_each(|(to, from)| *to = to.wrapping_add(*from));
        macro_rules! sum {
            ($($member:ident),*) => {
                $(sum(std::slice::from_mut(&mut self.$member), &[other.$member]);)*
            };
        }
        sum!(cache_hits, cache_misses, signed_in, signed_out, unavailable, jwks_fetches, user_fetches);
        sum!(no_credentials, would_block, store_errors);
        self.calls.0.iter_mut().zip(&other.calls.0).for_each(|(to, from)| sum(to, from));
        let shared = &mut self.shared_cache;
        for (to, from) in [
            (&mut shared.hits, other.shared_cache.hits),
            (&mut shared.misses, other.shared_cache.misses),
            (&mut shared.errors, other.shared_cache.errors),
            (&mut shared.rejected, other.shared_cache.rejected),
        ] {
            *to = to.wrapping_add(from);
        }
        if !counters_only {
            shared.state = shared.state.max(other.shared_cache.state);
            shared.revocation_lag_ms = shared.revocation_lag_ms.max(other.shared_cache.revocation_lag_ms);
            sum!(cached_tokens, cached_users);
            self.jwks_age_ms = self.jwks_age_ms.max(other.jwks_age_ms);
            sum(&mut self.open_circuits.0, &other.open_circuits.0);
            sum(&mut self.rate_limited.0, &other.rate_limited.0);
        }
    }
}

/// The counters that are not part of a cache.
#[derive(Default)]
pub(super) struct Metrics {
    pub signed_in: Counter,
    pub signed_out: Counter,
    pub unavailable: Counter,
    pub cache_misses: Counter,
    pub jwks_fetches: Counter,
    pub user_fetches: Counter,
    pub no_credentials: Counter,
    pub would_block: Counter,
    pub store_errors: Counter,
}

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// Returns the counters; those of the caches are zero.
    pub fn snapshot(&self) -> Stats {
        Stats {
            signed_in: self.signed_in.get(),
            no_credentials: self.no_credentials.get(),
            would_block: self.would_block.get(),
            store_errors: self.store_errors.get(),
            signed_out: self.signed_out.get(),
            unavailable: self.unavailable.get(),
            cache_misses: self.cache_misses.get(),
            jwks_fetches: self.jwks_fetches.get(),
            user_fetches: self.user_fetches.get(),
            ..Stats::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_has_its_own_member() {
        let metrics = Metrics::default();
        let counters = [
            &metrics.signed_in,
            &metrics.signed_out,
            &metrics.unavailable,
            &metrics.cache_misses,
            &metrics.jwks_fetches,
            &metrics.user_fetches,
            &metrics.no_credentials,
            &metrics.would_block,
            &metrics.store_errors,
        ];
        for (times, counter) in counters.into_iter().enumerate() {
            (0..=times).for_each(|_| counter.increment());
        }
        let stats = metrics.snapshot();
        let results = [stats.signed_in, stats.signed_out, stats.unavailable, stats.cache_misses];
        let calls = [stats.jwks_fetches, stats.user_fetches];
        assert_eq!((results, calls), ([1, 2, 3, 4], [5, 6]));
        assert_eq!([stats.no_credentials, stats.would_block, stats.store_errors], [7, 8, 9]);
    }

    #[test]
    fn added_gauges_end_with_their_client_and_counters_do_not() {
        let mut one = Stats { cache_hits: 1, store_errors: 2, cached_users: 3, jwks_age_ms: 400, ..Stats::default() };
        (one.calls.0[1][0], one.open_circuits.0[1], one.rate_limited.0[1]) = (5, 1, 1);
        let mut sum = Stats { jwks_age_ms: -1, ..Stats::default() };
        sum.add(&one, true);
        let mut counters = Stats { cache_hits: 1, store_errors: 2, jwks_age_ms: -1, ..Stats::default() };
        counters.calls.0[1][0] = 5;
        assert_eq!(sum, counters);
        sum.add(&one, false);
        sum.add(&one, false);
        assert_eq!((sum.cache_hits, sum.store_errors, sum.cached_users, sum.jwks_age_ms), (3, 6, 6, 400));
        assert_eq!((sum.calls.0[1][0], sum.open_circuits.0[1], sum.rate_limited.0[1]), (15, 2, 2));
    }
}
