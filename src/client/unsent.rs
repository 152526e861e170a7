//! The changes that wait until they can be sent: one for each user, session, organization or token. Bounded; no revocation is
//! dropped for another change.

use std::collections::{BTreeMap, HashMap};

use crate::revocation::TimedRevocation;
use crate::shared_cache::Change;

/// How many revocations wait at most: about as many as a process knows.
const MAX_REVOCATIONS: usize = 65_536;
/// How many other changes wait; one more, and a single change that invalidates everything replaces them.
const MAX_OTHERS: usize = 10_000;

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    Session(String),
    /// With or without a version, which others compare theirs with.
    User(String, bool),
    Memberships(String),
    Organization(String),
    Token([u8; 32]),
    All,
    Gap,
}

impl Subject {
    pub fn of(change: &Change) -> Self {
        match change {
            Change::Session { id, .. } => Subject::Session(id.clone()),
            Change::User { id, version_ms, .. } => Subject::User(id.clone(), version_ms.is_some()),
            Change::Memberships { user_id } => Subject::Memberships(user_id.clone()),
            Change::Organization { id } => Subject::Organization(id.clone()),
            Change::Token { hash } => Subject::Token(*hash),
            Change::All { .. } | Change::Start => Subject::All,
            Change::Gap => Subject::Gap,
        }
    }
}

/// Whether a change invalidates the users of all processes.
type IsEverything = bool;

/// Where a change stands: revocations first, then in the order in which they came.
type Place = (bool, u64);

#[derive(Default)]
pub struct Unsent {
    changes: HashMap<Subject, (Place, Change)>,
    order: BTreeMap<Place, Subject>,
    /// The subjects of changes that threads are sending, with the process: those of the parent do not exist in a forked child.
    sending: Vec<(u32, Subject, IsEverything)>,
    revocations: usize,
    last: u64,
}

/// There is no room for a revocation.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl Unsent {
    /// Adds a change. One that waits about the same subject becomes part of it.
    pub fn put(&mut self, change: Change) -> Result<(), Full> {
        let subject = Subject::of(&change);
        self.last += 1;
        let (number, change) = match self.remove(&subject) {
            Some(((_, number), waiting)) => (number, merged(change, &waiting)),
            None => (self.last, change),
        };
        let is_revocation = revocation(&change).is_some();
        if is_revocation && self.is_full() {
            return Err(Full);
        }
        // No other change has its effect, and there is one at most.
        let is_gap = subject == Subject::Gap;
        if !is_revocation && !is_gap && self.order.len() - self.revocations >= MAX_OTHERS {
            self.replace_others();
            return Ok(());
        }
        let place = (!is_revocation, number);
        self.revocations += usize::from(is_revocation);
        self.order.insert(place, subject.clone());
        self.changes.insert(subject, (place, change));
        Ok(())
    }

    /// Takes the next change to send. It is being sent until [`Self::finish`].
    pub fn take(&mut self) -> Option<Change> {
        let subject = self.order.first_key_value()?.1.clone();
        let (_, change) = self.remove(&subject)?;
        self.begin(&change);
        Some(change)
    }

    /// Begins to send a change, together with the one that waits about the same subject.
    pub fn join(&mut self, change: Change) -> Change {
        let change = match self.remove(&Subject::of(&change)) {
            Some((_, waiting)) => merged(change, &waiting),
            None => change,
        };
        self.begin(&change);
        change
    }

    /// Ends the sending of a change, whether or not it was sent.
    pub fn finish(&mut self, subject: &Subject) {
        if let Some(at) =
            self.sending.iter().position(|(pid, sending, _)| *pid == std::process::id() && sending == subject)
        {
            self.sending.swap_remove(at);
        }
    }

    pub fn is_waiting(&self, subject: &Subject) -> bool {
        self.changes.contains_key(subject)
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Returns whether there is no room for further revocations.
    pub fn is_full(&self) -> bool {
        self.revocations >= MAX_REVOCATIONS
    }

    /// Returns whether a revocation of a user or a session waits, or a change about it is being sent.
    pub fn has_revocation(&self, subject: &Subject) -> bool {
        let waits = self.changes.get(subject).is_some_and(|(_, change)| revocation(change).is_some());
        waits || self.sending.iter().any(|(pid, sending, _)| *pid == std::process::id() && sending == subject)
    }

    /// Returns whether a change about a subject, or about everything, waits or is being sent: what is stored of it is outdated.
    pub fn has_invalidation(&self, subject: &Subject) -> bool {
        let everything = self.changes.get(&Subject::All).is_some_and(|(_, change)| is_everything(change));
        let is_sending = |(pid, sending, is_everything): &(u32, Subject, IsEverything)| {
            *pid == std::process::id() && (sending == subject || *is_everything)
        };
        everything || self.is_waiting(subject) || self.sending.iter().any(is_sending)
    }

    fn begin(&mut self, change: &Change) {
        self.sending.retain(|(pid, ..)| *pid == std::process::id());
        self.sending.push((std::process::id(), Subject::of(change), is_everything(change)));
    }

    fn remove(&mut self, subject: &Subject) -> Option<(Place, Change)> {
        let (place, change) = self.changes.remove(subject)?;
        self.order.remove(&place);
        self.revocations -= usize::from(!place.0);
        Some((place, change))
    }

    fn replace_others(&mut self) {
        let others = self.order.split_off(&(true, 0));
        let (gap, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            others.into_iter().partition(|(_, subject)| *subject == Subject::Gap);
        self.order.extend(gap);
        others.values().for_each(|subject| drop(self.changes.remove(subject)));
        let place = (true, self.last);
        self.order.insert(place, Subject::All);
        self.changes.insert(Subject::All, (place, Change::All { users: true }));
    }
}

fn is_everything(change: &Change) -> bool {
    matches!(change, Change::All { users: true })
}

fn revocation(change: &Change) -> Option<TimedRevocation> {
    match change {
        Change::Session { revocation, .. } | Change::User { revocation, .. } => *revocation,
        _ => None,
    }
}

/// Returns a change with the effects of an earlier one about the same subject.
fn merged(mut change: Change, earlier: &Change) -> Change {
    if let Change::Session { revocation: newest, .. } | Change::User { revocation: newest, .. } = &mut change {
        *newest = newest.take().into_iter().chain(revocation(earlier)).reduce(|newest, earlier| {
            let strongest = if earlier.outranks(&newest) { earlier } else { newest };
            TimedRevocation { expires_at_ms: newest.expires_at_ms.max(earlier.expires_at_ms), ..strongest }
        });
    }
    match (&mut change, earlier) {
        (Change::User { version_ms, .. }, Change::User { version_ms: earlier, .. }) => {
            *version_ms = (*version_ms).max(*earlier);
        }
        (Change::All { users }, Change::All { users: earlier }) => *users |= earlier,
        _ => {}
    }
    change
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Revocation;

    fn timed(revocation: Revocation, revoked_at_ms: i64) -> Option<TimedRevocation> {
        Some(TimedRevocation { revocation, revoked_at_ms, expires_at_ms: 1_000_000 })
    }

    fn user(id: &str, revocation: Option<TimedRevocation>, version_ms: Option<i64>) -> Change {
        Change::User { id: id.into(), revocation, version_ms }
    }

    fn session(i: usize) -> Change {
        Change::Session { id: format!("sess_{i}"), revocation: timed(Revocation::Revoked, 1) }
    }

    fn all(unsent: &mut Unsent) -> Vec<Change> {
        let taken =
            std::iter::from_fn(|| unsent.take().inspect(|change| unsent.finish(&Subject::of(change)))).collect();
        assert!(unsent.changes.is_empty() && unsent.is_empty() && unsent.revocations == 0);
        taken
    }

    #[test]
    fn revocations_are_taken_first_and_each_class_in_order() {
        let mut unsent = Unsent::default();
        let other = |id: &str| Change::Organization { id: id.into() };
        for change in [other("org_1"), session(1), other("org_2"), session(2), session(1)] {
            unsent.put(change).unwrap();
        }
        assert_eq!(all(&mut unsent), [session(1), session(2), other("org_1"), other("org_2")]);
    }

    #[test]
    fn changes_about_one_subject_become_one() {
        let (banned, lifted) = (timed(Revocation::Banned, 1), timed(Revocation::Lifted, 2));
        let mut unsent = Unsent::default();
        for (first, second, expected) in [
            (user("user_1", banned, Some(1)), user("user_1", lifted, Some(2)), user("user_1", lifted, Some(2))),
            (user("user_1", lifted, Some(2)), user("user_1", banned, Some(1)), user("user_1", lifted, Some(2))),
            (user("user_1", banned, None), user("user_1", None, None), user("user_1", banned, None)),
            (Change::All { users: true }, Change::All { users: false }, Change::All { users: true }),
        ] {
            unsent.put(first).unwrap();
            unsent.put(second).unwrap();
            assert_eq!(all(&mut unsent), [expected]);
        }
        // A change without a version removes what one with a version leaves.
        unsent.put(user("user_1", banned, Some(1))).unwrap();
        unsent.put(user("user_1", None, None)).unwrap();
        assert_eq!(all(&mut unsent).len(), 2);
    }

    #[test]
    fn revocation_that_waits_or_is_being_sent_is_found() {
        let mut unsent = Unsent::default();
        let subject = Subject::of(&session(1));
        unsent.put(Change::Session { id: "sess_1".into(), revocation: None }).unwrap();
        assert!(!unsent.has_revocation(&subject));
        assert_eq!((unsent.join(session(1)), unsent.is_empty()), (session(1), true));
        assert!(unsent.has_revocation(&subject), "being sent");
        unsent.put(session(1)).unwrap();
        unsent.finish(&subject);
        assert!(unsent.has_revocation(&subject), "waits");
        assert_eq!(unsent.take(), Some(session(1)));
        assert!(unsent.has_revocation(&subject), "being sent again");
        unsent.finish(&subject);
        assert!(!unsent.has_revocation(&subject));
    }

    #[test]
    fn change_that_the_parent_was_sending_at_the_fork_is_not_sent_by_the_child() {
        let mut unsent = Unsent::default();
        let subject = Subject::of(&session(1));
        unsent.join(session(1));
        unsent.sending[0].0 ^= 1;
        assert!(!unsent.has_revocation(&subject));
        unsent.join(session(1));
        assert!(unsent.has_revocation(&subject));
        unsent.finish(&subject);
        assert!(!unsent.has_revocation(&subject) && unsent.sending.is_empty());
    }

    #[test]
    fn other_changes_are_replaced_by_one_and_no_revocation_is_dropped() {
        let mut unsent = Unsent::default();
        unsent.put(session(0)).unwrap();
        for i in 0..=MAX_OTHERS {
            unsent.put(Change::Organization { id: format!("org_{i}") }).unwrap();
        }
        unsent.put(Change::Organization { id: "org_0".into() }).unwrap();
        let rest = [session(0), Change::All { users: true }, Change::Organization { id: "org_0".into() }];
        assert_eq!(all(&mut unsent), rest);
        for i in 0..MAX_REVOCATIONS {
            assert!(!unsent.is_full());
            unsent.put(session(i)).unwrap();
        }
        assert!(unsent.is_full());
        assert_eq!((unsent.put(session(MAX_REVOCATIONS)), unsent.put(session(0))), (Err(Full), Ok(())));
        unsent.put(Change::All { users: false }).unwrap();
        assert_eq!(unsent.order.len(), MAX_REVOCATIONS + 1);
    }

    #[test]
    fn gap_is_dropped_for_no_other_change() {
        for gap_first in [true, false] {
            let mut unsent = Unsent::default();
            let organization = |i: usize| Change::Organization { id: format!("org_{i}") };
            if gap_first {
                unsent.put(Change::Gap).unwrap();
            }
            for i in 0..=MAX_OTHERS {
                if !gap_first && i == MAX_OTHERS {
                    unsent.put(Change::Gap).unwrap();
                }
                unsent.put(organization(i)).unwrap();
            }
            let taken = all(&mut unsent);
            assert!(taken.contains(&Change::Gap) && taken.contains(&Change::All { users: true }), "{taken:?}");
            assert!(taken.len() <= 3, "{}", taken.len());
        }
    }
}
