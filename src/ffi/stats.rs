//! `clerk_stats`: the one public output structure.

use std::ffi::c_char;

use super::client::accessor;
use super::{CLERK_E_NULL, CLERK_E_PANIC, CLERK_E_STRUCT_SIZE, clerk_client, guard, strings};
use crate::client::Stats;
use crate::shared_cache::{SharedCacheState, SharedCacheStats};

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
    /// Calls to Clerk, each attempt counted, by `clerk_endpoint` and `clerk_call_status`. There is room for later ones.
    pub calls: [[u64; 8]; 16],
    /// By `clerk_endpoint`: 1 while no calls are sent to it after failures, else 0.
    pub open_circuits: [u64; 16],
    /// By `clerk_endpoint`: 1 while no calls are sent to it after a 429, else 0. Also counted in `open_circuits`.
    pub rate_limited: [u64; 16],
    /// Users that were found in the shared cache.
    pub shared_cache_hits: u64,
    /// Users that were looked for in the shared cache and not found.
    pub shared_cache_misses: u64,
    /// Operations on the shared cache that failed.
    pub shared_cache_errors: u64,
    /// Entries of the shared cache that were ignored: damaged, of another instance or secret, or replayed.
    pub shared_cache_rejected: u64,
    /// How long the last change by another process took to be applied here after it was sent, in milliseconds; -1 if
    /// there was none. A process that cannot use the shared cache sends its changes later: see `shared_cache_state`.
    pub revocation_lag_ms: i64,
    /// `clerk_shared_cache_state`: whether the shared cache is used.
    pub shared_cache_state: i64,
}

/// Smallest and largest `struct_size` that is accepted.
const SIZES: std::ops::RangeInclusive<u32> = 16..=4096;

/// Copies the members that both structures have.
macro_rules! copy_members {
    ($from:expr, $to:expr) => {
        copy_members!(
            $from, $to; cache_hits, cache_misses, signed_in, signed_out, unavailable, jwks_fetches, user_fetches,
            cached_tokens, cached_users, jwks_age_ms, no_credentials, would_block, store_errors
        )
    };
    ($from:expr, $to:expr; $($member:ident),*) => {
        $($to.$member = $from.$member;)*
    };
}

fn copy(from: &[u64], to: &mut [u64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

impl From<Stats> for clerk_stats {
    fn from(stats: Stats) -> Self {
        let mut made = clerk_stats::default();
        copy_members!(stats, made);
        made.calls.iter_mut().zip(&stats.calls.0).for_each(|(to, from)| copy(from, to));
        copy(&stats.open_circuits.0, &mut made.open_circuits);
        copy(&stats.rate_limited.0, &mut made.rate_limited);
        let shared = stats.shared_cache;
        made.shared_cache_hits = shared.hits;
        made.shared_cache_misses = shared.misses;
        made.shared_cache_errors = shared.errors;
        made.shared_cache_rejected = shared.rejected;
        made.revocation_lag_ms = shared.revocation_lag_ms;
        made.shared_cache_state = shared.state as i64;
        made
    }
}

impl From<clerk_stats> for Stats {
    fn from(stats: clerk_stats) -> Self {
        let mut made = Stats::default();
        copy_members!(stats, made);
        made.calls.0.iter_mut().zip(&stats.calls).for_each(|(to, from)| copy(from, to));
        copy(&stats.open_circuits, &mut made.open_circuits.0);
        copy(&stats.rate_limited, &mut made.rate_limited.0);
        let state = i32::try_from(stats.shared_cache_state).ok().and_then(SharedCacheState::from_repr);
        made.shared_cache = SharedCacheStats {
            hits: stats.shared_cache_hits,
            misses: stats.shared_cache_misses,
            errors: stats.shared_cache_errors,
            rejected: stats.shared_cache_rejected,
            revocation_lag_ms: stats.revocation_lag_ms,
            state: state.unwrap_or_default(),
        };
        made
    }
}

/// Returns the `struct_size` of the application's structure.
///
/// # Safety
/// `stats` is NULL or has a `struct_size`.
unsafe fn size(stats: *const clerk_stats) -> Result<u32, i32> {
    if stats.is_null() {
        return Err(CLERK_E_NULL);
    }
    // SAFETY: every version of the structure begins with its size.
    let given = unsafe { stats.cast::<u32>().read() };
    if SIZES.contains(&given) { Ok(given) } else { Err(CLERK_E_STRUCT_SIZE) }
}

/// Returns the values of all members that this version has; those that the application's structure does not have
/// are 0.
///
/// # Safety
/// `stats` is NULL or readable up to its `struct_size`.
unsafe fn read(stats: *const clerk_stats) -> Result<Stats, i32> {
    // SAFETY: same contract as the caller.
    let given = unsafe { size(stats)? };
    let mut read = clerk_stats::default();
    // SAFETY: `given` readable bytes are the caller's contract; ours are those of the structure.
    unsafe {
        std::ptr::copy_nonoverlapping(
            stats.cast::<u8>(),
            (&raw mut read).cast(),
            size_of::<clerk_stats>().min(given as usize),
        );
    }
    Ok(read.into())
}

/// Writes the members that the application's structure has.
///
/// # Safety
/// `stats` is writable up to `given`, its `struct_size`.
unsafe fn write(stats: *mut clerk_stats, given: u32, values: Stats) {
    let filled = clerk_stats { struct_size: given, ..values.into() };
    // SAFETY: the caller's contract.
    unsafe {
        std::ptr::copy_nonoverlapping(
            (&raw const filled).cast::<u8>(),
            stats.cast(),
            size_of::<clerk_stats>().min(given as usize),
        );
    }
}

/// Fills `*stats` up to its `struct_size`.
///
/// Returns `CLERK_OK` or a negative status: `CLERK_E_STRUCT_SIZE` if `*stats` was not initialized with
/// `CLERK_STATS_INIT`. Any thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_stats(client: *const clerk_client, stats: *mut clerk_stats) -> i32 {
    // SAFETY: the header's contract.
    unsafe {
        accessor(client, |client| {
            write(stats, size(stats)?, client.stats());
            Ok(())
        })
    }
}

/// Adds the counters of another client, such as that of another process, to `*sum`.
///
/// `counters_only` other than 0 leaves out what ends with the other client: cached results and users, circuits,
/// ages. Ages are not added: the larger one counts. Begin with a structure from `CLERK_STATS_INIT`.
///
/// Returns `CLERK_OK` or a negative status: `CLERK_E_STRUCT_SIZE` if a structure was not initialized with
/// `CLERK_STATS_INIT`. One thread at a time for each `sum`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_stats_add(sum: *mut clerk_stats, other: *const clerk_stats, counters_only: i32) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: the header's contract.
        strings::status(unsafe {
            read(other).and_then(|other| {
                let mut values = read(sum)?;
                values.add(&other, counters_only != 0);
                write(sum, size(sum)?, values);
                Ok(())
            })
        })
    })
}

/// Copies counters into `buffer` in the text exposition format 0.0.4 of Prometheus, followed by a NUL. Its content
/// type is `text/plain; version=0.0.4`.
///
/// `*needed` receives the length without the NUL. `needed` may be NULL. The length depends on the counters: reserve
/// 16 KiB.
///
/// Returns `CLERK_OK` or a negative status: `CLERK_E_ARGUMENT` if `capacity` is too small; with a `capacity` of 0,
/// `buffer` may be NULL. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_stats_metrics_text(
    stats: *const clerk_stats,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: the header's contract.
        strings::status(unsafe {
            read(stats).and_then(|stats| strings::copy_out(&stats.metrics_text(), buffer, capacity, needed))
        })
    })
}

/// Copies the counters of a client into `buffer` as `clerk_stats_metrics_text` does.
///
/// Returns `CLERK_OK` or a negative status: `CLERK_E_ARGUMENT` if `capacity` is too small; with a `capacity` of 0,
/// `buffer` may be NULL. Any thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_metrics_text(
    client: *const clerk_client,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> i32 {
    // SAFETY: the header's contract.
    unsafe { accessor(client, |client| strings::copy_out(&client.stats().metrics_text(), buffer, capacity, needed)) }
}
