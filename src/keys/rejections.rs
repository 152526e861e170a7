//! The key ids and tokens that were rejected without a fetch of the JWK set, in the last seconds.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::cache::PrehashedState;
use crate::fork_mutex::ResetMutex;

/// How long an entry is found: at least one period, at most two.
pub(crate) const PERIOD_MS: i64 = 10_000;
const SHARDS: usize = 16;
/// The number of entries of a shard in one period. They fill a map of 2048 slots with 17 bytes each, so that no call allocates
/// more than 35 KB, and all maps of both periods have 1.1 MB.
const MAX_ENTRIES: usize = 1792;

/// What is known of earlier rejections of a key id or token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    None,
    /// It was rejected when this number of fetches had begun.
    At(u64),
    /// So many others were rejected that it may have been one of them.
    Unknown,
}

type Entries = HashMap<u64, u64, PrehashedState>;

#[derive(Default)]
struct Shard {
    current: Entries,
    previous: Entries,
    /// When the current period began.
    begun_ms: i64,
}

impl Shard {
    /// Begins the period of `now_ms`. A clock that steps back begins one as well; other threads may be a little behind.
    fn begin(&mut self, now_ms: i64) {
        let age_ms = now_ms.saturating_sub(self.begun_ms).saturating_abs();
        if age_ms < PERIOD_MS {
            return;
        }
        let ended = std::mem::take(&mut self.current);
        self.previous = if age_ms < 2 * PERIOD_MS { ended } else { Entries::default() };
        self.begun_ms = now_ms;
    }
}

/// The number of fetches at each rejection. New entries do not displace others: a flood of them would hide a key id that comes again.
/// Times are milliseconds of the monotonic clock.
pub struct Rejections {
    /// Its keys are random, so that clients cannot choose the shard of what they send.
    hasher: RandomState,
    shards: [ResetMutex<Shard>; SHARDS],
}

impl Rejections {
    pub fn new() -> Self {
        Rejections { hasher: RandomState::new(), shards: std::array::from_fn(|_| ResetMutex::default()) }
    }

    fn shard(&self, rejected: &[u8]) -> (u64, &ResetMutex<Shard>) {
        let hash = self.hasher.hash_one(rejected);
        // The map inside uses the lowest and the highest bits.
        (hash, &self.shards[(hash >> 40) as usize % SHARDS])
    }

    /// Returns what is known of earlier rejections.
    pub fn find(&self, rejected: &[u8], now_ms: i64) -> Earlier {
        let (hash, shard) = self.shard(rejected);
        let mut shard = shard.lock();
        shard.begin(now_ms);
        let is_full = |entries: &Entries| entries.len() >= MAX_ENTRIES;
        match shard.current.get(&hash).or_else(|| shard.previous.get(&hash)) {
            Some(fetches) => Earlier::At(*fetches),
            None if is_full(&shard.current) || is_full(&shard.previous) => Earlier::Unknown,
            None => Earlier::None,
        }
    }

    /// Records a rejection, if there is room, and the number of fetches begun before it.
    pub fn record(&self, rejected: &[u8], fetches: u64, now_ms: i64) {
        let (hash, shard) = self.shard(rejected);
        let mut shard = shard.lock();
        shard.begin(now_ms);
        if shard.current.len() < MAX_ENTRIES || shard.current.contains_key(&hash) {
            shard.current.insert(hash, fetches);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(rejections: &Rejections, numbers: std::ops::Range<u32>, now_ms: i64) {
        numbers.for_each(|number| rejections.record(&number.to_le_bytes(), u64::from(number), now_ms));
    }

    #[test]
    fn rejection_is_found_for_one_period_at_least() {
        let rejections = Rejections::new();
        assert_eq!(rejections.find(b"a", 5), Earlier::None);
        for (at_ms, until_ms) in
            [(0, PERIOD_MS), (PERIOD_MS - 1, 2 * PERIOD_MS - 1), (7 * PERIOD_MS, 9 * PERIOD_MS - 1)]
        {
            rejections.record(b"a", 3, at_ms);
            assert_eq!(rejections.find(b"a", until_ms), Earlier::At(3), "{at_ms}");
        }
        rejections.record(b"a", 4, 9 * PERIOD_MS);
        assert_eq!(rejections.find(b"a", 11 * PERIOD_MS), Earlier::None);
    }

    #[test]
    fn other_rejections_displace_none_and_use_bounded_memory() {
        let rejections = Rejections::new();
        rejections.record(b"a", 3, 0);
        record(&rejections, 0..20_000, 1);
        assert_eq!((rejections.find(b"a", 2), rejections.find(b"b", 2)), (Earlier::At(3), Earlier::None));
        record(&rejections, 20_000..200_000, 3);
        assert_eq!((rejections.find(b"a", 4), rejections.find(b"b", 4)), (Earlier::At(3), Earlier::Unknown));
        // They may have been rejected then.
        assert_eq!(rejections.find(b"b", PERIOD_MS + 5), Earlier::Unknown);
        record(&rejections, 0..200_000, PERIOD_MS + 6);
        for shard in &rejections.shards {
            let shard = shard.lock();
            let room = shard.current.capacity() + shard.previous.capacity();
            assert!(room <= 2 * MAX_ENTRIES && shard.current.len() == MAX_ENTRIES, "{room}");
        }
        assert_eq!(rejections.find(b"b", 3 * PERIOD_MS + 6), Earlier::None);
    }

    #[test]
    fn clock_that_steps_back_begins_a_period() {
        let rejections = Rejections::new();
        rejections.record(b"a", 3, 50 * PERIOD_MS);
        rejections.record(b"b", 4, 51 * PERIOD_MS);
        // The time of another thread, read before the period began.
        assert_eq!(rejections.find(b"b", 51 * PERIOD_MS - 1), Earlier::At(4));
        assert_eq!(rejections.find(b"a", 51 * PERIOD_MS + 1), Earlier::At(3));
        record(&rejections, 0..200_000, 52 * PERIOD_MS);
        rejections.record(b"c", 5, 0);
        assert_eq!(rejections.find(b"c", PERIOD_MS - 1), Earlier::At(5));
        assert_eq!((rejections.find(b"d", 0), rejections.find(b"d", 2 * PERIOD_MS)), (Earlier::None, Earlier::None));
    }
}
