//! The engine within this process, for clients of one process and for tests.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::engine::{Engine, EngineError, StreamRead};
use crate::fork_mutex::ResetMutex;

/// How many keys are stored, and how many entries a stream has.
const MAX_KEYS: usize = 100_000;
const MAX_ENTRIES: usize = 10_000;
/// How often a waiting reader looks for entries.
const READ_INTERVAL: Duration = Duration::from_millis(2);

/// An [`Engine`] in the memory of this process. Clients that share it behave as those of several processes do.
#[derive(Default)]
pub struct MemoryEngine {
    state: ResetMutex<State>,
}

#[derive(Default)]
struct State {
    values: HashMap<String, (Vec<u8>, Instant)>,
    streams: HashMap<String, Stream>,
}

#[derive(Default)]
struct Stream {
    /// The number of the entry before the first.
    removed: u64,
    entries: VecDeque<Vec<u8>>,
}

impl Stream {
    fn last(&self) -> u64 {
        self.removed + self.entries.len() as u64
    }

    fn after(&self, id: u64) -> StreamRead {
        let skipped = usize::try_from(id.saturating_sub(self.removed)).unwrap_or(usize::MAX);
        let first = self.removed.max(id) + 1;
        let entries = (first..).map(|n| n.to_string()).zip(self.entries.iter().skip(skipped).cloned()).collect();
        StreamRead { entries, last_id: self.last().max(id).to_string(), has_gap: id < self.removed || id > self.last() }
    }
}

impl MemoryEngine {
    /// Creates an empty engine.
    pub fn new() -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryEngine")
    }
}

impl Engine for MemoryEngine {
    fn get(&self, keys: &[String], _: Duration) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        let (state, now) = (self.state.lock(), Instant::now());
        let get = |key| state.values.get(key).filter(|(_, expires)| now < *expires).map(|(value, _)| value.clone());
        Ok(keys.iter().map(get).collect())
    }

    fn set(
        &self,
        key: &str,
        value: &[u8],
        ttl: Duration,
        only_if_absent: bool,
        _: Duration,
    ) -> Result<bool, EngineError> {
        let (mut state, now) = (self.state.lock(), Instant::now());
        if only_if_absent && state.values.get(key).is_some_and(|(_, expires)| now < *expires) {
            return Ok(false);
        }
        if state.values.len() >= MAX_KEYS {
            state.values.retain(|_, (_, expires)| now < *expires);
            if state.values.len() >= MAX_KEYS {
                return Err(EngineError::Unavailable("the engine is full".into()));
            }
        }
        state.values.insert(key.to_owned(), (value.to_vec(), now + ttl));
        Ok(true)
    }

    fn delete(&self, keys: &[String], _: Duration) -> Result<(), EngineError> {
        let mut state = self.state.lock();
        keys.iter().for_each(|key| drop(state.values.remove(key)));
        Ok(())
    }

    fn append(&self, stream: &str, value: &[u8], _: Duration) -> Result<String, EngineError> {
        let mut state = self.state.lock();
        let stream = state.streams.entry(stream.to_owned()).or_default();
        stream.entries.push_back(value.to_vec());
        if stream.entries.len() > MAX_ENTRIES {
            stream.entries.pop_front();
            stream.removed += 1;
        }
        Ok(stream.last().to_string())
    }

    fn read(&self, stream: &str, after: &str, wait: Duration, _: Duration) -> Result<StreamRead, EngineError> {
        let deadline = Instant::now() + wait;
        if after.is_empty() {
            let last_id =
                self.state.lock().streams.get(stream).map_or(String::new(), |stream| stream.last().to_string());
            return Ok(StreamRead { last_id, ..StreamRead::default() });
        }
        let id: u64 = after.parse().map_err(|_| EngineError::Refused("not an id of this engine".into()))?;
        loop {
            let read = self.state.lock().streams.entry(stream.to_owned()).or_default().after(id);
            let left = deadline.saturating_duration_since(Instant::now());
            if !read.entries.is_empty() || read.has_gap || left.is_zero() {
                return Ok(read);
            }
            std::thread::sleep(left.min(READ_INTERVAL));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[test]
    fn value_is_stored_until_it_expires_or_is_deleted() {
        let engine = MemoryEngine::new();
        let keys = ["a".to_owned(), "b".to_owned()];
        let set = |value: &[u8], ttl, nx| engine.set("a", value, ttl, nx, SOON).unwrap();
        assert!(set(b"1", SOON, true) && !set(b"2", SOON, true));
        assert_eq!(engine.get(&keys, SOON).unwrap(), [Some(b"1".to_vec()), None]);
        std::thread::sleep(SOON * 2);
        assert_eq!(engine.get(&keys, SOON).unwrap(), [None, None]);
        assert!(set(b"3", SOON * 100, true) && set(b"4", SOON * 100, false));
        engine.delete(&keys, SOON).unwrap();
        assert_eq!(engine.get(&keys, SOON).unwrap(), [None, None]);
    }

    #[test]
    fn stream_is_read_after_an_id_and_reports_gaps() {
        let engine = MemoryEngine::new();
        let read = |after: &str| engine.read("s", after, Duration::ZERO, SOON).unwrap();
        assert_eq!(read("").last_id, "");
        let first = engine.append("s", b"1", SOON).unwrap();
        assert_eq!((read("").last_id, read("").entries.len()), (first.clone(), 0));
        (0..MAX_ENTRIES - 1).for_each(|_| drop(engine.append("s", b"2", SOON)));
        let all = read(&first);
        assert_eq!((all.entries.len(), all.has_gap), (MAX_ENTRIES - 1, false));
        assert_eq!(all.entries.last().unwrap().0, all.last_id);
        assert!(read(&all.last_id).entries.is_empty());
        (0..2).for_each(|_| drop(engine.append("s", b"3", SOON)));
        assert!(read(&first).has_gap && !read(&all.last_id).has_gap);
        assert!(MemoryEngine::new().read("s", "5", Duration::ZERO, SOON).unwrap().has_gap, "a restarted engine");
    }

    #[test]
    fn reader_waits_for_the_next_entry() {
        let engine = MemoryEngine::new();
        let id = engine.append("s", b"1", SOON).unwrap();
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| engine.read("s", &id, Duration::from_secs(10), SOON).unwrap());
            std::thread::sleep(SOON);
            engine.append("s", b"2", SOON).unwrap();
            assert_eq!(reading.join().unwrap().entries[0].1, b"2");
        });
    }
}
