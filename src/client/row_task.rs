//! One user's row: when it was last confirmed, and the store requests that find, check and update it. No I/O.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::Now;
use crate::reason::Reason;
use crate::users::{
    Deactivation, DeactivationStep, Row, RowOwner, Schema, Snapshot, StoreError, StoreRequest, StoreResponse,
    SyncEvent, SyncRules, Transition, UserSync,
};

/// When the store last confirmed that a row exists and is active.
#[derive(Debug)]
pub(super) struct RowCheck(AtomicI64);

impl RowCheck {
    /// Starts with a confirmation at `confirmed_ms`; `i64::MIN` for none.
    pub fn new(confirmed_ms: i64) -> Self {
        RowCheck(AtomicI64::new(confirmed_ms))
    }

    pub fn confirmed_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether the confirmation is younger than `ttl_ms`.
    pub fn is_fresh(&self, now: Now, ttl_ms: i64) -> bool {
        now.mono_ms.saturating_sub(self.confirmed_ms()) < ttl_ms
    }

    pub fn confirm(&self, now: Now) {
        self.0.fetch_max(now.mono_ms, Ordering::Relaxed);
    }

    pub fn reset(&self) {
        self.0.store(i64::MIN, Ordering::Relaxed);
    }
}

/// The outcome of a task.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RowOutcome {
    /// The row of a check.
    Confirmed(Row),
    /// The row of a synchronization, up to date, or of a deactivation.
    Synced(Row),
    /// The row that was checked does not exist or belongs to another user; the row to deactivate does not exist.
    Missing,
    /// The rules of the synchronization reject the row.
    Refused(Reason),
    /// The store failed.
    Failed(StoreError),
}

/// A check, a synchronization or a deactivation of one row.
pub(super) struct RowTask {
    work: Work,
    request: StoreRequest,
}

enum Work {
    Check { key: String, owner: RowOwner, schema: Schema },
    Sync(Box<UserSync>),
    Deactivate(Deactivation),
}

/// What follows a response.
pub(super) enum TaskStep {
    Ask(Box<RowTask>),
    /// The user has to be fetched, see [`Transition::FetchUser`]. With what the synchronization did, for the events.
    FetchUser {
        sync: Box<UserSync>,
        row: Option<Row>,
        is_older: bool,
        events: Vec<SyncEvent>,
    },
    /// With what the synchronization did, for the events.
    Done(RowOutcome, Vec<SyncEvent>),
}

impl RowTask {
    /// Checks that the row with this key exists and still belongs to its owner.
    pub fn check(key: &str, owner: RowOwner, schema: Schema) -> Box<Self> {
        let key = key.to_owned();
        let request = StoreRequest::FindByKey { key: key.clone() };
        Box::new(RowTask { work: Work::Check { key, owner, schema }, request })
    }

    /// Deactivates the row of a deleted user.
    pub fn deactivate(clerk_id: String, schema: Schema) -> Box<Self> {
        let (deactivation, request) = Deactivation::start(clerk_id, schema);
        Box::new(RowTask { work: Work::Deactivate(deactivation), request })
    }

    /// Finds or creates the user's row and updates it. `own_key` is the row of an earlier synchronization.
    pub fn sync(snapshot: Snapshot, rules: SyncRules, own_key: Option<String>) -> TaskStep {
        let (sync, next) = UserSync::start(snapshot, rules, own_key);
        Self::follow(Box::new(sync), next)
    }

    /// Continues after [`TaskStep::FetchUser`].
    pub fn resume(mut sync: Box<UserSync>, snapshot: Snapshot) -> TaskStep {
        let next = sync.resume(snapshot);
        Self::follow(sync, next)
    }

    fn follow(mut sync: Box<UserSync>, next: Result<Transition, Reason>) -> TaskStep {
        match next {
            Ok(Transition::Request(request)) => TaskStep::Ask(Box::new(RowTask { work: Work::Sync(sync), request })),
            Ok(Transition::FetchUser { row, is_older }) => {
                let events = std::mem::take(&mut sync.events);
                TaskStep::FetchUser { sync, row, is_older, events }
            }
            Ok(Transition::Done(row)) => TaskStep::Done(RowOutcome::Synced(row), sync.events),
            Err(reason) => TaskStep::Done(RowOutcome::Refused(reason), sync.events),
        }
    }

    /// Returns the request to the store.
    pub fn request(&self) -> &StoreRequest {
        &self.request
    }

    /// Takes the store's response.
    pub fn submit(self: Box<Self>, response: Result<StoreResponse, StoreError>) -> TaskStep {
        match (self.work, response) {
            (Work::Check { .. } | Work::Deactivate(_), Err(error)) => {
                TaskStep::Done(RowOutcome::Failed(error), Vec::new())
            }
            (Work::Check { key, owner, schema }, Ok(StoreResponse::Rows(rows))) => {
                let row = matching_row(rows, &key, &owner, &schema);
                TaskStep::Done(row.map_or(RowOutcome::Missing, RowOutcome::Confirmed), Vec::new())
            }
            (Work::Check { .. }, Ok(_)) => TaskStep::Done(RowOutcome::Refused(Reason::StoreError), Vec::new()),
            (Work::Deactivate(mut deactivation), Ok(response)) => match deactivation.on_response(response) {
                Ok(DeactivationStep::Request(request)) => {
                    TaskStep::Ask(Box::new(RowTask { work: Work::Deactivate(deactivation), request }))
                }
                Ok(DeactivationStep::NoRow) => TaskStep::Done(RowOutcome::Missing, Vec::new()),
                Ok(DeactivationStep::Done(row, is_written)) => {
                    let events = if is_written { vec![SyncEvent::Updated] } else { Vec::new() };
                    TaskStep::Done(RowOutcome::Synced(row), events)
                }
                Err(reason) => TaskStep::Done(RowOutcome::Refused(reason), Vec::new()),
            },
            (Work::Sync(sync), Err(error)) => TaskStep::Done(RowOutcome::Failed(error), sync.events),
            (Work::Sync(mut sync), Ok(response)) => {
                let next = sync.on_response(response);
                Self::follow(sync, next)
            }
        }
    }
}

/// Returns the row with this key and owner. A store that returns another row, or two, has not found it.
fn matching_row(rows: Vec<Row>, key: &str, owner: &RowOwner, schema: &Schema) -> Option<Row> {
    let [row] = <[Row; 1]>::try_from(rows).ok()?;
    (row.key == key && owner.owns(&row, schema)).then_some(row)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::ClerkUser;
    use crate::config::LinkByEmail;
    use crate::users::Origin;

    fn row(key: &str, clerk_id: &str) -> Row {
        Row { key: key.into(), clerk_id: Some(clerk_id.into()), is_active: true, ..Row::default() }
    }

    fn checked(schema: &Schema, response: Result<StoreResponse, StoreError>) -> RowOutcome {
        match RowTask::check("1", RowOwner::new("user_1", Some("own@x"), None), *schema).submit(response) {
            TaskStep::Done(outcome, events) if events.is_empty() => outcome,
            _ => panic!("a check is one request and no event"),
        }
    }

    #[test]
    fn check_finds_only_the_users_own_row() {
        let schema = Schema::default();
        let rows = |rows: &[Row]| checked(&schema, Ok(StoreResponse::Rows(rows.to_vec())));
        assert_eq!(rows(&[row("1", "user_1")]), RowOutcome::Confirmed(row("1", "user_1")));
        for others in [vec![], vec![row("2", "user_1")], vec![row("1", "user_2")], vec![row("1", "user_1"); 2]] {
            assert_eq!(rows(&others), RowOutcome::Missing, "{others:?}");
        }
        let without_ids = Schema { clerk_id: false, ..schema };
        let [own, other] = ["own@x", "other@x"].map(|email| Row { email: Some(email.into()), ..row("1", "anything") });
        assert_eq!(checked(&without_ids, Ok(StoreResponse::Rows(vec![own.clone()]))), RowOutcome::Confirmed(own));
        assert_eq!(checked(&without_ids, Ok(StoreResponse::Rows(vec![other]))), RowOutcome::Missing);
    }

    #[test]
    fn response_to_another_request_is_a_store_error() {
        let schema = Schema::default();
        assert_eq!(checked(&schema, Ok(StoreResponse::Updated)), RowOutcome::Refused(Reason::StoreError));
        assert_eq!(checked(&schema, Err(StoreError::Conflict)), RowOutcome::Failed(StoreError::Conflict));
        let user = Arc::new(ClerkUser { id: "user_1".into(), ..ClerkUser::default() });
        let rules = SyncRules { schema, link: LinkByEmail::Verified, block_deactivated_email: true };
        let snapshot = Snapshot { user, origin: Origin::Fetched };
        let TaskStep::Ask(task) = RowTask::sync(snapshot, rules, None) else { panic!() };
        assert!(matches!(task.request(), StoreRequest::FindByClerkId { .. }));
        let step = task.submit(Ok(StoreResponse::Taken(true)));
        assert!(matches!(step, TaskStep::Done(RowOutcome::Refused(Reason::StoreError), _)));
    }

    #[test]
    fn confirmation_is_fresh_for_its_ttl() {
        let at = |mono_ms| Now { wall_ms: 0, mono_ms };
        let check = RowCheck::new(i64::MIN);
        assert!(!check.is_fresh(at(0), 1000));
        check.confirm(at(500));
        check.confirm(at(400));
        assert!(check.is_fresh(at(1499), 1000) && !check.is_fresh(at(1500), 1000) && !check.is_fresh(at(500), 0));
        check.reset();
        assert!(!check.is_fresh(at(500), 1000));
    }
}
