//! `clerk_stats`: the one public output structure.

use super::client::accessor;
use super::{CLERK_E_NULL, CLERK_E_STRUCT_SIZE, clerk_client};
use crate::client::Client;

/// Counters of a client since it was created. Initialize with `CLERK_STATS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct clerk_stats {
    /// `sizeof(clerk_stats)`, set by `CLERK_STATS_INIT`.
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
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
    /// Requests for the JWK set.
    pub jwks_fetches: u64,
    /// Requests for a user.
    pub user_fetches: u64,
    /// Tokens in the cache now.
    pub cached_tokens: u64,
    /// Users in the cache now.
    pub cached_users: u64,
    /// Age of the JWK set in milliseconds; -1 if there is none.
    pub jwks_age_ms: i64,
    /// Requests without a credential.
    pub no_credentials: u64,
    /// Calls that returned `CLERK_WOULD_BLOCK`.
    pub would_block: u64,
    /// Requests whose result could not be determined because the user store failed; also counted in `unavailable`.
    pub store_errors: u64,
    /// Users that were found in the shared cache.
    pub shared_cache_hits: u64,
    /// Users that were looked for in the shared cache and not found.
    pub shared_cache_misses: u64,
    /// Operations on the shared cache that failed.
    pub shared_cache_errors: u64,
    /// Entries of the shared cache that were ignored: damaged, of another instance or secret, or replayed.
    pub shared_cache_rejected: u64,
    /// How long the last change by another process took to be applied here, in milliseconds; -1 if there was none.
    pub revocation_lag_ms: i64,
    /// Whether the shared cache is used: 0 if there is none, 1 if it is, 2 while it cannot be used.
    pub shared_cache_state: i64,
}

/// Smallest and largest `struct_size` that is accepted.
const SIZES: std::ops::RangeInclusive<u32> = 16..=4096;

/// Fills `*stats` up to its `struct_size`.
///
/// Returns `CLERK_OK` or a negative status: `CLERK_E_STRUCT_SIZE` if `*stats` was not initialized with
/// `CLERK_STATS_INIT`. Any thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_stats(client: *const clerk_client, stats: *mut clerk_stats) -> i32 {
    let body = |client: &Client| {
        if stats.is_null() {
            return Err(CLERK_E_NULL);
        }
        // SAFETY: every version of the structure begins with its size.
        let given = unsafe { stats.cast::<u32>().read() };
        let known = size_of::<clerk_stats>();
        if !SIZES.contains(&given) {
            return Err(CLERK_E_STRUCT_SIZE);
        }
        let now = client.stats();
        let filled = clerk_stats {
            struct_size: given,
            reserved: 0,
            cache_hits: now.cache_hits,
            cache_misses: now.cache_misses,
            signed_in: now.signed_in,
            signed_out: now.signed_out,
            unavailable: now.unavailable,
            jwks_fetches: now.jwks_fetches,
            user_fetches: now.user_fetches,
            cached_tokens: now.cached_tokens,
            cached_users: now.cached_users,
            jwks_age_ms: now.jwks_age_ms,
            no_credentials: now.no_credentials,
            would_block: now.would_block,
            store_errors: now.store_errors,
            shared_cache_hits: now.shared_cache.hits,
            shared_cache_misses: now.shared_cache.misses,
            shared_cache_errors: now.shared_cache.errors,
            shared_cache_rejected: now.shared_cache.rejected,
            revocation_lag_ms: now.shared_cache.revocation_lag_ms,
            shared_cache_state: now.shared_cache.state as i64,
        };
        // SAFETY: `given` writable bytes are the caller's contract; ours are `known`.
        unsafe {
            std::ptr::copy_nonoverlapping((&raw const filled).cast::<u8>(), stats.cast(), known.min(given as usize));
        }
        Ok(())
    };
    // SAFETY: the header's contract.
    unsafe { accessor(client, body) }
}
