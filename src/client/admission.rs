//! Which opaque tokens may cost a call to Clerk, and how many of them: only Clerk can verify them.
//!
//! Tokens that were valid a short time ago are not limited. All others share a token bucket, a number of concurrent calls, and a
//! number of callers that may wait.

use std::hash::RandomState;

use crate::api::{ApiError, ErrorKind};
use crate::cache::Cache;
use crate::clock::Now;
use crate::rate_limit::{Slot, Slots, TokenBucket};
use crate::reason::Reason;
use crate::token::TokenHash;

/// How long a token counts as valid after its last cached result has expired.
const VALID_TTL_MS: i64 = 10 * 60 * 1000;
/// How long a token that Clerk has refused is refused without a call.
const REFUSED_TTL_MS: i64 = 60 * 1000;
const MAX_VALID: usize = 16 * 1024;
const MAX_REFUSED: usize = 4096;
/// One call a second, and this many at once after a pause.
const BURST: u32 = 20;
const CALL_INTERVAL_MS: i64 = 1000;
const MAX_CALLS: usize = 8;
const MAX_WAITING: usize = 32;
/// When to try again if too many are waiting.
const BUSY_RETRY_MS: u64 = 1000;

/// What is known of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Clerk accepted it a short time ago.
    Valid,
    /// Clerk refused it a short time ago.
    Refused(Reason),
    /// Nothing.
    Unknown,
}

pub(super) struct Admission {
    valid: Cache<TokenHash, (), RandomState>,
    refused: Cache<TokenHash, Reason, RandomState>,
    bucket: TokenBucket,
    calls: Slots,
    waiting: Slots,
    result_ttl_ms: i64,
}

impl Admission {
    /// `result_ttl_ms` is how long results of opaque tokens are cached.
    pub fn new(result_ttl_ms: i64) -> Self {
        Self::with_limit(result_ttl_ms, BURST, CALL_INTERVAL_MS)
    }

    /// Does the same with another limit: `burst` calls at once after a pause, then one in each interval.
    pub fn with_limit(result_ttl_ms: i64, burst: u32, interval_ms: i64) -> Self {
        Admission {
            valid: Cache::new(MAX_VALID, RandomState::new()),
            refused: Cache::new(MAX_REFUSED, RandomState::new()),
            bucket: TokenBucket::new(burst, interval_ms),
            calls: Slots::new(MAX_CALLS),
            waiting: Slots::new(MAX_WAITING),
            result_ttl_ms,
        }
    }

    pub fn standing(&self, hash: &TokenHash, now: Now) -> Standing {
        match self.refused.get(hash, now.mono_ms) {
            Some(reason) => Standing::Refused(reason),
            None if self.valid.get(hash, now.mono_ms).is_some() => Standing::Valid,
            None => Standing::Unknown,
        }
    }

    /// Permits the caller of an unknown token to wait.
    pub fn try_wait(&self) -> Result<Slot<'_>, ApiError> {
        self.waiting.try_acquire().ok_or_else(|| throttled(BUSY_RETRY_MS))
    }

    /// Permits a call about an unknown token.
    pub fn try_call(&self, now: Now) -> Result<Slot<'_>, ApiError> {
        let slot = self.calls.try_acquire().ok_or_else(|| throttled(BUSY_RETRY_MS))?;
        self.bucket.try_acquire(now.mono_ms).map_err(throttled)?;
        Ok(slot)
    }

    /// Permits one more attempt of a call about an unknown token.
    pub fn may_retry(&self, now: Now) -> bool {
        self.bucket.try_acquire(now.mono_ms).is_ok()
    }

    /// Returns why a caller of an unknown token would be rejected now. Acquires nothing.
    pub fn would_refuse(&self, now: Now) -> Option<ApiError> {
        let is_busy = self.waiting.is_full() || self.calls.is_full();
        is_busy.then_some(BUSY_RETRY_MS).or(self.bucket.wait_ms(now.mono_ms)).map(throttled)
    }

    /// Records Clerk's verdict on a token if `is_current` returns true; `is_current` runs under a lock.
    pub fn record(&self, hash: TokenHash, refusal: Option<Reason>, now: Now, is_current: impl Fn() -> bool) {
        let Some(reason) = refusal else {
            let expires_ms = now.mono_ms.saturating_add(self.result_ttl_ms).saturating_add(VALID_TTL_MS);
            self.refused.remove(&hash);
            let _ = self.valid.put_if(hash, (), expires_ms, now.mono_ms, |_| is_current());
            return;
        };
        // A token that was valid is verified once more before its refusal is cached.
        if self.valid.remove(&hash).is_none() {
            let expires_ms = now.mono_ms.saturating_add(REFUSED_TTL_MS);
            let _ = self.refused.put_if(hash, reason, expires_ms, now.mono_ms, |_| is_current());
        }
    }

    /// Removes the refusal of a token.
    pub fn remove_refusal(&self, hash: &TokenHash) {
        self.refused.remove(hash);
    }

    /// Removes all refusals.
    pub fn clear_refusals(&self) {
        self.refused.clear();
    }

    /// To be called in a forked child: the callers of the parent do not exist there.
    pub fn reset_after_fork(&self) {
        self.calls.reset();
        self.waiting.reset();
    }
}

fn throttled(retry_after_ms: u64) -> ApiError {
    ApiError { retry_after_ms: Some(retry_after_ms), ..ApiError::new(ErrorKind::Throttled) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: i64) -> Now {
        Now { wall_ms: 0, mono_ms }
    }

    #[test]
    fn standing_follows_the_last_response() {
        let (admission, hash) = (Admission::new(5000), TokenHash::of(b"ak_x"));
        let refusal = Some(Reason::TokenInvalid);
        assert_eq!(admission.standing(&hash, at(0)), Standing::Unknown);
        admission.record(hash, refusal, at(0), || true);
        assert_eq!(admission.standing(&hash, at(59_999)), Standing::Refused(Reason::TokenInvalid));
        assert_eq!(admission.standing(&hash, at(60_000)), Standing::Unknown);
        admission.record(hash, None, at(0), || true);
        assert_eq!(admission.standing(&hash, at(604_999)), Standing::Valid);
        assert_eq!(admission.standing(&hash, at(605_000)), Standing::Unknown);
        admission.record(hash, None, at(0), || true);
        admission.record(hash, refusal, at(0), || true);
        assert_eq!(admission.standing(&hash, at(0)), Standing::Unknown, "verified once more");
        admission.record(hash, refusal, at(0), || false);
        assert_eq!(admission.standing(&hash, at(0)), Standing::Unknown, "invalidated meanwhile");
        admission.record(hash, refusal, at(0), || true);
        admission.remove_refusal(&hash);
        assert_eq!(admission.standing(&hash, at(0)), Standing::Unknown);
    }

    #[test]
    fn calls_are_limited_at_once_and_over_time() {
        let admission = Admission::new(0);
        let calls: Vec<_> = (0..MAX_CALLS).map(|_| admission.try_call(at(0)).unwrap()).collect();
        assert_eq!(admission.try_call(at(0)).err(), Some(throttled(1000)));
        assert_eq!(admission.would_refuse(at(0)), Some(throttled(1000)));
        drop(calls);
        (MAX_CALLS..BURST as usize).for_each(|_| drop(admission.try_call(at(0)).unwrap()));
        assert_eq!(admission.try_call(at(400)).err(), Some(throttled(600)));
        assert_eq!(admission.would_refuse(at(400)), Some(throttled(600)));
        assert!(
            !admission.may_retry(at(999)) && admission.may_retry(at(1000)) && admission.try_call(at(1000)).is_err()
        );
    }

    #[test]
    fn waiting_callers_are_limited_and_reset_after_fork() {
        let admission = Admission::new(0);
        let waiting: Vec<_> = (0..MAX_WAITING).map(|_| admission.try_wait().unwrap()).collect();
        assert!(admission.try_wait().is_err());
        admission.reset_after_fork();
        assert!(admission.try_wait().is_ok());
        drop(waiting);
        assert!((0..MAX_WAITING).map(|_| admission.try_wait().unwrap()).collect::<Vec<_>>().len() == MAX_WAITING);
    }

    #[test]
    fn refusals_are_bounded() {
        let admission = Admission::new(0);
        for n in 0..3 * MAX_REFUSED {
            let hash = TokenHash::of(&n.to_le_bytes());
            admission.record(hash, Some(Reason::TokenInvalid), at(0), || true);
        }
        assert!(admission.refused.len() <= MAX_REFUSED);
    }
}
