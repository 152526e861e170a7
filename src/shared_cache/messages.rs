//! The stream of changes: what processes have changed.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::seal::EntryKind;
use super::{Change, EngineError, MAX_READ_TIME, Message, READ_TIMEOUT, SharedCache, StreamRead, Unavailable};
use crate::clock::Deadline;

/// How long one report of a gap is enough for all processes that see it: less than a failover takes.
const GAP_LEASE_TTL: Duration = Duration::from_secs(5);

/// How long a delivery that was shared is recognized: as long as a delivery may be repeated.
const DELIVERY_TTL_MS: i64 = 600_000;

impl SharedCache {
    /// Sends a change to all other processes. Returns the id of the entry.
    pub fn publish(&self, change: Change, deadline: Deadline) -> Result<String, Unavailable> {
        // Too long: not about an id of Clerk. Others would wait behind it for ever.
        let Some(sealed) = self.seal_message(change) else { return Ok(String::new()) };
        let stream = self.sealer.stream();
        self.run(deadline, |timeout| self.engine.append(&stream, &sealed, timeout))
    }

    fn seal_message(&self, change: Change) -> Option<Vec<u8>> {
        let message = Message {
            sender: self.sender(),
            number: self.messages.fetch_add(1, Ordering::Relaxed),
            sent_at_ms: self.clock.now().wall_ms,
            change,
        };
        message.encode().and_then(|plaintext| self.sealer.seal(&self.sealer.stream(), &plaintext))
    }

    /// Checks that the engine can append to a stream and read one, which is not that of the changes: all processes would read it.
    pub(super) fn check_stream(&self, timeout: Duration) -> Result<(), EngineError> {
        let stream = self.sealer.stream();
        let check = format!("{stream}:check");
        self.engine.read(&stream, "", Duration::ZERO, timeout)?;
        // A message, for engines that have one stream only.
        let id = self.engine.append(&check, &self.seal_message(Change::Start).unwrap_or_default(), timeout)?;
        self.engine.read(&check, &id, Duration::ZERO, timeout)?;
        self.engine.delete(&[check], timeout)
    }

    /// Returns the id of the newest entry, after which a reader continues. Makes an entry if there is none.
    pub fn stream_end(&self, deadline: Deadline) -> Result<String, Unavailable> {
        let stream = self.sealer.stream();
        let read = self.run(deadline, |timeout| self.engine.read(&stream, "", Duration::ZERO, timeout))?;
        if read.last_id.is_empty() { self.publish(Change::Start, deadline) } else { Ok(read.last_id) }
    }

    /// Returns whether this process may report a gap of the stream to all others.
    pub fn lease_gap(&self, deadline: Deadline) -> Result<bool, Unavailable> {
        self.lease(b"gap", GAP_LEASE_TTL, deadline)
    }

    /// Returns whether a process has shared a webhook delivery.
    pub fn has_delivery(&self, id: &str, deadline: Deadline) -> bool {
        let names = self.sealer.names(EntryKind::Delivery, id.as_bytes());
        let values = self.get(&names, deadline).unwrap_or_default();
        names.iter().zip(values).any(|(name, value)| {
            value.is_some_and(|v| self.open::<String>(EntryKind::Delivery, name, id, &v).is_some())
        })
    }

    /// Records that a webhook delivery was shared, until others have applied it.
    pub fn put_delivery(&self, id: &str, deadline: Deadline) {
        let _ = self.put(EntryKind::Delivery, id.as_bytes(), id, &"", DELIVERY_TTL_MS, deadline);
    }

    /// Returns what others have appended after an entry, waiting at most `wait` for the first.
    pub fn read_stream(&self, after: &str, wait: Duration) -> Result<StreamRead, Unavailable> {
        let stream = self.sealer.stream();
        // What tries an engine again may take no longer than the operations that have failed.
        if !self.circuit.is_closed() {
            let deadline = Deadline::after(READ_TIMEOUT);
            return self.run(deadline, |timeout| self.engine.read(&stream, after, Duration::ZERO, timeout));
        }
        // Entries that are too long take several reads, each of which ends in time.
        self.run_for(wait + READ_TIMEOUT, MAX_READ_TIME, |_| self.engine.read(&stream, after, wait, READ_TIMEOUT))
    }

    /// Opens an entry of the stream.
    pub fn open_message(&self, sealed: &[u8]) -> Option<Message> {
        let stream = self.sealer.stream();
        let plaintext = self.sealer.open(&stream, sealed);
        let message = plaintext.and_then(|plaintext| Message::decode(&plaintext));
        if message.is_none() {
            self.reject(&stream);
        }
        message
    }

    /// Whether this client has sent a message.
    pub fn is_own(&self, message: &Message) -> bool {
        message.sender == self.sender()
    }

    /// Counts an entry of the stream that was applied already.
    pub fn reject_replayed(&self) {
        self.reject("a replayed entry");
    }

    /// Records how long a message took.
    pub fn record_lag(&self, message: &Message) {
        self.counters.record_lag(self.clock.now().wall_ms.saturating_sub(message.sent_at_ms));
    }

    /// Returns the random number of this client in this process. The counter of a forked child continues from that of its parent, and
    /// another child may have had its pid.
    pub(super) fn sender(&self) -> u64 {
        let mut sender = self.sender.lock();
        if sender.0 != std::process::id() {
            let mut random = [0; 8];
            // Not from `RandomState`, whose keys a child inherits.
            let number = match aws_lc_rs::rand::fill(&mut random) {
                Ok(()) => u64::from_le_bytes(random),
                Err(_) => RandomState::new().hash_one((std::process::id(), self.clock.now().mono_ms)),
            };
            *sender = (std::process::id(), number);
        }
        sender.1
    }
}
