//! The changes that are to be sent to other processes, and how far those of others were read.

use std::collections::HashSet;
use std::hash::RandomState;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::invalidations::Scope;
use super::unsent::{Subject, Unsent};
use crate::cache::Cache;
use crate::clock::Now;
use crate::fork_mutex::ResetMutex;
use crate::revocation::TimedRevocation;
use crate::shared_cache::Change;
use crate::token::TokenHash;

/// How many messages are recognized if they come again, and for how long.
const MAX_SEEN: usize = 65_536;
const SEEN_MS: i64 = 60 * 60 * 1000;
/// How many revocations wait to be looked up in the engine.
const MAX_LOST: usize = 5 * 65_536;

/// The revocation of a user or a session.
pub(super) type LostRevocation = (Scope, String, TimedRevocation);

/// What connects a client to the changes of others.
pub(super) struct Changes {
    unsent: ResetMutex<Unsent>,
    /// The revocations that the engine may have lost; the newest is the last one.
    lost: ResetMutex<Vec<LostRevocation>>,
    /// Counts the revocations for which there was no room.
    overflows: AtomicU64,
    /// The id of the last entry that was read; `None` until the end of the stream is known.
    last_id: ResetMutex<Option<String>>,
    /// Messages that were applied, by sender and number.
    seen: Cache<(u64, u64), (), RandomState>,
    /// Counts the calls of `shutdown`, which end running reads.
    shutdowns: AtomicU64,
    /// The process of which a thread is reading; 0: none. One of the parent does not exist in a forked child.
    reader: AtomicU32,
}

/// A change that a thread sends. If dropped without [`Self::mark_sent`], it waits again.
pub(super) struct Sending<'a> {
    changes: &'a Changes,
    pub change: Change,
    is_sent: bool,
}

impl Sending<'_> {
    /// Records that the others know the change.
    pub fn mark_sent(mut self) {
        self.is_sent = true;
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let mut unsent = self.changes.unsent.lock();
        let subject = Subject::of(&self.change);
        if !self.is_sent && unsent.put(self.change.clone()).is_err() {
            self.changes.overflows.fetch_add(1, Ordering::Relaxed);
        }
        unsent.finish(&subject);
    }
}

/// The right to read, until it is dropped.
pub(super) struct Reading<'a>(&'a Changes);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.reader.store(0, Ordering::Release);
    }
}

impl Default for Changes {
    fn default() -> Self {
        Changes {
            unsent: ResetMutex::default(),
            lost: ResetMutex::default(),
            overflows: AtomicU64::new(0),
            last_id: ResetMutex::default(),
            seen: Cache::new(MAX_SEEN, RandomState::new()),
            shutdowns: AtomicU64::new(0),
            reader: AtomicU32::new(0),
        }
    }
}

impl Changes {
    /// Returns the right to read, unless another thread of this process has it.
    pub fn try_read(&self) -> Option<Reading<'_>> {
        let pid = std::process::id();
        let claim = |reader| (reader != pid).then_some(pid);
        self.reader.fetch_update(Ordering::AcqRel, Ordering::Acquire, claim).ok().map(|_| Reading(self))
    }

    /// Ends running reads.
    pub fn cancel(&self) {
        self.shutdowns.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns the number of shutdowns: a running read ends when it changes.
    pub fn shutdowns(&self) -> u64 {
        self.shutdowns.load(Ordering::SeqCst)
    }

    /// Takes the next change that is to be sent: a revocation, if one waits.
    pub fn take(&self) -> Option<Sending<'_>> {
        let change = self.unsent.lock().take()?;
        Some(Sending { changes: self, change, is_sent: false })
    }

    /// Begins to send a change, together with the one that waits about the same subject.
    pub fn begin(&self, change: Change) -> Sending<'_> {
        let change = self.unsent.lock().join(change);
        Sending { changes: self, change, is_sent: false }
    }

    /// Returns whether a change about the same subject waits.
    pub fn is_waiting(&self, change: &Change) -> bool {
        self.unsent.lock().is_waiting(&Subject::of(change))
    }

    /// Returns whether changes wait.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.lock().is_empty()
    }

    /// Returns whether a revocation of a user or a session waits, or is being sent.
    pub fn has_unsent_revocation(&self, scope: Scope, id: &str) -> bool {
        let unsent = self.unsent.lock();
        match scope {
            Scope::Session => unsent.has_revocation(&Subject::Session(id.to_owned())),
            Scope::Subject => [true, false]
                .iter()
                .any(|has_version| unsent.has_revocation(&Subject::User(id.to_owned(), *has_version))),
            Scope::Organization => false,
        }
    }

    /// Returns whether this process has invalidated a user and others do not know it yet: what they have stored is outdated.
    pub fn has_unsent_invalidation_of_user(&self, id: &str) -> bool {
        self.unsent.lock().has_invalidation(&Subject::User(id.to_owned(), false))
    }

    /// Does the same for a token.
    pub fn has_unsent_invalidation_of_token(&self, hash: &TokenHash) -> bool {
        self.unsent.lock().has_invalidation(&Subject::Token(hash.0))
    }

    /// Returns how many revocations there was no room for since the last call.
    pub fn take_overflows(&self) -> u64 {
        self.overflows.swap(0, Ordering::Relaxed)
    }

    /// Returns whether there is no room for further revocations.
    pub fn is_full(&self) -> bool {
        self.unsent.lock().is_full()
    }

    /// Sets the revocations that the engine may have lost.
    pub fn set_lost(&self, revocations: Vec<LostRevocation>) {
        *self.lost.lock() = revocations;
    }

    /// Adds revocations that the engine may lack, the newest last.
    pub fn add_lost(&self, revocations: Vec<LostRevocation>) {
        let mut lost = self.lost.lock();
        let added: HashSet<_> = revocations.iter().map(|(scope, id, _)| (*scope, id.as_str())).collect();
        lost.retain(|(scope, id, _)| !added.contains(&(*scope, id.as_str())));
        lost.extend(revocations);
        // A process need not poll.
        let excess = lost.len().saturating_sub(MAX_LOST);
        lost.drain(..excess);
    }

    /// Returns whether there are revocations that the engine may have lost.
    pub fn has_lost(&self) -> bool {
        !self.lost.lock().is_empty()
    }

    /// Takes the newest of the revocations that the engine may have lost.
    pub fn take_lost(&self) -> Option<LostRevocation> {
        self.lost.lock().pop()
    }

    /// Returns a revocation to its place.
    pub fn put_back_lost(&self, revocation: LostRevocation) {
        self.lost.lock().push(revocation);
    }

    /// Returns the id of the last entry that was read.
    pub fn last_id(&self) -> Option<String> {
        self.last_id.lock().clone()
    }

    pub fn set_last_id(&self, id: Option<String>) {
        *self.last_id.lock() = id;
    }

    /// Returns whether a message, by sender and number, comes for the first time.
    pub fn is_first(&self, message: (u64, u64), now: Now) -> bool {
        let expires_ms = now.mono_ms.saturating_add(SEEN_MS);
        self.seen.put_if(message, (), expires_ms, now.mono_ms, |seen| seen.is_none()).is_ok()
    }
}
